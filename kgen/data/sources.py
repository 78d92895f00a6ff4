"""`load`: images by name."""

import contextlib
import difflib
import os
import re
import shutil

import numpy as np

from kgen.data import faces, toy2d
from kgen.data.dataset import ImageDataset, resize
from kgen.data.ranges import to_uint8


def load(
    name,
    split="train",
    image_size=None,
    seed=0,
    batch_size=128,
    shuffle=None,
    data_dir=None,
    num_examples=None,
):
    """Load images by name.

    Args:
        name: `"digits"` (embedded: scikit-learn's 1,797 real handwritten digits, 8x8); `"toy2d"`
            with a shape (points: `"toy2d/ring"`, `"toy2d/grid"`, `"toy2d/moons"`,
            `"toy2d/swiss_roll"`); `"faces"` (portraits drawn at the size asked for, 64 pixels by
            default; `"faces/glasses"` and the like have that factor of `kgen.data.faces.FACTORS` as
            label); or any image set of TensorFlow Datasets, such as `"mnist"`, `"fashion_mnist"`,
            `"cifar10"` or `"cycle_gan/horse2zebra"`.
        split: `"train"`, `"test"` or `"all"` for embedded sets; any split of TensorFlow Datasets,
            slices such as `"train[:1000]"` included.
        image_size: None for the images' own size, an integer for squares, or `(height, width)`.
            Images of several sizes need it: the largest centred crop of that aspect is resized.
        seed: of the order.
        batch_size: images in a batch.
        shuffle: whether each epoch has its own order; by default, for training splits.
        data_dir: the store of TensorFlow Datasets; by default its own.
        num_examples: how many examples, the first ones; of sets that are drawn (`toy2d`, `faces`)
            any number, 10,000 by default.

    Returns:
        An `ImageDataset` with labels where there are some.

    Raises:
        ValueError: for an unknown name or split, or one without images.
        ConnectionError: if the set is not in the store and cannot be fetched.
    """
    size = _size(image_size)
    embedded, _, variant = name.partition("/")
    if embedded in EMBEDDED:
        images, labels, class_names = EMBEDDED[embedded](variant, split, num_examples, size)
    else:
        images, labels, class_names = _from_tfds(name, split, size, data_dir)
    if len(images) == 0:
        raise ValueError(f"The split {split!r} of {name!r} is empty: there is nothing to load.")
    dataset = ImageDataset(
        images,
        labels,
        batch_size=batch_size,
        shuffle=str(split).startswith("train") if shuffle is None else shuffle,
        seed=seed,
        class_names=class_names,
        name=name,
    )
    if num_examples is not None:
        dataset = dataset.take(num_examples)
    return dataset if size is None else dataset.at_resolution(size)


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
    rank = np.zeros(len(labels), int)  # of an image within its class
    for label in range(10):
        rank[labels == label] = np.arange((labels == label).sum())
    test = rank % 5 == 4
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
    if variant and variant not in faces.FACTORS:
        raise ValueError(f"Unknown factor {variant!r} of faces; known are {list(faces.FACTORS)}.")
    height, width = size or (64, 64)
    if height != width:
        raise ValueError(f"Faces are squares: image_size must be one number; got {size}.")
    n = DRAWN if num_examples is None else num_examples
    factors = faces.sample_factors(n, seed=STREAMS[split])
    names = faces.FACTORS[variant] if variant else (None,)
    named = isinstance(names[0], str)
    return faces.draw(factors, height), factors.get(variant), list(names) if named else None


def _check_split(name, split, known):
    if split not in known:
        raise ValueError(f"{name} has the splits {list(known)}; got {split!r}.")


EMBEDDED = {"digits": _digits, "toy2d": _toy2d, "faces": _faces}


def _from_tfds(name, split, size, data_dir):
    import tensorflow_datasets as tfds

    builder = _builder(tfds, name, data_dir)
    features = builder.info.features
    image_key = _only(features, tfds.features.Image, "image")
    if image_key is None:
        raise ValueError(f"{name!r} has no images; its features are {sorted(features)}.")
    label_key = _only(features, tfds.features.ClassLabel, "label")
    _prepare(tfds, builder, name)
    splits = set(builder.info.splits)
    if (
        splits
        and isinstance(split, str)
        and not set(re.findall(r"[a-z]\w*", split)) <= {*splits, "all"}
    ):
        raise ValueError(f"{name!r} has the splits {sorted(splits)}; got {split!r}.")
    images, labels = [], []
    try:
        examples = builder.as_dataset(split=split, shuffle_files=False)
    except ValueError as error:  # "corresponds to no data"
        raise ValueError(f"The split {split!r} of {name!r} is empty: {error}") from error
    for example in tfds.as_numpy(examples):
        image = example[image_key]
        if size is not None and image.shape[:2] != size:
            image = _crop_and_resize(image, size)
        if images and image.shape != images[0].shape:
            raise ValueError(
                f"{name!r} has images of several sizes, such as {images[0].shape} and "
                f"{image.shape}: pass image_size=, which crops and resizes them."
            )
        images.append(image)
        if label_key is not None:
            labels.append(example[label_key])
    images = np.stack(images) if images else np.zeros((0, 1, 1, 1), "uint8")
    names = features[label_key].names if label_key is not None else None
    return images, np.array(labels, "int64") if label_key is not None else None, names


def _builder(tfds, name, data_dir):
    try:
        return tfds.builder(name, data_dir=data_dir)
    except (tfds.core.DatasetNotFoundError, ValueError, AttributeError) as error:
        known = [*EMBEDDED, *tfds.list_builders()]
        close = difflib.get_close_matches(name.split("/")[0], known)
        raise ValueError(
            f"There is no dataset {name!r}. Embedded: {sorted(EMBEDDED)}; otherwise any image set "
            "of TensorFlow Datasets"
            + (f", perhaps {' or '.join(map(repr, close))}" if close else "")
            + f". (TensorFlow Datasets says: {str(error).splitlines()[0]})"
        ) from error


def _only(features, kind, preferred):
    found = [key for key, feature in features.items() if isinstance(feature, kind)]
    return preferred if preferred in found else next(iter(found), None)


def _prepare(tfds, builder, name):
    """Make sure that the set is in the store: fetch it, or say what can be done."""
    if builder.info.splits and os.path.isdir(builder.data_dir):
        return
    try:
        with _few_retries():
            builder.download_and_prepare()
    except Exception as error:  # TensorFlow Datasets raises whatever its downloaders raise
        with contextlib.suppress(OSError):  # nothing half-made stays
            shutil.rmtree(f"{builder.data_dir}.incomplete", ignore_errors=True)
        raise ConnectionError(
            f"The dataset {name!r} is not in the store {builder.data_dir} and fetching it failed: "
            f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}\n"
            "Three ways on: run again with a connection; copy the prepared set from another "
            "machine into the store (data_dir=); or use an embedded set, such as "
            f"{sorted(EMBEDDED)}."
        ) from error


@contextlib.contextmanager
def _few_retries():
    """Without a connection, TensorFlow Datasets would retry for minutes before it says so."""
    from tensorflow_datasets.core.download import downloader

    before = downloader.MAX_RETRIES
    downloader.MAX_RETRIES = 4
    try:
        yield
    finally:
        downloader.MAX_RETRIES = before


def _crop_and_resize(image, size):
    height, width = size
    scale = min(image.shape[0] / height, image.shape[1] / width)
    crop = round(height * scale), round(width * scale)
    top, left = (image.shape[0] - crop[0]) // 2, (image.shape[1] - crop[1]) // 2
    image = image[top : top + crop[0], left : left + crop[1]]
    return resize(to_uint8(image)[None], size)[0]
