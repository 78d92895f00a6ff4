"""Images in folders and files of one's own: where they are, and what belongs together."""

import functools
import gzip
import math
import os
import pathlib
import re
import zlib
from typing import Any, NamedTuple

import numpy as np

from kgen.data.pixels import SUFFIXES
from kgen.data.storage import (
    ArrayFile,
    Encoded,
    Files,
    Half,
    PairFiles,
    Storage,
    both_into_memory,
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
    # What stands for the images, where reading them takes long: a string, or a function of it.
    identity: Any = None


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
    below = _splits(path, kind)
    if below:
        wanted = split or below[0]
        if wanted not in below:
            raise ValueError(f"{path} has the splits {below}; got {split!r}.")
        path, split = path / wanted, "all"
        if kind is None and (again := _splits(path, None)):
            raise ValueError(f"{path} has the splits {again} again: load one of these folders.")
    kind = kind or _kind(path)
    if kind == "idx":
        return _from_idx(path, split)
    if kind == "domains":
        return _from_domains(path, split, options)
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
    images, _ = _files(files, options)
    return Found(into_memory(images, options.memory), identity=images.identity)


def _splits(folder, kind):
    """Names of the folders of splits in a folder, in the order of `SPLITS`.

    Raises:
        ValueError: if such a name may as well be that of a class.
    """
    splits = [name for name in SPLITS if (folder / name).is_dir()]
    if not splits:
        return []
    own = _kind_of_names(folder)
    if own and kind in (own, None):
        return []
    others = [name for name in _folders(folder) if name not in SPLITS]
    others = [name for name in others if any(_each_image(folder / name, "**/*"))]
    if not others or kind not in ("classes", "domains", None):
        return splits
    if kind is None:
        raise ValueError(
            f"{folder} has folders named by splits ({', '.join(splits)}) and others with images "
            f'({_some(others)}). If all of them are classes, pass kind="classes"; otherwise load '
            f"the folder of a split, such as {folder / splits[0]}."
        )
    return []


def _kind(folder):
    """What kind of folder this is, from the names in it."""
    if own := _kind_of_names(folder):
        return own
    names = _folders(folder)
    if names and (beside := next(_each_image(folder), None)):
        raise ValueError(
            f"{folder} holds images ({beside.name}, ...) and folders ({names[0]}, ...): are "
            'these classes? Pass kind="classes" for the folders, kind="flat" for the images.'
        )
    return "classes" if names else "flat"


def _kind_of_names(folder):
    """What the names in a folder say beyond doubt, or None."""
    if _idx_files(folder):
        return "idx"
    if (folder / "data.mdb").exists():
        return "lmdb"
    return "domains" if {"trainA", "trainB"} <= set(_folders(folder)) else None


def _folders(folder):
    return sorted(p.name for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))


# Files of images


def _each_image(folder, pattern="*"):
    """Paths of the images in a folder; what is hidden, or in a hidden folder, is left out."""
    depth = len(folder.parts)
    for path in folder.glob(pattern):
        hidden = any(part.startswith(".") for part in path.parts[depth:])
        if path.suffix.lower() in SUFFIXES and not hidden and not path.is_dir():
            yield path


def _images_in(folder, pattern="*"):
    return sorted(map(str, _each_image(folder, pattern)))


def _files(paths, options, pairs=False):
    """The images of these files, and which files they are."""
    paths = paths[: options.limit]
    kept, shapes = _readable(paths, options.skip_broken)
    paths = [paths[i] for i in kept]
    size = options.size
    if pairs:
        _refuse_odd(paths, shapes)
        size = size and (size[0], 2 * size[1])
    shape = (*_one_size(paths, shapes, size), _one_depth(paths, shapes, options.channels))
    return (PairFiles if pairs else Files)(paths, shape), kept


def _readable(items, skip_broken, source=None, name=str):
    """Indices and shapes of the images that can be read, all if not `skip_broken`."""
    shapes = shapes_of(items, skip_broken, source, name)
    kept = [i for i, shape in enumerate(shapes) if shape is not None]
    if left_out := len(items) - len(kept):
        broken = [name(item) for item, shape in zip(items, shapes, strict=True) if shape is None]
        print(f"Left out {left_out} images that cannot be read: {_some(broken)}")
        if not kept:
            raise ValueError(f"None of the {left_out} images can be read: {_some(broken)}")
    return np.array(kept, int), [shapes[i] for i in kept]


def _refuse_odd(paths, shapes):
    for path, shape in zip(paths, shapes, strict=True):
        if shape[1] % 2:
            raise ValueError(
                f"{path} is {shape[1]} pixels wide (and {shape[0]} high): an image that holds a "
                "pair side by side has an even width, half for each."
            )


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


def _some(names):
    some = ", ".join(map(str, names[:3])) + (", ..." if len(names) > 3 else "")
    return os.fsencode(some).decode("utf-8", "replace")  # what can be printed


def _from_classes(folder, split, options):
    """Images by class; the classes take turns."""
    names = _folders(folder)
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
    images, kept = _files(files, options)
    gone = set(labels[: options.limit]) - set(labels[kept])
    if gone and options.limit is None:
        name = names[min(gone)]
        raise ValueError(
            f"The class {name!r} is empty: none of the images of {folder / name} can be read. "
            "Replace them or delete the folder."
        )
    whole = into_memory(images, options.memory)
    return Found(whole, labels[kept], names, identity=images.identity)


def _from_pairs(files, options):
    images, _ = _files(files, options, pairs=True)
    whole = into_memory(images, options.memory)
    a, b = (Half(whole, side) for side in ("left", "right"))
    if isinstance(whole, np.ndarray):
        a, b = a.of(whole), b.of(whole)
    return Found(a, second=b, domain_names=("left", "right"), identity=images.identity)


def _from_domains(folder, split, options):
    """`trainA` and `trainB`, `testA` and `testB`, ...; or exactly two folders."""
    names = _folders(folder)
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
        parts.append(_files(_part(files, split, folder), options)[0])
    a, b = both_into_memory(parts, options.memory)
    names, identity = tuple(names), "".join(part.identity for part in parts)
    return Found(a, second=b, aligned=False, domain_names=names, identity=identity)


def _from_lmdb(folder, split, options):
    from kgen.data.lsun import Images

    if options.size is None:
        raise ValueError(f"The images of {folder} may have several sizes: pass image_size=.")
    images = Images(folder)
    shape = (*options.size, options.channels or 3)
    chosen = _part(np.arange(len(images)), split, folder)[: options.limit]
    if options.skip_broken:
        chosen = chosen[_readable(chosen, True, images.read, images.name)[0]]
    storage = Encoded(images.read, len(images), shape, images.name).at(chosen)
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
    if labels is None or labels.ndim != 1 or labels.dtype.kind == "f":  # no classes
        labels = np.zeros(n, int)
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
        identity = functools.partial(_content, stored, split)
        return Found(_part(images, split, path), identity=identity)
    if path.suffix.lower() in SUFFIXES:
        raise ValueError(f"{path} is one image; a dataset is a folder of images.")
    raise ValueError(f"Expected a folder, an .npy, .npz or IDX file; got {path}.")


def _content(stored, split):
    return f"{stored.identity} {split}"


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
    splits = {}
    for path in _idx_files(folder):
        other = splits.setdefault(_split_of(path.name), path)
        if other.name.removesuffix(".gz") != path.name.removesuffix(".gz"):
            raise ValueError(
                f"{folder} holds several sets: {other.name}, {path.name}. Load one of these files, "
                "or give each set its own folder."
            )
    if not splits:
        raise ValueError(
            f"{folder} holds no IDX files: expected train-images-idx3-ubyte and the like, gzipped "
            "or not, each with its labels (train-labels-idx1-ubyte) beside it."
        )
    wanted = split or ("train" if "train" in splits else next(iter(splits)))
    if wanted == "all":
        images, labels = zip(*map(_idx_pair, splits.values()), strict=True)
        missing = any(own is None for own in labels)
        return Found(np.concatenate(images), None if missing else np.concatenate(labels))
    if wanted not in splits:
        raise ValueError(f"{folder} has the splits {sorted(splits)}; got {split!r}.")
    return Found(*_idx_pair(splits[wanted]))


def _idx_files(folder):
    return sorted(p for p in folder.iterdir() if IDX.match(p.name) and p.name[0] != ".")


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
    except (OSError, EOFError, zlib.error) as error:
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
