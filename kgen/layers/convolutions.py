"""Convolutions that are fast on every backend.

A strided convolution, its transpose and the gradient of its kernel belong together: each is, given
one of its arguments, linear in the others, so each one's gradients are the other two. The last two
are written out here, as plain convolutions and matrix products: what TensorFlow and XLA have for
them is slow on CPUs, and so is what JAX makes of a transpose on GPUs, a convolution of images with
zeros between their pixels.
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
        if not (_is_written_out(self, inputs) and self.groups == 1):
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
        if not (_is_written_out(self, inputs) and self.output_padding is None):
            return super().call(inputs)
        return _applied(self, _transposed_convolution(self.strides), inputs)


def _is_written_out(layer, inputs):
    """Whether a layer's convolution is one that is faster as it is written out here.

    No file outside the engine but this one asks for the backend: torch has fast code for it, and
    so has TensorFlow on GPUs; JAX pays with the loss of forward-mode differentiation.
    """
    slow = {"tensorflow": ("cpu",), "jax": ("cpu", "gpu", "cuda", "rocm")}
    slow = slow.get(keras.config.backend())
    return (
        slow is not None
        and all(device.startswith(slow) for device in keras.distribution.list_devices())
        and layer.data_format == "channels_last"
        and None not in inputs.shape[1:]
        and layer.padding == "same"
        and max(layer.strides) > 1
        and all(d == 1 for d in layer.dilation_rate)
        and all(k >= s for k, s in zip(layer.kernel_size, layer.strides, strict=True))
    )


def _applied(layer, convolve, inputs):
    kernel = ops.reshape(layer.kernel, layer.kernel.shape)  # no variable: TensorFlow refuses those
    outputs = convolve(inputs, kernel)
    outputs = outputs + layer.bias if layer.use_bias else outputs
    return outputs if layer.activation is None else layer.activation(outputs)


def _with_gradient(convolve):
    """A function of two tensors from one that returns its output and its gradient's function.

    As `ops.custom_gradient`, but TensorFlow's registers each gradient in a graph for good, and so
    keeps every graph in which a layer was ever traced, and the weights: here tapes alone know it.
    """
    if keras.config.backend() != "tensorflow":
        return ops.custom_gradient(convolve)
    from tensorflow.python.eager import record  # nothing public tells tapes and nobody else

    def recorded(inputs, kernel):
        with record.stop_recording():
            outputs, gradient = convolve(inputs, kernel)
        record.record_operation(convolve.__name__, [outputs], [inputs, kernel], gradient)
        return outputs

    return recorded


def _convolution(strides):
    @_with_gradient
    def convolve(images, kernel):
        def gradient(g):
            of_images = _transposed(g, kernel, strides, images.shape[1:3])
            return of_images, _kernel_gradient(images, g, kernel, strides)

        return ops.conv(images, kernel, strides, "same", "channels_last"), gradient

    return convolve


def _transposed_convolution(strides):
    @_with_gradient
    def convolve(inputs, kernel):
        def gradient(g):
            of_inputs = ops.conv(g, kernel, strides, "same", "channels_last")
            return of_inputs, _kernel_gradient(g, inputs, kernel, strides)

        size = [n * s for n, s in zip(inputs.shape[1:3], strides, strict=True)]
        return _transposed(inputs, kernel, strides, size), gradient

    return convolve


def _kernel_gradient(large, small, kernel, strides):
    """Gradient by the kernel of `sum(small * convolution(large))`.

    A matrix product for each block under the kernel: of what the block holds of the larger images,
    at each pixel of the smaller ones, and these.

    Args:
        large: `(N, H, W, C)`.
        small: `(N, h, w, F)`.
        kernel: `(k, m, C, F)`; its shape counts.
        strides: `(s, t)`.

    Returns:
        `(k, m, C, F)`.
    """
    (s, t), (k, m, c, f), (h, w) = strides, kernel.shape, small.shape[1:3]
    (top, q), (left, r) = _under_kernel(large.shape[1:3], (h, w), kernel, strides)
    bottom, right = (h + q - 1) * s - top - large.shape[1], (w + r - 1) * t - left - large.shape[2]
    large = ops.pad(large, ((0, 0), (top, bottom), (left, right), (0, 0)))
    blocks = ops.reshape(large, (-1, h + q - 1, s, w + r - 1, t, c))
    blocks = ops.transpose(blocks, (0, 1, 3, 2, 4, 5))
    blocks = ops.reshape(blocks, (-1, h + q - 1, w + r - 1, s * t * c))
    small = ops.reshape(small, (-1, f))
    shifted = [blocks[:, i : i + h, j : j + w] for i in range(q) for j in range(r)]
    parts = [ops.matmul(ops.transpose(ops.reshape(x, (-1, s * t * c))), small) for x in shifted]
    kernel = ops.reshape(ops.stack(parts), (q, r, s, t, c, f))
    kernel = ops.transpose(kernel, (0, 2, 1, 3, 4, 5))
    return ops.reshape(kernel, (q * s, r * t, c, f))[:k, :m]


def _transposed(inputs, kernel, strides, size):
    """The transpose of a strided convolution, padded as "same", to images of this size.

    A plain convolution, whose channels are the pixels of blocks as large as the strides: the
    sub-pixel convolution of Shi et al. (2016).

    Args:
        inputs: `(N, h, w, F)`.
        kernel: `(k, m, C, F)`.
        strides: `(s, t)`.
        size: `(H, W)`; h and w are H / s and W / t, rounded up.

    Returns:
        `(N, H, W, C)`.
    """
    (s, t), (k, m, c, f), (h, w) = strides, kernel.shape, inputs.shape[1:3]
    (top, q), (left, r) = _under_kernel(size, (h, w), kernel, strides)
    kernel = ops.pad(kernel, ((0, q * s - k), (0, r * t - m), (0, 0), (0, 0)))  # to whole blocks
    kernel = ops.transpose(ops.reshape(kernel, (q, s, r, t, c, f)), (0, 2, 5, 1, 3, 4))
    kernel = ops.flip(ops.reshape(kernel, (q, r, f, s * t * c)), (0, 1))
    inputs = ops.pad(inputs, ((0, 0), (q - 1, q - 1), (r - 1, r - 1), (0, 0)))
    blocks = ops.conv(inputs, kernel, 1, "valid", "channels_last")
    blocks = ops.reshape(blocks, (-1, h + q - 1, w + r - 1, s, t, c))
    images = ops.transpose(blocks, (0, 1, 3, 2, 4, 5))
    images = ops.reshape(images, (-1, (h + q - 1) * s, (w + r - 1) * t, c))
    return images[:, top : top + size[0], left : left + size[1]]


def _under_kernel(large, small, kernel, strides):
    """For each side: pixels that "same" adds before it, and blocks of a stride under the kernel."""
    found = []
    for n, m, k, s in zip(small, large, kernel.shape[:2], strides, strict=True):
        found.append((((n - 1) * s + k - m) // 2, -(-k // s)))
    return found
