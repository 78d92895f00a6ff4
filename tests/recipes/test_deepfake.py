"""The recipe of the deepfake, from two people to figures, numbers and a model that loads."""

import json

import keras
import numpy as np
import pytest
from PIL import Image

from kgen.data import faces
from recipes import _portraits, deepfake

SHORT = ["--limit", "60", "--image-size", "32", "--epochs", "2", "--filters", "4"]
SHORT += ["--precision", "float32", "--jit", "off"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    out = tmp_path_factory.mktemp("deepfake")
    return out, deepfake.main([*SHORT, "--output", str(out)])


def test_from_two_people_to_figures_and_a_model_that_loads(trained):
    folder, model = trained
    for name in ("swap", "motion", "scheme", "losses"):
        pixels = np.asarray(Image.open(folder / f"{name}.png").convert("RGB"))
        assert min(pixels.shape[:2]) > 200 and pixels.std() > 5, name
    with Image.open(folder / "motion.gif") as film:  # all moments fit
        assert film.n_frames == deepfake.FRAMES
    assert (folder / "motion.gif").stat().st_size <= 10**6
    loaded = keras.saving.load_model(folder / "deepfake.keras")
    images = faces.draw(faces.sample_factors(4), 32)
    for direction in ("a_to_b", "b_to_a"):
        again = loaded.translate(images, direction)
        np.testing.assert_allclose(again, model.translate(images, direction), atol=1e-6)


def test_numbers_have_their_bounds(trained):
    folder, _ = trained
    results = json.loads((folder / "results.json").read_text())
    assert results["faces"] == 60
    for name in ("swapped", "unchanged", "truth, decoded"):
        assert np.isfinite([results[f"{name}: {what}"] for what in ("error", "who it is")]).all()
    assert results["unchanged: who it is"] < 0.1  # she is not he
    assert results["unchanged: pose and light"] > 0.95  # but looks as he does


def test_measured_is_the_swap_beside_the_truth():
    """A model that swaps as it should has no error, and everything that is to be read is."""
    portraits = _portraits.Portraits(64)
    _, bob = faces.domain_factors("alice2bob", "test", 40)

    class Swaps:
        def translate(self, images, direction):
            assert direction == "a_to_b"
            return portraits.heads(portraits.draw(bob))

        def reconstruct(self, images, domain):
            assert domain == "b"
            return images

    found = deepfake.measure(Swaps(), portraits, 40)
    assert found["swapped: error"] == found["truth, decoded: error"] == 0
    for kind in ("who it is", "pose and light", "expression"):
        assert found[f"swapped: {kind}"] > 0.95
    assert found["unchanged: who it is"] < 0.1 < 0.95 < found["unchanged: expression"]


def test_a_head_is_all_that_is_swapped():
    portraits, factors = _portraits.Portraits(64), faces.sample_factors(3)
    pictures = portraits.draw(factors)
    assert pictures.shape == (3, 96, 96, 3)
    heads = portraits.heads(pictures)
    assert heads.shape == (3, 64, 64, 3)
    np.testing.assert_array_equal(portraits.with_heads(pictures, heads), pictures)
    dark = portraits.with_heads(pictures, np.zeros_like(heads))
    changed = (dark != pictures).any((0, 3))
    rows, columns = (np.flatnonzero(changed.any(axis)) for axis in (1, 0))
    # The border of the head is still the picture's.
    assert (rows[0], rows[-1], columns[0], columns[-1]) == (11, 72, 17, 78)
    assert (portraits.heads(dark)[:, 2:-2, 2:-2] == 0).all()


@pytest.mark.parametrize("flags", [["--image-size", "700"], ["--channels", "1"]])
def test_heads_that_no_picture_is_drawn_for_are_refused(flags, tmp_path):
    with pytest.raises(ValueError, match=f"in colour.* of up to 682 .*{' '.join(flags)}"):
        deepfake.main([*SHORT, *flags, "--output", str(tmp_path)])


def test_the_motion_is_a_round_of_one_person():
    alice, bob = (deepfake.in_motion(who) for who in faces.DOMAINS["alice2bob"])
    for moving in (alice, bob):
        faces.draw(moving, 8)  # they are factors
        varying = {name for name, values in moving.items() if np.ptp(values, axis=0).any()}
        assert varying == {"yaw", "tilt", "smile"}
    for name in ("yaw", "tilt", "smile", "detail"):
        np.testing.assert_array_equal(alice[name], bob[name])
    assert np.abs(np.diff([*alice["yaw"], alice["yaw"][0]])).max() < 0.3  # and ends where it began


def test_folders_of_two_people_have_no_truth(tmp_path, capsys):
    for name in ("trainA", "trainB", "testA", "testB"):
        folder = tmp_path / "people" / name
        folder.mkdir(parents=True)
        seed = {"A": 0, "B": 1}[name[-1]]
        for i, image in enumerate(faces.draw(faces.sample_factors(24, seed), 16)):
            Image.fromarray(image).save(folder / f"{i}.png")
    people = ["--dataset", str(tmp_path / "people"), "--image-size", "16", "--epochs", "1"]
    deepfake.main([*SHORT, *people, "--output", str(tmp_path / "out")])
    assert json.loads((tmp_path / "out" / "results.json").read_text()).keys() == {"seconds"}
    assert (tmp_path / "out" / "swap.png").exists()
    assert not (tmp_path / "out" / "motion.gif").exists()
    assert "consent" in capsys.readouterr().out
