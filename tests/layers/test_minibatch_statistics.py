"""The standard deviation within groups of images, beside NumPy and the authors' formula."""

import keras
import numpy as np
import pytest
from keras import ops

from kgen.engine import input_gradient
from kgen.layers import MinibatchStandardDeviation

SHAPE = (3, 2, 5)
BATCHES = [1, 3, 5, 8, 14]


def numpy(tensor):
    return ops.convert_to_numpy(ops.cast(tensor, "float32"))


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def members(n, group_size):
    """The images of each group."""
    groups = 1 if group_size is None else max(n // group_size, 1)
    return [np.arange(group, n, groups) for group in range(groups)]


def deviations(x, group_size, epsilon=1e-8):
    """The number of each image, in float64."""
    x, found = x.reshape(len(x), -1).astype("float64"), np.empty(len(x))
    for group in members(len(x), group_size):
        found[group] = np.sqrt(x[group].var(axis=0) + epsilon).mean()
    return found


@pytest.mark.parametrize("group_size", [1, 3, 4, None])
@pytest.mark.parametrize("n", BATCHES)
def test_one_more_channel_that_is_the_same_at_every_pixel(n, group_size):
    x = 3 + normal(n, *SHAPE)
    layer = MinibatchStandardDeviation(group_size)
    y = numpy(layer(x))
    assert y.shape == layer.compute_output_shape(x.shape) == (n, 3, 2, 6)
    np.testing.assert_array_equal(y[..., :-1], x)
    expected = np.broadcast_to(deviations(x, group_size)[:, None, None], y.shape[:-1])
    np.testing.assert_allclose(y[..., -1], expected, rtol=1e-4, atol=1e-6)


def test_groups_are_those_of_the_authors():
    """`reshape(x, [G, M, ...])`, moments over the first axis, `tile(y, [G, 1, ...])`."""
    x = normal(12, *SHAPE)
    y = x.reshape(4, 3, *SHAPE)
    y = np.sqrt(np.square(y - y.mean(axis=0)).mean(axis=0) + 1e-8)
    y = np.tile(y.mean(axis=(1, 2, 3)), 4)
    np.testing.assert_allclose(numpy(MinibatchStandardDeviation()(x))[:, 0, 0, -1], y, rtol=1e-5)


def test_a_batch_that_is_no_multiple_has_larger_groups():
    assert [len(group) for group in members(9, 4)] == [5, 4]  # as the docstring says
    x = np.zeros((9, 1), "float32")
    x[[0, 2]] = 1  # of the first group: images 0, 2, 4, 6 and 8
    found = numpy(MinibatchStandardDeviation()(x))[:, 1]
    np.testing.assert_allclose(found, [np.sqrt(0.24), 1e-4] * 4 + [np.sqrt(0.24)], rtol=1e-4)


def test_images_that_are_the_same_and_points():
    layer = MinibatchStandardDeviation(epsilon=1e-6)
    np.testing.assert_allclose(numpy(layer(np.full((8, 7), 5.0)))[:, -1], 1e-3, rtol=1e-3)
    x = normal(8, 7)
    np.testing.assert_allclose(numpy(layer(x))[:, -1], deviations(x, 4, 1e-6), rtol=1e-4)


@pytest.mark.parametrize("n", [3, 9])
def test_first_and_second_derivatives(n):
    """Beside the derivative by hand and its finite differences, in float64."""
    x, weight, out = normal(n, *SHAPE), normal(n, 1, 1, 1, seed=1), normal(n, *SHAPE, seed=2)
    groups = members(n, 4)

    def slope(x):
        """Of `sum(weight * deviation)` by the inputs."""
        found = np.empty_like(x)
        for group in groups:
            far = x[group] - x[group].mean(axis=0)
            sigma = np.sqrt(np.square(far).mean(axis=0) + 1e-2)
            places = np.prod(SHAPE) * len(group)
            found[group] = np.sum(weight[group]) * far / sigma / places
        return found

    layer = MinibatchStandardDeviation(epsilon=1e-2)

    def score(x):
        return ops.convert_to_tensor(weight) * layer(x)[:, :1, :1, -1:]

    first = lambda x: input_gradient(score, x)  # noqa: E731
    second = input_gradient(
        lambda x: ops.convert_to_tensor(out) * first(x), ops.convert_to_tensor(x)
    )
    np.testing.assert_allclose(
        numpy(first(ops.convert_to_tensor(x))), slope(x.astype("float64")), rtol=1e-3, atol=1e-6
    )
    step = 1e-5 * out.astype("float64")
    expected = (slope(x + step) - slope(x - step)) / 2e-5  # symmetric: along out is by out
    np.testing.assert_allclose(numpy(second), expected, rtol=1e-3, atol=1e-5)


def test_images_alone_have_finite_derivatives():
    layer = MinibatchStandardDeviation()
    first = lambda x: input_gradient(lambda x: layer(x)[..., -1:], x)  # noqa: E731
    second = input_gradient(lambda x: ops.square(first(x)), ops.convert_to_tensor(normal(1, 4)))
    np.testing.assert_array_equal(numpy(second), np.zeros((1, 4)))


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="graphs of unknown batches")
@pytest.mark.parametrize("jit_compile", [False, True])
def test_batches_of_which_the_graph_knows_no_number(jit_compile):
    import tensorflow as tf

    layer = MinibatchStandardDeviation()
    signature = [tf.TensorSpec((None, *SHAPE))]
    function = tf.function(layer, input_signature=signature, jit_compile=jit_compile)
    for n in (3, 8, 9):
        x = normal(n, *SHAPE)
        np.testing.assert_allclose(function(x), layer(x), rtol=1e-5)


@keras.saving.register_keras_serializable("kgen_tests")
class Shown(keras.Model):
    """A model whose batch is unknown where Keras asks for its outputs' shape."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.statistics = MinibatchStandardDeviation()

    def call(self, inputs):
        return self.statistics(2 * inputs)


def test_symbolic_calls():
    assert Shown()(keras.Input(SHAPE)).shape == (None, 3, 2, 6)
    inputs = keras.Input(SHAPE)
    network = keras.Model(inputs, MinibatchStandardDeviation()(inputs))
    assert network.output.shape == (None, 3, 2, 6)
    x = normal(6, *SHAPE)
    np.testing.assert_allclose(network.predict(x, batch_size=4, verbose=0)[4:], network(x[4:]))


def test_statistics_of_half_precision_are_computed_in_float32():
    """The sum of squares of deviations of 200 overflows float16."""
    x = np.random.default_rng(0).choice([-200.0, 200.0], (8, 5, 5, 2)).astype("float32")
    y = MinibatchStandardDeviation(dtype="mixed_float16")(x)
    assert keras.backend.standardize_dtype(y.dtype) == "float16"
    np.testing.assert_allclose(numpy(y)[:, 0, 0, -1], deviations(x, 4), rtol=1e-3)


def test_files(tmp_path):
    layer = MinibatchStandardDeviation(None, 1e-4)
    network = keras.Sequential([keras.Input(SHAPE), layer])
    network.save(tmp_path / "network.keras")
    loaded = keras.saving.load_model(tmp_path / "network.keras")
    assert loaded.layers[0].get_config() == layer.get_config()
    x = normal(6, *SHAPE)
    np.testing.assert_array_equal(numpy(loaded(x)), numpy(network(x)))


def test_bad_arguments():
    with pytest.raises(ValueError, match="group_size must be a positive integer; got 0"):
        MinibatchStandardDeviation(0)
    with pytest.raises(ValueError, match="epsilon must be a number above 0; got 0"):
        MinibatchStandardDeviation(epsilon=0)
    with pytest.raises(ValueError, match=r"all but N is known; got shape \(None, None, None, 3\)"):
        MinibatchStandardDeviation()(keras.Input((None, None, 3)))
