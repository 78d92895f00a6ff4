"""Measurements, each runnable by one command; speed is a ratio within one run."""

import runpy
from pathlib import Path

runpy.run_path(Path(__file__).parents[1] / "kgen" / "quiet.py")
