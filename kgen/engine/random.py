"""Seed generators of the engine: far apart from each other, different on each replica."""

import math

import keras
import numpy as np
from keras import ops

from kgen.arguments import is_integer
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
    if seed is not None and not (is_integer(seed) and seed >= 0):
        raise ValueError(f"seed must be None or an integer from 0 upward; got {seed!r}.")
    return np.random.default_rng(seed)


_ROTATIONS = (13, 15, 26, 6), (17, 29, 16, 24)
_PARITY = 0x1BD11BDA


def threefry(key, counter):
    """Threefry-2x32 with 20 rounds (Salmon et al., 2011): two random words of two counters.

    Args:
        key: two int32 scalars.
        counter: two int32 tensors that broadcast against each other.

    Returns:
        Two int32 tensors, all of whose bits are random.
    """
    keys = *key, ops.bitwise_xor(ops.bitwise_xor(*key), _PARITY)
    x, y = counter[0] + keys[0], counter[1] + keys[1]
    for group in range(5):
        for rotation in _ROTATIONS[group % 2]:
            x = x + y
            high, low = ops.left_shift(y, rotation), ops.right_shift(y, 32 - rotation)
            low = ops.bitwise_and(low, 2**rotation - 1)  # the shift repeats the sign
            y = ops.bitwise_xor(ops.bitwise_or(high, low), x)
        x, y = x + keys[(group + 1) % 3], y + keys[(group + 2) % 3] + (group + 1)
    return x, y


def uniform_of(key, rows, step, shape):
    """Uniform numbers of rows at a step: each row's are its own, whatever rows are beside it.

    By Threefry, so alike on every backend.

    Args:
        key: two int32 scalars, as `key_of`.
        rows: int32 tensor `(N,)`, numbers of rows.
        step: int32 scalar.
        shape: of a row.

    Returns:
        float32 `(N, *shape)` within (0, 1), which have 23 bits.
    """
    return ops.reshape(_pairs_of(key, rows, step, math.prod(shape))[0], (-1, *shape))


def normal_of(key, rows, step, shape):
    """As `uniform_of`, from N(0, I): by the Box-Muller transform."""
    size = math.prod(shape)
    first, second = _pairs_of(key, rows, step, -(-size // 2))
    radius, angle = ops.sqrt(-2 * ops.log(first)), 2 * math.pi * second
    values = ops.concatenate([radius * ops.cos(angle), radius * ops.sin(angle)], axis=1)
    return ops.reshape(values[:, :size], (-1, *shape))


def _pairs_of(key, rows, step, count):
    places = ops.arange(count, dtype="int32")[None] + count * ops.cast(step, "int32")
    words = threefry(key, (ops.cast(rows, "int32")[:, None], places))
    bits = (ops.bitwise_and(ops.right_shift(word, 9), 2**23 - 1) for word in words)
    return [(ops.cast(b, "float32") + 0.5) * 2.0**-23 for b in bits]


def key_of(seed=None):
    """Two int32 numbers that a seed stands for; None takes fresh entropy."""
    words = host_generator(seed).bit_generator.seed_seq.generate_state(2, "uint32")
    return tuple(words.view("int32"))
