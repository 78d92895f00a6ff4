"""Likelihoods as bits per dimension: densities on [-1, 1] as code lengths of 8-bit images.

Theis et al. (2016, section 3.1): where each grey level is spread by uniform noise of its own width,
the mean log-density of what comes is at most the log-probability of the level. So a model of
densities has an upper bound on the bits that an image costs, as families of any kind have:

```python
images = dequantized(images, host_generator(seed))
bits = bits_per_dim(log_density(images), image_shape)
```
"""

import math

import numpy as np

from kgen.data.ranges import to_uint8

LEVELS_PER_UNIT = 127.5  # 255 steps from level 0, at -1, to level 255, at 1


def dequantized(images, random):
    """Images with uniform noise, independent for each value, of one grey level's width.

    Args:
        images: floats in [-1, 1] on the 256 levels, `(N, H, W, C)`, or uint8 made such.
        random: NumPy generator. It draws image after image, so that of images that come in chunks
            each gets the same noise as in one array: pass one generator with them all.

    Returns:
        float32 of the same shape, from half a level below -1 to half a level above 1.

    Raises:
        ValueError: for points, which have no levels; for floats between the levels.
    """
    check_levels(images)
    noise = random.random(images.shape, dtype="float32") - 0.5
    return images + noise / LEVELS_PER_UNIT


def check_levels(images):
    """Raise a `ValueError` unless these are images on the 256 levels, floats in [-1, 1]."""
    if images.ndim != 4:
        raise ValueError("Points have no grey levels, so no bits per dimension.")
    if np.abs(images - to_uint8(images) / LEVELS_PER_UNIT + 1).max() > 1e-3:
        raise ValueError(
            "Bits per dimension are of 8-bit images; these have values between levels."
        )


def bits_per_dim(nats, image_shape):
    """Bits per dimension of log-densities on [-1, 1].

    A level of 8-bit pixels is 2/255 wide there: the density over levels is the one over [-1, 1]
    divided by 127.5 in each dimension.

    Args:
        nats: log-density of each dequantised image, `(N,)`.
        image_shape: `(H, W, C)`.

    Returns:
        `(N,)`, of the same dtype; 8 for a uniform density on all levels.
    """
    dimensions = math.prod(image_shape)
    return -nats / (dimensions * math.log(2)) + math.log2(LEVELS_PER_UNIT)
