"""Normalizing flows: densities that are exact, by bijections."""

import math

import keras
import numpy as np
from keras import ops

from kgen.arguments import one_of, weight_of
from kgen.conditions import ClassLabels, Nothing
from kgen.data.ranges import normalize_image_shape
from kgen.engine.random import Draws, host_generator
from kgen.layers.bijections import Bijection
from kgen.layers.bijections.base import summed
from kgen.layers.dequantization import Dequantization
from kgen.models.latent_model import EncodingModel
from kgen.models.likelihood import check_levels
from kgen.models.network_checks import output_shapes
from kgen.networks.flows import DEQUANTIZATIONS, FLOWS


@keras.saving.register_keras_serializable("kgen")
class NormalizingFlow(EncodingModel):
    r"""Normalizing flow (Rezende and Mohamed, 2015; Dinh et al., 2017; Kingma and Dhariwal, 2018).

    A bijection f makes latents of images, and the density of images is that of their latents,
    times what f stretches: $\log p(x) = \log N(f(x); 0, I) + \log |\det \partial f / \partial x|$
    (Dinh et al., 2017, equation 3). Training maximises it; no bound, no adversary. To generate, f
    is inverted.

    8-bit images have no density, so training spreads their levels by noise (`dequantization`): the
    loss is the mean number of bits that a dimension of an 8-bit image costs at most. For points it
    is the mean of $-\log p(x)$ in nats.

    Args:
        image_shape: `(H, W)`, `(H, W, C)` with even sides, or `(D,)` for points, D of 2 or more.
        variant: of the flow, `"glow"`, `"realnvp"` or `"tarflow"`: functions of `kgen.networks`.
        levels, steps, filters: of this flow, as in these functions; None: as suits.
        dequantization: `"uniform"` noise; `"variational"`, noise that a flow learns; or a
            `kgen.layers.Dequantization`. Of no use for points.
        flow: in the place of the variant, a `kgen.layers.Bijection` from `(N, *image_shape)` to
            latents `(N, D)`, D the numbers of an image, such as a `Chain`; with labels, one whose
            networks are told them.
        **kwargs: `condition`, such as `kgen.conditions.ClassLabels(10)`; `seed` (of noise and
            order; `keras.utils.set_random_seed` seeds the weights), `check_range`, `name`, `dtype`,
            as in `GenerativeModel`.

    Raises:
        ValueError: for unknown names; for sides that cannot be halved so often, of which it says
            which; for a flow whose latents are others, or that is told other classes.

    Example:

    ```python
    flow = kgen.NormalizingFlow((28, 28))
    flow.compile()
    flow.fit(x, epochs=20)
    flow.bits_per_dim(x_test).mean()
    kgen.plots.grid(flow.generate(16))
    ```
    """

    players = {"flow": ["flow", "dequantization"]}
    conditions, conditioned = (Nothing, ClassLabels), ("flow",)
    encoder_name = decoder_name = "flow"
    call_takes_images = False  # but latents

    def __init__(
        self,
        image_shape,
        variant="glow",
        levels=None,
        steps=None,
        filters=None,
        dequantization="uniform",
        flow=None,
        **kwargs,
    ):
        image_shape, dtype = normalize_image_shape(image_shape), kwargs.get("dtype")
        make = FLOWS[one_of(variant, [*FLOWS], "variant")]
        sizes = {"levels": levels, "steps": steps, "filters": filters}
        if flow is None:
            classes = getattr(kwargs.get("condition"), "num_classes", None)
            flow = make(image_shape, num_classes=classes, dtype=dtype, **sizes)
        elif given := {name: size for name, size in sizes.items() if size is not None}:
            raise ValueError(f"flow= is used as it is; {given} are of a flow by its name.")
        layer = dequantization
        if not isinstance(layer, Dequantization):
            one_of(dequantization, [*DEQUANTIZATIONS], "dequantization")
            layer = DEQUANTIZATIONS[dequantization](image_shape, dtype=dtype)
        if not layer.built:
            layer.build((None, *image_shape))
        super().__init__(image_shape, flow=flow, dequantization=layer, **kwargs)
        self.latent_dim = math.prod(image_shape)
        self.check_flow()
        try:
            self.ensure_built()
        except ValueError as error:
            reason = error.__cause__ or error
            raise ValueError(f"The flow does not lead from latents to images: {reason}") from error

    def check_flow(self):
        """Raise unless the flow is a bijection from images to latents of as many numbers."""
        if not isinstance(self.flow, Bijection):
            raise TypeError(
                "flow must be a kgen.layers.Bijection, such as a Chain of them; got "
                f"{type(self.flow).__name__}."
            )
        reason = f"image_shape is {self.image_shape}"
        for name in self.players["flow"]:
            network = getattr(self, name)
            built = (network.get_build_config() or {}).get("input_shape")
            if network.weights and built is not None and tuple(built[1:]) != self.image_shape:
                raise ValueError(f"The {name} was built for inputs {tuple(built)}, but {reason}.")
        outputs = output_shapes(self.flow, self.image_shape, "flow", reason)
        if outputs != [(None, self.latent_dim), (None,)]:
            raise ValueError(
                f"The flow must return latents {(None, self.latent_dim)} and log-determinants "
                f"(None,), since {reason}; it returns {outputs}. A kgen.layers.Chain does."
            )
        told = {getattr(layer, "num_classes", None) for layer in self.flow._flatten_layers()}
        known = getattr(self.condition, "num_classes", None)
        if known is not None and (others := told - {None, known}):
            raise ValueError(
                f"The flow is told {others.pop()} classes, but the condition has {known}: make it "
                f"with num_classes={known}."
            )

    def default_optimizers(self):
        """Adam, the gradient clipped to a norm of 1, as flows may stretch a rare image far."""
        return {"flow": keras.optimizers.Adam(1e-3, clipnorm=1.0)}

    # The algorithm.

    def objective(self, batch, training):
        """Bits per dimension of images with noise; of points, -log p(x) in nats."""
        images, *told = batch if isinstance(batch, tuple) else (batch,)
        if len(self.image_shape) == 1:
            return -ops.mean(self.log_density(images, told, training))
        noisy, log_q = self.dequantization(images, seed=self.random)
        nats = self.log_density(noisy, told, training) - log_q
        return -ops.mean(nats) / (self.latent_dim * math.log(2))

    def log_density(self, images, told=(), training=False):
        """Log-density of images in nats, by the change of variables: float32 tensor `(N,)`.

        Args:
            images: tensor `(N, *image_shape)`.
            told: list of the tensors that are the condition.
            training: whether the flow learns from them.
        """
        z, log_det = self.flow(images, told=told[0] if told else None, training=training)
        return summed(-0.5 * ops.square(z) - 0.5 * math.log(2 * math.pi)) + log_det

    def call(self, inputs, training=False):
        """Images of latents `(N, D)`: the inverse of the flow."""
        latents, *told = inputs if isinstance(inputs, list | tuple) else (inputs,)
        return self._decode(latents, *told)

    def input_signature(self):
        """Latents, and what the condition gives."""
        signature = [((self.latent_dim,), "float32"), *self.condition.signatures().values()]
        return signature if len(signature) > 1 else signature[0]

    # What a user asks for.

    def generate(self, n, labels=None, temperature=1.0, seed=None, batch_size=None):
        """Draw `n` images: float32 `(n, *image_shape)` in [-1, 1].

        The same seed gives the same latents on every backend; the first 8 of 16 are the 8.

        Args:
            n: how many.
            labels: of a conditional model (`condition`), one for all images or one for each; None:
                all classes in turn.
            temperature: standard deviation of the latents, 0 or more. Below 1 images are those of a
                sharper density, fewer and clearer (Kingma and Dhariwal, 2018, section 6).
            seed: of the latents.
            batch_size: images at a time.

        Raises:
            ValueError: for an `n` that is not positive, a negative temperature, and labels that are
                none or of no use here.
        """
        latents = Draws.normal((self.how_many(n), self.latent_dim), seed)
        told = self.condition.draw(len(latents), labels)
        scale = np.float32(weight_of(temperature, "temperature"))
        return self._in_range(
            self.infer(self._sample, latents, scale, *told, batch_size=batch_size)
        )

    def preview(self, n, seed=None, inputs=None):
        """As in `GenerativeModel`; of a model that is told the class, by class."""
        if not isinstance(self.condition, ClassLabels):
            return super().preview(n, seed, inputs)
        return self.preview_by_class(n, self.condition.num_classes, seed)

    def decode(self, latents, labels=None, batch_size=None):
        """Images of latents, the inverse of `encode`: float32 `(N, *image_shape)` in [-1, 1].

        Args:
            latents: `(N, latent_dim)`.
            labels: of a conditional model, as for `encode`; needed there.
            batch_size: images at a time.
        """
        latents = self.latents_in(latents)
        told = self.condition.of_images(len(latents), labels)
        return self._in_range(self.infer(self._decode, latents, *told, batch_size=batch_size))

    def _encode(self, images, *told):
        z, _ = self.flow(images, told=told[0] if told else None, training=False)
        return z

    def _decode(self, latents, *told):
        images = self.flow.inverse(latents, told[0] if told else None)
        return ops.reshape(images, (-1, *self.image_shape))

    def _sample(self, latents, temperature, *told):
        return self._decode(temperature * latents, *told)

    # Likelihood.

    def log_likelihood(self, images, labels=None, batch_size=None):
        """Exact log p(x) of each image, as it is, in nats, a density on [-1, 1]: float32 `(N,)`.

        Args:
            images: `(N, *image_shape)`.
            labels: of a conditional model; they are needed.
            batch_size: images at a time.
        """
        images = self.images_in(images)
        told = self.condition.of_images(len(images), labels)
        return self.infer(self._log_density, images, *told, batch_size=batch_size)

    def anomaly_score(self, images, labels=None, batch_size=None):
        """How unlikely each image is: its negative log-likelihood in nats, float32 `(N,)`."""
        return -self.log_likelihood(images, labels, batch_size)

    def bits_per_dim(self, images, labels=None, seed=0, batch_size=None):
        """Upper bound on the bits that each dimension of the 8-bit image costs: float32 `(N,)`.

        Of images with the noise of `dequantization`; uniform noise is that of all families here
        (`kgen.models.likelihood`).

        Args:
            images: uint8, or floats on the 256 levels.
            labels: of a conditional model; they are needed.
            seed: of the noise.
            batch_size: images at a time.

        Raises:
            ValueError: for points; for floats between the levels.
        """
        images = self.images_in(images)
        told = self.condition.of_images(len(images), labels)
        nats = self._log_probabilities(images, told, seed, batch_size)
        return -nats / np.float32(self.latent_dim * math.log(2))

    def _log_probabilities(self, images, told, seed, batch_size):
        check_levels(images)
        random = host_generator(seed)
        draw = random.random if self.dequantization.noise == "uniform" else random.standard_normal
        noise = Draws(images.shape, lambda n: draw((n, *images.shape[1:]), dtype="float32"))
        return self.infer(self._log_probability, images, noise, *told, batch_size=batch_size)

    def _log_density(self, images, *told):
        return self.log_density(images, told)

    def _log_probability(self, images, noise, *told):
        noisy, log_q = self.dequantization.noisy(images, noise)
        return self.log_density(noisy, told) - log_q
