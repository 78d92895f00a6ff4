"""Bijections one after the other."""

import math
from collections.abc import Iterable

import keras
from keras import ops

from kgen.layers.bijections.base import (
    Bijection,
    OfNetwork,
    check_known,
    deserialize,
    serialize,
)
from kgen.layers.bijections.couplings import SplitPrior


@keras.saving.register_keras_serializable("kgen")
class Chain(Bijection):
    r"""Bijections one after the other: $\log |\det|$ is the sum of theirs.

    After each `SplitPrior` half of the channels are finished (multi-scale architecture: Dinh et
    al., 2017, section 3.6). What comes out is flat: the last part first, then the finished ones
    from the coarsest to the finest.

    Args:
        bijections: list of `Bijection`.
        **kwargs: as in Keras.

    Call arguments:
        inputs: `(N, ...)`.
        told: given to each of the bijections.

    Returns:
        `(latents, log_det)`: float32 `(N, D)`, D the numbers of one of the inputs, and `(N,)`.

    Raises:
        TypeError: for what is no bijection.
        ValueError: for none, and for bijections that share a network; for sides that are not
            known, or not those that it was built for.
    """

    def __init__(self, bijections, **kwargs):
        super().__init__(**kwargs)
        found = [*bijections] if isinstance(bijections, Iterable) else [bijections]
        for bijection in found:
            if not isinstance(bijection, Bijection):
                raise TypeError(
                    "A Chain is made of kgen.layers.Bijection, such as ActNorm or AffineCoupling; "
                    f"got {bijection!r}."
                )
        if not found:
            raise ValueError("A Chain needs one bijection at least; got none.")
        networks = [id(network) for network in _networks(found)]
        if len({*networks}) < len(networks):
            raise ValueError(
                "Two bijections of this Chain share a network, of which a file would not know: "
                "give each its own."
            )
        self.bijections = found

    def build(self, input_shape):
        """Build all, each for the shape that the one before leaves."""
        check_known(self, input_shape)
        self._shape = tuple(input_shape[1:])
        self._shapes = []  # after each: of what goes on, and of what is finished, without batch
        for bijection in self.bijections:
            if not bijection.built:
                bijection.build(input_shape)
            input_shape, _ = bijection.compute_output_shape(input_shape)
            finished = None
            if isinstance(bijection, SplitPrior):
                *rest, channels = input_shape
                input_shape = (*rest, channels // 2)
                finished = (*rest[1:], channels - channels // 2)
            self._shapes.append((tuple(input_shape[1:]), finished))

    def call(self, inputs, told=None, training=None):
        """See the class."""
        pairs = zip(inputs.shape[1:], self._shape, strict=False)
        if len(inputs.shape) != 1 + len(self._shape) or any(a not in (None, b) for a, b in pairs):
            raise ValueError(
                f"This Chain was built for shape {(None, *self._shape)}; got {tuple(inputs.shape)}."
            )
        x, log_dets, latents = inputs, [], []
        for bijection in self.bijections:
            x, log_det = bijection(x, told=told, training=training)
            log_dets.append(log_det)
            if isinstance(bijection, SplitPrior):
                x, finished = bijection.part(x)
                latents.insert(0, _flat(finished))
        return ops.concatenate([_flat(x), *latents], axis=-1), sum(log_dets)

    def inverse(self, outputs, told=None):
        """See the class."""
        self.check_built()
        parts = [self._shapes[-1][0], *(shape for _, shape in self._shapes if shape is not None)]
        if outputs.shape[1:] != (size := sum(map(math.prod, parts)),):
            raise ValueError(
                f"Latents of this Chain have shape {(None, size)}; got {tuple(outputs.shape)}."
            )
        last, _ = self._shapes[-1]
        x, latents = _first(outputs, last)
        for bijection, (_, shape) in zip(self.bijections[::-1], self._shapes[::-1], strict=True):
            if shape is not None:
                finished, latents = _first(latents, shape)
                x = bijection.join(x, finished)
            x = bijection.inverse(x, told)
        return x

    def compute_output_shape(self, input_shape):
        """Flat."""
        return (input_shape[0], math.prod(input_shape[1:])), tuple(input_shape[:1])

    def get_config(self):
        """The arguments."""
        return {**super().get_config(), "bijections": [serialize(b) for b in self.bijections]}

    @classmethod
    def from_config(cls, config):
        """Build from `get_config()`."""
        bijections = [deserialize(bijection) for bijection in config["bijections"]]
        return cls(**{**config, "bijections": bijections})


def _networks(bijections):
    """Those of bijections, and of chains among them."""
    for bijection in bijections:
        if isinstance(bijection, Chain):
            yield from _networks(bijection.bijections)
        elif isinstance(bijection, OfNetwork):
            yield bijection.network


def _flat(x):
    return ops.reshape(x, (-1, math.prod(x.shape[1:])))


def _first(latents, shape):
    """The first numbers of each latent, in this shape, and the rest."""
    size = math.prod(shape)
    return ops.reshape(latents[:, :size], (-1, *shape)), latents[:, size:]
