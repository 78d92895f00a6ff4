"""The models, one file per family."""

from kgen.models.vae import VAE

__all__ = ["VAE"]
