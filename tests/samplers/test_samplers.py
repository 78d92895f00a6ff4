"""Samplers against the papers' algorithms, and with a denoiser that is perfect."""

import itertools

import keras
import numpy as np
import pytest
from diffusion_by_hand import ALPHA_BARS, each
from keras import ops

from kgen import noise, samplers
from kgen.engine import backend

MEAN = np.array([0.3, -0.2])
COVARIANCE = np.array([[0.5, 0.2], [0.2, 0.3]])
VARIANCES, AXES = np.linalg.eigh(COVARIANCE)
PROCESSES = [noise.Linear(), noise.Cosine(), noise.Sigmoid(), noise.EDM(), noise.FlowMatching()]
every_process = pytest.mark.parametrize(
    "process", each(PROCESSES, lambda p: p in PROCESSES[1::3], lambda p: type(p).__name__)
)


def perfect(process):
    """The mean of the image given the noisy one, of Gaussian data."""
    mean, variances, axes = (
        ops.convert_to_tensor(v.astype("float32")) for v in (MEAN, VARIANCES, AXES)
    )

    def denoise(x, t):
        alpha, sigma = process.levels(t)
        kept = alpha * variances / (alpha**2 * variances + sigma**2)
        along = ops.matmul(x - alpha * mean, axes)
        return mean + ops.matmul(along * kept, ops.transpose(axes))

    return denoise


def drawn(n, *words):
    return np.random.default_rng(words).standard_normal((n, 2)).astype("float32")


# Single operations take longer than what they compute, so all run compiled, as this empty model is.
EMPTY = keras.Model(name="empty")
EMPTY.compile(jit_compile=False)


def run(sampler, process, num_steps, n, seed=0):
    sampler = samplers.get(sampler)
    start = float(process.sigma(sampler.times(process, num_steps)[0]))

    def images(x, noises):
        return sampler(perfect(process), x, process, num_steps, lambda i: noises[i])

    noises = np.stack([drawn(n, seed, i) for i in range(num_steps)])
    return backend.compiled(images, EMPTY)(start * drawn(n, seed, 10**6), noises)


def solution(sampler, process, num_steps, n, seed=0):
    """Where the probability-flow ODE leads from the same noise: along each axis its own way."""
    t = samplers.get(sampler).times(process, num_steps)[0]
    alpha, sigma = float(process.alpha(t)), float(process.sigma(t))
    along = (sigma * drawn(n, seed, 10**6) - alpha * MEAN) @ AXES
    return MEAN + along * np.sqrt(VARIANCES / (alpha**2 * VARIANCES + sigma**2)) @ AXES.T


@every_process
@pytest.mark.parametrize(
    ("sampler", "order"), [("ddim", 1), ("euler", 1), ("heun", 2), (samplers.DPMpp2M("karras"), 2)]
)
def test_halving_the_step_divides_the_error(process, sampler, order):
    errors = [
        np.abs(run(sampler, process, steps, 200) - solution(sampler, process, steps, 200)).mean()
        for steps in (20, 40)
    ]
    low, high = (1.8, 2.2) if order == 1 else (3.4, 6.0)
    assert low < errors[0] / errors[1] < high, errors


@pytest.mark.parametrize(
    "process", each(PROCESSES[1::3], lambda p: p == PROCESSES[1], lambda p: type(p).__name__)
)
@pytest.mark.parametrize(
    ("sampler", "steps"),
    [
        ("ddpm", 120),
        (samplers.DDPM("beta"), 100),
        (samplers.DDIM(eta=1.0), 120),
        (samplers.DDIM(eta=0.5), 100),
        ("ddim", 100),
        ("euler", 80),
        (samplers.Euler(churn=5.0), 120),
        ("heun", 30),
        (samplers.Heun(churn=20.0), 60),
        ("dpmpp_2m", 30),
    ],
    ids=str,
)
def test_mean_and_covariance_are_those_of_the_data(process, sampler, steps):
    images = run(sampler, process, steps, 5000)
    np.testing.assert_allclose(images.mean(0), MEAN, atol=0.04)
    np.testing.assert_allclose(np.cov(images.T), COVARIANCE, atol=0.045)


def alphas_at(process, sampler, steps):
    t = sampler.times(process, steps)
    return np.append(process.alpha(t), 1.0) ** 2


@pytest.mark.parametrize("kind", ALPHA_BARS, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("variance", ["posterior", "beta"])
def test_ddpm_is_algorithm_2(kind, variance):
    """Line 4 of Algorithm 2, which is in terms of the noise; all steps."""
    process, sampler = kind(), samplers.DDPM(variance)
    bars = ALPHA_BARS[kind]
    x, epsilon, z = np.random.default_rng(0).standard_normal((3, 5))
    table = sampler.coefficients(process, 1000)
    np.testing.assert_allclose(sampler.times(process, 1000), np.arange(1000, 0, -1) / 1000)
    for row, step in zip(table, range(1000, 0, -1), strict=True):
        alpha, beta = bars[step] / bars[step - 1], 1 - bars[step] / bars[step - 1]
        posterior = (1 - bars[step - 1]) / (1 - bars[step]) * beta
        std = np.sqrt(posterior if variance == "posterior" else beta) if step > 1 else 0
        noisy = np.sqrt(bars[step]) * x + np.sqrt(1 - bars[step]) * epsilon
        expected = (noisy - beta / np.sqrt(1 - bars[step]) * epsilon) / np.sqrt(alpha) + std * z
        found = row[0] * noisy + row[1] * x + row[3] * z
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-8)
        assert row[2] == 0


@pytest.mark.parametrize("eta", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("steps", [7, 1000])
def test_ddim_is_equation_12(eta, steps):
    process, sampler = noise.Linear(), samplers.DDIM(eta)
    bars = alphas_at(process, sampler, steps)
    x, epsilon, z = np.random.default_rng(0).standard_normal((3, 5))
    for row, now, then in zip(
        sampler.coefficients(process, steps), bars[:-1], bars[1:], strict=True
    ):
        std = eta * np.sqrt((1 - then) / (1 - now)) * np.sqrt(1 - now / then)  # equation 16
        noisy = np.sqrt(now) * x + np.sqrt(1 - now) * epsilon
        expected = np.sqrt(then) * x + np.sqrt(1 - then - std**2) * epsilon + std * z
        np.testing.assert_allclose(row[0] * noisy + row[1] * x + row[3] * z, expected, atol=1e-9)


@every_process
def test_ddim_with_eta_1_is_ddpm(process):
    tables = [s.coefficients(process, 1000) for s in (samplers.DDIM(1.0), samplers.DDPM())]
    np.testing.assert_allclose(*tables, rtol=1e-6, atol=1e-9)


def test_repaint_goes_each_step_several_times():
    """Algorithm 1 of Lugmayr et al. (2022): line 10 adds the step's noise again."""
    process, ddpm = noise.Linear(), samplers.DDPM()
    once, times = ddpm.coefficients(process, 20), ddpm.times(process, 20)
    sampler = samplers.RePaint(repeats=3)
    np.testing.assert_array_equal(sampler.times(process, 20), times.repeat(3))
    assert sampler.evaluations(20) == 60
    rows = sampler.coefficients(process, 20).reshape(20, 3, 4)
    np.testing.assert_allclose(rows[:, 2], once)
    np.testing.assert_allclose(samplers.RePaint(repeats=1).coefficients(process, 20), once)
    bars = np.append(process.alpha(times), 1.0) ** 2
    for back, there, now, then in zip(rows[:, 0], once, bars[:-1], bars[1:], strict=True):
        keeps = np.sqrt(now / then)  # of q(x_t | x_s)
        np.testing.assert_allclose(back[:3], keeps * there[:3])
        assert back[3] ** 2 == pytest.approx((keeps * there[3]) ** 2 + 1 - now / then)
    np.testing.assert_array_equal(rows[:, 0], rows[:, 1])


@every_process
def test_dpmpp_2m_is_algorithm_2(process):
    """Lu et al. (2022b), in their lambda; the first step and the last are of first order."""
    sampler, steps = samplers.DPMpp2M(), 12
    t = sampler.times(process, steps)
    alpha, sigma = np.append(process.alpha(t), 1.0), np.append(process.sigma(t), 0.0)
    answers = np.random.default_rng(0).standard_normal((steps, 4))
    x = expected = np.random.default_rng(1).standard_normal(4)
    with np.errstate(divide="ignore"):
        lambdas = np.log(alpha) - np.log(sigma)
    for i, row in enumerate(sampler.coefficients(process, steps)):
        h, answer = lambdas[i + 1] - lambdas[i], answers[i]
        if 0 < i < steps - 1:
            r = (lambdas[i] - lambdas[i - 1]) / h
            answer = (1 + 1 / (2 * r)) * answers[i] - 1 / (2 * r) * answers[i - 1]
        expected = sigma[i + 1] / sigma[i] * expected - alpha[i + 1] * np.expm1(-h) * answer
        x = row[0] * x + row[1] * answers[i] + row[2] * answers[i - 1]
        np.testing.assert_allclose(x, expected, rtol=1e-9)


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("churn", [0.0, 10.0])
def test_heun_is_edms_algorithm_2(order, churn):
    """Karras et al. (2022), line by line, on their own process."""
    process, steps, n = noise.EDM(), 9, 50
    kind = samplers.Heun if order == 2 else samplers.Euler
    sampler = kind(churn=churn, churn_min=0.05, churn_max=50.0, churn_noise=1.003)
    places = np.arange(steps) / (steps - 1)  # equation 5
    sigmas = (80 ** (1 / 7) + places * (0.002 ** (1 / 7) - 80 ** (1 / 7))) ** 7
    np.testing.assert_allclose(process.sigma(sampler.times(process, steps)), sigmas, rtol=1e-6)
    sigmas = np.append(sigmas, 0.0)

    def denoise(x, sigma):
        along = (x - MEAN) @ AXES * (VARIANCES / (VARIANCES + sigma**2))
        return MEAN + along @ AXES.T

    x = 80.0 * drawn(n, 0, 10**6)
    for i, (now, then) in enumerate(itertools.pairwise(sigmas)):
        gamma = min(churn / steps, np.sqrt(2) - 1) if 0.05 <= now <= 50 else 0
        more = now + gamma * now
        x = x + np.sqrt(more**2 - now**2) * 1.003 * drawn(n, 0, i)
        slope = (x - denoise(x, more)) / more
        ahead = x + (then - more) * slope
        if then and order == 2:
            slope = (slope + (ahead - denoise(ahead, then)) / then) / 2
            ahead = x + (then - more) * slope
        x = ahead
    np.testing.assert_allclose(run(sampler, process, steps, n), x, atol=2e-3)


@every_process
def test_euler_without_churn_is_ddim_at_the_same_times(process):
    pair = [
        run(kind(spacing="karras"), process, 15, 30) for kind in (samplers.Euler, samplers.DDIM)
    ]
    np.testing.assert_allclose(*pair, atol=2e-4)


@every_process
@pytest.mark.parametrize("spacing", samplers.SPACINGS)
def test_times_go_down_from_noise(process, spacing):
    for steps in (1, 2, 25):
        t = samplers.DDIM(spacing=spacing).times(process, steps)
        assert t.shape == (steps,) and (np.diff(t) < 0).all() and 0.9 < t[0] <= 1 and t[-1] >= 0
    assert samplers.Heun().evaluations(10) == 19 and samplers.DDIM().evaluations(10) == 10


def test_one_step_is_one_answer():
    process = noise.Cosine()
    for name in samplers.SAMPLERS:
        asked = []

        def denoise(x, t, asked=asked):
            asked.append(1)
            return x * 0 + 0.25

        x = ops.convert_to_tensor(drawn(4, 0))
        images = samplers.get(name)(denoise, x, process, 1, lambda i: ops.zeros((4, 2)))
        np.testing.assert_allclose(ops.convert_to_numpy(images), 0.25, atol=1e-6)


@pytest.mark.parametrize(
    "sampler", [samplers.DDPM("beta"), samplers.DDIM(0.5), samplers.Heun(churn=3.0)], ids=str
)
def test_a_sampler_is_equal_by_value_and_in_files(sampler):
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(sampler))
    assert again == sampler and hash(again) == hash(sampler) and sampler != samplers.DDIM()


class Towards(samplers.Sampler):
    """A user's: it goes a part of the way to each answer."""

    def __init__(self, part):
        self.part = part

    def coefficients(self, noise, num_steps):
        return self.part * samplers.DDIM().coefficients(noise, num_steps)


def test_a_sampler_of_a_user_is_equal_by_value():
    sampler, same = Towards(0.5), Towards(0.5)
    assert samplers.get(sampler) is sampler == same and hash(sampler) == hash(same)
    assert Towards.from_config(sampler.get_config()) == same
    same.part = 0.25  # what was compiled with it before is not what it is now
    assert same != sampler and hash(sampler) != hash(same)
    with pytest.raises(TypeError, match=r"sampler must be hashable, and Towards.*kgen.settings"):
        samplers.get(Towards(np.ones(3)))


@pytest.mark.parametrize("table", [np.zeros((5, 3)), np.zeros((4, 4)), np.full((5, 4), np.nan)])
def test_coefficients_that_are_none(table):
    class Wrong(samplers.Sampler):
        def coefficients(self, noise, num_steps):
            return table

    words = rf"coefficients\(\) of Wrong must .* 5 times; got shape \({table.shape[0]}, "
    with pytest.raises(ValueError, match=words):
        Wrong()(None, ops.zeros((1, 2)), noise.Cosine(), 5)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: samplers.get("plms"), "sampler must be one of .*'ddpm', 'ddim'.*got 'plms'"),
        (
            lambda: samplers.get(samplers.DDIM),
            r"or a kgen.samplers.Sampler; got <class.*Write DDIM\(\)",
        ),
        (lambda: samplers.DDIM(eta=2), "eta must lie"),
        (lambda: samplers.DDIM(spacing="quadratic"), "spacing must be one of"),
        (lambda: samplers.DDPM("learned"), "variance must be one of"),
        (lambda: samplers.DDIM(eta="half"), "eta must be a finite number; got 'half'"),
        (lambda: samplers.Heun(churn=-1), "churn must be a number of at least 0; got -1"),
        (lambda: samplers.Euler(churn_max=np.nan), "churn_max must be a number of at least 0"),
        (lambda: samplers.DDIM().times(noise.Linear(), 1001), "at most 1000.*got 1001"),
        (lambda: samplers.DDIM().times(noise.Linear(), 0), "num_steps must be a positive"),
    ],
)
def test_settings_that_make_no_sampler(make, words):
    with pytest.raises(ValueError, match=words):
        make()
