"""Distributions of points: each is drawn from (`sample`), has a density, and is fitted to points.

Priors of latents, such as `decode` takes, and what families of models are made of. Everything here
is NumPy on the host: the same on every backend. Points are arrays of finite numbers `(N, D)`, those
that are drawn float32; densities are float64. Whatever else comes raises a `TypeError` (no numbers)
or a `ValueError` that says what was expected.

Example:

```python
prior = kgen.distributions.GaussianMixture.fit(autoencoder.encode(x))
samples = autoencoder.decode(prior.sample(1000, seed=0))
```
"""

import dataclasses
import functools
import math

import numpy as np
from scipy import linalg, special

from kgen.arguments import positive
from kgen.arrays import finite, points
from kgen.engine.random import host_generator
from kgen.linear_algebra import product, stoppable

__all__ = ["Gaussian", "GaussianMixture", "StandardNormal"]

WHAT = "Gaussian"  # says the progress bar
LEAST = 1e-6  # variance along any axis, as a share: points that never change have a density, too


@dataclasses.dataclass(frozen=True)
class StandardNormal:
    """N(0, I), what a VAE draws from.

    Args:
        dimension: D.
    """

    dimension: int

    def __post_init__(self):
        vars(self).update(dimension=positive(self.dimension, "dimension"))

    @classmethod
    def fit(cls, x):
        """The one of the dimension of points `(N, D)`: there is nothing else to fit."""
        return cls(points(x, "x").shape[1])

    def sample(self, n, seed=None):
        """Draw float32 `(n, D)`; the first 8 of 16 are the 8. `generate` draws the same."""
        shape = positive(n, "n"), self.dimension
        return host_generator(seed).standard_normal(shape, dtype="float32")

    def log_density(self, x):
        """Log-density of points `(N, D)` in nats: float64 `(N,)`."""
        return _log_density(points(x, "x", self.dimension))


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Gaussian:
    """A Gaussian.

    Args:
        mean: `(D,)`.
        covariance: `(D, D)`, symmetric and positive definite.

    Attributes:
        factor: its Cholesky factor, lower triangular, `(D, D)`.

    Raises:
        ValueError: if they are not.
    """

    mean: np.ndarray
    covariance: np.ndarray

    def __post_init__(self):
        mean, covariance = (
            finite(getattr(self, name), name).astype("float64") for name in ("mean", "covariance")
        )
        if mean.ndim != 1 or not mean.size or covariance.shape != mean.shape * 2:
            raise ValueError(
                "mean and covariance must have shapes (D,) and (D, D); got "
                f"{mean.shape} and {covariance.shape}."
            )
        if np.abs(covariance - covariance.T).max() > 1e-6 * np.abs(covariance).max():
            raise ValueError("covariance must be symmetric; this one is not.")
        try:
            factor = stoppable(np.linalg.cholesky, covariance, what=WHAT)
        except np.linalg.LinAlgError as error:
            raise ValueError(
                "covariance must be positive definite; this one is not. Gaussian.fit keeps the "
                "variance along every axis above 0."
            ) from error
        vars(self).update(mean=mean, covariance=covariance, factor=factor)

    @classmethod
    def fit(cls, x):
        """The maximum-likelihood Gaussian of points.

        The variance along any axis is at least a millionth of the largest.

        Args:
            x: `(N, D)`, at least two.

        Raises:
            ValueError: for fewer than two points, or points that are all the same.
        """
        x = _varied(x)
        mean = x.mean(axis=0)
        covariance = product((x - mean).T, x - mean, WHAT) / len(x)
        values, axes = stoppable(np.linalg.eigh, covariance, what=WHAT)
        if values[0] < LEAST * values[-1]:
            covariance = (axes * np.maximum(values, LEAST * values[-1])) @ axes.T
        return cls(mean, covariance)

    @property
    def dimension(self):
        """D, the width of a point."""
        return len(self.mean)

    def sample(self, n, seed=None):
        """Draw float32 `(n, D)`; the first 8 of 16 are the 8."""
        return self.place(StandardNormal(self.dimension).sample(n, seed))

    def place(self, normal):
        """Draws from N(0, I), `(N, D)`, made draws of this, float32, each by itself."""
        # Not a matrix product, whose last bits depend on the number of rows.
        moved = np.einsum("nj,ij->ni", normal.astype("float64"), self.factor)
        return (self.mean + moved).astype("float32")

    def log_density(self, x):
        """Log-density of points `(N, D)` in nats: float64 `(N,)`."""
        centered = points(x, "x", self.dimension) - self.mean
        solve = functools.partial(linalg.solve_triangular, lower=True)
        standard = stoppable(solve, self.factor, centered.T, what=WHAT).T
        return _log_density(standard) - np.log(np.diag(self.factor)).sum()

    def __repr__(self):
        return f"Gaussian(dimension={self.dimension})"


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class GaussianMixture:
    """A mixture of Gaussians.

    Args:
        weights: `(K,)`, not negative; they are divided by their sum.
        parts: K `Gaussian`s of one dimension.

    Raises:
        TypeError, ValueError: if they are not.
    """

    weights: np.ndarray
    parts: tuple

    def __post_init__(self):
        weights, parts = finite(self.weights, "weights").astype("float64"), tuple(self.parts)
        if wrong := [part for part in parts if not isinstance(part, Gaussian)]:
            raise TypeError(f"parts must be kgen.distributions.Gaussians; got {wrong[0]!r}.")
        if not parts or len({part.dimension for part in parts}) > 1:
            raise ValueError(
                "parts must be one or more Gaussians of the same dimension; got dimensions "
                f"{[part.dimension for part in parts]}."
            )
        if weights.shape != (len(parts),) or weights.min() < 0 or not weights.sum() > 0:
            raise ValueError(
                f"weights must be {len(parts)} numbers, one for each part, not negative and not "
                f"all 0; got {self.weights!r}."
            )
        vars(self).update(weights=weights / weights.sum(), parts=parts)

    @classmethod
    def fit(cls, x, clusters=10, seed=0, min_variance=LEAST):
        """A mixture with full covariances, by scikit-learn's expectation maximisation.

        Args:
            x: `(N, D)`, at least two points for each cluster.
            clusters: number of Gaussians K.
            seed: of the clusters it starts from.
            min_variance: what is added to the variance along every axis, as a share of the mean
                variance of the points.

        Raises:
            ValueError: for too few points, or points that are all the same.
        """
        from sklearn import mixture
        from threadpoolctl import threadpool_limits  # which scikit-learn requires

        clusters, x = positive(clusters, "clusters"), _varied(x)
        if len(x) < 2 * clusters:
            raise ValueError(
                f"{clusters} clusters need at least {2 * clusters} examples; got {len(x)}."
            )
        center, scale = x.mean(axis=0), math.sqrt(x.var(axis=0).mean())
        fitted = mixture.GaussianMixture(
            clusters, random_state=seed, reg_covar=min_variance, max_iter=300
        )
        with threadpool_limits(1, "blas"):  # its many small products are slow on several threads
            fitted.fit((x - center) / scale)
        means, covariances = center + scale * fitted.means_, scale**2 * fitted.covariances_
        return cls(fitted.weights_, map(Gaussian, means, covariances))

    @property
    def dimension(self):
        """D, the width of a point."""
        return self.parts[0].dimension

    def sample(self, n, seed=None):
        """Draw float32 `(n, D)`; the first 8 of 16 are the 8."""
        n = positive(n, "n")
        choice, shape = host_generator(seed).spawn(2)
        uniform = choice.random(n)
        return self.place(uniform, shape.standard_normal((n, self.dimension), dtype="float32"))

    def place(self, uniform, normal):
        """Draws made draws of this, float32, each by itself.

        Args:
            uniform: `(N,)` in [0, 1): they choose the parts.
            normal: from N(0, I), `(N, D)`.
        """
        chosen = np.searchsorted(self.weights.cumsum()[:-1], uniform, side="right")
        x = np.empty(normal.shape, "float32")
        for k, part in enumerate(self.parts):
            x[chosen == k] = part.place(normal[chosen == k])
        return x

    def log_density(self, x):
        """Log-density of points `(N, D)` in nats: float64 `(N,)`."""
        parts = np.stack([part.log_density(x) for part in self.parts])
        return special.logsumexp(parts, axis=0, b=self.weights[:, None])

    def __repr__(self):
        return f"GaussianMixture(clusters={len(self.parts)}, dimension={self.dimension})"


def _log_density(x):
    """Of N(0, I), float64."""
    return -0.5 * (np.square(x).sum(axis=1) + x.shape[1] * math.log(2 * math.pi))


def _varied(x):
    x = points(x, "x")
    if len(x) < 2 or (x == x[0]).all():
        raise ValueError(
            f"A distribution is fitted to at least two different points; got {len(x)}"
            f"{', all the same' if len(x) > 1 else ''}."
        )
    return x
