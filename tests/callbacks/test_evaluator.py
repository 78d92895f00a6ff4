"""Metrics in the logs, for whoever listens; training does not notice."""

import csv

import keras
import numpy as np
import pytest
from as_new import as_new
from toy import compiled, points, toy

import kgen
from kgen.callbacks import Evaluator, TrainingCheckpoint
from kgen.data import ImageDataset, to_uint8
from kgen.engine import state

IMAGES = np.random.default_rng(0).integers(0, 256, (64, 12, 12, 1), "uint8")


def vae():
    keras.utils.clear_session()
    keras.utils.set_random_seed(3)
    model = kgen.VAE((12, 12), network="dense")
    model.compile()
    return model


def one_vae():
    return as_new("vae to evaluate", vae)


def train(model, *callbacks, epochs=3, x=None):
    x = points(256) if x is None else x
    return model.fit(x, batch_size=32, epochs=epochs, verbose=0, callbacks=[*callbacks])


def same(a, b):
    return a.keys() == b.keys() and all(np.array_equal(a[n], b[n]) for n in a)


def offset(real, generated):
    return np.linalg.norm(generated.mean(axis=0) - real.mean(axis=0))


class Scripted(keras.Model):
    """Trains a number, and generates images of the levels that a script says, epoch by epoch."""

    def __init__(self, *levels, shape=(12, 12, 1)):
        super().__init__()
        self.dense = keras.layers.Dense(1)
        self.levels, self.shape, self.asked = iter([levels[0], *levels]), shape, []

    def call(self, x):
        return self.dense(x)

    def generate(self, n, seed=None, **options):
        self.asked.append({"n": n, "seed": seed, **options})
        return np.full((n, *self.shape), next(self.levels), "float32")

    def run(self, *callbacks, epochs=3):
        self.compile("sgd", "mse")
        x = np.ones((4, 1), "float32")
        return self.fit(x, x, epochs=epochs, verbose=0, callbacks=[*callbacks]).history


def level(real, generated):
    return generated.mean() / 255


def test_training_is_left_alone_bit_for_bit():
    for make, x, evaluator in (
        (toy, points(256), Evaluator({"offset": offset}, points(), n=50)),
        (one_vae, IMAGES, Evaluator(["fid", "recall", "ms_ssim"], IMAGES, "pixels", n=20)),
    ):
        train(model := make(), x=x, epochs=2)
        alone = state.capture(model)
        history = train(measured := make(), evaluator, x=x, epochs=2).history
        assert same(state.capture(measured), alone)
        assert np.isfinite(history[f"val_{next(iter(evaluator.evaluation.values))}"]).all()


def test_the_numbers_are_those_of_evaluate():
    model, names = one_vae(), ["kid", "coverage", "sliced_wasserstein", "memorization"]
    test = IMAGES[::-1] // 2
    evaluator = Evaluator(names, IMAGES, "pixels", n=30, test=test, seed=7, batch_size=16)
    history = train(model, evaluator, x=IMAGES, epochs=1).history
    images = to_uint8(model.generate(30, seed=7))
    expected = kgen.metrics.evaluate(IMAGES, images, "pixels", names, test=test, seed=7)
    assert evaluator.evaluation.values == expected.values
    assert [history[f"val_{name}"] for name in names] == [[v] for v in expected.values.values()]


def test_listeners_after_it_live_with_epochs_in_between(tmp_path):
    """It measures in the epochs 1, 3, 6 and 7; the best of these is the sixth."""
    model = Scripted(0.9, 0.7, 0.2, 0.5)
    best = keras.callbacks.ModelCheckpoint(
        tmp_path / "{epoch}.weights.h5",
        *("val_level", 0, True, True),
        mode="min",
    )
    patient = keras.callbacks.EarlyStopping("val_level", mode="min", patience=6)
    callbacks = (
        Evaluator({"level": level}, IMAGES, every=3, n=2),
        *(best, patient, keras.callbacks.CSVLogger(tmp_path / "log.csv")),
    )
    history = model.run(*callbacks, epochs=7)
    expected = [0.95, np.nan, 0.85, np.nan, np.nan, 0.6, 0.75]
    np.testing.assert_allclose(history["val_level"], expected, atol=0.005)
    with open(tmp_path / "log.csv") as file:
        rows = [float(row["val_level"]) for row in csv.DictReader(file)]
    np.testing.assert_allclose(rows, history["val_level"], atol=1e-6)
    saved = sorted(path.name for path in tmp_path.glob("*.weights.h5"))
    assert saved == ["1.weights.h5", "3.weights.h5", "6.weights.h5"]
    assert abs(patient.best - 0.6) < 0.005 and patient.stopped_epoch == 0


def test_the_last_epoch_is_measured_where_training_is_stopped():
    class Stop(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.model.stop_training = epoch == 1

    history = Scripted(0.1, 0.2).run(Stop(), Evaluator({"level": level}, IMAGES, every=5, n=2))
    assert len(history["val_level"]) == 2 and np.isfinite(history["val_level"]).all()


def test_seed_n_and_batch_size_reach_the_model():
    model = Scripted(0.1, 0.1)
    model.run(Evaluator({"level": level}, IMAGES, n=5, seed=3, batch_size=4), epochs=1)
    assert model.asked == [{"n": 5, "seed": 3, "batch_size": 4}] * 2
    model = Scripted(0.1, 0.1)
    model.run(Evaluator({"level": level}, IMAGES, n=5), epochs=1)
    assert model.asked == [{"n": 5, "seed": 0}] * 2


def test_resumed_runs_go_on(tmp_path):
    """With epochs in which nothing was measured: NaN in the logs is no loss that is not finite."""

    def callbacks(folder):
        own = {"offset": offset}
        return [
            Evaluator(own, points(), every=2, n=50),
            keras.callbacks.CSVLogger(folder / "log.csv"),
            TrainingCheckpoint(folder / "run"),
        ]

    class Cut(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 3:
                raise InterruptedError

    for name in ("whole", "parts"):
        (tmp_path / name).mkdir()
    whole = train(model := toy(), *callbacks(tmp_path / "whole"), epochs=5).history
    left = state.capture(model)
    with pytest.raises(InterruptedError):
        train(toy(), *callbacks(tmp_path / "parts"), Cut(), epochs=5)
    again = compiled()
    parts = train(again, *callbacks(tmp_path / "parts"), epochs=5).history
    np.testing.assert_array_equal(parts["val_offset"], whole["val_offset"])
    assert list(np.isnan(whole["val_offset"])) == [False, False, True, False, False]
    assert same(state.capture(again), left)
    texts = [(tmp_path / name / "log.csv").read_text() for name in ("whole", "parts")]
    assert texts[0] == texts[1]


def test_all_bright_images_are_measured():
    history = Scripted(1.0, 1.1).run(Evaluator("ms_ssim", IMAGES, n=4), epochs=1)
    assert history["val_ms_ssim"] == [1.0]


def test_images_that_are_not_finite_are_a_warning():
    evaluator = Evaluator({"level": level}, IMAGES, every=9, n=2)
    model = Scripted(0.1)
    model.levels = iter([0.1, np.nan, 0.2, 0.3])  # the first is before training
    with pytest.warns(UserWarning, match="epoch 1: generated images are not finite"):
        history = model.run(evaluator, epochs=3)["val_level"]
    assert list(np.isnan(history)) == [True, False, False]  # the first that can be measured is


def test_real_images_are_looked_at_once():
    class Source(ImageDataset):
        fetched = 0

        def fetch(self, indices):
            Source.fetched += len(indices)
            return super().fetch(indices)

    evaluator = Evaluator(["fid", "recall"], Source(255 - IMAGES), "pixels", n=8)
    Scripted(0.1, 0.2, 0.3).run(evaluator, epochs=2)
    assert Source.fetched == 2 * len(IMAGES)  # for their digest, and their features


@pytest.mark.parametrize(
    "options, error, words",
    [
        ({"metrics": "fad"}, ValueError, "no metric 'fad'"),
        ({"metrics": None}, ValueError, "what to measure"),
        ({"features": "portraits"}, ValueError, "features must be one of"),
        ({"n": 0}, ValueError, "n must be a positive integer"),
        ({"every": 0}, ValueError, "every must be a positive integer"),
        ({"batch_size": 0}, ValueError, "batch_size must be a positive integer"),
        ({"features": None}, ValueError, "fid cannot be measured.*pass features="),
        ({"real": IMAGES[:, :8]}, ValueError, r"got \(8, 12, 1\) and \(12, 12, 1\)"),
        ({"n": 1}, ValueError, "at least 2 images; got 1"),
        ({"metrics": "recall", "n": 3}, ValueError, "at least 4 rows; got 3"),
        ({"metrics": "recall", "n": 5, "precision_k": 5}, ValueError, "at least 6 rows; got 5"),
        ({"density_k": 0}, ValueError, "density_k must be a positive integer"),
        ({"metrics": "memorization"}, ValueError, "pass test="),
    ],
)
def test_what_cannot_be_measured_is_refused_before_training(options, error, words):
    model = Scripted(0.1, 0.2)
    before = model.run(epochs=1)
    with pytest.raises(error, match=words):
        model.run(Evaluator(**{"metrics": "fid", "real": IMAGES, "features": "pixels"} | options))
    assert model.history.history in ({}, before)


def test_models_that_do_not_generate_are_refused():
    plain = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    plain.compile("sgd", "mse")
    x = np.ones((4, 1), "float32")
    with pytest.raises(TypeError, match="needs a model with generate"):
        plain.fit(x, x, verbose=0, callbacks=[Evaluator("fid", IMAGES, "pixels")])

    class NoPrior(Scripted):
        def generate(self, n, seed=None):
            raise NotImplementedError("there is no prior to draw from")

    with pytest.raises(TypeError, match=r"needs a model with generate.*there is no prior"):
        NoPrior(0.1).run(Evaluator("fid", IMAGES, "pixels"))
