"""Encoders and decoders: plain functions that return a `keras.Model`."""

import functools
import math

import keras
from keras import layers

from kgen.layers.convolutions import Conv2D, Conv2DTranspose
from kgen.networks.common import CHANNELS_LAST, batch_normalization, cropped

__all__ = [
    "NETWORKS",
    "convolutional_decoder",
    "convolutional_encoder",
    "dense_decoder",
    "dense_encoder",
]


def dense_encoder(
    image_shape, latent_dim, *, gaussian=False, hidden=(512,), batch_norm=False, dtype=None
):
    """Fully connected encoder.

    Args:
        image_shape: `(H, W, C)`, or `(D,)` for points.
        latent_dim: width of the latent.
        gaussian: whether to return mean and log-variance instead of one latent.
        hidden: widths of the hidden layers, ReLUs.
        batch_norm: whether batch normalisation takes the place of their biases.
        dtype: Keras dtype policy; the outputs are float32.

    Returns:
        `keras.Model` from `(N, *image_shape)` to `(N, latent_dim)`, or to two of them.
    """
    inputs = keras.Input(image_shape)
    x = layers.Flatten(dtype=dtype)(inputs)
    for width in hidden:
        x = _hidden(x, width, batch_norm, dtype)
    return keras.Model(inputs, _latent(x, latent_dim, gaussian), name="encoder")


def dense_decoder(image_shape, latent_dim, *, hidden=(512,), batch_norm=False, dtype=None):
    """Fully connected decoder, the mirror of `dense_encoder`.

    Returns:
        `keras.Model` from `(N, latent_dim)` to float32 images in [-1, 1] (tanh), or to points
        (linear).
    """
    inputs = x = keras.Input((latent_dim,))
    for width in reversed(hidden):
        x = _hidden(x, width, batch_norm, dtype)
    activation = "tanh" if len(image_shape) == 3 else None
    x = layers.Dense(math.prod(image_shape), activation, dtype="float32")(x)
    x = layers.Reshape(image_shape, dtype="float32")(x)
    return keras.Model(inputs, x, name="decoder")


def convolutional_encoder(image_shape, latent_dim, *, gaussian=False, filters=None, dtype=None):
    """Convolutional encoder: 4x4 convolutions of stride 2 down to about 4 to 7 pixels.

    Args:
        image_shape: `(H, W, C)`; sides of any size, also odd ones.
        latent_dim: width of the latent.
        gaussian: whether to return mean and log-variance instead of one latent.
        filters: channels of each stage; by default 32, 64, 128, 256, 256, ...
        dtype: Keras dtype policy; the outputs are float32.

    Returns:
        `keras.Model` from `(N, H, W, C)` to `(N, latent_dim)`, or to two of them.
    """
    inputs = x = keras.Input(image_shape)
    for channels in filters or _filters(image_shape):
        x = Conv2D(channels, 4, 2, "same", CHANNELS_LAST, activation="relu", dtype=dtype)(x)
    x = layers.Flatten(dtype=dtype)(x)
    return keras.Model(inputs, _latent(x, latent_dim, gaussian), name="encoder")


def convolutional_decoder(image_shape, latent_dim, *, filters=None, dtype=None):
    """Convolutional decoder, the mirror of `convolutional_encoder`; the size comes back exactly.

    Where a stride halved an odd side upwards, doubling it is one pixel too many: it is cropped.

    Returns:
        `keras.Model` from `(N, latent_dim)` to float32 images in [-1, 1] (tanh).
    """
    filters = filters or _filters(image_shape)
    sizes = [tuple(image_shape[:2])]
    for _ in filters:
        sizes.append(tuple(-(-side // 2) for side in sizes[-1]))
    inputs = keras.Input((latent_dim,))
    smallest = (*sizes[-1], filters[-1])
    x = layers.Dense(math.prod(smallest), "relu", dtype=dtype)(inputs)
    x = layers.Reshape(smallest, dtype=dtype)(x)
    for channels, size in zip([*filters[-2::-1], None], sizes[-2::-1], strict=True):
        last = channels is None
        policy = "float32" if last else dtype
        x = Conv2DTranspose(
            image_shape[-1] if last else channels,
            4,
            2,
            "same",
            data_format=CHANNELS_LAST,
            activation="tanh" if last else "relu",
            dtype=policy,
        )(x)
        x = cropped(x, size, policy)
    return keras.Model(inputs, x, name="decoder")


def _dense(*hidden, **options):
    """Encoder and decoder with hidden layers of these widths."""
    makers = dense_encoder, dense_decoder
    return tuple(functools.partial(make, hidden=hidden, **options) for make in makers)


NETWORKS = {
    "shallow": _dense(),
    "dense": (dense_encoder, dense_decoder),
    "deep": _dense(512, 256, 64, batch_norm=True),
    "convolutional": (convolutional_encoder, convolutional_decoder),
}


def _hidden(x, width, batch_norm, dtype):
    if not batch_norm:
        return layers.Dense(width, "relu", dtype=dtype)(x)
    x = layers.Dense(width, use_bias=False, dtype=dtype)(x)
    return layers.ReLU(dtype=dtype)(batch_normalization(dtype)(x))


def _filters(image_shape):
    stages = max(1, int(math.log2(min(image_shape[:2]) / 4)))
    return [min(32 * 2**i, 256) for i in range(stages)]


def _latent(x, latent_dim, gaussian):
    heads = ("mean", "log_variance") if gaussian else ("latent",)
    outputs = [layers.Dense(latent_dim, dtype="float32", name=name)(x) for name in heads]
    return outputs if gaussian else outputs[0]
