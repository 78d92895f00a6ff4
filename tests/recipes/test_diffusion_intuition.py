"""Diffusion in a plane: pictures, and scores that point to the data."""

import json

import keras
import numpy as np
import pytest
from PIL import Image

import kgen
from kgen.models import diffusion as diffusion_model
from recipes import diffusion_intuition

SHORT = ["--epochs", "2", "--num-steps", "3", "--limit", "600"]


def tiny(image_shape, **options):
    """A network that is compiled in no time: what is tested here goes around it."""
    return kgen.networks.denoising_mlp(image_shape, hidden=(8,), **options)


def test_from_training_to_pictures(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(diffusion_model, "denoising_mlp", tiny)
    model = diffusion_intuition.main([*SHORT, "--noise", "flow", "--output", str(tmp_path)])
    assert model.image_shape == (2,)
    for name in ("noising", "score", "paths"):
        pixels = np.asarray(Image.open(tmp_path / f"{name}.png").convert("RGB"))
        assert pixels.shape[1] == 1920 and pixels.std() > 5
    assert Image.open(tmp_path / "denoising.gif").n_frames >= 4
    results = json.loads((tmp_path / "results.json").read_text())
    printed = capsys.readouterr().out
    for name, value in results.items():
        assert np.isfinite(value) and name in printed
    assert results["ddpm, modes of 8"] <= 8
    loaded = keras.saving.load_model(tmp_path / "diffusion.keras")
    np.testing.assert_allclose(loaded.generate(5, seed=0), model.generate(5, seed=0), atol=1e-5)


def test_only_points_in_a_plane(tmp_path):
    with pytest.raises(ValueError, match="points in a plane"):
        diffusion_intuition.main(["--output", str(tmp_path), "--dataset", "digits"])
