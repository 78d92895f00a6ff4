"""Adversarial networks whose images follow a label: the conditional GAN and the AC-GAN."""

import keras
from keras import ops

from kgen.arguments import weight_of
from kgen.conditions import ClassLabels
from kgen.losses import sparse_cross_entropy
from kgen.models.gan import GAN


class LabeledGAN(GAN):
    """What GANs share that learn from images and labels.

    Args:
        image_shape, latent_dim: as in `GAN`.
        num_classes: how many labels there are: short for `condition=ClassLabels(num_classes)`.
        **kwargs: all other arguments of `GAN`.
    """

    unlabeled = False  # whether images may have no label

    def __init__(self, image_shape, num_classes=None, latent_dim=None, condition=None, **kwargs):
        if (num_classes is None) == (condition is None):
            raise ValueError(
                f"{type(self).__name__} needs num_classes=, or a condition in its place; got "
                f"num_classes={num_classes!r} and condition={condition!r}."
            )
        if condition is None:
            condition = ClassLabels(num_classes, self.unlabeled)
        super().__init__(image_shape, latent_dim, condition=condition, **kwargs)

    def preview(self, n, seed=None, inputs=None):
        """As in `GenerativeModel`; by class where the generator is told it."""
        if self.num_classes is None or "generator" not in self.conditioned:
            return super().preview(n, seed, inputs)
        return self.preview_by_class(n, self.num_classes, seed)

    @property
    def num_classes(self):
        """How many labels there are; None where the condition is another."""
        return getattr(self.condition, "num_classes", None)


@keras.saving.register_keras_serializable("kgen")
class ConditionalGAN(LabeledGAN):
    r"""Conditional GAN (Mirza and Osindero, 2014): generator and discriminator are told the label.

    $\min_G \max_D E \log D(x | y) + E \log(1 - D(G(z | y) | y))$ (equation 2), with generated
    images for the labels of the real ones. By default the label is a one-hot vector beside the
    latent, and further channels of the image for the discriminator.

    Args:
        image_shape: as in `GAN`.
        num_classes: how many labels there are; `fit` takes images and labels, integers from 0.
        latent_dim: as in `GAN`.
        condition: in the place of `num_classes`, any of `kgen.conditions`, such as
            `Tokens(vocabulary_size, length)`; `labels` are then of that kind, and networks have to
            be given.
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


@keras.saving.register_keras_serializable("kgen")
class ACGAN(LabeledGAN):
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

    conditions, conditioned = (ClassLabels,), ("generator",)

    def __init__(
        self, image_shape, num_classes=None, latent_dim=None, classification_weight=1.0, **kwargs
    ):
        self.classification_weight = weight_of(classification_weight, "classification_weight")
        super().__init__(image_shape, num_classes, latent_dim, **kwargs)

    def make_discriminator(self, dtype, **options):
        """A discriminator with a second output for the class."""
        return super().make_discriminator(dtype, heads={"classes": self.num_classes}, **options)

    def get_config(self):
        """Everything that the constructor needs."""
        return {**super().get_config(), "classification_weight": self.classification_weight}

    def with_further_discriminator_losses(self, loss, real, fake, of_real, of_fake):
        """And $-L_C$."""
        (_, label), (_, asked), (_, of_label), (_, of_asked) = real, fake, of_real, of_fake
        classes = sparse_cross_entropy(label, of_label) + sparse_cross_entropy(asked, of_asked)
        return loss + self.classification_weight * classes

    def with_further_generator_losses(self, loss, fake, of_fake):
        """And $-L_C$ of the images that it made."""
        (_, asked), (_, of_asked) = fake, of_fake
        return loss + self.classification_weight * sparse_cross_entropy(asked, of_asked)

    # What a user asks for.

    def classify(self, images, batch_size=None):
        """Probabilities of the classes, float32 `(N, num_classes)`."""
        return self.infer(self._classify, self.images_in(images), batch_size=batch_size)

    def inference_networks(self):
        """The average of the generator, and the discriminator, which classifies."""
        return {**super().inference_networks(), "discriminator": self.discriminator}

    def _classify(self, images):
        _, logits = self.discriminator(images, training=False)
        return ops.softmax(ops.cast(logits, "float32"))

    def discriminator_outputs(self):
        """Shapes of the discriminator's outputs by what they are."""
        return {**super().discriminator_outputs(), "class logits of shape": (self.num_classes,)}
