"""Random streams are apart; latents are the same everywhere, however many at a time."""

import keras
import numpy as np
import pytest
from keras import ops
from scipy import stats
from toy import ToyGAN

import kgen
from kgen.engine import random
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


@pytest.mark.parametrize(
    ("key", "counter", "words"),
    [  # the known answers that Salmon et al. (2011) publish with their code
        ((0, 0), (0, 0), (0x6B200159, 0x99BA4EFE)),
        ((0xFFFFFFFF, 0xFFFFFFFF), (0xFFFFFFFF, 0xFFFFFFFF), (0x1CB996FC, 0xBB002BE7)),
        ((0x13198A2E, 0x03707344), (0x243F6A88, 0x85A308D3), (0xC4923A9C, 0x483DF7A0)),
    ],
)
def test_threefry_is_that_of_the_paper(key, counter, words):
    def signed(values):
        return [ops.convert_to_tensor(v) for v in np.array(values, "uint32").view("int32")]

    found = random.threefry(signed(key), signed(counter))
    found = np.array([ops.convert_to_numpy(word) for word in found]).view("uint32")
    np.testing.assert_array_equal(found, np.array(words, "uint32"))


def test_noise_of_rows_and_steps_is_normal_and_their_own():
    key, rows = random.key_of(3), np.arange(300, dtype="int32")

    def drawn(rows, step, of=random.normal_of, shape=(5, 7)):
        return ops.convert_to_numpy(of(key, ops.convert_to_tensor(rows), step, shape))

    whole = drawn(rows, 2)
    assert whole.shape == (300, 5, 7) and whole.dtype == "float32"
    np.testing.assert_allclose(drawn(rows[40:50], 2), whole[40:50], atol=1e-6)
    assert stats.kstest(whole.ravel(), "norm").pvalue > 0.01
    assert abs(np.corrcoef(whole.reshape(300, 35), rowvar=False)[0, 1:]).max() < 0.25
    others = [drawn(rows, 3), drawn(rows[::-1].copy(), 2)]
    assert all(abs(np.corrcoef(whole.ravel(), o.ravel())[0, 1]) < 0.05 for o in others)
    uniform = drawn(rows, 2, random.uniform_of)
    assert uniform.min() > 0 and uniform.max() < 1
    assert stats.kstest(uniform.ravel(), "uniform").pvalue > 0.01
    assert random.key_of(3) == key != random.key_of(4) and random.key_of() != random.key_of()
