"""A run in stages that is interrupted anywhere ends as if it had not been."""

import functools
import itertools
import json
import os
import pathlib
import re
import subprocess
import sys
import zipfile

import keras
import numpy as np
import pytest
from staged import STAGES, growing, images

import kgen
from kgen.callbacks import ProgressBar, TrainingCheckpoint
from kgen.engine import Stage, state

TESTS = pathlib.Path(__file__).parents[1]


def test_killed_within_a_stage_at_its_end_and_at_the_first_batch_of_the_next(tmp_path):
    """Each process goes on from what the one before it left; the last one comes to the end."""
    run = [str(tmp_path / "killed"), "growing", "--every"]
    runs = [
        [str(tmp_path / "whole"), "growing"],
        [*run, "1", "--kill-at", "4"],  # 3 updates were saved: within an epoch, within the stage
        [*run, "epoch", "--kill-at", "4"],  # 6 are, the first stage, and the second has begun
        [*run, "1", "--kill-at", "2"],  # 7 are, one of the second stage
        [*run, "1"],
    ]
    process = subprocess.run(
        [sys.executable, TESTS / "resumable.py", *itertools.chain(*[["then", *r] for r in runs])],
        env={**os.environ, "PYTHONPATH": str(TESTS.parent)},
        capture_output=True,
        text=True,
        check=True,
    )
    ended = re.findall(r"ended (\S+)", process.stdout)
    assert ended == ["0", "-9", "-9", "-9", "0"], process.stdout + process.stderr
    digests = re.findall(r"digest (\w+)", process.stdout)
    assert len(digests) == 2 and len(set(digests)) == 1
    assert process.stdout.count("step 12 epochs 5") == 2


# In this process, in eager steps.


class Cut(Exception):
    pass


class CutAt(keras.callbacks.Callback):
    """Raises when one batch begins, counted from where `fit` starts."""

    def __init__(self, at):
        super().__init__()
        self.at, self.batches = at, itertools.count(1)

    def on_train_batch_begin(self, batch, logs=None):
        if next(self.batches) == self.at:  # an iterator is nothing that a checkpoint restores
            raise Cut


def eager(table=STAGES, **options):
    return growing(table=table, run_eagerly=True, **options)


def fit(model, folder, *callbacks, every=1, **options):
    callbacks = [*callbacks, TrainingCheckpoint(folder, every=every, keep=99)]
    return model.fit(images(), verbose=0, callbacks=callbacks, **options)


def saved(folder):
    return [int(re.sub(r"\D", "", path.name)) for path in sorted(folder.glob("checkpoint-*.npz"))]


def same(a, b):
    return a.keys() == b.keys() and all(np.array_equal(a[n], b[n]) for n in a)


@functools.cache
def whole():
    """State and losses of a run that was not cut."""
    model = eager()
    history = model.fit(images(), verbose=0)
    return state.capture(model), history.history


@pytest.mark.parametrize("every", [1, "epoch"])
def test_cut_at_any_batch(every, tmp_path):
    """By the same model, as in a notebook, and by one that is new."""
    for at in (1, 7, 8, 11) if every == 1 else (5, 7, 8, 10):
        folder, model = tmp_path / f"{at}", eager()
        with pytest.raises(Cut):
            fit(model, folder, CutAt(at), every=every)
        history = fit(model := model if at % 2 else eager(), folder, every=every)
        assert same(state.capture(model), whole()[0]) and history.history == whole()[1], at
        assert saved(folder)[-1] == 12


def test_checkpoints_are_numbered_by_updates(tmp_path):
    """Whatever an epoch's length: the last are the newest, and only they stay."""
    checkpoint = TrainingCheckpoint(tmp_path, keep=3)
    eager().fit(images(), verbose=0, callbacks=[checkpoint])
    assert saved(tmp_path) == [6, 9, 12]
    fit(model := eager(), tmp_path)  # finished
    assert same(state.capture(model), whole()[0])


def test_epochs_count_from_where_the_run_began(tmp_path):
    """The same call goes on with the same run, by a new model and by the one that was cut."""
    begun = eager()
    begun.fit(images(), epochs=2, verbose=0)
    begun.save(tmp_path / "begun.keras")

    def load():
        model = keras.saving.load_model(tmp_path / "begun.keras")
        model.compile(run_eagerly=True)
        return model

    for name, again in (("same", lambda model: model), ("new", lambda model: load())):
        model, folder = load(), tmp_path / name
        with pytest.raises(Cut):
            fit(model, folder, CutAt(4), epochs=2)  # in the second of the two
        history = fit(model := again(model), folder, epochs=2)
        assert history.epoch == [2, 3] and int(model.step) == 3 * 2 + 3
        assert fit(again(model), folder, epochs=2).epoch == [2, 3]
        assert fit(model := again(model), folder).epoch == [2, 3, 4] and int(model.step) == 12


def test_a_callback_stops_the_run_within_an_epoch(tmp_path):
    """The updates that are missing are made up for: stages are as long as they say."""
    stopping = keras.callbacks.Callback()
    count = itertools.count(1)
    stopping.on_train_batch_end = lambda batch, logs=None: (
        setattr(model, "stop_training", True) if next(count) == 8 else None
    )
    fit(model := eager(), tmp_path, stopping)
    assert int(model.step) == 8 and saved(tmp_path)[-1] == 8
    history = fit(model := eager(), tmp_path)
    assert history.epoch == [0, 1, 2, 3, 3, 4] and int(model.step) == 12


@pytest.mark.parametrize(
    "table, words",
    [
        ((Stage(3, 2, 16, 4), Stage(3, 3, 8)), r"stages\[1\].epochs: saved 2, now 3"),
        ((Stage(3, 2, 16, 4), Stage(2, 3, 4)), r"data.batch_size\[1\]: saved 8, now 4"),
        ((Stage(3, 2, 16, 4), Stage(2, 2, 8)), r"data.steps_per_epoch\[1\]: saved 3, now 2"),
        ((Stage(3, 2, 16, 2), Stage(2, 3, 8)), r"stages\[0\].image_size: saved 4, now 2"),
        ((Stage(3, 2, 16, 4),), "stages: saved"),
    ],
)
def test_another_table_of_stages_is_another_configuration(table, words, run_of_one_epoch):
    with pytest.raises(ValueError, match=rf"(?s)another configuration.*{words}"):
        fit(eager(table), run_of_one_epoch, every="epoch")


@pytest.fixture(scope="module")
def run_of_one_epoch(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    fit(eager(), folder, epochs=1, every="epoch")
    return folder


def test_names_of_stages_may_change(run_of_one_epoch):
    renamed = eager((Stage(3, 2, 16, 4, "other"), Stage(2, 3, 8, name="names")))
    assert fit(renamed, run_of_one_epoch, epochs=1, every="epoch").epoch == [0]


def test_what_no_checkpoint_says_of_stages_is_damage(tmp_path):
    with pytest.raises(Cut):
        fit(eager(), tmp_path, CutAt(8), every="epoch")
    newest = max(tmp_path.glob("checkpoint-*.npz"))
    with zipfile.ZipFile(newest) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    good = json.loads(members["meta.json"])
    assert good["first_epoch"] == 0
    for change in ({"first_epoch": 4}, {"first_epoch": "0"}, {"epoch": 2}, {"batch": 1}):
        with zipfile.ZipFile(newest, "w") as archive:
            for name, content in {**members, "meta.json": json.dumps(good | change)}.items():
                archive.writestr(name, content)
        with pytest.warns(UserWarning, match="is damaged .* falling back"):
            history = fit(eager(), tmp_path, epochs=2, every="epoch")
        assert history.epoch == [0, 1], change


def test_progress_names_the_stage(capsys):
    eager().fit(images(), verbose=0, callbacks=[ProgressBar("digits", every=0)])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(", loss")[0] for line in lines] == [
        *(f"digits, 4x4: epoch {epoch} of 5" for epoch in (1, 2, 3)),
        *(f"digits, stage 2 of 2: epoch {epoch} of 5" for epoch in (4, 5)),
    ]


def test_pictures_are_drawn_in_every_stage(tmp_path):
    grid = kgen.callbacks.SampleGrid(tmp_path, n=4, inputs=images(4))
    model = eager()
    model.preview = lambda n, seed=None, inputs=None: {"output": model.outputs_for(inputs)[:n]}
    model.fit(images(), verbose=0, callbacks=[grid])
    assert len([*tmp_path.glob("*.png")]) == 5
