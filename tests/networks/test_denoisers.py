"""Denoisers: sizes, conditions, and what they begin as."""

import keras
import numpy as np
import pytest
from diffusion_by_hand import each
from keras import layers, ops

import kgen
from kgen.layers import SelfAttention2D
from kgen.networks import denoising_mlp, denoising_unet

T = np.array([0.2, 0.9], "float32")


def shaken(network):
    """With other weights: what a network ends in is zero at first."""
    random = np.random.default_rng(0)
    network.set_weights([w + 0.1 * random.standard_normal(w.shape) for w in network.get_weights()])
    return network


SHAPES = [(8, 8, 1), (28, 28, 1), (27, 33, 2), (45, 64, 3)]


@pytest.mark.parametrize("shape", each(SHAPES, SHAPES[2:3].__contains__))
def test_images_of_any_size_come_back(shape):
    network = denoising_unet(shape, filters=8, blocks=1)
    x = np.random.default_rng(0).normal(size=(2, *shape)).astype("float32")
    assert not np.any(ops.convert_to_numpy(network([x, T])))
    twice = [np.concatenate([x, x]), np.concatenate([T, T[::-1]])]
    found, other = np.split(ops.convert_to_numpy(shaken(network)(twice)), 2)
    assert found.shape == x.shape and np.isfinite(found).all()
    assert np.abs(other - found).max() > 1e-4  # it is told the time
    assert np.abs(found[:, -1, -1]).max() > 0  # the last pixels, of a patch that is cut, too


def sides_of(network, kind):
    return [layer.input.shape[1] for layer in network.layers if isinstance(layer, kind)]


def test_sizes_are_halved_to_8_and_there_is_attention():
    for side, sizes in ((28, {14, 7}), (64, {32, 16, 8}), (128, {32, 16, 8})):
        network = denoising_unet((side, side, 1), filters=8, blocks=1)
        adds = {layer.output.shape[1] for layer in network.layers if isinstance(layer, layers.Add)}
        assert adds == sizes
        assert {*sides_of(network, SelfAttention2D)} == {min(sizes)}
    network = denoising_unet((28, 28, 1), filters=8, blocks=1, attention=14)
    assert {*sides_of(network, SelfAttention2D)} == {14, 7}
    network = denoising_unet((28, 28, 1), filters=8, blocks=1, attention=0)
    assert not sides_of(network, SelfAttention2D)


def test_the_default_for_small_images_is_what_documents_say():
    assert denoising_unet((28, 28, 1), num_classes=10).count_params() == 913_796


def test_a_label_that_is_none_is_no_label():
    network = shaken(denoising_unet((8, 8, 1), num_classes=3, filters=8, blocks=1, widths=(1,)))
    x = np.zeros((2, 8, 8, 1), "float32")
    by_label = {
        label: ops.convert_to_numpy(network([x, T, np.full(2, label, "int32")]))
        for label in (0, 1, -1, 99)
    }
    assert np.abs(by_label[0] - by_label[1]).max() > 1e-4
    np.testing.assert_array_equal(by_label[-1], by_label[99])


def test_dropout_is_of_training():
    network = denoising_unet((8, 8, 1), filters=8, blocks=1, widths=(1,), dropout=0.5)
    shaken(network)
    x = np.ones((2, 8, 8, 1), "float32")
    calm = [ops.convert_to_numpy(network([x, T], training=False)) for _ in range(2)]
    np.testing.assert_array_equal(*calm)
    assert np.abs(ops.convert_to_numpy(network([x, T], training=True)) - calm[0]).max() > 1e-3


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision_ends_in_float32(policy):
    for network, x in (
        (denoising_unet((8, 8, 1), filters=8, blocks=1, dtype=policy), np.ones((2, 8, 8, 1), "f4")),
        (denoising_mlp((2,), hidden=(8, 16), dtype=policy), np.ones((2, 2), "f4")),
    ):
        found = shaken(network)([x, T])
        assert keras.backend.standardize_dtype(found.dtype) == "float32"
        whole = keras.models.clone_model(network)
        assert whole.count_params() == network.count_params()
        assert np.isfinite(ops.convert_to_numpy(found)).all()


@pytest.fixture(scope="module")
def learned():
    """What a network has learned: its weights, inputs and what it says of them."""
    trained = kgen.zoo.load("diffusion_digits").denoiser
    images = kgen.data.load("digits", "test").images(4)
    random = np.random.default_rng(0)
    noisy = 0.8 * images + 0.6 * random.standard_normal(images.shape, "float32")
    inputs = [noisy, np.full(4, 0.4, "float32"), np.arange(4, dtype="int32")]
    return trained.get_weights(), inputs, ops.convert_to_numpy(trained(inputs))


@pytest.mark.parametrize(("policy", "apart"), [("mixed_bfloat16", 8e-3), ("mixed_float16", 1e-3)])
def test_what_was_learned_survives_mixed_precision(learned, policy, apart):
    weights, inputs, expected = learned
    network = denoising_unet((28, 28, 1), num_classes=10, dtype=policy)
    network.set_weights(weights)
    found = ops.convert_to_numpy(network(inputs))
    assert expected.std() > 0.5  # velocities: the network is none that says nothing
    assert np.sqrt(np.square(found - expected).mean()) < apart * expected.std()


def test_points_and_images_of_the_mlp():
    for shape in ((2,), (8, 8, 1)):
        network = shaken(denoising_mlp(shape, num_classes=3, hidden=(8, 16)))
        x = np.random.default_rng(0).normal(size=(2, *shape)).astype("float32")
        label = np.array([0, 2], "int32")
        found = ops.convert_to_numpy(network([x, T, label]))
        assert found.shape == x.shape
        assert np.abs(ops.convert_to_numpy(network([x, T, label[::-1].copy()])) - found).max() > 0


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: denoising_unet((2,)), "denoising_mlp"),
        (lambda: denoising_unet((4, 8, 1)), "at least 8 pixels"),
        (lambda: denoising_unet((8, 8, 1), filters=12), "multiples of 8"),
        (lambda: denoising_unet((8, 8, 1), blocks=0), "blocks must be"),
        (lambda: denoising_unet((8, 8, 1), dropout=1.0), "dropout must lie"),
        (lambda: denoising_unet((28, 28, 1), patch_size=0), "patch_size must be"),
    ],
)
def test_networks_that_cannot_be(make, words):
    with pytest.raises(ValueError, match=words):
        make()
