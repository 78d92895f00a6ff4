r"""Measure generated images at the command line.

python -m kgen.metrics fashion_mnist vae_fashion_mnist
python -m kgen.metrics faces model.keras --n 5000 --metrics fid recall
python -m kgen.metrics FOLDER OTHER_FOLDER --features pixels --image-size 28 --json found.json

REAL and FAKE are what kgen.data.load takes (an embedded set, a folder, an .npz, .npy or IDX file, a
name of TensorFlow Datasets), or a model: a .keras file, or a name of the zoo, which generates. Of a
set with splits, that for training is taken, of others everything. REAL is loaded at the size and in
the channels of FAKE.
"""

import json
import math
import pathlib
import sys

import numpy as np

from kgen import data, metrics, plots, zoo
from kgen.arguments import check_room
from kgen.command_line import (
    Parser,
    add_image_flags,
    file_to_write,
    image_options,
    picture_to_write,
    positive,
    seed,
    to_the_end,
)
from kgen.data.pixels import with_channels
from kgen.metrics.features import NAMES


def parse(argv):
    """Read the command line."""
    parser = Parser(prog="python -m kgen.metrics", description=__doc__)
    add = parser.add_argument
    add("real", help="real images, those trained on")
    add("fake", help="generated images, or a model")
    add("--test", help="other real images, for the floor; by default REAL's split test, if any")
    add("--metrics", nargs="+", choices=list(metrics.METRICS), help="by default all that apply")
    add("--features", help=f"one of {', '.join(NAMES)}; those that suit REAL by default")
    add("--weights", help="file of the weights of inception")
    add("--n", type=positive, default=10_000, help="images of each side at most; 10,000 by default")
    add("--split", help="of REAL; train by default, everything where there are no splits")
    add("--precision-k", type=positive, default=3, help="neighbour of precision and recall; 3")
    add("--density-k", type=positive, default=5, help="neighbour of density and coverage; 5")
    add("--seed", type=seed, default=0)
    add("--json", type=file_to_write, help="file to write the numbers to")
    add("--neighbors", type=picture_to_write, help="PNG of images nearest to training images")
    add_image_flags(parser)
    return parser.parse_args(argv)


def own_splits(run):
    """Names of the splits of each set that is named, which has to be there."""
    names = [run.real, *filter(None, [run.test]), *([] if _is_model(run.fake) else [run.fake])]
    return {name: data.splits(name, _kind(run, name), run.data_dir) for name in names}


def generated(run, model=None):
    """What is to be measured, uint8 `(N, H, W, C)`."""
    if model is None:
        return _pixels(_load(run, run.fake))
    try:
        images = data.to_uint8(model.generate(run.n, seed=run.seed))
    except NotImplementedError as error:
        raise ValueError(
            f"{run.fake}: {error} Of what makes images of images, pass these images."
        ) from error
    images = images if run.channels is None else with_channels(images, run.channels)
    return images if run.image_size is None else _resized(images, run.image_size)


def generator(run):
    """The model that is to be measured, and the shape of its images here."""
    model = zoo.load_model(run.fake)
    if not callable(getattr(model, "generate", None)):
        raise ValueError(f"{run.fake} is a {type(model).__name__}, which does not generate.")
    shape = getattr(model, "image_shape", None) or model.generate(1, seed=run.seed).shape[1:]
    _check_room(run.n, shape, 9)  # floats, their copy in the model's range, pixels
    size = shape[:2] if run.image_size is None else (run.image_size, run.image_size)
    return model, (*size, run.channels or shape[2])


def _is_model(name):
    return name.endswith(".keras") or name in zoo.list()


def real(run, name, split, shape):
    """Real images of this shape."""
    size = shape[0] if shape[0] == shape[1] else shape[:2]  # faces are squares
    return _pixels(_load(run, name, split=split, image_size=size, channels=shape[2]))


def tests(run, own, shape):
    """Real images that were not trained on, or None."""
    if run.test:
        return real(run, run.test, "test" if "test" in own[run.test] else None, shape)
    known = own[run.real] or (["test"] if run.split == "train" else [])
    if "test" not in known or run.split not in (None, "train"):
        return None
    return real(run, run.real, "test", shape)


def _load(run, name, **options):
    options = image_options(run) | options | {"kind": _kind(run, name)}
    return data.load(name, num_examples=run.n, allow_fewer=True, **options)


def _kind(run, name):
    """What the flag says, for a folder whose kind cannot be seen."""
    if run.kind is None or not pathlib.Path(name).expanduser().is_dir():
        return None
    try:
        data.splits(name)
    except ValueError:
        return run.kind
    return None


def _pixels(images):
    if isinstance(images, data.ImagePairs) or len(images.image_shape) != 3:
        raise ValueError(f"{images!r} has pairs or points; images are measured here.")
    _check_room(images.num_examples, images.image_shape, 1)
    return images.fetch(np.arange(images.num_examples))


def _check_room(n, shape, nbytes):
    instead = "measure fewer, or smaller ones (--image-size)"
    check_room(n * math.prod(shape) * nbytes, f"--n {n} images of {shape}", instead)


def _resized(images, size):
    return data.ImageDataset(images).at_resolution(size).fetch(np.arange(len(images)))


def draw_neighbors(found, path):
    """Write the generated images that are nearest to training images, and these."""
    if "memorization" not in found.results:
        raise ValueError(f"--neighbors cannot be drawn: {found.left_out['memorization']}")
    memory = found.results["memorization"]
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


def measure(run):
    """Load, measure and print."""
    asked = run.metrics is None or "memorization" in run.metrics
    if run.neighbors and not asked:
        raise ValueError("--neighbors cannot be drawn: --metrics leaves memorization out.")
    extractor, own, model = features_of(run), own_splits(run), None
    if _is_model(run.fake):
        model, shape = generator(run)
    else:
        fake = generated(run)
        shape = fake.shape[1:]
    images, test = real(run, run.real, run.split, shape), tests(run, own, shape)
    fake = fake if model is None else generated(run, model)
    ks = {"precision_k": run.precision_k, "density_k": run.density_k}
    found = metrics.evaluate(images, fake, extractor, run.metrics, test, run.seed, **ks)
    print(f"{len(fake):,} images of {run.fake} against {len(images):,} of {run.real}\n{found}")
    if run.json:
        about = {"real": run.real, "fake": run.fake, "seed": run.seed}
        run.json.parent.mkdir(parents=True, exist_ok=True)
        run.json.write_text(json.dumps(about | found.as_dict(), indent=2) + "\n")
    if run.neighbors:
        draw_neighbors(found, run.neighbors)


def main(argv=None):
    """Measure and print; mistakes end as one message."""
    return to_the_end(measure, parse(argv), "python -m kgen.metrics")


if __name__ == "__main__":
    sys.exit(main())
