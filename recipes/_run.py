"""What the recipes share: flags, data, the fastest settings, and where the results are."""

import argparse
import itertools
import json
import shutil
import time
from pathlib import Path

import keras

import kgen

PRECISIONS = ["float32", "mixed_bfloat16", "mixed_float16"]
PARTS = "results.json", "settings.json", "run"


def parse(description, argv=None, **defaults):
    """Read the shared flags, seed everything, make the output folder; returns a namespace."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--dataset", default="digits", help="an embedded set or any TensorFlow Datasets name")
    add("--image-size", type=int, help="side of the images; their own by default")
    add("--epochs", type=int)
    add("--batch-size", type=int, default=128)
    add("--seed", type=int, default=0)
    add("--precision", choices=["auto", *PRECISIONS], default="auto", help="auto: the fastest")
    add("--jit", choices=["auto", "on", "off"], default="auto", help="XLA; auto: the fastest")
    add("--output", type=Path, help="folder of figures, model and checkpoints")
    add("--resume", action="store_true", help="continue the run in the output folder")
    add("--limit", type=int, help="use the first images only")
    parser.set_defaults(**defaults)
    run = parser.parse_args(argv)
    results, settings, checkpoints = (run.output / name for name in PARTS)
    if not run.resume and any(checkpoints.glob("*.npz")) and not results.exists():
        parser.error(
            f"{run.output} holds a run that has not come to its end: add --resume to continue it, "
            f"or delete {checkpoints} to start anew."
        )
    began = settings.read_text() if run.resume and settings.exists() else "{}"
    for name, value in json.loads(began).items():  # a run keeps what was chosen when it began
        if getattr(run, name) not in ("auto", value):
            parser.error(f"this run began with --{name} {value}: resume it with the same.")
        setattr(run, name, value)
    try:
        run.output.mkdir(parents=True, exist_ok=True)
        results.unlink(missing_ok=True)
    except OSError as error:
        parser.error(f"--output cannot be written: {error}")
    for leftover in () if run.resume else (checkpoints, run.output / "samples"):
        shutil.rmtree(leftover, ignore_errors=True)
    run.started = time.monotonic()
    keras.utils.set_random_seed(run.seed)
    return run


def load(run):
    """Training and test images of the run's dataset."""
    options = {"image_size": run.image_size, "seed": run.seed, "batch_size": run.batch_size}
    sets = [kgen.data.load(run.dataset, split, **options) for split in ("train", "test")]
    return [data.take(run.limit) for data in sets] if run.limit else sets


def choose_fastest(run, model, arguments, data):
    """Replace `auto` in `run.precision` and `run.jit` by what trains fastest on this device.

    Measured for a moment on a few batches; float32 without XLA stays unless something is a fifth
    faster. The choice is written beside the run and read again when it is resumed.
    """
    precisions = PRECISIONS[:2] if run.precision == "auto" else [run.precision]
    jits = {"jax": ["on"], "torch": ["off"]}.get(keras.backend.backend(), ["off", "on"])
    jits = jits if run.jit == "auto" else [run.jit]
    candidates, best_time = list(itertools.product(precisions, jits)), float("inf")
    best = candidates[0]
    few = data.take(8 * run.batch_size)
    for precision, jit in candidates if len(candidates) > 1 else []:
        trial = model(**arguments, dtype=precision)
        trial.compile(jit_compile=jit == "on")
        seconds = []
        for _ in range(3):  # the first one compiles
            start = time.perf_counter()
            trial.fit(few, verbose=0)
            seconds.append(time.perf_counter() - start)
        if min(seconds) < best_time / 1.2:
            best, best_time = (precision, jit), min(seconds)
    run.precision, run.jit = best
    (run.output / "settings.json").write_text(json.dumps({"precision": best[0], "jit": best[1]}))
    keras.utils.set_random_seed(run.seed)
    print(f"{data!r}, {keras.backend.backend()}, {run.precision}, XLA {run.jit}")


def report(run, results):
    """Print a short table of results and of what is in the output folder; write results.json."""
    results = results | {"seconds": time.monotonic() - run.started}
    (run.output / "results.json").write_text(json.dumps(results, indent=2) + "\n")
    for name, value in results.items():
        print(f"  {name:<{max(map(len, results))}}  {value:.5g}")
    print(f"In {run.output}: " + ", ".join(sorted(p.name for p in run.output.iterdir())))
