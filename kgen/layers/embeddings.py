"""Numbers as vectors that networks can read."""

import math

import keras
import numpy as np
from keras import ops

from kgen.arguments import positive, positive_number


@keras.saving.register_keras_serializable("kgen")
class SinusoidalEmbedding(keras.layers.Layer):
    r"""Sines and cosines of a number at many frequencies, as of positions (Vaswani et al., 2017).

    $\sin(s t \omega_k), \cos(s t \omega_k)$ with $\omega_k = 10000^{-k / (width / 2)}$.

    Args:
        width: of the vectors, even.
        scale: s; 1,000 for times in [0, 1], which are then as the steps of Ho et al. (2020).
        **kwargs: as in Keras; vectors are computed in float32 and have its compute dtype.

    Call arguments:
        inputs: numbers `(N,)`.

    Returns:
        `(N, width)`.
    """

    def __init__(self, width, scale=1000.0, **kwargs):
        super().__init__(autocast=False, **kwargs)
        self.width, self.scale = positive(width, "width"), positive_number(scale, "scale")
        if width % 2:
            raise ValueError(f"width must be even, sines and cosines; got {width!r}.")
        self.built = True

    def call(self, inputs):
        """See the class."""
        half = self.width // 2
        frequencies = self.scale * np.exp(-math.log(10_000) * np.arange(half) / half)
        frequencies = ops.convert_to_tensor(frequencies.astype("float32"))
        angles = ops.cast(inputs, "float32")[:, None] * frequencies
        waves = ops.concatenate([ops.sin(angles), ops.cos(angles)], axis=-1)
        return ops.cast(waves, self.compute_dtype)

    def compute_output_spec(self, inputs):
        """A vector for each number."""
        return keras.KerasTensor((*inputs.shape, self.width), self.compute_dtype)

    def get_config(self):
        """The arguments."""
        return {**super().get_config(), "width": self.width, "scale": self.scale}


@keras.saving.register_keras_serializable("kgen")
class FourierFeatures(keras.layers.Layer):
    r"""Coordinates, and sines and cosines of each at doubling frequencies.

    $x, \sin(2^k \pi x), \cos(2^k \pi x)$ for k from 0 (Mildenhall et al., 2020, equation 4): so
    that dense layers, which learn slowly what varies fast, tell places that lie close together
    (Tancik et al., 2020).

    Args:
        count: how many frequencies; the last one has the wavelength $2^{2 - count}$.
        **kwargs: as in Keras; features are computed in float32 and have its compute dtype.

    Call arguments:
        inputs: `(N, D)`.

    Returns:
        `(N, D * (1 + 2 * count))`.
    """

    def __init__(self, count=5, **kwargs):
        super().__init__(autocast=False, **kwargs)
        self.count = positive(count, "count")
        self.built = True

    def call(self, inputs):
        """See the class."""
        x = ops.cast(inputs, "float32")
        angles = [2.0**k * math.pi * x for k in range(self.count)]
        waves = [wave(angle) for angle in angles for wave in (ops.sin, ops.cos)]
        return ops.cast(ops.concatenate([x, *waves], axis=-1), self.compute_dtype)

    def compute_output_spec(self, inputs):
        """More features for each row."""
        width = inputs.shape[-1] * (1 + 2 * self.count)
        return keras.KerasTensor((*inputs.shape[:-1], width), self.compute_dtype)

    def get_config(self):
        """The arguments."""
        return {**super().get_config(), "count": self.count}
