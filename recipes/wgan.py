r"""The Wasserstein distance: what it measures, and how well a critic of a WGAN estimates it.

    python -m recipes.wgan
    python -m recipes.wgan --updates 2000 --sigma 0.2

Points on a line, where the distance is known exactly (Arjovsky et al., 2017; Gulrajani et al.,
2017). Writes the transport of one distribution to another beside a critic, whose slope is 1 along
the way; the distance beside the Jensen-Shannon divergence while two Gaussians move apart; and what
critics estimate: with a gradient penalty of three weights, and with weights clipped to [-0.1, 0.1]
(0.01 in the paper), which gives the distance up to a factor. All critics are trained by Adam on
points divided by 8, their first 50 updates without penalty (`Critic`). `--resume` trains what is
missing.
"""

from pathlib import Path

import keras
import numpy as np
from keras import ops

import kgen
from kgen import plots
from kgen.losses import GradientPenalty, WeightClipping
from kgen.networks import mlp_discriminator
from recipes import _run
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
WITHOUT_PENALTY = 50  # first updates
CLIPPED = "weight clipping"
PENALTIES = {f"gradient penalty {weight}": GradientPenalty(weight) for weight in WEIGHTS}
PENALTIES[CLIPPED] = WeightClipping(0.1)

LOOKS = {
    "gradient penalty 10": {"marker": "o", "ms": 9, "mfc": "C4"},
    "gradient penalty 100": {"marker": "s", "ms": 11, "mfc": "none"},
    "gradient penalty 1000": {"marker": "D", "ms": 5, "mfc": "C2"},
    CLIPPED: {"marker": "^", "ms": 9, "mfc": "C8"},
}


class Critic(kgen.GAN):
    """A critic that learns alone: its generator stays as it is.

    The penalty is as content with a slope of -1 as with one of 1, and on a line a slope has to pass
    0 to become the other. So the first updates go without: they find the right side.
    """

    players = {"discriminator": ["discriminator"]}
    logs = ("discriminator_loss", "real_score", "fake_score")

    def update(self, batch):
        """One step of the critic."""
        loss, scores = self.discriminator_step(batch, self.sample(batch, training=False))
        return {"discriminator_loss": loss, **scores}

    def discriminator_loss(self, real, fake, training):
        """Loss and scores, as in `kgen.GAN`; without the penalty in the first updates."""
        loss, scores = super().discriminator_loss(real, fake, training)
        first = ops.convert_to_tensor(self.step) < WITHOUT_PENALTY
        return ops.where(first, scores["fake_score"] - scores["real_score"], loss), scores


def make(penalty, scale, shift, seed):
    """A critic whose generator makes `scale * z + shift` of its latents z from N(0, 1)."""
    move = keras.layers.Rescaling(scale, shift)
    # Clipped biases are no larger than the weights: ReLUs have their kinks where what comes in is
    # within [-1, 1], so the points are brought there.
    layers = [keras.layers.Rescaling(1 / 8), mlp_discriminator((1,), hidden=(64, 64))]
    return Critic(
        (1,),
        latent_dim=1,
        loss="wasserstein",
        penalty=penalty,
        generator=keras.Sequential([keras.Input((1,)), move], name="generator"),
        discriminator=keras.Sequential([keras.Input((1,)), *layers], name="discriminator"),
        seed=seed,
    )


def fit(run, critic, real):
    """Train a critic until its learning rate has come down to zero."""
    rate = keras.optimizers.schedules.CosineDecay(run.learning_rate, run.updates)
    critic.compile(keras.optimizers.Adam(rate, 0.5, 0.9), jit_compile=_run.XLA[run.jit])
    critic.fit(real, batch_size=run.batch_size, steps_per_epoch=run.updates, verbose=0)
    return critic


def gaussian(run):
    """Real points from N(0, sigma^2), float32 `(points, 1)`."""
    noise = np.random.default_rng(run.seed).standard_normal((run.points, 1), "float32")
    return run.sigma * noise


def measure(run, penalty, shift):
    """What a critic estimates between real points and generated ones, and the exact distance."""
    keras.utils.set_random_seed(run.seed)
    real = gaussian(run)
    critic = fit(run, make(penalty, run.sigma, shift, run.seed), real)
    fake = critic.generate(run.points, seed=run.seed + 1)
    estimate = critic.scores(real).mean() - critic.scores(fake).mean()
    exact = kgen.metrics.wasserstein_1d(real[:, 0], fake[:, 0])
    return {"estimate": float(estimate), "exact": exact}


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


def potential(real, fake):
    """The best critic of two samples `(N,)`, `(M,)`: sorted points, and its values there.

    It climbs with slope 1 wherever more generated points than real ones lie below, and else falls:
    the Kantorovich potential, whose mean over the real points is larger by the distance.
    """
    x = np.union1d(real, fake)
    below = [np.searchsorted(np.sort(s), x[:-1], "right") / len(s) for s in (real, fake)]
    slope = np.sign(below[1] - below[0])
    return x, np.concatenate([[0], np.cumsum(slope * np.diff(x))])


def transport(run):
    """Real points from two Gaussians, generated ones from one between, and a critic of them."""
    keras.utils.set_random_seed(run.seed)
    random = np.random.default_rng(run.seed)
    center = np.where(random.random(run.points) < 0.4, -2.2, 2.4)
    real = (center + 0.45 * random.standard_normal(run.points)).astype("float32")[:, None]
    critic = fit(run, make(PENALTIES["gradient penalty 100"], 0.7, -0.2, run.seed), real)
    return critic, real[:, 0], critic.generate(run.points, seed=run.seed + 1)[:, 0]


def draw_transport(axes, critic, real, fake):
    """Draw the plan that moves generated points to real ones, and under it the critic."""
    above, below = axes
    edges = np.linspace(-4.2, 4.2, 85, dtype="float32")
    sides = ("generated", fake, "C1", 1, 1), ("real", real, "C0", 0, -1)
    for name, points, color, base, up in sides:
        density, _ = np.histogram(points, edges, density=True)
        heights = base + up * density
        above.stairs(heights, edges, baseline=base, fill=True, color=color, alpha=0.6, label=name)
    levels = (np.arange(60) + 0.5) / 60
    ends = [np.quantile(points, levels) for points in (fake, real)]
    above.plot(ends, [1, 0], color=plots.DARK, lw=0.8, alpha=0.6)
    distance = kgen.metrics.wasserstein_1d(real, fake)
    above.set_title(f"Cheapest transport: sorted points in order, $W$ = {distance:.2f}")
    above.set_yticks([])
    best, learned = np.interp(edges, *potential(real, fake)), critic.scores(edges[:, None])
    best, learned = best - best.mean(), learned - learned.mean()
    below.plot(edges, best, ":", color=plots.DARK, lw=5, label="best function of slope 1")
    below.plot(edges, learned, color=plots.GENERATED, lw=2.5, label="critic, gradient penalty 100")
    below.set_title("Critic $f$: $W = E\\,f$(real) $-$ $E\\,f$(generated)")
    below.set_ylabel("$f(x)$ without its mean")
    above.legend(loc="upper left")
    below.legend(loc="upper center")


def draw_distances(axes, sigma, found):
    """Draw divergences of two Gaussians that move apart, and what critics estimate."""
    above, below = axes
    shifts = np.linspace(0, 4.1, 300)
    above.plot(shifts, shifts, color="C2", lw=3, label="Wasserstein distance")
    for width, dashes in ((sigma, "-"), (sigma / 10, "--")):
        label = f"Jensen-Shannon divergence, $\\sigma$ = {width:g}"
        values = [jensen_shannon(shift, width) for shift in shifts]
        above.plot(shifts, values, dashes, color="C3", lw=3, label=label)
    above.axhline(np.log(2), color=plots.DARK, ls=":", lw=2, label="log 2: no gradient")
    above.set_title("Why Wasserstein: $N(0, \\sigma^2)$ and $N(W, \\sigma^2)$")
    above.set_ylabel("distance, or divergence [nats]")
    below.plot(shifts, shifts, color=plots.DARK, lw=1.5, label="exact")
    label = r"$W (1 + W / 2 \lambda)$, $\lambda$ = 10"
    below.plot(shifts, penalized(shifts, 10), "--", color="C4", lw=1.5, label=label)
    for name, (exact, estimate) in found.items():
        factor = scale(exact, estimate) if name == CLIPPED else 1
        label = f"{name}, divided by {factor:.2f} (fitted)" if name == CLIPPED else name
        below.plot(exact, estimate / factor, ls="", mec=plots.DARK, label=label, **LOOKS[name])
    below.set_title("What critics estimate")
    below.set_ylabel("estimate")
    for each in axes:
        each.legend(loc="upper left")


def scale(exact, estimate):
    """The constant that brings estimates nearest to `constant * exact`."""
    return float(exact @ estimate / (exact @ exact))


@_run.recipe(__doc__, WITHOUT, **DEFAULTS)
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
    figure, axes = plots.chart(13, 9, 2, 2, xlabels=("$x$", "exact distance $W$"))
    draw_transport(axes[:, 0], *transport(run))
    draw_distances(axes[:, 1], run.sigma, found)
    plots.save(figure, run.output / "wgan.png")
    _run.report(run, None, "", results)
    return found


if __name__ == "__main__":
    main()
