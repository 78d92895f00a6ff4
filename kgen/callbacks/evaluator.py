"""`Evaluator`: metrics of generated images in the logs of training."""

import math

from kgen.arrays import is_array, to_numpy
from kgen.callbacks.measuring import Measuring
from kgen.data.dataset import ImageDataset, resized
from kgen.data.ranges import to_uint8
from kgen.metrics.evaluation import Reference


class Evaluator(Measuring):
    """Measures generated images beside real ones, and puts `val_fid`, ... into the logs.

    List it before the callbacks that use the numbers: `ModelCheckpoint`, `EarlyStopping`,
    `TensorBoard`, `CSVLogger`. Keras does not know which way these numbers improve, so say it:
    `mode="min"` for `val_fid`, `"max"` for `val_recall`.

    It measures after the first epoch, after every `every`-th and after the last one. In epochs in
    between the names are there with NaN, which is never an improvement; `patience` counts these
    epochs, too. Training is left alone, bit for bit: the images come from a fixed seed. They are
    measured in 256 levels, values outside [-1, 1] clipped. Features of the real images are
    computed once.

    Args:
        metrics: a name of `kgen.metrics.METRICS`, a list of names, a dictionary from names of your
            own to functions of `(real, generated)` that return a number, or a list of names and
            dictionaries. Functions get `real` as it was passed, and generated images as uint8
            `(n, H, W, C)`, or points as the model makes them.
        real: whatever metrics take: real images as an array (uint8, or floats in [-1, 1]), a
            dataset, or batches; of the model's shape. While a model grows they are resized to what
            it has reached, which batches cannot be; what cannot be measured so small, such as
            MS-SSIM, is NaN until then.
        features: name, `keras.Model` or other that `kgen.metrics.features` takes, for the metrics
            that compare features.
        every: epochs between two measurements.
        n: number of images to generate. Most metrics depend on it: compare equal numbers.
        test: real images that were not trained on, for `"memorization"`.
        seed: of the images, and of what metrics draw.
        batch_size: images that are generated at once; None: as the model does.
        cache, precision_k, density_k: as in `kgen.metrics.evaluate`.
        inputs: of a model that makes images of images: those that it makes them of, in the place of
            `n` and `seed`.

    Attributes:
        evaluation: the `kgen.metrics.Evaluation` of the last measurement.

    Raises:
        TypeError, ValueError: for unknown metrics or features; from `fit` before training, if the
            model has no `generate`, or a metric cannot be measured: real images of another shape,
            too few, too small, no classes, no `test`.

    Example:

    ```python
    model.fit(
        images,
        epochs=50,
        callbacks=[
            kgen.callbacks.Evaluator(["fid", "recall"], images, "digits", every=5),
            keras.callbacks.ModelCheckpoint(
                "best.keras", "val_fid", mode="min", save_best_only=True
            ),
        ],
    )
    ```
    """

    def __init__(
        self,
        metrics,
        real,
        features=None,
        every=1,
        n=1000,
        test=None,
        seed=0,
        batch_size=None,
        cache=None,
        precision_k=3,
        density_k=5,
        inputs=None,
    ):
        super().__init__(n, every, seed, batch_size, inputs)
        if metrics is None:
            raise ValueError("metrics must say what to measure, such as ['fid', 'recall'].")
        ks = precision_k, density_k
        self._references = _References(real, test, features, metrics, seed, cache, *ks)
        self.evaluation = None

    def on_train_begin(self, logs=None):
        """Of a model that grows find out now what cannot be measured in the end."""
        if self.size_reached() is not None:
            self._references.check(self.n)
        super().on_train_begin(logs)

    def measure(self, images):
        """`val_` and the name of each metric, and its number."""
        images = to_uint8(images) if images.ndim > 2 else images
        self.evaluation = self._references.at(self.size_reached()).measure(images)
        missing = dict.fromkeys(self.evaluation.left_out, math.nan)
        found = missing | self.evaluation.values
        return {f"val_{name}": found[name] for name in self._references.names if name in found}


class _References:
    """What is known of real images, at the size of the stage of a model that grows."""

    def __init__(self, real, test, features, metrics, seed, cache, *ks):
        self._sides = {"real": real, "test": test}
        self._options = features, metrics, seed, cache, ks
        self._size, self._last = None, self._of(real, test)
        self.names = list(self._last.metrics)

    def at(self, size):
        """The `Reference` of images of this size, `(height, width)`; None: as they came."""
        if size != self._size:
            sides = self._sides
            if size is not None:
                sides = {name: _at_size(images, size, name) for name, images in sides.items()}
            self._size, self._last = size, self._of(**sides, lenient=size is not None)
        return self._last

    def check(self, n):
        """Raise a `ValueError` for what cannot be measured at full size either."""
        real = self._sides["real"]
        if isinstance(real, ImageDataset):
            self.at(None).measure(real.images(min(n, real.num_examples)))
        elif is_array(real):
            self.at(None).measure(real[:n])

    def _of(self, real, test, lenient=False):
        features, metrics, seed, cache, ks = self._options
        return Reference(real, features, metrics, test, seed, cache, *ks, lenient=lenient)


def _at_size(images, size, name):
    if images is None:
        return None
    if isinstance(images, ImageDataset):
        return images.at_resolution(size)
    if is_array(images):
        images = to_numpy(images)
        return resized(images[..., None] if images.ndim == 3 else images, size)
    raise TypeError(
        f"A model that grows is measured at the size that it has reached: {name} must be an array "
        f"or a dataset of kgen.data, which can be resized; got {type(images).__name__}."
    )
