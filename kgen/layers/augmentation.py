"""Augmentation of real and generated images alike, through which the gradient passes.

Zhao et al., "Differentiable augmentation for data-efficient GAN training" (2020), with the ranges
of the authors' code.
"""

import keras
from keras import ops


@keras.saving.register_keras_serializable("kgen")
class DifferentiableAugmentation(keras.layers.Layer):
    """Change every image at random, each by draws of its own, in training and in inference.

    A discriminator that sees real and generated images through it has more to learn from few
    images, and since the gradient passes, the generator does not learn the augmentation.

    | name | what it does |
    |---|---|
    | `color` | brightness: adds a number from [-0.5, 0.5). Saturation: multiplies the distance of \
each channel from the pixel's mean over its channels by one from [0, 2). Contrast: multiplies \
the distance of each value from the image's mean by one from [0.5, 1.5) |
    | `translation` | moves the image by whole pixels, up to an eighth of each side; 0 comes in |
    | `cutout` | sets a rectangle of half of each side to 0; its centre is anywhere in the image |

    0 is mid-grey. Sides of parts are rounded to whole pixels, halves upward. Values may leave
    [-1, 1].

    Args:
        policy: names, in the order in which they are applied: a list, or a string with commas
            between them. No name, no change.
        seed: integer, or None for a random one, of the layer's own generator.

    Call arguments:
        images: `(N, H, W, C)`, floats in [-1, 1]; H, W and C are known.
        seed: a `keras.random.SeedGenerator` to draw from instead of the layer's own.

    Returns:
        Images of the same shape, float32.

    Raises:
        ValueError: for unknown names (the message lists the known ones), or images of other types
            or of unknown sides.

    Example:

    ```python
    augment = kgen.layers.DifferentiableAugmentation("color,translation,cutout")
    score_of_real, score_of_fake = discriminator(augment(real)), discriminator(augment(fake))
    ```
    """

    def __init__(self, policy="color,translation,cutout", seed=None, **kwargs):
        super().__init__(**{"dtype": "float32", **kwargs})
        self.policy = _names(policy)
        self.seed = seed
        self.random = keras.random.SeedGenerator(seed)
        self.built = True

    def call(self, images, seed=None):
        """See the class."""
        _check_images(images)
        seed = self.random if seed is None else seed
        for name in self.policy:
            for change in POLICIES[name]:
                images = change(images, seed)
        return images

    def compute_output_shape(self, input_shape):
        """That of the images."""
        return input_shape

    def get_config(self):
        """The arguments."""
        return {**super().get_config(), "policy": self.policy, "seed": self.seed}


def _names(policy):
    if isinstance(policy, str):
        policy = [name.strip() for name in policy.split(",")] if policy else []
    known = [*POLICIES]
    if not isinstance(policy, list | tuple) or any(name not in known for name in policy):
        raise ValueError(
            f"policy takes names out of {known}, in a list or in a string with commas "
            f"between them; got {policy!r}."
        )
    return list(policy)


def _check_images(images):
    dtype = keras.backend.standardize_dtype(images.dtype)
    if (
        len(images.shape) != 4
        or None in images.shape[1:]
        or not keras.backend.is_float_dtype(dtype)
    ):
        raise ValueError(
            "DifferentiableAugmentation takes images (N, H, W, C) of known sides and channels, "
            f"floats in [-1, 1]; got shape {tuple(images.shape)}, {dtype}."
        )


def _per_image(images, low, high, seed):
    shape = (ops.shape(images)[0], 1, 1, 1)
    return keras.random.uniform(shape, low, high, dtype=images.dtype, seed=seed)


def _brightness(images, seed):
    return images + _per_image(images, -0.5, 0.5, seed)


def _saturation(images, seed):
    mean = ops.mean(images, axis=-1, keepdims=True)
    return mean + (images - mean) * _per_image(images, 0.0, 2.0, seed)


def _contrast(images, seed):
    mean = ops.mean(images, axis=(1, 2, 3), keepdims=True)
    return mean + (images - mean) * _per_image(images, 0.5, 1.5, seed)


def _whole(images, low, high, seed):
    """One integer for each image, from low to high, both included: `(N, 1)`."""
    shape = (ops.shape(images)[0], 1)
    return keras.random.randint(shape, low, high + 1, dtype="int32", seed=seed)


def _translation(images, seed):
    """Each pixel is taken from where the image's shift says, in a frame of zeros."""
    _, height, width, channels = images.shape
    top, left = _part(height, 8), _part(width, 8)
    images = ops.pad(images, ((0, 0), (top, top), (left, left), (0, 0)))
    rows = ops.arange(height) + _whole(images, 0, 2 * top, seed)
    columns = ops.arange(width) + _whole(images, 0, 2 * left, seed)
    # One index into all pixels, the fastest with its gradient on every backend.
    rows = rows + images.shape[1] * ops.arange(ops.shape(images)[0])[:, None]
    pixels = rows[:, :, None] * images.shape[2] + columns[:, None, :]
    return ops.take(ops.reshape(images, (-1, channels)), pixels, axis=0)


def _cutout(images, seed):
    _, height, width, _ = images.shape
    inside_rows, inside_columns = (_stretch(images, side, seed) for side in (height, width))
    hidden = ops.logical_and(inside_rows[:, :, None, None], inside_columns[:, None, :, None])
    return ops.where(hidden, 0.0, images)


def _stretch(images, side, seed):
    """Whether each position of a side lies in a stretch of half of its length: `(N, side)`."""
    length = _part(side, 2)
    center = _whole(images, 0, side - length % 2, seed)
    start = center - length // 2
    position = ops.arange(side)[None]
    return ops.logical_and(position >= start, position < start + length)


def _part(side, divisor):
    """A side's part in whole pixels, halves rounded upward."""
    return int(side / divisor + 0.5)


POLICIES = {
    "color": (_brightness, _saturation, _contrast),
    "translation": (_translation,),
    "cutout": (_cutout,),
}
