"""The U-Net of pix2pix (Isola et al., 2017)."""

import math

import keras
from keras import layers

from kgen.arguments import positive
from kgen.layers.convolutions import Conv2D
from kgen.networks.common import (
    CHANNELS_LAST,
    doubled_channels,
    has_bias,
    leaky_relu,
    small_normal,
)
from kgen.networks.image_to_image import (
    check_multiples,
    check_settings,
    checked_image_sides,
    doubled,
    drop,
    images_of_any_size,
    normalize_images,
)

_DEEPEST = 8  # that of the paper, for 256x256 pixels
_STAGES_WITH_DROPOUT = 3


def unet(
    image_shape,
    channels=None,
    *,
    depth=None,
    filters=64,
    dropout=0.5,
    normalization="batch",
    upsampling="transpose",
    dtype=None,
):
    """U-Net from images to images (Isola et al., 2017, appendix 6.1.1; Ronneberger et al., 2015).

    4x4 convolutions of stride 2 with leaky ReLUs of slope 0.2 halve the size `depth` times, and
    transposed ones with ReLUs double it again; each of those is given, beside what comes from
    below, what the encoder had at its size. All convolutions but the first, the innermost and the
    last are followed by normalization. Dropout, in training, is what makes pix2pix's outputs
    random: it is in the first three stages of the decoder, as the paper says (the authors' PyTorch
    code leaves the first one out and has it in the fourth), as far as their sides are at most an
    eighth of the image's: in one stage of four, in two of five.
    Kernels start from N(0, 0.02), scales of batch normalization from N(1, 0.02). As in the authors'
    code, no convolution but the last has biases where batch normalization has them.

    The network takes images of all sizes whose sides are multiples of `2**depth`.

    Args:
        image_shape: `(H, W, C)`; sides are multiples of `2**depth`.
        channels: of the outputs; C by default.
        depth: how many times the size is halved; by default as often as it can be, at most 8 times,
            which is the paper's network for 256x256 pixels.
        filters: channels of the first stage; they double with each stage, up to eight times as
            many.
        dropout: share of values that are dropped, in [0, 1); 0 for no dropout.
        normalization: `"batch"`; `"instance"`, of each image alone, without scales, with which all
            convolutions have biases (as in CycleGAN's code); or None.
        upsampling: `"transpose"`, or `"resize"`: nearest neighbours and a 3x3 convolution in the
            place of each transposed one, against checkerboards (Odena et al., 2016).
        dtype: Keras dtype policy; the output is float32.

    Returns:
        `keras.Model` from `(N, H, W, C)` to `(N, H, W, channels)` in [-1, 1].

    Raises:
        ValueError: for points, sides that are no multiples of `2**depth` (the message names the
            nearest ones), and unknown settings.
    """
    check_settings(normalization, upsampling, dropout)
    widths = doubled_channels(positive(filters, "filters"), _checked_depth(image_shape, depth))
    use_bias = has_bias(normalization)
    images = x = images_of_any_size(image_shape[-1])
    encoded = []
    for stage, width in enumerate(widths):
        x = leaky_relu(x, dtype) if stage else x
        x = Conv2D(
            width,
            4,
            2,
            "same",
            CHANNELS_LAST,
            use_bias=use_bias,
            dtype=dtype,
            kernel_initializer=small_normal(),
        )(x)
        if 0 < stage < len(widths) - 1:
            x = normalize_images(x, normalization, dtype)
        encoded.append(x)
    for stage, (width, beside) in enumerate(zip(widths[-2::-1], encoded[-2::-1], strict=True)):
        x = layers.ReLU(dtype=dtype)(x)
        x = doubled(x, width, 4, upsampling, dtype, use_bias=use_bias)
        x = normalize_images(x, normalization, dtype)
        if stage < min(_STAGES_WITH_DROPOUT, len(widths) - 3):
            x = drop(x, dropout, dtype)
        x = layers.Concatenate(dtype=dtype)([beside, x])
    x = layers.ReLU(dtype=dtype)(x)
    channels = image_shape[-1] if channels is None else positive(channels, "channels")
    x = doubled(x, channels, 4, upsampling, "float32", activation="tanh")
    return keras.Model(images, x, name="generator")


def _checked_depth(image_shape, depth):
    sides = checked_image_sides(image_shape, "unet")
    if depth is None:
        common = math.gcd(*sides)
        depth = max(min((common & -common).bit_length() - 1, _DEEPEST), 1)
        check_multiples(image_shape, 2**depth, "unet")
    else:
        depth = positive(depth, "depth")
        check_multiples(image_shape, 2**depth, f"unet with depth={depth}")
    return depth
