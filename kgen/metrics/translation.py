"""How good a translation is whose right answer is known."""

import dataclasses

import numpy as np

from kgen.arrays import to_numpy
from kgen.data.ranges import check_images, to_model_range, to_uint8
from kgen.metrics.judges import Judge


@dataclasses.dataclass(frozen=True)
class Translation:
    """What became of images, beside what should have.

    Attributes:
        error: mean absolute difference from the truth, of pixels in [-1, 1].
        changed: share of images in which a judge reads the factor that must change as a class that
            the truth has; None where none must.
        kept: by factor that must not change, the share of images in which it is read as it is; of
            continuous ones, the correlation of what is read with what is.
        n: number of images.
    """

    error: float
    changed: float | None
    kept: dict = dataclasses.field(repr=False)
    n: int

    @property
    def preservation(self):
        """Mean of `kept` over all factors; NaN without any."""
        return float(np.mean([*self.kept.values()])) if self.kept else float("nan")

    def __float__(self):
        return self.error

    def __str__(self):
        changed = "" if self.changed is None else f", {self.changed:.1%} changed"
        kept = f", {self.preservation:.1%} of the factors kept" if self.kept else ""
        return f"error {self.error:.4f}{changed}{kept} (n = {self.n})"


def translation(translated, truth, judge=None, factors=None, changed=None):
    """Compare translated images with the truth, pixel by pixel and by what a judge reads in them.

    Of the truth itself, the same call says how well the judge reads.

    Args:
        translated: `(N, H, W, C)`, uint8 or floats in [-1, 1].
        truth: what each should have become, of the same shape.
        judge: a `Judge` of factors, such as `kgen.metrics.judge("faces")`.
        factors: the factors of the truth, as `kgen.data.faces.domain_factors` returns them: by name
            class indices or numbers `(N,)`; those that the judge does not know are passed over.
        changed: name of the factor that the translation has to change, or None.

    Returns:
        `Translation`.

    Raises:
        ValueError: for images of other shapes, a judge without factors or the other way round, and
            a factor that the judge does not read.

    Example:

    ```python
    day, night = kgen.data.load("faces/day2night", "test", num_examples=1000).pairs()
    _, factors = kgen.data.faces.domain_factors("day2night", "test", 1000)
    judge = kgen.metrics.judge("faces")
    print(kgen.metrics.translation(model.translate(day), night, judge, factors, "time"))
    ```
    """
    translated, truth = _images(translated, "translated"), _images(truth, "truth")
    if translated.shape != truth.shape:
        raise ValueError(
            f"translated and truth belong together, image by image: got shapes {translated.shape} "
            f"and {truth.shape}."
        )
    error = float(np.abs(translated - truth).mean())
    if (judge is None) != (factors is None):
        raise ValueError("judge reads factors: pass both, or neither.")
    if judge is None:
        if changed is not None:
            raise ValueError(f"changed={changed!r} is read by a judge: pass judge= and factors=.")
        return Translation(error, None, {}, len(truth))
    if not isinstance(judge, Judge) or not isinstance(judge.class_names, dict):
        raise ValueError(f"judge must be one that reads factors, such as 'faces'; got {judge!r}.")
    pixels = to_uint8(translated)  # a grey image has no negative value either
    read = {**judge.labels(pixels), **judge.values(pixels)}
    known = {name: to_numpy(factors[name]) for name in factors if name in read}
    if wrong := [name for name, values in known.items() if values.shape != (len(truth),)]:
        raise ValueError(
            f"factors[{wrong[0]!r}] must have one value for each of {len(truth)} images; got shape "
            f"{known[wrong[0]].shape}."
        )
    if changed is not None and changed not in known:
        raise ValueError(
            f"changed={changed!r} is none of the factors that the judge reads here: {[*known]}."
        )
    kept = {
        name: _agreement(read[name], values, name in judge.class_names)
        for name, values in known.items()
        if name != changed
    }
    share = None if changed is None else float(np.isin(read[changed], known[changed]).mean())
    return Translation(error, share, kept, len(truth))


def _agreement(read, true, classes):
    """Share of equal classes, or correlation of numbers (0 where one side does not vary)."""
    if classes:
        return float((read == true).mean())
    if not (np.ptp(read) and np.ptp(true)):  # a rounded deviation of equal numbers is not 0
        return 0.0
    return float(np.corrcoef(read, true)[0, 1])


def _images(images, what):
    images = to_numpy(images)
    check_images(images, what=what, check_range=False)
    return to_model_range(images)
