"""`ImageDataset`: images in batches, in an order that is a pure function of seed and epoch."""

import copy
import hashlib
import math

import keras
import numpy as np
from PIL import Image

from kgen.arguments import positive
from kgen.data.ranges import check_images, to_model_range, to_uint8, with_channel


class ImageDataset(keras.utils.PyDataset):
    """Images, and labels where there are some, in batches for any Keras model.

    The order of an epoch depends on `seed` and the epoch's number alone, so a run that was cut off
    finds its place again with `set_position(epoch, batch)`.

    Args:
        images: array `(N, H, W, C)` or `(N, H, W)`, uint8 in [0, 255] (kept as it is) or floats in
            [-1, 1]; or points `(N, D)`, floats of any range.
        labels: None, or an array whose first axis is N.
        batch_size: examples in a batch.
        shuffle: whether each epoch has its own random order.
        seed: of the order.
        drop_last: whether an incomplete last batch is left out.
        class_names: names of the classes 0, 1, ...
        name: what figures and messages call this data.
        check_range: False takes floats that do not look like [-1, 1].

    Raises:
        TypeError, ValueError: if the images are not as above (the message says what to do), if
            there are none, or if labels do not match.

    Example:

    ```python
    data = kgen.data.ImageDataset(images, labels, batch_size=64)
    model.fit(data, epochs=3)
    ```
    """

    def __init__(
        self,
        images,
        labels=None,
        *,
        batch_size=128,
        shuffle=True,
        seed=0,
        drop_last=False,
        class_names=None,
        name="arrays",
        check_range=True,
        **kwargs,
    ):
        super().__init__(**kwargs)
        images = np.asarray(images)
        if images.ndim == 3:
            images = images[..., None]
        check_images(images, check_range=check_range)
        if labels is not None:
            labels = np.asarray(labels)
            if labels.shape[:1] != images.shape[:1]:
                raise ValueError(
                    f"Every image needs one label: got {len(images)} images and labels of shape "
                    f"{labels.shape}."
                )
        self._images, self._labels = images, labels
        self.shuffle, self.seed, self.drop_last = bool(shuffle), int(seed), bool(drop_last)
        self.batch_size = positive(batch_size, "batch_size")
        self.class_names = None if class_names is None else list(class_names)
        self.name, self.check_range = name, check_range
        self._fingerprint = None
        self._order = (None, None)
        self._last_served = False
        self.steps_per_epoch = None
        self.set_position(0)

    @property
    def image_shape(self):
        """Shape of one image, `(H, W, C)`, or of one point, `(D,)`."""
        return tuple(self._images.shape[1:])

    @property
    def num_examples(self):
        """Number of images."""
        return len(self._images)

    @property
    def num_classes(self):
        """Number of classes, or None without integer labels."""
        if self.class_names is not None:
            return len(self.class_names)
        if self._labels is None or self._labels.ndim != 1 or self._labels.dtype.kind not in "iu":
            return None
        return int(self._labels.max()) + 1

    @property
    def labels(self):
        """All labels in stored order, or None."""
        return self._labels

    @property
    def batches_per_epoch(self):
        """Batches of a whole epoch, wherever the position is."""
        return self.steps_per_epoch or self._batches_per_pass

    @property
    def _batches_per_pass(self):
        divide = math.floor if self.drop_last else math.ceil
        return divide(self.num_examples / self.batch_size)

    @property
    def fingerprint(self):
        """Hexadecimal digest of content, labels and order: equal only for equal training data."""
        if self._fingerprint is None:
            digest = hashlib.blake2b(digest_size=16)
            for array in (self._images, self._labels):
                if array is not None:
                    digest.update(f"{array.dtype}{array.shape}".encode())
                    digest.update(_bytes(_sample(array)))
            digest.update(f"{self.shuffle}{self.seed}".encode())
            self._fingerprint = digest.hexdigest()
        return self._fingerprint

    def images(self, n=None):
        """The first `n` images (all by default) in stored order, float32 in [-1, 1]."""
        return to_model_range(self.fetch(np.arange(self._at_most(n))))

    def take(self, n):
        """The same dataset with its first `n` examples only."""
        n = self._at_most(positive(n, "n"))
        labels = None if self._labels is None else self._labels[:n]
        return self._with_arrays(self._images[:n], labels)

    def without_labels(self):
        """The same images in the same order, without labels."""
        return self if self._labels is None else self._with_arrays(self._images, None)

    def at_resolution(self, size):
        """The same dataset resized to `size` (an integer for squares, or `(height, width)`).

        Bicubic and antialiased, on the host, so every backend trains on the same pixels; a square
        target of images that are no squares distorts them.
        """
        size = (size, size) if isinstance(size, int) else tuple(size)
        if len(self.image_shape) != 3:
            raise ValueError(f"Points of shape {self.image_shape} have no resolution to change.")
        if size == self.image_shape[:2]:
            return self
        return self._with_arrays(resize(to_uint8(self._images), size), self._labels)

    def with_options(self, **options):
        """A view of the same images with another batch_size, shuffle, seed or drop_last.

        With `steps_per_epoch`, an epoch is that many batches, and the next one continues the pass
        over the images where it stopped.
        """
        allowed = {"batch_size", "shuffle", "seed", "drop_last", "steps_per_epoch"}
        if unknown := sorted(set(options) - allowed):
            raise TypeError(f"Unknown options {unknown}; those of a view are {sorted(allowed)}.")
        view = copy.copy(self)
        for key, value in options.items():
            setattr(view, key, positive(value, key) if key == "batch_size" else value)
        view._order, view._fingerprint = (None, None), None
        view.set_position(0)
        return view

    def set_position(self, epoch, batch=0):
        """Continue at this batch of this epoch; the order depends on nothing else."""
        if not 0 <= batch <= self.batches_per_epoch or epoch < 0:
            raise ValueError(
                f"There is no batch {batch} in epoch {epoch}: an epoch has "
                f"{self.batches_per_epoch} batches."
            )
        self._epoch, self._first_batch = int(epoch), int(batch)

    def order(self, epoch):
        """Indices of the examples in the order in which pass `epoch` over the data visits them."""
        known, order = self._order
        if known != epoch:
            if self.shuffle:
                order = np.random.default_rng([self.seed, epoch]).permutation(self.num_examples)
            else:
                order = np.arange(self.num_examples)
            self._order = (epoch, order)
        return order

    def fetch(self, indices):
        """Images at these indices, as stored."""
        return self._images[indices]

    def __len__(self):
        return self.batches_per_epoch - self._first_batch

    def __getitem__(self, index):
        if not 0 <= index < len(self):
            raise IndexError(f"Batch {index} of {len(self)}.")
        batch = self._epoch * self.batches_per_epoch + self._first_batch + index
        epoch, batch = divmod(batch, self._batches_per_pass)
        start = batch * self.batch_size
        chosen = self.order(epoch)[start : start + self.batch_size]
        self._last_served = index == len(self) - 1
        if self._labels is None:
            return (self.fetch(chosen),)
        return self.fetch(chosen), self._labels[chosen]

    def on_epoch_end(self):
        """Move on to the next epoch, if this one was read to its end (Keras calls this)."""
        if self._last_served:
            self._last_served = False
            self.set_position(self._epoch + 1)

    def __repr__(self):
        classes = f", {self.num_classes} classes" if self.num_classes else ""
        return f"<{self.name}: {self.num_examples} x {self.image_shape}{classes}>"

    def _with_arrays(self, images, labels):
        other = copy.copy(self)
        other._images, other._labels = images, labels
        other._order, other._fingerprint = (None, None), None
        other.set_position(0)
        return other

    def _at_most(self, n):
        return self.num_examples if n is None else min(n, self.num_examples)


def resize(images, size):
    """Resize uint8 images `(N, H, W, C)` to `size = (height, width)`, bicubic, antialiased."""
    height, width = size
    resized = np.empty((len(images), height, width, images.shape[-1]), "uint8")
    for image, target in zip(images, resized, strict=True):
        for channel in range(images.shape[-1]):
            plane = Image.fromarray(np.ascontiguousarray(image[..., channel]))
            target[..., channel] = plane.resize((width, height), Image.Resampling.BICUBIC)
    return resized


def from_arrays(x, y=None, *, image_shape=None, check_range=True, **options):
    """An `ImageDataset` of arrays that a user handed to `fit`, checked against a model's shape."""
    x = np.asarray(x)
    check_images(x, image_shape, check_range=check_range, what="x")
    if image_shape is not None:
        x = with_channel(x, image_shape)
    return ImageDataset(x, y, check_range=check_range, **options)


def _bytes(array):
    if array.dtype == object:
        return repr(array.tolist()).encode()
    return memoryview(np.ascontiguousarray(array).view(np.uint8)).cast("B")


def _sample(array, limit=2**28):
    """All of an array up to 256 MiB, evenly spaced examples of a larger one."""
    return array[:: max(1, -(-array.nbytes // limit))]
