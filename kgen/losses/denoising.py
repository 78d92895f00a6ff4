"""What the errors of a denoiser weigh at each level of noise."""

from keras import ops

from kgen.arguments import positive_number
from kgen.settings import Settings, setting, setting_of


class Weighting(Settings):
    """Base of weightings: what a squared error of the prediction weighs at a time."""

    def __call__(self, noise, prediction, t):
        """Weights of times.

        Args:
            noise: a `kgen.noise.Noise`.
            prediction: a `kgen.noise.Prediction`.
            t: tensor of times.

        Returns:
            Tensor, as `t`.
        """
        raise NotImplementedError(f"{type(self).__name__} has to define __call__().")


@setting
class Simple(Weighting):
    """1: what is predicted is what is learned (Ho et al., 2020, equation 14)."""

    def __call__(self, noise, prediction, t):
        """See `Weighting`."""
        return ops.ones_like(t)


@setting
class MinSNR(Weighting):
    r"""$\min(SNR, \gamma)$ of the image's error (Hang et al., 2023, equation 8).

    Args:
        gamma: the limit.
    """

    gamma: float = 5.0

    def __post_init__(self):
        positive_number(self.gamma, "gamma")

    def __call__(self, noise, prediction, t):
        """See `Weighting`."""
        return ops.minimum(noise.snr(t), self.gamma) / prediction.error_weight(noise, t)


@setting
class EDMWeighting(Weighting):
    r"""$(\sigma^2 + \sigma_{data}^2) / (\sigma \sigma_{data})^2$ of the image's error.

    Karras et al. (2022), table 1: 1 of the velocity's. Sigma is that beside an image of full
    strength.
    """

    def __call__(self, noise, prediction, t):
        """See `Weighting`."""
        ratio = 1 / noise.snr(t)
        weight = (ratio + noise.data_std**2) / (ratio * noise.data_std**2)
        return weight / prediction.error_weight(noise, t)


DENOISING_WEIGHTINGS = {"simple": Simple, "min_snr": MinSNR, "edm": EDMWeighting}
"""Weightings by name."""


def denoising_weighting(weighting):
    """A weighting, or the one of this name.

    Raises:
        ValueError: for anything else.
    """
    return setting_of(weighting, DENOISING_WEIGHTINGS, Weighting, "weighting")
