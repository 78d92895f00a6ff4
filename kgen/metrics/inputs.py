"""What metrics take: images in arrays, datasets or batches, and features; checked, and chunked."""

import numpy as np

from kgen.arrays import is_array, to_numpy
from kgen.data.dataset import ImageDataset
from kgen.data.ranges import check_images, to_uint8
from kgen.files import digest_of_parts
from kgen.progress import progress

CHUNK_IMAGES = 256


def chunks(images, name="images", size=CHUNK_IMAGES):
    """Images from anywhere as uint8 `(n, H, W, C)`, `size` at a time, whatever batches came.

    Images are measured in the 256 levels in which they would be stored, so floats and uint8 of the
    same images give the same.

    Args:
        images: array `(N, H, W, C)` or `(N, H, W)`, uint8 in [0, 255] or floats in [-1, 1]; an
            `ImageDataset`, whose images are taken once, in stored order and as they are; or an
            iterable of batches of such arrays, alone or as `(images, labels)`: a `tf.data.Dataset`,
            a `PyDataset`, a generator, a list.
        name: what messages call them.
        size: images at once.

    Yields:
        uint8 `(size, H, W, C)`; the last ones may be fewer.

    Raises:
        TypeError, ValueError: if the images are not as above, or there are none.
    """
    waiting, held, shape = [], 0, None
    stated = images.image_shape if isinstance(images, ImageDataset) else None
    for batch in _batches(images, name, size):
        batch = _checked(batch, name, shape is None, stated)
        shape = shape or batch.shape[1:]
        if batch.shape[1:] != shape:
            raise ValueError(
                f"{name} must all have one shape; got {shape} and then {batch.shape[1:]}."
            )
        waiting.append(batch)
        held += len(batch)
        while held >= size:
            joined = np.concatenate(waiting) if len(waiting) > 1 else waiting[0]
            yield joined[:size]
            waiting, held = [joined[size:]], held - size
    if shape is None:
        raise ValueError(f"{name} is empty; at least one image is needed.")
    if held:
        yield np.concatenate(waiting)


def watched_chunks(images, name="images", size=CHUNK_IMAGES):
    """As `chunks`, with a progress bar where there are several and they take a while."""
    found, count = chunks(images, name, size), None
    if isinstance(images, ImageDataset):
        count = images.num_examples
    elif is_array(images):
        count = images.shape[0]
    if count is not None and count <= size:
        return found
    return progress(found, count and -(-count // size), f"Looking at {name}")


def whole(images, name="images", least=1):
    """All images as one uint8 array `(N, H, W, C)`, at least so many; otherwise as `chunks`."""
    found = np.concatenate(list(watched_chunks(images, name)))
    enough(len(found), least, name)
    return found


def enough(count, least, name, what="images"):
    """Refuse fewer than a metric needs.

    Raises:
        ValueError: with both numbers.
    """
    if count < least:
        raise ValueError(f"{name} must be at least {least} {what}; got {count}.")


def alike(real, fake):
    """Refuse images of different sizes or channels.

    Args:
        real, fake: arrays `(N, H, W, C)`.

    Raises:
        ValueError: with both shapes.
    """
    if real.shape[1:] != fake.shape[1:]:
        raise ValueError(
            f"Real and generated images must have the same size and channels; got "
            f"{real.shape[1:]} and {fake.shape[1:]}. Load the real ones with "
            f"kgen.data.load(..., image_size=, channels=) of the generated ones."
        )


def rows(x, name="features", least=1, width=None):
    """Features as a float64 array `(N, F)` of finite numbers.

    Raises:
        TypeError: if they are no array of numbers.
        ValueError: if the shape is another, numbers are not finite, or they are fewer than `least`.
    """
    came = type(x).__name__
    x = to_numpy(x) if is_array(x) or isinstance(x, list | tuple) else None
    if x is None or (x.dtype.kind not in "fiu" and "bfloat16" not in str(x.dtype)):
        raise TypeError(f"{name} must be an array (N, F) of numbers; got {came}.")
    if x.ndim != 2 or 0 in x.shape[1:] or width not in (None, x.shape[1]):
        raise ValueError(f"{name} must have shape (N, {width or 'F'}); got {x.shape}.")
    enough(len(x), least, name, "rows")
    x = x.astype("float64", copy=False)
    if bad := x.size - np.count_nonzero(np.isfinite(x)):
        raise ValueError(f"{name} must be finite; {bad} of {x.size} values are NaN or infinite.")
    return x


def content(images, name="images"):
    """Hexadecimal digest of the images themselves, wherever they come from: uint8 and their order.

    Args:
        images, name: as `chunks` takes them; a generator is used up.
    """

    def parts():
        for chunk in watched_chunks(images, name):
            yield str(chunk.shape[1:]).encode()
            yield np.ascontiguousarray(chunk)

    return digest_of_parts(parts())


def _batches(images, name, size):
    if isinstance(images, ImageDataset):
        for start in range(0, images.num_examples, size):
            yield images.fetch(np.arange(start, min(start + size, images.num_examples)))
    elif is_array(images):
        images = to_numpy(images)
        check_images(images[:1], check_range=False, what=name)  # a shape that cannot be sliced
        yield from (images[start : start + size] for start in range(0, len(images), size))
    elif hasattr(images, "__len__") and hasattr(images, "__getitem__"):  # PyDataset, list
        yield from (_images(images[i]) for i in range(len(images)))
    elif hasattr(images, "__iter__"):
        yield from map(_images, images)
    else:
        raise TypeError(
            f"{name} must be an array of images, a dataset, or batches of images; got "
            f"{type(images).__name__}. A path or a dataset's name is loaded by kgen.data.load."
        )


def _images(batch):
    return to_numpy(batch[0] if isinstance(batch, tuple) else batch)


def _checked(batch, name, first, image_shape):
    """A batch as uint8 `(N, H, W, C)`; the range of floats is that of the first batch."""
    batch = batch[..., None] if batch.ndim == 3 else batch
    if batch.ndim != 4:
        raise ValueError(
            f"{name} must have shape (N, height, width, channels) or (N, height, width); got "
            f"{batch.shape}."
        )
    check_images(batch, image_shape, False, name)  # dtype, and what is not finite
    if batch.dtype != np.uint8:
        low, high = float(batch.min()), float(batch.max())
        if low < -1.001 or high > 1.001 or (first and low >= 0):
            divided = ", none negative: divided by 255?" if low >= 0 and high <= 1.001 else ";"
            raise ValueError(
                f"{name} has floats in [{low:.4g}, {high:.4g}]{divided} Expected floats in [-1, 1] "
                "or uint8 in [0, 255]: pass the uint8 images as they are, or scale to [-1, 1]. If "
                "they really have no value below 0, pass kgen.data.to_uint8(images)."
            )
    return to_uint8(batch)


def values(x, name, least=1):
    """Numbers as a float64 array `(N,)`, each finite.

    Raises:
        TypeError: if they are no array of numbers.
        ValueError: if the shape is another, numbers are not finite, or they are fewer than `least`.
    """
    x = to_numpy(x)
    if x.ndim != 1:
        raise ValueError(f"{name} must have shape (N,); got {x.shape}.")
    return rows(x[:, None], name, least)[:, 0]
