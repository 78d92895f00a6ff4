"""What is kept of a model on the way, and how far it is."""

import keras
import numpy as np
import pytest
from toy import points, toy

from kgen.callbacks import ProgressBar, Snapshots, TrainingCheckpoint


def fit(model, *callbacks, epochs=4):
    callbacks = [*callbacks]
    return model.fit(points(128), batch_size=32, epochs=epochs, verbose=0, callbacks=callbacks)


def test_moments_are_ever_further_apart_and_end_with_the_last():
    assert Snapshots.moments(100) == [5, 11, 22, 47, 100]
    assert Snapshots.moments(3) == [1, 2, 3]
    assert Snapshots.moments(50, count=4, first=2) == [2, 6, 17, 50]
    assert Snapshots.moments(1, count=1) == [1]


def test_what_was_taken_is_kept_by_epoch():
    every = Snapshots(lambda model: model.generate(3, seed=0))
    some = Snapshots(lambda model: int(model.step), [0, 2])
    fit(model := toy(), every, some)
    assert list(every.kept) == ["0", "1", "2", "3", "4"]
    np.testing.assert_array_equal(every.kept["4"], model.generate(3, seed=0))
    assert np.abs(every.kept["4"] - every.kept["0"]).max() > 0
    per_epoch = int(model.step) // 4
    assert some.kept == {"0": 0, "2": 2 * per_epoch}


def test_snapshots_survive_a_cut(tmp_path):
    def seen():
        return Snapshots(lambda model: model.generate(3, seed=0), [0, 1, 3])

    class Cut(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            if epoch == 1:
                raise InterruptedError

    fit(toy(), whole := seen())
    with pytest.raises(InterruptedError):
        fit(toy(), TrainingCheckpoint(tmp_path), seen(), Cut())
    fit(toy(), TrainingCheckpoint(tmp_path), parts := seen())
    assert list(parts.kept) == list(whole.kept) == ["0", "1", "3"]
    for epoch, images in whole.kept.items():
        np.testing.assert_array_equal(parts.kept[epoch], images)


def test_a_log_file_gets_a_line_now_and_then(capsys):
    fit(toy(), ProgressBar("digits", every=0), epochs=2)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(",")[0] for line in lines] == [
        "digits: epoch 1 of 2",
        "digits: epoch 2 of 2",
    ]
    assert lines[-1].endswith("0 s left") and "loss" in lines[-1]
    fit(toy(), ProgressBar("digits"), epochs=2)  # nothing is said of what takes no time
    assert capsys.readouterr().out == ""


def test_a_bar_has_no_state_that_a_checkpoint_could_not_keep(tmp_path, recwarn):
    fit(toy(), TrainingCheckpoint(tmp_path), ProgressBar(), epochs=2)
    assert not [w for w in recwarn if "ProgressBar" in str(w.message)]
