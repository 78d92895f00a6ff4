"""Images in folders and files of one's own: where they are, and what belongs together."""

import collections
import itertools
import os
import pathlib

import numpy as np

from kgen.arguments import check_regular
from kgen.data.array_files import from_file, from_idx, idx_by_split, splits_of_file
from kgen.data.layout import (
    IDX,
    KINDS,
    chosen,
    counted,
    domains,
    files_in,
    folders_in,
    holds,
    images_of,
    kind_of,
    layout,
    printable,
    refuse_shared,
    some,
    spelled,
    split_of,
)
from kgen.data.memory import into_memory, shares
from kgen.data.pixels import CHUNK_IMAGES, BrokenImage, probe
from kgen.data.request import Found, part
from kgen.data.storage import EncodedImages, HalfImages, ImageFiles, PairFiles
from kgen.progress import for_all

OWN = ("idx", "domains")  # kinds whose files or folders are named by splits
ON_BACKGROUND = '; what is transparent is shown on background="white", or another colour'


def from_path(path, split, kind, request):
    """What a folder or a file holds.

    Args:
        path: a folder of class folders, of images, of side-by-side pairs (`kind="pairs"`), of two
            domains, of IDX files or an LMDB; any of these below folders named by splits, and below
            wrappers (see `kgen.data.layout`); or an `.npy`, `.npz` or IDX file.
        split: None for everything (or `"train"`, where there are splits), `"all"`, or a split's
            name. Without splits of its own, every fifth image of each class is `"test"`.
        kind: one of `KINDS`, where it cannot be seen from the folder.
        request: a `Request`.
    """
    path = _existing(path, kind)
    if path.is_file():
        return from_file(path, split, request)
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
        found = from_idx(folder, split)
    elif kinds == ["domains"]:
        found = _from_domains(folder, split, request, left_out)
    elif kinds == ["lmdb"]:
        found = _from_lmdb(folder, split, request)
    elif kinds == ["classes"]:
        found = _from_classes(folders, names, split, request, left_out)
    else:
        found = _from_images(folders, split, kinds[0], request, left_out)
    if left_out:
        print(f"{printable(path)}: files that are left out, by suffix: {counted(left_out)}")
    return found._replace(own=own) if own else found


def own_splits(path, kind=None):
    """Names of the splits that a folder or a file has of its own."""
    path = _existing(path, kind)
    if path.is_file():
        return splits_of_file(path)
    root, folders = layout(path, kind)
    if own := [name for name in folders if name]:
        return own
    kind = kind or kind_of(root)
    return list({"idx": idx_by_split, "domains": domains}[kind](root)) if kind in OWN else []


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
        if kind is not None and not (kind == "idx" and IDX.match(path.name)):
            raise ValueError(
                f"kind={kind!r} is for folders, and {path} is a file: leave kind out. Two arrays "
                "of images make a kgen.data.ImagePairs."
            )
    return path.absolute()  # wherever the process goes then


# Files of images


def _images_in(folder, left_out, entered, deep=True):
    return sorted(images_of(folder, deep, left_out, entered))


def _no_images(folder, left_out):
    there = f"; it has other files ({counted(left_out)})" if left_out else ""
    return f"{folder} holds no images such as .jpg, .png or .webp{there}"


def _files(paths, request, pairs=False):
    """The images of these files, and which files they are."""
    paths = paths[: request.num_examples]
    kept, shapes = _readable(paths, request.skip_broken)
    paths = [paths[i] for i in kept]
    size = request.size
    if pairs:
        _refuse_odd(paths, shapes)
        size = size and (size[0], 2 * size[1])
    shape = (*_one_size(paths, shapes, size), _one_depth(paths, shapes, request.channels))
    return (PairFiles if pairs else ImageFiles)(paths, shape, request.background), kept


def _readable(items, skip_broken, source=None, name=str):
    """Indices and shapes of the images that can be read, all if not `skip_broken`."""
    shapes = _shapes_of(items, skip_broken, source, name)
    kept = [i for i, shape in enumerate(shapes) if shape is not None]
    if left_out := len(items) - len(kept):
        broken = [name(item) for item, shape in zip(items, shapes, strict=True) if shape is None]
        print(f"Left out {left_out} images that cannot be read: {some(broken)}")
        if not kept:
            raise ValueError(f"None of the {left_out} images can be read: {some(broken)}")
    return np.array(kept, int), [shapes[i] for i in kept]


def _shapes_of(items, skip_broken=False, source=None, name=str):
    """Height, width and channels of each encoded image; those that are left out are None.

    Args:
        items: what stands for the images: their paths.
        skip_broken: leave out what cannot be read; all of them are decoded to be sure.
        source: function of an item that returns a path or bytes; by default the item.
        name: function of an item: what messages call the image.

    Raises:
        BrokenImage: for the first that cannot be read, unless `skip_broken`.
    """

    def shape(item):
        try:
            return probe(source(item) if source else item, name(item), whole=skip_broken)
        except BrokenImage:
            if not skip_broken:
                raise
            return None

    def shapes(start):
        return [shape(item) for item in items[start : start + CHUNK_IMAGES]]

    found = for_all(shapes, range(0, len(items), CHUNK_IMAGES), "Looking at images")
    return list(itertools.chain.from_iterable(found))


def _refuse_odd(paths, shapes):
    for path, shape in zip(paths, shapes, strict=True):
        if shape[1] % 2:
            raise ValueError(
                f"{path} is {shape[1]} pixels wide (and {shape[0]} high): an image that holds a "
                "pair side by side has an even width, half for each. If these are no pairs, leave "
                'kind="pairs" out.'
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


def _from_classes(folders, names, split, request, left_out):
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
    files, labels = part(files, split, folder, labels), part(labels, split, folder, labels)
    images, kept = _files(files, request)
    gone = set(labels[: request.num_examples]) - set(labels[kept])
    if gone and request.num_examples is None:
        name = names[min(gone)]
        raise ValueError(
            f"The class {name!r} is empty: none of the images of {folder / name} can be read. "
            "Replace them or delete the folder."
        )
    whole = into_memory(images, request.room)
    return Found(whole, labels[kept], names, origins=(images, None))


def _from_images(folders, split, kind, request, left_out):
    """Images without classes, each of them one image or a pair."""
    entered = {}
    files = [file for f in folders for file in _images_in(f, left_out, entered, deep=False)]
    inner = [f"{f / name}" for f in folders for name in folders_in(f) if holds(f / name)]
    if not files and inner:
        each = ", each a pair side by side" if kind == "pairs" else ""
        raise ValueError(
            f"{folders[0]} itself holds no images, as kind={kind!r} expects{each}; its folders do "
            f"({some(inner)}). Leave kind out, or load one of them."
        )
    if not files:
        raise ValueError(
            f"{_no_images(folders[0], left_out)}. Expected images, folders named by their classes, "
            "trainA and trainB, IDX files, or an LMDB's data.mdb."
        )
    if inner:
        print(f"{some(folders[:1])}: the images in its folders are left out ({some(inner)})")
    files = part(files, split, folders[0])
    if kind == "pairs":
        return _from_pairs(files, request)
    images, _ = _files(files, request)
    return Found(into_memory(images, request.room), origins=(images, None))


def _from_pairs(files, request):
    images, _ = _files(files, request, pairs=True)
    whole = into_memory(images, request.room)
    names = ("left", "right")
    a, b = (HalfImages(whole, side) for side in names)
    if isinstance(whole, np.ndarray):
        a, b = a.of(whole), b.of(whole)
    origins = tuple(HalfImages(images, side) for side in names)
    return Found(a, second=b, domain_names=names, origins=origins)


def _from_domains(folder, split, request, left_out):
    """`trainA` and `trainB`, `testA` and `testB`, ...; or exactly two folders."""
    names, own = folders_in(folder), domains(folder)
    sides = [[name] for name in names]
    if own:
        wanted = list(own) if spelled(split) == "all" else [chosen(split, own, folder)]
        sides, split = list(zip(*(own[name] for name in wanted), strict=True)), "all"
    elif len(names) != 2:
        raise _no_two_domains(folder, names)
    _refuse_splits_of_a_domain(folder, [] if own else names)
    refuse_shared({name: [folder / name] for pair in (own.values() or [names]) for name in pair})
    left_out.update(files_in(folder))
    stored, entered = [], {}
    for side in sides:
        files = [file for name in side for file in _images_in(folder / name, left_out, entered)]
        if not files:
            there = _no_images(folder / side[0], left_out)
            raise ValueError(f"The domain {side[0]!r} is empty: {there}. Put its images there.")
        stored.append(_files(part(files, split, folder), request)[0])
    rooms = shares(request.room, [images.nbytes for images in stored])
    a, b = map(into_memory, stored, rooms)
    names = tuple(side[0] if len(side) == 1 else side[0][-1:] for side in sides)
    found = Found(a, second=b, aligned=False, domain_names=names, origins=tuple(stored))
    return found._replace(own=list(own))


def _no_two_domains(folder, names):
    """The error for a folder of one domain, of none or of several."""
    needed = "Two domains are two folders, or trainA and trainB (testA, testB)"
    for name, place in ((folder.name, folder.parent), *((name, folder) for name in names)):
        if split_of(name[:-1]) and name[-1].lower() in "ab":
            if any(name in both for both in domains(place).values()):
                return ValueError(f"{folder} is one of two domains: load {place}.")
            return ValueError(f"{needed}; {place} has {name}, but not the other one.")
    pairs = next(images_of(folder, deep=False), None) and not names
    hint = '. Images that hold a pair side by side are kind="pairs"' if pairs else ""
    return ValueError(f"{needed}; {folder} has {names or 'no folders'}{hint}.")


def _refuse_splits_of_a_domain(folder, names):
    """Raise a `ValueError` where splits lie in the domains: all would be taken together."""
    for name in names:
        splits = [inner for inner in folders_in(folder / name) if split_of(inner)]
        if len({split_of(inner) for inner in splits}) > 1:
            raise ValueError(
                f"The domain {folder / name} holds folders named by splits ({', '.join(splits)}): "
                f"put the domains into the splits instead, {splits[0]}/{names[0]} and "
                f"{splits[0]}/{names[1]}."
            )


def _from_lmdb(folder, split, request):
    from kgen.data.lsun import LmdbImages

    if request.size is None:
        raise ValueError(f"The images of {folder} may have several sizes: pass image_size=.")
    images = LmdbImages(folder)
    shape = (*request.size, request.channels or 3)
    chosen = part(np.arange(len(images)), split, folder)[: request.num_examples]
    if request.skip_broken:
        chosen = chosen[_readable(chosen, True, images.read, images.name)[0]]
    encoded = EncodedImages(
        images.read, len(images), shape, images.name, images.entry, request.background
    )
    storage = encoded.at(chosen)
    return Found(into_memory(storage, request.room), origins=(storage, None))
