"""Slides: panels of any kind beside each other, legible and whole; the other chart panels."""

import numpy as np
import pytest
from figures import faults, smallest_text
from matplotlib.colors import to_hex
from PIL import Image
from scipy import stats
from sklearn.metrics import roc_auc_score

from kgen import plots

RANDOM = np.random.default_rng(0)
PIXELS = RANDOM.integers(0, 256, (20, 28, 28, 1), "uint8")
POINTS = RANDOM.normal(size=(200, 2))
TICKS = np.linspace(-2, 2, 21)
FIELD = 1 / (1 + np.exp(-TICKS)) * np.ones((21, 1))
PANELS = {
    "images": lambda: plots.Images(PIXELS, 10, ["real", "generated"], notes=["0.5"] * 20),
    "framed": lambda: plots.Images(PIXELS[:4], 2, frames=[plots.WRONG, None, None, plots.RIGHT]),
    "manifold": lambda: plots.Manifold(lambda z: np.resize(PIXELS, (len(z), 28, 28, 1)), 10),
    "scatter": lambda: plots.Scatter(POINTS, np.arange(200) % 3, heading="Encoded"),
    "decoded": lambda: plots.Scatter(
        POINTS, decode=lambda z: np.resize(PIXELS, (len(z), 28, 28, 1)), line=[[0, 0], [1, 1]]
    ),
    "clouds": lambda: plots.Clouds(POINTS[:3], POINTS[3:6] - 3, "abc", "Codes"),
    "divergence": lambda: plots.Divergence(
        {"none": (POINTS, POINTS - 8), "all": (0 * POINTS,) * 2}
    ),
    "curves": lambda: plots.Curves({"loss": [3, 2, 1]}, levels={"at best": 1}, xlabel="epoch"),
    "bands": lambda: plots.Bands([1, 2, 3], np.ones((2, 3, 3)), "ab", 2, ylabel="error"),
    "dots": lambda: plots.Dots({"one": [1, 2], "another": [3]}, levels={"best": 4}, xlabel="x"),
    "roc": lambda: plots.Roc({"score": POINTS[:, 0]}, POINTS[:, 1] > 0, xlabel="x", ylabel="y"),
    "plane": lambda: plots.Plane({"real points": POINTS}, TICKS, FIELD, legend="below"),
    "marked": lambda: plots.Plane(
        {"0": POINTS}, TICKS, FIELD, markers={"0": "$0$"}, marks={"new": (1, 1)}, legend=None
    ),
    "densities": lambda: plots.Densities(
        TICKS, POINTS[:, 0], POINTS[:, 1], FIELD[0], (TICKS, TICKS / 2), heading="At first"
    ),
    "transport": lambda: plots.Transport(POINTS[:, 0], POINTS[:50, 1] + 3, xlabel="x"),
    "paths": lambda: plots.Paths(
        {"one": POINTS[:9], "another": POINTS[9:20]}, TICKS, TICKS, np.outer(TICKS, TICKS)
    ),
    "histograms": lambda: plots.Histograms({"one": np.arange(9), "two": np.ones(5)}),
    "heat": lambda: plots.Heat(np.eye(3), "abc", ["one", "two", "three"], "{:.0f}"),
    "scheme": lambda: plots.Scheme(
        {"z": ("latent", 0, 0), "G": ("network", 1, 0, "generator"), "x": ("generated", 2, 0)},
        {"z -> G": "", "G -> x": "images"},
    ),
    "families": lambda: plots.Scheme.of_rows(
        *plots.SCHEMES.values(), names=[*plots.SCHEMES], shape=0.5
    ),
    "scheme of rows": lambda: plots.Scheme.of_rows("(z) [G] <x> {D:\nreal?}", '"x" [E] (z)'),
    "table": lambda: plots.Table([["a", "b"], ["1.5", "-"], ["2", "0"]], {(1, 0)}),
    "listing": lambda: plots.Listing(["for k steps:", "    sample z"], [1], "Algorithm 1"),
    "drawing": lambda: plots.Drawing(lambda axes: axes.plot([1, 2], [3, 4]), "My own"),
}


@pytest.mark.parametrize("name", PANELS)
def test_every_panel_is_legible_alone_and_beside_another(name):
    alone = plots.slide(PANELS[name](), title="What to see", caption="model, data, size")
    assert faults(alone) == []
    beside = plots.slide(PANELS[name](), PANELS["curves"](), title="What to see")
    assert faults(beside) == []
    for figure in (alone, beside):
        width, height = np.round(figure.get_size_inches() * figure.dpi)
        assert width <= 1920 and height <= 1080
        assert 24 <= smallest_text(figure) <= 50


def test_columns_make_rows_and_texts_keep_their_size():
    panels = [PANELS[name]() for name in ("curves", "bands", "scatter", "dots")]
    figure = plots.slide(*panels, columns=2, title="A sentence that is longer than a line " * 4)
    boxes = [axes.get_position() for axes in figure.axes]
    assert boxes[0].y0 == pytest.approx(boxes[1].y0) and boxes[2].y1 < boxes[0].y0
    assert boxes[0].y1 == pytest.approx(boxes[1].y1) and boxes[0].x1 < boxes[1].x0
    assert faults(figure) == []
    one = plots.slide(PANELS["images"](), title="A title")
    assert {t.get_fontsize() for t in one.axes[0].texts} <= {12, 13}


def test_images_are_magnified_by_whole_numbers_and_framed(tmp_path):
    colors = [plots.WRONG, None, None, plots.RIGHT]
    figure = plots.slide(plots.Images(PIXELS[:4], 2, frames=colors), path=tmp_path / "a.png")
    page = np.asarray(Image.open(tmp_path / "a.png").convert("RGB"))
    box = figure.axes[0].get_window_extent()
    top = page.shape[0] - round(box.y1)
    picture = page[top : top + round(box.height), round(box.x0) : round(box.x1)]
    side = (picture.shape[1] - 12 - 14) // 56  # frames, and the gap between them
    first = PIXELS[0].repeat(side, 0).repeat(side, 1)
    found = picture[6 : 6 + 28 * side, 6 : 6 + 28 * side]
    np.testing.assert_array_equal(found, np.broadcast_to(first, found.shape))
    assert to_hex(picture[2, 2] / 255) == plots.WRONG.lower()
    assert to_hex(picture[-3, -3] / 255) == plots.RIGHT.lower()
    assert tuple(picture[2, -3]) == (255, 255, 255)


def test_more_images_beside_a_chart_take_the_width_they_need():
    wide = plots.slide(PANELS["images"](), PANELS["curves"]())
    small = plots.slide(PANELS["framed"](), PANELS["curves"]())
    widths = [figure.axes[1].get_window_extent().width for figure in (wide, small)]
    assert widths[0] < widths[1]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: plots.slide(), "needs a panel"),
        (lambda: plots.slide("loss"), "A slide is of panels"),
        (lambda: plots.Roc({"a": [1, 2, 3]}, [True, False]), r"got \(3,\) and \(2,\)"),
        (lambda: plots.Dots({"a": []}), r"none for \['a'\]"),
        (lambda: plots.Dots({}), "at least one number"),
        (lambda: plots.Histograms({}), "finite numbers"),
        (lambda: plots.Histograms({"a": [np.nan]}), "finite numbers"),
        (lambda: plots.Heat(np.zeros(3)), r"\(rows, columns\); got \(3,\)"),
        (lambda: plots.Curves({}), "needs a curve"),
        (lambda: plots.Images(PIXELS, 10, names=["a"]), "names must be one for each row: 2; got 1"),
        (lambda: plots.Images(PIXELS, 10, notes=["a"]), "notes must be one for each image: 20"),
        (lambda: plots.Clouds(POINTS, POINTS[:3], "abc"), r"must both be \(N, 2\)"),
        (lambda: plots.Clouds(POINTS[:3], POINTS[:3], "ab"), "names must be one for each cloud: 3"),
        (lambda: plots.Scatter(np.eye(3), decode=len), "decode serves two dimensions; got 3"),
        (lambda: plots.Images(PIXELS, frames=[None]), "frames must be one for each image: 20"),
        (lambda: plots.Table([["a"], []]), "as many texts each"),
        (
            lambda: plots.Images.with_errors([PIXELS[:2], PIXELS[:3]], "ab"),
            "images .* of one shape",
        ),
        (lambda: plots.Images.judged([PIXELS[0], PIXELS[0]], "ab", None), "of one shape"),
        (
            lambda: plots.Images.extremes(PIXELS[:3], [1, 2, 3], [0, 0, 1], "w"),
            "four images or more",
        ),
        (lambda: plots.Divergence({}), "codes is empty"),
        (lambda: plots.Scheme.of_rows("(z) -> [G]"), "A row is of"),
        (lambda: plots.Transport([], [1]), r"generated must be finite points .* got \(0,\)"),
        (lambda: plots.Transport([1], POINTS), r"real must be .* got \(200, 2\)"),
        (lambda: plots.Transport([1], [np.nan]), "real must be finite points"),
        (lambda: plots.Transport([1], [2], lines=0), "lines must be a positive integer; got 0"),
    ],
)
def test_bad_slides(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_dots_are_means_and_lines_reach_from_least_to_greatest():
    values = {"one": {"small": [1, 2, 6], "large": [7]}, "two": {"small": [3], "large": [4, 8]}}
    (axes,) = plots.slide(plots.Dots(values, xlabel="value")).axes
    dots = [line for line in axes.get_lines() if line.get_marker() == "o"]
    assert [float(np.ravel(dot.get_xdata())[0]) for dot in dots] == [3, 7, 3, 6]
    ranges = [tuple(line.get_xdata()) for line in axes.get_lines() if line.get_marker() != "o"]
    assert ranges == [(1, 6), (7, 7), (3, 3), (4, 8)]
    assert [t.get_text() for t in axes.get_yticklabels()] == ["one", "two"]
    assert axes.get_ylim()[0] > axes.get_ylim()[1]  # the first is above


def test_rows_of_a_scheme_and_of_a_table_stand_beside_rows_of_images():
    rows = plots.Scheme.of_rows("(z) [G] <x>", '"x" [E] (z)', share=0.5)
    assert rows.nodes["1.0"][:3] == ("real", 0, 1) and rows.nodes["0.2"][0] == "generated"
    assert list(rows.edges) == ["0.0 -> 0.1", "0.1 -> 0.2", "1.0 -> 1.1", "1.1 -> 1.2"]
    named = plots.Scheme.of_rows("(z ~ q(z|x)) [G]", names=["VAE"])
    assert named.nodes["0.0"] == ("latent", 1, 0, "z ~ q(z|x)")
    assert named.nodes["VAE"] == ("name", 0, 0, "VAE")
    images, table = plots.Images(PIXELS[:10], 5), plots.Table([["a"], ["b"]])
    figure = plots.slide(rows, images, table)
    boxes = [axes.get_window_extent() for axes in figure.axes]
    assert max(box.y0 for box in boxes) - min(box.y0 for box in boxes) < 2
    assert max(box.y1 for box in boxes) - min(box.y1 for box in boxes) < 2


def test_the_area_of_a_roc_is_that_of_scikit_learn():
    scores = np.round(RANDOM.normal(size=300), 1)  # with ties
    positive = RANDOM.random(300) < 0.3
    (axes,) = plots.slide(plots.Roc({"score": scores}, positive)).axes
    texts = [text.get_text() for text in axes.get_legend().get_texts()]
    assert texts == [f"score: {roc_auc_score(positive, scores):.2f}", "chance: 0.50"]


def test_players_of_a_gan_keep_their_colours_and_their_equilibrium():
    history = {"discriminator_loss": [1.0, 1.2], "generator_loss": [0.9, 0.8]}
    history |= {"real_score": [0.5, 0.2], "fake_score": [-0.5, -0.1], "val_real_score": [0.1, 0]}
    figure = plots.slide(*plots.adversarial(history, (1.386, 0.693)), title="What to see")
    assert faults(figure) == []
    colors = [
        {line.get_label(): to_hex(line.get_color()).upper() for line in axes.get_lines()}
        for axes in figure.axes
    ]
    assert colors[0].items() >= {"discriminator": plots.JUDGE, "generator": plots.GENERATED}.items()
    sides = {"real images": plots.REAL, "generated images": plots.GENERATED}
    assert colors[1].items() >= sides.items()
    levels = [[line.get_ydata()[0] for line in a.get_lines()[2:]] for a in figure.axes]
    assert levels == [[1.386, 0.693], [0]]
    with pytest.raises(ValueError, match=r"no \['real_score', 'fake_score'\]; it has"):
        plots.adversarial({"discriminator_loss": [1], "generator_loss": [1]})


def test_densities_are_those_of_scipy_and_the_best_discriminator_minimizes_the_cross_entropy():
    ticks, points = np.linspace(-3.5, 3.5, 141), RANDOM.normal(size=(2, 300))
    panel = plots.Densities(ticks, *points)
    for x, found in zip(points, (panel.real, panel.generated), strict=True):
        scipy = stats.gaussian_kde(x, bw_method=0.12 / x.std(ddof=1))
        np.testing.assert_allclose(found, scipy(ticks), atol=2e-3)
        assert np.trapezoid(found, ticks) == pytest.approx(1, abs=0.01)
    p, q, best = panel.real, panel.generated, panel.best()
    there = p + q > 0.1
    choices = np.linspace(0.001, 0.999, 2000)[:, None]
    loss = -p * np.log(choices) - q * np.log(1 - choices)
    np.testing.assert_allclose(best[there], choices[loss.argmin(axis=0), 0][there], atol=1e-3)
    assert np.isnan(best[~there]).all() and there.any() and not there.all()


def test_a_map_of_a_plane_is_given_by_its_values_or_by_a_function():
    def field(places):
        assert places.shape == (21 * 21, 2) and places.dtype == np.float32
        return 1 / (1 + np.exp(-places[:, 0]))

    panel = plots.Plane({"real points": POINTS}, TICKS, field, lambda places: places[:, 1])
    np.testing.assert_allclose(panel.probability, FIELD, rtol=1e-6)
    np.testing.assert_allclose(panel.density, TICKS[:, None] * np.ones(21), rtol=1e-6)


def test_transport_joins_points_in_their_order_and_costs_the_distance():
    generated, real = RANDOM.normal(size=300), 2 + 0.5 * RANDOM.normal(size=200)
    panel = plots.Transport(generated, real, lines=600)
    begin, end = panel.plan()
    assert (np.diff(begin) >= 0).all() and (np.diff(end) >= 0).all()
    cost = np.abs(begin - end).mean()
    assert cost == pytest.approx(stats.wasserstein_distance(generated, real), rel=0.01)
    (axes,) = plots.slide(plots.Transport(generated, real, lines=7)).axes
    lines = np.stack([line.get_xydata() for line in axes.get_lines()])
    assert lines.shape == (7, 2, 2) and (lines[:, :, 1] == [1, 0]).all()
    np.testing.assert_allclose(lines[3, :, 0], [np.median(generated), np.median(real)])
    areas = []
    for patch, base, points in zip(axes.patches, (1, 0), (generated, real), strict=True):
        heights, edges, _ = patch.get_data()
        counts, _ = np.histogram(points, edges)
        shown = np.abs(heights - base)
        np.testing.assert_allclose(shown / shown.sum(), counts / len(points), atol=1e-9)
        areas.append(shown.sum())
    assert areas[0] == pytest.approx(areas[1])
    names = {text.get_text(): text.get_position()[1] for text in axes.texts}
    assert names["generated"] > 1 and names["real"] < 0


def test_a_probability_is_white_at_one_half_and_means_the_same_everywhere():
    colors = plots.probability_map()
    assert [to_hex(colors(p)) for p in (0.0, 1.0)] == [plots.GENERATED.lower(), plots.REAL.lower()]
    assert np.allclose(colors(0.5)[:3], 1, atol=0.01)
    assert len({*plots.FAMILIES.values()}) == len(plots.FAMILIES)


def test_what_lies_under_the_points_is_what_their_places_decode_to():
    def decode(z):  # the grey of the first latent
        return np.clip(np.broadcast_to(z[:, :1, None, None] / 10, (len(z), 4, 4, 1)), -1, 1)

    points = np.array([[-6.0, 0], [6, 0], [0, 6]])
    (axes,) = plots.slide(plots.Scatter(points, decode=decode)).axes
    (image,) = axes.get_images()
    left, right, bottom, top = image.get_extent()
    assert left < -6 and right > 6 and top - bottom == pytest.approx(right - left)
    row = image.get_array()[0, ::4, 0].astype(int)
    assert (np.diff(row) < 0).all()  # grey images are ink on paper: more is darker
    assert all(axes.get_xlim()[i] == pytest.approx((left, right)[i]) for i in (0, 1))


def test_the_divergence_is_least_where_a_code_is_the_prior():
    (axes,) = plots.slide(plots.Divergence({"codes": (np.zeros((5, 2)), np.zeros((5, 2)))})).axes
    codes, cross = axes.get_lines()
    assert set(codes.get_xdata()) == {0} and set(codes.get_ydata()) == {1}
    assert np.ravel(cross.get_ydata()) == pytest.approx(0.5**0.5)  # of s^2 - 1 - log s
    assert axes.get_yscale() == "log"
    ways = (
        np.array([[[0, 1]], [[2, 3]]]),
        np.array([[[0, 0]], [[-2, -4]]]),
    )  # two moments, two codes
    (axes,) = plots.slide(plots.Divergence({"codes": (np.zeros(2), np.zeros(2))}, ways)).axes
    _, one, other, _ = axes.get_lines()
    np.testing.assert_allclose(one.get_xydata(), [[0, 1], [2, np.exp(-1)]])
    np.testing.assert_allclose(other.get_xydata(), [[1, 1], [3, np.exp(-2)]])


def test_where_an_image_ends_in_white_all_have_a_line_around_them():
    def line(image):
        images = np.stack([np.zeros((4, 4), "uint8"), image])
        (shown,) = plots.slide(plots.Images(images, 2)).axes[0].images
        return (shown.get_array() == [*bytes.fromhex(plots.FAINT[1:]), 255]).all(axis=-1)

    white, inside = np.full((4, 4), 255, "uint8"), np.zeros((4, 4), "uint8")
    inside[1:3, 1:3] = 255
    assert not line(inside).any()
    rows, columns = np.nonzero(line(white))
    side = np.ptp(rows) + 1
    assert side % 4 == 0 and len(rows) == 2 * 8 * (side - 2)  # two squares, two pixels wide
    assert columns.min() == 0 and columns.max() > 2 * side - 1


def test_errors_below_images_are_those_of_values_within_one():
    dark, light = np.zeros((1, 4, 4, 1), "uint8"), np.full((1, 4, 4, 1), 255, "uint8")
    panel = plots.Images.with_errors([dark, light], ["original", "copy"])
    assert panel.notes == ["", "4"]  # of -1 and 1; in uint8 the difference would wrap around
    panel = plots.Images.with_errors([dark - np.float32(1), light / np.float32(255)], ["a", "b"])
    assert panel.notes == ["", "4"]
