"""The Jensen-Shannon divergence between densities of numbers."""

import numpy as np
from scipy import special

from kgen.metrics.inputs import values


def jensen_shannon(p, q, x):
    r"""Jensen-Shannon divergence of two densities on a line, in nats.

    The divergence $\frac{1}{2} KL(p \| m) + \frac{1}{2} KL(q \| m)$ with $m = (p + q) / 2$ (Lin,
    1991, equation 4.1), its integrals by the trapezoidal rule: 0 where both are the same, log 2
    where no place has both. The loss of a GAN with the best discriminator is twice this, less
    log 4 (Goodfellow et al., 2014, theorem 1).

    Args:
        p, q: the densities at `x`, `(N,)`, or what is proportional to them, such as counts.
        x: increasing numbers `(N,)`, two or more, from end to end of both.

    Returns:
        Float.

    Raises:
        TypeError, ValueError: if these are not as above.
    """
    x = values(x, "x", 2)
    if not (np.diff(x) > 0).all():
        raise ValueError("x must increase from place to place; these numbers do not.")
    p, q = _density(p, "p", x), _density(q, "q", x)
    # KL(p || m) is the mean of log p / (p + q), plus log 2: this m is never rounded to 0.
    logs = special.rel_entr(p, p + q) + special.rel_entr(q, p + q)
    return float(max(np.log(2) + np.trapezoid(logs, x) / 2, 0.0))


def _density(p, name, x):
    """A density at x as float64 `(N,)`, whose integral is 1."""
    p = values(p, name)
    if p.shape != x.shape:
        raise ValueError(f"{name} must have shape {x.shape}, as x; got {p.shape}.")
    if p.min() < 0 or not (whole := np.trapezoid(p, x)) > 0:
        raise ValueError(f"{name} must be 0 or more, and not 0 everywhere; its least is {p.min()}.")
    return p / whole
