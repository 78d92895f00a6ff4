"""The recipes of the autoencoder, from data to figures and a model that loads."""

import contextlib
import functools
import io
import json

import keras
import numpy as np
import pytest
from PIL import Image

import kgen
from recipes import autoencoder, convolutional_autoencoder, denoising_autoencoder, gaussian

SHORT = ["--limit", "300", "--image-size", "8", "--precision", "float32", "--jit", "off"]
SHORT += ["--epochs", "3"]
FIGURES = {
    autoencoder: ["reconstructions", "latent", "losses"],
    convolutional_autoencoder: ["reconstructions", "losses"],
    denoising_autoencoder: ["denoised", "errors", "losses"],
}


def seen(folder, names):
    for name in names:
        pixels = np.asarray(Image.open(folder / f"{name}.png").convert("RGB"))
        assert min(pixels.shape[:2]) > 200 and pixels.std() > 5, name


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A recipe's folder, its model, and what it printed; each recipe runs once."""

    @functools.cache
    def run(recipe):
        out, printed = tmp_path_factory.mktemp("trained"), io.StringIO()
        longer = ["--epochs", "20"] * (recipe is denoising_autoencoder)
        with contextlib.redirect_stdout(printed):
            model = recipe.main([*SHORT, *longer, "--output", str(out)])
        return out, model, printed.getvalue()

    return run


@pytest.mark.parametrize("recipe", FIGURES, ids=lambda r: r.__name__)
def test_from_data_to_figures_and_a_model_that_loads(recipe, trained):
    folder, model, printed = trained(recipe)
    seen(folder, FIGURES[recipe])
    loaded = keras.saving.load_model(folder / f"{recipe.__name__.split('.')[-1]}.keras")
    images = kgen.data.load("digits", "test", image_size=8).images(5)
    np.testing.assert_allclose(loaded.reconstruct(images), model.reconstruct(images), atol=1e-6)
    for name, value in json.loads((folder / "results.json").read_text()).items():
        assert np.isfinite(value) and name in printed


def test_denoising_helps(trained):
    folder, *_ = trained(denoising_autoencoder)
    results = json.loads((folder / "results.json").read_text())
    corrupted, denoised = (
        results[f"squared error per pixel, {which}"] for which in ("corrupted", "denoised")
    )
    assert denoised < 0.8 * corrupted


def test_gaussian(tmp_path):
    flags = ["--dataset", "faces", "--image-size", "16", "--limit", "400", "--components", "20"]
    model = gaussian.main([*flags, "--clusters", "3", "--output", str(tmp_path)])
    seen(tmp_path, ["gaussian", "samples", "spectrum"])
    results = json.loads((tmp_path / "results.json").read_text())
    mixture = keras.saving.load_model(tmp_path / "gaussianmixture.keras")
    assert mixture.clusters == 3 and model.components == mixture.components == 20
    images = kgen.data.load("faces", "test", image_size=16).take(400)
    expected = model.evaluate(images)["log_likelihood"]
    assert results["test log p(x) [nats], Gaussian"] == pytest.approx(expected, rel=1e-6)
