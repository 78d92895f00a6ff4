"""Spectral normalisation as a wrapper around a layer."""

import contextlib

import keras
from keras import layers, ops

from kgen.arguments import positive

TRANSPOSED = (layers.Conv1DTranspose, layers.Conv2DTranspose, layers.Conv3DTranspose)
DEPTHWISE = (layers.DepthwiseConv1D, layers.DepthwiseConv2D)
# Keras's layers show `kernel` and `embeddings`, some of them as properties over these.
ATTRIBUTES = ("_kernel", "kernel", "_embeddings", "embeddings")


@keras.saving.register_keras_serializable("kgen")
class SpectralNormalization(layers.Wrapper):
    """Let a layer work with its kernel divided by the kernel's largest singular value.

    Miyato et al., "Spectral normalization for generative adversarial networks" (2018), algorithm 1:
    the power method keeps the left singular vector `u` from step to step, and `sigma = u' W v`
    with `u` and `v` constant, so that the gradient by the kernel is that of equation 12. `W` is the
    kernel as a matrix, output channels by everything else.

    The kernel itself stays as the optimizer leaves it. (`keras.layers.SpectralNormalization`
    overwrites it with the normalised one.) A kernel of zeros is not divided.

    Args:
        layer: a layer with a `kernel` (dense, convolution, transposed or depthwise convolution) or
            `embeddings`.
        iterations: how often the power method is repeated at each call in training.
        **kwargs: as in Keras. `dtype` is that of `u` and of the division, float32 by default under
            every policy; the layer computes in its own.

    Call arguments:
        inputs: what the layer takes.
        training: whether to move `u`. If False, sigma is computed with `u` as it is, which before
            any training is a random one: sigma is then too small.

    Returns:
        What the layer returns.

    Raises:
        ValueError: when it is built, if the layer has neither kernel nor embeddings.

    Example:

    ```python
    x = kgen.layers.SpectralNormalization(kgen.layers.Conv2D(64, 4, 2, "same"))(x)
    ```
    """

    def __init__(self, layer, iterations=1, **kwargs):
        super().__init__(layer, **{"dtype": "float32", **kwargs})
        self.iterations = positive(iterations, "iterations")
        self.supports_masking = layer.supports_masking
        # Nothing is cast here: the layer casts its inputs, and the division sees the full kernel.
        self.autocast = False

    def build(self, input_shape=None):
        """Build the layer, and make `u`, `(output channels,)`, of length 1."""
        super().build(input_shape)
        kernel = getattr(self.layer, self._attribute())
        self.u = self.add_weight(
            shape=(_output_channels(self.layer, kernel.shape),),
            initializer=_random_direction,
            trainable=False,
            name="u",
            aggregation="only_first_replica",
        )

    def _attribute(self):
        """Name of the attribute that holds the layer's kernel."""
        own = vars(self.layer)
        for name in ATTRIBUTES:
            if isinstance(own.get(name), keras.Variable):
                return name
        raise ValueError(
            "SpectralNormalization wraps a layer with a `kernel` or `embeddings`, such as Dense, "
            f"Conv2D or Embedding; got {type(self.layer).__name__} {self.layer.name!r}, which has "
            "neither. Wrap the layers inside it one by one."
        )

    def call(self, inputs, training=False):
        """See the class."""
        attribute = self._attribute()
        variable = getattr(self.layer, attribute)
        moving = training and self.trainable  # as Keras's BatchNormalization: frozen is frozen
        kernel = self._normalized(ops.cast(variable, self.variable_dtype), moving)
        with _in_place_of(self.layer, attribute, ops.cast(kernel, self.layer.compute_dtype)):
            return self.layer(inputs)

    def _normalized(self, kernel, training):
        matrix = _matrix(self.layer, kernel)
        u, v = self._singular_vectors(ops.stop_gradient(matrix), training)
        sigma = ops.sum(ops.matmul(matrix, u) * v)
        return kernel / ops.where(sigma > 0, sigma, 1.0)

    def _singular_vectors(self, matrix, training):
        """The power method's `u` and `v`, constants; in training `u` is kept."""
        before = ops.stop_gradient(ops.convert_to_tensor(self.u))
        u = _direction(before)  # a copy: torch must not see `assign` change what a gradient needs
        if not training:
            return u, _direction(ops.matmul(matrix, u))
        for _ in range(self.iterations):
            v = _direction(ops.matmul(matrix, u))
            u = _direction(ops.matmul(v, matrix))
        u = ops.where(ops.any(u != 0), u, before)  # 0 from a kernel of zeros, and 0 ever after
        self.u.assign(u)
        return u, v

    def compute_output_spec(self, inputs, training=False):
        """That of the layer."""
        return self.layer.compute_output_spec(inputs)

    def compute_output_shape(self, input_shape):
        """That of the layer."""
        return self.layer.compute_output_shape(input_shape)

    def compute_mask(self, inputs, previous_mask=None):
        """That of the layer."""
        return self.layer.compute_mask(inputs, previous_mask)

    def get_config(self):
        """The arguments."""
        return {**super().get_config(), "iterations": self.iterations}


def _direction(vector):
    """The vector at length 1; zeros stay zeros."""
    return vector / ops.maximum(ops.sqrt(ops.sum(ops.square(vector))), 1e-12)


def _random_direction(shape, dtype=None):
    return _direction(keras.random.normal(shape, dtype=dtype))


def _output_channels(layer, shape):
    if isinstance(layer, DEPTHWISE):
        return shape[-2] * shape[-1]
    return shape[-2] if isinstance(layer, TRANSPOSED) else shape[-1]


def _matrix(layer, kernel):
    """The transpose of the paper's `W`: everything else by output channels."""
    channels = _output_channels(layer, kernel.shape)
    if isinstance(layer, TRANSPOSED):
        kernel = ops.swapaxes(kernel, -1, -2)
    return ops.reshape(kernel, (-1, channels))


@contextlib.contextmanager
def _in_place_of(layer, attribute, tensor):
    """Let the layer find a tensor where its variable is, for the length of a block.

    Past Keras's own `__setattr__`, which would track the tensor or refuse it.
    """
    variable = getattr(layer, attribute)
    object.__setattr__(layer, attribute, tensor)
    try:
        yield
    finally:
        object.__setattr__(layer, attribute, variable)
