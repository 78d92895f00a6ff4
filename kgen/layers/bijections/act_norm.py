"""Normalisation that begins with the statistics of the first batch."""

import keras
from keras import ops

from kgen.layers.bijections.base import Bijection, channels_of, of_each, places

SMALLEST = 1e-4  # standard deviation of what varies


@keras.saving.register_keras_serializable("kgen")
class ActNorm(Bijection):
    r"""Activation normalisation (Kingma and Dhariwal, 2018, section 3.1).

    $y = e^s (x - \mu) / \sigma + b$, for each channel. $\mu$ and $\sigma$ are mean and standard
    deviation of the first batch that it sees in training, and stay as they are ($\sigma$ is 1 of a
    channel that does not vary in it); s and b begin at 0 and are learned. So the first outputs of
    each channel have mean 0 and variance 1, as in the paper, where scale and bias themselves are
    set so and then learned. Before that batch it is the identity. The statistics are in files and
    checkpoints.

    Call arguments:
        inputs: `(N, ..., channels)`.
    """

    def build(self, input_shape):
        """Make statistics, scale and bias, one of each channel."""
        channels = (channels_of(self, input_shape),)
        of_batch = {"shape": channels, "trainable": False, "aggregation": "mean"}
        self.mean = self.add_weight(name="mean", initializer="zeros", **of_batch)
        self.deviation = self.add_weight(name="deviation", initializer="ones", **of_batch)
        self.initialized = self.add_weight(
            name="initialized",
            shape=(),
            initializer="zeros",
            trainable=False,
            aggregation="only_first_replica",
        )
        self.log_scale = self.add_weight(name="log_scale", shape=channels, initializer="zeros")
        self.bias = self.add_weight(name="bias", shape=channels, initializer="zeros")

    def call(self, inputs, told=None, training=None):
        """See the class."""
        x = ops.cast(inputs, "float32")
        mean, deviation = (ops.convert_to_tensor(v) for v in (self.mean, self.deviation))
        if training and self.trainable:
            mean, deviation = self._initialized_by(x, mean, deviation)
        log_det = ops.sum(self.log_scale - ops.log(deviation))
        y = (x - mean) * (ops.exp(self.log_scale) / deviation) + self.bias
        return y, of_each(places(inputs) * log_det, x)

    def _initialized_by(self, x, mean, deviation):
        """Statistics, those of x if there were none before."""

        def of_batch():
            axes = tuple(range(len(x.shape) - 1))
            values = ops.stop_gradient(x)
            deviation = ops.std(values, axes)
            return [ops.mean(values, axes), ops.where(deviation < SMALLEST, 1.0, deviation)]

        begun = ops.convert_to_tensor(self.initialized) > 0
        mean, deviation = ops.cond(begun, lambda: [mean, deviation], of_batch)
        self.mean.assign(mean)
        self.deviation.assign(deviation)
        self.initialized.assign(ops.ones(()))
        return mean, deviation

    def inverse(self, outputs, told=None):
        """See the class."""
        self.check_built()
        y = ops.cast(outputs, "float32") - self.bias
        return y * (self.deviation * ops.exp(-self.log_scale)) + self.mean

    def get_config(self):
        """The arguments."""
        return super().get_config()
