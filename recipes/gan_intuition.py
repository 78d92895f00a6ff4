r"""How a GAN learns: the figure of Goodfellow et al. (2014), on a line and in a plane.

    python -m recipes.gan_intuition
    python -m recipes.gan_intuition --dataset toy2d/ring --updates 4000
    python -m recipes.gan_intuition --discriminator-steps 1 --loss minimax

On a line: the densities of real and of generated points, the discriminator's probability D(x) that
a point is real beside the best one, p / (p + q), and the lines along which the generator moves its
latents. In a plane: D(x) as a heat map under real and generated points. Writes both as one figure,
from the beginning of training to its end, and as animations. At the equilibrium D is 1/2
everywhere; R1, a penalty of the discriminator's slope at real points, helps to get there.
"""

from pathlib import Path

import keras
import numpy as np
from matplotlib.lines import Line2D

import kgen
from kgen import plots
from kgen.losses import R1
from kgen.networks import mlp_generator
from recipes import _run
from recipes._flags import from_zero

DEFAULTS = {
    "output": Path("outputs/gan_intuition"),
    "dataset": {
        "default": "toy2d/moons",
        "help": "points in a plane: toy2d/ring, grid, moons or swiss_roll, or a file of points",
    },
    "batch_size": 256,
    "epochs": {"default": 50, "help": "parts of the training; each ends in a picture"},
    "updates": 2000,
    "discriminator_steps": 3,
    "loss": "non_saturating",
    "penalty_weight": {
        "default": 0.05,
        "type": from_zero,
        "help": "of R1, which keeps both players from circling",
    },
    "learning_rate": {"default": 2e-3, "help": "of the discriminator; the generator's is 1/4"},
}
WITHOUT = ("image_size", "precision", "resume", "publish")
MOMENTS = (0, 0.02, 0.08, 1)  # of the figure: shares of the epochs
LINE = np.linspace(-3.5, 3.5, 281, dtype="float32")
TICKS = np.linspace(-1.5, 1.5, 101, dtype="float32")
PLANE = np.stack(np.meshgrid(TICKS, TICKS), axis=-1).reshape(-1, 2)


class Snapshots(keras.callbacks.Callback):
    """Keeps what `take(model)` returns before training and after every epoch, by updates."""

    def __init__(self, take):
        super().__init__()
        self.take, self.kept = take, {}

    def on_train_begin(self, logs=None):
        """Take the first."""
        self.kept[0] = self.take(self.model)

    def on_epoch_end(self, epoch, logs=None):
        """Take one."""
        self.kept[(epoch + 1) * self.params["steps"]] = self.take(self.model)


def two_hills(n, seed):
    """Points on a line from two Gaussians, float32 `(n, 1)`."""
    random = np.random.default_rng(seed)
    left = random.random(n) < 0.4
    center, sigma = np.where(left, -1.7, 1.5), np.where(left, 0.35, 0.55)
    return (center + sigma * random.standard_normal(n)).astype("float32")[:, None]


def generator(dimension):
    """A network that begins near x = z on a line, x = z / 2 in a plane: a Gaussian cloud."""
    latents = keras.Input((dimension,))
    near = keras.layers.Rescaling(1 / dimension)(latents)
    moved = mlp_generator((dimension,), dimension)(latents)
    return keras.Model(latents, keras.layers.Add()([near, moved]), name="generator")


def train(run, points, take):
    """Fit a GAN to points `(N, D)`; returns it and its snapshots by updates."""
    keras.utils.set_random_seed(run.seed)
    dimension, k = points.shape[1], run.discriminator_steps
    gan = kgen.GAN(
        (dimension,),
        latent_dim=dimension,
        loss=run.loss,
        penalty=R1(run.penalty_weight),
        discriminator_steps=k,
        generator=generator(dimension),
        average_decay=0.0,  # the pictures show the generator of the moment
        seed=run.seed,
    )

    def optimizer(rate, steps):
        rate = keras.optimizers.schedules.CosineDecay(rate, steps)
        return keras.optimizers.Adam(rate, 0.5, 0.9)

    both = {"discriminator": optimizer(run.learning_rate, run.updates * k)}
    both["generator"] = optimizer(run.learning_rate / 4, run.updates)
    gan.compile(both, jit_compile=_run.XLA[run.jit])
    snapshots = Snapshots(take)
    options = {"batch_size": run.batch_size, "epochs": run.epochs, "verbose": 0}
    steps = max(run.updates // run.epochs, 1)
    gan.fit(points, steps_per_epoch=steps, callbacks=[snapshots], **options)
    return gan, snapshots.kept


def density(points, at, width=0.12):
    """Kernel density of points `(N,)`, with Gaussian kernels of a standard deviation of `width`."""
    kernels = np.exp(-0.5 * np.square((at[:, None] - points) / width))
    return kernels.mean(axis=1) / (width * np.sqrt(2 * np.pi))


def best_discriminator(real, fake):
    """The best D of densities p, q: p / (p + q) (proposition 1); NaN where points are rare."""
    total = real + fake
    return np.where(total > 0.1, real / np.maximum(total, 1e-9), np.nan)


def take_line(gan):
    """Density of generated points, the discriminator's probabilities, and where latents go."""
    levels = (np.arange(25) + 0.5) / 25
    latents = np.quantile(gan.latents(100_000, 1, seed=0), levels).astype("float32")
    fake = gan.generate(10_000, seed=0)[:, 0]
    moved = gan.decode(latents[:, None])[:, 0]
    return density(fake, LINE), gan.discriminate(LINE[:, None]), latents, moved


def draw_line(axes, real, shot):
    """Draw one moment on the line: densities and D(x), and below z -> x."""
    fake, probability, latents, moved = shot
    axes.plot(LINE, real, ":", color=plots.DARK, lw=3, label="real points $p$")
    axes.plot(LINE, fake, color=plots.GENERATED, lw=2.5, label="generated points $q$")
    axes.plot(LINE, probability, "--", color="C0", lw=2.5, label="discriminator $D(x)$")
    best = best_discriminator(real, fake)
    axes.plot(LINE, best, color="C0", lw=1, alpha=0.6, label="best $D$, $p / (p + q)$")
    axes.plot([latents, moved], [-0.55, -0.15], color=plots.GENERATED, lw=1, alpha=0.6)
    for y, name in ((-0.15, "x"), (-0.55, "z")):
        axes.axhline(y, color=plots.DARK, lw=1)
        axes.text(LINE[-1], y, f" ${name}$", va="center", size=13)
    axes.set(xlim=(LINE[0], LINE[-1]), ylim=(-0.6, 1.05), yticks=[0, 0.5, 1], xticks=[])


def take_plane(gan):
    """Generated points, and the discriminator's probabilities on the plane."""
    return gan.generate(600, seed=0), gan.discriminate(PLANE)


def draw_plane(axes, real, shot):
    """Draw one moment in the plane: D(x) as a heat map, and points."""
    fake, probability = shot
    heat = probability.reshape(len(TICKS), len(TICKS))
    style = {"cmap": "Blues", "alpha": 0.8}
    colors = axes.contourf(TICKS, TICKS, heat, np.linspace(0, 1, 21), **style)
    for points, color in ((real, plots.DARK), (fake, plots.GENERATED)):
        axes.plot(*points[:600].T, "o", color=color, ms=3, mew=0, alpha=0.7)
    ends = TICKS[0], TICKS[-1]
    axes.set(xlim=ends, ylim=ends, aspect="equal", xticks=[], yticks=[])
    return colors


def draw(line, plane, path):
    """Write four moments of both: `(function that draws one, real points, snapshots)` each."""
    updates = list(line[2])
    moments = [updates[round(share * (len(updates) - 1))] for share in MOMENTS]
    figure, axes = plots.chart(13.6, 7, 2, len(moments))
    for row, (draw_moment, real, kept) in zip(axes, (line, plane), strict=True):
        for panel, at in zip(row, moments, strict=True):
            colors = draw_moment(panel, real, kept[at])
    for panel, at in zip(axes[0], moments, strict=True):
        panel.set_title(f"{at:,} updates" if at else "before training", size=14)
    figure.suptitle("A GAN learns: points on a line, and in a plane", size=16)
    _explain(figure, axes[1], colors, axes[0, 0], len(moments))
    plots.save(figure, path)


def animate(name, draw_moment, real, kept, folder):
    """Write a picture of every snapshot, and their animation."""
    frames = []
    for at, shot in kept.items():
        figure, axes = plots.chart(4.8, 4.4)
        _explain(figure, [axes], draw_moment(axes, real, shot), axes, 2)
        axes.set_title(f"{at:,} updates", size=14)
        frames.append(plots.save(figure, folder / "samples" / f"{name}-{at:06}.png"))
    plots.animation(frames, folder / f"{name}.gif", seconds_per_frame=0.2)


def _explain(figure, axes, colors, named, columns):
    """Add the legend of what has names below, and beside the axes a bar of colours if any."""
    handles, labels = named.get_legend_handles_labels()
    if not handles:
        points = {"real points": plots.DARK, "generated points": plots.GENERATED}
        style = {"ls": "", "marker": "o"}
        handles = [Line2D([], [], color=color, **style) for color in points.values()]
        labels = list(points)
    style = {"loc": "outside lower center", "ncols": columns, "frameon": False, "fontsize": 13}
    figure.legend(handles, labels, **style)
    if colors is not None:
        style = {"ticks": [0, 0.5, 1], "label": "$D(x)$", "pad": 0.02, "shrink": 0.9}
        figure.colorbar(colors, ax=axes, fraction=0.05 / len(axes), **style)


def total_variation(p, q):
    """Half the area between two densities on the line: 0 if they are equal, 1 if they are apart."""
    return float(0.5 * np.trapezoid(np.abs(p - q), LINE))


@_run.recipe(__doc__, WITHOUT, **DEFAULTS)
def main(run):
    """Train, draw, measure; returns both models."""
    points, hills = _run.load(run)[0].images(), two_hills(20_000, run.seed)
    if points.shape[1:] != (2,):
        raise ValueError(f"--dataset must hold points in a plane; {run.dataset!r} does not.")
    real, results = density(hills[:, 0], LINE), {}
    line, on_line = train(run, hills, take_line)
    plane, on_plane = train(run, points, take_plane)
    drawn = {"line": (draw_line, real, on_line), "plane": (draw_plane, points, on_plane)}
    draw(*drawn.values(), run.output / "gan_intuition.png")
    for name, of in drawn.items():
        animate(name, *of, run.output)
    for moment, at in (("begin", 0), ("end", max(on_line))):
        distance = total_variation(real, on_line[at][0])
        results[f"line, total variation of p and q, {moment}"] = distance
        _, gaps = kgen.metrics.nearest(on_plane[at][0], points)
        results[f"plane, generated within 0.05 of a real point, {moment}"] = (gaps < 0.05).mean()
    error = np.abs(line.discriminate(hills) - 0.5).mean()
    results["line, mean of |D(x) - 1/2| at real points, end"] = error
    _run.report(run, None, "", {name: float(value) for name, value in results.items()})
    return line, plane


if __name__ == "__main__":
    main()
