r"""Latent arithmetic and interpolation: z1 + z2, z1 - z2 + z3, and lines between images.

    python -m recipes.latent_space
    python -m recipes.latent_space --dataset faces/beard --attribute full
    python -m recipes.latent_space --network convolutional --latent-dim 128

Trains an autoencoder on drawn faces, whose truth is known: by default without hidden layers, wide
enough to keep every detail, so that a vector changes what it should. A convolutional one has
smoother faces between faces, and loses the colour of the eyes. Writes interpolations, an attribute
added step by step, analogies. A judge tells how often it appears, and what else changes.
"""

from pathlib import Path

import numpy as np

import kgen
from kgen import latent, plots
from recipes import _command, _run

DEFAULTS = {
    "output": Path("outputs/latent_space"),
    "dataset": "faces/glasses",
    "attribute": {"default": "round", "metavar": "CLASS", "help": "class added to the first one"},
    "image_size": 32,
    "epochs": 40,
    "batch_size": 64,
    "network": "shallow",
    "latent_dim": 512,
    "reconstruction": "mse",
    "learning_rate": 1e-3,
}


def sides(run, data):
    """Which images have the attribute, and which have the first class."""
    return data.labels == data.class_names.index(run.attribute), data.labels == 0


def draw(run, model, test, vector, share):
    """Write the figures of the lecture."""
    has, lacks = (test.images()[which] for which in sides(run, test))
    having, without = model.encode(has), model.encode(lacks)
    bright = without[np.argsort(-lacks.mean(axis=(1, 2, 3)))[:4]]  # where dark rims are seen
    rows = latent.decoded(model, latent.linear(bright, bright + 3 * vector, 7))
    rows = plots.Images(rows, steps=[f"t = {t:g}" for t in np.linspace(0, 3, 7)])
    title = "Adding {what}: z + t v, where v leads from the mean without to the mean with"
    if share is not None:
        title = "Adding {what}, z + t v: at t = 1, a judge says yes to {share:.0%}"
    what = plots.say(run.dataset.split("/")[-1])
    _run.slide(run, "attribute", rows, title=title, model=model, what=what, share=share)
    paths = [way(without[:2], having[:2], 9) for way in (latent.linear, latent.spherical)]
    rows = latent.decoded(model, np.stack(paths, axis=1).reshape(4, 9, -1))
    steps = [f"t = {t:g}" for t in np.linspace(0, 1, 9)]
    rows = plots.Images(rows, names=["linear", "spherical"] * 2, steps=steps)
    title = "From one image to another: (1 - t) z + t z', and along an arc"
    if run.network == "shallow":
        title = "From one image to another: what is linear fades one into the other"
    _run.slide(run, "interpolation", rows, title=title, model=model)
    z1, z2, z3 = having[:4], without[6:10], without[12:16]
    terms = {"$z_1$": z1, "$z_2$": z2, "$z_3$": z3, "$z_1 + z_2$": latent.add(z1, z2)}
    terms["$z_1 - z_2 + z_3$"] = latent.analogy(z1, z2, z3)
    terms["$z_3 + 2 v$"] = z3 + 2 * vector
    rows = latent.decoded(model, np.stack([*terms.values()], axis=1))
    title = "Differences of single images carry much else; the difference of means, v, does not"
    _run.slide(run, "arithmetic", plots.Images(rows, steps=list(terms)), title=title, model=model)


def measure(run, model, test, vector):
    """What adding the vector changes, says the judge, where the reconstruction keeps the face."""
    judge = kgen.metrics.judge("faces")
    factor = run.dataset.split("/")[1]
    images, lacks = test.images(), test.labels == 0
    z = model.encode(images)[lacks]
    plain, moved = model.decode(z), model.decode(z + vector)
    truth, before, after = (judge.labels(x) for x in (images[lacks], plain, moved))
    kept = np.all([before[name] == truth[name] for name in before], axis=0)
    results = {"faces whose reconstruction keeps every class": kept.mean()}
    wanted = judge.class_names[factor].index(run.attribute)
    results[f"gain {factor}={run.attribute}"] = np.mean(after[factor][kept] == wanted)
    results[f"gain any {factor}"] = np.mean(after[factor][kept] != 0)
    for name in [name for name in before if name != factor]:
        results[f"change {name}"] = np.mean(after[name][kept] != before[name][kept])
    real, before, after = (judge.values(x) for x in (images, plain, moved))
    for name in ("yaw", "tilt", "light", "light_strength"):
        shift = np.abs(after[name] - before[name])[kept] / real[name].std()
        results[f"move {name} [standard deviations, median]"] = np.median(shift)
    return {name: float(value) for name, value in results.items()}


@_command.recipe(__doc__, **DEFAULTS)
def main(run):
    """Train, draw, measure; returns the model."""
    images, test = _run.load(run)
    if run.attribute not in (images.class_names or [])[1:]:
        raise ValueError(
            "--attribute must be a class of a labelled set, but not its first; "
            f"{images.name!r} has {images.class_names}; got {run.attribute!r}."
        )
    has, lacks = sides(run, test)
    for name, some, least in ((test.class_names[0], lacks, 18), (run.attribute, has, 6)):
        if some.sum() < least:  # that the figures show
            raise ValueError(f"{some.sum()} test images of {name!r} are too few; {least} needed.")
    arguments = {name: vars(run)[name] for name in ("latent_dim", "reconstruction", "network")}
    model, history = _run.train(run, kgen.Autoencoder, arguments, images, test, "latent_space")
    vector = latent.attribute_vector(model.encode(images.images()), *sides(run, images))
    results = {"test loss": model.evaluate(test, verbose=0)["loss"]}
    if run.dataset.startswith("faces/"):
        results |= measure(run, model, test, vector)
    draw(run, model, test, vector, results.get(f"gain any {run.dataset.split('/')[-1]}"))
    _run.draw_losses(run, history, test.images(1).size)
    what = f"Autoencoder: {run.latent_dim} latents, {run.reconstruction} loss, {run.network} "
    what += f"networks, {run.epochs} epochs."
    _run.report(run, model, what, results, model.preview(10, run.seed, test.images(10)))
    return model


if __name__ == "__main__":
    main()
