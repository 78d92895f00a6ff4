import inspect

import numpy as np
import pytest

from benchmarks import harness, metrics

IMAGES = np.random.default_rng(0).integers(0, 256, (40, 8, 8, 1), "uint8")


def test_what_a_bad_generator_makes():
    blurs = [metrics.blurred(IMAGES, sigma).astype("float64").std() for sigma in (0, 0.5, 2)]
    assert blurs == sorted(blurs, reverse=True)
    assert (metrics.blurred(IMAGES, 0) == IMAGES).all()
    gray = np.full((50, 8, 8, 1), 128, "uint8")
    assert metrics.noisy(gray, 0.1).std() == pytest.approx(25.5, rel=0.05)
    assert (metrics.noisy(gray, 0.1) == metrics.noisy(gray, 0.1)).all()
    copies = metrics.repeated(IMAGES, 10)
    assert copies.shape == IMAGES.shape and len(np.unique(copies, axis=0)) == 10
    labels = np.arange(40) % 10
    kept = metrics.without(labels, labels, dropped=8, n=6)
    assert set(kept) == {0, 1} and len(kept) == 6


def test_the_verdicts():
    levels = (1, 2, 3)
    assert metrics.moves(1.0, [2, 3, 4], levels, "up") == "yes"
    assert metrics.moves(1.0, [0.5, 0, 0], levels, "down") == "yes"
    assert metrics.moves(1.0, [3, 2, 4], levels, "up") == "yes, not in order"
    assert metrics.moves(1.0, [0.9, 2, 4], levels, "up") == "**not at 1**"
    assert metrics.moves(1.0, [2, 3, 4], levels, "down") == "**no**"
    assert metrics.moves(1.0, [1.04, 0.96, 1.1], levels, "=") == "**not at 3**"
    assert metrics.moves(1.0, [2, 3, 4], levels, "-") == ""
    assert {len(expected) for expected in metrics.EXPECTED.values()} == {len(metrics.LEVELS)}


def test_how_many_images_are_enough():
    counts = (10, 100, 1000, 10_000)
    assert metrics.settled(counts, [3, 1.5, 1.04, 1]) == 1000
    assert metrics.settled(counts, [1.01, 1.5, 1.04, 1]) == 1000  # not by chance
    assert metrics.settled(counts, [3, 1.5, 1.04, 1], [0, 0, 0.02, 0.01]) == 10_000
    assert metrics.settled(counts, [3, 1.5, 1.04, 1], [0, 0, 0, 0.2]) is None


def test_the_kernel_distance_takes_the_peers_subsets(monkeypatch):
    features = np.random.default_rng(1).standard_normal((2, 30, 3))
    monkeypatch.setattr(
        metrics, "SUBSETS", {"kid_subsets": 3, "kid_subset_size": 30, "rng_seed": 5}
    )
    found = metrics.own(*features)  # each subset is all rows: the value has a closed form
    kernels = [
        (a @ b.T / 3 + 1) ** 3 for a, b in [features[[i, j]] for i, j in [(0, 0), (1, 1), (0, 1)]]
    ]
    within = sum((k.sum() - np.trace(k)) / (30 * 29) for k in kernels[:2])
    expected = within - 2 * kernels[2].mean()
    assert found["kid"]["kernel_inception_distance_mean"] == pytest.approx(expected, rel=1e-6)


def test_the_peers_need_nothing_of_kgen():
    source = (harness.ROOT / "benchmarks" / "torch_metrics.py").read_text()
    assert "import kgen" not in source and "from kgen" not in source
    assert "keras" not in source
    assert not inspect.getsource(metrics).count("import torch")
