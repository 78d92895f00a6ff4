r"""Two players who both learn: on a saddle they circle, and a loss that is right can be flat.

    python -m recipes.two_players

Two figures without networks. On the saddle V(x, y) = x y, what a GAN is near its equilibrium
(Mescheder et al., 2018, section 2), gradient steps at the same time spiral outwards, steps by turns
circle, and R1, a penalty of the discriminator, turns them inwards; also animated. The generator's
two losses, minimax and non-saturating (Goodfellow et al., 2014, section 3), and their slopes.
"""

from pathlib import Path

import numpy as np

from kgen import plots
from recipes import _command, _run

DEFAULTS = {
    "output": Path("outputs/two_players"),
    "updates": {"default": 140, "help": "steps of both players on the saddle"},
    "learning_rate": {"default": 0.1, "help": "of both players"},
}
WITHOUT = ("dataset", "image_size", "limit", "epochs", "batch_size", "precision", "jit", "resume")
WITHOUT += ("publish",)
WAYS = {"at the same time": {}, "by turns": {"by_turns": True}}
WAYS["at the same time, R1"] = {"penalty": 0.3}


def saddle(steps, rate=0.1, by_turns=False, penalty=0.0):
    """The path of two players, x descends x y, y ascends x y - penalty y^2 / 2."""
    path = [(1.0, 0.0)]
    for _ in range(steps):
        x, y = path[-1]
        up = y + rate * (x - penalty * y)
        path.append((x - rate * (up if by_turns else y), up))
    return np.array(path)


def draw_saddle(run):
    """Write where each way to take steps leads, and the way there; returns the paths by name."""
    paths = {name: saddle(run.updates, run.learning_rate, **way) for name, way in WAYS.items()}
    at = np.linspace(-1.1, 1.1, 46) * max(np.abs(path).max() for path in paths.values())
    labels = {"xlabel": "generator, descends", "ylabel": "discriminator, ascends"}

    def panel(n):
        begun = {name: path[: n + 1] for name, path in paths.items()}
        return plots.Paths(begun, at, at, np.outer(at, at), **labels)

    title = "On a saddle, steps at the same time spiral outwards; a penalty turns them inwards"
    _run.slide(run, "saddle", panel(run.updates), title=title)
    moments = np.unique(np.linspace(0, run.updates, 36).round().astype(int)).tolist()
    frames = [(plots.say("{n} steps", n=n), panel(n)) for n in moments]
    _run.animate(run, "saddle", frames, 0.1)
    return paths


def draw_losses(run):
    """Write what the generator minimizes by D(G(z)), and the slopes by the score, log D/(1 - D)."""
    d = np.linspace(0.01, 0.99, 99)
    losses = {"minimax": (d, np.log(1 - d)), "non-saturating": (d, -np.log(d))}
    slopes = {"minimax": (d, d), "non-saturating": (d, 1 - d)}
    options = {"xlabel": "D(G(z)): what D gives a generated image", "log": False}
    panels = [
        plots.Curves(losses, ylabel="loss of the generator", **options),
        plots.Curves(slopes, ylabel="its slope by the score of D", legend=None, **options),
    ]
    title = "Where D is sure (left), minimax has no slope, and non-saturating its steepest"
    _run.slide(run, "losses", *panels, title=title)


@_command.recipe(__doc__, WITHOUT, **DEFAULTS)
def main(run):
    """Draw; returns the paths on the saddle by name."""
    _run.begin(run)
    draw_losses(run)
    paths = draw_saddle(run)
    far = {name: float(np.linalg.norm(path[-1])) for name, path in paths.items()}
    _run.report(run, None, "", {f"distance from the saddle, {name}": d for name, d in far.items()})
    return paths


if __name__ == "__main__":
    main()
