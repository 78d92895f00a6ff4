"""Layers with an equalized learning rate beside Keras's, whose kernels are scaled by hand."""

import keras
import numpy as np
import pytest
from keras import layers, ops

from kgen.engine import input_gradient
from kgen.layers import EqualizedConv2D, EqualizedDense, SpectralNormalization

KINDS = {  # kgen's layer, Keras's, what both are given, the inputs, and numbers in a sum
    "dense": (EqualizedDense, layers.Dense, (4,), {}, (5,), 5),
    "dense of images": (EqualizedDense, layers.Dense, (4, "relu"), {}, (2, 3, 5), 5),
    "convolution": (
        EqualizedConv2D,
        layers.Conv2D,
        (4, 3),
        {"padding": "same", "activation": "tanh"},
        (6, 5, 2),
        18,
    ),
    "strides and groups": (
        EqualizedConv2D,
        layers.Conv2D,
        (4, (3, 2), 2),
        {"groups": 2, "use_bias": False},
        (6, 5, 6),
        18,
    ),
}
every_kind = pytest.mark.parametrize("kind", KINDS)


def numpy(tensor):
    return ops.convert_to_numpy(ops.cast(tensor, "float32"))


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def made(kind, **further):
    """kgen's layer with a bias of our own, Keras's with the kernel as it works, and inputs."""
    mine, theirs, arguments, settings, shape, fan_in = KINDS[kind]
    layer = mine(*arguments, **settings, **further)
    plain = theirs(*arguments, **settings)
    for each in (layer, plain):
        each.build((None, *shape))
    kernel, *bias = layer.get_weights()
    bias = [normal(*b.shape, seed=1) for b in bias]
    layer.set_weights([kernel, *bias])
    plain.set_weights([kernel * further.get("gain", 2**0.5) / np.sqrt(fan_in), *bias])
    return layer, plain, normal(3, *shape, seed=2)


@pytest.mark.parametrize(
    ("kind", "further"), [*((kind, {}) for kind in KINDS), ("convolution", {"gain": 0.3})]
)
def test_outputs_are_those_of_a_kernel_that_is_scaled(kind, further):
    layer, plain, x = made(kind, **further)
    assert layer(x).shape == layer.compute_output_shape(x.shape) == plain(x).shape
    np.testing.assert_allclose(numpy(layer(x)), numpy(plain(x)), rtol=1e-4, atol=1e-5)
    slopes = [input_gradient(each, ops.convert_to_tensor(x)) for each in (layer, plain)]
    np.testing.assert_allclose(*map(numpy, slopes), rtol=1e-4, atol=1e-5)


def test_the_constant_is_that_of_the_paper():
    """Of He's initializer: `sqrt(2 / fan_in)`."""
    dense, convolution = EqualizedDense(3), EqualizedConv2D(7, 3, gain=1.0)
    dense.build((None, 8))
    convolution.build((None, 4, 4, 16))
    assert dense.scale == pytest.approx(np.sqrt(2 / 8))
    assert convolution.scale == pytest.approx(1 / np.sqrt(9 * 16))


def test_kernels_begin_at_a_standard_normal_and_biases_at_zero():
    layer = EqualizedConv2D(64, 3)
    layer.build((None, 8, 8, 64))
    kernel, bias = layer.get_weights()
    assert kernel.shape == (3, 3, 64, 64)
    assert abs(kernel.mean()) < 0.03 and abs(kernel.std() - 1) < 0.03  # of 36,864
    np.testing.assert_array_equal(bias, np.zeros(64))


def test_variance_stays_through_a_layer_of_gain_1():
    x = normal(2000, 256)
    assert numpy(EqualizedDense(16, gain=1.0)(x)).std() == pytest.approx(1, rel=0.1)


def test_a_step_of_an_optimizer_is_the_same_part_of_every_kernel():
    """What equalizes the rate: Adam moves each weight by the rate, and each begins at N(0, 1)."""
    moved = []
    for width in (4, 400):
        layer = EqualizedDense(width)
        network = keras.Sequential([keras.Input((width,)), layer])
        before = layer.get_weights()[0]
        network.compile(keras.optimizers.Adam(0.01), "mse")
        network.fit(normal(4, width, seed=1), normal(4, width, seed=2), verbose=0)
        moved.append(np.abs(layer.get_weights()[0] - before).mean())
    np.testing.assert_allclose(moved, 0.01, rtol=0.05)


def test_half_precision():
    layer = EqualizedConv2D(8, 3, padding="same", dtype="mixed_float16")
    y = layer(normal(2, 4, 4, 512))
    assert keras.backend.standardize_dtype(y.dtype) == "float16"
    assert {str(w.dtype) for w in layer.weights} == {"float32"}
    plain = EqualizedConv2D(8, 3, padding="same")
    plain.build((None, 4, 4, 512))
    plain.set_weights(layer.get_weights())
    np.testing.assert_allclose(numpy(y), numpy(plain(normal(2, 4, 4, 512))), atol=0.02)


@pytest.mark.parametrize("kind", ["dense", "convolution"])
def test_spectral_normalization_sees_the_kernel_as_it_is_kept(kind):
    layer, plain, x = made(kind)
    wrapped = SpectralNormalization(layer, iterations=60)
    wrapped.build(x.shape)
    kernel, *bias = layer.get_weights()
    sigma = np.linalg.norm(kernel.reshape(-1, kernel.shape[-1]), 2)
    plain.set_weights([kernel / sigma * layer.scale, *bias])
    np.testing.assert_allclose(numpy(wrapped(x, training=True)), numpy(plain(x)), atol=1e-4)


@every_kind
def test_files(kind, tmp_path):
    layer, _, x = made(kind, gain=0.7, name="equalized", bias_regularizer="l2")
    network = keras.Sequential([keras.Input(x.shape[1:]), layer])
    network.save(tmp_path / "network.keras")
    loaded = keras.saving.load_model(tmp_path / "network.keras")
    assert loaded.layers[0].get_config() == layer.get_config()
    assert loaded.layers[0].gain == 0.7 and "kernel_initializer" not in layer.get_config()
    np.testing.assert_array_equal(numpy(loaded(x)), numpy(network(x)))


@pytest.mark.parametrize("gain", [0, -1.0, float("nan"), float("inf"), True, "he"])
def test_bad_gains(gain):
    with pytest.raises(ValueError, match="gain must be a number above 0; got"):
        EqualizedDense(4, gain=gain)


def test_the_kernel_has_one_beginning():
    message = (
        r"EqualizedConv2D draws .*got 'he_normal'. Choose the gain, or take keras.layers.Conv2D"
    )
    with pytest.raises(ValueError, match=message):
        EqualizedConv2D(4, 3, kernel_initializer="he_normal")
