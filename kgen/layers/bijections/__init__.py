"""Bijections with known volume: layers of normalizing flows."""

from kgen.layers.bijections.act_norm import ActNorm
from kgen.layers.bijections.autoregressive import Autoregressive
from kgen.layers.bijections.base import Bijection
from kgen.layers.bijections.chain import Chain
from kgen.layers.bijections.couplings import AdditiveCoupling, AffineCoupling, SplitPrior
from kgen.layers.bijections.invertible_convolution import InvertibleConv1x1
from kgen.layers.bijections.logit import Logit
from kgen.layers.bijections.squeeze import Squeeze

__all__ = [
    "ActNorm",
    "AdditiveCoupling",
    "AffineCoupling",
    "Autoregressive",
    "Bijection",
    "Chain",
    "InvertibleConv1x1",
    "Logit",
    "SplitPrior",
    "Squeeze",
]
