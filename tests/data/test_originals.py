"""Sets of TensorFlow Datasets made of original files: checked, complete, or not at all."""

import errno
import gzip
import hashlib
import os
import pathlib
import struct
import types
import zipfile

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from tensorflow_datasets.core.download.checksums import UrlInfo

from kgen.data import load, originals, prepare

SITE = "http://pictures.invalid/files/"
PIXELS = np.random.default_rng(0).integers(0, 256, (6, 5, 4, 1), "uint8")


class Pictures(tfds.core.GeneratorBasedBuilder):
    """Two published files: an archive of images, and a list of labels."""

    VERSION = tfds.core.Version("2.0.0")
    pkg_dir_path = pathlib.Path(__file__).parent
    url_infos = {}  # the test registers its checksums here

    def _info(self):
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(shape=(5, 4, 1)),
                    "label": tfds.features.ClassLabel(num_classes=3),
                }
            )
        )

    def _split_generators(self, dl_manager):
        archive = dl_manager.download_and_extract(f"{SITE}pictures.zip")
        return {"train": self._generate_examples(archive, dl_manager.download(f"{SITE}l?id=7"))}

    def _generate_examples(self, archive, labels):
        pixels = np.frombuffer((archive / "pixels.bin").read_bytes(), "uint8")
        for i, label in enumerate(labels.read_bytes()):
            yield i, {"image": pixels.reshape(PIXELS.shape)[i], "label": label}


class Handmade(Pictures):
    """A set whose file is to be fetched by hand."""

    VERSION = tfds.core.Version("1.0.0")
    pkg_dir_path = pathlib.Path(__file__).parent
    MANUAL_DOWNLOAD_INSTRUCTIONS = "Ask the authors for labels.bin."

    def _split_generators(self, dl_manager):
        labels = dl_manager.manual_dir / "labels.bin"
        if not labels.exists():
            raise AssertionError(f"{labels} not found")
        (labels.parent / "pixels.bin").exists()
        return {"train": self._generate_examples(labels.parent, labels)}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The originals, and what is on record of them."""
    folder = tmp_path / "originals"
    (folder / "deep").mkdir(parents=True)
    with zipfile.ZipFile(folder / "deep" / "pictures.zip", "w") as archive:
        archive.writestr("pixels.bin", PIXELS.tobytes())
    (folder / "labels-of-pictures.bin").write_bytes(bytes([0, 1, 2, 0, 1, 2]))
    files = {"pictures.zip": "deep/pictures.zip", "l?id=7": "labels-of-pictures.bin"}
    record = {}
    for url, name in files.items():
        content = (folder / name).read_bytes()
        digest = hashlib.sha256(content).hexdigest()
        record[SITE + url] = UrlInfo(size=len(content), checksum=digest, filename=None)
    monkeypatch.setattr(Pictures, "url_infos", record)
    return folder


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    def refuse(*args, **options):
        raise AssertionError("went to the network")

    monkeypatch.setattr("socket.getaddrinfo", refuse)


def is_empty(store):
    return not store.exists() or not list(store.rglob("*"))


def test_a_set_is_made_of_its_originals(folder, tmp_path):
    path = prepare("pictures", folder, tmp_path / "store")
    assert path == tmp_path / "store" / "pictures" / "2.0.0"
    data = load("pictures", data_dir=tmp_path / "store")
    order = np.argsort([image.tobytes() for image in data.fetch(np.arange(6))[..., 0]])
    known = np.argsort([image.tobytes() for image in PIXELS[..., 0]])
    np.testing.assert_array_equal(data.fetch(order), PIXELS[known])
    np.testing.assert_array_equal(data.labels[order], known % 3)
    assert [p.name for p in (tmp_path / "store").iterdir()] == ["pictures"]  # no downloads stay
    assert (folder / "deep" / "pictures.zip").exists()
    assert prepare("pictures", tmp_path / "nowhere", tmp_path / "store") == path  # at once


def test_renamed_originals_are_known_by_their_content(folder, tmp_path):
    os.rename(folder / "deep" / "pictures.zip", folder / "download (3)")
    (folder / "pictures.zip").write_bytes(b"another file of this name")
    prepare("pictures", folder, tmp_path / "store")


def test_wrong_originals_are_named_with_both_checksums(folder, tmp_path):
    path = folder / "deep" / "pictures.zip"
    content = bytearray(path.read_bytes())
    expected = hashlib.sha256(content).hexdigest()
    content[-30] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match="not the originals") as error:
        prepare("pictures", folder, tmp_path / "store")
    for part in (str(path), expected, hashlib.sha256(content).hexdigest(), f"{len(content)} bytes"):
        assert part in str(error.value)
    assert is_empty(tmp_path / "store")


def test_a_wrong_original_that_was_fetched_again(folder, tmp_path):
    path = folder / "deep" / "pictures.zip"
    content = path.read_bytes()
    path.write_bytes(bytes(reversed(content)))
    with pytest.raises(ValueError, match="Fetch them again"):
        prepare("pictures", folder, tmp_path / "store")
    path.write_bytes(content)
    prepare("pictures", folder, tmp_path / "store")


def test_all_missing_originals_are_named(folder, tmp_path):
    """Those that the builder would ask for only after it had the first, too."""
    (folder / "deep" / "pictures.zip").unlink()
    (folder / "labels-of-pictures.bin").unlink()
    with pytest.raises(FileNotFoundError) as error:
        prepare("pictures", folder, tmp_path / "store")
    for url, info in Pictures.url_infos.items():
        assert f"{url} (" in str(error.value)
        assert f"{int(info.size)} bytes, SHA-256 {info.checksum}" in str(error.value)
    assert is_empty(tmp_path / "store")
    with pytest.raises(FileNotFoundError, match=r"no .*nowhere"):
        prepare("pictures", tmp_path / "nowhere", tmp_path / "store")


def test_originals_that_come_by_hand(folder, tmp_path):
    with pytest.raises(ValueError, match=r"labels\.bin not found[\s\S]*Ask the authors"):
        prepare("handmade", folder, tmp_path / "store")
    assert is_empty(tmp_path / "store")
    (folder / "labels.bin").write_bytes(bytes([2, 2]))
    (folder / "pixels.bin").write_bytes(PIXELS.tobytes())
    prepare("handmade", folder, tmp_path / "store")
    assert load("handmade", data_dir=tmp_path / "store").labels.tolist() == [2, 2]


def test_wrong_and_missing_originals_are_told_together(folder, tmp_path):
    (folder / "deep" / "pictures.zip").write_bytes(b"something else")
    (folder / "labels-of-pictures.bin").unlink()
    with pytest.raises(ValueError, match=r"not the originals[\s\S]*lacks[\s\S]*id=7"):
        prepare("pictures", folder, tmp_path / "store")


FULL = OSError(28, "No space left on device")
QUOTA = tf.errors.ResourceExhaustedError(None, None, "x.tfrecord; Disk quota exceeded")


@pytest.mark.parametrize("error", [FULL, QUOTA, KeyboardInterrupt()])
def test_what_is_interrupted_leaves_nothing(folder, tmp_path, monkeypatch, error):
    def examples(self, *args):
        yield 0, {"image": PIXELS[0], "label": 0}
        raise error

    monkeypatch.setattr(Pictures, "_generate_examples", examples)
    interrupted = isinstance(error, KeyboardInterrupt)
    with pytest.raises(KeyboardInterrupt if interrupted else OSError) as raised:
        prepare("pictures", folder, tmp_path / "store")
    if not interrupted:
        assert raised.value.errno == errno.ENOSPC and "data_dir=" in str(raised.value)
        assert "No space left" in str(raised.value) or "quota" in str(raised.value)
    assert is_empty(tmp_path / "store")


def test_no_room_is_said_before_anything_is_written(folder, tmp_path, monkeypatch):
    free = types.SimpleNamespace(free=PIXELS.size - 1)  # one byte less than the archive unpacked
    monkeypatch.setattr("shutil.disk_usage", lambda path: free)
    with pytest.raises(OSError, match=r"store has 0\.00 GiB free of at least 0\.00 GiB") as error:
        prepare("pictures", folder, tmp_path / "store")
    assert error.value.errno == errno.ENOSPC and "data_dir=" in str(error.value)
    free.free += 1
    monkeypatch.setattr(Pictures, "_generate_examples", None)  # not what is looked at here
    with pytest.raises(ValueError, match="could not be prepared"):
        prepare("pictures", folder, tmp_path / "store")
    assert is_empty(tmp_path / "store")


def test_gzip_headers_that_a_distribution_stripped(tmp_path, monkeypatch):
    """Name and time are put back, and the checksum on record is what decides."""
    plain = gzip.compress(b"labels", mtime=0)
    name = b"labels-idx1-ubyte"
    original = struct.pack("<4sIBB", b"\x1f\x8b\x08\x08", 1234567, 0, 3) + name + b"\0" + plain[10:]
    assert gzip.decompress(original) == b"labels"
    path = tmp_path / "labels-idx1-ubyte.gz"
    path.write_bytes(plain)
    digest = hashlib.sha256(original).hexdigest()
    record = {f"{SITE}{path.name}": UrlInfo(len(original), digest, None)}
    with pytest.raises(FileNotFoundError):
        originals.Originals(tmp_path, "x", record).find(f"{SITE}{path.name}")
    monkeypatch.setitem(originals.GZIP_SECONDS, "labels-idx1-ubyte", 1234567)
    source = originals.Originals(tmp_path, "x", record)
    assert source.find(f"{SITE}{path.name}") == path and path in source.restored
    assert originals._with_header(path) == original
