"""Attention between pixels beside Keras's layer."""

import keras
import numpy as np
import pytest
from keras import ops

from kgen.layers import GroupNormalization, SelfAttention2D


@pytest.mark.parametrize(("height", "width"), [(3, 4), (20, 16)], ids=["few", "many"])
def test_it_is_keras_attention_of_normalized_pixels(height, width):
    random = np.random.default_rng(0)
    x = random.normal(size=(2, height, width, 8)).astype("float32")
    layer = SelfAttention2D(heads=2, groups=4)
    np.testing.assert_array_equal(ops.convert_to_numpy(layer(x)), x)  # the identity, at first
    kernel = random.normal(size=(8, 24)).astype("float32")
    out = random.normal(size=(8, 8)).astype("float32")
    layer.asked.kernel.assign(kernel)
    layer.projection.kernel.assign(out)
    peer = keras.layers.MultiHeadAttention(num_heads=2, key_dim=4)
    pixels = ops.reshape(GroupNormalization(4)(x), (2, height * width, 8))
    peer(pixels, pixels)
    query, key, value = (k.reshape(8, 2, 4) for k in np.split(kernel, 3, axis=1))
    zeros = np.zeros((2, 4), "float32")
    peer.set_weights([query, zeros, key, zeros, value, zeros, out.reshape(2, 4, 8), np.zeros(8)])
    expected = x + ops.convert_to_numpy(peer(pixels, pixels)).reshape(x.shape)
    np.testing.assert_allclose(ops.convert_to_numpy(layer(x)), expected, atol=1e-4)
    again = SelfAttention2D.from_config(layer.get_config())
    assert (again.heads, again.groups) == (2, 4)


def test_channels_that_make_no_heads():
    with pytest.raises(ValueError, match="8 channels do not divide into heads=3"):
        SelfAttention2D(heads=3)(np.zeros((1, 2, 2, 8), "float32"))
