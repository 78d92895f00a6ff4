"""How fast do models train that translate images? kgen beside plain PyTorch, in one run.

    python -m benchmarks.translation --python-peers PEERS/bin/python
    python -m benchmarks.translation --python-peers PEERS/bin/python --model cyclegan --batch-size 8
    python -m benchmarks.translation --python-peers PEERS/bin/python --memory

Every contender is a process of its own, and all of them run by turns, on the same networks and
random images of two domains. By default these are the published networks with half of the filters
and with 6 residual blocks, as Zhu et al. (2017) take for small images, at 64x64 pixels; pix2pix in
batches of 16, CycleGAN and CUT of 1, as in their papers. An update is one step of the generators,
then one of the discriminators.

kgen runs as a user runs it, `model.fit` on two uint8 arrays, one epoch a round. Plain PyTorch gets
a bare loop at its best: uint8 images on the device, no DataLoader, no value fetched, fused Adam;
with and without channels_last and torch.compile, and ("joined") with images of both domains in one
call of a network, where that gives the same.

`--memory` takes the published networks whole, at 256x256 in batches of 1, on Keras's backend, one
contender after the other: seconds a step, and the peak of the process.

Where there is a GPU, the same command uses it and adds mixed_float16.
"""

import argparse
import dataclasses
import itertools
import json
import platform
import re
import shutil
import subprocess
import sys

from benchmarks import harness, vae
from benchmarks.gan import BACKENDS

CHANNELS = 3
MOST_WIDENING, MOST_HALVINGS, COMPARED_BLOCKS = 8, 8, 5  # as in kgen.networks
PATCHES, PROJECTED = 256, 256
SMALL = {"image_size": 64, "filters": 32, "blocks": 6}
PUBLISHED = {"image_size": 256, "filters": 64, "blocks": 9, "batch_size": 1}
STEPS_OF_MEMORY, MOST_MEMORY, WARM = 20, 12 * 2**30, 2


@dataclasses.dataclass(frozen=True)
class Model:
    """What is measured of a model of kgen.

    Attributes:
        name: of its class, and in titles.
        batch_size: by default.
        flops: operations of an update, from side, filters and blocks.
        has_blocks: whether its generator is a residual network.
    """

    name: str
    batch_size: int
    flops: object
    has_blocks: bool = True


def unet(side, filters):
    """Layers of the U-Net, in the order of the forward pass."""
    sides, widths = [side], [CHANNELS]
    while sides[-1] % 2 == 0 and len(sides) <= MOST_HALVINGS:
        sides.append(sides[-1] // 2)
        widths.append(filters * min(2 ** (len(sides) - 2), MOST_WIDENING))
    down = [
        harness.convolution(size, size, 4, inputs, outputs, is_first=size == sides[1])
        for size, inputs, outputs in zip(sides[1:], widths, widths[1:], strict=False)
    ]
    up = [
        # But for the innermost, each is given the encoder's channels beside its own.
        harness.convolution(size, size, 4, inputs * (1 if size == sides[-1] else 2), outputs)
        for size, inputs, outputs in zip(sides[:0:-1], widths[:0:-1], widths[-2::-1], strict=True)
    ]
    return down + up


def resnet(side, filters, blocks):
    """Layers of the residual generator: those up to what CUT compares last, and the others."""
    half, quarter, f = side // 2, side // 4, filters
    begin = [
        harness.convolution(side, side, 7, CHANNELS, f, is_first=True),
        harness.convolution(half, half, 3, f, 2 * f),
        harness.convolution(quarter, quarter, 3, 2 * f, 4 * f),
    ]
    inner = [harness.convolution(quarter, quarter, 3, 4 * f, 4 * f)] * (2 * blocks)
    end = [
        harness.convolution(quarter, quarter, 3, 4 * f, 2 * f),
        harness.convolution(half, half, 3, 2 * f, f),
        harness.convolution(side, side, 7, f, CHANNELS),
    ]
    compared = 2 * COMPARED_BLOCKS
    return begin + inner[:compared], inner[compared:] + end


def patchgan(side, filters, channels=CHANNELS):
    """Layers of the discriminator of 70x70 patches."""
    widths = [channels, *(filters * min(2**n, MOST_WIDENING) for n in range(4)), 1]
    sides = [-(-side // 2), -(-side // 4), -(-side // 8)]
    sides += [sides[-1] - 1, sides[-1] - 2]  # of stride 1
    return [
        harness.convolution(size, size, 4, inputs, outputs, is_first=inputs == channels)
        for size, inputs, outputs in zip(sides, widths, widths[1:], strict=False)
    ]


def forward(layers):
    """Operations of layers."""
    return 2 * sum(layer.multiplications for layer in layers)


def on_made(layers):
    """Operations of a network on an image that was made, which its gradient has to reach."""
    return 3 * forward(layers)


def fooled(layers):
    """Operations of a discriminator in the generator's step: none for its own weights."""
    return 2 * forward(layers)


def pix2pix_flops(side, filters, blocks=None):
    """Operations of an update of pix2pix for one pair of a batch."""
    generator, discriminator = unet(side, filters), patchgan(side, filters, 2 * CHANNELS)
    # No gradient is needed by the image that is answered, half of the discriminator's channels.
    unneeded = forward(discriminator[:1]) / 2
    first = harness.training_flops(generator) + fooled(discriminator) - unneeded
    return first + 2 * harness.training_flops(discriminator)


def cyclegan_flops(side, filters, blocks):
    """Operations of an update of CycleGAN for one image of each domain."""
    compared, rest = resnet(side, filters, blocks)
    generator, discriminator = compared + rest, patchgan(side, filters)
    # Of each direction: what it makes, what it shall leave as it is, and the way back.
    first = 2 * harness.training_flops(generator) + on_made(generator) + fooled(discriminator)
    return 2 * (first + 2 * harness.training_flops(discriminator))


def cut_flops(side, filters, blocks):
    """Operations of an update of CUT for one image of each domain."""
    compared, rest = resnet(side, filters, blocks)
    discriminator = patchgan(side, filters)
    both = harness.training_flops(compared + rest) + on_made(compared) + contrast(side, filters)
    return 2 * both + fooled(discriminator) + 2 * harness.training_flops(discriminator)


def contrast(side, filters):
    """Operations of PatchNCE for one image: heads and products, keys without gradients."""
    total = 0
    sides = (side + 6, side // 2, side // 4, side // 4, side // 4)
    widths = (CHANNELS, 2 * filters, *[4 * filters] * 3)
    for size, channels in zip(sides, widths, strict=True):
        patches = min(PATCHES, size**2)
        head = [harness.Layer(patches * n * PROJECTED) for n in (channels, PROJECTED)]
        products = [harness.Layer(patches**2 * PROJECTED)]
        total += forward(head) + on_made(head) + 2 * forward(products)
    return total


MODELS = {
    "pix2pix": Model("Pix2Pix", 16, pix2pix_flops, has_blocks=False),
    "cyclegan": Model("CycleGAN", 1, cyclegan_flops),
    "cut": Model("CUT", 1, cut_flops),
}


def build(settings):
    """The model that the settings describe."""
    import kgen

    model, (side, filters, blocks) = MODELS[settings["model"]], sizes(settings)
    blocks = {"blocks": blocks} if model.has_blocks else {}
    make, shape = getattr(kgen, model.name), (side, side, CHANNELS)
    return make(shape, filters=filters, dtype=settings["precision"], **blocks)


def sizes(settings):
    """Side of the images, filters and blocks of the networks."""
    return settings["image_size"], settings["filters"], settings["blocks"]


def prepare(settings):
    """The contender of kgen that the settings describe, in a process with its backend."""
    import keras
    import numpy as np
    from keras import ops

    import kgen

    keras.utils.set_random_seed(0)
    batch_size = settings["batch_size"]
    draw, side = np.random.default_rng(0).integers, settings["image_size"]
    shape = (settings["most_steps"] * batch_size, side, side, CHANNELS)
    a, b = (draw(0, 256, shape, "uint8") for _ in range(2))
    model = build(settings)
    model.compile(jit_compile=settings["jit"])

    def run(steps):
        n = steps * batch_size
        model.fit(a[:n], b[:n], batch_size=batch_size, verbose=0)

    run(WARM)  # compiles
    run(WARM)
    dtype = settings["precision"].removeprefix("mixed_")
    matrix = ops.cast(keras.random.normal((harness.MATMUL, harness.MATMUL), seed=0), dtype)
    product, wait = vae.engine_of(settings["backend"])

    def memory():
        on_device = vae.jax_memory() if settings["backend"] == "jax" else 0
        return on_device or harness.peak_memory()

    trained = [variable for player in model.players for variable in model.variables_of(player)]
    about = {
        "parameters": int(sum(np.prod(variable.shape) for variable in trained)),
        "device": ", ".join(kgen.engine.backend.accelerators()) or "CPU",
        "version": f"Keras {keras.__version__}, {vae.version(settings['backend'])}",
    }
    return about, run, lambda: wait(product(matrix)), memory


def ours(name, precision, steps, **settings):
    """A contender of kgen; `name` is a key of `BACKENDS`."""
    backend, jit = BACKENDS[name]
    settings = {"backend": backend, "jit": jit, "precision": precision, **settings}
    settings["most_steps"] = max(steps, WARM)
    return harness.Contender(
        f"kgen {name} {precision}",
        "kgen",
        precision,
        [sys.executable, "-m", "benchmarks.translation", "--serve", json.dumps(settings)],
        {
            "KERAS_BACKEND": backend,
            "TF_CPP_MIN_LOG_LEVEL": "3",
            "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
            "TF_FORCE_GPU_ALLOW_GROWTH": "true",
        },
    )


def peer(run, precision, channels_last, compiled, joined, **settings):
    """Plain PyTorch in one of its ways; `joined` is not for pix2pix, which normalizes batches."""
    side = settings.pop("image_size")
    settings |= {"image_shape": (side, side, CHANNELS), "channels_last": channels_last}
    settings |= {"precision": precision.removeprefix("mixed_"), "compile": compiled}
    settings |= {"joined": joined, "device": "cuda" if run.gpu else "cpu"}
    ways = " channels_last" * channels_last + " joined" * joined + " compiled" * compiled
    command = [run.python_peers, "-m", "benchmarks.torch_translation"]
    command.append(json.dumps({"serve": settings}))
    return harness.Contender(f"torch{ways} {precision}", "torch", precision, command)


def contenders(run, steps, **settings):
    """Everything that is compared on one model: kgen on each backend, and PyTorch in every way."""
    found = [
        ours(name, precision, steps, **settings)
        for precision, name in itertools.product(run.precision, run.backend)
    ]
    ways = (False, True)
    joined = ways if MODELS[settings["model"]].has_blocks else (False,)  # see `peer`
    if run.python_peers:
        found += [
            peer(run, *way, **settings)
            for way in itertools.product(run.precision, ways, ways, joined)
        ]
    return [c for c in found if re.search(run.names, c.name)]


def title(settings):
    """What is measured, in words."""
    side, filters, blocks = sizes(settings)
    model = MODELS[settings["model"]]
    blocks = f", {blocks} blocks" if model.has_blocks else ""
    return (
        f"{model.name}, {side}x{side}x{CHANNELS}, {filters} filters{blocks}, batches of "
        f"{settings['batch_size']}"
    )


def speed(model, run):
    """Measure one model, everything by turns."""
    settings = {"model": model, "batch_size": run.batch_size or MODELS[model].batch_size}
    settings |= {"image_size": run.image_size, "filters": run.filters, "blocks": run.blocks}
    flops = MODELS[model].flops(*sizes(settings))
    in_round = (24e12 if run.gpu else 6e11) / (flops * settings["batch_size"])
    steps = run.steps or max(4, round(in_round))
    rows = harness.measure(
        title(settings),
        contenders(run, steps, **settings),
        rounds=run.rounds,
        steps=steps,
        images=settings["batch_size"],
        flops=flops,
        log=run.log,
    )
    print("on", *sorted({f"{row['device']} ({row['version']})" for row in rows}), sep="\n  ")
    return rows


def memory(model, run):
    """Seconds a step and peak memory of one model as it was published: kgen, then PyTorch."""
    import keras

    settings, steps = {"model": model, **PUBLISHED}, run.steps or STEPS_OF_MEMORY
    chosen = [ours(keras.config.backend(), "float32", steps, **settings)]
    if run.python_peers:
        chosen.append(peer(run, "float32", True, False, False, **settings))
    print(f"\n{title(settings)}: {steps} steps")
    rows = []
    for contender in chosen:
        worker = harness.Worker(contender, run.log or subprocess.DEVNULL)
        try:
            seconds = worker.ask("run", steps=steps)["seconds"] / steps
            peak = worker.ask("memory")["bytes"]
        finally:
            worker.close()
        rows.append({"name": contender.name, "seconds": seconds, "memory": peak, **worker.about})
        print(f"{contender.name:<44} {seconds:.2f} s a step  {peak / 2**20:>6,.0f} MiB")
    return rows


def check_memory(rows):
    """Raise a RuntimeError if contenders took more memory than a laptop has to spare."""
    above = [
        f"{row['name']} ({model}, {row['memory'] / 2**30:.1f} GiB)"
        for model, found in rows.items()
        for row in found
        if row["memory"] > MOST_MEMORY
    ]
    if above:
        raise RuntimeError(f"More than {MOST_MEMORY >> 30} GiB: {', '.join(above)}.")


def main(argv=None):
    """Measure."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add, positive = parser.add_argument, harness.positive
    add("--python-peers", help="Python with torch; without it, kgen alone")
    add("--model", choices=list(MODELS), nargs="*", default=list(MODELS))
    add("--memory", action="store_true", help="the published networks at 256x256, batches of 1")
    add("--image-size", type=positive, default=SMALL["image_size"])
    add("--filters", type=positive, default=SMALL["filters"])
    add("--blocks", type=positive, default=SMALL["blocks"])
    add("--batch-size", type=positive, help="by default 16 for pix2pix, 1 for the others")
    add("--backend", choices=list(BACKENDS), nargs="*", default=list(BACKENDS))
    add("--precision", nargs="*", help="float32 and mixed_bfloat16; mixed_float16 on GPUs")
    add("--names", default="", help="regular expression: contenders whose name it finds")
    add("--rounds", type=positive, default=5)
    add("--steps", type=positive, help="updates of a round; by default about 0.6 TFLOP, on GPUs 24")
    add("--output", type=harness.file, help="JSON file that takes all numbers")
    add("--log", type=argparse.FileType("w"), help="file that takes what the contenders print")
    add("--serve", type=json.loads, help=argparse.SUPPRESS)
    run = parser.parse_args(argv)
    if run.serve:
        return harness.serve(lambda: prepare(run.serve))
    if run.image_size % 8 or run.image_size < 24:  # others are halved differently by the peers
        parser.error(f"--image-size must be a multiple of 8, from 24 up; got {run.image_size}.")
    run.gpu = shutil.which("nvidia-smi") is not None
    run.precision = run.precision or ["float32", "mixed_bfloat16", "mixed_float16"][: 2 + run.gpu]
    print(f"{platform.machine()}, Python {platform.python_version()}")
    rows = {model: (memory if run.memory else speed)(model, run) for model in run.model}
    if run.output:
        run.output.write_text(json.dumps(rows, indent=1) + "\n")
    if run.memory:
        check_memory(rows)


if __name__ == "__main__":
    harness.command(main)
