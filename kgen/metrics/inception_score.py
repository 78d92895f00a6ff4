"""The Inception score (Salimans et al., 2016), of any classifier."""

import dataclasses

import numpy as np

from kgen.arguments import positive
from kgen.metrics.features import features as named
from kgen.metrics.inputs import enough, rows


@dataclasses.dataclass(frozen=True)
class InceptionScore:
    """An Inception-style score; printed in one line.

    Attributes:
        value: mean over the splits, from 1 to the number of classes; the larger, the more certain
            and the more varied are the classes.
        deviation: standard deviation over the splits (divided by their number, as in the paper).
        splits: number of splits.
        n: number of images.
        classes: number of classes.
        features: name of the classifier; None where probabilities were given.
    """

    value: float
    deviation: float
    splits: int
    n: int
    classes: int
    features: str | None = None

    def __str__(self):
        named = f"{self.features}, " if self.features else ""
        return (
            f"Inception score {self.value:.4g} +- {self.deviation:.2g} ({named}{self.classes:,} "
            f"classes, {self.n:,} images in {self.splits} splits)"
        )

    def __float__(self):
        return self.value


def inception_score(images, features=None, splits=10, seed=0):
    r"""$\exp \mathbb{E}_x \, \mathrm{KL}(p(y | x) \, \| \, p(y))$ (Salimans et al., 2016).

    It looks at generated images alone, through a classifier: it does not see whether they resemble
    the real ones, nor that one image comes again and again within a class. Few images in a split
    make it smaller.

    Args:
        images: whatever metrics take; or, without `features`, probabilities `(N, classes)`. At
            least 2 for each split.
        features: what knows classes: the name of a judge, `"inception"`, a `Judge` or `Features`.
        splits: parts over which mean and standard deviation are taken.
        seed: of the order in which images go to the splits.

    Returns:
        `InceptionScore`.

    Raises:
        TypeError, ValueError: if these are not as above.

    Example:

    ```python
    print(kgen.metrics.inception_score(model.generate(5000), features="digits"))
    ```
    """
    splits = positive(splits, "splits")
    extractor = None if features is None else named(features)
    if extractor is None:
        p = rows(images, "probabilities")
    else:
        p = rows(extractor.probabilities(images), "probabilities")
    if (p < 0).any() or abs(p.sum(axis=1) - 1).max(initial=0) > 1e-3:
        raise ValueError(
            "probabilities must be 0 or more and sum to 1 in each row; got values from "
            f"{p.min():.4g} to {p.max():.4g} with sums from {p.sum(1).min():.4g} to "
            f"{p.sum(1).max():.4g}. Of logits, take the softmax; of images, pass features=."
        )
    enough(len(p), 2 * splits, "images", f"for {splits} splits of 2 or more")
    p = p[np.random.default_rng(seed).permutation(len(p))]
    scores = [np.exp(_information(part)) for part in np.array_split(p, splits)]
    name = extractor and extractor.name
    return InceptionScore(
        float(np.mean(scores)), float(np.std(scores)), splits, *p.shape, features=name
    )


def _information(p):
    """Mutual information of image and class, in nats: H(y) - H(y | x)."""
    return _entropy(p.mean(axis=0)) - _entropy(p).mean()


def _entropy(p):
    return -(p * np.log(np.where(p > 0, p, 1))).sum(axis=-1)
