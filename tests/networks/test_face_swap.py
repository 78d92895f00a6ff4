"""Networks of face swaps: what one makes is what the next one takes."""

import numpy as np
import pytest
from keras import ops

from kgen import networks


@pytest.mark.parametrize("shape", [(8, 8, 1), (16, 12, 1), (45, 37, 3), (64, 64, 3)])
@pytest.mark.parametrize("policy", [None, "mixed_bfloat16"])
def test_images_come_back_in_their_size(shape, policy):
    options = {"filters": 4, "dtype": policy}
    encoder = networks.swap_encoder(shape, 5, **options)
    intermediate = networks.swap_intermediate(shape, 5, **options)
    decoder = networks.swap_decoder(shape, intermediate.output_shape[1:], **options)
    codes = encoder(np.zeros((2, *shape), "float32"))
    assert codes.shape == (2, 5) and "float32" in str(codes.dtype)
    images = decoder(intermediate(codes))
    assert images.shape == (2, *shape) and "float32" in str(images.dtype)
    assert np.abs(ops.convert_to_numpy(images)).max() <= 1


def test_channels_double_and_the_features_are_twice_the_smallest():
    encoder = networks.swap_encoder((64, 64, 3), 5, filters=4)
    assert [layer.filters for layer in encoder.layers if hasattr(layer, "filters")] == [
        4,
        8,
        16,
        32,
    ]
    intermediate = networks.swap_intermediate((64, 64, 3), 5, filters=4)
    assert intermediate.output_shape == (None, 8, 8, 16)
    decoder = networks.swap_decoder((64, 64, 3), (8, 8, 16), filters=4)
    assert [layer.filters for layer in decoder.layers if hasattr(layer, "filters")] == [32, 8, 4, 3]
    with pytest.raises(ValueError, match="filters must be"):
        networks.swap_encoder((64, 64, 3), 5, filters=0)
