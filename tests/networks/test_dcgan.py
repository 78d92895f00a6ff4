import keras
import numpy as np
import pytest
from keras import layers, ops
from network_parts import weights

from kgen import networks
from kgen.layers import BatchNormalization, Conv2D, Conv2DTranspose


def test_parameters_of_dcgan_for_mnist():
    generator = networks.dcgan_generator((28, 28, 1), 100)
    project = 100 * 7 * 7 * 128
    normalized = 4 * 128 + 4 * 64  # scale, offset, mean, variance
    assert generator.count_params() == (
        project + normalized + 4 * 4 * 128 * 64 + (4 * 4 * 64 * 1 + 1)
    )
    discriminator = networks.dcgan_discriminator((28, 28, 1))
    assert discriminator.count_params() == (
        (4 * 4 * 1 * 64 + 64) + 4 * 4 * 64 * 128 + 4 * 128 + (7 * 7 * 128 + 1)
    )
    encoder = networks.dcgan_encoder((28, 28, 1), 50)
    assert encoder.count_params() - discriminator.count_params() == 49 * (7 * 7 * 128 + 1)


@pytest.mark.parametrize(
    ("side", "filters", "smallest"),
    [
        (8, [4], 4),
        (15, [4, 8], 4),
        (28, [4, 8], 7),
        (64, [4, 8, 16, 32], 4),
        (128, [4, 8, 16, 32, 32], 4),
    ],
)
def test_stages_of_dcgan(side, filters, smallest):
    generator = networks.dcgan_generator((side, side, 3), 10, filters=4)
    discriminator = networks.dcgan_discriminator((side, side, 3), filters=4)
    convolutions = weights(discriminator, Conv2D)
    assert [layer.filters for layer in convolutions] == filters
    assert convolutions[-1].output.shape[1:3] == (smallest, smallest)
    transposed = weights(generator, Conv2DTranspose)
    assert [layer.filters for layer in transposed] == [*filters[-2::-1], 3]
    assert transposed[0].input.shape[1:] == (smallest, smallest, filters[-1])
    for layer in convolutions + transposed:
        assert layer.kernel_size == (4, 4) and layer.strides == (2, 2)
        assert layer.data_format == "channels_last"


def test_dcgan_normalizes_all_layers_but_the_first_and_the_last():
    generator = networks.dcgan_generator((32, 32, 3), 10, filters=4)
    kinds = (layers.Dense, Conv2DTranspose, BatchNormalization, layers.ReLU)
    order = [type(layer) for layer in generator.layers if isinstance(layer, kinds)]
    stage = [BatchNormalization, layers.ReLU, Conv2DTranspose]
    assert order == [layers.Dense, *stage, *stage, *stage]
    assert generator.layers[-1].activation is keras.activations.tanh
    discriminator = networks.dcgan_discriminator((32, 32, 3), filters=4)
    kinds = (Conv2D, BatchNormalization, layers.LeakyReLU, layers.Dense)
    order = [type(layer) for layer in discriminator.layers if isinstance(layer, kinds)]
    stage = [Conv2D, BatchNormalization, layers.LeakyReLU]
    assert order == [Conv2D, layers.LeakyReLU, *stage, *stage, layers.Dense]
    for layer in weights(generator, BatchNormalization):
        assert (layer.momentum, layer.epsilon) == (0.9, 1e-5)
    for layer in weights(discriminator, layers.LeakyReLU):
        assert layer.negative_slope == pytest.approx(0.2)


def test_kernels_of_dcgan_are_independent_draws_of_standard_deviation_0_02():
    models = [
        networks.dcgan_generator((28, 28, 1), 100),
        networks.dcgan_discriminator((28, 28, 1), num_classes=10, heads={"code": 2}),
        networks.dcgan_discriminator((28, 28, 1), latent_dim=50),
        networks.dcgan_encoder((28, 28, 1), 50),
    ]
    kernels = [
        ops.convert_to_numpy(layer.kernel)
        for model in models
        for layer in weights(model, (layers.Dense, Conv2D, Conv2DTranspose))
    ]
    assert len(kernels) == 3 + 4 + 4 + 3
    for kernel in kernels:
        error = 5 / np.sqrt(kernel.size)
        assert abs(kernel.mean()) < 0.02 * error
        assert kernel.std() == pytest.approx(0.02, rel=error)
    assert len({kernel.ravel()[0] for kernel in kernels}) == len(kernels)
