"""Mean and principal axes of data that streams past, in float64 on the host."""

import dataclasses

import numpy as np

from kgen.linear_algebra import orthonormal, product, stoppable
from kgen.progress import progress

WHAT = "Principal axes"  # says the progress bar
FULL = 2000  # up to so many dimensions or examples, the whole spectrum is computed
ROWS = 512  # examples in one product


@dataclasses.dataclass(frozen=True)
class PrincipalAxes:
    """Eigenvectors of a covariance matrix, the maximum-likelihood one (divided by n).

    Attributes:
        mean: `(d,)`.
        axes: `(q, d)`, orthonormal rows, the largest variance first. Of the two directions of an
            axis it is the one whose largest coordinate is positive; of coordinates that are as
            large within a thousandth, the first counts. Axes of the same variance are any of those
            that span the same space.
        eigenvalues: `(q,)`, variances along the axes.
        total: variance along all d axes together, the trace.
        count: examples.

    All float64.
    """

    mean: np.ndarray
    axes: np.ndarray
    eigenvalues: np.ndarray
    total: float
    count: int


def principal_axes(examples, components=None, seed=0):
    """The principal axes of examples.

    Where dimension or number of examples is at most 2,000, from the whole covariance or Gram
    matrix. Otherwise by a block Krylov method (Musco and Musco, 2015) that starts again from its
    best vectors: products in float32, sums in float64, until the largest residual is 1e-6 of the
    largest eigenvalue, or 20 passes over the examples.

    Args:
        examples: function without arguments that returns an iterator over float32 arrays `(m, d)`;
            it is called once for each pass.
        components: axes wanted; None: all where the whole spectrum is computed, otherwise 256.
        seed: of the first vectors of the block method.

    Returns:
        `PrincipalAxes`.

    Raises:
        ValueError: for fewer than two examples, examples that are all the same, or more components
            than they have axes.
    """
    mean, count = _mean(examples)
    dimension = len(mean)
    if count < 2:
        raise ValueError(f"A covariance needs at least 2 images; got {count}.")
    most = min(count - 1, dimension)
    whole = min(count, dimension) <= FULL
    if components is None:
        components = most if whole else 256
    if components > most:
        raise ValueError(
            f"{count} images of {dimension} values vary along at most {most} axes: "
            f"components={components} cannot be had. Use components={most} or less, or more images."
        )

    def centered(dtype="float64"):
        for rows in examples():
            for start in range(0, len(rows), ROWS):
                yield rows[start : start + ROWS] - mean.astype(dtype)

    total = sum(float(np.vdot(rows, rows)) for rows in centered()) / count
    if not total > 0:
        raise ValueError(f"All {count} images are the same: they have no variance to be described.")
    if not whole:
        axes, eigenvalues = _block_krylov(centered, count, dimension, components, seed)
    elif dimension <= count:
        covariance = np.zeros((dimension, dimension))
        for rows in centered():
            covariance += rows.T @ rows
        eigenvalues, vectors = _largest(covariance / count, components)
        axes = vectors.T
    else:
        rows = np.concatenate([*centered()])
        eigenvalues, vectors = _largest(product(rows, rows.T, WHAT) / count, components)
        axes = orthonormal(
            product(rows.T, vectors, WHAT), WHAT
        ).T  # orthonormal where an eigenvalue is 0, too
    return PrincipalAxes(mean, directed(axes), np.maximum(eigenvalues, 0), total, count)


def directed(axes):
    """Axes `(q, d)` in one of their two directions, the same whatever rounding did."""
    size = np.abs(axes)
    largest = (size >= 0.999 * size.max(axis=1, keepdims=True)).argmax(axis=1)  # the first one
    return axes * np.sign(axes[np.arange(len(axes)), largest])[:, None]


def _mean(examples):
    total, count = 0.0, 0
    for rows in examples():
        total, count = total + rows.sum(axis=0, dtype="float64"), count + len(rows)
    return np.atleast_1d(total / max(count, 1)), count


def _largest(matrix, k):
    """The k largest eigenvalues of a symmetric matrix, in descending order, and eigenvectors."""
    values, vectors = stoppable(np.linalg.eigh, (matrix + matrix.T) / 2, what=WHAT)
    return values[: -k - 1 : -1], vectors[:, : -k - 1 : -1]


def _block_krylov(centered, count, dimension, k, seed, tolerance=1e-6, passes=20):
    def times_covariance(vectors):
        vectors, product = vectors.astype("float32"), np.zeros(vectors.shape)
        for rows in centered("float32"):
            product += rows.T @ (rows @ vectors)
        return product / count

    width = min(dimension, k + max(8, k // 8))
    random = np.random.default_rng(seed)
    new = orthonormal(random.standard_normal((dimension, width)), WHAT)
    basis = images = np.zeros((dimension, 0))
    for _ in progress(range(passes), passes, WHAT):
        basis = np.concatenate([basis, new], axis=1)
        images = np.concatenate([images, times_covariance(new)], axis=1)
        values, rotation = _largest(basis.T @ images, width)
        best, their_images = basis @ rotation, images @ rotation
        residuals = their_images - best * values
        if np.linalg.norm(residuals[:, :k], axis=0).max() <= tolerance * values[0]:
            break
        if basis.shape[1] + width > min(4 * width, dimension):
            basis, images = best, their_images
        new = residuals[:, : dimension - basis.shape[1]]  # no more than what is missing
        for _ in range(2):  # once leaves what rounding left
            new = orthonormal(new - basis @ (basis.T @ new), WHAT)
    return best[:, :k].T, values[:k]
