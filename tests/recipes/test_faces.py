"""The picture of the drawn faces."""

import numpy as np
from PIL import Image

from kgen.data import faces
from recipes import faces as recipe


def test_one_face_in_all_renderings_and_sizes(tmp_path, capsys):
    factors = recipe.main(["--seed", "2", "--output", str(tmp_path)])
    pixels = np.asarray(Image.open(tmp_path / "faces.png").convert("RGB"))
    assert min(pixels.shape[:2]) > 400 and pixels.std() > 5
    printed = capsys.readouterr().out
    assert faces.captions(factors, 2)[0] in printed and "round" in printed
    _, images = recipe.same_face(2)
    assert {image.shape for image in images.values()} == {(1, recipe.SIDE, recipe.SIDE, 3)}
    small = faces.draw(factors, 16)
    np.testing.assert_array_equal(images["16 px"][:, ::12, ::12], small)
