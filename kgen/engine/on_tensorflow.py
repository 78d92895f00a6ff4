"""The engine's primitives on TensorFlow."""

import contextlib

import tensorflow as tf
from keras import ops, tree


class Steps:
    """Keras's step methods: on TensorFlow they read and write the variables themselves."""

    def train_step(self, data):
        """One update on one batch; returns the running means by name."""
        with _after(data):
            return self.run_update(data)

    def test_step(self, data):
        """One measurement on one batch; returns the running means by name."""
        with _after(data):
            return self.run_measure(data)


def _after(data):
    """Let nothing of a step run before its data is there.

    Where data ends without notice, the last call of a step finds none and fails; counters and
    seeds, which do not depend on data, would have advanced by then, or not, as threads have it.
    """
    return tf.control_dependencies([t for t in tf.nest.flatten(data) if t is not None])


def batches(source):
    """An `ImageDataset` as Keras iterates it: every batch from the position on.

    Not as the `PyDataset` that it is: Keras would let tf.data tune the prefetching, and the thread
    that does so holds an epoch's end up, often by as long as the epoch took (TensorFlow 2.21).
    """

    def signature(array):
        return tf.TensorSpec((None, *array.shape[1:]), array.dtype)

    def generator():
        return (source[i] for i in range(len(source)))

    first = source.batch(0, 0)
    data = tf.data.Dataset.from_generator(
        generator, output_signature=tree.map_structure(signature, first)
    )
    options = tf.data.Options()
    options.autotune.enabled = False
    data = data.apply(tf.data.experimental.assert_cardinality(len(source)))
    return data.prefetch(2).with_options(options)


def value_and_grad(fn, variables):
    """Return `fn()`, a pair `(loss, aux)`, and the gradients of the loss.

    Gradients are summed over the replicas of a strategy when they are applied, so each replica
    contributes its share of the mean. Only these variables are watched, or the gradients of the
    others' would be computed too.
    """
    variables = [v.value for v in variables]
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(variables)
        loss, aux = fn()
        share = loss / tf.cast(tf.distribute.get_strategy().num_replicas_in_sync, loss.dtype)
    return (loss, aux), tape.gradient(share, variables)


def input_gradient(fn, x):
    """Gradient of `sum(fn(x))` with respect to `x`, float32, differentiable once more.

    `x` is a tensor or a list of tensors, and so is the gradient.
    """
    x = tf.nest.map_structure(lambda part: tf.cast(part, "float32"), x)
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(x)
        y = tf.cast(fn(x), "float32")
    return tape.gradient(y, x, unconnected_gradients=tf.UnconnectedGradients.ZERO)


def jvp(fn, x, tangent):
    """`fn(x)`, and its derivative at `x` along `tangent`, float32, differentiable once more.

    `x` and `tangent` are tensors or lists of tensors, and so is what `fn` returns.
    """

    def cast(structure):
        return tf.nest.map_structure(lambda part: tf.cast(part, "float32"), structure)

    x = cast(x)
    with tf.autodiff.ForwardAccumulator(x, cast(tangent)) as accumulator:
        y = cast(fn(x))
    zero = tf.UnconnectedGradients.ZERO
    return y, tf.nest.map_structure(lambda part: accumulator.jvp(part, zero), y)


def apply_gradients(optimizer, gradients, variables):
    """Let the optimizer move its variables.

    Without a strategy, as if the replicas had met: else Keras sums the gradients over the one there
    is, by an operation whose own gradient TensorFlow registers for good, and with it the graph of
    the step and all weights, of every model that was ever trained.
    """
    if tf.distribute.has_strategy():
        optimizer.apply(gradients, variables)
        return
    apply = getattr(optimizer, "_common_apply", optimizer.apply)  # that of Keras's loss scale
    tf.distribute.get_replica_context().merge_call(lambda _: apply(gradients, variables))


def compiled(fn, model):
    """Compile `fn(*tensors) -> tensors` for inference; takes and returns NumPy arrays."""
    if not model.run_eagerly:
        fn = tf.function(fn, jit_compile=model.jit_compile, autograph=False)

    def call(*arrays):
        outputs = fn(*[tf.convert_to_tensor(a) for a in arrays])
        return tf.nest.map_structure(ops.convert_to_numpy, outputs)

    return call


def move_averages(targets, sources, weight):
    """Move each target towards its source: `target += weight * (source - target)`."""

    def move(target, source):
        target.assign_add(tf.cast(weight, target.dtype) * (source - target))

    strategy = tf.distribute.get_strategy()
    if strategy.num_replicas_in_sync == 1:
        for target, source in zip(targets, sources, strict=True):
            move(target.value, source.value)
        return

    def on_every_replica(strategy):
        for target, source in zip(targets, sources, strict=True):
            strategy.extended.update(target.value, move, args=(source.value,), group=False)

    tf.distribute.get_replica_context().merge_call(on_every_replica)


def fold_replica(seed):
    """Give each replica of a strategy a seed of its own; the first keeps the one it was given."""
    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return seed
    replica = tf.cast(context.replica_id_in_sync_group, seed.dtype)
    return seed + tf.stack([replica * 1_000_003, tf.zeros_like(replica)])


def synchronize(model):
    """Make the variables hold their current values (they always do here)."""


def keeping_values(model):
    """Context in which a failing step leaves the variables their values (they keep them here)."""
    return contextlib.nullcontext()


def seed_step(*words):
    """No generator of TensorFlow stands outside the model's variables."""


def unseed_step(before):
    """There is nothing to put back."""


def accelerators():
    """Names of the GPUs and TPUs that TensorFlow sees."""
    devices = [d for kind in ("GPU", "TPU") for d in tf.config.list_physical_devices(kind)]
    details = tf.config.experimental.get_device_details
    return [details(d).get("device_name", d.device_type) for d in devices]
