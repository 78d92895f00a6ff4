"""From encoded images to arrays, and from one size to another; on the host, in NumPy and Pillow."""

import contextlib
import io
import struct

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

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


# How EXIF's orientations are turned upright.
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

CHUNK, CHUNK_BYTES = 256, 2**26  # what is worked on at once, where all images are


class BrokenImage(ValueError):
    """An image that cannot be decoded; the message names it."""


def probe(source, name, whole=False):
    """Height, width and channels of an encoded image, upright, from its header.

    Args:
        source: path, or the encoded bytes.
        name: what messages call it.
        whole: also decode it, to be sure that all of it is there.

    Raises:
        BrokenImage: if it cannot be read.
    """
    with _opened(source, name) as image:
        sides = (image.height, image.width)
        sides = sides[::-1] if 5 <= _orientation(image) <= 8 else sides
        if whole:
            image.load()
        return *sides, _channels(image)


def decode(source, name, size=None, channels=None):
    """Decode one image: uint8 `(H, W, C)`, upright as its EXIF says.

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
        turn = TURNS.get(_orientation(image))
        image = _with_channels(image, channels or _channels(image))
        image.load()
        image = image if turn is None else image.transpose(turn)
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


def resize(images, size, crop=False):
    """Resize images `(N, H, W, C)` to `size = (height, width)`, bicubic, antialiased.

    With `crop`, the largest centred crop of that aspect; otherwise another aspect distorts them.
    """
    resized = np.empty((len(images), *size, images.shape[-1]), images.dtype)
    for image, target in zip(images, resized, strict=True):
        target[...] = (crop_and_resize if crop else resize_one)(image, size)
    return resized


def chunk_size(nbytes):
    """How many images of so many bytes are worked on at once."""
    return int(np.clip(CHUNK_BYTES // max(nbytes, 1), 1, CHUNK))


def chunks(count, nbytes):
    """Slices of `count` images, each of a chunk."""
    size = chunk_size(nbytes)
    return [slice(start, start + size) for start in range(0, count, size)]


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
        weights = np.array([19595, 38470, 7471], "int32")  # ITU-R 601, in 65,536ths
        grey = np.empty((*images.shape[:-1], 1), "uint8")
        for some in chunks(len(images), 8 * images[:1].nbytes):  # the products take more
            grey[some, ..., 0] = (images[some] @ weights + 0x8000) >> 16
        return grey
    raise ValueError(
        f"Images of {images.shape[-1]} channels ({images.dtype}) cannot be converted to channels="
        f"{channels}; uint8 goes from 3 to 1, anything from 1 to 3."
    )


@contextlib.contextmanager
def _opened(source, name):
    encoded = isinstance(source, bytes)
    try:
        with Image.open(io.BytesIO(source) if encoded else source) as image:
            if image.mode == "F" or (image.mode == "I" and image.format not in ("PNG", "PPM")):
                raise ValueError("its pixels are signed or of 32 bits; kgen reads 8 and 16 bits")
            yield image
    except UNREADABLE as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        if isinstance(error, UnidentifiedImageError):
            reason = "its content is no image"
        advice = "P" if encoded else "Replace or delete it, or p"
        raise BrokenImage(
            f"The image {name} cannot be read: {reason.rstrip('.')}. {advice}ass skip_broken=True "
            "to leave out what cannot be read."
        ) from error


def _orientation(image):
    """How a Pillow image lies, 1 (upright) to 8, as EXIF numbers it."""
    # Pillow turns TIFFs itself, and would decode a PNG to look for EXIF at its end.
    if image.format == "TIFF" or (image.format == "PNG" and "exif" not in image.info):
        return 1
    with contextlib.suppress(Exception):  # damaged metadata do not make a damaged image
        return int(image.getexif().get(ExifTags.Base.Orientation, 1))
    return 1


def _channels(image):
    """Channels of a Pillow image: 1, 3 or 4 (with transparency)."""
    if image.mode in ("1", "L") or image.mode.startswith("I"):
        return 1
    transparent = image.mode in ("LA", "La", "PA", "RGBA", "RGBa")
    return 4 if transparent or "transparency" in image.info else 3


def _with_channels(image, channels):
    if image.mode.startswith("I"):  # 16 bits: Pillow would clip them
        levels = np.asarray(image).astype("float64") / 257
        image = Image.fromarray(np.round(np.clip(levels, 0, 255)).astype("uint8"))
    return image.convert({1: "L", 3: "RGB", 4: "RGBA"}[channels])
