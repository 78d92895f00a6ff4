r"""The DCGAN of Radford et al. (2016): samples, walks through latent space, and its arithmetic.

    python -m recipes.dcgan
    python -m recipes.dcgan --drawn 100000 --epochs 10
    python -m recipes.dcgan --dataset fashion_mnist --image-size 28 --filters 64 --epochs 20
    python -m recipes.dcgan --dataset celeb_a --image-size 64 --filters 64 --epochs 25
    python -m recipes.dcgan --dataset lsun/bedroom --image-size 64 --filters 64 --epochs 2

Writes samples, also while it learns, losses and scores, samples beside the nearest training images,
interpolations along arcs, and the model. Of the drawn faces, by default, also the arithmetic of the
paper's figure 7: the mean latent of three samples of men with beard and glasses, minus that of
three with a beard alone, plus that of three with neither, is it a face with glasses and no beard? A
judge finds the samples and tells how often, and what else changes; also of single faces that are
moved by the difference of the means of all samples.

The networks are smaller than the paper's (128 filters, 5x5 kernels), latents come from N(0, I), and
a moving average of the generator is what samples.
"""

from pathlib import Path

import numpy as np

import kgen
from kgen import latent, plots
from recipes import _run, gan

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
KINDS = {"both": ("full", True), "beard": ("full", False), "neither": ("none", False)}
AVERAGED = 3  # samples of each kind
ENOUGH = 30  # samples of each kind, found
TRIALS = 200


def load(run):
    """Training images and others: of LSUN those are called validation; faces are drawn."""
    drawn = {"num_examples": min(run.drawn, run.limit or run.drawn)} if of_faces(run) else {}
    others = "validation" if run.dataset.startswith("lsun") else "test"
    return _run.load(run, others, **drawn)


def of_faces(run):
    """Whether the images are faces whose factors are known."""
    return run.dataset.split("/")[0] == "faces"


def draw_interpolation(model, path, seed, rows=6):
    """Write images along arcs between latents from N(0, I)."""
    a, b = np.split(model.latents(2 * rows, model.latent_dim, seed), 2)
    arcs = latent.spherical(a, b, 10)
    strips = model.decode(arcs.reshape(-1, model.latent_dim)).reshape(rows, 10, *model.image_shape)
    plots.strips(strips, title="From one sample to another, along an arc", path=path)


def find_kinds(model, judge, seed, n=8000, sure=0.8):
    """Latents of men that the judge is sure to be of each of `KINDS`: a dictionary of `(N, D)`."""
    z = model.latents(n, model.latent_dim, seed)
    p = judge.probabilities(model.decode(z))
    man = p["presentation"][:, 1]
    found = {}
    for name, (beard, glasses) in KINDS.items():
        bearded = p["beard"][:, judge.class_names["beard"].index(beard)]
        wears = 1 - p["glasses"][:, 0] if glasses else p["glasses"][:, 0]
        found[name] = z[np.min([man, bearded, wears], axis=0) > sure]
    return found


def draw_terms(kinds, count, seed, trials=TRIALS):
    """Samples of each kind for each trial: `(kinds, trials, count, D)`."""
    random = np.random.default_rng(seed)
    chosen = [[random.permutation(len(z))[:count] for _ in range(trials)] for z in kinds.values()]
    return np.stack([z[at] for z, at in zip(kinds.values(), chosen, strict=True)])


def measure_arithmetic(model, judge, kinds, seed):
    """What becomes of faces with neither, says the judge: of means of three, and of single ones."""
    both, beard, neither = draw_terms(kinds, AVERAGED, seed).mean(axis=2)
    cases = {f"means of {AVERAGED}": (both, beard, neither)}
    both, beard = (kinds[name].mean(axis=0) for name in ("both", "beard"))
    cases["one face, means of all"] = both, beard, kinds["neither"][:TRIALS]
    results = {}
    for case, terms in cases.items():
        before, after = (judge.labels(model.decode(z)) for z in (terms[2], latent.analogy(*terms)))
        for name, has in {"glasses": "with glasses", "beard": "with a beard"}.items():
            results[f"faces {has}, before, {case}"] = float((before[name] > 0).mean())
            results[f"faces {has}, {case}"] = float((after[name] > 0).mean())
        for name in [n for n in after if n not in ("glasses", "beard")]:
            results[f"{name} stays, {case}"] = float((after[name] == before[name]).mean())
    return results


def draw_arithmetic(model, kinds, path, seed, examples=2):
    """Write examples side by side: sample by sample, their means, and one face by all means."""
    terms = draw_terms(kinds, AVERAGED, seed, examples)  # (3, examples, AVERAGED, D)
    by_all = terms[:, :, :1].copy()
    by_all[0], by_all[1] = (kinds[name].mean(axis=0) for name in ("both", "beard"))
    terms = np.concatenate([terms, terms.mean(axis=2, keepdims=True), by_all], axis=2)
    shape = terms.shape[1:]
    result = latent.analogy(*terms.reshape(3, -1, model.latent_dim)).reshape(1, *shape)
    columns = np.concatenate([terms, result])  # (4, examples, AVERAGED + 2, D)
    images = model.decode(columns.reshape(-1, model.latent_dim))
    images = images.reshape(*columns.shape[:3], *model.image_shape).transpose(1, 2, 0, 3, 4, 5)
    gap = np.ones_like(images[:, :, :1])
    rows = np.concatenate([part for image in images for part in (image, gap[0])][:-1], axis=1)
    steps = [text for _ in images for text in ("both", "− beard", "+ neither", "=", "")][:-1]
    title = "Men: beard and glasses − beard + neither, by samples, their means, the means of all"
    names = ["sample"] * AVERAGED + ["mean", "one, by all"]
    plots.strips(rows, names, steps, title=title, path=path)


@_run.recipe(__doc__, **DEFAULTS)
def main(run):
    """Train, draw, measure; returns the model."""
    images, test = load(run)
    arguments = {"variant": "dcgan", "latent_dim": run.latent_dim, "filters": run.filters}
    every, optimizer = max(1, run.epochs // 20), gan.OPTIMIZERS["adam"]
    callbacks = [kgen.callbacks.SampleGrid(run.output / "samples", every=every)]
    callbacks.append(gan.Moments(run.epochs, seed=run.seed))
    optimizers = {player: optimizer(run.learning_rate) for player in kgen.GAN.players}
    settings = (run, kgen.GAN, arguments, images, test, "dcgan", callbacks, optimizers)
    model, history = _run.train(*settings)
    images = images.take(min(REAL_IMAGES, images.num_examples))
    near = gan.draw(model, history, callbacks[-1], images, test, run.output, run.seed)
    draw_interpolation(model, run.output / "interpolation.png", run.seed)
    results = gan.measure(model, images, test, near, run)
    if of_faces(run):
        judge = kgen.metrics.judge("faces")
        kinds = find_kinds(model, judge, run.seed)
        if min(map(len, kinds.values())) >= ENOUGH:
            results |= measure_arithmetic(model, judge, kinds, run.seed)
            draw_arithmetic(model, kinds, run.output / "arithmetic.png", run.seed)
        else:
            print(f"Too few samples for arithmetic: { ({n: len(z) for n, z in kinds.items()}) }")
    what = f"DCGAN: {run.latent_dim} latents, {run.filters} filters, {run.epochs} epochs."
    _run.report(run, model, what, results)
    return model


if __name__ == "__main__":
    main()
