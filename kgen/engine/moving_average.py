"""`MovingAverage`: an exponential moving average of a network, as a network."""

import inspect
import weakref

import keras
from keras import ops

from kgen.arguments import below
from kgen.engine import backend


@keras.saving.register_keras_serializable("kgen")
class MovingAverage(keras.layers.Layer):
    """Exponential moving average of a network's weights, kept in a network of its own.

    After each `update()`, `average = decay * average + (1 - decay) * weights`, also of weights that
    are frozen meanwhile; batch statistics and what else no gradient moves are copied. With
    `update(step)` the decay is at most `(1 + step) / (10 + step)`, so that the first weights are
    soon forgotten. Unlike an optimizer's `use_ema`, nothing ever overwrites the trained weights.
    The average is not trainable and is saved with the model that holds it. With a decay of 0, and
    of a network that is frozen when it is made, a network is its own average: no copy is made.

    Args:
        network: the `keras.Model` to follow, built; a subclass of `keras.Model` whose constructor
            takes arguments needs a `get_config` that returns them.
        decay: in [0, 1); 0 follows the network exactly.

    Attributes:
        model: the averaged network, a `keras.Model` like any other.

    Example:

    ```python
    self.generator_average = MovingAverage(self.generator, decay=0.999)  # in a constructor
    self.generator_average.update()                                      # at the end of `update`
    images = self.generator_average.model(latents)
    ```
    """

    def __init__(self, network, decay=0.999, name=None):
        super().__init__(name=name or f"{network.name}_average", dtype=network.dtype_policy)
        decay = below(decay, 1, "decay")
        if not network.built:
            raise ValueError(
                f"The network {network.name!r} has no weights yet: give it an Input, or call it "
                "once, before its average is made."
            )
        self.decay = decay
        moves = decay > 0 and bool(network.trainable_variables)
        self.model = _copy(network) if moves else network
        if moves:
            self.model.trainable = False
        self._network = weakref.ref(network)  # not tracked: its weights belong to the model
        self.built = True

    def call(self, *args, **kwargs):
        """Apply the averaged network."""
        return self.model(*args, **kwargs)

    def update(self, step=None):
        """Move the average towards the network by `1 - decay`; copy what is not trained.

        Args:
            step: None, or the number of updates before this one, a number or an integer variable.
        """
        if self.model is self._network():
            return
        moved, copied = ([], []), ([], [])
        trained = _trained(self._network())
        for target, source in zip(self.model.weights, self._network().weights, strict=True):
            targets, sources = moved if id(source) in trained else copied
            targets.append(target)
            sources.append(source)
        weight = 1 - self.decay
        if step is not None:
            weight = ops.maximum(weight, 9 / (10 + ops.cast(step, "float32")))
        backend.move_averages(*moved, weight)
        backend.move_averages(*copied, 1.0)


def _trained(network):
    """Identities of the weights that gradients move, unless they are frozen, now or later."""
    return {id(v) for layer in network._flatten_layers() for v in layer._trainable_variables}


def _copy(network):
    kind, layers = type(network), network._flatten_layers()
    if _is_graph(kind):
        refuse_unmakeable(layer for layer in layers if layer is not network)
        copy = keras.models.clone_model(network)
    else:
        if _arguments(kind):
            refuse_unmakeable(layers)
            copy = kind.from_config(network.get_config())
        else:
            copy = kind()
        if not copy.built:
            copy.build_from_config(network.get_build_config())
    copy.set_weights(network.get_weights())
    return copy


def _is_graph(kind):
    return any(base.__name__ in ("Functional", "Sequential") for base in kind.__mro__)


def _arguments(kind):
    """Parameters of a constructor but `self`."""
    return [*inspect.signature(kind.__init__).parameters.values()][1:]


def _is_known(layer):
    """Whether a layer can be made from its configuration."""
    try:
        type(layer).from_config(layer.get_config())
    except (TypeError, ValueError):
        return False
    return True


def refuse_unmakeable(layers):
    """Raise if the class of a layer does not say how it is made: no copy, no file without.

    Raises:
        TypeError: as said; holds the lines to add to the class.
        ValueError: for a lambda.
    """
    for layer in reversed([*layers]):  # what holds others comes before them
        kind = type(layer)
        if isinstance(layer, keras.layers.Lambda) and not _is_known(layer):
            raise ValueError(
                f"{layer.name!r} holds a lambda, which can be neither copied nor read from a file. "
                "Make it a keras.layers.Layer or a registered function."
            )
        if kind.__module__.split(".")[0] in ("keras", "kgen"):
            continue
        try:
            kind.from_config(layer.get_config())
        except Exception as error:
            variadic = [p for p in _arguments(kind) if p.kind is p.VAR_KEYWORD]
            named = [
                p.name for p in _arguments(kind) if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)
            ]
            config = ["**super().get_config()"] if variadic and not _is_graph(kind) else []
            config += [f'"{name}": self.{name}' for name in named]
            raise TypeError(
                f"{layer.name!r} can be neither copied nor read from a file: its class "
                f"{kind.__name__} does not say what its constructor was given. Add to the class "
                "(and keep each argument as an attribute of this name):\n"
                f"    def get_config(self):\n        return {{{', '.join(config)}}}"
            ) from error
