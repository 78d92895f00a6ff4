"""LSUN's LMDB, read without tensorflow-io: through TensorFlow Datasets, and directly."""

import concurrent.futures
import hashlib
import io
import pickle
import sys
import zipfile

import lmdb
import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image
from tensorflow_datasets.core.download.checksums import UrlInfo

from kgen.data import lsun, prepare
from kgen.data.sources import load
from kgen.data.storage import Storage

PIXELS = np.random.default_rng(0).integers(0, 256, (7, 12, 16, 3), "uint8")


def encoded(image):
    file = io.BytesIO()
    Image.fromarray(image).save(file, "WEBP", lossless=True)
    return file.getvalue()


def write(folder, images):
    folder.mkdir(parents=True)
    with lmdb.open(str(folder), map_size=2**22) as database, database.begin(write=True) as writing:
        for image in images:
            content = encoded(image)
            writing.put(hashlib.sha1(content).hexdigest().encode(), content)
    (folder / "lock.mdb").unlink(missing_ok=True)
    return folder


def same(images, expected):
    key = lambda image: image.tobytes()  # noqa: E731
    return sorted(map(key, images)) == sorted(map(key, expected))


def test_an_lmdb_by_index(tmp_path):
    images = lsun.Images(write(tmp_path / "a", PIXELS))
    assert len(images) == 7 and len(images.key(0)) == 40
    assert images.key(0) < images.key(1)
    assert hashlib.sha1(images.read(3)).hexdigest() == images.key(3)


def test_threads_read_at_once(tmp_path):
    images = lsun.Images(write(tmp_path / "a", PIXELS))
    numbers = np.random.default_rng(0).integers(0, 7, 400)
    with concurrent.futures.ThreadPoolExecutor(8) as threads:
        for i, content in zip(numbers, threads.map(images.read, numbers), strict=True):
            assert hashlib.sha1(content).hexdigest() == images.key(i)


def test_without_lmdb(tmp_path, monkeypatch):
    folder = write(tmp_path / "a", PIXELS)
    monkeypatch.setitem(sys.modules, "lmdb", None)
    for ask in (lambda: lsun.Images(folder), lambda: prepare("lsun/cat", folder, tmp_path / "s")):
        with pytest.raises(ImportError, match="pip install lmdb"):
            ask()


def test_an_attempt_leaves_nothing_in_the_store(tmp_path, monkeypatch):
    """Neither of the set nor of what all its configurations share."""

    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tfds.builder_cls("lsun"), "_split_generators", full)
    with pytest.raises(OSError, match="no room for 'lsun/cat'"):
        prepare("lsun/cat", tmp_path, tmp_path / "store")
    assert not list((tmp_path / "store").rglob("*"))


@pytest.mark.parametrize("memory", [None, 0])
def test_a_folder_with_an_lmdb(tmp_path, memory):
    folder = write(tmp_path / "bedroom_train_lmdb", PIXELS)
    data = load(folder, image_size=(12, 16), memory=memory)
    assert isinstance(data._images, Storage) == (memory == 0)
    assert data.image_shape == (12, 16, 3) and same(data.fetch(np.arange(7)), PIXELS)
    assert load(folder, "test", image_size=8, memory=memory).num_examples == 1
    assert load(folder, image_size=8, num_examples=3, memory=memory).num_examples == 3
    with pytest.raises(ValueError, match="image_size="):
        load(folder)


def test_what_cannot_be_read_in_an_lmdb(tmp_path):
    folder = write(tmp_path / "a", PIXELS)
    with lmdb.open(str(folder), lock=False) as database, database.begin(write=True) as writing:
        writing.put(b"zz", b"no image")
    with pytest.raises(ValueError, match=r"7 of \S*a cannot be read: .* no image\. Pass skip_bro"):
        load(folder, image_size=8)
    assert load(folder, image_size=8, skip_broken=True).num_examples == 7


def test_a_copy_reads_the_same_lmdb(tmp_path):
    data = load(write(tmp_path / "a", PIXELS), image_size=8, memory=0)
    again = pickle.loads(pickle.dumps(data))
    np.testing.assert_array_equal(again.fetch(np.arange(7)), data.fetch(np.arange(7)))


def test_no_lmdb(tmp_path):
    (tmp_path / "data.mdb").write_bytes(b"not a database" * 1000)
    with pytest.raises(ValueError, match="cannot be read as an LMDB"):
        load(tmp_path, image_size=8)
    with pytest.raises(ValueError, match=r"no data\.mdb"):
        lsun.Images(tmp_path / "nothing")


def test_lsun_through_tensorflow_datasets(tmp_path, monkeypatch):
    """The published archives, small, with their checksums on record."""
    originals, record = tmp_path / "originals", {}
    originals.mkdir()
    for split, images in {"train": PIXELS[:5], "val": PIXELS[5:]}.items():
        name = f"bedroom_{split}_lmdb"
        folder = write(tmp_path / name, images)
        with zipfile.ZipFile(originals / f"{name}.zip", "w") as archive:
            archive.write(folder / "data.mdb", f"{name}/data.mdb")
        content = (originals / f"{name}.zip").read_bytes()
        url = f"http://dl.yf.io/lsun/scenes/{name}.zip"
        record[url] = UrlInfo(len(content), hashlib.sha256(content).hexdigest(), f"{name}.zip")
    monkeypatch.setattr(
        "tensorflow_datasets.core.download.checksums.get_all_url_infos", lambda: dict(record)
    )
    monkeypatch.setattr(tfds.builder_cls("lsun"), "url_infos", record)
    prepare("lsun/bedroom", originals, tmp_path / "store")
    data = load("lsun/bedroom", image_size=(12, 16), data_dir=tmp_path / "store")
    assert data.num_examples == 5 and same(data.fetch(np.arange(5)), PIXELS[:5])
    test = load("lsun/bedroom", "validation", image_size=(12, 16), data_dir=tmp_path / "store")
    assert same(test.fetch(np.arange(2)), PIXELS[5:])
