"""What a latent space offers: paths, vectors with a meaning, and measures of its order.

It serves any model with `encode(images)`, float32 `(N, D)`, and `decode(latents)`, float32
`(N, *image_shape)` in [-1, 1]. Everything here is NumPy on the host: the same on every backend.

Latents are arrays of finite numbers `(N, D)`, those that come back float32. Whatever else comes
raises a `TypeError` (no numbers) or a `ValueError` that says what was expected.

Example:

```python
z = autoencoder.encode(x)
smile = kgen.latent.attribute_vector(z, has=labels == 1)
smiling = autoencoder.decode(kgen.latent.add(z[:8], smile))
prior = kgen.distributions.GaussianMixture.fit(z)
samples = autoencoder.decode(prior.sample(1000, seed=0))
accepted_by = kgen.latent.AcceptedBy(kgen.metrics.judge("digits"), x, x_test)
accepted_by(samples).share
```
"""

import dataclasses
import math
import numbers

import numpy as np

from kgen.arguments import positive
from kgen.arrays import finite, points, to_numpy
from kgen.engine.random import host_generator
from kgen.metrics.features import features
from kgen.metrics.judges import Judge
from kgen.metrics.neighbors import nearest

__all__ = [
    "AcceptedBy",
    "Completeness",
    "Continuity",
    "add",
    "analogy",
    "attribute_vector",
    "completeness",
    "continuity",
    "decoded",
    "linear",
    "spherical",
]


# Images.


def decoded(model, latents):
    """The images of latents in an array of any shape, such as paths.

    Args:
        model: anything with `decode`.
        latents: `(..., D)`.

    Returns:
        float32 `(..., *image_shape)`.
    """
    latents = finite(latents, "latents")
    if latents.ndim < 2 or 0 in latents.shape:
        raise ValueError(f"latents must have shape (..., D), not empty; got {latents.shape}.")
    rows = latents.reshape(-1, latents.shape[-1])
    images = _images(model.decode(rows), "what decode returns", count=len(rows))
    return images.reshape(*latents.shape[:-1], *images.shape[1:])


# Paths.


def linear(a, b, steps=8):
    """Straight lines `(1 - t) a + t b`, t from 0 to 1 in equal steps.

    Args:
        a, b: latents `(N, D)`.
        steps: points on each line, both ends included; at least 2.

    Returns:
        float32 `(N, steps, D)`; the ends are `a` and `b`, exactly.
    """
    a, b = _ends(a, b)
    t = np.linspace(0, 1, _steps(steps))[:, None]
    return _between(a, (1 - t) * a[:, None] + t * b[:, None], b)


def spherical(a, b, steps=8):
    r"""Arcs around the origin: the direction turns at constant speed, the norm changes linearly.

    $z_t = ((1 - t) |a| + t |b|) \, \frac{\sin((1 - t) \theta) u + \sin(t \theta) v}{\sin \theta}$,
    with the directions u = a / |a| and v = b / |b| and the angle theta between them: the slerp of
    Shoemake (1985, section 3.3) of the directions. White (2016) applies the same weights to a and b
    themselves. Where their norms are equal, as nearly so for draws from N(0, I) in many dimensions,
    the two agree; where they differ, White's path leaves the shell between |a| and |b| as theta
    comes near pi.

    If a and b are parallel, or one of them is zero, the path is the straight line.

    Args:
        a, b: latents `(N, D)`.
        steps: points on each arc, both ends included; at least 2.

    Returns:
        float32 `(N, steps, D)`; the ends are `a` and `b`, exactly.

    Raises:
        ValueError: if some a and b point in opposite directions: no arc is the shortest.
    """
    a, b = _ends(a, b)
    norm_a, norm_b = (np.linalg.norm(x, axis=1, keepdims=True) for x in (a, b))
    u, v = _over(a, norm_a), _over(b, norm_b)
    u, v = np.where(norm_a > 0, u, v), np.where(norm_b > 0, v, u)
    along = (u * v).sum(axis=1, keepdims=True)
    across = v - along * u
    sine = np.linalg.norm(across, axis=1, keepdims=True)
    if (opposite := np.flatnonzero((along < 0) & (sine < 1e-6))).size:
        raise ValueError(
            f"a[{opposite[0]}] and b[{opposite[0]}] point in opposite directions (so do "
            f"{opposite.size} of {len(a)} pairs): no arc between them is the shortest. Use linear, "
            "or go through a third latent."
        )
    t = np.linspace(0, 1, _steps(steps))[:, None]
    angle = t * np.arctan2(sine, along)[:, None]
    directions = np.cos(angle) * u[:, None] + np.sin(angle) * _over(across, sine)[:, None]
    return _between(a, ((1 - t) * norm_a[:, None] + t * norm_b[:, None]) * directions, b)


# Arithmetic.


def add(z1, z2):
    """`z1 + z2`.

    Args:
        z1, z2: latents `(N, D)`, or a single one `(D,)` or `(1, D)`, which is added to each.

    Returns:
        float32 `(N, D)`; `(D,)` if all are.
    """
    z1, z2 = _alike(z1=z1, z2=z2)
    return (z1 + z2).astype("float32")


def analogy(z1, z2, z3):
    """`z1 - z2 + z3`: z1 is to z2 as the result is to z3 (Radford et al., 2016, section 6.3.2).

    Args:
        z1, z2, z3: latents `(N, D)`, or a single one `(D,)` or `(1, D)`, which serves each.

    Returns:
        float32 `(N, D)`; `(D,)` if all are.
    """
    z1, z2, z3 = _alike(z1=z1, z2=z2, z3=z3)
    return (z1 - z2 + z3).astype("float32")


def attribute_vector(latents, has, lacks=None):
    """The mean of the latents that have an attribute minus the mean of those without.

    A visual attribute vector (Larsen et al., 2016): added to a latent, it gives the image the
    attribute. What comes with the attribute in the data comes with the vector.

    Args:
        latents: `(N, D)`.
        has: bool `(N,)`.
        lacks: bool `(N,)`, which are without; None: all others.

    Returns:
        float32 `(D,)`.

    Raises:
        TypeError: if `has` or `lacks` is not boolean.
        ValueError: if either side is empty, or a latent is on both.
    """
    latents = points(latents, "latents")
    has = _which(has, "has", latents)
    lacks = ~has if lacks is None else _which(lacks, "lacks", latents)
    if not has.any() or not lacks.any():
        raise ValueError(
            f"{has.sum()} of {len(has)} latents have the attribute, {lacks.sum()} have not: its "
            "vector needs some of both."
        )
    if both := int((has & lacks).sum()):
        raise ValueError(f"{both} of {len(has)} latents have the attribute and lack it.")
    return (latents[has].mean(axis=0) - latents[lacks].mean(axis=0)).astype("float32")


def _which(chosen, name, latents):
    """Booleans, one for each latent."""
    chosen = to_numpy(chosen)
    if chosen.dtype.kind != "b":
        raise TypeError(
            f"{name} must be boolean, one per latent; got dtype {chosen.dtype}. Write a "
            "comparison, such as labels == 1."
        )
    if chosen.shape != (len(latents),):
        raise ValueError(
            f"{name} must have shape ({len(latents)},), as latents; got {chosen.shape}."
        )
    return chosen


# Continuity.


@dataclasses.dataclass(frozen=True)
class Continuity:
    r"""How images move along straight lines in latent space; scale-free.

    Line p has decoded images $x_{p,0} \dots x_{p,S-1}$, $S$ = `steps`, with L2 distances
    $d_{p,i} = |x_{p,i+1} - x_{p,i}|$ from step to step, $D_p = |x_{p,S-1} - x_{p,0}|$ from end to
    end, and length $L_p = \sum_i d_{p,i}$. Sums over lines are divided, not ratios averaged: a line
    counts by how far its images move, and one that stands still counts nothing.

    Attributes:
        max_step: $(S - 1) \sum_p \max_i d_{p,i} / \sum_p L_p$, the largest step over the mean step,
            from 1 (images move evenly) to S - 1 (they jump, once on each line). This is what
            measures continuity.
        path_ratio: $\sum_p L_p / \sum_p D_p$, the length of the path over the straight distance in
            image space. 1: images stay on the straight line from end to end, as a linear decoder's
            do, whose images are cross-fades (and as those that jump once); more: they bend, as the
            set of images does, or wander. It measures neither evenness nor quality.
        steps, pairs: images on a line and number of lines. Both ratios grow with `steps`: compare
            at the same.
    """

    max_step: float
    path_ratio: float
    steps: int
    pairs: int

    @property
    def mean_step(self):
        """The mean step over the distance from end to end: `path_ratio / (steps - 1)`."""
        return self.path_ratio / (self.steps - 1)


def continuity(model, images, steps=16, pairs=200, seed=0):
    """Measure how evenly decoded images move along lines between encodings of random images.

    Args:
        model: anything with `encode` and `decode`.
        images: `(N, *image_shape)` as the model takes them, at least two.
        steps: images on each line, both ends included; at least 3.
        pairs: number of lines, each between two different images, drawn with replacement.
        seed: of the draw.

    Returns:
        A `Continuity`.

    Raises:
        ValueError: for fewer than two images, or a decoder whose images do not move: it ignores
            the latents.
    """
    images, steps, pairs = _images(images, "images", 2), _steps(steps, 3), positive(pairs, "pairs")
    random, n = host_generator(seed), len(images)
    starts = random.integers(n, size=pairs)
    ends = (starts + random.integers(1, n, size=pairs)) % n
    used, places = np.unique(np.stack([starts, ends]), return_inverse=True)
    latents = points(model.encode(images[used]), "what encode returns", count=len(used))
    a, b = latents[places.reshape(2, pairs)]
    at_once = max(1, 2**24 // (steps * images[0].size))  # 64 MiB of float32
    norms = distances = lengths = largest = 0.0
    for i in range(0, pairs, at_once):
        lines = linear(a[i : i + at_once], b[i : i + at_once], steps)
        decoded = model.decode(lines.reshape(-1, latents.shape[1]))
        decoded = _images(decoded, "what decode returns", count=len(lines) * steps)
        for path in decoded.reshape(len(lines), steps, -1).astype("float64", copy=False):
            moved = np.linalg.norm(np.diff(path, axis=0), axis=1)
            norms += np.linalg.norm(path[0])
            distances += np.linalg.norm(path[-1] - path[0])
            lengths += moved.sum()
            largest += moved.max()
    if distances <= 1e-6 * norms:
        raise ValueError(
            f"The decoded images do not move along any of the {pairs} lines: the images are all "
            "the same, or the decoder ignores the latents (posterior collapse)."
        )
    return Continuity(
        max_step=float((steps - 1) * largest / lengths),
        path_ratio=float(lengths / distances),
        steps=steps,
        pairs=pairs,
    )


# Completeness.


@dataclasses.dataclass(frozen=True)
class Completeness:
    """How many samples a judge accepts; shares are from 0 to 1.

    Attributes:
        share: of samples that are both confident and near (see `AcceptedBy`).
        ceiling: the same share of the real test images, which set the thresholds; samples that
            are all typical can exceed it, since of real images the odd ones are refused.
        floor: the same share of images of uniform noise.
        confident: share of samples that are confident.
        near: share of samples that are near.
        n: number of samples; the standard error of `share` is `sqrt(share (1 - share) / n)`.
    """

    share: float
    ceiling: float
    floor: float
    confident: float
    near: float
    n: int


class AcceptedBy:
    """A judge with thresholds: accepts images that look like something and like the data.

    An image is confident if its largest class probability is at least `confidence`, and near if its
    L2 distance in feature space to the nearest reference image is at most `distance`, the
    `quantile` of the same distance for real test images. It is accepted if it is both. So
    `completeness` is the share of a prior that decodes to meaningful images; nothing is said of
    their variety, and copies of reference images are accepted. (The precision of Kynkaanniemi et
    al., 2019, equation 1, has a radius for each reference image in place of one for all.)

    The thresholds are computed once and serve any number of sets of samples.

    Args:
        judge: anything with `features(images)`, `(N, F)`, and `probabilities(images)`,
            `(N, classes)`, or a dictionary of these by factor: confident is what is confident in
            each. `kgen.metrics.judge` loads one.
        reference: real images that the judge takes, such as the training images.
        test: other real images, at least `1 / (1 - quantile)`.
        confidence: from 0 to 1; by default the `1 - quantile` quantile of the test images' own.
        quantile: share of the test images that are near, and confident by default.
        seed: of the noise for the floor, as many images as `test` but at most 1,000, of its shape
            and dtype: uniform in [-1, 1], or in 0 to 255 if uint8.

    Attributes:
        confidence, distance: the thresholds.
        ceiling, floor: shares of test images and of noise that are accepted.

    Raises:
        TypeError, ValueError: for images or answers of the judge that are not as above, or if the
            test images are among the reference.

    Example:

    ```python
    accepted_by = AcceptedBy(kgen.metrics.judge("digits"), x_train, x_test)
    for prior in (kgen.distributions.StandardNormal(32), kgen.distributions.Gaussian.fit(z)):
        print(prior, accepted_by(autoencoder.decode(prior.sample(1000, seed=0))))
    ```
    """

    def __init__(self, judge, reference, test, confidence=None, quantile=0.95, seed=0):
        quantile = _fraction(quantile, "quantile")
        if quantile == 1:
            raise ValueError("quantile must be less than 1: one odd test image would decide.")
        least = math.ceil(round(1 / (1 - quantile), 6))
        reference, test = _images(reference, "reference"), _images(test, "test", least)
        self.judge = judge
        self._reference = _features(judge, reference)
        if isinstance(judge, Judge):
            share = judge.strangeness(self._reference)
            features(judge).warn_if_strange(share, len(reference), "reference")
        confidences, distances = self._measure(test)
        self.confidence = (
            float(np.quantile(confidences, 1 - quantile))
            if confidence is None
            else _fraction(confidence, "confidence")
        )
        self.distance = float(np.quantile(distances, quantile))
        if self.distance == 0:
            raise ValueError(
                f"{(distances == 0).sum()} of {len(test)} test images have exactly the features of "
                "a reference image. Pass other images as test than as reference."
            )
        self.ceiling = float(self._accepts(confidences, distances).mean())
        shape, random = (min(len(test), 1000), *test.shape[1:]), host_generator(seed)
        if test.dtype == np.uint8:
            noise = random.integers(256, size=shape, dtype="uint8")
        else:
            noise = 2 * random.random(shape, dtype="float32") - 1
        self.floor = float(self.accepts(noise).mean())

    def __call__(self, samples):
        """The `Completeness` of samples, images `(N, ...)` that the judge takes."""
        confidences, distances = self._measure(_images(samples, "samples"))
        return Completeness(
            share=float(self._accepts(confidences, distances).mean()),
            ceiling=self.ceiling,
            floor=self.floor,
            confident=float((confidences >= self.confidence).mean()),
            near=float((distances <= self.distance).mean()),
            n=len(confidences),
        )

    def accepts(self, images):
        """Which images are accepted: bool `(N,)`."""
        return self._accepts(*self._measure(_images(images, "images")))

    def coverage(self, samples, real):
        """Share of real images that an accepted sample comes near to.

        The other side of completeness: copies of one good image have a coverage of about 0.

        Args:
            samples, real: images `(N, ...)` that the judge takes.

        Returns:
            The share whose distance in feature space to the nearest accepted sample is at most
            `distance`; 0 if none is accepted.
        """
        samples, real = _images(samples, "samples"), _images(real, "real")
        samples = samples[self.accepts(samples)]
        if not len(samples):
            return 0.0
        samples, real = (_features(self.judge, x) for x in (samples, real))
        return float((nearest(real, samples)[1] <= self.distance).mean())

    def __repr__(self):
        return (
            f"<AcceptedBy {self.judge!r}: confidence >= {self.confidence:.4g}, "
            f"distance <= {self.distance:.4g}>"
        )

    def _accepts(self, confidences, distances):
        return (confidences >= self.confidence) & (distances <= self.distance)

    def _measure(self, images):
        """Largest class probabilities and distances to the nearest reference: float64 `(N,)`."""
        features = _features(self.judge, images, self._reference.shape[1])
        return _confidences(self.judge, images), nearest(features, self._reference)[1][:, 0]


def completeness(samples, judge, reference, test, confidence=None, quantile=0.95, seed=0):
    """Measure how many samples are accepted by a judge: `AcceptedBy` for one set of samples.

    Args:
        samples: images `(N, ...)`, such as decoded draws from a prior.
        judge, reference, test, confidence, quantile, seed: as `AcceptedBy` takes them.

    Returns:
        A `Completeness`.
    """
    samples = _images(samples, "samples")
    return AcceptedBy(judge, reference, test, confidence, quantile, seed)(samples)


def _features(judge, images, width=None):
    return points(judge.features(images), "what the judge's features returns", width, len(images))


def _confidences(judge, images):
    answers = judge.probabilities(images)
    answers = list(answers.values()) if isinstance(answers, dict) else [answers]
    name = "what the judge's probabilities returns"
    answers = [points(p, name, count=len(images)) for p in answers]
    for p in answers:
        if p.min() < -1e-3 or p.max() > 1 + 1e-3:
            raise ValueError(
                f"{name} must lie in [0, 1]; got [{p.min():.4g}, {p.max():.4g}]. Logits become "
                "probabilities by a softmax."
            )
    return np.min([p.max(axis=1) for p in answers], axis=0)


# What comes in.


def _images(x, name, least=1, count=None):
    x = finite(x, name)
    if x.ndim < 2 or 0 in x.shape[1:] or count not in (None, len(x)):
        raise ValueError(
            f"{name} must be images of shape ({count or 'N'}, *image_shape); got {x.shape}."
        )
    if len(x) < least:
        raise ValueError(f"{name} must be at least {least} images; got {len(x)}.")
    return x


def _ends(a, b):
    a, b = points(a, "a"), points(b, "b")
    if a.shape != b.shape:
        raise ValueError(
            f"a and b must pair up, both of shape (N, D); got {a.shape} and {b.shape}. A single "
            "latent is repeated by numpy.broadcast_to(a, b.shape)."
        )
    return a, b


def _alike(**terms):
    """Terms as float64 that broadcast, N latents with single ones, and nothing else."""
    terms = {name: finite(z, name).astype("float64") for name, z in terms.items()}
    shapes = [z.shape for z in terms.values()]
    ranks, widths = {len(shape) for shape in shapes}, {shape[-1:] for shape in shapes}
    counts = {shape[0] for shape in shapes if len(shape) == 2} - {1}
    if ranks - {1, 2} or len(widths) > 1 or len(counts) > 1 or any(0 in shape for shape in shapes):
        raise ValueError(
            f"{', '.join(terms)} must have shape (N, D), or (D,) for a single latent, with the "
            f"same N and D; got {', '.join(map(str, shapes))}."
        )
    return terms.values()


def _steps(steps, least=2):
    if positive(steps, "steps") < least:
        raise ValueError(f"steps counts both ends, so at least {least}; got {steps!r}.")
    return int(steps)


def _fraction(x, name):
    if not isinstance(x, numbers.Real) or isinstance(x, bool) or not 0 < x <= 1:
        raise ValueError(f"{name} must be a number from 0 to 1, not 0; got {x!r}.")
    return float(x)


def _over(x, norm):
    """`x / norm`, 0 where the norm is."""
    return np.divide(x, norm, out=np.zeros_like(x), where=norm > 0)


def _between(a, path, b):
    path[:, 0], path[:, -1] = a, b
    return path.astype("float32")
