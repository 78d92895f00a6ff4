"""`python -m kgen.data`, its commands called in this process."""

import shutil

import numpy as np
import pytest
from PIL import Image

from kgen.data.__main__ import main


def picture(path):
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def test_list(capsys, tmp_path):
    assert main(["list", "--data-dir", str(tmp_path)]) == 0
    text = capsys.readouterr().out
    assert "digits" in text and "CC BY 4.0" in text and "nothing yet" in text


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


@pytest.mark.parametrize("name", ["digits", "faces/glasses", "toy2d/ring", "faces/edges2photo"])
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
    assert (picture(path) == [250, 0, 0]).all(axis=-1).sum() > 1000


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
    ],
)
def test_mistakes_end_as_one_message(arguments, message, capsys, tmp_path):
    where = ["--data-dir", str(tmp_path)]
    assert main([*arguments, *where]) == 2
    text = capsys.readouterr().err
    assert message in text and "Traceback" not in text
