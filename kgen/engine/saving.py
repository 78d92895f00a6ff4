"""Files of a model: its configuration, its seeds, and what could not be loaded."""

import inspect
import pathlib
import warnings

import keras
import numpy as np
from keras import ops, tree
from keras.src.backend.common import global_state  # nothing public tells of the .h5 format

from kgen import conditions
from kgen.engine import backend
from kgen.engine.checks import OWNERS
from kgen.engine.moving_average import refuse_unmakeable
from kgen.engine.optimizers import serialize_optimizer
from kgen.engine.random import seed_states
from kgen.engine.stages import stages_of
from kgen.files import written_beside


class Saving:
    """What Keras asks a model when it writes or reads a file or a copy of it."""

    # Configuration.

    def get_config(self):
        """Everything that the constructor needs, networks included."""
        if global_state.get_global_attribute("use_legacy_config"):
            raise ValueError(
                f"Keras's old .h5 files cannot give a {type(self).__name__} back. Use "
                'model.save("model.keras"), or model.save_weights("model.weights.h5") for its '
                "variables alone."
            )
        config = {
            "image_shape": self.image_shape,
            "condition": self._condition_config(),
            "seed": self.seed,
            "check_range": self.check_range,
            "name": self.name,
            "dtype": keras.saving.serialize_keras_object(self.dtype_policy),
        }
        if stages_of(self):
            config["stage"] = self.stage
        for name in self.network_names:
            try:
                config[name] = keras.saving.serialize_keras_object(getattr(self, name))
            except NotImplementedError:
                refuse_unmakeable(getattr(self, name)._flatten_layers())
                raise
        return config

    def _condition_config(self):
        alone = isinstance(self.condition, conditions.Nothing)
        return None if alone else keras.saving.serialize_keras_object(self.condition)

    @classmethod
    def from_config(cls, config, custom_objects=None):
        """Build the model from `get_config()`, in the stage that it was in."""
        stage = config.get("stage")
        model = cls(
            **{
                key: keras.saving.deserialize_keras_object(value, custom_objects)
                if isinstance(value, dict) and "class_name" in value
                else value
                for key, value in config.items()
                if key != "stage"
            }
        )
        if stage is not None:
            model.enter(stage)
        return model

    def get_build_config(self):
        """Nothing: networks come built. Keras asks when it writes a file or a copy.

        Raises:
            TypeError, ValueError: as `check_savable`.
        """
        self.check_savable()
        return {"image_shape": self.image_shape}

    def build_from_config(self, config):
        """Build as `compile` does."""
        self.ensure_built()

    def get_compile_config(self):
        """Arguments of `compile`, written so that every backend can read them.

        Of a model with stages the optimizers are as they were compiled: each stage begins with
        these. What a stage or a callback made of a rate is in the optimizers' variables.
        """
        if not self.compiled:
            return {}
        optimizer = self._joined(self._as_new()) if stages_of(self) else self.optimizer
        return {
            "optimizer": serialize_optimizer(optimizer),
            "run_eagerly": self.run_eagerly,
            "steps_per_execution": self.steps_per_execution,
            "jit_compile": "auto",  # the resolved value would be torch.compile elsewhere
        }

    def compile_from_config(self, config):
        """Compile as the saved model was; torch takes one step per execution."""
        config = keras.saving.deserialize_keras_object(config)
        if keras.backend.backend() == "torch":
            config["steps_per_execution"] = 1
        self.compile(**config)

    # Variables.

    def save_own_variables(self, store):
        """Write the variables of the model itself and, in every format, the seeds' states.

        Keras writes no seed generator's: noise would begin again in a model that was loaded.
        """
        super().save_own_variables(store)
        states = [ops.convert_to_numpy(state) for state in seed_states(self)]
        store["seeds"] = np.stack(states).astype("int64")

    def load_own_variables(self, store):
        """Read what `save_own_variables` wrote; files without seeds load, too."""
        super().load_own_variables({n: store[n] for n in store.keys() if n != "seeds"})  # noqa: SIM118
        self.__dict__["_from_file"] = True  # layers are read after this
        if "seeds" not in store.keys():  # noqa: SIM118 (a store is no dictionary)
            return
        saved, states = np.asarray(store["seeds"]), seed_states(self)
        if saved.shape != (len(states), 2):
            warnings.warn(
                f"The file holds the states of {len(saved)} seed generators (of noise, of dropout) "
                f"but this {type(self).__name__} has {len(states)}: its layers are others. The "
                "noise of training begins again; weights are loaded.",
                stacklevel=2,
            )
            return
        for state, value in zip(states, saved, strict=True):
            state.assign(value.astype(keras.backend.standardize_dtype(state.dtype)))

    def load_weights(self, filepath, **options):
        """Keras's `load_weights`; weights that are not finite are an error."""
        super().load_weights(filepath, **options)
        self.check_weights()

    def check_weights(self):
        """Raise a `ValueError` if a weight is NaN or infinite; names the network and what to do."""
        backend.synchronize(self)
        networks = {name: getattr(self, name).weights for name in self.network_names}
        for name, weights in {**networks, "model": self.weights}.items():
            for weight in weights:
                finite = np.isfinite(ops.convert_to_numpy(weight))
                if not finite.all():
                    raise ValueError(
                        f"The {name} of this {type(self).__name__} is broken: of the {finite.size} "
                        f"values of {weight.path} only {finite.sum()} are finite, so it can "
                        "make nothing. Load a file from before training diverged, or train anew, "
                        "with a lower learning rate or clipped gradients."
                    )
        self.__dict__["_from_file"] = False

    def _check_file(self):
        """Look at weights from a file before they are first used: not all of them show in outputs.

        (On TensorFlow, of NaN a ReLU makes 0.)
        """
        if self.__dict__.get("_from_file"):
            self.check_weights()

    def _refuse_broken(self, outputs):
        """Where outputs are not finite, raise a `ValueError` if that is what the weights are."""
        if not all(np.isfinite(output).all() for output in tree.flatten(outputs)):
            self.check_weights()

    # Files.

    def check_savable(self):
        """Raise a `TypeError` or `ValueError` if the model could not be loaded from a file."""
        for name in self.network_names:
            refuse_unmakeable(getattr(self, name)._flatten_layers())
        refuse_forgotten(self)
        refuse_unregistered(
            {
                "class_name": type(self).__name__,
                "module": type(self).__module__,
                "registered_name": keras.saving.get_registered_name(type(self)),
                "config": self.get_config(),
                "compile_config": self.get_compile_config(),
            }
        )
        self._refuse_shared_layers()

    def _refuse_shared_layers(self):
        owners = {}
        for name in self.network_names:
            for layer in getattr(self, name)._flatten_layers():
                other = owners.setdefault(id(layer), name)
                if other != name and layer.weights:
                    raise ValueError(
                        f"The layer {layer.name!r} belongs to the networks {other!r} and {name!r}: "
                        "a file holds each network by itself, so the two would come back apart. "
                        "Use save_weights, or give each network its own layer."
                    )

    def save(self, filepath, overwrite=True, zipped=True, **kwargs):
        """Save everything to one `.keras` file, written beside and renamed.

        `keras.saving.save_model` refuses the same models, but writes in place.

        Raises:
            TypeError: for arguments of other formats, and classes without a `get_config` that says
                how they are made.
            ValueError: for a path that is no `.keras` file on this machine; if the model holds a
                class that is not registered, or networks share a layer: the file could not be
                loaded. The message says what to do.
            FileExistsError: if the file exists and `overwrite` is False.
            OSError: if it cannot be written; what stood there before stays.
        """
        if kwargs or zipped not in (None, True):
            given = sorted(kwargs) or ["zipped"]
            raise TypeError(
                f"A kgen model is saved whole, to one .keras file: leave {given} out. (For its "
                'variables alone: model.save_weights("model.weights.h5").)'
            )
        path = pathlib.Path(filepath)
        if path.suffix != ".keras" or "://" in str(filepath):
            stem = path.name.split(".")[0] or "model"
            raise ValueError(
                f"A kgen model is saved to a .keras file on this machine; got {str(filepath)!r}. "
                f'Use model.save("{stem}.keras"), or model.save_weights("{stem}.weights.h5") for '
                "its variables alone."
            )
        if path.exists() and not overwrite:
            raise FileExistsError(f"{path} exists. Pass overwrite=True to replace it.")
        self.ensure_built()
        backend.synchronize(self)
        with written_beside(path) as temporary:
            super().save(temporary)

    def export(self, filepath, *args, input_signature=None, **options):
        """Keras's `export`; what is served takes the inputs of `input_signature()`.

        What it writes is for serving: `keras.saving.load_model` reads what `save` writes.
        """
        if str(filepath).endswith((".keras", ".h5")):
            raise ValueError(
                f"export writes a folder for serving, which load_model does not read; got "
                f"{str(filepath)!r}. Use model.save(path) for a model to load again, or a path "
                "without this suffix."
            )
        signature = [self._symbolic_inputs()] if input_signature is None else input_signature
        return super().export(filepath, *args, input_signature=signature, **options)


def refuse_forgotten(model):
    """Raise if a constructor's argument would not come back from a file.

    Of the user's own constructors, what the configuration lacks: arguments without a default, and
    those that an attribute of their name keeps, with another value than the default. What was used
    to make the networks alone need not be known again. A `from_config` of one's own is trusted.
    """
    cls, config = type(model), model.get_config()
    rewritten = cls.from_config.__func__ is not Saving.from_config.__func__
    own = [c for c in cls.__mro__ if c.__module__.split(".")[0] not in OWNERS]
    for c in [] if rewritten else [c for c in own if "__init__" in vars(c)]:
        _, *arguments = inspect.signature(c.__init__).parameters.values()
        for argument in arguments:
            name, default = argument.name, argument.default
            several = argument.kind in (argument.VAR_POSITIONAL, argument.VAR_KEYWORD)
            if several or name in config or name == "num_classes":  # which the condition holds
                continue
            kept = getattr(model, name, default)
            if c is cls if default is argument.empty else not _is_same(kept, default):
                raise ValueError(
                    f"{c.__name__} is made with {name!r}, which its get_config() leaves out, so a "
                    "file would not give it back. Keep it as an attribute and add it there:\n"
                    "    def get_config(self):\n"
                    f'        return {{**super().get_config(), "{name}": self.{name}}}'
                )


def _is_same(a, b):
    try:
        return a is b or bool(np.all(a == b))
    except (TypeError, ValueError):
        return False


def refuse_unregistered(config):
    """Raise for a class or function in a configuration that Keras could not find on loading."""
    if isinstance(config, dict):
        name, module = config.get("registered_name"), config.get("module")
        kind = config.get("class_name")
        if kind == "__lambda__":
            raise ValueError(
                "A network holds a lambda, which no .keras file may carry (it would run code on "
                "loading). Make it a keras.layers.Layer or a registered function."
            )
        if kind == "function":
            kind, known = config["config"], _is_found(config)
        else:
            of_keras = module == "builtins" or (module or "").split(".")[0] == "keras"
            known = of_keras or not name or keras.saving.get_registered_object(name) is not None
        if not known:
            raise ValueError(
                f"{kind} (module {module}) is not registered with Keras, so the file could not be "
                "loaded. Put this line before its definition:\n"
                '    @keras.saving.register_keras_serializable("my_package")'
            )
        for value in config.values():
            refuse_unregistered(value)
    elif isinstance(config, list | tuple):
        for value in config:
            refuse_unregistered(value)


def _is_found(function):
    """Whether Keras finds a function by its configuration."""
    try:
        return callable(keras.saving.deserialize_keras_object(function))
    except (TypeError, ValueError):
        return False
