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
from kgen.data.toy2d import two_clouds
from recipes import _command, _run

DEFAULTS = {
    "output": Path("outputs/discriminative_generative"),
    "image_size": 28,
    "components": {"default": 10, "help": "principal axes of each class"},
    "penalty": {"default": 1.0, "help": "of logistic regression, on half its squared weights"},
}
WITHOUT = ("epochs", "batch_size", "precision", "jit", "resume", "publish")
STRANGE = np.float32([[1.9, 1.9]])  # a point far from all others


def fit(x, labels, penalty, components):
    """p(y|x), logistic regression; and p(x|y), one Gaussian for each class, with their shares."""
    rows = FunctionTransformer(lambda x: x.reshape(len(x), -1))
    centered = StandardScaler(with_std=False)  # converges faster
    regression = LogisticRegression(C=1 / penalty, max_iter=500, tol=1e-6)
    classifier = make_pipeline(rows, centered, regression).fit(x, labels)

    def gaussian(x):
        return kgen.Gaussian(x.shape[1:], max(1, min(components, len(x) - 1, x[0].size)))

    return classifier, kgen.bayes.GenerativeClassifier(gaussian).fit(x, labels, verbose=0)


def draw_points(run, classifier, densities, points, labels):
    """Write p(y|x) over the data, p(x) over samples of p(x|y), and what both say of a new point."""
    new, usual = (densities.log_likelihood(x).mean() for x in (STRANGE, points))
    sure = plots.say("$p(y = 1|x)$ = {p:.5f}", p=classifier.predict_proba(STRANGE)[0, 1])
    rare = plots.say("$\\log p(x)$ = {new:.0f}; of data {usual:.0f}", new=new, usual=usual)
    real = {str(y): points[labels == y] for y in (0, 1)}
    made = {str(y): densities.models[y].generate(len(points) // 2, seed=y) for y in (0, 1)}
    ticks = np.linspace(-2.9, 2.9, 201)
    left = {"heading": "discriminative: $p(y|x)$, and the data", "marks": {sure: STRANGE[0]}}
    left["probability"] = lambda x: classifier.predict_proba(x)[:, 1]
    right = {"heading": "generative: $p(x)$, and its samples", "marks": {rare: STRANGE[0]}}
    right["density"] = lambda x: np.exp(densities.log_likelihood(x))
    right["colors"] = dict.fromkeys(made, plots.GENERATED)
    looks = {"markers": {"0": "$0$", "1": "$1$"}, "size": 9, "legend": None}
    panels = [plots.Plane(real, ticks, **left, **looks), plots.Plane(made, ticks, **right, **looks)]
    title = "Far from all data p(y|x) is sure of itself; p(x) says that this was never seen"
    _run.slide(run, "points", *panels, title=title)


def draw_samples(run, densities, test, names):
    """Write a test image and three samples of each class, of ten at most."""
    made = np.stack([model.generate(3, seed=run.seed) for model in densities.models], axis=1)
    rows = np.concatenate([test.of_each_class().images()[None], made])[:, :10]
    panel = plots.Images(rows, names=["test images", *["generated"] * 3], steps=names[:10])
    title = "What p(y|x) cannot do, p(x|y) can: draw an image of a class"
    _run.slide(run, "samples", panel, title=title)


def draw_strange(run, classifier, densities, images, names):
    """Write what is said of test images and of strange ones; returns numbers of all."""
    other = "digits" if run.dataset.startswith("faces") else "faces"
    kinds = {"test images": images} | kgen.data.unfamiliar(images, other, run.seed)
    known = densities.log_likelihood(images)
    results, notes = {}, []
    for kind, x in kinds.items():
        p, log_p = classifier.predict_proba(x), densities.log_likelihood(x)
        results[f"highest p(y|x), {kind}"] = float(p.max(axis=1).mean())
        results[f"log p(x), {kind}"] = float(log_p.mean())
        ours = np.repeat([True, False], [len(known), len(log_p)])
        results[f"AUROC of log p(x), {kind}"] = roc_auc_score(ours, np.append(known, log_p))
        for of_one, log in zip(p[:8], log_p[:8], strict=True):
            notes.append(plots.Said(f"{names[of_one.argmax()]}: {of_one.max():.0%}\n{log:,.0f}"))
    heading = "below each: its class, and how sure that is; $\\log p(x)$ in nats"
    rows = np.stack([x[:8] for x in kinds.values()])
    panel = plots.Images(rows, names=list(kinds), notes=notes, heading=heading)
    title = "The classifier is {sure:.0%} sure of noise; log p(x) finds it out (AUROC {auroc:.2f})"
    noise = {"sure": results["highest p(y|x), noise"], "auroc": results["AUROC of log p(x), noise"]}
    _run.slide(run, "strange", panel, title=title, **noise)
    return results


@_command.recipe(__doc__, WITHOUT, **DEFAULTS)
def main(run):
    """Fit, draw, measure; returns both models of the images."""
    train, test = _run.load(run, labeled=True)
    points, classes = two_clouds(150, run.seed)
    plane = fit(points, classes, run.penalty, 2)
    draw_points(run, *plane, points, classes)
    both = fit(train.images(), train.labels, run.penalty, run.components)
    sets = {"points": (plane, *two_clouds(5000, run.seed + 1))}
    sets["test"] = both, test.images(), test.labels
    results = {}
    for name, (models, x, y) in sets.items():
        for what, model in zip(("p(y|x)", "p(x|y)"), models, strict=True):
            results[f"accuracy, {name}, {what}"] = float((model.predict(x) == y).mean())
    names = test.class_names or [str(y) for y in range(test.num_classes)]
    draw_samples(run, both[1], test, names)
    results |= draw_strange(run, *both, test.images(), names)
    _run.report(run, None, "", results)
    return both


if __name__ == "__main__":
    main()
