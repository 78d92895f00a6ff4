"""The Gaussian and the mixture against NumPy, SciPy and scikit-learn in float64."""

import keras
import numpy as np
import pytest
from scipy import stats
from sklearn import mixture

import kgen
from kgen.models import principal_axes


def decaying(n, d, q, seed=0, tail=0.03):
    """Points whose variances fall from 1, with a gap after the first q."""
    random = np.random.default_rng(seed)
    scales = np.where(np.arange(d) < q, 0.97 ** np.arange(d), tail)
    rotation = np.linalg.qr(random.normal(size=(d, d)))[0]
    return (random.normal(size=(n, d)) * scales @ rotation + random.normal(size=d)).astype("f4")


def truth(x):
    """Mean, eigenvalues in descending order and axes of the covariance, by NumPy in float64."""
    x = x.astype("float64").reshape(len(x), -1)
    mean = x.mean(0)
    _, singular, axes = np.linalg.svd(x - mean, full_matrices=False)
    return mean, singular**2 / len(x), axes


@pytest.mark.parametrize(
    ("n", "d", "q", "whole"),
    [(400, 60, 12, True), (30, 90, 12, True), (400, 300, 12, False), (250, 300, 12, False)],
)
def test_mean_eigenvalues_axes_and_likelihood_are_those_of_numpy(n, d, q, whole, monkeypatch):
    if not whole:
        monkeypatch.setattr(principal_axes, "FULL", 10)
    x = decaying(n, d, q)
    model = kgen.Gaussian((d,), q, min_variance=1e-4)
    history = model.fit(x, verbose=0, batch_size=64).history
    mean, eigenvalues, axes = truth(x)
    np.testing.assert_allclose(model.mean_image, mean, atol=1e-5)
    np.testing.assert_allclose(model.eigenvalues, eigenvalues[:q], atol=1e-5 * eigenvalues[0])
    own = model.axes.astype("float64")
    np.testing.assert_allclose(own.T @ own, axes[:q].T @ axes[:q], atol=1e-5)
    noise = eigenvalues[q:].sum() / (d - q)
    assert model.noise == pytest.approx(noise, rel=1e-5) and noise > 1e-4 * eigenvalues[0]
    covariance = (axes[:q].T * (eigenvalues[:q] - noise)) @ axes[:q] + noise * np.eye(d)
    expected = stats.multivariate_normal(mean, covariance).logpdf(x[:50].astype("float64"))
    np.testing.assert_allclose(model.log_likelihood(x[:50]), expected, rtol=1e-5)
    assert history["log_likelihood"] == [pytest.approx(model.log_likelihood(x).mean(), rel=1e-6)]
    assert model.evaluate(x)["log_likelihood"] == pytest.approx(history["log_likelihood"][0])


@pytest.mark.parametrize("tied", [False, True])
def test_axes_have_one_direction_whatever_finds_them(tied, monkeypatch):
    """Another order of the sums is what other threads do; a tie is a face and its mirror image."""
    random = np.random.default_rng(0)
    axes = np.linalg.qr(random.normal(size=(12, 3)))[0]
    if tied:  # (1, -1, 0, ...), (0, 0, 1, -1, ...), ...: rounding alone says which is larger
        axes = np.kron(np.eye(6), [1, -1]).T[:, :3] / np.sqrt(2)
    rows = (random.normal(size=(400, 3)) * [4, 2, 1]) @ axes.T
    rows = np.concatenate([rows, -rows])  # as many on either side: no direction is preferred
    noisy = [rows + 1e-5 * np.random.default_rng(i).normal(size=rows.shape) for i in range(4)]
    found = [principal_axes.principal_axes(lambda x=x: iter([x]), 3).axes for x in noisy]
    found.append(principal_axes.principal_axes(lambda: iter([rows[::-1]]), 3).axes)
    monkeypatch.setattr(principal_axes, "FULL", 10)
    for seed in range(3):
        each = principal_axes.principal_axes(lambda: iter([rows.astype("float32")]), 3, seed)
        found.append(each.axes)
    for each in found[1:]:
        np.testing.assert_allclose(each, found[0], atol=1e-4)
    largest = found[0][range(3), np.abs(np.round(found[0], 3)).argmax(axis=1)]
    assert (largest > 0).all()


def test_directions_of_axes_by_hand():
    axes = [[-0.6, 0.8], [-0.8, 0.6], [-0.7071, 0.7072], [0.7072, -0.7071]]
    expected = [[-0.6, 0.8], [0.8, -0.6], [0.7071, -0.7072], [0.7072, -0.7071]]
    np.testing.assert_array_equal(principal_axes.directed(np.array(axes)), expected)


@pytest.mark.parametrize("n, d, q", [(300, 60, 40), (300, 60, 59), (40, 60, 30), (300, 60, 3)])
def test_the_block_method_stays_orthonormal_however_many_axes_are_wanted(n, d, q, monkeypatch):
    x = np.random.default_rng(0).normal(size=(n, d)).astype("float32")
    x[:, 10:] *= 0.01
    monkeypatch.setattr(principal_axes, "FULL", 10)
    found = principal_axes.principal_axes(lambda: iter([x]), q)
    _, eigenvalues, axes = truth(x)
    np.testing.assert_allclose(found.axes @ found.axes.T, np.eye(q), atol=1e-6)
    np.testing.assert_allclose(found.eigenvalues, eigenvalues[:q], atol=1e-5 * eigenvalues[0])
    few = min(q, 10)
    expected = principal_axes.directed(axes[:few])
    np.testing.assert_allclose(np.abs(np.sum(found.axes[:few] * expected, 1)), 1, atol=1e-3)


def test_the_whole_spectrum_by_default_and_a_floor_where_nothing_varies():
    x = decaying(200, 20, 20)
    x[:, 3] = 0.25  # never changes
    model = kgen.Gaussian((20,))
    model.fit(x, verbose=0)
    assert model.components == model.latent_dim == 20 and model.noise == 0
    mean, eigenvalues, axes = truth(x)
    along = np.maximum(eigenvalues, 1e-6 * eigenvalues[0])
    expected = stats.multivariate_normal(mean, (axes.T * along) @ axes).logpdf(x.astype("f8"))
    np.testing.assert_allclose(model.log_likelihood(x), expected, rtol=1e-5)
    np.testing.assert_array_equal(-model.anomaly_score(x), model.log_likelihood(x))


def test_fewer_images_than_dimensions_have_one_axis_less_than_images():
    x = decaying(10, 50, 50)
    model = kgen.Gaussian((50,))
    model.fit(x, verbose=0)
    assert model.components == 9
    np.testing.assert_allclose(model.reconstruct(x), x, atol=1e-5)


def test_it_is_the_linear_autoencoder_with_unit_latents():
    x = decaying(500, 30, 5)
    model = kgen.Gaussian((30,), 5)
    model.fit(x, verbose=0)
    z = model.encode(x)
    np.testing.assert_allclose(np.cov(z.T, bias=True), np.eye(5), atol=1e-4)
    mean, eigenvalues, axes = truth(x)
    projected = mean + (x - mean) @ axes[:5].T @ axes[:5]
    np.testing.assert_allclose(model.reconstruct(x), projected, atol=1e-5)
    error = np.square(model.reconstruct(x) - x).sum(1).mean()
    assert error == pytest.approx(eigenvalues[5:].sum(), rel=1e-4)
    np.testing.assert_allclose(model.predict(x, verbose=0), projected, atol=1e-5)


@pytest.mark.parametrize("make", [kgen.Gaussian, kgen.GaussianMixture])
def test_samples_have_the_moments_of_the_model(make):
    x = decaying(2000, 8, 3, tail=0.2)
    model = make((8,), components=3)
    model.fit(x, verbose=0)
    drawn = model.generate(20000, seed=0)
    np.testing.assert_allclose(drawn.mean(0), x.mean(0), atol=0.03)
    expected = (model.axes.T * (model.eigenvalues - model.noise)) @ model.axes
    expected = expected + model.noise * np.eye(8)
    np.testing.assert_allclose(np.cov(drawn.T), expected, atol=0.05)
    # A sample is as likely as the model's own entropy says: nothing is counted twice.
    more = model.log_likelihood(model.generate(20000, seed=1)).mean()
    assert model.log_likelihood(drawn).mean() == pytest.approx(more, abs=0.05)


def test_after_a_reload_the_likelihood_is_that_of_float32(tmp_path):
    x = decaying(300, 40, 10)
    for model in (kgen.Gaussian((40,), 10), kgen.GaussianMixture((40,), 3, 10)):
        model.fit(x, verbose=0)
        model.save(tmp_path / "model.keras")
        loaded = keras.saving.load_model(tmp_path / "model.keras")
        expected = model.log_likelihood(x)
        np.testing.assert_allclose(loaded.log_likelihood(x), expected, rtol=1e-3)
        assert loaded.count == 300 and loaded.components == 10
        other = kgen.Gaussian((40,), 10) if type(model) is kgen.Gaussian else None
        if other is not None:  # weights that come later are what counts
            other.fit(x[:100], verbose=0)
            other.set_weights(model.get_weights())
            np.testing.assert_allclose(other.log_likelihood(x), expected, rtol=1e-3)


def test_the_mixture_is_scikit_learns_in_the_principal_axes():
    random = np.random.default_rng(0)
    centers = np.array([[3, 0, 0], [-3, 1, 0], [0, -3, 2.0]])
    x = (centers[random.integers(0, 3, 900)] + random.normal(size=(900, 3)) * 0.5).astype("f4")
    model = kgen.GaussianMixture((3,), clusters=3, components=3)
    model.fit(x, verbose=0)
    direct = mixture.GaussianMixture(3, random_state=0).fit(x)
    np.testing.assert_allclose(model.log_likelihood(x).mean(), direct.score(x), atol=0.01)
    single = kgen.Gaussian((3,))
    single.fit(x, verbose=0)
    assert model.log_likelihood(x).mean() > single.log_likelihood(x).mean() + 0.3
    near = np.linalg.norm(model.generate(500, seed=0)[:, None] - centers, axis=2).min(1)
    assert np.mean(near < 2.0) > 0.98


def test_images_stream_and_callbacks_are_told_of_one_epoch(capsys):
    data = kgen.data.load("digits/8x8")
    told = []

    class Listener(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            told.append("begin")

        def on_epoch_end(self, epoch, logs=None):
            told.append((epoch, sorted(logs)))

        def on_train_end(self, logs=None):
            told.append("end")

    model = kgen.Gaussian((8, 8), 10)
    history = model.fit(data, callbacks=[Listener()], validation_data=data.take(100), epochs=3)
    names = ["log_likelihood", "val_log_likelihood"]
    assert told == ["begin", (0, names), "end"] and sorted(history.history) == names
    assert "log_likelihood" in capsys.readouterr().out
    arrays = kgen.Gaussian((8, 8), 10)
    arrays.fit(data.images(), verbose=0)
    np.testing.assert_allclose(arrays.eigenvalues, model.eigenvalues, rtol=1e-6)
    assert data.num_examples == model.count
    assert model.axes.shape == (10, 8, 8, 1) and model.mean_image.shape == (8, 8, 1)


def test_bad_input_is_refused():
    x = kgen.data.load("digits/8x8").images(20)
    with pytest.raises(ValueError, match="All 20 images are the same"):
        kgen.Gaussian((8, 8)).fit(np.repeat(x[:1], 20, axis=0), verbose=0)
    with pytest.raises(ValueError, match="at least 2 images; got 1"):
        kgen.Gaussian((8, 8)).fit(x[:1], verbose=0)
    with pytest.raises(ValueError, match="at most 19 axes: components=30"):
        kgen.Gaussian((8, 8), 30).fit(x, verbose=0)
    with pytest.raises(ValueError, match="10 clusters need at least 20 examples; got 5"):
        kgen.GaussianMixture((8, 8), components=3).fit(x[:5], verbose=0)
    with pytest.raises(ValueError, match="read but once"):
        kgen.Gaussian((8, 8)).fit((batch for batch in [(x,)]), verbose=0)
    with pytest.raises(ValueError, match="TrainingCheckpoint"):
        kgen.Gaussian((8, 8)).fit(x, callbacks=[kgen.callbacks.TrainingCheckpoint("run")])
    unfitted = kgen.Gaussian((8, 8))
    for use in (
        lambda: unfitted.generate(3),
        lambda: unfitted.encode(x),
        lambda: unfitted.log_likelihood(x),
        lambda: unfitted.save("model.keras"),
        lambda: kgen.Gaussian((8, 8), 3).encode(x),
    ):
        with pytest.raises(ValueError, match="call fit first"):
            use()
    with pytest.raises(ValueError, match="min_variance"):
        kgen.Gaussian((8, 8), min_variance=0)
    with pytest.raises(TypeError, match="sepochs"):
        kgen.Gaussian((8, 8)).fit(x, sepochs=3)
    with pytest.raises(ValueError, match="takes no optimizer"):
        kgen.Gaussian((8, 8)).compile("adam")
