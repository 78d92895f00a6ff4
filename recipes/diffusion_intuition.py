r"""What diffusion learns, in a plane: noise in, and the way back that a network points out.

    python -m recipes.diffusion_intuition
    python -m recipes.diffusion_intuition --dataset toy2d/swiss_roll --noise flow

Points become noise as time goes from 0 to 1; a network learns, for every time, which way the data
is (the score, arrows); followed from noise, it leads back: along one way by the ODE, another way
each time with fresh noise. Writes these three, and animations of the first and the last.
"""

from pathlib import Path

import keras
import numpy as np
from keras.optimizers import Adam

import kgen
from kgen import plots
from kgen.callbacks import ProgressBar
from recipes import _command, _run

DEFAULTS = {
    "output": Path("outputs/diffusion_intuition"),
    "dataset": {"default": "toy2d/ring", "help": "points in a plane: toy2d/grid, ..., or a file"},
    "batch_size": 256,
    "epochs": {"default": 100, "help": "passes over the points"},
    "noise": {"default": "cosine", "choices": [*kgen.noise.NOISES], "help": "how it comes"},
    "num_steps": {"default": 40, "help": "of the samplers"},
    "learning_rate": 2e-3,
}
TIMES = (0.0, 0.05, 0.15, 0.4, 1.0)
ENDS = np.array([-2.0, 2.0])
PLANE = np.stack(np.meshgrid(*[np.linspace(*ENDS, 21)] * 2), axis=-1).reshape(-1, 2)
WALKS = {"ddim": (60, "the ODE (DDIM)"), "ddpm": (4, "with fresh noise (DDPM)")}


def scale(model, t):
    """How far points spread at a time: all is drawn in units of it."""
    return np.hypot(model.noise.alpha(t), model.noise.sigma(t))


def score(model, places, t):
    """Which way the density at a time grows at places: arrows."""
    noisy, times = places * scale(model, t), np.full(len(places), t)
    images = model.predict([noisy.astype("float32"), times.astype("float32")], verbose=0)
    gradient = (model.noise.alpha(t) * images - noisy) / model.noise.sigma(t)
    lengths = np.linalg.norm(gradient, axis=1, keepdims=True)
    return places, 0.3 * gradient / np.sqrt(lengths * lengths.max() + 1e-9)


def draw(run, model, points, labels):
    """Write the three figures, and the last of them as an animation."""
    random = np.random.default_rng(run.seed)
    classes = {str(c): plots.CLASSES[int(c) % len(plots.CLASSES)] for c in np.unique(labels)}
    noising, pointing = [], []
    for t in TIMES:
        noisy = model.noise.alpha(t) * points + model.noise.sigma(t) * random.standard_normal(
            points.shape
        )
        noisy, at = noisy / scale(model, t), {"heading": f"t = {t:g}", "legend": None}
        clouds = {c: noisy[labels == int(c)][:150] for c in classes}
        if t != TIMES[-2]:
            noising.append(plots.Plane(clouds, ENDS, colors=classes, size=4, **at))
        if t:
            arrows, real = score(model, PLANE, t), {"real points": noisy[:300]}
            pointing.insert(0, plots.Plane(real, ENDS, arrows=arrows, **at))
    title = "Noise, added little by little, makes of all points the same: N(0, I)"
    _run.slide(run, "noising", *noising, title=title, model=model)
    title = "For every time, the network has learned which way the points are"
    _run.slide(run, "score", *pointing, title=title, model=model)
    paths = []
    for name, (n, heading) in WALKS.items():
        states, times = model.trajectory(600, sampler=name, num_steps=run.num_steps, seed=run.seed)
        clouds, ways = (
            {"generated points": states[:, -1]},
            states[:n] / scale(model, times)[:, None],
        )
        paths.append(plots.Plane(clouds, ENDS, ways=ways, heading=heading, legend=None))
    title = "From noise back to points: one way for each by the ODE, or another one each time"
    _run.slide(run, "paths", *paths, title=title, model=model)
    frames = []
    for i, t in enumerate(times):
        arrows = score(model, PLANE[::2], max(t, model.noise.least))
        clouds = {"generated points": states[:300, i] / scale(model, t)}
        panel = plots.Plane(clouds, ENDS, arrows=arrows, legend=None)
        frames.append((plots.say("Back from noise: t = {t:.2f}", t=t), panel))
    _run.animate(run, "denoising", frames)


@_command.recipe(__doc__, ("image_size", "precision", "resume", "publish"), **DEFAULTS)
def main(run):
    """Train, draw, measure; returns the model."""
    data, _ = _run.load(run)
    points = data.images()
    if points.shape[1:] != (2,):
        raise ValueError(f"--dataset must hold points in a plane; {run.dataset!r} does not.")
    keras.utils.set_random_seed(run.seed)
    model = kgen.Diffusion((2,), noise=run.noise, average_decay=0.999, seed=run.seed)
    updates = _run.updates(run, len(points))
    adam = Adam(kgen.schedules.warmup_cosine(run.learning_rate, updates))
    model.compile(adam, jit_compile=_run.XLA[run.jit])
    options = {"batch_size": run.batch_size, "epochs": run.epochs, "verbose": 0}
    history = model.fit(points, callbacks=[ProgressBar("in a plane")], **options)
    model.save(run.output / "diffusion.keras")
    labels = np.asarray(data.labels) if data.num_classes else np.zeros(len(points))
    draw(run, model, points, labels)
    results = {"loss": history.history["loss"][-1]}
    for sampler in ("ddim", "ddpm", "dpmpp_2m"):
        made = model.generate(2500, sampler=sampler, num_steps=run.num_steps, seed=run.seed)
        far = kgen.metrics.nearest(made, points)[1]
        results[f"{sampler}, {run.num_steps} steps, within 0.05 of a point"] = np.mean(far < 0.05)
        if run.dataset in ("toy2d/ring", "toy2d/grid"):
            modes = kgen.metrics.mode_coverage(made, run.dataset)
            results[f"{sampler}, modes of {len(modes.counts)}"] = modes.covered
            results[f"{sampler}, good samples"] = modes.good
    _run.report(run, None, "", {name: float(value) for name, value in results.items()})
    return model


if __name__ == "__main__":
    main()
