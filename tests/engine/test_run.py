"""One run: its hints, its order of the data, and where it stops."""

import keras
import numpy as np
import pytest
from keras import ops
from one_weight import MeanOf, Means, one_weight

import kgen
from kgen.engine import run


def test_few_updates_are_said_once(capsys, monkeypatch):
    assert run.FEW_UPDATES == 200
    monkeypatch.setattr(run, "FEW_UPDATES", 6)
    vae = kgen.VAE((8, 8), network="dense", latent_dim=2)
    vae.compile()

    def said(step, **options):
        vae.step.assign(step)
        vae.fit(np.zeros((40, 8, 8), "uint8"), batch_size=20, **options)
        return capsys.readouterr().out

    assert "2 updates an epoch x 2 epochs = 4 updates, few" in said(0, epochs=2, verbose=2)
    assert "updates an epoch" not in said(4, epochs=2, verbose=2)  # not again
    assert "updates an epoch" not in said(0, epochs=2, verbose=0)
    assert "updates an epoch" not in said(0, epochs=3, verbose=2)  # enough
    assert "2 updates an epoch x 1 epochs" in said(0, epochs=3, initial_epoch=2, verbose=2)
    assert "updates an epoch" not in said(0, epochs=3, initial_epoch=3, verbose=2)


def test_a_loss_that_is_not_finite_stops_the_run_and_names_player_and_step():
    @keras.saving.register_keras_serializable("kgen_tests")
    class Exploding(Means):
        def distance(self, network, x, training):
            bad = ops.logical_and(ops.cast(network is self.b, "bool"), self.step >= 5)
            return super().distance(network, x, training) / ops.where(bad, 0.0, 1.0)

    model = Exploding(k=1)
    model.compile({p: keras.optimizers.SGD(0.0) for p in model.players})
    with pytest.raises(kgen.NonFiniteLoss, match=r"player 'second'.* step 5 \(epoch 2\)"):
        model.fit(np.ones((12, 1), "float32"), batch_size=3, epochs=9, verbose=0)
    assert int(model.step) == 8  # found at the end of the epoch at the latest


def test_steps_per_epoch_goes_through_the_data_without_a_gap():
    x = np.arange(8, dtype="float32")[:, None]
    model = MeanOf(network=one_weight())
    model.compile("sgd")
    history = model.fit(x, batch_size=2, epochs=4, steps_per_epoch=3, shuffle=False, verbose=0)
    order = np.concatenate([x, x, x]).reshape(-1, 2)
    expected = [order[3 * e : 3 * e + 3].mean() for e in range(4)]
    assert history.history["loss"] == pytest.approx(expected, abs=1e-6)


def test_the_order_goes_on_where_training_stopped():
    x = np.random.default_rng(1).normal(size=(9, 1)).astype("float32")
    order = kgen.data.ImageDataset(x).order
    of_pass = lambda number, end=8: x[order(number)[:end]].mean()  # noqa: E731

    class StopAt(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            self.model.stop_training = batch == 1

    model = MeanOf(network=one_weight())
    model.compile("sgd")
    fit = lambda **o: model.fit(x, batch_size=2, verbose=0, **o).history["loss"]  # noqa: E731
    close = lambda *passes: pytest.approx(passes, abs=1e-6)  # noqa: E731
    assert fit(epochs=2) == close(of_pass(0), of_pass(1))
    assert fit() == close(of_pass(2))
    assert fit(epochs=12, initial_epoch=10) == close(of_pass(3), of_pass(4))
    assert fit(epochs=2, callbacks=[StopAt()]) == close(of_pass(5, end=4))
    assert fit(epochs=2) == close(of_pass(6), of_pass(7))  # 5 is not repeated
    model.step.assign(4)
    data = kgen.data.ImageDataset(x, batch_size=2)
    for number in (1, 2):  # the same dataset, left as it is
        loss = model.fit(data, verbose=0).history["loss"]
        assert loss == close(of_pass(number))
    model.step.assign(3)
    assert fit(steps_per_epoch=1) == close(x[order(0)[6:8]].mean())  # without a gap
    assert fit(steps_per_epoch=1) == close(x[order(1)[:2]].mean())


def test_steps_per_epoch_of_a_dataset_are_for_training():
    x = np.arange(8, dtype="float32")[:, None]
    data = kgen.data.ImageDataset(x, batch_size=2, shuffle=False).with_options(steps_per_epoch=3)
    model = MeanOf(network=one_weight())
    model.compile("sgd")
    history = model.fit(data, epochs=2, validation_data=data, verbose=0).history
    assert int(model.step) == 6
    order = np.concatenate([x, x]).reshape(-1, 2)
    assert history["loss"] == pytest.approx([order[:3].mean(), order[3:6].mean()], abs=1e-6)
    assert history["val_loss"] == pytest.approx([x.mean()] * 2, abs=1e-6)
    assert model.evaluate(data, verbose=0)["loss"] == pytest.approx(x.mean(), abs=1e-6)
    model.fit(data, steps_per_epoch=1, verbose=0)
    assert int(model.step) == 7
