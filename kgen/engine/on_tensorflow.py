"""The engine's primitives on TensorFlow."""

import contextlib
from functools import cache

import tensorflow as tf
from keras import ops, tree
from keras.optimizers import Adam


class Steps:
    """Keras's step methods: on TensorFlow they read and write the variables themselves."""

    def make_train_function(self, force=False):
        """As Keras makes it, but for what `_batch_first` says."""
        if self.train_function is None or force:
            super().make_train_function(force)
            self.train_function = self._batch_first(self.train_function)

    def make_test_function(self, force=False):
        """As Keras makes it, but for what `_batch_first` says."""
        if self.test_function is None or force:
            super().make_test_function(force)
            self.test_function = self._batch_first(self.test_function)

    def _batch_first(self, function):
        """Take a batch before the step that it is for, not within.

        A step that asks the iterator itself hands its results back as an optional, since there may
        be no batch: for small networks that takes as long as a sixth of the step.
        """
        if self.steps_per_execution > 1:
            return function

        def step(iterator):
            distributed = isinstance(iterator, tf.distribute.DistributedIterator)
            return function(iterator if distributed else iter([next(iterator)]))

        return step

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


def batches(source, model):
    """An `ImageDataset`, every batch from the position on, or a generator, as Keras iterates it.

    Not as Keras would: it lets tf.data tune the prefetching, and the thread that does so holds an
    epoch's end up, or whoever lets an error go, often by as long as it ran (TensorFlow 2.21).
    """
    with model.distribute_strategy.scope():
        in_graph = model.steps_per_execution > 1 or tf.distribute.has_strategy()
    if not in_graph:
        return _Batches(source)
    return _pipeline(source) if hasattr(source, "__len__") else source


class _Batches(tf.data.Dataset):
    """Batches as a `tf.data.Dataset` that Python iterates, where no graph has to.

    tf.data's own iterator waits for threads that the step has kept busy, up to 5 ms a batch.
    """

    def __init__(self, source):
        count = len(source) if hasattr(source, "__len__") else tf.data.UNKNOWN_CARDINALITY
        self._source, self._counted = source, tf.data.Dataset.range(max(count, 0))
        self._counted = self._counted.apply(tf.data.experimental.assert_cardinality(count))
        super().__init__(self._counted._variant_tensor)

    def _inputs(self):
        return [self._counted]

    @property
    def element_spec(self):
        """That of what the graph would see, which is not used."""
        return self._counted.element_spec

    def __iter__(self):
        return (tree.map_structure(_tensor, batch) for batch in _each(self._source))


def _tensor(part):
    return None if part is None else tf.convert_to_tensor(part)


def _each(source):
    return (source[i] for i in range(len(source))) if hasattr(source, "__len__") else source


def _pipeline(source):
    """An `ImageDataset` as what tf.data makes of a generator."""

    def signature(array):
        return tf.TensorSpec((None, *array.shape[1:]), array.dtype)

    first = source.batch(0, 0)
    data = tf.data.Dataset.from_generator(
        lambda: _each(source), output_signature=tree.map_structure(signature, first)
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
    with _adam_in_one_pass(getattr(optimizer, "inner_optimizer", optimizer)):
        tf.distribute.get_replica_context().merge_call(lambda _: apply(gradients, variables))


@contextlib.contextmanager
def _adam_in_one_pass(optimizer):
    """Let Keras's Adam take its step by TensorFlow's kernel for it: the same formula.

    Keras's own is a dozen operations, each a pass over the variable, its moments or both: on CPUs a
    network of dense layers spends a third of its steps there. Other optimizers are left alone.
    """
    if type(optimizer).update_step is not Adam.update_step or optimizer.amsgrad:
        yield
        return

    @cache  # for all variables
    def powers(dtype):
        count = tf.cast(optimizer.iterations + 1, dtype)
        return tf.pow(tf.cast(optimizer.beta_1, dtype), count), tf.pow(
            tf.cast(optimizer.beta_2, dtype), count
        )

    def update_step(gradient, variable, learning_rate):
        if isinstance(gradient, tf.IndexedSlices):
            return Adam.update_step(optimizer, gradient, variable, learning_rate)
        index, dtype = optimizer._get_variable_index(variable), variable.dtype
        beta_1_power, beta_2_power = powers(dtype)
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=optimizer._momentums[index].value.handle,
            v=optimizer._velocities[index].value.handle,
            beta1_power=beta_1_power,
            beta2_power=beta_2_power,
            lr=tf.cast(learning_rate, dtype),
            beta1=tf.cast(optimizer.beta_1, dtype),
            beta2=tf.cast(optimizer.beta_2, dtype),
            epsilon=tf.cast(optimizer.epsilon, dtype),
            grad=tf.cast(gradient, dtype),
        )

    vars(optimizer)["update_step"] = update_step  # not as an attribute that Keras tracks
    try:
        yield
    finally:
        del vars(optimizer)["update_step"]


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


def making_variables(model):
    """Context in which variables are made: they go to the devices of the model."""
    return model.distribute_strategy.scope()


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
