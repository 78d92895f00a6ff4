"""The one place where pixel ranges are converted and checked.

Inside kgen, images are float32 in [-1, 1]. Arrays may stay uint8 in [0, 255] in memory: the
compiled step converts them. What a compiled step cannot refuse (a value out of range) is checked
here on the host, once, before training starts.
"""

from collections.abc import Iterable

import numpy as np
from keras import ops

from kgen.arguments import is_integer


def to_model_range(images):
    """Convert images to float32 in [-1, 1]; works on NumPy arrays and in a compiled step.

    Args:
        images: uint8 in [0, 255] (mapped by `x / 127.5 - 1`) or floats, taken to be in [-1, 1]
            already (`check_images` is what verifies that).

    Returns:
        float32 images of the same shape, a NumPy array for a NumPy array, a tensor for a tensor.
    """
    if isinstance(images, np.ndarray):
        if images.dtype == np.uint8:
            return images.astype("float32") / np.float32(127.5) - np.float32(1)
        return np.asarray(images, "float32")
    if "uint8" in str(images.dtype):
        return ops.cast(images, "float32") / 127.5 - 1.0
    return ops.cast(images, "float32")


def to_uint8(images):
    """Convert float images in [-1, 1] to uint8 in [0, 255], rounding to the nearest level.

    Args:
        images: array or tensor of any shape; values outside [-1, 1] are clipped, uint8 is returned
            as it is.

    Returns:
        A NumPy array of the same shape, uint8.

    Raises:
        ValueError: if a value is NaN.
    """
    images = np.asarray(ops.convert_to_numpy(images))
    if images.dtype == np.uint8:
        return images
    if np.isnan(images).any():
        raise ValueError("to_uint8 got NaN values; there is no pixel for them.")
    return np.round((np.clip(images.astype("float32"), -1, 1) + 1) * 127.5).astype("uint8")


def with_channel(images, image_shape):
    """Give grey images of shape (N, H, W) their channel axis, if the model's shape has one."""
    if len(image_shape) == 3 and image_shape[-1] == 1 and len(images.shape) == 3:
        return images[..., None]
    return images


def normalize_image_shape(image_shape):
    """Return `(H, W, C)`, or `(D,)` for points, from what a user writes.

    Args:
        image_shape: `(H, W)` (one channel), `(H, W, C)`, or `(D,)` for points.

    Raises:
        ValueError: if it is none of these, or a side is not a positive integer.
    """
    shape = image_shape.tolist() if isinstance(image_shape, np.ndarray) else image_shape
    named = isinstance(shape, str | bytes)
    shape = tuple(shape) if isinstance(shape, Iterable) and not named else (shape,)
    if len(shape) not in (1, 2, 3) or not all(is_integer(n) and n > 0 for n in shape):
        raise ValueError(
            f"image_shape must be (height, width), (height, width, channels) or (dimensions,) for "
            f"points, of positive integers; got {image_shape!r}."
        )
    shape = tuple(int(n) for n in shape)
    return (*shape, 1) if len(shape) == 2 else shape


def check_images(images, image_shape=None, check_range=True, what="images"):
    """Check a batch of images on the host; say what came, what was expected, what to do.

    Args:
        images: NumPy array `(N, H, W, C)`, `(N, H, W)` for one channel, or `(N, D)` for points.
        image_shape: the shape that one image must have, `(H, W, C)` or `(D,)`; None: any, but for
            what looks channels first.
        check_range: whether floats must lie in [-1, 1] and use the negative half. Points have no
            range.
        what: the name of the argument in messages.

    Raises:
        TypeError: if the dtype is neither uint8 nor a float.
        ValueError: if rank, size, channels or range are wrong, or a value is not finite.
    """
    images = np.asarray(images)
    dtype = images.dtype
    name = what if what.isidentifier() else "images"  # in code that a message suggests
    if dtype != np.uint8 and dtype.kind != "f" and "bfloat16" not in str(dtype):
        raise TypeError(
            f"{what} must be uint8 in [0, 255] or floats in [-1, 1]; got dtype {dtype}."
            + _as_pixels(images, name)
        )
    if image_shape is not None:
        _check_shape(images.shape, tuple(image_shape), what)
    elif images.ndim not in (2, 3, 4):
        raise ValueError(
            f"{what} must have shape (N, height, width, channels), (N, height, width) or (N, D) "
            f"for points; got {images.shape}."
        )
    if images.shape[0] == 0:
        raise ValueError(f"{what} is empty: shape {images.shape}. There is nothing to learn from.")
    if 0 in images.shape:
        raise ValueError(f"{what} has no pixels: shape {images.shape} has a side of 0.")
    if image_shape is None:
        refuse_channels_first(images.shape, what)
        refuse_one_image(images.shape, what)
    if dtype == np.uint8:
        return
    if bad := int(images.size - np.isfinite(images).sum()):
        raise ValueError(
            f"{what} holds {bad} values that are NaN or infinite, of {images.size}. Clean the data "
            "first: one such value destroys every weight in one step."
        )
    points = images.ndim == 2 or (image_shape is not None and len(image_shape) == 1)
    if not check_range or points:
        return
    low, high = float(images.min()), float(images.max())
    if low < -1.001 or high > 1.001:
        raise ValueError(
            f"{what} has floats in [{low:.4g}, {high:.4g}]; expected floats in [-1, 1] or uint8 in "
            f"[0, 255]. Pixels of 0 to 255: pass {name}.astype('uint8'). Otherwise scale to "
            "[-1, 1]."
        )
    if low >= 0:
        raise ValueError(
            f"{what} has floats in [{low:.4g}, {high:.4g}], none negative: divided by 255? "
            "Expected floats in [-1, 1]. Either pass the uint8 images as they are, or use "
            f"2 * {name} - 1. "
            "If the images really have no value below 0, build the model or dataset with "
            "check_range=False."
        )


def _as_pixels(images, name):
    """How numbers of another dtype become pixels; nothing of what is no number."""
    if images.dtype.kind == "b":
        return f" Values of True and False: convert with {name}.astype('uint8') * 255."
    if images.dtype.kind not in "iu" or not images.size:
        return ""
    low, high = int(images.min()), int(images.max())
    if low >= 0 and high <= 255:
        return f" Values of {low} to {high}: convert with {name}.astype('uint8')."
    return (
        f" Values of {low} to {high}: scale them from what they can be to [-1, 1], such as 0 to "
        f"65535 by {name} / 32767.5 - 1."
    )


def looks_channels_first(image_shape):
    """Whether `(H, W, C)` would be up to 4 rows with more than 4 channels, and no square."""
    if len(image_shape) != 3:
        return False
    height, width, channels = image_shape
    return height <= 4 < channels and height != width


def refuse_channels_first(shape, what="images"):
    """Refuse images whose channels seem to come first: up to 4 rows, but more than 4 channels.

    Args:
        shape: of a batch of images.
        what: the name of the argument in messages.

    Raises:
        ValueError: with the two ways on.
    """
    if len(shape) == 4 and looks_channels_first(shape[1:]):
        raise ValueError(
            f"{what} has shape (N, {', '.join(map(str, shape[1:]))}), which looks channels first; "
            "(N, height, width, channels) is expected: use numpy.moveaxis(images, 1, -1). If each "
            f"image really is {shape[1]} pixels high and has {shape[3]} channels, pass "
            f"kgen.data.ImageDataset(images, image_shape={tuple(shape[1:])})."
        )


def refuse_one_image(shape, what="images"):
    """Refuse `(N, H, W)` that seems to be one image `(H, W, C)`: 3 or 4 wide, and no smaller.

    Args:
        shape: of a batch of images.
        what: the name of the argument in messages.

    Raises:
        ValueError: with the two ways on.
    """
    if len(shape) == 3 and shape[2] in (3, 4) and min(shape[:2]) > 4:
        raise ValueError(
            f"{what} has shape {tuple(shape)}, which looks like one image, (height, width, "
            "channels); (N, height, width) is expected, or with channels: use images[None]. If "
            f"these really are grey images {shape[2]} pixels wide, pass "
            f"kgen.data.ImageDataset(images, image_shape={tuple(shape[1:])})."
        )


def _check_shape(shape, image_shape, what):
    got = tuple(shape[1:])
    if got == image_shape or (image_shape[-1:] == (1,) and got == image_shape[:-1]):
        return
    hint = ""
    if len(got) == 3 and len(image_shape) == 3:
        if got == (image_shape[2], *image_shape[:2]):
            hint = " These look channels first: use numpy.moveaxis(images, 1, -1)."
        elif got[2] != image_shape[2]:
            hint = f" The channels differ: {got[2]} instead of {image_shape[2]}."
        else:
            hint = " The size differs: resize the images or build the model with their shape."
    elif tuple(shape) in (image_shape, image_shape[:-1]):
        hint = (
            f" A single image needs a batch axis: {what}[None]."
            if what.isidentifier()
            else " These are single images: put them in batches, for tf.data with .batch(128)."
        )
    raise ValueError(
        f"{what} has shape {tuple(shape)}; this model expects (N, "
        f"{', '.join(map(str, image_shape))}).{hint}"
    )
