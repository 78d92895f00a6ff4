"""What metrics see: each fault in its number."""

import numpy as np
from PIL import Image

import kgen
from recipes import metrics


def test_every_fault_is_seen(tmp_path):
    flags = ["--samples", "60", "--output", str(tmp_path)]
    found = metrics.main(flags)
    perfect, blurred, one, copies = found.values()
    assert blurred["precision"] < perfect["precision"] / 2 and blurred["fid"] > 2 * perfect["fid"]
    assert one["recall"] < perfect["recall"] / 2 < one["precision"]
    assert copies["memorization"] == 0 and perfect["memorization"] > 0.8
    assert copies["precision"] == 1 and copies["recall"] > perfect["recall"] / 2
    pixels = np.asarray(Image.open(tmp_path / "metrics.png").convert("RGB"))
    assert min(pixels.shape[:2]) > 300 and pixels.std() > 5


def test_generators_have_learned_from_one_half():
    images = kgen.data.load("digits/8x8")
    learned, made = metrics.generators(images, 50)
    known = {image.tobytes() for image in learned}
    assert [image.tobytes() in known for image in made["copies"]] == [True] * 50
    assert np.mean([image.tobytes() in known for image in made["perfect"]]) < 0.05
    assert {len(made[name]) for name in made} == {50}
    assert made["blurred"].std() < made["perfect"].std()
