"""The Fréchet distance: closed forms, SciPy, chunks, few images; what is printed and refused."""

import sys

import numpy as np
import pytest
import scipy.linalg

import kgen
from kgen.metrics import FID, GaussianStatistics, fid, frechet_distance


def rotation(n, seed=0):
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(n, n)))[0]


def gaussian(mean, covariance):
    return GaussianStatistics(np.array(mean, float), covariance, 10**6)


def correlated(n, width, seed):
    random = np.random.default_rng(seed)
    spread = random.normal(size=(width, width)) * np.geomspace(10, 0.01, width)
    return random.normal(size=(n, width)) @ spread + random.normal(size=width)


def test_diagonal_covariances():
    a, b = np.geomspace(1e-4, 1e2, 30), np.geomspace(1e3, 1e-3, 30)
    expected = 30 * 0.5**2 + ((np.sqrt(a) - np.sqrt(b)) ** 2).sum()
    found = frechet_distance(
        gaussian(np.zeros(30), np.diag(a)), gaussian(np.full(30, 0.5), np.diag(b))
    )
    assert abs(found - expected) < 1e-6 * (a.sum() + b.sum())
    assert found == pytest.approx(expected, rel=1e-10)


def test_commuting_covariances_also_where_both_are_singular():
    q = rotation(40)
    a, b = np.geomspace(1e-6, 10, 40), np.linspace(5, 0, 40)
    for zeros in (0, 15):
        a[:zeros], b[-zeros or 40 :] = 0, 0
        one, other = (gaussian(np.zeros(40), (q * x) @ q.T) for x in (a, b))
        expected = ((np.sqrt(a) - np.sqrt(b)) ** 2).sum()
        assert abs(frechet_distance(one, other) - expected) < 1e-7 * (a.sum() + b.sum())


def test_in_one_dimension():
    a, b = np.random.default_rng(0).normal([[0], [3]], [[1], [2]], (2, 500))
    expected = (a.mean() - b.mean()) ** 2 + (a.std(ddof=1) - b.std(ddof=1)) ** 2
    assert frechet_distance(a[:, None], b[:, None]) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("n", [2, 20, 200])
def test_identical_and_shifted_features(n):
    x = correlated(n, 50, seed=1)
    trace = x.var(axis=0, ddof=1).sum()
    assert 0 <= frechet_distance(x, x) < 1e-10 * trace
    assert frechet_distance(x, x + 2) == pytest.approx(50 * 4, abs=1e-9 * trace)
    scaled = frechet_distance(x - x.mean(0), 3 * (x - x.mean(0)))
    assert scaled == pytest.approx(4 * trace, rel=1e-10)


def test_as_scipy_at_full_rank():
    a, b = correlated(400, 64, seed=1), correlated(300, 64, seed=2)
    one, other = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    root = scipy.linalg.sqrtm(one @ other).real
    expected = ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(one + other - 2 * root)
    found = frechet_distance(a, b)
    assert abs(found - expected) < 1e-6 * np.trace(one + other)
    assert frechet_distance(b, a) == pytest.approx(found, rel=1e-10)


@pytest.mark.parametrize("small", [0, 512])
@pytest.mark.parametrize(("n", "m"), [(2, 2), (10, 30), (10, 500), (400, 500), (500, 130)])
def test_any_number_of_rows_also_fewer_than_features(n, m, small, monkeypatch):
    """The sum of singular values is that of the matrix of products between the rows."""
    monkeypatch.setattr(sys.modules["kgen.metrics.frechet"], "SMALL", small)
    a, b = correlated(n, 120, seed=1), correlated(m, 120, seed=2)
    x, y = ((x - x.mean(0)) / np.sqrt(len(x) - 1) for x in (a, b))
    overlap = scipy.linalg.svdvals(x @ y.T).sum()
    trace = (x**2).sum() + (y**2).sum()
    expected = ((a.mean(0) - b.mean(0)) ** 2).sum() + trace - 2 * overlap
    assert abs(frechet_distance(a, b) - expected) < 1e-8 * trace
    assert 0 <= frechet_distance(a, a) < 1e-7 * trace


@pytest.mark.parametrize("small", [0, 512])
def test_features_that_never_change_and_copies_of_others(small, monkeypatch):
    monkeypatch.setattr(sys.modules["kgen.metrics.frechet"], "SMALL", small)
    a, b = correlated(300, 20, seed=1), correlated(200, 20, seed=2)
    expected = frechet_distance(a, b)
    a, b = (np.concatenate([x, x, np.full((len(x), 5), 7.0)], axis=1) for x in (a, b))
    assert frechet_distance(a, b) == pytest.approx(2 * expected, rel=1e-7)
    constant = np.full((9, 45), 2.0)
    assert frechet_distance(constant, constant) == 0
    expected = ((a.mean(0) - 2) ** 2).sum() + a.var(0, ddof=1).sum()
    assert frechet_distance(a, constant) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("size", [1, 7, 256])
def test_chunks_do_not_matter_even_far_from_zero(size):
    x = (1e4 + correlated(500, 30, seed=3)).astype("float32")
    statistics = GaussianStatistics()
    for start in range(0, 500, size):
        statistics.update(x[start : start + size])
    x = x.astype("float64")
    assert statistics.count == 500
    np.testing.assert_allclose(statistics.mean, x.mean(0), rtol=1e-14)
    expected = np.cov(x, rowvar=False)
    np.testing.assert_allclose(statistics.covariance, expected, atol=1e-12 * np.trace(expected))
    np.testing.assert_allclose(
        statistics.factor @ statistics.factor.T, expected, atol=1e-12 * np.trace(expected)
    )


@pytest.mark.parametrize("counts", [(40, 30), (64, 30), (65, 30), (2, 400)])
def test_few_rows_are_as_scipy_at_any_scale(counts):
    """SciPy's root of a singular product errs, so it gets a little of the identity."""
    for scale in (1e-3, 1.0, 1e3):
        a, b = (scale * correlated(n, 64, seed) for seed, n in enumerate(counts))
        one, other = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
        trace, little = np.trace(one + other), 1e-12 * np.trace(one) * np.eye(64)
        root = scipy.linalg.sqrtm((one + little) @ (other + little)).real
        expected = ((a.mean(0) - b.mean(0)) ** 2).sum() + trace - 2 * np.trace(root)
        assert abs(frechet_distance(a, b) - expected) < 1e-4 * trace


@pytest.mark.parametrize("sizes", [(1,), (1, 2, 37), (50,)])
def test_no_covariance_is_made_of_fewer_rows_than_features(sizes, monkeypatch):
    x, width = correlated(80, 50, seed=1), 50
    whole, streamed, start = GaussianStatistics.from_features(x), GaussianStatistics(), 0
    while start < 80:
        size = sizes[start % len(sizes)]
        streamed.update(x[start : start + size])
        start += size
        kept = streamed.arrays()
        assert ("rows" in kept) == (min(start, 80) <= width)
        if start >= 2:
            again = GaussianStatistics.from_arrays(kept)
            expected = np.cov(x[:start], rowvar=False)
            for found in (streamed, again):
                np.testing.assert_allclose(found.covariance, expected, atol=1e-10)
                assert found.trace == pytest.approx(np.trace(expected), rel=1e-10)
                np.testing.assert_allclose(found.mean, x[:start].mean(0), rtol=1e-10)
    np.testing.assert_allclose(streamed.covariance, whole.covariance, atol=1e-10)


def test_rows_that_are_kept_are_not_the_callers():
    x = correlated(10, 50, seed=1)
    found, expected = GaussianStatistics().update(x), np.cov(x, rowvar=False)
    x[:] = 0
    np.testing.assert_allclose(found.covariance, expected, atol=1e-12)


def test_many_features_of_few_rows():
    """12,288 of 300 and 200: of the covariances, 1.2 GB each, none is made."""
    random = np.random.default_rng(0)
    a, b = random.normal(size=(300, 12_288)), 1 + 2 * random.normal(size=(200, 12_288))
    x, y = ((z - z.mean(0)) / np.sqrt(len(z) - 1) for z in (a, b))
    overlap = scipy.linalg.svdvals(x @ y.T).sum()
    expected = ((a.mean(0) - b.mean(0)) ** 2).sum() + (x**2).sum() + (y**2).sum() - 2 * overlap
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-10)


def test_what_would_take_minutes_is_refused_before_it_begins():
    few, message = np.zeros((4097, 4097)), "4,097 features from 4,097 rows take minutes; pass 4,096"
    with pytest.raises(ValueError, match=message):
        frechet_distance(few, few)
    with pytest.raises(ValueError, match=message):
        GaussianStatistics().update(few[:4000]).update(few[:97])


def test_statistics_of_somewhere_else():
    x, y = correlated(100, 8, seed=1), correlated(60, 8, seed=2)
    known = GaussianStatistics(x.mean(0), np.cov(x, rowvar=False), 100)
    assert frechet_distance(known, y) == pytest.approx(frechet_distance(x, y), rel=1e-12)
    grown = known.update(y)
    both = np.concatenate([x, y])
    np.testing.assert_allclose(grown.covariance, np.cov(both, rowvar=False), rtol=1e-10)
    assert known is grown and grown.count == 160


@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        (np.zeros((1, 3)), np.zeros((5, 3)), "a must be at least 2 rows; got 1"),
        (np.zeros((5, 3)), GaussianStatistics(), "b must be at least 2 rows; got 0"),
        (np.zeros((5, 3)), np.zeros((5, 4)), "the same features; got 3 and 4"),
        (np.zeros((5, 3)), np.full((5, 3), np.nan), "b must be finite; 15 of 15"),
        (np.zeros((5, 3, 1)), np.zeros((5, 3)), r"a must have shape \(N, F\)"),
    ],
)
def test_wrong_features_are_refused(a, b, message):
    with pytest.raises(ValueError, match=message):
        frechet_distance(a, b)


def test_wrong_statistics_are_refused():
    with pytest.raises(ValueError, match="count must be at least 2"):
        GaussianStatistics(np.zeros(2), np.eye(2), 1)
    with pytest.raises(ValueError, match=r"symmetric, of shape \(2, 2\)"):
        GaussianStatistics(np.zeros(2), np.array([[1, 2], [0, 1.0]]), 9)
    with pytest.raises(ValueError, match=r"shape \(N, 2\)"):
        GaussianStatistics(np.zeros(2), np.eye(2), 9).update(np.zeros((4, 3)))
    with pytest.raises(ValueError, match="at least 2 rows; got 0"):
        GaussianStatistics().covariance  # noqa: B018


# Of images.


def pictures(n, seed=0, size=4, channels=1):
    random = np.random.default_rng(seed)
    return random.integers(0, 256, (n, size, size, channels), "uint8")


def flat(images):
    return images.reshape(len(images), -1) / 127.5 - 1


def test_fid_of_pixels_and_its_floor():
    real, fake, test = pictures(600), pictures(500, 1) // 2, pictures(400, 2)
    found = fid(real, fake, features="pixels", test=test)
    assert found.value == pytest.approx(frechet_distance(flat(real), flat(fake)), rel=1e-5)
    assert found.floor == pytest.approx(frechet_distance(flat(real), flat(test)), rel=1e-5)
    assert (found.n_real, found.n_fake, found.n_test, found.width) == (600, 500, 400, 16)
    assert found.floor < 0.1 * found.value == 0.1 * float(found)
    assert str(found) == (
        f"FID {found.value:.4g} (pixels features, 500 against 600 images; floor "
        f"{found.floor:.4g}, train against 400 test images)"
    )


def test_fid_comes_out_the_same_whatever_holds_the_images():
    real, fake = pictures(300), pictures(290, 1)
    expected = fid(real, fake, "pixels").value
    data = kgen.data.dataset.from_arrays(real, shuffle=True, batch_size=32)
    batches = [fake[start : start + 17] for start in range(0, 290, 17)]
    assert fid(data, iter(batches), "pixels").value == pytest.approx(expected, rel=1e-12)
    floats = kgen.data.to_model_range(fake)
    assert fid(real, floats, "pixels").value == pytest.approx(expected, rel=1e-12)
    assert fid(real[..., 0], fake[..., 0], "pixels").value == pytest.approx(expected, rel=1e-12)


def test_fid_tells_clothes_of_digits_worse_and_says_where_images_are_few():
    data = kgen.data.load("digits")
    images = data.fetch(np.arange(600))
    found = fid(images[:300], images[300:], features="digits", test=images[300:])
    assert found.value == found.floor > 0
    noisy = np.random.default_rng(0).normal(images[300:], 60).clip(0, 255).astype("uint8")
    assert fid(images[:300], noisy, "digits").value > 1.5 * found.value
    few = fid(images[:300], images[300:350], features="digits")
    assert str(few).endswith(
        "50 against 300 images; floor unknown: no test images were given; 50 images are too few "
        "for 64 features: mostly bias, comparable at these numbers only)"
    )


def photos(n, seed=0):
    """Smooth in space, correlated in colour."""
    random = np.random.default_rng(seed)
    coarse = random.integers(0, 256, (n, 4, 4, 3), "uint8")
    return kgen.data.pixels.resize(coarse, (64, 64))


def test_fid_of_large_images_is_that_of_their_thumbnails_and_says_so(tmp_path):
    real, fake, test = photos(60), photos(50, 1) // 2, photos(40, 2)
    found = fid(real, fake, "pixels", test=test, cache=tmp_path)
    small = [flat(kgen.data.pixels.resize(x, (32, 32))) for x in (real, fake, test)]
    assert found.value == pytest.approx(frechet_distance(*small[:2]), rel=1e-5)
    assert found.floor == pytest.approx(frechet_distance(small[0], small[2]), rel=1e-5)
    assert found.width == 3072 and "(pixels at 32x32 features, 50 against" in str(found)
    assert fid(real, fake, "pixels", test=test, cache=tmp_path) == found
    assert next(tmp_path.iterdir()).stat().st_size < 2e6  # rows, not a covariance
    evaluated = kgen.metrics.evaluate(real, fake, "pixels", ["fid", "kid"], test=test)
    assert evaluated.results["fid"] == found and evaluated.features == "pixels at 32x32"
    assert evaluated.results["kid"].features == "pixels at 32x32"
    memory = kgen.metrics.memorization(fake, real, test)
    assert memory.features == "pixels at 32x32" and memory.copies == 0
    logs = kgen.callbacks.Evaluator("fid", real, "pixels", test=test).measure(fake)
    assert logs["val_fid"] == pytest.approx(found.value, rel=1e-9)


def test_constant_images():
    gray, white = (np.full((5, 4, 4, 1), level, "uint8") for level in (100, 255))
    assert fid(gray, gray, "pixels").value == 0
    expected = 16 * ((255 - 100) / 127.5) ** 2
    assert fid(gray, white, "pixels").value == pytest.approx(expected, rel=1e-6)
    assert np.isfinite(fid(np.repeat(gray, 8, 0), pictures(50), "digits").value)


@pytest.mark.parametrize(
    ("real", "fake", "message"),
    [
        (pictures(1), pictures(9), "real must be at least 2 images; got 1"),
        (pictures(9), pictures(1), "fake must be at least 2 images; got 1"),
        (pictures(9), pictures(9, size=5), r"same size and channels; got \(4, 4, 1\) and \(5, 5"),
        (pictures(9), pictures(9, channels=3), "same size and channels"),
        (pictures(9), np.full((9, 4, 4, 1), np.nan), "NaN"),
        (pictures(9), [], "fake is empty"),
    ],
)
def test_wrong_images_are_refused(real, fake, message):
    with pytest.raises(ValueError, match=message):
        fid(real, fake, "pixels")


def test_wrong_test_images_are_refused():
    with pytest.raises(ValueError, match="same size and channels"):
        fid(pictures(9), pictures(9), "pixels", test=pictures(9, size=6))


def test_the_result_is_frozen():
    found = FID(1.0, None, 10, 10, None, "pixels", 4)
    with pytest.raises(AttributeError):
        found.value = 2.0
