"""One call of `fit`: its callbacks, its place in the data, its checkpoint, its early end."""

import contextlib
import math
import signal
import threading
import time

import keras
import numpy as np
from keras import ops

from kgen.engine import backend
from kgen.engine.preflight import check_callbacks, check_hooks
from kgen.engine.stages import speed_of_stage

FEW_UPDATES = 200  # fewer in a whole run get a hint


class NonFiniteLoss(ArithmeticError):
    """A player's loss became NaN or infinite, or the gradient that moved its weights."""


def _finite(variables):
    return all(np.isfinite(ops.convert_to_numpy(v)).all() for v in variables)


class Run(keras.callbacks.CallbackList):
    """The callbacks of one `fit`, told of its beginning and its end once.

    A run that is resumed in mid-epoch calls Keras's `fit` twice: for the rest of that epoch, and
    for the epochs that follow. What must come after every other callback (checkpoints) and what
    must not be dispatched to a thread (reading the variables) is done here.

    Args:
        model: the `GenerativeModel`.
        source: the training data; an `ImageDataset` knows its position.
        checkpoint: None, or a `TrainingCheckpoint`.
        callbacks: the other callbacks.
        verbose, epochs, steps: as Keras gives them to callbacks.
        plan: None, or the `Plan` of the model's stages. Callbacks then find the name of the stage
            under `"stage"` in their `params`, beside the steps of its epochs.
    """

    look_every = 100  # batches between two looks at the losses

    def __init__(self, model, source, checkpoint, callbacks, verbose, epochs, steps, plan=None):
        super().__init__(
            callbacks,
            add_history=True,
            add_progbar=verbose != 0,
            model=model,
            verbose=verbose,
            epochs=epochs,
            steps=steps,
        )
        self.source, self.checkpoint, self.steps = source, checkpoint, steps
        self.epoch = self.batch = 0
        self._first_batch = 0
        self.plan, self.first_epoch = plan, 0
        if plan is not None:
            self.first_epoch = plan.position[0]
            self.resume(*plan.position)
        self._begun, self._passes, self._update = False, None, None
        self._outside, self.validates = (), False
        self._signal = None

    @property
    def knows_position(self):
        """Whether the data can continue at a position (kgen's own datasets can)."""
        return hasattr(self.source, "set_position")

    def resume(self, epoch, batch):
        """Start at this position, everything else being restored."""
        self.epoch, self.batch, self._first_batch = epoch, batch, batch

    def begin_at(self, epoch):
        """Let the epochs of a run with stages count from this one."""
        self.first_epoch = epoch
        self.set_params({**self.params, "epochs": self.plan.last(epoch)})

    def tell_stage(self, number):
        """Let callbacks know the name of a stage, its batches, and what comes after."""
        self.steps = self.plan.steps[number]
        self.set_params({**self.params, "steps": self.steps, **self.plan.params(number)})

    def begin_stage(self, number, source):
        """Go on with the data of a stage; says so."""
        self.source, self._passes = source, self.plan.passes(number)
        self.tell_stage(number)
        if self.params["verbose"]:
            print(self.plan.says(number))
        self._stage_began = time.monotonic(), int(ops.convert_to_numpy(self.model.step))

    def end_stage(self):
        """Say how fast a stage was, and what is left."""
        if self.params["verbose"]:
            begun, updates = self._stage_began
            updates = int(ops.convert_to_numpy(self.model.step)) - updates
            print(speed_of_stage(self.params, updates, time.monotonic() - begun))

    def number_of(self, epoch, batch):
        """Number of a position, by which checkpoints are ordered: it grows during a run."""
        if self.plan is not None:
            return self.plan.updates(epoch, batch)
        return epoch * (10**6 if self.steps is None else self.steps) + batch

    def is_place(self, epoch, batch, updates, initial_epoch):
        """Whether a run that began at `initial_epoch` can be there after so many updates."""
        if self.plan is not None:
            return (epoch, batch) == self.plan.place(updates)
        batches = self.source.batches_per_epoch if self.knows_position else 1
        return batch < batches and epoch - initial_epoch <= updates

    def hint_at_few_updates(self, epochs):
        """Say once, before the first update, where a run will hardly have begun to learn."""
        updates = (self.steps or 0) * epochs
        if 0 < updates < FEW_UPDATES and not int(ops.convert_to_numpy(self.model.step)):
            print(
                f"{self.steps} updates an epoch x {epochs} epochs = {updates} updates, few to "
                "learn from: smaller batches or more epochs make more."
            )

    # Keras calls these.

    def on_train_begin(self, logs=None):
        """Begin once; then let the checkpoint give the callbacks their state back."""
        if self._begun:
            return
        self._begun = True
        check_hooks(self, self.validates)
        super().on_train_begin(logs)
        check_callbacks(self, self.validates)
        if self.checkpoint is not None:
            self.checkpoint.callbacks_begun(self)

    def on_epoch_begin(self, epoch, logs=None):
        """Set the position of the data: it depends on nothing but updates and the batch."""
        self.epoch, self.batch = epoch, self._first_batch
        if self._update is None:
            self._find_place()
        if self.knows_position:
            self.source.set_position(epoch + self._passes, self._first_batch)
        super().on_epoch_begin(epoch, logs)
        if self._first_batch and self.checkpoint is not None and self.checkpoint.has_restored:
            self.checkpoint.restore(self)  # what callbacks do here was done before the cut

    def on_train_batch_begin(self, batch, logs=None):
        """Count batches from the epoch's beginning, not from where it was resumed.

        Generators outside the model are seeded for the step, by the number of its update.
        """
        super().on_train_batch_begin(batch + self._first_batch, logs)
        self._outside = backend.seed_step(self.model.seed, 2, self._update)

    def on_train_batch_end(self, batch, logs=None):
        """Pass on; then look at the losses now and then, and save if a checkpoint is due."""
        backend.unseed_step(self._outside)
        before, self.batch = self.batch, batch + self._first_batch + 1
        self._update += self.batch - before
        super().on_train_batch_end(self.batch - 1, logs)
        last = not self.knows_position or self.batch >= self.source.batches_per_epoch
        if self.batch // self.look_every != before // self.look_every:
            self._look_at(logs)
        if not self.knows_position:
            self._obey_signal()
        elif not last:  # after the last one comes the epoch's end
            due = self.checkpoint is not None and self.checkpoint.is_due(self.batch - before)
            if due or self._signal is not None:
                self._flush_futures()
                self.save(self.epoch, self.batch)
            self._obey_signal()

    def on_epoch_end(self, epoch, logs=None):
        """Pass on; then check the losses and save, after every other callback."""
        self._first_batch = 0
        self.refuse_non_finite()
        super().on_epoch_end(epoch, logs)
        cut_short = self.plan is not None and self.batch < self.steps  # by a callback
        self.save(*((epoch, self.batch) if cut_short else (epoch + 1, 0)))
        self._obey_signal()

    def on_train_end(self, logs=None):
        """Nothing yet: `finish` ends the run."""
        self._logs = logs

    def finish(self):
        """Tell the callbacks that training has ended."""
        if not self._begun:  # nothing was left to train
            self.on_train_begin()
        super().on_train_end(getattr(self, "_logs", None))
        self._obey_signal()

    def _find_place(self):
        """How many updates the model has behind it, and whole passes over data such as this.

        So a run goes on where the one before it stopped, or the file that was loaded. An epoch that
        was cut short counts: its order is not repeated, unless it is resumed in its midst. (Of a
        model with stages it always is, and the plan says which pass an epoch is.)
        """
        backend.synchronize(self.model)
        self._update = int(ops.convert_to_numpy(self.model.step))
        if self.plan is None:
            batches = self.source.batches_per_epoch if self.knows_position else 1
            self._passes = -((self.batch - self._update) // batches) - self.epoch

    # The engine calls these.

    def save(self, epoch, batch):
        """Write a checkpoint at this position, if there is a checkpoint and all is finite."""
        if self.checkpoint is not None:
            self.refuse_non_finite()
            self.checkpoint.save(self, epoch, batch)

    def refuse_non_finite(self):
        """Stop the run if a loss or a weight is not finite; names the player and the step.

        A gradient can be NaN where the loss is not: such weights would be saved as good.

        Raises:
            NonFiniteLoss: as said.
        """
        model = self.model
        backend.synchronize(model)
        steps = ops.convert_to_numpy(model.first_non_finite_step)
        if (steps >= 0).any():
            index = int(np.argmin(np.where(steps < 0, np.iinfo("int32").max, steps)))
            what, player, step = "loss", list(model.players)[index], int(steps[index])
        else:
            what, step = "gradient", int(ops.convert_to_numpy(model.step)) - 1
            broken = (p for p in model.players if not _finite(model.variables_of(p)))
            if (player := next(broken, None)) is None:
                return
        done = int(ops.convert_to_numpy(model.step))
        raise NonFiniteLoss(
            f"The {what} of player {player!r} is not finite at step {step} "
            f"(epoch {self.epoch + 1}). {self._data_of(step - done)}"
            + (self.checkpoint.told() if self.checkpoint is not None else "")
        )

    def _data_of(self, back):
        """What the batch of a step has to do with its loss, and what to do.

        Args:
            back: of the step, counted from the next one: -1 is the last.
        """
        advice = (
            "What usually helps: a lower learning rate, clipped gradients (clipnorm=1.0 in the "
            "optimizer), or float32 instead of float16."
        )
        if not self.knows_position:  # of data in batches, each was looked at as it passed
            return advice
        epoch = self.epoch + self._passes
        number = epoch * self.source.batches_per_epoch + self.batch + back
        broken = self.source.not_finite(number)
        if not broken:
            return advice
        return (
            f"Its batch holds NaN or infinite values, which no rate can mend: in the examples "
            f"{broken[:10]} of {self.source.name!r}, counted from 0. Clean the data or leave them "
            "out."
        )

    def _look_at(self, logs):
        # The running means stay NaN once a loss was: one look at them finds it.
        values = [float(ops.convert_to_numpy(v)) for v in (logs or {}).values()]
        if not all(math.isfinite(v) for v in values):
            self.refuse_non_finite()

    def _obey_signal(self):
        if self._signal is None:
            return
        if self._signal == signal.SIGTERM:
            raise SystemExit(128 + signal.SIGTERM)
        raise KeyboardInterrupt

    @contextlib.contextmanager
    def interruptible(self):
        """With a checkpoint, let Ctrl-C and SIGTERM finish the step and save before they stop.

        A step that is cut in two would leave variables that belong to no position. A second
        Ctrl-C stops at once. However the run ends, its folder is free for others.
        """
        if self.checkpoint is None:
            yield
            return

        def note(number, frame):
            if self._signal is not None:
                raise KeyboardInterrupt
            self._signal = number

        main = threading.current_thread() is threading.main_thread()
        signals = (signal.SIGINT, signal.SIGTERM) if main else ()
        before = {n: signal.signal(n, note) for n in signals}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
            self.checkpoint.end()


def spans(initial_epoch, batch, epochs):
    """Ranges of epochs for Keras's `fit`: a resumed epoch is shorter than those that follow."""
    if batch and initial_epoch < epochs:
        yield initial_epoch, initial_epoch + 1
        initial_epoch += 1
    if initial_epoch < epochs:
        yield initial_epoch, epochs
