"""The models, one file per family."""

from kgen.models.autoencoder import Autoencoder
from kgen.models.bigan import BiGAN
from kgen.models.conditional import ACGAN, ConditionalGAN
from kgen.models.gan import GAN
from kgen.models.gaussian import Gaussian, GaussianMixture
from kgen.models.infogan import InfoGAN
from kgen.models.semi_supervised import SemiSupervisedGAN
from kgen.models.vae import VAE

__all__ = [
    "ACGAN",
    "GAN",
    "VAE",
    "Autoencoder",
    "BiGAN",
    "ConditionalGAN",
    "Gaussian",
    "GaussianMixture",
    "InfoGAN",
    "SemiSupervisedGAN",
]
