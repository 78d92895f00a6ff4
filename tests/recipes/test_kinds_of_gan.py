"""The kinds of GAN: figure, results, and the pieces that do not need a trained model."""

import json
from types import SimpleNamespace

import keras
import numpy as np
from PIL import Image

from recipes import kinds_of_gan

SHORT = ["--limit", "200", "--epochs", "1", "--image-size", "8", "--batch-size", "32"]
SHORT += ["--precision", "float32", "--jit", "off"]


def test_from_data_to_figures(tmp_path, monkeypatch):
    command = [*SHORT, "--output", str(tmp_path)]
    made, train, load = {}, kinds_of_gan.train, keras.saving.load_model

    def kept(run, kind, images, seed, **arguments):
        made[f"{kind}-{seed}"] = train(run, kind, images, seed, **arguments)
        return made[f"{kind}-{seed}"]

    def loaded(path, **options):  # those to be drawn are at hand
        return made[path.stem] if path.stem in made and path.exists() else load(path, **options)

    with monkeypatch.context() as patch:
        patch.setattr(kinds_of_gan, "train", kept)
        patch.setattr(keras.saving, "load_model", loaded)
        results = kinds_of_gan.main(command)
    assert {*made} == {f"{kind}-0" for kind in kinds_of_gan.KINDS}
    pixels = np.asarray(Image.open(tmp_path / "kinds_of_gan.png").convert("RGB"))
    assert min(pixels.shape[:2]) > 400 and pixels.std() > 5
    written = json.loads((tmp_path / "results.json").read_text())
    assert {**written, **results} == written
    for name in (
        "conditional, right labels, seed 0",
        "ac_gan, right labels, seed 0",
        "ac_gan, test accuracy of the discriminator, seed 0",
        "infogan, NMI of code and label, seed 0",
        "infogan, NMI of k-means and label, seed 0",
        "bigan, labels that stay, seed 0",
    ):
        assert 0 <= written[name] <= 1, name
    assert written["infogan, NMI of k-means and label, seed 0"] > 0.4  # of digits, that is known
    assert written["bigan, squared error / that of the mean image, seed 0"] > 0

    def trained(*args, **arguments):
        raise AssertionError("it was there already")

    monkeypatch.setattr(kinds_of_gan, "train", trained)
    monkeypatch.setattr(kinds_of_gan, "draw", lambda *args: None)
    assert kinds_of_gan.main([*command, "--resume"]) == results


def test_without_a_judge_nothing_is_read():
    images = np.zeros((3, 8, 8, 1), "float32")
    assert (kinds_of_gan.read(SimpleNamespace(dataset="photos/"), images) == -1).all()


def test_flags_that_are_given_win_over_those_of_a_kind():
    run = SimpleNamespace(variant=None, learning_rate=None, epochs=None)
    own = kinds_of_gan.settings_for(run, "conditional")
    assert (own.variant, own.learning_rate, own.epochs) == ("dcgan", 5e-4, 18)
    own = kinds_of_gan.settings_for(run, "bigan")
    assert (own.variant, own.learning_rate, own.epochs) == ("gan", 5e-4, 70)
    run.epochs = 200
    own = kinds_of_gan.settings_for(run, "conditional")
    assert (own.variant, own.learning_rate, own.epochs) == ("dcgan", 5e-4, 200)
    run.learning_rate, run.variant = 1e-4, "gan"
    assert kinds_of_gan.settings_for(run, "conditional") == run
