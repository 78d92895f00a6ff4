"""Adversarial losses against their formulas in NumPy, and against what the papers prove."""

import by_hand
import numpy as np
import pytest
from by_hand import number
from keras import ops
from scipy import special, stats

from kgen.losses import ADVERSARIAL_LOSSES

RANDOM = np.random.default_rng(0)
REAL, FAKE = RANDOM.normal([[1.0]], 2.0, (40, 1)), RANDOM.normal([[-1.0]], 2.0, (40, 1))
LOSSES = [*ADVERSARIAL_LOSSES]


def column(*scores):
    return np.array(scores, "float32")[:, None]


@pytest.mark.parametrize("name", LOSSES)
def test_adversarial_losses_are_their_formulas(name):
    loss, (discriminator, generator) = ADVERSARIAL_LOSSES[name], by_hand.ADVERSARIAL[name]
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
