"""Train the judges of `kgen.metrics`: small classifiers whose features and answers are measured.

    python -m recipes.feature_net --dataset fashion_mnist
    python -m recipes.feature_net --dataset digits --batch-size 64
    python -m recipes.feature_net --dataset faces

Writes the classifier (`fashion.keras`, `digits.keras` or `faces.keras`) and figures of what it
tells of test images: the confusion of the classes beside the hardest images; for faces, a row for
each factor; and, as `.npz`, what tells other images from those that it was trained on. `--install
kgen/metrics/weights` also puts both where `kgen.metrics.judge` finds them. `--judge FILE` trains
nothing, and finds the rest for that classifier.

The files that come with kgen were made by these commands on TensorFlow, float32, seed 0, two shared
cores: Fashion-MNIST 93.52 % of 10,000 test images (995 s of training), digits 99.10 % of 1,000
(261 s beside other work), faces (3,255 s beside other work) of 2,000 test faces drawn at each size:

                         16 px  32 px  64 px                         16 px  32 px  64 px
    presentation          99.8   99.9  100    smile (R^2 from here)   0.82   0.96   0.95
    skin                  99.7  100    100    yaw                     0.97   0.98   0.98
    hair                  99.7  100    100    tilt                    0.99   0.99   0.99
    hair_color            98.8   99.2   99.0  light                   0.97   0.99   0.99
    eye_color             92.0   99.95  99.8  light_strength          0.99   0.99   0.99
    glasses               95.2   99.7   99.2  face_width              0.94   0.97   0.97
    beard                 98.0   99.6   99.9  eye_size                0.56   0.92   0.92
    outfit, its colour    99.95 100    100    brows                   0.80   0.96   0.94
    background, time      100   100    100
"""

import shutil
from pathlib import Path

import keras
import numpy as np
from keras import layers, ops

import kgen
from kgen import plots
from kgen.data import faces
from kgen.data.dataset import resize
from kgen.metrics.judges import CLASS_NAMES, Judge, known_of
from recipes import _command, _run
from recipes._flags import folder, from_zero, model_file

JUDGES = {
    "fashion_mnist": {"name": "fashion", "image_size": 28, "epochs": 14, "dropout": 0.2},
    "digits": {"name": "digits", "image_size": 28, "epochs": 40, "dropout": 0.2},
    "faces": {"name": "faces", "image_size": 32, "epochs": 12, "dropout": 0.0},
}
DEFAULTS = {
    "dataset": {"default": "fashion_mnist", "choices": list(JUDGES), "help": "what it judges"},
    "output": Path("outputs/feature_net"),
    "learning_rate": {"default": 3e-3, "help": "highest learning rate of AdamW"},
    "weight_decay": {"default": 0.05, "type": from_zero, "help": "of AdamW"},
    "install": {"type": folder, "metavar": "FOLDER", "help": "also write the classifier here"},
    "judge": {"type": model_file, "metavar": "FILE", "help": "a classifier: train none"},
}
WITHOUT = ("channels", "kind", "precision", "resume", "publish")
AUGMENT = {"fashion_mnist": {"flip": True, "shift": 2}, "digits": {"shift": 2}}
SMOOTHING = 0.1  # of the labels of real images; those of faces are exact
FEATURES = 64
FACES = {16: 0.125, 32: 0.625, 64: 0.25}  # shares of a batch, by the size at which they are drawn
FACES_PER_EPOCH = 50_000  # none is seen twice
TEST_FACES = 2_000  # of each size
KNOWN_IMAGES = 3_000  # training images that a judge keeps statistics of
FACE_SEEDS = 2, 3  # training and test: neither split of kgen.data.load("faces")


def network(image_shape, outputs, dropout):
    """Six convolutions, then 64 features of mean 0 and variance 1.

    Args:
        image_shape: `(H, W, C)`; the input is uint8.
        outputs: number of classes, or a dictionary of numbers of outputs by factor.
        dropout: rate at which features are left out.
    """
    inputs = keras.Input(image_shape, dtype="uint8", name="pixels")
    x = layers.Rescaling(1 / 127.5, -1)(inputs)
    for filters, strides in ((32, 1), (48, 2), (48, 1), (96, 2), (96, 1), (128, 2)):
        x = layers.Conv2D(filters, 3, strides, "same", use_bias=False)(x)
        x = layers.BatchNormalization()(x)
        x = layers.Activation("relu")(x)
    x = layers.Dense(FEATURES, use_bias=False)(layers.Flatten()(x))
    x = layers.BatchNormalization(center=False, scale=False, name="features")(x)
    x = layers.Dropout(dropout)(x)
    if isinstance(outputs, int):
        return keras.Model(inputs, layers.Dense(outputs, name="classes")(x))
    return keras.Model(inputs, {name: layers.Dense(n, name=name)(x) for name, n in outputs.items()})


def cross_entropy(labels, logits):
    """Cross entropy with smoothed labels."""
    classes = logits.shape[-1]
    labels = ops.one_hot(ops.reshape(labels, (-1,)), classes)
    labels = (1 - SMOOTHING) * labels + SMOOTHING / classes
    return keras.losses.categorical_crossentropy(labels, logits, from_logits=True)


def fit(run, model, data, **settings):
    """Fit the model by AdamW; the learning rate rises and falls, and the weights are averaged."""
    rate = kgen.schedules.warmup_cosine(run.learning_rate, run.epochs * len(data))
    averaged = {"use_ema": True, "ema_momentum": 0.99}
    optimizer = keras.optimizers.AdamW(rate, weight_decay=run.weight_decay, **averaged)
    optimizer.build(model.trainable_variables)  # in a step, it would be traced once more
    model.compile(optimizer, jit_compile=_run.XLA[run.jit], **settings)
    bar = [kgen.callbacks.ProgressBar(run.dataset)]
    model.fit(data, epochs=run.epochs, shuffle=False, verbose=0, callbacks=bar)  # in its own order


# Classes.


def train_classes(run):
    """Fit a classifier of labelled images; returns it, some of these, and the test images."""
    images, test = _run.load(run)
    some = np.random.default_rng(run.seed).permutation(images.num_examples)[:KNOWN_IMAGES]
    some = images.fetch(np.sort(some))
    if run.judge:
        return kgen.zoo.load_model(run.judge), some, test
    run.batch_size = min(run.batch_size, images.num_examples)
    options = {"batch_size": run.batch_size, "drop_last": True, "augment": AUGMENT[run.dataset]}
    images = images.with_options(**options)
    model = network(images.image_shape, images.num_classes, JUDGES[run.dataset]["dropout"])
    fit(run, model, images, loss=cross_entropy, metrics=["accuracy"])
    return model, some, test


def draw_classes(run, judge, test):
    """Measure on test images; write their confusion, and those that the judge finds hardest."""
    pixels = test.fetch(np.arange(test.num_examples))
    probabilities, truth = judge.probabilities(pixels), np.asarray(test.labels)
    answers, names = probabilities.argmax(-1), judge.class_names
    counts = np.zeros((len(names), len(names)), int)
    np.add.at(counts, (truth, answers), 1)
    accuracy = float((answers == truth).mean())
    options = {"form": "{:.0f}", "xlabel": "answer", "ylabel": "truth"}
    counts = plots.Heat(counts, names, names, **options)
    hardest = probabilities[np.arange(len(truth)), truth].argsort()[:20]
    pairs = [(names[truth[i]], names[answers[i]]) for i in hardest]
    notes = [
        plots.say("{truth}" if a == b else "{truth}, not {answer}", truth=a, answer=b)
        for a, b in pairs
    ]
    images = plots.Images(pixels[hardest], 5, notes=notes, heading="whose truth is least probable")
    title = "The judge is right about {share:.1%} of {n} test images"
    fields = {"share": accuracy, "n": len(truth)}
    _run.slide(run, f"{judge.name}_confusion", counts, images, title=title, **fields)
    return {"test accuracy": accuracy}


# Faces.


def draw_faces(n, size, seed, start=0):
    """Draw `n` faces; returns pixels and factors."""
    factors = faces.sample_factors(n, seed, start)
    return faces.draw(factors, size), {name: factors[name] for name in faces.FACTORS}


class NewFaces(keras.utils.PyDataset):
    """Batches of faces of all sizes, resized to one, with their factors; each epoch has its own."""

    def __init__(self, run):
        super().__init__()
        self.size, self.epoch = (run.image_size, run.image_size), 0
        self.total = min(FACES_PER_EPOCH, run.limit or FACES_PER_EPOCH)
        self.counts = {size: round(share * run.batch_size) for size, share in FACES.items()}

    def __len__(self):
        return max(1, self.total // sum(self.counts.values()))

    def __getitem__(self, index):
        start = (self.epoch * len(self) + index) * sum(self.counts.values())
        pixels, factors = [], []
        for size, n in self.counts.items():
            drawn, truth = draw_faces(n, size, FACE_SEEDS[0], start)
            pixels.append(resize(drawn, self.size))
            factors.append(truth)
            start += n
        labels = {name: np.concatenate([f[name] for f in factors]) for name in faces.FACTORS}
        return np.concatenate(pixels), labels

    def on_epoch_end(self):
        """Go on to faces that were not seen."""
        self.epoch += 1


def train_factors(run):
    """Fit a classifier of all factors; returns it, faces, and test faces with factors by size."""
    _run.begin(run)
    data, classes = NewFaces(run), CLASS_NAMES["faces"]
    outputs = {name: len(classes.get(name, [0])) for name in faces.FACTORS}
    losses, weights = {}, {}
    for name, kind in faces.FACTORS.items():
        exact = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        losses[name] = exact if name in classes else "mse"
        weights[name] = 1.0 if name in classes else 36 / (kind[1] - kind[0]) ** 2  # by variance
    if run.judge:
        model = kgen.zoo.load_model(run.judge)
    else:
        model = network((*data.size, 3), outputs, JUDGES["faces"]["dropout"])
        fit(run, model, data, loss=losses, loss_weights=weights)
    n = min(TEST_FACES, run.limit or TEST_FACES)
    count = min(KNOWN_IMAGES, run.limit or KNOWN_IMAGES) // run.batch_size + 1
    some = np.concatenate([data[i][0] for i in range(count)])
    return model, some, {size: draw_faces(n, size, FACE_SEEDS[1]) for size in FACES}


def draw_factors(run, judge, tests):
    """Measure on faces drawn at each size: accuracies, and R^2 of what is continuous; draw bars."""
    results = {}
    for size, (pixels, factors) in sorted(tests.items()):
        labels, values = judge.labels(pixels), judge.values(pixels)
        for name, truth in factors.items():
            if name in labels:
                results[name, size] = float((labels[name] == truth).mean())
            else:
                error = ((values[name] - truth) ** 2).mean()
                results[name, size] = float(1 - error / truth.var())
    sizes = {size: plots.say("{n} pixels", n=size) for size in sorted(tests)}
    rows = {name: {s: [results[name, n]] for n, s in sizes.items()} for name in faces.FACTORS}
    panels = []
    for kind, xlabel in ((str, "accuracy"), (float, "$R^2$")):
        chosen = {name: rows[name] for name, x in faces.FACTORS.items() if isinstance(x[0], kind)}
        chosen = {name.replace("_", " "): row for name, row in chosen.items()}
        panels.append(plots.Dots(chosen, form=None, xlabel=xlabel, shape=1.0, legend="below"))
    title = "What the judge reads of faces that are drawn at three sizes"
    _run.slide(run, f"{judge.name}_factors", *panels, title=title)
    return {f"{name}, {size} pixels": value for (name, size), value in results.items()}


@_command.recipe(__doc__, WITHOUT, **DEFAULTS)
def main(run):
    """Train, measure, draw, save; returns the judge."""
    if run.install:
        run.install.mkdir(parents=True, exist_ok=True)
    settings = JUDGES[run.dataset]
    run.epochs = run.epochs or settings["epochs"]
    run.image_size = run.image_size or settings["image_size"]
    of_faces = run.dataset == "faces"
    model, some, test = train_factors(run) if of_faces else train_classes(run)
    path = run.output / f"{settings['name']}.keras"
    keras.Model(model.input, model.output).save(path)  # without optimizer
    loaded = keras.saving.load_model(path)
    judge = Judge(loaded, CLASS_NAMES[settings["name"]], settings["name"])
    np.savez(path.with_suffix(".npz"), **known_of(judge, some))
    results = draw_factors(run, judge, test) if of_faces else draw_classes(run, judge, test)
    results |= {"parameters": loaded.count_params(), "kB": path.stat().st_size / 1000}
    if run.install:
        files = path, path.with_suffix(".npz")
        for file in files:  # a full disk leaves the judge that is there
            shutil.copy(file, run.install / f"{file.name}.new")
        for file in files:
            (run.install / f"{file.name}.new").replace(run.install / file.name)
    _run.report(run, loaded, "", results)
    return judge


if __name__ == "__main__":
    main()
