"""Pictures made of images: rows and columns of them, and what a latent space holds."""

import math
import statistics

import numpy as np

from kgen.arguments import positive
from kgen.arrays import to_numpy
from kgen.data.dataset import resize
from kgen.data.ranges import refuse_channels_first, to_uint8
from kgen.plots.slide import Panel, height_of, slide, width_of
from kgen.plots.style import (
    DPI,
    FAINT,
    GENERATED,
    LABEL,
    REAL,
    SLIDE,
    TICK,
    WRONG,
    as_texts,
    in_lines,
)
from kgen.plots.texts import Said, say

GAP = 8  # pixels between images
FRAME, LINE = 6, 2  # pixels of a frame around one, of a line where some end in white
LARGEST = 360  # pixels of a side
NARROW = 200  # pixels in which a heading is not wrapped further
MAGENTA = (255, 0, 255)  # pixels that are no number


class Images(Panel):
    """Images in rows and columns, magnified by a whole number, with what is written beside them.

    Args:
        images: `(N, H, W, C)` or `(N, H, W)`, or `(rows, columns, H, W, C)`; uint8 or floats in
            [-1, 1].
        columns: images in a row, of the first two shapes; by default as many as make a square.
        names: None, or a name for each row, to its left.
        steps: None, or a name or number for each column, above it.
        notes: None, or for each image what is written below it.
        frames: None, or for each image the colour of a frame around it, or None.
        heading: a text over all.
        gap: pixels between two.
        share: its part of the width of its row, at most.

    Raises:
        ValueError: if the images are not as above or there are none, or something beside them is
            not one for each.
    """

    def __init__(
        self,
        images,
        columns=None,
        names=None,
        steps=None,
        notes=None,
        frames=None,
        heading=None,
        gap=None,
        share=1.0,
    ):
        images = to_numpy(images)
        if images.ndim == 5:
            columns = images.shape[1]
            images = images.reshape(-1, *images.shape[2:])
        self.pixels, note = shown(images)
        self.share = share
        n = len(self.pixels)
        square = math.ceil(math.sqrt(n))
        self.columns = min(square if columns is None else positive(columns, "columns"), n)
        count = math.ceil(n / self.columns)
        self.names = as_texts(names, count, "names", "row")
        self.names = [in_lines(text, 330, LABEL) for text in self.names]
        self.steps = as_texts(steps, self.columns, "steps", "column")
        self.notes = as_texts(notes, n, "notes", "image")
        frames = [] if frames is None else list(frames)
        if frames and len(frames) != n:
            raise ValueError(f"frames must be one for each image: {n}; got {len(frames)}.")
        self.frames = frames
        self.gap = (GAP + FRAME * any(frames)) if gap is None else gap
        self.gap_x = self.gap
        self.heading = " ".join(filter(None, [heading and say(heading), note and f"({note})"]))

    @classmethod
    def marked(cls, images, which, word, **options):
        """Images of which some are framed, with a word below them.

        Args:
            images: as of the class.
            which: a boolean for each image.
            word: what stands below those.
            options: as of the class.
        """
        frames = [WRONG if each else None for each in which]
        notes = [word if each else "" for each in which]
        return cls(images, notes=notes, frames=frames, **options)

    @classmethod
    def extremes(cls, images, scores, which, word, n=8, **options):
        """Images with the least scores in two rows, those with the greatest in two below.

        Args:
            images: `(N, H, W, C)`, four or more.
            scores: `(N,)` numbers.
            which: a boolean for each image: which are framed, if they are among these.
            word: what stands below those.
            n: images of either kind, at most.
            options: as of the class.
        """
        order = np.argsort(scores)
        if len(order) < 4 or len(order) != len(images) or len(which) != len(images):
            lengths = len(images), len(order), len(which)
            raise ValueError(f"Extremes need four images or more, a score each; got {lengths}.")
        n = min(n, len(order) // 2) // 2 * 2
        shown = np.concatenate([order[:n], order[::-1][:n]]).reshape(4, -1)
        return cls.marked(images[shown], np.asarray(which)[shown].ravel(), word, **options)

    @classmethod
    def judged(cls, rows, names, judge, **options):
        """Rows of images; those that a judge refuses are framed, and say so.

        Args:
            rows: `(rows, columns, H, W, C)`, or a list of the rows.
            names: a name for each row, or a dictionary from names to shares of more images that are
                accepted, which stand beside.
            judge: what `accepts(images)` tells which images `(N, H, W, C)` are accepted, such as
                `kgen.latent.AcceptedBy`.
            options: as of the class.
        """
        rows = _rows(rows)
        refused = ~judge.accepts(rows.reshape(-1, *rows.shape[2:]))
        if hasattr(names, "items"):
            names = [Said(f"{say(name)}: {share:.0%}") for name, share in names.items()]
        return cls.marked(rows, refused, "refused", names=names, **options)

    @classmethod
    def with_errors(cls, rows, names, against=0, **options):
        """Rows of images, and below each its squared error a pixel from that of one of the rows.

        Args:
            rows: `(rows, columns, H, W, C)`, uint8 or floats in [-1, 1], or a list of the rows. The
                error is that of values in [-1, 1].
            names: a name for each row.
            against: the row of the originals.
            options: as of the class.
        """
        rows = _rows(rows)
        values = rows / 127.5 if rows.dtype == np.uint8 else rows
        errors = np.square(values - values[against]).mean(axis=(2, 3, 4))
        notes = [f"{e:.2g}" if i != against else "" for i, row in enumerate(errors) for e in row]
        return cls(rows, names=names, notes=notes, **options)

    @classmethod
    def named(cls, rows, **options):
        """Rows of images by name; grey ones beside colour become colour.

        Args:
            rows: dictionary from names to images `(n, H, W, C)`, uint8 or floats in [-1, 1].
            options: as of the class.

        Raises:
            ValueError: for rows of several sizes or numbers.
        """
        images = [to_numpy(row) for row in rows.values()]
        channels = max(row.shape[-1] for row in images)
        wide = [np.repeat(row, channels, -1) if row.shape[-1] == 1 else row for row in images]
        if len({row.shape for row in wide}) > 1:
            shapes = {name: row.shape for name, row in zip(rows, images, strict=True)}
            raise ValueError(f"rows must be images of one size, as many in each; got {shapes}.")
        return cls(np.stack(wide), names=[*rows], **options)

    @classmethod
    def neighbors(cls, found, n=12, **options):
        """Generated images above their nearest training images: the first, then the most alike.

        Args:
            found: what `kgen.metrics.memorization` returns.
            n: images in a row, at most.
            options: as of the class.
        """
        rows = [found.generated[:n], found.neighbors[:n], *found.closest(n)]
        return cls(np.stack(rows), names=["sample", "nearest", "most alike", "nearest"], **options)

    def rows(self):
        """So many, with room for notes."""
        return math.ceil(len(self.pixels) / self.columns) * (1.4 if self.notes else 1)

    def size(self, width, height):
        """What images take that are magnified as far as the room allows."""
        self._arrange(width, height)
        (h, w), across = self.tile, self.columns
        down = math.ceil(len(self.pixels) / across)
        edge = self.edge
        across_all = self.left + across * (w + self.gap_x) - self.gap_x + 2 * edge
        heading = width_of(self.heading)
        return (
            max(across_all, min(heading, width)),
            self.above + down * (h + self.below + self.gap) - self.gap + 2 * edge,
        )

    def _arrange(self, width, height):
        """Choose the size of a tile, and the room for texts, which follow it."""
        down, (h, w) = math.ceil(len(self.pixels) / self.columns), self.pixels.shape[1:3]
        self.left = max(map(width_of, self.names), default=-15) + 15
        white = any(map(_ends_in_white, self.pixels))
        self.edge = FRAME if any(self.frames) else LINE * white
        edge, size = 2 * self.edge, None
        heading = in_lines(self.heading, max(width, NARROW), LABEL) if self.heading else ""
        over = (height_of(LABEL) * (1 + heading.count("\n")) + GAP) if heading else 0
        for _ in range(3):  # texts are wrapped to tiles, whose size hangs on the lines of texts
            tile = size[1] if size else 10**6
            steps, notes = (
                [in_lines(t, tile + self.gap_x, TICK) if tile < 10**6 else t for t in texts]
                for texts in (self.steps, self.notes)
            )
            lines = [max((t.count("\n") + 1 for t in texts), default=0) for texts in (steps, notes)]
            self.above, self.below = over + lines[0] * height_of(TICK), lines[1] * height_of(TICK)
            across = (width - self.left - edge + self.gap_x) / self.columns - self.gap_x
            upright = (height - self.above - edge + self.gap) / down - self.gap - self.below
            room = (max(8, min(side, LARGEST)) for side in (across, upright))
            size = magnified_size((h, w), *room)
        self.tile, self.lines = size, (heading, steps, notes)

    def draw(self, figure, box):
        """Draw the tiles pixel by pixel, and the texts around."""
        self._arrange(box[2], box[3])
        (h, w), (heading, steps, notes) = self.tile, self.lines
        tiles = magnified(self.pixels, self.tile)
        edge = self.edge
        canvas = _tile(tiles, self.columns, self.gap_x, self.gap + self.below, edge, self.frames)
        axes = _place(figure, canvas, box[0] + self.left, box[1] + self.above)
        style = {"ha": "center", "clip_on": False}
        if heading:
            x = canvas.shape[1] / 2  # over the images, or where it is wider, over all
            x -= self.left / 2 * (max(map(width_of, heading.split("\n"))) > canvas.shape[1])
            y = -(self.above - height_of(LABEL) * (1 + heading.count("\n")))
            axes.text(x, y, heading, size=LABEL, va="bottom", **style)
        for row, text in enumerate(self.names):
            y = edge + row * (h + self.below + self.gap) + h / 2
            axes.text(-15, y, text, size=LABEL, ha="right", va="center")
        for column, text in enumerate(steps):
            x = edge + column * (w + self.gap_x) + w / 2
            axes.text(x, -4, text, size=TICK, va="bottom", **style)
        for i, text in enumerate(notes):
            row, column = divmod(i, self.columns)
            x = edge + column * (w + self.gap_x) + w / 2
            y = edge + row * (h + self.below + self.gap) + h + edge + 2
            axes.text(x, y, text, size=TICK, va="top", **style)


class Manifold(Panel):
    """What a latent space of two dimensions holds: images at the quantiles of its prior N(0, 1).

    The images stand at the quantiles (i + 1/2) / n of each coordinate, so each stands for the same
    share of the prior (Kingma and Welling, 2014, figure 4). z1 grows to the right, z2 upwards.

    Args:
        decode: function of float32 latents `(n * n, 2)` that returns as many images.
        n: images along each axis.
        within: None, or `((low, high), (low, high))`: evenly spaced in these ends of z1 and z2, and
            not at quantiles.
        heading: a text over it.

    Raises:
        ValueError: if `n` is not positive or `decode` does not return `n * n` images.
    """

    def __init__(self, decode, n=9, within=None, heading=None):
        n, normal = positive(n, "n"), statistics.NormalDist()
        quantiles = np.array([normal.inv_cdf((i + 0.5) / n) for i in range(n)], "float32")
        self.axes = [quantiles, quantiles]
        if within is not None:
            self.axes = [np.linspace(*ends, n, dtype="float32") for ends in within]
        z1, z2 = np.meshgrid(self.axes[0], self.axes[1][::-1])  # the first row is the largest z2
        images = decode(np.stack([z1.ravel(), z2.ravel()], axis=1))
        self.pixels, note = shown(images, "decoded images")
        if len(self.pixels) != n * n:
            raise ValueError(f"decode returned {len(self.pixels)} images for {n * n} latents.")
        self.n, self.gap = n, 2
        self.heading = " ".join(filter(None, [heading and say(heading), note and f"({note})"]))

    share = 1.3

    def rows(self):
        """As three rows of images."""
        return 3.0

    def _arrange(self, width, height):
        self.left, self.bottom = 130, 2 * height_of(LABEL) + 8
        self.top = (height_of(LABEL) + GAP) if self.heading else 0
        room = (width - self.left, height - self.bottom - self.top)
        side = [(r + self.gap) / self.n - self.gap for r in room]
        self.tile = magnified_size(self.pixels.shape[1:3], *(max(2, s) for s in side))

    def size(self, width, height):
        """What images take that are magnified as far as the room allows."""
        self._arrange(width, height)
        h, w = (side * self.n + self.gap * (self.n - 1) for side in self.tile)
        return w + self.left, h + self.bottom + self.top

    def draw(self, figure, box):
        """Draw the tiles, and the axes of the latent space around them."""
        self._arrange(box[2], box[3])
        canvas = _tile(magnified(self.pixels, self.tile), self.n, self.gap, self.gap)
        axes = _place(figure, canvas, box[0] + self.left, box[1] + self.top)
        axes.set_axis_on()
        axes.grid(False)
        axes.spines[:].set_visible(False)
        few = np.linspace(0, self.n - 1, 4 + self.n % 2)  # -z wherever z is
        at = np.arange(self.n) if self.n <= 6 else few.round().astype(int)
        h, w = (side + self.gap for side in self.tile)
        axes.set_xticks((at + 0.5) * w, [_number(v) for v in self.axes[0][at]])
        axes.set_yticks((self.n - at - 0.5) * h, [_number(v) for v in self.axes[1][at]])
        axes.set_xlabel("$z_1$")
        axes.set_ylabel("$z_2$")
        if self.heading:
            axes.set_title(self.heading)


def _number(value):
    return f"{value:.1f}".replace("-", "\N{MINUS SIGN}")


def grid(images, columns=None, labels=None, *, title=None, path=None):
    """Images in rows and columns.

    Args:
        images: `(N, H, W, C)` or `(N, H, W)`, uint8 or floats in [-1, 1].
        columns: images in a row; by default as many as make the grid a square.
        labels: None, or N things to write under the images.
        title: of the figure.
        path: file to write.

    Returns:
        The Figure.

    Raises:
        ValueError: if the images are not as above or there are none, or labels are not N.
        OSError: if `path` cannot be written.
    """
    pixels, _ = shown(images)  # not five dimensions, which `Images` would take
    labels = as_texts(labels, len(pixels), "labels", "image") or None
    panel = Images(images, columns, notes=labels)
    if labels:  # as far apart as their words need
        panel.size(*SLIDE)
        widest = max((width_of(word, TICK) for text in labels for word in text.split()), default=0)
        panel.gap_x = max(panel.gap, widest - panel.tile[1] + GAP)
    return slide(panel, title=title, path=path)


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
    originals, note = shown(images)
    copies, _ = shown(reconstructions, "reconstructions")
    shapes = [tuple(x.shape) + (1,) * (len(x.shape) == 3) for x in (images, reconstructions)]
    if shapes[0] != shapes[1]:
        raise ValueError(
            f"Every image needs its reconstruction, of the same shape: got {shapes[0]} and "
            f"{shapes[1]}."
        )
    columns = min(10 if columns is None else positive(columns, "columns"), len(originals))
    absent = -len(originals) % columns
    blank = np.zeros((absent, *originals.shape[1:3], 3), "uint8")
    rows = [
        np.concatenate([some, blank]).reshape(-1, columns, *originals.shape[1:3], 3)
        for some in (originals[..., :3], copies[..., :3])
    ]
    both = np.stack(rows, axis=1).reshape(-1, *rows[0].shape[1:])
    names = ["original", "reconstruction"] * len(rows[0])
    panel = Images(both, names=names, heading=note)
    for row in (1, 2):  # the last two end early: nothing is seen there
        panel.pixels[len(panel.pixels) - (row - 1) * columns - absent :][:absent] = 0
    return slide(panel, title=title, path=path)


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
    if 0 in sequences.shape:
        raise ValueError(f"sequences is empty: shape {sequences.shape}.")
    return slide(Images(sequences, names=labels, steps=steps), title=title, path=path)


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
    if not rows:
        raise ValueError("rows is empty: there is nothing to draw.")
    if len(rows) == 1:
        return grid(*rows.values(), title=title, path=path)
    return slide(Images.named(rows), title=title, path=path)


def manifold(decode, n=9, *, title=None, path=None):
    """`Manifold` as a figure of its own.

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
    return slide(Manifold(decode, n), title=title, path=path)


def cloud_images(clouds, real=None, within=1.25, side=128, dot=2):
    """Points in a plane as images, for more clouds than there is room for axes.

    Args:
        clouds: generated points, `(N, 2)` each.
        real: None, or real points `(M, 2)`, under the others.
        within: an image shows the points of [-within, within] on both axes.
        side: of the images, pixels.
        dot: side of a point, pixels.

    Returns:
        Images, uint8 `(len(clouds), side, side, 3)`: generated points over real ones on white.
    """
    from matplotlib.colors import to_rgb

    images = np.full((len(clouds), side, side, 3), 255, "uint8")
    for image, cloud in zip(images, clouds, strict=True):
        for points, color in ((real, REAL), (cloud, GENERATED)):
            points = np.zeros((0, 2)) if points is None else np.nan_to_num(points, nan=np.inf)
            points = points[(np.abs(points) <= within).all(axis=1)]
            x, y = np.round((points / within + 1) / 2 * (side - dot)).astype(int).T
            for i, j in np.ndindex(dot, dot):
                image[side - 1 - y - i, x + j] = np.round(255 * np.array(to_rgb(color)))
    return images


def shown(images, name="images"):
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


def magnified_size(size, width, height):
    """Height and width of an image `(H, W)` in such a room: a whole multiple, or reduced."""
    h, w = size
    if factor := int(min(width // w, height // h)):
        return h * factor, w * factor
    scale = min(width / w, height / h)
    return max(1, int(h * scale)), max(1, int(w * scale))


def magnified(images, size):
    """Images `(N, H, W, C)` at this size: each pixel a square of them, or averaged if smaller."""
    h, w = images.shape[1:3]
    if size[0] % h == 0 and size[1] % w == 0:
        return images.repeat(size[0] // h, axis=1).repeat(size[1] // w, axis=2)
    return resize(images, size)


def _tile(images, columns, gap_x, gap_y, edge=0, frames=()):
    """One picture of many, RGBA; what lies between them is transparent, but for frames.

    Where one would merge with the page, all have a line around them.
    """
    from matplotlib.colors import to_rgba

    height, width = images.shape[1] + gap_y, images.shape[2] + gap_x
    rows = math.ceil(len(images) / columns)
    shape = rows * height - gap_y + 2 * edge, columns * width - gap_x + 2 * edge, 4
    canvas = np.zeros(shape, "uint8")
    white = edge and any(map(_ends_in_white, images))
    for i, image in enumerate(images):
        y, x = edge + i // columns * height, edge + i % columns * width
        color, line = (frames[i], edge) if frames else (None, 0)
        if color is None and edge and white and image[..., 3].any():
            color, line = FAINT, LINE
        if color is not None:
            h, w = image.shape[:2]
            around = slice(y - line, y + h + line), slice(x - line, x + w + line)
            canvas[around] = np.round(255 * np.array(to_rgba(color)))
        canvas[y : y + image.shape[0], x : x + image.shape[1]] = image
    return canvas


def _rows(rows):
    """Rows of images as one array `(rows, columns, H, W, C)`."""
    rows = [to_numpy(row) for row in rows]
    shapes = [row.shape for row in rows]
    if len(set(shapes)) != 1 or len(shapes[0]) != 4:
        raise ValueError(f"rows must be images (N, H, W, C) of one shape; got {shapes}.")
    return np.stack(rows)


def _ends_in_white(image):
    """Whether much of an image's border is as white as the page."""
    border = np.concatenate([image[0], image[-1], image[:, 0], image[:, -1]])[:, :3]
    return (border > 240).all(axis=1).mean() > 0.25


def _place(figure, canvas, left, top):
    """Axes that show a canvas pixel by pixel, and count its pixels from its upper left corner."""
    (wide, high), (height, width) = figure.get_size_inches() * DPI, canvas.shape[:2]
    place = left / wide, 1 - (top + height) / high, width / wide, height / high
    axes = figure.add_axes(place)
    axes.imshow(canvas, interpolation="nearest", extent=(0, width, height, 0), aspect="auto")
    axes.set_axis_off()
    return axes
