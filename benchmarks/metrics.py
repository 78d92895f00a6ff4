"""Do the metrics agree with others', how fast are they, and what do they see?

    python -m benchmarks.metrics --python-peers PEERS/bin/python
    python -m benchmarks.metrics --only sense

All of it on the real Fashion-MNIST, 10,000 images a side, in Markdown tables.

`agreement`: Fréchet and kernel distance, precision and recall beside torch-fidelity, density and
coverage beside prdc, on the same features (of the judge "fashion", and pixels): training images
against test images, and against test images with noise; the kernel distance on the same subsets.

`speed`: seconds by metric, without "inception"; then the metrics that torch-fidelity has, by turns
with it, each contender a process of its own.

`sense`: what each metric says of test images that were blurred, made noisy, reduced to some
classes, repeated, or replaced by training images, and whether it moves as it should; then how many
images each needs.
"""

import argparse
import itertools
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile

import numpy as np

from benchmarks import harness

SUBSETS = {"kid_subsets": 100, "kid_subset_size": 1000, "rng_seed": 2020}  # torch-fidelity's own
NEIGHBOR = 3  # of torch-fidelity's precision and recall
PEERS = {"fid": "torch-fidelity", "kid": "torch-fidelity", "precision, recall": "torch-fidelity"}
PARTS = ("agreement", "speed", "sense")

LEVELS = {
    "blur": (0.5, 1.0, 2.0),  # standard deviation in pixels
    "noise": (0.05, 0.1, 0.2),  # standard deviation as a share of the range
    "dropped": (2, 5, 9),  # classes of ten
    "distinct": (1000, 100, 10),  # images, repeated
    "copied": (0.5, 1.0),  # share of training images
}
EXPECTED = {  # where each metric should move in each family: "=", it should not; "-", no claim
    "fid": ("up", "up", "up", "up", "down"),
    "kid": ("up", "up", "up", "up", "-"),
    "precision": ("down", "down", "=", "=", "up"),
    "recall": ("down", "down", "down", "down", "up"),
    "density": ("down", "down", "-", "-", "-"),
    "coverage": ("down", "down", "down", "down", "up"),
    "inception_score": ("down", "down", "down", "-", "="),
    "sliced_wasserstein": ("up", "up", "up", "up", "down"),
    "... 28x28": ("up", "up", "-", "-", "down"),
    "... 14x14": ("up", "up", "-", "-", "down"),
    "ms_ssim": ("-", "-", "up", "up", "="),
    "memorization": ("up", "up", "-", "-", "down"),
    "... nearer": ("down", "down", "-", "-", "up"),
    "... in pixels": ("-", "up", "-", "-", "down"),
    "... copies": ("-", "-", "-", "-", "up"),
    "class variation": ("-", "-", "up", "up", "-"),
}
TOLERANCE = 0.05  # of the value, which counts as the same

COUNTS, DRAWS, SLOW_DRAWS = (250, 1000, 2500, 5000, 10_000), 5, 3
PAIRS = {"real": None, "blur 1": 1.0}  # what is generated, for the numbers of images


# What a bad generator makes.


def blurred(images, sigma):
    """Images under a Gaussian blur, uint8 `(N, H, W, C)`."""
    from scipy import ndimage

    smooth = ndimage.gaussian_filter(images.astype("float32"), (0, sigma, sigma, 0))
    return np.rint(smooth).astype("uint8")


def noisy(images, share, seed=0):
    """Images with Gaussian noise of that share of the range, clipped, uint8."""
    noise = np.random.default_rng(seed).standard_normal(images.shape, "float32")
    return np.rint(np.clip(images + 255 * share * noise, 0, 255)).astype("uint8")


def without(images, labels, dropped, n, seed=0):
    """At most n images of the classes that are left when the last of ten are dropped."""
    left = np.flatnonzero(labels < 10 - dropped)
    return images[np.random.default_rng(seed).permutation(left)[:n]]


def repeated(images, distinct):
    """As many images, of which so many are distinct."""
    return images[np.arange(len(images)) % distinct]


class Sides:
    """Fashion-MNIST as the sides of a comparison.

    `real` are n of the training images, `generated` n of the test images, as they are, and `others`
    n other training images, which real ones are compared with.
    """

    def __init__(self, n, seed=0):
        import kgen

        sets = [kgen.data.load("fashion_mnist", split) for split in ("train", "test")]
        (train, labels), (test, test_labels) = (
            (x.fetch(np.arange(x.num_examples)), np.asarray(x.labels)) for x in sets
        )
        order = np.random.default_rng(seed).permutation(len(train))
        self.n, self.real, self.others = n, train[order[:n]], train[order[n : 2 * n]]
        self.labels, self.generated = labels[order[:n]], test[:n]
        self.all = np.concatenate([test, train])
        rest = order[2 * n :]
        self._spare = np.concatenate([test, train[rest]])
        self._spare_labels = np.concatenate([test_labels, labels[rest]])

    def made(self, family, level):
        """Images of one family and level."""
        match family:
            case "blur":
                return blurred(self.generated, level)
            case "noise":
                return noisy(self.generated, level)
            case "dropped":
                return without(self._spare, self._spare_labels, level, self.n)
            case "distinct":
                return repeated(self.generated, level)
            case "copied":
                cut = round(level * self.n)
                return np.concatenate([self.real[:cut], self.generated[cut:]])
        return self.generated


# Agreement.


def pairs(folder, n):
    """Write features of both sides for the peers: path by features and what is generated."""
    import kgen

    found, sides = {}, None
    for name in ("fashion", "pixels"):
        extractor = kgen.metrics.features(name)
        for what in ("test", "noise 0.1"):
            path = found[name, what] = folder / f"features-{name}-{what}-{n}.npz".replace(" ", "-")
            if not path.exists():
                sides = sides or Sides(n)
                fake = sides.made("noise", 0.1) if what != "test" else sides.generated
                np.savez(path, real=extractor(sides.real), fake=extractor(fake))
    return found


def own(real, fake):
    """Values of kgen's metrics under the names that the peers give theirs."""
    from kgen.metrics import frechet_distance, kernel_distance, prdc

    size = SUBSETS["kid_subset_size"]
    random = np.random.RandomState(SUBSETS["rng_seed"])  # as torch-fidelity draws
    subsets = [
        [x[random.choice(len(x), size, replace=False)] for x in (real, fake)]
        for _ in range(SUBSETS["kid_subsets"])
    ]
    kid = statistics.mean(kernel_distance(*both, subset_size=size).value for both in subsets)
    found = prdc(real, fake, NEIGHBOR, 5)
    return {
        "fid": {"frechet_inception_distance": frechet_distance(real, fake)},
        "kid": {"kernel_inception_distance_mean": kid},
        "precision, recall": {name: getattr(found, name) for name in ("precision", "recall")},
        "prdc": {name: getattr(found, name) for name in ("density", "coverage")},
    }


def agreement(run, folder):
    """Print both sides' values of the same features."""
    print(
        "\n| metric | features | generated | kgen | peer | difference |\n|---|---|---|---|---|---|"
    )
    for (name, what), path in pairs(folder, run.n).items():
        output = path.with_suffix(".json")
        if not output.exists():
            job = {"features": str(path), "output": str(output)}
            subprocess.run(theirs(run, job), check=True, cwd=harness.ROOT, stdout=sys.stderr)
        peer = json.loads(output.read_text())
        with np.load(path) as arrays:
            found = own(arrays["real"], arrays["fake"])
        for metric, values in found.items():
            for key, value in values.items():
                other = peer[metric][key]
                gap = value - other
                gap = f"{gap:.1e}" if metric == "kid" else f"{gap / other:.1e} relative"
                label = {"fid": "FID", "kid": "KID"}.get(metric, key)
                of = PEERS.get(metric, "prdc")
                print(f"| {label} | {name} | {what} | {value:.7g} | {other:.7g} ({of}) | {gap} |")


def theirs(run, job):
    """Command of the peers' side."""
    if run.python_peers is None:
        raise SystemExit("agreement and speed need --python-peers, a Python with torch-fidelity.")
    job = {"neighbor": NEIGHBOR, "subsets": SUBSETS} | job
    return [run.python_peers, "-m", "benchmarks.torch_metrics", json.dumps(job)]


# Speed.


def seconds(sides):
    """Seconds by metric, as a user calls it; and of `evaluate`, which does all at once."""
    from kgen import metrics

    real, fake, test = sides.real, sides.generated, sides.others
    extractor, found = metrics.features("fashion"), {}

    def clock(name, fn):
        values = []
        found[name] = harness.timed(lambda: values.append(fn()))
        return values[0]

    found["evaluate, all at once"] = harness.timed(
        lambda: metrics.evaluate(real, fake, extractor, list(metrics.METRICS), test)
    )
    rows, others, made = clock(
        "features of all images", lambda: [*map(extractor, (real, test, fake))]
    )
    clock("fid with its floor", lambda: [metrics.frechet_distance(rows, x) for x in (made, others)])
    clock("kid", lambda: metrics.kernel_distance(rows, made))
    clock("precision, recall, density, coverage", lambda: metrics.prdc(rows, made))
    clock("inception_score", lambda: metrics.inception_score(fake, extractor))
    clock("sliced_wasserstein", lambda: metrics.sliced_wasserstein(real, fake))
    clock("ms_ssim", lambda: metrics.ms_ssim(fake))
    clock("memorization, in pixels", lambda: metrics.memorization(fake, real, test))
    clock("class_coverage", lambda: metrics.class_coverage(fake, sides.labels, "fashion"))
    brightness = [x.mean(axis=(1, 2, 3)) for x in (real, fake)]
    clock("wasserstein_1d", lambda: metrics.wasserstein_1d(*brightness))
    return found


def speed(run, folder):
    """Print seconds by metric, then ratios to torch-fidelity."""
    import keras

    output = folder / f"seconds-{run.n}.json"
    if not output.exists():
        output.write_text(json.dumps(seconds(Sides(run.n))))
    found = json.loads(output.read_text())
    print(f"\n| metric, {run.n:,} images a side, {keras.config.backend()} | seconds |\n|---|---|")
    for name, value in found.items():
        print(f"| {name} | {value:.3g} |")
    print(f"\n| metric, {run.rounds} rounds | features | kgen | torch-fidelity | ratio |")
    print("|---|---|---|---|---|", flush=True)
    for (name, what), path in pairs(folder, run.n).items():
        for metric in PEERS if what == "test" else ():
            ours, peer, (median, least, most) = by_turns(run, folder, path, metric)
            print(
                f"| {metric} | {name} | {statistics.median(ours):.3g} s | "
                f"{statistics.median(peer):.3g} s | **{median:.2f}** ({least:.2f} to {most:.2f}) |",
                flush=True,
            )


def by_turns(run, folder, features, metric):
    """Seconds of kgen and of the peer, and how many times as fast kgen is."""
    output = folder / f"turns-{metric}-{features.stem}.json"
    if not output.exists():
        job = {"features": str(features), "metric": metric}
        ours = [sys.executable, "-m", "benchmarks.metrics", "--serve", json.dumps(job)]
        contenders = [
            harness.Contender("kgen", "kgen", "float32", ours),
            harness.Contender("peer", "torch", "float32", theirs(run, job)),
        ]
        workers = {c.name: harness.Worker(c, subprocess.DEVNULL) for c in contenders}
        found, _ = harness.alternate(workers, run.rounds, 1)
        for worker in workers.values():
            worker.close()
        output.write_text(json.dumps(found))
    found = json.loads(output.read_text())
    return found["kgen"], found["peer"], harness.ratio(found["kgen"], found["peer"])


def prepare(features, metric):
    """The contender of kgen: one metric at each step."""
    from kgen.metrics import frechet_distance, kernel_distance, prdc

    functions = {
        "fid": frechet_distance,
        "kid": kernel_distance,  # 100 subsets of 1,000, as the peer
        "precision, recall": lambda real, fake: prdc(real, fake, NEIGHBOR),
    }
    with np.load(features) as arrays:
        both = [arrays[name] for name in ("real", "fake")]
    functions[metric](*(x[:2000] for x in both))
    a = np.ones((harness.MATMUL,) * 2, "float32")

    def run(steps):
        for _ in range(steps):
            functions[metric](*both)

    return {}, run, lambda: a @ a, harness.peak_memory


# Sense.


def values_of(real, fake, others, labels=None, seed=0, slow=True):
    """Values of all metrics by the names of `EXPECTED`; those beside them only with labels."""
    from kgen import metrics

    names = [name for name in metrics.METRICS if slow or name != "sliced_wasserstein"]
    found = metrics.evaluate(real, fake, "fashion", names, others, seed, precision_k=5)
    values = found.values
    if labels is not None:
        copies, sliced = (found.results[x] for x in ("memorization", "sliced_wasserstein"))
        values |= {"... nearer": copies.nearer, "... copies": copies.copies}
        values["... in pixels"] = metrics.memorization(fake, real, others).ratio
        for (height, width), level in zip(sliced.sizes, sliced.levels, strict=True):
            values[f"... {height}x{width}"] = level
        values["class variation"] = metrics.class_coverage(fake, labels, "fashion").total_variation
    return values


def moves(baseline, values, levels, expected):
    """Whether values move from the baseline as expected, in words."""
    if expected == "-":
        return ""
    sign = {"up": 1, "down": -1, "=": 0}[expected]
    if sign:
        right = [sign * (value - baseline) > 0 for value in values]
    else:
        right = [abs(value - baseline) <= TOLERANCE * abs(baseline) for value in values]
    if not any(right):
        return "**no**"
    if not all(right):
        wrong = [f"{level:g}" for level, fine in zip(levels, right, strict=True) if not fine]
        return f"**not at {', '.join(wrong)}**"
    ordered = all(sign * (b - a) >= 0 for a, b in itertools.pairwise(values))
    return "yes" if ordered else "yes, not in order"


def settled(counts, means, deviations=None):
    """The count from which on means, give or take a deviation, are within 5 % of the last mean."""
    deviations = deviations or [0.0] * len(means)
    since = None
    for count, mean, deviation in zip(counts, means, deviations, strict=True):
        if abs(mean - means[-1]) + deviation > TOLERANCE * abs(means[-1]):
            since = None
        elif since is None:
            since = count
    return since


def kept(path, find):
    """What a file holds, or what is found and then written there."""
    if not path.exists():
        path.write_text(json.dumps(find()))
        print(path.stem, file=sys.stderr, flush=True)
    return json.loads(path.read_text())


def sense(run, folder):
    """Print what the metrics say of bad generators, and how many images they need."""
    sides = Sides(run.n)

    def found(family, level):
        made = sides.made(family, level)
        values = values_of(sides.real, made, sides.others, sides.labels)
        return values | {"n": len(made)}

    def of(family, level=None):
        name = f"sense-{family}-{level}-{run.n}.json"
        return kept(folder / name, lambda: found(family, level))

    baseline = of("baseline")
    for number, (family, levels) in enumerate(LEVELS.items()):
        columns = [of(family, level) for level in levels]
        shown = " | ".join(f"{level:g}" for level in levels)
        print(f"\n| {family} | should | as they are | {shown} | does |")
        print("|---" * (len(levels) + 4) + "|")
        for name, expected in EXPECTED.items():
            values = [column[name] for column in columns]
            numbers = " | ".join(f"{value:.4g}" for value in values)
            does = moves(baseline[name], values, levels, expected[number])
            should = expected[number]
            print(f"| {name} | {should} | {baseline[name]:.4g} | {numbers} | {does} |")
        print("\nImages:", ", ".join(f"{column['n']:,}" for column in columns), flush=True)
    for pair, sigma in PAIRS.items():
        counts(run, folder, sides.all, pair, sigma)


def counts(run, folder, images, pair, sigma):
    """Print mean and deviation of each metric by the number of images."""
    chosen, tables = [n for n in COUNTS if n <= run.n], {}

    def found(n, draw):
        order = np.random.default_rng(draw).permutation(len(images))[: 3 * n]
        real, fake, others = np.split(images[order], 3)
        fake = fake if sigma is None else blurred(fake, sigma)
        return values_of(real, fake, others, seed=draw, slow=draw < SLOW_DRAWS)

    for n in chosen:
        for draw in range(DRAWS):
            path = folder / f"counts-{pair}-{n}-{draw}.json".replace(" ", "-")
            for name, value in kept(path, lambda n=n, draw=draw: found(n, draw)).items():
                tables.setdefault(name, {}).setdefault(n, []).append(value)
    print(f"\n| {pair} | {' | '.join(f'{n:,}' for n in chosen)} | mean | one draw |")
    print("|---" * (len(chosen) + 3) + "|")
    for name, by_count in tables.items():
        means = [statistics.mean(by_count[n]) for n in chosen]
        deviations = [statistics.stdev(by_count[n]) for n in chosen]
        pieces = [f"{m:.4g} ± {d:.2g}" for m, d in zip(means, deviations, strict=True)]
        since = [settled(chosen, means), settled(chosen, means, deviations)]
        pieces += ["-" if n is None else f"{n:,}" for n in since]
        print(f"| {name} | {' | '.join(pieces)} |", flush=True)


def main(argv=None):
    """Measure what is not there yet and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--python-peers", help="Python with torch-fidelity and prdc; sense needs none")
    add("--only", choices=PARTS, nargs="+", default=PARTS)
    add("--n", type=harness.positive, default=10_000, help="images of each side")
    add("--rounds", type=harness.positive, default=5)
    add(
        "--output", type=pathlib.Path, help="folder that keeps results; what is there is not redone"
    )
    add("--serve", type=json.loads, help=argparse.SUPPRESS)
    run = parser.parse_args(argv)
    if run.serve:
        return harness.serve(lambda: prepare(**run.serve))
    with tempfile.TemporaryDirectory() as temporary:
        folder = (run.output or pathlib.Path(temporary)).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        for part in run.only:
            {"agreement": agreement, "speed": speed, "sense": sense}[part](run, folder)


if __name__ == "__main__":
    harness.command(main)
