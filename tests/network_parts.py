"""What tests of networks share: small networks, what they compute, their layers."""

import math

import keras
import numpy as np
from keras import ops

from kgen import networks
from kgen.layers import SpectralNormalization

FAMILIES = ["dcgan", "mlp", "resnet"]
TINY = {"dcgan": {"filters": 4}, "mlp": {"hidden": (8, 8)}, "resnet": {"filters": 4}}


def make(family, role, *args, **settings):
    function = getattr(networks, f"{family}_{role}")
    return function(*args, **{**TINY[family], **settings})


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def values(model, *inputs, training=False):
    """What a model makes of arrays: one array, or a list of them."""
    outputs = model(inputs[0] if len(inputs) == 1 else list(inputs), training=training)
    return keras.tree.map_structure(ops.convert_to_numpy, outputs)


def features(model, *inputs):
    return values(keras.Model(model.input, model.get_layer("features").output), *inputs)


def weights(model, kind):
    """The layers of a kind, in the order of the data's way; wrapped ones too."""
    inside = [getattr(layer, "layer", layer) for layer in model.layers]
    return [layer for layer in inside if isinstance(layer, kind)]


def unmade(function, *args, **settings):
    """A network whose weights have shapes and no values: large ones are counted in no time."""
    with keras.StatelessScope(initialize_variables=False):
        return function(*args, **settings)


def trainable_parameters(model):
    return sum(math.prod(weight.shape) for weight in model.trainable_weights)


def for_torch(layer):
    """Kernel, as torch has it, and bias or None of a convolution or a transposed one."""
    import torch

    kernel = torch.tensor(ops.convert_to_numpy(layer.kernel)).permute(3, 2, 0, 1)
    return kernel, torch.tensor(ops.convert_to_numpy(layer.bias)) if layer.use_bias else None


def finish_the_power_method(model):
    """Put the singular vectors of spectral normalization where training would bring them."""
    for layer in model.layers:
        if isinstance(layer, SpectralNormalization):
            kernel = ops.convert_to_numpy(layer.layer.weights[0])
            layer.u.assign(np.linalg.svd(kernel.reshape(-1, kernel.shape[-1]))[2][0])


def linear(x, layer, kernel=None):
    kernel = ops.convert_to_numpy(layer.kernel) if kernel is None else kernel
    return x @ kernel + ops.convert_to_numpy(layer.bias)


def relu(x, slope=0.0):
    return np.where(x > 0, x, slope * x)
