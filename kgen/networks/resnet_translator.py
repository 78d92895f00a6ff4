"""The residual generator of CycleGAN and CUT (Zhu et al., 2017; Park et al., 2020)."""

import keras
from keras import layers

from kgen.arguments import positive
from kgen.layers.convolutions import Conv2D
from kgen.layers.padding import ReflectionPadding2D
from kgen.networks.common import CHANNELS_LAST, has_bias, small_normal
from kgen.networks.image_to_image import (
    check_multiples,
    check_settings,
    doubled,
    drop,
    images_of_any_size,
    normalize_images,
)


def resnet_translator(
    image_shape,
    channels=None,
    *,
    blocks=9,
    filters=64,
    normalization="instance",
    upsampling="transpose",
    dropout=0.0,
    dtype=None,
):
    """Residual network from images to images (Johnson et al., 2016; Zhu et al., 2017, section 7.2).

    A 7x7 convolution; two of 3x3 pixels and stride 2; `blocks` residual blocks of two 3x3
    convolutions; two transposed ones of 3x3 pixels and stride 2; a 7x7 convolution and tanh. What
    is not strided sees images continued by reflection. Normalization and a ReLU follow each
    convolution, but for the last one, and no ReLU the second one of a block. Kernels start from
    N(0, 0.02). Strided convolutions pad where Keras does, which is the mirror image of the authors'
    network in PyTorch.

    The layers whose activations CUT compares (Park et al., 2020, section 4) are named: they are
    those of the authors' layers 0, 4, 8, 12 and 16, whose network takes 3x3 convolutions of stride
    1 and blurs before it halves, so that their second and third have twice the sides.

    | name | its output | sides | channels |
    |---|---|---|---|
    | `feature_0` | the pixels, continued by reflection | H + 6, W + 6 | C |
    | `feature_1` | the first strided convolution, not normalized | H / 2, W / 2 | 2 filters |
    | `feature_2` | the second one, not normalized | H / 4, W / 4 | 4 filters |
    | `feature_3` | the first residual block | H / 4, W / 4 | 4 filters |
    | `feature_4` | the fifth residual block, or the last of fewer | H / 4, W / 4 | 4 filters |

    The network takes images of all sizes whose sides are multiples of 4, from 8 upward.

    Args:
        image_shape: `(H, W, C)`; sides are multiples of 4, from 8 upward.
        channels: of the outputs; C by default.
        blocks: positive integer; Zhu et al. take 9 for 256x256 pixels and 6 for 128x128.
        filters: channels of the first convolution; the blocks have four times as many.
        normalization: `"instance"`, of each image alone, without scales, with which convolutions
            have biases as in the authors' code; `"batch"`, whose scales start from N(1, 0.02); or
            None.
        upsampling: `"transpose"`, or `"resize"`: nearest neighbours and a 3x3 convolution in the
            place of each transposed one, against checkerboards (Odena et al., 2016).
        dropout: share of values that are dropped in training within each block, in [0, 1).
        dtype: Keras dtype policy; the output is float32.

    Returns:
        `keras.Model` from `(N, H, W, C)` to `(N, H, W, channels)` in [-1, 1].

    Raises:
        ValueError: for points, sides that are no multiples of 4 or below 8 (the message names the
            nearest ones), and unknown settings.
    """
    check_settings(normalization, upsampling, dropout)
    check_multiples(image_shape, 4, "resnet_translator", least=2)
    blocks, filters = positive(blocks, "blocks"), positive(filters, "filters")
    use_bias = has_bias(normalization)

    def convolved(x, width, size, strides=1, padding="valid", name=None):
        return Conv2D(
            width,
            size,
            strides,
            padding,
            CHANNELS_LAST,
            use_bias=use_bias,
            dtype=dtype,
            kernel_initializer=small_normal(),
            name=name,
        )(x)

    def finished(x):
        return layers.ReLU(dtype=dtype)(normalize_images(x, normalization, dtype))

    def block(x, name):
        shortcut = x
        x = convolved(ReflectionPadding2D(1, dtype=dtype)(x), 4 * filters, 3)
        x = drop(finished(x), dropout, dtype)
        x = convolved(ReflectionPadding2D(1, dtype=dtype)(x), 4 * filters, 3)
        x = normalize_images(x, normalization, dtype)
        return layers.Add(dtype=dtype, name=name)([shortcut, x])

    images = images_of_any_size(image_shape[-1])
    x = ReflectionPadding2D(3, dtype=dtype, name="feature_0")(images)
    x = finished(convolved(x, filters, 7))
    x = finished(convolved(x, 2 * filters, 3, 2, "same", "feature_1"))
    x = finished(convolved(x, 4 * filters, 3, 2, "same", "feature_2"))
    names = {min(5, blocks): "feature_4", 1: "feature_3"}
    for number in range(1, blocks + 1):
        x = block(x, names.get(number))
    if blocks == 1:  # which has both names
        x = layers.Identity(dtype=dtype, name="feature_4")(x)
    for width in (2 * filters, filters):
        x = finished(doubled(x, width, 3, upsampling, dtype, use_bias=use_bias))
    channels = image_shape[-1] if channels is None else positive(channels, "channels")
    x = ReflectionPadding2D(3, dtype="float32")(x)
    x = Conv2D(
        channels,
        7,
        data_format=CHANNELS_LAST,
        activation="tanh",
        dtype="float32",
        kernel_initializer=small_normal(),
    )(x)
    return keras.Model(images, x, name="generator")
