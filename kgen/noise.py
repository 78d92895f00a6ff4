r"""Noise processes of diffusion: how an image becomes noise while time goes from 0 to 1.

Every process is $x_t = \alpha(t) x + \sigma(t) \epsilon$ with $\epsilon$ from N(0, I): a small,
serialisable object that tells alpha and sigma at any time. Of NumPy's numbers it computes in
float64, of tensors in the graph, by the same lines.

What a network predicts of $x_t$ is a mix of image and noise, too, so each kind of prediction says
two numbers, and one formula turns all of them into the image (`Prediction`).
"""

import dataclasses
import functools
import math
import numbers

import numpy as np
from keras import ops

from kgen.arguments import below, finite, positive, positive_number
from kgen.settings import Settings, setting, setting_of

__all__ = [
    "EDM",
    "NOISES",
    "PREDICTIONS",
    "Cosine",
    "FlowMatching",
    "Linear",
    "Noise",
    "Prediction",
    "Sigmoid",
    "Steps",
    "get",
]


class Noise(Settings):
    r"""Base of noise processes $x_t = \alpha(t) x + \sigma(t) \epsilon$, t from 0 to 1.

    A subclass defines `alpha` and `sigma`; their quotient $\sigma / \alpha$ rises with t.

    Attributes:
        num_steps: of a process in discrete steps, how many; None: any time is one of training.
        data_std: standard deviation of the data that the scales of networks' inputs and of
            `velocity` assume.
        least: the first time above 0 that networks are asked for.
    """

    num_steps = None
    data_std = 1.0
    least = 1e-3

    def alpha(self, t):
        """How much of the image there is at time t, as `t`."""
        raise NotImplementedError(f"{type(self).__name__} has to define alpha(t).")

    def sigma(self, t):
        """The standard deviation of the noise at time t, as `t`."""
        raise NotImplementedError(f"{type(self).__name__} has to define sigma(t).")

    def levels(self, t):
        """Alpha and sigma at time t, as `t`: both at once where that is less work."""
        return self.alpha(t), self.sigma(t)

    def snr(self, t):
        r"""The signal-to-noise ratio $\alpha^2 / \sigma^2$ at time t, as `t`."""
        return (self.alpha(t) / self.sigma(t)) ** 2

    def std(self, t):
        """Standard deviation of $x_t$ where that of images is `data_std`, as `t`."""
        alpha, sigma = self.levels(t)
        return _math(t).sqrt((alpha * self.data_std) ** 2 + sigma**2)

    def training_times(self, uniform):
        """Times to train at, from numbers that are uniform in [0, 1), tensors or NumPy's."""
        return self.least + (1 - self.least) * uniform

    def ratio(self, t):
        r"""$\sigma / \alpha$, the noise beside an image of full strength; of NumPy's numbers."""
        with np.errstate(divide="ignore"):
            return np.asarray(self.sigma(t)) / np.asarray(self.alpha(t))

    def place(self, t):
        r"""$\sigma / c$, the other coordinate of `derivative`; of NumPy's numbers."""
        return np.asarray(self.sigma(t)) / np.asarray(self.scale(t))

    def time_of(self, value, of=None):
        r"""The time at which $\sigma / \alpha$ is this, by bisection: float64, as `value`.

        What lies beyond the process gets 0 or 1.

        Args:
            value: numbers.
            of: in the place of `ratio`, another function of time that rises.
        """
        value, of = np.asarray(value, "float64"), of or self.ratio
        low, high = np.zeros_like(value), np.ones_like(value)
        for _ in range(60):
            middle = (low + high) / 2
            above = of(middle) > value
            low, high = np.where(above, low, middle), np.where(above, middle, high)
        return high

    def derivative(self, images, noise):
        r"""$d(x_t / c) / d(\sigma / c)$ where image and noise stay what they are; `scale` is c.

        The right side of the probability-flow ODE in the coordinates in which it is simplest
        (Karras et al., 2022, equation 4, after its change of variables).
        """
        return noise

    def scale(self, t):
        r"""The c of `derivative` at time t: $x_t / \alpha$ is an image with noise upon it."""
        return self.alpha(t)


def _math(t):
    """NumPy for its numbers, the graph's operations for tensors."""
    return np if isinstance(t, numbers.Number | np.ndarray | np.generic) else ops


class Steps(Noise):
    r"""Base of processes in T = `num_steps` steps, whose variance is preserved.

    $x_t$ at $t = i / T$ is $\sqrt{\bar\alpha_i} x + \sqrt{1 - \bar\alpha_i} \epsilon$ (Ho et al.,
    2020, equation 4). Between steps the logarithm of $\bar\alpha$ is linear. A subclass defines
    `alpha_bars`, float64 `(T + 1,)`, from 1 for the image itself downward.
    """

    @property
    def least(self):
        """The first step."""
        return 1 / self.num_steps

    @property
    def betas(self):
        r"""$\beta_i = 1 - \bar\alpha_i / \bar\alpha_{i-1}$ of steps 1 to T, float64 `(T,)`."""
        return 1 - self.alpha_bars[1:] / self.alpha_bars[:-1]

    @functools.cached_property
    def _logs(self):
        return np.log(self.alpha_bars)

    @functools.cached_property
    def _lines(self):
        """Of each step the logarithm before it, and how it changes: float32 `(T, 2)`."""
        return np.stack([self._logs[:-1], np.diff(self._logs)], axis=1).astype("float32")

    def log_alpha_bar(self, t):
        r"""$\log \bar\alpha$ at time t, as `t`."""
        if _math(t) is np:
            return np.interp(t, np.linspace(0, 1, self.num_steps + 1), self._logs)
        place = ops.clip(t, 0.0, 1.0) * self.num_steps
        step = ops.minimum(ops.floor(place), self.num_steps - 1)
        rows = ops.take(ops.convert_to_tensor(self._lines), ops.cast(step, "int32"), axis=0)
        before, change = ops.unstack(rows, axis=-1)
        return before + (place - step) * change

    def levels(self, t):
        """Alpha and sigma at time t, as `t`."""
        log = self.log_alpha_bar(t)
        return _math(t).exp(0.5 * log), _math(t).sqrt(-_math(t).expm1(log))

    def std(self, t):
        """1, as `t`, of data with that standard deviation: the variance is preserved."""
        return _math(t).ones_like(t) if self.data_std == 1 else super().std(t)

    def alpha(self, t):
        r"""$\sqrt{\bar\alpha}$ at time t, as `t`."""
        return _math(t).exp(0.5 * self.log_alpha_bar(t))

    def sigma(self, t):
        r"""$\sqrt{1 - \bar\alpha}$ at time t, as `t`."""
        return _math(t).sqrt(-_math(t).expm1(self.log_alpha_bar(t)))

    def training_times(self, uniform):
        """Steps, from numbers that are uniform in [0, 1), tensors or NumPy's."""
        steps = _math(uniform).floor(uniform * self.num_steps)
        return _math(uniform).minimum(steps + 1, self.num_steps) / self.num_steps


@setting
class Linear(Steps):
    r"""Variances of steps that rise linearly, $\beta_1$ to $\beta_T$ (Ho et al., 2020, section 4).

    Args:
        num_steps: T.
        beta_1, beta_end: of T = 1,000 steps; with fewer ones they are as many times larger, so that
            the last step is noise all the same.
    """

    num_steps: int = 1000
    beta_1: float = 1e-4
    beta_end: float = 0.02

    def __post_init__(self):
        times = 1000 / positive(self.num_steps, "num_steps")
        finite(self.beta_1, "beta_1"), finite(self.beta_end, "beta_end")
        if not 0 < self.beta_1 <= self.beta_end or times * self.beta_end >= 1:
            raise ValueError(
                "beta_1 and beta_end must rise from above 0, and beta_end * 1000 / num_steps stay "
                f"below 1; got {self.beta_1!r}, {self.beta_end!r} and num_steps={self.num_steps}."
            )

    @functools.cached_property
    def alpha_bars(self):
        r"""$\bar\alpha_i = \prod_j (1 - \beta_j)$, float64 `(T + 1,)`."""
        betas = np.linspace(self.beta_1, self.beta_end, self.num_steps) * (1000 / self.num_steps)
        return np.concatenate([[1.0], np.cumprod(1 - betas)])


@setting
class Cosine(Steps):
    r"""$\bar\alpha_t = f(t) / f(0)$, $f(t) = \cos^2 \frac{t + s}{1 + s} \frac{\pi}{2}$.

    Nichol and Dhariwal (2021), equation 17: noise comes more slowly at both ends. No $\beta$ is
    above 0.999, as there.

    Args:
        num_steps: T.
        s: the offset.
    """

    num_steps: int = 1000
    s: float = 0.008

    def __post_init__(self):
        positive(self.num_steps, "num_steps"), below(self.s, 1, "s")

    @functools.cached_property
    def alpha_bars(self):
        r"""$\bar\alpha_i$, float64 `(T + 1,)`."""
        t = np.linspace(0, 1, self.num_steps + 1)
        f = np.cos((t + self.s) / (1 + self.s) * np.pi / 2) ** 2
        return np.concatenate([[1.0], np.cumprod(np.maximum(f[1:] / f[:-1], 0.001))])


@setting
class Sigmoid(Steps):
    r"""$\bar\alpha_t$ falls along a sigmoid (Jabri et al., 2023, appendix B).

    Args:
        num_steps: T.
        start, end: the part of the sigmoid.
        tau: its temperature: the lower, the steeper.
    """

    num_steps: int = 1000
    start: float = -3.0
    end: float = 3.0
    tau: float = 1.0

    def __post_init__(self):
        positive(self.num_steps, "num_steps"), positive_number(self.tau, "tau")
        finite(self.start, "start"), finite(self.end, "end")
        if not self.start < self.end:
            raise ValueError(f"start must be below end; got {self.start!r} and {self.end!r}.")

    @functools.cached_property
    def alpha_bars(self):
        r"""$\bar\alpha_i$, at least 1e-9 as there, float64 `(T + 1,)`."""
        t = np.linspace(self.start, self.end, self.num_steps + 1)
        values = 1 / (1 + np.exp(-t / self.tau))
        return np.maximum((values[-1] - values) / (values[-1] - values[0]), 1e-9)


@setting
class EDM(Noise):
    r"""Noise upon images of full strength: alpha is 1, sigma up to 80 (Karras et al., 2022).

    Time is $\log \sigma$ between the two ends; in training sigma is log-normal (table 1). With the
    prediction `velocity` a network is their preconditioned one, but for its sign (equations 7 and
    8): its inputs are divided by $\sqrt{\sigma^2 + \sigma_{data}^2}$.

    Args:
        sigma_min, sigma_max: the ends.
        data_std: standard deviation of the data.
        mean, std_of_log: of $\log \sigma$ in training.
    """

    sigma_min: float = 0.002
    sigma_max: float = 80.0
    data_std: float = 0.5
    mean: float = -1.2
    std_of_log: float = 1.2
    least = 0.0

    def __post_init__(self):
        for name in ("sigma_min", "sigma_max", "data_std", "std_of_log"):
            positive_number(getattr(self, name), name)
        finite(self.mean, "mean")
        if not self.sigma_min < self.sigma_max:
            raise ValueError(
                f"sigma_min must be below sigma_max; got {self.sigma_min!r}, {self.sigma_max!r}."
            )

    @property
    def _logs(self):
        return math.log(self.sigma_min), math.log(self.sigma_max)

    def alpha(self, t):
        """1, as `t`."""
        return _math(t).ones_like(t)

    def sigma(self, t):
        """Between the two ends, as `t`."""
        low, high = self._logs
        return _math(t).exp(low + (high - low) * t)

    def training_times(self, uniform):
        """Times at which the logarithm of sigma is normal, of the graph's tensors."""
        uniform = ops.clip(uniform, 1e-6, 1 - 1e-6)
        (low, high), normal = self._logs, math.sqrt(2) * ops.erfinv(2 * uniform - 1)
        return (self.mean + self.std_of_log * normal - low) / (high - low)


@setting
class FlowMatching(Noise):
    r"""The straight path $x_t = (1 - t) x + t \epsilon$ (Lipman et al., 2023; Liu et al., 2023).

    Time runs from the image to the noise as in all processes here; the papers' runs the other way.
    """

    def alpha(self, t):
        """1 - t."""
        return 1 - t

    def sigma(self, t):
        """The time itself."""
        return t * 1.0

    def derivative(self, images, noise):
        """The flow: noise - image."""
        return noise - images

    def scale(self, t):
        """1: the path is straight as it is."""
        return _math(t).ones_like(t)


NOISES = {
    "linear": Linear,
    "cosine": Cosine,
    "sigmoid": Sigmoid,
    "edm": EDM,
    "flow": FlowMatching,
}
"""Noise processes by name."""


def get(noise):
    """A noise process, or the one of this name.

    Raises:
        ValueError: for anything else.
    """
    return setting_of(noise, NOISES, Noise, "noise")


@dataclasses.dataclass(frozen=True)
class Prediction:
    r"""What a network predicts, $p = a x + b \epsilon$.

    With $x_t = \alpha x + \sigma \epsilon$ these are two equations for image and noise.

    Attributes:
        name: of the prediction.
        mix: function of alpha, sigma and the data's standard deviation; returns a and b.
    """

    name: str
    mix: object

    def of(self, noise, t, images, epsilon):
        """What a perfect network says at time t of this image and this noise."""
        _, _, a, b = self._numbers(noise, t)
        return a * images + b * epsilon

    def images(self, noise, t, noisy, predicted):
        r"""The image: $x = (b x_t - \sigma p) / (\alpha b - \sigma a)$."""
        alpha, sigma, a, b = self._numbers(noise, t)
        return (b * noisy - sigma * predicted) / (alpha * b - sigma * a)

    def noise(self, noise, t, noisy, predicted):
        r"""The noise: $\epsilon = (\alpha p - a x_t) / (\alpha b - \sigma a)$."""
        alpha, sigma, a, b = self._numbers(noise, t)
        return (alpha * predicted - a * noisy) / (alpha * b - sigma * a)

    def error_weight(self, noise, t):
        r"""What an error of the image counts in one of p: $((\alpha b - \sigma a) / \sigma)^2$."""
        alpha, sigma, a, b = self._numbers(noise, t)
        return ((alpha * b - sigma * a) / sigma) ** 2

    def _numbers(self, noise, t):
        """Alpha, sigma, a and b at time t, as `t`."""
        alpha, sigma = noise.levels(t)
        return alpha, sigma, *self.mix(alpha, sigma, noise.data_std)


def _velocity(alpha, sigma, std):
    root = ((alpha * std) ** 2 + sigma**2) ** 0.5
    return -sigma / (std * root), alpha * std / root


PREDICTIONS = {
    "noise": Prediction("noise", lambda alpha, sigma, std: (0 * alpha, 0 * alpha + 1)),
    "image": Prediction("image", lambda alpha, sigma, std: (0 * alpha + 1, 0 * alpha)),
    "velocity": Prediction("velocity", _velocity),
    "flow": Prediction("flow", lambda alpha, sigma, std: (0 * alpha - 1, 0 * alpha + 1)),
}
"""What networks can predict: the noise (Ho et al., 2020), the image, the velocity (Salimans and Ho,
2022, section 4, and in other scales the network of Karras et al., 2022), the flow (Lipman et al.,
2023)."""
