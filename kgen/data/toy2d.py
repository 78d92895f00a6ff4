"""Point clouds whose truth is known: for figures of intuition, and to count modes."""

import numpy as np
from scipy import special

from kgen.arguments import positive

RING = 0.8 * np.stack([np.cos(np.pi / 4 * np.arange(8)), np.sin(np.pi / 4 * np.arange(8))], axis=1)
GRID = 0.4 * np.stack(np.meshgrid(np.arange(-2, 3), np.arange(-2, 3)), axis=-1).reshape(25, 2)
SIGMA = 0.02  # of each Gaussian of ring and grid
MOON_SIGMA, ROLL_SIGMA = 0.03, 0.015  # of the noise of the curves


def ring(n, random):
    """Eight Gaussians of standard deviation 0.02 on a circle of radius 0.8, labels 0 to 7."""
    return _gaussians(RING, n, random)


def grid(n, random):
    """Twenty-five Gaussians of standard deviation 0.02, 0.4 apart, labels 0 to 24."""
    return _gaussians(GRID, n, random)


def moons(n, random):
    """Two interleaving half circles with noise, labels 0 and 1."""
    labels, along = random.integers(2, size=n), random.random(n)
    return _moon(labels, along) + MOON_SIGMA * random.standard_normal((n, 2)), labels


def _moon(labels, along):
    """Points of the half circles without noise, at shares of their lengths."""
    angle = np.pi * along
    upper = np.stack([np.cos(angle) - 0.5, np.sin(angle) - 0.25], axis=1)
    return 0.6 * np.where(labels[:, None] == 0, upper, -upper)


def swiss_roll(n, random):
    """A spiral with noise; labels are positions along it, 0 inside to 1 outside."""
    along = random.random(n)
    return _spiral(along) + ROLL_SIGMA * random.standard_normal((n, 2)), along


def _spiral(along):
    angle = 1.5 * np.pi * (1 + 2 * along)
    spiral = angle[:, None] / (4.5 * np.pi) * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return 0.9 * spiral


SHAPES = {"ring": ring, "grid": grid, "moons": moons, "swiss_roll": swiss_roll}


def draw(shape, n, seed=0):
    """Draw `n` points of a shape.

    Args:
        shape: `"ring"`, `"grid"`, `"moons"` or `"swiss_roll"`.
        n: positive integer.
        seed: integer, or a sequence of integers.

    Returns:
        Points, float32 `(n, 2)` within about [-1, 1], and labels, `(n,)`.

    Raises:
        ValueError: for an unknown shape; the message lists the known ones.
    """
    if shape not in SHAPES:
        raise ValueError(f"Unknown shape {shape!r} of toy2d; known are {list(SHAPES)}.")
    points, labels = SHAPES[shape](positive(n, "n"), np.random.default_rng(seed))
    return points.astype("float32"), labels


def log_density(shape, points):
    """True log-density of points of a shape, in nats.

    That of Gaussians; of curves with noise, a mean over 1,000 places along them.

    Args:
        shape: as in `draw`.
        points: `(N, 2)`.

    Returns:
        float64 `(N,)`.

    Raises:
        ValueError: for an unknown shape.
    """
    along = (np.arange(1_000) + 0.5) / 1_000
    known = {
        "ring": (RING, SIGMA),
        "grid": (GRID, SIGMA),
        "moons": (_moon(np.arange(1_000) % 2, along), MOON_SIGMA),
        "swiss_roll": (_spiral(along), ROLL_SIGMA),
    }
    if shape not in known:
        raise ValueError(f"Unknown shape {shape!r} of toy2d; known are {list(known)}.")
    centers, sigma = known[shape]
    rows = []
    for some in np.array_split(np.asarray(points, "float64"), max(1, len(points) // 1_000)):
        lengths = [np.square(x).sum(1) for x in (some, centers)]
        squares = np.add.outer(*lengths) - 2 * some @ centers.T
        rows.append(special.logsumexp(-squares / (2 * sigma**2), axis=1))
    return np.concatenate(rows) - np.log(len(centers) * 2 * np.pi * sigma**2)


def two_hills(n, seed=0):
    """Points on a line, float32 `(n, 1)`: Gaussians at -1.7 and at 1.5, the left one with 40 %."""
    random = np.random.default_rng(seed)
    left = random.random(n) < 0.4
    center, sigma = np.where(left, -1.7, 1.5), np.where(left, 0.35, 0.55)
    return (center + sigma * random.standard_normal(n)).astype("float32")[:, None]


def two_clouds(n, seed=0):
    """Points of two classes, `n` of each: Gaussians side by side, one rising and one falling.

    Their means are (-0.8, -0.4) and (0.8, 0.4), their variances 0.2, their covariances 0.08 and
    -0.08.

    Returns:
        Points, float32 `(2 * n, 2)`, and labels, `(2 * n,)`: first all 0, then all 1.
    """
    random = np.random.default_rng(seed)
    clouds = []
    for side in (-1, 1):
        covariance = [[0.2, -0.08 * side], [-0.08 * side, 0.2]]
        mean = (0.8 * side, 0.4 * side)
        clouds.append(random.multivariate_normal(mean, covariance, positive(n, "n")))
    return np.concatenate(clouds).astype("float32"), np.repeat([0, 1], n)


def _gaussians(centers, n, random):
    labels = random.integers(len(centers), size=n)
    return centers[labels] + SIGMA * random.standard_normal((n, 2)), labels
