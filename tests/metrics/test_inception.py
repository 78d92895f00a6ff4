"""The Inception networks: files of weights, the original's layout and resize, errors offline."""

import io
import pathlib
import pickle
import re
import socket
import zipfile

import keras
import numpy as np
import pytest
from keras import layers

import kgen
from kgen.data.pixels import resize
from kgen.metrics import evaluate, features, fid, inception


def pictures(n=3, size=(40, 48), seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, *size, 3), "uint8")


# Files.


class Harmful:
    def __reduce__(self):
        return print, ("run!",)


def test_wrong_paths_are_refused(tmp_path, capsys):
    with pytest.raises(FileNotFoundError, match=r"no file of weights '.*nothing.h5'"):
        features("inception", weights=tmp_path / "nothing.h5")
    for name in ("inception-2015-12-05.pt", "state.pth", "state.pkl", "state"):
        (tmp_path / name).write_bytes(pickle.dumps(Harmful()))
        with pytest.raises(ValueError, match=r"expected .h5 or .keras.*weights_only=True.*savez"):
            features("inception", weights=tmp_path / name)
    assert "run!" not in capsys.readouterr().out


# Keras's network, a small one in its place.


def stand_in(include_top=True, weights=None, input_shape=(299, 299, 3), pooling=None):
    assert weights is None
    inputs = keras.Input(input_shape)
    assert keras.config.dtype_policy().name == "float32"
    x = layers.Conv2D(2048, 1)(layers.AveragePooling2D(100)(inputs))
    x = layers.GlobalAveragePooling2D(name="avg_pool" if include_top else None)(x)
    outputs = layers.Dense(1000, activation="softmax")(x) if include_top else x
    return keras.Model(inputs, outputs)


def test_offline_the_error_says_what_to_fetch_before_anything_is_built(monkeypatch):
    def fetch(*args, **options):  # what Keras's download raises
        assert 0 < socket.getdefaulttimeout() <= 10
        raise Exception("URL fetch failure on https://storage...: None -- [Errno -2] Name or ...")

    monkeypatch.setattr(keras.utils, "get_file", fetch)
    monkeypatch.setattr(keras.applications, "InceptionV3", None)
    message = r"could not be downloaded: URL fetch.*fetch https://.*_kernels.h5.*weights=PATH.*npz"
    for measure in (
        lambda: features("inception"),
        lambda: fid([], [], "inception"),
        lambda: evaluate([], [], "inception"),
        lambda: kgen.callbacks.Evaluator("fid", [], "inception"),
        lambda: kgen.callbacks.CollapseMonitor([], "inception"),
    ):
        with pytest.raises(ConnectionError, match=message):
            measure()
    assert socket.getdefaulttimeout() is None


def test_downloaded_weights_are_those_of_the_file(tmp_path, monkeypatch):
    monkeypatch.setattr(keras.applications, "InceptionV3", stand_in)
    network = stand_in(True, None)
    network.save_weights(tmp_path / "top.weights.h5")
    monkeypatch.setattr(keras.utils, "get_file", lambda *_, **__: str(tmp_path / "top.weights.h5"))
    name, found, _ = inception.inception()
    assert name == inception.KERAS_NAME
    for one, other in zip(found.weights, network.weights, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("file", ["top.weights.h5", "top.keras", "no_top.weights.h5"])
def test_weights_of_keras(tmp_path, monkeypatch, file):
    monkeypatch.setattr(keras.applications, "InceptionV3", stand_in)
    network = stand_in("no_top" not in file, None)
    (network.save if file.endswith(".keras") else network.save_weights)(tmp_path / file)
    keras.config.set_dtype_policy("mixed_bfloat16")
    found = features("inception", weights=tmp_path / file)
    assert keras.config.dtype_policy().name == "mixed_bfloat16"
    assert found.name == "Keras InceptionV3 (not the original FID network)"
    images = pictures()
    pixels = resize(images, (299, 299)) / 127.5 - 1
    middle = keras.Model(network.input, network.layers[3].output)
    expected = middle.predict(pixels.astype("float32"), verbose=0)
    assert found(images).shape == (3, found.width) == (3, 2048)
    np.testing.assert_allclose(found(images), expected, atol=1e-4)
    if "no_top" in file:
        with pytest.raises(ValueError, match="knows no classes"):
            found.probabilities(images)
    else:
        assert found.probabilities(images[..., :1]).shape == (3, 1000)


def test_other_weights_of_keras_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(keras.applications, "InceptionV3", stand_in)
    other = keras.Sequential([keras.Input((4,)), layers.Dense(3)])
    other.save_weights(tmp_path / "other.weights.h5")
    with pytest.raises(ValueError, match="does not hold the weights of Keras's InceptionV3: with"):
        features("inception", weights=tmp_path / "other.weights.h5")


# The original network.


def test_the_resize_of_tensorflow_1():
    def resized(x, size):
        x = np.array(x, "uint8")[None, :, :, None]
        return inception.resize_as_tensorflow_1(x, size)[0, :, :, 0]

    np.testing.assert_allclose(resized([[0, 10]], (1, 4)), [[0, 5, 10, 10]])
    np.testing.assert_allclose(resized([[0], [9]], (3, 1)), [[0], [6], [9]])
    image = np.arange(42).reshape(6, 7)
    np.testing.assert_allclose(resized(image, (3, 7)), image[::2])  # not antialiased
    np.testing.assert_allclose(resized(image, (6, 7)), image)
    steps = np.arange(10) * 0.6
    np.testing.assert_allclose(resized(image, (10, 7))[:, 0], np.minimum(7 * steps, 35), rtol=1e-5)


@pytest.fixture(scope="module")
def network():
    return inception.fid_network()


def state_of(network, draw):
    """A state dictionary in torch's layout, as `draw(name, shape)` fills it."""
    state = {}
    for name, variable, axes in inception.parameters(network):
        shape = tuple(variable.shape[axes.index(i)] for i in range(len(axes)))
        state[name] = draw(name.split(".")[-1], shape)
    return state


def test_the_layout_of_the_original_network(network):
    state = state_of(network, lambda name, shape: shape)
    assert len(state) == 94 * 5 + 1  # 94 convolutions, with statistics, and the classes
    assert state["Conv2d_1a_3x3.conv.weight"] == (32, 3, 3, 3)
    assert state["Mixed_5b.branch_pool.conv.weight"] == (32, 192, 1, 1)
    assert state["Mixed_6a.branch3x3.conv.weight"] == (384, 288, 3, 3)
    assert state["Mixed_6c.branch7x7dbl_2.conv.weight"] == (160, 160, 7, 1)
    assert state["Mixed_7a.branch7x7x3_4.bn.running_var"] == (192,)
    assert state["Mixed_7c.branch3x3dbl_3b.conv.weight"] == (384, 384, 3, 1)
    assert state["fc.weight"] == (1008, 2048)
    assert network.output["features"].shape == (None, 2048)
    pools = [layer for layer in network.layers if isinstance(layer, layers.AveragePooling2D)]
    assert len(pools) == 8  # of the nine blocks with branch_pool, all but the last


def members(state):
    """The members of an `.npz`, by their names."""
    found = {}
    for name, array in state.items():
        file = io.BytesIO()
        np.lib.format.write_array(file, array)
        found[f"{name}.npy"] = file.getvalue()
    return found


def write(path, members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def test_the_converter_of_the_document(tmp_path, network, monkeypatch):
    torch = pytest.importorskip("torch")
    state = random_weights(network)
    unused = {"fc.bias": np.zeros(1008, "float32"), "a.bn.num_batches_tracked": np.array(0)}
    tensors = {name: torch.from_numpy(array) for name, array in (state | unused).items()}
    monkeypatch.chdir(tmp_path)
    torch.save(tensors, inception.FID_FILE)
    text = pathlib.Path(__file__, "../../../docs/metrics.md").resolve().read_text()
    (converter,) = [c for c in re.findall(r"```python\n(.*?)```", text, re.S) if "torch" in c]
    assert len(converter.splitlines()) <= 10
    exec(converter, {})
    inception.set_weights(network, "inception.npz")
    for name, variable, axes in inception.parameters(network):
        np.testing.assert_array_equal(variable, state[name].transpose(axes))
    exec(  # and that of the messages
        inception.CONVERTED.partition("npz: ")[2],
        {"torch": torch, "numpy": np, "PTH": inception.FID_FILE, "NPZ": "again.npz"},
    )
    with np.load("inception.npz") as one, np.load("again.npz") as other:
        assert one.files == other.files


@pytest.fixture
def small(monkeypatch):
    inputs = keras.Input((4, 4, 3))
    x = layers.Conv2D(2, 3, use_bias=False, name="a-conv")(inputs)
    x = layers.GlobalAveragePooling2D()(layers.BatchNormalization(name="a-bn")(x))
    outputs = layers.Dense(3, use_bias=False, name="fc")(x)
    network = keras.Model(inputs, {"features": x, "probabilities": outputs})
    monkeypatch.setattr(inception, "fid_network", lambda: network)
    return network


def test_an_archive_that_is_none_of_the_network_is_refused(tmp_path, small):
    zeros = members(state_of(small, lambda name, shape: np.zeros(shape, "float32")))
    whole, path = write(tmp_path / "state.npz", zeros).read_bytes(), tmp_path / "state.npz"
    assert inception.inception(path)[0] == inception.FID_NAME
    for data, message in (
        (b"", "not a zip"),
        (b"PK\x05\x06" + bytes(18), r"6 of 6 arrays are missing"),
        (write(path, {"a.npy": b""}).read_bytes(), r"missing.*1 are unknown \['a.npy'\]"),
        (whole[:-50], "not a zip file"),
        (whole.replace(b"PK\x01\x02", b"PK\x01\x03", 1), "[Bb]ad"),
    ):
        path.write_bytes(data)
        with pytest.raises(ValueError, match=rf"state.npz' does not hold.*({message}).*savez"):
            inception.inception(path)


def test_a_file_that_has_changed_is_read_again(tmp_path, small, monkeypatch):
    state = state_of(small, lambda name, shape: np.zeros(shape, "float32"))
    path = write(tmp_path / "state.npz", members(state))
    known = features("inception", weights=path)
    monkeypatch.chdir(tmp_path)
    assert features("inception", weights="state.npz") is known
    write(path, members(state | {"a.bn.bias": np.ones(2, "float32")}))
    assert features("inception", weights=path) is not known
    path.write_bytes(b"")
    with pytest.raises(ValueError, match="does not hold"):
        features("inception", weights=path)


def test_an_array_is_read_only_if_its_header_is_right(tmp_path, small, capsys):
    zeros = members(state_of(small, lambda name, shape: np.zeros(shape, "float32")))
    path, right = tmp_path / "state.npz", np.zeros((3, 2), "float32")
    known = "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 2)}"

    def header(text, body=b""):
        return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode() + body

    for data, message in (
        (right[:2], r"fc.weight must be floats of shape \(3, 2\); got float32 \(2, 2\)"),
        (np.where(np.eye(3, 2), np.nan, right), "fc.weight must be finite; 2 of 6"),
        (right.astype("int64"), "got int64"),
        (right.astype(complex), "got complex128"),
        (right.astype("<U3"), "got <U3"),
        (np.array(Harmful(), object), r"got object \(\)"),
        (np.full((3, 2), 1e300), "must be finite"),
        (header(known.replace("3", "9" * 12), bytes(24)), r"got float32 \(999999999999, 2\)"),
        (header(known.replace("3", "-3"), bytes(24)), r"got float32 \(-3, 2\)"),
        (header(known, bytes(23)), "buffer size|cannot reshape"),
        (header(known, bytes(20)), "cannot reshape"),
        (header(known.replace("<f4", "O"), pickle.dumps(Harmful())), r"got object \(3, 2\)"),
        (header("(" * 5000), ""),
        (header("'\n"), ""),
        (pickle.dumps(Harmful()), "magic"),
        (b"\x93NUMPY\x03\x00\xff\xff\xff\xff", r"version \(3, 0\)"),
    ):
        if not isinstance(data, bytes):
            data = members({"fc.weight": data})["fc.weight.npy"]
        write(path, zeros | {"fc.weight.npy": data})
        with pytest.raises(ValueError, match=rf"state.npz' does not hold.*({message}).*savez"):
            inception.inception(path)
    assert "run!" not in capsys.readouterr().out
    for same in (np.asfortranarray(right + 1), (right + 1).astype(">f8"), right.astype("<f2") + 1):
        write(path, zeros | members({"fc.weight": same}))
        inception.inception(path)
        np.testing.assert_array_equal(small.get_layer("fc").kernel, np.ones((2, 3)))


def random_weights(network):
    random = np.random.default_rng(0)

    def draw(name, shape):
        if len(shape) > 1:
            return random.normal(0, np.sqrt(2 / np.prod(shape[1:])), shape).astype("float32")
        if name in ("weight", "running_var"):
            return random.uniform(0.7, 1.3, shape).astype("float32")
        return random.normal(0, 0.2, shape).astype("float32")

    return state_of(network, draw)


@pytest.mark.full
def test_the_original_network_is_that_of_torch_fidelity(tmp_path, network):
    """The numbers are those of torch-fidelity 0.4.0 with the same weights and images."""
    np.savez(tmp_path / "state.npz", **random_weights(network))
    found = features("inception", weights=tmp_path / "state.npz")
    assert found.name == "FID InceptionV3 (2015-12-05)"
    images = pictures()
    np.testing.assert_allclose(found(images)[:, :5], FEATURES, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found(images).mean(axis=1), MEANS, rtol=1e-4)
    np.testing.assert_allclose(found.probabilities(images)[:, :2], PROBABILITIES, rtol=1e-3)


FEATURES = [
    [0.0620272, 1.30183, 2.61774, 0.739247, 0.742351],
    [0.063253, 1.34517, 2.7657, 0.735522, 0.769485],
    [0.0727222, 1.33344, 2.65509, 0.720301, 0.768582],
]
MEANS = [1.03114, 1.0343, 1.03261]
PROBABILITIES = [[0.000415736, 9.6876e-06], [0.000393126, 9.56534e-06], [0.000425692, 9.60151e-06]]
