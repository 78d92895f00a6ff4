"""The networks of progressive growing (Karras et al., 2018): all resolutions in one network."""

import numbers

import keras
from keras import layers, ops

from kgen.arguments import flag, is_integer, positive, power_of_two
from kgen.layers.equalized import EqualizedConv2D, EqualizedDense
from kgen.layers.initializers import RandomNormal
from kgen.layers.minibatch_statistics import MinibatchStandardDeviation
from kgen.layers.normalization import PixelNormalization
from kgen.networks.common import CHANNELS_LAST

_HE = 2**0.5  # the gain of a layer before a ReLU


def progressive_generator(
    image_shape,
    latent_dim=512,
    *,
    filters_base=8192,
    max_filters=512,
    pixel_normalization=True,
    equalized=True,
    dtype=None,
):
    """Generator of progressive growing (Karras et al., 2018, table 2), for all its resolutions.

    The latent, brought to length `sqrt(latent_dim)`, becomes 4x4 features: a 4x4 convolution of
    one pixel, computed as a linear layer. Each further resolution enlarges by nearest neighbours
    and has two 3x3 convolutions. Leaky ReLUs of slope 0.2 and pixel normalization follow every
    convolution but those that make images, which are 1x1 and linear: the paper has no tanh, so
    pixels may leave [-1, 1]. At level l, of images of `4 * 2**l` pixels, there are
    `min(filters_base // 2**(l + 1), max_filters)` channels.

    It is called as `generator(latents, level=..., alpha=...)`:

    - level: Python integer, 0 for images of 4x4 pixels; by default the largest. Each level is a
      computation of its own, so what is not grown costs nothing.
    - alpha: number or scalar tensor in [0, 1], 1 by default; how far the level is faded in (figure
      2): `(1 - alpha) * old + alpha * new` in float32, `new` the images of the level and `old`
      those of the level below, enlarged. So 1 gives exactly the one and 0 exactly the other. At
      level 0 it has no effect; a number 1 computes no `old`. A tensor is not checked.

    Args:
        image_shape: `(H, W, C)` of the largest images; H = W, a power of two from 8 to 1024.
        latent_dim: width of the latent.
        filters_base: channels at 2x2 pixels, were there such a level: half as many at each further
            one.
        max_filters: the most channels of any level.
        pixel_normalization: whether features are normalized. Latents are in any case.
        equalized: whether the learning rate is equalized (section 4.1); otherwise the same layers
            keep kernels as large as they work, from He's initialization.
        dtype: Keras dtype policy; the output is float32.

    Returns:
        `keras.Model` from `(N, latent_dim)` to float32 `(N, 4 * 2**level, 4 * 2**level, C)`, with
        `sizes`, the side at each level; `layers_at(level)`, the layers with weights that are at
        work at a level while it fades in; and `variables_at(level)`, their trainable variables.

    Raises:
        ValueError: for other shapes and widths; in calls for unknown levels, alphas outside [0, 1]
            and latents of another width.

    Example:

    ```python
    generator = kgen.networks.progressive_generator((64, 64, 3))
    images = generator(latents, level=2, alpha=0.5)  # 16x16 pixels, half faded in
    ```
    """
    return ProgressiveGenerator(
        image_shape,
        latent_dim,
        filters_base,
        max_filters,
        pixel_normalization=pixel_normalization,
        equalized=equalized,
        dtype=dtype,
    )


def progressive_discriminator(
    image_shape,
    *,
    filters_base=8192,
    max_filters=512,
    minibatch_statistics=True,
    equalized=True,
    dtype=None,
):
    """Discriminator of progressive growing (Karras et al., 2018, table 2), for all its resolutions.

    The mirror of `progressive_generator`: a 1x1 convolution of the images; at each resolution two
    3x3 convolutions, and means of 2x2 pixels; at 4x4 the standard deviation within groups of four
    images as a further channel, a 3x3 convolution, a hidden layer, and a linear one. Leaky ReLUs of
    slope 0.2 follow every layer but the last.

    It is called as `discriminator(images, level=..., alpha=...)`, as the generator is. `old` is
    what the level below makes of the images at half the size, `new` what the level hands to it.

    Args:
        image_shape, filters_base, max_filters, equalized, dtype: as of `progressive_generator`.
        minibatch_statistics: whether there is `kgen.layers.MinibatchStandardDeviation`, by which
            scores depend on the other images of the batch.

    Returns:
        `keras.Model` from `(N, 4 * 2**level, 4 * 2**level, C)` to scores `(N, 1)` without
        activation, float32; with `sizes`, `layers_at` and `variables_at`.

    Raises:
        ValueError: as `progressive_generator`; in calls for images of another size.
    """
    return ProgressiveDiscriminator(
        image_shape,
        filters_base,
        max_filters,
        minibatch_statistics=minibatch_statistics,
        equalized=equalized,
        dtype=dtype,
    )


class _Progressive(keras.Model):
    """What both networks share: widths, layers by level, what is at work at a level.

    Attributes:
        image_shape: `(H, W, C)` of the largest images.
        sizes: sides of the images, by level.
        blocks: by level, the layers of its size, in the order of the data's way.
        rgb: by level, those between its images and its features.
    """

    def __init__(self, image_shape, filters_base, max_filters, equalized, **kwargs):
        super().__init__(**kwargs)
        self.autocast = False  # alpha stays as exact as it comes; the layers cast what they take
        self.image_shape = _checked_shape(image_shape)
        self.filters_base = positive(filters_base, "filters_base")
        self.max_filters = positive(max_filters, "max_filters")
        self.equalized = flag(equalized, "equalized")
        self.sizes = tuple(4 * 2**level for level in range(self.image_shape[0].bit_length() - 2))

    def filters_at(self, level):
        """Channels of a level; -1 would be of 2x2 pixels, where a linear layer is instead."""
        return max(min(self.filters_base // 2 ** (level + 1), self.max_filters), 1)

    def layers_at(self, level=None):
        """Layers with weights that are at work while a level fades in and trains.

        They are those of all sizes up to it, and between images and features those of this level
        and of the one below, which fades out.

        Args:
            level: integer from 0; by default the largest.

        Returns:
            A list, in the same order at each call.

        Raises:
            ValueError: for a level that the network has not.
        """
        level = self._checked_level(level)
        parts = [*self.blocks[: level + 1], *self.rgb[max(level - 1, 0) : level + 1]]
        return [layer for part in parts for layer in part if layer.variables]

    def variables_at(self, level=None):
        """Trainable variables of `layers_at(level)`: none where they are frozen."""
        return [v for layer in self.layers_at(level) for v in layer.trainable_variables]

    def get_config(self):
        """The arguments."""
        names = ("image_shape", "filters_base", "max_filters", "equalized")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}

    # Layers.

    def _convolution(self, filters, kernel_size, channels, name, gain=_HE, dtype=None):
        settings = {"padding": "same", "data_format": CHANNELS_LAST, "name": name}
        settings["dtype"] = dtype or self.dtype_policy
        if self.equalized:
            return EqualizedConv2D(filters, kernel_size, gain=gain, **settings)
        initializer = _scaled_normal(gain, kernel_size**2 * channels)
        return layers.Conv2D(filters, kernel_size, kernel_initializer=initializer, **settings)

    def _dense(self, units, features, name, gain=_HE, dtype=None, use_bias=True):
        settings = {"use_bias": use_bias, "name": name, "dtype": dtype or self.dtype_policy}
        if self.equalized:
            return EqualizedDense(units, gain=gain, **settings)
        return layers.Dense(units, kernel_initializer=_scaled_normal(gain, features), **settings)

    def _leaky_relu(self):
        return layers.LeakyReLU(negative_slope=0.2, dtype=self.dtype_policy)

    # Checks.

    def _checked_level(self, level):
        if level is None:
            return len(self.sizes) - 1
        if not is_integer(level) or not 0 <= level < len(self.sizes):
            raise ValueError(
                f"level must be a Python integer from 0 to {len(self.sizes) - 1}, which are images "
                f"of {', '.join(map(str, self.sizes))} pixels a side; got {level!r}."
            )
        return int(level)

    def _checked_alpha(self, alpha, level):
        """`alpha`, or None where nothing fades."""
        if isinstance(alpha, numbers.Real):
            known = not isinstance(alpha, bool) and 0 <= alpha <= 1
        else:
            known = hasattr(alpha, "shape") and tuple(alpha.shape) == ()
        if not known:
            raise ValueError(
                "alpha must be a number in [0, 1] or a scalar tensor, how far the level is faded "
                f"in, 1 for all of it; got {alpha!r}."
            )
        return None if level == 0 or (isinstance(alpha, numbers.Real) and alpha == 1) else alpha

    def _check_inputs(self, inputs, expected, level):
        if tuple(inputs.shape[1:]) != expected:
            raise ValueError(
                f"At level {level} the {self.name} takes inputs of shape (N, "
                f"{', '.join(map(str, expected))}); got {tuple(inputs.shape)}."
            )


@keras.saving.register_keras_serializable("kgen")
class ProgressiveGenerator(_Progressive):
    """See `progressive_generator`."""

    def __init__(
        self,
        image_shape,
        latent_dim=512,
        filters_base=8192,
        max_filters=512,
        pixel_normalization=True,
        equalized=True,
        name="generator",
        **kwargs,
    ):
        super().__init__(image_shape, filters_base, max_filters, equalized, name=name, **kwargs)
        self.latent_dim = positive(latent_dim, "latent_dim")
        self.pixel_normalization = flag(pixel_normalization, "pixel_normalization")
        self.enlarge = layers.UpSampling2D(2, CHANNELS_LAST, dtype="float32")
        self.enlarge.build((None, 4, 4, self.image_shape[-1]))
        levels = range(len(self.sizes))
        self.blocks = [self._block(level) if level else self._first_block() for level in levels]
        self.rgb = [self._to_rgb(level) for level in levels]
        self.built = True

    def _first_block(self):
        filters = self.filters_at(0)
        # A 4x4 convolution of one pixel, whose fan-in counts the 15 around it, too.
        settings = {"gain": _HE / 4, "use_bias": False}
        dense = self._dense(16 * filters, self.latent_dim, "4x4_dense", **settings)
        parts = [
            PixelNormalization(dtype=self.dtype_policy),
            dense,
            layers.Reshape((4, 4, filters), dtype=self.dtype_policy),
            ChannelBias(name="4x4_bias", dtype=self.dtype_policy),
            *self._activated(),
            self._convolution(filters, 3, filters, "4x4_convolution"),
            *self._activated(),
        ]
        return _built(parts, (self.latent_dim,))

    def _block(self, level):
        size, below, filters = self.sizes[level], self.filters_at(level - 1), self.filters_at(level)
        parts = [
            layers.UpSampling2D(2, CHANNELS_LAST, dtype=self.dtype_policy),
            self._convolution(filters, 3, below, f"{size}x{size}_convolution_1"),
            *self._activated(),
            self._convolution(filters, 3, filters, f"{size}x{size}_convolution_2"),
            *self._activated(),
        ]
        return _built(parts, (size // 2, size // 2, below))

    def _activated(self):
        """What follows a convolution."""
        parts = [self._leaky_relu()]
        if self.pixel_normalization:
            parts.append(PixelNormalization(dtype=self.dtype_policy))
        return parts

    def _to_rgb(self, level):
        size, filters = self.sizes[level], self.filters_at(level)
        settings = {"name": f"{size}x{size}_to_rgb", "gain": 1.0, "dtype": "float32"}
        parts = [self._convolution(self.image_shape[-1], 1, filters, **settings)]
        return _built(parts, (size, size, filters))

    def call(self, latents, level=None, alpha=1.0):
        """See `progressive_generator`."""
        level = self._checked_level(level)
        alpha = self._checked_alpha(alpha, level)
        self._check_inputs(latents, (self.latent_dim,), level)
        x = latents
        for block in self.blocks[: level + 1]:
            below, x = x, _applied(block, x)
        images = _applied(self.rgb[level], x)
        if alpha is None:
            return images
        old = self.enlarge(_applied(self.rgb[level - 1], below))
        return _faded(alpha, old, images)

    def get_config(self):
        """The arguments."""
        own = {"latent_dim": self.latent_dim, "pixel_normalization": self.pixel_normalization}
        return {**super().get_config(), **own}


@keras.saving.register_keras_serializable("kgen")
class ProgressiveDiscriminator(_Progressive):
    """See `progressive_discriminator`."""

    def __init__(
        self,
        image_shape,
        filters_base=8192,
        max_filters=512,
        minibatch_statistics=True,
        equalized=True,
        name="discriminator",
        **kwargs,
    ):
        super().__init__(image_shape, filters_base, max_filters, equalized, name=name, **kwargs)
        self.minibatch_statistics = flag(minibatch_statistics, "minibatch_statistics")
        self.halve = layers.AveragePooling2D(2, 2, "valid", CHANNELS_LAST, dtype="float32")
        self.halve.build((None, 8, 8, self.image_shape[-1]))
        levels = range(len(self.sizes))
        self.blocks = [self._block(level) if level else self._last_block() for level in levels]
        self.rgb = [self._from_rgb(level) for level in levels]
        self.built = True

    def _from_rgb(self, level):
        size, colors = self.sizes[level], self.image_shape[-1]
        parts = [
            self._convolution(self.filters_at(level), 1, colors, f"{size}x{size}_from_rgb"),
            self._leaky_relu(),
        ]
        return _built(parts, (size, size, colors))

    def _block(self, level):
        size, below, filters = self.sizes[level], self.filters_at(level - 1), self.filters_at(level)
        parts = [
            self._convolution(filters, 3, filters, f"{size}x{size}_convolution_1"),
            self._leaky_relu(),
            self._convolution(below, 3, filters, f"{size}x{size}_convolution_2"),
            self._leaky_relu(),
            layers.AveragePooling2D(2, 2, "valid", CHANNELS_LAST, dtype=self.dtype_policy),
        ]
        return _built(parts, (size, size, filters))

    def _last_block(self):
        filters, hidden = self.filters_at(0), self.filters_at(-1)
        statistics = [MinibatchStandardDeviation(dtype=self.dtype_policy)]
        statistics = statistics if self.minibatch_statistics else []
        parts = [
            *statistics,
            self._convolution(filters, 3, filters + len(statistics), "4x4_convolution"),
            self._leaky_relu(),
            layers.Flatten(CHANNELS_LAST, dtype=self.dtype_policy),
            self._dense(hidden, 16 * filters, "4x4_dense"),
            self._leaky_relu(),
            self._dense(1, hidden, "score", gain=1.0, dtype="float32"),
        ]
        return _built(parts, (4, 4, filters))

    def call(self, images, level=None, alpha=1.0):
        """See `progressive_discriminator`."""
        level = self._checked_level(level)
        alpha, size = self._checked_alpha(alpha, level), self.sizes[level]
        self._check_inputs(images, (size, size, self.image_shape[-1]), level)
        x = _applied(self.rgb[level], images)
        for i in range(level, 0, -1):
            x = _applied(self.blocks[i], x)
            if i == level and alpha is not None:
                old = _applied(self.rgb[level - 1], self.halve(images))
                x = ops.cast(_faded(alpha, old, x), self.compute_dtype)
        return _applied(self.blocks[0], x)

    def get_config(self):
        """The arguments."""
        return {**super().get_config(), "minibatch_statistics": self.minibatch_statistics}


@keras.saving.register_keras_serializable("kgen")
class ChannelBias(layers.Layer):
    """Add to each channel a number that is learned and begins at 0."""

    def build(self, input_shape):
        """Make the numbers."""
        self.bias = self.add_weight(shape=input_shape[-1:], initializer="zeros", name="bias")

    def call(self, inputs):
        """`(N, ..., channels)` to the same."""
        return inputs + self.bias

    def compute_output_shape(self, input_shape):
        """That of the inputs."""
        return input_shape


def _scaled_normal(gain, fan_in):
    """What equalized kernels are when they are used, for one that is kept so."""
    return RandomNormal(stddev=gain / fan_in**0.5)


def _built(parts, shape):
    """The layers, which follow each other, built for inputs of this shape without batch."""
    shape = (None, *shape)
    for layer in parts:
        layer.build(shape)
        shape = layer.compute_output_shape(shape)
    return parts


def _applied(parts, x):
    for layer in parts:
        x = layer(x)
    return x


def _faded(alpha, old, new):
    """From the old to the new, each of them exactly at its end; float32."""
    alpha, old, new = (ops.cast(x, "float32") for x in (alpha, old, new))
    return (1 - alpha) * old + alpha * new


def _checked_shape(image_shape):
    """`image_shape` as a tuple; raises a ValueError for what cannot be grown."""
    shape = tuple(image_shape)
    if len(shape) != 3 or shape[0] != shape[1] or not is_integer(shape[2]) or shape[2] < 1:
        raise ValueError(
            "image_shape must be (H, W, C) with H = W, since images grow from 4x4 pixels; got "
            f"{shape}. Grey images have C = 1; crop or resize others to a square."
        )
    side = power_of_two(shape[0], f"The side of image_shape={shape}", 8, 1024)
    return (side, side, int(shape[2]))
