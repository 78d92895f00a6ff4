"""Transport beside distances: the figure and its numbers."""

import json

import numpy as np
import pytest
from PIL import Image
from scipy import stats

from kgen.data.toy2d import two_hills
from recipes import optimal_transport


def test_the_figure_and_the_distance_of_scipy(tmp_path, capsys):
    distance = optimal_transport.main(["--points", "2000", "--output", str(tmp_path)])
    generated = 0.5 * np.random.default_rng(0).standard_normal(2000)
    expected = stats.wasserstein_distance(two_hills(2000)[:, 0], generated)
    assert distance == pytest.approx(expected, rel=1e-6)
    pixels = np.asarray(Image.open(tmp_path / "optimal_transport.png").convert("RGB"))
    assert pixels.shape[1] == 1920 and pixels.std() > 5
    results = json.loads((tmp_path / "results.json").read_text())
    assert results["Wasserstein distance of the points"] == distance
    assert "Wasserstein distance of the points" in capsys.readouterr().out


def test_the_divergence_of_gaussians_far_apart_is_log_2_whatever_the_shift():
    for sigma in (0.5, 0.05):
        assert optimal_transport.divergence(0.0, sigma) == pytest.approx(0, abs=1e-12)
        assert optimal_transport.divergence(40 * sigma, sigma) == pytest.approx(np.log(2), rel=1e-6)
    assert optimal_transport.divergence(1.0, 0.05) > 0.999 * np.log(2)
    panel = optimal_transport.distances(0.5)
    assert np.diff(panel.curves["Wasserstein"]).min() > 0
