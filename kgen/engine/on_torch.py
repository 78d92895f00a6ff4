"""The engine's primitives on torch."""

import contextlib

import numpy as np
import torch
from keras import ops, tree


class Steps:
    """Keras's step methods: on torch they read and write the variables themselves."""

    def train_step(self, data):
        """One update on one batch; returns the running means by name."""
        return self.run_update(data)

    def test_step(self, data):
        """One measurement on one batch; returns the running means by name."""
        return self.run_measure(data)


def batches(source, model):
    """An `ImageDataset`, or a generator of batches, as Keras iterates it."""
    return source


def value_and_grad(fn, variables):
    """Return `fn()`, a pair `(loss, aux)`, and the gradients of the loss.

    `autograd.grad`, since `.backward()` would fill the other networks' `.grad` too.
    """
    with torch.enable_grad():
        loss, aux = fn()
        values = [v.value for v in variables]
        if values and loss.requires_grad:
            gradients = torch.autograd.grad(loss, values, allow_unused=True)
        else:
            gradients = [None] * len(values)
    detach = lambda t: t.detach() if torch.is_tensor(t) else t  # noqa: E731
    return (loss.detach(), tree.map_structure(detach, aux)), list(gradients)


def input_gradient(fn, x):
    """Gradient of `sum(fn(x))` with respect to `x`, float32, differentiable once more.

    `x` is a tensor or a list of tensors, and so is the gradient. Turns gradients on by itself:
    `evaluate` runs under `no_grad`.
    """
    differentiated = torch.is_grad_enabled()
    with torch.enable_grad():
        x = tree.map_structure(_watched, x)
        y = fn(x).to(torch.float32).sum()
        options = {"create_graph": differentiated, "materialize_grads": True}
        gradients = torch.autograd.grad(y, tree.flatten(x), **options)
        return tree.pack_sequence_as(x, gradients)


def _watched(x):
    x = x.to(torch.float32)
    return x if x.requires_grad else x.detach().requires_grad_(True)


def jvp(fn, x, tangent):
    """`fn(x)`, and its derivative at `x` along `tangent`, float32, differentiable once more.

    `x` and `tangent` are tensors or lists of tensors, and so is what `fn` returns. Of torch's ways
    to compute attention one has a forward derivative.
    """

    def cast(structure):
        return tree.map_structure(lambda part: part.to(torch.float32), structure)

    with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
        return torch.func.jvp(lambda x: cast(fn(x)), (cast(x),), (cast(tangent),))


def apply_gradients(optimizer, gradients, variables):
    """Let the optimizer move its variables."""
    with torch.no_grad():
        optimizer.apply(gradients, variables)


def compiled(fn, model):
    """Prepare `fn(*tensors) -> tensors` for inference; takes and returns NumPy arrays."""

    def call(*arrays):
        with torch.no_grad():
            outputs = fn(*[ops.convert_to_tensor(a) for a in arrays])
        return tree.map_structure(ops.convert_to_numpy, outputs)

    return call


def move_averages(targets, sources, weight):
    """Move each target towards its source: `target += weight * (source - target)`."""
    targets, sources = [t.value.data for t in targets], [s.value.data for s in sources]
    if not targets:
        return
    with torch.no_grad():
        if weight == 1:  # integers, such as counters, are copied too
            torch._foreach_copy_(targets, sources)
        else:
            torch._foreach_lerp_(targets, sources, float(weight))


def making_variables(model):
    """Context in which variables are made: there is one device."""
    return contextlib.nullcontext()


def fold_replica(seed):
    """There is one replica in a process: the seed stays as it is."""
    return seed


def synchronize(model):
    """Make the variables hold their current values (they always do here)."""


def keeping_values(model):
    """Context in which a failing step leaves the variables their values (they keep them here)."""
    return contextlib.nullcontext()


def seed_step(*words):
    """Seed torch's global generators for one step: an unseeded `Dropout` draws from them.

    Returns:
        What they were before, for `unseed_step`.
    """
    generators = [torch.default_generator, *torch.cuda.default_generators]
    before = [(generator, generator.get_state()) for generator in generators]
    seed = int(np.random.SeedSequence(words).generate_state(1, "uint64")[0])
    for generator in generators:
        generator.manual_seed(seed)
    return before


def unseed_step(before):
    """Give torch's global generators back what `seed_step` returned."""
    for generator, state in before:
        generator.set_state(state)


def accelerators():
    """Names of the GPUs that torch sees."""
    return [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
