"""How much of the images is kept in memory."""

import contextlib
import itertools
import pathlib
import threading

import numpy as np
import psutil

from kgen.data.pixels import chunks
from kgen.data.storage import Storage
from kgen.progress import for_all


class KeptImages(Storage):
    """Images of another storage, kept in memory once read: as many as `memory` bytes hold."""

    def __init__(self, storage, memory):
        self.storage, self.shape, self.dtype = storage, storage.shape, storage.dtype
        self._memory = memory
        room = int(memory // max(1, storage.nbytes // max(1, len(storage))))
        self._rows = np.empty((min(room, len(storage)), *self.shape[1:]), self.dtype)
        self._row_of = np.full(len(storage), -1, "int64")
        self._used, self._lock = itertools.count(), threading.Lock()

    def __reduce__(self):
        return type(self), (self.storage, self._memory)  # a copy begins with nothing

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

    def resized(self, size, crop=False):
        """Of the resized images as much is kept, too."""
        return KeptImages(self.storage.resized(size, crop), self._memory)

    def identity_of(self, indices):
        """That of the images, kept or not."""
        return self.storage.identity_of(indices)

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


def into_memory(storage, memory, what="Reading images"):
    """All images as an array where `memory` bytes hold them, otherwise what keeps some of them.

    Args:
        storage: a `Storage`.
        memory: bytes.
        what: what the progress bar says that is going on.
    """
    if storage.nbytes > memory:
        return KeptImages(storage, memory)
    images = np.empty(storage.shape, storage.dtype)

    def fill(some):
        images[some] = storage[some]

    for_all(fill, chunks(len(storage), storage.nbytes // max(1, len(storage))), what)
    return images


def shares(memory, sizes):
    """The part of `memory` bytes that each of several storages may take, by their sizes."""
    return [memory * size // max(1, sum(sizes)) for size in sizes]


def spare_memory(root="/"):
    """A quarter of the memory that this process may still take, in bytes."""
    free = psutil.virtual_memory().available
    for group in _groups(pathlib.Path(root)):  # a container's limits, where there are some
        for limit, used in (("max", "current"), ("limit_in_bytes", "usage_in_bytes")):
            with contextlib.suppress(OSError, ValueError):
                limit, used = (int((group / f"memory.{n}").read_text()) for n in (limit, used))
                free = min(free, limit - used + _reclaimable(group))
    return max(free, 0) // 4


def _groups(root):
    """Folders of the control groups that this process is in, of both versions."""
    lines = ["0::/", "0:memory:/"]  # as a container sees its own
    with contextlib.suppress(OSError):
        lines += (root / "proc/self/cgroup").read_text().splitlines()
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if not controllers or "memory" in controllers.split(","):
            top = root / "sys/fs/cgroup" / ("memory" if controllers else "")
            names = path.strip("/").split("/")
            yield from (top.joinpath(*names[:depth]) for depth in range(len(names) + 1))


def _reclaimable(group):
    """Bytes of files that the system keeps only while nobody needs the memory."""
    with contextlib.suppress(OSError, ValueError):
        known = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
        return int(known.get("total_inactive_file", known.get("inactive_file", 0)))
    return 0
