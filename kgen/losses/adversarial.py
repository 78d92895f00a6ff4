"""Adversarial losses by the papers' names: each is two plain functions of scores.

Scores are raw outputs of the discriminator (logits), floats `(N, 1)` or, of a discriminator that
scores patches, `(N, H, W, 1)`; of real and of generated images. Everything is computed in float32.
"""

import dataclasses
from collections.abc import Callable

from keras import ops


@dataclasses.dataclass(frozen=True)
class AdversarialLoss:
    """What discriminator and generator minimise, each a function of scores.

    Attributes:
        discriminator: `(real, fake, real_label=1.0)` to a scalar.
        generator: `(real, fake)` to a scalar; `real` is None unless the loss is relative.
        probability: from scores to the probability that an image is real; None where the scores
            do not say it.
        relative: whether the generator's loss compares with real images.
        smooths: whether real images may have a label below 1 (Salimans et al., 2016, section 3.4).
    """

    discriminator: Callable
    generator: Callable
    probability: Callable | None = None
    relative: bool = False
    smooths: bool = False


def _cross_entropy(scores, label=1.0):
    """Mean of -label log D - (1 - label) log(1 - D), with D the sigmoid of the scores."""
    scores = ops.cast(scores, "float32")
    return ops.mean(label * ops.softplus(-scores) + (1.0 - label) * ops.softplus(scores))


def _tell_apart(real, fake, real_label=1.0):
    """- E log D(x) - E log(1 - D(G(z))): Goodfellow et al. (2014), equation 1."""
    return _cross_entropy(real, real_label) + _cross_entropy(fake, 0.0)


def _least_squares(real, fake, real_label=1.0):
    """1/2 E (D(x) - 1)^2 + 1/2 E D(G(z))^2: Mao et al. (2017), equation 9."""
    return 0.5 * (_distance(real, real_label) + _distance(fake, 0.0))


def _distance(scores, label):
    return ops.mean(ops.square(ops.cast(scores, "float32") - label))


def _wasserstein(real, fake, real_label=1.0):
    """E D(G(z)) - E D(x): Arjovsky et al. (2017), equation 2; minus the distance at the optimum."""
    return _mean(fake) - _mean(real)


def _hinge(real, fake, real_label=1.0):
    """E max(0, 1 - D(x)) + E max(0, 1 + D(G(z))): Miyato et al. (2018), equation 16."""
    real, fake = ops.cast(real, "float32"), ops.cast(fake, "float32")
    return ops.mean(ops.relu(1.0 - real)) + ops.mean(ops.relu(1.0 + fake))


def _relativistic(real, fake, real_label=1.0):
    """- E log sigmoid(C(x) - C(G(z))), pair by pair: Jolicoeur-Martineau (2019), equation 10."""
    return _cross_entropy(ops.cast(real, "float32") - ops.cast(fake, "float32"))


def _relativistic_average(real, fake, real_label=1.0):
    """Each side against the other's mean: Jolicoeur-Martineau (2019), equations 14 to 17."""
    above = ops.cast(real, "float32") - _mean(fake)
    below = ops.cast(fake, "float32") - _mean(real)
    return _cross_entropy(above, real_label) + _cross_entropy(below, 0.0)


def _mean(scores):
    return ops.mean(ops.cast(scores, "float32"))


def _clipped(scores):
    return ops.clip(scores, 0.0, 1.0)


ADVERSARIAL_LOSSES = {
    # The generator descends E log(1 - D(G(z))): Algorithm 1 as printed.
    "minimax": AdversarialLoss(
        _tell_apart, lambda real, fake: -_cross_entropy(fake, 0.0), ops.sigmoid, smooths=True
    ),
    # The generator ascends E log D(G(z)): Goodfellow et al. (2014), section 3.
    "non_saturating": AdversarialLoss(
        _tell_apart, lambda real, fake: _cross_entropy(fake), ops.sigmoid, smooths=True
    ),
    "wasserstein": AdversarialLoss(_wasserstein, lambda real, fake: -_mean(fake)),
    # At its optimum the discriminator is p(x) / (p(x) + q(x)) itself.
    "least_squares": AdversarialLoss(
        _least_squares, lambda real, fake: 0.5 * _distance(fake, 1.0), _clipped, smooths=True
    ),
    "hinge": AdversarialLoss(_hinge, lambda real, fake: -_mean(fake)),
    "relativistic": AdversarialLoss(
        _relativistic, lambda real, fake: _relativistic(fake, real), relative=True
    ),
    "relativistic_average": AdversarialLoss(
        _relativistic_average,
        lambda real, fake: _relativistic_average(fake, real),
        relative=True,
        smooths=True,
    ),
}
"""Adversarial losses by name."""
