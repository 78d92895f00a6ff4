"""`GenerativeModel`: write the algorithm once, fit it on TensorFlow, JAX and torch."""

import contextlib
import functools
import inspect
import math
import pathlib
import warnings

import keras
import numpy as np
from keras import ops, tree
from keras.src.backend.common import global_state  # nothing public tells of the .h5 format

from kgen import conditions, schedules
from kgen.arguments import below, check_room, flag, one_of, positive, whole
from kgen.arrays import is_array, to_numpy
from kgen.conditions import Condition
from kgen.data.ranges import (
    looks_channels_first,
    normalize_image_shape,
    to_model_range,
    with_channel,
)
from kgen.engine import backend, feed
from kgen.engine.context import CONTEXT, EVALUATION, TRAINING, running
from kgen.engine.left_out import LeftOut
from kgen.engine.moving_average import refuse_unmakeable
from kgen.engine.optimizers import (
    LossScale,
    OptimizerGroup,
    finalized_once,
    serialize_optimizer,
)
from kgen.engine.random import SeedGenerator, host_generator, seed_states
from kgen.engine.run import Run
from kgen.files import written_beside

KEPT = 32  # compiled functions of `infer`: those that were used last
FEW_UPDATES = 200  # fewer in a whole run get a hint
# What Keras sets on a model whenever it runs it; no step reads it.
BOOKKEEPING = {
    *("history", "stop_training", "stop_evaluating", "stop_predicting", "built", "training"),
    *("train_function", "test_function", "predict_function", "_eval_epoch_iterator", "_called"),
    *("_jax_state", "_jax_state_synced", "_initial_epoch", "_losses_override", "_torch_params"),
    *("_self_setattr_tracking", "_compiled_trainable_state"),
}


# What the engine sets, once, in the constructor: anything else under these names would break steps.
ENGINES = {"step", "first_non_finite_step", "compiled_as", "_inference", "_means"}
ENGINES |= {"_training_random", "_evaluation_random"}
OWNERS = {"builtins", "kgen", "keras", "tensorflow", "jax", "torch"}
ARGUMENTS = {"image_shape", "seed", "check_range"}  # attributes of the constructor's arguments


class GenerativeModel(backend.Steps, keras.Model):
    """Base of every kgen model: a `keras.Model` whose author writes the algorithm, nothing else.

    A subclass declares its `players` and either an `objective` (one optimizer) or an `update`
    (several); `fit`, logs, checkpoints, mixed precision, XLA and several devices follow, on every
    backend. See `docs/architecture.md`.

    What is compiled holds attributes as they were when it was traced. Setting an attribute of the
    model drops it, as `compile` does, so that `model.steps = 10` holds from the next step or call
    on. What is changed *inside* an attribute (an entry of a dictionary, the layers of a network) is
    the author's to announce, by `compile()` or by setting the attribute again to a new object.

    Names that the engine and Keras use for methods and attributes of a model (`step`, `random`,
    `optimizer`, `metrics`, ...) are refused for networks and other attributes.

    Attributes:
        players: dictionary from optimizer to the names of the networks that it moves.
        logs: names of the losses, in the order of the logs.
        minibatches_per_update: how many minibatches of `batch_size` images one update takes
            (`k` of Algorithm 1 of Goodfellow et al., 2014); `minibatches` hands them out.
        conditions: the kinds of `condition` that the model can be made with.
        conditioned: names of the networks that are given the condition beside their input.
        step: integer variable, the number of updates so far; schedules read it.

    Args:
        image_shape: `(H, W)` for one channel, `(H, W, C)`, or `(D,)` for points. None: the first
            that a network takes, images before points, and what is made as well before what is not.
        condition: what goes with the images of a batch, one of `kgen.conditions`, such as
            `ClassLabels(10)`: batches are then `(images, conditions)`. None: images alone; labels
            that come with them are passed over.
        seed: integer, from which the noise of training, of evaluation and the order of arrays
            derive. Not the weights: networks are made by Keras, so `keras.utils.set_random_seed`,
            called before, seeds them. With both, a run is equal bit for bit on the same backend and
            device (on torch, with the same number of threads).
        check_range: False takes floats that do not look like [-1, 1].
        name, dtype: as in Keras; the dtype policy must be that of the networks.
        **networks: the networks that `players` names, unless the subclass makes them itself.

    Example:

    ```python
    @keras.saving.register_keras_serializable("mine")
    class SparseAutoencoder(kgen.GenerativeModel):
        players = {"autoencoder": ["encoder", "decoder"]}

        def objective(self, images, training):
            z = self.encoder(images, training=training)
            error = ops.mean(ops.abs(self.decoder(z, training=training) - images))
            return error + 1e-3 * ops.mean(ops.abs(z))

    model = SparseAutoencoder(encoder=encoder, decoder=decoder)
    model.compile("adam")
    model.fit(images, epochs=5)
    ```
    """

    players = {}
    logs = ("loss",)
    minibatches_per_update = 1
    conditions, conditioned = (Condition,), ()

    def __init__(
        self,
        image_shape=None,
        *,
        condition=None,
        seed=0,
        check_range=True,
        name=None,
        dtype=None,
        **networks,
    ):
        self._check_names()
        super().__init__(name=name, dtype=dtype, autocast=False)
        expected = self.network_names
        if unknown := sorted(set(networks) - set(expected)):
            raise TypeError(
                f"{type(self).__name__} got unknown arguments {unknown}; its networks are "
                f"{expected}."
            )
        for network_name in expected:
            if networks.get(network_name) is not None:
                setattr(self, network_name, networks[network_name])
        if image_shape is None and networks:
            image_shape = self._image_shape_of_networks()
        self.image_shape = None if image_shape is None else normalize_image_shape(image_shape)
        if looks_channels_first(self.image_shape or ()):
            warnings.warn(
                f"image_shape={self.image_shape} looks channels first; it is taken as (height, "
                "width, channels), and so are images. Use numpy.moveaxis(images, 1, -1) and "
                f"image_shape={(*self.image_shape[1:], self.image_shape[0])} if it is.",
                stacklevel=3,
            )
        self.condition = self._known_condition(conditions.get(condition))
        self.seed, self.check_range = whole(seed, "seed"), flag(check_range, "check_range")
        own = {
            "step": self._counter("step", ()),
            "first_non_finite_step": self._counter("first_non_finite_step", (len(self.players),)),
            "_training_random": SeedGenerator(self.seed, 0, name="training_random"),
            "_evaluation_random": SeedGenerator(self.seed, 1, name="evaluation_random"),
            "_means": [keras.metrics.Mean(name=name) for name in self.logs],
        }
        for attribute, value in own.items():
            super().__setattr__(attribute, value)
        # Out of Keras's sight: compiled functions, and the arguments of `compile`.
        self.__dict__.update(_inference={}, compiled_as={})

    def _image_shape_of_networks(self):
        networks = [getattr(self, name) for name in self.network_names if hasattr(self, name)]
        taken = [shape for n in networks for shape in _shapes(n, "input") if None not in shape]
        made = [shape for n in networks for shape in _shapes(n, "output")]
        if not taken:
            raise ValueError(
                f"{type(self).__name__} needs image_shape=(height, width, channels): its networks "
                f"{self.network_names} take no images of one shape."
            )
        return min(taken, key=lambda shape: (len(shape) != 3, shape not in made))

    def _known_condition(self, condition):
        if isinstance(condition, self.conditions):
            return condition
        known = " or ".join(kind.__name__ for kind in self.conditions)
        raise ValueError(
            f"{type(self).__name__} is made with the condition {known}; got {condition}."
        )

    def given_to(self, network):
        """The condition as a network is given it: `Nothing` unless `conditioned` names it."""
        return self.condition if network in self.conditioned else conditions.Nothing()

    def _counter(self, name, shape):
        return self.add_weight(
            shape=shape,
            initializer=keras.initializers.Constant(0 if name == "step" else -1),
            dtype="int32",
            trainable=False,
            name=name,
            aggregation="only_first_replica",
        )

    def __init_subclass__(cls, **options):
        super().__init_subclass__(**options)
        taken = (ENGINES | ARGUMENTS | {"optimizer"}) & vars(cls).keys()
        for name, value in vars(cls).items():  # data in the place of a method
            above = getattr(super(cls, cls), name, None)
            method = inspect.isroutine(above) or isinstance(above, property)
            if method and not (value is None or callable(value) or hasattr(value, "__get__")):
                taken |= {name} if not name.startswith("__") else set()
        if taken:
            raise TypeError(
                f"{cls.__name__} defines {sorted(taken)}, which have a meaning of their own in "
                f"{cls.__base__.__name__}: choose other names."
            )

    def _check_names(self):
        """Raise unless `players` and `logs` name what can be named so."""
        if isinstance(self.logs, str):
            raise TypeError(f"logs is a tuple of names; got {self.logs!r}. Write ({self.logs!r},).")
        if any(isinstance(names, str) for names in self.players.values()):
            raise TypeError(f"players maps optimizers to lists of networks; got {self.players}.")
        for name in self.network_names:
            if not (isinstance(name, str) and name.isidentifier()):
                raise ValueError(f"Networks are attributes, which cannot be named {name!r}.")
            self._refuse_taken(name)

    def _refuse_taken(self, name, value=None):
        """Raise an `AttributeError` where an attribute would stand for one of the engine's.

        Args:
            name: of the attribute.
            value: what it would be; None: a network.
        """
        engines = (c for c in type(self).__mro__ if c.__module__.split(".")[0] in OWNERS)
        owner = next((c for c in engines if name in vars(c)), None)
        network = value is None or isinstance(value, keras.layers.Layer)
        of_class = getattr(owner, name, None)
        fixed = isinstance(of_class, property) and of_class.fset is None
        method = inspect.isroutine(of_class) and not callable(value)
        if (
            name in ENGINES
            or fixed
            or method
            or (network and (owner is not None or name in ARGUMENTS or name in _of_keras()))
        ):
            what = f"{owner.__name__}.{name}" if owner is not None else f"the {name} of a model"
            raise AttributeError(
                f"{what} has its own meaning, so {type(self).__name__} cannot have "
                f"{'a network' if network else f'{value!r:.60}'} under this name: choose another "
                f"one, such as self.my_{name.strip('_')}."
            )

    def __setattr__(self, name, value):
        layer = isinstance(value, keras.layers.Layer)
        if value is not None:
            self._refuse_taken(name, value)
        before = getattr(self, name, ...) if layer else self.__dict__.get(name, ...)
        if layer and isinstance(before, keras.layers.Layer) and before is not value:
            # A built model takes no further layers: this one goes where the other was.
            self._tracker.replace_tracked_value("layers", before, value)
        super().__setattr__(name, value)
        if name in BOOKKEEPING or CONTEXT.phase is not None:  # a step sets what it traces
            return
        plain = isinstance(value, bool | int | float | str | None)
        if value is not before and not (plain and _exactly(value) == _exactly(before)):
            self._drop_compiled()

    def __delattr__(self, name):
        super().__delattr__(name)
        if name not in BOOKKEEPING and CONTEXT.phase is None:  # the class may have another value
            self._drop_compiled()

    def _drop_compiled(self):
        """Compile anew what runs next: steps, also within `fit`, and methods under `infer`."""
        self.__dict__.get("_inference", {}).clear()
        for kind in ("train", "test", "predict"):
            if getattr(self, f"{kind}_function", None) is not None:
                backend.synchronize(self)
                getattr(self, f"make_{kind}_function")(force=True)

    # What an author writes.

    def objective(self, batch, training):
        """Loss of one batch, for models with one optimizer.

        Args:
            batch: images, float32 `(N, *image_shape)` in [-1, 1]; with a condition, `(images,
                conditions)`.
            training: what to pass to the networks.

        Returns:
            A scalar, or `(scalar, dictionary)` with the other values that `logs` names.
        """
        raise NotImplementedError(
            f"{type(self).__name__} has to define objective(self, batch, training), or update and "
            "measure."
        )

    def update(self, batch):
        """One update of every player; by default, one step down the `objective`.

        Args:
            batch: `minibatches_per_update` minibatches in one, as in `objective`.

        Returns:
            Dictionary with exactly the names in `logs`.
        """
        if len(self.players) != 1:
            raise NotImplementedError(
                f"{type(self).__name__} has the players {list(self.players)}: define update(self, "
                "batch)."
            )
        (player,) = self.players
        return _by_name(self.minimize(player, self.objective, batch))

    def measure(self, batch):
        """What `evaluate` measures on a batch, by name; by default, the `objective`."""
        self._assert_measures()
        return _by_name(self.objective(batch, training=False))

    def _assert_measures(self):
        if type(self).measure is GenerativeModel.measure and len(self.players) != 1:
            raise NotImplementedError(
                f"{type(self).__name__} has the players {list(self.players)}: define measure(self, "
                "batch) to use evaluate and validation data."
            )

    def default_optimizers(self):
        """Optimizers of `compile()` without argument: dictionary from player to optimizer."""
        return {player: keras.optimizers.Adam(1e-3) for player in self.players}

    def call(self, inputs, training=False):
        """Apply the networks of the first player one after the other.

        This is what `predict` returns and `export` exports. Where they form no chain, write both
        this and `input_signature`.
        """
        for name in next(iter(self.players.values())):
            inputs = getattr(self, name)(inputs, training=training)
        return inputs

    def input_signature(self):
        """Shape and dtype of one input of `call`, without the batch axis; a list for several.

        By default what the first network takes.
        """
        first = [getattr(self, name) for name in self.network_names[:1]]
        inputs = (getattr(first[0], "inputs", None) if first else None) or []
        signature = [(self._filled(tuple(t.shape[1:])), t.dtype) for t in inputs]
        return signature if len(signature) > 1 else (*signature, (self.image_shape, "float32"))[0]

    def _filled(self, shape):
        """A shape, its unknown sides those of an image."""
        image = self.image_shape or ()
        alike = len(shape) == len(image) and all(
            a in (None, b) for a, b in zip(shape, image, strict=True)
        )
        return image if alike else shape

    def inference_networks(self):
        """The networks that a file of `kgen.zoo` keeps: those that make images, encode, decode.

        Returns:
            Dictionary from the constructor's argument to the network that is passed there when the
            file is loaded; by default every network. A GAN that generates by the moving average
            returns `{"generator": self.generator_average.model}`: the average takes the
            generator's place, and a `kgen.engine.LeftOut` that of the discriminator.
        """
        return {name: getattr(self, name) for name in self.network_names}

    # What an author uses.

    @property
    def random(self):
        """Seed generator of the running step: that of training inside `update` only.

        Elsewhere that of evaluation, which starts again at each `evaluate`: validation, figures
        and callbacks do not move training by one bit.
        """
        return self._training_random if CONTEXT.phase == TRAINING else self._evaluation_random

    def minibatches(self, batch):
        """Split a batch into `minibatches_per_update` of equal size.

        Every k-th image, so that a batch sharded over devices gives the same minibatches as a
        whole one.
        """
        k = self.minibatches_per_update
        if k == 1:
            return [batch]

        def part(tensor, j):
            shape = ops.shape(tensor)
            size = shape[0] // k if isinstance(shape[0], int) else -1
            if size >= 0 and shape[0] % k:
                raise ValueError(
                    f"A batch of {shape[0]} images does not split into {k} minibatches: leave the "
                    "incomplete batch out, for tf.data with .batch(n, drop_remainder=True)."
                )
            return ops.reshape(tensor, (size, k, *shape[1:]))[:, j]

        return [tree.map_structure(lambda t, j=j: part(t, j), batch) for j in range(k)]

    def minimize(self, player, fn, *args):
        """Let one player take one step down the gradient of `fn(*args, training=True)`.

        Only its networks move: what `fn` changes in those of the other players is undone
        (`preserving`). Else a discriminator would count generated images twice, in its own step and
        in the generator's, and real ones would be rare to it in inference. A player whose networks
        are all frozen (`trainable = False` before `compile`) takes no step; its loss is reported.

        Args:
            player: a key of `players`.
            fn: pure function that returns a scalar loss, or `(loss, aux)`.
            *args: tensors or structures of tensors.

        Returns:
            What `fn` returned, as numbers without gradient: the loss before the step.
        """
        optimizer, variables = self._optimizer_of(player), self.variables_of(player)
        own = self.players[player]
        others = {name for networks in self.players.values() for name in networks}.difference(own)

        def scaled():
            result = fn(*args, training=True)
            loss, aux = result if isinstance(result, tuple) else (result, ())
            _refuse_no_scalar(loss, fn)
            loss = ops.cast(loss, "float32")
            return optimizer.scale_loss(loss), (loss, isinstance(result, tuple), aux)

        with self.preserving(*[getattr(self, name) for name in sorted(others)]):
            (_, (loss, has_aux, aux)), gradients = backend.value_and_grad(scaled, variables)
        if variables:  # a frozen player takes no step
            backend.apply_gradients(optimizer, gradients, variables)
        self._note_non_finite(player, loss)
        return (loss, aux) if has_aux else loss

    @contextlib.contextmanager
    def preserving(self, *networks):
        """Undo what running these networks in training changes in them.

        Batch statistics and singular vectors; seeds go on, so nothing is drawn twice.
        """
        state = [v for network in networks for v in network.non_trainable_weights]
        before = [ops.copy(v) for v in state]
        yield
        for v, value in zip(state, before, strict=True):
            v.assign(value)

    def input_gradient(self, fn, x):
        """Gradient of `sum(fn(x))` with respect to `x` in float32, for penalties."""
        return backend.input_gradient(fn, x)

    def at_step(self, value):
        """A number, or the value of a schedule at the current step, in the graph."""
        return schedules.value(value, self.step)

    def infer(self, fn, *arrays, static=None, batch_size=None):
        """Run a method compiled, in padded chunks of one size: a new `n` never retraces.

        Args:
            fn: bound method of this model, `fn(*tensors, **static)`; out comes a tensor or a
                structure of tensors, with the rows of `arrays`.
            *arrays: arrays with the same first axis, of which `fn` sees a chunk of rows at a time,
                and numbers, which it sees whole, as tensors of rank 0: what may change from call to
                call without compiling anew. 64 bits become 32.
            static: dictionary of what the compiled function depends on, such as a number of steps
                that a Python loop takes: hashable values, passed to `fn` by name. Each method is
                compiled once for each of their values (the last 32 compiled functions are kept).
            batch_size: rows in a chunk; by default as many as suit the images' size.

        What `fn` reads of the model's attributes is compiled into it, as the class describes.

        Returns:
            NumPy arrays in the structure that `fn` returns.

        Raises:
            TypeError: for functions that are no methods of this model, and static values that are
                not hashable.
            ValueError: for arrays without rows or of several lengths, and results of others.
        """
        if getattr(fn, "__self__", None) is not self:  # what compiles once must be what it was
            raise TypeError(f"infer runs methods of this {type(self).__name__}; got {fn!r}.")
        arrays = [_in_32_bits(a) for a in arrays]
        sizes = {len(a) for a in arrays if a.ndim}
        if len(sizes) != 1:
            raise ValueError(
                "infer takes one array or more, all with as many rows, and numbers; got shapes "
                f"{[a.shape for a in arrays]}."
            )
        (n,) = sizes
        if not n:
            raise ValueError(
                f"There is nothing to compute: got arrays of shapes {[a.shape for a in arrays]}."
            )
        size = self._chunk_size() if batch_size is None else positive(batch_size, "batch_size")
        self._check_file()
        run, chunks = self._compiled(fn, static or {}), []
        for start in range(0, n, size):
            count = min(size, n - start)
            with running(phase=EVALUATION):
                outputs = run(*[_rows(a, start, size) if a.ndim else a for a in arrays])
            for output in tree.flatten(outputs):
                if output.shape[:1] != (size,):
                    raise ValueError(
                        f"{fn.__name__} must return a row for each of the {size} rows that it is "
                        f"given; got shape {output.shape}."
                    )
            self._refuse_broken(outputs)
            chunks.append(tree.map_structure(lambda o, c=count: o[:c], outputs))
        return tree.map_structure(lambda *parts: np.concatenate(parts), *chunks)

    def _compiled(self, fn, static):
        if not isinstance(static, dict):
            raise TypeError(f"static must be a dictionary from argument to value; got {static!r}.")
        try:
            key = fn.__func__, *((name, _exactly(static[name])) for name in sorted(static))
            run = self._inference.pop(key, None)
        except TypeError as error:
            raise TypeError(
                "static values are what a compiled function is kept by, so they must be hashable: "
                f"numbers, strings, tuples; got {static}. Arrays go before them."
            ) from error

        method = (lambda *tensors: fn(*tensors, **static)) if static else fn
        self._inference[key] = run or backend.compiled(method, self)  # the last is used last
        for oldest in [*self._inference][:-KEPT]:
            del self._inference[oldest]
        return self._inference[key]

    def _refuse_broken(self, outputs):
        """Where outputs are not finite, raise a `ValueError` if that is what the weights are."""
        if not all(np.isfinite(output).all() for output in tree.flatten(outputs)):
            self.check_weights()

    def check_weights(self):
        """Raise a `ValueError` if a weight is NaN or infinite; names the network and what to do."""
        backend.synchronize(self)
        networks = {name: getattr(self, name).weights for name in self.network_names}
        for name, weights in {**networks, "model": self.weights}.items():
            for weight in weights:
                finite = np.isfinite(ops.convert_to_numpy(weight))
                if not finite.all():
                    raise ValueError(
                        f"The {name} of this {type(self).__name__} is broken: of the {finite.size} "
                        f"values of {weight.path} only {finite.sum()} are finite, so it can "
                        "make nothing. Load a file from before training diverged, or train anew, "
                        "with a lower learning rate or clipped gradients."
                    )
        self.__dict__["_from_file"] = False

    def _check_file(self):
        """Look at weights from a file before they are first used: not all of them show in outputs.

        (On TensorFlow, of NaN a ReLU makes 0.)
        """
        if self.__dict__.get("_from_file"):
            self.check_weights()

    def load_weights(self, filepath, **options):
        """Keras's `load_weights`; weights that are not finite are an error."""
        super().load_weights(filepath, **options)
        self.check_weights()

    def _chunk_size(self):
        pixels = int(np.prod(self.image_shape[:2])) if self.image_shape else 1
        return int(np.clip(2**20 // max(pixels, 1), 1, 128))

    def images_in(self, images, what="images", warns=True):
        """Check images from outside and return them float32 in [-1, 1], `(N, *image_shape)`.

        Floats of which none is negative are a warning, unless `warns` is False.
        """
        if isinstance(images, feed.ImageDataset):
            raise TypeError(f"{what} must be an array; of a dataset pass dataset.images().")
        images = to_numpy(images)
        feed.check_values(images, self.image_shape, self.check_range, what)
        of_range = images.dtype != np.uint8 and self.check_range and len(self.image_shape) == 3
        if warns and of_range and images.min() >= 0:  # a bright image has no negative value either
            warnings.warn(
                f"{what} has floats in [{images.min():.4g}, {images.max():.4g}], none negative: "
                "divided by 255? Images are uint8 in [0, 255] or floats in [-1, 1]: pass the uint8 "
                f"images as they are, or 2 * {what} - 1. A model with check_range=False does not "
                "ask.",
                stacklevel=3,
            )
        return to_model_range(with_channel(images, self.image_shape))

    def inputs_in(self, inputs, what="x", warns=True):
        """Check inputs of `call` from outside and return them as it takes them.

        Args:
            inputs: an array, or a list of as many as `input_signature` says; images as `images_in`
                takes them.
            what: their name in messages.
            warns: as in `images_in`.

        Raises:
            TypeError, ValueError: if they are others; says what `call` takes.
        """
        wanted = self._taken_by_call()
        given = [*inputs] if isinstance(inputs, list | tuple) else [inputs]
        if len(given) != len(wanted) or not all(is_array(part) for part in given):
            rows = len(wanted) == 1 and isinstance(inputs, list) and inputs
            hint = f" Of rows in a list make one array: numpy.array({what})." if rows else ""
            raise TypeError(self._not_taken(what, inputs, hint))
        given = [to_numpy(part) for part in given]
        found = []
        for index, (part, (shape, dtype)) in enumerate(zip(given, wanted, strict=True)):
            name = what if len(wanted) == 1 else f"{what}[{index}]"
            if shape == self.image_shape:
                found.append(self.images_in(part, name, warns))
            elif not _fits(part, shape, dtype):
                raise ValueError(self._not_taken(name, part))
            elif not np.isfinite(part).all():
                raise ValueError(f"{name} must be finite; got NaN or infinity among its values.")
            else:
                found.append(part.astype(dtype, copy=False))
        if len({len(part) for part in found}) > 1:
            raise ValueError(self._not_taken(what, inputs, " All have as many rows."))
        return found if isinstance(self.input_signature(), list) else found[0]

    def _taken_by_call(self):
        signature = self.input_signature()
        return signature if isinstance(signature, list) else [signature]

    def _not_taken(self, what, inputs, hint=""):
        """The message that `inputs` are not what `call` takes."""
        taken = [f"{dtype} {_rows_of(shape)}" for shape, dtype in self._taken_by_call()]
        says = (inspect.getdoc(type(self).call) or "").split("\n")[0]
        parts = inputs if isinstance(inputs, list | tuple) else [inputs]
        if any(is_array(part) and len(part.shape) > 2 for part in parts):
            hint += self._for_images()
        return (
            f"{what} must be what {type(self).__name__}.call takes ({says!r}): "
            f"{' and '.join(taken)}; got {_described(inputs)}.{hint}"
        )

    def _for_images(self):
        """Which methods take images, for who hands them to a `call` that does not."""
        if self.image_shape in [shape for shape, _ in self._taken_by_call()]:
            return ""
        methods = [
            name
            for name, method in inspect.getmembers(type(self), inspect.isfunction)
            if {"images", "batch_size"} <= inspect.signature(method).parameters.keys()
            and not name.startswith("_")
        ]
        return f" Images are for {', '.join(methods)}." if methods else ""

    def latents(self, n, dimension, seed=None):
        """Draw `n` latents from N(0, I) on the host: the same for a seed on every backend.

        Raises:
            ValueError: as `how_many`.
        """
        size = self.how_many(n), dimension
        return host_generator(seed).standard_normal(size, dtype="float32")

    def how_many(self, n):
        """`n`, the images to generate, as an integer.

        Raises:
            ValueError: unless it is a positive integer, and memory holds so many images.
        """
        n, shape = positive(n, "n"), self.image_shape or ()
        nbytes = 8 * n * math.prod(shape)  # float32, and a copy
        check_room(nbytes, f"n={n} images of {shape}", "generate fewer at a time")
        return n

    def generate(self, n, labels=None, seed=None, batch_size=None):
        """Draw `n` images, float32 `(n, *image_shape)` in [-1, 1]."""
        raise NotImplementedError(
            f"{type(self).__name__} has no prior to draw from: define generate(self, n, labels, "
            "seed, batch_size)."
        )

    def preview(self, n, seed=None, inputs=None):
        """Pictures for the eye: rows of images by what they are; for figures, never for metrics.

        By default one row, what `generate` makes. A model that makes images of images has rows
        such as `"input"`, `"output"` and, where it is known, `"truth"`.

        Args:
            n: images in a row, at most.
            seed: of what is drawn.
            inputs: what `fit` takes, of a model that needs it: images, or a tuple of images and
                conditions. `SampleGrid(inputs=)` passes its own, else the first of the validation
                data.

        Returns:
            Dictionary from names to float32 images `(n, H, W, C)` in [-1, 1], or to points.

        Raises:
            ValueError: for a model that needs inputs and has none.
        """
        return {"generated": self.generate(n, seed=seed)}

    def no_inputs(self):
        """The error of a `preview` that needs inputs and has none."""
        return ValueError(
            f"{type(self).__name__} makes images of images, so a picture needs some: pass "
            "SampleGrid(inputs=images), or validation_data to fit."
        )

    def outputs(self, inputs, batch_size=None):
        """What `call` makes of inputs, as `predict`, but compiled by `infer`; for callbacks.

        Args:
            inputs: what `predict` takes, arrays.
            batch_size: rows at a time.
        """
        inputs = self.inputs_in(inputs)
        given = inputs if isinstance(inputs, list) else [inputs]
        return self.infer(self._outputs, *given, batch_size=batch_size)

    def _outputs(self, *inputs):
        return self(inputs[0] if len(inputs) == 1 else [*inputs], training=False)

    def validation_examples(self, n):
        """While `fit` runs: the first `n` examples of its validation data, as a tuple, or None."""
        return feed.first_examples(self.__dict__.get("_validation"), n)

    # Players and optimizers.

    @property
    def network_names(self):
        """Names of the networks of all players, in their order."""
        return [name for names in self.players.values() for name in names]

    def variables_of(self, player):
        """The trainable variables of a player's networks, each once."""
        found = {}
        for name in self.players[player]:
            found |= {id(v): v for v in getattr(self, name).trainable_variables}
        return list(found.values())

    def _optimizer_of(self, player):
        if player not in self.players:
            raise ValueError(f"There is no player {player!r}; the players are {[*self.players]}.")
        return self.optimizer[player] if len(self.players) > 1 else self.optimizer

    def compile(
        self,
        optimizer=None,
        *,
        loss=None,
        metrics=None,
        run_eagerly=False,
        steps_per_execution=1,
        jit_compile="auto",
    ):
        """Choose optimizers and how steps are run.

        Args:
            optimizer: None for the default ones; a Keras optimizer or its name (one player); or a
                dictionary from player to optimizer.
            loss, metrics: not here; the error says where.
            run_eagerly, steps_per_execution, jit_compile: as in Keras. On torch, steps run
                eagerly unless `jit_compile=True` asks for `torch.compile`.

        Raises:
            ValueError: for a loss or metrics, unknown players, or networks of another dtype
                policy.
        """
        if loss is not None or metrics is not None:
            what = "loss" if loss is not None else "metrics"
            raise ValueError(
                f"{type(self).__name__}.compile() takes no {what}: the loss belongs to the "
                "algorithm and is chosen in the constructor; metrics of generated images are "
                "callbacks (kgen.callbacks)."
            )
        flag(run_eagerly, "run_eagerly")
        steps_per_execution = positive(steps_per_execution, "steps_per_execution")
        one_of(jit_compile, ["auto", True, False], "jit_compile")
        self._check_networks()
        members = self._members(optimizer)
        if self.dtype_policy.name == "mixed_float16":
            members = {p: LossScale.around(m) for p, m in members.items()}
        single = len(members) == 1
        self.train_function = self.test_function = self.predict_function = None
        self._inference.clear()
        super().compile(
            optimizer=next(iter(members.values())) if single else OptimizerGroup(members),
            run_eagerly=run_eagerly,
            steps_per_execution=steps_per_execution,
            jit_compile=jit_compile,
            auto_scale_loss=False,
        )
        self.__dict__["_compiled_optimizer"] = self.optimizer
        self._loss_tracker = None  # the means of `logs` are all there is
        self.ensure_built()
        for player in self.players:
            self._optimizer_of(player).build(self.variables_of(player))
        self.optimizer.built = True
        self.__dict__["compiled_as"] = self.get_compile_config()

    def _assert_compiled_for_its_networks(self):
        if self.optimizer is not self._compiled_optimizer:
            raise ValueError(
                "model.optimizer was replaced after compile(), which prepares optimizers for what "
                "they move: pass it there, model.compile(optimizer)."
            )
        for player in self.players:
            optimizer = self._optimizer_of(player)
            optimizer = getattr(optimizer, "inner_optimizer", optimizer)
            moved = {id(v) for v in self.variables_of(player)}
            if moved != {id(v) for v in optimizer._trainable_variables}:
                raise ValueError(
                    f"The player {player!r} has other trainable weights than when compile() was "
                    "called: a network was frozen, unfrozen or replaced since. This takes effect "
                    "when you call compile() again."
                )

    def _members(self, optimizer):
        defaults = self.default_optimizers()
        if optimizer is None:
            return defaults
        if isinstance(optimizer, OptimizerGroup):
            optimizer = optimizer.members
        if not isinstance(optimizer, dict):
            if len(self.players) > 1:
                raise ValueError(
                    f"{type(self).__name__} has one optimizer for each of {[*self.players]}: pass "
                    "a dictionary from player to optimizer."
                )
            return {next(iter(self.players)): _optimizer(optimizer)}
        if unknown := sorted(set(optimizer) - set(self.players)):
            raise ValueError(f"Unknown players {unknown}; the players are {[*self.players]}.")
        chosen = {p: _optimizer(optimizer.get(p, defaults[p])) for p in self.players}
        if len({id(o) for o in chosen.values()}) < len(chosen):
            raise ValueError("Two players share one optimizer object: give each its own.")
        return chosen

    def _check_networks(self):
        policy = self.dtype_policy
        if policy.variable_dtype != "float32":
            raise ValueError(
                f"Under the policy {policy.name!r} weights would be kept and updated in "
                f'{policy.variable_dtype}; use "float32", "mixed_bfloat16" or "mixed_float16".'
            )
        for name in self.network_names:
            network = getattr(self, name, None)
            if isinstance(network, LeftOut):
                raise ValueError(network.reason)
            if network is None:
                raise ValueError(
                    f"{type(self).__name__} has no network {name!r}: pass {name}= or set self."
                    f"{name} in the constructor."
                )
            if not isinstance(network, keras.layers.Layer):
                raise TypeError(f"{name} must be a keras.Model or layer; got {network!r}.")
            if not all(layer.built for layer in network._flatten_layers()):
                raise ValueError(
                    f"The network {name!r} has no weights yet: give it a keras.Input, or call it "
                    "once."
                )
            dtypes = {
                v.path: layer.compute_dtype
                for layer in network._flatten_layers()
                for v in layer._trainable_variables
            }
            allowed = {policy.compute_dtype, "float32"}
            if dtypes and (
                set(dtypes.values()) - allowed
                or (
                    policy.compute_dtype != "float32"
                    and set(dtypes.values()) == {"float32"}
                    and len(dtypes) > 2
                )
            ):
                raise ValueError(
                    f"The model computes in {policy.name!r} but the network {name!r} in "
                    f"{sorted(set(dtypes.values()))}. Build it under the same policy: pass "
                    f"dtype={policy.name!r} to its layers, or call keras.config.set_dtype_policy"
                    f"({policy.name!r}) before anything is built."
                )

    def build(self, input_shape):
        """Nothing to make: networks come built."""
        self.built = True

    def ensure_built(self):
        """Call the model once, symbolically: `save` and `export` need its input's shape."""
        if self.built:
            return
        try:
            self(self._symbolic_inputs())
        except Exception as error:
            first = self.network_names[0] if self.players else "network"
            raise ValueError(
                f"{type(self).__name__}.call does not take what input_signature() says: "
                f"{self.input_signature()}. By default it applies the networks of the first "
                "player one after the other. Write what predict and export shall compute, and "
                "shape and dtype of what it takes, such as\n"
                f"    def call(self, inputs, training=False): return self.{first}(inputs, "
                "training=training)\n"
                f"    def input_signature(self): return {self._input_of(first)}, 'float32'  # a "
                f"list of these for several inputs\nKeras says: {error}"
            ) from error

    def _input_of(self, name):
        return (*_shapes(getattr(self, name, None), "input"), self.image_shape)[0]

    def _symbolic_inputs(self):
        """One input of `call`, or a list of several."""
        signature = self.input_signature()
        many = isinstance(signature, list)
        inputs = [
            keras.KerasTensor((None, *shape), dtype)
            for shape, dtype in (signature if many else [signature])
        ]
        return inputs if many else inputs[0]

    def export(self, filepath, *args, input_signature=None, **options):
        """Keras's `export`; what is served takes the inputs of `input_signature()`.

        What it writes is for serving: `keras.saving.load_model` reads what `save` writes.
        """
        if str(filepath).endswith((".keras", ".h5")):
            raise ValueError(
                f"export writes a folder for serving, which load_model does not read; got "
                f"{str(filepath)!r}. Use model.save(path) for a model to load again, or a path "
                "without this suffix."
            )
        signature = [self._symbolic_inputs()] if input_signature is None else input_signature
        return super().export(filepath, *args, input_signature=signature, **options)

    # The steps.

    def prepare(self, data):
        """A batch as the algorithm sees it, from what Keras hands to a step."""
        images, values, _ = keras.utils.unpack_x_y_sample_weight(data)
        return self.condition.batch(self._as_images(images), values)

    def _as_images(self, images):
        """Images of a batch as every algorithm sees them, in the model's range."""
        images = ops.convert_to_tensor(images)  # an eager step on JAX gets arrays
        if _rank(images) is None:  # TensorFlow's, after several kinds of data
            images = ops.reshape(images, (-1, *self.image_shape))
        return to_model_range(with_channel(images, self.image_shape or ()))

    def run_update(self, data):
        """One step of `fit`: update, count, average (called by the backend's `train_step`)."""
        with running(phase=TRAINING):
            batch = self.prepare(data)
            results = self.update(batch)
            if set(results) != set(self.logs):
                raise ValueError(
                    f"{type(self).__name__}.update returned the losses {sorted(results)}; `logs` "
                    f"names {sorted(self.logs)}."
                )
            self.step.assign(self.step + 1)
            return self._running_means(results, batch)

    def run_measure(self, data):
        """One step of `evaluate` (called by the backend's `test_step`)."""
        with running(phase=EVALUATION):
            batch = self.prepare(data)
            results = self.measure(batch)
            if unknown := sorted(set(results) - set(self.logs)):
                raise ValueError(
                    f"{type(self).__name__}.measure returned {unknown}, which `logs` "
                    f"{list(self.logs)} do not name."
                )
            return self._running_means(results, batch)

    def predict_step(self, *args):
        """Keras's step of `predict`: `call` on inputs in the model's range."""
        *state, data = args
        inputs = tree.flatten(keras.utils.unpack_x_y_sample_weight(data)[0])
        for index, (shape, _) in enumerate(self._taken_by_call()):
            if shape == self.image_shape:
                inputs[index] = self._as_images(inputs[index])
        inputs = inputs if isinstance(self.input_signature(), list) else inputs[0]
        with running(phase=EVALUATION):
            return super().predict_step(*state, (inputs,))

    def _running_means(self, results, batch):
        count = ops.shape(tree.flatten(batch)[0])[0]
        means = {mean.name: mean for mean in self._means}
        for name, value in results.items():
            value = ops.stop_gradient(ops.cast(value, "float32"))
            means[name].update_state(value, sample_weight=ops.cast(count, "float32"))
        return {name: means[name].result() for name in self.logs if name in results}

    def _note_non_finite(self, player, loss):
        first = ops.convert_to_tensor(self.first_non_finite_step)
        mine = np.arange(len(self.players)) == list(self.players).index(player)
        now = ops.logical_and(mine, ops.logical_not(ops.isfinite(loss)))
        step = ops.convert_to_tensor(self.step)
        first = ops.where(ops.logical_and(now, first < 0), step, first)
        self.first_non_finite_step.assign(first)

    @property
    def metrics(self):
        """The running means, one for each name in `logs`."""
        return list(self._means)

    # fit, evaluate, predict.

    def fit(
        self,
        x=None,
        y=None,
        batch_size=None,
        epochs=1,
        verbose="auto",
        callbacks=None,
        validation_split=0.0,
        validation_data=None,
        shuffle=True,
        class_weight=None,
        sample_weight=None,
        initial_epoch=0,
        steps_per_epoch=None,
        validation_steps=None,
        validation_batch_size=None,
        validation_freq=1,
    ):
        """Train, as `keras.Model.fit`.

        A run goes on where the model stands: noise, schedules and the order of arrays and kgen's
        datasets follow the updates behind it, so that `fit(epochs=2)` and `fit(epochs=1)` after it,
        with a file or a copy in between or without, are `fit(epochs=3)`, bit for bit on a CPU.
        (`use_ema` apart, which overwrites weights when a run ends.) An epoch that was cut short is
        not repeated: the next `fit` begins with the order after it.

        Args:
            x: images, uint8 in [0, 255] or floats in [-1, 1], shape `(N, H, W, C)` or, for one
                channel, `(N, H, W)`; an `ImageDataset`; a `tf.data.Dataset`, a `PyDataset` or a
                generator of batches.
            y: labels, for arrays.
            batch_size: the minibatch size m of the papers (for arrays 128 by default, or as many
                as there are); one update takes `minibatches_per_update` times as many images. An
                incomplete last batch is left out of training, never of evaluation.
            callbacks: a `kgen.callbacks.TrainingCheckpoint` among them makes the run resumable.
            validation_split, validation_data, epochs, verbose, shuffle, initial_epoch,
            steps_per_epoch, validation_steps, validation_batch_size, validation_freq: as in Keras.

        Returns:
            Keras's `History`.

        Raises:
            TypeError, ValueError: if the first batch is not what the model learns from.
            NonFiniteLoss: if a loss becomes NaN or infinite; names the player and the step.
        """
        if class_weight is not None or sample_weight is not None:
            raise ValueError(f"fit got class_weight or sample_weight. {feed.NO_WEIGHTS}")
        self._assert_compile_called("fit")
        self._assert_compiled_for_its_networks()
        self._check_file()
        epochs, initial_epoch = whole(epochs, "epochs"), whole(initial_epoch, "initial_epoch")
        flag(shuffle, "shuffle")
        validation_split = below(validation_split, 1, "validation_split")
        _check_options(
            verbose,
            batch_size=batch_size,
            steps_per_epoch=steps_per_epoch,
            validation_steps=validation_steps,
            validation_batch_size=validation_batch_size,
        )
        callbacks, validation_freq = as_callbacks(callbacks), _frequency(validation_freq)
        if validation_split and validation_data is None:
            (x, y), validation_data = feed.split(x, y, validation_split)
        source = feed.training_source(self, x, y, batch_size, shuffle, steps_per_epoch)
        ours = isinstance(source, feed.ImageDataset)
        if ours:
            batches, steps_per_epoch = source.batches_per_epoch, None
            left_out = 0 if source.steps_per_epoch else source.num_examples % source.batch_size
            if left_out and verbose:
                print(
                    f"{left_out} of {source.num_examples} images do not fill a batch of "
                    f"{source.batch_size}: each epoch leaves others out."
                )
        else:
            batches = steps_per_epoch or getattr(source.data, "num_batches", None)
        if validation_data is not None:
            self._assert_measures()
            validation_data = self._validation_source(validation_data, validation_batch_size)
            once = getattr(validation_data, "is_generator", False) and validation_steps is None
            if once and epochs - initial_epoch > 1:
                raise ValueError(
                    f"validation_data is a generator, which can be read once, and there are "
                    f"{epochs - initial_epoch} epochs: pass an array or a dataset, or say "
                    "validation_steps=."
                )

        checkpoints = [c for c in callbacks if getattr(c, "resumes_runs", False)]
        if len(checkpoints) > 1:
            raise ValueError("A run has one TrainingCheckpoint; got several.")
        checkpoint = checkpoints[0] if checkpoints else None
        data = source if ours else source.data
        run = Run(self, data, checkpoint, callbacks, verbose, epochs, batches)
        run.validates = validation_data is not None
        self.__dict__["_validation"] = validation_data
        self.first_non_finite_step.assign(np.full(len(self.players), -1, "int32"))
        self._initial_epoch = None  # Keras keeps what BackupAndRestore set in an earlier run
        if checkpoint is not None:
            initial_epoch = checkpoint.begin(run, initial_epoch)
        if verbose:
            self._hint_at_few_updates(batches, epochs - initial_epoch)

        options = dict(
            verbose=verbose,
            callbacks=run,
            validation_data=None if validation_data is None else (feed.for_keras(validation_data),),
            validation_steps=validation_steps,
            validation_freq=validation_freq,
            shuffle=False,
            steps_per_epoch=steps_per_epoch,
        )
        with run.interruptible(), feed.own_errors(source, validation_data):
            with finalized_once(self), backend.keeping_values(self):
                for first, last in _spans(initial_epoch, run.batch, epochs):
                    if ours:
                        source.set_position(first, run.batch)
                    x = feed.for_keras(source)
                    super().fit(x, initial_epoch=first, epochs=last, **options)
                    run.batch = 0
                    if self.stop_training:
                        break
            run.finish()
        return self.history

    def _hint_at_few_updates(self, batches, epochs):
        """Say once, before the first update, where a run will hardly have begun to learn."""
        updates = (batches or 0) * epochs
        if 0 < updates < FEW_UPDATES and not int(ops.convert_to_numpy(self.step)):
            print(
                f"{batches} updates an epoch x {epochs} epochs = {updates} updates, few to learn "
                "from: smaller batches or more epochs make more."
            )

    def _validation_source(self, data, batch_size):
        x, y = data, None
        try:
            if isinstance(data, tuple):
                x, y, weights = keras.utils.unpack_x_y_sample_weight(data)
                if weights is not None:
                    raise ValueError(f"it holds sample weights. {feed.NO_WEIGHTS}")
            return feed.evaluation_source(self, x, y, batch_size)
        except (TypeError, ValueError) as error:
            raise type(error)(f"validation_data: {error}") from error

    def evaluate(self, x=None, y=None, batch_size=None, verbose="auto", steps=None, **kwargs):
        """Measure every image once, as `keras.Model.evaluate`; losses by name in a dictionary.

        Takes the data of `fit`. The noise is the same at each call.
        """
        if kwargs.get("sample_weight") is not None:
            raise ValueError(f"evaluate got sample_weight. {feed.NO_WEIGHTS}")
        self._evaluation_random.reset()
        if not kwargs.get("_use_cached_eval_dataset"):
            _check_options(verbose, batch_size=batch_size, steps=steps)
            kwargs["callbacks"] = as_callbacks(kwargs.get("callbacks"))
            self._assert_compile_called("evaluate")
            self._check_file()
            x, y, batch_size = feed.evaluation_source(self, x, y, batch_size), None, None
        kwargs["return_dict"] = True
        with feed.own_errors(x), backend.keeping_values(self):
            return super().evaluate(feed.for_keras(x), verbose=verbose, steps=steps, **kwargs)

    def predict(self, x, batch_size=None, verbose="auto", steps=None, callbacks=None):
        """What `call` returns, as NumPy arrays, in stored order.

        Args:
            x: what `call` takes, as `inputs_in`; or the data of `fit`, in batches of it.
            batch_size, verbose, steps, callbacks: as in Keras.

        Raises:
            TypeError, ValueError: if it is not what `call` takes; says what that is.
        """
        _check_options(verbose, batch_size=batch_size, steps=steps)
        callbacks = as_callbacks(callbacks)
        x, batch_size = feed.prediction_source(self, x, batch_size)
        self._check_file()
        with feed.own_errors(x), backend.keeping_values(self):
            outputs = super().predict(feed.for_keras(x), batch_size, verbose, steps, callbacks)
        self._refuse_broken(outputs)
        return outputs

    # Saving.

    def get_config(self):
        """Everything that the constructor needs, networks included."""
        if global_state.get_global_attribute("use_legacy_config"):
            raise ValueError(
                f"Keras's old .h5 files cannot give a {type(self).__name__} back. Use "
                'model.save("model.keras"), or model.save_weights("model.weights.h5") for its '
                "variables alone."
            )
        config = {
            "image_shape": self.image_shape,
            "condition": self._condition_config(),
            "seed": self.seed,
            "check_range": self.check_range,
            "name": self.name,
            "dtype": keras.saving.serialize_keras_object(self.dtype_policy),
        }
        for name in self.network_names:
            try:
                config[name] = keras.saving.serialize_keras_object(getattr(self, name))
            except NotImplementedError:
                refuse_unmakeable(getattr(self, name)._flatten_layers())
                raise
        return config

    def _condition_config(self):
        alone = isinstance(self.condition, conditions.Nothing)
        return None if alone else keras.saving.serialize_keras_object(self.condition)

    @classmethod
    def from_config(cls, config, custom_objects=None):
        """Build the model from `get_config()`."""
        return cls(
            **{
                key: keras.saving.deserialize_keras_object(value, custom_objects)
                if isinstance(value, dict) and "class_name" in value
                else value
                for key, value in config.items()
            }
        )

    def save_own_variables(self, store):
        """Write the variables of the model itself and, in every format, the seeds' states.

        Keras writes no seed generator's: noise would begin again in a model that was loaded.
        """
        super().save_own_variables(store)
        states = [ops.convert_to_numpy(state) for state in seed_states(self)]
        store["seeds"] = np.stack(states).astype("int64")

    def load_own_variables(self, store):
        """Read what `save_own_variables` wrote; files without seeds load, too."""
        super().load_own_variables({n: store[n] for n in store.keys() if n != "seeds"})  # noqa: SIM118
        self.__dict__["_from_file"] = True  # layers are read after this
        if "seeds" not in store.keys():  # noqa: SIM118 (a store is no dictionary)
            return
        saved, states = np.asarray(store["seeds"]), seed_states(self)
        if saved.shape != (len(states), 2):
            warnings.warn(
                f"The file holds the states of {len(saved)} seed generators (of noise, of dropout) "
                f"but this {type(self).__name__} has {len(states)}: its layers are others. The "
                "noise of training begins again; weights are loaded.",
                stacklevel=2,
            )
            return
        for state, value in zip(states, saved, strict=True):
            state.assign(value.astype(keras.backend.standardize_dtype(state.dtype)))

    def get_build_config(self):
        """Nothing: networks come built. Keras asks when it writes a file or a copy.

        Raises:
            TypeError, ValueError: as `check_savable`.
        """
        self.check_savable()
        return {"image_shape": self.image_shape}

    def check_savable(self):
        """Raise a `TypeError` or `ValueError` if the model could not be loaded from a file."""
        for name in self.network_names:
            refuse_unmakeable(getattr(self, name)._flatten_layers())
        refuse_unregistered(
            {
                "class_name": type(self).__name__,
                "module": type(self).__module__,
                "registered_name": keras.saving.get_registered_name(type(self)),
                "config": self.get_config(),
                "compile_config": self.get_compile_config(),
            }
        )
        self._refuse_shared_layers()

    def build_from_config(self, config):
        """Build as `compile` does."""
        self.ensure_built()

    def get_compile_config(self):
        """Arguments of `compile`, written so that every backend can read them."""
        if not self.compiled:
            return {}
        return {
            "optimizer": serialize_optimizer(self.optimizer),
            "run_eagerly": self.run_eagerly,
            "steps_per_execution": self.steps_per_execution,
            "jit_compile": "auto",  # the resolved value would be torch.compile elsewhere
        }

    def compile_from_config(self, config):
        """Compile as the saved model was; torch takes one step per execution."""
        config = keras.saving.deserialize_keras_object(config)
        if keras.backend.backend() == "torch":
            config["steps_per_execution"] = 1
        self.compile(**config)

    def _refuse_shared_layers(self):
        owners = {}
        for name in self.network_names:
            for layer in getattr(self, name)._flatten_layers():
                other = owners.setdefault(id(layer), name)
                if other != name and layer.weights:
                    raise ValueError(
                        f"The layer {layer.name!r} belongs to the networks {other!r} and {name!r}: "
                        "a file holds each network by itself, so the two would come back apart. "
                        "Use save_weights, or give each network its own layer."
                    )

    def save(self, filepath, overwrite=True, zipped=True, **kwargs):
        """Save everything to one `.keras` file, written beside and renamed.

        `keras.saving.save_model` refuses the same models, but writes in place.

        Raises:
            TypeError: for arguments of other formats, and classes without a `get_config` that says
                how they are made.
            ValueError: for a path that is no `.keras` file on this machine; if the model holds a
                class that is not registered, or networks share a layer: the file could not be
                loaded. The message says what to do.
            FileExistsError: if the file exists and `overwrite` is False.
            OSError: if it cannot be written; what stood there before stays.
        """
        if kwargs or zipped not in (None, True):
            given = sorted(kwargs) or ["zipped"]
            raise TypeError(
                f"A kgen model is saved whole, to one .keras file: leave {given} out. (For its "
                'variables alone: model.save_weights("model.weights.h5").)'
            )
        path = pathlib.Path(filepath)
        if path.suffix != ".keras" or "://" in str(filepath):
            stem = path.name.split(".")[0] or "model"
            raise ValueError(
                f"A kgen model is saved to a .keras file on this machine; got {str(filepath)!r}. "
                f'Use model.save("{stem}.keras"), or model.save_weights("{stem}.weights.h5") for '
                "its variables alone."
            )
        if path.exists() and not overwrite:
            raise FileExistsError(f"{path} exists. Pass overwrite=True to replace it.")
        self.ensure_built()
        backend.synchronize(self)
        with written_beside(path) as temporary:
            super().save(temporary)


@functools.cache
def _of_keras():
    """Names of the attributes that Keras keeps on a model."""
    return {*vars(keras.Model(name="model")), *BOOKKEEPING, "optimizer", "loss"}


def _optimizer(optimizer):
    if isinstance(optimizer, str | keras.optimizers.Optimizer) or (
        isinstance(optimizer, dict) and "class_name" in optimizer
    ):
        return keras.optimizers.get(optimizer)
    raise TypeError(
        f"optimizer must be a keras.optimizers.Optimizer, its name, or a dictionary from player to "
        f"one of these; got {optimizer!r}."
    )


def _check_options(verbose, **counts):
    """Refuse what Keras would take or stumble over: counts are None or positive integers."""
    for name, value in counts.items():
        if value is not None:
            positive(value, name)
    one_of(verbose, ["auto", 0, 1, 2, True, False], "verbose")


def as_callbacks(callbacks):
    """Callbacks as a list: of one, of several, or of a `CallbackList`."""
    if isinstance(callbacks, keras.callbacks.Callback):
        return [callbacks]
    found = [] if callbacks is None else getattr(callbacks, "callbacks", callbacks)
    if not isinstance(found, list | tuple):
        found = [found]
    found = tree.flatten(found)
    for callback in found:
        if not isinstance(callback, keras.callbacks.Callback):
            made = isinstance(callback, type) and issubclass(callback, keras.callbacks.Callback)
            raise TypeError(
                f"callbacks must be keras callbacks, one or a list of them; got {callback!r}."
                + (f" That is the class: make one, {callback.__name__}(...)." if made else "")
            )
    return found


def _frequency(every):
    if isinstance(every, list | tuple | range | set):
        return [positive(epoch, "validation_freq") for epoch in every]
    return positive(every, "validation_freq")


def _shapes(network, side):
    """Shapes of a network's inputs or outputs, as far as it knows them."""
    try:
        shapes = getattr(network, f"{side}_shape")
    except (AttributeError, ValueError):
        return []
    shapes = shapes if isinstance(shapes, list) else [shapes]
    return [tuple(s[1:]) for s in shapes if isinstance(s, tuple) and 2 <= len(s) <= 4]


def _exactly(value):
    """A key that tells apart what `==` does not: 1, 1.0 and True; 0.0 and -0.0."""
    if isinstance(value, tuple | frozenset):
        return type(value), (tuple if isinstance(value, tuple) else frozenset)(map(_exactly, value))
    if isinstance(value, float | np.floating):
        return type(value), float(value).hex()
    return type(value), value


def _in_32_bits(array):
    array = to_numpy(array)
    narrow = {"float64": "float32", "int64": "int32"}
    limits = np.iinfo("int32")
    if array.dtype == "int64" and ((array < limits.min) | (array > limits.max)).any():
        raise ValueError(
            f"infer computes in 32 bits; got integers from {array.min()} to {array.max()}."
        )
    return array.astype(narrow.get(array.dtype.name, array.dtype), copy=False)


def _rows_of(shape):
    return f"({', '.join(map(str, ('N', *shape)))}{'' if shape else ','})"


def _described(inputs):
    """What came, in a message: dtype and shape of an array, of a list those of its parts."""
    if isinstance(inputs, list | tuple):
        first = ", ".join(map(_described, inputs[:3])) + (", ..." if len(inputs) > 3 else "")
        return f"a {type(inputs).__name__} of {len(inputs)}: {first}" if inputs else repr(inputs)
    if is_array(inputs):
        return f"{str(inputs.dtype).removeprefix('torch.')} {tuple(inputs.shape)}"
    return repr(inputs)[:80]


def _fits(array, shape, dtype):
    """Whether an array holds rows of this shape, at least one, of numbers that the dtype holds."""
    kinds = "iu" if "int" in dtype else "fiub"
    number = array.dtype.kind in kinds or ("f" in kinds and "bfloat16" in str(array.dtype))
    alike = array.ndim == 1 + len(shape) and all(
        side in (None, found) for side, found in zip(shape, array.shape[1:], strict=True)
    )
    return number and alike and len(array) > 0


def _rows(array, start, size):
    """The rows from `start` on, as many as `size`: the last one again where there are fewer."""
    rows = array[start : start + size]
    if missing := size - len(rows):
        rows = np.concatenate([rows, np.repeat(rows[-1:], missing, axis=0)])
    return rows


def _rank(tensor):
    """Number of axes; None where TensorFlow does not know it."""
    return None if getattr(tensor.shape, "rank", 0) is None else len(tensor.shape)


def _by_name(result):
    loss, parts = result if isinstance(result, tuple) else (result, {})
    if not isinstance(parts, dict):
        raise TypeError(
            "objective returns a scalar, or a scalar and a dictionary of the other values that "
            f"`logs` names; the second of its results is {type(parts).__name__}."
        )
    return {"loss": loss, **parts}


def _refuse_no_scalar(loss, fn):
    name = getattr(fn, "__name__", "The loss function")
    if not (ops.is_tensor(loss) or isinstance(loss, int | float)):
        raise TypeError(f"{name} must return a scalar tensor; got {type(loss).__name__}.")
    if tuple(getattr(loss, "shape", ())) != ():
        raise ValueError(
            f"{name} must return one loss for the batch; got one of shape {tuple(loss.shape)}. "
            "Average it: keras.ops.mean(loss)."
        )


def _spans(initial_epoch, batch, epochs):
    """Ranges of epochs for Keras's `fit`: a resumed epoch is shorter than those that follow."""
    if batch and initial_epoch < epochs:
        yield initial_epoch, initial_epoch + 1
        initial_epoch += 1
    if initial_epoch < epochs:
        yield initial_epoch, epochs


def refuse_unregistered(config):
    """Raise for a class or function in a configuration that Keras could not find on loading."""
    if isinstance(config, dict):
        name, module = config.get("registered_name"), config.get("module")
        kind = config.get("class_name")
        if kind == "__lambda__":
            raise ValueError(
                "A network holds a lambda, which no .keras file may carry (it would run code on "
                "loading). Make it a keras.layers.Layer or a registered function."
            )
        if kind == "function":
            kind, known = config["config"], _is_found(config)
        else:
            of_keras = module == "builtins" or (module or "").split(".")[0] == "keras"
            known = of_keras or not name or keras.saving.get_registered_object(name) is not None
        if not known:
            raise ValueError(
                f"{kind} (module {module}) is not registered with Keras, so the file could not be "
                "loaded. Put this line before its definition:\n"
                '    @keras.saving.register_keras_serializable("my_package")'
            )
        for value in config.values():
            refuse_unregistered(value)
    elif isinstance(config, list | tuple):
        for value in config:
            refuse_unregistered(value)


def _is_found(function):
    """Whether Keras finds a function by its configuration."""
    try:
        return callable(keras.saving.deserialize_keras_object(function))
    except (TypeError, ValueError):
        return False
