"""The kernel distance: a closed form, its estimator written out, what is printed and refused."""

import itertools
import math
import sys

import numpy as np
import pytest

from kgen.metrics import kernel_distance, kid
from kgen.metrics.kid import squared_discrepancy


def features(n, seed, shift=0.0, width=6):
    return np.random.default_rng(seed).normal(shift, 1, (n, width))


def pictures(n, seed=0, size=4):
    return np.random.default_rng(seed).integers(0, 256, (n, size, size, 1), "uint8")


def test_the_estimator_as_it_is_written():
    a, b = features(7, 0), features(5, 1, 0.5)

    def kernel(x, y):
        return (x @ y / 6 + 1) ** 3

    def within(x):
        pairs = itertools.permutations(x, 2)
        return np.mean([kernel(*pair) for pair in pairs])

    between = np.mean([kernel(x, y) for x in a for y in b])
    assert squared_discrepancy(a, b) == pytest.approx(within(a) + within(b) - 2 * between)


def test_the_mean_over_subsets_is_unbiased():
    """In one dimension, of N(0, 1) and N(1, 1): with (xy + 1)^3, sum of c_k (E x^k - E y^k)^2."""
    moments = [(0, 1), (1, 2), (0, 4)]  # of first to third degree
    expected = sum(c * (x - y) ** 2 for c, (x, y) in zip((3, 3, 1), moments, strict=True))
    random = np.random.default_rng(0)
    a, b = random.normal(0, 1, (40_000, 1)), random.normal(1, 1, (40_000, 1))
    found = kernel_distance(a, b, subsets=400, subset_size=100)
    assert abs(found.value - expected) < 4 * found.standard_error
    assert found.standard_error < 0.05 * expected


def test_of_one_distribution_it_is_zero_within_its_error():
    found = kernel_distance(features(4000, 0), features(4000, 1), subsets=40, subset_size=200)
    assert abs(found.value) < 4 * found.standard_error
    other = kernel_distance(features(4000, 0), features(4000, 1, 0.3), 40, 200)
    assert other.value > 10 * other.standard_error


def test_the_standard_error_is_that_of_the_mean_over_subsets():
    a, b = features(50, 0), features(60, 1, 0.5)
    random = np.random.default_rng(3)
    values = []
    for _ in range(7):
        x = a[random.choice(50, 20, replace=False)]
        values.append(squared_discrepancy(x, b[random.choice(60, 20, replace=False)]))
    found = kernel_distance(a, b, subsets=7, subset_size=20, seed=3)
    assert found.value == pytest.approx(np.mean(values), rel=1e-12)
    assert found.standard_error == pytest.approx(np.std(values, ddof=1) / math.sqrt(7), rel=1e-9)
    assert kernel_distance(a, b, 7, 20, seed=3) == found
    assert kernel_distance(a, b, 7, 20, seed=4) != found


def test_subsets_of_everything_have_no_standard_error():
    a, b = features(30, 0), features(30, 1, 0.5)
    found = kernel_distance(a, b, subset_size=30)
    assert found.value == pytest.approx(squared_discrepancy(a, b), rel=1e-12)
    assert found.subsets == 1 and math.isnan(found.standard_error)
    assert "one subset of 30, so no standard error" in str(found)


def test_constant_features():
    one, other = np.zeros((20, 4)), np.ones((20, 4))
    assert kernel_distance(one, one, 5, 10).value == 0
    found = kernel_distance(one, other, 5, 10)
    assert found.value == pytest.approx(1 + 8 - 2) and found.standard_error == 0


@pytest.mark.parametrize("n", [20, 700])
def test_float32_features_give_the_same(n):
    a, b = features(n, 0, 3).astype("float32"), features(n, 1, 3.2).astype("float32")
    found, expected = (
        kernel_distance(*sides, 3, n - 1) for sides in ((a, b), (a.astype(float), b.astype(float)))
    )
    kernel = (3**2 + 1) ** 3
    assert found.value == pytest.approx(expected.value, abs=1e-7 * kernel)


def test_blocks_do_not_matter(monkeypatch):
    a, b = features(30, 0), features(23, 1, 0.5)
    expected = squared_discrepancy(a, b)
    for size in (1, 7, 29):
        monkeypatch.setattr(sys.modules["kgen.metrics.kid"], "BLOCK_ROWS", size)
        assert squared_discrepancy(a, b) == pytest.approx(expected, rel=1e-12)


def test_kid_of_images():
    real, fake = pictures(60), pictures(50, 1) // 2
    found = kid(real, fake, features="pixels", subsets=20, subset_size=40, seed=5)
    rows = [x.reshape(len(x), -1).astype("float32") / 127.5 - 1 for x in (real, fake)]
    expected = kernel_distance(*rows, subsets=20, subset_size=40, seed=5)
    assert float(found) == pytest.approx(expected.value, rel=1e-5)
    assert str(found) == (
        f"KID {found.value:.4g} +- {found.standard_error:.2g} (pixels features, 50 against 60 "
        "images; standard error over 20 subsets of 40)"
    )
    assert "(50 against 60 rows of features;" in str(expected)


@pytest.mark.parametrize(
    ("a", "b", "options", "message"),
    [
        (features(9, 0), features(20, 0), {"subset_size": 10}, r"a must be .*=10 rows; got 9.*=9"),
        (features(20, 0), features(9, 0), {"subset_size": 10}, r"b must be .*=10 rows; got 9"),
        (features(20, 0), features(20, 0), {"subset_size": 1}, "at least 2; got 1"),
        (features(1, 0), features(20, 0), {}, "a must be at least 2 rows; got 1"),
        (features(20, 0), features(1, 0), {"subset_size": 2}, "b must be at least 2 rows; got 1"),
        (features(20, 0), features(20, 0), {"subset_size": 10, "subsets": 0}, "subsets must be a"),
        (features(20, 0), features(20, 0, width=5), {"subset_size": 9}, r"b must have .*\(N, 6\)"),
        (features(20, 0), features(20, 0) * np.nan, {"subset_size": 9}, "b must be finite"),
    ],
)
def test_wrong_features_are_refused(a, b, options, message):
    with pytest.raises(ValueError, match=message):
        kernel_distance(a, b, **options)


@pytest.mark.parametrize(
    ("real", "fake", "message"),
    [
        (pictures(9), pictures(20), "real must be at least subset_size=10 images; got 9"),
        (pictures(20), pictures(9), "fake must be at least subset_size=10 images; got 9"),
        (pictures(20), pictures(1), "fake must be at least 2 images; got 1"),
        (pictures(1), pictures(20), "real must be at least 2 images; got 1"),
        (pictures(20), pictures(20, size=5), "same size and channels"),
        (pictures(20), np.full((20, 4, 4, 1), np.nan), "NaN"),
    ],
)
def test_wrong_images_are_refused(real, fake, message):
    with pytest.raises(ValueError, match=message):
        kid(real, fake, "pixels", subset_size=10)


def test_the_advice_can_be_followed():
    for count in (2, 9):
        with pytest.raises(ValueError, match="Pass subset_size=") as caught:
            kid(pictures(count), pictures(20), "pixels")
        size = int(str(caught.value).split("Pass subset_size=")[1].split()[0])
        assert np.isfinite(kid(pictures(count), pictures(20), "pixels", subset_size=size).value)
