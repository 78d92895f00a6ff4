"""What adversarial models compute, in NumPy: their losses, and gradients of plain networks."""

import keras
import numpy as np
from keras import ops
from scipy import special

import kgen


def cross_entropy(scores, label):
    """Of a label between 0 and 1, and the sigmoid of the scores; mean over images."""
    return -(label * special.log_expit(scores) + (1 - label) * special.log_expit(-scores)).mean()


def told_apart(real, fake, label):
    return cross_entropy(real, label) - np.log(1 - special.expit(fake)).mean()


ADVERSARIAL = {  # discriminator's and generator's loss, from scores in float64
    "minimax": (told_apart, lambda real, fake: np.log(1 - special.expit(fake)).mean()),
    "non_saturating": (told_apart, lambda real, fake: -np.log(special.expit(fake)).mean()),
    "wasserstein": (
        lambda real, fake, label: fake.mean() - real.mean(),
        lambda real, fake: -fake.mean(),
    ),
    "least_squares": (
        lambda real, fake, label: 0.5 * ((real - label) ** 2).mean() + 0.5 * (fake**2).mean(),
        lambda real, fake: 0.5 * ((fake - 1) ** 2).mean(),
    ),
    "hinge": (
        lambda real, fake, label: -np.minimum(0, real - 1).mean() - np.minimum(0, -fake - 1).mean(),
        lambda real, fake: -fake.mean(),
    ),
    "relativistic": (
        lambda real, fake, label: -np.log(special.expit(real - fake)).mean(),
        lambda real, fake: -np.log(special.expit(fake - real)).mean(),
    ),
    "relativistic_average": (
        lambda real, fake, label: (
            cross_entropy(real - fake.mean(), label)
            - np.log(1 - special.expit(fake - real.mean())).mean()
        ),
        lambda real, fake: (
            -np.log(special.expit(fake - real.mean())).mean()
            - np.log(1 - special.expit(real - fake.mean())).mean()
        ),
    ),
}


def class_error(logits, labels):
    """Mean of -log softmax at the labels."""
    return -special.log_softmax(logits, axis=1)[np.arange(len(labels)), labels].mean()


def numpy(network, *inputs):
    """Outputs of a network in inference: an array, or a list of them."""
    inputs = [ops.convert_to_tensor(x) for x in inputs]
    outputs = network(inputs if len(inputs) > 1 else inputs[0], training=False)
    many = isinstance(outputs, list | tuple)
    return [ops.convert_to_numpy(o) for o in outputs] if many else ops.convert_to_numpy(outputs)


def number(tensor):
    """A float32 scalar as a number."""
    tensor = ops.convert_to_numpy(tensor)
    assert tensor.shape == () and tensor.dtype == "float32"
    return float(tensor)


def slopes(network, x):
    """Gradients `(N, D)` of the scores by the images.

    The network is a chain of linear layers, ReLUs and layers that move values about.
    """
    h, steps = x.reshape(len(x), -1).astype("float64"), []
    for layer in network.layers:
        if isinstance(layer, keras.layers.ReLU | keras.layers.LeakyReLU):
            factor = np.where(h > 0, 1.0, layer.negative_slope)
            h = h * factor
            steps.append(lambda g, factor=factor: g * factor)
        elif layer.weights:
            matrix, bias = as_matrix(layer)
            h = h @ matrix + bias
            steps.append(lambda g, matrix=matrix: g @ matrix.T)
    gradient = np.ones((len(x), 1))
    for step in reversed(steps):
        gradient = step(gradient)
    return gradient


def as_matrix(layer):
    """A linear layer as matrix and bias, by what it makes of images of one pixel."""
    shape = layer.input.shape[1:]
    size = int(np.prod(shape))
    images = np.concatenate([np.eye(size, dtype="float32"), np.zeros((1, size), "float32")])
    outputs = numpy(layer, images.reshape(-1, *shape)).reshape(size + 1, -1).astype("float64")
    return outputs[:-1] - outputs[-1], outputs[-1]


def penalty(model, real, fake, t):
    """The penalty of the discriminator at images, or between them at `t` (WGAN-GP)."""
    weight = getattr(model.penalty, "weight", 0.0)
    if weight == 0:
        return 0.0
    if isinstance(model.penalty, kgen.losses.R1):
        return weight / 2 * (slopes(model.discriminator, real) ** 2).sum(1).mean()
    if isinstance(model.penalty, kgen.losses.GradientPenalty):
        squares = (slopes(model.discriminator, t * real + (1 - t) * fake) ** 2).sum(1)
        return weight * ((np.sqrt(squares) - 1) ** 2).mean()
    return 0.0
