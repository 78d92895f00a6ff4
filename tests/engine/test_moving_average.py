"""Averages of networks follow their formula."""

import keras
import numpy as np
import pytest
from keras import layers, ops
from toy import points

import kgen


def test_moving_average_follows_its_formula():
    network = keras.Sequential(
        [keras.Input((2,)), layers.Dense(2), layers.BatchNormalization()], name="net"
    )
    average = kgen.MovingAverage(network, decay=0.75)
    start = [ops.convert_to_numpy(w) for w in network.weights]
    for w in network.weights:
        w.assign(w + 4.0)
    average.update()
    for w, old, new in zip(network.weights, start, average.model.weights, strict=True):
        expected = old + 1.0 if w.trainable else old + 4.0
        np.testing.assert_allclose(ops.convert_to_numpy(new), expected, rtol=1e-6)
    assert average.trainable_variables == []
    for decay in (-0.1, 1.0):
        with pytest.raises(ValueError, match="decay"):
            kgen.MovingAverage(network, decay)
    with pytest.raises(ValueError, match="no weights yet"):
        kgen.MovingAverage(keras.Sequential([layers.Dense(2)]))

    class Uncopied(keras.Model):
        def __init__(self, width):
            super().__init__()
            self.dense = layers.Dense(width)

        def call(self, x):
            return self.dense(x)

    network = Uncopied(2)
    network(np.zeros((1, 3), "float32"))
    with pytest.raises(TypeError, match="class Uncopied does not say"):
        kgen.MovingAverage(network)


def test_moving_average_forgets_the_first_weights_soon():
    """After `step` updates the decay is at most (1 + step) / (10 + step)."""
    network = keras.Sequential([keras.Input((2,)), layers.Dense(2), layers.BatchNormalization()])
    variable = keras.Variable(0, dtype="int32", trainable=False)
    for decay in (0.9, 0.0):
        average = kgen.MovingAverage(network, decay)
        expected = [ops.convert_to_numpy(w) for w in network.weights]
        for step in (0, 1, 30, 1000):
            for w in network.weights:
                w.assign(w + 4.0)
            variable.assign(step)
            average.update(variable if step else 0)
            kept = min(decay, (1 + step) / (10 + step))
            now = [ops.convert_to_numpy(w) for w in network.weights]
            factors = [kept if w.trainable else 0.0 for w in network.weights]
            expected = [f * e + (1 - f) * w for f, e, w in zip(factors, expected, now, strict=True)]
            for new, value in zip(average.model.weights, expected, strict=True):
                np.testing.assert_allclose(ops.convert_to_numpy(new), value, rtol=1e-5)


@pytest.mark.parametrize("counting", [False, True])
def test_moving_average_of_networks_without_batch_statistics_or_with_counters(counting):
    extra = [layers.Normalization()] if counting else []
    network = keras.Sequential([keras.Input((2,)), *extra, layers.Dense(2)])
    if counting:
        network.layers[0].adapt(points(50))
    average = kgen.MovingAverage(network, decay=0.5)
    for w in network.trainable_weights:
        w.assign(w + 2.0)
    average.update()
    for w, new in zip(network.weights, average.model.weights, strict=True):
        expected = ops.convert_to_numpy(w) - (1.0 if w.trainable else 0.0)
        np.testing.assert_allclose(ops.convert_to_numpy(new), expected, rtol=1e-6, atol=1e-6)
