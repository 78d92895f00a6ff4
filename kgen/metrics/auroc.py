"""How well scores tell positives from negatives: the area under the ROC curve."""

import dataclasses
import math

import numpy as np

from kgen.arrays import to_numpy
from kgen.metrics.inputs import rows


@dataclasses.dataclass(frozen=True)
class AUROC:
    """The area under a ROC curve; printed in one line.

    Attributes:
        value: probability that a positive scores higher than a negative, ties counted half: 0.5
            where scores say nothing, 1 where they tell all.
        standard_error: of that, over samples of as many.
        positives, negatives: how many there were.
    """

    value: float
    standard_error: float
    positives: int
    negatives: int

    def __str__(self):
        return (
            f"AUROC {self.value:.3f} ± {self.standard_error:.3f} ({self.positives:,} positives, "
            f"{self.negatives:,} negatives)"
        )

    def __float__(self):
        return self.value


def auroc(scores, positive):
    """Area under the ROC curve of scores, with its standard error.

    The area is exact, that of all pairs of a positive and a negative; the standard error is
    equation 2 of Hanley and McNeil (1982), which takes the scores of both kinds for exponential.

    Args:
        scores: finite numbers `(N,)`, higher where a positive is more likely.
        positive: booleans `(N,)`, with at least one of either kind.

    Returns:
        `AUROC`.

    Raises:
        TypeError, ValueError: if these are not as above.
    """
    positive = to_numpy(positive)
    if positive.ndim != 1 or positive.dtype != bool:
        raise TypeError(
            f"positive must be booleans (N,); got {positive.dtype} of shape {positive.shape}."
        )
    scores = to_numpy(scores)
    if scores.shape != positive.shape:
        raise ValueError(
            f"scores must be numbers (N,), one for each of {len(positive)}; got {scores.shape}."
        )
    scores = rows(scores[:, None], "scores", least=2)[:, 0]
    n, m = int(positive.sum()), int((~positive).sum())
    if not n or not m:
        raise ValueError(f"A ROC curve needs both kinds; got {n} positives and {m} negatives.")
    negatives = np.sort(scores[~positive])
    below, up_to = (np.searchsorted(negatives, scores[positive], s) for s in ("left", "right"))
    area = float((below + up_to).mean() / (2 * m))
    two_positives, two_negatives = area / (2 - area), 2 * area**2 / (1 + area)
    variance = area * (1 - area)
    variance += (n - 1) * (two_positives - area**2) + (m - 1) * (two_negatives - area**2)
    return AUROC(area, math.sqrt(max(variance, 0.0) / (n * m)), n, m)
