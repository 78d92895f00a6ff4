"""Critics beside the exact distance: mathematics, estimates, figures, resumption."""

import json

import keras
import numpy as np
import pytest
from PIL import Image
from scipy import stats

from recipes import wgan

SHORT = ["--updates", "400", "--points", "2000", "--batch-size", "64"]


def test_scale_is_that_of_least_squares():
    exact, estimate = np.random.default_rng(0).random((2, 6))
    expected = np.linalg.lstsq(exact[:, None], estimate, rcond=None)[0][0]
    assert wgan.scale(exact, estimate) == pytest.approx(expected)


def test_a_critic_learns_alone_and_first_without_its_penalty():
    real = np.random.default_rng(0).standard_normal((256, 1)).astype("float32")
    critic = wgan.make(wgan.PENALTIES["gradient penalty 1000"], 2.0, 3.0, seed=0)
    latents = np.float32([[-1], [0], [2]])
    np.testing.assert_allclose(critic.decode(latents), 2 * latents + 3)
    critic.compile({"discriminator": keras.optimizers.Adam(1e-3, 0.5, 0.9)})
    options = {"batch_size": 64, "epochs": 2, "verbose": 0}
    logs = critic.fit(real, steps_per_epoch=wgan.WITHOUT_PENALTY, **options).history
    gap = np.array(logs["fake_score"]) - logs["real_score"]
    assert logs["discriminator_loss"][0] == pytest.approx(gap[0], abs=1e-5)
    assert logs["discriminator_loss"][1] > gap[1] + 0.1
    np.testing.assert_allclose(critic.decode(latents), 2 * latents + 3)


def test_figure_estimates_and_resumption(tmp_path, monkeypatch, capsys):
    some = {name: penalty for name, penalty in wgan.PENALTIES.items() if "1000" not in name}
    monkeypatch.setattr(wgan, "SHIFTS", (0.5, 3.0))
    monkeypatch.setattr(wgan, "PENALTIES", some)
    command, measured, measure = [*SHORT, "--output", str(tmp_path)], [], wgan.measure

    def cut(run, penalty, shift):
        if len(measured) == 4:
            raise KeyboardInterrupt
        measured.append(shift)
        return measure(run, penalty, shift)

    with monkeypatch.context() as patch:
        patch.setattr(wgan, "measure", cut)
        with pytest.raises(KeyboardInterrupt):
            wgan.main(command)
        measured.clear()
        found = wgan.main([*command, "--resume"])
    assert measured == [0.5, 3.0] and list(found) == list(some)
    for exact, _ in found.values():
        np.testing.assert_allclose(exact, wgan.SHIFTS, rtol=0.15)
    exact, estimate = found["gradient penalty 100"]
    np.testing.assert_allclose(estimate, exact, rtol=0.05)
    exact, estimate = found["gradient penalty 10"]
    np.testing.assert_allclose(estimate, wgan.GradientPenalty(10).estimate(exact), rtol=0.01)
    assert estimate[-1] > 1.1 * exact[-1]
    exact, estimate = found[wgan.CLIPPED]
    np.testing.assert_allclose(estimate / exact, wgan.scale(exact, estimate), rtol=0.2)
    pixels = np.asarray(Image.open(tmp_path / "critics.png").convert("RGB"))
    assert pixels.shape[1] == 1920 and pixels.std() > 5
    results = json.loads((tmp_path / "results.json").read_text())
    printed = capsys.readouterr().out
    for name, value in results.items():
        assert np.isfinite(value) and name in printed
    assert results["correlation, gradient penalty 100"] > 0.999
    assert results["largest relative error, gradient penalty 100"] < 0.05


def test_exact_distances_are_those_of_scipy(tmp_path):
    run = wgan.main.flags(["--output", str(tmp_path)])
    real = wgan.gaussian(run)[:, 0]
    critic = wgan.make(wgan.PENALTIES["gradient penalty 10"], run.sigma, 2.0, run.seed)
    fake = critic.generate(run.points, seed=1)[:, 0]
    expected = stats.wasserstein_distance(real, fake)
    assert wgan.kgen.metrics.wasserstein_1d(real, fake) == pytest.approx(expected, rel=1e-6)
    assert expected == pytest.approx(2, abs=0.03)
