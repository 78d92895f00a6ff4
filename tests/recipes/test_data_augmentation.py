"""Generated images as further training data: fair shares, fair comparisons, figures."""

import functools
import json

import numpy as np
from PIL import Image

from recipes import data_augmentation

SHORT = ["--epochs", "1", "--image-size", "8", "--batch-size", "16", "--labels", "40"]
SHORT += ["--steps", "3", "--generated", "30", "--precision", "float32", "--jit", "off"]


def test_from_data_to_figures(tmp_path, monkeypatch):
    one = functools.cache(data_augmentation.classifier)  # all ways train it: it is traced once
    monkeypatch.setattr(data_augmentation, "classifier", one)
    found = data_augmentation.main([*SHORT, "--seeds", "1", "--output", str(tmp_path)])
    ways = ["40 images", "+ shifts", "+ generated", "+ shifts, generated"]
    assert [list(part) for part in found] == [ways]
    results = json.loads((tmp_path / "results.json").read_text())
    assert all(0 <= results[f"{way}, seed 0"] <= 1 for way in ways)
    pixels = np.asarray(Image.open(tmp_path / "data_augmentation.png").convert("RGB"))
    assert min(pixels.shape[:2]) > 300 and pixels.std() > 5


def test_gains_are_of_the_same_images():
    ways = ["images", "+ shifts", "+ generated", "+ shifts, generated"]
    rows = [[0.9, 0.95, 0.92, 0.94], [0.8, 0.85, 0.81, 0.89]]
    found = data_augmentation.gains([dict(zip(ways, row, strict=True)) for row in rows])
    np.testing.assert_allclose(found, [[0.02, 0.01], [-0.01, 0.04]])
