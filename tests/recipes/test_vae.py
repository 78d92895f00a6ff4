"""The main job from beginning to end, and the flags that all recipes share."""

import contextlib
import io
import json
import shlex
import shutil

import keras
import numpy as np
import pytest
from PIL import Image

import kgen
from kgen import plots
from kgen.engine import backend
from recipes import _run
from recipes.vae import main

FIGURES = ["interpolation", "latent", "losses", "reconstructions", "samples"]
SHORT = ["--limit", "200", "--epochs", "3", "--image-size", "8", "--precision", "float32"]
SHORT += ["--jit", "off"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run from beginning to end: its folder, its model, and what it printed."""
    keras.utils.clear_session(free_memory=False)
    out, printed = tmp_path_factory.mktemp("whole"), io.StringIO()
    with contextlib.redirect_stdout(printed):
        model = main([*SHORT, "--output", str(out)])
    return out, model, printed.getvalue()


@pytest.fixture
def undrawn(monkeypatch):
    """For tests of what else a run leaves: no figures, no likelihoods."""
    monkeypatch.setattr("recipes.vae.draw", lambda *args: None)
    for name in ("elbo", "log_likelihood"):
        monkeypatch.setattr(kgen.VAE, name, lambda self, x, *args: np.ones(len(x)))


def weights(model):
    return [keras.ops.convert_to_numpy(w) for w in model.weights]


def test_from_data_to_figures_and_a_model_that_loads(whole):
    folder, model, printed = whole
    for name in FIGURES:
        pixels = np.asarray(Image.open(folder / f"{name}.png").convert("RGB"))
        assert min(pixels.shape[:2]) > 200 and pixels.std() > 5, name
    assert Image.open(folder / "samples" / "samples.gif").n_frames == 3
    said = Image.open(folder / "latent.png").info  # what makes it again, wherever it is written
    assert said["Comment"] == f"python -m recipes.vae {shlex.join(SHORT)}"
    assert "matplotlib" in said["Software"]
    loaded = keras.saving.load_model(folder / "vae.keras")
    np.testing.assert_allclose(loaded.generate(4, seed=1), model.generate(4, seed=1), atol=1e-6)
    results = json.loads((folder / "results.json").read_text())
    for name, value in results.items():
        assert np.isfinite(value) and name in printed
    assert str(folder) in printed and "vae.keras" in printed


def test_a_trained_model_is_published(tmp_path, monkeypatch, undrawn):
    settings = [*SHORT, "--latent-dim", "3", "--reconstruction", "bernoulli", "--kl-weight", "0.5"]
    argv = [*settings, "--output", str(tmp_path / "out")]
    argv += ["--publish", str(tmp_path / "store" / "small")]
    monkeypatch.setattr(kgen.zoo.sys, "argv", ["vae.py", *argv])
    model = main()
    card = kgen.zoo.card("small", tmp_path / "store")
    loaded = kgen.zoo.load("small", tmp_path / "store")
    np.testing.assert_allclose(loaded.generate(4, seed=1), model.generate(4, seed=1), atol=3e-3)
    assert (loaded.latent_dim, loaded.reconstruction, loaded.kl_weight) == (3, "bernoulli", 0.5)
    command = f"python -m recipes.vae {' '.join(settings)} --publish small"
    assert card["command"] == f"KERAS_BACKEND={keras.backend.backend()} {command}"
    assert card["dtype"] == "float16"
    assert card["data"].startswith("digits: 200 x (8, 8, 1)") and "CC BY" in card["license"]
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert results.pop("seconds") == card["seconds"] and results == card["metrics"]
    assert card["device"].endswith("float32, XLA off") and "3 latents" in card["what"]
    main([*argv, "--resume"])
    again = kgen.zoo.card("small", tmp_path / "store")
    assert again["seconds"] > card["seconds"]  # of the training, too, and all else is the same
    assert again | {"seconds": 0, "sha256": 0} == card | {"seconds": 0, "sha256": 0}


class Cut(Exception):
    pass


def test_an_interrupted_run_is_resumed_and_never_overwritten(
    whole, tmp_path, monkeypatch, capsys, undrawn
):
    command = [*SHORT, "--output", str(tmp_path / "out")]

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
    for a, b in zip(weights(resumed), weights(whole[1]), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_finished_run_is_kept_unless_it_is_to_be_replaced(whole, tmp_path, capsys, undrawn):
    command = [*SHORT, "--output", str(tmp_path / "out")]
    trained = weights(whole[1])
    shutil.copytree(whole[0], tmp_path / "out")
    kept = {p: p.read_bytes() for p in (tmp_path / "out").rglob("*") if p.is_file()}
    with pytest.raises(SystemExit):
        main(command)
    said = capsys.readouterr().err
    assert "finished run" in said and "--overwrite" in said and "another --output" in said
    with pytest.raises(ValueError, match="digitz"):  # nothing is lost before the images are there
        main([*command, "--overwrite", "--dataset", "digitz"])
    assert kept == {p: p.read_bytes() for p in (tmp_path / "out").rglob("*") if p.is_file()}
    again = weights(main([*command, "--resume"]))
    assert "holds a finished run" in capsys.readouterr().out
    for a, b in zip(again, trained, strict=True):
        np.testing.assert_array_equal(a, b)
    main([*command, "--overwrite", "--epochs", "1"])
    assert len(list((tmp_path / "out" / "samples").glob("*.png"))) == 1
    (tmp_path / "out" / "results.json").unlink()  # a model is a result, too
    shutil.rmtree(tmp_path / "out" / "run")
    with pytest.raises(SystemExit):
        main(command)
    assert "--overwrite" in capsys.readouterr().err


@pytest.mark.parametrize("names", [[], ["NVIDIA H200"]])
def test_precision_follows_the_device_and_not_a_clock(
    names, tmp_path, monkeypatch, capsys, undrawn
):
    monkeypatch.setattr(backend, "accelerators", lambda: names)
    monkeypatch.setattr(_run.timeit, "repeat", lambda *args, **options: pytest.fail("timed"))
    precision = "mixed_bfloat16" if names else "float32"
    argv = ["--limit", "64", "--epochs", "1", "--image-size", "8"]
    model = main([*argv, "--output", str(tmp_path / "out"), "--publish", str(tmp_path / "a" / "b")])
    assert model.dtype_policy.name == precision
    assert model.jit_compile == (keras.backend.backend() == "jax")  # as Keras decides, here
    out = capsys.readouterr().out
    assert f", {names[0] if names else 'CPU'}, {precision}, XLA auto\n" in out
    jit = "on" if model.jit_compile else "off"
    assert kgen.zoo.card("b", tmp_path / "a")["device"].endswith(f"{precision}, XLA {jit}")


def test_the_fastest_settings_are_found_once(tmp_path, monkeypatch, capsys):
    argv = ["--output", str(tmp_path), "--image-size", "8", "--precision", "fastest"]
    run = main.flags(argv)
    train, _ = _run.load(run)
    arguments = {"image_shape": train.image_shape, "network": "dense"}
    times = iter([1.0, 0.5, 0.45, 0.48])
    monkeypatch.setattr(_run.timeit, "repeat", lambda *args, **options: [9.0, next(times)])
    _run.settle(run, kgen.VAE, arguments, train)
    of_tensorflow = keras.backend.backend() == "tensorflow"
    found = ("float32", "on") if of_tensorflow else ("mixed_bfloat16", "auto")
    assert (run.precision, run.jit) == found
    out = capsys.readouterr().out
    assert "float32, XLA" in out and "mixed_bfloat16, XLA" in out and ": 0.500 s" in out
    (tmp_path / "run" / "vae").mkdir(parents=True)
    (tmp_path / "run" / "vae" / "checkpoint.npz").touch()
    again = main.flags([*argv, "--resume"])
    assert (again.precision, again.jit) == found


def test_figures_in_another_format_and_language(tmp_path):
    run = main.flags(["--output", str(tmp_path), "--format", "svg", "--language", "fr"])
    panel = plots.Images(np.zeros((2, 8, 8, 1), "uint8"), names=["original"])
    model = kgen.VAE((8, 8), network="shallow", latent_dim=2)
    with plots.language(run.language):
        title = "What {n} numbers keep of a test image; below, the squared error of a pixel"
        figure = _run.slide(run, "kept", panel, title=title, model=model, n=2)
    assert (tmp_path / "kept.svg").read_text().startswith("<?xml")
    assert figure.get_suptitle().startswith("Ce que 2 nombres gardent")
    (said,) = (text.get_text() for text in figure.texts if "VAE" in text.get_text())
    size = plots.in_short(sum(int(np.prod(w.shape)) for w in model.trainable_weights))
    assert said == f"VAE, digits, 8x8, {size} paramètres"
