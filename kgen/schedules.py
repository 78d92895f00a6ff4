"""What may change over training, as small, serialisable, pure functions of the step.

Any `keras.optimizers.schedules.LearningRateSchedule` serves too, and these serve as learning
rates: a schedule is evaluated in the compiled step from `model.step`, so it resumes by itself and
never retraces.
"""

import numbers

import keras
from keras import ops

from kgen.arguments import positive, whole

__all__ = ["LinearDecay", "LinearWarmup", "get", "value"]


@keras.saving.register_keras_serializable("kgen")
class LinearWarmup(keras.optimizers.schedules.LearningRateSchedule):
    """Rise linearly from `start` to `end` over `steps` steps, then stay.

    For the weight of a VAE's KL term this is the warm-up of Sonderby et al. (2016); Bowman et al.
    (2016), section 3.1, anneal it along a sigmoid.

    Args:
        end: the value from step `steps` on.
        steps: positive integer.
        start: the value at step 0.
    """

    def __init__(self, end, steps, start=0.0):
        super().__init__()
        self.end, self.start = get(end, "end"), get(start, "start")
        self.steps = positive(steps, "steps")

    def __call__(self, step):
        """The value at this step, a float32 scalar."""
        fraction = ops.minimum(ops.cast(step, "float32") / self.steps, 1.0)
        return self.start + (self.end - self.start) * fraction

    def get_config(self):
        """The arguments."""
        return {"end": self.end, "steps": self.steps, "start": self.start}


@keras.saving.register_keras_serializable("kgen")
class LinearDecay(keras.optimizers.schedules.LearningRateSchedule):
    """Stay at `start` for `constant_steps` steps, fall linearly to `end`, then stay there.

    The learning rate of CycleGAN (Zhu et al., 2017, section 4), there for 100 epochs and another
    100 epochs down to 0.

    Args:
        start: the value up to step `constant_steps`.
        constant_steps: integer from 0 upward.
        decay_steps: positive integer, how many steps the way to `end` takes.
        end: the value from step `constant_steps + decay_steps` on.
    """

    def __init__(self, start, constant_steps, decay_steps, end=0.0):
        super().__init__()
        self.start, self.end = get(start, "start"), get(end, "end")
        self.constant_steps = whole(constant_steps, "constant_steps")
        self.decay_steps = positive(decay_steps, "decay_steps")

    def __call__(self, step):
        """The value at this step, a float32 scalar."""
        steps = ops.cast(step, "float32") - self.constant_steps
        fraction = ops.clip(steps / self.decay_steps, 0.0, 1.0)
        return self.start + (self.end - self.start) * fraction

    def get_config(self):
        """The arguments."""
        return {
            "start": self.start,
            "constant_steps": self.constant_steps,
            "decay_steps": self.decay_steps,
            "end": self.end,
        }


def get(value, name="value"):
    """Check a number or schedule that a user passed; returns a float or the schedule."""
    if isinstance(value, keras.optimizers.schedules.LearningRateSchedule):
        return value
    if isinstance(value, dict) and "class_name" in value:  # from a configuration
        return keras.saving.deserialize_keras_object(value)
    if not isinstance(value, numbers.Real):
        raise TypeError(
            f"{name} must be a number or a schedule (kgen.schedules, keras.optimizers.schedules); "
            f"got {value!r}."
        )
    return float(value)


def value(schedule, step):
    """The value of a number or schedule at this step."""
    return schedule(step) if callable(schedule) else schedule


def serialize(schedule):
    """A number as it is, a schedule as its configuration."""
    return keras.saving.serialize_keras_object(schedule) if callable(schedule) else schedule
