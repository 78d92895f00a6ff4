r"""The semi-supervised GAN: a classifier with few labels learns from images that have none.

    python -m recipes.semi_supervised_gan
    python -m recipes.semi_supervised_gan --labels 50 --seeds 5
    python -m recipes.semi_supervised_gan --dataset fashion_mnist --image-size 28 --augment ""

For each seed a few labelled images are chosen, all others lose their labels. The GAN's
discriminator classifies them (Salimans et al., 2016); the same network is trained anew, for as many
steps, on the labelled images alone, augmented in the same way. Writes the errors of both on test
images, and what goes where. With `--resume` the same command goes on where it was interrupted.
"""

from pathlib import Path

import keras
import numpy as np

import kgen
from kgen import plots
from kgen.models.gan import VARIANTS
from recipes import _command, _run
from recipes._measured import Measured, by_seed

DEFAULTS = {
    "output": Path("outputs/semi_supervised_gan"),
    "image_size": 16,
    "epochs": 18,
    "batch_size": 64,
    "variant": {"default": "dcgan", "choices": [*VARIANTS], "help": "setting after a paper"},
    "learning_rate": {"default": 2e-4, "help": "of all players"},
    "augment": "translation",  # 4,000 images are few
    "labels": {"default": 100, "help": "images that keep their label"},
    "seeds": {"default": 3, "help": "how many choices of labels, one a seed, from --seed on"},
}
LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def with_and_without(run, images, test, seed):
    """Test errors of the semi-supervised GAN, and of its classifier trained anew without it."""
    few = images.of_each_class(max(1, run.labels // images.num_classes), seed)
    x, y = images.images(), np.resize(few.labels, images.num_examples)
    again = np.resize(few.images(), x.shape)  # the few as often as all
    mixed = np.concatenate([x, again]), np.concatenate([np.full(len(y), -1), y])
    mixed = kgen.data.ImageDataset(*mixed, batch_size=run.batch_size, seed=seed)
    own = type(run)(**vars(run) | {"seed": seed})
    kind = {"num_classes": images.num_classes, "variant": run.variant, "augment": run.augment}
    model = kgen.SemiSupervisedGAN
    both = {p: keras.optimizers.Adam(run.learning_rate, 0.5) for p in model.players}
    gan, _ = _run.train(own, model, kind, mixed, None, f"gan-{seed}", (), both)
    errors = {"with images without labels": gan.classify(test.images())}
    alone = classifier(gan, run, seed)
    seen = [keras.Input(gan.image_shape), *([gan.augment] if gan.augment else []), alone]
    learner = keras.Sequential(seen)
    learner.compile(keras.optimizers.Adam(run.learning_rate, 0.5), LOSS)
    learner.fit(again, y, run.batch_size, 2 * run.epochs, verbose=0)
    errors["labelled images alone"] = alone.predict(test.images(), verbose=0)
    return {name: float(np.mean(p.argmax(axis=1) != test.labels)) for name, p in errors.items()}


def classifier(gan, run, seed):
    """A network as the discriminator's, untrained: from images to logits."""
    keras.utils.set_random_seed(seed)
    kind = {"variant": gan.variant, "seed": seed, "dtype": run.precision}
    fresh = kgen.SemiSupervisedGAN(gan.image_shape, gan.num_classes, **kind).discriminator
    return keras.Model(fresh.input, fresh.output[0])


def draw(run, found):
    """Write what goes where, and the errors."""
    nodes = {
        "z": ("latent", 0, 0),
        "G": ("network", 1, 0),
        "x'": ("generated", 2, 0, "images"),
        "x": ("real", 2, 1, "images without labels"),
        "y": ("real", 2, 2, plots.say("{n} images with labels", n=run.labels)),
        "D": ("judge", 3, 1, "D: which class,\nor generated?"),
    }
    scheme = plots.Scheme(nodes, ["z -> G", "G -> x'", "x' -> D", "x -> D", "y -> D"])
    errors = {name: [100 * part[name] for part in found] for name in found[0]}
    dots = plots.Dots(errors, form="{:.1f} %", xlabel="test error [%]", shape=0.3)
    saved = [part["labelled images alone"] - part["with images without labels"] for part in found]
    title = "With {n} labels, images without labels save {saved:.1f} points of error"
    if (saved := 100 * np.mean(saved)) < 0:
        title = "With {n} labels, images without labels cost {saved:.1f} points of error"
    fields = {"n": run.labels, "saved": abs(saved)}
    _run.slide(run, "semi_supervised_gan", scheme, dots, title=title, columns=1, **fields)


@_command.recipe(__doc__, ("publish",), **DEFAULTS)
def main(run):
    """Measure with each seed, draw; returns errors by way and seed."""
    images, test = _run.load(run, labeled=True)
    _run.settle(run, kgen.GAN, {"image_shape": images.image_shape}, images)
    measured = Measured(run, images, {"seeds"})
    given = with_and_without, run, images, test
    found = [measured.part(f"seed {s}", *given, s) for s in measured.seeds]
    draw(run, found)
    results = by_seed(found, measured.seeds, "test error, {}")
    _run.report(run, None, "", results)
    return found


if __name__ == "__main__":
    main()
