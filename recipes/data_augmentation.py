r"""Data augmentation: does a classifier with few labels learn more from generated images as well?

    python -m recipes.data_augmentation
    python -m recipes.data_augmentation --dataset fashion_mnist --labels 500 --seeds 5

For each seed a few labelled images are chosen; a conditional GAN with differentiable augmentation
(Zhao et al., 2020) learns from these alone, so no image is used that the classifier could not have
had. The same small classifier is then trained, for as many steps each time, on the images alone, on
images shifted at random, on images and generated ones, and on all of these. Writes test accuracies,
a figure, and the GAN's images beside those it has learned from. The same command goes on where it
was interrupted.
"""

from pathlib import Path

import keras
import numpy as np
from keras import layers

import kgen
from kgen import plots
from recipes import _run
from recipes._measured import Measured

DEFAULTS = {
    "output": Path("outputs/data_augmentation"),
    "image_size": 16,
    "labels": 200,
    "generated": 2000,
    "epochs": 400,  # of the GAN
    "steps": 1500,  # of each classifier
    "batch_size": 64,
    "augment": "translation",  # what the GAN's discriminator sees
    "seeds": 2,
    "resume": True,
}


def few(images, labels, count, seed):
    """The first images of each class, in an order drawn by the seed; and their labels."""
    random = np.random.default_rng(seed)
    each = max(1, count // len(np.unique(labels)))
    at = [random.permutation(np.flatnonzero(labels == c))[:each] for c in np.unique(labels)]
    return images[np.concatenate(at)], labels[np.concatenate(at)]


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


def shifted(images, random, most=2):
    """Each image moved by up to `most` pixels along both axes."""
    side = images.shape[1:3]
    padded = np.pad(images, ((0, 0), (most, most), (most, most), (0, 0)), "edge")
    moves = random.integers(0, 2 * most + 1, (len(images), 2))
    return np.stack(
        [p[r : r + side[0], c : c + side[1]] for p, (r, c) in zip(padded, moves, strict=True)]
    )


def batches(run, sets, shift, seed):
    """Batches for the classifier, as many from each set of images and labels."""
    random = np.random.default_rng(seed)
    share = run.batch_size // len(sets)
    while True:
        drawn = [(x[at], y[at]) for x, y in sets for at in [random.integers(len(x), size=share)]]
        x, y = (np.concatenate(parts) for parts in zip(*drawn, strict=True))
        yield shifted(x, random) if shift else x, y


def measure(run, images, test, seed):
    """Test accuracy of each way to train, with one choice of labelled images."""
    x, y = few(images.images(), np.asarray(images.labels), run.labels, seed)
    gan = train_gan(run, x, y, images.num_classes, seed)
    asked = np.arange(run.generated) % images.num_classes
    made = gan.generate(len(asked), asked, seed=seed), asked
    if seed == run.seed:
        draw_images(x, y, made[0], images.num_classes, run.output / "images.png")
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
        model.fit(batches(run, sets, shift, seed), steps_per_epoch=run.steps, verbose=0)
        right = model.predict(seen, verbose=0).argmax(axis=1) == test.labels
        found[name] = float(right.mean())
    return found


def draw_images(x, y, made, num_classes, path):
    """Four images of each class that were learned from, and four that were generated."""
    real = np.stack([np.resize(x[y == c], (4, *x.shape[1:])) for c in range(num_classes)])
    made = np.resize(made, (4, num_classes, *x.shape[1:])).swapaxes(0, 1)
    columns = np.concatenate([real, made], axis=1)
    steps = ["real"] * 4 + ["generated"] * 4
    title = "What the conditional GAN learned from, and what it makes"
    plots.strips(columns, [f"class {c}" for c in range(num_classes)], steps, title=title, path=path)


def draw(found, path):
    """Accuracy of each way, a point for each seed and a line for the mean."""
    figure, axes = plots.chart(7, 4)
    ways = list(found[0])
    values = np.array([[part[way] for way in ways] for part in found]) * 100
    at = np.arange(len(ways))
    axes.hlines(values.mean(axis=0), at - 0.3, at + 0.3, color=plots.DARK, lw=2, label="mean")
    for at, column in enumerate(values.T):
        axes.scatter(
            np.full(len(column), at),
            column,
            color="C0",
            zorder=3,
            label="one choice of images" if at == 0 else None,
        )
    axes.set_xticks(range(len(ways)), ways)
    axes.set_ylim(max(0, values.min() - 2), min(100, values.max() + 2))
    axes.set_ylabel("test accuracy [%]")
    axes.set_title("A classifier with few labels, with and without generated images")
    axes.legend(frameon=False, loc="upper left")
    plots.save(figure, path)


def main(argv=None):
    """Measure with each seed, draw; returns accuracies by way and seed."""
    run = _run.parse(__doc__, argv, ("publish",), **DEFAULTS)
    images, test = _run.load(run)
    _run.choose_fastest(run, kgen.GAN, {"image_shape": images.image_shape}, images)
    measured, seeds = Measured(run, free=("seeds",)), range(run.seed, run.seed + run.seeds)
    found = [measured.part(f"seed {s}", measure, run, images, test, s) for s in seeds]
    draw(found, run.output / "data_augmentation.png")
    results = {
        f"{way}, seed {s}": part[way] for s, part in zip(seeds, found, strict=True) for way in part
    }
    _run.report(run, None, "", results)
    return found


if __name__ == "__main__":
    main()
