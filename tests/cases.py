"""The models of the conformance suite: a model joins by being listed here."""

import dataclasses
import math
from collections.abc import Callable

import by_hand
import keras
import numpy as np
from by_hand import numpy
from diffusion_by_hand import TRAINED_AT, image_of, weight_of
from flow_by_hand import latents, log_density, log_normal
from keras import ops
from scipy import special, stats
from toy import ToyGAN, points

import kgen


@dataclasses.dataclass
class Case:
    """A small model, its data, and its losses by hand.

    Attributes:
        name: of the case.
        head: whether it stands for its family on every backend: it passes everything.
        brief: whether it brings little new, so that it passes the essentials only (it fits, its
            losses are those by hand, a file holds it), and everything in the full tier.
        make: makes the model from keyword arguments (`dtype`, ...).
        data: training images.
        labels: of the images, for models that take them.
        by_hand: `evaluate` in NumPy: from model and images (and labels) to losses by name.
        wrong: images that the model must refuse, with the words that the error must hold.
        takes_steps: whether `fit` takes steps down a loss, which `compile` prepares.
        has_stages: whether the model has stages, which set the size of batches: to `batch_size`.
    """

    name: str
    make: Callable
    data: np.ndarray
    by_hand: Callable
    wrong: tuple
    head: bool = False
    brief: bool = False
    batch_size: int = 32
    takes_steps: bool = True
    has_stages: bool = False
    labels: np.ndarray | None = None

    def first(self, n=None):
        """The first images, and their labels where there are some, as a tuple."""
        return tuple(a[:n] for a in (self.data, self.labels) if a is not None)

    def fit(self, model, n=None, **options):
        """`fit` of the first `n` images, in the case's batches."""
        size = {} if self.has_stages else {"batch_size": self.batch_size}
        return model.fit(*self.first(n), **size, verbose=0, **options)

    def images(self, model, n, seed=None, **options):
        """What the model makes: generated images, or the first of the data, translated."""
        if hasattr(model, "translate"):
            return model.translate(self.data[np.arange(n) % len(self.data)], **options)
        if isinstance(model.condition, kgen.conditions.Target):
            options["labels"] = self.labels[np.arange(n) % len(self.labels)]
        return model.generate(n, seed=seed, **options)

    def with_data(self, images):
        """The same case with other images, and as many labels."""
        labels = None if self.labels is None else self.labels[: len(images)]
        return dataclasses.replace(self, data=images, labels=labels)


def digits(n=160):
    from sklearn.datasets import load_digits

    return np.round(load_digits().images[:n] * (255 / 16)).astype("uint8")


def classes(n=160, known=None):
    """Which digits these are; -1 after the first `known`."""
    from sklearn.datasets import load_digits

    labels = load_digits().target[:n].astype("int32")
    labels[n if known is None else known :] = -1
    return labels


def evaluation_noise(model, draw):
    """What a model draws in its first evaluation batch, as NumPy."""
    model._evaluation_random.reset()
    drawn = [ops.convert_to_numpy(d) for d in draw(model._evaluation_random)]
    model._evaluation_random.reset()
    return drawn


def reconstruction_by_hand(model, x, decoded):
    squares = ((x - decoded) ** 2).sum((1, 2, 3))
    match model.reconstruction:
        case "mse":
            return squares
        case "l1":
            return np.abs(x - decoded).sum((1, 2, 3))
        case "bernoulli":
            p, on = (decoded + 1) / 2, (x + 1) / 2
            return -(on * np.log(p) + (1 - on) * np.log(1 - p)).sum((1, 2, 3))
        case "gaussian":
            sigma = np.exp(float(ops.convert_to_numpy(model.likelihood.log_sigma)))
            d = math.prod(model.image_shape)
            return squares / (2 * sigma**2) + d / 2 * np.log(2 * np.pi * sigma**2)


def vae_by_hand(model, images):
    x = images[..., None].astype("float64") / 127.5 - 1
    mean, log_variance = numpy(model.encoder, x.astype("float32"))
    (noise,) = evaluation_noise(model, lambda seed: [keras.random.normal(mean.shape, seed=seed)])
    z = mean + np.exp(log_variance / 2) * noise
    decoded = numpy(model.decoder, z.astype("float32")).astype("float64")
    terms = reconstruction_by_hand(model, x, decoded)
    kl = 0.5 * (mean**2 + np.exp(log_variance) - log_variance - 1).sum(1)
    weight = kgen.schedules.value(model.kl_weight, int(model.step))
    weight = float(ops.convert_to_numpy(weight))
    return {
        "loss": (terms + weight * kl).mean(),
        "reconstruction": terms.mean(),
        "kl": kl.mean(),
    }


def autoencoder_by_hand(model, images):
    inputs = x = images[..., None].astype("float32") / 127.5 - 1
    if model.corruption is not None:
        (noise,) = evaluation_noise(model, lambda s: [keras.random.normal(x.shape, seed=s)])
        inputs = x + model.corruption.amount * noise
    decoded = numpy(model.decoder, numpy(model.encoder, inputs)).astype("float64")
    return {"loss": reconstruction_by_hand(model, x, decoded).mean()}


def gaussian_by_hand(model, images):
    x = images.reshape(len(images), -1) / 127.5 - 1
    mean = model.mean_image.ravel().astype("float64")
    axes = model.axes.reshape(model.components, -1).astype("float64")
    least = model.min_variance * model.eigenvalues[0]
    along, noise = np.maximum(model.eigenvalues, least), max(model.noise, least)
    covariance = (axes.T * (along - noise)) @ axes + noise * np.eye(len(mean))
    if type(model) is kgen.Gaussian:
        truth = stats.multivariate_normal(mean, covariance)
        return {"log_likelihood": truth.logpdf(x).mean()}
    values = (model._shares, model._centers, model._factors)
    weights, means, factors = (ops.convert_to_numpy(v).astype("float64") for v in values)
    density = 0
    for weight, z, factor in zip(weights, means, factors, strict=True):
        basis = axes.T * np.sqrt(along)
        within = basis @ factor
        rest = noise * (np.eye(len(mean)) - axes.T @ axes)
        truth = stats.multivariate_normal(mean + basis @ z, within @ within.T + rest)
        density = density + weight * truth.pdf(x)
    return {"log_likelihood": np.log(density).mean()}


def toy_by_hand(model, real):
    n = len(real)
    normal = lambda seed: keras.random.normal((n, 8), seed=seed)  # noqa: E731
    z, t, z2 = evaluation_noise(
        model, lambda seed: [normal(seed), keras.random.uniform((n, 1), seed=seed), normal(seed)]
    )
    generate = lambda z: numpy(model.generator, z)  # noqa: E731
    score = lambda x: numpy(model.discriminator, x)  # noqa: E731
    fake = generate(z)
    between = t * real + (1 - t) * fake
    kernel, bias, out, _ = map(ops.convert_to_numpy, model.discriminator.trainable_variables)
    active = (between @ kernel + bias > 0).astype("float64")  # d relu, by hand
    slope = np.linalg.norm((active * out[:, 0]) @ kernel.T, axis=1)
    return {
        "discriminator_loss": score(fake).mean()
        - score(real).mean()
        + 10 * ((slope - 1) ** 2).mean(),
        "generator_loss": -score(generate(z2)).mean(),
    }


class Adversaries:
    """A model's players in its first evaluation batch, as NumPy."""

    def __init__(self, model, images):
        points = images.ndim == 2
        self.model, self.seed = model, model._evaluation_random
        self.real = images if points else images[..., None].astype("float32") / 127.5 - 1
        self.seed.reset()

    def drawn(self, draw, *shape):
        return ops.convert_to_numpy(draw((len(self.real), *shape), seed=self.seed))

    def sample(self, *labels):
        """Generated images and their latents."""
        z = self.drawn(keras.random.normal, self.model.latent_dim)
        return numpy(self.model.generator, z, *labels), z

    def judged(self, images, *given):
        """Outputs of the discriminator in float64, scores first."""
        if self.model.augment is not None:
            images = ops.convert_to_numpy(self.model.augment(images, seed=self.seed))
        outputs = numpy(self.model.discriminator, images, *given)
        outputs = outputs if isinstance(outputs, list) else [outputs]
        return [o.astype("float64") for o in outputs]

    def told_apart(self, real_score, fake_score, fake):
        """Losses by name, that of the generator not among them."""
        loss, _ = by_hand.ADVERSARIAL[self.model.adversarial_loss]
        loss = loss(real_score, fake_score, 1 - self.model.label_smoothing)
        if isinstance(self.model.penalty, kgen.losses.GradientPenalty):
            t = self.drawn(keras.random.uniform, *[1] * (fake.ndim - 1))
            loss += by_hand.penalty(self.model, self.real, fake, t)
        elif self.model.penalty is not None:
            loss += by_hand.penalty(self.model, self.real, fake, None)
        means = {"real_score": real_score.mean(), "fake_score": fake_score.mean()}
        return {"discriminator_loss": loss, **means}

    def fooled(self, score, *given):
        _, loss = by_hand.ADVERSARIAL[self.model.adversarial_loss]
        relative = self.model.adversarial_loss.startswith("relativistic")
        return loss(self.judged(self.real, *given)[0] if relative else None, score)


def gan_by_hand(model, images, *labels):
    players = Adversaries(model, images)
    fake, _ = players.sample(*labels)
    (real_score,), (fake_score,) = (
        players.judged(players.real, *labels),
        players.judged(fake, *labels),
    )
    found = players.told_apart(real_score, fake_score, fake)
    (score,) = players.judged(players.sample(*labels)[0], *labels)
    return {**found, "generator_loss": players.fooled(score, *labels)}


def progressive_by_hand(model, images):
    """At full size; the weight of the penalty is 0, since it has tests of its own."""
    found, players = gan_by_hand(model, images), Adversaries(model, images)
    (score,) = players.judged(players.real)
    found["discriminator_loss"] += model.drift * np.square(score).mean()
    return found


def acgan_by_hand(model, images, labels):
    players, weight = Adversaries(model, images), model.classification_weight
    fake, _ = players.sample(labels)
    (real_score, real_class), (fake_score, fake_class) = map(players.judged, (players.real, fake))
    found = players.told_apart(real_score, fake_score, fake)
    errors = [by_hand.class_error(logits, labels) for logits in (real_class, fake_class)]
    found["discriminator_loss"] += weight * sum(errors)
    score, logits = players.judged(players.sample(labels)[0])
    loss = players.fooled(score) + weight * by_hand.class_error(logits, labels)
    return {**found, "generator_loss": loss}


def infogan_by_hand(model, images):
    players, weight = Adversaries(model, images), model.information_weight

    def sample():
        noise = players.drawn(keras.random.normal, model.noise_dim)
        category = ops.convert_to_numpy(
            keras.random.randint((len(images),), 0, model.categories, seed=players.seed)
        )
        codes = players.drawn(lambda s, seed: keras.random.uniform(s, -1, 1, seed=seed), 2)
        latents = np.concatenate([noise, np.eye(model.categories)[category], codes], axis=1)
        return numpy(model.generator, latents.astype("float32")), category, codes

    def information(category, codes, logits, means):
        return -by_hand.class_error(logits, category) - ((codes - means) ** 2).sum(1).mean() / 2

    fake, *code = sample()
    (real_score, *_), (fake_score, *read) = map(players.judged, (players.real, fake))
    found = players.told_apart(real_score, fake_score, fake)
    found["discriminator_loss"] -= weight * information(*code, *read)
    made, *code = sample()
    score, *read = players.judged(made)
    loss = players.fooled(score) - weight * information(*code, *read)
    return {**found, "generator_loss": loss}


def bigan_by_hand(model, images):
    """The generator's loss is the discriminator's with the sides changed (equation 3)."""
    players = Adversaries(model, images)
    encoded = players.real, numpy(model.encoder, players.real)
    fake = players.sample()
    (real_score,), (fake_score,) = players.judged(*encoded), players.judged(*fake)
    found = players.told_apart(real_score, fake_score, fake[0])
    (made,) = players.judged(*players.sample())
    return {**found, "generator_loss": by_hand.told_apart(made, real_score, 1)}


def semi_supervised_by_hand(model, images, labels):
    players = Adversaries(model, images)
    fake, _ = players.sample()

    def judged(images):
        logits, features = players.judged(images)
        return special.logsumexp(logits, axis=1), logits, features

    (real_score, logits, real_features), (fake_score, *_) = map(judged, (players.real, fake))
    found = players.told_apart(real_score, fake_score, fake)
    known = labels >= 0
    found["discriminator_loss"] += by_hand.class_error(logits[known], labels[known])
    *_, features = judged(players.sample()[0])
    loss = ((real_features.mean(0) - features.mean(0)) ** 2).sum()
    return {**found, "generator_loss": loss}


def in_range(images):
    return images[..., None].astype("float32") / 127.5 - 1


def against(loss, real, fake, weight):
    """Losses of a discriminator and of who fools it, as the papers on translation weigh them."""
    told_apart, fooled = by_hand.ADVERSARIAL[loss]
    real, fake = real.astype("float64"), fake.astype("float64")
    return weight / 2 * told_apart(real, fake, 1), weight * fooled(None, fake)


def small_mlp(image_shape, **options):
    return kgen.networks.denoising_mlp(image_shape, hidden=(16,), **options)


def small_unet(image_shape, **options):
    """Blocks of either kind, at one size."""
    size = {"filters": 8, "blocks": 1, "widths": (1,)}
    return kgen.networks.denoising_unet(image_shape, **size, **options)


def diffusion(network, condition=None, shape=(8, 8, 1), **settings):
    """Makes a model of digits, or of points, with a network of this kind."""

    def make(dtype=None, denoiser=None, **more):
        options = {"dtype": dtype}
        if isinstance(condition, kgen.conditions.ClassLabels):
            options["num_classes"] = condition.num_classes
        elif condition is not None:
            options["beside"] = condition.image_shape[-1]
        denoiser = network(shape, **options) if denoiser is None else denoiser
        more |= {"denoiser": denoiser, "condition": condition, "dtype": dtype}
        return kgen.Diffusion(shape, **settings, **more)

    return make


def diffusion_by_hand(model, images, *told):
    x = images.astype("float64") if images.ndim == 2 else in_range(images).astype("float64")
    n, told = len(x), [c if c.ndim == 1 else in_range(c) for c in told]
    uniform, epsilon = evaluation_noise(
        model,
        lambda seed: [
            keras.random.uniform((n,), seed=seed),
            keras.random.normal(x.shape, seed=seed),
        ],
    )
    t, alpha, sigma = TRAINED_AT[type(model.noise)]((np.arange(n) + uniform) / n)
    weight = weight_of(model, alpha, sigma)
    alpha, sigma = (v.reshape(-1, *[1] * (x.ndim - 1)) for v in (alpha, sigma))
    noisy = alpha * x + sigma * epsilon
    scaled = noisy / np.sqrt((alpha * model.noise.data_std) ** 2 + sigma**2)
    inputs = scaled.astype("float32"), t.astype("float32")
    predicted = numpy(model.denoiser, *inputs, *told).astype("float64")
    answer = image_of(model, noisy, predicted, alpha, sigma)
    error = np.square(answer - x).reshape(n, -1).mean(1)
    return {"loss": (weight * error).mean()}


def flow_by_hand(model, images, *labels):
    """-log p of points, in nats; of images bits per dimension, with noise between their levels."""
    if images.ndim == 2:
        return {"loss": -log_density(model, images.astype("float64")).mean()}
    x, noise = in_range(images).astype("float64"), model.dequantization.noise
    draw = getattr(keras.random, noise)
    (drawn,) = evaluation_noise(model, lambda seed: [draw(x.shape, seed=seed)])
    u, log_q = drawn, x[0].size * np.log(127.5)
    if noise == "normal":
        chain = model.dequantization.bijection
        y, log_det = latents(chain, drawn.astype("float64"), x.astype("float32"))
        u = special.expit(y).reshape(x.shape)
        log_q += log_normal(drawn) - log_det - np.log(u * (1 - u)).sum((1, 2, 3))
    nats = log_density(model, x + (u - 0.5) / 127.5, *labels) - log_q
    return {"loss": -nats.mean() / (x[0].size * np.log(2))}


def pix2pix_by_hand(model, images, targets):
    x, y = in_range(images), in_range(targets)
    fake = numpy(model.generator, x)
    scores = [numpy(model.discriminator, answer, x) for answer in (y, fake)]
    told_apart, fooled = against("non_saturating", *scores, weight=1)
    l1 = np.abs(y - fake).mean()
    return {"discriminator_loss": told_apart, "generator_loss": fooled + 100 * l1, "l1": l1}


def cyclegan_by_hand(model, images, others):
    a, b = in_range(images), in_range(others)
    there, back = (lambda x, n=n: numpy(n, x) for n in (model.a_to_b, model.b_to_a))
    distance = lambda x, y: np.abs(x.astype("float64") - y).mean()  # noqa: E731
    told_apart, fooled = np.add(
        against(
            "least_squares", *(numpy(model.discriminator_a, x) for x in (a, back(b))), weight=2
        ),
        against(
            "least_squares", *(numpy(model.discriminator_b, x) for x in (b, there(a))), weight=2
        ),
    )
    cycle = distance(back(there(a)), a) + distance(there(back(b)), b)
    found = {"discriminator_loss": told_apart, "cycle_loss": cycle}
    if model.identity_weight:
        found["identity_loss"] = distance(back(a), a) + distance(there(b), b)
    identity = model.identity_weight * found.get("identity_loss", 0)
    return {**found, "generator_loss": fooled + 10 * (cycle + identity)}


def cut_by_hand(model, images, others):
    a, b = in_range(images), in_range(others)
    generator, seed, nces = model.generator, model._evaluation_random, []
    layers = [generator.get_layer(name).output for name in model.features]
    features = lambda x: numpy(keras.Model(generator.inputs, layers), x)  # noqa: E731
    seed.reset()
    for x in (a, b) if model.identity_nce else (a,):
        pairs, losses = [*zip(features(x), features(numpy(generator, x)), strict=True)], []
        places = [
            np.argsort(ops.convert_to_numpy(keras.random.uniform((h * w,), seed=seed)))
            for (_, h, w, _) in (k.shape for k, _ in pairs)
        ]
        rows = [
            [
                t.reshape(len(t), -1, t.shape[-1])[:, where[: model.patches]]
                for t, where in zip(side, places, strict=True)
            ]
            for side in zip(*pairs, strict=True)
        ]
        keys, queries = (numpy(model.projection, *side) for side in rows)
        for key, query in zip(keys, queries, strict=True):
            likeness = query.astype("float64") @ key.swapaxes(1, 2) / model.temperature
            shares = special.log_softmax(likeness, axis=-1)
            losses.append(-np.diagonal(shares, axis1=1, axis2=2).mean())
        nces.append(np.mean(losses))
    seed.reset()
    scores = [numpy(model.discriminator, x) for x in (b, numpy(generator, a))]
    told_apart, fooled = against("least_squares", *scores, weight=2)
    nce = np.mean(nces)
    loss = fooled + model.nce_weight * nce
    return {"discriminator_loss": told_apart, "generator_loss": loss, "nce_loss": nce}


def faceswap_by_hand(model, images, others):
    errors, told = {}, []
    for name, x in (("a", in_range(images)), ("b", in_range(others))):
        z = numpy(model.intermediate, numpy(model.encoder, x))
        again = numpy(getattr(model, f"decoder_{name}"), z).astype("float64")
        errors[f"error_{name}"] = np.square(again - x).mean()
        told.append(z.reshape(len(z), -1).astype("float64"))
    apart = np.square(told[0].mean(0) - told[1].mean(0)).mean()
    gap = apart / (np.square(told).mean() + 1e-6)
    return {"loss": sum(errors.values()) + 0.5 * gap, **errors, "gap": gap}


WRONG_IMAGES = (
    (np.zeros((40, 8, 9), "uint8"), "expects"),
    (np.zeros((40, 8, 8, 3), "uint8"), "channels differ"),
    (np.full((40, 8, 8), 200, "int64"), "astype"),
    (np.random.default_rng(0).random((40, 8, 8)).astype("float32"), "divided by 255"),
    (np.full((40, 8, 8), 99.0, "float32"), "uint8"),
    (np.full((40, 8, 8), np.nan, "float32"), "NaN"),
)


def flow_with_learned_noise(dtype=None, **more):
    noise = kgen.networks.variational_dequantization((8, 8, 1), filters=8, steps=1, dtype=dtype)
    options = {"steps": 1, "filters": 8, "dequantization": noise, "dtype": dtype}
    return kgen.NormalizingFlow((8, 8), **options, **more)


def labeled_flow(**more):
    sizes = {} if "flow" in more else {"steps": 1, "filters": 8}
    return kgen.NormalizingFlow((8, 8), condition=kgen.conditions.ClassLabels(10), **sizes, **more)


def of_digits(model, **arguments):
    return lambda **more: model((8, 8), **{**arguments, **more})


CASES = [
    Case(
        "toy",
        ToyGAN,
        points(320),
        toy_by_hand,
        ((points(320)[:, :1], "expects"), (np.full((320, 2), np.inf, "float32"), "infinite")),
        head=True,
    ),
    Case("vae", of_digits(kgen.VAE), digits(), vae_by_hand, WRONG_IMAGES, head=True),
    Case(
        "vae-bernoulli-dense",
        of_digits(kgen.VAE, reconstruction="bernoulli", network="dense", latent_dim=3),
        digits(),
        vae_by_hand,
        WRONG_IMAGES,
        brief=True,
    ),
    Case(
        "vae-gaussian-warmup",
        of_digits(
            kgen.VAE, reconstruction="gaussian", kl_weight=kgen.schedules.LinearWarmup(1.0, 20)
        ),
        digits(),
        vae_by_hand,
        WRONG_IMAGES,
    ),
    Case(
        "vae-l1",
        of_digits(kgen.VAE, reconstruction="l1", kl_weight=0.5),
        digits(),
        vae_by_hand,
        WRONG_IMAGES,
        brief=True,
    ),
    Case(
        "autoencoder",
        of_digits(kgen.Autoencoder),
        digits(),
        autoencoder_by_hand,
        WRONG_IMAGES,
        head=True,
    ),
    Case(
        "autoencoder-denoising",
        of_digits(kgen.Autoencoder, reconstruction="mse", corruption="gaussian", latent_dim=5),
        digits(),
        autoencoder_by_hand,
        WRONG_IMAGES,
        brief=True,
    ),
    Case(
        "gaussian",
        of_digits(kgen.Gaussian, components=6),
        digits(),
        gaussian_by_hand,
        WRONG_IMAGES,
        head=True,
        takes_steps=False,
    ),
    Case(
        "gaussian-mixture",
        of_digits(kgen.GaussianMixture, components=5, clusters=3),
        digits(),
        gaussian_by_hand,
        WRONG_IMAGES,
        takes_steps=False,
    ),
    Case(
        "gan",
        of_digits(kgen.GAN, filters=16, latent_dim=8),
        digits(),
        gan_by_hand,
        WRONG_IMAGES,
        head=True,
    ),
    Case(
        "gan-wgan",
        of_digits(kgen.GAN, filters=16, latent_dim=8, variant="wgan"),
        digits(),
        gan_by_hand,
        WRONG_IMAGES,
        batch_size=16,
        brief=True,
    ),
    Case(
        "gan-wgan-gp",
        of_digits(kgen.GAN, filters=16, latent_dim=8, variant="wgan_gp", discriminator_steps=2),
        digits(),
        gan_by_hand,
        WRONG_IMAGES,
    ),
    Case(
        "gan-spectral-augmented",
        of_digits(kgen.GAN, filters=16, latent_dim=8, variant="sngan", augment="translation,color"),
        digits(),
        gan_by_hand,
        WRONG_IMAGES,
    ),
    Case(
        "gan-relativistic-lazy-r1",
        of_digits(
            kgen.GAN,
            filters=16,
            latent_dim=8,
            loss="relativistic_average",
            penalty=kgen.losses.R1(0.5, every=2),
            label_smoothing=0.1,
        ),
        digits(),
        gan_by_hand,
        WRONG_IMAGES,
        brief=True,
    ),
    Case(
        "gan-points",
        lambda **more: kgen.GAN((2,), **more),
        points(320),
        gan_by_hand,
        ((points(320)[:, :1], "expects"), (np.full((320, 2), np.inf, "float32"), "infinite")),
        brief=True,
    ),
    Case(
        "progressive-gan",
        of_digits(
            kgen.ProgressiveGAN,
            schedule=kgen.schedules.GrowingSchedule(8, 0, 800, batch_size=32),
            growing=False,  # so that all that follows is of one size; growing has its own tests
            latent_dim=8,
            filters_base=64,
            max_filters=16,
            penalty=kgen.losses.GradientPenalty(0.0),
        ),
        digits(),
        progressive_by_hand,
        WRONG_IMAGES,
        brief=True,
        has_stages=True,
    ),
    Case(
        "conditional-gan",
        of_digits(kgen.ConditionalGAN, filters=16, num_classes=10, latent_dim=8),
        digits(),
        gan_by_hand,
        WRONG_IMAGES,
        head=True,
        labels=classes(),
    ),
    Case(
        "acgan",
        of_digits(kgen.ACGAN, filters=16, num_classes=10, latent_dim=8, classification_weight=0.5),
        digits(),
        acgan_by_hand,
        WRONG_IMAGES,
        labels=classes(),
        brief=True,
    ),
    Case(
        "infogan",
        of_digits(kgen.InfoGAN, filters=16, latent_dim=10, categories=4, information_weight=0.5),
        digits(),
        infogan_by_hand,
        WRONG_IMAGES,
        brief=True,
    ),
    Case(
        "bigan",
        of_digits(kgen.BiGAN, filters=16, latent_dim=8),
        digits(),
        bigan_by_hand,
        WRONG_IMAGES,
    ),
    Case(
        "semi-supervised-gan",
        of_digits(kgen.SemiSupervisedGAN, filters=16, num_classes=10, latent_dim=8),
        digits(),
        semi_supervised_by_hand,
        WRONG_IMAGES,
        labels=classes(known=100),
        brief=True,
    ),
    Case(
        "pix2pix",
        of_digits(kgen.Pix2Pix, filters=8, depth=2, receptive_field=16),
        digits(),
        pix2pix_by_hand,
        WRONG_IMAGES,
        labels=255 - digits(),
        head=True,
    ),
    Case(
        "cyclegan",
        of_digits(kgen.CycleGAN, filters=8, blocks=1, receptive_field=1, average_decay=0.9),
        digits(),
        cyclegan_by_hand,
        WRONG_IMAGES,
        labels=255 - digits()[::-1],
        brief=True,
    ),
    Case(
        "cut",
        of_digits(kgen.CUT, filters=8, blocks=1, receptive_field=1, patches=20, projection_dim=16),
        digits(),
        cut_by_hand,
        WRONG_IMAGES,
        labels=255 - digits()[::-1],
        brief=True,
    ),
    Case(
        "faceswap",
        of_digits(kgen.FaceSwap, filters=8, latent_dim=8, matching_weight=0.5),
        digits(),
        faceswap_by_hand,
        WRONG_IMAGES,
        labels=255 - digits()[::-1],
        brief=True,
    ),
    Case(
        "diffusion",
        diffusion(small_mlp, kgen.conditions.ClassLabels(10)),
        digits(),
        diffusion_by_hand,
        WRONG_IMAGES,
        labels=classes(),
        head=True,
    ),
    Case(
        "diffusion-beside",
        diffusion(
            small_unet,
            kgen.conditions.Target((8, 8)),
            noise="linear",
            prediction="noise",
            weighting="min_snr",
        ),
        digits(),
        diffusion_by_hand,
        WRONG_IMAGES,
        labels=255 - digits(),
        brief=True,
    ),
    Case(
        "diffusion-points",
        diffusion(small_mlp, shape=(2,), noise="edm", weighting="edm"),
        points(320),
        diffusion_by_hand,
        ((points(320)[:, :1], "expects"), (np.full((320, 2), np.inf, "float32"), "infinite")),
        brief=True,
    ),
    Case(
        "diffusion-flow",
        diffusion(small_mlp, noise="flow"),
        digits(),
        diffusion_by_hand,
        WRONG_IMAGES,
        brief=True,
    ),
    Case(
        "flow",
        labeled_flow,
        digits(),
        flow_by_hand,
        WRONG_IMAGES,
        labels=classes(),
        head=True,
    ),
    Case(
        "flow-variational",
        flow_with_learned_noise,
        digits(),
        flow_by_hand,
        WRONG_IMAGES,
        brief=True,
    ),
    Case(
        "flow-causal",
        of_digits(kgen.NormalizingFlow, variant="tarflow", steps=1, filters=8),
        digits(),
        flow_by_hand,
        WRONG_IMAGES,
        brief=True,
    ),
    Case(
        "flow-points",
        lambda **more: kgen.NormalizingFlow((2,), "realnvp", steps=2, filters=8, **more),
        points(320),
        flow_by_hand,
        ((points(320)[:, :1], "expects"), (np.full((320, 2), np.inf, "float32"), "infinite")),
        brief=True,
    ),
]
