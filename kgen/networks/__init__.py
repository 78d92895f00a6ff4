"""Networks: plain functions that return a `keras.Model`."""

from kgen.networks.autoencoders import (
    convolutional_decoder,
    convolutional_encoder,
    dense_decoder,
    dense_encoder,
)

__all__ = ["convolutional_decoder", "convolutional_encoder", "dense_decoder", "dense_encoder"]
