import keras
import numpy as np
import pytest

import kgen
from benchmarks import collapse, gan_quality


def test_a_training_that_was_cut_after_its_last_epoch_ends_the_same(tmp_path, monkeypatch):
    monkeypatch.setattr(gan_quality, "SAMPLES", 20)
    random = np.random.default_rng(0)
    data = tmp_path / "data.npz"
    images, labels = random.integers(0, 256, (64, 28, 28), "uint8"), np.arange(64) % 10
    np.savez(data, train=images, train_labels=labels)
    job = {"contender": "conditional", "seed": 0, "epochs": 1, "batch_size": 32}
    found = []
    for _ in range(2):
        gan_quality.train(data, tmp_path / "conditional-0.npz", **job)
        with np.load(tmp_path / "conditional-0.npz") as arrays:
            found.append(dict(arrays))
    assert found[0].keys() == found[1].keys()
    assert all(np.array_equal(found[0][name], found[1][name]) for name in found[0])
    assert found[0]["seconds"] > 0 and found[0]["labels"].tolist() == [*range(10)] * 2


def test_what_is_asked_for_is_trained(tmp_path, monkeypatch):
    monkeypatch.setattr(gan_quality, "SAMPLES", 20)
    images = np.random.default_rng(0).integers(0, 256, (64, 28, 28), "uint8")
    np.savez(data := tmp_path / "data.npz", train=images, train_labels=np.arange(64) % 10)
    keras.utils.set_random_seed(0)
    start = kgen.GAN((28, 28), variant="dcgan", seed=0).generator.layers[1].kernel
    job = {"contender": "kgen", "seed": 0, "epochs": 1, "batch_size": 64}
    for rate in (1e-3, 1e-2):
        folder = tmp_path / str(rate)
        folder.mkdir()
        given = {"learning_rate": rate, "arguments": {"normalization": "spectral"}}
        gan_quality.train(data, folder / "kgen-0.npz", **given, **job)
        model = keras.saving.load_model(folder / "kgen-0.keras")
        assert (model.variant, model.normalization) == ("dcgan", "spectral")
        end = model.generator.layers[1].kernel
        # Of any gradient that is not tiny, the first step of Adam is its rate.
        moved = np.abs(keras.ops.convert_to_numpy(end - start))
        np.testing.assert_allclose(np.median(moved), rate, rtol=0.1)


@pytest.mark.parametrize(
    "arguments, words", [('{"filters": 8}', "add --contenders kgen"), ("[8]", "got [8]")]
)
def test_arguments_are_by_name_and_for_kgen_alone(arguments, words, tmp_path, capsys):
    with pytest.raises(SystemExit):
        gan_quality.main(["--output", str(tmp_path), "--arguments", arguments])
    assert words in capsys.readouterr().err
    assert [*tmp_path.iterdir()] == []


def test_a_folder_of_other_settings_is_refused(tmp_path, capsys):
    (tmp_path / "settings.json").write_text('{"epochs": 20, "batch_size": 32}')
    with pytest.raises(SystemExit):
        gan_quality.main(["--output", str(tmp_path), "--batch-size", "128"])
    said = capsys.readouterr().err
    assert '"batch_size": 32' in said and "choose another --output" in said
    assert [file.name for file in tmp_path.iterdir()] == ["settings.json"]


def test_collapse_counts_runs_and_alarms(capsys):
    named, missed = {"constant": 3}, {"dropped_modes": 4}
    collapse.report(
        {
            "healthy-0": {"fashion": {}, "pixels": {"constant": 2, "dropped_modes": 9}},
            "constant-0": {"fashion": named, "pixels": named},
            "constant-1": {"fashion": named | missed, "pixels": missed},
        }
    )
    said = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert said == [
        "healthy fashion 0 alarms in 1 runs",
        "healthy pixels 2 alarms in 1 runs",
        "constant fashion named in 2 of 2 runs, by epoch 3 of 24",
        "constant pixels named in 1 of 2 runs, by epoch 3 of 24",
    ]
