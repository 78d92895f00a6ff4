"""The VAE by weight of its KL divergence: figures, results, resumption."""

import json

import numpy as np
from PIL import Image
from pixel_judge import PixelJudge

import kgen
from recipes import _run, vae_regularization

SHORT = ["--limit", "120", "--epochs", "4", "--image-size", "8", "--samples", "40"]
SHORT += ["--precision", "float32", "--jit", "off"]


def test_from_data_to_figures_and_resumed_without_repeating(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(kgen.metrics, "judge", lambda name: PixelJudge())
    monkeypatch.setattr(vae_regularization, "WEIGHTS", (0, 3, 100))
    command, trained, fit = [*SHORT, "--output", str(tmp_path)], [], _run.fit

    def cut(run, model, images, seed, **arguments):
        if len(trained) == 2:
            raise KeyboardInterrupt
        trained.append(arguments["kl_weight"])
        return fit(run, model, images, seed, **arguments)

    with monkeypatch.context() as patch:
        patch.setattr(_run, "fit", cut)
        try:
            vae_regularization.main([*command, "--seeds", "1"])
        except KeyboardInterrupt:
            trained.clear()
        models = vae_regularization.main([*command, "--seeds", "1", "--resume"])
    assert trained == [100] and list(models) == [0, 3, 100]
    for name in ("clouds", "points_and_clouds", "divergence", "regularity", "measures"):
        pixels = np.asarray(Image.open(tmp_path / f"{name}.png").convert("RGB"))
        assert min(pixels.shape[:2]) > 200 and pixels.std() > 5, name
    results = json.loads((tmp_path / "results.json").read_text())
    printed = capsys.readouterr().out
    for name, value in results.items():
        assert np.isfinite(value) and name in printed
    priors = [
        f"{of}, {p}" for of in ("completeness", "coverage") for p in vae_regularization.PRIORS
    ]
    for of in (*priors, "reconstruction error", "sigma, median"):
        assert all(f"{of}, KL weight {weight}" in results for weight in models)
    assert results["sigma, median, KL weight 0"] < results["sigma, median, KL weight 100"]
