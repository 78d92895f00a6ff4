"""Normalisation that can be differentiated twice, as gradient penalties need.

TensorFlow's `tf.nn.moments`, which Keras's own layers take there, lets no gradient through the mean
within the variance. First derivatives are right without it, second ones are not.
"""

import keras
from keras import ops

from kgen.arguments import flag, positive, positive_number


@keras.saving.register_keras_serializable("kgen")
class BatchNormalization(keras.layers.BatchNormalization):
    """`keras.layers.BatchNormalization` with right second derivatives on every backend.

    The same arguments, weights and outputs; no `mask` (Ioffe and Szegedy, 2015).
    """

    def _moments(self, inputs, mask):
        if mask is not None:
            raise ValueError(f"{type(self).__name__} takes no mask; use the layer of Keras.")
        return _moments(inputs, self._reduction_axes)


@keras.saving.register_keras_serializable("kgen")
class LayerNormalization(keras.layers.Layer):
    """Normalise each image over rows, columns and channels, then scale and shift each channel.

    What WGAN-GP puts in the place of batch normalisation in its critic (Ba et al., 2016; Gulrajani
    et al., 2017, section 4): a penalty for each image wants images that do not depend on each
    other.

    Args:
        epsilon: added to the variance.
        **kwargs: as in Keras.

    Call arguments:
        inputs: `(N, ..., channels)`.

    Returns:
        As the inputs; statistics are computed in float32.
    """

    def __init__(self, epsilon=1e-5, **kwargs):
        super().__init__(**kwargs)
        self.epsilon = float(epsilon)

    def build(self, input_shape):
        """Make scale and shift, one of each channel."""
        self.gamma = self.add_weight(shape=input_shape[-1:], initializer="ones", name="gamma")
        self.beta = self.add_weight(shape=input_shape[-1:], initializer="zeros", name="beta")

    def call(self, inputs):
        """See the class."""
        x = ops.cast(inputs, "float32")
        mean, variance = _moments(x, tuple(range(1, len(inputs.shape))), keepdims=True)
        x = (x - mean) * ops.rsqrt(variance + self.epsilon)
        return ops.cast(x, self.compute_dtype) * self.gamma + self.beta

    def compute_output_shape(self, input_shape):
        """That of the inputs."""
        return input_shape

    def get_config(self):
        """The arguments."""
        return {**super().get_config(), "epsilon": self.epsilon}


@keras.saving.register_keras_serializable("kgen")
class InstanceNormalization(keras.layers.Layer):
    """Normalise each channel of each image over its rows and columns (Ulyanov et al., 2016).

    What takes an image's contrast away, so that a translator gives it another style. An image of
    one pixel becomes zeros.

    Args:
        epsilon: added to the variance, which is the biased one.
        center: whether each channel is shifted by a number that is learned, `beta`.
        scale: whether each channel is multiplied by a number that is learned, `gamma`.
        **kwargs: as in Keras.

    Call arguments:
        inputs: `(N, ..., channels)`, with one axis at least between images and channels.

    Returns:
        As the inputs; statistics are computed in float32.

    Raises:
        ValueError: for inputs without rows.
    """

    def __init__(self, epsilon=1e-5, center=False, scale=False, **kwargs):
        super().__init__(**kwargs)
        self.epsilon = float(epsilon)
        self.center, self.scale = flag(center, "center"), flag(scale, "scale")

    def build(self, input_shape):
        """Make scale and shift, one of each channel, where they are asked for."""
        if len(input_shape) < 3:
            raise ValueError(
                "InstanceNormalization takes images (N, H, W, C), of which it normalises each "
                f"channel over its pixels; got shape {tuple(input_shape)}. For points take "
                "LayerNormalization."
            )
        channels = input_shape[-1:]
        self.gamma = self.beta = None
        if self.scale:
            self.gamma = self.add_weight(shape=channels, initializer="ones", name="gamma")
        if self.center:
            self.beta = self.add_weight(shape=channels, initializer="zeros", name="beta")

    def call(self, inputs):
        """See the class."""
        x = ops.cast(inputs, "float32")
        mean, variance = _moments(x, tuple(range(1, len(inputs.shape) - 1)), keepdims=True)
        x = ops.cast((x - mean) * ops.rsqrt(variance + self.epsilon), self.compute_dtype)
        x = x if self.gamma is None else x * self.gamma
        return x if self.beta is None else x + self.beta

    def compute_output_shape(self, input_shape):
        """That of the inputs."""
        return input_shape

    def get_config(self):
        """The arguments."""
        config = {"epsilon": self.epsilon, "center": self.center, "scale": self.scale}
        return {**super().get_config(), **config}


@keras.saving.register_keras_serializable("kgen")
class GroupNormalization(keras.layers.Layer):
    """Normalise groups of channels of each image, then scale and shift each channel.

    Wu and He (2018). As `keras.layers.GroupNormalization`, in two passes over the inputs where that
    takes six: sums of values and of squares, and one product and sum, in which statistics, scale,
    shift and what `AdaptiveGroupNormalization` is told are one factor and one term.

    Args:
        groups: how many; a divisor of the channels.
        activation: of the results, as in Keras.
        epsilon: added to the variance.
        **kwargs: as in Keras.

    Call arguments:
        inputs: `(N, ..., channels)`.

    Returns:
        As the inputs; statistics are computed in float32.

    Raises:
        ValueError: for channels that do not divide into the groups.
    """

    def __init__(self, groups=8, activation=None, epsilon=1e-5, **kwargs):
        super().__init__(**kwargs)
        self.groups, self.epsilon = positive(groups, "groups"), float(epsilon)
        self.activation = keras.activations.get(activation)

    def build(self, input_shape):
        """Make scale and shift, one of each channel."""
        if input_shape[-1] % self.groups:
            raise ValueError(
                f"{input_shape[-1]} channels do not divide into groups={self.groups} groups."
            )
        self.gamma = self.add_weight(shape=input_shape[-1:], initializer="ones", name="gamma")
        self.beta = self.add_weight(shape=input_shape[-1:], initializer="zeros", name="beta")

    def call(self, inputs):
        """See the class."""
        return self._applied(inputs, *self._factor_and_term(inputs))

    def _factor_and_term(self, inputs):
        """What normalised and scaled inputs are of inputs: float32 `(N, channels)` each."""
        x, channels = ops.cast(inputs, "float32"), inputs.shape[-1]
        pixels = tuple(range(1, len(inputs.shape) - 1))

        def of_groups(moments):
            grouped = ops.reshape(moments, (-1, self.groups, channels // self.groups))
            return ops.mean(grouped, axis=-1, keepdims=True)

        mean = of_groups(ops.mean(x, axis=pixels))
        square = of_groups(ops.mean(ops.square(x), axis=pixels))
        variance = ops.maximum(square - ops.square(mean), 0.0)
        shape = (self.groups, channels // self.groups)
        gamma, beta = (ops.reshape(ops.cast(v, "float32"), shape) for v in (self.gamma, self.beta))
        factor = gamma * ops.rsqrt(variance + self.epsilon)
        term = beta - mean * factor
        return ops.reshape(factor, (-1, channels)), ops.reshape(term, (-1, channels))

    def _applied(self, inputs, factor, term):
        shape = (-1, *[1] * (len(inputs.shape) - 2), inputs.shape[-1])
        factor, term = (ops.cast(ops.reshape(v, shape), self.compute_dtype) for v in (factor, term))
        return self.activation(inputs * factor + term)

    def compute_output_shape(self, input_shape):
        """That of the inputs."""
        return input_shape

    def get_config(self):
        """The arguments."""
        activation = keras.activations.serialize(self.activation)
        config = {"groups": self.groups, "activation": activation, "epsilon": self.epsilon}
        return {**super().get_config(), **config}


@keras.saving.register_keras_serializable("kgen")
class AdaptiveGroupNormalization(GroupNormalization):
    r"""Group normalisation whose scale and shift follow an embedding, such as that of the time.

    $y = (1 + s) GroupNorm(x) + b$ with $(s, b)$ linear in the embedding (Dhariwal and Nichol, 2021,
    section 4.3), zero at first. Arguments as in `GroupNormalization`.

    Call arguments:
        inputs: pair of `(N, ..., channels)` and the embedding, `(N, width)`.

    Returns:
        As the first of the inputs.
    """

    def build(self, input_shape):
        """Make scales, shifts and what they follow the embedding by."""
        images, embedding = input_shape
        super().build(images)
        self.told = keras.layers.Dense(
            2 * images[-1], kernel_initializer="zeros", dtype=self.dtype_policy, name="told"
        )
        self.told.build(embedding)

    def call(self, inputs):
        """See the class."""
        images, embedding = inputs
        factor, term = self._factor_and_term(images)
        scale, shift = ops.split(ops.cast(self.told(embedding), "float32"), 2, axis=-1)
        return self._applied(images, factor * (1 + scale), term * (1 + scale) + shift)

    def compute_output_shape(self, input_shape):
        """That of the first of the inputs."""
        return input_shape[0]


@keras.saving.register_keras_serializable("kgen")
class PixelNormalization(keras.layers.Layer):
    """Divide each pixel by the root mean square of its channels (Karras et al., 2018, section 4.2).

    `y = x / sqrt(mean(x**2) + epsilon)`, the mean over channels: a vector of any length becomes one
    of length `sqrt(channels)`, so that the features of a generator cannot grow without end. Nothing
    is learned. Latents become points on a sphere.

    In float16, whose squares end at 65504 and in which 1e-8 is 0, it is safe: all of it is computed
    in float32, and the results are at most `sqrt(channels)`. Where a pixel is near 0, gradients are
    multiplied by up to `1 / sqrt(epsilon)`, and 10,000 times is soon more than float16 holds: so
    there epsilon is at least 1e-4, as in the authors' settings for it.

    Args:
        epsilon: positive number, added to the mean of squares.
        **kwargs: as in Keras.

    Call arguments:
        inputs: `(N, ..., channels)`.

    Returns:
        As the inputs.

    Raises:
        ValueError: for an epsilon that is not above 0.
    """

    def __init__(self, epsilon=1e-8, **kwargs):
        super().__init__(**kwargs)
        self.epsilon = positive_number(epsilon, "epsilon")
        self.built = True

    def call(self, inputs):
        """See the class."""
        x = ops.cast(inputs, "float32")
        epsilon = max(self.epsilon, 1e-4) if self.compute_dtype == "float16" else self.epsilon
        square = ops.mean(ops.square(x), axis=-1, keepdims=True)
        return ops.cast(x * ops.rsqrt(square + epsilon), self.compute_dtype)

    def compute_output_shape(self, input_shape):
        """That of the inputs."""
        return input_shape

    def get_config(self):
        """The arguments."""
        return {**super().get_config(), "epsilon": self.epsilon}


def _moments(x, axes, keepdims=False):
    """Mean and variance in float32, of two passes."""
    x = ops.cast(x, "float32")
    mean = ops.mean(x, axes, keepdims=True)
    variance = ops.mean(ops.square(x - mean), axes, keepdims=keepdims)
    return (mean if keepdims else ops.squeeze(mean, axes)), variance
