"""The variational autoencoder."""

import math

import keras
import numpy as np
from keras import ops
from scipy import special

from kgen import schedules
from kgen.arguments import positive
from kgen.data.ranges import normalize_image_shape
from kgen.engine.random import host_generator
from kgen.layers import likelihoods
from kgen.layers.sampling import Sampling
from kgen.losses import kl_divergence
from kgen.models.latent_model import EncodingModel, check_shapes, default_networks
from kgen.models.likelihood import bits_per_dim, dequantized
from kgen.models.network_checks import given


@keras.saving.register_keras_serializable("kgen")
class VAE(EncodingModel):
    r"""Variational autoencoder (Kingma and Welling, 2014; Rezende et al., 2014).

    Maximises the evidence lower bound, equation 7 of Kingma and Welling with one sample: minimises
    `reconstruction + kl_weight * kl`, where the reconstruction term is summed over pixels and
    channels, the KL divergence over latents, and both are averaged over images. The divergence is
    exact, $\frac12 \sum_j (\mu_j^2 + \sigma_j^2 - \log \sigma_j^2 - 1)$; slides often drop the
    factor 1/2 and write $\log \sigma$ where $\log \sigma^2$ is meant. `kl_weight` other than 1 is
    the beta-VAE (Higgins et al., 2017).

    Args:
        image_shape: `(H, W)`, `(H, W, C)` with sides from 8 to 256, or `(D,)` for points.
        latent_dim: width of the latent.
        reconstruction: `"mse"`, the squared norm; `"gaussian"`, the true density with a learned
            sigma; `"bernoulli"`, cross-entropy on [0, 1]; `"l1"`; or a
            `kgen.layers.Likelihood`.
        kl_weight: number, or a schedule of the step (`kgen.schedules`).
        encoder: `keras.Model` from images to mean and log-variance, as two outputs of width
            `latent_dim` or one of twice that.
        decoder: `keras.Model` from latents to images in [-1, 1].
        network: of the default encoder and decoder: `"convolutional"`, `"dense"` (one hidden layer
            of 512), `"deep"` (512, 256 and 64, batch-normalised), `"shallow"` (none), or `"auto"`
            (convolutional for images, dense for points).
        **kwargs: `seed` (of noise and order; `keras.utils.set_random_seed` seeds the weights),
            `check_range`, `name`, `dtype`, as in `GenerativeModel`.

    Raises:
        ValueError: for unknown names, or networks whose shapes do not fit.

    Example:

    ```python
    (x, _), _ = keras.datasets.mnist.load_data()
    vae = kgen.VAE((28, 28), latent_dim=2)
    vae.compile()
    vae.fit(x, epochs=5)
    kgen.plots.grid(vae.generate(16))
    ```
    """

    players = {"vae": ["encoder", "decoder", "likelihood"]}
    logs = ("loss", "reconstruction", "kl")

    def __init__(
        self,
        image_shape,
        latent_dim=2,
        reconstruction="mse",
        kl_weight=1.0,
        encoder=None,
        decoder=None,
        network="auto",
        **kwargs,
    ):
        image_shape, dtype = normalize_image_shape(image_shape), kwargs.get("dtype")
        latent_dim = positive(latent_dim, "latent_dim")
        make_encoder, make_decoder = default_networks(network, image_shape)
        super().__init__(
            image_shape,
            encoder=given(
                encoder, make_encoder, image_shape, latent_dim, gaussian=True, dtype=dtype
            ),
            decoder=given(decoder, make_decoder, image_shape, latent_dim, dtype=dtype),
            likelihood=likelihoods.get(reconstruction),
            **kwargs,
        )
        self.latent_dim, self.network, self.reconstruction = latent_dim, network, reconstruction
        self.kl_weight = schedules.get(kl_weight, "kl_weight")
        if not callable(self.kl_weight) and not self.kl_weight >= 0:
            raise ValueError(f"kl_weight must be at least 0; got {kl_weight!r}.")
        self.sampling = Sampling(seed=self.seed, name="sampling", dtype="float32")
        check_shapes(self, gaussian=True)
        self.ensure_built()

    def get_config(self):
        """Everything that the constructor needs."""
        config = super().get_config()
        likelihood = config.pop("likelihood")
        named = isinstance(self.reconstruction, str)
        return {
            **config,
            "latent_dim": self.latent_dim,
            "reconstruction": self.reconstruction if named else likelihood,
            "kl_weight": schedules.serialize(self.kl_weight),
            "network": self.network,
        }

    def q(self, images, training=False):
        """Mean and log-variance of q(z|x), float32 tensors `(N, latent_dim)`.

        The log-variance is kept in [-30, 20], where its exponential is finite in float32.
        """
        outputs = self.encoder(images, training=training)
        mean, log_variance = (
            outputs if isinstance(outputs, list | tuple) else ops.split(outputs, 2, axis=-1)
        )
        log_variance = ops.clip(ops.cast(log_variance, "float32"), -30.0, 20.0)
        return ops.cast(mean, "float32"), log_variance

    def objective(self, images, training):
        """Reconstruction + kl_weight * KL, averaged over images; and the two terms."""
        mean, log_variance = self.q(images, training)
        z = self.sampling([mean, log_variance], seed=self.random)
        decoded = self.decoder(z, training=training)
        reconstruction = ops.mean(self.likelihood(images, decoded))
        kl = ops.mean(kl_divergence(mean, log_variance))
        loss = reconstruction + self.at_step(self.kl_weight) * kl
        return loss, {"reconstruction": reconstruction, "kl": kl}

    def call(self, inputs, training=False):
        """Reconstruct images through the mean of q(z|x)."""
        mean, _ = self.q(inputs, training)
        return self.decoder(mean, training=training)

    # Latent space.

    def encode(self, images, labels=None, batch_size=None):
        """Mean of q(z|x): float32 `(N, latent_dim)`."""
        return super().encode(images, labels, batch_size)

    def posterior(self, images, batch_size=None):
        """Mean and log-variance of q(z|x): two float32 arrays `(N, latent_dim)`."""
        return tuple(self.infer(self.q, self.images_in(images), batch_size=batch_size))

    def _encode(self, images):
        return self.q(images)[0]

    # Likelihood.

    def elbo(self, images, samples=1, seed=0, batch_size=None):
        """Evidence lower bound of each image in nats, float32 `(N,)`.

        The mean over `samples` draws of z of log p(x|z), minus the exact KL divergence.
        """
        images = self.images_in(images)
        kl = self.infer(self._kl, images, batch_size=batch_size)
        conditional = self._over_samples(self._log_conditional, images, samples, seed, batch_size)
        return conditional.mean(axis=1) - kl

    def anomaly_score(self, images, samples=8, seed=0, batch_size=None):
        """How unlikely each image is: the negative `elbo` in nats, float32 `(N,)`."""
        return -self.elbo(images, samples, seed, batch_size)

    def log_likelihood(self, images, samples=100, seed=0, batch_size=None):
        """Importance-weighted estimate of log p(x) in nats, float32 `(N,)`.

        `log 1/K sum_k p(x|z_k) p(z_k) / q(z_k|x)`, equation 8 of Burda et al. (2016): a lower
        bound that rises to log p(x) with K = `samples`. A density on [-1, 1] per dimension, except
        for `"bernoulli"`, whose numbers are probabilities: the two are never compared.
        """
        return self._log_likelihood(self.images_in(images), samples, seed, batch_size)

    def bits_per_dim(self, images, samples=100, seed=0, batch_size=None):
        """Upper bound on the bits that each dimension of the 8-bit image costs, float32 `(N,)`.

        Of images with uniform dequantisation noise (`kgen.models.likelihood`).

        Args:
            images: uint8, or floats on the 256 levels.

        Raises:
            ValueError: for a Bernoulli model, which has no density; for points; for floats
                between the levels.
        """
        if not self.likelihood.is_density:
            raise ValueError(
                f"A {self.reconstruction!r} model gives probabilities of pixels in [0, 1], not "
                "densities, so it has no bits per dimension of the 8-bit image. Use "
                'reconstruction="gaussian".'
            )
        images = dequantized(self.images_in(images), host_generator(seed))
        nats = self._log_likelihood(images, samples, seed, batch_size)
        return bits_per_dim(nats, self.image_shape)

    def _log_likelihood(self, images, samples, seed, batch_size):
        weights = self._over_samples(self._log_weights, images, samples, seed, batch_size)
        return special.logsumexp(weights, axis=1) - np.float32(math.log(samples))

    def _over_samples(self, fn, images, samples, seed, batch_size):
        """`fn(images, noise)` for `samples` draws of noise per image: `(N, samples)`.

        The noise is drawn image by image, so no batch size changes it.
        """
        samples = positive(samples, "samples")
        random, results = host_generator(seed), []
        if batch_size is not None:
            batch_size = positive(batch_size, "batch_size")
        at_once = batch_size or 8 * self._chunk_size()  # decoded images in one chunk
        part = min(samples, at_once)
        rows = max(1, at_once // part)
        for start in range(0, len(images), 1024):
            block = images[start : start + 1024]
            noise = random.standard_normal((len(block), samples, self.latent_dim), "float32")
            parts = [
                self.infer(fn, block, _padded(noise[:, at : at + part], part), batch_size=rows)
                for at in range(0, samples, part)
            ]
            results.append(np.concatenate(parts, axis=1)[:, :samples])
        return np.concatenate(results)

    def _kl(self, images):
        return kl_divergence(*self.q(images))

    def _draw(self, images, noise):
        """Draws z of shape (N, S, latent_dim) and log p(x|z), (N, S)."""
        mean, log_variance = self.q(images)
        z = mean[:, None] + ops.exp(0.5 * log_variance)[:, None] * noise
        n, s = noise.shape[0], noise.shape[1]
        decoded = self.decoder(ops.reshape(z, (n * s, self.latent_dim)), training=False)
        repeated = ops.repeat(images, s, axis=0)
        conditional = self.likelihood.log_likelihood(repeated, decoded)
        return z, log_variance, ops.reshape(conditional, (n, s))

    def _log_conditional(self, images, noise):
        return self._draw(images, noise)[-1]

    def _log_weights(self, images, noise):
        """Log p(x|z) p(z) / q(z|x), (N, S); the constants of the two Gaussians cancel."""
        z, log_variance, conditional = self._draw(images, noise)
        log_prior = -0.5 * ops.sum(ops.square(z), axis=-1)
        log_q = -0.5 * ops.sum(ops.square(noise) + log_variance[:, None], axis=-1)
        return conditional + log_prior - log_q


def _padded(noise, size):
    missing = size - noise.shape[1]
    return np.pad(noise, ((0, 0), (0, missing), (0, 0))) if missing else noise
