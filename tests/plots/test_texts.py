"""Figures in the language of the slides; what their files say of themselves."""

import numpy as np
import pytest
from matplotlib import pyplot
from PIL import Image

from kgen import plots
from kgen.plots import texts


@pytest.fixture
def words(monkeypatch):
    known = {"epoch {n}": "époque {n}", "real images": "images réelles", "loss": "perte"}
    monkeypatch.setattr(texts, "_words", lambda name: known if name == "fr" else {})


def test_texts_are_looked_up_with_numbers_as_fields(words):
    assert plots.say("epoch {n}", n=3) == "epoch 3"
    with plots.language("fr"):
        assert plots.say("epoch {n}", n=3) == "époque 3"
        assert plots.say("something else") == "something else"
        assert plots.say(plots.say("real images")) == "images réelles"
        assert plots.say(plots.Said("real images")) == "real images"
    assert plots.say("real images") == "real images"
    with pytest.raises(ValueError, match="speak en, fr; got 'de'"), plots.language("de"):
        pass


def test_everything_that_a_figure_says_is_looked_up(words):
    with plots.language("fr"):
        panel = plots.Curves({"loss": [3, 2]}, xlabel="real images", heading="real images")
        figure = plots.slide(panel, title="real images", caption="real images")
    (axes,) = figure.axes
    said = {figure.get_suptitle(), axes.get_xlabel(), axes.get_title()}
    assert said == {"images réelles"}
    assert [t.get_text() for t in axes.get_legend().get_texts()] == ["perte"]


def test_what_a_language_lacks_is_found(words):
    with texts.recorded() as seen:
        plots.slide(plots.Curves({"loss": [3, 2], "$L_1$": [1, 2]}), title="A sentence of its own")
    assert texts.missing(seen, "fr") == ["A sentence of its own"]


def test_files_say_what_made_them_and_are_equal_bytes(tmp_path):
    panel = plots.Curves({"loss": [3, 2]})
    for form in ("png", "svg", "pdf"):
        with plots.made_by("python -m recipes.vae --seed 1"):
            plots.slide(panel, path=tmp_path / f"a.{form}")
            plots.slide(panel, path=tmp_path / f"b.{form}")
        first, second = (tmp_path / f"{name}.{form}" for name in "ab")
        assert first.read_bytes() == second.read_bytes()
        assert b"python -m recipes.vae --seed 1" in first.read_bytes() or form == "pdf"
    with Image.open(tmp_path / "a.png") as image:
        assert image.info["Comment"] == "python -m recipes.vae --seed 1"
        assert f"numpy {np.__version__}" in image.info["Software"]
    plots.slide(panel, path=tmp_path / "c.png")
    with Image.open(tmp_path / "c.png") as image:
        assert "Comment" not in image.info


def test_the_style_is_a_file_for_ones_own_figures(tmp_path):
    before = dict(pyplot.rcParams)
    with plots.in_style():
        axes = pyplot.figure().subplots()
        assert axes.title.get_fontsize() == 13 and not axes.spines["top"].get_visible()
    assert dict(pyplot.rcParams) == before
    with pyplot.style.context("kgen.plots.slides"):
        assert tuple(pyplot.figure().get_size_inches()) == (12.8, 7.2)
