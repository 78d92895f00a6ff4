"""kgen: deep generative models of images in Keras 3."""

from kgen import engine
from kgen.engine import GenerativeModel, MovingAverage

__all__ = ["GenerativeModel", "MovingAverage", "engine"]
