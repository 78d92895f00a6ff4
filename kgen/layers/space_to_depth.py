"""Blocks of pixels as channels, and back."""

import keras
from keras import ops

from kgen.arguments import positive

_ORDER = (0, 1, 3, 2, 4, 5)  # rows of a block beside its columns, and back


class _Blocks(keras.layers.Layer):
    """Base of both.

    Args:
        block: side of a block.
        **kwargs: as in Keras.
    """

    def __init__(self, block=2, **kwargs):
        super().__init__(**kwargs)
        self.block = positive(block, "block")
        self.built = True

    def get_config(self):
        """The arguments."""
        return {**super().get_config(), "block": self.block}


@keras.saving.register_keras_serializable("kgen")
class SpaceToDepth(_Blocks):
    """Blocks of pixels become the channels of one: the inverse of `DepthToSpace`.

    `(N, H, W, C)` to `(N, H / b, W / b, b * b * C)`. Channels of a block's first pixel come first.

    Args:
        block: b, a divisor of both sides.
        **kwargs: as in Keras.

    Raises:
        ValueError: for sides that do not divide into blocks.
    """

    def call(self, inputs):
        """See the class."""
        _, height, width, channels = self.compute_output_shape(inputs.shape)
        b = self.block
        blocks = ops.reshape(inputs, (-1, height, b, width, b, channels // b**2))
        return ops.reshape(ops.transpose(blocks, _ORDER), (-1, height, width, channels))

    def compute_output_shape(self, input_shape):
        """Smaller sides, more channels."""
        n, height, width, channels = input_shape
        b = self.block
        if height % b or width % b:
            raise ValueError(f"{height}x{width} pixels do not divide into blocks of {b}x{b}.")
        return n, height // b, width // b, b * b * channels


@keras.saving.register_keras_serializable("kgen")
class DepthToSpace(_Blocks):
    """Channels of a pixel become a block of pixels: the inverse of `SpaceToDepth`.

    `(N, H, W, b * b * C)` to `(N, H * b, W * b, C)`: sub-pixel convolutions (Shi et al., 2016) end
    so.

    Args:
        block: b; `b * b` divides the channels.
        **kwargs: as in Keras.

    Raises:
        ValueError: for channels that do not make blocks.
    """

    def call(self, inputs):
        """See the class."""
        _, height, width, channels = self.compute_output_shape(inputs.shape)
        b = self.block
        blocks = ops.reshape(inputs, (-1, height // b, width // b, b, b, channels))
        return ops.reshape(ops.transpose(blocks, _ORDER), (-1, height, width, channels))

    def compute_output_shape(self, input_shape):
        """Larger sides, fewer channels."""
        n, height, width, channels = input_shape
        b = self.block
        if channels % b**2:
            raise ValueError(f"{channels} channels do not make blocks of {b}x{b} pixels.")
        return n, height * b, width * b, channels // b**2
