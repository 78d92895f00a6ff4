r"""The variational autoencoder of the lecture: train it, and look at its latent space.

    python -m recipes.vae
    python -m recipes.vae --dataset fashion_mnist --epochs 30 --batch-size 128 --latent-dim 10 \
        --reconstruction bernoulli --kl-weight 1 --learning-rate 1e-3

Writes where test images lie beside what the latent space decodes to, their ways there in the map of
the KL divergence, reconstructions, samples from the prior, interpolations, the loss curves, and the
model, which loads again in one line:
`keras.saving.load_model("outputs/vae/vae.keras").generate(16)`.
"""

from pathlib import Path

import numpy as np

import kgen
from kgen import plots
from kgen.callbacks import SampleGrid, Snapshots
from recipes import _command, _run

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


def draw(run, vae, history, kept, test):
    """Write the figures of the lecture."""
    images = test.images()
    where = plots.Scatter(vae.encode(images), test.labels, test.class_names, "test images, encoded")
    panels = [where]
    if vae.latent_dim == 2:
        panels.append(plots.Manifold(vae.decode, heading="what each place decodes to"))
    title = "Each class has a region, and what lies between decodes to something, too"
    _run.slide(run, "latent", *panels, title=title, model=vae)
    codes = {"codes in the end": vae.posterior(images)}
    divergence = plots.Divergence(codes, [*zip(*kept.values(), strict=True)])
    title = "Codes begin at N(0, 1), and pay in KL divergence (lines) for what they tell"
    _run.slide(run, "divergence", divergence, title=title, model=vae)
    rows = [images[:10], vae.reconstruct(images[:10])]
    rows = plots.Images.with_errors(rows, ["original", "reconstruction"])
    title = "What {n} numbers keep of a test image; below, the squared error of a pixel"
    _run.slide(run, "reconstructions", rows, title=title, model=vae, n=vae.latent_dim)
    samples = plots.Images(vae.generate(60, seed=run.seed), 12)
    title = "Images that nobody drew: z from N(0, I), decoded"
    _run.slide(run, "samples", samples, title=title, model=vae)
    lines, steps = vae.interpolate(images[:5], images[5:10], steps=9), np.linspace(0, 1, 9)
    ways = plots.Images(lines, steps=[f"t = {t:g}" for t in steps])
    title = "From one test image to another: (1 - t) z + t z', decoded"
    _run.slide(run, "interpolation", ways, title=title, model=vae)
    _run.draw_losses(run, history)


@_command.recipe(__doc__, **DEFAULTS)
def main(run):
    """Train, draw, measure; returns the model."""
    images, test = _run.load(run)
    arguments = {name: vars(run)[name] for name in ("latent_dim", "reconstruction", "kl_weight")}
    ten, moments = test.images(10), [0, *Snapshots.moments(run.epochs, 12, first=1)]
    kept = Snapshots(lambda vae: vae.posterior(ten), moments)
    callbacks = [SampleGrid(run.output / "samples", every=max(1, run.epochs // 30)), kept]
    vae, history = _run.train(run, kgen.VAE, arguments, images, test, "vae", callbacks)
    draw(run, vae, history, kept.kept, test)
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
