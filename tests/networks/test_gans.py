import itertools

import keras
import numpy as np
import pytest
from keras import layers, ops

from kgen import MovingAverage, networks
from kgen.layers import (
    BatchNormalization,
    Conv2D,
    Conv2DTranspose,
    LayerNormalization,
    SpectralNormalization,
)

FAMILIES = ["dcgan", "mlp", "resnet"]
SHAPES = [(8, 8, 1), (9, 9, 1), (28, 28, 1), (32, 32, 3), (20, 28, 1), (64, 64, 3), (128, 128, 3)]
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


# Shapes and sizes.


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("family", FAMILIES)
def test_images_of_any_size(family, shape):
    generator = make(family, "generator", shape, 16)
    discriminator, encoder = make(family, "discriminator", shape), make(family, "encoder", shape, 5)
    assert generator.name == "generator" and generator.output.shape == (None, *shape)
    assert discriminator.name == "discriminator" and discriminator.output.shape == (None, 1)
    assert encoder.name == "encoder" and encoder.output.shape == (None, 5)


def test_the_table_of_networks():
    assert list(networks.ADVERSARIAL_NETWORKS) == FAMILIES
    for family, functions in networks.ADVERSARIAL_NETWORKS.items():
        roles = ("generator", "discriminator", "encoder")
        assert functions == tuple(getattr(networks, f"{family}_{role}") for role in roles)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_pixel_depends_on_the_latent_and_moves_the_score(family):
    shape = (9, 13, 1)
    images = values(make(family, "generator", shape, 16), normal(32, 16))
    assert images.shape == (32, *shape) and images.dtype == "float32"
    assert np.abs(images).max() <= 1
    assert (images.std(axis=0) > 0).all()
    discriminator = make(family, "discriminator", shape, normalization=None)
    changed = np.repeat(images[:1], 9 * 13 + 1, axis=0)  # the last one stays as it is
    for i, (row, column) in enumerate(itertools.product(range(9), range(13))):
        changed[i, row, column] += 5
    scores = values(discriminator, changed)
    assert scores.shape == (9 * 13 + 1, 1) and scores.dtype == "float32"
    assert (scores[:-1] != scores[-1]).all()


def test_points():
    generator, discriminator = networks.mlp_generator((2,), 8), networks.mlp_discriminator((2,))
    assert generator.count_params() == 9 * 128 + 2 * 129 * 128 + 129 * 2
    assert discriminator.count_params() == 3 * 128 + 2 * 129 * 128 + 129
    points = values(generator, 1e4 * normal(8, 8))
    assert points.shape == (8, 2) and np.abs(points).max() > 1  # linear
    assert values(networks.mlp_encoder((2,), 8), points).shape == (8, 8)


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


# DCGAN.


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


def test_dcgan_normalises_all_layers_but_the_first_and_the_last():
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


# Residual networks.


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


# Conditions, pairs, heads.


@pytest.mark.parametrize("family", FAMILIES)
def test_a_conditional_generator_sees_labels_as_one_hot_vectors(family):
    generator = make(family, "generator", (8, 8, 1), 5, num_classes=3)
    assert [x.dtype for x in generator.inputs] == ["float32", "int32"]
    z, labels = np.repeat(normal(1, 5), 3, axis=0), np.array([0, 2, 1], "int32")
    first, *_ = weights(generator, layers.Dense)
    seen, images = values(keras.Model(generator.inputs, [first.input, generator.output]), z, labels)
    np.testing.assert_array_equal(seen, np.concatenate([z, np.eye(3)[labels]], axis=1))
    for one, other in itertools.combinations(images, 2):
        assert np.abs(one - other).max() > 1e-4


@pytest.mark.parametrize("family", FAMILIES)
def test_a_conditional_discriminator_sees_labels_as_channels(family):
    model = make(family, "discriminator", (8, 9, 2), num_classes=3)
    assert [x.dtype for x in model.inputs] == ["float32", "int32"]
    images, labels = normal(4, 8, 9, 2), np.array([0, 1, 2, 0], "int32")
    (joined,) = [layer for layer in model.layers if isinstance(layer, layers.Concatenate)]
    seen, scores = values(keras.Model(model.inputs, [joined.output, model.output]), images, labels)
    maps = np.broadcast_to(np.eye(3)[labels][:, None, None], (4, 8, 9, 3))
    np.testing.assert_array_equal(seen, np.concatenate([images, maps], axis=-1))
    first = next(layer for layer in model.layers if layer.weights)
    assert first.input.shape[1:] in ((8, 9, 5), (8 * 9 * 5,))
    assert scores.shape == (4, 1)


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


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("pairs", [{"num_classes": 3}, {"latent_dim": 4}], ids=str)
def test_spectral_normalization_leaves_no_layer_out(family, pairs):
    settings = {"normalization": "spectral", "heads": {"code": 2}, **pairs}
    model = make(family, "discriminator", (16, 16, 1), **settings)
    with_weights = [layer for layer in model.layers if layer.weights]
    assert with_weights
    assert all(isinstance(layer, SpectralNormalization) for layer in with_weights)
    assert isinstance(model.get_layer("code"), SpectralNormalization)


@pytest.mark.parametrize("family", FAMILIES)
def test_pairs_of_image_and_latent(family):
    model = make(family, "discriminator", (8, 8, 1), latent_dim=3)
    images, latents = normal(4, 8, 8, 1), normal(4, 3, seed=1)
    *_, joint, last = weights(model, layers.Dense)
    assert joint.units == 512
    x = np.concatenate([features(model, images, latents), latents], axis=1)
    expected = linear(relu(linear(x, joint), 0.2), last)
    np.testing.assert_allclose(values(model, images, latents), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_heads_come_after_the_score_in_their_order(family):
    heads = {"code": 2, "classes": 10}
    model = make(family, "discriminator", (8, 8, 1), heads=heads)
    images = normal(3, 8, 8, 1)
    score, *others = values(model, images)
    assert score.shape == (3, 1)
    h = features(model, images)
    for (name, width), head in zip(heads.items(), others, strict=True):
        assert head.shape == (3, width)
        np.testing.assert_allclose(head, linear(h, model.get_layer(name)), rtol=1e-4, atol=1e-5)


# Normalization, precision, files.


@pytest.mark.parametrize("normalization", ["layer", "batch"])
@pytest.mark.parametrize("family", FAMILIES)
def test_layer_normalization_is_of_each_image_alone(family, normalization):
    images = normal(4, 16, 16, 1)
    model = make(family, "discriminator", (16, 16, 1), normalization=normalization)
    together = values(model, images, training=True)
    single = values(model, images[:2], training=True)
    assert np.allclose(together[:2], single, atol=1e-5) == (normalization == "layer")
    if normalization == "layer":
        layer = weights(model, LayerNormalization)[-1]
        before, after = values(keras.Model(model.input, [layer.input, layer.output]), images)
        axes = tuple(range(1, before.ndim))
        mean, variance = before.mean(axes, keepdims=True), before.var(axes, keepdims=True)
        expected = (before - mean) / np.sqrt(variance + 1e-5)
        np.testing.assert_allclose(after, expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
@pytest.mark.parametrize("family", FAMILIES)
def test_outputs_are_float32_under_any_policy(family, policy):
    settings = {"heads": {"code": 2}, "dtype": policy}
    spectral = {**settings, "num_classes": 3, "normalization": "spectral"}
    generator = make(family, "generator", (9, 9, 1), 4, num_classes=3, dtype=policy)
    discriminator = make(family, "discriminator", (9, 9, 1), **spectral)
    of_pairs = make(family, "discriminator", (9, 9, 1), latent_dim=4, **settings)
    encoder = make(family, "encoder", (9, 9, 1), 4, dtype=policy)
    for model in (generator, discriminator, of_pairs, encoder):
        assert {output.dtype for output in model.outputs} == {"float32"}
        computing = {layer.compute_dtype for layer in model._flatten_layers() if layer.weights}
        assert policy.removeprefix("mixed_") in computing
        assert {variable.dtype for variable in model.weights} - {"uint32"} == {"float32"}
    assert discriminator.get_layer("features").output.dtype == "float32"
    labels = np.zeros(2, "int32")
    images = values(generator, normal(2, 4), labels)
    for output in (images, *values(discriminator, images, labels)):
        assert output.dtype == "float32" and np.isfinite(output).all()


@pytest.mark.parametrize("family", FAMILIES)
def test_files_and_copies_give_the_same_outputs(family, tmp_path):
    spectral = {"normalization": "spectral", "num_classes": 3, "heads": {"code": 2}}
    generator = make(family, "generator", (15, 16, 1), 4, num_classes=3)
    discriminator = make(family, "discriminator", (15, 16, 1), **spectral)
    inputs = {generator: normal(2, 4), discriminator: normal(2, 15, 16, 1)}
    labels = np.array([1, 2], "int32")
    for model, x in inputs.items():
        model([x, labels], training=True)  # moves statistics and singular vectors
        model.save(tmp_path / f"{model.name}.keras")
        loaded = keras.saving.load_model(tmp_path / f"{model.name}.keras")
        for other in (loaded, MovingAverage(model).model):
            keras.tree.map_structure(
                np.testing.assert_array_equal, values(other, x, labels), values(model, x, labels)
            )


# Errors.


@pytest.mark.parametrize("family", ["dcgan", "resnet"])
@pytest.mark.parametrize("shape", [(7, 28, 1), (28, 7, 1), (2,)], ids=str)
def test_small_images_and_points_are_for_mlps(family, shape):
    for role, arguments in {"generator": (4,), "discriminator": (), "encoder": (4,)}.items():
        with pytest.raises(ValueError, match='network="mlp"'):
            make(family, role, shape, *arguments)


@pytest.mark.parametrize("family", FAMILIES)
def test_bad_arguments(family):
    with pytest.raises(ValueError, match=r"'weight'.*'batch', 'layer', 'spectral', None"):
        make(family, "discriminator", (8, 8, 1), normalization="weight")
    with pytest.raises(ValueError, match="not both; got both, latent_dim=4"):
        make(family, "discriminator", (8, 8, 1), num_classes=3, latent_dim=4)
    with pytest.raises(ValueError, match="H, W, C"):
        make(family, "generator", (28, 28), 4)
