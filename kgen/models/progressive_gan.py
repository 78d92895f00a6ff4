"""The GAN that grows: progressive growing."""

import keras
from keras import ops

from kgen.arguments import flag, weight_of
from kgen.conditions import Nothing
from kgen.data.ranges import normalize_image_shape
from kgen.engine.stages import Stage
from kgen.losses import GradientPenalty
from kgen.models.gan import GAN, stop_gradient
from kgen.models.network_checks import given
from kgen.networks.progressive import progressive_discriminator, progressive_generator
from kgen.schedules import GrowingSchedule

OF_OTHERS = ("variant", "network", "filters", "normalization", "discriminator_steps")  # GAN's alone


@keras.saving.register_keras_serializable("kgen")
class ProgressiveGAN(GAN):
    r"""Progressive growing of GANs (Karras et al., 2018).

    Generator and discriminator begin with images of 4x4 pixels; each further resolution is faded
    in, then trained as it is, up to `image_shape`. Real images fade in as well (figure 2, and the
    authors' code). The loss is that of WGAN-GP with one step of each network in an update, plus
    $\epsilon E D(x)^2$ with $\epsilon = 0.001$, so that scores do not drift (appendix A.1).

    `fit(images)` is the whole training: it runs the schedule to its end, or with `epochs=` a part
    of it, and the next `fit` goes on from there, also that of a model that was loaded. Batch sizes
    and learning rates are the schedule's, optimizers begin anew at every resolution; what is not
    grown yet costs nothing. Each resolution has its own compiled step.

    Minibatch statistics make the scores of images depend on those beside them, in `scores` too.

    While it grows, `generate`, `decode`, `preview`, `scores`, `evaluate` and validation are of the
    resolution that is reached (`stage_image_shape`), not enlarged.

    Args:
        image_shape: `(H, W, C)` of the images at the end; H = W, a power of two from 8 to 1024.
        latent_dim: width of the latent.
        schedule: `kgen.schedules.GrowingSchedule` for this size; by default the paper's, for one
            GPU: 600,000 images to fade in and 600,000 more for each resolution.
        growing: whether it grows. Without, the largest networks train from the first image, as
            many images as the schedule has, in the batches and with the rates of its last part.
        filters_base, max_filters, pixel_normalization, equalized: of the default networks
            (`kgen.networks.progressive_generator`).
        minibatch_statistics: of the default discriminator.
        generator, discriminator: networks that are called with `level` and `alpha`, as
            `kgen.networks.progressive_generator` and `progressive_discriminator` make them.
        loss, penalty: as in `kgen.GAN`.
        drift: epsilon; 0 for none.
        average_decay: of the moving average of the generator, which `generate` uses; in [0, 1). It
            begins anew at each resolution, whose layers would else keep their first weights in it
            for long (in the paper it does not).
        **kwargs: `seed` (of noise and order; `keras.utils.set_random_seed` seeds the weights),
            `check_range`, `name`, `dtype`, as in `GenerativeModel`.

    Logs what `kgen.GAN` logs, and `alpha`, how far the resolution is faded in.

    Raises:
        ValueError: for sizes that are no power of two, a schedule for another size, and what
            `kgen.GAN` refuses.

    Example:

    ```python
    schedule = kgen.schedules.GrowingSchedule(64, fade_images=20_000, stable_images=20_000)
    print(schedule)
    gan = kgen.ProgressiveGAN((64, 64, 3), latent_dim=64, schedule=schedule, max_filters=64)
    gan.compile()
    gan.fit(images, callbacks=[kgen.callbacks.TrainingCheckpoint("run")])
    gan.generate(16)
    ```
    """

    logs = (*GAN.logs, "alpha")
    conditions, conditioned = (Nothing,), ()
    stages_are_set_by = "schedule=GrowingSchedule(...)"

    def __init__(
        self,
        image_shape,
        latent_dim=512,
        schedule=None,
        *,
        growing=True,
        filters_base=8192,
        max_filters=512,
        pixel_normalization=True,
        equalized=True,
        minibatch_statistics=True,
        generator=None,
        discriminator=None,
        loss="wasserstein",
        penalty=None,
        drift=0.001,
        average_decay=0.999,
        **kwargs,
    ):
        shape = normalize_image_shape(image_shape)
        self.schedule = _schedule_of(schedule, shape)
        self.growing, self.drift = flag(growing, "growing"), weight_of(drift, "drift")
        options = {"filters_base": filters_base, "max_filters": max_filters}
        options |= {"equalized": equalized, "dtype": kwargs.get("dtype")}
        normalized = {"pixel_normalization": pixel_normalization}
        told = {"minibatch_statistics": minibatch_statistics}
        super().__init__(
            shape,
            latent_dim,
            "wgan_gp",
            loss=loss,
            penalty=GradientPenalty(10.0) if penalty is None else penalty,
            discriminator_steps=1,
            generator=given(
                generator, progressive_generator, shape, latent_dim, **normalized, **options
            ),
            discriminator=given(discriminator, progressive_discriminator, shape, **told, **options),
            average_decay=average_decay,
            **kwargs,
        )

    def get_config(self):
        """Everything that the constructor needs, networks included."""
        config = super().get_config()
        for name in (*OF_OTHERS, "label_smoothing", "augment"):
            del config[name]
        schedule = keras.saving.serialize_keras_object(self.schedule)
        return {**config, "schedule": schedule, "growing": self.growing, "drift": self.drift}

    def default_optimizers(self):
        """Adam with betas 0 and 0.99 and epsilon 1e-8 (appendix A.1)."""
        adam = {"beta_1": 0.0, "beta_2": 0.99, "epsilon": 1e-8}
        return {player: keras.optimizers.Adam(1e-3, **adam) for player in self.players}

    # Growing.

    def stages(self):
        """One stage for each resolution, by the schedule."""
        levels = self.schedule.levels
        if not self.growing:
            last = levels[-1]
            steps = -(-self.schedule.images // last.batch_size)
            epochs = sum(level.epochs for level in levels)
            return [Stage(epochs, -(-steps // epochs), last.batch_size, name="full size")]
        return [
            Stage(
                level.epochs,
                level.steps // level.epochs,
                level.batch_size,
                level.size,
                f"{level.size}x{level.size}",
            )
            for level in levels
        ]

    def optimizers_of_stage(self, optimizers):
        """Those of `compile`, with the schedule's learning rate."""
        for optimizer in optimizers.values():
            optimizer.learning_rate = self.schedule.levels[self.level].learning_rate
        return optimizers

    @property
    def level(self):
        """Index of the resolution that is being trained, 0 for 4x4 pixels."""
        return self.stage if self.growing else len(self.schedule.levels) - 1

    def variables_of(self, player):
        """Those that are at work at this resolution."""
        return getattr(self, player).variables_at(self.level)

    def images_seen(self):
        """Real images in all updates so far, an int32 scalar."""
        level = self.schedule.levels[self.level]
        before = level.start if self.growing else 0
        return before + level.batch_size * self.updates_at_level()

    def updates_at_level(self):
        """Updates at this resolution so far, an int32 scalar."""
        before = self.schedule.levels[: self.level] if self.growing else ()
        return ops.convert_to_tensor(self.step) - sum(level.steps for level in before)

    def alpha(self):
        """How far this resolution is faded in: a float32 scalar in [0, 1]."""
        if not self.growing:
            return ops.ones((), "float32")
        return self.schedule.alpha(self.images_seen(), self.level)

    # The algorithm.

    def update(self, batch):
        """A step of the discriminator, then one of the generator."""
        real, alpha = self.faded(batch), self.alpha()
        fake = stop_gradient(self.sample(real, training=True))
        d_loss, scores = self.discriminator_step(real, fake)
        g_loss = self.minimize("generator", self.generator_loss, real)
        self.generator_average.update(self.updates_at_level())
        return {"discriminator_loss": d_loss, "generator_loss": g_loss, **scores, "alpha": alpha}

    def measure(self, batch):
        """The losses of a batch, from new latents."""
        return super().measure(self.faded(batch))

    def faded(self, images):
        """Real images as far as they are faded in: a blend with what half the size holds."""
        if not self.level or not self.growing:
            return images
        small = ops.average_pool(images, 2, 2, "valid", "channels_last")
        small, alpha = ops.repeat(ops.repeat(small, 2, axis=1), 2, axis=2), self.alpha()
        return (1 - alpha) * small + alpha * images

    def sample(self, real, training):
        """Generated images of this resolution."""
        return self._grown(self.generator, self.noise(real))

    def run_discriminator(self, inputs, training):
        """Scores of images of this resolution, as a list."""
        return [self._grown(self.discriminator, inputs[0])]

    def _grown(self, network, inputs):
        return network(inputs, level=self.level, alpha=self.alpha())

    def with_further_discriminator_losses(self, loss, real, fake, of_real, of_fake):
        """The loss, and the drift of the scores of real images."""
        return loss + self.drift * ops.mean(ops.square(of_real[0]))

    # What a user asks for.

    def call(self, inputs, training=False):
        """Images of latents, by the moving average of the generator."""
        return self._decode(inputs)

    def _decode(self, latents):
        return self._grown(self.generator_average.model, latents)


def _schedule_of(schedule, image_shape):
    """A schedule for images of this size, by default the paper's."""
    if schedule is None:
        return GrowingSchedule(image_shape[0])
    if not isinstance(schedule, GrowingSchedule):
        raise TypeError(f"schedule must be a kgen.schedules.GrowingSchedule; got {schedule!r}.")
    if schedule.size != image_shape[0]:
        raise ValueError(
            f"The schedule grows to {schedule.size}x{schedule.size} pixels, and image_shape is "
            f"{image_shape}: make it with GrowingSchedule({image_shape[0]}, ...)."
        )
    return schedule
