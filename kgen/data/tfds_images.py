"""The images of a TensorFlow Datasets builder, decoded once."""

import dataclasses
import math
import re
import shutil
import urllib.parse

import numpy as np

from kgen.data.layout import chosen, spelled
from kgen.data.memory import shares
from kgen.data.pixels import BrokenImage, chunk_size, decode
from kgen.data.request import Found
from kgen.data.storage import ArrayFile, PublishedImages
from kgen.data.tfds_store import prepared_builder, store_of
from kgen.files import written_beside
from kgen.progress import in_order, progress


def from_tfds(name, split, data_dir, request):
    """What a split of a set of TensorFlow Datasets holds.

    Where the pixels do not fit into memory, they are written to a file in the store, once, and read
    from there.
    """
    builder = prepared_builder(name, data_dir)
    splits = list(builder.info.splits)
    split = split if split in splits else spelled(split)
    domains = [s[:-1] for s in splits if s.endswith("A") and f"{s[:-1]}B" in splits]
    if domains and (split or "train") in domains:
        both = [f"{split or 'train'}{side}" for side in "AB"]
        counts = [builder.info.splits[one].num_examples for one in both]
        rooms = shares(request.room, counts)
        asked = [dataclasses.replace(request, memory=room) for room in rooms]
        a, b = (_read(builder, name, *one)[0] for one in zip(both, asked, strict=True))
        origins = tuple(
            PublishedImages(images, f"{builder.info.full_name} {one}")
            for images, one in zip((a, b), both, strict=True)
        )
        found = Found(a, second=b, aligned=False, domain_names=("A", "B"), origins=origins)
        return found._replace(own=domains)
    if split is None:
        split = chosen(None, splits, repr(name)) if splits else "train"
    words = set(re.findall(r"[a-z]\w*", split)) if isinstance(split, str) else set()
    if splits and not words <= {*splits, "all"}:
        raise ValueError(f"{name!r} has the splits {sorted({*splits, *domains})}; got {split!r}.")
    if request.num_examples and split in splits:
        split += f"[:{min(request.num_examples, builder.info.splits[split].num_examples)}]"
    images, labels, class_names = _read(builder, name, split, request)
    origin = PublishedImages(images, f"{builder.info.full_name} {split}")
    return Found(images, labels, class_names, origins=(origin, None), own=splits or ["train"])


def _read(builder, name, split, request):
    """Images (an array, or a file of them), labels and class names."""
    import tensorflow_datasets as tfds

    features = builder.info.features
    image_key = _only(features, tfds.features.Image, "image")
    if image_key is None:
        raise ValueError(f"{name!r} has no images; its features are {sorted(features)}.")
    if features[image_key].np_dtype != np.uint8:
        raise ValueError(
            f"The images of {name!r} are {features[image_key].np_dtype.__name__}; kgen reads 8-bit "
            "images."
        )
    label_key = _only(features, tfds.features.ClassLabel, "label")
    keys = [key for key in (image_key, label_key) if key is not None]
    encoded = tfds.decode.PartialDecoding(
        dict.fromkeys(keys, True), decoders={image_key: tfds.decode.SkipDecoding()}
    )
    try:
        examples = builder.as_dataset(split=split, shuffle_files=False, decoders=encoded)
        splits = builder.info.splits  # none where the builder is mocked
        count = splits[split].num_examples if splits else 0
    except ValueError as error:  # "corresponds to no data"
        raise ValueError(f"The split {split!r} of {name!r} is empty: {error}") from error
    channels = request.channels or features[image_key].shape[-1] or 3

    def readable(raw):
        try:
            return decode(raw, f"of {name!r}", request.size, channels, request.background)
        except BrokenImage:
            if not request.skip_broken:
                raise
            return None

    def decoded(batch):
        images = [readable(raw) for raw in batch[image_key]]
        kept = [i for i, image in enumerate(images) if image is not None]
        labels = batch[label_key][kept] if label_key else None
        return [images[i] for i in kept], labels, len(images) - len(kept)

    def batches():
        size, left_out = chunk_size(math.prod(shape)), 0
        read = in_order(decoded, tfds.as_numpy(examples.batch(size)))
        for images, labels, broken in progress(read, math.ceil(count / size), f"Reading {name}"):
            for image in images:
                if image.shape != shape:
                    raise ValueError(
                        f"{name!r} has images of several sizes, such as {shape} and "
                        f"{image.shape}: pass image_size=, which crops and resizes them."
                    )
            left_out += broken
            if images:
                yield np.stack(images), labels
        if left_out:
            print(f"Left out {left_out} images of {name!r} that cannot be read.")

    names = None if label_key is None else features[label_key].names
    one_by_one = (decoded(batch)[0] for batch in tfds.as_numpy(examples.batch(1)))
    shape = next((images[0].shape for images in one_by_one if images), None)
    if shape is None:
        return np.zeros((0, 1, 1, 1), "uint8"), None, names
    if count * math.prod(shape) <= request.room:
        images, labels = zip(*batches(), strict=True)
        images = np.concatenate(images)
    else:
        kind = f"-{bytes(request.background).hex()}" + "-readable" * request.skip_broken
        images, labels = _in_store(builder, f"{split}{kind}", count, shape, label_key, batches)
    labels = None if label_key is None else np.concatenate(labels).astype("int64")
    return images, labels, names


def _in_store(builder, split, count, shape, label_key, batches):
    """The pixels as a file in the store, written if it is not there with its labels."""
    folder = store_of(builder) / "kgen" / builder.info.full_name
    pixels = folder / f"{urllib.parse.quote(str(split), safe='')}-{'x'.join(map(str, shape))}.npy"
    labels = pixels.with_suffix(".labels.npy") if label_key else None
    if not all(path.exists() for path in (pixels, labels) if path):
        folder.mkdir(parents=True, exist_ok=True)
        needed, free = count * math.prod(shape), shutil.disk_usage(folder).free
        if free < needed:
            raise OSError(
                f"The pixels of {builder.info.full_name} {split} do not fit into memory and are "
                f"kept in the store, but {folder} has {free / 2**30:.1f} GiB free of "
                f"{needed / 2**30:.1f} needed. Free some, use another data_dir=, a smaller "
                "image_size=, or more memory=."
            )
        _write(pixels, labels, count, shape, batches)
    return ArrayFile(pixels), [np.load(labels)] if labels else None


def _write(pixels, labels, count, shape, batches):
    """Write both files beside and rename them, the pixels last: they vouch for the labels."""
    known, written = [], 0
    with written_beside(pixels) as temporary:
        with open(temporary, "wb") as file:

            def write_header(n):  # which is padded to one length
                header = {"descr": "|u1", "fortran_order": False, "shape": (n, *shape)}
                np.lib.format.write_array_header_1_0(file, header)

            write_header(count)
            for images, own in batches():
                file.write(images.tobytes())
                known.append(own)
                written += len(images)
            file.seek(0)
            write_header(written)  # without those that were left out
        if labels:
            with written_beside(labels) as temporary:
                np.save(temporary, np.concatenate(known))


def _only(features, kind, preferred):
    found = [key for key, feature in features.items() if isinstance(feature, kind)]
    return preferred if preferred in found else next(iter(found), None)
