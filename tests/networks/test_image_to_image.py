"""What networks from images to images, and their discriminator, have in common."""

import keras
import numpy as np
import pytest
from keras import layers
from network_parts import normal, values

from kgen import MovingAverage
from kgen.networks import patchgan, resnet_translator, unet

NETWORKS = {
    "unet": lambda **settings: unet((16, 16, 2), filters=2, depth=2, **settings),
    "patchgan": lambda **settings: patchgan(
        (16, 16, 2), filters=2, receptive_field=16, **{"normalization": "spectral", **settings}
    ),
    "resnet_translator": lambda **settings: resnet_translator(
        (16, 16, 2), filters=2, blocks=1, **settings
    ),
}


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
@pytest.mark.parametrize("name", NETWORKS)
def test_outputs_are_float32_under_any_policy(name, policy):
    for normalization in ("batch", "instance"):
        model = NETWORKS[name](dtype=policy, normalization=normalization)
        (output,) = model.outputs
        assert output.dtype == "float32"
        *inner, last = [layer for layer in model.layers if isinstance(layer, layers.Conv2D)]
        assert {layer.compute_dtype for layer in inner} == {policy.removeprefix("mixed_")}
        last = model.layers[-1]
        assert last.compute_dtype == "float32"
        assert {variable.dtype for variable in model.weights} == {"float32"}
        found = values(model, normal(2, 16, 16, 2), training=True)
        assert found.dtype == "float32" and np.isfinite(found).all()


@pytest.mark.parametrize("name", NETWORKS)
def test_files_and_copies_give_the_same_outputs(name, tmp_path):
    model, images = NETWORKS[name](), normal(2, 16, 24, 2)
    model(images, training=True)  # moves statistics and singular vectors
    model.save(tmp_path / "network.keras")
    loaded = keras.saving.load_model(tmp_path / "network.keras")
    for other in (loaded, MovingAverage(model).model):
        np.testing.assert_array_equal(values(other, images), values(model, images))


def test_every_pixel_of_a_translation_depends_on_the_image():
    for make in (NETWORKS["unet"], NETWORKS["resnet_translator"]):
        model = make(normalization=None)
        for weight in model.weights:
            weight.assign(0.1 * normal(*weight.shape))
        found = values(model, normal(8, 16, 16, 2))
        assert found.std(axis=0).min() > 0


@pytest.mark.parametrize("name", NETWORKS)
def test_images_are_channels_last_whatever_keras_is_set_to(name):
    before = keras.config.image_data_format()
    keras.config.set_image_data_format("channels_first")
    try:
        model = NETWORKS[name]()
    finally:
        keras.config.set_image_data_format(before)
    channels = {"patchgan": 1}.get(name, 2)
    assert values(model, normal(1, 16, 16, 2)).shape[-1] == channels
