"""A group of optimizers under Keras's name for one, and single ones."""

from functools import partial

import keras
import numpy as np
import pytest
from keras import ops
from one_weight import MeanOf, one_weight
from toy import ToyGAN, points, toy

import kgen


def test_learning_rate_callbacks_reach_every_member():
    model = toy()
    halve = keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate / 2)
    history = model.fit(points(128), batch_size=32, epochs=2, callbacks=[halve], verbose=0)
    for member in model.optimizer.optimizers:
        assert float(member.learning_rate) == pytest.approx(2.5e-4)
    assert history.history["learning_rate_generator"] == pytest.approx([5e-4, 2.5e-4])


@pytest.mark.parametrize("dtype", ["float32", "mixed_float16"])
def test_what_is_set_on_a_group_reaches_its_members_or_is_refused(dtype):
    adam = keras.optimizers.Adam
    model = ToyGAN(k=2, dtype=dtype)
    model.compile({p: adam(1e-3, beta_1=0.5, clipnorm=1.0) for p in model.players})
    group, members = model.optimizer, model.optimizer.optimizers
    model.fit(points(128), batch_size=32, verbose=0)
    group.learning_rate = np.float32(1e-5)
    for rate in (group.learning_rate, *(member.learning_rate for member in members)):
        assert float(rate) == pytest.approx(1e-5)
    assert not hasattr(group.learning_rate, "assign")  # it would reach one of them
    before = ops.convert_to_numpy(model.generator.weights[0])
    group.learning_rate = 0.0
    model.fit(points(128), batch_size=32, verbose=0)
    np.testing.assert_array_equal(ops.convert_to_numpy(model.generator.weights[0]), before)
    assert int(group.iterations) == int(model.step) == 4  # of 8 steps of the discriminator
    assert (group.clipnorm, group.beta_1, group.weight_decay) == (1.0, 0.5, None)
    group["generator"].learning_rate, group["generator"].clipnorm = 0.5, 2.0
    for name in ("learning_rate", "clipnorm"):
        with pytest.raises(AttributeError, match=rf"no {name} in common \(discriminator \d.*gener"):
            getattr(group, name)
    assert not hasattr(group, "inner_optimizer") and not hasattr(group, "momentum")
    for name in ("lr", "momentum"):  # an older name, and what Adam has not
        with pytest.raises(AttributeError, match=f"No player's optimizer has {name}"):
            setattr(group, name, 0.5)
    refused = {"clipnorm": 1.0, "clipvalue": 1.0, "global_clipnorm": 1.0, "weight_decay": 0.1}
    refused |= {"use_ema": True, "ema_momentum": 0.9, "loss_scale_factor": 2.0, "beta_1": 0.9}
    for name, value in (refused | {"gradient_accumulation_steps": 2}).items():
        line = rf'model.compile\(.."discriminator": keras.optimizers.Adam\(..., {name}={value}\)'
        with pytest.raises(AttributeError, match=line.replace('.."', '{"', 1)):
            setattr(group, name, value)
    with pytest.raises(AttributeError, match=r"model.optimizer\[player\].iterations"):
        group.iterations = 0
    for rate in ("fast", np.nan, -1.0, keras.optimizers.schedules.CosineDecay(0.1, 9), lambda: 0.1):
        with pytest.raises(TypeError, match=r"(?s)takes a number.*compile.*learning_rate="):
            group.learning_rate = rate
    for call in (
        lambda: group.scale_loss(1.0),
        lambda: group.stateless_apply([], [], []),
        lambda: group.exclude_from_weight_decay(var_names=["bias"]),
    ):
        with pytest.raises(RuntimeError, match=r"minimize|before compile.*AdamW"):
            call()
    values = [ops.convert_to_numpy(v) for v in group.variables]
    model.compile()
    model.optimizer.set_weights(values)
    assert int(model.optimizer.iterations) == 4
    assert float(model.optimizer["generator"].learning_rate) == 0.5
    with pytest.raises(ValueError, match="one array for each"):
        model.optimizer.set_weights(values[1:])


def test_what_a_group_has_not_is_refused():
    gan = kgen.GAN((8, 8), 4, network="mlp")
    gan.compile()
    group = gan.optimizer
    for name in ("beta1", "learningrate", "jit_compile", "trainable_variables", "lr"):
        with pytest.raises(AttributeError, match=name):
            setattr(group, name, 1.0)
    for rate in ("1e-5", True):
        with pytest.raises(TypeError, match="takes a number"):
            group.learning_rate = rate
    with pytest.raises(KeyError, match=r"no player 'critic'; the players are \['disc"):
        group["critic"]
    assert float(group.learning_rate) == pytest.approx(2e-4)


def test_a_member_with_a_schedule_keeps_it():
    schedule = keras.optimizers.schedules.ExponentialDecay(1e-3, 10, 0.9)
    model = ToyGAN()
    model.compile({"generator": keras.optimizers.Adam(schedule), "discriminator": "adam"})
    with pytest.raises(TypeError, match=r"\['generator'\] follows a schedule"):
        model.optimizer.learning_rate = 1.0
    assert float(model.optimizer["discriminator"].learning_rate) == pytest.approx(1e-3)


def test_loss_scaling_passes_settings_on():
    model = ToyGAN(dtype="mixed_float16")
    model.compile()
    member = model.optimizer["generator"]
    member.clipnorm = 1.0
    assert member.inner_optimizer.clipnorm == member.clipnorm == 1.0 and member.beta_1 == 0.5
    with pytest.raises(AttributeError, match=r"Adam\(..., use_ema=True\)"):
        member.use_ema = True
    model.fit(points(128), batch_size=32, verbose=0)


def test_keras_callbacks_take_a_group(tmp_path):
    """With two steps of the discriminator for one of the generator."""
    model = toy()
    callbacks = [
        keras.callbacks.ReduceLROnPlateau("generator_loss", mode="min", min_delta=1e9, patience=1),
        keras.callbacks.EarlyStopping("generator_loss", mode="min"),
        keras.callbacks.ModelCheckpoint(tmp_path / "model.keras"),
        keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate),
    ]
    data = {"validation_data": points(64), "batch_size": 32, "verbose": 0}
    model.fit(points(128), epochs=3, callbacks=callbacks, **data)
    assert float(model.optimizer.learning_rate) < 1e-3
    assert keras.saving.load_model(tmp_path / "model.keras").optimizer.learning_rate == (
        model.optimizer.learning_rate
    )


def test_a_single_player_has_a_plain_optimizer():
    model = MeanOf(network=one_weight())
    model.compile("adam")
    assert isinstance(model.optimizer, keras.optimizers.Adam)
    model.compile({"model": "sgd"})
    assert isinstance(model.optimizer, keras.optimizers.SGD)


def test_members_of_a_group_do_not_apply_by_themselves():
    model = ToyGAN()
    model.compile()
    with pytest.raises(RuntimeError, match="minimize"):
        model.optimizer.apply([], [])


class Rows(keras.layers.Layer):
    """Adds a row of a table, so that TensorFlow's gradient is of one row alone."""

    def build(self, shape):
        self.table = self.add_weight(shape=(4, shape[-1]), name="table")

    def call(self, x):
        return x + ops.take(self.table, [1, 2], axis=0)[0]


class Shifted(kgen.GenerativeModel):
    players = {"model": ["network"]}

    def objective(self, x, training):
        return ops.mean(ops.square(ops.cast(self.network(x, training=training), "float32") - 1 - x))


class KerasAdam(keras.optimizers.AdamW):
    """Adam as Keras writes it: a step of one's own is left alone."""

    def update_step(self, gradient, variable, learning_rate):
        super().update_step(gradient, variable, learning_rate)


@pytest.mark.parametrize(
    "settings",
    [
        {"beta_1": 0.5, "beta_2": 0.9},
        {"rows": True},
        {"learning_rate": keras.optimizers.schedules.ExponentialDecay(0.1, 2, 0.5)},
        {"weight_decay": 0.1, "clipnorm": 0.01},
        {"use_ema": True, "ema_momentum": 0.5, "ema_overwrite_frequency": 2},
        {"gradient_accumulation_steps": 2},
        {"loss_scale_factor": 8.0},
        {"amsgrad": True},
        {"dtype": "mixed_float16"},
    ],
    ids=lambda settings: next(iter(settings)),
)
def test_adam_takes_the_steps_of_keras(settings):
    """On TensorFlow by one kernel."""
    settings = {"learning_rate": 0.1, "weight_decay": 0.0, "epsilon": 1e-3, **settings}
    dtype, rows = settings.pop("dtype", "float32"), settings.pop("rows", False)
    dense, found = partial(keras.layers.Dense, dtype=dtype), []
    for adam in (keras.optimizers.AdamW, KerasAdam):
        keras.utils.set_random_seed(0)
        layers = [keras.Input((2,)), dense(4, "tanh"), *[Rows()] * rows, dense(2)]
        model = Shifted(network=keras.Sequential(layers), image_shape=(2,), dtype=dtype)
        optimizer = adam(**settings)
        model.compile(optimizer)
        model.fit(points(6 * 32), batch_size=32, epochs=2, verbose=0)
        variables = [*model.variables, *model.optimizer.variables]
        found.append([ops.convert_to_numpy(v) for v in variables if v.dtype == "float32"])
        assert len(found[-1]) > 10 and "update_step" not in vars(optimizer)
    atol = 2e-5 if dtype == "float32" else 1e-3  # gradients are rounded to float16
    for ours, keras_own in zip(*found, strict=True):
        np.testing.assert_allclose(ours, keras_own, rtol=1e-5, atol=atol)
