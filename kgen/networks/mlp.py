"""Fully connected networks."""

import math

import keras
from keras import layers

from kgen.networks.common import (
    CHANNELS_LAST,
    check_normalization,
    checked_shape,
    discriminator_inputs,
    discriminator_model,
    encoder_model,
    generator_inputs,
    has_bias,
    normalization_of_first_layer,
    normalize_activations,
    normalize_weights,
)

_WIDTHS_FOR_POINTS = (128, 128, 128)  # of the hidden layers


def mlp_generator(
    image_shape, latent_dim, *, num_classes=None, hidden=None, near_latents=False, dtype=None
):
    """Fully connected generator.

    Args:
        image_shape: `(H, W, C)`, or `(D,)` for points.
        latent_dim: width of the latent.
        num_classes: makes it conditional: the inputs are then `[latents, labels]`, the labels int32
            `(N,)`, and the label is concatenated with the latent as a one-hot vector.
        hidden: widths of the hidden layers, ReLUs; by default 256, 512 for
            images and 128, 128, 128 for points.
        near_latents: whether points, of as many numbers as latents, begin near latents over this
            number: as a Gaussian cloud, which is added to what the layers make.
        dtype: Keras dtype policy; the output is float32.

    Returns:
        `keras.Model` from `(N, latent_dim)` to images in [-1, 1] (tanh), or to points (linear).

    Raises:
        ValueError: if no points of as many numbers as latents are to be near them.
    """
    of_images = len(checked_shape(image_shape)) == 3
    if near_latents and tuple(image_shape) != (latent_dim,):
        raise ValueError(
            f"near_latents is for points of shape ({latent_dim},), as latents; got {image_shape}."
        )
    default_widths = (256, 512) if of_images else _WIDTHS_FOR_POINTS
    inputs, x = generator_inputs(latent_dim, num_classes, dtype)
    for width in default_widths if hidden is None else hidden:
        x = layers.Dense(width, "relu", dtype=dtype)(x)
    activation = "tanh" if of_images else None
    x = layers.Dense(math.prod(image_shape), activation, dtype="float32")(x)
    x = layers.Reshape(image_shape, dtype="float32")(x)
    if near_latents:
        latents = keras.tree.flatten(inputs)[0]
        near = layers.Rescaling(1 / latent_dim, dtype="float32")(latents)
        x = layers.Add(dtype="float32")([near, x])
    return keras.Model(inputs, x, name="generator")


def mlp_discriminator(
    image_shape,
    *,
    num_classes=None,
    latent_dim=None,
    heads=None,
    normalization=None,
    hidden=None,
    dtype=None,
):
    """Fully connected discriminator.

    Args:
        image_shape: `(H, W, C)`, or `(D,)` for points.
        num_classes: makes it conditional, as in `dcgan_discriminator`.
        latent_dim: makes it one of pairs of image and latent, as in `dcgan_discriminator`.
        heads: further outputs, as in `dcgan_discriminator`.
        normalization: after each hidden layer but the first: `"batch"` or `"layer"`; `"spectral"`
            of all weights; or None.
        hidden: widths of the hidden layers, ReLUs; by default 512, 256 for
            images and 128, 128, 128 for points.
        dtype: Keras dtype policy; the outputs are float32.

    Returns:
        `keras.Model` from `(N, *image_shape)` to scores `(N, 1)` without activation, or to a list
        of them and the heads.

    Raises:
        ValueError: for an unknown normalization, or both `num_classes` and `latent_dim`.
    """
    inputs, x = _features(image_shape, num_classes, normalization, hidden, dtype)
    return discriminator_model(inputs, x, latent_dim, heads, normalization, dtype=dtype)


def mlp_encoder(image_shape, latent_dim, *, normalization=None, hidden=None, dtype=None):
    """Fully connected encoder: `mlp_discriminator` with a latent instead of a score.

    Args:
        image_shape: `(H, W, C)`, or `(D,)` for points.
        latent_dim: width of the latent.
        normalization: as in `mlp_discriminator`.
        hidden: as in `mlp_discriminator`.
        dtype: Keras dtype policy; the output is float32.

    Returns:
        `keras.Model` from `(N, *image_shape)` to `(N, latent_dim)`.
    """
    images, x = _features(image_shape, None, normalization, hidden, dtype)
    return encoder_model(images, x, latent_dim, normalization)


def _features(image_shape, num_classes, normalization, hidden, dtype):
    of_images = len(checked_shape(image_shape)) == 3
    default_widths = (512, 256) if of_images else _WIDTHS_FOR_POINTS
    check_normalization(normalization)
    inputs, x = discriminator_inputs(image_shape, num_classes, dtype)
    x = layers.Flatten(CHANNELS_LAST, dtype=dtype)(x)
    for i, width in enumerate(default_widths if hidden is None else hidden):
        kind = normalization if i else normalization_of_first_layer(normalization)
        x = normalize_weights(layers.Dense(width, use_bias=has_bias(kind), dtype=dtype), kind)(x)
        x = layers.ReLU(dtype=dtype)(normalize_activations(x, kind, dtype))
    return inputs, x
