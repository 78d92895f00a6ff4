"""Reusable Keras layers."""

from kgen.layers.attention import SelfAttention2D
from kgen.layers.augmentation import DifferentiableAugmentation
from kgen.layers.bijections import (
    ActNorm,
    AdditiveCoupling,
    AffineCoupling,
    Autoregressive,
    Bijection,
    Chain,
    InvertibleConv1x1,
    Logit,
    SplitPrior,
    Squeeze,
)
from kgen.layers.convolutions import Conv2D, Conv2DTranspose
from kgen.layers.corruptions import Corruption, GaussianNoise, MaskingNoise, SaltAndPepper
from kgen.layers.dequantization import (
    Dequantization,
    UniformDequantization,
    VariationalDequantization,
)
from kgen.layers.embeddings import FourierFeatures, SinusoidalEmbedding
from kgen.layers.equalized import EqualizedConv2D, EqualizedDense
from kgen.layers.image_history import ImageHistory
from kgen.layers.initializers import RandomNormal
from kgen.layers.labels import OneHot
from kgen.layers.likelihoods import L1, MSE, Bernoulli, Gaussian, Likelihood
from kgen.layers.minibatch_statistics import MinibatchStandardDeviation
from kgen.layers.normalization import (
    AdaptiveGroupNormalization,
    BatchNormalization,
    GroupNormalization,
    InstanceNormalization,
    LayerNormalization,
    PixelNormalization,
)
from kgen.layers.padding import ReflectionPadding2D
from kgen.layers.sampling import Sampling
from kgen.layers.space_to_depth import DepthToSpace, SpaceToDepth
from kgen.layers.spectral_normalization import SpectralNormalization
from kgen.layers.transformer import CausalTransformer

__all__ = [
    "L1",
    "MSE",
    "ActNorm",
    "AdaptiveGroupNormalization",
    "AdditiveCoupling",
    "AffineCoupling",
    "Autoregressive",
    "BatchNormalization",
    "Bernoulli",
    "Bijection",
    "CausalTransformer",
    "Chain",
    "Conv2D",
    "Conv2DTranspose",
    "Corruption",
    "DepthToSpace",
    "Dequantization",
    "DifferentiableAugmentation",
    "EqualizedConv2D",
    "EqualizedDense",
    "FourierFeatures",
    "Gaussian",
    "GaussianNoise",
    "GroupNormalization",
    "ImageHistory",
    "InstanceNormalization",
    "InvertibleConv1x1",
    "LayerNormalization",
    "Likelihood",
    "Logit",
    "MaskingNoise",
    "MinibatchStandardDeviation",
    "OneHot",
    "PixelNormalization",
    "RandomNormal",
    "ReflectionPadding2D",
    "SaltAndPepper",
    "Sampling",
    "SelfAttention2D",
    "SinusoidalEmbedding",
    "SpaceToDepth",
    "SpectralNormalization",
    "SplitPrior",
    "Squeeze",
    "UniformDequantization",
    "VariationalDequantization",
]
