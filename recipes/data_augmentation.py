r"""Data augmentation: does a classifier with few labels learn more from generated images as well?

    python -m recipes.data_augmentation
    python -m recipes.data_augmentation --dataset fashion_mnist --labels 500 --seeds 5

For each seed a few labelled images are chosen; a conditional GAN with differentiable augmentation
(Zhao et al., 2020) learns from these alone, so no image is used that the classifier could not have
had. The same small classifier is then trained, for as many steps each time, on the images alone, on
images shifted at random, on images and generated ones, and on all of these (the GAN's discriminator
sees shifted images in every case). Writes test accuracies and what generated images add to them
with each choice of images, a figure, and the GAN's images beside those it has learned from. With
`--resume` the same command goes on where it was interrupted.
"""

from pathlib import Path

import keras
import numpy as np
from keras import layers

import kgen
from kgen import plots
from kgen.data.augmentation import CHANCES, augment
from recipes import _command, _run
from recipes._measured import Measured

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


def train_gan(run, x, y, num_classes, seed):
    """A conditional GAN of the few images."""
    settings = type(run)(**{**vars(run), "seed": seed})
    data = kgen.data.ImageDataset(x, y, seed=seed, batch_size=run.batch_size)
    arguments = {"num_classes": num_classes, "augment": run.augment}
    return _run.train(settings, kgen.ConditionalGAN, arguments, data, None, f"gan-{seed}")[0]


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


def batches(run, sets, shift, seed):
    """Batches for the classifier, as many from each set of images and labels."""
    random = np.random.default_rng(seed)
    share = max(1, run.batch_size // len(sets))
    while True:
        drawn = [(x[at], y[at]) for x, y in sets for at in [random.integers(len(x), size=share)]]
        x, y = (np.concatenate(parts) for parts in zip(*drawn, strict=True))
        yield augment(x, random.random((len(x), CHANCES)), shift=2 * shift), y


def measure(run, images, test, seed):
    """Test accuracy of each way to train, with one choice of labelled images."""
    few = images.of_each_class(max(1, run.labels // images.num_classes), seed)
    x, y = few.images(), np.asarray(few.labels)
    gan = train_gan(run, x, y, images.num_classes, seed)
    asked = np.arange(run.generated) % images.num_classes
    made = gan.generate(len(asked), asked, seed=seed), asked
    if seed == run.seed:
        np.save(run.output / "run" / "made.npy", made[0][:8])
    ways = {
        f"{len(x)} images": ([(x, y)], False),
        "+ shifts": ([(x, y)], True),
        "+ generated": ([(x, y), made], False),
        "+ shifts, generated": ([(x, y), made], True),
    }
    found, seen = {}, test.images()
    for name, (sets, shift) in ways.items():
        keras.utils.set_random_seed(seed)
        model = classifier(images.image_shape, images.num_classes)
        drawn = batches(run, sets, shift, seed)
        model.fit(drawn, steps_per_epoch=run.steps, shuffle=False, verbose=0)
        right = model.predict(seen, verbose=0).argmax(axis=1) == test.labels
        found[name] = float(right.mean())
    return found


def gains(found):
    """What generated images add to the accuracy, without and with shifts: `(2, seeds)`."""
    values = np.array([list(part.values()) for part in found])
    return values[:, 2:].T - values[:, :2].T


def draw(run, found, made):
    """Write the accuracy of each way over all choices of images, beside generated images."""
    first, *others = found[0]
    names = [plots.say("{n} images", n=first.split()[0]), *others]
    ways = {n: [100 * part[way] for part in found] for n, way in zip(names, found[0], strict=True)}
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
    measured, seeds = Measured(run, images, {"seeds"}), range(run.seed, run.seed + run.seeds)
    found = [measured.part(f"seed {s}", measure, run, images, test, s) for s in seeds]
    draw(run, found, np.load(run.output / "run" / "made.npy"))
    results = {
        f"{way}, seed {s}": part[way] for s, part in zip(seeds, found, strict=True) for way in part
    }
    for name, gain in zip(("generated", "generated, with shifts"), gains(found), strict=True):
        results[f"mean gain, {name}"] = float(gain.mean())
    _run.report(run, None, "", results)
    return found


if __name__ == "__main__":
    main()
