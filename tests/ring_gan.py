"""A small adversarial model of the ring of eight Gaussians, which can be made to fail."""

import keras
from keras import layers, ops

import kgen


def network(inputs, outputs, width=64, name=None, activation=None):
    hidden = [layers.Dense(width, "relu") for _ in range(2)]
    small = keras.initializers.RandomNormal(stddev=0.02)  # as in DCGAN
    last = layers.Dense(outputs, activation, kernel_initializer=small, dtype="float32")
    return keras.Sequential([keras.Input((inputs,)), *hidden, last], name=name)


class Adversarial(kgen.GenerativeModel):
    """What the losses share: generator, discriminator, k steps of the latter for one."""

    players = {"discriminator": ["discriminator"], "generator": ["generator"]}
    logs = ("discriminator_loss", "generator_loss")
    latent_dim = 8

    def __init__(self, k=1, activation=None, **kwargs):
        super().__init__(
            image_shape=(2,),
            generator=network(self.latent_dim, 2, name="generator", activation=activation),
            discriminator=network(2, 1, name="discriminator"),
            **kwargs,
        )
        self.minibatches_per_update = k

    def fake(self, real):
        z = keras.random.normal((ops.shape(real)[0], self.latent_dim), seed=self.random)
        return self.generator(z)

    def update(self, batch):
        for real in self.minibatches(batch):
            fake = ops.stop_gradient(self.fake(real))
            t = keras.random.uniform((ops.shape(real)[0], 1), seed=self.random)
            d_loss = self.minimize("discriminator", self.discriminator_loss, real, fake, t)
        g_loss = self.minimize("generator", self.generator_loss, real)
        return {"discriminator_loss": d_loss, "generator_loss": g_loss}

    def _generate(self, z):
        return self.generator(z)

    def generate(self, n, labels=None, seed=None, batch_size=None):
        z = self.latents(n, self.latent_dim, seed)
        return self.infer(self._generate, z, batch_size=batch_size)


class GAN(Adversarial):
    """Goodfellow et al. (2014): with `minimax`, the generator's loss of their equation 1."""

    def __init__(self, minimax=False, **kwargs):
        super().__init__(**kwargs)
        self.minimax = minimax

    def discriminator_loss(self, real, fake, t, training):
        real, fake = (self.discriminator(x) for x in (real, fake))
        return ops.mean(ops.softplus(-real)) + ops.mean(ops.softplus(fake))

    def generator_loss(self, real, training):
        scores = self.discriminator(self.fake(real))
        return ops.mean(-ops.softplus(scores) if self.minimax else ops.softplus(-scores))

    def _discriminate(self, x):
        return ops.sigmoid(self.discriminator(x))

    def discriminate(self, x):
        return self.infer(self._discriminate, x)


class WassersteinGAN(Adversarial):
    """Gulrajani et al. (2017)."""

    def discriminator_loss(self, real, fake, t, training):
        slope = self.input_gradient(self.discriminator, t * real + (1 - t) * fake)
        penalty = ops.mean((ops.sqrt(ops.sum(slope**2, axis=-1) + 1e-12) - 1) ** 2)
        gap = ops.mean(self.discriminator(fake)) - ops.mean(self.discriminator(real))
        return gap + 0.1 * penalty

    def generator_loss(self, real, training):
        return -ops.mean(self.discriminator(self.fake(real)))


def fit(model, rates, callbacks=(), epochs=10, steps=100, beta_1=0.5, seed=0):
    """Fit on the ring; `rates` are those of discriminator and generator."""
    points, _ = kgen.data.toy2d.draw("ring", 8000, seed=seed)
    players = zip(model.players, rates, strict=True)
    model.compile({p: keras.optimizers.Adam(rate, beta_1=beta_1) for p, rate in players})
    options = {"epochs": epochs, "steps_per_epoch": steps, "callbacks": [*callbacks]}
    return model.fit(points, batch_size=128, verbose=0, **options)
