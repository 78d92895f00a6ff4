"""Reusable Keras layers."""

from kgen.layers.augmentation import DifferentiableAugmentation
from kgen.layers.convolutions import Conv2D, Conv2DTranspose
from kgen.layers.corruptions import Corruption, GaussianNoise, MaskingNoise, SaltAndPepper
from kgen.layers.equalized import EqualizedConv2D, EqualizedDense
from kgen.layers.image_history import ImageHistory
from kgen.layers.initializers import RandomNormal
from kgen.layers.labels import OneHot
from kgen.layers.likelihoods import L1, MSE, Bernoulli, Gaussian, Likelihood
from kgen.layers.minibatch_statistics import MinibatchStandardDeviation
from kgen.layers.normalization import (
    BatchNormalization,
    InstanceNormalization,
    LayerNormalization,
    PixelNormalization,
)
from kgen.layers.padding import ReflectionPadding2D
from kgen.layers.sampling import Sampling
from kgen.layers.spectral_normalization import SpectralNormalization

__all__ = [
    "L1",
    "MSE",
    "BatchNormalization",
    "Bernoulli",
    "Conv2D",
    "Conv2DTranspose",
    "Corruption",
    "DifferentiableAugmentation",
    "EqualizedConv2D",
    "EqualizedDense",
    "Gaussian",
    "GaussianNoise",
    "ImageHistory",
    "InstanceNormalization",
    "LayerNormalization",
    "Likelihood",
    "MaskingNoise",
    "MinibatchStandardDeviation",
    "OneHot",
    "PixelNormalization",
    "RandomNormal",
    "ReflectionPadding2D",
    "SaltAndPepper",
    "Sampling",
    "SpectralNormalization",
]
