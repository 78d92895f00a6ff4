"""Algorithm 1 from data to figures and a model that loads."""

import contextlib
import inspect
import io
import json
import textwrap
from types import SimpleNamespace

import keras
import numpy as np
import pytest
from PIL import Image

import kgen
from recipes import _run, gan

SHORT = ["--limit", "200", "--epochs", "3", "--image-size", "8", "--samples", "100"]
SHORT += ["--precision", "float32", "--jit", "off"]
FIGURES = ["algorithm", "samples", "training", "losses", "neighbors"]


def weights(model):
    return [keras.ops.convert_to_numpy(w) for w in model.weights]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run from beginning to end: its folder, its model, and what it printed."""
    keras.utils.clear_session(free_memory=False)
    out, printed = tmp_path_factory.mktemp("whole"), io.StringIO()
    with contextlib.redirect_stdout(printed):
        model = gan.main([*SHORT, "--output", str(out)])
    return out, model, printed.getvalue()


def test_from_data_to_figures_and_a_model_that_loads(whole):
    folder, model, printed = whole
    for name in FIGURES:
        pixels = np.asarray(Image.open(folder / f"{name}.png").convert("RGB"))
        assert min(pixels.shape[:2]) > 200 and pixels.std() > 5, name
    assert Image.open(folder / "samples" / "samples.gif").n_frames == 3
    loaded = keras.saving.load_model(folder / "gan.keras")
    np.testing.assert_allclose(loaded.generate(4, seed=1), model.generate(4, seed=1), atol=1e-6)
    assert (model.adversarial_loss, model.penalty, model.network) == ("non_saturating", None, "mlp")
    results = json.loads((folder / "results.json").read_text())
    for name, value in results.items():
        assert np.isfinite(value) and name in printed
    assert results["floor of fid, digits"] < results["fid, digits"]


def test_settings_are_timed_with_enough_images_for_many_steps(tmp_path):
    argv = ["--output", str(tmp_path), "--image-size", "8", "--batch-size", "16", "--jit", "off"]
    run = gan.main.flags([*argv, "--precision", "fastest"])
    images, _ = _run.load(run)

    def small(image_shape, dtype, **arguments):  # nine steps of more layers take long to trace
        of = {"hidden": (), "dtype": dtype}
        networks = {"generator": kgen.networks.mlp_generator(image_shape, 4, **of)}
        networks["discriminator"] = kgen.networks.mlp_discriminator(image_shape, **of)
        return kgen.GAN(image_shape, 4, **networks, dtype=dtype, **arguments)

    arguments = {"image_shape": images.image_shape, "discriminator_steps": 9}
    _run.settle(run, small, arguments, images)
    assert run.precision in ("float32", "mixed_bfloat16")


def test_flags_of_the_algorithm_and_the_zoo(tmp_path, monkeypatch):
    monkeypatch.setattr(gan, "draw", lambda *args: None)
    monkeypatch.setattr(gan, "measure", lambda *args: {"fid": 1.0})
    argv = [*SHORT, "--loss", "minimax", "--discriminator-steps", "2", "--optimizer", "momentum"]
    argv += [
        "--batch-size",
        "64",
        "--learning-rate",
        "0.1",
        "--augment",
        "",
        "--output",
        str(tmp_path / "out"),
    ]
    model = gan.main([*argv, "--publish", str(tmp_path / "store" / "small")])
    assert (model.adversarial_loss, model.minibatches_per_update) == ("minimax", 2)
    assert model.augment is None
    for player in model.players:
        made = model.optimizer[player].get_config()
        assert made["momentum"] == 0.5 and made["learning_rate"] == pytest.approx(0.1)
    loaded = kgen.zoo.load("small", tmp_path / "store")
    np.testing.assert_allclose(loaded.generate(4, seed=1), model.generate(4, seed=1), atol=3e-3)
    assert "minimax loss, k = 2" in kgen.zoo.card("small", tmp_path / "store")["what"]


class Cut(Exception):
    pass


def test_an_interrupted_run_is_resumed_with_the_images_of_before(whole, tmp_path, monkeypatch):
    monkeypatch.setattr(gan, "measure", lambda *args: {})

    def cut(self, epoch, logs=None):
        if epoch == 2:
            raise Cut

    with monkeypatch.context() as patch:
        patch.setattr(kgen.callbacks.SampleGrid, "on_epoch_end", cut)
        with pytest.raises(Cut):
            gan.main([*SHORT, "--output", str(tmp_path)])
    resumed = gan.main([*SHORT, "--output", str(tmp_path), "--resume"])
    for a, b in zip(weights(resumed), weights(whole[1]), strict=True):
        np.testing.assert_array_equal(a, b)
    pictures = [(folder / "training.png").read_bytes() for folder in (whole[0], tmp_path)]
    assert pictures[0] == pictures[1]


def test_the_equilibrium_is_that_of_the_losses():
    """Scores of 0, D(x) = 1/2."""
    zero = np.zeros((4, 1), "float32")
    for name, expected in gan.EQUILIBRIUM.items():
        loss = kgen.losses.ADVERSARIAL_LOSSES[name]
        found = loss.discriminator(zero, zero), loss.generator(None, zero)
        assert [float(value) for value in found] == pytest.approx(expected, rel=1e-6)


def test_each_line_of_the_algorithm_stands_beside_the_one_that_runs_it():
    code = textwrap.dedent(inspect.getsource(kgen.GAN.update)).splitlines()[2:-1]
    assert len(code) == len(gan.ALGORITHM)
    for line, run in zip(gan.ALGORITHM, code, strict=True):
        assert line.startswith(" " * 4) == run.startswith(" " * 8)


def test_what_the_discriminator_says_is_a_probability_or_a_score():
    real = np.random.default_rng(0).normal(size=(8, 2)).astype("float32")
    for loss, probable in (("minimax", True), ("hinge", False)):
        model = kgen.GAN((2,), loss=loss, seed=0)
        images, of_fake, of_real = gan.look(model, real, 0)
        np.testing.assert_array_equal(images, model.generate(8, seed=0)[:6])
        judge = model.discriminate if probable else model.scores
        np.testing.assert_array_equal(of_real, judge(real))
        assert of_fake.shape == (8,)


def test_large_images_without_a_judge_are_measured_as_thumbnails():
    x = np.random.default_rng(0).integers(0, 256, (90, 64, 64, 3), "uint8")
    near = SimpleNamespace(ratio=1.0, copies=0)
    model = SimpleNamespace(generate=lambda n, seed: kgen.data.to_model_range(x[60:]))
    run = SimpleNamespace(dataset="photos", samples=30, seed=0)
    sets = [kgen.data.ImageDataset(part) for part in (x[:30], x[30:60])]
    found = gan.measure(model, *sets, near, run)
    expected = kgen.metrics.fid(x[:30], x[60:], "pixels", test=x[30:60])
    assert found["fid, pixels at 32x32"] == pytest.approx(expected.value, rel=1e-4)
    assert found["floor of fid, pixels at 32x32"] == pytest.approx(expected.floor, rel=1e-4)
    assert "recall (k = 3), pixels at 32x32" in found
