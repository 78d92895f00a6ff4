r"""What a bottleneck costs: autoencoders of 1 to 64 latents, beside as many principal axes.

    python -m recipes.bottleneck
    python -m recipes.bottleneck --dataset faces --image-size 32 --network convolutional

Fits an autoencoder and a Gaussian in principal axes for each number of latents. Writes the errors
of test images by that number, and how one of them comes back. `--resume` fits what is missing, also
for more `--seeds`.
"""

from pathlib import Path

import numpy as np

import kgen
from kgen import plots
from recipes import _command, _run
from recipes._measured import Measured, means

DEFAULTS = {
    "output": Path("outputs/bottleneck"),
    "image_size": 28,
    "epochs": 22,
    "batch_size": 64,
    "seeds": 1,
    "reconstruction": "mse",
    "network": "dense",
    "learning_rate": 2e-3,
}
WIDTHS = (1, 2, 4, 8, 16, 32, 64)
MODELS = {"autoencoder": "autoencoder", "principal axes": "gaussian"}  # families, by name


def again_of(run, width):
    """Where is kept how one test image comes back from so many latents."""
    return run.output / "run" / f"again-{width}.npy"


def measure(run, images, test, width, seed):
    """The error of a pixel, of both models; what the first seed makes of one image is kept."""
    axes = kgen.Gaussian(images.image_shape, width)
    axes.fit(images, verbose=0)
    autoencoder = _run.fit(run, kgen.Autoencoder, images, seed, latent_dim=width)
    real = test.images()
    again = [model.reconstruct(real) for model in (autoencoder, axes)]
    if seed == run.seed:
        np.save(again_of(run, width), [rows[2] for rows in again])
    return {
        f"squared error, {name}": float(np.square(rows - real).mean())
        for name, rows in zip(MODELS, again, strict=True)
    }


def draw(run, found, errors):
    """Write the errors by the number of latents, above how one image comes back."""
    values = {
        name: np.transpose(
            [[part[f"squared error, {name}"] for part in parts] for parts in found.values()]
        )
        for name in MODELS
    }
    curves = plots.Bands(
        WIDTHS,
        values,
        colors=[plots.FAMILIES[family] for family in MODELS.values()],
        xlabel="latents",
        ylabel="squared error of a pixel",
        shape=0.3,
    )
    again = np.stack([np.load(again_of(run, width)) for width in WIDTHS], axis=1)
    rows = plots.Images(again, names=[*MODELS], steps=[str(width) for width in WIDTHS])
    few = WIDTHS[1]
    least = errors[f"squared error, autoencoder, {few}"]
    worse = [w for w in WIDTHS if errors[f"squared error, principal axes, {w}"] > least]
    title = "The fewer latents, the more of an image is lost"
    if worse:
        title = "{few} latents of an autoencoder keep more than {many} principal axes"
    fields = {"few": few, "many": max(worse, default=0)}
    _run.slide(run, "bottleneck", curves, rows, columns=1, title=title, **fields)


@_command.recipe(__doc__, ("publish",), **DEFAULTS)
def main(run):
    """Fit, measure, draw; returns the errors of each seed by number of latents."""
    images, test = _run.load(run)
    arguments = {"image_shape": images.image_shape, "network": run.network}
    _run.settle(run, kgen.Autoencoder, arguments, images)
    measured = Measured(run, images, {"seeds"})
    found = measured.each("{} latents", WIDTHS, measured.seeds, measure, run, images, test)
    results = means(found, "{}")
    draw(run, found, results)
    _run.report(run, None, "", results)
    return found


if __name__ == "__main__":
    main()
