"""What diffusion models compute, in NumPy, each as its paper writes it."""

import keras
import numpy as np
import pytest
from scipy import stats

import kgen

STEPS = 1000


def each(values, ordinary, name=str):
    """Parameters for a test: outside the full tier, the other backends see the ordinary ones."""
    everywhere = keras.backend.backend() == "tensorflow"
    return [
        pytest.param(v, id=name(v), marks=() if everywhere or ordinary(v) else pytest.mark.full)
        for v in values
    ]


def linear_alpha_bars():
    """Ho et al. (2020), section 4: from step 0, the image."""
    product, found = 1.0, [1.0]
    for t in range(STEPS):
        product *= 1 - (1e-4 + (0.02 - 1e-4) * t / (STEPS - 1))
        found.append(product)
    return np.array(found)


def cosine_alpha_bars():
    """Nichol and Dhariwal (2021), equation 17, with their limit of beta."""

    def f(t):
        return np.cos((t / STEPS + 0.008) / 1.008 * np.pi / 2) ** 2

    product, found = 1.0, [1.0]
    for t in range(1, STEPS + 1):
        beta = min(1 - (f(t) / f(0)) / (f(t - 1) / f(0)), 0.999)
        product *= 1 - beta
        found.append(product)
    return np.array(found)


def sigmoid_alpha_bars():
    """Jabri et al. (2023), appendix B."""

    def sigmoid(x):
        return 1 / (1 + np.exp(-x))

    found = []
    for t in np.arange(STEPS + 1) / STEPS:
        value = (sigmoid(3) - sigmoid(t * 6 - 3)) / (sigmoid(3) - sigmoid(-3))
        found.append(np.clip(value, 1e-9, 1))
    return np.array(found)


def at_steps(alpha_bars):
    def at(places):
        step = 1 + np.floor(places * STEPS).astype(int)
        return step / STEPS, np.sqrt(alpha_bars[step]), np.sqrt(1 - alpha_bars[step])

    return at


def at_edm(places):
    """Karras et al. (2022), table 1: log sigma is N(-1.2, 1.2^2); our time is it from 0 to 1."""
    logs = stats.norm.ppf(places, -1.2, 1.2)
    t = (logs - np.log(0.002)) / (np.log(80) - np.log(0.002))
    return t, np.ones_like(t), np.exp(logs)


def at_flow(places):
    t = 1e-3 + 0.999 * places
    return t, 1 - t, t


TRAINED_AT = {  # time, alpha and sigma, from numbers that are uniform in [0, 1)
    kgen.noise.Linear: at_steps(linear_alpha_bars()),
    kgen.noise.Cosine: at_steps(cosine_alpha_bars()),
    kgen.noise.Sigmoid: at_steps(sigmoid_alpha_bars()),
    kgen.noise.EDM: at_edm,
    kgen.noise.FlowMatching: at_flow,
}

ALPHA_BARS = {
    kgen.noise.Linear: linear_alpha_bars(),
    kgen.noise.Cosine: cosine_alpha_bars(),
    kgen.noise.Sigmoid: sigmoid_alpha_bars(),
}


def image_of(model, noisy, predicted, alpha, sigma):
    """What a prediction tells of the image."""
    match model.prediction:
        case "noise":  # Ho et al. (2020), equation 15
            return (noisy - sigma * predicted) / alpha
        case "image":
            return predicted
        case "flow":  # on the straight path
            return noisy - sigma * predicted
        case "velocity" if isinstance(model.noise, kgen.noise.EDM):  # equations 7 and 8
            skip = 0.25 / (sigma**2 + 0.25)
            return skip * noisy + sigma * 0.5 / np.sqrt(sigma**2 + 0.25) * -predicted
        case "velocity":  # Salimans and Ho (2022), appendix D
            return alpha * noisy - sigma * predicted


def weight_of(model, alpha, sigma):
    """Of the squared error of the image."""
    snr = (alpha / sigma) ** 2
    match model.weighting, model.prediction:
        case kgen.losses.MinSNR(), _:  # Hang et al. (2023), equation 8
            return np.minimum(snr, 5)
        case kgen.losses.EDMWeighting(), _:  # Karras et al. (2022), table 1
            return (sigma**2 + 0.25) / (sigma * 0.5) ** 2
        case _, "noise":  # Salimans and Ho (2022), section 4
            return snr
        case _, "velocity":
            return snr + 1
        case _, "flow":  # |u - u'| = |x - x'| / t
            return 1 / sigma**2
        case _, "image":
            return np.ones_like(snr)
