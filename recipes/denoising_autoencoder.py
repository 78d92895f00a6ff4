r"""The denoising autoencoder of the lecture: what is destroyed comes back.

    python -m recipes.denoising_autoencoder
    python -m recipes.denoising_autoencoder --dataset fashion_mnist --corruption gaussian \
        --amount 0.5 --epochs 20 --batch-size 128

Trains on images of which a part is destroyed, the target being the whole ones. Writes test images,
what is left of them and what the model makes of that; how error and corruption go together, also
beyond the amount of training; the loss curves, and the model.
"""

import math
from pathlib import Path

import keras
import numpy as np

import kgen
from kgen import plots
from kgen.layers import corruptions
from recipes import _command, _run
from recipes._flags import from_zero, one_of

DEFAULTS = {
    "output": Path("outputs/denoising_autoencoder"),
    "image_size": 28,
    "epochs": 20,
    "batch_size": 64,
    "latent_dim": 32,
    "corruption": one_of(corruptions.CORRUPTIONS, "how images are destroyed", default="masking"),
    "amount": {"default": 0.5, "type": from_zero, "help": "of the corruption: a share, or sigma"},
    "reconstruction": "mse",
    "network": "convolutional",
    "learning_rate": 2e-3,
}
AMOUNTS = {"masking": 0.5, "gaussian": 0.5, "salt_and_pepper": 0.25}
SHARES = [0.0, 0.1, 0.25, 0.5, 0.75, 0.9]


def destroyed(images, kind, amount):
    """Images under a corruption, float32 in [-1, 1]."""
    made = corruptions.CORRUPTIONS[kind](amount, seed=0)(images)
    return keras.ops.convert_to_numpy(made).clip(-1, 1)


def draw(run, model, history, test):
    """Write the figures of the lecture."""
    images = (test.of_each_class().images() if test.num_classes else test.images())[:10]
    rows = [images]
    names = ["clean"]
    worse = []
    for kind, amount in AMOUNTS.items():
        corrupted = destroyed(images, kind, run.amount if kind == run.corruption else amount)
        rows += [corrupted, model.reconstruct(corrupted)]
        names += [kind.replace("_", " "), "denoised"]
        before, after = (np.square(x - images).mean() for x in rows[-2:])
        worse += [plots.say(names[-2])] * bool(after > before)
    title = "Trained on one way to destroy an image, it mends others, too, if less well"
    if worse:
        title = "It mends what it has learned to mend ({kind}), and makes others worse ({others})"
    fields = {"kind": plots.say(run.corruption.replace("_", " ")), "others": ", ".join(worse)}
    panel = plots.Images.with_errors(rows, names)
    _run.slide(run, "denoised", panel, title=title, model=model, **fields)
    some = test.images(500)
    errors = {"corrupted": [], "denoised": []}
    for share in SHARES:
        corrupted = destroyed(some, run.corruption, share)
        errors["corrupted"].append(np.square(corrupted - some).mean())
        errors["denoised"].append(np.square(model.reconstruct(corrupted) - some).mean())
    xlabel = plots.say("amount of corruption ({amount:g} in training)", amount=run.amount)
    ylabel = "squared error of a pixel"
    panel = plots.Bands(SHARES, errors, xlabel=xlabel, ylabel=ylabel)
    title = "Where little is destroyed, denoising destroys more than it mends"
    _run.slide(run, "errors", panel, title=title, model=model)
    _run.draw_losses(run, history, math.prod(model.image_shape))


@_command.recipe(__doc__, **DEFAULTS)
def main(run):
    """Train, draw, measure; returns the model."""
    corruption = corruptions.CORRUPTIONS[run.corruption](run.amount)
    images, test = _run.load(run)
    names = ("latent_dim", "reconstruction", "network")
    arguments = {name: vars(run)[name] for name in names} | {"corruption": corruption}
    name = "denoising_autoencoder"
    model, history = _run.train(run, kgen.Autoencoder, arguments, images, test, name)
    draw(run, model, history, test)
    clean = test.images()
    corrupted = model.corrupt(clean, seed=run.seed)
    results = {"test loss": model.evaluate(test, verbose=0)["loss"]}
    results["squared error per pixel, corrupted"] = float(np.square(corrupted - clean).mean())
    denoised = model.reconstruct(corrupted)
    results["squared error per pixel, denoised"] = float(np.square(denoised - clean).mean())
    what = f"Denoising autoencoder: {run.corruption} noise of {run.amount:g}, {run.latent_dim} "
    what += f"latents, {run.reconstruction} loss, {run.network} networks, {run.epochs} epochs."
    _run.report(run, model, what, results, model.preview(10, run.seed, test.images(10)))
    return model


if __name__ == "__main__":
    main()
