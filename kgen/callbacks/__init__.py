"""Keras callbacks for generative models."""

from kgen.callbacks.collapse_monitor import CollapseMonitor
from kgen.callbacks.evaluator import Evaluator
from kgen.callbacks.progress_bar import ProgressBar
from kgen.callbacks.sample_grid import SampleGrid
from kgen.callbacks.snapshots import Snapshots
from kgen.callbacks.training_checkpoint import TrainingCheckpoint

__all__ = [
    "CollapseMonitor",
    "Evaluator",
    "ProgressBar",
    "SampleGrid",
    "Snapshots",
    "TrainingCheckpoint",
]
