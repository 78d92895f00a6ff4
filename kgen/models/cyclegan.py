"""Translation that learns from two sets of images, in both directions: CycleGAN."""

import keras
from keras import ops

from kgen.arguments import weight_of, whole
from kgen.arrays import as_list
from kgen.engine.left_out import LeftOut
from kgen.layers.image_history import ImageHistory
from kgen.models.network_checks import given
from kgen.models.translator import DIRECTIONS, Translator
from kgen.networks.patchgan import patchgan
from kgen.networks.resnet_translator import resnet_translator


@keras.saving.register_keras_serializable("kgen")
class CycleGAN(Translator):
    r"""Image-to-image translation without pairs (Zhu et al., 2017).

    Two generators, $G: A \to B$ and $F: B \to A$, undo each other: $L(G, F) = L_{GAN}(G, D_B) +
    L_{GAN}(F, D_A) + \lambda (E \|F(G(a)) - a\|_1 + E \|G(F(b)) - b\|_1)$ (equation 3), plus
    $\lambda / 2$ times $E \|G(b) - b\|_1 + E \|F(a) - a\|_1$ (section 5.2, identity), so that
    colours stay. Norms are means over pixels and channels; the adversarial loss is that of least
    squares (section 4). Each discriminator sees one of the last 50 generated images in the place of
    every second new one (`kgen.layers.ImageHistory`).

    `fit` takes two domains: two arrays, a `kgen.data.ImagePairs`, or batches `(a, b)`.

    As in the authors' code both generators step first, together, then both discriminators, on the
    same generated images. The paper's rate is constant for 100 epochs and falls to 0 over 100 more:
    pass `keras.optimizers.Adam(kgen.schedules.LinearDecay(2e-4, steps, steps), 0.5)` to `compile`,
    one for each player.

    Args:
        image_shape: of domain A, `(H, W)` or `(H, W, C)`; sides divisible by 4.
        target_shape: of domain B; by default as A. The default networks keep the size.
        a_to_b, b_to_a: generators, `keras.Model` from images to images in [-1, 1].
        discriminator_a, discriminator_b: `keras.Model` from images of the domain to scores
            `(N, h, w, 1)`, logits.
        cycle_weight: lambda.
        identity_weight: factor of lambda for the identity term; 0 for none, as it must be where the
            domains differ in channels.
        history_size: generated images that are kept of each domain; 0: the discriminators see the
            new ones alone. They are saved with the model, but not in the zoo's files.
        loss: adversarial, as in `kgen.GAN`.
        penalty: of the discriminators, as in `kgen.GAN`.
        average_decay: of the moving average of the generators, which `translate` uses; in [0, 1), 0
            for none, as in the paper.
        blocks, upsampling: of the default generators (`kgen.networks.resnet_translator`): the paper
            takes 6 residual blocks for 128x128 pixels and 9 from 256x256.
        receptive_field: of the default discriminators (`kgen.networks.patchgan`).
        filters, normalization: of all default networks.
        **kwargs: `seed` (of noise and order; `keras.utils.set_random_seed` seeds the weights),
            `check_range`, `name`, `dtype`, as in `GenerativeModel`.

    Logs `generator_loss`, `discriminator_loss`, `cycle_loss` and, unless its weight is 0,
    `identity_loss`; each the sum of both directions, the last two without their weights.

    Raises:
        ValueError: for unknown names, numbers out of range, and networks whose shapes do not fit.

    Example:

    ```python
    domains = kgen.data.load("faces/day2night")
    model = kgen.CycleGAN(domains.image_shape, blocks=6)
    model.compile()
    model.fit(domains, batch_size=1, epochs=10)
    model.translate(day, "a_to_b")
    ```
    """

    players = {
        "generators": ["a_to_b", "b_to_a"],
        "discriminators": ["discriminator_a", "discriminator_b"],
    }
    translators = {"a_to_b": "a_to_b", "b_to_a": "b_to_a"}
    discriminators = {"a_to_b": "discriminator_b", "b_to_a": "discriminator_a"}

    def __init__(
        self,
        image_shape,
        target_shape=None,
        *,
        a_to_b=None,
        b_to_a=None,
        discriminator_a=None,
        discriminator_b=None,
        cycle_weight=10.0,
        identity_weight=0.5,
        history_size=50,
        loss="least_squares",
        penalty="none",
        average_decay=0.0,
        blocks=9,
        filters=64,
        upsampling="transpose",
        receptive_field=70,
        normalization="instance",
        **kwargs,
    ):
        self.cycle_weight = weight_of(cycle_weight, "cycle_weight")
        self.identity_weight = weight_of(identity_weight, "identity_weight")
        self.history_size = whole(history_size, "history_size")
        super().__init__(
            image_shape,
            target_shape,
            loss=loss,
            penalty=penalty,
            average_decay=average_decay,
            **kwargs,
        )
        a, b = self.image_shape, self.target_shape
        if self.identity_weight and a != b:
            raise ValueError(
                f"The identity term compares images of A, {a}, with what is made of them as of B, "
                f"{b}: for such domains pass identity_weight=0."
            )
        options = {"filters": filters, "normalization": normalization, "dtype": kwargs.get("dtype")}
        resnet = {"blocks": blocks, "upsampling": upsampling, **options}
        patches = {"receptive_field": receptive_field, **options}
        self.a_to_b = given(a_to_b, resnet_translator, a, b[-1], **resnet)
        self.b_to_a = given(b_to_a, resnet_translator, b, a[-1], **resnet)
        self.discriminator_a = given(discriminator_a, patchgan, a, **patches)
        self.discriminator_b = given(discriminator_b, patchgan, b, **patches)
        self.check_networks()
        self.make_averages()
        self.history_a, self.history_b = self._history(a), self._history(b)
        self.ensure_built()

    def _history(self, shape):
        inference = isinstance(self.discriminator_a, LeftOut)
        if not self.history_size or inference:
            return None
        history = ImageHistory(self.history_size, dtype="float32")
        history.build((None, *shape))
        return history

    @property
    def logs(self):
        """Names of the losses."""
        identity = ("identity_loss",) if self.identity_weight else ()
        return ("generator_loss", "discriminator_loss", "cycle_loss", *identity)

    def get_config(self):
        """Everything that the constructor needs, networks included."""
        return {
            **super().get_config(),
            "cycle_weight": self.cycle_weight,
            "identity_weight": self.identity_weight,
            "history_size": self.history_size,
        }

    # The algorithm.

    def update(self, batch):
        """A step of both generators, then one of both discriminators."""
        a, b = batch
        g_loss, (parts, fake_a, fake_b) = self.minimize("generators", self.generator_loss, a, b)
        if self.history_a is not None:
            fake_a = self.history_a(fake_a, seed=self.random)
            fake_b = self.history_b(fake_b, seed=self.random)
        d_loss = self.minimize("discriminators", self.discriminator_loss, a, b, fake_a, fake_b)
        self.update_averages()
        return {"generator_loss": g_loss, "discriminator_loss": d_loss, **parts}

    def measure(self, batch):
        """The losses of a batch; the discriminators see its own images, none of the history."""
        a, b = batch
        g_loss, (parts, fake_a, fake_b) = self.generator_loss(a, b, training=False)
        d_loss = self.discriminator_loss(a, b, fake_a, fake_b, training=False)
        return {"generator_loss": g_loss, "discriminator_loss": d_loss, **parts}

    def generator_loss(self, a, b, training):
        """Equation 3 for both generators; and its parts by name, and what they made."""
        same = bool(self.identity_weight)
        fake_b, *same_b = self.run("a_to_b", *([a], [b])[: 1 + same], training=training)
        fake_a, *same_a = self.run("b_to_a", *([b], [a])[: 1 + same], training=training)
        back_a = self.b_to_a(fake_b, training=training)
        back_b = self.a_to_b(fake_a, training=training)
        parts = {"cycle_loss": mean_distance(back_a, a) + mean_distance(back_b, b)}
        loss = self.cycle_weight * parts["cycle_loss"]
        if same:
            parts["identity_loss"] = mean_distance(*same_a, a) + mean_distance(*same_b, b)
            weight = self.cycle_weight * self.identity_weight
            loss = loss + weight * parts["identity_loss"]
        for name, real, fake in (("discriminator_a", a, fake_a), ("discriminator_b", b, fake_b)):
            loss = loss + self.adversarial_generator_loss(name, [real], [fake], training)
        return loss, (parts, fake_a, fake_b)

    def discriminator_loss(self, a, b, fake_a, fake_b, training):
        """What both discriminators minimize, each half of its objective."""
        of_a = self.adversarial_discriminator_loss("discriminator_a", [a], [fake_a], training)
        of_b = self.adversarial_discriminator_loss("discriminator_b", [b], [fake_b], training)
        return of_a + of_b

    # What a user asks for.

    def preview(self, n, seed=None, inputs=None):
        """Rows of images: each domain, what it becomes, and what that becomes again.

        Of images of A alone, the first three. Where the inputs are aligned, `"b"` is the truth of
        `"a to b"`, and `"a"` that of `"b to a"`.
        """
        if inputs is None:
            raise self.no_inputs()
        rows, directions = {}, (DIRECTIONS, DIRECTIONS[::-1])
        for images, (there, back) in zip(as_list(inputs), directions, strict=False):
            start, end = there[0], there[-1]
            images = self._to_translate(images[:n], there)
            translated = self.translate(images, there)
            rows[start], rows[f"{start} to {end}"] = images, translated
            rows[f"{start} to {end} to {start}"] = self.translate(translated, back)
        return rows


def mean_distance(images, others):
    """Mean over pixels and channels of the absolute difference, in float32."""
    return ops.mean(ops.abs(ops.cast(images, "float32") - ops.cast(others, "float32")))
