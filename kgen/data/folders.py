"""Images in folders and files of one's own: where they are, and what belongs together."""

import gzip
import math
import pathlib
import re
from typing import Any, NamedTuple

import numpy as np

from kgen.data.pixels import SUFFIXES
from kgen.data.storage import (
    ArrayFile,
    Encoded,
    Files,
    Half,
    Storage,
    into_memory,
    shapes_of,
    spare_memory,
)

KINDS = ("classes", "flat", "pairs", "domains", "idx", "lmdb")
SPLITS = ("train", "test", "val", "valid", "validation")
IDX = re.compile(r"(.*)images[-.]idx3[-.]ubyte(\.gz)?$")


class Found(NamedTuple):
    """What a source holds: images, and labels or a second domain where there are some."""

    images: Any
    labels: Any = None
    class_names: Any = None
    second: Any = None
    aligned: bool = True
    domain_names: tuple = ("a", "b")
    identity: Any = None  # a string that stands for the images, where reading them takes long


class Options(NamedTuple):
    """How images are read: `(height, width)` or None, channels or None, ..."""

    size: Any = None
    channels: Any = None
    memory: Any = None
    skip_broken: bool = False
    limit: Any = None  # the first so many


def from_path(path, split, kind, options):
    """What a folder or a file holds.

    Args:
        path: a folder of class folders, of images, of side-by-side pairs (`kind="pairs"`), of two
            domains, of IDX files or an LMDB; any of these below folders named by splits; or an
            `.npy`, `.npz` or IDX file.
        split: None for everything (or `"train"`, where there are splits), `"all"`, or a split's
            name. Without splits of its own, every fifth image of each class is `"test"`.
        kind: one of `KINDS`, where it cannot be seen from the folder.
        options: `Options`.
    """
    path = pathlib.Path(path).expanduser()
    if kind is not None and kind not in KINDS:
        raise ValueError(f"kind must be one of {KINDS} or None; got {kind!r}.")
    if not path.exists():
        raise ValueError(f"There is no file or folder {path}.")
    if path.is_file():
        return _from_file(path, split, options)
    kind = kind or _kind(path)
    if kind == "idx":
        return _from_idx(path, split)
    if kind == "domains":
        return _from_domains(path, split, options)
    folders = [name for name in SPLITS if (path / name).is_dir()]
    if folders:
        wanted = split or folders[0]
        if wanted not in folders:
            raise ValueError(f"{path} has the splits {folders}; got {split!r}.")
        path, split = path / wanted, "all"
        kind = kind if kind in ("pairs", "flat", "classes") else _kind(path)
    if kind == "lmdb":
        return _from_lmdb(path, split, options)
    if kind == "classes":
        return _from_classes(path, split, options)
    files = _images_in(path)
    if not files:
        raise ValueError(
            f"{path} holds no images ({', '.join(SUFFIXES)}). Expected images, folders named by "
            "their classes, trainA and trainB, IDX files, or an LMDB's data.mdb."
        )
    files = _part(files, split, path)
    if kind == "pairs":
        return _from_pairs(files, options)
    images, _, identity = _files(files, options)
    return Found(images, identity=identity)


def _kind(folder):
    """What kind of folder this is, from the names in it."""
    inside = sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
    names = {entry.name for entry in inside if entry.is_dir()}
    if any(IDX.match(entry.name) for entry in inside):
        return "idx"
    if (folder / "data.mdb").exists():
        return "lmdb"
    if {"trainA", "trainB"} <= names:
        return "domains"
    if names & set(SPLITS):
        return "splits"
    beside = [entry for entry in inside if entry.suffix.lower() in SUFFIXES]
    if names and beside:
        raise ValueError(
            f"{folder} holds images ({beside[0].name}, ...) and folders ({min(names)}, ...): are "
            'these classes? Pass kind="classes" for the folders, kind="flat" for the images.'
        )
    return "classes" if names else "flat"


# Files of images


def _images_in(folder, pattern="*"):
    found = (p for p in folder.glob(pattern) if p.suffix.lower() in SUFFIXES and not p.is_dir())
    return sorted(str(path) for path in found if not path.name.startswith("."))


def _files(paths, options):
    """The images of these files, in memory where they fit; which files they are; identity."""
    paths = paths[: options.limit]
    shapes = shapes_of(paths, options.skip_broken)
    kept = [i for i, shape in enumerate(shapes) if shape is not None]
    if left_out := len(paths) - len(kept):
        broken = [path for path, shape in zip(paths, shapes, strict=True) if shape is None]
        print(f"Left out {left_out} images that cannot be read: {_some(broken)}")
        if not kept:
            raise ValueError(f"None of the {len(paths)} images can be read: {_some(broken)}")
    paths, shapes = [paths[i] for i in kept], [shapes[i] for i in kept]
    shape = (*_one_size(paths, shapes, options.size), _one_depth(paths, shapes, options.channels))
    files = Files(paths, shape)
    return into_memory(files, options.memory), np.array(kept), files.identity


def _one_size(paths, shapes, size):
    if size is not None:
        return size
    for path, shape in zip(paths, shapes, strict=True):
        if shape[:2] != shapes[0][:2]:
            raise ValueError(
                f"The images have several sizes: {paths[0]} has {_by(shapes[0])} pixels (height x "
                f"width), {path} {_by(shape)}. Pass image_size=, to which they are cropped and "
                "resized."
            )
    return shapes[0][:2]


def _one_depth(paths, shapes, channels):
    if channels is not None:
        return channels
    for path, shape in zip(paths, shapes, strict=True):
        if shape[2] != shapes[0][2]:
            raise ValueError(
                f"The images have different channels: {paths[0]} has {shapes[0][2]}, {path} "
                f"{shape[2]}. Pass channels=1 (grey) or channels=3 (colour)."
            )
    return shapes[0][2]


def _by(shape):
    return f"{shape[0]}x{shape[1]}"


def _some(paths):
    return ", ".join(map(str, paths[:3])) + (", ..." if len(paths) > 3 else "")


def _from_classes(folder, split, options):
    """Images by class; the classes take turns."""
    names = sorted(p.name for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))
    if not names:
        raise ValueError(f'{folder} has no folders: kind="classes" expects one for each class.')
    files, labels, places = [], [], []
    for label, name in enumerate(names):
        own = _images_in(folder / name, "**/*")
        if not own:
            raise ValueError(
                f"The class {name!r} is empty: {folder / name} holds no images "
                f"({', '.join(SUFFIXES)}). Fill the folder or delete it."
            )
        files += own
        labels += [label] * len(own)
        places += [(i + 0.5) / len(own) for i in range(len(own))]
    turns = np.lexsort((labels, places))  # so that the first images are of all classes
    files, labels = [files[i] for i in turns], np.array(labels, "int64")[turns]
    files, labels = _part(files, split, folder, labels), _part(labels, split, folder, labels)
    images, kept, identity = _files(files, options)
    return Found(images, labels[kept], names, identity=identity)


def _from_pairs(files, options):
    files = files[: options.limit]
    for path, shape in zip(files, shapes_of(files), strict=True):
        if shape[1] % 2:
            raise ValueError(
                f"{path} is {shape[1]} pixels wide (and {shape[0]} high): an image that holds a "
                "pair side by side has an even width, half for each."
            )
    size = options.size and (options.size[0], 2 * options.size[1])
    whole, _, identity = _files(files, options._replace(size=size))
    halves = (Half(whole, side) for side in ("left", "right"))
    a, b = (half[:] if isinstance(whole, np.ndarray) else half for half in halves)
    return Found(a, second=b, domain_names=("left", "right"), identity=identity)


def _from_domains(folder, split, options):
    """`trainA` and `trainB`, `testA` and `testB`, ...; or exactly two folders."""
    names = sorted(p.name for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))
    splits = [name[:-1] for name in names if name.endswith("A") and f"{name[:-1]}B" in names]
    if splits:
        wanted = split or ("train" if "train" in splits else splits[0])
        if wanted not in splits:
            raise ValueError(f"{folder} has the splits {splits}; got {split!r}.")
        names, split = (f"{wanted}A", f"{wanted}B"), "all"
    elif len(names) != 2:
        raise ValueError(
            f"Two domains are two folders, or trainA and trainB (testA, testB); {folder} has "
            f"{names}."
        )
    parts = []
    for name in names:
        files = _images_in(folder / name, "**/*")
        if not files:
            raise ValueError(f"The domain {name!r} is empty: {folder / name} holds no images.")
        parts.append(_files(_part(files, split, folder), options))
    (a, _, identity), (b, _, other) = parts
    names, identity = tuple(names), identity + other
    return Found(a, second=b, aligned=False, domain_names=names, identity=identity)


def _from_lmdb(folder, split, options):
    from kgen.data.lsun import Images

    if options.size is None:
        raise ValueError(f"The images of {folder} may have several sizes: pass image_size=.")
    images = Images(folder)
    shape = (*options.size, options.channels or 3)
    storage = Encoded(images.read, len(images), shape, name=lambda i: f"{i} of {folder}")
    storage = _part(storage, split, folder)
    storage = storage.at(np.arange(min(options.limit or len(storage), len(storage))))
    return Found(into_memory(storage, options.memory), identity=storage.identity)


# Splits of what has none


def _part(examples, split, path, labels=None):
    """Those of the examples (a list, an array, a storage) that belong to a split."""
    if examples is None or split in (None, "all"):
        return examples
    if split not in ("train", "test"):
        raise ValueError(
            f"{path} has no splits of its own, so split must be 'train' (four fifths), 'test' or "
            f"'all'; got {split!r}."
        )
    test = fifths(labels, len(examples))
    chosen = np.flatnonzero(test if split == "test" else ~test)
    if isinstance(examples, Storage):
        return examples.at(chosen)
    return examples[chosen] if isinstance(examples, np.ndarray) else [examples[i] for i in chosen]


def _parts(images, labels, split, path):
    return Found(_part(images, split, path, labels), _part(labels, split, path, labels))


def fifths(labels, n):
    """Which of `n` examples are for testing: every fifth of each class, in order."""
    labels = np.zeros(n, int) if labels is None or labels.ndim != 1 else labels
    rank = np.zeros(n, int)
    for label in np.unique(labels):
        rank[labels == label] = np.arange((labels == label).sum())
    return rank % 5 == 4


# Arrays in files


def _from_file(path, split, options):
    if IDX.match(path.name):
        return _parts(*_idx_pair(path), split, path)
    if path.suffix == ".npz":
        return _from_npz(path, split)
    if path.suffix == ".npy":
        try:
            stored = ArrayFile(path)
        except (OSError, ValueError, EOFError) as error:
            raise ValueError(f"{path} cannot be read as an array: {error}") from error
        memory = spare_memory() if options.memory is None else options.memory
        images = stored if stored.nbytes > memory else stored[:]
        return Found(_part(images, split, path), identity=stored.identity)
    if path.suffix.lower() in SUFFIXES:
        raise ValueError(f"{path} is one image; a dataset is a folder of images.")
    raise ValueError(f"Expected a folder, an .npy, .npz or IDX file; got {path}.")


def _from_npz(path, split):
    """Arrays under the names that are in use: `x_train` and the like, `images` and `labels`."""
    try:
        with np.load(path) as file:
            arrays = {name: file[name] for name in file.files}
    except Exception as error:  # zipfile, zlib and NumPy raise what they like
        raise ValueError(f"{path} cannot be read as arrays: {error}") from error
    splits = {n.removeprefix("x_"): n for n in arrays if n in ("x_train", "x_test", "x_val")}
    if splits:
        wanted = split or ("train" if "train" in splits else min(splits))
        if wanted not in splits:
            raise ValueError(f"{path} has the splits {sorted(splits)}; got {split!r}.")
        return Found(arrays[f"x_{wanted}"], _flat(arrays.get(f"y_{wanted}")))
    images = next((arrays[n] for n in ("images", "x", "arr_0") if n in arrays), None)
    if images is None and len(arrays) == 1:
        images = next(iter(arrays.values()))
    if images is None:
        raise ValueError(
            f"{path} holds the arrays {sorted(arrays)}; expected images (and labels), x (and y), "
            "or x_train, y_train, x_test, y_test."
        )
    labels = next((arrays[n] for n in ("labels", "y") if n in arrays), None)
    return _parts(images, _flat(labels), split, path)


def _flat(labels):
    """Labels of shape (N, 1), as some files have them, as (N,)."""
    single = labels is not None and labels.ndim == 2 and labels.shape[1] == 1
    return labels[:, 0] if single else labels


def _from_idx(folder, split):
    """IDX files as MNIST and its like have them: images by split, their labels beside."""
    files = sorted(p for p in folder.iterdir() if IDX.match(p.name))
    splits = {_split_of(path.name): path for path in files}
    wanted = split or ("train" if "train" in splits else next(iter(splits)))
    if wanted == "all":
        images, labels = zip(*map(_idx_pair, splits.values()), strict=True)
        missing = any(own is None for own in labels)
        return Found(np.concatenate(images), None if missing else np.concatenate(labels))
    if wanted not in splits:
        raise ValueError(f"{folder} has the splits {sorted(splits)}; got {split!r}.")
    return Found(*_idx_pair(splits[wanted]))


def _split_of(name):
    if "train" in name:
        return "train"
    return "test" if "t10k" in name or "test" in name else name


def _idx_pair(path):
    images = read_idx(path)
    name = re.sub(r"images([-.])idx3", r"labels\1idx1", path.name)
    labels = path.with_name(name)
    if not labels.exists():
        other = labels.name.removesuffix(".gz") if name.endswith(".gz") else f"{name}.gz"
        labels = labels.with_name(other)
    if not labels.exists():
        return images, None
    labels_read = read_idx(labels).astype("int64")
    if labels_read.shape != images.shape[:1]:
        raise ValueError(
            f"{path} holds {len(images)} images, but {labels} has labels of shape "
            f"{labels_read.shape}."
        )
    return images, labels_read


def read_idx(path):
    """The array of an IDX file (MNIST's format), gzipped or not: unsigned bytes.

    Raises:
        ValueError: if it is no such file, or its length is not what its header says.
    """
    path = pathlib.Path(path)
    try:
        raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError) as error:
        raise ValueError(f"{path} cannot be read: {error}") from error
    if len(raw) < 4 or raw[:2] != b"\0\0" or raw[2] != 8 or len(raw) < 4 + 4 * raw[3]:
        raise ValueError(
            f"{path} is no IDX file of unsigned bytes: it begins with {raw[:4].hex(' ')}, expected "
            "00 00 08 and the number of dimensions."
        )
    shape = tuple(np.frombuffer(raw, ">u4", raw[3], 4).tolist())
    start = 4 + 4 * raw[3]
    if len(raw) != start + math.prod(shape):
        raise ValueError(
            f"{path} has {len(raw)} bytes, but its header says {shape}, which is "
            f"{start + math.prod(shape)}: it was cut off, or is not what it says. Fetch it again."
        )
    return np.frombuffer(raw, "uint8", offset=start).reshape(shape)
