"""What the recipes share: how they begin and end, data, settings, and where the results are."""

import argparse
import functools
import json
import math
import shlex
import shutil
import signal
import sys
import tempfile
import time
import timeit
from pathlib import Path

import keras
import numpy as np

import kgen
import recipes
from kgen import plots
from kgen.command_line import in_flags
from kgen.engine import backend
from recipes._flags import IMAGES, PRECISIONS, Parser

XLA = {"on": True, "off": False, "auto": "auto"}  # what `compile` takes
ERRORS = (ValueError, TypeError, OSError, ImportError, MemoryError, kgen.NonFiniteLoss)
FEWEST_IMAGES = 20  # images
TERMINATED = 128 + signal.SIGTERM


def recipe(description, without=(), **own):
    """Make `main(run)` a command, `main(argv=None)`, with the flags that `Parser` describes.

    At the command line errors and interruptions end in one line: exit code 2 for what the user can
    mend, 130 for Ctrl-C, 143 for SIGTERM.
    """

    def decorate(main):
        name = f"recipes.{Path(main.__code__.co_filename).stem}"

        def flags(argv=None):
            return parse(Parser(name, description, without, **own), argv)

        def in_its_language(run):
            with plots.language(run.language), plots.made_by(_command(name, run)):
                return main(run)

        @functools.wraps(main)
        def command(argv=None):
            run = flags(argv)
            run.argv = sys.argv[1:] if argv is None else argv
            if argv is None:
                return _to_the_end(in_its_language, run, name)
            return in_its_language(run)

        command.flags = flags
        return command

    return decorate


def _command(name, run):
    """The command that makes the same figures, wherever they are written."""
    flags = argparse.ArgumentParser(add_help=False)
    flags.add_argument("--output")
    for flag in ("--overwrite", "--resume", "--debug"):
        flags.add_argument(flag, action="store_true")
    _, others = flags.parse_known_args(run.argv)
    return shlex.join(["python", "-m", name, *others])


def _to_the_end(main, run, name):
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(TERMINATED))
    if signal.getsignal(signal.SIGINT) is recipes.interrupted_before_the_run:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return main(run)
    except ERRORS as error:
        if run.debug:
            raise
        said, code = f"{name}: error: {in_flags(str(error) or repr(error), run.offered)}", 2
    except KeyboardInterrupt:
        said, code = _what_is_kept(run), 130
    except SystemExit as end:
        if end.code != TERMINATED:
            raise
        said, code = _what_is_kept(run), TERMINATED
    finally:
        signal.signal(signal.SIGTERM, before)
    print(said, file=sys.stderr)
    sys.exit(code)


def _what_is_kept(run):
    if not run.begun:
        return "Interrupted before the run began; nothing has changed."
    if _finished(run.output):
        return f"Interrupted; the results are in {run.output}."
    if "resume" not in run.offered:
        return "Interrupted; this recipe saves nothing on the way, and begins anew next time."
    if not _unfinished(run.output):
        return "Interrupted before anything was saved; the same command begins anew."
    how = "" if run.resume else " with --resume"
    how += " in the place of --overwrite" if run.overwrite else ""
    return f"Interrupted; saved in {run.output / 'run'}; the same command{how} goes on."


def _finished(output):
    """Whether a folder holds results, or models of a recipe that saves nothing else."""
    found = (output / "results.json").exists()
    return found or (any(output.glob("*.keras")) and not _unfinished(output))


def _unfinished(output):
    """Whether a folder holds something that can be resumed."""
    return any((output / "run").rglob("*.*")) and not (output / "results.json").exists()


def parse(parser, argv=None):
    """Read the flags, refuse what would be lost or cannot be written, seed everything.

    Returns a namespace: the flags; `offered`, their names; `begun`, whether the run has begun.
    """
    run = parser.parse_args(argv)
    run.offered, run.begun, run.started = parser.offered, False, time.monotonic()
    if run.resume and run.overwrite:
        parser.error("--resume continues a run, --overwrite replaces it: one of both.")
    if not run.resume and not run.overwrite:
        if _finished(run.output):
            ways = "--overwrite replaces it, another --output keeps it."
            parser.error(f"{run.output} holds a finished run: {ways}")
        if _unfinished(run.output):
            ways = "--resume continues it, " * ("resume" in run.offered)
            ways += "--overwrite replaces it, another --output keeps it."
            parser.error(f"{run.output} holds an unfinished run: {ways}")
    settings = run.output / "settings.json"
    began = json.loads(settings.read_text()) if run.resume and settings.exists() else {}
    for name, value in began.items():  # a run keeps what was chosen when it began
        if getattr(run, name) not in ("auto", "fastest", value):
            parser.error(f"this run began with --{name} {value}: resume it with the same.")
        setattr(run, name, value)
    if run.precision == "auto":
        low = backend.accelerators() and "precision" in run.offered
        run.precision = "mixed_bfloat16" if low else "float32"
    try:
        run.output.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=run.output).close()
    except OSError as error:
        parser.error(f"--output cannot be written: {error}")
    if run.publish:
        try:
            kgen.zoo.check_name(run.publish.name)
            run.publish.parent.mkdir(parents=True, exist_ok=True)
        except (ValueError, OSError) as error:
            parser.error(f"--publish: {error}")
    keras.utils.set_random_seed(run.seed)
    return run


def begin(run, data=None):
    """Begin, and say with what: from here on, the output folder's run is replaced or resumed."""
    if run.resume and _finished(run.output):
        print(f"{run.output} holds a finished run: only what goes beyond it is trained.")
    for leftover in () if run.resume else ("run", "samples"):
        shutil.rmtree(run.output / leftover, ignore_errors=True)
    (run.output / "results.json").unlink(missing_ok=True)
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
        caption=None if model is None else caption(run, model),
        path=run.output / f"{name}.{run.format}",
    )


def animate(run, name, slides, seconds=0.2):
    """Write pairs of a title and a panel as samples/NAME-000.png, ..., and all as NAME.gif."""
    paths = [run.output / "samples" / f"{name}-{i:03}.png" for i in range(len(slides))]
    for (title, panel), path in zip(slides, paths, strict=True):
        plots.slide(panel, title=title, path=path)
    plots.animation(paths, run.output / f"{name}.gif", seconds, max_bytes=2**20)


def caption(run, model):
    """What stands below a figure: the model, its data and its size."""
    weights = model.trainable_weights or model.weights  # a Gaussian's are found, not trained
    size = in_short(sum(math.prod(w.shape) for w in weights))
    shape = "x".join(map(str, model.image_shape[:2]))
    fields = {"model": type(model).__name__, "data": f"{run.dataset}, {shape}", "n": size}
    return plots.say("{model}, {data}, {n} parameters", **fields)


def in_short(count):
    """A number of weights as one says it."""
    return f"{count / 1e6:.1f} M" if count >= 1e5 else f"{count:,}"


def draw_losses(run, history, pixels=1):
    """Write the losses of training and validation by epoch, each a mean over so many pixels."""
    curves = getattr(history, "history", history)
    curves = {name: np.divide(values, pixels) for name, values in curves.items()}
    title = "Training and validation" + ", mean over the pixels" * (pixels > 1)
    plots.losses(curves, title=title, path=run.output / f"losses.{run.format}")


def with_errors(rows, names, against=0, **options):
    """A panel of rows of images, and below each its squared error a pixel from one of the rows."""
    rows = np.stack(rows)
    errors = np.square(rows - rows[against]).mean(axis=(2, 3, 4))
    notes = [
        f"{error:.2g}" if i != against else "" for i, row in enumerate(errors) for error in row
    ]
    return plots.Images(rows, names=names, notes=notes, **options)


def with_verdicts(rows, names, judged, **options):
    """A panel of rows of images; those that `judged` (`AcceptedBy`) refuses are framed, and say so.

    `names` may be a dictionary from names to shares of more images, which stand beside.
    """
    refused = ~judged.accepts(np.concatenate(rows))
    if hasattr(names, "items"):
        names = [plots.Said(f"{plots.say(name)}: {share:.0%}") for name, share in names.items()]
    return marked(rows, refused, "refused", names=names, **options)


def marked(rows, which, word, **options):
    """A panel of rows of images, of which some are framed and a word stands below them."""
    frames = [plots.WRONG if each else None for each in which]
    notes = [word if each else "" for each in which]
    return plots.Images(np.stack(rows), notes=notes, frames=frames, **options)


def load(run, others="test", labeled=False, **training):
    """Training images of the run's dataset, and those of another split; then the run begins.

    `training` has further arguments of `kgen.data.load` for training images.

    Raises:
        ValueError: for images that no recipe can use, or that have no classes and are to be
            `labeled`; nothing is lost.
    """
    options = {name: vars(run)[name] for name in (*IMAGES, "seed", "batch_size")}
    options |= {"num_examples": run.limit, "allow_fewer": True} if run.limit else {}
    images = kgen.data.load(run.dataset, "train", **{**options, **training})
    if isinstance(images, kgen.data.ImagePairs):
        raise ValueError(f"--dataset {run.dataset} holds pairs; recipes learn from single images.")
    if labeled and images.num_classes is None:
        raise ValueError(f"{run.dataset} has no classes, which this recipe needs.")
    sets = [images, kgen.data.load(run.dataset, others, **options)]
    if (fewest := min(data.num_examples for data in sets)) < FEWEST_IMAGES:
        raise ValueError(
            f"{fewest} images are too few: figures need {FEWEST_IMAGES} of them in training and in "
            "test."
        )
    begin(run, sets[0])
    return sets


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


def rise_and_fall(rate, updates):
    """A learning rate that rises to this one in a tenth of the updates, then falls to zero."""
    warmup = updates // 10
    return keras.optimizers.schedules.CosineDecay(
        0.0, max(1, updates - warmup), warmup_target=rate, warmup_steps=warmup
    )


def train(run, model, arguments, images, test, name, callbacks=(), optimizers=None):
    """Fit a model with checkpoints on the way, save it as NAME; returns it and its history.

    The flag for the learning rate is for models with one player; without it, and without optimizers
    by player, the model's own serve.
    """
    arguments = {"image_shape": images.image_shape, "seed": run.seed, **arguments}
    settle(run, model, arguments, images)
    keras.utils.set_random_seed(run.seed)
    made = model(**arguments, dtype=run.precision)
    rate = vars(run).get("learning_rate") if len(made.players) == 1 else None
    optimizers = optimizers or (rate and keras.optimizers.Adam(rate))
    made.compile(optimizers, jit_compile=XLA[run.jit])
    checkpoint = kgen.callbacks.TrainingCheckpoint(run.output / "run" / name, every="30s")
    callbacks = [checkpoint, *callbacks, kgen.callbacks.ProgressBar(name)]
    settings = {"epochs": run.epochs, "verbose": 0, "callbacks": callbacks}
    history = made.fit(images, validation_data=test, **settings)
    made.save(run.output / f"{name}.keras")
    return made, history


def fit(run, model, images, seed, **arguments):
    """Fit one of many autoencoders, without checkpoints; returns it."""
    settings = {"reconstruction": run.reconstruction, "network": run.network, "seed": seed}
    made = model(images.image_shape, **settings, **arguments, dtype=run.precision)
    made.compile(keras.optimizers.Adam(run.learning_rate), jit_compile=XLA[run.jit])
    made.fit(images.with_options(seed=seed), epochs=run.epochs, verbose=0)
    return made


def report(run, model, what, results, samples=None):
    """Print a table of results and what is in the output folder; write results.json; publish."""
    shown = results | {"seconds": time.monotonic() - run.started}
    (run.output / "results.json").write_text(json.dumps(shown, indent=2) + "\n")
    for name, value in shown.items():
        print(f"  {name:<{max(map(len, shown))}}  {value:.5g}")
    print(f"In {run.output}: " + ", ".join(sorted(p.name for p in run.output.iterdir())))
    if run.publish:
        jit = {True: "on", False: "off"}.get(model.jit_compile) if run.jit == "auto" else run.jit
        card = dict(what=what, data=run.data, seed=run.seed, samples=samples)
        card["seconds"] = shown["seconds"]
        card["device"] = f"{kgen.zoo.this_device()}, {run.precision}, XLA {jit}"
        path = kgen.zoo.save(model, run.publish.name, run.publish.parent, metrics=results, **card)
        print(f"Published: {path}")
