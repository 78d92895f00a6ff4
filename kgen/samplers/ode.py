"""Samplers that solve the probability-flow ODE: Euler and Heun of EDM, and DPM-Solver++."""

import math
import operator

import numpy as np
from keras import ops

from kgen.noise import setting
from kgen.samplers.base import Sampler, tensor

MOST_CHURN = math.sqrt(2) - 1


@setting
class Euler(Sampler):
    r"""Euler's method, with noise upon the way as it is asked for: EDM's Algorithm 2, first order.

    Karras et al. (2022). In the coordinates of `kgen.noise.Noise.derivative`, $x / \alpha$ over
    $\sigma / \alpha$, and on straight paths $x_t$ over t. Without churn a step is that of DDIM with
    eta = 0, at other times.

    Args:
        churn: $S_{churn}$, how much noise all steps add, before each $\min(S_{churn} / N,
            \sqrt 2 - 1)$ of what there is; 0 for a deterministic sampler.
        churn_min, churn_max: between which $\sigma / \alpha$ noise is added.
        churn_noise: $S_{noise}$, factor of its standard deviation.
        spacing: as in `Sampler`.
    """

    churn: float = 0.0
    churn_min: float = 0.0
    churn_max: float = math.inf
    churn_noise: float = 1.0
    spacing: str = "karras"
    order = 1

    def __post_init__(self):
        for name in ("churn", "churn_min", "churn_max", "churn_noise"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} must be at least 0; got {getattr(self, name)!r}.")
        super().__post_init__()

    @property
    def is_stochastic(self):
        """With churn."""
        return self.churn > 0

    def evaluations(self, num_steps):
        """As in `Sampler`; the last step, to the image, is Euler's in any case."""
        return self.order * (num_steps - 1) + 1

    def churned(self, noise, t):
        """Times after the noise of each step was added, from those before: float64."""
        ratio = noise.ratio(t)
        inside = (self.churn_min <= ratio) & (ratio <= self.churn_max)
        gamma = np.where(inside, min(self.churn / len(t), MOST_CHURN), 0)
        return np.maximum(noise.time_of(ratio * (1 + gamma)), t) if self.churn else t

    def __call__(self, denoise, x, noise, num_steps, normal=None):
        """As in `Sampler`."""
        before = self.times(noise, num_steps)
        start = self.churned(noise, before)
        grow = noise.alpha(start) / noise.alpha(before) if self.churn else np.ones(num_steps)
        added = np.maximum(noise.sigma(start) ** 2 - (grow * noise.sigma(before)) ** 2, 0)
        grow, added, times = tensor(grow), tensor(self.churn_noise * np.sqrt(added)), tensor(start)
        path, slope = Path(noise, start[:-1], before[1:]), slope_of(noise, denoise)

        def churn(x, i):
            return grow[i] * x + added[i] * normal(i) if self.is_stochastic else x

        def step(i, x):
            (y,) = path.step(slope, [path.enter(churn(x, i), i)], i, self.order)
            return path.leave(y, i)

        x = ops.fori_loop(0, num_steps - 1, step, x)
        return denoise(churn(x, num_steps - 1), times[num_steps - 1])


@setting
class Heun(Euler):
    r"""Heun's method, of second order: EDM's Algorithm 2 (1 without churn; Karras et al., 2022).

    Two evaluations a step, but for the last one. Arguments as in `Euler`.
    """

    order = 2


@setting
class DPMpp2M(Sampler):
    r"""DPM-Solver++(2M), of second order with one evaluation a step (Lu et al., 2022, Algorithm 2).

    $x_s = \frac{\sigma_s}{\sigma_t} x_t - \alpha_s (e^{-h} - 1) D$, where D goes on from the last
    two answers to the middle of the step. First and last step are of first order.

    Args:
        spacing: as in `Sampler`.
    """

    spacing: str = "karras"

    def coefficients(self, noise, num_steps):
        """As in `Sampler`."""
        alpha, sigma = self.levels(noise, num_steps)
        state = sigma[1:] / sigma[:-1]
        answer = alpha[1:] - state * alpha[:-1]
        with np.errstate(divide="ignore"):
            steps = np.diff(np.log(alpha) - np.log(sigma))
        more = np.zeros(num_steps)  # 1 / (2 r), r the step before over this one
        more[1:-1] = steps[1:-1] / (2 * steps[:-2])
        table = [state, answer * (1 + more), -answer * more, np.zeros(num_steps)]
        return np.stack(table, axis=1)


class Path:
    r"""Steps along an ODE in the coordinates of `kgen.noise.Noise.derivative`.

    Args:
        noise: a `kgen.noise.Noise`.
        start, end: times between which each step goes, arrays `(n,)`.
    """

    def __init__(self, noise, start, end):
        self.start, self.end = tensor(start), tensor(end)
        self._before, self._after = tensor(noise.scale(start)), tensor(noise.scale(end))
        places = [noise.place(t) for t in (start, end)]
        self._length = tensor(places[1] - places[0])
        self._halfway = tensor(noise.time_of(np.mean(places, axis=0), noise.place))

    def enter(self, x, i=0):
        """Coordinates of $x_t$ where step i begins."""
        return x / self._before[i]

    def leave(self, y, i=-1):
        """$x_t$ of the coordinates where step i ends."""
        return y * self._after[i]

    def step(self, slope, state, i, order):
        """Step i of Euler's method (`order` 1), Heun's (2) or that of Runge and Kutta (4).

        Args:
            slope: function of a state and a time, a scalar tensor; returns the derivatives.
            state: list of tensors, the coordinates first.
            order: how often the slope is asked.
        """
        length, start, end = self._length[i], self.start[i], self.end[i]

        def moved(share, slopes):
            return [v + share * length * d for v, d in zip(state, slopes, strict=True)]

        first = slope(state, start)
        if order == 1:
            return moved(1, first)
        if order == 2:
            second = slope(moved(1, first), end)
            return moved(0.5, map(operator.add, first, second))
        second = slope(moved(0.5, first), self._halfway[i])
        third = slope(moved(0.5, second), self._halfway[i])
        fourth = slope(moved(1, third), end)
        slopes = zip(first, second, third, fourth, strict=True)
        return moved(1 / 6, [a + 2 * b + 2 * c + d for a, b, c, d in slopes])


def slope_of(noise, denoise):
    """The right side of the probability-flow ODE, for `Path.step`.

    Args:
        noise: a `kgen.noise.Noise`.
        denoise: function of $x_t$ and t, as of samplers.
    """

    def slope(state, t):
        x = state[0] * noise.scale(t)
        images = denoise(x, t)
        return [noise.derivative(images, (x - noise.alpha(t) * images) / noise.sigma(t))]

    return slope
