"""Multi-scale structural similarity: against TensorFlow's, written out, and what it tells."""

import importlib
import math

import numpy as np
import pytest
from scipy import ndimage, signal

import kgen
from kgen.data import faces
from kgen.metrics import ms_ssim

# The function has the name of its module.
module = importlib.import_module("kgen.metrics.ms_ssim")


def noise(n, size=28, seed=0, channels=1):
    return np.random.default_rng(seed).integers(0, 256, (n, size, size, channels), "uint8")


def portraits(n, size):
    return faces.draw(faces.sample_factors(n, seed=3), size)


def varied(images, seed=0):
    """Images that resemble others more or less: noisy, blurred, darker."""
    random = np.random.default_rng(seed)
    strength = random.uniform(0, 40, (len(images), 1, 1, 1))
    noisy = images + strength * random.standard_normal(images.shape)
    noisy[::3] = ndimage.gaussian_filter(noisy[::3], (0, 1.5, 1.5, 0))
    noisy[1::3] *= 0.6
    return np.clip(np.round(noisy), 0, 255).astype("uint8")


@pytest.mark.parametrize(("size", "scales"), [(20, 1), (28, 2), (45, 3), (176, 5)])
def test_equal_to_tensorflow(size, scales):
    import tensorflow as tf

    images = portraits(12, size)
    images = images if size > 28 else images[..., :1]
    others = varied(images)
    found = ms_ssim(images, others)
    assert found.scales == scales and math.isclose(sum(found.weights), 1)
    with tf.device("/CPU:0"):
        expected = tf.image.ssim_multiscale(images, others, 255, power_factors=found.weights)
    np.testing.assert_allclose(found.values, expected.numpy(), atol=1e-5)
    assert found.mean == pytest.approx(found.values.mean()) and 0.1 < found.mean < 1
    np.testing.assert_array_equal(ms_ssim(others, images).values, found.values)


def test_random_pairs_equal_to_tensorflow():
    """Many are negatively correlated, which counts as 0; float32 is worse near there."""
    import tensorflow as tf

    data = kgen.data.load("digits/8x8", "test", image_size=28)
    images = data.fetch(np.arange(300))
    found = ms_ssim(images[:150], images[150:])
    with tf.device("/CPU:0"):
        expected = tf.image.ssim_multiscale(
            images[:150], images[150:], 255, power_factors=found.weights
        ).numpy()
    np.testing.assert_allclose(found.values, expected, atol=1e-5)
    assert 0.2 < (found.values == 0).mean() < 0.6


def test_as_the_paper_writes_it():
    """With two scales, by SciPy, window by window: equations 1 to 7."""
    a, b = (x[..., 0].astype("float64") for x in (noise(1), varied(noise(1))))
    window = signal.windows.gaussian(11, 1.5)
    window = np.outer(window, window) / window.sum() ** 2

    def terms(x, y):
        def mean(z):
            return signal.convolve2d(z, window, "valid")

        spread = mean(x * x) - mean(x) ** 2, mean(y * y) - mean(y) ** 2
        luminance = (2 * mean(x) * mean(y) + 6.5025) / (mean(x) ** 2 + mean(y) ** 2 + 6.5025)
        covariance = mean(x * y) - mean(x) * mean(y)
        return luminance, (2 * covariance + 58.5225) / (sum(spread) + 58.5225)

    _, fine = terms(a[0], b[0])
    luminance, coarse = terms(*(x.reshape(14, 2, 14, 2).mean(axis=(1, 3)) for x in (a, b)))
    shares = np.array([0.0448, 0.2856]) / (0.0448 + 0.2856)
    expected = fine.mean() ** shares[0] * (luminance * coarse).mean() ** shares[1]
    assert ms_ssim(noise(1), varied(noise(1))).values[0] == pytest.approx(expected, rel=1e-9)


def test_closed_forms():
    images = noise(5)
    assert ms_ssim(images, images).values == pytest.approx(1, abs=1e-12)
    dark, light = (np.full((1, 28, 28, 1), level, "uint8") for level in (50, 150))
    luminance = (2 * 50 * 150 + 6.5025) / (50**2 + 150**2 + 6.5025)
    expected = luminance ** (0.2856 / (0.0448 + 0.2856))
    assert ms_ssim(dark, light).mean == pytest.approx(expected, rel=1e-9)
    assert ms_ssim(images, 255 - images).mean == 0  # negatively correlated


def test_a_set_that_collapses_is_less_varied():
    random = np.random.default_rng(0)
    images = portraits(60, 28)
    means = [ms_ssim(images[random.integers(k, size=60)]).mean for k in (60, 8, 1)]
    assert means[0] < means[1] - 0.02 < means[1] < means[2] - 0.1
    assert means[2] == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("n", [2, 3, 8, 9])
def test_all_pairs_once(n):
    first, second = module._pairs(n, 10_000, seed=0)
    found = {frozenset(pair) for pair in zip(first.tolist(), second.tolist(), strict=True)}
    assert len(first) == len(found) == n * (n - 1) // 2
    assert all(len(pair) == 2 for pair in found)


def test_random_pairs():
    images = noise(40, size=12)
    found = ms_ssim(images, pairs=100)
    assert found.values.shape == (100,)
    error = found.values.std(ddof=1) / 10
    assert found.standard_error == pytest.approx(error)
    np.testing.assert_array_equal(ms_ssim(images, pairs=100).values, found.values)
    assert not np.array_equal(ms_ssim(images, pairs=100, seed=1).values, found.values)
    assert abs(found.mean - ms_ssim(images).mean) < 4 * error
    first, second = module._pairs(40, 100, seed=0)
    assert len({frozenset(p) for p in zip(first.tolist(), second.tolist(), strict=True)}) == 100
    expected = ms_ssim(images[first], images[second]).values
    np.testing.assert_allclose(found.values, expected, rtol=1e-12)


def test_chunks_do_not_matter(monkeypatch):
    images = noise(20, channels=3)
    expected = ms_ssim(images).values
    monkeypatch.setattr(module, "CHUNK_NUMBERS", 3 * 28 * 28 * 7)
    np.testing.assert_allclose(ms_ssim(images).values, expected, rtol=1e-12)
    floats = kgen.data.to_model_range(images)
    np.testing.assert_allclose(ms_ssim([floats[:6], floats[6:]]).values, expected, rtol=1e-12)


def test_it_is_printed_in_one_line():
    gray = np.full((3, 28, 28, 1), 7, "uint8")
    assert str(ms_ssim(gray)) == "MS-SSIM 1.0000 +- 0 (3 pairs, 2 of 5 scales)"
    assert str(ms_ssim(gray[:2])) == "MS-SSIM 1.0000 (1 pairs, 2 of 5 scales)"
    assert float(ms_ssim(gray)) == pytest.approx(1)


def test_what_it_refuses():
    images = noise(3)
    with pytest.raises(ValueError, match="images must be at least 2 images; got 1"):
        ms_ssim(images[:1])
    with pytest.raises(ValueError, match="others must be at least 3 images; got 2"):
        ms_ssim(images, images[:2])
    with pytest.raises(ValueError, match="images must be at least 3 images; got 2"):
        ms_ssim(images[:2], images)
    with pytest.raises(ValueError, match="same size and channels"):
        ms_ssim(images, noise(3, channels=3))
    with pytest.raises(ValueError, match="windows of 11x11 pixels; got images of 10x28"):
        ms_ssim(images[:, :10])
    with pytest.raises(ValueError, match="pairs must be a positive integer"):
        ms_ssim(images, pairs=0)
    with pytest.raises(ValueError, match="NaN"):
        ms_ssim(np.full((3, 28, 28), np.nan))
