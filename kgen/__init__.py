"""kgen: deep generative models of images in Keras 3."""

import sys

if {"kgen.data", "kgen.metrics"} & {*sys.orig_argv}:  # as commands, python -m kgen.data
    from kgen import quiet

    quiet.end_on_interrupt(sys.argv[0] == "-m")

from kgen import (
    bayes,
    callbacks,
    conditions,
    data,
    distributions,
    engine,
    latent,
    layers,
    losses,
    metrics,
    models,
    networks,
    noise,
    plots,
    samplers,
    schedules,
    zoo,
)
from kgen.engine import GenerativeModel, MovingAverage, NonFiniteLoss
from kgen.models import (
    ACGAN,
    CUT,
    GAN,
    VAE,
    Autoencoder,
    BiGAN,
    ConditionalGAN,
    CycleGAN,
    Diffusion,
    FaceSwap,
    Gaussian,
    GaussianMixture,
    InfoGAN,
    NormalizingFlow,
    Pix2Pix,
    ProgressiveGAN,
    SemiSupervisedGAN,
)

__version__ = "0.1.0"

if "kgen.quiet" in sys.modules:
    quiet.end_on_interrupt(False)

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
    "GenerativeModel",
    "InfoGAN",
    "MovingAverage",
    "NonFiniteLoss",
    "NormalizingFlow",
    "Pix2Pix",
    "ProgressiveGAN",
    "SemiSupervisedGAN",
    "bayes",
    "callbacks",
    "conditions",
    "data",
    "distributions",
    "engine",
    "latent",
    "layers",
    "losses",
    "metrics",
    "models",
    "networks",
    "noise",
    "plots",
    "samplers",
    "schedules",
    "zoo",
]
