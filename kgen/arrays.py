"""Arrays of any framework."""

import numpy as np
from keras import ops


def is_array(x):
    """Whether `x` is an array in memory: NumPy's, or a tensor of any framework."""
    return hasattr(x, "__array__") and hasattr(x, "shape")


def to_numpy(x):
    """A NumPy array of an array, a tensor of any framework, or a list of them or of numbers.

    Raises:
        TypeError: for a masked one, whose hidden values would show.
    """
    if isinstance(x, np.ma.MaskedArray):
        raise TypeError("Masked arrays have no value where they are masked: pass x.filled(value).")
    # NumPy's own are not copied; a list may hold tensors that NumPy alone cannot read.
    return np.asarray(x if isinstance(x, np.ndarray) else ops.convert_to_numpy(x))
