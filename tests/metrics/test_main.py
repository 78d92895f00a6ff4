"""`python -m kgen.metrics`, called in this process."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

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
    picture = tmp_path / "neighbors.png"
    names = ["--metrics", "memorization", "--neighbors", str(picture)]
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
        (["digits", "digits", "--n", "9", "--metrics", "fid", "--neighbors", "x"], "leaves memor"),
        (["digits", "digits", "--n", "1", "--metrics", "fid"], "at least 2"),
        (["./nowhere", "cut.keras", "--features", "pixels"], "no file or folder nowhere"),
        (["digits", "digits", "--test", "./nowhere"], "no file or folder nowhere"),
        (["digits", "digits", "--split", "nonsense"], "digits has the splits"),
        (["faces", "digits", "--n", "9999999999"], "--n 9999999999 drawn examples take"),
    ],
)
def test_mistakes_are_one_message(argv, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cut.keras").write_bytes(b"PK but no more")
    assert main(argv) == 2
    said = capsys.readouterr().err
    assert said.startswith("python -m kgen.metrics: error: ") and message in said
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--n", "0"], "--n: must be a whole number above 0; got '0'"),
        (["--n", "1e3"], "got '1e3'"),
        (["--image-size", "-3"], "--image-size: must be a whole number above 0; got '-3'"),
        (["--seed", "-1"], "--seed: must be a whole number from 0"),
        (["--json", "there/found.json"], "there/found.json cannot be written: Not a directory"),
        (["--json", "."], "--json: must be a file to write"),
        (["--neighbors", "a.xyz"], "--neighbors: must end in one of"),
        (["--metrics", "fit"], "--metrics: invalid choice: 'fit'"),
    ],
)
def test_flags_are_refused_before_anything_is_loaded(flags, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there").write_text("a file")
    with pytest.raises(SystemExit) as end:
        main(["digits", "digits", *flags])
    said = capsys.readouterr().err
    assert end.value.code == 2 and message in said and said.count("\n") == 1


def test_models_that_do_not_fit_into_memory_are_not_begun(capsys, tmp_path, monkeypatch):
    model = kgen.Gaussian((8, 8), components=2)
    model.fit(kgen.data.load("digits/8x8").take(50), verbose=0)
    model.save(tmp_path / "a.keras")
    assert main(["digits", str(tmp_path / "a.keras"), "--n", "9999999999"]) == 2
    assert "--n 9999999999 images of (8, 8, 1) take" in capsys.readouterr().err
    monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(available=2**23))
    assert main(["digits", "faces", "--n", "1000", "--image-size", "64"]) == 2
    assert "--n 1000 images of (64, 64, 3) take" in capsys.readouterr().err


def write_photos(folder, mode="RGB", n=12):
    folder.mkdir(parents=True)
    random = np.random.default_rng(0)
    for i in range(n):
        pixels = random.integers(0, 256, (8, 8, 4), "uint8")
        Image.fromarray(pixels).convert(mode).save(folder / f"{i}.png")


def test_a_folder_against_itself_is_at_distance_0(capsys, tmp_path):
    write_photos(tmp_path / "a")
    command = [str(tmp_path / "a")] * 2 + ["--features", "pixels", "--metrics", "fid"]
    found = tmp_path / "new" / "found.json"
    assert main([*command, "--json", str(found)]) == 0
    assert abs(json.loads(found.read_text())["values"]["fid"]) < 1e-3
    said = capsys.readouterr().out
    assert "12 images of" in said and "against 12 of" in said and "no test images" in said
    assert main([*command, "--split", "train", "--json", str(found)]) == 0
    assert "12 images of" in (said := capsys.readouterr().out) and "against 10 of" in said
    assert "2 test images" in said


def test_a_test_set_with_splits_gives_its_test_images(capsys, tmp_path):
    command = ["digits", "digits", "--metrics", "fid", "--n", "50", "--json"]
    values = []
    for test in ([], ["--test", "digits"]):
        assert main([*command, str(tmp_path / "a.json"), *test]) == 0
        values.append((tmp_path / "a.json").read_text())
    assert values[0] == values[1]


def test_the_advice_of_messages_can_be_followed(capsys, tmp_path):
    write_photos(tmp_path / "photos" / "A", n=6)
    write_photos(tmp_path / "photos" / "B", "RGBA", n=6)
    write_photos(tmp_path / "fake", "L")
    (tmp_path / "photos" / "A" / "x.png").write_text("no image")
    command = [str(tmp_path / "photos"), str(tmp_path / "fake")]
    command += ["--features", "pixels", "--metrics", "fid"]
    for advised, flags in (('--kind "classes"', ["--kind", "classes"]), ("--skip-broken", [])):
        assert main(command) == 2
        assert advised in capsys.readouterr().err
        command += flags
    assert main([*command, "--skip-broken"]) == 0  # in the channels of the second
    swapped = [command[1], command[0], *command[2:], "--skip-broken"]
    assert main(swapped) == 2
    assert "--channels 3 (colour)" in capsys.readouterr().err
    assert main([*swapped, "--channels", "3", "--background", "black"]) == 0


def test_ctrl_c_ends_in_one_line(monkeypatch, capsys):
    def interrupt(*args, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("kgen.metrics.evaluate", interrupt)
    assert main(["digits", "digits", "--n", "9"]) == 130
    assert capsys.readouterr().err == "python -m kgen.metrics: interrupted\n"
