"""The lines that the README and the design promise, run as they stand."""

import pathlib
import re
import shlex

import keras
import numpy as np
from keras import layers, ops
from PIL import Image

import kgen

ROOT = pathlib.Path(__file__).parents[1]


def small_mnist():
    random = np.random.default_rng(0)
    return (random.integers(0, 256, (256, 28, 28), "uint8"), np.zeros(256)), (None, None)


def blocks():
    """The Python blocks of the README, in their order."""
    return re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)


def test_the_first_lines_run_as_they_stand(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    first = blocks()[0]
    exec(first, {})
    assert "vae_fashion_mnist" in capsys.readouterr().out
    assert Image.open("clothes.png").size > (400, 400)


def test_mnist_in_a_few_lines(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(keras.datasets.mnist, "load_data", small_mnist)
    names = {}
    exec(blocks()[1], names)
    vae = names["vae"]
    assert int(vae.step) == 5 * 2 and pathlib.Path("digits.png").exists()
    images = keras.saving.load_model("vae.keras").generate(16, seed=0)
    np.testing.assert_allclose(images, vae.generate(16, seed=0), atol=1e-6)


def test_what_seeds_weights_and_what_the_rest():
    def weights(of_all, **options):
        keras.utils.set_random_seed(of_all)
        vae = kgen.VAE((8, 8), network="shallow", **options)
        before = vae.decoder.get_weights()[0]
        vae.compile()
        vae.fit(small_mnist()[0][0][:, :8, :8], epochs=1, verbose=0)
        return before, vae.decoder.get_weights()[0]

    first, again, other, noise = weights(0), weights(0), weights(1), weights(0, seed=1)
    np.testing.assert_array_equal(first, again)
    assert (first[0] != other[0]).any()
    np.testing.assert_array_equal(first[0], noise[0])
    assert (first[1] != noise[1]).any()


def test_a_decoder_is_a_network_like_any_other():
    vae = kgen.VAE((28, 28))

    z = keras.Input((2,))
    brightness = keras.Model(z, layers.GlobalAveragePooling2D()(vae.decoder(z)))

    z = np.random.default_rng(0).normal(size=(3, 2)).astype("float32")
    expected = vae.decode(z).mean((1, 2))
    np.testing.assert_allclose(brightness.predict(z, verbose=0), expected, atol=1e-5)


def test_fit_repeated_continues(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (x, _), _ = small_mnist()
    for epochs in (1, 3):
        vae = kgen.VAE((28, 28), network="dense")
        vae.compile()
        history = vae.fit(
            x, epochs=epochs, verbose=0, callbacks=[kgen.callbacks.TrainingCheckpoint("run")]
        )
    assert history.epoch == [0, 1, 2] and int(vae.step) == 3 * 2


@keras.saving.register_keras_serializable("kgen_tests")
class SparseAutoencoder(kgen.GenerativeModel):
    players = {"autoencoder": ["encoder", "decoder"]}

    def objective(self, images, training):
        z = self.encoder(images, training=training)
        error = ops.mean(ops.abs(self.decoder(z, training=training) - images))
        return error + 1e-3 * ops.mean(ops.abs(z))


def test_a_users_own_model(tmp_path):
    encoder = kgen.networks.dense_encoder((28, 28, 1), 8)
    decoder = kgen.networks.dense_decoder((28, 28, 1), 8)
    model = SparseAutoencoder(encoder=encoder, decoder=decoder)
    model.compile("adam")
    (x, _), _ = small_mnist()
    losses = model.fit(x, epochs=3, verbose=0, validation_split=0.2).history
    assert losses["loss"][-1] < losses["loss"][0] and len(losses["val_loss"]) == 3
    model.save(tmp_path / "sparse.keras")
    loaded = keras.saving.load_model(tmp_path / "sparse.keras")
    np.testing.assert_allclose(
        loaded.predict(x[:3], verbose=0), model.predict(x[:3], verbose=0), atol=1e-6
    )
    assert model.predict(x[:3], verbose=0).shape == (3, 28, 28, 1)


def test_the_lines_of_the_gan(monkeypatch):
    readme = (ROOT / "README.md").read_text()
    (lines,) = re.findall(r"```python\n(gan = .*?)```", readme, re.DOTALL)
    fits = []
    monkeypatch.setattr(kgen.GenerativeModel, "fit", lambda self, *a, **k: fits.append((a, k)))
    names = {"kgen": kgen, "x": np.zeros((8, 28, 28), "uint8"), "y": np.arange(8)}
    exec(lines, names)
    assert names["gan"].adversarial_loss == "hinge" and names["gan"].penalty.every == 16
    assert [kwargs["epochs"] for _, kwargs in fits] == [20, 20]
    assert names["labeled"].generate(8, labels=7).shape == (8, 28, 28, 1)


def test_the_lines_of_translation(monkeypatch):
    readme = (ROOT / "README.md").read_text()
    (lines,) = re.findall(r"```python\n(pairs = .*?)```", readme, re.DOTALL)
    monkeypatch.setattr(kgen.GenerativeModel, "fit", lambda self, *a, **k: None)
    names = {"kgen": kgen}
    exec(lines, names)
    assert names["photos"].shape == (8, 64, 64, 3)


def test_the_lines_of_diffusion(monkeypatch):
    readme = (ROOT / "README.md").read_text()
    (lines,) = re.findall(r"```python\n(model = kgen.Diffusion.*?)```", readme, re.DOTALL)
    monkeypatch.setattr(kgen.GenerativeModel, "fit", lambda self, *a, **k: None)
    monkeypatch.setattr(
        "kgen.models.diffusion.denoising_unet",
        lambda shape, filters, **options: kgen.networks.denoising_mlp(
            shape, hidden=(8,), **options
        ),
    )
    images, mask = np.zeros((8, 28, 28), "uint8"), np.ones((28, 28), bool)
    names = {"x": images, "y": np.arange(8), "labels": np.arange(8)}
    exec(lines, names | {"kgen": kgen, "images": images, "mask": mask})


def test_the_lines_of_flows(monkeypatch):
    readme = (ROOT / "README.md").read_text()
    (lines,) = re.findall(r"```python\n(flow = kgen.NormalizingFlow.*?)```", readme, re.DOTALL)
    monkeypatch.setattr(kgen.GenerativeModel, "fit", lambda self, *a, **k: None)
    images = np.zeros((8, 28, 28), "uint8")
    small = lines.replace("(28, 28))", "(28, 28), steps=1, filters=8)", 1)
    assert small != lines
    exec(small, {"kgen": kgen, "x": images, "images": images})


def test_images_come_by_name(tmp_path, monkeypatch):
    """The README's own lines, on small folders and with generated celebrities."""
    import tensorflow_datasets as tfds

    monkeypatch.chdir(tmp_path)
    image = Image.fromarray(np.arange(3 * 80 * 80, dtype="uint8").reshape(80, 80, 3))
    photos = [f"photos/{name}/{i}.jpg" for name in ("cat", "dog") for i in range(5)]
    for path in (*photos, "maps/train/1.jpg"):
        pathlib.Path(path).parent.mkdir(parents=True, exist_ok=True)
        image.save(path)
    readme = (ROOT / "README.md").read_text()
    (lines,) = re.findall(r"```python\n(load = .*?)```", readme, re.DOTALL)
    names = {"kgen": kgen}
    with tfds.testing.mock_data(num_examples=5):
        exec(lines.replace('"celeb_a"', f'"celeb_a", data_dir={str(tmp_path)!r}'), names)
    shapes = {n: names[n].image_shape for n in ("digits", "faces", "ring", "celebrities")}
    assert shapes["digits"] == (28, 28, 1) and shapes["faces"] == (64, 64, 3)
    assert shapes["ring"] == (2,) and shapes["celebrities"] == (64, 64, 3)
    assert names["photos"].class_names == ["cat", "dog"] and names["photos"].augment["flip"]
    assert (names["photos"].num_examples, names["others"].num_examples) == (8, 2)
    assert names["maps"].image_shape == names["maps"].target_shape == (256, 256, 3)


def test_the_readmes_commands_name_what_exists():
    readme = (ROOT / "README.md").read_text()
    modules = re.findall(r"(recipes\.[a-z]\w+|benchmarks\.\w+)", readme)
    recipes = {f"recipes.{path.stem}" for path in (ROOT / "recipes").glob("[!_]*.py")}
    assert recipes == {name for name in modules if name.startswith("recipes")}
    for module in modules:
        assert (ROOT / (module.replace(".", "/") + ".py")).exists(), module
    for target in re.findall(r"\]\((?!http)([^)#]+)", readme):
        assert (ROOT / target).exists(), target
    (tests,) = re.findall(r"^(.*bin/python -m pytest)$", readme, re.MULTILINE)
    assert shlex.split(tests)[-3:] == [".venv/bin/python", "-m", "pytest"]
