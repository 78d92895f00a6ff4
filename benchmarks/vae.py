"""How fast does it train? kgen's VAE beside plain PyTorch and pythae, in one run.

    python -m benchmarks.vae --python-peers PEERS/bin/python
    python -m benchmarks.vae --python-peers PEERS/bin/python --model convolutional --only float32

Every contender is a process of its own, and all of them run by turns, on the same network, batches
of 128 random 28x28 images, a Bernoulli decoder and Adam. kgen is measured as a user runs it:
`model.fit` on a uint8 array, one epoch a round, everything that `fit` does included. Plain PyTorch
gets a bare loop at its best: float images on the device already, no DataLoader, no value fetched in
any step, logits; with and without fused Adam, channels_last and torch.compile. pythae runs its own
trainer's steps, and, as "bare", its model in such a bare loop.

Where there is a GPU, the same command uses it, adds mixed_float16, and leaves out what the
environment does not have.
"""

import argparse
import itertools
import json
import platform
import re
import shutil
import sys

from benchmarks import harness

BATCH, LATENT = 128, 10
LAYERS = {
    "dense": [
        harness.dense(784, 512, is_first=True),
        harness.dense(512, 2 * LATENT),
        harness.dense(LATENT, 512),
        harness.dense(512, 784),
    ],
    "convolutional": [
        harness.convolution(14, 14, 4, 1, 32, is_first=True),
        harness.convolution(7, 7, 4, 32, 64),
        harness.dense(64 * 49, 2 * LATENT),
        harness.dense(LATENT, 64 * 49),
        harness.convolution(7, 7, 4, 64, 32),
        harness.convolution(14, 14, 4, 32, 1),
    ],
}
BACKENDS = {  # name: backend, jit_compile, steps_per_execution
    "jax": ("jax", True, 1),
    "tensorflow": ("tensorflow", False, 1),
    "tensorflow XLA": ("tensorflow", True, 1),
    "tensorflow XLA x16": ("tensorflow", True, 16),
    "torch": ("torch", False, 1),
    "torch compiled": ("torch", True, 1),
}


def prepare(settings):
    """The contender of kgen that the settings describe, in a process with its backend."""
    import keras
    import numpy as np
    from keras import ops

    import kgen

    keras.utils.set_random_seed(0)
    most = settings["most_steps"] * BATCH
    images = np.random.default_rng(0).integers(0, 256, (most, 28, 28), "uint8")
    model = kgen.VAE(
        (28, 28),
        LATENT,
        reconstruction="bernoulli",
        network=settings["network"],
        dtype=settings["precision"],
    )
    model.compile(jit_compile=settings["jit"], steps_per_execution=settings["at_once"])

    def run(steps):
        model.fit(images[: steps * BATCH], batch_size=BATCH, verbose=0)

    run(max(4, settings["at_once"]))  # compiles
    run(max(4, settings["at_once"]))
    dtype = settings["precision"].removeprefix("mixed_")
    a = ops.cast(keras.random.normal((harness.MATMUL, harness.MATMUL), seed=0), dtype)
    product, wait = engine_of(settings["backend"])

    def memory():
        if settings["backend"] == "jax" and (on_device := jax_memory()):
            return on_device
        return harness.peak_memory()

    about = {
        "parameters": model.encoder.count_params() + model.decoder.count_params(),
        "device": ", ".join(kgen.engine.backend.accelerators()) or "CPU",
        "version": f"Keras {keras.__version__}, {version(settings['backend'])}",
    }
    return about, run, lambda: wait(product(a)), memory


def engine_of(backend):
    """A compiled matrix product of a backend, and what waits for it."""
    if backend == "jax":
        import jax

        return jax.jit(lambda a: a @ a), jax.block_until_ready
    if backend == "tensorflow":
        import tensorflow as tf

        return tf.function(lambda a: a @ a), lambda a: a[0, 0].numpy()
    return lambda a: a @ a, lambda a: a[0, 0].item()


def jax_memory():
    """Peak bytes on the accelerator, where JAX counts them."""
    import jax

    return (jax.devices()[0].memory_stats() or {}).get("peak_bytes_in_use", 0)


def version(backend):
    """Name and version of a backend."""
    from importlib.metadata import version

    return f"{backend} {version(backend)}"


def contenders(network, precisions, python_peers, most_steps):
    """Everything that is compared on one network."""
    common = {"network": network, "most_steps": most_steps}
    found = []
    for precision, (name, (backend, jit, at_once)) in itertools.product(
        precisions, BACKENDS.items()
    ):
        settings = {**common, "precision": precision, "backend": backend}
        settings |= {"jit": jit, "at_once": at_once}
        found.append(
            harness.Contender(
                f"kgen {name} {precision}",
                "kgen",
                precision,
                [sys.executable, "-m", "benchmarks.vae", "--serve", json.dumps(settings)],
                {
                    "KERAS_BACKEND": backend,
                    "TF_CPP_MIN_LOG_LEVEL": "3",
                    "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
                    "TF_FORCE_GPU_ALLOW_GROWTH": "true",
                },
            )
        )
    if python_peers is None:
        return found

    def peer(name, side, precision, **settings):
        settings = json.dumps({**common, "precision": precision, **settings})
        command = [python_peers, "-m", "benchmarks.torch_vae", settings]
        found.append(harness.Contender(f"{name} {precision}", side, precision, command))

    layouts = [False, True] if network == "convolutional" else [False]
    ways = [(False, False), (True, False), (True, True)]
    for precision, last, (fused, compiled) in itertools.product(precisions, layouts, ways):
        name = "torch" + " channels_last" * last + " fused" * fused + " compiled" * compiled
        settings = {"channels_last": last, "fused": fused, "compile": compiled}
        peer(name, "torch", precision, library="torch", **settings)
    peer("pythae", "pythae", "float32", library="pythae", bare=False)
    peer("pythae bare", "pythae", "float32", library="pythae", bare=True)
    return found


def main(argv=None):
    """Measure."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--python-peers", help="Python with torch and pythae; without it, kgen alone")
    add("--model", choices=list(LAYERS), nargs="*", default=list(LAYERS))
    add("--precision", nargs="*", help="float32 and mixed_bfloat16; mixed_float16 on GPUs")
    add("--only", default="", help="regular expression: contenders whose name it finds")
    add("--rounds", type=harness.positive, default=5)
    add("--steps", type=harness.positive, help="of a round; 468 (an epoch of MNIST) or 200")
    add("--output", type=harness.file, help="JSON file that takes all numbers")
    add("--log", type=argparse.FileType("w"), help="file that takes what the contenders print")
    add("--serve", type=json.loads, help=argparse.SUPPRESS)
    run = parser.parse_args(argv)
    if run.serve:
        return harness.serve(lambda: prepare(run.serve))
    gpu = shutil.which("nvidia-smi") is not None
    precisions = run.precision or ["float32", "mixed_bfloat16", "mixed_float16"][: 2 + gpu]
    print(f"{platform.machine()}, Python {platform.python_version()}")
    rows = {}
    for network in run.model:
        steps = run.steps or {"dense": 468, "convolutional": 200}[network] * (10 if gpu else 1)
        chosen = contenders(network, precisions, run.python_peers, steps)
        rows[network] = harness.measure(
            f"{network} VAE",
            [c for c in chosen if re.search(run.only, c.name)],
            rounds=run.rounds,
            steps=steps,
            images=BATCH,
            flops=harness.training_flops(LAYERS[network]),
            log=run.log,
        )
        print("on", *sorted({f"{r['device']} ({r['version']})" for r in rows[network]}), sep="\n  ")
    if run.output:
        run.output.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    harness.command(main)
