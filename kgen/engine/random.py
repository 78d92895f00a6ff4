"""Seed generators of the engine: far apart from each other, different on each replica."""

import numbers

import keras
import numpy as np

from kgen.engine import backend


class SeedGenerator(keras.random.SeedGenerator):
    """A Keras seed generator whose draws differ between the replicas of a strategy.

    Keras's own draws the same noise on every replica. Streams of one model are derived from its
    seed by hashing: on torch, a draw is seeded by the sum of seed and counter, so that neighbouring
    seeds would give the same noise one step later.

    Args:
        seed: integer, the model's seed.
        stream: integer, which of the model's streams this is.
    """

    def __init__(self, seed, stream, name=None):
        words = np.random.SeedSequence([seed, stream]).generate_state(1)
        super().__init__(seed=int(words[0]) % 2**30, name=name)

    def next(self, ordered=True):
        """The next seed, an integer tensor of shape (2,)."""
        return backend.fold_replica(super().next(ordered))

    def reset(self):
        """Start again from the first draw (on the host, between steps)."""
        self.state.assign(np.array([self._initial_seed, 0]))


def seed_states(model):
    """States of the seed generators in a model and its layers, each once.

    Those of the networks come first, by the order of the players, so that a model that was made
    from another one's configuration has them in the same order.
    """
    parts = [*(getattr(model, name) for name in model.network_names), model]
    return list({id(v): v for part in parts for v in seeds_of(part)}.values())


def seeds_of(network):
    """States of the seed generators of a network, such as those of its dropout."""
    weights = {id(v) for v in network.weights}
    return [v for v in network.variables if id(v) not in weights]


class Draws:
    """Rows that are drawn as they are read: in order, once, the same however many at a time.

    They stand for an array in `infer`, so that noise never takes more memory than a chunk of it.

    Attributes:
        shape, ndim: of the array that it stands for.

    Args:
        shape: rows first.
        draw: function of how many; returns the next rows.
    """

    def __init__(self, shape, draw):
        self.shape, self.ndim = shape, len(shape)
        self._draw, self._next = draw, 0

    @classmethod
    def normal(cls, shape, seed=None):
        """From N(0, I), float32: the rows that `GenerativeModel.latents` draws at once."""
        random = host_generator(seed)
        return cls(shape, lambda n: random.standard_normal((n, *shape[1:]), dtype="float32"))

    def __len__(self):
        return self.shape[0]

    def __getitem__(self, rows):
        start, stop, _ = rows.indices(len(self))
        if start != self._next:
            raise ValueError(f"Draws are read in order: row {self._next} is next; got {start}.")
        self._next = stop
        return self._draw(stop - start)


def host_generator(seed=None):
    """NumPy generator for draws on the host; `None` takes fresh entropy.

    Rows come one after the other: the first 8 of 16 are the 8, whatever backend and batch size.
    """
    if seed is not None and not (isinstance(seed, numbers.Integral) and seed >= 0):
        raise ValueError(f"seed must be None or an integer from 0 upward; got {seed!r}.")
    return np.random.default_rng(seed)
