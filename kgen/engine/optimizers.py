"""Several optimizers as one Keras optimizer, and optimizers written so that they load anywhere."""

import contextlib

import keras


@keras.saving.register_keras_serializable("kgen")
class OptimizerGroup(keras.optimizers.Optimizer):
    """One optimizer for each player of a model, in the place of `model.optimizer`.

    Keras threads the variables of `model.optimizer` through a JAX step and saves them in a file;
    members kept elsewhere would never advance. `minimize` applies one member at a time, which
    `keras.optimizers.MultiOptimizer` (all gradients at once) cannot.

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
        self._members = {player: keras.optimizers.get(m) for player, m in members.items()}
        for player, member in self._members.items():
            member.name = player

    def __getitem__(self, player):
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

    def build(self, variables):
        """The model builds each member for exactly the variables that it moves."""
        self.built = True

    def apply(self, grads, trainable_variables=None):
        """Refuse: gradients belong to one player."""
        raise RuntimeError(
            "An OptimizerGroup does not apply gradients: use model.minimize(player, loss), which "
            f"picks the member of one player among {list(self._members)}."
        )

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

    Keras's own writes them with its variables and again with the inner optimizer.
    """

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
