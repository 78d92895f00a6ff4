"""What `load` asks of a source, what it gets, and the splits of what has none of its own."""

import dataclasses
import functools
from typing import Any, NamedTuple

import numpy as np

from kgen.data.dataset import ImageDataset
from kgen.data.layout import spelled
from kgen.data.memory import spare_memory
from kgen.data.pairs import ImagePairs
from kgen.data.pixels import WHITE
from kgen.data.storage import Storage

SPLIT_SEEDS = {"train": 0, "test": 1}  # of what is drawn


@dataclasses.dataclass(frozen=True)
class Request:
    """How images are read, as `load` has checked it.

    What decodes or draws images does so as asked; arrays that are there already are changed by
    `load`.
    """

    size: tuple | None = None  # (height, width)
    channels: int | None = None
    memory: float | None = None  # bytes
    skip_broken: bool = False
    num_examples: int | None = None  # the first so many, where there are as many
    background: tuple = WHITE  # of what is transparent, where that is dropped

    @functools.cached_property
    def room(self):
        """Bytes of pixels that memory is to hold."""
        return spare_memory() if self.memory is None else self.memory


class Found(NamedTuple):
    """What a source holds: images, and labels or a second domain where there are some."""

    images: Any
    labels: Any = None
    class_names: Any = None
    second: Any = None
    aligned: bool = True
    domain_names: tuple = ("a", "b")
    origins: tuple = (None, None)  # the storages of both domains, where arrays were read from some
    own: Any = ()  # names of the splits that the source has of its own

    def as_dataset(self, **settings):
        """An `ImagePairs` of two domains, else an `ImageDataset`; either checks what is found."""
        if self.second is None:
            settings |= {"class_names": self.class_names, "origin": self.origins[0]}
            return ImageDataset(self.images, self.labels, **settings)
        settings |= {"aligned": self.aligned, "domain_names": self.domain_names}
        return ImagePairs(self.images, self.second, origins=self.origins, **settings)


def part(examples, split, path, labels=None):
    """Those of the examples (a list, an array, a storage) that belong to a split."""
    wanted = spelled(split)
    if examples is None or wanted in (None, "all"):
        return examples
    if wanted not in ("train", "test"):
        raise ValueError(
            f"{path} has no splits of its own, so split must be 'train' (four fifths), 'test' or "
            f"'all'; got {split!r}."
        )
    test = fifths(labels, len(examples))
    if wanted == "test" and not test.any():
        raise ValueError(
            f'{path} holds too few images ({len(examples)}) for split="test": it is every fifth of '
            "each class."
        )
    own = np.flatnonzero(test if wanted == "test" else ~test)
    if isinstance(examples, Storage):
        return examples.at(own)
    return examples[own] if isinstance(examples, np.ndarray) else [examples[i] for i in own]


def fifths(labels, n):
    """Which of `n` examples are for testing: every fifth of each class, in order."""
    if labels is None or labels.ndim != 1 or labels.dtype.kind == "f":  # no classes
        labels = np.zeros(n, int)
    rank = np.zeros(n, int)
    for label in np.unique(labels):
        rank[labels == label] = np.arange((labels == label).sum())
    return rank % 5 == 4
