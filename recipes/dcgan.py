r"""The DCGAN of Radford et al. (2016): samples, walks through latent space, and its arithmetic.

    python -m recipes.dcgan
    python -m recipes.dcgan --drawn 100000 --epochs 10
    python -m recipes.dcgan --dataset fashion_mnist --image-size 28 --filters 64 --epochs 20
    python -m recipes.dcgan --dataset celeb_a --image-size 64 --filters 64 --epochs 25
    python -m recipes.dcgan --dataset lsun/bedroom --image-size 64 --filters 64 --epochs 2

Writes samples, also while it learns, and the nearest training images, interpolations along arcs,
losses, and the model. Of the drawn faces, by default, also the arithmetic of the paper's figure 7,
each term the mean latent of three samples that a judge finds: how often is a man with glasses minus
a man plus a woman a woman with glasses?

The networks are smaller than the paper's (128 filters, 5x5 kernels), latents come from N(0, I), and
a moving average of the generator is what samples.
"""

from pathlib import Path

import keras
import numpy as np

import kgen
from kgen import latent, plots
from recipes import _command, _run, gan

DEFAULTS = {
    "output": Path("outputs/dcgan"),
    "dataset": "faces",
    "image_size": 32,
    "drawn": {  # in long runs, more: the discriminator learns few of them by heart
        "default": 10_000,
        "help": "faces that are drawn to learn from; long runs need more",
    },
    "epochs": 15,
    "batch_size": 64,
    "filters": {"default": 32, "help": "filters of the largest layer; the paper has 128"},
    "latent_dim": 100,
    "learning_rate": 5e-4,
    "samples": 2000,
}
REAL_IMAGES = 20_000  # training images that samples are compared with, at most
KINDS = {"man with glasses": ("man", True), "man": ("man", False), "woman": ("woman", False)}
AVERAGED, TRIALS = 3, 500  # samples of each kind in a sum; sums
ENOUGH = 30  # samples of each kind, found


def load(run):
    """Training images and others: of LSUN those are called validation; faces are drawn."""
    drawn = {"num_examples": min(run.drawn, run.limit or run.drawn)} if of_faces(run) else {}
    others = "validation" if run.dataset.startswith("lsun") else "test"
    return _run.load(run, others, **drawn)


def of_faces(run):
    """Whether the images are faces whose factors are known."""
    return run.dataset.split("/")[0] == "faces"


def is_kind(judge, images, presentation, glasses):
    """How sure the judge is of each image: a woman or man, with or without glasses, no beard."""
    p = judge.probabilities(images)
    who = p["presentation"][:, judge.class_names["presentation"].index(presentation)]
    bare = p["glasses"][:, 0]
    return who * p["beard"][:, 0] * (1 - bare if glasses else bare)


def find_kinds(model, judge, seed, n=8000, sure=0.6):
    """Latents of which the judge is sure that they are of each of `KINDS`: `(N, D)` by name."""
    z = model.latents(n, model.latent_dim, seed)
    images = model.decode(z)
    return {name: z[is_kind(judge, images, *kind) > sure] for name, kind in KINDS.items()}


def sums(kinds, seed):
    """Means of some latents of each kind, and the first minus the second plus the third."""
    random, terms = np.random.default_rng(seed), []
    for z in kinds.values():
        at = np.stack([random.permutation(len(z))[:AVERAGED] for _ in range(TRIALS)])
        terms.append(z[at].mean(axis=1))
    return np.stack([*terms, latent.analogy(*terms)])  # (4, trials, D)


def arithmetic(run, model, judge, kinds):
    """Write the clearest sum by daylight; returns how often it is as it should."""
    z, asked = sums(kinds, run.seed), [*KINDS.values(), ("woman", True)]
    sure = [is_kind(judge, model.decode(x), *kind) for x, kind in zip(z, asked, strict=True)]
    seen = [judge.labels(model.decode(x)) for x in z]
    wears, day = ([part[name] for part in seen] for name in ("glasses", "time"))
    wears, right = [np.mean(part > 0) for part in wears], float(np.mean(sure[3] > 0.5))
    at = np.argmax(np.min(sure, axis=0) * (np.max(day, axis=0) == 0))
    results = {"glasses before": wears[2], "glasses of the sums": wears[3]}
    names = ["man with glasses", "− man", "+ woman", "= woman with glasses"]
    notes = [plots.say("judge: {p:.0%}", p=p[at]) for p in sure]
    row = plots.Images(model.decode(z[:, at]), 4, steps=names, notes=notes, gap=40)
    title = "Glasses add as vectors do: {wear:.0%} of {n} sums wear them, {right:.0%} as women"
    fields = {"wear": wears[3], "right": right, "n": TRIALS}
    _run.slide(run, "arithmetic", row, title=title, model=model, **fields)
    results["women with glasses among the sums"] = right
    return {name: float(value) for name, value in results.items()}


def draw(run, model, near):
    """Write the figures of every set of images."""
    title = "Images that nobody drew: z from N(0, I), through the generator"
    samples = plots.Images(model.generate(60, seed=run.seed), 12)
    _run.slide(run, "samples", samples, title=title, model=model)
    rows = np.concatenate([[near.generated[:10], near.neighbors[:10]], near.closest(10)])
    rows = plots.Images(rows, names=["sample", "nearest", "most alike", "nearest"])
    title = "Below each sample the training image that is nearest: {share:.0%} are copies"
    _run.slide(run, "neighbors", rows, title=title, model=model, share=near.copies)
    a, b = np.split(model.latents(10, model.latent_dim, run.seed), 2)
    walks = model.decode(latent.spherical(a, b, 9).reshape(-1, model.latent_dim))
    walks = walks.reshape(5, 9, *model.image_shape)
    walks = plots.Images(walks, steps=[f"t = {t:g}" for t in np.linspace(0, 1, 9)])
    title = "From one sample to another along an arc: what lies between is an image, too"
    _run.slide(run, "interpolation", walks, title=title, model=model)


@_command.recipe(__doc__, **DEFAULTS)
def main(run):
    """Train, draw, measure; returns the model."""
    images, test = load(run)
    arguments = {"variant": "dcgan", "latent_dim": run.latent_dim, "filters": run.filters}
    grid = kgen.callbacks.SampleGrid(run.output / "samples", every=max(1, run.epochs // 20))
    adam = {p: keras.optimizers.Adam(run.learning_rate, 0.5) for p in kgen.GAN.players}
    settings = (run, kgen.GAN, arguments, images, test, "dcgan", [grid], adam)
    model, history = _run.train(*settings)
    images = images.take(min(REAL_IMAGES, images.num_examples))
    near = kgen.metrics.memorization(model.generate(500, seed=run.seed), images, test)
    draw(run, model, near)
    _run.draw_losses(run, history)
    results = gan.measure(model, images, test, near, run)
    if of_faces(run):
        judge = kgen.metrics.judge("faces")
        kinds = find_kinds(model, judge, run.seed)
        if min(map(len, kinds.values())) >= ENOUGH:
            results |= arithmetic(run, model, judge, kinds)
        else:
            print(f"Too few samples for arithmetic: { ({n: len(z) for n, z in kinds.items()}) }")
    what = f"DCGAN: {run.latent_dim} latents, {run.filters} filters, {run.epochs} epochs."
    _run.report(run, model, what, results)
    return model


if __name__ == "__main__":
    main()
