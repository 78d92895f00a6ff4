"""Normalizing flows in a plane: pictures, and how far densities are from the truth."""

import json

import keras
import numpy as np
import pytest
from PIL import Image

from recipes import normalizing_flow_intuition as recipe

SHORT = ["--epochs", "2", "--flow-steps", "1", "--filters", "8", "--limit", "600", "--jit", "off"]


def test_from_training_to_pictures(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(recipe, "TICKS", np.linspace(-1.2, 1.2, 31))
    model = recipe.main([*SHORT, "--variant", "realnvp", "--output", str(tmp_path)])
    kinds = {type(bijection).__name__ for bijection in model.flow.bijections}
    assert model.image_shape == (2,) and kinds == {"ActNorm", "AffineCoupling"}  # Real NVP
    for name in ("layers", "density", "latents"):
        pixels = np.asarray(Image.open(tmp_path / f"{name}.png").convert("RGB"))
        assert pixels.shape[1] == 1920 and pixels.std() > 5
    assert Image.open(tmp_path / "layers.gif").n_frames == len(model.flow.bijections) + 1
    results = json.loads((tmp_path / "results.json").read_text())
    printed = capsys.readouterr().out
    for name, value in results.items():
        assert np.isfinite(value) and name in printed
    assert results["divergence from the truth, nats"] > 0
    loaded = keras.saving.load_model(tmp_path / "normalizing_flow.keras")
    np.testing.assert_allclose(loaded.generate(5, seed=0), model.generate(5, seed=0), atol=1e-5)
    lines, points = recipe.grid(lines=3, places=5), model.generate(50, seed=0)
    ways, dots = recipe.bent(model, lines, model.encode(points))[-1]
    scaled = (points - points.mean(0)) / points.std(0)
    np.testing.assert_allclose(dots, scaled, atol=1e-3)  # the way ends at what is generated
    ends = (model.decode(lines.reshape(-1, 2)) - points.mean(0)) / points.std(0)
    np.testing.assert_allclose(ways.reshape(-1, 2), ends, atol=1e-3)


def test_only_points_in_a_plane(tmp_path):
    with pytest.raises(ValueError, match="points in a plane"):
        recipe.main(["--output", str(tmp_path), "--dataset", "digits"])
