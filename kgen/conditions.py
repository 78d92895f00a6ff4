"""Conditions: what goes with the images of a batch.

A model is made with one, `condition=`; it says what `fit` takes beside images, what a step sees of
it, what the networks are given, and what `generate` draws. Labels that come with images which a
model has no use for are passed over; a second image is refused.
"""

import numbers

import keras
import numpy as np
from keras import ops

from kgen.arguments import flag, positive
from kgen.arrays import to_numpy
from kgen.data.dataset import from_arrays
from kgen.data.pairs import ImagePairs
from kgen.data.ranges import check_images, normalize_image_shape, to_model_range, with_channel

__all__ = ["ClassLabels", "Condition", "Nothing", "Target", "Tokens"]

ONE_DOMAIN = "pass one domain: pairs.domain(0)"


class Condition:
    """What goes with the images of a batch, one thing for each image.

    A subclass says what it is (`check`, `signature`) and, where the step sees something else than
    what `fit` takes, how the one becomes the other (`prepare`).

    Attributes:
        name: what messages call it.
        missing: what stands for none in what networks are given.
    """

    name, missing = "conditions", 0

    # On the host.

    def check(self, values, what=None, check_range=True):
        """Raise a `TypeError` or `ValueError` unless these are such conditions.

        Args:
            values: of a dataset or a batch, NumPy array; None: there are none.
            what: where they come from, for messages.
            check_range: the model's, for what has the range of images.
        """
        if values is None:
            what = what or "x"
            raise ValueError(
                f"This model learns from images and {self.name}, and {what[0].lower()}{what[1:]} "
                f"has no {self.name}: pass them as y, or a dataset or batches of both."
            )

    def dataset(self, x, y, **options):
        """An `ImageDataset` of arrays, which yields images and conditions."""
        return from_arrays(x, None if y is None else as_array(y), **options)

    def of(self, dataset):
        """A dataset of `kgen.data` that yields what the model takes, its conditions checked."""
        if isinstance(dataset, ImagePairs):
            raise _pairs(repr(dataset.name), f"images and {self.name}", ONE_DOMAIN)
        self.check(dataset.labels)
        return dataset

    def of_images(self, n, values):
        """What a user says of `n` images, one for all or one for each, as a list of arrays.

        The list is what a network is given beside them; each array has `n` rows.
        """
        self._require(values)
        values, (shape, dtype) = to_numpy(values), self.signature()
        values = values[None] if values.ndim == len(shape) else values
        self.check(values)
        self._count(n, values)
        return [np.broadcast_to(values.astype(dtype), (n, *shape))]

    def draw(self, n, values=None):
        """Conditions of `n` images to generate, as `of_images`; None: what is usual here."""
        return self.of_images(n, values)

    def _require(self, values):
        if values is None:
            raise ValueError(f"{self.name} are needed: one for all images, or one for each.")

    def _count(self, n, values):
        if len(values) not in (1, n):
            raise ValueError(
                f"{self.name} must be one, or one for each image: got {len(values)} for {n} images."
            )

    # In the step.

    def batch(self, images, values):
        """A batch as the algorithm sees it: `(images, conditions)`."""
        if values is None:  # `train_on_batch` looks at nothing before
            self.check(None, "the batch")
        return images, self.prepare(values)

    def prepare(self, values):
        """Conditions of a batch as the step sees them, a tensor of the signature."""
        shape, dtype = self.signature()  # TensorFlow may know of no axes
        return ops.cast(ops.reshape(values, (-1, *shape)), dtype)

    def left_out(self, given, where):
        """What networks are given, of some images `missing`.

        Args:
            given: list of tensors, as of `batch` or `of_images`.
            where: tensor of booleans `(N,)`, or a bool.
        """

        def without(values):
            chosen = ops.reshape(where, (-1, *[1] * (len(values.shape) - 1)))
            return ops.where(chosen, ops.full_like(values, self.missing), values)

        return [without(values) for values in given]

    def signature(self):
        """Shape without batch axis, and dtype, of what the networks are given."""
        raise NotImplementedError(f"{type(self).__name__} has to define signature().")

    def signatures(self):
        """The signatures of what networks are given beside images, by what it is."""
        return {self.name: self.signature()}

    # In files.

    def get_config(self):
        """The arguments."""
        return {}

    @classmethod
    def from_config(cls, config):
        """Build from `get_config()`."""
        return cls(**config)

    def __repr__(self):
        arguments = (f"{name}={value}" for name, value in self.get_config().items())
        return f"{type(self).__name__}({', '.join(arguments)})"


@keras.saving.register_keras_serializable("kgen")
class Nothing(Condition):
    """Images alone."""

    name = "nothing"

    def check(self, values, what=None, check_range=True):
        """Raise a `TypeError` for second images; labels are passed over."""
        if values is not None and values.ndim > 2:
            instead = "leave the second ones out" if what else "leave y out"
            raise _pairs(what or f"y of shape {values.shape}", "images", instead)

    def dataset(self, x, y, **options):
        """An `ImageDataset` of the images."""
        self.check(y if hasattr(y, "ndim") else None)  # not a list
        return from_arrays(x, None, **options)

    def of(self, dataset):
        """The dataset without labels."""
        if isinstance(dataset, ImagePairs):
            raise _pairs(repr(dataset.name), "images", ONE_DOMAIN)
        self.check(dataset.labels, f"The dataset {dataset.name!r}")
        return dataset.without_labels()

    def of_images(self, n, values):
        """An empty list; what a user says is refused."""
        if values is not None:
            raise ValueError("This model is not conditional: it takes no labels here.")
        return []

    def signatures(self):
        """None."""
        return {}

    def batch(self, images, values):
        """The images."""
        return images


@keras.saving.register_keras_serializable("kgen")
class ClassLabels(Condition):
    """Classes, integers from 0 to `num_classes - 1`; networks are given int32 `(N,)`.

    Args:
        num_classes: how many there are.
        unlabeled: whether some images may have none, which -1 says.
    """

    name, missing = "labels", -1

    def __init__(self, num_classes, unlabeled=False):
        self.num_classes = positive(num_classes, "num_classes")
        self.unlabeled = flag(unlabeled, "unlabeled")

    def check(self, values, what=None, check_range=True):
        """Raise a `ValueError` unless these are labels; says the line that makes them so."""
        super().check(values, what)
        self.integers(values)

    def integers(self, labels):
        """Labels as int32, `(N,)` or a scalar; `(N, 1)`, as some datasets have them, is taken."""
        return integer_labels(labels, self.num_classes, -1 if self.unlabeled else 0)

    def of_images(self, n, values):
        """int32 `(n,)`."""
        self._require(values)
        labels = np.atleast_1d(self.integers(values))
        self._count(n, labels)
        return [np.broadcast_to(labels, n)]

    def draw(self, n, values=None):
        """As `of_images`; None: all classes in turn."""
        return self.of_images(n, np.arange(n) % self.num_classes if values is None else values)

    def signature(self):
        """A scalar."""
        return (), "int32"

    def get_config(self):
        """The arguments."""
        return {"num_classes": self.num_classes, "unlabeled": self.unlabeled}


@keras.saving.register_keras_serializable("kgen")
class Target(Condition):
    """A second image, such as the photo that belongs to a drawing.

    `fit` takes two arrays, an `ImagePairs` or batches of two; networks are given float32 images in
    [-1, 1].

    Args:
        image_shape: of the second image, as a model's.
        aligned: whether the two show the same; False also takes pairs that do not.
    """

    name = "second images"

    def __init__(self, image_shape, aligned=True):
        self.image_shape = normalize_image_shape(image_shape)
        self.aligned = flag(aligned, "aligned")

    def check(self, values, what=None, check_range=True):
        """Raise a `TypeError` or `ValueError` unless these are images of the shape, in range."""
        super().check(values, what)
        check_images(values, self.image_shape, check_range, f"{what or 'y'} (its second images)")

    def dataset(self, x, y, **options):
        """An `ImagePairs`."""
        if y is None:
            super().check(None)
        image_shape = options.pop("image_shape", None)
        x, y = to_numpy(x), to_numpy(y)
        check_range = options.get("check_range", True)
        check_images(x, image_shape, check_range, "x")
        self.check(y, check_range=check_range)
        x = x if image_shape is None else with_channel(x, image_shape)
        return ImagePairs(x, with_channel(y, self.image_shape), aligned=self.aligned, **options)

    def of(self, dataset):
        """The pairs."""
        if not isinstance(dataset, ImagePairs):
            raise TypeError(
                f"{dataset.name!r} holds single images; this model learns from pairs: pass a "
                'kgen.data.ImagePairs, or load(name, kind="pairs").'
            )
        if self.aligned and not dataset.aligned:
            raise ValueError(
                f"The images of {dataset.name!r} do not belong together, two by two, and this "
                "model learns from such pairs: each needs its own answer."
            )
        if dataset.target_shape != self.image_shape:
            raise ValueError(
                f"The second images of {dataset.name!r} have shape {dataset.target_shape}; this "
                f"model expects {self.image_shape}."
            )
        return dataset

    def of_images(self, n, values):
        """float32 in [-1, 1]."""
        self._require(values)
        values = to_numpy(values)
        check_images(values, self.image_shape, check_range=False, what=self.name)
        self._count(n, values)
        values = to_model_range(with_channel(values, self.image_shape))
        return [np.broadcast_to(values, (n, *self.image_shape))]

    def prepare(self, values):
        """float32 in [-1, 1]."""
        values = to_model_range(ops.convert_to_tensor(values))
        return ops.reshape(values, (-1, *self.image_shape))

    def signature(self):
        """An image."""
        return self.image_shape, "float32"

    def get_config(self):
        """The arguments."""
        return {"image_shape": self.image_shape, "aligned": self.aligned}


@keras.saving.register_keras_serializable("kgen")
class Tokens(Condition):
    """A text: `length` token ids, integers from 0 to `vocabulary_size - 1`; networks get int32.

    Args:
        vocabulary_size: how many tokens there are, padding included.
        length: tokens of each text.
    """

    name = "tokens"

    def __init__(self, vocabulary_size, length):
        self.vocabulary_size = positive(vocabulary_size, "vocabulary_size")
        self.length = positive(length, "length")

    def check(self, values, what=None, check_range=True):
        """Raise a `ValueError` unless these are integers `(N, length)` of the vocabulary."""
        super().check(values, what)
        values, size = np.asarray(values), self.vocabulary_size
        fits = values.dtype.kind in "iu" and values.ndim == 2 and values.shape[1] == self.length
        if not fits or (values.size and not 0 <= values.min() <= values.max() < size):
            between = f" from {values.min()} to {values.max()}" if fits else ""
            raise ValueError(
                f"tokens must be integers from 0 to {size - 1} of shape (N, {self.length}); got "
                f"{values.dtype} of shape {values.shape}{between}. Pad or cut each text to "
                f"{self.length} tokens."
            )

    def signature(self):
        """Ids in a row."""
        return (self.length,), "int32"

    def get_config(self):
        """The arguments."""
        return {"vocabulary_size": self.vocabulary_size, "length": self.length}


def get(condition):
    """A condition, or what None stands for.

    Raises:
        TypeError: for anything else.
    """
    if condition is None:
        return Nothing()
    if not isinstance(condition, Condition):
        raise TypeError(
            "condition must be one of kgen.conditions, such as kgen.conditions.ClassLabels(10), or "
            f"None; got {condition!r}."
        )
    return condition


def as_array(values):
    """Values as a NumPy array; rows of several lengths as one of objects, to be refused."""
    try:
        return to_numpy(values)
    except ValueError:
        return np.array([*values, None], object)[:-1]


def _pairs(what, learns_from, instead):
    return TypeError(
        f"{what} holds second images, of pairs; this model learns from {learns_from}. To learn "
        f"from the first ones alone, {instead}."
    )


def integer_labels(labels, classes, least=0):
    """Labels as int32, `(N,)` or a scalar; `(N, 1)`, as some datasets have them, is taken.

    Raises:
        ValueError: unless they are integers from `least` below `classes`.
    """
    labels = as_array(labels)
    labels = labels[:, 0] if labels.shape[1:] == (1,) else labels
    inside = labels.dtype.kind in "iu" and labels.ndim <= 1
    if not inside or (labels.size and not least <= labels.min() <= labels.max() < classes):
        raise ValueError(
            f"labels must be integers from {least} to {classes - 1}, one or (N,); got "
            f"{labels.dtype} of shape {labels.shape}"
            + (f" from {labels.min()} to {labels.max()}." if inside and labels.size else ".")
            + _mended(labels, classes, least)
        )
    return labels.astype("int32")


def _mended(labels, classes, least):
    """The line that makes these labels integers from `least` on, where there is one."""
    kind, line = labels.dtype.kind, None
    if labels.ndim == 1 and (kind in "US" or any(isinstance(v, str | bytes) for v in labels)):
        line = "numpy.unique(labels, return_inverse=True)[1]  # in the order of the alphabet"
    elif labels.ndim == 2 and kind in "biuf" and labels.size:
        if labels.min() >= 0 and np.allclose(labels.sum(axis=1), 1, atol=1e-3):
            line = "labels.argmax(axis=1)  # of one-hot vectors"
    elif labels.ndim == 1 and kind in "bfO" and labels.size:
        if all(isinstance(v, numbers.Real) and v % 1 == 0 for v in labels.tolist()):
            line = 'labels.astype("int32")'
    elif kind in "iu" and labels.size and labels.max() == classes and not (labels == 0).any():
        if labels.min() > 0:
            line = "labels - 1  # they count from 1"
        elif labels.min() >= least:
            line = f"numpy.where(labels > 0, labels - 1, {least})  # they count from 1"
    return "" if line is None else f" This makes them so:\n    labels = {line}"
