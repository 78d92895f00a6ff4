"""The Jensen-Shannon divergence against closed forms, quadrature and SciPy."""

import math

import numpy as np
import pytest
from keras import ops
from scipy import integrate, stats
from scipy.spatial import distance

from kgen.metrics import jensen_shannon


def of_gaussians(shift, sigma):
    """That of N(shift, sigma^2) from N(0, sigma^2)."""
    x = np.linspace(-10 * sigma, shift + 10 * sigma, 4001)
    return jensen_shannon(stats.norm.pdf(x, 0, sigma), stats.norm.pdf(x, shift, sigma), x)


@pytest.mark.parametrize(("shift", "sigma"), [(0.1, 0.5), (1.0, 0.5), (2.0, 0.3), (0.5, 1.0)])
def test_by_quadrature(shift, sigma):
    p, q = stats.norm(0, sigma), stats.norm(shift, sigma)

    def integrand(x):
        mean = (p.pdf(x) + q.pdf(x)) / 2
        return 0.5 * sum(d.pdf(x) * np.log(d.pdf(x) / mean) for d in (p, q))

    inside = -8 * sigma, shift + 8 * sigma
    expected, _ = integrate.quad(integrand, *inside, points=[0, shift], epsabs=1e-11)
    assert of_gaussians(shift, sigma) == pytest.approx(expected, rel=1e-6)


def test_it_ends_at_log_2():
    assert of_gaussians(0.0, 0.5) == pytest.approx(0, abs=1e-12)
    assert of_gaussians(20.0, 0.5) == pytest.approx(np.log(2), rel=1e-6)
    near = [of_gaussians(shift, 0.5) for shift in (1.0, 2.0, 3.0, 4.0)]
    assert (np.diff(near) > 0).all() and near[-1] - near[-2] < 0.005


@pytest.mark.parametrize("width", [0.25, 0.5, 1])
def test_closed_form_of_two_uniform_densities(width):
    """Of 1 on [0, 1] and 1 / width on [0, width]: m has two levels."""
    x = np.linspace(0, 1, 100_001)
    q = np.where(x < width, 1 / width, 0)
    mean = (1 + 1 / width) / 2
    expected = 0.5 * (width * math.log(1 / mean) + (1 - width) * math.log(2))
    expected += 0.5 * math.log(1 / width / mean)
    assert jensen_shannon(np.ones_like(x), q, x) == pytest.approx(expected, abs=1e-4)


def test_that_of_scipy_and_no_matter_which_comes_first_or_how_large():
    random = np.random.default_rng(0)
    p, q = random.random((2, 50))
    p[0] = p[-1] = q[0] = q[-1] = p[10] = 0  # so that trapezoids are sums
    x = np.arange(50)
    expected = distance.jensenshannon(p, q) ** 2
    assert jensen_shannon(p, q, x) == pytest.approx(expected, rel=1e-9)
    assert jensen_shannon(5 * q, p, x) == pytest.approx(expected, rel=1e-9)
    assert jensen_shannon(ops.convert_to_tensor(p), list(q), 3 * x) == pytest.approx(expected, 1e-6)


def test_densities_next_to_nothing_are_no_infinity():
    x, least = np.arange(5.0), np.nextafter(0, 1)
    assert jensen_shannon([0, 1, 0, 0, 0], [0, least, 0, 1, 0], x) == pytest.approx(math.log(2))


def test_what_it_refuses():
    with pytest.raises(ValueError, match=r"q must have shape \(3,\), as x; got \(2,\)"):
        jensen_shannon([0, 1, 0], [0, 1], [1, 2, 3])
    with pytest.raises(ValueError, match="x must increase"):
        jensen_shannon([0, 1], [0, 1], [1, 1])
    with pytest.raises(ValueError, match="x must be at least 2 rows; got 1"):
        jensen_shannon([1], [1], [1])
    with pytest.raises(ValueError, match=r"p must be 0 or more.*its least is -1"):
        jensen_shannon([2, -1], [0, 1], [0, 1])
    with pytest.raises(ValueError, match=r"q must be 0 or more, and not 0 everywhere"):
        jensen_shannon([0, 1], [0, 0], [0, 1])
    with pytest.raises(ValueError, match="p must be finite; 1 of 2"):
        jensen_shannon([math.nan, 1], [0, 1], [0, 1])
    with pytest.raises(TypeError, match="x must be an array"):
        jensen_shannon([1], [1], ["one"])
