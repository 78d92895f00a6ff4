"""Images that are not an array in memory, but can be indexed like one."""

import functools
import math
import os
import sys

import numpy as np

from kgen.arguments import check_regular
from kgen.data.pixels import (
    WHITE,
    chunks,
    crop_and_resize,
    decode,
    resize,
    with_channel_axis,
    with_channels,
)
from kgen.data.ranges import refuse_one_image, to_uint8
from kgen.files import digest, digest_of_file
from kgen.progress import for_all

WHOLE_BYTES = 2**31  # that identities read whole; of more, they read a share of this size
PART_BYTES = 2**24  # that are digested at once


def digest_of(array):
    """Digest of a whole array."""
    return digest_of_rows(array.__getitem__, len(array), array.dtype, array.shape[1:])


def digest_of_rows(rows, count, dtype, shape):
    """Digest of an array that is read a part at a time, on a few threads.

    Args:
        rows: function of a slice that returns these rows.
        count, dtype, shape: their number, and what one of them is.
    """
    size = max(1, PART_BYTES // max(1, math.prod(shape) * dtype.itemsize))
    parts = [slice(start, min(start + size, count)) for start in range(0, count, size)]
    found = for_all(lambda part: digest(_bytes(rows(part))), parts, "Comparing data")
    return digest("".join([f"{count} of {dtype}{tuple(shape)}", *found]).encode())


def _step(nbytes):
    """Of so many bytes, every n-th image is read: at most `WHOLE_BYTES`."""
    return max(1, -(-nbytes // WHOLE_BYTES))


def _bytes(array):
    if array.dtype == object:
        with np.printoptions(threshold=sys.maxsize, floatmode="unique"):  # arrays among them
            return repr(array.tolist()).encode()
    return memoryview(np.ascontiguousarray(array).reshape(-1).view(np.uint8))


class Storage:
    """Images read when they are asked for: `storage[indices]` is an array of them.

    Indices are a slice, one integer, several, or a mask, as of an array.

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
        """What differs where the images, or their order, differ: `identity_of` all of them."""
        return self.identity_of(np.arange(len(self)))

    def identity_of(self, indices):
        """What differs where these images, or their order, differ: here, a digest of their pixels.

        Of every n-th image where all of them are more than 2 GiB, so that 2 GiB are read.
        """
        some = indices[:: _step(self.nbytes * len(indices) // max(1, len(self)))]
        return digest_of_rows(
            lambda part: self.read(some[part]), len(some), self.dtype, self.shape[1:]
        )

    def at(self, indices):
        """A storage of these images only."""
        return ChosenImages(self, np.asarray(indices))

    def resized(self, size, crop=False):
        """A storage of these images at another size, `(height, width)`, uint8."""
        return ResizedImages(self, size, crop)

    def __len__(self):
        return self.shape[0]

    def __getitem__(self, chosen):
        if isinstance(chosen, slice):
            return self.read(np.arange(*chosen.indices(len(self))))
        indices = np.asarray(chosen)
        if indices.dtype == bool or not indices.size:
            indices = np.arange(len(self))[chosen]
        indices = np.where(indices < 0, indices + len(self), indices)
        if ((indices < 0) | (indices >= len(self))).any():
            raise IndexError(f"Index {chosen} of {len(self)} images.")
        return self.read(indices) if indices.ndim else self.read(indices[None])[0]


class EncodedImages(Storage):
    """Encoded images, decoded each time.

    Args:
        source: function of an index that returns a path, or bytes.
        count: number of images.
        image_shape: `(H, W, C)` to which each is cropped, resized and converted; without a crop
            if `size` is None.
        name: function of an index: what messages call the image.
        entry: function of an index: the image's name in its set, its encoded size in bytes, and
            when it was written.
        background: red, green and blue, on which what is transparent is shown (see `decode`).
    """

    kind = "Encoded"  # in identities

    def __init__(self, source, count, image_shape, name, entry, background=WHITE):
        self.source, self.name, self.entry = source, name, entry
        self.background = background
        self.shape = (count, *image_shape)

    def read(self, indices):
        """Decode these images."""
        images = np.empty((len(indices), *self.shape[1:]), "uint8")
        for image, i in zip(images, indices, strict=True):
            image[...] = self.decode(i, self.shape[1:3])
        return images

    def decode(self, i, size=None):
        """One image, uint8 `(H, W, C)`, cropped and resized to `size`, or as it is."""
        return decode(self.source(i), self.name(i), size, self.shape[3], self.background)

    def identity_of(self, indices):
        """A digest of the encoded images, and how they are decoded.

        Where they are more than 2 GiB: of their names, sizes and times (in seconds), and of every
        n-th of the images, so that 2 GiB are read.
        """
        entries = [self.entry(i) for i in indices]
        step = _step(sum(size for _, size, _ in entries))
        some = indices[::step]

        def digests(part):
            return "".join(_digest_of_encoded(self.source(i)) for i in some[part])

        found = digest("".join(for_all(digests, chunks(len(some), 0), "Comparing data")).encode())
        unread = digest(repr(entries).encode()) if step > 1 else None
        return repr((self.kind, self.shape[1:], self.background, found, unread))


def _digest_of_encoded(source):
    if isinstance(source, bytes):
        return digest(source)
    check_regular(source)
    return digest_of_file(source)


class ImageFiles(EncodedImages):
    """Image files, decoded each time."""

    kind = "Files"

    def __init__(self, paths, image_shape, background=WHITE):
        self.paths = list(paths)
        path = self.paths.__getitem__
        super().__init__(path, len(self.paths), image_shape, path, self._entry, background)

    @functools.cached_property
    def _root(self):
        return os.path.commonpath(self.paths)

    def _entry(self, i):
        stat = os.stat(self.paths[i])
        return self.paths[i][len(self._root) :], stat.st_size, int(stat.st_mtime)


class PairFiles(ImageFiles):
    """Image files that hold a pair side by side: each half is cropped and resized by itself."""

    kind = "PairFiles"

    def read(self, indices):
        """Decode these images, halves side by side."""
        images = np.empty((len(indices), *self.shape[1:]), "uint8")
        half = self.shape[1], self.shape[2] // 2
        for image, i in zip(images, indices, strict=True):
            pair = self.decode(i)
            middle = pair.shape[1] // 2
            image[:, : half[1]] = crop_and_resize(pair[:, :middle], half)
            image[:, half[1] :] = crop_and_resize(pair[:, middle:], half)
        return images


class ArrayFile(Storage):
    """Images in an `.npy` file, read where they lie: the file never fills the memory."""

    def __init__(self, path):
        self.path = path
        stored = self._mapped()
        if not stored.ndim:
            raise ValueError(f"{path} cannot be read as an array: it holds a single number.")
        refuse_one_image(stored.shape, str(path))
        stored = with_channel_axis(stored)
        self.shape, self.dtype = stored.shape, stored.dtype

    def read(self, indices):
        """Copy these images from the file, which is mapped for this moment only."""
        images = with_channel_axis(self._mapped())
        if (images.shape, images.dtype) != (self.shape, self.dtype):
            raise ValueError(f"{self.path} has changed since it was loaded: load it again.")
        return np.asarray(images[indices])

    def _mapped(self):
        try:
            check_regular(self.path)
            return np.lib.format.open_memmap(self.path, mode="r")
        except Exception as error:  # what parses a header raises what it likes
            raise ValueError(
                f"{self.path} cannot be read as an array: {of_numpy(error)}"
            ) from error

    def identity_of(self, indices):
        """As of any storage; where the file is more than 2 GiB, of its size and time, too."""
        stat = os.stat(self.path)
        known = (stat.st_size, int(stat.st_mtime)) if stat.st_size > WHOLE_BYTES else ""
        return f"{super().identity_of(indices)} {known}"


def of_numpy(error):
    """What NumPy says of a file, without its advice to unpickle: that may run any code."""
    if "Python objects" in str(error) or "allow_pickle" in str(error):
        return "it holds Python objects. Save numbers, images of one size by numpy.stack(images)."
    return str(error)


class PublishedImages(Storage):
    """Images of a published set, an array or a storage: with the name that they have there."""

    def __init__(self, images, name):
        self.images, self.published_as = images, name
        self.shape, self.dtype = images.shape, images.dtype

    def read(self, indices):
        """Read these."""
        return self.images[indices]

    def identity_of(self, indices):
        """As of any storage, in memory and on disk; with more than 2 GiB of its name, too."""
        known = self.published_as if self.nbytes > WHOLE_BYTES else ""
        return f"{super().identity_of(indices)} {known}"


class ChosenImages(Storage):
    """Some of the images of another storage, by their indices."""

    def __init__(self, storage, indices):
        self.storage, self.indices, self.dtype = storage, indices, storage.dtype
        self.shape = (len(indices), *storage.shape[1:])

    def read(self, indices):
        """Read these."""
        return self.storage[self.indices[indices]]

    def resized(self, size, crop=False):
        """These of the whole storage, resized."""
        return ChosenImages(self.storage.resized(size, crop), self.indices)

    def identity_of(self, indices):
        """That of the whole storage's images."""
        return self.storage.identity_of(self.indices[indices])


class ResizedImages(Storage):
    """The images of another storage at another size, `(height, width)`; uint8."""

    def __init__(self, storage, size, crop=False):
        self.storage, self.crop = storage, crop
        self.shape = (len(storage), *size, storage.shape[-1])

    def read(self, indices):
        """Read and resize these images."""
        return resize(to_uint8(self.storage.read(indices)), self.shape[1:3], self.crop)

    def identity_of(self, indices):
        """That of the images, and the size."""
        return repr((self.shape[1:3], self.crop, self.storage.identity_of(indices)))


class ConvertedImages(Storage):
    """The images of another storage in grey or colour, what is transparent on a background."""

    def __init__(self, storage, channels, background=WHITE):
        self.storage, self.dtype, self.background = storage, storage.dtype, background
        self.shape = (*storage.shape[:3], channels)
        self.read([0])  # raises where that is not possible

    def read(self, indices):
        """Read and convert these images."""
        return with_channels(self.storage.read(indices), self.shape[-1], self.background)

    def identity_of(self, indices):
        """That of the images, and the channels."""
        return repr((self.shape[-1], self.background, self.storage.identity_of(indices)))


class HalfImages(Storage):
    """The left or the right half of each image of another storage or array."""

    def __init__(self, images, side):
        height, width, channels = images.shape[1:]
        self.images, self.side, self.dtype = images, side, images.dtype
        self.shape = (len(images), height, width // 2, channels)

    def read(self, indices):
        """Read these images and cut them."""
        return self.of(self.images[indices])

    def identity_of(self, indices):
        """That of whole images, and the side."""
        if not isinstance(self.images, Storage):
            return super().identity_of(indices)
        return repr((self.side, self.images.identity_of(indices)))

    def of(self, whole):
        """Cut whole images."""
        middle = self.shape[2]
        return whole[:, :, :middle] if self.side == "left" else whole[:, :, middle:]
