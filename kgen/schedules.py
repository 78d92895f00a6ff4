"""What may change over training, as small, serialisable, pure functions of the step.

Any `keras.optimizers.schedules.LearningRateSchedule` serves too, and these serve as learning
rates: a schedule is evaluated in the compiled step from `model.step`, so it resumes by itself and
never retraces. `GrowingSchedule` is one of the images seen, not of the step.
"""

import numbers
from typing import NamedTuple

import keras
from keras import ops

from kgen.arguments import one_of, positive, positive_number, power_of_two, whole

__all__ = ["GrowingSchedule", "LinearDecay", "LinearWarmup", "get", "value", "warmup_cosine"]


def warmup_cosine(rate, updates, longest=None):
    """Rise linearly from 0 to `rate`, then fall to 0 along half a cosine.

    Loshchilov and Hutter (2017, equation 5), without restarts.

    Args:
        rate: the highest value.
        updates: positive integer, how many steps both take.
        longest: how many steps the rise takes at most; it is a tenth of `updates` otherwise.

    Returns:
        `keras.optimizers.schedules.CosineDecay`.
    """
    updates = positive(updates, "updates")
    warmup = min(updates // 10, updates if longest is None else whole(longest, "longest"))
    return keras.optimizers.schedules.CosineDecay(
        0.0, updates - warmup, warmup_target=positive_number(rate, "rate"), warmup_steps=warmup
    )


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


MOST_EPOCHS = 10  # of a level


class GrowingLevel(NamedTuple):
    """What a `GrowingSchedule` says of one resolution; lengths are whole batches of images.

    Attributes:
        level: 0 for 4x4 pixels, 1 for 8x8, and so on.
        size: side of the images.
        start: images of the levels before.
        fade_images: images while the level fades in; 0 at level 0.
        stable_images: images after that.
        batch_size: images in a batch.
        learning_rate: of both networks' optimizers.
    """

    level: int
    size: int
    start: int
    fade_images: int
    stable_images: int
    batch_size: int
    learning_rate: float

    @property
    def images(self):
        """Images of the level, fade-in and after."""
        return self.fade_images + self.stable_images

    @property
    def steps(self):
        """Batches of the level."""
        return self.images // self.batch_size

    @property
    def epochs(self):
        """As many as cut the steps into equal parts, 10 at most."""
        return max(n for n in range(1, MOST_EPOCHS + 1) if self.steps % n == 0)


class GrowingState(NamedTuple):
    """What is trained next: see `GrowingSchedule.at`."""

    level: int
    alpha: float
    batch_size: int
    learning_rate: float


@keras.saving.register_keras_serializable("kgen")
class GrowingSchedule:
    """What progressive growing trains when, as a function of the images that were seen.

    Karras et al., "Progressive growing of GANs for improved quality, stability, and variation"
    (2018), section 2 and appendix A: images of 4x4 pixels come first; each further resolution is
    faded in, `alpha` rising linearly from 0 to 1, and then trained as it is.

    By default lengths, batches and learning rates are those of the authors' code for one GPU. Each
    length is rounded up to whole batches; `print(schedule)` shows by how much.

    What is given by resolution is one number for all of them; a list of one for each, that of 4x4
    pixels first; or a dictionary from sizes to numbers, each of which holds from its size upward,
    until the next one, and the first of them below its size, too: `{4: 64, 32: 16}` is 64 up to
    16x16 pixels and 16 from 32x32 on. Sizes beyond the largest have no effect.

    Args:
        size: side of the largest images, a power of two from 8 to 1024.
        fade_images: images while a resolution fades in, by resolution: integers from 0 upward. That
            of 4x4 pixels is 0, since there is nothing to fade in from: a list begins with it, and
            a number or a dictionary does not mean it.
        stable_images: images after that, by resolution: positive integers.
        total_images: None, or images of the whole schedule: what the lengths leave over is trained
            at the largest resolution (12,000,000 in the paper).
        batch_size: positive integers, by resolution; by default 128 to 16x16 pixels, 64, 32, 16 and
            8 at 32, 64, 128 and 256, 4 from 512 on.
        learning_rate: positive numbers, by resolution; by default 0.001, and 0.0015 at 1024x1024.

    Attributes:
        levels: a tuple of `GrowingLevel`, one for each resolution.
        images: images of the whole schedule.

    Raises:
        ValueError: for another size, lists of another length, sizes that are no power of two,
            lengths, batches or rates that are none, or fewer images in all than the lengths.

    Example:

    ```python
    schedule = kgen.schedules.GrowingSchedule(32, 10_000, 20_000, batch_size={4: 64, 32: 32})
    print(schedule)
    level, alpha, batch_size, learning_rate = schedule.at(images_seen=45_000)
    ```
    """

    def __init__(
        self,
        size,
        fade_images=600_000,
        stable_images=600_000,
        total_images=None,
        batch_size=None,
        learning_rate=None,
    ):
        self.size = power_of_two(size, "size", 8, 1024)
        sizes = [4 * 2**level for level in range(self.size.bit_length() - 2)]
        batches = _BATCH_SIZES if batch_size is None else batch_size
        rates = _LEARNING_RATES if learning_rate is None else learning_rate
        self._batch_sizes = _by_size(batches, sizes, "batch_size", positive)
        self._learning_rates = _by_size(rates, sizes, "learning_rate", positive_number)
        self._fade_images = _by_size(fade_images, sizes, "fade_images", whole)
        self._stable_images = _by_size(stable_images, sizes, "stable_images", positive)
        self.total_images = None if total_images is None else positive(total_images, "total_images")
        if isinstance(fade_images, list | tuple) and self._fade_images[0]:
            raise ValueError(
                "A list of fade_images begins with 0, since 4x4 pixels have nothing to fade in "
                f"from; got {fade_images!r}."
            )
        self._fade_images[0] = 0
        self.levels = self._made(sizes)
        self.images = self.levels[-1].start + self.levels[-1].images

    def _made(self, sizes):
        levels, start = [], 0
        for level, size in enumerate(sizes):
            batch_size, rate = self._batch_sizes[level], self._learning_rates[level]
            fade = _whole_batches(self._fade_images[level], batch_size)
            stable = self._stable_images[level]
            if size == self.size and self.total_images is not None:
                stable = self._left(start + fade, _whole_batches(stable, batch_size))
            stable = _whole_batches(stable, batch_size)
            levels.append(GrowingLevel(level, size, start, fade, stable, batch_size, rate))
            start += fade + stable
        return tuple(levels)

    def _left(self, before, least):
        """Images of all that are not of the ones before; raises a ValueError for too few."""
        if self.total_images < before + least:
            raise ValueError(
                f"total_images must be at least {before + least}, the lengths of all resolutions "
                f"to {self.size}x{self.size} pixels in whole batches; got {self.total_images}. "
                "Lower fade_images or stable_images, or grow to a smaller size."
            )
        return self.total_images - before

    def at(self, images_seen):
        """What is trained next when so many images were seen.

        Args:
            images_seen: integer from 0 upward; beyond the end all stays as it is there.

        Returns:
            `GrowingState`, the tuple `(level, alpha, batch_size, learning_rate)`; alpha in [0, 1].

        Raises:
            ValueError: for anything else.
        """
        seen = whole(images_seen, "images_seen")
        row = [level for level in self.levels if level.start <= seen][-1]
        alpha = min((seen - row.start) / row.fade_images, 1.0) if row.fade_images else 1.0
        return GrowingState(row.level, alpha, row.batch_size, row.learning_rate)

    def alpha(self, images_seen, level):
        """How far a level is faded in, in compiled steps: a float32 scalar in [0, 1].

        Args:
            images_seen: number or scalar tensor, integers, since float32 counts to 16,777,216.
            level: Python integer from 0.

        Raises:
            ValueError: for a level that the schedule has not.
        """
        row = self.levels[one_of(level, range(len(self.levels)), "level")]
        if not row.fade_images:
            return ops.ones((), "float32")
        seen = ops.cast(ops.subtract(images_seen, row.start), "float32")
        return ops.clip(seen / row.fade_images, 0.0, 1.0)

    def get_config(self):
        """The arguments, by resolution as lists."""
        return {
            "size": self.size,
            "fade_images": [*self._fade_images],
            "stable_images": [*self._stable_images],
            "total_images": self.total_images,
            "batch_size": [*self._batch_sizes],
            "learning_rate": [*self._learning_rates],
        }

    @classmethod
    def from_config(cls, config):
        """The schedule of `get_config()`."""
        return cls(**config)

    def __eq__(self, other):
        same = isinstance(other, GrowingSchedule)
        return self.get_config() == other.get_config() if same else NotImplemented

    def __hash__(self):
        return hash((self.levels, self.total_images))

    def __repr__(self):
        config = ", ".join(f"{name}={value!r}" for name, value in self.get_config().items())
        return f"GrowingSchedule({config})"

    def __str__(self):
        """A table: a line for each resolution; in brackets, what rounding up added."""
        names = ("pixels", "batch", "rate", "fade-in", "stable", "steps", "epochs", "until image")
        rows = [names]
        for row, fade, stable in zip(
            self.levels, self._fade_images, self._stable_images, strict=True
        ):
            if row.size == self.size and self.total_images is not None:
                stable = self.total_images - row.start - row.fade_images
            rows.append(
                (
                    f"{row.size}x{row.size}",
                    f"{row.batch_size}",
                    f"{row.learning_rate:g}",
                    _rounded(row.fade_images, fade),
                    _rounded(row.stable_images, stable),
                    f"{row.steps:,}",
                    f"{row.epochs}",
                    f"{row.start + row.images:,}",
                )
            )
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = ["  ".join(map(str.rjust, row, widths)) for row in rows]
        steps = sum(row.steps for row in self.levels)
        return "\n".join([*lines, f"{self.images:,} images in {steps:,} steps"])


# Of the authors' code for one GPU.
_BATCH_SIZES = {4: 128, 32: 64, 64: 32, 128: 16, 256: 8, 512: 4}
_LEARNING_RATES = {4: 0.001, 1024: 0.0015}


def _by_size(given, sizes, name, check):
    """A list of what is given for each size: one number, a list, or a dictionary.

    Args:
        check: function of a value and a name that returns the value or raises.
    """
    if isinstance(given, dict):
        for size in given:
            power_of_two(size, f"A size in {name}={given!r}", 4, 1024)
        if not given:
            raise ValueError(f"{name} has to name a size at least, such as {{4: 8}}; got {{}}.")
        named = sorted(given)
        given = [given[max([n for n in named if n <= size], default=named[0])] for size in sizes]
    elif not isinstance(given, list | tuple):
        return [check(given, name)] * len(sizes)
    if len(given) != len(sizes):
        raise ValueError(
            f"{name} must be one number, a dictionary by size, or a list of {len(sizes)}, one for "
            f"each of {', '.join(f'{size}x{size}' for size in sizes)} pixels; got {len(given)}: "
            f"{given!r}."
        )
    return [check(n, f"{name} of {s}x{s} pixels") for n, s in zip(given, sizes, strict=True)]


def _whole_batches(images, batch_size):
    return -(-images // batch_size) * batch_size


def _rounded(images, asked):
    return f"{images:,} (+{images - asked})" if images > asked else f"{images:,}"


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
