"""Does it learn as well? The DCGAN beside plain PyTorch and Keras's examples on Fashion-MNIST.

    python -m benchmarks.gan_quality --python-peers PEERS/bin/python

Each sees 1.2 million images (20 epochs of the full training set) and generates 10,000. `kgen` is
`kgen.GAN(variant="dcgan")` as it comes, but for what is asked for; `torch` the same network and
settings in plain PyTorch (`benchmarks/torch_dcgan.py`), moving average included; `keras dcgan` and
`keras wgan_gp` have networks, losses, optimizers and batch sizes of two published Keras examples
(`benchmarks/keras_dcgan.py`), `keras settings` those of the first but for the networks, which are
kgen's. `wgan_gp`, `conditional` and `ac-gan` are other models of kgen with the same networks;
`mixture` is a mixture of Gaussians. Measured are the Fréchet distance from the 60,000 training
images on the features of kgen's classifier of Fashion-MNIST, precision, recall, density and
coverage among the 10,000 test images, and for how many images that classifier names the label that
they were generated for.
"""

import argparse
import concurrent.futures
import functools
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

OURS = {  # model, arguments
    "kgen": ("GAN", {"variant": "dcgan"}),
    "wgan_gp": ("GAN", {"variant": "wgan_gp"}),
    "conditional": ("ConditionalGAN", {"num_classes": 10}),
    "ac-gan": ("ACGAN", {"num_classes": 10}),
    "mixture": ("GaussianMixture", {"components": 64}),
}
EXAMPLES = ("keras dcgan", "keras settings", "keras wgan_gp")
CONTENDERS = ("kgen", "torch", *EXAMPLES, *list(OURS)[1:])
MEASURED = ("fid", "precision", "recall", "density", "coverage")
SAMPLES = 10_000
CHOSEN = ("epochs", "batch_size", "precision", "learning_rate", "arguments")  # of a folder


def train(
    data,
    samples,
    contender,
    seed,
    epochs,
    batch_size,
    precision="float32",
    learning_rate=None,
    arguments=None,
):
    """Train one contender on the images of a file; write samples and seconds."""
    import keras

    import kgen
    from benchmarks.keras_dcgan import SETTINGS
    from kgen.files import written_beside

    class Stopwatch(keras.callbacks.Callback):  # a lap is a function, and so no state
        """Seconds of training so far, kept with the checkpoints of a run."""

        seconds = 0.0

        def on_epoch_begin(self, epoch, logs=None):
            began = time.perf_counter()
            self.lap = lambda: time.perf_counter() - began

        def on_epoch_end(self, epoch, logs=None):
            self.seconds += self.lap()

    keras.utils.set_random_seed(seed)
    with np.load(data) as arrays:
        images, labels = arrays["train"], arrays["train_labels"]
    optimizers = None
    if contender in OURS:
        name, settings = OURS[contender]
        settings = settings | (arguments or {} if contender == "kgen" else {})
        model = getattr(kgen, name)((28, 28), seed=seed, dtype=precision, **settings)
        if contender == "kgen" and learning_rate is not None:
            adam = functools.partial(keras.optimizers.Adam, learning_rate, 0.5)
            optimizers = {player: adam() for player in model.players}
    else:
        settings = dict(SETTINGS[contender.removeprefix("keras ")])
        batch_size, optimizer = settings.pop("batch_size"), settings.pop("optimizer")
        optimizers = {player: optimizer() for player in kgen.GAN.players}
        latent_dim = settings["latent_dim"]
        settings["generator"] = settings["generator"]((28, 28, 1), latent_dim)
        settings["discriminator"] = settings["discriminator"]((28, 28, 1))
        # The examples have no moving average.
        model = kgen.GAN((28, 28), average_decay=0.0, seed=seed, **settings)
    samples, watch = pathlib.Path(samples), Stopwatch()
    if contender == "mixture":
        model.fit(images, verbose=0, callbacks=[watch])
    else:
        model.compile(optimizers)
        kept = kgen.callbacks.TrainingCheckpoint(samples.parent / "run" / samples.stem)
        settings = {"batch_size": batch_size, "epochs": epochs, "callbacks": [kept, watch]}
        model.fit(images, labels, verbose=2, **settings)
    drawn = kgen.data.to_uint8(model.generate(SAMPLES, seed=seed))[..., 0]
    asked = np.arange(SAMPLES) % 10 if getattr(model, "num_classes", None) else []
    if contender in OURS:
        model.save(samples.with_suffix(".keras"))
    with written_beside(samples) as temporary:
        np.savez(temporary, samples=drawn, seconds=watch.seconds, labels=asked)


def measure(folder, data):
    """Measure all samples in a folder that have not been; write `measured.json`."""
    import kgen

    path = folder / "measured.json"
    found = json.loads(path.read_text()) if path.exists() else {}
    with np.load(data) as arrays:
        images, test = arrays["train"], arrays["test"]
    for file in sorted(folder.glob("*-*.npz")):
        if file.stem in found:
            continue
        with np.load(file) as arrays:
            drawn, labels = arrays["samples"], arrays.get("labels", [])
        evaluate = kgen.metrics.evaluate
        values = evaluate(images, drawn, "fashion", ["fid"], test=test).values
        # What the tables hold is of k = 5 throughout.
        values |= evaluate(test, drawn, "fashion", list(MEASURED[1:]), precision_k=5).values
        if len(labels):
            judge = kgen.metrics.judge("fashion")
            values["label accuracy"] = np.mean(judge.labels(drawn) == labels)
        found[file.stem] = {name: float(value) for name, value in values.items()}
        keep(path, json.dumps(found, indent=1))


def main(argv=None):
    """Train what is not there yet, measure, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--python-peers", help="Python with torch; without it, no torch")
    add("--contenders", choices=CONTENDERS, nargs="*", default=list(CONTENDERS))
    add("--seeds", type=harness.positive, default=3)
    add("--epochs", type=harness.positive, default=20)
    add("--batch-size", type=harness.positive, default=128, help="of kgen and torch")
    add("--learning-rate", type=float, help="Adam's, of kgen and torch; default: 2e-4")
    add("--arguments", type=json.loads, help="of kgen.GAN, a JSON object; for kgen alone")
    add("--precision", default="float32", help="of kgen and torch: mixed_bfloat16, mixed_float16")
    add("--device", choices=["cpu", "cuda"], default="cpu", help="of torch")
    add("--at-once", type=harness.positive, default=1, help="trainings that run beside each other")
    add("--data", type=pathlib.Path, help="file of the images, where there is one already")
    add("--output", type=pathlib.Path, help="folder of results; what is there is not redone")
    add("--train", type=json.loads, help=argparse.SUPPRESS)
    add("--measure", nargs=2, type=pathlib.Path, help=argparse.SUPPRESS)
    run = parser.parse_args(argv)
    if run.train:
        return train(**run.train)
    if run.measure:
        return measure(*run.measure)
    if not isinstance(run.arguments, dict | type(None)):
        parser.error(f"--arguments is a JSON object of names and values; got {run.arguments!r}.")
    if run.arguments and run.contenders != ["kgen"]:
        parser.error("--arguments are of kgen alone: add --contenders kgen.")
    with tempfile.TemporaryDirectory() as temporary:
        folder = (run.output or pathlib.Path(temporary)).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        settings = {name: vars(run)[name] for name in CHOSEN}
        kept = folder / "settings.json"
        before = json.loads(kept.read_text()) if kept.exists() else settings
        if any(before.get(name) != value for name, value in settings.items()):
            parser.error(f"{folder} is of {kept.read_text()}: choose another --output.")
        keep(kept, json.dumps(settings))
        data = (run.data or folder / "fashion_mnist.npz").resolve()
        if not data.exists():
            export(data)
        wanted = [(c, s) for s in range(run.seeds) for c in run.contenders]
        wanted = [w for w in wanted if w[0] != "torch" or run.python_peers]
        with concurrent.futures.ThreadPoolExecutor(run.at_once) as pool:
            list(pool.map(lambda w: start(*w, data, folder, run), wanted))
        module = [sys.executable, "-m", "benchmarks.gan_quality", "--measure"]
        subprocess.run([*module, str(folder), str(data)], check=True, cwd=ROOT)
        report(json.loads((folder / "measured.json").read_text()), folder)


def start(contender, seed, data, folder, run):
    """Train one contender in a process of its own, unless its samples are there."""
    name = f"{contender.replace(' ', '_')}-{seed}"
    samples = folder / f"{name}.npz"
    if samples.exists():
        return
    job = {"data": str(data), "samples": str(samples), "seed": seed, "epochs": run.epochs}
    job["batch_size"] = run.batch_size
    if run.learning_rate is not None:
        job["learning_rate"] = run.learning_rate
    if contender == "torch":
        job |= {"output": str(folder / f"{name}.json"), "device": run.device}
        job |= {"precision": run.precision.removeprefix("mixed_"), "channels_last": True}
        command = [run.python_peers, "-m", "benchmarks.torch_dcgan", json.dumps(job)]
    else:
        job |= {"contender": contender, "precision": run.precision, "arguments": run.arguments}
        command = [sys.executable, "-m", "benchmarks.gan_quality", "--train", json.dumps(job)]
    environment = {**os.environ, "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
    with open(folder / f"{name}.log", "a") as log:
        done = subprocess.run(command, cwd=ROOT, env=environment, stdout=log, stderr=log)
    print(f"{name}: {'done' if done.returncode == 0 else f'failed, see {log.name}'}", flush=True)


def report(measured, folder):
    """Print means and ranges over seeds."""
    print(f"{'':<16}" + "".join(f"{name:>22}" for name in MEASURED))
    for contender in CONTENDERS:
        start = contender.replace(" ", "_") + "-"
        rows = [values for name, values in measured.items() if name.startswith(start)]
        if rows:
            shown = [_said([row[name] for row in rows]) for name in MEASURED]
            if "label accuracy" in rows[0]:
                shown.append("  labels " + _said([row["label accuracy"] for row in rows]))
            print(f"{contender:<16}" + "".join(f"{text:>22}" for text in shown))


def _said(values):
    return f"{statistics.mean(values):.3f} ({min(values):.3f}-{max(values):.3f})"


if __name__ == "__main__":
    harness.command(main)
