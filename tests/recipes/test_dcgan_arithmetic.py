"""Arithmetic of latents whose answer is known."""

import json

import keras
import numpy as np
import pytest
from PIL import Image

import kgen
from recipes import dcgan_arithmetic


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


class Reads(kgen.metrics.Judge):
    """A judge of `Portraits`: certain where a latent is far from 0."""

    name = "portraits"
    class_names = {
        "presentation": ("woman", "man"),
        "glasses": ("none", "round", "square"),
        "beard": ("none", "moustache", "full"),
        "time": ("day", "night"),
    }

    def __init__(self):
        pass

    def probabilities(self, images, batch_size=256):
        seen = images.reshape(-1, 64)[:, :3].T
        glasses, woman, beard = 1 / (1 + np.exp(np.clip(-60 * seen, -50, 50)))
        zero = np.zeros_like(beard)
        return {
            "presentation": np.stack([woman, 1 - woman], axis=1),
            "glasses": np.stack([1 - glasses, glasses, zero], axis=1),
            "beard": np.stack([1 - beard, zero, beard], axis=1),
            "time": np.stack([zero + 1, zero], axis=1),
        }


@pytest.fixture
def judged(monkeypatch):
    monkeypatch.setattr(kgen.zoo, "load_model", lambda name: Portraits())
    monkeypatch.setattr(kgen.metrics, "judge", lambda name: Reads())


def test_arithmetic_of_latents_that_are_the_factors(tmp_path, judged, capsys):
    model, judge = Portraits(), Reads()
    found = dcgan_arithmetic.find(model, judge, seed=0)
    assert (found["man with glasses"][:, 0] > 0).all() and (found["− man"][:, :2] < 0).all()
    assert (found["+ woman"][:, 1] > 0).all() and (found["+ woman"][:, 0] < 0).all()
    assert all((z[:, 2] < 0).all() and len(z) > dcgan_arithmetic.ENOUGH for z in found.values())
    terms = dcgan_arithmetic.sums(found, seed=1)
    assert terms.shape == (4, dcgan_arithmetic.TRIALS, 4)
    np.testing.assert_allclose(terms[3], terms[0] - terms[1] + terms[2], atol=1e-6)
    for z, (woman, glasses) in zip(terms, [(-1, 1), (-1, -1), (1, -1)], strict=False):
        assert (np.sign(z[:, :2]) == (glasses, woman)).all()
    results = dcgan_arithmetic.main(["--output", str(tmp_path)])
    # Of each term's three half normals the mean is 0.80 +- 0.35: two of them minus a third exceed
    # 0 with probability Phi(0.80 / 0.60) = 0.91, for glasses, for a woman, and for no beard.
    assert results["glasses before"] == 0
    assert results["glasses of the sums"] == pytest.approx(0.91, abs=0.06)
    assert results["women with glasses among the sums"] == pytest.approx(0.91**3, abs=0.1)
    pixels = np.asarray(Image.open(tmp_path / "dcgan_arithmetic.png").convert("RGB"))
    assert min(pixels.shape[:2]) > 200 and pixels.std() > 5
    written, printed = json.loads((tmp_path / "results.json").read_text()), capsys.readouterr().out
    for name, value in results.items():
        assert written[name] == value and name in printed


def test_a_model_of_a_file_that_decodes_nothing(tmp_path):
    path = tmp_path / "plain.keras"
    keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)]).save(path)
    with pytest.raises(
        ValueError, match=r"--model .*plain\.keras is a Sequential, without latents"
    ):
        dcgan_arithmetic.main(["--model", str(path), "--output", str(tmp_path / "out")])


def test_faces_of_the_zoo_are_read(monkeypatch):
    model, judge = dcgan_arithmetic.load("dcgan_faces"), kgen.metrics.judge("faces")
    monkeypatch.setattr(dcgan_arithmetic, "ENOUGH", 1)
    found = dcgan_arithmetic.find(model, judge, seed=0, n=600)
    images = model.decode(found["man with glasses"])
    seen = judge.labels(images)
    assert (seen["glasses"] > 0).all() and (seen["presentation"] == 1).all()


def test_too_few_samples_of_a_kind(tmp_path, monkeypatch, judged):
    monkeypatch.setattr(dcgan_arithmetic, "ENOUGH", 5000)
    (tmp_path / "results.json").write_text("{}")
    with pytest.raises(
        ValueError, match=r"Too few samples for arithmetic, 5000 of each.*'− man': "
    ):
        dcgan_arithmetic.main(["--overwrite", "--output", str(tmp_path)])
    assert not (tmp_path / "dcgan_arithmetic.png").exists()
    assert (tmp_path / "results.json").read_text() == "{}"  # what is there is not lost
