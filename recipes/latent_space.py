r"""Latent arithmetic and interpolation: z1 + z2, z1 - z2 + z3, and lines between images.

    python -m recipes.latent_space
    python -m recipes.latent_space --dataset faces/beard --attribute full
    python -m recipes.latent_space --network convolutional --latent-dim 128

Trains an autoencoder on drawn faces, whose truth is known: by default one without hidden layers,
wide enough to keep every detail, so that adding a vector changes what it should and little else. A
convolutional one with fewer latents has smoother faces between faces, and loses the colour of the
eyes. Writes reconstructions, interpolations (linear and spherical), an attribute added step by step
(the mean latent of faces with it minus that of faces without), analogies, and the model. A judge
tells how often the attribute appears, and how often anything else changes.
"""

from pathlib import Path

import numpy as np

import kgen
from kgen import latent, plots
from recipes import _run

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


def draw(model, test, vector, attribute, history, folder):
    """Write the figures of the lecture."""
    z, _, has, lacks = directions(model, test, attribute)
    images, without, having = test.images(), np.flatnonzero(lacks), np.flatnonzero(has)

    def decoded(latents):
        flat = model.decode(latents.reshape(-1, model.latent_dim))
        return flat.reshape(*latents.shape[:-1], *model.image_shape)

    title, path = "Test images, encoded and decoded", folder / "reconstructions.png"
    plots.reconstructions(images[:10], decoded(z[:10]), title=title, path=path)
    a, b = z[without[:3]], z[having[:3]]
    lines = {"linear": latent.linear(a, b, 9), "spherical": latent.spherical(a, b, 9)}
    rows = decoded(np.stack(list(lines.values()), axis=1).reshape(6, 9, -1))
    title, path = "From one face to another through latent space", folder / "interpolation.png"
    plots.strips(rows, [*lines] * 3, title=title, path=path)
    amounts = np.linspace(0, 1.5, 7)
    rows = decoded(z[without[:6], None] + amounts[:, None] * vector)
    title = f"An attribute added: z + t v, v from {test.class_names[0]!r} to {attribute!r}"
    steps, path = [f"t = {t:g}" for t in amounts], folder / "attribute.png"
    plots.strips(rows, steps=steps, title=title, path=path)
    z1, z2, z3 = z[having[:6]], z[without[6:12]], z[without[12:18]]
    terms = {"z1": z1, "z2": z2, "z3": z3, "z1 + z2": latent.add(z1, z2)}
    terms["z1 − z2 + z3"] = latent.analogy(z1, z2, z3)
    terms["z3 + attribute"] = z3 + vector
    rows = decoded(np.stack(list(terms.values()), axis=1))
    title, path = "Arithmetic with three faces, and with means", folder / "arithmetic.png"
    plots.strips(rows, steps=list(terms), title=title, path=path)
    plots.losses(history, title="Training and validation", path=folder / "losses.png")


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


@_run.recipe(__doc__, **DEFAULTS)
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
    draw(model, test, vector, run.attribute, history, run.output)
    results = {"test loss": model.evaluate(test, verbose=0)["loss"]}
    if run.dataset.startswith("faces/"):
        factor = run.dataset.split("/")[1]
        results |= measure(model, test, vector, factor, run.attribute)
    what = f"Autoencoder: {run.latent_dim} latents, {run.reconstruction} loss, {run.network} "
    samples = model.reconstruct(test.images(64))
    _run.report(run, model, what + f"networks, {run.epochs} epochs.", results, samples)
    return model


if __name__ == "__main__":
    main()
