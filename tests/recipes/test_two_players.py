"""Two players on a saddle, and two losses: mathematics, figures."""

import json

import numpy as np
import pytest
from PIL import Image

from recipes import two_players


def test_paths_on_the_saddle():
    """Steps at the same time grow by the root of 1 + rate^2 each; by turns they stay on a ring."""
    rate, n = 0.1, 200
    far = np.linalg.norm(two_players.saddle(n, rate), axis=1)
    np.testing.assert_allclose(far, (1 + rate**2) ** (np.arange(n + 1) / 2), rtol=1e-9)
    x, y = two_players.saddle(n, rate, by_turns=True).T
    np.testing.assert_allclose(x**2 + y**2 + rate * x * y, 1, rtol=1e-9)
    assert np.linalg.norm(two_players.saddle(n, rate, penalty=0.3)[-1]) < 0.2


def test_figures_and_numbers(tmp_path, capsys):
    paths = two_players.main(["--updates", "20", "--output", str(tmp_path)])
    assert {name: path.shape for name, path in paths.items()} == {
        name: (21, 2) for name in two_players.WAYS
    }
    for name in ("saddle", "losses"):
        pixels = np.asarray(Image.open(tmp_path / f"{name}.png").convert("RGB"))
        assert pixels.shape[1] == 1920 and pixels.std() > 5
    assert Image.open(tmp_path / "saddle.gif").n_frames == 21
    assert (tmp_path / "saddle.gif").stat().st_size < 2**20
    results = json.loads((tmp_path / "results.json").read_text())
    far = results["distance from the saddle, at the same time"]
    assert far == pytest.approx(1.01**10) and f"{far:.5g}" in capsys.readouterr().out
