"""Arguments that are not what they should be: the error names them, before anything runs."""

import inspect

import keras
import numpy as np
import pytest

import kgen
from kgen.conditions import integer_labels

X = np.random.default_rng(0).integers(0, 256, (16, 8, 8), "uint8")
WRONG = ["a", b"x", -1, 1.5, {"a": 1}, [3], object(), np.nan, np.ones(3)]


def names_it(call, name, value):
    with pytest.raises((TypeError, ValueError)) as caught:
        call(**{name: value})
    assert name in str(caught.value), f"{name}={value!r}: {caught.value}"


COUNTS = ["batch_size", "epochs", "initial_epoch", "steps_per_epoch", "validation_steps"]
COUNTS += ["validation_batch_size", "verbose", "shuffle", "validation_split", "validation_data"]


@pytest.fixture(scope="module")
def model():
    model = kgen.Autoencoder((8, 8), network="shallow")
    model.compile()
    return model


@pytest.mark.parametrize("name", [*COUNTS, "callbacks", "validation_freq"])
def test_fit(model, name):
    def fit(**options):
        options = {"batch_size": 8, "verbose": 0, **options}
        if name.startswith("validation_") and name not in ("validation_data", "validation_split"):
            options["validation_data"] = X
        model.fit(X, **options)

    before = int(model.step)
    for value in WRONG:
        if name == "validation_freq" and isinstance(value, list):
            continue
        names_it(fit, name, value)
    assert int(model.step) == before


def test_fit_says_that_a_class_is_no_callback(model):
    with pytest.raises(TypeError, match=r"EarlyStopping\(\.\.\.\)"):
        model.fit(X, callbacks=[keras.callbacks.EarlyStopping])


def test_evaluate_and_predict(model):
    for method in (model.evaluate, model.predict):
        for name in ("batch_size", "steps", "callbacks", "verbose"):
            for value in WRONG:
                names_it(lambda method=method, **options: method(X, **options), name, value)
        for value in ("a", None, {}, [], 3):
            names_it(method, "x", value)


def test_compile():
    model = kgen.Autoencoder((8, 8), network="shallow")
    for name in ("optimizer", "run_eagerly", "steps_per_execution", "jit_compile"):
        for value in WRONG:
            if name != "optimizer" or not isinstance(value, dict):
                names_it(model.compile, name, value)
    gan = kgen.GAN((8, 8), 4, network="mlp")
    for value in (*WRONG, {}, None):
        with pytest.raises((TypeError, ValueError), match="optimizer"):
            gan.compile({"generator": value})
    assert not model.compiled and not gan.compiled


CONSTRUCTORS = {
    kgen.Autoencoder: {"network": "shallow"},
    kgen.VAE: {"network": "shallow"},
    kgen.GAN: {"network": "mlp", "latent_dim": 4},
    kgen.InfoGAN: {"network": "mlp"},
    kgen.BiGAN: {"network": "mlp", "latent_dim": 4},
    kgen.ACGAN: {"network": "mlp", "num_classes": 3},
    kgen.GaussianMixture: {},
}
TAKEN = {"kl_weight", "classification_weight", "information_weight"}  # by these, 1.5


@pytest.mark.parametrize("cls", CONSTRUCTORS, ids=lambda cls: cls.__name__)
def test_constructors(cls):
    names = {"seed", "check_range"}
    for base in cls.__mro__:
        if base.__module__.startswith("kgen.models") and "__init__" in vars(base):
            names |= {*inspect.signature(base.__init__).parameters} - {"self", "kwargs", "networks"}
    for name in sorted(names):
        for value in WRONG:
            if name in TAKEN and isinstance(value, float) and value == 1.5:
                continue
            if name == "image_shape" and isinstance(value, list):
                continue  # points
            arguments = {"image_shape": (8, 8), **CONSTRUCTORS[cls]}

            def make(arguments=arguments, **options):
                cls(**{**arguments, **options})

            names_it(make, name, value)


def test_methods():
    vae = kgen.VAE((8, 8), network="shallow")
    for method, name in (
        (lambda **o: vae.generate(**{"n": 2, **o}), "n"),
        (lambda **o: vae.generate(2, **o), "seed"),
        (lambda **o: vae.generate(2, **o), "batch_size"),
        (lambda **o: vae.encode(X, **o), "batch_size"),
        (lambda **o: vae.elbo(X, **o), "samples"),
        (lambda **o: vae.log_likelihood(X, **o), "batch_size"),
        (lambda **o: vae.interpolate(X, X, **o), "steps"),
        (lambda **o: vae.encode(**o), "images"),
        (lambda **o: vae.decode(**o), "latents"),
    ):
        for value in WRONG:
            if name != "latents" or not isinstance(value, np.ndarray):
                names_it(method, name, value)
    assert vae.interpolate(X[:2], X[:2], steps=3.0).shape == (2, 3, 8, 8, 1)


@pytest.mark.parametrize(
    "labels",
    [
        np.eye(3, dtype="float32")[[0, 2, 1, 0]],
        np.eye(3, dtype="int64")[[0, 2, 1, 0]],
        np.array(["ant", "cow", "bee", "ant"]),
        np.array(["ant", "cow", "bee", "ant"], object),
        np.array([1, 3, 2, 1]),
        np.array([1, 3, 2, 1], "uint8"),
        np.array([0.0, 2.0, 1.0, 0.0]),
        np.array([0, 2, 1, 0], object),
    ],
    ids=["one-hot", "integer one-hot", "strings", "objects", "from 1", "uint8", "floats", "ints"],
)
def test_labels_come_with_the_line_that_mends_them(labels):
    with pytest.raises(ValueError, match="labels must be integers from 0 to 2") as caught:
        integer_labels(labels, 3)
    namespace = {"numpy": np, "labels": labels}
    exec(str(caught.value).splitlines()[-1].strip(), namespace)
    assert integer_labels(namespace["labels"], 3).tolist() == [0, 2, 1, 0]
    model = kgen.ConditionalGAN((8, 8), 3, 4, network="mlp")
    model.compile()
    with pytest.raises(ValueError, match="This makes them so"):
        model.fit(X[:4], labels, verbose=0)


def test_labels_from_1_of_which_some_are_unknown():
    labels = np.array([1, -1, 3, 2])
    with pytest.raises(ValueError, match="labels must be") as caught:
        integer_labels(labels, 3, -1)
    namespace = {"numpy": np, "labels": labels}
    exec(str(caught.value).splitlines()[-1].strip(), namespace)
    assert namespace["labels"].tolist() == [0, -1, 2, 1]
    nan, inf = np.array([0, np.nan]), np.array([np.inf, 1])
    others = np.array([0, 7]), np.array([0.5, 1.0]), nan, inf, np.ones((2, 3)), "ant", np.array([])
    for labels in others:
        with pytest.raises(ValueError, match="labels must be") as caught:
            integer_labels(labels, 3) if np.size(labels) else integer_labels(np.array(["a"]), 3)
        assert ("This makes" in str(caught.value)) == (np.size(labels) == 0)


@pytest.mark.parametrize("cls", [kgen.VAE, kgen.GAN, kgen.Gaussian])
def test_images_that_memory_does_not_hold_are_not_begun(cls):
    model = cls((8, 8))
    with pytest.raises(ValueError, match=r"n=1000000000 images of .* take .* GiB"):
        model.generate(10**9)
