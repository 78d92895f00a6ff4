"""Judges from data to a file that is installed; digits and faces, a few of them."""

import functools
import json

import keras
import numpy as np
from PIL import Image

import kgen
from kgen.data import faces
from kgen.metrics import Judge
from recipes.feature_net import main

SHORT = ["--limit", "100", "--epochs", "1", "--image-size", "8", "--batch-size", "50"]


def look(path):
    pixels = np.asarray(Image.open(path).convert("RGB"))
    assert min(pixels.shape[:2]) > 200 and pixels.std() > 5


def test_from_digits_to_figures_and_an_installed_judge(tmp_path, capsys):
    out, store = tmp_path / "out", tmp_path / "store"
    argv = ["--dataset", "digits", *SHORT, "--output", str(out), "--install", str(store)]
    judge = main(argv)
    look(out / "digits_confusion.png")
    loaded = keras.saving.load_model(store / "digits.keras")
    assert not loaded.compiled and loaded.dtype_policy.name == "float32"
    images = kgen.data.load("digits", "test").fetch(np.arange(20))
    again = Judge(loaded, judge.class_names)
    np.testing.assert_array_equal(again.features(images), judge.features(images))
    assert again.features(images).shape == (20, 64)
    with np.load(store / "digits.npz") as known:
        again = Judge(loaded, judge.class_names, known=dict(known))
    seen = kgen.data.load("digits", image_size=8).fetch(np.arange(100))
    assert again.strangeness(again.features(seen)) < 0.5
    assert sorted(path.name for path in store.iterdir()) == ["digits.keras", "digits.npz"]
    results = json.loads((out / "results.json").read_text())
    printed = capsys.readouterr().out
    assert 0 <= results["test accuracy"] <= 1 and "test accuracy" in printed


def test_from_faces_to_a_row_for_each_factor(tmp_path, monkeypatch):
    # Its 57 weights, each with a decay and an average, take long to trace.
    eager = functools.partialmethod(keras.Model.compile, run_eagerly=True)
    monkeypatch.setattr(keras.Model, "compile", eager)
    judge = main(["--dataset", "faces", *SHORT, "--output", str(tmp_path)])
    look(tmp_path / "faces_factors.png")
    images = faces.draw(faces.sample_factors(10, seed=5), 16)
    answers = {**judge.labels(images), **judge.values(images)}
    assert set(answers) == set(faces.FACTORS)
    results = json.loads((tmp_path / "results.json").read_text())
    assert {f"{name}, {size} pixels" for name in faces.FACTORS for size in (16, 32, 64)} <= {
        *results
    }
