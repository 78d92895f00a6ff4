"""Numbers as waves, and blocks of pixels as channels."""

import numpy as np
import pytest
from keras import ops

from kgen.layers import DepthToSpace, FourierFeatures, SinusoidalEmbedding, SpaceToDepth


def test_times_are_embedded_as_steps_of_ddpm():
    times = np.array([0.0, 0.37, 1.0], "float32")
    found = ops.convert_to_numpy(SinusoidalEmbedding(8)(times))
    angles = 1000 * times[:, None].astype("float64") * 10_000.0 ** (-np.arange(4) / 4)
    expected = np.concatenate([np.sin(angles), np.cos(angles)], axis=1)
    np.testing.assert_allclose(found, expected, atol=1e-3)
    with pytest.raises(ValueError, match="width must be even"):
        SinusoidalEmbedding(7)


def test_features_of_coordinates():
    points = np.array([[0.25, -0.5]], "float32")
    layer = FourierFeatures(2)
    found = ops.convert_to_numpy(layer(points))
    x = points.astype("float64")
    waves = [np.sin(np.pi * x), np.cos(np.pi * x), np.sin(2 * np.pi * x), np.cos(2 * np.pi * x)]
    np.testing.assert_allclose(found, np.concatenate([x, *waves], axis=1), atol=1e-6)
    assert found.shape[1] == 2 * (1 + 2 * 2)
    assert FourierFeatures.from_config(layer.get_config()).count == 2


@pytest.mark.parametrize("block", [1, 2, 3])
def test_blocks_become_channels_and_come_back(block):
    images = np.random.default_rng(0).normal(size=(2, 6, 12, 3)).astype("float32")
    deep = SpaceToDepth(block)(images)
    assert tuple(deep.shape) == SpaceToDepth(block).compute_output_shape(images.shape)
    assert deep.shape[1:] == (6 // block, 12 // block, 3 * block**2)
    corner = images[:, :block, :block].reshape(2, -1)
    np.testing.assert_array_equal(ops.convert_to_numpy(deep)[:, 0, 0], corner)
    np.testing.assert_array_equal(ops.convert_to_numpy(DepthToSpace(block)(deep)), images)


def test_sides_and_channels_that_make_no_blocks():
    with pytest.raises(ValueError, match="6x5 pixels do not divide into blocks of 2x2"):
        SpaceToDepth(2)(np.zeros((1, 6, 5, 1), "float32"))
    with pytest.raises(ValueError, match="6 channels do not make blocks of 2x2"):
        DepthToSpace(2)(np.zeros((1, 6, 6, 6), "float32"))
