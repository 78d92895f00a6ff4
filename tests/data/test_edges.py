import numpy as np
import pytest
from scipy import ndimage

from kgen.data import edges


def test_a_square_becomes_its_outline():
    image = np.zeros((1, 32, 32), "uint8")
    image[:, 8:24, 8:24] = 255
    found = edges(image)[0, ..., 0] == 0
    rows, columns = np.nonzero(found)
    assert {rows.min(), columns.min()} <= {7, 8} and {rows.max(), columns.max()} <= {23, 24}
    assert not found[11:21, 11:21].any()
    assert found[12:20].sum(axis=1).tolist() == [2] * 8  # one pixel on either side
    assert found[:, 12:20].sum(axis=0).tolist() == [2] * 8


def test_a_diagonal_is_one_line():
    y, x = np.mgrid[:40, :40]
    image = np.where(x + y > 39, 255, 0).astype("uint8")[None]
    found = edges(image)[0, ..., 0] == 0
    inner = found[5:-5, 5:-5]
    assert inner.sum() > 20 and (np.abs((x + y - 39)[found]) <= 1).all()


def test_light_and_scale_do_not_matter_and_what_is_flat_has_none():
    noise = ndimage.gaussian_filter(np.random.default_rng(0).normal(size=(3, 32, 32)), (0, 3, 3))
    image = np.round(100 * (noise - noise.min()) / np.ptp(noise)).astype("uint8")
    found = edges(image)
    assert 0.02 < (found == 0).mean() < 0.3
    as_floats = edges(2 * (image / 255.0).astype("float32") - 1)
    for other in (2 * image + 20, as_floats):
        other = other if other is as_floats else edges(other)
        assert (other != found).mean() < 0.005
    assert (edges(np.full((2, 16, 16, 3), 77, "uint8")) == 255).all()
    colored = np.repeat(image[..., None], 3, axis=-1)
    np.testing.assert_array_equal(edges(colored), found)
    colored[..., 1:] = 0  # lines of one channel
    np.testing.assert_array_equal(edges(colored), found)


def test_more_images_than_are_drawn_at_once():
    images = np.random.default_rng(0).integers(0, 256, (300, 8, 8), "uint8")
    np.testing.assert_array_equal(edges(images)[290:], edges(images[290:]))


def test_what_is_no_image_is_refused():
    for wrong, words in ((np.zeros((2, 8, 8), "int64"), "uint8"), (np.zeros((8, 8)), "shape")):
        with pytest.raises((TypeError, ValueError), match=words):
            edges(wrong)
    with pytest.raises(ValueError, match="threshold"):
        edges(np.zeros((1, 8, 8), "uint8"), threshold=1)
