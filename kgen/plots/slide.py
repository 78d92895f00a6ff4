"""A figure is a slide: panels beside and below each other under one sentence."""

import numpy as np

from kgen.plots.style import (
    DPI,
    LABEL,
    MUTED,
    SLIDE,
    TICK,
    TITLE,
    finish,
    in_lines,
    new_figure,
    styled,
)
from kgen.plots.texts import say

MARGIN = 30  # pixels around all panels
SPACE = 40  # pixels between two
LINE = 1.25  # height of a line of text, of its size
NARROWEST = 960  # pixels: a figure that a title fits over


def height_of(points):
    """How high a line of text of so many points is, in pixels."""
    return round(LINE * points * DPI / 72)


def width_of(text, points=LABEL):
    """How wide the widest line of a text is, in pixels, about."""
    longest = max((len(line) for line in str(text).split("\n")), default=0)
    return round(0.6 * longest * points * DPI / 72)


class Panel:
    """What a slide is made of. It is asked how much room it takes, then draws itself.

    Attributes:
        heading: a text over it, or None.
        share: its part of the width of its row, beside others that take what they get.
        flexible: whether it fills whatever room it gets.
    """

    heading, share, flexible = None, 1.0, False

    def rows(self):
        """Its part of the height of a slide, beside panels above and below."""
        return 1.0

    def size(self, width, height):
        """Width and height in pixels that it takes of such a room, its heading included."""
        raise NotImplementedError

    def draw(self, figure, box):
        """Draw into `(left, top, width, height)`, in pixels from the figure's upper left corner.

        Returns the Axes that have yet to be fitted into the box with all that is written around
        them, or None.
        """
        raise NotImplementedError


class Chart(Panel):
    """A panel that is one Axes with numbers; a subclass says what is plotted.

    Args:
        heading: a text over it.
        xlabel: what the horizontal axis is.
        ylabel: what the vertical axis is.
        share: its part of the width of its row.
        shape: height by width at most.
        legend: None for none, "below", "right", or a place within as matplotlib's `loc`.
    """

    flexible = True

    def __init__(self, heading=None, xlabel="", ylabel="", share=1.0, shape=0.75, legend="best"):
        self.heading, self.xlabel, self.ylabel = heading, xlabel, ylabel
        self.share, self.shape, self.legend = share, shape, legend

    def rows(self):
        """As three rows of images."""
        return 3.0

    def size(self, width, height):
        """All the width, and the height that its shape allows."""
        return width, min(height, round(width * self.shape))

    def plot(self, axes):
        """Draw into the Axes."""
        raise NotImplementedError

    def draw(self, figure, box):
        """Make the Axes, plot, and write what stands around."""
        left, top, width, height = box
        total = figure.get_size_inches() * DPI
        place = left / total[0], 1 - (top + height) / total[1], width / total[0], height / total[1]
        return self.into(figure.add_axes(place), width, height)

    def into(self, axes, width=SLIDE[0], height=SLIDE[1]):
        """Plot into Axes, also of one's own, and write what stands around; returns them."""
        self.plot(axes)
        if self.heading:
            axes.set_title(in_lines(say(self.heading), width, LABEL))
        if self.xlabel:
            axes.set_xlabel(in_lines(say(self.xlabel), 0.85 * width, LABEL))
        if self.ylabel:
            axes.set_ylabel(in_lines(say(self.ylabel), 0.85 * height, LABEL))
        self._explain(axes)
        return axes

    def _explain(self, axes):
        """Write the legend of all that has a label."""
        if not axes.get_legend_handles_labels()[0] or self.legend is None:
            return
        places = {
            "below": {"loc": "upper center", "bbox_to_anchor": (0.5, -0.16), "ncols": 2},
            "right": {"loc": "center left", "bbox_to_anchor": (1.01, 0.5)},
        }
        axes.legend(**places.get(self.legend, {"loc": self.legend}))


class Drawing(Chart):
    """A panel of one's own: `plot(axes)` draws it."""

    def __init__(self, plot, heading=None, **options):
        super().__init__(heading, **options)
        self._plot = plot

    def plot(self, axes):
        """Call the function."""
        self._plot(axes)


@styled
def slide(*panels, columns=None, title=None, caption=None, path=None):
    """Panels under one title: at most 1920 x 1080 pixels, with texts of one size whatever it shows.

    Args:
        panels: `Panel`s, in the order of reading; four are as many as one takes in.
        columns: panels in a row; by default all.
        title: one sentence: what to see.
        caption: a line below: model, data, size.
        path: file to write.

    Returns:
        The Figure.

    Raises:
        ValueError: if there are no panels, or what one shows is not as it says.
        OSError: if `path` cannot be written.
    """
    if not panels:
        raise ValueError("A slide needs a panel; there are none.")
    for panel in panels:
        if not isinstance(panel, Panel):
            raise ValueError(
                f"A slide is of panels, such as kgen.plots.Images(images); got {type(panel)}."
            )
    columns = columns or len(panels)
    rows = [panels[i : i + columns] for i in range(0, len(panels), columns)]
    between, (wide, high) = SPACE * (len(rows) - 1), SLIDE
    head, foot = _written(title, TITLE, wide), _written(caption, TICK, wide)
    sizes = _sizes(rows, wide - 2 * MARGIN, high - head[1] - foot[1] - between - 2 * MARGIN)
    widths = [sum(w for w, _ in row) + SPACE * (len(row) - 1) for row in sizes]
    if not any(panel.flexible for panel in panels):  # no wider than what it shows
        texts = width_of(head[0], TITLE), width_of(foot[0], TICK)
        wide = min(wide, max(NARROWEST, *(n + 2 * MARGIN for n in (*widths, *texts))))
    heights = [max(h for _, h in row) for row in sizes]
    high = head[1] + sum(heights) + between + foot[1] + 2 * MARGIN
    figure = new_figure(wide, high)
    if head[0]:
        figure.suptitle(head[0], y=1 - MARGIN / high, va="top", size=TITLE)
    if foot[0]:
        style = {"size": TICK, "color": MUTED, "ha": "center", "va": "bottom"}
        figure.text(0.5, MARGIN / high, foot[0], **style)
    top = MARGIN + head[1]
    for row, row_sizes, width, height in zip(rows, sizes, widths, heights, strict=True):
        left, charts = (wide - width) // 2, []
        for panel, (w, h) in zip(row, row_sizes, strict=True):
            lower = 0 if panel.flexible else (height - h) // 2
            box = left, top + lower, w, height if panel.flexible else h
            if (axes := panel.draw(figure, box)) is not None:
                charts.append((axes, box))
            left += w + SPACE
        _fit(charts, wide, high)
        top += height + SPACE
    return finish(figure, path)


def _written(text, points, width):
    """A text in lines for a figure of this width, and its height in pixels with a gap, or 0."""
    if text is None:
        return "", 0
    text = in_lines(say(text), width - 2 * MARGIN, points)
    return text, height_of(points) * (1 + text.count("\n")) + MARGIN // 2


def _sizes(rows, width, height):
    """Width and height of each panel of each row, in pixels, within so much room for all.

    Images take what they need, charts share what is left.
    """
    parts = [max(panel.rows() for panel in row) for row in rows]
    found = []
    for row, part in zip(rows, parts, strict=True):
        room, left = height * part / sum(parts), width - SPACE * (len(row) - 1)
        shares = sum(panel.share for panel in row)
        sizes = {p: p.size(left * p.share / shares, room) for p in row if not p.flexible}
        left -= sum(w for w, _ in sizes.values())
        shares = sum(panel.share for panel in row if panel.flexible)
        for panel in row:
            if panel.flexible:
                sizes[panel] = panel.size(left * panel.share / shares, room)
        found.append([tuple(round(n) for n in sizes[panel]) for panel in row])
    return found


def _fit(charts, wide, high):
    """Move Axes into their boxes with all that stands around them, those of a row on one line."""
    for _ in range(2):  # ticks may change with the size
        margins = []
        for axes, _ in charts:
            axes.apply_aspect()
            inner, outer = axes.get_window_extent(), axes.get_tightbbox()
            around = inner.x0 - outer.x0, inner.y0 - outer.y0, outer.x1 - inner.x1
            margins.append((*around, outer.y1 - inner.y1))
        if not margins:
            return
        margins = np.ceil(np.maximum(margins, 0))
        below, above = margins[:, 1].max(), margins[:, 3].max()
        for (axes, box), (before, _, after, _) in zip(charts, margins, strict=True):
            left, top, width, height = box
            x, y = left + before, high - top - height + below
            size = max(width - before - after, 1), max(height - below - above, 1)
            axes.set_position([x / wide, y / high, size[0] / wide, size[1] / high])
