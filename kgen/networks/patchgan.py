"""Discriminators of patches (Isola et al., 2017)."""

import keras
from keras import layers

from kgen.arguments import one_of, positive, whole
from kgen.layers.convolutions import Conv2D
from kgen.networks.common import (
    CHANNELS_LAST,
    check_normalization,
    doubled_channels,
    has_bias,
    leaky_relu,
    normalization_of_first_layer,
    normalize_weights,
    small_normal,
)
from kgen.networks.image_to_image import checked_image_sides, images_of_any_size, normalize_images

_NORMALIZATIONS = ("batch", "instance", "layer", "spectral", None)
_HALVINGS = {1: 0, 16: 1, 34: 2, 70: 3, 142: 4, 286: 5}  # by the side of a patch


def patchgan(
    image_shape,
    condition_channels=0,
    *,
    receptive_field=70,
    filters=64,
    normalization="batch",
    dtype=None,
):
    """Discriminator that gives each patch of an image a score (Isola et al., 2017, appendix 6.1.2).

    4x4 convolutions with leaky ReLUs of slope 0.2, of stride 2 but for the last two: for patches of
    70x70 pixels C64-C128-C256-C512 of strides 2, 2, 2 and 1, then one to the scores. Patches of one
    pixel have 1x1 convolutions, C64-C128. What follows all convolutions but the first and the last
    is normalized. Kernels start from N(0, 0.02), scales of batch normalization from N(1, 0.02). A
    layer has biases where the normalization that follows has none.

    The network takes images of all sizes that leave a score; odd sides are halved upwards (in the
    authors' code downwards).

    Args:
        image_shape: `(H, W, C)`.
        condition_channels: channels of the image that goes with each one; the inputs are then
            `[images, condition]`, concatenated in this order. 0 for images alone.
        receptive_field: side of the patches in pixels: 1, 16, 34, 70, 142 or 286; or `"image"`, the
            smallest of them that covers the image.
        filters: channels of the first stage; they double with each stage, up to eight times as
            many.
        normalization: `"batch"`; `"instance"`, of each image alone, without scales (as in
            CycleGAN's code); `"layer"` or `"spectral"`, as in `dcgan_discriminator`; or None. With
            `"instance"` and `"layer"` statistics of the whole image reach each score.
        dtype: Keras dtype policy; the scores are float32.

    Returns:
        `keras.Model` from `(N, H, W, C)` to scores `(N, h, w, 1)` without activation, one for each
        patch; for 256x256 images and patches of 70x70 pixels 30x30.

    Raises:
        ValueError: for points, images so small that no score is left (the message names the
            receptive fields that fit), and unknown settings.
    """
    check_normalization(normalization, _NORMALIZATIONS)
    condition_channels = whole(condition_channels, "condition_channels")
    side = _checked_receptive_field(image_shape, receptive_field)
    inputs = images = images_of_any_size(image_shape[-1])
    if condition_channels:
        inputs = [images, images_of_any_size(condition_channels)]
        images = layers.Concatenate(dtype=dtype)(inputs)
    widths = doubled_channels(positive(filters, "filters"), max(_HALVINGS[side], 1) + 1)

    def convolved(x, width, strides, kind, policy=dtype, use_bias=True):
        if side > 1 and strides == 1:  # as the authors pad, one pixel at each border
            x = layers.ZeroPadding2D(1, CHANNELS_LAST, dtype=policy)(x)
        convolution = Conv2D(
            width,
            1 if side == 1 else 4,
            strides,
            "valid" if strides == 1 else "same",
            CHANNELS_LAST,
            use_bias=use_bias,
            dtype=policy,
            kernel_initializer=small_normal(),
        )
        return normalize_weights(convolution, kind)(x)

    x = images
    for stage, width in enumerate(widths):
        kind = normalization if stage else normalization_of_first_layer(normalization)
        strides = 2 if stage < _HALVINGS[side] else 1
        x = convolved(x, width, strides, kind, use_bias=has_bias(kind))
        x = leaky_relu(normalize_images(x, kind, dtype), dtype)
    last = normalization_of_first_layer(normalization)  # nothing normalizes scores
    scores = convolved(x, 1, 1, last, "float32")
    return keras.Model(inputs, scores, name="discriminator")


def _checked_receptive_field(image_shape, side):
    """The side of the patches; raises a ValueError if the image is too small, or too large."""
    sides = checked_image_sides(image_shape, "patchgan")
    side = one_of(side, [*_HALVINGS, "image"], "receptive_field")
    fitting = [s for s in _HALVINGS if min(sides) >= _smallest_image(s)]
    if side == "image":
        covering = [s for s in _HALVINGS if s >= max(sides)]
        if not covering:
            raise ValueError(
                f'receptive_field="image" is for images of up to {max(_HALVINGS)} pixels; got '
                f"image_shape={tuple(image_shape)}. Take one of {fitting}."
            )
        side = covering[0]
    if side not in fitting:
        raise ValueError(
            f"receptive_field={side} is for images from {_smallest_image(side)} pixels upward: of "
            f"smaller ones no score is left; got image_shape={tuple(image_shape)}. For these take "
            f"one of {fitting}."
        )
    return side


def _smallest_image(side):
    """The least side of an image that leaves a score: 3 pixels before the last two convolutions."""
    return 1 if side == 1 else 2 ** (_HALVINGS[side] + 1) + 1
