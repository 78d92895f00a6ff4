import keras
import numpy as np
import pytest
from keras import ops

from kgen import schedules


def test_linear_warmup():
    warmup = schedules.LinearWarmup(2.0, steps=4, start=1.0)
    values = [float(ops.convert_to_numpy(warmup(step))) for step in (0, 1, 2, 4, 5, 10**6)]
    assert values == [1.0, 1.25, 1.5, 2.0, 2.0, 2.0]
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(warmup))
    assert again.get_config() == warmup.get_config()
    with pytest.raises(ValueError, match="steps"):
        schedules.LinearWarmup(1.0, 0)


def test_linear_decay():
    decay = schedules.LinearDecay(2.0, constant_steps=3, decay_steps=4, end=1.0)
    values = [float(ops.convert_to_numpy(decay(step))) for step in (0, 3, 4, 5, 7, 8, 10**6)]
    assert values == [2.0, 2.0, 1.75, 1.5, 1.0, 1.0, 1.0]
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(decay))
    assert again.get_config() == decay.get_config()
    from_the_start = schedules.LinearDecay(4.0, 0, 2)
    assert [float(ops.convert_to_numpy(from_the_start(step))) for step in range(4)] == [4, 2, 0, 0]


@pytest.mark.parametrize(("constant", "decay"), [(-1, 4), (1.5, 4), (3, 0), (3, None)])
def test_steps_of_a_linear_decay_are_whole(constant, decay):
    with pytest.raises(ValueError, match="_steps must be a"):
        schedules.LinearDecay(1.0, constant, decay)


def test_a_warmup_serves_as_a_learning_rate():
    network = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    network.compile(keras.optimizers.SGD(schedules.LinearWarmup(0.5, 10)), "mse")
    network.fit(np.ones((40, 1)), np.ones((40, 1)), batch_size=8, verbose=0)
    assert float(network.optimizer.learning_rate) == pytest.approx(0.25)


def test_numbers_schedules_and_nothing_else():
    assert schedules.get(3) == 3.0
    keras_schedule = keras.optimizers.schedules.CosineDecay(1.0, 10)
    assert schedules.get(keras_schedule) is keras_schedule
    from_file = schedules.get(schedules.serialize(keras_schedule))
    assert from_file.get_config() == keras_schedule.get_config()
    assert schedules.value(0.5, step=7) == 0.5
    for wrong in ("fast", None, [1.0, 2.0], lambda step: step):
        with pytest.raises(TypeError, match="kl_weight must be a number or a schedule"):
            schedules.get(wrong, "kl_weight")
