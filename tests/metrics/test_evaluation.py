"""All metrics at once give what each gives alone, and say what could not be measured."""

import json

import keras
import numpy as np
import pytest

from kgen import metrics
from kgen.data import ImageDataset
from kgen.metrics import METRICS, Features, evaluate

N = 40


def pictures(n=N, size=16, channels=1, seed=0):
    random = np.random.default_rng(seed)
    shapes = random.integers(0, 256, (n, 4, 4, channels)).repeat(size // 4, 1).repeat(size // 4, 2)
    return (0.5 * shapes + random.integers(0, 128, (n, size, size, channels))).astype("uint8")


REAL, FAKE, TEST = (pictures(seed=seed) for seed in range(3))


class Counted(Features):
    """Mean levels of quarters, and two classes; counts the images that it sees."""

    def __init__(self, classes=True):
        super().__init__("quarters", 4, self.quarters, self.classes if classes else None)
        self.seen = 0

    def quarters(self, images):
        self.seen += len(images)
        half = images.shape[1] // 2
        parts = images[:, :half], images[:, half:], images[:, :, :half], images[:, :, half:]
        return np.stack([part.mean(axis=(1, 2, 3)) for part in parts], axis=1)

    def classes(self, images):
        bright = images.mean(axis=(1, 2, 3)) / 255
        return np.stack([bright, 1 - bright], axis=1)


def test_all_metrics_are_those_that_stand_alone():
    features = Counted()
    found = evaluate(REAL, FAKE, features, test=TEST, seed=5)
    assert list(found.values) == list(METRICS) and found.left_out == {}
    assert features.seen == 3 * N  # each image once
    expected = {
        "fid": metrics.fid(REAL, FAKE, features, test=TEST),
        "kid": metrics.kid(REAL, FAKE, features, subset_size=N, seed=5),
        "precision": metrics.prdc(features(REAL), features(FAKE)),
        "inception_score": metrics.inception_score(FAKE, features, seed=5),
        "sliced_wasserstein": metrics.sliced_wasserstein(REAL, FAKE, seed=5),
        "ms_ssim": metrics.ms_ssim(FAKE, seed=5),
        "memorization": metrics.memorization(FAKE, REAL, TEST, features),
    }
    for name, alone in expected.items():
        assert str(found.results[name]) == str(alone), name
        assert found.values[name] == pytest.approx(METRICS[name].value(alone), rel=1e-9), name
    assert found.results["fid"].floor == pytest.approx(expected["fid"].floor, rel=1e-9)
    assert found.values["coverage"] == expected["precision"].coverage
    memorized, alone = found.results["memorization"], expected["memorization"]
    np.testing.assert_array_equal(memorized.neighbors, alone.neighbors)


def test_the_table_has_each_value_and_each_line_once():
    found = evaluate(REAL, FAKE, Counted())
    lines = str(found).splitlines()
    assert [line.split()[0] for line in lines] == list(METRICS)
    assert f"{found.values['fid']:.4g}  FID" in lines[0] and "quarters features" in lines[0]
    assert str(found.results["precision"]) in lines[2] and lines[3].split()[5:] == []
    assert lines[3].startswith("recall (k = 3) ") and lines[4].startswith("density (k = 5) ")
    assert lines[-1].endswith("left out: it compares with test images: pass test=, images not "
                              "trained on.")  # fmt: skip
    assert (found.n_real, found.n_fake, found.n_test, found.features) == (N, N, None, "quarters")


def test_k_is_said_and_can_be_told():
    found = evaluate(REAL, FAKE, Counted(), ["recall", "coverage", "ms_ssim"])
    assert found.results["recall"] == metrics.prdc(Counted()(REAL), Counted()(FAKE), 3, 5)
    other = evaluate(REAL, FAKE, Counted(), "recall", precision_k=7, density_k=2)
    assert other.results["recall"] == metrics.prdc(Counted()(REAL), Counted()(FAKE), 7, 2)
    assert str(other).startswith("recall (k = 7)  ")
    details = found.as_dict()["details"]["recall"]
    assert (details["precision_k"], details["density_k"]) == (3, 5)
    labels = [found.label(name) for name in found.values]
    assert labels == ["recall (k = 3)", "coverage (k = 5)", "ms_ssim"]
    with pytest.raises(ValueError, match="precision_k must be a positive integer; got 0"):
        evaluate(REAL, FAKE, Counted(), precision_k=0)


def test_what_cannot_be_measured_is_left_out_with_its_reason():
    small = [pictures(size=8, seed=seed) for seed in range(2)]
    found = evaluate(*small, Counted(classes=False))
    assert set(found.left_out) == {"inception_score", "ms_ssim", "memorization"}
    assert "knows no classes" in found.left_out["inception_score"]
    assert "11x11" in found.left_out["ms_ssim"] and "8x8" in found.left_out["ms_ssim"]
    found = evaluate(REAL, FAKE[:3], Counted())
    assert set(found.left_out) == {
        *("precision", "recall", "density", "coverage"),
        *("inception_score", "memorization"),
    }
    assert "got 3" in found.left_out["precision"]
    found = evaluate(REAL, FAKE, None, test=TEST)
    assert list(found.values) == ["sliced_wasserstein", "ms_ssim"]
    assert "pass features=" in found.left_out["fid"] and found.features is None
    assert list(evaluate(REAL, FAKE[:1], Counted()).values) == ["sliced_wasserstein"]
    assert "ms_ssim" in str(found)


@pytest.mark.parametrize(
    "name, change, words",
    [
        ("fid", {"fake": FAKE[:1]}, r"fid cannot be measured: fake must be at least 2.*got 1"),
        ("kid", {"fake": FAKE[:1]}, r"kid .*at least 2.*got 1"),
        ("recall", {"fake": FAKE[:3]}, r"recall .*at least 4.*got 3"),
        ("recall", {"fake": FAKE[:5], "precision_k": 5}, r"recall .*at least 6.*got 5"),
        ("inception_score", {"fake": FAKE[:19]}, r"at least 20.*got 19"),
        ("inception_score", {"features": Counted(classes=False)}, "knows no classes"),
        ("ms_ssim", {"real": REAL[:, :8], "fake": FAKE[:, :8], "test": None}, "11x11"),
        ("sliced_wasserstein", {"real": REAL[:, :6], "fake": FAKE[:, :6], "test": None}, "7x7"),
        ("memorization", {"test": None}, "pass test="),
        ("memorization", {"test": REAL}, "equal a training image"),
        ("coverage", {"features": None}, r"pass features=, one of \['digits'"),
    ],
)
def test_what_is_asked_for_by_name_must_be_measured(name, change, words):
    options = {"real": REAL, "fake": FAKE, "features": Counted(), "test": TEST} | change
    with pytest.raises(ValueError, match=words):
        evaluate(**options, metrics=name)


@pytest.mark.parametrize(
    "change, words",
    [
        ({"fake": pictures(size=12)}, r"same size and channels; got \(16, 16, 1\) and \(12, 12, 1"),
        ({"fake": pictures(channels=3)}, "same size and channels"),
        ({"test": pictures(size=12)}, "same size and channels"),
        ({"fake": np.full((N, 16, 16, 1), np.nan)}, "NaN"),
        ({"fake": np.full((N, 16, 16, 1), 0.5)}, "divided by 255"),
        ({"real": REAL[:0]}, "empty"),
        ({"metrics": ["fid", "fad"]}, r"no metric 'fad'; the metrics are \['fid', 'kid'"),
        ({"metrics": {"fid": len}}, "of your own"),
        ({"metrics": {"mine": 3}}, "of your own"),
        ({"features": "portraits"}, "features must be one of"),
    ],
)
def test_bad_input_is_an_error_also_where_all_that_apply_are_measured(change, words):
    options = {"real": REAL, "fake": FAKE, "features": Counted(), "test": TEST} | change
    with pytest.raises(ValueError, match=words):
        evaluate(**options)
    for wrong in ([], {}, 3, [3]):
        with pytest.raises(TypeError, match="metrics must be names"):
            evaluate(REAL, FAKE, Counted(), wrong)


def test_images_from_anywhere_give_the_same():
    expected = evaluate(REAL, FAKE, Counted(), test=TEST)
    floats = FAKE.astype("float32") / 127.5 - 1
    for real, fake in (
        (ImageDataset(REAL, batch_size=7), floats),
        ([REAL[:9], REAL[9:]], ImageDataset(FAKE, seed=3)),
        ((batch for batch in (REAL[:9], REAL[9:])), iter([FAKE])),
    ):
        assert evaluate(real, fake, Counted(), test=TEST).values == expected.values


def test_constant_images_are_measured():
    found = evaluate(REAL, np.zeros_like(REAL), Counted(), test=TEST)
    assert set(found.values) == set(METRICS) and np.isfinite([*found.values.values()]).all()
    assert found.values["ms_ssim"] == 1 and found.values["recall"] == 0


def test_features_of_real_images_are_kept():
    features = Counted()
    for _ in range(2):
        evaluate(REAL, FAKE, features, ["fid", "recall"], test=TEST)
    assert features.seen == 2 * N + 2 * N
    metrics.kid(REAL, FAKE, features, subset_size=N)  # shares what was kept
    assert features.seen == 2 * N + 3 * N


def test_only_what_is_needed_is_computed():
    features = Counted()
    found = evaluate(REAL, FAKE, features, ["ms_ssim", "inception_score"])
    assert features.seen == 0 and list(found.values) == ["inception_score", "ms_ssim"]


def test_metrics_of_ones_own():
    own = {"shift": lambda real, fake: fake.mean() - real.mean(), "n": lambda real, fake: len(fake)}
    found = evaluate(REAL, FAKE, Counted(), ["ms_ssim", own])
    assert list(found.values) == ["ms_ssim", "shift", "n"] and found.values["n"] == N
    assert found.values["shift"] == FAKE.mean() - REAL.mean() and "shift" in str(found)
    points = np.zeros((9, 2)), np.ones((9, 2))
    found = evaluate(*points, None, {"shift": own["shift"]})  # what they are is theirs to check
    assert found.values == {"shift": 1} and found.n_real is None
    with pytest.raises(TypeError, match="'odd' must return a number; got 'x'"):
        evaluate(REAL, FAKE, None, {"odd": lambda real, fake: "x"})


def test_a_file_of_json_holds_it():
    found = evaluate(REAL, FAKE, Counted(), test=TEST)
    plain = json.loads(json.dumps(found.as_dict(), allow_nan=False))
    assert plain["values"] == found.values and plain["left_out"] == {}
    assert plain["details"]["fid"]["floor"] == found.results["fid"].floor
    assert plain["details"]["kid"]["standard_error"] is None  # of one subset
    assert plain["details"]["sliced_wasserstein"]["sizes"] == [[16, 16]]
    assert plain["n_fake"] == N and plain["features"] == "quarters"


def test_a_judge_and_a_model_by_their_names():
    inputs = keras.Input((16, 16, 1))
    outputs = keras.layers.GlobalAveragePooling2D()(inputs)
    model = keras.Model(inputs, outputs, name="grey")
    found = evaluate(REAL, FAKE, model, ["fid", "coverage"])
    levels = [np.mean(x / 127.5 - 1, axis=(1, 2)) for x in (REAL, FAKE)]
    assert found.features == "grey"
    assert found.values["fid"] == pytest.approx(metrics.frechet_distance(*levels), abs=1e-6)
