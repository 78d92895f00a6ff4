"""The generative adversarial network."""

import dataclasses
from collections.abc import Callable
from functools import partial

import keras
from keras import ops, tree

from kgen.arguments import below, positive
from kgen.arrays import as_list, one_or_all
from kgen.conditions import ClassLabels, Condition, Nothing
from kgen.data.ranges import normalize_image_shape
from kgen.engine.left_out import LeftOut
from kgen.engine.moving_average import MovingAverage
from kgen.layers.augmentation import DifferentiableAugmentation
from kgen.layers.spectral_normalization import SpectralNormalization
from kgen.losses import R1, AdversarialObjective
from kgen.models.latent_model import LatentModel
from kgen.models.network_checks import (
    check_outputs,
    given,
    refuse_probabilities,
    refuse_sigmoid,
)
from kgen.networks import ADVERSARIAL_NETWORKS

serialize = keras.saving.serialize_keras_object
Adam, RMSprop = keras.optimizers.Adam, keras.optimizers.RMSprop
ADAM = partial(Adam, 2e-4, 0.5)  # Radford et al. (2016), section 4
NORMALIZATIONS = ("batch", "layer", "spectral", "none")


@dataclasses.dataclass(frozen=True)
class Variant:
    """A setting of the GAN after a paper.

    Attributes:
        network: of the default networks, for images.
        loss, penalty, discriminator_steps, normalization: as in `GAN`.
        optimizer: makes the optimizer of each player.
    """

    network: str
    loss: str
    penalty: str | R1 = "none"
    discriminator_steps: int = 1
    normalization: str = "none"
    optimizer: Callable = ADAM


VARIANTS = {
    # Goodfellow et al. (2014); the optimizer is Radford's, as in all rows that name none: later and
    # steadier than their momentum.
    "gan": Variant("mlp", "non_saturating"),
    # Radford et al. (2016).
    "dcgan": Variant("dcgan", "non_saturating", normalization="batch"),
    # Arjovsky et al. (2017), Algorithm 1.
    "wgan": Variant("dcgan", "wasserstein", "weight_clipping", 5, "batch", partial(RMSprop, 5e-5)),
    # Gulrajani et al. (2017), Algorithm 1: layers are normalised in the place of batches.
    "wgan_gp": Variant(
        "dcgan",
        "wasserstein",
        "gradient_penalty",
        5,
        "layer",
        partial(Adam, 1e-4, 0, 0.9),
    ),
    # Mao et al. (2017), equation 9.
    "lsgan": Variant("dcgan", "least_squares", normalization="batch"),
    # Miyato et al. (2018): spectral normalization, hinge loss (equations 16 and 17). With residual
    # networks they take 5 steps and Adam 2e-4, 0, 0.9.
    "sngan": Variant("dcgan", "hinge", normalization="spectral"),
    # Mescheder et al. (2018): the penalty makes training converge.
    "r1": Variant("dcgan", "non_saturating", "r1"),
    # The same for points, whose densities are sharp: a small weight lets the discriminator be so.
    "points": Variant("mlp", "non_saturating", R1(0.02), optimizer=partial(Adam, 2e-3, 0.5, 0.9)),
}
"""Settings by name; what is passed to the constructor wins."""


@keras.saving.register_keras_serializable("kgen")
class GAN(LatentModel):
    r"""Generative adversarial network (Goodfellow et al., 2014).

    A generator G makes images of latents z from N(0, I); a discriminator D tells them from real
    ones; $\min_G \max_D E \log D(x) + E \log(1 - D(G(z)))$ (equation 1). Each update is Algorithm
    1: k steps of the discriminator, each on m real and m generated images of their own, then one
    step of the generator; m is the `batch_size` of `fit`, so an update takes k * m real images.

    `fit` takes images `(N, *image_shape)`: uint8, floats in [-1, 1], or a dataset of `kgen.data`;
    points are floats `(N, D)` of any range.

    | variant | loss | penalty | k | normalization of D | optimizer |
    |---|---|---|---|---|---|
    | `"gan"` (Goodfellow et al., 2014) | `non_saturating` | | 1 | | Adam 2e-4, 0.5 |
    | `"dcgan"` (Radford et al., 2016) | `non_saturating` | | 1 | batch | Adam 2e-4, 0.5 |
    | `"wgan"` (Arjovsky et al., 2017) | `wasserstein` | clipping 0.01 | 5 | batch | RMSprop 5e-5 |
    | `"wgan_gp"` (Gulrajani et al., 2017) | `wasserstein` | GP, 10 | 5 | layer | Adam 1e-4, 0 |
    | `"lsgan"` (Mao et al., 2017) | `least_squares` | | 1 | batch | Adam 2e-4, 0.5 |
    | `"sngan"` (Miyato et al., 2018) | `hinge` | | 1 | spectral | Adam 2e-4, 0.5 |
    | `"r1"` (Mescheder et al., 2018) | `non_saturating` | R1, 10 | 1 | | Adam 2e-4, 0.5 |
    | `"points"`, kgen's own | `non_saturating` | R1, 0.02 | 1 | | Adam 2e-3, 0.5 |

    Losses, penalties and k are the papers', optimizers those of `"dcgan"`, `"wgan"` and `"wgan_gp"`
    alone: the other papers' differ, and these rows have the DCGAN's. Networks of images are those
    of the DCGAN, too, for all but `"gan"`, so that variants can be compared. For the residual
    networks of `"sngan"`, `network="resnet"`, Miyato et al. take k = 5 and Adam 2e-4, 0, 0.9:
    `discriminator_steps=5`, and these to `compile`. The numbers of an optimizer are its rate and
    Adam's first beta; the second is 0.9 for `"wgan_gp"` and `"points"`, else Keras's. Points have
    MLPs in every row.

    Args:
        image_shape: `(H, W)`, `(H, W, C)`, or `(D,)` for points.
        latent_dim: width of the latent; by default 100 for images, 2 for points.
        variant: a row of the table; or `"auto"`: `"dcgan"` for images, `"points"` for points.
            The arguments that follow win where they are given.
        loss: `"minimax"`, Algorithm 1 as printed; `"non_saturating"` (section 3 of the same paper);
            `"wasserstein"`, whose critic needs a penalty (its variants have one);
            `"least_squares"`, `"hinge"`; `"relativistic"` and `"relativistic_average"`
            (Jolicoeur-Martineau, 2019). Equations: `kgen.losses`.
        penalty: of the discriminator: `"gradient_penalty"`, `"r1"`, `"weight_clipping"`, one of
            `kgen.losses` with a weight of your choice, or `"none"`. One that is due at every n-th
            update only is due in all k steps of it.
        discriminator_steps: k, a positive integer.
        generator: `keras.Model` from latents to images in [-1, 1].
        discriminator: `keras.Model` from images to scores `(N, 1)`, logits without activation.
        network: of the default networks: `"dcgan"` and `"resnet"` (images from 8x8 upward),
            `"mlp"`.
        filters: of the default convolutional networks, as `kgen.networks` describes it; by default
            64 of `"dcgan"` and 128 of `"resnet"`. Networks that are given are as wide as they are.
        normalization: of the default discriminator: `"batch"`, `"layer"`, `"spectral"`, `"none"`.
            Where a penalty takes the gradient by single images, layers are normalised in the place
            of batches, unless it is given (Gulrajani et al., 2017, section 4). That of points is
            `"spectral"` or `"none"`.
        average_decay: of the moving average of the generator, which `generate` uses; in [0, 1), 0
            for none.
        label_smoothing: in [0, 0.5): real images have this much less than the label 1 (Salimans et
            al., 2016, section 3.4), for losses that compare with labels.
        augment: None, or what real and generated images go through before the discriminator sees
            them (Zhao et al., 2020), for small data: `"color,translation,cutout"`, some of them, or
            a layer that is called with images and a `seed`. `scores` and `discriminate` see images
            as they are.
        **kwargs: `condition`, which both networks are then given as a second input (class labels
            by the default ones: `ConditionalGAN`), `seed` (of noise and order;
            `keras.utils.set_random_seed` seeds the weights), `check_range`, `name`, `dtype`, as in
            `GenerativeModel`.

    Logs `discriminator_loss` (with its penalty), `generator_loss`, `real_score` and `fake_score`,
    the means of the discriminator's raw outputs.

    Raises:
        ValueError: for unknown names, numbers out of range, networks whose shapes do not fit, and
            a discriminator that ends in probabilities.
        TypeError: for networks that are no `keras.Model`, and augmentations without a seed.

    Example:

    ```python
    gan = kgen.GAN((28, 28), variant="dcgan")
    gan.compile()
    gan.fit(x, batch_size=32, epochs=20)
    kgen.plots.grid(gan.generate(64))
    ```
    """

    players = {"discriminator": ["discriminator"], "generator": ["generator"]}
    logs = ("discriminator_loss", "generator_loss", "real_score", "fake_score")
    conditions, conditioned = (Condition,), ("generator", "discriminator")
    decoder_name = "generator"
    differentiated_inputs = 1  # of the discriminator, by which a penalty takes its gradient

    def __init__(
        self,
        image_shape,
        latent_dim=None,
        variant="auto",
        loss=None,
        penalty=None,
        discriminator_steps=None,
        generator=None,
        discriminator=None,
        network=None,
        filters=None,
        normalization=None,
        average_decay=0.999,
        label_smoothing=0.0,
        augment=None,
        **kwargs,
    ):
        image_shape = normalize_image_shape(image_shape)
        others = {name: kwargs.pop(name) for name in self.network_names if name in kwargs}
        super().__init__(image_shape, **kwargs)
        if isinstance(variant, str) and variant == "auto":
            variant = "dcgan" if len(image_shape) == 3 else "points"
        row = VARIANTS[_known(variant, VARIANTS, "variant")]
        if len(image_shape) == 1:
            bounded = "spectral" if row.normalization == "spectral" else "none"
            row = dataclasses.replace(row, network="mlp", normalization=bounded)
        if latent_dim is None:
            latent_dim = 100 if len(image_shape) == 3 else 2
        self.variant, self.latent_dim = variant, positive(latent_dim, "latent_dim")
        self.network = _known(
            row.network if network is None else network, ADVERSARIAL_NETWORKS, "network"
        )
        self.filters = _filters(filters, self.network)
        objective = AdversarialObjective(
            row.loss if loss is None else loss,
            row.penalty if penalty is None else penalty,
            label_smoothing,
            augment,
        )
        self.adversarial_loss, self.penalty = objective.loss, objective.penalty
        self.label_smoothing, self.augment = objective.label_smoothing, objective.augment
        if self.augment is not None:
            _build(self.augment, image_shape)
        per_image = self.penalty is not None and self.penalty.per_image
        if normalization is None:
            layers_instead = per_image and row.normalization == "batch"
            normalization = "layer" if layers_instead else row.normalization
        self.normalization = _known(normalization, NORMALIZATIONS, "normalization")
        k = row.discriminator_steps if discriminator_steps is None else discriminator_steps
        self.minibatches_per_update = positive(k, "discriminator_steps")
        dtype = kwargs.get("dtype")
        average_decay = below(average_decay, 1, "average_decay")
        self.generator = given(generator, self.make_generator, dtype)
        self.discriminator = given(discriminator, self.make_discriminator, dtype)
        self.make_further_networks(dtype, **others)  # last, given or not: the order of variables
        self.check_networks()
        self.check_loss()
        self.generator_average = MovingAverage(self.generator, average_decay)
        self.ensure_built()

    def __setattr__(self, name, value):
        super().__setattr__(name, value)
        if name in self.network_names and hasattr(self, "generator_average"):  # another network
            self.check_networks()
            if name == "generator":
                self.generator_average = MovingAverage(value, self.generator_average.decay)

    @property
    def discriminator_steps(self):
        """The k of Algorithm 1: steps of the discriminator in an update."""
        return self.minibatches_per_update

    @property
    def adversarial_objective(self):
        """Loss, penalty, smoothing and augmentation in one."""
        return AdversarialObjective(
            self.adversarial_loss, self.penalty, self.label_smoothing, self.augment
        )

    def make_generator(self, dtype, **options):
        """The default generator, with further options of the network's function."""
        make, _, _ = ADVERSARIAL_NETWORKS[self.network]
        options |= self.size_options() | self.condition_options("generator")
        return make(self.image_shape, self.latent_dim, dtype=dtype, **options)

    def make_discriminator(self, dtype, **options):
        """The default discriminator, with further options of the network's function."""
        _, make, _ = ADVERSARIAL_NETWORKS[self.network]
        options["normalization"] = None if self.normalization == "none" else self.normalization
        options |= self.size_options() | self.condition_options("discriminator")
        return make(self.image_shape, dtype=dtype, **options)

    def size_options(self):
        """How wide default networks are, if not as wide as they come."""
        return {} if self.filters is None else {"filters": self.filters}

    def condition_options(self, network):
        """What a default network is told of the condition that it is given.

        Raises:
            ValueError: for conditions that are no class labels.
        """
        condition = self.given_to(network)
        if isinstance(condition, Nothing):
            return {}
        if not isinstance(condition, ClassLabels):
            raise ValueError(
                f"The default networks take class labels; the condition is {condition}: pass "
                f"{network}=, a keras.Model that takes it as its second input."
            )
        return {"num_classes": condition.num_classes}

    def make_further_networks(self, dtype):
        """Set the networks of further names: those that were passed, or default ones."""

    def get_config(self):
        """Everything that the constructor needs, with what the variant stood for."""
        return {
            **super().get_config(),
            "latent_dim": self.latent_dim,
            "variant": self.variant,
            "loss": self.adversarial_loss,
            "penalty": "none" if self.penalty is None else serialize(self.penalty),
            "discriminator_steps": self.discriminator_steps,
            "network": self.network,
            "filters": self.filters,
            "normalization": self.normalization,
            "average_decay": self.generator_average.decay,
            "label_smoothing": self.label_smoothing,
            "augment": self.augment and serialize(self.augment),
            # A subclass may have no player of one of them.
            "generator": serialize(self.generator),
            "discriminator": serialize(self.discriminator),
        }

    def default_optimizers(self):
        """The variant's: one for each player."""
        return {player: VARIANTS[self.variant].optimizer() for player in self.players}

    # The algorithm.

    def update(self, batch):
        """Algorithm 1: k steps of the discriminator, then one of the generator."""
        for real in self.minibatches(batch):
            fake = stop_gradient(self.sample(real, training=True))
            d_loss, scores = self.discriminator_step(real, fake)
        g_loss = self.minimize("generator", self.generator_loss, real)
        self.generator_average.update(self.step)
        return {"discriminator_loss": d_loss, "generator_loss": g_loss, **scores}

    def discriminator_step(self, real, fake):
        """One step of the discriminator; returns its loss and its mean scores by name."""
        results = self.minimize("discriminator", self.discriminator_loss, real, fake)
        self.adversarial_objective.constrain(self.variables_of("discriminator"))
        return results

    def measure(self, batch):
        """The losses of a batch, from new latents."""
        fake = self.sample(batch, training=False)
        d_loss, scores = self.discriminator_loss(batch, fake, training=False)
        g_loss = self.generator_loss(batch, training=False)
        return {"discriminator_loss": d_loss, "generator_loss": g_loss, **scores}

    def sample(self, real, training):
        """A generated batch, from new latents: a counterpart of each image of a real one."""
        _, *given = as_list(real)
        inputs = [self.noise(real), *(given if "generator" in self.conditioned else [])]
        return one_or_all([self.generator(one_or_all(inputs), training=training), *given])

    def noise(self, real):
        """Latents from N(0, I), one for each image of a batch."""
        count = ops.shape(tree.flatten(real)[0])[0]
        return keras.random.normal((count, self.latent_dim), seed=self.random)

    def discriminator_loss(self, real, fake, training):
        """Loss of the discriminator with its penalty, and its mean scores by name."""
        loss, of_real, of_fake = self.adversarial_objective.discriminator_loss(
            partial(self.run_discriminator, training=training),
            self.discriminator_inputs(real),
            self.discriminator_inputs(fake),
            self.random,
            step=self.step if training else None,
            differentiated=self.differentiated_inputs,
            preserving=lambda: self.preserving(self.discriminator),
        )
        loss = self.with_further_discriminator_losses(loss, real, fake, of_real, of_fake)
        return loss, self.score_logs(of_real[0], of_fake[0])

    def score_logs(self, real_score, fake_score):
        """What the logs say of the discriminator's scores `(N, 1)`, by name."""
        return {"real_score": ops.mean(real_score), "fake_score": ops.mean(fake_score)}

    def generator_loss(self, real, training):
        """Loss of the generator, for new latents."""
        fake = self.sample(real, training)
        loss, of_fake = self.adversarial_objective.generator_loss(
            partial(self.run_discriminator, training=training),
            self.discriminator_inputs(real),
            self.discriminator_inputs(fake),
            self.random,
        )
        return self.with_further_generator_losses(loss, fake, of_fake)

    def with_further_discriminator_losses(self, loss, real, fake, of_real, of_fake):
        """The adversarial loss and what else the discriminator minimizes.

        Args:
            loss: the adversarial one.
            real, fake: batches.
            of_real, of_fake: the discriminator's outputs for them, lists, scores first.
        """
        return loss

    def with_further_generator_losses(self, loss, fake, of_fake):
        """The adversarial loss and what else the generator minimizes."""
        return loss

    def discriminator_inputs(self, batch):
        """What of a batch the discriminator is given, as a list, images first."""
        inputs = as_list(batch)
        return inputs if "discriminator" in self.conditioned else inputs[:1]

    def run_discriminator(self, inputs, training):
        """Outputs of the discriminator for a list of inputs, as a list, scores `(N, 1)` first."""
        return as_list(self.discriminator(one_or_all(inputs), training=training))

    # What a user asks for.

    def call(self, inputs, training=False):
        """Images of latents, by the moving average of the generator."""
        return self.generator_average.model(inputs, training=training)

    def input_signature(self):
        """Latents, and the condition that the generator is given."""
        return one_or_all([*self.generator_signature().values()])

    def inputs_in(self, inputs, what="x", warns=True):
        """Check latents, and the condition beside them, as `GenerativeModel.inputs_in`."""
        found = super().inputs_in(inputs, what, warns)
        latents, *given = as_list(found)
        try:
            self.given_to("generator").of_images(len(latents), given[0] if given else None)
        except ValueError as error:
            raise ValueError(f"{what}: {error}") from error
        return found

    def inference_networks(self):
        """The average in the generator's place; no discriminator."""
        return {"generator": self.generator_average.model}

    def scores(self, images, labels=None, batch_size=None):
        """Raw outputs of the discriminator, float32 `(N,)`: higher is more real.

        Args:
            images: `(N, *image_shape)`.
            labels: of the images, one or `(N,)`, where the discriminator is given the condition.
            batch_size: images at a time.
        """
        images = self.images_in(images, image_shape=self.stage_image_shape)
        given = self.given_to("discriminator").of_images(len(images), labels)
        return self.infer(self._scores, images, *given, batch_size=batch_size)

    def discriminate(self, images, labels=None, batch_size=None):
        """Probability that each image is real, float32 `(N,)`; with smoothed labels, (1 - a) times.

        Takes what `scores` takes.

        Raises:
            NotImplementedError: for losses whose scores say no probability (Wasserstein, hinge, the
                relativistic ones); there are `scores`.
        """
        scores = self.scores(images, labels, batch_size)
        return self.adversarial_objective.probability(scores)

    def _scores(self, *inputs):
        score, *_ = self.run_discriminator([*inputs], training=False)
        return ops.reshape(ops.cast(score, "float32"), (-1,))

    def _decode(self, *inputs):
        return self.generator_average.model(one_or_all([*inputs]), training=False)

    # Checks.

    def check_networks(self):
        """Raise a `ValueError` unless the networks fit each other and the images."""
        made, told = {"images of shape": self.image_shape}, self.discriminator_outputs()
        check_outputs(self.generator, self.generator_signature(), made, "generator")
        check_outputs(self.discriminator, self.discriminator_signature(), told, "discriminator")
        refuse_probabilities(self.discriminator, told)
        refuse_sigmoid(self.generator, self.image_shape, "generator")

    def check_loss(self):
        """Raise a `ValueError` for the Wasserstein loss where nothing bounds the critic's slope."""
        bounded = self.penalty is not None or isinstance(self.discriminator, LeftOut)
        if self.adversarial_loss != "wasserstein" or bounded:
            return
        spectral = SpectralNormalization | keras.layers.SpectralNormalization
        if not any(isinstance(x, spectral) for x in self.discriminator._flatten_layers()):
            raise ValueError(
                "The loss 'wasserstein' needs a critic whose slope is bounded, or it grows without "
                'end: pass penalty="gradient_penalty" (or take variant="wgan_gp"), '
                'penalty="weight_clipping", or normalization="spectral".'
            )

    def generator_signature(self):
        """Shapes and dtypes of what the generator is given, without the batch axis, by its name."""
        latents = {"latents": ((self.latent_dim,), "float32")}
        return latents | self.given_to("generator").signatures()

    def discriminator_signature(self):
        """The same of the discriminator."""
        images = {"images": (self.image_shape, "float32")}
        return images | self.given_to("discriminator").signatures()

    def discriminator_outputs(self):
        """Shapes of the discriminator's outputs, without the batch axis, by what they are."""
        return {"scores (logits) of shape": (1,)}


def stop_gradient(batch):
    """A batch that passes no gradient on."""
    return tree.map_structure(ops.stop_gradient, batch)


def _known(name, table, what):
    if not isinstance(name, str) or name not in table:
        raise ValueError(f"Unknown {what} {name!r}; known are {[*table]}.")
    return name


def _filters(filters, network):
    if filters is None:
        return None
    if network == "mlp":
        raise ValueError(
            f"filters={filters!r} is of convolutional networks; the network is 'mlp'. Its widths "
            "are `hidden` of `kgen.networks.mlp_generator` and `mlp_discriminator`."
        )
    return positive(filters, "filters")


def _build(augment, image_shape):
    """Build the layer of augmentation: Keras would build the whole model by calling it."""
    if not augment.built:
        augment.build((None, *image_shape))
    if len(image_shape) != 3 and isinstance(augment, DifferentiableAugmentation):
        raise ValueError("augment is for images; these are points.")
