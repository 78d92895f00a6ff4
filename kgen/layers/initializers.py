"""Initial values, drawn as one row of numbers.

JAX compiles each draw for its shape: of four axes that takes seconds, of one axis a fraction.
"""

import math

import keras
from keras import ops


@keras.saving.register_keras_serializable("kgen")
class RandomNormal(keras.initializers.RandomNormal):
    """N(mean, stddev), as `keras.initializers.RandomNormal`; other numbers for the same seed."""

    def __call__(self, shape, dtype=None):
        """A tensor of this shape."""
        return ops.reshape(super().__call__((math.prod(shape),), dtype), shape)
