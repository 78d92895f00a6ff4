"""Sentences about faces."""

import numpy as np

from kgen.data.faces.factors import FACTORS

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


def _caption(face, random):
    """A sentence about a face, given as names and numbers."""

    def say(*ways):
        return ways[random.integers(len(ways))]

    color, mood = face["hair_color"], ""
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
        noun = {"bob": f"a {color} bob", "bun": f"{color} hair in a bun"}.get(face["hair"])
        has.append(noun or f"{say(style, style, '')} {color} hair".strip())
    if face["beard"] != "none":
        has.append(say(*BEARDS[face["beard"]]).format(color))
    if face["glasses"] != "none":
        has.append(say("glasses", f"{face['glasses']} glasses"))
    if random.random() < 0.3 or not has:
        has.append(f"{face['eye_color']} eyes")
    random.shuffle(has)
    text = f"{subject} with {_listed(has)}"
    if random.random() < 0.5:
        text += f", {say('in', 'wearing')} a {face['outfit_color']} {face['outfit']}"
    if abs(face["yaw"]) > 0.5 and random.random() < 0.5:
        text += f", {say('turned', 'looking')} to the {'right' if face['yaw'] > 0 else 'left'}"
    place = say(*PLACES[face["background"], face["time"]])
    text = say(*OPENINGS).format(text)
    text = f"{text}, {place}" if random.random() < 0.7 else f"{place}, {text}"
    return text[0].upper() + text[1:] + "."


def _listed(things):
    return " and ".join(filter(None, [", ".join(things[:-1]), things[-1]]))
