"""Files: what goes in, what comes out, and what is refused."""

import copy
import json
import os
import pickle
import subprocess
import zipfile

import h5py
import keras
import numpy as np
import pytest
from keras import layers, ops
from toy import ToyGAN, points, toy

import kgen
from kgen.engine import state


class Unregistered(layers.Layer):
    def call(self, x):
        return x


def vae(extra=None, **options):
    """A small VAE, one of whose decoder's layers is `extra`."""
    middle = [] if extra is None else [extra]
    decoder = keras.Sequential(
        [
            keras.Input((2,)),
            layers.Dense(16, "relu"),
            *middle,
            layers.Dense(64, "tanh"),
            layers.Reshape((8, 8, 1)),
        ]
    )
    return kgen.VAE((8, 8), decoder=decoder, network="dense", **options)


def test_what_could_not_be_loaded_is_not_saved(tmp_path):
    path = tmp_path / "model.keras"
    with pytest.raises(ValueError, match=r"Unregistered[\s\S]*@keras.saving.register_keras"):
        vae(Unregistered()).save(path)
    with pytest.raises(ValueError, match="lambda"):
        vae(layers.Lambda(lambda x: x, output_shape=(16,))).save(path)

    def double(x):
        return 2 * x

    with pytest.raises(ValueError, match=r"double[\s\S]*@keras.saving.register_keras"):
        vae(layers.Activation(double)).save(path)
    assert not list(tmp_path.iterdir())
    registered = keras.saving.register_keras_serializable("kgen_tests")(double)
    vae(layers.Activation(registered)).save(path)
    assert keras.saving.load_model(path).generate(2).shape == (2, 8, 8, 1)
    vae(layers.Lambda(registered)).save(path)
    assert keras.saving.load_model(path).generate(2).shape == (2, 8, 8, 1)


class Undecorated(kgen.GenerativeModel):
    players = {"model": ["network"]}


class Halving(keras.optimizers.schedules.LearningRateSchedule):
    def __call__(self, step):
        return 0.5 ** ops.cast(step, "float32")

    def get_config(self):
        return {}


class Unhurried(keras.optimizers.SGD):
    pass


def test_models_schedules_and_optimizers_are_looked_at_too(tmp_path):
    path = tmp_path / "model.keras"
    network = keras.Sequential([keras.Input((2,)), layers.Dense(1)])
    with pytest.raises(ValueError, match=r"Undecorated[\s\S]*@keras.saving.register_keras"):
        Undecorated(network=network).save(path)
    for optimizer, name in ((keras.optimizers.SGD(Halving()), "Halving"), (Unhurried(), "Unhurr")):
        model = vae()
        model.compile(optimizer)
        with pytest.raises(ValueError, match=rf"{name}[\s\S]*@keras.saving.register_keras"):
            model.save(path)
    assert not path.exists()


def test_a_layer_of_two_networks_is_refused(tmp_path):
    body = layers.Dense(64)
    encoder = keras.Sequential([keras.Input((8, 8, 1)), layers.Flatten(), body, layers.Dense(4)])
    decoder = keras.Sequential(
        [keras.Input((2,)), layers.Dense(64), body, layers.Reshape((8, 8, 1))]
    )
    model = kgen.VAE((8, 8), encoder=encoder, decoder=decoder)
    with pytest.raises(ValueError, match="'encoder' and 'decoder'"):
        model.save(tmp_path / "model.keras")


def test_where_a_file_goes(tmp_path):
    model = vae()
    path = tmp_path / "new" / "folder" / "model.keras"
    model.save(path)
    first = path.read_bytes()
    with pytest.raises(FileExistsError, match="overwrite=True"):
        model.save(path, overwrite=False)
    assert path.read_bytes() == first and list(path.parent.iterdir()) == [path]
    for name in ("model.h5", "model", "model.tf"):
        with pytest.raises(ValueError, match=r'model.save\("model.keras"\)'):
            model.save(tmp_path / name)
    for name in ("gs://bucket/model.keras", "hf://me/model"):
        with pytest.raises(ValueError, match="on this machine"):
            model.save(name)
    for option in ({"zipped": False}, {"save_format": "h5"}, {"include_optimizer": False}):
        with pytest.raises(TypeError, match=f"leave .*{next(iter(option))}.* out"):
            model.save(path, **option)
    for name in ("model.keras", "model.h5"):
        with pytest.raises(ValueError, match="a folder for serving"):
            model.export(tmp_path / name)
    with pytest.raises(ValueError, match=r"must end in `\.weights\.h5`"):
        model.save_weights(tmp_path / "model.h5")


def test_keras_writes_what_can_be_read_back_or_nothing(tmp_path):
    """Where Keras's own functions write, without `model.save`."""
    model = vae()
    keras.saving.save_model(model, tmp_path / "model.keras")
    keras.saving.save_model(model, tmp_path / "model", zipped=False)
    for name in ("model.keras", "model"):
        loaded = keras.saving.load_model(tmp_path / name)
        np.testing.assert_allclose(loaded.generate(3, seed=1), model.generate(3, seed=1), atol=1e-6)
    model.compile()
    for options in ({}, {"include_optimizer": False}, {"save_format": "h5"}):
        with pytest.raises(ValueError, match=r'old .h5 files.*model.save\("model.keras"\)'):
            keras.saving.save_model(model, tmp_path / "model.h5", **options)
    unregistered = vae(Unregistered())
    for write in (
        lambda: keras.saving.save_model(unregistered, tmp_path / "other.keras"),
        lambda: keras.saving.save_model(unregistered, tmp_path / "other", zipped=False),
        lambda: pickle.dumps(unregistered),
        lambda: copy.deepcopy(unregistered),
    ):
        with pytest.raises(ValueError, match=r"Unregistered[\s\S]*@keras.saving.register_keras"):
            write()


def test_a_file_that_cannot_be_written_leaves_the_old_one(tmp_path, full_disk):
    path = tmp_path / "model.keras"
    model = vae()
    model.save(path)
    before = path.read_bytes()
    with full_disk(), pytest.raises(OSError, match=r"Cannot write .*model\.keras"):
        model.save(path)
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]
    with pytest.raises(OSError, match="Cannot write"):
        model.save(path / "below" / "model.keras")
    model.save(path)
    assert keras.saving.load_model(path).step.shape == ()


def test_a_model_saved_before_compile_loads_and_trains(tmp_path):
    model = vae()
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(loaded.generate(3, seed=1), model.generate(3, seed=1), atol=1e-6)
    with pytest.raises(ValueError, match="compile"):
        loaded.fit(np.zeros((32, 8, 8), "uint8"), verbose=0)
    loaded.compile()
    loaded.fit(np.zeros((32, 8, 8), "uint8"), batch_size=16, verbose=0)


def test_optimizers_come_back_as_they_were(tmp_path):
    model = ToyGAN(k=1)
    schedule = keras.optimizers.schedules.ExponentialDecay(1e-3, 10, 0.9)
    model.compile(
        {
            "discriminator": keras.optimizers.RMSprop(schedule, rho=0.8, clipnorm=1.0),
            "generator": keras.optimizers.AdamW(2e-4, beta_1=0.0, weight_decay=1e-3),
        }
    )
    model.fit(points(64), batch_size=32, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    for player in model.players:
        mine, theirs = model.optimizer[player], loaded.optimizer[player]
        assert mine.get_config() == theirs.get_config() and isinstance(theirs, type(mine))
        assert int(theirs.iterations) == 2
        for a, b in zip(mine.variables, theirs.variables, strict=True):
            np.testing.assert_array_equal(ops.convert_to_numpy(a), ops.convert_to_numpy(b))


def test_an_average_is_saved_with_the_model_and_weights_stay_apart(tmp_path):
    model = toy()
    model.fit(points(256), batch_size=32, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    for network in ("generator", "discriminator"):
        for a, b in zip(
            getattr(model, network).weights, getattr(loaded, network).weights, strict=True
        ):
            np.testing.assert_array_equal(ops.convert_to_numpy(a), ops.convert_to_numpy(b))
    gaps = [
        np.abs(ops.convert_to_numpy(a) - ops.convert_to_numpy(b)).max()
        for a, b in zip(
            loaded.generator.weights, loaded.generator_average.model.weights, strict=True
        )
        if a.trainable
    ]
    assert max(gaps) > 0
    assert not {id(v) for v in loaded.generator_average.model.weights} & {
        id(v) for v in loaded.trainable_variables
    }


# Networks of a class of one's own.


class Plain(keras.Model):
    """A generator as tutorials write it."""

    def __init__(self, width):
        super().__init__()
        self.inner = keras.Sequential(
            [layers.Dense(width, "relu"), layers.Dense(64, "tanh"), layers.Reshape((8, 8, 1))]
        )

    def call(self, x):
        return self.inner(x)


class WithoutArguments(Plain):
    def __init__(self):
        super().__init__(16)


class AsGraph(keras.Model):
    def __init__(self, width):
        x = keras.Input((4,))
        y = layers.Dense(64, "tanh")(layers.Dense(width)(x))
        super().__init__(x, layers.Reshape((8, 8, 1))(y))


@keras.saving.register_keras_serializable("kgen_tests")
class Said(Plain):
    def __init__(self, width):
        super().__init__(width)
        self.width = width

    def get_config(self):
        return {"width": self.width}


class Scaling(layers.Layer):
    def __init__(self, factor, **kwargs):
        super().__init__(**kwargs)
        self.factor = factor

    def call(self, x):
        return x * self.factor


def with_a_layer():
    return keras.Sequential(
        [keras.Input((4,)), Scaling(np.ones(4)), layers.Dense(64), layers.Reshape((8, 8, 1))]
    )


def gan_of(generator, decay):
    generator(np.zeros((1, 4), "float32"))
    model = kgen.GAN((8, 8), generator=generator, network="mlp", latent_dim=4, average_decay=decay)
    model.compile(run_eagerly=keras.backend.backend() == "tensorflow")
    return model


@pytest.mark.parametrize(
    ("make", "copied", "saved"),
    [
        (lambda: Plain(16), False, False),
        (WithoutArguments, True, False),
        (lambda: AsGraph(8), True, False),
        (lambda: Said(16), True, True),
        (with_a_layer, False, False),
    ],
    ids=["plain", "without_arguments", "as_graph", "said", "with_a_layer"],
)
def test_networks_of_a_class_of_ones_own(make, copied, saved, tmp_path):
    x = np.random.default_rng(0).integers(0, 256, (40, 8, 8), "uint8")
    model = gan_of(make(), 0)  # no average, no copy
    model.fit(x, batch_size=20, verbose=0)
    assert model.generator_average.model is model.generator and model.generator.trainable
    lines = r"Add to the class[\s\S]*def get_config\(self\):\n        return {.*}"
    if copied:
        model = gan_of(make(), 0.9)
        model.fit(x, batch_size=20, verbose=0)
        for variable in model.generator_average.model.weights:
            assert not any(variable is other for other in model.generator.weights)
    else:
        with pytest.raises(TypeError, match=lines):
            gan_of(make(), 0.9)
    if saved:
        model.save(tmp_path / "model.keras")
        loaded = keras.saving.load_model(tmp_path / "model.keras")
        np.testing.assert_array_equal(loaded.generate(3, seed=1), model.generate(3, seed=1))
    else:
        with pytest.raises(TypeError, match=lines):
            model.save(tmp_path / "model.keras")
        assert not list(tmp_path.iterdir())


def test_the_lines_to_add_are_those_of_the_class(tmp_path):
    for make, line in (
        (lambda: Plain(16), r'return {"width": self.width}'),
        (WithoutArguments, r"return {}"),
        (with_a_layer, r'return {\*\*super\(\).get_config\(\), "factor": self.factor}'),
    ):
        with pytest.raises(TypeError, match=line):
            gan_of(make(), 0).save(tmp_path / "model.keras")


# Training that goes on.


def noisy():
    """A VAE with every kind of generator: its own, and seeded and unseeded ones in layers."""
    keras.utils.clear_session()
    keras.utils.set_random_seed(3)
    encoder = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            kgen.layers.DifferentiableAugmentation("translation"),
            layers.Flatten(),
            layers.GaussianNoise(0.1),
            layers.Dense(16, "relu"),
            layers.Dropout(0.2),
            layers.Dense(4),
        ]
    )
    extra = layers.Dropout(0.2, seed=1)
    model = vae(extra, encoder=encoder, kl_weight=kgen.schedules.LinearWarmup(1.0, 8))
    rate = keras.optimizers.schedules.ExponentialDecay(0.01, 3, 0.9)
    eagerly = keras.backend.backend() == "tensorflow"  # tracing takes longer than all the steps
    model.compile(keras.optimizers.Adam(rate), run_eagerly=eagerly)
    return model


def images():
    x = np.random.default_rng(0).integers(0, 256, (70, 8, 8), "uint8")
    return kgen.data.ImageDataset(x, batch_size=16, augment={"flip": True})


def whole_file(model, folder):
    model.save(folder / "model.keras")
    return keras.saving.load_model(folder / "model.keras")


def a_folder(model, folder):
    keras.saving.save_model(model, folder / "model", zipped=False)
    return keras.saving.load_model(folder / "model")


def weights(model, folder):
    model.save_weights(folder / "model.weights.h5")
    other = noisy()
    other.load_weights(folder / "model.weights.h5")
    return other


def shards(model, folder):
    model.save_weights(folder / "model.weights.json", max_shard_size=2e-5)
    assert len(list(folder.iterdir())) > 2
    other = noisy()
    other.load_weights(folder / "model.weights.json")
    return other


WAYS = {
    "whole_file": whole_file,
    "a_folder": a_folder,
    "weights": weights,
    "shards": shards,
    "pickle": lambda model, folder: pickle.loads(pickle.dumps(model)),
    "deepcopy": lambda model, folder: copy.deepcopy(model),
    "nothing": lambda model, folder: model,
}


def trained(model, epochs, **options):
    model.fit(images(), epochs=epochs, verbose=0, **options)
    return model


@pytest.fixture(scope="module")
def two_epochs():
    """A model that has seen two epochs; the last test that uses it may train it."""
    return trained(noisy(), 2)


@pytest.fixture(scope="module")
def three_epochs():
    """Everything that a model holds after three epochs in one run."""
    return state.capture(trained(noisy(), 3))


def assert_same(a, b):
    a = state.capture(a)
    assert a.keys() == b.keys()
    for name in a:
        np.testing.assert_array_equal(a[name], b[name], err_msg=name)


@pytest.mark.parametrize("way", WAYS)
def test_two_epochs_and_one_are_three(way, two_epochs, three_epochs, tmp_path):
    model = WAYS[way](two_epochs, tmp_path)
    keras.random.normal((3,))  # what others draw does not matter
    assert_same(trained(model, 1), three_epochs)


@pytest.mark.parametrize("name", ["model.keras", "model.weights.h5"])
def test_a_model_checkpoint_goes_on(name, three_epochs, tmp_path):
    path = tmp_path / name
    saving = keras.callbacks.ModelCheckpoint(path, save_weights_only=name != "model.keras")
    trained(noisy(), 2, callbacks=[saving])
    if name == "model.keras":
        model = keras.saving.load_model(path)
    else:
        model = noisy()
        model.load_weights(path)
    assert_same(trained(model, 3, initial_epoch=2), three_epochs)


def test_backup_and_restore_goes_on_and_ends(three_epochs, tmp_path):
    class Break(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            if epoch == 1:
                raise RuntimeError("power")

    backup = lambda: keras.callbacks.BackupAndRestore(tmp_path / "backup")  # noqa: E731
    with pytest.raises(RuntimeError, match="power"):
        trained(noisy(), 3, callbacks=[backup(), Break()])
    model = trained(noisy(), 3, callbacks=[backup()])
    assert_same(model, three_epochs)
    before = int(model.step)
    trained(model, 1)  # and not from epoch 2 on, where the backup was
    assert int(model.step) == before + 4


def test_files_without_seeds_or_with_others(tmp_path, recwarn):
    path = tmp_path / "model.weights.h5"
    trained(noisy(), 1).save_weights(path)
    other = vae(kl_weight=kgen.schedules.LinearWarmup(1.0, 8), encoder=noisy().encoder)
    with pytest.warns(UserWarning, match=r"states of 7 seed generators[\s\S]*has 6: its layers"):
        other.load_weights(path)
    assert int(other.step) == 4
    recwarn.clear()
    with h5py.File(path, "a") as file:
        del file["vars/seeds"]
    model = noisy()
    model.load_weights(path)
    assert not [w for w in recwarn if "seed" in str(w.message)] and int(model.step) == 4


# Files that are not what they seem.


@pytest.fixture(scope="module")
def file_of_a_model(tmp_path_factory):
    path = tmp_path_factory.mktemp("saved") / "model.keras"
    model = vae()
    model.compile()
    model.save(path)
    return path.read_bytes()


@pytest.fixture
def saved(file_of_a_model, tmp_path):
    path = tmp_path / "model.keras"
    path.write_bytes(file_of_a_model)
    return path


def rewritten(path, change=None, leave_out=(), add=()):
    """The file with another configuration, without some members, with others."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    if change:
        config = json.loads(members["config.json"])
        change(config)
        members["config.json"] = json.dumps(config)
    target = path.with_name("changed.keras")
    with zipfile.ZipFile(target, "w") as archive:
        for name, content in [*members.items(), *add]:
            if name not in leave_out:
                archive.writestr(name, content)
    return target


def test_a_generator_with_a_lambda_has_no_average():
    middle = layers.Lambda(lambda x: 2 * x)
    generator = keras.Sequential(
        [keras.Input((4,)), layers.Dense(64), middle, layers.Reshape((8, 8, 1))]
    )
    with pytest.raises(ValueError, match=r"holds a lambda.*registered function"):
        kgen.GAN((8, 8), 4, network="mlp", generator=generator)
    kgen.GAN((8, 8), 4, network="mlp", generator=generator, average_decay=0)


@pytest.mark.parametrize("damage", ["half", "tail", "empty", "foreign", "flipped", "weightless"])
def test_a_damaged_file_is_refused(damage, saved):
    content = saved.read_bytes()
    flipped = bytearray(content)
    flipped[len(content) // 2] ^= 255
    path = saved.with_name("damaged.keras")
    path.write_bytes(
        {
            "half": content[: len(content) // 2],
            "tail": content[:-30],
            "empty": b"",
            "foreign": b"GIF89a" * 1000,
            "flipped": bytes(flipped),
            "weightless": b"",
        }[damage]
    )
    if damage == "weightless":
        path = rewritten(saved, leave_out=["model.weights.h5"])
    with pytest.raises((ValueError, zipfile.BadZipFile), match=r"\.keras|model\.weights|config"):
        keras.saving.load_model(path)


def run_command(folder):
    return {
        "module": "os",
        "class_name": "system",
        "config": {"command": f"touch {folder}/owned"},
        "registered_name": None,
    }


def evaluate_text(folder):
    return {
        "module": "builtins",
        "class_name": "eval",
        "config": {"source": f"open('{folder}/owned', 'w')"},
        "registered_name": None,
    }


def start_process(folder):
    return {
        "module": "subprocess",
        "class_name": "Popen",
        "config": {"args": ["touch", f"{folder}/owned"]},
        "registered_name": "Popen",
    }


def fetch(folder):
    """A function of Keras's own that writes a file."""
    arguments = {"fname": "owned", "origin": f"file://{folder}/model.keras", "cache_dir": folder}
    return {
        "module": "keras.utils",
        "class_name": "get_file",
        "config": {name: str(value) for name, value in arguments.items()},
        "registered_name": "get_file",
    }


def switch_safety_off(folder):
    return {
        "module": "keras.config",
        "class_name": "enable_unsafe_deserialization",
        "config": {},
        "registered_name": "enable_unsafe_deserialization",
    }


def python_lambda(folder):
    layer = layers.Lambda(lambda x: x, output_shape=(2,))
    network = keras.Sequential([keras.Input((2,)), layer, layers.Dense(64)])
    return keras.saving.serialize_keras_object(network)


ATTACKS = [run_command, evaluate_text, start_process, fetch, switch_safety_off, python_lambda]


@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize("place", ["decoder", "kl_weight", "dtype", "optimizer"])
def test_a_hostile_file_runs_nothing(attack, place, saved):
    def change(config):
        where = config["compile_config"] if place == "optimizer" else config["config"]
        assert place in where
        where[place] = attack(saved.parent)

    with pytest.raises((TypeError, ValueError)):
        keras.saving.load_model(rewritten(saved, change))
    assert not list(saved.parent.rglob("owned")) and not safe_mode_is_off()


def safe_mode_is_off():
    """Whether somebody has switched Keras's safe mode off."""
    return keras.src.saving.serialization_lib.in_safe_mode() is False


def test_mutated_files_are_errors_or_models_and_run_nothing(saved, monkeypatch):
    for module, name in ((os, "system"), (subprocess, "Popen")):
        monkeypatch.setattr(module, name, lambda *args, **kwargs: pytest.fail("a command ran"))
    content, random = saved.read_bytes(), np.random.default_rng(0)
    with zipfile.ZipFile(saved) as archive:
        text = archive.read("config.json")
    path, ends, before = saved.with_name("mutated.keras"), [], set(saved.parent.iterdir())
    for i in range(40):
        part = bytearray(text if i % 2 else content)
        for at in random.integers(0, len(part), random.integers(1, 9)):
            part[at] = random.integers(32, 127) if i % 2 else random.integers(0, 256)
        if i % 2:  # in the configuration, the archive being whole
            rewritten(saved, leave_out=["config.json"], add=[("config.json", bytes(part))])
            saved.with_name("changed.keras").replace(path)
        else:
            path.write_bytes(part)
        try:
            keras.saving.load_model(path)
            ends.append("model")
        except Exception as error:
            ends.append(type(error).__name__)
        path.unlink()
    assert len({*ends} - {"model"}) > 1  # they were damaged in several ways
    assert set(saved.parent.iterdir()) == before


def test_a_members_name_does_not_leave_the_file(saved):
    changed = rewritten(saved, add=[("../../outside.txt", b"out")])
    keras.saving.load_model(changed)
    assert not list(saved.parent.parent.rglob("outside.txt"))


def test_a_class_that_nobody_knows_is_named(saved):
    def change(config):
        config.update(module="theirs", class_name="TheirVAE", registered_name="theirs>TheirVAE")

    with pytest.raises(TypeError, match=r"TheirVAE[\s\S]*register_keras_serializable"):
        keras.saving.load_model(rewritten(saved, change))


def test_an_argument_that_nobody_knows_is_named(saved):
    def change(config):
        config["config"]["colour"] = "blue"

    with pytest.raises(TypeError, match=r"colour"):
        keras.saving.load_model(rewritten(saved, change))
