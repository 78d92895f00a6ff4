"""Noise processes and predictions against the papers' equations."""

import keras
import numpy as np
import pytest
from diffusion_by_hand import ALPHA_BARS, TRAINED_AT
from keras import ops

from kgen import noise
from kgen.noise import PREDICTIONS

EVERY = [make() for make in noise.NOISES.values()]
every = pytest.mark.parametrize("process", EVERY, ids=lambda p: type(p).__name__)


@pytest.mark.parametrize("kind", ALPHA_BARS, ids=lambda kind: kind.__name__)
def test_steps_are_those_of_the_paper(kind):
    process, expected = kind(), ALPHA_BARS[kind]
    np.testing.assert_allclose(process.alpha_bars, expected, rtol=1e-9)
    np.testing.assert_allclose(process.betas, 1 - expected[1:] / expected[:-1], rtol=1e-6)
    t = np.arange(1001) / 1000
    np.testing.assert_allclose(process.alpha(t) ** 2, expected, rtol=1e-9)
    np.testing.assert_allclose(process.sigma(t) ** 2, 1 - expected, rtol=1e-9, atol=1e-12)


def test_fewer_steps_end_in_noise_as_well():
    for kind in (noise.Linear, noise.Cosine, noise.Sigmoid):
        assert kind(num_steps=50).alpha_bars[-1] < 1e-3
        assert kind(num_steps=50).least == 0.02


def test_the_ends_of_the_others():
    edm = noise.EDM()
    np.testing.assert_allclose(edm.sigma(np.array([0, 0.5, 1])), [0.002, 0.4, 80], rtol=1e-9)
    assert (edm.alpha(np.array([0.0, 1.0])) == 1).all()
    flow = noise.FlowMatching()
    np.testing.assert_allclose(flow.alpha(0.25) + flow.sigma(0.25), 1)
    assert float(flow.alpha(1.0)) == 0 and float(flow.ratio(1.0)) == np.inf


@every
def test_noise_rises_and_its_time_is_found_again(process):
    t = np.linspace(process.least, 0.999, 50)
    ratio = process.ratio(t)
    assert (np.diff(ratio) > 0).all()
    np.testing.assert_allclose(process.time_of(ratio), t, atol=1e-9)
    np.testing.assert_allclose(process.snr(t), 1 / ratio**2, rtol=1e-9)
    np.testing.assert_allclose(process.time_of([1e-9, 1e9]), [0, 1], atol=1e-6)


@every
def test_the_graph_computes_what_the_host_does(process):
    t = np.concatenate([np.linspace(process.least, 1, 40), [0.12345]])
    in_graph = ops.convert_to_tensor(t.astype("float32"))
    for of in (process.alpha, process.sigma, process.std):
        np.testing.assert_allclose(ops.convert_to_numpy(of(in_graph)), of(t), rtol=2e-4, atol=1e-6)
    root = np.hypot(process.alpha(t) * process.data_std, process.sigma(t))
    np.testing.assert_allclose(process.std(t), root, rtol=1e-9)
    for numbers in (t, in_graph):  # both at once are what each is
        pair = [ops.convert_to_numpy(v) for v in process.levels(numbers)]
        each = [ops.convert_to_numpy(of(numbers)) for of in (process.alpha, process.sigma)]
        np.testing.assert_array_equal(pair, each)


@every
def test_training_times(process):
    places = np.linspace(0, 0.999, 200).astype("float32")
    t, alpha, sigma = TRAINED_AT[type(process)](places.astype("float64"))
    found = ops.convert_to_numpy(process.training_times(ops.convert_to_tensor(places)))
    inside = slice(2, -2)  # EDM's normal has no ends, and float32 ones
    np.testing.assert_allclose(found[inside], t[inside], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(process.alpha(t), alpha, rtol=1e-6)
    np.testing.assert_allclose(process.sigma(t), sigma, rtol=1e-6)


@every
@pytest.mark.parametrize("name", PREDICTIONS)
def test_every_prediction_tells_image_and_noise(process, name):
    random = np.random.default_rng(0)
    image, epsilon = random.uniform(-1, 1, 9), random.standard_normal(9)
    prediction = PREDICTIONS[name]
    for t in (max(process.least, 1e-3), 0.3, 0.8):
        noisy = process.alpha(t) * image + process.sigma(t) * epsilon
        told = prediction.of(process, t, image, epsilon)
        np.testing.assert_allclose(prediction.images(process, t, noisy, told), image, atol=1e-6)
        np.testing.assert_allclose(prediction.noise(process, t, noisy, told), epsilon, atol=1e-6)
        wrong = prediction.images(process, t, noisy, told + 0.1) - image
        weight = prediction.error_weight(process, t)
        np.testing.assert_allclose(weight * wrong**2, 0.01, rtol=1e-3)


def test_a_network_of_edm_is_the_preconditioned_one():
    """Karras et al. (2022), equation 7 and table 1, with the sign of F turned."""
    edm, t = noise.EDM(), 0.7
    sigma, std = float(edm.sigma(t)), 0.5
    assert edm.std(t) == pytest.approx(np.hypot(sigma, std))  # 1 / c_in
    noisy, told = np.array([0.3, -2.0]), np.array([1.5, 0.2])
    skip, out = std**2 / (sigma**2 + std**2), sigma * std / np.hypot(sigma, std)
    found = PREDICTIONS["velocity"].images(edm, t, noisy, -told)
    np.testing.assert_allclose(found, skip * noisy + out * told)


@every
def test_a_process_is_equal_by_value_and_in_files(process):
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(process))
    assert again == process and hash(again) == hash(process)
    assert noise.get(process) is process
    assert all(process != other for other in EVERY if other is not process)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: noise.get("quadratic"), r"noise must be one of .*'linear'.*got 'quadratic'"),
        (lambda: noise.get(3), "noise must be one of"),
        (lambda: noise.Linear(num_steps=0), "num_steps must be a positive integer"),
        (lambda: noise.Linear(beta_1=0.1), "beta_1 and beta_end"),
        (lambda: noise.Linear(num_steps=10), "stay below 1"),
        (lambda: noise.Cosine(s=-1), "s must lie"),
        (lambda: noise.Sigmoid(tau=0), "tau must be"),
        (lambda: noise.Sigmoid(start=3, end=-3), "start must be below end"),
        (lambda: noise.EDM(sigma_min=100), "sigma_min must be below"),
        (lambda: noise.EDM(data_std=0), "data_std must be"),
        (lambda: noise.EDM(sigma_max=np.inf), "sigma_max must be"),
        (lambda: noise.EDM(mean=np.nan), "mean must be a finite number; got nan"),
        (lambda: noise.Linear(beta_end="0.02"), "beta_end must be a finite number; got '0.02'"),
    ],
)
def test_settings_that_make_no_process(make, words):
    with pytest.raises(ValueError, match=words):
        make()
