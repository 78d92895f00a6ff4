"""From encoded images to arrays, and from one size to another; on the host, in NumPy and Pillow."""

import contextlib
import io
import struct

import numpy as np
from PIL import ExifTags, Image, ImageColor, ImageFile, UnidentifiedImageError

from kgen.arguments import check_regular, is_integer

# Documents, films, mere metadata, and what Pillow warns of since it will give it up.
NO_IMAGES = ("EPS", "FLI", "IPTC", "MPEG", "IM")
WHITE = (255, 255, 255)

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

CHUNK_IMAGES, CHUNK_BYTES = 256, 2**26  # at most, worked on at once where all images are


def suffixes():
    """Suffixes, lower case, of the images that the installed Pillow reads, its plugins included."""
    formats = {*_formats(), "MPO"}  # written only, but read as the JPEG that it begins with
    return frozenset(s for s, name in Image.registered_extensions().items() if name in formats)


def _formats():
    """Names of the formats that are read, whatever a file's suffix says."""
    Image.init()
    for name, (factory, _) in Image.OPEN.items():
        stub = isinstance(factory, type) and issubclass(factory, ImageFile.StubImageFile)
        if not stub and name not in NO_IMAGES:
            yield name


def color(value, name="background"):
    """Red, green and blue in 0 to 255, of a name that Pillow knows, of them, or of a grey.

    Raises:
        ValueError: for anything else; the message has the argument's name.
    """
    parts = value
    if isinstance(value, str):
        with contextlib.suppress(ValueError):
            parts = ImageColor.getrgb(value)
    parts = parts if isinstance(parts, tuple | list) else (parts,) * 3
    if len(parts) != 3 or not all(is_integer(p) and 0 <= p <= 255 for p in parts):
        raise ValueError(
            f'{name} must be an opaque colour: a name such as "white" or "#ff8000", a grey from 0 '
            f"to 255, or (red, green, blue) of these; got {value!r}."
        )
    return tuple(map(int, parts))


def height_and_width(size, name):
    """`(height, width)` of such a pair, or of an integer for squares.

    Raises:
        ValueError: for anything else; the message has the argument's name.
    """
    sides = (size, size) if is_integer(size) else size
    pair = isinstance(sides, tuple | list) and len(sides) == 2
    if not pair or not all(is_integer(n) and n > 0 for n in sides):
        raise ValueError(f"{name} must be a positive integer or (height, width); got {size!r}.")
    return tuple(map(int, sides))


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


def decode(source, name, size=None, channels=None, background=WHITE):
    """Decode one image: uint8 `(H, W, C)`, upright as its EXIF says.

    Args:
        source: path, or the encoded bytes.
        name: what messages call it.
        size: `(height, width)`: the largest centred crop of that aspect is resized to it. None
            keeps the image as it is.
        channels: 1, 3 or 4; None keeps its own.
        background: red, green and blue, on which what is transparent is shown in 1 or 3 channels.

    Raises:
        BrokenImage: if it cannot be decoded.
    """
    with _opened(source, name) as image:
        turn = TURNS.get(_orientation(image))
        image.load()
        image = _with_channels(image, channels or _channels(image), background)
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
    return int(np.clip(CHUNK_BYTES // max(nbytes, 1), 1, CHUNK_IMAGES))


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
    # Colours at once; of what is transparent by its opacity, or hidden colours would show.
    if image.dtype == np.uint8 and image.shape[-1] in (3, 4):
        return np.asarray(Image.fromarray(np.ascontiguousarray(image)).resize(**settings))
    planes = (Image.fromarray(np.ascontiguousarray(image[..., c])) for c in range(image.shape[-1]))
    return np.stack([np.asarray(plane.resize(**settings)) for plane in planes], axis=-1)


def with_channel_axis(images):
    """Images `(N, H, W)`, of one channel, as `(N, H, W, 1)`; others as they are."""
    return images[..., None] if images.ndim == 3 else images


def with_channels(images, channels, background=WHITE):
    """Convert images `(N, H, W, C)` or `(N, H, W)` between grey and colour, as Pillow does.

    Args:
        images: of 1 or 3 channels, or uint8 of 4: red, green, blue and opacity.
        channels: 1, 3 or 4.
        background: red, green and blue, on which what is transparent is shown in 1 or 3 channels.

    Raises:
        ValueError: if that is not possible.
    """
    images = with_channel_axis(images)
    own, whole = images.shape[-1], images.dtype == np.uint8
    if own == channels:
        return images
    if own == 1 and channels == 3:
        return np.repeat(images, 3, axis=-1)
    if own in (3, 4) and channels in (1, 3) and whole:
        converted = np.empty((*images.shape[:-1], channels), "uint8")
        for some in chunks(len(images), 8 * images[:1].nbytes):  # the products take more
            rgb = images[some] if own == 3 else _opaque(images[some], background)
            converted[some] = rgb if channels == 3 else _gray(rgb)
        return converted
    raise ValueError(
        f"Images of {own} channels ({images.dtype}) cannot be converted to channels={channels}; "
        "uint8 goes from 3 to 1 and from 4 (with transparency) to 3 and 1, anything from 1 to 3."
    )


def _gray(rgb):
    weights = np.array([19595, 38470, 7471], "int32")  # ITU-R 601, in 65,536ths
    return ((rgb @ weights + 0x8000) >> 16)[..., None]


def _opaque(rgba, background):
    """What is transparent, shown on a background: rounded as Pillow's paste rounds."""
    alpha = rgba[..., 3:].astype("int32")
    blend = alpha * rgba[..., :3] + (255 - alpha) * np.array(background, "int32") + 128
    return ((blend + (blend >> 8)) >> 8).astype("uint8")


@contextlib.contextmanager
def _opened(source, name):
    encoded = isinstance(source, bytes)
    try:
        if not encoded:
            check_regular(source)
        readable = io.BytesIO(source) if encoded else source
        with Image.open(readable, formats=list(_formats())) as image:
            if image.mode == "F" or (image.mode == "I" and image.format not in ("PNG", "PPM")):
                raise ValueError("its pixels are signed or of 32 bits; kgen reads 8 and 16 bits")
            yield image
    except UNREADABLE as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        advice = "P" if encoded else "Replace or delete it, or p"
        if isinstance(error, UnidentifiedImageError):
            reason = "its content is no image"
        elif isinstance(error, Image.DecompressionBombError):
            reason = f"it has more pixels than Pillow takes unasked, {2 * Image.MAX_IMAGE_PIXELS:,}"
            advice = (
                "If you know where it comes from, make it smaller, or set PIL.Image."
                "MAX_IMAGE_PIXELS = None before; or p"
            )
        elif isinstance(error, PermissionError):
            advice = "Give yourself the right to read it, or p"
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
    if image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info:
        return 4
    return 1 if image.mode in ("1", "L") or image.mode.startswith("I") else 3


def _with_channels(image, channels, background):
    transparent = _channels(image) == 4
    if image.mode.startswith("I"):  # 16 bits: Pillow would clip them
        levels = np.asarray(image)
        gray = np.round(np.clip(levels / 257, 0, 255)).astype("uint8")
        if transparent:
            opacity = np.where(levels == image.info["transparency"], 0, 255).astype("uint8")
            gray = np.dstack([gray, opacity])
        image = Image.fromarray(gray)
    if transparent and channels != 4:
        image = Image.fromarray(_opaque(np.asarray(image.convert("RGBA")), background))
    if image.mode == "LAB":  # of which Pillow makes RGB alone
        image = image.convert("RGB")
    return image.convert({1: "L", 3: "RGB", 4: "RGBA"}[channels])
