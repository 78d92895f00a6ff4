r"""The critic of a WGAN: how well it estimates the Wasserstein distance.

    python -m recipes.wgan
    python -m recipes.wgan --updates 2000 --sigma 0.2

Points on a line, where the distance is known exactly (Arjovsky et al., 2017; Gulrajani et al.,
2017). Writes what critics estimate: with a gradient penalty of three weights, and with weights
clipped to [-0.1, 0.1] (0.01 in the paper), which gives the distance up to a factor. `--resume`
trains what is missing.
"""

from pathlib import Path

import keras
import numpy as np
from keras.optimizers.schedules import CosineDecay, PiecewiseConstantDecay

import kgen
from kgen import plots
from kgen.losses import GradientPenalty, WeightClipping
from kgen.networks import mlp_discriminator
from recipes import _command, _run
from recipes._measured import Measured

DEFAULTS = {
    "output": Path("outputs/wgan"),
    "batch_size": 256,
    "updates": {"default": 800, "help": "updates of each critic"},
    "points": {"default": 10_000, "help": "real points, and generated ones"},
    "sigma": {"default": 0.5, "help": "standard deviation of the Gaussians"},
    "learning_rate": 1e-3,
}
WITHOUT = ("dataset", "image_size", "epochs", "precision", "limit", "publish")
SHIFTS = (0.2, 0.5, 1.0, 2.0, 3.0, 4.0)
# The penalty is as content with a slope of -1 as with 1: updates without it find the right side.
WITHOUT_PENALTY = 50
CLIPPED = "weight clipping"
PENALTIES = {
    f"gradient penalty {weight}": GradientPenalty(
        PiecewiseConstantDecay([WITHOUT_PENALTY - 1], [0.0, float(weight)])
    )
    for weight in (10, 100, 1000)  # 10 is the paper's
} | {CLIPPED: WeightClipping(0.1)}


def make(penalty, sigma, shift, seed):
    """A critic that learns alone: its generator makes `sigma * z + shift` of its latents z."""
    generator = keras.Sequential([keras.Input((1,)), keras.layers.Rescaling(sigma, shift)])
    critic = mlp_discriminator((1,), hidden=(64, 64))
    # Clipped biases are small: a ReLU has its kink in [-1, 1], so the points are brought there.
    critic = keras.Sequential([keras.Input((1,)), keras.layers.Rescaling(1 / 8), critic])
    networks = {"generator": generator, "discriminator": critic}
    return kgen.GAN((1,), 1, loss="wasserstein", penalty=penalty, seed=seed, **networks)


def gaussian(run):
    """Real points from N(0, sigma^2), float32 `(points, 1)`."""
    noise = np.random.default_rng(run.seed).standard_normal((run.points, 1), "float32")
    return run.sigma * noise


def measure(run, penalty, shift):
    """What a critic estimates between real points and generated ones, and the exact distance."""
    keras.utils.set_random_seed(run.seed)
    real = gaussian(run)
    critic = make(penalty, run.sigma, shift, run.seed)
    adam = keras.optimizers.Adam(CosineDecay(run.learning_rate, run.updates), 0.5, 0.9)
    critic.compile({"discriminator": adam}, jit_compile=_run.XLA[run.jit])
    critic.fit(real, batch_size=run.batch_size, steps_per_epoch=run.updates, verbose=0)
    fake = critic.generate(run.points, seed=run.seed + 1)
    estimate = critic.scores(real).mean() - critic.scores(fake).mean()
    exact = kgen.metrics.wasserstein_1d(real[:, 0], fake[:, 0])
    return {"estimate": float(estimate), "exact": exact}


def scale(exact, estimate):
    """The constant that brings estimates nearest to `constant * exact`."""
    return float(exact @ estimate / (exact @ exact))


def draw(run, found, worst):
    """Write what critics estimate, by the exact distance."""
    shifts = np.linspace(0, 4.1, 300)
    curves = {"exact": (shifts, shifts)}
    curves["$W (1 + W / 20)$"] = shifts, GradientPenalty(10).estimate(shifts)
    dashes = {}
    for name, (exact, estimate) in found.items():
        if name == CLIPPED:
            name = f"{CLIPPED}, up to a factor"
            estimate = estimate / scale(exact, estimate)
        curves[name] = exact, estimate
        dashes[name] = ":"
    axes = {"xlabel": "exact distance W", "ylabel": "estimate of the critic", "log": False}
    panel = plots.Curves(curves, colors={"exact": plots.DARK}, dashes=dashes, **axes)
    title = "A critic overestimates by W / (2 weight): with weight 100 by {worst:.1%} at most"
    _run.slide(run, "critics", panel, title=title, worst=worst)


@_command.recipe(__doc__, WITHOUT, **DEFAULTS)
def main(run):
    """Train, measure, draw; returns exact distances and estimates by penalty."""
    _run.begin(run)
    measured, found, results = Measured(run), {}, {}
    for name, penalty in PENALTIES.items():
        parts = [measured.part(f"{name}, {w:g} apart", measure, run, penalty, w) for w in SHIFTS]
        exact, estimate = (np.array([part[of] for part in parts]) for of in ("exact", "estimate"))
        found[name] = exact, estimate
        factor = scale(exact, estimate) if name == CLIPPED else 1
        results[f"largest relative error, {name}"] = np.abs(estimate / factor / exact - 1).max()
        results[f"correlation, {name}"] = np.corrcoef(exact, estimate)[0, 1]
    exact, estimate = found["gradient penalty 10"]
    error = np.abs(estimate / GradientPenalty(10).estimate(exact) - 1).max()
    results["largest relative error of W (1 + W / (2 weight)), gradient penalty 10"] = error
    draw(run, found, results["largest relative error, gradient penalty 100"])
    _run.report(run, None, "", results)
    return found


if __name__ == "__main__":
    main()
