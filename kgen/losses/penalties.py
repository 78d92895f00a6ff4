"""Penalties of the discriminator by the papers' names: of its gradient, and of its weights."""

import keras
from keras import ops, tree

from kgen import schedules
from kgen.arguments import positive, weight_of
from kgen.engine.backend import input_gradient


class Penalty:
    """What a penalty of the discriminator can do: here nothing.

    Attributes:
        per_image: whether it is a loss, of the gradient by each image alone: statistics over a
            batch are out of place beside it (Gulrajani et al., 2017, section 4). One that is not
            acts by `constrain`.
    """

    per_image = False

    def loss(self, score, real, fake, seed, step=None):
        """The term that it adds to the discriminator's loss, a float32 scalar.

        Args:
            score: function from a list of inputs to scores `(N, 1)`.
            real, fake: lists of what the gradient is taken by, images first, `(N, ...)` each.
            seed: `keras.random.SeedGenerator` to draw from.
            step: number of the update, by which one that is not due at every update is left out;
                None for evaluation, where it is always due.
        """
        raise NotImplementedError(f"{type(self).__name__} adds nothing to the loss.")

    def constrain(self, variables):
        """Change the discriminator's variables after its step."""

    def get_config(self):
        """The arguments."""
        return {}

    @classmethod
    def from_config(cls, config):
        """Build from `get_config()`."""
        return cls(**config)


_LAST = 2**31 - 1  # a step at which every schedule has ended


class _OfTheGradient(Penalty):
    """A penalty of the discriminator's gradient with respect to images.

    Args:
        weight: factor of the penalty: a number, or a schedule of the step (`kgen.schedules`); in
            evaluation what it ends at.
        every: the penalty is computed at every `every`-th update only, with `every` times its
            weight: after the "lazy regularization" of Karras et al. (2020, section 3.1), who give
            it a step of its own and correct Adam for the further steps; here it is added to the
            loss of that update, and the optimizer is left as it is.

    Raises:
        ValueError: unless the weight is a schedule or a number of at least 0, and `every` a
            positive integer.
    """

    per_image = True

    def __init__(self, weight=10.0, every=1):
        scheduled = callable(weight) or isinstance(weight, dict)
        self.weight = schedules.get(weight) if scheduled else weight_of(weight, "weight")
        self.every = positive(every, "every")

    def __call__(self, score, images, step=None):
        """The penalty at these images, a float32 scalar.

        Args:
            score: function from images `(N, ...)` to scores `(N, 1)`.
            images: where the gradient is taken, as `at` returned them; or a list of images and
                what else the gradient is taken by, which `score` takes as a list, too.
            step: number of the update, for a weight that is a schedule; None for its last value.
        """
        gradients = tree.flatten(input_gradient(score, images))
        squares = [ops.sum(ops.square(g), axis=tuple(range(1, len(g.shape)))) for g in gradients]
        weight = schedules.value(self.weight, _LAST if step is None else step)
        return weight * self.of(sum(squares))

    def loss(self, score, real, fake, seed, step=None):
        """The penalty where it is due, `every` times; by a condition within the compiled step."""
        points = self.at(real, fake, seed)
        if self.every == 1 or step is None:
            return self(score, points, step)
        due = ops.equal(ops.mod(ops.convert_to_tensor(step), self.every), 0)
        now = lambda: self.every * self(score, points, step)  # noqa: E731
        return ops.cond(due, now, lambda: ops.zeros((), "float32"))

    def get_config(self):
        """The arguments."""
        return {"weight": schedules.serialize(self.weight), "every": self.every}


@keras.saving.register_keras_serializable("kgen")
class GradientPenalty(_OfTheGradient):
    r"""Penalty of WGAN-GP: $\lambda E (\|\nabla D(\hat x)\|_2 - 1)^2$ (Gulrajani et al., 2017).

    Equation 3, with $\hat x = t x + (1 - t) G(z)$ and one t, uniform on [0, 1], for each image.

    Args:
        weight: lambda, or a schedule of it.
        every: computed at every `every`-th update only, with `every` times its weight.
    """

    def at(self, real, fake, seed):
        """Images between real and generated ones, or lists of images and what goes with them."""
        count = ops.shape(tree.flatten(real)[0])[0]
        t = keras.random.uniform((count,), seed=seed)

        def between(a, b):
            weight = ops.reshape(t, (-1, *[1] * (len(a.shape) - 1)))
            return weight * a + (1.0 - weight) * ops.cast(b, "float32")

        return tree.map_structure(between, real, fake)

    def of(self, squares):
        """Mean over images of the penalty, from the squared norms `(N,)` of the gradients."""
        # The root's own gradient is infinite at 0.
        return ops.mean(ops.square(ops.sqrt(squares + 1e-12) - 1.0))

    def estimate(self, distance):
        r"""What the best critic under this penalty estimates of a Wasserstein distance W.

        With slope c it gains $c W - \lambda (c - 1)^2$, most at $c = 1 + W / 2 \lambda$, so that it
        estimates $c W$: more than W. This holds where the penalty looks at the way of the points
        only, as on a line.

        Args:
            distance: W, a number or an array.
        """
        weight = float(schedules.value(self.weight, _LAST))
        return distance * (1 + distance / (2 * weight))


@keras.saving.register_keras_serializable("kgen")
class R1(_OfTheGradient):
    r"""Zero-centred penalty at real images: $\frac{\gamma}{2} E \|\nabla D(x)\|^2$.

    Mescheder et al. (2018), equation 9.

    Args:
        weight: gamma, or a schedule of it.
        every: computed at every `every`-th update only, with `every` times its weight.
    """

    def at(self, real, fake, seed):
        """The real images."""
        return real

    def of(self, squares):
        """Mean over images of the penalty, from the squared norms `(N,)` of the gradients."""
        return 0.5 * ops.mean(squares)


@keras.saving.register_keras_serializable("kgen")
class WeightClipping(Penalty):
    """Keep every weight of the discriminator in [-bound, bound] (Arjovsky et al., 2017).

    Algorithm 1, line 7: after each of the discriminator's steps.

    Args:
        bound: positive number, the paper's c.

    Raises:
        ValueError: for a bound that is not positive.
    """

    def __init__(self, bound=0.01):
        self.bound = weight_of(bound, "bound")
        if not self.bound:
            raise ValueError(f"bound must be a positive number; got {bound!r}.")

    def constrain(self, variables):
        """Clip the values of variables."""
        for variable in variables:
            variable.assign(ops.clip(ops.convert_to_tensor(variable), -self.bound, self.bound))

    def get_config(self):
        """The arguments."""
        return {"bound": self.bound}


PENALTIES = {"gradient_penalty": GradientPenalty, "r1": R1, "weight_clipping": WeightClipping}
"""Penalties by name."""


def get_penalty(penalty):
    """A penalty by name, or the one that was passed; None for `"none"`.

    Raises:
        ValueError: for an unknown name; the message lists the known ones.
    """
    if isinstance(penalty, Penalty):
        return penalty
    if isinstance(penalty, str) and penalty == "none":
        return None
    if not isinstance(penalty, str) or penalty not in PENALTIES:
        raise ValueError(
            f"Unknown penalty {penalty!r}; known are {[*PENALTIES, 'none']}, and those of "
            "kgen.losses with a weight of your choice."
        )
    return PENALTIES[penalty]()
