"""Edges of images: what a drawing of them might keep."""

import numpy as np
from scipy import ndimage

from kgen.arguments import below, weight_of
from kgen.arrays import to_numpy
from kgen.data.ranges import check_images, to_model_range
from kgen.progress import for_all

AT_ONCE = 256  # images


def edges(images, sigma=1.0, threshold=0.2):
    """Dark lines on white where an image changes most, as a drawing for pix2pix.

    The slope of the image, smoothed by a Gaussian, is kept where it is at least `threshold` of the
    image's steepest one, and greatest among its neighbours across the line (Canny, 1986, without
    the second threshold). Of colours the steepest channel counts.

    Args:
        images: `(N, H, W, C)` or `(N, H, W)`, uint8 or floats in [-1, 1].
        sigma: of the Gaussian, in pixels.
        threshold: in [0, 1).

    Returns:
        uint8 `(N, H, W, 1)`: 0 on lines, 255 elsewhere.

    Raises:
        TypeError, ValueError: if the images are not as above, or a number is out of range.
    """
    images = to_numpy(images)
    check_images(images, check_range=False)
    sigma, threshold = weight_of(sigma, "sigma"), below(threshold, 1, "threshold")
    if images.ndim not in (3, 4):
        raise ValueError(
            f"Edges are of images (N, H, W, C) or (N, H, W); got shape {images.shape}."
        )
    images = images[..., None] if images.ndim == 3 else images
    found = np.empty((*images.shape[:3], 1), "uint8")

    def draw(part):
        found[part] = _edges(to_model_range(images[part]), sigma, threshold)

    parts = [slice(first, first + AT_ONCE) for first in range(0, len(images), AT_ONCE)]
    for_all(draw, parts, "Drawing edges")
    return found


def _edges(images, sigma, threshold):
    smooth = ndimage.gaussian_filter(images, (0, sigma, sigma, 0), mode="nearest")
    down, right = np.gradient(smooth, axis=(1, 2))
    slope = np.hypot(down, right)
    steepest = slope.argmax(axis=-1)[..., None]
    slope, down, right = (
        np.take_along_axis(values, steepest, -1)[..., 0] for values in (slope, down, right)
    )
    padded = np.pad(slope, ((0, 0), (1, 1), (1, 1)), mode="edge")
    # Which neighbours lie across the line: by the gradient's angle, in steps of 45 degrees.
    octant = np.round(np.arctan2(down, right) / (np.pi / 4)).astype(int) % 4
    ridge = np.zeros(slope.shape, bool)
    height, width = slope.shape[1:]
    for i, (dy, dx) in enumerate(((0, 1), (1, 1), (1, 0), (1, -1))):
        ahead = padded[:, 1 + dy : 1 + dy + height, 1 + dx : 1 + dx + width]
        behind = padded[:, 1 - dy : 1 - dy + height, 1 - dx : 1 - dx + width]
        ridge |= (octant == i) & (slope >= ahead) & (slope > behind)
    enough = slope >= threshold * slope.max(axis=(1, 2), keepdims=True)
    return np.where(ridge & enough & (slope > 0), 0, 255).astype("uint8")[..., None]
