"""Heads through which patches are compared."""

import keras
from keras import layers

from kgen.networks.common import small_normal


def projection_heads(channels, *, width=256, dtype=None):
    """The heads of CUT (Park et al., 2020): for each layer of features a small MLP.

    Two linear layers of `width` with a ReLU between, then each row is divided by its norm. Kernels
    start from N(0, 0.02).

    Args:
        channels: channels of each layer's features.
        width: of both linear layers.
        dtype: Keras dtype policy; the outputs are float32.

    Returns:
        `keras.Model` from the list of features, each `(N, P, C)`, to a list of `(N, P, width)`,
        rows of length 1; from a tensor to a tensor where there is one layer.
    """
    inputs = [keras.Input((None, count)) for count in channels]
    outputs = []
    for x in inputs:
        x = layers.Dense(width, "relu", kernel_initializer=small_normal(), dtype=dtype)(x)
        x = layers.Dense(width, kernel_initializer=small_normal(), dtype=dtype)(x)
        outputs.append(layers.UnitNormalization(dtype="float32")(x))
    if len(inputs) == 1:
        inputs, outputs = inputs[0], outputs[0]
    return keras.Model(inputs, outputs, name="projection")
