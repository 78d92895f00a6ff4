"""The DCGAN: figures, files, and arithmetic whose answer is known."""

import json

import keras
import numpy as np
import pytest
from PIL import Image

import kgen
from recipes import _run, dcgan, gan

SHORT = ["--limit", "100", "--epochs", "2", "--image-size", "8", "--filters", "4"]
SHORT += ["--samples", "100", "--batch-size", "16", "--precision", "float32", "--jit", "off"]


class Portraits:
    """A generator whose latents say what is drawn: (glasses, woman, beard, rest)."""

    latent_dim, image_shape = 4, (8, 8, 1)
    trainable_weights = weights = ()

    def latents(self, n, dim, seed):
        return np.random.default_rng(seed).standard_normal((n, dim)).astype("float32")

    def generate(self, n, seed):
        return self.decode(self.latents(n, 4, seed))

    def decode(self, z):
        pixels = np.zeros((len(z), 64), "float32")
        pixels[:, :4] = np.clip(z / 8, -1, 1)
        return pixels.reshape(-1, 8, 8, 1)


class Reads:
    """A judge of `Portraits`: certain where a latent is far from 0."""

    class_names = {"presentation": ("woman", "man"), "glasses": ("none", "round", "square")}

    def probabilities(self, images):
        seen = images.reshape(-1, 64)[:, :3].T
        glasses, woman, beard = 1 / (1 + np.exp(np.clip(-60 * seen, -50, 50)))
        zero = np.zeros_like(beard)
        return {
            "presentation": np.stack([woman, 1 - woman], axis=1),
            "glasses": np.stack([1 - glasses, glasses, zero], axis=1),
            "beard": np.stack([1 - beard, zero, beard], axis=1),
            "time": np.stack([zero + 1, zero], axis=1),
        }

    def labels(self, images):
        return {name: p.argmax(axis=1) for name, p in self.probabilities(images).items()}


def test_arithmetic_of_latents_that_are_the_factors(tmp_path):
    model, judge = Portraits(), Reads()
    kinds = dcgan.find_kinds(model, judge, seed=0)
    assert (kinds["man with glasses"][:, 0] > 0).all() and (kinds["man"][:, :2] < 0).all()
    assert (kinds["woman"][:, 1] > 0).all() and (kinds["woman"][:, 0] < 0).all()
    assert all((z[:, 2] < 0).all() and len(z) > dcgan.ENOUGH for z in kinds.values())
    terms = dcgan.sums(kinds, seed=1)
    assert terms.shape == (4, dcgan.TRIALS, 4)
    np.testing.assert_allclose(terms[3], terms[0] - terms[1] + terms[2], atol=1e-6)
    for z, (woman, glasses) in zip(terms, [(-1, 1), (-1, -1), (1, -1)], strict=False):
        assert (np.sign(z[:, :2]) == (glasses, woman)).all()
    run = dcgan.main.flags(["--output", str(tmp_path)])
    results = dcgan.arithmetic(run, model, judge, kinds)
    assert results["glasses before"] == 0 and results["glasses of the sums"] > 0.85
    assert results["women with glasses among the sums"] > 0.6
    assert (tmp_path / "arithmetic.png").exists()


def test_from_faces_to_figures_resumed_and_published(tmp_path, monkeypatch, capsys):
    def anyone(model, judge, seed):
        return {name: model.latents(40, model.latent_dim, i) for i, name in enumerate(dcgan.KINDS)}

    monkeypatch.setattr(dcgan, "find_kinds", anyone)
    command = [*SHORT, "--output", str(tmp_path / "out")]
    published = [*command, "--resume", "--publish", str(tmp_path / "store" / "small")]
    model = dcgan.main(published)
    for name in ("samples", "losses", "neighbors", "interpolation", "arithmetic"):
        pixels = np.asarray(Image.open(tmp_path / "out" / f"{name}.png").convert("RGB"))
        assert min(pixels.shape[:2]) > 200 and pixels.std() > 5, name
    loaded = keras.saving.load_model(tmp_path / "out" / "dcgan.keras")
    np.testing.assert_allclose(loaded.generate(4, seed=1), model.generate(4, seed=1), atol=1e-6)
    zoo = kgen.zoo.load("small", tmp_path / "store")
    np.testing.assert_allclose(zoo.generate(4, seed=1), model.generate(4, seed=1), atol=1e-6)
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    printed = capsys.readouterr().out
    for name, value in results.items():
        assert np.isfinite(value) and name in printed
    assert results["fid, faces"] > results["floor of fid, faces"]
    assert model.discriminator.layers[1].filters == 4


@pytest.fixture
def undrawn(monkeypatch):
    """For tests of what a run does beside a GAN's."""
    monkeypatch.setattr(gan, "measure", lambda *args: {"fid, faces": 1.0})
    monkeypatch.setattr(_run, "draw_losses", lambda *args: None)
    monkeypatch.setattr(kgen.metrics, "memorization", lambda *args: None)


def test_without_faces_there_is_no_arithmetic(tmp_path, monkeypatch, undrawn):
    argv = [*SHORT, "--dataset", "digits", "--output", str(tmp_path)]
    drawn = []
    monkeypatch.setattr(dcgan, "draw", lambda *args: drawn.append(args))
    dcgan.main(argv)
    assert drawn and not (tmp_path / "arithmetic.png").exists()


def test_bedrooms_are_tested_on_validation_images(tmp_path, monkeypatch):
    asked, digits = [], kgen.data.load("digits/8x8")

    def load(name, split, **options):
        asked.append((name, split, options["image_size"]))
        return digits.take(options["num_examples"])

    monkeypatch.setattr(kgen.data, "load", load)
    flags = ["--dataset", "lsun/bedroom", "--image-size", "64", "--limit", "20"]
    argv = [*flags, "--output", str(tmp_path)]
    images, test = dcgan.load(dcgan.main.flags(argv))
    assert asked == [("lsun/bedroom", "train", 64), ("lsun/bedroom", "validation", 64)]
    assert images.num_examples == test.num_examples == 20


def test_too_few_samples_of_a_kind(tmp_path, monkeypatch, capsys, undrawn):
    monkeypatch.setattr(_run, "train", lambda *args: (Portraits(), None))
    monkeypatch.setattr(dcgan, "draw", lambda *args: None)
    monkeypatch.setattr(dcgan, "find_kinds", lambda *args: dict.fromkeys(dcgan.KINDS, np.zeros(2)))
    dcgan.main([*SHORT, "--output", str(tmp_path)])
    assert "Too few samples" in capsys.readouterr().out
    assert not (tmp_path / "arithmetic.png").exists()
    results = json.loads((tmp_path / "results.json").read_text())
    assert "fid, faces" in results and not any("glasses" in name for name in results)


def test_as_many_faces_are_drawn_as_asked_for(tmp_path):
    argv = ["--image-size", "8", "--drawn", "30", "--output", str(tmp_path)]
    images, _ = dcgan.load(dcgan.main.flags(argv))
    assert images.num_examples == 30
    images, test = dcgan.load(dcgan.main.flags([*argv, "--limit", "20"]))
    assert images.num_examples == test.num_examples == 20
