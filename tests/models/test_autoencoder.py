"""The autoencoder: against principal components, and what corruption does."""

import keras
import numpy as np
import pytest
from keras import layers, ops

import kgen
from kgen.layers import corruptions


def digits(n=None):
    return kgen.data.load("digits/8x8", split="all").images(n)


def test_a_linear_autoencoder_finds_the_principal_components():
    """With linear layers and squared errors the best is PCA (Baldi and Hornik, 1989)."""
    x = digits().reshape(-1, 64)
    model = kgen.Autoencoder((64,), 8, "mse", network="shallow")  # linear, since it is of points
    assert model.encoder.count_params() == 64 * 8 + 8
    rate = keras.optimizers.schedules.CosineDecay(3e-2, 1400)
    model.compile(keras.optimizers.Adam(rate))
    model.fit(x, batch_size=128, epochs=100, verbose=0)
    pca = kgen.Gaussian((64,), 8)
    pca.fit(x, verbose=0)
    best = np.square(pca.reconstruct(x) - x).sum(1).mean()
    assert best <= model.evaluate(x, verbose=0)["loss"] <= 1.02 * best


def test_a_denoising_autoencoder_takes_noise_away():
    x = digits()
    model = kgen.Autoencoder((8, 8), 32, "mse", "masking", network="dense")
    model.compile(keras.optimizers.Adam(3e-3))
    model.fit(x[300:], epochs=30, verbose=0)
    corrupted = model.corrupt(x[:300], seed=0)
    before = np.square(corrupted - x[:300]).mean()
    after = np.square(model.reconstruct(corrupted) - x[:300]).mean()
    assert after < 0.5 * before


def test_losses_by_name_and_the_score_of_each_image():
    x = digits(50)
    for name, distance in (("l1", np.abs), ("mse", np.square)):
        model = kgen.Autoencoder((8, 8), reconstruction=name)
        expected = distance(model.reconstruct(x) - x).sum((1, 2, 3))
        np.testing.assert_allclose(model.anomaly_score(x), expected, rtol=1e-4)
    with pytest.raises(ValueError, match=r"Unknown reconstruction 'l2'; known are \['bernoulli'"):
        kgen.Autoencoder((8, 8), reconstruction="l2")


@pytest.mark.parametrize("shape", [(12, 9, 3), (30,)])
def test_networks_for_any_shape(shape):
    model = kgen.Autoencoder(shape, latent_dim=3)
    x = np.random.default_rng(0).uniform(-1, 1, (6, *shape)).astype("float32")
    assert model.encode(x).shape == (6, 3) and model.reconstruct(x).shape == x.shape
    assert model.interpolate(x[:2], x[2:4], steps=5).shape == (2, 5, *shape)


def test_corruption_comes_with_the_file(tmp_path):
    model = kgen.Autoencoder((8, 8), corruption=kgen.layers.SaltAndPepper(0.4))
    model.compile()
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.corruption.amount == 0.4
    x = digits(10)
    np.testing.assert_array_equal(loaded.corrupt(x, seed=1), model.corrupt(x, seed=1))


def test_a_preview_has_what_the_reconstructions_are_of():
    x = digits(6)
    model = kgen.Autoencoder((8, 8))
    rows = model.preview(4, seed=1, inputs=(x, np.arange(6)))
    assert [*rows] == ["original", "reconstruction"]
    np.testing.assert_array_equal(rows["original"], x[:4])
    np.testing.assert_allclose(rows["reconstruction"], model.reconstruct(x[:4]), atol=1e-6)
    assert [*model.preview(4, seed=1)] == ["generated"]
    model = kgen.Autoencoder((8, 8), corruption="masking")
    rows = model.preview(9, seed=1, inputs=x)
    assert [*rows] == ["clean", "corrupted", "denoised"] and len(rows["clean"]) == 6
    np.testing.assert_array_equal(rows["corrupted"], model.corrupt(x, seed=1))
    np.testing.assert_allclose(rows["denoised"], model.reconstruct(rows["corrupted"]), atol=1e-6)


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match=r"Unknown corruption 'blur'.*salt_and_pepper"):
        kgen.Autoencoder((8, 8), corruption="blur")
    with pytest.raises(ValueError, match="no corruption"):
        kgen.Autoencoder((8, 8)).corrupt(digits(2))
    encoder = keras.Sequential([keras.Input((8, 8, 1)), layers.Flatten(), layers.Dense(4)])
    with pytest.raises(ValueError, match=r"latents of shape \(N, 2\)"):
        kgen.Autoencoder((8, 8), encoder=encoder)
    with pytest.raises(ValueError, match="no labels"):
        kgen.Autoencoder((8, 8)).generate(3, labels=[1, 2, 3])


@pytest.mark.parametrize("name", sorted(corruptions.CORRUPTIONS))
def test_corruptions_do_what_they_say(name):
    layer = corruptions.get(name)
    x = np.full((40, 16, 16, 3), 0.3, "float32")
    y = ops.convert_to_numpy(layer(x, seed=keras.random.SeedGenerator(0)))
    changed = np.abs(y - x) > 1e-6
    if name == "gaussian":
        assert (y - x).mean() == pytest.approx(0, abs=0.01)
        assert (y - x).std() == pytest.approx(layer.amount, rel=0.02)
        return
    assert changed.mean() == pytest.approx(layer.amount, abs=0.02)
    assert (changed.all(-1) == changed.any(-1)).all()  # pixel by pixel
    white = (y == 1).mean()
    assert white == pytest.approx(layer.amount / 2 if name == "salt_and_pepper" else 0, abs=0.02)
    assert ((y == -1) | (y == 1) | ~changed).all()


def test_amounts_out_of_range_are_refused():
    for amount in (-0.1, 1.1, True):
        with pytest.raises(ValueError, match="from 0 to 1"):
            kgen.layers.MaskingNoise(amount)
