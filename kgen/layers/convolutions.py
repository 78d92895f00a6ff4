"""Convolutions that are fast on every backend.

A strided convolution, its transpose and the gradient of its kernel belong together: each is, given
one of its arguments, linear in the others, so each one's gradients are the other two. On JAX the
last two are written out here, since XLA's own code for them is slow on CPUs.
"""

import keras
from keras import ops


@keras.saving.register_keras_serializable("kgen")
class Conv2D(keras.layers.Conv2D):
    """`keras.layers.Conv2D`, its gradients written out where they would be slow.

    The same arguments, weights and outputs.

    Example:

    ```python
    x = kgen.layers.Conv2D(64, 4, 2, "same", activation="relu")(x)
    ```
    """

    def call(self, inputs):
        """See Keras."""
        if not (_is_written_out(self) and self.groups == 1):
            return super().call(inputs)
        return _applied(self, _convolution(self.strides), inputs)


@keras.saving.register_keras_serializable("kgen")
class Conv2DTranspose(keras.layers.Conv2DTranspose):
    """`keras.layers.Conv2DTranspose`, itself and its gradients written out where they are slow.

    The same arguments, weights and outputs.

    Example:

    ```python
    x = kgen.layers.Conv2DTranspose(64, 4, 2, "same", activation="relu")(x)
    ```
    """

    def call(self, inputs):
        """See Keras."""
        if not (_is_written_out(self) and self.output_padding is None):
            return super().call(inputs)
        return _applied(self, _transposed_convolution(self.strides), inputs)


def _is_written_out(layer):
    """Whether a layer's convolution is one that is faster as it is written out here.

    The one place outside the engine that asks for the backend: TensorFlow, torch and GPUs have fast
    code for it, and JAX pays with the loss of forward-mode differentiation.
    """
    return (
        keras.config.backend() == "jax"
        and all(device.startswith("cpu") for device in keras.distribution.list_devices())
        and layer.data_format == "channels_last"
        and layer.padding == "same"
        and max(layer.strides) > 1
        and all(d == 1 for d in layer.dilation_rate)
        and all(k >= s for k, s in zip(layer.kernel_size, layer.strides, strict=True))
    )


def _applied(layer, convolve, inputs):
    outputs = convolve(inputs, ops.convert_to_tensor(layer.kernel))
    outputs = outputs + layer.bias if layer.use_bias else outputs
    return outputs if layer.activation is None else layer.activation(outputs)


def _convolution(strides):
    @ops.custom_gradient
    def convolve(images, kernel):
        def gradient(g):
            of_images = _transposed(g, kernel, strides, images.shape[1:3])
            return of_images, _kernel_gradient(images, g, kernel, strides)

        return ops.conv(images, kernel, strides, "same", "channels_last"), gradient

    return convolve


def _transposed_convolution(strides):
    @ops.custom_gradient
    def convolve(inputs, kernel):
        def gradient(g):
            of_inputs = ops.conv(g, kernel, strides, "same", "channels_last")
            return of_inputs, _kernel_gradient(g, inputs, kernel, strides)

        size = [n * s for n, s in zip(inputs.shape[1:3], strides, strict=True)]
        return _transposed(inputs, kernel, strides, size), gradient

    return convolve


def _pads(large, small, kernel, strides):
    """What "same" adds before and after each side of the larger images."""
    overlaps = [
        (n - 1) * s + k - m
        for n, m, k, s in zip(small, large, kernel.shape[:2], strides, strict=True)
    ]
    return [(n // 2, n - n // 2) for n in overlaps]


def _kernel_gradient(large, small, kernel, strides):
    """Gradient by the kernel of `sum(small * convolution(large))`.

    The larger images, convolved with the smaller ones, whose pixels lie a stride apart; images and
    channels change places.

    Args:
        large: `(N, H, W, C)`.
        small: `(N, h, w, F)`.
        kernel: `(k, m, C, F)`; its shape counts.
        strides: `(s, t)`.

    Returns:
        `(k, m, C, F)`.
    """
    pads = _pads(large.shape[1:3], small.shape[1:3], kernel, strides)
    large = ops.pad(ops.transpose(large, (3, 1, 2, 0)), [(0, 0), *pads, (0, 0)])
    small = ops.transpose(small, (1, 2, 0, 3))  # the other way round is slow
    result = ops.conv(large, small, 1, "valid", "channels_last", dilation_rate=strides)
    return ops.transpose(result, (1, 2, 0, 3))


def _transposed(inputs, kernel, strides, size):
    """The transpose of a strided convolution, padded as "same", to images of this size.

    One matrix product gives what each pixel of the input adds to the output under the kernel, in
    blocks as large as the strides; then the blocks of neighbours are laid over each other.

    Args:
        inputs: `(N, h, w, F)`.
        kernel: `(k, m, C, F)`.
        strides: `(s, t)`.
        size: `(H, W)`; h and w are H / s and W / t, rounded up.

    Returns:
        `(N, H, W, C)`.
    """
    (s, t), (k, m, c, f), (h, w) = strides, kernel.shape, inputs.shape[1:3]
    (top, _), (left, _) = _pads(size, (h, w), kernel, strides)
    kernel = ops.pad(kernel, ((0, -k % s), (0, -m % t), (0, 0), (0, 0)))  # to whole blocks
    q, r = kernel.shape[0] // s, kernel.shape[1] // t
    kernel = ops.transpose(ops.reshape(kernel, (q, s, r, t, c, f)), (5, 0, 2, 1, 3, 4))
    parts = ops.matmul(ops.reshape(inputs, (-1, f)), ops.reshape(kernel, (f, -1)))
    parts = ops.reshape(parts, (-1, h, w, q * r, s * t * c))
    blocks = sum(
        ops.pad(parts[:, :, :, i * r + j], ((0, 0), (i, q - 1 - i), (j, r - 1 - j), (0, 0)))
        for i in range(q)
        for j in range(r)
    )
    blocks = ops.reshape(blocks, (-1, h + q - 1, w + r - 1, s, t, c))
    images = ops.transpose(blocks, (0, 1, 3, 2, 4, 5))
    images = ops.reshape(images, (-1, (h + q - 1) * s, (w + r - 1) * t, c))
    return images[:, top : top + size[0], left : left + size[1]]
