r"""Discriminative beside generative: p(y|x) and p(x|y) of the same data, and what each can do.

    python -m recipes.discriminative_generative
    python -m recipes.discriminative_generative --dataset fashion_mnist --components 50

Logistic regression learns p(y|x). One Gaussian per class learns p(x|y), of which Bayes' rule,
p(y|x) = p(x|y) p(y) / p(x), makes a classifier. Writes both for points in a plane; for images, what
only p(x|y) can draw, and what either says of images of another kind.
"""

from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

import kgen
from kgen import plots
from recipes import _run

DEFAULTS = {
    "output": Path("outputs/discriminative_generative"),
    "image_size": 28,
    "components": {"default": 10, "help": "principal axes of each class"},
    "penalty": {
        "default": 1.0,
        "help": "of logistic regression, on half its squared weights",
    },
}
WITHOUT = ("epochs", "batch_size", "precision", "jit", "resume", "publish")
CLOUDS = [((-0.8, -0.4), 0.08), ((0.8, 0.4), -0.08)]  # per class: mean, covariance of x1 and x2
STRANGE = np.float32([[1.9, 1.9]])  # a point far from all of them


class Discriminative:
    """p(y|x): logistic regression."""

    def __init__(self, x, labels, penalty):
        self._model = LogisticRegression(C=1 / penalty, max_iter=500, tol=1e-6)
        self._mean = _rows(x).mean(axis=0)  # centred, it converges faster
        self._model.fit(_rows(x) - self._mean, labels)
        self.classes = self._model.classes_

    def posterior(self, x):
        """p(y|x): `(N, classes)`."""
        return self._model.predict_proba(_rows(x) - self._mean)


class Generative:
    """p(x|y), one Gaussian for each class, and p(y), the shares of the classes."""

    def __init__(self, x, labels, components):
        self.classes, counts = np.unique(labels, return_counts=True)
        self._log_prior, self.models = np.log(counts / len(labels)), []
        for label, count in zip(self.classes, counts, strict=True):
            axes = max(1, min(components, count - 1, _rows(x).shape[1]))
            self.models.append(kgen.Gaussian(x.shape[1:], int(axes)))
            self.models[-1].fit(x[labels == label], verbose=0)

    def log_joint(self, x):
        """Log of p(x|y) p(y): `(N, classes)`."""
        return np.stack([m.log_likelihood(x) for m in self.models], axis=1) + self._log_prior

    def log_likelihood(self, x):
        """Log of p(x), where p(x) is the sum of p(x|y) p(y) over the classes: `(N,)`."""
        return np.logaddexp.reduce(self.log_joint(x), axis=1)

    def posterior(self, x):
        """p(y|x) by Bayes' rule: `(N, classes)`."""
        return np.exp(self.log_joint(x) - self.log_likelihood(x)[:, None])


def _rows(x):
    return x.reshape(len(x), -1)


def clouds(n, seed):
    """Points of two classes, n of each, float32 `(2 * n, 2)`, and their labels."""
    random = np.random.default_rng(seed)
    points = [random.multivariate_normal(mean, [[0.2, c], [c, 0.2]], n) for mean, c in CLOUDS]
    return np.concatenate(points).astype("float32"), np.repeat([0, 1], n)


def draw_points(discriminative, generative, points, labels, path):
    """Write p(y|x) over the data, and p(x|y) over samples of it, each with its boundary."""
    figure, axes = plots.chart(13, 6.2, columns=2, xlabels=("$x_1$", "$x_1$"))
    ticks = np.linspace(-2.9, 2.6, 201, dtype="float32")
    plane = np.stack(np.meshgrid(ticks, ticks), axis=-1).reshape(-1, 2)
    p = discriminative.posterior(plane)[:, 1].reshape(201, 201)
    joint = generative.log_joint(plane).T.reshape(2, 201, 201)
    heat = axes[0].contourf(ticks, ticks, p, np.linspace(0, 1, 21), cmap="coolwarm", alpha=0.6)
    figure.colorbar(heat, ax=axes[0], ticks=[0, 0.5, 1], shrink=0.8, label="$p(y=1|x)$")
    for y, color in enumerate(("C0", "C3")):
        drawn = generative.models[y].generate(len(points) // 2, seed=y)
        for each, xy in zip(axes, (points[labels == y], drawn), strict=True):
            each.plot(*xy.T, "o", color=color, ms=5, mec="white", mew=0.6, label=f"y = {y}")
        rings = joint[y].max() - 0.5 * np.square([3, 2, 1])  # standard deviations
        axes[1].contour(ticks, ticks, joint[y], rings, colors=color, linestyles="-")
    confidence = discriminative.posterior(STRANGE).max()
    strange, usual = (generative.log_likelihood(x).mean() for x in (STRANGE, points))
    said = f"p(y|x) = {confidence:.4f}", f"log p(x) = {strange:.1f}\n(data: {usual:.1f})"
    titles = "Discriminative: $p(y|x)$, and the data", "Generative: $p(x|y)$, and its samples"
    balance = p - 0.5, joint[1] - joint[0]
    for each, text, title, difference in zip(axes, said, titles, balance, strict=True):
        each.contour(ticks, ticks, difference, [0], colors=plots.DARK, linewidths=2.5)
        each.plot([], [], color=plots.DARK, lw=2.5, label="boundary")
        each.plot(*STRANGE.T, "*", ls="", color="gold", ms=20, mec=plots.DARK, label=text)
        each.set(xlim=(-2.7, 2.5), ylim=(-2.9, 2.3), ylabel="$x_2$", aspect="equal")
        each.set_title(title, size=15)
        each.legend(loc="lower left", fontsize=12)
    plots.save(figure, path)


def draw_samples(generative, test, path):
    """Write test images of ten classes, and what is drawn from p(x|y) of each."""
    images, columns, names = test.images(), [], []
    for y, model in list(zip(generative.classes, generative.models, strict=True))[:10]:
        real = images[np.flatnonzero(test.labels == y)[[0, -1]]]
        columns.append(np.concatenate([real, model.generate(3, seed=int(y))]))
        names.append(test.class_names[y] if test.class_names else y)
    labels = ["test image"] * 2 + ["generated"] * 3
    title = "Real images of each class, and samples from its Gaussian $p(x|y)$"
    plots.strips(np.stack(columns, axis=1), labels, names, title=title, path=path)


def strange(run, images):
    """Images unlike those of training: inverted ones, those of another set, and noise."""
    height, width, channels = images.shape[1:]
    name = "digits" if run.dataset.startswith("faces") else "faces"
    other = kgen.data.load(name, "test", height, channels=channels)
    other = other.take(min(len(images), other.num_examples))
    other = other.at_resolution((height, width)).images()
    noise = np.random.default_rng(run.seed).uniform(-1, 1, images.shape).astype("float32")
    return {"inverted": -images, name: other, "noise": noise}


def judge(discriminative, generative, sets):
    """What is said of each image of each set: `{what: {set: (N,)}}`."""
    said = {
        "highest p(y|x)": lambda x: discriminative.posterior(x).max(axis=1),
        "highest p(y|x) by Bayes": lambda x: generative.posterior(x).max(axis=1),
        "log p(x)": generative.log_likelihood,
    }
    return {what: {name: fn(x) for name, x in sets.items()} for what, fn in said.items()}


def draw_strange(said, path):
    """Write how sure the one is of a class of each image, how likely the other finds the image."""
    xlabels = "$p(y|x)$ of the most likely class", r"$\log p(x)$ in nats"
    figure, axes = plots.chart(13, 5, columns=2, xlabels=xlabels)
    titles = "Discriminative: every image has a class", "Generative: strange images are unlikely"
    shown, random = (said["highest p(y|x)"], said["log p(x)"]), np.random.default_rng(0)
    for each, title, sets in zip(axes, titles, shown, strict=True):
        for i, values in enumerate(sets.values()):
            at = random.uniform(i - 0.3, i + 0.3, len(values))
            each.plot(values[:500], at[:500], ".", color=f"C{i}", alpha=0.5, ms=5)
        each.set_yticks(range(len(sets)), sets, size=13)
        each.set_title(title, size=15)
        each.xaxis.label.set_size(13)
        each.invert_yaxis()
    plots.save(figure, path)


def accuracy(model, x, labels):
    """Share of x whose class the model finds."""
    return float((model.classes[model.posterior(x).argmax(axis=1)] == labels).mean())


def measure(said):
    """The mean of what is said of each set, and how well that tells the set from the first."""
    results = {}
    for what, sets in said.items():
        first, *others = sets
        results |= {f"{what}, {name}": float(values.mean()) for name, values in sets.items()}
        for name in others:
            values = np.concatenate([sets[first], sets[name]])
            known = np.arange(len(values)) < len(sets[first])
            results[f"AUROC of {what}, {name}"] = float(roc_auc_score(known, values))
    return results


@_run.recipe(__doc__, WITHOUT, **DEFAULTS)
def main(run):
    """Fit, draw, measure; returns both models of the images."""
    train, test = _run.load(run, labeled=True)
    (points, classes), fresh = clouds(150, run.seed), clouds(5000, run.seed + 1)
    plane = Discriminative(points, classes, run.penalty), Generative(points, classes, 2)
    draw_points(*plane, points, classes, run.output / "points.png")
    images, labels = train.images(), train.labels
    discriminative = Discriminative(images, labels, run.penalty)
    both = discriminative, Generative(images, labels, run.components)
    draw_samples(both[1], test, run.output / "samples.png")
    said = judge(*both, {"test images": test.images(), **strange(run, test.images())})
    draw_strange(said, run.output / "strange.png")
    results = {}
    for data, models in ((("points", *fresh), plane), (("test", test.images(), test.labels), both)):
        for name, model in zip(("p(y|x)", "p(x|y)"), models, strict=True):
            results[f"accuracy, {data[0]}, {name}"] = accuracy(model, *data[1:])
    _run.report(run, None, "", results | measure(said))
    return both


if __name__ == "__main__":
    main()
