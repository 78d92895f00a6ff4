"""Generators, discriminators and encoders of adversarial models: functions that return a model."""

import math

import keras
from keras import layers, ops

from kgen.layers.convolutions import Conv2D, Conv2DTranspose
from kgen.layers.initializers import RandomNormal
from kgen.layers.labels import OneHot
from kgen.layers.normalization import BatchNormalization, LayerNormalization
from kgen.layers.spectral_normalization import SpectralNormalization

__all__ = [
    "ADVERSARIAL_NETWORKS",
    "dcgan_discriminator",
    "dcgan_encoder",
    "dcgan_generator",
    "mlp_discriminator",
    "mlp_encoder",
    "mlp_generator",
    "resnet_discriminator",
    "resnet_encoder",
    "resnet_generator",
]


_LAST = "channels_last"  # whatever Keras is configured for: images are NHWC
_NORMALIZATIONS = ("batch", "layer", "spectral", None)
_OF_POINTS = (128, 128, 128)  # widths of the hidden layers
_JOINT_WIDTH = 512  # of the layer that sees an image's features and its latent


# Fully connected networks.


def mlp_generator(image_shape, latent_dim, *, num_classes=None, hidden=None, dtype=None):
    """Fully connected generator.

    Args:
        image_shape: `(H, W, C)`, or `(D,)` for points.
        latent_dim: width of the latent.
        num_classes: makes it conditional: the inputs are then `[latents, labels]`, the labels int32
            `(N,)`, and the label is concatenated with the latent as a one-hot vector.
        hidden: widths of the hidden layers, ReLUs; by default 256, 512 for
            images and 128, 128, 128 for points.
        dtype: Keras dtype policy; the output is float32.

    Returns:
        `keras.Model` from `(N, latent_dim)` to images in [-1, 1] (tanh), or to points (linear).
    """
    of_images = len(_checked_shape(image_shape)) == 3
    inputs, x = _generator_inputs(latent_dim, num_classes, dtype)
    for width in _widths(hidden, (256, 512) if of_images else _OF_POINTS):
        x = layers.Dense(width, "relu", dtype=dtype)(x)
    activation = "tanh" if of_images else None
    x = layers.Dense(math.prod(image_shape), activation, dtype="float32")(x)
    x = layers.Reshape(image_shape, dtype="float32")(x)
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
    inputs, x = _mlp_features(image_shape, num_classes, normalization, hidden, dtype)
    return _discriminator(inputs, x, latent_dim, heads, normalization, dtype=dtype)


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
    images, x = _mlp_features(image_shape, None, normalization, hidden, dtype)
    return _encoder(images, x, latent_dim, normalization)


def _mlp_features(image_shape, num_classes, normalization, hidden, dtype):
    of_images = len(_checked_shape(image_shape)) == 3
    _check_normalization(normalization)
    inputs, x = _labelled_inputs(image_shape, num_classes, dtype)
    x = layers.Flatten(_LAST, dtype=dtype)(x)
    for i, width in enumerate(_widths(hidden, (512, 256) if of_images else _OF_POINTS)):
        how = normalization if i else _of_weights(normalization)
        x = _weighted(layers.Dense(width, use_bias=_has_bias(how), dtype=dtype), how)(x)
        x = layers.ReLU(dtype=dtype)(_normalized(x, how, dtype))
    return inputs, x


def _widths(hidden, default):
    return default if hidden is None else hidden


# DCGAN.


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
    sizes = _sizes(_checked_images(image_shape, "dcgan"), stop=8)
    channels = [image_shape[-1], *_dcgan_filters(filters, len(sizes) - 1)]
    inputs, x = _generator_inputs(latent_dim, num_classes, dtype)
    smallest = (*sizes[-1], channels[-1])
    x = layers.Dense(math.prod(smallest), use_bias=False, dtype=dtype, **_small_normal())(x)
    x = layers.Reshape(smallest, dtype=dtype)(x)
    for stage in reversed(range(len(sizes) - 1)):
        x = layers.ReLU(dtype=dtype)(_batch_normalization(dtype)(x))
        last = stage == 0
        policy = "float32" if last else dtype
        x = Conv2DTranspose(
            channels[stage],
            4,
            2,
            "same",
            data_format=_LAST,
            activation="tanh" if last else None,
            use_bias=last,
            dtype=policy,
            **_small_normal(),
        )(x)
        x = _cropped(x, sizes[stage], policy)
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
    inputs, x = _dcgan_features(image_shape, num_classes, normalization, filters, dtype)
    return _discriminator(inputs, x, latent_dim, heads, normalization, _small_normal, dtype)


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
    images, x = _dcgan_features(image_shape, None, normalization, filters, dtype)
    return _encoder(images, x, latent_dim, normalization, _small_normal)


def _dcgan_features(image_shape, num_classes, normalization, filters, dtype):
    stages = len(_sizes(_checked_images(image_shape, "dcgan"), stop=8)) - 1
    _check_normalization(normalization)
    inputs, x = _labelled_inputs(image_shape, num_classes, dtype)
    for i, channels in enumerate(_dcgan_filters(filters, stages)):
        how = normalization if i else _of_weights(normalization)
        convolution = Conv2D(
            channels,
            4,
            2,
            "same",
            _LAST,
            use_bias=_has_bias(how),
            dtype=dtype,
            **_small_normal(),
        )
        x = _weighted(convolution, how)(x)
        x = _leaky_relu(_normalized(x, how, dtype), dtype)
    return inputs, x


def _dcgan_filters(filters, stages):
    return [filters * min(2**i, 8) for i in range(stages)]


def _small_normal(name="kernel_initializer"):
    """N(0, 0.02), drawn anew for each layer."""
    return {name: RandomNormal(stddev=0.02)}


# Residual networks.


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
    sizes = _sizes(_checked_images(image_shape, "resnet"), stop=8)
    inputs, x = _generator_inputs(latent_dim, num_classes, dtype)
    smallest = (*sizes[-1], filters)
    x = layers.Dense(math.prod(smallest), dtype=dtype)(x)
    x = layers.Reshape(smallest, dtype=dtype)(x)
    for size in sizes[-2::-1]:
        x = _block_up(x, filters, size, dtype)
    x = layers.ReLU(dtype=dtype)(_batch_normalization(dtype)(x))
    x = Conv2D(image_shape[-1], 3, 1, "same", _LAST, activation="tanh", dtype="float32")(x)
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
    inputs, x = _resnet_features(image_shape, num_classes, normalization, filters, dtype)
    return _discriminator(inputs, x, latent_dim, heads, normalization, dtype=dtype)


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
    images, x = _resnet_features(image_shape, None, normalization, filters, dtype)
    return _encoder(images, x, latent_dim, normalization)


def _resnet_features(image_shape, num_classes, normalization, filters, dtype):
    sizes = _sizes(_checked_images(image_shape, "resnet"), stop=12)
    _check_normalization(normalization)
    inputs, x = _labelled_inputs(image_shape, num_classes, dtype)
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
        x = layers.UpSampling2D(2, _LAST, "nearest", dtype=dtype)(x)
        return _cropped(x, size, dtype)

    shortcut = enlarged(_shortcut(filters, dtype)(x))
    x = layers.ReLU(dtype=dtype)(_batch_normalization(dtype)(x))
    x = _residual(filters, dtype)(enlarged(x))
    x = layers.ReLU(dtype=dtype)(_batch_normalization(dtype)(x))
    x = _residual(filters, dtype)(x)
    return layers.Add(dtype=dtype)([shortcut, x])


def _first_block(x, filters, normalization, dtype):
    """Residual block that halves images: nothing normalises or cuts the pixels themselves."""
    how = _of_weights(normalization)
    shortcut = _weighted(_shortcut(filters, dtype), how)(_halved(x, dtype))
    x = _weighted(_residual(filters, dtype), how)(x)
    x = layers.ReLU(dtype=dtype)(x)
    x = _weighted(_residual(filters, dtype), how)(x)
    return layers.Add(dtype=dtype)([shortcut, _halved(x, dtype)])


def _block_down(x, filters, normalization, dtype, halve):
    """Residual block that halves the size, or keeps it and then has an identity as shortcut."""
    shortcut = x
    for _ in range(2):
        x = layers.ReLU(dtype=dtype)(_normalized(x, normalization, dtype))
        x = _weighted(_residual(filters, dtype), normalization)(x)
    if halve:
        shortcut = _weighted(_shortcut(filters, dtype), normalization)(_halved(shortcut, dtype))
        x = _halved(x, dtype)
    return layers.Add(dtype=dtype)([shortcut, x])


def _residual(filters, dtype):
    """3x3 convolution whose variance allows for the ReLU before it, as in both papers' code."""
    initializer = keras.initializers.VarianceScaling(2.0, "fan_avg", "uniform")
    return Conv2D(filters, 3, 1, "same", _LAST, kernel_initializer=initializer, dtype=dtype)


def _shortcut(filters, dtype):
    return Conv2D(filters, 1, 1, "same", _LAST, dtype=dtype)


def _halved(x, dtype):
    return layers.AveragePooling2D(2, 2, "same", _LAST, dtype=dtype)(x)


ADVERSARIAL_NETWORKS = {
    "dcgan": (dcgan_generator, dcgan_discriminator, dcgan_encoder),
    "mlp": (mlp_generator, mlp_discriminator, mlp_encoder),
    "resnet": (resnet_generator, resnet_discriminator, resnet_encoder),
}


# What the families share: inputs and outputs.


def _generator_inputs(latent_dim, num_classes, dtype):
    """Inputs of a generator, and the tensor that its first layer sees."""
    latents = keras.Input((latent_dim,))
    if num_classes is None:
        return latents, latents
    labels = keras.Input((), dtype="int32")
    label = OneHot(num_classes, dtype=dtype)(labels)
    return [latents, labels], layers.Concatenate(dtype=dtype)([latents, label])


def _labelled_inputs(image_shape, num_classes, dtype):
    """Inputs of a discriminator, and the tensor that its first layer sees."""
    images = keras.Input(image_shape)
    if num_classes is None:
        return images, images
    labels = keras.Input((), dtype="int32")
    label = OneHot(num_classes, dtype=dtype)(labels)
    if len(image_shape) == 3:  # as maps: every pixel is told
        label = layers.Reshape((1, 1, num_classes), dtype=dtype)(label)
        label = layers.UpSampling2D(image_shape[:2], _LAST, dtype=dtype)(label)
    return [images, labels], layers.Concatenate(dtype=dtype)([images, label])


def _glorot_uniform(name="kernel_initializer"):
    return {name: keras.initializers.GlorotUniform()}


def _discriminator(
    inputs, x, latent_dim, heads, normalization, initializer=_glorot_uniform, dtype=None
):
    """Model from inputs, and latents, to scores and heads.

    Args:
        inputs: Keras tensor of images, or a list of those of images and labels.
        x: Keras tensor, what the family makes of them.
        initializer: function of an argument's name, which returns the argument.
    """

    def linear(width, **settings):
        return _weighted(layers.Dense(width, **settings, **initializer()), normalization)

    x = features = layers.Flatten(_LAST, dtype="float32", name="features")(x)
    if latent_dim is not None:
        if isinstance(inputs, list):
            raise ValueError(
                "A discriminator takes labels (num_classes) or latents (latent_dim), not both; got "
                f"both, latent_dim={latent_dim!r}."
            )
        latents = keras.Input((latent_dim,))
        inputs = [inputs, latents]
        x = layers.Concatenate(dtype=dtype)([features, latents])
        x = _leaky_relu(linear(_JOINT_WIDTH, dtype=dtype)(x), dtype)
    score = linear(1, dtype="float32")(x)
    outputs = [
        linear(width, dtype="float32", name=name)(features) for name, width in (heads or {}).items()
    ]
    return keras.Model(inputs, [score, *outputs] if outputs else score, name="discriminator")


def _encoder(images, x, latent_dim, normalization, initializer=_glorot_uniform):
    features = layers.Flatten(_LAST, dtype="float32", name="features")(x)
    latent = layers.Dense(latent_dim, dtype="float32", name="latent", **initializer())
    return keras.Model(images, _weighted(latent, normalization)(features), name="encoder")


# What the families share: layers.


def _batch_normalization(dtype):
    return BatchNormalization(momentum=0.9, epsilon=1e-5, dtype=dtype)


def _leaky_relu(x, dtype):
    return layers.LeakyReLU(negative_slope=0.2, dtype=dtype)(x)


def _weighted(layer, normalization):
    """A layer with weights, divided by their spectral norm where this is asked for."""
    if normalization != "spectral":
        return layer
    return SpectralNormalization(layer, name=layer.name)


def _normalized(x, normalization, dtype):
    """What follows a layer with weights where activations are normalised."""
    if normalization == "batch":
        return _batch_normalization(dtype)(x)
    if normalization == "layer":
        return LayerNormalization(dtype=dtype)(x)
    return x


def _of_weights(normalization):
    """The normalization of a first layer, whose activations are never normalised."""
    return normalization if normalization == "spectral" else None


def _has_bias(normalization):
    """Whether a layer has biases: not where the normalization that follows has them."""
    return normalization not in ("batch", "layer")


def _cropped(x, size, dtype):
    """The upper left part of images, of this size."""
    extra = [side - wanted for side, wanted in zip(x.shape[1:3], size, strict=True)]
    if not any(extra):
        return x
    return layers.Cropping2D(((0, extra[0]), (0, extra[1])), _LAST, dtype=dtype)(x)


def _sizes(image_shape, stop):
    """Sizes from the image's to the smallest: halved, at least once, while no side is below stop.

    Odd sides are halved upwards.
    """
    sizes = [tuple(image_shape[:2])]
    while len(sizes) == 1 or min(sizes[-1]) >= stop:
        sizes.append(tuple(-(-side // 2) for side in sizes[-1]))
    return sizes


# What the families share: checks.


def _checked_shape(image_shape):
    if len(image_shape) not in (1, 3):
        raise ValueError(
            "image_shape must be (H, W, C), or (D,) for points; got "
            f"{tuple(image_shape)}. Grey images have C = 1."
        )
    return image_shape


def _checked_images(image_shape, network):
    if len(_checked_shape(image_shape)) == 3 and min(image_shape[:2]) >= 8:
        return image_shape
    raise ValueError(
        f'network="{network}" is for images (H, W, C) with sides of at least 8 pixels; got '
        f'image_shape={tuple(image_shape)}. For points and smaller images take network="mlp".'
    )


def _check_normalization(normalization):
    if normalization not in _NORMALIZATIONS:
        raise ValueError(
            f"Unknown normalization {normalization!r}; known are "
            f"{', '.join(repr(name) for name in _NORMALIZATIONS)}."
        )
