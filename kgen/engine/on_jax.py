"""The engine's primitives on JAX: variables keep their values in a `keras.StatelessScope`.

One scope spans a step. A differentiated function runs in a nested scope over every variable
(scopes do not chain); what it changed comes back as an auxiliary output.
"""

import contextlib
import ctypes
import functools
import sys

import jax
import keras
import numpy as np
from keras import ops, tree

from kgen.engine.context import CONTEXT, running


class Steps:
    """Keras's step methods: on JAX they take the variables' values and return the new ones."""

    def train_step(self, state, data):
        """One update on one batch; returns the running means by name and the new state."""
        _keep_freed_memory()
        groups = (
            self.trainable_variables,
            self.non_trainable_variables,
            self.optimizer.variables,
            self.metrics_variables,
        )
        return _stateless(self.run_update, groups, state, data)

    def test_step(self, state, data):
        """One measurement on one batch; returns the running means by name and the new state."""
        groups = (self.trainable_variables, self.non_trainable_variables, self.metrics_variables)
        return _stateless(self.run_measure, groups, state, data)


@functools.cache
def _keep_freed_memory():
    """Let the C library keep the memory that a step on the CPU frees, for the next one.

    XLA takes and frees all of a step's buffers as one block. Blocks beyond 32 MiB go back to Linux
    each time, and taking their pages again can cost as much as the step.
    """
    if sys.platform == "linux" and jax.default_backend() == "cpu":
        mallopt = getattr(ctypes.CDLL(None), "mallopt", lambda option, value: None)
        trim_threshold, mmap_max = -1, -4
        mallopt(trim_threshold, 2**31 - 1)
        mallopt(mmap_max, 0)


def _stateless(step, groups, state, data):
    variables = [v for group in groups for v in group]
    values = [value for group in state for value in group]
    with (
        keras.StatelessScope([*zip(variables, values, strict=True)]) as scope,
        running(scope=scope, variables=variables),
    ):
        logs = step(data)
    return logs, tuple([scope.get_current_value(v) for v in group] for group in groups)


def batches(source, model):
    """An `ImageDataset`, or a generator of batches, as Keras iterates it."""
    return source


def value_and_grad(fn, variables):
    """Return `fn()`, a pair `(loss, aux)`, and the gradients of the loss."""
    chosen = {id(v) for v in variables}
    rest = [v for v in CONTEXT.variables if id(v) not in chosen]

    def pure(values, others):
        mapping = [*zip(variables, values, strict=True), *zip(rest, others, strict=True)]
        with keras.StatelessScope(mapping) as scope, running(scope=scope):
            loss, aux = fn()
        return loss, (loss, aux, [scope.get_current_value(v) for v in rest])

    now = CONTEXT.scope.get_current_value
    gradient = jax.grad(pure, has_aux=True)
    gradients, (loss, aux, changed) = gradient([now(v) for v in variables], [now(v) for v in rest])
    for variable, value in zip(rest, changed, strict=True):
        variable.assign(value)
    return (loss, aux), gradients


def input_gradient(fn, x):
    """Gradient of `sum(fn(x))` with respect to `x`, float32, differentiable once more.

    `x` is a tensor or a list of tensors, and so is the gradient. What `fn` changes (batch
    statistics, seeds) is thrown away: a scope that outlived the inner trace would leak its tracers.
    """
    pure = _without_state(fn)
    return jax.grad(lambda x: ops.sum(pure(x)))(_float32(x))


def jvp(fn, x, tangent):
    """`fn(x)`, and its derivative at `x` along `tangent`, float32, differentiable once more.

    `x` and `tangent` are tensors or lists of tensors, and so is what `fn` returns. What `fn`
    changes is thrown away, as in `input_gradient`.
    """
    return jax.jvp(_without_state(fn), (_float32(x),), (_float32(tangent),))


def _without_state(fn):
    """`fn` in float32 and in a scope of its own, where the variables are what they are now."""
    outer = CONTEXT.scope

    def pure(x):
        mapping = [(v, outer.get_current_value(v)) for v in CONTEXT.variables] if outer else []
        with keras.StatelessScope(mapping) as scope, running(scope=scope):
            return _float32(fn(x))

    return pure


def _float32(x):
    return tree.map_structure(lambda part: ops.cast(part, "float32"), x)


def apply_gradients(optimizer, gradients, variables):
    """Let the optimizer move its variables.

    `stateless_apply`, since the loss-scale optimizer leaks tracers under `apply`.
    """
    now = CONTEXT.scope.get_current_value
    own = optimizer.variables
    values, own_values = optimizer.stateless_apply(
        [now(v) for v in own], gradients, [now(v) for v in variables]
    )
    for variable, value in zip([*variables, *own], [*values, *own_values], strict=True):
        variable.assign(value)


def compiled(fn, model):
    """Compile `fn(*tensors) -> tensors` for inference; takes and returns NumPy arrays."""

    def pure(values, *tensors):
        variables = model.variables
        with (
            keras.StatelessScope([*zip(variables, values, strict=True)]) as scope,
            running(scope=scope, variables=variables),
        ):
            return fn(*tensors)

    run = pure if model.run_eagerly else jax.jit(pure)

    def call(*arrays):
        synchronize(model)
        values, tensors = [v.value for v in model.variables], map(jax.numpy.asarray, arrays)
        return jax.tree.map(np.asarray, run(values, *tensors))

    return call


def move_averages(targets, sources, weight):
    """Move each target towards its source: `target += weight * (source - target)`."""
    for target, source in zip(targets, sources, strict=True):
        target.assign(target + ops.cast(weight, target.dtype) * (source - target))


def making_variables(model):
    """Context in which variables are made: they go where Keras's distribution says."""
    return contextlib.nullcontext()


def fold_replica(seed):
    """Devices of a distribution draw parts of one global array: the seed stays as it is."""
    return seed


def synchronize(model):
    """Make the variables hold their current values, which `fit` keeps elsewhere."""
    model.jax_state_sync()


@contextlib.contextmanager
def keeping_values(model):
    """Give the variables their values back if a first step fails: Keras empties them before it."""
    groups = [model.variables, model.metrics_variables]
    groups += [model.optimizer.variables] if model.compiled else []
    before = [(v, v._value) for group in groups for v in group]
    try:
        yield
    except BaseException:
        model.jax_state_sync()
        for variable, value in before:
            if variable._value is None:
                variable._value = value
        raise


def seed_step(*words):
    """No generator of JAX stands outside the model's variables."""


def unseed_step(before):
    """There is nothing to put back."""


def accelerators():
    """Names of the GPUs and TPUs that JAX sees."""
    return [d.device_kind for d in jax.devices() if d.platform != "cpu"]
