"""Losses as plain functions of tensors, by the papers' names."""

from keras import ops

__all__ = ["kl_divergence"]


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
