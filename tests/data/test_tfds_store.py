"""Sets of TensorFlow Datasets that are not in the store: what is fetched, and what is said."""

import socket

import pytest
import tensorflow_datasets as tfds

from kgen.data import load, prepare


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


def test_without_originals_it_is_fetched(tmp_path, monkeypatch):
    def refuse(self, *args, **options):
        raise OSError("no route to host")

    monkeypatch.setattr(tfds.core.DatasetBuilder, "download_and_prepare", refuse)
    with pytest.raises(ConnectionError, match=r"no route[\s\S]*--originals FOLDER"):
        prepare("mnist", data_dir=tmp_path / "store")
    with pytest.raises(ValueError, match="no dataset 'mnizt'"):
        prepare("mnizt", tmp_path)


def test_a_full_disk_is_no_matter_of_the_connection(tmp_path, monkeypatch):
    def full(self, *args, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tfds.core.DatasetBuilder, "download_and_prepare", full)
    with pytest.raises(OSError, match=r"no room for 'mnist'.*data_dir=") as error:
        prepare("mnist", data_dir=tmp_path / "store")
    assert not isinstance(error.value, ConnectionError)
