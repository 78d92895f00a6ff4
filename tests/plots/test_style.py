"""What every figure does: it is returned, written, shown; matplotlib comes late."""

import os
import subprocess
import sys
import types
import warnings
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from matplotlib import pyplot
from matplotlib.figure import Figure
from PIL import Image

from kgen import plots
from kgen.plots import style

IMAGES = np.random.default_rng(0).integers(0, 256, (6, 8, 8, 1), "uint8")
NODES = {"x": (0, 0), "z": (1, 0), "y": (2, 1)}
FIGURES = {
    "grid": lambda **o: plots.grid(IMAGES, **o),
    "reconstructions": lambda **o: plots.reconstructions(IMAGES, IMAGES, **o),
    "strips": lambda **o: plots.strips(IMAGES.reshape(2, 3, 8, 8, 1), **o),
    "manifold": lambda **o: plots.manifold(lambda z: np.zeros((len(z), 8, 8)), n=3, **o),
    "latent_scatter": lambda **o: plots.latent_scatter(np.eye(3), [0, 1, 2], **o),
    "losses": lambda **o: plots.losses({"loss": [1.0, 2.0]}, **o),
    "bands": lambda **o: plots.slide(plots.Bands([1, 2, 3], np.eye(3)[None], ["a"]), **o),
    "computation_graph": lambda **o: plots.computation_graph(
        NODES, {"~x -> z": None, "z -> y": ""}, **o
    ),
}


@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_is_returned_and_written(tmp_path, name):
    path = tmp_path / "a" / "b" / "figure.png"
    figure = FIGURES[name](title="The title", path=path)
    assert isinstance(figure, Figure)
    shown = [text.get_text() for text in figure.texts] + [figure.get_suptitle()]
    assert "The title" in shown
    assert os.listdir(path.parent) == ["figure.png"]
    with Image.open(path) as image:
        assert image.format == "PNG"
        assert image.size == tuple(np.round(figure.get_size_inches() * figure.dpi).astype(int))
    assert figure._repr_png_() == path.read_bytes()


@pytest.mark.parametrize("name", FIGURES)
def test_path_that_cannot_be_written(tmp_path, name):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(OSError, match=r"Cannot write .*file/a\.png"):
        FIGURES[name](path=tmp_path / "file" / "a.png")
    with pytest.raises(IsADirectoryError, match="Cannot write"):
        FIGURES[name](path=tmp_path)
    assert (tmp_path / "file").read_text() == "mine"
    assert os.listdir(tmp_path) == ["file"]


def test_a_failed_write_leaves_the_former_figure(tmp_path):
    path = tmp_path / "a.png"
    figure = plots.losses({"loss": [1.0, 2.0]}, path=path)
    before = path.read_bytes()

    def full_disk(target, **options):
        Path(target).write_bytes(b"half a pict")
        raise OSError(28, "No space left on device")

    figure.savefig = full_disk
    with pytest.raises(OSError, match=r"a\.png: No space left on device") as caught:
        plots.save(figure, path)
    assert caught.value.errno == 28
    assert path.read_bytes() == before and os.listdir(tmp_path) == ["a.png"]


def test_suffix_decides_the_format(tmp_path):
    figure = plots.losses({"loss": [1.0, 2.0]})
    assert plots.save(figure, tmp_path / "a.pdf").read_bytes().startswith(b"%PDF")
    assert plots.save(figure, tmp_path / "noname").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(ValueError, match="xyz"):
        plots.save(figure, tmp_path / "a.xyz")


@pytest.mark.parametrize("name", FIGURES)
def test_figures_without_a_path_are_those_of_pyplot(name, tmp_path):
    FIGURES[name](path=tmp_path / "a.png")
    assert pyplot.get_fignums() == []
    figure = FIGURES[name]()
    assert pyplot.gcf() is figure and len(pyplot.get_fignums()) == 1
    with warnings.catch_warnings():  # without a display there is nothing to see
        warnings.filterwarnings("ignore", message=".*non-interactive")
        figure.show()
        pyplot.show()
    pyplot.close(figure)
    assert pyplot.get_fignums() == []


def test_many_open_figures_are_what_users_know():
    with pytest.warns(RuntimeWarning, match="More than 20 figures"):
        for _ in range(21):
            plots.grid(IMAGES[:1])


def test_a_notebook_shows_a_figure_once(monkeypatch):
    """At the end of a cell, the inline backend draws what is open; a result was drawn before."""
    shown = []
    ipython = types.ModuleType("IPython.display")
    ipython.display = lambda data, raw: shown.append(data)
    monkeypatch.setitem(sys.modules, "IPython", types.ModuleType("IPython"))
    monkeypatch.setitem(sys.modules, "IPython.display", ipython)
    figure, other = plots.grid(IMAGES[:1]), plots.grid(IMAGES[:1])
    with pytest.raises(NotImplementedError):  # in a terminal, its window stays
        figure._ipython_display_()
    assert len(pyplot.get_fignums()) == 2
    monkeypatch.setattr(matplotlib, "get_backend", lambda: "module://matplotlib_inline.backend")
    figure._ipython_display_()
    assert [data["image/png"] for data in shown] == [figure._repr_png_()]
    assert pyplot.get_fignums() == [other.number]


WITHOUT = [
    ("matplotlib", "import kgen, kgen.callbacks, kgen.plots"),
    (
        "matplotlib.pyplot",
        """
import numpy as np
from kgen import plots
path = {path!r}
plots.grid(np.zeros((4, 8, 8, 1), "uint8"), path=path)
plots.losses({{"loss": [1.0, 2.0]}}, path=path)
plots.latent_scatter(np.eye(3), [0, 1, 2], path=path)
plots.slide(plots.Bands([1, 2, 3], np.eye(3)[None], ["a"]), path=path)
plots.computation_graph({{"x": (0, 0), "y": (1, 0)}}, {{"~x -> y": "blocked"}}, path=path)
plots.grid(np.zeros((4, 8, 8, 1), "uint8"), path=path)._repr_png_()
""",
    ),
]


@pytest.fixture(scope="module")
def worked_without(tmp_path_factory):
    """What was not needed, found in one process for all: importing takes longest."""
    path, code = str(tmp_path_factory.mktemp("figures") / "a.png"), "import sys"
    for absent, lines in WITHOUT:
        code += f"\nsys.modules[{absent!r}] = None\n{lines.format(path=path)}"
        code += f"\nprint({absent!r})\ndel sys.modules[{absent!r}]"
    done = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    return done.stdout.splitlines()


@pytest.mark.parametrize(("absent", "code"), WITHOUT)
def test_matplotlib_comes_late_and_pyplot_for_open_figures_alone(absent, code, worked_without):
    # Keras imports both if it can: only what works without them does not import them.
    assert absent in worked_without


@pytest.mark.parametrize("n", [1, 2, 5, 12, 13, 20, 21, 30, 41])
def test_ticks_are_symmetric_and_apart(n):
    ticks = style.tick_positions(n)
    assert ticks == sorted(n - 1 - i for i in ticks) and 1 <= len(ticks) <= 13
    if n > 1:
        assert ticks[0] == 0
    assert n <= 12 or min(np.diff(ticks)) >= n / 12
