"""The engine: one algorithm body on TensorFlow, JAX and torch under Keras's `fit`."""

from kgen.engine.backend import input_gradient
from kgen.engine.generative_model import GenerativeModel
from kgen.engine.left_out import LeftOut
from kgen.engine.moving_average import MovingAverage
from kgen.engine.optimizers import OptimizerGroup
from kgen.engine.run import NonFiniteLoss
from kgen.engine.stages import Stage

__all__ = [
    "GenerativeModel",
    "LeftOut",
    "MovingAverage",
    "NonFiniteLoss",
    "OptimizerGroup",
    "Stage",
    "input_gradient",
]
