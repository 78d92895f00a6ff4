"""Mode coverage: counted by hand, on mixtures whose truth is known, and by a judge."""

import math

import numpy as np
import pytest

import kgen
from kgen.data import toy2d
from kgen.metrics import class_coverage, judge, mode_coverage


@pytest.mark.parametrize(("shape", "modes"), [("ring", 8), ("grid", 25)])
def test_the_mixture_itself(shape, modes):
    points, labels = toy2d.draw(shape, 20_000, seed=0)
    found = mode_coverage(points, shape)
    assert found.covered == modes == len(found.counts) and found.n == 20_000
    expected = 1 - math.exp(-4.5)  # within 3 sigma in two dimensions
    assert abs(found.good - expected) < 4 * math.sqrt(expected * (1 - expected) / 20_000)
    np.testing.assert_allclose(found.counts, np.bincount(labels), rtol=0.04)
    # Twice n times the divergence of n samples is chi-squared, of modes - 1 degrees.
    for kl in (found.kl, found.reverse_kl):
        assert abs(2 * found.counts.sum() * kl - (modes - 1)) < 4 * math.sqrt(2 * (modes - 1))
    assert mode_coverage(points, f"toy2d/{shape}").kl == found.kl


def test_a_collapsed_generator():
    points, labels = toy2d.draw("ring", 4000, seed=0)
    found = mode_coverage(points[labels < 2], "ring")
    assert found.covered == 2 and (found.counts[2:] == 0).all()
    assert found.kl == pytest.approx(math.log(4), abs=0.001)
    assert found.reverse_kl == math.inf
    assert found.total_variation == pytest.approx(0.75, abs=1e-9)


def test_counted_by_hand():
    centers = [[0.0], [10], [20], [30]]
    points = [[0.0]] * 4 + [[10.375]] * 2 + [[10.376]] + [[20.0]] + [[25.0]] * 8
    found = mode_coverage(points, centers, sigma=0.125, share=0.5)
    assert found.counts.tolist() == [4, 2, 1, 0] and found.n == 16
    assert found.covered == 2  # half of 16 / 4 is 2
    assert found.good == 7 / 16
    q = np.array([4, 2, 1]) / 7
    assert found.kl == pytest.approx((q * np.log(q / 0.25)).sum())
    assert found.total_variation == pytest.approx((np.abs(q - 0.25).sum() + 0.25) / 2)
    assert mode_coverage(points, centers, sigma=0.125).covered == 3
    wide = mode_coverage(points, centers, sigma=[0.125, 0.2, 2, 0.125])
    assert wide.counts.tolist() == [4, 3, 9, 0]
    assert str(found) == (
        f"2 of 4 modes covered, 43.8% good samples, KL {found.kl:.3g}, reverse KL inf, total "
        f"variation {found.total_variation:.3g} (16 samples)"
    )


def test_nothing_good():
    found = mode_coverage(np.zeros((9, 2)), "ring")
    assert found.covered == 0 and found.good == 0 and (found.counts == 0).all()
    assert (found.kl, found.reverse_kl, found.total_variation) == (math.inf, math.inf, 1)


def test_many_points_in_pieces():
    points = np.random.default_rng(0).uniform(-1, 1, (60_000, 2))
    found = mode_coverage(points, "grid")
    counts = [(np.linalg.norm(points - c, axis=1) <= 0.06).sum() for c in toy2d.GRID]
    assert found.counts.tolist() == counts


def test_classes_by_labels():
    real = np.repeat(np.arange(4), [50, 30, 20, 0])
    found = class_coverage([0] * 8 + [1] * 1 + [3], real)
    assert found.counts.tolist() == [8, 1, 0, 1] and found.expected.tolist() == [0.5, 0.3, 0.2, 0]
    assert found.covered == 2  # a quarter of 3 is less than 1; nobody asked for class 3
    assert found.kl == math.inf and found.reverse_kl == math.inf
    assert found.total_variation == pytest.approx((0.3 + 0.2 + 0.2 + 0.1) / 2)
    assert found.good is None
    assert class_coverage([0] * 99 + [1] * 7, real).covered == 1
    same = class_coverage(real[:, None], real)
    assert same.kl == same.reverse_kl == same.total_variation == 0 and same.covered == 3
    assert str(same) == (
        "3 of 3 classes covered, KL 0, reverse KL 0, total variation 0 (100 samples)"
    )


def test_classes_by_a_judge():
    data = kgen.data.load("digits", "test")
    images = data.fetch(np.arange(data.num_examples))
    found = class_coverage(data, data.labels, judge="digits")
    assert found.covered == 10 == len(found.counts) and found.total_variation < 0.02
    few = class_coverage(images[data.labels < 3], data.labels, judge=judge("digits"))
    assert few.covered == 3 and 0.6 < few.total_variation < 0.75 and len(few.counts) == 10
    assert few.kl == pytest.approx(math.log(10 / 3), abs=0.1)


def test_what_it_refuses():
    points = np.zeros((5, 2))
    with pytest.raises(ValueError, match=r"one of \['ring', 'grid'\], or an array of centres"):
        mode_coverage(points, "moons")
    with pytest.raises(ValueError, match=r"points must have shape \(N, 2\); got \(5, 3\)"):
        mode_coverage(np.zeros((5, 3)), "ring")
    with pytest.raises(ValueError, match="points must be finite"):
        mode_coverage(points + np.nan, "ring")
    with pytest.raises(ValueError, match="different centres"):
        mode_coverage(points, [[0, 0], [0, 0]])
    for sigma in (0, -1, math.inf, [1, 2], "wide"):
        with pytest.raises(ValueError, match="sigma must be"):
            mode_coverage(points, "ring", sigma)
    for share in (0, 2, True):
        with pytest.raises(ValueError, match="share must be a number above 0 up to 1"):
            mode_coverage(points, "ring", share=share)
    with pytest.raises(ValueError, match="points must be at least 1 rows; got 0"):
        mode_coverage(points[:0], "ring")


def test_what_labels_it_refuses():
    labels, images = np.arange(3), np.zeros((3, 28, 28), "uint8")
    with pytest.raises(ValueError, match=r"got shape \(3, 28, 28\). Images go with judge="):
        class_coverage(images, labels)
    with pytest.raises(TypeError, match=r"integer labels \(N,\); got list of float64"):
        class_coverage([0.5], labels)
    with pytest.raises(TypeError, match=r"real must be integer labels \(N,\); got str"):
        class_coverage(labels, "digits")
    with pytest.raises(ValueError, match="real must be labels of 0 or more; got -1"):
        class_coverage(labels, [-1, 2])
    with pytest.raises(ValueError, match="generated must be at least 1 labels; got 0"):
        class_coverage(labels[:0], labels)
    with pytest.raises(ValueError, match="classes by factor"):
        class_coverage(images, labels, judge="faces")
