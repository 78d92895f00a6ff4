import keras
import numpy as np
import pytest
from keras import layers, ops
from network_parts import for_torch, normal, trainable_parameters, unmade, values, weights

from kgen.engine import input_gradient
from kgen.layers import (
    BatchNormalization,
    Conv2D,
    InstanceNormalization,
    LayerNormalization,
    SpectralNormalization,
)
from kgen.networks import patchgan


def side_of_patches(model):
    """Pixels under one score, from kernels and strides."""
    side = step = 1
    for layer in weights(model, Conv2D):
        side += (layer.kernel_size[0] - 1) * step
        step *= layer.strides[0]
    return side


def test_parameters_of_the_authors_network():
    """`basic` of pytorch-CycleGAN-and-pix2pix on pairs of images prints 2.769 million."""
    model = unmade(patchgan, (256, 256, 3), 3)
    assert trainable_parameters(model) == 2_768_705


@pytest.mark.parametrize(
    ("side", "channels", "scores"),
    [
        (1, [64, 128, 1], 256),
        (16, [64, 128, 1], 126),
        (34, [64, 128, 256, 1], 62),
        (70, [64, 128, 256, 512, 1], 30),
        (142, [64, 128, 256, 512, 512, 1], 14),
        (286, [64, 128, 256, 512, 512, 512, 1], 6),
    ],
)
def test_patches_of_each_side(side, channels, scores):
    """Appendix 6.1.2, and the sizes of score maps of 256x256 images in the authors' code."""
    model = unmade(patchgan, (256, 256, 3), receptive_field=side)
    convolutions = weights(model, Conv2D)
    assert [layer.filters for layer in convolutions] == channels
    assert side_of_patches(model) == side
    assert model.compute_output_shape((2, 256, 256, 3)) == (2, scores, scores, 1)
    for layer in weights(model, layers.LeakyReLU):
        assert layer.negative_slope == pytest.approx(0.2)


@pytest.mark.parametrize(
    ("shape", "side"),
    [((16, 10, 1), 16), ((28, 28, 1), 34), ((70, 64, 1), 70), ((71, 70, 3), 142)],
)
def test_patches_that_cover_an_image(shape, side):
    assert side_of_patches(unmade(patchgan, shape, receptive_field="image")) == side


@pytest.mark.parametrize(("side", "image"), [(1, 6), (16, 24), (70, 104), ("image", 28)])
def test_a_score_depends_on_the_pixels_of_its_patch_alone(side, image):
    model = patchgan((image, image, 1), receptive_field=side, filters=2, normalization=None)
    images = ops.convert_to_tensor(normal(1, image, image, 1))
    middle = model.compute_output_shape(images.shape)[1] // 2
    gradient = input_gradient(lambda x: model(x)[:, middle, middle], images)
    seen = np.nonzero(ops.convert_to_numpy(ops.stop_gradient(gradient))[0, ..., 0])
    for rows in seen:
        expected = image if side == "image" else side
        assert rows.max() - rows.min() + 1 == expected
    if side != "image":
        assert len(seen[0]) == side**2


def test_it_scores_images_of_all_sizes_and_what_goes_with_them():
    model = patchgan((32, 32, 2), 1, receptive_field=16, filters=2)
    assert [x.shape for x in model.inputs] == [(None, None, None, 2), (None, None, None, 1)]
    (joined,) = weights(model, layers.Concatenate)
    images, condition = normal(2, 20, 17, 2), normal(2, 20, 17, 1, seed=1)
    seen, scores = values(
        keras.Model(model.inputs, [joined.output, model.output]), images, condition
    )
    np.testing.assert_array_equal(seen, np.concatenate([images, condition], axis=-1))
    assert scores.shape == (2, 8, 7, 1) and scores.dtype == "float32"
    alone = patchgan((32, 32, 2), receptive_field=16, filters=2)
    assert values(alone, images).shape == scores.shape


KINDS = {
    "batch": BatchNormalization,
    "instance": InstanceNormalization,
    "layer": LayerNormalization,
    "spectral": SpectralNormalization,
    None: (),
}


@pytest.mark.parametrize("side", [1, 34])
@pytest.mark.parametrize("normalization", KINDS)
def test_normalization_and_biases(normalization, side):
    settings = {"receptive_field": side, "normalization": normalization}
    model = unmade(patchgan, (16, 16, 3), **settings)
    convolutions = weights(model, Conv2D)
    inner = len(convolutions) - 2
    every = [layer for layer in model.layers if isinstance(layer, tuple(KINDS.values())[:-1])]
    assert len(every) == {"spectral": inner + 2, None: 0}.get(normalization, inner)
    assert all(isinstance(layer, KINDS[normalization]) for layer in every)
    biased = normalization not in ("batch", "layer")
    assert [layer.use_bias for layer in convolutions] == [True, *[biased] * inner, True]


def test_initial_weights_are_small():
    model = patchgan((64, 64, 3), filters=16)
    trainable = [(w.name, ops.convert_to_numpy(w)) for w in model.trainable_weights]
    kernels = np.concatenate([w.ravel() for name, w in trainable if name == "kernel"])
    scales = np.concatenate([w for name, w in trainable if name == "gamma"])
    assert kernels.std() == pytest.approx(0.02, rel=0.01) and abs(kernels.mean()) < 2e-4
    assert scales.size == (2 + 4 + 8) * 16
    assert scales.std() == pytest.approx(0.02, rel=5 / np.sqrt(2 * scales.size))
    assert scales.mean() == pytest.approx(1, abs=5 * 0.02 / np.sqrt(scales.size))


@pytest.mark.skipif(keras.backend.backend() != "torch", reason="beside torch's own functions")
@pytest.mark.parametrize("normalization", ["batch", "instance"])
def test_scores_are_those_of_torch(normalization):
    import torch
    from torch.nn import functional as F

    model = patchgan((32, 40, 3), 2, filters=3, normalization=normalization)
    for i, weight in enumerate(model.trainable_weights):
        weight.assign(0.3 * normal(*weight.shape, seed=i) + (weight.name == "gamma"))
    images, condition = normal(4, 32, 40, 3), normal(4, 32, 40, 2, seed=1)
    x = torch.tensor(np.concatenate([images, condition], -1)).permute(0, 3, 1, 2)
    scales = iter(weights(model, BatchNormalization))
    for i, layer in enumerate(weights(model, Conv2D)):
        x = F.leaky_relu(x, 0.2) if i else x
        x = F.conv2d(x, *for_torch(layer), 2 if i < 3 else 1, 1)
        if 0 < i < 4 and normalization == "batch":
            scale = next(scales)
            x = F.batch_norm(x, None, None, scale.gamma.value, scale.beta.value, True)
        elif 0 < i < 4:
            x = F.instance_norm(x)
    expected = x.permute(0, 2, 3, 1).detach().numpy()
    found = values(model, images, condition, training=True)
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert found.shape == (4, 2, 3, 1)


@pytest.mark.parametrize("side", [16, 34, 70])
def test_the_smallest_images_leave_one_score(side):
    least = {16: 5, 34: 9, 70: 17}[side]
    model = patchgan((least, least, 1), receptive_field=side, filters=1)
    assert model.compute_output_shape((1, least, least, 1)) == (1, 1, 1, 1)
    with pytest.raises(ValueError, match=rf"receptive_field={side} is for images from {least} "):
        patchgan((least - 1, 64, 1), receptive_field=side)


@pytest.mark.parametrize(
    ("shape", "settings", "expected"),
    [
        ((16, 28, 1), {}, r"from 17 pixels .*\(16, 28, 1\). For these take one of \[1, 16, 34\]"),
        ((8, 100, 1), {"receptive_field": "image"}, r"142 is for images from 33 .*\[1, 16\]"),
        ((300, 80, 1), {"receptive_field": "image"}, r"up to 286 pixels; got .*one of \[1, 16"),
        ((64, 64, 1), {"receptive_field": 64}, r"one of \[1, 16, 34, 70, .*'image'\]; got 64"),
        ((64, 64, 1), {"normalization": "weight"}, "'spectral', None"),
        ((64, 64, 1), {"condition_channels": -1}, "condition_channels must be an integer of at"),
        ((64, 64, 1), {"filters": 0}, "filters must be a positive integer"),
        ((2,), {}, r"patchgan is for images: .*\(H, W, C\)"),
    ],
)
def test_bad_arguments(shape, settings, expected):
    with pytest.raises(ValueError, match=expected):
        patchgan(shape, **settings)
