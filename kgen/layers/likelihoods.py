"""How far a decoded image is from the image: reconstruction terms as layers.

Each is the negative logarithm of a density (or probability) of the image given the decoded one, in
nats, up to a constant that `log_likelihood` puts back. All are summed over pixels and channels, so
they weigh against a KL divergence that is summed over latents, and computed in float32.
"""

import math

import keras
from keras import ops

__all__ = ["L1", "LIKELIHOODS", "MSE", "Bernoulli", "Gaussian", "Likelihood", "get"]


class Likelihood(keras.layers.Layer):
    """Base of the reconstruction terms: a subclass writes `terms`, pixel by pixel.

    Call arguments:
        images: `(N, ...)` in [-1, 1].
        decoded: what the decoder made of their latents, same shape, in [-1, 1].

    Returns:
        float32 `(N,)`: the reconstruction loss of each image.

    Attributes:
        is_density: whether `log_likelihood` is the logarithm of a density on [-1, 1]; otherwise
            it is that of a probability. The two are never compared.
    """

    is_density = True

    def __init__(self, **kwargs):
        super().__init__(**{"dtype": "float32", **kwargs})
        self.build(None)

    def build(self, input_shape):
        """Make the layer's variables, if it has any."""
        self.built = True

    def call(self, images, decoded):
        """See the class."""
        # As rows of pixels: loops over a last axis of one channel are compiled to slow code.
        return ops.sum(self.terms(_rows(images), _rows(decoded)), axis=-1)

    def terms(self, images, decoded):
        """The reconstruction loss of each pixel; images and decoded are `(N, D)`, as it is."""
        raise NotImplementedError

    def log_likelihood(self, images, decoded):
        """Logarithm of p(images | decoded) in nats, float32 `(N,)`."""
        return -self(images, decoded) - self.constant(images)

    def constant(self, images):
        """What the loss leaves out of the negative log-likelihood, in nats."""
        return 0.0


def _rows(x):
    return ops.reshape(x, (ops.shape(x)[0], -1))


def _dimensions(images):
    return math.prod(images.shape[1:])


@keras.saving.register_keras_serializable("kgen")
class MSE(Likelihood):
    """Squared norm `|x - decoded|^2`: a Gaussian of variance 1/2, without its constant."""

    def terms(self, images, decoded):
        """See the class."""
        return ops.square(images - decoded)

    def constant(self, images):
        """`d/2 log(pi)`."""
        return 0.5 * _dimensions(images) * math.log(math.pi)


@keras.saving.register_keras_serializable("kgen")
class L1(Likelihood):
    """Absolute differences: a Laplace density of scale 1, without its constant."""

    def terms(self, images, decoded):
        """See the class."""
        return ops.abs(images - decoded)

    def constant(self, images):
        """`d log 2`."""
        return _dimensions(images) * math.log(2.0)


@keras.saving.register_keras_serializable("kgen")
class Gaussian(Likelihood):
    """Gaussian density with one learned standard deviation sigma for all pixels.

    The optimal sigma balances reconstruction and KL by itself (Rybkin et al., 2021).
    """

    def build(self, input_shape):
        """Make the logarithm of sigma, 0 at first."""
        self.log_sigma = self.add_weight(name="log_sigma", shape=(), initializer="zeros")
        super().build(input_shape)

    def terms(self, images, decoded):
        """See the class."""
        squares = ops.square(images - decoded) * ops.exp(-2.0 * self.log_sigma)
        return 0.5 * squares + self.log_sigma + 0.5 * math.log(2 * math.pi)


@keras.saving.register_keras_serializable("kgen")
class Bernoulli(Likelihood):
    """Binary cross-entropy of pixels taken from [-1, 1] to [0, 1].

    For grey pixels between 0 and 1 it is no normalised likelihood (Loaiza-Ganem and Cunningham,
    2019); its numbers are only compared with each other.
    """

    is_density = False

    def terms(self, images, decoded):
        """See the class."""
        inside = ops.clip(decoded, -1 + 1e-6, 1 - 1e-6)
        gradient = decoded - ops.stop_gradient(decoded)  # 0, with the gradient that clipping ends
        decoded = ops.stop_gradient(inside) + gradient
        # Not log1p: compiled by XLA for CPUs (jaxlib 0.10.2), a sum of both is wrong by far.
        log_on, log_off = ops.log(1.0 + decoded), ops.log(1.0 - decoded)
        return math.log(2.0) - 0.5 * (log_on + log_off + images * (log_on - log_off))


LIKELIHOODS = {"mse": MSE, "bernoulli": Bernoulli, "gaussian": Gaussian, "l1": L1}


def get(name):
    """A likelihood by name, or the one that was passed.

    Raises:
        ValueError: for an unknown name; the message lists the known ones.
    """
    if isinstance(name, Likelihood):
        return name
    if not isinstance(name, str) or name not in LIKELIHOODS:
        raise ValueError(f"Unknown reconstruction {name!r}; known are {sorted(LIKELIHOODS)}.")
    return LIKELIHOODS[name](name="likelihood")
