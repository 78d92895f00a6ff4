r"""A normalizing flow: exact likelihoods, latents that lead back, and what likelihood is not.

    python -m recipes.normalizing_flow
    python -m recipes.normalizing_flow --dataset fashion_mnist --other digits --epochs 10 \
        --batch-size 128
    python -m recipes.normalizing_flow --variant realnvp --flow-steps 3 --filters 32
    python -m recipes.normalizing_flow --variant tarflow --flow-steps 4

Writes samples by temperature; ways between images, whose ends are the images themselves; how many
bits images cost, those like the training images, and others, some of which cost fewer (Nalisnick et
al., 2019); losses, and the model.
"""

from pathlib import Path

import keras
import numpy as np

import kgen
from kgen import plots
from recipes import _command, _run

DEFAULTS = {
    "output": Path("outputs/normalizing_flow"),
    "image_size": 28,
    "epochs": 30,
    "batch_size": 64,
    "variant": {"default": "glow", "choices": [*kgen.networks.FLOWS], "help": "which flow"},
    "flow_steps": {"default": 8, "help": "steps of the flow at each size"},
    "filters": {"default": 64, "help": "channels of the networks within"},
    "dequantization": {
        "default": "uniform",
        "choices": [*kgen.networks.DEQUANTIZATIONS],
        "help": "noise between the levels",
    },
    "other": {"default": "faces", "metavar": "NAME", "help": "images of another kind"},
    "learning_rate": 2e-3,
    "samples": 500,
}
SHOWN, TEMPERATURES = 12, (0.5, 0.7, 0.85, 1.0)
TEST, COLD = "test images", "samples at T = 0.5"


def draw_samples(run, model):
    """Write what comes of the same latents by temperature."""
    rows = [model.generate(SHOWN, temperature=t, seed=run.seed) for t in TEMPERATURES]
    panel = plots.Images(np.stack(rows), names=[f"T = {t:g}" for t in TEMPERATURES])
    title = "The same latents at four temperatures: colder is likelier, and says less"
    _run.slide(run, "temperature", panel, title=title, model=model)
    panel = plots.Images(model.generate(60, seed=run.seed), SHOWN)
    title = "Images that nobody drew: z from N(0, I), through the inverse of the flow"
    _run.slide(run, "samples", panel, title=title, model=model)


def draw_between(run, model, test):
    """Write ways between images, along straight lines of latents."""
    a, b = np.split(test.images(10), 2)
    shares = np.linspace(0, 1, 9)
    lines = model.interpolate(a, b, len(shares))
    steps = [f"{share:g}" for share in shares]
    apart = np.abs(lines[:, [0, -1]] - np.stack([a, b], axis=1)).max()
    title = "Between two test images: the ends come back as they were, within {apart:.0e}"
    panel = plots.Images(lines, steps=steps)
    _run.slide(run, "interpolation", panel, title=title, model=model, apart=apart)
    return apart


def kinds(run, model, real, strange):
    """Images by kind: like the training images, the flow's likeliest, and others; uint8."""
    cold = model.generate(len(real), temperature=0.5, seed=run.seed)
    found = {TEST: real, COLD: cold, **strange}
    return {name: kgen.data.to_uint8(images) for name, images in found.items()}


def draw_likelihoods(run, model, images, bits):
    """Write examples of each kind, and a histogram of what they cost."""
    means = {name: float(values.mean()) for name, values in bits.items()}
    cheaper = sorted((n for n in means if means[n] < means[TEST]), key=means.get)
    order = sorted(images, key=means.get)
    rows = np.stack([images[name][:5] for name in order])
    names = [plots.say("{kind}: {bits:.1f} bits", kind=plots.say(n), bits=means[n]) for n in order]
    options = {"colors": {TEST: plots.REAL, COLD: plots.GENERATED}, "legend": "below"}
    axes = {"xlabel": "bits per dimension", "ylabel": "share of the images"}
    histograms = plots.Histograms({name: bits[name] for name in order}, **options, **axes)
    panels = [plots.Images(rows, names=names), histograms]
    fields = {}
    if cheaper:
        fields["kind"] = plots.say(cheaper[0])
        title = "Likely is not typical: fewest bits cost {kind}, and not what was learned"
    else:
        title = "What was never learned costs more bits, each of these kinds"
    _run.slide(run, "likelihoods", *panels, title=title, model=model, **fields)
    return means


@_command.recipe(__doc__, **DEFAULTS)
def main(run):
    """Train, draw, measure; returns the model."""
    images, test = _run.load(run)
    real = test.images(run.samples)
    strange = kgen.data.unfamiliar(real, run.other, run.seed)  # before training: is it there?
    arguments = {name: vars(run)[name] for name in ("variant", "filters", "dequantization")}
    arguments["steps"] = run.flow_steps
    rate = kgen.schedules.warmup_cosine(run.learning_rate, _run.updates(run, images.num_examples))
    adam = keras.optimizers.Adam(rate, clipnorm=1.0)
    grid = kgen.callbacks.SampleGrid(run.output / "samples", every=max(1, run.epochs // 10))
    given = kgen.NormalizingFlow, arguments, images, test, "normalizing_flow", [grid], adam
    model, history = _run.train(run, *given)
    draw_samples(run, model)
    apart = draw_between(run, model, test)
    by_kind = kinds(run, model, real, strange)
    bits = {name: model.bits_per_dim(x, seed=run.seed) for name, x in by_kind.items()}
    means = draw_likelihoods(run, model, by_kind, bits)
    _run.draw_losses(run, history)
    results = {f"bits per dimension, {name}": value for name, value in means.items()}
    error = bits[TEST].std() / np.sqrt(len(bits[TEST]))
    results |= {"standard error, test images": float(error), "largest error of ends": float(apart)}
    results["images seen"] = float(run.epochs * images.num_examples)
    what = f"Normalizing flow, {run.variant}: {run.flow_steps} steps, {run.filters} channels, "
    what += f"{run.dequantization} dequantization, {run.epochs} epochs."
    _run.report(run, model, what, results)
    return model


if __name__ == "__main__":
    main()
