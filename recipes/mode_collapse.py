r"""Mode collapse and its cures: GANs on a ring of 8 Gaussians and on a grid of 25.

    python -m recipes.mode_collapse
    python -m recipes.mode_collapse --only ring --seeds 10

Trains the same networks on the same points by each row of `CURES`, which ends in kgen's default for
points, and in WGAN-GP: five steps of the critic for one of the generator, a penalty whose weight
suits points within [-1, 1]. Looks at 2,000 samples every 100 updates, and shows the median run of
all seeds. Writes samples at the end and on the way (after figures of Metz et al., 2017), an
animation, and a table, `mode_collapse.md`. `--resume` trains what is missing, also for more
`--seeds`.
"""

import itertools
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
WGAN_GP = {"variant": "wgan_gp", "penalty": kgen.losses.GradientPenalty(0.1)}
CURES = {  # arguments of `kgen.GAN`, and the learning rate
    "minimax": (PLAIN | {"loss": "minimax"}, 1e-2),
    "+ smaller steps": (PLAIN | {"loss": "minimax"}, 2e-3),
    "+ non-saturating": (PLAIN, 2e-3),
    "+ R1, average": ({"variant": "points"}, 2e-3),
    "WGAN-GP": (WGAN_GP, 2e-3),
}


def clouds_of(run, shape, cure, seed):
    """Where the samples on the way are kept."""
    return run.output / "run" / f"{shape}-{list(CURES).index(cure)}-{seed}.npz"


def measure(run, shape, name, seed):
    """Train by one cure from one seed, keep samples on the way, and measure 20,000 at the end."""
    keras.utils.set_random_seed(seed)
    points, _ = kgen.data.toy2d.draw(shape, run.limit, seed=seed)
    (arguments, rate), began = CURES[name], time.monotonic()
    model = kgen.GAN((2,), **arguments, seed=seed, dtype=run.precision)
    both = {player: keras.optimizers.Adam(rate, 0.5, 0.9) for player in model.players}
    model.compile(both, jit_compile=_run.XLA[run.jit])
    seen = Snapshots(lambda model: model.generate(2000, seed=seed))
    options = {"batch_size": run.batch_size, "steps_per_epoch": EVERY_UPDATES, "verbose": 0}
    options["callbacks"] = [seen, ProgressBar(f"{shape}, {name}, seed {seed}")]
    model.fit(points, epochs=run.epochs or SHAPES[shape][1], **options)
    seconds, path = time.monotonic() - began, clouds_of(run, shape, name, seed)
    path.parent.mkdir(exist_ok=True)
    np.savez_compressed(path, samples=np.array([*seen.kept.values()], "float32"))
    found = kgen.metrics.mode_coverage(model.generate(20_000, seed=seed), shape)
    return {"modes": found.covered, "good": found.good, "seconds": seconds}


def median(parts):
    """Which of some runs is the median one: by modes, then by good samples."""
    order = sorted(range(len(parts)), key=lambda i: (parts[i]["modes"], parts[i]["good"]))
    return order[(len(parts) - 1) // 2]


def pictured(clouds, shape):
    """Clouds of samples as images, and below each how many modes it covers."""
    found = [kgen.metrics.mode_coverage(points, shape).covered for points in clouds]
    notes = [plots.say("{m} of {n}", m=m, n=SHAPES[shape][0]) for m in found]
    return plots.cloud_images(clouds, kgen.data.toy2d.draw(shape, 1000)[0]), notes


def draw(run, shape, parts):
    """Write samples at the end, on the way, and as an animation: median runs by cure."""
    names, ways = [*parts], []
    for name, of in parts.items():
        with np.load(clouds_of(run, shape, name, run.seed + median(of))) as arrays:
            ways.append(arrays["samples"])
    ways, say = np.stack(ways), lambda i: plots.say("{n:,} updates", n=EVERY_UPDATES * i)

    def panel(i):
        images, notes = pictured(ways[:, i], shape)
        return plots.Images(images, len(ways), steps=names, notes=notes)

    lost = [sum(p["modes"] < SHAPES[shape][0] for p in of) for of in parts.values()]
    title = "Modes are lost in {a} of {n} runs with {first}, in {b} with {last}; the median runs"
    fields = {"first": plots.say(names[0]), "last": plots.say(names[-1]), "n": len(of)}
    _run.slide(run, shape, panel(-1), title=title, a=lost[0], b=lost[-1], **fields)
    _run.animate(run, shape, [(say(i), panel(i)) for i in range(ways.shape[1])], 0.4)
    some = [0, *range(len(ways) // 2 + 1, len(ways))]  # the first, and the last two
    at = Snapshots.moments(ways.shape[1] - 1, 5, first=1)
    images, notes = pictured([ways[k, i] for k in some for i in at], shape)
    options = {"names": [names[k] for k in some], "steps": [say(i) for i in at], "notes": notes}
    ends = [kgen.metrics.mode_coverage(way[-1], shape).covered for way in (ways[0], ways[-1])]
    title = "Modes by updates: of {all}, {first} ends with {a}, {last} with {b}"
    fields |= {"all": SHAPES[shape][0], "a": ends[0], "b": ends[1]}
    panel = plots.Images(images, len(at), **options)
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


def table(found):
    """What was found as Markdown, a row for each shape and cure."""
    rows = {}
    for name, value in summary(found).items():
        key, what = name.split(": ")
        rows.setdefault(key, {"points, training": key})[what] = f"{value:.3g}"
    head = [*next(iter(rows.values()))]
    lines = [head, ["---"] * len(head), *(row.values() for row in rows.values())]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


@_command.recipe(__doc__, ("dataset", "image_size", "publish"), **DEFAULTS)
def main(run):
    """Train what is missing, draw; returns what was found by shape and cure."""
    _run.begin(run)
    points = kgen.data.load("toy2d/ring", num_examples=run.limit, batch_size=run.batch_size)
    _run.settle(run, kgen.GAN, {"image_shape": (2,)}, points)
    shapes, seeds = [run.only] if run.only else [*SHAPES], range(run.seed, run.seed + run.seeds)
    measured, found = Measured(run, free={"seeds", "only"}), {}
    for shape, name in itertools.product(shapes, CURES):
        parts = [(f"{shape}, {name}, seed {s}", measure, run, shape, name, s) for s in seeds]
        found[shape, name] = [measured.part(*part) for part in parts]
    for shape in shapes:
        draw(run, shape, {name: found[shape, name] for name in CURES})
    (run.output / "mode_collapse.md").write_text(table(found))
    _run.report(run, None, "", summary(found))
    return found


if __name__ == "__main__":
    main()
