import keras
import numpy as np
import pytest
from keras import ops

import kgen
from kgen.engine import input_gradient
from kgen.layers import ImageHistory

SHAPE = (2, 3, 1)


def images(n, first=1):
    """Images of one value each: their numbers, from the first."""
    numbers = np.arange(first, first + n, dtype="float32")
    return np.broadcast_to(numbers[:, None, None, None], (n, *SHAPE)).copy()


def numbers(x):
    """Which images these are."""
    x = ops.convert_to_numpy(x)
    np.testing.assert_array_equal(x, np.broadcast_to(x[:, :1, :1], x.shape))
    return x[:, 0, 0, 0].astype(int).tolist()


class ByHand:
    """The history of Shrivastava et al. (2017), image by image, with the numbers a layer draws."""

    def __init__(self, size, seed):
        self.size, self.seed, self.kept = size, keras.random.SeedGenerator(seed), []

    def __call__(self, batch):
        uniform = lambda n: ops.convert_to_numpy(keras.random.uniform((n,), seed=self.seed))  # noqa: E731
        places, coins = uniform(self.size), uniform(len(batch))
        filled = len(self.kept)  # an image of this batch is not exchanged for another one
        free = sorted(range(filled), key=lambda i: places[i])
        returned = []
        for image, coin in zip(batch, coins, strict=True):
            if len(self.kept) < self.size:
                self.kept.append(image)
            elif free:
                place = free.pop(0)
                if coin < 0.5:
                    self.kept[place], image = image, self.kept[place]
            returned.append(image)
        return returned


@pytest.mark.parametrize("sizes", [[1] * 12, [4] * 6, [4, 1, 9, 9], [9, 4]])
def test_it_is_the_papers_history_with_a_place_of_its_own_for_each_image(sizes):
    history, by_hand = ImageHistory(7), ByHand(7, 3)
    seed, first = keras.random.SeedGenerator(3), 1
    for n in sizes:
        batch = images(n, first)
        first += n
        returned = history(batch, seed=seed)
        assert keras.backend.standardize_dtype(returned.dtype) == "float32"
        assert numbers(returned) == by_hand(numbers(batch))
        filled = int(ops.convert_to_numpy(history.count))
        assert filled == min(first - 1, 7)
        kept = numbers(history.images)
        assert kept[:filled] == by_hand.kept and kept[filled:] == [0] * (7 - filled)


def test_until_it_is_full_all_is_stored_and_returned():
    history, seed = ImageHistory(6), keras.random.SeedGenerator(0)
    for first in (1, 4):
        assert numbers(history(images(3, first), seed=seed)) == [first, first + 1, first + 2]
    assert numbers(history.images) == [1, 2, 3, 4, 5, 6]
    returned = [n for i in range(8) for n in numbers(history(images(3, 7 + 3 * i), seed=seed))]
    assert min(returned) <= 6  # full: old ones come back


def test_half_of_what_is_returned_is_old_and_from_everywhere():
    history, seed = ImageHistory(10), keras.random.SeedGenerator(1)
    history(images(10), seed=seed)
    old, places = [], np.zeros(10)
    for i in range(100):
        before = numbers(history.images)
        batch = images(8, 11 + 8 * i)
        returned = numbers(history(batch, seed=seed))
        exchanged = [n for n in returned if n < 11 + 8 * i]
        assert len(set(returned)) == 8 and set(exchanged) <= set(before)
        old.append(len(exchanged))
        places[[before.index(n) for n in exchanged]] += 1
        # What went in stands where what came out was.
        expected = [*before]
        for own, other in zip(numbers(batch), returned, strict=True):
            if own != other:
                expected[before.index(other)] = own
        assert numbers(history.images) == expected
    total = 8 * len(old)
    assert sum(old) / total == pytest.approx(0.5, abs=4 * 0.5 / np.sqrt(total))
    share = sum(old) / 10
    assert np.abs(places - share).max() < 4.5 * np.sqrt(share)


def test_no_gradient_passes():
    history, seed = ImageHistory(4), keras.random.SeedGenerator(0)
    history.build((None, *SHAPE))
    gradient = input_gradient(lambda x: x + history(x, seed=seed), ops.convert_to_tensor(images(6)))
    gradient = ops.convert_to_numpy(ops.stop_gradient(gradient))
    np.testing.assert_array_equal(gradient, np.ones_like(gradient))


@keras.saving.register_keras_serializable("kgen_tests")
class Remembering(kgen.GenerativeModel):
    """Its loss is the mean number of what a history returns."""

    players = {"model": ["network"]}

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.past = ImageHistory(5)
        self.past.build((None, *SHAPE))

    def objective(self, batch, training):
        outputs = ops.cast(self.network(batch, training=training), "float32")
        return 0 * ops.sum(outputs) + ops.mean(self.past(batch, seed=self.random))


def remembering():
    network = keras.Sequential([keras.Input(SHAPE), keras.layers.Dense(1)])
    return Remembering(network=network, image_shape=SHAPE, check_range=False, seed=1)


@pytest.mark.parametrize("policy", ["float32", "mixed_float16"])
@pytest.mark.parametrize("compiled", [True, False, "eagerly"])
def test_in_a_fit(compiled, policy):
    """Batches of 3, 3 and 1: the history is full within the second one; then it goes on."""
    keras.config.set_dtype_policy(policy)
    model = remembering()
    settings = {"run_eagerly": True} if compiled == "eagerly" else {"jit_compile": compiled}
    if keras.backend.backend() == "torch":  # whose compilation takes a minute
        settings.pop("jit_compile", None)
    model.compile("sgd", **settings)
    model.fit(images(7), batch_size=3, epochs=1, shuffle=False, verbose=0)
    kept = numbers(model.past.images)
    assert int(ops.convert_to_numpy(model.past.count)) == 5
    assert len(set(kept)) == 5 and kept[3:] == [4, 5]
    model.fit(images(7, 8), batch_size=3, epochs=3, shuffle=False, verbose=0)
    assert max(numbers(model.past.images)) > 7
    assert {v.dtype for v in model.past.variables} == {"float32", "int32"}


def test_files_hold_it(tmp_path):
    model = remembering()
    model.compile("sgd")
    model.fit(images(9), batch_size=3, shuffle=False, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras").past
    assert loaded.size == 5
    assert numbers(loaded.images) == numbers(model.past.images)
    assert int(ops.convert_to_numpy(loaded.count)) == 5
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(loaded))
    assert again.get_config() == loaded.get_config()


@pytest.mark.parametrize("size", [0, -1, 2.5, None])
def test_a_size_is_positive(size):
    with pytest.raises(ValueError, match="size must be a positive integer"):
        ImageHistory(size)


def test_images_of_other_or_unknown_sides_are_refused():
    history, seed = ImageHistory(3), keras.random.SeedGenerator(0)
    with pytest.raises(ValueError, match=r"known sides and channels; got shape \(None, None, 3"):
        history.build((None, None, 3, 1))
    history(images(2), seed=seed)
    with pytest.raises(ValueError, match=r"holds images of shape \(2, 3, 1\); got \(3, 2, 1\)"):
        history(np.zeros((1, 3, 2, 1), "float32"), seed=seed)
