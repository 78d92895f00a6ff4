"""Images in files, as the tests of folders and of files need them."""

import struct

import numpy as np
from PIL import Image

RGB = np.random.default_rng(0).integers(0, 256, (10, 12, 8, 3), "uint8")


def write(path, image):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image.squeeze()).save(path)


def write_flat(folder, images=RGB):
    for i, image in enumerate(images):
        write(folder / f"{i:02}.png", image)
    return folder


def write_classes(folder):
    for i, image in enumerate(RGB):
        write(folder / ("cat", "dog")[i % 2] / f"{i:02}.png", image)
    return folder


def everything(data):
    return data.fetch(np.arange(data.num_examples))


def idx(array):
    return (
        b"\0\0\x08"
        + bytes([array.ndim])
        + struct.pack(f">{array.ndim}I", *array.shape)
        + (array.astype("uint8").tobytes())
    )
