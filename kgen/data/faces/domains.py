"""Two domains of faces, for translation from one to the other with the truth beside."""

from kgen.arguments import one_of
from kgen.data.faces.drawing import RENDERINGS
from kgen.data.faces.factors import sample_factors
from kgen.data.layout import spelled
from kgen.data.request import SPLIT_SEEDS

ROOM = {"background": "room", "time": "day", "glasses": "none"}
ALICE = ROOM | {
    "presentation": "woman",
    "skin": "tan",
    "hair": "bob",
    "hair_color": "black",
    "eye_color": "brown",
    "beard": "none",
    "outfit": "sweater",
    "outfit_color": "yellow",
    "face_width": -0.5,
    "eye_size": 0.5,
}
BOB = ROOM | {
    "presentation": "man",
    "skin": "fair",
    "hair": "short",
    "hair_color": "red",
    "eye_color": "blue",
    "beard": "none",
    "outfit": "shirt",
    "outfit_color": "blue",
    "face_width": 0.6,
    "eye_size": -0.4,
}
DOMAINS = {
    "day2night": ({"time": "day"}, {"time": "night"}),
    "plain2glasses": ({"glasses": "none"}, {"glasses": {"round", "square"}}),
    "alice2bob": (ALICE, BOB),
}
"""Two domains by name: the factors that are given in the first, and in the second.

Of two people these are who each is; how they look stays free: pose, expression and light.
"""

OTHER_FACES = 2**40  # number of the first of them; no memory holds so many before it


def domain_factors(name, split, n, kind=None):
    """The factors of the faces that `load` shows in two domains.

    For training, each domain has faces of its own, so that no image has its answer in the other one
    (CycleGAN). For testing, row i of both is one face, which nobody trained on, but for the factors
    that make the domain: each is the true translation of the other.

    Args:
        name: of a row of `DOMAINS`, such as `"day2night"`, or two of `RENDERINGS`, such as
            `"photo2sketch"`; also after `"faces/"`, as `load` has it.
        split: `"train"` or `"test"`, in any spelling.
        n: number of faces in each domain.
        kind: `"domains"`: as above; `"pairs"`: the same faces in both also for training (pix2pix).
            None is `"pairs"` for two renderings, otherwise `"domains"`.

    Returns:
        Two dictionaries as `sample_factors` returns them, of the first and the second domain. The
        first faces are the same for every `n`.

    Raises:
        ValueError: if name, split, n or kind are not as above.

    Example:

    ```python
    day, night = kgen.data.faces.domain_factors("day2night", "test", 100)
    truth = kgen.data.faces.draw(night, 64)  # of what a model makes of the faces by day
    ```
    """
    aligned, (_, _, given) = are_aligned(name, split, kind), sides(name)
    seed, starts = SPLIT_SEEDS[spelled(split)], (0, 0 if aligned else OTHER_FACES)
    first, second = (
        sample_factors(n, seed, start, **fixed) for start, fixed in zip(starts, given, strict=True)
    )
    return first, second


def are_aligned(name, split, kind=None):
    """Whether both domains show the same faces; arguments and errors as in `domain_factors`."""
    split = one_of(spelled(split), SPLIT_SEEDS, "split")
    names, renderings, _ = sides(name)
    if kind not in (None, "pairs", "domains"):
        raise ValueError(
            f"The kind of {name!r} must be 'domains' (faces of its own in each, for training), "
            f"'pairs' (the same faces in both) or None; got {kind!r}."
        )
    return split == "test" or (names == renderings if kind is None else kind == "pairs")


def sides(name):
    """Of both domains: their names, their renderings, and the factors given in them.

    Raises:
        ValueError: for an unknown name.
    """
    variant = str(name).removeprefix("faces/")
    names = tuple(variant.split("2"))
    if variant in DOMAINS:
        return names, ("photo", "photo"), DOMAINS[variant]
    if len(names) != 2 or not set(names) <= set(RENDERINGS):
        raise ValueError(
            f"Two domains of faces are two of {RENDERINGS}, such as 'faces/edges2photo', or one of "
            f"{[f'faces/{known}' for known in DOMAINS]}; got 'faces/{variant}'."
        )
    return names, names, ({}, {})
