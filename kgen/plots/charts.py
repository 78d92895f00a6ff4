"""Numbers by name, scores, matrices, points in a plane, and plots of one's own."""

import numpy as np

from kgen.arguments import positive
from kgen.arrays import to_numpy
from kgen.plots.scatter import named
from kgen.plots.slide import Chart
from kgen.plots.style import (
    DARK,
    GENERATED,
    GRADIENT,
    JUDGE,
    LABEL,
    MUTED,
    REAL,
    SERIES,
    WHITE,
    WRONG,
    as_texts,
    in_lines,
    probability_map,
    shades,
)
from kgen.plots.texts import Said, say


class Dots(Chart):
    """Numbers by name: a dot for the mean of repeats, a line from the least to the greatest.

    Args:
        values: dictionary from names, one below the other, to repeats `(R,)`, or to a dictionary
            from series to repeats.
        colors: dictionary from names, or from series, to colours; others are those of `SERIES`.
        levels: dictionary from names to numbers: dashed vertical lines, named.
        form: how the mean is written beside its dot, as `"{:.0%}"`; None: not at all.
        heading, options: as of `Chart`.
    """

    def __init__(self, values, colors=(), levels=(), form="{:.2f}", heading=None, **options):
        super().__init__(heading, **options)
        self.values = {
            name: v if isinstance(v, dict) else {None: v} for name, v in dict(values).items()
        }
        empty = [n for n, row in self.values.items() if not all(map(np.size, row.values()))]
        if empty or not self.values:
            raise ValueError(f"Dots needs at least one number for each name; none for {empty}.")
        self.colors, self.levels, self.form = dict(colors), dict(levels), form

    def plot(self, axes):
        """Draw dots, ranges and levels."""
        series = list(dict.fromkeys(s for row in self.values.values() for s in row))
        for y, (name, row) in enumerate(self.values.items()):
            for s, repeats in row.items():
                i = series.index(s)
                repeats = np.asarray(repeats, "float64").ravel()
                at = y + 0.6 * (i - (len(series) - 1) / 2) / max(len(series), 2)
                color = self.colors.get(name, self.colors.get(s, SERIES[i % len(SERIES)]))
                axes.plot([repeats.min(), repeats.max()], [at, at], color=color, lw=4, alpha=0.5)
                label = say(s) if s is not None and y == 0 else None
                axes.plot(repeats.mean(), at, "o", color=color, ms=10, label=label)
                if self.form:
                    text, place = self.form.format(repeats.mean()), (repeats.max(), at)
                    style = {"xytext": (12, 0), "textcoords": "offset points", "va": "center"}
                    axes.annotate(text, place, color=DARK, **style)
        for name, level in self.levels.items():
            axes.axvline(level, color=self.colors.get(name, MUTED), ls="--", lw=1.5, zorder=1)
            place = {"xycoords": ("data", "axes fraction"), "textcoords": "offset points"}
            place |= {"xytext": (0, 4), "ha": "center", "va": "bottom", "color": MUTED}
            axes.annotate(say(name), (level, 1), **place)
        axes.set_yticks(range(len(self.values)), [say(name) for name in self.values], size=LABEL)
        axes.set_ylim(len(self.values) - 0.5, -0.5)
        axes.grid(axis="y", visible=False)
        axes.margins(x=0.12)


class Roc(Chart):
    """Receiver operating characteristics: each score by its AUROC.

    Args:
        scores: dictionary from names to scores `(N,)`, higher where a positive is more likely.
        positive: `(N,)` booleans.
        colors: dictionary from names to colours; others are those of `SERIES`.
        heading, options: as of `Chart`.
    """

    def __init__(self, scores, positive, colors=(), heading=None, **options):
        super().__init__(heading, **{"shape": 1.0, "legend": "lower right"} | options)
        self.scores, self.positive, self.colors = scores, np.asarray(positive, bool), dict(colors)
        for name, values in dict(scores).items():
            if np.shape(values) != self.positive.shape or self.positive.ndim != 1:
                raise ValueError(
                    f"Scores {name!r} and positive must both be (N,); got {np.shape(values)} and "
                    f"{self.positive.shape}."
                )

    def plot(self, axes):
        """Draw the curves, and chance."""
        free = iter(SERIES * 20)
        for name, scores in self.scores.items():
            order = np.argsort(-np.asarray(scores), kind="stable")
            ordered, hit = np.asarray(scores)[order], self.positive[order]
            last = np.append(ordered[1:] != ordered[:-1], True)  # equal scores are one step
            found = np.append(0, hit.cumsum()[last] / max(hit.sum(), 1))
            false = np.append(0, (~hit).cumsum()[last] / max((~hit).sum(), 1))
            area = np.trapezoid(found, false)
            color = self.colors[name] if name in self.colors else next(free)
            axes.plot(false, found, color=color, label=f"{say(name)}: {area:.2f}")
        axes.plot([0, 1], [0, 1], "--", color=MUTED, lw=1.5, label=say("chance: 0.50"))
        axes.set(xlim=(-0.01, 1), ylim=(0, 1.01), aspect="equal")


class Heat(Chart):
    """A matrix as a map, and its numbers where they are given a form.

    Args:
        values: `(rows, columns)`.
        rows: None, or a name for each row.
        columns: None, or a name for each column.
        form: None, or how numbers are written into the fields, as `"{:.0f}"`.
        bar: whether a colour bar tells the values.
        heading, options: as of `Chart`.
    """

    def __init__(
        self, values, rows=None, columns=None, form=None, bar=False, heading=None, **options
    ):
        super().__init__(heading, **{"shape": 1.0} | options)
        self.values, self.form, self.bar = np.asarray(values, "float64"), form, bar
        if self.values.ndim != 2 or not self.values.size:
            raise ValueError(f"values must be (rows, columns); got {self.values.shape}.")
        self.names = [
            as_texts(names, n, what, what[:-1])
            for names, n, what in zip(
                (rows, columns), self.values.shape, ("rows", "columns"), strict=True
            )
        ]

    def plot(self, axes):
        """Draw the map, its numbers and its names."""
        picture = axes.imshow(self.values, aspect="equal")
        axes.grid(False)
        axes.spines[:].set_visible(False)
        if self.form:
            middle = (self.values.min() + self.values.max()) / 2
            for (i, j), value in np.ndenumerate(self.values):
                color = WHITE if value < middle else DARK
                axes.text(j, i, self.form.format(value), ha="center", va="center", color=color)
        rows, columns = self.names
        axes.set_yticks(range(len(rows)), rows)
        axes.set_xticks(range(len(columns)), columns, rotation=45, ha="right")
        if self.bar:
            axes.figure.colorbar(picture, ax=axes, shrink=0.8)


class Table(Chart):
    """Texts in rows and columns, as beside rows of images, with which they are on one line.

    Args:
        cells: rows of texts, as many in each; the first row may be what the columns are.
        marked: places `(row, column)`, from 0, that stand out.
        heading, options: as of `Chart`.

    Raises:
        ValueError: if there are no cells, or rows of different lengths.
    """

    def __init__(self, cells, marked=(), heading=None, **options):
        super().__init__(heading, **{"shape": 0.1} | options)  # as high as what stands beside
        self.cells, self.marked = [list(row) for row in cells], set(marked)
        if len({len(row) for row in self.cells}) != 1 or not self.cells[0]:
            raise ValueError(f"cells must be rows of as many texts each; got {self.cells}.")

    def plot(self, axes):
        """Write the texts."""
        rows, columns = len(self.cells), len(self.cells[0])
        axes.set(xlim=(0, columns), ylim=(rows, 0))
        axes.set_axis_off()
        width = axes.get_window_extent().width / columns - 10
        for i, row in enumerate(self.cells):
            for j, text in enumerate(row):
                look = {"color": DARK}
                if (i, j) in self.marked:
                    look = {"color": WRONG, "weight": "bold"}
                    look["bbox"] = {"fc": WHITE, "ec": WRONG, "lw": 2, "boxstyle": "round"}
                place = {"ha": "center", "va": "center", "size": LABEL}
                axes.text(j + 0.5, i + 0.5, in_lines(say(text), width, LABEL), **place, **look)


class Plane(Chart):
    """Points in a plane, over the probability or the density that a model gives to its places.

    Args:
        clouds: dictionary from names to points `(N, 2)`.
        ticks: `(T,)` floats, the places along each axis at which a map is given.
        probability: None, or `(T, T)` in [0, 1], rows upwards: white at 1/2, blue where real; or a
            function from places, float32 `(N, 2)`, to it.
        density: None, or `(T, T)`, rows upwards, or a function: lines of equal density.
        shade: None, or a colour: the density is shades of it (by its square root) and no lines.
        colors: dictionary from names to colours; "real points" and "generated points" have theirs.
        size: of the points.
        markers: dictionary from names to matplotlib's markers, such as `"$0$"`; others are dots.
        marks: dictionary from texts to points `(2,)`: stars, each with its text above.
        ways: None, or points `(N, T, 2)`: N lines, each through T places.
        arrows: None, or places and directions, both `(N, 2)`.
        heading, options: as of `Chart`.
    """

    def __init__(
        self,
        clouds,
        ticks=None,
        probability=None,
        density=None,
        shade=None,
        colors=(),
        size=5,
        markers=(),
        marks=(),
        ways=None,
        arrows=None,
        heading=None,
        **options,
    ):
        super().__init__(heading, **{"shape": 1.0} | options)
        self.ways, self.arrows, self.shade = ways, arrows, shade
        self.clouds, self.ticks, self.dots = dict(clouds), ticks, size
        self.probability, self.density = self._map(probability), self._map(density)
        self.markers, self.marks = dict(markers), dict(marks)
        self.colors = {"real points": REAL, "generated points": GENERATED} | dict(colors)

    def _map(self, values):
        """Values at the ticks, of a function where it is one."""
        if not callable(values):
            return values
        places = np.stack(np.meshgrid(self.ticks, self.ticks), axis=-1).astype("float32")
        return np.reshape(values(places.reshape(-1, 2)), places.shape[:2])

    def plot(self, axes):
        """Draw the map, then the points."""
        if self.probability is not None:
            probability_field(axes, self.ticks, self.probability)
        if self.density is not None and self.shade is not None:
            extent = [*self.ticks[[0, -1]]] * 2
            axes.imshow(np.sqrt(self.density), shades(self.shade), origin="lower", extent=extent)
        elif self.density is not None:
            axes.contour(self.ticks, self.ticks, self.density, colors=MUTED, linewidths=1)
        if self.ways is not None:
            axes.plot(*np.moveaxis(self.ways, 2, 0).swapaxes(1, 2), "-", color=MUTED, lw=1.2)
        if self.arrows is not None:
            style = {"color": GRADIENT, "angles": "xy", "scale_units": "xy", "scale": 1}
            style |= {"width": 0.006, "zorder": 1}  # below the points
            axes.quiver(*np.transpose(self.arrows[0]), *np.transpose(self.arrows[1]), **style)
        for name, points in self.clouds.items():
            color = self.colors.get(name, DARK)
            style = {"marker": self.markers.get(name, "o"), "color": color, "ls": "", "mew": 0}
            axes.plot(*np.asarray(points).T, ms=self.dots, alpha=0.7, **style)
            axes.plot([], [], ms=9, label=say(name), **style)
        for text, (x, y) in self.marks.items():
            axes.plot(x, y, "*", color=GRADIENT, ms=22, zorder=7)
            named(axes, x, y, text, xytext=(0, 22), textcoords="offset points")
        if self.ticks is not None:
            axes.set(xlim=(self.ticks[0], self.ticks[-1]), ylim=(self.ticks[0], self.ticks[-1]))
        axes.set(aspect="equal", xticks=[], yticks=[])
        axes.grid(False)


class Densities(Chart):
    """Densities p of real and q of generated points on a line, and what a discriminator D says.

    With the best discriminator of these densities, p / (p + q), dotted where there are points
    (Goodfellow et al., 2014, proposition 1 and figure 1).

    Args:
        ticks: `(T,)` places on the line.
        real: points `(N,)`.
        generated: points `(M,)`.
        probability: None, or `(T,)` in [0, 1], the discriminator's.
        moves: None, or latents `(K,)` and the points `(K,)` that they become: lines below.
        width: standard deviation of the Gaussian kernels that make densities of points.
        heading, options: as of `Chart`.
    """

    def __init__(
        self,
        ticks,
        real,
        generated,
        probability=None,
        moves=None,
        width=0.12,
        heading=None,
        **options,
    ):
        super().__init__(heading, **options)
        self.ticks, self.probability, self.moves = np.asarray(ticks), probability, moves
        self.real, self.generated = (self.density(x, width) for x in (real, generated))

    def density(self, points, width):
        """Kernel density of points at the ticks."""
        counts, edges = np.histogram(points, np.linspace(*self._ends(points, width), 1001))
        kernels = np.square((self.ticks[:, None] - (edges[1:] + edges[:-1]) / 2) / width)
        return np.exp(-0.5 * kernels) @ counts / (len(points) * width * np.sqrt(2 * np.pi))

    def _ends(self, points, width):
        reach = 6 * width  # what lies further away is not seen
        return self.ticks.min() - reach, self.ticks.max() + reach

    def best(self):
        """The best discriminator, NaN where points are rare."""
        total = self.real + self.generated
        return np.where(total > 0.1, self.real / np.maximum(total, 1e-9), np.nan)

    def plot(self, axes):
        """Draw the curves by name, and the lines from latents to points."""
        curves = {"p": (self.real, "-", REAL), "q": (self.generated, "-", GENERATED)}
        apart = self.real - self.generated
        at = {"p": apart.argmax(), "q": apart.argmin(), "D": len(self.ticks) // 40}
        if self.probability is not None:
            curves["D"] = self.probability, "--", JUDGE
            curves["best"] = self.best(), ":", JUDGE
            at["best"] = np.nan_to_num(self.best()).argmax()
        for name, (values, dash, color) in curves.items():
            axes.plot(self.ticks, values, dash, color=color, lw=3)
            place = self.ticks[at[name]], np.nan_to_num(values)[at[name]] + 0.09
            named(axes, *place, Said(name) if name in "pqD" else name, color)
        places, names = [0, 0.5, 1], ["0", "0.5", "1"]
        if self.moves is not None:
            axes.plot(self.moves, [-0.55, -0.15], color=GENERATED, lw=1.5, alpha=0.6)
            axes.hlines([-0.15, -0.55], *self.ticks[[0, -1]], color=DARK, lw=1)
            places, names = [-0.55, -0.15, *places], ["$z$", "$x$", "", *names[1:]]
            axes.set_ylim(bottom=-0.65)
        if self.probability is not None:
            axes.set_ylim(top=max(1.2, 1.1 * self.real.max(), 1.1 * self.generated.max()))
        axes.set(xlim=self.ticks[[0, -1]], xticks=[])
        axes.set_yticks(places, names)
        axes.grid(False)


class Histograms(Chart):
    """How numbers spread, by name: a histogram for each, all of the same bins and area.

    Args:
        values: dictionary from names to numbers `(N,)`.
        bins: over all of them.
        colors: dictionary from names to colours; others are those of `SERIES`.
        heading, options: as of `Chart`.

    Raises:
        ValueError: if there are no numbers, or some are not finite.
    """

    def __init__(self, values, bins=60, colors=(), heading=None, **options):
        super().__init__(heading, **options)
        self.values = {name: np.ravel(to_numpy(v)) for name, v in dict(values).items()}
        if not self.values or any(
            not v.size or not np.isfinite(v).all() for v in self.values.values()
        ):
            raise ValueError("Histograms needs finite numbers for each name.")
        self.bins, self.colors = bins, dict(colors)

    def plot(self, axes):
        """Draw the histograms, and the name of each at its highest bin."""
        ends = [f(v) for f in (np.min, np.max) for v in self.values.values()]
        edges, free = np.linspace(min(ends), max(ends), self.bins + 1), iter(SERIES * 20)
        for name, values in self.values.items():
            color = self.colors[name] if name in self.colors else next(free)
            shares = np.histogram(values, edges)[0] / len(values)
            axes.stairs(shares, edges, fill=True, color=color, alpha=0.45)
            axes.stairs(shares, edges, color=color, lw=2, label=say(name))
        axes.set_yticks([])


class Transport(Chart):
    """Generated points on a line, moved to real ones at the least cost: sorted, in their order.

    A histogram above of the generated points, one below, upside down, of the real ones, and lines
    that join equal quantiles: the optimal plan for any convex cost of the distance (Villani, 2003,
    theorem 2.18), whose price is `kgen.metrics.wasserstein_1d`.

    Args:
        generated: points `(N,)`.
        real: points `(M,)`.
        lines: how many join the two.
        bins: of each histogram, over all points.
        heading, options: as of `Chart`.

    Raises:
        ValueError: if the points are not as above, none, or not finite.
    """

    def __init__(self, generated, real, lines=40, bins=64, heading=None, **options):
        super().__init__(heading, **options)
        self.generated, self.real = to_numpy(generated), to_numpy(real)
        for name, points in (("generated", self.generated), ("real", self.real)):
            if points.ndim != 1 or not points.size or not np.isfinite(points).all():
                raise ValueError(
                    f"{name} must be finite points (N,), N of 1 or more; got {points.shape}."
                )
        self.lines, self.bins = positive(lines, "lines"), positive(bins, "bins")

    def plan(self):
        """Where each line begins, among the generated points, and ends: `(2, lines)`."""
        levels = (np.arange(self.lines) + 0.5) / self.lines
        return np.stack([np.quantile(points, levels) for points in (self.generated, self.real)])

    def plot(self, axes):
        """Draw the lines, then both histograms with their names."""
        axes.plot(self.plan(), [1, 0], color=DARK, lw=1)
        edges = np.histogram_bin_edges(np.append(self.generated, self.real), self.bins)
        above, below = (
            np.histogram(points, edges, density=True)[0] for points in (self.generated, self.real)
        )
        highest = max(above.max(), below.max())
        sides = (("generated", above, GENERATED, 1, 1), ("real", below, REAL, 0, -1))
        for name, density, color, base, up in sides:
            heights = base + up * density / highest
            axes.stairs(heights, edges, baseline=base, fill=True, color=color, alpha=0.7)
            place = 0.02, base + 0.75 * up
            named(axes, *place, name, color, ha="left", xycoords=("axes fraction", "data"))
        axes.set_ylim(-1.05, 2.05)
        axes.set_yticks([])
        axes.grid(False)


class Paths(Chart):
    """Ways of points in a plane, over lines of equal value of a function; a dot where each is.

    Args:
        paths: dictionary from names to points `(N, 2)` in their order.
        x: None, or `(X,)` places along the horizontal axis at which the function is given.
        y: None, or `(Y,)`, along the vertical one.
        values: None, or `(Y, X)`, the function.
        colors: dictionary from names to colours; others are those of `SERIES`.
        heading, options: as of `Chart`.
    """

    def __init__(self, paths, x=None, y=None, values=None, colors=(), heading=None, **options):
        super().__init__(heading, **{"shape": 0.6, "legend": "right"} | options)
        self.paths, self.x, self.y, self.values = dict(paths), x, y, values
        self.colors = dict(zip(self.paths, SERIES * 20, strict=False)) | dict(colors)

    def plot(self, axes):
        """Draw the lines of equal value, then the ways."""
        if self.values is not None:
            style = {"colors": MUTED, "linewidths": 1, "alpha": 0.5}
            axes.contour(self.x, self.y, self.values, 12, **style)
            axes.set(xlim=(self.x[0], self.x[-1]), ylim=(self.y[0], self.y[-1]))
        for name, points in self.paths.items():
            points = np.asarray(points)
            style = {"color": self.colors[name], "markevery": [-1], "ms": 14}
            axes.plot(*points.T, "-o", label=say(name), **style)
        axes.set_aspect("equal")
        axes.grid(False)


def probability_field(axes, ticks, probability):
    """A map of a probability to be real under all else, with the line at which it is 1/2."""
    ends = ticks[0], ticks[-1]
    look = {"cmap": probability_map(), "vmin": 0, "vmax": 1, "origin": "lower", "alpha": 0.75}
    axes.imshow(probability, extent=(*ends, *ends), interpolation="bilinear", zorder=0, **look)
    axes.contour(ticks, ticks, probability, [0.5], colors=JUDGE, linewidths=1.5, zorder=1)
