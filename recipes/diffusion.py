r"""Diffusion, from noise to an image: what the network learns, and what a sampler makes of it.

    python -m recipes.diffusion
    python -m recipes.diffusion --dataset fashion_mnist --epochs 30 --batch-size 128 \
        --learning-rate 1e-3
    python -m recipes.diffusion --dataset cifar10 --image-size 32 --filters 64 --epochs 200
    python -m recipes.diffusion --dataset faces --image-size 32 --noise flow

Where images have classes, the network is told them. Writes images on their way to noise, with what
the network says of each; images on their way back, animated, too; samples; the same noise by number
of evaluations, and the distance to real images by sampler; what guidance does; halves that are
painted anew; ways from one image to another; losses, and the model.
"""

import time
from pathlib import Path

import keras
import numpy as np

import kgen
from kgen import plots, samplers
from kgen.conditions import ClassLabels
from recipes import _command, _run

DEFAULTS = {
    "output": Path("outputs/diffusion"),
    "image_size": 28,
    "epochs": 25,
    "batch_size": 64,
    "noise": {"default": "cosine", "choices": [*kgen.noise.NOISES], "help": "how it comes"},
    "filters": {"default": 32, "help": "of the largest layers, a multiple of 8"},
    "learning_rate": 2e-3,
    "samples": 1000,
}
SHOWN = 10  # images in a row
TIMES = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
SAMPLERS = {"DPM-Solver++": "dpmpp_2m", "DDIM": "ddim", "DDPM": "ddpm", "Heun": "heun"}
EVALUATIONS = (1, 2, 5, 10, 20)  # of the network, at most
GUIDANCE = (0, 1, 2, 4)


def noised(run, model, images, labels):
    """Images with more and more noise, and below each what the network says that it was."""
    random, columns = np.random.default_rng(run.seed), []
    epsilon, told = random.standard_normal(images.shape), model.condition.of_images(3, labels)
    for t in TIMES:
        noisy = model.noise.alpha(t) * images + model.noise.sigma(t) * epsilon
        times = np.full(len(images), max(t, model.noise.least))
        inputs = [values.astype("float32") for values in (noisy, times)]
        answers = model.predict([*inputs, *told], verbose=0)
        columns.append(np.stack([noisy, answers], axis=1).reshape(-1, *model.image_shape))
    return np.clip(np.stack(columns, axis=1), -1, 1)


def draw_ways(run, model, test, classes):
    """Write how images become noise, and noise images."""
    labels = np.asarray(test.labels[:3]) if classes else None
    rows = noised(run, model, test.images(3), labels)
    panel = plots.Images(rows, names=["noisy", "answer"] * 3, steps=[f"t = {t:g}" for t in TIMES])
    title = "The network is shown an image with noise, and tells which image it sees"
    _run.slide(run, "noising", panel, title=title, model=model)
    states, times = model.trajectory(SHOWN, seed=run.seed)
    states, some = np.clip(states, -1, 1), np.linspace(0, len(times) - 1, 8).round().astype(int)
    panel = plots.Images(states[:5, some], steps=[f"t = {t:.2f}" for t in times[some]])
    title = "From noise to an image in {n} steps, in each a little of what the network tells"
    _run.slide(run, "denoising", panel, title=title, model=model, n=len(times) - 1)
    titles = [plots.say("Back from noise: t = {t:.2f}", t=t) for t in times]
    frames = [plots.Images(states[:, i], 5) for i in range(len(times))]
    _run.animate(run, "denoising", [*zip(titles, frames, strict=True)])


def draw_samples(run, model, classes, made, distances):
    """Write what comes of noise: images, and how they depend on evaluations and guidance."""
    samples = plots.Images(model.generate(6 * SHOWN, seed=run.seed), SHOWN)
    title = "Images that nobody drew: noise, and the way back"
    _run.slide(run, "samples", samples, title=title, model=model)
    curves = {name: ([*found], [*found.values()]) for name, found in distances.items()}
    axes = {"xlabel": "evaluations of the network", "ylabel": "Fréchet distance"}
    panels = [
        plots.Images(np.stack([*made.values()]), names=[*map(str, made)]),
        plots.Curves(curves, log=True, **axes),
    ]
    found = distances["DPM-Solver++"]
    enough = next(n for n, distance in found.items() if distance <= 1.25 * min(found.values()))
    title = "The same noise by number of evaluations: of DPM-Solver++, {enough} are enough"
    _run.slide(run, "evaluations", *panels, title=title, model=model, enough=enough)
    if classes:
        ways = [model.generate(SHOWN, guidance_scale=w, seed=run.seed) for w in GUIDANCE]
        panel = plots.Images(np.stack(ways), names=[f"w = {w}" for w in GUIDANCE])
        title = "Guidance: w times what the class adds to the answer; for 0, none is told"
        _run.slide(run, "guidance", panel, title=title, model=model)


def draw_between(run, model, test, classes):
    """Write images of which half is painted anew, and images between two of one class."""
    images, labels = test.images(SHOWN), np.asarray(test.labels[:SHOWN]) if classes else None
    unknown = np.zeros(model.image_shape[:2], bool)
    unknown[len(unknown) // 2 :] = True
    rows = {"original": images, "known": np.where(unknown[..., None], 0, images)}
    for seed in range(run.seed, run.seed + 3):
        made = model.inpaint(images, unknown, labels, seed=seed)
        rows[plots.say("painted, seed {seed}", seed=seed)] = made
    title = "The upper half is known; the lower one is painted so that both fit"
    _run.slide(run, "inpainting", plots.Images.named(rows), title=title, model=model)
    two = pairs(test.labels if classes else np.arange(SHOWN) // 2)
    a, b = (test.at(side) for side in two.T)
    shares = np.linspace(0, 1, 9)
    of = a.labels if classes else None
    lines = model.interpolate(a.images(), b.images(), len(shares), of)
    panel = plots.Images(lines, steps=[f"{share:g}" for share in shares])
    title = "From one test image to another: along an arc between what they are as noise"
    _run.slide(run, "interpolation", panel, title=title, model=model)


def pairs(labels, n=5):
    """Places of two images of one class, for up to `n` classes: `(pairs, 2)`."""
    places = [np.flatnonzero(labels == c)[:2] for c in np.unique(labels)]
    return np.array([two for two in places if len(two) == 2][:n]).reshape(-1, 2)


def by_evaluations(run, model, images, judge):
    """Some images of DPM-Solver++ by its evaluations; by sampler and evaluations the distances."""
    rows, distances = {}, {name: {} for name in SAMPLERS}
    for name, sampler in SAMPLERS.items():
        of = samplers.get(sampler)
        for most in EVALUATIONS:
            n = max(n for n in range(1, most + 1) if of.evaluations(n) <= most)
            if of.evaluations(n) in distances[name]:
                continue
            made = model.generate(run.samples, sampler=of, num_steps=n, seed=run.seed)
            distances[name][of.evaluations(n)] = float(kgen.metrics.fid(images, made, judge))
            if name == "DPM-Solver++":
                rows[n] = made[:6]
    return rows, distances


def measure(run, model, images, test, judge):
    """How good and varied samples are, and how long one takes."""
    began = time.monotonic()
    made = model.generate(run.samples, seed=run.seed)
    seconds = time.monotonic() - began
    found = kgen.metrics.evaluate(
        images, made, judge, ["fid", "precision", "recall"], test, run.seed
    )
    results = {f"{found.label(name)}, {judge}": value for name, value in found.values.items()}
    results[f"floor of fid, {judge}"] = found.results["fid"].floor
    return results | {"milliseconds an image": 1e3 * seconds / run.samples}


@_command.recipe(__doc__, **DEFAULTS)
def main(run):
    """Train, draw, measure; returns the model."""
    images, test = _run.load(run)
    classes = images.num_classes
    arguments = {"noise": run.noise, "filters": run.filters}
    arguments |= {"condition": ClassLabels(classes)} if classes else {}
    updates = _run.updates(run, images.num_examples)
    rate = kgen.schedules.warmup_cosine(run.learning_rate, updates, 200)
    grid = kgen.callbacks.SampleGrid(run.output / "samples", every=max(1, run.epochs // 10))
    adam = keras.optimizers.Adam(rate)
    given = kgen.Diffusion, arguments, images, test, "diffusion", [grid], adam
    model, history = _run.train(run, *given)
    judge = kgen.metrics.judge_for(run.dataset) or "pixels"
    made, distances = by_evaluations(run, model, images, judge)
    draw_ways(run, model, test, classes)
    draw_samples(run, model, classes, made, distances)
    draw_between(run, model, test, classes)
    _run.draw_losses(run, history)
    results = measure(run, model, images, test, judge)
    for name, found in distances.items():
        results |= {f"fid, {name}, {n} evaluations": value for n, value in found.items()}
    results["images seen"] = float(run.epochs * images.num_examples)
    what = f"Diffusion{', told the class' * bool(classes)}: {run.noise} noise, {run.filters} "
    what += f"filters, {run.epochs} epochs."
    _run.report(run, model, what, results)
    return model


if __name__ == "__main__":
    main()
