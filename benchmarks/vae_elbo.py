"""Does it learn as well? Test ELBO of the Bernoulli VAE beside pythae's, on the real Fashion-MNIST.

    python -m benchmarks.vae_elbo --python-peers PEERS/bin/python

Both are the MLP 784-512-10-512-784 on pixels in [0, 1], kernels from Glorot's uniform distribution
and biases zero, Adam (1e-3, 0.9, 0.999, 1e-8), batches of 100 and 20 epochs, in float32; pythae by
its own trainer's steps. The weights of either are carried over into one function in NumPy, which
computes the bound of all 10,000 test images with the same noise.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile

import numpy as np

from benchmarks import harness
from benchmarks.harness import ROOT

LATENT, BATCH = 10, 100


def elbo(weights, images, samples=10, seed=0):
    """Evidence lower bound of each image in nats, float64 `(N,)`.

    Args:
        weights: arrays by name: `hidden`, `mean`, `log_variance`, `decoder_hidden`, `decoded`
            (logits), and `..._bias`; kernels `(inputs, outputs)`.
        images: `(N, 784)` in [0, 1].
        samples, seed: draws of z, the same for every model.
    """

    def layer(name, x):
        return x @ weights[name] + weights[f"{name}_bias"]

    random = np.random.default_rng(seed)
    hidden = np.maximum(layer("hidden", images), 0)
    mean, log_variance = layer("mean", hidden), layer("log_variance", hidden)
    kl = 0.5 * (mean**2 + np.exp(log_variance) - log_variance - 1).sum(1, dtype="float64")
    conditional = np.zeros(len(images))
    for _ in range(samples):
        noise = random.standard_normal(mean.shape, "float32")
        z = mean + np.exp(0.5 * log_variance) * noise
        logits = layer("decoded", np.maximum(layer("decoder_hidden", z), 0))
        conditional += (images * logits - np.logaddexp(0, logits)).sum(1, dtype="float64") / samples
    return conditional - kl


def weights_of(vae):
    """Weights of a dense `kgen.VAE` for pixels in [0, 1] and logits.

    Its pixels are x = 2p - 1, and its decoder ends in tanh(a), which is 2 sigmoid(2a) - 1.
    """
    layers = [*vae.encoder.layers, *vae.decoder.layers]
    kernels = [[np.array(w) for w in layer.get_weights()] for layer in layers if layer.weights]
    names = ["hidden", "mean", "log_variance", "decoder_hidden", "decoded"]
    weights = {}
    for name, (kernel, bias) in zip(names, kernels, strict=True):
        weights |= {name: kernel, f"{name}_bias": bias}
    weights["hidden_bias"] = weights["hidden_bias"] - weights["hidden"].sum(0)
    for name in ("hidden", "decoded", "decoded_bias"):
        weights[name] = 2 * weights[name]
    return weights


def train(data, output, seed, epochs, batch_size):
    """Train kgen's VAE on the images of a file; write its weights."""
    import keras

    import kgen

    keras.utils.set_random_seed(seed)
    vae = kgen.VAE(
        (28, 28), LATENT, reconstruction="bernoulli", network="dense", seed=seed, dtype="float32"
    )
    vae.compile(keras.optimizers.Adam(1e-3, 0.9, 0.999, 1e-8))
    with np.load(data) as arrays:
        vae.fit(arrays["train"], epochs=epochs, batch_size=batch_size, verbose=2)
        print("kgen's elbo:", float(vae.elbo(arrays["test"], 1).mean()), file=sys.stderr)
    np.savez(output, **weights_of(vae))


def export(path):
    """Write the images and labels of Fashion-MNIST, uint8, for both sides."""
    import kgen

    sets = {s: kgen.data.load("fashion_mnist", s) for s in SIZES}
    arrays = {s: kgen.data.to_uint8(sets[s].images(n))[..., 0] for s, n in SIZES.items()}
    arrays |= {f"{s}_labels": np.asarray(sets[s].labels, "uint8") for s in SIZES}
    np.savez(path, **arrays)


SIZES = {"train": 60_000, "test": 10_000}


def main(argv=None):
    """Train both for every seed and compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--python-peers", required=True, help="Python with pythae")
    parser.add_argument("--seeds", type=harness.positive, default=3)
    parser.add_argument("--epochs", type=harness.positive, default=20)
    parser.add_argument("--output", type=pathlib.Path, help="folder that keeps weights and results")
    parser.add_argument("--train", type=json.loads, help=argparse.SUPPRESS)
    run = parser.parse_args(argv)
    if run.train:
        return train(**run.train)
    with tempfile.TemporaryDirectory() as temporary:
        folder = run.output or pathlib.Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        compare(folder.resolve(), run)


def compare(folder, run):
    """Train what is not there yet, evaluate, print."""
    data = folder / "fashion_mnist.npz"
    if not data.exists():
        export(data)
    bounds = {"kgen": [], "pythae": []}
    images = np.load(data)["test"].reshape(-1, 784).astype("float32") / 255
    for seed in range(run.seeds):
        for name in bounds:
            weights = folder / f"{name}-{seed}.npz"
            job = {"data": str(data), "output": str(weights), "seed": seed}
            job |= {"epochs": run.epochs, "batch_size": BATCH}
            ours = ["benchmarks.vae_elbo", "--python-peers", "-", "--train", json.dumps(job)]
            theirs = ["benchmarks.torch_vae", json.dumps({"elbo": job})]
            command = (
                [sys.executable, "-m", *ours]
                if name == "kgen"
                else [run.python_peers, "-m", *theirs]
            )
            if not weights.exists():
                subprocess.run(command, check=True, cwd=ROOT, env=os.environ)
            with np.load(weights) as arrays:
                bounds[name].append(float(elbo(dict(arrays), images).mean()))
            print(f"{name:<7} seed {seed}: test ELBO {bounds[name][-1]:.3f} nats", flush=True)
    means = {name: statistics.mean(values) for name, values in bounds.items()}
    difference = (means["kgen"] - means["pythae"]) / abs(means["pythae"])
    print(
        f"mean of {run.seeds} seeds after {run.epochs} epochs: kgen {means['kgen']:.3f}, pythae "
        f"{means['pythae']:.3f} nats; kgen is {abs(difference):.2%} "
        f"{'better' if difference >= 0 else 'worse'}"
    )
    (folder / "results.json").write_text(json.dumps(bounds | {"difference": difference}) + "\n")


if __name__ == "__main__":
    harness.command(main)
