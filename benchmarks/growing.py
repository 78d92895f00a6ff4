"""Does growing pay, and what does each part of progressive growing do? On drawn faces.

    python -m benchmarks.growing --image-size 64 --images 150000 --without nothing growing
    python -m benchmarks.growing --image-size 32 --images 60000
    python -m benchmarks.growing --memory

`kgen.ProgressiveGAN` whole, and without one part at a time, each as often as there are seeds, by
turns. Every training sees as many images; one that grows as many at each resolution, half of them
while it fades in. Without growing, the largest networks see all of them from the first on. Networks
are narrow: 8 filters at 32x32 pixels, 32 at most, 64 latents, batches of 16, a learning rate of
0.002 (`--learning-rate`).

Printed are means over the seeds and their standard errors: seconds of `fit` from its first line to
its last, compilation included, and of the processor; the sliced Wasserstein distance (x 1,000) and
the Frechet distance in the features of kgen's judge of faces, both to faces that were not trained
on; MS-SSIM between samples, beside that of real ones. `--output` keeps what is measured; what is
there is not redone, and holds the losses by epoch, too. `--precision` trains all of them in it.

`--memory` takes the paper's networks at 1024x1024 instead, in batches of 3, from the beginning of
their last resolution: seconds of an update of both networks, and the peak of the process.
"""

import argparse
import json
import pathlib
import tempfile
import time

import keras
import numpy as np

import kgen
from benchmarks import harness

PARTS = {  # names in tables, and arguments of the model
    "nothing": {},
    "growing": {"growing": False},
    "minibatch statistics": {"minibatch_statistics": False},
    "equalized rate": {"equalized": False},
    "pixel normalization": {"pixel_normalization": False},
}
FILTERS_BASE, MAX_FILTERS, LATENT_DIM, BATCH_SIZE = 128, 32, 64, 16
FACES, MEASURED, PAIRS = 10_000, 4_000, 5_000
SIZES = [2**n for n in range(4, 11)]  # of fewer pixels there is no MS-SSIM
MEASURES = ["seconds", "processor", "SWD", "Frechet", "MS-SSIM"]


def model(size, images, without, seed, precision, rate):
    """A model that sees so many images, without a part of it."""
    each = images // (size.bit_length() - 2)
    schedule = kgen.schedules.GrowingSchedule(
        size,
        fade_images=each // 2,
        stable_images=[each] + [each - each // 2] * (size.bit_length() - 3),
        batch_size=BATCH_SIZE,
        learning_rate=rate,
    )
    widths = {"filters_base": FILTERS_BASE, "max_filters": MAX_FILTERS}
    given = {"schedule": schedule, "seed": seed, "dtype": precision, **widths, **PARTS[without]}
    return kgen.ProgressiveGAN((size, size, 3), LATENT_DIM, **given)


def train(faces, test, images, without, seed, precision, rate):
    """Train one; returns what is measured, by name."""
    keras.utils.clear_session()
    keras.utils.set_random_seed(seed)
    gan = model(faces.image_shape[0], images, without, seed, precision, rate)
    gan.compile()
    start = time.perf_counter(), time.process_time()
    history = gan.fit(faces, verbose=0).history
    seconds, processor = time.perf_counter() - start[0], time.process_time() - start[1]
    made = gan.generate(MEASURED, seed=seed)
    metrics = kgen.metrics.evaluate(test, made, "faces", ["fid", "sliced_wasserstein"]).values
    return {
        "seconds": seconds,
        "processor": processor,
        "SWD": metrics["sliced_wasserstein"],
        "Frechet": metrics["fid"],
        "MS-SSIM": float(kgen.metrics.ms_ssim(made, pairs=PAIRS)),
        "images": int(gan.images_seen()),
        "losses": {name: history[name] for name in ("discriminator_loss", "generator_loss")},
    }


def main(argv=None):
    """Train what is not there yet, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--image-size", type=int, choices=SIZES, default=32)
    parser.add_argument("--images", type=harness.positive, default=60_000, help="that each sees")
    parser.add_argument("--without", choices=list(PARTS), nargs="*", default=list(PARTS))
    parser.add_argument("--seeds", type=harness.positive, default=3)
    parser.add_argument("--learning-rate", type=float, default=2e-3)
    parser.add_argument("--precision", default="float32")
    parser.add_argument("--memory", action="store_true", help="seconds and memory at 1024x1024")
    parser.add_argument("--output", type=pathlib.Path, help="folder of results")
    run = parser.parse_args(argv)
    if run.memory:
        return memory()
    with tempfile.TemporaryDirectory() as temporary:
        folder = run.output or pathlib.Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        precision = f"_{run.precision}" * (run.precision != "float32")
        rate = f"_{run.learning_rate:g}" * (run.learning_rate != 2e-3)
        kept = folder / f"growing_{run.image_size}_{run.images}{precision}{rate}.json"
        found = json.loads(kept.read_text()) if kept.exists() else {}
        images = {"image_size": run.image_size, "memory": 2**31}
        faces = kgen.data.load("faces", num_examples=FACES, **images)
        test = kgen.data.load("faces", "test", num_examples=MEASURED, **images)
        if "real" not in found:
            found["real"] = real(faces, test)
        for seed in range(run.seeds):
            for without in run.without:
                if (name := f"{without}, seed {seed}") not in found:
                    found[name] = train(
                        faces, test, run.images, without, seed, run.precision, run.learning_rate
                    )
                    shown = {measure: found[name][measure] for measure in MEASURES}
                    print(name, shown, flush=True)
                    harness.keep(kept, json.dumps(found, indent=1))
    report(found)


def memory():
    """Print what an update of the paper's networks takes at 1024x1024."""
    size, batch_size, steps = 1024, 3, 2
    lengths = {"fade_images": batch_size, "stable_images": batch_size}
    schedule = kgen.schedules.GrowingSchedule(size, **lengths, batch_size=batch_size)
    gan = kgen.ProgressiveGAN((size, size, 3), schedule=schedule, seed=0)
    gan.compile()
    gan.step.assign(sum(level.steps for level in schedule.levels[:-1]))
    shape = (steps * batch_size, size, size, 3)
    noise = np.random.default_rng(0).integers(0, 256, shape, "uint8")
    ends = [time.perf_counter()]
    watch = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: ends.append(time.perf_counter())
    )
    losses = gan.fit(noise, verbose=0, callbacks=[watch]).history
    seconds = ", then ".join(f"{second:.0f}" for second in np.diff(ends))
    print(f"{keras.backend.backend()}, batches of {batch_size} at {size}x{size}: {seconds} s")
    print(f"peak: {harness.peak_memory() / 2**30:.1f} GiB")
    print({name: [f"{value:.3g}" for value in values] for name, values in losses.items()})


def real(faces, test):
    """The measures of real images, which no model comes below."""
    some = faces.images(MEASURED)
    metrics = kgen.metrics.evaluate(test, some, "faces", ["fid", "sliced_wasserstein"]).values
    ssim = float(kgen.metrics.ms_ssim(some, pairs=PAIRS))
    return {"SWD": metrics["sliced_wasserstein"], "Frechet": metrics["fid"], "MS-SSIM": ssim}


def report(found):
    """Print means and standard errors as a table."""
    print("| without | seeds |", " | ".join(MEASURES), "|")
    print("|---" * (2 + len(MEASURES)) + "|")
    for without in PARTS:
        runs = [run for name, run in found.items() if name.startswith(f"{without}, ")]
        if runs:
            cells = [spread([run[name] for run in runs]) for name in MEASURES]
            print(f"| {without} | {len(runs)} |", " | ".join(cells), "|")
    cells = [f"{found['real'][name]:.3g}" if name in found["real"] else "" for name in MEASURES]
    print("| real images | |", " | ".join(cells), "|")


def spread(values):
    """A mean, and its standard error where there are two values or more."""
    if len(values) == 1:
        return f"{values[0]:.3g}"
    return f"{np.mean(values):.3g} ± {np.std(values, ddof=1) / np.sqrt(len(values)):.2g}"


if __name__ == "__main__":
    harness.command(main)
