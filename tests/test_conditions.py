"""Conditions: on the host, in the step, for `generate`."""

import keras
import numpy as np
import pytest
from keras import ops

import kgen
from kgen.conditions import ClassLabels, Condition, Nothing, Target, Tokens

X = np.random.default_rng(0).integers(0, 256, (6, 4, 4, 1), "uint8")


@keras.saving.register_keras_serializable("tests")
class Angles(Condition):
    """One of a user's own: an angle for each image."""

    name = "angles"

    def signature(self):
        return (1,), "float32"


CASES = {  # condition, what `fit` takes, what the step sees
    "labels": (ClassLabels(3), np.array([0, 2, 1, 0, 1, 2]), np.array([0, 2, 1, 0, 1, 2])),
    "column": (ClassLabels(3), np.arange(6)[:, None] % 3, np.arange(6) % 3),
    "unlabeled": (ClassLabels(3, unlabeled=True), np.full(6, -1), np.full(6, -1)),
    "target": (Target((4, 4)), 255 - X, 1 - X / 127.5),
    "grey target": (Target((4, 4)), 255 - X[..., 0], 1 - X / 127.5),
    "tokens": (Tokens(9, 5), np.arange(30).reshape(6, 5) % 9, np.arange(30).reshape(6, 5) % 9),
    "own": (Angles(), np.linspace(0, 1, 6)[:, None], np.linspace(0, 1, 6)[:, None]),
}
of_each = pytest.mark.parametrize(("condition", "y", "expected"), CASES.values(), ids=CASES)


class Watcher(kgen.GenerativeModel):
    """Its loss is the mean of what it sees beside the images."""

    players = {"network": ["network"]}

    def objective(self, batch, training):
        images, values = batch
        shape, dtype = self.condition.signature()
        assert len(values.shape) == 1 + len(shape)
        assert keras.backend.standardize_dtype(values.dtype) == dtype
        return ops.mean(ops.cast(values, "float32")) + 0 * ops.sum(self.network(images))


def watcher(condition, **options):
    network = keras.Sequential([keras.Input((4, 4, 1)), keras.layers.Dense(1)])
    model = Watcher(network=network, condition=condition, **options)
    model.compile("sgd")
    return model


def dataset(condition, y):
    kind = kgen.data.ImagePairs if isinstance(condition, Target) else kgen.data.ImageDataset
    return kind(X, y, batch_size=3, shuffle=False)


@of_each
def test_what_fit_takes_reaches_the_step(condition, y, expected):
    model, mean = watcher(condition), pytest.approx(expected.mean(), abs=1e-4)
    for data in ((X, y), (dataset(condition, y),), (((X, y) for _ in range(1)),)):
        assert model.evaluate(*data, verbose=0)["loss"] == mean
    history = model.fit(X, y, batch_size=3, verbose=0, validation_data=(X, y)).history
    assert history["loss"] == [mean] and history["val_loss"] == [mean]


@of_each
def test_a_missing_or_wrong_condition_is_refused_before_the_first_step(condition, y, expected):
    model, name = watcher(condition), condition.name
    for call in (
        lambda: model.fit(X, verbose=0),
        lambda: model.evaluate(X, verbose=0),
        lambda: model.fit(((X,) for _ in range(1)), verbose=0),
        lambda: model.fit(X, y, validation_data=X, verbose=0),
        lambda: model.train_on_batch(X),
        lambda: model.test_on_batch(X),
    ):
        with pytest.raises(ValueError, match=f"This model learns from images and {name}"):
            call()
    wrong = {
        "labels": [[[0], [1, 2]] * 3, np.full(6, 3), np.full(6, -2), np.full(6, 0.5), X],
        "second images": [X[:, :2], np.arange(6), np.repeat(X, 3, axis=-1)],
        "tokens": [np.full((6, 5), 9), np.zeros((6, 4), int), np.zeros((6, 5)), np.arange(6)],
        "angles": [],
    }
    for other in wrong[name]:
        with pytest.raises((TypeError, ValueError), match=name):
            model.fit(X, other, verbose=0)
        with pytest.raises((TypeError, ValueError), match=name):
            model.fit(((X, other) for _ in range(1)), verbose=0)
    assert int(model.step) == 0


def test_second_images_have_the_models_range_or_any():
    y = 3 * X / 127.5
    for data in ((y, y), (((y, y) for _ in range(1)),)):
        with pytest.raises(ValueError, match=r"\[-1, 1\]"):
            watcher(Target((4, 4))).evaluate(*data, verbose=0)
    for data in ((y, y), (((y, y) for _ in range(1)),)):
        model = watcher(Target((4, 4)), check_range=False)
        assert model.evaluate(*data, verbose=0)["loss"] == pytest.approx(y.mean(), rel=1e-4)


def test_labels_are_passed_over_and_second_images_refused_where_images_are_enough():
    vae = kgen.VAE((4, 4), network="dense", latent_dim=2)
    vae.compile()
    for y in (np.arange(6), np.eye(6), ["a"] * 6, np.array(["a"] * 6), [[1], [2, 3]] * 3):
        vae.evaluate(X, y, verbose=0)
    for data in ((X, X), (kgen.data.ImagePairs(X, X),), (kgen.data.ImageDataset(X, X),)):
        with pytest.raises(TypeError, match=r"holds second images.*learns from images"):
            vae.evaluate(*data, verbose=0)


def test_pairs_belong_together_where_they_have_to():
    apart = kgen.data.ImagePairs(X, X[:4], aligned=False)
    with pytest.raises(ValueError, match="do not belong together"):
        watcher(Target((4, 4))).evaluate(apart, verbose=0)
    assert np.isfinite(watcher(Target((4, 4), aligned=False)).evaluate(apart, verbose=0)["loss"])
    with pytest.raises(TypeError, match=r"holds single images.*ImagePairs"):
        watcher(Target((4, 4))).evaluate(kgen.data.ImageDataset(X), verbose=0)
    with pytest.raises(ValueError, match=r"have shape \(4, 4, 1\); this model expects \(4, 4, 3\)"):
        watcher(Target((4, 4, 3))).evaluate(kgen.data.ImagePairs(X, X), verbose=0)


@of_each
def test_what_generate_draws(condition, y, expected):
    shape, dtype = condition.signature()
    (found,) = condition.of_images(6, y)
    assert found.shape == (6, *shape) and found.dtype == dtype
    np.testing.assert_allclose(found, expected, atol=1e-6)
    (one,) = condition.of_images(4, y[1:2])  # one for all
    np.testing.assert_allclose(one, np.repeat(expected[1:2], 4, axis=0), atol=1e-6)
    with pytest.raises(ValueError, match="got 6 for 4 images"):
        condition.of_images(4, y)
    with pytest.raises(ValueError, match=f"{condition.name} are needed"):
        condition.of_images(6, None)
    if isinstance(condition, ClassLabels):
        assert condition.draw(5)[0].tolist() == [0, 1, 2, 0, 1]
    assert Nothing().draw(6) == []
    with pytest.raises(ValueError, match="not conditional"):
        Nothing().draw(6, y)


@of_each
def test_a_condition_comes_back_from_a_file(condition, y, expected):
    config = keras.saving.serialize_keras_object(condition)
    other = keras.saving.deserialize_keras_object(config)
    assert type(other) is type(condition) and other.get_config() == condition.get_config()
    assert repr(other) == repr(condition)


def test_axes_that_tensorflow_does_not_know():
    """Of generators without shapes."""
    tf = pytest.importorskip("tensorflow")
    for condition, y, expected in CASES.values():
        data = tf.data.Dataset.from_generator(
            lambda y=y: iter([(X, y)]), output_types=("uint8", y.dtype.name)
        )
        found = watcher(condition).evaluate(data, verbose=0)["loss"]
        assert found == pytest.approx(expected.mean(), abs=1e-4)


def test_families_say_what_they_are_made_with():
    for wrong in (10, "labels", ClassLabels):
        with pytest.raises(TypeError, match=r"condition must be one of kgen.conditions.*got"):
            kgen.GAN((8, 8), condition=wrong)
    with pytest.raises(ValueError, match=r"VAE is made with the condition None; got Class"):
        kgen.VAE((8, 8), condition=ClassLabels(10))
    with pytest.raises(ValueError, match=r"ACGAN is made with the condition ClassLabels; got T"):
        kgen.ACGAN((8, 8), condition=Tokens(9, 5))
    with pytest.raises(ValueError, match=r"The default networks take class labels.*generator="):
        kgen.ConditionalGAN((8, 8), condition=Tokens(9, 5))
    for both in ({}, {"num_classes": 3, "condition": ClassLabels(3)}):
        with pytest.raises(ValueError, match="needs num_classes=, or a condition"):
            kgen.ConditionalGAN((8, 8), **both)


def test_num_classes_is_short_for_class_labels():
    keras.utils.set_random_seed(0)
    short = kgen.ConditionalGAN((8, 8), 3, 4, network="mlp")
    keras.utils.set_random_seed(0)
    long = kgen.GAN((8, 8), 4, network="mlp", condition=ClassLabels(3))
    np.testing.assert_array_equal(
        short.generate(4, labels=[0, 1, 2, 0], seed=0), long.generate(4, [0, 1, 2, 0], seed=0)
    )


def test_a_condition_can_be_left_out():
    where = ops.convert_to_tensor(np.array([True, False, True]))
    for condition, values, missing in (
        (ClassLabels(5), np.array([4, 0, 2], "int32"), -1),
        (Tokens(9, 2), np.array([[1, 2], [3, 4], [5, 6]], "int32"), 0),
        (Target((4, 4)), np.full((3, 4, 4, 1), 0.5, "float32"), 0),
    ):
        (found,) = condition.left_out([ops.convert_to_tensor(values)], where)
        expected = np.where(np.reshape([1, 0, 1], (3, *[1] * (values.ndim - 1))), missing, values)
        np.testing.assert_array_equal(ops.convert_to_numpy(found), expected)
        (nothing,) = condition.left_out([ops.convert_to_tensor(values)], True)
        assert (ops.convert_to_numpy(nothing) == missing).all()
