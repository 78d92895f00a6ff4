r"""Why a latent space is regularised: the VAE from no weight on the KL divergence to far too much.

    python -m recipes.vae_regularization
    python -m recipes.vae_regularization --dataset fashion_mnist --epochs 5 --seeds 1

Trains a VAE with two latents for each weight. Writes what each does to the latent space: where the
test images lie and, as ellipses, how wide q(z|x) is; samples from N(0, I); and the error of
reconstructions against completeness, the share of samples that a judge accepts, and coverage, the
share of test images that an accepted sample comes near to. `--resume` trains what is missing.
"""

from pathlib import Path

import keras
import numpy as np

import kgen
from kgen import plots
from recipes import _run
from recipes._measured import Measured
from recipes.autoencoder_limits import MEASURES, fit, load

DEFAULTS = {
    "output": Path("outputs/vae_regularization"),
    "image_size": 28,
    "epochs": 22,
    "batch_size": 64,
    "seeds": 3,
    "samples": 1000,
    "reconstruction": "mse",
    "network": "dense",
    "learning_rate": 2e-3,
}
ERROR = "reconstruction error"
WEIGHTS = {  # of the KL divergence, and what becomes of the latent space
    0: "what we may inadvertently\nend up with: points far apart",
    0.01: "",
    0.1: "",
    1: "",
    3: "what we require: clouds\nthat meet, around N(0, I)",
    10: "",
    30: "",
    100: "too much: every image\nis N(0, I)",
}


def measure(run, images, test, judged, weight, seed):
    """Train and measure; the first seed's model is saved."""
    vae = fit(run, kgen.VAE, images, seed, latent_dim=2, kl_weight=weight)
    if seed == run.seed:
        vae.save(run.output / f"vae_{weight:g}.keras")
    real, drawn = test.images(), vae.generate(run.samples, seed=seed)
    mean, log_variance = vae.posterior(real)
    error = np.square(vae.decode(mean) - real).sum(axis=(1, 2, 3)).mean()
    return {
        ERROR: float(error),
        "completeness": judged(drawn).share,
        "coverage": judged.coverage(drawn, real),
        "spread of the means": float(np.sqrt(mean.var(axis=0).mean())),
        "sigma, median": float(np.median(np.exp(log_variance / 2))),
    }


def draw_clouds(models, test, path):
    """Write where the means of the test images lie, and for some q(z|x) at 2 sigma."""
    from matplotlib.patches import Circle, Ellipse

    labels = test.labels if test.num_classes else np.zeros(test.num_examples, int)
    labels, style = np.asarray(labels), {"lw": 1.5, "alpha": 0.9, "zorder": 3}
    some = np.concatenate([np.flatnonzero(labels == c)[:3] for c in np.unique(labels)])
    figure, axes = plots.chart(16, 9.4)
    axes.remove()  # a panel has scales of its own
    panels = figure.subplots(2, (len(models) + 2) // 2).ravel()
    for panel, (weight, vae) in zip(panels, models.items(), strict=False):
        mean, log_variance = vae.posterior(test.images())
        for c in np.unique(labels):
            panel.scatter(*mean[labels == c].T, s=14, color=f"C{c}", alpha=0.5, lw=0)
        for i in some:
            size, color = 4 * np.exp(log_variance[i] / 2), f"C{labels[i]}"
            panel.add_patch(Ellipse(mean[i], *size, ec=color, fill=False, **style))
        panel.add_patch(Circle((0, 0), 2, fill=False, ec=plots.DARK, ls="--", lw=2.5, zorder=4))
        panel.set_aspect("equal", adjustable="datalim")
        panel.set_title(f"KL weight {weight:g}\n{WEIGHTS[weight] or chr(10)}", size=13)
        panel.set_xlabel("$z_1$")
        panel.set_ylabel("$z_2$")
    last = panels[len(models)]
    for panel in panels[len(models) :]:
        panel.set_axis_off()
    for c in np.unique(labels):
        name = test.class_names[c] if test.class_names else c
        name = name if test.num_classes else "test images"
        last.plot([], [], "o", color=f"C{c}", ms=8, label=name)
    last.plot([], [], color=plots.DARK, lw=1.5, label="$q(z|x)$ at 2 sigma")
    last.plot([], [], "--", color=plots.DARK, lw=2.5, label="$N(0, I)$ at 2 sigma")
    last.legend(loc="center", ncols=2, frameon=False, fontsize=12)
    figure.suptitle("Test set, encoded by VAEs: why the KL divergence has a weight", size=16)
    plots.save(figure, path)


def draw_curves(found, real, path):
    """Write completeness and coverage of N(0, I) against the error of reconstructions."""
    import matplotlib

    figure, axes = plots.chart(15, 5.8, columns=2, xlabels=[MEASURES[ERROR]] * 2)
    colors = matplotlib.colormaps["plasma"](np.linspace(0, 0.9, len(found)))
    for panel, (name, most) in zip(axes, real.items(), strict=True):
        points = [[(part[ERROR], part[name]) for part in parts] for parts in found.values()]
        points = np.array(points)
        means = points.mean(axis=1)
        panel.plot(*means.T, color="0.7", lw=2, zorder=1)
        for weight, color, some, mean in zip(found, colors, points, means, strict=True):
            panel.scatter(*some.T, s=30, color=color, alpha=0.5, lw=0)
            panel.plot(*mean, "o", color=color, ms=11, mec=plots.DARK, label=f"{weight:g}")
        panel.axhline(most, ls="--", lw=2, color=plots.DARK)
        panel.text(points[..., 0].max(), most - 0.02, "real images", ha="right", va="top", size=12)
        panel.set_ylim(-0.03, 1.03)
        panel.set_title(name, size=14)
        panel.set_ylabel(MEASURES[name], size=12)
    title = "KL weight\n(small: one seed)"
    axes[1].legend(title=title, frameon=False, loc="upper left", bbox_to_anchor=(1, 1), fontsize=12)
    figure.suptitle("Samples from N(0, I) against reconstructions, by KL weight", size=15)
    plots.save(figure, path)


@_run.recipe(__doc__, **DEFAULTS)
def main(run):
    """Train, measure, draw; returns the first seed's models by weight."""
    images, test, judged = load(run)
    arguments = {"image_shape": images.image_shape, "network": run.network}
    _run.settle(run, kgen.VAE, arguments, images)
    measured, found = Measured(run, images, {"seeds"}), {weight: [] for weight in WEIGHTS}
    for seed in range(run.seed, run.seed + run.seeds):
        for weight, parts in found.items():
            name, args = f"KL weight {weight:g}", (run, images, test, judged, weight, seed)
            parts.append(measured.part(f"{name}, seed {seed}", measure, *args))
    files = {weight: run.output / f"vae_{weight:g}.keras" for weight in WEIGHTS}
    models = {weight: keras.saving.load_model(file) for weight, file in files.items()}
    draw_clouds(models, test, run.output / "clouds.png")
    most = judged.coverage(images.images(run.samples), test.images())
    real = {"completeness": judged.ceiling, "coverage": most}
    draw_curves(found, real, run.output / "curves.png")
    rows = np.stack([vae.generate(12, seed=run.seed) for vae in models.values()])
    labels, title = [f"KL weight {weight:g}" for weight in WEIGHTS], "Samples: z from N(0, I)"
    plots.strips(rows, labels, title=title, path=run.output / "samples.png")
    results = {f"{name}, real images": value for name, value in real.items()}
    for name in found[0][0]:
        for weight, parts in found.items():
            mean = np.mean([part[name] for part in parts])
            results[f"{name}, KL weight {weight:g}"] = float(mean)
    what = f"Variational autoencoder: 2 latents, {run.reconstruction} reconstruction, "
    what += f"{run.network} networks, KL weight 3, {run.epochs} epochs."
    _run.report(run, models[3], what, results)
    return models


if __name__ == "__main__":
    main()
