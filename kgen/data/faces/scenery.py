"""Backgrounds, soft, as behind a portrait lens."""

from kgen.data.faces.canvas import blob, box, ellipse, mix, rgb


def _sky(c, f):
    if c.color:
        warm = c.xp.square(f.detail[1])
        high, low = mix(f.high, f.high_warm, warm), mix(f.low, f.low_warm, warm)
        for i, value in enumerate(mix(high, low, c.xp.clip(c.y / 0.6, 0.0, 1.0))):
            c.color[i] += value


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
    for ridge, color in ridges:
        tone = 1.12 - 0.9 * c.xp.maximum(y - ridge, 0.0)
        c.paint(ridge - y, color, None, tone, f.hills, soft=0.008, line=0.6)


def _city(c, f):
    xp, y = c.xp, c.y
    for count, top, spread, color in ((9.0, 0.30, 0.22, f.far_house), (5.5, 0.44, 0.26, f.house)):
        street = c.x * count + 7 * f.detail[2]
        house = xp.floor(street)
        height = xp.mod(house * 7 + xp.floor(f.detail[3] * 5) + 3, 11) / 11
        roof = top + spread * height
        wall = xp.maximum(roof - y, (xp.abs(street - house - 0.5) - 0.47) / count)
        c.paint(wall, color, None, 0.86 + 0.24 * height, f.city, soft=0.004, line=0.6)
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
)
