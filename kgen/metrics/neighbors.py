"""Nearest neighbours in feature space: precision and recall, density and coverage, memorization."""

import dataclasses

import numpy as np

from kgen.arguments import positive
from kgen.metrics.features import features as named
from kgen.metrics.inputs import alike, rows, watched_chunks, whole
from kgen.progress import progress

BLOCK_ROWS = 8192  # rows of the reference at once
NUMBERS = 2**22  # at once, of other rows and of differences


def nearest(features, reference, k=1):
    """Find the k nearest rows of a reference, by the L2 distance, exactly.

    float32 products around the mean find the candidates: all rows that could be among the k
    nearest, given how wrong such products can be. The distances are those of float64 differences,
    0 for equal rows.

    Args:
        features: `(N, F)`.
        reference: `(M, F)`, M at least `k`.
        k: how many neighbours.

    Returns:
        Row numbers in the reference, int64 `(N, k)`, and distances, float64 `(N, k)`, the nearest
        first. Of rows at the same distance, any may come.

    Raises:
        TypeError, ValueError: if these are not as above, or not finite.
    """
    k = positive(k, "k")
    features = rows(features, "features")
    reference = rows(reference, "reference", least=k, width=features.shape[1])
    indices, squares = _none_yet(len(features), k)
    for start in range(0, len(reference), BLOCK_ROWS):
        _update(indices, squares, features, reference[start : start + BLOCK_ROWS], start)
    return indices, np.sqrt(squares)


@dataclasses.dataclass(frozen=True)
class PRDC:
    """How good and how varied generated images are; printed in one line.

    Attributes:
        precision: share of the generated rows within the real ones' neighbourhoods.
        recall: share of the real rows within the generated ones' neighbourhoods.
        density: mean number of real neighbourhoods around a generated row, over k; about 1 where
            the distributions are equal, and it can be more.
        coverage: share of the real rows whose neighbourhood holds a generated one.
        precision_k: which neighbour the radii of precision and recall reach to.
        density_k: which neighbour those of density and coverage do.
        n_real, n_fake: number of rows.
    """

    precision: float
    recall: float
    density: float
    coverage: float
    precision_k: int
    density_k: int
    n_real: int
    n_fake: int

    def __str__(self):
        return (
            f"precision {self.precision:.3f}, recall {self.recall:.3f} (k = {self.precision_k}), "
            f"density {self.density:.3f}, coverage {self.coverage:.3f} (k = {self.density_k}; "
            f"{self.n_fake:,} generated against {self.n_real:,} real)"
        )


def prdc(real, fake, precision_k=3, density_k=5):
    """Precision, recall, density and coverage of generated features.

    The neighbourhood of a row is the ball that reaches to its k-th nearest other row of its own
    set. Precision and recall are those of Kynkaanniemi et al. (2019, equations 1 and 2; their k is
    3), with `<=`: a row on the sphere is inside. Density and coverage are those of Naeem et al.
    (2020, section 3; their k is 5), with `<` as in the authors' code: so identical sets have
    density 1, and a real row with k copies of itself has an empty neighbourhood. All are exact,
    ties and duplicates included. They depend on k and on the number of rows: compare equal numbers
    only.

    Args:
        real, fake: features `(N, F)` and `(M, F)`; N more than either k, M more than `precision_k`.
        precision_k: which neighbour, for precision and recall.
        density_k: which neighbour, for density and coverage.

    Returns:
        `PRDC`.

    Raises:
        TypeError, ValueError: if these are not as above, or not finite.
    """
    k, density_k = positive(precision_k, "precision_k"), positive(density_k, "density_k")
    real = rows(real, "real", least=max(k, density_k) + 1)
    fake = rows(fake, "fake", least=k + 1, width=real.shape[1])
    # Each row is its own nearest, at distance 0: the k-th other one is number k + 1.
    reach = nearest(real, real, max(k, density_k) + 1)[1]
    real_radii, density_radii = reach[:, k], reach[:, density_k]
    fake_radii = nearest(fake, fake, k + 1)[1][:, k]
    around_fake = np.zeros(len(fake), "int64")  # real neighbourhoods
    precise = np.zeros(len(fake), bool)
    recalled, covered = np.zeros((2, len(real)), bool)
    for start in range(0, len(fake), BLOCK_ROWS):
        own = slice(start, start + BLOCK_ROWS)
        for some, block in _products(real, fake[own]):
            within, on = _inside(block, real_radii[some, None])
            precise[own] |= within.any(axis=0) | on.any(axis=0)
            within, on = _inside(block, fake_radii[None, own])
            recalled[some] |= within.any(axis=1) | on.any(axis=1)
            within, _ = _inside(block, density_radii[some, None])
            around_fake[own] += within.sum(axis=0)
            covered[some] |= within.any(axis=1)
    precision, recall, around, coverage = (
        float(x.mean()) for x in (precise, recalled, around_fake, covered)
    )
    ks = k, density_k
    return PRDC(precision, recall, around / density_k, coverage, *ks, len(real), len(fake))


@dataclasses.dataclass(frozen=True)
class Memorization:
    """Generated images and their nearest training images; printed in one line.

    Attributes:
        indices: of the nearest training image, int64 `(N,)`.
        distances: to it, float64 `(N,)`.
        test_distances: of test images to theirs, float64 `(M,)`.
        ratio: median of `distances` over median of `test_distances`. Below 1, generated images are
            nearer to the training images than real ones are: suspicious.
        nearer: probability that a generated image is nearer to its training image than a test image
            to its own, ties counted half: 0.5 where nothing is copied.
        copies: share of generated images that equal their nearest training image in every pixel.
        generated, neighbors: uint8 `(N, H, W, C)`.
        n_train: number of training images.
        features: name of the features.
    """

    indices: np.ndarray = dataclasses.field(repr=False)
    distances: np.ndarray = dataclasses.field(repr=False)
    test_distances: np.ndarray = dataclasses.field(repr=False)
    ratio: float
    nearer: float
    copies: float
    generated: np.ndarray = dataclasses.field(repr=False)
    neighbors: np.ndarray = dataclasses.field(repr=False)
    n_train: int
    features: str

    def closest(self, n=8):
        """The n generated images nearest to training images, and these: uint8 `(2, n, H, W, C)`."""
        n = min(positive(n, "n"), len(self.distances))
        order = np.argsort(self.distances, kind="stable")[:n]
        return np.stack([self.generated[order], self.neighbors[order]])

    def __str__(self):
        return (
            f"distance ratio {self.ratio:.3f}, {self.nearer:.1%} nearer than test images, "
            f"{self.copies:.1%} copies ({self.features} features, {len(self.distances):,} generated"
            f" and {len(self.test_distances):,} test images against {self.n_train:,} of training)"
        )


def memorization(generated, train, test, features="pixels"):
    """Find each generated image's nearest training image, and compare with test images.

    A model that copies is nearer to its training images than other real images are. `ratio`
    compares the medians of both distances; `nearer` is the probability on which the test of Meehan
    et al. (2020) rests, with all of the space as one cell.

    Args:
        generated, train, test: whatever metrics take: images as an array (uint8, or floats in
            [-1, 1]), a dataset, or batches; all of one size. `train` is what the model was trained
            on, read once in chunks; `test` are other real images.
        features: name, `keras.Model` or other that `kgen.metrics.features` takes: in which space
            distances are L2.

    Returns:
        `Memorization`.

    Raises:
        TypeError, ValueError: if the images are not as above, or half of the test images are among
            the training images.

    Example:

    ```python
    found = kgen.metrics.memorization(vae.generate(1000, seed=0), x_train, x_test)
    kgen.plots.strips(found.closest(), labels=["generated", "training"], title=str(found))
    ```
    """
    extractor = named(features)
    generated, test = whole(generated, "generated"), whole(test, "test")
    alike(test, generated)
    others = extractor(test, "test")
    extractor.warn_if_strange(extractor.strangeness(others), len(others), "test")
    queries = np.concatenate([extractor(generated, "generated"), others])
    indices, squares = _none_yet(len(queries), 1)
    neighbors, n, start = np.empty_like(generated), len(generated), 0
    size = int(np.clip(NUMBERS // generated[0].size, 64, BLOCK_ROWS))
    for chunk in watched_chunks(train, "train", size):
        alike(chunk, generated)
        _update(indices, squares, queries, extractor(chunk, "train"), start)
        new = indices[:n, 0] >= start
        neighbors[new] = chunk[indices[:n, 0][new] - start]
        start += len(chunk)
    distances, test_distances = np.split(np.sqrt(squares[:, 0]), [n])
    usual = np.median(test_distances)
    if usual == 0:
        raise ValueError(
            f"{(test_distances == 0).sum()} of {len(test)} test images equal a training image, so "
            "their distance is no measure. Pass images as test that the model was not trained on."
        )
    below, up_to = (
        np.searchsorted(np.sort(test_distances), distances, side) for side in ("left", "right")
    )
    return Memorization(
        indices=indices[:n, 0],
        distances=distances,
        test_distances=test_distances,
        ratio=float(np.median(distances) / usual),
        nearer=float(1 - (below + up_to).mean() / (2 * len(test))),
        copies=float((generated == neighbors).all(axis=(1, 2, 3)).mean()),
        generated=generated,
        neighbors=neighbors,
        n_train=start,
        features=extractor.name_for(generated.shape[1:]),
    )


# Distances in blocks.


@dataclasses.dataclass
class _Block:
    """Squared distances of rows `x` to rows `y`, in units of `unit`, each within `slack`."""

    x: np.ndarray
    y: np.ndarray
    squares: np.ndarray
    slack: float
    unit: float

    def scaled(self, squares):
        """What `squares` can be compared with, for a true squared distance."""
        return (squares / self.unit).astype("float32")

    def exact(self, i, j):
        """True squared distances of the rows `i` to the rows `j`: float64, 0 for equal rows."""
        found = np.empty(len(i))
        for start in range(0, len(i), step := max(NUMBERS // self.x.shape[1], 1)):
            some = slice(start, start + step)
            difference = self.x[i[some]].astype("float64") - self.y[j[some]]
            found[some] = np.square(difference).sum(axis=1)
        return found


def _products(x, y):
    """Blocks of some rows of `x` by all of `y`, and which rows they are."""
    width = x.shape[1]
    center = y.mean(axis=0, dtype="float64")
    y_centered = y - center
    step = int(np.clip(NUMBERS // width, 32, 1024))
    largest = np.abs(y_centered).max()
    starts = range(0, len(x), step)
    for start in progress(starts, len(starts), "Comparing neighbours"):
        some = slice(start, start + step)
        x_centered = x[some] - center
        scale = max(np.abs(x_centered).max(), largest) or 1.0
        a, b = ((z / scale).astype("float32") for z in (x_centered, y_centered))
        norms = [np.square(z).sum(axis=1) for z in (a, b)]
        squares = a @ b.T
        squares *= -2
        squares += norms[0][:, None]
        squares += norms[1]
        # Casts are wrong by 4 u (|a|^2 + |b|^2), u = eps / 2, products and norms by F u each, sums
        # and what is compared by 6 u.
        slack = (width + 8) * np.finfo("float32").eps * (norms[0].max() + norms[1].max())
        yield some, _Block(x[some], y, squares, slack, scale**2)


def _none_yet(n, k):
    return np.full((n, k), -1, "int64"), np.full((n, k), np.inf)


def _update(indices, squares, x, y, start):
    """Let rows of `y`, numbered from `start`, take their places among the nearest found so far."""
    k = min(indices.shape[1], len(y))
    for some, block in _products(x, y):
        found, exact = _smallest(block, k)
        found = np.concatenate([indices[some], found + start], axis=1)
        exact = np.concatenate([squares[some], exact], axis=1)
        order = np.argsort(exact, axis=1, kind="stable")[:, : indices.shape[1]]
        indices[some] = np.take_along_axis(found, order, axis=1)
        squares[some] = np.take_along_axis(exact, order, axis=1)


def _smallest(block, k):
    """The k nearest of `block.y`: their numbers and true squared distances, `(n, k)`, unsorted."""
    squares = block.squares
    if k == 1:
        found = squares.argmin(axis=1)[:, None]
    else:
        found = np.argpartition(squares, k - 1, axis=1)[:, :k]
    own = np.arange(len(found)).repeat(k)
    exact = block.exact(own, found.ravel()).reshape(found.shape)
    # Others may be nearer if their products are within the slack of the farthest of these.
    farthest = exact.max(axis=1)
    limits = block.scaled(farthest) + np.float32(block.slack)
    doubtful = np.count_nonzero(squares <= limits[:, None], axis=1) > k
    for i in np.flatnonzero(doubtful & (farthest > 0)):
        others = np.flatnonzero(squares[i] <= limits[i])
        true = block.exact(np.full(len(others), i), others)
        order = np.argsort(true, kind="stable")[:k]
        found[i], exact[i] = others[order], true[order]
    return found, exact


def _inside(block, radii):
    """Which pairs are nearer than the radii, which broadcast, and which are at just that distance.

    Compared as the radii were made, by the square root of the true square.
    """
    difference = block.squares - block.scaled(np.square(radii))
    within, on = difference < 0, np.zeros(difference.shape, bool)
    i, j = np.nonzero(np.abs(difference, out=difference) <= block.slack)
    true = np.sqrt(block.exact(i, j))
    radii = np.broadcast_to(radii, within.shape)[i, j]
    within[i, j], on[i, j] = true < radii, true == radii
    return within, on
