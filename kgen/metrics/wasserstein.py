"""The Wasserstein distance between samples of numbers, exactly."""

import math
import numbers

import numpy as np

from kgen.metrics.inputs import values


def wasserstein_1d(a, b, p=1):
    r"""Wasserstein distance between two samples of numbers, of any sizes, exactly.

    The distance $(\int_0^1 |F_a^{-1}(u) - F_b^{-1}(u)|^p du)^{1/p}$ between the empirical
    distributions: in one dimension sorted samples are matched in order (Villani 2003, theorem
    2.18).

    Args:
        a, b: finite numbers `(N,)` and `(M,)`, at least one each.
        p: power of the distance, from 1 upward.

    Returns:
        Float.

    Raises:
        TypeError, ValueError: if these are not as above.
    """
    if not isinstance(p, numbers.Real) or isinstance(p, bool) or not 1 <= p < math.inf:
        raise ValueError(f"p must be a number from 1 upward; got {p!r}.")
    a, b = np.sort(values(a, "a")), np.sort(values(b, "b"))
    n, m = len(a), len(b)
    # Both quantile functions are constant between these levels, which are integers over n m.
    levels = np.union1d(np.arange(1, n + 1) * m, np.arange(1, m + 1) * n)
    weights = np.diff(levels, prepend=0) / (n * m)
    gaps = np.abs(a[(levels - 1) // m] - b[(levels - 1) // n])
    largest = float(gaps.max())
    if largest == 0 or p == 1:
        return float(weights @ gaps)
    return float(largest * (weights @ (gaps / largest) ** p) ** (1 / p))
