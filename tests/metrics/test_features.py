"""Features by name: the judges, pixels, models, one's own; chunks, sizes and channels."""

import keras
import numpy as np
import pytest
from keras import layers

import kgen
from kgen.data.pixels import resize
from kgen.metrics import Features, features, judge


def pictures(n=20, size=28, channels=1, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, size, size, channels), "uint8")


def small_model(shape=(8, 8, 1), dtype=None):
    inputs = keras.Input(shape, dtype=dtype)
    x = layers.Rescaling(1.0, dtype="float32")(inputs)
    x = layers.Conv2D(5, 3, activation="relu")(x)
    x = layers.Dropout(0.5)(layers.BatchNormalization()(x))
    return keras.Model(inputs, layers.GlobalAveragePooling2D()(x), name="mine")


@pytest.mark.parametrize("name", ["digits", "fashion", "faces"])
def test_judges_by_name(name):
    images = pictures(channels=3 if name == "faces" else 1)
    found = features(name)
    assert (found.name, found.width) == (name, 64)
    np.testing.assert_array_equal(found(images), judge(name).features(images))
    np.testing.assert_array_equal(features(judge(name))(images), found(images))
    assert features(found) is found and features(name) is found
    assert found.identity() == features(judge(name)).identity()
    assert len({features(other).identity() for other in ("digits", "fashion", "faces")}) == 3


def test_probabilities_are_those_of_the_judge():
    images = pictures()
    found = features("digits").probabilities(images)
    np.testing.assert_array_equal(found, judge("digits").probabilities(images))
    with pytest.raises(ValueError, match="has classes by factor"):
        features("faces").probabilities(images)
    with pytest.raises(ValueError, match=r'pixels knows no classes.*features="fashion"'):
        features("pixels").probabilities(images)


def test_pixels():
    images = pictures(5, 6, 3)
    found = features("pixels")
    assert found.width is None and found(images).dtype == np.float32
    np.testing.assert_allclose(found(images), images.reshape(5, -1) / 127.5 - 1, atol=1e-6)
    np.testing.assert_array_equal(found(kgen.data.to_model_range(images)), found(images))


@pytest.mark.parametrize(
    ("shape", "size"),
    [
        ((32, 32, 3), (32, 32)),
        ((28, 37, 1), (27, 36)),
        ((64, 64, 3), (32, 32)),
        ((96, 96, 1), (32, 32)),
        ((40, 80, 3), (22, 45)),
        ((32, 32, 4), (27, 27)),
        ((8, 128, 3), (8, 128)),
        ((2, 5000, 1), (1, 1024)),
        ((9, 9, 5000), (1, 1)),
    ],
)
def test_large_images_are_compared_as_thumbnails(shape, size):
    images = np.random.default_rng(0).integers(0, 256, (3, *shape), "uint8")
    found, small = features("pixels"), resize(images, size)
    expected = kgen.data.to_model_range(small).reshape(3, -1)
    np.testing.assert_array_equal(found(images), expected)
    whole = size == shape[:2]
    assert found.name_for(shape) == ("pixels" if whole else f"pixels at {size[0]}x{size[1]}")
    assert features("digits").name_for(shape) == "digits"


def test_images_of_any_kind_in_any_chunks():
    images = pictures(300)
    expected = features("digits")(images)
    assert expected.shape == (300, 64)
    data = kgen.data.dataset.from_arrays(images, shuffle=True)
    for same in (data, (images[i : i + 7] for i in range(0, 300, 7)), images[..., 0]):
        np.testing.assert_allclose(features("digits")(same), expected, atol=1e-4)


def test_a_model_gets_its_size_channels_and_range():
    model = small_model()
    images = pictures(300, channels=3)
    found = features(model)
    assert (found.name, found.width) == ("mine", 5) and "mine" in repr(found)
    small = resize(kgen.data.pixels.with_channels(images, 1), (8, 8))
    expected = model.predict(kgen.data.to_model_range(small), verbose=0)
    np.testing.assert_allclose(found(images), expected, atol=1e-5)
    np.testing.assert_allclose(found(images[:1]), expected[:1], atol=1e-5)


def test_a_model_of_any_size_and_of_uint8():
    images = pictures(9, 12, 3)
    model = small_model((None, None, 3), "uint8")
    expected = model.predict(images, verbose=0)
    np.testing.assert_allclose(features(model)(images), expected, rtol=1e-4)
    assert features(model)(pictures(3, 14, 3)).shape == (3, 5)


def test_large_images_go_through_few_at_a_time():
    inputs = keras.Input((1024, 1024, 1))
    model = keras.Model(inputs, layers.GlobalAveragePooling2D()(inputs))
    found = features(model)(
        np.arange(5, dtype="uint8")[:, None, None, None].repeat(8, 1).repeat(8, 2)
    )
    np.testing.assert_allclose(found[:, 0], np.arange(5) / 127.5 - 1, atol=1e-6)


def test_a_model_in_half_precision_gives_float32():
    keras.config.set_dtype_policy("mixed_bfloat16")
    found = features(small_model())(pictures())
    assert found.dtype == np.float32 and np.isfinite(found).all()


def test_a_networks_features_follow_its_weights():
    model = small_model()
    before = features(model)(pictures())
    for variable in model.get_layer(index=2).weights:
        variable.assign(-variable)
    assert abs(features(model)(pictures()) - before).max() > 1e-3


def two_inputs():
    a, b = keras.Input((8, 8, 1)), keras.Input((8, 8, 1))
    return keras.Model([a, b], layers.Flatten()(layers.Add()([a, b])))


@pytest.mark.parametrize(
    "model",
    [
        lambda: kgen.networks.convolutional_decoder((28, 28, 1), 2),
        lambda: kgen.VAE((28, 28)),
        lambda: keras.Sequential([layers.Flatten()]),
        two_inputs,
        lambda: keras.Sequential([keras.Input((8, 8, 1)), layers.Conv2D(3, 3)]),
    ],
)
def test_models_that_make_no_features_are_refused(model):
    with pytest.raises(ValueError, match=r"one input \(N, H, W, C\) and one output \(N, F\)"):
        features(model())


def test_ones_own():
    mine = Features("mean", 1, lambda x: x.mean(axis=(1, 2)))
    found = mine(pictures())
    assert found.shape == (20, 1) and found.dtype == np.float32
    assert features(mine) is mine and repr(mine) == "<Features 'mean': 1>"


@pytest.mark.parametrize(
    ("extract", "message"),
    [
        (lambda x: x.mean(axis=(1, 2)) * np.nan, "features of mine must be finite; 20 of 20"),
        (lambda x: x.reshape(len(x), -1) / 255, r"must have shape \(N, 1\); got \(20, 784\)"),
        (lambda x: x.mean(axis=(1, 2))[:3], "mine made 3 rows of features from 20 images"),
    ],
)
def test_wrong_features_of_ones_own_are_refused(extract, message):
    with pytest.raises(ValueError, match=message):
        Features("mine", 1, extract)(pictures())


def test_unknown_features_are_refused():
    with pytest.raises(ValueError, match=r"'digits'.*'inception', 'pixels'.*got 'cats'"):
        features("cats")
    with pytest.raises(TypeError, match="must be one of"):
        features(3)
    with pytest.raises(ValueError, match='weights= is for "inception" only'):
        features("digits", weights="file.h5")


def test_channels_that_a_network_does_not_take_are_refused():
    with pytest.raises(ValueError, match=r"takes one or more images.*got shape \(20, 28, 28, 2\)"):
        features("digits")(pictures(channels=2))
    with pytest.raises(ValueError, match=r"Images of 2 channels .* cannot be converted"):
        features(small_model())(pictures(channels=2))
