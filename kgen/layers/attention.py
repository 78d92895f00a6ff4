"""Attention between the pixels of an image."""

import keras
from keras import ops

from kgen.arguments import positive
from kgen.layers.normalization import GroupNormalization

FEW = 256  # pixels: of more, a kernel that never holds all weights is the better choice
HIDDEN = -1e9  # before the softmax: a weight of nothing


def attention(query, key, value, mask=None):
    r"""Scaled dot-product attention, $\mathrm{softmax}(Q K^T / \sqrt d) V$.

    Vaswani et al. (2017, equation 1), weights in float32. Two products of matrices: for few pixels
    a third faster than `keras.ops.dot_product_attention`, which transposes for each.

    Args:
        query, key, value: tensors `(N, heads, pixels, d)`.
        mask: booleans that go with `(pixels, pixels)`, which pixel sees which; None: all.

    Returns:
        As the query.
    """
    scale = query.shape[-1] ** -0.5
    match = ops.matmul(scale * query, ops.transpose(key, (0, 1, 3, 2)))
    match = ops.cast(match, "float32")
    if mask is not None:
        match = ops.where(mask, match, HIDDEN)
    return ops.matmul(ops.cast(ops.softmax(match), value.dtype), value)


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
        asked = ops.reshape(self.asked(x), heads)
        if height * width > FEW:
            seen = ops.dot_product_attention(*ops.unstack(asked, 3, axis=2))
        else:
            asked = ops.transpose(asked, (2, 0, 3, 1, 4))
            seen = ops.transpose(attention(*ops.unstack(asked, 3, axis=0)), (0, 2, 1, 3))
        seen = self.projection(ops.reshape(seen, (-1, height * width, channels)))
        return inputs + ops.reshape(seen, (-1, height, width, channels))

    def compute_output_shape(self, input_shape):
        """That of the inputs."""
        return input_shape

    def get_config(self):
        """The arguments."""
        return {**super().get_config(), "heads": self.heads, "groups": self.groups}
