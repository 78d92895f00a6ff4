"""Bijections: their inverses, and log-determinants beside the Jacobian's by autodiff."""

import keras
import numpy as np
import pytest
from flow_by_hand import step
from keras import layers, ops
from scipy import stats

import kgen
from kgen.engine import backend
from kgen.layers import (
    ActNorm,
    AdditiveCoupling,
    AffineCoupling,
    Autoregressive,
    CausalTransformer,
    Chain,
    InvertibleConv1x1,
    Logit,
    SplitPrior,
    Squeeze,
)

IMAGE, POINT = (4, 6, 4), (5,)


def network(shape, channels):
    """Of inputs of this shape: as many sides, these channels."""
    inputs = keras.Input(shape)
    if len(shape) == 1:
        x = layers.Dense(8, "tanh")(inputs)
        return keras.Model(inputs, layers.Dense(channels)(x))
    x = layers.Conv2D(8, 3, padding="same", activation="tanh")(inputs)
    return keras.Model(inputs, layers.Conv2D(channels, 3, padding="same")(x))


def causal(outputs, **options):
    return CausalTransformer(outputs, width=8, blocks=1, heads=2, **options)


def small_chain():
    half = (2, 3, 8)
    return Chain(
        [
            Logit(-4, 4),
            ActNorm(),
            Squeeze(),
            InvertibleConv1x1(),
            AffineCoupling(network(half, 16)),
            SplitPrior(network(half, 16)),
            AdditiveCoupling(network(half, 8), "checkerboard"),
        ]
    )


BIJECTIONS = {
    "act_norm": (ActNorm, IMAGE),
    "act_norm of points": (ActNorm, POINT),
    "convolution": (InvertibleConv1x1, IMAGE),
    "convolution of points": (InvertibleConv1x1, POINT),
    "squeeze": (Squeeze, IMAGE),
    "logit": (lambda: Logit(-4, 4), IMAGE),
    "additive": (lambda: AdditiveCoupling(network((4, 6, 2), 2)), IMAGE),
    "additive of points": (lambda: AdditiveCoupling(network((2,), 3)), POINT),
    "additive, checkerboard": (
        lambda: AdditiveCoupling(network(IMAGE, 4), "checkerboard", flip=True),
        IMAGE,
    ),
    "affine": (lambda: AffineCoupling(network((4, 6, 2), 4), flip=True), IMAGE),
    "affine of points": (lambda: AffineCoupling(network((3,), 4), flip=True), POINT),
    "affine, checkerboard": (lambda: AffineCoupling(network(IMAGE, 8), "checkerboard"), IMAGE),
    "autoregressive": (lambda: Autoregressive(causal(8), reverse=True), IMAGE),
    "autoregressive of points": (lambda: Autoregressive(causal(2)), POINT),
    "split_prior": (lambda: SplitPrior(network((4, 6, 2), 4)), IMAGE),
    "chain": (small_chain, IMAGE),
    "realnvp": (lambda: kgen.networks.realnvp((4, 4, 1), steps=1, filters=4), (4, 4, 1)),
    "glow": (lambda: kgen.networks.glow((4, 4, 1), steps=1, filters=4), (4, 4, 1)),
    "tarflow": (lambda: kgen.networks.tarflow((4, 4, 1), steps=2, filters=8), (4, 4, 1)),
    "realnvp of points": (lambda: kgen.networks.realnvp((3,), steps=2, filters=4), (3,)),
}
each_bijection = pytest.mark.parametrize("name", [*BIJECTIONS])


def trained(name, seed=0):
    """A bijection as training might leave it, its inputs, outputs and log-determinants."""
    keras.utils.set_random_seed(seed)
    make, shape = BIJECTIONS[name]
    random, bijection = np.random.default_rng(seed), make()
    bounded = name in ("realnvp", "glow", "tarflow")  # they begin with a logit
    x = random.uniform(-1, 1, (3, *shape)) if bounded else random.uniform(-2, 2, (3, *shape))
    x = x.astype("float32")
    bijection(x, training=True)  # begins
    for v in bijection.trainable_variables:
        v.assign(ops.convert_to_numpy(v) + 0.1 * random.standard_normal(v.shape))
    return bijection, x, *map(ops.convert_to_numpy, bijection(x))


def jacobian(fn, x):
    """Of a function at each row of x, by derivatives along all axes: float64 `(N, D, D)`."""
    n, size = len(x), x[0].size
    along = np.repeat(np.eye(size, dtype="float32"), n, axis=0).reshape(size * n, *x.shape[1:])
    at = np.tile(x, (size, *[1] * (x.ndim - 1)))
    _, columns = backend.jvp(fn, ops.convert_to_tensor(at), ops.convert_to_tensor(along))
    columns = ops.convert_to_numpy(columns).astype("float64").reshape(size, n, size)
    return columns.transpose(1, 2, 0)


@each_bijection
def test_inverse_and_log_determinant(name):
    bijection, x, y, log_det = trained(name)
    back = ops.convert_to_numpy(bijection.inverse(y))
    np.testing.assert_allclose(back.reshape(x.shape), x, atol=1e-4)
    expected = np.linalg.slogdet(jacobian(lambda x: bijection(x)[0], x))[1]
    assert log_det.shape == (len(x),) and y.dtype == log_det.dtype == "float32"
    np.testing.assert_allclose(log_det, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "name", ["act_norm", "convolution", "squeeze", "logit", "affine", "autoregressive"]
)
def test_outputs_are_those_by_hand(name):
    bijection, x, y, log_det = trained(name)
    expected, expected_log_det = step(bijection, x.astype("float64"), None)
    np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(log_det, np.broadcast_to(expected_log_det, len(x)), rtol=1e-4)


@each_bijection
def test_a_bijection_alone_in_a_keras_model(name, tmp_path):
    bijection, x, y, log_det = trained(name)
    inputs = keras.Input(x.shape[1:])
    model = keras.Model(inputs, bijection(inputs))
    assert [tuple(o.shape) for o in model.outputs] == [(None, *y.shape[1:]), (None,)]
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    for found, expected in zip(loaded.predict(x, verbose=0), (y, log_det), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_bijections_compute_in_float32(policy):
    x = np.random.default_rng(0).uniform(-3, 3, (4, *IMAGE)).astype("float32")
    for layer in (ActNorm, InvertibleConv1x1, Squeeze, lambda dtype: Logit(-4, 4, dtype=dtype)):
        keras.utils.set_random_seed(0)
        expected = layer(dtype="float32")(x)
        keras.utils.set_random_seed(0)
        for a, b in zip(layer(dtype=policy)(x), expected, strict=True):
            np.testing.assert_array_equal(ops.convert_to_numpy(a), ops.convert_to_numpy(b))


def test_act_norm_begins_with_the_statistics_of_the_first_batch():
    random, layer = np.random.default_rng(0), ActNorm()
    first, second = (a * random.standard_normal((64, 3, 3, 2)) + a for a in (5.0, 9.0))
    np.testing.assert_allclose(ops.convert_to_numpy(layer(first)[0]), first, rtol=1e-6)
    y, log_det = map(ops.convert_to_numpy, layer(first, training=True))
    np.testing.assert_allclose(y.mean((0, 1, 2)), 0, atol=1e-5)
    np.testing.assert_allclose(y.std((0, 1, 2)), 1, rtol=1e-5)
    expected = -9 * np.log(first.std((0, 1, 2))).sum()
    np.testing.assert_allclose(log_det, np.full(64, expected), rtol=1e-5)
    again = ops.convert_to_numpy(layer(second, training=True)[0])
    expected = (second - first.mean((0, 1, 2))) / first.std((0, 1, 2))
    np.testing.assert_allclose(again, expected, rtol=1e-4, atol=1e-5)


def test_act_norm_leaves_the_scale_of_what_did_not_vary():
    layer = ActNorm()
    y, log_det = layer(np.full((8, 2), 3.0, "float32"), training=True)
    np.testing.assert_array_equal(ops.convert_to_numpy(y), np.zeros((8, 2)))
    np.testing.assert_array_equal(ops.convert_to_numpy(log_det), np.zeros(8))
    np.testing.assert_array_equal(ops.convert_to_numpy(layer(np.full((1, 2), 5.0))[0]), [[2, 2]])


@keras.saving.register_keras_serializable("kgen_tests")
class Scale(kgen.layers.Bijection):
    """One of a user's own."""

    def __init__(self, factor=2.0, **kwargs):
        super().__init__(**kwargs)
        self.factor = factor

    def call(self, inputs, told=None):
        x = ops.cast(inputs, "float32")
        log_det = x[..., 0] * 0 + x.shape[-1] * float(np.log(self.factor))
        return x * self.factor, log_det

    def inverse(self, outputs, told=None):
        return outputs / self.factor


def test_a_users_own_bijection_keeps_its_arguments():
    chain = Chain(scale for scale in (Scale(5.0), ActNorm()))
    x = np.ones((2, 3), "float32")
    again = Chain.from_config(chain.get_config())
    for made in (chain, again, Chain.from_config(again.get_config())):
        np.testing.assert_array_equal(ops.convert_to_numpy(made(x)[0]), 5 * x)
        np.testing.assert_allclose(ops.convert_to_numpy(made(x)[1]), 3 * np.log([5, 5]), rtol=1e-6)


def test_a_convolution_begins_as_a_rotation():
    keras.utils.set_random_seed(1)
    layer = InvertibleConv1x1()
    rows = ops.convert_to_numpy(layer(np.eye(6, dtype="float32"))[0])
    np.testing.assert_allclose(rows @ rows.T, np.eye(6), atol=1e-6)
    np.testing.assert_allclose(ops.convert_to_numpy(layer(rows)[1]), np.zeros(6), atol=1e-6)
    keras.utils.set_random_seed(2)
    assert np.abs(ops.convert_to_numpy(InvertibleConv1x1()(np.eye(6))[0]) - rows).max() > 0.1


def test_no_density_beyond_what_has_a_logit():
    x = np.array([[0.5, 0.5], [1.1, 0.5], [0.5, -0.1], [1.0, 0.0]], "float32")
    for margin, expected in (
        (0.0, [True, False, False, False]),
        (0.05, [True, False, False, True]),
    ):
        _, log_det = Logit(0, 1, margin)(x)
        np.testing.assert_array_equal(np.isfinite(ops.convert_to_numpy(log_det)), expected)
        assert not np.isnan(ops.convert_to_numpy(log_det)).any()


def test_a_split_prior_is_a_normal_density():
    """Its log-determinant and a standard normal are the density of what leaves."""
    prior, x, y, log_det = trained("split_prior")
    a, b = x[..., :2], x[..., 2:]
    raw, _ = np.split(ops.convert_to_numpy(prior.network(a)), 2, axis=-1)
    log_scale, z = np.tanh(raw), y[..., 2:]
    mean = b - z * np.exp(-log_scale)
    expected = stats.norm(mean, np.exp(-log_scale)).logpdf(b).sum((1, 2, 3))
    found = stats.norm.logpdf(z).sum((1, 2, 3)) + log_det
    np.testing.assert_allclose(found, expected, rtol=1e-4)
    np.testing.assert_array_equal(y[..., :2], a)


def test_a_chain_leaves_the_parts_in_order():
    """What goes on to the end comes first, what leaves first comes last."""
    zeros = [keras.Sequential([keras.Input((s, s, c)), layers.Conv2D(2 * c, 1, name="c")])
             for s, c in ((2, 2), (1, 4))]  # fmt: skip
    for model in zeros:
        model.set_weights([np.zeros_like(w) for w in model.get_weights()])
    chain = Chain([Squeeze(), SplitPrior(zeros[0]), Squeeze(), SplitPrior(zeros[1])])
    x = np.arange(16, dtype="float32").reshape(1, 4, 4, 1)
    z = ops.convert_to_numpy(chain(x)[0])[0]
    rows = x[0, :, :, 0]
    assert set(z[8:]) == set(rows[1::2].ravel())  # the lower pixels of each block
    assert set(z[:4]) == {0, 1, 2, 3} and set(z[4:8]) == {8, 9, 10, 11}
    np.testing.assert_array_equal(ops.convert_to_numpy(chain.inverse(z[None])), x)


@pytest.mark.parametrize("make", [ActNorm, InvertibleConv1x1])
def test_images_of_any_size(make):
    inputs = keras.Input((None, None, 4))
    layer = make()
    model = keras.Model(inputs, layer(inputs))
    layer.trainable_variables[0].assign_add(ops.full(layer.trainable_variables[0].shape, 0.1))
    for side in (4, 6):
        x = np.random.default_rng(0).standard_normal((3, side, side, 4)).astype("float32")
        y, log_det = model.predict(x, verbose=0)
        np.testing.assert_allclose(ops.convert_to_numpy(layer.inverse(y)), x, atol=1e-4)
        alone = model.predict(x[:, :1, :1], verbose=0)[1]
        np.testing.assert_allclose(log_det, side**2 * alone, rtol=1e-4, atol=1e-5)


def test_squeeze_makes_floats_of_grey_levels():
    x = np.random.default_rng(0).integers(0, 256, (2, 4, 4, 1), "uint8")
    y, _ = Squeeze()(x)
    assert keras.backend.standardize_dtype(y.dtype) == "float32"
    back = ops.convert_to_numpy(Squeeze().inverse(y))
    assert back.dtype == "float32"
    np.testing.assert_array_equal(back, x)


SHARED = network((3,), 4)


def built(layer, shape, chain=False):
    layer = Chain([layer]) if chain else layer
    layer(np.zeros((1, *shape)))
    return layer


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: AffineCoupling(network((3,), 4))(np.zeros((2, 1))), "squeeze them"),
        (lambda: AffineCoupling(network((3,), 4), "checkerboard")(np.zeros((2, 6))), "channels"),
        (lambda: AffineCoupling(network((3,), 4))(np.zeros((2, 6))), r"return shape \(None, 6\)"),
        (lambda: AffineCoupling(network((3,), 4), "rows"), "checkerboard"),
        (lambda: AffineCoupling(network((3,), 4), limit=0), "limit"),
        (lambda: AffineCoupling(network((3,), 4), flip=1), "flip"),
        (lambda: Squeeze()(np.zeros((2, 3, 4, 1))), "3x4 pixels"),
        (lambda: Logit(1, 1), "low must be below"),
        (lambda: Logit(margin=0.5), "margin"),
        (lambda: AffineCoupling("dense"), "Keras layer or model"),
        (lambda: AffineCoupling(network((3,), 4))(np.zeros((2, 5)), np.zeros(2)), "takes 1 inputs"),
        (lambda: Squeeze()(np.zeros((2, 4))), "takes images"),
        (lambda: Autoregressive(network((3,), 4)), "CausalTransformer"),
        (lambda: Autoregressive(causal(2))(keras.Input((None, 4, 1))), "sides are known"),
        (lambda: Autoregressive(causal(6))(np.zeros((2, 5))), r"must return shape \(None, 5, 2\)"),
        (
            lambda: Autoregressive(causal(2, num_classes=3))(np.zeros((2, 5))),
            "takes .sequences, la",
        ),
        (lambda: built(Autoregressive(causal(2)), (4, 4, 1))(np.zeros((2, 8, 8, 1))), "built for"),
        (lambda: built(ActNorm(), (3,), chain=True).inverse(np.zeros((2, 4))), r"\(None, 3\)"),
        (lambda: causal(2)(np.zeros((2, 5))), "takes sequences"),
        (lambda: built(causal(2), (5, 1))(np.zeros((2, 6, 1))), "built for 5 places"),
        (lambda: CausalTransformer(2, width=6), "width=6 does not divide into heads=4"),
        (lambda: kgen.networks.tarflow((8, 8, 1), filters=6), "multiple of 4"),
        (lambda: Chain(ActNorm), "Bijection"),
        (lambda: Chain([AffineCoupling(SHARED), AffineCoupling(SHARED)]), "share a network"),
        (
            lambda: Chain([Chain([AffineCoupling(SHARED)]), AffineCoupling(SHARED)]),
            "share a network",
        ),
        (lambda: ActNorm()(keras.Input((None,))), "whose channels are known"),
        (lambda: InvertibleConv1x1()(keras.Input((4, 4, None))), "whose channels are known"),
        (lambda: AffineCoupling(SHARED)(keras.Input((None,))), "whose channels are known"),
        (
            lambda: AffineCoupling(SHARED, "checkerboard")(keras.Input((None, 4, 1))),
            "whose sides are known",
        ),
        (lambda: Squeeze()(keras.Input((None, None, 1))), "Squeeze is of inputs whose sides"),
        (lambda: Chain([ActNorm()])(keras.Input((None, None, 1))), "Chain is of inputs whose side"),
        (lambda: built(ActNorm(), (4, 4, 1), chain=True)(np.zeros((2, 6, 6, 1))), "was built for"),
        (lambda: ActNorm().inverse(np.zeros((2, 3))), "ActNorm has seen no inputs yet"),
        (lambda: InvertibleConv1x1().inverse(np.zeros((2, 3))), "seen no inputs yet"),
        (lambda: AffineCoupling(network((3,), 4)).inverse(np.zeros((2, 5))), "seen no inputs yet"),
        (lambda: Autoregressive(causal(2)).inverse(np.zeros((2, 5))), "seen no inputs yet"),
        (lambda: Chain([ActNorm()]).inverse(np.zeros((2, 5))), "seen no inputs yet"),
        (lambda: kgen.networks.tarflow((8, 8, 1), levels=3), "levels=3 images of 8x8 .* one patch"),
        (lambda: kgen.networks.realnvp((3,), blocks=0), "blocks"),
        (lambda: kgen.networks.glow((3,), levels=2), "neither levels"),
        (lambda: kgen.networks.tarflow((3,), margin=0.1), "nor a logit"),
        (lambda: kgen.networks.variational_dequantization((4, 4, 1), steps=0), "steps"),
        (lambda: kgen.networks.variational_dequantization((4, 4, 1), filters=1.5), "filters"),
        (lambda: kgen.layers.VariationalDequantization(layers.Dense(1)), "Bijection"),
        (
            lambda: kgen.layers.UniformDequantization()(np.zeros((2, 4, 4, 1), "uint8")),
            "127.5 - 1",
        ),
        (lambda: kgen.networks.glow((8, 8, 1), num_classes=0), "num_classes"),
        (lambda: kgen.networks.realnvp((8, 8, 1), blocks=0), "blocks"),
        (lambda: kgen.networks.variational_dequantization((3,)), "no levels"),
        (lambda: Chain([]), "one bijection"),
        (lambda: Chain([layers.Dense(2)]), "Bijection"),
    ],
)
def test_what_cannot_be_is_refused(make, words):
    with pytest.raises((TypeError, ValueError), match=words):
        make()


@pytest.mark.parametrize("kind", ["uniform", "variational"])
def test_dequantization_tells_its_density(kind):
    """The noise stays within its level, and log q follows the change of variables."""
    keras.utils.set_random_seed(0)
    make = getattr(kgen.networks, f"{kind}_dequantization")
    layer = make((2, 2, 1), **({"filters": 4, "steps": 2} if kind == "variational" else {}))
    random = np.random.default_rng(0)
    for v in layer.trainable_variables:
        v.assign(ops.convert_to_numpy(v) + 0.5 * random.standard_normal(v.shape))
    levels = random.integers(0, 256, (3, 2, 2, 1))
    images = (levels / 127.5 - 1).astype("float32")
    noisy, log_q = map(ops.convert_to_numpy, layer(images, seed=0))
    assert (np.abs(noisy - images) <= 1 / 255 + 1e-7).all() and len(np.unique(noisy)) == 12
    if kind == "uniform":
        np.testing.assert_allclose(log_q, np.full(3, 4 * np.log(127.5)), rtol=1e-6)
        return
    noise = random.standard_normal(images.shape).astype("float32")
    log_q = ops.convert_to_numpy(layer.noisy(ops.convert_to_tensor(images), noise)[1])
    repeated = ops.convert_to_tensor(np.tile(images, (4, 1, 1, 1)))
    made = jacobian(lambda noise: layer.noisy(repeated, noise)[0], noise)
    log_det = np.linalg.slogdet(made)[1]
    expected = stats.norm.logpdf(noise).reshape(3, 4).sum(1) - log_det
    np.testing.assert_allclose(log_q, expected, rtol=1e-4)
