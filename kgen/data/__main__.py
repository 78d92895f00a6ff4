"""Images at the command line.

python -m kgen.data list
python -m kgen.data prepare fashion_mnist --originals FOLDER
python -m kgen.data preview faces/glasses --image-size 64
"""

import argparse
import json
import pathlib
import sys

import numpy as np

from kgen import data, plots
from kgen.command_line import (
    DEBUG,
    Parser,
    add_image_flags,
    image_options,
    number,
    picture_to_write,
    to_the_end,
)
from kgen.data.embedded import EMBEDDED
from kgen.data.pixels import color, with_channels

MOST_IMAGES = 10_000  # images in a grid


def parse(argv):
    """Read the command line."""
    parser = Parser(prog="python -m kgen.data", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    add = commands.add_parser("list", help="what images there are").add_argument
    add("--all", action="store_true", help="also name all that TensorFlow Datasets can fetch")
    add("--data-dir", help="the store of TensorFlow Datasets")
    add("--debug", **DEBUG)
    add = commands.add_parser("prepare", help="put a set into the store").add_argument
    add("name", help="a set of TensorFlow Datasets")
    add("--originals", help="folder of the original files, if there is no connection")
    add("--data-dir", help="the store of TensorFlow Datasets")
    add("--debug", **DEBUG)
    preview = commands.add_parser("preview", help="draw a grid of images")
    add = preview.add_argument
    add("name", help="anything that kgen.data.load takes: a name, a folder, a file")
    add("--split")
    add("--n", type=_count, default=64, help="how many images")
    add("--augment", type=_augmentation, help='such as \'{"flip": true, "shift": 2}\'')
    add("--output", type=picture_to_write, default="preview.png", help="picture to write")
    add_image_flags(preview)
    return parser.parse_args(argv)


def _count(text):
    expected = f"a whole number from 1 to {MOST_IMAGES:,}"
    return number(int, text, lambda n: 0 < n <= MOST_IMAGES, expected)


def _augmentation(text):
    try:
        return json.loads(text)
    except ValueError:
        example = '{"flip": true, "crop": 0.9, "shift": 2}'
        raise argparse.ArgumentTypeError(f"must be JSON such as {example}; got {text}") from None


def show_list(run):
    """Print what there is: embedded, of one's own, in the store, to be fetched."""
    print("Embedded")
    for name, embedded in EMBEDDED.items():
        _line(name, embedded.what, data.license(name))
    print("\nYour own, by path")
    for name, what in PATHS.items():
        _line(name, what)
    store = _store(run.data_dir)
    print(f"\nIn the store {store}")
    prepared = dict(_prepared(store))
    for name, what in prepared.items():
        _line(name, what, data.license(name))
    if not prepared:
        print("  nothing yet")
    print("\nOf TensorFlow Datasets, fetched when they are loaded")
    if run.all:
        for name in _known():
            print(f"  {name}")
    else:
        print("  mnist, fashion_mnist, cifar10, celeb_a, lsun/bedroom, cycle_gan/horse2zebra, ...")
        print("  (all of them: python -m kgen.data list --all)")


PATHS = {
    "a folder": "images, or a folder of images for each class; each also below train, test, ...; "
    "without these, --split train and test are four fifths and one fifth",
    'with kind="pairs"': "images that hold a pair side by side",
    "with trainA, trainB": "two domains; testA and testB, too",
    "with IDX files": "as MNIST and its like have them, gzipped or not",
    "with data.mdb": "an LMDB of images, as LSUN has them",
    "a file": ".npz, .npy or IDX",
}


def _line(name, what, license=None):
    print(f"  {name:<24} {what}" + (f"\n  {'':<24} licence: {license}" if license else ""))


def _store(data_dir):
    import tensorflow_datasets as tfds

    return pathlib.Path(data_dir or tfds.core.constants.DATA_DIR).expanduser()


def _prepared(store):
    """Names of the image sets in the store, with their numbers of images."""
    paths = {*store.glob("*/*/dataset_info.json"), *store.glob("*/*/*/dataset_info.json")}
    for path in sorted(path for path in paths if not path.parent.name.startswith("incomplete.")):
        features = path.with_name("features.json")
        if "image_feature.Image" not in (features.read_text() if features.exists() else ""):
            continue
        info = json.loads(path.read_text())
        counts = (
            f"{split['name']} {sum(map(int, split['shardLengths'])):,}" for split in info["splits"]
        )
        name = "/".join(filter(None, (info["name"], info.get("configName"))))
        yield name, f"{', '.join(counts)} images"


def _known():
    """Names of the image sets that TensorFlow Datasets knows."""
    import tensorflow_datasets as tfds

    for name in tfds.list_builders(with_community_datasets=False):
        try:
            module = sys.modules[tfds.builder_cls(name).__module__]
        except ImportError:  # a set that needs another package
            continue
        if "features.Image(" in pathlib.Path(module.__file__).read_text():
            yield name


def prepare(run):
    """Put a set into the store and say where it is."""
    print(data.prepare(run.name, run.originals, run.data_dir))


def preview(run):
    """Draw a grid of the first images."""
    options = {"split": run.split, "augment": run.augment, **image_options(run)}
    options |= {"num_examples": run.n, "allow_fewer": True, "batch_size": 64, "shuffle": False}
    images = data.load(run.name, **options)
    batches = [images[i] for i in range(len(images))]  # small ones: Ctrl-C waits for those begun
    batch = [np.concatenate(parts) for parts in zip(*batches, strict=True)]
    title = f"{run.name}: the first {images.num_examples}"
    title += f" of {run.split}" if run.split else ""
    if isinstance(images, data.ImagePairs):
        title += f" ({' | '.join(images.domain_names)})"
        both = [_opaque(part, run) for part in batch]
        if both[0].shape != both[1].shape:
            sizes = " and ".join(f"{part.shape[1]}x{part.shape[2]}" for part in both)
            raise ValueError(
                f"The images of {run.name} have {sizes} pixels (height x width) in its two domains:"
                " pass image_size=, to show them side by side."
            )
        plots.grid(np.concatenate(both, axis=2), title=title, path=run.output)
    elif len(images.image_shape) == 1:
        plots.latent_scatter(images.images(), images.labels, title=title, path=run.output)
    else:
        names = images.class_names
        labels = None if not names or run.n > 100 else [names[i] for i in batch[1]]
        plots.grid(_opaque(batch[0], run), labels=labels, title=title, path=run.output)
    print(f"{images!r}\n{run.output}")


def _opaque(images, run):
    """Images without transparency; pairs are both in colour."""
    return with_channels(images, 3, color(run.background)) if images.shape[-1] in (1, 4) else images


def main(argv=None):
    """Run one command; mistakes end as one message."""
    run = parse(argv)
    command = {"list": show_list, "prepare": prepare, "preview": preview}[run.command]
    return to_the_end(command, run, f"python -m kgen.data {run.command}")


if __name__ == "__main__":
    sys.exit(main())
