"""The sliced Wasserstein distance: its parts written out, zero where it must be, what it tells."""

import importlib

import numpy as np
import pytest
from scipy import ndimage, stats

import kgen
from kgen.data import faces
from kgen.metrics import sliced_wasserstein
from kgen.metrics import wasserstein_1d as exact

# The function has the name of its module.
module = importlib.import_module("kgen.metrics.sliced_wasserstein")


@pytest.fixture(scope="module")
def portraits():
    return faces.draw(faces.sample_factors(120, seed=1), 32)


def textures(n, size=32, seed=0, channels=1):
    return np.random.default_rng(seed).integers(0, 256, (n, size, size, channels), "uint8")


def blurred(images, sigma):
    return np.round(ndimage.gaussian_filter(images.astype("float32"), (0, sigma, sigma, 0))).astype(
        "uint8"
    )


@pytest.mark.parametrize("size", [(28, 28), (21, 16), (17, 32)])
def test_the_pyramid_is_that_of_the_paper(size):
    """By SciPy, and reconstructed without a loss."""
    images = np.random.default_rng(0).random((3, *size, 2), "float32")
    taps = np.array([1, 4, 6, 4, 1]) / 16
    window = np.outer(taps, taps)[None, :, :, None]
    down, up = module._down(images), module._up(module._down(images), *size)
    expected = ndimage.convolve(images, window, mode="mirror")[:, ::2, ::2]
    np.testing.assert_allclose(down, expected, atol=1e-6)
    spread = np.zeros_like(images)
    spread[:, ::2, ::2] = expected
    np.testing.assert_allclose(up, ndimage.convolve(spread, 4 * window, mode="mirror"), atol=1e-6)


def test_patches_are_those_of_the_image():
    images = textures(5, 16, channels=3)
    places = module._places(images, 1, seed=0)
    assert places.min() >= 0 and places.max() < 1
    patches, coarser = module._level(images, places[:, 0], coarsest=True)
    assert patches.shape == (5 * 128, 3, 7, 7) and coarser is None
    for i in (0, 200, 639):
        y, x = (places[i // 128, 0, :, i % 128] * 10).astype(int)  # 10 places along each axis
        expected = images[i // 128, y : y + 7, x : x + 7].transpose(2, 0, 1)
        np.testing.assert_array_equal(patches[i], expected)
    corners = (places * 10).astype(int)
    assert set(corners.ravel()) == set(range(10))


def test_patches_are_normalized_by_channel():
    patches = np.random.default_rng(0).normal(3, 2, (500, 2, 7, 7)).astype("float32")
    patches[:, 1] *= 9
    found = module._normalized(patches.copy()).reshape(patches.shape)
    expected = (patches - patches.mean(axis=(0, 2, 3), keepdims=True)) / patches.std(
        axis=(0, 2, 3), keepdims=True
    )
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert (module._normalized(np.full((9, 1, 7, 7), 4, "float32")) == 0).all()


def test_the_distance_is_the_mean_of_exact_ones(monkeypatch):
    random = np.random.default_rng(0)
    a, b = (random.normal(size=(90, 6)).astype("float32") for _ in range(2))
    directions = random.normal(size=(512, 6)).astype("float32")
    expected = np.mean([exact(a @ d, b @ d) for d in directions])
    assert module._sliced(a, b, directions) == pytest.approx(expected, rel=1e-6)
    monkeypatch.setattr(module, "PROJECTIONS", 1000)  # 11 directions at once
    assert module._sliced(a, b, directions) == pytest.approx(expected, rel=1e-6)


def test_of_gaussians_in_closed_form():
    """Patches of N(0, 1) and of uniform numbers: both spread as W1 of their projections says."""
    rows = np.random.default_rng(0).normal(size=(20_000, 49)).astype("float32")
    directions = np.random.default_rng(1).normal(size=(512, 49)).astype("float32")
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    found = module._sliced(rows, 2 * rows, directions)
    assert found == pytest.approx(stats.norm().expect(abs), rel=0.02)  # W1(N(0, 1), N(0, 4))


def test_identical_sets_are_at_zero(portraits):
    found = sliced_wasserstein(portraits, portraits)
    assert found.levels == (0, 0) and found.mean == 0 and found.sizes == ((32, 32), (16, 16))
    assert sliced_wasserstein(portraits, portraits[::-1]).mean < 1e-4
    floats = kgen.data.to_model_range(portraits)
    assert sliced_wasserstein(portraits, iter([floats[:50], floats[50:]])).mean == 0


def test_constant_images():
    gray = np.full((6, 28, 28, 1), 99, "uint8")
    assert sliced_wasserstein(gray, gray).mean == 0
    found = sliced_wasserstein(gray, textures(6, 28))
    assert np.isfinite(found.levels).all() and min(found.levels) > 300


def test_blurs_show_on_the_finest_level(portraits):
    for images in (portraits, textures(60)):
        half = len(images) // 2
        floor = sliced_wasserstein(images[:half], images[half:])
        slight, strong = (
            sliced_wasserstein(images[:half], blurred(images[half:], s)) for s in (0.7, 2)
        )
        assert floor.levels[0] < slight.levels[0] < strong.levels[0]
        assert slight.levels[0] - floor.levels[0] > 3 * (slight.levels[1] - floor.levels[1])
        assert strong.levels[0] > strong.levels[1]


def test_shades_show_on_the_coarsest_level(portraits):
    """A gradient of random direction and strength over each image."""
    slopes = np.random.default_rng(0).normal(0, 40, (2, len(portraits), 1, 1, 1))
    ramp = np.linspace(-1, 1, 32)[:, None]
    shaded = portraits + slopes[0] * ramp[:, None] + slopes[1] * ramp
    shaded = np.clip(np.round(shaded), 0, 255).astype("uint8")
    floor = sliced_wasserstein(portraits[:60], portraits[60:])
    found = sliced_wasserstein(portraits[:60], shaded[60:])
    rise = np.subtract(found.levels, floor.levels)
    assert rise[1] > 10 and rise[1] > 4 * abs(rise[0])


def test_levels_halve():
    assert module._sizes(28, 28) == ((28, 28), (14, 14))
    assert module._sizes(64, 64) == ((64, 64), (32, 32), (16, 16))
    assert module._sizes(56, 56) == ((56, 56), (28, 28))
    assert module._sizes(45, 100) == ((45, 100), (23, 50))
    assert module._sizes(9, 9) == ((9, 9),)
    found = sliced_wasserstein(textures(4, 45), textures(4, 45, seed=1))
    assert found.sizes == ((45, 45), (23, 23)) and np.isfinite(found.mean)


def test_equal_numbers_are_drawn():
    images = textures(90, 9)
    found = sliced_wasserstein(images, images[:40])
    assert found.n == 40 and sliced_wasserstein(images, images, most=30).n == 30
    assert sliced_wasserstein(images, images, most=30).mean == 0
    chosen, _ = module._drawn(images, "images", 30, seed=0)
    first = np.random.default_rng(0).random(90).argsort()[:30]
    np.testing.assert_array_equal(chosen, images[np.sort(first)])
    stream = textures(1500, 8)
    whole, _ = module._drawn(stream, "images", 2000, seed=0)
    np.testing.assert_array_equal(whole, stream)
    chosen, keys = module._drawn((stream[i : i + 7] for i in range(0, 1500, 7)), "images", 50, 0)
    first = np.random.default_rng(0).random(1500).argsort()[:50]
    np.testing.assert_array_equal(chosen, stream[np.sort(first)])
    assert len(keys) == 50


def test_places_follow_the_image():
    images = textures(4, 8)
    images[3] = images[1]
    places = module._places(images, 2, seed=0)
    np.testing.assert_array_equal(module._places(images[[2, 1]], 2, seed=0), places[[2, 1]])
    assert not np.array_equal(places[3], places[1])  # a copy has its own
    assert not np.array_equal(module._places(images, 2, seed=1), places)


def test_it_is_printed_in_one_line():
    images = textures(4, 28)
    assert str(sliced_wasserstein(images, images)) == (
        "SWD x1000 0.00 (28x28 0.00, 14x14 0.00; 4 images of each side)"
    )
    assert float(sliced_wasserstein(images, images)) == 0


def test_what_it_refuses():
    images = textures(4, 28)
    with pytest.raises(ValueError, match=r"same size and channels; got \(28, 28, 1\) and \(32"):
        sliced_wasserstein(images, textures(4, 32))
    with pytest.raises(ValueError, match="same size and channels"):
        sliced_wasserstein(images, textures(4, 28, channels=3))
    with pytest.raises(ValueError, match="Patches are 7x7 pixels; got images of 6x6"):
        sliced_wasserstein(images[:, :6, :6], images[:, :6, :6])
    with pytest.raises(ValueError, match="most must be a positive integer; got 0"):
        sliced_wasserstein(images, images, most=0)
    with pytest.raises(ValueError, match="fake is empty"):
        sliced_wasserstein(images, [])
    with pytest.raises(ValueError, match="NaN"):
        sliced_wasserstein(images, np.full((4, 28, 28, 1), np.nan))
