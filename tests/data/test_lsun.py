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
    images = lsun.LmdbImages(write(tmp_path / "a", PIXELS))
    assert len(images) == 7 and len(images.key(0)) == 40
    assert images.key(0) < images.key(1)
    assert hashlib.sha1(images.read(3)).hexdigest() == images.key(3)


def test_threads_read_at_once(tmp_path):
    images = lsun.LmdbImages(write(tmp_path / "a", PIXELS))
    numbers = np.random.default_rng(0).integers(0, 7, 400)
    with concurrent.futures.ThreadPoolExecutor(8) as threads:
        for i, content in zip(numbers, threads.map(images.read, numbers), strict=True):
            assert hashlib.sha1(content).hexdigest() == images.key(i)


def test_lmdb_is_not_needed(tmp_path, monkeypatch):
    folder = write(tmp_path / "a", PIXELS)
    monkeypatch.setitem(sys.modules, "lmdb", None)
    assert len(lsun.LmdbImages(folder)) == 7


def written(folder, values, deleted=()):
    """An LMDB of these values by key, written in several transactions."""
    keys = sorted(values)
    with lmdb.open(str(folder), map_size=2**24) as database:
        for part in range(3):
            with database.begin(write=True) as writing:
                for key in keys[part::3]:
                    writing.put(key, values[key])
        with database.begin(write=True) as writing:
            for key in deleted:
                writing.delete(key)
    return folder


def test_values_of_all_sizes(tmp_path):
    """Within a page and on pages of their own, below several branches, some deleted."""
    random = np.random.default_rng(0)
    values = {random.bytes(20): random.bytes(random.choice([0, 3, 2000, 9000])) for _ in range(300)}
    deleted = sorted(values)[::7]
    images = lsun.LmdbImages(written(tmp_path, values, deleted))
    expected = sorted(values.keys() - set(deleted))
    assert images._keys == expected
    assert [images.read(i) for i in range(len(images))] == [values[key] for key in expected]
    assert [images.entry(i)[1] for i in range(9)] == [len(values[key]) for key in expected[:9]]


def test_wherever_it_is_cut_off_it_says_so(tmp_path):
    random = np.random.default_rng(0)
    values = {random.bytes(20): random.bytes(random.choice([3, 1000, 6000])) for _ in range(60)}
    whole = (written(tmp_path / "a", values) / "data.mdb").read_bytes()
    (tmp_path / "b").mkdir()
    pages = [page * 4096 + more for page in range(len(whole) // 4096) for more in (-1, 0, 1, 2000)]
    for length in [0, 1, 20, 152, *pages[1:]]:
        (tmp_path / "b/data.mdb").write_bytes(whole[:length])
        try:
            images = lsun.LmdbImages(tmp_path / "b")
        except ValueError as error:
            assert f"{tmp_path / 'b'} cannot be read as an LMDB: it" in str(error)
        else:  # what is gone was free
            assert {key: images.read(i) for i, key in enumerate(images._keys)} == values


def test_damage_is_an_error_or_in_one_image(tmp_path):
    random = np.random.default_rng(0)
    values = {random.bytes(20): random.bytes(random.choice([3, 1000, 6000])) for _ in range(60)}
    file = written(tmp_path, values) / "data.mdb"
    whole, errors = file.read_bytes(), 0
    for _ in range(300):
        damaged = np.frombuffer(whole, "uint8").copy()
        pages = random.integers(2, len(whole) // 4096, 9)  # not those that say where the tree is
        damaged[pages * 4096 + random.integers(0, 200, 9)] = 77
        file.write_bytes(damaged.tobytes())
        try:
            images = lsun.LmdbImages(tmp_path)
            assert len(images) == 60 and all(len(images.read(i)) <= len(whole) for i in range(60))
        except ValueError as error:
            errors += "cannot be read as an LMDB" in str(error)
    assert errors > 50


def test_other_databases_are_refused(tmp_path):
    with lmdb.open(str(tmp_path / "a"), max_dbs=1) as database:
        inner = database.open_db(b"inner")
        with database.begin(write=True, db=inner) as writing:
            writing.put(b"a", b"b")
    with pytest.raises(ValueError, match="other databases, such as b'inner'"):
        lsun.LmdbImages(tmp_path / "a")
    with lmdb.open(str(tmp_path / "empty")):
        pass
    with pytest.raises(ValueError, match="empty: there is nothing to load"):
        load(tmp_path / "empty", image_size=8)


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
        lsun.LmdbImages(tmp_path / "nothing")


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
