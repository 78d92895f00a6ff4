"""What networks share: inputs, outputs, normalisation, sizes, checks."""

import keras
from keras import layers
from keras.initializers import GlorotUniform

from kgen.layers.initializers import RandomNormal
from kgen.layers.labels import OneHot
from kgen.layers.normalization import (
    BatchNormalization,
    InstanceNormalization,
    LayerNormalization,
)
from kgen.layers.spectral_normalization import SpectralNormalization

CHANNELS_LAST = "channels_last"  # whatever Keras is configured for: images are NHWC
_NORMALIZATIONS = ("batch", "layer", "spectral", None)
_JOINT_WIDTH = 512  # of the layer that sees an image's features and its latent


def generator_inputs(latent_dim, num_classes, dtype):
    """Inputs of a generator, and the tensor that its first layer sees."""
    latents = keras.Input((latent_dim,))
    if num_classes is None:
        return latents, latents
    labels = keras.Input((), dtype="int32")
    label = OneHot(num_classes, dtype=dtype)(labels)
    return [latents, labels], layers.Concatenate(dtype=dtype)([latents, label])


def discriminator_inputs(image_shape, num_classes, dtype):
    """Inputs of a discriminator, and the tensor that its first layer sees."""
    images = keras.Input(image_shape)
    if num_classes is None:
        return images, images
    labels = keras.Input((), dtype="int32")
    label = OneHot(num_classes, dtype=dtype)(labels)
    if len(image_shape) == 3:  # as maps: every pixel is told
        label = layers.Reshape((1, 1, num_classes), dtype=dtype)(label)
        label = layers.UpSampling2D(image_shape[:2], CHANNELS_LAST, dtype=dtype)(label)
    return [images, labels], layers.Concatenate(dtype=dtype)([images, label])


def discriminator_model(
    inputs, x, latent_dim, heads, normalization, initializer=GlorotUniform, dtype=None
):
    """Model from inputs, and latents, to scores and heads.

    Args:
        inputs: Keras tensor of images, or a list of those of images and labels.
        x: Keras tensor, what the family makes of them.
        initializer: function that makes the initializer of a kernel, anew for each layer.
    """

    def linear(width, **settings):
        layer = layers.Dense(width, kernel_initializer=initializer(), **settings)
        return normalize_weights(layer, normalization)

    x = features = layers.Flatten(CHANNELS_LAST, dtype="float32", name="features")(x)
    if latent_dim is not None:
        if isinstance(inputs, list):
            raise ValueError(
                "A discriminator takes labels (num_classes) or latents (latent_dim), not both; got "
                f"both, latent_dim={latent_dim!r}."
            )
        latents = keras.Input((latent_dim,))
        inputs = [inputs, latents]
        x = layers.Concatenate(dtype=dtype)([features, latents])
        x = leaky_relu(linear(_JOINT_WIDTH, dtype=dtype)(x), dtype)
    score = linear(1, dtype="float32")(x)
    outputs = [
        linear(width, dtype="float32", name=name)(features) for name, width in (heads or {}).items()
    ]
    return keras.Model(inputs, [score, *outputs] if outputs else score, name="discriminator")


def encoder_model(images, x, latent_dim, normalization, initializer=GlorotUniform):
    """Model from images to latents; arguments as in `discriminator_model`."""
    features = layers.Flatten(CHANNELS_LAST, dtype="float32", name="features")(x)
    latent = layers.Dense(
        latent_dim, kernel_initializer=initializer(), dtype="float32", name="latent"
    )
    return keras.Model(images, normalize_weights(latent, normalization)(features), name="encoder")


def batch_normalization(dtype, **settings):
    """The layer as DCGAN's code sets it."""
    return BatchNormalization(momentum=0.9, epsilon=1e-5, dtype=dtype, **settings)


def small_normal():
    """N(0, 0.02) for a kernel, made anew for each layer."""
    return RandomNormal(stddev=0.02)


def leaky_relu(x, dtype):
    """Of slope 0.2."""
    return layers.LeakyReLU(negative_slope=0.2, dtype=dtype)(x)


def normalize_weights(layer, normalization):
    """A layer with weights, divided by their spectral norm where this is asked for."""
    if normalization != "spectral":
        return layer
    return SpectralNormalization(layer, name=layer.name)


def normalize_activations(x, normalization, dtype):
    """What follows a layer with weights where activations are normalised."""
    if normalization == "batch":
        return batch_normalization(dtype)(x)
    if normalization == "layer":
        return LayerNormalization(dtype=dtype)(x)
    if normalization == "instance":
        return InstanceNormalization(dtype=dtype)(x)
    return x


def normalization_of_first_layer(normalization):
    """The normalization of a first layer, whose activations are never normalised."""
    return normalization if normalization == "spectral" else None


def has_bias(normalization):
    """Whether a layer has biases: not where the normalization that follows has them."""
    return normalization not in ("batch", "layer")


def cropped(x, size, dtype):
    """The upper left part of images, of this size."""
    extra = [side - wanted for side, wanted in zip(x.shape[1:3], size, strict=True)]
    if not any(extra):
        return x
    return layers.Cropping2D(((0, extra[0]), (0, extra[1])), CHANNELS_LAST, dtype=dtype)(x)


def doubled_channels(filters, stages):
    """Channels of stages that halve the size: doubled with each, up to eight times as many."""
    return [filters * min(2**i, 8) for i in range(stages)]


def halved_sizes(image_shape, stop):
    """Sizes from the image's to the smallest: halved, at least once, while no side is below stop.

    Odd sides are halved upwards.
    """
    sizes = [tuple(image_shape[:2])]
    while len(sizes) == 1 or min(sizes[-1]) >= stop:
        sizes.append(tuple(-(-side // 2) for side in sizes[-1]))
    return sizes


def checked_shape(image_shape):
    """Return an image shape; raise a ValueError unless it is `(H, W, C)` or `(D,)`."""
    if len(image_shape) not in (1, 3):
        raise ValueError(
            "image_shape must be (H, W, C), or (D,) for points; got "
            f"{tuple(image_shape)}. Grey images have C = 1."
        )
    return image_shape


def checked_image_shape(image_shape, network):
    """Return an image shape; raise a ValueError unless it is of images from 8x8 upward."""
    if len(checked_shape(image_shape)) == 3 and min(image_shape[:2]) >= 8:
        return image_shape
    raise ValueError(
        f'network="{network}" is for images (H, W, C) with sides of at least 8 pixels; got '
        f'image_shape={tuple(image_shape)}. For points and smaller images take network="mlp".'
    )


def check_normalization(normalization, known=_NORMALIZATIONS):
    """Raise a ValueError for an unknown normalization."""
    if normalization not in known:
        raise ValueError(
            f"Unknown normalization {normalization!r}; known are "
            f"{', '.join(repr(name) for name in known)}."
        )
