"""What a bottleneck costs: errors by the number of latents, the figure, and resumption."""

import json

import numpy as np
from PIL import Image

from recipes import _run, bottleneck

SHORT = ["--limit", "120", "--epochs", "1", "--image-size", "8"]
SHORT += ["--precision", "float32", "--jit", "off"]


def test_from_data_to_the_figure_and_resumed_without_repeating(tmp_path, monkeypatch, capsys):
    command, trained, made = [*SHORT, "--output", str(tmp_path)], [], {}
    fit = _run.fit

    def once(run, model, images, seed, latent_dim):  # other seeds get the first one's models
        trained.append((seed, latent_dim))
        if latent_dim not in made:
            made[latent_dim] = fit(run, model, images, seed, latent_dim=latent_dim)
        return made[latent_dim]

    monkeypatch.setattr(_run, "fit", once)
    monkeypatch.setattr(bottleneck, "WIDTHS", (1, 2))
    found = bottleneck.main(command)
    assert trained == [(0, 1), (0, 2)]
    pixels = np.asarray(Image.open(tmp_path / "bottleneck.png").convert("RGB"))
    assert min(pixels.shape[:2]) > 200 and pixels.std() > 5
    results = json.loads((tmp_path / "results.json").read_text())
    printed = capsys.readouterr().out
    for name, value in results.items():
        assert np.isfinite(value) and name in printed
    for name in ("autoencoder", "principal axes"):
        for width in (1, 2):
            error = found[width][0][f"squared error, {name}"]
            assert results[f"squared error, {name}, {width}"] == error > 0
    assert results["squared error, principal axes, 2"] < results["squared error, principal axes, 1"]

    trained.clear()
    bottleneck.main([*command, "--resume"])
    again = json.loads((tmp_path / "results.json").read_text())
    assert not trained and {**again, "seconds": 0} == {**results, "seconds": 0}
    bottleneck.main([*command, "--resume", "--seeds", "2"])
    assert trained == [(1, 1), (1, 2)]
