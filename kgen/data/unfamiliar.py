"""Images of another kind, to try what a model says of what it has not learned."""

import numpy as np

from kgen.data.ranges import check_images, to_model_range
from kgen.data.sources import load


def unfamiliar(images, other="faces", seed=0):
    """Images of the shape of others, and unlike them: inverted, of another set, and noise.

    Args:
        images: `(N, H, W, C)`, uint8 in [0, 255] or floats in [-1, 1].
        other: name of a set that is unlike them, as `load` takes it; its test images serve.
        seed: of the noise, uniform in [-1, 1].

    Returns:
        Dictionary from `"inverted"`, the name of the other set and `"noise"` to float32
        `(N, H, W, C)` in [-1, 1]; of the other set there may be fewer.

    Raises:
        TypeError, ValueError: if the images are not as above.
    """
    check_images(images)
    images = np.asarray(images)
    if images.ndim != 4:
        raise ValueError(f"images must have shape (N, H, W, C); got {images.shape}.")
    n, height, width, channels = images.shape
    others = load(other, "test", height, channels=channels).at_resolution((height, width))
    noise = np.random.default_rng(seed).uniform(-1, 1, images.shape).astype("float32")
    return {
        "inverted": -to_model_range(images),
        other: others.images(n),
        "noise": noise,
    }
