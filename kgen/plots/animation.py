"""Figures and images that follow each other."""

import io
import os

import numpy as np
from PIL import Image

from kgen.arguments import check_regular
from kgen.arrays import to_numpy
from kgen.plots.images import magnified, magnified_size, shown
from kgen.plots.style import as_png, write_file


def animation(paths_or_frames, path, seconds_per_frame=0.5, last=2.0, max_bytes=None):
    """Write an animated GIF that runs for ever.

    Args:
        paths_or_frames: image files, Figures, or images `(N, H, W, C)` (or a list of `(H, W, C)`),
            uint8 or floats in [-1, 1]; small images are magnified. Frames smaller than the largest
            one stand in its middle, on white.
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
    if hasattr(item, "savefig"):
        with Image.open(io.BytesIO(as_png(item))) as image:
            return image.convert("RGB")
    pixels, _ = shown(to_numpy(item)[None], "frames")
    side = max(480, *pixels.shape[1:3])
    size = magnified_size(pixels.shape[1:3], side, side)
    return Image.fromarray(magnified(pixels, size)[0, ..., :3].copy())


def _size(item):
    if isinstance(item, (str, os.PathLike)):
        check_regular(item)
        with Image.open(item) as image:
            return image.size
    if hasattr(item, "savefig"):
        return tuple(np.round(item.get_size_inches() * item.dpi).astype(int))
    return _frame(item).size


def _centered(frame, size):
    if frame.size == size:
        return frame
    page = Image.new("RGB", size, "white")
    page.paste(frame, ((size[0] - frame.width) // 2, (size[1] - frame.height) // 2))
    return page
