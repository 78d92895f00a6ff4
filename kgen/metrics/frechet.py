"""Fréchet distance between Gaussians (Fréchet, 1957; of images' features: Heusel et al., 2017)."""

import dataclasses

import numpy as np

from kgen.metrics.cache import chunks_like, found_of
from kgen.metrics.features import features as named
from kgen.metrics.inputs import enough, rows

EPSILON = np.finfo("float64").eps
ROWS = 4096  # in one product
SMALL = 512  # features, up to which singular values take no time


class GaussianStatistics:
    """Mean and covariance of features that stream past, float64, whatever the chunks.

    Chunks are merged as Chan, Golub and LeVeque (1983) do, without cancellation.

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
        if mean is not None:
            enough(count, 2, "count")
            self.mean = rows([mean], "mean")[0]
            covariance = rows(covariance, "covariance", width=len(self.mean))
            if covariance.shape[0] != len(self.mean) or not np.allclose(covariance, covariance.T):
                raise ValueError(
                    f"covariance must be symmetric, of shape ({len(self.mean)}, {len(self.mean)}); "
                    f"got {covariance.shape}."
                )
            self._scatter, self.count = covariance * (count - 1), int(count)

    @classmethod
    def from_features(cls, features, name="features"):
        """Statistics of features `(N, F)`, N at least 2; `name` is what messages call them."""
        found = cls().update(features, name)
        enough(found.count, 2, name, "rows")
        return found

    def update(self, features, name="features"):
        """Add features `(n, F)`; returns itself.

        Raises:
            TypeError, ValueError: if they are not rows of finite numbers, as many as before.
        """
        width = None if self.mean is None else len(self.mean)
        features = rows(features, name, width=width)
        if self.mean is None:
            self.mean = np.zeros(features.shape[1])
            self._scatter = np.zeros((features.shape[1],) * 2)
        for start in range(0, len(features), ROWS):
            self._add(features[start : start + ROWS])
        self._factor = None
        return self

    def _add(self, features):
        mean = features.mean(axis=0)
        total, shift = self.count + len(features), mean - self.mean
        spread = features - mean
        self._scatter += spread.T @ spread
        self._scatter += self.count * len(features) / total * np.outer(shift, shift)
        self.mean = self.mean + shift * (len(features) / total)
        self.count = total

    @property
    def covariance(self):
        """`(F, F)`, divided by count - 1."""
        enough(self.count, 2, "What a covariance is taken of", "rows")
        return self._scatter / (self.count - 1)

    @property
    def factor(self):
        """`(F, R)`, float64, whose product with its transpose is the covariance."""
        if self._factor is None:
            self._factor = _factor(self.covariance, self.count - 1)
        return self._factor


def frechet_distance(a, b):
    r"""Fréchet distance between the Gaussians that have the features' means and covariances.

    $|\mu_a - \mu_b|^2 + \mathrm{tr}(\Sigma_a + \Sigma_b - 2 (\Sigma_a \Sigma_b)^{1/2})$, the square
    of the 2-Wasserstein distance between them (Dowson and Landau, 1982), in float64. With
    $\Sigma_a = L_a L_a^T$ the last trace is the sum of the singular values of $L_b^T L_a$, exact
    where covariances are singular, too (fewer features' rows than columns).

    It is biased: from few rows it comes out larger (Binkowski et al., 2018), so only distances of
    the same numbers of rows compare.

    Args:
        a, b: features `(N, F)` and `(M, F)`, N and M at least 2; or `GaussianStatistics`.

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
    spread = np.trace(a.covariance) + np.trace(b.covariance) - 2 * _overlap(a, b)
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
    if test is not None:
        found["test"] = kept(test, "test", shape)
    found["fake"] = _statistics(fake, extractor, "fake", shape)
    found = {
        name: GaussianStatistics(side["mean"], side["covariance"], int(side["count"]))
        for name, side in found.items()
    }
    value = frechet_distance(found["real"], found["fake"])
    floor = None if test is None else frechet_distance(found["real"], found["test"])
    return FID(
        value,
        floor,
        found["real"].count,
        found["fake"].count,
        None if test is None else found["test"].count,
        extractor.name,
        len(found["real"].mean),
    )


def _statistics(images, extractor, name, shape):
    found = GaussianStatistics()
    for chunk in chunks_like(shape, images, name):
        found.update(extractor(chunk, name))
        shape = chunk.shape[1:]
    enough(found.count, 2, name)
    return {
        "mean": found.mean,
        "covariance": found.covariance,
        "count": np.array(found.count),
        "shape": np.array(shape),
    }


def _overlap(a, b):
    """Trace of the square root of the product of two covariances."""
    if len(a.mean) > SMALL:  # roots of eigenvalues are faster: are they exact enough?
        a, b = (a, b) if a.count > b.count else (b, a)
        one, other = a.covariance, b.covariance
        values = np.linalg.eigvalsh(a.factor.T @ other @ a.factor)[1 - b.count :]
        roots = np.sqrt(np.maximum(values, 0))
        rounding = 4 * EPSILON * np.linalg.norm(one) * np.linalg.norm(other)
        error = (rounding / np.maximum(2 * roots, np.sqrt(rounding) or 1)).sum()
        if error <= 1e-7 * (np.trace(one) + np.trace(other)):
            return roots.sum()
    return np.linalg.svd(b.factor.T @ a.factor, compute_uv=False).sum()


def _factor(covariance, rank):
    """`(F, R)` whose product with its transpose is a covariance of that rank at most."""
    if rank >= len(covariance):
        try:
            return np.linalg.cholesky(covariance)
        except np.linalg.LinAlgError:  # singular all the same
            pass
    values, vectors = np.linalg.eigh(covariance)
    values, vectors = values[-rank:], vectors[:, -rank:]
    positive = values > EPSILON * values[-1]  # the rest is rounding
    return vectors[:, positive] * np.sqrt(values[positive])
