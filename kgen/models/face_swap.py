"""Two domains that share an encoder: what deepfakes began with."""

import keras
import numpy as np
from keras import ops

from kgen.arguments import one_of, positive
from kgen.conditions import Target
from kgen.data.ranges import normalize_image_shape
from kgen.engine.generative_model import GenerativeModel
from kgen.models.latent_model import default_networks
from kgen.models.network_checks import check_outputs, given, refuse_sigmoid
from kgen.models.translator import DIRECTIONS


@keras.saving.register_keras_serializable("kgen")
class FaceSwap(GenerativeModel):
    r"""One encoder, two decoders: the autoencoder of deepfakes (Perov et al., 2020, DeepFaceLab).

    The encoder sees the faces of two people, each decoder draws one of them: $E \|D_A(E(a)) - a\|_1
    + E \|D_B(E(b)) - b\|_1$, means over pixels and channels. What the encoder tells has to serve
    both, pose and expression; who it is, each decoder knows by itself. So $D_B(E(a))$ is the person
    B, looking as A does.

    `fit` takes two domains: two arrays, a `kgen.data.ImagePairs`, or batches `(a, b)`. Nothing has
    to belong together; the more alike the poses of both are, the better.

    Args:
        image_shape: of both domains, `(H, W)` or `(H, W, C)`.
        latent_dim: width of what the encoder tells.
        encoder: `keras.Model` from images to latents `(N, latent_dim)`.
        decoder_a, decoder_b: `keras.Model` from latents to images in [-1, 1].
        network: of the default networks, as in `kgen.Autoencoder`.
        **kwargs: `seed` (of noise and order; `keras.utils.set_random_seed` seeds the weights),
            `check_range`, `name`, `dtype`, as in `GenerativeModel`.

    Logs `loss` and its two terms, `error_a` and `error_b`.

    Raises:
        ValueError: for unknown names, or networks whose shapes do not fit.

    Example:

    ```python
    model = kgen.FaceSwap((64, 64, 3))
    model.compile("adam")
    model.fit(faces_of_a, faces_of_b, epochs=20)
    model.translate(faces_of_a)  # as B
    ```
    """

    players = {"autoencoder": ["encoder", "decoder_a", "decoder_b"]}
    logs = ("loss", "error_a", "error_b")
    conditions = (Target,)

    def __init__(
        self,
        image_shape,
        latent_dim=64,
        *,
        encoder=None,
        decoder_a=None,
        decoder_b=None,
        network="auto",
        **kwargs,
    ):
        shape, dtype = normalize_image_shape(image_shape), kwargs.get("dtype")
        if len(shape) != 3:
            raise ValueError(f"FaceSwap translates images, (H, W) or (H, W, C); got {shape}.")
        latent_dim = positive(latent_dim, "latent_dim")
        make_encoder, make_decoder = default_networks(network, shape)
        super().__init__(
            shape,
            condition=Target(shape, aligned=False),
            encoder=given(encoder, make_encoder, shape, latent_dim, dtype=dtype),
            decoder_a=given(decoder_a, make_decoder, shape, latent_dim, dtype=dtype),
            decoder_b=given(decoder_b, make_decoder, shape, latent_dim, dtype=dtype),
            **kwargs,
        )
        self.latent_dim, self.network = latent_dim, network
        self.check_networks()
        self.ensure_built()

    def get_config(self):
        """Everything that the constructor needs, networks included."""
        config = super().get_config()
        del config["condition"]
        return {**config, "latent_dim": self.latent_dim, "network": self.network}

    def objective(self, batch, training):
        """The mean absolute error of both domains, each by its own decoder; and its terms."""
        a, b = batch
        errors = {}
        for name, images, decoder in (("a", a, self.decoder_a), ("b", b, self.decoder_b)):
            again = decoder(self.encoder(images, training=training), training=training)
            errors[f"error_{name}"] = ops.mean(ops.abs(ops.cast(again, "float32") - images))
        return sum(errors.values()), errors

    # What a user asks for.

    def call(self, inputs, training=False):
        """Images of A as B."""
        return self.decoder_b(self.encoder(inputs, training=training), training=training)

    def input_signature(self):
        """An image."""
        return self.image_shape, "float32"

    def translate(self, images, direction="a_to_b", batch_size=None):
        """Images of one domain as of the other: float32 `(N, H, W, C)` in [-1, 1].

        Args:
            images: `(N, *image_shape)`, uint8 or floats in [-1, 1].
            direction: `"a_to_b"` or `"b_to_a"`.
            batch_size: images at a time.
        """
        one_of(direction, DIRECTIONS, "direction")
        return self._drawn_as(images, direction[-1], batch_size)

    def reconstruct(self, images, domain="a", batch_size=None):
        """Images by the decoder of their own domain, `"a"` or `"b"`: as `translate`."""
        return self._drawn_as(images, one_of(domain, ("a", "b"), "domain"), batch_size)

    def encode(self, images, batch_size=None):
        """What the encoder tells of images, of whichever domain: float32 `(N, latent_dim)`."""
        return self.infer(self._encode, self.images_in(images), batch_size=batch_size)

    def _drawn_as(self, images, domain, batch_size):
        images, static = self.images_in(images), {"domain": domain}
        drawn = self.infer(self._draw_as, images, static=static, batch_size=batch_size)
        return np.clip(drawn, -1, 1)

    def _draw_as(self, images, domain):
        decoder = {"a": self.decoder_a, "b": self.decoder_b}[domain]
        return decoder(self.encoder(images, training=False), training=False)

    def _encode(self, images):
        return ops.cast(self.encoder(images, training=False), "float32")

    def preview(self, n, seed=None, inputs=None):
        """Rows of images: each domain, and its images as of the other.

        Where the inputs are aligned, `"b"` is the truth of `"a to b"`, and `"a"` that of `"b to
        a"`.
        """
        if inputs is None:
            raise self.no_inputs()
        inputs = inputs if isinstance(inputs, tuple | list) else (inputs,)
        rows = {}
        for images, direction in zip(inputs, DIRECTIONS, strict=False):
            images = self.images_in(images[:n])
            rows[direction[0]] = images
            rows[direction.replace("_", " ")] = self.translate(images, direction)
        return rows

    # Checks.

    def check_networks(self):
        """Raise a `ValueError` unless the networks fit each other and the images."""
        taken = {"images": (self.image_shape, "float32")}
        code = {"latents of shape": (self.latent_dim,)}
        check_outputs(self.encoder, taken, code, "encoder")
        for name in ("decoder_a", "decoder_b"):
            decoder = getattr(self, name)
            made = {"images of shape": self.image_shape}
            check_outputs(decoder, {"latents": ((self.latent_dim,), "float32")}, made, name)
            refuse_sigmoid(decoder, self.image_shape, name)
