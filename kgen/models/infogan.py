"""InfoGAN: a part of the latent that means something."""

import keras
import numpy as np
from keras import ops

from kgen.arguments import positive, weight_of, whole
from kgen.arrays import as_list
from kgen.conditions import ClassLabels, Nothing
from kgen.engine.random import host_generator
from kgen.losses import code_divergence, sparse_cross_entropy
from kgen.models.gan import GAN


@keras.saving.register_keras_serializable("kgen")
class InfoGAN(GAN):
    r"""InfoGAN (Chen et al., 2016): the discriminator reads a code of the latent from the image.

    A latent is noise from N(0, I), a category, drawn evenly and given as a one-hot vector, and
    continuous codes, uniform on [-1, 1]. Both players also maximise
    $L_I(G, Q) = E \log Q(c | G(z, c)) + H(c)$ (equation 5), a lower bound on the mutual information
    of code and image; Q is a further output of the discriminator: class logits, and means of
    Gaussians, whose variance is fixed at 1 here.

    Args:
        image_shape: as in `GAN`.
        latent_dim: width of a latent, code included; by default 62 more than the code's.
        categories: of the categorical code; at least 2.
        codes: number of continuous codes; 0 for none.
        information_weight: lambda of equation 6, of both kinds of code.
        discriminator: `keras.Model` from images to `[scores (N, 1), logits (N, categories), means
            (N, codes)]`, without the last where there are no continuous codes.
        **kwargs: all other arguments of `GAN`.

    Raises:
        ValueError: as `GAN`, and for latents that hold no code and noise.

    Example:

    ```python
    gan = kgen.InfoGAN((28, 28), categories=10, codes=2)
    gan.compile()
    gan.fit(x, epochs=20)
    gan.generate(10, labels=3)  # one category
    categories, codes = gan.code(x)
    ```
    """

    conditions, conditioned = (Nothing,), ()

    def __init__(
        self,
        image_shape,
        latent_dim=None,
        categories=10,
        codes=2,
        information_weight=1.0,
        **kwargs,
    ):
        self.categories = positive(categories, "categories")
        self.codes = whole(codes, "codes")
        latent_dim = 62 + self.categories + self.codes if latent_dim is None else latent_dim
        self.noise_dim = positive(latent_dim, "latent_dim") - self.categories - self.codes
        if self.categories < 2 or self.noise_dim < 1:
            raise ValueError(
                "A latent holds at least 2 categories, the continuous codes and some noise; got "
                f"latent_dim={latent_dim}, categories={categories}, codes={codes}."
            )
        self.information_weight = weight_of(information_weight, "information_weight")
        super().__init__(image_shape, latent_dim, **kwargs)

    def make_discriminator(self, dtype, **options):
        """A discriminator that also reads the code."""
        heads = {"category": self.categories} | ({"codes": self.codes} if self.codes else {})
        return super().make_discriminator(dtype, heads=heads, **options)

    def default_optimizers(self):
        """Those of the variant; of the DCGAN the paper's: its generator learns faster (C.1)."""
        optimizers = super().default_optimizers()
        if self.variant == "dcgan":
            optimizers["generator"] = keras.optimizers.Adam(1e-3, 0.5)
        return optimizers

    def get_config(self):
        """Everything that the constructor needs."""
        names = ("categories", "codes", "information_weight")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}

    # The algorithm.

    def sample(self, real, training):
        """Images, and the latents that they were made of."""
        latents = self.noise(real)
        return self.generator(latents, training=training), latents

    def noise(self, real):
        """Noise and code, one for each image of a batch."""
        count, random = ops.shape(as_list(real)[0])[0], self.random
        noise = keras.random.normal((count, self.noise_dim), seed=random)
        category = keras.random.randint((count,), 0, self.categories, seed=random)
        codes = keras.random.uniform((count, self.codes), -1.0, 1.0, seed=random)
        category = ops.one_hot(category, self.categories, dtype="float32")
        return ops.concatenate([noise, category, codes], axis=-1)

    def with_further_discriminator_losses(self, loss, real, fake, of_real, of_fake):
        """Minus the information that Q reads."""
        (_, latents), (_, *read) = fake, of_fake
        return loss - self.information_weight * self.information(latents, *read)

    def with_further_generator_losses(self, loss, fake, of_fake):
        """Minus the information in the images."""
        return self.with_further_discriminator_losses(loss, None, fake, None, of_fake)

    def information(self, latents, logits, means=None):
        """E log Q(c | image) in nats: the bound on the mutual information up to a constant."""
        _, category, codes = ops.split(
            latents, [self.noise_dim, self.noise_dim + self.categories], axis=-1
        )
        found = -sparse_cross_entropy(ops.argmax(category, axis=-1), logits)
        return found if means is None else found - code_divergence(codes, means)

    # What a user asks for.

    def generate(self, n, labels=None, seed=None, batch_size=None):
        """Images: float32 `(n, *image_shape)` in [-1, 1].

        Args:
            n: how many.
            labels: categories of the code, one or integers `(n,)`; None: drawn.
            seed: of noise, codes and, where they are drawn, categories.
            batch_size: as in `decode`.

        Raises:
            ValueError: for an `n` that is not positive, and labels that are no categories.
        """
        n = positive(n, "n")
        noise = self.latents(n, self.noise_dim, seed)
        random = host_generator(None if seed is None else seed + 1)
        drawn = random.random((n, 1 + self.codes), dtype="float32")  # rows: the first 8 of 16
        labels = (drawn[:, 0] * self.categories).astype("int32") if labels is None else labels
        (category,) = ClassLabels(self.categories).of_images(n, labels)
        one_hot = np.eye(self.categories, dtype="float32")[category]
        latents = np.concatenate([noise, one_hot, 2 * drawn[:, 1:] - 1], axis=1)
        return self.decode(latents, batch_size=batch_size)

    def code(self, images, batch_size=None):
        """What Q reads: probabilities `(N, categories)`, and means of the codes `(N, codes)`."""
        return tuple(self.infer(self._code, self.images_in(images), batch_size=batch_size))

    def inference_networks(self):
        """The average of the generator, and the discriminator, which reads codes."""
        return {**super().inference_networks(), "discriminator": self.discriminator}

    def _code(self, images):
        _, logits, *means = self.discriminator(images, training=False)
        means = ops.cast(means[0], "float32") if means else ops.zeros((ops.shape(images)[0], 0))
        return ops.softmax(ops.cast(logits, "float32")), means

    def discriminator_outputs(self):
        """Shapes of the discriminator's outputs by what they are."""
        means = {"means of shape": (self.codes,)} if self.codes else {}
        logits = {"category logits of shape": (self.categories,)}
        return {**super().discriminator_outputs(), **logits, **means}
