import random
import subprocess
import sys

import keras
import numpy as np
import pytest
from PIL import Image

from kgen import plots
from kgen.callbacks import SampleGrid


@keras.saving.register_keras_serializable("tests")
class Painter(keras.Model):
    """Its images are one grey level, which every training epoch makes brighter."""

    def __init__(self, level=-1.0, step=0.2):
        super().__init__()
        self.dense = keras.layers.Dense(1)
        self.level, self.step = level, step
        self.calls = []

    def call(self, x):
        return self.dense(x)

    def generate(self, n, seed=None):
        self.calls.append((n, seed))
        return np.full((n, 8, 8, 1), self.level, "float32")


class Brighten(keras.callbacks.Callback):
    def __init__(self, first=0):
        super().__init__()
        self.first = first

    def on_epoch_begin(self, epoch, logs=None):
        self.model.level = -1 + 0.1 * (self.first + epoch)


def fit(callback, epochs=3, initial_epoch=0, model=None, brighter=0):
    model = Painter() if model is None else model
    model.compile("sgd", "mse")
    x = np.ones((8, 2), "float32")
    callbacks = [Brighten(brighter), callback]
    options = {"epochs": epochs, "initial_epoch": initial_epoch, "verbose": 0}
    model.fit(x, x[:, :1], callbacks=callbacks, **options)
    return model


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def gray(image):
    """The grey level in the middle of the first image of a grid of one."""
    image = image.convert("RGB")
    return image.getpixel((image.width // 2, image.height // 2))[0]


def level(epoch):
    """What `Painter` shows after this epoch (counted from 1), as a pixel."""
    return round((-1 + 0.1 * (epoch - 1) + 1) * 127.5)


def grays_of_gif(path):
    with Image.open(path) as gif:
        grays = []
        for i in range(gif.n_frames):
            gif.seek(i)
            grays.append(gray(gif))
        return grays


def test_one_picture_per_epoch_of_the_same_latents(tmp_path):
    model = fit(SampleGrid(tmp_path / "a" / "b", n=1, seed=7))
    folder = tmp_path / "a" / "b"
    assert names(folder) == ["epoch-0001.png", "epoch-0002.png", "epoch-0003.png", "samples.gif"]
    assert model.calls == [(1, 7)] * 4  # once before training
    for epoch in (1, 2, 3):
        assert gray(Image.open(folder / f"epoch-{epoch:04d}.png")) == level(epoch)
    assert grays_of_gif(folder / "samples.gif") == [level(1), level(2), level(3)]


def test_pictures_of_the_size_that_n_asks_for(tmp_path):
    model = fit(SampleGrid(tmp_path), epochs=1)
    assert model.calls == [(36, 0)] * 2
    width, height = Image.open(tmp_path / "epoch-0001.png").size
    assert abs(width - height) < 100  # 6 x 6 and a title


def test_every(tmp_path):
    fit(SampleGrid(tmp_path, n=1, every=2), epochs=5)
    assert names(tmp_path) == ["epoch-0002.png", "epoch-0004.png", "samples.gif"]
    assert grays_of_gif(tmp_path / "samples.gif") == [level(2), level(4)]


def test_resumed_run_goes_on(tmp_path):
    fit(SampleGrid(tmp_path, n=1), epochs=2)
    before = (tmp_path / "epoch-0001.png").read_bytes()
    fit(SampleGrid(tmp_path, n=1), epochs=4, initial_epoch=2)
    assert (tmp_path / "epoch-0001.png").read_bytes() == before
    assert grays_of_gif(tmp_path / "samples.gif") == [level(i) for i in (1, 2, 3, 4)]


def test_pictures_of_a_former_longer_run_are_not_used(tmp_path):
    fit(SampleGrid(tmp_path, n=1), epochs=5, brighter=10)
    fit(SampleGrid(tmp_path, n=1, every=2), epochs=4)
    assert (tmp_path / "epoch-0005.png").exists()
    assert grays_of_gif(tmp_path / "samples.gif") == [level(2), level(4)]


def test_epochs_are_ordered_by_number_and_strangers_ignored(tmp_path):
    for name in ("epoch-best.png", "epoch-12.png", "other.png"):
        (tmp_path / name).write_bytes(b"no picture")
    fit(SampleGrid(tmp_path, n=1, gif=False), 10000, initial_epoch=9998, brighter=-9998)
    fit(SampleGrid(tmp_path, n=1), 10001, initial_epoch=10000, brighter=-9998)
    assert grays_of_gif(tmp_path / "samples.gif") == [level(1), level(2), level(3)]


def test_a_long_run_has_a_small_animation_and_all_its_pictures(tmp_path, monkeypatch):
    sizes = []
    animation = plots.animation

    def noted(paths, path, seconds, max_bytes):
        sizes.append((len(paths), max_bytes))
        return animation(paths, path, seconds, max_bytes=20_000)  # as if they were larger

    monkeypatch.setattr(plots, "animation", noted)
    random = np.random.default_rng(0)

    class Noisy(Painter):
        def generate(self, n, seed=None):
            return random.uniform(-1, 1, (n, 8, 8, 3)).astype("float32")

    (tmp_path / "epoch-0000.png").mkdir()  # no picture
    fit(SampleGrid(tmp_path, n=1), epochs=12, model=Noisy())
    assert sizes == [(12, 2**20)] and len(list(tmp_path.glob("epoch-*.png"))) == 13
    with Image.open(tmp_path / "samples.gif") as gif:
        assert 8 <= gif.n_frames <= 12
    assert (tmp_path / "samples.gif").stat().st_size < 60_000


def test_no_animation_without_being_asked(tmp_path):
    fit(SampleGrid(tmp_path, n=1, gif=False), epochs=1)
    assert names(tmp_path) == ["epoch-0001.png"]


def test_no_animation_without_pictures(tmp_path):
    fit(SampleGrid(tmp_path, n=1, every=10), epochs=2)
    assert names(tmp_path) == []


def test_training_is_not_disturbed(tmp_path):
    def weights(callbacks):
        keras.utils.set_random_seed(3)
        model = keras.Sequential([keras.layers.Dense(4), keras.layers.Dropout(0.5)])
        model.generate = lambda n, seed: np.zeros((n, 4, 4, 3), "float32")
        model.compile("adam", "mse")
        x = np.random.rand(32, 4).astype("float32")  # noqa: NPY002, what is tested
        model.fit(x, x, epochs=3, batch_size=8, verbose=0, callbacks=callbacks)
        return [*model.get_weights(), random.random(), np.random.rand()]  # noqa: NPY002

    for left, right in zip(weights([]), weights([SampleGrid(tmp_path)]), strict=True):
        np.testing.assert_array_equal(left, right)


def test_image_summaries(tmp_path):
    import tensorflow as tf

    logs = tmp_path / "logs"
    fit(SampleGrid(tmp_path / "a", n=1, tensorboard=logs), epochs=2)
    fit(SampleGrid(tmp_path / "a", n=1, tensorboard=logs), epochs=3, initial_epoch=2)
    files = sorted((logs / "samples").iterdir())
    assert len(files) == 2 and all("tfevents" in path.name for path in files)
    found, versions = [], []
    for path in files:
        for event in tf.compat.v1.train.summary_iterator(str(path)):
            versions += [event.file_version] if event.file_version else []
            for value in event.summary.value:
                assert value.tag == "samples"
                size = (value.image.width, value.image.height)
                found.append((event.step, size, value.image.encoded_image_string))
    assert versions == ["brain.Event:2"] * 2
    paths = [tmp_path / "a" / f"epoch-000{i}.png" for i in (1, 2, 3)]
    wanted = [(i, Image.open(path).size, path.read_bytes()) for i, path in enumerate(paths, 1)]
    assert found == wanted


def test_summaries_leave_the_devices_alone(tmp_path):
    code = f"""
from kgen import plots
from kgen.callbacks import SampleGrid
from kgen import plots
import numpy as np, sys
callback = SampleGrid({str(tmp_path)!r}, tensorboard={str(tmp_path)!r})
plots.grid(np.zeros((1, 4, 4, 1), "float32"), path={str(tmp_path / "a.png")!r})
callback._write_summary(callback.folder / "a.png", 1)
from tensorflow.python.eager import context
assert context.context()._context_handle is None
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_disk_trouble_is_a_warning(tmp_path):
    callback = SampleGrid(tmp_path / "a", n=1)
    callback.set_model(Painter())
    callback.on_train_begin()
    (tmp_path / "a").rmdir()
    (tmp_path / "a").write_text("a file in the way")
    with pytest.warns(UserWarning, match=r"epoch 1: .*Cannot write .*epoch-0001\.png"):
        callback.on_epoch_end(0)
    callback.on_train_end()
    assert (tmp_path / "a").read_text() == "a file in the way"


def test_folder_that_cannot_be_made_is_said_before_training(tmp_path):
    (tmp_path / "file").write_text("")
    model = Painter()
    with pytest.raises(OSError, match="file"):
        fit(SampleGrid(tmp_path / "file" / "samples"), model=model)
    assert model.calls == []


def test_model_without_generate(tmp_path):
    model = keras.Sequential([keras.layers.Dense(1)])
    with pytest.raises(TypeError, match="needs a model with generate"):
        fit(SampleGrid(tmp_path), model=model)


@pytest.mark.parametrize("options", [{"n": 0}, {"n": 1.5}, {"every": 0}, {"every": -1}])
def test_bad_numbers(tmp_path, options):
    with pytest.raises(ValueError, match=f"{next(iter(options))} must be a positive integer"):
        SampleGrid(tmp_path, **options)
