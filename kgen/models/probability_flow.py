"""What a denoiser tells beside images: latents and densities."""

import functools
import math

import numpy as np
from keras import ops

from kgen.arguments import one_of, positive
from kgen.engine.generative_model import GenerativeModel
from kgen.engine.random import host_generator, key_of, normal_of, uniform_of
from kgen.models.latent_model import checked_latents
from kgen.models.likelihood import LEVELS_PER_UNIT, bits_per_dim, check_levels, dequantized
from kgen.samplers import Euler, Path, slope_of
from kgen.samplers.base import tensor

SCALE = Euler(spacing="log_snr")  # where in time an ODE is solved
STEPS_OF_BOUND = 1000  # of a process that has none of its own
OPTIONS_OF_BITS = {"ode": {"num_steps", "probes"}, "bound": {"evaluations"}}


class ProbabilityFlow(GenerativeModel):
    """Encoding, decoding and likelihoods of a model with a `denoised`.

    The ODE whose solutions have the densities of the diffusion (Song et al., 2021, section 4.3)
    maps images to noise and back. A subclass has a `noise` process and defines `denoised`.
    """

    # Latents.

    def encode(self, images, labels=None, num_steps=25, batch_size=None):
        """Latents of images: the noise that `decode` makes them of, float32 as the images.

        Args:
            images: `(N, *image_shape)`.
            labels: of a conditional model, what `generate` takes; they are needed.
            num_steps: of the method of Runge and Kutta, each of which asks the network four times.
            batch_size: images at a time.
        """
        images = self.images_in(images)
        return self._solved(self._encoded, images, labels, num_steps, batch_size)

    def decode(self, latents, labels=None, num_steps=25, batch_size=None):
        """Images of latents, as from `encode` or N(0, I): float32 `(N, *image_shape)`.

        Args:
            latents: `(N, *image_shape)`.
            labels, num_steps, batch_size: as in `encode`.

        Raises:
            ValueError: for latents of another shape, or that are not finite.
        """
        latents = checked_latents(latents, self.image_shape)
        images = self._solved(self._decoded, latents, labels, num_steps, batch_size)
        return np.clip(images, -1, 1) if len(self.image_shape) == 3 else images

    def _solved(self, method, rows, labels, num_steps, batch_size):
        told = self.condition.of_images(len(rows), labels)
        static = {"num_steps": positive(num_steps, "num_steps")}
        return self.infer(method, rows, *told, static=static, batch_size=batch_size)

    def _encoded(self, images, *told, num_steps):
        path = self._way(num_steps)
        (x,), _ = path.follow(self._slope(told), images)
        return x / float(self.noise.sigma(path.times[-1]))

    def _decoded(self, latents, *told, num_steps):
        path = self._way(num_steps, back=True)
        (x,), _ = path.follow(self._slope(told), float(self.noise.sigma(path.times[0])) * latents)
        return x

    def _way(self, num_steps, back=False):
        """From the image, taken to be at the first time above 0, to noise; or back."""
        times = SCALE.chosen(self.noise, num_steps + 1)
        return Path(self.noise, times if back else times[::-1], order=4)

    def _slope(self, told):
        return slope_of(self.noise, functools.partial(self.denoised, told=told, clip=False))

    def interpolate(self, a, b, steps=8, labels=None, num_steps=25, batch_size=None):
        """Images between images `a` and `b`: their latents along great circles, decoded.

        A straight line would pass where noise never is, since its length hardly varies (Song et
        al., 2021, "Denoising diffusion implicit models", appendix D.5).

        Args:
            a, b: images `(N, *image_shape)`.
            steps: images in each line, both ends included; at least 2.
            labels: of a conditional model, one for all or one for each pair.
            num_steps, batch_size: as in `encode`.

        Returns:
            float32 `(N, steps, *image_shape)`.
        """
        steps = positive(steps, "steps")
        if steps < 2:
            raise ValueError(f"steps counts both ends, so at least 2; got {steps!r}.")
        a, b = self.images_in(a, "a"), self.images_in(b, "b")
        if len(a) != len(b):
            raise ValueError(f"a and b must pair up: got {len(a)} and {len(b)} images.")
        options = {"num_steps": num_steps, "batch_size": batch_size}
        start, end = (self.encode(x, labels, **options) for x in (a, b))
        line = [great_circle(start, end, t) for t in np.linspace(0, 1, steps)]
        line = np.stack(line, axis=1).reshape(-1, *self.image_shape)
        told = [np.repeat(c, steps, axis=0) for c in self.condition.of_images(len(a), labels)]
        images = self.decode(line, *told, **options)
        return images.reshape(len(a), steps, *self.image_shape)

    # Likelihoods.

    def log_likelihood(
        self, images, labels=None, num_steps=25, probes=None, seed=0, batch_size=None
    ):
        """Log-density of images in nats, by the ODE: float32 `(N,)`.

        That of their latents, and how far the ODE spreads them on the way: the trace of its
        Jacobian, integrated (Song et al., 2021, equation 39). It is the density of images with the
        least noise of the process. Of points the trace is exact; of images it is estimated, without
        bias, by random signs (Hutchinson's estimator, equation 40).

        Args:
            images: `(N, *image_shape)`, as they are.
            labels: of a conditional model; they are needed.
            num_steps: as in `encode`; each time a derivative is computed, too.
            probes: vectors of signs for each image; by default 1, and for points unit vectors, as
                many as there are.
            seed: of these.
            batch_size: images at a time; by default a quarter of what suits other methods, since
                derivatives need memory: of 28x28 pixels 32, which takes 1.3 GiB.
        """
        images = self.images_in(images)
        return self._densities(images, labels, num_steps, probes, seed, batch_size)

    def _densities(self, images, labels, num_steps=25, probes=None, seed=0, batch_size=None):
        if probes is None and len(self.image_shape) == 3:
            probes = 1
        static = {
            "num_steps": positive(num_steps, "num_steps"),
            "probes": None if probes is None else positive(probes, "probes"),
        }
        if batch_size is None and len(self.image_shape) == 3:
            batch_size = min(self._chunk_size(len(images)), max(1, self._chunk_size() // 4))
        told = self.condition.of_images(len(images), labels)
        rows = np.arange(len(images), dtype="int32")
        arrays = images, rows, *key_of(seed), *told
        return self.infer(self._density, *arrays, static=static, batch_size=batch_size)

    def _density(self, images, rows, low, high, *told, num_steps, probes):
        path, slope = self._way(num_steps), self._slope(told)
        if probes is None:
            vectors = [ops.ones_like(images) * tensor(row) for row in np.eye(*self.image_shape)]
        else:
            draws = (uniform_of((low, high), rows, i, self.image_shape) for i in range(probes))
            vectors = [ops.where(u < 0.5, -1.0, 1.0) for u in draws]

        def spreading(state, t):
            """The right side of the ODE, and the trace of its Jacobian."""
            traces = []
            for vector in vectors:
                y, along = self.jvp(lambda y: slope([y], t)[0], state[0], vector)
                traces.append(_sum(vector * along))
            return [y, sum(traces) / (1 if probes is None else probes)]

        nothing = _sum(ops.zeros_like(images))
        (x, spread), _ = path.follow(spreading, images, nothing)
        first, last = path.times[0], path.times[-1]
        z, scale = x / float(self.noise.sigma(last)), self.noise.scale
        volume = np.log(scale(last) / scale(first) / self.noise.sigma(last))  # x = c y, z = x / s
        size = math.prod(self.image_shape)
        log_normal = -0.5 * (_sum(ops.square(z)) + size * math.log(2 * math.pi))
        return log_normal + spread + size * float(volume)

    def elbo(self, images, labels=None, evaluations=None, seed=0, batch_size=None):
        r"""The variational bound on the log-density of images in nats: float32 `(N,)`.

        Equation 5 of Ho et al. (2020) with the posterior's variances, whose terms are
        $\frac12 (SNR(s) - SNR(t)) \|x - \hat x\|^2$ (Kingma et al., 2021, equation 13); the last
        one, of the image itself, is normal with the variance of the noise that is left. A process
        without steps is taken in 1,000.

        Args:
            images: `(N, *image_shape)`, as they are.
            labels: of a conditional model; they are needed.
            evaluations: of how many steps, spread over all, the terms are computed, each of which
                asks the network once; None: of all. Fewer ones, drawn in proportion to how much the
                logarithm of the signal-to-noise ratio changes there (Kingma et al., 2021, section
                5.1), give an estimate without bias.
            seed: of noise and steps.
            batch_size: images at a time.
        """
        return self._bound(self.images_in(images), labels, evaluations, seed, batch_size, False)

    def _bound(self, images, labels, evaluations, seed, batch_size, levels):
        steps = self.noise.num_steps or STEPS_OF_BOUND
        count = steps if evaluations is None else positive(evaluations, "evaluations")
        static = {"count": min(count, steps), "steps": steps, "levels": levels}
        told = self.condition.of_images(len(images), labels)
        rows = np.arange(len(images), dtype="int32")
        arrays = images, rows, *key_of(seed), *told
        return self.infer(self._lower_bound, *arrays, static=static, batch_size=batch_size)

    def _lower_bound(self, images, rows, low, high, *told, count, steps, levels):
        times = self._times_of_bound(steps)
        snr, last = self.noise.snr(times), steps - 1
        few, count = count < last, min(count, last)
        weights = -np.diff(snr) / 2
        if few:  # steps by what they change the logarithm of the ratio, as the terms nearly do
            chance = np.diff(np.log(snr)) / np.log(snr[-1] / snr[0])
            weights, shares = weights / (chance * count), tensor(np.cumsum(chance))
        t, weights = tensor(times), tensor(np.append(0.0, weights))

        def term(i, state):
            """The squared error at a step, or, last, at the first one, which tells the image."""
            total, _, _ = state
            place = i
            if few:  # a step from each of as many parts, another one for each image
                uniform = uniform_of((low + 1, high), rows, i, ())
                share = (ops.cast(i, "float32") + uniform) / count
                place = ops.minimum(ops.searchsorted(shares, share, side="right"), last - 1)
            place = ops.where(i == count, 0, place + 1) + ops.zeros_like(rows)
            at = ops.take(t, place)
            column = ops.reshape(at, (-1, *[1] * len(self.image_shape)))
            epsilon = normal_of((low, high), rows, i, self.image_shape)
            alpha, sigma = self.noise.levels(column)
            noisy = alpha * images + sigma * epsilon
            answer = self.denoised(noisy, at, told)
            square = _sum(ops.square(images - answer))
            return total + ops.take(weights, place) * square, answer, square

        nothing = _sum(ops.zeros_like(images))
        state = nothing, ops.zeros_like(images), nothing
        total, answer, square = ops.fori_loop(0, count + 1, term, state)
        ratio = float(self.noise.ratio(times[0]))
        if levels:
            image = -_sum(_log_level(images, answer, ratio))
        else:
            size = math.prod(self.image_shape)
            image = 0.5 * (square / ratio**2 + size * math.log(2 * math.pi * ratio**2))
        prior = 0.5 * float(self.noise.snr(times[-1])) * _sum(ops.square(images))
        return -(total + image + prior)

    def _times_of_bound(self, steps):
        """Of all steps, from the first: float64 `(steps,)`."""
        if self.noise.num_steps is not None:
            return np.arange(1, steps + 1) / steps
        return SCALE.chosen(self.noise, steps)[::-1]

    def bits_per_dim(self, images, labels=None, method="ode", seed=0, batch_size=None, **options):
        """Upper bound on the bits that each dimension of the 8-bit image costs: float32 `(N,)`.

        What the least noise of the process blurs, no network tells: that of `"cosine"` is 0.8 of a
        grey level wide, which costs 1.1 bits by the ODE even where every pixel is known; that of
        `"linear"` 1.7, and that of `"edm"`, a quarter of a level, 0.28. Images for training need no
        noise between their levels unless there is less still.

        Args:
            images: uint8, or floats on the 256 levels.
            labels: of a conditional model; they are needed.
            method: `"ode"`, `log_likelihood` of images with uniform dequantisation noise, as of all
                families here (`kgen.models.likelihood`); or `"bound"`, the variational bound with
                probabilities of grey levels in the last step (Ho et al., 2020, equation 13).
            seed, batch_size: as in `log_likelihood`.
            **options: of the method: `num_steps` and `probes`, or `evaluations` of `elbo`.

        Raises:
            ValueError: for points; for floats between the levels.
        """
        images = self.images_in(images)
        one_of(method, [*OPTIONS_OF_BITS], "method")
        if not options.keys() <= OPTIONS_OF_BITS[method]:
            raise TypeError(
                f"method={method!r} takes {sorted(OPTIONS_OF_BITS[method])}; got {sorted(options)}."
            )
        if method == "ode":
            images = dequantized(images, host_generator(seed))
            nats = self._densities(images, labels, seed=seed, batch_size=batch_size, **options)
            return bits_per_dim(nats, self.image_shape)
        check_levels(images)
        evaluations = options.get("evaluations")
        nats = self._bound(images, labels, evaluations, seed, batch_size, levels=True)
        return -nats / np.float32(math.prod(self.image_shape) * math.log(2))


def great_circle(a, b, t):
    """Points on the way from rows `a` to rows `b`, at the share t of it (Shoemake, 1985).

    Between rows of the same direction it is a straight line.
    """
    axes = tuple(range(1, a.ndim))
    lengths = [np.sqrt(np.square(x).sum(axes, keepdims=True)) for x in (a, b)]
    cosine = (a * b).sum(axes, keepdims=True) / np.maximum(np.prod(lengths, axis=0), 1e-12)
    angle = np.maximum(np.arccos(np.clip(cosine, -1, 1)), 1e-6)
    return (np.sin((1 - t) * angle) * a + np.sin(t * angle) * b) / np.sin(angle)


def _log_level(images, mean, std):
    """Log-probabilities of grey levels under normal densities, the outer ones without ends."""

    def below(x):
        return 0.5 * (1 + ops.erf((x - mean) / (std * math.sqrt(2))))

    half = 0.5 / LEVELS_PER_UNIT
    upper = ops.where(images > 1 - half, 1.0, below(images + half))
    lower = ops.where(images < -1 + half, 0.0, below(images - half))
    return ops.log(ops.maximum(upper - lower, 1e-12))


def _sum(values):
    """Sums over all axes but the first."""
    return ops.sum(values, axis=tuple(range(1, len(values.shape))))
