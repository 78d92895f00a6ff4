r"""What metrics see: four generators whose faults are known, and the number that gives each away.

    python -m recipes.metrics
    python -m recipes.metrics --dataset fashion_mnist --samples 1000

Nothing is trained. Half of the training images are what the generators have learned from. The
perfect one makes images of the other half, the next blurs them, the third knows one class of them
only, the last copies what it has learned from. Writes eight images of each beside the numbers of
`kgen.metrics.evaluate`, those marked that are not half as good as the perfect one's.
"""

from pathlib import Path

import numpy as np
from scipy.ndimage import gaussian_filter

import kgen
from kgen import plots
from recipes import _command, _run

DEFAULTS = {
    "output": Path("outputs/metrics"),
    "image_size": 28,
    "samples": {"default": 200, "help": "images of each generator; no more than one class has"},
}
WITHOUT = ("epochs", "batch_size", "precision", "jit", "resume", "publish")
METRICS = {
    "fid": "Fréchet distance",
    "precision": "precision",
    "recall": "recall",
    "memorization": "distance to training",
}


def generators(images, most):
    """Images that were learned from, and by name as many images of each generator."""
    order = np.random.default_rng(0).permutation(images.num_examples)
    learned, others = np.array_split(order, 2)
    labels = np.asarray(images.labels)[others]
    one = others[labels == np.bincount(labels).argmax()][:most]
    learned, perfect, one = (images.at(i).images() for i in (learned, others[: len(one)], one))
    by = images.image_shape[0] / 30  # about a pixel
    blurred = gaussian_filter(perfect, (0, by, by, 0))
    made = {"perfect": perfect, "blurred": blurred, "one class": one}
    return learned, made | {"copies": learned[: len(one)]}


def draw(run, learned, made, found):
    """Write images and numbers."""
    rows = plots.Images(
        np.stack([images[:8] for images in (learned, *made.values())]),
        names=["training images", *made],
        share=1.4,
    )
    cells, marked = [list(METRICS.values())], set()
    for i, values in enumerate(found.values()):
        cells.append([f"{values[name]:.2f}" for name in METRICS])
        for j, name in enumerate(METRICS):
            ratio = values[name] / found["perfect"][name]
            if ratio > 2 if name == "fid" else ratio < 1 / 2:
                marked.add((i + 1, j))
    title = "Every fault has a number that tells it, and none tells all of them"
    if {j for i, j in marked if i == 4} == {3}:
        title = "Every fault has its number, and only one tells copies: they lie on training images"
    _run.slide(run, "metrics", rows, plots.Table(cells, marked), title=title)


@_command.recipe(__doc__, WITHOUT, **DEFAULTS)
def main(run):
    """Measure and draw; returns the numbers by generator."""
    images, test = _run.load(run, labeled=True)
    judge = kgen.metrics.judge_for(run.dataset) or "pixels"
    learned, made = generators(images, run.samples)
    found = {
        name: kgen.metrics.evaluate(learned, fake, judge, [*METRICS], test, run.seed).values
        for name, fake in made.items()
    }
    draw(run, learned, made, found)
    results = {f"{what}, {name}": v for name, values in found.items() for what, v in values.items()}
    _run.report(run, None, "", results)
    return found


if __name__ == "__main__":
    main()
