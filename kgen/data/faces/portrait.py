"""Who is portrayed: body, head and features."""

from kgen.data.faces import hair
from kgen.data.faces.canvas import SCALE, blob, box, ellipse, mix, toned
from kgen.data.faces.measures import head_distance, mouth_place, pair


def _body(c, f):
    xp, x, y = c.xp, c.x, c.y
    straight = xp.clip((y - 0.82) * 12, 0.0, 1.0)
    across = xp.abs(SCALE * c.u + straight * (x - 0.5 - SCALE * c.u))  # from neck to chest
    body = ellipse(xp, x - 0.5, y - 1.12, 0.37 + 0.06 * f.man, 0.325)
    tone = f.exposure + 0.5 * f.key * (x - 0.5) - 0.9 * xp.square(x - 0.5)
    tone = tone + 0.035 * f.sweater * c.ripple(y + 0.3 * xp.square(x - 0.5), 0.016)
    c.paint(body, f.cloth, "clothes", tone)
    half = 0.075 + 0.020 * f.man
    opening = half * (1 - xp.clip((y - 0.83) / (0.03 + 0.08 * f.shirt), 0.0, 1.2))
    neck = xp.maximum(across - opening, 0.1 - c.v)
    neck = c.paint(neck, f.skin, "skin", 0.93 * f.exposure + f.key * c.u)
    c.shade(neck * blob(xp, c.u, c.v - 0.25, 0.13, 0.13) * (0.22 + 0.38 * f.lit))
    if not c.none(f.sweater):
        band = box(xp, across, y - 0.832 - 1.2 * xp.square(c.u), half + 0.014, 0.05, 0.02)
        tone = 0.90 * f.exposure + f.key * c.u + 1.5 * (0.83 - y) + 0.05 * c.ripple(c.u, 0.014)
        c.paint(band, f.cloth, "clothes", tone, f.sweater)
    if not c.none(f.shirt):
        flap = xp.maximum(opening - across, across - opening - 0.055)
        flap = xp.maximum(flap, xp.maximum(0.79 + 0.25 * across - y, y + 0.45 * across - 0.965))
        tone = f.exposure + 0.4 * f.key * (x - 0.5)
        c.paint(flap, mix(f.cloth, f.white, 0.35), "clothes", tone, f.shirt)
        seam = xp.maximum(across - 0.0025, 0.945 - y)
        c.paint(seam, toned(f.cloth, 0.7), alpha=f.shirt * 0.8, line=0.0)


def _head(c, f):
    xp = c.xp
    head, x, y = head_distance(c, f)
    round_ = xp.sqrt(xp.maximum(1.02 - xp.square(x) - xp.square(y), 0.0))
    tone = 0.84 + 0.12 * round_ + 0.28 * f.key * x
    tone = (tone + f.lit * (0.16 * round_ - 0.10 - 0.12 * y)) * f.exposure
    skin = c.paint(head, f.skin, "skin", tone=tone)
    shine = blob(xp, x - 0.35 * f.light, y + 0.62, 0.55, 0.30) * (0.10 + 0.16 * f.bald)
    c.blend(skin * shine * (0.2 + 1.2 * f.lit), f.white)


def _ears(c, f):
    """Ears, over short hair, beside the head."""
    xp = c.xp
    side = xp.sign(c.u)
    out = xp.abs(c.u) - f.a * f.facing + 0.02 * f.turn * side
    ear = ellipse(xp, out, c.v - 0.03, 0.032 - 0.02 * f.turn * side, 0.050)
    head, _, _ = head_distance(c, f)
    ear = xp.maximum(ear, -head)
    skin = c.paint(ear, f.skin, "skin", 0.92 * f.exposure + f.key * c.u, f.bare)
    c.shade(skin * blob(xp, out - 0.004, c.v - 0.03, 0.022, 0.036) * 0.45)


def _features(c, f):
    """Cheeks and nose: little but light and shadow."""
    xp = c.xp
    out, _ = pair(c, f, 0.092)
    v = c.v - 0.092 + 0.012 * f.happy
    c.blend(blob(xp, out, v, 0.062, 0.052) * (0.36 - 0.10 * f.man + 0.14 * f.happy), f.blush)
    u = c.u - f.a * f.turn * 1.12
    bridge = c.u - f.a * f.turn
    dark = bridge + 0.020 * xp.clip(f.light * 4, -1.0, 1.0)  # the side away from the light
    dim = 0.12 + 0.16 * f.lit
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


def _mouth(c, f):
    xp = c.xp
    u, v, half = mouth_place(c, f)
    q = xp.square(u * (1 / half))
    arch = 1 - q
    gap = 0.027 * xp.clip(f.smile * 1.25 - 0.25, 0.0, 1.0) * arch
    upper = (0.0140 - 0.003 * f.man) * arch * (1 - 0.30 * xp.maximum(1 - 14 * q, 0.0))
    lower = (0.0185 - 0.003 * f.man) * arch
    end = xp.abs(u) - half
    lips = xp.maximum(xp.maximum(-v - upper, v - gap - lower), end)
    c.shade(blob(xp, u, v - gap - 0.030, 0.045, 0.016) * 0.20)
    c.paint(lips, f.lips, "mouth", tone=1.0 - 0.12 * xp.clip(-v * 60, 0.0, 1.0))
    c.blend(blob(xp, u, v - gap - 0.008, 0.028, 0.006) * 0.30, f.white)
    teeth = xp.maximum(xp.maximum(-v, v - gap), end)
    open_ = xp.clip(gap * (1 / c.pixel) * 3, 0.0, 1.0)
    c.paint(teeth, f.white, None, 0.97 - xp.abs(u), open_, line=0.0)
    between = xp.maximum(xp.abs(v) - c.wide(0.0026, 0.52) * (1.15 - 0.5 * q), end - 0.006)
    c.paint(between, toned(f.lips, 0.42), alpha=0.85, line=0.0)
    c.stroke(xp.maximum(xp.abs(v), end), 1.0)
    corner = blob(xp, xp.abs(u) - half - 0.006, v, 0.012, 0.012)
    c.shade(corner * 0.3)


def _eyes(c, f):
    xp = c.xp
    out, side = pair(c, f, 0.078)
    v = c.v - 0.018
    wide = 0.038 + 0.010 * f.eye_size
    up = 0.0230 + 0.0120 * f.eye_size
    down = (0.0184 + 0.0085 * f.eye_size) * (1 - 0.2 * f.happy)
    arch = 1 - xp.square(out * (1 / wide))
    lid = v + up * arch
    eye = xp.maximum(-lid, v - down * arch) * 0.8
    c.shade(blob(xp, out, v + 0.016, 0.060, 0.045) * 0.16)
    c.paint(eye, f.white, "eyes", tone=0.80 + 9 * xp.minimum(lid, 0.022))
    gaze_u, gaze_v = out + 0.004 * f.yaw * side, v + 0.003
    away = xp.sqrt(xp.square(gaze_u) + xp.square(gaze_v))
    iris = 0.0210 + 0.0070 * f.eye_size
    tone = 0.78 + 14 * xp.clip(gaze_v + 0.012, 0.0, 0.03)
    c.paint(xp.maximum(away - iris, eye), f.iris, tone=tone, line=0.7)
    c.paint(xp.maximum(away - 0.44 * iris, eye), f.dark, line=0.0)
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
    out, _ = pair(c, f, 0.078)
    wide = 0.050
    q = out * (1 / wide)
    line = c.v + 0.058 + 0.025 * f.brows - 0.012 * xp.square(q - 0.25) - 0.007 * f.brows * q
    thick = c.wide(0.0064, 0.46) + 0.0036 * f.man
    thick = thick * (1.05 - 0.3 * q) * (1 - xp.square(xp.square(q)))
    brow = xp.maximum(xp.abs(line) - thick, xp.abs(out) - wide)
    c.paint(brow, f.brow_color, "brows", alpha=0.95, soft=0.003)


def _glasses(c, f):
    xp = c.xp
    out, _ = pair(c, f, 0.078)
    v = c.v - 0.025
    ring = xp.sqrt(xp.square(out - 0.007) + xp.square(v)) - 0.063
    rect = box(xp, out - 0.008, v, 0.062, 0.049, 0.014)
    lens = f.round * ring + f.square * rect
    glare = xp.clip(1 - xp.abs(out + v * 0.8 + 0.012) * 90, 0.0, 1.0) * 0.25
    inside = xp.clip(0.5 - lens / c.pixel, 0.0, 1.0)
    c.blend(inside * f.some * (0.06 + glare), f.white)
    thick = _frame_width(c) + 0.0006 * f.square
    inner = xp.maximum(xp.abs(v + 0.012) - thick, xp.abs(out + 0.08) - 0.027)
    frame = xp.minimum(xp.abs(lens) - thick, inner)
    solid = min(1.0, 0.5 + c.size / 64)  # or eyes would vanish behind a pixel's width
    c.paint(frame, f.frame, "glasses", alpha=f.some * solid, line=0.8)


def _temples(c, f):
    xp = c.xp
    out, _ = pair(c, f, 0.078)
    head, _, _ = head_distance(c, f)
    temple = xp.maximum(xp.abs(c.v - 0.011) - _frame_width(c), 0.067 - out)
    c.paint(xp.maximum(temple, head), f.frame, "glasses", alpha=f.some, line=0.8)


def _frame_width(c):
    return c.wide(0.0046, 0.42)


LAYERS = (  # painters from back to front; where: top, bottom, left, right; for whom
    (hair.bun, (0.0, 0.4, 0.2, 0.8), "bun"),
    (hair.behind, (0.02, 1.0, 0.06, 0.94), "behind"),
    (_body, (0.62, 1.0, 0.0, 1.0), "all"),
    (_head, (0.14, 0.82, 0.12, 0.88), "all"),
    (_features, (0.36, 0.70, 0.18, 0.82), "all"),
    (hair.beard, (0.36, 0.86, 0.16, 0.84), "hairy"),
    (_mouth, (0.52, 0.76, 0.2, 0.8), "all"),
    (_eyes, (0.36, 0.58, 0.16, 0.84), "all"),
    (_brows, (0.32, 0.50, 0.16, 0.84), "all"),
    (_temples, (0.38, 0.60, 0.1, 0.9), "some"),
    (hair.in_front, (0.02, 1.0, 0.06, 0.94), "haired"),
    (_ears, (0.3, 0.7, 0.1, 0.9), "bare"),
    (_glasses, (0.34, 0.62, 0.1, 0.9), "some"),
)
