"""Axes with numbers: latents, losses, repeated measurements, and plots of one's own."""

import functools
import math

import numpy as np

from kgen.arrays import to_numpy
from kgen.linear_algebra import stoppable
from kgen.plots.style import (
    DARK,
    DPI,
    as_texts,
    finish,
    headline,
    new_figure,
    tick_positions,
)


def chart(width, height, rows=1, columns=1, xlabels=None):
    """An empty figure in the look of the others, for a plot of one's own.

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
    xlabels = as_texts(xlabels, columns, "xlabels", "column")
    figure = new_figure(width * DPI, height * DPI)
    figure.set_layout_engine("constrained", w_pad=0.1, h_pad=0.1)
    axes = figure.subplots(rows, columns, sharex="col" if xlabels else False)
    for each in np.ravel(axes):
        each.grid(color="0.92")
        each.set_axisbelow(True)
        each.spines[["top", "right"]].set_visible(False)
    for each, label in zip(np.ravel(axes)[-columns:], xlabels, strict=False):
        each.set_xlabel(label)
    return figure, axes


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

    points = to_numpy(latents)
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
        colors = _colors(len(classes))
        axes.scatter(*points[order].T, c=colors[index[order]], **style)
        handles = [Line2D([], [], ls="", marker="o", ms=7, mfc=c, mec="none") for c in colors]
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
    headline(figure, title)
    return finish(figure, path)


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
    curves = {name: to_numpy(v).astype("float64") for name, v in _mapping(history).items()}
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
    headline(figure, title)
    return finish(figure, path)


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
    x, curves = to_numpy(x), to_numpy(curves).astype("float64")
    if x.ndim != 1 or x.size == 0:
        raise ValueError(f"x must have shape (N,), N of 1 or more; got {x.shape}.")
    if curves.ndim != 3 or 0 in curves.shape or curves.shape[2] != len(x):
        hint = " Curves without repeats need an axis: curves[:, None]." if curves.ndim == 2 else ""
        raise ValueError(
            f"curves must have shape (curves, repeats, {len(x)}), as x has {len(x)} values; got "
            f"{curves.shape}.{hint}"
        )
    labels = as_texts([] if labels is None else labels, len(curves), "labels", "curve")
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
        shown = x[tick_positions(len(x))]
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
        headline(axes.figure, title)
    elif title is not None:
        axes.set_title(title)
    # Axes of a chart may have neighbours that are still empty: only what is complete is laid out.
    return finish(axes.figure, path) if alone or path is not None else axes.figure


def _two_axes(points):
    """Points in two dimensions, and what the two axes are called."""
    dimensions = points.shape[1]
    if dimensions == 2:
        return points, ("$z_1$", "$z_2$")
    if len(points) < 2:
        raise ValueError(f"One point of {dimensions} dimensions has no principal axes.")
    centered = points - points.mean(axis=0)
    svd = functools.partial(np.linalg.svd, full_matrices=False)
    _, scales, directions = stoppable(svd, centered, what="Principal axes")
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
    return centered @ directions.T, texts


def _labels(labels, n):
    if labels is None:
        return None
    labels = to_numpy(labels) if not isinstance(labels, (list, tuple)) else np.asarray(labels)
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


def _colors(n):
    import matplotlib

    if n <= 20:
        return matplotlib.colormaps["tab10" if n <= 10 else "tab20"](np.arange(n))
    return matplotlib.colormaps["turbo"](np.linspace(0.05, 0.95, n))


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


def _spans_decades(values):
    """Whether a logarithmic axis serves these numbers; those that are none are not looked at."""
    values = values[np.isfinite(values)]
    return values.size > 0 and values.min() > 0 and values.max() >= 30 * values.min()
