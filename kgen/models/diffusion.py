"""Diffusion: an image from noise, by a network that tells what the noise hides."""

import math

import keras
import numpy as np
from keras import ops

from kgen import losses, samplers
from kgen import noise as processes
from kgen.arguments import below, check_room, one_of, positive, weight_of
from kgen.arrays import to_numpy
from kgen.conditions import ClassLabels, Condition, Nothing, Target
from kgen.data.ranges import normalize_image_shape
from kgen.engine.moving_average import MovingAverage
from kgen.engine.random import Draws, key_of, normal_of
from kgen.models.network_checks import check_outputs, given
from kgen.models.probability_flow import ProbabilityFlow
from kgen.networks import denoising_mlp, denoising_unet

serialize = keras.saving.serialize_keras_object


@keras.saving.register_keras_serializable("kgen")
class Diffusion(ProbabilityFlow):
    r"""Diffusion model (Sohl-Dickstein et al., 2015; Ho et al., 2020).

    An image becomes noise, $x_t = \alpha(t) x + \sigma(t) \epsilon$; a network is shown $x_t$ and
    t, and learns what was there: the noise (Algorithm 1 of Ho et al.), the image, the velocity or
    the flow, each of which tells the others. To generate, a sampler begins with noise and goes
    where the network points, in as many steps as it is given. One algorithm is DDPM, EDM and flow
    matching:

    | after | `noise` | `prediction` | `weighting` |
    |---|---|---|---|
    | DDPM (Ho et al., 2020) | `"linear"` | `"noise"` | `"simple"` |
    | improved (Nichol and Dhariwal, 2021) | `"cosine"` | `"noise"` | `"simple"` |
    | Hang et al. (2023) | `"cosine"` | `"image"` | `"min_snr"` |
    | EDM (Karras et al., 2022) | `"edm"` | `"velocity"` | `"edm"` |
    | flow matching (Lipman et al., 2023) | `"flow"` | `"flow"` | `"simple"` |

    The default, velocity and cosine, is that of Salimans and Ho (2022) with equal weights. Other
    than in the papers, networks are told the time in [0, 1] (a thousandth of DDPM's steps), and the
    times of a batch are spread: its n-th image has the n-th part of all.

    `fit` takes images `(N, *image_shape)`: uint8, floats in [-1, 1], or a dataset of `kgen.data`;
    points are floats `(N, D)` of any range, about 1 in size.

    Args:
        image_shape: `(H, W)`, `(H, W, C)` with sides from 8 upward, or `(D,)` for points.
        noise: `"linear"`, `"cosine"`, `"sigmoid"`, `"edm"`, `"flow"`, or one of `kgen.noise`.
        prediction: what the network tells: `"noise"`, `"image"`, `"velocity"`, `"flow"`; by default
            the flow of `"flow"`, else the velocity.
        weighting: of errors, `"simple"`, `"min_snr"`, `"edm"`, or one of `kgen.losses`.
        denoiser: `keras.Model` from `[noisy images, times (N,)]`, and what the condition gives, to
            predictions, shaped as images.
        filters: of the default U-Net, `kgen.networks.denoising_unet`.
        average_decay: of the moving average of the network, which all but training uses; in [0, 1),
            0 for none.
        drop_condition: share of the training images whose condition the network is not told, in
            [0, 1): so it also learns to do without, as guidance needs (Ho and Salimans, 2022,
            Algorithm 1).
        **kwargs: `condition`, such as `kgen.conditions.ClassLabels(10)`, or `Target(image_shape)`
            for a second image to begin from; `seed` (of noise and order;
            `keras.utils.set_random_seed` seeds the weights), `check_range`, `name`, `dtype`, as in
            `GenerativeModel`.

    Raises:
        ValueError: for unknown names, a network whose shapes do not fit, and a prediction from
            which an image cannot be told where there is noise alone.

    Example:

    ```python
    diffusion = kgen.Diffusion((28, 28), condition=kgen.conditions.ClassLabels(10))
    diffusion.compile()
    diffusion.fit(x, y, epochs=20)
    kgen.plots.grid(diffusion.generate(16, labels=7, guidance_scale=2))
    ```
    """

    players = {"denoiser": ["denoiser"]}
    conditions, conditioned = (Condition,), ("denoiser",)
    call_takes_images = False  # but noisy ones

    def __init__(
        self,
        image_shape,
        noise="cosine",
        prediction=None,
        weighting="simple",
        denoiser=None,
        filters=None,
        average_decay=0.9995,
        drop_condition=0.1,
        **kwargs,
    ):
        super().__init__(normalize_image_shape(image_shape), **kwargs)
        self.noise = processes.get(noise)
        if prediction is None:
            straight = isinstance(self.noise, processes.FlowMatching)
            prediction = "flow" if straight else "velocity"
        self.prediction = one_of(prediction, processes.PREDICTIONS, "prediction")
        self.weighting = losses.denoising_weighting(weighting)
        if self.prediction == "noise" and float(self.noise.alpha(1.0)) == 0:
            raise ValueError(
                f"At the end of {self.noise} there is noise alone, of which the noise tells no "
                'image: take prediction="velocity" or "flow".'
            )
        self.filters = None if filters is None else positive(filters, "filters")
        self.drop_condition = below(drop_condition, 1, "drop_condition")
        self.denoiser = given(denoiser, self.make_denoiser, kwargs.get("dtype"))
        self.check_network()
        self.denoiser_average = MovingAverage(
            self.denoiser, below(average_decay, 1, "average_decay")
        )
        self.ensure_built()

    def __setattr__(self, name, value):
        super().__setattr__(name, value)
        if name == "denoiser" and hasattr(self, "denoiser_average"):  # another network
            self.check_network()
            self.denoiser_average = MovingAverage(value, self.denoiser_average.decay)

    def make_denoiser(self, dtype):
        """The default network: a U-Net for images, an MLP for points.

        Raises:
            ValueError: for conditions that it does not take.
        """
        points, options = len(self.image_shape) == 1, {"dtype": dtype}
        if isinstance(self.condition, ClassLabels):
            options["num_classes"] = self.condition.num_classes
        elif isinstance(self.condition, Target) and not points:
            options["beside"] = self.condition.image_shape[-1]
        elif not isinstance(self.condition, Nothing):
            raise ValueError(
                f"The default networks take class labels or images; the condition is "
                f"{self.condition}: pass denoiser=, a keras.Model that takes it as its third input."
            )
        if points:
            return denoising_mlp(self.image_shape, **options)
        return denoising_unet(self.image_shape, filters=self.filters or 32, **options)

    def check_network(self):
        """Raise a `ValueError` unless the denoiser takes and makes what it has to."""
        signature = {
            "noisy images": (self.image_shape, "float32"),
            "times": ((), "float32"),
            **self.condition.signatures(),
        }
        check_outputs(self.denoiser, signature, {"predictions": self.image_shape}, "denoiser")

    def get_config(self):
        """Everything that the constructor needs."""
        return {
            **super().get_config(),
            "noise": serialize(self.noise),
            "prediction": self.prediction,
            "weighting": serialize(self.weighting),
            "filters": self.filters,
            "average_decay": self.denoiser_average.decay,
            "drop_condition": self.drop_condition,
        }

    def inference_networks(self):
        """The average of the denoiser."""
        return {"denoiser": self.denoiser_average.model}

    # The algorithm.

    def update(self, batch):
        """One step down the objective; the average follows."""
        results = super().update(batch)
        self.denoiser_average.update(self.step)
        return results

    def objective(self, batch, training):
        """Algorithm 1 of Ho et al. (2020): what is predicted of noisy images at random times."""
        images, *told = batch if isinstance(batch, tuple) else (batch,)
        if training and told:
            told = self._some_left_out(told)
        t = self.training_times(images)
        epsilon = keras.random.normal(ops.shape(images), seed=self.random)
        alpha, sigma = self.noise.levels(t)
        noisy = alpha * images + sigma * epsilon
        predicted = self.predicted(self.denoiser, noisy, t, told, training)
        error = ops.square(predicted - self._predicts.of(self.noise, t, images, epsilon))
        return ops.mean(self.weighting(self.noise, self._predicts, t) * error)

    def training_times(self, images):
        """A time for each image, `(N, 1, ...)`: the n-th of N from the n-th part of all.

        So a batch holds noise of all levels, and the loss varies less (Kingma et al., 2021,
        appendix I.1).
        """
        n = ops.shape(images)[0]
        places = ops.arange(n, dtype="float32") + keras.random.uniform((n,), seed=self.random)
        return self._column(self.noise.training_times(places / ops.cast(n, "float32")))

    def predicted(self, network, noisy, t, told, training=False):
        """What a network says of noisy images, float32.

        Args:
            network: the denoiser, or its average.
            noisy: tensor `(N, *image_shape)`.
            t: tensor `(N, 1, ...)`.
            told: list of the tensors that are the condition.
        """
        inputs = [noisy / self.noise.std(t), ops.reshape(t, (-1,)), *told]
        return ops.cast(network(inputs, training=training), "float32")

    @property
    def _predicts(self):
        return processes.PREDICTIONS[self.prediction]

    def _column(self, t):
        return ops.reshape(t, (-1, *[1] * len(self.image_shape)))

    def _some_left_out(self, told):
        n = ops.shape(told[0])[0]
        chosen = keras.random.uniform((n,), seed=self.random) < self.drop_condition
        return self.condition.left_out(told, chosen)

    def call(self, inputs, training=False):
        """Denoise images at times: `[noisy images, times (N,)]`, and conditions, to images."""
        noisy, times, *told = inputs
        t = self._column(times)
        predicted = self.predicted(self.denoiser_average.model, noisy, t, told, training)
        return self._predicts.images(self.noise, t, noisy, predicted)

    def input_signature(self):
        """Noisy images, times, and what the condition gives."""
        inputs = [(self.image_shape, "float32"), ((), "float32")]
        return [*inputs, *self.condition.signatures().values()]

    # What a user asks for.

    def generate(
        self,
        n,
        labels=None,
        sampler=None,
        num_steps=None,
        guidance_scale=None,
        seed=None,
        batch_size=None,
    ):
        r"""Draw `n` images: float32 `(n, *image_shape)` in [-1, 1].

        The same seed gives the same images whatever `batch_size` is, the first 8 of 16 are the 8,
        and fresh noise on the way belongs to image and step: it is the same on every backend.

        Args:
            n: how many.
            labels: of a conditional model (`condition`): what it is given, one for all images or
                one for each; None: all classes in turn.
            sampler: `"ddpm"`, `"ddim"`, `"euler"`, `"heun"`, `"dpmpp_2m"`, or one of
                `kgen.samplers`, such as `kgen.samplers.DDIM(eta=0.5)`. None: `"dpmpp_2m"`.
            num_steps: of the sampler, each of which asks the network once (`"heun"` twice, but for
                the last one). By default 20, or for `"ddpm"` all of the process, at most 1,000.
                Each number is compiled once.
            guidance_scale: w of classifier-free guidance, number: predictions are
                $p_\varnothing + w (p_y - p_\varnothing)$, the network's with and without
                condition (Ho and Salimans, 2022, equation 6, where w is one less). None or 1: those
                with it, at half the cost; 0: those without it.
            seed: of all noise.
            batch_size: images at a time.

        Raises:
            ValueError: for an `n` that is not positive, an unknown sampler, more steps than the
                process has, labels that are none or of no use here, and guidance of a model without
                condition, or of one that never learned to do without.
        """
        latents = Draws.normal((self.how_many(n), *self.image_shape), seed)
        told = self.condition.draw(len(latents), labels)
        options = self._sampling(sampler, num_steps, guidance_scale)
        return self._images_of(latents, told, seed, guidance_scale, batch_size, options)

    def preview(self, n, seed=None, inputs=None):
        """As in `GenerativeModel`; of a model that is told the class, by class."""
        if not isinstance(self.condition, ClassLabels):
            return super().preview(n, seed, inputs)
        return self.preview_by_class(n, self.condition.num_classes, seed)

    def trajectory(
        self,
        n,
        labels=None,
        sampler=None,
        num_steps=None,
        guidance_scale=None,
        seed=None,
        batch_size=None,
    ):
        r"""The ways from noise to the images that `generate` makes of the same arguments.

        Returns:
            States, float32 `(n, steps + 1, *image_shape)`, the first noise and the last images, and
            their times, float64 `(steps + 1,)`: a state is
            $\alpha(t) x + \sigma(t) \epsilon$ of `noise`.

        Raises:
            ValueError: as `generate`.
        """
        options = self._sampling(sampler, num_steps, guidance_scale)
        times = np.append(options["sampler"].times(self.noise, options["num_steps"]), 0.0)
        nbytes = 8 * positive(n, "n") * len(times) * math.prod(self.image_shape)  # and a copy
        what = f"n={n} ways of {len(times)} states of {self.image_shape}"
        check_room(nbytes, what, "ask for fewer, or for fewer steps")
        latents = Draws.normal((n, *self.image_shape), seed)
        told = self.condition.draw(n, labels)
        options |= {"keep": True}
        return self._images_of(latents, told, seed, guidance_scale, batch_size, options), times

    def inpaint(
        self,
        images,
        mask,
        labels=None,
        sampler=None,
        num_steps=None,
        guidance_scale=None,
        seed=None,
        batch_size=None,
    ):
        """Paint parts of images anew, so that they fit what is around them.

        At each time the known part of the state is that of the image, with noise, and the known
        part of the answer is the image (Song et al., 2021, section 5). Samplers that go each step
        once let the painted part know little of the other; that of Lugmayr et al. (2022) goes it
        several times.

        Args:
            images: `(N, *image_shape)`.
            mask: booleans, or numbers 0 and 1, `(H, W)`, or `(N, H, W)` of as many images, a
                channel axis of 1 at the end or none: where to paint. Of points `(D,)` or `(N, D)`.
            labels: of a conditional model, one for all or one for each; they are needed.
            sampler: as in `generate`; None: `kgen.samplers.RePaint()`, which asks the network five
                times a step.
            num_steps, guidance_scale, seed, batch_size: as in `generate`.

        Returns:
            float32 `(N, *image_shape)` in [-1, 1]; the known part is that of `images`.

        Raises:
            ValueError: for a mask of another size, or of other values; and as `generate`.
        """
        images = self.images_in(images)
        mask = self._mask_in(mask, len(images))
        latents = Draws.normal(images.shape, seed)
        told = self.condition.of_images(len(images), labels)
        sampler = samplers.RePaint() if sampler is None else sampler
        options = self._sampling(sampler, num_steps, guidance_scale)
        known = images, mask
        return self._images_of(latents, told, seed, guidance_scale, batch_size, options, known)

    def _mask_in(self, mask, n):
        """A mask as booleans that go with `n` images."""
        mask, sides = to_numpy(mask), self.image_shape[:2]
        one_channel = mask.ndim > len(sides) and len(sides) == 2 and mask.shape[-1:] == (1,)
        flat = mask[..., 0] if one_channel else mask
        if flat.shape not in (sides, (n, *sides)):
            raise ValueError(
                f"mask must have the shape {sides} of an image, or {(n, *sides)}, one for each; "
                f"got {mask.shape}."
            )
        known = np.isin(flat, (0, 1))
        if not known.all():
            raise ValueError(
                "mask must be True, or 1, where to paint, and else False, or 0; got "
                f"{flat[~known][0]!r}."
            )
        flat = np.broadcast_to(flat.astype(bool), (n, *sides))
        return flat[..., None] if len(sides) == 2 else flat

    def _sampling(self, sampler, num_steps, guidance_scale):
        """What a compiled sampler depends on, checked."""
        sampler = samplers.get("dpmpp_2m" if sampler is None else sampler)
        num_steps = sampler.default_steps(self.noise) if num_steps is None else num_steps
        sampler.times(self.noise, num_steps)  # refuses too many
        guided = guidance_scale is not None and weight_of(guidance_scale, "guidance_scale") != 1
        if guided and isinstance(self.condition, Nothing):
            raise ValueError(
                f"guidance_scale={guidance_scale!r} asks for more of a condition, and this model "
                "has none: leave it out, or make the model with condition=."
            )
        if guided and not self.drop_condition:
            raise ValueError(
                "Guidance compares predictions with and without the condition; with "
                "drop_condition=0 this model never learned those without: leave guidance_scale out."
            )
        settings = {"sampler": sampler, "num_steps": int(num_steps), "guided": guided}
        return {**settings, "keep": False}

    def _images_of(self, latents, told, seed, guidance_scale, batch_size, options, known=()):
        rows, (low, high) = np.arange(len(latents), dtype="int32"), key_of(seed)
        guidance = np.float32(1 if guidance_scale is None else guidance_scale)
        images = self.infer(
            self._sample,
            latents,
            rows,
            guidance,
            low,
            high,
            *known,
            *told,
            static={**options, "inpaints": bool(known)},
            batch_size=batch_size,
        )
        return np.clip(images, -1, 1) if self._clips(options) else images

    def _clips(self, options):
        """Whether what is returned are images; noise on the way to them has no range."""
        return len(self.image_shape) == 3 and not options["keep"]

    def _sample(self, latents, rows, guidance, low, high, *rest, guided, inpaints, **options):
        """Images of noise, by a sampler."""
        sampler, num_steps = options["sampler"], options["num_steps"]
        (images, unknown), told = (rest[:2], rest[2:]) if inpaints else ((None, None), rest)

        def denoise(x, t):
            if not inpaints:
                return self.denoised(x, t, told, guidance if guided else None)
            alpha, sigma = self.noise.levels(t)
            noisy = alpha * images + sigma * latents
            x = ops.where(unknown, x, noisy)
            answer = self.denoised(x, t, told, guidance if guided else None)
            return ops.where(unknown, answer, images)

        def normal(step):
            return normal_of((low, high), rows, step, self.image_shape)

        times, keep = sampler.times(self.noise, num_steps), options["keep"]
        noisiest = float(self.noise.sigma(times[0])) * latents
        found = sampler(denoise, noisiest, self.noise, num_steps, normal, keep)
        shape = (len(times) + 1, *self.image_shape) if keep else self.image_shape
        if tuple(found.shape[1:]) != shape:
            raise ValueError(
                f"{type(sampler).__name__} must return {(None, *shape)}"
                f"{', all states' if keep else ''}; it returns {(None, *found.shape[1:])}."
            )
        return found

    def denoised(self, x, t, told, guidance=None, clip=True):
        """The images that noisy ones are taken to come from.

        Args:
            x: tensor `(N, *image_shape)`.
            t: scalar tensor, or one for each of them.
            told: list of the tensors that are the condition.
            guidance: None, or w of classifier-free guidance, a scalar tensor.
            clip: whether images are kept in [-1, 1], as images are (Ho et al., 2020, in their
                code); points never are.
        """
        t = self._column(ops.broadcast_to(t, (ops.shape(x)[0],)))
        network = self.denoiser_average.model
        if guidance is None:
            predicted = self.predicted(network, x, t, told)
        else:
            without = self.condition.left_out(told, True)
            both = [
                ops.concatenate(pair) for pair in zip((x, t, *told), (x, t, *without), strict=True)
            ]
            asked, free = ops.split(self.predicted(network, both[0], both[1], both[2:]), 2)
            predicted = free + guidance * (asked - free)
        images = self._predicts.images(self.noise, t, x, predicted)
        return ops.clip(images, -1, 1) if clip and len(self.image_shape) == 3 else images
