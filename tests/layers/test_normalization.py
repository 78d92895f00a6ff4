"""Normalisation beside Keras's, and its second derivatives beside finite differences."""

from functools import partial

import keras
import numpy as np
import pytest
from keras import layers, ops

import kgen
from kgen.engine import input_gradient
from kgen.layers import (
    AdaptiveGroupNormalization,
    BatchNormalization,
    GroupNormalization,
    InstanceNormalization,
    LayerNormalization,
    PixelNormalization,
)

SHAPE = (3, 2, 6)
AFFINE = partial(InstanceNormalization, center=True, scale=True)
PAIRS = {  # kgen's layer, Keras's, and the shape of what they see
    "batch": (BatchNormalization, layers.BatchNormalization, SHAPE),
    "layer of points": (LayerNormalization, lambda: layers.LayerNormalization(epsilon=1e-5), (6,)),
    "layer of images": (
        LayerNormalization,
        lambda: layers.GroupNormalization(groups=1, epsilon=1e-5),
        SHAPE,
    ),
    "instance": (
        AFFINE,
        lambda: layers.GroupNormalization(groups=-1, epsilon=1e-5),
        SHAPE,
    ),
    "groups": (
        partial(GroupNormalization, groups=3),
        lambda: layers.GroupNormalization(groups=3, epsilon=1e-5),
        SHAPE,
    ),
}


def numpy(tensor):
    return ops.convert_to_numpy(ops.cast(tensor, "float32"))


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


@keras.saving.register_keras_serializable("kgen_tests")
class Probe(kgen.GenerativeModel):
    """A model whose loss is a function of its network; one step of SGD shows the gradient."""

    players = {"model": ["network"]}

    def __init__(self, loss, **kwargs):
        super().__init__(**kwargs)
        self.loss_of = loss

    def objective(self, batch, training):
        return self.loss_of(self.network, batch)


def gradients(network, loss, x):
    """Gradients of a loss by the network's trainable weights."""
    model = Probe(loss, network=network, check_range=False)
    model.compile(keras.optimizers.SGD(1.0))
    before = [numpy(w) for w in network.trainable_weights]
    model.fit(x, batch_size=len(x), shuffle=False, verbose=0)
    after = [numpy(w) for w in network.trainable_weights]
    return [b - a for b, a in zip(before, after, strict=True)]


def alone(layer, shape):
    """A network of one layer, its scale and shift not those it begins with."""
    network = keras.Sequential([keras.Input(shape), layer])
    for i, w in enumerate(layer.trainable_weights):
        w.assign(1.0 - i + 0.3 * normal(*w.shape, seed=i + 1))
    return network


@pytest.mark.parametrize("name", PAIRS)
def test_values_and_gradients_are_those_of_keras(name):
    *kinds, shape = PAIRS[name]
    x = 2 + 3 * normal(5, *shape, seed=7)
    weight = ops.convert_to_tensor(normal(5, *shape, seed=8))

    def loss(network, x):
        return ops.sum(weight * network(x, training=True))

    found = []
    for kind in kinds:
        network = alone(kind(), shape)
        outputs = [numpy(network(x, training=training)) for training in (True, False)]
        of_input = input_gradient(
            lambda x, network=network: weight * network(x, training=True),
            ops.convert_to_tensor(x),
        )
        statistics = [numpy(w) for w in network.non_trainable_weights]
        of_weights = gradients(network, loss, x)
        found.append([*outputs, numpy(of_input), *statistics, *of_weights])
    assert len(found[0]) == (7 if name == "batch" else 5)
    for mine, other in zip(*found, strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-4, atol=1e-5)


def penalty(score, x):
    """Mean squared norm of the images' gradient, as in R1."""
    slope = input_gradient(score, x)
    axes = tuple(range(1, len(slope.shape)))
    return ops.mean(ops.sum(ops.square(slope), axis=axes))


def penalty_by_hand(x, axes, epsilon, out, kernel, bias, gamma, beta):
    """The penalty of `sum(out * tanh(normalised(tanh(x @ kernel + bias))))`, in float64."""
    h = np.tanh(x @ kernel + bias)
    sigma = np.sqrt(h.var(axes, keepdims=True) + epsilon)
    normed = (h - h.mean(axes, keepdims=True)) / sigma
    slope = out * (1 - np.tanh(gamma * normed + beta) ** 2) * gamma
    mean = slope.mean(axes, keepdims=True)
    slope = slope - mean - normed * (slope * normed).mean(axes, keepdims=True)
    slope = slope / sigma * (1 - h**2) @ kernel.T
    return (slope.reshape(len(x), -1) ** 2).sum(axis=1).mean()


REDUCED = {BatchNormalization: (0, 1, 2), LayerNormalization: (1, 2, 3), AFFINE: (1, 2)}


@pytest.mark.parametrize("kind", REDUCED)
def test_second_derivatives_are_those_of_finite_differences(kind):
    """What Keras's layers get wrong on TensorFlow: the gradient of a penalty of gradients."""
    network = keras.Sequential([keras.Input(SHAPE), layers.Dense(4, "tanh"), kind()])
    weights = [normal(*w.shape, seed=i) for i, w in enumerate(network.trainable_weights)]
    x, out = normal(5, *SHAPE, seed=7), normal(5, *SHAPE[:-1], 4, seed=8)

    def score(x):
        return ops.convert_to_tensor(out) * ops.tanh(network(x, training=True))

    for w, value in zip(network.trainable_weights, weights, strict=True):
        w.assign(value)
    measured = numpy(penalty(score, ops.convert_to_tensor(x)))
    found = gradients(network, lambda _, x: penalty(score, x), x)

    axes = REDUCED[kind]
    weights = [w.astype("float64") for w in weights]
    epsilon = network.layers[-1].epsilon
    value = lambda: penalty_by_hand(x, axes, epsilon, out, *weights)  # noqa: E731
    assert measured == pytest.approx(value(), rel=1e-4)
    for w, gradient in zip(weights, found, strict=True):
        expected = np.zeros_like(w)
        for index in np.ndindex(w.shape):
            at, sides = w[index], []
            for step in (1e-5, -1e-5):
                w[index] = at + step
                sides.append(value())
            w[index] = at
            expected[index] = (sides[0] - sides[1]) / 2e-5
        scale = np.abs(expected).max()
        np.testing.assert_allclose(gradient, expected, rtol=2e-3, atol=2e-3 * scale + 1e-5)


@pytest.mark.parametrize("kind", REDUCED)
def test_statistics_of_half_precision_are_computed_in_float32(kind):
    """The sum of squares of deviations of 200 overflows float16."""
    x = np.random.default_rng(0).choice([-200.0, 200.0], (16, 5, 5, 2)).astype("float32")
    wide = numpy(kind()(x, training=True) if kind is BatchNormalization else kind()(x))
    half = kind(dtype="mixed_float16")
    y = half(x, training=True) if kind is BatchNormalization else half(x)
    assert keras.backend.standardize_dtype(y.dtype) == "float16"
    assert {str(w.dtype) for w in half.weights} == {"float32"}
    np.testing.assert_allclose(numpy(y), wide, atol=2e-3)


def test_layer_normalization_is_of_each_image_alone():
    layer, x = LayerNormalization(), 4 + normal(6, 3, 2, 5)
    together = numpy(layer(x))
    np.testing.assert_allclose(numpy(layer(x[2:3])), together[2:3], atol=1e-5)
    np.testing.assert_allclose(together.mean((1, 2, 3)), np.zeros(6), atol=1e-5)
    np.testing.assert_allclose(together.std((1, 2, 3)), np.ones(6), atol=1e-4)
    assert [tuple(w.shape) for w in layer.weights] == [(5,), (5,)]


@pytest.mark.parametrize(("center", "scale"), [(False, False), (True, False), (False, True)])
def test_instance_normalization_is_of_each_channel_of_each_image(center, scale):
    layer = InstanceNormalization(center=center, scale=scale)
    x = 4 + 3 * normal(6, 3, 2, 5)
    y = numpy(alone(layer, (3, 2, 5))(x))
    weights = {w.name: numpy(w) for w in layer.weights}
    assert [*weights] == ["gamma"] * scale + ["beta"] * center
    wide = x.astype("float64")
    mean, variance = wide.mean((1, 2), keepdims=True), wide.var((1, 2), keepdims=True)
    expected = (wide - mean) / np.sqrt(variance + 1e-5)
    expected = expected * weights.get("gamma", 1) + weights.get("beta", 0)
    np.testing.assert_allclose(y, expected, atol=1e-5)


@pytest.mark.skipif(keras.backend.backend() != "torch", reason="beside torch's own layer")
def test_instance_normalization_is_that_of_torch():
    import torch

    x = 4 + 3 * normal(6, 5, 4, 3)
    theirs = torch.nn.InstanceNorm2d(3)(torch.from_numpy(x).permute(0, 3, 1, 2))
    theirs = theirs.permute(0, 2, 3, 1).numpy()
    np.testing.assert_allclose(numpy(InstanceNormalization()(x)), theirs, atol=1e-5)


def test_instance_normalization_of_one_pixel_is_zero_and_of_none_refused():
    np.testing.assert_array_equal(numpy(InstanceNormalization()(normal(2, 1, 1, 3))), 0)
    with pytest.raises(ValueError, match=r"takes images \(N, H, W, C\).*got shape \(4, 3\)"):
        InstanceNormalization()(normal(4, 3))
    with pytest.raises(TypeError, match="scale must be True or False"):
        InstanceNormalization(scale=0.5)


@pytest.mark.parametrize("shape", [(3, 2, 5), (5,)])
def test_pixel_normalization_is_the_formula_of_the_paper(shape):
    x = 4 * normal(6, *shape)
    wide = x.astype("float64")
    expected = wide / np.sqrt((wide**2).mean(axis=-1, keepdims=True) + 1e-8)
    np.testing.assert_allclose(numpy(PixelNormalization()(x)), expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose((expected**2).sum(axis=-1), 5, rtol=1e-6)
    assert not PixelNormalization().weights


@pytest.mark.parametrize("epsilon", [1e-8, 0.5])
def test_derivatives_of_pixel_normalization(epsilon):
    """Beside the derivative by hand and its finite differences, in float64."""
    x, out, along = (normal(4, 2, 5, seed=seed) for seed in range(3))
    layer = PixelNormalization(epsilon)

    def slope(x):
        """Of `sum(out * y)` by the inputs."""
        mean = lambda z: z.mean(axis=-1, keepdims=True)  # noqa: E731
        r = (mean(x**2) + epsilon) ** -0.5
        return r * out - r**3 * x * mean(out * x)

    def first(x):
        return input_gradient(lambda x: ops.convert_to_tensor(out) * layer(x), x)

    def product(x):
        return ops.convert_to_tensor(along) * first(x)

    wide, step = x.astype("float64"), 1e-5 * along.astype("float64")
    close = {"rtol": 1e-3, "atol": 1e-4}
    np.testing.assert_allclose(numpy(first(ops.convert_to_tensor(x))), slope(wide), **close)
    expected = (slope(wide + step) - slope(wide - step)) / 2e-5
    second = input_gradient(product, ops.convert_to_tensor(x))
    np.testing.assert_allclose(numpy(second), expected, **close)


def test_pixel_normalization_of_half_precision():
    """Squares from 256 on overflow float16, an epsilon of 1e-8 is 0 there, and so 0 / 0."""
    x = 3000 * normal(6, 3, 2, 5)
    x[0] = 0
    layer = PixelNormalization(dtype="mixed_float16")
    y = layer(x)
    assert keras.backend.standardize_dtype(y.dtype) == "float16"
    np.testing.assert_allclose(numpy(y), numpy(PixelNormalization()(x)), atol=2e-3)
    slope = numpy(input_gradient(lambda x: 600 * layer(x), ops.convert_to_tensor(0 * x)))
    np.testing.assert_allclose(slope, 600 / np.sqrt(1e-4), rtol=1e-2)  # of 1e-8: beyond float16
    assert numpy(PixelNormalization(1e-2, dtype="mixed_float16")(0 * x + 0.1)).max() == (
        pytest.approx(0.5**0.5, rel=1e-3)
    )


def test_pixel_normalization_wants_an_epsilon():
    with pytest.raises(ValueError, match="epsilon must be a number above 0; got 0"):
        PixelNormalization(0)


def test_batch_normalization_takes_no_mask():
    with pytest.raises(ValueError, match="BatchNormalization takes no mask"):
        BatchNormalization()(normal(4, 3), training=True, mask=np.ones((4,), bool))


@pytest.mark.parametrize(
    "layer",
    [
        BatchNormalization(momentum=0.7),
        LayerNormalization(0.1),
        InstanceNormalization(0.1, center=True, scale=True),
        InstanceNormalization(),
        PixelNormalization(0.1),
    ],
)
def test_files(layer, tmp_path):
    network = alone(layer, (3, 2, 4))
    x = normal(5, 3, 2, 4)
    network(x, training=True)
    network.save(tmp_path / "network.keras")
    loaded = keras.saving.load_model(tmp_path / "network.keras")
    assert type(loaded.layers[0]) is type(layer)
    assert loaded.layers[0].get_config() == layer.get_config()
    np.testing.assert_allclose(numpy(loaded(x)), numpy(network(x)), atol=1e-6)


def test_what_an_embedding_tells_groups():
    """Dhariwal and Nichol (2021), section 4.3, beside Keras's layer and a product by hand."""
    x, embedding = np.random.default_rng(0).normal(2, 3, (4, 5, 6, 8)), np.eye(4, 7)
    x, embedding = x.astype("float32"), embedding.astype("float32")
    layer = AdaptiveGroupNormalization(4, "silu")
    plain = layers.GroupNormalization(4, epsilon=1e-5)
    expected = numpy(ops.silu(plain(x)))
    np.testing.assert_allclose(numpy(layer([x, embedding])), expected, atol=1e-5)
    kernel = np.random.default_rng(1).normal(size=(7, 16)).astype("float32")
    layer.told.kernel.assign(kernel)
    scale, shift = np.split((embedding @ kernel)[:, None, None], 2, axis=-1)
    expected = numpy(ops.silu((1 + scale) * numpy(plain(x)) + shift))
    np.testing.assert_allclose(numpy(layer([x, embedding])), expected, atol=1e-4)
    again = AdaptiveGroupNormalization.from_config(layer.get_config())
    assert again.get_config() == layer.get_config() and again.groups == 4


def test_groups_of_numbers_far_from_zero_stay_finite():
    x = np.full((2, 4, 4, 8), 1e4, "float32")
    found = numpy(GroupNormalization(2)(x))
    assert np.isfinite(found).all()
    for policy in ("mixed_bfloat16", "mixed_float16"):
        layer = GroupNormalization(2, dtype=policy)
        images = np.random.default_rng(0).normal(3, 2, (2, 4, 4, 8)).astype("float32")
        dtype = keras.backend.standardize_dtype(layer(images).dtype)
        assert dtype == layer.compute_dtype
        full = numpy(GroupNormalization(2)(images))
        np.testing.assert_allclose(numpy(layer(images)), full, atol=0.05)


def test_channels_that_make_no_groups():
    with pytest.raises(ValueError, match="6 channels do not divide into groups=4"):
        GroupNormalization(4)(np.zeros((2, 3, 3, 6), "float32"))
    with pytest.raises(ValueError, match="groups must be a positive integer"):
        GroupNormalization(0)
