"""Two domains that share an encoder: what deepfakes began with."""

import math

import keras
import numpy as np
from keras import ops

from kgen.arguments import one_of, positive, weight_of
from kgen.conditions import Target
from kgen.data.ranges import normalize_image_shape
from kgen.engine.generative_model import GenerativeModel
from kgen.models.network_checks import check_outputs, given, output_shapes, refuse_sigmoid
from kgen.models.translator import DIRECTIONS
from kgen.networks.face_swap import swap_decoder, swap_encoder, swap_intermediate

EPSILON = 1e-6  # of what is told at least


@keras.saving.register_keras_serializable("kgen")
class FaceSwap(GenerativeModel):
    r"""One encoder, two decoders: the autoencoder of deepfakes (Perov et al., 2020, DeepFaceLab).

    An encoder E and an intermediate network I see the faces of two people, each decoder D draws one
    of them (the paper's structure "DF"): $E \|D_A(z_a) - a\|^2 + E \|D_B(z_b) - b\|^2$ with $z_x =
    I(E(x))$, means over pixels and channels. What z tells has to serve both, pose and expression;
    who it is, each decoder knows by itself. So $D_B(z_a)$ is the person B, looking as A does.

    That needs faces of both to be told alike, which a term with a weight asks for: $\lambda
    \|\bar z_a - \bar z_b\|^2 / \overline{\|z\|^2}$, how far apart the means over a batch are, in
    units of what is told. (The paper's code has a discriminator of z for this, "true face".)

    What is seen in few pixels is learned late, or not at all: a mouth moves little of the mean
    square. `focus` weighs such places (as "eyes and mouth priority" does in the paper's code).

    `fit` takes two domains: two arrays, a `kgen.data.ImagePairs`, or batches `(a, b)`. Nothing has
    to belong together; the more alike the poses of both are, the better.

    Args:
        image_shape: of both domains, `(H, W)` or `(H, W, C)`.
        latent_dim: width of the code, through which all has to pass.
        encoder: `keras.Model` from images to codes `(N, latent_dim)`.
        intermediate: `keras.Model` from codes to features z, of any shape.
        decoder_a, decoder_b: `keras.Model` from features to images in [-1, 1].
        matching_weight: lambda.
        focus: places that count more, a sequence of `(top, left, bottom, right, weight)`: a box in
            fractions of height and width, and how many times as much its pixels count in the mean;
            where boxes meet, the largest weight holds.
        filters: of the default networks (`kgen.networks.swap_encoder`, `swap_intermediate`,
            `swap_decoder`).
        **kwargs: `seed` (of noise and order; `keras.utils.set_random_seed` seeds the weights),
            `check_range`, `name`, `dtype`, as in `GenerativeModel`.

    Logs `loss` and its terms: `error_a`, `error_b`, and `gap`, the last one without its weight.

    Raises:
        ValueError: for numbers out of range, or networks whose shapes do not fit.

    Example:

    ```python
    two = kgen.data.load("faces/alice2bob", num_examples=5000)
    model = kgen.FaceSwap(two.image_shape)
    model.compile()
    model.fit(two, batch_size=16, epochs=12)
    model.translate(faces_of_alice)  # as Bob
    ```
    """

    players = {"autoencoder": ["encoder", "intermediate", "decoder_a", "decoder_b"]}
    logs = ("loss", "error_a", "error_b", "gap")
    conditions = (Target,)

    def __init__(
        self,
        image_shape,
        latent_dim=64,
        *,
        encoder=None,
        intermediate=None,
        decoder_a=None,
        decoder_b=None,
        matching_weight=0.1,
        focus=(),
        filters=32,
        **kwargs,
    ):
        shape = normalize_image_shape(image_shape)
        if len(shape) != 3:
            raise ValueError(f"FaceSwap translates images, (H, W) or (H, W, C); got {shape}.")
        latent_dim = positive(latent_dim, "latent_dim")
        options = {"filters": filters, "dtype": kwargs.get("dtype")}
        intermediate = given(intermediate, swap_intermediate, shape, latent_dim, **options)
        code = {"codes": ((latent_dim,), "float32")}
        features = features_of(intermediate, code, "intermediate")
        super().__init__(
            shape,
            condition=Target(shape, aligned=False),
            encoder=given(encoder, swap_encoder, shape, latent_dim, **options),
            intermediate=intermediate,
            decoder_a=given(decoder_a, swap_decoder, shape, features, **options),
            decoder_b=given(decoder_b, swap_decoder, shape, features, **options),
            **kwargs,
        )
        self.latent_dim = latent_dim
        self.matching_weight = weight_of(matching_weight, "matching_weight")
        self.focus = boxes_of(focus)
        self._weights = pixel_weights(self.focus, shape)
        self.check_networks()
        self.ensure_built()

    def get_config(self):
        """Everything that the constructor needs, networks included."""
        config = super().get_config()
        del config["condition"]
        return {
            **config,
            "latent_dim": self.latent_dim,
            "matching_weight": self.matching_weight,
            "focus": self.focus,
        }

    def objective(self, batch, training):
        """Squared errors of both domains, each by its own decoder, and the gap; and these."""
        errors, told = {}, {}
        decoders = {"a": self.decoder_a, "b": self.decoder_b}
        for (name, decoder), images in zip(decoders.items(), batch, strict=True):
            told[name] = z = self.features(images, training)
            again = ops.cast(decoder(z, training=training), "float32")
            errors[f"error_{name}"] = ops.mean(
                ops.multiply(self._weights, ops.square(again - images))
            )
        gap = relative_gap(told["a"], told["b"])
        return sum(errors.values()) + self.matching_weight * gap, {**errors, "gap": gap}

    def features(self, images, training=False):
        """What decoders are given: a tensor z of a tensor of images in [-1, 1]."""
        return self.intermediate(self.encoder(images, training=training), training=training)

    # What a user asks for.

    def call(self, inputs, training=False):
        """Images of A as B."""
        return self.decoder_b(self.features(inputs, training), training=training)

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
        """Codes of images, of whichever domain: float32 `(N, latent_dim)`."""
        return self.infer(self._encode, self.images_in(images), batch_size=batch_size)

    def _drawn_as(self, images, domain, batch_size):
        images, static = self.images_in(images), {"domain": domain}
        drawn = self.infer(self._draw_as, images, static=static, batch_size=batch_size)
        return np.clip(drawn, -1, 1)

    def _draw_as(self, images, domain):
        decoder = {"a": self.decoder_a, "b": self.decoder_b}[domain]
        return decoder(self.features(images), training=False)

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
        code = {"codes": ((self.latent_dim,), "float32")}
        check_outputs(self.encoder, taken, {"codes of shape": (self.latent_dim,)}, "encoder")
        features = features_of(self.intermediate, code, "intermediate")
        for name in ("decoder_a", "decoder_b"):
            decoder, made = getattr(self, name), {"images of shape": self.image_shape}
            check_outputs(decoder, {"features": (features, "float32")}, made, name)
            refuse_sigmoid(decoder, self.image_shape, name)


def features_of(network, signature, name):
    """Shape of what a network makes, without the batch axis; a `ValueError` if it is not one."""
    ((taken, _),) = signature.values()
    shapes = output_shapes(network, taken, name, f"it has to take {next(iter(signature))}")
    if not isinstance(shapes, list) or len(shapes) != 1 or None in shapes[0][1:]:
        raise ValueError(
            f"The {name} must return one tensor of features, all of whose sizes are known; it "
            f"returns {shapes}."
        )
    return shapes[0][1:]


def boxes_of(focus):
    """`focus` as a list of lists of five floats; a `ValueError` for anything else."""
    boxes = []
    for box in focus if isinstance(focus, list | tuple) else [focus]:
        try:
            top, left, bottom, right, weight = map(float, box)
        except (TypeError, ValueError):
            top, left, bottom, right, weight = [math.nan] * 5
        if not (0 <= top < bottom <= 1 and 0 <= left < right <= 1):
            raise ValueError(
                "focus must hold boxes (top, left, bottom, right, weight), top and left before "
                f"bottom and right, all four from 0 to 1; got {box!r}."
            )
        boxes.append([top, left, bottom, right, weight_of(weight, "The weight of a box in focus")])
    return boxes


def pixel_weights(boxes, image_shape):
    """How much each pixel counts, 1 on average: float32 `(1, H, W, 1)`."""
    height, width, _ = image_shape
    weights = np.ones((1, height, width, 1), "float32")
    for top, left, bottom, right, weight in sorted(boxes, key=lambda box: box[-1]):
        rows = slice(round(top * height), max(round(bottom * height), round(top * height) + 1))
        columns = slice(round(left * width), max(round(right * width), round(left * width) + 1))
        weights[:, rows, columns] = weight
    if not weights.any():
        raise ValueError(f"focus leaves no pixel that counts; got {boxes}.")
    return weights / weights.mean()


def relative_gap(a, b):
    """Squared distance of the means of two batches of features, in units of their mean square."""
    a, b = (ops.reshape(ops.cast(x, "float32"), (ops.shape(x)[0], -1)) for x in (a, b))
    told = (ops.mean(ops.square(a)) + ops.mean(ops.square(b))) / 2
    return ops.mean(ops.square(ops.mean(a, axis=0) - ops.mean(b, axis=0))) / (told + EPSILON)
