"""The models, one file per family."""

from kgen.models.autoencoder import Autoencoder
from kgen.models.bigan import BiGAN
from kgen.models.conditional import ACGAN, ConditionalGAN
from kgen.models.cut import CUT
from kgen.models.cyclegan import CycleGAN
from kgen.models.diffusion import Diffusion
from kgen.models.face_swap import FaceSwap
from kgen.models.gan import GAN
from kgen.models.gaussian import Gaussian, GaussianMixture
from kgen.models.infogan import InfoGAN
from kgen.models.normalizing_flow import NormalizingFlow
from kgen.models.pix2pix import Pix2Pix
from kgen.models.progressive_gan import ProgressiveGAN
from kgen.models.semi_supervised import SemiSupervisedGAN
from kgen.models.vae import VAE

__all__ = [
    "ACGAN",
    "CUT",
    "GAN",
    "VAE",
    "Autoencoder",
    "BiGAN",
    "ConditionalGAN",
    "CycleGAN",
    "Diffusion",
    "FaceSwap",
    "Gaussian",
    "GaussianMixture",
    "InfoGAN",
    "NormalizingFlow",
    "Pix2Pix",
    "ProgressiveGAN",
    "SemiSupervisedGAN",
]
