"""A normalizing flow, from images to figures."""

import json

import keras
import numpy as np
import pytest
from PIL import Image

from recipes import normalizing_flow as recipe

SHORT = ["--image-size", "8", "--limit", "60", "--epochs", "1", "--batch-size", "20"]
SHORT += ["--flow-steps", "1", "--filters", "8", "--samples", "20", "--jit", "off"]


def test_from_images_to_figures(tmp_path, capsys):
    model = recipe.main([*SHORT, "--dequantization", "variational", "--output", str(tmp_path)])
    assert model.dequantization.noise == "normal"
    for name in ("temperature", "samples", "interpolation", "likelihoods", "losses"):
        pixels = np.asarray(Image.open(tmp_path / f"{name}.png").convert("RGB"))
        assert pixels.shape[1] <= 1920 and pixels.std() > 5, name
    results, printed = json.loads((tmp_path / "results.json").read_text()), capsys.readouterr().out
    for name, value in results.items():
        assert np.isfinite(value) and name in printed
    assert results["largest error of ends"] < 1e-3 and results["images seen"] == 60
    kinds = {name for name in results if name.startswith("bits per dimension")}
    expected = {recipe.TEST, recipe.COLD, "inverted", "faces", "noise"}
    assert kinds == {f"bits per dimension, {name}" for name in expected}
    loaded = keras.saving.load_model(tmp_path / "normalizing_flow.keras")
    np.testing.assert_allclose(loaded.generate(4, seed=1), model.generate(4, seed=1), atol=1e-5)


def test_titles_say_what_came_out(monkeypatch):
    said, images = [], {name: np.zeros((5, 8, 8, 1), "uint8") for name in (recipe.TEST, "noise")}
    monkeypatch.setattr(recipe._run, "slide", lambda *args, title, **more: said.append(title))
    for others in (2.0, 9.0):
        bits = {recipe.TEST: np.full(5, 3.0), "noise": np.full(5, others)}
        means = recipe.draw_likelihoods(None, None, images, bits)
        assert means == {recipe.TEST: 3.0, "noise": others}
    assert "fewest bits cost" in said[0] and "costs more bits" in said[1]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["--other", "nosuch"], "no dataset 'nosuch'"),
        (["--dataset", "toy2d/moons"], "holds points, which have no size"),
        (["--batch-size", "70"], "70 is more than the 60"),
    ],
)
def test_it_refuses_before_it_trains(given, words, tmp_path, monkeypatch):
    monkeypatch.setattr(recipe, "draw_samples", None)
    with pytest.raises(ValueError, match=words):
        recipe.main([*SHORT, *given, "--output", str(tmp_path)])
