"""Couplings: one part of a tensor moved by what the other one says."""

import keras
import numpy as np
from keras import ops

from kgen.arguments import flag, one_of, positive_number
from kgen.layers.bijections.base import OfNetwork, channels_of, check_known, of_each, summed


class Coupling(OfNetwork):
    """Base of couplings: one part stays, and a network sees it and says how the other part moves.

    Args:
        network: Keras layer or model from the part that stays, and from what it is told, `[part,
            told]`, to the numbers by which the other part moves, of the same sides.
        mask: which part stays: `"channels"`, the first half of them, of which the network sees no
            others; or `"checkerboard"`, every other pixel of images whose sides are known: the
            network sees the image with zeros in the place of the rest, and says something of every
            pixel.
        flip: whether the parts change places.
        **kwargs: as in Keras.

    Raises:
        ValueError: for a single channel that is to be halved, a checkerboard of points, and a
            network that returns something else.
    """

    numbers = 1  # that the network says of each one that moves

    def __init__(self, network, mask="channels", flip=False, **kwargs):
        super().__init__(network, **kwargs)
        self.mask = one_of(mask, ["channels", "checkerboard"], "mask")
        self.flip = flag(flip, "flip")

    def build(self, input_shape):
        """Look at the shape; the network comes built, or is built here."""
        sides, channels = input_shape[1:-1], channels_of(self, input_shape)
        if self.mask == "channels" and channels < 2:
            raise ValueError(
                f"{type(self).__name__} halves the channels, and inputs of shape "
                f"{tuple(input_shape)} have {channels}: squeeze them before, or take "
                'mask="checkerboard".'
            )
        if self.mask == "checkerboard" and len(sides) != 2:
            raise ValueError(
                f'mask="checkerboard" is of images (N, H, W, C); got shape {tuple(input_shape)}. '
                'Take mask="channels".'
            )
        if self.mask == "checkerboard":
            check_known(self, input_shape)
        self._first = channels // 2
        seen = (*input_shape[:-1], channels)
        if self.mask == "channels":
            kept = channels - self._first if self.flip else self._first
            seen = (*input_shape[:-1], kept)
        else:
            rows, columns = np.indices(sides)
            self._kept = ((rows + columns) % 2 == self.flip).astype("float32")[..., None]
        if not self.network.built:
            self.network.build(seen)

    def _told_apart(self, x):
        """The part that stays, and the part that moves."""
        self.check_built()
        if self.mask == "checkerboard":
            return x * self._where(stays=True), x * self._where(stays=False)
        parts = ops.split(x, [self._first], axis=-1)  # whose gradient is a concatenation
        return parts[::-1] if self.flip else parts

    def _where(self, stays):
        """1 at the pixels of a checkerboard that stay, or at those that move, else 0."""
        return ops.convert_to_tensor(self._kept if stays else 1 - self._kept)

    def _joined(self, stays, moved):
        if self.mask == "checkerboard":
            return stays + moved * self._where(stays=False)
        parts = (moved, stays) if self.flip else (stays, moved)
        return ops.concatenate(parts, axis=-1)

    def _said(self, stays, moves, told, training=False):
        """What the network says of each number that moves: as many tensors as `numbers`."""
        taken = getattr(self.network, "inputs", None)
        if taken and len(taken) != 1 + (told is not None):
            raise ValueError(
                f"The network of {type(self).__name__} takes {len(taken)} inputs; it is given "
                + ("the part that stays." if told is None else "[the part that stays, told].")
            )
        inputs = stays if told is None else [stays, told]
        said = ops.cast(self.network(inputs, training=training), "float32")
        expected = (*moves.shape[1:-1], self.numbers * moves.shape[-1])
        if tuple(said.shape[1:]) != expected:
            raise ValueError(
                f"The network of {type(self).__name__} must return shape {(None, *expected)}, "
                f"{self.numbers} for each number that moves; it returns {(None, *said.shape[1:])}."
            )
        return ops.split(said, self.numbers, axis=-1)

    def get_config(self):
        """The arguments."""
        return {**super().get_config(), "mask": self.mask, "flip": self.flip}


@keras.saving.register_keras_serializable("kgen")
class AdditiveCoupling(Coupling):
    """$y_a = x_a$, $y_b = x_b + t(x_a)$, which keeps volumes (Dinh et al., 2015, section 3.2)."""

    def call(self, inputs, told=None, training=False):
        """See the class."""
        x = ops.cast(inputs, "float32")
        stays, moves = self._told_apart(x)
        (shift,) = self._said(stays, moves, told, training)
        return self._joined(stays, moves + shift), of_each(0.0, x)

    def inverse(self, outputs, told=None):
        """See the class."""
        stays, moved = self._told_apart(ops.cast(outputs, "float32"))
        (shift,) = self._said(stays, moved, told)
        return self._joined(stays, moved - shift)


@keras.saving.register_keras_serializable("kgen")
class AffineCoupling(Coupling):
    r"""$y_a = x_a$, $y_b = x_b e^{s(x_a)} + t(x_a)$ (Dinh et al., 2017, equations 4 and 5).

    The network says s and t, one after the other in its channels; s is kept within `limit` by a
    tanh, so that no layer stretches without end.

    Args:
        network, mask, flip: as in `Coupling`.
        limit: positive number, the largest |s|.
        **kwargs: as in Keras.
    """

    numbers = 2

    def __init__(self, network, mask="channels", flip=False, limit=1.0, **kwargs):
        super().__init__(network, mask, flip, **kwargs)
        self.limit = positive_number(limit, "limit")

    def call(self, inputs, told=None, training=False):
        """See the class."""
        stays, moves = self._told_apart(ops.cast(inputs, "float32"))
        log_scale, shift = self._scale_and_shift(stays, moves, told, training)
        return self._joined(stays, moves * ops.exp(log_scale) + shift), summed(log_scale)

    def inverse(self, outputs, told=None):
        """See the class."""
        stays, moved = self._told_apart(ops.cast(outputs, "float32"))
        log_scale, shift = self._scale_and_shift(stays, moved, told)
        return self._joined(stays, (moved - shift) * ops.exp(-log_scale))

    def _scale_and_shift(self, stays, moves, told, training=False):
        raw, shift = self._said(stays, moves, told, training)
        log_scale = scaled(raw, self.limit)
        if self.mask == "checkerboard":
            log_scale = log_scale * self._where(stays=False)
        return log_scale, shift

    def get_config(self):
        """The arguments."""
        return {**super().get_config(), "limit": self.limit}


@keras.saving.register_keras_serializable("kgen")
class SplitPrior(AffineCoupling):
    r"""The half that leaves a flow between two scales, by a prior that is learned.

    $p(x_b | x_a) = N(m(x_a), e^{2 \ell(x_a)})$ (Kingma and Dhariwal, 2018, their code). As a
    bijection it is an affine coupling: $z = (x_b - m) e^{-\ell}$ is standard normal where $x_b$ is
    as this prior says. A `Chain` takes z, the second half of the channels, as finished.

    Args:
        network, limit: as in `AffineCoupling`.
        **kwargs: as in Keras.
    """

    def __init__(self, network, limit=1.0, **kwargs):
        super().__init__(network, limit=limit, **kwargs)

    def part(self, outputs):
        """The half that goes on, and the half that is finished."""
        return self._told_apart(outputs)

    def join(self, going_on, finished):
        """What `part` took apart."""
        return self._joined(going_on, finished)

    def get_config(self):
        """The arguments."""
        config = super().get_config()
        return {name: config[name] for name in config if name not in ("mask", "flip")}


def scaled(raw, limit):
    """What a network says of a log-scale, within the limit."""
    return limit * ops.tanh(raw / limit)
