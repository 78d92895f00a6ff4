"""The judges that come with kgen: how much they get right, and what they take."""

import functools
import warnings

import keras
import numpy as np
import pytest
from sklearn.datasets import load_sample_images

import kgen
from kgen.data import faces
from kgen.data.dataset import resize
from kgen.data.ranges import to_model_range
from kgen.metrics import Judge, features, judge
from kgen.metrics.judges import CLASS_NAMES, RIDGE, WEIGHTS, known_of


@pytest.fixture(scope="module")
def digits():
    data = kgen.data.load("digits", "test")
    return data.fetch(np.arange(data.num_examples)), data.labels


@pytest.fixture(scope="module")
def portraits():
    factors = faces.sample_factors(500, seed=77)
    return faces.draw(factors, 32), factors


def stored(name, split="test", **options):
    """Images of a set, if it is at hand."""
    try:
        return kgen.data.load(name, split, **options)
    except ConnectionError:
        pytest.skip(f"{name} is not in the store")


def test_digits_are_told_apart(digits):
    images, truth = digits
    labels = judge("digits").labels(images)
    assert labels.dtype == np.int32 and (labels == truth).mean() >= 0.98
    assert judge("digits").class_names == tuple("0123456789")


def test_clothes_are_told_apart():
    data = stored("fashion_mnist", "test[:2000]")
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
def test_features_are_few_standardized_and_tell_classes_apart(name, digits, portraits):
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


def test_how_sure_it_is_of_several_factors_together(portraits):
    images, mine = portraits[0][:40], judge("faces")
    p, names = mine.probabilities(images), faces.FACTORS
    woman = p["presentation"][:, names["presentation"].index("woman")]
    bare = p["glasses"][:, names["glasses"].index("none")]
    found = mine.probability(images, presentation="woman", glasses=names["glasses"][1:])
    assert found.shape == (40,) and found.dtype == np.float32
    np.testing.assert_allclose(found, woman * (1 - bare), atol=1e-5)
    np.testing.assert_allclose(mine.probability(images, 7, glasses="none"), bare, atol=1e-5)
    whole = mine.probability(images, glasses=names["glasses"], presentation=["man", "woman"])
    np.testing.assert_allclose(whole, 1, atol=1e-5)
    shown = {name: portraits[1][name][:40] == 0 for name in ("presentation", "glasses")}
    seen = mine.probability(images, presentation="woman", glasses="none") > 0.5
    assert (seen == (shown["presentation"] & shown["glasses"])).mean() > 0.9


def test_factors_and_classes_that_it_does_not_know(digits, portraits):
    images = portraits[0][:2]
    for wrong, message in (
        ({"hat": "none"}, r"factors of the judge 'faces', which are \['presentation'.*\['hat'\]"),
        ({}, r"got \[\]"),
        ({"glasses": "square round"}, r"glasses must be of \['none'.*got 'square round'"),
        ({"glasses": ["none", "no"]}, "got \\['none', 'no'\\]"),
        ({"glasses": []}, r"glasses must be of .*got \[\]"),
    ):
        with pytest.raises(ValueError, match=message):
            judge("faces").probability(images, **wrong)
    with pytest.raises(ValueError, match=r"the judge 'digits', which are \[\]; got \['glasses'\]"):
        judge("digits").probability(digits[0][:2], glasses="none")


def test_the_same_for_uint8_and_floats_at_any_size(digits, portraits):
    for name, images in (("digits", digits[0][:30]), ("faces", portraits[0][:30])):
        for size in ((28, 28), (32, 32), (40, 24)):
            pixels = resize(images, size)
            one, other = (judge(name).features(x) for x in (pixels, to_model_range(pixels)))
            np.testing.assert_array_equal(one, other)


def test_gray_and_color_are_converted(digits, portraits):
    gray = digits[0][:30]
    expected = judge("digits").features(gray)
    np.testing.assert_array_equal(judge("digits").features(gray[..., 0]), expected)
    np.testing.assert_array_equal(judge("digits").features(gray.repeat(3, -1)), expected)
    color = to_model_range(gray.repeat(3, -1))
    np.testing.assert_array_equal(judge("digits").features(color), expected)
    assert judge("faces").features(gray).shape == (30, 64)
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


# Images that are not theirs.


def photos(n, size, seed=0):
    """Crops of scikit-learn's two photographs."""
    sources, random = load_sample_images().images, np.random.default_rng(seed)
    found = np.empty((n, size, size, 3), "uint8")
    for image in found:
        source, side = sources[random.integers(2)], int(random.integers(64, 400))
        y, x = (int(random.integers(length - side)) for length in source.shape[:2])
        image[...] = resize(source[None, y : y + side, x : x + side], (size, size))[0]
    return found


def drawn(size, n=60):
    return faces.draw(faces.sample_factors(n, seed=7), size)


def noise(n=60, size=28, channels=1):
    return np.random.default_rng(0).integers(0, 256, (n, size, size, channels), "uint8")


@functools.cache
def own(name, n=60, **options):
    return stored(name, num_examples=n, **options).fetch(np.arange(n))


@pytest.mark.parametrize(
    ("name", "images"),
    [
        ("digits", lambda: own("digits")),
        ("digits", lambda: own("digits", image_size=28)),
        ("digits", lambda: own("digits", image_size=64, channels=3)),
        ("digits", lambda: own("digits", image_size=16)),
        ("fashion", lambda: own("fashion_mnist")),
        ("fashion", lambda: own("fashion_mnist", image_size=16)),
        ("fashion", lambda: own("fashion_mnist", image_size=64)),
        ("fashion", lambda: kgen.zoo.load("dcgan_fashion_mnist").generate(60, seed=0)),
        ("fashion", lambda: kgen.zoo.load("vae_fashion_mnist").generate(60, seed=0)),
        ("faces", lambda: drawn(16)),
        ("faces", lambda: drawn(32)),
        ("faces", lambda: drawn(64)),
        ("faces", lambda: drawn(100)),
        ("faces", lambda: kgen.zoo.load("dcgan_faces").generate(60, seed=0)),
        ("faces", lambda: kgen.zoo.load("gaussian_faces").generate(60, seed=0)),
    ],
)
def test_no_warning_of_a_judges_own_kind(name, images):
    found = features(name)
    rows = found(images())
    with warnings.catch_warnings(action="error"):
        found.warn_if_strange(found.strangeness(rows), len(rows))
    assert found.strangeness(rows) < 0.45


@pytest.mark.parametrize("name", ["digits", "fashion"])
def test_no_warning_of_one_class_alone(name):
    data = stored({"fashion": "fashion_mnist"}.get(name, name), num_examples=350)
    images = data.fetch(np.arange(350))
    rows, labels = judge(name).features(images), np.asarray(data.labels)[:350]
    assert max(judge(name).strangeness(rows[labels == c]) for c in range(10)) < 0.3


@pytest.mark.parametrize("name", CLASS_NAMES)
@pytest.mark.parametrize(
    "images",
    [
        lambda name: photos(60, 32),
        lambda name: photos(60, 64)[..., :1],
        lambda name: noise(),
        lambda name: noise(size=32, channels=3),
        lambda name: 255 - own("digits", image_size=28),
        lambda name: own("fashion_mnist" if name != "fashion" else "digits"),
        lambda name: drawn(32) if name != "faces" else own("digits"),
        lambda name: np.zeros((60, 28, 28, 1), "uint8"),
        lambda name: np.full((60, 28, 28, 1), 255, "uint8"),
    ],
)
def test_other_images_are_named(name, images):
    found, images = features(name), images(name)
    assert found.strangeness(found(images)) > 0.7


def test_a_warning_once_in_words_with_the_number():
    images = photos(60, 28)[..., :1]
    words = r"(9\d|100)% of 60 real images are farther from .* 'fashion' was trained on.*pixels"
    measures = (
        lambda: kgen.metrics.fid(images, images[::-1], "fashion"),
        lambda: kgen.metrics.kid(images, images[::-1], "fashion", subset_size=50),
        lambda: kgen.metrics.evaluate(images, images[::-1], "fashion", ["fid", "recall"]),
        lambda: kgen.callbacks.CollapseMonitor(images, "fashion"),
    )
    for measure in measures:
        with pytest.warns(UserWarning, match=words) as caught:
            measure()
        assert [w.category for w in caught].count(UserWarning) == 1
    evaluator = kgen.callbacks.Evaluator("fid", images, "fashion")
    with pytest.warns(UserWarning, match=words) as caught:
        evaluator.measure(images)
        evaluator.measure(images)
    assert [w.category for w in caught].count(UserWarning) == 1
    with pytest.warns(UserWarning, match="60 test images are farther"):
        kgen.metrics.memorization(images[:30], images, photos(60, 28, 1)[..., :1], "fashion")
    with pytest.warns(UserWarning, match="60 reference images are farther"):
        kgen.latent.AcceptedBy(judge("fashion"), images, photos(60, 28, 1)[..., :1])


def test_what_a_judge_keeps_is_of_its_features(digits):
    images, _ = digits
    mine = judge("digits")
    known = known_of(mine, images)
    rows, labels = mine.features(images), mine.labels(images)
    for label in range(10):
        expected = rows[labels == label].mean(axis=0)
        np.testing.assert_allclose(known["centers"][label], expected, rtol=1e-4, atol=1e-5)
    within = rows - known["centers"][labels]
    expected = np.linalg.inv(np.cov(within.T, bias=True) + RIDGE * np.eye(64))
    np.testing.assert_allclose(known["inverse"], expected, rtol=1e-2, atol=1e-2)
    squares = [[(row - c) @ known["inverse"] @ (row - c) for c in known["centers"]] for row in rows]
    assert (np.min(squares, axis=1) <= known["usual"]).mean() == pytest.approx(0.95, abs=0.01)


def test_a_judge_of_ones_own_says_nothing():
    model = keras.saving.load_model(WEIGHTS / "digits.keras", compile=False)
    mine = Judge(model, tuple("0123456789"))
    assert mine.strangeness(mine.features(noise())) == 0


def test_judges_by_the_names_of_sets():
    for dataset in ("digits", "mnist"):
        assert kgen.metrics.judge_for(dataset) == "digits"
    for dataset in ("digits/8x8", "digits/", "emnist", "fashion_mnist/x", "a/b"):
        assert kgen.metrics.judge_for(dataset) is None
    assert kgen.metrics.judge_for("faces/glasses") == kgen.metrics.judge_for("faces") == "faces"
