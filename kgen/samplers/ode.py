"""Samplers that solve the probability-flow ODE: Euler and Heun of EDM, and DPM-Solver++."""

import math

import numpy as np
from keras import ops

from kgen.arguments import weight_of
from kgen.samplers.base import Sampler, noted, room_for, tensor
from kgen.settings import setting

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
        for name in ("churn", "churn_min", "churn_noise"):
            weight_of(getattr(self, name), name)
        if self.churn_max != math.inf:
            weight_of(self.churn_max, "churn_max")
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

    def __call__(self, denoise, x, noise, num_steps, normal=None, keep=False):
        """As in `Sampler`."""
        times = self.times(noise, num_steps)
        start = self.churned(noise, times)
        grow = noise.alpha(start) / noise.alpha(times) if self.churn else np.ones(num_steps)
        added = np.maximum(noise.sigma(start) ** 2 - (grow * noise.sigma(times)) ** 2, 0)
        added = self.churn_noise * np.sqrt(added)
        fresh = (grow[:-1], added[:-1], normal) if self.is_stochastic else None
        path = Path(noise, times, self.order, start[:-1])
        (x,), kept = path.follow(slope_of(noise, denoise), x, fresh=fresh, keep=keep)
        last = x
        if self.is_stochastic:
            x = float(grow[-1]) * x + float(added[-1]) * normal(num_steps - 1)
        x = denoise(x, tensor(start[-1]))
        return ops.concatenate([kept, last[:, None], x[:, None]], axis=1) if keep else x


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
        spacing: as in `Sampler`. Equal times make the better images in few steps; in many, the
            error falls with the square of their number by the other two.
    """

    spacing: str = "time"

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


# Of the stages of a step: how far ahead each asks the slope, and what its answer counts.
STAGES = {
    1: [(0.0, 1.0)],  # Euler
    2: [(0.0, 1 / 2), (1.0, 1 / 2)],  # Heun
    4: [(0.0, 1 / 6), (1 / 2, 1 / 3), (1 / 2, 1 / 3), (1.0, 1 / 6)],  # Runge and Kutta
}


class Path:
    r"""A way along the probability-flow ODE, in one loop over all that is asked.

    In the coordinates of `kgen.noise.Noise.derivative`, $y = x_t / c$ over $\sigma / c$.

    Args:
        noise: a `kgen.noise.Noise`.
        times: float64 `(n + 1,)`, ends of the n steps.
        order: 1, 2 or 4, of the method, and how often each step asks for the slope.
        start: `(n,)`, where steps begin if not where the ones before end.
    """

    def __init__(self, noise, times, order, start=None):
        self.noise, self.times = noise, times
        self._before = times[:-1]
        self._start, self._end = times[:-1] if start is None else start, times[1:]
        self._stages = STAGES[order]

    def follow(self, slope, x, *more, fresh=None, keep=False):
        """The state at the end, and those before each step.

        Args:
            slope: function of the state, a list of tensors, and a time, a scalar tensor; returns
                the derivatives.
            x: tensor, $x_t$ at the first of the times.
            *more: further tensors of the state.
            fresh: None, or factors `(n,)` of $x_t$ and of noise before each step, and a function of
                the step that returns noise.
            keep: whether $x_t$ before each step is returned.

        Returns:
            List, $x_t$ at the last time and what became of the others; and `(N, n, ...)`, or a
            scalar where nothing is kept.
        """
        kept = room_for(len(self._start), x) if keep else ops.zeros(())
        if not len(self._start):
            return [x, *more], kept
        scales = tensor(self.noise.scale(self._before))
        scale, stages = self.noise.scale, len(self._stages)
        asked, table = self._asked()
        asked, table = tensor(asked), tensor(table)
        if fresh is not None:
            grow, added, normal = fresh
            grow = _in_first(grow * scale(self._before) / scale(self._start), stages, 1.0)
            added = _in_first(added / scale(self._start), stages, 0.0)

        def ask(i, carried):
            state, before, total, kept = carried
            if keep:  # as it is in the first stage, before fresh noise
                first, step = i % stages == 0, i // stages
                x = ops.where(first, state[0] * scales[step], ops.take(kept, step, axis=1))
                kept = noted(kept, step, x)
            ahead, weight, keeps, moves = (table[i, k] for k in range(4))
            if fresh is not None:
                state = (grow[i] * state[0] + added[i] * normal(i // stages), *state[1:])
            point = [v + ahead * d for v, d in zip(state, before, strict=True)]
            before = tuple(slope(point, asked[i]))
            total = tuple(keeps * s + weight * d for s, d in zip(total, before, strict=True))
            state = tuple(v + moves * s for v, s in zip(state, total, strict=True))
            return state, before, total, kept

        state = (x / float(scale(self._before[0])), *more)
        nothing = tuple(ops.zeros_like(v) for v in state)
        count = len(self._start) * stages
        (y, *more), _, _, kept = ops.fori_loop(0, count, ask, (state, nothing, nothing, kept))
        return [y * float(scale(self._end[-1])), *more], kept

    def _asked(self):
        """When slopes are asked for, and for each how far ahead, its weight, and two switches."""
        places = [self.noise.place(t) for t in (self._start, self._end)]
        length = places[1] - places[0]
        asked, table = [], []
        for index, (ahead, weight) in enumerate(self._stages):
            on_the_way = self.noise.time_of(places[0] + ahead * length, self.noise.place)
            ends = {0.0: self._start, 1.0: self._end}
            asked.append(ends.get(ahead, on_the_way))
            last, one = index == len(self._stages) - 1, np.ones_like(length)
            table.append([ahead * length, weight * one, (index > 0) * one, last * length])
        return np.stack(asked, axis=1).ravel(), np.moveaxis(table, 2, 0).reshape(-1, 4)


def _in_first(factors, stages, other):
    """Factors of the first stage of each step, and what those of the others are."""
    table = np.full((len(factors), stages), other)
    table[:, 0] = factors
    return tensor(table.ravel())


def slope_of(noise, denoise):
    """The right side of the probability-flow ODE, for `Path.follow`.

    Args:
        noise: a `kgen.noise.Noise`.
        denoise: function of $x_t$ and t, as of samplers.
    """

    def slope(state, t):
        x = state[0] * noise.scale(t)
        images, (alpha, sigma) = denoise(x, t), noise.levels(t)
        return [noise.derivative(images, (x - alpha * images) / sigma)]

    return slope
