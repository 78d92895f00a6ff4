"""Residual networks."""

import math

import keras
from keras import layers, ops

from kgen.layers.convolutions import Conv2D
from kgen.networks.common import (
    CHANNELS_LAST,
    batch_normalization,
    check_normalization,
    checked_image_shape,
    cropped,
    discriminator_inputs,
    discriminator_model,
    encoder_model,
    generator_inputs,
    halved_sizes,
    normalization_of_first_layer,
    normalize_activations,
    normalize_weights,
)


def resnet_generator(image_shape, latent_dim, *, num_classes=None, filters=128, dtype=None):
    """Residual generator (Gulrajani et al., 2017, appendix; Miyato et al., 2018, table 4).

    A linear layer, then one residual block for each doubling of the size (nearest neighbour), from
    4 to 7 pixels up; batch normalization, ReLU and a 3x3 convolution with tanh end it. For 32x32
    pixels it is the papers' network for CIFAR-10, of which Gulrajani et al. take 128 filters and
    Miyato et al. 256. Odd sides are cropped from even ones.

    Args:
        image_shape: `(H, W, C)`; sides of any size from 8, also odd ones.
        latent_dim: width of the latent.
        num_classes: makes it conditional, as in `dcgan_generator`.
        filters: channels of all blocks.
        dtype: Keras dtype policy; the output is float32.

    Returns:
        `keras.Model` from `(N, latent_dim)` to images in [-1, 1].

    Raises:
        ValueError: for points, and images with sides below 8.
    """
    sizes = halved_sizes(checked_image_shape(image_shape, "resnet"), stop=8)
    inputs, x = generator_inputs(latent_dim, num_classes, dtype)
    smallest = (*sizes[-1], filters)
    x = layers.Dense(math.prod(smallest), dtype=dtype)(x)
    x = layers.Reshape(smallest, dtype=dtype)(x)
    for size in sizes[-2::-1]:
        x = _block_up(x, filters, size, dtype)
    x = layers.ReLU(dtype=dtype)(batch_normalization(dtype)(x))
    x = Conv2D(image_shape[-1], 3, 1, "same", CHANNELS_LAST, activation="tanh", dtype="float32")(x)
    return keras.Model(inputs, x, name="generator")


def resnet_discriminator(
    image_shape,
    *,
    num_classes=None,
    latent_dim=None,
    heads=None,
    normalization=None,
    filters=128,
    dtype=None,
):
    """Residual discriminator (Gulrajani et al., 2017, appendix; Miyato et al., 2018, table 4).

    Residual blocks that halve the size (mean of 2x2 pixels) down to 6 to 11 pixels, the first of
    them without activation before it; two blocks that keep it; ReLU; and the features are the mean
    over pixels as in Gulrajani et al., or, with spectral normalization, the sum as in Miyato et al.
    For 32x32 pixels it is the papers' network for CIFAR-10. Sides of 8 to 11 are halved once.

    Args:
        image_shape: `(H, W, C)`; sides of any size from 8, also odd ones.
        num_classes: makes it conditional, as in `dcgan_discriminator`.
        latent_dim: makes it one of pairs of image and latent, as in `dcgan_discriminator`.
        heads: further outputs, as in `dcgan_discriminator`.
        normalization: before each ReLU of the blocks but the first: `"batch"` or `"layer"`;
            `"spectral"` of all weights; or None.
        filters: channels of all blocks.
        dtype: Keras dtype policy; the outputs are float32.

    Returns:
        `keras.Model` from `(N, H, W, C)` to scores `(N, 1)` without activation, or to a list of
        them and the heads.

    Raises:
        ValueError: for points, images with sides below 8, an unknown normalization, or both
            `num_classes` and `latent_dim`.
    """
    inputs, x = _features(image_shape, num_classes, normalization, filters, dtype)
    return discriminator_model(inputs, x, latent_dim, heads, normalization, dtype=dtype)


def resnet_encoder(image_shape, latent_dim, *, normalization=None, filters=128, dtype=None):
    """Residual encoder: `resnet_discriminator` with a latent instead of a score.

    Args:
        image_shape: `(H, W, C)`; sides of any size from 8, also odd ones.
        latent_dim: width of the latent.
        normalization: as in `resnet_discriminator`.
        filters: as in `resnet_discriminator`.
        dtype: Keras dtype policy; the output is float32.

    Returns:
        `keras.Model` from `(N, H, W, C)` to `(N, latent_dim)`.
    """
    images, x = _features(image_shape, None, normalization, filters, dtype)
    return encoder_model(images, x, latent_dim, normalization)


def _features(image_shape, num_classes, normalization, filters, dtype):
    sizes = halved_sizes(checked_image_shape(image_shape, "resnet"), stop=12)
    check_normalization(normalization)
    inputs, x = discriminator_inputs(image_shape, num_classes, dtype)
    x = _first_block(x, filters, normalization, dtype)
    for _ in sizes[2:]:
        x = _block_down(x, filters, normalization, dtype, halve=True)
    for _ in range(2):
        x = _block_down(x, filters, normalization, dtype, halve=False)
    x = layers.ReLU(dtype="float32")(x)  # from here on in float32: sums over many pixels
    pool = ops.sum if normalization == "spectral" else ops.mean
    return inputs, pool(x, axis=(1, 2))


def _block_up(x, filters, size, dtype):
    """Residual block that doubles the size; a 1x1 convolution comes first, where it is cheaper."""

    def enlarged(x):
        x = layers.UpSampling2D(2, CHANNELS_LAST, "nearest", dtype=dtype)(x)
        return cropped(x, size, dtype)

    shortcut = enlarged(_shortcut(filters, dtype)(x))
    x = layers.ReLU(dtype=dtype)(batch_normalization(dtype)(x))
    x = _residual(filters, dtype)(enlarged(x))
    x = layers.ReLU(dtype=dtype)(batch_normalization(dtype)(x))
    x = _residual(filters, dtype)(x)
    return layers.Add(dtype=dtype)([shortcut, x])


def _first_block(x, filters, normalization, dtype):
    """Residual block that halves images: nothing normalises or cuts the pixels themselves."""
    kind = normalization_of_first_layer(normalization)
    shortcut = normalize_weights(_shortcut(filters, dtype), kind)(_halved(x, dtype))
    x = normalize_weights(_residual(filters, dtype), kind)(x)
    x = layers.ReLU(dtype=dtype)(x)
    x = normalize_weights(_residual(filters, dtype), kind)(x)
    return layers.Add(dtype=dtype)([shortcut, _halved(x, dtype)])


def _block_down(x, filters, normalization, dtype, halve):
    """Residual block that halves the size, or keeps it and then has an identity as shortcut."""
    shortcut = x
    for _ in range(2):
        x = layers.ReLU(dtype=dtype)(normalize_activations(x, normalization, dtype))
        x = normalize_weights(_residual(filters, dtype), normalization)(x)
    if halve:
        shortcut = normalize_weights(_shortcut(filters, dtype), normalization)(
            _halved(shortcut, dtype)
        )
        x = _halved(x, dtype)
    return layers.Add(dtype=dtype)([shortcut, x])


def _residual(filters, dtype):
    """3x3 convolution whose variance allows for the ReLU before it, as in both papers' code."""
    initializer = keras.initializers.VarianceScaling(2.0, "fan_avg", "uniform")
    return Conv2D(filters, 3, 1, "same", CHANNELS_LAST, kernel_initializer=initializer, dtype=dtype)


def _shortcut(filters, dtype):
    return Conv2D(filters, 1, 1, "same", CHANNELS_LAST, dtype=dtype)


def _halved(x, dtype):
    return layers.AveragePooling2D(2, 2, "same", CHANNELS_LAST, dtype=dtype)(x)
