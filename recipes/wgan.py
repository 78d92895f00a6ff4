r"""The Wasserstein distance: what it measures, and how well a critic of a WGAN estimates it.

    python -m recipes.wgan
    python -m recipes.wgan --updates 2000 --sigma 0.2

Points on a line, where the distance is known exactly (Arjovsky et al., 2017; Gulrajani et al.,
2017). Writes the transport of one distribution to another, beside distance and Jensen-Shannon
divergence of two Gaussians that move apart; and what critics estimate: with a gradient penalty of
three weights, and with weights clipped to [-0.1, 0.1] (0.01 in the paper), which gives the distance
up to a factor. Critics learn by Adam on points divided by 8, their first 50 updates without
penalty. `--resume` trains what is missing.
"""

from pathlib import Path

import keras
import numpy as np

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
WEIGHTS = (10, 100, 1000)  # of the gradient penalty; 10 is the paper's
# The penalty is as content with a slope of -1 as with one of 1, and on a line a slope has to pass 0
# to become the other: without it, the first updates find the right side.
WITHOUT_PENALTY = 50
CLIPPED = "weight clipping"


def late(weight):
    """A gradient penalty whose weight is 0 in the first updates."""
    fall = keras.optimizers.schedules.PiecewiseConstantDecay
    return GradientPenalty(fall([WITHOUT_PENALTY - 1], [0.0, float(weight)]))


PENALTIES = {f"gradient penalty {weight}": late(weight) for weight in WEIGHTS}
PENALTIES[CLIPPED] = WeightClipping(0.1)


def make(penalty, sigma, shift, seed):
    """A critic that learns alone: its generator makes `sigma * z + shift` of its latents z."""
    move = keras.layers.Rescaling(sigma, shift)
    # Clipped biases are no larger than the weights: ReLUs have their kinks where what comes in is
    # within [-1, 1], so the points are brought there.
    layers = [keras.layers.Rescaling(1 / 8), mlp_discriminator((1,), hidden=(64, 64))]
    networks = {
        "generator": keras.Sequential([keras.Input((1,)), move], name="generator"),
        "discriminator": keras.Sequential([keras.Input((1,)), *layers], name="discriminator"),
    }
    return kgen.GAN((1,), 1, loss="wasserstein", penalty=penalty, seed=seed, **networks)


def measure(run, penalty, shift):
    """What a critic estimates between real points and generated ones, and the exact distance."""
    keras.utils.set_random_seed(run.seed)
    real = gaussian(run)
    critic = make(penalty, run.sigma, shift, run.seed)
    rate = keras.optimizers.schedules.CosineDecay(run.learning_rate, run.updates)
    optimizer = {"discriminator": keras.optimizers.Adam(rate, 0.5, 0.9)}
    critic.compile(optimizer, jit_compile=_run.XLA[run.jit])
    critic.fit(real, batch_size=run.batch_size, steps_per_epoch=run.updates, verbose=0)
    fake = critic.generate(run.points, seed=run.seed + 1)
    estimate = critic.scores(real).mean() - critic.scores(fake).mean()
    exact = kgen.metrics.wasserstein_1d(real[:, 0], fake[:, 0])
    return {"estimate": float(estimate), "exact": exact}


def gaussian(run):
    """Real points from N(0, sigma^2), float32 `(points, 1)`."""
    noise = np.random.default_rng(run.seed).standard_normal((run.points, 1), "float32")
    return run.sigma * noise


def penalized(distance, weight):
    """What the best critic estimates under a gradient penalty.

    With a slope of c it gains c W - weight (c - 1)^2, which is largest at c = 1 + W / (2 weight);
    its estimate is c W. This holds where the penalty looks at the way of the points only.
    """
    return distance * (1 + distance / (2 * weight))


def jensen_shannon(shift, sigma):
    """Jensen-Shannon divergence of N(shift, sigma^2) from N(0, sigma^2), in nats."""
    x = np.linspace(-10 * sigma, shift + 10 * sigma, 4001)
    log_p, log_q = -0.5 * np.square([x / sigma, (x - shift) / sigma])
    p, log_mean = np.exp(log_p), np.logaddexp(log_p, log_q) - np.log(2)
    # By symmetry both halves are the same: KL(p || (p + q) / 2).
    return np.trapezoid(p * (log_p - log_mean), x) / (sigma * np.sqrt(2 * np.pi))


def draw_transport(axes, fake, real):
    """Draw the cheapest plan that moves generated points to real ones: sorted, in their order."""
    edges = np.linspace(-3.2, 3.2, 65)
    for points, color, base, up in ((fake, plots.GENERATED, 1, 1), (real, plots.REAL, 0, -1)):
        heights = base + up * np.histogram(points, edges, density=True)[0]
        axes.stairs(heights, edges, baseline=base, fill=True, color=color, alpha=0.7)
    levels = (np.arange(40) + 0.5) / 40
    axes.plot([np.quantile(x, levels) for x in (fake, real)], [1, 0], color=plots.DARK, lw=1)
    plots.named(axes, -2.2, 1.3, "generated", plots.GENERATED)
    plots.named(axes, 0, -0.3, "real", plots.REAL)
    axes.set_yticks([])
    axes.grid(False)


def draw(run, found):
    """Write transport and distances; and what critics estimate."""
    real = kgen.data.toy2d.two_hills(run.points, run.seed)[:, 0]
    fake = 0.5 * np.random.default_rng(run.seed).standard_normal(run.points)
    w, shifts = kgen.metrics.wasserstein_1d(real, fake), np.linspace(0, 4.1, 300)
    options = {"xlabel": "$x$", "heading": plots.say("cheapest transport: W = {w:.2f}", w=w)}
    transport = plots.Drawing(lambda axes: draw_transport(axes, fake, real), **options)
    curves = {"Wasserstein": shifts}
    for sigma in (run.sigma, run.sigma / 10):
        name = plots.say("Jensen-Shannon, $\\sigma$ = {s:g}", s=sigma)
        curves[name] = [jensen_shannon(shift, sigma) for shift in shifts]
    options = {"levels": {"log 2: no gradient": np.log(2)}, "log": False, "xlabel": "shift"}
    distances = plots.Curves(curves, shifts, ylabel="distance of two Gaussians", **options)
    title = "Transport says how far to go; Jensen-Shannon, once they are apart, only that they are"
    _run.slide(run, "wgan", transport, distances, title=title)
    curves = {"exact": (shifts, shifts), "$W (1 + W / 20)$": (shifts, penalized(shifts, 10))}
    dashes = dict.fromkeys([*curves], "-")
    for name, (exact, estimate) in found.items():
        factor, up_to = (scale(exact, estimate), ", up to a factor") if name == CLIPPED else (1, "")
        curves[name + up_to], dashes[name + up_to] = (exact, estimate / factor), ":"
    options = {"xlabel": "exact distance W", "ylabel": "estimate of the critic", "log": False}
    worst = max(np.abs(e / w - 1).max() for n, (w, e) in found.items() if n.endswith("100"))
    title = "A critic overestimates by W / (2 weight): with weight 100 by {worst:.1%} at most"
    panel = plots.Curves(curves, colors={"exact": plots.DARK}, dashes=dashes, **options)
    _run.slide(run, "critics", panel, title=title, worst=worst)


def scale(exact, estimate):
    """The constant that brings estimates nearest to `constant * exact`."""
    return float(exact @ estimate / (exact @ exact))


@_command.recipe(__doc__, WITHOUT, **DEFAULTS)
def main(run):
    """Train, measure, draw; returns exact distances and estimates by penalty."""
    _run.begin(run)
    measured, found, results = Measured(run), {}, {}
    for name, penalty in PENALTIES.items():
        parts = [measured.part(f"{name}, {w:g} apart", measure, run, penalty, w) for w in SHIFTS]
        exact, estimate = (np.array([p[of] for p in parts]) for of in ("exact", "estimate"))
        found[name] = exact, estimate
        if name == CLIPPED:
            estimate = estimate / scale(exact, estimate)
        results[f"largest relative error, {name}"] = float(np.abs(estimate / exact - 1).max())
        results[f"correlation, {name}"] = float(np.corrcoef(exact, estimate)[0, 1])
    exact, estimate = found["gradient penalty 10"]
    error = np.abs(estimate / penalized(exact, 10) - 1).max()
    results["largest relative error of W (1 + W / (2 weight)), gradient penalty 10"] = float(error)
    draw(run, found)
    _run.report(run, None, "", results)
    return found


if __name__ == "__main__":
    main()
