"""A small adversarial model on points: every mechanism of the engine in one `update`."""

import keras
import numpy as np
from as_new import as_new
from keras import layers, ops

import kgen


@keras.saving.register_keras_serializable("kgen_tests")
class ToyGAN(kgen.GenerativeModel):
    """WGAN-GP on points: k critic steps, batch normalisation, dropout, penalty, average."""

    players = {"discriminator": ["discriminator"], "generator": ["generator"]}
    logs = ("discriminator_loss", "generator_loss")

    def __init__(
        self, k=2, batch_norm=True, dropout=0.1, generator=None, discriminator=None, **kwargs
    ):
        kwargs.setdefault("image_shape", (2,))
        dtype = kwargs.get("dtype")
        super().__init__(
            generator=generator or make_generator(batch_norm, dtype),
            discriminator=discriminator or make_discriminator(dropout, dtype),
            **kwargs,
        )
        self.minibatches_per_update = k
        self.generator_average = kgen.MovingAverage(self.generator, decay=0.9)

    def get_config(self):
        return {**super().get_config(), "k": self.minibatches_per_update}

    def default_optimizers(self):
        return {player: keras.optimizers.Adam(1e-3, beta_1=0.5) for player in self.players}

    def input_signature(self):
        return (8,), "float32"

    def call(self, inputs, training=False):
        return self.generator_average.model(inputs, training=training)

    def noise(self, real):
        return keras.random.normal((ops.shape(real)[0], 8), seed=self.random)

    def critic_loss(self, real, fake, t, training):
        between = t * real + (1 - t) * fake
        slope = self.input_gradient(lambda x: self.discriminator(x, training=training), between)
        penalty = ops.mean((ops.sqrt(ops.sum(slope**2, axis=-1) + 1e-12) - 1) ** 2)
        score = lambda x: ops.mean(self.discriminator(x, training=training))  # noqa: E731
        return score(fake) - score(real) + 10 * penalty

    def generator_loss(self, z, training):
        images = self.generator(z, training=training)
        return -ops.mean(self.discriminator(images, training=training))

    def critic_inputs(self, real, training):
        fake = ops.stop_gradient(self.generator(self.noise(real), training=training))
        t = keras.random.uniform((ops.shape(real)[0], 1), seed=self.random)
        return real, fake, t

    def update(self, batch):
        for real in self.minibatches(batch):
            d_loss = self.minimize(
                "discriminator", self.critic_loss, *self.critic_inputs(real, True)
            )
        g_loss = self.minimize("generator", self.generator_loss, self.noise(real))
        self.generator_average.update()
        return {"discriminator_loss": d_loss, "generator_loss": g_loss}

    def measure(self, batch):
        real, fake, t = self.critic_inputs(batch, training=False)
        return {
            "discriminator_loss": self.critic_loss(real, fake, t, training=False),
            "generator_loss": self.generator_loss(self.noise(batch), training=False),
        }

    def _generate(self, z):
        return self.generator_average.model(z, training=False)

    def generate(self, n, labels=None, seed=None, batch_size=None):
        return self.infer(self._generate, self.latents(n, 8, seed), batch_size=batch_size)


def make_generator(batch_norm=True, dtype=None):
    norm = [layers.BatchNormalization(dtype=dtype)] if batch_norm else []
    return keras.Sequential(
        [
            keras.Input((8,)),
            layers.Dense(32, dtype=dtype),
            *norm,
            layers.ReLU(dtype=dtype),
            layers.Dense(2, dtype="float32"),
        ],
        name="generator",
    )


def make_discriminator(dropout=0.1, dtype=None):
    drop = [layers.Dropout(dropout, dtype=dtype)] if dropout else []
    return keras.Sequential(
        [
            keras.Input((2,)),
            layers.Dense(32, "relu", dtype=dtype),
            *drop,
            layers.Dense(1, dtype="float32"),
        ],
        name="discriminator",
    )


def points(n=640, seed=0):
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(n, 2)) * 0.1 + [1, 2]).astype("float32")


def compiled():
    """The same model each time, whatever was built before it in this process."""
    # Without XLA, TensorFlow's last bits follow the layers' names.
    keras.utils.clear_session(free_memory=False)
    keras.utils.set_random_seed(3)
    model = ToyGAN(k=2)
    model.compile()
    return model


def toy():
    """As `compiled`, one for all tests."""
    return as_new("toy", compiled)
