"""Attention between the pixels of an image."""

import keras
from keras import ops

from kgen.arguments import positive
from kgen.layers.normalization import GroupNormalization


@keras.saving.register_keras_serializable("kgen")
class SelfAttention2D(keras.layers.Layer):
    """Residual self-attention between all pixels of an image (Ho et al., 2020, appendix B).

    `x + projection(attention(GroupNorm(x)))` with several heads (Vaswani et al., 2017); the
    projection is zero at first, so that the layer begins as the identity.

    Args:
        heads: how many; a divisor of the channels.
        groups: of the normalisation, a divisor of the channels.
        **kwargs: as in Keras.

    Call arguments:
        inputs: `(N, H, W, channels)`.

    Returns:
        As the inputs.

    Raises:
        ValueError: for channels that do not divide into heads or groups.
    """

    def __init__(self, heads=4, groups=8, **kwargs):
        super().__init__(**kwargs)
        self.heads, self.groups = positive(heads, "heads"), positive(groups, "groups")

    def build(self, input_shape):
        """Make normalisation and projections."""
        channels = input_shape[-1]
        if channels % self.heads:
            raise ValueError(f"{channels} channels do not divide into heads={self.heads} heads.")
        dtype = self.dtype_policy
        self.normalization = GroupNormalization(self.groups, dtype=dtype, name="normalization")
        self.asked = keras.layers.Dense(3 * channels, dtype=dtype, name="query_key_value")
        self.projection = keras.layers.Dense(
            channels, kernel_initializer="zeros", dtype=dtype, name="projection"
        )
        self.normalization.build(input_shape)
        for layer in (self.asked, self.projection):
            layer.build((None, None, channels))

    def call(self, inputs):
        """See the class."""
        _, height, width, channels = inputs.shape
        x = ops.reshape(self.normalization(inputs), (-1, height * width, channels))
        heads = (-1, height * width, 3, self.heads, channels // self.heads)
        query, key, value = ops.unstack(ops.reshape(self.asked(x), heads), 3, axis=2)
        seen = ops.dot_product_attention(query, key, value)
        seen = self.projection(ops.reshape(seen, (-1, height * width, channels)))
        return inputs + ops.reshape(seen, (-1, height, width, channels))

    def compute_output_shape(self, input_shape):
        """That of the inputs."""
        return input_shape

    def get_config(self):
        """The arguments."""
        return {**super().get_config(), "heads": self.heads, "groups": self.groups}
