"""Discriminative beside generative: from data to figures and numbers."""

import json

import numpy as np
import pytest
from PIL import Image

from kgen.data.toy2d import two_clouds
from recipes import discriminative_generative as recipe

SMALL = ["--image-size", "8"]


def test_figures_and_numbers(tmp_path, capsys):
    classifier, densities = recipe.main([*SMALL, "--output", str(tmp_path / "out")])
    for name in ("points", "samples", "strange"):
        pixels = np.asarray(Image.open(tmp_path / "out" / f"{name}.png").convert("RGB"))
        assert min(pixels.shape[:2]) > 200 and pixels.std() > 5, name
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    printed = capsys.readouterr().out
    assert all(np.isfinite(value) and name in printed for name, value in results.items())
    assert results["accuracy, points, p(y|x)"] > 0.85 and results["accuracy, points, p(x|y)"] > 0.85
    assert results["accuracy, test, p(y|x)"] > 0.9 and results["accuracy, test, p(x|y)"] > 0.9
    for kind in ("inverted", "faces", "noise"):
        assert results[f"log p(x), {kind}"] < results["log p(x), test images"] - 50
        assert results[f"AUROC of log p(x), {kind}"] > 0.99
        assert results[f"highest p(y|x), {kind}"] > 0.5
    assert len(densities.models) == len(classifier.classes_) == 10


def test_classes_that_are_not_numbered_from_zero():
    points, labels = two_clouds(200, seed=0)
    classifier, densities = recipe.fit(points, labels + 5, 1, 2)
    assert list(classifier.classes_) == list(densities.classes) == [5, 6]
    for model in (classifier, densities):
        assert (model.predict(points) == labels + 5).mean() > 0.85


def test_what_it_cannot_work_with_is_refused(tmp_path):
    output = ["--output", str(tmp_path)]
    with pytest.raises(ValueError, match="faces/yaw has no classes"):
        recipe.main([*SMALL, "--dataset", "faces/yaw", "--limit", "8", *output])
