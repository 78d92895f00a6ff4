import numpy as np
import pytest

from kgen.data import ImagePairs, load, to_model_range

A = np.arange(10, dtype="uint8")[:, None, None, None] * np.ones((1, 4, 4, 1), "uint8")
B = 100 + A[:7] * np.ones((1, 1, 1, 3), "uint8")


def rows(images):
    return images[:, 0, 0, 0].astype(int)


def epoch(data, number):
    data.set_position(number)
    a, b = zip(*[data[i] for i in range(len(data))], strict=True)
    return rows(np.concatenate(a)), rows(np.concatenate(b))


def test_aligned_pairs_stay_together():
    data = ImagePairs(A, A * 2, batch_size=3, seed=1)
    for number in (0, 1):
        a, b = epoch(data, number)
        np.testing.assert_array_equal(b, 2 * a)
        np.testing.assert_array_equal(np.sort(a), np.arange(10))
    assert (epoch(data, 0)[0] != epoch(data, 1)[0]).any()
    assert data.labels is None and data.num_classes is None


def test_domains_have_orders_of_their_own():
    data = ImagePairs(A, B, aligned=False, batch_size=4, seed=2)
    assert data.num_examples == 10 and data.image_shape == (4, 4, 1)
    assert data.target_shape == (4, 4, 3)
    passes = [epoch(data, number) for number in range(7)]
    for a, _ in passes:
        np.testing.assert_array_equal(np.sort(a), np.arange(10))
    b = np.concatenate([b for _, b in passes]) - 100  # 70 of 7: ten times each, in whole rounds
    for round_ in b.reshape(10, 7):
        np.testing.assert_array_equal(np.sort(round_), np.arange(7))
    assert (b.reshape(10, 7)[0] != b.reshape(10, 7)[1]).any()
    np.testing.assert_array_equal(passes[3][1], epoch(data, 3)[1])


def test_a_position_finds_the_same_pairs():
    data = ImagePairs(A, B, aligned=False, batch_size=4, seed=2)
    data.set_position(2)
    expected = [data[i] for i in range(len(data))][1:]
    data.set_position(2, 1)
    for (a, b), (c, d) in zip(expected, [data[i] for i in range(len(data))], strict=True):
        np.testing.assert_array_equal(a, c)
        np.testing.assert_array_equal(b, d)


def test_views():
    data = ImagePairs(A, B, aligned=False, shuffle=False, name="numbers", domain_names=("x", "y"))
    np.testing.assert_array_equal(data.pairs(3)[1], to_model_range(B[:3]))
    np.testing.assert_array_equal(data.images(3), to_model_range(A[:3]))
    swapped = data.swapped()
    assert swapped.image_shape == (4, 4, 3) and swapped.domain_names == ("y", "x")
    assert swapped.fingerprint != data.fingerprint
    assert [len(d) for d in data.take(8).domains] == [8, 7]
    assert data.at_resolution(8).target_shape == (8, 8, 3)
    assert [len(images) for images in data.take(8).domains] == [8, 7]
    with pytest.raises(ValueError, match="n must be a positive integer"):
        data.take(0)
    points = ImagePairs(A, np.zeros((10, 2)), aligned=False)
    with pytest.raises(ValueError, match=r"Points of shape \(2,\) .* no resolution"):
        points.at_resolution(4)
    alone = data.domain(1)
    assert alone.name == "numbers y" and alone.num_examples == 7
    np.testing.assert_array_equal(data.images(), to_model_range(A))
    aligned = ImagePairs(A, A)
    assert aligned.fingerprint != ImagePairs(A, A, aligned=False).fingerprint


def test_pairs_that_do_not_fit():
    with pytest.raises(ValueError, match=r"10 of \(4, 4\) and 7 of \(4, 4\).*aligned=False"):
        ImagePairs(A, B)


def test_images_without_negative_values():
    light = np.random.default_rng(0).random((4, 8, 8, 1), "float32")
    with pytest.raises(ValueError, match="check_range=False"):
        ImagePairs(light, light)
    assert ImagePairs(light, light, check_range=False).num_examples == 4


def test_renderings_of_faces_are_pairs():
    data = load("faces/edges2photo", image_size=16, num_examples=6, shuffle=False)
    photo = load("faces", image_size=16, num_examples=6).images()
    np.testing.assert_array_equal(data.pairs()[1], photo)
    assert data.domain_names == ("edges", "photo") and data.aligned
    gray = load("faces/edges2photo", image_size=16, num_examples=2, channels=1)
    assert gray.image_shape == gray.target_shape == (16, 16, 1)
    with pytest.raises(ValueError, match=r"edges2photo.*faces/edges2nothing"):
        load("faces/edges2nothing")
