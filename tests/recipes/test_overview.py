"""All families side by side: figure, table, and the same command again."""

import json

import keras
import numpy as np
import pytest
from PIL import Image

import kgen
from kgen.models import diffusion
from recipes import _run, overview

SHORT = ["--limit", "120", "--epochs", "1", "--image-size", "14", "--samples", "60"]
SHORT += ["--network", "shallow", "--components", "8", "--precision", "float32", "--jit", "off"]


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """Networks that are compiled in no time: what is tested here goes around them."""
    make = lambda shape, filters, **more: kgen.networks.denoising_mlp(shape, hidden=(8,), **more)  # noqa: E731
    monkeypatch.setattr(diffusion, "denoising_unet", make)
    monkeypatch.setattr(kgen.samplers.DPMpp2M, "default_steps", lambda self, noise: 3)
    tiny = "flow", kgen.NormalizingFlow, (), {"steps": 1, "filters": 8}
    monkeypatch.setitem(overview.FAMILIES, "flow", tiny)


def test_from_data_to_figures_and_one_table_then_resumed(tmp_path, monkeypatch, capsys):
    command, measure = [*SHORT, "--output", str(tmp_path)], overview.measure

    def cut(run, name, images, test):
        if name == "autoencoder":
            raise KeyboardInterrupt
        return measure(run, name, images, test)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(overview, "measure", cut)
        overview.main(command)
    measured, made, train, load = [], {}, _run.train, keras.saving.load_model

    def counted(run, name, images, test):
        measured.append(name)
        return measure(run, name, images, test)

    def kept(run, model, arguments, images, test, name):
        trained = train(run, model, arguments, images, test, name)
        made[run.output / f"{name}.keras"] = trained[0]
        return trained

    def loaded(path, **options):  # to be drawn: those of this run are at hand
        assert path.exists()
        return made[path] if path in made else load(path, **options)

    monkeypatch.setattr(overview, "measure", counted)
    with monkeypatch.context() as patch:
        patch.setattr(_run, "train", kept)
        patch.setattr(keras.saving, "load_model", loaded)
        found = overview.main([*command, "--resume"])
    assert len(made) == 5
    missing = ["autoencoder", "VAE", "GAN", "flow", "diffusion"]
    assert measured == missing and list(found) == list(overview.FAMILIES)
    for name in ("overview", "schemes", "measures"):
        pixels = np.asarray(Image.open(tmp_path / f"{name}.png").convert("RGB"))
        assert min(pixels.shape[:2]) > 400 and pixels.std() > 5, name
    lines = (tmp_path / "overview.md").read_text().splitlines()
    assert [line.split("|")[1].strip() for line in lines[2:]] == list(found)
    results = json.loads((tmp_path / "results.json").read_text())
    printed = capsys.readouterr().out
    for family, values in found.items():
        assert ("bits per dimension" in values) == (family not in ("autoencoder", "GAN"))
        assert values["fid"] > values["floor"] >= 0 and 0 <= values["recall"] <= 1
        assert values["seconds of training"] > 0 and values["seconds for 1,000 samples"] > 0
        for name, value in values.items():
            assert results[f"{name}, {family}"] == value and f"{name}, {family}" in printed
    monkeypatch.setattr(overview, "draw", lambda *args: None)
    overview.main([*command, "--resume"])
    assert measured == missing
