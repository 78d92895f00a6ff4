"""Translation that learns from pairs: pix2pix."""

import keras
import numpy as np
from keras import ops

from kgen.arguments import flag, weight_of
from kgen.engine.random import host_generator, seeds_of
from kgen.models.network_checks import given
from kgen.models.translator import Translator
from kgen.networks.patchgan import patchgan
from kgen.networks.unet import unet


@keras.saving.register_keras_serializable("kgen")
class Pix2Pix(Translator):
    r"""Image-to-image translation from pairs (Isola et al., 2017).

    A generator G draws the answer to an image x; a discriminator D tells G(x) from the true answer
    y, each seen beside x: $\arg \min_G \max_D E \log D(x, y) + E \log(1 - D(x, G(x))) + \lambda E
    \|y - G(x)\|_1$ (equation 4), where the L1 norm is a mean over pixels and channels. G is a
    U-Net, whose dropout is the only noise; D scores patches (sections 3.2.1 and 3.2.2).

    `fit` takes pairs: two arrays, an aligned `kgen.data.ImagePairs`, or batches `(x, y)`. The other
    direction is learnt from `pairs.swapped()`.

    In each update the generator steps first, then the discriminator, on the same generated images:
    so the generator runs once. (The authors' code lets the discriminator step first.)

    Args:
        image_shape: of x, `(H, W)` or `(H, W, C)`; both sides divisible by `2**depth`.
        target_shape: of y; by default as x. The default networks keep the size.
        generator: `keras.Model` from x to y in [-1, 1].
        discriminator: `keras.Model` from `[y, x]` to scores `(N, h, w, 1)`, logits.
        l1_weight: lambda. 0 is the conditional GAN alone.
        adversarial_weight: of the generator's adversarial loss. 0 is L1 alone, for which no
            discriminator is trained.
        loss: adversarial, as in `kgen.GAN`.
        penalty: of the discriminator, as in `kgen.GAN`.
        average_decay: of the moving average of the generator, which `translate` uses; in [0, 1), 0
            for none, as in the paper.
        depth, filters, dropout, upsampling: of the default U-Net (`kgen.networks.unet`).
        receptive_field: of the default discriminator (`kgen.networks.patchgan`): 70 pixels; 1 for
            single ones, `"image"` for the whole image.
        normalization: of both default networks.
        **kwargs: `seed` (of noise and order; `keras.utils.set_random_seed` seeds the weights),
            `check_range`, `name`, `dtype`, as in `GenerativeModel`.

    Logs `generator_loss`, `discriminator_loss` and `l1`, the mean absolute error.

    Raises:
        ValueError: for unknown names, numbers out of range, and networks whose shapes do not fit.

    Example:

    ```python
    pairs = kgen.data.load("faces/edges2photo", num_examples=5000)
    model = kgen.Pix2Pix(pairs.image_shape, pairs.target_shape)
    model.compile()
    model.fit(pairs, batch_size=16, epochs=10)
    photos = model.translate(edges)
    ```
    """

    players = {"generator": ["generator"], "discriminator": ["discriminator"]}
    logs = ("generator_loss", "discriminator_loss", "l1")
    aligned, rows = True, ("input", "output", "truth")

    def __init__(
        self,
        image_shape,
        target_shape=None,
        *,
        generator=None,
        discriminator=None,
        l1_weight=100.0,
        adversarial_weight=1.0,
        loss="non_saturating",
        penalty="none",
        average_decay=0.0,
        depth=None,
        filters=64,
        dropout=0.5,
        upsampling="transpose",
        receptive_field=70,
        normalization="batch",
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
        self.l1_weight = weight_of(l1_weight, "l1_weight")
        self.adversarial_weight = weight_of(adversarial_weight, "adversarial_weight")
        if not (self.l1_weight or self.adversarial_weight):
            raise ValueError("l1_weight and adversarial_weight are both 0: nothing is learnt.")
        options = {"filters": filters, "normalization": normalization, "dtype": kwargs.get("dtype")}
        self.generator = given(
            generator,
            unet,
            self.image_shape,
            self.target_shape[-1],
            depth=depth,
            dropout=dropout,
            upsampling=upsampling,
            **options,
        )
        self.discriminator = given(
            discriminator,
            patchgan,
            self.target_shape,
            self.image_shape[-1],
            receptive_field=receptive_field,
            **options,
        )
        self.check_networks()
        self.make_averages()
        self.ensure_built()

    def get_config(self):
        """Everything that the constructor needs, networks included."""
        weights = {"l1_weight": self.l1_weight, "adversarial_weight": self.adversarial_weight}
        return {**super().get_config(), **weights}

    # The algorithm.

    def update(self, batch):
        """A step of the generator, then one of the discriminator on what it made."""
        x, y = batch
        g_loss, (l1, fake) = self.minimize("generator", self.generator_loss, x, y)
        d_loss = ops.zeros(())
        if self.adversarial_weight:
            d_loss = self.minimize("discriminator", self.discriminator_loss, x, y, fake)
        self.update_averages()
        return {"generator_loss": g_loss, "discriminator_loss": d_loss, "l1": l1}

    def measure(self, batch):
        """The losses of a batch."""
        x, y = batch
        g_loss, (l1, fake) = self.generator_loss(x, y, training=False)
        d_loss = ops.zeros(())
        if self.adversarial_weight:
            d_loss = self.discriminator_loss(x, y, fake, training=False)
        return {"generator_loss": g_loss, "discriminator_loss": d_loss, "l1": l1}

    def generator_loss(self, x, y, training):
        """Equation 4 for the generator; and its L1 term, and what it made."""
        fake = self.generator(x, training=training)
        l1 = ops.mean(ops.abs(y - ops.cast(fake, "float32")))
        loss = self.l1_weight * l1
        if self.adversarial_weight:
            inputs = [y, x], [fake, x]
            fooled = self.adversarial_generator_loss("discriminator", *inputs, training)
            loss = loss + self.adversarial_weight * fooled
        return loss, (l1, fake)

    def discriminator_loss(self, x, y, fake, training):
        """Half of equation 4 for the discriminator, which sees both images."""
        return self.adversarial_discriminator_loss("discriminator", [y, x], [fake, x], training)

    # What a user asks for.

    def translate(self, images, direction="a_to_b", batch_size=None, noise=False, seed=None):
        """The answers to images: float32 in [-1, 1].

        Args:
            images: `(N, H, W, C)`, uint8 or floats in [-1, 1]; of any size that the generator gives
                back.
            direction: `"a_to_b"`, the one that was learnt.
            batch_size: images at a time; by default as many as suit their size.
            noise: whether the generator runs as in training, with dropout and the statistics of
                what it sees, as at the paper's test time (section 3.4); each image by itself, all
                with the noise of `seed`. By default it runs without dropout and with the moving
                statistics, which is nearer to held-out answers (`docs/translation.md`).
            seed: of the noise; None: drawn.

        Returns:
            `(N, H, W, C)` of domain B.

        Raises:
            ValueError: for another direction, sizes that the generator does not give back, and
                images that memory does not hold.
        """
        if not flag(noise, "noise"):
            if seed is not None:
                raise ValueError("seed is that of the noise: pass noise=True as well.")
            return super().translate(images, direction, batch_size)
        images = self._to_translate(images, direction)
        self._rows_at_once(images, direction)
        seed = int(host_generator(seed).integers(2**31 - 1))
        return np.clip(self.infer(self._translate_with_noise, images, seed, batch_size=1), -1, 1)

    def _translate_with_noise(self, images, seed):
        network = self.translator()
        states = seeds_of(network)
        before = [ops.copy(v) for v in states]
        for number, state in enumerate(states):
            state.assign(ops.cast(ops.stack([seed, ops.full_like(seed, number)]), state.dtype))
        with self.preserving(network):
            translated = network(images, training=True)
        for state, value in zip(states, before, strict=True):
            state.assign(value)
        return translated

    def discriminator_signature(self, direction):
        """The answer, and the image."""
        answer = super().discriminator_signature(direction)
        return answer | {"the image that it answers": (self.image_shape, "float32")}
