"""Checks of arguments that all rooms share."""

import math
import numbers
import os
import stat

import numpy as np
from keras import ops


def positive(n, name):
    """`n` as an integer of 1 or more.

    Raises:
        ValueError: for anything else; the message has the argument's name.
    """
    finite = isinstance(n, numbers.Real) and not isinstance(n, bool) and math.isfinite(n)
    if not finite or int(n) != n or n < 1:
        raise ValueError(f"{name} must be a positive integer; got {n!r}.")
    return int(n)


def weight_of(value, name):
    """`value` as a float of 0 or more, such as the weight of a loss.

    Raises:
        ValueError: for anything else; the message has the argument's name.
    """
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or not 0 <= value < 1e30:
        raise ValueError(f"{name} must be a number of at least 0; got {value!r}.")
    return float(value)


def below(value, end, name):
    """`value` as a float in [0, end).

    Raises:
        ValueError: for anything else; the message has the argument's name.
    """
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or not 0 <= value < end:
        raise ValueError(f"{name} must lie in [0, {end}); got {value!r}.")
    return float(value)


def check_regular(path):
    """Refuse what is no regular file before it is opened: a pipe would wait for good.

    Raises:
        OSError: for a pipe, a socket, a device or a folder, or if there is nothing.
    """
    mode = os.stat(path).st_mode
    if not stat.S_ISREG(mode):
        kinds = {stat.S_IFDIR: "a folder", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket"}
        raise OSError(f"it is {kinds.get(stat.S_IFMT(mode), 'a device')}, not a regular file")


def integer_labels(labels, classes, least=0):
    """Labels as int32, `(N,)` or a scalar; `(N, 1)`, as some datasets have them, is taken.

    Raises:
        ValueError: unless they are integers from `least` below `classes`.
    """
    try:
        labels = ops.convert_to_numpy(labels) if ops.is_tensor(labels) else np.asarray(labels)
    except ValueError:  # rows of several lengths
        labels = np.array([*labels, None], object)[:-1]
    labels = labels[:, 0] if labels.shape[1:] == (1,) else labels
    inside = labels.dtype.kind in "iu" and labels.ndim <= 1
    if not inside or (labels.size and not least <= labels.min() <= labels.max() < classes):
        raise ValueError(
            f"labels must be integers from {least} to {classes - 1}, one or (N,); got "
            f"{labels.dtype} of shape {labels.shape}"
            + (f" from {labels.min()} to {labels.max()}." if inside and labels.size else ".")
        )
    return labels.astype("int32")


def labels_for(n, labels, classes, least=0):
    """Labels for `n` things, int32 `(n,)`: those given, or one for all.

    Raises:
        ValueError: as `integer_labels`, or for another number of labels.
    """
    labels = integer_labels(labels, classes, least)
    if labels.ndim and len(labels) != n:
        raise ValueError(
            f"labels must be one, or one for each image: got {len(labels)} for {n} images."
        )
    return np.broadcast_to(labels, n)
