import keras
import numpy as np
import pytest
from keras import layers, ops

import kgen
from kgen.layers import SpectralNormalization

KINDS = {
    "Dense": (lambda **k: layers.Dense(4, **k), (7,)),
    "Conv1D": (lambda **k: layers.Conv1D(4, 3, **k), (8, 3)),
    "Conv2D": (lambda **k: layers.Conv2D(4, 3, **k), (6, 6, 3)),
    "grouped Conv2D": (lambda **k: layers.Conv2D(4, 3, groups=2, **k), (6, 6, 6)),
    "Conv2DTranspose": (lambda **k: layers.Conv2DTranspose(4, 3, 2, **k), (5, 5, 3)),
    "DepthwiseConv2D": (lambda **k: layers.DepthwiseConv2D(3, depth_multiplier=2, **k), (6, 6, 2)),
    "kgen.Conv2D": (lambda **k: kgen.layers.Conv2D(4, 4, 2, "same", **k), (6, 6, 3)),
    "kgen.Conv2DTranspose": (
        lambda **k: kgen.layers.Conv2DTranspose(4, 4, 2, "same", **k),
        (5, 5, 3),
    ),
    "Embedding": (lambda **k: layers.Embedding(5, 3, **k), (6,)),
}
every_kind = pytest.mark.parametrize("kind", KINDS)


def inputs_of(kind, n=8):
    random = np.random.default_rng(0)
    shape = (n, *KINDS[kind][1])
    if kind == "Embedding":
        return random.integers(0, 5, shape).astype("int32")
    return random.uniform(-1, 1, shape).astype("float32")


def wrapped(kind, iterations=1, **settings):
    """A wrapped layer, built, with a kernel of our own."""
    make, shape = KINDS[kind]
    layer = SpectralNormalization(make(**settings), iterations)
    layer.build((None, *shape))
    variable = kernel_of(layer)
    variable.assign(np.random.default_rng(1).normal(size=variable.shape) * 0.7)
    return layer


def kernel_of(layer):
    inner = layer.layer
    return inner.embeddings if isinstance(inner, layers.Embedding) else inner.kernel


def numpy(tensor):
    return ops.convert_to_numpy(ops.stop_gradient(ops.convert_to_tensor(tensor)))


def matrix(kind, kernel):
    """The kernel as in the paper, output channels by everything else, float64."""
    kernel = np.asarray(kernel, "float64")
    if kind.endswith("Transpose"):
        kernel = np.moveaxis(kernel, -1, -2)
    if kind == "DepthwiseConv2D":
        kernel = kernel.reshape(*kernel.shape[:2], 1, -1)
    return kernel.reshape(-1, kernel.shape[-1]).T


def direction(vector):
    return vector / np.linalg.norm(vector)


def with_kernel(kind, layer, kernel, **settings):
    """The same layer without the wrapper, with another kernel."""
    plain = KINDS[kind][0](**settings)
    plain.build((None, *KINDS[kind][1]))
    plain.set_weights([kernel, *layer.layer.get_weights()[1:]])
    return plain


@every_kind
def test_sigma_is_the_largest_singular_value(kind):
    layer, x = wrapped(kind, iterations=60), inputs_of(kind)
    kernel = numpy(kernel_of(layer))
    outputs = numpy(layer(x, training=True))
    left, values, _ = np.linalg.svd(matrix(kind, kernel))
    assert layer.u.shape == (len(left),)
    assert abs(left[:, 0] @ numpy(layer.u)) == pytest.approx(1, abs=1e-4)
    expected = numpy(with_kernel(kind, layer, kernel / values[0])(x))
    np.testing.assert_allclose(outputs, expected, atol=1e-4)
    np.testing.assert_allclose(numpy(layer(x)), expected, atol=1e-4)
    np.testing.assert_array_equal(numpy(kernel_of(layer)), kernel)


@pytest.mark.parametrize("iterations", [1, 3])
@every_kind
def test_each_call_in_training_is_a_step_of_the_power_method(kind, iterations):
    layer, x = wrapped(kind, iterations), inputs_of(kind)
    kernel = numpy(kernel_of(layer))
    w, u = matrix(kind, kernel), numpy(layer.u).astype("float64")
    assert np.linalg.norm(u) == pytest.approx(1, abs=1e-6)
    for _ in range(2):
        for _ in range(iterations):  # lines 1 and 2 of algorithm 1
            v = direction(w.T @ u)
            u = direction(w @ v)
        outputs = numpy(layer(x, training=True))
        expected = with_kernel(kind, layer, (kernel / (u @ w @ v)).astype("float32"))(x)
        np.testing.assert_allclose(outputs, numpy(expected), atol=1e-5)
        np.testing.assert_allclose(numpy(layer.u), u, atol=1e-5)
    np.testing.assert_array_equal(numpy(kernel_of(layer)), kernel)


@every_kind
def test_inference_moves_nothing(kind):
    layer, x = wrapped(kind), inputs_of(kind)
    layer(x, training=True)
    before = layer.get_weights()
    outputs = [numpy(layer(x)), numpy(layer(x, training=False))]
    np.testing.assert_array_equal(*outputs)
    for a, b in zip(before, layer.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    kernel = numpy(kernel_of(layer))
    sigma = np.linalg.norm(matrix(kind, kernel).T @ numpy(layer.u))
    expected = with_kernel(kind, layer, (kernel / sigma).astype("float32"))(x)
    np.testing.assert_allclose(outputs[0], numpy(expected), atol=1e-5)


@keras.saving.register_keras_serializable("kgen_tests")
class Cubes(kgen.GenerativeModel):
    """Mean cube of a network's outputs."""

    players = {"model": ["network"]}

    def objective(self, batch, training):
        outputs = ops.cast(self.network(batch, training=training), "float32")
        return ops.mean(ops.power(outputs, 3))


def fitted(layer, x, learning_rate):
    network = keras.Sequential([keras.Input(x.shape[1:]), layer])
    model = Cubes(network=network)
    model.compile(keras.optimizers.SGD(learning_rate))
    model.fit(x, batch_size=len(x), verbose=0)
    return model


@pytest.mark.parametrize("kind", ["Dense", "Conv2D", "kgen.Conv2D", "kgen.Conv2DTranspose"])
def test_the_gradient_is_that_of_equation_12(kind):
    layer, x = wrapped(kind), inputs_of(kind)
    kernel = numpy(kernel_of(layer))
    w = matrix(kind, kernel)
    v = direction(w.T @ numpy(layer.u))
    u = direction(w @ v)
    sigma = u @ w @ v
    plain = with_kernel(kind, layer, (kernel / sigma).astype("float32"))

    fitted(plain, x, 10.0)  # what a step takes away is the gradient by the normalised kernel
    by_normalized = (w / sigma - matrix(kind, numpy(plain.kernel))) / 10
    if kind == "Dense":
        outputs = x @ (kernel / sigma)  # the bias starts at 0
        by_hand = x.T @ (3 * outputs**2) / outputs.size
        np.testing.assert_allclose(by_normalized, by_hand.T, atol=1e-6)
    fitted(layer, x, 10.0)
    found = (w - matrix(kind, numpy(kernel_of(layer)))) / 10
    expected = (by_normalized - np.sum(by_normalized * w / sigma) * np.outer(u, v)) / sigma
    largest = np.abs(expected).max()
    np.testing.assert_allclose(found, expected, atol=1e-4 * largest)
    assert np.abs(found - by_normalized / sigma).max() > 0.01 * largest  # sigma has its share
    np.testing.assert_allclose(numpy(layer.u), u, atol=1e-5)


def test_training_moves_u_and_evaluation_does_not():
    layer, x = wrapped("Conv2D"), inputs_of("Conv2D")
    before = numpy(layer.u)
    model = fitted(layer, x, learning_rate=1e-4)
    moved = numpy(layer.u)
    assert np.abs(moved - before).max() > 1e-3
    model.evaluate(x, verbose=0)
    model.predict(x, verbose=0)
    np.testing.assert_array_equal(numpy(layer.u), moved)
    model.fit(x, batch_size=len(x), epochs=100, verbose=0)
    left = np.linalg.svd(matrix("Conv2D", numpy(kernel_of(layer))))[0]
    assert abs(left[:, 0] @ numpy(layer.u)) == pytest.approx(1, abs=1e-3)


@keras.saving.register_keras_serializable("kgen_tests")
class Penalized(Cubes):
    """The layer in inference and in training, and a gradient penalty, in one loss."""

    def objective(self, batch, training):
        still = self.network(batch, training=False)
        moving = self.network(batch, training=training)
        slope = self.input_gradient(lambda x: self.network(x, training=training), batch)
        return ops.mean(still * moving) + ops.mean(ops.square(slope))


def test_called_several_times_and_in_a_gradient_penalty():
    layer, x = wrapped("Dense", use_bias=False), inputs_of("Dense")
    kernel, u = numpy(kernel_of(layer)).astype("float64"), numpy(layer.u)
    pairs = [(u, direction(kernel @ u))]
    for _ in range(2):
        v = direction(kernel @ u)
        u = direction(v @ kernel)
        pairs.append((u, v))

    def loss(kernel):
        still, moving, penalized = (kernel / (v @ kernel @ u) for u, v in pairs)
        return np.mean((x @ still) * (x @ moving)) + np.mean(penalized.sum(1) ** 2)

    steps = 1e-5 * np.eye(kernel.size).reshape(-1, *kernel.shape)
    gradient = [(loss(kernel + step) - loss(kernel - step)) / 2e-5 for step in steps]
    model = Penalized(network=keras.Sequential([keras.Input((7,)), layer]))
    model.compile(keras.optimizers.SGD(1.0))
    logs = model.fit(x, batch_size=len(x), verbose=0).history
    assert logs["loss"][0] == pytest.approx(loss(kernel), rel=1e-4)
    expected = kernel - np.reshape(gradient, kernel.shape)
    np.testing.assert_allclose(numpy(kernel_of(layer)), expected, atol=1e-5)


def test_a_kernel_of_zeros_is_not_divided():
    layer, x = wrapped("Dense"), inputs_of("Dense")
    kernel_of(layer).assign(np.zeros((7, 4)))
    before = numpy(layer.u)
    np.testing.assert_array_equal(numpy(layer(x, training=True)), 0)
    np.testing.assert_allclose(numpy(layer.u), before, atol=1e-6)
    np.testing.assert_array_equal(numpy(layer(x)), 0)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
@pytest.mark.parametrize("everywhere", [True, False], ids=["policy for all", "policy of the layer"])
@pytest.mark.parametrize("kind", ["Dense", "kgen.Conv2D", "Conv2DTranspose", "Embedding"])
def test_mixed_precision(kind, policy, everywhere):
    if everywhere:
        keras.config.set_dtype_policy(policy)
    layer, x = wrapped(kind, **({} if everywhere else {"dtype": policy})), inputs_of(kind)
    kernel = numpy(kernel_of(layer))
    v = direction(matrix(kind, kernel).T @ numpy(layer.u))
    u = direction(matrix(kind, kernel) @ v)
    symbolic = layer(keras.Input(x.shape[1:], dtype=x.dtype.name))
    outputs = layer(x, training=True)
    for tensor in (symbolic, outputs):
        assert policy == f"mixed_{keras.backend.standardize_dtype(tensor.dtype)}"
    # The power method sees the kernel in float32, not rounded.
    assert keras.backend.standardize_dtype(layer.u.dtype) == "float32"
    np.testing.assert_allclose(numpy(layer.u), u, atol=2e-6)
    sigma = u @ matrix(kind, kernel) @ v
    expected = with_kernel(kind, layer, (kernel / sigma).astype("float32"), dtype=policy)(x)
    np.testing.assert_allclose(
        numpy(ops.cast(outputs, "float32")), numpy(ops.cast(expected, "float32")), atol=2e-2
    )


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_fit_in_mixed_precision(policy):
    keras.config.set_dtype_policy(policy)
    layer, x = wrapped("kgen.Conv2D"), inputs_of("kgen.Conv2D")
    before = layer.get_weights()
    fitted(layer, x, learning_rate=1e-2)
    assert all(np.isfinite(w).all() for w in layer.get_weights())
    assert all(np.abs(a - b).max() > 0 for a, b in zip(before, layer.get_weights(), strict=True))


@every_kind
def test_in_a_file_and_as_a_copy(kind, tmp_path):
    layer, x = wrapped(kind, iterations=2), inputs_of(kind)
    inputs = keras.Input(x.shape[1:], dtype=x.dtype.name)
    model = keras.Model(inputs, layer(inputs))
    layer(x, training=True)
    model.save(tmp_path / "a.keras")
    loaded = keras.saving.load_model(tmp_path / "a.keras")
    copy = keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    expected = model.predict(x, verbose=0)
    for other in (loaded, copy):
        its = other.layers[-1]
        assert type(its) is SpectralNormalization and its is not layer
        assert type(its.layer) is type(layer.layer) and its.layer is not layer.layer
        assert (its.iterations, its.compute_dtype) == (2, "float32")
        assert other.output_shape == model.output_shape == (None, *expected.shape[1:])
        assert tuple(layer.compute_output_shape(x.shape)) == expected.shape
        np.testing.assert_allclose(other.predict(x, verbose=0), expected, atol=1e-6)
        np.testing.assert_allclose(
            numpy(other(x, training=True)), numpy(model(x, training=True)), atol=1e-6
        )
        layer.set_weights(copy.layers[-1].get_weights())


def test_the_weights_are_those_of_the_layer_and_u():
    layer = wrapped("Conv2D")
    assert [w.path.split("/")[-1] for w in layer.trainable_weights] == ["kernel", "bias"]
    assert [w is layer.u for w in layer.non_trainable_weights] == [True]
    assert len(layer.weights) == 3


def test_an_average_of_the_network_has_u_too():
    layer, x = wrapped("Dense"), inputs_of("Dense")
    network = keras.Sequential([keras.Input((7,)), layer])
    average = kgen.MovingAverage(network, decay=0)
    network(x, training=True)
    average.update()
    np.testing.assert_allclose(numpy(average.model(x)), numpy(network(x)), atol=1e-6)


def test_masks_pass():
    layer = SpectralNormalization(layers.Embedding(5, 3, mask_zero=True))
    outputs = layer(np.array([[1, 0, 2]]))
    np.testing.assert_array_equal(numpy(outputs._keras_mask), [[True, False, True]])


@pytest.mark.parametrize(
    "make", [layers.ReLU, layers.BatchNormalization, lambda: keras.Sequential([layers.Dense(2)])]
)
def test_a_layer_without_kernel_is_refused(make):
    layer = SpectralNormalization(make())
    with pytest.raises(ValueError, match="wraps a layer with a `kernel` or `embeddings`"):
        layer(np.zeros((2, 3), "float32"))


@pytest.mark.parametrize("iterations", [0, -1, 1.5])
def test_iterations_that_make_no_sense_are_refused(iterations):
    with pytest.raises(ValueError, match="iterations must be a positive integer"):
        SpectralNormalization(layers.Dense(2), iterations)
