"""Losses of the papers, by their names: adversarial ones and their penalties, the KL divergence.

Everything is computed in float32.
"""

from keras import ops

from kgen.losses.adversarial import ADVERSARIAL_LOSSES, AdversarialLoss
from kgen.losses.adversarial_objective import AdversarialObjective
from kgen.losses.denoising import (
    DENOISING_WEIGHTINGS,
    EDMWeighting,
    MinSNR,
    Simple,
    Weighting,
    denoising_weighting,
)
from kgen.losses.penalties import PENALTIES, R1, GradientPenalty, Penalty, WeightClipping

__all__ = [
    "ADVERSARIAL_LOSSES",
    "DENOISING_WEIGHTINGS",
    "PENALTIES",
    "R1",
    "AdversarialLoss",
    "AdversarialObjective",
    "EDMWeighting",
    "GradientPenalty",
    "MinSNR",
    "Penalty",
    "Simple",
    "WeightClipping",
    "Weighting",
    "code_divergence",
    "denoising_weighting",
    "feature_matching",
    "kl_divergence",
    "patch_contrastive",
    "sparse_cross_entropy",
]


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


def patch_contrastive(query, key, temperature=0.07):
    r"""Mean of $-\log(e^{v \cdot v^+ / \tau} / \sum_k e^{v \cdot v_k / \tau})$ over patches.

    The PatchNCE loss of one layer (Park et al., 2020, equations 3 and 5): a patch of a translation
    shall be nearer to the patch at its place in the input than to the others of the same input.

    Args:
        query: patches of the translation, rows of length 1, `(N, P, D)`.
        key: patches of the input at the same places, `(N, P, D)`.
        temperature: tau.

    Returns:
        float32 scalar.
    """
    query, key = ops.cast(query, "float32"), ops.cast(key, "float32")
    logits = ops.einsum("npd,nqd->npq", query, key) / temperature
    own = ops.sum(query * key, axis=-1) / temperature
    return ops.mean(ops.logsumexp(logits, axis=-1) - own)


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
