"""The area under the ROC curve: against scikit-learn, and its error against repetitions."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from kgen.metrics import auroc


@pytest.mark.parametrize("n", [2, 7, 500])
def test_equal_to_scikit_learn(n):
    random = np.random.default_rng(n)
    positive = np.arange(n) % 3 == 1
    for scores in (random.normal(size=n) + positive, random.integers(0, 4, n)):  # with ties
        found = auroc(scores, positive)
        assert found.value == pytest.approx(roc_auc_score(positive, scores), abs=1e-12)
        assert (found.positives, found.negatives) == (positive.sum(), (~positive).sum())


def test_closed_forms():
    positive = np.array([True, True, False, False, False])
    for scores, area in (([2, 2, 1, 1, 0], 1), ([0, 0, 1, 2, 3], 0), ([5] * 5, 0.5)):
        assert float(auroc(np.array(scores), positive)) == area
    assert auroc(np.array([2, 2, 1, 1, 0]), positive).standard_error == 0


def test_the_standard_error_is_that_of_repetitions():
    random = np.random.default_rng(0)
    positive = np.arange(120) < 40
    found = [auroc(random.normal(positive * 1.2), positive) for _ in range(400)]
    error = np.std([float(one) for one in found])
    assert np.mean([one.standard_error for one in found]) == pytest.approx(error, rel=0.15)


def test_the_standard_error_without_information():
    """As that of Wilcoxon's statistic: (n + m + 1) / (12 n m)."""
    positive = np.arange(1000) % 4 == 0
    found = auroc(np.zeros(1000), positive)
    assert found.standard_error == pytest.approx(np.sqrt(1001 / (12 * 250 * 750)), rel=1e-9)
    assert str(found) == "AUROC 0.500 ± 0.021 (250 positives, 750 negatives)"


@pytest.mark.parametrize(
    ("scores", "positive", "error", "message"),
    [
        ([1, 2], [1, 0], TypeError, r"booleans \(N,\); got int\d+ of shape \(2,\)"),
        ([1, 2, 3], [True, False], ValueError, r"one for each of 2; got \(3,\)"),
        ([1, np.nan], [True, False], ValueError, "1 of 2 values are NaN"),
        ([1, 2], [True, True], ValueError, "2 positives and 0 negatives"),
    ],
)
def test_what_has_no_curve(scores, positive, error, message):
    with pytest.raises(error, match=message):
        auroc(np.array(scores), np.array(positive))
