"""The kinds of GAN: figures, results, and the pieces that do not need a trained model."""

import json
from types import SimpleNamespace

import numpy as np
from PIL import Image

from recipes import kinds_of_gan

SHORT = ["--limit", "200", "--epochs", "1", "--image-size", "8", "--batch-size", "32"]
SHORT += ["--precision", "float32", "--jit", "off"]


def test_from_data_to_figures(tmp_path, monkeypatch):
    command = [*SHORT, "--labels", "20", "--output", str(tmp_path)]
    made, train, load = {}, kinds_of_gan.train, kinds_of_gan.trained

    def kept(run, model, arguments, images, name, seed):
        made[name] = train(run, model, arguments, images, name, seed)
        return made[name]

    def loaded(run, name, seed=None):  # the AC-GAN to be measured; those to be drawn are at hand
        return made[name] if seed is None else load(run, name, seed)

    with monkeypatch.context() as patch:
        patch.setattr(kinds_of_gan, "train", kept)
        patch.setattr(kinds_of_gan, "trained", loaded)
        results = kinds_of_gan.main(command)
    for name in (*kinds_of_gan.KINDS, "kinds_of_gan"):
        pixels = np.asarray(Image.open(tmp_path / f"{name}.png").convert("RGB"))
        assert min(pixels.shape[:2]) > 100 and pixels.std() > 5, name
        assert name == "kinds_of_gan" or (tmp_path / f"{name}-0.keras").exists()
    written = json.loads((tmp_path / "results.json").read_text())
    assert {**written, **results} == written
    for name in (
        "conditional, right labels, seed 0",
        "ac_gan, right labels, seed 0",
        "ac_gan, test accuracy of the discriminator, seed 0",
        "infogan, NMI of code and label, seed 0",
        "infogan, NMI of k-means and label, seed 0",
        "semi_supervised, test error, semi-supervised, seed 0",
        "semi_supervised, test error, 20 labels alone, seed 0",
    ):
        assert 0 <= written[name] <= 1, name
    assert written["infogan, NMI of k-means and label, seed 0"] > 0.4  # of digits, that is known
    assert written["bigan, squared error / that of the mean image, seed 0"] > 0

    def trained(*args):
        raise AssertionError("it was there already")

    monkeypatch.setattr(kinds_of_gan, "train", trained)
    for drawn in ("labels", "codes", "kinds", "errors"):
        monkeypatch.setattr(kinds_of_gan, f"draw_{drawn}", lambda *args: None)
    assert kinds_of_gan.main([*command, "--resume"]) == results


def test_as_many_images_of_each_class_keep_their_labels():
    labels = np.random.default_rng(0).integers(0, 10, 500)
    at = kinds_of_gan.labeled(labels, 100, seed=1)
    assert len(set(at)) == 100
    assert (np.bincount(labels[at], minlength=10) == 10).all()
    assert (at != kinds_of_gan.labeled(labels, 100, seed=2)).any()


def test_flags_that_are_given_win_over_those_of_a_kind():
    run = SimpleNamespace(variant=None, learning_rate=None, epochs=None)
    own = kinds_of_gan.settings_for(run, "semi_supervised")
    assert (own.variant, own.learning_rate, own.epochs) == ("dcgan", 2e-4, 18)
    own = kinds_of_gan.settings_for(run, "bigan")
    assert (own.variant, own.learning_rate, own.epochs) == ("gan", 5e-4, 70)
    run.epochs = 200
    own = kinds_of_gan.settings_for(run, "conditional")
    assert (own.variant, own.learning_rate, own.epochs) == ("dcgan", 5e-4, 200)
    run.learning_rate, run.variant = 1e-4, "gan"
    assert kinds_of_gan.settings_for(run, "semi_supervised") == run
