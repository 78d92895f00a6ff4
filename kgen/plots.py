"""The figures of a lecture.

Every function returns a `matplotlib.figure.Figure`. With a `path` it is written there, PNG or what
the suffix says, and nothing is left open: the folder is made, and a path that cannot be written
raises an OSError that names it. Without one it is a figure of pyplot, as any other: a notebook
shows it once, and in a script `matplotlib.pyplot.show()` does, or `figure.show()`.

Images are uint8 in [0, 255] or floats in [-1, 1], and the grey levels of two figures can be
compared: nothing is stretched to the range of the data. Floats beyond [-1, 1] are clipped, pixels
that are no number become magenta, and of images that have neither one nor three channels the first
channel is shown and the title says so.

matplotlib is imported when the first figure is drawn, and pyplot when the first is drawn without a
`path`: no display is needed to write figures, and no global state is touched.
"""

import contextlib
import errno
import functools
import io
import itertools
import math
import os
import statistics
import textwrap
from pathlib import Path

import numpy as np
from keras import ops
from PIL import Image

from kgen.arguments import check_regular, positive
from kgen.data.dataset import resize
from kgen.data.ranges import refuse_channels_first, to_uint8

DPI = 150
GAP = 6  # pixels between images
MARGIN = 18
MAGENTA = (255, 0, 255)
DARK, RED, PALE, BLUE, SAND = "#262626", "#c8102e", "#efb3bd", "#dcebf7", "#fde3bd"


def grid(images, columns=None, labels=None, *, title=None, path=None):
    """Images in rows and columns.

    Args:
        images: `(N, H, W, C)` or `(N, H, W)`, uint8 or floats in [-1, 1].
        columns: images in a row; by default as many as make the grid a square.
        labels: None, or N things to write over the images.
        title: of the figure.
        path: file to write.

    Returns:
        The Figure.

    Raises:
        ValueError: if the images are not as above or there are none, or labels are not N.
        OSError: if `path` cannot be written.
    """
    pixels, note = _pixels(images)
    labels = _texts(labels, len(pixels), "labels", "image")
    columns = _columns(columns, math.ceil(math.sqrt(len(pixels))), len(pixels))
    tiles = _fit(pixels, min(900 // columns, 320))
    height, width = tiles.shape[1:3]
    size = _font_that_fits(labels, width + GAP)
    room = round(size * 2.9) if labels else 0
    canvas = _tile(tiles, columns, GAP, GAP + room)
    figure, axes = _picture(canvas, title, note, top=room)
    for i, label in enumerate(labels):
        row, column = divmod(i, columns)
        x, y = column * (width + GAP) + width / 2, row * (height + GAP + room) - GAP
        axes.text(x, y, label, size=size, ha="center", va="bottom")
    return _finish(figure, path)


def reconstructions(images, reconstructions, columns=None, *, title=None, path=None):
    """Originals, and under each its reconstruction.

    Args:
        images: `(N, H, W, C)` or `(N, H, W)`, uint8 or floats in [-1, 1].
        reconstructions: of the same shape; the dtype may differ.
        columns: pairs in a row, at most 10 by default.
        title: of the figure.
        path: file to write.

    Returns:
        The Figure.

    Raises:
        ValueError: if either is not as above, there are none, or the shapes differ.
        OSError: if `path` cannot be written.
    """
    originals, note = _pixels(images)
    copies, _ = _pixels(reconstructions, "reconstructions")
    shapes = [tuple(x.shape) + (1,) * (len(x.shape) == 3) for x in (images, reconstructions)]
    if shapes[0] != shapes[1]:
        raise ValueError(
            f"Every image needs its reconstruction, of the same shape: got {shapes[0]} and "
            f"{shapes[1]}."
        )
    columns = _columns(columns, 10, len(originals))
    side = min(1200 // columns, 200)
    above, below = _fit(originals, side), _fit(copies, side)
    height = above.shape[1]
    pairs = np.concatenate([above, np.zeros_like(above[:, :GAP]), below], axis=1)
    canvas = _tile(pairs, columns, GAP, 5 * GAP)
    figure, axes = _picture(canvas, title, note, left=190)
    for top in range(0, len(canvas), 2 * height + 6 * GAP):
        for y, text in ((top, "original"), (top + height + GAP, "reconstruction")):
            axes.text(-12, y + height / 2, text, size=10, ha="right", va="center")
    return _finish(figure, path)


def strips(sequences, labels=None, steps=None, *, title=None, path=None):
    """Rows of images that change step by step: interpolations, sampling in progress.

    Args:
        sequences: `(rows, steps, H, W, C)`, uint8 or floats in [-1, 1].
        labels: None, or one name per row, written to its left.
        steps: None, or one name or number per step, written over the columns.
        title: of the figure.
        path: file to write.

    Returns:
        The Figure.

    Raises:
        ValueError: if the sequences are not as above or empty, or the labels or steps do not match.
        OSError: if `path` cannot be written.
    """
    sequences = _array(sequences)
    if sequences.ndim != 5:
        hint = " A single strip needs an axis: sequences[None]." if sequences.ndim == 4 else ""
        raise ValueError(
            f"sequences must have shape (rows, steps, height, width, channels); got "
            f"{sequences.shape}.{hint}"
        )
    rows, columns = sequences.shape[:2]
    pixels, note = _pixels(sequences.reshape(-1, *sequences.shape[2:]), "sequences")
    labels = _texts(labels, rows, "labels", "row")
    steps = _texts(steps, columns, "steps", "column")
    tiles = _fit(pixels, min(1200 // columns, 200))
    height, width = tiles.shape[1:3]
    left = 24 + max((13 * len(line) for text in labels for line in text.split("\n")), default=0)
    size = _font_that_fits(steps, width + GAP)
    figure, axes = _picture(
        _tile(tiles, columns, GAP, GAP),
        title,
        note,
        left=left if labels else 0,
        top=round(size * 2.9) if steps else 0,
    )
    for row, text in enumerate(labels):
        y = row * (height + GAP) + height / 2
        axes.text(-12, y, text, size=10, ha="right", va="center")
    for column, text in enumerate(steps):
        x = column * (width + GAP) + width / 2
        axes.text(x, -GAP, text, size=size, ha="center", va="bottom")
    return _finish(figure, path)


def manifold(decode, n=20, *, title=None, path=None):
    """What a two-dimensional latent space holds: images at the quantiles of its prior N(0, 1).

    The images stand edge to edge at the quantiles (i + 1/2) / n of each coordinate, so each stands
    for the same share of the prior (Kingma and Welling 2014, figure 4). z1 grows to the right, z2
    upwards.

    Args:
        decode: function of float32 latents `(n * n, 2)` that returns as many images.
        n: images along each axis.
        title: of the figure.
        path: file to write.

    Returns:
        The Figure.

    Raises:
        ValueError: if `n` is not positive or `decode` does not return `n * n` images.
        OSError: if `path` cannot be written.
    """
    n = positive(n, "n")
    normal = statistics.NormalDist()
    values = np.array([normal.inv_cdf((i + 0.5) / n) for i in range(n)], "float32")
    z1, z2 = np.meshgrid(values, values[::-1])  # the picture's first row is the largest z2
    pixels, note = _pixels(decode(np.stack([z1.ravel(), z2.ravel()], axis=1)), "decoded images")
    if len(pixels) != n * n:
        raise ValueError(f"decode returned {len(pixels)} images for {n * n} latents.")
    tiles = _fit(pixels, 1200 // n)
    height, width = tiles.shape[1:3]
    figure, axes = _picture(_tile(tiles, n, 0, 0), title, note, left=90, bottom=75, right=GAP)
    axes.set_axis_on()
    axes.spines[:].set_visible(False)
    shown = np.array(_ticks(n))
    names = [f"{value:.2f}".replace("-", "\N{MINUS SIGN}") for value in values[shown]]
    axes.set_xticks((shown + 0.5) * width, names)
    axes.set_yticks((n - shown - 0.5) * height, names)
    axes.tick_params(labelsize=9)
    axes.set_xlabel("$z_1$", size=12)
    axes.set_ylabel("$z_2$", size=12)
    return _finish(figure, path)


def latent_scatter(latents, labels=None, class_names=None, *, title=None, path=None):
    """Where a model puts images: one coloured point per image.

    Latents of more than two dimensions are projected on their two first principal axes, and the
    axes say so, with the share of the variance that each carries.

    Args:
        latents: `(N, D)` floats, D of 2 or more.
        labels: None, or N labels: integers, booleans or strings are classes with a legend, floats
            are a quantity with a colour bar.
        class_names: names of the classes 0, 1, ... for integer labels.
        title: of the figure.
        path: file to write.

    Returns:
        The Figure.

    Raises:
        ValueError: if the latents are not as above, none, or not finite, if there is not one label
            per point, or if a class has no name.
        OSError: if `path` cannot be written.
    """
    from matplotlib.lines import Line2D

    points = _array(latents)
    if points.ndim != 2 or points.shape[1] < 2:
        raise ValueError(f"latents must have shape (N, D), D of 2 or more; got {points.shape}.")
    if len(points) == 0 or not np.isfinite(points).all():
        raise ValueError("latents holds NaN or infinity." if len(points) else "latents is empty.")
    points, axis_names = _two_axes(points.astype("float64"))
    labels = _labels(labels, len(points))
    # A fixed random order: otherwise the last class would hide the others.
    order = np.random.default_rng(0).permutation(len(points))
    style = {"s": float(np.clip(12000 / len(points), 5, 40)), "alpha": 0.75, "linewidths": 0}

    figure, axes = chart(7.5, 6)
    if labels is None:
        axes.scatter(*points[order].T, color="C0", **style)
    elif labels.dtype.kind == "f":
        dots = axes.scatter(*points[order].T, c=labels[order], cmap="viridis", **style)
        figure.colorbar(dots, ax=axes, shrink=0.8).solids.set_alpha(1)
    else:
        classes, index = np.unique(labels, return_inverse=True)
        names = _names(classes, class_names)
        colours = _colours(len(classes))
        axes.scatter(*points[order].T, c=colours[index[order]], **style)
        handles = [Line2D([], [], ls="", marker="o", ms=7, mfc=c, mec="none") for c in colours]
        axes.legend(
            handles,
            names,
            loc="center left",
            bbox_to_anchor=(1.01, 0.5),
            frameon=False,
            handletextpad=0.2,
            ncols=math.ceil(len(classes) / 20),
        )
    axes.set_aspect("equal", adjustable="datalim")
    axes.set_xlabel(axis_names[0])
    axes.set_ylabel(axis_names[1])
    _headline(figure, title)
    return _finish(figure, path)


def losses(history, names=None, log=None, *, title=None, path=None):
    """Losses by epoch: a line for training and, dashed in the same colour, one for validation.

    Args:
        history: what `fit` returned, or a mapping of names to one value per epoch. Validation
            values may be fewer (`validation_freq`).
        names: which to draw, without `val_`; by default all but the learning rate.
        log: whether the vertical axis is logarithmic; by default it is if all values are positive
            and span a factor of 30 or more.
        title: of the figure.
        path: file to write.

    Returns:
        The Figure.

    Raises:
        ValueError: if there is nothing to draw, a name is unknown, or values do not fit the epochs.
        OSError: if `path` cannot be written.
    """
    curves = {name: _array(v).astype("float64") for name, v in _mapping(history).items()}
    known = dict.fromkeys(name.removeprefix("val_") for name in curves)
    names = [name for name in known if name != "learning_rate"] if names is None else list(names)
    if unknown := [name for name in names if name not in known]:
        raise ValueError(f"The history has no {unknown}; it has {list(known)}.")
    if not names or not any(curves[name].size for name in curves):
        raise ValueError("The history is empty: there is no loss to draw.")
    epochs = np.array(getattr(history, "epoch", None) or range(max(map(len, curves.values())))) + 1

    figure, axes = chart(8, 4.5)
    drawn = []
    for i, name in enumerate(names):
        for key, dashes, suffix in ((name, "-", ""), (f"val_{name}", "--", ", validation")):
            if key in curves:
                x = _epochs_of(curves[key], epochs, key)
                marker = "o" if len(epochs) <= 20 or len(x) == 1 else None
                label = name.replace("_", " ") + suffix
                axes.plot(
                    x, curves[key], dashes, color=f"C{i % 10}", marker=marker, ms=4, label=label
                )
                drawn.append(curves[key][np.isfinite(curves[key])])
    if _spans_decades(np.concatenate(drawn)) if log is None else log:
        axes.set_yscale("log")
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.set_xlabel("epoch")
    axes.set_ylabel("loss" if len(names) > 1 else names[0].replace("_", " "))
    axes.legend(frameon=False)
    _headline(figure, title)
    return _finish(figure, path)


def bands(
    x,
    curves,
    labels,
    expected=None,
    xlabel="",
    ylabel="",
    log=None,
    *,
    axes=None,
    title=None,
    path=None,
):
    """Repeated measurements: for each curve the mean, and a band that holds 90 % of the repeats.

    Of fewer than 10 repeats the band holds all. The legend says which.

    Args:
        x: `(N,)` numbers, at which was measured. If they are positive and span a factor of 30 or
            more the axis is logarithmic, with ticks at x.
        curves: `(C, repeats, N)` values.
        labels: C names for the legend.
        expected: None, or what should come out, a number: a dashed horizontal line.
        xlabel: what x is.
        ylabel: what the values are.
        log: whether the vertical axis is logarithmic; by default it is if all that is drawn is
            positive and spans a factor of 30 or more.
        axes: None, or Axes of a `chart` in which to draw; the title then stands over them alone.
        title: of the figure.
        path: file to write.

    Returns:
        The Figure.

    Raises:
        ValueError: if x or the curves are not as above, or labels are not C.
        OSError: if `path` cannot be written.
    """
    x, curves = _array(x), _array(curves).astype("float64")
    if x.ndim != 1 or x.size == 0:
        raise ValueError(f"x must have shape (N,), N of 1 or more; got {x.shape}.")
    if curves.ndim != 3 or 0 in curves.shape or curves.shape[2] != len(x):
        hint = " Curves without repeats need an axis: curves[:, None]." if curves.ndim == 2 else ""
        raise ValueError(
            f"curves must have shape (curves, repeats, {len(x)}), as x has {len(x)} values; got "
            f"{curves.shape}.{hint}"
        )
    labels = _texts([] if labels is None else labels, len(curves), "labels", "curve")
    repeats = curves.shape[1]
    ends, held = ([0.05, 0.95], "90 % of the") if repeats >= 10 else ([0, 1], f"all {repeats}")
    means, (lows, highs) = curves.mean(axis=1), np.quantile(curves, ends, axis=1)
    drawn = np.append([means, lows, highs], [] if expected is None else expected)

    alone = axes is None
    if alone:
        _, axes = chart(7.5, 4.5)
    marker = "o" if len(x) <= 20 else None
    for i, (mean, low, high) in enumerate(zip(means, lows, highs, strict=True)):
        axes.fill_between(x, low, high, color=f"C{i % 10}", alpha=0.25, lw=0)
        axes.plot(x, mean, color=f"C{i % 10}", marker=marker, ms=5, label=labels[i])
    if expected is not None:
        axes.axhline(expected, color=DARK, ls="--", lw=1, label="expected")
    if _spans_decades(x):
        shown = x[_ticks(len(x))]
        axes.set_xscale("log")
        axes.set_xticks(shown, [f"{value:g}" for value in shown])
        axes.set_xticks([], minor=True)
    elif x.dtype.kind in "iu":
        axes.xaxis.get_major_locator().set_params(integer=True)
    if _spans_decades(drawn) if log is None else log:
        axes.set_yscale("log")
    if xlabel:  # a chart may have given the axes one already
        axes.set_xlabel(xlabel)
    axes.set_ylabel(ylabel)
    what = f"mean, and {held} repeats" if repeats > 1 else None
    axes.legend(frameon=False, title=what, alignment="left")
    if alone:
        _headline(axes.figure, title)
    elif title is not None:
        axes.set_title(title)
    # Axes of a chart may have neighbours that are still empty: only what is complete is laid out.
    return _finish(axes.figure, path) if alone or path is not None else axes.figure


def computation_graph(nodes, *edges, labels=None, title=None, path=None):
    r"""What a model computes, and how the gradient comes back: one or more graphs side by side.

    Deterministic nodes are diamonds, random ones circles. Arrows lead forward; the gradient comes
    back in red, or pale and crossed out where it is blocked, above an edge or outside a steep one.

        computation_graph(
            {"x": (0, 0), "z": (1, 0), "L": (2, 0)},
            {"~x -> z": None, "z -> L": r"\partial L/\partial z"},
        )

    Args:
        nodes: mapping of names to places `(x, y)`, y upwards; the unit does not matter. The name
            is written in the node as mathematics: `\mu`, `\hat{x}`, `\mathrm{encoder}`.
        edges: for each graph, a mapping of edges `"start -> end"` to their gradients: None if there
            is none, "blocked", or the mathematics to write beside it, "" for nothing. A name with
            `~` before it is a random node. The graph has the nodes that its edges name.
        labels: None, or one text per graph, written over it; in it mathematics is `$...$`.
        title: of the figure.
        path: file to write.

    Returns:
        The Figure.

    Raises:
        ValueError: if nodes or edges are not as above, two nodes of a graph stand in one place,
            there is not one label per graph, or matplotlib cannot read the mathematics.
        OSError: if `path` cannot be written.
    """
    if not edges:
        raise ValueError("There is no graph to draw: pass the edges of one or more.")
    edges = [_edges(each) for each in edges]
    graphs = [_places(nodes, each) for each in edges]
    labels = _texts(labels, len(graphs), "labels", "graph") or [""] * len(graphs)
    # The unit is the distance of the two nearest nodes: a node is as large as they allow.
    pairs = [pair for places in graphs for pair in itertools.combinations(places.values(), 2)]
    unit = min(math.dist(*pair) for pair in pairs)
    graphs = [{name: xy / unit for name, xy in places.items()} for places in graphs]
    boxes = np.array([[f(list(g.values()), axis=0) for f in (np.min, np.max)] for g in graphs])
    (left, bottom), (right, top) = boxes[:, 0].T, boxes[:, 1].T
    width, height = (right - left).max() + 0.9, top.max() - bottom.min() + 0.8
    inches = min(1.65, 14 / (width * len(graphs)), 8 / height)

    figure, axes = chart(7.5, 4, columns=len(graphs))
    panels = np.ravel(axes)
    for panel, x, label in zip(panels, (left + right) / 2, labels, strict=True):
        panel.set(xlim=(x - width / 2, x + width / 2), aspect="equal")
        panel.set_ylim(bottom.min() - 0.4, top.max() + 0.4)
        panel.set_axis_off()
        panel.set_title(label, size=13)
    legend = figure.legend(
        handles=_graph_legend(edges),
        loc="outside lower center",
        ncols=5,
        frameon=False,
        fontsize=12,
    )
    heading = _headline(figure, title)
    # Room for the graphs and for all that is written around them.
    texts = [panel.title.get_window_extent() for panel in panels]
    around = max(text.height for text in texts) + legend.get_window_extent().height
    around += heading.get_window_extent().height if heading else 0
    column = max(inches * width, max(text.width for text in texts) / DPI + 0.3)
    size = max(7.5, column * len(graphs) + 0.3), inches * height + around / DPI + 0.5
    figure.set_size_inches(np.ceil(np.multiply(size, DPI)) / DPI)  # whole pixels
    for panel, places, each in zip(panels, graphs, edges, strict=True):
        _draw_graph(panel, places, each, inches)
    figure.draw_without_rendering()  # once more: equal aspects need two passes of the layout
    return _finish(figure, path)


def animation(paths_or_frames, path, seconds_per_frame=0.5, last=2.0, max_bytes=None):
    """Write an animated GIF that runs for ever.

    Args:
        paths_or_frames: image files, or images `(N, H, W, C)` (or a list of `(H, W, C)`), uint8 or
            floats in [-1, 1]; small images are magnified. Frames smaller than the largest one stand
            in its middle, on white.
        path: the file to write.
        seconds_per_frame: how long each is shown, a multiple of 0.01.
        last: seconds for which the last one is shown, if longer.
        max_bytes: None, or about how large the file may be. If all frames take more, they are shown
            in 64 colours, and down to half as wide, so that 24 of them fit, and as many as fit are
            chosen, evenly spaced; at least 8, however large. They take as long as all of them
            would, but at most half a second each.

    Returns:
        The path, a `pathlib.Path`.

    Raises:
        ValueError: if there are no frames, a frame is no image, or the time is below 0.01.
        OSError: if a frame cannot be read or `path` not be written.
    """
    if seconds_per_frame < 0.01:
        raise ValueError(f"seconds_per_frame must be 0.01 or more; got {seconds_per_frame!r}.")
    items = list(paths_or_frames)
    if not items:
        raise ValueError("An animation needs frames; there are none.")
    # Sizes first, so that never more than one frame is in memory with all its colours.
    size = tuple(np.max([_size(item) for item in items], axis=0).tolist())
    count, form = len(items), _FORMS[0]
    if max_bytes is not None:
        count, form = _as_fits(items, size, max_bytes)
    while True:
        frames = _frames(items, size, count, form)
        seconds = min(seconds_per_frame * len(items) / count, max(0.5, seconds_per_frame))
        milliseconds = [round(1000 * seconds)] * count
        milliseconds[-1] = max(milliseconds[-1], round(1000 * last))
        content = _gif(frames, duration=milliseconds, loop=0)
        if max_bytes is None or len(content) <= max_bytes or count <= _FEWEST:
            break
        count = max(_FEWEST, min(count - 1, count * max_bytes // len(content)))
    return _write(path, lambda target: target.write_bytes(content))


_FORMS = ((1.0, 256), (1.0, 64), (0.7, 64), (0.5, 64))  # of frames: their scale, their colours
_SMOOTH, _FEWEST = 24, 8  # frames of an animation that has to be small


def _as_fits(items, size, max_bytes):
    """How many frames fit, and in which form: the best in which so many do as look smooth."""
    for form in _FORMS:
        some = _frames(items, size, min(len(items), 3), form)
        count = max_bytes * len(some) // sum(len(_gif([frame])) for frame in some)
        if count >= min(len(items), _SMOOTH):
            break
    return min(len(items), max(count, _FEWEST)), form


def _frames(items, size, count, form):
    """So many of the frames, evenly spaced, with their colours chosen."""
    scale, colours = form
    smaller = tuple(round(side * scale) for side in size)
    chosen = np.linspace(0, len(items) - 1, count).round().astype(int) if count > 1 else [-1]
    pages = (_centred(_frame(items[i]), size) for i in chosen)
    return [
        (page if scale == 1 else page.resize(smaller, Image.Resampling.BOX)).quantize(colours)
        for page in pages
    ]


def _gif(frames, **options):
    file = io.BytesIO()
    frames[0].save(file, "GIF", save_all=True, append_images=frames[1:], **options)
    return file.getvalue()


def chart(width, height, rows=1, columns=1, xlabels=None):
    """An empty figure in the look of this module, for a plot of one's own.

    `save` writes it, `figure.show()` shows it, and so does a notebook at the end of a cell.

    Args:
        width: inches.
        height: inches.
        rows: rows of axes.
        columns: columns of axes.
        xlabels: for each column what the horizontal axis is that its axes share; None: each axes
            has one of its own.

    Returns:
        The Figure and its Axes, an array `(rows, columns)` of them if there are several.

    Raises:
        ValueError: if xlabels are not one per column.
    """
    xlabels = _texts(xlabels, columns, "xlabels", "column")
    figure = _figure(width * DPI, height * DPI)
    figure.set_layout_engine("constrained", w_pad=0.1, h_pad=0.1)
    axes = figure.subplots(rows, columns, sharex="col" if xlabels else False)
    for each in np.ravel(axes):
        each.grid(color="0.92")
        each.set_axisbelow(True)
        each.spines[["top", "right"]].set_visible(False)
    for each, label in zip(np.ravel(axes)[-columns:], xlabels, strict=False):
        each.set_xlabel(label)
    return figure, axes


def save(figure, path):
    """Write a Figure as PNG, or in the format of the path's suffix; returns the `pathlib.Path`.

    The folder is made, and the file appears complete or not at all.

    Raises:
        ValueError: if matplotlib does not know the suffix.
        OSError: if the path cannot be written.
    """
    kind = Path(path).suffix[1:] or "png"
    return _write(path, lambda target: figure.savefig(target, format=kind, dpi=figure.dpi))


def _write(path, write):
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write(temporary)
        os.replace(temporary, path)
    except OSError as error:
        reason = f"Cannot write the figure: {error.strerror or error}"
        raise OSError(error.errno or errno.EIO, reason, str(path)) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()
    return path


def _array(values):
    """A NumPy array of an array, a list or any backend's tensor."""
    return np.asarray(ops.convert_to_numpy(values))


def _columns(columns, default, n):
    return min(default if columns is None else positive(columns, "columns"), n)


def _texts(values, n, name, of):
    """What is written beside n things: a list of n strings, or of none."""
    if values is None:
        return []
    values = list(values)
    if len(values) != n:
        raise ValueError(f"{name} must be one for each {of}: {n}; got {len(values)}.")
    return [f"{v:.3g}" if isinstance(v, (float, np.floating)) else str(v) for v in values]


def _pixels(images, name="images"):
    """Images as they are shown, uint8 RGBA `(N, H, W, 4)`, and what the title must add."""
    images = _array(images)
    dtype, shape = images.dtype, images.shape
    if images.ndim not in (3, 4):
        hint = f" A single image needs a batch axis: {name}[None]." if images.ndim == 2 else ""
        raise ValueError(
            f"{name} must have shape (N, height, width, channels) or (N, height, width); got "
            f"{shape}.{hint}"
        )
    if 0 in shape:
        raise ValueError(f"{name} is empty: shape {shape}.")
    if dtype != np.uint8 and "float" not in str(dtype):
        raise ValueError(f"{name} must be uint8 in [0, 255] or floats in [-1, 1]; got {dtype}.")
    refuse_channels_first(shape, name)
    if images.ndim == 3:
        images = images[..., None]
    channels = images.shape[-1]
    note = "" if channels in (1, 3) else f"channel 1 of {channels}"
    if channels != 3:
        images = images[..., :1]
    if dtype == np.uint8:
        rgb = np.broadcast_to(images, (*images.shape[:3], 3))
    else:
        images = images.astype("float32")
        finite = np.isfinite(images)
        images = np.where(finite, images, np.float32(0))
        if images.min() >= 0 and images.max() > 2:
            raise ValueError(
                f"{name} has floats up to {images.max():.4g}, none negative; expected floats in "
                f"[-1, 1]. Pixels of 0 to 255: use {name}.astype('uint8')."
            )
        rgb = np.broadcast_to(to_uint8(images), (*images.shape[:3], 3)).copy()
        rgb[~finite.all(axis=-1)] = MAGENTA
    return np.concatenate([rgb, np.full_like(rgb[..., :1], 255)], axis=-1), note


def _fit(images, side):
    """Images magnified by an integer (pixels stay squares) or reduced, to at most `side` pixels."""
    height, width = images.shape[1:3]
    longest = max(height, width)
    side = max(side, min(longest, 32))  # tiny images are never reduced
    if factor := side // longest:
        return images.repeat(factor, axis=1).repeat(factor, axis=2)
    return resize(images, [max(1, round(n * side / longest)) for n in (height, width)])


def _tile(images, columns, gap_x, gap_y):
    """One picture of many; what lies between them is transparent."""
    height, width = images.shape[1] + gap_y, images.shape[2] + gap_x
    rows = math.ceil(len(images) / columns)
    canvas = np.zeros((rows * height - gap_y, columns * width - gap_x, 4), "uint8")
    for i, image in enumerate(images):
        y, x = i // columns * height, i % columns * width
        canvas[y : y + image.shape[0], x : x + image.shape[1]] = image
    return canvas


def _ticks(n):
    """Which of n positions carry a number: at most about 12, and -z wherever z does."""
    step = math.ceil(n / 12)
    lower = [i for i in range(0, n // 2, step) if n - 1 - 2 * i >= step]
    centred = n % 2 and (not lower or n // 2 - lower[-1] >= step)
    return lower + [n // 2] * bool(centred) + [n - 1 - i for i in reversed(lower)]


def _figure(width, height):
    """A Figure of so many pixels that notebooks show although pyplot was never imported."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width / DPI, height / DPI), dpi=DPI)
    figure._repr_png_ = functools.partial(_png, figure)
    figure.show = functools.partial(_show, figure)
    return figure


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


def _picture(canvas, title, note, left=0, right=0, top=0, bottom=0):
    """A figure that shows a canvas pixel by pixel with a margin around, and its axes.

    The axes count the canvas's pixels from its upper left corner.
    """
    height, width = canvas.shape[:2]
    left, right, top, bottom = left + MARGIN, right + MARGIN, top + MARGIN, bottom + MARGIN
    missing = max(0, 480 - (left + width + right))
    left, right = left + missing // 2, right + missing - missing // 2
    text = "" if title is None else str(title)
    if note:
        text = f"{text} ({note})" if text else note
    if text:
        lines = textwrap.wrap(text, (left + width + right) // 14)
        text, top = "\n".join(lines), top + 32 * len(lines)
    total = np.array([left + width + right, bottom + height + top])
    figure = _figure(*total)
    axes = figure.add_axes([*np.array([left, bottom]) / total, *np.array([width, height]) / total])
    axes.imshow(canvas, interpolation="nearest", extent=(0, width, height, 0))
    axes.set_axis_off()
    if text:
        figure.text(0.5, 1 - 12 / total[1], text, size=12, ha="center", va="top")
    return figure, axes


def _headline(figure, title):
    if title is None:
        return None
    return figure.suptitle(textwrap.fill(str(title), 75), size=13)


def _finish(figure, path):
    # Laid out once, so that a figure looks the same however often it is drawn.
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    if path is not None:
        save(figure, path)
    elif figure.canvas.manager is None:
        _register(figure)
    return figure


def _font_that_fits(texts, pixels):
    """Points at which the longest text is not wider than so many pixels, 9 at most."""
    longest = max((len(text) for text in texts), default=1)
    return float(np.clip(pixels * 72 / DPI / (0.62 * max(longest, 1)), 3, 9))


def _two_axes(points):
    """Points in two dimensions, and what the two axes are called."""
    dimensions = points.shape[1]
    if dimensions == 2:
        return points, ("$z_1$", "$z_2$")
    if len(points) < 2:
        raise ValueError(f"One point of {dimensions} dimensions has no principal axes.")
    centred = points - points.mean(axis=0)
    _, scales, directions = np.linalg.svd(centred, full_matrices=False)
    # The sign is arbitrary: the first of the largest coefficients is made positive, so that figures
    # are stable; what is as large within a thousandth is none the less, or rounding would decide.
    size = np.abs(directions[:2])
    largest = (size >= 0.999 * size.max(axis=1, keepdims=True)).argmax(axis=1)
    directions = directions[:2] * np.sign(directions[[0, 1], largest])[:, None]
    shares = 100 * scales[:2] ** 2 / max((scales**2).sum(), 1e-300)
    texts = [
        f"principal axis {i} of {dimensions} dimensions ({share:.0f} % of the variance)"
        for i, share in enumerate(shares, 1)
    ]
    return centred @ directions.T, texts


def _labels(labels, n):
    if labels is None:
        return None
    labels = _array(labels) if not isinstance(labels, (list, tuple)) else np.asarray(labels)
    if labels.shape == (n, 1):  # as some datasets have them
        labels = labels[:, 0]
    if labels.shape != (n,):
        hint = " One-hot labels: pass labels.argmax(axis=-1)." if labels.ndim == 2 else ""
        raise ValueError(f"labels must be one per point: ({n},); got shape {labels.shape}.{hint}")
    return labels


def _names(classes, class_names):
    if class_names is None or classes.dtype.kind not in "iub":
        return [str(name) for name in classes]
    if classes[0] < 0 or int(classes[-1]) >= len(class_names):
        raise ValueError(
            f"class_names has {len(class_names)} names; the labels run from {classes[0]} to "
            f"{classes[-1]}."
        )
    return [str(class_names[int(i)]) for i in classes]


def _colours(n):
    import matplotlib

    if n <= 20:
        return matplotlib.colormaps["tab10" if n <= 10 else "tab20"](np.arange(n))
    return matplotlib.colormaps["turbo"](np.linspace(0.05, 0.95, n))


def _spans_decades(values):
    """Whether a logarithmic axis serves these numbers; those that are none are not looked at."""
    values = values[np.isfinite(values)]
    return values.size > 0 and values.min() > 0 and values.max() >= 30 * values.min()


def _edges(edges):
    """A graph's edges, read: `(start, end)` to gradient, and the names of its random nodes."""
    if not hasattr(edges, "items") or not edges:
        raise ValueError(f'edges must map "start -> end" to gradients; got {edges!r}.')
    pairs, random = {}, set()
    for edge, gradient in edges.items():
        names = [name.strip() for name in str(edge).split("->")]
        random |= {name[1:] for name in names if name.startswith("~")}
        names = tuple(name.removeprefix("~") for name in names)
        if len(names) != 2 or names[0] == names[1]:
            raise ValueError(f'An edge is "start -> end", two nodes; got {edge!r}.')
        if gradient is not None and not isinstance(gradient, str):
            raise ValueError(
                f'The gradient of {edge!r} must be None, "blocked" or a text; got {gradient!r}.'
            )
        pairs[names] = gradient
    return pairs, random


def _places(nodes, edges):
    """Where the nodes of a graph stand: those that its edges name."""
    if not hasattr(nodes, "items"):
        raise ValueError(f"nodes must map names to places (x, y); got {nodes!r}.")
    pairs, _ = edges
    places = {}
    for name in dict.fromkeys(name for pair in pairs for name in pair):
        if name not in nodes:
            raise ValueError(f"There is no node {name!r}; nodes has {list(nodes)}.")
        place = np.asarray(nodes[name])
        if place.shape != (2,) or place.dtype.kind not in "iuf" or not np.isfinite(place).all():
            raise ValueError(f"The place of node {name!r} must be (x, y); got {nodes[name]!r}.")
        for other, there in places.items():
            if (there == place).all():
                raise ValueError(f"Nodes {other!r} and {name!r} stand in one place: {nodes[name]}.")
        places[name] = place
    return places


def _draw_graph(axes, places, edges, inches):
    """Draw a graph whose nearest nodes are 1 apart, at so many inches per unit."""
    from matplotlib.patches import Circle, RegularPolygon

    pairs, random = edges
    scale = inches / 1.65
    nodes = {}
    for name, xy in places.items():
        drawn = name in random
        node = Circle(xy, 0.23) if drawn else RegularPolygon(xy, 4, radius=0.3)
        node.set(facecolor=SAND if drawn else BLUE, edgecolor=DARK, lw=1.5)
        nodes[name] = axes.add_patch(node)
        text = axes.text(*xy, f"${name}$", ha="center", va="center", size=17 * scale)
        box = text.get_window_extent()
        needed = math.hypot(box.width, box.height) if drawn else box.width + box.height
        text.set_size(17 * scale * min(1, (0.4 if drawn else 0.5) * inches * DPI / needed))

    def arrow(start, end, bend, colour):
        look = {"arrowstyle": "-|>", "mutation_scale": 20 * scale, "lw": 2, "color": colour}
        look |= {"connectionstyle": f"arc3,rad={bend}", "shrinkA": 3, "shrinkB": 3}
        look |= {"patchA": nodes[start], "patchB": nodes[end]}
        axes.annotate("", places[end], places[start], arrowprops=look)

    centre = np.median([x for x, _ in places.values()])
    for (start, end), gradient in pairs.items():
        arrow(start, end, 0, DARK)
        if gradient is None:
            continue
        (dx, dy), middle = places[start] - places[end], (places[start] + places[end]) / 2
        length = math.hypot(dx, dy)
        right = np.array([dy, -dx]) / length  # of the gradient's way
        if abs(dy) < 0.6 * abs(dx):
            side = np.sign(right[1])  # above
        else:
            side = np.sign(right[0]) * (1 if middle[0] > centre + 1e-6 else -1)  # outside
        bend = side * min(0.3, 0.4 / length)
        arrow(end, start, bend, PALE if gradient == "blocked" else RED)
        top = middle + bend / 2 * length * right  # of the arc
        if gradient == "blocked":
            axes.plot(*top, "x", ms=15 * scale, mew=3 * scale, color=RED, zorder=5)
        elif gradient:
            x, y = side * right
            ha = "left" if x > 0.38 else "right" if x < -0.38 else "center"
            va = "bottom" if y > 0.6 else "top" if y < -0.6 else "center"
            place = top + 0.08 * side * right
            axes.text(*place, f"${gradient}$", color=RED, size=15 * scale, ha=ha, va=va)


def _graph_legend(graphs):
    """Handles for what the graphs show."""
    from matplotlib.lines import Line2D

    computed = any(
        name not in random for pairs, random in graphs for pair in pairs for name in pair
    )
    drawn = any(random for _, random in graphs)
    gradients = {gradient for pairs, _ in graphs for gradient in pairs.values()} - {None}
    node, cross = {"ls": "", "mec": DARK, "ms": 12}, {"marker": "x", "mec": RED, "mew": 3, "ms": 11}
    entries = [
        (computed, Line2D([], [], marker="D", mfc=BLUE, label="deterministic", **node)),
        (drawn, Line2D([], [], marker="o", mfc=SAND, label="random", **node)),
        (True, Line2D([], [], color=DARK, lw=2, label="forward")),
        (gradients - {"blocked"}, Line2D([], [], color=RED, lw=2, label="gradient")),
        ("blocked" in gradients, Line2D([], [], color=PALE, lw=2, label="blocked", **cross)),
    ]
    return [handle for shown, handle in entries if shown]


def _mapping(history):
    mapping = getattr(history, "history", history)
    if not hasattr(mapping, "items"):
        raise ValueError(
            f"history must be what fit returned or a dictionary of lists; got {type(history)}."
        )
    return mapping


def _epochs_of(values, epochs, name):
    """The epochs of a curve's values: all, or every f-th, as Keras's `validation_freq` does it."""
    for frequency in range(1, int(epochs.max()) + 1):
        chosen = epochs[epochs % frequency == 0]
        if len(chosen) == len(values):
            return chosen
    raise ValueError(f"{name!r} has {len(values)} values for {len(epochs)} epochs.")


def _frame(item):
    """A frame as an RGB image of Pillow; arrays are magnified to about 480 pixels."""
    if isinstance(item, (str, os.PathLike)):
        with Image.open(item) as image:
            return image.convert("RGB")
    pixels, _ = _pixels(_array(item)[None], "frames")
    return Image.fromarray(_fit(pixels, max(480, *pixels.shape[1:3]))[0, ..., :3].copy())


def _size(item):
    if isinstance(item, (str, os.PathLike)):
        check_regular(item)
        with Image.open(item) as image:
            return image.size
    return _frame(item).size


def _centred(frame, size):
    if frame.size == size:
        return frame
    page = Image.new("RGB", size, "white")
    page.paste(frame, ((size[0] - frame.width) // 2, (size[1] - frame.height) // 2))
    return page
