"""`jvp` against closed forms, in a step, in `infer` and outside of both."""

import keras
import numpy as np
import pytest
from keras import ops
from one_weight import one_weight, weight

import kgen

WIDTH, H = 3, 1e-20  # the step of a derivative that no cancellation spoils: f(x + ih) / h


def layer(x, kernel, bias):
    return np.tanh(x @ kernel + bias)


def attention(x, query, query_bias, key, key_bias, value, value_bias, out, out_bias):
    """Self-attention of one head: x is (n, positions, width), kernels are as in Keras."""
    q, k, v = (
        x @ kernel[:, 0] + bias[0]
        for kernel, bias in ((query, query_bias), (key, key_bias), (value, value_bias))
    )
    weights = np.exp(q @ np.swapaxes(k, 1, 2) / np.sqrt(q.shape[-1]))
    return weights / weights.sum(axis=-1, keepdims=True) @ v @ out[0] + out_bias


class SelfAttention(keras.layers.Layer):
    def __init__(self):
        super().__init__()
        self.attention = keras.layers.MultiHeadAttention(1, WIDTH)

    def call(self, x):
        return self.attention(x, x)


NETWORKS = {
    "dense": ((WIDTH,), lambda: keras.layers.Dense(WIDTH, "tanh"), layer),
    "attention": ((4, WIDTH), SelfAttention, attention),
}


class Straight(kgen.GenerativeModel):
    """Learns a network whose derivative along (1, ..., 1) is what the network says."""

    players = {"player": ["network"]}

    def objective(self, images, training):
        value, derivative = self.jvp(self.network, images, ops.ones_like(images))
        return ops.mean(ops.square(derivative - value))

    def both(self, x, tangent):
        return self.jvp(self.network, x, tangent)


def made(kind, **options):
    """The model, its network in float64 as a function of input and weights, and some inputs."""
    shape, make, numpy_network = NETWORKS[kind]
    entry = keras.Input(shape)
    model = Straight(network=keras.Model(entry, make()(entry)), image_shape=shape, **options)
    random = np.random.default_rng(0)
    weights = [random.normal(size=w.shape) for w in model.network.weights]
    model.network.set_weights(weights)
    return model, numpy_network, weights, *random.uniform(-1, 1, (2, 8, *shape)).astype("float32")


def derivative(function, x, tangent):
    return function(x + 1j * H * tangent).imag / H


@pytest.mark.parametrize("kind", NETWORKS)
def test_jvp_is_value_and_derivative_wherever_it_is_asked(kind):
    model, network, weights, x, tangent = made(kind)
    x, tangent = x.astype("float64"), tangent.astype("float64")
    value, slope = network(x, *weights), derivative(lambda x: network(x, *weights), x, tangent)
    model.compile(keras.optimizers.SGD())
    outside = model.both(*map(ops.convert_to_tensor, (x, tangent)))
    for found in (outside, model.infer(model.both, x, tangent, batch_size=3)):
        assert [keras.backend.standardize_dtype(part.dtype) for part in found] == ["float32"] * 2
        found = [ops.convert_to_numpy(part) for part in found]
        np.testing.assert_allclose(found[0], value, atol=1e-5)
        np.testing.assert_allclose(found[1], slope, atol=1e-5)


@pytest.mark.parametrize("eagerly", [False, True])
@pytest.mark.parametrize("kind", NETWORKS)
def test_a_loss_with_a_jvp_has_its_gradient(kind, eagerly):
    """Against differences of the loss in float64, whose own derivative is exact."""
    model, network, weights, x, _ = made(kind, check_range=False)
    model.compile(keras.optimizers.SGD(1.0), run_eagerly=eagerly)

    def loss(weights):
        slope = derivative(lambda x: network(x, *weights), x.astype("float64"), np.ones_like(x))
        return np.square(slope - network(x, *weights)).mean()

    expected = []
    for w in weights:
        gradient = np.zeros_like(w)
        for index in np.ndindex(w.shape):
            before, sides = w[index], []
            for w[index] in (before + 1e-5, before - 1e-5):
                sides.append(loss(weights))
            w[index] = before
            gradient[index] = (sides[0] - sides[1]) / 2e-5
        expected.append(gradient)
    history = model.fit(x, batch_size=8, epochs=1, verbose=0).history
    np.testing.assert_allclose(history["loss"], [loss(weights)], rtol=1e-4)
    for before, after, gradient in zip(weights, model.network.get_weights(), expected, strict=True):
        np.testing.assert_allclose(before - after, gradient, atol=2e-4)
    weights = [w.astype("float64") for w in model.network.get_weights()]
    np.testing.assert_allclose(model.evaluate(x, verbose=0)["loss"], loss(weights), rtol=1e-4)


@pytest.mark.parametrize("layer", ["Conv2D", "Conv2DTranspose"])
def test_jvp_through_convolutions_is_that_of_keras_layers(layer):
    """Value and slope, in `infer` and outside, and a step down a loss of both."""
    x = np.random.default_rng(0).uniform(-1, 1, (4, 6, 5, 2)).astype("float32")
    found, weights = [], None
    for package in (kgen.layers, keras.layers):
        entry = keras.Input(x.shape[1:])
        y = getattr(package, layer)(3, (4, 3), 2, "same", activation="tanh")(entry)
        back = "Conv2D" if "Transpose" in layer else "Conv2DTranspose"
        y = getattr(package, back)(2, 4, 2, "same")(y)[:, :6, :5]
        model = Straight(network=keras.Model(entry, y), check_range=False)
        weights = weights or model.network.get_weights()
        model.network.set_weights(weights)
        model.compile(keras.optimizers.SGD(0.5))
        tangent = np.flip(x, 0)
        both = [*model.infer(model.both, x, tangent), *model.both(*map(ops.array, (x, tangent)))]
        loss = model.fit(x, batch_size=4, verbose=0).history["loss"]
        found.append([*map(ops.convert_to_numpy, both), loss, *model.network.get_weights()])
    assert all(np.abs(a - b).max() > 1e-3 for a, b in zip(weights, found[0][5:], strict=True))
    for ours, theirs in zip(*found, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


class MeanFlow(kgen.GenerativeModel):
    """Mean flows (Geng et al., 2025): u(z, r, t) learns v - (t - r) du/dt, held fixed."""

    players = {"player": ["network"]}

    def targets(self, z, v):
        r, t = ops.full_like(z[:, :1], 0.25), ops.full_like(z[:, :1], 0.75)
        fn = lambda inputs: self.network(ops.concatenate(inputs, axis=1))  # noqa: E731
        u, slope = self.jvp(fn, [z, r, t], [v, ops.zeros_like(r), ops.ones_like(t)])
        return u, v - (t - r) * slope

    def objective(self, images, training):
        u, target = self.targets(images, 1 - images)
        return ops.mean(ops.square(u - ops.stop_gradient(target)))


def test_the_loss_of_mean_flows():
    """With one layer u = W [z, r, t], all by hand."""
    entry = keras.Input((WIDTH + 2,))
    network = keras.Model(entry, keras.layers.Dense(WIDTH, use_bias=False)(entry))
    model = MeanFlow(network=network, image_shape=(WIDTH,))
    random = np.random.default_rng(0)
    kernel, z = random.normal(size=(WIDTH + 2, WIDTH)), random.uniform(-1, 1, (8, WIDTH))
    network.set_weights([kernel])
    model.compile(keras.optimizers.SGD(1.0))
    times = np.tile([0.25, 0.75], (8, 1))
    inputs, v = np.concatenate([z, times], axis=1), 1 - z
    slope = np.concatenate([v, np.tile([0.0, 1.0], (8, 1))], axis=1) @ kernel
    error = inputs @ kernel - (v - 0.5 * slope)
    history = model.fit(z.astype("float32"), batch_size=8, epochs=1, verbose=0).history
    np.testing.assert_allclose(history["loss"], [np.square(error).mean()], rtol=1e-5)
    after = kernel - inputs.T @ (2 * error / error.size)
    np.testing.assert_allclose(network.get_weights()[0], after, atol=1e-5)


def test_a_tangent_has_the_shape_of_what_it_belongs_to():
    gan, x = kgen.GAN((8, 8), 4, network="mlp"), np.zeros((2, 4), "float32")
    for tangent in (np.zeros((2, 5)), np.zeros(4), [x, x]):
        with pytest.raises(ValueError, match=r"tangent must have the shapes of x, \[\(2, 4\)\]"):
            gan.jvp(gan.generator, x, tangent)


class OneStep(kgen.GenerativeModel):
    """Learns a network whose derivative is small along the images themselves."""

    players = {"player": ["network"]}

    def objective(self, images, training):
        value, slope = self.jvp(self.network, images, images)
        return ops.mean(ops.square(slope)) + ops.mean(value)


def convolutional(package, kind, size, kernel, strides, padding):
    keras.utils.set_random_seed(1)
    entry = keras.Input((*size, 2))
    layer = getattr(package, kind)(3, kernel, strides, padding, bias_initializer="normal")
    network = keras.Model(entry, ops.tanh(layer(entry)))
    return OneStep(network=network, image_shape=(*size, 2), check_range=False)


@pytest.mark.parametrize("kind", ["Conv2D", "Conv2DTranspose"])
@pytest.mark.parametrize(
    ("size", "kernel", "strides", "padding"),
    [
        ((6, 6), 4, 2, "same"),
        ((5, 7), 3, 2, "same"),
        ((7, 4), (4, 3), (2, 1), "same"),
        ((6, 5), 3, 3, "same"),
        ((6, 5), 3, 2, "valid"),
        ((6, 5), 3, 1, "same"),
    ],
)
def test_jvp_of_convolutions_and_a_step_down_a_loss_with_it(kind, size, kernel, strides, padding):
    """The derivative in closed form by Keras's layers, the gradient as theirs."""
    given = kind, size, kernel, strides, padding
    ours, theirs = (convolutional(package, *given) for package in (kgen.layers, keras.layers))
    x, tangent = np.random.default_rng(0).uniform(-1, 1, (2, 4, *size, 2)).astype("float32")
    layer = theirs.network.layers[1]
    value = np.tanh(ops.convert_to_numpy(layer(x)))
    slope = ops.convert_to_numpy(layer(tangent)) - ops.convert_to_numpy(layer.bias)
    found = ours.jvp(ours.network, *map(ops.convert_to_tensor, (x, tangent)))
    for part, expected in zip(found, (value, (1 - value**2) * slope), strict=True):
        np.testing.assert_allclose(ops.convert_to_numpy(part), expected, atol=1e-5)
    for model in (ours, theirs):
        model.compile(keras.optimizers.SGD(1.0))
        model.fit(x, batch_size=4, epochs=2, verbose=0)
    for a, b in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-4)


def test_input_gradient_is_exact_and_differentiable():
    x = ops.convert_to_tensor(np.array([[1.0, 2.0], [3.0, -1.0]], "float32"))
    gradient = kgen.engine.input_gradient(lambda x: ops.sum(x**3, axis=-1), x)
    np.testing.assert_allclose(
        ops.convert_to_numpy(gradient), 3 * ops.convert_to_numpy(x) ** 2, rtol=1e-6
    )

    @keras.saving.register_keras_serializable("kgen_tests")
    class Penalized(kgen.GenerativeModel):
        players = {"critic": ["network"]}

        def objective(self, batch, training):
            slope = self.input_gradient(lambda x: self.network(x, training=training), batch)
            return ops.mean((slope - 2.0) ** 2)  # = (w - 2)^2

    model = Penalized(network=one_weight(5.0))
    model.compile(keras.optimizers.SGD(0.25))
    model.fit(np.ones((4, 1), "float32"), batch_size=4, verbose=0)
    assert weight(model.network) == pytest.approx(3.5)
    assert model.evaluate(np.ones((4, 1), "float32"), verbose=0)["loss"] == pytest.approx(2.25)
