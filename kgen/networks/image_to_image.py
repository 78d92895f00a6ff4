"""What networks from images to images share."""

import random

import keras
from keras import layers

from kgen.arguments import below, is_integer, one_of
from kgen.layers.convolutions import Conv2D, Conv2DTranspose
from kgen.layers.initializers import RandomNormal
from kgen.networks.common import (
    CHANNELS_LAST,
    batch_normalization,
    check_normalization,
    normalize_activations,
    small_normal,
)

_NORMALIZATIONS = ("batch", "instance", None)
_UPSAMPLINGS = ("transpose", "resize")


def check_settings(normalization, upsampling, dropout):
    """Raise a ValueError for settings that translators do not know."""
    check_normalization(normalization, _NORMALIZATIONS)
    one_of(upsampling, _UPSAMPLINGS, "upsampling")
    below(dropout, 1, "dropout")


def images_of_any_size(channels):
    """An input of images whose sides a network is not bound to."""
    return keras.Input((None, None, channels))


def checked_image_sides(image_shape, network):
    """Return an image's height and width; raise a ValueError unless its shape is `(H, W, C)`."""
    if len(image_shape) != 3 or not all(is_integer(n) and n > 0 for n in image_shape):
        raise ValueError(
            f"{network} is for images: image_shape must be (H, W, C), three positive integers; got "
            f"{tuple(image_shape)}. Grey images have C = 1."
        )
    return tuple(image_shape[:2])


def check_multiples(image_shape, divisor, network, least=1):
    """Raise a ValueError unless an image's sides are multiples of a number, and no smaller ones."""
    sides = checked_image_sides(image_shape, network)
    nearest = tuple(divisor * max(round(side / divisor), least) for side in sides)
    if any(side % divisor or side < divisor * least for side in sides):
        smallest = f", from {divisor * least} upward" if least > 1 else ""
        raise ValueError(
            f"{network} is for images whose sides are multiples of {divisor}{smallest}; got "
            f"image_shape={tuple(image_shape)}. The nearest is {(*nearest, image_shape[-1])}: "
            "resize, crop or pad the images."
        )


def normalize_images(x, normalization, dtype):
    """What follows a convolution: scales of batch normalization start from N(1, 0.02)."""
    if normalization == "batch":
        return batch_normalization(dtype, gamma_initializer=RandomNormal(1.0, 0.02))(x)
    return normalize_activations(x, normalization, dtype)


def drop(x, rate, dtype):
    """Dropout with a seed of its own, which follows from `keras.utils.set_random_seed`.

    On torch a layer without a seed draws from the global generators.
    """
    if not rate:
        return x
    return layers.Dropout(rate, seed=random.randrange(2**30), dtype=dtype)(x)


def doubled(x, filters, kernel_size, upsampling, dtype, **settings):
    """A convolution to twice the size.

    Args:
        kernel_size: that of the transposed convolution.
        upsampling: `"transpose"`, or `"resize"`: nearest neighbours and a 3x3 convolution.
        **settings: further ones of the convolution.
    """
    settings = {"data_format": CHANNELS_LAST, "kernel_initializer": small_normal(), **settings}
    if upsampling == "transpose":
        return Conv2DTranspose(filters, kernel_size, 2, "same", dtype=dtype, **settings)(x)
    x = layers.UpSampling2D(2, CHANNELS_LAST, "nearest", dtype=dtype)(x)
    return Conv2D(filters, 3, 1, "same", dtype=dtype, **settings)(x)
