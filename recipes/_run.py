"""What the recipes share: flags, data, the fastest settings, and where the results are."""

import functools
import json
import shutil
import time
import timeit
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from pathlib import Path

import keras

import kgen

PRECISIONS = ["float32", "mixed_bfloat16", "mixed_float16"]
FLAGS = {
    "dataset": {"default": "digits", "help": "an embedded set or any TensorFlow Datasets name"},
    "image_size": {"type": int, "help": "side of the images; their own by default"},
    "epochs": {"type": int},
    "batch_size": {"type": int, "default": 128},
    "seed": {"type": int, "default": 0},
    "precision": {
        "choices": ["auto", *PRECISIONS],
        "default": "auto",
        "help": "auto: the fastest",
    },
    "jit": {
        "choices": ["auto", "on", "off"],
        "default": "auto",
        "help": "XLA; auto: the fastest",
    },
    "output": {"type": Path, "help": "folder of figures, model and checkpoints"},
    "resume": {"action": "store_true", "help": "continue the run in the output folder"},
    "limit": {"type": int, "help": "use the first images only"},
    "publish": {
        "type": Path("saved_models").joinpath,
        "help": "name in saved_models/, or full path",
    },
}


def parse(description, argv=None, without=(), **defaults):
    """Read the flags, seed everything, make the output folder; returns a namespace.

    `without` names common flags that a recipe does not offer.
    """
    parser = ArgumentParser(description=description, formatter_class=RawDescriptionHelpFormatter)
    parser.set_defaults(**{name: options.get("default") for name, options in FLAGS.items()})
    for name in [name for name in FLAGS if name not in without]:
        parser.add_argument("--" + name.replace("_", "-"), **FLAGS[name])
    for name in sorted(defaults.keys() - vars(parser.parse_args([]))):  # those of the recipe
        options = {"type": type(defaults[name]), "help": "%(default)s by default"}
        parser.add_argument("--" + name.replace("_", "-"), **options)
    parser.set_defaults(**defaults)
    run = parser.parse_args(argv)
    if run.publish:
        kgen.zoo.check_name(run.publish.name)
    results, settings, saved = map(run.output.joinpath, ("results.json", "settings.json", "run"))
    if not run.resume and any(saved.rglob("*.*")) and not results.exists():
        parser.error(f"{run.output} holds an unfinished run: --resume it, or delete {saved}.")
    began = settings.read_text() if run.resume and settings.exists() else "{}"
    for name, value in json.loads(began).items():  # a run keeps what was chosen when it began
        if getattr(run, name) not in ("auto", value):
            parser.error(f"this run began with --{name} {value}: resume it with the same.")
        setattr(run, name, value)
    try:
        run.output.mkdir(parents=True, exist_ok=True)
        results.unlink(missing_ok=True)
    except OSError as error:
        parser.error(f"--output cannot be written: {error}")
    for leftover in () if run.resume else (saved, run.output / "samples"):
        shutil.rmtree(leftover, ignore_errors=True)
    run.started = time.monotonic()
    keras.utils.set_random_seed(run.seed)
    return run


def load(run):
    """Training and test images of the run's dataset."""
    options = {"image_size": run.image_size, "seed": run.seed, "batch_size": run.batch_size}
    sets = [kgen.data.load(run.dataset, split, **options) for split in ("train", "test")]
    return [data.take(run.limit) for data in sets] if run.limit else sets


def choose_fastest(run, model, arguments, data):
    """Replace `auto` in `run.precision` and `run.jit` by what trains fastest on this device.

    float32 without XLA, unless something is a fifth faster; kept beside the run for its resumption.
    """
    precisions = PRECISIONS[:2] if run.precision == "auto" else [run.precision]
    jits = {"jax": ["on"], "torch": ["off"]}.get(keras.backend.backend(), ["off", "on"])
    jits = jits if run.jit == "auto" else [run.jit]
    candidates = [{"precision": p, "jit": j} for p in precisions for j in jits]
    at_once = run.batch_size * max(1, arguments.get("discriminator_steps", 1))
    best, best_time, few = candidates[0], float("inf"), data.take(8 * at_once)
    for choice in candidates if len(candidates) > 1 else []:
        trial = model(**arguments, dtype=choice["precision"])
        trial.compile(jit_compile=choice["jit"] == "on")
        epoch = functools.partial(trial.fit, few, verbose=0)
        seconds = min(timeit.repeat(epoch, number=1, repeat=3))  # the first one compiles
        if seconds < best_time / 1.2:
            best, best_time = choice, seconds
    vars(run).update(best, data=repr(data)[1:-1])
    (run.output / "settings.json").write_text(json.dumps(best))
    keras.utils.set_random_seed(run.seed)
    print(f"{run.data}, {keras.backend.backend()}, {run.precision}, XLA {run.jit}")


def train(run, model, arguments, images, test, name, callbacks=(), optimizers=None):
    """Fit a model with checkpoints on the way, save it as NAME; returns it and its history.

    The flag for the learning rate is for models with one player; without it, and without optimizers
    by player, the model's own serve.
    """
    run.output.mkdir(parents=True, exist_ok=True)
    arguments = {"image_shape": images.image_shape, "seed": run.seed, **arguments}
    choose_fastest(run, model, arguments, images)
    made = model(**arguments, dtype=run.precision)
    rate = vars(run).get("learning_rate") if len(made.players) == 1 else None
    optimizers = optimizers or (rate and keras.optimizers.Adam(rate))
    made.compile(optimizers, jit_compile=run.jit == "on")
    checkpoint = kgen.callbacks.TrainingCheckpoint(run.output / "run" / name, every="30s")
    callbacks = [checkpoint, *callbacks]
    settings = {"epochs": run.epochs, "verbose": 2, "callbacks": callbacks}
    history = made.fit(images, validation_data=test, **settings)
    made.save(run.output / f"{name}.keras")
    return made, history


def report(run, model, what, results, samples=None):
    """Print a table of results and what is in the output folder; write results.json; publish."""
    shown = results | {"seconds": time.monotonic() - run.started}
    (run.output / "results.json").write_text(json.dumps(shown, indent=2) + "\n")
    for name, value in shown.items():
        print(f"  {name:<{max(map(len, shown))}}  {value:.5g}")
    print(f"In {run.output}: " + ", ".join(sorted(p.name for p in run.output.iterdir())))
    if run.publish:
        card = dict(what=what, data=run.data, seed=run.seed, samples=samples)
        card["seconds"] = shown["seconds"]
        card["device"] = f"{kgen.zoo.this_device()}, {run.precision}, XLA {run.jit}"
        path = kgen.zoo.save(model, run.publish.name, run.publish.parent, metrics=results, **card)
        print(f"Published: {path}")
