r"""The Gaussian model, where the lecture begins: mean image, main axes, and samples.

    python -m recipes.gaussian
    python -m recipes.gaussian --dataset fashion_mnist --image-size 28

Fits one Gaussian to images, and a mixture of them within the same principal axes. Writes what it
knows (covariance, mean and main axes), the spectrum, and samples of both beside real images. How
simple they are is a number: with faces, digits and Fashion-MNIST, the share of the samples in which
a judge sees what it sees in real images.
"""

from pathlib import Path

import numpy as np

import kgen
from kgen import plots
from recipes import _command, _run

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


def along(gaussian, far, count):
    """Images at so many standard deviations along the first axes: `(count, len(far), H, W, C)`."""
    z = np.asarray(far)[None, :, None] * np.eye(count, gaussian.components)[:, None]
    images = gaussian.decode(z.reshape(-1, gaussian.components).astype("float32"))
    return images.reshape(count, len(far), *gaussian.image_shape)


def covariance(gaussian, side=8):
    """Of the grey values of thumbnails, `(side * side, side * side)`."""
    mean, moved = along(gaussian, [0, 1], gaussian.components).mean(axis=-1).swapaxes(0, 1)
    moved, step = moved - mean, gaussian.image_shape[0] // side
    small = moved[:, : step * side, : step * side].reshape(-1, side, step, side, step)
    rows = small.mean(axis=(2, 4)).reshape(-1, side * side)
    return rows.T @ rows


def draw(run, models, accepted, test):
    """Write the figures of the lecture."""
    gaussian = models["Gaussian"]
    total = gaussian.eigenvalues.sum()
    total += gaussian.noise * (np.prod(gaussian.image_shape) - gaussian.components)
    shares = gaussian.eigenvalues[:3] / total
    names = [plots.say("axis {i}: {s:.0%}", i=i + 1, s=s) for i, s in enumerate(shares)]
    far = [-2.5, 0, 2.5]
    steps = ["−2.5 σ", "mean", "+2.5 σ"]
    panels = [
        plots.Heat(covariance(gaussian), heading="covariance of 8x8 thumbnails", share=0.7),
        plots.Images(along(gaussian, far, 3), names=names, steps=steps, share=1.4),
        plots.Images(gaussian.generate(16, seed=run.seed), 4, heading="samples"),
    ]
    title = "A Gaussian knows mean and covariance of images, no more"
    if accepted:
        title = "A Gaussian knows mean and covariance; a judge accepts {Gaussian:.0%} of its images"
    _run.slide(run, "gaussian", *panels, title=title, model=gaussian, **accepted)
    rows = {"real": test.images(10)}
    rows |= {name: model.generate(10, seed=run.seed) for name, model in models.items()}
    said = ["real", "Gaussian", plots.say("mixture of {n}", n=run.clusters)]
    names = [
        plots.Said(plots.say(text) + (f": {accepted[name]:.0%}" if name in accepted else ""))
        for text, name in zip(said, rows, strict=True)
    ]
    title = "Neither one Gaussian nor a mixture of them draws sharp images"
    if accepted:
        title = "Neither one Gaussian nor a mixture draws sharp images; beside: accepted by a judge"
    rows = plots.Images(np.stack([*rows.values()]), names=names)
    _run.slide(run, "samples", rows, title=title, model=gaussian)
    held = gaussian.eigenvalues.cumsum() / total
    axes = {"xlabel": "principal axes", "ylabel": "share of the variance", "legend": None}
    curve = plots.Curves({"held": np.append(0, held)}, range(len(held) + 1), log=False, **axes)
    title = "{n} axes hold {share:.0%} of the variance"
    _run.slide(run, "spectrum", curve, title=title, n=len(held), share=held[-1])


@_command.recipe(__doc__, WITHOUT, **DEFAULTS)
def main(run):
    """Fit, draw, measure; returns the Gaussian."""
    images, test = _run.load(run)
    run.data, run.jit = repr(images)[1:-1], "off"
    models, judge = fit(run, images, test), kgen.metrics.judge_for(run.dataset)
    accepted, results = {}, {}
    for name, model in models.items():
        results[f"test log p(x) [nats], {name}"] = model.evaluate(test)["log_likelihood"]
    if judge:
        real = kgen.metrics.judge(judge), images.images(5000), test.images(1000)
        accepts = kgen.latent.AcceptedBy(*real)
        accepted["real"] = accepts.ceiling
        for name, model in models.items():
            accepted[name] = accepts(model.generate(1000, seed=run.seed)).share
        results |= {f"accepted by the judge, {name}": share for name, share in accepted.items()}
    draw(run, models, accepted, test)
    what = f"Gaussian in {models['Gaussian'].components} principal axes."
    _run.report(run, models["Gaussian"], what, results)
    return models["Gaussian"]


if __name__ == "__main__":
    main()
