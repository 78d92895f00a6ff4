"""Diffusion, from images to figures."""

import json

import keras
import numpy as np
import pytest
from PIL import Image

import kgen
from kgen.models import diffusion as diffusion_model
from recipes import diffusion

SHORT = ["--image-size", "8", "--limit", "60", "--epochs", "1", "--batch-size", "20"]
SHORT += ["--samples", "20", "--jit", "off"]
FIGURES = ["noising", "denoising", "samples", "evaluations", "guidance", "inpainting"]


def tiny(image_shape, filters, **options):
    """A network that is compiled in no time: what is tested here goes around it."""
    return kgen.networks.denoising_mlp(image_shape, hidden=(8,), **options)


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(diffusion_model, "denoising_unet", tiny)
    monkeypatch.setattr(diffusion, "EVALUATIONS", (1, 4))  # the default's, compiled once
    monkeypatch.setattr(kgen.samplers.DPMpp2M, "default_steps", lambda self, noise: 4)


def test_from_images_to_figures(tmp_path, capsys):
    model = diffusion.main([*SHORT, "--output", str(tmp_path)])
    assert model.condition.num_classes == 10
    for name in [*FIGURES, "interpolation", "losses"]:
        pixels = np.asarray(Image.open(tmp_path / f"{name}.png").convert("RGB"))
        assert pixels.shape[1] <= 1920 and pixels.std() > 5, name
    assert Image.open(tmp_path / "denoising.gif").n_frames > 4
    results, printed = json.loads((tmp_path / "results.json").read_text()), capsys.readouterr().out
    assert results["images seen"] == 60
    for name, value in results.items():
        assert np.isfinite(value) and name in printed
    # Heun's method asks three times in two steps.
    asked = {name for name in results if name.startswith("fid, Heun")}
    assert asked == {"fid, Heun, 1 evaluations", "fid, Heun, 3 evaluations"}
    loaded = keras.saving.load_model(tmp_path / "diffusion.keras")
    np.testing.assert_allclose(loaded.generate(4, seed=1), model.generate(4, seed=1), atol=1e-5)


def test_images_without_classes(tmp_path, monkeypatch):
    monkeypatch.setattr(diffusion._run, "animate", lambda *args: None)
    monkeypatch.setattr(diffusion, "SAMPLERS", {"DPM-Solver++": "dpmpp_2m"})
    monkeypatch.setattr(diffusion, "EVALUATIONS", (4,))
    given = ["--dataset", "faces", "--noise", "flow", "--output", str(tmp_path)]
    model = diffusion.main([*SHORT, *given])
    assert model.image_shape == (8, 8, 3) and model.prediction == "flow"
    assert not (tmp_path / "guidance.png").exists()  # there is nothing to ask for
    assert (tmp_path / "interpolation.png").exists()


def test_pairs_are_of_one_class():
    found = diffusion.pairs(np.array([3, 1, 3, 2, 1, 1]))
    np.testing.assert_array_equal(found, [[1, 4], [0, 2]])
    np.testing.assert_array_equal(diffusion.pairs(np.arange(10) // 2)[:2], [[0, 1], [2, 3]])
