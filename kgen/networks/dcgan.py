"""Networks after DCGAN (Radford et al., 2016)."""

import math

import keras
from keras import layers

from kgen.layers.convolutions import Conv2D, Conv2DTranspose
from kgen.networks.common import (
    CHANNELS_LAST,
    batch_normalization,
    check_normalization,
    checked_image_shape,
    cropped,
    discriminator_inputs,
    discriminator_model,
    doubled_channels,
    encoder_model,
    generator_inputs,
    halved_sizes,
    has_bias,
    leaky_relu,
    normalization_of_first_layer,
    normalize_activations,
    normalize_weights,
    small_normal,
)


def dcgan_generator(image_shape, latent_dim, *, num_classes=None, filters=64, dtype=None):
    """Generator after DCGAN (Radford et al., 2016): transposed convolutions, from 4 to 7 pixels up.

    A linear layer, then transposed 4x4 convolutions of stride 2, each followed by batch
    normalization and ReLU, but for the last one, which ends in tanh. All kernels start from
    N(0, 0.02). The mirror of `dcgan_discriminator`. Where a stride halved an odd side upwards,
    doubling it is one pixel too many: it is cropped. Radford et al. have 5x5 kernels, 128 filters,
    latents uniform on [-1, 1] where kgen's come from N(0, I), no biases, and scales of batch
    normalization that start from N(1, 0.02), not 1.

    Args:
        image_shape: `(H, W, C)`; sides of any size from 8, also odd ones.
        latent_dim: width of the latent.
        num_classes: makes it conditional: the inputs are then `[latents, labels]`, the labels int32
            `(N,)`, and the label is concatenated with the latent as a one-hot vector.
        filters: channels of the last stage but one; they double with each stage towards the latent,
            up to eight times as many.
        dtype: Keras dtype policy; the output is float32.

    Returns:
        `keras.Model` from `(N, latent_dim)` to images in [-1, 1].

    Raises:
        ValueError: for points, and images with sides below 8.
    """
    sizes = halved_sizes(checked_image_shape(image_shape, "dcgan"), stop=8)
    channels = [image_shape[-1], *doubled_channels(filters, len(sizes) - 1)]
    inputs, x = generator_inputs(latent_dim, num_classes, dtype)
    smallest = (*sizes[-1], channels[-1])
    x = layers.Dense(
        math.prod(smallest), use_bias=False, dtype=dtype, kernel_initializer=small_normal()
    )(x)
    x = layers.Reshape(smallest, dtype=dtype)(x)
    for stage in reversed(range(len(sizes) - 1)):
        x = layers.ReLU(dtype=dtype)(batch_normalization(dtype)(x))
        last = stage == 0
        policy = "float32" if last else dtype
        x = Conv2DTranspose(
            channels[stage],
            4,
            2,
            "same",
            data_format=CHANNELS_LAST,
            activation="tanh" if last else None,
            use_bias=last,
            dtype=policy,
            kernel_initializer=small_normal(),
        )(x)
        x = cropped(x, sizes[stage], policy)
    return keras.Model(inputs, x, name="generator")


def dcgan_discriminator(
    image_shape,
    *,
    num_classes=None,
    latent_dim=None,
    heads=None,
    normalization="batch",
    filters=64,
    dtype=None,
):
    """Discriminator after DCGAN (Radford et al., 2016): strided convolutions to 4 to 7 pixels.

    4x4 convolutions of stride 2 and leaky ReLUs of slope 0.2, with normalization after every
    convolution but the first; then a linear layer. All kernels start from N(0, 0.02). A layer has
    biases where no normalization follows. It differs from theirs as `dcgan_generator` does. The
    layer `"features"` holds what the score is computed from, float32 `(N, F)`.

    Args:
        image_shape: `(H, W, C)`; sides of any size from 8, also odd ones.
        num_classes: makes it conditional (Mirza and Osindero, 2014): the inputs are then `[images,
            labels]`, the labels int32 `(N,)`, and the first layer sees the label as `num_classes`
            further channels, one of ones and the others of zeros.
        latent_dim: makes it a discriminator of pairs (BiGAN; Donahue et al., 2017): the inputs are
            then `[images, latents]`, and a hidden layer of 512 sees features and latent.
        heads: further outputs, as a dictionary from name to width: linear layers of these names on
            the features.
        normalization: `"batch"`; `"layer"`, which takes mean and variance of each image over
            pixels and channels, so that a gradient penalty of single images makes sense (Gulrajani
            et al., 2017); `"spectral"`, which divides all weights by their spectral norms (Miyato
            et al., 2018); or None.
        filters: channels of the first stage; they double with each stage, up to eight times as
            many.
        dtype: Keras dtype policy; the outputs are float32.

    Returns:
        `keras.Model` from `(N, H, W, C)` to scores `(N, 1)` without activation, or, with heads, to
        the list `[scores, *heads]` in the order of `heads`.

    Raises:
        ValueError: for points, images with sides below 8, an unknown normalization, or both
            `num_classes` and `latent_dim`.
    """
    inputs, x = _features(image_shape, num_classes, normalization, filters, dtype)
    return discriminator_model(inputs, x, latent_dim, heads, normalization, small_normal, dtype)


def dcgan_encoder(image_shape, latent_dim, *, normalization="batch", filters=64, dtype=None):
    """Convolutional encoder: `dcgan_discriminator` with a latent instead of a score.

    Args:
        image_shape: `(H, W, C)`; sides of any size from 8, also odd ones.
        latent_dim: width of the latent.
        normalization: as in `dcgan_discriminator`.
        filters: as in `dcgan_discriminator`.
        dtype: Keras dtype policy; the output is float32.

    Returns:
        `keras.Model` from `(N, H, W, C)` to `(N, latent_dim)`.
    """
    images, x = _features(image_shape, None, normalization, filters, dtype)
    return encoder_model(images, x, latent_dim, normalization, small_normal)


def _features(image_shape, num_classes, normalization, filters, dtype):
    stages = len(halved_sizes(checked_image_shape(image_shape, "dcgan"), stop=8)) - 1
    check_normalization(normalization)
    inputs, x = discriminator_inputs(image_shape, num_classes, dtype)
    for i, channels in enumerate(doubled_channels(filters, stages)):
        kind = normalization if i else normalization_of_first_layer(normalization)
        convolution = Conv2D(
            channels,
            4,
            2,
            "same",
            CHANNELS_LAST,
            use_bias=has_bias(kind),
            dtype=dtype,
            kernel_initializer=small_normal(),
        )
        x = normalize_weights(convolution, kind)(x)
        x = leaky_relu(normalize_activations(x, kind, dtype), dtype)
    return inputs, x
