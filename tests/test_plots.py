import os
import subprocess
import sys
from pathlib import Path

import keras
import matplotlib
import numpy as np
import pytest
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
    assert axes[1, 1].get_xlim() == (3, 5) and axes[1, 0].get_xlim() != (3, 5)


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


@pytest.mark.parametrize(
    ("absent", "code"),
    [
        ("matplotlib", "import kgen, kgen.callbacks, kgen.plots"),
        (
            "matplotlib.pyplot",
            """
import numpy as np
from kgen import plots
plots.grid(np.zeros((4, 8, 8, 1), "uint8"))._repr_png_()
plots.losses({"loss": [1.0, 2.0]})._repr_png_()
plots.latent_scatter(np.eye(3), [0, 1, 2])._repr_png_()
""",
        ),
    ],
)
def test_matplotlib_comes_late_and_pyplot_never(absent, code):
    # Keras imports both if it can: only what works without them does not import them.
    code = f"import sys; sys.modules[{absent!r}] = None\n{code}"
    subprocess.run([sys.executable, "-c", code], check=True)
