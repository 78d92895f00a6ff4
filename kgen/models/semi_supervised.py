"""A classifier that learns from few labels, with a generator's help."""

import keras
from keras import ops

from kgen.losses import feature_matching
from kgen.models.conditional import LabelledGAN
from kgen.models.gan import parts


@keras.saving.register_keras_serializable("kgen")
class SemiSupervisedGAN(LabelledGAN):
    r"""Semi-supervised GAN with feature matching (Salimans et al., 2016, sections 3.1 and 5).

    The discriminator is a classifier of K classes with logits l, and takes an image for real with
    probability $D(x) = Z / (Z + 1)$, $Z = \sum_k \exp l_k(x)$. It minimises the cross-entropy of
    images with labels and the GAN's loss on all images. The generator minimises
    $\|E f(x) - E f(G(z))\|_2^2$, with f the features from which the logits are computed.
    `discriminate` returns D(x).

    Args:
        image_shape: as in `GAN`.
        num_classes: K. `fit` takes images and labels from 0 to K - 1, and -1 where there is none.
        discriminator: `keras.Model` from images to `[logits (N, num_classes), features (N, D)]`.
        latent_dim: as in `GAN`.
        **kwargs: all other arguments of `GAN`. The loss is of the discriminator alone, and its
            cross-entropy: `"non_saturating"`, or `"minimax"`, which is the same here.

    Raises:
        ValueError: as `GAN`, and for other losses, whose scores are no log Z.

    Example:

    ```python
    y = y.astype("int32")
    y[100:] = -1  # all others have no label
    gan = kgen.SemiSupervisedGAN((28, 28), num_classes=10)
    gan.compile()
    gan.fit(x, y, epochs=20)
    gan.classify(x).argmax(axis=1)
    ```
    """

    least_label = -1

    def check_loss(self):
        """Raise a `ValueError` for losses whose scores are no log Z."""
        if self.adversarial not in ("non_saturating", "minimax"):
            raise ValueError(
                "A SemiSupervisedGAN takes an image for real with probability Z / (Z + 1), by the "
                f"loss 'non_saturating'; got {self.adversarial!r}. Pass another variant or loss."
            )

    def make_discriminator(self, dtype, **options):
        """A classifier that also returns its features."""
        heads = {"classes": self.num_classes}
        network = super().make_discriminator(dtype, heads=heads, **options)
        _, classes = network.outputs
        features = network.get_layer("features").output
        return keras.Model(network.input, [classes, features], name="discriminator")

    # The algorithm.

    def sample(self, real, training):
        """Generated images, without labels."""
        return self.generator(self.noise(real), training=training)

    def shown(self, batch):
        """The images: their labels are for the discriminator to say."""
        return parts(batch)[:1]

    def outputs(self, given, training):
        """Scores log Z `(N, 1)`, the classes' logits and the features."""
        logits, features = super().outputs(given, training)
        total = ops.logsumexp(ops.cast(logits, "float32"), axis=-1, keepdims=True)
        return [total, logits, features]

    def discriminator_loss(self, real, fake, training):
        """Cross-entropy of the images with labels, and the adversarial loss of all."""
        _, labels = real
        real, fake = self.augmented(real), self.augmented(fake)
        (real_score, logits, _), (fake_score, *_) = (
            self.outputs(images, training) for images in (real, fake)
        )
        loss, scores = self.told_apart(real_score, fake_score, real, fake, training)
        known = ops.cast(labels >= 0, "float32")
        errors = ops.sparse_categorical_crossentropy(
            ops.maximum(labels, 0), ops.cast(logits, "float32"), from_logits=True
        )
        return loss + ops.sum(known * errors) / ops.maximum(ops.sum(known), 1.0), scores

    def generator_loss(self, real, training):
        """Features of generated images shall have the mean of those of real ones."""
        *_, wanted = self.judged(real, training)
        *_, found = self.judged(self.sample(real, training), training)
        return feature_matching(wanted, found)

    # What a user asks for.

    def classify(self, images, batch_size=None):
        """Probabilities of the classes, float32 `(N, num_classes)`."""
        return self.infer(self._classify, self.images_in(images), batch_size=batch_size)

    def inference_networks(self):
        """The average of the generator, and the discriminator, which is the classifier."""
        return {**super().inference_networks(), "discriminator": self.discriminator}

    def _classify(self, images):
        logits, _ = self.discriminator(images, training=False)
        return ops.softmax(ops.cast(logits, "float32"))

    def judgements(self):
        """Shapes of the discriminator's outputs by what they are."""
        return {"logits of shape": (self.num_classes,), "features of shape": (None,)}
