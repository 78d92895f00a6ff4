import os

import keras
import numpy as np
import pytest
from figures import faults
from PIL import Image
from scipy.stats import norm

from kgen import metrics, plots
from kgen.data import to_uint8
from kgen.plots.images import GAP


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


def titles(figure):
    return [figure.get_suptitle()] if figure.get_suptitle() else []


def texts(figure):
    return titles(figure) + [text.get_text() for axes in figure.axes for text in axes.texts]


def assert_tiles(picture, images, columns, gap=GAP, rows_apart=GAP):
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


def test_gray_levels_are_not_stretched(tmp_path):
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
    assert faults(figure) == []
    assert [
        t.get_text() for t in plots.grid(noise(2, 8, 8), labels=[0.12345, "b"]).axes[0].texts
    ] == [
        "0.123",
        "b",
    ]


def test_long_titles_and_labels_stay_inside(tmp_path):
    label = "a very long class name"
    figure = plots.grid(noise(9, 8, 8, 1), labels=[label] * 9, title="a long title " * 12)
    assert faults(figure) == []


def test_large_images_are_reduced_without_changing_their_shape(tmp_path):
    images = np.full((9, 500, 250, 3), 77, "uint8")
    picture = rendered(plots.grid(images), tmp_path)
    height, width = ((side - 2 * GAP) / 3 for side in picture.shape[:2])
    assert height == 2 * width and 300 <= height <= 340
    assert set(np.unique(picture)) == {77, 255}


@pytest.mark.parametrize("channels", [2, 4, 7])
def test_other_channel_counts_show_the_first_and_say_so(tmp_path, channels):
    images = noise(4, 8, 8, channels)
    figure = plots.grid(images, title="Bands")
    assert texts(figure) == ["Bands", f"(channel 1 of {channels})"]
    assert_tiles(rendered(figure, tmp_path), images[..., :1], 2)
    assert texts(plots.grid(images)) == [f"(channel 1 of {channels})"]


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
    side = (picture.shape[1] - 2 * GAP) // 3
    assert side % 8 == 0
    band = 2 * (side + GAP)
    for i in range(5):
        x, y = i % 3 * (side + GAP), i // 3 * band
        for image, top in ((images[i], y), (copies[i], y + side + GAP)):
            tile = picture[top : top + side, x : x + side]
            wanted = image.repeat(side // 8, 0).repeat(side // 8, 1)
            np.testing.assert_array_equal(tile, np.broadcast_to(wanted, tile.shape))
    assert texts(figure) == ["After training", *["original", "reconstruction"] * 2]
    assert faults(figure) == []


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
    assert faults(figure) == []


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
        color = np.concatenate([latents / 4, np.zeros((len(latents), 1))], axis=1)
        return np.broadcast_to(color[:, None, None, :], (len(latents), 4, 4, 3))

    figure = plots.manifold(decode, n=6)
    quantiles = norm.ppf((np.arange(6) + 0.5) / 6)
    (latents,) = seen
    assert latents.dtype == np.float32 and latents.shape == (36, 2)
    wanted = [(x, y) for y in quantiles[::-1] for x in quantiles]  # rows downwards: z2 falls
    np.testing.assert_allclose(latents, wanted, rtol=1e-6)
    axes = figure.axes[0]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("$z_1$", "$z_2$")
    picture = rendered(figure, tmp_path)
    side = (picture.shape[0] + 2) // 6
    assert picture.shape[:2] == (6 * side - 2, 6 * side - 2)
    for getter, channel in ((axes.get_xticks, 0), (axes.get_yticks, 1)):
        labels = (axes.get_xticklabels(), axes.get_yticklabels())[channel]
        assert len(labels) == 6
        for tick, label in zip(getter(), labels, strict=True):
            value = float(label.get_text().replace("\N{MINUS SIGN}", "-"))
            x, y = (int(tick), 5) if channel == 0 else (5, int(tick))
            x, y = min(x, picture.shape[1] - 5), min(y, picture.shape[0] - 5)
            assert abs(picture[y, x, channel] - (value / 4 + 1) * 127.5) <= 2


def test_bad_manifold():
    with pytest.raises(ValueError, match="decode returned 3 images for 16 latents"):
        plots.manifold(lambda z: noise(3, 8, 8, 1), n=4)
    with pytest.raises(ValueError, match="decoded images must have shape"):
        plots.manifold(lambda z: noise(16, 8), n=4)
    with pytest.raises(ValueError, match="n must be a positive integer"):
        plots.manifold(lambda z: z, n=0)


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
                gray = (
                    gif.convert("RGB").resize((96, 96), Image.Resampling.NEAREST).crop((0, 0, 9, 5))
                )
                known.append(int(np.median(np.asarray(gray))) / 4)
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


def test_labels_of_small_images_are_not_on_each_other():
    images = np.zeros((64, 64, 64, 3), "uint8")
    assert faults(plots.grid(images, labels=["square", "round"] * 32)) == []


def test_previews_are_a_grid_or_rows_by_name(tmp_path):
    gray, color = np.zeros((2, 8, 8, 1)), np.zeros((2, 8, 8, 3))
    rows = {"input": gray, "output": color}
    figure = plots.preview(rows, path=tmp_path / "rows.png")
    assert {text.get_text() for text in figure.axes[0].texts} == {*rows}
    assert not [*plots.preview({"generated": gray}, path=tmp_path / "one.png").axes[0].texts]
    for bad in ({}, {"a": gray, "b": gray[:1]}, {"a": gray, "b": color[:, :4]}):
        with pytest.raises(ValueError, match="rows"):
            plots.preview(bad, path=tmp_path / "bad.png")


def test_extremes_are_the_least_and_the_greatest():
    images, scores = noise(9, 8, 8, 1), np.array([3, 1, 4, 1.5, 9, 2, 6, 5, 3.5])
    panel = plots.Images.extremes(images, scores, scores > 2, "high", 4, names="abcd")
    order = [1, 3, 5, 0, 4, 6, 7, 2]
    np.testing.assert_array_equal(panel.pixels[..., 0], images[order, ..., 0])
    assert panel.columns == 2 and panel.notes == [""] * 3 + ["high"] * 5
    assert [frame is not None for frame in panel.frames] == [False] * 3 + [True] * 5
    few = plots.Images.extremes(images[:5], scores[:5], scores[:5] > 2, "high")
    assert len(few.pixels) == 4 and few.columns == 1


def test_generated_images_stand_above_their_neighbours(tmp_path):
    train = noise(12, 8, 8, 1)
    generated = np.concatenate([noise(3, 8, 8, 1, seed=1), train[7:8]])  # the last one is a copy
    found = metrics.memorization(generated, train, noise(9, 8, 8, 1, seed=2))
    figure = plots.slide(plots.Images.neighbors(found, 2))
    order = np.argsort(found.distances)[:2]
    assert order[0] == 3
    rows = [generated[:2], train[found.indices[:2]], generated[order], train[found.indices[order]]]
    assert_tiles(rendered(figure, tmp_path), np.concatenate(rows), 2)
    assert texts(figure) == ["sample", "nearest", "most alike", "nearest"]
    assert len(plots.Images.neighbors(found).pixels) == 4 * 4


def test_points_are_pixels_where_they_lie():
    real, cloud = np.float32([[0, 0], [1, 1], [9, 0]]), np.float32([[1, 1], [-1, 0], [np.nan, 0]])
    options = {"within": 1, "side": 11, "dot": 1}
    (image,) = plots.cloud_images([cloud], real, **options)
    rgb = {name: tuple(bytes.fromhex(getattr(plots, name)[1:])) for name in ("REAL", "GENERATED")}
    seen = {(x, y): tuple(image[10 - y, x]) for y, x in np.argwhere((image[::-1] < 255).any(-1))}
    assert seen == {(5, 5): rgb["REAL"], (10, 10): rgb["GENERATED"], (0, 5): rgb["GENERATED"]}
    assert (plots.cloud_images([cloud[2:]]) == 255).all()
    large = plots.cloud_images([cloud], within=1, side=12)[0] < 255
    assert large.any(axis=-1).sum() == 8 and large[:2, -2:].any(axis=-1).all()
