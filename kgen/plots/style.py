"""What all figures share: colours by meaning, sizes, how they are written and shown."""

import contextlib
import contextvars
import functools
import importlib.metadata
import io
import math
import re
import textwrap
from pathlib import Path

import numpy as np

from kgen.files import written_beside
from kgen.plots.texts import say

DPI = 150
SLIDE = (1920, 1080)  # pixels: what a figure is at most
STYLE = "kgen.plots.slides"  # for matplotlib.style.use
TITLE, LABEL, TICK = 18, 13, 12  # points

# Colours by what they mean; safe for eyes that tell fewer of them apart.
REAL, GENERATED, JUDGE = "#0072B2", "#D55E00", "#4D4D4D"
FAMILIES = {
    "gaussian": "#882255",
    "mixture": "#CC79A7",
    "autoencoder": "#56B4E9",
    "vae": "#0072B2",
    "gan": "#D55E00",
    "flow": "#009E73",
    "diffusion": "#E69F00",
}
SERIES = ("#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#882255", "#767676")  # without a meaning
CLASSES = (  # beside a name or an image, never alone
    "#332288", "#88CCEE", "#44AA99", "#117733", "#999933", "#DDCC77", "#CC6677", "#882255",
    "#AA4499", "#6699CC",
)  # fmt: skip
DARK, MUTED, FAINT, WHITE = "#262626", "#767676", "#EBEBEB", "#FFFFFF"  # texts, asides, lines
GRADIENT, BLOCKED, COMPUTED, RANDOM = "#C8102E", "#EFB3BD", "#DCEBF7", "#FDE3BD"  # of graphs
RIGHT, WRONG = "#009E73", "#C8102E"  # frames of images, beside a word

_command = contextvars.ContextVar("command", default=None)


@functools.cache
def probability_map():
    """Colours of a probability to be real: generated at 0, white at 1/2, real at 1."""
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("probability", [GENERATED, WHITE, REAL])


def shades(color):
    """From white to a colour of those here: how much there is of what it means."""
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("shades", [WHITE, color])


@contextlib.contextmanager
def in_style():
    """Within it, matplotlib draws as the figures of kgen look; elsewhere nothing changes."""
    from matplotlib import style

    with style.context(STYLE):
        yield


def styled(function):
    """Decorate a function that draws: within it, `in_style`."""

    @functools.wraps(function)
    def within(*args, **kwargs):
        with in_style():
            return function(*args, **kwargs)

    return within


@contextlib.contextmanager
def made_by(command):
    """Within it, the command, a line, stands in the metadata of every figure that is written."""
    token = _command.set(command)
    try:
        yield
    finally:
        _command.reset(token)


def new_figure(width, height):
    """A Figure of so many pixels that notebooks show although pyplot was never imported."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width / DPI, height / DPI), dpi=DPI, facecolor=WHITE)
    figure._repr_png_ = functools.partial(as_png, figure)
    figure.show = functools.partial(_show, figure)
    return figure


def headline(figure, title):
    """Write a title over all axes of a figure; None where there is none."""
    if title is None:
        return None
    return figure.suptitle(in_lines(say(title), figure.get_figwidth() * DPI, TITLE))


def in_lines(text, width, points):
    """A text in lines of at most so many pixels, about."""
    columns = max(8, int(width / (0.57 * points * DPI / 72)))
    lines = [_wrapped(line, columns) for line in str(text).split("\n")]
    return "\n".join(part for parts in lines for part in parts or [""])


def _wrapped(line, columns):
    """A line of text in parts of so many characters; formulas, $...$, stay whole."""
    if "$" not in line:
        return textwrap.wrap(line, columns)
    whole = re.sub(r"\$[^$]*\$", lambda formula: formula[0].replace(" ", "\0"), line)
    parts = textwrap.wrap(whole, columns, break_long_words=False)
    return [part.replace("\0", " ") for part in parts]


def as_texts(values, n, name, of):
    """What is written beside n things: a list of n strings, or of none."""
    if values is None:
        return []
    values = list(values)
    if len(values) != n:
        raise ValueError(f"{name} must be one for each {of}: {n}; got {len(values)}.")
    return [f"{v:.3g}" if isinstance(v, (float, np.floating)) else say(v) for v in values]


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


@styled
def save(figure, path):
    """Write a Figure as PNG, or in the format of the path's suffix; returns the `pathlib.Path`.

    The folder is made, and the file appears complete or not at all. Its metadata holds the versions
    that drew it.

    Raises:
        ValueError: if matplotlib does not know the suffix.
        OSError: if the path cannot be written.
    """
    kind = Path(path).suffix[1:] or "png"
    options = {"format": kind, "dpi": figure.dpi, "metadata": _metadata(kind)}
    return write_file(path, lambda target: figure.savefig(target, **options))


def _metadata(kind):
    """What a file says of itself: the command that made it, and versions; never the time."""
    command = _command.get()
    names = ("kgen", "keras", "matplotlib", "numpy")
    software = ", ".join(f"{name} {version}" for name in names if (version := _version(name)))
    match kind:
        case "png":
            return {"Software": software} | ({"Comment": command} if command else {})
        case "svg":
            return {"Creator": software, "Date": None} | ({"Source": command} if command else {})
        case "pdf":
            said = {"Creator": software, "CreationDate": None}
            return said | ({"Subject": command} if command else {})
    return None


@functools.cache
def _version(name):
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:  # run from a folder
        return None


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
    display({"image/png": as_png(figure), "text/plain": repr(figure)}, raw=True)
    pyplot.close(figure)


def as_png(figure):
    """A Figure as bytes of PNG."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=figure.dpi, metadata=_metadata("png"))
    return buffer.getvalue()
