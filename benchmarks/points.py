"""Are all modes found, by diffusion and by a GAN? A ring of 8 Gaussians and a grid of 25.

    python -m benchmarks.points --output FOLDER

`kgen.Diffusion` and `kgen.GAN` on 20,000 points of `toy2d/ring` and `toy2d/grid`, 10 seeds each.
Diffusion has the same settings for both, and is sampled by DDPM in 200 steps; the GAN has for each
the way of `recipes.mode_collapse` that is best there: R1 and a moving average for the ring, WGAN-GP
for the grid. Of 2,500 samples of each model `kgen.metrics.mode_coverage` tells how many modes are
covered and how many samples are good. Seconds are of the processor, so that other work counts
little; those of training include what compiling the step takes, those of sampling do not.
`--output` keeps what is measured; what is there is not redone.
"""

import argparse
import json
import pathlib
import statistics
import tempfile
import time

import keras

import kgen
from benchmarks import harness

POINTS, BATCH_SIZE, SAMPLES = 20_000, 256, 2500
SETS = {"ring": 8, "grid": 25}  # modes


def diffusion(points, seed):
    """A model, and its updates."""
    model = kgen.Diffusion((2,), average_decay=0.999, seed=seed)
    model.compile(keras.optimizers.Adam(kgen.schedules.warmup_cosine(2e-3, 3000)))
    return model, 3000


def gan(points, seed):
    """A model that serves these points best, and its updates."""
    settings = {"variant": "wgan_gp", "penalty": kgen.losses.GradientPenalty(0.1)}
    model = kgen.GAN((2,), seed=seed, **(settings if points == "grid" else {}))
    model.compile({player: keras.optimizers.Adam(2e-3, 0.5, 0.9) for player in model.players})
    return model, 3500 if points == "grid" else 2000


CONTENDERS = {  # how each is made, and how it samples
    "diffusion": (diffusion, {"sampler": "ddpm", "num_steps": 200}),
    "gan": (gan, {}),
}


def train(name, points, seed):
    """Train one and sample; returns modes, share of good samples, seconds."""
    keras.utils.clear_session()
    keras.utils.set_random_seed(seed)
    make, sampling = CONTENDERS[name]
    real, _ = kgen.data.toy2d.draw(points, POINTS, seed=seed)
    (model, updates), began = make(points, seed), time.process_time()
    model.fit(real, batch_size=BATCH_SIZE, steps_per_epoch=updates, epochs=1, verbose=0)
    trained = time.process_time()
    model.generate(SAMPLES, seed=seed, **sampling)  # compiles
    compiled = time.process_time()
    made = model.generate(SAMPLES, seed=seed, **sampling)
    sampled = time.process_time()
    found = kgen.metrics.mode_coverage(made, points)
    seconds = {"training": trained - began, "sampling": sampled - compiled}
    return {"modes": found.covered, "good": found.good, "updates": updates, **seconds}


def main(argv=None):
    """Train what is not there yet, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=harness.positive, default=10)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--only", nargs="+", choices=[*CONTENDERS], default=[*CONTENDERS])
    parser.add_argument("--output", type=pathlib.Path, help="folder of results")
    run = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as temporary:
        folder = run.output or pathlib.Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        report({name: measured(name, folder, run) for name in run.only})


def measured(name, folder, run):
    """Results of a contender by set and seed, and what was missing."""
    kept = folder / f"{name}.json"
    found = json.loads(kept.read_text()) if kept.exists() else {}
    for seed in range(run.first_seed, run.first_seed + run.seeds):
        for points in SETS:
            if (key := f"{points}-{seed}") not in found:
                found[key] = train(name, points, seed)
                print(name, key, found[key], flush=True)
                harness.keep(kept, json.dumps(found, indent=1))
    return found


def report(found):
    """Print for each contender and set how many seeds have all modes, and are good; means."""
    for name, results in found.items():
        for points, modes in SETS.items():
            runs = [result for key, result in results.items() if key.startswith(points)]
            print(f"{name:<10} {points}  {summary(runs, modes)}", flush=True)


def summary(runs, modes):
    """One line on the runs of a contender on a set."""
    n, of = len(runs), {what: [run[what] for run in runs] for what in runs[0]}
    whole, fine = sum(m == modes for m in of["modes"]), sum(g >= 0.95 for g in of["good"])
    mean = {what: statistics.mean(of[what]) for what in ("modes", "good")}
    training, sampling = (statistics.median(of[what]) for what in ("training", "sampling"))
    return (
        f"all modes in {whole} of {n} seeds, 95 % good in {fine} of {n}; mean {mean['modes']:.1f} "
        f"of {modes} modes, {mean['good']:.1%} good; {of['updates'][0]:,} updates in "
        f"{training:.0f} s, sampling {sampling:.2f} s"
    )


if __name__ == "__main__":
    harness.command(main)
