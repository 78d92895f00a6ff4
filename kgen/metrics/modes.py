"""Mode coverage: how a generator spreads over modes or classes that are known."""

import dataclasses
import math
import numbers

import numpy as np

from kgen.arrays import is_array, to_numpy
from kgen.data import toy2d
from kgen.metrics.inputs import chunks, enough, rows
from kgen.metrics.judges import Judge, judge

MODES = {"ring": toy2d.RING, "grid": toy2d.GRID}


@dataclasses.dataclass(frozen=True)
class ModeCoverage:
    """How samples spread over modes; printed in one line.

    With q the shares of the modes among the samples that are in one, and p those expected:

    Attributes:
        counts: samples in each mode, int64 `(modes,)`.
        expected: p, float64 `(modes,)`.
        covered: number of modes that have at least `share` of the samples expected there.
        good: share of all samples that are in a mode; None for classes, where all are.
        kl: KL(q || p), in nats; 0 if the samples spread as expected.
        reverse_kl: KL(p || q), in nats; infinite if a mode has no sample.
        total_variation: half the sum of |q - p|, 0 to 1.
        share: as above.
        n: number of samples.
    """

    counts: np.ndarray
    expected: np.ndarray
    covered: int
    good: float | None
    kl: float
    reverse_kl: float
    total_variation: float
    share: float
    n: int

    def __str__(self):
        kind = "classes" if self.good is None else "modes"
        good = "" if self.good is None else f", {self.good:.1%} good samples"
        return (
            f"{self.covered} of {len(self.counts)} {kind} covered{good}, KL {self.kl:.3g}, "
            f"reverse KL {self.reverse_kl:.3g}, total variation {self.total_variation:.3g} "
            f"({self.n:,} samples)"
        )


def mode_coverage(points, modes="ring", sigma=toy2d.SIGMA, share=0.25):
    """Count which modes of a mixture of Gaussians samples cover, and how evenly.

    A sample is good if it lies within 3 sigma of a centre (Srivastava et al., 2017), and belongs
    to the nearest. In two dimensions, of samples from the mixture itself 98.9 % are
    good. A mode is covered if it has at least `share` of what each would have if all samples were
    good and spread evenly.

    Args:
        points: samples `(N, D)`.
        modes: `"ring"` or `"grid"` of `kgen.data.toy2d`, or centres `(modes, D)`, all different.
        sigma: standard deviation along each axis, a positive number; one per mode, if several.
        share: of a mode's fair share, above 0 up to 1.

    Returns:
        `ModeCoverage`; the distributions are compared among the good samples. If none are, `kl` and
        `reverse_kl` are infinite and `total_variation` is 1.

    Raises:
        TypeError, ValueError: if these are not as above.

    Example:

    ```python
    print(kgen.metrics.mode_coverage(gan.generate(2500), "grid"))
    ```
    """
    if isinstance(modes, str):
        if modes.removeprefix("toy2d/") not in MODES:
            raise ValueError(
                f"modes must be one of {list(MODES)}, or an array of centres; got {modes!r}. Other "
                "shapes of toy2d have no modes to count."
            )
        modes = MODES[modes.removeprefix("toy2d/")]
    centers = rows(modes, "modes")
    if len(np.unique(centers, axis=0)) < len(centers):
        raise ValueError("modes must be different centres; some are equal.")
    points = rows(points, "points", width=centers.shape[1])
    sigma = np.broadcast_to(_sigma(sigma, len(centers)), len(centers))
    nearest, good = np.empty(len(points), "int64"), np.empty(len(points), bool)
    step = max(2**20 // centers.size, 1)
    for start in range(0, len(points), step):
        some = slice(start, start + step)
        squares = np.square(points[some, None] - centers).sum(axis=2)
        nearest[some] = squares.argmin(axis=1)
        good[some] = squares.min(axis=1) <= (3 * sigma[nearest[some]]) ** 2
    counts = np.bincount(nearest[good], minlength=len(centers))
    expected = np.full(len(centers), 1 / len(centers))
    return _coverage(counts, expected, len(points), share, float(good.mean()))


def class_coverage(generated, real, judge=None, share=0.25):
    """Count which classes generated images cover, and compare with those of real ones.

    A class is covered if it has at least `share` of the images that it would have if classes were
    as frequent as among real images; those that real images do not have are not counted as covered.
    A judge errs, too: compare with its labels of real test images.

    Args:
        generated: labels, integers `(N,)`; or images, whatever metrics take, with a judge.
        real: labels of real images, integers `(M,)`, such as `dataset.labels`.
        judge: None; or the name of a `kgen.metrics.judge`, or anything with `labels(images)`.
        share: of a class's fair share, above 0 up to 1.

    Returns:
        `ModeCoverage`, with as many classes as the judge or the labels have.

    Raises:
        TypeError, ValueError: if these are not as above.

    Example:

    ```python
    found = kgen.metrics.class_coverage(vae.generate(1000), y_train, judge="digits")
    ```
    """
    classes = 0
    if judge is not None:
        generated, classes = _judged(generated, judge)
    generated, real = _labels(generated, "generated"), _labels(real, "real")
    classes = max(classes, generated.max() + 1, real.max() + 1)
    counts, expected = (np.bincount(labels, minlength=classes) for labels in (generated, real))
    return _coverage(counts, expected / len(real), len(generated), share, None)


def _coverage(counts, p, n, share, good):
    if not isinstance(share, numbers.Real) or isinstance(share, bool) or not 0 < share <= 1:
        raise ValueError(f"share must be a number above 0 up to 1; got {share!r}.")
    kl, reverse_kl, variation = math.inf, math.inf, 1.0
    if total := counts.sum():
        q = counts / total
        kl, reverse_kl = _divergence(q, p), _divergence(p, q)
        variation = float(np.abs(q - p).sum() / 2)
    covered = int(((counts >= share * p * n) & (counts > 0) & (p > 0)).sum())
    return ModeCoverage(counts, p, covered, good, kl, reverse_kl, variation, float(share), n)


def _divergence(p, q):
    """KL(p || q) in nats."""
    some = p > 0
    if (q[some] == 0).any():
        return math.inf
    return max(float(np.sum(p[some] * np.log(p[some] / q[some]))), 0.0)


def _sigma(sigma, modes):
    sigma = to_numpy(sigma)
    if sigma.dtype.kind not in "fiu" or sigma.shape not in ((), (modes,)):
        raise ValueError(
            f"sigma must be a positive number, or one for each of {modes} modes; got shape "
            f"{sigma.shape} of {sigma.dtype}."
        )
    sigma = sigma.astype("float64")
    if not (np.isfinite(sigma) & (sigma > 0)).all():
        raise ValueError(f"sigma must be positive and finite; got {sigma.tolist()}.")
    return sigma


def _judged(images, by):
    """Labels of images by a judge, and how many classes it has."""
    by = judge(by) if isinstance(by, str) else by
    if isinstance(by, Judge) and isinstance(by.class_names, dict):
        raise ValueError(
            f"The judge {by.name!r} has classes by factor {list(by.class_names)}: pass the labels "
            "of one, judge.labels(images)[factor], and the real ones of the same."
        )
    labels = np.concatenate([by.labels(chunk) for chunk in chunks(images, "generated")])
    return labels, len(getattr(by, "class_names", ()))


def _labels(labels, name):
    came = type(labels).__name__
    hint = " Images go with judge=." if name == "generated" else ""
    labels = to_numpy(labels) if is_array(labels) or isinstance(labels, list | tuple) else None
    if labels is None or labels.dtype.kind not in "iu":
        came = came if labels is None else f"{came} of {labels.dtype}"
        raise TypeError(f"{name} must be integer labels (N,); got {came}.{hint}")
    labels = labels[:, 0] if labels.shape[1:] == (1,) else labels  # as some datasets have them
    if labels.ndim != 1:
        raise ValueError(f"{name} must be integer labels (N,); got shape {labels.shape}.{hint}")
    enough(len(labels), 1, name, "labels")
    if labels.min() < 0:
        raise ValueError(f"{name} must be labels of 0 or more; got {labels.min()}.")
    return labels.astype("int64")
