"""What a run changes in its callbacks, as JSON and arrays: Keras asks callbacks for no state."""

import csv
import functools
import inspect
import os
import pathlib
import re
import warnings

import keras
import numpy as np

# Keras's own, what its monitoring callbacks find out once, what it sets when an epoch begins.
_NOT_STATE = (
    *("params", "_model", "min_delta", "monitor_op"),
    *("_current_epoch", "_epoch_start_time"),
)
# May hold a "/", and are never used as paths.
_NAMES_OF_LOGS = (keras.callbacks.History, "history"), (keras.callbacks.CSVLogger, "keys")
_CSV, _CSV_LIMIT = "__csv__", 2**26  # characters
# A separator, a drive, or a suffix; sentences, and numbers such as 0.5, are none.
_PATH = re.compile(r"[/\\\0]|^~|^[A-Za-z]:|\.(?=\w*[^\W\d])\w{1,10}$")


class CallbackState:
    """The state of the callbacks of one run, made when they have begun.

    An attribute is state if the run may change it: the callback has it when training begins, its
    constructor has no parameter of that name, it is of the same kind as then (or None), and there
    is no path in it. So whoever can write a checkpoint's file cannot choose where a callback
    writes or deletes. A path is whatever looks like one or is the name of a file that exists. For
    the same reason `CSVLogger`'s file gets back what a `CSVLogger` writes, and nothing else.

    Args:
        callbacks: Keras callbacks; those that resume runs, and progress bars, have no state.
    """

    def __init__(self, callbacks):
        self._callbacks = dict(_keyed(callbacks))
        self._start = {key: _attributes(callback) for key, callback in self._callbacks.items()}
        self._restored, self._told = set(), set()
        self._csv_files = {  # just opened: where the process goes then is another matter
            key: pathlib.Path(callback.filename).absolute()
            for key, callback in self._callbacks.items()
            if isinstance(callback, keras.callbacks.CSVLogger)
        }

    def capture(self):
        """Attributes that the run has changed: a JSON-like state per callback, and arrays.

        Kept are numbers, strings, None, arrays, and lists, tuples, sets and dictionaries of them.
        What a callback of one's own changes and a checkpoint does not keep is a warning.
        """
        states, arrays = {}, {}
        for key, callback in self._callbacks.items():
            states[key] = {}
            for name, encoded in _attributes(callback).items():
                start = self._start[key].get(name)
                if (key, name) not in self._restored and _equal(encoded, start):
                    continue
                if reason := _refusal(callback, name, start, encoded):
                    if not _is_of_keras(type(callback)):
                        self._tell(callback, name, f"is not kept in checkpoints: {reason}")
                    continue
                states[key][name], found = encoded
                arrays |= {f"{key}/{name}/{i}": array for i, array in enumerate(found)}
            if path := self._csv_files.get(key):
                if (text := _csv_of(callback, path)) is None:
                    what = f"{path} does not hold what a CSVLogger writes"
                    self._tell(callback, "filename", f"is not kept in checkpoints: {what}")
                else:
                    states[key][_CSV] = text
        return states, arrays

    def restore(self, states, arrays):
        """Put back what `capture` returned; what is no state is left as it is, with a warning."""
        for key, callback in self._callbacks.items():
            for name, plain in states.get(key, {}).items():
                if name == _CSV:
                    reason = _restore_csv(callback, plain)
                else:
                    reason = self._put_back(key, name, plain, arrays)
                if reason:
                    self._tell(callback, name, f"in the checkpoint is ignored: {reason}")

    def _put_back(self, key, name, plain, arrays):
        callback, start = self._callbacks[key], self._start[key].get(name)
        try:
            value, found = _decode(plain, arrays, f"{key}/{name}"), []
            encoded = _encode(value, found), found
        except Exception as error:  # whatever else a file may hold
            return f"it cannot be read ({error!r})"
        reason = _refusal(callback, name, start, encoded)
        if not reason:
            setattr(callback, name, value)
            self._restored.add((key, name))
        return reason

    def _tell(self, callback, name, words):
        text = f"{type(callback).__name__}.{name} {words}."
        if text not in self._told:
            self._told.add(text)
            warnings.warn(text, stacklevel=2)


def stopped_for_good(callbacks, states):
    """Whether one of the callbacks says that it ended the run, as `EarlyStopping` does.

    A callback that only sets `stop_training`, such as a limit of time, lets the run go on later.
    """
    for key, callback in _keyed(callbacks):
        early = isinstance(callback, keras.callbacks.EarlyStopping)
        name = "stopped_epoch" if early else "ended_run"
        if hasattr(callback, name) and states.get(key, {}).get(name):
            return True
    return False


def _keyed(callbacks):
    counts = {}
    for callback in callbacks:
        name = type(callback).__name__
        counts[name] = counts.get(name, -1) + 1
        stateless = name == "ProgbarLogger" or not getattr(callback, "has_state", True)
        if not getattr(callback, "resumes_runs", False) and not stateless:
            yield f"{name}-{counts[name]}", callback


def _is_of_keras(kind):
    return kind.__module__.split(".")[0] == "keras"


# What is state.


def _refusal(callback, name, start, encoded):
    """Why an attribute is no state that a run may change, or None."""
    if start is None:
        return "training began without it; set it in the constructor or in on_train_begin"
    if name in _given(type(callback)):
        return (
            "the constructor is given it; what a run changes belongs into an attribute of another "
            "name"
        )
    before, now = _kind(*start), _kind(*encoded)
    if before == "string" and any(map(_is_of_keras, type(callback).__mro__[:-2])):
        return "strings in Keras's own callbacks are what their constructors were given"
    if before != now and "None" not in (before, now):
        return f"it was a {before} when training began, and this is a {now}"
    if any(isinstance(callback, kind) and name == own for kind, own in _NAMES_OF_LOGS):
        return None
    paths = (t for state in (start, encoded) for t in _strings(*state) if _is_path(callback, t))
    if (path := next(paths, None)) is not None:
        return f"it holds the path {path[:80]!r}, and paths are never restored"
    return None


@functools.cache
def _given(kind):
    """Names under which a class may keep the arguments of its constructor."""
    names = set()
    for base in kind.__mro__:
        if "__init__" in vars(base) and base is not object:
            arguments = list(inspect.signature(base.__init__).parameters)[1:]
            mangled = {f"_{base.__name__.lstrip('_')}__{a}" for a in arguments}
            names |= mangled | {lead + a + end for a in arguments for lead in ("", "_")
                                for end in ("", "_")}  # fmt: skip
    return names


def _is_path(callback, text):
    given = (getattr(callback, name, None) for name in _given(type(callback)))
    return (
        _PATH.search(text) is not None
        or text in [g for g in given if isinstance(g, str)]
        or os.path.exists(text)
    )


def _kind(plain, arrays):
    """What sort of value an encoded one is."""
    if plain is None:
        return "None"
    if not isinstance(plain, dict):
        return "string" if isinstance(plain, str) else "number"
    ((kind, index),) = plain.items()
    if kind not in ("array", "scalar"):
        return kind
    if arrays[index].ndim:
        return "array"
    return "number" if arrays[index].dtype.kind in "biufc" else "string"


def _strings(plain, arrays):
    """Every string in an encoded value."""
    if isinstance(plain, str):
        yield plain
    elif isinstance(plain, dict):
        ((kind, items),) = plain.items()
        if kind not in ("array", "scalar"):
            for item in items:
                yield from _strings(item, arrays)
        elif arrays[items].dtype.kind not in "biufcmM":
            yield from map(str, arrays[items].ravel().tolist())


def _attributes(callback):
    """Attributes that a file can hold, with those that a class gives all its callbacks."""
    values = {}
    for base in reversed(type(callback).__mro__[:-1]):
        if not _is_of_keras(base):
            values |= {n: v for n, v in vars(base).items() if not n.startswith("__")}
    encoded = {}
    for name, value in (values | vars(callback)).items():
        arrays = []
        if name not in _NOT_STATE and (plain := _encode(value, arrays)) is not NotImplemented:
            encoded[name] = plain, arrays
    return encoded


# As JSON.


def _encode(value, arrays):
    """A value as JSON, its arrays collected; NotImplemented for what a file cannot hold."""
    if isinstance(value, np.ndarray | np.generic) and not value.dtype.hasobject:
        arrays.append(np.array(value))
        return {"array" if isinstance(value, np.ndarray) else "scalar": len(arrays) - 1}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    kind = type(value).__name__ if type(value) in (list, tuple, set, dict) else None
    if kind is None:
        return NotImplemented
    items = [pair for item in value.items() for pair in item] if kind == "dict" else value
    items = [_encode(item, arrays) for item in items]
    return NotImplemented if NotImplemented in items else {kind: items}


def _decode(plain, arrays, prefix):
    if not isinstance(plain, dict):
        return plain
    ((kind, items),) = plain.items()
    if kind in ("array", "scalar"):
        array = arrays[f"{prefix}/{items}"]
        return array if kind == "array" else array[()]
    items = [_decode(item, arrays, prefix) for item in items]
    if kind == "dict":
        return dict(zip(items[::2], items[1::2], strict=True))
    return {"list": list, "tuple": tuple, "set": set}[kind](items)


def _equal(a, b):
    return (
        b is not None
        and a[0] == b[0]
        and all(np.array_equal(x, y) for x, y in zip(a[1], b[1], strict=True))
    )


# The file of a CSVLogger.


def _csv_of(callback, path):
    """The text of its file; None if it is not what it writes, or there is none."""
    callback.csv_file.flush()
    try:
        text = path.read_bytes().decode()
    except (OSError, UnicodeDecodeError):
        return None
    return text if _is_csv(callback, text) else None


def _is_csv(callback, text):
    """Whether every row begins with the number of an epoch, or is a header."""
    if len(text) > _CSV_LIMIT:
        return False
    try:
        rows = list(csv.reader(text.splitlines(), delimiter=callback.sep))
    except csv.Error:
        return False
    return all(re.fullmatch(r"epoch|\d+", row[0]) for row in rows if row)


def _restore_csv(callback, text):
    """The file as it was: rows after it will be written again. Returns why not, or None."""
    logger = isinstance(callback, keras.callbacks.CSVLogger)
    if not (logger and isinstance(text, str) and _is_csv(callback, text)):
        return "it is not what a CSVLogger writes"
    callback.csv_file.seek(0)
    callback.csv_file.truncate()
    callback.csv_file.write(text)
    callback.csv_file.flush()
    callback.append_header = not text
    return None
