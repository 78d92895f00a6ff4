"""Arrays of any framework."""

import numpy as np
from keras import ops


def is_array(x):
    """Whether `x` is an array in memory: NumPy's, or a tensor of any framework."""
    return hasattr(x, "__array__") and hasattr(x, "shape")


def to_numpy(x):
    """An array in memory as a NumPy array."""
    return ops.convert_to_numpy(x) if ops.is_tensor(x) else np.asarray(x)
