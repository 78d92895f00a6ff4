"""Losses of labels, codes, features and the KL divergence against their formulas."""

import numpy as np
import pytest
from by_hand import number
from keras import ops
from scipy import special, stats

from kgen import losses
from kgen.losses import kl_divergence

RANDOM = np.random.default_rng(0)


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
