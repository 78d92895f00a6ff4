"""Training on images that are streamed from disk: memory, and how busy the step is kept.

    KERAS_BACKEND=tensorflow python -m benchmarks.streaming FOLDER

Draws 200,000 faces of 64x64 pixels into FOLDER (JPEG, once; about 10 minutes on two cores), then
trains the convolutional VAE on them with at most `--memory` MiB of decoded images kept. Prints the
process's peak memory over a whole epoch, and the share of the time of `fit` that the compiled step
takes by itself, measured in turn on a batch that is already on the device.
"""

import argparse
import pathlib
import platform
import resource
import statistics
import subprocess
import sys
import time

import keras

import kgen
from benchmarks import harness
from benchmarks.step_share import bare_steps
from kgen.files import written_beside

SIZE, BATCH, PART = 64, 128, 2_000


def draw(folder, count):
    """Write faces as JPEG files, those that are not there yet."""
    from PIL import Image

    folder.mkdir(parents=True, exist_ok=True)
    for start in range(0, count, PART):
        part = folder / f"{start:06}"
        if part.exists():
            continue
        factors = kgen.data.faces.sample_factors(PART, seed=0, start=start)
        with written_beside(part) as temporary:
            temporary.mkdir()
            for i, image in enumerate(kgen.data.faces.draw(factors, SIZE)):
                Image.fromarray(image).save(temporary / f"{start + i:06}.jpg", quality=90)


def main(argv=None):
    """Draw, train, measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--count", type=harness.positive, default=200_000)
    parser.add_argument(
        "--memory", type=harness.positive, default=256, help="MiB of decoded images"
    )
    parser.add_argument("--rounds", type=harness.positive, default=5)
    parser.add_argument("--steps", type=harness.positive, default=150)
    parser.add_argument("--epochs", type=int, default=1, help="whole ones; 0: only the share")
    parser.add_argument("--only-draw", action="store_true", help=argparse.SUPPRESS)
    run = parser.parse_args(argv)
    if run.only_draw:
        return draw(run.folder, run.count)
    again = [sys.executable, "-m", "benchmarks.streaming", "--only-draw", "--count", str(run.count)]
    subprocess.run([*again, str(run.folder)], check=True)  # its memory is not the training's

    start = time.perf_counter()
    images = kgen.data.load(run.folder, batch_size=BATCH, memory=run.memory * 2**20)
    images = images.without_labels()  # the parts are folders, not classes
    print(f"{images}: looked at in {time.perf_counter() - start:.0f} s")
    model = kgen.VAE(images.image_shape, latent_dim=64)
    model.compile()
    model.fit(images.take(4 * BATCH), verbose=0)  # compiles
    shares = []
    batch = images[0][0]
    bare_steps(model, batch, 4)
    for _ in range(run.rounds):
        bare = bare_steps(model, batch, run.steps)
        start = time.perf_counter()
        model.fit(images, steps_per_epoch=run.steps, verbose=0)
        shares.append(bare / (time.perf_counter() - start))
    start = time.perf_counter()
    if run.epochs:
        model.fit(images, epochs=run.epochs, verbose=0)
    speed = run.epochs * images.num_examples / (time.perf_counter() - start)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(
        f"{platform.machine()}, Keras {keras.__version__}, {keras.backend.backend()}: share of the "
        f"step: median {statistics.median(shares):.1%} ({min(shares):.1%} to {max(shares):.1%}, "
        f"{run.rounds} rounds of {run.steps} steps); {run.epochs} whole epochs at {speed:,.0f} "
        f"images/s; peak memory {peak:.2f} GiB"
    )


if __name__ == "__main__":
    harness.command(main)
