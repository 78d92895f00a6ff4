"""How fast does a normalizing flow train? kgen beside normflows, in one run.

    python -m benchmarks.flows --python-peers PEERS/bin/python
    python -m benchmarks.flows --python-peers PEERS/bin/python --backend jax --rounds 3

Every contender is a process of its own, and all of them run by turns, on Glow for 28x28 images: two
levels of 8 steps, networks of 64 channels, batches of 128, in float32. kgen is
`kgen.NormalizingFlow` as a user runs it, `model.fit` on a uint8 array, one epoch a round; normflows
is its own Glow of that size with a bare loop (`benchmarks/torch_flows.py`), also compiled. The two
differ in what leaves between the levels: kgen's prior of it is a convolution, normflows' a Gaussian
for each channel.
"""

import argparse
import json
import platform
import re
import sys

from benchmarks import harness, vae
from benchmarks.gan import BACKENDS

IMAGE_SHAPE, LEVELS, WARM = (28, 28), 2, 2
APART = 0.05  # of the parameters, which the two priors make differ


def layers(steps, filters):
    """What the convolutions multiply, those of 1x1 that are inverted among them."""
    found, side, channels = [], IMAGE_SHAPE[0], 1
    for level in range(LEVELS):
        side, channels = side // 2, 4 * channels
        half = channels // 2
        for _ in range(steps):
            found.append(harness.Layer(side**2 * channels**2))
            sizes = ((3, half, filters), (1, filters, filters), (3, filters, 2 * half))
            found += [harness.convolution(side, side, *size) for size in sizes]
        if level < LEVELS - 1:
            found.append(harness.convolution(side, side, 3, half, 2 * half))
            channels = half
    return found


def prepare(settings):
    """The contender of kgen that the settings describe, in a process with its backend."""
    import keras
    import numpy as np

    import kgen

    keras.utils.set_random_seed(0)
    batch_size, sizes = settings["batch_size"], {k: settings[k] for k in ("steps", "filters")}
    model = kgen.NormalizingFlow(IMAGE_SHAPE, levels=LEVELS, dtype=settings["precision"], **sizes)
    model.compile(jit_compile=settings["jit"])
    count = settings["most_steps"] * batch_size
    images = np.random.default_rng(0).integers(0, 256, (count, *IMAGE_SHAPE), "uint8")

    def run(steps):
        model.fit(images[: steps * batch_size], batch_size=batch_size, verbose=0)

    run(WARM)  # compiles
    run(WARM)
    dtype = settings["precision"].removeprefix("mixed_")
    random = keras.random.normal((harness.MATMUL, harness.MATMUL), seed=0)
    matrix, (product, wait) = keras.ops.cast(random, dtype), vae.engine_of(settings["backend"])
    about = {
        "parameters": int(sum(np.prod(v.shape) for v in model.variables_of("flow"))),
        "device": ", ".join(kgen.engine.backend.accelerators()) or "CPU",
        "version": f"Keras {keras.__version__}, {vae.version(settings['backend'])}",
    }
    return about, run, lambda: wait(product(matrix)), harness.peak_memory


def contenders(run, steps):
    """Kgen on each backend, and normflows plain and compiled."""
    sizes = {"steps": run.flow_steps, "filters": run.filters, "batch_size": run.batch_size}
    found = []
    for name in run.backend:
        backend, jit = BACKENDS[name]
        given = {**sizes, "backend": backend, "jit": jit, "precision": "float32"}
        given["most_steps"] = max(steps, WARM)
        command = [sys.executable, "-m", "benchmarks.flows", "--serve", json.dumps(given)]
        environment = {"KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"}
        environment["XLA_PYTHON_CLIENT_PREALLOCATE"] = "false"
        environment["CUDA_VISIBLE_DEVICES"] = "-1"
        name = f"kgen {name}"
        found.append(harness.Contender(name, "kgen", "float32", command, environment))
    for compiled in (False, True) if run.python_peers else ():
        given = json.dumps({"serve": {**sizes, "compile": compiled}})
        command = [run.python_peers, "-m", "benchmarks.torch_flows", given]
        name = "normflows" + " compiled" * compiled
        found.append(harness.Contender(name, "normflows", "float32", command))
    return [c for c in found if re.search(run.names, c.name)]


def main(argv=None):
    """Measure."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add, positive = parser.add_argument, harness.positive
    add("--python-peers", help="Python with normflows; without it, kgen alone")
    add("--backend", choices=list(BACKENDS), nargs="+", default=list(BACKENDS))
    add("--names", default="", help="regular expression: contenders whose name it finds")
    add("--flow-steps", type=positive, default=8, help="of each level, K of Glow")
    add("--filters", type=positive, default=64, help="channels of the networks")
    add("--batch-size", type=positive, default=128)
    add("--rounds", type=positive, default=5)
    add("--steps", type=positive, default=20, help="updates of a round")
    add("--output", type=harness.file, help="JSON file that takes all numbers")
    add("--log", type=argparse.FileType("w"), help="file that takes what the contenders print")
    add("--serve", type=json.loads, help=argparse.SUPPRESS)
    run = parser.parse_args(argv)
    if run.serve:
        return harness.serve(lambda: prepare(run.serve))
    print(f"{platform.machine()}, Python {platform.python_version()}")
    rows = harness.measure(
        f"Glow, training, 28x28x1, K={run.flow_steps}, L={LEVELS}, {run.filters} channels, batches "
        f"of {run.batch_size}",
        contenders(run, run.steps),
        rounds=run.rounds,
        steps=run.steps,
        images=run.batch_size,
        flops=harness.training_flops(layers(run.flow_steps, run.filters)),
        log=run.log,
        apart=APART,
    )
    print("on", *sorted({f"{row['device']} ({row['version']})" for row in rows}), sep="\n  ")
    if run.output:
        run.output.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    harness.command(main)
