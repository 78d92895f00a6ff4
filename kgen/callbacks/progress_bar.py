"""How far a training is: one bar, not a line for each epoch."""

import time

import keras
from keras import ops

from kgen.engine.stages import speed_of_stage
from kgen.progress import progress


class ProgressBar(keras.callbacks.Callback):
    """A bar of epochs with the time that is left and the losses; a line now and then in log files.

    Names the stage, where the model has stages, and says at its end how fast it was.

    For `fit(verbose=0)`. In a terminal the bar appears after two seconds and is gone at the end.

    Args:
        what: written before the bar.
        every: seconds from one line to the next where there is no terminal.
    """

    has_state = False

    def __init__(self, what="training", every=30):
        super().__init__()
        self.what, self.every = what, every

    def on_train_begin(self, logs=None):
        """Begin."""
        self.begun = self.said = time.monotonic()
        self.bar, self.first, self.stage = None, None, None

    def on_epoch_begin(self, epoch, logs=None):
        """Begin with the first epoch of this run, which may be a later one."""
        if self.bar is None:
            self.first, epochs = epoch, self.params["epochs"]
            self.bar = progress(None, epochs, self.what)
            self.bar.update(epoch)
        if self.params.get("stage") != (self.stage or {}).get("stage"):
            self._end_stage()
            self.stage, self.updates, self.began = self.params, self._updates(), time.monotonic()
        self.bar.set_description(self._named(), refresh=False)

    def _end_stage(self):
        if self.stage is not None:
            updates, seconds = self._updates() - self.updates, time.monotonic() - self.began
            self.bar.write(speed_of_stage(self.stage, updates, seconds))

    def _updates(self):
        return int(ops.convert_to_numpy(self.model.step))

    def on_epoch_end(self, epoch, logs=None):
        """Go on, and say with what losses."""
        shown = {name: f"{float(value):.4g}" for name, value in list((logs or {}).items())[:3]}
        self.bar.set_postfix(shown, refresh=False)
        self.bar.update(1)
        now, epochs = time.monotonic(), self.params["epochs"]
        if self.bar.disable and now - self.said >= self.every:
            left = (now - self.begun) / (epoch + 1 - self.first) * (epochs - epoch - 1)
            losses = ", ".join(f"{name} {value}" for name, value in shown.items())
            done = f"{self._named()}: epoch {epoch + 1} of {epochs}"
            left = f"; {left:.0f} s left" if self.stage is None else ""  # later ones are slower
            print(f"{done}, {losses}{left}", flush=True)
            self.said = now

    def _named(self):
        stage = self.params.get("stage")
        return f"{self.what}, {stage}" if stage else self.what

    def on_train_end(self, logs=None):
        """Take the bar away."""
        if self.bar is not None:
            self._end_stage()
            self.bar.close()
