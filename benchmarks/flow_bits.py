"""Does a flow learn as well? Bits per dimension of the full Fashion-MNIST beside normflows.

    python -m benchmarks.flow_bits --python-peers PEERS/bin/python --output FOLDER
    python -m benchmarks.flow_bits --python-peers PEERS/bin/python --threads 1 --epochs 1

Both train Glow of the same size, two levels of 8 steps, networks of 64 channels, on the 60,000
training images: 5 epochs, batches of 128, float32, one after the other. kgen is as it comes, but
for `--margin`; normflows has the optimizer of its own example (Adamax, 1e-3, weight decay 1e-5), or
that of `--peer-settings`. Reported are the bits per dimension of the 10,000 test images with
uniform noise, by each library's own code, with the standard error of the mean, and the seconds of
training, compilation included.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np

from benchmarks import harness
from benchmarks.harness import ROOT, keep
from benchmarks.vae_elbo import export


def train(data, output, seed, epochs, batch_size, steps, filters, margin=None, threads=None):
    """Train kgen's flow on the images of a file; write what `torch_flows.train` does."""
    harness.on_cores(threads)
    import keras

    import kgen

    keras.utils.set_random_seed(seed)
    with np.load(data) as arrays:
        images, test = arrays["train"], arrays["test"]
    further = {} if margin is None else {"margin": margin}
    flow = kgen.networks.glow((28, 28, 1), levels=2, steps=steps, filters=filters, **further)
    model = kgen.NormalizingFlow((28, 28), flow=flow, seed=seed)
    model.compile()
    began = time.perf_counter(), time.process_time()
    model.fit(images, epochs=epochs, batch_size=batch_size, verbose=2)
    seconds, processor = time.perf_counter() - began[0], time.process_time() - began[1]
    numbers = {"seconds": seconds, "processor_seconds": processor}
    numbers["bits"] = model.bits_per_dim(test).tolist()
    numbers["parameters"] = int(sum(np.prod(v.shape) for v in model.variables_of("flow")))
    keep(pathlib.Path(output), json.dumps(numbers))


def main(argv=None):
    """Train what is not there yet, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add, positive = parser.add_argument, harness.positive
    add("--python-peers", required=True, help="Python with normflows")
    add("--epochs", type=positive, default=5)
    add("--batch-size", type=positive, default=128)
    add("--steps", type=positive, default=8, help="of each level, K of Glow")
    add("--filters", type=positive, default=64, help="channels of the networks")
    add("--margin", type=float, help="of kgen's logit; by default its own, normflows has 0.05")
    add("--peer-settings", type=json.loads, default={}, help="of its optimizer, a JSON object")
    add("--threads", type=positive, help="cores for each side (Linux); by default all")
    add("--seed", type=int, default=0)
    add("--output", type=pathlib.Path, help="folder of results; what is there is not redone")
    add("--train", type=json.loads, help=argparse.SUPPRESS)
    given = sys.argv[1:] if argv is None else argv
    if "--train" in given:  # a process that this one started
        return train(**json.loads(given[given.index("--train") + 1]))
    run = parser.parse_args(argv)
    if run.margin is not None and not 0 <= run.margin < 0.5:
        parser.error(f"--margin must be at least 0 and below 0.5; got {run.margin}.")
    if not isinstance(run.peer_settings, dict):
        parser.error(f"--peer-settings is a JSON object; got {run.peer_settings!r}.")
    with tempfile.TemporaryDirectory() as temporary:
        folder = (run.output or pathlib.Path(temporary)).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        others = ("python_peers", "output", "train")
        settings = {name: value for name, value in vars(run).items() if name not in others}
        kept = folder / "settings.json"
        if kept.exists() and json.loads(kept.read_text()) != settings:
            parser.error(f"{folder} is of {kept.read_text()}: choose another --output.")
        keep(kept, json.dumps(settings))
        report(compare(folder, settings, run.python_peers))


def compare(folder, settings, python_peers):
    """Train both sides, each in a process of its own, unless its results are there."""
    data = folder / "fashion_mnist.npz"
    if not data.exists():
        export(data)
    further, margin, found = settings.pop("peer_settings"), settings.pop("margin"), {}
    for name in ("normflows", "kgen"):
        output = folder / f"{name}.json"
        job = {**settings, "data": str(data), "output": str(output)}
        given = json.dumps({**job, "margin": margin})
        command = [sys.executable, "-m", "benchmarks.flow_bits", "--train", given]
        if name == "normflows":
            given = json.dumps({"train": {**job, **further}})
            command = [python_peers, "-m", "benchmarks.torch_flows", given]
        if not output.exists():
            with open(output.with_suffix(".log"), "a") as log:
                done = subprocess.run(command, cwd=ROOT, env=os.environ, stdout=log, stderr=log)
            if done.returncode:
                raise RuntimeError(f"{name} failed, see {log.name}")
        found[name] = json.loads(output.read_text())
    return found


def report(found):
    """Print the bits, and what they took."""
    means = {}
    for name, numbers in found.items():
        bits = numbers["bits"]
        means[name], error = statistics.mean(bits), statistics.stdev(bits) / len(bits) ** 0.5
        print(
            f"{name:<10} {numbers['parameters']:>9,} parameters  {means[name]:.4f} +- {error:.4f} "
            f"bits per dimension  {numbers['seconds']:,.0f} s "
            f"({numbers['processor_seconds']:,.0f} s of the processor)"
        )
    share = means["kgen"] / means["normflows"] - 1
    ratio = found["normflows"]["seconds"] / found["kgen"]["seconds"]
    print(f"kgen costs {share:+.2%} of normflows' bits, in 1/{ratio:.2f} of its time")


if __name__ == "__main__":
    harness.command(main)
