"""`TrainingCheckpoint`: a run that is interrupted anywhere goes on as if it had not been."""

import contextlib
import io
import json
import math
import os
import pathlib
import re
import shutil
import socket
import tempfile
import time
import warnings
import zipfile

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

import keras
import numpy as np
from keras import ops

from kgen.arguments import positive
from kgen.callbacks import callback_state
from kgen.engine import state
from kgen.files import WRITING, digest, written_beside

_NAME = re.compile(r"checkpoint-(\d{10,})\.npz")
_META, _CALLBACK = "meta.json", "callback/"
_FORMAT = 1  # raised whenever a file means something else
_held = set()  # folders in which this process trains


class TrainingCheckpoint(keras.callbacks.Callback):
    """Complete checkpoints of a run: fit again with the same arguments and it continues.

    A checkpoint holds everything that the rest of the run depends on: weights, optimizers, seeds,
    averages, running means, the position in the data, and the state of the other callbacks
    (`History`, `CSVLogger`, `EarlyStopping`, `ReduceLROnPlateau`, and in callbacks of your own what
    attributes hold in numbers, strings, arrays, lists, tuples, sets and dictionaries, if they have
    them when training begins; never paths, nor what their constructors were given, so that a file
    from elsewhere cannot choose where a callback writes). It is written beside and renamed, with a
    checksum for each array; the last few are kept. One that is damaged is set aside as
    `checkpoint-....damaged`, and the one before it is taken. Ctrl-C and SIGTERM write one before
    they stop, where the order of the data can be restored. A run that `EarlyStopping` ended, or a
    callback that sets its `ended_run` to True, stays ended. Weights of an interrupted run end
    equal, bit for bit, to those of an uninterrupted one on the same device. A run in stages is one
    run.

    Args:
        folder: of this run alone; from then on, the working directory may change.
        every: `"epoch"`; a number of batches, such as 500; or a time, such as `"30s"`, `"10min"`
            or `"1h"`. The end of an epoch is always a checkpoint.
        keep: how many checkpoints stay.

    Raises:
        ValueError: for an unreadable `every` or `keep`; from `fit`, if the folder holds a run of
            another configuration (the message names the differences), or of another version of
            kgen.
        OSError: if the folder cannot be written, or another run is training in it.

    Example:

    ```python
    model.fit(images, epochs=100, callbacks=[kgen.callbacks.TrainingCheckpoint("run")])
    ```
    """

    resumes_runs = True

    def __init__(self, folder, every="epoch", keep=3):
        super().__init__()
        self.folder = pathlib.Path(folder).absolute()
        self._steps, self._seconds = _parse_every(every)
        self.keep = positive(keep, "keep")
        self.last_saved = None
        self._restored = self._lock = None

    def set_model(self, model):
        """Refuse models that cannot say what a run depends on."""
        if not hasattr(model, "first_non_finite_step"):
            raise TypeError(
                "TrainingCheckpoint needs a kgen.GenerativeModel, whose complete state is known; "
                f"got {type(model).__name__}. Use keras.callbacks.BackupAndRestore."
            )
        super().set_model(model)

    @property
    def has_restored(self):
        """Whether the run goes on from a checkpoint, and has saved none since."""
        return self._restored is not None

    # The engine calls these.

    def begin(self, run, initial_epoch):
        """Restore the newest whole checkpoint, if there is one; returns the epoch to start at."""
        self.run_description = self._describe(run)
        self._since, self._time = 0, time.monotonic()
        self.last_saved = self._restored = None
        self._lock = _Lock(self.folder)
        try:
            return self._begin(run, initial_epoch)
        except BaseException:
            self.end()
            raise

    def end(self):
        """Let other runs have the folder."""
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def _begin(self, run, initial_epoch):
        if not run.knows_position:
            once = hasattr(run.source, "__next__")
            kind = "generator" if once else type(run.source).__name__
            warnings.warn(
                f"The order of this {kind} cannot be restored: checkpoints are taken at the ends "
                "of epochs, and the data of a resumed run may come in "
                "another order. Arrays and kgen.data datasets resume exactly.",
                stacklevel=5,
            )
        meta = self._restore_newest(run, initial_epoch)
        if meta is None:
            return initial_epoch
        run.resume(meta["epoch"], meta["batch"])
        if run.plan is not None:
            run.begin_at(meta["first_epoch"])
        stopped = callback_state.stopped_for_good(run.callbacks, meta["callbacks"])
        return run.params["epochs"] if stopped else meta["epoch"]

    def callbacks_begun(self, run):
        """Note what callbacks start from, so that only what a run changes is kept; restore it."""
        self._callbacks = callback_state.CallbackState(run.callbacks)
        if self.has_restored:
            self.restore(run)

    def restore(self, run):
        """Put everything back as the checkpoint holds it: the model, and the other callbacks."""
        arrays, states, callbacks = self._restored
        state.restore(run.model, arrays)
        self._callbacks.restore(states, callbacks)

    def is_due(self, steps):
        """Whether a checkpoint is due after `steps` more batches."""
        self._since += steps
        by_steps = self._steps is not None and self._since >= self._steps
        by_time = self._seconds is not None and time.monotonic() - self._time >= self._seconds
        return by_steps or by_time

    def save(self, run, epoch, batch):
        """Write a checkpoint at this position."""
        states, callbacks = self._callbacks.capture()
        arrays = state.capture(run.model) | {_CALLBACK + n: a for n, a in callbacks.items()}
        meta = {
            "format": _FORMAT,
            "epoch": epoch,
            "batch": batch,
            "run": self.run_description,
            "losses": {m.name: float(ops.convert_to_numpy(m.result())) for m in run.model.metrics},
            "largest_weight": max(
                (float(np.abs(a).max()) for n, a in arrays.items() if _is_weight(n, a)), default=0.0
            ),
            "callbacks": states,
        }
        if run.plan is not None:
            meta["first_epoch"] = run.first_epoch
        path = self.folder / _name(run.number_of(epoch, batch))
        try:
            _write(path, meta, arrays)
        except OSError as error:
            stays = f" {before[-1]} stays." if (before := self._paths()) else ""
            reason = error.__cause__ or error  # it names the path, and so does this message
            raise OSError(
                f"The checkpoint {path} could not be written: {reason}.{stays}"
            ) from error
        self.last_saved, self._restored = path, None
        self._since, self._time = 0, time.monotonic()
        for old in self._paths()[: -self.keep]:
            old.unlink(missing_ok=True)

    def told(self):
        """Sentences for a run that diverged: the checkpoints, and what is known of them.

        Their weights and losses are finite. That a step had not diverged already, nobody can know.
        """
        lines = []
        for path in reversed(self._paths()):
            with contextlib.suppress(Exception):  # of a damaged file nothing is told
                with zipfile.ZipFile(path) as archive:
                    meta = json.loads(archive.read(_META))
                numbers = {"largest weight": meta["largest_weight"], **meta["losses"]}
                told = ", ".join(f"{name} {value:.3g}" for name, value in numbers.items())
                lines.append(f"  {path}: {told}")
        if not lines:
            return ""
        return (
            "\nThe checkpoints whose weights are finite, the newest first:\n"
            + "\n".join(lines)
            + "\nFinite is not good: one that was taken when training had already diverged shows "
            "large weights or losses. Delete it, and the same fit goes on from the one before it."
        )

    def _describe(self, run):
        source, model, plan = run.source, run.model, run.plan
        return {
            **state.describe(model),
            "precision": model.dtype_policy.name,
            "jit_compile": bool(model.jit_compile),  # XLA draws other random numbers
            "backend": keras.backend.backend(),
            "data": {
                "fingerprint": getattr(source, "fingerprint", None),
                "batch_size": plan.batch_sizes if plan else getattr(source, "batch_size", None),
                "steps_per_epoch": plan.steps if plan else run.steps,
            },
        }

    def _paths(self):
        if not self.folder.is_dir():  # somebody removed it
            return []
        files = (p for p in self.folder.iterdir() if p.is_file())
        found = [(m, p) for p in files if (m := _NAME.fullmatch(p.name))]
        return [p for _, p in sorted((int(m[1]), p) for m, p in found)]

    def _restore_newest(self, run, initial_epoch):
        """Restore the newest checkpoint that is whole; returns what it says, or None."""
        paths = self._paths()
        while paths:
            path = paths.pop()
            try:
                meta, arrays = _read(path)
                refusal = self._refusal(path, meta)
                if not refusal:
                    self._restore(run, path, meta, arrays, initial_epoch)
            except Exception as error:  # what a damaged file raises, or a hostile one, is no list
                where = _set_aside(path)
                goes_on = "the run starts from its beginning: there is no checkpoint before it"
                if paths:
                    goes_on = f"falling back to the checkpoint before it, {paths[-1].name}"
                warnings.warn(
                    f"{path} is damaged ({type(error).__name__}: {error}){where}; {goes_on}.",
                    stacklevel=6,
                )
                continue
            if refusal:
                raise ValueError(refusal)
            return meta
        return None

    def _refusal(self, path, meta):
        """Why a whole checkpoint cannot be continued, or None."""
        if meta["format"] != _FORMAT:
            return (
                f"{path} has format {meta['format']}, and this version of kgen reads format "
                f"{_FORMAT}: continue the run with the version that wrote it, or use another "
                "folder for a new run."
            )
        if lines := state.differences(meta["run"], self.run_description):
            return (
                f"{self.folder} holds a run of another configuration:\n  "
                + "\n  ".join(sorted(lines, key=lambda line: line.count("."))[:20])
                + "\nUse the same arguments to continue it, or another folder for a new run."
            )
        return None

    def _restore(self, run, path, meta, arrays, initial_epoch):
        epoch, batch = meta["epoch"], meta["batch"]
        callbacks = {n.removeprefix(_CALLBACK): a for n, a in arrays.items() if _CALLBACK in n}
        arrays = {n: a for n, a in arrays.items() if _CALLBACK not in n}
        updates = int(state.saved_value(run.model, arrays, run.model.step))
        known = run.is_place(epoch, batch, updates, initial_epoch)
        if not known or path.name != _name(run.number_of(epoch, batch)):
            raise ValueError(
                f"epoch {epoch}, batch {batch} is no place after {updates} steps, or not its name's"
            )
        if run.plan is not None:
            self._restore_stage(run, updates, meta)
        state.restore(run.model, arrays)
        self.last_saved, self._restored = path, (arrays, meta["callbacks"], callbacks)

    def _restore_stage(self, run, updates, meta):
        """Enter the stage whose optimizers the checkpoint holds: at the end of one, still that."""
        first, stage = meta["first_epoch"], run.plan.stage_after(updates)
        if type(first) is not int or not 0 <= first <= meta["epoch"]:
            raise ValueError(f"its run cannot have begun at epoch {first!r}")
        if stage != run.model.stage:
            run.model.enter(stage)


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


class _Lock:
    """One run in a folder at a time; a process that dies, however it does, lets go of it.

    Raises:
        OSError: if another run has it, or the folder cannot be written.
    """

    def __init__(self, folder):
        self._key = os.path.realpath(folder)
        if self._key in _held:
            raise OSError(_in_use(folder, "this process"))
        try:
            folder.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=folder).close()
            path, flags = folder / ".lock", getattr(os, "O_NOFOLLOW", 0) | os.O_RDWR | os.O_CREAT
            descriptor = os.open(path, flags, 0o666)  # what a link points to is not written to
            self._file = os.fdopen(descriptor, "r+", encoding="utf-8", errors="replace")
            self._take(folder)
        except BlockingIOError as error:
            self._file.close()
            raise OSError(_in_use(folder, error)) from None
        except OSError as error:
            raise OSError(f"Checkpoints cannot be written to {folder}: {error}") from error
        _held.add(self._key)

    def _take(self, folder):
        if not _locked(self._file):
            return
        self._file.truncate(0)
        self._file.write(f"process {os.getpid()} on {socket.gethostname()}")
        self._file.flush()
        for leftover in folder.glob(f"{WRITING}*"):  # of a run that was killed in a write
            shutil.rmtree(leftover, ignore_errors=True)

    def release(self):
        _held.discard(self._key)
        self._file.close()


def _locked(file):
    """Whether this process alone now has the file; False where there are no locks.

    A lock of `lockf` belongs to the process: workers that it forks do not hold it on after it.
    """
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        file.seek(0)
        raise BlockingIOError(file.read(200) or "another process") from None
    except (AttributeError, OSError):  # Windows; a network's file system without locks
        return False
    return True


def _in_use(folder, owner):
    return (
        f"Another run is training in {folder} ({owner}): wait until it has ended, or give each run "
        "a folder of its own."
    )


def _set_aside(path):
    """Rename a damaged checkpoint, so that it counts no more; returns words that say so."""
    aside = path.with_suffix(".damaged")
    try:
        os.replace(path, aside)
    except OSError:
        return ""
    return f" and now called {aside.name}"


def _is_weight(name, array):
    return name.startswith("model/") and array.size and array.dtype.kind == "f"


def _name(number):
    """Of the file of a position, by its number."""
    return f"checkpoint-{number:010d}.npz"


def _write(path, meta, arrays):
    """Write beside, flush to the disk, rename: a crash leaves the old file or the new one."""
    arrays = {name: np.asarray(a) for name, a in arrays.items()}
    meta = {**meta, "checksums": {name: _checksum(a) for name, a in arrays.items()}}
    os.stat(path.parent)  # a folder that was removed is not made again: the lock went with it
    with written_beside(path) as temporary, open(temporary, "wb") as file:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
            # Dated by ZipInfo, not by the clock, which archives cannot hold before 1980.
            archive.writestr(zipfile.ZipInfo(_META), json.dumps(meta))
            for name, array in arrays.items():
                member = zipfile.ZipInfo(f"{name}.npy")
                with archive.open(member, "w", force_zip64=True) as opened:
                    np.lib.format.write_array(opened, array, allow_pickle=False)
        file.flush()
        os.fsync(file.fileno())
    if hasattr(os, "O_DIRECTORY"):  # the rename itself
        descriptor = os.open(path.parent, os.O_DIRECTORY)
        os.fsync(descriptor)
        os.close(descriptor)


def _read(path):
    """What a checkpoint says, and its arrays; raises, whatever it is, if it is not whole."""
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        if any(m.compress_type != zipfile.ZIP_STORED for m in members) or (
            sum(m.file_size for m in members) > path.stat().st_size
        ):
            raise ValueError("its members are not those of a checkpoint")
        meta = json.loads(archive.read(_META))
        arrays = {}
        if not _is_ours(meta):
            return meta, arrays
        for name, checksum in meta["checksums"].items():
            arrays[name] = _array(archive.read(f"{name}.npy"))
            if _checksum(arrays[name]) != checksum:
                raise ValueError(f"the checksum of {name} is wrong")
    return meta, arrays


def _is_ours(meta):
    """Whether it is of this format; refuses what no checkpoint says."""
    format_, epoch, batch = (meta[key] for key in ("format", "epoch", "batch"))
    if not all(type(n) is int and n >= 0 for n in (format_, epoch, batch)):
        raise ValueError(
            f"format {format_!r}, epoch {epoch!r}, batch {batch!r} are not all whole numbers"
        )
    if format_ != _FORMAT:
        return False
    if not all(isinstance(part, dict) for part in (meta["run"], *meta["callbacks"].values())):
        raise ValueError("what it says of the run, or of callbacks, is no dictionary")
    return True


def _array(content):
    """An array from the bytes of a `.npy` file: no more memory than they take."""
    file = io.BytesIO(content)
    version = np.lib.format.read_magic(file)
    read_header = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }[version]
    shape, fortran, dtype = read_header(file)
    if dtype.hasobject or math.prod(shape) * dtype.itemsize != len(content) - file.tell():
        raise ValueError(f"{len(content)} bytes hold no array {shape} of {dtype}")
    array = np.frombuffer(content, dtype, offset=file.tell()).copy()
    return array.reshape(shape, order="F" if fortran else "C")


def _checksum(array):
    return digest(np.ascontiguousarray(array).tobytes())
