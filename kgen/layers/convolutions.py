"""Convolutions that are fast on every backend.

A strided convolution, its transpose and the gradient of its kernel belong together: each is linear
in each of its two arguments, so each one's derivatives are the other two. The last two are written
out here, as plain convolutions and matrix products: what XLA has for them is slow on CPUs, and so
is what JAX makes of a transpose on GPUs, a convolution of images with zeros between their pixels.
"""

from functools import cache, partial

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
        return _applied(self, _convolve, inputs, inputs.shape[1:3])


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
        size = [n * s for n, s in zip(inputs.shape[1:3], self.strides, strict=True)]
        return _applied(self, _convolve_transposed, inputs, size)


def _is_written_out(layer, inputs):
    """Whether a layer's convolution is one that is faster as it is written out here.

    No file outside the engine but this one asks for the backend: torch has fast code for it, and
    so has TensorFlow on GPUs, and on CPUs where XLA does not compile.
    """
    backend = keras.config.backend()
    slow = {"tensorflow": ("cpu",), "jax": ("cpu", "gpu", "cuda", "rocm")}.get(backend)
    return (
        slow is not None
        and (backend == "jax" or _is_traced_for_xla())
        and all(device.startswith(slow) for device in keras.distribution.list_devices())
        and layer.data_format == "channels_last"
        and None not in inputs.shape[1:]
        and layer.padding == "same"
        and max(layer.strides) > 1
        and all(d == 1 for d in layer.dilation_rate)
        and all(k >= s for k, s in zip(layer.kernel_size, layer.strides, strict=True))
    )


def _is_traced_for_xla():
    """Whether TensorFlow is making a graph that XLA will compile."""
    import tensorflow as tf
    from tensorflow.python.ops import control_flow_util  # nothing public knows

    return control_flow_util.GraphOrParentsInXlaContext(tf.compat.v1.get_default_graph())


def _applied(layer, convolve, inputs, size):
    kernel = ops.reshape(layer.kernel, layer.kernel.shape)  # no variable: TensorFlow refuses those
    geometry = {"size": tuple(size), "kernel_shape": kernel.shape, "strides": layer.strides}
    outputs = convolve(inputs, kernel, **geometry)
    outputs = outputs + layer.bias if layer.use_bias else outputs
    return outputs if layer.activation is None else layer.activation(outputs)


# The convolution of images of a `size`, `(N, H, W, C)`, by a kernel, `(k, m, C, F)`, to `(N, h, w,
# F)`; its transpose; the gradient of the kernel: what follows takes two of these, and the geometry.


def _convolution(images, kernel, *, size, kernel_shape, strides):
    """The strided convolution, padded as "same"."""
    return ops.conv(images, kernel, strides, "same", "channels_last")


def _kernel_gradient(large, small, *, size, kernel_shape, strides):
    """Gradient by the kernel of `sum(small * convolution(large))`.

    A matrix product for each block under the kernel: of what the block holds of the larger images,
    at each pixel of the smaller ones, and these.

    Args:
        large: `(N, H, W, C)`.
        small: `(N, h, w, F)`.
        size: `(H, W)`.
        kernel_shape: `(k, m, C, F)`.
        strides: `(s, t)`.

    Returns:
        `(k, m, C, F)`.
    """
    (s, t), (k, m, c, f), (h, w) = strides, kernel_shape, small.shape[1:3]
    (top, q), (left, r) = _under_kernel(size, (h, w), (k, m), strides)
    bottom, right = (h + q - 1) * s - top - size[0], (w + r - 1) * t - left - size[1]
    large = ops.pad(large, ((0, 0), (top, bottom), (left, right), (0, 0)))
    blocks = ops.rearrange(
        large, "n (h s) (w t) c -> n h w (s t c)", h=h + q - 1, w=w + r - 1, s=s, t=t
    )
    small = ops.reshape(small, (-1, f))
    shifted = [blocks[:, i : i + h, j : j + w] for i in range(q) for j in range(r)]
    parts = [ops.matmul(ops.transpose(ops.reshape(x, (-1, s * t * c))), small) for x in shifted]
    pattern, sides = "(q r) (s t c) f -> (q s) (r t) c f", {"q": q, "r": r, "s": s, "t": t, "c": c}
    return ops.rearrange(ops.stack(parts), pattern, **sides)[:k, :m]


def _transpose(inputs, kernel, *, size, kernel_shape, strides):
    """The transpose of a strided convolution, padded as "same", to images of this size.

    A plain convolution, whose channels are the pixels of blocks as large as the strides: the
    sub-pixel convolution of Shi et al. (2016).

    Args:
        inputs: `(N, h, w, F)`.
        kernel: `(k, m, C, F)`.
        size: `(H, W)`; h and w are H / s and W / t, rounded up.
        kernel_shape: that of the kernel.
        strides: `(s, t)`.

    Returns:
        `(N, H, W, C)`.
    """
    (s, t), (k, m, c, _), (h, w) = strides, kernel_shape, inputs.shape[1:3]
    (top, q), (left, r) = _under_kernel(size, (h, w), (k, m), strides)
    kernel = ops.pad(kernel, ((0, q * s - k), (0, r * t - m), (0, 0), (0, 0)))  # to whole blocks
    kernel = ops.rearrange(kernel, "(q s) (r t) c f -> q r f (s t c)", q=q, r=r, s=s, t=t)
    kernel = ops.flip(kernel, (0, 1))
    inputs = ops.pad(inputs, ((0, 0), (q - 1, q - 1), (r - 1, r - 1), (0, 0)))
    blocks = ops.conv(inputs, kernel, 1, "valid", "channels_last")
    images = ops.rearrange(blocks, "n h w (s t c) -> n (h s) (w t) c", s=s, t=t, c=c)
    return images[:, top : top + size[0], left : left + size[1]]


def _under_kernel(large, small, kernel_size, strides):
    """For each side: pixels that "same" adds before it, and blocks of a stride under the kernel."""
    found = []
    for n, m, k, s in zip(small, large, kernel_size, strides, strict=True):
        found.append((((n - 1) * s + k - m) // 2, -(-k // s)))
    return found


# Derivatives.


def _bilinear(function, by_first, by_second):
    """A function of two tensors, linear in each, with its transposes as they are given here.

    Args:
        function: `(a, b, **geometry) -> c`.
        by_first: its transpose in `a`, `(c, b, **geometry) -> a`.
        by_second: its transpose in `b`, `(a, c, **geometry) -> b`.

    Returns:
        The function, with derivatives of any order, in both modes.
    """

    @cache
    def made():  # when the backend is known
        make = {"tensorflow": _told_to_tapes, "jax": _primitive}[keras.config.backend()]
        return make(function, by_first, by_second)

    return lambda a, b, **geometry: made()(a, b, **geometry)


def _told_to_tapes(function, by_first, by_second):
    """As `tf.custom_gradient`, which registers each gradient in a graph for good.

    So it keeps every graph in which a layer was ever traced, and the weights; tapes do not.
    """
    from tensorflow.python.eager import record  # nothing public tells tapes and nobody else

    def recorded(a, b, **geometry):
        def gradient(g):
            return by_first(g, b, **geometry), by_second(a, g, **geometry)

        with record.stop_recording():
            c = function(a, b, **geometry)
        record.record_operation(function.__name__, [c], [a, b], gradient)
        return c

    return recorded


def _primitive(function, by_first, by_second):
    """A primitive of JAX, since `jax.custom_vjp` knows reverse mode alone."""
    import jax
    from jax.extend.core import Primitive
    from jax.interpreters import ad, batching, mlir

    primitive = Primitive(f"kgen{function.__name__}")
    primitive.def_impl(jax.jit(function, static_argnames=("size", "kernel_shape", "strides")))
    primitive.def_abstract_eval(
        lambda a, b, **geometry: jax.make_jaxpr(partial(function, **geometry))(a, b).out_avals[0]
    )
    mlir.register_lowering(primitive, mlir.lower_fun(function, multiple_results=False))
    ad.defbilinear(
        primitive,
        lambda g, a, b, **geometry: by_first(g, b, **geometry),
        lambda g, a, b, **geometry: by_second(a, g, **geometry),
    )

    def batched(inputs, axes, **geometry):
        return jax.vmap(partial(function, **geometry), axes)(*inputs), 0

    batching.primitive_batchers[primitive] = batched
    return primitive.bind


_convolve = _bilinear(
    _convolution,
    lambda g, kernel, **geometry: _convolve_transposed(g, kernel, **geometry),
    lambda images, g, **geometry: _gradient_of_kernel(images, g, **geometry),
)
_convolve_transposed = _bilinear(
    _transpose,
    lambda g, kernel, **geometry: _convolve(g, kernel, **geometry),
    lambda inputs, g, **geometry: _gradient_of_kernel(g, inputs, **geometry),
)
_gradient_of_kernel = _bilinear(
    _kernel_gradient,
    lambda g, small, **geometry: _convolve_transposed(small, g, **geometry),
    lambda large, g, **geometry: _convolve(large, g, **geometry),
)
