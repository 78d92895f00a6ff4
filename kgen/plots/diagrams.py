"""Drawings of how things hang together: graphs of computations."""

import inspect
import itertools
import math
import re
import textwrap

import numpy as np

from kgen.plots.slide import Chart, height_of, width_of
from kgen.plots.style import (
    BLOCKED,
    COMPUTED,
    DARK,
    DPI,
    FAINT,
    GENERATED,
    GRADIENT,
    JUDGE,
    LABEL,
    MUTED,
    RANDOM,
    REAL,
    SLIDE,
    TICK,
    WHITE,
    as_texts,
    finish,
    headline,
    in_lines,
    lay_out,
    new_figure,
    styled,
)
from kgen.plots.texts import Said, say

KINDS = {  # of nodes: fill, edge
    "real": (REAL, REAL),
    "generated": (GENERATED, GENERATED),
    "latent": (RANDOM, DARK),
    "network": (COMPUTED, DARK),
    "judge": (FAINT, JUDGE),
    "loss": (WHITE, DARK),
    "name": (WHITE, WHITE),
}
MARKS = {'"': "real", "<": "generated", "(": "latent", "[": "network", "{": "judge"}
NODE = re.compile(r'\((?:[^()]|\([^()]*\))*\)|\[[^]]*\]|<[^>]*>|\{[^}]*\}|"[^"]*"')


SCHEMES = {  # of families by their names in `FAMILIES`: rows of `Scheme.of_rows`
    "gaussian": "(z) [dense layer:\n$\\mu + U z$] <x'>",
    "mixture": "(k, z) [$\\mu_k + U_k z$] <x'>",
    "autoencoder": '"x" [encoder] (z) [decoder] <x\'>',
    "vae": '"x" [encoder] (z ~ q(z|x)) [decoder] <x\'>',
    "gan": "(z) [generator] <x'> {discriminator: real?}",
    "flow": '"x" [$f$] (z) [$f^{-1}$] <x\'>',
    "diffusion": '"x" [+ noise,\nT times] ($x_T$) [denoiser,\nT times] <x\'>',
}


class Scheme(Chart):
    """What a model consists of: data, latents and networks, and what goes from one to another.

        Scheme(
            {"z": ("latent", 0, 0), "G": ("network", 1, 0, "generator"), "x": ("generated", 2, 0)},
            ["z -> G", "G -> x"],
        )

    Args:
        nodes: dictionary from names to `(kind, column, row)` or `(kind, column, row, text)`; kinds
            are "real", "generated", "latent", "network", "judge", "loss", and "name", which has no
            frame; row 0 is the uppermost, and fractions are places between. The text is the name if
            it is not given.
        edges: `"start -> end"`, or a dictionary from these to what is written beside.
        heading, options: as of `Chart`.

    Raises:
        ValueError: if a kind or the name in an edge is unknown.
    """

    def __init__(self, nodes, edges, heading=None, **options):
        super().__init__(heading, **{"shape": 0.4} | options)
        self.nodes = {name: (*node, name)[:4] for name, node in nodes.items()}
        if unknown := sorted({kind for kind, *_ in self.nodes.values()} - set(KINDS)):
            raise ValueError(f"Kinds of nodes are {', '.join(KINDS)}; got {', '.join(unknown)}.")
        self.edges = dict(edges) if hasattr(edges, "items") else dict.fromkeys(edges, "")
        for edge in self.edges:
            ends = edge.split(" -> ")
            if len(ends) != 2 or not set(ends) <= set(nodes):
                raise ValueError(f'An edge is "start -> end" of {list(nodes)}; got {edge!r}.')

    @classmethod
    def of_rows(cls, *rows, names=None, heading=None, **options):
        """Chains one below the other, each read from left to right.

            Scheme.of_rows("(z) [generator] <image> {discriminator}", "(z) [decoder] <image>")

        Args:
            rows: nodes: `(latent)`, `[network]`, `<generated>`, `{judge}`, `"real"`. What stands
                below each other is in one column.
            names: None, or what is written before each row.
            heading, options: as of `Chart`.

        Raises:
            ValueError: if a row is written otherwise.
        """
        names = as_texts(names, len(rows), "names", "row")
        nodes, edges = {}, []
        for i, row in enumerate(rows):
            found = NODE.findall(row)
            if not found or NODE.sub("", row).strip():
                raise ValueError(
                    f'A row is of (latent), [network], <generated>, {{judge}}, "real"; got {row!r}.'
                )
            for j, node in enumerate(found):
                nodes[f"{i}.{j}"] = MARKS[node[0]], j + bool(names), i, node[1:-1]
            edges += [f"{i}.{j} -> {i}.{j + 1}" for j in range(len(found) - 1)]
        for i, name in enumerate(names):
            nodes[name] = "name", 0, i, Said(in_lines(name, 250, LABEL))
        return cls(nodes, edges, heading, **options)

    def plot(self, axes):
        """Draw nodes, then arrows from edge to edge."""
        from matplotlib.patches import FancyBboxPatch

        box = axes.get_window_extent()
        axes.set(xlim=(0, box.width), ylim=(0, box.height))
        axes.set_axis_off()
        rows = 1 + max(row for _, _, row, _ in self.nodes.values())
        sizes, patches, places = {}, {}, {}
        for name, (*_, text) in self.nodes.items():
            width = width_of(say(text)) + 16
            height = height_of(LABEL) * (1 + say(text).count("\n")) + 10
            sizes[name] = max(width, height), height
        centers = self._columns({name: width for name, (width, _) in sizes.items()}, box.width)
        for name, (kind, column, row, text) in self.nodes.items():
            text, (width, height) = say(text), sizes[name]
            x = np.interp(column, range(len(centers)), centers)
            y = box.height - (row + 0.5) * box.height / rows
            fill, edge = KINDS[kind]
            round_by = height / 2 if kind == "latent" else 8
            look = {"boxstyle": f"round,pad=0,rounding_size={round_by}"}
            corner = x - width / 2, y - height / 2
            patch = FancyBboxPatch(corner, width, height, fc=fill, ec=edge, lw=1.5, **look)
            patches[name], places[name] = axes.add_patch(patch), (x, y)
            color = WHITE if kind in ("real", "generated") else DARK
            axes.text(x, y, text, ha="center", va="center", color=color, zorder=4)
        for edge, text in self.edges.items():
            start, end = edge.split(" -> ")
            look = {"arrowstyle": "-|>", "mutation_scale": 22, "lw": 2, "color": DARK}
            look |= {"patchA": patches[start], "patchB": patches[end], "shrinkA": 2, "shrinkB": 2}
            axes.annotate("", places[end], places[start], arrowprops=look)
            if text:
                x, y = np.mean([places[start], places[end]], axis=0)
                axes.text(x, y + 8, say(text), ha="center", va="bottom", color=MUTED)

    def _columns(self, widths, room):
        """Where the middle of each whole column is, with the same space between all."""
        count = 1 + math.ceil(max(column for _, column, *_ in self.nodes.values()))
        widest = np.zeros(count)
        for name, (_, column, *_) in self.nodes.items():
            if column == int(column):
                widest[int(column)] = max(widest[int(column)], widths[name])
        space = (room - widest.sum()) / count
        return widest.cumsum() - widest / 2 + space * (np.arange(count) + 0.5)


class Listing(Chart):
    """Lines of an algorithm or of code, some of them marked.

    Args:
        lines: texts.
        marked: numbers of the lines, from 0, that stand out.
        heading, options: as of `Chart`.
    """

    def __init__(self, lines, marked=(), heading=None, **options):
        self.lines, self.marked = list(lines), set(marked)
        height = (len(self.lines) + 1) * 1.15 * height_of(TICK)
        super().__init__(heading, **{"shape": height / (SLIDE[0] / 2)} | options)

    @classmethod
    def of_source(cls, function, first=0, last=None, **options):
        """Lines of the source of a function as they are, the definition itself not indented.

        Args:
            function: anything whose source `inspect` finds.
            first: number of the first line, from 0, which begins the definition.
            last: number of the line after the last one; None: all.
            options: as of the class.
        """
        lines = textwrap.dedent(inspect.getsource(function)).splitlines()
        return cls(lines[first:last], **options)

    def plot(self, axes):
        """Write the lines, one below the other."""
        axes.set(xlim=(0, 1), ylim=(len(self.lines), 0))
        axes.set_axis_off()
        for i, line in enumerate(self.lines):
            if i in self.marked:
                axes.axhspan(i, i + 1, color=RANDOM)
            style = {"family": "monospace", "size": TICK, "va": "center"}
            axes.text(0.01, i + 0.5, line, **style)


@styled
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
    labels = as_texts(labels, len(graphs), "labels", "graph") or [""] * len(graphs)
    # The unit is the distance of the two nearest nodes: a node is as large as they allow.
    pairs = [pair for places in graphs for pair in itertools.combinations(places.values(), 2)]
    unit = min(math.dist(*pair) for pair in pairs)
    graphs = [{name: xy / unit for name, xy in places.items()} for places in graphs]
    boxes = np.array([[f(list(g.values()), axis=0) for f in (np.min, np.max)] for g in graphs])
    (left, bottom), (right, top) = boxes[:, 0].T, boxes[:, 1].T
    width, height = (right - left).max() + 0.9, top.max() - bottom.min() + 0.8
    inches = min(1.65, 12 / (width * len(graphs)), 5 / height)

    figure = new_figure(7.5 * DPI, 4 * DPI)
    figure.set_layout_engine("constrained", w_pad=0.1, h_pad=0.1)
    panels = figure.subplots(1, len(graphs), squeeze=False)[0]
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
    heading = headline(figure, title)
    # Room for the graphs and for all that is written around them.
    texts = [panel.title.get_window_extent() for panel in panels]
    around = max(text.height for text in texts) + legend.get_window_extent().height
    around += heading.get_window_extent().height if heading else 0
    column = max(inches * width, max(text.width for text in texts) / DPI + 0.3)
    size = max(7.5, column * len(graphs) + 0.3), inches * height + around / DPI + 0.5
    figure.set_size_inches(np.ceil(np.multiply(size, DPI)) / DPI)  # whole pixels
    for panel, places, each in zip(panels, graphs, edges, strict=True):
        _draw_graph(panel, places, each, inches)
    lay_out(figure)  # once more: equal aspects need two passes of the layout
    return finish(figure, path)


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
        node.set(facecolor=RANDOM if drawn else COMPUTED, edgecolor=DARK, lw=1.5)
        nodes[name] = axes.add_patch(node)
        text = axes.text(*xy, f"${name}$", ha="center", va="center", size=17 * scale)
        box = text.get_window_extent()
        needed = math.hypot(box.width, box.height) if drawn else box.width + box.height
        text.set_size(17 * scale * min(1, (0.4 if drawn else 0.5) * inches * DPI / needed))

    def arrow(start, end, bend, color):
        look = {"arrowstyle": "-|>", "mutation_scale": 20 * scale, "lw": 2, "color": color}
        look |= {"connectionstyle": f"arc3,rad={bend}", "shrinkA": 3, "shrinkB": 3}
        look |= {"patchA": nodes[start], "patchB": nodes[end]}
        axes.annotate("", places[end], places[start], arrowprops=look)

    center = np.median([x for x, _ in places.values()])
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
            side = np.sign(right[0]) * (1 if middle[0] > center + 1e-6 else -1)  # outside
        bend = side * min(0.3, 0.4 / length)
        arrow(end, start, bend, BLOCKED if gradient == "blocked" else GRADIENT)
        top = middle + bend / 2 * length * right  # of the arc
        if gradient == "blocked":
            axes.plot(*top, "x", ms=15 * scale, mew=3 * scale, color=GRADIENT, zorder=5)
        elif gradient:
            x, y = side * right
            ha = "left" if x > 0.38 else "right" if x < -0.38 else "center"
            va = "bottom" if y > 0.6 else "top" if y < -0.6 else "center"
            place = top + 0.08 * side * right
            axes.text(*place, f"${gradient}$", color=GRADIENT, size=15 * scale, ha=ha, va=va)


def _graph_legend(graphs):
    """Handles for what the graphs show."""
    from matplotlib.lines import Line2D

    computed = any(
        name not in random for pairs, random in graphs for pair in pairs for name in pair
    )
    drawn = any(random for _, random in graphs)
    gradients = {gradient for pairs, _ in graphs for gradient in pairs.values()} - {None}
    node = {"ls": "", "mec": DARK, "ms": 12}
    cross = {"marker": "x", "mec": GRADIENT, "mew": 3, "ms": 11}
    entries = [
        (computed, Line2D([], [], marker="D", mfc=COMPUTED, label="deterministic", **node)),
        (drawn, Line2D([], [], marker="o", mfc=RANDOM, label="random", **node)),
        (True, Line2D([], [], color=DARK, lw=2, label="forward")),
        (gradients - {"blocked"}, Line2D([], [], color=GRADIENT, lw=2, label="gradient")),
        ("blocked" in gradients, Line2D([], [], color=BLOCKED, lw=2, label="blocked", **cross)),
    ]
    return [handle for shown, handle in entries if shown]
