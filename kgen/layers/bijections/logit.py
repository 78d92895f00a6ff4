"""From a range to all numbers."""

import math

import keras
import numpy as np
from keras import ops

from kgen.arguments import below, finite
from kgen.layers.bijections.base import Bijection, summed

HALF_A_LEVEL = 1 / 255  # of 8-bit images in [-1, 1]
MARGIN = 1e-5


@keras.saving.register_keras_serializable("kgen")
class Logit(Bijection):
    r"""$y = logit(\alpha + (1 - 2 \alpha) p)$ with p the share of the range that lies below x.

    What is bounded becomes what is not, as a normal density wants (Dinh et al., 2017, section 4.1,
    where the factor is 1 - alpha: there the upper end is at infinity).

    Args:
        low, high: ends of the range; by default those of 8-bit images in [-1, 1] with
            dequantisation noise.
        margin: alpha, in [0, 0.5): how far from 0 and 1 the ends are kept; 0.05 in the paper. With
            a smaller one there is more room for the levels at the ends, to which most pixels of
            drawings belong: they cost a flow fewer bits. What lies further out has no logit: its
            log-determinant is -inf, so no density is there.
        **kwargs: as in Keras.

    Raises:
        ValueError: for an empty range, or another margin.
    """

    def __init__(self, low=-1 - HALF_A_LEVEL, high=1 + HALF_A_LEVEL, margin=MARGIN, **kwargs):
        super().__init__(**kwargs)
        self.low, self.high = finite(low, "low"), finite(high, "high")
        if not self.low < self.high:
            raise ValueError(f"low must be below high; got {low!r} and {high!r}.")
        self.margin = below(margin, 0.5, "margin")
        self.built = True

    @property
    def _slope(self):
        return (1 - 2 * self.margin) / (self.high - self.low)

    def call(self, inputs, told=None):
        """See the class."""
        p = self.margin + self._slope * (ops.cast(inputs, "float32") - self.low)
        inside = ops.logical_and(p > 0, p < 1)
        p = ops.where(inside, p, 0.5)
        log_p, log_rest = ops.log(p), ops.log(1 - p)
        log_slope = math.log(self._slope) - log_p - log_rest
        return log_p - log_rest, summed(ops.where(inside, log_slope, -np.inf))

    def inverse(self, outputs, told=None):
        """See the class."""
        p = ops.sigmoid(ops.cast(outputs, "float32"))
        return (p - self.margin) / self._slope + self.low

    def get_config(self):
        """The arguments."""
        config = {"low": self.low, "high": self.high, "margin": self.margin}
        return {**super().get_config(), **config}
