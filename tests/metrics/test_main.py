"""`python -m kgen.metrics`, called in this process."""

import json

import numpy as np
import pytest

import kgen
from kgen.metrics.__main__ import main


def test_a_file_against_a_set_is_what_evaluate_finds(capsys, tmp_path):
    fake, found = tmp_path / "fake.npz", tmp_path / "found.json"
    train, test = (kgen.data.load("digits", split, 12) for split in ("train", "test"))
    images = kgen.data.to_uint8(train.images(60)[:, ::-1])
    np.savez(fake, images=images)
    names = ["fid", "recall", "ms_ssim"]
    command = ["digits", str(fake), "--metrics", *names, "--n", "60", "--json", str(found)]
    assert main(command) == 0
    expected = kgen.metrics.evaluate(
        train.take(60), images, "digits", names, test=test.take(60)
    ).as_dict()
    written = json.loads(found.read_text())
    assert written["real"] == "digits" and written["values"].keys() == set(names)
    assert {name: written[name] for name in expected} == json.loads(json.dumps(expected))
    printed = capsys.readouterr().out
    assert "60 images of" in printed and "train against 60 test images" in printed


def test_a_model_generates_at_its_own_size_and_another(capsys, tmp_path):
    path = tmp_path / "gaussian.keras"
    model = kgen.Gaussian((14, 14), components=8)
    model.fit(kgen.data.load("digits", image_size=14).take(200), verbose=0)
    model.save(path)
    command = ["digits", str(path), "--metrics", "fid", "--n", "50"]
    picture = tmp_path / "neighbours.png"
    names = ["--metrics", "memorisation", "--neighbours", str(picture)]
    assert main(["digits", str(path), "--n", "50", *names]) == 0
    assert picture.stat().st_size > 5000
    capsys.readouterr()
    values = []
    for size in ([], ["--image-size", "14"], ["--image-size", "28"]):
        assert main([*command, *size]) == 0
        values.append(capsys.readouterr().out.splitlines()[-1])
    assert values[0] == values[1] != values[2]


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["toy2d/ring", "digits"], "pass --features"),
        (["digits", "toy2d/ring"], "pairs or points"),
        (["digits", "./nowhere"], "no file or folder"),
        (["digits", "cut.keras"], "no complete .keras file"),
        (["digits", "digits", "--n", "9", "--metrics", "fid", "--neighbours", "x"], "leaves memor"),
        (["digits", "digits", "--n", "1", "--metrics", "fid"], "at least 2"),
    ],
)
def test_mistakes_are_one_message(argv, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cut.keras").write_bytes(b"PK but no more")
    assert main(argv) == 2
    said = capsys.readouterr().err
    assert said.startswith("python -m kgen.metrics: ") and message in said
