import numpy as np
import pytest
from keras import layers, ops
from network_parts import finish_the_power_method, linear, normal, relu, values, weights

from kgen import networks


def test_points():
    generator, discriminator = networks.mlp_generator((2,), 8), networks.mlp_discriminator((2,))
    assert generator.count_params() == 9 * 128 + 2 * 129 * 128 + 129 * 2
    assert discriminator.count_params() == 3 * 128 + 2 * 129 * 128 + 129
    points = values(generator, 1e4 * normal(8, 8))
    assert points.shape == (8, 2) and np.abs(points).max() > 1  # linear
    assert values(networks.mlp_encoder((2,), 8), points).shape == (8, 8)


def test_a_generator_of_points_begins_near_its_latents():
    latents = normal(500, 2)
    near = networks.mlp_generator((2,), 2, near_latents=True)
    points = values(near, latents)
    assert np.corrcoef(points.ravel(), latents.ravel())[0, 1] > 0.8
    far = networks.mlp_generator((2,), 2)
    far.set_weights(near.get_weights())
    np.testing.assert_allclose(points, values(far, latents) + latents / 2, atol=1e-5)
    labelled = networks.mlp_generator((2,), 2, num_classes=3, near_latents=True)
    assert values(labelled, latents, np.zeros(500, "int32")).shape == (500, 2)
    for shape in ((3,), (8, 8, 1)):
        with pytest.raises(ValueError, match=r"points of shape \(2,\), as latents; got"):
            networks.mlp_generator(shape, 2, near_latents=True)


def test_mlps_of_images():
    generator, discriminator = (
        networks.mlp_generator((28, 28, 1), 100),
        networks.mlp_discriminator((28, 28, 1)),
    )
    assert [layer.units for layer in weights(generator, layers.Dense)] == [256, 512, 784]
    assert [layer.units for layer in weights(discriminator, layers.Dense)] == [512, 256, 1]
    images = normal(4, 28, 28, 1)
    first, second, last = weights(discriminator, layers.Dense)
    x = relu(linear(relu(linear(images.reshape(4, -1), first)), second))
    np.testing.assert_allclose(values(discriminator, images), linear(x, last), atol=1e-4)
    no_layer = networks.mlp_discriminator((2,), hidden=())
    assert no_layer.count_params() == 3


def test_a_conditional_discriminator_of_points_with_spectral_normalization():
    """Every kernel over its largest singular value; labels beside the points."""
    settings = {"normalization": "spectral", "num_classes": 3, "hidden": (6, 5)}
    model = networks.mlp_discriminator((2,), **settings)
    points, labels = normal(4, 2), np.array([0, 1, 2, 0], "int32")
    finish_the_power_method(model)
    dense = weights(model, layers.Dense)
    kernels = [ops.convert_to_numpy(layer.kernel) for layer in dense]
    kernels = [kernel / np.linalg.norm(kernel, 2) for kernel in kernels]
    x = np.concatenate([points, np.eye(3)[labels]], axis=1)
    x = relu(linear(relu(linear(x, dense[0], kernels[0])), dense[1], kernels[1]))
    expected = linear(x, dense[2], kernels[2])
    np.testing.assert_allclose(values(model, points, labels), expected, atol=1e-4)
