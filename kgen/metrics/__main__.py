r"""Measure generated images at the command line.

python -m kgen.metrics fashion_mnist vae_fashion_mnist
python -m kgen.metrics faces model.keras --n 5000 --metrics fid recall
python -m kgen.metrics FOLDER OTHER_FOLDER --features pixels --image-size 28 --json found.json

REAL and FAKE are what kgen.data.load takes (an embedded set, a folder, an .npz, .npy or IDX file, a
name of TensorFlow Datasets), or a model: a .keras file, or a name of the zoo, which generates. REAL
is loaded at the size and in the channels of FAKE.
"""

import argparse
import json
import pathlib
import sys
import zipfile

import keras
import numpy as np

from kgen import data, metrics, plots, zoo
from kgen.metrics.features import NAMES


def parse(argv):
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m kgen.metrics",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("real", help="real images, those trained on")
    add("fake", help="generated images, or a model")
    add("--test", help="other real images, for the floor; by default REAL's split test, if any")
    add("--metrics", nargs="+", choices=list(metrics.METRICS), help="by default all that apply")
    add("--features", help=f"one of {', '.join(NAMES)}; those that suit REAL by default")
    add("--weights", help="file of the weights of inception")
    add("--n", type=int, default=10_000, help="images of each side at most; 10,000 by default")
    add("--split", default="train", help="of REAL; train by default (see kgen.data.load)")
    add("--image-size", type=int, help="side of the images; that of FAKE by default")
    add("--seed", type=int, default=0)
    add("--json", type=pathlib.Path, help="file to write the numbers to")
    add("--neighbours", type=pathlib.Path, help="PNG of the images nearest to training images")
    return parser.parse_args(argv)


def generated(run):
    """What is to be measured, uint8 `(N, H, W, C)`."""
    if run.fake.endswith(".keras") or run.fake in zoo.list():
        model = loaded(run.fake) if run.fake.endswith(".keras") else zoo.load(run.fake)
        if not callable(getattr(model, "generate", None)):
            raise ValueError(f"{run.fake} is a {type(model).__name__}, which does not generate.")
        images = data.to_uint8(model.generate(run.n, seed=run.seed))
        return images if run.image_size is None else _resized(images, run.image_size)
    return _pixels(data.load(run.fake, image_size=run.image_size), run.n)


def loaded(path):
    """The model of a file."""
    if pathlib.Path(path).exists() and not zipfile.is_zipfile(path):  # Keras says: not found
        raise ValueError(f"{path} is no complete .keras file: was it cut off?.")
    return keras.saving.load_model(path)


def real(run, name, split, shape):
    """Real images of this shape."""
    size = shape[0] if shape[0] == shape[1] else shape[:2]  # faces are squares
    return _pixels(data.load(name, split, image_size=size, channels=shape[2]), run.n)


def tests(run, shape):
    """Real images that were not trained on, or None."""
    if run.test:
        return real(run, run.test, None, shape)
    try:
        return real(run, run.real, "test", shape) if run.split == "train" else None
    except ValueError:  # no such split
        return None


def _pixels(images, n):
    if isinstance(images, data.ImagePairs) or len(images.image_shape) != 3:
        raise ValueError(f"{images!r} has pairs or points; images are measured here.")
    return images.fetch(np.arange(min(n, images.num_examples)))


def _resized(images, size):
    return data.ImageDataset(images).at_resolution(size).fetch(np.arange(len(images)))


def draw_neighbours(found, path):
    """Write the generated images that are nearest to training images, and these."""
    if "memorisation" not in found.results:
        why = found.left_out.get("memorisation", "--metrics leaves memorisation out.")
        raise ValueError(f"--neighbours cannot be drawn: {why}")
    memory = found.results["memorisation"]
    title = f"The generated images nearest to training images; distance ratio {memory.ratio:.2f}"
    plots.strips(memory.closest(), ["generated", "training"], title=title, path=path)


def features_of(run):
    """The features by the name that is given, or that suit the real images."""
    known = metrics.judge_for(run.real)
    if run.features is None and known is None:
        raise ValueError(
            f"No features are known to suit {run.real!r}: pass --features, one of {list(NAMES)}."
        )
    return metrics.features(run.features or known, run.weights)


def main(argv=None):
    """Measure and print; mistakes end as one message."""
    run = parse(argv)
    try:
        extractor, fake = features_of(run), generated(run)
        images, test = real(run, run.real, run.split, fake.shape[1:]), tests(run, fake.shape[1:])
        found = metrics.evaluate(images, fake, extractor, run.metrics, test, run.seed)
        print(f"{len(fake):,} images of {run.fake} against {len(images):,} of {run.real}\n{found}")
        if run.json:
            about = {"real": run.real, "fake": run.fake, "seed": run.seed}
            run.json.write_text(json.dumps(about | found.as_dict(), indent=2) + "\n")
        if run.neighbours:
            draw_neighbours(found, run.neighbours)
    except (ValueError, TypeError, OSError, ImportError) as error:
        print(f"python -m kgen.metrics: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
