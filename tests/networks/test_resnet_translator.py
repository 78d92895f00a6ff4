import keras
import numpy as np
import pytest
from keras import layers, ops
from network_parts import for_torch, normal, trainable_parameters, unmade, values, weights

from kgen.layers import (
    BatchNormalization,
    Conv2D,
    Conv2DTranspose,
    InstanceNormalization,
    ReflectionPadding2D,
)
from kgen.networks import resnet_translator


def test_parameters_of_the_authors_network():
    """`resnet_9blocks` of pytorch-CycleGAN-and-pix2pix prints 11.378 million."""
    assert trainable_parameters(unmade(resnet_translator, (256, 256, 3))) == 11_378_179


def test_layers_are_those_of_the_paper():
    """Appendix 7.2: c7s1-64, d128, d256, R256 nine times, u128, u64, c7s1-3."""
    model = unmade(resnet_translator, (256, 256, 3))
    convolutions = weights(model, (Conv2D, Conv2DTranspose))
    assert [layer.filters for layer in convolutions] == [64, 128, *[256] * 19, 128, 64, 3]
    assert [layer.kernel_size[0] for layer in convolutions] == [7, *[3] * 22, 7]
    assert [layer.strides[0] for layer in convolutions] == [1, 2, 2, *[1] * 18, 2, 2, 1]
    order = [type(layer) for layer in model.layers if not isinstance(layer, layers.InputLayer)]
    after = [InstanceNormalization, layers.ReLU]
    padded = [ReflectionPadding2D, Conv2D]
    assert order == [
        *(*padded, *after),
        *[Conv2D, *after] * 2,
        *[*padded, *after, *padded, InstanceNormalization, layers.Add] * 9,
        *[Conv2DTranspose, *after] * 2,
        *padded,
    ]
    assert all(layer.use_bias for layer in convolutions)
    borders = [layer.padding[0] for layer in weights(model, ReflectionPadding2D)]
    assert borders == [(3, 3), *[(1, 1)] * 18, (3, 3)]


@pytest.mark.parametrize(("blocks", "last"), [(1, 1), (2, 2), (6, 5)])
def test_features_that_are_compared(blocks, last):
    """Pixels, strided convolutions, first and fifth block, by hand from the layers."""
    model = resnet_translator((16, 24, 2), filters=2, blocks=blocks)
    features = [model.get_layer(f"feature_{i}").output for i in range(5)]
    first, strided, _ = [weights(model, Conv2D)[i] for i in range(3)]
    added = [layer.output for layer in weights(model, layers.Add)]
    wanted = [*features, strided.input, first.output, added[0], added[last - 1]]
    images = normal(2, 16, 24, 2)
    *found, seen, pixels, first_block, last_block = values(keras.Model(model.input, wanted), images)
    shapes = [(22, 30, 2), (8, 12, 4), (4, 6, 8), (4, 6, 8), (4, 6, 8)]
    assert [feature.shape[1:] for feature in found] == shapes
    padded = np.pad(images, ((0, 0), (3, 3), (3, 3), (0, 0)), "reflect")
    np.testing.assert_array_equal(found[0], padded)
    assert pixels.shape == seen.shape == (2, 16, 24, 2)
    np.testing.assert_allclose(found[1], ops.convert_to_numpy(strided(seen)), atol=1e-5)
    np.testing.assert_array_equal(found[3], first_block)
    np.testing.assert_array_equal(found[4], last_block)


@pytest.mark.parametrize("upsampling", ["transpose", "resize"])
def test_it_takes_all_multiples_of_4(upsampling):
    model = resnet_translator((16, 16, 2), 3, filters=2, blocks=1, upsampling=upsampling)
    assert model.input_shape == (None, None, None, 2) and model.output_shape == (*[None] * 3, 3)
    assert len(weights(model, Conv2DTranspose)) == (2 if upsampling == "transpose" else 0)
    images = values(model, normal(1, 20, 8, 2))
    assert images.shape == (1, 20, 8, 3) and images.dtype == "float32"
    assert 0 < np.abs(images).max() <= 1


def test_resized_images_are_convolved_where_others_are_convolved_transposed():
    model = unmade(resnet_translator, (16, 16, 1), filters=2, blocks=1, upsampling="resize")
    enlarged, after = weights(model, layers.UpSampling2D), weights(model, Conv2D)[-3:-1]
    assert [layer.interpolation for layer in enlarged] == ["nearest"] * 2
    assert [(layer.filters, layer.kernel_size) for layer in after] == [(4, (3, 3)), (2, (3, 3))]
    for resized, layer in zip(enlarged, after, strict=True):
        assert layer.input is resized.output


@pytest.mark.parametrize("normalization", ["batch", "instance", None])
def test_normalization_and_biases(normalization):
    model = unmade(resnet_translator, (8, 8, 3), blocks=2, normalization=normalization)
    biased = [layer.use_bias for layer in weights(model, (Conv2D, Conv2DTranspose))]
    assert biased == [normalization != "batch"] * 9 + [True]
    kinds = {"batch": BatchNormalization, "instance": InstanceNormalization}
    for name, kind in kinds.items():
        assert len(weights(model, kind)) == (9 if name == normalization else 0)


def test_dropout_is_within_blocks_with_seeds_of_its_own():
    model = unmade(resnet_translator, (8, 8, 1), blocks=3, dropout=0.5)
    dropouts = weights(model, layers.Dropout)
    assert len({layer.seed for layer in dropouts}) == 3
    for layer in dropouts:
        assert layer.rate == 0.5
    order = [type(layer) for layer in model.layers]
    for i in [i for i, kind in enumerate(order) if kind is layers.Dropout]:
        assert order[i - 1 : i + 3] == [layers.ReLU, layers.Dropout, ReflectionPadding2D, Conv2D]


def test_kernels_are_small():
    model = resnet_translator((16, 16, 3), filters=8, blocks=2)
    kernels = [ops.convert_to_numpy(w) for w in model.trainable_weights if w.name == "kernel"]
    assert len(kernels) == 10
    every = np.concatenate([kernel.ravel() for kernel in kernels])
    assert every.std() == pytest.approx(0.02, rel=0.02) and abs(every.mean()) < 5e-4
    assert len({kernel.ravel()[0] for kernel in kernels}) == len(kernels)


@pytest.mark.skipif(keras.backend.backend() != "torch", reason="beside torch's own modules")
@pytest.mark.parametrize("normalization", ["batch", "instance", None])
def test_outputs_are_those_of_torch_in_a_mirror(normalization):
    """Where sides are even, Keras pads a strided convolution at the end, PyTorch at the start."""
    import torch
    from torch import nn

    model = resnet_translator((16, 20, 3), 2, filters=3, blocks=2, normalization=normalization)
    for i, weight in enumerate(model.trainable_weights):
        weight.assign(0.2 * normal(*weight.shape, seed=i) + (weight.name == "gamma"))
    convolutions = iter(weights(model, (Conv2D, Conv2DTranspose)))
    scales = iter(weights(model, BatchNormalization))

    def convolution(kind, padding=0, **settings):
        layer = next(convolutions)
        kernel, bias = for_torch(layer)
        channels = kernel.shape[:2] if kind is nn.ConvTranspose2d else kernel.shape[1::-1]
        module = kind(*channels, kernel.shape[-1], layer.strides, padding, **settings)
        module.weight = nn.Parameter(kernel.flip(2, 3))
        module.bias = None if bias is None else nn.Parameter(bias)
        return module

    def normalized(width):
        if normalization is None:
            return nn.Identity()
        if normalization == "instance":
            return nn.InstanceNorm2d(width)
        module, layer = nn.BatchNorm2d(width), next(scales)
        module.weight, module.bias = (
            nn.Parameter(w.value.detach()) for w in (layer.gamma, layer.beta)
        )
        return module

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            inside = [nn.ReflectionPad2d(1), convolution(nn.Conv2d), normalized(12), nn.ReLU()]
            inside += [nn.ReflectionPad2d(1), convolution(nn.Conv2d), normalized(12)]
            self.inside = nn.Sequential(*inside)

        def forward(self, x):
            return x + self.inside(x)

    modules = [nn.ReflectionPad2d(3), convolution(nn.Conv2d), normalized(3), nn.ReLU()]
    for width in (6, 12):
        modules += [convolution(nn.Conv2d, 1), normalized(width), nn.ReLU()]
    modules += [Block(), Block()]
    for width in (6, 3):
        doubling = convolution(nn.ConvTranspose2d, 1, output_padding=1)
        modules += [doubling, normalized(width), nn.ReLU()]
    modules += [nn.ReflectionPad2d(3), convolution(nn.Conv2d), nn.Tanh()]
    images = normal(4, 16, 20, 3)
    mirrored = torch.tensor(images).permute(0, 3, 1, 2).flip(2, 3)
    expected = nn.Sequential(*modules)(mirrored).flip(2, 3).permute(0, 2, 3, 1)
    found = values(model, images, training=True)
    np.testing.assert_allclose(found, expected.detach().numpy(), atol=1e-4)
    assert found.std() > 0.1


@pytest.mark.parametrize(
    ("shape", "settings", "expected"),
    [
        ((30, 28, 1), {}, r"multiples of 4, from 8 upward; got .*nearest is \(32, 28, 1\)"),
        ((4, 9, 3), {}, r"got image_shape=\(4, 9, 3\). The nearest is \(8, 8, 3\)"),
        ((2,), {}, r"resnet_translator is for images: .*\(H, W, C\)"),
        ((8, 8, 1), {"blocks": 0}, "blocks must be a positive integer; got 0"),
        ((8, 8, 1), {"filters": 0}, "filters must be a positive integer"),
        ((8, 8, 1), {"channels": 0}, "channels must be a positive integer"),
        ((8, 8, 1), {"dropout": 1}, r"dropout must lie in \[0, 1\)"),
        ((8, 8, 1), {"normalization": "layer"}, "'layer'; known are 'batch', 'instance', None"),
        ((8, 8, 1), {"upsampling": "nearest"}, "one of .*'transpose', 'resize'.*got 'nearest'"),
    ],
)
def test_bad_arguments(shape, settings, expected):
    with pytest.raises(ValueError, match=expected):
        resnet_translator(shape, **settings)
