"""The comparison of an autoencoder's samples with a VAE's, and its resumption."""

import json

import numpy as np
import pytest
from PIL import Image
from pixel_judge import PixelJudge

import kgen
from recipes import _run, autoencoder_limits

SHORT = ["--limit", "120", "--epochs", "1", "--image-size", "8", "--samples", "40"]
SHORT += ["--precision", "float32", "--jit", "off"]


@pytest.fixture(autouse=True)
def _judge(monkeypatch):
    monkeypatch.setattr(kgen.metrics, "judge", lambda name: PixelJudge())


def test_from_data_to_figures_and_resumed_without_repeating(tmp_path, monkeypatch, capsys):
    command, trained, made = [*SHORT, "--output", str(tmp_path)], [], {}
    fit = _run.fit

    def once(run, model, images, seed, **arguments):  # other seeds get the first one's models
        kind = model, arguments["latent_dim"]
        trained.append((seed, kind[1]))
        if kind not in made:
            made[kind] = fit(run, model, images, seed, **arguments)
        return made[kind]

    monkeypatch.setattr(_run, "fit", once)
    vae = autoencoder_limits.main([*command, "--seeds", "1"])
    assert vae.latent_dim == 16
    for name in ("samples_2", "samples_16", "walk", "measures"):
        pixels = np.asarray(Image.open(tmp_path / f"{name}.png").convert("RGB"))
        assert min(pixels.shape[:2]) > 200 and pixels.std() > 5, name
    results = json.loads((tmp_path / "results.json").read_text())
    printed = capsys.readouterr().out
    for name, value in results.items():
        assert np.isfinite(value) and name in printed
    for width in (2, 16):
        for prior in autoencoder_limits.PRIORS:
            for of in ("completeness", "coverage"):
                assert 0 <= results[f"{of}, {prior}, {width} latents"] <= 1
        for name in ("AE", "VAE"):
            assert results[f"continuity, {name}, {width} latents"] >= 1
            assert results[f"reconstruction error, {name}, {width} latents"] > 0
    assert results["completeness, real images"] > results["completeness, noise"]
    assert trained == [(0, 2), (0, 2), (0, 16), (0, 16)]

    trained.clear()
    monkeypatch.setattr(autoencoder_limits, "draw", lambda *args: None)
    autoencoder_limits.main([*command, "--seeds", "1", "--resume"])
    again = json.loads((tmp_path / "results.json").read_text())
    assert not trained and {**again, "seconds": 0} == {**results, "seconds": 0}
    autoencoder_limits.main([*command, "--seeds", "2", "--resume"])
    assert trained == [(1, 2), (1, 2), (1, 16), (1, 16)]
    with pytest.raises(ValueError, match="of --epochs 1: resume it with the same"):
        autoencoder_limits.main([*command, "--epochs", "2", "--resume"])


def test_a_dataset_without_a_judge(tmp_path):
    with pytest.raises(ValueError, match="fashion_mnist"):
        autoencoder_limits.main([*SHORT, "--dataset", "toy2d/ring", "--output", str(tmp_path)])
