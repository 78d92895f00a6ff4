"""What an author's model does under `fit`, against what can be computed by hand."""

import gc
import math
import weakref

import keras
import numpy as np
import pytest
from keras import layers, ops
from one_weight import Counted, MeanOf, Means, counted, one_weight, weight
from toy import ToyGAN, points

import kgen


def test_k_steps_on_k_different_minibatches_move_one_player_only():
    """SGD on (w - mean)^2 with rate 1/4 halves the distance to each minibatch's mean in turn."""
    x = np.arange(12, dtype="float32")[:, None]
    model = Means(k=3)
    model.compile({p: keras.optimizers.SGD(0.25) for p in model.players})
    model.fit(x, batch_size=4, epochs=1, shuffle=False, verbose=0)
    first = 0.0
    for j in range(3):
        first += 0.5 * (x[j::3].mean() - first)
    assert weight(model.a) == pytest.approx(first)
    assert weight(model.b) == pytest.approx(0.5 * x[2::3].mean())
    assert int(model.optimizer["first"].iterations) == 3
    assert int(model.optimizer["second"].iterations) == 1
    assert int(model.step) == 1


def test_a_player_moves_its_own_networks_only():
    model = Means(k=1)
    still = {"first": keras.optimizers.SGD(0.25), "second": keras.optimizers.SGD(0.0)}
    model.compile(still)
    model.fit(np.ones((8, 1), "float32"), batch_size=4, verbose=0)
    assert weight(model.a) > 0 and weight(model.b) == 0


def test_adam_does_not_move_weights_of_another_player():
    """Adam moves weights even on zero gradients: each optimizer has its own variables."""
    model = ToyGAN(k=1)
    model.compile()
    for player in model.players:
        mine = {v.path for v in model.variables_of(player)}
        assert mine and len(model.optimizer[player]._trainable_variables) == len(mine)
    assert not {id(v) for v in model.variables_of("generator")} & {
        id(v) for v in model.variables_of("discriminator")
    }


def test_minibatches_partition_a_batch():
    model = Means(k=3)
    x = np.arange(24, dtype="float32").reshape(12, 2)
    parts = model.minibatches((ops.convert_to_tensor(x), ops.convert_to_tensor(x[:, 0])))
    images = [ops.convert_to_numpy(a) for a, _ in parts]
    assert [a.shape for a in images] == [(4, 2)] * 3
    np.testing.assert_array_equal(np.sort(np.concatenate(images), axis=0), x)
    for image, label in parts:
        np.testing.assert_array_equal(
            ops.convert_to_numpy(label), ops.convert_to_numpy(image)[:, 0]
        )


def test_compile_errors():
    model = ToyGAN()
    with pytest.raises(ValueError, match="dictionary from player"):
        model.compile("adam")
    shared = keras.optimizers.Adam()
    with pytest.raises(ValueError, match="share one optimizer"):
        model.compile({"generator": shared, "discriminator": shared})
    with pytest.raises(ValueError, match="compile"):
        ToyGAN().fit(points(64), verbose=0)
    with pytest.raises(ValueError, match="player 'nobody'"):
        model.minimize("nobody", lambda training: 0.0)


def test_an_author_is_told_what_is_missing():
    class Nothing(kgen.GenerativeModel):
        players = {"model": ["network"]}

    model = Nothing(network=one_weight())
    model.compile("sgd")
    with pytest.raises(NotImplementedError, match="objective"):
        model.fit(np.ones((4, 1), "float32"), batch_size=4, verbose=0)
    with pytest.raises(NotImplementedError, match="generate"):
        model.generate(1)
    with pytest.raises(ValueError, match="no network 'network'"):
        Nothing().compile("sgd")
    with pytest.raises(TypeError, match="unknown arguments"):
        Nothing(netwrok=one_weight())
    with pytest.raises(TypeError, match=r"network must be a keras.* got 3"):
        Nothing((1,), network=3).compile("sgd")
    with pytest.raises(ValueError, match="no weights yet"):
        Nothing((1,), network=keras.Sequential([layers.Dense(1)])).compile("sgd")

    class Misnamed(MeanOf):
        logs = ("loss", "other")

    model = Misnamed(network=one_weight())
    model.compile("sgd")
    with pytest.raises(ValueError, match="other"):
        model.fit(np.ones((4, 1), "float32"), batch_size=4, verbose=0)


def test_a_frozen_player_takes_no_step_and_reports_its_loss():
    x = np.arange(1, 13, dtype="float32")[:, None]

    def fitted(model, *frozen):
        for network in (model.a, model.b):
            network.trainable = network not in frozen
        model.compile({p: keras.optimizers.SGD(0.25) for p in model.players})
        return model.fit(x, batch_size=12, verbose=0).history

    model = Means(k=1, a=one_weight(1.0))
    history = fitted(model, model.a)
    assert weight(model.a) == 1.0 and int(model.optimizer["first"].iterations) == 0
    assert weight(model.b) == pytest.approx(0.5 * x.mean())
    assert history["first_loss"] == pytest.approx([(x.mean() - 1) ** 2])
    history = fitted(model, model.a, model.b)
    assert (weight(model.a), weight(model.b)) == (1.0, pytest.approx(0.5 * x.mean()))
    model.b.trainable = True
    with pytest.raises(ValueError, match=r"'second' has other trainable weights.*compile"):
        model.fit(x, batch_size=12, verbose=0)
    fitted(model)
    assert weight(model.a) == pytest.approx(1 + 0.5 * (x.mean() - 1))
    model.b.trainable = False  # after a fit
    with pytest.raises(ValueError, match="frozen, unfrozen or replaced"):
        model.fit(x, batch_size=12, verbose=0)


@pytest.mark.parametrize("policy", ["float32", "mixed_float16"])
def test_a_model_that_is_frozen_stays_as_it_is(policy, tmp_path):
    x = np.random.default_rng(0).integers(0, 256, (16, 8, 8), "uint8")
    model = kgen.VAE((8, 8), network="dense", dtype=policy)
    model.trainable = False
    model.compile(keras.optimizers.Adam(use_ema=True))
    before = [
        ops.convert_to_numpy(w) for n in model.network_names for w in getattr(model, n).weights
    ]
    history = model.fit(x, batch_size=8, epochs=2, verbose=0).history
    assert np.isfinite(history["loss"]).all()
    after = [w for n in model.network_names for w in getattr(model, n).weights]
    for old, new in zip(before, after, strict=True):
        np.testing.assert_array_equal(old, ops.convert_to_numpy(new))
    model.save(tmp_path / "frozen.keras")
    assert not keras.saving.load_model(tmp_path / "frozen.keras").trainable_weights


def test_setting_an_attribute_drops_what_was_compiled():
    model, x = counted(), np.ones((8, 1), "float32")

    def values():
        return (
            model.fit(x, batch_size=4, verbose=0).history["loss"][0],
            model.evaluate(x, batch_size=4, verbose=0)["loss"],
            float(model.predict(x, verbose=0)[0, 0]),
            float(model.infer(model.multiplied, x)[0, 0]),
        )

    assert values() == (3.0,) * 4
    model.factor = 10.0
    assert values() == (10.0,) * 4
    Counted.factor = 5.0
    try:
        del model.factor  # the class's holds now
        assert values() == (5.0,) * 4
    finally:
        del Counted.factor
    model.factor = 10.0
    model.network = one_weight(2.0)
    assert float(model.infer(model.multiplied, x)[0, 0]) == 20.0
    assert float(model.predict(x, verbose=0)[0, 0]) == 20.0


def test_an_attribute_that_a_callback_sets_holds_from_the_next_step_on():
    model, x = counted(), np.ones((8, 1), "float32")

    class Sets(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            self.model.factor = self.model.factor + 1.0

        def on_epoch_end(self, epoch, logs=None):
            assert float(self.model.infer(self.model.multiplied, x)[0, 0]) == self.model.factor

    history = model.fit(x, batch_size=4, epochs=2, verbose=0, callbacks=[Sets()]).history
    assert history["loss"] == pytest.approx([3.5, 5.5])
    assert int(model.step) == 4


def test_what_keras_sets_by_itself_compiles_nothing_anew():
    model, x = counted(), np.ones((8, 1), "float32")

    def everything():
        stop = keras.callbacks.EarlyStopping("loss", patience=1)
        model.fit(x, batch_size=4, epochs=3, verbose=0, validation_data=x, callbacks=[stop])
        model.evaluate(x, batch_size=4, verbose=0)
        model.predict(x, batch_size=4, verbose=0)
        model(x)
        model.infer(model.multiplied, x)

    everything()
    kept = model.train_function, model.test_function, model.predict_function
    traces, inferred = Counted.traces, Counted.inferred
    model.factor = 3.0  # the value that it has
    everything()
    assert kept == (model.train_function, model.test_function, model.predict_function)
    if keras.backend.backend() != "torch":  # whose steps are eager
        assert (Counted.traces, Counted.inferred) == (traces, inferred)


def test_variables_of_a_subclass_belong_to_the_model():
    class Counting(MeanOf):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.seen = self.add_weight(shape=(), initializer="zeros", trainable=False, name="seen")

        def objective(self, batch, training):
            self.seen.assign(self.seen + ops.cast(ops.shape(batch)[0], "float32"))
            return super().objective(batch, training)

    model = Counting(network=one_weight())
    assert any(v is model.seen for v in model.non_trainable_variables)
    model.compile("sgd")
    model.fit(np.ones((12, 1), "float32"), batch_size=4, verbose=0)
    assert float(ops.convert_to_numpy(model.seen)) == 12.0


OF_IMAGES = {
    "autoencoder": lambda: kgen.Autoencoder((8, 8), latent_dim=4, corruption="masking"),
    "vae": lambda: kgen.VAE((8, 8), latent_dim=4, network="dense", dtype="mixed_float16"),
    "gan": lambda: kgen.GAN((8, 8), latent_dim=4, filters=4, penalty=kgen.losses.R1(every=2)),
}


def used(model, x):
    """What holds the values of a model's and its optimizer's variables, weakly, after its use."""
    model.compile()
    model.fit(x, batch_size=16, validation_data=x[:16], verbose=0)
    model.predict(-np.ones((4, *model.input_signature()[0]), "float32"), verbose=0)
    for method in ("generate", "reconstruct", "scores"):
        if hasattr(model, method) and not isinstance(model, MeanOf):
            getattr(model, method)(2 if method == "generate" else x)
    # On TensorFlow a graph holds a variable's handle; single numbers may be shared.
    values = [v.value for v in (*model.variables, *model.optimizer.variables)]
    return [weakref.ref(getattr(v, "handle", v)) for v in values if math.prod(v.shape) > 1]


@pytest.mark.parametrize("kind", ["toy", "mean", *OF_IMAGES])
def test_nothing_holds_a_model_that_is_not_used_any_more(kind):
    """Nor its weights, by a graph: all that stays behind is what Keras and its backend keep."""
    if kind in OF_IMAGES:
        model, x = OF_IMAGES[kind](), np.random.default_rng(0).integers(0, 256, (32, 8, 8), "uint8")
    else:
        model = ToyGAN() if kind == "toy" else MeanOf(network=one_weight())
        x = points(64)[:, : model.image_shape[0]]
    held = used(model, x)
    gone = weakref.ref(model)
    del model
    gc.collect()
    assert gone() is None
    assert sum(value() is not None for value in held) == 0
