"""Anomaly detection: from a class left out to ROC curves; resumption; what is refused."""

import contextlib
import io
import json

import keras
import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import roc_auc_score

import kgen
from recipes import anomaly_detection as recipe

SHORT = ["--limit", "1500", "--epochs", "5", "--image-size", "8", "--network", "dense"]
SHORT += ["--trees", "20", "--latent-dim", "4", "--precision", "float32", "--jit", "off"]
SCORES = ["autoencoder's reconstruction", "VAE's bound", "Gaussian's likelihood"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run from beginning to end: its folder, its VAE, and what it printed."""
    keras.utils.clear_session(free_memory=False)
    out, printed = tmp_path_factory.mktemp("whole"), io.StringIO()
    with contextlib.redirect_stdout(printed):
        vae = recipe.main([*SHORT, "--left-out", "0", "--output", str(out)])
    return out, vae, printed.getvalue()


def test_figures_and_numbers(whole):
    out, vae, printed = whole
    for name in ("roc", "scene"):
        pixels = np.asarray(Image.open(out / f"{name}.png").convert("RGB"))
        assert min(pixels.shape[:2]) > 200 and pixels.std() > 5, name
    results = json.loads((out / "results.json").read_text())
    assert all(np.isfinite(value) and name in printed for name, value in results.items())
    assert all(results[f"AUROC, {name}"] > 0.6 for name in SCORES), results
    assert results["AUROC, Gaussian's likelihood"] > 0.8

    test = kgen.data.load("digits", "test", image_size=8)
    anomalous = test.labels == 0
    assert results["anomalous test images"] == anomalous.sum()
    assert results["normal test images"] == (~anomalous).sum()
    for name, path in zip(SCORES, ("autoencoder", "vae", "gaussian"), strict=True):
        loaded = keras.saving.load_model(out / f"{path}.keras")
        auroc = roc_auc_score(anomalous, loaded.anomaly_score(test.images()))
        assert auroc == pytest.approx(results[f"AUROC, {name}"], abs=0.01)
    assert vae.name == keras.saving.load_model(out / "vae.keras").name


def test_nothing_learns_from_the_class_left_out(tmp_path):
    seen = {}

    def fit(run, images, normal):
        seen.update(train=images, normal=normal)
        raise InterruptedError

    with pytest.MonkeyPatch.context() as patch, pytest.raises(InterruptedError):
        patch.setattr(recipe, "fit", fit)
        recipe.main([*SHORT, "--left-out", "7", "--output", str(tmp_path)])
    for data in seen.values():
        assert set(data.labels) == set(range(10)) - {7}
    whole = kgen.data.load("digits", "train", image_size=8, num_examples=1500)
    assert seen["train"].num_examples == (whole.labels != 7).sum()
    np.testing.assert_array_equal(seen["train"].images(), whole.images()[whole.labels != 7])


@pytest.mark.parametrize(
    ("dataset", "left_out", "message"),
    [
        ("digits", "ten", r"no class 'ten'; it has \['0', '1'.*'9'\]"),
        ("digits", "10", r"no class '10'; it has \['0'"),
        ("faces/glasses", "sun", r"it has \['none', 'round', 'square'\]"),
        ("faces/yaw", "left", "has no classes"),
    ],
)
def test_a_class_that_there_is_not(dataset, left_out, message, tmp_path):
    argv = [*SHORT, "--dataset", dataset, "--left-out", left_out, "--output", str(tmp_path)]
    with pytest.raises(ValueError, match=message):
        recipe.main([*argv, "--limit", "20"])
    assert not list(tmp_path.glob("**/*.keras"))


def test_an_interrupted_run_is_resumed(whole, tmp_path, monkeypatch):
    command = [*SHORT, "--left-out", "0", "--output", str(tmp_path)]
    fit = kgen.VAE.fit

    def cut(self, *args, **settings):
        class Cut(keras.callbacks.Callback):
            def on_epoch_end(self, epoch, logs=None):
                if epoch == 2:
                    raise InterruptedError

        return fit(self, *args, **settings | {"callbacks": [*settings["callbacks"], Cut()]})

    with monkeypatch.context() as patch, pytest.raises(InterruptedError):
        patch.setattr(kgen.VAE, "fit", cut)
        recipe.main(command)
    assert list((tmp_path / "run" / "vae").glob("*.npz"))
    monkeypatch.setattr(recipe, "draw", lambda *args: None)
    resumed = recipe.main([*command, "--resume"])
    for a, b in zip(resumed.weights, whole[1].weights, strict=True):
        np.testing.assert_array_equal(*map(keras.ops.convert_to_numpy, (a, b)))


def test_a_scene_is_still_before_and_after_something_crosses_it():
    still, moving = np.random.default_rng(0).uniform(-1, 1, (2, 6, 8, 1)).astype("float32")
    frames = recipe.scene(still, moving, steps=5)
    assert frames.shape == (5, 6, 8, 1)
    for frame in (frames[0], frames[-1]):
        np.testing.assert_array_equal(frame, still)
    np.testing.assert_array_equal(frames[2], np.maximum(still, moving))
    np.testing.assert_array_equal(frames[1][:, :4], np.maximum(still[:, :4], moving[:, 4:]))
