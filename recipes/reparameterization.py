"""The reparameterisation trick: why a gradient passes through z = mu + sigma * eps, and how well.

Two figures: the computation graphs, and the spread of two unbiased estimators of the gradient of
E[f(z)], z ~ N(mu, sigma^2), f(z) = |z - x|^2 in d dimensions, where the exact gradient is known.
"""

import argparse
from pathlib import Path

import numpy as np
from matplotlib.lines import Line2D
from matplotlib.patches import Circle, RegularPolygon

from kgen import plots

SIZES, DIMENSIONS = 2 ** np.arange(11), 4 ** np.arange(5)  # samples per estimate; of z
NAMES = (r"$\mu_1$", "mu_1"), (r"$\log\,\sigma_1$", "log sigma_1")
DARK, RED, PALE, BLUE, SAND = "#262626", "#c8102e", "#efb3bd", "#dcebf7", "#fde3bd"
AT = {"f(z)": (3, 6), "z": (3, 3.4), r"\mu": (1, 0.8), r"\sigma": (5, 0.8), r"\epsilon": (6, 3.4)}
TOP = {("z", "f(z)"): r"\partial f/\partial z"}  # (parent, child): the gradient on its way back
DRAWN = TOP | {(r"\mu", "z"): r"\times", (r"\sigma", "z"): r"\times"}
COMPUTED = TOP | {(r"\mu", "z"): r"\partial f/\partial z \cdot 1", (r"\epsilon", "z"): ""}
COMPUTED |= {(r"\sigma", "z"): r"\partial f/\partial z \cdot \epsilon"}


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


def _first(function, d, *noise):
    """What a function above gives for mu_1 and log sigma_1 where mu = 1, sigma = 1, x = 0."""
    return np.stack(function(np.ones(d), np.zeros(d), np.zeros(d), *noise))[..., 0]


def _draw_graph(axes, title, random, edges):
    axes.set(xlim=(-0.6, 7.2), ylim=(-0.1, 6.9), aspect="equal")
    axes.set_title(title, size=14)
    axes.set_axis_off()
    nodes = {}
    for name in dict.fromkeys(name for edge in edges for name in edge):
        node = Circle(AT[name], 0.6) if name == random else RegularPolygon(AT[name], 4, radius=0.8)
        node.set(facecolor=SAND if name == random else BLUE, edgecolor=DARK, lw=1.5)
        nodes[name] = axes.add_patch(node)
        axes.text(*AT[name], f"${name}$", size=17, ha="center", va="center")
    for (parent, child), text in edges.items():
        blocked, side = text == r"\times", np.sign(AT[parent][0] - 3.5)
        arrows = [(parent, child, 0, DARK), (child, parent, -0.3 * side, PALE if blocked else RED)]
        for start, end, bend, colour in arrows if text else arrows[:1]:
            look = {"arrowstyle": "-|>", "mutation_scale": 20, "lw": 2, "color": colour}
            look |= {"connectionstyle": f"arc3,rad={bend}", "shrinkA": 3, "shrinkB": 3}
            look |= {"patchA": nodes[start], "patchB": nodes[end]}
            axes.annotate("", AT[end], AT[start], arrowprops=look)
        x, y = np.mean([AT[parent], AT[child]], axis=0)
        x, size = (x + 0.4 * side, 30) if blocked else (x + 1.4 * side, 15)
        label = f"${text}$" if text else ""
        axes.text(x, y + 0.3, label, color=RED, size=size, ha="center", va="center")


def draw_graphs(path):
    """Write the two computation graphs, side by side."""
    figure, (left, right) = plots.chart(10, 5.8, columns=2)
    title = "$z \\sim N(\\mu, \\sigma^2)$ is drawn:\nthe gradient stops at $z$"
    _draw_graph(left, title, "z", DRAWN)
    title = "$z = \\mu + \\sigma\\,\\epsilon$ is computed, $\\epsilon \\sim N(0, 1)$ is drawn:\n"
    _draw_graph(right, title + "the gradient passes", r"\epsilon", COMPUTED)
    node, line = {"ls": "", "mec": DARK, "ms": 12}, {"lw": 2}
    handles = [
        Line2D([], [], marker="D", mfc=BLUE, label="deterministic", **node),
        Line2D([], [], marker="o", mfc=SAND, label="random", **node),
        Line2D([], [], color=DARK, label="forward", **line),
        Line2D([], [], color=RED, label="gradient", **line),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=4, frameon=False, fontsize=12)
    plots.save(figure, path)


def compare_estimators(path, rng):
    """Write estimates by sample size and variances by dimension; print the latter as a table."""
    figure, axes = plots.chart(10, 7, rows=2, columns=2)
    truth, closed = _first(exact, 1), _first(reparameterized_variance, 1)
    gradients = []
    for estimator, colour in ((score_function, "C1"), (reparameterized, "C0")):
        look, band = {"color": colour}, {"color": colour, "alpha": 0.25, "lw": 0}
        look["label"] = estimator.__name__.replace("_", " ")
        by_size = [_first(estimator, 16, rng.normal(size=(200, m, 16))).mean(-1) for m in SIZES]
        by_d = [_first(estimator, d, rng.normal(size=(20, 500, d))) for d in DIMENSIONS]
        mean, std = np.mean(by_size, axis=-1).T, np.std(by_size, axis=-1).T
        spread = np.var(by_d, axis=-1).T  # batch, parameter, d
        for i, (left, right) in enumerate(axes):
            left.plot(SIZES, mean[i], **look)
            left.fill_between(SIZES, mean[i] - std[i], mean[i] + std[i], **band)
            right.plot(DIMENSIONS, spread[:, i].mean(0), "o-", **look)
            right.fill_between(DIMENSIONS, spread[:, i].min(0), spread[:, i].max(0), **band)
        gradients.append(np.reshape(by_d, (len(DIMENSIONS), 2, -1)))
    for i, (left, right) in enumerate(axes):
        left.axhline(truth[i], color=DARK, ls="--", lw=1, label="exact")
        right.axhline(closed[i], color=DARK, ls="--", lw=1, label="closed form")
        left.set_ylabel(f"gradient for {NAMES[i][0]}", size=12)
        right.set(yscale="log", ylabel="variance")
        for ax, base, label in ((left, 2, "samples"), (right, 4, "dimensions")):
            ax.set_xscale("log", base=base)
            ax.xaxis.set_major_formatter("{x:.0f}")
            ax.set_xlabel(label if i else "")
            ax.legend(frameon=False)
    axes[0, 0].set_title("mean and standard deviation, 16 dimensions")
    axes[0, 1].set_title("one sample's variance, range over 20 batches")
    plots.save(figure, path)

    print(f"{'gradient':13}{'d':>4}{'exact':>7}{'score function':>20}{'variance':>11}", end="")
    print(f"{'reparameterized':>20}{'variance':>11}")
    for i, j in np.ndindex(2, len(DIMENSIONS)):
        row = f"{NAMES[i][1]:13}{DIMENSIONS[j]:4}{truth[i]:7.2f}"
        for sample in (gradient[j, i] for gradient in gradients):
            error = sample.std() / np.sqrt(sample.size)
            row += f"{sample.mean():11.2f} +- {error:5.2f}{sample.var():11.1f}"
        print(row)


def main(argv=None):
    """Write both figures and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("outputs/reparameterization"))
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args(argv)
    draw_graphs(args.output / "graphs.png")
    compare_estimators(args.output / "variance.png", np.random.default_rng(args.seed))
    print(f"Figures: {args.output / 'graphs.png'}, {args.output / 'variance.png'}")


if __name__ == "__main__":
    main()
