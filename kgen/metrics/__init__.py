"""What is measured of images: the judges, small classifiers whose answers and features count."""

from kgen.metrics.judges import Judge, judge

__all__ = ["Judge", "judge"]
