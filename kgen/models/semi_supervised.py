"""A classifier that learns from few labels, with a generator's help."""

import keras
from keras import ops

from kgen.conditions import ClassLabels
from kgen.losses import feature_matching
from kgen.models.conditional import LabeledGAN


@keras.saving.register_keras_serializable("kgen")
class SemiSupervisedGAN(LabeledGAN):
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

    conditions, conditioned, unlabeled = (ClassLabels,), (), True

    def check_loss(self):
        """Raise a `ValueError` for losses whose scores are no log Z."""
        if self.adversarial_loss not in ("non_saturating", "minimax"):
            raise ValueError(
                "A SemiSupervisedGAN takes an image for real with probability Z / (Z + 1), by the "
                f"loss 'non_saturating'; got {self.adversarial_loss!r}. Pass another variant or "
                "loss."
            )

    def make_discriminator(self, dtype, **options):
        """A classifier that also returns its features."""
        heads = {"classes": self.num_classes}
        network = super().make_discriminator(dtype, heads=heads, **options)
        _, classes = network.outputs
        features = network.get_layer("features").output
        return keras.Model(network.input, [classes, features], name="discriminator")

    # The algorithm.

    def run_discriminator(self, inputs, training):
        """Scores log Z `(N, 1)`, the classes' logits and the features."""
        logits, features = super().run_discriminator(inputs, training)
        total = ops.logsumexp(ops.cast(logits, "float32"), axis=-1, keepdims=True)
        return [total, logits, features]

    def with_further_discriminator_losses(self, loss, real, fake, of_real, of_fake):
        """And the cross-entropy of the images with labels."""
        (_, labels), (_, logits, _) = real, of_real
        known = ops.cast(labels >= 0, "float32")
        errors = ops.sparse_categorical_crossentropy(
            ops.maximum(labels, 0), ops.cast(logits, "float32"), from_logits=True
        )
        return loss + ops.sum(known * errors) / ops.maximum(ops.sum(known), 1.0)

    def generator_loss(self, real, training):
        """Features of generated images shall have the mean of those of real ones."""

        def features(batch):
            inputs = self.discriminator_inputs(batch)
            inputs = self.adversarial_objective.augmented(inputs, self.random)
            *_, found = self.run_discriminator(inputs, training)
            return found

        wanted = features(real)
        return feature_matching(wanted, features(self.sample(real, training)))

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

    def discriminator_outputs(self):
        """Shapes of the discriminator's outputs by what they are."""
        return {"logits of shape": (self.num_classes,), "features of shape": (None,)}
