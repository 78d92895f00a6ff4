"""What a family's author may get wrong, and is told in words."""

import re

import keras
import numpy as np
import pytest
from keras import layers, ops
from one_weight import MeanOf, one_weight
from toy import ToyGAN

import kgen
from kgen.conditions import ClassLabels, Tokens

X = np.random.default_rng(0).uniform(-1, 1, (8, 4, 4, 1)).astype("float32")


def network(*beside):
    """Of images, and of inputs of these shapes beside them."""
    images = keras.Input((4, 4, 1))
    others = [keras.Input(shape, dtype="int32") for shape in beside]
    y = keras.layers.Dense(1)(images)
    for other in others:
        y = y + ops.reshape(ops.sum(ops.cast(other, "float32")), (1, 1, 1, 1))
    return keras.Model([images, *others] if others else images, y)


@keras.saving.register_keras_serializable("test_checks")
class Scaled(kgen.GenerativeModel):
    """Sets its network after the base's constructor; `width` is of the network alone."""

    players = {"player": ["network"]}

    def __init__(self, beta=1.0, width=4, network=None, **kwargs):
        super().__init__(**kwargs)
        self.beta = beta
        self.network = network or _made(width)

    def objective(self, images, training):
        return self.beta * ops.mean(ops.square(self.network(images, training=training)))


@keras.saving.register_keras_serializable("test_checks")
class Remembered(Scaled):
    def get_config(self):
        return {**super().get_config(), "beta": self.beta}


@keras.saving.register_keras_serializable("test_checks")
class Needed(Remembered):
    def __init__(self, factor, **kwargs):
        super().__init__(**kwargs)


@keras.saving.register_keras_serializable("test_checks")
class Short(kgen.GAN):
    def __init__(self, image_shape, num_classes, **kwargs):
        condition = kwargs.pop("condition", None) or ClassLabels(num_classes)
        super().__init__(image_shape, condition=condition, **kwargs)

    @property
    def num_classes(self):
        return self.condition.num_classes

    @classmethod
    def from_config(cls, config, custom_objects=None):
        return super().from_config({"num_classes": None, **config}, custom_objects)


def _made(width):
    images = keras.Input((4, 4, 1))
    y = keras.layers.Dense(width)(images)
    return keras.Model(images, keras.layers.Dense(1)(y))


class Conditional(kgen.GenerativeModel):
    players = {"player": ["network"]}
    conditioned = ("network",)

    def objective(self, batch, training):
        return ops.mean(ops.square(self.network(list(batch), training=training)))


def test_the_shape_of_images_is_found_wherever_networks_are_set():
    model = Scaled()
    assert model.image_shape is None
    model.compile()
    assert model.image_shape == (4, 4, 1)
    assert np.isfinite(model.fit(X, verbose=0).history["loss"][0])
    model = Scaled()
    model.ensure_built()
    assert model.image_shape == (4, 4, 1)


def test_an_argument_that_a_file_would_lose_is_refused(tmp_path):
    path = tmp_path / "model.keras"
    lines = r'\{\*\*super\(\).get_config\(\), "beta": self.beta\}'
    model = Scaled(beta=3.0)
    for save in (model.save, lambda path: keras.saving.save_model(model, path)):
        with pytest.raises(ValueError, match=f"Scaled is made with 'beta', .*\n.*\n.*{lines}"):
            save(path)
    with pytest.raises(ValueError, match="Needed is made with 'factor'"):
        Needed(2.0).save(path)


def test_what_comes_back_from_a_file_is_not_refused(tmp_path):
    path = tmp_path / "model.keras"
    Scaled(width=9).save(path)  # the file holds the network itself
    assert keras.saving.load_model(path).network.layers[1].units == 9
    Remembered(beta=3.0).save(path)
    loaded = keras.saving.load_model(path)
    assert loaded.beta == 3.0 and loaded.image_shape == (4, 4, 1)
    Short((8, 8), 3).save(path)
    assert keras.saving.load_model(path).num_classes == 3


def test_a_network_that_is_to_be_given_the_condition_is_there_and_takes_it():
    labels, tokens = ClassLabels(3), Tokens(10, 5)
    for condition, own, words in (
        (labels, network(), r"'network' takes 1 input.*labels.*keras.Input\(\(\), dtype='int32'\)"),
        (tokens, network(), r"given tokens beside its own: add keras.Input\(\(5,\), dtype='int32'"),
    ):
        with pytest.raises(ValueError, match=words):
            Conditional(network=own, condition=condition).compile()
    model = Conditional(network=network(()), condition=labels)
    model.compile()
    assert np.isfinite(model.fit(X, np.arange(8) % 3, verbose=0).history["loss"][0])

    class Misspelled(Conditional):
        conditioned = ("netwrok",)

    with pytest.raises(ValueError, match=r"'netwrok', which Misspelled does not.*\['network'\]"):
        Misspelled(network=network(()), condition=labels).compile()


def test_a_family_says_what_was_passed_as_condition():
    with pytest.raises(ValueError, match="made with the condition None; got ClassLabels"):
        kgen.VAE((8, 8), condition=ClassLabels(3))

    class Labeled(Conditional):
        conditions = (ClassLabels,)

    with pytest.raises(ValueError, match="made with the condition ClassLabels; got None"):
        Labeled(network=network(()))


@pytest.mark.parametrize("shape", [(8, 8, 1), (5,), (4, 5, 1), (16, 2, 1)])
def test_an_image_shape_that_no_network_takes_is_refused_in_compile(shape):
    words = rf"image_shape is {re.escape(str(shape))}, .*Scaled.*'network' takes \(4, 4, 1\)"
    with pytest.raises(ValueError, match=words):
        Scaled(image_shape=shape).compile()


@pytest.mark.parametrize("taken", [(16,), (4, 4, 3), (2, 2, 4), (None, None, 3)])
def test_images_may_become_rows_blocks_or_channels_among_others(taken):
    entry = keras.Input(taken)
    own = keras.Model(entry, keras.layers.Dense(2)(entry))
    Scaled(network=own, image_shape=(4, 4, 1)).compile()


def test_only_a_network_is_given_the_condition():
    model = Conditional(network=network(()), condition=ClassLabels(3))
    assert model.given_to("network") is model.condition
    with pytest.raises(ValueError, match=r"no network 'netwrok' to be given the condition.*'netw"):
        model.given_to("netwrok")


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


def test_weights_are_float32():
    for policy in ("float16", "bfloat16"):
        with pytest.raises(ValueError, match="mixed_float16"):
            ToyGAN(dtype=policy).compile()


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
