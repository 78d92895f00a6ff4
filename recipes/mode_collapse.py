r"""Mode collapse and its cures: GANs on a ring of 8 Gaussians and on a grid of 25.

    python -m recipes.mode_collapse
    python -m recipes.mode_collapse --only ring --seeds 10

Trains the same networks on the same points by each row of `CURES`; each row adds one thing to the
one above, until the last, which starts afresh: WGAN-GP, with five steps of the critic for each of
the generator and a penalty whose weight suits points within [-1, 1]. Algorithm 1 as printed is
momentum SGD and the minimax loss. Watches 2,000 samples every 100 updates. Writes samples at the
end and on the way (figures like those of Metz et al., 2017, and an animation), the number of modes
and the share of good samples over training, and a table, `mode_collapse.md`. `--resume` trains what
is missing, also for more `--seeds`.
"""

import dataclasses
import itertools
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import keras
import numpy as np
from matplotlib.lines import Line2D

import kgen
from kgen import plots
from recipes import _run
from recipes._measured import Measured

DEFAULTS = {
    "output": Path("outputs/mode_collapse"),
    "only": {"choices": ["ring", "grid"], "help": "the points; both if not given"},
    "seeds": 1,
    "limit": {"default": 20_000, "help": "training points"},
    "epochs": {"help": "parts of 100 updates; 20 for the ring, 35 for the grid if not given"},
    "batch_size": {"default": 256, "help": "points in a batch"},
}
EVERY_UPDATES = 100  # updates from one look to the next: an epoch


@dataclasses.dataclass(frozen=True)
class Shape:
    """Points to learn: how many epochs, and the modes and the share of good samples to reach."""

    modes: int
    epochs: int
    least_modes: int
    least_good: float


SHAPES = {"ring": Shape(8, 20, 8, 0.9), "grid": Shape(25, 35, 24, 0.8)}


@dataclasses.dataclass(frozen=True)
class Cure:
    """How to train: arguments of `kgen.GAN`, and what makes each player's optimizer."""

    arguments: dict
    optimizer: Callable


PLAIN = {"variant": "gan", "penalty": "none", "average_decay": 0.0}
# The authors' code of 2014 begins with 0.1 and 0.5; at 0.1 points leave the plane here.
MOMENTUM = partial(keras.optimizers.SGD, 0.05, 0.5)
ADAM = partial(keras.optimizers.Adam, 2e-3, 0.5, 0.9)
CURES = {
    "Algorithm 1 as printed": Cure(PLAIN | {"loss": "minimax"}, MOMENTUM),
    "+ non-saturating loss": Cure(PLAIN, MOMENTUM),
    "+ Adam": Cure(PLAIN, ADAM),
    "+ R1": Cure({"variant": "points", "average_decay": 0.0}, ADAM),
    "+ moving average": Cure({"variant": "points"}, ADAM),  # kgen's default for points
    "WGAN-GP": Cure({"variant": "wgan_gp", "penalty": kgen.losses.GradientPenalty(0.1)}, ADAM),
}


class Watch(keras.callbacks.Callback):
    """Keeps samples of the same latents after each epoch: float32 `(epochs, n, 2)`."""

    def __init__(self, seed, n=2000):
        super().__init__()
        self.seed, self.n, self.samples = seed, n, []

    def on_epoch_end(self, epoch, logs=None):
        """Draw samples."""
        self.samples.append(self.model.generate(self.n, seed=self.seed))


def clouds_of(run, shape, cure, seed):
    """Where the samples on the way are kept."""
    return run.output / "run" / f"{shape}-{list(CURES).index(cure)}-{seed}.npz"


def measure(run, shape, name, seed):
    """Train by one cure from one seed, keep samples on the way, and measure 20,000 at the end."""
    keras.utils.set_random_seed(seed)
    points, _ = kgen.data.toy2d.draw(shape, run.limit, seed=seed)
    cure, watch, began = CURES[name], Watch(seed), time.monotonic()
    model = kgen.GAN((2,), **cure.arguments, seed=seed, dtype=run.precision)
    optimizers = {player: cure.optimizer() for player in model.players}
    model.compile(optimizers, jit_compile=_run.XLA[run.jit])
    epochs = run.epochs or SHAPES[shape].epochs
    options = {
        "epochs": epochs,
        "steps_per_epoch": EVERY_UPDATES,
        "verbose": 0,
        "callbacks": [watch],
    }
    model.fit(points, batch_size=run.batch_size, **options)
    seconds, path = time.monotonic() - began, clouds_of(run, shape, name, seed)
    path.parent.mkdir(exist_ok=True)
    np.savez_compressed(path, samples=np.array(watch.samples, "float32"))
    found = kgen.metrics.mode_coverage(model.generate(20_000, seed=seed), shape)
    return {"modes": found.covered, "good": found.good, "seconds": seconds}


def draw_points(axes, points, shape, real, title):
    """Draw samples over real points, with what they cover as title."""
    axes.plot(*real.T, ".", color="0.55", ms=2.5, alpha=0.5, mew=0)
    axes.plot(*points.T, ".", color=plots.GENERATED, ms=3.5, alpha=0.6, mew=0)
    axes.set(xlim=(-1.25, 1.25), ylim=(-1.25, 1.25), xticks=[], yticks=[], aspect="equal")
    axes.spines[:].set(visible=True, color="0.7")
    found = kgen.metrics.mode_coverage(points, shape)
    said = f"{found.covered} of {len(found.counts)} modes, {found.good:.0%} good"
    axes.set_title(f"{title}\n{said}" if title else said, size=11)
    if (outside := (np.abs(points) > 1.25).any(axis=1).mean()) > 0.01:
        box = {"fc": "white", "ec": "none", "alpha": 0.8, "pad": 2}
        axes.text(0, -1.1, f"{outside:.0%} outside", ha="center", color=plots.GENERATED, bbox=box)


def draw_end(clouds, path):
    """Write samples at the end: a row of panels for each shape, a column for each cure."""
    figure, axes = plots.chart(17, 3.25 * len(clouds) + 0.3, len(clouds), len(CURES))
    rows = np.reshape(axes, (len(clouds), -1))
    for row, (shape, by_cure) in zip(rows, clouds.items(), strict=True):
        real, _ = kgen.data.toy2d.draw(shape, 2000)
        for panel, (name, samples) in zip(row, by_cure.items(), strict=True):
            draw_points(panel, samples[0, -1], shape, real, name)
    figure.suptitle("Mode collapse and its cures: at the end of training", size=16)
    dots = {"real points": "0.55", "samples": plots.GENERATED}
    marks = [Line2D([], [], color=c, ls="", marker="o", label=name) for name, c in dots.items()]
    figure.legend(handles=marks, loc="outside lower center", ncols=2, frameon=False)
    plots.save(figure, path)


def draw_way(clouds, shape, folder):
    """Write samples on the way: five moments of each cure, and all of them as an animation."""
    real, _ = kgen.data.toy2d.draw(shape, 2000)
    epochs = len(next(iter(clouds.values()))[0])
    moments = np.unique(np.round(np.geomspace(1, epochs, 5)).astype(int))
    figure, axes = plots.chart(
        2.9 * len(moments) + 0.6, 3.05 * len(CURES), len(CURES), len(moments)
    )
    for row, (name, samples) in zip(axes, clouds.items(), strict=True):
        row[0].set_ylabel(name, size=14)
        for panel, moment in zip(row, moments, strict=True):
            title = f"{EVERY_UPDATES * moment:,} updates"
            draw_points(panel, samples[0, moment - 1], shape, real, title)
    plots.save(figure, folder / f"{shape}_training.png")
    frames = []
    for epoch in range(epochs):
        figure, axes = plots.chart(13, 3.5, columns=len(CURES))
        for panel, (name, samples) in zip(axes, clouds.items(), strict=True):
            draw_points(panel, samples[0, epoch], shape, real, name)
        figure.suptitle(f"after {EVERY_UPDATES * (epoch + 1):,} updates", size=13)
        frames.append(plots.save(figure, folder / "run" / f"frame-{epoch:03d}.png"))
    plots.animation(frames, folder / f"{shape}.gif", 0.4)


def draw_curves(clouds, path):
    """Write modes covered and the share of good samples over training."""
    labels = ["updates of the generator"] * 2
    figure, axes = plots.chart(14, 4.2 * len(clouds), len(clouds), 2, xlabels=labels)
    for row, (shape, by_cure) in zip(np.reshape(axes, (-1, 2)), clouds.items(), strict=True):
        epochs = len(next(iter(by_cure.values()))[0])
        x = EVERY_UPDATES * np.arange(1, epochs + 1)
        found = [[[counted(p, shape) for p in way] for way in ways] for ways in by_cure.values()]
        modes, good = np.moveaxis(np.array(found, "float64"), -1, 0)
        plots.Bands(x, modes, CURES, SHAPES[shape].modes, False, ylabel="modes").into(row[0])
        plots.Bands(x, 100 * good, CURES, None, False, ylabel="good samples [%]").into(row[1])
        row[0].set_title(f"{shape}: modes covered", size=14)
        row[1].set_title(f"{shape}: samples within 3 sigma of a centre", size=14)
        row[1].get_legend().remove()
        for panel in row:
            panel.set(xscale="linear", xticks=x[x % (5 * EVERY_UPDATES) == 0])
    for panel in np.reshape(axes, (-1, 2))[1:, 0]:
        panel.get_legend().remove()  # that of the first row says it
    plots.save(figure, path)


def counted(points, shape):
    """Modes covered by points, and the share of good ones."""
    found = kgen.metrics.mode_coverage(points, shape)
    return found.covered, found.good


def summary(found):
    """Results by name, of all seeds: for each shape and cure means, and how many reach the goal."""
    results = {}
    for (shape, name), parts in found.items():
        goal, of = SHAPES[shape], f"{shape}, {name}"
        modes, good, seconds = (np.array([p[what] for p in parts]) for what in parts[0])
        results[f"{of}: modes"] = float(modes.mean())
        results[f"{of}: good samples"] = float(good.mean())
        reached = (modes >= goal.least_modes) & (good >= goal.least_good)
        results[f"{of}: seeds that reach the goal"] = float(reached.mean())
        results[f"{of}: seconds"] = float(seconds.mean())
    return results


def table(found):
    """What was found as Markdown, a row for each shape and cure."""
    lines = []
    for key, values in itertools.groupby(
        summary(found).items(), lambda item: item[0].split(": ")[0]
    ):
        values = {name.split(": ")[1]: value for name, value in values}
        lines.append([key, *(f"{value:.3g}" for value in values.values())])
    head = ["points, training", *values]
    rows = [head, ["---"] * len(head), *lines]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows) + "\n"


@_run.recipe(__doc__, ("dataset", "image_size", "publish"), **DEFAULTS)
def main(run):
    """Train what is missing, draw; returns what was found by shape and cure."""
    _run.begin(run)
    points = kgen.data.load("toy2d/ring", num_examples=run.limit, batch_size=run.batch_size)
    _run.settle(run, kgen.GAN, {"image_shape": (2,)}, points)
    shapes = [run.only] if run.only else [*SHAPES]
    seeds = range(run.seed, run.seed + run.seeds)
    measured, found = Measured(run, free={"seeds", "only"}), {}
    for shape, name in itertools.product(shapes, CURES):
        parts = [(f"{shape}, {name}, seed {s}", measure, run, shape, name, s) for s in seeds]
        found[shape, name] = [measured.part(*part) for part in parts]
    clouds = {s: {name: samples_of(run, s, name, seeds) for name in CURES} for s in shapes}
    draw_end(clouds, run.output / "mode_collapse.png")
    draw_curves(clouds, run.output / "curves.png")
    for shape in shapes:
        draw_way(clouds[shape], shape, run.output)
    (run.output / "mode_collapse.md").write_text(table(found))
    _run.report(run, None, "", summary(found))
    return found


def samples_of(run, shape, name, seeds):
    """Samples on the way, of all seeds: `(seeds, epochs, n, 2)`."""
    ways = []
    for seed in seeds:
        with np.load(clouds_of(run, shape, name, seed)) as arrays:
            ways.append(arrays["samples"])
    return np.array(ways)


if __name__ == "__main__":
    main()
