"""The autoencoder, plain and denoising."""

from keras import ops, saving

from kgen.arguments import positive
from kgen.data.ranges import normalize_image_shape
from kgen.engine.random import SeedGenerator
from kgen.layers import corruptions, likelihoods
from kgen.models.latent_model import EncodingModel, check_shapes, default_networks
from kgen.models.network_checks import given


@saving.register_keras_serializable("kgen")
class Autoencoder(EncodingModel):
    r"""Autoencoder (Hinton and Salakhutdinov, 2006): $x \to z = f(x) \to \hat x = g(z)$.

    Minimises the reconstruction loss, by default the lecture's $\|x - \hat x\|_1$, summed over
    pixels and channels and averaged over images. With a `corruption` it is the denoising
    autoencoder (Vincent et al., 2008 and 2010, equation 4): the encoder sees a corrupted image, the
    loss compares with the clean one.

    Args:
        image_shape: `(H, W)`, `(H, W, C)` with sides from 8 to 256, or `(D,)` for points.
        latent_dim: width of the latent.
        reconstruction: the loss: `"l1"`, absolute differences; `"mse"`, the squared norm;
            `"bernoulli"`, cross-entropy on [0, 1]; `"gaussian"`, with a learned sigma; or a
            `kgen.layers.Likelihood`.
        corruption: None, `"gaussian"`, `"masking"` or `"salt_and_pepper"`; or a
            `kgen.layers.Corruption`, to choose its amount.
        encoder: `keras.Model` from images to latents `(N, latent_dim)`.
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
    denoiser = kgen.Autoencoder((28, 28), latent_dim=32, corruption="masking")
    denoiser.compile()
    denoiser.fit(x, epochs=5)
    kgen.plots.grid(denoiser.reconstruct(denoiser.corrupt(x[:16], seed=0)))
    ```
    """

    players = {"autoencoder": ["encoder", "decoder", "likelihood"]}
    logs = ("loss",)

    def __init__(
        self,
        image_shape,
        latent_dim=2,
        reconstruction="l1",
        corruption=None,
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
            encoder=given(encoder, make_encoder, image_shape, latent_dim, dtype=dtype),
            decoder=given(decoder, make_decoder, image_shape, latent_dim, dtype=dtype),
            likelihood=likelihoods.get(reconstruction),
            **kwargs,
        )
        self.latent_dim, self.network, self.reconstruction = latent_dim, network, reconstruction
        self.corruption = corruptions.get(corruption)
        check_shapes(self, gaussian=False)
        self.ensure_built()

    def get_config(self):
        """Everything that the constructor needs."""
        config = super().get_config()
        likelihood = config.pop("likelihood")
        named = isinstance(self.reconstruction, str)
        corruption = self.corruption
        return {
            **config,
            "latent_dim": self.latent_dim,
            "reconstruction": self.reconstruction if named else likelihood,
            "corruption": corruption and saving.serialize_keras_object(corruption),
            "network": self.network,
        }

    def objective(self, images, training):
        """Distance of the images from what is decoded of their, perhaps corrupted, selves."""
        inputs = images if self.corruption is None else self.corruption(images, seed=self.random)
        z = self.encoder(inputs, training=training)
        return ops.mean(self.likelihood(images, self.decoder(z, training=training)))

    def call(self, inputs, training=False):
        """Reconstruct images."""
        return self.decoder(self.encoder(inputs, training=training), training=training)

    def corrupt(self, images, seed=0):
        """Images as the encoder sees them in training: float32 `(N, *image_shape)` in [-1, 1].

        Raises:
            ValueError: if this autoencoder has no corruption.
        """
        if self.corruption is None:
            raise ValueError(
                "This autoencoder learns from images as they are: it has no corruption. The "
                f"constructor takes one: {sorted(corruptions.CORRUPTIONS)}."
            )
        images = ops.convert_to_tensor(self.images_in(images))
        corrupted = self.corruption(images, seed=SeedGenerator(seed, 0, name="corruption"))
        return self._in_range(ops.convert_to_numpy(corrupted))

    def anomaly_score(self, images, batch_size=None):
        """How badly each image is reconstructed: the loss of each image, float32 `(N,)`."""
        return self.infer(self._score, self.images_in(images), batch_size=batch_size)

    def generate(self, n, labels=None, seed=None, batch_size=None):
        """Decode `n` latents from N(0, I): float32 `(n, *image_shape)` in [-1, 1].

        Nothing has taught the encoder to put images where N(0, I) lies, so these need not look like
        images: that is the limit of the autoencoder. `kgen.latent` fits priors to its latents.
        """
        return super().generate(n, labels, seed, batch_size)

    def preview(self, n, seed=None, inputs=None):
        """Rows of images, as in `GenerativeModel`: with inputs, these and what becomes of them.

        Of a denoising autoencoder, what it is given stands between.
        """
        if inputs is None:
            return super().preview(n, seed)
        images = self.images_in(inputs[0] if isinstance(inputs, tuple | list) else inputs)[:n]
        if self.corruption is None:
            return {"original": images, "reconstruction": self.reconstruct(images)}
        corrupted = self.corrupt(images, seed=0 if seed is None else seed)
        denoised = self.reconstruct(corrupted)
        return {"clean": images, "corrupted": corrupted, "denoised": denoised}

    def _encode(self, images):
        return ops.cast(self.encoder(images, training=False), "float32")

    def _score(self, images):
        return self.likelihood(images, self._decode(self._encode(images)))
