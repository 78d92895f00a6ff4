"""Multi-scale structural similarity of images (Wang, Simoncelli and Bovik, 2003)."""

import dataclasses
import math

import numpy as np

from kgen.arguments import positive
from kgen.metrics.inputs import alike, enough, whole
from kgen.progress import progress

WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # of the scales, the finest first; section 3.2
WINDOW = 11
SIGMA = 1.5
C1, C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
CHUNK_NUMBERS = 2**18  # of pixels at once


@dataclasses.dataclass(frozen=True)
class MSSSIM:
    """Multi-scale structural similarities of pairs of images; printed in one line.

    Attributes:
        mean: of the pairs.
        standard_error: of that mean, as of independent pairs; NaN of one pair.
        values: of each pair, float64 `(pairs,)` in [0, 1]; 1 for equal images.
        scales: how many scales the images have room for, 1 to 5.
        weights: of the scales, the finest first, renormalised to the sum 1.
    """

    mean: float
    standard_error: float
    values: np.ndarray = dataclasses.field(repr=False)
    scales: int
    weights: tuple

    def __str__(self):
        error = "" if math.isnan(self.standard_error) else f" +- {self.standard_error:.2g}"
        return (
            f"MS-SSIM {self.mean:.4f}{error} ({len(self.values):,} pairs, {self.scales} of "
            f"{len(WEIGHTS)} scales)"
        )

    def __float__(self):
        return self.mean


def ms_ssim(images, others=None, pairs=10_000, seed=0):
    """Multi-scale structural similarity between pairs of images.

    Without `others` it measures how varied a set is, as Odena et al. (2017) measure generators:
    the mean over random pairs of the same set, lower for a more varied one. Compare with real
    images of the same size.

    As many scales are taken, each half the size of the one before (odd sizes rounded up), as keep
    the smaller side at 11 pixels, the width of the Gaussian window, and at most the paper's five;
    their weights are those of the paper, renormalised. Values with different numbers of scales do
    not compare. The rest is that of `tf.image.ssim_multiscale`: windows within the image, channels
    one by one and then averaged, and contrast terms below 0 raised to 0, so that images which are
    negatively correlated at one scale have the similarity 0 (the paper leaves this open). It is
    computed in float64; TensorFlow's float32 differs by up to 3e-4 where a contrast term is near 0.

    Args:
        images: whatever metrics take: images as an array (uint8, or floats in [-1, 1]), a dataset,
            or batches; all of one size, 11x11 pixels or more.
        others: None, or as many images of the same size: then pairs are one of each, in order.
        pairs: how many are drawn, each at most once, if there are no `others`; all there are if
            these are not more.
        seed: of the draw.

    Returns:
        `MSSSIM`.

    Raises:
        TypeError, ValueError: if the images are not as above, or fewer than two without `others`.
    """
    images = whole(images, "images", least=2 if others is None else 1)
    if others is None:
        first, second = _pairs(len(images), positive(pairs, "pairs"), seed)
        others = images
    else:
        others = whole(others, "others")
        alike(images, others)
        enough(len(others), len(images), "others")
        enough(len(images), len(others), "images")
        first = second = np.arange(len(images))
    shape = images.shape[1:]
    scales = _scales(*shape[:2])
    weights = np.array(WEIGHTS[:scales]) / sum(WEIGHTS[:scales])
    values = np.empty(len(first))
    step = max(CHUNK_NUMBERS // math.prod(shape), 1)
    starts = range(0, len(values), step)
    for start in progress(starts, len(starts), "MS-SSIM"):
        some = slice(start, start + step)
        values[some] = _similarities(images[first[some]], others[second[some]], weights)
    error = values.std(ddof=1) / math.sqrt(len(values)) if len(values) > 1 else math.nan
    return MSSSIM(float(values.mean()), float(error), values, scales, tuple(weights.tolist()))


def _pairs(n, count, seed):
    """Different pairs of different images: two arrays of their numbers."""
    total = n * (n - 1) // 2
    chosen = np.arange(total)
    if count < total:
        chosen = np.random.default_rng(seed).choice(total, count, replace=False)
    distance, first = np.divmod(chosen, n)  # the second is so many after the first, in a circle
    return first, (first + distance + 1) % n


def _scales(height, width):
    side = min(height, width)
    if side < WINDOW:
        raise ValueError(
            f"MS-SSIM compares windows of {WINDOW}x{WINDOW} pixels; got images of {height}x{width}."
            " Take larger ones."
        )
    scales = 1
    while scales < len(WEIGHTS) and (side := (side + 1) // 2) >= WINDOW:
        scales += 1
    return scales


def _similarities(a, b, weights):
    """Similarities of pairs of uint8 images, float64 `(n,)`."""
    a, b = (np.moveaxis(x, -1, 1).astype("float64") for x in (a, b))  # rows are contiguous
    result = 1.0
    for scale, weight in enumerate(weights):
        if scale:
            a, b = _halved(a), _halved(b)
        mean_a, mean_b = _blurred(a), _blurred(b)
        product, squares = mean_a * mean_b, mean_a**2 + mean_b**2
        contrast = 2 * (_blurred(a * b) - product) + C2
        contrast /= _blurred(a**2 + b**2) - squares + C2
        if scale == len(weights) - 1:  # luminance counts at the coarsest scale only
            contrast *= (2 * product + C1) / (squares + C1)
        result = result * np.maximum(contrast.mean(axis=(-2, -1)), 0) ** weight
    return result.mean(axis=1)


def _halved(images):
    """Means of 2x2 pixels; an odd last row or column counts twice."""
    height, width = images.shape[-2:]
    padding = [(0, 0), (0, 0), (0, height % 2), (0, width % 2)]
    images = np.pad(images, padding, "symmetric")
    rows = images[..., ::2, :] + images[..., 1::2, :]
    return (rows[..., ::2] + rows[..., 1::2]) / 4


def _blurred(images):
    """Means in Gaussian windows that lie within the image."""
    window = np.exp(-0.5 * ((np.arange(WINDOW) - WINDOW // 2) / SIGMA) ** 2)
    window /= window.sum()
    height, width = (n - WINDOW + 1 for n in images.shape[-2:])
    rows = sum(w * images[..., i : i + height, :] for i, w in enumerate(window))
    return sum(w * rows[..., i : i + width] for i, w in enumerate(window))
