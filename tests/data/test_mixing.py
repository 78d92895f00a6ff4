import numpy as np
import pytest

from kgen.data import mixed_batches

SETS = [(np.full((7 + value, 2, 2, 1), value), np.full(7 + value, value)) for value in (0, 1)]


def test_batches_take_as_many_of_each_set():
    batches = mixed_batches(SETS, 17, seed=0)
    for _ in range(3):
        x, y = next(batches)
        assert x.shape == (16, 2, 2, 1) and np.bincount(y).tolist() == [8, 8]
        assert (x[:, 0, 0, 0] == y).all()


def test_images_are_drawn_by_the_seed_and_keep_their_labels():
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (40, 5, 5, 1), "uint8")
    images[:, 2, 2, 0] = np.arange(40)
    first, again, other = (next(mixed_batches([(images, np.arange(40))], 30, s)) for s in (0, 0, 1))
    np.testing.assert_array_equal(first[0], again[0])
    assert (first[1] != other[1]).any()
    np.testing.assert_array_equal(first[0], images[first[1]])
    shifted, labels = next(mixed_batches([(images, np.arange(40))], 30, 0, shift=2))
    np.testing.assert_array_equal(labels, first[1])
    moved = [not np.array_equal(*pair) for pair in zip(shifted, first[0], strict=True)]
    assert 20 < sum(moved) <= 30 and shifted.dtype == "uint8"


def test_there_is_at_least_one_of_each():
    assert next(mixed_batches(SETS, 1))[1].tolist() == [0, 1]
    with pytest.raises(ValueError, match="batch_size must be a positive integer; got 0"):
        next(mixed_batches(SETS, 0))


@pytest.mark.parametrize(
    ("sets", "message"),
    [
        ([], r"got \[\]"),
        ([(np.zeros((0, 4, 4, 1)), np.zeros(0))], "N labels each"),
        ([(np.zeros((3, 4, 4, 1)), np.zeros(2))], "N labels each"),
        (
            [(np.zeros((3, 4, 4, 1)), np.zeros(3)), (np.zeros((3, 8, 8, 1)), np.zeros(3))],
            "one shape",
        ),
    ],
)
def test_sets_that_cannot_be_mixed_are_refused_at_once(sets, message):
    with pytest.raises(ValueError, match=message):
        mixed_batches(sets)
