"""Methods on arrays: chunks of one size, noise for one at a time, what is compiled once."""

import keras
import numpy as np
import pytest
from keras import ops
from one_weight import Counted, MeanOf, counted, one_weight

import kgen
from kgen.engine import inference
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


def test_infer_runs_methods_only():
    model = MeanOf(network=one_weight())
    for fn in (lambda x: 2 * x, model.network, MeanOf(network=one_weight()).objective):
        with pytest.raises(TypeError, match="infer runs methods of this MeanOf"):
            model.infer(fn, np.ones((2, 1), "float32"))


def test_infer_keeps_what_it_compiled_by_static_values():
    model, x = counted(), np.arange(1, 6, dtype="float32")[:, None]

    def run(weight=1.0, **static):
        out = model.infer(model.repeated, x, weight, static=static, batch_size=2)
        assert out["index"].dtype == np.int32
        return (out["out"] / x).ravel()

    eager = keras.backend.backend() == "torch"
    for steps, times in ((3, 8), (10, 1024), (3, 8), (np.int64(3), 8), (1.0, None)):
        if times is None:
            with pytest.raises(TypeError):
                run(steps=steps)  # range takes no float: 1.0 is not 1
        else:
            np.testing.assert_array_equal(run(steps=steps), times)
    if not eager:
        assert Counted.inferred == 4
    for weight in (0.5, 2, np.float64(4.0)):  # two dtypes
        np.testing.assert_array_equal(run(weight, steps=3), weight * 8)
    if not eager:
        assert Counted.inferred == 5
    for i in range(40):
        run(name=str(i))
    assert len(model._inference) == 32
    with pytest.raises(TypeError, match="hashable"):
        run(steps=[3])
    with pytest.raises(TypeError, match="dictionary from argument to value"):
        model.infer(model.repeated, x, 1.0, static=("steps", 3))
    for name in (frozenset({1}), frozenset({1.0}), frozenset({True})):  # equal, with equal hashes
        run(name=name)
        assert next(reversed(model._inference))[1] == ("name", inference.exactly(name))
    assert len({inference.exactly(frozenset({n})) for n in (1, 1.0, True)}) == 3
    with pytest.raises(ValueError, match="as many rows"):
        model.infer(model.repeated, x, x[:2])
    with pytest.raises(ValueError, match="as many rows"):
        model.infer(model.repeated, 1.0, 2.0)
    with pytest.raises(ValueError, match="nothing to compute"):
        model.infer(model.repeated, x[:0], 1.0)
    with pytest.raises(ValueError, match="in 32 bits; got integers from 1 to 1099511627776"):
        model.infer(model.repeated, np.array([1, 2**40]), 1.0)


def test_infer_says_that_a_method_returns_no_rows():
    class Author(MeanOf):
        def mean(self, x):
            return ops.mean(x)

    model = Author(network=one_weight())
    with pytest.raises(ValueError, match=r"mean must return a row for each .* got shape \(\)"):
        model.infer(model.mean, np.ones((4, 1)))
