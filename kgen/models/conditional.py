"""Adversarial networks whose images follow a label: the conditional GAN and the AC-GAN."""

import keras
import numpy as np
from keras import ops

from kgen.arguments import integer_labels, labels_for, positive, weight_of
from kgen.losses import sparse_cross_entropy
from kgen.models.gan import GAN, parts, symbolic


class LabelledGAN(GAN):
    """What GANs share that learn from images and labels, integers from `least_label` upward.

    Args:
        image_shape, latent_dim: as in `GAN`.
        num_classes: how many labels there are.
        **kwargs: all other arguments of `GAN`.
    """

    least_label = 0

    takes_labels = True

    def __init__(self, image_shape, num_classes, latent_dim=None, **kwargs):
        self.num_classes = positive(num_classes, "num_classes")  # the networks are made with it
        super().__init__(image_shape, latent_dim, **kwargs)

    def get_config(self):
        """Everything that the constructor needs."""
        return {**super().get_config(), "num_classes": self.num_classes}

    def check_labels(self, labels):
        """Raise a `ValueError` unless labels are integers from `least_label` on, or are missing."""
        super().check_labels(labels)
        integer_labels(labels, self.num_classes, self.least_label)

    def prepare(self, data):
        """Images, float32 in [-1, 1], and labels, int32 `(N,)`."""
        images, labels = super().prepare(data)
        return images, ops.cast(ops.reshape(labels, (-1,)), "int32")


@keras.saving.register_keras_serializable("kgen")
class ConditionalGAN(LabelledGAN):
    r"""Conditional GAN (Mirza and Osindero, 2014): generator and discriminator are told the label.

    $\min_G \max_D E \log D(x | y) + E \log(1 - D(G(z | y) | y))$ (equation 2), with generated
    images for the labels of the real ones. By default the label is a one-hot vector beside the
    latent, and further channels of the image for the discriminator.

    Args:
        image_shape: as in `GAN`.
        num_classes: how many labels there are; `fit` takes images and labels, integers from 0.
        latent_dim: as in `GAN`.
        generator: `keras.Model` from `[latents, labels]` to images, labels int32 `(N,)`.
        discriminator: `keras.Model` from `[images, labels]` to scores `(N, 1)`.
        **kwargs: all other arguments of `GAN`.

    Raises:
        ValueError: as `GAN`; from `fit`, for labels that are missing or out of range.

    Example:

    ```python
    gan = kgen.ConditionalGAN((28, 28), num_classes=10)
    gan.compile()
    gan.fit(x, y, batch_size=128, epochs=20)
    gan.generate(10, labels=7)
    ```
    """

    def make_generator(self, dtype, **options):
        """A generator of latents and labels."""
        return super().make_generator(dtype, num_classes=self.num_classes, **options)

    def make_discriminator(self, dtype, **options):
        """A discriminator of images and labels."""
        return super().make_discriminator(dtype, num_classes=self.num_classes, **options)

    def sample(self, real, training):
        """Images for new latents and the labels of a batch; and the labels."""
        _, labels = real
        return self.generator([self.noise(real), labels], training=training), labels

    # What a user asks for.

    def input_signature(self):
        """Latents and labels."""
        return [((self.latent_dim,), "float32"), ((), "int32")]

    def inputs_in(self, inputs, what="x", warns=True):
        """Check latents and labels from outside, as `GenerativeModel.inputs_in`."""
        latents, labels = super().inputs_in(inputs, what, warns)
        try:
            return [latents, labels_for(len(latents), labels, self.num_classes)]
        except ValueError as error:
            raise ValueError(f"{what}: {error}") from error

    def generate(self, n, labels=None, seed=None, batch_size=None):
        """Images for labels: float32 `(n, *image_shape)` in [-1, 1].

        Args:
            n: how many.
            labels: one label, or integers `(n,)`; None: all classes in turn.
            seed: of the latents.
            batch_size: as in `decode`.

        Raises:
            ValueError: for an `n` that is not positive, and labels out of range.
        """
        return self.decode(self.latents(n, self.latent_dim, seed), labels, batch_size)

    def decode(self, latents, labels=None, batch_size=None):
        """Images of latents `(N, latent_dim)` and labels, as in `generate`."""
        latents = self.latents_in(latents)
        if labels is None:
            labels = np.arange(len(latents)) % self.num_classes
        labels = labels_for(len(latents), labels, self.num_classes)
        return self._in_range(self.infer(self._decode, latents, labels, batch_size=batch_size))

    def scores(self, images, labels, batch_size=None):
        """Raw outputs of the discriminator for images and labels, float32 `(N,)`."""
        images = self.images_in(images)
        labels = labels_for(len(images), labels, self.num_classes)
        return self.infer(self._scores, images, labels, batch_size=batch_size)

    def discriminate(self, images, labels, batch_size=None):
        """Probability that each image is real, given its label, float32 `(N,)`."""
        return self.probabilities(self.scores(images, labels, batch_size))

    def _decode(self, latents, labels):
        return self.generator_average.model([latents, labels], training=False)

    def generator_inputs(self):
        """Latents and labels."""
        return [symbolic((self.latent_dim,)), symbolic((), "int32")], "it must take labels as well"

    def discriminator_inputs(self):
        """Images and labels."""
        return [symbolic(self.image_shape), symbolic((), "int32")], "it must take labels as well"


@keras.saving.register_keras_serializable("kgen")
class ACGAN(ConditionalGAN):
    r"""Auxiliary classifier GAN (Odena et al., 2017): the discriminator also names the label.

    $L_S = E \log P(real | x) + E \log P(fake | G(z, y))$ and $L_C = E \log P(y | x) + E \log P(y |
    G(z, y))$ (equations 2 and 3): the discriminator maximises $L_S + L_C$, the generator
    $L_C - L_S$, in the form of the adversarial loss that is chosen.

    Args:
        image_shape, num_classes, latent_dim: as in `ConditionalGAN`.
        classification_weight: factor of $L_C$.
        discriminator: `keras.Model` from images to `[scores (N, 1), logits (N, num_classes)]`.
        **kwargs: all other arguments of `ConditionalGAN`.

    Raises:
        ValueError: as `ConditionalGAN`.

    Example:

    ```python
    gan = kgen.ACGAN((28, 28), num_classes=10)
    gan.compile()
    gan.fit(x, y, batch_size=128, epochs=20)
    gan.classify(x).argmax(axis=1)
    ```
    """

    def __init__(
        self, image_shape, num_classes, latent_dim=None, classification_weight=1.0, **kwargs
    ):
        self.classification_weight = weight_of(classification_weight, "classification_weight")
        super().__init__(image_shape, num_classes, latent_dim, **kwargs)

    def make_discriminator(self, dtype, **options):
        """A discriminator of images alone, with a second output for the class."""
        return GAN.make_discriminator(self, dtype, heads={"classes": self.num_classes}, **options)

    def get_config(self):
        """Everything that the constructor needs."""
        return {**super().get_config(), "classification_weight": self.classification_weight}

    def shown(self, batch):
        """The images: what class they are of is for the discriminator to say."""
        return parts(batch)[:1]

    def discriminator_loss(self, real, fake, training):
        """L_S and L_C, to be minimised."""
        (_, label), (_, asked) = real, fake
        real, fake = self.augmented(real), self.augmented(fake)
        (real_score, real_class), (fake_score, fake_class) = (
            self.outputs(images, training) for images in (real, fake)
        )
        source, scores = self.told_apart(real_score, fake_score, real, fake, training)
        classes = sparse_cross_entropy(label, real_class)
        classes = classes + sparse_cross_entropy(asked, fake_class)
        return source + self.classification_weight * classes, scores

    def generator_loss(self, real, training):
        """The images shall pass for real, and for their labels."""
        fake = self.sample(real, training)
        fake_score, fake_class = self.judged(fake, training)
        classes = sparse_cross_entropy(fake[1], fake_class)
        return self.fooled(fake_score, real, training) + self.classification_weight * classes

    def scores(self, images, batch_size=None):
        """Raw outputs of the discriminator, float32 `(N,)`: higher is more real."""
        return GAN.scores(self, images, batch_size)

    def discriminate(self, images, batch_size=None):
        """Probability that each image is real, float32 `(N,)`."""
        return GAN.discriminate(self, images, batch_size)

    def classify(self, images, batch_size=None):
        """Probabilities of the classes, float32 `(N, num_classes)`."""
        return self.infer(self._classify, self.images_in(images), batch_size=batch_size)

    def inference_networks(self):
        """The average of the generator, and the discriminator, which classifies."""
        return {**super().inference_networks(), "discriminator": self.discriminator}

    def _classify(self, images):
        _, logits = self.discriminator(images, training=False)
        return ops.softmax(ops.cast(logits, "float32"))

    def discriminator_inputs(self):
        """Images."""
        return GAN.discriminator_inputs(self)

    def judgements(self):
        """Shapes of the discriminator's outputs by what they are."""
        return {**super().judgements(), "class logits of shape": (self.num_classes,)}
