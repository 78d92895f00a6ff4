r"""Latent arithmetic and interpolation: z1 + z2, z1 - z2 + z3, and lines between images.

    python -m recipes.latent_space
    python -m recipes.latent_space --dataset faces/beard --attribute full
    python -m recipes.latent_space --network convolutional --latent-dim 128

Trains an autoencoder on drawn faces, whose truth is known: by default one without hidden layers,
wide enough to keep every detail, so that adding a vector changes what it should and little else. A
convolutional one with fewer latents has smoother faces between faces, and loses the colour of the
eyes. Writes interpolations (linear and spherical), an attribute added step by step
(the mean latent of faces with it minus that of faces without), analogies, and the model. A judge
tells how often the attribute appears, and how often anything else changes.
"""

import math
from pathlib import Path

import numpy as np

import kgen
from kgen import latent, plots
from recipes import _command, _run

DEFAULTS = {
    "output": Path("outputs/latent_space"),
    "dataset": "faces/glasses",
    "attribute": {
        "default": "round",
        "metavar": "CLASS",
        "help": "class of the dataset that is added, against the dataset's first one",
    },
    "image_size": 32,
    "epochs": 40,
    "batch_size": 64,
    "network": "shallow",
    "latent_dim": 512,
    "reconstruction": "mse",
    "learning_rate": 1e-3,
}


def directions(model, data, attribute):
    """Latents of images, the attribute's vector, and who has it and who has the first class."""
    z, labels = model.encode(data.images()), data.labels
    has, lacks = labels == data.class_names.index(attribute), labels == 0
    chosen = has | lacks
    return z, latent.attribute_vector(z[chosen], has[chosen]), has, lacks


def draw(run, model, test, vector, history, share):
    """Write the figures of the lecture."""
    z, _, has, lacks = directions(model, test, run.attribute)
    without, having = np.flatnonzero(lacks), np.flatnonzero(has)

    def decoded(latents):
        flat = model.decode(latents.reshape(-1, model.latent_dim))
        return flat.reshape(*latents.shape[:-1], *model.image_shape)

    amounts = np.linspace(0, 3, 7)
    rows = plots.Images(
        decoded(z[without[:4], None] + amounts[:, None] * vector),
        steps=[f"t = {t:g}" for t in amounts],
    )
    title = "Adding {what}: z + t v, where v leads from the mean without to the mean with"
    if share is not None:
        title = "Adding {what}, z + t v: at t = 1, a judge says yes to {share:.0%}"
    what = {"what": plots.say(run.dataset.split("/")[-1]), "share": share}
    _run.slide(run, "attribute", rows, title=title, model=model, **what)
    a, b, t = z[without[:2]], z[having[:2]], np.linspace(0, 1, 9)
    ways = {"linear": latent.linear(a, b, 9), "spherical": latent.spherical(a, b, 9)}
    rows = decoded(np.stack([*ways.values()], axis=1).reshape(4, 9, -1))
    rows = plots.Images(rows, names=[*ways] * 2, steps=[f"t = {t:g}" for t in t])
    title = "From one image to another: (1 - t) z + t z', and along an arc"
    if run.network == "shallow":
        title = "From one image to another: what is linear fades one into the other"
    _run.slide(run, "interpolation", rows, title=title, model=model)
    z1, z2, z3 = z[having[:4]], z[without[6:10]], z[without[12:16]]
    terms = {"$z_1$": z1, "$z_2$": z2, "$z_3$": z3, "$z_1 + z_2$": latent.add(z1, z2)}
    terms["$z_1 - z_2 + z_3$"] = latent.analogy(z1, z2, z3)
    terms["$z_3 + 2 v$"] = z3 + 2 * vector
    rows = plots.Images(decoded(np.stack([*terms.values()], axis=1)), steps=list(terms))
    title = "Differences of single images carry much else; the difference of means, v, does not"
    _run.slide(run, "arithmetic", rows, title=title, model=model)
    _run.draw_losses(run, history, math.prod(model.image_shape))


def measure(model, test, vector, factor, attribute):
    """What adding the vector changes, says the judge, where the reconstruction keeps the face."""
    judge, names = kgen.metrics.judge("faces"), list(kgen.data.faces.FACTORS)
    z, _, _, lacks = directions(model, test, attribute)
    z = z[lacks]
    images, plain, moved = test.images()[lacks], model.decode(z), model.decode(z + vector)
    truth, before, after = (judge.labels(x) for x in (images, plain, moved))
    kept = np.logical_and.reduce([before[name] == truth[name] for name in before])
    index = judge.class_names[factor].index(attribute)
    results = {"faces whose reconstruction keeps every class": float(kept.mean())}
    results[f"gain {factor}={attribute}"] = float((after[factor][kept] == index).mean())
    results[f"gain any {factor}"] = float((after[factor][kept] != 0).mean())
    for name in [n for n in names if n in before and n != factor]:
        results[f"change {name}"] = float((after[name] != before[name])[kept].mean())
    spread, values = judge.values(test.images()), (judge.values(plain), judge.values(moved))
    for name in ("yaw", "tilt", "light", "light_strength"):
        shift = np.abs(values[1][name] - values[0][name])[kept] / spread[name].std()
        results[f"move {name} [standard deviations, median]"] = float(np.median(shift))
    return results


@_command.recipe(__doc__, **DEFAULTS)
def main(run):
    """Train, draw, measure; returns the model."""
    images, test = _run.load(run)
    if run.attribute not in (images.class_names or [])[1:]:
        raise ValueError(
            "--attribute must be a class of a labelled set, but not its first; "
            f"{images.name!r} has {images.class_names}; got {run.attribute!r}."
        )
    first = test.class_names[0]
    for name, least in ((first, 18), (run.attribute, 6)):  # that the figures show
        if (found := int(np.sum(test.labels == test.class_names.index(name)))) < least:
            raise ValueError(f"{found} test images of {name!r} are too few; {least} are needed.")
    arguments = {name: vars(run)[name] for name in ("latent_dim", "reconstruction", "network")}
    model, history = _run.train(run, kgen.Autoencoder, arguments, images, test, "latent_space")
    _, vector, _, _ = directions(model, images, run.attribute)
    results, share = {"test loss": model.evaluate(test, verbose=0)["loss"]}, None
    if run.dataset.startswith("faces/"):
        factor = run.dataset.split("/")[1]
        results |= measure(model, test, vector, factor, run.attribute)
        share = results[f"gain any {factor}"]
    draw(run, model, test, vector, history, share)
    what = f"Autoencoder: {run.latent_dim} latents, {run.reconstruction} loss, {run.network} "
    samples = model.preview(10, run.seed, test.images(10))
    _run.report(run, model, what + f"networks, {run.epochs} epochs.", results, samples)
    return model


if __name__ == "__main__":
    main()
