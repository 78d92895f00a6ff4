r"""Why a latent space is regularised: the VAE from no weight on the KL divergence to far too much.

    python -m recipes.vae_regularization
    python -m recipes.vae_regularization --dataset fashion_mnist --epochs 5 --seeds 1

Trains a VAE with two latents for each weight. Writes where the codes lie over what each place
decodes to, as clouds, and by mean and sigma in the map of the KL divergence; continuity and
completeness as rows of images; and the error of reconstructions, completeness (samples that a judge
accepts) and coverage (test images that an accepted one comes near to), of latents from N(0, I) and
from a Gaussian fitted to the codes. `--resume` trains what is missing.
"""

from pathlib import Path

import numpy as np

import kgen
from kgen import distributions, plots
from recipes import _command, _run
from recipes._measured import Measured, dots, means

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
WEIGHTS = (0, 0.1, 1, 3, 10, 100)  # of the KL divergence
SHOWN = {0: "none", 3: "right", 100: "far too much"}
PRIORS = ("N(0, I)", "where the codes are")
ERROR = "reconstruction error"
MEASURES = {"completeness": "{:.2f}", "coverage": "{:.2f}", ERROR: "{:.0f}"}


def samples(vae, images, n, seed):
    """`n` images from either prior, a dictionary."""
    codes = distributions.Gaussian.fit(vae.encode(images.images()))
    drawn = vae.generate(n, seed=seed), vae.decode(codes.sample(n, seed))
    return dict(zip(PRIORS, drawn, strict=True))


def measure(run, images, test, judged, weight, seed):
    """Train and measure; the first seed's model is saved."""
    file = f"vae_{weight:g}"
    vae = _run.fit(run, kgen.VAE, images, seed, name=file, latent_dim=2, kl_weight=weight)
    real = test.images()
    mean, log_variance = vae.posterior(real)
    error = np.square(vae.decode(mean) - real).sum(axis=(1, 2, 3)).mean()
    found = {ERROR: float(error), "spread of the means": float(np.sqrt(mean.var(axis=0).mean()))}
    found["sigma, median"] = float(np.median(np.exp(log_variance / 2)))
    for prior, drawn in samples(vae, images, run.samples, seed).items():
        found[f"completeness, {prior}"] = judged(drawn).share
        found[f"coverage, {prior}"] = judged.coverage(drawn, real)
    return found


def draw(run, vaes, found, images, test):
    """Write where codes lie, as points, clouds and numbers; what is drawn there; all measures."""
    some = test.take(min(400, test.num_examples))
    ten = test.take(10)
    if test.num_classes:
        ten = test.of_each_class().take(min(10, test.num_classes))
    names = [ten.class_names[y] for y in ten.labels] if ten.class_names else range(ten.num_examples)
    shares = means(found, "{:g}")
    where, clouds, texts, rows, codes = [], [], [], [], {}
    for w, what in SHOWN.items():
        vae = vaes[w]
        text = plots.say(f"KL weight {{w:g}}: {what}", w=w)
        codes[text] = vae.posterior(some.images())
        options = {"heading": text, "decode": vae.decode}
        where.append(plots.Scatter(codes[text][0], some.labels, some.class_names, **options))
        clouds.append(plots.Clouds(*vae.posterior(ten.images()), names, text))
        texts.append(plots.say("KL weight {w:g}: from one image to another", w=w))
        rows.append(vae.interpolate(*np.split(test.images(2), 2), steps=10)[0])
        for prior, drawn in samples(vae, images, 10, run.seed).items():
            share = shares[f"coverage, {prior}, {w:g}"]
            texts.append(plots.say(prior + ": covers {s:.0%} of the test images", s=share))
            rows.append(drawn)
    title = "Without the KL divergence codes lie far from N(0, I) (dashed); with too much, all at 0"
    _run.slide(run, "clouds", *where, title=title, model=vae)
    title = "A code is a point without the KL divergence, a cloud with it (dashed: N(0, I))"
    _run.slide(run, "points_and_clouds", *clouds, title=title, model=vae)
    title = "The KL divergence (lines) draws every code to \u03bc = 0 and \u03c3 = 1"
    _run.slide(run, "divergence", plots.Divergence(codes), title=title, model=vae)
    rows = plots.Images(np.stack(rows[:6]), names=texts[:6])
    none, right, _ = (shares[f"coverage, N(0, I), {w:g}"] for w in SHOWN)
    title = "Samples from N(0, I) cover {none:.0%} of the test images without the KL divergence, "
    title += "{right:.0%} with it"
    _run.slide(run, "regularity", rows, title=title, model=vae, none=none, right=right)
    panels = dots(found, "{:g}", MEASURES, ylabel="KL weight", shape=1.2)
    best = [max(found, key=lambda w: shares[f"coverage, {p}, {w:g}"]) for p in PRIORS]
    title = "N(0, I) covers most with a KL weight of {prior:g}; where the codes are, {codes:g} does"
    _run.slide(run, "measures", *panels, title=title, prior=best[0], codes=best[1])


@_command.recipe(__doc__, **DEFAULTS)
def main(run):
    """Train, measure, draw; returns the first seed's models by weight."""
    images, test, judged = _run.load_judged(run)
    _run.settle(run, kgen.VAE, {"image_shape": images.image_shape, "network": run.network}, images)
    measured = Measured(run, images, {"seeds"})
    form = "KL weight {:g}"
    found = measured.each(form, WEIGHTS, measured.seeds, measure, run, images, test, judged)
    models = {weight: _run.saved(run, f"vae_{weight:g}") for weight in WEIGHTS}
    draw(run, models, found, images, test)
    results = {"completeness, real images": judged.ceiling}
    results["coverage, real images"] = judged.coverage(images.images(run.samples), test.images())
    what = f"Variational autoencoder: 2 latents, {run.reconstruction} reconstruction, "
    what += f"{run.network} networks, KL weight 3, {run.epochs} epochs."
    _run.report(run, models[3], what, results | means(found, form))
    return models


if __name__ == "__main__":
    main()
