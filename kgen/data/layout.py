"""What the names of folders and files say: wrappers, splits, domains, kinds; what is left out."""

import collections
import os
import pathlib
import re
from typing import NamedTuple

from kgen.data.pixels import suffixes

KINDS = ("classes", "flat", "pairs", "domains", "idx", "lmdb")
IDX = re.compile(r"(.*)images[-.]idx3[-.]ubyte(\.(gz|bz2|xz))?$", re.IGNORECASE)
ARRAYS = {"x": 0, "images": 0, "image": 0, "y": 1, "labels": 1, "label": 1, "targets": 1}
SPLITS = {
    "train": ("train", "training", "trn"),
    "test": ("test", "testing", "tst"),
    "validation": ("validation", "val", "valid", "dev", "eval", "evaluation"),
}
WORDS = {word: split for split, words in SPLITS.items() for word in words}
# Words that name no class, and what systems leave behind in folders.
GENERIC = {"data", "dataset", "folder", "image", "images", "img", "imgs", "jpegimages", "set"}
JUNK = {
    "$recycle.bin",
    "@eadir",
    "__macosx",
    "__pycache__",
    "desktop.ini",
    "lost+found",
    "system volume information",
    "thumbs.db",
}


class Layout(NamedTuple):
    """Where the images of a folder lie: its own splits, or `{None: folder}` without any."""

    root: pathlib.Path
    folders: dict


def layout(path, kind=None):
    """The `Layout` of a folder; wrappers, folders that hold but one, are stepped into.

    Raises:
        ValueError: where the names can be understood in two ways; the message says how to choose.
    """
    root = _unwrapped({None: path}, kind)[None]
    splits = _splits(root, kind)
    if not splits:
        return Layout(root, {None: root})
    folders = _unwrapped(splits, kind)
    refuse_shared(
        {split: [f, *(f / name for name in folders_in(f))] for split, f in folders.items()}
    )
    if kind is None:  # a class has one name in all splits
        _refuse_names_alike(root, {name for f in folders.values() for name in folders_in(f)})
    return Layout(root, folders)


def split_of(name):
    """`"train"`, `"test"` or `"validation"`, if a name says so in one spelling or another."""
    split, rest = _split_and_rest(name)
    return None if rest else split


def spelled(split):
    """A split as this package spells it: `"train"` for `"Train"`, `"validation"` for `"val"`."""
    if not isinstance(split, str):
        return split
    return "all" if split.lower() == "all" else split_of(split) or split


def chosen(split, own, what, hint=""):
    """Which of a set's own splits is meant: None is `"train"`, or the only one.

    Raises:
        ValueError: if it is none of them.
    """
    own = list(own)
    if split is None and ("train" in own or len(own) == 1):
        return "train" if "train" in own else own[0]
    for name in own:
        if split is not None and name in (split, spelled(split)):
            return name
    raise ValueError(
        f"{what} has the splits {own}; "
        + ("pass split=, one of them." if split is None else f"got {split!r}.")
        + hint
    )


def domains(folder):
    """Pairs of folders of two domains by split: `trainA` and `trainB`, in any spelling."""
    sides = collections.defaultdict(dict)
    for name in folders_in(folder):
        stem, side = name[:-1].rstrip("-_ ."), name[-1:].lower()
        if stem and side in ("a", "b"):
            key = split_of(stem) or stem.lower()
            if side in sides[key] and key in SPLITS:
                raise _twice(folder, f"{key}{side.upper()}", sides[key][side], name)
            sides[key][side] = name
    order = [*SPLITS, *sorted(sides.keys() - SPLITS)]
    return {key: (sides[key]["a"], sides[key]["b"]) for key in order if len(sides[key]) == 2}


def arrays_by_split(path, names):
    """Names of the arrays of images and of labels (or None) by split, as `x_train` has it.

    Raises:
        ValueError: where several arrays of the file at `path` may be one of these.
    """
    found = {}
    for name in names:
        words = re.findall(r"[^\W_]+", name.lower())
        split = [WORDS[word] for word in words if word in WORDS]
        what = [ARRAYS[word] for word in words if word in ARRAYS]
        if len(words) == 2 and split and what:
            two = found.setdefault(split[0], [None, None])
            two[what[0]] = only(path, f"of the split {split[0]!r}", two[what[0]], name)
    return {split: two for split, two in found.items() if two[0]}


def only(path, what, *names):
    """The one name among these (others are None), or None.

    Raises:
        ValueError: if there are several.
    """
    names = [name for name in names if name is not None]
    if len(names) > 1:
        raise ValueError(
            f"{path} has several arrays {what}: {', '.join(names)}. Keep one of them in the file."
        )
    return names[0] if names else None


def kind_of(folder):
    """What kind of folder this is, from the names in it.

    Raises:
        ValueError: if it may be of two kinds.
    """
    names, own = folders_in(folder), _kind_of_names(folder)
    if own == "domains":
        halves = {name for two in domains(folder).values() for name in two}
        others = [name for name in names if name not in halves and holds(folder / name)]
        if others:
            raise ValueError(
                f"{folder} has two domains ({some(sorted(halves))}) and other folders with images "
                f'({some(others)}). Pass kind="domains" to leave those out, kind="classes" if each '
                "of all folders is a class."
            )
    if own:
        return own
    if again := _splits(folder, None):
        raise ValueError(
            f"{folder} has the splits {list(again)} again: load one of its folders, such as "
            f"{next(iter(again.values()))}."
        )
    holding = [name for name in names if holds(folder / name)]
    beside = next(images_of(folder, deep=False), None)
    if beside and holding:
        raise ValueError(
            f"{folder} holds images ({os.path.basename(beside)}, ...) and folders ({names[0]}, "
            '...): are these classes? Pass kind="classes" for the folders, kind="flat" for the '
            "images."
        )
    if beside or not names:
        return "flat"
    _refuse_unlikely_classes(folder, names)
    return "classes"


def folders_in(folder):
    """Names of the folders in a folder; hidden ones are left out, linked ones are not."""
    return sorted(entry.name for entry in _entries(folder) if _is_folder(entry))


def idx_files(folder):
    """Paths of the IDX files of images in a folder."""
    return sorted(folder / e.name for e in _entries(folder) if IDX.match(e.name))


def images_of(folder, deep=True, left_out=None, entered=None):
    """Yield the paths of the images in a folder, and in its folders if `deep`.

    What is hidden is left out, links are followed, each folder is entered once.

    Args:
        left_out: a `collections.Counter`, to which the suffixes of other files are added.
        entered: a dictionary that several calls share, each for a part of a set; it keeps for which
            of them a folder was entered.

    Raises:
        ValueError: for a folder that links make part of another one in `entered`, too.
    """
    entered, readable, waiting = {} if entered is None else entered, suffixes(), [folder]
    while waiting:
        here = waiting.pop()
        status = os.stat(here)
        identity = status.st_dev, status.st_ino
        if identity in entered:
            if entered[identity] != folder:
                raise _shared(entered[identity], folder, here)
            continue
        entered[identity] = folder
        for entry in _entries(here):
            suffix = _suffix(entry.name)
            if _is_folder(entry):
                waiting += [entry.path] if deep else []
            elif suffix in readable:
                yield entry.path
            elif left_out is not None and not os.path.isdir(entry.path):
                left_out[suffix] += 1


def refuse_shared(parts):
    """Raise a `ValueError` where links make one folder that of two parts of a set.

    Args:
        parts: the folders of each part, by its name.
    """
    known = {}
    for part, folders in parts.items():
        for folder in folders:
            other = known.setdefault(os.path.realpath(folder), part)
            if other != part:
                raise _shared(other, part, folder)


def _shared(one, other, folder):
    return ValueError(
        f"{one} and {other} share a folder, {os.path.realpath(folder)}: its images would be in "
        "both. Delete the link in one of them, or give each its own images."
    )


def holds(folder):
    """Whether there are images in a folder or its folders."""
    if next(images_of(folder), None):
        return True
    return any(
        name == "data.mdb" or IDX.match(name) for _, _, names in os.walk(folder) for name in names
    )


def files_in(folder):
    """Suffixes of the files that lie in a folder itself, with their numbers."""
    files = (entry.name for entry in _entries(folder) if not os.path.isdir(entry.path))
    return collections.Counter(map(_suffix, files))


def counted(left_out):
    """Suffixes with their numbers, the most frequent first."""
    return ", ".join(f"{suffix} {n:,}" for suffix, n in left_out.most_common(8)) + (
        ", ..." if len(left_out) > 8 else ""
    )


# Names


def _words(name):
    """Words of a name in lower case: `TrainSet_2` has train."""
    apart = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower()
    words = re.findall(r"[^\W\d_]+", apart)
    return [re.sub(r"(?<=.)(set|data|images|imgs|split)$", "", word) for word in words]


def _split_and_rest(name):
    """The split that a name speaks of, or None, and its other words that mean something."""
    words = [name] if re.search(r"[^\w .-]", name) else _words(name)  # such as "train[:80%]"
    splits = [WORDS[word] for word in words if word in WORDS]
    rest = tuple(word for word in words if word not in WORDS and word not in GENERIC)
    return (splits[0], rest) if len(splits) == 1 else (None, rest)


def _is_generic(name):
    words = _words(name)
    return bool(words) and GENERIC.issuperset(words)


def _twice(folder, what, *names):
    return ValueError(
        f"{folder} has several folders for {what}: {', '.join(names)}. Rename or join them, or "
        "load one of them."
    )


def _splits(folder, kind):
    """Folders of splits in a folder, by split, in the order of `SPLITS`.

    Raises:
        ValueError: if such a name may as well be that of a class.
    """
    own = _kind_of_names(folder)
    if own and kind in (own, None):
        return {}
    names = folders_in(folder)
    said = {name: _split_and_rest(name) for name in names}
    plain = [name for name in names if said[name][0] and not said[name][1]]
    if not plain:  # cats_train, cats_test: the same name with each split
        spoken = {split for split, _ in said.values()}
        if len(spoken - {None}) < 2:
            return {}
        if (
            None in spoken
            or len(set(said.values())) < len(names)
            or len({rest for _, rest in said.values()}) > 1
        ):
            if kind is not None:
                return {}
            raise ValueError(
                f"{folder} has folders that speak of splits ({some(names)}), but not one for each "
                "split. Put them into folders train, test, ... by class; or pass "
                'kind="classes" if each is a class.'
            )
        plain = names
    splits = {}
    for name in plain:
        split = said[name][0]
        if split in splits:
            raise _twice(folder, f"the split {split!r}", splits[split].name, name)
        splits[split] = folder / name
    others = [name for name in names if name not in plain and holds(folder / name)]
    if others and kind in ("classes", "domains"):
        return {}
    if kind is None and others:
        raise ValueError(
            f"{folder} has folders named by splits ({', '.join(plain)}) and others with images "
            f'({some(others)}). If all of them are classes, pass kind="classes"; otherwise load '
            f"the folder of a split, such as {folder / plain[0]}."
        )
    if kind == "flat" and next(images_of(folder, deep=False), None):
        return {}
    if kind in ("pairs", None) and (beside := next(images_of(folder, deep=False), None)):
        raise ValueError(
            f"{folder} has folders named by splits ({', '.join(plain)}) and images beside them "
            f"({os.path.basename(beside)}, ...). Load the folder of a split, such as "
            f'{folder / plain[0]}, or pass kind="flat" for the images beside.'
        )
    return {split: splits[split] for split in SPLITS if split in splits}


def _kind_of_names(folder):
    """What the names in a folder say beyond doubt, or None."""
    if idx_files(folder):
        return "idx"
    if (folder / "data.mdb").exists():
        return "lmdb"
    return "domains" if SPLITS.keys() & domains(folder).keys() else None


def _refuse_unlikely_classes(folder, names):
    """Raise where folders are probably something else than one for each class."""
    _refuse_names_alike(folder, names)
    for name in names:
        if len({split_of(inner) for inner in folders_in(folder / name)} - {None}) > 1:
            raise _unlikely(folder, names, f"{folder / name} holds folders named by splits again")
        if len(names) > 1 and _is_generic(name):
            raise _unlikely(folder, names, f"{name} is no name of a class")
    inner = [{n for n in folders_in(folder / name) if not _is_generic(n)} for name in names]
    if len(names) > 1 and len(inner[0]) > 1 and all(own == inner[0] for own in inner):
        reason = f"each holds the same folders ({some(sorted(inner[0]))}), as splits do"
        raise _unlikely(folder, names, reason)
    if list(map(str.lower, names)) == ["a", "b"]:
        raise _unlikely(folder, names, 'A and B may be two domains (kind="domains")')


def _refuse_names_alike(folder, names):
    known = {}
    for name in sorted(names):
        if len(name) > 1 and known.setdefault(name.lower(), name) != name:
            alike = f"{known[name.lower()]} and {name} differ in case only"
            raise _unlikely(folder, sorted(names), alike)


def _unlikely(folder, names, reason):
    return ValueError(
        f"Are the folders of {folder} ({some(names)}) classes? {reason}. If so, pass "
        'kind="classes"; otherwise load one of them, or give each split a folder that holds those '
        "of the classes (train/cats)."
    )


def some(names):
    """The first of some names, as they can be printed."""
    return ", ".join(map(printable, names[:3])) + (", ..." if len(names) > 3 else "")


def printable(name):
    """A name of a file, whose bytes may be no UTF-8, as it can be printed."""
    return os.fsencode(str(name)).decode("utf-8", "replace")


# Folders


def _unwrapped(folders, kind):
    """Step from folders that hold but one folder, and no images, into that one."""
    while True:
        inner = {split: _only_folder(folder, kind) for split, folder in folders.items()}
        named = {path and path.name.lower() for path in inner.values()}
        if None in named or len(named) > 1:  # a split may lack a class: that is no wrapper
            inner = {
                split: path
                for split, path in inner.items()
                if path and (_is_generic(path.name) or split_of(path.name) == split)
            }
        if not inner:
            return folders
        folders = folders | inner


def _only_folder(folder, kind):
    """The folder in which all images of a folder are, or None."""
    if next(images_of(folder, deep=False), None) or _kind_of_names(folder):
        return None
    names = folders_in(folder)
    if len(names) > 1 and any(_is_generic(name) for name in names):
        names = [name for name in names if holds(folder / name)]
        names = names if len(names) == 1 and _is_generic(names[0]) else []
    if len(names) != 1 or not holds(folder / names[0]):
        return None
    inner = folder / names[0]
    one_class = kind == "classes" and not folders_in(inner)
    return None if one_class or _speaks_of_split(folder, inner) else inner


def _speaks_of_split(folder, inner):
    return split_of(inner.name) not in (None, split_of(folder.name))


def _suffix(name):
    return os.path.splitext(name)[1].lower() or "no suffix"


def _entries(folder):
    """What a folder holds, without what is hidden or left behind by systems."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name[0] != "." and entry.name.lower() not in JUNK:
                yield entry


def _is_folder(entry):
    """Whether an entry is a folder, or a link to one that does not lead back.

    Raises:
        ValueError: for a link to nothing that is not named as an image.
    """
    if not entry.is_symlink():
        return entry.is_dir()
    target, here = os.path.realpath(entry.path), os.path.realpath(os.path.dirname(entry.path))
    if os.path.isdir(target):
        return os.path.commonpath([target, here]) != target
    if not os.path.exists(target) and not os.path.splitext(entry.name)[1]:
        raise ValueError(f"{entry.path} is a link to nothing: mend or delete it.")
    return False
