"""Vanishing gradients and learning rates: mathematics, figures, resumption."""

import argparse
import json

import keras
import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import roc_auc_score

import kgen
from recipes import _measured, gan_instability

SHORT = ["--limit", "80", "--epochs", "1", "--image-size", "8", "--batch-size", "16"]
SHORT += ["--seeds", "1", "--updates", "2", "--discriminator-steps", "1"]
RUN = argparse.Namespace(jit="auto")


def linear(inputs, kernel, bias):
    """A linear network to one number."""
    network = keras.Sequential([keras.Input((inputs,)), keras.layers.Dense(1)])
    network.set_weights([np.full((inputs, 1), kernel, "float32"), np.float32([bias])])
    return network


def frozen(loss, slope, at):
    """A generator that makes `at` of every latent, and a discriminator `slope * x`."""
    generator, discriminator = linear(1, 0.0, at), linear(1, slope, 0.0)
    networks = {"generator": generator, "discriminator": discriminator, "average_decay": 0.0}
    bounds = kgen.losses.WeightClipping(1e6)
    return kgen.GAN((1,), latent_dim=1, loss=loss, penalty=bounds, **networks)


@pytest.mark.parametrize("loss", ["minimax", "non_saturating", "wasserstein"])
def test_the_gradient_at_generated_images(loss):
    """With D(x) = s x it is s times the derivative of the loss."""
    slope, at = -1.5, 0.8
    sigmoid = 1 / (1 + np.exp(-slope * at))
    expected = {"minimax": sigmoid, "non_saturating": 1 - sigmoid, "wasserstein": 1}[loss]
    real = np.full((50, 1), 2.0, "float32")
    found = gan_instability.gradient(frozen(loss, slope, at), real)
    assert found["gradient_norm"] == pytest.approx(abs(slope) * expected, rel=1e-3)
    assert found["accuracy"] == 0.0  # the slope points away from real ones


def test_accuracy_is_the_area_under_the_roc_curve(monkeypatch):
    model = frozen("minimax", 1.0, 0.0)
    real, fake = np.random.default_rng(0).standard_normal((2, 200, 1)).astype("float32")
    real += 0.5
    monkeypatch.setattr(model, "generate", lambda n, seed: fake)
    truth = np.repeat([1, 0], 200)
    expected = roc_auc_score(truth, np.concatenate([real, fake])[:, 0])
    found = gan_instability.gradient(model, real)["accuracy"]
    assert found == pytest.approx(expected, abs=1e-5)


def test_a_model_that_takes_over_a_state_trains_as_a_new_one():
    points, _ = kgen.data.toy2d.draw("ring", 256)

    def fresh(rate, seed):
        keras.utils.set_random_seed(seed)
        gan = kgen.GAN((2,), latent_dim=2, seed=3)
        return gan, {player: keras.optimizers.Adam(rate) for player in gan.players}

    def begun(gan, both, models):
        return _measured.begun(gan, models, "name", both)

    compiled, samples = {}, []
    first = begun(*fresh(1e-2, 0), compiled)
    first.fit(points, batch_size=64, verbose=0)
    for models in (compiled, {}):
        model = begun(*fresh(1e-3, 1), models)
        assert (model is first) == (models is compiled)
        model.fit(points, batch_size=64, verbose=0)
        samples.append(model.generate(50, seed=0))
    np.testing.assert_allclose(*samples, rtol=1e-4, atol=1e-5)


def test_figure_numbers_and_resumption(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(gan_instability, "STEPS", np.array([1, 2, 4]))
    monkeypatch.setattr(gan_instability, "RATES", (1e-4, 1e-2))
    command = [*SHORT, "--output", str(tmp_path)]
    for of in ("OF_IMAGES", "OF_POINTS"):
        names = ("minimax", "Wasserstein, gradient penalty")
        some = {name: getattr(gan_instability, of)[name] for name in names}
        monkeypatch.setattr(gan_instability, of, some)
    measured, measure_rate = [], gan_instability.measure_rate

    def cut(run, points, compiled, name, rate, seed):
        if len(measured) == 3:
            raise KeyboardInterrupt
        measured.append((name, rate))
        return measure_rate(run, points, compiled, name, rate, seed)

    with monkeypatch.context() as patch:
        patch.setattr(gan_instability, "measure_rate", cut)
        with pytest.raises(KeyboardInterrupt):
            gan_instability.main(command)
        measured.clear()
        gradients, rates = gan_instability.main([*command, "--resume"])
    assert measured == [("Wasserstein, gradient penalty", 1e-2)]
    assert all(np.shape(norms) == (1, 3) and np.min(norms) > 0 for norms in gradients.values())
    assert all(np.shape(modes) == (1, 2) for modes in rates.values())
    pixels = np.asarray(Image.open(tmp_path / "gan_instability.png").convert("RGB"))
    assert pixels.shape[1] == 1920 and pixels.std() > 5
    results = json.loads((tmp_path / "results.json").read_text())
    printed = capsys.readouterr().out
    for name, value in results.items():
        assert np.isfinite(value) and name in printed
    assert "gradient norm, minimax, after 4" in results
    assert "modes covered, Wasserstein, gradient penalty, learning rate 0.01" in results


def test_a_good_discriminator_leaves_no_gradient_to_minimax(tmp_path, monkeypatch):
    """Of generated images that are easy to tell, as in the figure."""
    monkeypatch.setattr(gan_instability, "STEPS", np.array([1, 300]))
    images = kgen.data.load("digits/8x8", batch_size=64)
    generator = kgen.GAN((8, 8), 64, variant="gan", seed=0).generator
    generator.trainable = False
    before, norms = generator.get_weights(), {}
    for name in gan_instability.OF_IMAGES:
        args = RUN, images, generator, {}, name, 0
        found = gan_instability.measure_gradients(*args)
        assert found["accuracy"][-1] > 0.99
        norms[name] = found["gradient_norm"]
    assert norms["minimax"][-1] < 0.05 * norms["minimax"][0]
    for name in ("non-saturating", "Wasserstein, gradient penalty"):
        assert norms[name][-1] > 0.5 * norms[name][0]
    for a, b in zip(before, generator.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
