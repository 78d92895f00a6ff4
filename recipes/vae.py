r"""The variational autoencoder of the lecture: train it, and look at its latent space.

    python -m recipes.vae
    python -m recipes.vae --dataset fashion_mnist --epochs 30 --batch-size 128 --latent-dim 10 \
        --reconstruction bernoulli --kl-weight 1 --learning-rate 1e-3

Writes reconstructions, samples from the prior, the latent scatter of the test set, the 2-D
manifold, interpolations, the loss curves, and the model, which loads again in one line:
`keras.saving.load_model("outputs/vae/vae.keras").generate(16)`.
"""

from pathlib import Path

import kgen
from kgen import plots
from recipes import _run

DEFAULTS = {
    "output": Path("outputs/vae"),
    "image_size": 28,
    "epochs": 60,
    "batch_size": 64,
    "latent_dim": 2,
    "reconstruction": "mse",  # the slide's |x - decoded|^2
    "kl_weight": 1.0,  # the slide's lambda
    "learning_rate": 2e-3,
}


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


@_run.recipe(__doc__, **DEFAULTS)
def main(run):
    """Train, draw, measure; returns the model."""
    images, test = _run.load(run)
    arguments = {name: vars(run)[name] for name in ("latent_dim", "reconstruction", "kl_weight")}
    samples = kgen.callbacks.SampleGrid(run.output / "samples", every=max(1, run.epochs // 30))
    vae, history = _run.train(run, kgen.VAE, arguments, images, test, "vae", [samples])
    draw(vae, history, test, run.output, run.seed)
    results = {f"test {name}": value for name, value in vae.evaluate(test, verbose=0).items()}
    results["test ELBO [nats]"] = float(vae.elbo(test.images()).mean())
    few = test.images(500)
    bound = f"test log p(x) >= [nats], {len(few)} images"
    results[bound] = float(vae.log_likelihood(few, 100).mean())
    what = f"Variational autoencoder: {run.latent_dim} latents, {run.reconstruction} "
    what += f"reconstruction, KL weight {run.kl_weight:g}, {run.epochs} epochs."
    _run.report(run, vae, what, results)
    return vae


if __name__ == "__main__":
    main()
