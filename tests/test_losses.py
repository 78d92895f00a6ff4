"""The losses against their formulas, computed in NumPy, and against what the papers prove."""

import keras
import numpy as np
import pytest
from keras import ops
from scipy import special, stats

from kgen import losses
from kgen.losses import ADVERSARIAL_LOSSES, R1, GradientPenalty, WeightClipping, kl_divergence
from kgen.losses.penalties import get_penalty

RANDOM = np.random.default_rng(0)
REAL, FAKE = RANDOM.normal([[1.0]], 2.0, (40, 1)), RANDOM.normal([[-1.0]], 2.0, (40, 1))
LOSSES = [*ADVERSARIAL_LOSSES]


def number(tensor):
    """A float32 scalar as a number."""
    tensor = ops.convert_to_numpy(tensor)
    assert tensor.shape == () and tensor.dtype == "float32"
    return float(tensor)


def column(*scores):
    return np.array(scores, "float32")[:, None]


def log_sigmoid(scores):
    return special.log_expit(scores)


def cross_entropy(scores, label):
    return -(label * log_sigmoid(scores) + (1 - label) * log_sigmoid(-scores)).mean()


def told_apart(real, fake, label):
    return cross_entropy(real, label) - np.log(1 - special.expit(fake)).mean()


BY_HAND = {  # discriminator's and generator's loss
    "minimax": (told_apart, lambda real, fake: np.log(1 - special.expit(fake)).mean()),
    "non_saturating": (told_apart, lambda real, fake: -np.log(special.expit(fake)).mean()),
    "wasserstein": (
        lambda real, fake, label: fake.mean() - real.mean(),
        lambda real, fake: -fake.mean(),
    ),
    "least_squares": (
        lambda real, fake, label: 0.5 * ((real - label) ** 2).mean() + 0.5 * (fake**2).mean(),
        lambda real, fake: 0.5 * ((fake - 1) ** 2).mean(),
    ),
    "hinge": (
        lambda real, fake, label: -np.minimum(0, real - 1).mean() - np.minimum(0, -fake - 1).mean(),
        lambda real, fake: -fake.mean(),
    ),
    "relativistic": (
        lambda real, fake, label: -np.log(special.expit(real - fake)).mean(),
        lambda real, fake: -np.log(special.expit(fake - real)).mean(),
    ),
    "relativistic_average": (
        lambda real, fake, label: (
            cross_entropy(real - fake.mean(), label)
            - np.log(1 - special.expit(fake - real.mean())).mean()
        ),
        lambda real, fake: (
            -np.log(special.expit(fake - real.mean())).mean()
            - np.log(1 - special.expit(real - fake.mean())).mean()
        ),
    ),
}


# Adversarial losses.


@pytest.mark.parametrize("name", LOSSES)
def test_adversarial_losses_are_their_formulas(name):
    loss, (discriminator, generator) = ADVERSARIAL_LOSSES[name], BY_HAND[name]
    real, fake = REAL.astype("float32"), FAKE.astype("float32")
    for label in (1.0, 0.9) if loss.smooths else (1.0,):
        found = number(loss.discriminator(real, fake, label))
        assert found == pytest.approx(discriminator(REAL, FAKE, label), rel=1e-5)
    assert number(loss.discriminator(real, fake)) == pytest.approx(
        discriminator(REAL, FAKE, 1.0), rel=1e-5
    )
    given = real if loss.relative else None
    assert number(loss.generator(given, fake)) == pytest.approx(generator(REAL, FAKE), rel=1e-5)


def test_only_losses_with_labels_smooth_them():
    smooth = {"minimax", "non_saturating", "least_squares", "relativistic_average"}
    assert {name for name in LOSSES if ADVERSARIAL_LOSSES[name].smooths} == smooth
    for name in set(LOSSES) - smooth:
        loss = ADVERSARIAL_LOSSES[name].discriminator
        assert number(loss(REAL, FAKE, 0.8)) == number(loss(REAL, FAKE, 1.0))


@pytest.mark.parametrize("name", LOSSES)
def test_losses_of_half_precision_are_float32(name):
    """300 squared overflows float16, and steps of bfloat16 near 300 are 2."""
    loss = ADVERSARIAL_LOSSES[name]
    for dtype in ("float16", "bfloat16"):
        real, fake = (ops.cast(column(*scores), dtype) for scores in ((300, 298), (-300, 5)))
        wide = [ops.cast(scores, "float32") for scores in (real, fake)]
        for side in (loss.discriminator, loss.generator):
            assert number(side(real, fake)) == pytest.approx(number(side(*wide)), rel=1e-6)
            assert np.isfinite(number(side(real, fake)))


def test_losses_of_extreme_scores_are_finite():
    far = column(1e4, -1e4)
    for loss in ADVERSARIAL_LOSSES.values():
        for side in (loss.discriminator, loss.generator):
            assert np.isfinite(number(side(far, -far))) and np.isfinite(number(side(far, far)))


def test_where_real_and_generated_images_are_alike():
    """The optimum is D = 1/2: -V = log 4 (Goodfellow et al., 2014, theorem 1)."""
    zero = column(0.0, 0.0, 0.0)
    for name in ("minimax", "non_saturating", "relativistic_average"):
        loss = ADVERSARIAL_LOSSES[name]
        assert number(loss.discriminator(zero, zero)) == pytest.approx(np.log(4))
    assert number(ADVERSARIAL_LOSSES["minimax"].generator(None, zero)) == pytest.approx(-np.log(2))
    expected = {"non_saturating": np.log(2), "relativistic": np.log(2)}
    for name, value in expected.items():
        assert number(ADVERSARIAL_LOSSES[name].generator(zero, zero)) == pytest.approx(value)
    half = column(0.5)
    assert number(ADVERSARIAL_LOSSES["least_squares"].discriminator(half, half)) == 0.25
    assert number(ADVERSARIAL_LOSSES["hinge"].discriminator(zero, zero)) == 2
    assert number(ADVERSARIAL_LOSSES["wasserstein"].discriminator(zero, zero)) == 0


def images_of_three_kinds():
    """Counts of three kinds of images, real and generated, as distributions p and q."""
    p, q = np.array([5, 3, 2]), np.array([1, 3, 6])
    return p / 10, q / 10, np.repeat(np.arange(3), p), np.repeat(np.arange(3), q)


def test_the_best_discriminator_measures_the_jensen_shannon_divergence():
    """Theorem 1 of Goodfellow et al. (2014): at D = p / (p + q), V = 2 JSD - log 4."""
    p, q, real, fake = images_of_three_kinds()
    best, middle = np.log(p / q).astype("float32"), (p + q) / 2
    divergence = (stats.entropy(p, middle) + stats.entropy(q, middle)) / 2
    for name in ("minimax", "non_saturating"):
        loss = ADVERSARIAL_LOSSES[name].discriminator

        def value(scores, loss=loss):
            return number(loss(scores[real][:, None], scores[fake][:, None]))

        assert value(best) == pytest.approx(np.log(4) - 2 * divergence, rel=1e-6)
        for kind, side in np.ndindex(3, 2):
            other = best.copy()
            other[kind] += (-0.1, 0.1)[side]
            assert value(other) > value(best)


@pytest.mark.parametrize(
    "name, score",
    [
        ("non_saturating", special.logit),
        ("minimax", special.logit),
        ("least_squares", lambda probability: probability),
    ],
)
@pytest.mark.parametrize("label", [1.0, 0.8])
def test_probabilities_are_those_of_the_best_discriminator(name, score, label):
    """With the label alpha it is alpha p / (p + q) (Salimans et al., 2016, section 3.4)."""
    loss = ADVERSARIAL_LOSSES[name]
    p, q, real, fake = images_of_three_kinds()
    best = score(label * p / (p + q)).astype("float32")
    found = ops.convert_to_numpy(loss.probability(best))
    np.testing.assert_allclose(found, label * p / (p + q), rtol=1e-5)

    def value(scores):
        return number(loss.discriminator(scores[real][:, None], scores[fake][:, None], label))

    for kind, side in np.ndindex(3, 2):
        other = best.copy()
        other[kind] += (-0.1, 0.1)[side]
        assert value(other) > value(best)


def test_scores_that_say_no_probability():
    silent = {name for name in LOSSES if ADVERSARIAL_LOSSES[name].probability is None}
    assert silent == {"wasserstein", "hinge", "relativistic", "relativistic_average"}
    outside = ADVERSARIAL_LOSSES["least_squares"].probability(column(-0.5, 1.5))
    np.testing.assert_array_equal(ops.convert_to_numpy(outside), column(0, 1))


def test_losses_of_sure_scores_keep_their_digits():
    """- log(1 - D) is D itself where D is small: no difference of large numbers."""
    scores = np.array([[-10.0], [-16.0], [-30.0]], "float32")
    expected = np.log1p(np.exp(scores.astype("float64")))
    for score, value in zip(scores, expected[:, 0], strict=True):
        for name in ("minimax", "non_saturating"):
            real = np.full((1, 1), 100.0, "float32")  # its own loss is 0
            loss = ADVERSARIAL_LOSSES[name].discriminator(real, score[None])
            assert float(loss) == pytest.approx(value, rel=1e-5)


def test_only_the_minimax_generator_stops_learning_from_a_sure_discriminator():
    """Its loss is flat where the discriminator wins (Goodfellow et al., 2014, section 3)."""
    slopes = {}
    for name in ("minimax", "non_saturating", "wasserstein", "hinge", "least_squares"):
        loss = ADVERSARIAL_LOSSES[name].generator
        slopes[name] = number(loss(None, column(-10.0))) - number(loss(None, column(-11.0)))
    assert abs(slopes.pop("minimax")) < 1e-4
    assert max(slopes.values()) < -0.99


def test_the_hinge_lets_sure_scores_be():
    loss = ADVERSARIAL_LOSSES["hinge"].discriminator
    assert number(loss(column(1.0, 7.0), column(-1.0, -9.0))) == 0
    assert number(loss(column(0.5, 7.0), column(-1.0, 2.0))) == pytest.approx(0.25 + 1.5)


def test_relativistic_losses_see_differences_only():
    for name in ("relativistic", "relativistic_average"):
        loss = ADVERSARIAL_LOSSES[name]
        assert loss.relative
        for side in (loss.discriminator, loss.generator):
            moved = number(side(REAL + 5, FAKE + 5))
            assert moved == pytest.approx(number(side(REAL, FAKE)), rel=1e-5)
    assert sum(loss.relative for loss in ADVERSARIAL_LOSSES.values()) == 2


# Penalties.


def test_points_of_the_gradient_penalty_lie_between_by_one_uniform_number_for_each_image():
    """Slips elsewhere: a weight for each pixel, and one drawn from a normal."""
    real, fake = np.full((2000, 2, 3, 1), 3.0, "float32"), np.full((2000, 2, 3, 1), 1.0, "float32")
    seed = keras.random.SeedGenerator(0)
    points = ops.convert_to_numpy(GradientPenalty().at(real, fake, seed))
    assert points.shape == real.shape and points.dtype == "float32"
    t = (points - 1) / 2
    np.testing.assert_allclose(t, np.broadcast_to(t[:, :1, :1, :1], t.shape), atol=1e-6)
    assert stats.kstest(t[:, 0, 0, 0], "uniform").pvalue > 0.01
    again = ops.convert_to_numpy(GradientPenalty().at(real, fake, seed))
    assert (again != points).any()
    half = GradientPenalty().at(real[:, 0, 0], ops.cast(fake[:, 0, 0], "bfloat16"), seed)
    assert half.shape == (2000, 1) and keras.backend.standardize_dtype(half.dtype) == "float32"


def test_points_of_r1_are_the_real_images():
    assert R1().at("real", "fake", None) == "real"


def penalty_at(penalty, score, x):
    return number(penalty(score, ops.convert_to_tensor(x)))


def quadratic(a):
    """A score of images whose gradient is `a x`."""
    return lambda x: a / 2 * ops.sum(ops.square(ops.reshape(x, (-1, 6))), axis=1, keepdims=True)


def test_gradient_penalty_of_a_quadratic_score():
    """Gulrajani et al. (2017), equation 3: the norm is of each image, not of the batch."""
    x = RANDOM.normal(size=(5, 2, 3, 1)).astype("float32")
    norms = 1.5 * np.sqrt((x**2).sum((1, 2, 3)))
    expected = 10 * ((norms - 1) ** 2).mean()
    assert penalty_at(GradientPenalty(), quadratic(1.5), x) == pytest.approx(expected, rel=1e-5)
    assert penalty_at(GradientPenalty(0.5), quadratic(1.5), x) == pytest.approx(
        expected / 20, rel=1e-5
    )


def test_penalties_where_the_gradient_is_zero():
    x = np.zeros((3, 2, 3, 1), "float32")
    assert penalty_at(GradientPenalty(2.0), quadratic(1.0), x) == pytest.approx(2.0, rel=1e-5)
    assert penalty_at(R1(2.0), quadratic(1.0), x) == 0


def test_r1_of_a_linear_score():
    """Mescheder et al. (2018), equation 9: half the weight times the squared slope."""
    slope = np.array([[1.0], [-2.0], [0.5]], "float32")
    x = RANDOM.normal(size=(7, 3)).astype("float32")
    penalty = penalty_at(R1(4.0), lambda x: ops.matmul(x, slope) + 9.0, x)
    assert penalty == pytest.approx(4.0 / 2 * (slope**2).sum(), rel=1e-6)
    norms = (1.5**2 * (x[:, :2] ** 2).sum(1)).mean()
    score = lambda x: 0.75 * ops.sum(x[:, :2] ** 2, axis=1, keepdims=True)  # noqa: E731
    of_two = penalty_at(R1(3.0), score, x)
    assert of_two == pytest.approx(1.5 * norms, rel=1e-5)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_penalties_of_half_precision_scores_are_float32(dtype):
    """The sum of squares, 6 * 200^2, overflows float16."""
    score = lambda x: ops.cast(200 * ops.sum(x, axis=(1, 2, 3)), dtype)  # noqa: E731
    x = np.zeros((4, 2, 3, 1), "float32")
    assert penalty_at(R1(1.0), score, x) == pytest.approx(0.5 * 6 * 200**2, rel=1e-2)
    norm = 200 * np.sqrt(6)
    assert penalty_at(GradientPenalty(1.0), score, x) == pytest.approx((norm - 1) ** 2, rel=1e-2)


def test_clipped_weights():
    values = np.array([-3.0, -0.02, 0.01, 0.5], "float32")
    variable = keras.Variable(values)
    WeightClipping(0.02).constrain([variable])
    np.testing.assert_allclose(ops.convert_to_numpy(variable), [-0.02, -0.02, 0.01, 0.02])
    assert WeightClipping().bound == 0.01  # the paper's


def test_penalties_by_name():
    for name, penalty in losses.PENALTIES.items():
        assert isinstance(get_penalty(name), penalty)
    assert get_penalty("none") is None
    mine = R1(0.3, every=4)
    assert get_penalty(mine) is mine
    known = r"\['gradient_penalty', 'r1', 'weight_clipping', 'none'\]"
    with pytest.raises(ValueError, match=f"'r2'.*{known}"):
        get_penalty("r2")


@pytest.mark.parametrize("penalty", [R1(0.3, 4), GradientPenalty(5, 2), WeightClipping(0.1)])
def test_penalties_in_files(penalty):
    config = keras.saving.serialize_keras_object(penalty)
    assert config["registered_name"] == f"kgen>{type(penalty).__name__}"
    again = keras.saving.deserialize_keras_object(config)
    assert type(again) is type(penalty) and again.get_config() == penalty.get_config()


def test_bad_penalties():
    for penalty in (R1, GradientPenalty):
        for weight in (-1.0, "10", True, None, np.nan):
            with pytest.raises(ValueError, match="weight must be a number of at least 0"):
                penalty(weight)
        for every in (0, 1.5, -2):
            with pytest.raises(ValueError, match="every must be a positive integer"):
                penalty(every=every)
    for bound in (0, -0.1, "0.01"):
        with pytest.raises(ValueError, match="bound must be a"):
            WeightClipping(bound)


# Of labels, codes and features.


def test_sparse_cross_entropy_is_the_mean_of_log_softmax():
    logits = RANDOM.normal(size=(6, 4)) * 3
    labels = np.array([0, 3, 1, 1, 2, 0], "int32")
    expected = -special.log_softmax(logits, axis=1)[np.arange(6), labels].mean()
    found = losses.sparse_cross_entropy(labels, logits.astype("float32"))
    assert number(found) == pytest.approx(expected, rel=1e-5)
    half = ops.cast(np.array([[200.0, 0.0]]), "bfloat16")
    assert number(losses.sparse_cross_entropy(np.array([1]), half)) == pytest.approx(200)


def test_code_divergence_is_minus_the_log_density_of_a_unit_normal():
    code, mean = RANDOM.uniform(-1, 1, (2, 8, 3))
    constant = 3 / 2 * np.log(2 * np.pi)
    expected = -stats.norm.logpdf(code, mean).sum(axis=1).mean() - constant
    assert number(losses.code_divergence(code, mean)) == pytest.approx(expected, rel=1e-5)
    half = ops.cast(np.full((2, 1), 400.0), "float16")
    assert number(losses.code_divergence(half, np.zeros((2, 1)))) == pytest.approx(80_000)


def test_feature_matching_is_the_squared_distance_of_means():
    real, fake = RANDOM.normal(size=(10, 4)), RANDOM.normal(size=(7, 4))
    expected = ((real.mean(0) - fake.mean(0)) ** 2).sum()
    assert number(losses.feature_matching(real, fake)) == pytest.approx(expected, rel=1e-5)
    assert number(losses.feature_matching(real, real[::-1])) == pytest.approx(0, abs=1e-6)
    half = ops.cast(np.full((2, 1), 400.0), "float16")
    assert number(losses.feature_matching(half, 0 * half)) == pytest.approx(160_000)


# The KL divergence.


def test_kl_divergence_is_the_integral_it_stands_for():
    """E_q[log q - log p] by Gauss-Hermite quadrature, coordinate by coordinate."""
    random = np.random.default_rng(0)
    mean, log_variance = random.normal(size=(2, 6, 3))
    nodes, weights = np.polynomial.hermite_e.hermegauss(12)
    weights = weights / weights.sum()
    sigma = np.exp(log_variance / 2)
    z = mean[..., None] + sigma[..., None] * nodes
    log_ratio = stats.norm.logpdf(z, mean[..., None], sigma[..., None]) - stats.norm.logpdf(z)
    expected = (log_ratio @ weights).sum(axis=1)
    result = ops.convert_to_numpy(kl_divergence(mean, log_variance))
    assert result.shape == (6,) and result.dtype == "float32"
    np.testing.assert_allclose(result, expected, rtol=1e-5)


def test_kl_divergence_is_zero_at_the_prior_and_positive_elsewhere():
    zeros = np.zeros((1, 4), "float32")
    assert float(ops.squeeze(kl_divergence(zeros, zeros))) == 0
    tiny = np.full((1, 4), 1e-3, "float32")
    for mean, log_variance in ((tiny, zeros), (zeros, tiny), (zeros, -tiny)):
        assert 0 < float(ops.squeeze(kl_divergence(mean, log_variance))) < 1e-5


def test_kl_divergence_of_half_precision_is_float32():
    mean = np.full((2, 300), 30.0, "float16")  # 300 * 900 / 2 overflows float16
    result = ops.convert_to_numpy(kl_divergence(mean, np.zeros_like(mean)))
    np.testing.assert_allclose(result, 135_000.0)
