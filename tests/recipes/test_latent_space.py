"""Latent arithmetic of drawn faces: figures, numbers, the model."""

import json

import keras
import numpy as np
import pytest
from PIL import Image

import kgen
from recipes import latent_space

SHORT = ["--image-size", "16", "--limit", "300", "--epochs", "25", "--latent-dim", "256"]
SHORT += ["--batch-size", "16", "--precision", "float32", "--jit", "off"]


def test_from_faces_to_figures_and_numbers(tmp_path, capsys):
    model = latent_space.main([*SHORT, "--output", str(tmp_path)])
    for name in ("attribute", "interpolation", "arithmetic", "losses"):
        pixels = np.asarray(Image.open(tmp_path / f"{name}.png").convert("RGB"))
        assert min(pixels.shape[:2]) > 200 and pixels.std() > 5, name
    loaded = keras.saving.load_model(tmp_path / "latent_space.keras")
    images = kgen.data.load("faces", "test", 16).images(4)
    np.testing.assert_allclose(loaded.encode(images), model.encode(images), atol=1e-5)
    results = json.loads((tmp_path / "results.json").read_text())
    printed = capsys.readouterr().out
    assert all(np.isfinite(value) and name in printed for name, value in results.items())
    assert results["gain any glasses"] > 0.5 and results["change background"] < 0.5


class Factors:
    """A model whose images are what its latents say: (glasses, beard, yaw, light)."""

    def encode(self, images):
        return images.reshape(-1, 4)

    def decode(self, latents):
        return latents.reshape(-1, 2, 2, 1)


class Reads:
    class_names = {"glasses": ("none", "round", "square"), "beard": ("none", "full")}

    def labels(self, images):
        glasses, beard, _, _ = images.reshape(-1, 4).T
        return {"glasses": (glasses > 0.5).astype(int), "beard": (beard > 0.5).astype(int)}

    def values(self, images):
        _, _, yaw, light = images.reshape(-1, 4).T
        return {"yaw": yaw, "tilt": yaw, "light": light, "light_strength": light}


def test_what_a_vector_changes_of_images_that_are_their_factors(tmp_path, monkeypatch):
    monkeypatch.setattr(kgen.metrics, "judge", lambda name: Reads())
    run = latent_space.main.flags(["--output", str(tmp_path)])
    images = np.random.default_rng(0).normal(0, 0.1, (300, 2, 2, 1)).astype("float32")
    labels = np.repeat([0, 1, 2], 100)
    data = kgen.data.ImageDataset(images, labels, class_names=["none", "round", "square"])
    vector = np.float32([1, 0, 0.2, 0])
    found = latent_space.measure(run, Factors(), data, vector)
    assert found["faces whose reconstruction keeps every class"] == 1
    assert found["gain glasses=round"] == found["gain any glasses"] == 1
    assert found["change beard"] == 0 and "change glasses" not in found
    yaw = images.reshape(-1, 4)[:, 2]
    moved = "move {} [standard deviations, median]"
    assert found[moved.format("yaw")] == pytest.approx(0.2 / yaw.std(), rel=1e-3)
    assert found[moved.format("light")] == pytest.approx(0, abs=1e-6)
    found = latent_space.measure(run, Factors(), data, np.float32([0, 1, 0, 0]))
    assert found["gain any glasses"] == 0 and found["change beard"] == 1
