import numpy as np
from keras import ops
from scipy import stats

from kgen.losses import kl_divergence


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
