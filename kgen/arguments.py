"""Checks of arguments that all rooms share."""

import numbers


def positive(n, name):
    """`n` as an integer of 1 or more.

    Raises:
        ValueError: for anything else; the message has the argument's name.
    """
    if not isinstance(n, numbers.Real) or isinstance(n, bool) or int(n) != n or n < 1:
        raise ValueError(f"{name} must be a positive integer; got {n!r}.")
    return int(n)
