"""Denoisers of diffusion: networks that are told the time."""

import math

import keras
from keras import layers

from kgen.arguments import below, positive
from kgen.layers.attention import SelfAttention2D
from kgen.layers.convolutions import Conv2D
from kgen.layers.embeddings import FourierFeatures, SinusoidalEmbedding
from kgen.layers.labels import OneHot
from kgen.layers.normalization import AdaptiveGroupNormalization, GroupNormalization
from kgen.layers.space_to_depth import DepthToSpace, SpaceToDepth
from kgen.networks.common import CHANNELS_LAST, checked_shape, cropped, halved_sizes

GROUPS = 8  # of channels, which are multiples of it
_WAVES = 64  # of the embedding of time


def denoising_unet(
    image_shape,
    *,
    num_classes=None,
    beside=None,
    filters=32,
    widths=None,
    blocks=2,
    patch_size=None,
    attention=8,
    dropout=0.0,
    dtype=None,
):
    """U-Net of diffusion (Ho et al., 2020; Dhariwal and Nichol, 2021) on patches of an image.

    Patches of the image become the channels of a pixel, which saves the layers at full size most of
    the work (Luhman and Luhman, 2022). At each size there are residual blocks, each of two 3x3
    convolutions after group normalisation and SiLU, the second of which is told time and class by
    scale and shift; at small sizes each block is followed by self-attention. On the way up each
    block is given, beside what comes from below, what a block had on the way down. What ends a
    block, and the network, is zero at first.

    Args:
        image_shape: `(H, W, C)` with sides from 8 upward. Odd ones are halved upward.
        num_classes: makes it conditional: it is given labels as a third input, int32 `(N,)`; those
            that are no class, such as -1, are no label.
        beside: makes it conditional: channels of a second image of the same size, the third input.
        filters: channels at the largest size, a multiple of 8.
        widths: channels of each size in multiples of `filters`; by default 1, 2, 2, ... for as many
            sizes as there are until a side is 8 or less.
        blocks: residual blocks of each size, on either way.
        patch_size: side of the patches; by default 1 up to 16 pixels, 2 above, 4 above 64.
        attention: at most which side there is attention; 0 for none.
        dropout: share of values that are dropped in training before each second convolution.
        dtype: Keras dtype policy; the output is float32.

    Returns:
        `keras.Model` from `[noisy images, times (N,)]`, and conditions, to `(N, H, W, C)`.

    Raises:
        ValueError: for points, small images, and channels that are no multiples of 8.
    """
    if len(checked_shape(image_shape)) != 3 or min(image_shape[:2]) < 8:
        raise ValueError(
            "denoising_unet is for images (H, W, C) with sides of at least 8 pixels; got "
            f"image_shape={tuple(image_shape)}. For points take denoising_mlp."
        )
    size, channels = min(image_shape[:2]), image_shape[-1]
    blocks, dropout = positive(blocks, "blocks"), below(dropout, 1, "dropout")
    if patch_size is None:
        patch_size = 1 if size <= 16 else 2 if size <= 64 else 4
    patch_size = positive(patch_size, "patch_size")
    inputs, x, told = _inputs(image_shape, num_classes, beside, 4 * filters, dtype)
    pad = [-side % patch_size for side in image_shape[:2]]
    if any(pad):
        x = layers.ZeroPadding2D(((0, pad[0]), (0, pad[1])), CHANNELS_LAST, dtype=dtype)(x)
    if patch_size > 1:
        x = SpaceToDepth(patch_size, dtype=dtype)(x)
    if widths is None:
        widths = [1] + [2] * (len(halved_sizes(x.shape[1:3], stop=9)) - 1)
    widths = [positive(filters * width, "widths times filters") for width in widths]
    if any(width % GROUPS for width in widths):
        raise ValueError(f"Channels must be multiples of {GROUPS}; got {widths}.")

    def block(x, width):
        x = _residual_block(x, told, width, dropout, dtype)
        return SelfAttention2D(dtype=dtype)(x) if min(x.shape[1:3]) <= attention else x

    x = _convolution(x, widths[0], dtype)
    sizes, skips = [], []
    for level, width in enumerate(widths):
        if level:
            sizes.append(tuple(x.shape[1:3]))
            x = Conv2D(width, 3, 2, "same", CHANNELS_LAST, dtype=dtype)(x)
        for _ in range(blocks):
            x = block(x, width)
            skips.append(x)
    x = _residual_block(block(x, widths[-1]), told, widths[-1], dropout, dtype)
    for level in reversed(range(len(widths))):
        if level < len(widths) - 1:
            x = layers.UpSampling2D(2, CHANNELS_LAST, dtype=dtype)(x)
            x = _convolution(cropped(x, sizes.pop(), dtype), widths[level], dtype)
        for _ in range(blocks):
            x = block(layers.Concatenate(dtype=dtype)([x, skips.pop()]), widths[level])
    x = GroupNormalization(GROUPS, "silu", dtype=dtype)(x)
    x = _convolution(x, channels * patch_size**2, "float32", "zeros")
    if patch_size > 1:
        x = DepthToSpace(patch_size, dtype="float32")(x)
    return keras.Model(inputs, cropped(x, image_shape[:2], "float32"), name="denoiser")


def denoising_mlp(image_shape, *, num_classes=None, hidden=(128, 128, 128), dtype=None):
    """Fully connected denoiser: residual blocks of two layers, told the time.

    Args:
        image_shape: `(D,)` for points, of whose coordinates it sees sines and cosines, too; images
            are flattened.
        num_classes: as in `denoising_unet`.
        hidden: widths of the blocks, all the same but for the projections between others.
        dtype: Keras dtype policy; the output is float32.

    Returns:
        `keras.Model` from `[noisy points, times (N,)]`, and labels, to `(N, D)`.
    """
    inputs, x, told = _inputs(checked_shape(image_shape), num_classes, None, hidden[0], dtype)
    if len(image_shape) == 3:
        x = layers.Flatten(CHANNELS_LAST, dtype=dtype)(x)
    else:
        x = FourierFeatures(dtype=dtype)(x)
    x = layers.Dense(hidden[0], dtype=dtype)(x)
    for width in hidden:
        y = layers.Dense(width, dtype=dtype)(layers.Activation("silu", dtype=dtype)(x))
        y = layers.Add(dtype=dtype)([y, layers.Dense(width, dtype=dtype)(told)])
        y = layers.Dense(width, dtype=dtype)(layers.Activation("silu", dtype=dtype)(y))
        x = x if x.shape[-1] == width else layers.Dense(width, dtype=dtype)(x)
        x = layers.Add(dtype=dtype)([x, y])
    x = layers.Activation("silu", dtype=dtype)(x)
    x = layers.Dense(math.prod(image_shape), kernel_initializer="zeros", dtype="float32")(x)
    x = layers.Reshape(image_shape, dtype="float32")(x)
    return keras.Model(inputs, x, name="denoiser")


def _inputs(image_shape, num_classes, beside, width, dtype):
    """Inputs; the tensor that the first layer sees; the embedding of time and label."""
    noisy, times = keras.Input(image_shape), keras.Input(())
    inputs, x = [noisy, times], noisy
    embedding = SinusoidalEmbedding(_WAVES, dtype=dtype)(times)
    told = layers.Dense(width, dtype=dtype)(embedding)
    if num_classes is not None:
        inputs.append(keras.Input((), dtype="int32"))
        label = OneHot(num_classes, dtype=dtype)(inputs[-1])
        label = layers.Dense(width, use_bias=False, dtype=dtype)(label)
        told = layers.Add(dtype=dtype)([told, label])
    if beside is not None:
        inputs.append(keras.Input((*image_shape[:2], beside)))
        x = layers.Concatenate(dtype=dtype)([noisy, inputs[-1]])
    told = layers.Dense(width, dtype=dtype)(layers.Activation("silu", dtype=dtype)(told))
    return inputs, x, layers.Activation("silu", dtype=dtype)(told)


def _residual_block(x, told, width, dropout, dtype):
    y = _convolution(GroupNormalization(GROUPS, "silu", dtype=dtype)(x), width, dtype)
    y = AdaptiveGroupNormalization(GROUPS, "silu", dtype=dtype)([y, told])
    if dropout:
        y = layers.Dropout(dropout, dtype=dtype)(y)
    y = _convolution(y, width, dtype, "zeros")
    if x.shape[-1] != width:
        x = Conv2D(width, 1, 1, "same", CHANNELS_LAST, dtype=dtype)(x)
    return layers.Add(dtype=dtype)([x, y])


def _convolution(x, width, dtype, initializer="glorot_uniform"):
    return Conv2D(width, 3, 1, "same", CHANNELS_LAST, kernel_initializer=initializer, dtype=dtype)(
        x
    )
