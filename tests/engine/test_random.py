"""Random streams are apart; latents are the same everywhere, however many at a time."""

import keras
import numpy as np
import pytest
from keras import ops
from toy import ToyGAN

import kgen
from kgen.engine.context import TRAINING, running
from kgen.engine.random import Draws


def test_random_streams_are_apart():
    model = ToyGAN()
    evaluation = model.random
    with running(phase=TRAINING):
        training = model.random
    assert training is not evaluation
    draws = {}
    for seed in range(5):
        model = ToyGAN(seed=seed)
        for name in ("_training_random", "_evaluation_random"):
            generator = getattr(model, name)
            for step in range(5):
                draw = keras.random.normal((4,), seed=generator)
                draws[seed, name, step] = tuple(ops.convert_to_numpy(draw).tolist())
    assert len(set(draws.values())) == len(draws)


def test_latents_are_the_same_everywhere():
    """The first latents of seed 7, drawn by NumPy's PCG64: the same on every backend."""
    model = ToyGAN()
    expected = np.random.default_rng(7).standard_normal((3, 8), dtype="float32")
    np.testing.assert_array_equal(model.latents(3, 8, seed=7), expected)
    with pytest.raises(ValueError, match="seed"):
        model.latents(3, 8, seed=-1)


def test_draws_are_rows_of_one_array_however_many_at_a_time():
    whole = kgen.VAE((8, 8), latent_dim=5).latents(11, 5, seed=3)
    for size in (1, 4, 11):
        noise = Draws.normal((11, 5), seed=3)
        parts = [noise[start : start + size] for start in range(0, 11, size)]
        np.testing.assert_array_equal(np.concatenate(parts), whole)
    noise = Draws.normal((8, 2, 2))
    assert noise.shape == (8, 2, 2) and len(noise) == 8 and noise[:2].shape == (2, 2, 2)
    with pytest.raises(ValueError, match="row 2 is next; got 4"):
        noise[4:]
