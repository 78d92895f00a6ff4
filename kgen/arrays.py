"""Arrays of any framework."""

import numpy as np
from keras import ops


def is_array(x):
    """Whether `x` is an array in memory: NumPy's, or a tensor of any framework."""
    return hasattr(x, "__array__") and hasattr(x, "shape")


def to_numpy(x):
    """An array in memory as a NumPy array.

    Raises:
        TypeError: for a masked one, whose hidden values would show.
    """
    if isinstance(x, np.ma.MaskedArray):
        raise TypeError("Masked arrays have no value where they are masked: pass x.filled(value).")
    return ops.convert_to_numpy(x) if ops.is_tensor(x) else np.asarray(x)
