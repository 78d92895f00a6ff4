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
    weights = {id(v) for v in model.weights}
    parts = [*(getattr(model, name) for name in model.network_names), model]
    return list({id(v): v for p in parts for v in p.variables if id(v) not in weights}.values())


def host_generator(seed=None):
    """NumPy generator for draws on the host; `None` takes fresh entropy.

    Rows come one after the other: the first 8 of 16 are the 8, whatever backend and batch size.
    """
    if seed is not None and not (isinstance(seed, numbers.Integral) and seed >= 0):
        raise ValueError(f"seed must be None or an integer from 0 upward; got {seed!r}.")
    return np.random.default_rng(seed)
