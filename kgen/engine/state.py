"""What a complete checkpoint is: every variable that a run moves, and what identifies the run."""

import json
import re

import numpy as np
from keras import ops

from kgen.engine import backend
from kgen.engine.stages import stages_of


def capture(model):
    """Every array that training moves, by name.

    Weights, batch statistics, seeds, step, averages, histories; the optimizers' variables; the
    running means.
    """
    backend.synchronize(model)
    return {name: _to_numpy(v) for name, v in _variables(model).items()}


def restore(model, saved):
    """Put back what `capture` returned.

    Raises:
        ValueError: if the arrays are not those of this model; names the first differences.
    """
    variables = _variables(model)
    problems = [f"{name} is missing" for name in variables.keys() - saved.keys()]
    problems += [f"{name} is unknown" for name in saved.keys() - variables.keys()]
    problems += [
        f"{name} has shape {saved[name].shape}, not {tuple(v.shape)}"
        for name, v in variables.items()
        if name in saved and tuple(v.shape) != saved[name].shape
    ]
    problems += [
        f"{name} holds {saved[name].dtype}, not {v.dtype}"
        for name, v in variables.items()
        if name in saved and not np.can_cast(saved[name].dtype, _to_numpy(v).dtype, "same_kind")
    ]
    if problems:
        raise ValueError(
            "This state belongs to another model: " + "; ".join(sorted(problems)[:5]) + "."
        )
    for name, variable in variables.items():
        variable.assign(saved[name])


def saved_value(model, arrays, variable):
    """The array that `capture` made of a variable of the model."""
    return next(arrays[name] for name, v in _variables(model).items() if v is variable)


def _variables(model):
    optimizer = getattr(model, "optimizer", None)  # none before compile
    groups = {
        "model": model.variables,
        "optimizer": optimizer.variables if optimizer is not None else [],
        "metrics": model.metrics_variables,
    }
    return {
        f"{group}/{index:04d}": v
        for group, variables in groups.items()
        for index, v in enumerate(variables)
    }


def _to_numpy(variable):
    return np.array(ops.convert_to_numpy(variable.value))  # a copy: training goes on


def describe(model):
    """Configuration of model and compilation as plain JSON, without automatic names.

    The optimizers are described as they were compiled: callbacks may have changed their rates.
    Names such as `dense_7` count the layers that the process has made so far; they are numbered
    anew, so that the same model made twice describes itself in the same way.
    """
    config = {"model": model.get_config(), "compile": model.compiled_as}
    if config["model"].pop("stage", None) is not None:  # where a run is, not what it is
        config["stages"] = stages_of(model)
    config = json.loads(json.dumps(config, default=_plain))
    names = {}
    _collect_names(config, names)
    return _rename(config, names)


def differences(saved, current, path=""):
    """Where two descriptions differ, as lines `path: saved ..., now ...`."""
    if isinstance(saved, dict) and isinstance(current, dict):
        keys = sorted(saved.keys() | current.keys())
        return [
            line
            for key in keys
            for line in differences(saved.get(key), current.get(key), f"{path}.{key}".lstrip("."))
        ]
    if isinstance(saved, list) and isinstance(current, list) and len(saved) == len(current):
        return [
            line
            for index, (a, b) in enumerate(zip(saved, current, strict=True))
            for line in differences(a, b, f"{path}[{index}]")
        ]
    return [] if saved == current else [f"{path}: saved {_short(saved)}, now {_short(current)}"]


def _short(value):
    text = json.dumps(value)
    return text if len(text) <= 80 else text[:77] + "..."


def _plain(value):
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    if hasattr(value, "get_config"):
        return value.get_config()
    return str(value)


def _is_named(config):
    """Whether a configuration is that of a layer; a dtype policy's is its name alone."""
    return isinstance(config.get("name"), str) and len(config) > 1


def _collect_names(config, names):
    if isinstance(config, dict):
        name = config.get("name")
        if _is_named(config) and name not in names:
            names[name] = f"{re.sub(r'_[0-9]+$', '', name)}#{len(names)}"
        for value in config.values():
            _collect_names(value, names)
    elif isinstance(config, list):
        for value in config:
            _collect_names(value, names)


def _rename(config, names):
    if isinstance(config, dict):
        config = {key: _rename(value, names) for key, value in config.items()}
        if _is_named(config):
            config["name"] = names[config["name"]]
        return config
    if isinstance(config, list):
        if len(config) == 3 and isinstance(config[0], str) and config[1:] == [0, 0]:
            return [names.get(config[0], config[0]), 0, 0]  # a layer's output, in a graph
        return [_rename(value, names) for value in config]
    return config
