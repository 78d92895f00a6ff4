"""What the recipes share: data, settings, training, figures, and where the results are."""

import functools
import json
import os
import shutil
import time
import timeit

import keras
import numpy as np

import kgen
from kgen import plots
from kgen.engine import backend
from recipes._command import finished
from recipes._flags import IMAGES, PRECISIONS

XLA = {"on": True, "off": False, "auto": "auto"}  # what `compile` takes
FEWEST_IMAGES = 20  # images


def begin(run, data=None):
    """Begin, and say with what: from here on, the output folder's run is replaced or resumed."""
    run.seconds_before, found = 0.0, run.output / "results.json"
    if run.resume and finished(run.output):
        if found.exists():
            run.seconds_before = json.loads(found.read_text())["seconds"]
        print(f"{run.output} holds a finished run: only what goes beyond it is trained.")
    for leftover in () if run.resume else ("run", "samples"):
        shutil.rmtree(run.output / leftover, ignore_errors=True)
    found.unlink(missing_ok=True)
    if "resume" in run.offered:
        _keep_settings(run)
    run.begun = True
    if data is not None:
        run.data = repr(data)[1:-1]
    if run.precision != "fastest":
        _say_settings(run)


def _say_settings(run):
    device = ", ".join(backend.accelerators()) or "CPU"
    settings = [keras.backend.backend(), device, run.precision]
    settings += [f"XLA {run.jit}"] * ("jit" in run.offered)
    print("; ".join([*([run.data] if "data" in run else []), ", ".join(settings)]), flush=True)


def _keep_settings(run):
    settings = {name: vars(run)[name] for name in ("precision", "jit")}
    (run.output / "settings.json").write_text(json.dumps(settings))


def slide(run, name, *panels, title, model=None, columns=None, **fields):
    """Write panels under a sentence as the figure NAME of a run; returns the Figure.

    The title's `{fields}` are numbers that the run has found; below stands what `model` is.
    """
    return plots.slide(
        *panels,
        columns=columns,
        title=plots.say(title, **fields),
        caption=None if model is None else plots.caption(model, run.dataset),
        path=run.output / f"{name}.{run.format}",
    )


def animate(run, name, slides, seconds=0.2):
    """Write pairs of a title and a panel as samples/NAME-000.png, ..., and all as NAME.gif."""
    paths = [run.output / "samples" / f"{name}-{i:03}.png" for i in range(len(slides))]
    for (title, panel), path in zip(slides, paths, strict=True):
        plots.slide(panel, title=title, path=path)
    plots.animation(paths, run.output / f"{name}.gif", seconds, max_bytes=600_000)


def draw_samples(run, gan, near, n=12):
    """Write images of a generator, and some of them above the training images nearest to them."""
    title = "Images that nobody drew: z from N(0, I), through the generator"
    samples = plots.Images(gan.generate(60, seed=run.seed), 12)
    slide(run, "samples", samples, title=title, model=gan)
    title = "Below each sample the training image that is nearest: {share:.1%} are copies"
    rows = plots.Images.neighbors(near, n)
    slide(run, "neighbors", rows, title=title, model=gan, share=near.copies)


def draw_losses(run, history, pixels=1):
    """Write the losses of training and validation by epoch, each a mean over so many pixels."""
    curves = getattr(history, "history", history)
    curves = {name: np.divide(values, pixels) for name, values in curves.items()}
    title = "Training and validation" + ", mean over the pixels" * (pixels > 1)
    plots.losses(curves, title=title, path=run.output / f"losses.{run.format}")


def load(run, labeled=False, **training):
    """Training images of the run's dataset, and others held out; then the run begins.

    `training` has further arguments of `kgen.data.load` for training images.

    Raises:
        ValueError: for images that no recipe can use, or that have no classes and are to be
            `labeled`; nothing is lost.
    """
    options = {name: vars(run)[name] for name in (*IMAGES, "seed", "batch_size")}
    options |= {"num_examples": run.limit, "allow_fewer": True} if run.limit else {}
    if "drawn" in run.offered and run.dataset.split("/")[0] == "faces":
        training["num_examples"] = min(run.drawn, run.limit or run.drawn)
    if run.dataset.startswith("toy2d/") and run.image_size:
        raise ValueError(
            f"--dataset {run.dataset} holds points, which have no size, and --image-size is "
            f"{run.image_size}: choose images."
        )
    split, held_out = splits_of(run)
    images = kgen.data.load(run.dataset, split, **{**options, **training})
    if isinstance(images, kgen.data.ImagePairs):
        raise ValueError(f"--dataset {run.dataset} holds pairs; recipes learn from single images.")
    if labeled and images.num_classes is None:
        raise ValueError(f"{run.dataset} has no classes, which this recipe needs.")
    sets = [images, kgen.data.load(run.dataset, held_out, **options)]
    if (fewest := min(data.num_examples for data in sets)) < FEWEST_IMAGES:
        raise ValueError(
            f"{fewest} images are too few: figures need {FEWEST_IMAGES} of them in training and in "
            "test."
        )
    begin(run, sets[0])
    return sets


def updates(run, count):
    """How many updates the run's epochs take of so many training images; `fit` refuses too few."""
    return run.epochs * max(count // run.batch_size, 1)


def splits_of(run):
    """Names of a dataset's training split and of a held-out one, whatever it has of its own.

    Without a test split that is validation, or else the last fifth of the training split.
    """
    if os.path.exists(run.dataset):
        return "train", "test"
    own = kgen.data.splits(run.dataset, data_dir=run.data_dir)
    held_out = [split for split in ("test", "validation") if split in own]
    if held_out or "train" not in own:
        return "train", [*held_out, "test"][0]
    return "train[:80%]", "train[80%:]"


def load_judged(run):
    """What `load` returns, and a judge with thresholds that most test images pass.

    Raises:
        ValueError: if there is no judge for the dataset.
    """
    name = kgen.metrics.judge_for(run.dataset)
    if name is None:
        sets = list(kgen.metrics.judges.SETS)
        raise ValueError(f"--dataset must be one of {sets}; got {run.dataset!r}.")
    judge, (images, test) = kgen.metrics.judge(name), load(run)
    real = images.images(), test.images()
    return images, test, kgen.latent.AcceptedBy(judge, *real, seed=run.seed)


def settle(run, model, arguments, data):
    """With `--precision fastest`, try out what that is, say and keep it; note the data."""
    if "data" not in run:
        run.data = repr(data)[1:-1]
    if run.precision == "fastest":
        vars(run).update(_fastest(run, model, arguments, data))
        _keep_settings(run)
        _say_settings(run)


def _fastest(run, model, arguments, data):
    """What trains fastest on this device, now.

    float32 without XLA, unless something is a fifth faster.
    """
    jits = ["off", "on"] if keras.backend.backend() == "tensorflow" else ["auto"]
    jits = jits if run.jit == "auto" else [run.jit]
    candidates = [{"precision": p, "jit": j} for p in PRECISIONS[:2] for j in jits]
    at_once = run.batch_size * max(1, arguments.get("discriminator_steps", 1))
    few = data.take(min(8 * at_once, data.num_examples))
    best, best_time = None, float("inf")
    print(f"--precision fastest: {len(few)} batches with each of {len(candidates)} settings")
    for choice in candidates:
        trial = model(**arguments, dtype=choice["precision"])
        trial.compile(jit_compile=XLA[choice["jit"]])
        epoch = functools.partial(trial.fit, few, verbose=0)
        seconds = min(timeit.repeat(epoch, number=1, repeat=3))  # the first one compiles
        print(f"  {choice['precision']}, XLA {choice['jit']}: {seconds:.3f} s", flush=True)
        if seconds < best_time / 1.2:
            best, best_time = choice, seconds
    return best


def train(run, model, arguments, images, test, name, callbacks=(), optimizers=None):
    """Fit a model with checkpoints on the way, save it as NAME; returns it and its history.

    The flag for the learning rate is for models with one player; without it, and without optimizers
    by player, the model's own serve. Models that take no steps have no history.
    """
    arguments = {"image_shape": images.image_shape, "seed": run.seed, **arguments}
    if issubclass(model, kgen.Gaussian):
        made = model(**arguments)
        made.fit(images, verbose=0)
        made.save(run.output / f"{name}.keras")
        return made, None
    settle(run, model, arguments, images)
    keras.utils.set_random_seed(run.seed)
    made = model(**arguments, dtype=run.precision)
    rate = vars(run).get("learning_rate") if len(made.players) == 1 else None
    if optimizers is None and rate:
        (optimizers,) = made.default_optimizers().values()
        optimizers.learning_rate = rate
    made.compile(optimizers, jit_compile=XLA[run.jit])
    checkpoint = kgen.callbacks.TrainingCheckpoint(run.output / "run" / name, every="30s")
    callbacks = [checkpoint, *callbacks, kgen.callbacks.ProgressBar(name)]
    settings = {"epochs": run.epochs, "verbose": 0, "callbacks": callbacks}  # None: to the end
    history = made.fit(images, validation_data=test, **settings)
    made.save(run.output / f"{name}.keras")
    return made, history


def fit(run, model, images, seed, name=None, **arguments):
    """Fit one of many autoencoders, without checkpoints; returns it.

    With a name, that of the first seed is saved.
    """
    settings = {"reconstruction": run.reconstruction, "network": run.network, "seed": seed}
    made = model(images.image_shape, **settings, **arguments, dtype=run.precision)
    made.compile(keras.optimizers.Adam(run.learning_rate), jit_compile=XLA[run.jit])
    made.fit(images.with_options(seed=seed), epochs=run.epochs, verbose=0)
    if name and seed == run.seed:
        made.save(run.output / f"{name}.keras")
    return made


def saved(run, name):
    """The model that was saved as NAME."""
    return kgen.zoo.load_model(run.output / f"{name}.keras")


def report(run, model, what, results, samples=None):
    """Print a table of results and what is in the output folder; write results.json; publish."""
    seconds = run.seconds_before + time.monotonic() - run.started
    shown = results | {"seconds": seconds}
    (run.output / "results.json").write_text(json.dumps(shown, indent=2) + "\n")
    for name, value in shown.items():
        print(f"  {name:<{max(map(len, shown))}}  {value:.5g}")
    print(f"In {run.output}: " + ", ".join(sorted(p.name for p in run.output.iterdir())))
    if run.publish:
        jit = {True: "on", False: "off"}.get(model.jit_compile) if run.jit == "auto" else run.jit
        card = {"what": what, "data": run.data, "seed": run.seed, "seconds": seconds}
        made = f"KERAS_BACKEND={keras.backend.backend()} {run.command}"
        card["command"] = f"{made} --publish {run.publish.name}"
        card["device"] = f"{kgen.zoo.this_device()}, {run.precision}, XLA {jit}"
        card |= {"metrics": results, "samples": samples, "dtype": "float16"}
        path = kgen.zoo.save(model, run.publish.name, run.publish.parent, **card)
        print(f"Published: {path}")
