"""What would fail after the first epoch is refused before the first step."""

import keras
import numpy as np
import pytest
from as_new import as_new
from keras import layers, ops

import kgen
from kgen.engine import preflight

X = np.random.default_rng(0).integers(0, 256, (16, 8, 8), "uint8")


def new_autoencoder():
    model = kgen.Autoencoder((8, 8), network="shallow")
    model.compile()
    return model


def autoencoder():
    return as_new("autoencoder to refuse", new_autoencoder)


def refused(model, error, words, **options):
    with pytest.raises(error, match=words):
        model.fit(X, batch_size=8, verbose=0, **options)
    assert int(model.step) == 0


@pytest.mark.parametrize(
    "data, words",
    [
        (np.zeros((4, 8, 9), "uint8"), "size differs|expects"),
        (np.zeros((4, 8, 8), "int64"), "astype"),
        (np.full((4, 8, 8), np.nan, "float32"), "NaN"),
        ((X, None, np.ones(16)), "sample weights"),
        ("images", "x must be"),
    ],
    ids=["shape", "dtype", "NaN", "weights", "string"],
)
def test_validation_data(data, words):
    refused(autoencoder(), (TypeError, ValueError), words, validation_data=data)


def test_validation_data_that_can_be_read_once():
    def once(n):
        return ((X,) for _ in range(n))

    refused(autoencoder(), ValueError, "can be read once", validation_data=once(1), epochs=2)
    model, options = autoencoder(), {"batch_size": 8, "verbose": 0}
    model.fit(X, validation_data=once(1), **options)
    model.fit(X, validation_data=once(3), validation_steps=1, epochs=2, **options)
    assert int(model.step) == 6


def test_validation_data_without_labels_or_measure():
    model = kgen.ConditionalGAN((8, 8), 3, 4, network="mlp")
    model.compile()
    with pytest.raises(ValueError, match="learns from images and labels"):
        model.fit(X, np.arange(16) % 3, validation_data=X, verbose=0)

    class Author(kgen.GenerativeModel):
        players = {"one": ["a"], "two": ["b"]}

        def update(self, batch):
            return {"loss": ops.mean(batch)}

    def network():
        return keras.Sequential([keras.Input((8, 8, 1)), layers.Dense(1)])

    model = Author(a=network(), b=network())
    model.compile()
    refused(model, NotImplementedError, "define measure", validation_data=X)
    refused(
        model,
        TypeError,
        "define generate",
        callbacks=kgen.callbacks.CollapseMonitor(np.tile(X, (4, 1, 1)), n=60),
    )
    model.fit(X, batch_size=8, verbose=0)


def test_a_sample_grid_of_what_makes_no_images(tmp_path):
    grid = kgen.callbacks.SampleGrid(tmp_path / "samples", n=4)

    class Author(kgen.Autoencoder):
        def generate(self, n, labels=None, seed=None, batch_size=None):
            return kgen.GenerativeModel.generate(self, n, labels, seed, batch_size)

    model = Author((8, 8), network="shallow")
    model.compile()
    refused(model, TypeError, "SampleGrid needs .* define generate", callbacks=[grid])
    points = kgen.GAN((2,))
    points.compile()
    with pytest.raises(ValueError, match="images must have shape"):
        points.fit(np.random.default_rng(0).normal(size=(16, 2)), verbose=0, callbacks=[grid])
    assert int(points.step) == 0
    (tmp_path / "file").write_text("")
    refused(
        autoencoder(), OSError, "file", callbacks=[kgen.callbacks.SampleGrid(tmp_path / "file")]
    )
    autoencoder().fit(X, batch_size=8, verbose=0, callbacks=[grid])
    assert {path.name for path in grid.folder.iterdir()} == {"epoch-0001.png", "samples.gif"}


def test_what_is_monitored_is_logged():
    stop = keras.callbacks.EarlyStopping
    refused(
        autoencoder(),
        ValueError,
        r"'val_loss', which .* \['loss'\].* need validation_data",
        callbacks=[stop()],
    )
    refused(autoencoder(), ValueError, "'los', which", callbacks=[stop("los", mode="min")])
    refused(
        autoencoder(), ValueError, "less or more", callbacks=[stop("val_fid")], validation_data=X
    )
    best = keras.callbacks.ModelCheckpoint("x.keras", "val_lss", mode="min", save_best_only=True)
    refused(autoencoder(), ValueError, "'val_lss', which", callbacks=[best], validation_data=X)

    class Logs(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            logs["own"] = 1.0

    evaluator = kgen.callbacks.Evaluator({"mine": lambda real, fake: 1.0}, X, n=4)
    for callbacks, options in (
        ([stop()], {"validation_data": X}),
        ([Logs(), stop("own", mode="min")], {}),
        ([evaluator, stop("val_mine", mode="min")], {}),
        ([keras.callbacks.ReduceLROnPlateau("loss"), stop("learning_rate", mode="min")], {}),
    ):
        autoencoder().fit(X, batch_size=8, verbose=0, callbacks=callbacks, **options)


def test_files_that_could_not_be_written_or_loaded(tmp_path):
    (tmp_path / "file").write_text("")
    save = keras.callbacks.ModelCheckpoint
    refused(autoencoder(), OSError, "no folder", callbacks=[save(tmp_path / "file" / "m.keras")])
    decoder = keras.Sequential(
        [keras.Input((2,)), layers.Dense(64), layers.Lambda(lambda x: x), layers.Reshape((8, 8, 1))]
    )
    model = kgen.Autoencoder((8, 8), network="shallow", decoder=decoder)
    model.compile()
    refused(model, ValueError, "lambda", callbacks=[save(tmp_path / "m.keras")])
    model.fit(
        X,
        batch_size=8,
        verbose=0,
        callbacks=[save(tmp_path / "m.weights.h5", save_weights_only=True)],
    )
    path = tmp_path / "{epoch}" / "m.keras"
    autoencoder().fit(X, batch_size=8, verbose=0, callbacks=[save(path)])
    assert (tmp_path / "1" / "m.keras").exists()


def test_names_of_checkpoints_that_the_end_of_an_epoch_could_not_fill(tmp_path):
    save = keras.callbacks.ModelCheckpoint
    for name in ("m.h5", "m.weights.h5"):
        refused(autoencoder(), ValueError, r"\.keras file", callbacks=[save(tmp_path / name)])
    for field in ("foo", "val_loss:.2f", "batch"):
        path = tmp_path / f"m{{{field}}}.keras"
        refused(autoencoder(), ValueError, "knows when an epoch ends", callbacks=[save(path)])
    for path, freq in (("{epoch:02d}-{loss:.1f}.keras", "epoch"), ("{batch}.keras", 1)):
        saving = save(tmp_path / "fine" / path, save_freq=freq)
        autoencoder().fit(X, batch_size=8, verbose=0, callbacks=[saving])
    assert len([*(tmp_path / "fine").iterdir()]) == 1 + len(X) // 8


def test_what_is_no_data_or_hides_some():
    for x in (None, 3, {1, 2}, "images"):
        with pytest.raises(TypeError, match="x must be an array of images"):
            autoencoder().fit(x, batch_size=8)
    hidden = np.ma.masked_array(X, mask=X > 200)
    refused(autoencoder(), TypeError, r"filled\(value\)", validation_data=hidden)
    for call in (autoencoder().fit, autoencoder().encode, autoencoder().predict):
        with pytest.raises(TypeError, match=r"filled\(value\)"):
            call(hidden)


def test_hooks_that_keras_could_not_call():
    of = keras.callbacks.LambdaCallback

    class Own(keras.callbacks.Callback):
        def on_batch_end(self, batch):
            pass

    for callback, words in (
        (of(on_epoch_end=lambda epoch: None), r"on_epoch_end\(epoch, logs\)"),
        (of(on_train_batch_end=lambda batch: None), r"on_train_batch_end\(batch, logs=logs\)"),
        (of(on_train_end=lambda: None), r"on_train_end\(logs\)"),
        (of(on_epoch_begin=3), "on_epoch_begin"),
        (of(on_epoch_ends=lambda epoch, logs: None), "on_epoch_ends'], which Keras never calls"),
        (Own(), r"Own.on_batch_end is called as on_batch_end\(batch, logs=logs\)"),
    ):
        refused(autoencoder(), TypeError, words, callbacks=[callback])
    callback, called = of(on_test_end=lambda: None), []
    refused(autoencoder(), TypeError, "on_test_end", callbacks=[callback], validation_data=X)
    fine = of(on_epoch_end=lambda *what: called.append(what), on_train_end=called.append)
    autoencoder().fit(X, batch_size=8, verbose=0, callbacks=[fine, callback])
    assert len(called) == 2


def test_what_callbacks_need_or_could_not_use(tmp_path, monkeypatch):
    found, missing = preflight.importlib.util.find_spec, ["tensorboard", "requests"]
    with monkeypatch.context() as patch:
        patch.setattr(
            preflight.importlib.util,
            "find_spec",
            lambda name, *package: (name not in missing and found(name, *package)) or None,
        )
        for callback in (
            keras.callbacks.TensorBoard(str(tmp_path), write_graph=False),
            keras.callbacks.RemoteMonitor(),
        ):
            words = f"{type(callback).__name__} needs .* pip install (tensorboard|requests)"
            refused(autoencoder(), ImportError, words, callbacks=[callback])
        missing.append("tensorflow")
        grid = kgen.callbacks.SampleGrid(tmp_path / "grid", tensorboard=tmp_path / "logs")
        refused(autoencoder(), ImportError, "pip install tensorflow", callbacks=[grid])
    (tmp_path / "file").write_text("")
    backup = keras.callbacks.BackupAndRestore
    for path in (tmp_path / "file", tmp_path / "file" / "backup"):
        refused(autoencoder(), OSError, "BackupAndRestore cannot", callbacks=[backup(str(path))])
    comma = keras.callbacks.CSVLogger(tmp_path / "x.csv", separator=", ")
    refused(autoencoder(), ValueError, "one character", callbacks=[comma])
    stop = keras.callbacks.EarlyStopping("loss", patience="3")
    refused(autoencoder(), ValueError, "patience of EarlyStopping must be", callbacks=[stop])
    autoencoder().fit(X, batch_size=8, verbose=0, callbacks=[backup(str(tmp_path / "a" / "b"))])


def test_what_optimizers_do_not_allow(tmp_path):
    model = new_autoencoder()  # which is compiled again
    schedule = keras.optimizers.schedules.CosineDecay(0.1, 9)
    swap = keras.callbacks.SwapEMAWeights()
    refused(model, ValueError, "use_ema=True", callbacks=[swap])
    refused(model, OSError, "it is a folder", callbacks=[keras.callbacks.ModelCheckpoint(
        str(make(tmp_path / "a.keras")))])  # fmt: skip
    model.compile(keras.optimizers.Adam(schedule))
    lower = keras.callbacks.ReduceLROnPlateau("loss")
    refused(model, ValueError, "CosineDecay sets", callbacks=[lower])
    gan = kgen.GAN((8, 8), 3, network="mlp")
    gan.compile({"generator": keras.optimizers.Adam(schedule)})
    lower = keras.callbacks.ReduceLROnPlateau("generator_loss", mode="min")
    refused(gan, ValueError, "CosineDecay sets", callbacks=[lower])


def make(folder):
    folder.mkdir()
    return folder
