"""Chunks of one size, and noise that is drawn for one chunk at a time."""

import numpy as np
import pytest

import kgen
from kgen.engine.inference import in_chunks
from kgen.engine.random import Draws


@pytest.mark.parametrize("sizes", [[4, 4, 1], [3], [4]])
def test_chunks_are_padded_to_one_size_and_put_together(sizes):
    rows = np.arange(2 * sum(sizes), dtype="float32").reshape(-1, 2)
    ends, seen = np.cumsum(sizes), []

    def run(chunk, factor):
        seen.append((chunk.shape, factor.shape))
        if len(seen) == len(sizes):
            np.testing.assert_array_equal(chunk[sizes[-1] :], np.tile(rows[-1], (4 - sizes[-1], 1)))
        return {"one": factor * chunk, "two": [chunk[:, 0]]}

    chunks = ([rows[end - n : end], np.array(3.0)] for n, end in zip(sizes, ends, strict=True))
    found = in_chunks(run, chunks, 4)
    np.testing.assert_array_equal(found["one"], 3 * rows)
    np.testing.assert_array_equal(found["two"][0], rows[:, 0])
    assert seen == [((4, 2), ())] * len(sizes)


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


@pytest.mark.parametrize("kind", ["vae", "gaussian", "mixture"])
def test_generate_holds_the_noise_of_one_chunk(kind, monkeypatch):
    model = {
        "vae": lambda: kgen.VAE((8, 8), latent_dim=5),
        "gaussian": lambda: kgen.Gaussian((8, 8), components=3),
        "mixture": lambda: kgen.GaussianMixture((8, 8), clusters=2, components=3),
    }[kind]()
    if kind != "vae":
        images = np.random.default_rng(0).integers(256, size=(40, 8, 8), dtype="uint8")
        model.fit(images, verbose=0)
    whole, counts = model.generate(11, seed=3, batch_size=16), []
    read = Draws.__getitem__
    monkeypatch.setattr(
        Draws, "__getitem__", lambda self, rows: counts.append(len(r := read(self, rows))) or r
    )
    np.testing.assert_allclose(model.generate(11, seed=3, batch_size=4), whole, atol=1e-5)
    assert counts == [4, 4, 3]
