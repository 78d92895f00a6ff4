"""What callbacks would fail at after an epoch, refused before the first step."""

import importlib.util
import inspect
import numbers
import pathlib
import string
import tempfile

import keras

from kgen.arguments import positive

MONITORING = (
    keras.callbacks.EarlyStopping,
    keras.callbacks.ModelCheckpoint,
    keras.callbacks.ReduceLROnPlateau,
)
NUMERIC_SETTINGS = ("patience", "start_from_epoch", "cooldown", "min_lr", "factor")  # of those
PACKAGES = {
    keras.callbacks.TensorBoard: ("tensorflow", "tensorboard"),
    keras.callbacks.RemoteMonitor: ("requests",),
}
# How Keras calls each hook: positions, then names.
HOOKS = {f"on_{when}": (["logs"], []) for when in ("train_begin", "train_end")}
HOOKS |= {f"on_epoch_{when}": (["epoch", "logs"], []) for when in ("begin", "end")}
HOOKS |= {f"on_train_batch_{when}": (["batch"], ["logs"]) for when in ("begin", "end")}
HOOKS |= {f"on_batch_{when}": (["batch"], ["logs"]) for when in ("begin", "end")}
OF_VALIDATION = {f"on_test_{when}": (["logs"], []) for when in ("begin", "end")}
OF_VALIDATION |= {f"on_test_batch_{when}": (["batch"], ["logs"]) for when in ("begin", "end")}


def check_hooks(run, validates):
    """Look at whether Keras can call what callbacks define.

    Args:
        run: the `Run`, before its callbacks are told of anything.
        validates: whether there is validation data.

    Raises:
        TypeError: for a hook that does not take what Keras passes, or a name that is none.
    """
    for callback in run.callbacks:
        name = type(callback).__name__
        for hook, (positions, names) in (HOOKS | (OF_VALIDATION if validates else {})).items():
            method = getattr(callback, hook)
            call = ", ".join([*positions, *(f"{n}={n}" for n in names)])
            try:
                inspect.signature(method).bind(*positions, **dict.fromkeys(names))
            except TypeError as error:
                raise TypeError(
                    f"{name}.{hook} is called as {hook}({call}), which what it is here does not "
                    f"take: {error}."
                ) from error
            except ValueError:  # of what is not written in Python nothing is known
                continue
        given = vars(callback) if isinstance(callback, keras.callbacks.LambdaCallback) else ()
        if unknown := sorted(n for n in given if n[:3] == "on_" and not hasattr(type(callback), n)):
            raise TypeError(f"{name} has {unknown}, which Keras never calls: {[*HOOKS]}.")


def check_callbacks(run, validates):
    """Look at what Keras's callbacks will need.

    Args:
        run: the `Run`, whose callbacks were told of its beginning.
        validates: whether there is validation data.

    Raises:
        ValueError: for what is monitored without being logged, or without it being known which way
            is better; for what optimizers do not allow; for settings that are none.
        TypeError, ValueError: for files that could not be loaded.
        OSError: for files that could not be written.
        ImportError: for packages that are missing.
    """
    for callback in run.callbacks:
        _check_packages(callback)
        if isinstance(callback, keras.callbacks.TensorBoard) and callback.update_freq != "epoch":
            positive(callback.update_freq, 'update_freq, if not "epoch" or "batch",')
        if isinstance(callback, keras.callbacks.CSVLogger) and len(callback.sep) != 1:
            raise ValueError(f"CSVLogger separates by one character; got {callback.sep!r}.")
        if isinstance(callback, keras.callbacks.BackupAndRestore):
            if run.plan is not None:
                raise ValueError(
                    "BackupAndRestore does not know in which of its stages a model is: use "
                    "kgen.callbacks.TrainingCheckpoint(folder)."
                )
            _check_folder(callback, pathlib.Path(callback.backup_dir) / "latest.weights.h5")
        saves = isinstance(callback, keras.callbacks.ModelCheckpoint)
        if isinstance(callback, MONITORING):
            _check_monitor(callback, run, validates, saves and not callback.save_best_only)
        _check_optimizers(callback, run.model.optimizer)
        if saves:
            _check_folder(callback, callback.filepath)
            if not callback.save_weights_only:
                _check_suffix(callback.filepath)
                run.model.check_savable()
            _check_fields(callback, *_known_logs(run, validates))


def _check_monitor(callback, run, validates, unused):
    name, monitor = type(callback).__name__, callback.monitor
    for setting in NUMERIC_SETTINGS:
        if not isinstance(value := getattr(callback, setting, 0), numbers.Real):
            raise ValueError(f"{setting} of {name} must be a number; got {value!r}.")
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


def _check_packages(callback):
    for kind, packages in PACKAGES.items():
        needed = packages if isinstance(callback, kind) else ()
        if missing := [p for p in needed if importlib.util.find_spec(p) is None]:
            raise ImportError(
                f"{kind.__name__} needs {' and '.join(missing)}, which cannot be imported: pip "
                f"install {' '.join(missing)}, or leave the callback out."
            )


def _check_folder(callback, path):
    name = type(callback).__name__
    if pathlib.Path(path).is_dir():
        raise OSError(f"{name} cannot write {path}: it is a folder.")
    folder = pathlib.Path(path).absolute().parent
    while "{" in folder.name or not folder.exists():
        folder = folder.parent
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise OSError(
            f"{name} cannot write {path}: {folder} is no folder to write to ({error})."
        ) from error
