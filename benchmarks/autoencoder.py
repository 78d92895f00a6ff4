"""Does it learn as well, and as fast? Autoencoders beside plain PyTorch on the real Fashion-MNIST.

    python -m benchmarks.autoencoder --python-peers PEERS/bin/python

Three of them: `dense`, 784-512-32-512-784 with the L1 loss; `denoising`, the same with the squared
error and half of the pixels masked; `convolutional`, 4x4 convolutions of stride 2 with 32 and 64
channels to 32 latents, squared error. Pixels in [-1, 1], tanh at the end, kernels from Glorot's
uniform distribution and biases zero, Adam (1e-3, 0.9, 0.999, 1e-8), batches of 128, float32.
PyTorch gets a bare loop over tensors in memory, fused Adam, and channels_last for convolutions.
Both sides train by turns, seed by seed; the error is that of the 10,000 test images, for
`denoising` with the same pixels masked. The first epoch, which compiles, is not timed.
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
from benchmarks.harness import ROOT
from benchmarks.vae_elbo import export

KINDS = {  # network, loss, share of masked pixels, backend of kgen that is fastest on CPUs
    "dense": ("dense", "l1", 0.0, "jax"),
    "denoising": ("dense", "mse", 0.5, "jax"),
    "convolutional": ("convolutional", "mse", 0.0, "tensorflow"),
}


def train(data, output, network, loss, masked, seed, epochs):
    """Train kgen's autoencoder on the images of a file; write test error and seconds by epoch."""
    import keras

    import kgen

    class Clock(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            self.began = time.perf_counter()

        def on_epoch_end(self, epoch, logs=None):
            seconds.append(time.perf_counter() - self.began)

    seconds = []
    keras.utils.set_random_seed(seed)
    corruption = kgen.layers.MaskingNoise(masked) if masked else None
    model = kgen.Autoencoder((28, 28), 32, loss, corruption, network=network, seed=seed)
    model.compile(keras.optimizers.Adam(1e-3, 0.9, 0.999, 1e-8))
    with np.load(data) as arrays:
        model.fit(arrays["train"], epochs=epochs, batch_size=128, verbose=2, callbacks=[Clock()])
        clean = kgen.data.ranges.to_model_range(arrays["test"])
        seen = np.where(arrays["mask"], np.float32(-1), clean) if masked else clean
    difference = np.abs(model.reconstruct(seen)[..., 0] - clean).astype("float64")
    error = (difference if loss == "l1" else difference**2).sum((1, 2)).mean()
    result = {"error": float(error), "seconds": seconds, "parameters": weights(model)}
    pathlib.Path(output).write_text(json.dumps(result))


def weights(model):
    """Number of weights of encoder and decoder."""
    return model.encoder.count_params() + model.decoder.count_params()


def main(argv=None):
    """Train both for every kind and seed and compare."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--python-peers", required=True, help="Python with torch")
    add("--kind", choices=list(KINDS), nargs="*", default=list(KINDS))
    add("--seeds", type=harness.positive, default=3)
    add("--epochs", type=harness.positive, default=10)
    add(
        "--output", type=pathlib.Path, help="folder that keeps results; what is there is not redone"
    )
    add("--train", type=json.loads, help=argparse.SUPPRESS)
    run = parser.parse_args(argv)
    if run.train:
        return train(**run.train)
    with tempfile.TemporaryDirectory() as temporary:
        folder = (run.output or pathlib.Path(temporary)).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        data = folder / "fashion_mnist.npz"
        if not data.exists():
            export(data)
            arrays = dict(np.load(data))
            mask = np.random.default_rng(0).random(arrays["test"].shape) < 0.5
            np.savez(data, **arrays, mask=mask)
        for kind in run.kind:
            compare(kind, folder, run)


def compare(kind, folder, run):
    """Train what is not there yet, print errors and speeds of one kind."""
    network, loss, masked, backend = KINDS[kind]
    found = {"kgen": [], "torch": []}
    for seed in range(run.seeds):
        for side, results in found.items():
            output = folder / f"{kind}-{side}-{seed}.json"
            job = {"data": str(folder / "fashion_mnist.npz"), "output": str(output)}
            job |= {"network": network, "loss": loss, "masked": masked}
            job = json.dumps(job | {"seed": seed, "epochs": run.epochs})
            ours = [sys.executable, "-m", "benchmarks.autoencoder", "--python-peers", "-"]
            theirs = [run.python_peers, "-m", "benchmarks.torch_autoencoder", job]
            command = [*ours, "--train", job] if side == "kgen" else theirs
            environment = {**os.environ, "KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"}
            if not output.exists():
                subprocess.run(command, check=True, cwd=ROOT, env=environment, stdout=sys.stderr)
            results.append(json.loads(output.read_text()))
    if len({r["parameters"] for results in found.values() for r in results}) > 1:
        raise RuntimeError("The two networks differ in their number of weights.")
    speeds = {s: [60_000 / statistics.median(r["seconds"][1:]) for r in found[s]] for s in found}
    errors = {s: [r["error"] for r in found[s]] for s in found}
    means = {side: statistics.mean(values) for side, values in errors.items()}
    ratios = [a / b for a, b in zip(speeds["kgen"], speeds["torch"], strict=True)]
    print(f"{kind}: {network}, {loss}, masked {masked:g}, {run.epochs} epochs, kgen on {backend}")
    for side in found:
        shown = ", ".join(f"{error:.3f}" for error in errors[side])
        speed = statistics.median(speeds[side])
        print(f"  {side:<6} test error {shown}, mean {means[side]:.3f}; {speed:,.0f} images/s")
    print(
        f"  error: kgen {means['kgen'] / means['torch'] - 1:+.2%}; speed: "
        f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}) x torch",
        flush=True,
    )


if __name__ == "__main__":
    harness.command(main)
