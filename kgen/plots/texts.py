"""What is written in figures, in the language of the slides: English, or what a file has of it.

Everything that a figure says passes through `say`, which looks it up in `fr.toml`, a plain file
from English to French. What is not there stays English.
"""

import contextlib
import contextvars
import functools
import math
import tomllib
from importlib import resources

LANGUAGES = ("en", "fr")

_language = contextvars.ContextVar("language", default="en")
_seen = contextvars.ContextVar("seen", default=None)


class Said(str):
    """A text that was looked up, or is none to look up: a name, a formula."""

    __slots__ = ()


def say(text, **fields):
    """A text in the language of figures.

    Args:
        text: English; `{names}` in it are fields, if there are any.
        fields: what stands in their place, with the format that the text asks for (`{share:.0%}`).
    """
    if isinstance(text, Said):
        return text
    text = str(text)
    if (seen := _seen.get()) is not None:
        seen.add(text)
    found = _words(_language.get()).get(text, text)
    return Said(found.format(**fields) if fields else found)


def in_short(count):
    """How many weights, as one says it: 4,321 or 1.2 M."""
    return f"{count / 1e6:.1f} M" if count >= 1e5 else f"{count:,}"


def caption(model, data):
    """What stands below a figure: the model, its data and its size.

    Args:
        model: with an `image_shape`, and weights.
        data: the name of what it has learned from.
    """
    weights = model.trainable_weights or model.weights  # a Gaussian's are found, not trained
    size = in_short(sum(math.prod(w.shape) for w in weights))
    shape = "x".join(map(str, model.image_shape[:2]))
    fields = {"model": type(model).__name__, "data": f"{data}, {shape}", "n": size}
    return say("{model}, {data}, {n} parameters", **fields)


@contextlib.contextmanager
def language(name):
    """Within it, figures speak a language: "en" or "fr".

    Raises:
        ValueError: if it is another.
    """
    if name not in LANGUAGES:
        raise ValueError(f"Figures speak {', '.join(LANGUAGES)}; got {name!r}.")
    token = _language.set(name)
    try:
        yield
    finally:
        _language.reset(token)


@contextlib.contextmanager
def recorded():
    """Within it, a set is given every text that figures look up."""
    token = _seen.set(set())
    try:
        yield _seen.get()
    finally:
        _seen.reset(token)


def missing(texts, name):
    """Those of some texts that have words and that a language's file lacks."""
    known = _words(name)
    return sorted(text for text in texts if text not in known and _has_words(text))


def _has_words(text):
    """Whether something would be read aloud that is no number, letter or formula."""
    outside = "".join(text.split("$")[::2])
    return any(len(word.strip("{}")) > 1 and word.isalpha() for word in outside.split())


@functools.cache
def _words(name):
    if name == "en":
        return {}
    return tomllib.loads(resources.files("kgen.plots").joinpath(f"{name}.toml").read_text("utf-8"))
