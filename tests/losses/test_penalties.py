"""Penalties against their formulas, computed in NumPy."""

import keras
import numpy as np
import pytest
from by_hand import number
from keras import ops
from scipy import optimize, stats

from kgen import losses, schedules
from kgen.losses import R1, GradientPenalty, WeightClipping
from kgen.losses.penalties import get_penalty

RANDOM = np.random.default_rng(0)
PENALTIES = [R1(0.3, 4), GradientPenalty(5, 2), WeightClipping(0.1)]
PENALTIES.append(R1(schedules.LinearWarmup(2.0, 10)))


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


@pytest.mark.parametrize("weight", [1, 10, 250])
def test_the_best_slope_under_a_penalty_gives_the_estimate(weight):
    for distance in (0.2, 1.0, 4.0):

        def loss(slope, distance=distance):
            return weight * (slope - 1) ** 2 - slope * distance

        best = optimize.minimize_scalar(loss).x
        estimate = GradientPenalty(weight).estimate(distance)
        assert estimate == pytest.approx(best * distance, rel=1e-6)
    rising = GradientPenalty(schedules.LinearWarmup(weight, 10))
    np.testing.assert_allclose(rising.estimate(np.array([0, 4.0])), [0, estimate], rtol=1e-6)


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


@pytest.mark.parametrize("every", [1, 2])
def test_a_weight_may_change_over_training(every):
    """And in evaluation, where there is no step, it is what it ends at."""
    score = lambda x: 2.0 * ops.sum(x[0], axis=1, keepdims=True)  # noqa: E731
    penalty = R1(schedules.LinearWarmup(6.0, 4), every)
    x = [ops.convert_to_tensor(RANDOM.normal(size=(5, 3)).astype("float32"))]
    at = [number(penalty.loss(score, x, x, None, step)) for step in (0, 2, 8, None)]
    unit = 0.5 * 3 * 2.0**2
    expected = [0, 3 * every * unit, 6 * every * unit, 6 * unit]
    assert at == pytest.approx(expected, rel=1e-5)


def test_penalties_by_name():
    for name, penalty in losses.PENALTIES.items():
        assert isinstance(get_penalty(name), penalty)
    assert get_penalty("none") is None
    mine = R1(0.3, every=4)
    assert get_penalty(mine) is mine
    known = r"\['gradient_penalty', 'r1', 'weight_clipping', 'none'\]"
    with pytest.raises(ValueError, match=f"'r2'.*{known}"):
        get_penalty("r2")


@pytest.mark.parametrize("penalty", PENALTIES)
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
