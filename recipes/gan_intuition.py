r"""How a GAN learns: the figure of Goodfellow et al. (2014), on a line and in a plane.

    python -m recipes.gan_intuition
    python -m recipes.gan_intuition --dataset toy2d/ring --updates 4000

On a line: the densities of real and of generated points, the discriminator's probability D(x) that
a point is real beside the best one, p / (p + q), and where the generator moves its latents. In a
plane: D(x) as a map under the points, 1/2 at the equilibrium. Writes moments, and animations.
"""

from functools import partial
from pathlib import Path

import keras
import numpy as np
from keras.optimizers import Adam
from keras.optimizers.schedules import CosineDecay

import kgen
from kgen import plots
from kgen.callbacks import ProgressBar, Snapshots
from recipes import _command, _run
from recipes._flags import from_zero

DEFAULTS = {
    "output": Path("outputs/gan_intuition"),
    "dataset": {"default": "toy2d/moons", "help": "points in a plane: toy2d/ring, ..., or a file"},
    "batch_size": 256,
    "epochs": {"default": 200, "help": "parts of the training; after some of them is a picture"},
    "updates": 2000,
    "discriminator_steps": 3,
    "loss": "non_saturating",
    "penalty_weight": {"default": 0.05, "type": from_zero, "help": "of R1, against circling"},
    "learning_rate": {"default": 2e-3, "help": "of the discriminator; the generator's is 1/4"},
}
LINE = np.linspace(-3.5, 3.5, 281, dtype="float32")
TICKS = np.linspace(-1.5, 1.5, 101, dtype="float32")
PLANE = np.stack(np.meshgrid(TICKS, TICKS), axis=-1).reshape(-1, 2)


def train(run, points, take, name):
    """Fit a GAN to points `(N, D)`; returns it and what was taken, by updates."""
    keras.utils.set_random_seed(run.seed)
    dimension = points.shape[1]
    gan = kgen.GAN(
        (dimension,),
        latent_dim=dimension,
        loss=run.loss,
        penalty=kgen.losses.R1(run.penalty_weight),
        discriminator_steps=run.discriminator_steps,
        generator=kgen.networks.mlp_generator((dimension,), dimension, near_latents=True),
        average_decay=0.0,  # the generator of the moment is shown
    )
    updates = run.updates * run.discriminator_steps
    both = {
        "discriminator": Adam(CosineDecay(run.learning_rate, updates), 0.5, 0.9),
        "generator": Adam(CosineDecay(run.learning_rate / 4, run.updates), 0.5, 0.9),
    }
    gan.compile(both, jit_compile=_run.XLA[run.jit])
    seen = Snapshots(take, [0, *Snapshots.moments(run.epochs, 40, first=1)])
    options = {"batch_size": run.batch_size, "epochs": run.epochs, "verbose": 0}
    steps = max(run.updates // run.epochs, 1)
    gan.fit(points, steps_per_epoch=steps, callbacks=[seen, ProgressBar(name)], **options)
    return gan, {int(epoch) * steps: taken for epoch, taken in seen.kept.items()}


def take_line(gan):
    """Generated points, the discriminator's probabilities on the line, and where latents go."""
    latents = np.quantile(gan.latents(100_000, 1, seed=0), (np.arange(25) + 0.5) / 25)
    moved = gan.decode(latents[:, None].astype("float32"))[:, 0]
    return gan.generate(10_000, seed=0)[:, 0], gan.discriminate(LINE[:, None]), (latents, moved)


def take_plane(gan):
    """Generated points, and the discriminator's probabilities on the plane."""
    return gan.generate(600, seed=0), gan.discriminate(PLANE).reshape(len(TICKS), len(TICKS))


def draw(run, name, panel, kept, title, columns=None, **fields):
    """Write four moments as one figure, and all as an animation."""
    seen = [(plots.say("{n:,} updates", n=at), shot) for at, shot in kept.items()]
    some = np.unique(np.geomspace(1, len(seen), 4).round().astype(int) - 1)
    panels = [panel(*shot, heading=said) for said, shot in (seen[i] for i in some)]
    _run.slide(run, name, *panels, title=title, columns=columns, **fields)
    _run.animate(run, name, [(said, panel(*shot)) for said, shot in seen])


@_command.recipe(__doc__, ("image_size", "precision", "resume", "publish"), **DEFAULTS)
def main(run):
    """Train, draw, measure; returns both models."""
    points = _run.load(run)[0].images()
    if points.shape[1:] != (2,):
        raise ValueError(f"--dataset must hold points in a plane; {run.dataset!r} does not.")
    hills = kgen.data.toy2d.two_hills(20_000, run.seed)
    line, on_line = train(run, hills, take_line, "on a line")
    plane, on_plane = train(run, points, take_plane, "in a plane")
    real = hills[:, 0]
    far = [kgen.metrics.wasserstein_1d(fake, real[:10_000]) for fake, *_ in on_line.values()]
    near = [np.mean(kgen.metrics.nearest(x, points)[1] < 0.05) for x, _ in on_plane.values()]
    far, near = ({"begin": x[0], "end": x[-1]} for x in (far, near))
    title = "Generated points (q) move to real ones (p), from {begin:.2f} away to {end:.2f} (W)"
    draw(run, "line", partial(plots.Densities, LINE, real), on_line, title, 2, **far)
    title = "From {begin:.0%} to {end:.0%} of the generated points lie near real ones; "
    title += "white: D = 1/2"

    def panel(fake, probability, **options):
        clouds = {"generated points": fake[:300], "real points": points[:300]}
        return plots.Plane(clouds, TICKS, probability, legend=None, **options)

    draw(run, "plane", panel, on_plane, title, **near)
    error = float(np.abs(line.discriminate(hills) - 0.5).mean())
    results = {"line, mean of |D(x) - 1/2| at real points, end": error}
    results |= {f"line, Wasserstein distance of p and q, {name}": x for name, x in far.items()}
    results |= {f"plane, within 0.05 of a real point, {name}": float(x) for name, x in near.items()}
    _run.report(run, None, "", results)
    return line, plane


if __name__ == "__main__":
    main()
