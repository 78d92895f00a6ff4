"""Layers with an equalized learning rate: weights of one size, scaled where they are used.

Karras et al., "Progressive growing of GANs for improved quality, stability, and variation" (2018),
section 4.1. An optimizer such as Adam takes steps of one size whatever the gradient's: a weight
that begins at N(0, 0.01) is far after few of them, one at N(0, 1) is not. With all weights N(0, 1),
and the constant of He's initializer beside them, every layer learns at the same speed.
"""

import math

import keras
from keras import ops

from kgen.arguments import positive_number
from kgen.layers.initializers import RandomNormal


@keras.saving.register_keras_serializable("kgen")
class EqualizedDense(keras.layers.Dense):
    """`keras.layers.Dense` with an equalized learning rate (Karras et al., 2018, section 4.1).

    The kernel begins at N(0, 1) and is multiplied by `gain / sqrt(fan_in)` at each call, `fan_in`
    the features of the inputs. Regularizers and constraints see it as it is kept.

    Args:
        units: width of the outputs.
        activation: as in Keras.
        use_bias: whether a number that is learned is added; it begins at 0, and is not scaled.
        gain: positive number; `sqrt(2)` is He's for layers before ReLUs, 1 keeps the variance.
        **kwargs: as in Keras, but for `kernel_initializer`.

    Call arguments:
        inputs: `(N, ..., features)`.

    Returns:
        `(N, ..., units)`.

    Raises:
        ValueError: for a `kernel_initializer`, or a gain that is not above 0.

    Example:

    ```python
    x = kgen.layers.EqualizedDense(512, activation="relu")(x)
    score = kgen.layers.EqualizedDense(1, gain=1.0)(x)
    ```
    """

    def __init__(self, units, activation=None, use_bias=True, gain=2**0.5, **kwargs):
        settings = _with_normal_kernel(type(self), kwargs)
        super().__init__(units, activation=activation, use_bias=use_bias, **settings)
        self.gain = positive_number(gain, "gain")

    @property
    def scale(self):
        """What the kernel is multiplied by: `gain / sqrt(fan_in)`."""
        return _scale(self)

    def call(self, inputs, training=None):
        """See the class."""
        x = ops.matmul(inputs, self.kernel * self.scale)
        x = x if self.bias is None else x + self.bias
        return x if self.activation is None else self.activation(x)

    def get_config(self):
        """The arguments."""
        return _config(super().get_config(), self.gain)


@keras.saving.register_keras_serializable("kgen")
class EqualizedConv2D(keras.layers.Conv2D):
    """`keras.layers.Conv2D` with an equalized learning rate (Karras et al., 2018, section 4.1).

    The kernel begins at N(0, 1) and is multiplied by `gain / sqrt(fan_in)` at each call, `fan_in`
    the numbers that one output is a sum of: kernel's pixels times channels of its group.
    Regularizers and constraints see it as it is kept.

    Args:
        filters: channels of the outputs.
        kernel_size, strides, padding, activation: as in Keras.
        use_bias: whether each channel is shifted by a number that is learned; it begins at 0, and
            is not scaled.
        gain: positive number; `sqrt(2)` is He's for layers before ReLUs, 1 keeps the variance.
        **kwargs: as in Keras, but for `kernel_initializer`.

    Call arguments:
        inputs: `(N, H, W, C)`.

    Returns:
        As `keras.layers.Conv2D`.

    Raises:
        ValueError: for a `kernel_initializer`, or a gain that is not above 0.

    Example:

    ```python
    x = kgen.layers.EqualizedConv2D(64, 3, padding="same", activation="relu")(x)
    ```
    """

    def __init__(
        self,
        filters,
        kernel_size,
        strides=(1, 1),
        padding="valid",
        activation=None,
        use_bias=True,
        gain=2**0.5,
        **kwargs,
    ):
        super().__init__(
            filters,
            kernel_size,
            strides,
            padding,
            activation=activation,
            use_bias=use_bias,
            **_with_normal_kernel(type(self), kwargs),
        )
        self.gain = positive_number(gain, "gain")

    @property
    def scale(self):
        """What the kernel is multiplied by: `gain / sqrt(fan_in)`."""
        return _scale(self)

    def convolution_op(self, inputs, kernel):
        """The convolution by the scaled kernel."""
        return super().convolution_op(inputs, kernel * self.scale)

    def get_config(self):
        """The arguments."""
        return _config(super().get_config(), self.gain)


def _with_normal_kernel(kind, settings):
    if "kernel_initializer" in settings:
        raise ValueError(
            f"{kind.__name__} draws its kernel from N(0, 1) and multiplies it by gain / "
            "sqrt(fan_in), so it takes no kernel_initializer; got "
            f"{settings['kernel_initializer']!r}. Choose the gain, or take "
            f"keras.layers.{kind.__name__.removeprefix('Equalized')}."
        )
    return {**settings, "kernel_initializer": RandomNormal(stddev=1.0)}


def _scale(layer):
    return layer.gain / math.sqrt(math.prod(layer.kernel.shape[:-1]))


def _config(config, gain):
    del config["kernel_initializer"]
    return {**config, "gain": gain}
