"""Faces, drawn from known factors: every image comes with the truth about itself.

`sample_factors` draws what a face is, `draw` draws it at any size from 8 to 1,024 pixels: as a
photo, a sketch, edges or a segmentation, pixel for pixel in the same place. Face i depends on the
seed and i alone. All shapes are signed distances in a unit square, so a face is the same at every
size; where pixels are large, thin parts (glasses, brows, the mouth's line) are a pixel wide.

The drawing is written once, against a namespace: NumPy on the host, in pieces that fit the cache,
on a few threads; `keras.ops` in `draw_on_device`, on any backend and inside compiled steps.
"""

import numbers
import os
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
from keras import ops

from kgen.arguments import positive

FACTORS = {
    "presentation": ("woman", "man"),
    "skin": ("fair", "tan", "brown", "dark"),
    "hair": ("bald", "short", "curly", "bob", "long", "bun"),
    "hair_colour": ("black", "brown", "blond", "red", "grey"),
    "eye_colour": ("brown", "blue", "green"),
    "glasses": ("none", "round", "square"),
    "beard": ("none", "moustache", "full"),
    "outfit": ("shirt", "sweater"),
    "outfit_colour": ("red", "blue", "green", "yellow", "white"),
    "background": ("room", "hills", "city", "sea"),
    "time": ("day", "night"),
    "smile": (-1.0, 1.0),  # from down to up
    "yaw": (-1.0, 1.0),  # turned to the picture's left or right
    "tilt": (-1.0, 1.0),  # leaning to the picture's left or right
    "light": (-1.0, 1.0),  # comes from the picture's left or right
    "light_strength": (0.3, 1.0),
    "face_width": (-1.0, 1.0),
    "eye_size": (-1.0, 1.0),
    "brows": (-1.0, 1.0),  # lowered to raised
}
"""What is known of each face: a factor's classes by name, or its (low, high)."""

SHARES = {  # where classes are not equally likely
    "hair": {"woman": (0, 1, 1, 1, 1, 1), "man": (1, 2, 1, 0, 0.5, 0)},
    "beard": {"woman": (1, 0, 0), "man": (1, 1, 1)},
}

RENDERINGS = ("photo", "sketch", "edges", "segmentation")

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

SCENERY = {  # colours by day and by night; "warm" ones are for mornings and evenings
    "high": ((84, 152, 226), (12, 18, 50)),
    "high_warm": ((140, 160, 214), (30, 18, 62)),
    "low": ((214, 234, 248), (58, 72, 132)),
    "low_warm": ((254, 214, 180), (120, 78, 138)),
    "sun": ((255, 246, 208), (236, 238, 250)),
    "wall": ((196, 206, 190), (66, 72, 84)),
    "wall_warm": ((226, 204, 180), (92, 72, 70)),
    "window": ((250, 247, 240), (150, 146, 152)),
    "lamp": ((238, 214, 170), (255, 226, 160)),
    "far_hill": ((126, 166, 172), (34, 46, 86)),
    "hill": ((108, 166, 104), (24, 46, 62)),
    "near_hill": ((72, 136, 70), (16, 36, 44)),
    "far_house": ((160, 178, 204), (38, 44, 86)),
    "house": ((206, 172, 150), (26, 28, 58)),
    "pane": ((116, 140, 168), (255, 214, 120)),
    "far_sea": ((120, 190, 214), (50, 70, 128)),
    "near_sea": ((28, 112, 158), (12, 28, 66)),
    "glitter": ((255, 250, 232), (206, 214, 244)),
    "sail": ((255, 252, 244), (150, 156, 190)),
    "hull": ((176, 62, 54), (64, 30, 44)),
}

PIVOT, SCALE = 0.845, 1.13  # the height about which heads lean, and their size
COLUMNS = 32  # uniform numbers of a face, some in reserve
PIXELS = 65536  # drawn at once on the host: an array of so many fits a core's cache

SKIN = {"fair": (248, 214, 192), "tan": (226, 172, 132), "brown": (168, 110, 76)}
SKIN |= {"dark": (104, 66, 48)}
HAIR = {"black": (42, 37, 42), "brown": (106, 66, 42), "blond": (230, 188, 110)}
HAIR |= {"red": (186, 76, 34), "grey": (172, 172, 180)}
EYES = {"brown": (112, 62, 24), "blue": (48, 124, 220), "green": (52, 150, 78)}
CLOTH = {"red": (190, 58, 62), "blue": (58, 98, 176), "green": (62, 130, 94)}
CLOTH |= {"yellow": (228, 178, 66), "white": (238, 236, 230)}


def sample_factors(n, seed=0, start=0, **fixed):
    """Draw the factors of `n` faces.

    They are independent and uniform, but for what depends on the presentation: women have no beard
    and are not bald; men have short hair more often than other hair, and neither bob nor bun.

    Args:
        n: number of faces.
        seed: integer from 0 upward.
        start: number of the first face: faces 8 to 15 are `sample_factors(8, seed, start=8)`.
        **fixed: factors that are given instead of drawn: a class by name or index, a number, or one
            of these for each face. Whatever does not depend on them stays as it was drawn.

    Returns:
        A dictionary of arrays of N rows: each factor's int32 class indices or float32 numbers, and
        `"detail"`, float32 `(N, 4)` in [0, 1), which is no label (where the sun stands).

    Raises:
        ValueError: for an unknown factor or class, or a number out of its range.
    """
    n = positive(n, "n")
    for name, value in (("seed", seed), ("start", start)):
        if not isinstance(value, numbers.Integral) or value < 0:
            raise ValueError(f"{name} must be an integer from 0 upward; got {value!r}.")
    if unknown := sorted(set(fixed) - set(FACTORS)):
        raise ValueError(f"There is no factor {unknown}; the factors are {list(FACTORS)}.")
    bits = np.random.PCG64(seed)
    bits.advance(start * COLUMNS)
    uniforms = np.random.Generator(bits).random((n, COLUMNS))
    factors = {}
    for column, (name, kind) in enumerate(FACTORS.items()):
        u = uniforms[:, column]
        if name in fixed:
            factors[name] = _given(name, fixed[name], n)
        elif name in SHARES:
            shares = np.array([SHARES[name][who] for who in FACTORS["presentation"]], "float64")
            steps = (shares.cumsum(1) / shares.sum(1, keepdims=True))[factors["presentation"]]
            factors[name] = (u[:, None] >= steps).sum(1).astype("int32")
        elif isinstance(kind[0], str):
            factors[name] = (u * len(kind)).astype("int32")
        else:
            factors[name] = (kind[0] + u * (kind[1] - kind[0])).astype("float32")
    factors["detail"] = uniforms[:, -4:].astype("float32") * np.float32(0.9999)
    return factors


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
    _check(factors, size, rendering)
    if rendering == "segmentation":
        colours = np.array(list(SEGMENTS.values()), "uint8")
        return colours[segments(factors, size, threads)]
    return _on_host(factors, size, rendering, threads, (3,))


def segments(factors, size, threads=None):
    """The segment to which each pixel belongs, pixel for pixel those of `draw`.

    Returns:
        uint8 `(N, size, size)`, indices of `SEGMENTS`.
    """
    _check(factors, size, "segmentation")
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
    _check(None, size, rendering)
    factors = {name: ops.convert_to_tensor(value) for name, value in factors.items()}
    planes = _planes(ops, factors, size, rendering, 0, size)
    if rendering == "segmentation":
        colours = np.array(list(SEGMENTS.values()), "float32") / 127.5 - 1
        return ops.take(colours, ops.cast(planes[0], "int32"), axis=0)
    return ops.clip(ops.stack(planes, axis=-1) * 2.0 - 1.0, -1.0, 1.0)


def captions(factors, seed=0):
    """One sentence for each face, true to its factors; the seed chooses the words.

    Returns:
        A list of N strings.
    """
    count = len(factors["presentation"])
    return [
        _caption(
            {
                name: kind[int(factors[name][i])] if isinstance(kind[0], str) else factors[name][i]
                for name, kind in FACTORS.items()
            },
            np.random.default_rng([seed, i]),
        )
        for i in range(count)
    ]


# Arguments


def _given(name, value, n):
    """A factor that the caller fixed, as an array of n rows."""
    kind = FACTORS[name]
    values = np.asarray(value)
    if values.shape not in ((), (n,)):
        raise ValueError(f"{name} must be one value or one for each of {n}; got {value!r}.")
    if isinstance(kind[0], str):
        if values.dtype.kind == "U" and set(values.ravel().tolist()) <= set(kind):
            values = np.vectorize(kind.index, otypes=["int32"])(values)
        elif values.dtype.kind not in "iu" or values.min() < 0 or values.max() >= len(kind):
            raise ValueError(f"{name} must be among {kind} or an index of these; got {value!r}.")
        return np.broadcast_to(values, n).astype("int32")
    if values.dtype.kind not in "iuf" or not ((values >= kind[0]) & (values <= kind[1])).all():
        raise ValueError(f"{name} must be a number in [{kind[0]}, {kind[1]}]; got {value!r}.")
    return np.broadcast_to(values, n).astype("float32")


def _check(factors, size, rendering):
    if not isinstance(size, numbers.Integral) or not 8 <= size <= 1024:
        raise ValueError(f"size must be an integer from 8 to 1024; got {size!r}.")
    if rendering not in RENDERINGS:
        raise ValueError(f"rendering must be one of {RENDERINGS}; got {rendering!r}.")
    if factors is None:
        return
    if missing := [name for name in (*FACTORS, "detail") if name not in factors]:
        raise ValueError(
            f"factors has no {missing}; start from what sample_factors returns and change that."
        )
    n = len(factors["detail"])
    for name in FACTORS:
        if np.shape(factors[name]) != (n,):
            raise ValueError(
                f"factors[{name!r}] must have shape ({n},), as detail has {n} rows; got "
                f"{np.shape(factors[name])}."
            )
        _given(name, factors[name], n)


# The host: pieces of few faces or few rows


def _on_host(factors, size, rendering, threads, channels):
    factors = {name: np.asarray(factors[name]) for name in (*FACTORS, "detail")}
    n = len(factors["detail"])
    images = np.empty((n, size, size, *channels), "uint8")
    rows = min(size, max(8, PIXELS // size))
    together = max(1, PIXELS // (size * rows))
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
    if threads <= 1:
        for job in jobs:
            piece(job)
    else:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(piece, jobs))
    return images


def _planes(xp, factors, size, rendering, top, bottom):
    """Rows `top` to `bottom` of the faces: planes (n, rows, size), colours in [0, 1]."""
    face = _measures(xp, factors)
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
    return canvas.colour


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
        self.colour = [blank + 0 for _ in range(3)] if rendering in ("photo", "sketch") else []
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
        for name in ("colour", "lines", "segment"):
            setattr(view, name, [plane[:, rows, columns] for plane in getattr(self, name)])
        return view

    def none(self, flag):
        """Whether no face has this, as far as the host knows."""
        return self.host and not flag.any()

    def wide(self, half, least=0.5):
        """Half a width, at least so many pixels."""
        return max(half, least * self.pixel)

    def paint(self, distance, colour, segment=None, tone=None, alpha=None, soft=0.0, line=1.0):
        """Paint a shape.

        Args:
            distance: signed distance to its outline, negative inside.
            colour: three numbers in [0, 1] or arrays that broadcast.
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
        if self.colour:
            self.blend(inside, colour if tone is None else toned(colour, tone))
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

    def blend(self, alpha, colour):
        """Let a colour cover what is there, as far as alpha says; no outline, no segment."""
        for i in range(len(self.colour)):
            self.colour[i] += alpha * (colour[i] - self.colour[i])

    def shade(self, amount):
        """Darken, blue more than red, as skin does."""
        for i in range(len(self.colour)):
            self.colour[i] *= 1 - amount * (0.8, 1.0, 1.05)[i]

    def stroke(self, distance, strength=1.0):
        """A line in sketch and edges alone, along distance zero."""
        for i in range(len(self.lines)):
            near = (self.wide(0.0028, 0.6) - distance) * (1 / self.pixel) + 0.5
            near = self.xp.clip(near, 0.0, 1.0) * (strength * self.ink)
            self.lines[i] = self.over(self.lines[i], self.xp.maximum(self.lines[i], near))

    def ripple(self, phase, period):
        """A wave in [-1, 1] for strands and knitting; it fades where pixels cannot show it."""
        clear = min(1.0, max(0.0, period / self.pixel / 3 - 1))
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


def times(colour, shares):
    """A colour, channel by channel times the shares."""
    return [c * k for c, k in zip(colour, shares, strict=True)]


def toned(colour, tone):
    """A colour in shadow (tone below 1) or light; shadows are warm."""
    return [c * (1 - (1 - tone) * k) for c, k in zip(colour, (0.82, 1.0, 1.05), strict=True)]


def rgb(r, g, b):
    """A colour in [0, 1] from one in [0, 255]."""
    return [r / 255, g / 255, b / 255]


# The face in numbers


def _measures(xp, factors):
    """All that the drawing needs to know of the faces, arrays (n, 1, 1)."""

    def column(values):
        return xp.reshape(values, (-1, 1, 1))

    def by(name, **values):
        table = np.array([values.get(kind, 0.0) for kind in FACTORS[name]], "float32")
        return column(xp.take(table, factors[name], axis=0))

    def colour(name, table):
        table = np.array([table[kind] for kind in FACTORS[name]], "float32") / np.float32(255)
        rows = xp.take(table, factors[name], axis=0)
        return [column(rows[:, i]) for i in range(3)]

    f = SimpleNamespace(**{name: column(factors[name]) for name in list(FACTORS)[-8:]})
    f.detail = [column(factors["detail"][:, i]) for i in range(4)]
    f.night, f.man = by("time", night=1), by("presentation", man=1)
    f.side = xp.sign(f.detail[0] - 0.5)  # of sun, moon and window
    f.day, f.all = 1 - f.night, 1 + 0 * f.night
    f.key = f.light * f.light_strength
    for name, (day, night) in SCENERY.items():
        setattr(f, name, mix(rgb(*day), rgb(*night), f.night))
    for kind in FACTORS["background"]:
        setattr(f, kind, by("background", **{kind: 1}))
    f.shirt, f.sweater = by("outfit", shirt=1), by("outfit", sweater=1)

    angle = 0.16 * f.tilt
    f.cos, f.sin = xp.cos(angle), xp.sin(angle)
    f.turn, f.facing = xp.sin(0.42 * f.yaw), xp.cos(0.42 * f.yaw)
    f.a = 0.186 * (1 + 0.10 * f.face_width)  # half the width of the head
    f.chin = 0.255 + 0.012 * f.man
    f.happy = xp.maximum(f.smile, 0.0)

    light = mix([1.0, 1.0, 1.0], [0.83, 0.81, 0.94], f.night)
    f.skin, f.hair_colour = colour("skin", SKIN), colour("hair_colour", HAIR)
    f.cloth, f.iris = colour("outfit_colour", CLOTH), colour("eye_colour", EYES)
    f.white, f.rose = rgb(252, 250, 246), rgb(206, 72, 82)
    f.frame, f.dark = rgb(38, 30, 36), rgb(44, 28, 28)
    for name in ("skin", "hair_colour", "cloth", "iris", "white", "rose", "frame", "dark"):
        setattr(f, name, times(getattr(f, name), light))
    f.lips = mix(times(f.skin, (0.84, 0.62, 0.60)), f.rose, 0.67 - 0.45 * f.man)
    f.blush = times(f.skin, (1.02, 0.66, 0.64))
    f.gloss = mix(f.hair_colour, f.white, 0.38)
    f.shadow = times(f.hair_colour, (0.62, 0.58, 0.60))

    style = {
        "grow": (0, 0.018, 0.080, 0.046, 0.046, 0.012),
        "tall": (0.2, 0.266, 0.306, 0.278, 0.274, 0.252),
        "length": (0, 0.06, 0.10, 0.20, 0.46, 0.03),
        "blunt": (1, 1, 1, 4.5, 2.5, 1),
        "open": (1, 0.90, 0.88, 0.84, 0.84, 0.95),
        "line": (-0.1, -0.138, -0.120, -0.088, -0.150, -0.140),
        "deep": (0.2, 0.15, 0.18, 0.10, 0.22, 0.19),
        "cut": (1, 0.05, 2, 2, 2, 0.03),
        "part": (0, 0.28, 0, 0, 0.10, 0.05),
    }
    for name, values in style.items():
        setattr(f, name, by("hair", **dict(zip(FACTORS["hair"], values, strict=True))))
    f.haired, f.bald = 1 - by("hair", bald=1), by("hair", bald=1)
    f.curly, f.bun, f.long = by("hair", curly=1), by("hair", bun=1), by("hair", long=1)
    f.bare = 1 - by("hair", curly=1, bob=1, long=1)  # ears
    f.behind = by("hair", curly=1, bob=1, long=1)
    f.parting = f.part * xp.sign(f.detail[3] - 0.5)
    f.some = by("glasses", round=1, square=1)
    f.hairy = by("beard", moustache=1, full=1)
    f.round, f.square = by("glasses", round=1), by("glasses", square=1)
    f.moustache, f.full = by("beard", moustache=1), by("beard", full=1)
    return f


def _pair(canvas, f, x):
    """Coordinates outward from both of a pair of features at -x and x, and the pair's sides."""
    xp = canvas.xp
    depth = xp.sqrt(xp.maximum(1 - xp.square(x / f.a), 0.05)) * f.a
    middle = 0.85 * depth * f.turn
    half = x * f.facing
    u = canvas.u - middle
    side = xp.sign(u)
    narrow = 1 - 0.25 * f.turn * side * x / 0.08
    return (xp.abs(u) - half) / narrow, side


# Backgrounds, soft, as behind a portrait lens


def _sky(c, f):
    if c.colour:
        warm = c.xp.square(f.detail[1])
        high, low = mix(f.high, f.high_warm, warm), mix(f.low, f.low_warm, warm)
        for i, value in enumerate(mix(high, low, c.xp.clip(c.y / 0.6, 0.0, 1.0))):
            c.colour[i] += value


def _sun_or_moon(c, f):
    xp = c.xp
    x, y = c.x - 0.5 - f.side * (0.27 + 0.12 * f.detail[2]), c.y - 0.12 - 0.09 * f.detail[3]
    squared = xp.square(x) + xp.square(y)
    c.blend((0.75 - 0.35 * f.night) / xp.square(1 + 22 * squared), f.sun)
    bite = 0.046 - xp.sqrt(xp.square(x - 0.024) + xp.square(y + 0.012))
    disc = xp.maximum(xp.sqrt(squared) - 0.052, f.night * (bite + 1) - 1)
    c.paint(disc, mix(f.sun, [1.0, 1.0, 1.0], 0.5), soft=0.005, line=0.6)


def _clouds(c, f):
    x = c.x - 0.5 + f.side * (0.22 + 0.16 * f.detail[1])
    y = c.y - 0.13 - 0.12 * f.detail[2]
    cloud = ellipse(c.xp, x, y, 0.15, 0.030)
    cloud = c.xp.minimum(cloud, ellipse(c.xp, x + 0.03, y + 0.025, 0.07, 0.045))
    cloud = c.xp.minimum(cloud, ellipse(c.xp, x - 0.06, y + 0.012, 0.05, 0.034))
    c.paint(cloud, rgb(255, 253, 250), alpha=0.85 * f.day, soft=0.02, line=0.4)


def _stars(c, f):
    """One star in each cell of a lattice, at a place that integer arithmetic scatters."""
    xp, cells = c.xp, 9
    x, y = c.x * cells, c.y * cells
    i, j = xp.floor(x), xp.floor(y)
    scatter = xp.mod(i * 7 + j * 13 + i * j * 3, 11) / 11
    again = xp.mod(i * 5 + j * 3 + i * j * 7, 13) / 13
    squared = xp.square(x - i - 0.2 - 0.6 * scatter) + xp.square(y - j - 0.2 - 0.6 * again)
    size = c.wide(0.0022, 0.4) * (0.5 + again)
    star = xp.clip((size - xp.sqrt(squared) / cells) / c.pixel + 0.5, 0.0, 1.0)
    bright = (0.4 + 0.6 * scatter) * min(1.0, 0.1 + c.size / 100)
    bright = bright * xp.clip(1.1 - c.y / 0.55, 0.0, 1.0)
    c.blend(star * bright * f.night, rgb(250, 246, 226))


def _room(c, f):
    xp, x, y = c.xp, c.x, c.y
    window_x = x - 0.5 - f.side * 0.30
    hole = box(xp, window_x, y - 0.27, 0.15, 0.19)
    wall = mix(f.wall, f.wall_warm, f.detail[1])
    c.paint(-hole, wall, None, 1.06 - 0.25 * y - 0.12 * xp.square(x - 0.5), f.room, line=0.0)
    lamp_x, lamp_y = x - 0.5 + f.side * 0.36, y - 0.40
    glow = f.room * (0.12 + 0.5 * f.night) * xp.clip(hole * 60, 0.0, 1.0)
    glow = glow / xp.square(1 + 14 * (xp.square(lamp_x) + xp.square(lamp_y)))
    c.blend(glow, rgb(255, 206, 128))
    bars = xp.minimum(xp.abs(window_x), xp.abs(y - 0.24)) - 0.006
    bars = xp.minimum(xp.maximum(bars, hole), xp.abs(hole) - 0.013)
    c.paint(bars, f.window, alpha=f.room, soft=0.004, line=0.6)
    shade = box(xp, lamp_x, lamp_y, 0.052 + 0.35 * lamp_y, 0.05)
    c.paint(shade, f.lamp, alpha=f.room, soft=0.005, line=0.6)
    stand = box(xp, lamp_x, y - 0.75, 0.007, 0.30)
    c.paint(stand, rgb(92, 70, 56), alpha=f.room, soft=0.004, line=0.6)


def _hills(c, f):
    sin, x, y = c.xp.sin, c.x, c.y
    a, b = 6.28 * f.detail[2], 6.28 * f.detail[3]
    ridges = (
        (0.50 + 0.05 * sin(7 * x + a) + 0.020 * sin(17 * x + b), f.far_hill),
        (0.60 + 0.05 * sin(5 * x + b) + 0.012 * sin(19 * x + a), f.hill),
        (0.74 + 0.04 * sin(6 * x + a + 2), f.near_hill),
    )
    for ridge, colour in ridges:
        tone = 1.12 - 0.9 * c.xp.maximum(y - ridge, 0.0)
        c.paint(ridge - y, colour, None, tone, f.hills, soft=0.008, line=0.6)


def _city(c, f):
    xp, y = c.xp, c.y
    for count, top, spread, colour in ((9.0, 0.30, 0.22, f.far_house), (5.5, 0.44, 0.26, f.house)):
        street = c.x * count + 7 * f.detail[2]
        house = xp.floor(street)
        height = xp.mod(house * 7 + xp.floor(f.detail[3] * 5) + 3, 11) / 11
        roof = top + spread * height
        wall = xp.maximum(roof - y, (xp.abs(street - house - 0.5) - 0.47) / count)
        c.paint(wall, colour, None, 0.86 + 0.24 * height, f.city, soft=0.004, line=0.6)
    panes, floors = (street - house) * 3, (y - roof) * 17
    i, j = xp.floor(panes), xp.floor(floors)
    pane = xp.maximum(xp.abs(panes - i - 0.5) - 0.25, xp.abs(floors - j - 0.5) - 0.30) / 17
    pane = xp.maximum(pane, xp.maximum(wall + 0.012, 0.5 - floors))
    lit = xp.clip(xp.mod(i * 2 + house * 3 + j * 5 + i * j, 7) - 2, 0.12, 1.0)
    c.paint(pane, f.pane, alpha=f.city * (f.day + f.night * lit), soft=0.004, line=0.4)


def _sea(c, f):
    xp, x, y = c.xp, c.x, c.y
    depth = xp.clip((y - 0.55) / 0.4, 0.0, 1.0)
    c.paint(0.55 - y, mix(f.far_sea, f.near_sea, depth), alpha=f.sea, soft=0.004, line=0.6)
    below = x - 0.5 - f.side * (0.27 + 0.12 * f.detail[2])  # sun or moon
    path = blob(xp, below / (0.5 + depth), y - 0.62, 0.12, 0.5)
    waves = xp.sin(y * 170 - 60 * depth * depth + 1.2 * xp.sin(x * 31) + 1.5 * xp.sin(x * 13))
    waves = waves * min(1, c.size / 64) * (0.6 + 0.4 * xp.sin(x * 47 + 90 * y))
    glitter = xp.clip(waves * 0.6 + 0.25, 0.0, 1.0) * (0.12 + 0.75 * path)
    c.blend(glitter * xp.clip((y - 0.55) * 60, 0.0, 1.0) * f.sea, f.glitter)
    x, y = x - 0.5 + f.side * (0.34 + 0.05 * f.detail[3]), y - 0.545
    sail = xp.maximum(xp.maximum(xp.abs(x) * 2.4 - y - 0.15, y), -x * 9 - 0.05)
    c.paint(sail / 2, f.sail, alpha=f.sea, soft=0.004)
    hull = xp.maximum(xp.abs(x) * 0.8 + y - 0.062, 0.006 - y)
    c.paint(hull, f.hull, alpha=f.sea, soft=0.004)


# Hair, body, head


def _outer_hair(c, f):
    """Distance to the outline of all hair."""
    xp = c.xp
    v = c.v + 0.012
    u = (c.u + 0.02 * f.turn) / (1 + 0.16 * f.long * xp.maximum(v, 0.0))
    v = xp.minimum(v, 0.0) + xp.maximum(v - f.length, 0.0) * f.blunt
    if not c.none(f.long):
        u = u + 0.007 * f.long * xp.sin(c.v * 34)
    steep = 1 + (f.blunt - 1) * xp.clip(v * (10 / f.blunt), 0.0, 1.0)
    hair = ellipse(xp, u, v + 0.25 * f.parting * c.u, f.a + f.grow, f.tall) / steep
    if not c.none(f.curly):
        hair = hair + 0.010 * f.curly * xp.sin(c.u * 62) * xp.sin(c.v * 62)
    return hair


def _hair_behind(c, f):
    c.paint(_outer_hair(c, f), f.shadow, "hair", alpha=f.behind)


def _bun(c, f):
    bun = ellipse(c.xp, c.u + 0.05 * f.turn, c.v + 0.285, 0.082, 0.070)
    c.paint(bun, f.hair_colour, "hair", 0.95 - bun * 1.5 - 3.0 * (c.v + 0.285), f.bun)


def _body(c, f):
    xp, x, y = c.xp, c.x, c.y
    straight = xp.clip((y - 0.82) * 12, 0.0, 1.0)
    across = xp.abs(SCALE * c.u + straight * (x - 0.5 - SCALE * c.u))  # from neck to chest
    body = ellipse(xp, x - 0.5, y - 1.12, 0.37 + 0.06 * f.man, 0.325)
    tone = 1.0 + 0.5 * f.key * (x - 0.5) - 0.9 * xp.square(x - 0.5)
    tone = tone + 0.035 * f.sweater * c.ripple(y + 0.3 * xp.square(x - 0.5), 0.016)
    c.paint(body, f.cloth, "clothes", tone)
    half = 0.075 + 0.020 * f.man
    opening = half * (1 - xp.clip((y - 0.83) / (0.03 + 0.08 * f.shirt), 0.0, 1.2))
    neck = xp.maximum(across - opening, 0.1 - c.v)
    neck = c.paint(neck, f.skin, "skin", 0.93 + f.key * c.u)
    c.shade(neck * blob(xp, c.u, c.v - 0.25, 0.13, 0.13) * 0.45)
    if not c.none(f.sweater):
        band = box(xp, across, y - 0.832 - 1.2 * xp.square(c.u), half + 0.014, 0.05, 0.02)
        tone = 0.90 + f.key * c.u + 1.5 * (0.83 - y) + 0.05 * c.ripple(c.u, 0.014)
        c.paint(band, f.cloth, "clothes", tone, f.sweater)
    if not c.none(f.shirt):
        flap = xp.maximum(opening - across, across - opening - 0.055)
        flap = xp.maximum(flap, xp.maximum(0.79 + 0.25 * across - y, y + 0.45 * across - 0.965))
        c.paint(flap, mix(f.cloth, f.white, 0.35), "clothes", 1 + 0.4 * f.key * (x - 0.5), f.shirt)
        seam = xp.maximum(across - 0.0025, 0.945 - y)
        c.paint(seam, toned(f.cloth, 0.7), alpha=f.shirt * 0.8, line=0.0)


def _head_distance(c, f):
    """Distance to the outline of the head, and coordinates in it from -1 to 1."""
    xp = c.xp
    down = xp.maximum(c.v, 0.0) / f.chin
    y = xp.minimum(c.v, 0.0) * (1 / 0.236) + down
    width = f.a * (1 - (0.27 - 0.10 * f.man) * xp.square(down))
    x = (c.u - f.turn * (0.012 + 0.045 * down)) / width
    return (xp.sqrt(xp.square(x) + xp.square(y)) - 1) * 0.21, x, y


def _head(c, f):
    xp = c.xp
    head, x, y = _head_distance(c, f)
    round_ = xp.sqrt(xp.maximum(1.02 - xp.square(x) - xp.square(y), 0.0))
    tone = 0.86 + 0.12 * round_ + 0.28 * f.key * x
    tone = tone + f.light_strength * (0.20 * round_ - 0.16 - 0.13 * y)
    skin = c.paint(head, f.skin, "skin", tone=tone)
    shine = blob(xp, x - 0.35 * f.light, y + 0.62, 0.55, 0.30) * (0.10 + 0.16 * f.bald)
    c.blend(skin * shine * (0.4 + 0.6 * f.light_strength), f.white)


def _ears(c, f):
    """Ears, over short hair, beside the head."""
    xp = c.xp
    side = xp.sign(c.u)
    out = xp.abs(c.u) - f.a * f.facing + 0.02 * f.turn * side
    ear = ellipse(xp, out, c.v - 0.03, 0.032 - 0.02 * f.turn * side, 0.050)
    head, _, _ = _head_distance(c, f)
    ear = xp.maximum(ear, -head)
    skin = c.paint(ear, f.skin, "skin", 0.92 + f.key * c.u, f.bare)
    c.shade(skin * blob(xp, out - 0.004, c.v - 0.03, 0.022, 0.036) * 0.45)


def _features(c, f):
    """Cheeks and nose: little but light and shadow."""
    xp = c.xp
    out, _ = _pair(c, f, 0.092)
    v = c.v - 0.092 + 0.012 * f.happy
    c.blend(blob(xp, out, v, 0.062, 0.052) * (0.36 - 0.10 * f.man + 0.14 * f.happy), f.blush)
    u = c.u - f.a * f.turn * 1.12
    bridge = c.u - f.a * f.turn
    dark = bridge + 0.020 * xp.clip(f.light * 4, -1.0, 1.0)  # the side away from the light
    dim = 0.10 + 0.16 * f.light_strength
    c.shade(blob(xp, dark, c.v - 0.035, 0.020, 0.075) * dim)
    c.shade(blob(xp, u, c.v - 0.103, 0.042, 0.020) * 0.34)
    c.blend(blob(xp, u, c.v - 0.075, 0.034, 0.028) * 0.25, f.blush)
    c.blend(blob(xp, u - 0.006 * f.light, c.v - 0.066, 0.018, 0.018) * 0.24, f.white)
    c.blend(blob(xp, bridge, c.v - 0.010, 0.010, 0.060) * 0.16, f.white)
    if c.fine:
        hole = ellipse(xp, xp.abs(u) - 0.0155, c.v - 0.0955, 0.0075, 0.0042)
        c.paint(hole, toned(f.skin, 0.35), alpha=0.75, line=0.0, soft=0.003)
    tip = xp.abs(ellipse(xp, u, c.v - 0.076, 0.027, 0.024))
    c.stroke(xp.maximum(tip, 0.074 - c.v), 0.9)


def _beard(c, f):
    xp = c.xp
    head, x, y = _head_distance(c, f)
    u, v, half = _mouth_place(c, f)
    colour = toned(f.hair_colour, 0.90)
    tone = 1.02 + 0.2 * f.key * x - 0.12 * y
    flow = c.u * (1.25 - 0.4 * y) + 0.003 * xp.sin(c.v * 40 + c.u * 25)
    flow = flow + 0.0025 * xp.sin(flow * 310)
    for period in (0.0135, 0.0057):
        tone = tone + 0.06 * c.ripple(flow, period)
    if not c.none(f.full):
        line = 0.118 - 0.135 * xp.square(xp.square(x)) - 0.02 * xp.square(x)
        hole = ellipse(xp, u, v - 0.008 - 0.010 * f.happy, half + 0.002, 0.020 + 0.014 * f.happy)
        beard = xp.maximum(xp.maximum(head - 0.012, xp.maximum(line, 0.015) - c.v), -hole)
        c.paint(beard, colour, "beard", tone, f.full, soft=0.007)
    if not c.none(f.moustache):
        q = xp.square(u / (half + 0.016))
        line = v + 0.029 - 0.020 * q + 0.008 * (1 - q) * f.happy
        thick = xp.maximum(0.0155 * (1.1 - q), c.wide(0.0, 0.5))
        hair = xp.maximum(xp.abs(line) - thick, xp.abs(u) - half - 0.016)
        c.paint(hair, colour, "beard", tone, f.moustache, soft=0.004)


def _mouth_place(c, f):
    """Coordinates from the mouth's middle, curved as it smiles, and half its width."""
    xp = c.xp
    half = 0.058 + 0.013 * f.smile
    u = (c.u - f.a * f.turn * 0.92) / (0.4 + 0.6 * f.facing)
    bend = 0.022 * f.smile + 0.018 * f.happy
    return u, c.v - 0.150 + bend * (xp.square(u / half) - 0.4), half


def _mouth(c, f):
    xp = c.xp
    u, v, half = _mouth_place(c, f)
    q = xp.square(u * (1 / half))
    arch = 1 - q
    gap = 0.027 * xp.clip(f.smile * 1.25 - 0.25, 0.0, 1.0) * arch
    upper = (0.0125 - 0.003 * f.man) * arch * (1 - 0.30 * xp.maximum(1 - 14 * q, 0.0))
    lower = (0.0165 - 0.003 * f.man) * arch
    end = xp.abs(u) - half
    lips = xp.maximum(xp.maximum(-v - upper, v - gap - lower), end)
    c.shade(blob(xp, u, v - gap - 0.030, 0.045, 0.016) * 0.20)
    c.paint(lips, f.lips, "mouth", tone=1.0 - 0.12 * xp.clip(-v * 60, 0.0, 1.0))
    c.blend(blob(xp, u, v - gap - 0.008, 0.028, 0.006) * 0.30, f.white)
    teeth = xp.maximum(xp.maximum(-v, v - gap), end)
    open_ = xp.clip(gap * (1 / c.pixel) * 3, 0.0, 1.0)
    c.paint(teeth, f.white, None, 0.97 - xp.abs(u), open_, line=0.0)
    between = xp.maximum(xp.abs(v) - c.wide(0.0026, 0.34), end - 0.006)
    c.paint(between, toned(f.lips, 0.42), alpha=0.85, line=0.0)
    c.stroke(xp.maximum(xp.abs(v), end), 1.0)
    corner = blob(xp, xp.abs(u) - half - 0.006, v, 0.012, 0.012)
    c.shade(corner * 0.3)


def _eyes(c, f):
    xp = c.xp
    out, side = _pair(c, f, 0.078)
    v = c.v - 0.018
    wide = 0.038 + 0.005 * f.eye_size
    up, down = 0.0220 + 0.0075 * f.eye_size, (0.0175 + 0.0045 * f.eye_size) * (1 - 0.25 * f.happy)
    arch = 1 - xp.square(out * (1 / wide))
    lid = v + up * arch
    eye = xp.maximum(-lid, v - down * arch) * 0.8
    c.shade(blob(xp, out, v + 0.016, 0.060, 0.045) * 0.16)
    c.paint(eye, f.white, "eyes", tone=0.80 + 9 * xp.minimum(lid, 0.022))
    gaze_u, gaze_v = out + 0.004 * f.yaw * side, v + 0.003
    away = xp.sqrt(xp.square(gaze_u) + xp.square(gaze_v))
    iris = 0.0212 + 0.0040 * f.eye_size
    tone = 0.78 + 14 * xp.clip(gaze_v + 0.012, 0.0, 0.03)
    c.paint(xp.maximum(away - iris, eye), f.iris, tone=tone, line=0.7)
    c.paint(xp.maximum(away - 0.0094, eye), f.dark, line=0.0)
    if c.fine:
        rim = xp.maximum(xp.abs(away - iris + 0.0015) - 0.0014, eye)
        c.paint(rim, toned(f.iris, 0.45), alpha=0.7, line=0.0)
        spark = xp.sqrt(xp.square(gaze_u + 0.006 * side) + xp.square(gaze_v + 0.008))
        c.paint(spark - 0.0042, [1.0, 1.0, 1.0], alpha=0.92, line=0.0)
        crease = xp.abs(v + (up + 0.011) * arch * 0.9 + 0.002) - 0.0016
        crease = xp.maximum(crease, xp.abs(out) - wide * 0.9)
        c.paint(crease, toned(f.skin, 0.55), alpha=0.5, line=0.0)
    woman = 1 - f.man
    lash = c.wide(0.0030, 0.28) + 0.0022 * woman * xp.clip(1 + out * 30, 0.0, 2.0)
    lash = xp.maximum(xp.abs(lid + 0.0015) - lash, xp.abs(out) - wide - 0.004 * woman)
    c.paint(xp.maximum(lash, v - 0.012), f.dark, line=0.0, alpha=0.92)


def _brows(c, f):
    xp = c.xp
    out, _ = _pair(c, f, 0.078)
    wide = 0.050
    q = out * (1 / wide)
    line = c.v + 0.049 + 0.018 * f.brows - 0.012 * xp.square(q - 0.25) - 0.003 * f.brows * q
    thick = c.wide(0.0062, 0.42) + 0.0036 * f.man
    thick = thick * (1.05 - 0.3 * q) * (1 - xp.square(xp.square(q)))
    brow = xp.maximum(xp.abs(line) - thick, xp.abs(out) - wide)
    c.paint(brow, toned(f.hair_colour, 0.84), "brows", alpha=0.95, soft=0.003)


def _hair_in_front(c, f):
    xp = c.xp
    outer = _outer_hair(c, f)
    u = c.u - f.a * f.turn * 0.30
    v = c.v - f.line - f.deep
    fringe = 0.006 * xp.sin(c.u * 70) * (1 - f.bun)
    v = xp.minimum(v + f.parting * u + fringe, 0.0)
    opening = ellipse(xp, u, v, f.open * f.a, f.deep)
    if not c.none(f.curly):
        opening = opening + 0.008 * f.curly * xp.sin(c.u * 62 + 1) * xp.sin(c.v * 62 + 1)
    hair = xp.maximum(xp.maximum(outer, -opening), c.v - f.cut)
    head, _, _ = _head_distance(c, f)
    cast = xp.clip(1 - xp.maximum(hair, 0.0) / 0.035, 0.0, 1.0)
    cast = xp.square(cast) * xp.clip(0.5 - head / c.pixel, 0.0, 1.0)
    c.shade(cast * xp.clip(0.5 - c.v * 8, 0.0, 1.0) * 0.30 * f.haired)
    tone = 0.98 + 1.1 * f.key * c.u - 0.35 * xp.maximum(c.v, 0.0)
    tone = tone - 0.22 * xp.clip(1 - opening / 0.035, 0.0, 1.0)
    flow = c.u / (0.50 + 0.9 * xp.sqrt(xp.square(c.v + 0.02) + 0.03)) + 0.012 * xp.sin(c.v * 19)
    flow = flow + 0.011 * xp.sin(flow * 83) + 0.004 * xp.sin(flow * 211)
    for period in (0.041, 0.013, 0.0057):
        tone = tone + (0.04 - 0.028 * f.curly) * c.ripple(flow, period)
    covered = c.paint(hair, f.hair_colour, "hair", tone, f.haired)
    ring = (c.v + 0.185 + 0.02 * f.curly - 2.2 * xp.square(c.u - 0.06 * f.light)) / 0.055
    shine = xp.square(xp.maximum(1 - xp.square(ring), 0.0))
    shine = shine * (0.22 + 0.33 * f.light_strength) * (0.8 + 0.2 * c.ripple(flow, 0.03))
    c.blend(covered * shine, f.gloss)


def _glasses(c, f):
    xp = c.xp
    out, _ = _pair(c, f, 0.078)
    v = c.v - 0.022
    ring = xp.sqrt(xp.square(out) + xp.square(v)) - 0.055
    rect = box(xp, out, v, 0.061, 0.043, 0.012)
    lens = f.round * ring + f.square * rect
    glare = xp.clip(1 - xp.abs(out + v * 0.8 + 0.012) * 90, 0.0, 1.0) * 0.25
    inside = xp.clip(0.5 - lens / c.pixel, 0.0, 1.0)
    c.blend(inside * f.some * (0.10 + glare), f.white)
    thick = c.wide(0.0046, 0.5) + 0.0006 * f.square
    frame = xp.abs(lens) - thick
    head, _, _ = _head_distance(c, f)
    inner = xp.maximum(xp.abs(v + 0.012) - thick, xp.abs(out + 0.08) - 0.028)
    temple = xp.maximum(xp.maximum(xp.abs(v + 0.014) - thick, 0.056 - out), head)
    frame = xp.minimum(frame, xp.minimum(inner, temple))
    solid = min(1.0, 0.5 + c.size / 64)  # or eyes would vanish behind a pixel's width
    c.paint(frame, f.frame, "glasses", alpha=f.some * solid, line=0.8)


def _sketch(canvas):
    """Pen on paper: outlines, and hatching where the photo is dark."""
    xp = canvas.xp
    r, g, b = canvas.colour
    light = 0.35 * r + 0.5 * g + 0.15 * b
    count = min(70, canvas.size / 4)
    ink = canvas.lines[0]
    for slope, dark in ((1.0, 0.40), (-1.0, 0.16)):
        phase = (canvas.x * 0.8 + slope * canvas.y) * count
        wave = xp.abs(phase - xp.floor(phase) - 0.5) * 2
        ink = xp.maximum(ink, xp.clip((dark - light) * 2.4 - wave + 0.30, 0.0, 1.0) * 0.75)
    ink = xp.maximum(ink, xp.clip((0.19 - light) * 14, 0.0, 1.0)) * 0.9
    return [1 - ink * k for k in (0.86, 0.88, 0.84)]


EVERYWHERE = (0.0, 1.0, 0.0, 1.0)
LAYERS = (  # painters from back to front; where: top, bottom, left, right; for whom
    (_sky, EVERYWHERE, "all"),
    (_sun_or_moon, (0.0, 0.6, 0.0, 1.0), "all"),
    (_stars, (0.0, 0.62, 0.0, 1.0), "night"),
    (_clouds, (0.0, 0.4, 0.0, 1.0), "day"),
    (_room, EVERYWHERE, "room"),
    (_hills, (0.4, 1.0, 0.0, 1.0), "hills"),
    (_city, (0.25, 1.0, 0.0, 1.0), "city"),
    (_sea, (0.3, 1.0, 0.0, 1.0), "sea"),
    (_bun, (0.0, 0.4, 0.2, 0.8), "bun"),
    (_hair_behind, (0.02, 1.0, 0.06, 0.94), "behind"),
    (_body, (0.62, 1.0, 0.0, 1.0), "all"),
    (_head, (0.14, 0.82, 0.12, 0.88), "all"),
    (_features, (0.36, 0.70, 0.18, 0.82), "all"),
    (_beard, (0.36, 0.86, 0.16, 0.84), "hairy"),
    (_mouth, (0.52, 0.76, 0.2, 0.8), "all"),
    (_eyes, (0.36, 0.58, 0.16, 0.84), "all"),
    (_brows, (0.32, 0.50, 0.16, 0.84), "all"),
    (_glasses, (0.34, 0.62, 0.1, 0.9), "some"),
    (_hair_in_front, (0.02, 1.0, 0.06, 0.94), "haired"),
    (_ears, (0.3, 0.7, 0.1, 0.9), "bare"),
)


# Captions

PLACES = {
    ("room", "day"): ("in a bright room", "indoors by day", "at home in daylight"),
    ("room", "night"): ("in a room at night", "indoors at night", "by lamplight at night"),
    ("hills", "day"): ("in front of green hills", "among hills by day", "on a day in the hills"),
    ("hills", "night"): ("in front of hills at night", "among dark hills at night"),
    ("city", "day"): ("in the city by day", "in front of tall houses by day"),
    ("city", "night"): ("in the city at night", "in front of lit windows, at night"),
    ("sea", "day"): ("by the sea", "at the sea by day", "in front of the blue sea"),
    ("sea", "night"): ("by the sea at night", "at the sea, at night"),
}
BEARDS = {
    "moustache": ("a moustache", "a {} moustache"),
    "full": ("a beard", "a full beard", "a {} beard"),
}
OPENINGS = ("{}", "a portrait of {}", "a picture of {}", "the face of {}")


def _caption(face, random):
    """A sentence about a face, given as names and numbers."""

    def say(*ways):
        return ways[random.integers(len(ways))]

    colour, mood = face["hair_colour"], ""
    if face["smile"] > 1 / 3:
        mood = say("smiling", "smiling", "cheerful", "happy")
    elif face["smile"] < -1 / 3:
        mood = say("frowning", "unsmiling", "sad")
    skin = f"{face['skin']}-skinned" if random.random() < 0.35 else ""
    bald = face["hair"] == "bald"
    words = [word for word in (mood, "bald" if bald else "", skin) if word]
    subject = f"{', '.join(words)} {face['presentation']}".strip()
    subject = f"{'an' if subject[0] in 'aeiou' else 'a'} {subject}"

    has = []
    if not bald:
        style = {"curly": "curly", "long": "long", "short": "short"}.get(face["hair"], "")
        noun = {"bob": f"a {colour} bob", "bun": f"{colour} hair in a bun"}.get(face["hair"])
        has.append(noun or f"{say(style, style, '')} {colour} hair".strip())
    if face["beard"] != "none":
        has.append(say(*BEARDS[face["beard"]]).format(colour))
    if face["glasses"] != "none":
        has.append(say("glasses", f"{face['glasses']} glasses"))
    if random.random() < 0.3 or not has:
        has.append(f"{face['eye_colour']} eyes")
    random.shuffle(has)
    text = f"{subject} with {_listed(has)}"
    if random.random() < 0.5:
        text += f", {say('in', 'wearing')} a {face['outfit_colour']} {face['outfit']}"
    if abs(face["yaw"]) > 0.5 and random.random() < 0.5:
        text += f", {say('turned', 'looking')} to the {'right' if face['yaw'] > 0 else 'left'}"
    place = say(*PLACES[face["background"], face["time"]])
    text = say(*OPENINGS).format(text)
    text = f"{text}, {place}" if random.random() < 0.7 else f"{place}, {text}"
    return text[0].upper() + text[1:] + "."


def _listed(things):
    return " and ".join(filter(None, [", ".join(things[:-1]), things[-1]]))
