"""What the painters paint on, and the shapes that they paint: signed distances, soft spots."""

import numpy as np
from keras import ops

SEGMENTS = {
    "background": (40, 44, 60),
    "clothes": (86, 120, 190),
    "skin": (240, 190, 150),
    "hair": (140, 84, 48),
    "beard": (110, 60, 120),
    "mouth": (214, 66, 84),
    "eyes": (250, 250, 250),
    "brows": (70, 150, 90),
    "glasses": (250, 206, 70),
}
"""The classes of a segmentation, in the order of their indices, and their colours."""

PIVOT, SCALE = 0.845, 1.13  # the height about which heads lean, and their size


class Canvas:
    """What is painted on: planes (n, rows, columns) of colour, of outlines and of segments.

    `x` and `y` are the unit square's coordinates; `u` and `v` those of the head, which leans, from
    its centre; `pixel` is the size of a pixel.
    """

    def __init__(self, xp, face, size, rendering, top, bottom):
        self.xp, self.size, self.host = xp, size, xp is np
        self.pixel, self.origin = 1 / size, (top, 0)
        self.fine = size >= 40  # whether details finer than a pixel are worth while
        self.ink = min(1.0, 0.4 + size / 50)  # lines a pixel wide would fill a small picture
        grid = (np.arange(size, dtype="float32") + np.float32(0.5)) / np.float32(size)
        self.x, self.y = grid[None, None, :], grid[None, top:bottom, None]
        if not self.host:
            self.x, self.y = ops.convert_to_tensor(self.x), ops.convert_to_tensor(self.y)
        x, y = (self.x - 0.5) * (1 / SCALE), (self.y - PIVOT) * (1 / SCALE)
        self.u = face.cos * x + face.sin * y
        self.v = face.cos * y - face.sin * x + 0.34
        blank = self.u * 0
        self.color = [blank + 0 for _ in range(3)] if rendering in ("photo", "sketch") else []
        self.lines = [blank + 0] if rendering in ("edges", "sketch") else []
        self.segment = [blank] if rendering == "segmentation" else []

    def part(self, top, bottom, left=0.0, right=1.0):
        """The canvas between these coordinates, on the host a view; None if nothing is there."""
        if not self.host:
            return self
        first, last = [], []
        # Two pixels more, for what is a pixel wide at least.
        for low, high, o in zip((top, left), (bottom, right), self.origin, strict=True):
            first.append(max(0, int(low * self.size) - 2 - o))
            last.append(max(0, int(np.ceil(high * self.size)) + 2 - o))
        rows, columns = (slice(a, b) for a, b in zip(first, last, strict=True))
        u = self.u[:, rows, columns]
        if 0 in u.shape:
            return None
        view = Canvas.__new__(Canvas)
        view.__dict__.update(self.__dict__)
        view.origin = (self.origin[0] + first[0], self.origin[1] + first[1])
        view.x, view.y = self.x[..., columns], self.y[:, rows]
        view.u, view.v = u, self.v[:, rows, columns]
        for name in ("color", "lines", "segment"):
            setattr(view, name, [plane[:, rows, columns] for plane in getattr(self, name)])
        return view

    def none(self, flag):
        """Whether no face has this, as far as the host knows."""
        return self.host and not flag.any()

    def wide(self, half, least=0.5):
        """Half a width, at least so many pixels."""
        return max(half, least * self.pixel)

    def paint(self, distance, color, segment=None, tone=None, alpha=None, soft=0.0, line=1.0):
        """Paint a shape.

        Args:
            distance: signed distance to its outline, negative inside.
            color: three numbers in [0, 1] or arrays that broadcast.
            segment: the name of its segment; None leaves what was there.
            tone: brightness per pixel, 1 is the colour itself.
            alpha: opacity.
            soft: width of the outline's blur, at least a pixel.
            line: strength of the outline in sketch and edges.

        Returns:
            How far each pixel is covered, in [0, 1].
        """
        xp = self.xp
        inside = xp.clip(0.5 - distance * (1 / max(self.pixel, soft)), 0.0, 1.0)
        if alpha is not None:
            inside = inside * alpha
        if self.color:
            self.blend(inside, color if tone is None else toned(color, tone))
        for i in range(len(self.lines)):
            near = (self.wide(0.0028, 0.6) - xp.abs(distance)) * (1 / self.pixel) + 0.5
            near = xp.clip(near, 0.0, 1.0) * (line * self.ink)
            near = near if alpha is None else near * alpha
            self.lines[i] = self.over(self.lines[i], xp.maximum(self.lines[i] * (1 - inside), near))
        if segment is not None:
            index = list(SEGMENTS).index(segment)
            for i in range(len(self.segment)):
                new = xp.where(inside > 0.5, np.float32(index), self.segment[i])
                self.segment[i] = self.over(self.segment[i], new)
        return inside

    def over(self, plane, new):
        """Replace a plane, in its place on the host."""
        if self.host:
            plane[...] = new
            return plane
        return new

    def blend(self, alpha, color):
        """Let a colour cover what is there, as far as alpha says; no outline, no segment."""
        for i in range(len(self.color)):
            self.color[i] += alpha * (color[i] - self.color[i])

    def shade(self, amount):
        """Darken, blue more than red, as skin does."""
        for i in range(len(self.color)):
            self.color[i] *= 1 - amount * (0.8, 1.0, 1.05)[i]

    def stroke(self, distance, strength=1.0):
        """A line in sketch and edges alone, along distance zero."""
        for i in range(len(self.lines)):
            near = (self.wide(0.0028, 0.6) - distance) * (1 / self.pixel) + 0.5
            near = self.xp.clip(near, 0.0, 1.0) * (strength * self.ink)
            self.lines[i] = self.over(self.lines[i], self.xp.maximum(self.lines[i], near))

    def clear(self, period):
        """How well pixels show a wave of this period, in [0, 1]."""
        return min(1.0, max(0.0, period / self.pixel / 3 - 1))

    def ripple(self, phase, period):
        """A wave in [-1, 1] for strands and knitting; it fades where pixels cannot show it."""
        clear = self.clear(period)
        return self.xp.sin(phase * (2 * np.pi / period)) * clear if clear else 0.0


# Shapes


def ellipse(xp, x, y, rx, ry):
    """Signed distance to an ellipse, exact on its outline only."""
    return (xp.sqrt(xp.square(x * (1 / rx)) + xp.square(y * (1 / ry))) - 1) * ((rx + ry) * 0.5)


def box(xp, x, y, rx, ry, r=0.0):
    """Signed distance to a box with corners of radius r."""
    x, y = xp.abs(x) - (rx - r), xp.abs(y) - (ry - r)
    if r == 0:
        return xp.maximum(x, y)
    away = xp.sqrt(xp.square(xp.maximum(x, 0.0)) + xp.square(xp.maximum(y, 0.0)))
    return away + xp.minimum(xp.maximum(x, y), 0.0) - r


def blob(xp, x, y, rx, ry):
    """A soft spot, 1 in its middle, 0 from its ellipse outward."""
    return xp.square(xp.maximum(1 - xp.square(x * (1 / rx)) - xp.square(y * (1 / ry)), 0.0))


def mix(a, b, t):
    """Colours between a and b."""
    return [p + t * (q - p) for p, q in zip(a, b, strict=True)]


def times(color, shares):
    """A colour, channel by channel times the shares."""
    return [c * k for c, k in zip(color, shares, strict=True)]


def toned(color, tone):
    """A colour in shadow (tone below 1) or light; shadows are warm."""
    return [c * (1 - (1 - tone) * k) for c, k in zip(color, (0.82, 1.0, 1.05), strict=True)]


def brightness(color):
    """How bright a colour is to the eye."""
    return 0.3 * color[0] + 0.59 * color[1] + 0.11 * color[2]


def rgb(r, g, b):
    """A colour in [0, 1] from one in [0, 255]."""
    return [r / 255, g / 255, b / 255]
