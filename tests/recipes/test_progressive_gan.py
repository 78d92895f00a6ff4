"""Progressive growing, from images to figures."""

import json

import keras
import numpy as np
from PIL import Image

from recipes import progressive_gan

SHORT = ["--dataset", "digits", "--channels", "1", "--image-size", "8", "--limit", "100"]
SHORT += ["--fade-images", "16", "--stable-images", "16", "--batch-size", "8", "--samples", "60"]
SHORT += ["--filters", "2", "--max-filters", "8", "--latent-dim", "4", "--jit", "off"]


def test_from_images_to_figures_and_resumed(tmp_path, capsys):
    model = progressive_gan.main([*SHORT, "--precision", "float32", "--output", str(tmp_path)])
    printed = capsys.readouterr().out
    assert "pixels  batch" in printed and "4x4: 16 images in" in printed
    assert model.schedule.images == 48 and int(model.step) == 6
    for name in ("growing", "samples", "losses"):
        pixels = np.asarray(Image.open(tmp_path / f"{name}.png").convert("RGB"))
        assert min(pixels.shape[:2]) > 200 and pixels.std() > 5, name
    for name in ("growing", "interpolation"):
        assert Image.open(tmp_path / f"{name}.gif").n_frames > 4
    loaded = keras.saving.load_model(tmp_path / "progressive_gan.keras")
    np.testing.assert_allclose(loaded.generate(4, seed=1), model.generate(4, seed=1), atol=1e-6)
    results = json.loads((tmp_path / "results.json").read_text())
    assert all(np.isfinite(value) for value in results.values())


def test_the_papers_settings(tmp_path):
    run = progressive_gan.main.flags(["--paper", "--image-size", "1024", "--output", str(tmp_path)])
    given = progressive_gan.arguments(run)
    assert given.keys() == {"schedule"}  # the rest are the model's defaults
    assert [level.batch_size for level in given["schedule"].levels][-2:] == [4, 4]
