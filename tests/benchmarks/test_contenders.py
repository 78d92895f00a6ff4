"""Benchmarks of kgen's families beside each other: what is trained, kept, counted."""

import json
from types import SimpleNamespace

import keras
import numpy as np

import kgen
from benchmarks import likelihoods, points


def result(modes, good, training=1.0):
    return {"modes": modes, "good": good, "updates": 3000, "training": training, "sampling": 0.5}


def test_points_count_seeds_with_all_modes_and_with_good_samples(capsys):
    runs = [(25, 0.98, 2.0), (25, 0.94, 3.0), (24, 0.96, 9.0)]
    found = {f"grid-{i}": result(*run) for i, run in enumerate(runs)}
    points.report({"diffusion": found | {"ring-0": result(8, 0.95)}})
    said = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert said == [
        "diffusion ring all modes in 1 of 1 seeds, 95 % good in 1 of 1; mean 8.0 of 8 modes, "
        "95.0% good; 3,000 updates in 1 s, sampling 0.50 s",
        "diffusion grid all modes in 2 of 3 seeds, 95 % good in 2 of 3; mean 24.7 of 25 modes, "
        "96.0% good; 3,000 updates in 3 s, sampling 0.50 s",
    ]


def test_points_of_a_seed_are_trained_once(tmp_path, monkeypatch):
    trained = []
    monkeypatch.setattr(points, "train", lambda *job: trained.append(job) or result(8, 1.0))
    for seeds in ("1", "1", "2"):
        points.main(["--output", str(tmp_path), "--only", "gan", "--seeds", seeds])
    assert trained == [("gan", shape, seed) for seed in (0, 1) for shape in ("ring", "grid")]


def test_a_model_of_points_takes_its_updates_and_is_measured(monkeypatch):
    models = []

    def make(shape, seed):
        models.append(kgen.GAN((2,), seed=seed))
        models[0].compile()
        return models[0], 3

    monkeypatch.setattr(points, "CONTENDERS", {"gan": (make, {})})
    found = points.train("gan", "ring", 7)
    assert (int(models[0].step), found["updates"]) == (3, 3)
    expected = kgen.metrics.mode_coverage(models[0].generate(points.SAMPLES, seed=7), "ring")
    assert (found["modes"], found["good"]) == (expected.covered, expected.good)
    assert found["training"] > 0 and found["sampling"] >= 0


def test_a_model_of_densities_learns_the_images():
    images = kgen.data.to_model_range(
        np.random.default_rng(0).integers(0, 256, (40, 8, 8, 1), "u1")
    )
    model, seconds = likelihoods.train(likelihoods.Contender(kgen.Gaussian, {}), images, seed=3)
    np.testing.assert_allclose(model.mean_image, images.mean(axis=0), atol=1e-6)
    assert seconds > 0
    assert likelihoods.parameters(model) == 39 * 64 + 39 + 64 + 1  # axes, variances, mean


def test_what_is_counted_is_kept(tmp_path, monkeypatch, capsys):
    random = np.random.default_rng(0)
    sets = {"train": random.integers(0, 256, (64, 8, 8, 1), "u1")}
    sets["test"] = random.integers(0, 256, (5, 8, 8, 1), "u1")
    sets = {name: kgen.data.to_model_range(images) for name, images in sets.items()}
    monkeypatch.setattr(
        kgen.data,
        "load",
        lambda name, split="train": SimpleNamespace(images=lambda: sets[split]),
    )
    vae = likelihoods.Contender(
        kgen.VAE,
        {"bound": {"samples": 1}},
        {"network": "shallow", "reconstruction": "gaussian"},
        epochs=2,
    )
    monkeypatch.setattr(likelihoods, "CONTENDERS", {"vae": vae})
    likelihoods.main(["--output", str(tmp_path)])
    file = tmp_path / "vae-0.keras"
    bits = keras.saving.load_model(file).bits_per_dim(sets["test"], samples=1)
    kept = json.loads((tmp_path / "vae-0.json").read_text())
    expected = [bits.mean(), bits.std(ddof=1) / np.sqrt(5)]
    np.testing.assert_allclose(kept["bits"]["bound"], expected, rtol=1e-5)
    assert "bound {:.3f} +- {:.3f}".format(*expected) in capsys.readouterr().out
    written = file.stat().st_mtime_ns
    vae.counts["10 samples"] = {"samples": 10}
    likelihoods.main(["--output", str(tmp_path)])
    again = json.loads((tmp_path / "vae-0.json").read_text())
    assert again["bits"].pop("10 samples") and again == kept
    assert file.stat().st_mtime_ns == written
