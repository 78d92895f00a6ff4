"""Vanishing gradients and learning rates: mathematics, figures, resumption."""

import argparse
import json

import keras
import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import roc_auc_score

import kgen
from recipes import gan_instability
from recipes.gan_instability import FrozenGenerator, begun, sliced_distance

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
    networks = {"generator": generator, "discriminator": discriminator}
    bounds = kgen.losses.WeightClipping(1e6)
    model = FrozenGenerator((1,), latent_dim=1, loss=loss, penalty=bounds, **networks)
    model.compile(keras.optimizers.SGD(0.0))
    return model


@pytest.mark.parametrize("loss", ["minimax", "non_saturating", "wasserstein"])
def test_the_gradient_of_the_generator(loss):
    """With G(z) = w z + b and D(x) = s x at w = 0, it is s times the derivative of the loss."""
    slope, at = -1.5, 0.8
    sigmoid = 1 / (1 + np.exp(-slope * at))
    expected = {"minimax": sigmoid, "non_saturating": 1 - sigmoid, "wasserstein": 1}[loss]
    real = np.full((20_000, 1), 2.0, "float32")
    model = frozen(loss, slope, at)
    logs = model.fit(real, batch_size=20_000, verbose=0).history
    # The part of w is the mean of the latents, nearly 0.
    assert logs["gradient_norm"][0] == pytest.approx(abs(slope) * expected, rel=1e-3)
    assert logs["accuracy"][0] == 0.0  # the slope points away from real ones
    np.testing.assert_array_equal(model.generator.get_weights()[1], [np.float32(at)])


def test_accuracy_is_the_area_under_the_roc_curve():
    model = frozen("minimax", 1.0, 0.0)
    real, fake = np.random.default_rng(0).standard_normal((2, 200, 1)).astype("float32")
    real += 0.5
    scores = [keras.ops.convert_to_tensor(x) for x in (real, fake)]
    found = model.score_logs(*scores)
    truth = np.repeat([1, 0], 200)
    expected = roc_auc_score(truth, np.concatenate([real, fake])[:, 0])
    assert float(found["accuracy"]) == pytest.approx(expected, abs=1e-5)


def test_a_model_that_takes_over_a_state_trains_as_a_new_one():
    points, _ = kgen.data.toy2d.draw("ring", 256)

    def fresh(rate, seed):
        keras.utils.set_random_seed(seed)
        gan = kgen.GAN((2,), latent_dim=2, seed=3)
        return gan, {player: keras.optimizers.Adam(rate) for player in gan.players}

    compiled, samples = {}, []
    first = begun(RUN, *fresh(1e-2, 0), compiled, "name")
    first.fit(points, batch_size=64, verbose=0)
    for models in (compiled, {}):
        model = begun(RUN, *fresh(1e-3, 1), models, "name")
        assert (model is first) == (models is compiled)
        model.fit(points, batch_size=64, verbose=0)
        samples.append(model.generate(50, seed=0))
    np.testing.assert_allclose(*samples, rtol=1e-4, atol=1e-5)


def test_sliced_distance_of_shifted_points():
    points = np.random.default_rng(0).standard_normal((100, 2))
    shift = np.array([0.3, -0.4])
    expected = 0.5 * 2 / np.pi  # the mean of |cos|
    assert sliced_distance(points, points + shift) == pytest.approx(expected, rel=0.01)
    assert sliced_distance(points, points[::-1]) == pytest.approx(0, abs=1e-12)


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
    for found in gradients.values():
        assert np.shape(found["gradient_norm"]) == np.shape(found["accuracy"]) == (1, 3)
        assert (np.array(found["gradient_norm"]) > 0).all()
    for found in rates.values():
        assert np.shape(found["modes"]) == np.shape(found["distance"]) == (1, 2)
    pixels = np.asarray(Image.open(tmp_path / "gan_instability.png").convert("RGB"))
    assert min(pixels.shape[:2]) > 1000 and pixels.std() > 5
    results = json.loads((tmp_path / "results.json").read_text())
    printed = capsys.readouterr().out
    for name, value in results.items():
        assert np.isfinite(value) and name in printed
    assert "gradient norm, minimax, after 4" in results
    assert "modes covered, Wasserstein, gradient penalty, learning rate 0.01" in results


def test_a_good_discriminator_leaves_no_gradient_to_minimax(tmp_path):
    """Of generated images that are easy to tell, as in the figure."""
    images = kgen.data.load("digits/8x8", batch_size=64)
    norms = {}
    for name, (loss, penalty) in gan_instability.OF_IMAGES.items():
        keras.utils.set_random_seed(0)
        model = FrozenGenerator((8, 8), 16, variant="gan", loss=loss, penalty=penalty)
        model.compile(keras.optimizers.Adam(1e-3, 0.5))
        logs = model.fit(images, epochs=5, verbose=0).history
        assert logs["accuracy"][-1] > 0.99
        norms[name] = logs["gradient_norm"]
    assert norms["minimax"][-1] < 0.05 * norms["minimax"][0]
    for name in ("non-saturating", "Wasserstein, gradient penalty"):
        assert norms[name][-1] > 0.5 * norms[name][0]
