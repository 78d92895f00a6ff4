"""kgen: deep generative models of images in Keras 3."""

from kgen import (
    callbacks,
    data,
    engine,
    latent,
    layers,
    losses,
    metrics,
    models,
    networks,
    plots,
    schedules,
    zoo,
)
from kgen.engine import GenerativeModel, MovingAverage, NonFiniteLoss
from kgen.models import VAE, Autoencoder, Gaussian, GaussianMixture

__version__ = "0.1.0"

__all__ = [
    "VAE",
    "Autoencoder",
    "Gaussian",
    "GaussianMixture",
    "GenerativeModel",
    "MovingAverage",
    "NonFiniteLoss",
    "callbacks",
    "data",
    "engine",
    "latent",
    "layers",
    "losses",
    "metrics",
    "models",
    "networks",
    "plots",
    "schedules",
    "zoo",
]
