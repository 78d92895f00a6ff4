"""`load`: images by name."""

import numbers
import os
import pathlib

import numpy as np

from kgen.arguments import positive
from kgen.data import faces, toy2d
from kgen.data.dataset import ImageDataset
from kgen.data.folders import Found, Options, fifths, from_path
from kgen.data.pairs import ImagePairs
from kgen.data.pixels import with_channels


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
        skip_broken: leave out images of a folder that cannot be decoded, instead of refusing.

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
    if channels is not None and isinstance(found.images, np.ndarray) and found.images.ndim > 2:
        found = found._replace(images=with_channels(found.images, channels))
    elif channels is not None and found.images.shape[-1] != channels:
        raise ValueError(f"channels={channels} cannot be had from images of {found.images.shape}.")
    training = split is None or str(split).startswith("train")
    settings = dict(
        batch_size=batch_size,
        shuffle=training if shuffle is None else shuffle,
        seed=seed,
        name=str(name),
    )
    if found.identity is not None:  # with what decides on the pixels that are read
        settings["identity"] = repr((found.identity, channels, size))
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
        dataset = dataset.at_resolution(size)
    return dataset.with_options(augment=augment) if augment else dataset


def _find(name, split, size, data_dir, num_examples, kind, options):
    """Look among embedded sets, then paths that exist, then TensorFlow Datasets."""
    embedded, _, variant = str(name).partition("/")
    if embedded in EMBEDDED and isinstance(name, str):
        if kind is not None:
            raise ValueError(f"kind={kind!r} is for folders; {name!r} is embedded.")
        return Found(*EMBEDDED[embedded](variant, split or "train", num_examples, size))
    path = pathlib.Path(name).expanduser()
    means_path = not isinstance(name, str) or name.startswith((".", "~", os.sep))
    if means_path or path.exists() or path.suffix in (".npy", ".npz"):
        return from_path(path, split, kind, options)
    if kind is not None:
        raise ValueError(f"kind={kind!r} is for folders; there is no folder {name!r}.")
    from kgen.data.tfds_images import from_tfds

    return from_tfds(name, split, data_dir, options)


def _size(image_size):
    if image_size is None:
        return None
    size = (image_size, image_size) if isinstance(image_size, int) else image_size
    pair = isinstance(size, tuple | list) and len(size) == 2
    if not pair or not all(isinstance(n, int) and n > 0 for n in size):
        raise ValueError(
            f"image_size must be a positive integer or (height, width); got {image_size!r}."
        )
    return tuple(size)


def _digits(variant, split, num_examples, size):
    """The digits of scikit-learn: a fifth of each class, evenly spaced, is the test set."""
    from sklearn.datasets import load_digits

    if variant:
        raise ValueError(f"digits has no variants; got 'digits/{variant}'.")
    raw = load_digits()
    images = np.round(raw.images * (255 / 16)).astype("uint8")
    labels = raw.target.astype("int64")
    test = fifths(labels, len(labels))
    chosen = {"train": ~test, "test": test, "all": np.ones(len(labels), bool)}
    _check_split("digits", split, chosen)
    return images[chosen[split]], labels[chosen[split]], [str(n) for n in range(10)]


DRAWN, STREAMS = 10_000, {"train": 0, "test": 1}  # examples by default; seeds of the splits


def _toy2d(variant, split, num_examples, size):
    _check_split("toy2d", split, STREAMS)
    n = DRAWN if num_examples is None else num_examples
    return *toy2d.draw(variant or "ring", n, seed=STREAMS[split]), None


def _faces(variant, split, num_examples, size):
    _check_split("faces", split, STREAMS)
    renderings = tuple(variant.split("2")) if "2" in variant else None
    if renderings and not (len(renderings) == 2 and set(renderings) <= set(faces.RENDERINGS)):
        raise ValueError(
            f"A pair of renderings is two of {faces.RENDERINGS}, such as 'faces/edges2photo'; got "
            f"'faces/{variant}'."
        )
    if variant and not renderings and variant not in faces.FACTORS:
        raise ValueError(f"Unknown factor {variant!r} of faces; known are {list(faces.FACTORS)}.")
    height, width = size or (64, 64)
    if height != width:
        raise ValueError(f"Faces are squares: image_size must be one number; got {size}.")
    n = DRAWN if num_examples is None else num_examples
    factors = faces.sample_factors(n, seed=STREAMS[split])
    if renderings:
        a, b = (faces.draw(factors, height, rendering) for rendering in renderings)
        return a, None, None, b, True, renderings
    names = faces.FACTORS[variant] if variant else (None,)
    named = isinstance(names[0], str)
    return faces.draw(factors, height), factors.get(variant), list(names) if named else None


def _check_split(name, split, known):
    if split not in known:
        raise ValueError(f"{name} has the splits {list(known)}; got {split!r}.")


EMBEDDED = {"digits": _digits, "toy2d": _toy2d, "faces": _faces}
