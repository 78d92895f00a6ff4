"""`CollapseMonitor`: says in a sentence how adversarial training fails, while it can be stopped."""

import dataclasses
import inspect

import numpy as np

from kgen.arguments import positive
from kgen.arrays import is_array, to_numpy
from kgen.callbacks.measuring import Measuring
from kgen.data.dataset import ImageDataset, resized
from kgen.data.ranges import check_images, to_uint8
from kgen.metrics.features import features as named
from kgen.metrics.inputs import enough, whole
from kgen.metrics.ms_ssim import WINDOW, ms_ssim
from kgen.metrics.neighbors import prdc

LEAST_IMAGES = 50  # images: of fewer, shares say nothing
OF_POINTS, OF_IMAGES = 0.02, 0.1  # k as a share of the samples: a hole in a mode is no lost mode
LEAST_NEIGHBORS = 5
PAIRS = 100  # for the MS-SSIM
NUMBERS = 2**22  # at once
CONSTANT = 0.1  # variety, relative to the data's
LOOKS_REAL = 0.5  # precision
COVERS_LITTLE = 0.5  # coverage
FALLEN = 0.5  # coverage, relative to its best
SURE_REAL, SURE_FAKE = 0.99, 0.01  # probabilities
SATURATED = 0.95  # share of either side
SIMILAR = 2.5, 8.0  # contrast and roughness of images that show something, as a factor either way
LEFT = 1e-3  # share of the variance: less is rounding
GROWS = 1.5  # by more than this factor in a row of checks, what is low is on its way up

HELP = {
    "constant": (
        "What usually helps: a lower learning rate for the generator, the non-saturating loss "
        "(Goodfellow et al., 2014), or a Wasserstein loss with gradient penalty (Gulrajani et al., "
        "2017)."
    ),
    "dropped_modes": (
        "What usually helps: a Wasserstein loss (Arjovsky et al., 2017) with gradient penalty "
        "(Gulrajani et al., 2017), lower learning rates, larger minibatches, or, where there are "
        "few images, more data or augmentation."
    ),
    "saturated_discriminator": (
        "What usually helps: a lower learning rate for the discriminator, more data or "
        "augmentation, the non-saturating loss (Goodfellow et al., 2014) in the place of the "
        "minimax loss, whose gradient vanishes here, or a Wasserstein loss with gradient penalty "
        "(Arjovsky et al., 2017; Gulrajani et al., 2017)."
    ),
}
"""What usually helps, by the kind of finding."""


class CollapseMonitor(Measuring):
    """Watches for collapse: says what is happening and what usually helps, once for each kind.

    After the first epoch, every `every`-th and the last one it looks at generated samples beside
    real ones. What it finds has to last for `patience` checks in a row and not be on its way up,
    so a generator that has yet to learn is no alarm:

    - `"constant"`: samples are nearly the same. Their standard deviation (or, of images, one minus
      the MS-SSIM of pairs, Odena et al., 2017) is below a tenth of the data's. Faint noise, which
      a generator of images begins with, is not meant.
    - `"dropped_modes"`: samples look real, but cover little of the data: precision (Kynkaanniemi
      et al., 2019) of 0.5 or more, coverage (Naeem et al., 2020) below 0.5, with k, of points, 2 %
      of the samples, of images 10 %, 5 or more. Or coverage is below half of its best, which was
      0.5 or more. Constant samples are called that alone. In pixels, grey noise and blur are near
      to everything, so of images this counts only while their contrast (the standard deviation
      within an image) is that of the data but for a factor of 2.5, and so is their roughness (the
      variance between neighbouring pixels over the rest) but for a factor of 8. Features of a
      judge see more: of MNIST's digits one class alone covers 60 to 87 % in pixels, which is no
      finding, and less than half in the features `"digits"`.
    - `"saturated_discriminator"`, where the model has `discriminate(x)`, probabilities in [0, 1] of
      shape `(N,)` or `(N, 1)` that x is real (without labels; NotImplementedError says that there
      are none): 95 % of the real samples are above 0.99 and 95 % of
      the generated ones below 0.01, where the gradient of the minimax loss vanishes and that of
      the non-saturating one is unstable (Arjovsky and Bottou, 2017).

    Into the logs go `collapse_spread` (the standard deviation relative to the data's),
    `collapse_precision`, `collapse_coverage`, `collapse_contrast` and `collapse_roughness` (of
    images, the medians relative to the data's), `collapse_ms_ssim` (of images of 11x11 pixels or
    more) and `collapse_saturation` (the smaller of the two shares); NaN in epochs without a check.
    Training is left alone, bit for bit: samples come from a fixed seed.

    Args:
        real: real samples: images as an array (uint8, or floats in [-1, 1]), a dataset, or batches;
            or points, an array `(N, D)` or an `ImageDataset`. At least 50, of the model's shape.
            While a model grows they are resized to what it has reached, and it is watched anew.
        features: what precision and coverage compare: what `kgen.metrics.features` takes; None:
            pixels. Points are compared as they are.
        every: epochs between two checks.
        n: number of samples of each side; of fewer real ones, all.
        stop: whether a finding ends training.
        patience: checks in a row.
        seed: of the samples.
        batch_size: samples that are generated at once; None: as the model does.
        inputs: of a model that makes images of images: those that it makes them of, `n` of them.

    Attributes:
        findings: list of `(epoch, kind, sentences)`, epochs counted from 1.
        ended_run: whether a finding has ended training.

    Raises:
        TypeError, ValueError: if arguments are not as above; from `fit` before training, if the
            model has no `generate`, or real samples are of another shape, too few or all equal.

    Example:

    ```python
    monitor = kgen.callbacks.CollapseMonitor(images, "digits", stop=True)
    gan.fit(images, epochs=100, callbacks=[monitor])
    monitor.findings
    ```
    """

    def __init__(
        self,
        real,
        features=None,
        every=1,
        n=1000,
        stop=False,
        patience=3,
        seed=0,
        batch_size=None,
        inputs=None,
    ):
        super().__init__(n, every, seed, batch_size, inputs)
        self.patience, self.stop = positive(patience, "patience"), bool(stop)
        extractor = named("pixels" if features is None else features)
        self._whole = self._real = _known(_drawn(real, self.n, seed), seed, extractor)
        self.n = len(self._real.samples)
        self._begin()

    def _begin(self):
        self.findings, self.ended_run = [], False
        self._begin_at(None)

    def _begin_at(self, size):
        self._size, self._best = size, 0.0
        self._rows = {kind: [] for kind in HELP}  # of checks that show it, the latest last

    def on_train_begin(self, logs=None):
        """Check the samples' shapes, and forget former runs."""
        super().on_train_begin(logs)
        self._begin()

    def measure(self, images):
        """The numbers of one check, by their names in the logs."""
        real, samples = self._real_at(self.size_reached()), images
        if samples.shape[1:] != real.samples.shape[1:]:
            raise ValueError(
                f"Real samples must have the shape of generated ones; got "
                f"{real.samples.shape[1:]} and {samples.shape[1:]}."
            )
        if samples.ndim > 2:
            samples = to_uint8(samples)
        share = OF_IMAGES if samples.ndim > 2 else OF_POINTS
        k = max(LEAST_NEIGHBORS, round(share * self.n))
        found = prdc(real.rows, real.rows_of(samples), k, k)
        numbers = {
            "collapse_spread": _spread(samples) / real.spread,
            "collapse_precision": found.precision,
            "collapse_coverage": found.coverage,
        }
        if self._whole.texture is not None:
            there = real.texture is not None
            found = _texture(samples) / real.texture if there else np.full(2, np.nan)
            numbers["collapse_contrast"], numbers["collapse_roughness"] = found.tolist()
        if self._whole.ms_ssim is not None:
            there = real.ms_ssim is not None
            found = ms_ssim(samples, pairs=PAIRS, seed=self.seed).mean if there else np.nan
            numbers["collapse_ms_ssim"] = found
        if (saturation := self._saturation(samples)) is not None:
            numbers["collapse_saturation"] = saturation
        return numbers

    def _real_at(self, size):
        """What is known of the real samples at a size, `(height, width)`; None: as they came."""
        now = self._real.samples.shape[1:3]
        if (size or self._whole.samples.shape[1:3]) != now:
            self._real = self._whole
            if size is not None:
                small = resized(self._whole.samples, size)
                self._real = _known(small, self.seed, self._whole.extractor)
        return self._real

    def measured(self, epoch, values):
        """Say what is found for the first time; at each size that a model grows to, anew."""
        if (size := self.size_reached()) != self._size:
            self._begin_at(size)
        values = {name: value for name, value in values.items() if not np.isnan(value)}
        for kind, number, sentence in self._symptoms(values):
            row = self._rows[kind]
            if sentence is None:
                row.clear()
                continue
            row.append(number)
            del row[: -self.patience]
            lasts = len(row) == self.patience and row[-1] <= GROWS * row[0]
            if not lasts or any(kind == known for _, known, _ in self.findings):
                continue
            sentences = f"{sentence} {HELP[kind]}"
            self.findings.append((epoch + 1, kind, sentences))
            print(f"\nCollapseMonitor, epoch {epoch + 1}: {sentences}")
            if self.stop:
                self.ended_run = self.model.stop_training = True

    def _symptoms(self, values):
        """For each kind a number that is higher in health, and a sentence where it shows."""
        variety, constant = self._constant(**values)
        coverage, dropped = self._dropped_modes(**values)
        yield "constant", variety, constant
        yield "dropped_modes", coverage, None if constant else dropped
        yield "saturated_discriminator", 1.0, self._saturated(**values)

    def _constant(
        self,
        collapse_spread,
        collapse_ms_ssim=None,
        collapse_contrast=1.0,
        collapse_roughness=1.0,
        **others,
    ):
        if collapse_contrast < 1 / SIMILAR[0] and collapse_roughness > SIMILAR[1]:
            return collapse_spread, None  # faint noise: it has yet to learn
        start = f"All generated {self._real.things} are nearly the same:"
        if collapse_spread < CONSTANT:
            words = f"their standard deviation is {collapse_spread:.1%} of the data's."
            return collapse_spread, f"{start} {words}"
        if collapse_ms_ssim is None:
            return collapse_spread, None
        variety = (1 - collapse_ms_ssim) / (1 - self._real.ms_ssim)
        words = (
            f"pairs of them have an MS-SSIM of {collapse_ms_ssim:.3f}, real ones of "
            f"{self._real.ms_ssim:.3f}."
        )
        return variety, f"{start} {words}" if variety < CONSTANT else None

    def _dropped_modes(
        self,
        collapse_precision,
        collapse_coverage,
        collapse_contrast=1.0,
        collapse_roughness=1.0,
        **others,
    ):
        texture = collapse_contrast, collapse_roughness
        if any(not 1 / most <= x <= most for x, most in zip(texture, SIMILAR, strict=True)):
            return collapse_coverage, None
        start = f"The generated {self._real.things} cover {collapse_coverage:.0%} of the data,"
        best, self._best = self._best, max(self._best, collapse_coverage)
        if collapse_precision >= LOOKS_REAL and collapse_coverage < COVERS_LITTLE:
            words = f"though {collapse_precision:.0%} of them look real: modes are being dropped."
        elif best >= COVERS_LITTLE and collapse_coverage < FALLEN * best:
            words = f"after {best:.0%} at best: modes are being dropped."
        else:
            return collapse_coverage, None
        return collapse_coverage, f"{start} {words}"

    def _saturated(self, collapse_saturation=0.0, **others):
        if collapse_saturation < SATURATED:
            return None
        return (
            f"The discriminator is sure of at least {collapse_saturation:.0%} of the real and of "
            f"the generated {self._real.things}, so the generator hardly learns from it."
        )

    def _needs_labels(self, discriminate):
        """Whether the discriminator says nothing of images alone."""
        given = getattr(self.model, "given_to", None)
        if given is not None:
            return bool(given("discriminator").signatures())
        labels = inspect.signature(discriminate).parameters.get("labels")
        return labels is not None and labels.default is labels.empty

    def _saturation(self, samples):
        """Share of samples that the discriminator is sure of; None without probabilities."""
        discriminate = getattr(self.model, "discriminate", None)
        if not callable(discriminate) or self._needs_labels(discriminate):
            return None
        try:
            real, fake = (to_numpy(discriminate(x)) for x in (self._real.samples, samples))
        except NotImplementedError:  # scores that are no probabilities
            return None
        if not all(p.size == self.n and p.min() >= 0 and p.max() <= 1 for p in (real, fake)):
            return None
        return float(min((real > SURE_REAL).mean(), (fake < SURE_FAKE).mean()))


@dataclasses.dataclass(frozen=True)
class _Real:
    """Real samples, uint8 images or points, and what is found of them."""

    samples: np.ndarray
    extractor: object
    rows_of: object
    rows: np.ndarray
    spread: float
    ms_ssim: float | None
    texture: np.ndarray | None

    @property
    def things(self):
        return "images" if self.samples.ndim > 2 else "points"


def _drawn(real, n, seed):
    """Up to `n` real samples, drawn at random."""
    if isinstance(real, ImageDataset):
        samples = real.fetch(_chosen(real.num_examples, n, seed))
    else:
        points = is_array(real) and len(real.shape) == 2
        samples = to_numpy(real) if points else whole(real, "real")
        samples = samples[_chosen(len(samples), n, seed)]
    enough(len(samples), LEAST_IMAGES, "real", "samples")
    check_images(samples, what="real")
    return to_uint8(samples) if samples.ndim > 2 else samples


def _known(samples, seed, extractor):
    """Real samples with what is found of them."""
    images, similar = samples.ndim > 2, None
    spread = _spread(samples)
    if spread == 0:
        raise ValueError("real must be different samples; got equal ones.")
    rows_of = extractor if images else _as_they_are
    if images and min(samples.shape[1:3]) >= WINDOW:
        similar = ms_ssim(samples, pairs=PAIRS, seed=seed).mean
        similar = None if similar == 1 else similar  # then it cannot be compared with
    rows = rows_of(samples)
    if images:
        extractor.warn_if_strange(extractor.strangeness(rows), len(rows))
    texture = _texture(samples) if images and min(samples.shape[1:3]) > 1 else None
    if texture is not None and not texture.all():  # it cannot be compared with
        texture = None
    return _Real(samples, extractor, rows_of, rows, spread, similar, texture)


def _chosen(count, n, seed):
    return np.sort(np.random.default_rng(seed).permutation(count)[:n])


def _as_they_are(points):
    return points


def _spread(samples):
    """Total standard deviation: the root of the sum of all variances."""
    flat, step = samples.reshape(len(samples), -1), max(NUMBERS // len(samples), 1)
    parts = (flat[:, start : start + step] for start in range(0, flat.shape[1], step))
    return float(np.sqrt(sum(part.var(axis=0, dtype="float64").sum() for part in parts)))


def _texture(images):
    """Medians of images' contrast and roughness, uint8 `(N, H, W, C)`: `(2,)`."""
    found, step = [], max(NUMBERS // images[0].size, 1)
    for start in range(0, len(images), step):
        some = images[start : start + step].astype("float32")
        variance = some.var(axis=(1, 2)).mean(axis=1)
        across = [np.square(np.diff(some, axis=axis)).mean(axis=(1, 2, 3)) for axis in (1, 2)]
        fine = sum(across) / 4  # all of the variance in noise, where nothing is left
        roughness = fine / np.maximum(variance - fine, LEFT * variance + np.finfo("float32").tiny)
        found.append(np.stack([np.sqrt(variance), roughness], axis=1))
    return np.median(np.concatenate(found), axis=0).astype("float64")
