"""A run in stages: each with data, variables, optimizers and a compiled step of its own."""

import itertools
import re

import keras
import numpy as np
import pytest
from keras import ops
from one_weight import MeanOf, Means, one_weight
from staged import STAGES, Growing, growing, images

import kgen
from kgen.engine import Stage, state
from kgen.engine.stages import Plan

BACKEND = keras.backend.backend()


def same(a, b):
    return a.keys() == b.keys() and all(np.array_equal(a[n], b[n]) for n in a)


def weights(network):
    return [ops.convert_to_numpy(w) for w in network.weights]


def equal(a, b):
    return all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


class Watch(keras.callbacks.Callback):
    """Notes what a callback is told, and what the model holds then."""

    def __init__(self):
        super().__init__()
        self.told, self.weights, self.iterations, self.params_then = [], {}, {}, {}

    def on_train_begin(self, logs=None):
        self.told.append("begin")
        self.params_then["begin"] = dict(self.params)

    def on_train_end(self, logs=None):
        self.told.append("end")

    def on_epoch_begin(self, epoch, logs=None):
        self.told.append(epoch)
        self.weights["begin", epoch] = weights(self.model.coarse), weights(self.model.fine)
        self.iterations[epoch] = int(self.model.optimizer["coarse"].iterations)
        self.params_then[epoch] = dict(self.params)

    def on_epoch_end(self, epoch, logs=None):
        self.weights["end", epoch] = weights(self.model.coarse), weights(self.model.fine)


@pytest.fixture(scope="module")
def run():
    """A whole run: the model, its history, what a callback saw, and how often it was traced."""
    Growing.traces, watch, model = 0, Watch(), growing()
    history = model.fit(images(), validation_data=images(6, 1), verbose=0, callbacks=[watch])
    yield model, history, watch, Growing.traces
    del model


def test_callbacks_see_one_training(run):
    model, history, watch, _ = run
    assert watch.told == ["begin", 0, 1, 2, 3, 4, "end"]
    assert history.epoch == [0, 1, 2, 3, 4] and history is model.history
    assert history.history["size"] == history.history["val_size"] == [4, 4, 4, 8, 8]
    assert int(model.step) == 3 * 2 + 2 * 3 and model.stage == 1
    told = [
        [params[k] for k in ("steps", "epochs", "stage")] for params in watch.params_then.values()
    ]
    assert told == 4 * [[2, 5, "4x4"]] + 2 * [[3, 5, "stage 2 of 2"]]


def test_each_stage_is_compiled_once(run):
    *_, traces = run
    assert traces == (12 if BACKEND == "torch" else 2)  # torch's steps are eager


def test_optimizers_begin_anew_and_nothing_learned_is_lost(run):
    model, _, watch, _ = run
    assert watch.iterations == {0: 0, 1: 2, 2: 4, 3: 0, 4: 3}
    assert equal(watch.weights["end", 2][0], watch.weights["begin", 3][0])
    assert not equal(watch.weights["begin", 0][0], watch.weights["end", 2][0])
    assert not equal(watch.weights["begin", 3][0], watch.weights["end", 4][0])
    still, moved = watch.weights["begin", 0][1], watch.weights["end", 4][1]
    assert equal(still, watch.weights["end", 2][1]) and not equal(still, moved)
    rates = {p: float(model.optimizer[p].learning_rate) for p in model.players}
    assert rates == pytest.approx({"coarse": 5e-4, "fine": 1e-3})


@keras.saving.register_keras_serializable("kgen_tests")
class Seen(MeanOf):
    """Logs the mean of what it sees."""

    def __init__(self, network, table, **kwargs):
        super().__init__((8, 8), network=network, **kwargs)
        self.table = table

    def stages(self):
        return self.table


def seen(*table, **options):
    model = Seen(keras.Sequential([keras.Input((None, None, 1)), keras.layers.Dense(1)]), table)
    model.compile("sgd", **options)
    return model


def test_every_stage_goes_on_in_the_order_of_the_data():
    """Where the one before it stopped, in whole epochs of its own."""
    x = images(21)
    data = kgen.data.ImageDataset(x, batch_size=10, seed=0)
    model = seen(Stage(2, image_size=4), Stage(2, batch_size=5), Stage(2, 3, 4, (2, 4)))
    losses = model.fit(data, verbose=0).history["loss"]
    expected = []
    for size, batch, steps, epochs in (((4, 4), 10, 2, [0, 1]), ((8, 8), 5, 4, [2, 3]),
                                       ((2, 4), 4, 3, [7, 8])):  # fmt: skip
        pixels = data.at_resolution(size).images()
        for epoch in epochs:  # 80 images lie before the third stage: 7 epochs of 12, rounded up
            numbers = epoch * steps + np.arange(steps)
            passes = (divmod(n, 21 // batch) for n in numbers)
            batches = [data.order(p)[b * batch : (b + 1) * batch] for p, b in passes]
            expected.append(pixels[np.concatenate(batches)].mean())
    assert losses == pytest.approx(expected, abs=1e-6)


def test_one_update_takes_several_minibatches():
    class Staged(Means):
        def stages(self):
            return [Stage(1, batch_size=2), Stage(2, batch_size=4)]

    model = Staged(k=3)
    model.compile({p: keras.optimizers.SGD(0.25) for p in model.players}, run_eagerly=True)
    model.fit(np.ones((26, 1), "float32"), verbose=0)
    assert int(model.step) == 26 // 6 + 2 * (26 // 12)
    assert int(model.optimizer["first"].iterations) == 3 * 2 * 2


def test_a_run_stops_and_goes_on(run, tmp_path):
    """Within a stage, at the end of one, and within an epoch; from files and without."""
    whole = state.capture(run[0])
    model = growing()
    assert model.fit(images(), epochs=1, verbose=0).epoch == [0]
    assert model.fit(images(), epochs=2, verbose=0).epoch == [1, 2] and model.stage == 0
    model.save(tmp_path / "end.keras")
    model = keras.saving.load_model(tmp_path / "end.keras")
    assert model.stage == 0
    interrupt = keras.callbacks.LambdaCallback(on_train_batch_end=_interrupt_at(1))
    with pytest.raises(KeyboardInterrupt):
        model.fit(images(), verbose=0, callbacks=[interrupt])
    assert model.stage == 1
    model.save(tmp_path / "within.keras")
    model = keras.saving.load_model(tmp_path / "within.keras")
    assert model.stage == 1 and int(model.optimizer["fine"].iterations) == 2
    rest = model.fit(images(), epochs=9, validation_data=images(6, 1), verbose=0)
    assert rest.epoch == [3, 4]
    assert same(state.capture(model), whole)


def _interrupt_at(batch):
    def interrupt(number, logs):
        if number == batch:
            raise KeyboardInterrupt

    return interrupt


def test_a_callback_that_stops_the_run_loses_no_place():
    model = seen(*STAGES, run_eagerly=True)
    stop = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: setattr(model, "stop_training", batch == 0)
    )
    assert model.fit(images(), verbose=0, callbacks=[stop]).epoch == [0]
    assert model.fit(images(), epochs=4, verbose=0).epoch == [0, 1, 2, 3]
    assert int(model.step) == 3 * 2 + 3


def test_nothing_is_left_to_train(run, capsys):
    model = run[0]
    assert model.fit(images(), verbose=2).epoch == []
    assert "Nothing is left to train: 5 epochs" in capsys.readouterr().out


def test_a_stage_is_announced(capsys):
    model = seen(Stage(2, image_size=4, name="small"), Stage(1, 7))
    model.fit(images(21), verbose=2)
    said = "|".join(("small", "stage", "Stage"))
    lines = [line for line in capsys.readouterr().out.splitlines() if re.match(said, line)]
    lines = [re.sub(r"in \d+ s, [\d,]+ a", "in _ s, _ a", line) for line in lines]
    assert lines == [
        "small, stage 1 of 2: epochs 1 to 2 of 1 update, with 21 images of 4 x 4 x 1 in each.",
        "small: 42 images in _ s, _ a second; 147 images are left.",
        "Stage 2 of 2: epoch 3 of 7 updates, with 21 images of 8 x 8 x 1 in each.",
        "stage 2 of 2: 147 images in _ s, _ a second.",
    ]
    seen(Stage(1, batch_size=16)).fit(images(21), verbose=2)
    assert "5 of 21 images do not fill a batch of 16" in capsys.readouterr().out


def test_positions_and_updates_are_two_ways_to_say_one_thing():
    model = seen(Stage(2, 3), Stage(1), Stage(2, 1))
    plan = Plan(model, model.stages(), kgen.data.ImageDataset(images(), batch_size=10))
    places = [plan.place(n) for n in range(13)]
    assert places == [
        *((epoch, batch) for epoch in (0, 1) for batch in range(3)),
        *((2, batch) for batch in range(4)),
        *((3, 0), (4, 0), (5, 0)),
    ]
    assert [plan.updates(*place) for place in places] == [*range(13)]
    assert [plan.stage_after(n) for n in range(13)] == [0] * 7 + [1] * 4 + [2] * 2
    assert plan.place(99) == (5, 0) and plan.stage_after(99) == 2
    assert [*plan.spans(1, 4)] == [(0, 1, 2), (1, 2, 3), (2, 3, 4)] and not [*plan.spans(5, 5)]


# What is compiled.


def test_a_stage_keeps_the_arguments_of_compile():
    schedule = keras.optimizers.schedules.ExponentialDecay(1e-3, 10, 0.5)
    decaying = keras.optimizers.AdamW(schedule, weight_decay=0.1)
    decaying.exclude_from_weight_decay(var_names=["bias"])
    options = {"run_eagerly": True, "jit_compile": False, "steps_per_execution": 1}
    model = growing({"coarse": keras.optimizers.SGD(0.1), "fine": decaying}, **options)
    described = state.describe(model)
    before = model.optimizer
    model.enter(1)
    fine = model.optimizer["fine"]
    assert model.optimizer is not before and fine is not decaying
    assert fine.get_config() == {**decaying.get_config(), "name": "fine"}
    excluded = {v.name for v in model.variables_of("fine") if not fine._use_weight_decay(v)}
    assert excluded == {"bias"}
    assert float(model.optimizer["coarse"].learning_rate) == pytest.approx(0.05)
    assert model.run_eagerly and not model.jit_compile
    assert state.describe(model) == described
    model.enter(0)
    assert float(model.optimizer["coarse"].learning_rate) == pytest.approx(0.1)
    if BACKEND != "torch":
        model = growing(steps_per_execution=2, jit_compile=True)
        model.enter(1)
        assert model.steps_per_execution == 2 and model.jit_compile is True


@pytest.mark.skipif(BACKEND == "torch", reason="torch takes one step in an execution")
def test_several_steps_in_an_execution(run):
    model = growing(steps_per_execution=2)
    history = model.fit(images(), verbose=0)
    assert history.epoch == [0, 1, 2, 3, 4] and int(model.step) == 12
    assert history.history["loss"] == pytest.approx(run[1].history["loss"], rel=1e-3)


@pytest.mark.skipif(BACKEND != "tensorflow", reason="strategies are TensorFlow's")
def test_optimizers_of_a_stage_are_on_the_devices_of_the_model():
    import tensorflow as tf

    with tf.distribute.MirroredStrategy(["CPU:0"]).scope():
        model = Growing()
        model.compile()
    model.enter(1)
    kinds = {type(v.value).__name__ for v in model.optimizer["fine"].variables}
    assert kinds == {type(model.step.value).__name__} == {"MirroredVariable"}


def test_mixed_precision_scales_the_loss_in_every_stage():
    model = growing(dtype="mixed_float16", run_eagerly=True)
    history = model.fit(images(), epochs=4, verbose=0)
    fine = model.optimizer["fine"]
    assert model.stage == 1 and np.isfinite(history.history["loss"]).all()
    assert type(fine).__name__ == "LossScale" and float(fine.learning_rate) == pytest.approx(1e-3)
    copy = Growing.from_config(model.get_config())
    copy.compile_from_config(model.get_compile_config())
    rate = float(copy.optimizer["coarse"].inner_optimizer.learning_rate)
    assert copy.stage == 1 and rate == pytest.approx(5e-4)


def test_what_infer_compiled_is_dropped():
    model = growing()
    x = images(3).astype("float32")
    assert model.infer(model.in_stage, x).max() == 0
    model.enter(1)
    assert model.infer(model.in_stage, x).max() == 1
    assert not model.fit(images(), epochs=0, verbose=0).epoch and model.stage == 1
    model.fit(images(), epochs=1, verbose=0)  # its place is in the first stage
    assert model.stage == 0 and model.infer(model.in_stage, x).max() == 0


def test_evaluation_sees_the_size_of_the_stage_and_predict_the_whole():
    model = growing()
    small = kgen.data.ImageDataset(images(6)).at_resolution(4)
    losses = model.evaluate(images(6), verbose=0)
    assert losses["size"] == 4 and model.stage_image_shape == (4, 4, 1)
    np.testing.assert_array_equal(model.predict(images(6), verbose=0), model.outputs_for(images(6)))
    assert model.predict(images(6), verbose=0).shape == (6, 8, 8, 1)
    with pytest.raises(ValueError, match=r"\(1, 4, 4, 1\); this model expects"):
        model.evaluate(small, verbose=0)  # not resized twice: data come as `image_shape` says
    batches = iter([(images(6),)])
    with pytest.raises(TypeError, match="sees its data at the size, and in batches, of each"):
        model.evaluate(batches, steps=1, verbose=0)
    model.enter(1)
    assert model.evaluate(iter([(images(6),)]), steps=1, verbose=0)["size"] == 8


# What callbacks do to optimizers.


def test_a_rate_that_a_callback_changed_is_lost_at_a_stages_beginning():
    class Halve(keras.callbacks.Callback):
        rates = []

        def on_epoch_end(self, epoch, logs=None):
            self.rates.append(float(self.model.optimizer.learning_rate))
            self.model.optimizer.learning_rate = self.rates[-1] / 2

    seen(*STAGES, run_eagerly=True).fit(images(), verbose=0, callbacks=[Halve()])
    assert Halve.rates == pytest.approx([1e-2, 5e-3, 2.5e-3, 1e-2, 5e-3])


def test_a_schedule_of_epochs_goes_through_all_stages():
    class Rates(keras.callbacks.LearningRateScheduler):
        seen = []

        def on_epoch_end(self, epoch, logs=None):
            self.seen.append(float(self.model.optimizer.learning_rate))

    schedule = Rates(lambda epoch, rate: 1 / (1 + epoch))
    seen(*STAGES, run_eagerly=True).fit(images(), verbose=0, callbacks=[schedule])
    assert schedule.seen == pytest.approx([1, 1 / 2, 1 / 3, 1 / 4, 1 / 5])


# What is refused, before anything runs.


def test_arguments_that_stages_decide_on():
    model = growing()
    for name, words in (
        ("batch_size", r"Growing decides on: stages\(\) sets it to \[16, 8\]"),
        ("steps_per_epoch", r"Growing decides on: stages\(\) sets it to \[2, 3\]"),
        ("initial_epoch", "Growing decides on: .* follows from the updates behind it"),
    ):
        with pytest.raises(ValueError, match=f"fit got {name}=7, which {words}"):
            model.fit(images(), verbose=0, **{name: 7})
    with pytest.raises(ValueError, match="epochs must be"):
        model.fit(images(), epochs=-1, verbose=0)
    assert int(model.step) == 0


def test_data_that_cannot_be_seen_at_the_size_of_a_stage():
    model = growing()
    cannot = r"of each of its stages, which this \w+ cannot give.*Pass an array of images or a data"
    with pytest.raises(TypeError, match=cannot):
        model.fit(itertools.repeat((images(),)), verbose=0)
    with pytest.raises(TypeError, match=f"validation_data: Growing.*{cannot}"):
        model.fit(images(), validation_data=iter([(images(),)]), validation_steps=1, verbose=0)
    with pytest.raises(TypeError, match="x must be an array of images"):
        model.fit([1, 2], verbose=0)
    with pytest.raises(ValueError, match="8, 8"):
        model.fit(images()[:, :4, :4], verbose=0)
    with pytest.raises(ValueError, match=r"stages\(\)\[0\] is .*batch_size=16 is more than the 12"):
        model.fit(images(12), verbose=0)
    shifted = kgen.data.ImageDataset(images(), augment={"shift": 5})
    with pytest.raises(ValueError, match=r"stages\(\)\[0\].*shift must be .* from 0 to 3; got 5"):
        model.fit(shifted, verbose=0)

    class OfPoints(MeanOf):
        def stages(self):
            return [Stage(1, image_size=4)]

    points = OfPoints(network=one_weight())
    points.compile("sgd")
    with pytest.raises(ValueError, match=r"points of shape \(1,\) have no size"):
        points.fit(np.zeros((9, 1), "float32"), verbose=0)
    assert int(model.step) == 0 and model.stage == 0


def test_images_that_have_a_second_one_stay_at_their_size():
    model = seen(Stage(1, image_size=4))
    model.condition = kgen.conditions.Target((8, 8))
    with pytest.raises(ValueError, match="that have a second one stays as it is"):
        model.fit(images(), images(), verbose=0)


def test_averages_of_optimizers_are_refused():
    with pytest.raises(ValueError, match=r"'coarse' has use_ema=True.*kgen\.MovingAverage"):
        growing({"coarse": keras.optimizers.Adam(use_ema=True)})

    class Forgets(Growing):
        def optimizers_of_stage(self, optimizers):
            optimizers["coarse"].learning_rate = 1.0

    with pytest.raises(TypeError, match=r"optimizers_of_stage returns a dictionary .* got None"):
        Forgets().compile()


def test_callbacks_that_do_not_know_of_stages(tmp_path):
    with pytest.raises(ValueError, match=r"BackupAndRestore does not know.*TrainingCheckpoint"):
        growing().fit(
            images(), verbose=0, callbacks=[keras.callbacks.BackupAndRestore(tmp_path / "backup")]
        )


def test_what_is_no_stage():
    for wrong in ({"epochs": 0}, {"epochs": 1, "batch_size": 2.5}, {"epochs": 1, "image_size": 0}):
        with pytest.raises(ValueError, match=f"{[*wrong][-1]} must be"):
            Stage(**wrong)
    with pytest.raises(TypeError, match="name must be a string; got 3"):
        Stage(1, name=3)
    model = growing()
    for number in (2, -1, 0.5):
        with pytest.raises(ValueError, match=r"stage 2: it has 2|number must be"):
            model.enter(number)
    with pytest.raises(AttributeError, match="stage has its own meaning"):
        model.stage = 1
    for table in ([], [1], 3):
        with pytest.raises(TypeError, match=r"stages\(\) returns a list of kgen.engine.Stage"):
            seen(*table) if isinstance(table, list) and table else _with_stages(table).compile()
    with pytest.raises(TypeError, match="'stage'"):
        type("Taken", (MeanOf,), {"stage": 3})


def _with_stages(stages):
    return type("Wrong", (MeanOf,), {"stages": lambda self: stages})(network=one_weight())


# Files, and models without stages.


def test_the_stage_is_in_a_file_and_not_in_what_a_run_is(tmp_path):
    model, other = growing(), growing(table=(STAGES[0], Stage(4, 3, 8)))
    described = state.describe(model)
    model.enter(1)
    assert state.describe(model) == described and model.get_config()["stage"] == 1
    (line,) = (d for d in state.differences(described, state.describe(other)) if "stages" in d)
    assert line == "stages[1].epochs: saved 2, now 4"
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.stage == 1 and state.describe(loaded) == described
    config = model.get_config()
    with pytest.raises(ValueError, match="no stage 7"):
        Growing.from_config({**config, "stage": 7})
    renamed = growing(table=[Stage(**s.get_config(), name="another") for s in STAGES])
    del described["model"]["table"]
    assert state.describe(renamed)["stages"] == described["stages"]


def test_a_file_of_the_zoo_is_in_the_stage_of_the_model(tmp_path):
    model = growing()
    model.enter(1)
    kgen.zoo.save(model, "growing", tmp_path, what="A test.", data="random", seed=0, seconds=1.0,
                  metrics={}, license="none", command="none", device="none",
                  samples=images(4))  # fmt: skip
    loaded = kgen.zoo.load("growing", tmp_path)
    assert loaded.stage == 1
    np.testing.assert_allclose(
        loaded.predict(images(3), verbose=0), model.predict(images(3), verbose=0), atol=1e-6
    )


def test_a_model_without_stages():
    model = MeanOf(network=one_weight())
    model.compile("sgd")
    assert model.stages() is None and model.stage == 0
    assert "stage" not in model.get_config() and "stages" not in state.describe(model)
    with pytest.raises(ValueError, match="MeanOf has no stage 0: it has 0"):
        model.enter(0)
    assert model.stage_image_shape == model.image_shape == (1,)
    assert model.fit(np.zeros((9, 1), "float32"), verbose=0).epoch == [0]  # one epoch by default
