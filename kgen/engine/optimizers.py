"""Several optimizers as one Keras optimizer, and optimizers written so that they load anywhere."""

import contextlib
import math

import keras
import numpy as np
from keras import ops

# Made with the optimizer, or with the variables that it is built for: too late afterwards.
_BUILT_IN = ("use_ema", "gradient_accumulation_steps", "loss_scale_factor")
_SETTINGS = ("weight_decay", "clipnorm", "global_clipnorm", "clipvalue")
_SETTINGS += ("ema_momentum", "ema_overwrite_frequency")
# What `exclude_from_weight_decay` sets, and no configuration holds.
_EXCLUDED = ("_exclude_from_weight_decay", "_exclude_from_weight_decay_pattern")


def _assign(variables, values):
    """Give variables their values, as `set_weights` of optimizers within an optimizer."""
    if [tuple(v.shape) for v in variables] != [np.shape(value) for value in values]:
        raise ValueError(
            f"set_weights takes one array for each of the {len(variables)} variables of this "
            f"optimizer, of its shape; got {len(values)} of others."
        )
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)


@keras.saving.register_keras_serializable("kgen")
class OptimizerGroup(keras.optimizers.Optimizer):
    """One optimizer for each player of a model, in the place of `model.optimizer`.

    Keras threads the variables of `model.optimizer` through a JAX step and saves them in a file;
    members kept elsewhere would never advance. `minimize` applies one member at a time, which
    `keras.optimizers.MultiOptimizer` (all gradients at once) cannot.

    `learning_rate` set here reaches every member. What is read here is what all members have in
    common; where they differ an error names each one's. `iterations` are those of the member that
    takes the fewest steps: whole updates. What else is set belongs to one member, and says so.

    Args:
        members: dictionary from player to Keras optimizer (or its name).

    Example:

    ```python
    model.compile({"generator": "adam", "discriminator": keras.optimizers.SGD(1e-3)})
    model.optimizer["generator"].learning_rate
    ```
    """

    def __init__(self, members, name="optimizer_group"):
        super().__init__(learning_rate=0.0, name=name)
        for setting in (*_SETTINGS, *_BUILT_IN):  # Keras's defaults are no member's
            del self.__dict__[setting]
        self._members = {player: keras.optimizers.get(m) for player, m in members.items()}
        for player, member in self._members.items():
            member.name = player

    def __getitem__(self, player):
        if player not in self._members:
            raise KeyError(f"There is no player {player!r}; the players are {[*self._members]}.")
        return self._members[player]

    @property
    def members(self):
        """Dictionary from player to optimizer."""
        return dict(self._members)

    @property
    def optimizers(self):
        """The members as a list: Keras's learning-rate callbacks iterate it."""
        return list(self._members.values())

    @property
    def variables(self):
        """The members' variables, in the order of the players."""
        return [v for member in self._members.values() for v in member.variables]

    @property
    def iterations(self):
        """Steps of the member that takes the fewest, unless it is frozen: of a GAN, its updates."""
        members = self._members.values()
        moving = [m for m in members if getattr(m, "inner_optimizer", m)._trainable_variables]
        counts = [ops.copy(member.iterations) for member in moving or members]
        return min(counts, key=int)

    @property
    def learning_rate(self):
        """The members' common rate."""
        return self.__getattr__("learning_rate")

    @learning_rate.setter
    def learning_rate(self, rate):
        try:
            value = math.nan if isinstance(rate, str | bool) else float(ops.convert_to_numpy(rate))
        except (TypeError, ValueError):
            value = math.nan
        if not 0 <= value < math.inf:
            raise TypeError(
                "learning_rate takes a number for every player here; for another schedule, or one "
                f"of each: {self._line('learning_rate', rate)}. Got {rate!r}."
            )
        scheduled = [p for p, m in self._settings() if not hasattr(m._learning_rate, "assign")]
        if scheduled:
            raise TypeError(
                f"The learning rate of {scheduled} follows a schedule, so it cannot be set: "
                f"{self._line('learning_rate', value)}."
            )
        for member in self._members.values():
            member.learning_rate = value

    def _settings(self):
        """Players and the optimizers that hold their settings, within what scales the loss."""
        return [(p, getattr(m, "inner_optimizer", m)) for p, m in self._members.items()]

    def _line(self, name, value):
        """The line that compiles a setting into each player's step."""
        value = value if isinstance(value, int | float | None) else "..."
        optimizers = ", ".join(
            f'"{p}": keras.optimizers.{type(m).__name__}(..., {name}={value})'
            for p, m in self._settings()
        )
        return f"model.compile({{{optimizers}}})"

    def __getattr__(self, name):
        members = self.__dict__.get("_members")
        if members is None or name.startswith("_"):
            raise AttributeError(f"OptimizerGroup has no attribute {name!r}.")
        found = {p: getattr(m, name, None) for p, m in self._settings() if hasattr(m, name)}
        values = [ops.convert_to_numpy(v) if hasattr(v, "shape") else v for v in found.values()]
        if len(found) == len(members) and all(np.array_equal(values[0], v) for v in values[1:]):
            first = next(iter(found.values()))
            return ops.copy(first) if hasattr(first, "shape") else first
        have = ", ".join(f"{p} {v}" for p, v in zip(found, values, strict=True))
        raise AttributeError(
            f"The players' optimizers have no {name} in common ({have or 'none has one'}): read "
            f'that of one, such as model.optimizer["{next(iter(members))}"].{name}.'
        )

    def __setattr__(self, name, value):
        own = name.startswith("_") or name in ("name", "built", "learning_rate")
        if own or "_members" not in self.__dict__:
            return super().__setattr__(name, value)
        configured = all(name in member.get_config() for _, member in self._settings())
        if configured or any(hasattr(member, name) for _, member in self._settings()):
            raise AttributeError(
                f"{name} belongs to the optimizer of each player, not to their group: "
                + (
                    self._line(name, value)
                    if configured
                    else f"model.optimizer[player].{name}, with a player of {[*self._members]}"
                )
                + "."
            )
        raise AttributeError(  # it would change nothing
            f"No player's optimizer has {name}; a group has learning_rate, and the players' "
            f"optimizers are { ({p: type(m).__name__ for p, m in self._settings()}) }."
        )

    def build(self, variables):
        """The model builds each member for exactly the variables that it moves."""
        self.built = True

    def apply(self, grads, trainable_variables=None):
        """Refuse: gradients belong to one player."""
        self._refuse("apply gradients")

    def stateless_apply(self, optimizer_variables, grads, trainable_variables):
        """Refuse: gradients belong to one player."""
        self._refuse("apply gradients")

    def scale_loss(self, loss):
        """Refuse: each player scales its own loss."""
        self._refuse("scale a loss")

    def _refuse(self, what):
        raise RuntimeError(
            f"An OptimizerGroup does not {what}: use model.minimize(player, loss), which picks the "
            f"member of one player among {list(self._members)}."
        )

    def exclude_from_weight_decay(self, var_list=None, var_names=None):
        """Refuse: an optimizer is told before it is compiled."""
        raise RuntimeError(
            "exclude_from_weight_decay comes before compile, on the optimizer of one player: "
            "optimizer = keras.optimizers.AdamW(...); optimizer.exclude_from_weight_decay("
            f"var_names={var_names or ['bias']}); "
            f'model.compile({{"{next(iter(self._members))}": optimizer}}).'
        )

    def set_weights(self, weights):
        """Give `variables` these values."""
        _assign(self.variables, weights)

    def finalize_variable_values(self, var_list):
        """Let each member finish (this is where `use_ema` would overwrite weights)."""
        for member in self._members.values():
            member.finalize_variable_values(member._trainable_variables)

    def save_own_variables(self, store):
        """Nothing: the members save themselves, once."""

    def load_own_variables(self, store):
        """Nothing: the members load themselves."""

    def get_config(self):
        """Configuration: the members, written so that every backend can read them."""
        return {
            "members": {p: serialize_optimizer(m) for p, m in self._members.items()},
            "name": self.name,
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        """Build the group from `get_config()`."""
        members = {
            player: keras.saving.deserialize_keras_object(m, custom_objects)
            for player, m in config["members"].items()
        }
        return cls(members, name=config["name"])


@keras.saving.register_keras_serializable("kgen")
class LossScale(keras.optimizers.LossScaleOptimizer):
    """Keras's dynamic loss scaling, which writes its inner optimizer's variables to a file once.

    Keras's own writes them with its variables and again with the inner optimizer. The settings of
    the inner optimizer (`clipnorm`, `weight_decay`, ...) are read and set through it.
    """

    def __init__(self, inner_optimizer, *args, **kwargs):
        super().__init__(inner_optimizer, *args, **kwargs)
        for setting in _SETTINGS:
            del self.__dict__[setting]

    def __getattr__(self, name):
        if name.startswith("_") or "inner_optimizer" not in self.__dict__:
            raise AttributeError(f"LossScale has no attribute {name!r}.")
        return getattr(self.inner_optimizer, name)

    def __setattr__(self, name, value):
        inner = self.__dict__.get("inner_optimizer")
        if inner is not None and name in _BUILT_IN:
            raise AttributeError(
                f"{name} is decided when an optimizer is made: model.compile("
                f"keras.optimizers.{type(inner).__name__}(..., {name}={value!r})). (Under "
                '"mixed_float16" the loss scale is found by itself.)'
            )
        inside = inner is not None and not name.startswith("_") and name not in dir(self)
        if inside and hasattr(inner, name):
            return setattr(inner, name, value)
        return super().__setattr__(name, value)

    def set_weights(self, weights):
        """Give `variables` these values, those of the inner optimizer after its own."""
        _assign(self.variables, weights)

    @classmethod
    def around(cls, optimizer):
        """Wrap an optimizer; one that scales already keeps its settings."""
        if isinstance(optimizer, cls):
            return optimizer
        if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
            return cls(
                optimizer.inner_optimizer, optimizer.initial_scale, optimizer.dynamic_growth_steps
            )
        return cls(optimizer)

    def save_own_variables(self, store):
        """Write the scale and its counters."""
        for index, variable in enumerate(self._variables):
            store[str(index)] = keras.ops.convert_to_numpy(variable)

    def load_own_variables(self, store):
        """Read what `save_own_variables` wrote."""
        for index, variable in enumerate(self._variables):
            variable.assign(store[str(index)])


@contextlib.contextmanager
def finalized_once(model):
    """Let the optimizer finish when the block ends, not whenever Keras's `fit` does within it.

    `use_ema` then overwrites the weights with their averages; in the middle of a run that is
    resumed, training would go on from them.
    """
    optimizer, name = model.optimizer, "finalize_variable_values"
    object.__setattr__(optimizer, name, lambda variables: None)
    try:
        yield
    finally:
        object.__delattr__(optimizer, name)
        optimizer.finalize_variable_values(model.trainable_weights)


def maker_of(optimizer):
    """A function that makes optimizers as this one is now, before a first step of theirs.

    Of a schedule of the learning rate, which has no state, they share the object.
    """
    kind, config = type(optimizer), optimizer.get_config()
    rate = getattr(optimizer, "_learning_rate", None)
    if isinstance(rate, keras.optimizers.schedules.LearningRateSchedule):
        config["learning_rate"] = rate
    excluded = {n: v for n, v in vars(optimizer).items() if n in _EXCLUDED}

    def make():
        made = kind.from_config(dict(config))
        vars(made).update(excluded)
        return made

    return make


def serialize_optimizer(optimizer):
    """Serialise an optimizer for every backend.

    Under torch, Keras's optimizers are instances of torch-only subclasses, whose names no other
    backend knows; the public class of the same base stands in.
    """
    config = keras.saving.serialize_keras_object(optimizer)
    if (config["module"] or "").startswith("keras.src.backend"):
        public = next(
            c
            for c in type(optimizer).__mro__
            if getattr(keras.optimizers, c.__name__, None) is not None
            and not c.__module__.startswith("keras.src.backend")
        )
        config |= {"module": "keras.optimizers", "class_name": public.__name__}
        config["registered_name"] = None
    if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        config["config"]["inner_optimizer"] = serialize_optimizer(optimizer.inner_optimizer)
    return config


def members_of(model, optimizer):
    """The optimizers that `compile(optimizer)` means: dictionary from player to optimizer."""
    defaults = model.default_optimizers()
    if optimizer is None:
        return defaults
    if isinstance(optimizer, OptimizerGroup):
        optimizer = optimizer.members
    if not isinstance(optimizer, dict):
        if len(model.players) > 1:
            raise ValueError(
                f"{type(model).__name__} has one optimizer for each of {[*model.players]}: pass "
                "a dictionary from player to optimizer."
            )
        return {next(iter(model.players)): _optimizer(optimizer)}
    if unknown := sorted(set(optimizer) - set(model.players)):
        raise ValueError(f"Unknown players {unknown}; the players are {[*model.players]}.")
    chosen = {p: _optimizer(optimizer.get(p, defaults[p])) for p in model.players}
    if len({id(o) for o in chosen.values()}) < len(chosen):
        raise ValueError("Two players share one optimizer object: give each its own.")
    return chosen


def _optimizer(optimizer):
    if isinstance(optimizer, str | keras.optimizers.Optimizer) or (
        isinstance(optimizer, dict) and "class_name" in optimizer
    ):
        return keras.optimizers.get(optimizer)
    raise TypeError(
        f"optimizer must be a keras.optimizers.Optimizer, its name, or a dictionary from player to "
        f"one of these; got {optimizer!r}."
    )
