"""`AdversarialObjective`: what a discriminator, and who fools it, minimize; it holds no model."""

import contextlib
import inspect

import keras
from keras import ops

from kgen.arguments import below
from kgen.layers.augmentation import DifferentiableAugmentation
from kgen.losses.adversarial import ADVERSARIAL_LOSSES
from kgen.losses.penalties import get_penalty


class AdversarialObjective:
    """An adversarial loss with what goes with it: penalty, label smoothing, augmentation.

    It serves any model with a discriminator, with a latent or without: the discriminator comes as a
    function, `discriminate`, from a list of inputs, images first, to a list of outputs, scores
    first. `seed` is the `keras.random.SeedGenerator` to draw from.

    Args:
        loss: a name of `ADVERSARIAL_LOSSES`.
        penalty: a name of `PENALTIES`, a `Penalty`, or None or `"none"`.
        label_smoothing: in [0, 0.5): real images have this much less than the label 1 (Salimans et
            al., 2016, section 3.4), for losses that compare with labels.
        augment: None, or what real and generated images go through before the discriminator sees
            them (Zhao et al., 2020): `"color,translation,cutout"`, some of them, or a layer that is
            called with images and a `seed`.

    Attributes:
        loss: the name.
        penalty: a `Penalty` or None.
        label_smoothing: a float.
        augment: a layer or None.

    Raises:
        ValueError: for unknown names, and smoothing of a loss without labels.
        TypeError: for augmentations that take no seed.
    """

    def __init__(self, loss="non_saturating", penalty=None, label_smoothing=0.0, augment=None):
        if not isinstance(loss, str) or loss not in ADVERSARIAL_LOSSES:
            raise ValueError(f"Unknown loss {loss!r}; known are {[*ADVERSARIAL_LOSSES]}.")
        self.loss, self._functions = loss, ADVERSARIAL_LOSSES[loss]
        self.penalty = None if penalty is None else get_penalty(penalty)
        self.label_smoothing = below(label_smoothing, 0.5, "label_smoothing")
        if self.label_smoothing and not self._functions.smooths:
            smooth = [name for name, other in ADVERSARIAL_LOSSES.items() if other.smooths]
            raise ValueError(f"The loss {loss!r} has no labels to smooth; {smooth} have.")
        self.augment = _augmentation(augment)

    def discriminator_loss(
        self,
        discriminate,
        real,
        fake,
        seed,
        step=None,
        differentiated=1,
        preserving=contextlib.nullcontext,
        discriminate_both=None,
    ):
        """The discriminator's loss with its penalty.

        Args:
            discriminate, seed: as the class says.
            real, fake: lists of inputs, of real and of generated images.
            step: number of the update, for penalties that are not due at every one; None for
                evaluation.
            differentiated: the penalty takes the gradient by so many of the inputs, the first.
            preserving: makes a context manager that undoes what running the discriminator for the
                penalty changes in it.
            discriminate_both: from two lists of inputs to two of outputs, for discriminators that
                are faster so; by default `discriminate`, twice.

        Returns:
            The loss, and the discriminator's outputs for real and for generated images.
        """
        real, fake = self.augmented(real, seed), self.augmented(fake, seed)
        both = discriminate_both or (lambda *sides: [discriminate(side) for side in sides])
        of_real, of_fake = both(real, fake)
        label = 1.0 - self.label_smoothing
        loss = self._functions.discriminator(of_real[0], of_fake[0], label)
        if self.penalty is not None and self.penalty.per_image:
            moved, fixed = slice(differentiated), real[differentiated:]
            score = lambda x: _of_images(discriminate([*x, *fixed])[0])  # noqa: E731
            with preserving():
                loss = loss + self.penalty.loss(score, real[moved], fake[moved], seed, step)
        return loss, of_real, of_fake

    def generator_loss(self, discriminate, real, fake, seed):
        """The loss of who makes the images that are to pass for real.

        Args:
            discriminate, seed: as the class says.
            real, fake: lists of inputs; the real ones are looked at by relativistic losses alone.

        Returns:
            The loss, and the discriminator's outputs for generated images.
        """
        of_fake, real_score = discriminate(self.augmented(fake, seed)), None
        if self._functions.relative:
            real_score, *_ = discriminate(self.augmented(real, seed))
        return self._functions.generator(real_score, of_fake[0]), of_fake

    def exchanged_loss(self, discriminate, real, fake, seed):
        """The discriminator's loss with the sides exchanged: each kind shall pass for the other.

        What the two players of a BiGAN minimize together. Of the hinge loss, whose gradient would
        vanish beyond the margin, $E D(real) - E D(fake)$; of `"minimax"` minus the discriminator's.
        """
        real_score, *_ = discriminate(self.augmented(real, seed))
        fake_score, *_ = discriminate(self.augmented(fake, seed))
        if self.loss == "minimax":
            return -self._functions.discriminator(real_score, fake_score)
        name = "wasserstein" if self.loss == "hinge" else self.loss
        return ADVERSARIAL_LOSSES[name].discriminator(fake_score, real_score)

    def augmented(self, inputs, seed):
        """A list of inputs, its images augmented."""
        if self.augment is None:
            return inputs
        images, *others = inputs
        return [self.augment(images, seed=seed), *others]

    def constrain(self, variables):
        """What the penalty does to the discriminator's variables after its step."""
        if self.penalty is not None:
            self.penalty.constrain(variables)

    def probability(self, scores):
        """The probability of being real that scores say, as NumPy array.

        Raises:
            NotImplementedError: for losses whose scores say none (Wasserstein, hinge, the
                relativistic ones).
        """
        if self._functions.probability is None:
            raise NotImplementedError(
                f"The scores of the loss {self.loss!r} are no probabilities: use scores()."
            )
        return ops.convert_to_numpy(self._functions.probability(scores))


def _of_images(scores):
    """Scores `(N, 1)` of scores of patches `(N, h, w, 1)`: their mean; others as they are."""
    patches = tuple(range(1, len(scores.shape) - 1))
    return ops.mean(scores, axis=patches) if patches else scores


def _augmentation(augment):
    """A layer from what the constructor was given."""
    if augment is None:
        return None
    if not isinstance(augment, keras.layers.Layer):
        try:
            return DifferentiableAugmentation(augment)
        except ValueError as error:
            raise ValueError(f"augment: {error}") from error
    taken = inspect.signature(augment.call).parameters
    if "seed" not in taken and "kwargs" not in taken:
        raise TypeError(
            f"augment is called with images and a seed, by which a run can be resumed; "
            f"{type(augment).__name__} takes {[*taken]}. Wrap it in a layer that takes both."
        )
    return augment
