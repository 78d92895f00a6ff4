"""Nearest neighbours, precision and recall, density and coverage: written out, and by hand."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist

import kgen
from kgen.metrics import memorization, nearest, neighbors, prdc


def drawn(n, width=5, seed=0, shift=0.0):
    return np.random.default_rng(seed).normal(shift, 1, (n, width))


def pictures(n, seed=0, size=6):
    return np.random.default_rng(seed).integers(0, 256, (n, size, size, 1), "uint8")


def naive(real, fake, k):
    def radii(x):
        return np.sort(cdist(x, x), axis=1)[:, k]

    between, around_real, around_fake = cdist(real, fake), radii(real), radii(fake)
    within = between < around_real[:, None]
    return {
        "precision": (between <= around_real[:, None]).any(axis=0).mean(),
        "recall": (between <= around_fake).any(axis=1).mean(),
        "density": within.sum(axis=0).mean() / k,
        "coverage": within.any(axis=1).mean(),
    }


def as_written(real, fake, precision_k, density_k=None):
    density_k = density_k or precision_k
    found = prdc(real, fake, precision_k, density_k)
    for name in ("precision", "recall", "density", "coverage"):
        k = precision_k if name in ("precision", "recall") else density_k
        expected = naive(real, fake, k)[name]
        assert getattr(found, name) == pytest.approx(expected, abs=1e-12), name
    return found


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(neighbors, "BLOCK_ROWS", 50)
    monkeypatch.setattr(neighbors, "NUMBERS", 64)  # 32 rows of x


@pytest.mark.parametrize("ks", [(1, 1), (3, 5), (5, 2)])
def test_prdc_as_it_is_written(ks, small_blocks):
    found = as_written(drawn(230), drawn(170, seed=1, shift=0.4), *ks)
    assert (found.precision_k, found.density_k) == ks
    assert (found.n_real, found.n_fake) == (230, 170)


def test_k_is_3_for_precision_and_recall_and_5_for_density_and_coverage():
    both = drawn(230), drawn(170, seed=1, shift=0.4)
    assert prdc(*both) == prdc(*both, 3, 5) == as_written(*both, 3, 5)
    assert prdc(*both).precision < prdc(*both, 5).precision


def test_prdc_far_from_the_origin_and_at_any_scale():
    """Where float32 products have no digit left."""
    random = np.random.default_rng(0)
    for scale in (1e-9, 1.0, 1e9):
        for shift in (0, 1e5):
            real, fake = (scale * (random.normal(size=(300, 4)) + shift) for _ in range(2))
            as_written(real, fake, 5)
    odd = np.concatenate([drawn(300), [[1e7] * 5]])
    as_written(odd, drawn(300, seed=1), 5)
    as_written(drawn(300, seed=1), odd, 5)


def test_prdc_with_ties_and_duplicates(small_blocks):
    """Small integers: distances tie everywhere, and rows come several times."""
    random = np.random.default_rng(0)
    for k in (1, 4):
        real, fake = (random.integers(0, 4, (n, 3)) for n in (180, 150))
        as_written(real, fake, k)
        as_written(np.concatenate([real, real[:20]]), np.concatenate([fake, real[:30]]), k)


def test_identical_sets_have_it_all():
    x = drawn(500)
    found = prdc(x, x[::-1])
    assert (found.precision, found.recall, found.density, found.coverage) == (1, 1, 1, 1)


def test_sets_far_apart_have_nothing():
    found = prdc(drawn(100), drawn(100, seed=1, shift=50))
    assert (found.precision, found.recall, found.density, found.coverage) == (0, 0, 0, 0)


def test_a_collapsed_generator_is_precise_and_covers_nothing():
    real = drawn(400, width=2)
    fake = np.repeat(real[:1], 300, axis=0)
    found = prdc(real, fake)
    assert found.precision == 1 and found.recall == 1 / 400
    near = np.count_nonzero(cdist(real, real[:1])[:, 0] < np.sort(cdist(real, real))[:, 5])
    assert found.coverage == near / 400 and found.density == near / 5


def test_density_counts_what_precision_does_not():
    """On a line, by hand: radii of the nearest other are 1, 1, 2 and 4."""
    real, fake = np.array([[0.0], [1], [3], [7]]), np.array([[0.5], [1.5], [12]])
    found = prdc(real, fake, 1, 1)
    assert found.precision == 2 / 3  # 12 is beyond 11
    assert found.density == (2 + 2) / 3  # 0.5 lies around 0 and 1; 1.5 around 1 and 3
    assert found.coverage == 3 / 4
    assert found.recall == 1  # radii 1, 1 and 10.5: 12 reaches down to 1.5


def test_prdc_is_printed_in_one_line():
    x = drawn(1200)
    assert str(prdc(x, x)) == (
        "precision 1.000, recall 1.000 (k = 3), density 1.000, coverage 1.000 (k = 5; 1,200 "
        "generated against 1,200 real)"
    )


def test_prdc_says_what_it_takes():
    x = drawn(6)
    assert prdc(x, x).coverage == 1
    with pytest.raises(ValueError, match="real must be at least 6 rows; got 5"):
        prdc(x[:5], x)
    with pytest.raises(ValueError, match="real must be at least 6 rows; got 5"):
        prdc(x[:5], x, 5, 3)
    with pytest.raises(ValueError, match="fake must be at least 4 rows; got 3"):
        prdc(x, x[:3])
    with pytest.raises(ValueError, match=r"fake must have shape \(N, 5\); got \(6, 4\)"):
        prdc(x, x[:, :4])
    with pytest.raises(ValueError, match="real must be finite; 1 of 30"):
        prdc(np.where(x == x.max(), np.nan, x), x)
    for name in ("precision_k", "density_k"):
        with pytest.raises(ValueError, match=f"{name} must be a positive integer; got 0"):
            prdc(x, x, **{name: 0})
    with pytest.raises(TypeError, match="fake must be an array"):
        prdc(x, "digits")


def test_nearest_as_it_is_written(small_blocks):
    x, y = drawn(130), drawn(220, seed=1)
    indices, distances = nearest(x, y, 4)
    expected = cdist(x, y)
    assert indices.dtype == np.int64 and indices.shape == distances.shape == (130, 4)
    np.testing.assert_array_equal(indices, np.argsort(expected)[:, :4])
    np.testing.assert_allclose(distances, np.sort(expected)[:, :4], rtol=1e-12)
    indices, distances = nearest(x.astype("float32"), x.astype("float32"))
    assert (indices[:, 0] == np.arange(130)).all() and (distances == 0).all()


def test_nearest_is_exact_far_from_the_origin():
    random = np.random.default_rng(0)
    reference = (random.normal(size=(9000, 3)) + 1000).astype("float32")
    features = (random.normal(size=(1500, 3)) + 1000).astype("float32")
    features[7] = reference[8999]
    indices, distances = nearest(features, reference)
    expected = cdist(features.astype("float64"), reference.astype("float64"))
    np.testing.assert_array_equal(indices[:, 0], expected.argmin(axis=1))
    np.testing.assert_allclose(distances[:, 0], expected.min(axis=1), rtol=1e-9)
    assert indices[7, 0] == 8999 and distances[7, 0] == 0


def test_nearest_among_near_copies():
    """Rows closer to each other than the float32 products can tell."""
    y = np.repeat(drawn(3, seed=1), 100, axis=0) + 1e-9 * drawn(300, seed=2)
    for k in (1, 5):
        indices, distances = nearest(y[:50], y, k)
        expected = cdist(y[:50], y)
        np.testing.assert_array_equal(indices, np.argsort(expected)[:, :k])
        np.testing.assert_allclose(distances, np.sort(expected)[:, :k], rtol=1e-12)


def test_nearest_says_what_it_takes():
    x = drawn(3)
    np.testing.assert_array_equal(np.sort(nearest(x, np.zeros((3, 5)), 3)[0]), [[0, 1, 2]] * 3)
    with pytest.raises(ValueError, match="reference must be at least 4 rows; got 3"):
        nearest(x, x, 4)
    with pytest.raises(ValueError, match=r"reference must have shape \(N, 5\); got \(3, 2\)"):
        nearest(x, x[:, :2])


def test_memorization_finds_copies(monkeypatch):
    monkeypatch.setattr(neighbors, "BLOCK_ROWS", 100)
    train, test = pictures(330), pictures(40, seed=1)
    generated = pictures(20, seed=2)
    generated[:5] = train[[7, 99, 100, 250, 329]]
    generated[5] = train[11]
    generated[5, 0, 0, 0] ^= 1
    found = memorization(generated, train, test)
    assert found.indices[:6].tolist() == [7, 99, 100, 250, 329, 11]
    assert (found.distances[:5] == 0).all() and found.copies == 5 / 20
    assert found.distances[5] == pytest.approx(1 / 127.5, rel=1e-5)
    flat = [x.reshape(len(x), -1) / 127.5 - 1 for x in (generated, train, test)]
    expected, usual = (cdist(flat[i], flat[1]) for i in (0, 2))
    np.testing.assert_array_equal(found.indices, expected.argmin(axis=1))
    np.testing.assert_allclose(found.distances, expected.min(axis=1), atol=1e-5)
    np.testing.assert_allclose(found.test_distances, usual.min(axis=1), rtol=1e-5)
    medians = [np.median(d.min(axis=1)) for d in (expected, usual)]
    assert found.ratio == pytest.approx(medians[0] / medians[1], rel=1e-5)
    pairs = expected.min(axis=1)[:, None] < usual.min(axis=1)
    assert found.nearer == pytest.approx(pairs.mean(), abs=1e-12)
    np.testing.assert_array_equal(found.neighbors, train[found.indices])
    assert str(found) == (
        f"distance ratio {found.ratio:.3f}, {found.nearer:.1%} nearer than test images, 25.0% "
        "copies (pixels features, 20 generated and 40 test images against 330 of training)"
    )


def test_memorization_tells_copying_from_generating():
    train, test, fresh = (pictures(300, seed=s) for s in range(3))
    honest = memorization(fresh, train, test)
    assert honest.ratio == pytest.approx(1, abs=0.02) and 0.45 < honest.nearer < 0.55
    noisy = train.astype("int64") + np.random.default_rng(3).integers(-9, 10, train.shape)
    copied = memorization(np.clip(noisy, 0, 255).astype("uint8"), train, test)
    assert copied.ratio < 0.2 and copied.nearer == 1 and copied.copies == 0
    assert memorization(test, train, test).nearer == 0.5


def test_memorization_of_a_dataset_in_a_judges_features():
    data = kgen.data.load("digits", "train")
    test = kgen.data.load("digits", "test")
    generated = test.fetch(np.arange(30))
    generated[:3] = data.fetch(np.array([5, 17, 400]))
    found = memorization(generated, data, test, features="digits")
    assert found.features == "digits" and found.n_train == data.num_examples
    assert found.indices[:3].tolist() == [5, 17, 400] and found.copies == 3 / 30
    np.testing.assert_array_equal(found.neighbors, data.fetch(found.indices))
    pairs = found.closest(4)
    assert pairs.shape == (2, 4, 28, 28, 1)
    np.testing.assert_array_equal(pairs[0, :3], pairs[1, :3])
    figure = kgen.plots.strips(pairs, labels=["generated", "training"], title=str(found))
    assert type(figure).__name__ == "Figure"


def test_memorization_says_what_it_takes():
    x, train = pictures(4), pictures(9, seed=1)
    floats = kgen.data.to_model_range(train)
    assert memorization(floats[:2], iter([floats]), x).copies == 1
    with pytest.raises(ValueError, match=r"same size and channels; got \(5, 5, 1\) and \(6, 6, 1"):
        memorization(x, pictures(9, size=5), x)
    with pytest.raises(ValueError, match=r"same size and channels; got \(5, 5, 1\) and \(6, 6, 1"):
        memorization(x, train, pictures(9, size=5))
    with pytest.raises(ValueError, match="4 of 4 test images equal a training image"):
        memorization(x, train, train[:4])
    with pytest.raises(ValueError, match="train is empty"):
        memorization(x, [], x)
    with pytest.raises(ValueError, match="NaN"):
        memorization(np.full((2, 6, 6, 1), np.nan), train, x)
