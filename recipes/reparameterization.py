r"""The reparameterisation trick: why a gradient passes through z = mu + sigma * eps, and how well.

    python -m recipes.reparameterization

Two figures: the computation graphs, and the spread of two unbiased estimators of the gradient of
E[f(z)], z ~ N(mu, sigma^2), f(z) = |z - x|^2 in d dimensions, where the exact gradient is known.
"""

from pathlib import Path

import numpy as np

from kgen import plots
from recipes import _command, _run

DEFAULTS = {"output": Path("outputs/reparameterization")}
WITHOUT = ("dataset", "image_size", "limit", "epochs", "batch_size", "precision", "jit", "resume")
WITHOUT += ("publish",)

SIZES, DIMS = 2 ** np.arange(11), 4 ** np.arange(5)  # samples per estimate; dimensions of z
NAMES, PARAMETERS = ("score function", "reparameterized"), (r"\mu_1", r"\log \sigma_1")
ROW = "{:13}{:4}{:7.2f}" + 2 * "{:11.2f} +- {:5.2f}{:11.1f}"
NODES = {"f(z)": (2, 6), "z": (2, 3), r"\mu": (0, 0), r"\sigma": (4, 0), r"\epsilon": (5.3, 3)}
DRAWN = {"~z -> f(z)": r"\partial f/\partial z", r"\mu -> z": "blocked", r"\sigma -> z": "blocked"}
COMPUTED = {"z -> f(z)": r"\partial f/\partial z", r"\mu -> z": r"\partial f/\partial z \cdot 1"}
COMPUTED |= {r"\sigma -> z": r"\partial f/\partial z \cdot \epsilon", r"~\epsilon -> z": None}
LABELS = (
    "$z \\sim N(\\mu, \\sigma^2)$ is drawn:\nthe gradient stops at $z$",
    "$z = \\mu + \\sigma\\epsilon$, only $\\epsilon \\sim N(0, 1)$ is drawn:\nthe gradient passes",
)


def exact(mu, log_sigma, x):
    """Gradients of E[f(z)] = |mu - x|^2 + |sigma|^2 for mu and for log sigma, `(d,)` each."""
    return 2 * (mu - x), 2 * np.exp(2 * log_sigma)


def reparameterized(mu, log_sigma, x, noise):
    """Gradients through z = mu + sigma * noise, one per sample: `(..., d)` each, as the noise."""
    sigma = np.exp(log_sigma)
    df_dz = 2 * (mu + sigma * noise - x)
    return df_dz, df_dz * sigma * noise  # dz/dmu = 1, dz/dlog sigma = sigma * noise


def score_function(mu, log_sigma, x, noise):
    """Gradients f(z) * grad log N(z; mu, sigma^2), one per sample, with no gradient of f."""
    sigma = np.exp(log_sigma)
    f = np.square(mu + sigma * noise - x).sum(axis=-1, keepdims=True)
    return f * noise / sigma, f * (noise**2 - 1)


def reparameterized_variance(mu, log_sigma, x):
    """Variances of the reparameterised gradients, `(d,)` each, the same whatever d is."""
    variance = np.exp(2 * log_sigma)
    return 4 * variance, 4 * (mu - x) ** 2 * variance + 8 * variance**2


def gradients(noise, at=(1, 0, 0)):
    """Gradients for mu_1 and log sigma_1 by either estimator where mu, log_sigma, x are `at`."""
    return np.stack([score_function(*at, noise), reparameterized(*at, noise)], axis=1)[..., 0]


def compare(run, rng):
    """Write estimates by sample size and variances by dimension; print the latter as a table."""
    samples = np.stack([gradients(rng.normal(size=(20, 500, d))) for d in DIMS], axis=-1)
    means = gradients(rng.normal(size=(200, 1024, 16))).cumsum(axis=-1)[..., SIZES - 1] / SIZES
    truths, variances = exact(1, 0, 0), reparameterized_variance(1, 0, 0)
    panels = []
    print("gradient        d  exact      score function   variance     reparameterized   variance")
    rows = zip(PARAMETERS, means, samples, truths, variances, strict=True)
    for name, mean, sample, truth, closed in rows:
        heading = plots.say("gradient for {name}", name=f"${name}$")
        estimates, spread = (SIZES, mean, NAMES, truth), (DIMS, sample.var(2), NAMES, closed)
        panels.append(plots.Bands(*estimates, heading=heading, xlabel="samples of 16 dimensions"))
        heading = "variance of one sample"
        panels.append(plots.Bands(*spread, heading=heading, xlabel="dimensions"))
        for j, d in enumerate(DIMS):
            stats = [(g.mean(), g.std() / np.sqrt(g.size), g.var()) for g in sample[..., j]]
            print(ROW.format(name.replace("\\", ""), d, truth, *np.ravel(stats)))
    title = "Reparameterised, the gradient is far less noisy, and no noisier in more dimensions"
    _run.slide(run, "variance", *panels, columns=2, title=title)


@_command.recipe(__doc__, WITHOUT, **DEFAULTS)
def main(run):
    """Write both figures and print the table."""
    _run.begin(run)
    path = run.output / f"graphs.{run.format}"
    title = "A drawn z stops the gradient; computed of drawn noise, it lets it pass"
    plots.computation_graph(NODES, DRAWN, COMPUTED, labels=LABELS, title=title, path=path)
    compare(run, np.random.default_rng(run.seed))
    _run.report(run, None, "", {})


if __name__ == "__main__":
    main()
