"""Drawing at any size, in any rendering: on the host in pieces, or on the device."""

import numbers
import os
import threading

import numpy as np
from keras import ops

from kgen.data.faces import portrait, scenery
from kgen.data.faces.canvas import SEGMENTS, Canvas
from kgen.data.faces.factors import FACTORS, check_factors
from kgen.data.faces.measures import measures
from kgen.data.storage import Storage, digest_of
from kgen.progress import in_order, progress

RENDERINGS = ("photo", "sketch", "edges", "segmentation")

PIECE_PIXELS = 65536  # drawn at once on the host: an array of so many fits a core's cache
FEW_PIXELS = 2**22  # of a batch that one thread draws, where other threads draw the next ones
FINER, SMALLEST_DRAWN = 4, 64  # pixels for one of a smaller size, a side; of what is resized
LAYERS = scenery.LAYERS + portrait.LAYERS
VERSION = 1  # raised whenever the same factors give other pixels


def draw(factors, size, rendering="photo", threads=None):
    """Draw faces on the host.

    Args:
        factors: what `sample_factors` returns, whole or some rows of it, changed at will.
        size: of the square images, 8 to 1,024 pixels.
        rendering: `"photo"`, `"sketch"` (pen on paper), `"edges"` (white on black) or
            `"segmentation"` (the colours of `SEGMENTS`).
        threads: by default as many as there are processors, at most 8.

    Returns:
        uint8 `(N, size, size, 3)`.

    Raises:
        ValueError: if size, rendering or factors are not as above.
    """
    _check(size, rendering)
    check_factors(factors)
    return _pixels(factors, size, rendering, threads)


class DrawnFaces(Storage):
    """Faces that are drawn when they are asked for, whatever their number and size.

    Args:
        factors, size, rendering: as for `draw`.

    Raises:
        ValueError: if they are not as there.

    Example:

    ```python
    factors = kgen.data.faces.sample_factors(100_000, hair="curly")
    data = kgen.data.ImageDataset(kgen.data.faces.DrawnFaces(factors, 256))
    ```
    """

    def __init__(self, factors, size, rendering="photo"):
        _check(size, rendering)
        check_factors(factors)
        self.factors = {name: np.asarray(factors[name]) for name in (*FACTORS, "detail")}
        self.rendering = rendering
        self.shape = (len(self.factors["detail"]), size, size, 3)

    def read(self, indices):
        """Draw these."""
        size, waited_for = self.shape[1], threading.current_thread() is threading.main_thread()
        few = not waited_for and len(indices) * size**2 <= FEW_PIXELS
        return _pixels(self._of(indices), size, self.rendering, 1 if few else None)

    def resized(self, size, crop=False):
        """Photos are drawn no larger than `FINER` times the size that is asked for."""
        drawn = max(FINER * max(size), SMALLEST_DRAWN)
        if self.rendering != "photo" or drawn >= self.shape[1]:
            return super().resized(size, crop)
        return DrawnFaces(self.factors, drawn, self.rendering).resized(size, crop)

    def identity_of(self, indices):
        """The factors: what is drawn follows from them."""
        factors = [digest_of(value) for value in self._of(indices).values()]
        return repr((VERSION, self.shape[1], self.rendering, factors))

    def _of(self, indices):
        return {name: value[indices] for name, value in self.factors.items()}


def segments(factors, size, threads=None):
    """The segment to which each pixel belongs, pixel for pixel those of `draw`.

    Returns:
        uint8 `(N, size, size)`, indices of `SEGMENTS`.
    """
    _check(size, "segmentation")
    check_factors(factors)
    return _on_host(factors, size, "segmentation", threads, ())


def draw_on_device(factors, size, rendering="photo"):
    """Draw faces with the backend's operations, also inside a compiled step.

    Args:
        factors: as for `draw`, of arrays or tensors; nothing is checked but size and rendering.
        size: of the square images, 8 to 1,024 pixels, a Python integer.
        rendering: as for `draw`.

    Returns:
        float32 tensor `(N, size, size, 3)` in [-1, 1], at most two levels of 255 from `draw`'s.
    """
    _check(size, rendering)
    factors = {name: ops.convert_to_tensor(value) for name, value in factors.items()}
    planes = _planes(ops, factors, size, rendering, 0, size)
    if rendering == "segmentation":
        colors = np.array(list(SEGMENTS.values()), "float32") / 127.5 - 1
        return ops.take(colors, ops.cast(planes[0], "int32"), axis=0)
    return ops.clip(ops.stack(planes, axis=-1) * 2.0 - 1.0, -1.0, 1.0)


def _check(size, rendering):
    if not isinstance(size, numbers.Integral) or not 8 <= size <= 1024:
        raise ValueError(f"size must be an integer from 8 to 1024; got {size!r}.")
    if rendering not in RENDERINGS:
        raise ValueError(f"rendering must be one of {RENDERINGS}; got {rendering!r}.")


def _pixels(factors, size, rendering, threads):
    if rendering == "segmentation":
        colors = np.array(list(SEGMENTS.values()), "uint8")
        return colors[_on_host(factors, size, rendering, threads, ())]
    return _on_host(factors, size, rendering, threads, (3,))


def _on_host(factors, size, rendering, threads, channels):
    factors = {name: np.asarray(factors[name]) for name in (*FACTORS, "detail")}
    n = len(factors["detail"])
    images = np.empty((n, size, size, *channels), "uint8")
    rows = min(size, max(8, PIECE_PIXELS // size))
    together = max(1, PIECE_PIXELS // (size * rows))
    # Faces that are alike come together: shapes that none of them has are left out.
    order = np.lexsort([factors[name] for name in ("glasses", "hair", "background")])

    def piece(job):
        first, top = job
        chosen, bottom = order[first : first + together], min(top + rows, size)
        some = {name: value[chosen] for name, value in factors.items()}
        planes = _planes(np, some, size, rendering, top, bottom)
        if not channels:
            images[chosen, top:bottom] = planes[0].astype("uint8")
            return
        pixels = np.empty((len(chosen), bottom - top, size, 3), "uint8")
        for channel, plane in enumerate(planes):
            pixels[..., channel] = np.clip(plane * 255 + 0.5, 0, 255)
        images[chosen, top:bottom] = pixels

    jobs = [(first, top) for first in range(0, n, together) for top in range(0, size, rows)]
    threads = min(len(jobs), threads or min(8, os.cpu_count() or 1))
    # In order, so that little is left to do when a process ends meanwhile.
    done = map(piece, jobs) if threads <= 1 else in_order(piece, jobs, threads)
    list(progress(done, len(jobs), "Drawing faces"))
    return images


def _planes(xp, factors, size, rendering, top, bottom):
    """Rows `top` to `bottom` of the faces: planes (n, rows, size), colours in [0, 1]."""
    face = measures(xp, factors)
    canvas = Canvas(xp, face, size, rendering, top, bottom)
    for paint, (above, below, left, right), flag in LAYERS:
        part = canvas.part(above, below, left, right)
        if part is not None and not part.none(getattr(face, flag)):
            paint(part, face)
    if rendering == "segmentation":
        return canvas.segment
    if rendering == "edges":
        return canvas.lines * 3
    if rendering == "sketch":
        return _sketch(canvas)
    return canvas.color


def _sketch(canvas):
    """Pen on paper: outlines, and hatching where the photo is dark."""
    xp = canvas.xp
    r, g, b = canvas.color
    light = 0.35 * r + 0.5 * g + 0.15 * b
    count = min(70, canvas.size / 4)
    ink = canvas.lines[0]
    for slope, dark in ((1.0, 0.40), (-1.0, 0.16)):
        phase = (canvas.x * 0.8 + slope * canvas.y) * count
        wave = xp.abs(phase - xp.floor(phase) - 0.5) * 2
        ink = xp.maximum(ink, xp.clip((dark - light) * 2.4 - wave + 0.30, 0.0, 1.0) * 0.75)
    ink = xp.maximum(ink, xp.clip((0.19 - light) * 14, 0.0, 1.0)) * 0.9
    return [1 - ink * k for k in (0.86, 0.88, 0.84)]
