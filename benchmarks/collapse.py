"""Is collapse of a GAN named early, and health left in peace? `CollapseMonitor` on Fashion-MNIST.

    python -m benchmarks.collapse --output FOLDER

A DCGAN with 16 filters on the 60,000 training images, 24 epochs of 100 batches of 32, watched in
the features of kgen's classifier of Fashion-MNIST and in pixels. The healthy one is trained as
`kgen.GAN` comes. The others fail: by a learning rate at which the generator's output is constant;
by a discriminator that learns too fast, with Algorithm 1's loss and no normalization; and with
dropped modes that are known to be, since the GAN saw one class of ten, trousers, and is watched
beside all. Printed is in how many runs each failure was named before half of the epochs, and how
many alarms healthy runs raised. `--output` keeps what is measured; what is there is not redone.
"""

import argparse
import json
import pathlib
import tempfile

import keras
import numpy as np

import kgen
from benchmarks import harness
from benchmarks.vae_elbo import export

SETTINGS = {  # loss; the discriminator's normalization; learning rates of both players
    "healthy": ("non_saturating", "batch", 2e-4, 2e-4),
    "constant": ("non_saturating", "batch", 1e-3, 10.0),
    "dropped_modes": ("non_saturating", "batch", 2e-4, 2e-4),
    "saturated_discriminator": ("minimax", "none", 1e-3, 1e-5),
}
FEATURES, TROUSERS = ("fashion", "pixels"), 1
EPOCHS, STEPS, BATCH_SIZE, FILTERS = 24, 100, 32, 16


def train(images, labels, kind, seed):
    """Train one; returns by features the epoch of each finding."""
    keras.utils.clear_session()
    keras.utils.set_random_seed(seed)
    loss, normalization, *rates = SETTINGS[kind]
    options = {"filters": FILTERS, "normalization": normalization, "loss": loss}
    model = kgen.GAN((28, 28), **options, seed=seed)
    adam = keras.optimizers.Adam
    model.compile({p: adam(r, 0.5) for p, r in zip(model.players, rates, strict=True)})
    monitors = {name: kgen.callbacks.CollapseMonitor(images, name) for name in FEATURES}
    epochs = EPOCHS if kind == "healthy" else EPOCHS // 2 - 1
    settings = {"batch_size": BATCH_SIZE, "steps_per_epoch": STEPS, "epochs": epochs}
    seen = images[labels == TROUSERS] if kind == "dropped_modes" else images
    model.fit(seen, **settings, verbose=0, callbacks=[*monitors.values()])
    return {
        name: {found: epoch for epoch, found, _ in monitor.findings}
        for name, monitor in monitors.items()
    }


def main(argv=None):
    """Train what is not there yet, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=harness.positive, default=10)
    parser.add_argument("--data", type=pathlib.Path, help="file of the images, where there is one")
    parser.add_argument("--output", type=pathlib.Path, help="folder of results")
    run = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as temporary:
        folder = run.output or pathlib.Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        data = run.data or folder / "fashion_mnist.npz"
        if not data.exists():
            export(data)
        with np.load(data) as arrays:
            images, labels = arrays["train"], arrays["train_labels"]
        kept = folder / "collapse.json"
        found = json.loads(kept.read_text()) if kept.exists() else {}
        for seed in range(run.seeds):
            for kind in SETTINGS:
                if (name := f"{kind}-{seed}") not in found:
                    found[name] = train(images, labels, kind, seed)
                    print(name, found[name], flush=True)
                    harness.keep(kept, json.dumps(found, indent=1))
    report(found)


def report(found):
    """Print how many runs of each kind were named, and at which epoch."""
    for kind in SETTINGS:
        runs = [result for name, result in found.items() if name.startswith(kind + "-")]
        for name in FEATURES if runs else ():
            if kind == "healthy":
                alarms = sum(len(result[name]) for result in runs)
                print(f"{kind:<24} {name:<8} {alarms} alarms in {len(runs)} runs")
                continue
            epochs = [result[name][kind] for result in runs if kind in result[name]]
            when = f"by epoch {max(epochs)} of {EPOCHS}" if epochs else "never"
            print(f"{kind:<24} {name:<8} named in {len(epochs)} of {len(runs)} runs, {when}")


if __name__ == "__main__":
    harness.command(main)
