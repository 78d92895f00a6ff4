import keras
import numpy as np
import pytest
from keras import layers, ops

from kgen.engine import input_gradient
from kgen.layers import ReflectionPadding2D

PADDINGS = [1, 3, 0, ((2, 1), (0, 3)), ((0, 1), (0, 0))]


def borders(padding):
    return ((padding, padding), (padding, padding)) if isinstance(padding, int) else padding


def images(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


@pytest.mark.parametrize("padding", PADDINGS, ids=str)
def test_it_is_that_of_numpy_and_its_gradient_is_the_transpose(padding):
    layer, x = ReflectionPadding2D(padding), images(2, 4, 5, 3)
    expected = np.pad(x, ((0, 0), *borders(padding), (0, 0)), "reflect")
    np.testing.assert_array_equal(ops.convert_to_numpy(layer(x)), expected)
    assert layer.compute_output_shape(x.shape) == expected.shape
    assert layer.compute_output_shape((None, None, 5, 3)) == (None, None, expected.shape[2], 3)
    weight = images(*expected.shape, seed=1)
    weighted = lambda x: layer(x) * ops.convert_to_tensor(weight)  # noqa: E731
    number = np.arange(x.size).reshape(x.shape)  # of the pixel from which each one is copied
    number = np.pad(number, ((0, 0), *borders(padding), (0, 0)), "reflect")
    gradient = np.bincount(number.ravel(), weight.ravel(), x.size).reshape(x.shape)
    found = input_gradient(weighted, ops.convert_to_tensor(x))
    found = ops.convert_to_numpy(ops.stop_gradient(found))
    np.testing.assert_allclose(found, gradient, atol=1e-5)


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16", "mixed_float16"])
def test_sides_may_be_known_late(policy, tmp_path):
    inputs = keras.Input((None, None, 2))
    padded = ReflectionPadding2D(((1, 2), (3, 0)), dtype=policy)(inputs)
    model = keras.Model(inputs, layers.Activation("linear", dtype="float32")(padded))
    assert model.output_shape == (None, None, None, 2)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.layers[1].padding == ((1, 2), (3, 0))
    x = np.round(images(3, 5, 4, 2))  # whole numbers, which half precision holds
    for network in (model, loaded):
        expected = np.pad(x, ((0, 0), (1, 2), (3, 0), (0, 0)), "reflect")
        np.testing.assert_array_equal(network.predict(x, verbose=0), expected)


@pytest.mark.parametrize("padding", [-1, 1.5, True, (1, 2), ((1, 2), (3, -4)), "same", None])
def test_bad_paddings_are_refused(padding):
    with pytest.raises(ValueError, match="padding must be an integer from 0 upward"):
        ReflectionPadding2D(padding)


@pytest.mark.parametrize("padding", [3, ((0, 0), (4, 0)), ((0, 3), (0, 0))], ids=str)
def test_images_that_are_too_small_are_refused(padding):
    layer = ReflectionPadding2D(padding)
    with pytest.raises(ValueError, match=r"fewer pixels than it has; got padding=.* for [HW] = "):
        layer(images(1, 3, 4, 1))
    with pytest.raises(ValueError, match="Take a smaller padding, or larger images"):
        layer(keras.Input((3, 4, 1)))
    with pytest.raises(ValueError, match=r"takes images \(N, H, W, C\); got shape"):
        layer(images(3, 4, 1))
