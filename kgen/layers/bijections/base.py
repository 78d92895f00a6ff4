"""What bijections are."""

import math

import keras
from keras import ops

serialize, deserialize = keras.saving.serialize_keras_object, keras.saving.deserialize_keras_object


class Bijection(keras.layers.Layer):
    r"""Layer with an inverse, which tells by how much it stretches volumes.

    A density follows a bijection f by the change of variables, $\log p(x) = \log p(f(x)) + \log
    |\det \partial f / \partial x|$ (Rezende and Mohamed, 2015, equation 5). A subclass defines
    `call` and `inverse`, and `compute_output_shape` where the shape changes.

    Bijections compute in float32 under every dtype policy, since what one loses the inverse does
    not find again; the networks within them compute as the policy says (in mixed precision they
    see rounded numbers, not quite the same on the way back).

    Call arguments:
        inputs: `(N, ...)`.
        told: what networks within are told beside it, such as labels; None: nothing.

    Returns:
        `(outputs, log_det)`: float32 tensors, the second `(N,)`, $\log |\det \partial f / \partial
        x|$ at each of the inputs.
    """

    def __init__(self, **kwargs):
        super().__init__(autocast=False, **kwargs)

    def call(self, inputs, told=None):
        """See the class."""
        raise NotImplementedError(f"{type(self).__name__} has to define call(inputs, told).")

    def inverse(self, outputs, told=None):
        """The inputs of which `call` makes these outputs, float32."""
        raise NotImplementedError(f"{type(self).__name__} has to define inverse(outputs, told).")

    def compute_output_shape(self, input_shape):
        """Shapes of the outputs, here that of the inputs, and of the log-determinants."""
        return tuple(input_shape), tuple(input_shape[:1])

    def compute_output_spec(self, inputs, told=None, training=None):
        """float32, whatever the policy is."""
        outputs, log_det = self.compute_output_shape(inputs.shape)
        return keras.KerasTensor(outputs, "float32"), keras.KerasTensor(log_det, "float32")

    def check_built(self):
        """Raise a `ValueError` unless there are weights by which to go back."""
        if not self.built:
            raise ValueError(
                f"This {type(self).__name__} has seen no inputs yet, and has no weights: call it, "
                "or build(input_shape), before its inverse."
            )

    def add_weight(self, *args, **kwargs):
        """As in Keras, kept and used in float32."""
        return super().add_weight(*args, dtype="float32", autocast=False, **kwargs)


class OfNetwork(Bijection):
    """Base of bijections whose numbers a network says: it is in the file with them.

    Args:
        network: Keras layer or model.
        **kwargs: as in Keras.
    """

    def __init__(self, network, **kwargs):
        super().__init__(**kwargs)
        if not isinstance(network, keras.layers.Layer):
            raise TypeError(f"network must be a Keras layer or model; got {network!r}.")
        self.network = network

    def get_config(self):
        """The arguments."""
        return {**super().get_config(), "network": serialize(self.network)}

    @classmethod
    def from_config(cls, config):
        """Build from `get_config()`."""
        return cls(**{**config, "network": deserialize(config["network"])})


def of_each(value, inputs):
    """The same number for each of the inputs, `(N,)`: a log-determinant that is one for all."""
    return value + ops.zeros_like(ops.reshape(inputs, (ops.shape(inputs)[0], -1))[:, 0])


def places(inputs):
    """How many places have channels of their own, a float: pixels of an image, 1 of a point."""
    return ops.cast(math.prod(ops.shape(inputs)[1:-1]), "float32")


def channels_of(bijection, input_shape):
    """How many channels inputs have; raises a `ValueError` unless that is known."""
    if input_shape[-1] is None:
        raise ValueError(
            f"{type(bijection).__name__} is of inputs whose channels are known; got shape "
            f"{tuple(input_shape)}."
        )
    return input_shape[-1]


def check_known(bijection, input_shape):
    """Raise a `ValueError` unless all sides of the inputs are known."""
    if None in input_shape[1:]:
        raise ValueError(
            f"{type(bijection).__name__} is of inputs whose sides are known; got shape "
            f"{tuple(input_shape)}."
        )


def summed(values):
    """Sums over all axes but the first."""
    return ops.sum(values, axis=tuple(range(1, len(values.shape))))
