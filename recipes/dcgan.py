r"""The DCGAN of Radford et al. (2016): samples, and walks through latent space.

    python -m recipes.dcgan
    python -m recipes.dcgan --drawn 100000 --epochs 10
    python -m recipes.dcgan --dataset fashion_mnist --image-size 28 --filters 64 --epochs 20
    python -m recipes.dcgan --dataset celeb_a --image-size 64 --filters 64 --epochs 25
    python -m recipes.dcgan --dataset lsun/bedroom --image-size 64 --filters 64 --epochs 2

Writes samples, also while it learns, and the nearest training images, interpolations along arcs,
losses, and the model. What vectors of its latent space mean: `recipes.dcgan_arithmetic`.

The networks are smaller than the paper's (128 filters, 5x5 kernels), latents come from N(0, I), and
a moving average of the generator is what samples.
"""

from pathlib import Path

import keras
import numpy as np

import kgen
from kgen import latent, plots
from recipes import _command, _run, gan

DEFAULTS = {
    "output": Path("outputs/dcgan"),
    "dataset": "faces",
    "image_size": 32,
    "drawn": {  # in long runs, more: the discriminator learns few of them by heart
        "default": 10_000,
        "help": "faces that are drawn to learn from; long runs need more",
    },
    "epochs": 15,
    "batch_size": 64,
    "filters": {"default": 32, "help": "filters of the largest layer; the paper has 128"},
    "latent_dim": 100,
    "learning_rate": 5e-4,
    "samples": 2000,
}
REAL_IMAGES = 20_000  # training images that samples are compared with, at most


def draw(run, model, near):
    """Write the figures of every set of images."""
    _run.draw_samples(run, model, near, 10)
    a, b = np.split(model.latents(10, model.latent_dim, run.seed), 2)
    walks = latent.decoded(model, latent.spherical(a, b, 9))
    walks = plots.Images(walks, steps=[f"t = {t:g}" for t in np.linspace(0, 1, 9)])
    title = "From one sample to another along an arc: what lies between is an image, too"
    _run.slide(run, "interpolation", walks, title=title, model=model)


@_command.recipe(__doc__, **DEFAULTS)
def main(run):
    """Train, draw, measure; returns the model."""
    images, test = _run.load(run)
    arguments = {"variant": "dcgan", "latent_dim": run.latent_dim, "filters": run.filters}
    grid = kgen.callbacks.SampleGrid(run.output / "samples", every=max(1, run.epochs // 20))
    adam = {p: keras.optimizers.Adam(run.learning_rate, 0.5) for p in kgen.GAN.players}
    model, history = _run.train(run, kgen.GAN, arguments, images, test, "dcgan", [grid], adam)
    images = images.take(min(REAL_IMAGES, images.num_examples))
    near = kgen.metrics.memorization(model.generate(500, seed=run.seed), images, test)
    draw(run, model, near)
    _run.draw_losses(run, history)
    results = gan.measure(model, images, test, near, run)
    what = f"DCGAN: {run.latent_dim} latents, {run.filters} filters, {run.epochs} epochs."
    _run.report(run, model, what, results)
    return model


if __name__ == "__main__":
    main()
