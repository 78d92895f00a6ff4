"""What the recipes share: flags, data, the fastest settings, and where the results are."""

import argparse
import json
import shutil
import time
from pathlib import Path

import keras

import kgen


def parse(description, argv=None, **defaults):
    """Read the shared flags, seed everything, make the output folder; returns a namespace."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    defaults = {"dataset": "digits", "batch_size": 128, "seed": 0, "epochs": 1} | defaults
    add = parser.add_argument
    add("--dataset", help="an embedded set or any TensorFlow Datasets name")
    add("--image-size", type=int, help="side of the images; their own by default")
    add("--epochs", type=int)
    add("--batch-size", type=int)
    add("--seed", type=int)
    precisions = ["auto", "float32", "mixed_bfloat16", "mixed_float16"]
    add("--precision", choices=precisions, default="auto", help="auto: the fastest, measured once")
    add("--jit", choices=["auto", "on", "off"], default="auto", help="XLA; auto: the fastest")
    add("--output", type=Path, help="folder of figures, model and checkpoints")
    add("--resume", action="store_true", help="continue the run in the output folder")
    add("--limit", type=int, help="use the first images only")
    parser.set_defaults(**defaults)
    run = parser.parse_args(argv)
    run.output.mkdir(parents=True, exist_ok=True)
    if not run.resume:
        for leftover in (run.output / "run", run.output / "samples"):
            shutil.rmtree(leftover, ignore_errors=True)
        (run.output / "settings.json").unlink(missing_ok=True)
    run.started = time.monotonic()
    keras.utils.set_random_seed(run.seed)
    return run


def load(run):
    """Training and test images of the run's dataset."""
    sets = []
    for split in ("train", "test"):
        data = kgen.data.load(
            run.dataset, split=split, image_size=run.image_size, seed=run.seed,
            batch_size=run.batch_size,
        )  # fmt: skip
        sets.append(data.take(run.limit) if run.limit else data)
    return sets


def fastest(run, make, data):
    """Settings that train fastest on this device: precision and XLA, measured for a moment.

    Written beside the run and read again when it is resumed: a run keeps its settings. float32
    stays unless something is a fifth faster.

    Args:
        run: from `parse`; flags other than `auto` are kept.
        make: makes the model from a dtype policy.
        data: the training images.
    """
    path = run.output / "settings.json"
    if path.exists():
        return json.loads(path.read_text())
    backend = keras.backend.backend()
    precisions = ["float32", "mixed_bfloat16"] if run.precision == "auto" else [run.precision]
    jits = {"on": [True], "off": [False], "auto": [False, True]}[run.jit]
    if run.jit == "auto" and backend != "tensorflow":  # JAX is always compiled, torch seldom well
        jits = [backend == "jax"]
    candidates = [{"precision": p, "jit": j} for p in precisions for j in jits]
    best, best_time = candidates[0], None
    for settings in candidates if len(candidates) > 1 else []:
        model = make(settings["precision"])
        model.compile(jit_compile=settings["jit"])
        few = data.take(min(8 * data.batch_size, data.num_examples))
        size = min(data.batch_size, few.num_examples)
        model.fit(few, batch_size=size, verbose=0)  # compiles
        start = time.perf_counter()
        model.fit(few, batch_size=size, epochs=2, verbose=0)
        seconds = time.perf_counter() - start
        if best_time is None or seconds < best_time / 1.2:
            best, best_time = settings, seconds
    path.write_text(json.dumps(best))
    keras.utils.set_random_seed(run.seed)
    return best


def report(run, results):
    """Print a short table of results and of what is in the output folder; write results.json."""
    results = {**results, "seconds": time.monotonic() - run.started}
    (run.output / "results.json").write_text(json.dumps(results, indent=2) + "\n")
    width = max(map(len, results))
    for name, value in results.items():
        print(
            f"  {name:<{width}}  {value:.5g}" if isinstance(value, float) else f"  {name} {value}"
        )
    print(f"In {run.output}: " + ", ".join(sorted(p.name for p in run.output.iterdir())))
