"""The Wasserstein distance in one dimension: against SciPy, and in closed form."""

import math

import numpy as np
import pytest
from keras import ops
from scipy import optimize, stats

from kgen.metrics import wasserstein_1d


@pytest.mark.parametrize(("n", "m"), [(1, 1), (1, 7), (50, 50), (60, 84), (101, 1000)])
def test_equal_to_scipy(n, m):
    random = np.random.default_rng(n)
    a, b = random.normal(size=n), random.exponential(size=m)
    assert wasserstein_1d(a, b) == pytest.approx(stats.wasserstein_distance(a, b), abs=1e-12)
    a, b = random.integers(0, 4, n), random.integers(0, 4, m)  # ties
    assert wasserstein_1d(a, b) == pytest.approx(stats.wasserstein_distance(a, b), abs=1e-12)


@pytest.mark.parametrize("p", [1, 2, 3.5])
def test_the_least_cost_of_transport(p):
    """As the linear programme that defines it."""
    random = np.random.default_rng(0)
    a, b = random.normal(size=4), random.normal(size=6)
    costs = np.abs(a[:, None] - b) ** p
    rows = [np.repeat(np.eye(4), 6, axis=1), np.tile(np.eye(6), 4)]
    shares = np.concatenate([np.full(4, 1 / 4), np.full(6, 1 / 6)])
    least = optimize.linprog(costs.ravel(), A_eq=np.concatenate(rows), b_eq=shares).fun
    assert wasserstein_1d(a, b, p) == pytest.approx(least ** (1 / p), rel=1e-9)


def test_closed_forms():
    a = np.random.default_rng(0).normal(size=101)
    assert wasserstein_1d(a, a[::-1]) == 0 and wasserstein_1d(a, a[::-1], p=2) == 0
    for p in (1, 2, 40):
        assert wasserstein_1d(a, a + 3, p) == pytest.approx(3, rel=1e-9)
    assert wasserstein_1d(np.repeat(a, 3), a) == 0
    assert wasserstein_1d([0, 1], [0, 0, 1, 4], p=2) == pytest.approx(
        math.sqrt((1 + 9) / 4 - 1 / 4)
    )
    assert wasserstein_1d(ops.convert_to_tensor([1.0, 2.0]), [2]) == 0.5


def test_what_it_refuses():
    with pytest.raises(ValueError, match="a must be at least 1 rows; got 0"):
        wasserstein_1d([], [1])
    with pytest.raises(ValueError, match=r"b must have shape \(N,\); got \(2, 1\)"):
        wasserstein_1d([1, 2], [[1], [2]])
    with pytest.raises(ValueError, match="a must be finite; 1 of 2"):
        wasserstein_1d([math.nan, 1], [1])
    with pytest.raises(TypeError, match="b must be an array"):
        wasserstein_1d([1], ["one"])
    with pytest.raises(ValueError, match=r"p must be a number from 1 upward; got 0\.5"):
        wasserstein_1d([1], [2], p=0.5)
