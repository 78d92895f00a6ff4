"""Flags that all recipes share, those that one of them has no use for, and how commands end."""

import importlib
import os
import pathlib
import signal
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

import kgen
import recipes
from recipes import _run
from recipes.__main__ import main as list_recipes

NAMES = sorted(path.stem for path in pathlib.Path(recipes.__file__).parent.glob("[!_]*.py"))
MODULES = {name: importlib.import_module(f"recipes.{name}") for name in NAMES}
OFFERED = {name: module.main.flags for name, module in MODULES.items()}
BAD = {
    "--format": ["gif"],
    "--language": ["de"],
    "--image-size": ("-3", "0", "large"),
    "--channels": ("2", "0", "grey"),
    "--background": ("whitish", "256", ""),
    "--kind": ("folders",),
    "--direction": ("b2a",),
    "--blocks": ("0",),
    "--depth": ("0",),
    "--receptive-field": ("0",),
    "--cycle-weight": ("-1",),
    "--l1-weight": ("-1",),
    "--shorter-side": ("0",),
    "--translate": ("",),
    "--memory": ("-1", "nan", "some"),
    "--limit": ("0", "-1", "1.5"),
    "--epochs": ("0", "-1", "many"),
    "--batch-size": ("0", "-64", "all"),
    "--seed": ("-1", "4294967296", "x"),
    "--seeds": ("0",),
    "--precision": ("float64", ""),
    "--jit": ("yes",),
    "--output": ("file/out", ""),
    "--publish": ("a.b", "../file/model"),
    "--latent-dim": ("0", "two"),
    "--reconstruction": ("l7",),
    "--network": ("transformer",),
    "--kl-weight": ("-1", "inf"),
    "--learning-rate": ("0", "-1e-3", "nan", "fast"),
    "--samples": ("0", "19"),
    "--components": ("0",),
    "--loss": ("hing",),
    "--discriminator-steps": ("0",),
    "--augment": ("flip", "translation,"),
    "--updates": ("0",),
    "--trees": ("0",),
    "--labels": ("0",),
    "--generated": ("-1",),
    "--steps": ("0",),
    "--drawn": ("0",),
    "--filters": ("0",),
    "--max-filters": ("0",),
    "--fade-images": ("-1", "few"),
    "--stable-images": ("0",),
    "--drift": ("-1",),
    "--corruption": ("blur",),
    "--amount": ("-0.5",),
    "--penalty": ("-1",),
    "--weight-decay": ("-1",),
    "--optimizer": ("lbfgs",),
    "--penalty-weight": ("-1",),
    "--clusters": ("0",),
    "--variant": ("stylegan",),
    "--kinds": ("stylegan", "bigan,", ""),
    "--only": ("moons",),
    "--points": ("0",),
    "--sigma": ("0",),
    "--judge": ("nowhere.keras", "file", ""),
    "--noise": ("brown",),
    "--num-steps": ("0",),
    "--flow-steps": ("0",),
    "--dequantization": ("none",),
    "--model": ("nowhere.keras", "dcgan_cats", ""),
}
WITHOUT = {  # flags that mean nothing to a recipe
    "diffusion_intuition": ("image-size", "channels", "precision", "resume", "publish"),
    "discriminative_generative": ("epochs", "batch-size", "precision", "jit", "resume", "publish"),
    "feature_net": ("channels", "kind", "precision", "resume", "publish"),
    "gan_intuition": ("image-size", "channels", "precision", "resume", "publish"),
    "gaussian": ("epochs", "batch-size", "precision", "jit", "resume"),
    "normalizing_flow_intuition": ("image-size", "channels", "precision", "resume", "publish"),
    "mode_collapse": ("dataset", "image-size", "channels", "publish"),
    "metrics": ("epochs", "batch-size", "precision", "jit", "resume", "publish"),
    "progressive_gan": ("epochs",),
    **dict.fromkeys(
        ("dcgan_arithmetic", "faces", "optimal_transport", "reparameterization"),
        ("dataset", "limit", "epochs", "batch-size", "jit", "resume", "publish"),
    ),
    "wgan": ("dataset", "image-size", "epochs", "precision", "limit", "publish"),
    **dict.fromkeys(
        (
            "bottleneck",
            "data_augmentation",
            "gan_instability",
            "kinds_of_gan",
            "overview",
            "semi_supervised_gan",
        ),
        ("publish",),
    ),
}


def help_of(name, capsys):
    with pytest.raises(SystemExit):
        MODULES[name].main(["--help"])
    return capsys.readouterr().out


def refused(name, argv, capsys):
    """The one line in which a command line is refused."""
    with pytest.raises(SystemExit) as ended:
        MODULES[name].main(argv)
    out, err = capsys.readouterr()
    assert ended.value.code == 2 and not out, argv
    assert err.startswith(f"recipes.{name}: error: ") and err.count("\n") == 1, argv
    return err


@pytest.mark.parametrize("name", NAMES)
def test_help_tells_what_each_flag_takes(name, capsys):
    out = help_of(name, capsys)
    assert out.startswith(f"usage: python -m recipes.{name} [FLAGS]\n")
    assert out.count(f"python -m recipes.{name}") > 1  # how to run it
    assert " by default" not in out.split("options:")[1] and "None" not in out
    lines = out.split("options:")[1].splitlines()
    for line, following in zip(lines, [*lines[1:], ""], strict=True):
        if line.startswith("  -"):  # a description, beside the flag or below
            said = line.split("  ", 2)[2:] or [following] * following.startswith(" " * 20)
            assert said and said[0].strip(), line
    assert "--overwrite" in out and "--output FOLDER" in out and "--debug" in out


@pytest.mark.parametrize("name", NAMES)
def test_bad_values_are_refused_before_anything_is_loaded(name, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(kgen.data, "load", lambda *args, **options: pytest.fail("loaded"))
    monkeypatch.setattr(_run, "begin", lambda run: pytest.fail("begun"))
    monkeypatch.chdir(tmp_path)
    pathlib.Path("file").write_text("in the way")
    offered = help_of(name, capsys)
    for flag, values in BAD.items():
        for value in values if f"{flag} " in offered else ():
            assert flag in refused(name, [f"{flag}={value}"], capsys), flag
    for flag in WITHOUT.get(name, ()):
        error = refused(name, [f"--{flag}=16"], capsys)
        assert f"unrecognized arguments: --{flag}=16" in error
    assert pathlib.Path("file").read_text() == "in the way"


def test_every_flag_with_a_value_is_tried(capsys):
    flags = {flag for name in NAMES for flag in help_of(name, capsys).split("options:")[1].split()}
    known = {"--help", "--dataset", "--data-dir", "--install", "--left-out", "--attribute"}
    known |= {"--other", *BAD}
    assert {f for f in flags if f.startswith("--")} - known <= {
        "--skip-broken",
        "--overwrite",
        "--resume",
        "--debug",
        "--compare",
        "--paper",
    }


def command(name, argv, monkeypatch, capsys):
    """The exit code of a command line, its last line on the standard error, and all of that."""
    monkeypatch.setattr(sys, "argv", [f"{name}.py", *argv])
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit) as ended:
        MODULES[name].main()
    assert signal.getsignal(signal.SIGTERM) is before
    err = capsys.readouterr().err
    return ended.value.code, err.splitlines()[-1], err


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["--dataset", "digitz"], "'digitz'"),
        (["--dataset", "./nowhere"], "nowhere"),
        (["--dataset", "empty/"], "empty"),
        (["--dataset", "toy2d/ring"], ""),
        (["--dataset", "domains/"], "pairs"),
    ],
)
def test_errors_of_the_user_end_in_one_line(argv, said, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    pathlib.Path("empty").mkdir()
    for domain in "AB":
        folder = pathlib.Path("domains", f"train{domain}")
        folder.mkdir(parents=True)
        Image.new("L", (8, 8)).save(folder / "1.png")
    code, line, err = command("vae", argv, monkeypatch, capsys)
    assert code == 2 and line.startswith("recipes.vae: error: ") and said in line
    assert "Traceback" not in err
    monkeypatch.setattr(sys, "argv", ["vae.py", *argv, "--debug", "--overwrite"])
    with pytest.raises((ValueError, OSError)):
        MODULES["vae"].main()


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (kgen.NonFiniteLoss("The loss of\n  player is nan."), "The loss of player is nan."),
        (ConnectionError("No way\nout."), "No way out."),
        (MemoryError(), "MemoryError()"),
        (ValueError("Pass channels=1 (grey)."), "Pass --channels 1 (grey)."),
        (ValueError("pass image_size=, to crop"), "pass --image-size, to crop"),
        (ValueError('kind="classes", memory=.'), '--kind "classes", --memory.'),
        (ValueError("my_kind=3, skip_broken=True"), "my_kind=3, --skip-broken"),
        (ValueError("Use batch_size=1 or less."), "Use --batch-size 1 or less."),
    ],
)
def test_what_is_raised_becomes_a_line_that_names_flags(error, line, tmp_path, monkeypatch, capsys):
    def load(*args, **options):
        raise error

    monkeypatch.setattr(kgen.data, "load", load)
    argv = ["--output", str(tmp_path)]
    code, said, _ = command("vae", argv, monkeypatch, capsys)
    assert (code, said) == (2, f"recipes.vae: error: {line}")


class Mistake(Exception):
    """Not the user's."""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_command_says_what_is_kept(number, tmp_path, monkeypatch, capsys, request):
    argv = ["--limit", "64", "--epochs", "3", "--image-size", "8", "--batch-size", "32"]
    argv += ["--output", str(tmp_path / "out")]
    monkeypatch.setattr(MODULES["vae"], "draw", lambda *args: None)
    for name in ("elbo", "log_likelihood"):
        monkeypatch.setattr(kgen.VAE, name, lambda self, x, *args: np.ones(len(x)))
    ctrl_c = signal.signal(signal.SIGINT, signal.default_int_handler)  # workers of xdist ignore it
    request.addfinalizer(lambda: signal.signal(signal.SIGINT, ctrl_c))

    def stop(*args, **options):
        os.kill(os.getpid(), number)

    with monkeypatch.context() as patch:
        patch.setattr(kgen.data, "load", stop)
        code, line, _ = command("vae", argv, patch, capsys)
        assert code == 128 + number
        assert line == "Interrupted before the run began; nothing has changed."
    with monkeypatch.context() as patch:
        patch.setattr(_run, "settle", stop)
        code, line, _ = command("vae", argv, patch, capsys)
        assert code == 128 + number
        assert line == "Interrupted before anything was saved; the same command begins anew."
    with monkeypatch.context() as patch:
        patch.setattr(kgen.callbacks.SampleGrid, "on_epoch_end", stop)
        code, line, _ = command("vae", [*argv, "--overwrite"], patch, capsys)
        assert code == 128 + number
        saved = tmp_path / "out" / "run"
        how = "the same command with --resume in the place of --overwrite goes on"
        assert line == f"Interrupted; saved in {saved}; {how}."
        assert list(saved.rglob("*.npz"))
    assert "unfinished run: --resume" in refused("vae", argv, capsys)
    assert "one of both" in refused("vae", [*argv, "--resume", "--overwrite"], capsys)
    MODULES["vae"].main([*argv, "--resume"])


def test_a_mistake_in_a_recipe_is_shown_as_such(tmp_path, monkeypatch):
    def load(*args, **options):
        raise Mistake

    monkeypatch.setattr(kgen.data, "load", load)
    monkeypatch.setattr(sys, "argv", ["vae.py", "--output", str(tmp_path)])
    with pytest.raises(Mistake):
        MODULES["vae"].main()


def test_a_recipe_that_saves_nothing_on_the_way_says_so(tmp_path, monkeypatch, capsys):
    def interrupted(*args):
        raise KeyboardInterrupt

    module, argv = MODULES["reparameterization"], ["--output", str(tmp_path)]
    with monkeypatch.context() as patch:
        patch.setattr(module, "compare", interrupted)
        code, line, _ = command("reparameterization", argv, patch, capsys)
    assert code == 130
    assert line == "Interrupted; this recipe saves nothing on the way, and begins anew next time."
    monkeypatch.setattr(module, "compare", lambda *args: None)
    monkeypatch.setattr(module.plots, "computation_graph", lambda *args, **options: None)
    module.main(argv)
    capsys.readouterr()
    assert "finished run: --overwrite" in refused("reparameterization", argv, capsys)


def test_a_resumed_run_of_parts_refuses_other_flags_and_other_images(tmp_path):
    from recipes._measured import Measured

    main = MODULES["gan_instability"].main
    argv = ["--image-size", "8", "--limit", "64", "--output", str(tmp_path)]
    run = main.flags(argv)
    images, _ = _run.load(run)
    Measured(run, images, {"seeds"}).part("one", lambda: 1)
    run = main.flags([*argv, "--resume", "--seeds", "7"])
    assert Measured(run, images, {"seeds"}).part("one", lambda: 2) == 1
    with pytest.raises(ValueError, match=r"a run of other images; : resume it.*--overwrite"):
        Measured(run, images.take(32), {"seeds"})
    run = main.flags([*argv, "--resume", "--updates", "7"])
    with pytest.raises(ValueError, match=r"a run of --updates 600: resume it with the same"):
        Measured(run, images, {"seeds"})


@pytest.mark.parametrize(
    ("name", "argv", "message"),
    [
        ("vae", ["--limit", "19"], "19 images are too few"),
        ("data_augmentation", ["--dataset", "faces"], "faces has no classes"),
        ("kinds_of_gan", ["--dataset", "faces"], "faces has no classes"),
        ("semi_supervised_gan", ["--dataset", "faces"], "faces has no classes"),
        ("latent_space", ["--attribute", "cat"], "--attribute must be a class.*'cat'"),
        ("latent_space", ["--limit", "20"], "test images of 'none' are too few; 18"),
        ("convolutional_autoencoder", ["--image-size", "3"], "at least 4x4"),
        ("overview", ["--image-size", "7", "--network", "dense"], "8"),
        ("anomaly_detection", ["--components", "60"], "components=60 cannot be had"),
        ("autoencoder_limits", ["--dataset", "toy2d/ring"], "fashion_mnist"),
        ("vae_regularization", ["--dataset", "toy2d/ring"], "fashion_mnist"),
    ],
)
def test_what_cannot_be_learned_from_is_refused_before_any_training(
    name, argv, message, tmp_path, monkeypatch
):
    monkeypatch.setattr(kgen.GenerativeModel, "fit", lambda *args, **options: pytest.fail("fit"))
    shared = ["--image-size", "8", "--limit", "40", "--epochs", "1", "--batch-size", "16"]
    with pytest.raises(ValueError, match=message):
        MODULES[name].main([*shared, *argv, "--output", str(tmp_path)])


def test_recipes_are_listed_without_keras(capsys):
    assert list_recipes([]) == 0
    out = capsys.readouterr().out
    for name, module in MODULES.items():
        assert f"  {name} " in out and module.__doc__.splitlines()[0] in out
    assert list_recipes(["vae"]) == 2
    assert "python -m recipes.vae" in capsys.readouterr().err
    code = "import sys, runpy; runpy.run_module('recipes', run_name='__main__', alter_sys=True)"
    code = f"import atexit, sys; atexit.register(lambda: print('keras' in sys.modules)); {code}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.endswith("False\n") and not done.stderr


@pytest.mark.parametrize("module", ["recipes.vae", "kgen.data"])
def test_commands_are_free_of_the_backends_notes(module):
    environment = {k: v for k, v in os.environ.items() if k != "TF_CPP_MIN_LOG_LEVEL"}
    line = [sys.executable, "-m", module, "--help"]
    done = subprocess.run(line, capture_output=True, text=True, env=environment)
    assert done.returncode == 0 and done.stdout.startswith("usage: ") and done.stderr == ""


def test_training_is_free_of_the_backends_notes():
    """Of this discriminator TensorFlow 2.21 says "remapper failed" where nobody keeps it back."""
    code = """
import recipes, keras, kgen, numpy as np
from keras import layers
network = [keras.Input((8, 8, 1)), layers.Conv2D(8, 3), layers.LeakyReLU(), layers.Dropout(0.3)]
network = keras.Sequential([*network, layers.Flatten(), layers.Dense(1)])
gan = kgen.GAN((8, 8), 4, network="mlp", discriminator=network)
gan.compile()
gan.fit(np.zeros((8, 8, 8), "uint8"), batch_size=8, verbose=0)
print(int(gan.step))
"""
    environment = {k: v for k, v in os.environ.items() if k != "TF_CPP_MIN_LOG_LEVEL"}
    root = str(pathlib.Path(recipes.__file__).parents[1])
    environment |= {"KERAS_BACKEND": "tensorflow", "PYTHONPATH": root}
    line = [sys.executable, "-c", code]
    done = subprocess.run(line, capture_output=True, text=True, env=environment)
    assert done.returncode == 0 and done.stdout == "1\n" and done.stderr == ""


def test_other_lines_are_passed_on(tmp_path):
    """What is written while TensorFlow is loaded, by C++ or Python, and is none of its notes."""
    (tmp_path / "tensorflow.py").write_text(
        "import os\n"
        "os.write(2, b'I0000 00:00:1795900754.016625    6391 port.cc:153] oneDNN\\n')\n"
        "os.write(2, b'WARNING: All log messages before absl::InitializeLog() is called\\n')\n"
        "os.write(2, b'F0000 00:00:1795900754.016625    6391 cpu.cc:1] no AVX\\n')\n"
        "raise ImportError('broken')\n"
    )
    code = "import recipes\ntry: import tensorflow\nexcept ImportError as e: print(e)"
    root = str(pathlib.Path(recipes.__file__).parents[1])
    found = {}
    for level in ("", "0"):
        path = os.pathsep.join([str(tmp_path), root])
        environment = {**os.environ, "PYTHONPATH": path, "TF_CPP_MIN_LOG_LEVEL": level or "3"}
        line = [sys.executable, "-c", code]
        done = subprocess.run(line, capture_output=True, text=True, env=environment)
        assert done.stdout == "broken\n"
        found[level] = done.stderr.splitlines()
    assert len(found[""]) == 1 and found[""][0].startswith("F0000") and len(found["0"]) == 3
