"""From encoded images to arrays, and from one size to another; on the host, in NumPy and Pillow."""

import contextlib
import io
import struct

import numpy as np
from PIL import Image

SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")

# What Pillow's many decoders raise for files that are no images, or end too early.
UNREADABLE = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    IndexError,
    struct.error,
    Image.DecompressionBombError,
)


class BrokenImage(ValueError):
    """An image that cannot be decoded; the message names it."""


def probe(source, name, whole=False):
    """Height, width and channels of an encoded image, from its header.

    Args:
        source: path, or the encoded bytes.
        name: what messages call it.
        whole: also decode it, to be sure that all of it is there.

    Raises:
        BrokenImage: if it cannot be read.
    """
    with _opened(source, name) as image:
        if whole:
            image.load()
        return image.height, image.width, _channels(image)


def decode(source, name, size=None, channels=None):
    """Decode one image: uint8 `(H, W, C)`.

    Args:
        source: path, or the encoded bytes.
        name: what messages call it.
        size: `(height, width)`: the largest centred crop of that aspect is resized to it. None
            keeps the image as it is.
        channels: 1, 3 or 4; None keeps its own.

    Raises:
        BrokenImage: if it cannot be decoded.
    """
    with _opened(source, name) as image:
        image = _with_channels(image, channels or _channels(image))
        image.load()
        pixels = np.asarray(image)
    pixels = pixels if pixels.ndim == 3 else pixels[..., None]
    return pixels if size is None else crop_and_resize(pixels, size)


def crop_and_resize(image, size):
    """Resize the largest centred crop of this aspect to `size = (height, width)`."""
    if image.shape[:2] == tuple(size):
        return image
    height, width = size
    scale = min(image.shape[0] / height, image.shape[1] / width)
    crop = round(height * scale), round(width * scale)
    top, left = (image.shape[0] - crop[0]) // 2, (image.shape[1] - crop[1]) // 2
    return resize_one(image[top : top + crop[0], left : left + crop[1]], size)


def resize(images, size):
    """Resize images `(N, H, W, C)` to `size = (height, width)`, bicubic, antialiased."""
    resized = np.empty((len(images), *size, images.shape[-1]), images.dtype)
    for image, target in zip(images, resized, strict=True):
        target[...] = resize_one(image, size)
    return resized


def resize_one(image, size, box=None):
    """Resize one image `(H, W, C)`, uint8 or float32, bicubic and antialiased.

    Args:
        size: `(height, width)` of the result.
        box: `(left, top, right, bottom)`, the part to take, in pixels, fractions too.
    """
    settings = {"size": size[::-1], "resample": Image.Resampling.BICUBIC, "box": box}
    if image.dtype == np.uint8 and image.shape[-1] == 3:  # at once; the result is the same
        return np.asarray(Image.fromarray(np.ascontiguousarray(image)).resize(**settings))
    planes = (Image.fromarray(np.ascontiguousarray(image[..., c])) for c in range(image.shape[-1]))
    return np.stack([np.asarray(plane.resize(**settings)) for plane in planes], axis=-1)


def with_channels(images, channels):
    """Convert images `(N, H, W, C)` or `(N, H, W)` between grey and colour, as Pillow does.

    Raises:
        ValueError: if that is not possible.
    """
    images = images[..., None] if images.ndim == 3 else images
    if images.shape[-1] == channels:
        return images
    if images.shape[-1] == 1 and channels == 3:
        return np.repeat(images, 3, axis=-1)
    if images.shape[-1] == 3 and channels == 1 and images.dtype == np.uint8:
        weights = np.array([19595, 38470, 7471], "int64")  # ITU-R 601, in 65,536ths
        return ((images @ weights + 0x8000) >> 16).astype("uint8")[..., None]
    raise ValueError(
        f"Images of {images.shape[-1]} channels ({images.dtype}) cannot be converted to channels="
        f"{channels}; uint8 goes from 3 to 1, anything from 1 to 3."
    )


@contextlib.contextmanager
def _opened(source, name):
    try:
        with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source) as image:
            yield image
    except UNREADABLE as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise BrokenImage(
            f"The image {name} cannot be read: {reason} Replace or delete it, or pass "
            "skip_broken=True to leave out what cannot be read."
        ) from error


def _channels(image):
    """Channels of a Pillow image: 1, 3 or 4 (with transparency)."""
    if image.mode in ("1", "L", "F") or image.mode.startswith("I"):
        return 1
    transparent = image.mode in ("LA", "La", "PA", "RGBA", "RGBa")
    return 4 if transparent or "transparency" in image.info else 3


def _with_channels(image, channels):
    if image.mode.startswith("I"):  # 16 bits: Pillow would clip them
        levels = np.asarray(image).astype("float64") / 257
        image = Image.fromarray(np.round(np.clip(levels, 0, 255)).astype("uint8"))
    return image.convert({1: "L", 3: "RGB", 4: "RGBA"}[channels])
