"""What a run changes in its callbacks, as JSON and arrays: Keras asks callbacks for no state."""

import pathlib

import keras
import numpy as np

# Keras's own (params, model), and what Keras's monitoring callbacks flip once when they begin.
_NOT_STATE = ("params", "_model", "min_delta")


def begin(callbacks):
    """What the attributes of each callback are before a run changes them."""
    return {key: _attributes(callback) for key, callback in _keyed(callbacks)}


def capture(callbacks, start):
    """Attributes that differ from those of `begin`: a JSON-like state per callback, and arrays.

    Kept are numbers, strings, None, arrays, and lists, tuples, sets and dictionaries of them.
    """
    states, arrays = {}, {}
    for key, callback in _keyed(callbacks):
        changed = {
            name: encoded
            for name, encoded in _attributes(callback).items()
            if not _equal(encoded, start.get(key, {}).get(name))
        }
        states[key] = {name: plain for name, (plain, _) in changed.items()}
        for name, (_, found) in changed.items():
            arrays |= {f"{key}/{name}/{i}": array for i, array in enumerate(found)}
        if isinstance(callback, keras.callbacks.CSVLogger):
            callback.csv_file.flush()
            states[key]["__csv__"] = pathlib.Path(callback.filename).read_bytes().decode()
    return states, arrays


def restore(callbacks, start, states, arrays):
    """Put back what `capture` returned, and forget it in `start`: it is a change for good."""
    for key, callback in _keyed(callbacks):
        for name, plain in states.get(key, {}).items():
            start.get(key, {}).pop(name, None)
            if name == "__csv__":
                _restore_csv(callback, plain)
            else:
                setattr(callback, name, _decode(plain, arrays, f"{key}/{name}"))


def stopped_for_good(callbacks, states):
    """Whether one of the callbacks says that it ended the run, as `EarlyStopping` does.

    A callback that only sets `stop_training`, such as a limit of time, lets the run go on later.
    """
    return any(states.get(key, {}).get("stopped_epoch") for key, _ in _keyed(callbacks))


def _keyed(callbacks):
    counts = {}
    for callback in callbacks:
        name = type(callback).__name__
        counts[name] = counts.get(name, -1) + 1
        if not getattr(callback, "resumes_runs", False) and name != "ProgbarLogger":
            yield f"{name}-{counts[name]}", callback


def _attributes(callback):
    encoded = {}
    for name, value in vars(callback).items():
        arrays = []
        if name not in _NOT_STATE and (plain := _encode(value, arrays)) is not NotImplemented:
            encoded[name] = plain, arrays
    return encoded


def _encode(value, arrays):
    """A value as JSON, its arrays collected; NotImplemented for what a file cannot hold."""
    if isinstance(value, np.ndarray | np.generic) and value.dtype != object:
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


def _restore_csv(callback, text):
    """The file as it was: rows after it will be written again."""
    callback.csv_file.seek(0)
    callback.csv_file.truncate()
    callback.csv_file.write(text)
    callback.csv_file.flush()
    callback.append_header = not text
