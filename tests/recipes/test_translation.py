"""The recipes of pix2pix and CycleGAN, from data to figures, numbers and a translated folder."""

import functools
import json

import keras
import numpy as np
import pytest
from PIL import Image

import kgen
from recipes import _translation, cyclegan, pix2pix

SHORT = ["--limit", "24", "--image-size", "16", "--epochs", "1", "--filters", "4"]
SHORT += ["--batch-size", "24", "--receptive-field", "16", "--precision", "float32", "--jit", "off"]


@pytest.fixture(autouse=True)
def few(monkeypatch):
    """Few images, and steps that are not compiled: there is one in a training."""
    monkeypatch.setattr(_translation, "PICTURES", 24)
    monkeypatch.setattr(_translation, "SHOWN", 8)
    if keras.backend.backend() != "jax":
        eagerly = functools.partialmethod(kgen.GenerativeModel.compile, run_eagerly=True)
        monkeypatch.setattr(kgen.GenerativeModel, "compile", eagerly)


def results(folder):
    return json.loads((folder / "results.json").read_text())


def test_pix2pix_from_data_to_figures_and_a_folder_that_it_translates(tmp_path, monkeypatch):
    out, few = tmp_path / "out", {"L1 alone": pix2pix.LOSSES["L1 alone"]}
    monkeypatch.setattr(pix2pix, "LOSSES", few)
    model = pix2pix.main([*SHORT, "--output", str(out), "--compare", "--seeds", "1"])
    names = {"translated", "scheme", "losses", "measures"}
    assert names <= {path.stem for path in out.glob("*.png")}
    assert (out / "samples" / "epoch-0001.png").exists() and (out / "training.gif").exists()
    found = results(out)
    assert {"error", "kept", "Fréchet distance"} <= found.keys()
    assert {f"error, {name}" for name in pix2pix.LOSSES} <= found.keys()
    _, y = kgen.data.load("faces/edges2photo", "test", image_size=16, num_examples=24).pairs()
    x = kgen.data.load("faces/edges2photo", "test", image_size=16, num_examples=24).images()
    assert found["error"] == pytest.approx(np.abs(model.translate(x) - y).mean(), rel=1e-4)

    folder = tmp_path / "photos"
    folder.mkdir()
    random = np.random.default_rng(0)
    for name, size in (("wide", (40, 70, 3)), ("grey", (33, 20))):
        Image.fromarray(random.integers(0, 256, size, "uint8")).save(folder / f"{name}.png")
    (folder / "notes.txt").write_text("no image")
    applied = ["--output", str(out), "--translate", str(folder)]
    pix2pix.main(applied)
    sizes = {p.name: Image.open(p).size for p in (out / "translated").iterdir()}
    assert sizes == {"wide.png": (32, 16), "grey.png": (16, 32)}  # sides divisible by 16
    Image.open(folder / "wide.png").save(folder / "wide.bmp")  # of one name but for the suffix
    pix2pix.main([*applied, "--shorter-side", "32"])
    assert {"wide.png.png", "wide.bmp.png"} <= {p.name for p in (out / "translated").iterdir()}
    assert Image.open(out / "translated" / "wide.bmp.png").size == (64, 32)
    (folder / "broken.jpg").write_bytes(b"no image")
    with pytest.raises(ValueError, match=r"broken\.jpg cannot be read.*--skip-broken|skip_broken"):
        pix2pix.main(applied)
    pix2pix.main([*applied, "--skip-broken"])
    with pytest.raises(ValueError, match="no folder that holds images"):
        pix2pix.main(["--output", str(out), "--translate", str(tmp_path / "nothing")])
    file = out / "pix2pix.keras"
    file.write_bytes(file.read_bytes()[:-1000])
    with pytest.raises(ValueError, match=r"pix2pix\.keras is no complete .* was it cut off"):
        pix2pix.main(applied)


def test_pix2pix_draws_the_edges_of_single_images(tmp_path):
    flags = [*SHORT, "--dataset", "digits", "--channels", "1", "--direction", "b_to_a"]
    model = pix2pix.main([*flags, "--output", str(tmp_path)])
    assert model.image_shape == model.target_shape == (16, 16, 1)
    assert "kept" not in results(tmp_path) and results(tmp_path)["error"] > 0


def test_cyclegan_from_data_to_figures(tmp_path, monkeypatch):
    few = {"CycleGAN": ("cut", {}), "without cycle loss": ("pix2pix", {})}  # which are quicker
    monkeypatch.setattr(cyclegan, "COMPARED", few)
    flags = [*SHORT, "--blocks", "1", "--compare", "--seeds", "1"]
    model = cyclegan.main([*flags, "--output", str(tmp_path)])
    names = {"translated", "back", "scheme", "losses", "measures", "compared"}
    assert names <= {path.stem for path in tmp_path.glob("*.png")}
    found = results(tmp_path)
    assert found["the truth, error"] == 0 and found["unchanged, changed"] < 0.2
    assert found["unchanged, kept"] == pytest.approx(found["the truth, kept"], abs=0.1)
    assert {f"{other}, kept" for other in few} <= found.keys()
    loaded = keras.saving.load_model(tmp_path / "cyclegan.keras")
    x = np.zeros((1, 16, 16, 3), "uint8")
    np.testing.assert_allclose(loaded.translate(x), model.translate(x), atol=1e-6)


def test_cyclegan_learns_from_folders_and_wants_two_domains(tmp_path):
    random = np.random.default_rng(0)
    for name, count in (("trainA", 24), ("trainB", 30), ("testA", 21), ("testB", 25)):
        (tmp_path / "data" / name).mkdir(parents=True)
        for i in range(count):
            pixels = random.integers(0, 256, (16, 16, 3), "uint8")
            Image.fromarray(pixels).save(tmp_path / "data" / name / f"{i}.png")
    flags = [*SHORT, "--blocks", "1", "--model", "fastcut", "--output", str(tmp_path / "out")]
    cyclegan.main([*flags, "--dataset", str(tmp_path / "data")])
    assert "translated, error" not in results(tmp_path / "out")
    for others, words in (
        (["--dataset", "digits"], "single images"),
        (["--dataset", str(tmp_path / "data"), "--compare"], "truth is known"),
    ):
        with pytest.raises(ValueError, match=words):
            cyclegan.main([*flags, "--overwrite", *others])


def test_the_rate_is_constant_and_then_falls_to_nothing():
    class Run:
        epochs, batch_size, learning_rate = 4, 5, 2e-4

    pairs = kgen.data.load("faces/day2night", image_size=16, num_examples=50)
    found = _translation.optimizers(Run, kgen.CycleGAN, pairs)
    assert found.keys() == {"generators", "discriminators"}
    rate = found["generators"]._learning_rate
    values = [float(keras.ops.convert_to_numpy(rate(step))) for step in (0, 20, 30, 40)]
    np.testing.assert_allclose(values, [2e-4, 2e-4, 1e-4, 0], atol=1e-9)
