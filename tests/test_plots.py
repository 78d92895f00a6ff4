import os
import subprocess
import sys
import types
import warnings
from pathlib import Path

import keras
import matplotlib
import numpy as np
import pytest
from matplotlib import pyplot
from matplotlib.figure import Figure
from PIL import Image
from scipy.stats import norm
from sklearn.decomposition import PCA

from kgen import plots
from kgen.data import to_uint8


def noise(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape).astype("uint8")


def floats(images):
    return images.astype("float32") / 127.5 - 1


def rendered(figure, tmp_path):
    """What a written figure shows inside its axes, `(height, width, 3)`."""
    path = plots.save(figure, tmp_path / "figure.png")
    pixels = np.asarray(Image.open(path).convert("RGB"))
    box = figure.axes[0].get_window_extent()
    top = pixels.shape[0] - round(box.y1)
    return pixels[top : top + round(box.height), round(box.x0) : round(box.x1)]


def texts(figure):
    found = [text.get_text() for text in figure.texts]
    return found + [text.get_text() for axes in figure.axes for text in axes.texts]


def assert_tiles(picture, images, columns, gap=plots.GAP, rows_apart=plots.GAP):
    """The picture is exactly these images, magnified by an integer, in this order."""
    width = (picture.shape[1] + gap) // columns - gap
    factor = width // images.shape[2]
    assert factor >= 1 and width == factor * images.shape[2]
    height = factor * images.shape[1]
    for i, image in enumerate(np.broadcast_to(images, (*images.shape[:3], 3))):
        y, x = i // columns * (height + rows_apart), i % columns * (width + gap)
        tile = picture[y : y + height, x : x + width]
        np.testing.assert_array_equal(tile, image.repeat(factor, 0).repeat(factor, 1))


# --- grid


@pytest.mark.parametrize("shape", [(5, 8, 8, 1), (7, 12, 8, 3), (36, 28, 28, 1), (1, 64, 64, 3)])
@pytest.mark.parametrize("title", [None, "A title"])
def test_grid_shows_every_pixel_exactly(tmp_path, shape, title):
    images = noise(*shape)
    columns = int(np.ceil(np.sqrt(len(images))))
    assert_tiles(rendered(plots.grid(images, title=title), tmp_path), images, columns)


def test_grid_of_floats_equals_grid_of_uint8(tmp_path):
    images = noise(6, 8, 8, 3)
    plots.grid(images, path=tmp_path / "a.png")
    plots.grid(floats(images), path=tmp_path / "b.png")
    plots.grid(keras.ops.convert_to_tensor(floats(images)), path=tmp_path / "c.png")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "c.png").read_bytes()


def test_grey_levels_are_not_stretched(tmp_path):
    levels = np.float32([-0.5, 0, 0.25])
    picture = rendered(plots.grid(np.ones((3, 8, 8, 1), "float32") * levels[:, None, None, None],
                                  columns=3), tmp_path)  # fmt: skip
    assert sorted(set(picture.ravel()) - {255}) == sorted(to_uint8(levels))


def test_grid_without_channel_axis_and_with_columns(tmp_path):
    images = noise(6, 8, 8)
    assert_tiles(rendered(plots.grid(images, columns=2), tmp_path), images[..., None], 2)
    assert_tiles(rendered(plots.grid(images, columns=99), tmp_path), images[..., None], 6)


def test_grid_labels(tmp_path):
    figure = plots.grid(noise(5, 8, 8, 1), labels=np.array([3, 1, 4, 1, 5]), title="Digits")
    assert sorted(texts(figure)) == ["1", "1", "3", "4", "5", "Digits"]
    figure.draw_without_rendering()
    boxes = [text.get_window_extent() for text in (*figure.axes[0].texts, *figure.texts)]
    assert not any(a.overlaps(b) for a in boxes for b in boxes if a is not b)
    assert [
        t.get_text() for t in plots.grid(noise(2, 8, 8), labels=[0.12345, "b"]).axes[0].texts
    ] == [
        "0.123",
        "b",
    ]


def test_long_titles_and_labels_stay_inside(tmp_path):
    label = "a very long class name"
    figure = plots.grid(noise(9, 8, 8, 1), labels=[label] * 9, title="a long title " * 12)
    figure.draw_without_rendering()
    title = figure.texts[0].get_window_extent()
    assert title.x0 >= 0 and title.x1 <= figure.bbox.x1
    boxes = [text.get_window_extent() for text in figure.axes[0].texts]
    assert not any(a.overlaps(b) for a in [*boxes, title] for b in boxes if a is not b)


def test_large_images_are_reduced_without_changing_their_shape(tmp_path):
    images = np.full((9, 500, 250, 3), 77, "uint8")
    picture = rendered(plots.grid(images), tmp_path)
    assert picture.shape == (300 * 3 + 2 * plots.GAP, 150 * 3 + 2 * plots.GAP, 3)
    assert set(np.unique(picture)) == {77, 255}


@pytest.mark.parametrize("channels", [2, 4, 7])
def test_other_channel_counts_show_the_first_and_say_so(tmp_path, channels):
    images = noise(4, 8, 8, channels)
    figure = plots.grid(images, title="Bands")
    assert texts(figure) == [f"Bands (channel 1 of {channels})"]
    assert_tiles(rendered(figure, tmp_path), images[..., :1], 2)
    assert texts(plots.grid(images)) == [f"channel 1 of {channels}"]


def test_floats_beyond_the_range_are_clipped_and_nan_is_magenta(tmp_path):
    images = np.zeros((1, 8, 8, 3), "float32")
    images[0, 0, 0], images[0, 0, 1], images[0, 1, 0, 1], images[0, 1, 1] = 1.5, -7, np.nan, np.inf
    expected = np.full((1, 8, 8, 3), 128, "uint8")
    expected[0, 0, 0], expected[0, 0, 1] = 255, 0
    expected[0, 1, :2] = plots.MAGENTA
    assert_tiles(rendered(plots.grid(images), tmp_path), expected, 1)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.zeros((8, 8)), r"got \(8, 8\)\. A single image needs a batch axis: images\[None\]"),
        (np.zeros((2, 2, 8, 8, 1)), r"images must have shape .* got \(2, 2, 8, 8, 1\)"),
        (np.zeros((0, 8, 8, 1)), r"images is empty: shape \(0, 8, 8, 1\)"),
        (np.zeros((1, 8, 8, 0)), r"images is empty"),
        (np.zeros((1, 8, 8, 1), "int64"), "must be uint8 .* or floats .* got int64"),
        (np.full((1, 8, 8, 1), 200.0), r"floats up to 200, none negative.*astype\('uint8'\)"),
    ],
)
def test_bad_images(images, message):
    with pytest.raises(ValueError, match=message):
        plots.grid(images)


def test_bad_grid_arguments():
    images = noise(4, 8, 8, 1)
    with pytest.raises(ValueError, match="labels must be one for each image: 4; got 3"):
        plots.grid(images, labels=[1, 2, 3])
    for columns in (0, -1, 1.5):
        with pytest.raises(ValueError, match="columns must be a positive integer"):
            plots.grid(images, columns=columns)


# --- reconstructions


def test_reconstructions_stand_under_their_originals(tmp_path):
    images, copies = noise(5, 8, 8, 1), noise(5, 8, 8, 1, seed=1)
    figure = plots.reconstructions(images, floats(copies), columns=3, title="After training")
    picture = rendered(figure, tmp_path)
    side = (picture.shape[1] - 2 * plots.GAP) // 3
    assert side % 8 == 0
    band = 2 * side + 6 * plots.GAP
    for i in range(5):
        x, y = i % 3 * (side + plots.GAP), i // 3 * band
        for image, top in ((images[i], y), (copies[i], y + side + plots.GAP)):
            tile = picture[top : top + side, x : x + side]
            wanted = image.repeat(side // 8, 0).repeat(side // 8, 1)
            np.testing.assert_array_equal(tile, np.broadcast_to(wanted, tile.shape))
    assert texts(figure) == ["After training", *["original", "reconstruction"] * 2]
    figure.draw_without_rendering()
    assert all(text.get_window_extent().x0 >= 0 for text in figure.axes[0].texts)


def test_reconstructions_need_one_shape():
    with pytest.raises(ValueError, match=r"got \(4, 8, 8, 1\) and \(3, 8, 8, 1\)"):
        plots.reconstructions(noise(4, 8, 8, 1), noise(3, 8, 8, 1))
    with pytest.raises(ValueError, match=r"got \(4, 8, 8, 1\) and \(4, 8, 8, 3\)"):
        plots.reconstructions(noise(4, 8, 8), noise(4, 8, 8, 3))
    with pytest.raises(ValueError, match="reconstructions must have shape"):
        plots.reconstructions(noise(4, 8, 8), noise(4, 64))
    plots.reconstructions(noise(4, 8, 8), noise(4, 8, 8, 1))


# --- strips


def test_strips(tmp_path):
    sequences = noise(2, 5, 8, 8, 3)
    figure = plots.strips(sequences, labels=["a", "b"], steps=[0, 0.25, 0.5, 0.75, 1.0])
    assert_tiles(rendered(figure, tmp_path), sequences.reshape(10, 8, 8, 3), 5)
    assert texts(figure) == ["a", "b", "0", "0.25", "0.5", "0.75", "1"]
    figure.draw_without_rendering()
    assert all(text.get_window_extent().x0 >= 0 for text in figure.axes[0].texts)


@pytest.mark.parametrize(
    ("shape", "options", "message"),
    [
        ((5, 8, 8, 1), {}, r"got \(5, 8, 8, 1\)\. A single strip .* sequences\[None\]"),
        ((5, 8, 8), {}, r"must have shape \(rows, steps, height, width, channels\)"),
        ((0, 5, 8, 8, 1), {}, "sequences is empty"),
        ((2, 5, 8, 8, 1), {"labels": "abc"}, "one for each row: 2; got 3"),
        ((2, 5, 8, 8, 1), {"steps": [0, 1]}, "one for each column: 5; got 2"),
    ],
)
def test_bad_strips(shape, options, message):
    with pytest.raises(ValueError, match=message):
        plots.strips(np.zeros(shape, "uint8"), **options)


# --- manifold


def test_manifold_stands_at_the_quantiles_of_the_prior(tmp_path):
    seen = []

    def decode(latents):
        seen.append(latents)
        colour = np.concatenate([latents / 4, np.zeros((len(latents), 1))], axis=1)
        return np.broadcast_to(colour[:, None, None, :], (len(latents), 4, 4, 3))

    figure = plots.manifold(decode, n=6)
    quantiles = norm.ppf((np.arange(6) + 0.5) / 6)
    (latents,) = seen
    assert latents.dtype == np.float32 and latents.shape == (36, 2)
    wanted = [(x, y) for y in quantiles[::-1] for x in quantiles]  # rows downwards: z2 falls
    np.testing.assert_allclose(latents, wanted, rtol=1e-6)
    axes = figure.axes[0]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("$z_1$", "$z_2$")
    picture = rendered(figure, tmp_path)
    side = picture.shape[0] // 6
    assert picture.shape[:2] == (6 * side, 6 * side)
    for getter, channel in ((axes.get_xticks, 0), (axes.get_yticks, 1)):
        labels = (axes.get_xticklabels(), axes.get_yticklabels())[channel]
        assert len(labels) == 6
        for tick, label in zip(getter(), labels, strict=True):
            value = float(label.get_text().replace("\N{MINUS SIGN}", "-"))
            x, y = (int(tick), 5) if channel == 0 else (5, int(tick))
            assert abs(picture[y, x, channel] - (value / 4 + 1) * 127.5) <= 1


@pytest.mark.parametrize("n", [1, 2, 5, 12, 13, 20, 21, 30, 41])
def test_manifold_ticks_are_symmetric_and_apart(n):
    ticks = plots._ticks(n)
    assert ticks == sorted(n - 1 - i for i in ticks) and 1 <= len(ticks) <= 13
    if n > 1:
        assert ticks[0] == 0
    assert n <= 12 or min(np.diff(ticks)) >= n / 12


def test_bad_manifold():
    with pytest.raises(ValueError, match="decode returned 3 images for 16 latents"):
        plots.manifold(lambda z: noise(3, 8, 8, 1), n=4)
    with pytest.raises(ValueError, match="decoded images must have shape"):
        plots.manifold(lambda z: noise(16, 8), n=4)
    with pytest.raises(ValueError, match="n must be a positive integer"):
        plots.manifold(lambda z: z, n=0)


# --- latent_scatter


def points_of(figure):
    scatter = figure.axes[0].collections[0]
    return np.asarray(scatter.get_offsets()), scatter


def legend_of(figure):
    legend = figure.axes[0].get_legend()
    return {
        text.get_text(): matplotlib.colors.to_hex(handle.get_markerfacecolor())
        for text, handle in zip(legend.get_texts(), legend.legend_handles, strict=True)
    }


@pytest.mark.parametrize("classes", [3, 10, 15, 30])
def test_scatter_colours_every_point_by_its_class(classes):
    rng = np.random.default_rng(0)
    latents, labels = rng.normal(size=(300, 2)), np.arange(300) % classes
    names = [f"class {i}" for i in range(classes)]
    figure = plots.latent_scatter(latents, labels, names, title="Latents")
    offsets, scatter = points_of(figure)
    legend = legend_of(figure)
    assert list(legend) == names and len(set(legend.values())) == classes
    label_of = {tuple(point): label for point, label in zip(latents, labels, strict=True)}
    for point, colour in zip(offsets, scatter.get_facecolors(), strict=True):
        assert matplotlib.colors.to_hex(colour) == legend[names[label_of[tuple(point)]]]
    assert len({tuple(point) for point in offsets}) == 300
    axes = figure.axes[0]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("$z_1$", "$z_2$")
    assert figure.get_suptitle() == "Latents"


def test_scatter_projects_on_the_principal_axes():
    latents = np.random.default_rng(0).normal(size=(200, 5)) * [1, 5, 2, 0.5, 3] + 7
    figure = plots.latent_scatter(latents)
    pca = PCA(2).fit(latents)
    wanted = pca.transform(latents)
    offsets, _ = points_of(figure)
    order = np.lexsort(offsets.T.round(6))
    signs = [
        s for s in np.array(np.meshgrid([1, -1], [1, -1])).T.reshape(-1, 2)
        if np.allclose((wanted * s)[np.lexsort((wanted * s).T.round(6))], offsets[order], atol=1e-6)
    ]  # fmt: skip
    assert len(signs) == 1  # the axes' signs are free
    for text, share, i in zip(
        (figure.axes[0].get_xlabel(), figure.axes[0].get_ylabel()),
        pca.explained_variance_ratio_,
        (1, 2),
        strict=True,
    ):
        assert text == f"principal axis {i} of 5 dimensions ({100 * share:.0f} % of the variance)"
    np.testing.assert_array_equal(points_of(plots.latent_scatter(latents))[0], offsets)


def test_scatter_has_one_direction_where_two_coefficients_are_as_large():
    random = np.random.default_rng(0)
    points = random.normal(size=(50, 1)) * [1, -1, 0] + 0.01 * random.normal(size=(50, 3))
    points = np.concatenate([points, points[:, [1, 0, 2]]])  # the tie is exact but for rounding
    for scale in (1, 3, 7, 1e-3):
        axes = plots.latent_scatter(points * scale).axes[0]
        along = np.concatenate([c.get_offsets() for c in axes.collections])[:, 0] / scale
        np.testing.assert_allclose(np.sort(along), np.sort((points[:, 0] - points[:, 1]) / 2**0.5),
                                   atol=1e-3)  # fmt: skip


def test_scatter_of_constant_latents_and_few_points():
    assert "(0 % of the variance)" in plots.latent_scatter(np.ones((4, 3))).axes[0].get_xlabel()
    plots.latent_scatter(np.eye(2, 3))


def test_scatter_labels_of_other_kinds():
    latents = np.random.default_rng(0).normal(size=(6, 2))
    words = plots.latent_scatter(latents, ["b", "a", "b", "c", "a", "a"])
    assert list(legend_of(words)) == ["a", "b", "c"]
    flags = plots.latent_scatter(latents, np.arange(6) > 2, ["no", "yes"])
    assert list(legend_of(flags)) == ["no", "yes"]
    column = plots.latent_scatter(latents, np.array([[4], [2], [2], [2], [4], [4]]))
    assert list(legend_of(column)) == ["2", "4"]
    quantity = plots.latent_scatter(latents, np.linspace(0, 1, 6))
    assert quantity.axes[0].get_legend() is None and len(quantity.axes) == 2  # a colour bar
    offsets, scatter = points_of(quantity)
    value_of = {tuple(p): v for p, v in zip(latents, np.linspace(0, 1, 6), strict=True)}
    np.testing.assert_allclose(scatter.get_array(), [value_of[tuple(p)] for p in offsets])


@pytest.mark.parametrize(
    ("latents", "options", "message"),
    [
        (np.zeros(4), {}, r"must have shape \(N, D\), D of 2 or more; got \(4,\)"),
        (np.zeros((4, 1)), {}, "D of 2 or more"),
        (np.zeros((0, 2)), {}, "latents is empty"),
        (np.full((4, 2), np.nan), {}, "holds NaN or infinity"),
        (np.zeros((1, 3)), {}, "One point of 3 dimensions has no principal axes"),
        (np.zeros((4, 2)), {"labels": [1, 2]}, r"one per point: \(4,\); got shape \(2,\)"),
        (np.zeros((4, 2)), {"labels": np.eye(4)}, r"One-hot labels: pass labels\.argmax"),
        (np.zeros((2, 2)), {"labels": [0, 5], "class_names": ["a"]}, "1 names; .* from 0 to 5"),
        (np.zeros((2, 2)), {"labels": [-1, 0], "class_names": ["a"]}, "run from -1 to 0"),
    ],
)
def test_bad_scatter(latents, options, message):
    with pytest.raises(ValueError, match=message):
        plots.latent_scatter(latents, **options)


# --- losses


def lines_of(figure):
    return {line.get_label(): line for line in figure.axes[0].get_lines()}


def test_losses_of_training_and_validation_share_a_colour():
    history = {
        "loss": [3.0, 2, 1], "val_loss": [3.5, 2.5, 1.5], "kl_loss": [1, 2, 3.0],
        "learning_rate": [1e-3] * 3,
    }  # fmt: skip
    lines = lines_of(plots.losses(history))
    assert list(lines) == ["loss", "loss, validation", "kl loss"]
    colours = {name: line.get_color() for name, line in lines.items()}
    assert colours["loss"] == colours["loss, validation"] != colours["kl loss"]
    assert lines["loss"].get_linestyle() == "-"
    assert lines["loss, validation"].get_linestyle() == "--"
    np.testing.assert_array_equal(lines["loss"].get_xydata(), [[1, 3], [2, 2], [3, 1]])
    np.testing.assert_array_equal(lines["loss, validation"].get_ydata(), [3.5, 2.5, 1.5])
    assert list(lines_of(plots.losses(history, names=["learning_rate"]))) == ["learning rate"]


def test_losses_of_a_real_history_that_was_resumed():
    model = keras.Sequential([keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    x = np.ones((4, 2), "float32")
    options = {"validation_data": (x, x[:, :1]), "validation_freq": 2, "verbose": 0}
    history = model.fit(x, x[:, :1], initial_epoch=3, epochs=8, **options)
    lines = lines_of(plots.losses(history))
    np.testing.assert_array_equal(lines["loss"].get_xdata(), [4, 5, 6, 7, 8])
    np.testing.assert_array_equal(lines["loss, validation"].get_xdata(), [4, 6, 8])
    np.testing.assert_array_equal(lines["loss"].get_ydata(), history.history["loss"])


@pytest.mark.parametrize(
    ("values", "log", "scale"),
    [
        ([100.0, 10, 1], None, "log"),
        ([3.0, 2, 1], None, "linear"),
        ([100.0, 1, -1], None, "linear"),
        ([100.0, 1, 0], None, "linear"),
        ([100.0, np.nan, 1], None, "log"),
        ([np.nan, np.nan], None, "linear"),
        ([100.0, 10, 1], False, "linear"),
        ([3.0, 2, 1], True, "log"),
    ],
)
def test_losses_use_a_logarithm_when_it_helps(values, log, scale):
    assert plots.losses({"loss": values}, log=log).axes[0].get_yscale() == scale


@pytest.mark.parametrize(
    ("history", "options", "message"),
    [
        ({}, {}, "empty"),
        ({"loss": []}, {}, "empty"),
        ({"learning_rate": [1.0]}, {}, "empty"),
        ({"loss": [1.0]}, {"names": ["kl"]}, r"no \['kl'\]; it has \['loss'\]"),
        ({"loss": [1.0] * 5, "val_loss": [1.0] * 4}, {}, "'val_loss' has 4 values for 5 epochs"),
        ([1.0, 2.0], {}, "what fit returned or a dictionary"),
    ],
)
def test_bad_losses(history, options, message):
    with pytest.raises(ValueError, match=message):
        plots.losses(history, **options)


# --- bands


def test_bands_without_repeats_speak_of_none():
    axes = plots.bands([1, 2, 3], np.ones((2, 1, 3)), ["a", "b"]).axes[0]
    assert axes.get_legend().get_title().get_text() == ""


def test_bands_of_few_repeats_hold_all():
    curves = np.array([[[1.0, 2.0], [3.0, 8.0], [2.0, 5.0]]])
    axes = plots.bands([1, 2], curves, ["a"]).axes[0]
    assert axes.get_legend().get_title().get_text() == "mean, and all 3 repeats"
    corners = {tuple(point) for point in axes.collections[0].get_paths()[0].vertices}
    assert corners == {(1, 1), (1, 3), (2, 2), (2, 8)}


def test_bands_show_the_mean_and_90_percent_of_the_repeats():
    x, curves = np.arange(5), np.random.default_rng(0).normal(size=(2, 50, 5))
    figure = plots.bands(x, curves, ["a", "b"], 0.5, "step", "value")
    (axes,) = figure.axes
    lines = lines_of(figure)
    assert list(lines) == ["a", "b", "expected"]
    shown = [text.get_text() for text in axes.get_legend().get_texts()]
    assert shown == list(lines) and "90 %" in axes.get_legend().get_title().get_text()
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("step", "value")
    for name, values, band in zip("ab", curves, axes.collections, strict=True):
        np.testing.assert_allclose(lines[name].get_xydata(), np.stack([x, values.mean(0)], 1))
        corners = {tuple(point) for point in band.get_paths()[0].vertices.round(6)}
        for share in (5, 95):
            edge = np.percentile(values, share, axis=0).round(6)
            assert corners >= set(zip(x.astype(float), edge, strict=True))
        colour = matplotlib.colors.to_hex(band.get_facecolor()[0])
        assert colour == matplotlib.colors.to_hex(lines[name].get_color())
    assert set(lines["expected"].get_ydata()) == {0.5}
    assert lines["expected"].get_linestyle() == "--"


def test_bands_of_tensors_and_of_many_points():
    curves = keras.ops.reshape(keras.ops.arange(60, dtype="float32"), (1, 2, 30))
    figure = plots.bands(range(30), curves, ["a"])
    assert list(lines_of(figure)) == ["a"] and lines_of(figure)["a"].get_marker() == "None"
    np.testing.assert_allclose(lines_of(figure)["a"].get_ydata(), np.arange(30) + 15)


@pytest.mark.parametrize(
    ("x", "values", "options", "scales"),
    [
        ([1, 4, 32], [1, 2, 3], {}, ("log", "linear")),
        ([1, 4, 29], [1, 2, 30], {}, ("linear", "log")),
        ([0, 4, 64], [-1, 2, 30], {}, ("linear", "linear")),
        ([1, 4, 29], [1, np.nan, 30], {}, ("linear", "log")),
        ([1, 4, 29], [1, 2, 3], {"expected": 40}, ("linear", "log")),
        ([1, 4, 29], [1, 2, 30], {"expected": -1}, ("linear", "linear")),
        ([1, 4, 29], [1, 2, 30], {"log": False}, ("linear", "linear")),
        ([1, 4, 29], [1, 2, 3], {"log": True}, ("linear", "log")),
    ],
)
def test_bands_use_logarithms_where_they_help(x, values, options, scales):
    (axes,) = plots.bands(x, [[values]], ["a"], **options).axes
    assert (axes.get_xscale(), axes.get_yscale()) == scales


def test_bands_tick_a_logarithmic_axis_where_was_measured():
    (axes,) = plots.bands(2 ** np.arange(11), np.ones((1, 1, 11)), ["a"]).axes
    assert list(axes.get_xticks()) == list(2 ** np.arange(11))
    assert [tick.get_text() for tick in axes.get_xticklabels()][-2:] == ["512", "1024"]
    assert not len(axes.get_xticks(minor=True))


def test_bands_in_the_axes_of_a_chart(tmp_path):
    figure, axes = plots.chart(8, 4, rows=2, columns=2, xlabels=["time", "step"])
    for each in axes.flat:
        returned = plots.bands([1, 2], [[[3, 4]]], ["a"], axes=each, title="One", ylabel="y")
        assert returned is figure
    assert [each.get_title() for each in figure.axes] == ["One"] * 4
    assert [each.get_xlabel() for each in axes[-1]] == ["time", "step"]
    assert not figure.get_suptitle() and figure.get_layout_engine() is not None
    path = tmp_path / "a.png"
    plots.bands([1, 2], [[[3, 4]]], ["b"], axes=axes[1, 1], path=path)
    assert figure._repr_png_() == path.read_bytes()


@pytest.mark.parametrize(
    ("x", "shape", "labels", "message"),
    [
        ([[1, 2]], (1, 3, 2), "a", r"x must have shape \(N,\), N of 1 or more; got \(1, 2\)"),
        ([], (1, 3, 0), "a", r"x must have shape .* got \(0,\)"),
        ([1, 2], (1, 3, 3), "a", r"\(curves, repeats, 2\), as x has 2 values; got \(1, 3, 3\)\.$"),
        ([1, 2], (3, 2), "a", r"got \(3, 2\)\. Curves without repeats .* curves\[:, None\]"),
        ([1, 2], (1, 0, 2), "a", r"got \(1, 0, 2\)"),
        ([1, 2], (2, 3, 2), "a", "labels must be one for each curve: 2; got 1"),
        ([1, 2], (2, 3, 2), None, "labels must be one for each curve: 2; got 0"),
    ],
)
def test_bad_bands(x, shape, labels, message):
    with pytest.raises(ValueError, match=message):
        plots.bands(x, np.zeros(shape), labels)


# --- computation_graph

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
        [("z", "f", plots.DARK), ("f", "z", plots.RED)]
        + [(name, "z", plots.DARK) for name in (r"\mu", r"\sigma")]
        + [("z", name, plots.PALE) for name in (r"\mu", r"\sigma")]
    )
    assert sorted(arrows_of(right)) == sorted(
        [("z", "f", plots.DARK), ("f", "z", plots.RED), (r"\epsilon", "z", plots.DARK)]
        + [(name, "z", plots.DARK) for name in (r"\mu", r"\sigma")]
        + [("z", name, plots.RED) for name in (r"\mu", r"\sigma")]
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
        centres = {tuple(node.center if hasattr(node, "center") else node.xy): node
                   for node in axes.patches}  # fmt: skip
        for text in (text for text in axes.texts if text.get_text()):
            written.append(text)
            box = text.get_window_extent()
            corners = [(x, y) for x in (box.x0, box.x1) for y in (box.y0, box.y1)]
            for centre, node in centres.items():
                outline = node.get_transform().transform_path(node.get_path())
                inside = [outline.contains_point(corner) for corner in corners]
                assert inside == [centre == tuple(text.get_position())] * 4, text.get_text()
            assert not any(line.intersects_bbox(box, filled=False) for line in curves_of(axes))
    boxes = [each.get_window_extent() for each in written]
    for i, box in enumerate(boxes):
        assert box.x0 >= 0 and box.y0 >= 0 and box.x1 <= width and box.y1 <= height
        assert not any(box.overlaps(other) for other in boxes[:i])


def test_crosses_stand_on_their_arrows():
    (axes,) = plots.computation_graph(VAE, DRAWN).axes
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


# --- animation


def frames_of(path):
    with Image.open(path) as gif:
        frames = []
        for i in range(gif.n_frames):
            gif.seek(i)
            frames.append((np.asarray(gif.convert("RGB")), gif.info["duration"]))
        assert gif.info["loop"] == 0
        return frames


def test_animation_of_arrays(tmp_path):
    images = noise(3, 8, 8, 1)
    path = plots.animation(floats(images), tmp_path / "new" / "a.gif", 0.1, last=0.7)
    assert path == tmp_path / "new" / "a.gif"
    frames = frames_of(path)
    assert [duration for _, duration in frames] == [100, 100, 700]
    for (frame, _), image in zip(frames, images, strict=True):
        assert_tiles(frame, image[None], 1)
        assert frame.shape == (480, 480, 3)


def test_animation_of_files_of_two_sizes(tmp_path):
    for i, size in enumerate([(40, 60), (60, 40), (60, 60)]):
        Image.new("RGB", size, (10 + i, 0, 0)).save(tmp_path / f"{i}.png")
    paths = [str(tmp_path / "0.png"), tmp_path / "1.png", tmp_path / "2.png"]
    frames = frames_of(plots.animation(paths, tmp_path / "a.gif"))
    assert [duration for _, duration in frames] == [500, 500, 2000]
    for i, (frame, _) in enumerate(frames):
        assert frame.shape == (60, 60, 3)
        assert tuple(frame[30, 30]) == (10 + i, 0, 0)
    assert tuple(frames[0][0][30, 5]) == tuple(frames[1][0][5, 30]) == (255, 255, 255)


def test_an_animation_that_has_to_be_small(tmp_path):
    """Fewer frames, fewer colours, smaller, and only as far as needed; the last one is the last."""
    paths = []
    for i, image in enumerate(noise(60, 96, 96, 3)):
        image[:8] = 4 * i  # says which
        paths.append(tmp_path / f"{i}.png")
        Image.fromarray(image).save(paths[-1])

    def small(paths, max_bytes):
        path = plots.animation(paths, tmp_path / "a.gif", 0.1, last=1, max_bytes=max_bytes)
        with Image.open(path) as gif:
            known = []
            for i in range(gif.n_frames):
                gif.seek(i)
                grey = (
                    gif.convert("RGB").resize((96, 96), Image.Resampling.NEAREST).crop((0, 0, 9, 5))
                )
                known.append(int(np.median(np.asarray(grey))) / 4)
            return path.stat().st_size, gif.size, known, gif.info["duration"]

    whole, size, shown, _ = small(paths, 2**20)
    assert size == (96, 96) and len(shown) == 60
    for limit, least in ((whole // 2, 24), (whole // 8, 10)):
        found, (width, height), shown, _ = small(paths, limit)
        assert found <= limit and width == height >= 48 and len(shown) >= least
        np.testing.assert_allclose(shown, np.linspace(0, 59, len(shown)), atol=3)
    found, size, shown, last = small(paths, 1)
    assert size == (48, 48) and len(shown) == 8 and last == 1000
    assert small(paths[:5], 1)[2] == pytest.approx([0, 1, 2, 3, 4], abs=3)
    with pytest.raises(OSError, match="a pipe"):
        os.mkfifo(tmp_path / "pipe.png")
        plots.animation([tmp_path / "pipe.png"], tmp_path / "a.gif")


def test_bad_animation(tmp_path):
    with pytest.raises(ValueError, match="needs frames; there are none"):
        plots.animation([], tmp_path / "a.gif")
    with pytest.raises(ValueError, match="seconds_per_frame must be"):
        plots.animation(noise(2, 8, 8, 1), tmp_path / "a.gif", 0)
    with pytest.raises(ValueError, match="frames must have shape"):
        plots.animation(noise(2, 8), tmp_path / "a.gif")
    (tmp_path / "broken.png").write_bytes(b"no picture")
    with pytest.raises(OSError, match=r"broken\.png"):
        plots.animation([tmp_path / "broken.png"], tmp_path / "a.gif")
    with pytest.raises(FileNotFoundError, match=r"missing\.png"):
        plots.animation([tmp_path / "missing.png"], tmp_path / "a.gif")
    assert not (tmp_path / "a.gif").exists()


# --- files, notebooks, imports

FIGURES = {
    "grid": lambda **o: plots.grid(noise(4, 8, 8, 1), **o),
    "reconstructions": lambda **o: plots.reconstructions(noise(4, 8, 8), noise(4, 8, 8), **o),
    "strips": lambda **o: plots.strips(noise(2, 3, 8, 8, 1), **o),
    "manifold": lambda **o: plots.manifold(lambda z: noise(len(z), 8, 8, 1), n=3, **o),
    "latent_scatter": lambda **o: plots.latent_scatter(np.eye(3), [0, 1, 2], **o),
    "losses": lambda **o: plots.losses({"loss": [1.0, 2.0]}, **o),
    "bands": lambda **o: plots.bands([1, 2, 3], np.eye(3)[None], ["a"], **o),
    "computation_graph": lambda **o: plots.computation_graph(VAE, DRAWN, COMPUTED, **o),
}


@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_is_returned_and_written(tmp_path, name):
    path = tmp_path / "a" / "b" / "figure.png"
    figure = FIGURES[name](title="The title", path=path)
    assert isinstance(figure, Figure)
    shown = [text.get_text() for text in figure.texts] + [figure.get_suptitle()]
    assert "The title" in shown
    assert os.listdir(path.parent) == ["figure.png"]
    with Image.open(path) as image:
        assert image.format == "PNG"
        assert image.size == tuple(np.round(figure.get_size_inches() * figure.dpi).astype(int))
    assert figure._repr_png_() == path.read_bytes()


def test_chart_for_a_plot_of_ones_own():
    figure, axes = plots.chart(5, 4)
    assert isinstance(figure, Figure) and tuple(figure.get_size_inches()) == (5, 4)
    assert figure.axes == [axes]
    figure, axes = plots.chart(6, 4, rows=2, columns=3)
    assert axes.shape == (2, 3) and figure.axes == list(axes.flat)
    axes[0, 1].set_xlim(3, 5)
    assert axes[1, 1].get_xlim() != (3, 5)
    _, axes = plots.chart(6, 4, rows=2, columns=2, xlabels=["time", "step"])
    axes[0, 1].set_xlim(3, 5)
    assert axes[1, 1].get_xlim() == (3, 5) and axes[1, 0].get_xlim() != (3, 5)


@pytest.mark.parametrize("rows", [1, 2])
def test_the_columns_of_a_chart_are_named_once(rows):
    _, axes = plots.chart(6, 4, rows=rows, columns=2, xlabels=["time", "step"])
    names = [each.get_xlabel() for each in axes.flat]
    assert names == ["", ""] * (rows - 1) + ["time", "step"]
    _, axes = plots.chart(6, 4, xlabels=["time"])
    assert axes.get_xlabel() == "time"
    with pytest.raises(ValueError, match="xlabels must be one for each column: 2; got 1"):
        plots.chart(6, 4, columns=2, xlabels=["time"])


@pytest.mark.parametrize("name", FIGURES)
def test_path_that_cannot_be_written(tmp_path, name):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(OSError, match=r"Cannot write the figure: .*file/a\.png"):
        FIGURES[name](path=tmp_path / "file" / "a.png")
    with pytest.raises(IsADirectoryError, match="Cannot write the figure"):
        FIGURES[name](path=tmp_path)
    assert (tmp_path / "file").read_text() == "mine"
    assert os.listdir(tmp_path) == ["file"]


def test_a_failed_write_leaves_the_former_figure(tmp_path):
    path = tmp_path / "a.png"
    figure = plots.losses({"loss": [1.0, 2.0]}, path=path)
    before = path.read_bytes()

    def full_disk(target, **options):
        Path(target).write_bytes(b"half a pict")
        raise OSError(28, "No space left on device")

    figure.savefig = full_disk
    with pytest.raises(OSError, match=r"No space left on device: .*a\.png") as caught:
        plots.save(figure, path)
    assert caught.value.errno == 28
    assert path.read_bytes() == before and os.listdir(tmp_path) == ["a.png"]


def test_suffix_decides_the_format(tmp_path):
    figure = plots.losses({"loss": [1.0, 2.0]})
    assert plots.save(figure, tmp_path / "a.pdf").read_bytes().startswith(b"%PDF")
    assert plots.save(figure, tmp_path / "noname").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(ValueError, match="xyz"):
        plots.save(figure, tmp_path / "a.xyz")


@pytest.mark.parametrize("name", FIGURES)
def test_figures_without_a_path_are_those_of_pyplot(name, tmp_path):
    FIGURES[name](path=tmp_path / "a.png")
    assert pyplot.get_fignums() == []
    figure = FIGURES[name]()
    assert pyplot.gcf() is figure and len(pyplot.get_fignums()) == 1
    with warnings.catch_warnings():  # without a display there is nothing to see
        warnings.filterwarnings("ignore", message=".*non-interactive")
        figure.show()
        pyplot.show()
    pyplot.close(figure)
    assert pyplot.get_fignums() == []


def test_a_chart_can_be_shown():
    figure, _ = plots.chart(3, 3)
    assert pyplot.get_fignums() == []
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*non-interactive")
        figure.show()
    assert pyplot.gcf() is figure


def test_many_open_figures_are_what_users_know():
    with pytest.warns(RuntimeWarning, match="More than 20 figures"):
        for _ in range(21):
            plots.grid(noise(1, 2, 2))


def test_a_notebook_shows_a_figure_once(monkeypatch):
    """At the end of a cell, the inline backend draws what is open; a result was drawn before."""
    shown = []
    ipython = types.ModuleType("IPython.display")
    ipython.display = lambda data, raw: shown.append(data)
    monkeypatch.setitem(sys.modules, "IPython", types.ModuleType("IPython"))
    monkeypatch.setitem(sys.modules, "IPython.display", ipython)
    figure, other = plots.grid(noise(1, 2, 2)), plots.grid(noise(1, 2, 2))
    with pytest.raises(NotImplementedError):  # in a terminal, its window stays
        figure._ipython_display_()
    assert len(pyplot.get_fignums()) == 2
    monkeypatch.setattr(matplotlib, "get_backend", lambda: "module://matplotlib_inline.backend")
    figure._ipython_display_()
    assert [data["image/png"] for data in shown] == [figure._repr_png_()]
    assert pyplot.get_fignums() == [other.number]


@pytest.mark.parametrize(
    ("absent", "code"),
    [
        ("matplotlib", "import kgen, kgen.callbacks, kgen.plots"),
        (
            "matplotlib.pyplot",
            """
import numpy as np
from kgen import plots
path = {path!r}
plots.grid(np.zeros((4, 8, 8, 1), "uint8"), path=path)
plots.losses({{"loss": [1.0, 2.0]}}, path=path)
plots.latent_scatter(np.eye(3), [0, 1, 2], path=path)
plots.bands([1, 2, 3], np.eye(3)[None], ["a"], path=path)
plots.computation_graph({{"x": (0, 0), "y": (1, 0)}}, {{"~x -> y": "blocked"}}, path=path)
plots.chart(2, 2)[0]._repr_png_()
""",
        ),
    ],
)
def test_matplotlib_comes_late_and_pyplot_for_open_figures_alone(absent, code, tmp_path):
    # Keras imports both if it can: only what works without them does not import them.
    code = code.format(path=str(tmp_path / "a.png"))
    code = f"import sys; sys.modules[{absent!r}] = None\n{code}"
    subprocess.run([sys.executable, "-c", code], check=True)
