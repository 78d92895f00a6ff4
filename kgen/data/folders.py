"""Images in folders and files of one's own: where they are, and what belongs together."""

import bz2
import collections
import gzip
import lzma
import math
import os
import pathlib
import re
import zipfile
import zlib
from typing import Any, NamedTuple

import numpy as np

from kgen.arguments import check_regular
from kgen.data.layout import (
    IDX,
    KINDS,
    arrays_by_split,
    chosen,
    counted,
    domains,
    files_in,
    folders_in,
    holds,
    idx_files,
    images_of,
    kind_of,
    layout,
    only,
    printable,
    refuse_shared,
    some,
    spelled,
)
from kgen.data.pixels import WHITE, suffixes
from kgen.data.storage import (
    ArrayFile,
    Encoded,
    Files,
    Half,
    PairFiles,
    Storage,
    both_into_memory,
    into_memory,
    of_numpy,
    shapes_of,
    spare_memory,
)

PACKED = {  # by suffix, which need not be there: how a content begins, and what unpacks it
    ".gz": (b"\x1f\x8b", gzip.decompress),
    ".bz2": (b"BZh", bz2.decompress),
    ".xz": (b"\xfd7zXZ\0", lzma.decompress),
}
OWN = ("idx", "domains")  # kinds whose files or folders are named by splits
ON_BACKGROUND = '; what is transparent is shown on background="white", or another colour'


class Found(NamedTuple):
    """What a source holds: images, and labels or a second domain where there are some."""

    images: Any
    labels: Any = None
    class_names: Any = None
    second: Any = None
    aligned: bool = True
    domain_names: tuple = ("a", "b")
    origins: tuple = (None, None)  # the storages of both domains, where arrays were read from some
    own: Any = ()  # names of the splits that the source has of its own


class Options(NamedTuple):
    """How images are read: `(height, width)` or None, channels or None, ..."""

    size: Any = None
    channels: Any = None
    memory: Any = None
    skip_broken: bool = False
    limit: Any = None  # the first so many
    background: tuple = WHITE  # of what is transparent, where that is dropped


def from_path(path, split, kind, options):
    """What a folder or a file holds.

    Args:
        path: a folder of class folders, of images, of side-by-side pairs (`kind="pairs"`), of two
            domains, of IDX files or an LMDB; any of these below folders named by splits, and below
            wrappers (see `kgen.data.layout`); or an `.npy`, `.npz` or IDX file.
        split: None for everything (or `"train"`, where there are splits), `"all"`, or a split's
            name. Without splits of its own, every fifth image of each class is `"test"`.
        kind: one of `KINDS`, where it cannot be seen from the folder.
        options: `Options`.
    """
    path = _existing(path, kind)
    if path.is_file():
        return _from_file(path, split, options)
    root, folders = layout(path, kind)
    own, wanted = [name for name in folders if name], [None]
    if own:
        alone = f" Each can be loaded by itself, such as {folders[own[0]]}"
        alone += ", which has 'train' and 'test' then." if len(own) == 1 else "."
        wanted = own if spelled(split) == "all" else [chosen(split, own, path, alone)]
        split = "all"
    names = _class_names(folders.values())
    folders = [folders[name] for name in wanted]
    if any(folder != path and folder != root / folder.name for folder in folders) or root != path:
        print(f"{printable(path)}: what is loaded lies in {some(folders)}")
    kinds = sorted({kind or kind_of(folder) for folder in folders})
    if len(kinds) > 1 or (len(folders) > 1 and kinds[0] in (*OWN, "lmdb")):
        raise ValueError(f"{path} has the splits {own} of {kinds}: load one of them by split=.")
    left_out, folder = collections.Counter(), folders[0]
    for wrapper in {path, root}.difference(folders):
        left_out.update(files_in(wrapper))
    if kinds == ["idx"]:
        found = _from_idx(folder, split)
    elif kinds == ["domains"]:
        found = _from_domains(folder, split, options, left_out)
    elif kinds == ["lmdb"]:
        found = _from_lmdb(folder, split, options)
    elif kinds == ["classes"]:
        found = _from_classes(folders, names, split, options, left_out)
    else:
        found = _from_images(folders, split, kinds[0], options, left_out)
    if left_out:
        print(f"{printable(path)}: files that are left out, by suffix: {counted(left_out)}")
    return found._replace(own=own) if own else found


def own_splits(path, kind=None):
    """Names of the splits that a folder or a file has of its own."""
    path = _existing(path, kind)
    if path.is_file():
        return (
            list(arrays_by_split(path, _from_archive(path)))
            if path.suffix.lower() == ".npz"
            else []
        )
    root, folders = layout(path, kind)
    if own := [name for name in folders if name]:
        return own
    kind = kind or kind_of(root)
    return list({"idx": _idx_by_split, "domains": domains}[kind](root)) if kind in OWN else []


def _existing(path, kind):
    path = pathlib.Path(os.path.expanduser(path))
    if kind is not None and kind not in KINDS:
        raise ValueError(f"kind must be one of {KINDS} or None; got {kind!r}.")
    if not os.path.exists(path):  # which takes any name
        nothing = f"{path} is a link to nothing: mend or delete it."
        raise ValueError(nothing if os.path.islink(path) else f"There is no file or folder {path}.")
    if not path.is_dir():
        try:
            check_regular(path)
        except OSError as error:
            raise ValueError(f"{path} cannot be read: {error}.") from error
    return path.absolute()  # wherever the process goes then


# Files of images


def _images_in(folder, left_out, entered, deep=True):
    return sorted(images_of(folder, deep, left_out, entered))


def _no_images(folder, left_out):
    there = f"; it has other files ({counted(left_out)})" if left_out else ""
    return f"{folder} holds no images such as .jpg, .png or .webp{there}"


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
    return (PairFiles if pairs else Files)(paths, shape, options.background), kept


def _readable(items, skip_broken, source=None, name=str):
    """Indices and shapes of the images that can be read, all if not `skip_broken`."""
    shapes = shapes_of(items, skip_broken, source, name)
    kept = [i for i, shape in enumerate(shapes) if shape is not None]
    if left_out := len(items) - len(kept):
        broken = [name(item) for item, shape in zip(items, shapes, strict=True) if shape is None]
        print(f"Left out {left_out} images that cannot be read: {some(broken)}")
        if not kept:
            raise ValueError(f"None of the {left_out} images can be read: {some(broken)}")
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
                f"{shape[2]}. Pass channels=1 (grey) or channels=3 (colour)"
                + (ON_BACKGROUND if any(shape[2] == 4 for shape in shapes) else "")
                + "."
            )
    return shapes[0][2]


def _by(shape):
    return f"{shape[0]}x{shape[1]}"


def _class_names(folders):
    """Names of the classes of all splits, so that each has one label in all of them."""
    return sorted({name for folder in folders for name in folders_in(folder)})


def _from_classes(folders, names, split, options, left_out):
    """Images by class; the classes take turns."""
    folder = folders[0]
    if not names:
        raise ValueError(f'{folder} has no folders: kind="classes" expects one for each class.')
    files, labels, places, entered = [], [], [], {}
    for label, name in enumerate(names):
        own = []
        for place in [folder / name for folder in folders if (folder / name).is_dir()]:
            some_files = collections.Counter()
            if not (there := _images_in(place, some_files, entered)):
                raise ValueError(
                    f"The class {name!r} is empty: {_no_images(place, some_files)}. Fill the "
                    "folder or delete it."
                )
            own += there
            left_out.update(some_files)
        files += own
        labels += [label] * len(own)
        places += [(i + 0.5) / len(own) for i in range(len(own))]
    for folder in folders:
        left_out.update(files_in(folder))
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
    return Found(whole, labels[kept], names, origins=(images, None))


def _from_images(folders, split, kind, options, left_out):
    """Images without classes, each of them one image or a pair."""
    entered = {}
    files = [file for f in folders for file in _images_in(f, left_out, entered, deep=False)]
    if not files:
        raise ValueError(
            f"{_no_images(folders[0], left_out)}. Expected images, folders named by their classes, "
            "trainA and trainB, IDX files, or an LMDB's data.mdb."
        )
    if inner := [f"{f / name}" for f in folders for name in folders_in(f) if holds(f / name)]:
        print(f"{some(folders[:1])}: the images in its folders are left out ({some(inner)})")
    files = _part(files, split, folders[0])
    if kind == "pairs":
        return _from_pairs(files, options)
    images, _ = _files(files, options)
    return Found(into_memory(images, options.memory), origins=(images, None))


def _from_pairs(files, options):
    images, _ = _files(files, options, pairs=True)
    whole = into_memory(images, options.memory)
    names = ("left", "right")
    a, b = (Half(whole, side) for side in names)
    if isinstance(whole, np.ndarray):
        a, b = a.of(whole), b.of(whole)
    origins = tuple(Half(images, side) for side in names)
    return Found(a, second=b, domain_names=names, origins=origins)


def _from_domains(folder, split, options, left_out):
    """`trainA` and `trainB`, `testA` and `testB`, ...; or exactly two folders."""
    names, own = folders_in(folder), domains(folder)
    sides = [[name] for name in names]
    if own:
        wanted = list(own) if spelled(split) == "all" else [chosen(split, own, folder)]
        sides, split = list(zip(*(own[name] for name in wanted), strict=True)), "all"
    elif len(names) != 2:
        raise ValueError(
            f"Two domains are two folders, or trainA and trainB (testA, testB); {folder} has "
            f"{names}."
        )
    refuse_shared({name: [folder / name] for pair in (own.values() or [names]) for name in pair})
    left_out.update(files_in(folder))
    parts, entered = [], {}
    for side in sides:
        files = [file for name in side for file in _images_in(folder / name, left_out, entered)]
        if not files:
            there = _no_images(folder / side[0], left_out)
            raise ValueError(f"The domain {side[0]!r} is empty: {there}.")
        parts.append(_files(_part(files, split, folder), options)[0])
    a, b = both_into_memory(parts, options.memory)
    names = tuple(side[0] if len(side) == 1 else side[0][-1:] for side in sides)
    found = Found(a, second=b, aligned=False, domain_names=names, origins=tuple(parts))
    return found._replace(own=list(own))


def _from_lmdb(folder, split, options):
    from kgen.data.lsun import Images

    if options.size is None:
        raise ValueError(f"The images of {folder} may have several sizes: pass image_size=.")
    images = Images(folder)
    shape = (*options.size, options.channels or 3)
    chosen = _part(np.arange(len(images)), split, folder)[: options.limit]
    if options.skip_broken:
        chosen = chosen[_readable(chosen, True, images.read, images.name)[0]]
    encoded = Encoded(
        images.read, len(images), shape, images.name, images.entry, options.background
    )
    storage = encoded.at(chosen)
    return Found(into_memory(storage, options.memory), origins=(storage, None))


# Splits of what has none


def _part(examples, split, path, labels=None):
    """Those of the examples (a list, an array, a storage) that belong to a split."""
    part = spelled(split)
    if examples is None or part in (None, "all"):
        return examples
    if part not in ("train", "test"):
        raise ValueError(
            f"{path} has no splits of its own, so split must be 'train' (four fifths), 'test' or "
            f"'all'; got {split!r}."
        )
    test = fifths(labels, len(examples))
    if part == "test" and not test.any():
        raise ValueError(
            f'{path} holds too few images ({len(examples)}) for split="test": it is every fifth of '
            "each class."
        )
    own = np.flatnonzero(test if part == "test" else ~test)
    if isinstance(examples, Storage):
        return examples.at(own)
    return examples[own] if isinstance(examples, np.ndarray) else [examples[i] for i in own]


def _parts(images, labels, split, path):
    if labels is not None and labels.shape[:1] != images.shape[:1]:
        raise ValueError(f"{path} holds {len(images)} images and labels of shape {labels.shape}.")
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
    if path.suffix.lower() == ".npz":
        return _from_npz(path, split)
    if path.suffix.lower() == ".npy":
        stored = ArrayFile(path)
        memory = spare_memory() if options.memory is None else options.memory
        images = stored if stored.nbytes > memory else stored[:]
        return Found(_part(images, split, path), origins=(_part(stored, split, path), None))
    if path.suffix.lower() in suffixes():
        raise ValueError(f"{path} is one image; a dataset is a folder of images.")
    raise ValueError(
        f"Expected a folder, an .npy, .npz or IDX file; got {path}. Unpack it, if it is an archive."
    )


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
    images = {split: _grey(images) for split, (images, _) in pairs.items()}
    labels = {split: labels for split, (_, labels) in pairs.items() if labels is not None}
    if labels and (without := [split for split in pairs if split not in labels]):
        print(f"{printable(path)}: without labels, since {some(without)} has none")
    whole = _concatenated(path, "images", images)
    alike = len(labels) == len(pairs)
    return whole, _concatenated(path, "labels", labels) if alike else None


def _grey(images):
    return images[..., None] if images.ndim == 3 else images


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


def _from_idx(folder, split):
    """IDX files as MNIST and its like have them: images by split, their labels beside."""
    splits = _idx_by_split(folder)
    if not splits:
        raise ValueError(
            f"{folder} holds no IDX files: expected train-images-idx3-ubyte and the like, gzipped "
            "or not, each with its labels (train-labels-idx1-ubyte) beside it."
        )
    if spelled(split) == "all":
        pairs = {name: _idx_pair(path) for name, path in splits.items()}
        return Found(*_joined(folder, pairs), own=list(splits))
    return Found(*_idx_pair(splits[chosen(split, splits, folder)]), own=list(splits))


def _idx_by_split(folder):
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
