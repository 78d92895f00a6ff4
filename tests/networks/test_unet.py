import keras
import numpy as np
import pytest
from keras import layers, ops
from network_parts import for_torch, normal, trainable_parameters, unmade, values, weights

from kgen.layers import BatchNormalization, Conv2D, Conv2DTranspose, InstanceNormalization
from kgen.networks import unet


def test_parameters_of_the_authors_network():
    """`unet_256` of pytorch-CycleGAN-and-pix2pix prints 54.414 million."""
    assert trainable_parameters(unmade(unet, (256, 256, 3))) == 54_413_955


def test_channels_normalization_and_dropout_are_those_of_the_paper():
    """Appendix 6.1.1: the encoder, and the decoder with its three CD512."""
    model = unmade(unet, (256, 256, 1), 2)
    encoder, decoder = weights(model, Conv2D), weights(model, Conv2DTranspose)
    assert [layer.filters for layer in encoder] == [64, 128, 256, 512, 512, 512, 512, 512]
    assert [layer.filters for layer in decoder] == [512, 512, 512, 512, 256, 128, 64, 2]
    for layer in encoder + decoder:
        assert layer.kernel_size == (4, 4) and layer.strides == (2, 2)
    assert [layer.use_bias for layer in encoder + decoder] == [False] * 15 + [True]
    order = [type(layer) for layer in model.layers if not isinstance(layer, layers.InputLayer)]
    down = [layers.LeakyReLU, Conv2D]
    up = [layers.ReLU, Conv2DTranspose, BatchNormalization]
    assert order == [
        *(Conv2D, layers.LeakyReLU, Conv2D, BatchNormalization),
        *[*down, BatchNormalization] * 5,
        *down,
        *[*up, layers.Dropout, layers.Concatenate] * 3,
        *[*up, layers.Concatenate] * 4,
        *(layers.ReLU, Conv2DTranspose),
    ]
    for layer in weights(model, layers.LeakyReLU):
        assert layer.negative_slope == pytest.approx(0.2)
    joined = [layer.output.shape[-1] for layer in weights(model, layers.Concatenate)]
    assert joined == [1024, 1024, 1024, 1024, 512, 256, 128]


@pytest.mark.parametrize(
    ("shape", "depth"),
    [
        ((256, 256, 3), 8),
        ((512, 1024, 3), 8),
        ((64, 64, 3), 6),
        ((96, 64, 1), 5),
        ((28, 28, 1), 2),
        ((2, 6, 1), 1),
    ],
)
def test_it_is_as_deep_as_the_sides_allow(shape, depth):
    model = unmade(unet, shape)
    assert len(weights(model, Conv2D)) == len(weights(model, Conv2DTranspose)) == depth
    assert len(weights(model, layers.Dropout)) == min(max(depth - 3, 0), 3)


@pytest.mark.parametrize("upsampling", ["transpose", "resize"])
def test_it_takes_all_multiples_of_its_smallest_size(upsampling):
    model = unet((16, 32, 2), 3, filters=2, upsampling=upsampling)
    assert model.input_shape == (None, None, None, 2) and model.output_shape == (*[None] * 3, 3)
    images = values(model, normal(1, 32, 16, 2))
    assert images.shape == (1, 32, 16, 3) and images.dtype == "float32"
    assert 0 < np.abs(images).max() <= 1


def test_resized_images_are_convolved_where_others_are_convolved_transposed():
    model = unmade(unet, (16, 16, 1), filters=2, upsampling="resize")
    assert not weights(model, Conv2DTranspose)
    enlarged = weights(model, layers.UpSampling2D)
    after = weights(model, Conv2D)[4:]
    assert [layer.interpolation for layer in enlarged] == ["nearest"] * 4
    assert [(layer.kernel_size, layer.strides) for layer in after] == [((3, 3), (1, 1))] * 4
    assert [layer.filters for layer in after] == [8, 4, 2, 1]
    for resized, layer in zip(enlarged, after, strict=True):
        assert layer.input is resized.output


@pytest.mark.parametrize("normalization", ["batch", "instance", None])
def test_biases(normalization):
    model = unmade(unet, (16, 16, 3), normalization=normalization)
    biased = [layer.use_bias for layer in weights(model, (Conv2D, Conv2DTranspose))]
    assert biased == [normalization != "batch"] * 7 + [True]
    kinds = {"batch": BatchNormalization, "instance": InstanceNormalization}
    for name, kind in kinds.items():
        assert len(weights(model, kind)) == (2 + 3 if name == normalization else 0)


def test_initial_weights_are_small():
    """N(0, 0.02) and N(1, 0.02), all of them other draws."""
    model = unet((64, 64, 3), filters=8)
    kernels = [ops.convert_to_numpy(w) for w in model.trainable_weights if w.name == "kernel"]
    scales = [ops.convert_to_numpy(w) for w in model.trainable_weights if w.name == "gamma"]
    assert len(kernels) == 12 and len(scales) == 4 + 5
    every = np.concatenate([kernel.ravel() for kernel in kernels])
    assert every.std() == pytest.approx(0.02, rel=0.01) and abs(every.mean()) < 1e-4
    every = np.concatenate(scales)
    assert every.std() == pytest.approx(0.02, rel=5 / np.sqrt(2 * every.size))
    assert every.mean() == pytest.approx(1, abs=5 * 0.02 / np.sqrt(every.size))
    assert len({kernel.ravel()[0] for kernel in kernels}) == len(kernels)


def test_dropout_follows_the_seed_and_nothing_else():
    """On torch, too, where layers without a seed draw from the global generators."""
    images, outputs = normal(1, 32, 32, 1), []
    for _ in range(2):
        keras.utils.set_random_seed(3)
        model = unet((32, 32, 1), filters=1)
        keras.utils.set_random_seed(len(outputs))
        outputs.append([values(model, images, training=True) for _ in range(2)])
    np.testing.assert_array_equal(*outputs)
    assert np.abs(outputs[0][0] - outputs[0][1]).max() > 1e-4
    dropouts = weights(unmade(unet, (256, 256, 1)), layers.Dropout)
    assert len({layer.seed for layer in dropouts}) == len(dropouts) == 3
    assert not weights(unmade(unet, (32, 32, 1), dropout=0), layers.Dropout)


@pytest.mark.skipif(keras.backend.backend() != "torch", reason="beside torch's own functions")
@pytest.mark.parametrize("normalization", ["batch", "instance", None])
def test_outputs_are_those_of_torch(normalization):
    import torch
    from torch.nn import functional as F

    model = unet((16, 32, 3), 2, filters=3, dropout=0, normalization=normalization)
    for i, weight in enumerate(model.trainable_weights):
        weight.assign(0.3 * normal(*weight.shape, seed=i) + (weight.name == "gamma"))
    down, up = weights(model, Conv2D), weights(model, Conv2DTranspose)
    scales = iter(weights(model, BatchNormalization))

    def normalized(x):
        if normalization == "batch":
            layer = next(scales)
            x = F.batch_norm(x, None, None, layer.gamma.value, layer.beta.value, True)
        return F.instance_norm(x) if normalization == "instance" else x

    def block(x, level):
        """What pix2pix's authors call a block: all that is within a level, beside its input."""
        y = F.conv2d(F.leaky_relu(x, 0.2) if level else x, *for_torch(down[level]), 2, 1)
        y = normalized(y) if 0 < level < 3 else y
        y = torch.cat([y, block(y, level + 1)], 1) if level < 3 else y
        y = F.conv_transpose2d(F.relu(y), *for_torch(up[3 - level]), 2, 1)
        return normalized(y) if level else torch.tanh(y)

    images = normal(4, 16, 32, 3)
    expected = block(torch.tensor(images).permute(0, 3, 1, 2), 0).permute(0, 2, 3, 1)
    found = values(model, images, training=True)
    np.testing.assert_allclose(found, expected.detach().numpy(), atol=1e-5)
    assert found.std() > 0.1


@pytest.mark.parametrize(
    ("shape", "settings", "expected"),
    [
        ((250, 300, 3), {"depth": 8}, r"depth=8 .* multiples of 256.*nearest is \(256, 256, 3\)"),
        ((100, 30, 3), {"depth": 6}, r"multiples of 64.*nearest is \(128, 64, 3\)"),
        ((27, 28, 1), {}, r"multiples of 2; got .*\(27, 28, 1\).*nearest is \(28, 28, 1\)"),
        ((2,), {}, r"unet is for images: .*\(H, W, C\)"),
        ((8, 8, 1), {"depth": 0}, "depth must be a positive integer; got 0"),
        ((8, 8, 1), {"channels": 0}, "channels must be a positive integer"),
        ((8, 8, 1), {"filters": 0}, "filters must be a positive integer"),
        ((8, 8, 1), {"dropout": 1}, r"dropout must lie in \[0, 1\)"),
        ((8, 8, 1), {"normalization": "layer"}, "'layer'; known are 'batch', 'instance', None"),
        ((8, 8, 1), {"upsampling": "nearest"}, "one of .*'transpose', 'resize'.*got 'nearest'"),
    ],
)
def test_bad_arguments(shape, settings, expected):
    with pytest.raises(ValueError, match=expected):
        unet(shape, **settings)
