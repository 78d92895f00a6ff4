r"""The Gaussian model, where the lecture begins: mean image, main axes, and samples.

    python -m recipes.gaussian
    python -m recipes.gaussian --dataset fashion_mnist --image-size 28

Fits one Gaussian to images, and a mixture of them within the same principal axes. Writes the mean
with the main axes, the spectrum, and samples of both beside real images. How simple they are is a
number: with faces, digits and Fashion-MNIST, the share of the samples in which a judge sees what it
sees in real images.
"""

from pathlib import Path

import numpy as np

import kgen
from kgen import plots
from recipes import _run

DEFAULTS = {
    "output": Path("outputs/gaussian"),
    "dataset": "faces",
    "image_size": 64,
    "components": 80,
    "clusters": {"default": 10, "help": "Gaussians of the mixture"},
}
WITHOUT = ("epochs", "batch_size", "precision", "jit", "resume")


def fit(run, images, test):
    """Fit both models and save them; returns them by name."""
    shape, options = images.image_shape, {"components": run.components, "seed": run.seed}
    models = {
        "Gaussian": kgen.Gaussian(shape, **options),
        f"mixture of {run.clusters}": kgen.GaussianMixture(shape, run.clusters, **options),
    }
    for name, model in models.items():
        print(name)
        model.fit(images, validation_data=test)
        model.save(run.output / f"{type(model).__name__.lower()}.keras")
    return models


def draw(models, test, folder, seed):
    """Write the figures of the lecture."""
    gaussian = models["Gaussian"]
    far = np.linspace(-2.5, 2.5, 7)
    z = far[None, :, None] * np.eye(6, gaussian.components)[:, None]
    lines = gaussian.decode(z.reshape(-1, gaussian.components))
    lines = lines.reshape(6, 7, *gaussian.image_shape)
    shares = gaussian.eigenvalues / (
        gaussian.eigenvalues.sum()
        + gaussian.noise * (np.prod(gaussian.image_shape) - gaussian.components)
    )
    labels = [f"axis {i + 1},\n{share:.0%} of variance" for i, share in enumerate(shares[:6])]
    steps = [f"{t:+.1f} σ" if t else "mean" for t in far]
    title = "The mean image, and along the main axes"
    plots.strips(lines, labels, steps, title=title, path=folder / "axes.png")
    rows = {"real": test.images(20)}
    rows |= {name: model.generate(20, seed=seed) for name, model in models.items()}
    names = [label for name in rows for label in (name, "")]
    halves = np.stack([half for images in rows.values() for half in (images[:10], images[10:])])
    title = "Real images, and samples of models that know mean and covariance"
    plots.strips(halves, names, title=title, path=folder / "samples.png")
    figure, axes = plots.chart(7.5, 4.5)
    numbers = np.arange(1, gaussian.components + 1)
    axes.loglog(numbers, gaussian.eigenvalues, color="C0", lw=2, label="variance along the axis")
    axes.axhline(gaussian.noise, color="C3", ls="--", label="mean variance along all others")
    axes.set(xlabel="principal axis", ylabel="variance", title="Spectrum of the covariance")
    axes.legend(frameon=False)
    plots.save(figure, folder / "spectrum.png")


@_run.recipe(__doc__, WITHOUT, **DEFAULTS)
def main(run):
    """Fit, draw, measure; returns the Gaussian."""
    images, test = _run.load(run)
    run.data, run.jit = repr(images)[1:-1], "off"
    models = fit(run, images, test)
    draw(models, test, run.output, run.seed)
    results, judge = {}, kgen.metrics.judge_for(run.dataset)
    for name, model in models.items():
        results[f"test log p(x) [nats], {name}"] = model.evaluate(test)["log_likelihood"]
    if judge:
        real = kgen.metrics.judge(judge), images.images(5000), test.images(1000)
        accepts = kgen.latent.AcceptedBy(*real)
        results["accepted by the judge, real test images"] = accepts.ceiling
        for name, model in models.items():
            samples = model.generate(1000, seed=run.seed)
            results[f"accepted by the judge, {name}"] = accepts(samples).share
    what = f"Gaussian in {models['Gaussian'].components} principal axes."
    _run.report(run, models["Gaussian"], what, results)
    return models["Gaussian"]


if __name__ == "__main__":
    main()
