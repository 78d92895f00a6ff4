"""The main job from beginning to end, and the flags that all recipes share."""

import json

import keras
import numpy as np
import pytest
from PIL import Image

import kgen
from recipes import _run
from recipes.vae import main

FIGURES = ["interpolation", "latent", "losses", "manifold", "reconstructions", "samples"]
SHORT = ["--limit", "200", "--epochs", "3", "--image-size", "8", "--precision", "float32"]
SHORT += ["--jit", "off"]


def weights(model):
    return [keras.ops.convert_to_numpy(w) for w in model.weights]


def test_from_data_to_figures_and_a_model_that_loads(tmp_path, capsys):
    model = main([*SHORT, "--output", str(tmp_path / "out")])
    folder = tmp_path / "out"
    for name in FIGURES:
        pixels = np.asarray(Image.open(folder / f"{name}.png").convert("RGB"))
        assert min(pixels.shape[:2]) > 200 and pixels.std() > 5, name
    assert Image.open(folder / "samples" / "samples.gif").n_frames == 3
    loaded = keras.saving.load_model(folder / "vae.keras")
    np.testing.assert_allclose(loaded.generate(4, seed=1), model.generate(4, seed=1), atol=1e-6)
    results = json.loads((folder / "results.json").read_text())
    printed = capsys.readouterr().out
    for name, value in results.items():
        assert np.isfinite(value) and name in printed
    assert str(folder) in printed and "vae.keras" in printed


def test_a_trained_model_is_published(tmp_path, monkeypatch):
    argv = [*SHORT, "--latent-dim", "3", "--reconstruction", "bernoulli", "--kl-weight", "0.5"]
    argv += ["--output", str(tmp_path / "out"), "--publish", str(tmp_path / "store" / "small")]
    monkeypatch.setattr(kgen.zoo.sys, "argv", ["vae.py", *argv])
    model = main()
    card = kgen.zoo.card("small", tmp_path / "store")
    loaded = kgen.zoo.load("small", tmp_path / "store")
    np.testing.assert_allclose(loaded.generate(4, seed=1), model.generate(4, seed=1), atol=1e-6)
    assert (loaded.latent_dim, loaded.reconstruction, loaded.kl_weight) == (3, "bernoulli", 0.5)
    assert card["command"].endswith(" ".join(argv)) and "digits" in card["data"]
    assert card["data"].startswith("digits: 200 x (8, 8, 1)") and "CC BY" in card["licence"]
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert results.pop("seconds") == card["seconds"] and results == card["metrics"]
    assert "float32, XLA off" in card["device"] and "3 latents" in card["what"]


def test_a_name_that_cannot_be_published_is_refused_before_training(tmp_path):
    with pytest.raises(ValueError, match=r"letters, digits.*'a\.b'"):
        main([*SHORT, "--output", str(tmp_path), "--publish", "a.b"])


class Cut(Exception):
    pass


def test_an_interrupted_run_is_resumed_and_never_overwritten(tmp_path, monkeypatch, capsys):
    command = [*SHORT, "--output", str(tmp_path / "out")]
    whole = main([*SHORT, "--output", str(tmp_path / "whole")])

    def cut(self, epoch, logs=None):
        if epoch == 1:
            raise Cut

    with monkeypatch.context() as patch:
        patch.setattr(kgen.callbacks.SampleGrid, "on_epoch_end", cut)
        with pytest.raises(Cut):
            main(command)
    kept = sorted(p.name for p in (tmp_path / "out" / "run" / "vae").iterdir())
    assert kept
    with pytest.raises(SystemExit):
        main(command)
    assert "--resume" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main([*command, "--resume", "--precision", "mixed_bfloat16"])
    assert "began with --precision float32" in capsys.readouterr().err
    assert sorted(p.name for p in (tmp_path / "out" / "run" / "vae").iterdir()) == kept
    resumed = main([*command, "--resume"])
    for a, b in zip(weights(resumed), weights(whole), strict=True):
        np.testing.assert_array_equal(a, b)
    main([*command, "--epochs", "1"])  # a finished run may be replaced
    assert len(list((tmp_path / "out" / "samples").glob("*.png"))) == 1


def test_the_fastest_settings_are_chosen_once(tmp_path, monkeypatch):
    run = _run.parse("", ["--output", str(tmp_path), "--image-size", "8"])
    train, _ = _run.load(run)
    arguments = {"image_shape": train.image_shape, "network": "dense"}
    _run.choose_fastest(run, kgen.VAE, arguments, train)
    assert run.precision in ("float32", "mixed_bfloat16") and run.jit in ("on", "off")
    again = _run.parse("", ["--output", str(tmp_path), "--image-size", "8", "--resume"])
    assert (again.precision, again.jit) == (run.precision, run.jit)

    def measured(*args, **options):
        raise AssertionError("nothing is left to measure")

    monkeypatch.setattr(kgen.VAE, "fit", measured)
    _run.choose_fastest(again, kgen.VAE, arguments, train)
    assert (again.precision, again.jit) == (run.precision, run.jit)


def test_an_output_that_cannot_be_written(tmp_path, capsys):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(SystemExit):
        main(["--output", str(tmp_path / "file" / "out")])
    assert "--output cannot be written" in capsys.readouterr().err
    assert (tmp_path / "file").read_text() == "in the way"


def test_an_unknown_dataset(tmp_path):
    with pytest.raises(ValueError, match="'digitz'"):
        main(["--dataset", "digitz", "--output", str(tmp_path)])
