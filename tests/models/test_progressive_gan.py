"""Progressive growing: what is the model's own; its networks and its schedule have their tests."""

import keras
import numpy as np
import pytest
from as_new import as_new
from keras import ops

import kgen
from kgen.engine import state
from kgen.schedules import GrowingSchedule

IMAGES = np.random.default_rng(0).integers(0, 256, (40, 16, 16, 3), "uint8")
SMALL = {"latent_dim": 6, "filters_base": 32, "max_filters": 8}


def schedule(size=16):
    """Two epochs of two updates at 4x4, four at each further size, half of them fading in."""
    return GrowingSchedule(size, 8, {4: 8, 8: 8}, batch_size=4, learning_rate={4: 0.002, 8: 0.001})


def make(size=16, **options):
    keras.utils.set_random_seed(0)
    return kgen.ProgressiveGAN((size, size, 3), schedule=schedule(size), **SMALL, **options)


def grown():
    """A model whose whole training lies behind it, for tests that change nothing."""

    def new():
        model = make()
        model.compile()
        model.histories = model.fit(IMAGES, verbose=0).history
        return model

    return as_new("progressive gan", new)


def values(variables):
    return [ops.convert_to_numpy(v) for v in variables]


def test_a_fit_runs_the_whole_schedule():
    model = grown()
    steps = [level.steps for level in model.schedule.levels]
    assert steps == [2, 4, 4] and int(model.step) == 10
    assert [level.epochs for level in model.schedule.levels] == [2, 4, 4]
    seen = 4 * np.arange(10)
    alphas = [model.schedule.at(int(n)).alpha for n in seen]
    assert alphas == [1, 1, 0, 0.5, 1, 1, 0, 0.5, 1, 1]
    np.testing.assert_allclose(model.histories["alpha"], alphas, atol=1e-6)
    assert all(np.isfinite(found).all() for found in model.histories.values())
    assert int(ops.convert_to_numpy(model.images_seen())) == model.schedule.images == 40
    assert model.generate(3, seed=0).shape == (3, 16, 16, 3)


def test_each_resolution_trains_what_it_has_grown_with_its_rate():
    model = make()
    model.compile()
    expected = [model.generator.variables_at(level) for level in range(3)]
    moments = []
    for level, epochs in enumerate((2, 4, 4)):
        before = values(model.generator.trainable_variables)
        model.fit(IMAGES, epochs=epochs, verbose=0)
        assert model.level == level
        assert model.generate(2, seed=0).shape == (2, *[4 * 2**level] * 2, 3)
        pairs = zip(model.generator.trainable_variables, before, strict=True)
        moved = {id(v) for v, old in pairs if not np.array_equal(ops.convert_to_numpy(v), old)}
        assert moved == {id(v) for v in expected[level]}
        adam = model.optimizer.optimizers[[*model.players].index("generator")]
        assert int(adam.iterations) == model.schedule.levels[level].steps  # begun anew
        moments.append(float(adam.learning_rate))
    np.testing.assert_allclose(moments, [0.002, 0.001, 0.001])
    assert model.level == 2


def test_real_images_fade_in_as_generated_ones_do():
    model = make(8)
    model.compile()
    x = IMAGES[:, :8, :8].astype("float32") / 127.5 - 1
    for updates, alpha in ((2, 0), (3, 0.5), (4, 1)):
        model.enter(1)
        model.step.assign(updates)
        small = x.reshape(-1, 4, 2, 4, 2, 3).mean((2, 4)).repeat(2, 1).repeat(2, 2)
        expected = (1 - alpha) * small + alpha * x
        found = ops.convert_to_numpy(model.faded(ops.convert_to_tensor(x)))
        np.testing.assert_allclose(found, expected, atol=1e-6)
        z = model.latents(3, 6, seed=1)
        network = model.generator_average.model
        found = model.decode(z)
        expected = np.clip(ops.convert_to_numpy(network(z, level=1, alpha=alpha)), -1, 1)
        np.testing.assert_allclose(found, expected, atol=1e-5)


def test_the_average_begins_anew_at_each_resolution():
    """At the first update it is nine tenths of what is trained (`MovingAverage.update`)."""
    model = make(8)
    model.compile()
    for epochs in (2, 1):
        if epochs == 1:
            before = values(model.generator_average.model.weights)
        model.fit(IMAGES[:, :8, :8], epochs=epochs, verbose=0)
    assert int(ops.convert_to_numpy(model.updates_at_level())) == 1
    trained = values(model.generator.weights)
    after = values(model.generator_average.model.weights)
    for old, new, average in zip(before, trained, after, strict=True):
        np.testing.assert_allclose(average, 0.1 * old + 0.9 * new, atol=1e-5)


def test_losses_are_those_of_the_paper():
    """Without the penalty, whose points are drawn: its own tests have it."""
    model = make(8)
    model.compile()
    model.enter(1)
    model.step.assign(3)
    x = ops.convert_to_tensor(IMAGES[:8, :8, :8].astype("float32") / 127.5 - 1)
    real = model.faded(x)
    z = model.latents(8, 6, seed=1)
    fake = model.generator(z, level=1, alpha=0.5)
    scores = [model.discriminator(images, level=1, alpha=0.5) for images in (real, fake)]
    of_real, of_fake = (ops.convert_to_numpy(s).astype("float64") for s in scores)
    model.penalty = kgen.losses.GradientPenalty(0.0)
    loss, logs = model.discriminator_loss(real, fake, training=False)
    expected = of_fake.mean() - of_real.mean() + 0.001 * np.square(of_real).mean()
    assert float(ops.convert_to_numpy(loss)) == pytest.approx(expected, abs=1e-5)
    assert float(ops.convert_to_numpy(logs["real_score"])) == pytest.approx(
        of_real.mean(), abs=1e-5
    )
    measured = model.evaluate(IMAGES[:8, :8, :8], batch_size=8, verbose=0)
    assert measured.keys() <= set(model.logs)


def test_a_loaded_model_goes_on_where_it_was(tmp_path):
    """Saved and loaded after every epoch, mid-fade included: to the same state as in one go."""
    path, x = tmp_path / "model.keras", IMAGES[:, :8, :8]
    whole, model = make(8), make(8)
    for gan in (whole, model):
        gan.compile(run_eagerly=True)
    for epoch in range(6):
        if epoch:
            model.save(path)
            loaded = keras.saving.load_model(path)
            made = loaded.generate(3, seed=0)
            np.testing.assert_allclose(made, model.generate(3, seed=0), atol=1e-6)
            model = loaded
        whole.fit(x, epochs=1, verbose=0)
        model.fit(x, epochs=1, verbose=0)
        assert (model.level, int(model.step)) == (int(epoch > 1), epoch + 1)
    a, b = state.capture(model), state.capture(whole)
    assert all(np.array_equal(a[name], b[name]) for name in a)


def test_the_zoo_has_the_resolution_that_was_reached(tmp_path):
    card = {"what": "-", "data": "faces", "seed": 0, "seconds": 1, "metrics": {"fid": 1.0}}
    model = make()
    model.compile()
    model.fit(IMAGES, epochs=1, verbose=0)
    for name, gan in (("partly", model), ("whole", grown())):
        kgen.zoo.save(gan, name, tmp_path, samples=gan.generate(4, seed=0), **card)
        loaded = kgen.zoo.load(name, tmp_path)
        np.testing.assert_allclose(loaded.generate(4, seed=0), gan.generate(4, seed=0), atol=1e-6)
    assert loaded.schedule == schedule()


def test_an_export_is_of_the_resolution_that_was_reached(tmp_path):
    """Mid-fade, and as `predict` has it."""
    model = make()
    model.compile(run_eagerly=True)
    model.fit(IMAGES, epochs=3, verbose=0)
    z = model.latents(3, 6, seed=1)
    expected = model.predict(z, verbose=0)
    assert expected.shape == (3, 8, 8, 3)
    if keras.backend.backend() == "torch":  # Keras exports SavedModels from TensorFlow and JAX
        return
    import tensorflow as tf

    model.export(tmp_path / "exported", verbose=False)
    served = tf.saved_model.load(str(tmp_path / "exported"))
    np.testing.assert_allclose(served.serve(tf.constant(z)).numpy(), expected, atol=1e-5)


def test_full_size_from_the_start():
    model = make(8, growing=False)
    (stage,) = model.stages()
    assert (stage.epochs * stage.steps_per_epoch, stage.batch_size) == (6, 4)
    model.compile()
    history = model.fit(IMAGES[:, :8, :8], verbose=0).history
    assert set(history["alpha"]) == {1.0} and int(model.step) == 6
    assert len(model.variables_of("generator")) == len(model.generator.variables_at(1))


def test_scores_are_of_images_of_the_resolution():
    """Minibatch statistics would make them depend on the images beside."""
    model = make(minibatch_statistics=False)
    model.compile()
    model.enter(1)
    model.step.assign(3)
    small = IMAGES[:4, :8, :8]
    found = model.scores(small)
    x = small.astype("float32") / 127.5 - 1
    alpha = float(ops.convert_to_numpy(model.alpha()))
    expected = ops.convert_to_numpy(model.discriminator(x, level=1, alpha=alpha))[:, 0]
    np.testing.assert_allclose(found, expected, atol=1e-5)
    with pytest.raises(ValueError, match=r"expects \(N, 8, 8, 3\)"):
        model.scores(IMAGES)


def test_real_images_are_measured_at_the_size_that_was_reached():
    seen = []

    def mean(real, made):
        real = real.images() if hasattr(real, "images") else real
        seen.append((real.shape, made.shape))
        return float(real.mean())

    x = IMAGES[:, :8, :8]
    model = make(8)
    model.compile()
    images = kgen.data.ImageDataset(x)
    for real, epochs in ((x, 2), (images, 2)):
        measured = kgen.callbacks.Evaluator({"mean": mean}, real, n=6)
        history = model.fit(x, epochs=epochs, verbose=0, callbacks=[measured]).history
        assert np.isfinite(history["val_mean"]).all()
    assert [shape[1] for shape in seen[0]] == [8, 8]  # before it begins
    assert [shape[1] for shape in seen[1]] == [4, 4]
    assert [shape[1] for shape in seen[-1]] == [8, 8]
    with pytest.raises(TypeError, match="real must be an array or a dataset"):
        measured = kgen.callbacks.Evaluator({"mean": mean}, iter([x]), n=6)
        again = make(8)
        again.compile()
        again.fit(x, epochs=1, verbose=0, callbacks=[measured])


def test_what_is_too_small_to_be_measured_is_so_until_it_has_grown():
    x = np.concatenate([IMAGES, 255 - IMAGES])
    names = ["sliced_wasserstein", "ms_ssim"]  # of 7x7 and 11x11 pixels or more
    monitor = kgen.callbacks.CollapseMonitor(x, n=50, every=2)
    model = make()
    model.compile(run_eagerly=True)
    callbacks = [kgen.callbacks.Evaluator(names, x, n=20), monitor]
    history = model.fit(x, verbose=0, callbacks=callbacks).history
    known = {name: np.isfinite(history[f"val_{name}"]).tolist() for name in names}
    assert known == {
        "sliced_wasserstein": 2 * [False] + 8 * [True],
        "ms_ssim": 6 * [False] + 4 * [True],
    }
    checked = np.isfinite(history["collapse_coverage"])
    assert checked.tolist() == [epoch == 0 or epoch % 2 == 1 for epoch in range(10)]
    assert (
        np.isfinite(history["collapse_ms_ssim"]).tolist() == (checked & known["ms_ssim"]).tolist()
    )
    again = make()
    again.compile(run_eagerly=True)
    with pytest.raises(ValueError, match=r"memorization cannot be measured.*test"):
        measured = kgen.callbacks.Evaluator(["ms_ssim", "memorization"], x, "pixels", n=60)
        again.fit(x, verbose=0, callbacks=[measured])
    assert int(again.step) == 0


def test_what_does_not_fit_is_refused():
    for shape, words in (
        ((48, 48, 3), "one of 8, 16, .*; got 48"),
        ((16, 8, 3), "power of two|square|H = W"),
        ((4, 4, 3), "one of 8"),
    ):
        with pytest.raises(ValueError, match=words):
            kgen.ProgressiveGAN(shape, **SMALL)
    with pytest.raises(ValueError, match=r"grows to 8x8.*GrowingSchedule\(16, \.\.\.\)"):
        kgen.ProgressiveGAN((16, 16, 3), schedule=schedule(8), **SMALL)
    with pytest.raises(TypeError, match="GrowingSchedule; got 3"):
        kgen.ProgressiveGAN((16, 16, 3), schedule=3, **SMALL)
    model = grown()
    with pytest.raises(
        ValueError, match=r"batch_size=8.*schedule=GrowingSchedule.* sets it to \[4, 4, 4\]"
    ):
        model.fit(IMAGES, batch_size=8)
    with pytest.raises(ValueError, match=r"16, 16"):
        model.fit(IMAGES[:, :8, :8])
    with pytest.raises(ValueError, match="condition"):
        kgen.ProgressiveGAN((8, 8, 3), condition=kgen.conditions.ClassLabels(3), **SMALL)
