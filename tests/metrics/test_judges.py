"""The judges that come with kgen: how much they get right, and what they take."""

import keras
import numpy as np
import pytest

import kgen
from kgen.data import faces
from kgen.data.dataset import resize
from kgen.data.ranges import to_model_range
from kgen.metrics import Judge, judge
from kgen.metrics.judges import CLASS_NAMES, WEIGHTS


@pytest.fixture(scope="module")
def digits():
    data = kgen.data.load("digits", "test", image_size=28)
    return data.fetch(np.arange(data.num_examples)), data.labels


@pytest.fixture(scope="module")
def portraits():
    factors = faces.sample_factors(500, seed=77)
    return faces.draw(factors, 32), factors


def test_digits_are_told_apart(digits):
    images, truth = digits
    labels = judge("digits").labels(images)
    assert labels.dtype == np.int32 and (labels == truth).mean() >= 0.98
    assert judge("digits").class_names == tuple("0123456789")


def test_clothes_are_told_apart():
    try:
        data = kgen.data.load("fashion_mnist", "test[:2000]")
    except ConnectionError:
        pytest.skip("Fashion-MNIST is not in the store")
    images = data.fetch(np.arange(2000))
    assert (judge("fashion").labels(images) == data.labels).mean() >= 0.925
    assert list(judge("fashion").class_names) == data.class_names


def r2(judged, truth):
    return 1 - ((judged - truth) ** 2).mean() / truth.var()


def test_factors_of_faces_are_seen(portraits):
    images, factors = portraits
    labels, values = judge("faces").labels(images), judge("faces").values(images)
    assert {*labels, *values} == set(faces.FACTORS) and not set(labels) & set(values)
    for name in labels:
        assert (labels[name] == factors[name]).mean() >= 0.95, name
    for name in values:
        assert values[name].dtype == np.float32
        assert r2(values[name], factors[name]) >= 0.9, name


def test_faces_of_other_sizes(portraits):
    images = faces.draw(portraits[1], 64)
    labels = judge("faces").labels(images)
    for name in labels:
        assert (labels[name] == portraits[1][name]).mean() >= 0.95, name


@pytest.mark.parametrize("name", CLASS_NAMES)
def test_features_are_few_standardised_and_tell_classes_apart(name, digits, portraits):
    images = portraits[0] if name == "faces" else digits[0]
    features = judge(name).features(images)
    assert features.shape == (len(images), 64) and features.dtype == np.float32
    assert np.isfinite(features).all()
    if name != "fashion":  # these are what it was trained on
        assert abs(features.mean()) < 0.2 and 0.7 < features.std(axis=0).mean() < 1.3


def test_probabilities(digits, portraits):
    p = judge("digits").probabilities(digits[0][:20])
    assert p.shape == (20, 10) and p.dtype == np.float32
    np.testing.assert_allclose(p.sum(axis=1), 1, atol=1e-5)
    assert judge("digits").values(digits[0][:2]) == {}
    by_factor = judge("faces").probabilities(portraits[0][:20])
    assert list(by_factor) == list(judge("faces").class_names)
    for name, p in by_factor.items():
        assert p.shape == (20, len(faces.FACTORS[name]))
        np.testing.assert_allclose(p.sum(axis=1), 1, atol=1e-5)


def test_the_same_for_uint8_and_floats_at_any_size(digits, portraits):
    for name, images in (("digits", digits[0][:30]), ("faces", portraits[0][:30])):
        for size in ((28, 28), (32, 32), (40, 24)):
            pixels = resize(images, size)
            one, other = (judge(name).features(x) for x in (pixels, to_model_range(pixels)))
            np.testing.assert_array_equal(one, other)


def test_grey_and_colour_are_converted(digits, portraits):
    grey = digits[0][:30]
    expected = judge("digits").features(grey)
    np.testing.assert_array_equal(judge("digits").features(grey[..., 0]), expected)
    np.testing.assert_array_equal(judge("digits").features(grey.repeat(3, -1)), expected)
    colour = to_model_range(grey.repeat(3, -1))
    np.testing.assert_array_equal(judge("digits").features(colour), expected)
    assert judge("faces").features(grey).shape == (30, 64)
    assert judge("faces").image_size == (32, 32) and judge("digits").image_size == (28, 28)
    assert judge("faces").image_shape == (32, 32, 3)


def test_batches_do_not_matter(digits):
    whole = judge("digits").features(digits[0][:50])
    for size in (1, 7, 50):
        batched = judge("digits").features(digits[0][:50], batch_size=size)
        np.testing.assert_allclose(batched, whole, atol=1e-4)
    np.testing.assert_allclose(judge("digits").features(digits[0][3:4]), whole[3:4], atol=1e-4)


def test_a_new_number_of_images_compiles_nothing(digits, monkeypatch):
    shapes, mine = [], Judge(judge_file("digits"), CLASS_NAMES["digits"])
    compiled = mine._compiled
    monkeypatch.setattr(mine, "_compiled", lambda x: shapes.append(x.shape) or compiled(x))
    for n in (1, 5, 300):
        assert mine.features(digits[0][:n]).shape == (n, 64)
    assert set(shapes) == {(256, 28, 28, 1)}


def judge_file(name):
    return keras.saving.load_model(WEIGHTS / f"{name}.keras")


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "float64"])
def test_the_dtype_policy_does_not_matter(digits, policy):
    expected = judge("digits").features(digits[0][:20])
    keras.config.set_dtype_policy(policy)
    features = Judge(judge_file("digits"), CLASS_NAMES["digits"]).features(digits[0][:20])
    assert features.dtype == np.float32
    np.testing.assert_array_equal(features, expected)


def test_files_are_small_and_loaded_once():
    assert judge("digits") is judge("digits")
    for name in CLASS_NAMES:
        assert (WEIGHTS / f"{name}.keras").stat().st_size < 3e6
        assert not judge_file(name).compiled
        assert name in repr(judge(name))


def test_an_unknown_name():
    with pytest.raises(ValueError, match=r"'cats'.*digits.*faces.*fashion"):
        judge("cats")


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.zeros((28, 28), "uint8"), r"batch axis: images\[None\]"),
        (np.zeros((28, 28, 1), "uint8"), r"batch axis: images\[None\]"),
        (np.zeros((5, 3, 28, 28), "uint8"), "channels first: use numpy.moveaxis"),
        (np.zeros((5, 28, 28, 2), "uint8"), r"got shape \(5, 28, 28, 2\)"),
        (np.zeros((0, 28, 28, 1), "uint8"), "one or more images"),
        (np.full((5, 28, 28), 255.0), r"floats in \[255, 255\].*astype\('uint8'\)"),
        (np.full((5, 28, 28), 0.5), r"divided by 255\?.*2 \* images - 1.*to_uint8"),
        (np.full((5, 28, 28), np.nan), "NaN"),
    ],
)
def test_wrong_images_are_refused(images, message):
    with pytest.raises(ValueError, match=message):
        judge("digits").features(images)


def test_wrong_dtypes_and_batch_sizes_are_refused(digits):
    with pytest.raises(TypeError, match="int64"):
        judge("digits").features(digits[0].astype("int64"))
    with pytest.raises(ValueError, match="batch_size"):
        judge("digits").features(digits[0], batch_size=0)
