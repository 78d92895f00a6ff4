import inspect

import matplotlib
import numpy as np
import pytest

from kgen import plots

VAE = {"f": (2, 6), "z": (2, 3), r"\mu": (0, 0), r"\sigma": (4, 0), r"\epsilon": (5.3, 3)}
DRAWN = {"~z -> f": r"\partial f", r"\mu -> z": "blocked", r"\sigma -> z": "blocked"}
COMPUTED = {"z -> f": r"\partial f", r"\mu -> z": "1", r"\sigma -> z": "s", r"~\epsilon -> z": None}
GAN = {"z": (0, 1), "G": (1, 1), "x": (1, 0), "D": (2, 0.5), "L": (3, 0.5)}
STEP = {"~z -> G": None, "G -> D": "blocked", "~x -> D": None, "D -> L": r"\partial L/\partial D"}
CHAIN = {"x": (0, 0), r"\mathrm{encoder}": (1, 0), "z": (2, 0)}
LINKS = {r"~x -> \mathrm{encoder}": "", r"\mathrm{encoder} -> z": r"\partial L/\partial z"}


def nodes_of(axes):
    """Name to place and kind of what a graph shows."""
    shown = [text for text in axes.texts if text.get_text()]
    named = {tuple(text.get_position()): text.get_text()[1:-1] for text in shown}
    places = [node.center if hasattr(node, "center") else node.xy for node in axes.patches]
    kinds = [type(node).__name__ for node in axes.patches]
    return {named[tuple(at)]: (at, kind) for at, kind in zip(places, kinds, strict=True)}


def arrows_of(axes):
    """Start, end and colour of a graph's arrows, by the nodes' names."""
    names = {tuple(at): name for name, (at, _) in nodes_of(axes).items()}
    arrows = [text for text in axes.texts if getattr(text, "arrow_patch", None)]
    return [
        (names[tuple(arrow.xyann)], names[tuple(arrow.xy)],
         matplotlib.colors.to_hex(arrow.arrow_patch.get_edgecolor()))
        for arrow in arrows
    ]  # fmt: skip


def curves_of(axes):
    """The drawn arrows as polygons in pixels."""
    arrows = [text.arrow_patch for text in axes.texts if getattr(text, "arrow_patch", None)]
    return [matplotlib.path.Path(line) for arrow in arrows
            for line in arrow.get_path().to_polygons(closed_only=False)]  # fmt: skip


def test_graph_of_a_drawn_and_of_a_computed_latent():
    figure = plots.computation_graph(VAE, DRAWN, COMPUTED, labels=["drawn", "computed"])
    left, right = figure.axes
    assert (left.get_title(), right.get_title()) == ("drawn", "computed")
    diamond = {name: kind for name, (_, kind) in nodes_of(left).items()}
    assert diamond == {
        "f": "RegularPolygon", "z": "Circle", r"\mu": "RegularPolygon", r"\sigma": "RegularPolygon"
    }  # fmt: skip
    kinds = {name: kind for name, (_, kind) in nodes_of(right).items()}
    assert [name for name, kind in kinds.items() if kind == "Circle"] == [r"\epsilon"]
    assert set(kinds) == set(VAE)

    assert sorted(arrows_of(left)) == sorted(
        [("z", "f", plots.DARK.lower()), ("f", "z", plots.GRADIENT.lower())]
        + [(name, "z", plots.DARK.lower()) for name in (r"\mu", r"\sigma")]
        + [("z", name, plots.BLOCKED.lower()) for name in (r"\mu", r"\sigma")]
    )
    assert sorted(arrows_of(right)) == sorted(
        [
            ("z", "f", plots.DARK.lower()),
            ("f", "z", plots.GRADIENT.lower()),
            (r"\epsilon", "z", plots.DARK.lower()),
        ]
        + [(name, "z", plots.DARK.lower()) for name in (r"\mu", r"\sigma")]
        + [("z", name, plots.GRADIENT.lower()) for name in (r"\mu", r"\sigma")]
    )
    assert [len(axes.get_lines()) for axes in figure.axes] == [2, 0]  # crosses
    shown = [text.get_text() for text in figure.legends[0].get_texts()]
    assert shown == ["deterministic", "random", "forward", "gradient", "blocked"]


def test_graph_legend_names_only_what_is_there():
    def shown(edges):
        figure = plots.computation_graph(GAN, edges)
        return [text.get_text() for text in figure.legends[0].get_texts()]

    assert shown({"z -> G": None}) == ["deterministic", "forward"]
    assert shown({"~z -> ~G": ""}) == ["random", "forward", "gradient"]
    assert shown({"z -> G": "blocked"}) == ["deterministic", "forward", "blocked"]


@pytest.mark.parametrize("unit", [0.01, 1, 250])
def test_graph_keeps_the_places_whatever_the_unit(unit):
    nodes = {name: np.multiply(place, unit) for name, place in VAE.items()}
    figure = plots.computation_graph(nodes, DRAWN, COMPUTED)
    for axes in figure.axes:
        assert axes.get_aspect() == 1
        for name, (place, _) in nodes_of(axes).items():
            np.testing.assert_allclose(3 * np.asarray(place), VAE[name])  # the nearest are 3 apart
    left, right = ({n: axes.transData.transform(at) for n, (at, _) in nodes_of(axes).items()}
                   for axes in figure.axes)  # fmt: skip
    for name, place in left.items():
        np.testing.assert_allclose((place - left["z"]), right[name] - right["z"], atol=1e-6)
        assert abs(place[1] - right[name][1]) < 1e-6


def test_gradients_stand_above_flat_edges_and_outside_steep_ones():
    def place(nodes, edges, text):
        (axes,) = plots.computation_graph(nodes, edges).axes
        (found,) = [each for each in axes.texts if each.get_text() == f"${text}$"]
        return found.get_position()

    for ends in ("a -> b", "b -> a"):
        x, y = place({"a": (0, 0), "b": (1, 0)}, {ends: "g"}, "g")
        assert x == pytest.approx(0.5) and y > 0.1
        x, y = place({"a": (0, 0), "b": (0, 1)}, {ends: "g"}, "g")
        assert x < -0.1 and y == pytest.approx(0.5)
    for sign in (1, -1):  # a V, and upside down
        nodes = {"a": (-1, sign), "b": (1, sign), "c": (0, 0)}
        edges = {"a -> c": "g", "b -> c": "h"}
        scale = 1 / np.sqrt(2)
        for text, side in (("g", -1), ("h", 1)):
            x, y = place(nodes, edges, text)
            assert side * x > scale / 2 + 0.05 and 0 < sign * y < scale / 2 - 0.05


@pytest.mark.parametrize(
    ("nodes", "edges", "labels"),
    [
        (VAE, [DRAWN, COMPUTED], ["a heading that is longer than its graph is wide " * 2, "b\nc"]),
        (GAN, [STEP, STEP, STEP], None),
        (CHAIN, [LINKS], ["An encoder"]),
        ({"a": (0, 0), "b": (0, 9)}, [{"a -> b": r"\partial L/\partial a"}], None),
        ({str(i): (i, 0) for i in range(15)}, [{f"{i} -> {i + 1}": "g" for i in range(14)}], None),
    ],
)
def test_nothing_in_a_graph_overlaps_or_is_cut(nodes, edges, labels):
    figure = plots.computation_graph(nodes, *edges, labels=labels, title="A title")
    figure.draw_without_rendering()
    width, height = figure.bbox.size
    written = [each.title for each in figure.axes if each.get_title()]
    written += [figure.legends[0], figure._suptitle]
    for axes in figure.axes:
        centers = {tuple(node.center if hasattr(node, "center") else node.xy): node
                   for node in axes.patches}  # fmt: skip
        for text in (text for text in axes.texts if text.get_text()):
            written.append(text)
            box = text.get_window_extent()
            corners = [(x, y) for x in (box.x0, box.x1) for y in (box.y0, box.y1)]
            for center, node in centers.items():
                outline = node.get_transform().transform_path(node.get_path())
                inside = [outline.contains_point(corner) for corner in corners]
                assert inside == [center == tuple(text.get_position())] * 4, text.get_text()
            assert not any(line.intersects_bbox(box, filled=False) for line in curves_of(axes))
    boxes = [each.get_window_extent() for each in written]
    for i, box in enumerate(boxes):
        assert box.x0 >= 0 and box.y0 >= 0 and box.x1 <= width and box.y1 <= height
        assert not any(box.overlaps(other) for other in boxes[:i])


def test_crosses_stand_on_their_arrows():
    figure = plots.computation_graph(VAE, DRAWN)
    figure.draw_without_rendering()  # which is when arrows find their ends
    (axes,) = figure.axes
    for cross in axes.get_lines():
        x, y = axes.transData.transform(cross.get_xydata()[0])
        box = matplotlib.transforms.Bbox([[x - 3, y - 3], [x + 3, y + 3]])
        assert any(curve.intersects_bbox(box, filled=False) for curve in curves_of(axes))


@pytest.mark.parametrize(
    ("nodes", "edges", "message"),
    [
        (VAE, [], "no graph to draw: pass the edges of one or more"),
        (VAE, [{}], r'edges must map "start -> end" to gradients; got \{\}'),
        (VAE, [["z -> f"]], r"got \['z -> f'\]"),
        (VAE, [{"z": None}], "An edge is \"start -> end\", two nodes; got 'z'"),
        (VAE, [{"z -> f -> z": None}], "got 'z -> f -> z'"),
        (VAE, [{"~z -> z": None}], "two nodes; got '~z -> z'"),
        (VAE, [{"z -> f": True}], "of 'z -> f' must be None, \"blocked\" or a text; got True"),
        (VAE, [DRAWN, {"z -> g": None}], r"There is no node 'g'; nodes has \['f', 'z', "),
        (["z", "f"], [{"z -> f": None}], r"nodes must map names to places .* got \['z', 'f'\]"),
        ({"z": 1, "f": (0, 0)}, [{"z -> f": None}], r"place of node 'z' must be \(x, y\); got 1"),
        ({"z": (0, "a"), "f": (0, 0)}, [{"z -> f": None}], r"must be \(x, y\); got \(0, 'a'\)"),
        ({"z": (0, np.nan), "f": (0, 0)}, [{"z -> f": None}], r"must be \(x, y\); got \(0, nan\)"),
        ({"z": (1, 0), "f": (1, 0)}, [{"z -> f": ""}], r"'z' and 'f' stand in one place: \(1, 0\)"),
        ({"z": (1, 0), r"\nonsense": (0, 0)}, [{r"z -> \nonsense": ""}], "nonsense"),
    ],
)
def test_bad_graphs(nodes, edges, message):
    with pytest.raises(ValueError, match=message):
        plots.computation_graph(nodes, *edges)
    with pytest.raises(ValueError, match="labels must be one for each graph: 1; got 2"):
        plots.computation_graph(VAE, DRAWN, labels=["a", "b"])


def test_a_listing_is_of_a_functions_own_lines():
    listing = plots.Listing.of_source(plots.Listing.plot, 2, 4, marked={1})
    source = inspect.getsource(plots.Listing.plot).splitlines()
    assert listing.lines == [line.removeprefix("    ") for line in source[2:4]]
    assert listing.lines[0].startswith("    axes.set(") and listing.marked == {1}
    assert plots.Listing.of_source(plots.Listing.plot).lines[0] == "def plot(self, axes):"
