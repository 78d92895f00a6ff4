"""Images that are not an array in memory, but can be indexed like one."""

import collections
import contextlib
import hashlib
import itertools
import math
import os
import pathlib
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import psutil
from tqdm import tqdm

from kgen.data.pixels import BrokenImage, decode, probe, resize
from kgen.data.ranges import to_uint8

WORKERS = min(8, os.cpu_count() or 1)
CHUNK = 256  # images read at once, where all are read


class Storage:
    """Images read when they are asked for: `storage[indices]` is an array of them.

    A subclass sets `shape`, `(N, H, W, C)`, and `dtype`, and writes `read(indices)`; several
    threads may call that at once.
    """

    dtype = np.dtype("uint8")

    def read(self, indices):
        """The images at these indices, an array `(n, H, W, C)`."""
        raise NotImplementedError

    @property
    def ndim(self):
        """Number of axes."""
        return len(self.shape)

    @property
    def nbytes(self):
        """Bytes that all of it would take in memory."""
        return math.prod(self.shape) * self.dtype.itemsize

    @property
    def identity(self):
        """A digest that differs where the images differ: here, of some of them."""
        return _digest(self[:: max(1, len(self) // 100)].tobytes())

    def at(self, indices):
        """A storage of these images only."""
        return Chosen(self, np.asarray(indices))

    def __len__(self):
        return self.shape[0]

    def __getitem__(self, chosen):
        if isinstance(chosen, slice):
            return self.read(np.arange(*chosen.indices(len(self))))
        return self.read(np.asarray(chosen))


class Encoded(Storage):
    """Encoded images, decoded each time.

    Args:
        source: function of an index that returns a path, or bytes.
        count: number of images.
        image_shape: `(H, W, C)` to which each is cropped, resized and converted; without a crop
            if `size` is None.
        name: function of an index: what messages call the image.
    """

    def __init__(self, source, count, image_shape, name):
        self.source, self.name = source, name
        self.shape = (count, *image_shape)

    def read(self, indices):
        """Decode these images."""
        images = np.empty((len(indices), *self.shape[1:]), "uint8")
        for image, i in zip(images, indices, strict=True):
            image[...] = decode(self.source(i), self.name(i), self.shape[1:3], self.shape[3])
        return images


class Files(Encoded):
    """Image files, decoded each time."""

    def __init__(self, paths, image_shape):
        self.paths = list(paths)
        super().__init__(
            self.paths.__getitem__, len(self.paths), image_shape, self.paths.__getitem__
        )

    @property
    def identity(self):
        """Names within the folder and sizes of the files."""
        root = os.path.commonpath(self.paths)
        names = "".join(f"{p[len(root) :]}:{os.path.getsize(p)}\n" for p in self.paths)
        return _digest(names.encode())


class ArrayFile(Storage):
    """Images in an `.npy` file, read where they lie: the file never fills the memory."""

    def __init__(self, path):
        self.path = path
        stored = np.load(path, mmap_mode="r")
        self.grey = stored.ndim == 3
        self.shape = (*stored.shape, 1) if self.grey else stored.shape
        self.dtype = stored.dtype

    def read(self, indices):
        """Copy these images from the file, which is mapped for this moment only."""
        images = np.load(self.path, mmap_mode="r")[indices]
        return images[..., None] if self.grey else images


class Chosen(Storage):
    """Some of the images of another storage, by their indices."""

    def __init__(self, storage, indices):
        self.storage, self.indices, self.dtype = storage, indices, storage.dtype
        self.shape = (len(indices), *storage.shape[1:])

    def read(self, indices):
        """Read these."""
        return self.storage[self.indices[indices]]


class Resized(Storage):
    """The images of another storage at another size, `(height, width)`; uint8."""

    def __init__(self, storage, size):
        self.storage = storage
        self.shape = (len(storage), *size, storage.shape[-1])

    def read(self, indices):
        """Read and resize these images."""
        return resize(to_uint8(self.storage.read(indices)), self.shape[1:3])


class Half(Storage):
    """The left or the right half of each image of another storage or array."""

    def __init__(self, images, side):
        height, width, channels = images.shape[1:]
        self.images, self.side, self.dtype = images, side, images.dtype
        self.shape = (len(images), height, width // 2, channels)

    def read(self, indices):
        """Read these images and cut them."""
        return self.of(self.images[indices])

    def of(self, whole):
        """Cut whole images."""
        middle = self.shape[2]
        return whole[:, :, :middle] if self.side == "left" else whole[:, :, middle:]


class Kept(Storage):
    """Images of another storage, kept in memory once read: as many as `memory` bytes hold."""

    def __init__(self, storage, memory):
        self.storage, self.shape, self.dtype = storage, storage.shape, storage.dtype
        room = int(memory // max(1, storage.nbytes // max(1, len(storage))))
        self._rows = np.empty((min(room, len(storage)), *self.shape[1:]), self.dtype)
        self._row_of = np.full(len(storage), -1, "int64")
        self._used, self._lock = itertools.count(), threading.Lock()

    def read(self, indices):
        """Copy what is kept, read what is not."""
        rows = self._row_of[indices]
        known = rows >= 0
        images = np.empty((len(indices), *self.shape[1:]), self.dtype)
        images[known] = self._rows[rows[known]]
        if not known.all():
            missing = np.asarray(indices)[~known]
            images[~known] = fresh = self.storage.read(missing)
            self._keep(missing, fresh)
        return images

    def _keep(self, indices, images):
        with self._lock:
            for i, image in zip(indices, images, strict=True):
                if self._row_of[i] >= 0:
                    continue
                row = next(self._used)
                if row >= len(self._rows):
                    return
                self._rows[row] = image
                self._row_of[i] = row  # last: other threads read without the lock


def spare_memory():
    """A quarter of the memory that this process may still take, in bytes."""
    free = psutil.virtual_memory().available
    with contextlib.suppress(OSError, ValueError):  # a container's limit, where there is one
        limit, used = (pathlib.Path(f"/sys/fs/cgroup/memory.{n}") for n in ("max", "current"))
        free = min(free, int(limit.read_text()) - int(used.read_text()))
    return max(free, 0) // 4


def into_memory(storage, memory=None, what="Reading images"):
    """All images as an array where `memory` bytes hold them, otherwise what keeps some of them.

    Args:
        storage: a `Storage`.
        memory: bytes; by default a quarter of what is free.
        what: what the progress bar says that is going on.
    """
    memory = spare_memory() if memory is None else memory
    if storage.nbytes > memory:
        return Kept(storage, memory)
    images = np.empty(storage.shape, storage.dtype)

    def fill(start):
        images[start : start + CHUNK] = storage[start : start + CHUNK]

    for_all(fill, range(0, len(storage), CHUNK), what)
    return images


def for_all(function, items, what):
    """`function` of each item, on a few threads, with a progress bar; a list in order."""
    return list(progress(in_order(function, items), len(items), what))


def in_order(function, items):
    """Yield `function` of each item in order, made on a few threads, a few items ahead."""
    coming = collections.deque()
    with ThreadPoolExecutor(WORKERS) as pool:
        try:
            for item in items:
                coming.append(pool.submit(function, item))
                if len(coming) > 2 * WORKERS:
                    yield coming.popleft().result()
            while coming:
                yield coming.popleft().result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def progress(items, total, what):
    """A progress bar over items, shown if it takes longer than two seconds."""
    return tqdm(items, what, total, delay=2, leave=False, disable=None)  # not in log files


def shapes_of(paths, skip_broken=False):
    """Height, width and channels of each image file; those that are left out are None.

    Raises:
        BrokenImage: for the first that cannot be read, unless `skip_broken`, which decodes all of
            them to be sure.
    """

    def shape(path):
        try:
            return probe(path, path, whole=skip_broken)
        except BrokenImage:
            if not skip_broken:
                raise
            return None

    def shapes(start):
        return [shape(path) for path in paths[start : start + CHUNK]]

    found = for_all(shapes, range(0, len(paths), CHUNK), "Looking at images")
    return list(itertools.chain.from_iterable(found))


def _digest(content):
    return hashlib.blake2b(content, digest_size=16).hexdigest()
