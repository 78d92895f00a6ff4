"""`GenerativeModel`: write the algorithm once, fit it on TensorFlow, JAX and torch."""

import contextlib
import math
import warnings

import keras
import numpy as np
from keras import ops, tree

from kgen import conditions, schedules
from kgen.arguments import below, check_room, flag, one_of, positive, whole
from kgen.conditions import Condition
from kgen.data.ranges import looks_channels_first, normalize_image_shape
from kgen.engine import backend, checks, feed
from kgen.engine.context import CONTEXT, TRAINING
from kgen.engine.inference import Inference, exactly
from kgen.engine.inputs import Inputs, check_image_shape
from kgen.engine.optimizers import (
    LossScale,
    OptimizerGroup,
    finalized_once,
    maker_of,
    members_of,
)
from kgen.engine.random import SeedGenerator, host_generator
from kgen.engine.run import Run, spans
from kgen.engine.saving import Saving
from kgen.engine.stages import Stages, stages_of
from kgen.engine.step import Step


class GenerativeModel(backend.Steps, Step, Stages, Inputs, Inference, Saving, keras.Model):
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
        call_takes_images: whether what `call` takes in the shape of images is images, in their
            range.
        step: integer variable, the number of updates so far; schedules read it.

    Args:
        image_shape: `(H, W)` for one channel, `(H, W, C)`, or `(D,)` for points. None: the first
            that a network takes, images before points, and what is made as well before what is not
            (found in `compile` where the networks are set after this constructor).
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
    call_takes_images = True

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
        checks.check_names(self)
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
        self.image_shape = None if image_shape is None else normalize_image_shape(image_shape)
        if networks:
            self.find_image_shape()
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
        self.__dict__.update(_inference={}, compiled_as={}, _stage=0)

    def _known_condition(self, condition):
        if isinstance(condition, self.conditions):
            return condition
        nothing = conditions.Nothing
        kinds = ("None" if kind is nothing else kind.__name__ for kind in self.conditions)
        known = " or ".join(kinds)
        given = None if isinstance(condition, conditions.Nothing) else condition
        raise ValueError(f"{type(self).__name__} is made with the condition {known}; got {given}.")

    def given_to(self, network):
        """The condition as a network is given it: `Nothing` unless `conditioned` names it.

        Raises:
            ValueError: for a name that is no network's.
        """
        known = {*self.network_names, *self.conditioned}
        there = network in known or isinstance(getattr(self, network, None), keras.Layer)
        if not (there or isinstance(self.condition, conditions.Nothing)):
            raise ValueError(
                f"{type(self).__name__} has no network {network!r} to be given the condition; its "
                f"networks are {self.network_names}."
            )
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
        checks.check_attributes(cls)

    def __setattr__(self, name, value):
        layer = isinstance(value, keras.layers.Layer)
        if value is not None:
            checks.refuse_taken(self, name, value)
        before = getattr(self, name, ...) if layer else self.__dict__.get(name, ...)
        if layer and isinstance(before, keras.layers.Layer) and before is not value:
            # A built model takes no further layers: this one goes where the other was.
            self._tracker.replace_tracked_value("layers", before, value)
        super().__setattr__(name, value)
        if name in checks.BOOKKEEPING or CONTEXT.phase is not None:  # a step sets what it traces
            return
        plain = isinstance(value, bool | int | float | str | None)
        if value is not before and not (plain and exactly(value) == exactly(before)):
            self._drop_compiled()

    def __delattr__(self, name):
        super().__delattr__(name)
        if name not in checks.BOOKKEEPING and CONTEXT.phase is None:
            self._drop_compiled()  # the class may have another value

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
            checks.refuse_no_scalar(loss, fn)
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

    def jvp(self, fn, x, tangent):
        """`fn(x)` and its derivative at `x` along `tangent` (a Jacobian-vector product), float32.

        Within `minimize` both are differentiable again with respect to weights. Nothing that `fn`
        changes (batch statistics, seeds) is to be relied on.

        Args:
            fn: function of `x` to a tensor, or to a structure of tensors.
            x: tensor, or a list of tensors.
            tangent: as `x`, of the same shapes.

        Returns:
            `(value, derivative)`, each in the structure that `fn` returns.

        Raises:
            ValueError: for a tangent of other shapes than `x`.
        """
        shapes = [[tuple(t.shape) for t in tree.flatten(side)] for side in (x, tangent)]
        if shapes[0] != shapes[1]:
            raise ValueError(f"tangent must have the shapes of x, {shapes[0]}; got {shapes[1]}.")
        return backend.jvp(fn, x, tangent)

    def at_step(self, value):
        """A number, or the value of a schedule at the current step, in the graph."""
        return schedules.value(value, self.step)

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

    def preview_by_class(self, n, classes, seed=None):
        """A `preview` of a row for each class, `n` images in all, for 20 classes at most.

        What stands below each other begins with the same noise.
        """
        if classes > 20:
            return {"generated": self.generate(n, seed=seed)}
        rows = (self.generate(max(1, n // classes), c, seed=seed) for c in range(classes))
        return {str(c): row for c, row in enumerate(rows)}

    def no_inputs(self):
        """The error of a `preview` that needs inputs and has none."""
        return ValueError(
            f"{type(self).__name__} makes images of images, so a picture needs some: pass "
            "SampleGrid(inputs=images), or validation_data to fit."
        )

    def validation_examples(self, n):
        """While `fit` runs: the first `n` examples of its validation data, as a tuple, or None."""
        return feed.first_examples(self.__dict__.get("_validation"), n)

    # Players and optimizers.

    @property
    def network_names(self):
        """Names of the networks of all players, in their order."""
        return [name for names in self.players.values() for name in names]

    def variables_of(self, player):
        """The trainable variables of a player's networks, each once.

        Those of a model with stages may depend on `self.stage`.
        """
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
        checks.check_networks(self)
        self.find_image_shape()
        check_image_shape(self)
        checks.check_conditioned(self)
        members = members_of(self, optimizer)
        options = {
            "run_eagerly": run_eagerly,
            "steps_per_execution": steps_per_execution,
            "jit_compile": jit_compile,
        }
        if stages_of(self):
            checks.refuse_averages(self, members)
            makers = {player: maker_of(member) for player, member in members.items()}
            self.__dict__["_as_compiled"] = makers, options
        self._prepare(members, **options)
        self.__dict__["compiled_as"] = self.get_compile_config()

    def _prepare(self, members, **options):
        """Compile with one optimizer for each player; nothing stays of what was compiled before."""
        if stages_of(self):
            members = self.optimizers_of_stage(members)
            checks.check_members(self, members)
        self.train_function = self.test_function = self.predict_function = None
        self._inference.clear()
        super().compile(optimizer=self._joined(members), auto_scale_loss=False, **options)
        self.__dict__["_compiled_optimizer"] = self.optimizer
        self._loss_tracker = None  # the means of `logs` are all there is
        self.ensure_built()
        for player in self.players:
            self._optimizer_of(player).build(self.variables_of(player))
        self.optimizer.built = True

    def _joined(self, members):
        """The optimizers of the players as one, which scale the loss where 16 bits ask for it."""
        if self.dtype_policy.name == "mixed_float16":
            members = {p: LossScale.around(m) for p, m in members.items()}
        return next(iter(members.values())) if len(members) == 1 else OptimizerGroup(members)

    def build(self, input_shape):
        """Nothing to make: networks come built."""
        self.built = True

    # fit, evaluate, predict.

    def fit(
        self,
        x=None,
        y=None,
        batch_size=None,
        epochs=None,
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

        A model with `stages` runs through them, as one training: epochs are numbered through. Its
        stages decide on batches, so `batch_size`, `steps_per_epoch` and `initial_epoch` are left
        out, and data, of `image_shape`, are arrays or kgen's datasets. An epoch that was cut short
        is taken up where it was. At each stage's beginning optimizers begin anew, so a learning
        rate that a callback changed is that of `compile` again; and a callback that monitors a loss
        compares it across stages.

        Args:
            x: images, uint8 in [0, 255] or floats in [-1, 1], shape `(N, H, W, C)` or, for one
                channel, `(N, H, W)`; an `ImageDataset`; a `tf.data.Dataset`, a `PyDataset` or a
                generator of batches.
            y: labels, for arrays.
            batch_size: the minibatch size m of the papers (for arrays 128 by default, or as many
                as there are); one update takes `minibatches_per_update` times as many images. An
                incomplete last batch is left out of training, never of evaluation.
            callbacks: a `kgen.callbacks.TrainingCheckpoint` among them makes the run resumable.
            epochs: as in Keras, 1 by default. Of a model with stages: after how many epochs to
                stop, counted from where the model stands or, with a checkpoint, from where its run
                began; by default at the end of the last stage.
            validation_split, validation_data, verbose, shuffle, initial_epoch, steps_per_epoch,
            validation_steps, validation_batch_size, validation_freq: as in Keras.

        Returns:
            Keras's `History`.

        Raises:
            TypeError, ValueError: if the first batch is not what the model learns from.
            NonFiniteLoss: if a loss becomes NaN or infinite; names the player and the step.
        """
        if class_weight is not None or sample_weight is not None:
            raise ValueError(f"fit got class_weight or sample_weight. {feed.NO_WEIGHTS}")
        self._assert_compile_called("fit")
        checks.check_compiled(self)
        self._check_file()
        epochs = None if epochs is None else whole(epochs, "epochs")
        initial_epoch = whole(initial_epoch, "initial_epoch")
        flag(shuffle, "shuffle")
        validation_split = below(validation_split, 1, "validation_split")
        checks.check_options(
            verbose,
            batch_size=batch_size,
            steps_per_epoch=steps_per_epoch,
            validation_steps=validation_steps,
            validation_batch_size=validation_batch_size,
        )
        callbacks = checks.as_callbacks(callbacks)
        validation_freq = checks.frequency(validation_freq)
        if validation_split and validation_data is None:
            (x, y), validation_data = feed.split(x, y, validation_split)
        plan = self._plan(
            x,
            y,
            shuffle,
            epochs,
            batch_size=batch_size,
            steps_per_epoch=steps_per_epoch,
            initial_epoch=initial_epoch,
        )
        if plan is not None:
            source, batches, initial_epoch = plan.dataset, None, plan.position[0]
            epochs = plan.last(initial_epoch)
        else:
            source = feed.training_source(self, x, y, batch_size, shuffle, steps_per_epoch)
            epochs = 1 if epochs is None else epochs
            if isinstance(source, feed.ImageDataset):
                batches, steps_per_epoch = source.batches_per_epoch, None
                if verbose and (left_out := feed.left_out(source)):
                    print(left_out)
            else:
                batches = steps_per_epoch or getattr(source.data, "num_batches", None)
        if validation_data is not None:
            self._assert_measures()
            validation_data = feed.validation_source(self, validation_data, validation_batch_size)
            once = getattr(validation_data, "is_generator", False) and validation_steps is None
            if once and epochs - initial_epoch > 1:
                raise ValueError(
                    f"validation_data is a generator, which can be read once, and there are "
                    f"{epochs - initial_epoch} epochs: pass an array or a dataset, or say "
                    "validation_steps=."
                )
            if plan is not None:
                plan.check_validation(validation_data)

        checkpoints = [c for c in callbacks if getattr(c, "resumes_runs", False)]
        if len(checkpoints) > 1:
            raise ValueError("A run has one TrainingCheckpoint; got several.")
        checkpoint = checkpoints[0] if checkpoints else None
        data = source.data if isinstance(source, feed.Batches) else source
        run = Run(self, data, checkpoint, callbacks, verbose, epochs, batches, plan)
        run.validates = validation_data is not None
        self.__dict__["_validation"] = validation_data
        self.first_non_finite_step.assign(np.full(len(self.players), -1, "int32"))
        self._initial_epoch = None  # Keras keeps what BackupAndRestore set in an earlier run
        if checkpoint is not None:
            initial_epoch = checkpoint.begin(run, initial_epoch)
        if verbose:
            run.hint_at_few_updates(epochs - initial_epoch)

        options = dict(
            verbose=verbose,
            callbacks=run,
            validation_steps=validation_steps,
            validation_freq=validation_freq,
            shuffle=False,
            steps_per_epoch=steps_per_epoch,
        )
        with run.interruptible():
            if plan is not None:
                self._fit_stages(run, validation_data, initial_epoch, options)
            else:
                self._fit_epochs(run, source, validation_data, initial_epoch, epochs, options)
            run.finish()
        return self.history

    def _fit_epochs(self, run, source, validation_data, initial_epoch, epochs, options):
        """Keras's `fit` for epochs that share their data and what is compiled."""
        validation = None
        if validation_data is not None:
            validation = (feed.for_keras(validation_data, self),)
        with (
            feed.own_errors(source, validation_data),
            finalized_once(self),
            backend.keeping_values(self),
        ):
            for first, last in spans(initial_epoch, run.batch, epochs):
                if run.knows_position:
                    source.set_position(first, run.batch)
                x, span = feed.for_keras(source, self), {"initial_epoch": first, "epochs": last}
                super().fit(x, validation_data=validation, **span, **options)
                run.batch = 0
                if self.stop_training:
                    break

    def evaluate(self, x=None, y=None, batch_size=None, verbose="auto", steps=None, **kwargs):
        """Measure every image once, as `keras.Model.evaluate`; losses by name in a dictionary.

        Takes the data of `fit`. The noise is the same at each call. A model in a stage sees images
        at the stage's size.
        """
        if kwargs.get("sample_weight") is not None:
            raise ValueError(f"evaluate got sample_weight. {feed.NO_WEIGHTS}")
        self._evaluation_random.reset()
        if not kwargs.get("_use_cached_eval_dataset"):
            checks.check_options(verbose, batch_size=batch_size, steps=steps)
            kwargs["callbacks"] = checks.as_callbacks(kwargs.get("callbacks"))
            self._assert_compile_called("evaluate")
            self._check_file()
            x = feed.at_size_of_stage(self, feed.evaluation_source(self, x, y, batch_size))
            y = batch_size = None
        kwargs["return_dict"] = True
        with feed.own_errors(x), backend.keeping_values(self):
            return super().evaluate(feed.for_keras(x, self), verbose=verbose, steps=steps, **kwargs)

    def predict(self, x, batch_size=None, verbose="auto", steps=None, callbacks=None):
        """What `call` returns, as NumPy arrays, in stored order.

        Args:
            x: what `call` takes, as `inputs_in`; or the data of `fit`, in batches of it.
            batch_size, verbose, steps, callbacks: as in Keras.

        Raises:
            TypeError, ValueError: if it is not what `call` takes; says what that is.
        """
        checks.check_options(verbose, batch_size=batch_size, steps=steps)
        callbacks = checks.as_callbacks(callbacks)
        x, batch_size = feed.prediction_source(self, x, batch_size)
        self._check_file()
        with feed.own_errors(x), backend.keeping_values(self):
            outputs = super().predict(
                feed.for_keras(x, self), batch_size, verbose, steps, callbacks
            )
        self._refuse_broken(outputs)
        return outputs


def _by_name(result):
    loss, parts = result if isinstance(result, tuple) else (result, {})
    if not isinstance(parts, dict):
        raise TypeError(
            "objective returns a scalar, or a scalar and a dictionary of the other values that "
            f"`logs` names; the second of its results is {type(parts).__name__}."
        )
    return {"loss": loss, **parts}
