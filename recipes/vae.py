"""The variational autoencoder of the lecture: train it, and look at its latent space.

    python -m recipes.vae
    python -m recipes.vae --dataset fashion_mnist --epochs 20

Writes reconstructions, samples from the prior, the latent scatter of the test set, the 2-D
manifold, interpolations, the loss curves, and the model, which loads again in one line:
`keras.saving.load_model("outputs/vae/vae.keras").generate(16)`.
"""

from pathlib import Path

import keras

import kgen
from kgen import plots
from recipes import _run

LATENT_DIM = 2
RECONSTRUCTION = "mse"  # the slide's |x - decoded|^2
KL_WEIGHT = 3.0  # the slide's lambda
LEARNING_RATE = 2e-3


def train(run, images, test):
    """Fit the model, with checkpoints and pictures on the way, and save it."""
    arguments = dict(
        image_shape=images.image_shape,
        latent_dim=LATENT_DIM,
        reconstruction=RECONSTRUCTION,
        kl_weight=KL_WEIGHT,
        seed=run.seed,
    )
    _run.choose_fastest(run, kgen.VAE, arguments, images)
    vae = kgen.VAE(**arguments, dtype=run.precision)
    vae.compile(keras.optimizers.Adam(LEARNING_RATE), jit_compile=run.jit == "on")
    every = max(1, run.epochs // 30)
    callbacks = [
        kgen.callbacks.TrainingCheckpoint(run.output / "run", every="30s"),
        kgen.callbacks.SampleGrid(run.output / "samples", every=every),
    ]
    history = vae.fit(
        images, epochs=run.epochs, validation_data=test, verbose=2, callbacks=callbacks
    )
    vae.save(run.output / "vae.keras")
    return vae, history


def draw(vae, history, test, folder, seed):
    """Write the figures of the lecture."""
    images = test.images()
    pairs = images[:10], vae.reconstruct(images[:10])
    title = "Test images, encoded and decoded"
    plots.reconstructions(*pairs, title=title, path=folder / "reconstructions.png")
    title = "Samples: z from N(0, I), decoded"
    plots.grid(vae.generate(64, seed=seed), title=title, path=folder / "samples.png")
    title, path = "Test set, encoded", folder / "latent.png"
    plots.latent_scatter(vae.encode(images), test.labels, test.class_names, title=title, path=path)
    title = "What the latent space decodes to"
    if vae.latent_dim == 2:
        plots.manifold(vae.decode, title=title, path=folder / "manifold.png")
    title = "From one test image to another, along a line in latent space"
    lines = vae.interpolate(images[:6], images[6:12], steps=9)
    plots.strips(lines, title=title, path=folder / "interpolation.png")
    plots.losses(history, title="Training and validation", path=folder / "losses.png")


def main(argv=None):
    """Train, draw, measure; returns the model."""
    defaults = {"output": Path("outputs/vae"), "image_size": 28, "epochs": 80, "batch_size": 64}
    run = _run.parse(__doc__, argv, **defaults)
    images, test = _run.load(run)
    vae, history = train(run, images, test)
    draw(vae, history, test, run.output, run.seed)
    results = vae.evaluate(test, verbose=0)
    results["log p(x) >= [nats]"] = float(vae.log_likelihood(test.images(200), 200).mean())
    _run.report(run, results)
    return vae


if __name__ == "__main__":
    main()
