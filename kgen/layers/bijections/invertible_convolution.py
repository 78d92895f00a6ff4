"""Mixing of channels by a matrix."""

import keras
import numpy as np
from keras import ops
from scipy import linalg

from kgen.layers.bijections.base import Bijection, channels_of, of_each, places


@keras.saving.register_keras_serializable("kgen")
class InvertibleConv1x1(Bijection):
    r"""Invertible 1x1 convolution (Kingma and Dhariwal, 2018, section 3.2).

    $y = W x$ at each pixel, $W = P L (U + \mathrm{diag}(\pm e^s))$: P a permutation and the signs
    stay as they are, L (lower triangular, with ones on its diagonal), U (upper, without diagonal)
    and s are learned, so $\log |\det W| = \sum s$ (equations 10 and 11). It begins as a random
    rotation. Points are mixed in the same way.

    Call arguments:
        inputs: `(N, ..., channels)`.
    """

    def build(self, input_shape):
        """Make the factors of a random rotation."""
        channels = channels_of(self, input_shape)
        seed = keras.initializers.Orthogonal().seed  # Keras's, by keras.utils.set_random_seed
        rotation, _ = np.linalg.qr(np.random.default_rng(seed).standard_normal((channels,) * 2))
        permutation, lower, upper = linalg.lu(rotation)
        diagonal = np.diag(upper)
        values = {
            "permutation": permutation,
            "signs": np.sign(diagonal),
            "lower": np.tril(lower, -1),
            "upper": np.triu(upper, 1),
            "log_scale": np.log(np.abs(diagonal)),
        }
        for name, value in values.items():
            learned = name not in ("permutation", "signs")
            options = {"shape": value.shape, "initializer": _of(value), "trainable": learned}
            setattr(self, name, self.add_weight(name=name, **options))

    def _factors(self):
        """L and U with its diagonal."""
        lower = ops.tril(self.lower, -1) + ops.eye(self.lower.shape[0])
        diagonal = ops.diag(self.signs * ops.exp(self.log_scale))
        return lower, ops.triu(self.upper, 1) + diagonal

    def call(self, inputs, told=None):
        """See the class."""
        lower, upper = self._factors()
        matrix = ops.matmul(self.permutation, ops.matmul(lower, upper))
        log_det = places(inputs) * ops.sum(self.log_scale)
        x = ops.cast(inputs, "float32")
        return ops.matmul(x, ops.transpose(matrix)), of_each(log_det, x)

    def inverse(self, outputs, told=None):
        """See the class."""
        self.check_built()
        lower, upper = self._factors()
        back = ops.transpose(ops.convert_to_tensor(self.permutation))
        back = _substituted(lower, back)
        back = ops.flip(_substituted(ops.flip(upper), ops.flip(back, 0)), 0)
        return ops.matmul(ops.cast(outputs, "float32"), ops.transpose(back))

    def get_config(self):
        """The arguments."""
        return super().get_config()


def _substituted(lower, right):
    """X of L X = B, by forward substitution: LAPACK's cannot be called from exported files."""
    rows = ops.eye(lower.shape[0])

    def with_row(i, x):
        row, chosen = ops.take(lower, i, axis=0), ops.take(rows, i, axis=0)
        known = ops.take(right, i, axis=0) - ops.matmul(row[None], x)[0]
        return x + chosen[:, None] * (known / ops.sum(row * chosen))

    return ops.fori_loop(0, lower.shape[0], with_row, ops.zeros_like(right))


def _of(value):
    """Initializer of these values."""
    return lambda shape, dtype=None: ops.convert_to_tensor(value, dtype)
