"""Augmentation: chances taken anew in each epoch, a function of seed, epoch and image alone."""

import numbers

import numpy as np

from kgen.data.pixels import resize_one

CHANCES = 6  # numbers drawn for each image: flip, shift (2), crop (3)


def check_augmentation(settings, image_shape):
    """Return `{"flip": bool, "crop": share, "shift": pixels}`, or None for no augmentation.

    Raises:
        TypeError, ValueError: for unknown names or values, or points.
    """
    if not settings:
        return None
    if not isinstance(settings, dict):
        raise TypeError(
            'augment must be a dictionary such as {"flip": True, "crop": 0.9, "shift": 2}; got '
            f"{settings!r}."
        )
    if unknown := sorted(set(settings) - {"flip", "crop", "shift"}):
        raise ValueError(f"augment knows 'crop', 'flip' and 'shift'; got {unknown}.")
    if len(image_shape) != 3:
        raise ValueError(f"Points of shape {image_shape} cannot be augmented; leave augment out.")
    flip, crop, shift = (
        settings.get(k, d) for k, d in (("flip", False), ("crop", 1), ("shift", 0))
    )
    if not isinstance(flip, bool):
        raise ValueError(f"augment's flip must be True or False; got {flip!r}.")
    if not isinstance(crop, numbers.Real) or not 0 < crop <= 1:
        raise ValueError(
            f"augment's crop is the smallest share of the sides that is kept, above 0 and at most "
            f"1; got {crop!r}."
        )
    smallest = min(image_shape[:2])
    if not isinstance(shift, numbers.Integral) or not 0 <= shift < smallest:
        raise ValueError(
            f"augment's shift must be a number of pixels from 0 to {smallest - 1}; got {shift!r}."
        )
    return {"flip": flip, "crop": float(crop), "shift": int(shift)}


def chances(seed, epoch, n):
    """What is drawn for each of `n` images in this epoch: float32 `(n, CHANCES)` in [0, 1)."""
    return np.random.default_rng([seed, epoch, 1]).random((n, CHANCES), "float32")


def augment(images, drawn, flip=False, crop=1.0, shift=0):
    """Mirror, shift and crop each image by its own chances.

    Args:
        images: `(N, H, W, C)`, uint8 or floats.
        drawn: `chances` of these images, `(N, CHANCES)`.
        flip: whether half of them are mirrored, left to right.
        crop: a part of the image, of at least this share of its sides and anywhere in it, is
            resized to the whole (bicubic).
        shift: pixels by which it is moved at most, up or down and left or right; the border
            repeats.

    Returns:
        Images of the same shape and dtype.
    """
    n, height, width, _ = images.shape
    if flip or shift:
        by = np.floor(drawn[:, 1:3] * (2 * shift + 1)).astype(int) - shift
        rows = np.clip(np.arange(height) + by[:, :1], 0, height - 1)
        columns = np.clip(np.arange(width) + by[:, 1:], 0, width - 1)
        mirrored = flip & (drawn[:, :1] < 0.5)
        columns = np.where(mirrored, columns[:, ::-1], columns)
        images = images[np.arange(n)[:, None, None], rows[:, :, None], columns[:, None, :]]
    if crop < 1:
        images = np.stack([_cropped(*pair, crop) for pair in zip(images, drawn, strict=True)])
    return images


def _cropped(image, drawn, smallest):
    height, width, _ = image.shape
    share = smallest + (1 - smallest) * float(drawn[3])
    top, left = (1 - share) * height * float(drawn[4]), (1 - share) * width * float(drawn[5])
    box = (left, top, left + share * width, top + share * height)
    if image.dtype == np.uint8:
        return resize_one(image, (height, width), box)
    cropped = resize_one(image.astype("float32"), (height, width), box)
    return np.clip(cropped, -1, 1).astype(image.dtype)
