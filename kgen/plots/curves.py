"""Values over epochs, steps, or whatever else was changed."""

import numpy as np

from kgen.arrays import to_numpy
from kgen.plots.slide import Chart, slide
from kgen.plots.style import (
    DARK,
    GENERATED,
    JUDGE,
    MUTED,
    REAL,
    SERIES,
    WHITE,
    as_texts,
    tick_positions,
)
from kgen.plots.texts import Said, say

NAME_HEIGHT = 0.1  # of a level's name, of the height of a chart


class Curves(Chart):
    """Values by epoch, step, or anything else: a line for each, and levels to compare them with.

    Args:
        curves: dictionary from names to values `(N,)`, or to `(x, values)`.
        x: `(N,)`, where the values lie; by default 1, 2, ...
        colors: dictionary from names to colours; others take those of `SERIES` in turn.
        dashes: dictionary from names to line styles.
        levels: dictionary from names to numbers: dashed horizontal lines, named.
        log: whether the vertical axis is logarithmic; by default it is if all values are positive
            and span a factor of 30 or more.
        heading, options: as of `Chart`.
    """

    def __init__(
        self, curves, x=None, colors=(), dashes=(), levels=(), heading=None, log=None, **options
    ):
        super().__init__(heading, **options)
        self.curves, self.x, self.log = dict(curves), x, log
        if not self.curves:
            raise ValueError("Curves needs a curve; there are none.")
        self.colors, self.dashes, self.levels = dict(colors), dict(dashes), dict(levels)

    def plot(self, axes):
        """Draw the lines and levels."""
        free, drawn, whole = iter(SERIES * 20), [], True
        for name, values in self.curves.items():
            x, values = values if isinstance(values, tuple) else (self.x, values)
            values = np.asarray(values, "float64")
            x = np.arange(1, len(values) + 1) if x is None else np.asarray(x)
            whole = whole and x.dtype.kind in "iu"
            color = self.colors[name] if name in self.colors else next(free)
            marker = "o" if len(x) <= 20 else None
            dash = self.dashes.get(name, "-")
            axes.plot(x, values, dash, color=color, marker=marker, ms=6, label=say(name))
            drawn.append(np.stack([x, values])[:, np.isfinite(values)])
        points = np.concatenate(drawn, axis=1)
        if _spans_decades(points[1]) if self.log is None else self.log:
            axes.set_yscale("log")
        for name, level in self.levels.items():
            color = self.colors.get(name, MUTED)
            axes.axhline(level, color=color, ls="--", lw=1.5, zorder=1)
            at, side, up = _room_for_name(axes, level, *points)
            place = {"xycoords": ("axes fraction", "data"), "textcoords": "offset points"}
            place |= {"xytext": (8 * (at == 0), 4 if up else -4), "va": "bottom" if up else "top"}
            place |= {"ha": side, "color": color}
            place |= {"bbox": {"fc": WHITE, "ec": "none", "alpha": 0.8, "pad": 1}}
            axes.annotate(say(name), (at, level), **place)
        if whole:
            axes.xaxis.get_major_locator().set_params(integer=True)


def _room_for_name(axes, level, x, y):
    """Where a level's name meets no curve: part of the width, alignment, and whether above it.

    On the right and above, unless there is more room elsewhere.
    """
    scale = np.log10 if axes.get_yscale() == "log" else np.asarray
    low, high = scale(axes.get_ylim())
    y = (scale(y) - scale(level)) / (high - low)
    x = (x - x.min()) / max(np.ptp(x), 1)
    found = []
    for at, side in ((1, "right"), (0, "left"), (0.5, "center")):
        near = y[abs(x - (0.2 + 0.6 * at)) <= 0.2]
        for up in (True, False):
            edge = (high - scale(level)) / (high - low)
            distances = near[near > 0] if up else -near[near < 0]
            room = min([edge if up else 1 - edge, *distances])
            found.append((min(room, NAME_HEIGHT), at, side, up))
    return max(found, key=lambda place: place[0])[1:]


class Bands(Chart):
    """Repeated measurements: for each curve the mean, and a band that holds 90 % of the repeats.

    Of fewer than 10 repeats the band holds all. The legend says which.

    Args:
        x: `(N,)` numbers, at which was measured. If they are positive and span a factor of 30 or
            more the axis is logarithmic, with ticks at x.
        curves: `(C, repeats, N)` values, or a dictionary from names to `(repeats, N)`, or `(N,)`.
        labels: C names for the legend; of a dictionary, its names by default.
        expected: None, or what should come out, a number: a dashed horizontal line.
        log: whether the vertical axis is logarithmic; by default it is if all that is drawn is
            positive and spans a factor of 30 or more.
        colors: C colours; by default those of `SERIES`.
        heading, options: as of `Chart`.

    Raises:
        ValueError: if x or the curves are not as above, or labels are not C.
    """

    def __init__(
        self,
        x,
        curves,
        labels=None,
        expected=None,
        log=None,
        colors=SERIES,
        heading=None,
        **options,
    ):
        super().__init__(heading, **options)
        if hasattr(curves, "items"):
            labels = [*curves] if labels is None else labels
            curves = np.stack([np.atleast_2d(to_numpy(values)) for values in curves.values()])
        x, curves = to_numpy(x), to_numpy(curves).astype("float64")
        if x.ndim != 1 or x.size == 0:
            raise ValueError(f"x must have shape (N,), N of 1 or more; got {x.shape}.")
        if curves.ndim != 3 or 0 in curves.shape or curves.shape[2] != len(x):
            hint = (
                " Curves without repeats need an axis: curves[:, None]." if curves.ndim == 2 else ""
            )
            raise ValueError(
                f"curves must have shape (curves, repeats, {len(x)}), as x has {len(x)} values; "
                f"got {curves.shape}.{hint}"
            )
        self.labels = as_texts([] if labels is None else labels, len(curves), "labels", "curve")
        self.x, self.curves, self.expected = x, curves, expected
        self.log, self.colors = log, colors

    def plot(self, axes):
        """Draw means, bands, and what is expected."""
        x, curves = self.x, self.curves
        repeats = curves.shape[1]
        ends = [0.05, 0.95] if repeats >= 10 else [0, 1]
        means, (lows, highs) = curves.mean(axis=1), np.quantile(curves, ends, axis=1)
        drawn = np.append([means, lows, highs], [] if self.expected is None else self.expected)
        marker = "o" if len(x) <= 20 else None
        for i, (mean, low, high) in enumerate(zip(means, lows, highs, strict=True)):
            color = self.colors[i % len(self.colors)]
            axes.fill_between(x, low, high, color=color, alpha=0.25, lw=0)
            axes.plot(x, mean, color=color, marker=marker, ms=6, label=self.labels[i])
        if self.expected is not None:
            axes.axhline(self.expected, color=DARK, ls="--", lw=1.5, label=say("expected"))
        if _spans_decades(x):
            shown = x[tick_positions(len(x))]
            axes.set_xscale("log")
            axes.set_xticks(shown, [f"{value:g}" for value in shown])
            axes.set_xticks([], minor=True)
        elif x.dtype.kind in "iu":
            axes.xaxis.get_major_locator().set_params(integer=True)
        if _spans_decades(drawn) if self.log is None else self.log:
            axes.set_yscale("log")

    def _explain(self, axes):
        super()._explain(axes)
        repeats = self.curves.shape[1]
        if axes.get_legend() is not None and repeats > 1:
            held = "mean, and 90 % of the repeats" if repeats >= 10 else "mean, and all {n} repeats"
            axes.get_legend().set_title(say(held, n=repeats))
            axes.get_legend().set_alignment("left")


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
    lines, colors, dashes = {}, {}, {}
    for i, name in enumerate(names):
        said = say(name.replace("_", " "))
        validation = Said(f"{said}, {say('validation')}")
        for key, dash, label in ((name, "-", said), (f"val_{name}", "--", validation)):
            if key in curves:
                lines[label] = _epochs_of(curves[key], epochs, key), curves[key]
                colors[label], dashes[label] = SERIES[i % len(SERIES)], dash
    ylabel = "loss" if len(names) > 1 else names[0].replace("_", " ")
    panel = Curves(lines, colors=colors, dashes=dashes, log=log, xlabel="epoch", ylabel=ylabel)
    return slide(panel, title=title, path=path)


def adversarial(history, equilibrium=None):
    """What the two players of a GAN do by epoch, and, dashed, where they would be with D = 1/2.

    Args:
        history: what `fit` returned, or a mapping of names to one value per epoch.
        equilibrium: None, or the discriminator's and the generator's loss where D is 1/2.

    Returns:
        Two panels of a `slide`: the losses, and the discriminator's mean scores of real and of
        generated images.

    Raises:
        ValueError: if the history is not that of a GAN.
    """
    found, panels = _mapping(history), []
    players = {"discriminator": ("discriminator_loss", JUDGE)}
    players |= {"generator": ("generator_loss", GENERATED)}
    sides = {"real images": ("real_score", REAL), "generated images": ("fake_score", GENERATED)}
    if absent := [name for name, _ in [*players.values(), *sides.values()] if name not in found]:
        raise ValueError(f"The history has no {absent}; it has {[*found]}.")
    if equilibrium is None:
        levels = {}
    else:
        levels = {f"{p}, D = 1/2": v for p, v in zip(players, equilibrium, strict=True)}
    middle = {"D = 1/2": 0} if levels else {}
    for shown, at, ylabel in ((players, levels, "loss"), (sides, middle, "score")):
        colors = {name: color for name, (_, color) in shown.items()}
        colors |= {f"{name}, D = 1/2": color for name, color in colors.items()}
        curves = {name: found[key] for name, (key, _) in shown.items()}
        style = {"xlabel": "epoch", "ylabel": ylabel, "log": False}
        panels.append(Curves(curves, colors=colors, levels=at, **style))
    return panels


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
