"""The models, one file per family."""

from kgen.models.autoencoder import Autoencoder
from kgen.models.gaussian import Gaussian, GaussianMixture
from kgen.models.vae import VAE

__all__ = ["VAE", "Autoencoder", "Gaussian", "GaussianMixture"]
