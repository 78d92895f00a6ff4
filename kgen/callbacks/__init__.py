"""Keras callbacks for generative models."""

from kgen.callbacks.collapse_monitor import CollapseMonitor
from kgen.callbacks.evaluator import Evaluator
from kgen.callbacks.sample_grid import SampleGrid
from kgen.callbacks.training_checkpoint import TrainingCheckpoint

__all__ = ["CollapseMonitor", "Evaluator", "SampleGrid", "TrainingCheckpoint"]
