import pathlib
import socket

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image
from sklearn.datasets import load_digits

import kgen
from kgen.data import ImageDataset, ImagePairs, Storage, faces, load, storage, tfds_images
from kgen.data.faces import drawing
from kgen.data.pixels import with_channels
from kgen.data.tfds_images import _write


def test_digits_are_scikit_learns():
    raw = load_digits()
    everything = load("digits", split="all")
    np.testing.assert_array_equal(
        everything.fetch(slice(None))[..., 0], np.round(raw.images * 255 / 16)
    )
    np.testing.assert_array_equal(everything.labels, raw.target)
    assert everything.image_shape == (8, 8, 1) and everything.num_classes == 10
    assert everything.fetch(slice(None)).dtype == "uint8"


def test_the_split_of_the_digits_is_fixed_disjoint_and_stratified():
    train, test = load("digits"), load("digits", split="test", seed=5)
    assert train.num_examples + test.num_examples == 1797
    rows = lambda d: {i.tobytes() for i in d.fetch(slice(None))}  # noqa: E731
    assert len(rows(train) & rows(test)) <= 1797 - len(rows(load("digits", split="all")))
    shares = np.bincount(test.labels) / np.bincount(load("digits", split="all").labels)
    assert np.abs(shares - 0.2).max() < 0.01
    assert train.shuffle and not test.shuffle
    np.testing.assert_array_equal(test.labels, load("digits", split="test").labels)


def test_channels_of_a_small_integer_type():
    assert load("faces", num_examples=2, image_size=8, channels=np.uint8(1)).image_shape[2] == 1
    data = load("digits", channels=np.uint8(3), num_examples=2)
    np.testing.assert_array_equal(
        data.images(), load("digits", channels=3, num_examples=2).images()
    )


def test_digits_resized():
    data = load("digits", image_size=np.int64(28))
    assert data.image_shape == (28, 28, 1)
    small = data.at_resolution(8).images(50)
    assert np.abs(small - load("digits").images(50)).mean() < 0.15
    whole = load("digits").at_resolution(28)  # squares: the crop is all of them
    np.testing.assert_array_equal(data.fetch(slice(None)), whole.fetch(slice(None)))


def test_grey_and_colour():
    grey, colour = load("digits").take(5), load("digits", channels=3).take(5)
    np.testing.assert_array_equal(colour.images(), np.repeat(grey.images(), 3, axis=-1))
    faces_ = load("faces", num_examples=4, image_size=16, channels=1)
    photo = load("faces", num_examples=4, image_size=16).fetch(np.arange(4))
    for image, expected in zip(faces_.fetch(np.arange(4)), photo, strict=True):
        np.testing.assert_array_equal(image[..., 0], Image.fromarray(expected).convert("L"))
    with pytest.raises(ValueError, match=r"channels=4"):
        load("digits", channels=4)
    with pytest.raises(ValueError, match="embedded"):
        load("digits", kind="flat")


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
    grey = load("faces", **options, channels=1)
    np.testing.assert_array_equal(grey.fetch(np.arange(20)), with_channels(whole, 1))
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
        ImageDataset(faces.Drawn(faces.sample_factors(20, smile=1.0), 16)),
    ]
    assert len({data.fingerprint for data in [base, *others]}) == 1 + len(others)
    factors = faces.sample_factors(30, seed=0)
    assert ImageDataset(faces.Drawn(factors, 16)).take(20).fingerprint == base.fingerprint


def test_faces_of_ones_own_factors():
    factors = faces.sample_factors(9, hair="curly")
    drawn = faces.Drawn(factors, 16, "edges")
    np.testing.assert_array_equal(drawn[2:7:2], faces.draw(factors, 16, "edges")[2:7:2])
    assert drawn[[]].shape == (0, 16, 16, 3)
    with pytest.raises(ValueError, match="size must be an integer from 8"):
        faces.Drawn(factors, 7)
    with pytest.raises(ValueError, match="rendering must be"):
        faces.Drawn(factors, 8, "oil")
    with pytest.raises(ValueError, match="factors has no"):
        faces.Drawn({}, 8)


class Shapes(tfds.core.GeneratorBasedBuilder):
    """A tiny set of real files, written by the test."""

    VERSION = tfds.core.Version("1.0.0")
    pkg_dir_path = pathlib.Path(__file__).parent
    sizes = ((6, 6), (6, 6))

    def _info(self):
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(
                {
                    "picture": tfds.features.Image(shape=(None, None, 3)),
                    "kind": tfds.features.ClassLabel(names=["flat", "steep"]),
                }
            )
        )

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples(8), "test": self._generate_examples(4)}

    def _generate_examples(self, n):
        for i in range(n):
            height, width = self.sizes[i % 2]
            yield i, {"picture": np.full((height, width, 3), i * 20, "uint8"), "kind": i % 2}


class Mixed(Shapes):
    """The same, in two sizes."""

    VERSION = tfds.core.Version("1.0.0")
    pkg_dir_path = pathlib.Path(__file__).parent
    sizes = ((6, 9), (12, 6))


class Apples(Shapes):
    """Two domains, as the sets of CycleGAN have them."""

    VERSION = tfds.core.Version("1.0.0")
    pkg_dir_path = pathlib.Path(__file__).parent

    def _split_generators(self, dl_manager):
        counts = {"trainA": 3, "trainB": 5, "testA": 1, "testB": 2}
        return {split: self._generate_examples(n) for split, n in counts.items()}


class Sounds(tfds.core.GeneratorBasedBuilder):
    """A set without images."""

    VERSION = tfds.core.Version("1.0.0")
    pkg_dir_path = pathlib.Path(__file__).parent

    def _info(self):
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict({"loudness": np.float32})
        )

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples()}

    def _generate_examples(self):
        yield 0, {"loudness": 0.5}


def test_a_tfds_set(tmp_path):
    data = load("shapes", split="train", data_dir=tmp_path)
    assert isinstance(data, ImageDataset)
    assert data.num_examples == 8 and data.image_shape == (6, 6, 3)
    assert data.class_names == ["flat", "steep"]
    values = data.fetch(slice(None))[:, 0, 0, 0]
    assert sorted(values.tolist()) == [20 * i for i in range(8)]
    np.testing.assert_array_equal(values // 20 % 2, data.labels)
    assert load("shapes", split="train[:3]", data_dir=tmp_path).num_examples == 3
    assert load("shapes", split="test", image_size=4, data_dir=tmp_path).image_shape == (4, 4, 3)
    with pytest.raises(ValueError, match=r"\['test', 'train'\].*'validation'"):
        load("shapes", split="validation", data_dir=tmp_path)
    with pytest.raises(ValueError, match="empty"):
        load("shapes", split="train[:0]", data_dir=tmp_path)


def test_pixels_that_do_not_fit_into_memory_are_kept_in_the_store(tmp_path, monkeypatch):
    whole = load("shapes", data_dir=tmp_path)
    read = tfds.core.DatasetBuilder.as_dataset
    counted = []

    def counting(self, *args, **options):
        counted.append(options)
        return read(self, *args, **options)

    monkeypatch.setattr(tfds.core.DatasetBuilder, "as_dataset", counting)
    for _ in range(2):
        data = load("shapes", data_dir=tmp_path, memory=100)
        assert isinstance(data._images, Storage)
        np.testing.assert_array_equal(data.fetch(np.arange(8)), whole.fetch(np.arange(8)))
        np.testing.assert_array_equal(data.labels, whole.labels)
        assert data.fingerprint == whole.fingerprint
    (pixels,) = tmp_path.glob("kgen/shapes/1.0.0/train-ffffff-6x6x3.npy")
    assert pixels.stat().st_size == 128 + 8 * 6 * 6 * 3
    other = load("shapes", "train[3:5]", data_dir=tmp_path, memory=100, channels=1)
    assert other.image_shape == (6, 6, 1) and other.num_examples == 2


@pytest.mark.parametrize("limit", [2**31, 300])
def test_the_fingerprint_of_a_set_is_of_its_pixels(tmp_path, monkeypatch, limit):
    """In memory and in the store, whole or of more than is read."""
    monkeypatch.setattr(storage, "WHOLE", limit)
    make = Shapes._generate_examples
    found = []
    for place, more in (("a", 0), ("b", 0), ("c", 1)):
        monkeypatch.setattr(
            Shapes,
            "_generate_examples",
            lambda self, n, more=more: (
                (i, {**example, "picture": example["picture"] + np.uint8(more)})
                for i, example in make(self, n)
            ),
        )
        options = {"split": "train", "data_dir": tmp_path / place}
        found += [load("shapes", memory=memory, **options).fingerprint for memory in (None, 0)]
    assert len({*found[:4]}) == 1 and found[4] == found[5] != found[0]


def test_pixels_without_their_labels_are_unfinished(tmp_path):
    expected = load("shapes", data_dir=tmp_path, memory=0).labels
    (labels,) = tmp_path.rglob("*.labels.npy")
    labels.unlink()
    np.testing.assert_array_equal(load("shapes", data_dir=tmp_path, memory=0).labels, expected)


def test_a_failing_process_leaves_what_another_wrote(tmp_path):
    pixels, labels = tmp_path / "a.npy", tmp_path / "a.labels.npy"

    def some(fails=False):
        yield np.zeros((2, 2, 2, 1), "uint8"), np.array([0, 1])
        if fails:
            raise OSError(28, "No space left on device")

    _write(pixels, labels, 2, (2, 2, 1), some)
    with pytest.raises(OSError, match="No space"):
        _write(pixels, labels, 2, (2, 2, 1), lambda: some(fails=True))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.labels.npy", "a.npy"]


@pytest.mark.parametrize("memory", [None, 0])
def test_broken_images_of_tfds(tmp_path, memory, monkeypatch, capsys):
    load("shapes", data_dir=tmp_path)
    decode = tfds_images.decode

    def damaged(raw, *options):
        image = decode(raw, *options)
        return image if image.max() != 60 else decode(b"no image", *options)

    monkeypatch.setattr(tfds_images, "decode", damaged)
    with pytest.raises(ValueError, match=r"image of 'shapes' cannot be read: its content is no"):
        load("shapes", data_dir=tmp_path, memory=memory)
    data = load("shapes", data_dir=tmp_path, memory=memory, skip_broken=True)
    values = data.fetch(slice(None))[:, 0, 0, 0]
    assert sorted(values.tolist()) == [0, 20, 40, 80, 100, 120, 140]
    np.testing.assert_array_equal(values // 20 % 2, data.labels)
    assert "Left out 1 images of 'shapes'" in capsys.readouterr().out


def test_no_room_for_the_pixels(tmp_path, monkeypatch):
    load("shapes", data_dir=tmp_path)
    full = type("usage", (), {"free": 10})
    monkeypatch.setattr("shutil.disk_usage", lambda path: full)
    with pytest.raises(OSError, match=r"shapes/1\.0\.0 train.*GiB free.*data_dir="):
        load("shapes", data_dir=tmp_path, memory=100)
    monkeypatch.undo()
    monkeypatch.setattr("numpy.save", _no_space)
    with pytest.raises(OSError, match="No space left"):
        load("shapes", data_dir=tmp_path, memory=100)
    assert not list(tmp_path.rglob("kgen/**/*.*py*")) and not list(tmp_path.rglob(".writing-*"))


def _no_space(*args):
    raise OSError(28, "No space left on device")


def test_two_domains_of_tfds(tmp_path):
    data = load("apples", data_dir=tmp_path)
    assert isinstance(data, ImagePairs) and not data.aligned
    assert [len(images) for images in data.domains] == [3, 5]
    for memory, kept in ((8 * 108, np.ndarray), (7 * 108, Storage)):
        domains = load("apples", data_dir=tmp_path, memory=memory).domains
        assert all(isinstance(images, kept) for images in domains)  # which share it
    assert load("apples", "testB", data_dir=tmp_path).num_examples == 2
    with pytest.raises(ValueError, match=r"'train', 'trainA', 'trainB'\]; got 'all"):
        load("apples", "allA", data_dir=tmp_path)


def test_images_of_several_sizes_need_one(tmp_path):
    with pytest.raises(ValueError, match="several sizes"):
        load("mixed", data_dir=tmp_path)
    data = load("mixed", image_size=(4, 6), data_dir=tmp_path)
    assert data.image_shape == (4, 6, 3)
    images = data.fetch(slice(None))
    assert (images == images[:, :1, :1]).all()


def test_a_real_builder_on_mock_data(tmp_path):
    """The code of TensorFlow Datasets for a real set, with generated pixels."""
    with tfds.testing.mock_data(num_examples=12):
        data = load("fashion_mnist", data_dir=tmp_path)
    assert data.image_shape == (28, 28, 1) and data.num_examples == 12
    assert data.class_names[0] == "T-shirt/top" and data.num_classes == 10


def test_what_cannot_be_fetched_is_said_and_leaves_nothing(tmp_path, monkeypatch):
    def refuse(self, *args, **options):
        raise OSError("no route to host")

    monkeypatch.setattr(tfds.core.DatasetBuilder, "download_and_prepare", refuse)
    with pytest.raises(ConnectionError, match=r"'mnist'[\s\S]*no route[\s\S]*Three ways"):
        load("mnist", data_dir=tmp_path)
    assert not [p for p in tmp_path.rglob("*") if p.is_file()]


def test_without_a_connection_it_is_said_soon(tmp_path, monkeypatch):
    """The real downloader, where no name resolves; its pauses between tries are added up."""
    pauses = []

    def unknown(*args, **options):
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    monkeypatch.setattr("time.sleep", pauses.append)
    with pytest.raises(ConnectionError, match=r"'mnist'[\s\S]*not known[\s\S]*Three ways"):
        load("mnist", data_dir=tmp_path)
    assert sum(pauses) < 60
    assert not [p for p in tmp_path.rglob("*") if p.is_file() and "incomplete" in str(p)]


def test_a_missing_folder_is_not_looked_for_on_the_network(tmp_path, monkeypatch):
    def refuse(*args, **options):
        raise AssertionError("asked TensorFlow Datasets")

    monkeypatch.setattr(tfds, "builder", refuse)
    monkeypatch.setattr("tensorflow_datasets.core.community.community_register", refuse)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos" / "cats").mkdir(parents=True)
    for name, close in {
        "photo": "'photos'",
        "photos/cat": "'photos/cats'",
        "Photos": "'photos'",
        "MNIST": "'mnist'",
        "nothing like it": "name. Embedded are",
    }.items():
        with pytest.raises(ValueError) as error:
            load(name, data_dir=tmp_path / "store")
        said = str(error.value)
        assert said.startswith(f"There is no dataset {name!r}, and no folder or file of that name")
        assert close in said and "'digits'" in said


def test_unknown_names_list_what_there_is():
    with pytest.raises(ValueError, match=r"'digitz'[\s\S]*'digits'"):
        load("digitz")
    with pytest.raises(ValueError, match=r"perhaps[\s\S]*fashion_mnist"):
        load("fashion_minst")
    with pytest.raises(ValueError, match="no images"):
        load("sounds")
    for split in ("validation", "", 0, ["train"], {"train": 1}, np.array("train")):
        with pytest.raises(ValueError, match=r"splits \['train', 'test', 'all'\]; got"):
            load("digits", split=split)
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
        load("digits", memory="1GB")
    for size in (0, -8, (8,), (8, 8, 3), 8.5, "8"):
        with pytest.raises(ValueError, match="image_size"):
            load("digits", image_size=size)


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
            load("digits", **options)


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
        ("digits", None, 1_442),
        ("digits", "test", 355),
        ("digits", "all", 1_797),
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
    for name, count in (("digits", 1442), (tmp_path, 2), (tmp_path / "a.npy", 4)):
        with pytest.raises(ValueError, match=rf"image_size=\(999999, 999999\): {count} images"):
            load(name, image_size=999_999)
    assert load("digits", image_size=32, num_examples=2).image_shape == (32, 32, 1)


def test_a_dataset_trains_a_model():
    vae = kgen.VAE((8, 8))
    vae.compile()
    data = load("digits").take(128)
    history = vae.fit(data, batch_size=32, epochs=2, verbose=0, validation_data=data.take(40))
    assert history.history["loss"][1] < history.history["loss"][0]
    with pytest.raises(ValueError, match="expects"):
        vae.fit(load("digits", image_size=16), verbose=0)
