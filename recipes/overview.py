r"""All families side by side, after the lecture's closing slide: the same data, the same budget.

    python -m recipes.overview
    python -m recipes.overview --dataset fashion_mnist --epochs 20 --samples 10000

Trains one model of each family on the same images, for as many epochs where it learns by steps, and
measures what it generates: quality and diversity on the features of a judge, bits per dimension
where there is a likelihood (the VAE's and diffusion's are bounds), seconds. Writes figures, one
table (`overview.md`), and the models. With `--resume` the same command measures only what is
missing.
"""

import time
from pathlib import Path

import numpy as np

import kgen
from kgen import distributions, plots
from recipes import _command, _run
from recipes._measured import Measured, table

DEFAULTS = {
    "output": Path("outputs/overview"),
    "image_size": 28,
    "epochs": 22,
    "batch_size": 64,
    "samples": {"default": 2000, "help": "samples of each family that are measured"},
    "latent_dim": 16,
    "network": "convolutional",
    "components": {"default": 64, "help": "principal axes of the Gaussians"},
    "learning_rate": 2e-3,
}
METRICS = ["fid", "precision", "recall", "density", "coverage", "sliced_wasserstein"]
SHOWN = {
    "fid": "{:.1f}",
    "recall": "{:.2f}",
    "bits per dimension": "{:.2f}",
    "seconds of training": "{:.0f}",
}
NETWORKS = ("latent_dim", "network")
FAMILIES = {  # name in kgen.plots, model, flags of the recipe that are its arguments, others
    "Gaussian": ("gaussian", kgen.Gaussian, ("components",), {}),
    "mixture of Gaussians": ("mixture", kgen.GaussianMixture, ("components",), {}),
    "autoencoder": ("autoencoder", kgen.Autoencoder, NETWORKS, {"reconstruction": "mse"}),
    "VAE": ("vae", kgen.VAE, NETWORKS, {"reconstruction": "gaussian"}),
    "GAN": ("gan", kgen.GAN, (), {"augment": "translation"}),
    "flow": ("flow", kgen.NormalizingFlow, (), {}),
    "diffusion": ("diffusion", kgen.Diffusion, (), {}),
}
COUNTED = 200  # test images whose bits are counted
BITS = {"diffusion": {"method": "bound", "evaluations": 50}}  # the ODE would take minutes


def sample(name, model, images, n, seed):
    """Sample as the model itself does; an autoencoder's latents from a Gaussian fitted to them."""
    if name != "autoencoder":
        return model.generate(n, seed=seed)
    prior = distributions.Gaussian.fit(model.encode(images.images()))
    return model.decode(prior.sample(n, seed))


def file_of(name):
    """What the file of a family's model is called."""
    return name.lower().replace(" ", "_")


def parts_of(run, name):
    """The model of a family and what it is made with."""
    _, model, flags, others = FAMILIES[name]
    return model, {flag: vars(run)[flag] for flag in flags} | others


def measure(run, name, images, test):
    """Train a family, and measure what it generates."""
    began = time.monotonic()
    model, arguments = parts_of(run, name)
    model, _ = _run.train(run, model, arguments, images, test, file_of(name))
    seconds = time.monotonic() - began
    sample(name, model, images, 64, run.seed)  # compiles
    began = time.monotonic()
    drawn = sample(name, model, images, run.samples, run.seed)
    sampling = (time.monotonic() - began) * 1000 / run.samples
    judge = kgen.metrics.judge_for(run.dataset) or "pixels"
    found = kgen.metrics.evaluate(images, drawn, judge, METRICS, test, run.seed)
    results = dict(found.values, floor=found.results["fid"].floor)
    if hasattr(model, "bits_per_dim"):
        bits = model.bits_per_dim(test.images(COUNTED), **BITS.get(name, {}))
        results["bits per dimension"] = float(bits.mean())
    return results | {"seconds of training": seconds, "seconds for 1,000 samples": sampling}


def draw(run, found, images, test):
    """Write samples of each family, what it consists of, and its numbers."""
    fids = {name: values["fid"] for name, values in found.items()}
    rows, names = [], []
    for name, fid in fids.items():
        model = _run.saved(run, file_of(name))
        rows.append(sample(name, model, images, 10, run.seed))
        names.append(plots.Said(f"{plots.say(name)}: FID {fid:.1f}"))
    panel = plots.Images(np.stack([*rows, test.images(10)]), names=[*names, "test images"])
    best = min(fids, key=fids.get)
    title = "After as many epochs nearest to the images: {best} (FID {fid:.1f})"
    _run.slide(run, "overview", panel, title=title, best=plots.say(best), fid=fids[best])
    families = {name: family for name, (family, *_) in FAMILIES.items()}
    rows = [plots.SCHEMES[family] for family in families.values()]
    scheme = plots.Scheme.of_rows(*rows, names=families, shape=0.5)
    title = "What each family consists of: data are blue, what it draws orange"
    _run.slide(run, "schemes", scheme, title=title)
    colors = {name: plots.FAMILIES[family] for name, family in families.items()}
    panels = []
    for what, form in SHOWN.items():
        values = {name: [v[what]] for name, v in found.items() if what in v}
        heading = what if what != "fid" else "FID"
        panels.append(plots.Dots(values, colors, form=form, heading=heading, shape=0.45))
    title = "Lowest FID: {fid}; highest recall: {recall}; fewest bits: {bits}"
    leads = {"fid": plots.say(best)}
    leads["recall"] = plots.say(max(found, key=lambda name: found[name]["recall"]))
    bits = {name: v["bits per dimension"] for name, v in found.items() if "bits per dimension" in v}
    leads["bits"] = plots.say(min(bits, key=bits.get))
    _run.slide(run, "measures", *panels, columns=2, title=title, **leads)


@_command.recipe(__doc__, ("publish",), **DEFAULTS)
def main(run):
    """Train and measure what is missing, draw; returns what was found by family."""
    images, test = _run.load(run)
    _run.settle(run, kgen.VAE, {"image_shape": images.image_shape, "network": run.network}, images)
    for name in FAMILIES:  # what cannot be made is refused before any is trained
        model, arguments = parts_of(run, name)
        model(images.image_shape, **arguments)
    measured = Measured(run, images)
    found = {name: measured.part(name, measure, run, name, images, test) for name in FAMILIES}
    draw(run, found, images, test)
    (run.output / "overview.md").write_text(table(found, "family"))
    results = {f"{what}, {name}": v for name, values in found.items() for what, v in values.items()}
    _run.report(run, None, "", results)
    return found


if __name__ == "__main__":
    main()
