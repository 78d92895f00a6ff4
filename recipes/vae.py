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
from recipes import _run

LATENT_DIM = 2
RECONSTRUCTION = "mse"  # the slide's |x - decoded|^2
KL_WEIGHT = 3.0  # the slide's lambda
LEARNING_RATE = 2e-3


def main(argv=None):
    """Train, draw, save; returns the model."""
    run = _run.parse(
        __doc__, argv, output=Path("outputs/vae"), image_size=28, epochs=80, batch_size=64
    )
    train, test = _run.load(run)

    def make(dtype):
        return kgen.VAE(
            train.image_shape,
            LATENT_DIM,
            reconstruction=RECONSTRUCTION,
            kl_weight=KL_WEIGHT,
            seed=run.seed,
            dtype=dtype,
        )

    settings = _run.fastest(run, make, train)
    print(f"{train!r} on {keras.backend.backend()} {settings}")
    vae = make(settings["precision"])
    vae.compile(keras.optimizers.Adam(LEARNING_RATE), jit_compile=settings["jit"])
    history = vae.fit(
        train,
        epochs=run.epochs,
        validation_data=test,
        verbose=2,
        callbacks=[
            kgen.callbacks.TrainingCheckpoint(run.output / "run", every="30s"),
            kgen.callbacks.SampleGrid(run.output / "samples", every=max(1, run.epochs // 30)),
        ],
    )
    vae.save(run.output / "vae.keras")

    images, codes = test.images(), vae.encode(test.images())
    figures = run.output
    kgen.plots.reconstructions(
        images[:10],
        vae.reconstruct(images[:10]),
        title="Test images, encoded and decoded",
        path=figures / "reconstructions.png",
    )
    kgen.plots.grid(
        vae.generate(64, seed=run.seed),
        title="Samples: z from N(0, I), decoded",
        path=figures / "samples.png",
    )
    kgen.plots.latent_scatter(
        codes, test.labels, test.class_names, title="Test set, encoded", path=figures / "latent.png"
    )
    if vae.latent_dim == 2:
        kgen.plots.manifold(
            vae.decode, title="What the latent space decodes to", path=figures / "manifold.png"
        )
    kgen.plots.strips(
        vae.interpolate(images[:6], images[6:12], steps=9),
        title="From one test image to another, along a line in latent space",
        path=figures / "interpolation.png",
    )
    kgen.plots.losses(history, title="Training and validation", path=figures / "losses.png")
    results = vae.evaluate(test, verbose=0)
    results["log p(x) >= [nats]"] = float(vae.log_likelihood(images[:200], samples=200).mean())
    _run.report(run, results)
    return vae


if __name__ == "__main__":
    main()
