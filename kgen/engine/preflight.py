"""What callbacks would fail at after an epoch, refused before the first step."""

import os
import pathlib

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
            is better.
        TypeError, ValueError: for files that could not be loaded.
        OSError: for files that could not be written.
    """
    for callback in run.callbacks:
        saves = isinstance(callback, keras.callbacks.ModelCheckpoint)
        if isinstance(callback, MONITORING):
            _check_monitor(callback, run, validates, saves and not callback.save_best_only)
        if saves:
            _check_folder(callback.filepath)
            if not callback.save_weights_only:
                run.model.check_savable()


def _check_monitor(callback, run, validates, unused):
    name, monitor = type(callback).__name__, callback.monitor
    if callback.mode not in ("min", "max") and monitor.removeprefix("val_") != "loss":
        raise ValueError(
            f"{name} monitors {monitor!r} and does not know whether less or more of it is better: "
            'pass mode="min" or mode="max".'
        )
    known = [*run.model.logs]
    known += [f"val_{log}" for log in run.model.logs] if validates else []
    own = [c for c in run.callbacks if type(c).__module__.split(".")[0] in ("keras", "kgen")]
    known += [log for c in own for log in getattr(c, "names", [])]
    others = len(own) < len(run.callbacks)  # which may log what they like
    if unused or others or monitor in known or monitor.startswith("learning_rate"):
        return
    raise ValueError(
        f"{name} monitors {monitor!r}, which is not among the logs of this run: {known}."
        + ("" if validates else " Those that begin with val_ need validation_data.")
    )


def _check_folder(path):
    folder = pathlib.Path(path).absolute().parent
    while "{" in folder.name or not folder.exists():
        folder = folder.parent
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        raise OSError(f"ModelCheckpoint cannot write {path}: {folder} is no folder to write to.")
