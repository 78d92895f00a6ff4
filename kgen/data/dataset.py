"""`ImageDataset`: images in batches, in an order that is a pure function of seed and epoch."""

import copy
import math
import os

import keras
import numpy as np

from kgen.arguments import positive, whole
from kgen.data.augmentation import augment, chances, check_augmentation
from kgen.data.pixels import (
    WHITE,
    height_and_width,
    resize,
    with_channel_axis,
    with_channels,
)
from kgen.data.ranges import (
    check_images,
    normalize_image_shape,
    to_model_range,
    to_uint8,
)
from kgen.data.read_ahead import ReadAhead
from kgen.data.storage import ConvertedImages, Storage, digest_of
from kgen.files import digest
from kgen.progress import WORKERS

AHEAD_BYTES = 2**28  # of batches that are read before they are asked for, at most


class ImageDataset(keras.utils.PyDataset):
    """Images, and labels where there are some, in batches for any Keras model.

    The order of an epoch depends on `seed` and the epoch's number alone, so a run that was cut off
    finds its place again with `set_position(epoch, batch)`.

    Args:
        images: array `(N, H, W, C)` or `(N, H, W)`, uint8 in [0, 255] (kept as it is) or floats in
            [-1, 1]; or points `(N, D)`, floats of any range; or a `Storage` of images, which are
            read on other threads ahead of the step that needs them.
        labels: None, or an array whose first axis is N.
        batch_size: examples in a batch.
        shuffle: whether each epoch has its own random order.
        seed: of the order.
        drop_last: whether an incomplete last batch is left out.
        class_names: names of the classes 0, 1, ...
        name: what figures and messages call this data.
        check_range: False takes floats that do not look like [-1, 1].
        image_shape: what one image is, `(H, W, C)`; needed only where it looks channels first.
        augment: None, or a dictionary of what is drawn anew for each image in each epoch, from
            seed and epoch alone: `"flip"` (True: half of them mirrored, left to right), `"crop"`
            (the smallest share of the sides that stays; resized to the same size) and `"shift"`
            (pixels at most, the border repeats). `evaluate` and `images` do without.
        origin: None, or the `Storage` that images in memory were read from. Its identity stands for
            them in `fingerprint`, which then does not depend on how much memory there was.
        what: the name of the images in messages.

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
        image_shape=None,
        augment=None,
        origin=None,
        what="images",
        **kwargs,
    ):
        super().__init__(**kwargs)
        images = checked(images, check_range, image_shape, what)
        if labels is not None:
            labels = labels if isinstance(labels, Storage) else np.asarray(labels)
            if labels.shape[:1] != images.shape[:1]:
                raise ValueError(
                    f"Every image needs one label: got {len(images)} images and labels of shape "
                    f"{labels.shape}."
                )
        self._images, self._labels = images, labels
        self.shuffle, self.drop_last = bool(shuffle), bool(drop_last)
        self.seed = whole(seed, "seed")
        self.batch_size = positive(batch_size, "batch_size")
        self.class_names = None if class_names is None else list(class_names)
        self.name, self.check_range = name, check_range
        self.augment = check_augmentation(augment, self.image_shape)
        self._origin = origin
        self._forget()
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
        """Hexadecimal digest of content, labels and order: equal only for equal training data.

        Arrays, in memory and in `.npy` files, are digested pixel by pixel, image files and LMDBs as
        they are encoded; wherever they lie and whatever they are called, so a copy is the same. Of
        more than 2 GiB on disk, every n-th image is digested, so that 2 GiB are read, and the names
        within the folder, sizes and times of all files: then a copy is the same if it keeps the
        times, as `cp -p` does. Read when asked for, which with many files takes seconds.

        Raises:
            OSError: if files are gone since.
        """
        if self._fingerprint is None:
            known = [repr(self._settings)]
            for array, origin in self._contents:
                if array is not None:
                    content = array if origin is None else origin
                    known += [f"{array.dtype}{array.shape}", _identity(content, self.name)]
            self._fingerprint = digest("\n".join(known).encode())
        return self._fingerprint

    @property
    def _contents(self):
        """Images and labels, each with the storage they come from, or None."""
        return (self._images, self._origin), (self._labels, None)

    def images(self, n=None):
        """The first `n` images (all by default) in stored order, float32 in [-1, 1]."""
        return to_model_range(self.fetch(np.arange(self._at_most(n))))

    def take(self, n):
        """The same dataset with its first `n` examples only."""
        n = positive(n, "n")
        labels = None if self._labels is None else first(self._labels, n)
        return self._with(lambda images: first(images, n), labels)

    def at(self, indices):
        """The same dataset with these examples only, in this order.

        Raises:
            ValueError: if there are none, or one is not there.
        """
        indices = np.asarray(indices)
        if indices.dtype.kind not in "iu" or indices.ndim != 1 or not len(indices):
            raise ValueError(f"indices must be whole numbers (N,), N of 1 or more; got {indices}.")
        if indices.min() < 0 or indices.max() >= self.num_examples:
            raise ValueError(
                f"indices must be from 0 to {self.num_examples - 1}; got {indices.min()} to "
                f"{indices.max()}."
            )
        labels = None if self._labels is None else chosen(self._labels, indices)
        return self._with(lambda images: chosen(images, indices), labels)

    def class_index(self, name):
        """The class of this name or, if none has it, of this number.

        Raises:
            ValueError: if the images have no classes, or there is none; the message lists them.
        """
        if self.num_classes is None:
            raise ValueError(f"{self.name} has no classes.")
        names = [str(each) for each in self.class_names or range(self.num_classes)]
        if str(name) in names:
            return names.index(str(name))
        if str(name).isdecimal() and int(name) < len(names):
            return int(name)
        raise ValueError(f"{self.name} has no class {str(name)!r}; it has {names}.")

    def of_each_class(self, k=1, seed=None):
        """The same dataset with `k` examples of each class, class by class.

        Args:
            k: how many.
            seed: of which they are; None: the first.

        Raises:
            ValueError: if the images have no classes, or one has fewer than `k`.
        """
        k = positive(k, "k")
        if self.num_classes is None:
            raise ValueError(f"{self.name} has no classes.")
        labels = np.asarray(self._labels[:] if isinstance(self._labels, Storage) else self._labels)
        found = {c: np.flatnonzero(labels == c) for c in np.unique(labels)}
        if seed is not None:
            random = np.random.default_rng(seed)
            found = {c: random.permutation(at) for c, at in found.items()}
        found = {c: at[:k] for c, at in found.items()}
        if few := {int(c): len(at) for c, at in found.items() if len(at) < k}:
            raise ValueError(f"{self.name} has fewer than {k} of these classes: {few}.")
        return self.at(np.concatenate([*found.values()]))

    def without_labels(self):
        """The same images in the same order, without labels."""
        return self if self._labels is None else self._with(lambda images: images, None)

    def at_resolution(self, size, crop=False):
        """The same dataset resized to `size` (an integer for squares, or `(height, width)`).

        Bicubic and antialiased, on the host, so every backend trains on the same pixels. With
        `crop`, the largest centred crop of that aspect; otherwise another aspect distorts them.

        Raises:
            ValueError: for a size that is neither, and for points.
        """
        size = height_and_width(size, "size")
        return self._with(lambda images: resized(images, size, crop), self._labels)

    def in_channels(self, channels, background=WHITE):
        """The same dataset in 1, 3 or 4 channels; what is transparent on a background (red, ...).

        Raises:
            ValueError: where that is not possible.
        """
        return self._with(lambda images: converted(images, channels, background), self._labels)

    def with_options(self, **options):
        """A view of the same images with another batch_size, shuffle, seed, drop_last or augment.

        With `steps_per_epoch`, an epoch is that many batches, and the next one continues the pass
        over the images where it stopped.
        """
        checks = {
            "batch_size": lambda value: positive(value, "batch_size"),
            "shuffle": bool,
            "seed": lambda value: whole(value, "seed"),
            "drop_last": bool,
            "augment": lambda value: check_augmentation(value, self.image_shape),
            "steps_per_epoch": lambda value: (
                None if value is None else positive(value, "steps_per_epoch")
            ),
        }
        if unknown := sorted(set(options) - set(checks)):
            raise TypeError(f"Unknown options {unknown}; those of a view are {sorted(checks)}.")
        view = copy.copy(self)
        for key, value in options.items():
            setattr(view, key, checks[key](value))
        view._forget()
        view.set_position(0)
        return view

    def set_position(self, epoch, batch=0):
        """Continue at this batch of this epoch; the order depends on nothing else."""
        if not 0 <= batch <= self.batches_per_epoch or epoch < 0:
            raise ValueError(
                f"There is no batch {batch} in epoch {epoch}: an epoch has "
                f"{self.batches_per_epoch} batches."
            )
        if self.steps_per_epoch and not self._batches_per_pass:
            raise ValueError(
                f"batch_size={self.batch_size} is more than the {self.num_examples} images of "
                f"{self.name!r}, and drop_last leaves incomplete batches out: there is no batch."
            )
        self._epoch, self._first_batch, self._served = int(epoch), int(batch), set()

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

    def chances(self, epoch):
        """What augmentation draws for each example in pass `epoch` over the data."""
        known, drawn = self._chances
        if known != epoch:
            drawn = chances(self.seed, epoch, self.num_examples)
            self._chances = (epoch, drawn)
        return drawn

    def fetch(self, indices):
        """Images at these indices, as stored."""
        return self._images[indices]

    def batch(self, epoch, batch):
        """Batch number `batch` of pass `epoch` over the data: `(images,)` or `(images, labels)`."""
        start = batch * self.batch_size
        chosen = self.order(epoch)[start : start + self.batch_size]
        images = self._augmented(self.fetch(chosen), epoch, chosen)
        return (images,) if self._labels is None else (images, self._labels[chosen])

    def not_finite(self, number):
        """Indices of the examples with NaN or infinite values in a batch of training.

        Args:
            number: of the batch, counted from the first epoch on.
        """
        epoch, batch = divmod(number, self._batches_per_pass)
        with np.errstate(over="ignore"):  # which float64 may do
            images = to_model_range(self.batch(epoch, batch)[0])
        finite = np.isfinite(images).reshape(len(images), -1).all(1)
        start = batch * self.batch_size
        return self.order(epoch)[start : start + self.batch_size][~finite].tolist()

    def __len__(self):
        return self.batches_per_epoch - self._first_batch

    def __getitem__(self, index):
        if not 0 <= index < len(self):
            raise IndexError(f"Batch {index} of {len(self)}.")
        batch = self._epoch * self.batches_per_epoch + self._first_batch + index
        self._served.add(index)  # in any order: Keras may shuffle them
        try:
            return self._made_or_ahead(batch, end=batch + len(self) - index)
        except Exception as error:
            self.failure = error  # TensorFlow turns it into text on its way
            raise

    def _made_or_ahead(self, batch, end):
        stored = any(isinstance(content, Storage) for content, _ in self._contents)
        if not (stored or self.augment):
            return self._numbered(batch)
        if self._ahead is None or self._ahead.process != os.getpid():
            size = self._images.nbytes // self.num_examples * self.batch_size
            depth = min(2 * WORKERS, 1 + AHEAD_BYTES // max(size, 1))
            self._ahead = ReadAhead(self._numbered, depth)
        return self._ahead.get(batch, end)

    def on_epoch_end(self):
        """Move on to the next epoch, if this one was read to its end (Keras calls this)."""
        if len(self._served) == len(self):
            self.set_position(self._epoch + 1)

    def __getstate__(self):
        return {**self.__dict__, "_ahead": None, "failure": None}

    def __repr__(self):
        classes = f", {self.num_classes} classes" if self.num_classes else ""
        return f"<{self.name}: {self.num_examples} x {self.image_shape}{classes}>"

    @property
    def _settings(self):
        """What decides, beside the images, on what an epoch consists of."""
        drawn = self.shuffle or self.augment
        return self.shuffle, self.seed if drawn else None, self.augment

    def _numbered(self, batch):
        """The batch of this number, counted from the first epoch on."""
        return self.batch(*divmod(batch, self._batches_per_pass))

    def _augmented(self, images, epoch, chosen):
        if not self.augment:
            return images
        return augment(images, self.chances(epoch)[chosen], **self.augment)

    def _with(self, change, labels):
        """The same dataset with changed images, and these labels."""
        other = copy.copy(self)
        other._images, other._labels = change(self._images), labels
        other._origin = None if self._origin is None else change(self._origin)
        other._forget()
        other.set_position(0)
        return other

    def _forget(self):
        """Forget what depends on images and options."""
        self._order = self._chances = (None, None)
        self._fingerprint = self._ahead = self.failure = None

    def _at_most(self, n):
        return self.num_examples if n is None else min(n, self.num_examples)


def checked(images, check_range=True, image_shape=None, what="images"):
    """Images as `ImageDataset` keeps them: an array with channels, or a `Storage`.

    Raises:
        TypeError, ValueError: if they are not what `ImageDataset` takes.
    """
    if image_shape is not None:
        image_shape = normalize_image_shape(image_shape)
    if isinstance(images, Storage):
        floats = images.dtype != np.uint8  # of these, some are looked at
        some = images[:: max(1, len(images) // 1000)] if floats else images[:1]
        check_images(some, image_shape, check_range, what)
        return images
    images = np.asarray(images)
    check_images(images, image_shape, check_range, what)
    return with_channel_axis(images)


def first(images, n):
    """The first `n` of an array or a `Storage`; all where there are fewer."""
    if n >= len(images):
        return images
    return images.at(np.arange(n)) if isinstance(images, Storage) else images[:n]


def chosen(images, indices):
    """Those of an array or a `Storage`, in this order."""
    return images.at(indices) if isinstance(images, Storage) else images[indices]


def resized(images, size, crop=False):
    """Images of an array or a `Storage` at another size, uint8."""
    if images.ndim != 4:
        raise ValueError(
            f"Points of shape {images.shape[1:]} are no images: they have no resolution to change, "
            "so leave the size out, or choose images."
        )
    if images.shape[1:3] == size:
        return images
    if isinstance(images, Storage):
        return images.resized(size, crop)
    return resize(to_uint8(images), size, crop)


def converted(images, channels, background):
    """Images of an array or a `Storage` in as many channels."""
    if images.ndim != 4:
        raise ValueError(f"channels={channels} cannot be had from images of {images.shape}.")
    if images.shape[-1] == channels:
        return images
    if isinstance(images, Storage):
        return ConvertedImages(images, channels, background)
    return with_channels(images, channels, background)


def from_arrays(x, y=None, *, image_shape=None, check_range=True, **options):
    """An `ImageDataset` of arrays that a user handed to `fit`, checked against a model's shape."""
    options |= {"check_range": check_range, "image_shape": image_shape}
    return ImageDataset(x, y, what="x", **options)


def _identity(content, name):
    if not isinstance(content, Storage):
        return digest_of(content)
    try:
        return content.identity
    except OSError as error:
        raise OSError(
            f"What identifies {name!r} is the content of its files, one of which is gone or cannot "
            f"be read: {error}. Keep the files where they were when they were loaded."
        ) from error
