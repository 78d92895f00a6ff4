import keras
import numpy as np
import pytest

from kgen.arrays import finite, is_array, points, to_numpy


def test_arrays_lists_and_tensors_that_carry_gradients():
    values = np.arange(6, dtype="float32").reshape(2, 3)
    variable = keras.Variable(values)
    tensor = keras.ops.convert_to_tensor(variable)
    for x in (values, values.tolist(), variable, variable.value, tensor):
        np.testing.assert_array_equal(to_numpy(x), values)
    for x in ([variable.value, tensor], (tensor, values)):
        np.testing.assert_array_equal(to_numpy(x), np.stack([values, values]))
    assert to_numpy(keras.ops.cast(tensor, "bfloat16")).dtype == "bfloat16"
    assert to_numpy([0.5, 1]).dtype == "float64" and to_numpy(3).shape == ()


def test_arrays_in_memory_are_not_copied():
    values = np.zeros(3)
    assert to_numpy(values) is values


@pytest.mark.parametrize(("x", "expected"), [(np.ones(2), True), ([1.0], False), ("a", False)])
def test_what_is_an_array(x, expected):
    assert is_array(x) is expected
    assert is_array(keras.ops.ones(2))


def test_finite_numbers():
    assert finite(keras.ops.cast(np.ones(3), "bfloat16"), "x").shape == (3,)
    with pytest.raises(TypeError, match="z must be an array of real numbers; got str"):
        finite("a", "z")
    with pytest.raises(ValueError, match="z must be finite; 1 of 2 values"):
        finite([0, np.nan], "z")


def test_points():
    assert points([[1, 2], [3, 4]], "z", width=2, count=2).dtype == "float64"
    with pytest.raises(ValueError, match=r"\(N, D\), not empty; got \(3,\). .* needs a batch axis"):
        points(np.ones(3), "z")
    for shape in ((2, 3), (4, 2), (0, 3)):
        with pytest.raises(ValueError, match=r"z must have shape \(4, 3\), not empty; got"):
            points(np.ones(shape), "z", width=3, count=4)
