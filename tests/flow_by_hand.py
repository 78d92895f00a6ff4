"""What normalizing flows compute, in NumPy, each as its paper writes it."""

import numpy as np
from by_hand import numpy
from keras import ops
from scipy import special


def parts(coupling, x):
    """What stays of x and what moves, and a function that puts both together."""
    if coupling.mask == "checkerboard":
        rows, columns = np.indices(x.shape[1:3])
        stays = ((rows + columns) % 2 == coupling.flip)[..., None]
        return x * stays, x, lambda a, b: np.where(stays, x, b), ~stays
    half = x.shape[-1] // 2
    a, b = x[..., :half], x[..., half:]
    if coupling.flip:
        return b, a, lambda stays, moved: np.concatenate([moved, stays], -1), 1
    return a, b, lambda stays, moved: np.concatenate([stays, moved], -1), 1


def step(bijection, x, told):
    """Output and log-determinant, `(N,)`, float64, of one bijection."""
    places, axes = np.prod(x.shape[1:-1]), tuple(range(1, x.ndim))
    value = lambda variable: ops.convert_to_numpy(variable).astype("float64")  # noqa: E731
    match type(bijection).__name__:
        case "ActNorm":
            factor = np.exp(value(bijection.log_scale)) / value(bijection.deviation)
            y = (x - value(bijection.mean)) * factor + value(bijection.bias)
            return y, places * np.log(factor).sum()
        case "InvertibleConv1x1":
            scale = np.diag(value(bijection.signs) * np.exp(value(bijection.log_scale)))
            lower = np.tril(value(bijection.lower), -1) + np.eye(len(scale))
            matrix = value(bijection.permutation) @ lower
            matrix = matrix @ (np.triu(value(bijection.upper), 1) + scale)
            return x @ matrix.T, places * np.linalg.slogdet(matrix)[1]
        case "Squeeze":
            n, h, w, c = x.shape
            blocks = x.reshape(n, h // 2, 2, w // 2, 2, c).transpose(0, 1, 3, 2, 4, 5)
            return blocks.reshape(n, h // 2, w // 2, 4 * c), 0
        case "Logit":
            p = (x - bijection.low) / (bijection.high - bijection.low)
            p = bijection.margin + (1 - 2 * bijection.margin) * p
            slope = (1 - 2 * bijection.margin) / (bijection.high - bijection.low)
            return special.logit(p), np.log(slope / (p * (1 - p))).sum(axes)
        case "AffineCoupling" | "SplitPrior":
            stays, moves, joined, where = parts(bijection, x)
            told = [] if told is None else [told]
            said = numpy(bijection.network, stays.astype("float32"), *told).astype("float64")
            raw, shift = np.split(said, 2, axis=-1)
            log_scale = bijection.limit * np.tanh(raw / bijection.limit)
            y = joined(stays, moves * np.exp(log_scale) + shift)
            return y, (log_scale * where).sum(axes)
        case "Autoregressive":
            sequence = x.reshape(len(x), -1, x.shape[-1] if x.ndim > 2 else 1)
            order = slice(None, None, -1) if bijection.reverse else slice(None)
            sequence = sequence[:, order]
            told = [] if told is None else [told]
            before = np.pad(sequence, ((0, 0), (1, 0), (0, 0)))[:, :-1].astype("float32")
            said = numpy(bijection.network, before, *told).astype("float64")
            raw, shift = np.split(said, 2, axis=-1)
            log_scale = bijection.limit * np.tanh(raw / bijection.limit)
            y = (sequence * np.exp(log_scale) + shift)[:, order].reshape(x.shape)
            return y, log_scale.sum((1, 2))
    raise NotImplementedError(type(bijection))


def latents(chain, x, told=None):
    """Latents and log-determinants of a `Chain`."""
    log_det, finished = 0, []
    for bijection in chain.bijections:
        x, more = step(bijection, x, told)
        log_det = log_det + more
        if type(bijection).__name__ == "SplitPrior":
            x, z = np.split(x, [x.shape[-1] // 2], axis=-1)
            finished.insert(0, z.reshape(len(z), -1))
    return np.concatenate([x.reshape(len(x), -1), *finished], axis=1), log_det


def log_normal(z):
    return -0.5 * (np.square(z) + np.log(2 * np.pi)).reshape(len(z), -1).sum(1)


def log_density(model, x, told=None):
    z, log_det = latents(model.flow, x, told)
    return log_normal(z) + log_det
