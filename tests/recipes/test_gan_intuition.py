"""The GAN on a line and in a plane: mathematics, pictures, and that it learns."""

import json

import keras
import numpy as np
import pytest
from PIL import Image
from scipy import stats

from recipes import gan_intuition
from recipes.gan_intuition import LINE

SHORT = ["--updates", "12", "--epochs", "3", "--batch-size", "32"]


def test_density_is_that_of_scipy_and_has_area_1():
    points = gan_intuition.two_hills(300, seed=0)[:, 0]
    found = gan_intuition.density(points, LINE)
    scipy = stats.gaussian_kde(points.astype("float64"), bw_method=0.12 / points.std(ddof=1))
    np.testing.assert_allclose(found, scipy(LINE), rtol=1e-3, atol=1e-7)
    assert np.trapezoid(found, LINE) == pytest.approx(1, abs=0.01)


def test_two_hills_are_two_gaussians():
    points = gan_intuition.two_hills(100_000, seed=1)
    assert points.shape == (100_000, 1) and points.dtype == np.float32
    left, right = points[points < -0.3], points[points >= -0.3]
    assert len(left) / len(points) == pytest.approx(0.4, abs=0.01)
    for hill, mean, sigma in ((left, -1.7, 0.35), (right, 1.5, 0.55)):
        assert hill.mean() == pytest.approx(mean, abs=0.02)
        assert hill.std() == pytest.approx(sigma, abs=0.02)


def test_the_best_discriminator_minimizes_the_cross_entropy_at_every_point():
    p, q = np.random.default_rng(0).uniform(0.1, 1, (2, 50))
    best = gan_intuition.best_discriminator(p, q)
    choices = np.linspace(0.001, 0.999, 2000)[:, None]
    loss = -p * np.log(choices) - q * np.log(1 - choices)
    np.testing.assert_allclose(best, choices[loss.argmin(axis=0), 0], atol=1e-3)
    assert np.isnan(gan_intuition.best_discriminator(np.zeros(1), np.zeros(1))).all()


def test_total_variation_of_gaussians():
    densities = [stats.norm(mean, 0.5).pdf(LINE) for mean in (-0.5, 0.7)]
    expected = 2 * stats.norm.cdf(1.2 / (2 * 0.5)) - 1
    assert gan_intuition.total_variation(*densities) == pytest.approx(expected, rel=1e-3)
    assert gan_intuition.total_variation(densities[0], densities[0]) == 0


def test_a_generator_begins_near_its_latents():
    latents = np.random.default_rng(0).standard_normal((500, 2)).astype("float32")
    keras.utils.set_random_seed(0)
    points = keras.ops.convert_to_numpy(gan_intuition.generator(2)(latents))
    assert np.corrcoef(points.ravel(), latents.ravel())[0, 1] > 0.8


def test_from_training_to_pictures(tmp_path, capsys):
    command = [*SHORT, "--discriminator-steps", "1", "--output", str(tmp_path)]
    line, plane = gan_intuition.main(command)
    assert line.image_shape == (1,) and plane.image_shape == (2,)
    pixels = np.asarray(Image.open(tmp_path / "gan_intuition.png").convert("RGB"))
    assert pixels.shape[1] > 1900 and pixels.std() > 5
    for name in ("line", "plane"):
        assert Image.open(tmp_path / f"{name}.gif").n_frames == 4
        frames = sorted(path.name for path in (tmp_path / "samples").glob(f"{name}*"))
        assert frames == [f"{name}-{at:06}.png" for at in (0, 4, 8, 12)]
    results = json.loads((tmp_path / "results.json").read_text())
    printed = capsys.readouterr().out
    for name, value in results.items():
        assert np.isfinite(value) and name in printed
    assert results["line, total variation of p and q, begin"] > 0.4


def test_it_learns(tmp_path):
    """On the line, q comes near p and D near 1/2."""
    command = ["--updates", "300", "--batch-size", "128", "--output", str(tmp_path)]
    run = gan_intuition.main.flags([*command, "--epochs", "1"])
    points = gan_intuition.two_hills(5000, seed=0)
    gan, kept = gan_intuition.train(run, points, gan_intuition.take_line)
    real = gan_intuition.density(points[:, 0], LINE)
    begin, end = (gan_intuition.total_variation(real, kept[at][0]) for at in (0, 300))
    assert end < 0.5 * begin and end < 0.25
    assert np.abs(gan.discriminate(points) - 0.5).mean() < 0.1


def test_only_points_in_a_plane(tmp_path):
    output = ["--output", str(tmp_path)]
    with pytest.raises(ValueError, match="points in a plane"):
        gan_intuition.main([*output, "--dataset", "digits"])
