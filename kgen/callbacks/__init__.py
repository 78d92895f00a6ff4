"""Keras callbacks for generative models."""

from kgen.callbacks.sample_grid import SampleGrid
from kgen.callbacks.training_checkpoint import TrainingCheckpoint

__all__ = ["SampleGrid", "TrainingCheckpoint"]
