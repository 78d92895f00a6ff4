"""What models ask of networks before they are trained: what these take, make and end in."""

import keras
from keras import tree

from kgen.engine.left_out import LeftOut
from kgen.layers.spectral_normalization import SpectralNormalization

MIXING = (  # or changed by each call
    keras.layers.BatchNormalization,
    keras.layers.Lambda,
    keras.layers.SpectralNormalization,
    SpectralNormalization,
)
PROBABILITIES = (keras.activations.sigmoid, keras.activations.softmax)


def given(network, make, *sizes, **options):
    """The network that was passed to a constructor, or else the default one."""
    return make(*sizes, **options) if network is None else network


def sees_images_alone(network):
    """Whether what a network makes of an image is known not to depend on what it saw beside it.

    Then it may be given two batches in one call, which is faster.
    """
    parts = [*network._flatten_layers()]
    parts += [part for layer in parts for part in getattr(layer, "operations", ())]
    return all(
        isinstance(part, keras.layers.Layer)  # and no bare operation
        and type(part).__module__.startswith(("keras.", "kgen."))
        and not isinstance(part, MIXING)
        for part in parts
    )


def check_outputs(network, signature, expected, name):
    """Raise a `ValueError` unless a network takes these inputs and its outputs have these shapes.

    Args:
        network: `keras.Model`; one that is left out of a file for inference is passed over.
        signature: shapes and dtypes of its inputs, without the batch axis, by what they are.
        expected: shapes of the outputs without the batch axis, None for any size, by what they are.
        name: of the network, for the message.
    """
    if isinstance(network, LeftOut):
        return
    inputs = [keras.KerasTensor((None, *shape), dtype) for shape, dtype in signature.values()]
    reason = f"it has to take {' and '.join(signature)}"
    found = output_shapes(network, inputs if len(inputs) > 1 else inputs[0], name, reason)
    if isinstance(found, dict):
        raise ValueError(f"The {name} must return a tensor or a list of them; it returns {found}.")
    wanted = [(None, *shape) for shape in expected.values()]
    ranks = [len(shape) for shape in wanted] == [len(shape) for shape in found]
    if not ranks or any(
        w not in (None, f) for w, f in zip(sum(wanted, ()), sum(found, ()), strict=True)
    ):
        said = " and ".join(f"{what} {(None, *shape)}" for what, shape in expected.items())
        raise ValueError(f"The {name} must return {said}; it returns {found}.")


def refuse_sigmoid(network, image_shape, name):
    """Raise a `ValueError` if what makes images ends in a sigmoid."""
    if len(image_shape) == 3 and keras.activations.sigmoid in last_activations(network):
        raise ValueError(
            f"The {name} ends in a sigmoid, so its images lie in [0, 1]; here they lie in [-1, 1]. "
            "End it in tanh."
        )


def refuse_probabilities(discriminator, outputs):
    """Raise a `ValueError` if logits of a discriminator end in probabilities.

    Args:
        discriminator: `keras.Model`.
        outputs: what its outputs are, in their order; those that are logits say so.
    """
    for what, activation in zip(outputs, last_activations(discriminator), strict=False):
        if "logits" in what and activation in PROBABILITIES:
            raise ValueError(
                f"The discriminator ends in a {activation.__name__}, but it must return "
                f"{what.removesuffix(' of shape')}, from which losses compute probabilities: "
                "leave the activation out."
            )


def last_activations(network):
    """Activation of the layer that each output of a network comes from, None where unknown."""
    if not isinstance(network, keras.Model):
        return [getattr(network, "activation", None)]
    found = []
    for output in tree.flatten(getattr(network, "outputs", None) or []):
        layer, node, _ = output._keras_history
        while isinstance(layer, keras.layers.Reshape | keras.layers.Cropping2D):
            layer, node, _ = layer._inbound_nodes[node].input_tensors[0]._keras_history
        found += last_activations(layer)[:1]
    return found


def output_shapes(network, inputs, name, reason):
    """Shapes of a network's outputs, by a symbolic call.

    Args:
        network: `keras.Model`.
        inputs: shape of one input without the batch axis, or symbolic tensors.
        name, reason: of the network and of these inputs, for the message.

    Raises:
        TypeError, ValueError: if it is no model, or does not take these inputs.
    """
    if not isinstance(network, keras.layers.Layer):
        raise TypeError(f"The {name} must be a keras.Model; got {type(network).__name__}.")
    if isinstance(inputs, tuple):
        inputs = keras.KerasTensor((None, *inputs))
    try:
        outputs = network(inputs)
    except (TypeError, ValueError) as error:
        shapes = " and ".join(
            f"(N, {', '.join(map(str, t.shape[1:]))})" for t in keras.tree.flatten(inputs)
        )
        raise ValueError(
            f"The {name} does not take inputs of shape {shapes}, but {reason}. Keras says: {error}"
        ) from error
    if isinstance(outputs, dict):
        return {key: tuple(o.shape) for key, o in outputs.items()}
    outputs = outputs if isinstance(outputs, list | tuple) else [outputs]
    return [tuple(o.shape) for o in outputs]
