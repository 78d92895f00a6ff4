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
    chosen = {name: mode_collapse.CURES[name] for name in ("+ Adam", "+ moving average")}
    monkeypatch.setattr(mode_collapse, "CURES", chosen)
    command = [*SHORT, "--only", "ring", "--output", str(tmp_path)]
    first = mode_collapse.main(command)
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
    for name in ("mode_collapse", "curves", "ring_training"):
        pixels = np.asarray(Image.open(tmp_path / f"{name}.png").convert("RGB"))
        assert min(pixels.shape[:2]) > 200 and pixels.std() > 5, name
    assert Image.open(tmp_path / "ring.gif").n_frames == 2
    results = json.loads((tmp_path / "results.json").read_text())
    printed = capsys.readouterr().out
    for name, value in results.items():
        assert np.isfinite(value) and name in printed
    for name in chosen:
        assert results[f"ring, {name}: good samples"] == pytest.approx(
            np.mean([part["good"] for part in found["ring", name]])
        )
    lines = (tmp_path / "mode_collapse.md").read_text().splitlines()
    assert len(lines) == 2 + len(chosen) and "| ring, + Adam |" in lines[2]


def test_what_reaches_the_goal():
    """All 8 modes and 90 % good samples of the ring; 24 of 25 and 80 % of the grid."""
    parts = [(8, 0.9), (7, 0.99), (8, 0.89), (8, 1.0)]
    parts = [{"modes": m, "good": g, "seconds": 2.0} for m, g in parts]
    results = mode_collapse.summary({("ring", "WGAN-GP"): parts, ("grid", "WGAN-GP"): parts[:1]})
    assert results["ring, WGAN-GP: seeds that reach the goal"] == 0.5
    assert results["ring, WGAN-GP: modes"] == 7.75 and results["ring, WGAN-GP: seconds"] == 2
    assert results["grid, WGAN-GP: seeds that reach the goal"] == 0
    grid = {("grid", "WGAN-GP"): [{"modes": 24, "good": 0.8, "seconds": 1.0}]}
    assert mode_collapse.summary(grid)["grid, WGAN-GP: seeds that reach the goal"] == 1


def test_points_are_counted():
    """Real points cover all modes; within 3 sigma lie 1 - exp(-9 / 2) of each Gaussian."""
    for shape, goal in mode_collapse.SHAPES.items():
        points, labels = kgen.data.toy2d.draw(shape, 20_000, seed=1)
        modes, good = mode_collapse.counted(points, shape)
        assert modes == goal.modes and good == pytest.approx(1 - np.exp(-4.5), abs=0.004)
        assert mode_collapse.counted(points[labels < 3], shape)[0] == 3


def test_each_cure_changes_what_it_says():
    """The first three have no penalty, four no average; the fifth is kgen's default for points."""
    made = {name: kgen.GAN((2,), **cure.arguments) for name, cure in mode_collapse.CURES.items()}
    first, *_, default, wasserstein = made.values()
    assert [gan.adversarial_loss for gan in made.values()] == [
        "minimax",
        "non_saturating",
        "non_saturating",
        "non_saturating",
        "non_saturating",
        "wasserstein",
    ]
    assert [gan.penalty is None for gan in made.values()] == [True] * 3 + [False] * 3
    assert [gan.generator_average.decay == 0 for gan in made.values()] == [True] * 4 + [False] * 2
    ours, usual = default.get_config(), kgen.GAN((2,)).get_config()
    ours.pop("variant"), usual.pop("variant")
    assert {n: ours[n] for n in ("loss", "penalty", "discriminator_steps", "latent_dim")} == {
        n: usual[n] for n in ("loss", "penalty", "discriminator_steps", "latent_dim")
    }
    assert wasserstein.minibatches_per_update == 5 and first.minibatches_per_update == 1
    makers = [cure.optimizer().get_config() for cure in mode_collapse.CURES.values()]
    usual = kgen.GAN((2,)).default_optimizers()["generator"].get_config()
    assert all(maker == usual | {"name": maker["name"]} for maker in makers[2:])
