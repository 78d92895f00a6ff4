import keras
import numpy as np
import pytest
from keras import ops

import kgen


def test_draws_have_mean_and_variance():
    n = 200_000
    mean = np.tile(np.float32([[1.0, -2.0]]), (n, 1))
    log_variance = np.tile(np.float32([[0.0, np.log(0.25)]]), (n, 1))
    z = ops.convert_to_numpy(kgen.layers.Sampling(seed=0)([mean, log_variance]))
    np.testing.assert_allclose(z.mean(0), [1, -2], atol=4 / np.sqrt(n))
    np.testing.assert_allclose(z.var(0), [1, 0.25], rtol=0.02)
    assert abs(np.corrcoef(z.T)[0, 1]) < 4 / np.sqrt(n)


def test_draws_differ_between_calls_and_follow_the_seed():
    inputs = [np.zeros((3, 2), "float32")] * 2
    draws = lambda layer: [ops.convert_to_numpy(layer(inputs)) for _ in range(2)]  # noqa: E731
    first, second = draws(kgen.layers.Sampling(seed=5))
    assert np.abs(first - second).max() > 0.01
    again, _ = draws(kgen.layers.Sampling(seed=5))
    np.testing.assert_array_equal(first, again)
    other = kgen.layers.Sampling(seed=7)
    given = keras.random.SeedGenerator(5)
    np.testing.assert_array_equal(ops.convert_to_numpy(other(inputs, seed=given)), first)


def test_no_variance_is_no_noise():
    mean = np.random.default_rng(0).normal(size=(4, 3)).astype("float32")
    z = kgen.layers.Sampling(seed=0)([mean, np.full((4, 3), -100.0, "float32")])
    np.testing.assert_allclose(ops.convert_to_numpy(z), mean, atol=1e-6)


@keras.saving.register_keras_serializable("kgen_tests")
class Quadratic(kgen.GenerativeModel):
    """E[z^2] over the noise: gradients 2 mu and 2 sigma^2 for mu and log sigma."""

    players = {"model": ["network"]}

    def __init__(self, **kwargs):
        super().__init__((1,), **kwargs)
        self.sampling = kgen.layers.Sampling(seed=0)

    def objective(self, batch, training):
        mean, half = ops.split(self.network(ops.ones((1, 1)), training=training), 2, axis=-1)
        ones = ops.ones((ops.shape(batch)[0], 1))
        z = self.sampling([mean * ones, 2 * half * ones], seed=self.random)
        return ops.mean(ops.square(z))


def test_the_gradient_passes_through_mean_and_variance():
    network = keras.Sequential(
        [
            keras.Input((1,)),
            keras.layers.Dense(
                2, use_bias=False, kernel_initializer=keras.initializers.Constant(0.5)
            ),
        ]
    )
    model = Quadratic(network=network)
    model.compile(keras.optimizers.SGD(0.1))
    model.fit(np.zeros((100_000, 1), "float32"), batch_size=100_000, verbose=0)
    mu, log_sigma = ops.convert_to_numpy(network.weights[0])[0]
    assert mu == pytest.approx(0.5 - 0.1 * 2 * 0.5, abs=0.003)
    assert log_sigma == pytest.approx(0.5 - 0.1 * 2 * np.exp(1.0), abs=0.01)


def test_in_a_functional_model_of_its_own(tmp_path):
    inputs = keras.Input((6,))
    heads = [keras.layers.Dense(2)(inputs), keras.layers.Dense(2)(inputs)]
    model = keras.Model(inputs, kgen.layers.Sampling(seed=3)(heads))
    assert model.output_shape == (None, 2)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.layers[-1].get_config()["seed"] == 3
    assert loaded.predict(np.zeros((5, 6)), verbose=0).shape == (5, 2)
