"""Translation that learns from two sets of images, in one direction: CUT."""

import dataclasses

import keras
from keras import ops

from kgen.arguments import flag, one_of, positive, weight_of
from kgen.arrays import as_list, one_or_all
from kgen.losses import patch_contrastive
from kgen.models.network_checks import given
from kgen.models.translator import Translator
from kgen.networks.patchgan import patchgan
from kgen.networks.projection import projection_heads
from kgen.networks.resnet_translator import resnet_translator


@dataclasses.dataclass(frozen=True)
class Variant:
    """A setting of `CUT` (Park et al., 2020, table 4 and section B).

    Attributes:
        nce_weight, identity_nce, flip: as in `CUT`.
    """

    nce_weight: float
    identity_nce: bool
    flip: bool


FEATURES = tuple(f"feature_{number}" for number in range(5))  # as `resnet_translator` names them
VARIANTS = {"cut": Variant(1.0, True, False), "fastcut": Variant(10.0, False, True)}
"""Settings by name; what is passed to the constructor wins."""


@keras.saving.register_keras_serializable("kgen")
class CUT(Translator):
    r"""Contrastive unpaired translation (Park et al., 2020): one generator, one discriminator.

    A patch of the translation shall be nearer to the patch at its place in the input than to others
    of the same input: $L_{GAN}(G, D) + \lambda_X L_{PatchNCE}(G, H, X) + \lambda_Y
    L_{PatchNCE}(G, H, Y)$ (equation 6). Patches are features of the generator's first half at 256
    places of some layers, each seen through a head H of two linear layers with a ReLU between, of
    length 1 (equations 3 to 5). The second term, on images of the target domain, keeps the
    generator from changing them.

    | variant | $\lambda_X$ | $\lambda_Y$ | flips |
    |---|---|---|---|
    | `"cut"` | 1/2 | 1/2 | |
    | `"fastcut"` | 10 | 0 | the generator sees mirrored inputs half of the time |

    ($\lambda_X = \lambda_Y = 1$ in the paper, whose code halves their sum.)

    `fit` takes two domains: two arrays, a `kgen.data.ImagePairs`, or batches `(a, b)`; the other
    direction is learnt from `pairs.swapped()`. The heads are made in the constructor: in the
    authors' code they begin with the first batch. The generator is that of `CycleGAN`; theirs
    resamples with a blur, and its weights begin with Xavier's distribution. Generator and heads
    step first, together, then the discriminator on the same images.

    Args:
        image_shape: of domain A, `(H, W)` or `(H, W, C)`; sides divisible by 4.
        target_shape: of domain B; by default as A. The default generator keeps the size.
        variant: a row of the table. The arguments that follow win where they are given.
        nce_weight: lambda_X, or with `identity_nce` the sum of both.
        identity_nce: whether lambda_Y is lambda_X, and not 0.
        flip: whether inputs are mirrored half of the time, and features mirrored back.
        features: names of the generator's layers whose outputs are compared; by default the
            authors' (0, 4, 8, 12, 16): the pixels, both strided convolutions, the first and the
            fifth residual block (`kgen.networks.resnet_translator`).
        patches: places in each of them.
        temperature: tau.
        generator: functional `keras.Model` from images to images in [-1, 1].
        projection: `keras.Model` from the list of features `(N, P, C)` to as many `(N, P, D)`.
        discriminator: `keras.Model` from images of B to scores `(N, h, w, 1)`, logits.
        loss: adversarial, as in `kgen.GAN`.
        penalty: of the discriminator, as in `kgen.GAN`.
        average_decay: of the moving average of the generator, which `translate` uses; in [0, 1), 0
            for none, as in the paper.
        blocks, upsampling: of the default generator (`kgen.networks.resnet_translator`).
        receptive_field: of the default discriminator (`kgen.networks.patchgan`).
        filters, normalization: of both.
        projection_dim: width of the default heads.
        **kwargs: `seed` (of noise and order; `keras.utils.set_random_seed` seeds the weights),
            `check_range`, `name`, `dtype`, as in `GenerativeModel`.

    Logs `generator_loss`, `discriminator_loss` and `nce_loss`, the mean of the PatchNCE losses.

    Raises:
        ValueError: for unknown names, numbers out of range, networks whose shapes do not fit, and
            features that the generator has not.

    Example:

    ```python
    domains = kgen.data.load("faces/day2night")
    model = kgen.CUT(domains.image_shape)
    model.compile()
    model.fit(domains, batch_size=1, epochs=10)
    model.translate(day)
    ```
    """

    players = {"generator": ["generator", "projection"], "discriminator": ["discriminator"]}
    logs = ("generator_loss", "discriminator_loss", "nce_loss")

    def __init__(
        self,
        image_shape,
        target_shape=None,
        variant="cut",
        *,
        nce_weight=None,
        identity_nce=None,
        flip=None,
        features=FEATURES,
        patches=256,
        temperature=0.07,
        generator=None,
        projection=None,
        discriminator=None,
        loss="least_squares",
        penalty="none",
        average_decay=0.0,
        blocks=9,
        filters=64,
        upsampling="transpose",
        receptive_field=70,
        normalization="instance",
        projection_dim=256,
        **kwargs,
    ):
        super().__init__(
            image_shape,
            target_shape,
            loss=loss,
            penalty=penalty,
            average_decay=average_decay,
            **kwargs,
        )
        self.variant = one_of(variant, VARIANTS, "variant")
        row = VARIANTS[variant]
        nce_weight = row.nce_weight if nce_weight is None else nce_weight
        self.nce_weight = weight_of(nce_weight, "nce_weight")
        identity_nce = row.identity_nce if identity_nce is None else identity_nce
        self.identity_nce = flag(identity_nce, "identity_nce")
        self.flip = flag(row.flip if flip is None else flip, "flip")
        self.patches, self.temperature = positive(patches, "patches"), temperature
        if not weight_of(temperature, "temperature"):
            raise ValueError(f"temperature must be above 0; got {temperature!r}.")
        a, b, dtype = self.image_shape, self.target_shape, kwargs.get("dtype")
        if self.identity_nce and a != b:
            raise ValueError(
                f"With identity_nce the generator sees images of B, {b}, as if they were of A, "
                f"{a}: for such domains pass identity_nce=False."
            )
        options = {"filters": filters, "normalization": normalization, "dtype": dtype}
        self.generator = given(
            generator, resnet_translator, a, b[-1], blocks=blocks, upsampling=upsampling, **options
        )
        self.features = tuple(features)
        channels = [tensor.shape[-1] for tensor in self._feature_tensors()]
        self.projection = given(
            projection, projection_heads, channels, width=projection_dim, dtype=dtype
        )
        self.discriminator = given(
            discriminator, patchgan, b, receptive_field=receptive_field, **options
        )
        self.check_networks()
        self.make_averages()
        self.ensure_built()

    def get_config(self):
        """Everything that the constructor needs, networks included."""
        return {
            **super().get_config(),
            "variant": self.variant,
            "nce_weight": self.nce_weight,
            "identity_nce": self.identity_nce,
            "flip": self.flip,
            "features": self.features,
            "patches": self.patches,
            "temperature": self.temperature,
        }

    # The algorithm.

    def update(self, batch):
        """A step of generator and heads, then one of the discriminator."""
        a, b = batch
        g_loss, (nce, fake) = self.minimize("generator", self.generator_loss, a, b)
        d_loss = self.minimize("discriminator", self.discriminator_loss, b, fake)
        self.update_averages()
        return {"generator_loss": g_loss, "discriminator_loss": d_loss, "nce_loss": nce}

    def measure(self, batch):
        """The losses of a batch, at places drawn anew; nothing is mirrored."""
        a, b = batch
        g_loss, (nce, fake) = self.generator_loss(a, b, training=False)
        d_loss = self.discriminator_loss(b, fake, training=False)
        return {"generator_loss": g_loss, "discriminator_loss": d_loss, "nce_loss": nce}

    def generator_loss(self, a, b, training):
        """Equation 6 for the generator and its heads; and the PatchNCE loss, and what it made."""
        mirrored = None
        if self.flip and training:
            mirrored = keras.random.uniform((), seed=self.random) < 0.5
        source, fake = self._translated(a, mirrored, training)
        nce = self.nce(source, self._features(fake, mirrored, training))
        if self.identity_nce:
            source, same = self._translated(b, None, training)
            nce = 0.5 * (nce + self.nce(source, self._features(same, None, training)))
        fooled = self.adversarial_generator_loss("discriminator", [b], [fake], training)
        return fooled + self.nce_weight * nce, (nce, fake)

    def discriminator_loss(self, b, fake, training):
        """Half of the discriminator's adversarial loss."""
        return self.adversarial_discriminator_loss("discriminator", [b], [fake], training)

    def nce(self, source, translated):
        """PatchNCE loss (equation 5): mean over layers, of features of an image and of its fake."""
        places = [self._places(tensor) for tensor in source]
        keys, queries = (
            self._projected([at_places(*both) for both in zip(side, places, strict=True)])
            for side in (source, translated)
        )
        losses = [
            patch_contrastive(query, ops.stop_gradient(key), self.temperature)
            for query, key in zip(queries, keys, strict=True)
        ]
        return sum(losses) / len(losses)

    def _translated(self, images, mirrored, training):
        """Features of images, and their translation; of mirrored ones, where this is drawn."""
        if mirrored is None:
            *features, fake = self._parts("all")(images, training=training)
            return features, fake
        seen = ops.where(mirrored, ops.flip(images, 2), images)
        fake = self.generator(seen, training=training)
        return self._features(images, None, training), fake

    def _features(self, images, mirrored, training):
        """Features of images, mirrored back where the images are mirrored."""
        features = as_list(self._parts("features")(images, training=training))
        if mirrored is None:
            return features
        return [ops.where(mirrored, ops.flip(tensor, 2), tensor) for tensor in features]

    def _projected(self, features):
        return as_list(self.projection(one_or_all(features)))

    def _places(self, tensor):
        """Places of patches in features `(N, h, w, C)`: indices into the rows of pixels."""
        _, height, width, _ = tensor.shape
        order = ops.argsort(keras.random.uniform((height * width,), seed=self.random))
        return order[: self.patches]

    def _parts(self, which):
        """The generator with its features as outputs, up to the last of them or whole.

        Kept out of Keras's sight, which would write the generator's layers twice.
        """
        kept = self.__dict__.setdefault("_parts_of_generator", {})
        if kept.get("generator") is not self.generator:
            features, whole = self._feature_tensors(), self.generator.outputs
            inputs = self.generator.inputs
            # Names of their own, which TensorFlow's optimiser of graphs follows to the last bit.
            kept["features"] = keras.Model(inputs, features, name="features")
            kept["all"] = keras.Model(inputs, [*features, *whole], name="features_and_images")
            kept["generator"] = self.generator
        return kept[which]

    def _feature_tensors(self):
        """The outputs of the layers that `features` names."""
        names = [layer.name for layer in getattr(self.generator, "layers", [])]
        missing = [name for name in self.features if name not in names]
        if missing or not self.features:
            raise ValueError(
                f"features names layers of the generator, whose outputs are compared; it has no "
                f"{missing}. Its layers are {names}."
            )
        return [self.generator.get_layer(name).output for name in self.features]


def at_places(features, places):
    """Rows `(N, P, C)` of features `(N, h, w, C)` at indices into their pixels."""
    _, height, width, channels = features.shape
    rows = ops.reshape(features, (-1, height * width, channels))
    return ops.take(rows, places, axis=1)
