"""What every figure must be: legible from the last row, whole, and in kgen's colours."""

import matplotlib
import numpy as np
from matplotlib.collections import Collection
from matplotlib.colors import to_hex
from matplotlib.image import AxesImage
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.text import Text

from kgen.plots import style

SMALLEST = 24  # pixels of a line of text on a slide of 1920 x 1080
COLORS = {
    to_hex(color)
    for value in vars(style).values()
    for color in (value.values() if isinstance(value, dict) else value if isinstance(value, tuple)
                  else [value])
    if isinstance(color, str) and color.startswith("#")
}  # fmt: skip
MAPS = {"cividis", "probability", "shades", "gray"}


def texts_of(figure):
    """The texts that can be seen, ticks and legends included."""
    hidden = {id(t) for axes in figure.axes for t in unseen(axes)}
    texts = (t for t in figure.findobj(Text) if id(t) not in hidden)
    return [t for t in texts if t.get_visible() and t.get_text().strip()]


def unseen(axes):
    """Labels of ticks beyond the ends of their axis, and all of an axis that is off."""
    for axis in (axes.xaxis, axes.yaxis):
        low, high = sorted(axis.get_view_interval())
        for tick in axis.majorTicks + axis.minorTicks:
            if not (axes.axison and low <= tick.get_loc() <= high):
                yield from (tick.label1, tick.label2)


def smallest_text(figure):
    """Height in pixels of the smallest text, the figure fitted to a slide."""
    width, height = figure.get_size_inches() * figure.dpi
    scale = min(1920 / width, 1080 / height) * figure.dpi / 72
    return min((t.get_fontsize() * scale for t in texts_of(figure)), default=np.inf)


def faults(figure):
    """What a lecturer would complain of: texts too small, cut or on each other; panels; colours."""
    figure.draw_without_rendering()
    found, texts = [], texts_of(figure)
    if (size := smallest_text(figure)) < SMALLEST:
        found.append(f"a text of {size:.1f} pixels")
    if len(figure.axes) > 4:
        found.append(f"{len(figure.axes)} panels")
    boxes = [(t, t.get_window_extent()) for t in texts]
    page = figure.bbox
    for i, (text, box) in enumerate(boxes):
        if box.x0 < -1 or box.y0 < -1 or box.x1 > page.x1 + 1 or box.y1 > page.y1 + 1:
            found.append(f"{text.get_text()!r} is cut")
        for other, there in boxes[:i]:
            if box.shrunk(0.9, 0.9).overlaps(there.shrunk(0.9, 0.9)) and not text.get_bbox_patch():
                found.append(f"{other.get_text()!r} and {text.get_text()!r} are on each other")
    return found + [f"colour {color}" for color in sorted(strange_colors(figure))]


def strange_colors(figure):
    """Colours of lines, areas and texts that are none of the style's."""
    colors = set()
    for artist in figure.findobj(lambda a: a.get_visible()):
        if isinstance(artist, AxesImage):
            if artist.get_array().ndim == 2 and artist.get_cmap().name not in MAPS:
                colors.add(artist.get_cmap().name)
        elif isinstance(getattr(artist, "colors", None), str):  # lines of equal values
            colors.add(to_hex(artist.colors))
        elif isinstance(artist, Collection) and artist.get_array() is not None:
            colors |= {artist.get_cmap().name} - MAPS
        elif isinstance(artist, Collection):
            both = [*artist.get_facecolor(), *artist.get_edgecolor()]
            colors |= {to_hex(color) for color in both if len(color) == 3 or color[3]}
        elif isinstance(artist, Line2D):
            colors.add(to_hex(artist.get_color()))
        elif isinstance(artist, Text):
            if artist.get_text().strip():
                colors.add(to_hex(artist.get_color()))
        elif isinstance(artist, Patch):
            edge = [artist.get_edgecolor()] if artist.get_linewidth() else []
            colors |= {to_hex(color) for color in [artist.get_facecolor(), *edge] if color[3]}
    default = {to_hex(matplotlib.rcParamsDefault["patch.edgecolor"])}
    return colors - COLORS - default
