"""Which images a recipe learns from, and which are held out."""

import io
import tarfile
from types import SimpleNamespace

import numpy as np
from PIL import Image

import kgen
from recipes import _run, dcgan, progressive_gan


def test_bedrooms_are_tested_on_validation_images(tmp_path, monkeypatch):
    asked, digits = [], kgen.data.load("digits/8x8")

    def load(name, split, **options):
        asked.append((name, split, options["image_size"]))
        return digits.take(options["num_examples"])

    monkeypatch.setattr(kgen.data, "load", load)
    monkeypatch.setattr(kgen.data, "splits", lambda name, **_: ["train", "validation"])
    flags = ["--dataset", "lsun/bedroom", "--image-size", "64", "--limit", "20"]
    images, test = _run.load(dcgan.main.flags([*flags, "--output", str(tmp_path)]))
    assert asked == [("lsun/bedroom", "train", 64), ("lsun/bedroom", "validation", 64)]
    assert images.num_examples == test.num_examples == 20


def test_as_many_faces_are_drawn_as_asked_for(tmp_path):
    argv = ["--image-size", "8", "--drawn", "30", "--output", str(tmp_path)]
    images, _ = _run.load(dcgan.main.flags(argv))
    assert images.num_examples == 30
    images, test = _run.load(dcgan.main.flags([*argv, "--limit", "20"]))
    assert images.num_examples == test.num_examples == 20


def test_celebrities_in_high_quality_have_a_fifth_held_out(tmp_path):
    """TensorFlow Datasets has them in one split, made of an archive that a user has to make."""
    (originals := tmp_path / "originals").mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (100, 16, 16, 3), "uint8")
    with tarfile.open(originals / "data16x16.tar", "w") as archive:
        for i, image in enumerate(pixels):
            Image.fromarray(image).save(png := io.BytesIO(), "PNG")
            (entry := tarfile.TarInfo(f"data16x16/{i:05}.png")).size = png.tell()
            png.seek(0)
            archive.addfile(entry, png)
    kgen.data.prepare("celeb_a_hq/16", originals, tmp_path / "store")
    flags = ["--dataset", "celeb_a_hq/16", "--data-dir", str(tmp_path / "store")]
    flags += ["--image-size", "8", "--output", str(tmp_path / "out")]
    run = progressive_gan.main.flags(flags)
    sets = [data.images() for data in _run.load(run)]
    assert [images.shape for images in sets] == [(80, 8, 8, 3), (20, 8, 8, 3)]
    seen = {image.tobytes() for images in sets for image in images}
    assert len(seen) == 100


def test_what_is_held_out_follows_from_the_splits(tmp_path, monkeypatch):
    assert _run.splits_of(SimpleNamespace(dataset=str(tmp_path))) == ("train", "test")
    for own, expected in (
        (["train", "test", "validation"], ("train", "test")),
        (["train", "validation"], ("train", "validation")),
        (["train"], ("train[:80%]", "train[80%:]")),
        (["trainA", "trainB"], ("train", "test")),  # domains, which recipes refuse
    ):
        monkeypatch.setattr(kgen.data, "splits", lambda name, own=own, **_: own)
        assert _run.splits_of(SimpleNamespace(dataset="a set", data_dir=None)) == expected
