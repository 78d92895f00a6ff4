"""Discriminative beside generative: from data to figures and numbers."""

import json

import numpy as np
import pytest
from PIL import Image

from recipes import discriminative_generative as recipe

SMALL = ["--image-size", "8"]


def test_figures_and_numbers(tmp_path, capsys):
    discriminative, generative = recipe.main([*SMALL, "--output", str(tmp_path / "out")])
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
    assert len(generative.models) == len(discriminative.classes_) == 10


def test_bayes_rule_is_what_it_says():
    points, labels = recipe.clouds(2000, seed=0)
    model = recipe.Generative(points, labels, 2)
    posterior = model.predict_proba(points)
    np.testing.assert_allclose(posterior.sum(axis=1), 1)
    densities = np.exp([m.log_likelihood(points) for m in model.models]).T
    np.testing.assert_allclose(posterior, densities / densities.sum(axis=1, keepdims=True))
    np.testing.assert_allclose(np.exp(model.log_likelihood(points)), densities.mean(axis=1))
    mean = model.models[1].mean_image
    np.testing.assert_allclose(mean, points[labels == 1].mean(axis=0), atol=1e-5)


def test_shares_of_classes_are_the_prior():
    points, labels = recipe.clouds(100, seed=0)
    chosen = np.r_[0:100, 100:125]  # four times as many of the first class
    model = recipe.Generative(points[chosen], labels[chosen], 2)
    joint = model.log_joint(points)
    densities = np.stack([m.log_likelihood(points) for m in model.models], axis=1)
    np.testing.assert_allclose(joint - densities, np.log([[0.8, 0.2]] * 200))


def test_classes_that_are_not_numbered_from_zero():
    points, labels = recipe.clouds(200, seed=0)
    for model in (
        recipe.discriminative(points, labels + 5, 1),
        recipe.Generative(points, labels + 5, 2),
    ):
        assert list(model.classes_) == [5, 6]
        found = model.classes_[model.predict_proba(points).argmax(axis=1)]
        assert (found == labels + 5).mean() > 0.85


def test_what_it_cannot_work_with_is_refused(tmp_path):
    output = ["--output", str(tmp_path)]
    with pytest.raises(ValueError, match="faces/yaw has no classes"):
        recipe.main([*SMALL, "--dataset", "faces/yaw", "--limit", "8", *output])
