r"""The GAN of the lecture, Algorithm 1 of Goodfellow et al. (2014), with fully connected networks.

    python -m recipes.gan
    python -m recipes.gan --loss minimax
    python -m recipes.gan --optimizer momentum --learning-rate 0.1
    python -m recipes.gan --dataset fashion_mnist --epochs 30 --batch-size 128

Writes samples while it learns (an animation, and a strip), losses and scores beside what they would
be at the equilibrium, samples beside the nearest training images, and the model.
"""

from functools import partial
from pathlib import Path

import keras
import numpy as np

import kgen
from kgen import plots
from recipes import _run

OPTIMIZERS = {
    "adam": partial(keras.optimizers.Adam, beta_1=0.5),
    "momentum": partial(keras.optimizers.SGD, momentum=0.5),  # as the authors' code begins
}
DEFAULTS = {
    "output": Path("outputs/gan"),
    "image_size": 28,
    "epochs": 150,
    "batch_size": 128,  # in batches of 64, of three seeds one collapses
    "loss": "non_saturating",
    "discriminator_steps": 1,
    "optimizer": {
        "default": "adam",
        "choices": list(OPTIMIZERS),
        "help": "of both players; momentum: as the authors' code begins",
    },
    "learning_rate": {"default": 1e-3, "help": "of both players"},
    "augment": "translation",  # 4,000 images are few
    "samples": 2000,
}
EQUILIBRIUM = {  # discriminator's and generator's loss where D(x) = 1/2 everywhere
    "minimax": (np.log(4), -np.log(2)),
    "non_saturating": (np.log(4), np.log(2)),
}


class Moments(keras.callbacks.Callback):
    """Keeps images of the same latents after some epochs, ever further apart, from a 20th on.

    Args:
        epochs: of the run.
        n: number of images.
        count: of moments, at most.
        seed: of the latents.

    Attributes:
        found: dictionary from epoch, a string, to images `(n, *image_shape)`.
    """

    def __init__(self, epochs, n=12, count=5, seed=0):
        super().__init__()
        self.n, self.seed, self.found = n, seed, {}
        moments = np.geomspace(max(1, epochs / 20), epochs, count)
        self.moments = np.unique(np.round(moments).astype(int)).tolist()

    def on_epoch_end(self, epoch, logs=None):
        """Draw, if it is time."""
        if epoch + 1 in self.moments:
            self.found[str(epoch + 1)] = self.model.generate(self.n, seed=self.seed)


def draw_training(history, loss, path):
    """Write losses and scores by epoch, and, dashed, where D cannot tell real from generated."""
    figure, axes = plots.chart(14, 4.6, columns=2, xlabels=["epoch"] * 2)
    curves, x = history.history, np.array(history.epoch) + 1
    names = ("discriminator_loss", "generator_loss"), ("real_score", "fake_score")
    labels = ("discriminator", "generator"), ("real images", "generated images")
    levels = EQUILIBRIUM.get(loss, ()), (0.0,)
    for panel, row, said, dashed in zip(axes, names, labels, levels, strict=True):
        for i, (name, label) in enumerate(zip(row, said, strict=True)):
            panel.plot(x, curves[name], color=f"C{i}", lw=2, label=label)
            if "val_" + name in curves:
                style = {"color": f"C{i}", "lw": 1, "ls": ":", "label": f"{label}, test"}
                panel.plot(x, curves["val_" + name], **style)
        for i, level in enumerate(dashed):
            color = f"C{i}" if len(dashed) > 1 else plots.DARK
            text = "at the equilibrium" if i == 0 else None
            panel.axhline(level, color=color, ls="--", lw=1.5, label=text)
        panel.legend(frameon=False)
    axes[0].set_title(f"losses ({loss.replace('_', '-')})", size=14)
    axes[1].set_title("scores: mean of the discriminator's raw outputs", size=14)
    plots.save(figure, path)


def draw(gan, history, moments, images, test, folder, seed):
    """Write the figures; returns how near samples come to training images (`Memorization`)."""
    title, path = "Samples: z from N(0, I)", folder / "samples.png"
    plots.grid(gan.generate(64, seed=seed), title=title, path=path)
    real = images.fetch(np.arange(min(moments.n, images.num_examples)))
    real = np.resize(kgen.data.to_model_range(real), (moments.n, *gan.image_shape))
    rows, labels = [*moments.found.values(), real], [f"epoch {n}" for n in moments.found]
    title, path = "The same latents while the networks learn", folder / "training.png"
    plots.strips(np.stack(rows), [*labels, "real images"], title=title, path=path)
    draw_training(history, gan.adversarial_loss, folder / "losses.png")
    near = kgen.metrics.memorization(gan.generate(500, seed=seed), images, test)
    rows = np.stack([near.generated[:12], near.neighbors[:12]]), near.closest(12)
    title = "Samples and the nearest training images (pixels); below the twelve nearest of 500"
    labels, path = ["sample", "training image"] * 2, folder / "neighbors.png"
    plots.strips(np.concatenate(rows), labels, title=title, path=path)
    return near


def measure(gan, images, test, near, run):
    """How good and varied samples are, on the features of a judge where there is one."""
    judge = kgen.metrics.judge_for(run.dataset) or "pixels"
    drawn = gan.generate(run.samples, seed=run.seed)
    names = ["fid", "precision", "recall"]
    found = kgen.metrics.evaluate(images, drawn, judge, names, test, run.seed)
    judge = found.features  # pixels, and at what size
    results = {f"{found.label(name)}, {judge}": value for name, value in found.values.items()}
    results[f"floor of fid, {judge}"] = found.results["fid"].floor
    results["distance to training images / that of test images"] = near.ratio
    results["copies of training images"] = near.copies
    return results


@_run.recipe(__doc__, **DEFAULTS)
def main(run):
    """Train, draw, measure; returns the model."""
    images, test = _run.load(run)
    arguments = {"variant": "gan", "loss": run.loss, "augment": run.augment or None}
    arguments["discriminator_steps"] = run.discriminator_steps
    moments = Moments(run.epochs, seed=run.seed)
    grid = kgen.callbacks.SampleGrid(run.output / "samples", every=max(1, run.epochs // 30))
    make = partial(OPTIMIZERS[run.optimizer], run.learning_rate)
    optimizers = {player: make() for player in kgen.GAN.players}
    callbacks = [grid, moments]
    settings = (run, kgen.GAN, arguments, images, test, "gan", callbacks, optimizers)
    gan, history = _run.train(*settings)
    near = draw(gan, history, moments, images, test, run.output, run.seed)
    results = measure(gan, images, test, near, run)
    what = f"Generative adversarial network (Algorithm 1): {run.loss} loss, k = "
    what += f"{run.discriminator_steps}, fully connected networks, {run.epochs} epochs."
    _run.report(run, gan, what, results)
    return gan


if __name__ == "__main__":
    main()
