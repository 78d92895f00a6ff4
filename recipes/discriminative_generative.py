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
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

import kgen
from kgen import plots
from recipes import _command, _run

DEFAULTS = {
    "output": Path("outputs/discriminative_generative"),
    "image_size": 28,
    "components": {"default": 10, "help": "principal axes of each class"},
    "penalty": {"default": 1.0, "help": "of logistic regression, on half its squared weights"},
}
WITHOUT = ("epochs", "batch_size", "precision", "jit", "resume", "publish")
CLOUDS = [((-0.8, -0.4), 0.08), ((0.8, 0.4), -0.08)]  # per class: mean, covariance of x1 and x2
STRANGE = np.float32([[1.9, 1.9]])  # a point far from all of them


def discriminative(x, labels, penalty):
    """p(y|x): logistic regression, of rows that are centred: it converges faster."""
    regression = LogisticRegression(C=1 / penalty, max_iter=500, tol=1e-6)
    rows = FunctionTransformer(lambda x: x.reshape(len(x), -1))
    return make_pipeline(rows, StandardScaler(with_std=False), regression).fit(x, labels)


class Generative:
    """p(x|y), one Gaussian for each class, and p(y), the shares of the classes."""

    def __init__(self, x, labels, components):
        self.classes_, counts = np.unique(labels, return_counts=True)
        self._log_prior, self.models = np.log(counts / len(labels)), []
        for label, count in zip(self.classes_, counts, strict=True):
            axes = max(1, min(components, int(count) - 1, x[0].size))
            self.models.append(kgen.Gaussian(x.shape[1:], axes))
            self.models[-1].fit(x[labels == label], verbose=0)

    def log_joint(self, x):
        """Log of p(x|y) p(y): `(N, classes)`."""
        return np.stack([m.log_likelihood(x) for m in self.models], axis=1) + self._log_prior

    def log_likelihood(self, x):
        """Log of p(x), where p(x) is the sum of p(x|y) p(y) over the classes: `(N,)`."""
        return np.logaddexp.reduce(self.log_joint(x), axis=1)

    def predict_proba(self, x):
        """p(y|x) by Bayes' rule: `(N, classes)`."""
        return np.exp(self.log_joint(x) - self.log_likelihood(x)[:, None])


def clouds(n, seed):
    """Points of two classes, n of each, float32 `(2 * n, 2)`, and their labels."""
    random = np.random.default_rng(seed)
    points = [random.multivariate_normal(mean, [[0.2, c], [c, 0.2]], n) for mean, c in CLOUDS]
    return np.concatenate(points).astype("float32"), np.repeat([0, 1], n)


def draw_points(run, classifier, generative, points, labels):
    """Write p(y|x) over the data, p(x) over samples of p(x|y), and what both say of a new point."""
    ticks = np.linspace(-2.9, 2.9, 201, dtype="float32")
    plane = np.stack(np.meshgrid(ticks, ticks), axis=-1).reshape(-1, 2)
    p = classifier.predict_proba(np.concatenate([STRANGE, plane]))[:, 1]
    log_p = generative.log_likelihood(np.concatenate([STRANGE, plane]))
    texts = {"new": log_p[0], "usual": generative.log_likelihood(points).mean()}
    said = plots.say("$p(y = 1|x)$ = {p:.5f}", p=p[0])
    left = {"probability": p[1:].reshape(201, 201), "marks": {said: STRANGE[0]}}
    said = plots.say("$\\log p(x)$ = {new:.0f}; of data {usual:.0f}", **texts)
    right = {"density": np.exp(log_p[1:]).reshape(201, 201), "marks": {said: STRANGE[0]}}
    left |= {"heading": "discriminative: $p(y|x)$, and the data"}
    right |= {"heading": "generative: $p(x)$, and its samples"}
    right |= {"colors": dict.fromkeys("01", plots.GENERATED)}
    real = {str(y): points[labels == y] for y in (0, 1)}
    made = {str(y): generative.models[y].generate(len(points) // 2, seed=y) for y in (0, 1)}
    options = {"markers": {"0": "$0$", "1": "$1$"}, "size": 9, "legend": None}
    panels = [plots.Plane(real, ticks, **left, **options)]
    panels += [plots.Plane(made, ticks, **right, **options)]
    title = "Far from all data p(y|x) is sure of itself; p(x) says that this was never seen"
    _run.slide(run, "points", *panels, title=title)


def draw_images(run, classifier, generative, test):
    """Write samples of each class, and what is said of strange images; returns numbers of these."""
    names = test.class_names or [str(y) for y in range(test.num_classes)]
    rows = [test.images()[[np.flatnonzero(test.labels == y)[0] for y in generative.classes_]]]
    rows += list(np.stack([m.generate(3, seed=run.seed) for m in generative.models], axis=1))
    steps, of = [names[y] for y in generative.classes_[:10]], ["test images", *["generated"] * 3]
    panel = plots.Images(np.stack(rows)[:, :10], names=of, steps=steps)
    title = "What p(y|x) cannot do, p(x|y) can: draw an image of a class"
    _run.slide(run, "samples", panel, title=title)
    results, rows, notes, known = {}, [], [], None
    for name, images in {"test images": test.images(), **strange(run, test.images())}.items():
        p, log_p = classifier.predict_proba(images), generative.log_likelihood(images)
        known = log_p if known is None else known
        results[f"highest p(y|x), {name}"] = float(p.max(axis=1).mean())
        results[f"log p(x), {name}"] = float(log_p.mean())
        ours = np.arange(len(known) + len(log_p)) < len(known)
        results[f"AUROC of log p(x), {name}"] = roc_auc_score(ours, np.append(known, log_p))
        rows.append(images[:8])
        said = zip([names[y] for y in p.argmax(axis=1)], p.max(axis=1), log_p, strict=True)
        notes += [plots.Said(f"{y}: {sure:.0%}\n{log:,.0f}") for y, sure, log in list(said)[:8]]
    heading = "below each: its class, and how sure that is; $\\log p(x)$ in nats"
    options = {"names": [row.split(", ")[1] for row in results][::3], "heading": heading}
    title = "The classifier is {sure:.0%} sure of noise; log p(x) finds it out (AUROC {auroc:.2f})"
    fields = {"sure": results["highest p(y|x), noise"]}
    fields["auroc"] = results["AUROC of log p(x), noise"]
    panel = plots.Images(np.stack(rows), notes=notes, **options)
    _run.slide(run, "strange", panel, title=title, **fields)
    return results


def strange(run, images):
    """Images unlike those of training: inverted ones, those of another set, and noise."""
    name = "digits" if run.dataset.startswith("faces") else "faces"
    other = kgen.data.load(name, "test", images.shape[1], channels=images.shape[3])
    other = other.at_resolution(images.shape[1:3]).images()[: len(images)]
    noise = np.random.default_rng(run.seed).uniform(-1, 1, images.shape).astype("float32")
    return {"inverted": -images, name: other, "noise": noise}


@_command.recipe(__doc__, WITHOUT, **DEFAULTS)
def main(run):
    """Fit, draw, measure; returns both models of the images."""
    train, test = _run.load(run, labeled=True)
    (points, classes), fresh = clouds(150, run.seed), clouds(5000, run.seed + 1)
    plane = discriminative(points, classes, run.penalty), Generative(points, classes, 2)
    draw_points(run, *plane, points, classes)
    images, labels = train.images(), train.labels
    both = discriminative(images, labels, run.penalty), Generative(images, labels, run.components)
    results, seen = {}, (test.images(), test.labels)
    for name, (x, y), models in (("points", fresh, plane), ("test", seen, both)):
        for what, model in zip(("p(y|x)", "p(x|y)"), models, strict=True):
            right = model.classes_[model.predict_proba(x).argmax(axis=1)] == y
            results[f"accuracy, {name}, {what}"] = float(right.mean())
    _run.report(run, None, "", results | draw_images(run, *both, test))
    return both


if __name__ == "__main__":
    main()
