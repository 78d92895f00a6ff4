"""What all figures share: size, colours, texts and ticks; how they are written and shown."""

import functools
import io
import math
import textwrap
from pathlib import Path

import numpy as np

from kgen.files import written_beside

DPI = 150
DARK, RED, PALE, BLUE, SAND = "#262626", "#c8102e", "#efb3bd", "#dcebf7", "#fde3bd"


def new_figure(width, height):
    """A Figure of so many pixels that notebooks show although pyplot was never imported."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width / DPI, height / DPI), dpi=DPI)
    figure._repr_png_ = functools.partial(_png, figure)
    figure.show = functools.partial(_show, figure)
    return figure


def headline(figure, title):
    """Write a title over all axes of a figure; None where there is none."""
    if title is None:
        return None
    return figure.suptitle(textwrap.fill(str(title), 75), size=13)


def as_texts(values, n, name, of):
    """What is written beside n things: a list of n strings, or of none."""
    if values is None:
        return []
    values = list(values)
    if len(values) != n:
        raise ValueError(f"{name} must be one for each {of}: {n}; got {len(values)}.")
    return [f"{v:.3g}" if isinstance(v, (float, np.floating)) else str(v) for v in values]


def tick_positions(n):
    """Which of n positions carry a number: at most about 12, and -z wherever z does."""
    step = math.ceil(n / 12)
    lower = [i for i in range(0, n // 2, step) if n - 1 - 2 * i >= step]
    centered = n % 2 and (not lower or n // 2 - lower[-1] >= step)
    return lower + [n // 2] * bool(centered) + [n - 1 - i for i in reversed(lower)]


def lay_out(figure):
    """Give everything its place, as drawing does, in a fraction of its time."""
    if engine := figure.get_layout_engine():
        engine.execute(figure)
    for axes in figure.axes:
        axes.apply_aspect()


def finish(figure, path):
    """Lay a figure out and write it to `path`, or without one make it one of pyplot; returns it."""
    lay_out(figure)
    figure.set_layout_engine("none")  # so that it looks the same however often it is drawn
    if path is not None:
        save(figure, path)
    elif figure.canvas.manager is None:
        _register(figure)
    return figure


def save(figure, path):
    """Write a Figure as PNG, or in the format of the path's suffix; returns the `pathlib.Path`.

    The folder is made, and the file appears complete or not at all.

    Raises:
        ValueError: if matplotlib does not know the suffix.
        OSError: if the path cannot be written.
    """
    kind = Path(path).suffix[1:] or "png"
    return write_file(path, lambda target: figure.savefig(target, format=kind, dpi=figure.dpi))


def write_file(path, write):
    """Let `write(path)` make a file that appears complete or not at all; returns the path."""
    with written_beside(path) as temporary:
        write(temporary)
    return Path(path)


def _register(figure):
    """Make it a figure of pyplot."""
    from matplotlib import pyplot

    pyplot.figure(FigureClass=lambda **options: figure)
    figure._ipython_display_ = functools.partial(_display, figure)


def _show(figure, warn=True):
    """`Figure.show` of a figure that need not be one of pyplot."""
    if figure.canvas.manager is None:
        _register(figure)
    type(figure).show(figure, warn)


def _display(figure):
    """In a notebook whose backend draws every open figure under its cell: once, and not twice."""
    import matplotlib
    from IPython.display import display
    from matplotlib import pyplot

    if "inline" not in matplotlib.get_backend():
        raise NotImplementedError  # IPython goes on to what it does for every figure
    display({"image/png": _png(figure), "text/plain": repr(figure)}, raw=True)
    pyplot.close(figure)


def _png(figure):
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=figure.dpi)
    return buffer.getvalue()
