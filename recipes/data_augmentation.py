r"""Data augmentation: does a classifier with few labels learn more from generated images as well?

    python -m recipes.data_augmentation
    python -m recipes.data_augmentation --dataset fashion_mnist --labels 500 --seeds 5

For each seed a few labelled images are chosen; a conditional GAN with differentiable augmentation
(Zhao et al., 2020) learns from these alone, so no image is used that the classifier could not have
had. The same small classifier is then trained, for as many steps each time, on the images, with
random shifts, with generated ones, and with both. Writes test accuracies, what generated images add
to them, and some of these images. With `--resume` the same command goes on where it was cut.
"""

from pathlib import Path

import keras
import numpy as np
from keras import layers

import kgen
from kgen import plots
from recipes import _command, _run
from recipes._measured import Measured, by_seed

DEFAULTS = {
    "output": Path("outputs/data_augmentation"),
    "image_size": 16,
    "labels": {"default": 200, "help": "labelled images to learn from"},
    "generated": {"default": 2000, "help": "images that the GAN adds to them"},
    "epochs": {"default": 300, "help": "passes of the GAN over its images"},
    "steps": {"default": 600, "help": "of each classifier"},
    "batch_size": 64,
    "augment": "translation",
    "seeds": {"default": 5, "help": "how many choices of images, one a seed, from --seed on"},
}


def classifier(image_shape, num_classes):
    """A small convolutional network."""
    x = inputs = keras.Input(image_shape)
    for filters in (32, 64):
        x = layers.Conv2D(filters, 3, padding="same", activation="relu")(x)
        x = layers.MaxPooling2D()(x)
    x = layers.Dropout(0.5)(layers.Flatten()(x))
    model = keras.Model(inputs, layers.Dense(num_classes)(x))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(1e-3), loss)
    return model


def measure(run, images, test, seed):
    """Test accuracy of each way to train, with one choice of labelled images."""
    few = images.of_each_class(max(1, run.labels // images.num_classes), seed)
    x, y = few.images(), np.asarray(few.labels)
    data = kgen.data.ImageDataset(x, y, seed=seed, batch_size=run.batch_size)
    settings = type(run)(**{**vars(run), "seed": seed})
    arguments = {"num_classes": images.num_classes, "augment": run.augment}
    gan, _ = _run.train(settings, kgen.ConditionalGAN, arguments, data, None, f"gan-{seed}")
    asked = np.arange(run.generated) % images.num_classes
    made = gan.generate(len(asked), asked, seed=seed), asked
    if seed == run.seed:
        np.save(run.output / "run" / "made.npy", made[0][:8])
    ways = {
        f"{len(x)} images": ([(x, y)], 0),
        "+ shifts": ([(x, y)], 2),
        "+ generated": ([(x, y), made], 0),
        "+ shifts, generated": ([(x, y), made], 2),
    }
    found = {}
    for name, (sets, shift) in ways.items():
        keras.utils.set_random_seed(seed)
        model = classifier(images.image_shape, images.num_classes)
        batches = kgen.data.mixed_batches(sets, run.batch_size, seed, shift=shift)
        model.fit(batches, steps_per_epoch=run.steps, shuffle=False, verbose=0)
        right = model.predict(test.images(), verbose=0).argmax(axis=1) == test.labels
        found[name] = float(right.mean())
    return found


def gains(found):
    """What generated images add to the accuracy, without and with shifts: `(2, seeds)`."""
    values = np.array([list(part.values()) for part in found])
    return values[:, 2:].T - values[:, :2].T


def draw(run, found, made):
    """Write the accuracy of each way over all choices of images, beside generated images."""
    ways = {}
    for way in found[0]:
        name = plots.say("{n} images", n=way.split()[0]) if way.endswith(" images") else way
        ways[name] = [100 * part[way] for part in found]
    one, shifts, *_ = (np.mean(values) for values in ways.values())
    colors = {way: plots.GENERATED if "generated" in way else plots.REAL for way in ways}
    dots = plots.Dots(ways, colors, form="{:.1f} %", xlabel="test accuracy [%]", shape=0.6)
    gain = gains(found)[0].mean() * 100
    fields = {"gain": abs(gain), "shifts": abs(shifts - one)}
    title = "Generated images gain" if gain > 0 else "Generated images cost"
    title += " {gain:.1f} points; shifts " + ("gain" if shifts > one else "cost")
    title += " {shifts:.1f}"
    images = plots.Images(made[:8], 2, heading="generated images")
    _run.slide(run, "data_augmentation", dots, images, title=title, **fields)


@_command.recipe(__doc__, ("publish",), **DEFAULTS)
def main(run):
    """Measure with each seed, draw; returns accuracies by way and seed."""
    images, test = _run.load(run, labeled=True)
    _run.settle(run, kgen.GAN, {"image_shape": images.image_shape}, images)
    measured = Measured(run, images, {"seeds"})
    found = [measured.part(f"seed {s}", measure, run, images, test, s) for s in measured.seeds]
    draw(run, found, np.load(run.output / "run" / "made.npy"))
    results = by_seed(found, measured.seeds)
    for name, gain in zip(("generated", "generated, with shifts"), gains(found), strict=True):
        results[f"mean gain, {name}"] = float(gain.mean())
    _run.report(run, None, "", results)
    return found


if __name__ == "__main__":
    main()
