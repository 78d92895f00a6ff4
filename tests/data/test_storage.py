"""Images that stay on disk: the same batches as from memory, in bounded memory."""

import copy
import pickle
import threading
import time
import tracemalloc
import types

import keras
import numpy as np
import pytest
from PIL import Image

import kgen
from kgen.data import ImageDataset, load
from kgen.data.memory import KeptImages, into_memory, spare_memory
from kgen.data.pixels import chunk_size, chunks, with_channels
from kgen.data.read_ahead import ReadAhead
from kgen.data.storage import (
    ArrayFile,
    Storage,
)

RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.integers(0, 256, (50, 8, 6, 3), "uint8")


class Counted(Storage):
    """Counts how often each image is read."""

    def __init__(self, images=IMAGES):
        self.images, self.shape, self.reads = images, images.shape, np.zeros(len(images), int)

    def read(self, indices):
        np.add.at(self.reads, indices, 1)
        return self.images[indices]


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    for i, image in enumerate(IMAGES):
        Image.fromarray(image).save(folder / f"{i:03}.png")
    return folder


def batches(data, epochs=2):
    found = []
    for epoch in range(epochs):
        data.set_position(epoch)
        found += [data[i][0] for i in range(len(data))]
    return found


@pytest.mark.parametrize("options", [{}, {"augment": {"flip": True, "crop": 0.8, "shift": 1}}])
def test_streamed_equals_kept(folder, options):
    kept = load(folder, batch_size=8, seed=3, **options)
    half = load(folder, batch_size=8, seed=3, memory=25 * 144, **options)
    none = load(folder, batch_size=8, seed=3, memory=0, **options)
    assert isinstance(kept._images, np.ndarray) and isinstance(half._images, Storage)
    for a, b, c in zip(batches(kept), batches(half), batches(none), strict=True):
        np.testing.assert_array_equal(a, b)
        np.testing.assert_array_equal(a, c)
    assert kept.fingerprint == half.fingerprint == none.fingerprint
    assert kept.fingerprint != load(folder, seed=4, **options).fingerprint


def test_take_and_resolution_of_streamed_images(folder):
    kept, streamed = load(folder), load(folder, memory=0)
    for view in (lambda d: d.take(7), lambda d: d.at_resolution(4), lambda d: d.take(9).take(4)):
        np.testing.assert_array_equal(view(kept).images(), view(streamed).images())
    assert streamed.take(7).num_examples == 7


def test_images_are_decoded_once_where_they_fit():
    whole = Counted()
    into_memory(whole, 2**30)
    assert (whole.reads == 1).all()
    source = Counted()
    data = ImageDataset(KeptImages(source, 20 * 144), batch_size=5)
    batches(data, epochs=4)
    assert (source.reads == 1).sum() == 20 and (source.reads == 4).sum() == 30
    np.testing.assert_array_equal(data.images(50), kgen.data.to_model_range(IMAGES))


def test_an_array_file_is_read_in_place(tmp_path):
    np.save(tmp_path / "a.npy", IMAGES)
    stored = ArrayFile(tmp_path / "a.npy")
    np.testing.assert_array_equal(stored[[5, 3]], IMAGES[[5, 3]])
    np.testing.assert_array_equal(stored[2:40:7], IMAGES[2:40:7])
    data = load(tmp_path / "a.npy", batch_size=4, memory=10)
    again = load(tmp_path / "a.npy", batch_size=4)
    np.testing.assert_array_equal(np.concatenate(batches(data)), np.concatenate(batches(again)))
    assert data.fingerprint == again.fingerprint


def test_an_array_file_that_changes_is_named(tmp_path):
    np.save(tmp_path / "a.npy", IMAGES)
    data = load(tmp_path / "a.npy", memory=0)
    np.save(tmp_path / "a.npy", IMAGES[:30])
    with pytest.raises(ValueError, match=r"a\.npy has changed since it was loaded"):
        data.fetch(np.arange(3))
    whole = (tmp_path / "a.npy").read_bytes()
    (tmp_path / "a.npy").write_bytes(whole[:-100])
    with pytest.raises(ValueError, match=r"a\.npy cannot be read as an array"):
        data.fetch(np.arange(3))


def test_every_pixel_of_an_array_file_is_in_its_fingerprint(tmp_path):
    many = np.zeros((1000, 2, 2), "uint8")
    prints = set()
    for i in (None, 5, 501):
        if i is not None:
            many[i] = 1
        np.save(tmp_path / "a.npy", many)
        alike = {load(tmp_path / "a.npy", memory=memory).fingerprint for memory in (None, 0)}
        assert len(alike) == 1
        prints |= alike
    assert len(prints) == 3
    others = (load(tmp_path / "a.npy", split).fingerprint for split in ("train", "test", "all"))
    assert len({*others, *prints}) == 6


def test_a_storage_is_indexed_like_an_array(tmp_path):
    np.save(tmp_path / "a.npy", IMAGES)
    mask = np.arange(50) % 7 == 0
    for storage in (ArrayFile(tmp_path / "a.npy"), KeptImages(Counted(), 10 * 144)):
        for chosen in (3, -1, [-1, 3], mask, [], np.zeros(50, bool), slice(None, None, 9)):
            np.testing.assert_array_equal(storage[chosen], IMAGES[chosen])
        for chosen in (50, [-51], mask[:9]):
            with pytest.raises(IndexError):
                storage[chosen]


@pytest.mark.parametrize("memory", [0, 25 * 144])
def test_a_dataset_in_use_can_be_copied(folder, memory):
    data = load(folder, batch_size=8, memory=memory)
    expected = batches(data)
    data.set_position(0)
    data[0]  # its threads are running
    for copied in (copy.deepcopy(data), pickle.loads(pickle.dumps(data))):
        for a, b in zip(batches(copied), expected, strict=True):
            np.testing.assert_array_equal(a, b)


def test_threads_belong_to_a_process_and_an_epoch(folder, monkeypatch):
    others = set(threading.enumerate())  # an earlier test's dataset may not be collected yet

    def count():
        threads = set(threading.enumerate()) - others
        return sum(t.name.startswith("kgen-read-ahead") for t in threads)

    data = load(folder, batch_size=8, memory=0)
    data[0]
    ahead = data._ahead
    monkeypatch.setattr("os.getpid", lambda: -1)  # as in a forked worker
    data[1]
    assert data._ahead is not ahead
    assert count()
    monkeypatch.undo()
    del ahead
    batches(data)
    deadline = time.monotonic() + 10
    while count() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not count()


def test_large_images_are_read_a_few_at_a_time():
    asked = []

    class Large(Storage):
        shape = (40, 2**10, 2**10, 3)

        def read(self, indices):
            asked.append(len(indices))
            return np.zeros((len(indices), *self.shape[1:]), "uint8")

    assert into_memory(Large(), Large().nbytes).shape == Large.shape
    assert sum(asked) == 40 and max(asked) * 3 * 2**20 <= 2**26
    small = chunks(1000, 10)
    assert [s.start for s in small] == [0, 256, 512, 768]
    assert chunk_size(2**40) == 1


def test_gray_takes_little_memory():
    images = np.random.default_rng(0).integers(0, 256, (1000, 64, 64, 3), "uint8")
    tracemalloc.start()
    gray = with_channels(images, 1)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 3 * images.nbytes
    for i in (0, 999):
        known = Image.fromarray(images[i]).convert("L")
        np.testing.assert_array_equal(gray[i, ..., 0], known)


def test_memory_that_a_container_leaves(tmp_path, monkeypatch):
    free = types.SimpleNamespace(available=1000)
    monkeypatch.setattr("psutil.virtual_memory", lambda: free)
    assert spare_memory(tmp_path) == 250

    def group(path, files):
        folder = tmp_path / "sys/fs/cgroup" / path
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            (folder / f"memory.{name}").write_text(content)

    group("", {"max": "max\n", "current": "5\n"})
    assert spare_memory(tmp_path) == 250
    group("", {"max": "900\n", "current": "700\n"})
    assert spare_memory(tmp_path) == 50
    group("", {"stat": "anon 100\ninactive_file 600\n"})  # pages that are given back when needed
    assert spare_memory(tmp_path) == 200
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text("4:cpu,memory:/job/7\n0::/a/b\n")
    group("a", {"max": "400", "current": "100"})
    assert spare_memory(tmp_path) == 75
    group("memory/job/7", {"limit_in_bytes": "100", "usage_in_bytes": "90"})
    assert spare_memory(tmp_path) == 2
    group("memory/job/7", {"stat": "inactive_file 1\ntotal_inactive_file 30"})
    assert spare_memory(tmp_path) == 10
    group("memory/job/7", {"usage_in_bytes": "500"})
    assert spare_memory(tmp_path) == 0


def test_a_streamed_model_resumes_in_mid_epoch(folder, tmp_path):
    def fit(run, data, callbacks=()):
        keras.utils.set_random_seed(0)
        model = kgen.VAE((8, 6, 3), network="dense", seed=1)
        model.compile()
        callbacks = [kgen.callbacks.TrainingCheckpoint(run, every=1), *callbacks]
        model.fit(data, epochs=2, verbose=0, callbacks=callbacks)
        return model

    def data(memory):
        augment = {"flip": True, "shift": 1}
        return load(folder, batch_size=8, seed=3, memory=memory, augment=augment)

    class Stop(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if int(self.model.step) == 9:
                raise KeyError("cut off")

    whole = fit(tmp_path / "whole", data(0))
    with pytest.raises(KeyError, match="cut off"):
        fit(tmp_path / "cut", data(0), [Stop()])
    resumed = fit(tmp_path / "cut", data(None))  # with more memory the images are the same
    assert int(resumed.step) == int(whole.step) == 12
    for a, b in zip(whole.weights, resumed.weights, strict=True):
        a, b = (keras.ops.convert_to_numpy(x) for x in (a, b))
        np.testing.assert_allclose(a, b, atol=1e-6)  # a second model of a process: the last bits


def test_a_broken_image_is_named_in_training(folder):
    (folder / "007.png").write_bytes((folder / "007.png").read_bytes()[:-40])
    model = kgen.VAE((8, 6, 3), network="dense")
    model.compile()
    with pytest.raises(ValueError, match=r"007\.png cannot be read.*skip_broken=True"):
        model.fit(load(folder, memory=0, batch_size=8), epochs=1, verbose=0)


def test_read_ahead_keeps_order_and_bounds():
    made, lock = [], threading.Lock()

    def make(number):
        with lock:
            made.append(number)
        return number * number

    ahead = ReadAhead(make, depth=3)
    assert [ahead.get(n, end=10) for n in range(4, 10)] == [n * n for n in range(4, 10)]
    assert sorted(made) == list(range(4, 10))  # each once, none beyond the end
    assert ahead.get(2, end=4) == 4  # elsewhere: what was made ahead is not handed out
    assert ahead.get(3, end=4) == 9


def test_read_ahead_raises_where_the_batch_is_asked_for():
    def make(number):
        if number == 2:
            raise ValueError("batch two")
        return number

    ahead = ReadAhead(make, depth=3)
    assert ahead.get(0, end=5) == 0 and ahead.get(1, end=5) == 1
    with pytest.raises(ValueError, match="batch two"):
        ahead.get(2, end=5)
    assert ahead.get(3, end=5) == 3
