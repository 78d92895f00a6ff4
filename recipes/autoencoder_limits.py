r"""The limit of autoencoders as generative models: what lies between the images they have encoded?

    python -m recipes.autoencoder_limits
    python -m recipes.autoencoder_limits --dataset fashion_mnist --epochs 5 --seeds 2

Trains an autoencoder (AE) and a VAE alike. Draws latents from N(0, I), for the AE from a Gaussian
and a mixture fitted to its codes, too (Ghosh et al., 2020). Writes samples, a walk across a hole,
and over all seeds completeness (samples that a judge accepts) and coverage (test images that an
accepted one comes near to). `--resume` trains what is missing.
"""

from pathlib import Path

import numpy as np

import kgen
from kgen import distributions, latent, plots
from recipes import _command, _run
from recipes._measured import Measured, dots, means

DEFAULTS = {
    "output": Path("outputs/autoencoder_limits"),
    "image_size": 28,
    "epochs": 22,
    "batch_size": 64,
    "seeds": 5,
    "samples": {"default": 1000, "help": "samples of each prior that are measured"},
    "reconstruction": "mse",
    "network": "dense",
    "kl_weight": 3.0,  # of 1, 3, 5 and 10 the best over both widths
    "learning_rate": 2e-3,
}
MODELS = {"AE": kgen.Autoencoder, "VAE": kgen.VAE}
FITTED = {
    "AE, N(0, I)": distributions.StandardNormal,
    "AE, fitted Gaussian": distributions.Gaussian,
    "AE, fitted mixture": distributions.GaussianMixture,
}
PRIORS = [*FITTED, "VAE, N(0, I)"]


def samples(models, images, n, seed):
    """`n` images by each of the priors, a dictionary."""
    ae, vae = models.values()
    z = ae.encode(images.images())
    made = [ae.decode(prior.fit(z).sample(n, seed)) for prior in FITTED.values()]
    return dict(zip(PRIORS, [*made, vae.generate(n, seed=seed)], strict=True))


def measure(run, images, test, judged, width, seed):
    """Train both models and measure; those of the first seed are saved."""
    real = test.images()
    models, found = {}, {}
    for name, model in MODELS.items():
        options = {"latent_dim": width, "name": f"{name.lower()}_{width}"}
        options |= {"kl_weight": run.kl_weight} if name == "VAE" else {}
        models[name] = _run.fit(run, model, images, seed, **options)
        found[f"continuity, {name}"] = latent.continuity(models[name], real, seed=seed).max_step
        error = np.square(models[name].reconstruct(real) - real).sum(axis=(1, 2, 3)).mean()
        found[f"reconstruction error, {name}"] = float(error)
    for prior, some in samples(models, images, run.samples, seed).items():
        found[f"completeness, {prior}"] = judged(some).share
        found[f"coverage, {prior}"] = judged.coverage(some, real)
    return found


def draw(run, found, models, images, test, judged, real):
    """Write samples of all priors, a walk across a hole, and measures."""
    shares = means(found, "{} latents")
    for width, both in models.items():
        names = {p: shares[f"completeness, {p}, {width} latents"] for p in PRIORS}
        fields = {"n": width, "ae": names[PRIORS[0]], "vae": names[PRIORS[-1]]}
        rows = [*samples(both, images, 10, run.seed).values(), test.images(10)]
        panel = plots.Images.judged(rows, names | {"test images": judged.ceiling}, judged)
        title = "{n} latents from N(0, I): of the AE's images {ae:.0%} pass, of the VAE's {vae:.0%}"
        _run.slide(run, f"samples_{width}", panel, title=title, model=both["VAE"], **fields)
    draw_walk(run, models[2], shares, test)
    panels = dots(found, "{} latents", dict.fromkeys(real, "{:.2f}"), real, turned=True)
    title = "A density fitted to its codes makes an autoencoder (AE) generative"
    _run.slide(run, "measures", *panels, title=title)


def draw_walk(run, models, shares, test):
    """Write the line between test images on which the AE's images jump furthest, of both models."""
    images = test.images()
    starts, ends = np.split(images[: min(400, len(images) // 2 * 2)], 2)
    ways = np.stack([model.interpolate(starts, ends, 9) for model in models.values()])
    moved = np.sqrt(np.square(np.diff(ways, axis=2)).sum(axis=(3, 4, 5)))
    moved /= moved.mean(axis=2, keepdims=True)  # (models, lines, steps), of the mean of each line
    worst = moved[0].max(axis=1).argmax()
    panels, notes = [], []
    for (name, model), steps in zip(models.items(), moved[:, worst], strict=True):
        line = model.encode(np.stack([starts[worst], ends[worst]]))
        codes = model.encode(images), test.labels, test.class_names, name
        panels.append(plots.Scatter(*codes, equal=False, line=line))
        notes += ["", *[f"{step:.1f}" for step in steps]]
    heading = "below each: how far it is from the one before, of the mean of its line"
    panels.append(plots.Images(ways[:, worst], names=[*models], notes=notes, heading=heading))
    steps = {name.lower(): shares[f"continuity, {name}, 2 latents"] for name in models}
    title = (
        "Along a line an autoencoder's largest step is {ae:.1f} times the mean, a VAE's {vae:.1f}"
    )
    _run.slide(run, "walk", *panels, columns=2, title=title, model=model, **steps)


@_command.recipe(__doc__, **DEFAULTS)
def main(run):
    """Train, measure, draw; returns the widest VAE of the first seed."""
    images, test, judged = _run.load_judged(run)
    _run.settle(run, kgen.VAE, {"image_shape": images.image_shape, "network": run.network}, images)
    measured = Measured(run, images, {"seeds"})
    found = measured.each("{} latents", (2, 16), measured.seeds, measure, run, images, test, judged)
    models = {w: {n: _run.saved(run, f"{n.lower()}_{w}") for n in MODELS} for w in found}
    covered = judged.coverage(images.images(run.samples), test.images())
    real = {"completeness": judged.ceiling, "coverage": covered}
    draw(run, found, models, images, test, judged, real)
    results = {f"{name}, real images": level for name, level in real.items()}
    results |= {"completeness, noise": judged.floor} | means(found, "{} latents")
    what = f"VAE: 16 latents, {run.reconstruction} loss, {run.network}, {run.epochs} epochs."
    _run.report(run, models[16]["VAE"], what, results)
    return models[16]["VAE"]


if __name__ == "__main__":
    main()
