"""The networks of face swaps: an encoder and an intermediate network that two decoders share."""

import math

import keras
from keras import layers

from kgen.arguments import positive
from kgen.layers.convolutions import Conv2D, Conv2DTranspose
from kgen.networks.autoencoders import convolutional_encoder
from kgen.networks.common import CHANNELS_LAST, cropped, doubled_channels, halved_sizes

SMALLEST = 8  # pixels: sides from which on images are halved no further
KERNEL = 5  # of a decoder's first layer, which sees most of the features at once


def swap_encoder(image_shape, latent_dim, *, filters=32, dtype=None):
    """Encoder: 4x4 convolutions of stride 2 down to about 4 to 7 pixels.

    Args:
        image_shape: `(H, W, C)`.
        latent_dim: width of the code.
        filters: channels of the first layer, doubled with each that follows, up to eight times.
        dtype: Keras dtype policy; the output is float32.

    Returns:
        `keras.Model` from `(N, H, W, C)` to codes `(N, latent_dim)`.
    """
    channels, _ = _stages(image_shape, filters)
    return convolutional_encoder(image_shape, latent_dim, filters=channels, dtype=dtype)


def swap_intermediate(image_shape, latent_dim, *, filters=32, dtype=None):
    """What both decoders begin with: a dense layer to the smallest features, enlarged once.

    Args:
        image_shape, latent_dim, filters, dtype: as of `swap_encoder`.

    Returns:
        `keras.Model` from codes `(N, latent_dim)` to features `(N, h, w, c)`.
    """
    channels, sizes = _stages(image_shape, filters)
    smallest = (*sizes[-1], channels[-1])
    inputs = keras.Input((latent_dim,))
    x = layers.Dense(math.prod(smallest), "relu", dtype=dtype)(inputs)
    x = layers.Reshape(smallest, dtype=dtype)(x)
    x = _enlarged(x, channels[-2:][0], sizes[-2], "relu", dtype)
    return keras.Model(inputs, x, name="intermediate")


def swap_decoder(image_shape, features_shape, *, filters=32, dtype=None):
    """Decoder: a convolution of the features, then enlarged to the image.

    Args:
        image_shape, filters, dtype: as of `swap_encoder`.
        features_shape: `(h, w, c)` of what `swap_intermediate` makes.

    Returns:
        `keras.Model` from features `(N, h, w, c)` to float32 images in [-1, 1] (tanh).
    """
    channels, sizes = _stages(image_shape, filters)
    inputs = keras.Input(features_shape)
    x = Conv2D(channels[-1], KERNEL, 1, "same", CHANNELS_LAST, activation="relu", dtype=dtype)(
        inputs
    )
    for count, size in zip(channels[-3::-1], sizes[-3:0:-1], strict=True):
        x = _enlarged(x, count, size, "relu", dtype)
    if len(sizes) > 2:
        x = _enlarged(x, image_shape[-1], sizes[0], "tanh", "float32")
    else:
        last = {"activation": "tanh", "dtype": "float32"}
        x = Conv2D(image_shape[-1], 3, 1, "same", CHANNELS_LAST, **last)(x)
    return keras.Model(inputs, x, name="decoder")


def _stages(image_shape, filters):
    """Channels of the encoder's layers; sizes from the image's to the smallest."""
    sizes = halved_sizes(image_shape, SMALLEST)
    return doubled_channels(positive(filters, "filters"), len(sizes) - 1), sizes


def _enlarged(x, channels, size, activation, dtype):
    """Features of twice the size, or one pixel less."""
    settings = {"data_format": CHANNELS_LAST, "activation": activation, "dtype": dtype}
    return cropped(Conv2DTranspose(channels, 4, 2, "same", **settings)(x), size, dtype)
