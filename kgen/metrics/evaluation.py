"""All metrics of generated images at once: features are computed once for all that want them."""

import dataclasses
import functools
import math
import operator

import numpy as np

from kgen.arguments import positive
from kgen.arrays import is_array
from kgen.metrics.cache import chunks_like, folder_of, found_of
from kgen.metrics.features import NAMES, Features
from kgen.metrics.features import features as named
from kgen.metrics.frechet import FID, GaussianStatistics, frechet_distance
from kgen.metrics.inception_score import inception_score
from kgen.metrics.inputs import enough, whole
from kgen.metrics.kid import kernel_distance
from kgen.metrics.ms_ssim import ms_ssim
from kgen.metrics.neighbors import memorization, prdc
from kgen.metrics.sliced_wasserstein import sliced_wasserstein

ROWS = 4096  # of features, added to statistics at once
SUBSET = 1000  # images in each subset of the KID, where there are so many


def evaluate(
    real,
    fake,
    features,
    metrics=None,
    test=None,
    seed=0,
    cache=None,
    precision_k=3,
    density_k=5,
):
    """Measure generated images beside real ones by several metrics at once.

    Features of both sides are computed once for all metrics. Those of the real images are kept, so
    the same ones are seen once. Arrays, `ImageDataset`s, `PyDataset`s and lists are read in chunks;
    generators and `tf.data` are read into memory, since they cannot be read twice in one order.

    Args:
        real, fake: whatever metrics take: images as an array (uint8, or floats in [-1, 1]), a
            dataset, or batches; of one size. `real` are those trained on.
        features: name, `keras.Model` or other that `kgen.metrics.features` takes: what `"fid"`,
            `"kid"`, `"precision"`, `"recall"`, `"density"`, `"coverage"` and `"memorization"`
            compare, and whose classes `"inception_score"` counts. None: without these.
        metrics: what to measure: a name of `METRICS`, a list of names, a dictionary from names of
            your own to functions of `(real, fake)` that return a number, or a list of names and
            dictionaries. None: all of `METRICS` that can be measured; the others are named in the
            result, with the reason.
        test: real images that were not trained on: for the floor of `"fid"`, and for
            `"memorization"`.
        seed: of whatever is drawn.
        cache: where features of real images are kept beside memory: True for `$KGEN_CACHE` or
            `~/.cache/kgen`, or a folder.
        precision_k, density_k: which neighbour `"precision"` and `"recall"`, and `"density"` and
            `"coverage"` reach to, as in `kgen.metrics.prdc`.

    Returns:
        `Evaluation`.

    Raises:
        ValueError: for an unknown metric, or one asked for by name that cannot be measured: too
            few images, images that are too small, no classes, no `test`.
        TypeError, ValueError: if images or features are not as above.

    Example:

    ```python
    found = kgen.metrics.evaluate(x_train, vae.generate(10_000), "digits", test=x_test)
    print(found)
    found.values["fid"]
    ```
    """
    ks = precision_k, density_k
    return Reference(real, features, metrics, test, seed, cache, *ks).measure(fake)


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """What several metrics found; printed as a table.

    Attributes:
        values: dictionary from metric to number, in the order of `METRICS`, then your own.
        results: dictionary from metric to what its function returned, such as `FID`; precision,
            recall, density and coverage share one `PRDC`.
        left_out: dictionary from each metric that could not be measured to the reason.
        n_real, n_fake, n_test: numbers of images; None where they were not counted, or there were
            none.
        features: name of the features, or None.
    """

    values: dict
    results: dict = dataclasses.field(repr=False)
    left_out: dict
    n_real: int | None
    n_fake: int | None
    n_test: int | None
    features: str | None

    def as_dict(self):
        """What a JSON file can hold: counts, values, and the numbers beside them by metric.

        Numbers that are not finite become None.
        """
        details = {
            name: {
                field.name: _plain(value)
                for field in dataclasses.fields(result)
                if isinstance(value := getattr(result, field.name), int | float | str | tuple)
            }
            for name, result in self.results.items()
            if dataclasses.is_dataclass(result)
        }
        counts = {name: getattr(self, name) for name in ("n_real", "n_fake", "n_test")}
        values = {name: _plain(value) for name, value in self.values.items()}
        return {
            "features": self.features,
            **counts,
            "values": values,
            "details": details,
            "left_out": dict(self.left_out),
        }

    def label(self, name):
        """A metric's name with what its number hangs on, such as `"recall (k = 3)"`."""
        k = METRICS[name].k if name in METRICS else None
        return f"{name} (k = {getattr(self.results[name], k)})" if k else name

    def __str__(self):
        said, lines = set(), []
        for name, value in self.values.items():
            result = self.results[name]
            new = dataclasses.is_dataclass(result) and id(result) not in said
            said.add(id(result))
            lines.append((self.label(name), f"{value:.4g}", str(result) if new else ""))
        lines += [(name, "-", f"left out: {why}") for name, why in self.left_out.items()]
        widths = [max(len(line[i]) for line in lines) for i in range(2)]
        return "\n".join(
            f"{name:<{widths[0]}}  {value:>{widths[1]}}  {line}".rstrip()
            for name, value, line in lines
        )


class Reference:
    """Real images that generated ones are measured against; found out about once.

    Args:
        real, features, metrics, test, seed, cache, precision_k, density_k: as in `evaluate`.
        lenient: whether also metrics that were asked for are left out where they cannot be
            measured.

    Raises:
        TypeError, ValueError: for unknown metrics or features.
    """

    def __init__(
        self,
        real,
        features=None,
        metrics=None,
        test=None,
        seed=0,
        cache=None,
        precision_k=3,
        density_k=5,
        lenient=False,
    ):
        self.precision_k = positive(precision_k, "precision_k")
        self.density_k = positive(density_k, "density_k")
        self.metrics, self._lenient = _chosen(metrics), lenient or metrics is None
        self.extractor, self.seed = None if features is None else named(features), seed
        self._compares = any(name in METRICS for name in self.metrics)  # images, not by functions
        wanted = any(METRICS[name].of_features for name in self.metrics if name in METRICS)
        self._extractor = self.extractor if wanted else None
        cache = folder_of(cache)
        self.real = self._side(real, "real", cache)
        self.test = None if test is None else self._side(test, "test", cache, self.real)

    def measure(self, fake):
        """`Evaluation` of generated images; as `evaluate`."""
        sides = _Sides(self, self._side(fake, "fake", False, self.real))
        counts = [None] * 3
        if self._compares:  # which also checks the images before any metric looks at them
            counts = [side and side.count for side in (self.real, sides.fake, self.test)]
        values, results, left_out = {}, {}, {}
        for name, own in self.metrics.items():
            if own:
                results[name] = own(self.real.images, sides.fake.images)
                values[name] = _number(name, results[name])
                continue
            try:
                results[name] = sides.result(name)
                values[name] = METRICS[name].value(results[name])
            except ValueError as error:
                if not self._lenient:
                    raise ValueError(f"{name} cannot be measured: {error}") from error
                left_out[name] = str(error)
        name = self.extractor and self.extractor.name
        if name and self._compares:
            name = sides.features()
        return Evaluation(values, results, left_out, *counts, name)

    def _side(self, images, name, cache, like=None):
        again = is_array(images) or hasattr(images, "__getitem__")
        if self._compares and not again:
            images = whole(images, name)
        return _Side(images, name, self._extractor, like, cache)


class _Side:
    """Images, and what is found of them when it is first asked for.

    `like` is the side whose shape they must have; `cache` is False where nothing is to be kept.
    """

    def __init__(self, images, name, extractor, like, cache):
        self.images, self.name = images, name
        self._extractor, self._like, self._cache = extractor, like, cache

    @functools.cached_property
    def found(self):
        """Features `(N, F)`, F = 0 where none are wanted, and the shape of an image."""
        if self._extractor is None or self._cache is False:
            return self._find(self.images)
        settings = self.images, self._extractor, self._cache, self.name
        found = found_of("features", self._find, *settings)
        rows = found["features"]
        self._extractor.warn_if_strange(self._extractor.strangeness(rows), len(rows), self.name)
        return found

    @property
    def rows(self):
        return self.found["features"]

    @property
    def count(self):
        return len(self.rows)

    @functools.cached_property
    def statistics(self):
        enough(self.count, 2, self.name)
        statistics = GaussianStatistics()
        for start in range(0, self.count, ROWS):
            statistics.update(self.rows[start : start + ROWS], self.name)
        return statistics

    def _find(self, images):
        shape, rows = self._like and self._like.found["shape"], []
        for chunk in chunks_like(shape, images, self.name):
            none = np.empty((len(chunk), 0), "float32")
            rows.append(self._extractor(chunk, self.name) if self._extractor else none)
            shape = chunk.shape[1:]
        return {"features": np.concatenate(rows), "shape": np.array(shape)}


class _Sides:
    """What a metric looks at; a result that several metrics share is found once."""

    def __init__(self, reference, fake):
        self.real, self.fake, self.test = reference.real, fake, reference.test
        self.seed, self._extractor, self._results = reference.seed, reference.extractor, {}
        self.ks = reference.precision_k, reference.density_k

    def result(self, name):
        """Result of the metric of this name."""
        measure = METRICS[name].measure
        if measure not in self._results:
            self._results[measure] = measure(self)
        return self._results[measure]

    def extractor(self):
        """What makes features and probabilities."""
        if self._extractor is None:
            raise ValueError(
                f"it looks at features: pass features=, one of {list(NAMES)}, or a keras.Model."
            )
        return self._extractor

    def features(self):
        """What outputs call the features."""
        return self.extractor().name_for(self.real.found["shape"])


class _Replayed(Features):
    """Features that were computed before, of images that come again in the same order."""

    def __init__(self, name, **rows):
        super().__init__(name, None, None)
        self._left = rows

    def __call__(self, images, name):
        rows, self._left[name] = np.split(self._left[name], [len(images)])
        return rows


def _fid(sides):
    name, real, fake, test = sides.features(), sides.real, sides.fake, sides.test
    value = frechet_distance(real.statistics, fake.statistics)
    floor = test and frechet_distance(real.statistics, test.statistics)
    n_test = test and test.count
    return FID(value, floor, real.count, fake.count, n_test, name, real.rows.shape[1])


def _kid(sides):
    name, both = sides.features(), (sides.real, sides.fake)
    for side in both:
        enough(side.count, 2, side.name)
    size = min(SUBSET, *(side.count for side in both))
    found = kernel_distance(*(side.rows for side in both), subset_size=size, seed=sides.seed)
    return dataclasses.replace(found, features=name)


def _prdc(sides):
    sides.extractor()
    return prdc(sides.real.rows, sides.fake.rows, *sides.ks)


def _inception_score(sides):
    return inception_score(sides.fake.images, sides.extractor(), seed=sides.seed)


def _sliced_wasserstein(sides):
    return sliced_wasserstein(sides.real.images, sides.fake.images, seed=sides.seed)


def _ms_ssim(sides):
    return ms_ssim(sides.fake.images, seed=sides.seed)


def _memorization(sides):
    name = sides.features()
    if sides.test is None:
        raise ValueError("it compares with test images: pass test=, images not trained on.")
    rows = {"generated": sides.fake.rows, "train": sides.real.rows, "test": sides.test.rows}
    images = sides.fake.images, sides.real.images, sides.test.images
    return memorization(*images, _Replayed(name, **rows))


@dataclasses.dataclass(frozen=True)
class Metric:
    """How a metric is measured.

    Attributes:
        measure: function of the sides to a result that prints itself.
        value: function of that result to the number.
        of_features: whether it compares features of both sides.
        k: which attribute of the result says what neighbour was reached to; None: none was.
    """

    measure: object
    value: object = float
    of_features: bool = False
    k: str | None = None


METRICS = {
    "fid": Metric(_fid, of_features=True),
    "kid": Metric(_kid, of_features=True),
    "precision": Metric(_prdc, operator.attrgetter("precision"), True, "precision_k"),
    "recall": Metric(_prdc, operator.attrgetter("recall"), True, "precision_k"),
    "density": Metric(_prdc, operator.attrgetter("density"), True, "density_k"),
    "coverage": Metric(_prdc, operator.attrgetter("coverage"), True, "density_k"),
    "inception_score": Metric(_inception_score),
    "sliced_wasserstein": Metric(_sliced_wasserstein),
    "ms_ssim": Metric(_ms_ssim),
    "memorization": Metric(_memorization, operator.attrgetter("ratio"), of_features=True),
}
"""The metrics by name; `"memorization"` is its distance ratio."""


def _chosen(metrics):
    """Dictionary from names to functions of one's own, None for those of `METRICS`, in order."""
    if metrics is None:
        return dict.fromkeys(METRICS)
    parts = metrics if isinstance(metrics, list | tuple) else [metrics]
    names = [part for part in parts if isinstance(part, str)]
    own = {name: f for part in parts if isinstance(part, dict) for name, f in part.items()}
    if not (names or own) or not all(isinstance(part, str | dict) for part in parts):
        raise TypeError(
            "metrics must be names, or dictionaries from names of your own to functions of (real, "
            f"fake); got {metrics!r}."
        )
    if unknown := [name for name in names if name not in METRICS]:
        raise ValueError(
            f"There is no metric {unknown[0]!r}; the metrics are {list(METRICS)}. One of your own "
            "is passed as a dictionary: {'name': function of (real, fake)}."
        )
    for name, function in own.items():
        if name in METRICS or not isinstance(name, str) or not callable(function):
            raise ValueError(
                f"A metric of your own has a name that none of {list(METRICS)} has, and a function "
                f"of (real, fake); got {name!r}: {function!r}."
            )
    return {name: None for name in METRICS if name in names} | own


def _number(name, value):
    try:
        return float(value)
    except (TypeError, ValueError) as error:
        raise TypeError(f"The metric {name!r} must return a number; got {value!r}.") from error


def _plain(value):
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
