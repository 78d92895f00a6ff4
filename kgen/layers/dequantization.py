"""Noise between the levels of images, so that they have densities."""

import math

import keras
from keras import ops

from kgen.layers.bijections.base import Bijection, deserialize, of_each, serialize, summed

LEVEL = 2 / 255  # of 8-bit images in [-1, 1]


class Dequantization(keras.layers.Layer):
    r"""Base of layers that spread each grey level over its width, and tell with which density.

    $\log P(x) \ge E_q \log p(x + u) - \log q(u | x)$ (Ho et al., 2019, section 3.1): a density of
    images with noise bounds the probabilities of 8-bit images. A subclass defines `draw` and
    `noisy`.

    Call arguments:
        images: float32 `(N, ...)` in [-1, 1], on the 256 levels.
        seed: Keras seed generator, or an integer.

    Returns:
        `(noisy, log_density)`: float32, as the images, and `(N,)`, $\log q(u | x)$.

    Raises:
        TypeError: for images of integers.
    """

    noise = "uniform"  # what `noisy` is given: in [0, 1), or "normal"

    def __init__(self, **kwargs):
        super().__init__(autocast=False, **kwargs)

    def call(self, images, seed=None):
        """See the class."""
        if "float" not in (dtype := keras.backend.standardize_dtype(images.dtype)):
            raise TypeError(
                f"{type(self).__name__} takes images in [-1, 1]; got {dtype}: of 8-bit images "
                "x / 127.5 - 1."
            )
        draw = keras.random.uniform if self.noise == "uniform" else keras.random.normal
        return self.noisy(images, draw(ops.shape(images), seed=seed, dtype="float32"))

    def noisy(self, images, noise):
        """What `call` returns of images and noise of their shape."""
        raise NotImplementedError(f"{type(self).__name__} has to define noisy(images, noise).")

    def compute_output_spec(self, images, seed=None):
        """As the images, and one number for each."""
        return keras.KerasTensor(images.shape), keras.KerasTensor(images.shape[:1])


@keras.saving.register_keras_serializable("kgen")
class UniformDequantization(Dequantization):
    """Uniform noise of a level's width (Theis et al., 2016, section 3.1)."""

    def noisy(self, images, noise):
        """See the base class."""
        numbers = math.prod(images.shape[1:])
        return images + (noise - 0.5) * LEVEL, of_each(-numbers * math.log(LEVEL), images)

    def get_config(self):
        """The arguments."""
        return super().get_config()


@keras.saving.register_keras_serializable("kgen")
class VariationalDequantization(Dequantization):
    r"""Noise that a flow makes, told the image (Ho et al., 2019, section 3.1).

    $u = \sigma(f(\epsilon, x))$ of a level's width, $\epsilon$ normal: the flow f learns which
    noise the model of densities likes, so that the bound is nearer.

    Args:
        bijection: a `Bijection` of the images' shape, of which what it is told are the images; it
            returns another shape, or the same.
        **kwargs: as in Keras.
    """

    noise = "normal"

    def __init__(self, bijection, **kwargs):
        super().__init__(**kwargs)
        if not isinstance(bijection, Bijection):
            raise TypeError(f"bijection must be a kgen.layers.Bijection; got {bijection!r}.")
        self.bijection = bijection

    def build(self, input_shape):
        """Build the flow."""
        if not self.bijection.built:
            self.bijection.build(input_shape)

    def noisy(self, images, noise):
        """See the base class."""
        y, log_det = self.bijection(noise, told=images)
        log_normal = summed(-0.5 * ops.square(noise) - 0.5 * math.log(2 * math.pi))
        stretched = summed(ops.log_sigmoid(y) + ops.log_sigmoid(-y) + math.log(LEVEL))
        spread = (ops.reshape(ops.sigmoid(y), ops.shape(images)) - 0.5) * LEVEL
        return images + spread, log_normal - log_det - stretched

    def get_config(self):
        """The arguments."""
        return {**super().get_config(), "bijection": serialize(self.bijection)}

    @classmethod
    def from_config(cls, config):
        """Build from `get_config()`."""
        return cls(**{**config, "bijection": deserialize(config["bijection"])})
