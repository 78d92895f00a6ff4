r"""The drawn faces: portraits from known factors, in four renderings, at any size.

    python -m recipes.faces
    python -m recipes.faces --seed 3 --format pdf

Nothing is trained. Writes sixteen faces as `kgen.data.load("faces")` has them, and one of them as
photo, sketch, edges and segmentation, at three sizes, and very large; prints what is known of it.
"""

from pathlib import Path

import numpy as np

from kgen import plots
from kgen.data import faces
from recipes import _command, _run

DEFAULTS = {"output": Path("outputs/faces")}
WITHOUT = ("dataset", "image_size", "limit", "epochs", "batch_size", "precision", "jit", "resume")
WITHOUT += ("publish",)
SIDE, SIZES = 192, (16, 32, 64)  # pixels
LARGEST = 1024
EYE = np.s_[:, 440 : 440 + SIDE, 350 : 350 + SIDE]  # in the largest


def same_face(seed):
    """One face in all renderings and sizes: names and images of `SIDE` pixels."""
    who = faces.sample_factors(1, seed, yaw=0.0, tilt=0.0, hair="curly", glasses="round")
    images = {name: faces.draw(who, SIDE, name) for name in faces.RENDERINGS}
    for size in SIZES:
        times = SIDE // size
        images[f"{size} px"] = faces.draw(who, size).repeat(times, axis=1).repeat(times, axis=2)
    images[f"{LARGEST} px (part)"] = faces.draw(who, LARGEST)[EYE]
    return who, images


@_command.recipe(__doc__, WITHOUT, **DEFAULTS)
def main(run):
    """Draw; returns the factors of the one face."""
    _run.begin(run)
    many = faces.draw(faces.sample_factors(16, run.seed), SIDE)
    who, images = same_face(run.seed)
    one = plots.Images(np.concatenate([*images.values()]), len(images), notes=list(images))
    title = "Faces drawn from known factors: each comes with the truth about itself"
    _run.slide(run, "faces", plots.Images(many, len(images)), one, columns=1, title=title)
    for name, kind in faces.FACTORS.items():
        value = who[name][0]
        print(f"  {name:<14}  {kind[value] if isinstance(kind[0], str) else f'{value:.2f}'}")
    print("  " + faces.captions(who, run.seed)[0])
    _run.report(run, None, "", {})
    return who


if __name__ == "__main__":
    main()
