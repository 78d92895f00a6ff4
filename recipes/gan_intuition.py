r"""How a GAN learns: the figure of Goodfellow et al. (2014), on a line and in a plane.

    python -m recipes.gan_intuition
    python -m recipes.gan_intuition --dataset toy2d/ring --updates 4000
    python -m recipes.gan_intuition --discriminator-steps 1 --loss minimax

On a line: the densities of real and of generated points, the discriminator's probability D(x) that
a point is real beside the best one, p / (p + q), and the lines along which the generator moves its
latents. In a plane: D(x) as a map under the points. Writes four moments of each, and animations. At
the equilibrium D is 1/2 everywhere; R1, a penalty of its slope at real points, helps to get there.
"""

from functools import partial
from pathlib import Path

import keras
import numpy as np

import kgen
from kgen import plots
from kgen.callbacks import ProgressBar, Snapshots
from kgen.data.toy2d import two_hills
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
WITHOUT = ("image_size", "precision", "resume", "publish")
LINE = np.linspace(-3.5, 3.5, 281, dtype="float32")
TICKS = np.linspace(-1.5, 1.5, 101, dtype="float32")
PLANE = np.stack(np.meshgrid(TICKS, TICKS), axis=-1).reshape(-1, 2)


def generator(dimension):
    """A network that begins near x = z on a line, x = z / 2 in a plane: a Gaussian cloud."""
    latents = keras.Input((dimension,))
    both = [
        keras.layers.Rescaling(1 / dimension),
        kgen.networks.mlp_generator((dimension,), dimension),
    ]
    return keras.Model(latents, keras.layers.Add()([part(latents) for part in both]))


def train(run, points, take, name):
    """Fit a GAN to points `(N, D)`; returns it and what was taken, by updates."""
    keras.utils.set_random_seed(run.seed)
    dimension, k = points.shape[1], run.discriminator_steps
    networks = {"generator": generator(dimension), "average_decay": 0.0}  # that of the moment
    penalty = {"penalty": kgen.losses.R1(run.penalty_weight), "discriminator_steps": k}
    gan = kgen.GAN((dimension,), loss=run.loss, latent_dim=dimension, **networks, **penalty)
    rates = {"discriminator": (run.learning_rate, run.updates * k)}
    rates["generator"] = run.learning_rate / 4, run.updates
    fall, adam = keras.optimizers.schedules.CosineDecay, keras.optimizers.Adam
    both = {player: adam(fall(*rate), 0.5, 0.9) for player, rate in rates.items()}
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


@_command.recipe(__doc__, WITHOUT, **DEFAULTS)
def main(run):
    """Train, draw, measure; returns both models."""
    points, hills = _run.load(run)[0].images(), two_hills(20_000, run.seed)
    if points.shape[1:] != (2,):
        raise ValueError(f"--dataset must hold points in a plane; {run.dataset!r} does not.")
    line, on_line = train(run, hills, take_line, "on a line")
    plane, on_plane = train(run, points, take_plane, "in a plane")
    ends, hills = {"begin": 0, "end": -1}, hills[:, 0]
    far = [kgen.metrics.wasserstein_1d(fake, hills[:10_000]) for fake, *_ in on_line.values()]
    near = [kgen.metrics.nearest(cloud, points)[1] < 0.05 for cloud, _ in on_plane.values()]
    far, near = ({name: float(np.mean(x[i])) for name, i in ends.items()} for x in (far, near))
    title = "Generated points (q) move to real ones (p), from {begin:.2f} away to {end:.2f} (W)"
    draw(run, "line", partial(plots.Densities, LINE, hills), on_line, title, 2, **far)
    title = (
        "From {begin:.0%} to {end:.0%} of the generated points lie near real ones; white: D = 1/2"
    )

    def panel(fake, probability, **options):
        clouds = {"generated points": fake[:300], "real points": points[:300]}
        return plots.Plane(clouds, TICKS, probability, legend=None, **options)

    draw(run, "plane", panel, on_plane, title, **near)
    error = float(np.abs(line.discriminate(hills[:, None]) - 0.5).mean())
    results = {"line, mean of |D(x) - 1/2| at real points, end": error}
    results |= {f"line, Wasserstein distance of p and q, {name}": x for name, x in far.items()}
    results |= {f"plane, within 0.05 of a real point, {name}": x for name, x in near.items()}
    _run.report(run, None, "", results)
    return line, plane


if __name__ == "__main__":
    main()
