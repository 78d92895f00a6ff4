"""One step: its logs, and that an error or a compiled run of steps changes nothing."""

import keras
import numpy as np
import pytest
from one_weight import MeanOf, one_weight, weight
from toy import ToyGAN, points

from kgen.engine import state


def test_epoch_logs_are_means_over_images():
    x = np.random.default_rng(0).normal(size=(130, 1)).astype("float32")
    model = MeanOf(network=one_weight())
    model.compile("sgd")
    measured = model.evaluate(x, batch_size=64, verbose=0)  # 64, 64 and 2 images
    assert measured == {"loss": pytest.approx(x.mean(), abs=1e-6)}
    history = model.fit(x, batch_size=64, epochs=2, shuffle=False, verbose=0, validation_data=x)
    assert history.history["loss"] == pytest.approx([x[:128].mean()] * 2, abs=1e-6)
    assert history.history["val_loss"] == pytest.approx([x.mean()] * 2, abs=1e-6)


class Vector(MeanOf):
    """Logs a value for each image."""

    def measure(self, batch):
        return {"loss": batch[:, 0]}

    def update(self, batch):
        super().update(batch)
        return self.measure(batch)


def test_values_of_each_image_are_logged_by_their_mean():
    x = np.random.default_rng(0).normal(size=(130, 1)).astype("float32")
    model = Vector(network=one_weight())
    model.compile("sgd")
    assert model.evaluate(x, batch_size=64, verbose=0)["loss"] == pytest.approx(x.mean(), abs=1e-6)
    history = model.fit(x, batch_size=64, shuffle=False, verbose=0).history
    assert history["loss"] == pytest.approx([x[:128].mean()], abs=1e-6)


def test_an_error_in_a_first_step_costs_no_weights():
    """Keras empties the variables on JAX before it traces a step."""

    class Faulty(MeanOf):
        fault = True

        def objective(self, batch, training):
            if self.fault:
                raise RuntimeError("the author's own")
            return super().objective(batch, training)

    model = Faulty(network=one_weight(3.0))
    model.compile("sgd")
    x = np.ones((8, 1), "float32")
    for call in (model.fit, model.evaluate):
        with pytest.raises(RuntimeError, match="the author's own"):
            call(x, batch_size=4, verbose=0)
        assert weight(model.network) == 3.0
    Faulty.fault = False
    model.compile("sgd")
    model.fit(x, batch_size=4, verbose=0)
    assert int(model.step) == 2


def test_steps_per_execution_changes_nothing():
    if keras.backend.backend() == "torch":
        with pytest.raises(ValueError, match="steps_per_execution"):
            model = MeanOf(network=one_weight())
            model.compile("sgd", steps_per_execution=2)
            model.fit(np.ones((8, 1), "float32"), batch_size=2, verbose=0)
        return
    captured = []
    for steps in (1, 4):
        keras.utils.set_random_seed(0)
        model = ToyGAN(k=1)
        model.compile(steps_per_execution=steps, jit_compile=True)
        model.fit(points(160), batch_size=32, epochs=2, verbose=0)
        captured.append(state.capture(model))
    for name in captured[0]:
        np.testing.assert_allclose(captured[0][name], captured[1][name], rtol=1e-5, atol=1e-6)
