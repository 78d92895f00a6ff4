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
from kgen.data.embedded import EMBEDDED


def parse(argv):
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m kgen.data",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True)
    add = commands.add_parser("list", help="what images there are").add_argument
    add("--all", action="store_true", help="also name all that TensorFlow Datasets can fetch")
    add("--data-dir", help="the store of TensorFlow Datasets")
    add = commands.add_parser("prepare", help="put a set into the store").add_argument
    add("name", help="a set of TensorFlow Datasets")
    add("--originals", help="folder of the original files, if there is no connection")
    add("--data-dir", help="the store of TensorFlow Datasets")
    add = commands.add_parser("preview", help="draw a grid of images").add_argument
    add("name", help="anything that kgen.data.load takes: a name, a folder, a file")
    add("--split")
    add("--image-size", type=int)
    add("--channels", type=int)
    add("--kind", help="of a folder, where it cannot be seen from its entries")
    add("--n", type=int, default=64, help="how many images")
    add("--augment", type=json.loads, help='such as \'{"flip": true, "shift": 2}\'')
    add("--data-dir", help="the store of TensorFlow Datasets")
    add("--output", type=pathlib.Path, default=pathlib.Path("preview.png"))
    return parser.parse_args(argv)


def show_list(run):
    """Print what there is: embedded, of one's own, in the store, to be fetched."""
    print("Embedded")
    for name, embedded in EMBEDDED.items():
        _line(name, embedded.what, data.licence(name))
    print("\nYour own, by path")
    for name, what in PATHS.items():
        _line(name, what)
    store = _store(run.data_dir)
    print(f"\nIn the store {store}")
    prepared = dict(_prepared(store))
    for name, what in prepared.items():
        _line(name, what, data.licence(name))
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
    "a folder": "images, or a folder of images for each class; each also below train, test, ...",
    'with kind="pairs"': "images that hold a pair side by side",
    "with trainA, trainB": "two domains; testA and testB, too",
    "with IDX files": "as MNIST and its like have them, gzipped or not",
    "with data.mdb": "an LMDB of images, as LSUN has them",
    "a file": ".npz, .npy or IDX",
}


def _line(name, what, licence=None):
    print(f"  {name:<24} {what}" + (f"\n  {'':<24} licence: {licence}" if licence else ""))


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

    for name in tfds.list_builders():
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
    names = ("split", "image_size", "channels", "kind", "data_dir", "augment")
    options = {name: getattr(run, name) for name in names}
    images = data.load(run.name, num_examples=run.n, batch_size=run.n, shuffle=False, **options)
    batch = images[0]
    title = f"{run.name}: the first {images.num_examples} of {run.split or 'the training images'}"
    if isinstance(images, data.ImagePairs):
        both = [np.broadcast_to(part[..., :3], (*part.shape[:3], 3)) for part in batch]
        title += f" ({' | '.join(images.domain_names)})"
        plots.grid(np.concatenate(both, axis=2), title=title, path=run.output)
    elif len(images.image_shape) == 1:
        plots.latent_scatter(images.images(), images.labels, title=title, path=run.output)
    else:
        names = images.class_names
        labels = None if not names or run.n > 100 else [names[i] for i in batch[1]]
        plots.grid(batch[0], labels=labels, title=title, path=run.output)
    print(f"{images!r}\n{run.output}")


def main(argv=None):
    """Run one command; mistakes end as one message."""
    run = parse(argv)
    try:
        {"list": show_list, "prepare": prepare, "preview": preview}[run.command](run)
    except (ValueError, TypeError, OSError, ImportError) as error:
        print(f"python -m kgen.data {run.command}: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
