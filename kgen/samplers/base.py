"""What samplers share: where in time they ask the denoiser, and one loop."""

import numpy as np
from keras import ops

from kgen.arguments import one_of, positive
from kgen.settings import Settings

SPACINGS = ("time", "log_snr", "karras")
LOW, HIGH, RHO = 0.002, 80.0, 7.0  # Karras et al. (2022), table 1


class Sampler(Settings):
    """Base of samplers: pure functions of a denoiser, small and serialisable.

    A sampler asks a denoiser which image a noisy one comes from, at `num_steps` times from noise
    downward, and goes to less noise by the answers. One whose steps are linear in its state, the
    latest answer, the one before and fresh noise defines `coefficients`, and nothing else; another
    one defines `__call__`.

    Attributes:
        spacing: how times are chosen: `"time"`, equally far apart; `"log_snr"`, so in the logarithm
            of the signal-to-noise ratio; `"karras"`, denser where there is less noise (Karras et
            al., 2022, equation 5, with their ends and rho).
        is_stochastic: whether fresh noise is drawn on the way.
    """

    spacing = "time"
    is_stochastic = False

    def __post_init__(self):
        one_of(self.spacing, SPACINGS, "spacing")

    def default_steps(self, noise):
        """How many steps where nobody says."""
        return min(20, noise.num_steps or 20)

    def evaluations(self, num_steps):
        """How often the denoiser is asked."""
        return num_steps

    def times(self, noise, num_steps):
        """When the denoiser is asked: float64 `(num_steps,)`, from noise downward.

        Raises:
            ValueError: for more steps than the process has.
        """
        num_steps = positive(num_steps, "num_steps")
        if noise.num_steps is not None and num_steps > noise.num_steps:
            raise ValueError(
                f"num_steps must be at most {noise.num_steps}, the steps of {noise}; got "
                f"{num_steps}."
            )
        return self.chosen(noise, num_steps)

    def chosen(self, noise, num_steps):
        """As `times`, of any process."""
        if self.spacing == "time":
            return 1 - np.arange(num_steps) / num_steps
        high = min(float(noise.ratio(1.0)), HIGH)
        low = max(float(noise.ratio(noise.least)), LOW)
        share = np.arange(num_steps) / max(num_steps - 1, 1)
        if self.spacing == "log_snr":
            return noise.time_of(high * (low / high) ** share)
        high, low = high ** (1 / RHO), low ** (1 / RHO)
        return noise.time_of((high + share * (low - high)) ** RHO)

    def levels(self, noise, num_steps):
        """Alpha and sigma at `times` and, last, of the image itself: float64 `(num_steps + 1,)`."""
        t = self.times(noise, num_steps)
        return np.append(noise.alpha(t), 1.0), np.append(noise.sigma(t), 0.0)

    def coefficients(self, noise, num_steps):
        """Of each step the factors of state, answer, answer before, noise: float64 `(n, 4)`."""
        raise NotImplementedError(f"{type(self).__name__} has to define coefficients().")

    def __call__(self, denoise, x, noise, num_steps, normal=None, keep=False):
        """Images from noise.

        Args:
            denoise: function of noisy images and a time, a scalar tensor, that returns the images.
            x: tensor `(N, ...)`, the state at time `times(noise, num_steps)[0]`.
            noise: a `kgen.noise.Noise`.
            num_steps: Python integer.
            normal: of a stochastic sampler: function of the step, a scalar tensor, that returns
                noise from N(0, I), shaped as `x`.
            keep: whether all states are returned.

        Returns:
            float32, shaped as `x`; with `keep`, `(N, steps + 1, ...)`, the states before each step,
            and the images.
        """
        times, table = self.times(noise, num_steps), np.asarray(self.coefficients(noise, num_steps))
        if table.shape != (len(times), 4) or not np.isfinite(table).all():
            raise ValueError(
                f"coefficients() of {type(self).__name__} must return four finite numbers for each "
                f"of the {len(times)} times; got shape {table.shape}, "
                f"{np.count_nonzero(~np.isfinite(table))} of them not finite."
            )
        remembers, draws = table[:, 2].any(), table[:, 3].any()
        times, rows = tensor(times), tensor(table)

        def step(i, state):
            x, before, kept = state
            kept = noted(kept, i, x) if keep else kept
            images, (a, b, c, d) = denoise(x, times[i]), (rows[i, k] for k in range(4))
            x = a * x + b * images
            x = x + c * before if remembers else x
            x = x + d * normal(i) if draws else x
            return x, images if remembers else before, kept

        nothing = ops.zeros(())
        kept = room_for(len(table), x) if keep else nothing
        state = x, ops.zeros_like(x) if remembers else nothing, kept
        x, _, kept = ops.fori_loop(0, len(table), step, state)
        return ops.concatenate([kept, x[:, None]], axis=1) if keep else x


def tensor(numbers):
    """Numbers of the host as float32 in the graph."""
    return ops.convert_to_tensor(np.asarray(numbers, "float32"))


def room_for(steps, x):
    """Where so many states like `x` can be noted: `(N, steps, ...)`."""
    return ops.repeat(ops.zeros_like(x)[:, None], steps, axis=1)


def noted(kept, i, x):
    """The states kept so far, with `x` as that of step i."""
    return ops.slice_update(kept, (0, i, *[0] * (len(x.shape) - 1)), x[:, None])


def step_variance(alpha, sigma):
    r"""Variance of the noise of $x_t$ beyond that of the less noisy $x_s$: at all pairs of levels.

    $\sigma_{t|s}^2 = \sigma_t^2 - (\alpha_t / \alpha_s)^2 \sigma_s^2$ (Kingma et al., 2021,
    equation 17): $\beta_t$ of Ho et al. (2020).
    """
    return sigma[:-1] ** 2 - (alpha[:-1] / alpha[1:]) ** 2 * sigma[1:] ** 2
