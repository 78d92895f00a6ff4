"""Losses of the papers, by their names: adversarial ones and their penalties, the KL divergence.

An adversarial loss is two plain functions of scores: raw outputs of the discriminator (logits),
float `(N, 1)`, of real and of generated images. Everything is computed in float32.
"""

import dataclasses
from collections.abc import Callable

import keras
from keras import ops, tree

from kgen.arguments import positive, weight_of
from kgen.engine.backend import input_gradient

__all__ = [
    "ADVERSARIAL_LOSSES",
    "PENALTIES",
    "R1",
    "AdversarialLoss",
    "GradientPenalty",
    "WeightClipping",
    "code_divergence",
    "feature_matching",
    "kl_divergence",
    "sparse_cross_entropy",
]


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


class _OfTheGradient:
    """A penalty of the discriminator's gradient with respect to images.

    Args:
        weight: factor of the penalty.
        every: the penalty is computed at every `every`-th update only, with `every` times its
            weight: after the "lazy regularization" of Karras et al. (2020, section 3.1), who give
            it a step of its own and correct Adam for the further steps; here it is added to the
            loss of that update, and the optimizer is left as it is.

    Raises:
        ValueError: unless the weight is a number of at least 0 and `every` a positive integer.
    """

    def __init__(self, weight=10.0, every=1):
        self.weight, self.every = weight_of(weight, "weight"), positive(every, "every")

    def __call__(self, score, images):
        """The penalty at these images, a float32 scalar.

        Args:
            score: function from images `(N, ...)` to scores `(N, 1)`.
            images: where the gradient is taken, as `at` returned them; or a list of images and
                what else the gradient is taken by, which `score` takes as a list, too.
        """
        gradients = tree.flatten(input_gradient(score, images))
        squares = [ops.sum(ops.square(g), axis=tuple(range(1, len(g.shape)))) for g in gradients]
        return self.weight * self.of(sum(squares))

    def get_config(self):
        """The arguments."""
        return {"weight": self.weight, "every": self.every}

    @classmethod
    def from_config(cls, config):
        """Build from `get_config()`."""
        return cls(**config)


@keras.saving.register_keras_serializable("kgen")
class GradientPenalty(_OfTheGradient):
    r"""Penalty of WGAN-GP: $\lambda E (\|\nabla D(\hat x)\|_2 - 1)^2$ (Gulrajani et al., 2017).

    Equation 3, with $\hat x = t x + (1 - t) G(z)$ and one t, uniform on [0, 1], for each image.

    Args:
        weight: lambda.
        every: computed at every `every`-th update only, with `every` times its weight.
    """

    def at(self, real, fake, seed):
        """Images between real and generated ones, or lists of images and what goes with them."""
        count = ops.shape(tree.flatten(real)[0])[0]
        t = keras.random.uniform((count,), seed=seed)

        def between(a, b):
            weight = ops.reshape(t, (-1, *[1] * (len(a.shape) - 1)))
            return weight * a + (1.0 - weight) * ops.cast(b, "float32")

        return tree.map_structure(between, real, fake)

    def of(self, squares):
        """Mean over images of the penalty, from the squared norms `(N,)` of the gradients."""
        # The root's own gradient is infinite at 0.
        return ops.mean(ops.square(ops.sqrt(squares + 1e-12) - 1.0))


@keras.saving.register_keras_serializable("kgen")
class R1(_OfTheGradient):
    r"""Zero-centred penalty at real images: $\frac{\gamma}{2} E \|\nabla D(x)\|^2$.

    Mescheder et al. (2018), equation 9.

    Args:
        weight: gamma.
        every: computed at every `every`-th update only, with `every` times its weight.
    """

    def at(self, real, fake, seed):
        """The real images."""
        return real

    def of(self, squares):
        """Mean over images of the penalty, from the squared norms `(N,)` of the gradients."""
        return 0.5 * ops.mean(squares)


@keras.saving.register_keras_serializable("kgen")
class WeightClipping:
    """Keep every weight of the discriminator in [-bound, bound] (Arjovsky et al., 2017).

    Algorithm 1, line 7: after each of the discriminator's steps.

    Args:
        bound: positive number, the paper's c.

    Raises:
        ValueError: for a bound that is not positive.
    """

    def __init__(self, bound=0.01):
        self.bound = weight_of(bound, "bound")
        if not self.bound:
            raise ValueError(f"bound must be a positive number; got {bound!r}.")

    def clip(self, variables):
        """Clip the values of variables."""
        for variable in variables:
            variable.assign(ops.clip(ops.convert_to_tensor(variable), -self.bound, self.bound))

    def get_config(self):
        """The arguments."""
        return {"bound": self.bound}

    @classmethod
    def from_config(cls, config):
        """Build from `get_config()`."""
        return cls(**config)


PENALTIES = {"gradient_penalty": GradientPenalty, "r1": R1, "weight_clipping": WeightClipping}
"""Penalties by name."""


def get_penalty(penalty):
    """A penalty by name, or the one that was passed; None for `"none"`.

    Raises:
        ValueError: for an unknown name; the message lists the known ones.
    """
    if isinstance(penalty, tuple(PENALTIES.values())):
        return penalty
    if isinstance(penalty, str) and penalty == "none":
        return None
    if not isinstance(penalty, str) or penalty not in PENALTIES:
        raise ValueError(
            f"Unknown penalty {penalty!r}; known are {[*PENALTIES, 'none']}, and those of "
            "kgen.losses with a weight of your choice."
        )
    return PENALTIES[penalty]()


def sparse_cross_entropy(labels, logits):
    """Mean of -log p(label) over images, p the softmax of the logits.

    Args:
        labels: integers `(N,)`.
        logits: `(N, classes)`.

    Returns:
        float32 scalar.
    """
    logits = ops.cast(logits, "float32")
    return ops.mean(ops.sparse_categorical_crossentropy(labels, logits, from_logits=True))


def code_divergence(code, mean):
    r"""Mean of $-\log N(c; \mu, I)$ over images without its constant, summed over codes.

    The continuous part of InfoGAN's bound (Chen et al., 2016, equation 5) with unit variances.

    Args:
        code: what the generator was given, `(N, codes)`.
        mean: what was read from the image, `(N, codes)`.

    Returns:
        float32 scalar.
    """
    difference = ops.cast(code, "float32") - ops.cast(mean, "float32")
    return 0.5 * ops.mean(ops.sum(ops.square(difference), axis=-1))


def feature_matching(real, fake):
    r"""$\|E f(x) - E f(G(z))\|_2^2$ of features `(N, D)` (Salimans et al., 2016, section 3.1).

    Returns:
        float32 scalar.
    """
    real, fake = ops.cast(real, "float32"), ops.cast(fake, "float32")
    return ops.sum(ops.square(ops.mean(real, axis=0) - ops.mean(fake, axis=0)))


def kl_divergence(mean, log_variance):
    r"""KL divergence of N(mean, diag(exp(log_variance))) from N(0, I), in nats.

    $\frac12 \sum_j (\mu_j^2 + \sigma_j^2 - \log \sigma_j^2 - 1)$: equation 10 of Kingma and Welling
    (2014), appendix B. (Lecture slides often drop the factor 1/2 and write log sigma where
    log sigma^2 is meant; this is the exact divergence.)

    Args:
        mean: `(N, latent_dim)`.
        log_variance: `(N, latent_dim)`.

    Returns:
        float32 `(N,)`, each at least 0.
    """
    mean, log_variance = ops.cast(mean, "float32"), ops.cast(log_variance, "float32")
    terms = ops.square(mean) + ops.expm1(log_variance) - log_variance
    return 0.5 * ops.sum(terms, axis=-1)
