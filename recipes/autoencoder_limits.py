r"""The limit of autoencoders as generative models: what lies between the images they have encoded?

    python -m recipes.autoencoder_limits
    python -m recipes.autoencoder_limits --dataset fashion_mnist --epochs 5 --seeds 2

Trains an autoencoder (AE) and a VAE of the same networks and loss. Draws latents from N(0, I), and
for the AE also from a Gaussian and a mixture that were fitted to its latents (Ghosh et al., 2020).
Writes samples, a walk across a hole, what a bottleneck costs, and over all seeds: completeness, the
share of samples that a judge accepts; coverage, the share of test images that an accepted one comes
near to; continuity. `--resume` trains what is missing, also for more `--seeds`.
"""

from pathlib import Path

import keras
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
MODELS = {"AE": (kgen.Autoencoder, ()), "VAE": (kgen.VAE, ("kl_weight",))}
FITTED = {"N(0, I)": "StandardNormal", "fitted Gaussian": "Gaussian"}
FITTED |= {"fitted mixture": "GaussianMixture"}
PRIORS = [*(f"AE, {name}" for name in FITTED), "VAE, N(0, I)"]
LATENTS, BOTTLENECKS = "{} latents", (1, 2, 4, 8, 16, 32, 64)
MEASURES = {"completeness": "{:.2f}", "coverage": "{:.2f}"}
ERROR = "squared error of a pixel"


def samples(autoencoder, vae, images, n, seed):
    """`n` images by each of the priors, a list."""
    z = autoencoder.encode(images.images())
    priors = [getattr(distributions, kind).fit(z) for kind in FITTED.values()]
    drawn = [autoencoder.decode(prior.sample(n, seed)) for prior in priors]
    return [*drawn, vae.generate(n, seed=seed)]


def measure(run, images, test, judged, width, seed):
    """Train both models and measure; those of the first seed are saved."""
    models, found, real = {}, {}, test.images()
    for name, (model, flags) in MODELS.items():
        options = {flag: vars(run)[flag] for flag in flags}
        models[name] = _run.fit(run, model, images, seed, latent_dim=width, **options)
        if seed == run.seed:
            models[name].save(run.output / f"{name.lower()}_{width}.keras")
        found[f"continuity, {name}"] = latent.continuity(models[name], real, seed=seed).max_step
        error = np.square(models[name].reconstruct(real) - real).sum(axis=(1, 2, 3)).mean()
        found[f"reconstruction error, {name}"] = float(error)
    drawn = samples(*models.values(), images, run.samples, seed)
    for prior, some in zip(PRIORS, drawn, strict=True):
        found[f"completeness, {prior}"] = judged(some).share
        found[f"coverage, {prior}"] = judged.coverage(some, real)
    return found


def bottleneck(run, images, test):
    """By number of latents, the squared error of a pixel, and how one image comes back."""
    real, found = test.images(), {"autoencoder": [], "principal axes": []}
    for width in BOTTLENECKS:
        axes = kgen.Gaussian(images.image_shape, width)
        axes.fit(images, verbose=0)
        models = _run.fit(run, kgen.Autoencoder, images, run.seed, latent_dim=width), axes
        for kept, model in zip(found.values(), models, strict=True):
            again = model.reconstruct(real)
            kept.append((float(np.square(again - real).mean()), again[2].round(3).tolist()))
    return found


def draw(run, found, kept, models, images, test, judged, levels):
    """Write samples of all priors, a walk across a hole, what a bottleneck costs, and measures."""
    shares = means(found, LATENTS)
    for width, both in models.items():
        names = {p: shares[f"completeness, {p}, {LATENTS.format(width)}"] for p in PRIORS}
        fields = {"n": width, "ae": names[PRIORS[0]], "vae": names[PRIORS[-1]]}
        names |= {"test images": judged.ceiling}
        rows = [*samples(*both.values(), images, 10, run.seed), test.images(10)]
        panel = plots.Images.judged(rows, names, judged)
        title = "{n} latents from N(0, I): of the AE's images {ae:.0%} pass, of the VAE's {vae:.0%}"
        _run.slide(run, f"samples_{width}", panel, title=title, model=both["VAE"], **fields)
    draw_walk(run, models[2], shares, test, judged)
    errors = {name: [error for error, _ in rows] for name, rows in kept.items()}
    options = {"colors": [plots.FAMILIES["autoencoder"], plots.FAMILIES["gaussian"]], "shape": 0.3}
    values, labels = np.array([*errors.values()])[:, None], {"xlabel": "latents", "ylabel": ERROR}
    curves = plots.Bands(BOTTLENECKS, values, list(errors), **labels, **options)
    rows = np.float32([[image for _, image in rows] for rows in kept.values()])
    rows = plots.Images(rows, names=list(kept), steps=[str(n) for n in BOTTLENECKS])
    many = sum(error > errors["autoencoder"][1] for error in errors["principal axes"])
    title = "{few} latents of an autoencoder keep more than {many} principal axes"
    fields = {"few": BOTTLENECKS[1], "many": BOTTLENECKS[max(0, many - 1)]}
    _run.slide(run, "bottleneck", curves, rows, columns=1, title=title, **fields)
    panels = dots(found, LATENTS, MEASURES, levels, turned=True)
    title = "A density fitted to its codes makes an autoencoder (AE) generative"
    _run.slide(run, "measures", *panels, title=title)


def draw_walk(run, models, shares, test, judged, steps=9):
    """Write a line between test images with the most images that the judge refuses."""
    n = min(100, test.num_examples // 2)
    ends = np.split(test.images()[: 2 * n], 2)
    ways = [model.interpolate(*ends, steps=steps) for model in models.values()]
    passed = [judged.accepts(way.reshape(-1, *way.shape[2:])).reshape(n, -1) for way in ways]
    at = (passed[0][:, [0, -1]].sum(axis=1) * steps - passed[0].sum(axis=1)).argmax()
    panels, names = [], {name: p.mean() for name, p in zip(models, passed, strict=True)}
    for name, model in models.items():
        options = {"line": model.encode(np.stack([end[at] for end in ends])), "heading": name}
        z = model.encode(test.images())
        panels.append(plots.Scatter(z, test.labels, test.class_names, equal=False, **options))
    heading = plots.say("share accepted: of {n} such lines", n=n)
    rows = plots.Images.judged([way[at] for way in ways], names, judged, heading=heading)
    steps = {name.lower(): shares[f"continuity, {name}, 2 latents"] for name in models}
    title = "An autoencoder jumps across holes" if steps["ae"] > steps["vae"] else "No jumps here"
    title += ": largest step {ae:.1f} times the mean (VAE: {vae:.1f})"
    _run.slide(run, "walk", *panels, rows, columns=2, title=title, model=model, **steps)


@_command.recipe(__doc__, **DEFAULTS)
def main(run):
    """Train, measure, draw; returns the widest VAE of the first seed."""
    images, test, judged = _run.load_judged(run)
    _run.settle(run, kgen.VAE, {"image_shape": images.image_shape, "network": run.network}, images)
    measured, seeds = Measured(run, images, {"seeds"}), range(run.seed, run.seed + run.seeds)
    found = measured.each(LATENTS, (2, 16), seeds, measure, run, images, test, judged)
    kept = measured.part("bottlenecks", bottleneck, run, images, test)
    load = keras.saving.load_model
    models = {w: {n: load(run.output / f"{n.lower()}_{w}.keras") for n in MODELS} for w in found}
    real = {"completeness": judged.ceiling}
    real["coverage"] = judged.coverage(images.images(run.samples), test.images())
    levels = {name: {"real images": level} for name, level in real.items()}
    draw(run, found, kept, models, images, test, judged, levels)
    results = {f"{name}, real images": level for name, level in real.items()}
    results |= {"completeness, noise": judged.floor} | means(found, LATENTS)
    for name, rows in kept.items():
        errors = zip(BOTTLENECKS, rows, strict=True)
        results |= {f"squared error, {name}, {width}": error for width, (error, _) in errors}
    what = f"Variational autoencoder: 16 latents, {run.reconstruction} reconstruction, "
    what += f"{run.network} networks, KL weight {run.kl_weight:g}, {run.epochs} epochs."
    _run.report(run, models[16]["VAE"], what, results)
    return models[16]["VAE"]


if __name__ == "__main__":
    main()
