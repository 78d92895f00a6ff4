"""`Measuring`: what callbacks share that measure generated images every few epochs."""

import math
import warnings

import keras
import numpy as np

from kgen.arguments import positive
from kgen.arrays import to_numpy


class Measuring(keras.callbacks.Callback):
    """Generates images of its own, measures them, and puts the numbers into the logs.

    It measures after the first epoch, after every `every`-th and after the last one. In epochs in
    between the same names are there with NaN, since files have fixed columns, and what monitors a
    number starts from the first one. A subclass defines `measure`; where what it keeps of a run is
    numbers, strings, lists, tuples or dictionaries, a `TrainingCheckpoint` resumes it.

    Training is left alone: images come from a fixed seed, drawn on the host.

    Args:
        n: number of images.
        every: epochs between two measurements.
        seed: of the images.
        batch_size: images that are generated at once; None: as the model does.
        inputs: of a model that makes images of images: those that it makes them of, as `predict`
            takes them, in the place of `n` and `seed`; its `outputs_for` them are measured.
    """

    def __init__(self, n, every, seed, batch_size, inputs=None):
        super().__init__()
        self.inputs = inputs
        self.n, self.every = positive(n, "n"), positive(every, "every")
        self.seed = seed
        self.batch_size = None if batch_size is None else positive(batch_size, "batch_size")
        self.names, self._measured = [], False

    def measure(self, images):
        """Dictionary from names in the logs to numbers.

        Args:
            images: what the model generated, `(n, *image_shape)`, finite.
        """
        raise NotImplementedError

    def on_train_begin(self, logs=None):
        """Measure once, so that what would fail after an epoch fails before it."""
        name = type(self).__name__
        method = "generate" if self.inputs is None else "outputs_for"
        if not callable(getattr(self.model, method, None)):
            raise TypeError(f"{name} needs a model with {method}; got {self.model!r}.")
        try:
            images = self._generated()
        except NotImplementedError as error:
            raise TypeError(
                f"{name} needs a model with generate, or inputs= of a model that makes images of "
                f"images: {error}"
            ) from error
        if images is None:
            raise ValueError(f"{self.model!r} generates images that are not finite.")
        self.names, self._measured = list(self.measure(images)), False

    def on_epoch_end(self, epoch, logs=None):
        """Put the numbers into the logs, where this epoch is one to measure."""
        number = epoch + 1
        last = number >= self.params["epochs"] or self.model.stop_training
        values = dict.fromkeys(self.names, math.nan)
        if not self._measured or last or number % self.every == 0:
            images = self._generated()
            if images is None:
                warnings.warn(
                    f"{type(self).__name__}, epoch {number}: generated images are not finite, so "
                    "nothing was measured.",
                    stacklevel=2,
                )
            else:
                values, self._measured = self.measure(images), True
                self.measured(epoch, values)
        if logs is not None:
            logs.update(values)

    def size_reached(self):
        """`(height, width)` that a growing model has reached; None: that of its `image_shape`."""
        stage = getattr(self.model, "stage_image_shape", None)
        return None if stage is None or stage == self.model.image_shape else stage[:2]

    def measured(self, epoch, values):
        """Look at the numbers of an epoch, counted from 0; nothing by default."""

    def _generated(self):
        """Images of the model as it is now; None if they are not finite."""
        size = {} if self.batch_size is None else {"batch_size": self.batch_size}
        if self.inputs is None:
            images = to_numpy(self.model.generate(self.n, seed=self.seed, **size))
        else:
            images = to_numpy(self.model.outputs_for(self.inputs, **size))
        return images if np.isfinite(images).all() else None
