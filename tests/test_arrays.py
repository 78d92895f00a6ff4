import keras
import numpy as np
import pytest

from kgen.arrays import is_array, to_numpy


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
