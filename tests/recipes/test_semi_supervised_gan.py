"""The semi-supervised GAN: errors with and without images that have no labels."""

import json

import numpy as np
from PIL import Image

from recipes import semi_supervised_gan

SHORT = ["--limit", "200", "--epochs", "1", "--image-size", "8", "--batch-size", "32"]
SHORT += ["--labels", "20", "--seeds", "1", "--precision", "float32", "--jit", "off"]


def test_from_data_to_figures(tmp_path, monkeypatch):
    command = [*SHORT, "--output", str(tmp_path)]
    found = semi_supervised_gan.main(command)
    pixels = np.asarray(Image.open(tmp_path / "semi_supervised_gan.png").convert("RGB"))
    assert min(pixels.shape[:2]) > 400 and pixels.std() > 5
    assert len(found) == 1 and all(0 <= error <= 1 for error in found[0].values())
    results = json.loads((tmp_path / "results.json").read_text())
    for name, error in found[0].items():
        assert results[f"test error, {name}, seed 0"] == error
    monkeypatch.setattr(semi_supervised_gan, "draw", lambda *args: None)
    monkeypatch.setattr(semi_supervised_gan, "with_and_without", None)  # it was there already
    assert semi_supervised_gan.main([*command, "--resume"]) == found
