"""A run in stages that is interrupted anywhere ends as if it had not been."""

import contextlib
import io
import itertools
import json
import os
import pathlib
import random
import re
import subprocess
import sys
import zipfile

import keras
import numpy as np
import pytest
from staged import STAGES, growing, images

from kgen.callbacks import ProgressBar, TrainingCheckpoint
from kgen.engine import Stage, state

TESTS = pathlib.Path(__file__).parents[1]


def test_killed_within_a_stage_at_its_end_and_at_the_first_batch_of_the_next(tmp_path):
    """Each process goes on from what the one before it left; the last one comes to the end."""
    run = [str(tmp_path / "killed"), "growing", "--every"]
    runs = [
        [str(tmp_path / "whole"), "growing"],
        [*run, "1", "--kill-at", "4"],  # 3 updates were saved: within an epoch, within the stage
        [*run, "epoch", "--kill-at", "7"],  # 6 are, the first stage, and the second has begun
        [*run, "1", "--kill-at", "8"],  # 7 are, one of the second stage
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


PHASES = {  # of `resumable.progressive`: their first and last batch
    "4x4": (1, 6),
    "8x8 fades in": (7, 12),
    "8x8": (13, 18),
    "16x16 fades in": (19, 24),
    "16x16": (25, 30),
}


@pytest.mark.full
def test_a_progressive_gan_killed_in_each_phase(tmp_path):
    """Whenever the signal comes after a batch was named: in a step, between two, or in a write."""

    def start(name, *options):
        command = [sys.executable, TESTS / "resumable.py", tmp_path / name, "progressive"]
        environment = {**os.environ, "PYTHONPATH": str(TESTS.parent)}
        return subprocess.Popen(
            [*command, *options], env=environment, stdout=subprocess.PIPE, text=True
        )

    moments = random.Random(0)
    for first, last in PHASES.values():
        process, at = start("killed", "--every", "1", "--say-batches"), moments.randint(first, last)
        for line in process.stdout:
            if model_step(tmp_path / "killed") + 1 >= at and line.startswith("batch"):
                process.kill()
                break
        process.communicate()
        assert process.returncode == -9
        assert first - 1 <= model_step(tmp_path / "killed") <= last
    outputs = [start(name).communicate()[0] for name in ("killed", "whole")]
    digests = [re.findall(r"digest (\w+)", output) for output in outputs]
    assert digests[0] == digests[1] and len(digests[0]) == 1


def model_step(folder):
    """Updates in the newest checkpoint."""
    return max(saved(folder / "run"), default=0)


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


def eager(table=STAGES):
    return growing(table=table, run_eagerly=True)


def fit(model, folder, *callbacks, every="epoch", keep=3, **options):
    callbacks = [*callbacks, TrainingCheckpoint(folder, every=every, keep=keep)]
    return model.fit(images(), verbose=0, callbacks=callbacks, **options)


def saved(folder):
    return [int(re.sub(r"\D", "", path.name)) for path in sorted(folder.glob("checkpoint-*.npz"))]


def same(a, b):
    return a.keys() == b.keys() and all(np.array_equal(a[n], b[n]) for n in a)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run that was not cut: its folder, its state, its losses, and what it printed."""
    folder, model, said = tmp_path_factory.mktemp("whole"), eager(), io.StringIO()
    with contextlib.redirect_stdout(said):
        history = fit(model, folder, ProgressBar("digits", every=0))
    return folder, state.capture(model), history.history, said.getvalue()


@pytest.mark.parametrize("every, at", [(1, 8), ("epoch", 7), ("epoch", 5)])
def test_cut_and_continued(every, at, whole, tmp_path):
    """After the first batch of a stage, at the end of one, within one; or by the same model."""
    model = eager()
    with pytest.raises(Cut):
        fit(model, tmp_path, CutAt(at), every=every)
    model = model if every == 1 else eager()
    history = fit(model, tmp_path, every=every)
    assert same(state.capture(model), whole[1]) and history.history == whole[2]


def test_checkpoints_are_numbered_by_updates(whole):
    """Whatever an epoch's length: the last are the newest, and only they stay."""
    folder, final, losses, _ = whole
    assert saved(folder) == [6, 9, 12]
    history = fit(model := eager(), folder)  # of a run that is finished
    assert same(state.capture(model), final) and history.history == losses


def test_progress_names_the_stage(whole):
    assert [re.split(", loss| in ", line)[0] for line in whole[3].splitlines()] == [
        *(f"digits, 4x4: epoch {epoch} of 5" for epoch in (1, 2, 3)),
        "4x4: 96 images",
        *(f"digits, stage 2 of 2: epoch {epoch} of 5" for epoch in (4, 5)),
        "stage 2 of 2: 48 images",
    ]


def test_epochs_count_from_where_the_run_began(tmp_path):
    """The same call goes on with the same run, by the model that was cut and by another."""
    model, other = eager(), eager()
    for begun in (model, other):
        begun.step.assign(4)  # two epochs lie behind it
    with pytest.raises(Cut):
        fit(model, tmp_path, CutAt(4), every=1, epochs=2)  # in the second of the two
    assert fit(model, tmp_path, every=1, epochs=2).epoch == [2, 3] and int(model.step) == 9
    assert fit(other, tmp_path, every=1, epochs=2).epoch == [2, 3] and int(other.step) == 9


def test_a_callback_stops_the_run_within_an_epoch(tmp_path):
    """The updates that are missing are made up for: stages are as long as they say."""
    stopping, count = keras.callbacks.Callback(), itertools.count(1)
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
def test_another_table_of_stages_is_another_configuration(table, words, whole):
    with pytest.raises(ValueError, match=rf"(?s)another configuration.*{words}"):
        fit(eager(table), whole[0])


def test_what_no_checkpoint_says_of_stages_is_damage(whole, tmp_path):
    newest = whole[0] / "checkpoint-0000000006.npz"
    with zipfile.ZipFile(newest) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    good, model = json.loads(members["meta.json"]), eager()
    assert good["first_epoch"] == 0
    for change in ({"first_epoch": 4}, {"first_epoch": "0"}, {"epoch": 2}, {"batch": 1}):
        with zipfile.ZipFile(tmp_path / newest.name, "w") as archive:
            for name, content in {**members, "meta.json": json.dumps(good | change)}.items():
                archive.writestr(name, content)
        with pytest.warns(UserWarning, match=r"is damaged .* the run starts from its beginning"):
            assert fit(model, tmp_path, epochs=0).epoch == [], change
