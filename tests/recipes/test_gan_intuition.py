"""The GAN on a line and in a plane: mathematics, pictures, and that it learns."""

import json

import numpy as np
import pytest
from PIL import Image
from scipy.stats import wasserstein_distance

from kgen.data.toy2d import two_hills
from recipes import gan_intuition

SHORT = ["--updates", "12", "--epochs", "3", "--batch-size", "32"]


def test_from_training_to_pictures(tmp_path, capsys):
    command = [*SHORT, "--discriminator-steps", "1", "--output", str(tmp_path)]
    line, plane = gan_intuition.main(command)
    assert line.image_shape == (1,) and plane.image_shape == (2,)
    for name in ("line", "plane"):
        pixels = np.asarray(Image.open(tmp_path / f"{name}.png").convert("RGB"))
        assert pixels.shape[1] == 1920 and pixels.std() > 5
        assert (tmp_path / f"{name}.gif").stat().st_size < 2**20
        assert Image.open(tmp_path / f"{name}.gif").n_frames == 4
        frames = sorted(path.name for path in (tmp_path / "samples").glob(f"{name}*"))
        assert frames == [f"{name}-{i:03}.png" for i in range(4)]
    results = json.loads((tmp_path / "results.json").read_text())
    printed = capsys.readouterr().out
    for name, value in results.items():
        assert np.isfinite(value) and name in printed
    assert results["line, Wasserstein distance of p and q, begin"] > 0.4


def test_it_learns(tmp_path):
    """On the line, q comes near p and D near 1/2."""
    command = ["--updates", "300", "--batch-size", "128", "--output", str(tmp_path)]
    run = gan_intuition.main.flags([*command, "--epochs", "1"])
    points = two_hills(5000, seed=0)
    gan, kept = gan_intuition.train(run, points, gan_intuition.take_line, "on a line")
    begin, end = (wasserstein_distance(points[:, 0], kept[at][0]) for at in (0, 300))
    assert end < 0.5 * begin and end < 0.25
    assert np.abs(gan.discriminate(points) - 0.5).mean() < 0.1


def test_only_points_in_a_plane(tmp_path):
    output = ["--output", str(tmp_path)]
    with pytest.raises(ValueError, match="points in a plane"):
        gan_intuition.main([*output, "--dataset", "digits"])
