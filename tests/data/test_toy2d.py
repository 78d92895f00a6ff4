import numpy as np
import pytest

from kgen.data import load, toy2d


@pytest.mark.parametrize("shape", list(toy2d.SHAPES))
def test_points_lie_about_the_middle_and_follow_the_seed(shape):
    points, labels = toy2d.draw(shape, 5000, seed=1)
    assert points.shape == (5000, 2) and points.dtype == "float32" and labels.shape == (5000,)
    assert np.abs(points).max() < 1.05 and np.abs(points.mean(axis=0)).max() < 0.2
    np.testing.assert_array_equal(points, toy2d.draw(shape, 5000, seed=1)[0])
    assert np.abs(points - toy2d.draw(shape, 5000, seed=2)[0]).max() > 0.1


@pytest.mark.parametrize("shape, centers", [("ring", toy2d.RING), ("grid", toy2d.GRID)])
def test_modes_have_equal_shares_and_the_spread_that_is_said(shape, centers):
    points, labels = toy2d.draw(shape, 50_000)
    offsets = points - centers[labels]
    np.testing.assert_allclose(offsets.std(axis=0), 0.02, rtol=0.03)
    nearest = ((points[:, None] - centers) ** 2).sum(-1).argmin(1)
    assert (nearest == labels).all()
    np.testing.assert_allclose(np.bincount(labels) / len(labels), 1 / len(centers), rtol=0.08)
    gaps = np.linalg.norm(centers[:, None] - centers, axis=-1)
    smallest = np.min(gaps[gaps > 0])
    assert smallest == pytest.approx({"ring": 1.6 * np.sin(np.pi / 8), "grid": 0.4}[shape])


def test_the_two_moons_are_apart_and_no_line_parts_them():
    from sklearn.linear_model import LogisticRegression
    from sklearn.neighbors import KNeighborsClassifier

    points, labels = toy2d.draw("moons", 4000)
    assert KNeighborsClassifier(5).fit(points[:2000], labels[:2000]).score(
        points[2000:], labels[2000:]
    ) == pytest.approx(1, abs=0.002)
    assert LogisticRegression().fit(points, labels).score(points, labels) < 0.95


def test_the_roll_winds_outwards():
    points, along = toy2d.draw("swiss_roll", 4000)
    radius = np.linalg.norm(points, axis=1)
    np.testing.assert_allclose(radius, 0.3 + 0.6 * along, atol=0.07)


def test_loading():
    data, test = load("toy2d/grid"), load("toy2d/grid", split="test", num_examples=500)
    assert data.image_shape == (2,) and data.num_examples == 10_000 and data.num_classes == 25
    assert test.num_examples == 500 and data.shuffle and not test.shuffle
    points = data.fetch(slice(None))
    np.testing.assert_array_equal(points, toy2d.draw("grid", 10_000)[0])
    rows = {row.tobytes() for row in points}
    assert not any(row.tobytes() in rows for row in test.fetch(slice(None)))
    assert load("toy2d", num_examples=8).num_examples == 8
    with pytest.raises(ValueError, match=r"splits \['train', 'test'\]"):
        load("toy2d/ring", split="all")
    with pytest.raises(ValueError, match="no resolution"):
        load("toy2d/ring", image_size=8)


def test_unknown_shapes_are_listed():
    with pytest.raises(ValueError, match=r"'star'.*'ring', 'grid', 'moons', 'swiss_roll'"):
        toy2d.draw("star", 10)
    with pytest.raises(ValueError, match="positive integer"):
        toy2d.draw("ring", 0)


def test_two_hills_are_two_gaussians():
    points = toy2d.two_hills(100_000, seed=1)
    assert points.shape == (100_000, 1) and points.dtype == np.float32
    left, right = points[points < -0.3], points[points >= -0.3]
    assert len(left) / len(points) == pytest.approx(0.4, abs=0.01)
    for hill, mean, sigma in ((left, -1.7, 0.35), (right, 1.5, 0.55)):
        assert hill.mean() == pytest.approx(mean, abs=0.02)
        assert hill.std() == pytest.approx(sigma, abs=0.02)


def test_two_clouds_are_two_gaussians_one_rising_and_one_falling():
    points, labels = toy2d.two_clouds(50_000, seed=1)
    assert points.dtype == np.float32 and list(labels) == [0] * 50_000 + [1] * 50_000
    for label, sign in ((0, -1), (1, 1)):
        cloud = points[labels == label]
        np.testing.assert_allclose(cloud.mean(axis=0), [0.8 * sign, 0.4 * sign], atol=0.01)
        expected = [[0.2, -0.08 * sign], [-0.08 * sign, 0.2]]
        np.testing.assert_allclose(np.cov(cloud.T), expected, atol=0.01)
    np.testing.assert_array_equal(points, toy2d.two_clouds(50_000, seed=1)[0])


@pytest.mark.parametrize("shape", ["ring", "grid", "moons", "swiss_roll"])
def test_the_density_integrates_to_one_and_is_that_of_the_points(shape):
    every = 1 if shape in ("ring", "grid") else 8  # narrow Gaussians, or broad curves
    axis = np.linspace(-1.3, 1.3, 261)
    places = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    density = np.exp(toy2d.log_density(shape, places[::every]))
    spacing = (axis[1] - axis[0]) ** 2 * every
    assert density.sum() * spacing == pytest.approx(1, abs=0.02)
    nats = toy2d.log_density(shape, toy2d.draw(shape, 2_000, seed=3)[0])
    if shape in ("ring", "grid"):  # Gaussians that do not overlap
        count, sigma = (8 if shape == "ring" else 25), toy2d.SIGMA
        entropy = np.log(count) + np.log(2 * np.pi * np.e * sigma**2)
        assert -nats.mean() == pytest.approx(entropy, abs=0.1)
    assert nats.mean() > toy2d.log_density(shape, places[::97]).mean() + 50
    with pytest.raises(ValueError, match="Unknown shape 'square'"):
        toy2d.log_density("square", places)
