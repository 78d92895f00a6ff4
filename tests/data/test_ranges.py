import numpy as np
import pytest
from keras import ops

from kgen.data import check_images, to_model_range, to_uint8
from kgen.data.ranges import normalize_image_shape, with_channel


def test_every_gray_level_comes_back():
    levels = np.arange(256, dtype="uint8")
    floats = to_model_range(levels)
    assert floats.dtype == "float32" and floats[0] == -1 and floats[-1] == 1
    np.testing.assert_allclose(floats, levels.astype("float64") / 127.5 - 1, atol=1e-7)
    np.testing.assert_array_equal(to_uint8(floats), levels)
    np.testing.assert_array_equal(to_uint8(levels), levels)


def test_tensors_are_converted_as_arrays_are():
    levels = np.arange(256, dtype="uint8").reshape(4, 8, 8)
    tensor = to_model_range(ops.convert_to_tensor(levels))
    np.testing.assert_allclose(ops.convert_to_numpy(tensor), to_model_range(levels), atol=1e-6)
    floats = to_model_range(levels)
    same = to_model_range(ops.convert_to_tensor(floats))
    np.testing.assert_array_equal(ops.convert_to_numpy(same), floats)


def test_to_uint8_clips_and_refuses_nan():
    np.testing.assert_array_equal(
        to_uint8(np.array([-3.0, -1.0, 0.0, 1.0, 2.0])), [0, 0, 128, 255, 255]
    )
    with pytest.raises(ValueError, match="NaN"):
        to_uint8(np.array([np.nan]))


@pytest.mark.parametrize(
    "images, shape, words",
    [
        (np.zeros((2, 8, 8, 1), "int32"), None, "Values of 0 to 0: .*astype"),
        (np.full((2, 8, 8, 1), 999), None, r"Values of 999 to 999: scale .* 0 to 65535 by images"),
        (np.full((2, 8, 8, 1), -1, "int8"), None, "Values of -1 to -1: scale"),
        (np.zeros((2, 8, 8, 1), "U1"), None, "got dtype <U1.$"),
        (np.zeros((2, 8, 8, 1), "complex64"), None, "got dtype complex64.$"),
        (np.zeros((2, 8, 8, 1), "bool"), None, r"astype\('uint8'\) \* 255"),
        (np.zeros((2, 8, 8, 1), object), None, "dtype"),
        (np.full((2, 8, 8, 1), 128.0), None, r"\[0, 255\]"),
        (np.linspace(0, 1, 128).reshape(2, 8, 8), None, "divided by 255"),
        (np.full((2, 8, 8, 1), np.nan), None, "128 values"),
        (np.full((2, 8, 8, 1), -np.inf), None, "infinite"),
        (np.zeros((0, 8, 8, 1), "uint8"), None, "empty"),
        (np.zeros((2, 0, 8, 1), "uint8"), None, r"no pixels: shape \(2, 0, 8, 1\) has a side of 0"),
        (np.zeros((2, 8, 8, 0), "uint8"), None, "a side of 0"),
        (np.zeros((2, 3, 32, 32), "uint8"), None, r"channels first.*moveaxis\(images, 1, -1\)"),
        (np.zeros((2, 1, 28, 28), "float32"), None, r"image_shape=\(1, 28, 28\)"),
        (np.zeros((2, 4, 8, 5), "uint8"), None, "channels first"),
        (np.zeros((8,), "uint8"), None, "shape"),
        (np.zeros((2, 8, 8, 1, 1), "uint8"), None, "shape"),
        (np.zeros((2, 9, 8, 1), "uint8"), (8, 8, 1), "size differs"),
        (np.zeros((2, 8, 8, 3), "uint8"), (8, 8, 1), "channels differ: 3 instead of 1"),
        (np.zeros((2, 3, 8, 9), "uint8"), (8, 9, 3), "channels first"),
        (np.zeros((8, 8, 1), "uint8"), (8, 8, 1), "batch axis"),
        (np.zeros((8, 8), "uint8"), (8, 8, 1), r"images\[None\]"),
        (np.zeros((2, 3), "float32"), (2,), "expects"),
    ],
)
def test_what_came_what_was_expected_what_to_do(images, shape, words):
    with pytest.raises((TypeError, ValueError), match=words):
        check_images(images, shape)


def test_hints_for_data_that_comes_in_batches():
    with pytest.raises(ValueError, match=r"\.batch\(128\)"):
        check_images(np.zeros((8, 8, 1), "uint8"), (8, 8, 1), what="The first batch")
    with pytest.raises(TypeError, match=r"with images\.astype"):
        check_images(np.zeros((2, 8, 8, 1), "int32"), what="The first batch")


def test_few_rows_that_are_no_channels():
    for shape in ((2, 3, 32, 3), (2, 1, 32, 1), (2, 4, 4, 16), (2, 3, 3, 64), (2, 5, 8, 8), (4, 9)):
        check_images(np.zeros(shape, "uint8"))
    check_images(np.zeros((2, 3, 32, 32), "uint8"), (3, 32, 32))  # as the model says


def test_what_is_fine():
    gray = np.linspace(-1, 1, 128, dtype="float32").reshape(2, 8, 8)
    check_images(gray)
    check_images(gray, (8, 8, 1))
    check_images(gray.astype("float16"), (8, 8, 1))
    check_images(np.abs(gray), check_range=False)
    check_images(np.full((3, 2), 77.0), (2,))
    assert with_channel(gray, (8, 8, 1)).shape == (2, 8, 8, 1)


def test_image_shapes():
    assert normalize_image_shape((28, 28)) == (28, 28, 1)
    assert normalize_image_shape([8, 9, 3]) == (8, 9, 3)
    assert normalize_image_shape((2,)) == normalize_image_shape(2) == (2,)
    assert normalize_image_shape(np.array(2)) == normalize_image_shape(np.array([2])) == (2,)
    for wrong in ((), (0, 8), (8, 8, 3, 1), (8.5, 8), ("8", 8), (-1,)):
        with pytest.raises(ValueError, match="image_shape"):
            normalize_image_shape(wrong)
