"""How long until its images are as good? Diffusion beside denoising-diffusion-pytorch.

    python -m benchmarks.diffusion_peer --python-peers PEERS/bin/python --output FOLDER
    python -m benchmarks.diffusion_peer --python-peers PEERS/bin/python --threads 1 --images 20000

Both learn from the training images of the full Fashion-MNIST, without labels, in float32, one after
the other. The peer sees 100,000 of them by its own trainer and samples by its own DDIM in 20 and in
50 steps (`benchmarks/torch_diffusion_peer.py`): the smaller Fréchet distance of both is the one to
reach. kgen trains `kgen.Diffusion((28, 28))` as it comes, batches of 128, Adam whose rate rises to
1e-3 in a tenth of 300,000 images (`--kgen-images`) and then falls along a cosine; every 5,000
images it generates as many images as were sampled there by DPM-Solver++ in 10 steps, until their
distance is as small. The distance is that from the 60,000 training images on the features of kgen's
classifier of Fashion-MNIST.

Seconds are those of training alone, kgen's compilation included; those of the processor are of all
threads, so with `--threads 1` they tell what a machine that is busy otherwise would have taken.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

import numpy as np

from benchmarks import harness
from benchmarks.harness import ROOT, keep, timed
from benchmarks.vae_elbo import export

STEPS = 10  # of kgen's sampler
PEER = "denoising-diffusion-pytorch"
FOR_BOTH = ("seed", "images", "samples", "threads")
OF_PEER = ("width", "peer_steps", "peer_settings")
OF_KGEN = ("filters", "batch_size", "every", "kgen_images")


def clocks():
    """Seconds now, of the wall and of this process."""
    return np.array([time.perf_counter(), time.process_time()])


def train(
    data, peer, output, seed, images, samples, threads=None, filters=32, batch_size=128, every=5_000
):
    """Measure the peer's samples, then train kgen until its own are as near; write all numbers.

    Args:
        data: `.npz` with "train" and "test", uint8 `(N, 28, 28)`.
        peer: `.npz` of `benchmarks.torch_diffusion_peer`.
        output: JSON file: "distances", of the peer by number of steps, of which the smallest is the
            "target"; "floor", the distance of the test images; "curve", a list of "images" seen,
            "seconds", "processor_seconds" and "distance"; "parameters"; "sampling", in seconds.
        seed: of weights, order and noise.
        images: how many to see at most.
        samples: how many to generate.
        threads: on how many cores; None: all.
        filters: of the network.
        batch_size, every: images of an update, and between two measurements.
    """
    harness.on_cores(threads)
    import keras

    import kgen

    class Distances(keras.callbacks.Callback):
        """The distance by what training took, of which this is no part; stops at the target."""

        def __init__(self):
            super().__init__()
            self.curve, self.spent = [], np.zeros(2)

        def on_train_begin(self, logs=None):
            self.began = clocks()

        def on_epoch_end(self, epoch, logs=None):
            self.spent += clocks() - self.began
            seen = int(self.model.step) * batch_size
            seconds, processor = self.spent.tolist()
            point = {"images": seen, "seconds": seconds, "processor_seconds": processor}
            point["distance"] = float(distance(generate()))
            self.curve.append(point)
            print(json.dumps(point), flush=True)
            self.model.stop_training = point["distance"] <= target
            self.began = clocks()

    def generate():
        drawn = model.generate(samples, sampler="dpmpp_2m", num_steps=STEPS, seed=seed)
        return kgen.data.to_uint8(drawn)[..., 0]

    def distance(drawn):
        return kgen.metrics.fid(real, drawn, "fashion", test=test)

    with np.load(data) as arrays:
        real, test = arrays["train"], arrays["test"]
    with np.load(peer) as arrays:
        drawn = {k.removeprefix("samples_"): v for k, v in arrays.items() if "samples_" in k}
    distances = {steps: distance(found) for steps, found in drawn.items()}
    target = min(map(float, distances.values()))
    print(f"to reach: {target:.3f}", flush=True)

    keras.utils.set_random_seed(seed)
    model = kgen.Diffusion((28, 28), filters=filters, seed=seed, dtype="float32")
    updates = images // batch_size
    model.compile(keras.optimizers.Adam(kgen.schedules.warmup_cosine(1e-3, updates)))
    steps, found = max(1, every // batch_size), Distances()
    settings = {"batch_size": batch_size, "steps_per_epoch": steps, "callbacks": [found]}
    model.fit(real, epochs=max(1, updates // steps), verbose=0, **settings)
    numbers = {
        "distances": {steps: float(value) for steps, value in distances.items()},
        "target": target,
        "floor": next(iter(distances.values())).floor,
        "curve": found.curve,
        "parameters": int(model.denoiser.count_params()),
        "sampling": timed(generate),
    }
    keep(pathlib.Path(output), json.dumps(numbers, indent=1))


def main(argv=None):
    """Train what is not there yet, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add, positive = parser.add_argument, harness.positive
    add("--python-peers", help=f"Python with {PEER}")
    add("--images", type=positive, default=100_000, help="that the peer sees")
    add("--kgen-images", type=positive, default=300_000, help="that kgen sees, at most")
    add("--samples", type=positive, default=2_000, help="that are measured")
    add("--every", type=positive, default=5_000, help="images between kgen's measurements")
    add("--batch-size", type=positive, default=128, help="of kgen")
    add("--filters", type=positive, default=32, help="of kgen's network, a multiple of 8")
    add("--width", type=positive, default=16, help="of the peer's network")
    add("--peer-steps", type=positive, nargs="+", default=[20, 50], help="of its DDIM")
    add("--peer-settings", type=json.loads, default={}, help="of its Trainer, a JSON object")
    add("--threads", type=positive, help="cores for each side (Linux); by default all")
    add("--seed", type=int, default=0)
    add("--output", type=pathlib.Path, help="folder of results; what is there is not redone")
    add("--train", type=json.loads, help=argparse.SUPPRESS)
    run = parser.parse_args(argv)
    if run.train:
        return train(**run.train)
    if not isinstance(run.peer_settings, dict):
        parser.error(f"--peer-settings is a JSON object; got {run.peer_settings!r}.")
    if run.filters % 8:
        parser.error(f"--filters must be a multiple of 8; got {run.filters}.")
    with tempfile.TemporaryDirectory() as temporary:
        folder = (run.output or pathlib.Path(temporary)).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        settings = {name: vars(run)[name] for name in FOR_BOTH + OF_PEER + OF_KGEN}
        kept = folder / "settings.json"
        if kept.exists() and json.loads(kept.read_text()) != settings:
            parser.error(f"{folder} is of {kept.read_text()}: choose another --output.")
        if not (run.python_peers or (folder / "peer.npz").exists()):
            parser.error(f"--python-peers is needed: a Python with {PEER}.")
        keep(kept, json.dumps(settings))
        compare(folder, settings, run.python_peers)
        report(folder)


def compare(folder, settings, python_peers):
    """Train both sides, each in a process of its own, unless its results are there."""
    data = folder / "fashion_mnist.npz"
    if not data.exists():
        export(data)
    peer, ours = folder / "peer.npz", folder / "kgen.json"
    of = {name: settings[name] for name in FOR_BOTH}
    job = {**settings["peer_settings"], **of, "data": str(data), "output": str(peer)}
    job |= {"width": settings["width"], "steps": settings["peer_steps"]}
    start(peer, [python_peers, "-m", "benchmarks.torch_diffusion_peer", json.dumps(job)])
    job = {**of, "data": str(data), "peer": str(peer), "output": str(ours)}
    job |= {name: settings[name] for name in OF_KGEN}
    job["images"] = job.pop("kgen_images")
    start(ours, [sys.executable, "-m", "benchmarks.diffusion_peer", "--train", json.dumps(job)])


def start(results, command):
    """Run a command unless its results are there; what it prints goes to a log beside them."""
    if results.exists():
        return
    with open(results.with_suffix(".log"), "a") as log:
        done = subprocess.run(command, cwd=ROOT, env=os.environ, stdout=log, stderr=log)
    if done.returncode:
        raise RuntimeError(f"{results.stem} failed, see {log.name}")
    print(f"{results.stem}: done", flush=True)


def report(folder):
    """Print what both sides took to the same distance, and the ratios of times."""
    with np.load(folder / "peer.npz") as arrays:
        theirs = {name: arrays[name].item() for name in arrays if arrays[name].ndim == 0}
        samples = max(len(arrays[name]) for name in arrays if arrays[name].ndim)
    ours = json.loads((folder / "kgen.json").read_text())
    distances = ours["distances"]
    steps = min(distances, key=distances.get)
    theirs |= {"distance": ours["target"], "evaluations": int(steps)}
    theirs["sampling"] = theirs[f"sampling_{steps}"]
    last = {**ours["curve"][-1], **{name: ours[name] for name in ("parameters", "sampling")}}
    last["evaluations"] = STEPS
    print("distances of the peer:", *(f"{v:.2f} in {s} steps" for s, v in distances.items()))
    print(f"floor: {ours['floor']:.2f}")
    for name, row in {PEER: theirs, "kgen": last}.items():
        print(
            f"{name:<28} {row['parameters']:>10,} parameters  {row['images']:>8,} images  "
            f"{row['seconds']:>9,.1f} s ({row['processor_seconds']:,.1f} s of the processor)  "
            f"distance {row['distance']:.2f}  {row['evaluations']} evaluations, "
            f"{1000 * row['sampling'] / samples:.1f} ms an image"
        )
    if last["distance"] > ours["target"]:
        print(f"kgen has not reached {ours['target']:.2f}")
        return
    ratios = [theirs[name] / last[name] for name in ("seconds", "processor_seconds", "images")]
    print(
        "kgen is there in 1/{:.2f} of the time (1/{:.2f} of the processor's) and 1/{:.2f} of the "
        "images".format(*ratios)
    )


if __name__ == "__main__":
    harness.command(main)
