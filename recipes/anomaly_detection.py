r"""Anomaly detection: a class that was not in training is found by how unlikely its images are.

    python -m recipes.anomaly_detection
    python -m recipes.anomaly_detection --dataset faces/background --left-out sea --latent-dim 32

Scores test images by an autoencoder, a VAE, a Gaussian, and scikit-learn's isolation forest on the
pixels, all of the same images. Writes ROC curves beside the images that the VAE finds least and
most anomalous, and a scene that something crosses. What is left out must change many pixels: faces
at the sea are found (AUROC of 0.74 to 0.80 with --epochs 5 --limit 3000), glasses are not (0.52).
"""

from pathlib import Path

import numpy as np
from sklearn.ensemble import IsolationForest

import kgen
from kgen import plots
from recipes import _command, _run

DEFAULTS = {
    "output": Path("outputs/anomaly_detection"),
    "left_out": {"default": "3", "metavar": "CLASS", "help": "class kept out, by name or number"},
    "image_size": 28,
    "epochs": 20,  # about where the loss of normal test images is least
    "batch_size": 64,
    "latent_dim": 16,
    "reconstruction": "gaussian",  # a learned sigma: the VAE's bound is one on log p(x)
    "network": "convolutional",
    "components": 32,
    "trees": {"default": 200, "help": "trees of the isolation forest"},
    "learning_rate": 2e-3,
}
SCORES = {
    "autoencoder's reconstruction": "autoencoder",
    "VAE's bound": "vae",
    "Gaussian's likelihood": "gaussian",
}
COLORS = {name: plots.FAMILIES[family] for name, family in SCORES.items()}


def fit(run, images, normal):
    """Fit everything to images of the kept classes: each model, and each score's function."""
    arguments = {name: vars(run)[name] for name in ("latent_dim", "reconstruction", "network")}
    models = {"gaussian": kgen.Gaussian(images.image_shape, run.components, seed=run.seed)}
    models["gaussian"].fit(images, verbose=0)
    models["gaussian"].save(run.output / "gaussian.keras")
    for name, model in (("autoencoder", kgen.Autoencoder), ("vae", kgen.VAE)):
        models[name], _ = _run.train(run, model, arguments, images, normal, name)
    forest = IsolationForest(n_estimators=run.trees, random_state=run.seed)
    forest.fit(images.images().reshape(images.num_examples, -1))
    scores = {name: models[family].anomaly_score for name, family in SCORES.items()}
    scores["isolation forest"] = lambda x: -forest.score_samples(x.reshape(len(x), -1))
    return models, scores


def draw(run, vae, found, aurocs, images, anomalous, name):
    """Write ROC curves beside the extremes by the VAE's bound, and a scene over time."""
    bound = found["VAE's bound"]
    heading = plots.say("in the order of the VAE; framed: {name}, left out", name=name)
    options = {"names": ["least anomalous", "", "most anomalous", ""], "heading": heading}
    extremes = plots.Images.extremes(images, bound, anomalous, name, **options)
    labels = {"xlabel": "normal images called anomalous", "ylabel": "anomalous images found"}
    roc = plots.Roc(found, anomalous, COLORS, share=0.8, **labels)
    best = max(aurocs, key=lambda name: aurocs[name].value)
    fields = {"score": plots.say(best), "auroc": aurocs[best].value}
    title = "What was never seen is found: {score}, AUROC {auroc:.2f}"
    _run.slide(run, "roc", roc, extremes, title=title, model=vae, **fields)
    still, moving = (
        images[kind][np.argsort(bound[kind])[kind.sum() // 2]] for kind in (~anomalous, anomalous)
    )
    frames = scene(still, moving)
    scores = vae.anomaly_score(frames)
    usual = np.quantile(bound[~anomalous], 0.95)
    options = {"colors": COLORS, "levels": {"95 % of normal images lie below": usual}}
    options |= {"xlabel": "time", "ylabel": "anomaly score", "log": False, "legend": None}
    curve = plots.Curves({"VAE's bound": scores}, shape=0.3, **options)
    alarm = scores > usual
    frames = plots.Images.marked(frames[None], alarm, "alarm")
    title = "What was not in training crosses the scene: alarm in {n} of {of} images"
    fields = {"n": alarm.sum(), "of": len(alarm)}
    _run.slide(run, "scene", curve, frames, columns=1, title=title, model=vae, **fields)


def scene(still, moving, steps=11):
    """A scene over time: an image, and another one that crosses it from left to right."""
    width = still.shape[1]
    road = np.pad(moving, ((0, 0), (width, width), (0, 0)), constant_values=-1)
    starts = np.linspace(2 * width, 0, steps).round().astype(int)
    return np.stack([np.maximum(still, road[:, at : at + width]) for at in starts])


@_command.recipe(__doc__, **DEFAULTS)
def main(run):
    """Train, score, draw; returns the VAE."""
    images, test = _run.load(run, labeled=True)
    index = images.class_index(run.left_out)
    left_out = str(images.class_names[index] if images.class_names else index)
    images = images.at(np.flatnonzero(images.labels != index))
    normal = test.at(np.flatnonzero(test.labels != index))
    strange = test.at(np.flatnonzero(test.labels == index))
    models, score = fit(run, images, normal)
    both = np.concatenate([normal.images(), strange.images()])
    anomalous = np.arange(len(both)) >= normal.num_examples
    found = {name: fn(both) for name, fn in score.items()}
    aurocs = {name: kgen.metrics.auroc(scores, anomalous) for name, scores in found.items()}
    draw(run, models["vae"], found, aurocs, both, anomalous, left_out)
    results = {"normal test images": normal.num_examples}
    results["anomalous test images"] = strange.num_examples
    for name, auroc in aurocs.items():
        results[f"AUROC, {name}"] = auroc.value
        results[f"standard error, {name}"] = auroc.standard_error
    what = f"Variational autoencoder that has not seen {left_out}: {run.latent_dim} latents, "
    what += f"{run.reconstruction} reconstruction, {run.network} networks, {run.epochs} epochs."
    _run.report(run, models["vae"], what, results)
    return models["vae"]


if __name__ == "__main__":
    main()
