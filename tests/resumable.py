"""A run in a process of its own, to be killed: `python resumable.py FOLDER MODEL [options]`.

Prints `begun` when training begins, with `--say-batches` each batch that begins, and, if it reaches
the end, a digest of all that it left: the weights, the history and the CSV file. Several runs, with
`then` between them, follow each other: each in a process forked for it before a backend starts, so
that they share the imports alone; what each ended with is printed, `ended CODE`, as `subprocess`
has it.
"""

import argparse
import hashlib
import os
import pathlib
import signal
import sys
from itertools import groupby

import keras
import numpy as np
from staged import Growing, images
from toy import ToyGAN, points

import kgen
from kgen.engine import state

STAGED = ("growing", "progressive")


class Watch(keras.callbacks.Callback):
    """Says when training begins; kills the process at a batch, counted from the beginning."""

    def __init__(self, kill_at, says=False):
        super().__init__()
        self.kill_at, self.says, self.__seen = kill_at, says, 0

    def on_train_begin(self, logs=None):
        print("begun", flush=True)

    def on_train_batch_begin(self, batch, logs=None):
        self.__seen += 1
        if self.says:
            print("batch", self.__seen, flush=True)
        if self.__seen == self.kill_at:
            os.kill(os.getpid(), signal.SIGKILL)


def kill_in_write(number):
    """Kill the process in the middle of writing a checkpoint, at the `number`-th array."""
    count, write_array = [0], np.lib.format.write_array

    def writing(member, array, **options):
        write_array(member, array, **options)
        count[0] += 1
        if count[0] == number:
            os.kill(os.getpid(), signal.SIGKILL)

    np.lib.format.write_array = writing


def progressive():
    """Six updates at 4x4, and at each further size six while it fades in and six after that."""
    schedule = kgen.schedules.GrowingSchedule(16, 24, 24, batch_size=4, learning_rate=1e-3)
    return kgen.ProgressiveGAN(
        (16, 16, 3), latent_dim=6, schedule=schedule, filters_base=32, max_filters=8
    )


def build(name):
    keras.utils.set_random_seed(1)
    if name == "toy":
        return ToyGAN(k=2), points(640)
    if name == "growing":
        return Growing(), images()
    if name == "progressive":
        return progressive(), np.random.default_rng(0).integers(0, 256, (40, 16, 16, 3), "uint8")
    dropout = [keras.layers.Dropout(0.2)]
    encoder = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.Flatten(),
            keras.layers.Dense(16, "relu"),
            *dropout,
            keras.layers.Dense(4),
        ]
    )
    vae = kgen.VAE(
        (8, 8),
        encoder=encoder,
        kl_weight=kgen.schedules.LinearWarmup(1.0, 30),
        reconstruction="gaussian",
    )
    return vae, kgen.data.load("digits/8x8").take(320)


def main(arguments):
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("model", choices=["toy", "vae", *STAGED])
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--every", default="3")
    parser.add_argument("--kill-at", type=int, default=0)
    parser.add_argument("--kill-in-write", type=int, default=0)
    parser.add_argument("--say-batches", action="store_true")
    parser.add_argument("--jit", default="auto")
    arguments = parser.parse_args(arguments)
    if arguments.kill_in_write:
        kill_in_write(arguments.kill_in_write)
    every = int(arguments.every) if arguments.every.isdigit() else arguments.every
    model, data = build(arguments.model)
    model.compile(jit_compile=True if arguments.jit == "on" else "auto")
    monitor = model.logs[0]
    given = {"batch_size": 32, "epochs": arguments.epochs}
    history = model.fit(
        data,
        **({} if arguments.model in STAGED else given),
        verbose=0,
        validation_data=data.take(50) if arguments.model == "vae" else data[:50],
        callbacks=[
            kgen.callbacks.TrainingCheckpoint(arguments.folder / "run", every=every),
            keras.callbacks.CSVLogger(arguments.folder / "log.csv"),
            keras.callbacks.EarlyStopping(
                monitor,
                mode="min",
                patience=50,
                restore_best_weights=arguments.model not in STAGED,  # whose stages differ
            ),
            keras.callbacks.ReduceLROnPlateau(monitor, mode="min", patience=1, min_delta=1.0),
            kgen.callbacks.SampleGrid(arguments.folder / "samples", n=4)
            if arguments.model == "vae"
            else Watch(0),
            Watch(arguments.kill_at, arguments.say_batches),
        ],
    )
    digest = hashlib.sha256()
    arrays = state.capture(model)
    for name in sorted(arrays):
        digest.update(name.encode() + arrays[name].tobytes())
    digest.update(repr(sorted(history.history.items())).encode())
    digest.update((arguments.folder / "log.csv").read_bytes())
    np.savez(arguments.folder / "final.npz", **arrays)
    print("step", int(model.step), "epochs", len(history.epoch))
    print("digest", digest.hexdigest(), flush=True)


if __name__ == "__main__":
    several = [list(run) for then, run in groupby(sys.argv[1:], "then".__eq__) if not then]
    if len(several) == 1:
        main(several[0])
        sys.exit()
    for arguments in several:
        if child := os.fork():
            _, status = os.waitpid(child, 0)
            print("ended", os.waitstatus_to_exitcode(status), flush=True)
        else:
            main(arguments)
            os._exit(0)
