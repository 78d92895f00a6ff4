"""Mode collapse and its cures: figures, counts against known points, resumption."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image

import kgen
from recipes import mode_collapse

SHORT = ["--epochs", "2", "--batch-size", "16", "--limit", "400"]


def test_from_points_to_figures_and_resumed_without_repeating(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(mode_collapse, "EVERY_UPDATES", 2)
    chosen = {name: mode_collapse.CURES[name] for name in ("+ non-saturating", "+ R1, average")}
    monkeypatch.setattr(mode_collapse, "CURES", chosen)
    command = [*SHORT, "--only", "ring", "--output", str(tmp_path)]
    first = mode_collapse.main([*command, "--seeds", "1"])
    trained = []

    def counted(run, shape, name, seed):  # with the first one's samples on the way
        trained.append((shape, name, seed))
        paths = [mode_collapse.clouds_of(run, shape, name, s) for s in (0, seed)]
        shutil.copy(*paths)
        return {"modes": 3, "good": 0.25, "seconds": 1.0}

    monkeypatch.setattr(mode_collapse, "measure", counted)
    found = mode_collapse.main([*command, "--resume", "--seeds", "2"])
    assert trained == [("ring", name, 1) for name in chosen]
    assert all(found[key][0] == first[key][0] and len(found[key]) == 2 for key in found)
    for name in ("ring", "ring_training"):
        pixels = np.asarray(Image.open(tmp_path / f"{name}.png").convert("RGB"))
        assert min(pixels.shape[:2]) > 200 and pixels.std() > 5, name
    assert Image.open(tmp_path / "ring.gif").n_frames == 3
    results = json.loads((tmp_path / "results.json").read_text())
    printed = capsys.readouterr().out
    for name, value in results.items():
        assert np.isfinite(value) and name in printed
    for name in chosen:
        assert results[f"ring, {name}: good samples"] == pytest.approx(
            np.mean([part["good"] for part in found["ring", name]])
        )
    measures = ("modes", "good samples", "seconds", "seeds that find all modes")
    rows = {f"ring, {name}: {measure}" for name in chosen for measure in measures}
    assert {*results} == {*rows, "seconds"}


def test_means_of_all_seeds_and_the_median_run():
    parts = [(8, 0.9), (7, 0.99), (8, 0.89), (1, 1.0)]
    parts = [{"modes": m, "good": g, "seconds": 2.0} for m, g in parts]
    results = mode_collapse.summary({("ring", "WGAN-GP"): parts, ("grid", "WGAN-GP"): parts[:1]})
    assert results["ring, WGAN-GP: seeds that find all modes"] == 0.5
    assert results["ring, WGAN-GP: modes"] == 6 and results["ring, WGAN-GP: seconds"] == 2
    assert results["grid, WGAN-GP: seeds that find all modes"] == 0
    assert mode_collapse.median(parts) == 1 and mode_collapse.median(parts[:3]) == 2


def test_points_are_counted():
    for shape, (count, _) in mode_collapse.SHAPES.items():
        points, labels = kgen.data.toy2d.draw(shape, 20_000, seed=1)
        panel = mode_collapse.pictured([points, points[labels < 3]], shape, 2)
        assert panel.notes == [f"{count} of {count}", f"3 of {count}"]
        assert len(panel.pixels) == 2 and (panel.pixels[0] != panel.pixels[1]).any()


def test_each_cure_changes_what_it_says():
    """Three without penalty and average; then kgen's default for points, and WGAN-GP."""
    made = {name: kgen.GAN((2,), **args) for name, (args, _) in mode_collapse.CURES.items()}
    *_, default, wasserstein = made.values()
    losses = ["minimax", "minimax", "non_saturating", "non_saturating", "wasserstein"]
    assert [gan.adversarial_loss for gan in made.values()] == losses
    assert [gan.penalty is None for gan in made.values()] == [True] * 3 + [False] * 2
    assert [gan.generator_average.decay == 0 for gan in made.values()] == [True] * 3 + [False] * 2
    ours, usual = default.get_config(), kgen.GAN((2,)).get_config()
    assert {n: ours[n] for n in ("loss", "penalty", "discriminator_steps", "latent_dim")} == {
        n: usual[n] for n in ("loss", "penalty", "discriminator_steps", "latent_dim")
    }
    assert wasserstein.minibatches_per_update == 5
    rate = kgen.GAN((2,)).default_optimizers()["generator"].get_config()["learning_rate"]
    assert [r for _, r in mode_collapse.CURES.values()][1:] == [pytest.approx(rate)] * 4
