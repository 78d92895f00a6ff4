"""The engine's mechanisms, each by itself, against what can be computed by hand."""

import gc
import math
import weakref

import keras
import numpy as np
import pytest
from keras import layers, ops
from toy import ToyGAN, points

import kgen
from kgen.engine import inference, run, state
from kgen.engine.context import TRAINING, running


def one_weight(initial=0.0):
    """A network with one weight: `x -> w * x`."""
    network = keras.Sequential(
        [
            keras.Input((1,)),
            layers.Dense(
                1, use_bias=False, kernel_initializer=keras.initializers.Constant(initial)
            ),
        ]
    )
    return network


def weight(network):
    return float(ops.convert_to_numpy(network.weights[0])[0, 0])


@keras.saving.register_keras_serializable("kgen_tests")
class Means(kgen.GenerativeModel):
    """Two players of one weight each: one follows each minibatch's mean, one the last."""

    players = {"first": ["a"], "second": ["b"]}
    logs = ("first_loss", "second_loss")

    def __init__(self, k=3, **kwargs):
        kwargs = {"a": one_weight(), "b": one_weight()} | kwargs
        super().__init__((1,), **kwargs)
        self.minibatches_per_update = k

    def distance(self, network, x, training):
        w = ops.sum(network(ops.ones((1, 1)), training=training))
        return ops.square(w - ops.mean(x))

    def update(self, batch):
        for part in self.minibatches(batch):
            loss = self.minimize(
                "first", lambda x, training: self.distance(self.a, x, training), part
            )
        other = self.minimize(
            "second",
            lambda x, training: (self.distance(self.b, x, training), {"seen": ops.mean(x)}),
            part,
        )
        assert isinstance(other, tuple) and other[1].keys() == {"seen"}
        return {"first_loss": loss, "second_loss": other[0]}


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


@keras.saving.register_keras_serializable("kgen_tests")
class MeanOf(kgen.GenerativeModel):
    """Logs the mean of each batch; its one weight receives no gradient."""

    players = {"model": ["network"]}

    def objective(self, batch, training):
        return ops.mean(batch) + 0 * ops.sum(self.network(batch[:1], training=training))


def test_epoch_logs_are_means_over_images():
    x = np.random.default_rng(0).normal(size=(130, 1)).astype("float32")
    model = MeanOf(network=one_weight())
    model.compile("sgd")
    measured = model.evaluate(x, batch_size=64, verbose=0)  # 64, 64 and 2 images
    assert measured == {"loss": pytest.approx(x.mean(), abs=1e-6)}
    history = model.fit(x, batch_size=64, epochs=2, shuffle=False, verbose=0, validation_data=x)
    assert history.history["loss"] == pytest.approx([x[:128].mean()] * 2, abs=1e-6)
    assert history.history["val_loss"] == pytest.approx([x.mean()] * 2, abs=1e-6)


def test_an_incomplete_training_batch_is_left_out_and_said(capsys):
    model = MeanOf(network=one_weight())
    model.compile("sgd")
    model.fit(np.ones((130, 1), "float32"), batch_size=64, verbose=2)
    assert "2 of 130 images" in capsys.readouterr().out
    assert int(model.step) == 2


def test_few_arrays_are_one_batch_by_default():
    model = MeanOf(network=one_weight())
    model.compile("sgd")
    model.fit(np.ones((50, 1), "float32"), epochs=2, verbose=0)
    assert int(model.step) == 2
    with pytest.raises(ValueError, match="batch_size=64 is more than the 50 images"):
        model.fit(np.ones((50, 1), "float32"), batch_size=64, verbose=0)
    model = Means(k=3)
    model.compile({p: keras.optimizers.SGD(0.25) for p in model.players})
    model.fit(np.ones((13, 1), "float32"), verbose=0)  # three minibatches of four
    assert int(model.step) == 1 and int(model.optimizer["first"].iterations) == 3
    with pytest.raises(ValueError, match="3 minibatches of 1 = 3 images"):
        model.fit(np.ones((2, 1), "float32"), verbose=0)


@pytest.mark.parametrize("make", ["tf.data", "generator", "PyDataset"])
def test_batched_data_is_split_into_k_minibatches(make):
    x = np.arange(12, dtype="float32")[:, None]
    batches = [x[:6], x[6:]]
    if make == "tf.data":
        import tensorflow as tf

        data = tf.data.Dataset.from_tensor_slices(x).batch(6, drop_remainder=True)
    elif make == "generator":
        data = ((batch,) for batch in batches)
    else:
        data = kgen.data.ImageDataset(x, batch_size=6, shuffle=False)

        class Plain(keras.utils.PyDataset):
            def __len__(self):
                return 2

            def __getitem__(self, index):
                return (batches[index],)

        data = Plain()
    model = Means(k=3)
    model.compile({p: keras.optimizers.SGD(0.25) for p in model.players})
    model.fit(data, verbose=0)
    first = 0.0
    for batch in batches:
        for j in range(3):
            first += 0.5 * (batch[j::3].mean() - first)
    assert weight(model.a) == pytest.approx(first)
    with pytest.raises(ValueError, match="multiple of 3"):
        model.fit((b for b in [(x[:4],)]), verbose=0)
    with pytest.raises(ValueError, match="batches already"):
        model.fit((b for b in [(x[:6],)]), batch_size=2, verbose=0)


def batched(kind, batches):
    """The same batches as each kind of data that comes batched."""
    if kind == "generator":
        return (batch for batch in batches)
    if kind == "PyDataset":

        class Plain(keras.utils.PyDataset):
            def __len__(self):
                return len(batches)

            def __getitem__(self, index):
                return batches[index]

        return Plain()
    import tensorflow as tf

    shape = batches[0][0].shape[1:] if batches[0][0].shape[1:] == batches[-1][0].shape[1:] else None
    spec = tf.TensorSpec(None if shape is None else (None, *shape), batches[0][0].dtype)
    more = [tf.TensorSpec(None, part.dtype) for part in batches[0][1:]]
    return tf.data.Dataset.from_generator(lambda: iter(batches), output_signature=(spec, *more))


KINDS = ["tf.data", "generator", "PyDataset"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_later_batch_that_does_not_split_is_an_error(kind):
    model = Means(k=3)
    model.compile({p: keras.optimizers.SGD(0.25) for p in model.players})
    x = np.arange(10, dtype="float32")[:, None]
    words = "3 minibatches, .* multiple of 3 images; batch 2 holds 4.*drop_remainder"
    with pytest.raises(ValueError, match=words):
        model.fit(batched(kind, [(x[:6],), (x[6:],)]), verbose=0)
    before = int(model.step)  # Keras looks ahead in generators
    model.fit(batched(kind, [(x[:6],), (x[6:9],)]), verbose=0)
    assert int(model.step) == before + 2


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "later, words",
    [
        (np.full((4, 8, 8, 1), np.nan, "float32"), "Batch 2 holds 256 values that are NaN"),
        (np.full((4, 8, 8, 1), 99.0, "float32"), r"Batch 2 has floats in \[99, 99\]"),
        (np.zeros((0, 8, 8, 1), "float32"), "Batch 2 is empty"),
        (np.zeros((4, 8, 9, 1), "float32"), "Batch 2 has shape .* The size differs"),
        (np.zeros((4, 8, 8, 3), "float32"), "Batch 2 has shape .* The channels differ"),
        (np.zeros((4, 8, 8), "float32"), "Batch 2 is float32 of shape .* must be alike"),
        (np.zeros((4, 8, 8, 1), "uint8"), "Batch 2 is uint8 of shape .* must be alike"),
        (np.zeros((4, 8, 8, 1), "int64"), "Batch 2 must be uint8"),
    ],
    ids=["NaN", "range", "empty", "size", "channels", "rank", "dtype", "integers"],
)
def test_a_later_batch_that_is_wrong_is_an_error(kind, later, words):
    if kind == "tf.data" and later.dtype != np.float32:
        return  # has one dtype
    model = kgen.Autoencoder((8, 8), network="shallow")
    model.compile()
    first = np.linspace(-1, 1, 256, dtype="float32").reshape(4, 8, 8, 1)
    for call in (model.fit, model.evaluate):
        with pytest.raises((TypeError, ValueError), match=words):
            call(batched(kind, [(first,), (later,)]), verbose=0)
    bright = np.abs(first)  # of one batch, no negative value says nothing
    model.fit(batched(kind, [(first,), (bright,)]), verbose=0)


@pytest.mark.parametrize("kind", KINDS)
def test_labels_and_weights_of_batches_are_checked(kind):
    x, y = np.zeros((4, 8, 8), "uint8"), np.arange(4)
    model = kgen.ConditionalGAN((8, 8), 4, 3, network="mlp")
    model.compile()
    for call in (model.fit, model.evaluate):
        with pytest.raises(ValueError, match="labels must be integers from 0 to 3"):
            call(batched(kind, [(x, y), (x, y + 1)]), verbose=0)
        with pytest.raises(ValueError, match="holds sample weights"):
            call(batched(kind, [(x, y, np.ones(4))]), verbose=0)
    with pytest.raises(ValueError, match="holds sample weights"):
        model.fit(x, y, validation_data=(x, y, np.ones(4)), verbose=0)
    with pytest.raises(ValueError, match="got sample_weight"):
        model.evaluate(x, y, sample_weight=np.ones(4))


@pytest.mark.parametrize("kind", [*KINDS, "iterator", "ImageDataset"])
def test_predict_takes_the_data_of_fit(kind):
    model = kgen.Autoencoder((8, 8), network="shallow")
    x = np.random.default_rng(0).integers(0, 256, (8, 8, 8, 1), "uint8")
    expected, few = model.predict(x, verbose=0), model.predict(x[:3, :, :, 0], verbose=0)
    np.testing.assert_allclose(few, expected[:3], atol=1e-6)
    if kind == "ImageDataset":
        dataset = kgen.data.ImageDataset(x, np.arange(8), shuffle=True, batch_size=3)
        np.testing.assert_allclose(model.predict(dataset, verbose=0), expected, atol=1e-6)
        with pytest.raises(ValueError, match=r"^x has shape .* The size differs"):
            model.predict(kgen.data.ImageDataset(x[:, 1:]))
        with pytest.raises(TypeError, match="pairs"):
            model.predict(kgen.data.ImagePairs(x, x))
        return
    if kind == "iterator":
        np.testing.assert_allclose(model.predict(iter([x]), verbose=0), expected, atol=1e-6)
        with pytest.raises(ValueError, match="exhausted"):
            model.predict(iter([]))
        return
    y = np.arange(4)  # passed over
    found = model.predict(batched(kind, [(x[:4], y), (x[4:], y)]), verbose=0)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    with pytest.raises(ValueError, match=r"Batch 2 has shape .* The size differs"):
        model.predict(batched(kind, [(x[:4],), (x[4:, 1:],)]), verbose=0)
    floats = x / np.float32(255)
    with pytest.warns(UserWarning, match="The first batch has floats .* divided by 255"):
        model.predict(batched(kind, [(floats,)]), verbose=0)
    with pytest.raises(ValueError, match="Batch 2 has floats"):
        model.predict(batched(kind, [(2 * floats - 1,), (floats * 255,)]), verbose=0)


def test_predict_says_what_call_takes():
    x = np.zeros((6, 8, 8), "uint8")
    for make, more in ((kgen.GAN, ""), (kgen.BiGAN, "encode, reconstruct, ")):
        gan = make((8, 8), 4, network="mlp")
        words = r"GAN.call takes .*: float32 \(N, 4\); got uint8 \(6, 8, 8\). Images are for "
        with pytest.raises(ValueError, match=f"{words}discriminate, {more}scores"):
            gan.predict(x)
        gan.predict(np.zeros((6, 4), "int64"), verbose=0)
    gan, z = kgen.ConditionalGAN((8, 8), 3, 4, network="mlp"), np.zeros((6, 4))
    with pytest.raises(TypeError, match=r"float32 \(N, 4\) and int32 \(N,\); got float64 \(6, 4\)"):
        gan.predict(z)
    for labels in (np.full(6, 3), np.full(6, -1)):
        with pytest.raises(ValueError, match="labels must be integers from 0 to 2"):
            gan.predict([z, labels])
    with pytest.raises(ValueError, match="as many rows"):
        gan.predict([z, np.arange(3)])
    with pytest.raises(ValueError, match=r"^x\[1\] must be .* got float64 \(6,\)"):
        gan.predict([z, np.zeros(6)])
    assert gan.predict((z, np.arange(6) % 3), verbose=0).shape == (6, 8, 8, 1)


def test_a_dataset_of_batches_is_told_of_epochs_and_read_as_it_comes():
    class Told(keras.utils.PyDataset):
        ends = 0

        def __len__(self):
            return 2

        def __getitem__(self, index):
            return np.full((4, 1), 1 + index, "float32")

        def on_epoch_end(self):
            self.ends += 1

    model, data = MeanOf(network=one_weight()), Told()
    model.compile("sgd")
    history = model.fit(data, epochs=3, verbose=0, validation_data=data).history
    assert data.ends >= 3 and int(model.step) == 6
    assert history["loss"] == history["val_loss"] == [1.5] * 3


def test_pairs_of_images_are_refused():
    x = np.zeros((12, 8, 8), "uint8")
    pairs = kgen.data.ImagePairs(x, x)
    for model in (
        kgen.GAN((8, 8), 4, network="mlp"),
        kgen.ConditionalGAN((8, 8), 4, 3, network="mlp"),
    ):
        model.compile()
        for call in (model.fit, model.evaluate):
            with pytest.raises(TypeError, match=r"pairs; this model .* pairs.domain\(0\)"):
                call(pairs)
        with pytest.raises(TypeError, match="pairs"):
            model.fit(x, np.zeros(12, "int32"), validation_data=pairs)
    model = kgen.VAE((8, 8), network="dense")
    model.compile()
    for data in ((x, x), (x, x[..., None])):
        with pytest.raises(TypeError, match="leave y out"):
            model.fit(*data)
    for kind in KINDS:
        with pytest.raises(TypeError, match="The first batch holds second images"):
            model.fit(batched(kind, [(x, x)]))
    for fit in (kgen.Gaussian((8, 8)).fit, kgen.Gaussian((8, 8)).evaluate):
        with pytest.raises(TypeError, match="pairs"):
            fit(pairs)
    model.fit(pairs.domain(0), batch_size=12, verbose=0)


@pytest.mark.parametrize("eagerly", [False, True])
def test_second_images_of_ones_own_model_are_in_its_range(eagerly):
    x = np.random.default_rng(0).integers(0, 256, (4, 2, 2, 1), "uint8")

    class Distance(kgen.GenerativeModel):
        players = {"network": ["network"]}

        def objective(self, batch, training):
            first, second = batch
            assert second.shape[1:] == first.shape[1:]
            apart = ops.mean(ops.square(ops.cast(second, "float32") - first))
            return apart + 0 * ops.sum(self.network(first))

    network = keras.Sequential([keras.Input((2, 2, 1)), keras.layers.Dense(1)])
    model = Distance(network=network, condition=kgen.conditions.Target((2, 2)))
    model.compile("sgd", run_eagerly=eagerly)
    expected = np.square((255.0 - 2 * x.astype("float64")) / 127.5).mean()
    floats = kgen.data.to_model_range(255 - x)
    for second in (255 - x, floats, 255 - x[..., 0], floats[..., 0].astype("float16")):
        rel = 1e-3 if second.dtype == "float16" else 1e-5
        for data in ((x, second), (kgen.data.ImagePairs(x, second, batch_size=4),)):
            found = model.evaluate(*data, verbose=0)["loss"]
            assert found == pytest.approx(expected, rel=rel)
            found = model.fit(*data, batch_size=4, verbose=0).history["loss"]
            assert found == pytest.approx([expected], rel=rel)
        for kind in KINDS:
            found = model.evaluate(batched(kind, [(x, second)]), verbose=0)["loss"]
            assert found == pytest.approx(expected, rel=rel)


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


def test_input_gradient_is_exact_and_differentiable():
    x = ops.convert_to_tensor(np.array([[1.0, 2.0], [3.0, -1.0]], "float32"))
    gradient = kgen.engine.input_gradient(lambda x: ops.sum(x**3, axis=-1), x)
    np.testing.assert_allclose(
        ops.convert_to_numpy(gradient), 3 * ops.convert_to_numpy(x) ** 2, rtol=1e-6
    )

    @keras.saving.register_keras_serializable("kgen_tests")
    class Penalised(kgen.GenerativeModel):
        players = {"critic": ["network"]}

        def objective(self, batch, training):
            slope = self.input_gradient(lambda x: self.network(x, training=training), batch)
            return ops.mean((slope - 2.0) ** 2)  # = (w - 2)^2

    model = Penalised(network=one_weight(5.0))
    model.compile(keras.optimizers.SGD(0.25))
    model.fit(np.ones((4, 1), "float32"), batch_size=4, verbose=0)
    assert weight(model.network) == pytest.approx(3.5)
    assert model.evaluate(np.ones((4, 1), "float32"), verbose=0)["loss"] == pytest.approx(2.25)


def test_random_streams_are_apart():
    model = ToyGAN()
    evaluation = model.random
    with running(phase=TRAINING):
        training = model.random
    assert training is not evaluation
    draws = {}
    for seed in range(5):
        model = ToyGAN(seed=seed)
        for name in ("_training_random", "_evaluation_random"):
            generator = getattr(model, name)
            for step in range(5):
                draw = keras.random.normal((4,), seed=generator)
                draws[seed, name, step] = tuple(ops.convert_to_numpy(draw).tolist())
    assert len(set(draws.values())) == len(draws)


def test_latents_are_the_same_everywhere():
    """The first latents of seed 7, drawn by NumPy's PCG64: the same on every backend."""
    model = ToyGAN()
    expected = np.random.default_rng(7).standard_normal((3, 8), dtype="float32")
    np.testing.assert_array_equal(model.latents(3, 8, seed=7), expected)
    with pytest.raises(ValueError, match="seed"):
        model.latents(3, 8, seed=-1)


def test_learning_rate_callbacks_reach_every_member():
    model = ToyGAN()
    model.compile()
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
    model = ToyGAN(k=2)
    model.compile()
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


def generator():
    return keras.Sequential(
        [keras.Input((4,)), layers.Dense(64, "tanh"), layers.Reshape((8, 8, 1))]
    )


def discriminator():
    return keras.Sequential([keras.Input((8, 8, 1)), layers.Flatten(), layers.Dense(1)])


class Still(kgen.GenerativeModel):
    """Players who do not move."""

    def update(self, batch):
        return {"loss": ops.mean(batch)}


def of_players(base=Still, **players):
    return type("Author", (base,), {"players": players})


@pytest.mark.parametrize("image_shape", [None, (8, 8)])
def test_a_generator_may_be_the_first_player(image_shape, tmp_path):
    author = of_players(generator=["generator"], discriminator=["discriminator"])
    model = author(image_shape, generator=generator(), discriminator=discriminator())
    assert model.image_shape == (8, 8, 1) and model.input_signature() == ((4,), "float32")
    model.compile()
    model.fit(np.zeros((8, 8, 8), "uint8"), batch_size=4, verbose=0)
    z = np.ones((3, 4), "float32")
    expected = ops.convert_to_numpy(model.generator(z))
    np.testing.assert_allclose(model.predict(z, verbose=0), expected, rtol=1e-5)


def test_a_network_may_have_two_inputs_or_take_images_of_any_size():
    a, b = keras.Input((8, 8, 1)), keras.Input((3,))
    network = keras.Model([a, b], layers.Dense(2)(layers.Concatenate()([layers.Flatten()(a), b])))
    after = keras.Sequential([keras.Input((2,)), layers.Dense(5)])
    model = of_players(net=["first", "after"])(first=network, after=after)
    assert model.input_signature() == [((8, 8, 1), "float32"), ((3,), "float32")]
    model.compile()
    model.fit(np.zeros((8, 8, 8), "uint8"), batch_size=4, verbose=0)
    images, b = np.full((6, 8, 8, 1), 255, "uint8"), np.zeros((6, 3), "float32")
    found = model.predict([images, b], verbose=0)
    assert found.shape == (6, 5)
    np.testing.assert_allclose(found, model.predict([images // 255 * 1.0, b], verbose=0), atol=1e-6)
    np.testing.assert_allclose(
        found, model.predict([([images, b],)].__iter__(), verbose=0), atol=1e-6
    )

    convolution = keras.Sequential([keras.Input((None, None, 1)), layers.Conv2D(1, 3)])
    with pytest.raises(ValueError, match="needs image_shape="):
        of_players(net=["network"])(network=convolution)
    model = of_players(net=["network"])((8, 8), network=convolution)
    model.compile()
    assert model.predict(np.zeros((2, 8, 8), "uint8"), verbose=0).shape == (2, 6, 6, 1)


def test_networks_that_form_no_chain_need_the_authors_two_methods():
    author = of_players(judges=["one", "two"], generator=["generator"])
    networks = {"one": discriminator(), "two": discriminator(), "generator": generator()}
    with pytest.raises(ValueError, match=r"Write what predict .*\n    def call.*\n    def input_s"):
        author((8, 8), **networks).compile()

    class Written(author):
        def call(self, inputs, training=False):
            return self.generator(inputs, training=training)

        def input_signature(self):
            return (4,), "float32"

    model = Written((8, 8), **networks)
    model.compile()
    model.fit(np.zeros((8, 8, 8), "uint8"), batch_size=4, verbose=0)
    assert model.predict(np.zeros((2, 4), "float32"), verbose=0).shape == (2, 8, 8, 1)


@pytest.mark.parametrize(
    "returned, error, words",
    [
        (lambda loss: ops.ones((4,)) * loss, ValueError, r"keras.ops.mean\(loss\)"),
        (lambda loss: {"loss": loss}, TypeError, "scalar tensor; got dict"),
        (lambda loss: None, TypeError, "scalar tensor; got NoneType"),
        (lambda loss: (loss, loss), TypeError, "scalar and a dictionary"),
    ],
    ids=["vector", "dictionary", "nothing", "pair"],
)
def test_what_an_objective_returns(returned, error, words):
    class Author(MeanOf):
        def objective(self, batch, training):
            return returned(super().objective(batch, training))

    model = Author(network=one_weight())
    model.compile("sgd")
    with pytest.raises(error, match=words):
        model.fit(np.ones((4, 1), "float32"), batch_size=4, verbose=0)


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


def test_infer_runs_methods_only():
    model = MeanOf(network=one_weight())
    for fn in (lambda x: 2 * x, model.network, MeanOf(network=one_weight()).objective):
        with pytest.raises(TypeError, match="infer runs methods of this MeanOf"):
            model.infer(fn, np.ones((2, 1), "float32"))


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


class Counted(MeanOf):
    """Reads attributes in its objective and in methods, and counts how often it is traced."""

    traces = inferred = 0

    def objective(self, batch, training):
        type(self).traces += 1
        return self.factor * super().objective(batch, training)

    def call(self, inputs, training=False):
        return self.factor * self.network(inputs, training=training)

    def multiplied(self, x):
        type(self).inferred += 1
        return self.factor * self.network(x, training=False)

    def repeated(self, x, weight, steps=1, name=""):
        type(self).inferred += 1
        for _ in range(steps):
            x = 2 * x
        return {"out": ops.multiply(weight, x), "index": ops.cast(x, "int32")}


def counted(initial=1.0):
    Counted.traces = Counted.inferred = 0
    model = Counted(network=one_weight(initial))
    model.factor = 3.0
    model.compile("sgd")
    return model


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


def test_infer_keeps_what_it_compiled_by_static_values():
    model, x = counted(), np.arange(1, 6, dtype="float32")[:, None]

    def run(weight=1.0, **static):
        out = model.infer(model.repeated, x, weight, static=static, batch_size=2)
        assert out["index"].dtype == np.int32
        return (out["out"] / x).ravel()

    eager = keras.backend.backend() == "torch"
    for steps, times in ((3, 8), (10, 1024), (3, 8), (np.int64(3), 8), (1.0, None)):
        if times is None:
            with pytest.raises(TypeError):
                run(steps=steps)  # range takes no float: 1.0 is not 1
        else:
            np.testing.assert_array_equal(run(steps=steps), times)
    if not eager:
        assert Counted.inferred == 4
    for weight in (0.5, 2, np.float64(4.0)):  # two dtypes
        np.testing.assert_array_equal(run(weight, steps=3), weight * 8)
    if not eager:
        assert Counted.inferred == 5
    for i in range(40):
        run(name=str(i))
    assert len(model._inference) == 32
    with pytest.raises(TypeError, match="hashable"):
        run(steps=[3])
    with pytest.raises(TypeError, match="dictionary from argument to value"):
        model.infer(model.repeated, x, 1.0, static=("steps", 3))
    for name in (frozenset({1}), frozenset({1.0}), frozenset({True})):  # equal, with equal hashes
        run(name=name)
        assert next(reversed(model._inference))[1] == ("name", inference.exactly(name))
    assert len({inference.exactly(frozenset({n})) for n in (1, 1.0, True)}) == 3
    with pytest.raises(ValueError, match="as many rows"):
        model.infer(model.repeated, x, x[:2])
    with pytest.raises(ValueError, match="as many rows"):
        model.infer(model.repeated, 1.0, 2.0)
    with pytest.raises(ValueError, match="nothing to compute"):
        model.infer(model.repeated, x[:0], 1.0)
    with pytest.raises(ValueError, match="in 32 bits; got integers from 1 to 1099511627776"):
        model.infer(model.repeated, np.array([1, 2**40]), 1.0)


def test_infer_says_that_a_method_returns_no_rows():
    class Author(MeanOf):
        def mean(self, x):
            return ops.mean(x)

    model = Author(network=one_weight())
    with pytest.raises(ValueError, match=r"mean must return a row for each .* got shape \(\)"):
        model.infer(model.mean, np.ones((4, 1)))


def test_weights_are_float32():
    for policy in ("float16", "bfloat16"):
        with pytest.raises(ValueError, match="mixed_float16"):
            ToyGAN(dtype=policy).compile()


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


def test_names_of_the_engine_are_refused():
    def mean_of(name, **attributes):
        return type("Author", (MeanOf,), {"players": {"p": [name]}, **attributes})

    names = ["step", "optimizer", "random", "metrics", "layers", "name", "seed", "players", "logs"]
    names += ["update", "objective", "_means", "history", "loss", "image_shape", "weights"]
    for name in names:
        with pytest.raises(AttributeError, match=rf"{name}.* cannot have a network .*my_"):
            mean_of(name)(**{name: one_weight()})
    for name in ("a/b", "two words", 3, ""):
        with pytest.raises(ValueError, match=f"cannot be named {name!r}"):
            mean_of(name)()
    for attributes in ({"step": 3}, {"step": lambda self: 3}, {"seed": 3}, {"update": 3}):
        with pytest.raises(TypeError, match=rf"defines {[*attributes]!r}".replace("[", r"\[")):
            mean_of("network", **attributes)
    for attribute, words in {
        "logs": r"Write \('network',\)",
        "conditioned": r"Write \('network',\)",
        "conditions": "conditions is a tuple of classes",
        "players": "players maps optimizers to lists",
    }.items():
        with pytest.raises(TypeError, match=words):
            type("Author", (MeanOf,), {attribute: "network"})(network=one_weight())

    class Early(MeanOf):
        def __init__(self, **kwargs):
            self.step = 3
            super().__init__(**kwargs)

    with pytest.raises(AttributeError, match="cannot have 3 under this name"):
        Early(network=one_weight())
    gan = kgen.GAN((8, 8), 4, network="mlp")
    for name, value in {"noise": 0.1, "scores": [1], "generate": layers.Dense(1)}.items():
        with pytest.raises(AttributeError, match=f"(GAN|Model).{name} has its own meaning"):
            setattr(gan, name, value)
    model = MeanOf(network=one_weight())
    model.run_id, model.noise, model.my_step = "a", layers.GaussianNoise(0.1), 3
    model.objective = lambda batch, training: ops.mean(model.network(batch, training=training))
    model.compile("sgd")
    model.fit(np.ones((4, 1), "float32"), batch_size=4, verbose=0)
    model.optimizer = keras.optimizers.SGD(0.1)
    with pytest.raises(ValueError, match=r"replaced after compile.*model.compile\(optimizer\)"):
        model.fit(np.ones((4, 1), "float32"), batch_size=4, verbose=0)


def test_players_map_to_lists():
    class Typo(MeanOf):
        players = {"model": "network"}

    with pytest.raises(TypeError, match="lists of networks"):
        Typo(network=one_weight())


@pytest.mark.parametrize("labels", [np.array(list("ab") * 8), np.arange(16.0), [None] * 16])
def test_labels_that_a_model_does_not_take_are_ignored(labels):
    model = MeanOf(network=one_weight())
    model.compile("sgd")
    x = np.ones((16, 1), "float32")
    model.fit(x, labels, batch_size=8, verbose=0, validation_data=(x, labels))
    data = kgen.data.ImageDataset(x, np.asarray(labels, object), batch_size=8)
    model.fit(data, verbose=0)
    assert int(model.step) == 4


def test_grey_images_of_any_source_after_each_other():
    """After `(N, H, W, 1)` and `(N, H, W)`, TensorFlow's signature of a step has no rank."""
    vae = kgen.VAE((8, 8), network="dense")
    vae.compile()
    x = np.random.default_rng(0).integers(0, 256, (24, 8, 8), "uint8")
    expected = vae.evaluate(x, batch_size=8, verbose=0)
    for batches in (((x[i : i + 8],) for i in (0, 8, 16)), (x[i : i + 8] for i in (0, 8, 16))):
        assert vae.evaluate(batches, verbose=0) == pytest.approx(expected, rel=1e-5)
    vae.fit(x, batch_size=8, verbose=0)
    vae.fit(((x[i : i + 6],) for i in (0, 8, 16)), verbose=0)
    assert int(vae.step) == 6


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


def test_members_of_a_group_do_not_apply_by_themselves():
    model = ToyGAN()
    model.compile()
    with pytest.raises(RuntimeError, match="minimize"):
        model.optimizer.apply([], [])


def test_weights_and_sample_weights_are_refused():
    model = MeanOf(network=one_weight())
    model.compile("sgd")
    x = np.ones((4, 1), "float32")
    for options in ({"class_weight": {0: 1.0}}, {"sample_weight": np.ones(4)}):
        with pytest.raises(ValueError, match="equally"):
            model.fit(x, **options)
    for bad in ("images", {"x": x}, [x]):
        with pytest.raises(TypeError, match="x must be"):
            model.fit(bad, verbose=0)
    with pytest.raises(ValueError, match="exhausted"):
        model.fit(iter(()), verbose=0)


def test_validation_split_takes_the_last_images():
    x = np.arange(20, dtype="float32")[:, None] / 20
    model = MeanOf(network=one_weight())
    model.compile("sgd")
    history = model.fit(x, batch_size=4, validation_split=0.25, verbose=0, shuffle=False).history
    assert history["loss"][0] == pytest.approx(x[:12].mean(), abs=1e-6)  # 15 images: 3 batches
    assert history["val_loss"][0] == pytest.approx(x[15:].mean(), abs=1e-6)
    for fraction in (1.0, -0.5):
        with pytest.raises(ValueError, match="validation_split"):
            model.fit(x, validation_split=fraction, verbose=0)


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
        model = ToyGAN()
        model.compile(steps_per_execution=steps, jit_compile=True)
        model.fit(points(320), batch_size=32, epochs=2, verbose=0)
        captured.append(state.capture(model))
    for name in captured[0]:
        np.testing.assert_allclose(captured[0][name], captured[1][name], rtol=1e-5, atol=1e-6)


def test_the_state_of_another_model_is_refused():
    model, other = ToyGAN(), ToyGAN(batch_norm=False)
    model.compile(), other.compile()
    with pytest.raises(ValueError, match="another model"):
        state.restore(model, state.capture(other))


def test_descriptions_ignore_automatic_names():
    a = ToyGAN()
    keras.layers.Dense(3)  # moves Keras's counters of names
    b = ToyGAN()
    a.compile(), b.compile()
    assert state.differences(state.describe(a), state.describe(b)) == []
    b.compile({"generator": keras.optimizers.Adam(5e-4)})
    (line,) = [
        d for d in state.differences(state.describe(a), state.describe(b)) if "learning_rate" in d
    ]
    assert "generator" in line and "0.001" in line and "0.0005" in line


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
