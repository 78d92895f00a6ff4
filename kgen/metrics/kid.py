"""Kernel distance between features: the KID (Binkowski et al., 2018)."""

import dataclasses
import math

import numpy as np

from kgen.arguments import positive
from kgen.arrays import to_numpy
from kgen.metrics.cache import features_of_both
from kgen.metrics.features import features as named
from kgen.metrics.inputs import enough, rows
from kgen.progress import progress

BLOCK_ROWS = 100  # rows of the kernel, which stay in a cache


@dataclasses.dataclass(frozen=True)
class KID:
    """A kernel distance; printed in one line.

    Attributes:
        value: mean of the squared maximum mean discrepancy over the subsets; unbiased, so it may be
            negative where the distributions are alike.
        standard_error: of that mean; NaN where there is one subset.
        subsets: number of subsets.
        subset_size: rows of each side in a subset.
        n_real, n_fake: rows that subsets were drawn from.
        features: name of the features; None where features were given.
    """

    value: float
    standard_error: float
    subsets: int
    subset_size: int
    n_real: int
    n_fake: int
    features: str | None = None

    def __str__(self):
        error, what = f"+- {self.standard_error:.2g}", "images"
        over = f"standard error over {self.subsets:,} subsets of {self.subset_size:,}"
        if math.isnan(self.standard_error):
            error, over = "", f"one subset of {self.subset_size:,}, so no standard error"
        named = f"{self.features} features, "
        if self.features is None:
            named, what = "", "rows of features"
        return (
            f"KID {self.value:.4g} {error}".rstrip() + f" ({named}{self.n_fake:,} against "
            f"{self.n_real:,} {what}; {over})"
        )

    def __float__(self):
        return self.value


def kernel_distance(a, b, subsets=100, subset_size=1000, seed=0):
    r"""Squared maximum mean discrepancy with the kernel $(x \cdot y / F + 1)^3$, unbiased.

    The estimator of Gretton et al. (2012, lemma 6) on subsets of each side, drawn without
    replacement, as Binkowski et al. (2018) do. Its expectation does not depend on the number of
    rows. Subsets overlap, so the standard error is that of drawing subsets from these rows, not
    that of drawing other rows. Sums are float64; products of rows have the features' precision, at
    least float32, which changes the result by about 1e-9 of the kernel.

    Args:
        a, b: features `(N, F)` and `(M, F)`; N and M at least `subset_size`.
        subsets: how many. Where each would be all rows of both sides, one is taken.
        subset_size: rows of each side in each; at least 2.
        seed: of the subsets.

    Returns:
        `KID`; `a` counts as the real side.

    Raises:
        TypeError, ValueError: if these are not as above.
    """
    subsets, size = positive(subsets, "subsets"), _size(subset_size)
    a = _rows(a, "a")
    b = _rows(b, "b", a.shape[1])
    for x, name in ((a, "a"), (b, "b")):
        _enough(len(x), size, name, "rows")
    random = np.random.default_rng(seed)
    subsets = 1 if size == len(a) == len(b) else subsets
    values = [
        squared_discrepancy(*(random.choice(x, size, replace=False, axis=0) for x in (a, b)))
        for _ in progress(range(subsets), subsets, "Kernel distance")
    ]
    error = np.std(values, ddof=1) / math.sqrt(subsets) if subsets > 1 else math.nan
    return KID(float(np.mean(values)), float(error), subsets, size, len(a), len(b))


def squared_discrepancy(a, b):
    """Unbiased estimate from all rows, floats `(N, F)` and `(M, F)`: the value of one subset."""
    n, m = len(a), len(b)
    return _within(a) / (n * (n - 1)) + _within(b) / (m * (m - 1)) - 2 * _between(a, b) / (n * m)


def _within(a):
    """Sum of the kernel over all pairs of different rows."""
    diagonal = np.einsum("nf,nf->n", a, a, dtype="float64") / a.shape[1] + 1
    return _between(a, a) - (diagonal**3).sum()


def _between(a, b):
    """Sum of the kernel over all pairs of a row of each."""
    products, total = a @ b.T, 0
    for start in range(0, len(products), BLOCK_ROWS):
        some = products[start : start + BLOCK_ROWS]
        some *= 1 / a.shape[1]
        some += 1
        cubes = some * some
        cubes *= some
        total += cubes.sum(dtype="float64")
    return total


def _rows(x, name, width=None):
    checked = rows(x, name, width=width)
    return checked.astype(np.result_type(to_numpy(x).dtype, "float32"), copy=False)


def _size(subset_size):
    if positive(subset_size, "subset_size") < 2:
        raise ValueError(f"subset_size must be at least 2; got {subset_size}.")
    return int(subset_size)


def _enough(count, size, name, what):
    enough(count, 2, name, what)
    if count < size:
        raise ValueError(
            f"{name} must be at least subset_size={size} {what}; got {count}. Pass subset_size="
            f"{count} or less."
        )


def kid(real, fake, features, subsets=100, subset_size=1000, seed=0, cache=None):
    """Kernel distance between features of real and generated images (Binkowski et al., 2018).

    Features of the real images are kept, so the same ones are seen once.

    Args:
        real, fake: whatever metrics take: images as an array (uint8, or floats in [-1, 1]), a
            dataset, or batches; at least `subset_size`, of one size.
        features: name, `keras.Model` or other that `kgen.metrics.features` takes.
        subsets, subset_size, seed: as in `kernel_distance`.
        cache: as in `fid`.

    Returns:
        `KID`.

    Raises:
        TypeError, ValueError: if images or features are not as above.
    """
    extractor, size = named(features), _size(subset_size)
    *both, name = features_of_both(real, fake, extractor, cache)
    for x, side in zip(both, ("real", "fake"), strict=True):
        _enough(len(x), size, side, "images")
    found = kernel_distance(*both, subsets, size, seed)
    return dataclasses.replace(found, features=name)
