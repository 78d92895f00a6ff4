"""Generative classifiers against closed forms and scikit-learn's discriminant analysis."""

import keras
import numpy as np
import pytest
from scipy import stats
from sklearn.discriminant_analysis import QuadraticDiscriminantAnalysis

import kgen
from kgen.bayes import GenerativeClassifier
from kgen.data.toy2d import two_clouds


class Normal:
    """The maximum-likelihood Gaussian of points."""

    def fit(self, x):
        self.density = stats.multivariate_normal(x.mean(axis=0), np.cov(x.T, bias=True))

    def log_likelihood(self, x):
        return self.density.logpdf(x)


class Known(Normal):
    """A density that learns nothing."""

    def __init__(self, mean, covariance):
        self.density = stats.multivariate_normal(mean, covariance)

    def fit(self, x):
        pass


def gaussians(x, labels):
    return GenerativeClassifier(lambda x: kgen.Gaussian((2,), 2)).fit(x, labels, verbose=0)


@pytest.mark.parametrize("count", [150, 40])
def test_with_gaussians_it_is_quadratic_discriminant_analysis(count):
    points, labels = two_clouds(150)
    points, labels = points[: 150 + count].astype("float64"), labels[: 150 + count]
    fresh, _ = two_clouds(200, seed=1)
    other = QuadraticDiscriminantAnalysis(store_covariance=True).fit(points, labels)
    found = zip(other.means_, other.covariance_, strict=True)  # divided by n, or by n - 1
    model = GenerativeClassifier(lambda x: Known(*next(found))).fit(points, labels)
    np.testing.assert_allclose(model.predict_proba(fresh), other.predict_proba(fresh), rtol=1e-6)
    np.testing.assert_array_equal(model.predict(fresh), other.predict(fresh))
    model = gaussians(points, labels)
    np.testing.assert_allclose(model.predict_proba(fresh), other.predict_proba(fresh), atol=0.03)


def test_with_one_covariance_the_odds_are_linear():
    """Closed form: log odds are w x + b, w = C^-1 (m1 - m0), b of the means and the prior."""
    means, covariance = np.array([[-1.0, 0.5], [0.7, 1.0]]), np.array([[0.5, 0.2], [0.2, 0.3]])
    left = iter(means)
    model = GenerativeClassifier(lambda x: Known(next(left), covariance))
    model.fit(np.zeros((8, 2)), [0, 0, 0, 0, 0, 0, 1, 1])
    inverse = np.linalg.inv(covariance)
    w = inverse @ (means[1] - means[0])
    b = -0.5 * (means[1] @ inverse @ means[1] - means[0] @ inverse @ means[0]) + np.log(2 / 6)
    x = np.random.default_rng(0).normal(size=(50, 2))
    p = model.predict_proba(x)
    np.testing.assert_allclose(np.log(p[:, 1] / p[:, 0]), x @ w + b, rtol=1e-9)
    np.testing.assert_array_equal(model.predict(x), x @ w + b > 0)


def test_bayes_rule_is_what_it_says():
    points, labels = two_clouds(2000)
    model = gaussians(points, labels)
    posterior = model.predict_proba(points)
    np.testing.assert_allclose(posterior.sum(axis=1), 1)
    densities = np.exp([m.log_likelihood(points) for m in model.models]).T
    np.testing.assert_allclose(posterior, densities / densities.sum(axis=1, keepdims=True))
    np.testing.assert_allclose(np.exp(model.log_likelihood(points)), densities.mean(axis=1))
    mean = model.models[1].mean_image
    np.testing.assert_allclose(mean, points[labels == 1].mean(axis=0), atol=1e-5)


def test_shares_of_classes_are_the_prior():
    points, labels = two_clouds(100)
    chosen = np.r_[0:100, 100:125]  # four times as many of the first class
    model = gaussians(points[chosen], labels[chosen])
    joint = model.log_joint(points)
    densities = np.stack([m.log_likelihood(points) for m in model.models], axis=1)
    np.testing.assert_allclose(joint - densities, np.log([[0.8, 0.2]] * 200))


@pytest.mark.parametrize("name", [lambda y: y + 5, lambda y: y == 1, np.array(["cat", "dog"]).take])
def test_classes_by_any_labels(name):
    points, labels = two_clouds(200)
    model = gaussians(points, name(labels))
    assert list(model.classes) == list(np.unique(name(labels)))
    assert (model.predict(points) == name(labels)).mean() > 0.85
    assert str(model.classes[0]) in repr(model)


def test_what_is_far_from_everything_is_still_divided():
    model = gaussians(*two_clouds(200))
    far = np.float32([[300, 200], [-300, 200]])
    assert model.log_likelihood(far).max() < -1e4
    np.testing.assert_allclose(model.predict_proba(far).sum(axis=1), 1)


def test_tensors_lists_and_a_second_fit():
    points, labels = two_clouds(50)
    model = gaussians(keras.ops.convert_to_tensor(points), keras.ops.convert_to_tensor(labels))
    expected = gaussians(points, labels).predict_proba(points)
    np.testing.assert_allclose(model.predict_proba(points), expected, atol=1e-6)
    assert model.fit(points, list(1 - labels), verbose=0) is model
    np.testing.assert_allclose(model.predict_proba(points), expected[:, ::-1], atol=1e-6)


POINTS, LABELS = two_clouds(4)
ONE = Normal()


@pytest.mark.parametrize(
    ("make", "x", "labels", "error", "message"),
    [
        (Normal, kgen.data.ImageDataset(POINTS), LABELS, TypeError, r"pass dataset\.images\(\)"),
        (Normal, POINTS * np.nan, LABELS, ValueError, "x must be finite"),
        (Normal, POINTS, LABELS[:3], ValueError, r"one for each of x; got \(3,\).*\(8, 2\)"),
        (Normal, POINTS, np.eye(8, dtype=int), ValueError, r"got \(8, 8\)"),
        (Normal, POINTS, LABELS / 2, TypeError, "integers, booleans or strings; got dtype float64"),
        (Normal, POINTS, LABELS * 0, ValueError, r"two classes or more; got \[0\]"),
        (lambda: ONE, POINTS, LABELS, ValueError, "a new model for each class"),
        (lambda: kgen.Autoencoder((2,)), POINTS, LABELS, TypeError, "Autoencoder has no log_like"),
    ],
)
def test_what_it_refuses(make, x, labels, error, message):
    model = GenerativeClassifier(lambda x: make())
    with pytest.raises(error, match=message):
        model.fit(x, labels)
    with pytest.raises(ValueError, match="knows no classes yet: call fit first"):
        model.predict(POINTS)


def test_a_density_that_is_no_number_for_each_example(monkeypatch):
    model = GenerativeClassifier(lambda x: Normal()).fit(*two_clouds(20))
    monkeypatch.setattr(Normal, "log_likelihood", lambda self, x: 0.5)
    with pytest.raises(ValueError, match=r"must return \(40,\).*Normal returned \(\)"):
        model.log_joint(two_clouds(20)[0])
