import keras
import numpy as np
import pytest
from keras import ops
from network_parts import features, finish_the_power_method, normal, values, weights

from kgen import networks
from kgen.layers import BatchNormalization, Conv2D


def test_parameters_of_the_papers_network_for_cifar():
    """Counted from table 4 of Miyato et al. (2018), with 128 filters in the generator."""
    wide, narrow, batch_norm = 9 * 128 * 128 + 128, 128 * 128 + 128, 4 * 128
    generator = networks.resnet_generator((32, 32, 3), 128)
    assert generator.count_params() == (
        129 * 4 * 4 * 128
        + 3 * (2 * wide + narrow + 2 * batch_norm)
        + batch_norm
        + (9 * 128 * 3 + 3)
    )
    first = (9 * 3 * 128 + 128) + wide + (3 * 128 + 128)
    discriminator = networks.resnet_discriminator((32, 32, 3))
    assert discriminator.count_params() == first + (2 * wide + narrow) + 2 * 2 * wide + 129


@pytest.mark.parametrize(("side", "smallest"), [(8, 4), (9, 5), (28, 7), (32, 8), (64, 8)])
def test_stages_of_the_residual_discriminator(side, smallest):
    model = networks.resnet_discriminator((side, side, 1), filters=2)
    assert weights(model, Conv2D)[-1].output.shape[1:3] == (smallest, smallest)


@pytest.mark.parametrize("normalization", [None, "spectral"])
def test_shortcuts_of_the_residual_discriminator(normalization):
    """With the 3x3 kernels at zero only pooling and two 1x1 convolutions are left."""
    model = networks.resnet_discriminator((32, 32, 3), filters=4, normalization=normalization)
    narrow = []
    for layer in weights(model, Conv2D):
        if layer.kernel_size == (3, 3):
            layer.kernel.assign(np.zeros(layer.kernel.shape))
        else:
            narrow.append(ops.convert_to_numpy(layer.kernel)[0, 0])
    if normalization == "spectral":
        narrow = [kernel / np.linalg.norm(kernel, 2) for kernel in narrow]
        finish_the_power_method(model)
    images = normal(2, 32, 32, 3)
    x = images.reshape(2, 8, 4, 8, 4, 3).mean(axis=(2, 4)) @ narrow[0] @ narrow[1]
    x = np.maximum(x, 0).reshape(2, 64, 4)
    expected = x.sum(axis=1) if normalization == "spectral" else x.mean(axis=1)
    np.testing.assert_allclose(features(model, images), expected, rtol=1e-4, atol=1e-5)


def test_shortcuts_of_the_residual_generator():
    """With the 3x3 kernels at zero only enlarging by nearest neighbours is left."""
    model = networks.resnet_generator((30, 32, 3), 8, filters=4)
    *residual, last = [x for x in weights(model, Conv2D) if x.kernel_size == (3, 3)]
    for layer in residual:
        layer.kernel.assign(np.zeros(layer.kernel.shape))
    enlarged = weights(model, BatchNormalization)[-1].input
    x = values(keras.Model(model.input, enlarged), normal(2, 8))
    assert len(residual) == 6 and last.filters == 3 and x.shape == (2, 30, 32, 4)
    blocks = x[:, :24].reshape(2, 3, 8, 4, 8, 4)
    np.testing.assert_allclose(blocks, np.broadcast_to(blocks[:, :, :1, :, :1], blocks.shape))
