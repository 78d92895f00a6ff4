"""The GAN: Algorithm 1 step by step on models small enough for a computation by hand."""

import by_hand
import keras
import numpy as np
import pytest
from keras import layers, ops
from scipy import special

import kgen
from kgen.layers import convolutions
from kgen.losses import R1, GradientPenalty, WeightClipping
from kgen.models.gan import VARIANTS

BACKEND = keras.backend.backend()
GRAY = (8, 8, 1)


def constant(value):
    return keras.initializers.Constant(value)


def line(weight, bias=None, trainable=True):
    """A network of one weight, or two: `x -> weight * x (+ bias)`."""
    layer = layers.Dense(
        1,
        use_bias=bias is not None,
        kernel_initializer=constant(weight),
        bias_initializer=constant(bias or 0.0),
        trainable=trainable,
    )
    return keras.Sequential([keras.Input((1,)), layer])


def weights(network):
    return [float(ops.convert_to_numpy(w).ravel()[0]) for w in network.weights]


@keras.saving.register_keras_serializable("kgen_tests")
class Quiet(kgen.GAN):
    """A GAN whose latents are a function of the batch."""

    def noise(self, real):
        return 1 - 2 * real


def quiet(generator=(0.7, -0.3), discriminator=0.4, cls=Quiet, **arguments):
    return cls((1,), 1, generator=line(*generator), discriminator=line(discriminator), **arguments)


def sgd(model, discriminator=0.1, generator=0.1, **options):
    rates = {"discriminator": discriminator, "generator": generator}
    model.compile({p: keras.optimizers.SGD(rate) for p, rate in rates.items()}, **options)
    return model


def numbers(n, seed=0):
    return np.random.default_rng(seed).normal(1, 1, (n, 1)).astype("float32")


def images(n, seed=0, shape=GRAY):
    return np.random.default_rng(seed).integers(0, 256, (n, *shape), "uint8")


def values(variables):
    return [ops.convert_to_numpy(v) for v in variables]


def small(variant="auto", cls=kgen.GAN, **arguments):
    """A GAN of digits with few weights."""
    return cls(GRAY, latent_dim=4, variant=variant, **arguments)


# Algorithm 1.


def slope(loss, at):
    """Derivative of a function of a list of numbers by each of them."""
    found = []
    for i in range(len(at)):
        sides = [loss([a + (i == j) * step for j, a in enumerate(at)]) for step in (1e-6, -1e-6)]
        found.append((sides[0] - sides[1]) / 2e-6)
    return found


@pytest.mark.parametrize(
    "loss, penalty, smoothing",
    [
        ("minimax", "none", 0.1),
        ("wasserstein", GradientPenalty(2.0), 0.0),
        ("relativistic_average", R1(0.5), 0.0),
    ],
)
def test_an_update_is_algorithm_1(loss, penalty, smoothing):
    """K steps of the discriminator, each on a minibatch of its own, then one of the generator."""
    k, x = 3, numbers(12)
    arguments = {"loss": loss, "penalty": penalty, "label_smoothing": smoothing}
    model = sgd(quiet(discriminator_steps=k, **arguments), 0.2, 0.3)
    logs = model.fit(x, batch_size=4, shuffle=False, verbose=0).history

    of_discriminator, of_generator = by_hand.ADVERSARIAL[loss]
    x = x.astype("float64")
    (a, b), w, made = (0.7, -0.3), 0.4, lambda real, a, b: a * (1 - 2 * real) + b

    def punished(w):  # the score's gradient is w everywhere
        factor = getattr(penalty, "weight", 0.0)
        return factor / 2 * w**2 if isinstance(penalty, R1) else factor * (abs(w) - 1) ** 2

    for j in range(k):
        real = x[j::k]
        fake = made(real, a, b)
        judged = lambda w: of_discriminator(w * real, w * fake, 1 - smoothing) + punished(w)  # noqa: B023, E731
        d_loss, scores = judged(w), (w * real.mean(), w * fake.mean())
        w -= 0.2 * slope(lambda at: judged(at[0]), [w])[0]  # noqa: B023
    fooled = lambda at: of_generator(w * real, w * made(real, *at))  # noqa: E731
    g_loss = fooled((a, b))
    steps = slope(fooled, [a, b])
    assert weights(model.discriminator) == pytest.approx([w], rel=1e-4)
    moved = [a - 0.3 * steps[0], b - 0.3 * steps[1]]
    assert weights(model.generator) == pytest.approx(moved, rel=1e-4)
    names = ("discriminator_loss", "generator_loss", "real_score", "fake_score")
    for name, value in zip(names, (d_loss, g_loss, *scores), strict=True):
        assert logs[name] == [pytest.approx(value, rel=1e-4, abs=1e-6)]
    kept = min(0.999, 1 / 10)
    average = [kept * old + (1 - kept) * new for old, new in zip((a, b), moved, strict=True)]
    assert weights(model.generator_average.model) == pytest.approx(average, rel=1e-4)


def test_batch_size_is_m_and_minibatches_are_different_images(monkeypatch):
    model, seen = sgd(quiet(discriminator_steps=3), run_eagerly=True), []
    step = model.discriminator_step

    def watched(real, fake):
        seen.append(ops.convert_to_numpy(ops.stop_gradient(real)).ravel().tolist())
        return step(real, fake)

    monkeypatch.setattr(model, "discriminator_step", watched, raising=False)
    x = np.arange(24, dtype="float32")[:, None]
    model.fit(x, batch_size=4, verbose=0)
    assert [len(part) for part in seen] == [4] * 6
    assert sorted(number for part in seen for number in part) == x.ravel().tolist()
    steps = {player: int(model.optimizer[player].iterations) for player in model.players}
    assert steps == {"discriminator": 6, "generator": 2} and int(model.step) == 2


@pytest.mark.parametrize("moving", ["discriminator", "generator"])
def test_each_player_moves_its_own_weights_only(moving):
    still = "generator" if moving == "discriminator" else "discriminator"
    model = small("gan", normalization="batch", discriminator_steps=2)
    sgd(model, **{moving: 0.1, still: 0.0})
    before = {player: values(model.variables_of(player)) for player in model.players}
    statistics = values(model.discriminator.non_trainable_variables)
    model.fit(images(64), batch_size=16, verbose=0)
    for player, old in before.items():
        for a, b in zip(old, values(model.variables_of(player)), strict=True):
            assert (a != b).any() == (player == moving)
    after = values(model.discriminator.non_trainable_variables)
    assert all((a != b).any() for a, b in zip(statistics, after, strict=True))


@pytest.mark.parametrize("penalty", ["none", R1(), R1(every=2)])
def test_statistics_of_the_discriminator_are_of_real_and_generated_images_alike(penalty):
    normalization = layers.BatchNormalization(momentum=0.9)
    dropout = layers.Dropout(0.5, seed=1)
    network = [keras.Input((1,)), normalization, dropout, layers.Dense(1)]
    players = {"generator": line(0.7, -0.3), "discriminator": keras.Sequential(network)}
    model = sgd(Quiet((1,), 1, penalty=penalty, **players), 0.0, 0.0)
    seed, real = values([dropout.seed_generator.state])[0], numbers(16)
    model.fit(real, batch_size=16, verbose=0)
    mean, variance = 0.0, 1.0
    for seen in (real, 0.7 * (1 - 2 * real) - 0.3):  # in the discriminator's step, once each
        mean, variance = (0.9 * mean + 0.1 * seen.mean(), 0.9 * variance + 0.1 * seen.var())
    assert weights(normalization)[2:] == pytest.approx([mean, variance], rel=1e-4)
    # What is undone in the generator's step are statistics: no mask is drawn twice.
    if penalty == "none":
        assert (values([dropout.seed_generator.state])[0] - seed).tolist() == [0, 3]


def products(model, batch):
    """How many products of matrices one step of training computes, compiled as `fit` compiles it.

    What no result depends on is not computed. A kernel's gradient of a 4x4 convolution of stride 2
    is four products, as `kgen.layers` writes it out; where torch computes one, it counts as such.
    """
    if BACKEND == "tensorflow":
        import tensorflow as tf

        step = tf.function(model.train_step, autograph=False)
        graph = step.get_concrete_function((tf.constant(batch),)).graph
        waiting, needed = [t.op for t in graph.outputs] + [*graph.control_outputs], set()
        while waiting:
            if (operation := waiting.pop()) not in needed:
                needed.add(operation)
                waiting += [t.op for t in operation.inputs] + operation.control_inputs
        return sum(operation.type == "MatMul" for operation in needed)
    if BACKEND == "jax":
        import jax

        groups = (
            model.trainable_variables,
            model.non_trainable_variables,
            model.optimizer.variables,
            model.metrics_variables,
        )
        state = tuple([v.value for v in group] for group in groups)
        step = jax.make_jaxpr(model.train_step)(state, (batch,)).jaxpr
        needed, _ = jax.interpreters.partial_eval.dce_jaxpr(step, [True] * len(step.outvars))
        written = str(needed)
        return written.count("dot_general[") + 4 * written.count("kgen_kernel_gradient[")
    from torch.utils._python_dispatch import TorchDispatchMode

    class Counting(TorchDispatchMode):
        count = 0

        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            name = function.overloadpacket.__name__
            self.count += name in ("mm", "addmm", "bmm", "baddbmm", "linear")
            if name == "convolution_backward":
                _, of_kernel, _ = args[-1]
                self.count += 4 * of_kernel
            return function(*args, **(kwargs or {}))

    with Counting() as counting:
        model.train_step((ops.convert_to_tensor(batch),))
    return counting.count


@pytest.mark.parametrize("k", [1, 2])
def test_no_gradient_is_computed_that_no_one_steps_along(k):
    """Of three layers each; a step takes the gradients of its player's weights, and their way."""
    generator = kgen.networks.mlp_generator((2,), 3, hidden=(8, 8))
    discriminator = kgen.networks.mlp_discriminator((2,), hidden=(8, 8))
    model = kgen.GAN(
        (2,),
        3,
        penalty="none",
        generator=generator,
        discriminator=discriminator,
        discriminator_steps=k,
    )
    model.compile()
    making = 3
    judging = 2 * (3 + 3 + 2)  # real and generated: forward, by weights, by what lies between
    fooling = (3 + 3) + 3 + (3 + 2)  # forward; through the discriminator; in the generator
    batch = np.random.default_rng(0).normal(size=(4 * k, 2)).astype("float32")
    assert products(model, batch) == k * (making + judging) + fooling


def test_a_generator_step_takes_no_gradient_of_the_discriminators_convolutions(monkeypatch):
    """Of one convolution and one dense layer in each network."""
    monkeypatch.setattr(convolutions, "_is_traced_for_xla", lambda: True)  # written out: products
    model = small("dcgan")
    model.compile()
    convolution = 4  # the gradient of its kernel; convolutions themselves are no products
    making = 1
    judging = 2 * (1 + (1 + 1) + convolution)  # forward; dense, by weights and inputs
    fooling = (1 + 1) + 1 + (convolution + 1)  # forward; through D; in the generator
    assert products(model, images(4)) == making + judging + fooling


# Penalties.


def still(penalty, **arguments):
    """Real and generated points are the same, so only the penalty moves the discriminator."""

    @keras.saving.register_keras_serializable("kgen_tests")
    class Same(Quiet):
        def noise(self, real):
            return real

    options = {"generator": (1.0, 0.0), "discriminator": 2.0, "cls": Same, "loss": "wasserstein"}
    return quiet(**options, penalty=penalty, **arguments)


@pytest.mark.parametrize("run_eagerly", [False, True])
def test_a_lazy_penalty_is_due_at_every_third_update_three_times_as_heavy(run_eagerly):
    model = sgd(still(R1(0.5, every=3)), 0.1, 0.0, run_eagerly=run_eagerly)
    traces, update = [], model.update
    model.update = lambda batch: traces.append(1) or update(batch)
    found = []
    for _ in range(5):  # of one update each
        loss = model.fit(numbers(4), batch_size=4, verbose=0).history["discriminator_loss"]
        found.append((*loss, *weights(model.discriminator)))
    w, expected = 2.0, []
    for step in range(5):
        loss = 3 * 0.25 * w**2 if step % 3 == 0 else 0.0
        w -= 0.1 * 3 * 0.5 * w if step % 3 == 0 else 0.0
        expected.append((loss, w))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    if not run_eagerly and BACKEND != "torch":
        assert len(traces) <= 2  # TensorFlow traces once more to make variables
    measured = model.evaluate(numbers(4), verbose=0)["discriminator_loss"]
    assert measured == pytest.approx(0.25 * w**2, rel=1e-5)


def test_the_gradient_penalty_pulls_slopes_to_one():
    model = sgd(still("gradient_penalty"), 0.05, 0.0)
    model.fit(numbers(64), batch_size=4, verbose=0)
    assert weights(model.discriminator) == pytest.approx([1.0], abs=1e-3)


def test_clipped_weights_stay_in_their_bounds():
    model = small("gan", loss="wasserstein", penalty=WeightClipping(0.02))
    sgd(model, 5.0, 0.1)
    model.fit(images(32), batch_size=8, verbose=0)
    largest = [np.abs(w).max() for w in values(model.variables_of("discriminator"))]
    last_bias, *others = sorted(largest)  # moves both means alike, so it stays
    assert last_bias == 0 and others == pytest.approx([0.02] * len(others))
    assert max(np.abs(w).max() for w in values(model.variables_of("generator"))) > 0.03


@keras.saving.register_keras_serializable("kgen_tests")
class Halves(layers.Layer):
    """Half of the squared norm: its gradient is what comes in."""

    def call(self, x):
        return 0.5 * ops.sum(ops.square(x), axis=-1, keepdims=True)


def test_penalties_are_at_what_the_discriminator_sees():
    """Augmented images, and by these: the gradient of the augmentation is no part of it."""
    x, found = numbers(8), {}
    for augment in (None, Tripled()):
        model = still(R1(0.5), augment=augment)
        model = kgen.GAN(
            (1,),
            1,
            loss="wasserstein",
            penalty=R1(0.5),
            generator=model.generator,
            discriminator=keras.Sequential([keras.Input((1,)), Halves()]),
            augment=augment,
        )
        logs = sgd(model).evaluate(x, verbose=0)
        found[augment] = logs["discriminator_loss"] - logs["fake_score"] + logs["real_score"]
    plain, augmented = found.values()
    assert plain == pytest.approx(0.25 * np.square(x).mean(), rel=1e-4)
    assert augmented == pytest.approx(9 * plain, rel=1e-4)


# What the discriminator sees, what a user gets.


@keras.saving.register_keras_serializable("kgen_tests")
class Tripled(layers.Layer):
    """An augmentation without chance."""

    def call(self, images, seed=None):
        return 3 * images


def test_augmentation_is_for_the_discriminator_alone(tmp_path):
    x = images(64)
    plain = small()
    model = small(augment=Tripled(), generator=plain.generator, discriminator=plain.discriminator)
    np.testing.assert_array_equal(model.generate(5, seed=0), plain.generate(5, seed=0))
    np.testing.assert_array_equal(model.scores(x), plain.scores(x))
    model.compile(), plain.compile()
    found = model.evaluate(x, batch_size=64, verbose=0)
    tripled = by_hand.numpy(plain.discriminator, 3 * kgen.data.to_model_range(x))
    assert found["real_score"] == pytest.approx(tripled.mean(), rel=1e-3, abs=1e-5)
    assert found["real_score"] != pytest.approx(plain.evaluate(x, verbose=0)["real_score"], rel=0.1)
    model.save(tmp_path / "model.keras")
    assert isinstance(keras.saving.load_model(tmp_path / "model.keras").augment, Tripled)


def test_the_gradient_passes_through_the_augmentation():
    """With D(x) = w x behind a factor of 3, the generator's step is three times as long."""
    steps = []
    for augment in (None, Tripled()):
        model = sgd(
            quiet(loss="wasserstein", penalty=WeightClipping(1e6), augment=augment), 0.0, 0.1
        )
        model.fit(numbers(4), batch_size=4, verbose=0)
        steps.append(np.subtract(weights(model.generator), (0.7, -0.3)))
    np.testing.assert_allclose(steps[1], 3 * steps[0], rtol=1e-4)


def test_augmentations_by_name():
    model = small(augment="translation,cutout")
    assert model.augment.policy == ["translation", "cutout"]
    assert small().augment is None


@pytest.mark.parametrize("loss", ["non_saturating", "least_squares"])
def test_label_smoothing_is_of_real_images_in_the_discriminators_loss(loss):
    x = numbers(8)
    found = []
    for smoothing in (0.0, 0.2):
        model = sgd(quiet(loss=loss, penalty="none", label_smoothing=smoothing))
        found.append(model.evaluate(x, batch_size=8, verbose=0))
    of_discriminator, _ = by_hand.ADVERSARIAL[loss]
    real, fake = (0.4 * a.astype("float64") for a in (x, 0.7 * (1 - 2 * x) - 0.3))
    expected = of_discriminator(real, fake, 0.8)
    assert found[1].pop("discriminator_loss") == pytest.approx(expected, rel=1e-5)
    plain = found[0].pop("discriminator_loss")
    assert plain == pytest.approx(of_discriminator(real, fake, 1.0), rel=1e-5)
    assert found[0] == found[1]


def test_generated_images_are_of_the_average():
    model = sgd(small(), 0.0, 10.0)
    model.fit(images(64), batch_size=16, verbose=0)
    z = np.random.default_rng(5).standard_normal((7, 4), dtype="float32")
    average = by_hand.numpy(model.generator_average.model, z)
    np.testing.assert_allclose(model.generate(7, seed=5), average, atol=1e-5)
    np.testing.assert_allclose(model.decode(z), average, atol=1e-5)
    np.testing.assert_allclose(model.predict(z, verbose=0), average, atol=1e-5)
    assert np.abs(by_hand.numpy(model.generator, z) - average).max() > 0.01
    with pytest.raises(ValueError, match="not conditional"):
        model.generate(3, labels=1)


@pytest.mark.parametrize("normalization", ["batch", "spectral"])
def test_a_frozen_discriminator_is_not_moved(normalization):
    gan = small("dcgan", normalization=normalization)
    gan.discriminator.trainable = False
    gan.compile()
    before = values(gan.discriminator.weights), values(gan.generator.trainable_weights)
    gan.fit(images(8), batch_size=4, verbose=0)
    for old, new in zip(before[0], values(gan.discriminator.weights), strict=True):
        np.testing.assert_array_equal(old, new)
    moved = zip(before[1], values(gan.generator.trainable_weights), strict=True)
    assert any((old != new).any() for old, new in moved)
    assert int(gan.optimizer.iterations) == 2


def test_a_network_that_is_set_takes_the_others_place():
    gan, z = quiet(average_decay=0.5), numbers(4)
    sgd(gan)
    gan.fit(numbers(8), batch_size=4, verbose=0)
    gan.decode(z), gan.scores(z)
    count = len(gan.weights)
    gan.generator, gan.discriminator = line(2.0, 0.5), line(3.0)
    assert len(gan.weights) == count
    np.testing.assert_allclose(gan.decode(z), 2 * z + 0.5, rtol=1e-6)
    np.testing.assert_allclose(gan.scores(z), 3 * z[:, 0], rtol=1e-6)
    with pytest.raises(ValueError, match="call compile"):
        gan.fit(numbers(8), batch_size=4, verbose=0)
    sgd(gan)
    gan.fit(numbers(8), batch_size=4, verbose=0)
    assert weights(gan.generator)[0] != 2.0 != weights(gan.generator_average.model)[0]
    with pytest.raises(ValueError, match="scores"):
        gan.discriminator = keras.Sequential([keras.Input((1,)), layers.Dense(2)])


def test_a_generator_that_is_frozen_is_averaged_on():
    model = quiet(average_decay=0.5)
    sgd(model)
    model.fit(numbers(8), batch_size=4, verbose=0)
    old, new = weights(model.generator_average.model), weights(model.generator)
    assert old != pytest.approx(new, rel=1e-4)
    model.generator.trainable = False
    sgd(model)
    model.fit(numbers(4), batch_size=4, verbose=0)
    assert weights(model.generator) == new
    kept = min(0.5, 3 / 12)  # (1 + step) / (10 + step) at step 2
    average = [kept * a + (1 - kept) * b for a, b in zip(old, new, strict=True)]
    assert weights(model.generator_average.model) == pytest.approx(average, rel=1e-5)


def test_an_average_of_decay_zero_is_the_generator():
    model = small(average_decay=0)
    model.compile()
    model.fit(images(32), batch_size=16, verbose=0)
    for a, b in zip(
        values(model.generator_average.model.weights), values(model.generator.weights), strict=True
    ):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-9)


def test_scores_and_probabilities():
    x = images(9)
    model = small()
    scores = model.scores(x)
    expected = by_hand.numpy(model.discriminator, kgen.data.to_model_range(x))[:, 0]
    assert scores.shape == (9,) and scores.dtype == "float32"
    np.testing.assert_allclose(scores, expected, atol=1e-5)
    np.testing.assert_allclose(model.scores(x, batch_size=2), scores, atol=1e-5)
    np.testing.assert_allclose(model.discriminate(x), special.expit(expected), atol=1e-6)
    shared = {"generator": model.generator, "discriminator": model.discriminator}
    squares = small(loss="least_squares", **shared)
    np.testing.assert_allclose(squares.discriminate(x), np.clip(expected, 0, 1), atol=1e-5)
    for loss in ("wasserstein", "hinge", "relativistic", "relativistic_average"):
        silent = small(loss=loss, penalty=WeightClipping(1e6), **shared)
        np.testing.assert_allclose(silent.scores(x), scores, atol=1e-6)
        with pytest.raises(NotImplementedError, match=rf"{loss}.*use scores\(\)"):
            silent.discriminate(x)


def test_collapse_is_watched_without_probabilities():
    x = images(64)
    model = small("wgan", discriminator_steps=1)
    model.compile()
    monitor = kgen.callbacks.CollapseMonitor(x, n=50)
    history = model.fit(x, batch_size=32, verbose=0, callbacks=[monitor]).history
    assert np.isfinite(history["collapse_coverage"]).all()
    assert "collapse_saturation" not in history


# Variants.


def described(optimizer):
    """Class, learning rate and decay rates of an optimizer."""
    names = ("beta_1", "beta_2") if isinstance(optimizer, keras.optimizers.Adam) else ()
    rate = float(ops.convert_to_numpy(optimizer.learning_rate))
    return [type(optimizer).__name__, *np.round([rate, *(getattr(optimizer, n) for n in names)], 6)]


RADFORD = ["Adam", 2e-4, 0.5, 0.999]
PAPERS = {  # network, normalization, loss, penalty and its number, k, optimizer
    "gan": ("mlp", "none", "non_saturating", None, None, 1, RADFORD),
    "dcgan": ("dcgan", "batch", "non_saturating", None, None, 1, RADFORD),
    "wgan": ("dcgan", "batch", "wasserstein", WeightClipping, 0.01, 5, ["RMSprop", 5e-5]),
    "wgan_gp": (
        *("dcgan", "layer", "wasserstein", GradientPenalty, 10.0, 5),
        ["Adam", 1e-4, 0.0, 0.9],
    ),
    "lsgan": ("dcgan", "batch", "least_squares", None, None, 1, RADFORD),
    "sngan": ("dcgan", "spectral", "hinge", None, None, 1, RADFORD),
    "r1": ("dcgan", "none", "non_saturating", R1, 10.0, 1, RADFORD),
    "points": ("mlp", "none", "non_saturating", R1, 0.02, 1, ["Adam", 2e-3, 0.5, 0.9]),
}


@pytest.mark.parametrize("variant", PAPERS)
def test_variants_are_those_of_the_papers_and_survive_files(variant, tmp_path):
    assert list(VARIANTS) == list(PAPERS)
    network, normalization, loss, penalty, number, k, optimizer = PAPERS[variant]
    model = small(variant)
    assert (model.network, model.normalization, model.adversarial_loss) == (
        network,
        normalization,
        loss,
    )
    assert type(model.penalty) is (penalty or type(None))
    if penalty is not None:
        assert getattr(model.penalty, "weight", getattr(model.penalty, "bound", None)) == number
        assert getattr(model.penalty, "every", 1) == 1
    assert model.minibatches_per_update == k
    assert model.label_smoothing == 0 and model.generator_average.decay == 0.999
    model.compile()
    assert [described(model.optimizer[player]) for player in model.players] == [optimizer] * 2
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    networks = {*model.network_names}
    config, again = model.get_config(), loaded.get_config()
    assert {n: v for n, v in config.items() if n not in networks} == {
        n: v for n, v in again.items() if n not in networks
    }
    assert described(loaded.optimizer["generator"]) == described(model.optimizer["generator"])
    np.testing.assert_allclose(loaded.generate(3, seed=0), model.generate(3, seed=0), atol=1e-6)
    np.testing.assert_allclose(loaded.scores(images(3)), model.scores(images(3)), atol=1e-5)


@pytest.mark.parametrize("variant", ["gan", "lsgan", "r1"])  # the others conform as well
def test_variants_train_and_go_on_from_files(variant, tmp_path):
    model = small(variant)
    model.compile()
    model.fit(images(32), batch_size=16, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    history = loaded.fit(images(32), batch_size=16, verbose=0).history
    assert np.isfinite([*history.values()]).all() and int(loaded.step) == 4


def test_the_default_is_dcgan_for_images_and_points_for_points():
    model, of_points = kgen.GAN((8, 8)), kgen.GAN((2,))
    assert (model.variant, model.latent_dim, model.image_shape) == ("dcgan", 100, GRAY)
    assert (of_points.variant, of_points.latent_dim) == ("points", 2)
    for variant in VARIANTS:  # whatever it is for images
        other = kgen.GAN((2,), variant=variant)
        bounded = "spectral" if variant == "sngan" else "none"
        assert (other.network, other.normalization) == ("mlp", bounded)
    assert kgen.GAN((2,), variant="wgan_gp").penalty.weight == 10


def test_what_is_passed_wins_and_the_file_says_what_was_resolved():
    model = small(
        "wgan_gp",
        loss="hinge",
        penalty=R1(0.3, every=4),
        discriminator_steps=2,
        network="mlp",
        normalization="spectral",
    )
    config = model.get_config()
    assert config["variant"] == "wgan_gp" and config["loss"] == "hinge"
    assert config["penalty"]["config"] == {"weight": 0.3, "every": 4}
    assert config["discriminator_steps"] == 2
    assert (config["network"], config["normalization"]) == ("mlp", "spectral")
    kinds = {type(layer).__name__ for layer in model.discriminator.layers}
    assert "SpectralNormalization" in kinds and "Conv2D" not in kinds
    without = small("wgan_gp", loss="hinge", penalty="none")
    assert without.get_config()["penalty"] == "none"
    resolved = small("wgan").get_config()
    assert (resolved["loss"], resolved["discriminator_steps"]) == ("wasserstein", 5)
    assert resolved["penalty"]["class_name"] == "WeightClipping"
    model.compile({"generator": keras.optimizers.SGD(0.5)})  # the other is the variant's
    assert described(model.optimizer["generator"]) == ["SGD", 0.5]
    assert described(model.optimizer["discriminator"]) == ["Adam", 1e-4, 0.0, 0.9]


KINDS = ["GAN", "ConditionalGAN", "ACGAN", "InfoGAN", "BiGAN", "SemiSupervisedGAN"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("network", ["dcgan", "resnet"])
def test_filters_are_of_all_default_networks(network, kind, tmp_path):
    labeled = kind in ("ConditionalGAN", "ACGAN", "SemiSupervisedGAN")
    given = {"num_classes": 3} if labeled else {}
    model = getattr(kgen, kind)((16, 16), network=network, filters=4, **given)
    for name in ("generator", "discriminator", "encoder"):
        if hasattr(model, name):
            flat = getattr(model, name)._flatten_layers()
            widths = [layer.filters for layer in flat if hasattr(layer, "filters")]
            assert 4 in widths and set(widths) <= {1, 4, 8}
    model.save(path := tmp_path / "model.keras")
    assert keras.saving.load_model(path).get_config()["filters"] == 4
    assert getattr(kgen, kind)(GRAY, network=network, **given).filters is None


def test_networks_of_ones_own():
    generator = keras.Sequential(
        [keras.Input((3,)), layers.Dense(64, "tanh"), layers.Reshape(GRAY)]
    )
    discriminator = keras.Sequential([keras.Input(GRAY), layers.Flatten(), layers.Dense(1)])
    model = kgen.GAN((8, 8), 3, generator=generator, discriminator=discriminator)
    assert model.generator is generator and model.discriminator is discriminator
    model.compile()
    model.fit(images(32), batch_size=16, verbose=0)
    assert model.generate(2).shape == (2, *GRAY)


# What does not fit.


def heads(*widths, shape=GRAY):
    x = inputs = keras.Input(shape)
    x = layers.Flatten()(x)
    outputs = [layers.Dense(width)(x) for width in widths]
    return keras.Model(inputs, outputs if len(outputs) > 1 else outputs[0])


def ended(activation, width=1, inputs=GRAY):
    x = seen = keras.Input((inputs,) if isinstance(inputs, int) else inputs)
    x = layers.Dense(width, activation)(layers.Flatten()(x))
    return keras.Model(seen, layers.Reshape(GRAY)(x) if width > 1 else x)


class NamedScore(keras.Model):
    def call(self, x, training=False):
        return {"score": ops.mean(x, axis=(1, 2))}


@pytest.mark.parametrize(
    "arguments, words",
    [
        ({"discriminator_steps": 0}, "discriminator_steps must be a positive integer; got 0"),
        ({"discriminator_steps": 1.5}, "discriminator_steps"),
        ({"discriminator_steps": np.nan}, "discriminator_steps must be .* integer; got nan"),
        ({"discriminator_steps": np.inf}, "discriminator_steps must be .* integer; got inf"),
        ({"loss": ""}, "Unknown loss ''; known are"),
        ({"penalty": ["r1"]}, r"Unknown penalty \['r1'\]; known are"),
        ({"penalty": 0}, "Unknown penalty 0; known are"),
        ({"latent_dim": 0}, "latent_dim"),
        (
            {"loss": "wgan"},
            r"Unknown loss 'wgan'; known are \['minimax', .*'relativistic_average'\]",
        ),
        ({"penalty": "r2"}, r"Unknown penalty 'r2'.*'gradient_penalty', 'r1', 'weight_clipping'"),
        ({"variant": "biggan"}, r"Unknown variant 'biggan'; known are \['gan', .*'points'\]"),
        ({"network": "unet"}, r"Unknown network 'unet'; known are \['dcgan', 'mlp', 'resnet'\]"),
        ({"filters": 0}, "filters must be a positive integer; got 0"),
        ({"filters": 8, "network": "mlp"}, "filters=8 is of convolutional networks.*`hidden`"),
        ({"normalization": "group"}, r"Unknown normalization 'group'.*'batch', 'layer'"),
        ({"average_decay": 1.0}, r"decay must lie in \[0, 1\)"),
        ({"average_decay": "0.9"}, r"decay must lie in \[0, 1\); got '0.9'"),
        ({"label_smoothing": None}, r"label_smoothing must lie in \[0, 0.5\); got None"),
        ({"seed": 1.7}, "seed must be an integer of at least 0; got 1.7"),
        ({"seed": None}, "seed must be an integer of at least 0; got None"),
        ({"label_smoothing": 0.5}, r"label_smoothing must lie in \[0, 0.5\)"),
        ({"label_smoothing": -0.1}, "label_smoothing"),
        ({"label_smoothing": 0.1, "variant": "wgan"}, "'wasserstein' has no labels to smooth"),
        ({"augment": "mirror"}, r"'color', 'translation', 'cutout'"),
        ({"discriminator": heads(2)}, r"must return scores.*\(None, 1\).*\[\(None, 2\)\]"),
        ({"discriminator": heads(1, 1)}, "discriminator must return scores"),
        ({"discriminator": heads(1, shape=(9, 8, 1))}, r"not take.*\(N, 8, 8, 1\)"),
        ({"discriminator": "dcgan"}, "must be a keras.Model; got str"),
        ({"generator": heads(64, shape=(4,))}, r"images of shape \(None, 8, 8, 1\)"),
        ({"generator": heads(64, shape=(5,))}, r"\(N, 4\), but it has to take latents"),
        ({"generatr": None}, "generatr"),
        ({"discriminator": ended("sigmoid")}, r"ends in a sigmoid, but.* scores \(logits\)"),
        ({"generator": ended("sigmoid", 64, 4)}, "generator ends in a sigmoid.*End it in tanh"),
        ({"augment": layers.RandomFlip()}, "called with images and a seed.*RandomFlip"),
        ({"discriminator": NamedScore()}, "must return a tensor or a list of them"),
        ({"normalization": "group", "discriminator": heads(1)}, "Unknown normalization 'group'"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_what_does_not_fit_is_refused(arguments, words):
    with pytest.raises((TypeError, ValueError), match=words):
        kgen.GAN(GRAY, **{"latent_dim": 4, **arguments})


def test_the_wasserstein_loss_needs_a_critic_of_bounded_slope(tmp_path):
    for bounded in ({"penalty": "none"}, {}, {"variant": "wgan", "penalty": "none"}):
        with pytest.raises(ValueError, match=r"'wasserstein' needs .*penalty=\"gradient_penalty\""):
            small(**{"loss": "wasserstein", **bounded})
    for bounded in (
        {"penalty": "gradient_penalty"},
        {"penalty": "weight_clipping"},
        {"normalization": "spectral"},
        {"variant": "wgan_gp"},
    ):
        model = small(**{"loss": "wasserstein", **bounded})
    model.save(tmp_path / "critic.keras")
    assert keras.saving.load_model(tmp_path / "critic.keras").adversarial_loss == "wasserstein"


def test_what_points_and_small_images_are_refused():
    with pytest.raises(ValueError, match=r"image_shape must be .*; got None"):
        kgen.GAN(None)
    with pytest.raises(ValueError, match="augment is for images"):
        kgen.GAN((2,), augment="color")
    with pytest.raises(ValueError, match='network="mlp"'):
        kgen.GAN((2,), network="dcgan")
    with pytest.raises(ValueError, match='network="mlp"'):
        kgen.GAN((4, 4))
    assert kgen.GAN((4, 4), network="mlp", latent_dim=2).generate(1).shape == (1, 4, 4, 1)


def test_wrong_latents_and_images():
    model = small()
    for shape in ((3, 5), (4,), (2, 4, 1)):
        with pytest.raises(ValueError, match=r"latents must have shape \(N, 4\); got"):
            model.decode(np.zeros(shape))
    for wrong in (["red"], [[1.0], [2.0, 3.0]]):
        with pytest.raises(ValueError, match=r"latents must be numbers of shape \(N, 4\); got"):
            model.decode(wrong)
    with pytest.raises(ValueError, match="latents must be finite"):
        model.decode([[0, 1, np.nan, 2]])
    with pytest.raises(ValueError, match="expects"):
        model.scores(images(2, shape=(9, 8, 1)))
    with pytest.raises(TypeError, match=r"must be an array; of a dataset pass dataset.images\(\)"):
        model.scores(kgen.data.ImageDataset(images(2)))


def test_a_gradient_penalty_takes_no_batch_normalization_unless_asked():
    for given, found in ((None, "layer"), ("batch", "batch"), ("none", "none")):
        model = small("dcgan", penalty="gradient_penalty", normalization=given)
        assert model.normalization == found
    assert small("dcgan", penalty="r1").normalization == "layer"


def test_a_file_of_a_model_whose_generator_is_no_player(tmp_path):
    @keras.saving.register_keras_serializable("kgen_tests")
    class Judge(kgen.GAN):
        players = {"discriminator": ["discriminator"]}

    scale = keras.Sequential([keras.Input((2,)), layers.Rescaling(3.0, 1.0)])
    model = Judge((2,), generator=scale)
    model.compile()
    model.save(tmp_path / "judge.keras")
    again = keras.saving.load_model(tmp_path / "judge.keras")
    x = np.random.default_rng(0).normal(size=(5, 2)).astype("float32")
    np.testing.assert_allclose(by_hand.numpy(again.generator, x), 3 * x + 1, rtol=1e-5)
    np.testing.assert_allclose(again.scores(x), model.scores(x), rtol=1e-5)


def test_an_update_takes_k_times_m_images():
    model = sgd(quiet(discriminator_steps=3))
    with pytest.raises(ValueError, match=r"3 minibatches of 4 = 12 images, but .* only 10"):
        model.fit(numbers(10), batch_size=4, verbose=0)
    with pytest.raises(ValueError, match="multiple of 3"):
        model.fit((batch for batch in [(numbers(8),)]), verbose=0)
    model.compile()
    with pytest.raises(ValueError, match="dictionary from player"):
        model.compile("adam")


# Quality.


def elsewhere_full(test):
    """JAX takes a fraction of the time of the others."""
    return test if BACKEND == "jax" else pytest.mark.full(test)


@elsewhere_full
def test_the_ring_is_found():
    """All eight modes of a mixture of Gaussians, from the defaults."""
    points, _ = kgen.data.toy2d.draw("ring", 50_000)
    model = kgen.GAN((2,))
    model.compile()
    model.fit(points, batch_size=256, epochs=1, steps_per_epoch=2000, verbose=0)
    found = kgen.metrics.mode_coverage(model.generate(2500, seed=0), "ring")
    assert found.covered == 8 and found.good > 0.9, found
