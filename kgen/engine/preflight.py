"""What callbacks would fail at after an epoch, refused before the first step."""

import os
import pathlib
import string

import keras

MONITORING = (
    keras.callbacks.EarlyStopping,
    keras.callbacks.ModelCheckpoint,
    keras.callbacks.ReduceLROnPlateau,
)


def check_callbacks(run, validates):
    """Look at what Keras's callbacks will need.

    Args:
        run: the `Run`, whose callbacks were told of its beginning.
        validates: whether there is validation data.

    Raises:
        ValueError: for what is monitored without being logged, or without it being known which way
            is better; for what optimizers do not allow.
        TypeError, ValueError: for files that could not be loaded.
        OSError: for files that could not be written.
    """
    for callback in run.callbacks:
        saves = isinstance(callback, keras.callbacks.ModelCheckpoint)
        if isinstance(callback, MONITORING):
            _check_monitor(callback, run, validates, saves and not callback.save_best_only)
        _check_optimizers(callback, run.model.optimizer)
        if saves:
            _check_folder(callback.filepath)
            if not callback.save_weights_only:
                _check_suffix(callback.filepath)
                run.model.check_savable()
            _check_fields(callback, *_known_logs(run, validates))


def _check_monitor(callback, run, validates, unused):
    name, monitor = type(callback).__name__, callback.monitor
    if callback.mode not in ("min", "max") and monitor.removeprefix("val_") != "loss":
        raise ValueError(
            f"{name} monitors {monitor!r} and does not know whether less or more of it is better: "
            'pass mode="min" or mode="max".'
        )
    known, others = _known_logs(run, validates)
    if unused or others or monitor in known or monitor.startswith("learning_rate"):
        return
    raise ValueError(
        f"{name} monitors {monitor!r}, which is not among the logs of this run: {known}."
        + ("" if validates else " Those that begin with val_ need validation_data.")
    )


def _known_logs(run, validates):
    """Names of the logs, and whether there are callbacks that may log what they like."""
    known = [*run.model.logs]
    known += [f"val_{log}" for log in run.model.logs] if validates else []
    own = [c for c in run.callbacks if type(c).__module__.split(".")[0] in ("keras", "kgen")]
    known += [log for c in own for log in getattr(c, "names", [])]
    return known, len(own) < len(run.callbacks)


def _check_fields(callback, known, others):
    """Refuse what Keras could not put into the name of a file when the epoch has ended."""
    if others or callback.save_freq != "epoch":
        return
    fields = {field for _, field, _, _ in string.Formatter().parse(str(callback.filepath)) if field}
    fields = {field for field in fields if not field.startswith("learning_rate")}
    if unknown := sorted(fields - {"epoch", *known}):
        raise ValueError(
            f"ModelCheckpoint names its files {callback.filepath}, but {unknown} are not among "
            f"what it knows when an epoch ends: {['epoch', *known]}."
        )


def _check_suffix(path):
    if pathlib.Path(path).suffix != ".keras":
        raise ValueError(
            f"ModelCheckpoint writes a kgen model to a .keras file; got {path}. Name it "
            f"{pathlib.Path(path).with_suffix('.keras')}, or pass save_weights_only=True and a "
            "name that ends in .weights.h5 for its variables alone."
        )


def _check_optimizers(callback, optimizer):
    members = [getattr(m, "inner_optimizer", m) for m in getattr(optimizer, "optimizers", [])]
    members = members or [getattr(optimizer, "inner_optimizer", optimizer)]
    schedule = keras.optimizers.schedules.LearningRateSchedule
    scheduled = [m for m in members if isinstance(getattr(m, "_learning_rate", None), schedule)]
    if isinstance(callback, keras.callbacks.ReduceLROnPlateau) and scheduled:
        raise ValueError(
            "ReduceLROnPlateau lowers the learning rate, which a "
            f"{type(scheduled[0]._learning_rate).__name__} sets at each step: compile with a "
            "number, or leave the callback out."
        )
    averages = any(getattr(m, "use_ema", False) for m in members)
    if isinstance(callback, keras.callbacks.SwapEMAWeights) and not averages:
        raise ValueError(
            "SwapEMAWeights needs an optimizer that keeps averages: compile with one that has "
            "use_ema=True, or leave the callback out."
        )


def _check_folder(path):
    if pathlib.Path(path).is_dir():
        raise OSError(f"ModelCheckpoint cannot write {path}: it is a folder.")
    folder = pathlib.Path(path).absolute().parent
    while "{" in folder.name or not folder.exists():
        folder = folder.parent
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        raise OSError(f"ModelCheckpoint cannot write {path}: {folder} is no folder to write to.")
