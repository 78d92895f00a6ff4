"""What models with a latent space share: decode, generate; encode, reconstruct, interpolate."""

import numpy as np
from keras import ops

from kgen.arguments import positive
from kgen.conditions import Nothing
from kgen.engine.generative_model import GenerativeModel
from kgen.engine.random import Draws
from kgen.models.network_checks import output_shapes, refuse_sigmoid
from kgen.networks.autoencoders import NETWORKS


class LatentModel(GenerativeModel):
    """A model that decodes latents `(N, latent_dim)` to images.

    A subclass has `latent_dim`; what it decodes with is its `decoder`, unless it defines `_decode`,
    from a tensor of latents, and one of the condition where that network is given it, to images.

    Attributes:
        decoder_name: of the network that decodes.
    """

    conditions, decoder_name = (Nothing,), "decoder"

    def decode(self, latents, labels=None, batch_size=None):
        """Images of latents: float32 `(N, *image_shape)` in [-1, 1].

        Args:
            latents: `(N, latent_dim)`.
            labels: of a conditional model, what `generate` takes.
            batch_size: images at a time.
        """
        return self._images_of(self.latents_in(latents), labels, batch_size)

    def _images_of(self, latents, labels, batch_size):
        given = self.given_to(self.decoder_name).draw(len(latents), labels)
        images = self.infer(self._decode, latents, *given, batch_size=batch_size)
        return self._in_range(images)

    def latents_in(self, latents):
        """Check latents from outside and return them float32, `(N, latent_dim)`."""
        return checked_latents(latents, (self.latent_dim,))

    def generate(self, n, labels=None, seed=None, batch_size=None):
        """Decode `n` latents from N(0, I): float32 `(n, *image_shape)` in [-1, 1].

        The same seed gives the same latents on every backend; the first 8 of 16 are the 8.

        Args:
            n: how many.
            labels: of a conditional model (`condition`): what it is given, one for all images or
                one for each; None: all classes in turn.
            seed: of the latents.
            batch_size: images at a time.

        Raises:
            ValueError: for an `n` that is not positive, and labels that are none or of no use here.
        """
        latents = Draws.normal((self.how_many(n), self.latent_dim), seed)
        return self._images_of(latents, labels, batch_size)

    def _decode(self, latents):
        return self.decoder(latents, training=False)

    def _in_range(self, images):
        return np.clip(images, -1, 1) if len(self.image_shape) == 3 else images


class EncodingModel(LatentModel):
    """A model that also encodes images to latents.

    A subclass defines `_encode`, from a tensor of images, and one of the condition where the
    network that encodes is given it, to latents.

    Attributes:
        encoder_name: of the network that encodes.
    """

    encoder_name = "encoder"

    def encode(self, images, labels=None, batch_size=None):
        """Latents of images, as they are: float32 `(N, latent_dim)`.

        Args:
            images: `(N, *image_shape)`.
            labels: of a model that is told them (`condition`), what `generate` takes; needed there.
            batch_size: images at a time.
        """
        return self._latents_of(images, "images", labels, batch_size)

    def _latents_of(self, images, what, labels, batch_size):
        images = self.images_in(images, what)
        if self.decoder_name in self.conditioned and self.encoder_name not in self.conditioned:
            labels = None  # they are for the other network
        told = self.given_to(self.encoder_name).of_images(len(images), labels)
        return self.infer(self._encode, images, *told, batch_size=batch_size)

    def reconstruct(self, images, labels=None, batch_size=None):
        """Images after encoding and decoding: float32 `(N, *image_shape)` in [-1, 1]."""
        latents = self._latents_of(images, "images", labels, batch_size)
        told = self.given_to(self.decoder_name).of_images(len(latents), labels)
        return self._in_range(self.infer(self._decode, latents, *told, batch_size=batch_size))

    def interpolate(self, a, b, steps=8, labels=None, batch_size=None):
        """Images along straight lines in latent space from images `a` to images `b`.

        Args:
            a, b: images `(N, *image_shape)`.
            steps: images in each line, both ends included; at least 2.
            labels: of a model that is told them, one for all or one for each pair.
            batch_size: images at a time.

        Returns:
            float32 `(N, steps, *image_shape)` in [-1, 1].
        """
        steps = positive(steps, "steps")
        if steps < 2:
            raise ValueError(f"steps counts both ends, so at least 2; got {steps!r}.")
        start, end = (self._latents_of(x, of, labels, batch_size) for x, of in ((a, "a"), (b, "b")))
        if start.shape != end.shape:
            raise ValueError(f"a and b must pair up: got {len(start)} and {len(end)} images.")
        t = np.linspace(0, 1, steps, dtype="float32")[None, :, None]
        line = (1 - t) * start[:, None] + t * end[:, None]
        told = self.given_to(self.decoder_name).of_images(len(start), labels)
        rows = line.reshape(-1, self.latent_dim), *(np.repeat(c, steps, axis=0) for c in told)
        images = self._in_range(self.infer(self._decode, *rows, batch_size=batch_size))
        return images.reshape(len(start), steps, *self.image_shape)


def checked_latents(latents, shape):
    """Latents from outside as float32 `(N, *shape)`.

    Raises:
        ValueError: if they are others, or not finite.
    """
    rows = f"(N, {', '.join(map(str, shape))})"
    try:
        latents = np.asarray(ops.convert_to_numpy(latents), "float32")
    except (TypeError, ValueError) as error:
        raise ValueError(f"latents must be numbers of shape {rows}; got {latents!r}.") from error
    if latents.ndim != 1 + len(shape) or latents.shape[1:] != tuple(shape):
        raise ValueError(f"latents must have shape {rows}; got {latents.shape}.")
    if not np.isfinite(latents).all():
        raise ValueError("latents must be finite; got NaN or infinity among them.")
    return latents


def default_networks(name, image_shape):
    """The functions that make encoder and decoder, by the name of the network.

    Raises:
        ValueError: for an unknown name, or images that the network cannot take.
    """
    if isinstance(name, str) and name == "auto":
        name = "convolutional" if len(image_shape) == 3 else "dense"
    if not isinstance(name, str) or name not in NETWORKS:
        raise ValueError(f"Unknown network {name!r}; known are {sorted([*NETWORKS, 'auto'])}.")
    if name == "convolutional" and (len(image_shape) != 3 or min(image_shape[:2]) < 4):
        raise ValueError(
            f"The convolutional networks need images of at least 4x4 pixels; image_shape is "
            f'{image_shape}. Use network="dense".'
        )
    return NETWORKS[name]


def check_shapes(model, gaussian):
    """Raise a `ValueError` unless encoder and decoder fit each other and the images.

    Args:
        model: with `encoder`, `decoder`, `image_shape` and `latent_dim`.
        gaussian: whether the encoder returns mean and log-variance.
    """
    shape, width = model.image_shape, model.latent_dim
    outputs = output_shapes(model.encoder, shape, "encoder", f"image_shape is {shape}")
    if gaussian and outputs not in ([(None, width)] * 2, [(None, 2 * width)]):
        raise ValueError(
            f"The encoder must return mean and log-variance: two outputs of shape (N, {width}) or "
            f"one of shape (N, {2 * width}), since latent_dim={width}. It returns {outputs}."
        )
    if not gaussian and outputs != [(None, width)]:
        raise ValueError(
            f"The encoder must return latents of shape (N, {width}), since latent_dim={width}; it "
            f"returns {outputs}."
        )
    outputs = output_shapes(model.decoder, (width,), "decoder", f"latent_dim is {width}")
    if outputs != [(None, *shape)]:
        raise ValueError(
            f"The decoder must return images of image_shape {shape}; it returns {outputs}."
        )
    refuse_sigmoid(model.decoder, shape, "decoder")
