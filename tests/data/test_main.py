"""`python -m kgen.data`, its commands called in this process."""

import pathlib
import runpy
import shutil
import signal

import numpy as np
import pytest
from PIL import Image

import kgen
from kgen.data.__main__ import main


def picture(path):
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def test_list(capsys, tmp_path):
    assert main(["list", "--data-dir", str(tmp_path)]) == 0
    text = capsys.readouterr().out
    assert "digits" in text and "CC BY-SA 3.0" in text and "nothing yet" in text


def test_list_names_what_is_in_the_store_and_all_that_could_be(capsys, tmp_path):
    folder = tmp_path / "cycle_gan" / "maps" / "3.0.0"
    folder.mkdir(parents=True)
    (folder / "features.json").write_text('"tensorflow_datasets.core.features.image_feature.Image"')
    (folder / "dataset_info.json").write_text(
        '{"name": "cycle_gan", "configName": "maps",'
        ' "splits": [{"name": "trainA", "shardLengths": ["1000", "96"]}]}'
    )
    shutil.copytree(folder, folder.with_name("incomplete.A1B2C3_3.0.0"))  # of a killed process
    assert main(["list", "--all", "--data-dir", str(tmp_path)]) == 0
    text = capsys.readouterr().out
    assert text.count("cycle_gan/maps  ") == 1 and "trainA 1,096 images" in text
    lines = {line.strip() for line in text.splitlines()}
    assert {"mnist", "celeb_a", "lsun"} <= lines and "imdb_reviews" not in lines


@pytest.mark.parametrize(
    "name", ["digits", "faces/glasses", "toy2d/ring", "faces/edges2photo", "faces/day2night"]
)
def test_preview(name, capsys, tmp_path):
    path = tmp_path / "deep" / "grid.png"
    path.parent.mkdir()
    size = [] if "toy2d" in name else ["--image-size", "16"]
    assert main(["preview", name, "--n", "12", *size, "--output", str(path)]) == 0
    assert "12 x" in capsys.readouterr().out
    assert picture(path).std() > 10


def test_preview_of_pairs_with_transparency(tmp_path):
    for name in ("trainA", "trainB"):
        (tmp_path / "set" / name).mkdir(parents=True)
        Image.new("RGBA", (8, 8), (250, 0, 0, 99)).save(tmp_path / "set" / name / "0.png")
    path = tmp_path / "grid.png"
    channels = ["--channels", "4", "--n", "1"]
    assert main(["preview", str(tmp_path / "set"), *channels, "--output", str(path)]) == 0
    assert (picture(path) == [253, 156, 156]).all(axis=-1).sum() > 1000


def test_preview_of_domains_of_two_sizes_says_how(tmp_path, capsys):
    for name, side in {"trainA": 8, "trainB": 12}.items():
        (tmp_path / "set" / name).mkdir(parents=True)
        Image.new("RGB", (side, 8), (250, 0, 0)).save(tmp_path / "set" / name / "0.png")
    command = ["preview", str(tmp_path / "set"), "--output", str(tmp_path / "grid.png")]
    assert main(command) == 2
    said = capsys.readouterr().err
    assert "8x8 and 8x12 pixels" in said and "pass --image-size" in said
    assert main([*command, "--image-size", "8"]) == 0


def test_preview_of_a_folder_with_augmentation(capsys, tmp_path):
    for name in ("left", "right"):
        (tmp_path / name).mkdir()
        Image.fromarray(np.full((9, 9, 3), 90, "uint8")).save(tmp_path / name / "a.png")
    path = str(tmp_path / "out.png")
    augment = ["--augment", '{"flip": true}']
    assert main(["preview", str(tmp_path), *augment, "--output", path]) == 0
    assert "2 classes" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["preview", "no_such_set"], "no dataset 'no_such_set'"),
        (["preview", "./nowhere"], "no file or folder"),
        (["prepare", "no_such_set"], "no dataset"),
        (["prepare", "mnist", "--originals", "nowhere"], "no nowhere"),
        (["preview", "faces", "--image-size", "2048"], "2048"),
    ],
)
def test_mistakes_end_as_one_message(arguments, message, capsys, tmp_path):
    where = ["--data-dir", str(tmp_path)]
    assert main([*arguments, *where]) == 2
    text = capsys.readouterr().err
    assert message in text and text.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--image-size", "-3"], "--image-size: must be a whole number above 0; got '-3'"),
        (["--n", "9999999999"], "--n: must be a whole number from 1 to 10,000; got '9999999999'"),
        (["--n", "many"], "got 'many'"),
        (["--channels", "2"], "--channels: invalid choice: 2"),
        (["--background", "whyte"], "background must be an opaque colour"),
        (["--augment", "{flip}"], '--augment: must be JSON such as {"flip": true'),
        (["--output", "there/a.png"], "there/a.png cannot be written: Not a directory"),
        (["--output", "."], "--output: must be a file to write; got '.'"),
        (["--output", "a.xyz"], "--output: must end in one of ."),
        (["--nonsense"], "unrecognized arguments: --nonsense"),
    ],
)
def test_flags_are_refused_before_anything_is_read(
    arguments, message, capsys, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there").write_text("a file")
    with pytest.raises(SystemExit) as end:
        main(["preview", "digits", *arguments])
    said = capsys.readouterr().err
    assert end.value.code == 2 and message in said and said.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["there"]


def test_the_advice_of_messages_is_in_flags_and_can_be_followed(tmp_path, capsys):
    for i, (mode, size) in enumerate({"L": (8, 8), "RGB": (8, 9), "RGBA": (9, 9)}.items()):
        (tmp_path / "photos" / "a").mkdir(parents=True, exist_ok=True)
        Image.new(mode, size).save(tmp_path / "photos" / "a" / f"{i}.png")
        Image.new("RGB", size).save(tmp_path / "photos" / f"{i}.png")
    (tmp_path / "photos" / "a" / "x.png").write_text("no image")
    command = ["preview", str(tmp_path / "photos"), "--output", str(tmp_path / "a.png")]
    for advised, flags in (
        ('--kind "classes"', ["--kind", "classes"]),
        ("--skip-broken", ["--skip-broken"]),
        ("--image-size,", ["--image-size", "8"]),
        ('--channels 3 (colour); what is transparent is shown on --background "white"', []),
    ):
        assert main(command) == 2
        assert advised in capsys.readouterr().err
        command += flags
    assert main([*command, "--channels", "3", "--background", "white"]) == 0
    assert main([*command, "--channels", "3", "--background", "128"]) == 0


def test_ctrl_c_ends_in_one_line(monkeypatch, capsys):
    def interrupt(*args, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("kgen.data.load", interrupt)
    assert main(["preview", "digits"]) == 130
    assert capsys.readouterr().err == "python -m kgen.data preview: interrupted\n"


def test_an_error_that_nobody_expected_has_its_kind_and_a_traceback_on_demand(monkeypatch, capsys):
    def fail(*args, **options):
        raise KeyError("lost")

    monkeypatch.setattr("kgen.data.load", fail)
    assert main(["preview", "digits"]) == 2
    assert capsys.readouterr().err == (
        "python -m kgen.data preview: error: KeyError('lost') (--debug shows where)\n"
    )
    with pytest.raises(KeyError):
        main(["preview", "digits", "--debug"])


def test_ctrl_c_amid_imports_ends_in_one_line(monkeypatch):
    said, usual = [], signal.default_int_handler
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "0")
    quiet = runpy.run_path(pathlib.Path(kgen.__file__).with_name("quiet.py"))
    monkeypatch.setattr("os.write", lambda *args: said.append(args))
    monkeypatch.setattr("os._exit", said.append)
    before = signal.signal(signal.SIGINT, usual)
    try:
        quiet["end_on_interrupt"](True)
        signal.raise_signal(signal.SIGINT)
        assert said == [(1, b"Interrupted before anything began.\n"), 130]
        quiet["end_on_interrupt"](False)
        assert signal.getsignal(signal.SIGINT) is usual
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # as nohup has it
        quiet["end_on_interrupt"](True)
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)
