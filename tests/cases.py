"""The models of the conformance suite: a model joins by being listed here."""

import dataclasses
import math
from collections.abc import Callable

import keras
import numpy as np
from keras import ops
from scipy import stats
from toy import ToyGAN, points

import kgen


@dataclasses.dataclass
class Case:
    """A small model, its data, and its losses by hand.

    Attributes:
        name: of the case; `head` says whether it stands for its family on every backend.
        make: makes the model from keyword arguments (`dtype`, ...).
        data: training images.
        by_hand: `evaluate` in NumPy: from model and images to losses by name.
        wrong: images that the model must refuse, with the words that the error must hold.
        takes_steps: whether `fit` takes steps down a loss, which `compile` prepares.
    """

    name: str
    make: Callable
    data: np.ndarray
    by_hand: Callable
    wrong: tuple
    head: bool = False
    batch_size: int = 32
    takes_steps: bool = True


def digits(n=160):
    from sklearn.datasets import load_digits

    return np.round(load_digits().images[:n] * (255 / 16)).astype("uint8")


def evaluation_noise(model, draw):
    """What a model draws in its first evaluation batch, as NumPy."""
    model._evaluation_random.reset()
    drawn = [ops.convert_to_numpy(d) for d in draw(model._evaluation_random)]
    model._evaluation_random.reset()
    return drawn


def numpy(network, *inputs):
    outputs = network(*inputs, training=False)
    many = isinstance(outputs, list | tuple)
    return [ops.convert_to_numpy(o) for o in outputs] if many else ops.convert_to_numpy(outputs)


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
    weights, means, factors = model._mixture()
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


WRONG_IMAGES = (
    (np.zeros((40, 8, 9), "uint8"), "expects"),
    (np.zeros((40, 8, 8, 3), "uint8"), "channels differ"),
    (np.full((40, 8, 8), 200, "int64"), "astype"),
    (np.random.default_rng(0).random((40, 8, 8)).astype("float32"), "divided by 255"),
    (np.full((40, 8, 8), 99.0, "float32"), "uint8"),
    (np.full((40, 8, 8), np.nan, "float32"), "NaN"),
)


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
]
