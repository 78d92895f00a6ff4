"""What a face is: its factors, and how they are drawn."""

import numpy as np

from kgen.arguments import positive, whole
from kgen.progress import for_all

FACTORS = {
    "presentation": ("woman", "man"),
    "skin": ("fair", "tan", "brown", "dark"),
    "hair": ("bald", "short", "curly", "bob", "long", "bun"),
    "hair_color": ("black", "brown", "blond", "red", "grey"),
    "eye_color": ("brown", "blue", "green"),
    "glasses": ("none", "round", "square"),
    "beard": ("none", "moustache", "full"),
    "outfit": ("shirt", "sweater"),
    "outfit_color": ("red", "blue", "green", "yellow", "white"),
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

NUMBERS_PER_FACE = 32  # uniform ones, some in reserve
FACES_AT_ONCE = 2**14  # faces whose factors are drawn at once
SETS = (set, frozenset)


def sample_factors(n, seed=0, start=0, **fixed):
    """Draw the factors of `n` faces.

    They are independent and uniform, but for what depends on the presentation: women have no beard
    and are not bald; men have short hair more often than other hair, and neither bob nor bun.

    Args:
        n: number of faces.
        seed: integer of at least 0.
        start: number of the first face: faces 8 to 15 are `sample_factors(8, seed, start=8)`.
        **fixed: factors that are given instead of drawn: a class by name or index, a number, one of
            these for each face, or a set of these, such as `glasses={"round", "square"}`, of which
            each face has one, all equally likely. Whatever does not depend on them stays as it was
            drawn.

    Returns:
        A dictionary of arrays of N rows: each factor's int32 class indices or float32 numbers, and
        `"detail"`, float32 `(N, 4)` in [0, 1), which is no label (where the sun stands).

    Raises:
        ValueError: for an unknown factor or class, or a number out of its range.
    """
    n, seed, start = positive(n, "n"), whole(seed, "seed"), whole(start, "start")
    if unknown := sorted(set(fixed) - set(FACTORS)):
        raise ValueError(f"There is no factor {unknown}; the factors are {list(FACTORS)}.")
    among = {name: _among(name, fixed[name]) for name in fixed if isinstance(fixed[name], SETS)}
    given = {name: _given(name, fixed[name], n) for name in fixed if name not in among}
    kinds = {
        name: "int32" if isinstance(kind[0], str) else "float32" for name, kind in FACTORS.items()
    }
    factors = {name: given.get(name, np.empty(n, kinds[name])) for name in FACTORS}
    factors["detail"] = np.empty((n, 4), "float32")

    def fill(part):
        bits = np.random.PCG64(seed)
        bits.advance((start + part.start) * NUMBERS_PER_FACE)
        uniforms = np.random.Generator(bits).random((part.stop - part.start, NUMBERS_PER_FACE))
        for u, name in zip(uniforms.T, FACTORS, strict=False):
            if name in among:
                factors[name][part] = among[name][(u * len(among[name])).astype("int32")]
            elif name not in given:
                factors[name][part] = _drawn(name, u, factors["presentation"][part])
        factors["detail"][part] = uniforms[:, -4:].astype("float32") * np.float32(0.9999)

    parts = [slice(first, min(first + FACES_AT_ONCE, n)) for first in range(0, n, FACES_AT_ONCE)]
    for_all(fill, parts, "Drawing factors")
    return factors


def _drawn(name, u, presentation):
    """A factor, from uniform numbers and what was drawn before it."""
    kind = FACTORS[name]
    if name in SHARES:
        shares = np.array([SHARES[name][who] for who in FACTORS["presentation"]], "float64")
        steps = shares.cumsum(1) / shares.sum(1, keepdims=True)
        return sum((u >= step[presentation]).astype("int32") for step in steps.T)
    if isinstance(kind[0], str):
        return (u * len(kind)).astype("int32")
    return (kind[0] + u * (kind[1] - kind[0])).astype("float32")


def _among(name, values):
    """Of what the caller lets a factor be, an array in ascending order."""
    if not values:
        raise ValueError(f"{name} must be one of a set that is not empty; got {values!r}.")
    return np.unique(_given(name, list(values), len(values)))


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


def check_factors(factors):
    """Raise a `ValueError` unless factors are as `sample_factors` returns them."""
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
