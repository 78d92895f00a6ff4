r"""The denoising autoencoder of the lecture: what is destroyed comes back.

    python -m recipes.denoising_autoencoder
    python -m recipes.denoising_autoencoder --dataset fashion_mnist --corruption gaussian \
        --amount 0.5 --epochs 20 --batch-size 128

Trains on images of which a part is destroyed, the target being the whole ones. Writes test images,
what is left of them and what the model makes of that; how error and corruption go together, also
beyond the amount of training; the loss curves, and the model.
"""

from pathlib import Path

import keras
import numpy as np

import kgen
from kgen import plots
from kgen.layers import corruptions
from recipes import _run
from recipes._flags import from_zero
from recipes.autoencoder import one_of_each

DEFAULTS = {
    "output": Path("outputs/denoising_autoencoder"),
    "image_size": 28,
    "epochs": 20,
    "batch_size": 64,
    "latent_dim": 32,
    "corruption": {
        "default": "masking",
        "choices": list(corruptions.CORRUPTIONS),
        "help": "how images are destroyed",
    },
    "amount": {"default": 0.5, "type": from_zero, "help": "of the corruption: a share, or sigma"},
    "reconstruction": "mse",
    "network": "convolutional",
    "learning_rate": 2e-3,
}
SHARES = [0.0, 0.1, 0.25, 0.5, 0.75, 0.9]


def errors(model, images, corruption):
    """Squared error per pixel before and after denoising, for each of `SHARES`; and the images."""
    found = []
    for share in SHARES:
        corrupted = keras.ops.convert_to_numpy(corruption(share, seed=0)(images)).clip(-1, 1)
        both = corrupted, model.reconstruct(corrupted)
        found.append([np.square(x - images).mean() for x in both])
    return np.array(found).T


def draw(model, history, test, run):
    """Write the figures of the lecture; returns the errors."""
    images, names = one_of_each(test)
    corrupted = model.corrupt(images, seed=run.seed)
    rows = np.stack([images, corrupted, model.reconstruct(corrupted)])
    title = f"Test images, {run.corruption.replace('_', ' ')} noise of {run.amount:g}, denoised"
    labels, path = ["clean", "corrupted", "denoised"], run.output / "denoised.png"
    plots.strips(rows, labels, names, title=title, path=path)
    found = errors(model, test.images(500), corruptions.CORRUPTIONS[run.corruption])
    plots.bands(
        SHARES,
        found[:, None],
        ["corrupted", "denoised"],
        xlabel=f"amount of corruption ({run.amount:g} in training)",
        ylabel="squared error per pixel",
        title="What comes back",
        path=run.output / "errors.png",
    )
    plots.losses(history, title="Training and validation", path=run.output / "losses.png")


@_run.recipe(__doc__, **DEFAULTS)
def main(run):
    """Train, draw, measure; returns the model."""
    corruption = corruptions.CORRUPTIONS[run.corruption](run.amount)
    images, test = _run.load(run)
    names = ("latent_dim", "reconstruction", "network")
    arguments = {name: vars(run)[name] for name in names} | {"corruption": corruption}
    name = "denoising_autoencoder"
    model, history = _run.train(run, kgen.Autoencoder, arguments, images, test, name)
    draw(model, history, test, run)
    clean = test.images()
    corrupted = model.corrupt(clean, seed=run.seed)
    results = {"test loss": model.evaluate(test, verbose=0)["loss"]}
    results["squared error per pixel, corrupted"] = float(np.square(corrupted - clean).mean())
    denoised = model.reconstruct(corrupted)
    results["squared error per pixel, denoised"] = float(np.square(denoised - clean).mean())
    what = f"Denoising autoencoder: {run.corruption} noise of {run.amount:g}, {run.latent_dim} "
    what += f"latents, {run.reconstruction} loss, {run.network} networks, {run.epochs} epochs."
    _run.report(run, model, what, results, denoised[:64])
    return model


if __name__ == "__main__":
    main()
