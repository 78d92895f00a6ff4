"""Distributions against SciPy and closed forms."""

import numpy as np
import pytest
from scipy import special, stats

import kgen
from kgen import distributions


def normal(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape, dtype="float32")


COVARIANCE = np.array([[2.0, 0.6, 0.0], [0.6, 1.0, -0.3], [0.0, -0.3, 0.5]])
MEAN = np.array([1.0, -2.0, 0.5])


def make(name):
    if name == "standard":
        return distributions.StandardNormal(3)
    gaussian = distributions.Gaussian(MEAN, COVARIANCE)
    if name == "gaussian":
        return gaussian
    return distributions.GaussianMixture(
        [1, 3, 0], [gaussian, distributions.Gaussian(-MEAN, np.eye(3)), gaussian]
    )


EACH = pytest.mark.parametrize("name", ["standard", "gaussian", "mixture"])


@EACH
def test_log_densities(name):
    z = 2 * normal(40, 3)
    one = stats.multivariate_normal.logpdf(z, MEAN, COVARIANCE)
    other = stats.multivariate_normal.logpdf(z, -MEAN, np.eye(3))
    expected = {
        "standard": stats.norm.logpdf(z.astype("float64")).sum(axis=1),
        "gaussian": one,
        "mixture": special.logsumexp([one, other], axis=0, b=[[0.25], [0.75]]),
    }
    density = make(name).log_density(z)
    assert density.dtype == np.float64
    np.testing.assert_allclose(density, expected[name], rtol=1e-10)


@EACH
def test_moments_of_samples(name):
    z = make(name).sample(50_000, seed=1)
    assert z.shape == (50_000, 3) and z.dtype == np.float32
    mean, covariance = {
        "standard": (np.zeros(3), np.eye(3)),
        "gaussian": (MEAN, COVARIANCE),
        "mixture": (
            -MEAN / 2,  # between the parts the covariance is 1/4 * 3/4 * (2 m)(2 m)^T
            0.25 * COVARIANCE + 0.75 * np.eye(3) + 0.75 * np.outer(MEAN, MEAN),
        ),
    }[name]
    np.testing.assert_allclose(z.mean(axis=0), mean, atol=0.04)
    np.testing.assert_allclose(np.cov(z.T), covariance, atol=0.08)


@EACH
def test_samples_are_the_seeds(name):
    made = make(name)
    z = made.sample(16, seed=3)
    for n in (1, 8):
        np.testing.assert_array_equal(made.sample(n, seed=3), z[:n])
    assert np.abs(made.sample(16, seed=4) - z).min() > 0
    assert np.abs(made.sample(16) - made.sample(16)).min() > 0
    assert made.dimension == 3 and "dimension=3" in repr(made)
    with pytest.raises(ValueError, match="n must be a positive integer"):
        made.sample(0)
    with pytest.raises(ValueError, match=r"x must have shape \(N, 3\)"):
        made.log_density(np.zeros((5, 2)))


def test_the_standard_normal_draws_what_models_draw():
    model = kgen.VAE((2,), latent_dim=3)
    z = distributions.StandardNormal(3).sample(6, seed=5)
    np.testing.assert_allclose(model.decode(z), model.generate(6, seed=5), atol=1e-6)


def test_gaussian_is_fitted_by_maximum_likelihood():
    z = make("gaussian").sample(500, seed=0)
    fitted = distributions.Gaussian.fit(z)
    np.testing.assert_allclose(fitted.mean, z.mean(axis=0, dtype="float64"), rtol=1e-6)
    np.testing.assert_allclose(fitted.covariance, np.cov(z.T, bias=True), rtol=1e-6)
    flat = np.column_stack([z, z[:, 0], np.zeros(500)])  # two axes along which nothing varies
    fitted = distributions.Gaussian.fit(flat)
    values = np.linalg.eigvalsh(fitted.covariance)
    np.testing.assert_allclose(values[:2], 1e-6 * values[-1], rtol=1e-4)
    assert np.isfinite(fitted.log_density(flat)).all()
    assert np.abs(fitted.sample(100, seed=0)[:, 4]).max() < 0.02


def test_mixture_finds_clusters_at_any_scale():
    truth = distributions.GaussianMixture(
        [1, 3], [distributions.Gaussian(m, 0.2 * np.eye(2)) for m in ([3, 0], [0, -2])]
    )
    sample = truth.sample(2000, seed=0)
    for scale in (1e-3, 1e3):
        z = scale * (sample + 5)
        fitted = distributions.GaussianMixture.fit(z, clusters=2)
        order = np.argsort(fitted.weights)
        np.testing.assert_allclose(fitted.weights[order], [0.25, 0.75], atol=0.03)
        means = np.stack([fitted.parts[k].mean for k in order]) / scale
        np.testing.assert_allclose(means, [[8, 5], [5, 3]], atol=0.1)
        mean = (fitted.log_density(z) + 2 * np.log(scale)).mean()
        assert mean == pytest.approx(truth.log_density(sample).mean(), abs=0.02)
    again = distributions.GaussianMixture.fit(z, clusters=2)
    np.testing.assert_array_equal(again.sample(5, seed=0), fitted.sample(5, seed=0))
    assert repr(fitted) == "GaussianMixture(clusters=2, dimension=2)"


def test_a_mixture_fits_what_a_gaussian_does_not():
    z = normal(1000, 2) * 0.1
    z += np.sign(z)
    gaussian, mixture = (
        distributions.Gaussian.fit(z),
        distributions.GaussianMixture.fit(z, clusters=4),
    )
    assert mixture.log_density(z).mean() > gaussian.log_density(z).mean() + 1


def test_they_say_what_they_take():
    with pytest.raises(ValueError, match="at least two different points; got 1"):
        distributions.Gaussian.fit(np.zeros((1, 2)))
    for fit in (distributions.Gaussian.fit, distributions.GaussianMixture.fit):
        with pytest.raises(ValueError, match="got 9, all the same"):
            fit(np.ones((9, 2)))
        with pytest.raises(ValueError, match="finite"):
            fit(np.full((9, 2), np.inf))
    with pytest.raises(ValueError, match="10 clusters need at least 20 examples; got 19"):
        distributions.GaussianMixture.fit(normal(19, 2))
    with pytest.raises(ValueError, match="dimension must be a positive integer"):
        distributions.StandardNormal(0)
    with pytest.raises(ValueError, match=r"shapes \(D,\) and \(D, D\)"):
        distributions.Gaussian(np.zeros(2), np.eye(3))
    with pytest.raises(ValueError, match="symmetric"):
        distributions.Gaussian(np.zeros(2), [[1, 0.5], [0, 1]])
    with pytest.raises(ValueError, match="positive definite"):
        distributions.Gaussian(np.zeros(2), -np.eye(2))
    parts = [distributions.Gaussian(np.zeros(d), np.eye(d)) for d in (2, 2, 3)]
    with pytest.raises(ValueError, match="same dimension"):
        distributions.GaussianMixture([1, 1], parts[1:])
    for weights in ([1], [1, -1], [0, 0]):
        with pytest.raises(ValueError, match="weights must be 2 numbers"):
            distributions.GaussianMixture(weights, parts[:2])
    with pytest.raises(TypeError, match="must be kgen"):
        distributions.GaussianMixture([1], [3])
