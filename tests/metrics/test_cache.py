"""What is kept of real images: found once for the same content, in memory and on disk."""

import os
import sys
import zipfile

import numpy as np
import pytest

import kgen
from kgen.metrics import Features, features, fid, kid
from kgen.metrics.evaluation import Reference

cache = sys.modules["kgen.metrics.cache"]


@pytest.fixture(autouse=True)
def nothing_kept(monkeypatch):
    monkeypatch.setattr(cache, "_kept", type(cache._kept)())


def pictures(n=40, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, 4, 4, 1), "uint8")


class Counting(Features):
    """Pixels, and how many images it has seen."""

    def __init__(self, identity="counting"):
        super().__init__("counting", 16, self.look, identity=lambda: identity)
        self.seen = 0

    def look(self, images):
        self.seen += len(images)
        return images.reshape(len(images), -1) / 255


def test_the_same_real_images_are_seen_once_whatever_holds_them(tmp_path):
    extractor, images, fake = Counting(), pictures(), pictures(30, 1)
    first = fid(images, fake, extractor)
    assert extractor.seen == 40 + 30
    data = kgen.data.dataset.from_arrays(images, shuffle=True, batch_size=8)
    np.save(tmp_path / "images.npy", images)
    batches = [images[:7], images[7:]]
    floats = kgen.data.to_model_range(images)
    loaded = kgen.data.load(tmp_path / "images.npy")
    for same in (images, images[..., 0], floats, batches, data, loaded):
        extractor.seen = 0
        assert fid(same, fake, extractor) == first
        assert extractor.seen == 30


def test_test_images_are_seen_once_too_and_serve_as_real_ones():
    extractor = Counting()
    fid(pictures(), pictures(30, 1), extractor, test=pictures(20, 2))
    fid(pictures(20, 2), pictures(30, 1), extractor, test=pictures())
    assert extractor.seen == 40 + 20 + 2 * 30


def test_kid_keeps_features():
    extractor = Counting()
    for seed in (1, 2):
        kid(pictures(), pictures(30, seed), extractor, subset_size=10)
    assert extractor.seen == 40 + 2 * 30


def test_other_images_order_or_features_are_seen():
    extractor = Counting()
    changed = pictures()
    changed[3, 2, 1] ^= 1
    for images in (pictures(), changed, pictures()[::-1], pictures()[:39]):
        extractor.seen = 0
        fid(images, pictures(30, 1), extractor)
        assert extractor.seen == len(images) + 30
    other = Counting("another")
    fid(pictures(), pictures(30, 1), other)
    assert other.seen == 40 + 30


def test_features_without_an_identity_share_nothing():
    one, other = (Features("mine", 16, lambda x: x.reshape(len(x), -1)) for _ in range(2))
    assert one.identity() == one.identity() != other.identity()


def test_a_model_that_learns_is_another():
    import keras

    inputs = keras.Input((4, 4, 1))
    model = keras.Model(inputs, keras.layers.Dense(2)(keras.layers.Flatten()(inputs)))
    before, identity = fid(pictures(), pictures(30, 1), model), features(model).identity()
    assert features(model).identity() == identity
    model.layers[-1].kernel.assign(2 * model.layers[-1].kernel)
    assert features(model).identity() != identity
    assert fid(pictures(), pictures(30, 1), model).value == pytest.approx(4 * before.value)


def test_a_generator_is_seen_once_and_nothing_is_kept():
    extractor = Counting()
    found = fid((pictures(10, seed) for seed in range(4)), pictures(30, 1), extractor)
    assert found.n_real == 40 and not cache._kept


def test_the_oldest_goes_first(monkeypatch):
    extractor = Counting()
    size = 8 * (16 + 16 * 16 + 1 + 3 + 1 + 1)
    monkeypatch.setattr(cache, "LIMIT_BYTES", 2 * size)
    for seed, seen in ((0, True), (1, True), (0, False), (2, True), (0, False), (1, True)):
        extractor.seen = 0
        fid(pictures(seed=seed), pictures(30, 9), extractor)
        assert extractor.seen == 30 + 40 * seen, seed
    assert sum(map(cache._size, cache._kept.values())) == 2 * size
    monkeypatch.setattr(cache, "LIMIT_BYTES", size - 1)  # what is too large is not kept at all
    fid(pictures(seed=5), pictures(30, 9), extractor)
    assert not cache._kept


def test_what_is_kept_cannot_be_written_to():
    fid(pictures(), pictures(30, 1), "pixels")
    (found,) = cache._kept.values()
    with pytest.raises(ValueError, match="read-only"):
        found["mean"][0] = 1


@pytest.mark.parametrize("named", [True, False])
def test_on_disk_where_asked(tmp_path, monkeypatch, named):
    monkeypatch.setenv("KGEN_CACHE", str(tmp_path / "kept"))
    folder = True if named else tmp_path / "kept"
    extractor, fake = Counting(), pictures(30, 1)
    fid(pictures(), fake, extractor)
    assert not (tmp_path / "kept").exists()
    first = fid(pictures(), fake, extractor, cache=folder)  # what is in memory is written
    (file,) = (tmp_path / "kept").iterdir()
    assert file.suffix == ".npz" and extractor.seen == 40 + 2 * 30
    cache._kept.clear()
    assert fid(pictures(), fake, extractor, cache=folder) == first
    assert extractor.seen == 40 + 3 * 30


def test_the_working_directory_may_change(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    reference = Reference(images := pictures(), "pixels", ["kid"], cache="kept")
    (elsewhere := tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(elsewhere)
    reference.measure(images)
    assert any((tmp_path / "kept").iterdir()) and not any(elsewhere.iterdir())


def test_a_damaged_file_is_replaced(tmp_path):
    extractor, fake = Counting(), pictures(30, 1)
    first = fid(pictures(), fake, extractor, cache=tmp_path)
    (file,) = tmp_path.iterdir()
    whole = file.read_bytes()
    for damaged in (b"", whole[:100], whole[:-50], whole[:900] + b"damage" + whole[906:]):
        file.write_bytes(damaged)
        cache._kept.clear()
        extractor.seen = 0
        assert fid(pictures(), fake, extractor, cache=tmp_path) == first
        assert extractor.seen == 40 + 30 and [*tmp_path.iterdir()] == [file]
        assert len(file.read_bytes()) == len(whole)


def written(tmp_path, extractor, images):
    """What is found of images, and the file that it was written to."""
    before = set(tmp_path.iterdir())
    found = fid(images, pictures(30, 1), extractor, cache=tmp_path)
    return found, (set(tmp_path.iterdir()) - before).pop()


def with_member(name, data):
    """An archive of one member, whatever is in it."""

    def write(path):
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(name, data)

    return write


def header(text):
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(b"PK"),
        lambda path: path.write_bytes(b"\x80\x04K\x03."),  # a pickle
        lambda path: np.savez(path, key=np.array("x" * 32), mean=np.zeros(16)),
        lambda path: np.savez(path, mean=np.zeros(16)),
        lambda path: np.savez(path, key=np.array({}, object)),
        lambda path: np.savez(path, key=np.zeros(3)),
        with_member("mean.npy", header(b"'''")),  # tokenize.TokenError
        with_member("mean.npy", header(b"(" * 5000 + b")" * 5000)),  # MemoryError, RecursionError
        with_member("mean.npy", header(b"{'descr': '<f8', 'fortran_order': 0, 'shape': (2, 'a')}")),
        with_member("mean.npy", header(b"{'descr':'<f8','fortran_order':False,'shape':(2**60,)}")),
        with_member(
            "mean.npy", header(b"{'descr':'<f8','fortran_order':False,'shape':(%d,)}" % 2**59)
        ),
        with_member("mean.npy", b"no array"),
    ],
)
def test_whatever_a_damaged_file_raises_it_is_replaced(tmp_path, damage):
    extractor = Counting()
    first, file = written(tmp_path, extractor, pictures())
    whole = file.read_bytes()
    damage(file)
    cache._kept.clear()
    assert fid(pictures(), pictures(30, 1), extractor, cache=tmp_path) == first
    assert file.read_bytes() == whole and [*tmp_path.iterdir()] == [file]


def test_compressed_or_encrypted_files_are_replaced(tmp_path):
    """Flags and methods that zipfile refuses: NotImplementedError, RuntimeError."""
    extractor = Counting()
    first, file = written(tmp_path, extractor, pictures())
    whole = file.read_bytes()
    central = whole.index(b"PK\x01\x02")
    for place, value in ((8, 1), (10, 99), (8, 32)):
        data = bytearray(whole)
        data[central + place] = value
        file.write_bytes(data)
        cache._kept.clear()
        assert fid(pictures(), pictures(30, 1), extractor, cache=tmp_path) == first
        assert file.read_bytes() == whole, place


def test_a_file_under_anothers_name_or_of_another_version_is_not_taken(tmp_path, monkeypatch):
    extractor = Counting()
    first, file = written(tmp_path, extractor, pictures())
    other, others = written(tmp_path, extractor, 255 - pictures())
    others.write_bytes(file.read_bytes())
    cache._kept.clear()
    assert fid(255 - pictures(), pictures(30, 1), extractor, cache=tmp_path) == other != first
    monkeypatch.setattr(cache, "VERSION", cache.VERSION + 1)
    cache._kept.clear()
    extractor.seen = 0
    assert fid(pictures(), pictures(30, 1), extractor, cache=tmp_path) == first
    assert extractor.seen == 40 + 30 and len([*tmp_path.iterdir()]) == 3


def test_a_folder_in_a_files_place_does_not_stop_the_measure(tmp_path):
    extractor = Counting()
    first, file = written(tmp_path, extractor, pictures())
    file.unlink()
    file.mkdir()
    cache._kept.clear()
    assert fid(pictures(), pictures(30, 1), extractor, cache=tmp_path) == first


def test_a_pipe_in_a_files_place_is_replaced(tmp_path):
    extractor = Counting()
    first, file = written(tmp_path, extractor, pictures())
    file.unlink()
    os.mkfifo(file)
    cache._kept.clear()
    assert fid(pictures(), pictures(30, 1), extractor, cache=tmp_path) == first
    assert file.is_file()


def test_a_full_disk_leaves_nothing_behind(tmp_path, full_disk):
    wide = Features("wide", 64, lambda x: np.tile(x.reshape(len(x), -1), 4), identity=lambda: "w")
    with full_disk(), pytest.raises(OSError):
        fid(pictures(), pictures(30, 1), wide, cache=tmp_path)
    assert not [*tmp_path.iterdir()]


def test_wrong_folders_are_refused(tmp_path):
    with pytest.raises(TypeError, match="cache must be None, True or a folder; got 3"):
        fid(pictures(), pictures(), "pixels", cache=3)
    (tmp_path / "file").write_text("")
    with pytest.raises(FileExistsError):
        fid(pictures(), pictures(), "pixels", cache=tmp_path / "file")
