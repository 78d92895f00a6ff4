"""Reusable Keras layers."""

from kgen.layers.convolutions import Conv2D, Conv2DTranspose
from kgen.layers.corruptions import Corruption, GaussianNoise, MaskingNoise, SaltAndPepper
from kgen.layers.likelihoods import L1, MSE, Bernoulli, Gaussian, Likelihood
from kgen.layers.sampling import Sampling

__all__ = [
    "L1",
    "MSE",
    "Bernoulli",
    "Conv2D",
    "Conv2DTranspose",
    "Corruption",
    "Gaussian",
    "GaussianNoise",
    "Likelihood",
    "MaskingNoise",
    "SaltAndPepper",
    "Sampling",
]
