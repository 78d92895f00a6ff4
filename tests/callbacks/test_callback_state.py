"""A file may set what a run changes in callbacks, and nothing else."""

import json
import math
import os
import warnings

import keras
import numpy as np
import pytest
from keras import callbacks as k

from kgen.callbacks import SampleGrid
from kgen.callbacks.callback_state import CallbackState


class Own(keras.callbacks.Callback):
    """State of many kinds, and what is none."""

    count, phases = 0, []  # given by the class

    def __init__(self, target, words="plain", patience=3):
        super().__init__()
        self.target, self._words, self.__patience = os.fspath(target), words, patience
        self.copy_of_words, self.log = words, os.path.join(target, "log")
        self.phase, self.found, self.best, self.written = "warm", [], None, None
        self.table, self.seen, self.vector = {}, set(), np.zeros(2)
        self.handle = object()

    def move(self):
        self.count += 1
        self.phases = [*self.phases, "hot"]
        self.phase, self.found, self.best = "cold after 0.5", ["one cat", "two"], np.float32(2)
        self.table, self.seen, self.vector = {"a": [1, (2.5, None)]}, {3}, np.ones((2, 2))

    @property
    def size(self):
        return 1


def through_a_file(states, arrays):
    return json.loads(json.dumps(states)), arrays


def test_what_a_run_changes_comes_back(tmp_path):
    first, second = Own(tmp_path), Own(tmp_path)
    state = CallbackState([first])
    first.move()
    with warnings.catch_warnings(action="error"):
        states, arrays = through_a_file(*state.capture())
        CallbackState([second]).restore(states, arrays)
    assert set(states["Own-0"]) == {
        "count", "phases", "phase", "found", "best", "table", "seen", "vector"
    }  # fmt: skip
    for name in states["Own-0"]:
        np.testing.assert_equal(getattr(second, name), getattr(first, name))
        assert type(getattr(second, name)) is type(getattr(first, name))


@pytest.mark.parametrize(
    "name, value",
    [
        ("target", "elsewhere"),
        ("_words", "other"),
        ("_Own__patience", 9),
        ("copy_of_words", "other"),
        ("log", "elsewhere"),
        ("log", None),
        ("phase", "/etc/passwd"),
        ("phase", "..\\up"),
        ("phase", "notes.txt"),
        ("phase", ".bashrc"),
        ("phase", "C:notes"),
        ("phase", "~root"),
        ("phase", 3),
        ("found", {"list": ["fine", "run/old.keras"]}),
        ("found", {"tuple": ["fine"]}),
        ("table", {"dict": ["a/b", 1]}),
        ("table", {"dict": ["a", {"list": [{"list": ["a/b"]}]}]}),
        ("best", "setup.cfg"),
        ("written", "README"),  # made below: a file that exists
        ("vector", 1.0),
        ("vector", {"array": 7}),
        ("best", {"array": "0"}),
        ("best", {"scalar": {}}),
        ("best", {"set": [{"list": []}]}),
        ("best", {"list": [], "dict": []}),
        ("best", {"dict": [1]}),
        ("best", {"eval": [1]}),
        ("count", {"list": [1]}),
        ("handle", 1),
        ("move", 1),
        ("size", 2),
        ("on_epoch_end", None),
        ("model", None),
        ("_model", None),
        ("params", {"dict": []}),
        ("__class__", "x"),
        ("__dict__", {"dict": []}),
        ("resumes_runs", True),
        ("unheard_of", 1),
        ("__csv__", "epoch\n0"),
    ],
)
def test_what_a_file_may_not_set(name, value, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "README").write_text("mine")
    own = Own("run")
    before = dict(vars(own))
    with pytest.warns(UserWarning, match=rf"Own\.{name} in the checkpoint is ignored: ") as told:
        CallbackState([own]).restore({"Own-0": {name: value}}, {})
    assert len(told) == 1
    assert vars(own) == before and type(own) is Own


def test_arrays_of_strings_hold_no_paths_either(tmp_path):
    own = Own(tmp_path)
    for array in (np.array(["a", "b/c"]), np.array([b"/x"]), np.zeros(1, [("n", "U9")])):
        own.vector, arrays = np.array(["a"]), {"Own-0/vector/0": array}
        state = CallbackState([own])
        if array.dtype.kind == "V":
            arrays["Own-0/vector/0"]["n"] = "/x"
        with pytest.warns(UserWarning, match=r"Own.vector .* paths are never restored"):
            state.restore({"Own-0": {"vector": {"array": 0}}}, arrays)
        assert own.vector.tolist() == ["a"]


ATTACKS = [
    (lambda p: k.ModelCheckpoint(p / "best.keras", "loss"), "filepath", "victim"),
    (lambda p: k.ModelCheckpoint(p / "best.keras", "loss"), "save_best_only", True),
    (lambda p: k.BackupAndRestore(p / "backup"), "backup_dir", "victim"),
    (lambda p: k.BackupAndRestore(p / "backup"), "_weights_path", "victim"),
    (lambda p: k.BackupAndRestore(p / "backup"), "delete_checkpoint", False),
    (lambda p: k.CSVLogger(p / "log.csv"), "filename", "victim"),
    (lambda p: k.CSVLogger(p / "log.csv"), "sep", ";"),
    (lambda p: k.CSVLogger(p / "log.csv"), "csv_file", None),
    (lambda p: k.CSVLogger(p / "log.csv"), "__csv__", "#!/bin/sh\nrm"),
    (lambda p: k.CSVLogger(p / "log.csv"), "__csv__", 3),
    (lambda p: k.TensorBoard(p / "logs"), "log_dir", "victim"),
    (lambda p: k.TensorBoard("logs"), "_log_write_dir", "victim"),
    (lambda p: k.TensorBoard("logs"), "_train_dir", "victim"),
    (lambda p: k.EarlyStopping("loss"), "monitor", "other"),
    (lambda p: k.EarlyStopping("loss"), "patience", 10**6),
    (lambda p: k.EarlyStopping("loss"), "monitor_op", 1),
    (lambda p: k.LearningRateScheduler(lambda e: 0.1), "schedule", 1),
    (lambda p: k.ReduceLROnPlateau("loss"), "cooldown", 9),
    (lambda p: k.ReduceLROnPlateau("loss"), "min_lr", 1.0),
    (lambda p: k.LambdaCallback(on_epoch_end=print), "on_epoch_end", 1),
    (lambda p: k.RemoteMonitor("http://localhost"), "root", "http://elsewhere"),
    (lambda p: SampleGrid("run"), "folder", "victim"),
    (lambda p: SampleGrid("run"), "_pictures", {"list": ["victim.png"]}),
    (lambda p: SampleGrid("run", tensorboard="logs"), "tensorboard", "victim"),
]


@pytest.mark.parametrize(
    "make, name, value", ATTACKS, ids=lambda v: v if isinstance(v, str) else ""
)
def test_keras_callbacks_and_ours_keep_what_they_were_given(
    make, name, value, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    callback = make(tmp_path)
    if isinstance(callback, k.TensorBoard):
        callback._log_write_dir, callback._train_dir = callback.log_dir, callback.log_dir + "/train"
    if isinstance(callback, k.CSVLogger):
        callback.on_train_begin()
    before = dict(vars(callback))
    key = f"{type(callback).__name__}-0"
    with pytest.warns(UserWarning, match=rf"\.{name} in the checkpoint is ignored"):
        CallbackState([callback]).restore({key: {name: value}}, {})
    assert vars(callback) == before
    assert not any(p.stat().st_size for p in tmp_path.rglob("*") if p.is_file())


def test_what_is_not_kept_is_said_at_the_first_checkpoint(tmp_path):
    class Keeper(keras.callbacks.Callback):
        def __init__(self, rate):
            super().__init__()
            self.rate, self.files, self.mark = rate, [], 0

    keeper = Keeper(0.1)
    state = CallbackState([keeper])
    keeper.rate, keeper.mark, keeper.files = 0.05, "done", ["run/epoch-1.keras"]
    keeper.late = 1
    with pytest.warns(UserWarning) as told:
        states, _ = state.capture()
        state.capture()
    assert states == {"Keeper-0": {}}
    texts = sorted(str(w.message) for w in told)
    assert len(texts) == 4
    for text, (name, why) in zip(
        texts,
        [("files", "path"), ("late", "constructor or"), ("mark", "number"), ("rate", "is given")],
        strict=True,
    ):
        assert text.startswith(f"Keeper.{name} is not kept in checkpoints") and why in text


def test_what_keras_changes_comes_back_without_a_word(tmp_path):
    def run(resumed=None):
        logger = k.CSVLogger(tmp_path / "log.csv")
        callbacks = [k.History(), k.EarlyStopping("a/b", mode="min", patience=2), logger,
                     k.ReduceLROnPlateau("a/b", mode="min"),
                     k.ModelCheckpoint(tmp_path / "x.keras", "a/b", save_best_only=True,
                                       mode="min", initial_value_threshold=9.0)]  # fmt: skip
        for callback in callbacks:
            callback.set_params({"epochs": 2})
        callbacks[0].set_model(keras.Model())
        callbacks[0].on_train_begin()
        callbacks[1].on_train_begin()
        callbacks[3].on_train_begin()
        logger.on_train_begin()
        state = CallbackState(callbacks)
        if resumed:
            state.restore(*through_a_file(*resumed))
        return callbacks, state

    with warnings.catch_warnings(action="error"):
        first, state = run()
        logs = {"a/b": 1.0, "c": math.nan}
        first[0].on_epoch_end(0, logs)
        first[2].on_epoch_end(0, logs)
        first[1].best, first[1].wait, first[3].wait, first[4].best = 1.0, 1, 2, 1.0
        held = state.capture()
        text = (tmp_path / "log.csv").read_text()
        again, _ = run(held)
    assert text == (tmp_path / "log.csv").read_text() != ""
    assert again[0].history.keys() == {"a/b", "c"} and again[2].keys == first[2].keys
    assert (again[1].best, again[1].wait, again[3].wait, again[4].best) == (1.0, 1, 2, 1.0)


def test_a_csv_file_that_cannot_be_read_does_not_end_the_run(tmp_path):
    for content in (b"epoch,a\n\xff\xfe", b"words of somebody else\n", None):
        path = tmp_path / "log.csv"
        path.write_bytes(b"" if content is None else content)
        logger = k.CSVLogger(path, append=True)
        logger.csv_file = path.open("a")
        if content is None:
            path.unlink()
        with pytest.warns(UserWarning, match="does not hold what a CSVLogger writes"):
            assert "__csv__" not in CallbackState([logger]).capture()[0]["CSVLogger-0"]
