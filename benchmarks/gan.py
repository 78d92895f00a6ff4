"""How fast does the DCGAN train? kgen beside plain PyTorch, in one run.

    python -m benchmarks.gan --python-peers PEERS/bin/python
    python -m benchmarks.gan --python-peers PEERS/bin/python --image-size 64 --channels 3
    python -m benchmarks.gan --only steps transpose

Every contender is a process of its own, and all of them run by turns, on the same network (Radford
et al., 2016) and random images, in batches of 128 (`--batch-size`). An update is one step of the
discriminator, one of the generator, and the generator's moving average.

`speed`: kgen as a user runs it, `model.fit` on a uint8 array, one epoch a round, beside plain
PyTorch at its best: a bare loop over uint8 images on the device, no DataLoader, no value fetched,
fused Adam; with and without channels_last and torch.compile.

`steps`: how long an update with k = 5 takes, compared with five steps of the discriminator and one
of the generator, each measured alone by `fit`, on each backend.

`transpose`: strided convolutions and transposed ones as kgen writes them out beside Keras's own, on
JAX and TensorFlow, also where kgen takes Keras's.

Where there is a GPU, the same command uses it and adds mixed_float16.
"""

import argparse
import contextlib
import itertools
import json
import platform
import re
import shutil
import statistics
import subprocess
import sys

from benchmarks import harness, vae

LATENT, STEPS = 100, 5
BACKENDS = {  # name: backend, jit_compile
    "jax": ("jax", True),
    "tensorflow": ("tensorflow", False),
    "tensorflow XLA": ("tensorflow", True),
    "torch": ("torch", False),
}


def layers(side, channels):
    """Layers of generator and discriminator, in the order of the forward pass."""
    sides, filters = [side], [channels]
    while sides[-1] >= 8:
        sides.append(sides[-1] // 2)
        filters.append(min(64 * 2 ** (len(sides) - 2), 512))
    features = sides[-1] ** 2 * filters[-1]
    discriminator = [
        harness.convolution(size, size, 4, inputs, outputs, is_first=size == sides[1])
        for size, inputs, outputs in zip(sides[1:], filters, filters[1:], strict=False)
    ]
    generator = [harness.dense(LATENT, features, is_first=True)]
    generator += [harness.Layer(layer.multiplications) for layer in reversed(discriminator)]
    return generator, [*discriminator, harness.dense(features, 1)]


def update_flops(side, channels):
    """Operations of one update for one image of a batch.

    The discriminator's step: the generator forward, the discriminator forward and backward for a
    real and a generated image. The generator's: both networks forward and backward, the
    discriminator without the gradients of its weights.
    """
    generator, discriminator = layers(side, channels)
    once = {
        network: 2 * sum(layer.multiplications for layer in found)
        for network, found in (("generator", generator), ("discriminator", discriminator))
    }
    first = once["generator"] + 2 * harness.training_flops(discriminator)
    second = harness.training_flops(generator) + 2 * once["discriminator"]
    return first + second


def model_of(part):
    """The class of the model: `kgen.GAN`, or one whose update is the step of one player alone."""
    from keras import ops

    import kgen

    class DiscriminatorStep(kgen.GAN):
        logs = ("discriminator_loss",)

        def update(self, batch):
            fake = ops.stop_gradient(self.sample(batch, training=True))
            loss, _ = self.minimize("discriminator", self.discriminator_loss, batch, fake)
            return {"discriminator_loss": loss}

    class GeneratorStep(kgen.GAN):
        logs = ("generator_loss",)

        def update(self, batch):
            loss = self.minimize("generator", self.generator_loss, batch)
            self.generator_average.update(self.step)
            return {"generator_loss": loss}

    parts = {"update": kgen.GAN, "discriminator": DiscriminatorStep, "generator": GeneratorStep}
    return parts[part]


def prepare(settings):
    """The contender of kgen that the settings describe, in a process with its backend.

    A step of it is an update, or (`part`) `k` steps of the discriminator or one of the generator.
    """
    import keras
    import numpy as np
    from keras import ops

    import kgen
    from kgen.layers import convolutions

    keras.utils.set_random_seed(0)
    if settings["convolutions"] == "keras":
        convolutions._is_written_out = lambda layer, inputs: False
    elif settings["convolutions"] == "written out":
        convolutions._is_traced_for_xla = lambda: True
    shape, batch_size = settings["image_shape"], settings["batch_size"]
    at_once = settings["k"] * batch_size
    count = settings["most_steps"] * at_once
    images = np.random.default_rng(0).integers(0, 256, (count, *shape), "uint8")
    model = model_of(settings["part"])(
        shape,
        LATENT,
        variant="dcgan",
        discriminator_steps=settings["k"] if settings["part"] == "update" else 1,
        dtype=settings["precision"],
    )
    model.compile(jit_compile=settings["jit"])

    def run(steps):
        model.fit(images[: steps * at_once], batch_size=batch_size, verbose=0)

    run(2)  # compiles
    run(2)
    dtype = settings["precision"].removeprefix("mixed_")
    a = ops.cast(keras.random.normal((harness.MATMUL, harness.MATMUL), seed=0), dtype)
    product, wait = vae.engine_of(settings["backend"])

    def memory():
        on_device = vae.jax_memory() if settings["backend"] == "jax" else 0
        return on_device or harness.peak_memory()

    trained = [*model.variables_of("generator"), *model.variables_of("discriminator")]
    about = {
        "parameters": int(sum(np.prod(variable.shape) for variable in trained)),
        "device": ", ".join(kgen.engine.backend.accelerators()) or "CPU",
        "version": f"Keras {keras.__version__}, {vae.version(settings['backend'])}",
    }
    return about, run, lambda: wait(product(a)), memory


def ours(name, run, precision="float32", side="kgen", **settings):
    """A contender of kgen; `name` begins with a key of `BACKENDS`."""
    backend, jit = BACKENDS[name.partition(",")[0]]
    defaults = {"part": "update", "k": 1, "convolutions": "kgen"}
    settings = {**defaults, "backend": backend, "jit": jit, "precision": precision, **settings}
    settings |= {"image_shape": run.image_shape, "batch_size": run.batch_size}
    settings["most_steps"] = run.steps
    return harness.Contender(
        f"{side} {name} {precision}",
        side,
        precision,
        [sys.executable, "-m", "benchmarks.gan", "--serve", json.dumps(settings)],
        {
            "KERAS_BACKEND": backend,
            "TF_CPP_MIN_LOG_LEVEL": "3",
            "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
            "TF_FORCE_GPU_ALLOW_GROWTH": "true",
        },
    )


def peers(run):
    """Plain PyTorch in every way."""
    device, ways = "cuda" if run.gpu else "cpu", (False, True)
    for precision, last, compiled in itertools.product(run.precision, ways, ways):
        settings = {"image_shape": run.image_shape, "batch_size": run.batch_size}
        settings |= {"device": device, "channels_last": last}
        settings |= {"compile": compiled, "precision": precision.removeprefix("mixed_")}
        name = "torch" + " channels_last" * last + " compiled" * compiled + f" {precision}"
        command = [run.python_peers, "-m", "benchmarks.torch_dcgan"]
        command.append(json.dumps({"serve": settings}))
        yield harness.Contender(name, "torch", precision, command)


def compare(title, contenders, run):
    """Run contenders by turns, print their table."""
    side, _, channels = run.image_shape
    rows = harness.measure(
        f"{title}, {side}x{side}x{channels}, batches of {run.batch_size}",
        contenders,
        rounds=run.rounds,
        steps=run.steps,
        images=run.batch_size,
        flops=update_flops(side, channels),
        log=run.log,
    )
    print("on", *sorted({f"{row['device']} ({row['version']})" for row in rows}), sep="\n  ")
    return rows


def speed(run):
    """Kgen beside plain PyTorch."""
    found = [ours(name, run, p) for p, name in itertools.product(run.precision, run.backend)]
    found += peers(run) if run.python_peers else []
    return compare("DCGAN", [c for c in found if re.search(run.names, c.name)], run)


def transpose(run):
    """Convolutions that are written out beside Keras's."""
    rows = []
    for name, precision in itertools.product(run.backend, run.precision):
        if name != "torch":  # there they are Keras's
            sides = ("written out", "keras")
            sides = [ours(name, run, precision, side, convolutions=side) for side in sides]
            rows += compare(f"{name}, convolutions written out and of Keras", sides, run)
    return rows


def steps(run):
    """An update with k steps beside its parts."""
    rows = [steps_of(name, run) for name in run.backend]
    print(
        f"\nk = {STEPS} beside {STEPS} steps of the discriminator and one of the generator, alone"
    )
    for row in rows:
        median, least, most = row["ratio"]
        print(
            f"{row['name']:<16} {median:.2f} ({least:.2f}-{most:.2f}) x the parts' time: "
            f"{row['update']:.3f} s, {row['discriminator']:.3f} s + {row['generator']:.3f} s"
        )
    return rows


def steps_of(name, run):
    """Seconds of the update with k steps and of its parts, on one backend."""
    counts = {"update": STEPS, "discriminator": STEPS, "generator": 1}
    with contextlib.ExitStack() as stack:
        workers = {}
        for part, k in counts.items():
            contender = ours(f"{name}, {part}", run, part=part, k=k)
            workers[part] = harness.Worker(contender, run.log or subprocess.DEVNULL)
            stack.callback(workers[part].close)
        seconds, _ = harness.alternate(workers, run.rounds, run.steps)
    alone = [sum(both) for both in zip(seconds["discriminator"], seconds["generator"], strict=True)]
    ratio = harness.ratio(alone, seconds["update"])
    medians = {part: statistics.median(seconds[part]) / run.steps for part in counts}
    return {"name": name, "ratio": ratio, **medians}


PARTS = {"speed": speed, "steps": steps, "transpose": transpose}


def main(argv=None):
    """Measure."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--python-peers", help="Python with torch; without it, kgen alone")
    add("--only", choices=list(PARTS), nargs="*", default=["speed"], help="default: speed")
    add("--backend", choices=list(BACKENDS), nargs="*", default=list(BACKENDS))
    add("--precision", nargs="*", help="float32 and mixed_bfloat16; mixed_float16 on GPUs")
    add("--names", default="", help="of speed, regular expression: contenders whose name it finds")
    add("--image-size", type=harness.positive, default=28)
    add("--channels", type=harness.positive, default=1)
    add("--batch-size", type=harness.positive, default=128)
    add("--rounds", type=harness.positive, default=5)
    add(
        "--steps",
        type=harness.positive,
        help="updates of a round; by default about 1.2 TFLOP, on GPUs 24",
    )
    add("--output", type=harness.file, help="JSON file that takes all numbers")
    add("--log", type=argparse.FileType("w"), help="file that takes what the contenders print")
    add("--serve", type=json.loads, help=argparse.SUPPRESS)
    run = parser.parse_args(argv)
    if run.serve:
        return harness.serve(lambda: prepare(run.serve))
    run.gpu = shutil.which("nvidia-smi") is not None
    run.precision = run.precision or ["float32", "mixed_bfloat16", "mixed_float16"][: 2 + run.gpu]
    run.image_shape = (run.image_size, run.image_size, run.channels)
    flops = run.batch_size * update_flops(run.image_size, run.channels)
    run.steps = run.steps or max(4, round((24e12 if run.gpu else 1.2e12) / flops))
    print(f"{platform.machine()}, Python {platform.python_version()}")
    rows = {part: PARTS[part](run) for part in run.only}
    if run.output:
        run.output.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    harness.command(main)
