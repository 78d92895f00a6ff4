"""What `fit`, `evaluate` and `predict` take, and what of it is refused."""

import gc

import keras
import numpy as np
import pytest
from as_new import as_new
from keras import ops
from one_weight import MeanOf, Means, one_weight, weight

import kgen


@pytest.fixture(autouse=True)
def collected():
    """Iterators of tf.data that an error kept are let go now: later, each takes up to a minute."""
    yield
    gc.collect()


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
    options = tf.data.Options()
    options.autotune.enabled = False  # whose thread an iterator with an error waits for
    signature = (spec, *more)
    data = tf.data.Dataset.from_generator(lambda: iter(batches), output_signature=signature)
    return data.with_options(options)


KINDS = ["tf.data", "generator", "PyDataset"]


def autoencoder():
    model = kgen.Autoencoder((8, 8), network="shallow")
    model.compile()
    return model


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
    model = as_new("autoencoder of batches", autoencoder)
    first = np.linspace(-1, 1, 256, dtype="float32").reshape(4, 8, 8, 1)
    for call in (model.fit, model.evaluate):
        with pytest.raises((TypeError, ValueError), match=words):
            call(batched(kind, [(first,), (later,)]), verbose=0)
    bright = np.abs(first)  # of one batch, no negative value says nothing
    model.fit(batched(kind, [(first,), (bright,)]), verbose=0)


@pytest.mark.parametrize("dtype", ["uint8", "float64", "float16"])
def test_a_generator_may_say_that_it_has_no_labels(dtype):
    x = np.random.default_rng(0).choice([-1, 1] if dtype != "uint8" else [0, 255], (4, 8, 8))
    x = x.astype(dtype)
    model = as_new("autoencoder of batches", autoencoder)
    expected = model.evaluate(x, verbose=0)["loss"]
    for labels in ((), (None,), (np.arange(4),)):
        found = model.evaluate(((x, *labels) for _ in range(2)), verbose=0)
        assert found["loss"] == pytest.approx(expected, rel=1e-5)
    model.fit(((x, None) for _ in range(3)), verbose=0)
    assert int(model.step) == 3


def test_a_generators_own_error_stays_what_it_is():
    def batches():
        yield from [(np.zeros((4, 8, 8), "uint8"),)] * 3
        raise LookupError("no fourth batch")

    model = as_new("autoencoder of batches", autoencoder)
    with pytest.raises(LookupError, match="no fourth batch"):
        model.fit(batches(), verbose=0)
    assert int(model.step) == 3


def conditional():
    model = kgen.ConditionalGAN((8, 8), 4, 3, network="mlp")
    model.compile()
    return model


@pytest.mark.parametrize("kind", KINDS)
def test_labels_and_weights_of_batches_are_checked(kind):
    x, y = np.zeros((4, 8, 8), "uint8"), np.arange(4)
    model = as_new("conditional GAN of batches", conditional)
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


@pytest.mark.parametrize("labels", [np.array(list("ab") * 8), np.arange(16.0), [None] * 16])
def test_labels_that_a_model_does_not_take_are_ignored(labels):
    model = MeanOf(network=one_weight())
    model.compile("sgd")
    x = np.ones((16, 1), "float32")
    model.fit(x, labels, batch_size=8, verbose=0, validation_data=(x, labels))
    data = kgen.data.ImageDataset(x, np.asarray(labels, object), batch_size=8)
    model.fit(data, verbose=0)
    assert int(model.step) == 4


def test_gray_images_of_any_source_after_each_other():
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
