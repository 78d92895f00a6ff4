"""`TrainingCheckpoint`: a run that is interrupted anywhere goes on as if it had not been."""

import contextlib
import copy
import hashlib
import json
import os
import pathlib
import re
import time
import warnings
import zipfile

import keras
import numpy as np

from kgen.engine import state

_NAME = re.compile(r"checkpoint-(\d{10})\.npz")
_META = "meta.json"


class TrainingCheckpoint(keras.callbacks.Callback):
    """Complete checkpoints of a run: fit again with the same arguments and it continues.

    A checkpoint holds everything that the rest of the run depends on: weights, optimizers, seeds,
    averages, running means, the position in the data, and the state of the other callbacks
    (`History`, `CSVLogger`, `EarlyStopping`, `ReduceLROnPlateau`, ...). It is written beside and
    renamed, with a checksum for each array; the last few are kept. Ctrl-C and SIGTERM write one
    before they stop. Weights of an interrupted run end equal, bit for bit, to those of an
    uninterrupted one on the same device.

    Args:
        folder: of this run alone.
        every: `"epoch"`; a number of batches, such as 500; or a time, such as `"30s"`, `"10min"`
            or `"1h"`. The end of an epoch is always a checkpoint.
        keep: how many checkpoints stay.

    Raises:
        ValueError: for an unreadable `every` or `keep`; from `fit`, if the folder holds a run of
            another configuration (the message names the differences).
        OSError: if the folder cannot be written.

    Example:

    ```python
    model.fit(images, epochs=100, callbacks=[kgen.callbacks.TrainingCheckpoint("run")])
    ```
    """

    resumes_runs = True

    def __init__(self, folder, every="epoch", keep=3):
        super().__init__()
        self.folder = pathlib.Path(folder)
        self._steps, self._seconds = _parse_every(every)
        if int(keep) != keep or keep < 1:
            raise ValueError(f"keep must be a positive integer; got {keep!r}.")
        self.keep = int(keep)
        self.last_saved = None
        self._restored = None

    def set_model(self, model):
        """Refuse models that cannot say what a run depends on."""
        if not hasattr(model, "first_non_finite_step"):
            raise TypeError(
                "TrainingCheckpoint needs a kgen.GenerativeModel, whose complete state is known; "
                f"got {type(model).__name__}. Use keras.callbacks.BackupAndRestore."
            )
        super().set_model(model)

    # The engine calls these.

    def begin(self, run, initial_epoch):
        """Restore the newest whole checkpoint, if there is one; returns the epoch to start at."""
        self.run_description = self._describe(run)
        self._since, self._time = 0, time.monotonic()
        self.last_saved = self._restored = None
        _make_folder(self.folder)
        if not run.knows_position:
            warnings.warn(
                f"The order of this {type(run.source).__name__} cannot be restored: checkpoints "
                "are taken at the ends of epochs, and the data of a resumed run may come in "
                "another order. Arrays and kgen.data datasets resume exactly.",
                stacklevel=4,
            )
        found = self._newest()
        if found is None:
            return initial_epoch
        path, meta, arrays = found
        if lines := state.differences(meta["run"], self.run_description):
            raise ValueError(
                f"{self.folder} holds a run of another configuration:\n  "
                + "\n  ".join(sorted(lines, key=lambda line: line.count("."))[:20])
                + "\nUse the same arguments to continue it, or another folder for a new run."
            )
        state.restore(run.model, {n: a for n, a in arrays.items() if not n.startswith("callback/")})
        self.last_saved, self._restored = path, (meta["callbacks"], arrays)
        self._means = [_to_numpy(v) for v in run.model.metrics_variables]
        run.resume(meta["epoch"], meta["batch"])
        return run.params["epochs"] if meta["stopped"] else meta["epoch"]

    def callbacks_begun(self, callbacks):
        """Note what callbacks start from, so that only what a run changes is kept; restore it."""
        self._start = {key: _attributes(callback) for key, callback in _keyed(callbacks)}
        if self._restored is None:
            return
        states, arrays = self._restored
        for key, callback in _keyed(callbacks):
            _set_state(callback, states.get(key, {}), arrays, f"callback/{key}/")

    def epoch_resumed(self):
        """Restore the running means of the epoch that was cut; Keras resets them at its start."""
        for variable, value in zip(self.model.metrics_variables, self._means, strict=True):
            variable.assign(value)

    def is_due(self, steps):
        """Whether a checkpoint is due after `steps` more batches."""
        self._since += steps
        by_steps = self._steps is not None and self._since >= self._steps
        by_time = self._seconds is not None and time.monotonic() - self._time >= self._seconds
        return by_steps or by_time

    def save(self, run, epoch, batch):
        """Write a checkpoint at this position."""
        arrays = state.capture(run.model)
        callbacks = {}
        for key, callback in _keyed(run.callbacks):
            callbacks[key], found = _changed(callback, self._start.get(key, {}))
            arrays |= {f"callback/{key}/{name}": array for name, array in found.items()}
        meta = {
            "format": 1,
            "epoch": epoch,
            "batch": batch,
            "stopped": bool(run.model.stop_training) and batch == 0,
            "run": self.run_description,
            "callbacks": callbacks,
        }
        number = epoch * 10**6 + batch if run.steps is None else epoch * run.steps + batch
        path = self.folder / f"checkpoint-{number:010d}.npz"
        _write(path, meta, arrays)
        self.last_saved = path
        self._since, self._time = 0, time.monotonic()
        for old in self._paths()[: -self.keep]:
            old.unlink(missing_ok=True)

    def _describe(self, run):
        source, model = run.source, run.model
        return {
            **state.describe(model),
            "precision": model.dtype_policy.name,
            "backend": keras.backend.backend(),
            "data": {
                "fingerprint": getattr(source, "fingerprint", None),
                "batch_size": getattr(source, "batch_size", None),
                "steps_per_epoch": run.steps,
            },
        }

    def _paths(self):
        return sorted(p for p in self.folder.iterdir() if _NAME.fullmatch(p.name))

    def _newest(self):
        for path in reversed(self._paths()):
            try:
                return path, *_read(path)
            except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
                warnings.warn(
                    f"{path} is damaged ({error}); falling back to the checkpoint before it.",
                    stacklevel=5,
                )
        return None


def _parse_every(every):
    units = {"s": 1, "min": 60, "h": 3600}
    if every == "epoch":
        return None, None
    if isinstance(every, int) and not isinstance(every, bool) and every > 0:
        return every, None
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(s|min|h)", every) if isinstance(every, str) else None
    if match and float(match[1]) > 0:
        return None, float(match[1]) * units[match[2]]
    raise ValueError(
        'every must be "epoch", a positive number of batches, or a time such as "30s", "10min" '
        f'or "1h"; got {every!r}.'
    )


# Files.


def _make_folder(folder):
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for leftover in folder.glob(".writing-*"):
            leftover.unlink(missing_ok=True)
        probe = folder / f".writing-{os.getpid()}"
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        raise OSError(f"Checkpoints cannot be written to {folder}: {error}") from error


def _write(path, meta, arrays):
    """Write beside, flush to the disk, rename: a crash leaves the old file or the new one."""
    arrays = {name: np.asarray(a) for name, a in arrays.items()}
    meta = {**meta, "checksums": {name: _checksum(a) for name, a in arrays.items()}}
    temporary = path.with_name(f".writing-{path.name}")
    try:
        with open(temporary, "wb") as file:
            with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
                archive.writestr(_META, json.dumps(meta, default=_plain))
                for name, array in arrays.items():
                    with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                        np.lib.format.write_array(member, array, allow_pickle=False)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise OSError(
            f"The checkpoint {path} could not be written: {error}. The one before it stays."
        ) from error
    if hasattr(os, "O_DIRECTORY"):  # the rename itself
        descriptor = os.open(path.parent, os.O_DIRECTORY)
        os.fsync(descriptor)
        os.close(descriptor)


def _read(path):
    with zipfile.ZipFile(path) as archive:
        meta = json.loads(archive.read(_META))
        arrays = {}
        for name, checksum in meta["checksums"].items():
            with archive.open(f"{name}.npy") as member:
                arrays[name] = np.lib.format.read_array(member, allow_pickle=False)
            if _checksum(arrays[name]) != checksum:
                raise ValueError(f"the checksum of {name} is wrong")
    return meta, arrays


def _checksum(array):
    return hashlib.blake2b(np.ascontiguousarray(array).tobytes(), digest_size=16).hexdigest()


# The state of other callbacks.


# Keras's own (params, model), and what Keras's monitoring callbacks flip once when they begin.
_NOT_STATE = ("params", "_model", "min_delta")


def _keyed(callbacks):
    counts = {}
    for callback in callbacks:
        name = type(callback).__name__
        counts[name] = counts.get(name, -1) + 1
        if not getattr(callback, "resumes_runs", False) and name != "ProgbarLogger":
            yield f"{name}-{counts[name]}", callback


def _attributes(callback):
    """Attributes with plain values or arrays (such as the best weights), copied."""
    return {
        name: copy.deepcopy(value)
        for name, value in vars(callback).items()
        if name not in _NOT_STATE and (_is_plain(value) or _is_arrays(value))
    }


def _changed(callback, start):
    """What a run has changed in a callback: plain values for JSON, and arrays."""
    plain, arrays = {}, {}
    for name, value in _attributes(callback).items():
        if _is_arrays(value):
            plain[name] = {"__arrays__": len(value)}
            arrays |= {f"{name}/{i}": array for i, array in enumerate(value)}
        elif name not in start or value != start[name]:
            plain[name] = value
    if isinstance(callback, keras.callbacks.CSVLogger):
        callback.csv_file.flush()
        plain["__csv__"] = pathlib.Path(callback.filename).read_bytes().decode()
    return plain, arrays


def _set_state(callback, plain, arrays, prefix):
    for name, value in plain.items():
        if name == "__csv__":  # as it was: rows after it will be written again
            callback.csv_file.seek(0)
            callback.csv_file.truncate()
            callback.csv_file.write(value)
            callback.csv_file.flush()
            callback.append_header = not value
        elif isinstance(value, dict) and "__arrays__" in value:
            count = value["__arrays__"]
            setattr(callback, name, [arrays[f"{prefix}{name}/{i}"] for i in range(count)])
        else:
            setattr(callback, name, value)


def _is_arrays(value):
    return isinstance(value, list) and bool(value) and all(isinstance(v, np.ndarray) for v in value)


def _is_plain(value):
    if isinstance(value, dict):
        return all(isinstance(k, str) and _is_plain(v) for k, v in value.items())
    if isinstance(value, list):
        return all(_is_plain(v) for v in value)
    return value is None or isinstance(value, bool | int | float | str | np.number)


def _plain(value):
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} is not plain")


def _to_numpy(variable):
    return np.array(keras.ops.convert_to_numpy(variable))
