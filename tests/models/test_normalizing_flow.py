"""Normalizing flows: densities, samples, bits, and what is refused."""

import keras
import numpy as np
import pytest
from as_new import as_new
from cases import digits, in_range
from flow_by_hand import log_density
from keras import ops
from scipy import stats

import kgen
from kgen.layers import AffineCoupling, Chain

LABELS = kgen.conditions.ClassLabels


def small(shape=(8, 8), **options):
    keras.utils.set_random_seed(0)
    return kgen.NormalizingFlow(shape, **{"steps": 1, "filters": 8, **options})


def bent(n, seed=0):
    """Points of a curved density that is known: the second one is normal around a parabola."""
    x, y = np.random.default_rng(seed).standard_normal((2, n))
    return np.stack([x, 0.5 * x**2 + 0.3 * y], axis=1).astype("float32")


def log_density_of_bent(points):
    x, y = points.T
    return stats.norm.logpdf(x) + stats.norm(0.5 * x**2, 0.3).logpdf(y)


@pytest.fixture(scope="module")
def trained():
    keras.utils.set_random_seed(0)
    model = kgen.NormalizingFlow((2,), steps=4, filters=32)
    model.compile(keras.optimizers.Adam(3e-3, clipnorm=1.0))
    model.fit(bent(8_192), batch_size=256, epochs=15, verbose=0)
    return model


def test_the_density_integrates_to_one_and_is_that_of_the_data(trained):
    axis = np.linspace(-8, 8, 400, dtype="float32")
    grid = np.stack(np.meshgrid(axis, axis + 4), axis=-1).reshape(-1, 2)
    density = np.exp(trained.log_likelihood(grid, batch_size=20_000))
    assert density.sum() * (axis[1] - axis[0]) ** 2 == pytest.approx(1, abs=0.01)
    test = bent(4_000, seed=1)
    entropy = -log_density_of_bent(test).mean()
    assert entropy - 0.01 < -trained.log_likelihood(test).mean() < entropy + 0.05


def test_samples_agree_with_the_density(trained):
    """The mean log-density of samples is minus the density's own entropy; KS by latent."""
    drawn = trained.generate(4_000, seed=0)
    latents = trained.encode(drawn)
    for z in latents.T:
        assert stats.kstest(z, "norm").pvalue > 1e-3
    axis = np.linspace(-8, 8, 400, dtype="float32")
    grid = np.stack(np.meshgrid(axis, axis + 4), axis=-1).reshape(-1, 2)
    nats = trained.log_likelihood(grid, batch_size=20_000).astype("float64")
    entropy = -(np.exp(nats) * nats).sum() * (axis[1] - axis[0]) ** 2
    assert -trained.log_likelihood(drawn).mean() == pytest.approx(entropy, abs=0.05)
    real = bent(4_000, seed=2)
    for i in range(2):
        assert stats.ks_2samp(drawn[:, i], real[:, i]).pvalue > 1e-4


def test_temperature_scales_the_latents(trained):
    hot, cold = (trained.encode(trained.generate(500, temperature=t, seed=1)) for t in (1, 0.5))
    np.testing.assert_allclose(cold, hot / 2, atol=1e-4)
    still = trained.generate(3, temperature=0)
    np.testing.assert_allclose(still, trained.decode(np.zeros((3, 2))), atol=1e-6)
    with pytest.raises(ValueError, match="temperature"):
        trained.generate(3, temperature=-1)


@pytest.mark.parametrize("variant", ["glow", "realnvp", "tarflow"])
def test_encode_and_decode_are_inverses(variant):
    model, x = fitted(variant), in_range(digits(6))
    z = model.encode(digits(6))
    assert z.shape == (6, 64) and z.dtype == "float32"
    np.testing.assert_allclose(model.encode(x), z)  # nothing is drawn
    np.testing.assert_allclose(model.decode(z), x, atol=1e-4)


def test_ways_lead_from_image_to_image():
    model, x = fitted(), in_range(digits(6))
    z = model.encode(x)
    np.testing.assert_allclose(model.reconstruct(x), x, atol=1e-4)
    lines = model.interpolate(x[:2], x[2:4], steps=3)
    np.testing.assert_allclose(lines[:, [0, 2]], np.stack([x[:2], x[2:4]], 1), atol=1e-4)
    np.testing.assert_allclose(lines[:, 1], model.decode((z[:2] + z[2:4]) / 2), atol=1e-4)


def fitted(variant="glow", **options):
    def make():
        model = small(variant=variant, **options)
        model.compile()
        return model

    model = as_new(("flow", variant, *map(str, options.items())), make)
    labels = np.arange(160) % 3 if options.get("condition") else None
    model.fit(digits(), labels, batch_size=32, epochs=2, verbose=0)
    return model


@pytest.mark.parametrize("variant", ["glow", "realnvp", "tarflow"])
def test_likelihoods_are_those_by_hand(variant):
    model, x = fitted(variant), in_range(digits(10))
    expected = log_density(model, x.astype("float64"))
    np.testing.assert_allclose(model.log_likelihood(digits(10)), expected, rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(model.anomaly_score(x), -expected, rtol=1e-4, atol=1e-3)
    noise = np.random.default_rng(3).random(x.shape, dtype="float32")
    nats = log_density(model, x + (noise.astype("float64") - 0.5) / 127.5)
    expected = -nats / (64 * np.log(2)) + np.log2(127.5)
    for size in (None, 4):
        found = model.bits_per_dim(digits(10), seed=3, batch_size=size)
        np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_the_first_batch_of_fit_sets_the_statistics():
    """Of everything on the way, in the first step: the last outputs have mean 0 and variance 1."""
    model = small()
    model.compile(keras.optimizers.SGD(0.0))
    x = digits(32)
    model.fit(x, batch_size=32, shuffle=False, verbose=0)
    z = model.encode(x).reshape(32, 4, 4, 4)
    np.testing.assert_allclose(z.mean((0, 1, 2)), 0, atol=0.1)  # but for the noise of training
    np.testing.assert_allclose(z.std((0, 1, 2)), 1, atol=0.1)
    layer = model.flow.bijections[-1]
    assert float(ops.convert_to_numpy(layer.initialized)) == 1


def test_images_far_outside_the_range_have_no_density():
    model = small(check_range=False)
    images = np.stack([np.zeros((8, 8)), np.full((8, 8), 1.5)]).astype("float32")
    found = model.log_likelihood(images)
    assert np.isfinite(found[0]) and found[1] == -np.inf


def test_evaluate_sets_nothing():
    model = small()
    model.compile()
    before = [w.copy() for w in model.flow.get_weights()]
    model.evaluate(digits(32), verbose=0)
    model.bits_per_dim(digits(4))
    for a, b in zip(model.flow.get_weights(), before, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("variant", ["glow", "tarflow"])
def test_labels_are_told_to_what_moves(variant):
    model = fitted(variant, condition=LABELS(3))
    x, labels = digits(6), np.arange(6) % 3
    nats = [model.log_likelihood(x, label) for label in range(3)]
    assert np.abs(nats[0] - nats[1]).max() > 1e-2
    found = model.log_likelihood(x, labels)
    np.testing.assert_allclose(found, np.array(nats)[labels, np.arange(6)], rtol=1e-5)
    z = model.encode(x, labels)
    np.testing.assert_allclose(model.decode(z, labels), in_range(x), atol=1e-4)
    assert set(model.preview(6)) == {"0", "1", "2"}
    lines = [model.interpolate(x[:2], x[2:4], 3, labels) for labels in (1, [1], [1, 1])]
    np.testing.assert_array_equal(lines[0], lines[1])
    np.testing.assert_array_equal(lines[0], lines[2])
    np.testing.assert_allclose(model.reconstruct(x, labels), in_range(x), atol=1e-4)
    one, two = (model.generate(2, labels=label, seed=0) for label in (0, 1))
    assert np.abs(one - two).max() > 1e-5
    for method in (model.encode, model.log_likelihood, model.bits_per_dim):
        with pytest.raises(ValueError, match="labels"):
            method(x)
    with pytest.raises(ValueError, match="labels"):
        model.decode(z)
    with pytest.raises(ValueError, match="not conditional"):
        small().encode(x, labels)


@pytest.mark.parametrize("variant", ["glow", "tarflow"])
def test_mixed_precision_costs_less_than_a_hundredth_of_a_bit(variant):
    """After training, with the same weights: what begins at zero would hide the networks."""
    sizes = {"steps": 2 if variant == "glow" else 1, "filters": 16, "variant": variant}
    model = small(**sizes)
    model.compile(keras.optimizers.Adam(3e-3, clipnorm=1.0))
    model.fit(digits(), batch_size=32, epochs=20, verbose=0)
    mixed = small(**sizes, dtype="mixed_bfloat16")
    mixed.set_weights(model.get_weights())
    bits = [m.bits_per_dim(digits(100)).mean() for m in (model, mixed)]
    assert bits[0] < 6.5  # it has learned something
    assert bits[1] == pytest.approx(bits[0], abs=0.01)


def test_a_chain_of_ones_own():
    couplings = [
        AffineCoupling(kgen.networks.mlp_encoder((n,), m, hidden=(8,)), flip=flip)
        for n, m, flip in ((1, 4, False), (2, 2, True))
    ]
    model = kgen.NormalizingFlow((3,), flow=Chain(couplings))
    model.compile()
    x = np.random.default_rng(0).standard_normal((64, 3)).astype("float32")
    model.fit(x, batch_size=32, verbose=0)
    np.testing.assert_allclose(model.decode(model.encode(x)), x, atol=1e-4)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: small((28, 28), levels=3), r"after 2 there is 7.*levels=2 at most.*32x32"),
        (lambda: small((28, 20), levels=3), r"after 2 there is 7 and 5"),
        (lambda: small((27, 28)), r"27x28 pixels have an odd one: take 28x28"),
        (lambda: small((1, 1)), r"1x1 pixels have an odd one"),
        (lambda: small((1,)), "no parts"),
        (lambda: small(variant="nice"), "variant must be one of"),
        (lambda: small(levels=0), "levels"),
        (lambda: small(steps=0), "steps"),
        (lambda: small((2,), dequantization="variational"), "no levels"),
        (lambda: small(flow=Chain([kgen.layers.ActNorm()])), "used as it is"),
        (lambda: kgen.NormalizingFlow((4,), flow=small((2,)).flow), "was built for inputs"),
        (lambda: kgen.NormalizingFlow((3,), flow=untold(), condition=LABELS(3)), "takes 1 inputs"),
        (lambda: small(filters=2.5), "filters"),
        (lambda: small(dequantization="none"), "dequantization must be one of"),
        (lambda: small(condition=kgen.conditions.Target((8, 8))), "condition"),
        (lambda: kgen.NormalizingFlow((8, 8), flow=keras.layers.Dense(3)), "Bijection"),
        (lambda: kgen.NormalizingFlow((8, 8), flow=kgen.layers.ActNorm()), r"latents \(None, 64\)"),
        (lambda: small().decode(np.zeros((2, 63))), r"\(N, 64\)"),
        (lambda: small((4,), levels=2), "neither levels"),
        (lambda: small((2, 2), variant="tarflow"), "one patch"),
        (
            lambda: kgen.NormalizingFlow((3,), flow=told(2), condition=LABELS(5)),
            "told 2 classes, but the condition has 5",
        ),
        (
            lambda: small(dequantization=kgen.networks.variational_dequantization((4, 4, 1))),
            "dequantization was built for inputs",
        ),
        (lambda: small().decode(np.full((2, 64), np.nan)), "finite"),
        (lambda: small().log_likelihood(np.full((2, 8, 8), 1.5, "float32")), "uint8"),
        (lambda: small().bits_per_dim(np.full((2, 8, 8), 0.001, "float32")), "levels"),
        (lambda: small((2,)).bits_per_dim(np.zeros((2, 2), "float32")), "Points"),
    ],
)
def test_what_cannot_be_is_refused(make, words):
    with pytest.raises((TypeError, ValueError), match=words):
        make()


def told(classes):
    return kgen.networks.glow((3,), num_classes=classes, steps=1, filters=8)


def untold():
    network = keras.Sequential([keras.Input((1,)), keras.layers.Dense(4)])
    return Chain([AffineCoupling(network)])


def test_dequantization_as_an_object():
    model = small(dequantization=kgen.layers.UniformDequantization())
    model.compile()
    expected = small().bits_per_dim(digits(3), seed=1)
    np.testing.assert_allclose(model.bits_per_dim(digits(3), seed=1), expected, rtol=1e-6)
    again = type(model).from_config(model.get_config())
    assert isinstance(again.dequantization, kgen.layers.UniformDequantization)
    other = small((4, 4), dequantization=model.dequantization)  # it has no weights of a size
    assert other.bits_per_dim(np.zeros((2, 4, 4), "uint8")).shape == (2,)


def test_wide_points_are_not_mixed_by_a_matrix():
    """One of 784 by 784 would be ill-conditioned after a few updates."""
    model = small((784,), steps=2)
    model.compile(run_eagerly=True)
    x = np.random.default_rng(0).standard_normal((64, 784)).astype("float32")
    model.fit(x, batch_size=32, epochs=2, verbose=0)
    np.testing.assert_allclose(model.reconstruct(x[:4]), x[:4], atol=1e-4)


def test_grey_images_and_colors_of_any_even_size():
    for shape, levels in (((8, 8), 1), ((28, 28), 2), ((32, 32, 3), 3), ((10, 6, 2), 1)):
        model = small(shape)
        assert sum(type(b).__name__ == "Squeeze" for b in model.flow.bijections) == levels
        assert model.latent_dim == np.prod(shape)


@pytest.mark.full
@pytest.mark.parametrize("side", [8, 28])
@pytest.mark.parametrize("seed", range(10))
def test_training_does_not_diverge(seed, side):
    keras.utils.set_random_seed(seed)
    model = kgen.NormalizingFlow((side, side), seed=seed)
    model.compile()
    images = digits(1_700) if side == 8 else kgen.data.load("digits").images(1_700)
    history = model.fit(images, batch_size=64, epochs=6, verbose=0).history["loss"]
    assert np.isfinite(history).all() and history[-1] < history[0]


class Cut(keras.callbacks.Callback):
    """Ends the process's run after so many batches."""

    def __init__(self, after):
        super().__init__()
        self.after = after

    def on_train_batch_end(self, batch, logs=None):
        if batch + 1 == self.after:
            raise RuntimeError("cut")


def test_a_run_that_is_cut_in_the_epoch_of_the_first_statistics(tmp_path):
    def run(*callbacks, folder):
        model = small((2,), seed=3)
        model.compile(run_eagerly=True)  # compiled, too, runs go on: see the conformance suite
        checkpoint = kgen.callbacks.TrainingCheckpoint(folder, every=1)
        options = {"batch_size": 32, "epochs": 2, "verbose": 0}
        model.fit(bent(96), callbacks=[checkpoint, *callbacks], **options)
        return model.get_weights()

    whole = run(folder=tmp_path / "whole")
    for after in (1, 2):
        folder = tmp_path / str(after)
        with pytest.raises(RuntimeError, match="cut"):
            run(Cut(after), folder=folder)
        for a, b in zip(run(folder=folder), whole, strict=True):
            np.testing.assert_array_equal(a, b)
