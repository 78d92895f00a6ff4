"""Normalizing flows, and the networks within their couplings."""

import keras
from keras import layers

from kgen.arguments import positive
from kgen.layers.bijections import (
    ActNorm,
    AffineCoupling,
    Autoregressive,
    Chain,
    InvertibleConv1x1,
    Logit,
    SplitPrior,
    Squeeze,
)
from kgen.layers.bijections.logit import MARGIN
from kgen.layers.convolutions import Conv2D
from kgen.layers.dequantization import UniformDequantization, VariationalDequantization
from kgen.layers.labels import OneHot
from kgen.layers.transformer import CausalTransformer
from kgen.networks.common import CHANNELS_LAST, checked_shape

_MOST_LEVELS, _LEAST_SIDE, _LEAST_PATCHES = 3, 4, 7  # by default
_HEADS = 4
_MOST_MIXED = 128  # numbers of a point that a matrix mixes: of more it would be ill-conditioned


def realnvp(
    image_shape,
    *,
    num_classes=None,
    levels=None,
    steps=None,
    filters=None,
    dtype=None,
    blocks=2,
    margin=MARGIN,
):
    """Real NVP (Dinh et al., 2017): affine couplings, by checkerboards and by channels.

    At each level `steps` couplings by checkerboard, a squeeze, `steps` couplings by channels, and
    half of the channels leave by a prior that is learned (which Glow added); what is left passes
    `steps + 1` couplings by checkerboard. Images pass a logit first. Where the paper has batch
    normalisation, this has `ActNorm`, whose inverse does not depend on a batch. The networks are
    residual, of convolutions without normalisation.

    Args:
        image_shape: `(H, W, C)` with even sides, or `(D,)` for points, D of 2 or more.
        num_classes: makes it conditional: all couplings are told a label, int32 `(N,)`.
        levels: how often sides are halved; by default up to 3 times, to 4 pixels at the least.
        steps: couplings in a row; by default 3, or 8 for points.
        filters: width of the networks within; by default 32, or 64 for points.
        dtype: Keras dtype policy of these networks.
        blocks: residual blocks of each of them; for points, hidden layers.
        margin: of the logit of images (`kgen.layers.Logit`).

    Returns:
        `kgen.layers.Chain` from `(N, *image_shape)` to latents `(N, D)`.

    Raises:
        ValueError: for sides that cannot be halved so often; it says which.
    """
    if len(checked_shape(image_shape)) == 1:
        _check_points(image_shape, levels, margin)
        hidden = positive(blocks, "blocks")
        return _of_points(image_shape, False, num_classes, steps, filters, dtype, hidden)
    levels, steps = _levels(image_shape, levels), positive(3 if steps is None else steps, "steps")
    filters = positive(32 if filters is None else filters, "filters")
    blocks = positive(blocks, "blocks")

    def network(shape, channels):
        return _residual_network(shape, channels, num_classes, None, filters, blocks, dtype)

    def couplings(shape, mask, count):
        for i in range(count):
            yield ActNorm(dtype=dtype)
            yield _coupling(network, shape, mask, i % 2 == 1, dtype)

    chain, shape = [Logit(margin=margin, dtype=dtype)], tuple(image_shape)
    for _ in range(levels):
        chain += couplings(shape, "checkerboard", steps)
        chain.append(Squeeze(dtype=dtype))
        shape = _squeezed(shape)
        chain += couplings(shape, "channels", steps)
        chain.append(_split(shape, num_classes, dtype))
        shape = (*shape[:2], shape[2] // 2)
    chain += couplings(shape, "checkerboard", steps + 1)
    return _built(chain, image_shape, dtype)


def glow(
    image_shape,
    *,
    num_classes=None,
    levels=None,
    steps=None,
    filters=None,
    dtype=None,
    margin=MARGIN,
):
    """Glow (Kingma and Dhariwal, 2018): activation normalisation, 1x1 convolution, coupling.

    At each level a squeeze and `steps` steps of flow (figure 2); then half of the channels leave by
    a prior that is learned. Images pass a logit first, as in Real NVP. The networks within are
    convolutions of 3x3, 1x1 and 3x3, the last one zero at first, so that a step begins as a
    rotation. Points of more than 128 numbers are not mixed: there couplings move either half.

    Args:
        image_shape: `(H, W, C)` with even sides, or `(D,)` for points, D of 2 or more.
        num_classes, levels, dtype, margin: as in `realnvp`.
        steps: steps of flow at each level, K of the paper; by default 8.
        filters: width of the networks within; by default 64.

    Returns:
        `kgen.layers.Chain` from `(N, *image_shape)` to latents `(N, D)`.

    Raises:
        ValueError: as `realnvp`.
    """
    if len(checked_shape(image_shape)) == 1:
        _check_points(image_shape, levels, margin)
        return _of_points(image_shape, True, num_classes, steps, filters, dtype, 2)
    levels, steps = _levels(image_shape, levels), positive(8 if steps is None else steps, "steps")
    filters = positive(64 if filters is None else filters, "filters")

    def network(shape, channels):
        inputs, x, told = _inputs(shape, num_classes, None, filters, dtype)
        x = layers.ReLU(dtype=dtype)(_told(_convolution(x, filters, 3, dtype), told, dtype))
        x = layers.ReLU(dtype=dtype)(_convolution(x, filters, 1, dtype))
        return keras.Model(inputs, _convolution(x, channels, 3, dtype, "zeros"))

    chain, shape = [Logit(margin=margin, dtype=dtype)], tuple(image_shape)
    for level in range(levels):
        chain.append(Squeeze(dtype=dtype))
        shape = _squeezed(shape)
        for _ in range(steps):
            chain += [ActNorm(dtype=dtype), InvertibleConv1x1(dtype=dtype)]
            chain.append(_coupling(network, shape, "channels", False, dtype))
        if level < levels - 1:
            chain.append(_split(shape, num_classes, dtype))
            shape = (*shape[:2], shape[2] // 2)
    chain.append(ActNorm(dtype=dtype))
    return _built(chain, image_shape, dtype)


def tarflow(
    image_shape,
    *,
    num_classes=None,
    levels=None,
    steps=None,
    filters=None,
    dtype=None,
    blocks=2,
    margin=MARGIN,
):
    """TarFlow (Zhai et al., 2024): causal transformers over patches, in alternating order.

    A patch of 2^levels by 2^levels pixels becomes one place of a sequence, and each step moves
    every place as those before it say, from the first to the last, then from the last to the first.
    Nothing leaves on the way. Training sees all places at once; generating goes from place to
    place, remembering what attention asks for. Points are sequences of their numbers.

    What differs from the paper: the noise is that of `dequantization`, so densities are exact, and
    samples are not denoised; no guidance; a logit and `ActNorm`, as in `glow`; scales are kept
    within e^2; the first place moves too.

    Args:
        image_shape: `(H, W, C)` with even sides, or `(D,)` for points, D of 2 or more.
        num_classes, dtype, margin: as in `realnvp`.
        levels: how often sides are halved; by default once, and up to 3 times as long as 7 patches
            are left along each.
        steps: transformers; by default 4.
        filters: their width, a multiple of 4; by default 64.
        blocks: of each transformer.

    Returns:
        `kgen.layers.Chain` from `(N, *image_shape)` to latents `(N, D)`.

    Raises:
        ValueError: as `realnvp`, and for images that are a single patch.
    """
    chain, numbers = [], 1  # at each place
    if len(checked_shape(image_shape)) == 1:
        _check_points(image_shape, levels, margin)
    else:
        height, width, _ = image_shape
        levels = _levels(image_shape, levels, least=_LEAST_PATCHES)
        if height == width == 2**levels:
            raise ValueError(
                f"A tarflow moves each patch as those before it say, and with levels={levels} "
                f"images of {height}x{width} pixels are one patch: take fewer levels, or larger "
                "images."
            )
        chain = [Logit(margin=margin, dtype=dtype), Squeeze(2**levels, dtype=dtype)]
        numbers = image_shape[-1] * 4**levels
    filters = positive(64 if filters is None else filters, "filters")
    if filters % _HEADS:
        raise ValueError(f"filters of a tarflow must be a multiple of {_HEADS}; got {filters}.")
    options = {"num_classes": num_classes, "dtype": dtype, "blocks": blocks, "heads": _HEADS}
    for i in range(positive(4 if steps is None else steps, "steps")):
        network = CausalTransformer(2 * numbers, filters, **options)
        reverse = i % 2 == 1
        chain += [ActNorm(dtype=dtype), Autoregressive(network, reverse, dtype=dtype)]
    return _built([*chain, ActNorm(dtype=dtype)], image_shape, dtype)


def variational_dequantization(image_shape, *, filters=32, steps=4, dtype=None):
    """Dequantisation by a flow of `steps` couplings by checkerboard, told the image.

    Args:
        image_shape: `(H, W, C)`.
        filters: width of the networks within.
        steps: couplings.
        dtype: Keras dtype policy of these networks.

    Returns:
        `kgen.layers.VariationalDequantization`.
    """
    if len(checked_shape(image_shape)) == 1:
        raise ValueError(f"Points of shape {tuple(image_shape)} have no levels to be spread.")
    filters, steps = positive(filters, "filters"), positive(steps, "steps")

    def network(shape, channels):
        return _residual_network(shape, channels, None, image_shape[-1], filters, 1, dtype)

    chain = []
    for i in range(steps):
        chain.append(_coupling(network, tuple(image_shape), "checkerboard", i % 2 == 1, dtype))
    layer = VariationalDequantization(Chain(chain, dtype=dtype), dtype=dtype)
    layer.build((None, *image_shape))
    return layer


def uniform_dequantization(image_shape, *, dtype=None):
    """`kgen.layers.UniformDequantization`, of which nothing is learned."""
    layer = UniformDequantization(dtype=dtype)
    layer.build((None, *image_shape))
    return layer


FLOWS = {"realnvp": realnvp, "glow": glow, "tarflow": tarflow}
DEQUANTIZATIONS = {"uniform": uniform_dequantization, "variational": variational_dequantization}


def _of_points(image_shape, mixes, num_classes, steps, filters, dtype, hidden):
    """Both flows for points: couplings of either half, or of what a matrix makes of all."""
    steps = positive(8 if steps is None else steps, "steps")
    filters = positive(64 if filters is None else filters, "filters")
    mixes = mixes and image_shape[0] <= _MOST_MIXED

    def network(shape, numbers):
        inputs, x, told = _inputs(shape, num_classes, None, filters, dtype)
        for i in range(hidden):
            x = layers.Dense(filters, dtype=dtype)(x)
            x = layers.Activation("silu", dtype=dtype)(x if i else _told(x, told, dtype))
        return keras.Model(
            inputs, layers.Dense(numbers, kernel_initializer="zeros", dtype=dtype)(x)
        )

    chain = []
    for i in range(steps):
        chain.append(ActNorm(dtype=dtype))
        if mixes:
            chain.append(InvertibleConv1x1(dtype=dtype))
        flip = not mixes and i % 2 == 1
        chain.append(_coupling(network, tuple(image_shape), "channels", flip, dtype))
    return _built([*chain, ActNorm(dtype=dtype)], image_shape, dtype)


def _check_points(image_shape, levels, margin):
    """Raise a `ValueError` for points without parts, and for arguments that are of images."""
    if levels is not None or margin != MARGIN:
        raise ValueError(
            f"Points of shape {tuple(image_shape)} have neither levels nor a logit with a margin; "
            f"got levels={levels}, margin={margin}."
        )
    if image_shape[0] < 2:
        raise ValueError(
            "Flows move one part of a point by what the others say, and points of shape "
            f"{tuple(image_shape)} have no parts."
        )


def _built(chain, image_shape, dtype):
    chain = Chain(chain, name="flow", dtype=dtype)
    chain.build((None, *image_shape))
    return chain


def _coupling(network, shape, mask, flip, dtype):
    """An affine coupling of inputs of this shape."""
    *sides, channels = shape
    if mask == "checkerboard":
        seen = moved = channels
    else:
        parts = channels // 2, channels - channels // 2
        seen, moved = parts[::-1] if flip else parts
    return AffineCoupling(network((*sides, seen), 2 * moved), mask, flip, dtype=dtype)


def _split(shape, num_classes, dtype):
    """The prior of the second half of the channels: one convolution, as Glow's."""
    channels = shape[-1]
    inputs, x, told = _inputs((*shape[:2], channels // 2), num_classes, None, None, dtype)
    numbers = 2 * (channels - channels // 2)
    x = _convolution(x, numbers, 3, dtype, "zeros")
    if told is not None:
        told = layers.Dense(numbers, kernel_initializer="zeros", use_bias=False, dtype=dtype)(told)
    return SplitPrior(keras.Model(inputs, _told(x, told, dtype)), dtype=dtype)


def _residual_network(shape, channels, num_classes, beside, filters, blocks, dtype):
    """Convolutional network of residual blocks: what couplings of Real NVP ask."""
    inputs, x, told = _inputs(shape, num_classes, beside, filters, dtype)
    x = _told(_convolution(x, filters, 3, dtype), told, dtype)
    for _ in range(blocks):
        y = _convolution(layers.Activation("silu", dtype=dtype)(x), filters, 3, dtype)
        y = _convolution(layers.Activation("silu", dtype=dtype)(y), filters, 1, dtype)
        x = layers.Add(dtype=dtype)([x, y])
    x = layers.Activation("silu", dtype=dtype)(x)
    return keras.Model(inputs, _convolution(x, channels, 3, dtype, "zeros"))


def _inputs(shape, num_classes, beside, width, dtype):
    """Inputs; the tensor that the first layer sees; what of the label is added to what it makes."""
    inputs = x = keras.Input(shape)
    told = None
    if num_classes is not None:
        num_classes = positive(num_classes, "num_classes")
        labels = keras.Input((), dtype="int32")
        inputs, told = [inputs, labels], OneHot(num_classes, dtype=dtype)(labels)
        if width is not None:
            told = layers.Dense(width, use_bias=False, dtype=dtype)(told)
    if beside is not None:
        images = keras.Input((*shape[:2], beside))
        inputs, x = [inputs, images], layers.Concatenate(dtype=dtype)([inputs, images])
    return inputs, x, told


def _told(x, told, dtype):
    """What a layer makes, and what the label adds to it at each place."""
    if told is None:
        return x
    told = layers.Reshape((*[1] * (len(x.shape) - 2), x.shape[-1]), dtype=dtype)(told)
    return layers.Add(dtype=dtype)([x, told])


def _convolution(x, width, size, dtype, initializer="he_normal"):
    options = {"kernel_initializer": initializer, "dtype": dtype}
    return Conv2D(width, size, 1, "same", CHANNELS_LAST, **options)(x)


def _squeezed(shape):
    height, width, channels = shape
    return height // 2, width // 2, 4 * channels


def _levels(image_shape, levels, least=_LEAST_SIDE):
    """How often sides are halved: as often as asked for, or as suits the size.

    Raises:
        ValueError: if they cannot be halved so often.
    """
    sides = height, width = image_shape[:2]
    possible = 0
    while all(side % 2 ** (possible + 1) == 0 for side in sides):
        possible += 1
    if not possible:
        raise ValueError(
            f"A flow halves the sides of images, and {height}x{width} pixels have an odd one: take "
            f"{height + height % 2}x{width + width % 2}, for kgen.data.load by image_size=."
        )
    if levels is None:
        fitting = [n for n in range(1, possible + 1) if min(sides) >> n >= least]
        return min(max([1, *fitting]), _MOST_LEVELS)
    levels = positive(levels, "levels")
    if levels > possible:
        left = " and ".join(f"{side >> possible}" for side in dict.fromkeys(sides))
        times = 2**levels
        fit = "x".join(f"{-(-side // times) * times}" for side in sides)
        raise ValueError(
            f"levels={levels} halves the sides of {height}x{width} pixels {levels} times, and "
            f"after {possible} there is {left}, of which one is odd: take levels={possible} at "
            f"most, or images of {fit}."
        )
    return levels
