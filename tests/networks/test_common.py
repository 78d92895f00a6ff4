"""What the networks of all adversarial families share."""

import itertools

import keras
import numpy as np
import pytest
from keras import layers
from network_parts import FAMILIES, features, linear, make, normal, relu, values, weights

from kgen import MovingAverage, networks
from kgen.layers import LayerNormalization, SpectralNormalization

SHAPES = [(8, 8, 1), (9, 9, 1), (28, 28, 1), (32, 32, 3), (20, 28, 1), (64, 64, 3), (128, 128, 3)]


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
