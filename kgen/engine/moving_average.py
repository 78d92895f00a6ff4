"""`MovingAverage`: an exponential moving average of a network, as a network."""

import weakref

import keras
from keras import ops

from kgen.arguments import below
from kgen.engine import backend


@keras.saving.register_keras_serializable("kgen")
class MovingAverage(keras.layers.Layer):
    """Exponential moving average of a network's weights, kept in a network of its own.

    After each `update()`, `average = decay * average + (1 - decay) * weights`; batch statistics and
    other non-trainable weights are copied. With `update(step)` the decay is at most
    `(1 + step) / (10 + step)`, so that the first weights are soon forgotten. Unlike an optimizer's
    `use_ema`, nothing ever overwrites the trained weights. The average is not trainable and is
    saved with the model that holds it. A network without trainable weights never moves, so it is
    its own average: no copy is made.

    Args:
        network: the `keras.Model` to follow, built; a subclass of `keras.Model` needs `get_config`.
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
        self.model = _copy(network) if network.trainable_variables else network
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
        for target, source in zip(self.model.weights, self._network().weights, strict=True):
            targets, sources = moved if source.trainable else copied
            targets.append(target)
            sources.append(source)
        weight = 1 - self.decay
        if step is not None:
            weight = ops.maximum(weight, 9 / (10 + ops.cast(step, "float32")))
        backend.move_averages(*moved, weight)
        backend.move_averages(*copied, 1.0)


def _copy(network):
    if isinstance(network, keras.Sequential) or type(network).__name__ == "Functional":
        copy = keras.models.clone_model(network)
    else:
        try:
            copy = type(network).from_config(network.get_config())
        except NotImplementedError as error:
            raise TypeError(
                f"The moving average of {network.name!r} is a copy of it: give the class "
                f"{type(network).__name__} a get_config that returns what its constructor needs."
            ) from error
        if not copy.built:
            copy.build_from_config(network.get_build_config())
    copy.set_weights(network.get_weights())
    return copy
