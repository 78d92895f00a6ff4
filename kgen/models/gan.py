"""The generative adversarial network."""

import dataclasses
import inspect
from collections.abc import Callable
from functools import partial

import keras
from keras import ops, tree

from kgen.arguments import below, positive
from kgen.data.ranges import normalize_image_shape
from kgen.engine.left_out import LeftOut
from kgen.engine.moving_average import MovingAverage
from kgen.layers.augmentation import DifferentiableAugmentation
from kgen.layers.spectral_normalization import SpectralNormalization
from kgen.losses import ADVERSARIAL_LOSSES, R1, GradientPenalty, WeightClipping, get_penalty
from kgen.models.latent_model import (
    LatentModel,
    given,
    last_activations,
    output_shapes,
    refuse_sigmoid,
)
from kgen.networks import ADVERSARIAL_NETWORKS

serialize = keras.saving.serialize_keras_object
Adam, RMSprop = keras.optimizers.Adam, keras.optimizers.RMSprop
ADAM = partial(Adam, 2e-4, 0.5)  # Radford et al. (2016), section 4
NORMALIZATIONS = ("batch", "layer", "spectral", "none")
PROBABILITIES = (keras.activations.sigmoid, keras.activations.softmax)


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
        **kwargs: `seed` (of noise and order; `keras.utils.set_random_seed` seeds the weights),
            `check_range`, `name`, `dtype`, as in `GenerativeModel`.

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
    penalised_inputs = 1  # of the discriminator, by which a penalty takes its gradient

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
        loss = row.loss if loss is None else loss
        self.adversarial = _known(loss, ADVERSARIAL_LOSSES, "loss")
        self.penalty = get_penalty(row.penalty if penalty is None else penalty)
        per_image = isinstance(self.penalty, GradientPenalty | R1) and row.normalization == "batch"
        if normalization is None:
            normalization = "layer" if per_image else row.normalization
        self.normalization = _known(normalization, NORMALIZATIONS, "normalization")
        k = row.discriminator_steps if discriminator_steps is None else discriminator_steps
        self.minibatches_per_update = positive(k, "discriminator_steps")
        self.label_smoothing = _smoothing(label_smoothing, self.adversarial)
        self.augment = _augmentation(augment, image_shape)
        dtype = kwargs.get("dtype")
        average_decay = below(average_decay, 1, "average_decay")
        self.generator = given(generator, self.make_generator, dtype)
        self.discriminator = given(discriminator, self.make_discriminator, dtype)
        self.make_others(dtype, **others)  # last, whether given or not: the order of variables
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

    def make_generator(self, dtype, **options):
        """The default generator, with further options of the network's function."""
        make, _, _ = ADVERSARIAL_NETWORKS[self.network]
        options |= self.widths()
        return make(self.image_shape, self.latent_dim, dtype=dtype, **options)

    def make_discriminator(self, dtype, **options):
        """The default discriminator, with further options of the network's function."""
        _, make, _ = ADVERSARIAL_NETWORKS[self.network]
        options["normalization"] = None if self.normalization == "none" else self.normalization
        options |= self.widths()
        return make(self.image_shape, dtype=dtype, **options)

    def widths(self):
        """What says how wide default networks are, if they are not as wide as they come."""
        return {} if self.filters is None else {"filters": self.filters}

    def make_others(self, dtype):
        """Set the networks of further names: those that were passed, or default ones."""

    def get_config(self):
        """Everything that the constructor needs, with what the variant stood for."""
        return {
            **super().get_config(),
            "latent_dim": self.latent_dim,
            "variant": self.variant,
            "loss": self.adversarial,
            "penalty": "none" if self.penalty is None else serialize(self.penalty),
            "discriminator_steps": self.minibatches_per_update,
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
            fake = constant(self.sample(real, training=True))
            d_loss, scores = self.discriminator_step(real, fake)
        g_loss = self.minimize("generator", self.generator_loss, real)
        self.generator_average.update(self.step)
        return {"discriminator_loss": d_loss, "generator_loss": g_loss, **scores}

    def discriminator_step(self, real, fake):
        """One step of the discriminator; returns its loss and its mean scores by name."""
        results = self.minimize("discriminator", self.discriminator_loss, real, fake)
        if isinstance(self.penalty, WeightClipping):
            self.penalty.clip(self.variables_of("discriminator"))
        return results

    def measure(self, batch):
        """The losses of a batch, from new latents."""
        fake = self.sample(batch, training=False)
        d_loss, scores = self.discriminator_loss(batch, fake, training=False)
        g_loss = self.generator_loss(batch, training=False)
        return {"discriminator_loss": d_loss, "generator_loss": g_loss, **scores}

    def sample(self, real, training):
        """What the generator makes of new latents, a counterpart of each image of a batch."""
        return self.generator(self.noise(real), training=training)

    def noise(self, real):
        """Latents from N(0, I), one for each image of a batch."""
        count = ops.shape(tree.flatten(real)[0])[0]
        return keras.random.normal((count, self.latent_dim), seed=self.random)

    def discriminator_loss(self, real, fake, training):
        """Loss of the discriminator with its penalty, and its mean scores by name."""
        real, fake = self.augmented(real), self.augmented(fake)
        (real_score, *_), (fake_score, *_) = (self.outputs(x, training) for x in (real, fake))
        return self.told_apart(real_score, fake_score, real, fake, training)

    def generator_loss(self, real, training):
        """Loss of the generator, for new latents."""
        fake_score, *_ = self.judged(self.sample(real, training), training)
        return self.fooled(fake_score, real, training)

    def shown(self, batch):
        """What of a batch the discriminator is given, as a list, images first: here everything."""
        return parts(batch)

    def augmented(self, batch):
        """What of a batch the discriminator is given, its images augmented."""
        images, *given = self.shown(batch)
        if self.augment is not None:
            images = self.augment(images, seed=self.random)
        return [images, *given]

    def judged(self, batch, training):
        """Outputs of the discriminator as a list, scores `(N, 1)` first, after augmentation."""
        return self.outputs(self.augmented(batch), training)

    def outputs(self, given, training):
        """Outputs of the discriminator as a list, scores `(N, 1)` first, for what it is given."""
        return parts(self.discriminator(whole(*given), training=training))

    def told_apart(self, real_score, fake_score, real, fake, training):
        """The adversarial loss of the discriminator with its penalty, and its scores by name.

        `real` and `fake` are lists of what it was given: the penalty is taken by the first of them.
        """
        label = 1.0 - self.label_smoothing
        loss = ADVERSARIAL_LOSSES[self.adversarial].discriminator(real_score, fake_score, label)
        if self.penalty is not None and not isinstance(self.penalty, WeightClipping):
            loss = loss + self._penalty(real, fake, training)
        scores = {"real_score": ops.mean(real_score), "fake_score": ops.mean(fake_score)}
        return loss, scores

    def fooled(self, fake_score, real, training):
        """The adversarial loss of the generator."""
        loss, real_score = ADVERSARIAL_LOSSES[self.adversarial], None
        if loss.relative:
            real_score, *_ = self.judged(real, training)
        return loss.generator(real_score, fake_score)

    def _penalty(self, real, fake, training):
        """The penalty of the gradient, every n-th update n times, in one compiled step."""
        penalty, n = self.penalty, self.penalised_inputs
        points, given = penalty.at(real[:n], fake[:n], self.random), real[n:]

        def score(x):
            return self.outputs([*x, *given], training)[0]

        with self.preserving(self.discriminator):
            if penalty.every == 1 or not training:
                return penalty(score, points)
            due = ops.equal(ops.mod(ops.convert_to_tensor(self.step), penalty.every), 0)
            now = lambda: penalty.every * penalty(score, points)  # noqa: E731
            return ops.cond(due, now, lambda: ops.zeros((), "float32"))

    # What a user asks for.

    def call(self, inputs, training=False):
        """Images of latents, by the moving average of the generator."""
        return self.generator_average.model(inputs, training=training)

    def input_signature(self):
        """Latents."""
        return (self.latent_dim,), "float32"

    def inference_networks(self):
        """The average in the generator's place; no discriminator."""
        return {"generator": self.generator_average.model}

    def scores(self, images, batch_size=None):
        """Raw outputs of the discriminator, float32 `(N,)`: higher is more real."""
        return self.infer(self._scores, self.images_in(images), batch_size=batch_size)

    def discriminate(self, images, batch_size=None):
        """Probability that each image is real, float32 `(N,)`; with smoothed labels, (1 - a) times.

        Raises:
            NotImplementedError: for losses whose scores say no probability (Wasserstein, hinge, the
                relativistic ones); there are `scores`.
        """
        return self.probabilities(self.scores(images, batch_size))

    def probabilities(self, scores):
        """Probabilities of being real from raw outputs, as in `discriminate`."""
        probability = ADVERSARIAL_LOSSES[self.adversarial].probability
        if probability is None:
            raise NotImplementedError(
                f"The scores of the loss {self.adversarial!r} are no probabilities: use scores()."
            )
        return ops.convert_to_numpy(probability(scores))

    def _scores(self, *given):
        score, *_ = self.outputs(given, training=False)
        return ops.reshape(ops.cast(score, "float32"), (-1,))

    def _decode(self, latents):
        return self.generator_average.model(latents, training=False)

    # Checks.

    def check_networks(self):
        """Raise a `ValueError` unless the networks fit each other and the images."""
        made = {"images of shape": self.image_shape}
        check_outputs(self.generator, *self.generator_inputs(), made, "generator")
        judged = self.judgements()
        check_outputs(self.discriminator, *self.discriminator_inputs(), judged, "discriminator")
        for what, activation in zip(judged, last_activations(self.discriminator), strict=False):
            if "logits" in what and activation in PROBABILITIES:
                raise ValueError(
                    f"The discriminator ends in a {activation.__name__}, but it must return "
                    f"{what.removesuffix(' of shape')}, from which losses compute probabilities: "
                    "leave the activation out."
                )
        refuse_sigmoid(self.generator, self.image_shape, "generator")

    def check_loss(self):
        """Raise a `ValueError` for the Wasserstein loss where nothing bounds the critic's slope."""
        bounded = self.penalty is not None or isinstance(self.discriminator, LeftOut)
        if self.adversarial != "wasserstein" or bounded:
            return
        spectral = SpectralNormalization | keras.layers.SpectralNormalization
        if not any(isinstance(x, spectral) for x in self.discriminator._flatten_layers()):
            raise ValueError(
                "The loss 'wasserstein' needs a critic whose slope is bounded, or it grows without "
                'end: pass penalty="gradient_penalty" (or take variant="wgan_gp"), '
                'penalty="weight_clipping", or normalization="spectral".'
            )

    def generator_inputs(self):
        """What the generator must take, symbolically, and why."""
        return symbolic((self.latent_dim,)), f"latent_dim is {self.latent_dim}"

    def discriminator_inputs(self):
        """What the discriminator must take, symbolically, and why."""
        return symbolic(self.image_shape), f"image_shape is {self.image_shape}"

    def judgements(self):
        """Shapes of the discriminator's outputs by what they are."""
        return {"scores (logits) of shape": (1,)}


def parts(batch):
    """Images alone, or images and what goes with them, as a list."""
    return [*batch] if isinstance(batch, list | tuple) else [batch]


def whole(*parts):
    """What `parts` took apart."""
    return parts[0] if len(parts) == 1 else parts


def constant(batch):
    """A batch that passes no gradient on."""
    return tree.map_structure(ops.stop_gradient, batch)


def symbolic(shape, dtype="float32"):
    """A batch of things of this shape, without values."""
    return keras.KerasTensor((None, *shape), dtype)


def check_outputs(network, inputs, reason, expected, name):
    """Raise a `ValueError` unless a network takes these inputs and its outputs have these shapes.

    Args:
        network: `keras.Model`; one that is left out of a file for inference is passed over.
        inputs, reason, name: as in `output_shapes`.
        expected: shapes of the outputs without the batch axis, None for any size, by what they are.
    """
    if isinstance(network, LeftOut):
        return
    found = output_shapes(network, inputs, name, reason)
    if isinstance(found, dict):
        raise ValueError(f"The {name} must return a tensor or a list of them; it returns {found}.")
    wanted = [(None, *shape) for shape in expected.values()]
    ranks = [len(shape) for shape in wanted] == [len(shape) for shape in found]
    if not ranks or any(
        w not in (None, f) for w, f in zip(sum(wanted, ()), sum(found, ()), strict=True)
    ):
        said = " and ".join(f"{what} {(None, *shape)}" for what, shape in expected.items())
        raise ValueError(f"The {name} must return {said}; it returns {found}.")


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


def _smoothing(amount, loss):
    amount = below(amount, 0.5, "label_smoothing")
    if amount and not ADVERSARIAL_LOSSES[loss].smooths:
        smooth = [name for name, other in ADVERSARIAL_LOSSES.items() if other.smooths]
        raise ValueError(f"The loss {loss!r} has no labels to smooth; {smooth} have.")
    return amount


def _augmentation(augment, image_shape):
    """A layer from what the constructor was given."""
    if augment is None:
        return None
    if isinstance(augment, keras.layers.Layer):
        taken = inspect.signature(augment.call).parameters
        if "seed" not in taken and "kwargs" not in taken:
            raise TypeError(
                f"augment is called with images and a seed, by which a run can be resumed; "
                f"{type(augment).__name__} takes {[*taken]}. Wrap it in a layer that takes both."
            )
        if not augment.built:  # Keras would build the whole model by calling it with images
            augment.build((None, *image_shape))
        return augment
    if len(image_shape) != 3:
        raise ValueError("augment is for images; these are points.")
    try:
        return DifferentiableAugmentation(augment)
    except ValueError as error:
        raise ValueError(f"augment: {error}") from error
