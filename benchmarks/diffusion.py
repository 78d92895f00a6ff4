"""How fast does the diffusion model train and sample? kgen beside plain PyTorch, in one run.

    python -m benchmarks.diffusion --python-peers PEERS/bin/python
    python -m benchmarks.diffusion --python-peers PEERS/bin/python --only sampling
    python -m benchmarks.diffusion --python-peers PEERS/bin/python --names "^(?!.*compiled)"

Every contender is a process of its own, and all of them run by turns, on `kgen.Diffusion` as it is
made for 28x28 images with ten labels: the U-Net on patches with 32 filters, cosine noise, the
velocity, batches of 128. That both sides have the same network and sampler is checked first: with
the same weights they give the same velocities and images within 1e-4.

`training`: kgen as a user runs it, `model.fit` on a uint8 array and its labels, one epoch a round,
beside plain PyTorch at its best: a bare loop over uint8 images on the device, no DataLoader, no
value fetched, fused Adam, the moving average; with and without channels_last and torch.compile.

`sampling`: kgen's `generate` beside such a loop, DDIM in 10 steps by the averaged network; what the
table calls a step is a batch of images.

Where there is a GPU, the same command uses it and adds mixed_float16.
"""

import argparse
import itertools
import json
import pathlib
import platform
import re
import shutil
import subprocess
import sys
import tempfile

from benchmarks import harness, vae
from benchmarks.gan import BACKENDS

IMAGE_SHAPE, CLASSES, PATCH, SIDE = (28, 28, 1), 10, 2, 14
TASKS = {
    "training": "Diffusion, training",
    "sampling": "Diffusion, DDIM in 10 steps",
}
SAMPLING_STEPS, WAVES, CHECKED = 10, 64, 8
WARM = 2


def layers(filters):
    """Layers of the network in the order of kgen's, then the products of its attention."""
    f, told, small = filters, 4 * filters, SIDE // 2
    pixels = small**2

    def convolution(side, inputs, outputs, kernel=3, **kwargs):
        return harness.convolution(side, side, kernel, inputs, outputs, **kwargs)

    def block(side, inputs, outputs):
        found = [convolution(side, inputs, outputs), harness.dense(told, 2 * outputs)]
        found += [convolution(side, inputs, outputs, 1)] if inputs != outputs else []
        found.append(convolution(side, outputs, outputs))
        if side > small:
            return found
        return [*found, *(harness.dense(pixels * outputs, n * outputs) for n in (3, 1))]

    begin = [
        harness.dense(WAVES, told, is_first=True),
        harness.dense(CLASSES, told, is_first=True),
        harness.dense(told, told),
        convolution(SIDE, PATCH**2, f, is_first=True),
    ]
    down = 2 * block(SIDE, f, f) + [convolution(small, f, 2 * f)] + 2 * block(small, 2 * f, 2 * f)
    middle = block(small, 2 * f, 2 * f) + block(small, 2 * f, 2 * f)[:-2]  # no attention
    up = 2 * block(small, 4 * f, 2 * f) + [convolution(SIDE, 2 * f, f)] + 2 * block(SIDE, 2 * f, f)
    products = 5 * 2 * [harness.Layer(pixels**2 * 2 * f)]
    return begin + down + middle + up + [convolution(SIDE, f, PATCH**2)] + products


def flops_of(task, filters):
    """Operations of one image: of its step of training, or of all steps that sample it."""
    if task == "training":
        return harness.training_flops(layers(filters))
    return SAMPLING_STEPS * 2 * sum(layer.multiplications for layer in layers(filters))


def build(settings):
    """The model that the settings describe."""
    import kgen

    return kgen.Diffusion(
        IMAGE_SHAPE[:2],
        filters=settings["filters"],
        condition=kgen.conditions.ClassLabels(CLASSES),
        dtype=settings["precision"],
    )


def weights_of(network):
    """Weights in the order of the peer's parameters: first what makes the embedding."""
    import keras

    found = sorted(network.layers, key=lambda layer: not isinstance(layer, keras.layers.Dense))
    return [array for layer in found for array in layer.get_weights()]


def write_network(file, filters=32):
    """Write a network for the peer to check: weights, inputs, and what it makes of them.

    Weights are drawn anew, since many are zero at first: kernels so that values keep their size.

    Args:
        file: `.npz`: "weight_0" and so on; "noisy" images, "times" and "labels", one of which is
            none, with the network's "velocities"; "noise" with the "images" that DDIM makes of it.
        filters: of the network.
    """
    import keras
    import numpy as np

    model, draw = build({"filters": filters, "precision": "float32"}), np.random.default_rng(0)
    model.compile()
    for variable in model.denoiser.trainable_variables:
        is_kernel, inputs = len(variable.shape) > 1, np.prod(variable.shape[:-1])
        first = 0 if is_kernel else keras.ops.convert_to_numpy(variable)  # scales are about 1
        std = inputs**-0.5 if is_kernel else 0.1
        variable.assign(first + std * draw.normal(size=variable.shape))
    model.denoiser_average.model.set_weights(model.denoiser.get_weights())
    inputs = {
        "noisy": draw.normal(size=(CHECKED, *IMAGE_SHAPE)).astype("float32"),
        "times": np.linspace(0.1, 1, CHECKED, dtype="float32"),
        "labels": np.arange(CHECKED, dtype="int32") - 1,
    }
    velocities = model.denoiser([*inputs.values()], training=False)
    images = model.generate(
        CHECKED, inputs["labels"] % CLASSES, "ddim", num_steps=SAMPLING_STEPS, seed=0
    )
    noise = np.random.default_rng(0).standard_normal(images.shape, "float32")  # that of seed 0
    weights = {f"weight_{n}": array for n, array in enumerate(weights_of(model.denoiser))}
    outputs = {"velocities": keras.ops.convert_to_numpy(velocities), "images": images}
    np.savez(file, noise=noise, **inputs, **outputs, **weights)


def prepare(settings):
    """The contender of kgen that the settings describe, in a process with its backend."""
    import keras
    import numpy as np
    from keras import ops

    import kgen

    if settings["task"] == "check":
        write_network(settings["file"], settings["filters"])
        return {}, None, None, None
    keras.utils.set_random_seed(0)
    batch_size, draw = settings["batch_size"], np.random.default_rng(0).integers
    model = build(settings)
    model.compile(jit_compile=settings["jit"])

    if settings["task"] == "training":
        count = settings["most_steps"] * batch_size
        images = draw(0, 256, (count, *IMAGE_SHAPE[:2]), "uint8")
        labels = draw(0, CLASSES, count)

        def run(steps):
            n = steps * batch_size
            model.fit(images[:n], labels[:n], batch_size=batch_size, verbose=0)
    else:

        def run(steps):
            model.generate(
                steps * batch_size,
                sampler="ddim",
                num_steps=SAMPLING_STEPS,
                batch_size=batch_size,
            )

    run(WARM)  # compiles
    run(WARM)
    dtype = settings["precision"].removeprefix("mixed_")
    matrix = ops.cast(keras.random.normal((harness.MATMUL, harness.MATMUL), seed=0), dtype)
    product, wait = vae.engine_of(settings["backend"])

    def memory():
        on_device = vae.jax_memory() if settings["backend"] == "jax" else 0
        return on_device or harness.peak_memory()

    about = {
        "parameters": int(sum(np.prod(v.shape) for v in model.variables_of("denoiser"))),
        "device": ", ".join(kgen.engine.backend.accelerators()) or "CPU",
        "version": f"Keras {keras.__version__}, {vae.version(settings['backend'])}",
    }
    return about, run, lambda: wait(product(matrix)), memory


def ours(name, precision, steps, environment=None, **settings):
    """A contender of kgen; `name` is a key of `BACKENDS`."""
    backend, jit = BACKENDS[name]
    settings = {"backend": backend, "jit": jit, "precision": precision, **settings}
    settings["most_steps"] = max(steps, WARM)
    return harness.Contender(
        f"kgen {name} {precision}",
        "kgen",
        precision,
        [sys.executable, "-m", "benchmarks.diffusion", "--serve", json.dumps(settings)],
        {
            "KERAS_BACKEND": backend,
            "TF_CPP_MIN_LOG_LEVEL": "3",
            "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
            "TF_FORCE_GPU_ALLOW_GROWTH": "true",
            **(environment or {}),
        },
    )


def peers(run, **settings):
    """Plain PyTorch in every way."""
    device, ways = "cuda" if run.gpu else "cpu", (False, True)
    for precision, last, compiled in itertools.product(run.precision, ways, ways):
        given = {**settings, "device": device, "channels_last": last, "compile": compiled}
        given["precision"] = precision.removeprefix("mixed_")
        name = "torch" + " channels_last" * last + " compiled" * compiled + f" {precision}"
        command = [run.python_peers, "-m", "benchmarks.torch_diffusion"]
        command.append(json.dumps({"serve": given}))
        yield harness.Contender(name, "torch", precision, command)


def contenders(run, steps, **settings):
    """Everything that is compared in one task: kgen on each backend, and PyTorch in every way."""
    found = [
        ours(name, precision, steps, **settings)
        for precision, name in itertools.product(run.precision, run.backend)
    ]
    found += peers(run, **settings) if run.python_peers else []
    return [c for c in found if re.search(run.names, c.name)]


def check_peer(run):
    """Raise a RuntimeError unless PyTorch's network and sampler are kgen's: on the CPU, float32."""
    log, alone = run.log or subprocess.DEVNULL, {"CUDA_VISIBLE_DEVICES": "-1"}
    with tempfile.TemporaryDirectory() as folder:
        settings = {"file": str(pathlib.Path(folder) / "network.npz"), "filters": run.filters}
        on_cpu = {**alone, "JAX_PLATFORMS": "cpu"}
        kgens = ours(run.backend[0], "float32", 0, on_cpu, task="check", **settings)
        harness.Worker(kgens, log).close()
        command = [run.python_peers, "-m", "benchmarks.torch_diffusion"]
        command.append(json.dumps({"check": settings}))
        peer = harness.Worker(harness.Contender("torch", "torch", "float32", command, alone), log)
        peer.close()
    found = ", ".join(f"{n} {most:.1e}" for n, most in peer.about["difference"].items())
    print(f"With the same weights, torch's outputs differ from kgen's by at most: {found}")


def compare(task, run):
    """Measure one task, everything by turns."""
    flops = flops_of(task, run.filters)
    in_round = (24e12 if run.gpu else 1.2e12) / (flops * run.batch_size)
    steps = run.steps or max(4, round(in_round))
    settings = {"task": task, "filters": run.filters, "batch_size": run.batch_size}
    rows = harness.measure(
        f"{TASKS[task]}, 28x28x1, {run.filters} filters, batches of {run.batch_size}",
        contenders(run, steps, **settings),
        rounds=run.rounds,
        steps=steps,
        images=run.batch_size,
        flops=flops,
        log=run.log,
    )
    print("on", *sorted({f"{row['device']} ({row['version']})" for row in rows}), sep="\n  ")
    return rows


def main(argv=None):
    """Measure."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add, positive, tasks = parser.add_argument, harness.positive, list(TASKS)
    add("--python-peers", help="Python with torch; without it, kgen alone")
    add("--only", choices=tasks, nargs="*", default=tasks, help="by default both")
    add("--backend", choices=list(BACKENDS), nargs="+", default=list(BACKENDS))
    add("--precision", nargs="*", help="float32 and mixed_bfloat16; mixed_float16 on GPUs")
    add("--names", default="", help="regular expression: contenders whose name it finds")
    add("--filters", type=positive, default=32, help="of the network, a multiple of 8")
    add("--batch-size", type=positive, default=128)
    add("--rounds", type=positive, default=5)
    add(
        "--steps",
        type=positive,
        help="updates or batches of a round; by default about 1.2 TFLOP, on GPUs 24",
    )
    add("--output", type=harness.file, help="JSON file that takes all numbers")
    add("--log", type=argparse.FileType("w"), help="file that takes what the contenders print")
    add("--serve", type=json.loads, help=argparse.SUPPRESS)
    run = parser.parse_args(argv)
    if run.serve:
        return harness.serve(lambda: prepare(run.serve))
    if run.filters % 8:
        parser.error(f"--filters must be a multiple of 8; got {run.filters}.")
    run.gpu = shutil.which("nvidia-smi") is not None
    run.precision = run.precision or ["float32", "mixed_bfloat16", "mixed_float16"][: 2 + run.gpu]
    print(f"{platform.machine()}, Python {platform.python_version()}")
    if run.python_peers:
        check_peer(run)
    rows = {task: compare(task, run) for task in run.only}
    if run.output:
        run.output.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    harness.command(main)
