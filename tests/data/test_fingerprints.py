"""`fingerprint`: equal for equal training data, wherever it lies, and for nothing else."""

import gzip
import os
import shutil

import lmdb
import numpy as np
import pytest
from PIL import Image

import kgen
from kgen.data import ImageDataset, ImagePairs, Storage, load, storage
from kgen.data.memory import KeptImages
from kgen.data.storage import ResizedImages

IMAGES = np.random.default_rng(0).integers(0, 256, (20, 8, 6, 3), "uint8")


class Own(Storage):
    """A storage that knows nothing of identities, as a user writes it."""

    def __init__(self, images):
        self.images, self.shape = images, images.shape

    def read(self, indices):
        return self.images[indices]


def idx(array):
    sides = np.array(array.shape, ">u4").tobytes()
    return b"\0\0\x08" + bytes([array.ndim]) + sides + array.tobytes()


def flat(folder, images):
    folder.mkdir(parents=True, exist_ok=True)
    for i, image in enumerate(images):  # uncompressed: other pixels, the same size
        Image.fromarray(image).save(folder / f"{i:02}.bmp")


def classes(folder, images):
    flat(folder / "cat", images[::2])
    flat(folder / "dog", images[1::2])


def domains(folder, images):
    flat(folder / "trainA", images[:12])
    flat(folder / "trainB", images[12:])


def database(folder, images):
    flat(folder.parent / "encoded", images)
    shutil.rmtree(folder, ignore_errors=True)
    with lmdb.open(str(folder)) as base, base.begin(write=True) as writing:
        for path in sorted((folder.parent / "encoded").iterdir()):
            writing.put(path.stem.encode(), path.read_bytes())


def npy(path, images):
    np.save(path.with_suffix(".npy"), images)


def npz(path, images):
    np.savez(path.with_suffix(".npz"), images=images)


def idx_files(folder, images):
    folder.mkdir(exist_ok=True)
    content = gzip.compress(idx(images[..., 0]), mtime=0)
    (folder / "train-images-idx3-ubyte.gz").write_bytes(content)


SOURCES = {
    "flat": (flat, "", {}),
    "resized": (flat, "", {"image_size": 4, "channels": 1}),
    "classes": (classes, "", {}),
    "pairs": (flat, "", {"kind": "pairs"}),
    "domains": (domains, "", {"image_size": 4}),
    "lmdb": (database, "", {"image_size": (8, 6)}),
    "npy": (npy, ".npy", {}),
    "grey npy": (npy, ".npy", {"channels": 1, "image_size": 4}),
    "test of npy": (npy, ".npy", {"split": "test"}),
    "npz": (npz, ".npz", {}),
    "idx": (idx_files, "", {}),
}


def test_files_keep_the_fingerprint_that_checkpoints_have_of_them(tmp_path):
    pixels = np.arange(3 * 8 * 16 * 3, dtype="uint8").reshape(3, -1)
    for i, row in enumerate(pixels):
        (tmp_path / f"{i}.ppm").write_bytes(b"P6 16 8 255\n" + row.tobytes())
    assert load(tmp_path).fingerprint == "445bb11ef9bafb3cc1e670878bf79aea"
    assert load(tmp_path, kind="pairs").fingerprint == "dc3fd0187e77e0e295d3c69a09764d29"


@pytest.mark.parametrize("kind", SOURCES)
@pytest.mark.parametrize("whole", [True, False])
def test_of_everything_that_is_loaded(tmp_path, monkeypatch, kind, whole):
    """`whole`: all of it is read; otherwise it is larger than what is."""
    if not whole:
        monkeypatch.setattr(storage, "WHOLE_BYTES", 1000)
    write, suffix, options = SOURCES[kind]
    place = tmp_path / "a" / f"images{suffix}"
    place.parent.mkdir()

    def fingerprint(path=place, **more):
        return load(path, **options, **more).fingerprint

    write(place, IMAGES)
    base = fingerprint()
    memories = [0, 700]
    assert {fingerprint(memory=memory) for memory in memories} == {base}
    (tmp_path / "elsewhere").mkdir()
    copied = tmp_path / "elsewhere" / f"copy{suffix}"
    (shutil.copytree if place.is_dir() else shutil.copy2)(place, copied)  # with their times
    assert fingerprint(copied, memory=0) == base
    if place.is_dir():
        (copied / "notes.txt").write_text("no image")
        assert fingerprint(copied) == base
    for path in [copied, *copied.rglob("*")]:
        os.utime(path, (10**9, 10**9))
    if whole:
        assert fingerprint(copied) == base
    write(place, 255 - IMAGES)
    if not whole:  # what is not read is known by its time
        for path in [place, *place.rglob("*")]:
            os.utime(path, (2 * 10**9, 2 * 10**9))
    assert fingerprint() != base
    assert fingerprint(memory=0) == fingerprint()


@pytest.mark.parametrize("kind", sorted(SOURCES.keys() - {"test of npy"}))
def test_of_each_image(tmp_path, kind):
    write, suffix, options = SOURCES[kind]
    place, found = tmp_path / f"images{suffix}", set()
    for i in (None, 0, 7, 19):
        images = IMAGES.copy()
        if i is not None:
            images[i] = 255 - images[i]
        write(place, images)
        found |= {load(place, memory=memory, **options).fingerprint for memory in (None, 0)}
    assert len(found) == 4


def test_beyond_what_is_read_names_sizes_and_times_decide(tmp_path, monkeypatch):
    flat(tmp_path, IMAGES)
    paths = sorted(tmp_path.iterdir())
    for path in paths:
        os.utime(path, (10**9, 10**9))
    whole = load(tmp_path).fingerprint
    monkeypatch.setattr(storage, "WHOLE_BYTES", sum(path.stat().st_size for path in paths) - 1)
    base = load(tmp_path).fingerprint
    assert base != whole

    def change(path, write, time=10**9):
        before = path.read_bytes()
        write(path)
        os.utime(path, (time, time))
        other = load(tmp_path).fingerprint
        path.write_bytes(before)
        os.utime(path, (10**9, 10**9))
        assert load(tmp_path).fingerprint == base
        return other

    def invert(path):
        Image.fromarray(255 - np.asarray(Image.open(path))).save(path)

    def lengthen(path):
        path.write_bytes(path.read_bytes() + b"\0")

    assert change(paths[2], invert) != base  # every second one is read
    assert change(paths[3], invert) == base  # what nothing tells
    assert change(paths[3], invert, 10**9 + 1) != base
    assert change(paths[3], lengthen) != base
    paths[3].rename(tmp_path / "03b.bmp")
    assert load(tmp_path).fingerprint != base


def test_of_large_arrays():
    """Every pixel, of arrays in memory: here of 258 MiB."""
    images = np.zeros((258, 1024, 1024), "uint8")
    base = ImageDataset(images).fingerprint
    images[1::2, 5, 5] += 1
    assert ImageDataset(images).fingerprint != base


def test_parts_of_an_array_are_joined_by_content_alone(monkeypatch):
    monkeypatch.setattr(storage, "PART_BYTES", 500)
    base = ImageDataset(IMAGES).fingerprint
    assert ImageDataset(np.asfortranarray(IMAGES)).fingerprint == base
    assert ImageDataset(Own(IMAGES)).fingerprint == base
    assert ImageDataset(IMAGES[::-1]).fingerprint != base
    assert ImageDataset(IMAGES.reshape(20, 6, 8, 3)).fingerprint != base


def test_of_a_storage_of_ones_own(monkeypatch):
    many = np.zeros((300, 2, 2, 1), "uint8")
    base = ImageDataset(Own(many.copy())).fingerprint
    assert ImageDataset(KeptImages(Own(many.copy()), 100)).fingerprint == base
    many[7] = 1
    assert ImageDataset(Own(many)).fingerprint != base
    read = []

    class Counted(Own):
        def read(self, indices):
            read.extend(indices)
            return super().read(indices)

    monkeypatch.setattr(storage, "WHOLE_BYTES", 400)
    counted = ImageDataset(Counted(many))
    read.clear()
    counted.fingerprint  # noqa: B018
    assert sorted(read) == list(range(0, 300, 3))


def test_of_labels_that_are_objects():
    found = set()
    for change in (0, 1e-12, 1):
        labels = np.empty(20, object)
        for i in range(20):
            labels[i] = np.arange(2000.0) / 7
        labels[3][1000] += change
        found.add(ImageDataset(IMAGES, labels).fingerprint)
    assert len(found) == 3


def test_of_views(tmp_path):
    flat(tmp_path / "images", IMAGES)
    load_ = lambda memory: load(tmp_path / "images", memory=memory)  # noqa: E731
    views = {
        "whole": lambda d: d,
        "some": lambda d: d.take(6),
        "small": lambda d: d.at_resolution(4),
        "smaller first": lambda d: d.at_resolution(2).at_resolution(4),
        "cropped": lambda d: d.at_resolution(4, crop=True),
        "some small ones": lambda d: d.at_resolution(4).take(6),
    }
    found = {
        name: [view(load_(memory)).fingerprint for memory in (None, 0)]
        for name, view in views.items()
    }
    assert all(kept == streamed for kept, streamed in found.values())
    assert len({kept for kept, _ in found.values()}) == len(views)
    Image.fromarray(255 - IMAGES[19]).save(tmp_path / "images" / "19.bmp")
    assert load_(0).take(6).fingerprint == found["some"][0]  # which it is not among
    assert load_(0).fingerprint != found["whole"][0]


def test_of_pairs(tmp_path):
    wide = np.concatenate([IMAGES, 255 - IMAGES], axis=2)
    flat(tmp_path, wide)
    kept, streamed = (load(tmp_path, kind="pairs", memory=memory) for memory in (None, 0))
    for view in (
        lambda d: d.swapped(),
        lambda d: d.domain(0),
        lambda d: d.domain(1),
        lambda d: d.take(3),
        lambda d: d.at_resolution(4),
    ):
        assert view(kept).fingerprint == view(streamed).fingerprint != kept.fingerprint
    named = ImagePairs(IMAGES, IMAGES, domain_names=("x", "y"))
    assert named.fingerprint == ImagePairs(IMAGES, IMAGES).fingerprint


def test_what_is_no_training_data_changes_nothing():
    base = ImageDataset(IMAGES, np.arange(20), seed=3)
    labels = list("abcdefghijklmnopqrst")
    for other in (
        ImageDataset(IMAGES, np.arange(20), seed=3, name="x", class_names=labels, batch_size=4),
        base.with_options(batch_size=2, drop_last=True, steps_per_epoch=3),
        base.take(20),
    ):
        assert other.fingerprint == base.fingerprint
    still = base.with_options(shuffle=False)
    assert still.fingerprint == still.with_options(seed=4).fingerprint  # which draws nothing
    drawn = [still.with_options(seed=seed, augment={"flip": True}) for seed in (3, 4)]
    assert drawn[0].fingerprint != drawn[1].fingerprint


def test_a_run_goes_on_with_a_copy_and_not_with_other_images(tmp_path):
    def fit(folder):
        model = kgen.VAE((8, 6, 3), network="dense", latent_dim=2)
        model.compile()
        checkpoint = kgen.callbacks.TrainingCheckpoint(tmp_path / "run")
        model.fit(load(folder, "all"), batch_size=10, verbose=0, callbacks=[checkpoint])

    flat(tmp_path / "images", IMAGES)
    fit(tmp_path / "images")
    shutil.copytree(tmp_path / "images", tmp_path / "copy", copy_function=shutil.copyfile)
    fit(tmp_path / "copy")
    flat(tmp_path / "images", 255 - IMAGES)
    with pytest.raises(ValueError, match=r"data\.fingerprint"):
        fit(tmp_path / "images")


def test_files_that_are_gone_are_named(tmp_path):
    flat(tmp_path / "images", IMAGES)
    data = load(tmp_path / "images")
    shutil.rmtree(tmp_path / "images")
    assert data.num_examples == 20
    with pytest.raises(OSError, match=r"gone or cannot be read.*00\.bmp.*Keep the files"):
        data.fingerprint  # noqa: B018


def test_resized_storages_differ_by_what_they_resize():
    """The same bytes, of other shapes."""
    high, wide = Own(IMAGES), Own(IMAGES.reshape(20, 6, 8, 3))
    assert ResizedImages(high, (4, 4)).identity != ResizedImages(wide, (4, 4)).identity
