"""Autoregressive flows: each part of a sequence moved by what those before it say."""

import math

import keras
from keras import ops

from kgen.arguments import flag, positive_number
from kgen.layers.bijections.base import OfNetwork, check_known, summed
from kgen.layers.bijections.couplings import scaled


@keras.saving.register_keras_serializable("kgen")
class Autoregressive(OfNetwork):
    r"""$y_t = x_t e^{s(x_{<t})} + m(x_{<t})$, t over pixels (Papamakarios et al., 2017; TarFlow).

    Images are sequences of their pixels, row by row, points of their numbers. The network sees the
    sequence one place later, zeros first, so what it says of each place is said by those before
    (Zhai et al., 2024, equations 4 and 5; they leave the first one as it is, here the network says
    what to do with it). All places are computed at once; the inverse goes from one to the next.

    Args:
        network: `kgen.layers.CausalTransformer` with twice as many outputs as a pixel has channels:
            s, then m; with labels, a conditional one.
        reverse: whether the sequence begins at the end.
        limit: positive number, the largest |s|, kept by a tanh.
        **kwargs: as in Keras.

    Raises:
        ValueError: for a network that returns something else; for sides that are not known, or not
            those that it was built for.
    """

    def __init__(self, network, reverse=False, limit=2.0, **kwargs):
        super().__init__(network, **kwargs)
        if not all(hasattr(network, name) for name in ("step", "memory")):
            raise TypeError(
                "network must be a kgen.layers.CausalTransformer, which goes from one place to the "
                f"next; got {network!r}."
            )
        self.reverse = flag(reverse, "reverse")
        self.limit = positive_number(limit, "limit")

    def build(self, input_shape):
        """Look at the shape; the network is built for its places."""
        check_known(self, input_shape)
        *sides, self._numbers = input_shape[1:] if len(input_shape) > 2 else (*input_shape[1:], 1)
        self._places, self._shape = math.prod(sides), tuple(input_shape[1:])
        sequences = (None, self._places, self._numbers)
        told = getattr(self.network, "num_classes", None) is not None
        shape = [sequences, (None,)] if told else sequences
        if not self.network.built:
            self.network.build(shape)
        expected = (None, self._places, 2 * self._numbers)
        found = tuple(self.network.compute_output_shape(shape))
        if found != expected:
            raise ValueError(
                f"The network of Autoregressive must return shape {expected} of inputs "
                f"{tuple(input_shape)}, s and m for each number; it returns {found}."
            )

    def call(self, inputs, told=None, training=False):
        """See the class."""
        x = self._in_order(inputs)
        before = ops.concatenate([ops.zeros_like(x[:, :1]), x[:, :-1]], axis=1)
        said = self.network(self._with(before, told), training=training)
        log_scale, shift = self._scale_and_shift(said)
        return self._as_it_was(x * ops.exp(log_scale) + shift), summed(log_scale)

    def inverse(self, outputs, told=None):
        """See the class."""
        y = self._in_order(outputs)
        numbers = ops.arange(self._places)[:, None]

        def at(t, state):
            x, last, memory = state
            said, memory = self.network.step(self._with(last, told), t, memory)
            log_scale, shift = self._scale_and_shift(said)
            here = (ops.take(y, t, axis=1) - shift) * ops.exp(-log_scale)
            return ops.where(numbers == t, here[:, None], x), here, memory

        state = ops.zeros_like(y), ops.zeros_like(y[:, 0]), self.network.memory(ops.shape(y)[0])
        x, _, _ = ops.fori_loop(0, self._places, at, state)
        return self._as_it_was(x)

    def _in_order(self, x):
        """As sequences, `(N, T, D)`."""
        self.check_built()
        if tuple(x.shape[1:]) != self._shape:
            raise ValueError(
                f"This Autoregressive was built for shape {(None, *self._shape)}; got "
                f"{tuple(x.shape)}."
            )
        x = ops.reshape(ops.cast(x, "float32"), (-1, self._places, self._numbers))
        return ops.flip(x, 1) if self.reverse else x

    def _as_it_was(self, x):
        x = ops.flip(x, 1) if self.reverse else x
        return ops.reshape(x, (-1, *self._shape))

    def _with(self, x, told):
        return x if told is None else [x, told]

    def _scale_and_shift(self, said):
        raw, shift = ops.split(ops.cast(said, "float32"), 2, axis=-1)
        return scaled(raw, self.limit), shift

    def get_config(self):
        """The arguments."""
        return {**super().get_config(), "reverse": self.reverse, "limit": self.limit}
