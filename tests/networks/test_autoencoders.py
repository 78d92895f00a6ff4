import numpy as np
import pytest
from keras import ops

from kgen import networks

SHAPES = [(8, 8, 1), (28, 28, 1), (45, 37, 3), (9, 64, 4), (31, 17, 1), (256, 256, 3), (8, 255, 2)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("kind", ["dense", "convolutional"])
def test_the_size_comes_back_exactly(kind, shape):
    if kind == "dense" and max(shape) > 200:
        shape = (shape[0], 30, shape[2])  # the widths are what counts, not 100 million weights
    encoder = getattr(networks, f"{kind}_encoder")(shape, 5, gaussian=True)
    decoder = getattr(networks, f"{kind}_decoder")(shape, 5)
    mean, log_variance = encoder(np.zeros((2, *shape), "float32"))
    assert mean.shape == log_variance.shape == (2, 5)
    images = ops.convert_to_numpy(decoder(mean))
    assert images.shape == (2, *shape) and images.dtype == "float32"
    assert np.abs(images).max() <= 1


def test_convolutions_stop_at_four_to_seven_pixels():
    for side in (8, 16, 28, 32, 64, 100, 128, 256):
        encoder = networks.convolutional_encoder((side, side, 1), 2)
        (flatten,) = [layer for layer in encoder.layers if "flatten" in layer.name]
        height, width = flatten.input.shape[1:3]
        assert height == width and 4 <= height <= 7, side


def test_every_output_pixel_depends_on_the_latent():
    decoder = networks.convolutional_decoder((45, 37, 3), 4)
    z = np.random.default_rng(0).normal(size=(16, 4)).astype("float32")
    assert (ops.convert_to_numpy(decoder(z)).std(axis=0) > 0).all()


def test_points_are_not_squashed():
    decoder = networks.dense_decoder((2,), 3)
    z = 1e4 * np.ones((1, 3), "float32")
    assert np.abs(ops.convert_to_numpy(decoder(z))).max() > 1


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_outputs_are_float32_under_any_policy(policy):
    encoder = networks.convolutional_encoder((8, 8, 1), 2, gaussian=True, dtype=policy)
    decoder = networks.convolutional_decoder((8, 8, 1), 2, dtype=policy)
    mean, log_variance = encoder(np.zeros((1, 8, 8, 1), "float32"))
    for output in (mean, log_variance, decoder(mean)):
        assert "float32" in str(output.dtype)
    computing = {layer.compute_dtype for layer in encoder.layers + decoder.layers}
    assert policy.removeprefix("mixed_") in computing


def test_batch_normalisation_takes_the_place_of_biases():
    random = np.random.default_rng(0)
    encoder = networks.dense_encoder((4, 4, 1), 3, hidden=(6,), batch_norm=True)
    kernel, scale, offset, head, bias = (
        random.normal(size=w.shape) for w in encoder.trainable_weights
    )
    for weight, value in zip(
        encoder.trainable_weights, (kernel, scale, offset, head, bias), strict=True
    ):
        weight.assign(value)
    x = random.normal(size=(50, 4, 4, 1))
    hidden = x.reshape(50, 16) @ kernel
    hidden = (hidden - hidden.mean(0)) / np.sqrt(hidden.var(0) + 1e-5) * scale + offset
    found = ops.convert_to_numpy(encoder(x.astype("float32"), training=True))
    np.testing.assert_allclose(found, np.maximum(hidden, 0) @ head + bias, rtol=1e-4, atol=1e-4)
    decoder = networks.dense_decoder((4, 4, 1), 3, hidden=(6, 5), batch_norm=True)
    shapes = [tuple(w.shape) for w in decoder.trainable_weights]
    assert shapes == [(3, 5), (5,), (5,), (5, 6), (6,), (6,), (6, 16), (16,)]
