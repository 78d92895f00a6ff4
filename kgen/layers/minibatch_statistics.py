"""Statistics of a minibatch, shown to a discriminator."""

import math

import keras
from keras import ops

from kgen.arguments import positive, positive_number


@keras.saving.register_keras_serializable("kgen")
class MinibatchStandardDeviation(keras.layers.Layer):
    """One more channel: how much the images of a group differ (Karras et al., 2018, section 3).

    The standard deviation over the group of each feature at each place, averaged over features and
    places to one number, which every pixel of the group's images is given. By it a discriminator
    sees whether a generator makes the same image again and again, and the generator learns not to.

    Image n of a batch of N is in group `n % (N // group_size)`, as in the authors' code. A batch
    that is no multiple of the group is not refused and loses nothing: it has as many groups, of
    which some have more images, the same on every backend. (Of 9 images and groups of 4 there are
    two, of 5 and of 4.) A batch of fewer images is one group. An image alone deviates by 0.

    Statistics are computed in float32 under every policy, and the layer can be differentiated
    twice, as gradient penalties need. It makes scores depend on the other images of the batch, in
    inference, too.

    Args:
        group_size: positive integer, how many images are compared, or None for all of the batch,
            which is the paper's text; its code has 4.
        epsilon: positive number, added to the variance; so the least number is `sqrt(epsilon)`.
        **kwargs: as in Keras.

    Call arguments:
        inputs: `(N, ..., channels)`, with sides that are known.

    Returns:
        `(N, ..., channels + 1)`.

    Raises:
        ValueError: for a group below 1, an epsilon that is not above 0, or unknown sides.

    Example:

    ```python
    x = kgen.layers.MinibatchStandardDeviation()(x)
    x = kgen.layers.EqualizedConv2D(512, 3, padding="same")(x)
    ```
    """

    def __init__(self, group_size=4, epsilon=1e-8, **kwargs):
        super().__init__(**kwargs)
        self.group_size = None if group_size is None else positive(group_size, "group_size")
        self.epsilon = positive_number(epsilon, "epsilon")

    def build(self, input_shape):
        """Check the shape: nothing is learned."""
        if len(input_shape) < 2 or None in input_shape[1:]:
            raise ValueError(
                "MinibatchStandardDeviation takes (N, ..., channels) of which all but N is known; "
                f"got shape {tuple(input_shape)}."
            )

    def call(self, inputs):
        """See the class."""
        deviation = ops.cast(self._deviation(inputs), self.compute_dtype)
        deviation = ops.reshape(deviation, (-1, *[1] * (len(inputs.shape) - 1)))
        return ops.concatenate([inputs, ops.zeros_like(inputs[..., :1]) + deviation], axis=-1)

    def _deviation(self, inputs):
        """The number of each image, float32 `(N,)`."""
        n = ops.shape(inputs)[0]
        x = ops.reshape(ops.cast(inputs, "float32"), (n, math.prod(inputs.shape[1:])))
        average = self._averages(n)
        x = x - ops.matmul(average, x)
        variance = ops.matmul(average, ops.square(x))
        return ops.mean(ops.sqrt(variance + self.epsilon), axis=1)

    def _averages(self, n):
        """The matrix `(N, N)` that replaces each image by the mean of its group.

        No shape hangs on the number of groups: n may be unknown where graphs are made.
        """
        place = ops.arange(n, dtype="int32")
        groups = 1
        if self.group_size is not None:
            groups = ops.maximum(ops.sum(ops.ones_like(place)) // self.group_size, 1)
        group = place % groups
        same = ops.cast(group[:, None] == group[None, :], "float32")
        return same / ops.sum(same, axis=1, keepdims=True)

    def compute_output_shape(self, input_shape):
        """With one more channel."""
        return (*input_shape[:-1], input_shape[-1] + 1)

    def get_config(self):
        """The arguments."""
        config = {"group_size": self.group_size, "epsilon": self.epsilon}
        return {**super().get_config(), **config}
