import numpy as np
import pytest

from kgen.data import load, to_model_range, unfamiliar


@pytest.mark.parametrize("shape", [(30, 8, 8, 1), (5, 16, 12, 3)])
def test_they_have_the_shape_of_the_images_and_the_range_of_all(shape):
    images = np.random.default_rng(0).integers(0, 256, shape, "uint8")
    found = unfamiliar(images, seed=3)
    assert list(found) == ["inverted", "faces", "noise"]
    for made in found.values():
        assert made.shape == shape and made.dtype == np.float32
        assert -1 <= made.min() < made.max() <= 1
    np.testing.assert_allclose(found["inverted"], -to_model_range(images))
    expected = load("faces", "test", shape[1], channels=shape[3]).at_resolution(shape[1:3])
    np.testing.assert_array_equal(found["faces"], expected.images(shape[0]))
    assert abs(found["noise"].mean()) < 0.05 and found["noise"].std() == pytest.approx(
        0.58, abs=0.03
    )
    again = unfamiliar(to_model_range(images), seed=3)
    np.testing.assert_array_equal(again["noise"], found["noise"])
    assert (unfamiliar(images, seed=4)["noise"] != found["noise"]).any()


def test_of_another_set_there_may_be_fewer():
    images = np.zeros((2000, 8, 8, 1), "uint8")
    assert (
        len(unfamiliar(images, "digits/8x8")["digits/8x8"])
        == load("digits/8x8", "test").num_examples
    )


def test_what_is_no_image_is_refused():
    with pytest.raises(ValueError, match=r"\(N, H, W, C\); got \(4, 2\)"):
        unfamiliar(np.zeros((4, 2), "float32") - 0.5)
    with pytest.raises(TypeError, match="got dtype int64"):
        unfamiliar(np.zeros((4, 8, 8, 1), "int64"))
