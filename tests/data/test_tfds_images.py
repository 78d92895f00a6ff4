"""Sets of TensorFlow Datasets, as they are read; the sets are made by the tests."""

import pathlib

import numpy as np
import pytest
import tensorflow_datasets as tfds

from kgen.data import ImageDataset, ImagePairs, Storage, load, storage, tfds_images
from kgen.data.tfds_images import _write


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
    monkeypatch.setattr(storage, "WHOLE_BYTES", limit)
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


def test_a_set_without_images(tmp_path):
    with pytest.raises(ValueError, match=r"'sounds' has no images.*loudness"):
        load("sounds", data_dir=tmp_path)


def test_a_real_builder_on_mock_data(tmp_path):
    """The code of TensorFlow Datasets for a real set, with generated pixels."""
    with tfds.testing.mock_data(num_examples=12):
        data = load("fashion_mnist", data_dir=tmp_path)
    assert data.image_shape == (28, 28, 1) and data.num_examples == 12
    assert data.class_names[0] == "T-shirt/top" and data.num_classes == 10


def test_two_domains_of_a_real_builder_on_mock_data(tmp_path):
    """The code for the sets of CycleGAN; mocked, it knows its splits from metadata only."""
    name = "cycle_gan/horse2zebra"
    builder = tfds.builder(name, data_dir=tmp_path)
    splits = [
        tfds.core.SplitInfo(name=f"{split}{domain}", shard_lengths=[12], num_bytes=0)
        for split in ("train", "test")
        for domain in "AB"
    ]
    builder.info.set_splits(tfds.core.SplitDict(splits))
    pathlib.Path(builder.data_dir).mkdir(parents=True)
    builder.info.write_to_directory(builder.data_dir)
    with tfds.testing.mock_data(num_examples=12, data_dir=str(tmp_path)):
        data = load(name, image_size=8, data_dir=tmp_path)
        test = load(name, "test", image_size=8, channels=1, num_examples=5, data_dir=tmp_path)
        with pytest.raises(ValueError, match=r"several sizes.*image_size="):
            load(name, data_dir=tmp_path)
        with pytest.raises(ValueError, match=r"'trainA', 'trainB'\]; got 'validation'"):
            load(name, "val", image_size=8, data_dir=tmp_path)
    assert not data.aligned and not test.aligned and data.domain_names == ("A", "B")
    assert data.image_shape == data.target_shape == (8, 8, 3) and data.num_examples == 12
    assert test.image_shape == (8, 8, 1) and [len(images) for images in test.domains] == [5, 5]
