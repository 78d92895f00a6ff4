"""The reparameterisation trick as a layer."""

import keras
from keras import ops


@keras.saving.register_keras_serializable("kgen")
class Sampling(keras.layers.Layer):
    """Draw `z = mean + exp(log_variance / 2) * epsilon` with `epsilon` from N(0, I).

    The reparameterisation trick of Kingma and Welling (2014), section 2.4: the noise is an input,
    so the gradient passes through mean and variance.

    Args:
        seed: integer, or None for a random one, of the layer's own generator.

    Call arguments:
        inputs: pair `(mean, log_variance)`, both `(N, latent_dim)`.
        seed: a `keras.random.SeedGenerator` to draw from instead of the layer's own.

    Returns:
        `(N, latent_dim)`, a new draw at each call, in training and inference.

    Example:

    ```python
    mean, log_variance = keras.layers.Dense(2)(x), keras.layers.Dense(2)(x)
    z = kgen.layers.Sampling()([mean, log_variance])
    ```
    """

    def __init__(self, seed=None, **kwargs):
        super().__init__(**kwargs)
        self.seed = seed
        self.random = keras.random.SeedGenerator(seed)
        self.built = True

    def call(self, inputs, seed=None):
        """See the class."""
        mean, log_variance = inputs
        seed = self.random if seed is None else seed
        epsilon = keras.random.normal(ops.shape(mean), dtype=mean.dtype, seed=seed)
        return mean + ops.exp(0.5 * log_variance) * epsilon

    def compute_output_shape(self, input_shape):
        """That of the mean."""
        return input_shape[0]

    def get_config(self):
        """The arguments."""
        return {**super().get_config(), "seed": self.seed}
