"""`TrainingCheckpoint`: a run that is interrupted anywhere goes on as if it had not been."""

import contextlib
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

from kgen.arguments import positive
from kgen.callbacks import callback_state
from kgen.engine import state

_NAME = re.compile(r"checkpoint-(\d{10,})\.npz")
_META, _CALLBACK = "meta.json", "callback/"


class TrainingCheckpoint(keras.callbacks.Callback):
    """Complete checkpoints of a run: fit again with the same arguments and it continues.

    A checkpoint holds everything that the rest of the run depends on: weights, optimizers, seeds,
    averages, running means, the position in the data, and the state of the other callbacks
    (`History`, `CSVLogger`, `EarlyStopping`, `ReduceLROnPlateau`, and in callbacks of your own what
    attributes hold in numbers, strings, arrays, lists, tuples, sets and dictionaries). It is
    written beside and renamed, with a checksum for each array; the last few are kept. Ctrl-C and
    SIGTERM write one before they stop, where the order of the data can be restored. A run that
    `EarlyStopping` ended (or any callback with a `stopped_epoch`) stays ended. Weights of an
    interrupted run end equal, bit for bit, to those of an uninterrupted one on the same device.

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
        self.keep = positive(keep, "keep")
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
        callbacks = {n.removeprefix(_CALLBACK): a for n, a in arrays.items() if _CALLBACK in n}
        arrays = {n: a for n, a in arrays.items() if _CALLBACK not in n}
        self.last_saved, self._restored = path, (arrays, meta["callbacks"], callbacks)
        state.restore(run.model, arrays)
        run.resume(meta["epoch"], meta["batch"])
        stopped = callback_state.stopped_for_good(run.callbacks, meta["callbacks"])
        return run.params["epochs"] if stopped else meta["epoch"]

    def callbacks_begun(self, run):
        """Note what callbacks start from, so that only what a run changes is kept; restore it."""
        self._start = callback_state.begin(run.callbacks)
        if self._restored is not None:
            self.restore(run)

    def restore(self, run):
        """Put everything back as the checkpoint holds it: the model, and the other callbacks."""
        arrays, states, callbacks = self._restored
        state.restore(run.model, arrays)
        callback_state.restore(run.callbacks, self._start, states, callbacks)

    def is_due(self, steps):
        """Whether a checkpoint is due after `steps` more batches."""
        self._since += steps
        by_steps = self._steps is not None and self._since >= self._steps
        by_time = self._seconds is not None and time.monotonic() - self._time >= self._seconds
        return by_steps or by_time

    def save(self, run, epoch, batch):
        """Write a checkpoint at this position."""
        states, callbacks = callback_state.capture(run.callbacks, self._start)
        arrays = state.capture(run.model) | {_CALLBACK + n: a for n, a in callbacks.items()}
        meta = {
            "format": 1,
            "epoch": epoch,
            "batch": batch,
            "run": self.run_description,
            "callbacks": states,
        }
        number = epoch * 10**6 + batch if run.steps is None else epoch * run.steps + batch
        path = self.folder / f"checkpoint-{number:010d}.npz"
        _write(path, meta, arrays)
        self.last_saved, self._restored = path, None
        self._since, self._time = 0, time.monotonic()
        for old in self._paths()[: -self.keep]:
            old.unlink(missing_ok=True)

    def _describe(self, run):
        source, model = run.source, run.model
        return {
            **state.describe(model),
            "precision": model.dtype_policy.name,
            "jit_compile": bool(model.jit_compile),  # XLA draws other random numbers
            "backend": keras.backend.backend(),
            "data": {
                "fingerprint": getattr(source, "fingerprint", None),
                "batch_size": getattr(source, "batch_size", None),
                "steps_per_epoch": run.steps,
            },
        }

    def _paths(self):
        found = [(m, p) for p in self.folder.iterdir() if (m := _NAME.fullmatch(p.name))]
        return [p for _, p in sorted((int(m[1]), p) for m, p in found)]

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
                archive.writestr(_META, json.dumps(meta))
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
