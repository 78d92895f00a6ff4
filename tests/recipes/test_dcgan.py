"""The DCGAN: figures and files."""

import json

import keras
import numpy as np
import pytest
from PIL import Image

import kgen
from recipes import _run, dcgan, gan

SHORT = ["--limit", "100", "--epochs", "2", "--image-size", "8", "--filters", "4"]
SHORT += ["--samples", "100", "--batch-size", "16", "--precision", "float32", "--jit", "off"]


def test_from_faces_to_figures_resumed_and_published(tmp_path, capsys):
    command = [*SHORT, "--output", str(tmp_path / "out")]
    published = [*command, "--resume", "--publish", str(tmp_path / "store" / "small")]
    model = dcgan.main(published)
    for name in ("samples", "losses", "neighbors", "interpolation"):
        pixels = np.asarray(Image.open(tmp_path / "out" / f"{name}.png").convert("RGB"))
        assert min(pixels.shape[:2]) > 200 and pixels.std() > 5, name
    loaded = keras.saving.load_model(tmp_path / "out" / "dcgan.keras")
    np.testing.assert_allclose(loaded.generate(4, seed=1), model.generate(4, seed=1), atol=1e-6)
    zoo = kgen.zoo.load("small", tmp_path / "store")
    np.testing.assert_allclose(zoo.generate(4, seed=1), model.generate(4, seed=1), atol=3e-3)
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    printed = capsys.readouterr().out
    for name, value in results.items():
        assert np.isfinite(value) and name in printed
    assert results["fid, faces"] > results["floor of fid, faces"]
    assert model.discriminator.layers[1].filters == 4


@pytest.fixture
def undrawn(monkeypatch):
    """For tests of what a run does beside a GAN's."""
    monkeypatch.setattr(gan, "measure", lambda *args: {"fid, faces": 1.0})
    monkeypatch.setattr(_run, "draw_losses", lambda *args: None)
    monkeypatch.setattr(kgen.metrics, "memorization", lambda *args: None)


def test_other_images_than_faces(tmp_path, monkeypatch, undrawn):
    argv = [*SHORT, "--dataset", "digits", "--output", str(tmp_path)]
    drawn = []
    monkeypatch.setattr(dcgan, "draw", lambda *args: drawn.append(args))
    model = dcgan.main(argv)
    assert drawn and model.image_shape == (8, 8, 1)
    assert not (tmp_path / "arithmetic.png").exists()
