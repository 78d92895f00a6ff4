"""Samplers that go by the posterior of a step: DDPM and DDIM."""

import numpy as np

from kgen.arguments import finite, one_of, positive
from kgen.samplers.base import Sampler, step_variance
from kgen.settings import setting


@setting
class DDPM(Sampler):
    r"""Ancestral sampling (Ho et al., 2020, Algorithm 2; equation 7).

    $x_s$ is drawn from N(mean, variance) of $q(x_s | x_t, x)$ with the answer for x. With fewer
    steps than the process has it is that of the shorter process (Nichol and Dhariwal, 2021, section
    4).

    Args:
        variance: `"posterior"`, that of $q(x_s | x_t, x)$, or `"beta"`, the larger one of
            $q(x_t | x_s)$: the two choices of section 3.2.
        spacing: as in `Sampler`.
    """

    variance: str = "posterior"
    spacing: str = "time"
    is_stochastic = True

    def __post_init__(self):
        one_of(self.variance, ("posterior", "beta"), "variance")
        super().__post_init__()

    def default_steps(self, noise):
        """All of the process."""
        return noise.num_steps or 1000

    def coefficients(self, noise, num_steps):
        """As in `Sampler`."""
        alpha, sigma = self.levels(noise, num_steps)
        fresh = step_variance(alpha, sigma)
        state = alpha[:-1] / alpha[1:] * (sigma[1:] / sigma[:-1]) ** 2
        answer = alpha[1:] * fresh / sigma[:-1] ** 2
        posterior = fresh * (sigma[1:] / sigma[:-1]) ** 2
        std = np.sqrt(posterior if self.variance == "posterior" else fresh)
        std[-1] = 0  # z = 0 in the last step, line 3 of Algorithm 2
        return np.stack([state, answer, 0 * std, std], axis=1)


@setting
class RePaint(DDPM):
    r"""DDPM that goes each step several times (Lugmayr et al., 2022, Algorithm 1, with jumps of 1).

    After each step but the last of its times, noise is added again as on the way there: what was
    painted settles with what is known. For `Diffusion.inpaint`.

    Args:
        repeats: U of the paper, how often each step is gone.
        variance, spacing: as in `DDPM`.
    """

    repeats: int = 5

    def __post_init__(self):
        positive(self.repeats, "repeats")
        super().__post_init__()

    def default_steps(self, noise):
        """As in `Sampler`."""
        return Sampler.default_steps(self, noise)

    def evaluations(self, num_steps):
        """As in `Sampler`."""
        return num_steps * self.repeats

    def times(self, noise, num_steps):
        """As in `Sampler`, each of them `repeats` times."""
        return np.repeat(super().times(noise, num_steps), self.repeats)

    def levels(self, noise, num_steps):
        """As in `Sampler`, each once."""
        t = super().times(noise, num_steps)
        return np.append(noise.alpha(t), 1.0), np.append(noise.sigma(t), 0.0)

    def coefficients(self, noise, num_steps):
        """As in `Sampler`; steps there and back are one row."""
        alpha, sigma = self.levels(noise, num_steps)
        grow, fresh = alpha[:-1] / alpha[1:], step_variance(alpha, sigma)
        there = super().coefficients(noise, num_steps)
        back = there * grow[:, None]
        back[:, 3] = np.sqrt(back[:, 3] ** 2 + fresh)
        rows = np.repeat(back[:, None], self.repeats, axis=1)
        rows[:, -1] = there
        return rows.reshape(-1, 4)


@setting
class DDIM(Sampler):
    r"""Denoising diffusion implicit models (Song et al., 2021, equations 12 and 16).

    $x_s = \alpha_s \hat x + \sqrt{\sigma_s^2 - v^2} \hat \epsilon + v z$, where v is eta times the
    posterior's standard deviation: deterministic with eta = 0, DDPM with eta = 1.

    Args:
        eta: from 0 to 1.
        spacing: as in `Sampler`.
    """

    eta: float = 0.0
    spacing: str = "time"

    def __post_init__(self):
        if not 0 <= finite(self.eta, "eta") <= 1:
            raise ValueError(f"eta must lie in [0, 1]; got {self.eta!r}.")
        super().__post_init__()

    @property
    def is_stochastic(self):
        """With an eta above 0."""
        return self.eta > 0

    def coefficients(self, noise, num_steps):
        """As in `Sampler`."""
        alpha, sigma = self.levels(noise, num_steps)
        std = self.eta * sigma[1:] / sigma[:-1] * np.sqrt(step_variance(alpha, sigma))
        kept = np.sqrt(sigma[1:] ** 2 - std**2) / sigma[:-1]
        return np.stack([kept, alpha[1:] - alpha[:-1] * kept, 0 * std, std], axis=1)
