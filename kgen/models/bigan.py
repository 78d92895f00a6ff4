"""BiGAN: an encoder that is trained with the two players."""

from functools import partial

import keras
from keras import ops

from kgen.arrays import as_list
from kgen.conditions import Nothing
from kgen.models.gan import GAN, stop_gradient
from kgen.models.latent_model import EncodingModel
from kgen.models.network_checks import check_outputs, given
from kgen.networks import ADVERSARIAL_NETWORKS


@keras.saving.register_keras_serializable("kgen")
class BiGAN(EncodingModel, GAN):
    r"""Bidirectional GAN (Donahue et al., 2017; as ALI, Dumoulin et al., 2017): it encodes as well.

    The discriminator tells pairs of a real image and its code, $(x, E(x))$, from pairs of a
    generated image and its latent, $(G(z), z)$; encoder and generator together fool it (equation
    3). At the optimum E inverts G (theorem 2), so images can be encoded, reconstructed and
    interpolated: by the encoder as it is, and the generator's moving average.

    Each kind of pair shall be taken for the other: generator and encoder minimise the
    discriminator's loss with the sides changed; of the hinge loss, whose gradient would vanish
    beyond the margin, $E D(x, E(x)) - E D(G(z), z)$.

    Args:
        image_shape: as in `GAN`.
        latent_dim: width of latents and codes.
        encoder: `keras.Model` from images to latents `(N, latent_dim)`.
        discriminator: `keras.Model` from `[images, latents]` to scores `(N, 1)`.
        **kwargs: all other arguments of `GAN`; a penalty (which the paper has not) is one of the
            gradient by both, images and latents.

    Raises:
        ValueError: as `GAN`, and for encoders whose shapes do not fit.

    Example:

    ```python
    gan = kgen.BiGAN((28, 28))
    gan.compile()
    gan.fit(x, epochs=20)
    kgen.plots.reconstructions(x[:10], gan.reconstruct(x[:10]))
    ```
    """

    players = {"discriminator": ["discriminator"], "generator": ["generator", "encoder"]}
    conditions, differentiated_inputs = (Nothing,), 2

    def __init__(self, image_shape, latent_dim=50, encoder=None, **kwargs):
        super().__init__(image_shape, latent_dim, encoder=encoder, **kwargs)

    def make_discriminator(self, dtype, **options):
        """A discriminator of images and latents."""
        return super().make_discriminator(dtype, latent_dim=self.latent_dim, **options)

    def make_further_networks(self, dtype, encoder=None):
        """The encoder."""
        _, _, make = ADVERSARIAL_NETWORKS[self.network]
        sizes = (self.image_shape, self.latent_dim)
        self.encoder = given(encoder, make, *sizes, dtype=dtype, **self.size_options())

    # The algorithm.

    def update(self, batch):
        """K steps of the discriminator on pairs, then one of generator and encoder."""
        for images in self.minibatches(batch):
            real = stop_gradient(self.encoded(images, training=True))
            fake = stop_gradient(self.sample(images, training=True))
            d_loss, scores = self.discriminator_step(real, fake)
        g_loss = self.minimize("generator", self.generator_loss, images)
        self.generator_average.update(self.step)
        return {"discriminator_loss": d_loss, "generator_loss": g_loss, **scores}

    def measure(self, batch):
        """The losses of a batch, from new latents."""
        real, fake = self.encoded(batch, training=False), self.sample(batch, training=False)
        d_loss, scores = self.discriminator_loss(real, fake, training=False)
        g_loss = self.generator_loss(batch, training=False)
        return {"discriminator_loss": d_loss, "generator_loss": g_loss, **scores}

    def encoded(self, images, training):
        """Images and their codes."""
        return images, ops.cast(self.encoder(images, training=training), "float32")

    def sample(self, real, training):
        """Generated images and their latents."""
        latents = self.noise(real)
        return self.generator(latents, training=training), latents

    def generator_loss(self, images, training):
        """Pairs of either kind shall be taken for the other."""
        return self.adversarial_objective.exchanged_loss(
            partial(self.run_discriminator, training=training),
            self.discriminator_inputs(self.encoded(images, training)),
            self.discriminator_inputs(self.sample(images, training)),
            self.random,
        )

    def discriminator_inputs(self, batch):
        """Images, and their codes or latents."""
        return as_list(batch)

    # What a user asks for.

    def scores(self, images, labels=None, batch_size=None):
        """Raw outputs of the discriminator for images and their codes, float32 `(N,)`."""
        return super().scores(images, labels, batch_size)

    def inference_networks(self):
        """The average of the generator, and the encoder."""
        return {**super().inference_networks(), "encoder": self.encoder}

    def _encode(self, images):
        return self.encoded(images, training=False)[1]

    def _scores(self, images):
        return super()._scores(*self.encoded(images, training=False))

    def check_networks(self):
        """Raise a `ValueError` unless the networks fit each other and the images."""
        super().check_networks()
        images = {"images": (self.image_shape, "float32")}
        codes = {"latents of shape": (self.latent_dim,)}
        check_outputs(self.encoder, images, codes, "encoder")

    def discriminator_signature(self):
        """Images and latents."""
        return super().discriminator_signature() | super().generator_signature()
