r"""The limit of autoencoders as generative models: what lies between the images they have encoded?

    python -m recipes.autoencoder_limits
    python -m recipes.autoencoder_limits --dataset fashion_mnist --epochs 5 --seeds 2

Trains an autoencoder and a VAE of the same networks and reconstruction loss, with 2 and with 16
latents, from several seeds. Draws latents from N(0, I), and for the autoencoder also from a
Gaussian and a mixture that were fitted to its latents afterwards (Ghosh et al., 2020). Writes
samples beside real images, and of all seeds: completeness, the share of samples that a judge
accepts; coverage, the share of test images that an accepted sample comes near to; and continuity.
`--resume` trains what is missing, also for more `--seeds`.
"""

from pathlib import Path

import keras
import numpy as np

import kgen
from kgen import distributions, latent, plots
from recipes import _run
from recipes._measured import Measured

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
WIDTHS = (2, 16)
PRIORS = ("AE, N(0, I)", "AE, fitted Gaussian", "AE, fitted mixture", "VAE, N(0, I)")
MEASURES = {
    "completeness": "samples that the judge accepts",
    "coverage": "test images that a sample comes near to",
    "continuity": "largest step / mean step on a line; 1: even",
    "reconstruction error": "squared error of a test image",
}


def load(run):
    """Training and test images, and a judge with thresholds that most test images pass."""
    name = kgen.metrics.judge_for(run.dataset)
    if name is None:
        sets = list(kgen.metrics.judges.SETS)
        raise ValueError(f"--dataset must be one of {sets}; got {run.dataset!r}.")
    judge, (images, test) = kgen.metrics.judge(name), _run.load(run)
    real = images.images(), test.images()
    return images, test, latent.AcceptedBy(judge, *real, seed=run.seed)


def fit(run, model, images, seed, **arguments):
    """Train a model; returns it."""
    settings = {"reconstruction": run.reconstruction, "network": run.network, "seed": seed}
    made = model(images.image_shape, **settings, **arguments, dtype=run.precision)
    made.compile(keras.optimizers.Adam(run.learning_rate), jit_compile=_run.XLA[run.jit])
    made.fit(images.with_options(seed=seed), epochs=run.epochs, verbose=0)
    return made


def samples(autoencoder, vae, images, n, seed):
    """`n` images by each of the priors, a dictionary."""
    z = autoencoder.encode(images)
    priors = (
        distributions.StandardNormal.fit(z),
        distributions.Gaussian.fit(z),
        distributions.GaussianMixture.fit(z),
    )
    drawn = [autoencoder.decode(prior.sample(n, seed)) for prior in priors]
    drawn.append(vae.generate(n, seed=seed))
    return dict(zip(PRIORS, drawn, strict=True))


def measure(run, images, test, judged, width, seed):
    """Train both models and measure; those of the first seed are saved."""
    models = {
        "AE": fit(run, kgen.Autoencoder, images, seed, latent_dim=width),
        "VAE": fit(run, kgen.VAE, images, seed, latent_dim=width, kl_weight=run.kl_weight),
    }
    real, results = test.images(), {name: {} for name in MEASURES}
    drawn = samples(*models.values(), images.images(), run.samples, seed)
    for prior, images_ in drawn.items():
        results["completeness"][prior] = judged(images_).share
        results["coverage"][prior] = judged.coverage(images_, real)
    for name, model in models.items():
        results["continuity"][name] = latent.continuity(model, real, seed=seed).max_step
        error = np.square(model.reconstruct(real) - real).sum(axis=(1, 2, 3)).mean()
        results["reconstruction error"][name] = float(error)
        if seed == run.seed:
            model.save(run.output / f"{name.lower()}_{width}.keras")
    return results


def draw_samples(models, images, test, seed, path):
    """Write samples of every prior, and real images."""
    rows = samples(*models, images.images(), 12, seed) | {"test images": test.images(12)}
    title = f"Samples of an autoencoder (AE) and of a VAE, {models[1].latent_dim} latents"
    plots.strips(np.stack(list(rows.values())), list(rows), title=title, path=path)


def draw_measures(found, real, path):
    """Write the means over seeds as dots, with lines from the least to the largest."""
    figure, axes = plots.chart(14, 4.8, columns=3)
    for panel, (name, xlabel) in zip(axes, MEASURES.items(), strict=False):
        for i, (width, parts) in enumerate(found.items()):
            values = np.array([list(part[name].values()) for part in parts])
            mean, y = values.mean(axis=0), np.arange(values.shape[1]) + 0.3 * (i - 0.5)
            spread = mean - values.min(axis=0), values.max(axis=0) - mean
            style = {"fmt": "o", "color": f"C{i}", "ms": 9, "lw": 3, "label": f"{width} latents"}
            panel.errorbar(mean, y, xerr=spread, **style)
        for j, (label, value) in enumerate(real[name].items()):
            panel.axvline(value, color=(plots.DARK, plots.GENERATED)[j], ls="--", lw=2, label=label)
        names = list(parts[0][name])
        panel.set_yticks(range(len(names)), names if panel is not axes[1] else [], size=12)
        panel.set_ylim(len(names) - 0.5, -0.5)
        if name != "continuity":
            panel.set_xlim(-0.04, 1.04)
        panel.set_title(name, size=14)
        panel.set_xlabel(xlabel, size=12)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False, fontsize=12)
    title = f"Samples of an autoencoder (AE) and of a VAE: mean and range of {len(parts)} seeds"
    figure.suptitle(title, size=15)
    plots.save(figure, path)


@_run.recipe(__doc__, **DEFAULTS)
def main(run):
    """Train, measure, draw; returns the widest VAE of the first seed."""
    images, test, judged = load(run)
    arguments = {"image_shape": images.image_shape, "network": run.network}
    _run.settle(run, kgen.VAE, arguments, images)
    measured, found = Measured(run, images, {"seeds"}), {width: [] for width in WIDTHS}
    for seed in range(run.seed, run.seed + run.seeds):
        for width, parts in found.items():
            name, args = f"{width} latents, seed {seed}", (run, images, test, judged, width, seed)
            parts.append(measured.part(name, measure, *args))
    for width in WIDTHS:
        files = [run.output / f"{name}_{width}.keras" for name in ("ae", "vae")]
        models = [keras.saving.load_model(file) for file in files]
        draw_samples(models, images, test, run.seed, run.output / f"samples_{width}.png")
    most = judged.coverage(images.images(run.samples), test.images())
    real = {"completeness": {"real images": judged.ceiling, "noise": judged.floor}}
    real |= {"coverage": {"real images": most, "noise": 0.0}, "continuity": {"even": 1.0}}
    draw_measures(found, real, run.output / "measures.png")
    results = {f"{m}, {of}": v for m in ("completeness", "coverage") for of, v in real[m].items()}
    for name, width in ((name, width) for name in MEASURES for width in WIDTHS):
        for of in found[width][0][name]:
            mean = np.mean([part[name][of] for part in found[width]])
            results[f"{name}, {of}, {width} latents"] = float(mean)
    what = f"Variational autoencoder: {width} latents, {run.reconstruction} reconstruction, "
    what += f"{run.network} networks, KL weight {run.kl_weight:g}, {run.epochs} epochs."
    _run.report(run, models[1], what, results)
    return models[1]


if __name__ == "__main__":
    main()
