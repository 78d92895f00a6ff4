"""A face in numbers: colours, sizes, and where its parts are."""

from types import SimpleNamespace

import numpy as np

from kgen.data.faces.canvas import brightness, mix, rgb, times, toned
from kgen.data.faces.factors import FACTORS

SKIN = {"fair": (248, 214, 192), "tan": (226, 172, 132), "brown": (168, 110, 76)}
SKIN |= {"dark": (104, 66, 48)}
HAIR = {"black": (42, 37, 42), "brown": (106, 66, 42), "blond": (230, 188, 110)}
HAIR |= {"red": (186, 76, 34), "grey": (172, 172, 180)}
EYES = {"brown": (112, 62, 24), "blue": (48, 124, 220), "green": (52, 150, 78)}
CLOTH = {"red": (190, 58, 62), "blue": (58, 98, 176), "green": (62, 130, 94)}
CLOTH |= {"yellow": (228, 178, 66), "white": (238, 236, 230)}

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


def measures(xp, factors):
    """All that the drawing needs to know of the faces, arrays (n, 1, 1)."""

    def column(values):
        return xp.reshape(values, (-1, 1, 1))

    def by(name, **values):
        table = np.array([values.get(kind, 0.0) for kind in FACTORS[name]], "float32")
        return column(xp.take(table, factors[name], axis=0))

    def color(name, table):
        table = np.array([table[kind] for kind in FACTORS[name]], "float32") / np.float32(255)
        rows = xp.take(table, factors[name], axis=0)
        return [column(rows[:, i]) for i in range(3)]

    f = SimpleNamespace(**{name: column(factors[name]) for name in list(FACTORS)[-8:]})
    f.detail = [column(factors["detail"][:, i]) for i in range(4)]
    f.night, f.man = by("time", night=1), by("presentation", man=1)
    f.side = xp.sign(f.detail[0] - 0.5)  # of sun, moon and window
    f.day, f.all = 1 - f.night, 1 + 0 * f.night
    f.key = f.light * (0.15 + 0.85 * f.light_strength)
    f.lit = (f.light_strength - 0.3) * (1 / 0.7)
    f.exposure = 0.82 + 0.24 * f.lit
    for name, (day, night) in SCENERY.items():
        setattr(f, name, mix(rgb(*day), rgb(*night), f.night))
    for kind in FACTORS["background"]:
        setattr(f, kind, by("background", **{kind: 1}))
    f.shirt, f.sweater = by("outfit", shirt=1), by("outfit", sweater=1)

    angle = 0.16 * f.tilt
    f.cos, f.sin = xp.cos(angle), xp.sin(angle)
    f.turn, f.facing = xp.sin(0.42 * f.yaw), xp.cos(0.42 * f.yaw)
    f.a = 0.186 * (1 + 0.135 * f.face_width)  # half the width of the head
    f.chin = 0.255 + 0.012 * f.man
    f.happy = xp.maximum(f.smile, 0.0)

    light = mix([0.86, 0.83, 0.91], [0.93, 0.83, 0.75], f.room)  # of the moon, of the lamp
    light = mix([1.0, 1.0, 1.0], light, f.night)
    f.skin, f.hair_color = color("skin", SKIN), color("hair_color", HAIR)
    f.cloth, f.iris = color("outfit_color", CLOTH), color("eye_color", EYES)
    f.white, f.rose = rgb(252, 250, 246), rgb(206, 72, 82)
    f.frame, f.dark = rgb(38, 30, 36), rgb(44, 28, 28)
    for name in ("skin", "hair_color", "cloth", "iris", "white", "rose", "frame", "dark"):
        setattr(f, name, times(getattr(f, name), light))
    f.lips = mix(times(f.skin, (0.84, 0.62, 0.60)), f.rose, 0.67 - 0.29 * f.man)
    f.blush = times(f.skin, (1.02, 0.66, 0.64))
    f.gloss = mix(f.hair_color, f.white, 0.38)
    f.shadow = times(f.hair_color, (0.62, 0.58, 0.60))
    # Brows and beards stand out on their skin: darker than the hair where that is no lighter.
    bright = brightness(f.hair_color)
    lighter = bright / brightness(f.skin) - 1
    contrast = xp.clip(xp.abs(lighter) * 5, 0.0, 1.0)
    light_hair = xp.clip(bright * 4 - 1.8, 0.0, 0.7)
    f.beard_color = toned(f.hair_color, 0.62 + 0.28 * xp.maximum(contrast, light_hair))
    dark = 0.34 + 0.18 * contrast
    f.brow_color = toned(f.hair_color, dark + 0.5 * xp.clip(lighter * 10 - 0.8, 0.0, 1.0))

    style = {
        "grow": (0, 0.018, 0.080, 0.046, 0.046, 0.012),
        "tall": (0.2, 0.266, 0.306, 0.278, 0.274, 0.252),
        "length": (0, 0.06, 0.10, 0.20, 0.46, 0.03),
        "blunt": (1, 1, 1, 4.5, 2.5, 1),
        "open": (1, 0.91, 0.90, 0.91, 0.88, 0.95),
        "line": (-0.1, -0.144, -0.130, -0.108, -0.154, -0.140),
        "deep": (0.2, 0.15, 0.18, 0.13, 0.22, 0.19),
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


def head_distance(c, f):
    """Distance to the outline of the head, and coordinates in it from -1 to 1."""
    xp = c.xp
    down = xp.maximum(c.v, 0.0) / f.chin
    y = xp.minimum(c.v, 0.0) * (1 / 0.236) + down
    width = f.a * (1 - (0.27 - 0.10 * f.man) * xp.square(down))
    x = (c.u - f.turn * (0.012 + 0.045 * down)) / width
    return (xp.sqrt(xp.square(x) + xp.square(y)) - 1) * 0.21, x, y


def pair(canvas, f, x):
    """Coordinates outward from both of a pair of features at -x and x, and the pair's sides."""
    xp = canvas.xp
    depth = xp.sqrt(xp.maximum(1 - xp.square(x / f.a), 0.05)) * f.a
    middle = 0.85 * depth * f.turn
    half = x * f.facing
    u = canvas.u - middle
    side = xp.sign(u)
    narrow = 1 - 0.33 * f.turn * side * x / 0.08
    return (xp.abs(u) - half) / narrow, side


def mouth_place(c, f):
    """Coordinates from the mouth's middle, curved as it smiles, and half its width."""
    xp = c.xp
    half = 0.064 + 0.010 * f.smile
    u = (c.u - f.a * f.turn * 0.92) / (0.4 + 0.6 * f.facing)
    bend = 0.030 * f.smile + 0.013 * f.happy
    return u, c.v - 0.150 + bend * (xp.square(u / half) - 0.4), half
