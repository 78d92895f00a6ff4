"""What a denoising autoencoder learns to undo: noise that destroys a part of each image.

The three of Vincent et al., "Stacked denoising autoencoders" (JMLR 2010), section 3.3, on images in
[-1, 1], where -1 is black.
"""

import keras
from keras import ops

__all__ = ["CORRUPTIONS", "Corruption", "GaussianNoise", "MaskingNoise", "SaltAndPepper", "get"]


class Corruption(keras.layers.Layer):
    """Base of the corruptions: a subclass writes `corrupted`.

    It draws anew at each call, in training and in inference.

    Args:
        amount: how much is destroyed.
        seed: integer, or None for a random one, of the layer's own generator.

    Call arguments:
        images: `(N, H, W, C)` or `(N, D)`.
        seed: a `keras.random.SeedGenerator` to draw from instead of the layer's own.

    Returns:
        What is left of the images, same shape and dtype.
    """

    largest = 1.0

    def __init__(self, amount, seed=None, **kwargs):
        super().__init__(**{"dtype": "float32", **kwargs})
        if isinstance(amount, bool) or not 0 <= amount <= self.largest:
            raise ValueError(
                f"{type(self).__name__} takes an amount from 0 to {self.largest:g}; got {amount!r}."
            )
        self.amount, self.seed = float(amount), seed
        self.random = keras.random.SeedGenerator(seed)
        self.built = True

    def call(self, images, seed=None):
        """See the class."""
        return self.corrupted(images, self.random if seed is None else seed)

    def corrupted(self, images, seed):
        """What is left of the images."""
        raise NotImplementedError

    def compute_output_shape(self, input_shape):
        """That of the images."""
        return input_shape

    def get_config(self):
        """The arguments."""
        return {**super().get_config(), "amount": self.amount, "seed": self.seed}


def _per_pixel(images, seed):
    """One number from [0, 1) for each pixel, the same for its channels."""
    shape = ops.shape(images)
    return keras.random.uniform((*shape[:-1], 1 if len(shape) == 4 else shape[-1]), seed=seed)


@keras.saving.register_keras_serializable("kgen")
class GaussianNoise(Corruption):
    """Adds noise from N(0, amount^2) to every value; they may leave [-1, 1]."""

    largest = 10.0

    def __init__(self, amount=0.5, seed=None, **kwargs):
        super().__init__(amount, seed, **kwargs)

    def corrupted(self, images, seed):
        """See the class."""
        return images + self.amount * keras.random.normal(ops.shape(images), seed=seed)


@keras.saving.register_keras_serializable("kgen")
class MaskingNoise(Corruption):
    """Blackens this share of the pixels, all channels of a pixel together."""

    def __init__(self, amount=0.5, seed=None, **kwargs):
        super().__init__(amount, seed, **kwargs)

    def corrupted(self, images, seed):
        """See the class."""
        return ops.where(_per_pixel(images, seed) < self.amount, -1.0, images)


@keras.saving.register_keras_serializable("kgen")
class SaltAndPepper(Corruption):
    """Makes this share of the pixels black or white, by a fair coin."""

    def __init__(self, amount=0.25, seed=None, **kwargs):
        super().__init__(amount, seed, **kwargs)

    def corrupted(self, images, seed):
        """See the class."""
        chance = _per_pixel(images, seed)
        coin = ops.where(chance < 0.5 * self.amount, -1.0, 1.0)
        return ops.where(chance < self.amount, coin, images)


CORRUPTIONS = {
    "gaussian": GaussianNoise,
    "masking": MaskingNoise,
    "salt_and_pepper": SaltAndPepper,
}


def get(name):
    """A corruption by name, or the one that was passed; None stays None.

    Raises:
        ValueError: for an unknown name; the message lists the known ones.
    """
    if name is None or isinstance(name, Corruption):
        return name
    if not isinstance(name, str) or name not in CORRUPTIONS:
        raise ValueError(
            f"Unknown corruption {name!r}; known are {sorted(CORRUPTIONS)}, or pass a "
            "kgen.layers.Corruption, such as kgen.layers.MaskingNoise(0.3)."
        )
    return CORRUPTIONS[name](name="corruption")
