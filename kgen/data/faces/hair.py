"""Hair and beards."""

from kgen.data.faces.canvas import ellipse
from kgen.data.faces.measures import head_distance, mouth_place


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


def behind(c, f):
    """Hair behind the shoulders."""
    c.paint(_outer_hair(c, f), f.shadow, "hair", alpha=f.behind)


def bun(c, f):
    """A bun above the head."""
    bun = ellipse(c.xp, c.u + 0.05 * f.turn, c.v + 0.285, 0.082, 0.070)
    c.paint(bun, f.hair_color, "hair", 0.95 - bun * 1.5 - 3.0 * (c.v + 0.285), f.bun)


def beard(c, f):
    """A full beard, or a moustache."""
    xp = c.xp
    head, x, y = head_distance(c, f)
    u, v, half = mouth_place(c, f)
    tone = 0.94 + 0.12 * f.lit + 0.2 * f.key * x - 0.12 * y
    flow = 0.0
    if c.clear(0.0135):
        flow = c.u * (1.25 - 0.4 * y) + 0.003 * xp.sin(c.v * 40 + c.u * 25)
        flow = flow + 0.0025 * xp.sin(flow * 310)
    for period in (0.0135, 0.0057):
        tone = tone + 0.06 * c.ripple(flow, period)
    if not c.none(f.full):
        line = 0.118 - 0.135 * xp.square(xp.square(x)) - 0.02 * xp.square(x)
        hole = ellipse(xp, u, v - 0.006 - 0.012 * f.happy, half - 0.002, 0.0185 + 0.015 * f.happy)
        outline = head - 0.012 * xp.clip(2 * y, 0.0, 1.0)
        beard = xp.maximum(xp.maximum(outline, xp.maximum(line, 0.015) - c.v), -hole)
        c.paint(beard, f.beard_color, "beard", tone, f.full, soft=0.007)
    if not c.none(f.moustache):
        q = xp.square(u / (half + 0.016))
        line = v + 0.029 - 0.020 * q + 0.008 * (1 - q) * f.happy
        line = line + 0.016 * xp.minimum(f.smile, 0.0) * (0.4 - q)
        thick = xp.maximum(0.0155 * (1.1 - q), c.wide(0.0, 0.5))
        hair = xp.maximum(xp.abs(line) - thick, xp.abs(u) - half - 0.016)
        c.paint(hair, f.beard_color, "beard", tone, f.moustache, soft=0.004)


def in_front(c, f):
    """Hair on the head, which leaves the face open."""
    xp = c.xp
    outer = _outer_hair(c, f)
    u = c.u - f.a * f.turn * 0.30
    v = c.v - f.line - f.deep
    fringe = 0.006 * xp.sin(c.u * 70) * (1 - f.bun)
    v = xp.minimum(v + f.parting * u + fringe, 0.0)
    opening = ellipse(xp, u, v, f.open * f.a, f.deep)
    if not c.none(f.curly):
        curls = 0.008 * xp.sin(c.u * 62 + 1) * xp.sin(c.v * 62 + 1)
        opening = opening + f.curly * (curls - 0.45 * xp.maximum(c.v - 0.10, 0.0))
    cut = c.v - f.cut + 0.9 * xp.maximum(f.turn * c.u, 0.0)  # no sideburn on the far side
    hair = xp.maximum(xp.maximum(outer, -opening), cut)
    head, _, _ = head_distance(c, f)
    cast = xp.clip(1 - xp.maximum(hair, 0.0) / 0.035, 0.0, 1.0)
    cast = xp.square(cast) * xp.clip(0.5 - head / c.pixel, 0.0, 1.0)
    c.shade(cast * xp.clip(0.5 - c.v * 8, 0.0, 1.0) * 0.30 * f.haired)
    tone = 0.94 + 0.10 * f.lit + 1.1 * f.key * c.u - 0.35 * xp.maximum(c.v, 0.0)
    tone = tone - 0.22 * xp.clip(1 - opening / 0.035, 0.0, 1.0)
    flow = 0.0
    if c.clear(0.041):
        flow = c.u / (0.50 + 0.9 * xp.sqrt(xp.square(c.v + 0.02) + 0.03))
        flow = flow + 0.012 * xp.sin(c.v * 19)
        flow = flow + 0.011 * xp.sin(flow * 83) + 0.004 * xp.sin(flow * 211)
    for period in (0.041, 0.013, 0.0057):
        tone = tone + (0.04 - 0.028 * f.curly) * c.ripple(flow, period)
    covered = c.paint(hair, f.hair_color, "hair", tone, f.haired)
    ring = (c.v + 0.185 + 0.02 * f.curly - 2.2 * xp.square(c.u - 0.06 * f.light)) / 0.055
    shine = xp.square(xp.maximum(1 - xp.square(ring), 0.0))
    shine = shine * (0.10 + 0.55 * f.lit) * (0.8 + 0.2 * c.ripple(flow, 0.03))
    c.blend(covered * shine, f.gloss)
