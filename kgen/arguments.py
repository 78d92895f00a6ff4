"""Checks of arguments that all rooms share."""

import math
import numbers
import os
import stat

import numpy as np
import psutil


def is_integer(n):
    """Whether `n` is an integer of Python or NumPy, and no bool."""
    return isinstance(n, numbers.Integral) and not isinstance(n, bool)


def whole(n, name, least=0):
    """`n` as an integer of `least` or more.

    Raises:
        ValueError: for anything else; the message has the argument's name.
    """
    finite = isinstance(n, numbers.Real) and not isinstance(n, bool) and math.isfinite(n)
    if not finite or int(n) != n or n < least:
        kind = "a positive integer" if least == 1 else f"an integer of at least {least}"
        raise ValueError(f"{name} must be {kind}; got {n!r}.")
    return int(n)


def positive(n, name):
    """`n` as an integer of 1 or more, as `whole`."""
    return whole(n, name, 1)


def flag(value, name):
    """`value` as a bool.

    Raises:
        TypeError: for anything else, also what Python would take for true; it names the argument.
    """
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"{name} must be True or False; got {value!r}.")
    return bool(value)


def one_of(value, known, name):
    """`value`, if it is one of these and of no other type.

    Raises:
        ValueError: for anything else; the message has the argument's name and the known values.
    """
    if not any(type(value) is type(k) and value == k for k in known):
        raise ValueError(f"{name} must be one of {[*known]}; got {value!r}.")
    return value


def finite(value, name):
    """`value` as a float that is a finite number.

    Raises:
        ValueError: for anything else; the message has the argument's name.
    """
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or not math.isfinite(value):
        raise ValueError(f"{name} must be a finite number; got {value!r}.")
    return float(value)


def weight_of(value, name):
    """`value` as a float of 0 or more, such as the weight of a loss.

    Raises:
        ValueError: for anything else; the message has the argument's name.
    """
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or not 0 <= value < 1e30:
        raise ValueError(f"{name} must be a number of at least 0; got {value!r}.")
    return float(value)


def positive_number(value, name):
    """`value` as a float above 0, such as a learning rate.

    Raises:
        ValueError: for anything else; the message has the argument's name.
    """
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or not 0 < value < 1e30:
        raise ValueError(f"{name} must be a number above 0; got {value!r}.")
    return float(value)


def power_of_two(n, name, least, most):
    """`n` as an integer, if it is a power of two in [least, most], which are such, too.

    Raises:
        ValueError: for anything else; the message has the argument's name and what is allowed.
    """
    if not is_integer(n) or not least <= n <= most or n & (n - 1):
        allowed = [2**i for i in range(least.bit_length() - 1, most.bit_length())]
        raise ValueError(f"{name} must be one of {', '.join(map(str, allowed))}; got {n!r}.")
    return int(n)


def below(value, end, name):
    """`value` as a float in [0, end).

    Raises:
        ValueError: for anything else; the message has the argument's name.
    """
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or not 0 <= value < end:
        raise ValueError(f"{name} must lie in [0, {end}); got {value!r}.")
    return float(value)


def free_bytes():
    """Bytes of memory that can still be taken."""
    return psutil.virtual_memory().available


def check_room(nbytes, what, instead):
    """Refuse what memory does not hold, before it is begun.

    Args:
        nbytes: bytes that it takes.
        what: what takes them, such as `"n=10 images"`.
        instead: what to do.

    Raises:
        ValueError: if they are not free.
    """
    free = free_bytes()
    if nbytes > free:
        raise ValueError(
            f"{what} take {nbytes / 2**30:,.1f} GiB of memory, of which {free / 2**30:,.1f} are "
            f"free: {instead}."
        )


def check_regular(path):
    """Refuse what is no regular file before it is opened: a pipe would wait for good.

    Raises:
        OSError: for a pipe, a socket, a device, a folder, a link to nothing, or nothing.
    """
    if os.path.islink(path) and not os.path.exists(path):
        raise OSError("it is a link to nothing")
    mode = os.stat(path).st_mode
    if not stat.S_ISREG(mode):
        kinds = {stat.S_IFDIR: "a folder", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket"}
        raise OSError(f"it is {kinds.get(stat.S_IFMT(mode), 'a device')}, not a regular file")
