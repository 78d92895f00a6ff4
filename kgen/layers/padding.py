"""Padding of images."""

import keras
from keras import ops

from kgen.arguments import is_integer


@keras.saving.register_keras_serializable("kgen")
class ReflectionPadding2D(keras.layers.Layer):
    """Continue images beyond their border by their mirror images; the border is not repeated.

    What Johnson et al. (2016) and CycleGAN (Zhu et al., 2017) put around images and before
    convolutions, where zeros would leave a frame. (`torch.nn.ReflectionPad2d`.)

    Args:
        padding: integer, how many pixels at each border, or `((top, bottom), (left, right))`.
        **kwargs: as in Keras.

    Call arguments:
        inputs: `(N, H, W, C)`; H and W are greater than the padding at their borders.

    Returns:
        `(N, top + H + bottom, left + W + right, C)`.

    Raises:
        ValueError: for another padding, or images that are too small for it.
    """

    def __init__(self, padding, **kwargs):
        super().__init__(**kwargs)
        self.padding = _borders(padding)
        self.built = True

    def call(self, inputs):
        """See the class.

        By slices: Keras's `pad` takes twice as long on JAX and torch, on CPUs.
        """
        self._check_room(inputs.shape)
        x = inputs
        for axis, (before, after) in enumerate(self.padding, 1):
            at = (slice(None),) * axis
            first, last = x[(*at, slice(1, before + 1))], x[(*at, slice(-after - 1, -1))]
            parts = [ops.flip(first, axis)] if before else []
            parts += [x, *([ops.flip(last, axis)] if after else [])]
            x = ops.concatenate(parts, axis) if len(parts) > 1 else x
        return x

    def _check_room(self, shape):
        if len(shape) != 4:
            raise ValueError(
                f"ReflectionPadding2D takes images (N, H, W, C); got shape {tuple(shape)}."
            )
        for name, side, borders in zip(("H", "W"), shape[1:3], self.padding, strict=True):
            if side is not None and max(borders) >= side:
                raise ValueError(
                    f"A side is reflected by fewer pixels than it has; got padding={self.padding} "
                    f"for {name} = {side}, in shape {tuple(shape)}. Take a smaller padding, or "
                    "larger images."
                )

    def compute_output_shape(self, input_shape):
        """With the padding at each border."""
        self._check_room(input_shape)
        sides = [
            None if side is None else before + side + after
            for side, (before, after) in zip(input_shape[1:3], self.padding, strict=True)
        ]
        return (input_shape[0], *sides, input_shape[3])

    def get_config(self):
        """The arguments."""
        return {**super().get_config(), "padding": self.padding}


def _borders(padding):
    """`((top, bottom), (left, right))`; raises a ValueError for what says no such thing."""
    if is_integer(padding):
        padding = ((padding, padding), (padding, padding))
    try:
        (top, bottom), (left, right) = padding
        borders = [top, bottom, left, right]
    except (TypeError, ValueError):
        borders = []
    if not borders or not all(is_integer(n) and n >= 0 for n in borders):
        raise ValueError(
            "padding must be an integer from 0 upward, or four of them, ((top, bottom), (left, "
            f"right)); got {padding!r}."
        )
    top, bottom, left, right = map(int, borders)
    return (top, bottom), (left, right)
