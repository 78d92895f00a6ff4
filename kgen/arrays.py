"""Arrays of any framework."""

import numbers

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


def finite(x, name):
    """An array of finite real numbers, as it is.

    Raises:
        TypeError, ValueError: for anything else; the message has the argument's name.
    """
    came, numeric = type(x).__name__, isinstance(x, list | tuple | numbers.Real)
    x = to_numpy(x) if numeric or hasattr(x, "__array__") else None
    if x is None or (x.dtype.kind not in "fiu" and "bfloat16" not in str(x.dtype)):
        raise TypeError(
            f"{name} must be an array of real numbers; got {came}"
            + (". Of a kgen dataset pass dataset.images()." if x is None else f" of {x.dtype}.")
        )
    if bad := int(x.size - np.isfinite(x).sum()):
        raise ValueError(f"{name} must be finite; {bad} of {x.size} values are NaN or infinite.")
    return x


def points(x, name, width=None, count=None):
    """Finite numbers `(N, D)`, not empty, of N = `count` and D = `width` if given: float64.

    Raises:
        TypeError, ValueError: for anything else; the message has the argument's name.
    """
    x = finite(x, name)
    if x.ndim != 2 or 0 in x.shape or (count or len(x), width or x.shape[1]) != x.shape:
        single = x.ndim == 1 and name.isidentifier()
        raise ValueError(
            f"{name} must have shape ({count or 'N'}, {width or 'D'}), not empty; got {x.shape}."
            + f" A single one needs a batch axis: {name}[None]." * single
        )
    return x.astype("float64", copy=False)


def as_list(batch):
    """Images alone, or images and what goes with them, as a list."""
    return [*batch] if isinstance(batch, list | tuple) else [batch]


def one_or_all(inputs):
    """The only one of a list, or the list: what a Keras model is called with."""
    return inputs[0] if len(inputs) == 1 else inputs
