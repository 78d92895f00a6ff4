"""Arrays in files: `.npy`, `.npz` and IDX, the format of MNIST."""

import bz2
import gzip
import lzma
import math
import pathlib
import re
import zipfile
import zlib

import numpy as np

from kgen.arguments import check_regular
from kgen.data.layout import (
    IDX,
    arrays_by_split,
    chosen,
    idx_files,
    only,
    printable,
    some,
    spelled,
)
from kgen.data.pixels import suffixes, with_channel_axis
from kgen.data.request import Found, part
from kgen.data.storage import ArrayFile, of_numpy

PACKED = {  # by suffix, which need not be there: how a content begins, and what unpacks it
    ".gz": (b"\x1f\x8b", gzip.decompress),
    ".bz2": (b"BZh", bz2.decompress),
    ".xz": (b"\xfd7zXZ\0", lzma.decompress),
}


def from_file(path, split, request):
    """What an `.npy`, `.npz` or IDX file holds, as `Found`."""
    if IDX.match(path.name):
        return _parts(*_idx_pair(path), split, path)
    if path.suffix.lower() == ".npz":
        return _from_npz(path, split)
    if path.suffix.lower() == ".npy":
        stored = ArrayFile(path)
        images = stored if stored.nbytes > request.room else stored[:]
        return Found(part(images, split, path), origins=(part(stored, split, path), None))
    if path.suffix.lower() in suffixes():
        raise ValueError(f"{path} is one image; a dataset is a folder of images.")
    raise ValueError(
        f"Expected a folder, an .npy, .npz or IDX file; got {path}. Unpack it, if it is an archive."
    )


def splits_of_file(path):
    """Names of the splits that a file has of its own."""
    archive = path.suffix.lower() == ".npz"
    return list(arrays_by_split(path, _from_archive(path))) if archive else []


def _parts(images, labels, split, path):
    return Found(part(images, split, path, labels), part(labels, split, path, labels))


def _from_npz(path, split):
    """Arrays under the names that are in use: `x_train` and the like, `images` and `labels`."""
    names = _from_archive(path)
    if own := arrays_by_split(path, names):
        wanted = list(own) if spelled(split) == "all" else [chosen(split, own, path)]
        pairs = {name: _pair_from_archive(path, own[name]) for name in wanted}
        return Found(*_joined(path, pairs), own=list(own))
    known = {name.lower(): name for name in names}
    images = only(path, "of images", *(known.get(name) for name in ("images", "x")))
    labels = only(path, "of labels", *(known.get(name) for name in ("labels", "y")))
    if images is None and len(names) == 1 and labels is None:
        images = names[0]
    images = known.get("arr_0") if images is None else images
    if images is None:
        raise ValueError(
            f"{path} holds the arrays {sorted(names)}; expected images (and labels), x (and y), "
            "or x_train, y_train, x_test, y_test."
        )
    return _parts(*_pair_from_archive(path, (images, labels)), split, path)


def _pair_from_archive(path, names):
    images, labels = (name and _from_archive(path, name) for name in names)
    if labels is not None and labels.shape[:1] != images.shape[:1]:
        raise ValueError(f"{path} holds {len(images)} images and labels of shape {labels.shape}.")
    return images, _flat(labels)


def _from_archive(path, name=None):
    """An array of an `.npz`, or the names of all."""
    try:
        if not zipfile.is_zipfile(path):  # np.load would take it for something else
            raise ValueError("it is no .npz, or was cut off")
        with np.load(path) as file:
            if name is None:
                return file.files
            array = file[name]
            if isinstance(array, bytes):  # of a member that is no .npy
                raise ValueError(f"{name!r} is no array")
            if not array.ndim:
                raise ValueError(f"{name!r} is a single number")
            return array
    except Exception as error:  # zipfile, zlib and NumPy raise what they like
        raise ValueError(f"{path} cannot be read as arrays: {of_numpy(error)}") from error


def _joined(path, pairs):
    """Images and labels of all splits, from those of each; no labels where one has none."""
    images = {split: with_channel_axis(images) for split, (images, _) in pairs.items()}
    labels = {split: labels for split, (_, labels) in pairs.items() if labels is not None}
    if labels and (without := [split for split in pairs if split not in labels]):
        print(f"{printable(path)}: without labels, since {some(without)} has none")
    whole = _concatenated(path, "images", images)
    alike = len(labels) == len(pairs)
    return whole, _concatenated(path, "labels", labels) if alike else None


def _concatenated(path, what, arrays):
    """Arrays by split in one; a `ValueError` where they are of several kinds."""
    if len({(array.shape[1:], array.dtype.kind) for array in arrays.values()}) > 1:
        forms = [f"{split} {array.dtype} {array.shape}" for split, array in arrays.items()]
        raise ValueError(
            f"{path}: the {what} of its splits differ, so they cannot be put together: "
            f"{', '.join(forms)}. Load them one by one, such as split={next(iter(arrays))!r}."
        )
    return np.concatenate(list(arrays.values()))


def _flat(labels):
    """Labels of shape (N, 1), as some files have them, as (N,)."""
    single = labels is not None and labels.ndim == 2 and labels.shape[1] == 1
    return labels[:, 0] if single else labels


def from_idx(folder, split):
    """IDX files as MNIST and its like have them: images by split, their labels beside."""
    splits = idx_by_split(folder)
    if not splits:
        raise ValueError(
            f"{folder} holds no IDX files: expected train-images-idx3-ubyte and the like, gzipped "
            "or not, each with its labels (train-labels-idx1-ubyte) beside it."
        )
    if spelled(split) == "all":
        pairs = {name: _idx_pair(path) for name, path in splits.items()}
        return Found(*_joined(folder, pairs), own=list(splits))
    return Found(*_idx_pair(splits[chosen(split, splits, folder)]), own=list(splits))


def idx_by_split(folder):
    """Paths of the IDX files of images in a folder, by split."""
    splits = {}
    for path in idx_files(folder):
        other = splits.setdefault(_split_of_idx(path.name), path)
        if _unpacked_name(other) != _unpacked_name(path):
            raise ValueError(
                f"{folder} holds several sets: {other.name}, {path.name}. Load one of these files, "
                "or give each set its own folder."
            )
    return splits


def _unpacked_name(path):
    return path.stem.lower() if path.suffix.lower() in PACKED else path.name.lower()


def _split_of_idx(name):
    name = name.lower()
    if "train" in name:
        return "train"
    return "test" if "t10k" in name or "test" in name else name


def _idx_pair(path):
    images = read_idx(path)
    if images.ndim != 3:
        raise ValueError(f"{path} has the shape {images.shape}: images have three dimensions.")
    name = re.sub(r"images([-.])idx3", r"labels\1idx1", _unpacked_name(path))
    beside = sorted(path.parent.iterdir(), key=lambda p: (p.suffix != path.suffix, p.name))
    labels = next((other for other in beside if _unpacked_name(other) == name), None)
    if labels is None:
        return images, None
    labels_read = read_idx(labels).astype("int64")
    if labels_read.shape != images.shape[:1]:
        raise ValueError(
            f"{path} holds {len(images)} images, but {labels} has labels of shape "
            f"{labels_read.shape}."
        )
    return images, labels_read


def read_idx(path):
    """The array of an IDX file (MNIST's format): unsigned bytes, packed or not (gzip, bzip2, xz).

    Raises:
        ValueError: if it is no such file, or its length is not what its header says.
    """
    path = pathlib.Path(path)
    try:
        check_regular(path)
        raw = path.read_bytes()
        unpack = next((unpack for begin, unpack in PACKED.values() if raw.startswith(begin)), bytes)
        raw = unpack(raw)
    except (OSError, EOFError, ValueError, zlib.error, lzma.LZMAError) as error:
        raise ValueError(f"{path} cannot be read: {error}") from error
    if len(raw) < 4 or raw[:2] != b"\0\0" or raw[2] != 8 or not 0 < 4 * raw[3] <= len(raw) - 4:
        raise ValueError(
            f"{path} is no IDX file of unsigned bytes: it begins with {raw[:4].hex(' ')}, expected "
            "00 00 08 and the number of dimensions. Unpack it, if it is packed, or fetch it again."
        )
    if raw[3] > 4:
        raise ValueError(f"{path} has {raw[3]} dimensions; images have three, and labels one.")
    shape = tuple(np.frombuffer(raw, ">u4", raw[3], 4).tolist())
    start = 4 + 4 * raw[3]
    if len(raw) != start + math.prod(shape):
        raise ValueError(
            f"{path} has {len(raw)} bytes, but its header says {shape}, which is "
            f"{start + math.prod(shape)}: it was cut off, or is not what it says. Fetch it again."
        )
    return np.frombuffer(raw, "uint8", offset=start).reshape(shape)
