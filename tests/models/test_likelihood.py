"""Bits per dimension against densities whose code length is known."""

import numpy as np
import pytest
from scipy import stats

import kgen
from kgen.models import likelihood


def levels(n, *shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, *shape), "uint8")


def test_a_uniform_density_costs_eight_bits():
    """Over the 256 levels, from half a level below -1 to half a level above 1."""
    width = 256 / 127.5
    nats = np.full(3, -12 * np.log(width))
    np.testing.assert_allclose(likelihood.bits_per_dim(nats, (2, 2, 3)), 8)
    assert likelihood.bits_per_dim(nats.astype("float32"), (2, 2, 3)).dtype == "float32"


def test_noise_fills_each_level_and_is_that_of_the_image_whatever_the_chunks():
    x = kgen.data.to_model_range(levels(60, 5, 3, 1))
    filled = likelihood.dequantized(x, np.random.default_rng(3))
    noise = (filled.astype("float64") - x) * 127.5
    assert filled.dtype == "float32"
    assert stats.kstest(noise.ravel(), stats.uniform(-0.5, 1).cdf).pvalue > 0.01
    np.testing.assert_array_equal(kgen.data.to_uint8(filled[:, :1]), kgen.data.to_uint8(x[:, :1]))
    random = np.random.default_rng(3)
    parts = [likelihood.dequantized(part, random) for part in np.array_split(x, 7)]
    np.testing.assert_array_equal(np.concatenate(parts), filled)


def test_what_has_no_levels_is_refused():
    random = np.random.default_rng(0)
    with pytest.raises(ValueError, match="Points have no grey levels"):
        likelihood.dequantized(np.zeros((3, 2), "float32"), random)
    with pytest.raises(ValueError, match="between levels"):
        likelihood.dequantized(np.full((1, 2, 2, 1), 1 / 255, "float32") / 2, random)


@pytest.mark.parametrize("components", [4, 16])
def test_bits_of_a_gaussian_are_those_of_its_density(components):
    """By SciPy; of coarse images they are near the entropy of the levels, of none below it."""
    x = levels(3000, 4, 4, seed=1)
    model = kgen.Gaussian((4, 4), components)
    model.fit(x, verbose=0)
    bits = model.bits_per_dim(x[:50], seed=2)
    filled = x[:50] + np.random.default_rng(2).random((50, 4, 4, 1), "float32")[..., 0] - 0.5
    axes = model.axes.reshape(components, 16).astype("float64")
    covariance = (axes.T * (model.eigenvalues - model.noise)) @ axes + model.noise * np.eye(16)
    mean = 127.5 * (model.mean_image.ravel() + 1)
    density = stats.multivariate_normal(mean, 127.5**2 * covariance)
    expected = -density.logpdf(filled.reshape(50, 16)) / (16 * np.log(2))
    np.testing.assert_allclose(bits, expected, rtol=1e-5)
    # Independent uniform levels: the Gaussian of their variance costs 0.25 bits more than 8.
    assert model.bits_per_dim(x).mean() == pytest.approx(
        8 + np.log2(np.pi * np.e / 6) / 2, abs=0.01
    )
    np.testing.assert_array_equal(model.bits_per_dim(x[:50], seed=2, batch_size=7), bits)
