"""Blocks of pixels as channels, as a bijection."""

import keras
from keras import ops

from kgen.arguments import positive
from kgen.layers.bijections.base import Bijection, check_known, of_each
from kgen.layers.space_to_depth import DepthToSpace, SpaceToDepth


@keras.saving.register_keras_serializable("kgen")
class Squeeze(Bijection):
    """Blocks of pixels become channels (Dinh et al., 2017, section 3.6): `SpaceToDepth`.

    Args:
        block: side of a block.
        **kwargs: as in Keras.

    Call arguments:
        inputs: `(N, H, W, C)`; out come `(N, H / block, W / block, block * block * C)`.

    Raises:
        ValueError: for sides that do not divide into blocks, or are not known.
    """

    def __init__(self, block=2, **kwargs):
        super().__init__(**kwargs)
        self.block = positive(block, "block")
        self._there = SpaceToDepth(self.block, dtype="float32")
        self._back = DepthToSpace(self.block, dtype="float32")
        self.built = True

    def call(self, inputs, told=None):
        """See the class."""
        self.compute_output_shape(inputs.shape)  # refuses
        y = self._there(ops.cast(inputs, "float32"))
        return y, of_each(0.0, y)

    def inverse(self, outputs, told=None):
        """See the class."""
        return self._back(ops.cast(outputs, "float32"))

    def compute_output_shape(self, input_shape):
        """Smaller sides, more channels."""
        if len(input_shape) != 4:
            raise ValueError(f"Squeeze takes images (N, H, W, C); got shape {tuple(input_shape)}.")
        check_known(self, input_shape)
        return self._there.compute_output_shape(input_shape), tuple(input_shape[:1])

    def get_config(self):
        """The arguments."""
        return {**super().get_config(), "block": self.block}
