"""Families to come, each in a few lines: what an author overrides, and nothing else."""

import itertools

import keras
import numpy as np
import pytest
from keras import layers, ops

import kgen
from kgen.conditions import ClassLabels, Nothing, Tokens
from kgen.engine.random import Draws, host_generator

SHAPE = (8, 8, 1)
X = np.random.default_rng(0).integers(0, 256, (12, 8, 8, 1), "uint8")


@keras.saving.register_keras_serializable("sketches")
class Denoiser(kgen.GenerativeModel):
    """A network of noisy images and their time; a sampler of any number of steps."""

    players = {"denoiser": ["denoiser"]}

    def objective(self, images, training):
        count = ops.shape(images)[0]
        t = keras.random.uniform((count, 1), seed=self.random)
        noise = keras.random.normal(ops.shape(images), seed=self.random)
        at = ops.reshape(t, (-1, 1, 1, 1))
        found = self.denoiser([(1 - at) * images + at * noise, t], training=training)
        return ops.mean(ops.square(found - images))

    def call(self, inputs, training=False):
        return self.denoiser(inputs, training=training)

    def generate(self, n, labels=None, seed=None, num_steps=10, strength=1.0, batch_size=None):
        noise = self.latents(n, int(np.prod(self.image_shape)), seed)
        noise = noise.reshape(n, *self.image_shape)
        static = {"num_steps": num_steps}
        return self.infer(self._sample, noise, strength, static=static, batch_size=batch_size)

    def _sample(self, noise, strength, num_steps):
        x = noise
        for step in range(num_steps, 0, -1):  # straight on to where the image seems to be
            t = ops.full((ops.shape(noise)[0], 1), step / num_steps)
            x = x + strength * (self.denoiser([x, t], training=False) - x) / step
        return x


@keras.saving.register_keras_serializable("sketches")
class Affine(kgen.GenerativeModel):
    """An invertible model of points, `z = (x - b) exp(-s)`, with its log-determinant."""

    players = {"flow": ["flow"]}

    def objective(self, points, training):
        z, log_determinant = self.flow(points, training=training)
        log_density = -0.5 * ops.sum(ops.square(z) + np.log(2 * np.pi), axis=-1)
        return -ops.mean(log_density + log_determinant)

    def call(self, inputs, training=False):
        return self.flow(inputs, training=training)[0]

    def encode(self, points, batch_size=None):
        return self.infer(self._encode, self.images_in(points), batch_size=batch_size)

    def _encode(self, points):
        return self.flow(points, training=False)

    def decode(self, latents, batch_size=None):
        return self.infer(self._decode, latents, batch_size=batch_size)

    def _decode(self, latents):
        return self.flow.inverse(latents)

    def generate(self, n, labels=None, seed=None, batch_size=None):
        return self.decode(self.latents(n, *self.image_shape, seed), batch_size)


@keras.saving.register_keras_serializable("sketches")
class Scale(layers.Layer):
    """`(x - b) exp(-s)` and its log-determinant."""

    def build(self, shape):
        self.b, self.s = (self.add_weight((shape[-1],), "zeros", name=n) for n in ("b", "s"))

    def call(self, x):
        z = (x - self.b) * ops.exp(-self.s)
        return z, -ops.sum(self.s) * ops.ones((ops.shape(x)[0],))

    def inverse(self, z):
        return z * ops.exp(self.s) + self.b


@keras.saving.register_keras_serializable("sketches")
class Masked(layers.Dense):
    """A dense layer whose kernel is multiplied by a mask of zeros and ones."""

    def __init__(self, units, mask, **kwargs):
        super().__init__(units, **kwargs)
        self.mask = mask

    def call(self, inputs):
        return ops.matmul(inputs, self.kernel * ops.convert_to_tensor(self.mask)) + self.bias

    def get_config(self):
        return {**super().get_config(), "mask": self.mask}


@keras.saving.register_keras_serializable("sketches")
class MADE(kgen.GenerativeModel):
    """Germain et al. (2015): the logits of each pixel from those before it, in one network."""

    players = {"network": ["network"]}
    conditions, conditioned = (Nothing, ClassLabels), ("network",)

    def objective(self, batch, training):
        images, *given = keras.tree.flatten(batch)
        return -ops.mean(self._log_likelihood(images, *given, training=training))

    def log_likelihood(self, images, labels=None, batch_size=None):
        images = self.images_in(images)
        given = self.given_to("network").of_images(len(images), labels)
        return self.infer(self._log_likelihood, images, *given, batch_size=batch_size)

    def generate(self, n, labels=None, seed=None, batch_size=None):
        shape, random = (self.how_many(n), *self.image_shape), host_generator(seed)
        noise = Draws(shape, lambda count: random.random((count, *shape[1:]), "float32"))
        given = self.given_to("network").draw(n, labels)
        return self.infer(self._generate, noise, *given, batch_size=batch_size)

    def _logits(self, images, *given, training=False):
        return self.network([images, *given] if given else images, training=training)

    def _log_likelihood(self, images, *given, training=False):
        logits = self._logits(images, *given, training=training)
        return -ops.sum(ops.softplus(-images * logits), axis=(1, 2, 3))  # pixels are -1 and 1

    def _generate(self, noise, *given):
        def decide(_, images):  # a pixel is right as soon as those before it are
            return ops.where(noise < ops.sigmoid(self._logits(images, *given)), 1.0, -1.0)

        return ops.fori_loop(0, int(np.prod(self.image_shape)), decide, ops.zeros_like(noise))


def masked_network(shape, units, num_classes=None):
    """Pixels and hidden units have degrees: a unit sees those of its degree or lower."""
    pixels = np.arange(1, 1 + np.prod(shape))
    hidden = 1 + np.arange(units) % (len(pixels) - 1)
    see, decide = pixels[:, None] <= hidden, hidden[:, None] < pixels
    image, label = keras.Input(shape), keras.Input((), dtype="int32")
    x = Masked(units, see.astype("float32").tolist())(layers.Flatten()(image))
    x = layers.Activation("tanh")(x)
    x = Masked(len(pixels), decide.astype("float32").tolist())(x)
    if num_classes:
        x = layers.Add()([x, layers.Embedding(num_classes, len(pixels))(label)])
    return keras.Model([image, label] if num_classes else image, layers.Reshape(shape)(x))


def fitted(model, *data, epochs=2, **options):
    model.compile()
    history = model.fit(*data, batch_size=4, epochs=epochs, verbose=0, **options).history
    assert all(np.isfinite(values).all() for values in history.values())
    return history


def comes_back(model, path):
    model.save(path / "model.keras")
    return keras.saving.load_model(path / "model.keras")


def test_denoiser_whose_number_of_steps_changes_between_calls(tmp_path):
    image, time = keras.Input(SHAPE), keras.Input((1,))
    x = layers.Concatenate()([layers.Flatten()(image), time])
    x = layers.Reshape(SHAPE)(layers.Dense(64)(layers.Dense(32, "relu")(x)))
    model = Denoiser(SHAPE, denoiser=keras.Model([image, time], x))
    fitted(model, X)
    noise = model.latents(3, 64, seed=1).reshape(3, *SHAPE)
    for num_steps in (3, 10, 3):
        x = noise.copy()
        for step in range(num_steps, 0, -1):
            t = np.full((3, 1), step / num_steps, "float32")
            x = x + (ops.convert_to_numpy(model.denoiser([x, t])) - x) / step
        found = model.generate(3, seed=1, num_steps=num_steps)
        np.testing.assert_allclose(found, x, atol=1e-4)
        np.testing.assert_allclose(
            model.generate(3, seed=1, num_steps=num_steps, strength=0.0), noise, atol=1e-6
        )
    np.testing.assert_allclose(comes_back(model, tmp_path).generate(3, seed=1, num_steps=3), found)


def test_invertible_model_with_its_log_determinant(tmp_path):
    points = np.random.default_rng(0).normal([1.0, -2.0], [0.5, 2.0], (400, 2)).astype("float32")
    point = keras.Input((2,))
    scale = Scale()
    scale(point)
    model = Affine((2,), flow=scale)
    model.compile(keras.optimizers.Adam(0.05))
    model.fit(points, batch_size=100, epochs=60, verbose=0)
    z, log_determinant = model.encode(points)
    np.testing.assert_allclose(model.decode(z), points, atol=1e-4)
    np.testing.assert_allclose(log_determinant, -np.log(points.std(0)).sum(), atol=0.1)
    np.testing.assert_allclose(model.generate(4_000, seed=0).mean(0), points.mean(0), atol=0.2)
    other = comes_back(model, tmp_path)
    np.testing.assert_allclose(other.generate(3, seed=0), model.generate(3, seed=0), atol=1e-6)


def test_autoregressive_model_over_all_images_of_four_pixels(tmp_path):
    every = np.array([*itertools.product([-1, 1], repeat=4)], "float32").reshape(16, 2, 2, 1)
    data = every[-6:], np.array([0, 0, 0, 1, 1, 1])

    def made(epochs):
        keras.utils.set_random_seed(0)
        model = MADE(network=masked_network((2, 2, 1), 12, 2), condition=ClassLabels(2))
        model.compile(keras.optimizers.Adam(0.1))
        model.fit(*data, batch_size=3, epochs=epochs, verbose=0)
        return model

    model, other = made(epochs=20), comes_back(made(epochs=8), tmp_path)
    other.fit(*data, batch_size=3, epochs=12, verbose=0)
    log_likelihood = model.log_likelihood(every, labels=1)
    np.testing.assert_array_equal(other.log_likelihood(every, labels=1), log_likelihood)
    assert np.exp(log_likelihood).sum() == pytest.approx(1, abs=1e-5)
    loss = model.evaluate(every, np.ones(16, int), verbose=0)["loss"]
    assert loss == pytest.approx(-log_likelihood.mean(), rel=1e-5)
    images = model.generate(4000, labels=1, seed=0)
    np.testing.assert_array_equal(other.generate(9, 1, seed=0, batch_size=4), images[:9])
    found = (images == every[:, None]).all((2, 3, 4)).mean(1)
    np.testing.assert_allclose(found, np.exp(log_likelihood), atol=0.03)
    with pytest.raises(ValueError, match="labels must be integers from 0 to 1"):
        model.generate(2, labels=2)
    with pytest.raises(ValueError, match="labels are needed"):
        model.log_likelihood(every)

    alone = MADE(network=masked_network((2, 2, 1), 12))
    assert np.exp(alone.log_likelihood(every)).sum() == pytest.approx(1, abs=1e-5)
    with pytest.raises(ValueError, match="not conditional"):
        alone.generate(2, labels=1)
    with pytest.raises(ValueError, match="this model expects"):
        alone.log_likelihood(every[:, :1])


def test_text_condition_of_token_ids(tmp_path):
    """Texts of one word: 1 is a dark image, 2 a bright one."""
    keras.utils.set_random_seed(0)
    words = np.repeat([[1, 0, 0], [2, 0, 0]], 32, axis=0)
    images = np.repeat(np.array([20, 230], "uint8"), 32)[:, None, None, None]
    images = np.broadcast_to(images, (64, 8, 8, 1))
    latents, tokens = keras.Input((2,)), keras.Input((3,), dtype="int32")
    text = layers.Flatten()(layers.Embedding(3, 4)(tokens))
    x = layers.Dense(64, "tanh")(layers.Concatenate()([latents, text]))
    generator = keras.Model([latents, tokens], layers.Reshape(SHAPE)(x))
    picture = keras.Input(SHAPE)
    text = layers.Dense(8)(layers.Flatten()(layers.Embedding(3, 4)(tokens)))
    x = layers.Dot(-1)([layers.Dense(8, "leaky_relu")(layers.Flatten()(picture)), text])
    discriminator = keras.Model([picture, tokens], x)
    model = kgen.GAN(
        SHAPE,
        latent_dim=2,
        network="mlp",
        condition=Tokens(3, 3),
        generator=generator,
        discriminator=discriminator,
        loss="hinge",
        average_decay=0,
    )
    model.compile({player: keras.optimizers.Adam(5e-3, 0.5) for player in model.players})
    model.fit(images, words, batch_size=16, epochs=25, verbose=0)
    dark, bright = (model.generate(8, labels=word, seed=0) for word in ([1, 0, 0], [2, 0, 0]))
    assert dark.mean() < -0.2 and bright.mean() > 0.2
    other = comes_back(model, tmp_path)
    np.testing.assert_allclose(other.generate(8, labels=[1, 0, 0], seed=0), dark, atol=1e-6)
    with pytest.raises(ValueError, match=r"tokens must be integers from 0 to 2 of shape \(N, 3\)"):
        model.generate(2, labels=[3, 0, 0])
    with pytest.raises(ValueError, match="tokens are needed"):
        model.generate(2)
