"""Pictures made of images: grids, rows, a latent space, an animation."""

import io
import math
import os
import statistics
import textwrap

import numpy as np
from PIL import Image

from kgen.arguments import check_regular, positive
from kgen.arrays import to_numpy
from kgen.data.dataset import resize
from kgen.data.ranges import refuse_channels_first, to_uint8
from kgen.plots.style import DPI, as_texts, finish, new_figure, tick_positions, write_file

GAP = 6  # pixels between images
MARGIN = 18  # pixels around them
MAGENTA = (255, 0, 255)  # pixels that are no number


def grid(images, columns=None, labels=None, *, title=None, path=None):
    """Images in rows and columns.

    Args:
        images: `(N, H, W, C)` or `(N, H, W)`, uint8 or floats in [-1, 1].
        columns: images in a row; by default as many as make the grid a square.
        labels: None, or N things to write over the images.
        title: of the figure.
        path: file to write.

    Returns:
        The Figure.

    Raises:
        ValueError: if the images are not as above or there are none, or labels are not N.
        OSError: if `path` cannot be written.
    """
    pixels, note = _pixels(images)
    labels = as_texts(labels, len(pixels), "labels", "image")
    columns = _columns(columns, math.ceil(math.sqrt(len(pixels))), len(pixels))
    tiles = _fit(pixels, min(900 // columns, 320))
    height, width = tiles.shape[1:3]
    size = _font_that_fits(labels, width + GAP)
    room = round(size * 2.9) if labels else 0
    canvas = _tile(tiles, columns, GAP, GAP + room)
    figure, axes = _picture(canvas, title, note, top=room)
    for i, label in enumerate(labels):
        row, column = divmod(i, columns)
        x, y = (
            column * (width + GAP) + width / 2,
            row * (height + GAP + room) - GAP,
        )
        axes.text(x, y, label, size=size, ha="center", va="bottom")
    return finish(figure, path)


def reconstructions(images, reconstructions, columns=None, *, title=None, path=None):
    """Originals, and under each its reconstruction.

    Args:
        images: `(N, H, W, C)` or `(N, H, W)`, uint8 or floats in [-1, 1].
        reconstructions: of the same shape; the dtype may differ.
        columns: pairs in a row, at most 10 by default.
        title: of the figure.
        path: file to write.

    Returns:
        The Figure.

    Raises:
        ValueError: if either is not as above, there are none, or the shapes differ.
        OSError: if `path` cannot be written.
    """
    originals, note = _pixels(images)
    copies, _ = _pixels(reconstructions, "reconstructions")
    shapes = [tuple(x.shape) + (1,) * (len(x.shape) == 3) for x in (images, reconstructions)]
    if shapes[0] != shapes[1]:
        raise ValueError(
            f"Every image needs its reconstruction, of the same shape: got {shapes[0]} and "
            f"{shapes[1]}."
        )
    columns = _columns(columns, 10, len(originals))
    side = min(1200 // columns, 200)
    above, below = _fit(originals, side), _fit(copies, side)
    height = above.shape[1]
    pairs = np.concatenate([above, np.zeros_like(above[:, :GAP]), below], axis=1)
    canvas = _tile(pairs, columns, GAP, 5 * GAP)
    figure, axes = _picture(canvas, title, note, left=190)
    for top in range(0, len(canvas), 2 * height + 6 * GAP):
        for y, text in ((top, "original"), (top + height + GAP, "reconstruction")):
            axes.text(-12, y + height / 2, text, size=10, ha="right", va="center")
    return finish(figure, path)


def strips(sequences, labels=None, steps=None, *, title=None, path=None):
    """Rows of images that change step by step: interpolations, sampling in progress.

    Args:
        sequences: `(rows, steps, H, W, C)`, uint8 or floats in [-1, 1].
        labels: None, or one name per row, written to its left.
        steps: None, or one name or number per step, written over the columns.
        title: of the figure.
        path: file to write.

    Returns:
        The Figure.

    Raises:
        ValueError: if the sequences are not as above or empty, or the labels or steps do not match.
        OSError: if `path` cannot be written.
    """
    sequences = to_numpy(sequences)
    if sequences.ndim != 5:
        hint = " A single strip needs an axis: sequences[None]." if sequences.ndim == 4 else ""
        raise ValueError(
            f"sequences must have shape (rows, steps, height, width, channels); got "
            f"{sequences.shape}.{hint}"
        )
    rows, columns = sequences.shape[:2]
    pixels, note = _pixels(sequences.reshape(-1, *sequences.shape[2:]), "sequences")
    labels = as_texts(labels, rows, "labels", "row")
    steps = as_texts(steps, columns, "steps", "column")
    tiles = _fit(pixels, min(1200 // columns, 200))
    height, width = tiles.shape[1:3]
    left = 24 + max((13 * len(line) for text in labels for line in text.split("\n")), default=0)
    size = _font_that_fits(steps, width + GAP)
    figure, axes = _picture(
        _tile(tiles, columns, GAP, GAP),
        title,
        note,
        left=left if labels else 0,
        top=round(size * 2.9) if steps else 0,
    )
    for row, text in enumerate(labels):
        y = row * (height + GAP) + height / 2
        axes.text(-12, y, text, size=10, ha="right", va="center")
    for column, text in enumerate(steps):
        x = column * (width + GAP) + width / 2
        axes.text(x, -GAP, text, size=size, ha="center", va="bottom")
    return finish(figure, path)


def preview(rows, *, title=None, path=None):
    """What a model's `preview` returns: a grid of one row, several below each other by name.

    Args:
        rows: dictionary from names to images `(n, H, W, C)`, uint8 or floats in [-1, 1]; grey ones
            beside colour become colour.
        title: of the figure.
        path: file to write.

    Returns:
        The Figure.

    Raises:
        ValueError: if the rows are no images of one size, or of several numbers.
        OSError: if `path` cannot be written.
    """
    images = {name: to_numpy(row) for name, row in rows.items()}
    if not images:
        raise ValueError("rows is empty: there is nothing to draw.")
    if len(images) == 1:
        return grid(*images.values(), title=title, path=path)
    channels = max(row.shape[-1] for row in images.values())
    wide = [np.repeat(r, channels, -1) if r.shape[-1] == 1 else r for r in images.values()]
    if len({row.shape for row in wide}) > 1:
        shapes = {name: row.shape for name, row in images.items()}
        raise ValueError(f"rows must be images of one size, as many in each; got {shapes}.")
    return strips(np.stack(wide), [*images], title=title, path=path)


def manifold(decode, n=20, *, title=None, path=None):
    """What a two-dimensional latent space holds: images at the quantiles of its prior N(0, 1).

    The images stand edge to edge at the quantiles (i + 1/2) / n of each coordinate, so each stands
    for the same share of the prior (Kingma and Welling 2014, figure 4). z1 grows to the right, z2
    upwards.

    Args:
        decode: function of float32 latents `(n * n, 2)` that returns as many images.
        n: images along each axis.
        title: of the figure.
        path: file to write.

    Returns:
        The Figure.

    Raises:
        ValueError: if `n` is not positive or `decode` does not return `n * n` images.
        OSError: if `path` cannot be written.
    """
    n = positive(n, "n")
    normal = statistics.NormalDist()
    values = np.array([normal.inv_cdf((i + 0.5) / n) for i in range(n)], "float32")
    z1, z2 = np.meshgrid(values, values[::-1])  # the picture's first row is the largest z2
    pixels, note = _pixels(decode(np.stack([z1.ravel(), z2.ravel()], axis=1)), "decoded images")
    if len(pixels) != n * n:
        raise ValueError(f"decode returned {len(pixels)} images for {n * n} latents.")
    tiles = _fit(pixels, 1200 // n)
    height, width = tiles.shape[1:3]
    figure, axes = _picture(_tile(tiles, n, 0, 0), title, note, left=90, bottom=75, right=GAP)
    axes.set_axis_on()
    axes.spines[:].set_visible(False)
    shown = np.array(tick_positions(n))
    names = [f"{value:.2f}".replace("-", "\N{MINUS SIGN}") for value in values[shown]]
    axes.set_xticks((shown + 0.5) * width, names)
    axes.set_yticks((n - shown - 0.5) * height, names)
    axes.tick_params(labelsize=9)
    axes.set_xlabel("$z_1$", size=12)
    axes.set_ylabel("$z_2$", size=12)
    return finish(figure, path)


def animation(paths_or_frames, path, seconds_per_frame=0.5, last=2.0, max_bytes=None):
    """Write an animated GIF that runs for ever.

    Args:
        paths_or_frames: image files, or images `(N, H, W, C)` (or a list of `(H, W, C)`), uint8 or
            floats in [-1, 1]; small images are magnified. Frames smaller than the largest one stand
            in its middle, on white.
        path: the file to write.
        seconds_per_frame: how long each is shown, a multiple of 0.01.
        last: seconds for which the last one is shown, if longer.
        max_bytes: None, or about how large the file may be. If all frames take more, they are shown
            in 64 colours, and down to half as wide, so that 24 of them fit, and as many as fit are
            chosen, evenly spaced; at least 8, however large. They take as long as all of them
            would, but at most half a second each.

    Returns:
        The path, a `pathlib.Path`.

    Raises:
        ValueError: if there are no frames, a frame is no image, or the time is below 0.01.
        OSError: if a frame cannot be read or `path` not be written.
    """
    if seconds_per_frame < 0.01:
        raise ValueError(f"seconds_per_frame must be 0.01 or more; got {seconds_per_frame!r}.")
    items = list(paths_or_frames)
    if not items:
        raise ValueError("An animation needs frames; there are none.")
    # Sizes first, so that never more than one frame is in memory with all its colours.
    size = tuple(np.max([_size(item) for item in items], axis=0).tolist())
    count, form = len(items), _FORMS[0]
    if max_bytes is not None:
        count, form = _as_fits(items, size, max_bytes)
    while True:
        frames = _frames(items, size, count, form)
        seconds = min(seconds_per_frame * len(items) / count, max(0.5, seconds_per_frame))
        milliseconds = [round(1000 * seconds)] * count
        milliseconds[-1] = max(milliseconds[-1], round(1000 * last))
        content = _gif(frames, duration=milliseconds, loop=0)
        if max_bytes is None or len(content) <= max_bytes or count <= _FEWEST:
            break
        count = max(_FEWEST, min(count - 1, count * max_bytes // len(content)))
    return write_file(path, lambda target: target.write_bytes(content))


_FORMS = ((1.0, 256), (1.0, 64), (0.7, 64), (0.5, 64))  # of frames: their scale, their colours
_SMOOTH, _FEWEST = 24, 8  # frames of an animation that has to be small


def _as_fits(items, size, max_bytes):
    """How many frames fit, and in which form: the best in which so many do as look smooth."""
    for form in _FORMS:
        some = _frames(items, size, min(len(items), 3), form)
        count = max_bytes * len(some) // sum(len(_gif([frame])) for frame in some)
        if count >= min(len(items), _SMOOTH):
            break
    return min(len(items), max(count, _FEWEST)), form


def _frames(items, size, count, form):
    """So many of the frames, evenly spaced, with their colours chosen."""
    scale, colors = form
    smaller = tuple(round(side * scale) for side in size)
    chosen = np.linspace(0, len(items) - 1, count).round().astype(int) if count > 1 else [-1]
    pages = (_centered(_frame(items[i]), size) for i in chosen)
    return [
        (page if scale == 1 else page.resize(smaller, Image.Resampling.BOX)).quantize(colors)
        for page in pages
    ]


def _gif(frames, **options):
    file = io.BytesIO()
    frames[0].save(file, "GIF", save_all=True, append_images=frames[1:], **options)
    return file.getvalue()


def _frame(item):
    """A frame as an RGB image of Pillow; arrays are magnified to about 480 pixels."""
    if isinstance(item, (str, os.PathLike)):
        with Image.open(item) as image:
            return image.convert("RGB")
    pixels, _ = _pixels(to_numpy(item)[None], "frames")
    return Image.fromarray(_fit(pixels, max(480, *pixels.shape[1:3]))[0, ..., :3].copy())


def _size(item):
    if isinstance(item, (str, os.PathLike)):
        check_regular(item)
        with Image.open(item) as image:
            return image.size
    return _frame(item).size


def _centered(frame, size):
    if frame.size == size:
        return frame
    page = Image.new("RGB", size, "white")
    page.paste(frame, ((size[0] - frame.width) // 2, (size[1] - frame.height) // 2))
    return page


def _pixels(images, name="images"):
    """Images as they are shown, uint8 RGBA `(N, H, W, 4)`, and what the title must add."""
    images = to_numpy(images)
    dtype, shape = images.dtype, images.shape
    if images.ndim not in (3, 4):
        hint = f" A single image needs a batch axis: {name}[None]." if images.ndim == 2 else ""
        raise ValueError(
            f"{name} must have shape (N, height, width, channels) or (N, height, width); got "
            f"{shape}.{hint}"
        )
    if 0 in shape:
        raise ValueError(f"{name} is empty: shape {shape}.")
    if dtype != np.uint8 and "float" not in str(dtype):
        raise ValueError(f"{name} must be uint8 in [0, 255] or floats in [-1, 1]; got {dtype}.")
    refuse_channels_first(shape, name)
    if images.ndim == 3:
        images = images[..., None]
    channels = images.shape[-1]
    note = "" if channels in (1, 3) else f"channel 1 of {channels}"
    if channels != 3:
        images = images[..., :1]
    if dtype == np.uint8:
        rgb = np.broadcast_to(images, (*images.shape[:3], 3))
    else:
        images = images.astype("float32")
        finite = np.isfinite(images)
        images = np.where(finite, images, np.float32(0))
        if images.min() >= 0 and images.max() > 2:
            raise ValueError(
                f"{name} has floats up to {images.max():.4g}, none negative; expected floats in "
                f"[-1, 1]. Pixels of 0 to 255: use {name}.astype('uint8')."
            )
        rgb = np.broadcast_to(to_uint8(images), (*images.shape[:3], 3)).copy()
        rgb[~finite.all(axis=-1)] = MAGENTA
    return np.concatenate([rgb, np.full_like(rgb[..., :1], 255)], axis=-1), note


def _fit(images, side):
    """Images magnified by an integer (pixels stay squares) or reduced, to at most `side` pixels."""
    height, width = images.shape[1:3]
    longest = max(height, width)
    side = max(side, min(longest, 32))  # tiny images are never reduced
    if factor := side // longest:
        return images.repeat(factor, axis=1).repeat(factor, axis=2)
    return resize(images, [max(1, round(n * side / longest)) for n in (height, width)])


def _columns(columns, default, n):
    return min(default if columns is None else positive(columns, "columns"), n)


def _tile(images, columns, gap_x, gap_y):
    """One picture of many; what lies between them is transparent."""
    height, width = images.shape[1] + gap_y, images.shape[2] + gap_x
    rows = math.ceil(len(images) / columns)
    canvas = np.zeros((rows * height - gap_y, columns * width - gap_x, 4), "uint8")
    for i, image in enumerate(images):
        y, x = i // columns * height, i % columns * width
        canvas[y : y + image.shape[0], x : x + image.shape[1]] = image
    return canvas


def _picture(canvas, title, note, left=0, right=0, top=0, bottom=0):
    """A figure that shows a canvas pixel by pixel with a margin around, and its axes.

    The axes count the canvas's pixels from its upper left corner.
    """
    height, width = canvas.shape[:2]
    left, right, top, bottom = (
        left + MARGIN,
        right + MARGIN,
        top + MARGIN,
        bottom + MARGIN,
    )
    missing = max(0, 480 - (left + width + right))
    left, right = left + missing // 2, right + missing - missing // 2
    text = "" if title is None else str(title)
    if note:
        text = f"{text} ({note})" if text else note
    if text:
        lines = textwrap.wrap(text, (left + width + right) // 14)
        text, top = "\n".join(lines), top + 32 * len(lines)
    total = np.array([left + width + right, bottom + height + top])
    figure = new_figure(*total)
    axes = figure.add_axes([*np.array([left, bottom]) / total, *np.array([width, height]) / total])
    axes.imshow(canvas, interpolation="nearest", extent=(0, width, height, 0))
    axes.set_axis_off()
    if text:
        figure.text(0.5, 1 - 12 / total[1], text, size=12, ha="center", va="top")
    return figure, axes


def _font_that_fits(texts, pixels):
    """Points at which the longest text is not wider than so many pixels, 9 at most."""
    longest = max((len(text) for text in texts), default=1)
    return float(np.clip(pixels * 72 / DPI / (0.62 * max(longest, 1)), 3, 9))
