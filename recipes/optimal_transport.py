r"""Optimal transport on a line, beside the Jensen-Shannon divergence: two ways to be apart.

    python -m recipes.optimal_transport
    python -m recipes.optimal_transport --sigma 0.2

Nothing is trained. The Wasserstein distance is what the cheapest transport of one distribution to
another costs; on a line, points go to each other in their order. Writes such a transport, beside
the distance and the Jensen-Shannon divergence of two Gaussians that move apart: the divergence,
which a GAN's discriminator estimates, ends at log 2, so nothing says any more which way is nearer
(Arjovsky et al., 2017, section 2). What critics estimate of the distance: `recipes.wgan`.
"""

from pathlib import Path

import numpy as np
from scipy import stats

import kgen
from kgen import plots
from recipes import _command, _run

DEFAULTS = {
    "output": Path("outputs/optimal_transport"),
    "points": {"default": 10_000, "help": "real points, and generated ones"},
    "sigma": {"default": 0.5, "help": "standard deviation of the Gaussians; also a tenth of it"},
}
WITHOUT = ("dataset", "image_size", "limit", "epochs", "batch_size", "precision", "jit", "resume")
WITHOUT += ("publish",)


def divergence(shift, sigma):
    """Jensen-Shannon divergence of N(shift, sigma^2) from N(0, sigma^2)."""
    x = np.linspace(-10 * sigma, shift + 10 * sigma, 4001)
    p = stats.norm.pdf(x, 0, sigma)
    q = stats.norm.pdf(x, shift, sigma)
    return kgen.metrics.jensen_shannon(p, q, x)


def distances(sigma):
    """A panel of how far apart two Gaussians are, by their shift."""
    shifts = np.linspace(0, 4.1, 300)
    curves = {"Wasserstein": shifts}
    for width in (sigma, sigma / 10):
        name = plots.say("Jensen-Shannon, $\\sigma$ = {s:g}", s=width)
        curves[name] = [divergence(shift, width) for shift in shifts]
    return plots.Curves(
        curves,
        shifts,
        levels={"log 2: no gradient": np.log(2)},
        log=False,
        xlabel="shift",
        ylabel="distance of two Gaussians",
    )


@_command.recipe(__doc__, WITHOUT, **DEFAULTS)
def main(run):
    """Draw; returns the distance of the points."""
    _run.begin(run)
    real = kgen.data.toy2d.two_hills(run.points, run.seed)[:, 0]
    generated = 0.5 * np.random.default_rng(run.seed).standard_normal(run.points)
    distance = kgen.metrics.wasserstein_1d(real, generated)
    heading = plots.say("cheapest transport: W = {w:.2f}", w=distance)
    transport = plots.Transport(generated, real, xlabel="$x$", heading=heading)
    title = "Transport says how far to go; Jensen-Shannon, once they are apart, only that they are"
    _run.slide(run, "optimal_transport", transport, distances(run.sigma), title=title)
    _run.report(run, None, "", {"Wasserstein distance of the points": distance})
    return distance


if __name__ == "__main__":
    main()
