"""What is seen of a model while it learns."""

import keras
import numpy as np


class Snapshots(keras.callbacks.Callback):
    """Keeps what a function finds in the model at some moments of its training.

        seen = Snapshots(lambda gan: gan.generate(12, seed=0), Snapshots.moments(100))
        gan.fit(x, epochs=100, callbacks=[seen])
        first = seen.kept["0"]  # before training

    Args:
        take: function of the model; what it returns is kept: arrays, numbers, and lists, tuples and
            dictionaries of them are kept by `TrainingCheckpoint`, too.
        epochs: after which epochs, 0 before the first; None: 0, and after each.

    Attributes:
        kept: dictionary from the number of epochs, a text, to what was taken then.
    """

    def __init__(self, take, epochs=None):
        super().__init__()
        self.take = take
        self.epochs = None if epochs is None else {int(epoch) for epoch in epochs}
        self.kept = {}

    @staticmethod
    def moments(epochs, count=5, first=None):
        """So many epochs, ever further apart, since most happens early: a sorted list.

        Args:
            epochs: the last of them.
            count: how many, at most.
            first: the first of them; by default a twentieth of the last.
        """
        first = max(1, epochs / 20) if first is None else first
        between = np.geomspace(first, epochs, count) if count > 1 else [epochs]
        return np.unique(np.round(between).astype(int)).tolist()

    def on_train_begin(self, logs=None):
        """Take what is there before training."""
        if int(getattr(self.model, "step", 0)) == 0:
            self._take(0)

    def on_epoch_end(self, epoch, logs=None):
        """Take, if it is time."""
        self._take(epoch + 1)

    def _take(self, epoch):
        if self.epochs is None or epoch in self.epochs:
            self.kept[str(epoch)] = self.take(self.model)
