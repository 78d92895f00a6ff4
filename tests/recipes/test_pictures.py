"""The pictures of the documents: all there, drawn by their recipe, and small enough."""

import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from kgen import plots
from recipes import _pictures
from recipes.__main__ import main

ROOT = Path(__file__).parents[2]
PICTURES = {
    _pictures.picture(recipe, figure): recipe
    for recipe, figures in _pictures.PICTURES.items()
    for figure in figures
}


def test_every_recipe_has_pictures():
    recipes = {path.stem for path in (ROOT / "recipes").glob("[!_]*.py")}
    assert set(_pictures.PICTURES) == recipes - {"feature_net"}  # which trains the judges


def test_the_documents_have_these_pictures_and_no_others():
    found = {path for path in _pictures.IMAGES.rglob("*.*") if path.is_file()}
    stills = [path for path in PICTURES if path.suffix == ".png"]
    assert found == {*PICTURES, *map(_pictures.small, stills)}


@pytest.mark.parametrize("path", sorted(PICTURES), ids=lambda path: path.name)
def test_a_picture_says_what_made_it(path):
    with Image.open(path) as image:
        size, frames, said = image.size, getattr(image, "n_frames", 1), image.info
    assert size[0] <= plots.SLIDE[0] and size[1] <= plots.SLIDE[1]
    if path.suffix == ".gif":
        assert path.stat().st_size <= 10**6 and frames >= 8
        return
    assert said["Comment"] == f"python -m recipes.{PICTURES[path]}"
    assert "kgen" in said["Software"] and "matplotlib" in said["Software"]
    with Image.open(_pictures.small(path)) as small:
        assert max(small.size) == _pictures.SMALL
        np.testing.assert_allclose(small.width / small.height, size[0] / size[1], rtol=0.02)


def test_a_checkout_stays_small():
    def size(folder):
        return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())

    assert size(_pictures.IMAGES) < 15e6 and size(ROOT / "saved_models") < 40e6
    assert all(path.stat().st_size <= 3e6 for path in (ROOT / "saved_models").glob("*.keras"))


def test_pictures_are_drawn_again(tmp_path, monkeypatch, capsys):
    ran = []

    def run(command, check):
        ran.append(command[2:-1])
        output = Path(command[-1])
        output.mkdir(parents=True)
        for name in ("saddle.gif", "saddle.png", "losses.png"):
            Image.new("RGB", (960, 540), "red").save(output / name)

    monkeypatch.setattr(_pictures, "IMAGES", tmp_path / "images")
    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.chdir(tmp_path)
    assert main(["draw", "two_players"]) == 0
    assert ran == [["recipes.two_players", "--overwrite", "--output"]]  # which keeps nothing
    stills = {"two_players_saddle.png", "two_players_losses.png"}
    names = {path.name for path in (tmp_path / "images").iterdir()}
    assert names == {"small", "two_players_saddle.gif", *stills}
    assert {path.name for path in (tmp_path / "images" / "small").iterdir()} == stills
    with Image.open(tmp_path / "images" / "small" / "two_players_saddle.png") as small:
        assert small.size == (_pictures.SMALL, 225)
    assert "two_players: 0 s" in capsys.readouterr().out

    def fails(command, check):
        raise subprocess.CalledProcessError(2, command)

    monkeypatch.setattr(subprocess, "run", fails)
    assert main(["draw", "vae"]) == 2
    assert main(["draw", "nothing"]) == 2
    assert "there are pictures of anomaly_detection, " in capsys.readouterr().err
