"""What the engine refuses: names, networks, options and callbacks that it cannot work with."""

import functools
import inspect

import keras
from keras import ops, tree

from kgen.arguments import one_of, positive
from kgen.engine.left_out import LeftOut

# What Keras sets on a model whenever it runs it; no step reads it.
BOOKKEEPING = {
    *("history", "stop_training", "stop_evaluating", "stop_predicting", "built", "training"),
    *("train_function", "test_function", "predict_function", "_eval_epoch_iterator", "_called"),
    *("_jax_state", "_jax_state_synced", "_initial_epoch", "_losses_override", "_torch_params"),
    *("_self_setattr_tracking", "_compiled_trainable_state"),
}
# What the engine sets, once, in the constructor: anything else under these names would break steps.
ENGINES = {"step", "first_non_finite_step", "compiled_as", "_inference", "_means"}
ENGINES |= {"_training_random", "_evaluation_random", "stage", "_stage", "_as_compiled"}
OWNERS = {"builtins", "kgen", "keras", "tensorflow", "jax", "torch"}
ARGUMENTS = {"image_shape", "seed", "check_range"}  # attributes of the constructor's arguments


def check_attributes(cls):
    """Raise a `TypeError` if a class has something of its own in the place of the engine's."""
    taken = (ENGINES | ARGUMENTS | {"optimizer"}) & vars(cls).keys()
    for name, value in vars(cls).items():  # data in the place of a method
        above = getattr(super(cls, cls), name, None)
        method = inspect.isroutine(above) or isinstance(above, property)
        if method and not (value is None or callable(value) or hasattr(value, "__get__")):
            taken |= {name} if not name.startswith("__") else set()
    if taken:
        raise TypeError(
            f"{cls.__name__} defines {sorted(taken)}, which have a meaning of their own in "
            f"{cls.__base__.__name__}: choose other names."
        )


def check_names(model):
    """Raise unless `players` and `logs` name what can be named so."""
    if isinstance(model.logs, str):
        raise TypeError(f"logs is a tuple of names; got {model.logs!r}. Write ({model.logs!r},).")
    players = model.players
    if not isinstance(players, dict) or any(isinstance(names, str) for names in players.values()):
        raise TypeError(f"players maps optimizers to lists of networks; got {players!r}.")
    if isinstance(model.conditioned, str):
        given = model.conditioned
        raise TypeError(f"conditioned is a tuple of names; got {given!r}. Write ({given!r},).")
    kinds = model.conditions
    if not (isinstance(kinds, tuple) and kinds and all(isinstance(k, type) for k in kinds)):
        raise TypeError(
            f"conditions is a tuple of classes of kgen.conditions, such as (ClassLabels, Nothing); "
            f"got {kinds!r}."
        )
    for name in model.network_names:
        if not (isinstance(name, str) and name.isidentifier()):
            raise ValueError(f"Networks are attributes, which cannot be named {name!r}.")
        refuse_taken(model, name)


def refuse_taken(model, name, value=None):
    """Raise an `AttributeError` where an attribute would stand for one of the engine's.

    Args:
        name: of the attribute.
        value: what it would be; None: a network.
    """
    engines = (c for c in type(model).__mro__ if c.__module__.split(".")[0] in OWNERS)
    owner = next((c for c in engines if name in vars(c)), None)
    network = value is None or isinstance(value, keras.layers.Layer)
    of_class = getattr(owner, name, None)
    fixed = isinstance(of_class, property) and of_class.fset is None
    method = inspect.isroutine(of_class) and not callable(value)
    if (
        name in ENGINES
        or fixed
        or method
        or (network and (owner is not None or name in ARGUMENTS or name in _of_keras()))
    ):
        what = f"{_named(owner)}.{name}" if owner is not None else f"the {name} of a model"
        raise AttributeError(
            f"{what} has its own meaning, so {type(model).__name__} cannot have "
            f"{'a network' if network else f'{value!r:.60}'} under this name: choose another "
            f"one, such as self.my_{name.strip('_')}."
        )


def _named(owner):
    """A class as its users know it: the parts of `GenerativeModel` by this name."""
    return "GenerativeModel" if owner.__module__.startswith("kgen.engine.") else owner.__name__


@functools.cache
def _of_keras():
    """Names of the attributes that Keras keeps on a model."""
    return {*vars(keras.Model(name="model")), *BOOKKEEPING, "optimizer", "loss"}


def check_networks(model):
    """Raise unless every network is there, has weights, and computes as the model does."""
    policy = model.dtype_policy
    if policy.variable_dtype != "float32":
        raise ValueError(
            f"Under the policy {policy.name!r} weights would be kept and updated in "
            f'{policy.variable_dtype}; use "float32", "mixed_bfloat16" or "mixed_float16".'
        )
    for name in model.network_names:
        network = getattr(model, name, None)
        if isinstance(network, LeftOut):
            raise ValueError(network.reason)
        if network is None:
            raise ValueError(
                f"{type(model).__name__} has no network {name!r}: pass {name}= or set self."
                f"{name} in the constructor."
            )
        if not isinstance(network, keras.layers.Layer):
            raise TypeError(f"{name} must be a keras.Model or layer; got {network!r}.")
        if not all(layer.built for layer in network._flatten_layers()):
            raise ValueError(
                f"The network {name!r} has no weights yet: give it a keras.Input, or call it once."
            )
        dtypes = {
            v.path: layer.compute_dtype
            for layer in network._flatten_layers()
            for v in layer._trainable_variables
        }
        allowed = {policy.compute_dtype, "float32"}
        if dtypes and (
            set(dtypes.values()) - allowed
            or (
                policy.compute_dtype != "float32"
                and set(dtypes.values()) == {"float32"}
                and len(dtypes) > 2
            )
        ):
            raise ValueError(
                f"The model computes in {policy.name!r} but the network {name!r} in "
                f"{sorted(set(dtypes.values()))}. Build it under the same policy: pass "
                f"dtype={policy.name!r} to its layers, or call keras.config.set_dtype_policy"
                f"({policy.name!r}) before anything is built."
            )


def check_conditioned(model):
    """Raise unless the networks that `conditioned` names are there, and take the condition."""
    given = model.condition.signatures()
    for name in model.conditioned:
        network = getattr(model, name, None)
        if not isinstance(network, keras.layers.Layer):
            raise ValueError(
                f"conditioned names the network {name!r}, which {type(model).__name__} does not "
                f"have; its networks are {model.network_names}."
            )
        inputs = getattr(network, "inputs", None)
        if given and inputs and len(inputs) <= len(given):
            missing = ", ".join(f"keras.Input({s}, dtype={d!r})" for s, d in given.values())
            raise ValueError(
                f"The network {name!r} takes {len(inputs)} input, of shape "
                f"{tuple(inputs[0].shape)}, and is to be given {' and '.join(given)} beside its "
                f"own: add {missing} to its inputs, or leave it out of conditioned."
            )


def check_compiled(model):
    """Raise a `ValueError` if optimizers are not those that `compile` prepared, for its weights."""
    if model.optimizer is not model._compiled_optimizer:
        raise ValueError(
            "model.optimizer was replaced after compile(), which prepares optimizers for what "
            "they move: pass it there, model.compile(optimizer)."
        )
    for player in model.players:
        optimizer = model._optimizer_of(player)
        optimizer = getattr(optimizer, "inner_optimizer", optimizer)
        moved = {id(v) for v in model.variables_of(player)}
        if moved != {id(v) for v in optimizer._trainable_variables}:
            raise ValueError(
                f"The player {player!r} has other trainable weights than when compile() was "
                "called: a network was frozen, unfrozen or replaced since. This takes effect "
                "when you call compile() again."
            )


def refuse_averages(model, members):
    """Raise a `ValueError` for `use_ema`, whose averages would replace weights amid the run."""
    for player, member in members.items():
        if getattr(getattr(member, "inner_optimizer", member), "use_ema", False):
            raise ValueError(
                f"The optimizer of {player!r} has use_ema=True: it begins anew with each stage of "
                f"{type(model).__name__}, and its averages with it. Compile without use_ema, and "
                "keep averages in the model: kgen.MovingAverage."
            )


def check_members(model, members):
    """Raise unless these are what `optimizers_of_stage` returns."""
    known = isinstance(members, dict) and members.keys() == model.players.keys()
    if not known or not all(isinstance(m, keras.optimizers.Optimizer) for m in members.values()):
        raise TypeError(
            f"{type(model).__name__}.optimizers_of_stage returns a dictionary from each of "
            f"{[*model.players]} to an optimizer; got {members!r}."
        )
    refuse_averages(model, members)


def check_options(verbose, **counts):
    """Refuse what Keras would take or stumble over: counts are None or positive integers."""
    for name, value in counts.items():
        if value is not None:
            positive(value, name)
    one_of(verbose, ["auto", 0, 1, 2, True, False], "verbose")


def as_callbacks(callbacks):
    """Callbacks as a list: of one, of several, or of a `CallbackList`."""
    if isinstance(callbacks, keras.callbacks.Callback):
        return [callbacks]
    found = [] if callbacks is None else getattr(callbacks, "callbacks", callbacks)
    if not isinstance(found, list | tuple):
        found = [found]
    found = tree.flatten(found)
    for callback in found:
        if not isinstance(callback, keras.callbacks.Callback):
            made = isinstance(callback, type) and issubclass(callback, keras.callbacks.Callback)
            raise TypeError(
                f"callbacks must be keras callbacks, one or a list of them; got {callback!r}."
                + (f" That is the class: make one, {callback.__name__}(...)." if made else "")
            )
    return found


def frequency(every):
    """`validation_freq`, checked."""
    if isinstance(every, list | tuple | range | set):
        return [positive(epoch, "validation_freq") for epoch in every]
    return positive(every, "validation_freq")


def refuse_no_scalar(loss, fn):
    """Raise unless what `fn` returned is one number."""
    name = getattr(fn, "__name__", "The loss function")
    if not (ops.is_tensor(loss) or isinstance(loss, int | float)):
        raise TypeError(f"{name} must return a scalar tensor; got {type(loss).__name__}.")
    if tuple(getattr(loss, "shape", ())) != ():
        raise ValueError(
            f"{name} must return one loss for the batch; got one of shape {tuple(loss.shape)}. "
            "Average it: keras.ops.mean(loss)."
        )
