"""The Inception score: its bounds, a computation by hand, classifiers, what is refused."""

import numpy as np
import pytest

import kgen
from kgen.metrics import inception_score, judge


def random_probabilities(n, classes=5):
    return np.random.default_rng(0).dirichlet(np.ones(classes), n)


def test_certain_and_even_is_the_number_of_classes():
    found = inception_score(np.tile(np.eye(5), (4, 1)), splits=1)
    assert found.value == pytest.approx(5, rel=1e-12) and found.deviation == 0
    assert (found.n, found.classes) == (20, 5)


@pytest.mark.parametrize("p", [np.full((40, 5), 0.2), np.tile(np.eye(5)[2], (40, 1))])
def test_uncertain_or_of_one_class_is_one(p):
    assert inception_score(p).value == pytest.approx(1, rel=1e-12)


def test_by_hand():
    p = random_probabilities(30)
    scores = []
    for part in np.array_split(p[np.random.default_rng(7).permutation(30)], 3):
        divergence = (part * np.log(part / part.mean(axis=0))).sum(axis=1)
        scores.append(np.exp(divergence.mean()))
    found = inception_score(p, splits=3, seed=7)
    assert found.value == pytest.approx(np.mean(scores), rel=1e-12)
    assert found.deviation == pytest.approx(np.std(scores), rel=1e-9)
    assert inception_score(p, splits=3, seed=8) != found


def test_sorted_images_are_mixed_before_they_are_split():
    assert inception_score(np.repeat(np.eye(4), 200, axis=0)).value > 3.8


def test_of_images():
    data = kgen.data.load("digits", "test")
    images = data.fetch(np.arange(200))
    found = inception_score(images, features="digits", splits=2)
    expected = inception_score(judge("digits").probabilities(images), splits=2)
    assert found.value == pytest.approx(expected.value, rel=1e-5) and found.value > 5
    assert str(found) == (
        f"Inception score {found.value:.4g} +- {found.deviation:.2g} (digits, 10 classes, 200 "
        "images in 2 splits)"
    )
    assert "(10 classes, 200 images" in str(expected)
    batches = (images[start : start + 30] for start in range(0, 200, 30))
    again = inception_score(batches, features=judge("digits"), splits=2)
    assert float(again) == pytest.approx(found.value, rel=1e-5)
    constant = inception_score(np.full((20, 28, 28), 99, "uint8"), "digits")
    assert constant.value == pytest.approx(1, abs=1e-6)


def test_classes_by_factor_are_passed_one_by_one():
    images = kgen.data.faces.draw(kgen.data.faces.sample_factors(40, seed=0), 32)
    with pytest.raises(ValueError, match=r"by factor \[.*'hair'.*probabilities\(images\)\[factor"):
        inception_score(images, features="faces")
    assert inception_score(judge("faces").probabilities(images)["hair"], splits=2).value > 1


@pytest.mark.parametrize(
    ("p", "message"),
    [
        (random_probabilities(19), "at least 20 for 10 splits of 2 or more; got 19"),
        (random_probabilities(40) * 2, r"sum to 1 in each row; .*sums from 2 to 2.*softmax"),
        (random_probabilities(40) - 0.1, "0 or more"),
        (random_probabilities(40) * np.nan, "probabilities must be finite"),
        (np.zeros((40, 4, 4, 1)), r"probabilities must have shape \(N, F\)"),
    ],
)
def test_wrong_probabilities_are_refused(p, message):
    with pytest.raises(ValueError, match=message):
        inception_score(p)


def test_what_knows_no_classes_is_refused():
    with pytest.raises(ValueError, match="pixels knows no classes"):
        inception_score(np.zeros((40, 4, 4, 1), "uint8"), features="pixels")
    with pytest.raises(ValueError, match="splits must be a positive integer"):
        inception_score(random_probabilities(40), splits=0)
