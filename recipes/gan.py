r"""The GAN of the lecture, Algorithm 1 of Goodfellow et al. (2014), with fully connected networks.

    python -m recipes.gan
    python -m recipes.gan --loss minimax
    python -m recipes.gan --optimizer momentum --learning-rate 0.1
    python -m recipes.gan --dataset fashion_mnist --epochs 30 --batch-size 128

Writes Algorithm 1 beside the lines that run it; images with what the discriminator says of them
while it learns; losses and scores beside their equilibrium; samples and the nearest training images
beside them; and the model.
"""

from functools import partial
from pathlib import Path

import keras
import numpy as np

import kgen
from kgen import plots
from kgen.callbacks import SampleGrid, Snapshots
from recipes import _command, _run
from recipes._flags import one_of

OPTIMIZERS = {
    "adam": partial(keras.optimizers.Adam, beta_1=0.5),
    "momentum": partial(keras.optimizers.SGD, momentum=0.5),  # the authors' code begins so
}
DEFAULTS = {
    "output": Path("outputs/gan"),
    "image_size": 28,
    "epochs": 150,
    "batch_size": 128,  # in batches of 64, of three seeds one collapses
    "loss": "non_saturating",
    "discriminator_steps": 1,
    "optimizer": one_of(OPTIMIZERS, "of both players; momentum: as in 2014", default="adam"),
    "learning_rate": {"default": 1e-3, "help": "of both players"},
    "augment": "translation",  # 4,000 images are few
    "samples": 2000,
}
EQUILIBRIUM = {  # discriminator's and generator's loss where D(x) = 1/2 everywhere
    "minimax": (np.log(4), -np.log(2)),
    "non_saturating": (np.log(4), np.log(2)),
}
ALGORITHM = [  # a line for each of `kgen.GAN.update`
    "k times: take real images x,",
    "    make images G(z) of latents z,",
    "    D ascends log D(x) + log(1 - D(G(z)))",
    "once: G descends its loss, for new z",
    "(a moving average of G makes samples)",
]


def look(gan, real, seed):
    """Images of the same latents, and what the discriminator says of them and of real ones."""
    fake = gan.generate(len(real), seed=seed)
    loss = kgen.losses.ADVERSARIAL_LOSSES[gan.adversarial_loss]
    judge = gan.discriminate if loss.probability else gan.scores
    return fake[:6], judge(fake), judge(real)


def draw(run, gan, history, kept, real, near):
    """Write the figures of the lecture."""
    said = plots.Listing(map(plots.say, ALGORITHM), {2, 3}, share=0.7)
    code = plots.Listing.of_source(kgen.GAN.update, 2, 7, marked={2, 3})
    title = "Algorithm 1 of Goodfellow et al. (2014), and the lines of kgen that run it"
    _run.slide(run, "algorithm", said, code, title=title)
    names = [plots.say("epoch {n}", n=n) for n in kept]
    fake, of_fake, of_real = map(np.stack, zip(*kept.values(), strict=True))
    notes = [[f"{d:.2f}" for some in of for d in some[:6]] for of in (of_fake, of_real)]
    real = np.stack([real[:6]] * len(fake))
    panels = [
        plots.Images(
            np.stack(fake), names=names, notes=notes[0], heading="generated images, and D(x)"
        ),
        plots.Images(real, notes=notes[1], heading="real images, and D(x)"),
    ]
    means = {"first": of_fake[0].mean(), "fake": of_fake[-1].mean(), "real": of_real[-1].mean()}
    title = "D gives generated images {first:.2f} at first and {fake:.2f} in the end, real ones "
    _run.slide(run, "training", *panels, title=title + "{real:.2f}", model=gan, **means)
    title = "No loss tells how good the images are: one player's gain is the other's loss"
    panels = plots.adversarial(history, EQUILIBRIUM.get(run.loss))
    _run.slide(run, "losses", *panels, title=title, model=gan)
    _run.draw_samples(run, gan, near)


def measure(gan, images, test, near, run):
    """How good and varied samples are, on the features of a judge where there is one."""
    judge = kgen.metrics.judge_for(run.dataset) or "pixels"
    names = ["fid", "precision", "recall"]
    made = gan.generate(run.samples, seed=run.seed)
    found = kgen.metrics.evaluate(images, made, judge, names, test, run.seed)
    of = found.features  # pixels, and at what size
    results = {f"{found.label(name)}, {of}": value for name, value in found.values.items()}
    results[f"floor of fid, {of}"] = found.results["fid"].floor
    results["distance to training images / that of test images"] = near.ratio
    return results | {"copies of training images": near.copies}


@_command.recipe(__doc__, **DEFAULTS)
def main(run):
    """Train, draw, measure; returns the model."""
    images, test = _run.load(run)
    arguments = {"variant": "gan", "loss": run.loss, "augment": run.augment or None}
    arguments["discriminator_steps"] = run.discriminator_steps
    real = images.images(200)
    seen = Snapshots(lambda gan: look(gan, real, run.seed), Snapshots.moments(run.epochs))
    callbacks = [SampleGrid(run.output / "samples", every=max(1, run.epochs // 30)), seen]
    both = {p: OPTIMIZERS[run.optimizer](run.learning_rate) for p in kgen.GAN.players}
    gan, history = _run.train(run, kgen.GAN, arguments, images, test, "gan", callbacks, both)
    near = kgen.metrics.memorization(gan.generate(500, seed=run.seed), images, test)
    draw(run, gan, history, seen.kept, real, near)
    what = f"Generative adversarial network (Algorithm 1): {run.loss} loss, k = "
    what += f"{run.discriminator_steps}, fully connected, {run.epochs} epochs."
    _run.report(run, gan, what, measure(gan, images, test, near, run))
    return gan


if __name__ == "__main__":
    main()
