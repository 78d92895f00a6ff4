"""The trained models: what a file holds, what a card says, where they are found."""

import io
import json
import os
import pathlib
import re
import subprocess
import sys
import zipfile

import h5py
import keras
import numpy as np
import pytest
from as_new import as_new
from keras import layers, ops
from PIL import Image
from toy import ToyGAN, make_discriminator, make_generator, points
from zoo_models import CARD, AveragedGAN, images, trained_gan, trained_vae

import kgen

STORE = pathlib.Path(__file__).parents[1] / "saved_models"
BACKEND = keras.backend.backend()
FILES = ["{}.json", "{}.keras", "{}.md", "{}.png"]


def stored(path):
    """Arrays in a .keras file by path."""
    found = {}
    content = zipfile.ZipFile(path).read("model.weights.h5")
    with h5py.File(io.BytesIO(content)) as file:
        file.visititems(
            lambda name, item: (
                found.update({name: item[()]}) if isinstance(item, h5py.Dataset) else None
            )
        )
    return found


def values(layer):
    return [ops.convert_to_numpy(w) for w in layer.weights]


def new_gaussian_vae():
    return trained_vae(reconstruction="gaussian", kl_weight=kgen.schedules.LinearWarmup(1.0, 10))


# What a file holds.


def test_a_model_by_name(tmp_path):
    vae = as_new("gaussian vae of the zoo", new_gaussian_vae)
    path = kgen.zoo.save(vae, "vae", tmp_path, **CARD)
    assert path == tmp_path / "vae.keras" and kgen.zoo.list(tmp_path) == ["vae"]
    assert sorted(p.name for p in tmp_path.iterdir()) == [f.format("vae") for f in FILES]
    for loaded in (kgen.zoo.load("vae", tmp_path), keras.saving.load_model(path)):
        assert type(loaded) is kgen.VAE and not loaded.compiled
        np.testing.assert_allclose(loaded.generate(4, seed=1), vae.generate(4, seed=1), atol=1e-6)
        np.testing.assert_allclose(loaded.encode(images(4)), vae.encode(images(4)), atol=1e-6)
        a, b = (m.log_likelihood(images(4), 5) for m in (loaded, vae))
        np.testing.assert_allclose(a, b, rtol=1e-5)
        assert int(loaded.step) == int(vae.step) == 2
    assert not any("optimizer" in name for name in stored(path))
    assert path.stat().st_size < 1.2 * 4 * kgen.zoo.card("vae", tmp_path)["parameters"] + 50_000


def test_the_model_stays_as_it_is_and_the_loaded_one_can_be_trained_on(tmp_path):
    vae = as_new("vae of the zoo", trained_vae)
    before = values(vae)
    kgen.zoo.save(vae, "vae", tmp_path, **CARD)
    for a, b in zip(values(vae), before, strict=True):
        np.testing.assert_array_equal(a, b)
    assert vae.compiled
    vae.fit(images(), batch_size=32, verbose=0)
    loaded = kgen.zoo.load("vae", tmp_path)
    loaded.compile()
    loaded.fit(images(), batch_size=32, verbose=0)
    assert int(loaded.step) == 4


@pytest.mark.parametrize("dtype", ["mixed_bfloat16", "mixed_float16"])
def test_whatever_precision_trained_it_the_file_is_float32(dtype, tmp_path):
    vae = trained_vae(dtype)
    path = kgen.zoo.save(vae, "vae", tmp_path, **CARD)
    assert "float16" not in zipfile.ZipFile(path).read("config.json").decode()
    loaded = kgen.zoo.load("vae", tmp_path)
    assert {layer.dtype_policy.name for layer in loaded._flatten_layers()} == {"float32"}
    for a, b in zip(values(loaded.decoder), values(vae.decoder), strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_allclose(loaded.generate(4, seed=1), vae.generate(4, seed=1), atol=0.05)


def test_policies_of_networks_in_networks_and_in_maps(tmp_path):
    inner = keras.Sequential(
        [keras.Input((16,), dtype="float16"), layers.Dense(64, "tanh", dtype="mixed_float16")]
    )
    whole = layers.Dense(16, dtype=keras.DTypePolicy("mixed_bfloat16"))
    decoder = keras.Sequential([keras.Input((2,)), whole, inner, layers.Reshape((8, 8, 1))])
    vae = kgen.VAE((8, 8), decoder=decoder, network="dense")
    kgen.zoo.save(vae, "vae", tmp_path, **CARD)
    loaded = kgen.zoo.load("vae", tmp_path)
    assert {layer.compute_dtype for layer in loaded._flatten_layers()} == {"float32"}
    np.testing.assert_allclose(loaded.generate(4, seed=1), vae.generate(4, seed=1), atol=0.05)


def test_float16_on_disk_is_float32_in_memory(tmp_path):
    vae = as_new("gaussian vae of the zoo", new_gaussian_vae)
    path = kgen.zoo.save(vae, "vae", tmp_path, dtype="float16", **CARD)
    kinds = {str(array.dtype) for array in stored(path).values()}
    assert kinds == {"float16", "int32", "int64"}  # the step counts on, and so do the seeds
    loaded = kgen.zoo.load("vae", tmp_path)
    for a, b in zip(loaded.weights, vae.weights, strict=True):
        assert a.dtype == b.dtype
        rounded = ops.convert_to_numpy(b)
        if b.dtype == "float32":
            rounded = rounded.astype("float16").astype("float32")
        np.testing.assert_array_equal(ops.convert_to_numpy(a), rounded)
    np.testing.assert_allclose(loaded.generate(4, seed=1), vae.generate(4, seed=1), atol=0.01)
    assert kgen.zoo.card("vae", tmp_path)["dtype"] == "float16"


@pytest.mark.parametrize(
    "value, dtype, words", [(7e4, "float16", "float32"), (np.nan, "float32", "NaN")]
)
def test_weights_that_a_file_cannot_hold(value, dtype, words, tmp_path):
    vae = kgen.VAE((8, 8))
    variable = vae.decoder.weights[1]
    variable.assign(np.full(variable.shape, value, "float32"))
    with pytest.raises(ValueError, match=rf"{variable.path}.*{words}"):
        kgen.zoo.save(vae, "vae", tmp_path, dtype=dtype, **CARD)
    assert not list(tmp_path.iterdir())


# Models with several players.


def test_the_average_takes_the_generators_place_and_the_discriminator_is_left_out(tmp_path):
    gan = as_new("gan of the zoo", trained_gan)
    path = kgen.zoo.save(gan, "gan", tmp_path, **CARD)
    arrays = stored(path)
    assert not any("discriminator" in name or "average" in name for name in arrays)
    floats = sum(array.size for array in arrays.values() if array.dtype.kind == "f")
    assert floats == gan.generator.count_params() == kgen.zoo.card("gan", tmp_path)["parameters"]
    loaded = kgen.zoo.load("gan", tmp_path)
    assert type(loaded) is AveragedGAN
    for a, b in zip(values(loaded.generator), values(gan.generator_average.model), strict=True):
        np.testing.assert_array_equal(a, b)
    gaps = [
        np.abs(a - b).max()
        for a, b in zip(values(loaded.generator), values(gan.generator), strict=True)
    ]
    assert max(gaps) > 1e-4
    np.testing.assert_allclose(loaded.generate(6, seed=1), gan.generate(6, seed=1), atol=1e-6)


def test_what_was_left_out_says_so(tmp_path):
    kgen.zoo.save(as_new("gan of the zoo", trained_gan), "gan", tmp_path, **CARD)
    loaded = kgen.zoo.load("gan", tmp_path)
    for attempt in (loaded.compile, lambda: loaded.discriminator(points(2))):
        with pytest.raises(ValueError, match=r"no discriminator here[\s\S]*for inference"):
            attempt()
    loaded.save(tmp_path / "again.keras")
    again = keras.saving.load_model(tmp_path / "again.keras")
    np.testing.assert_allclose(again.generate(6, seed=1), loaded.generate(6, seed=1), atol=1e-6)
    kgen.zoo.save(loaded, "twice", tmp_path, **CARD)
    twice = kgen.zoo.load("twice", tmp_path)
    np.testing.assert_allclose(twice.generate(6, seed=1), loaded.generate(6, seed=1), atol=1e-6)


def test_a_model_that_does_not_say_keeps_networks_and_average(tmp_path):
    gan = trained_gan(ToyGAN)
    kgen.zoo.save(gan, "gan", tmp_path, **CARD)
    loaded = kgen.zoo.load("gan", tmp_path)
    for name in ("generator", "discriminator", "generator_average"):
        for a, b in zip(values(getattr(loaded, name)), values(getattr(gan, name)), strict=True):
            np.testing.assert_array_equal(a, b)
    loaded.compile()
    loaded.fit(points(64), batch_size=32, verbose=0)


def test_an_average_of_what_does_not_move_is_the_network_itself():
    network = make_generator()
    network.trainable = False
    average = kgen.MovingAverage(network)
    assert average.model is network
    before = values(network)
    average.update()
    for a, b in zip(values(network), before, strict=True):
        np.testing.assert_array_equal(a, b)


@keras.saving.register_keras_serializable("kgen_tests")
class MistakenGAN(ToyGAN):
    def inference_networks(self):
        return {"generater": self.generator}


@keras.saving.register_keras_serializable("kgen_tests")
class SilentGAN(AveragedGAN):
    def get_config(self):
        config = super().get_config()
        del config["discriminator"]
        return config


@keras.saving.register_keras_serializable("kgen_tests")
class OwnState(AveragedGAN):
    """With a variable and a layer of its own, beside the networks."""

    def __init__(self, **options):
        super().__init__(**options)
        self.alpha = self.add_weight(shape=(), initializer="zeros", trainable=False, name="alpha")
        self.scale = layers.Dense(2)
        self.scale.build((None, 2))


def test_what_a_model_holds_beside_its_networks(tmp_path):
    gan = OwnState(k=1)
    gan.alpha.assign(0.25)
    gan.scale.bias.assign([3.0, 4.0])
    kgen.zoo.save(gan, "gan", tmp_path, **CARD)
    loaded = kgen.zoo.load("gan", tmp_path)
    assert float(loaded.alpha) == 0.25
    np.testing.assert_array_equal(ops.convert_to_numpy(loaded.scale.bias), [3, 4])


@pytest.mark.parametrize(
    "cls, words",
    [
        (MistakenGAN, r"\['generater'\].*'generator'"),
        (SilentGAN, "made with 'discriminator', .*get_config"),
    ],
)
def test_hooks_that_cannot_be_followed(cls, words, tmp_path):
    with pytest.raises(ValueError, match=words):
        kgen.zoo.save(cls(k=1), "gan", tmp_path, **CARD)
    assert not list(tmp_path.iterdir())


def test_a_users_unregistered_layer_is_refused(tmp_path):
    class Mine(layers.Layer):
        def call(self, x):
            return x

    generator = keras.Sequential([keras.Input((8,)), Mine(), layers.Dense(2)])
    with pytest.raises(ValueError, match=r"Mine[\s\S]*@keras.saving.register_keras"):
        kgen.zoo.save(ToyGAN(generator=generator), "gan", tmp_path, **CARD)
    assert not list(tmp_path.iterdir())


# The card.


def test_a_card_says_where_a_model_comes_from(tmp_path):
    vae = kgen.VAE((8, 8))
    kgen.zoo.save(vae, "vae", tmp_path, **CARD)
    card = kgen.zoo.card("vae", tmp_path)
    assert list(card) == list(kgen.zoo.SCHEMA)
    assert {**card, **CARD, "metrics": {"loss": 0.5}} == card
    assert card["image_shape"] == [8, 8, 1] and card["model"] == "kgen>VAE"
    assert BACKEND in card["device"] and keras.__version__ in card["device"]
    networks = (vae.encoder, vae.decoder, vae.likelihood)
    assert card["parameters"] == sum(network.count_params() for network in networks)
    page = (tmp_path / "vae.md").read_text()
    assert page == kgen.zoo.markdown(card)
    for text in (CARD["what"], CARD["command"], CARD["license"], "vae.png", "kgen.VAE"):
        assert text in page
    with Image.open(tmp_path / "vae.png") as picture:
        assert min(picture.size) > 200


def test_the_grid_shows_what_is_passed(tmp_path):
    white = np.full((4, 8, 8, 1), 255, "uint8")
    kgen.zoo.save(kgen.VAE((8, 8)), "vae", tmp_path, samples=white, **CARD)
    with Image.open(tmp_path / "vae.png") as picture:
        assert np.asarray(picture.convert("L")).min() > 230  # a line where images end


def test_a_model_without_prior_needs_samples(tmp_path):
    gan = as_new("gan of the zoo", trained_gan)
    kgen.zoo.save(gan, "gan", tmp_path, **CARD)  # points are drawn as points
    with Image.open(tmp_path / "gan.png") as picture:
        assert min(picture.size) > 200

    class Silent(ToyGAN):
        generate = kgen.GenerativeModel.generate

    keras.saving.register_keras_serializable("kgen_tests")(Silent)
    with pytest.raises(ValueError, match="pass samples="):
        kgen.zoo.save(Silent(k=1), "silent", tmp_path, **CARD)
    assert kgen.zoo.list(tmp_path) == ["gan"]
    kgen.zoo.save(Silent(k=1), "silent", tmp_path, samples=points(20), **CARD)


@pytest.mark.parametrize(
    "change, words",
    [
        ({"what": ""}, "what must be a sentence"),
        ({"seed": None}, "seed must be .* integer; got None"),
        ({"seconds": "soon"}, "seconds must be .* number; got 'soon'"),
        ({"metrics": [1.0]}, "metrics must be .* dictionary"),
        ({"metrics": {"loss": np.nan}}, "finite"),
        ({"dtype": "bfloat16"}, r"dtype must be .*float32.*; got 'bfloat16'"),
    ],
)
def test_wrong_words_for_a_card(change, words, tmp_path):
    with pytest.raises(ValueError, match=words):
        kgen.zoo.save(kgen.VAE((8, 8)), "vae", tmp_path, **{**CARD, **change})
    assert not list(tmp_path.iterdir())


def test_only_kgens_models(tmp_path):
    with pytest.raises(TypeError, match=r"takes a kgen\.GenerativeModel; got Sequential"):
        kgen.zoo.save(make_discriminator(), "network", tmp_path, **CARD)


@pytest.fixture
def store(tmp_path):
    kgen.zoo.save(kgen.VAE((8, 8)), "vae", tmp_path, **CARD)
    return tmp_path


def test_damaged_cards_and_files(store):
    path = store / "vae.json"
    card = json.loads(path.read_text())
    for content, words in (
        ("{", "not JSON"),
        ("[]", "a card is a dictionary"),
        (json.dumps({k: v for k, v in card.items() if k != "license"}), r"missing are \['license'"),
        (json.dumps(card | {"colour": "red"}), r"unknown \['colour'\]"),
        (json.dumps(card | {"metrics": {"loss": "low"}}), "metrics must be"),
        (json.dumps(card | {"name": "gan"}), "card of 'gan'"),
    ):
        path.write_text(content)
        with pytest.raises(ValueError, match=words):
            kgen.zoo.card("vae", store)
    path.write_text(json.dumps(card))
    file = store / "vae.keras"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(ValueError, match=r"vae\.keras is not the file .* vae\.json"):
        kgen.zoo.load("vae", store)


def test_a_failing_save_leaves_what_was_there(store, full_disk):
    before = {path.name: path.read_bytes() for path in store.iterdir()}
    with full_disk(), pytest.raises(OSError, match=f"Cannot write to {store}"):
        kgen.zoo.save(as_new("vae of the zoo", trained_vae), "vae", store, **CARD)
    assert {path.name: path.read_bytes() for path in store.iterdir()} == before
    kgen.zoo.save(as_new("vae of the zoo", trained_vae), "vae", store, **CARD)
    assert kgen.zoo.load("vae", store).generate(2).shape == (2, 8, 8, 1)
    with pytest.raises(OSError, match="Cannot write to"):
        kgen.zoo.save(kgen.VAE((8, 8)), "vae", store / "vae.png" / "below", **CARD)


def test_a_file_that_cannot_be_replaced_brings_the_others_back(store):
    (store / "vae.md").unlink()
    (store / "vae.md").mkdir()  # where no file can be renamed to
    before = {path.name: path.read_bytes() for path in store.iterdir() if path.is_file()}
    with pytest.raises(OSError, match=r"Cannot write to .* What was there stays"):
        kgen.zoo.save(as_new("vae of the zoo", trained_vae), "vae", store, **CARD)
    after = {path.name: path.read_bytes() for path in store.iterdir() if path.is_file()}
    assert after == before and (store / "vae.md").is_dir()
    kgen.zoo.load("vae", store)


# Where models are found.


@pytest.mark.parametrize("name", ["../vae", "vae.keras", "", "a/b", None, "-vae", "vae\n"])
def test_names(name, tmp_path):
    for attempt in (
        lambda: kgen.zoo.load(name, tmp_path),
        lambda: kgen.zoo.card(name, tmp_path),
        lambda: kgen.zoo.save(kgen.VAE((8, 8)), name, tmp_path, **CARD),
    ):
        with pytest.raises(ValueError, match=r"letters, digits.*got"):
            attempt()
    assert not list(tmp_path.iterdir())


def test_a_model_by_its_name_or_by_its_file(store, tmp_path, monkeypatch):
    monkeypatch.setenv("KGEN_MODELS", str(store))
    named, of_file = kgen.zoo.load_model("vae"), kgen.zoo.load_model(store / "vae.keras")
    assert type(named) is type(of_file) is kgen.VAE
    np.testing.assert_allclose(named.generate(2, seed=1), of_file.generate(2, seed=1), atol=1e-6)
    monkeypatch.setenv("HOME", str(store.parent))
    assert type(kgen.zoo.load_model(f"~/{store.name}/vae.keras")) is kgen.VAE
    with pytest.raises(FileNotFoundError, match="There is no trained model 'vea'"):
        kgen.zoo.load_model("vea")
    with pytest.raises(FileNotFoundError, match=r"There is no file .*nowhere\.keras"):
        kgen.zoo.load_model(tmp_path / "nowhere.keras")
    (tmp_path / "cut.keras").write_bytes(b"PK but no more")
    for name in ("cut.keras", "folder.keras"):
        (tmp_path / "folder.keras").mkdir(exist_ok=True)
        with pytest.raises(ValueError, match=r"no complete \.keras file: was it cut off"):
            kgen.zoo.load_model(tmp_path / name)
    content = bytearray((store / "vae.keras").read_bytes())
    content[len(content) // 2] ^= 255
    (tmp_path / "flipped.keras").write_bytes(content)
    with pytest.raises(ValueError, match=r"flipped\.keras is damaged, in model.weights"):
        kgen.zoo.load_model(tmp_path / "flipped.keras")


def test_the_folders_in_their_order(store, tmp_path_factory, monkeypatch):
    monkeypatch.setenv("KGEN_MODELS", str(store))
    assert "vae" in kgen.zoo.list()
    assert kgen.zoo.card("vae")["what"] == CARD["what"]
    empty = tmp_path_factory.mktemp("empty")
    assert kgen.zoo.list(empty) == []
    with pytest.raises(FileNotFoundError):  # the folder that is passed, and no other
        kgen.zoo.load("vae", empty)
    monkeypatch.setenv("KGEN_MODELS", str(empty))
    path = kgen.zoo.save(kgen.VAE((8, 8)), "another", **CARD)
    assert path.parent == empty and "another" in kgen.zoo.list()
    monkeypatch.setenv("HOME", str(empty.parent))
    assert kgen.zoo.card("another", f"~/{empty.name}") == kgen.zoo.card("another")


def test_a_file_without_card_hides_no_model(store, tmp_path_factory, monkeypatch):
    first = tmp_path_factory.mktemp("first")
    (first / "vae.keras").write_bytes(b"another file")
    monkeypatch.setattr(kgen.zoo, "__file__", str(first / "kgen" / "zoo.py"))
    monkeypatch.setenv("KGEN_MODELS", str(first))
    store.rename(first / "saved_models")
    assert kgen.zoo.list() == ["vae"] and kgen.zoo.load("vae").image_shape == (8, 8, 1)


def test_a_name_that_is_not_there(store, monkeypatch):
    with pytest.raises(FileNotFoundError) as error:
        kgen.zoo.load("vea", store)
    text = str(error.value)
    for words in (
        "'vea'",
        "Did you mean 'vae'",
        str(store),
        "recipes.vae --publish",
        "KGEN_MODELS",
    ):
        assert words in text
    monkeypatch.setenv("KGEN_MODELS", str(store / "nowhere"))
    with pytest.raises(FileNotFoundError, match=r"nowhere\): no such folder"):
        kgen.zoo.load("vea")
    (store / "vae.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"no card vae\.json"):
        kgen.zoo.load("vae", store)


def test_no_folder_at_all(monkeypatch, tmp_path):
    monkeypatch.delenv("KGEN_MODELS", raising=False)
    monkeypatch.setattr(kgen.zoo, "__file__", str(tmp_path / "site-packages" / "kgen" / "zoo.py"))
    assert kgen.zoo.list() == []
    with pytest.raises(FileNotFoundError, match=r"no folder to look in.*KGEN_MODELS"):
        kgen.zoo.load("vae")
    with pytest.raises(ValueError, match=r"folder=.*KGEN_MODELS"):
        kgen.zoo.save(kgen.VAE((8, 8)), "vae", **CARD)


# The files that come with kgen.


def made_by(model):
    """Sixteen images: generated, or of images of a domain."""
    if not hasattr(model, "translate"):
        return model.generate(16, seed=0)
    return model.translate(kgen.data.faces.draw(FACES, model.image_shape[0]))


FACES = kgen.data.faces.sample_factors(16, seed=1, time="day")


@pytest.mark.parametrize("name", kgen.zoo.list(STORE))
def test_the_models_that_come_with_kgen(name):
    card = kgen.zoo.card(name, STORE)
    assert (STORE / f"{name}.keras").stat().st_size < 5e6
    assert (STORE / f"{name}.md").read_text() == kgen.zoo.markdown(card)
    assert f"{name}.png" in (STORE / "README.md").read_text()
    assert re.search(r"python -m (recipes|benchmarks)\.", card["command"])
    model = kgen.zoo.load(name, STORE)
    if not isinstance(model, kgen.Diffusion):  # compiling takes longest, but for many steps
        model.run_eagerly = BACKEND == "tensorflow"
    images = made_by(model)
    assert images.shape == (16, *card["image_shape"]) and images.std() > 0.2
    if hasattr(model, "encode"):
        options = {}
        if isinstance(model, kgen.Diffusion):  # what they are of, and not as many steps as usual
            options = {"labels": np.arange(16) % 10, "num_steps": 2}
        assert len(model.encode(images, **options)) == 16


def test_they_load_in_one_line_of_another_process():
    line = "import sys, keras, kgen; "
    line += "models = [keras.saving.load_model(path) for path in sys.argv[1:]]; "
    line += "next(m for m in models if hasattr(m, 'generate')).generate(1)"
    paths = [str(STORE / f"{name}.keras") for name in kgen.zoo.list(STORE)]
    environment = {**os.environ, "PYTHONPATH": str(STORE.parent)}
    subprocess.run([sys.executable, "-c", line, *paths], env=environment, check=True)
