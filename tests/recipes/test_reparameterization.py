import os

import numpy as np
import pytest
from PIL import Image

from kgen import plots
from recipes import reparameterization as recipe
from recipes.reparameterization import (
    COMPUTED,
    DRAWN,
    LABELS,
    NODES,
    exact,
    gradients,
    main,
    reparameterized,
    reparameterized_variance,
    score_function,
)

MU = np.array([0.5, -1.2, 2.0])
LOG_SIGMA = np.array([-0.7, 0.0, 0.4])
X = np.array([1.0, 0.3, -0.5])
ESTIMATORS = [reparameterized, score_function]


def quadrature(points=8):
    """Noise `(points**3, 3)` and weights: expectations of polynomials under N(0, 1) are exact."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(points)
    weights = weights / weights.sum()
    noise = np.stack(np.meshgrid(nodes, nodes, nodes, indexing="ij"), axis=-1).reshape(-1, 3)
    return noise, np.einsum("i,j,k->ijk", weights, weights, weights).ravel()


def objective(mu, log_sigma):
    """E[f(z)] by quadrature."""
    noise, weights = quadrature()
    return weights @ np.square(mu + np.exp(log_sigma) * noise - X).sum(axis=-1)


def test_exact_gradient_is_the_derivative_of_the_expectation():
    for k, gradient in enumerate(exact(MU, LOG_SIGMA, X)):
        for j in range(3):
            step = np.zeros((2, 3))
            step[k, j] = 1e-5
            above = objective(MU + step[0], LOG_SIGMA + step[1])
            below = objective(MU - step[0], LOG_SIGMA - step[1])
            np.testing.assert_allclose(gradient[j], (above - below) / 2e-5, rtol=1e-7)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_expectation_is_the_exact_gradient(estimator):
    noise, weights = quadrature()
    for gradient, truth in zip(
        estimator(MU, LOG_SIGMA, X, noise), exact(MU, LOG_SIGMA, X), strict=True
    ):
        assert gradient.shape == noise.shape
        np.testing.assert_allclose(weights @ gradient, truth, rtol=1e-10)


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("d", [1, 10])
def test_samples_are_unbiased(estimator, d):
    rng = np.random.default_rng(0)
    mu, log_sigma, x = rng.normal(size=(3, d))
    noise = rng.normal(size=(4, 50_000, d))
    gradients = estimator(mu, log_sigma, x, noise)
    for gradient, truth in zip(gradients, exact(mu, log_sigma, x), strict=True):
        assert gradient.shape == noise.shape
        gradient = gradient.reshape(-1, d)
        error = gradient.std(axis=0) / np.sqrt(len(gradient))
        assert (np.abs(gradient.mean(axis=0) - truth) < 4 * error).all()
        assert (error > 0).all()


def test_variance_of_the_reparameterised_gradients():
    noise, weights = quadrature()
    variances = reparameterized_variance(MU, LOG_SIGMA, X)
    gradients = reparameterized(MU, LOG_SIGMA, X, noise)
    for gradient, variance in zip(gradients, variances, strict=True):
        np.testing.assert_allclose(
            weights @ gradient**2 - (weights @ gradient) ** 2, variance, rtol=1e-10
        )
    samples = reparameterized(MU, LOG_SIGMA, X, np.random.default_rng(0).normal(size=(200_000, 3)))
    for sample, variance in zip(samples, variances, strict=True):
        np.testing.assert_allclose(sample.var(axis=0), variance, rtol=0.03)


def test_variance_of_the_score_function_grows_with_the_dimension():
    """At mu = 1, sigma = 1, x = 0 the variance for mu_1 is 4 d^2 + 14 d + 12."""
    rng = np.random.default_rng(0)
    for d in (1, 4, 32):
        noise = rng.normal(size=(200_000, d))
        gradient, _ = score_function(np.ones(d), np.zeros(d), np.zeros(d), noise)
        np.testing.assert_allclose(gradient[:, 0].var(), 4 * d**2 + 14 * d + 12, rtol=0.05)


def test_gradients_of_the_first_dimension_where_the_table_is_made():
    noise = np.random.default_rng(0).normal(size=(5, 7, 4))
    found = gradients(noise)
    assert found.shape == (2, 2, 5, 7)  # parameter, estimator
    at = np.ones(4), np.zeros(4), np.zeros(4)
    for j, estimator in enumerate((score_function, reparameterized)):
        for i, gradient in enumerate(estimator(*at, noise)):
            np.testing.assert_allclose(found[i, j], gradient[..., 0])


def test_the_gradient_is_blocked_only_where_z_is_drawn():
    left, right = plots.computation_graph(NODES, DRAWN, COMPUTED, labels=LABELS).axes
    assert (len(left.get_lines()), len(right.get_lines())) == (2, 0)  # crosses
    assert "sim N(\\mu" in left.get_title() and "\\mu + \\sigma" in right.get_title()
    assert {r"$\partial f/\partial z \cdot 1$", r"$\partial f/\partial z \cdot \epsilon$"} < {
        text.get_text() for text in right.texts
    }


def test_figures_and_table(tmp_path, capsys):
    main(["--output", str(tmp_path / "new"), "--seed", "3"])
    found = sorted(os.listdir(tmp_path / "new"))
    assert found == ["graphs.png", "results.json", "variance.png"]
    for name in ("graphs.png", "variance.png"):
        pixels = np.asarray(Image.open(tmp_path / "new" / name).convert("RGB"))
        assert pixels.shape[0] > 600 and len(np.unique(pixels.reshape(-1, 3), axis=0)) > 50
    settings, *lines = capsys.readouterr().out.splitlines()
    assert settings.endswith(", float32")
    assert len(lines) == 13 and max(map(len, lines[:11])) <= 100
    assert lines[0].split()[:3] == ["gradient", "d", "exact"]
    for line in lines[1:11]:
        d, truth, *estimates = (float(x) for x in line.replace("+-", "").split()[-8:])
        assert truth == 2 and d in (1, 4, 16, 64, 256)
        (score, score_error, score_variance), (path, path_error, path_variance) = (
            estimates[:3],
            estimates[3:],
        )
        assert abs(score - 2) < 4.5 * score_error and abs(path - 2) < 4.5 * path_error + 0.01
        np.testing.assert_allclose(path_variance, 4 if line.startswith("mu") else 12, rtol=0.2)
        assert score_variance > 6 * path_variance
    assert str(tmp_path / "new") in lines[-1] and "graphs.png" in lines[-1]


def test_the_seed_decides(tmp_path, capsys, monkeypatch):
    for drawn in ("slide", "computation_graph"):
        monkeypatch.setattr(plots, drawn, lambda *args, **options: None)
    monkeypatch.setattr(recipe, "DIMS", recipe.DIMS[:3])
    tables = []
    for seed in ("0", "0", "1"):
        main(["--output", str(tmp_path), "--seed", seed, "--overwrite"])
        tables.append(capsys.readouterr().out.splitlines()[:8])
    assert tables[0] == tables[1] != tables[2]
