r"""Mode collapse and its cures: GANs on a ring of 8 Gaussians and on a grid of 25.

    python -m recipes.mode_collapse
    python -m recipes.mode_collapse --only ring --seeds 10

Trains the same networks on the same points by each row of `CURES`. Writes the median run of all
seeds at the end, on the way (after figures of Metz et al., 2017), and as an animation. `--resume`
trains what is missing, also for more `--seeds`.
"""

import time
from pathlib import Path

import keras
import numpy as np

import kgen
from kgen import plots
from kgen.callbacks import ProgressBar, Snapshots
from recipes import _command, _run
from recipes._measured import Measured

DEFAULTS = {
    "output": Path("outputs/mode_collapse"),
    "only": {"choices": ["ring", "grid"], "help": "the points; both if not given"},
    "seeds": 3,
    "limit": {"default": 20_000, "help": "training points"},
    "epochs": {"help": "parts of 100 updates; 20 for the ring, 35 for the grid if not given"},
    "batch_size": {"default": 256, "help": "points in a batch"},
}
EVERY_UPDATES = 100  # updates from one look to the next: an epoch
SHAPES = {"ring": (8, 20), "grid": (25, 35)}  # modes, epochs
PLAIN = {"variant": "gan", "penalty": "none", "average_decay": 0.0}
CURES = {  # arguments of `kgen.GAN`, and the learning rate
    "minimax": (PLAIN | {"loss": "minimax"}, 1e-2),
    "+ smaller steps": (PLAIN | {"loss": "minimax"}, 2e-3),
    "+ non-saturating": (PLAIN, 2e-3),
    "+ R1, average": ({"variant": "points"}, 2e-3),  # kgen's default for points
    "WGAN-GP": ({"variant": "wgan_gp", "penalty": kgen.losses.GradientPenalty(0.1)}, 2e-3),
}


def clouds_of(run, shape, cure, seed):
    """Where the samples on the way are kept."""
    return run.output / "run" / f"{shape}-{list(CURES).index(cure)}-{seed}.npz"


def measure(run, shape, name, seed):
    """Train by one cure from one seed, keep samples on the way, and measure 20,000 at the end."""
    keras.utils.set_random_seed(seed)
    points, _ = kgen.data.toy2d.draw(shape, run.limit, seed=seed)
    arguments, rate = CURES[name]
    began = time.monotonic()
    model = kgen.GAN((2,), **arguments, seed=seed, dtype=run.precision)
    both = {player: keras.optimizers.Adam(rate, 0.5, 0.9) for player in model.players}
    model.compile(both, jit_compile=_run.XLA[run.jit])
    seen = Snapshots(lambda model: model.generate(2000, seed=seed))
    options = {"batch_size": run.batch_size, "steps_per_epoch": EVERY_UPDATES, "verbose": 0}
    options["callbacks"] = [seen, ProgressBar(f"{shape}, {name}, seed {seed}")]
    model.fit(points, epochs=run.epochs or SHAPES[shape][1], **options)
    seconds = time.monotonic() - began
    np.savez_compressed(clouds_of(run, shape, name, seed), samples=np.stack([*seen.kept.values()]))
    found = kgen.metrics.mode_coverage(model.generate(20_000, seed=seed), shape)
    return {"modes": found.covered, "good": found.good, "seconds": seconds}


def median(parts):
    """Which of some runs is the median one: by modes, then by good samples."""
    order = sorted(range(len(parts)), key=lambda i: (parts[i]["modes"], parts[i]["good"]))
    return order[(len(parts) - 1) // 2]


def pictured(clouds, shape, columns, **labels):
    """Clouds of samples as a panel of images, and below each how many modes it covers."""
    found = [kgen.metrics.mode_coverage(points, shape).covered for points in clouds]
    notes = [plots.say("{m} of {n}", m=m, n=SHAPES[shape][0]) for m in found]
    images = plots.cloud_images(clouds, kgen.data.toy2d.draw(shape, 1000)[0])
    return plots.Images(images, columns, notes=notes, **labels)


def draw(run, shape, parts):
    """Write the median run of each cure at the end and as an animation, some on the way."""
    names = [*parts]
    kept = [clouds_of(run, shape, name, run.seed + median(of)) for name, of in parts.items()]
    ways = np.stack([np.load(path)["samples"] for path in kept])  # (cures, moments, points, 2)
    times = [plots.say("{n:,} updates", n=EVERY_UPDATES * i) for i in range(ways.shape[1])]
    panels = [pictured(ways[:, i], shape, len(ways), steps=names) for i in range(len(times))]
    _run.animate(run, shape, [*zip(times, panels, strict=True)], 0.4)
    lost = [sum(part["modes"] < SHAPES[shape][0] for part in parts[name]) for name in names]
    title = "Modes are lost in {a} of {n} runs with {first}, in {b} with {last}; the median runs"
    fields = {"first": plots.say(names[0]), "last": plots.say(names[-1])}
    fields |= {"a": lost[0], "b": lost[-1], "n": len(parts[names[0]])}
    _run.slide(run, shape, panels[-1], title=title, **fields)
    some = [0, *range(len(ways) // 2 + 1, len(ways))]  # the first, and the last two
    at = Snapshots.moments(len(times) - 1, 5, first=1)
    labels = {"names": [names[k] for k in some], "steps": [times[i] for i in at]}
    panel = pictured([ways[k, i] for k in some for i in at], shape, len(at), **labels)
    ends = [kgen.metrics.mode_coverage(way[-1], shape).covered for way in (ways[0], ways[-1])]
    title = "Modes by updates: of {all}, {first} ends with {a}, {last} with {b}"
    fields |= {"all": SHAPES[shape][0], "a": ends[0], "b": ends[1]}
    _run.slide(run, f"{shape}_training", panel, title=title, **fields)


def summary(found):
    """Results by name, of all seeds: for each shape and cure means, and who finds all modes."""
    results = {}
    for (shape, name), parts in found.items():
        modes, good, seconds = ([part[what] for part in parts] for what in parts[0])
        of = {"modes": modes, "good samples": good, "seconds": seconds}
        of["seeds that find all modes"] = [m == SHAPES[shape][0] for m in modes]
        results |= {f"{shape}, {name}: {what}": float(np.mean(x)) for what, x in of.items()}
    return results


@_command.recipe(__doc__, ("dataset", "image_size", "publish"), **DEFAULTS)
def main(run):
    """Train what is missing, draw; returns what was found by shape and cure."""
    _run.begin(run)
    points = kgen.data.load("toy2d/ring", num_examples=run.limit, batch_size=run.batch_size)
    _run.settle(run, kgen.GAN, {"image_shape": (2,)}, points)
    measured, found = Measured(run, free={"seeds", "only"}), {}
    for shape in [run.only] if run.only else SHAPES:
        parts = measured.each(shape + ", {}", CURES, measured.seeds, measure, run, shape)
        draw(run, shape, parts)
        found |= {(shape, name): of for name, of in parts.items()}
    _run.report(run, None, "", summary(found))
    return found


if __name__ == "__main__":
    main()
