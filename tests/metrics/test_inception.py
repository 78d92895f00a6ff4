"""The Inception networks: files of weights, the original's layout and resize, errors offline."""

import base64
import pickle
import zlib

import keras
import numpy as np
import pytest
from keras import layers

from kgen.data.pixels import resize
from kgen.metrics import features, inception

# What torch.save makes of {"a": arange(6.).reshape(2, 3).T, "b": tensor([7, 8, 9])}, an archive
# and, before torch 1.6, a stream of pickles; compressed.
ARCHIVE = (
    "c-o~@J#W)c6n(Z+$8|oSB_&0bn8Q~RCvnmul@<$mF%lsNDe7W5j!7(ByU%$k3R5JMN^EqXVnU2a%n1GlI~xOHVnAX<"
    "JbxtEPMZ*T^2?K*d(J(+_a4_JDh2?<fT@)NYXIrypwL#3l0SHCh{6iki>@K5s+M7BD$*^p$KJEsnyt0(=qh3%xYB?`"
    "u1R1r1(GVVY_*%0`$#u>tZZwozHYQ-q?tX-mJdrTq;k1t90&Jsq|(t~%!9C^VJYZ=_mG84E@2VUO$wjtK_A8?8bRj1"
    "1SCo#kKnRINYoKzpLZPr2?Uc3m~ufanC{{v-7)c9%j`^e&$%HSJl~B=6oM-*-w3Ws#0XySxH1T?HQ>d5zAnWXc(RxN"
    "i4o4OpIOBWV7w~kA6fRkg5*QZ?%`62Ld-2D=TLq4{`r}coR~?K1vh;vzd*8L=pA!kGm$7%r(5$^t6Fgc>^y<rNSuP4"
    "DIg65Pe5ycG|TC<DBSwTyyIo)2pO8AVYL0_5{<LaGc_c@?LSjlD2l@N{|WF|hdcOZ7hiY}@qV-GD9XP0dc2PRSf8V)"
    "5KzR4!nH*d#eJ4B@v?t9`OAaRulf0tAn)a$OxD!}1e94P)2G*+hx7Zt0eF7^-B;~twvH$8sp42)*4v`ME#8YFU*)*s"
    "CSNL7xvgrg$d|S%T#3VvOSNjbRx9!4BF|Me9hEOfuioddj-0EKAl<t8I)iRZO(_q3$D+`n`!XSzNPtt#8)XRECmUio"
    "o-j;#HcAql|8$6Cl>`yrMX|w2O@y!~BnbK?3Ji`|7?`7iKrRXlPE0Zcd^-l7QLJDWH^T231GDC<F46RLKlCznV*+C$"
    "=MTa=KgPyZqFtB0qrH3YE4xH{7{-nFVt)f_RCyK"
)
STREAM = (
    "c-n1I%TB^T6zvNNqbNQTcP{IO04Zo!vM_AMCvIkA8YmN5({#A)ltdE}HW2k2T)6bt`~(vh-U1RAOy=I3xsP+s%uKX5"
    "68^lmzmFe3Z;vVy?dnTMKL*8OWkpejv5>+Op*!Mn5{L*?Y+xm<gn^VHcX`wgx)EqEj9^ke4Y`{H&pZKr42H#Wm`r>T"
    "OUO};>39kv33+NTBf}8U08DD6DRO#96LL=?OG0kqK970-BJd;u<)j0u#Z;W=g62sPdw#`DWe_IBjd?E(!oDkcl!(|J"
    ")d}d9#mtNtJG%o8#$trDL(!G@izI;@+rl2lww<bT)@;=5hEs?9T%$KkQC9w1Lg9`oRHxbuid3cg49KgW$=Q&w*@4nr"
    "QxCR$r1bx2F7Z|?mhBZwty--+r%k)ogtBi^9np8@=u_CG>J;`C$omowI&hf1$V2uEYecH+Fg0GuEC1Kz99;`H+63*R"
    "r7tVyG8UGxxQxF+V1dN"
)


def pictures(n=3, size=(40, 48), seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, *size, 3), "uint8")


# Files.


@pytest.mark.parametrize("encoded", [ARCHIVE, STREAM])
def test_files_of_torch_are_read_without_it(tmp_path, encoded):
    (tmp_path / "state.pth").write_bytes(zlib.decompress(base64.b85decode(encoded)))
    state = inception.read_state(tmp_path / "state.pth")
    assert list(state) == ["a", "b"] and state["a"].dtype == np.float32
    np.testing.assert_array_equal(state["a"], np.arange(6).reshape(2, 3).T)
    np.testing.assert_array_equal(state["b"], [7, 8, 9])


@pytest.mark.parametrize("encoded", [ARCHIVE, STREAM])
@pytest.mark.parametrize("size", [0, 30, 300, -40])
def test_damaged_files_of_torch_are_refused(tmp_path, encoded, size):
    (tmp_path / "state.pth").write_bytes(zlib.decompress(base64.b85decode(encoded))[:size])
    with pytest.raises(ValueError, match=r"state.pth' holds no arrays by name"):
        inception.read_state(tmp_path / "state.pth")


class Harmful:
    def __reduce__(self):
        return print, ("run!",)


def test_nothing_in_a_file_is_run(tmp_path, capsys):
    harmful = b"".join(pickle.dumps(x) for x in (inception.MAGIC, 1001, {}, {"a": Harmful()}, []))
    (tmp_path / "state.pth").write_bytes(harmful)
    with pytest.raises(ValueError, match=r"asks for builtins.print, which is not read"):
        inception.read_state(tmp_path / "state.pth")
    np.savez(tmp_path / "state.npz", a=np.array(Harmful(), object))
    with pytest.raises(ValueError, match="holds no arrays by name"):
        inception.read_state(tmp_path / "state.npz")
    assert "run!" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("offset", "shape", "strides"),
    [(0, (7,), (1,)), (4, (3,), (1,)), (0, (2, 3), (3, 2)), (2, (2,), (-1,)), (-1, (2,), (1,))],
)
def test_tensors_cannot_reach_beyond_their_numbers(offset, shape, strides):
    with pytest.raises(ValueError, match="reaches beyond"):
        inception._tensor(np.zeros(6), offset, shape, strides)


def test_wrong_paths_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no file of weights '.*nothing.h5'"):
        features("inception", weights=tmp_path / "nothing.h5")
    (tmp_path / "inception-2015-12-05.pt").write_bytes(b"")
    with pytest.raises(ValueError, match=r"expected .h5 or .keras.*TorchScript"):
        features("inception", weights=tmp_path / "inception-2015-12-05.pt")


# Keras's network, a small one in its place.


def stand_in(include_top=True, weights="imagenet", input_shape=(299, 299, 3), pooling=None):
    if weights == "imagenet":  # what Keras's download raises
        raise Exception("URL fetch failure on https://storage...: None -- [Errno -2] Name or ...")
    inputs = keras.Input(input_shape)
    assert keras.config.dtype_policy().name == "float32"
    x = layers.Conv2D(2048, 1)(layers.AveragePooling2D(100)(inputs))
    x = layers.GlobalAveragePooling2D(name="avg_pool" if include_top else None)(x)
    outputs = layers.Dense(1000, activation="softmax")(x) if include_top else x
    return keras.Model(inputs, outputs)


def test_offline_the_error_says_what_to_fetch(monkeypatch):
    monkeypatch.setattr(keras.applications, "InceptionV3", stand_in)
    message = r"could not be downloaded: URL fetch.*fetch https://.*_kernels.h5.*weights=PATH.*pth"
    with pytest.raises(ConnectionError, match=message):
        features("inception")


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
    for layer in network.layers:
        names = ("weight",)
        if isinstance(layer, layers.BatchNormalization):
            names = ("weight", "bias", "running_mean", "running_var")
        for name, variable in zip(names, layer.weights, strict=False):
            shape = tuple(variable.shape)
            shape = {4: (*shape[:1:-1], *shape[:2]), 2: shape[::-1]}.get(len(shape), shape)
            state[f"{layer.name.replace('-', '.')}.{name}"] = draw(name, shape)
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


def test_other_state_dictionaries_are_refused(network):
    zeros = state_of(network, lambda name, shape: np.zeros(shape, "float32"))
    counted = {"fc.bias": np.zeros(1008), "Mixed_5b.branch1x1.bn.num_batches_tracked": np.array(0)}
    inception.set_weights(network, {**zeros, **counted}, "state.pth")
    with pytest.raises(
        ValueError, match=r"state.pth does not.* 471 of 471 .*1 are unknown \['a'\]"
    ):
        inception.set_weights(network, {"a": 1}, "state.pth")
    for wrong in (np.zeros((1000, 2048)), np.full((1008, 2048), np.nan)):
        with pytest.raises(ValueError, match=r"fc.weight must be finite, of shape \(2048, 1008\)"):
            inception.set_weights(network, {**zeros, "fc.weight": wrong}, "state.pth")


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
