import pathlib
import socket

import numpy as np
import pytest
import tensorflow_datasets as tfds
from sklearn.datasets import load_digits

import kgen
from kgen.data import ImageDataset, faces, load


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


def test_digits_resized():
    data = load("digits", image_size=28)
    assert data.image_shape == (28, 28, 1)
    small = data.at_resolution(8).images(50)
    assert np.abs(small - load("digits").images(50)).mean() < 0.15


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


def test_unknown_names_list_what_there_is():
    with pytest.raises(ValueError, match=r"'digitz'[\s\S]*'digits'"):
        load("digitz")
    with pytest.raises(ValueError, match=r"perhaps[\s\S]*fashion_mnist"):
        load("fashion_minst")
    with pytest.raises(ValueError, match="no images"):
        load("sounds")
    with pytest.raises(ValueError, match=r"splits \['train', 'test', 'all'\]"):
        load("digits", split="validation")
    for size in (0, -8, (8,), (8, 8, 3), 8.5, "8"):
        with pytest.raises(ValueError, match="image_size"):
            load("digits", image_size=size)


def test_a_dataset_trains_a_model():
    vae = kgen.VAE((8, 8))
    vae.compile()
    data = load("digits").take(128)
    history = vae.fit(data, batch_size=32, epochs=2, verbose=0, validation_data=data.take(40))
    assert history.history["loss"][1] < history.history["loss"][0]
    with pytest.raises(ValueError, match="expects"):
        vae.fit(load("digits", image_size=16), verbose=0)
