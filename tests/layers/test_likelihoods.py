"""Reconstruction terms against SciPy's densities."""

import keras
import numpy as np
import pytest
from keras import ops
from scipy import stats

import kgen
from kgen.layers import likelihoods

SHAPE = (5, 4, 3, 2)


def pair(seed=0):
    random = np.random.default_rng(seed)
    return random.uniform(-1, 1, (2, *SHAPE)).astype("float32")


def summed(terms):
    return terms.sum(axis=(1, 2, 3))


@pytest.mark.parametrize(
    "name, density",
    [
        ("mse", lambda x, m: stats.norm.logpdf(x, m, np.sqrt(0.5))),
        ("l1", lambda x, m: stats.laplace.logpdf(x, m, 1.0)),
        ("gaussian", lambda x, m: stats.norm.logpdf(x, m, np.exp(-0.7))),
    ],
)
def test_densities_are_scipys(name, density):
    layer = likelihoods.get(name)
    if name == "gaussian":
        layer.log_sigma.assign(-0.7)
    x, decoded = pair()
    expected = summed(density(x.astype("float64"), decoded.astype("float64")))
    result = ops.convert_to_numpy(layer.log_likelihood(x, decoded))
    np.testing.assert_allclose(result, expected, rtol=1e-5)
    assert layer.is_density


def test_losses_are_those_of_the_slides():
    x, decoded = pair()
    difference = x.astype("float64") - decoded
    for name, terms in (("mse", difference**2), ("l1", np.abs(difference))):
        loss = ops.convert_to_numpy(likelihoods.get(name)(x, decoded))
        assert loss.shape == (5,) and loss.dtype == "float32"
        np.testing.assert_allclose(loss, summed(terms), rtol=1e-5)


def test_bernoulli_is_scipys_on_binary_pixels_and_cross_entropy_between():
    x, decoded = pair()
    layer = likelihoods.get("bernoulli")
    assert not layer.is_density
    p = (decoded.astype("float64") + 1) / 2
    binary = np.where(x > 0, 1.0, -1.0).astype("float32")
    result = ops.convert_to_numpy(layer.log_likelihood(binary, decoded))
    np.testing.assert_allclose(result, summed(stats.bernoulli.logpmf(binary > 0, p)), rtol=1e-5)
    on = (x.astype("float64") + 1) / 2
    result = ops.convert_to_numpy(layer.log_likelihood(x, decoded))
    np.testing.assert_allclose(result, summed(on * np.log(p) + (1 - on) * np.log1p(-p)), rtol=1e-5)


def test_bernoulli_is_finite_where_the_decoder_is_certain_and_wrong():
    x = np.array([[[[1.0]]], [[[-1.0]]]], "float32")
    loss = ops.convert_to_numpy(likelihoods.get("bernoulli")(x, -x))
    assert np.isfinite(loss).all() and (loss > 10).all()


@pytest.mark.parametrize("beyond", [1.0, 1.5, 20.0, 1e8])
def test_bernoulli_takes_a_decoder_that_leaves_the_range_for_certain(beyond):
    images = np.array([[-1.0, 0.0, 1.0]], "float32")
    for sign in (1, -1):
        decoded = np.full((1, 3), sign * beyond, "float32")
        found, expected = (
            float(ops.convert_to_numpy(kgen.layers.Bernoulli()(images, d))[0])
            for d in (decoded, np.full((1, 3), sign * (1 - 1e-6), "float32"))
        )
        assert found == pytest.approx(expected, rel=1e-6)


def test_gaussians_best_sigma_is_the_root_mean_square_error():
    """The optimum of the learned sigma (Rybkin et al., 2021, equation 6)."""
    x, decoded = pair()
    layer = likelihoods.get("gaussian")
    best = np.sqrt(((x.astype("float64") - decoded) ** 2).mean())

    def loss(sigma):
        layer.log_sigma.assign(np.log(sigma))
        return float(ops.mean(layer(x, decoded)))

    assert loss(best) < min(loss(0.99 * best), loss(1.01 * best))


@pytest.mark.parametrize("name", sorted(likelihoods.LIKELIHOODS))
def test_half_precision_inputs_are_summed_in_float32(name):
    x = np.zeros((1, 64, 64, 16), "float32")
    decoded = np.full(x.shape, 0.5, "float16")
    loss = ops.convert_to_numpy(likelihoods.get(name)(x, decoded))
    whole = ops.convert_to_numpy(likelihoods.get(name)(x, decoded.astype("float32")))
    assert loss.dtype == "float32"
    np.testing.assert_allclose(loss, whole, rtol=1e-6)


def test_names_and_own_likelihoods():
    with pytest.raises(ValueError, match=r"'mae'.*\['bernoulli', 'gaussian', 'l1', 'mse'\]"):
        likelihoods.get("mae")
    layer = kgen.layers.L1()
    assert likelihoods.get(layer) is layer
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert isinstance(again, kgen.layers.L1)


@pytest.mark.parametrize("name", sorted(likelihoods.LIKELIHOODS))
def test_compiled_equals_plain(name):
    """In batches, with saturated pixels: XLA's log1p is wrong there in some versions."""
    random = np.random.default_rng(0)
    x = random.uniform(-1, 1, (64, 28, 28, 1)).astype("float32")
    decoded = np.tanh(random.normal(-2, 3, x.shape)).astype("float32")
    images, predicted = keras.Input(x.shape[1:]), keras.Input(x.shape[1:])
    layer = likelihoods.get(name)
    model = keras.Model([images, predicted], layer(images, predicted))
    model.compile(jit_compile=keras.backend.backend() != "torch")
    plain = ops.convert_to_numpy(layer(x, decoded))
    np.testing.assert_allclose(
        model.predict([x, decoded], batch_size=64, verbose=0), plain, rtol=1e-5
    )
