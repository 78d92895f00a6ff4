r"""How a GAN learns: the figure of Goodfellow et al. (2014), on a line and in a plane.

    python -m recipes.gan_intuition
    python -m recipes.gan_intuition --dataset toy2d/ring --updates 2000
    python -m recipes.gan_intuition --discriminator-steps 1 --loss minimax

On a line: the densities of real and of generated points, the discriminator's probability D(x) that
a point is real beside the best one, p / (p + q), and the lines along which the generator moves its
latents. In a plane: D(x) as a heat map under real and generated points. Writes both as panels, from
the beginning of training to its end, and as animations.
"""

from pathlib import Path

import keras
import numpy as np

import kgen
from kgen import plots
from kgen.losses import R1
from kgen.networks.gans import mlp_generator
from recipes import _run

DEFAULTS = {
    "output": Path("outputs/gan_intuition"),
    "dataset": "toy2d/moons",
    "batch_size": 256,
    "epochs": 50,  # each ends in a picture
    "updates": 2000,
    "discriminator_steps": 3,
    "loss": "non_saturating",
    "penalty_weight": 0.05,  # of R1, which keeps both players from circling
    "learning_rate": 2e-3,
}
WITHOUT = ("image_size", "precision", "resume", "publish")
MOMENTS = {"begin": 0, "early": 0.02, "later": 0.08, "end": 1}  # shares of the epochs
LINE = np.linspace(-3.5, 3.5, 281, dtype="float32")
TICKS = np.linspace(-1.3, 1.3, 101, dtype="float32")
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
    centre, sigma = np.where(left, -1.7, 1.5), np.where(left, 0.35, 0.55)
    return (centre + sigma * random.standard_normal(n)).astype("float32")[:, None]


def generator(dimension):
    """A network that begins near x = z: a Gaussian cloud of points."""
    latents = keras.Input((dimension,))
    moved = mlp_generator((dimension,), dimension)(latents)
    return keras.Model(latents, keras.layers.Add()([latents, moved]), name="generator")


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
    gan.compile(both, jit_compile={"on": True, "off": False}.get(run.jit, "auto"))
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
    axes.plot(LINE, fake, color="C2", lw=2.5, label="generated points $q$")
    axes.plot(LINE, probability, "--", color="C0", lw=2.5, label="discriminator $D(x)$")
    best = best_discriminator(real, fake)
    axes.plot(LINE, best, color="C0", lw=1, alpha=0.6, label="best, $p / (p + q)$")
    axes.plot([latents, moved], [-0.55, -0.15], color="C2", lw=1, alpha=0.8)
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
    style = {"cmap": "coolwarm_r", "alpha": 0.75}
    colours = axes.contourf(TICKS, TICKS, heat, np.linspace(0, 1, 21), **style)
    for points, colour, name in ((real, plots.DARK, "real"), (fake, "#2ca02c", "generated")):
        style = {"ms": 4, "mec": "white", "mew": 0.3, "label": f"{name} points"}
        axes.plot(*points[:600].T, "o", color=colour, **style)
    ends = TICKS[0], TICKS[-1]
    axes.set(xlim=ends, ylim=ends, aspect="equal", xticks=[], yticks=[])
    return colours


def draw(run, name, draw_moment, real, kept):
    """Write panels of four moments, and an animation of all."""
    updates, folder = list(kept), run.output / "samples"
    figure, axes = plots.chart(13.6, 4.2, columns=4)
    for panel, (moment, share) in zip(axes, MOMENTS.items(), strict=True):
        at = updates[round(share * (len(updates) - 1))]
        colours = draw_moment(panel, real, kept[at])
        panel.set_title(f"{moment}: {at} updates", size=14)
    _explain(figure, axes, colours, 4)
    plots.save(figure, run.output / f"{name}.png")
    frames = []
    for at, shot in kept.items():
        figure, axes = plots.chart(4.8, 4.4)
        _explain(figure, [axes], draw_moment(axes, real, shot), 2)
        axes.set_title(f"{at} updates", size=14)
        frames.append(plots.save(figure, folder / f"{name}-{at:06}.png"))
    plots.animation(frames, run.output / f"{name}.gif", seconds_per_frame=0.2)


def _explain(figure, axes, colours, columns):
    """Add the legend below, and a bar of colours if there are any."""
    style = {"loc": "outside lower center", "ncols": columns, "frameon": False, "fontsize": 12}
    figure.legend(*axes[0].get_legend_handles_labels(), **style)
    if colours is not None:
        style = {"ticks": [0, 0.5, 1], "label": "$D(x)$", "pad": 0.02, "shrink": 0.9}
        figure.colorbar(colours, ax=axes, fraction=0.05 / len(axes), **style)


def total_variation(p, q):
    """Half the area between two densities on the line: 0 if they are equal, 1 if they are apart."""
    return float(0.5 * np.trapezoid(np.abs(p - q), LINE))


def main(argv=None):
    """Train, draw, measure; returns both models."""
    run = _run.parse(__doc__, argv, WITHOUT, **DEFAULTS)
    points, hills = _run.load(run)[0].images(), two_hills(20_000, run.seed)
    if points.shape[1:] != (2,):
        raise SystemExit(f"--dataset must hold points in a plane; {run.dataset!r} does not.")
    real, results = density(hills[:, 0], LINE), {}
    line, on_line = train(run, hills, take_line)
    draw(run, "line", draw_line, real, on_line)
    plane, on_plane = train(run, points, take_plane)
    draw(run, "plane", draw_plane, points, on_plane)
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
