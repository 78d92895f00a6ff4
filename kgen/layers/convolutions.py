"""Convolutions that are fast on every backend."""

import keras
from keras import ops


@keras.saving.register_keras_serializable("kgen")
class Conv2DTranspose(keras.layers.Conv2DTranspose):
    """`keras.layers.Conv2DTranspose`, its gradient written out where it would be slow.

    The same arguments, weights and outputs. On JAX, what automatic differentiation makes of the
    kernel's gradient is a convolution over an input spread out with zeros, for which XLA has no
    fast code on CPUs. Here it is that of the strided convolution whose transpose this layer is: the
    gradient of the output, convolved with the input, whose pixels lie a stride apart.

    Example:

    ```python
    x = kgen.layers.Conv2DTranspose(64, 4, 2, "same", activation="relu")(x)
    ```
    """

    def call(self, inputs):
        """See Keras."""
        if not self._writes_gradient():
            return super().call(inputs)
        outputs = self._convolve(inputs, ops.convert_to_tensor(self.kernel))
        outputs = outputs + self.bias if self.use_bias else outputs
        return outputs if self.activation is None else self.activation(outputs)

    def _writes_gradient(self):
        # The one place outside the engine that asks for the backend: TensorFlow and torch have fast
        # code for this gradient, and JAX pays with the loss of forward-mode differentiation.
        return (
            keras.config.backend() == "jax"
            and self.data_format == "channels_last"
            and self.padding == "same"
            and self.output_padding is None
            and all(d == 1 for d in self.dilation_rate)
            and all(k >= s for k, s in zip(self.kernel_size, self.strides, strict=True))
        )

    def _convolve(self, inputs, kernel):
        strides, last = self.strides, "channels_last"
        overlaps = [k - s for k, s in zip(self.kernel_size, strides, strict=True)]
        pads = [(0, 0), *[(n // 2, n - n // 2) for n in overlaps], (0, 0)]  # as "same" pads

        @ops.custom_gradient
        def convolve(inputs, kernel):
            def gradient(g):
                of_inputs = ops.conv(g, kernel, strides, "same", last)
                g = ops.pad(ops.transpose(g, (3, 1, 2, 0)), pads)  # the other way round is slow
                x = ops.transpose(inputs, (1, 2, 0, 3))
                of_kernel = ops.conv(g, x, 1, "valid", last, dilation_rate=strides)
                return of_inputs, ops.transpose(of_kernel, (1, 2, 0, 3))

            return ops.conv_transpose(inputs, kernel, strides, "same", data_format=last), gradient

        return convolve(inputs, kernel)
