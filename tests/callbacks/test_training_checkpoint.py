"""A run that is interrupted anywhere ends as if it had not been."""

import collections
import io
import itertools
import json
import os
import pathlib
import random
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import warnings
import zipfile
from functools import cache

import keras
import numpy as np
import pytest
from as_new import as_new
from keras import ops
from toy import ToyGAN, compiled, points, toy

import kgen
from kgen.callbacks import TrainingCheckpoint, training_checkpoint
from kgen.engine import feed, state
from kgen.engine.run import Run

TESTS = pathlib.Path(__file__).parents[1]
XLA = keras.backend.backend() == "jax"  # where steps are compiled with it in any case


# In processes of their own.


def start(folder, *options):
    return subprocess.Popen(
        [sys.executable, TESTS / "resumable.py", folder, *options],
        env={**os.environ, "PYTHONPATH": str(TESTS.parent)},
        stdout=subprocess.PIPE,
        text=True,
    )


def finish(folder, *options):
    """Run to the end; returns the digest of all that the run left."""
    process = start(folder, *options)
    output, _ = process.communicate()
    assert process.returncode == 0, output
    return output.split("digest ")[1].split()[0]


def test_killed_at_a_batch_and_in_a_write_then_continued(tmp_path):
    whole, killed = [str(tmp_path / "whole"), "toy"], [str(tmp_path / "killed"), "toy"]
    kills = ["--kill-at", "7"], ["--kill-in-write", "150"], ["--kill-at", "14"]
    runs = [whole, *[killed + kill for kill in kills], killed]
    output, _ = start(*itertools.chain(*[["then", *run] for run in runs])).communicate()
    ended = re.findall(r"ended (\S+)", output)
    assert ended == ["0", *["-9"] * len(kills), "0"], output
    digests = re.findall(r"digest (\w+)", output)
    assert len(digests) == 2 and len(set(digests)) == 1


@pytest.mark.full
@pytest.mark.parametrize("model", ["toy", "vae"])
def test_killed_at_20_random_moments(model, tmp_path):
    """Moments in real time, from the first batch on; checkpoints at every batch or every third."""
    options = (model, "--epochs", "30")
    whole = finish(tmp_path / "whole", *options)
    moments, kills, in_write = random.Random(0), 0, 0
    while kills < 20:
        process = start(tmp_path / "killed", *options, "--every", str(moments.choice([1, 3])))
        for line in process.stdout:
            if line.strip() == "begun":
                break
        timer = threading.Timer(moments.uniform(0.05, 1.5), process.kill)
        timer.start()
        process.communicate()
        timer.cancel()
        if process.returncode == 0:  # came to its end first: start over
            assert finish(tmp_path / "killed", *options) == whole
            shutil.rmtree(tmp_path / "killed")
            continue
        kills += 1
        in_write += any((tmp_path / "killed" / "run").glob(".writing-*"))
    print(f"{kills} kills, {in_write} of them in the middle of a write")
    assert finish(tmp_path / "killed", *options) == whole


# In this process.


class Interrupt(keras.callbacks.Callback):
    """Calls `what` at one batch, counted from where `fit` starts."""

    def __init__(self, at, what):
        super().__init__()
        self.at, self.what, self.batches = at, what, itertools.count(1)

    def on_train_batch_begin(self, batch, logs=None):
        if next(self.batches) == self.at:  # an iterator is nothing that a checkpoint restores
            self.what()


class Cut(Exception):
    pass


def cut():
    raise Cut


@cache
def whole(epochs=3, steps_per_epoch=None):
    """State of a model after a run that was not cut."""
    fit(model := toy(), epochs=epochs, steps_per_epoch=steps_per_epoch)
    return state.capture(model)


def fit(model, folder=None, *callbacks, every="epoch", epochs=3, **options):
    checkpoint = [TrainingCheckpoint(folder, every=every)] if folder else []
    options = {"x": points(256), "batch_size": 32, "verbose": 0} | options
    return model.fit(epochs=epochs, callbacks=[*callbacks, *checkpoint], **options)


def saved(folder):
    return sorted(p.name for p in folder.glob("checkpoint-*.npz"))


def same(a, b):
    return a.keys() == b.keys() and all(np.array_equal(a[n], b[n]) for n in a)


def test_all_callbacks_go_on_as_if_uninterrupted(tmp_path):
    def callbacks(folder):
        return [
            keras.callbacks.CSVLogger(folder / "log.csv"),
            keras.callbacks.EarlyStopping(
                "val_discriminator_loss", mode="min", patience=9, restore_best_weights=True
            ),
            keras.callbacks.ReduceLROnPlateau(
                "discriminator_loss", mode="min", factor=0.5, patience=1, min_delta=5.0
            ),
        ]

    results = {}
    for name, cuts in (("whole", []), ("cut", [6, 3, 9])):
        folder = tmp_path / name
        folder.mkdir()
        for at in cuts:
            with pytest.raises(Cut):
                fit(toy(), folder / "run", *callbacks(folder), Interrupt(at, cut), every=2,
                    epochs=12, validation_data=points(50, 1))  # fmt: skip
        model = compiled() if cuts else toy()
        history = fit(model, folder / "run", *callbacks(folder), every=2, epochs=12,
                      validation_data=points(50, 1))  # fmt: skip
        log = (folder / "log.csv").read_bytes()
        results[name] = history.history, history.epoch, log, state.capture(model)
    uncut, parts = results["whole"], results["cut"]
    assert parts[:3] == uncut[:3]
    assert len(set(uncut[0]["learning_rate_generator"])) > 1  # the rate was reduced on the way
    assert same(parts[3], uncut[3])
    # Fitted again, a finished run trains nothing and tells its whole history.
    again = toy()
    history = fit(again, tmp_path / "cut" / "run", *callbacks(tmp_path / "cut"), every=2,
                  epochs=12, validation_data=points(50, 1))  # fmt: skip
    assert history.history == uncut[0]
    assert same(state.capture(again), uncut[3])


def interrupted_and_whole(tmp_path, callbacks, make=toy, at=6):
    """The same run, cut once in mid-epoch and not cut; returns both states and histories.

    The model that goes on is a new one, unless `make` is another.
    """
    with pytest.raises(Cut):
        fit(make(), tmp_path, *callbacks(), Interrupt(at, cut), every=1)
    results = []
    for new, folder in (({toy: compiled}.get(make, make), tmp_path), (make, None)):
        history = fit(model := new(), folder, *callbacks(), every=1).history
        results.append((state.capture(model), history))
    return *results, model


def test_what_is_done_at_an_epochs_beginning_is_done_once(tmp_path):
    """The form of a schedule in Keras's documentation: the new rate from the old one."""

    def callbacks():
        return [keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate / 2)]

    (parts, history), (uncut, uncut_history), _ = interrupted_and_whole(tmp_path, callbacks)
    assert history == uncut_history
    assert history["learning_rate_generator"] == pytest.approx([5e-4, 2.5e-4, 1.25e-4])
    assert same(parts, uncut)


def test_averages_of_an_optimizer_replace_the_weights_once(tmp_path):
    """Keras does so at the end of each of its `fit`s; a resumed epoch is one of its own."""

    def new():
        model = compiled()
        model.compile(
            {p: keras.optimizers.Adam(1e-2, use_ema=True, ema_momentum=0.5) for p in model.players}
        )
        return model

    (parts, history), (uncut, uncut_history), model = interrupted_and_whole(
        tmp_path, list, lambda: as_new("toy with averages", new)
    )
    assert history == uncut_history
    assert same(parts, uncut)
    for player in model.players:
        averages = model.optimizer[player]._model_variables_moving_average
        for weight, average in zip(model.variables_of(player), averages, strict=True):
            np.testing.assert_array_equal(
                ops.convert_to_numpy(weight), ops.convert_to_numpy(average)
            )


class Diary(keras.callbacks.Callback):
    """State of every kind that a checkpoint keeps."""

    def __init__(self):
        super().__init__()
        self.number, self.array, self.rows, self.pair = 0, np.zeros(2), [], (0, "a")
        self.seen, self.by_batch, self.best = set(), {}, np.float32(0)

    def on_train_batch_end(self, batch, logs=None):
        self.number += 1
        self.array[batch % 2] += 1
        self.rows.append((batch, [self.number, None]))
        self.pair = (self.number, "b")
        self.seen.add(batch)
        self.by_batch[batch] = self.by_batch.get(batch, 0) + 1
        self.best = np.float32(self.number / 3)


def test_callbacks_of_ones_own_keep_their_state(tmp_path):
    diaries = [Diary() for _ in range(3)]
    given = iter(diaries)
    interrupted_and_whole(tmp_path, lambda: [next(given)], lambda: toy(), at=7)
    _, resumed, uncut = diaries
    for name, value in vars(uncut).items():
        if name in ("number", "rows", "pair", "seen", "by_batch", "best"):
            assert getattr(resumed, name) == value and type(getattr(resumed, name)) is type(value)
    np.testing.assert_array_equal(resumed.array, uncut.array)
    assert uncut.number == 12 and resumed.array is not uncut.array


def test_the_best_is_remembered_whoever_saves(tmp_path):
    """A callback object that is used again starts from its own past; a new one must know it too."""

    def best():
        return keras.callbacks.ModelCheckpoint(
            tmp_path / "best.keras", "generator_loss", save_best_only=True, mode="min"
        )

    first = best()
    for epochs in (1, 2):
        fit(toy(), tmp_path / "run", first, epochs=epochs)
    again = best()
    fit(toy(), tmp_path / "run", again, epochs=2)
    assert again.best == first.best and np.isfinite(first.best)


def test_a_limit_of_time_lets_the_run_go_on(tmp_path):
    class Budget(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.model.stop_training = True

    for epochs in (1, 2, 3):
        history = fit(model := toy(), tmp_path, Budget())
        assert len(history.epoch) == epochs
    assert same(state.capture(model), whole())


def test_the_same_model_is_fitted_again_after_an_interrupt(tmp_path):
    """As in a notebook: the optimizer's rate has moved, but it was compiled with another."""

    def halve():
        return keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate / 2)

    fit(uncut := toy(), None, halve())
    uncut = state.capture(uncut)
    model = toy()
    with pytest.raises(Cut):
        fit(model, tmp_path, halve(), Interrupt(10, cut), every=1)
    fit(model, tmp_path, halve(), every=1)
    assert same(state.capture(model), uncut)


def test_numbers_of_any_length_are_found(tmp_path):
    names = [f"checkpoint-{n:010d}.npz" for n in (4, 10**9, 9 * 10**9, 12345678901)]
    for name in reversed(names):
        (tmp_path / name).touch()
    assert [path.name for path in TrainingCheckpoint(tmp_path)._paths()] == names


def test_a_run_that_stopped_early_stays_stopped(tmp_path):
    stop = lambda: keras.callbacks.EarlyStopping(  # noqa: E731
        "generator_loss", mode="min", patience=3, min_delta=1e9
    )
    first = fit(toy(), tmp_path, stop(), epochs=9)
    assert len(first.epoch) == 4
    model = toy()
    assert fit(model, tmp_path, stop(), epochs=9).epoch == first.epoch
    assert int(model.step) == 4 * 4


def test_more_epochs_continue(tmp_path):
    fit(toy(), tmp_path, epochs=2)
    history = fit(model := compiled(), tmp_path, epochs=5)
    assert history.epoch == list(range(5))
    assert same(state.capture(model), whole(epochs=5))


def test_what_is_kept(tmp_path):
    fit(toy(), tmp_path / "epochs", epochs=5)
    assert saved(tmp_path / "epochs") == [f"checkpoint-{n:010d}.npz" for n in (12, 16, 20)]
    model = toy()
    checkpoint = TrainingCheckpoint(tmp_path / "steps", every=3, keep=10)
    model.fit(points(256), batch_size=32, epochs=2, verbose=0, callbacks=[checkpoint])
    assert saved(tmp_path / "steps") == [f"checkpoint-{n:010d}.npz" for n in (3, 4, 7, 8)]
    assert checkpoint.last_saved.name == "checkpoint-0000000008.npz"
    checkpoint = TrainingCheckpoint(tmp_path / "seconds", every="0.000001s", keep=99)
    toy().fit(points(256), batch_size=32, epochs=2, verbose=0, callbacks=[checkpoint])
    assert len(saved(tmp_path / "seconds")) == 8


def test_every_and_keep():
    for every in ("epochs", 0, -3, 2.5, "5 fortnights", "0s", None, True):
        with pytest.raises(ValueError, match="every"):
            TrainingCheckpoint("run", every=every)
    for keep in (0, -1, 1.5):
        with pytest.raises(ValueError, match="keep"):
            TrainingCheckpoint("run", keep=keep)
    assert TrainingCheckpoint("run", every="2 min")._seconds == 120


@pytest.mark.parametrize(
    "change, words",
    [
        ({"k": 1}, "model.k"),
        ({"seed": 7}, "model.seed"),
        ({"rate": 1e-4}, "learning_rate: saved 0.001"),
        ({"x": points(256, 9)}, "data.fingerprint"),
        ({"batch_size": 16}, "data.batch_size"),
        ({"dtype": "mixed_bfloat16"}, 'precision: saved "float32", now "mixed_bfloat16"'),
        ({"dropout": 0.5}, "discriminator"),
        *([({"jit": True}, "jit_compile: saved false")] if not XLA else []),
    ],
    ids=lambda c: next(iter(c)) if isinstance(c, dict) else "",
)
def test_another_configuration_is_refused_and_named(change, words, tmp_path):
    fit(toy(), tmp_path, epochs=1)
    fitting = {n: v for n, v in change.items() if n in ("x", "batch_size")}
    building = {n: v for n, v in change.items() if n in ("k", "seed", "dtype", "dropout")}
    keras.utils.set_random_seed(3)
    model = ToyGAN(**{"k": 2, **building})
    rate = change.get("rate", 1e-3)
    optimizers = {p: keras.optimizers.Adam(rate, beta_1=0.5) for p in model.players}
    model.compile(optimizers, jit_compile=change.get("jit", "auto"))
    before = state.capture(model)
    with pytest.raises(ValueError, match="another configuration") as error:
        fit(model, tmp_path, **fitting)
    assert words in str(error.value)
    assert same(state.capture(model), before)


def edit(path, change):
    """Rewrite a checkpoint with another `meta.json`."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    meta = json.loads(members["meta.json"])
    change(meta)
    members["meta.json"] = json.dumps(meta)
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def test_another_backend_is_refused(tmp_path):
    fit(toy(), tmp_path, epochs=1)
    edit(next(tmp_path.glob("checkpoint-*")), lambda meta: meta["run"].update(backend="abacus"))
    with pytest.raises(ValueError, match='backend: saved "abacus"'):
        fit(toy(), tmp_path)


def falls_back(folder, path, content):
    """Damage a checkpoint; the one before is taken, and nothing is lost."""
    path.write_bytes(content)
    model = toy()
    with pytest.warns(UserWarning, match="falling back to the checkpoint before it, checkpoint-"):
        fit(model, folder, epochs=4)
    assert path.with_suffix(".damaged").read_bytes() == content
    return model


@pytest.mark.parametrize("damage", ["truncated", "flipped"])
def test_a_damaged_checkpoint_falls_back_to_the_one_before(damage, tmp_path):
    fit(toy(), tmp_path, epochs=3)
    newest = tmp_path / saved(tmp_path)[-1]
    content = bytearray(newest.read_bytes())
    if damage == "truncated":
        content = content[: len(content) // 2]
    else:
        middle = slice(len(content) // 2, len(content) // 2 + 1000)  # more than a member's header
        content[middle] = bytes(255 - byte for byte in content[middle])
    model = falls_back(tmp_path, newest, content)
    assert same(state.capture(model), whole(epochs=4))


@pytest.fixture
def resuming(tmp_path):
    """A whole checkpoint, and a function that says what a run resumes from."""
    model = toy()
    fit(model, tmp_path, epochs=1)
    checkpoint = TrainingCheckpoint(tmp_path)
    source = feed.training_source(model, points(256), None, 32, True, None)
    run = Run(model, source, checkpoint, [], 0, 3, source.batches_per_epoch)
    checkpoint.run_description = checkpoint._describe(run)
    (path,) = tmp_path.glob("checkpoint-*.npz")
    return path, lambda: checkpoint._restore_newest(run, 0)


def header(dtype, shape):
    """The beginning of a `.npy` file."""
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        file, {"descr": dtype, "fortran_order": False, "shape": shape}
    )
    return file.getvalue()


def rewrite(path, change):
    """Rewrite a checkpoint with other members, stored."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    change(members)
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def test_mutated_and_truncated_files_fall_back(resuming):
    path, resume = resuming
    good, mutate = path.read_bytes(), random.Random(0)
    before = path.with_name("checkpoint-0000000002.npz")  # not of its position: damaged, too
    results = collections.Counter()
    for _ in range(400):
        content = bytearray(good)
        kind = mutate.choice(["cut", "bytes", "bytes", "zeros", "directory", "insert"])
        at = mutate.randrange(len(content))
        if kind == "cut":
            del content[at:]
        elif kind == "zeros":
            content[at : at + 5000] = bytes(len(content[at : at + 5000]))
        elif kind == "insert":
            content[at:at] = mutate.randbytes(9)
        else:
            for _ in range(mutate.randint(1, 30)):
                low = len(content) - 3000 if kind == "directory" else 0
                content[mutate.randrange(low, len(content))] = mutate.randrange(256)
        path.write_bytes(content)
        with warnings.catch_warnings(record=True):
            found = resume()
        assert found is None or (found["epoch"], found["batch"]) == (1, 0)
        assert (found is None) == (not path.exists())
        results[found is None] += 1
    assert results[True] > 300
    path.write_bytes(b"GIF89a" * 100)
    before.write_bytes(good)
    with pytest.warns(UserWarning) as told:
        assert resume() is None
    assert [str(w.message).split("; ")[-1][:25] for w in told] == [
        "falling back to the check", "the run starts from its b"
    ]  # fmt: skip


HOSTILE = {
    "nested": lambda m: m.update({"meta.json": b"[" * 10**5}),
    "no text": lambda m: m.update({"meta.json": b"\xff\xfe"}),
    "no dictionary": lambda m: m.update({"meta.json": b"3"}),
    "no member": lambda m: m.pop("model/0000.npy"),
    "huge": lambda m: m.update({"model/0000.npy": header("<f8", (2**40, 2**10))}),
    "negative": lambda m: m.update({"model/0000.npy": header("<f8", (-1, 4)) + bytes(32)}),
    "pickled": lambda m: m.update({"model/0000.npy": header("|O", (1,)) + b"cos\n"}),
    "no header": lambda m: m.update({"model/0000.npy": b"\x93NUMPY\x01\0\x04\0{'(("}),
    "nested header": lambda m: m.update(
        {"model/0000.npy": b"\x93NUMPY\x01\0\x10\x27" + b"(" * 10000}
    ),
    "of version 9": lambda m: m.update({"model/0000.npy": b"\x93NUMPY\x09\0" + bytes(99)}),
    "empty": lambda m: m.update({"model/0000.npy": b""}),
}
SAID = {
    "epoch": [10**9, -1, 1.5, "1", True, None, float("nan"), 2],
    "batch": [4, 10**9, -1, 0.0, "0"],
    "format": [0.5, "1", None, -1],
    "callbacks": [None, 3, [], {"History-0": 3}],
    "checksums": [None, {}, {"model/0000": 3}],
    "run": [None],
}


def test_what_no_checkpoint_holds_or_says_is_damage(resuming):
    path, resume = resuming
    good = path.read_bytes()

    def refused(change):
        path.write_bytes(good)
        change()
        with pytest.warns(UserWarning, match="is damaged .* now called .*the run starts from its"):
            assert resume() is None, change

    for change in HOSTILE.values():
        refused(lambda change=change: rewrite(path, change))
    for key, values in SAID.items():
        for value in values:
            refused(lambda k=key, v=value: edit(path, lambda meta: meta.update({k: v})))
    refused(lambda: edit(path, lambda meta: meta.pop("epoch")))

    def squeezed():
        with zipfile.ZipFile(path) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in members.items():
                archive.writestr(name, content)

    refused(squeezed)


def test_another_format_is_no_damage(resuming):
    path, resume = resuming
    edit(path, lambda meta: (meta.update(format=2), meta.pop("checksums")))
    with pytest.raises(ValueError, match="has format 2, and this version of kgen reads format 1"):
        resume()
    assert path.exists()


def test_a_damaged_checkpoint_does_not_outlive_those_after_it(tmp_path):
    fit(toy(), tmp_path, epochs=2)
    for name in saved(tmp_path):
        (tmp_path / name).write_bytes(b"")
    checkpoint = TrainingCheckpoint(tmp_path, keep=1)
    with pytest.warns(UserWarning, match="is damaged"):
        toy().fit(points(256), batch_size=32, epochs=1, verbose=0, callbacks=[checkpoint])
    assert saved(tmp_path) == ["checkpoint-0000000004.npz"]


def test_the_working_directory_may_change(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "elsewhere").mkdir()
    moves = Interrupt(6, lambda: os.chdir(tmp_path / "elsewhere"))
    np.save("points.npy", points(256))
    for epochs in (2, 3):
        os.chdir(tmp_path)
        data = kgen.data.load("points.npy", memory=0, batch_size=32)  # read again in each epoch
        fit(toy(), "run", keras.callbacks.CSVLogger("log.csv"), moves, x=data, epochs=epochs)
    assert len(saved(tmp_path / "run")) == 3 and not list((tmp_path / "elsewhere").iterdir())
    rows = (tmp_path / "log.csv").read_text().splitlines()
    assert [row.split(",")[0] for row in rows] == ["epoch", "0", "1", "2"]


def test_a_folder_that_is_removed_meanwhile(tmp_path):
    def remove(epoch, logs):
        shutil.rmtree(tmp_path / "run")

    removing = keras.callbacks.LambdaCallback(on_epoch_begin=remove)
    with pytest.raises(OSError, match="could not be written"):
        fit(toy(), tmp_path / "run", removing)


def test_a_clock_before_1980(resuming, tmp_path, monkeypatch):
    past = time.struct_time((1979, 12, 31, 0, 0, 0, 0, 365, 0))
    monkeypatch.setattr(time, "localtime", lambda *args: past)
    path, _ = resuming
    training_checkpoint._write(path, {}, {"a": np.zeros(3)})
    with zipfile.ZipFile(path) as archive:
        assert {info.date_time[0] for info in archive.infolist()} == {1980}


def test_two_runs_in_one_folder(tmp_path):
    """The first goes on, the second is refused; one that was killed holds nothing."""
    lines = """
import fcntl, os, sys
lock = open(".lock", "a+")
fcntl.lockf(lock, fcntl.LOCK_EX)
print(f"process {os.getpid()} on another", file=lock, flush=True)
os.mkdir(".writing-half")
print("locked", flush=True)
sys.stdin.read()
"""
    other = subprocess.Popen(
        [sys.executable, "-c", lines],
        cwd=tmp_path,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert other.stdout.readline() == "locked\n"
    try:
        with pytest.raises(OSError, match=rf"(?s)Another run .*{tmp_path}.*process {other.pid} on"):
            fit(toy(), tmp_path)
        assert (tmp_path / ".writing-half").exists()  # it is the other's
    finally:
        other.kill()
        other.communicate()
    refused = []

    def again():
        with pytest.raises(OSError, match=r"Another run .*\(this process\)"):
            fit(toy(), tmp_path, epochs=1)
        refused.append(1)

    fit(toy(), tmp_path, Interrupt(2, again), epochs=1)
    assert refused and saved(tmp_path) and not (tmp_path / ".writing-half").exists()


def test_what_a_lock_links_to_is_not_written_to(tmp_path):
    victim = tmp_path / "victim"
    victim.write_text("mine")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / ".lock").symlink_to(victim)
    with pytest.raises(OSError, match="cannot be written"):
        training_checkpoint._Lock(tmp_path / "run")
    assert victim.read_text() == "mine"


def test_leftovers_of_a_killed_write_are_removed(tmp_path):
    fit(toy(), tmp_path, epochs=1)
    (tmp_path / ".writing-half").mkdir()
    (tmp_path / ".writing-half" / "checkpoint-0000000099.npz").write_bytes(b"half")
    fit(toy(), tmp_path, epochs=2)
    assert not list(tmp_path.glob(".writing-*"))


def test_ctrl_c_at_the_very_end_is_not_lost(tmp_path):
    class Late(keras.callbacks.Callback):
        def on_train_end(self, logs=None):
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        fit(toy(), tmp_path, Late(), epochs=1)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_leave_a_checkpoint_from_which_the_run_continues(number, tmp_path):
    handlers = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt if number == signal.SIGINT else SystemExit):
        fit(toy(), tmp_path, Interrupt(6, lambda: os.kill(os.getpid(), number)))
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == handlers
    assert saved(tmp_path)[-1] == "checkpoint-0000000006.npz"
    fit(model := toy(), tmp_path)
    assert same(state.capture(model), whole())


HOOKS = {  # of a callback, and at which of their calls it raises
    "on_train_begin": 1,
    "on_epoch_begin": 2,
    "on_train_batch_begin": 6,
    "on_train_batch_end": 6,
    "on_epoch_end": 2,
    "on_train_end": 1,
}


def test_a_callback_that_raises_loses_nothing(tmp_path):
    for hook, number in HOOKS.items():
        calls, raising = itertools.count(1), keras.callbacks.Callback()
        setattr(raising, hook, lambda *a, n=number, c=calls, **k: next(c) == n and cut())
        with pytest.raises(Cut):
            fit(toy(), tmp_path / hook, raising, every=1, epochs=2)
        fit(model := toy(), tmp_path / hook, every=1, epochs=2)
        assert same(state.capture(model), whole(epochs=2)), hook


def test_a_loss_that_is_not_finite_leaves_the_last_good_checkpoint(tmp_path):
    bad = points(256).copy()
    model = toy()
    poison = Interrupt(
        7, lambda: model.discriminator.weights[0].assign(np.full((2, 32), np.nan, "float32"))
    )
    if keras.backend.backend() == "jax":  # where `fit` holds the values of the variables
        return test_a_scheduled_explosion(tmp_path)
    with pytest.raises(
        kgen.NonFiniteLoss, match=r"(?s)'discriminator'.* step 6 .*checkpoint-"
    ) as error:
        fit(model, tmp_path, poison, every=2, epochs=3, x=bad)
    assert "checkpoint-0000000006" in str(error.value)
    again = toy()
    fit(again, tmp_path, every=2, epochs=3, x=bad)
    assert int(again.step) == 12


def test_a_scheduled_explosion(tmp_path):
    """A learning rate that destroys the weights in the second epoch, on every backend."""

    def exploding():
        keras.utils.set_random_seed(3)
        model = ToyGAN(k=1)
        rates = keras.optimizers.schedules.PiecewiseConstantDecay([10], [1e-3, 1e30])
        model.compile({p: keras.optimizers.SGD(rates) for p in model.players})
        return model

    with pytest.raises(
        kgen.NonFiniteLoss, match=r"(?s)not finite at step \d+ \(epoch 2\).*finite.*000008"
    ):
        fit(exploding(), tmp_path, epochs=3)
    assert saved(tmp_path) == ["checkpoint-0000000008.npz"]
    with pytest.raises(kgen.NonFiniteLoss):  # resumed from the last good one, it fails again
        fit(exploding(), tmp_path, epochs=3)


def test_a_step_may_have_diverged_before_its_loss_does(tmp_path):
    """The loss of step 6 is finite, its weights are, and they are worth nothing."""
    keras.utils.set_random_seed(3)
    model = ToyGAN(k=1)
    rates = keras.optimizers.schedules.PiecewiseConstantDecay([5, 6], [1e-3, 1e12, 1e35])
    model.compile({p: keras.optimizers.SGD(rates) for p in model.players})
    with pytest.raises(kgen.NonFiniteLoss) as error:
        fit(model, tmp_path, every=1, epochs=3)
    told = dict(re.findall(r"checkpoint-(\d+)\.npz: largest weight (\S+),", str(error.value)))
    assert [int(number) for number in told][-1] < 7 <= max(int(number) for number in told)
    largest = [float(weight) for weight in told.values()]  # the newest first
    assert largest[0] > 1e6 and largest == sorted(largest, reverse=True)
    assert "Finite is not good" in str(error.value) and "generator_loss" in str(error.value)


@keras.saving.register_keras_serializable("kgen_tests")
class Root(kgen.GenerativeModel):
    """From step 6 on, its loss is the norm of zero: finite, with a gradient that is not."""

    players = {"model": ["network"]}

    def objective(self, batch, training):
        y = self.network(batch, training=training)
        return ops.sqrt(ops.sum(ops.square(ops.where(self.step >= 6, 0.0, 1.0) * y)))


def test_a_gradient_that_is_not_finite_leaves_the_last_good_checkpoint(tmp_path):
    for options, kept in (({"folder": tmp_path, "every": 1}, ".*000006"), ({}, "")):
        network = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
        model = Root(network=network)
        model.compile("sgd")
        with pytest.raises(
            kgen.NonFiniteLoss, match=rf"(?s)gradient of player 'model'.* step 6 {kept}"
        ):
            fit(model, x=points(224), epochs=1, **options)
    assert saved(tmp_path)[-1] == "checkpoint-0000000006.npz"


def linear():
    network = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model = Mean(network=network)
    model.compile("sgd")
    return model


@keras.saving.register_keras_serializable("kgen_tests")
class Mean(kgen.GenerativeModel):
    players = {"model": ["network"]}

    def objective(self, batch, training):
        return ops.mean(ops.square(self.network(batch, training=training)))


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e300])  # the last one is finite in float64
@pytest.mark.parametrize("steps", [None, 3])
def test_the_data_is_named_as_the_cause(value, steps):
    data = kgen.data.ImageDataset(points(64).astype("float64"), batch_size=8, name="clouds")
    data.fetch(np.arange(1))
    data._images[37] = value  # after it was looked at
    with pytest.raises(kgen.NonFiniteLoss) as error:
        linear().fit(data, epochs=3, steps_per_epoch=steps, verbose=0)
    assert "in the examples [37] of 'clouds'" in str(error.value)
    assert "learning rate" not in str(error.value)


def test_data_in_batches_is_looked_at_and_rates_are_named_where_it_is_whole():
    def batches():
        for batch in range(8):
            yield (np.full((8, 2), np.nan if batch == 5 else 0.5, "float32"),)

    with pytest.raises(ValueError, match=r"Batch 6 .* NaN"):
        linear().fit(batches(), epochs=1, steps_per_epoch=8, verbose=0)
    rates = keras.optimizers.SGD(1e30)
    model = linear()
    model.compile(rates)
    with pytest.raises(kgen.NonFiniteLoss, match="lower learning rate") as error:
        model.fit(points(64), epochs=9, batch_size=8, verbose=0)
    assert "holds NaN" not in str(error.value)


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OSError, match=r"cannot be written.*file"):
        fit(toy(), tmp_path / "file" / "run")


def test_a_full_disk_keeps_the_checkpoint_before(tmp_path, full_disk):
    fit(toy(), tmp_path, epochs=1)
    with full_disk(), pytest.raises(OSError, match=r"could not be written.*04.npz stays"):
        fit(toy(), tmp_path, epochs=2)
    assert sorted(p.name for p in tmp_path.iterdir()) == [".lock", "checkpoint-0000000004.npz"]
    fit(model := toy(), tmp_path, epochs=2)
    assert same(state.capture(model), whole(epochs=2))


def test_data_without_a_position_is_saved_at_the_ends_of_epochs(tmp_path):
    def batches():
        while True:
            yield (points(64),)

    options = {"x": batches(), "batch_size": None, "steps_per_epoch": 3, "every": 1}
    with pytest.warns(UserWarning, match="order of this generator") as warned:
        fit(toy(), tmp_path, epochs=2, **options)
    assert len([w for w in warned if "order of this" in str(w.message)]) == 1
    assert len(saved(tmp_path)) == 2
    model = toy()
    with pytest.warns(UserWarning, match="order of this"):
        history = fit(model, tmp_path, epochs=3, **{**options, "x": batches()})
    assert history.epoch == [0, 1, 2] and int(model.step) == 9


def test_steps_per_epoch_resume_exactly(tmp_path):
    with pytest.raises(Cut):
        fit(toy(), tmp_path, Interrupt(6, cut), every=1, epochs=4, steps_per_epoch=3)
    fit(model := compiled(), tmp_path, every=1, epochs=4, steps_per_epoch=3)
    assert same(state.capture(model), whole(epochs=4, steps_per_epoch=3))


def test_models_and_runs_that_cannot_be_resumed(tmp_path):
    plain = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)])
    plain.compile("sgd", "mse")
    with pytest.raises(TypeError, match="BackupAndRestore"):
        plain.fit(points(), points(), verbose=0, callbacks=[TrainingCheckpoint(tmp_path)])
    with pytest.raises(ValueError, match="several"):
        fit(toy(), tmp_path / "a", TrainingCheckpoint(tmp_path / "b"))
