"""The networks of progressive growing beside the paper's numbers, and NumPy in float64."""

import keras
import numpy as np
import pytest
from keras import layers, ops
from network_parts import normal, relu, trainable_parameters, unmade, values

from kgen import MovingAverage
from kgen.layers import EqualizedConv2D, EqualizedDense
from kgen.networks import progressive_discriminator, progressive_generator

SHAPE, LATENT = (16, 16, 3), 5
TINY = {"filters_base": 24, "max_filters": 6}  # 6, 6 and 3 channels
LEVELS = range(3)
MAKE = {
    "generator": lambda shape=SHAPE, **further: progressive_generator(
        shape, LATENT, **{**TINY, **further}
    ),
    "discriminator": lambda shape=SHAPE, **further: progressive_discriminator(
        shape, **{**TINY, **further}
    ),
}
both = pytest.mark.parametrize("role", MAKE)


def inputs(role, level, n=6):
    size = 4 * 2**level
    return normal(n, LATENT) if role == "generator" else normal(n, size, size, 3)


def outputs(network, x, **where):
    return ops.convert_to_numpy(network(x, **where))


def with_biases(network):
    """The network, whose biases are none of those it begins with."""
    for i, layer in enumerate(network.layers_at()):
        layer.bias is None or layer.bias.assign(0.3 * normal(*layer.bias.shape, seed=i))
    for i, (layer,) in enumerate(rgb[:1] for rgb in network.rgb):
        layer.bias.assign(0.3 * normal(*layer.bias.shape, seed=20 + i))
    return network


# The paper's numbers.


@pytest.mark.parametrize(
    ("size", "millions"),
    [
        (1024, (23.08, 23.09)),
        (256, (23.04, 23.05)),
        (128, (22.93, 22.94)),
        (64, (22.49, 22.50)),
        (32, (20.72, 20.73)),
    ],
)
def test_parameters_of_the_papers_networks(size, millions):
    networks = [
        unmade(progressive_generator, (size, size, 3)),
        unmade(progressive_discriminator, (size, size, 3)),
    ]
    assert [round(trainable_parameters(n) / 1e6, 2) for n in networks] == [*millions]
    if size == 1024:  # table 2, of the largest images alone
        assert [alone(network) for network in networks] == [23_071_507, 23_077_137]


def alone(network):
    """Trainable parameters without those between images and features of smaller sizes."""
    smaller = [v for rgb in network.rgb[:-1] for layer in rgb for v in layer.trainable_variables]
    return trainable_parameters(network) - sum(np.prod(v.shape) for v in smaller)


def test_channels_are_halved_below_the_most():
    network = unmade(progressive_generator, (1024, 1024, 1))
    assert network.sizes == (4, 8, 16, 32, 64, 128, 256, 512, 1024)
    channels = [network.filters_at(level) for level in range(9)]
    assert channels == [512, 512, 512, 512, 256, 128, 64, 32, 16]
    found = [rgb[0].kernel.shape for rgb in network.rgb]
    assert found == [(1, 1, count, 1) for count in channels]
    narrow = unmade(progressive_generator, (16, 16, 3), filters_base=5)
    assert [narrow.filters_at(level) for level in range(3)] == [2, 1, 1]


@both
def test_kernels_work_as_large_as_those_of_he(role):
    """Equalized ones are N(0, 1) and scaled, the others are kept so."""
    wide = {"filters_base": 512, "max_filters": 32}
    for equalized in (True, False):
        network = MAKE[role]((8, 8, 3), equalized=equalized, **wide)
        kinds = (EqualizedConv2D, EqualizedDense) if equalized else (layers.Conv2D, layers.Dense)
        for layer in network.layers_at():
            if layer.name != "4x4_bias":
                assert type(layer) in kinds
                kernel, *_ = layer.get_weights()
                gain = {"4x4_dense": 2**0.5 / 4, "score": 1}.get(layer.name, 2**0.5)
                gain = 2**0.5 if role == "discriminator" and layer.name == "4x4_dense" else gain
                gain = 1 if layer.name.endswith("to_rgb") else gain
                works = gain / np.sqrt(np.prod(kernel.shape[:-1]))
                kept = 1 if equalized else works
                assert kernel.std() == pytest.approx(kept, rel=4 / np.sqrt(kernel.size)), layer.name
                assert not equalized or layer.scale == pytest.approx(works)


# What is computed.


class ByHand:
    """The networks in float64, from their weights by the layers' names."""

    def __init__(self, network, normalized=True, statistics=True):
        parts = [*network.layers_at(), *(rgb[0] for rgb in network.rgb)]
        self.weights = {layer.name: [*map(np.float64, layer.get_weights())] for layer in parts}
        self.scales = {layer.name: getattr(layer, "scale", 1) for layer in parts}
        self.normalized, self.statistics = normalized, statistics

    def convolved(self, x, name):
        kernel, bias = self.weights[name]
        k, (h, w) = len(kernel) // 2, x.shape[1:3]
        x = np.pad(x, ((0, 0), (k, k), (k, k), (0, 0)))
        sums = [x[:, i : i + h, j : j + w] @ kernel[i, j] for i, j in np.ndindex(kernel.shape[:2])]
        return self.scales[name] * sum(sums) + bias

    def dense(self, x, name):
        kernel, *bias = self.weights[name]
        return self.scales[name] * x @ kernel + (bias[0] if bias else 0)

    def pixels(self, x, normalized=True):
        return x / np.sqrt((x**2).mean(axis=-1, keepdims=True) + 1e-8) if normalized else x

    def generator(self, x, level, alpha):
        x = self.dense(self.pixels(x), "4x4_dense").reshape(len(x), 4, 4, -1)
        x = self.pixels(relu(x + self.weights["4x4_bias"][0], 0.2), self.normalized)
        x = self.pixels(relu(self.convolved(x, "4x4_convolution"), 0.2), self.normalized)
        for i in range(1, level + 1):
            size, below = 4 * 2**i, x
            x = doubled(x)
            for name in (f"{size}x{size}_convolution_1", f"{size}x{size}_convolution_2"):
                x = self.pixels(relu(self.convolved(x, name), 0.2), self.normalized)
        size = 4 * 2**level
        images = self.convolved(x, f"{size}x{size}_to_rgb")
        if level == 0:
            return images
        old = self.convolved(below, f"{size // 2}x{size // 2}_to_rgb")
        return (1 - alpha) * doubled(old) + alpha * images

    def discriminator(self, images, level, alpha):
        size = 4 * 2**level
        x = relu(self.convolved(images, f"{size}x{size}_from_rgb"), 0.2)
        for i in range(level, 0, -1):
            side = 4 * 2**i
            for name in (f"{side}x{side}_convolution_1", f"{side}x{side}_convolution_2"):
                x = relu(self.convolved(x, name), 0.2)
            x = halved(x)
            if i == level:
                old = self.convolved(halved(images), f"{size // 2}x{size // 2}_from_rgb")
                x = (1 - alpha) * relu(old, 0.2) + alpha * x
        if self.statistics:  # all six images are one group of at least four
            deviation = np.sqrt(x.var(axis=0) + 1e-8).mean()
            x = np.concatenate([x, np.full((*x.shape[:-1], 1), deviation)], axis=-1)
        x = relu(self.convolved(x, "4x4_convolution"), 0.2).reshape(len(x), -1)
        return self.dense(relu(self.dense(x, "4x4_dense"), 0.2), "score")


def doubled(x):
    return x.repeat(2, axis=1).repeat(2, axis=2)


def halved(x):
    n, h, w, c = x.shape
    return x.reshape(n, h // 2, 2, w // 2, 2, c).mean(axis=(2, 4))


@pytest.mark.parametrize("whole", [True, False], ids=["whole", "ablated"])
@both
def test_networks_are_those_of_the_paper(role, whole):
    switch = "pixel_normalization" if role == "generator" else "minibatch_statistics"
    network = with_biases(MAKE[role](equalized=whole, **{switch: whole}))
    by_hand = getattr(ByHand(network, whole, whole), role)
    for level in LEVELS:
        x = inputs(role, level)
        for alpha in (1, 0.3):
            found = outputs(network, x, level=level, alpha=alpha)
            np.testing.assert_allclose(found, by_hand(x, level, alpha), rtol=1e-4, atol=1e-4)


@both
def test_by_default_all_is_grown(role):
    network = MAKE[role]()
    x = inputs(role, 2)
    np.testing.assert_array_equal(values(network, x), outputs(network, x, level=2, alpha=1.0))
    assert network.name == role


def test_images_are_linear():
    generator = MAKE["generator"]()
    generator.rgb[2][0].bias.assign(np.full(3, 30.0))
    assert values(generator, inputs("generator", 2)).mean() > 20


# Growing.


@pytest.mark.parametrize("level", [1, 2])
@both
def test_the_ends_of_a_fade_in_are_exact(role, level):
    network = with_biases(MAKE[role]())
    x = inputs(role, level)
    tensor = lambda alpha: ops.convert_to_tensor(alpha, "float32")  # noqa: E731
    new = outputs(network, x, level=level, alpha=1.0)
    old = halved(x) if role == "discriminator" else x
    old = outputs(network, old, level=level - 1)
    old = doubled(old) if role == "generator" else old
    for alpha in (1, tensor(1.0)):
        np.testing.assert_array_equal(outputs(network, x, level=level, alpha=alpha), new)
    for alpha in (0, tensor(0.0)):
        found = outputs(network, x, level=level, alpha=alpha)
        if role == "generator":
            np.testing.assert_array_equal(found, old)
        else:  # means of 2x2 pixels were computed elsewhere
            np.testing.assert_allclose(found, old, rtol=1e-6, atol=1e-6)
    if role == "generator":
        half = outputs(network, x, level=level, alpha=tensor(0.5))
        np.testing.assert_allclose(half, (old + new) / 2, rtol=1e-5, atol=1e-6)


@both
def test_a_level_is_the_smaller_network_alone(role):
    network, x = with_biases(MAKE[role]()), inputs(role, 1)
    smaller = MAKE[role]((8, 8, 3))
    for mine, theirs in zip(smaller.layers_at(), network.layers_at(1), strict=True):
        assert mine.name == theirs.name
        mine.set_weights(theirs.get_weights())
    np.testing.assert_array_equal(values(smaller, x), outputs(network, x, level=1))


@both
def test_alpha_has_no_effect_at_the_smallest_level(role):
    network, x = MAKE[role](), inputs(role, 0)
    found = [outputs(network, x, level=0, alpha=alpha) for alpha in (0, 0.5, 1)]
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[0], found[2])


@pytest.mark.parametrize("level", LEVELS)
@both
def test_nothing_else_is_computed(role, level):
    """A weight that is not a number makes what is computed from it none."""
    network, x = MAKE[role](), inputs(role, level)
    at_work = network.layers_at(level)
    fading = network.rgb[level - 1][0] if level else None
    assert (fading in at_work) == (level > 0) and network.rgb[level][0] in at_work
    everything = [layer for layer in network._flatten_layers(include_self=False) if layer.weights]
    assert len({id(v) for v in network.variables_at(level)}) == len(network.variables_at(level))
    for layer in everything:
        kept = layer.get_weights()
        layer.set_weights([np.full_like(w, np.nan) for w in kept])
        half, grown = (
            np.isfinite(outputs(network, x, level=level, alpha=alpha)).all() for alpha in (0.5, 1)
        )
        assert half == (layer not in at_work), layer.name
        assert grown == (layer not in at_work or layer is fading), layer.name
        layer.set_weights(kept)


@both
def test_variables_of_a_level(role):
    network = MAKE[role]()
    for level in LEVELS:
        expected = [v for layer in network.layers_at(level) for v in layer.weights]
        assert [*map(id, network.variables_at(level))] == [*map(id, expected)]
    smallest = {id(v) for rgb in network.rgb[:1] for layer in rgb for v in layer.weights}
    everything = {id(v) for v in network.trainable_variables}
    assert {id(v) for v in network.variables_at()} == everything - smallest
    network.trainable = False
    assert network.variables_at(1) == [] and network.layers_at(1)


# Precision, files, symbols.


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_outputs_are_float32_and_finite_under_any_policy(policy):
    generator, discriminator = (MAKE[role](dtype=policy) for role in MAKE)
    single = MAKE["generator"]()
    single.set_weights(generator.get_weights())
    for network in (generator, discriminator):
        assert {str(v.dtype) for v in network.weights} == {"float32"}
        computing = {layer.compute_dtype for layer in network.layers_at()}
        assert computing == {policy.removeprefix("mixed_"), "float32"}
    for level in LEVELS:
        for alpha in (1, ops.convert_to_tensor(0.3)):
            images = outputs(generator, 50 * inputs("generator", 2), level=level, alpha=alpha)
            scores = outputs(discriminator, 50 * images, level=level, alpha=alpha)
            for found in (images, scores):
                assert found.dtype == "float32" and np.isfinite(found).all()
            exact = outputs(single, 50 * inputs("generator", 2), level=level, alpha=alpha)
            assert np.abs(images - exact).mean() < 0.05  # of pixels of about 1


def test_alpha_keeps_its_precision_in_half_precision():
    """1e-4 from the end: 1 in float16 and bfloat16."""
    generator, x = MAKE["generator"](dtype="mixed_float16"), inputs("generator", 1)
    generator.rgb[0][0].bias.assign(np.full(3, 1e4))
    far = outputs(generator, x, level=1, alpha=ops.convert_to_tensor(0.9999, "float32"))
    np.testing.assert_allclose(far - outputs(generator, x, level=1), 1, atol=0.05)


@both
def test_files_and_copies_give_the_same_at_every_level(role, tmp_path):
    switch = "pixel_normalization" if role == "generator" else "minibatch_statistics"
    network = with_biases(MAKE[role](equalized=False, **{switch: False}))
    network.save(tmp_path / "network.keras")
    loaded = keras.saving.load_model(tmp_path / "network.keras")
    assert loaded.get_config() == network.get_config()
    for other in (loaded, MovingAverage(network).model):
        for level in LEVELS:
            x, where = inputs(role, level), {"level": level, "alpha": 0.3}
            np.testing.assert_array_equal(outputs(other, x, **where), outputs(network, x, **where))


def test_symbolic_calls():
    generator, discriminator = MAKE["generator"](), MAKE["discriminator"]()
    latents, alpha = keras.Input((LATENT,)), keras.KerasTensor((), "float32")
    for level, size in enumerate(generator.sizes):
        images = generator(latents, level=level, alpha=alpha)
        assert images.shape == (None, size, size, 3) and images.dtype == "float32"
        scores = discriminator(images, level=level, alpha=alpha)
        assert scores.shape == (None, 1) and scores.dtype == "float32"
    joined = keras.Model(latents, discriminator(generator(latents, level=1), level=1))
    x = inputs("generator", 1)
    expected = outputs(discriminator, generator(x, level=1), level=1)
    np.testing.assert_allclose(values(joined, x), expected, rtol=1e-5, atol=1e-6)


# Errors.


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((4, 4, 3), r"side of image_shape=\(4, 4, 3\) must be one of 8, 16, .*, 1024; got 4"),
        ((2048, 2048, 3), "must be one of 8, 16, .*, 1024; got 2048"),
        ((48, 48, 3), "must be one of 8, 16, .*, 1024; got 48"),
        ((16, 32, 3), r"\(H, W, C\) with H = W.*got \(16, 32, 3\)"),
        ((16, 16), r"got \(16, 16\). Grey images have C = 1"),
        ((16, 16, 0), r"got \(16, 16, 0\)"),
    ],
)
@both
def test_shapes_that_cannot_be_grown(role, shape, message):
    with pytest.raises(ValueError, match=message):
        MAKE[role](shape)


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ({"level": 3}, "Python integer from 0 to 2, which are images of 4, 8, 16 pixels.*got 3"),
        ({"level": -1}, "got -1"),
        ({"level": 1.0}, "got 1.0"),
        ({"level": True}, "got True"),
        ({"alpha": 1.5}, r"alpha must be a number in \[0, 1\] or a scalar tensor.*got 1.5"),
        ({"alpha": -0.1}, "got -0.1"),
        ({"alpha": True}, "got True"),
        ({"alpha": None}, "got None"),
        ({"alpha": np.ones(2)}, "alpha must be"),
    ],
)
@both
def test_calls_with_bad_arguments(role, where, message):
    with pytest.raises(ValueError, match=message):
        MAKE[role]()(inputs(role, 2), **where)


@both
def test_inputs_of_another_shape(role):
    width = LATENT if role == "generator" else "8, 8, 3"
    with pytest.raises(ValueError, match=rf"level 1 the {role} takes inputs of shape \(N, {width}"):
        MAKE[role]()(normal(2, 16, 16, 3), level=1)


@both
def test_bad_settings(role):
    for name in ("filters_base", "max_filters"):
        with pytest.raises(ValueError, match=f"{name} must be a positive integer; got 0"):
            MAKE[role](**{name: 0})
    with pytest.raises(TypeError, match="equalized must be True or False"):
        MAKE[role](equalized=1)
    with pytest.raises(ValueError, match="level must be a Python integer"):
        MAKE[role]().variables_at(3)
