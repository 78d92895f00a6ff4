"""Fréchet distance between Gaussians (Fréchet, 1957; of images' features: Heusel et al., 2017)."""

import dataclasses
import functools

import numpy as np

from kgen.linear_algebra import product, stoppable
from kgen.metrics.cache import chunks_like, found_of
from kgen.metrics.features import features as named
from kgen.metrics.inputs import enough, rows
from kgen.progress import progress

EPSILON = np.finfo("float64").eps
ROWS = 1024  # in one product
SMALL = 512  # rows or features, up to which singular values take no time
WHAT = "Fréchet distance"  # says the progress bar
LARGEST = 4096  # rank of a covariance: more takes minutes within one call of LAPACK


class GaussianStatistics:
    """Mean and covariance of features that stream past, float64, whatever the chunks.

    Of no more rows than features, the rows themselves are kept: their covariance is singular, and
    would be the larger of the two. Beyond that, chunks are merged into the covariance as Chan,
    Golub and LeVeque (1983) do, without cancellation.

    Attributes:
        mean: `(F,)`; None before the first features.
        count: rows of features seen.

    Args:
        mean, covariance, count: to start from, such as statistics that were published.

    Example:

    ```python
    statistics = kgen.metrics.GaussianStatistics()
    for images in batches:
        statistics.update(features(images))
    ```
    """

    def __init__(self, mean=None, covariance=None, count=0):
        self.mean, self._scatter, self.count, self._factor = None, None, 0, None
        self._rows = []
        if mean is not None:
            enough(count, 2, "count")
            self.mean = rows([mean], "mean")[0]
            covariance = rows(covariance, "covariance", width=len(self.mean))
            if covariance.shape[0] != len(self.mean) or not np.allclose(covariance, covariance.T):
                raise ValueError(
                    f"covariance must be symmetric, of shape ({len(self.mean)}, {len(self.mean)}); "
                    f"got {covariance.shape}."
                )
            _affordable(*covariance.shape)
            self._scatter, self.count = covariance * (count - 1), int(count)

    @classmethod
    def from_features(cls, features, name="features"):
        """Statistics of features `(N, F)`, N at least 2; `name` is what messages call them."""
        found = cls().update(features, name)
        enough(found.count, 2, name, "rows")
        return found

    @classmethod
    def from_arrays(cls, arrays):
        """Statistics that `arrays` gave."""
        if "rows" in arrays:
            return cls.from_features(arrays["rows"])
        return cls(arrays["mean"], arrays["covariance"], int(arrays["count"]))

    def arrays(self):
        """Dictionary of arrays that hold all of it: rows, or mean, covariance and count."""
        if self._scatter is None:
            return {"rows": np.concatenate(self._rows)}
        return {"mean": self.mean, "covariance": self.covariance, "count": np.array(self.count)}

    def update(self, features, name="features"):
        """Add features `(n, F)`; returns itself.

        Raises:
            TypeError, ValueError: if they are not rows of finite numbers, as many as before; if
                both rows and features become more than 4,096.
        """
        features = rows(features, name, width=None if self.mean is None else len(self.mean))
        count, width = self.count + len(features), features.shape[1]
        _affordable(count, width)
        self.mean = np.zeros(width) if self.mean is None else self.mean
        self._factor = None
        if self._scatter is None and count > width:
            features = np.concatenate([*self._rows, features])
            self._scatter, self.count, self._rows = np.zeros((width, width)), 0, []
        starts = range(0, len(features), ROWS)
        for start in progress(starts, len(starts), WHAT):
            self._add(features[start : start + ROWS])
        return self

    def _add(self, features):
        mean = features.mean(axis=0)
        total, shift = self.count + len(features), mean - self.mean
        if self._scatter is None:
            self._rows.append(features.copy())
        else:
            spread = features - mean
            self._scatter += spread.T @ spread
            self._scatter += self.count * len(features) / total * np.outer(shift, shift)
        self.mean = self.mean + shift * (len(features) / total)
        self.count = total

    @property
    def covariance(self):
        """`(F, F)`, divided by count - 1."""
        enough(self.count, 2, "What a covariance is taken of", "rows")
        if self._scatter is None:
            return self.factor @ self.factor.T
        return self._scatter / (self.count - 1)

    @property
    def trace(self):
        """Of the covariance: the sum of the variances."""
        if self._scatter is None:
            return np.square(self.factor).sum()
        return np.trace(self._scatter) / (self.count - 1)

    @property
    def factor(self):
        """`(F, R)`, float64, whose product with its transpose is the covariance."""
        if self._factor is None and self._scatter is None:
            spread = np.concatenate(self._rows) - self.mean
            self._factor = spread.T / np.sqrt(self.count - 1)
        elif self._factor is None:
            self._factor = _factor(self.covariance, self.count - 1)
        return self._factor


def frechet_distance(a, b):
    r"""Fréchet distance between the Gaussians that have the features' means and covariances.

    $|\mu_a - \mu_b|^2 + \mathrm{tr}(\Sigma_a + \Sigma_b - 2 (\Sigma_a \Sigma_b)^{1/2})$, the square
    of the 2-Wasserstein distance between them (Dowson and Landau, 1982), in float64. With
    $\Sigma_a = L_a L_a^T$ the last trace is the sum of the singular values of $L_b^T L_a$, exact
    where covariances are singular, too. Of no more rows than features, L is the rows themselves,
    centred, divided by $\sqrt{N - 1}$: no covariance is made.

    It is biased: from few rows it comes out larger (Binkowski et al., 2018), so only distances of
    the same numbers of rows compare.

    Args:
        a, b: features `(N, F)` and `(M, F)`, N and M at least 2; or `GaussianStatistics`. Where
            there are more than 4,096 features, up to 4,096 rows.

    Returns:
        float.

    Raises:
        TypeError, ValueError: if these are not as above.
    """
    a, b = (
        x if isinstance(x, GaussianStatistics) else GaussianStatistics.from_features(x, name)
        for x, name in ((a, "a"), (b, "b"))
    )
    for x, name in ((a, "a"), (b, "b")):
        enough(x.count, 2, name, "rows")
    if len(a.mean) != len(b.mean):
        raise ValueError(
            f"Both sides must have the same features; got {len(a.mean)} and {len(b.mean)}."
        )
    spread = a.trace + b.trace - 2 * _overlap(a, b)
    return max(float(((a.mean - b.mean) ** 2).sum() + spread), 0.0)


@dataclasses.dataclass(frozen=True)
class FID:
    """A Fréchet distance between images; printed in one line.

    Attributes:
        value: the distance.
        floor: that between training and test images, what a perfect generator would come to with as
            many images; None without test images.
        n_real, n_fake, n_test: numbers of images.
        features: name of the features.
        width: number of features.
    """

    value: float
    floor: float | None
    n_real: int
    n_fake: int
    n_test: int | None
    features: str
    width: int

    def __str__(self):
        floor = "floor unknown: no test images were given"
        if self.floor is not None:
            floor = f"floor {self.floor:.4g}, train against {self.n_test:,} test images"
        least, singular = min(self.n_real, self.n_fake, self.n_test or self.n_fake), ""
        if least <= self.width:
            singular = (
                f"; {least:,} images are too few for {self.width:,} features: mostly bias, "
                "comparable at these numbers only"
            )
        return (
            f"FID {self.value:.4g} ({self.features} features, {self.n_fake:,} against "
            f"{self.n_real:,} images; {floor}{singular})"
        )

    def __float__(self):
        return self.value


def fid(real, fake, features, test=None, cache=None):
    """Fréchet distance between features of real and generated images (Heusel et al., 2017).

    It depends on the numbers of images: the fewer, the larger (Binkowski et al., 2018). They stand
    in the result, beside the floor; where there are no more images than features, covariances are
    singular, and the result says that it is mostly bias.

    Statistics of real and test images are kept, so the same ones are seen once.

    Args:
        real, fake: whatever metrics take: images as an array (uint8, or floats in [-1, 1]), a
            dataset, or batches; at least 2, of one size. `real` are those trained on.
        features: name, `keras.Model` or other that `kgen.metrics.features` takes.
        test: real images that were not trained on, for the floor.
        cache: where statistics of real images are kept beside memory: True for `$KGEN_CACHE` or
            `~/.cache/kgen`, or a folder.

    Returns:
        `FID`.

    Raises:
        TypeError, ValueError: if images or features are not as above.

    Example:

    ```python
    print(kgen.metrics.fid(x_train, model.generate(10_000), features="fashion", test=x_test))
    ```
    """
    extractor = named(features)

    def kept(images, name, shape=None):
        def find(images):
            return _statistics(images, extractor, name, shape)

        return found_of("gaussian", find, images, extractor, cache, name)

    found = {"real": kept(real, "real")}
    shape = found["real"]["shape"]
    extractor.warn_if_strange(found["real"]["strange"], found["real"]["n"])
    if test is not None:
        found["test"] = kept(test, "test", shape)
    found["fake"] = _statistics(fake, extractor, "fake", shape)
    found = {name: GaussianStatistics.from_arrays(side) for name, side in found.items()}
    value = frechet_distance(found["real"], found["fake"])
    floor = None if test is None else frechet_distance(found["real"], found["test"])
    return FID(
        value,
        floor,
        found["real"].count,
        found["fake"].count,
        None if test is None else found["test"].count,
        extractor.name_for(shape),
        len(found["real"].mean),
    )


def _statistics(images, extractor, name, shape):
    found, strange = GaussianStatistics(), 0.0
    for chunk in chunks_like(shape, images, name):
        rows = extractor(chunk, name)
        found.update(rows)
        strange += extractor.strangeness(rows) * len(rows)
        shape = chunk.shape[1:]
    enough(found.count, 2, name)
    of_images = {"shape": shape, "n": found.count, "strange": strange / found.count}
    return found.arrays() | {name: np.array(value) for name, value in of_images.items()}


def _affordable(count, width):
    """Refuse what would take minutes, and gigabytes."""
    if min(count, width) > LARGEST:
        raise ValueError(
            f"The roots of a covariance of {width:,} features from {count:,} rows take minutes; "
            f"pass {LARGEST:,} rows or fewer, or {LARGEST:,} features or fewer (of images, "
            'features="pixels" takes thumbnails).'
        )


def _overlap(a, b):
    """Trace of the square root of the product of two covariances."""
    products = product(b.factor.T, a.factor, WHAT)
    if min(products.shape) > SMALL:  # roots of eigenvalues are faster: are they exact enough?
        products = products.T if products.shape[0] > products.shape[1] else products
        rank = min(a.count, b.count) - 1
        values = stoppable(np.linalg.eigvalsh, product(products, products.T, WHAT), what=WHAT)
        roots = np.sqrt(np.maximum(values[-rank:], 0))
        rounding = 4 * EPSILON * np.square(products).sum()
        error = (rounding / np.maximum(2 * roots, np.sqrt(rounding) or 1)).sum()
        if error <= 1e-7 * (a.trace + b.trace):
            return roots.sum()
    singular_values = functools.partial(np.linalg.svd, compute_uv=False)
    return stoppable(singular_values, products, what=WHAT).sum()


def _factor(covariance, rank):
    """`(F, R)` whose product with its transpose is a covariance of that rank at most."""
    if rank >= len(covariance):
        try:
            return stoppable(np.linalg.cholesky, covariance, what=WHAT)
        except np.linalg.LinAlgError:  # singular all the same
            pass
    values, vectors = stoppable(np.linalg.eigh, covariance, what=WHAT)
    values, vectors = values[-rank:], vectors[:, -rank:]
    positive = values > EPSILON * values[-1]  # the rest is rounding
    return vectors[:, positive] * np.sqrt(values[positive])
