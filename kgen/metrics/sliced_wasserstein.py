"""Sliced Wasserstein distance between patches of Laplacian pyramids (Karras et al., 2018)."""

import collections
import concurrent.futures
import dataclasses
import os

import numpy as np

from kgen.arguments import positive
from kgen.files import digest
from kgen.metrics.inputs import alike, watched_chunks
from kgen.progress import progress

SIDE = 7  # of a patch
PATCHES = 128  # of each image and level
DIRECTIONS = 512
CHUNK_IMAGES, CHUNK_NUMBERS = 256, 2**24  # images at once, and numbers
PROJECTIONS = 2**25  # of each side at once


@dataclasses.dataclass(frozen=True)
class SlicedWasserstein:
    """Sliced Wasserstein distances, times 1,000; printed in one line.

    Attributes:
        levels: the distance on each level of the pyramid, the finest first.
        sizes: `(height, width)` of the levels.
        mean: of the levels.
        n: number of images of each side.
    """

    levels: tuple
    sizes: tuple
    mean: float
    n: int

    def __str__(self):
        levels = ", ".join(
            f"{height}x{width} {value:.2f}"
            for (height, width), value in zip(self.sizes, self.levels, strict=True)
        )
        return f"SWD x1000 {self.mean:.2f} ({levels}; {self.n:,} images of each side)"

    def __float__(self):
        return self.mean


def sliced_wasserstein(real, fake, most=16_384, seed=0):
    """Sliced Wasserstein distance between real and generated images, scale by scale.

    As in Karras et al. (2018, section 5) and the authors' code: each image becomes a Laplacian
    pyramid, from each level of which 128 patches of 7x7 pixels are drawn. The patches of each side
    are normalised to mean 0 and standard deviation 1 in each channel (where all are constant, they
    stay 0). They are projected on 512 random directions, and the distance is the mean over
    directions of the Wasserstein distance between projections, times 1,000. A large distance on the
    finest level says that details differ, on the coarsest that large shapes do. Levels halve the
    size, odd ones rounded up, while the smaller side is at least 16 pixels, at 28 at least 14.

    The places of an image's patches depend on the image and the seed alone, so identical sets have
    distance 0, and order and batches do not matter (but for the last digits of float32). The
    distance of finite samples is never 0: compare with that between two sets of real images, and
    equal numbers only.

    Args:
        real, fake: whatever metrics take: images as an array (uint8, or floats in [-1, 1]), a
            dataset, or batches; all of one size, 7x7 pixels or more.
        most: images of each side, at most. Both sides need equal numbers: of what is more than
            this, or than the other side has, a random choice is taken, by the seed and the position
            alone. The authors have 16,384. The patches take 25 kB for each image and channel.
        seed: of the choice, places and directions: a fixed one, so that distances compare.

    Returns:
        `SlicedWasserstein`.

    Raises:
        TypeError, ValueError: if the images are not as above.
    """
    most = positive(most, "most")
    sides = [_drawn(images, name, most, seed) for images, name in ((real, "real"), (fake, "fake"))]
    alike(*(images for images, _ in sides))
    n = min(len(images) for images, _ in sides)
    images = [_first(n, *side)[0] for side in sides]
    sizes = _sizes(*images[0].shape[1:3])
    places = [_places(side, len(sizes), seed) for side in images]
    width = SIDE * SIDE * images[0].shape[-1]
    levels = []
    for level, _ in enumerate(sizes):
        coarsest, patches = level == len(sizes) - 1, []
        for i in range(2):
            found, images[i] = _level(images[i], places[i][:, level], coarsest)
            patches.append(_normalized(found))
        random = np.random.default_rng([seed, level])
        directions = random.standard_normal((DIRECTIONS, width))
        directions /= np.linalg.norm(directions, axis=1, keepdims=True)
        levels.append(1000 * _sliced(*patches, directions.astype("float32")))
    return SlicedWasserstein(tuple(levels), sizes, float(np.mean(levels)), n)


def _drawn(images, name, most, seed):
    """At most so many images, uint8, chosen at random as they stream past, and their keys.

    Each image's key is drawn by its position; those with the least keys are chosen.
    """
    random, kept, keys = np.random.default_rng(seed), [], []
    for chunk in watched_chunks(images, name, CHUNK_IMAGES):
        kept.append(chunk)
        keys.append(random.random(len(chunk)))
        if sum(map(len, keys)) >= 2 * most + CHUNK_IMAGES:
            some, those = _first(most, np.concatenate(kept), np.concatenate(keys))
            kept, keys = [some], [those]
    return _first(most, np.concatenate(kept), np.concatenate(keys))


def _first(n, images, keys):
    """The n images with the least keys, in their order."""
    chosen = np.sort(np.argsort(keys)[:n])
    return images[chosen], keys[chosen]


def _sizes(height, width):
    if min(height, width) < SIDE:
        raise ValueError(
            f"Patches are {SIDE}x{SIDE} pixels; got images of {height}x{width}. Take larger ones."
        )
    least = 14 if min(height, width) == 28 else 16
    sizes = [(height, width)]
    while (min(sizes[-1]) + 1) // 2 >= least:
        sizes.append(tuple((n + 1) // 2 for n in sizes[-1]))
    return tuple(sizes)


def _places(images, levels, seed):
    """Where patches are taken, float64 `(N, levels, 2, PATCHES)` in [0, 1).

    A function of the image alone; copies of one image have places of their own.
    """
    copies, places = collections.Counter(), np.empty((len(images), levels, 2, PATCHES))
    for image, place in zip(images, places, strict=True):
        content = digest(np.ascontiguousarray(image))
        key = [seed, int(content, 16), copies[content]]
        place[...] = np.random.default_rng(key).random(place.shape)
        copies[content] += 1
    return places


# The pyramid, in float32; as cv2.pyrDown and cv2.pyrUp, borders mirrored.


def _level(images, places, coarsest):
    """Patches of one level, `(N * PATCHES, C, SIDE, SIDE)`, and the images of the next."""
    n, height, width, channels = images.shape
    patches = np.empty((n, PATCHES, channels, SIDE, SIDE), "float32")
    corners = places * [[height - SIDE + 1], [width - SIDE + 1]]
    y, x = corners.astype("int64").swapaxes(0, 1)
    coarser = []
    step = int(np.clip(CHUNK_NUMBERS // (height * width * channels), 1, CHUNK_IMAGES))
    starts = range(0, n, step)
    for start in progress(starts, len(starts), f"Patches of {height}x{width}"):
        some = slice(start, start + step)
        level = images[some].astype("float32")
        if not coarsest:
            coarser.append(_down(level))
            level -= _up(coarser[-1], height, width)
        windows = np.lib.stride_tricks.sliding_window_view(level, (SIDE, SIDE), axis=(1, 2))
        patches[some] = windows[np.arange(len(level))[:, None], y[some], x[some]]
    return patches.reshape(-1, *patches.shape[2:]), np.concatenate(coarser) if coarser else None


def _down(images):
    return _smooth(_smooth(images, 1)[:, ::2], 2)[:, :, ::2]


def _up(images, height, width):
    spread = np.zeros((len(images), height, width, images.shape[-1]), "float32")
    spread[:, ::2, ::2] = images
    return 4 * _smooth(_smooth(spread, 1), 2)


def _smooth(images, axis):
    """Filter with the binomials 1, 4, 6, 4, 1 over 16."""
    length = images.shape[axis]
    padded = np.pad(images, [(2, 2) if i == axis else (0, 0) for i in range(4)], "reflect")
    a, b, c, d, e = (
        padded[:, i : i + length] if axis == 1 else padded[:, :, i : i + length] for i in range(5)
    )
    return (a + e) / 16 + (b + d) / 4 + c * 0.375


# The distance.


def _normalized(patches):
    """Patches as rows, of mean 0 and standard deviation 1 in each channel; in place."""
    for channel in patches.swapaxes(0, 1):
        channel -= channel.mean(dtype="float64")
        deviation = np.sqrt(np.mean(np.square(channel), dtype="float64"))
        channel /= deviation or 1.0
    return patches.reshape(len(patches), -1)


def _sliced(a, b, directions):
    """Mean over directions of the Wasserstein distances of as many rows, projected."""
    step = int(np.clip(PROJECTIONS // len(a), 1, DIRECTIONS))
    total = 0.0
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as threads:
        starts = range(0, DIRECTIONS, step)
        for start in progress(starts, len(starts), "Sliced Wasserstein distance"):
            some = directions[start : start + step]
            projections = [some @ x.T for x in (a, b)]
            list(threads.map(np.ndarray.sort, [line for side in projections for line in side]))
            gaps = np.abs(np.subtract(*projections, out=projections[0]), out=projections[0])
            total += gaps.mean(axis=1, dtype="float64").sum()
    return float(total / DIRECTIONS)
