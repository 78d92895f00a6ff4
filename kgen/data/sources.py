"""`load`: images by name."""

import functools
import numbers
import os
import pathlib

from kgen.arguments import positive
from kgen.data.dataset import ImageDataset
from kgen.data.embedded import EMBEDDED
from kgen.data.folders import Found, Options, from_path
from kgen.data.pairs import ImagePairs
from kgen.data.pixels import SUFFIXES, with_channels
from kgen.data.storage import Converted, Storage


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
):
    """Load images by name.

    Args:
        name: one of

            - `"digits"`: embedded, scikit-learn's 1,797 real handwritten digits, 8x8;
            - `"toy2d"` with a shape: points, `"toy2d/ring"`, `"toy2d/grid"`, `"toy2d/moons"`,
              `"toy2d/swiss_roll"`;
            - `"faces"`: portraits drawn at the size asked for, 64 pixels by default;
              `"faces/glasses"` and the like have that factor of `kgen.data.faces.FACTORS` as
              label, `"faces/edges2photo"` and the like are pairs of two renderings;
            - a path: a folder with a folder of images for each class (they take turns); of images;
              of side-by-side pairs (`kind="pairs"`); of two domains (`trainA`, `trainB`, `testA`,
              `testB`, or two folders and `kind="domains"`); of IDX files; or an LMDB; each also
              below folders named `train`, `test`, ...; an `.npz`, `.npy` or IDX file;
            - any image set of TensorFlow Datasets: `"mnist"`, `"celeb_a"`, `"lsun/bedroom"`,
              `"cycle_gan/horse2zebra"`, ...
        split: None for `"train"`, where there are splits, and everything otherwise. `"train"`,
            `"test"` or `"all"` for embedded sets; any split of TensorFlow Datasets, slices such as
            `"train[:1000]"` included; the splits of a folder or file. One without splits: every
            fifth image of each class is `"test"`.
        image_size: None for the images' own size, an integer for squares, or `(height, width)`:
            the largest centred crop of that aspect is resized. Images of several sizes need it.
        seed: of the order, and of augmentation.
        batch_size: images in a batch.
        shuffle: whether each epoch has its own order; by default, for training splits and
            where there are none.
        data_dir: the store of TensorFlow Datasets; by default its own.
        num_examples: how many examples, the first ones; of sets that are drawn (`toy2d`, `faces`)
            any number, 10,000 by default.
        augment: what is drawn anew in each epoch, such as `{"flip": True, "crop": 0.9, "shift": 2}`
            (see `ImageDataset`); the same for both images of an aligned pair.
        kind: of a folder, where it cannot be seen from its entries.
        channels: 1 or 3 (or 4, with transparency), to convert images to; their own by default.
        memory: bytes of pixels to keep in memory, by default a quarter of what is free. What does
            not fit is read from disk again in each epoch.
        skip_broken: leave out images that cannot be decoded, instead of refusing.

    Returns:
        An `ImageDataset`, with labels where there are some; an `ImagePairs` for two domains.

    Raises:
        ValueError: for an unknown name or split, one without images, images that cannot be read or
            differ in size or channels (the message names them).
        ConnectionError: if the set is not in the store and cannot be fetched.
        OSError: if there is no room for it.
    """
    size = _size(image_size)
    if channels not in (None, 1, 3, 4):
        raise ValueError(f"channels must be 1, 3 or 4; got {channels!r}.")
    if not name or not isinstance(name, str | os.PathLike):
        raise TypeError(f"name must be the name of a set or a path; got {name!r}.")
    if num_examples is not None:
        positive(num_examples, "num_examples")
    if memory is not None and (not isinstance(memory, numbers.Real) or memory < 0):
        raise ValueError(f"memory must be a number of bytes, such as 2**30; got {memory!r}.")
    options = Options(size, channels, memory, bool(skip_broken), num_examples)
    found = _find(name, split, size, data_dir, num_examples, kind, options)
    if len(found.images) == 0:
        raise ValueError(
            f"The split {split!r} of {str(name)!r} is empty: there is nothing to load."
        )
    if channels is not None:
        found = found._replace(images=_converted(found.images, channels))
        if found.second is not None:
            found = found._replace(second=_converted(found.second, channels))
    training = split is None or str(split).startswith("train")
    settings = dict(
        batch_size=batch_size,
        shuffle=training if shuffle is None else shuffle,
        seed=seed,
        name=str(name),
    )
    if found.identity is not None:  # with what decides on the pixels that are read
        settings["identity"] = functools.partial(_identity, found.identity, channels, size)
    if found.second is not None:
        pair = {"aligned": found.aligned, "domain_names": found.domain_names}
        dataset = ImagePairs(found.images, found.second, **pair, **settings)
    else:
        dataset = ImageDataset(
            found.images, found.labels, class_names=found.class_names, **settings
        )
    if num_examples is not None:
        dataset = dataset.take(num_examples)
    if size is not None:
        dataset = dataset._at_size(size, crop=True)
    return dataset.with_options(augment=augment) if augment else dataset


def _converted(images, channels):
    """Images of an array or a storage in as many channels."""
    if images.ndim < 3:
        raise ValueError(f"channels={channels} cannot be had from images of {images.shape}.")
    if isinstance(images, Storage):
        return images if images.shape[-1] == channels else Converted(images, channels)
    return with_channels(images, channels)


def _identity(found, channels, size):
    return repr((found() if callable(found) else found, channels, size))


def _find(name, split, size, data_dir, num_examples, kind, options):
    """Look among embedded sets, then paths that exist, then TensorFlow Datasets."""
    embedded, _, variant = str(name).partition("/")
    if embedded in EMBEDDED and isinstance(name, str):
        if kind is not None:
            raise ValueError(f"kind={kind!r} is for folders; {name!r} is embedded.")
        return Found(*EMBEDDED[embedded].find(variant, split or "train", num_examples, size))
    path = pathlib.Path(name).expanduser()
    means_path = not isinstance(name, str) or name.startswith((".", "~", os.sep))
    means_path |= str(name).endswith(("/", os.sep, ".npy", ".npz", *SUFFIXES))
    if means_path or path.exists():
        return from_path(path, split, kind, options)
    if kind is not None:
        raise ValueError(f"kind={kind!r} is for folders; there is no folder {name!r}.")
    from kgen.data.tfds_images import from_tfds

    return from_tfds(name, split, data_dir, options)


def _size(image_size):
    if image_size is None:
        return None
    size = (image_size, image_size) if isinstance(image_size, numbers.Integral) else image_size
    pair = isinstance(size, tuple | list) and len(size) == 2
    if not pair or not all(isinstance(n, numbers.Integral) and n > 0 for n in size):
        raise ValueError(
            f"image_size must be a positive integer or (height, width); got {image_size!r}."
        )
    return tuple(map(int, size))
