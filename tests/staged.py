"""A tiny model that grows: in its second stage a second network joins, on larger images."""

import functools

import keras
import numpy as np
from keras import layers, ops

import kgen
from kgen.engine import Stage

STAGES = (
    Stage(epochs=3, steps_per_epoch=2, batch_size=16, image_size=4, name="4x4"),
    Stage(epochs=2, steps_per_epoch=3, batch_size=8),
)


@keras.saving.register_keras_serializable("kgen_tests")
class Growing(kgen.GenerativeModel):
    """Takes noise out of images: `coarse` at 4x4; at 8x8 `fine` learns what is missing, too.

    The rate of `coarse` is halved in the second stage.
    """

    players = {"coarse": ["coarse"], "fine": ["fine"]}
    logs = ("loss", "size")
    traces = 0

    def __init__(self, coarse=None, fine=None, table=STAGES, **kwargs):
        kwargs, dtype = {"image_shape": (8, 8)} | kwargs, kwargs.get("dtype")
        super().__init__(coarse=coarse or network(dtype), fine=fine or network(dtype), **kwargs)
        self.table = tuple(s if isinstance(s, Stage) else Stage(**s) for s in table)
        self.average = kgen.MovingAverage(self.coarse, decay=0.9)

    def get_config(self):
        table = [{**stage.get_config(), "name": stage.name} for stage in self.table]
        return {**super().get_config(), "table": table}

    def stages(self):
        return self.table

    def variables_of(self, player):
        return super().variables_of(player) if player == "coarse" or self.stage else []

    def optimizers_of_stage(self, optimizers):
        if self.stage:
            optimizers["coarse"].learning_rate = optimizers["coarse"].learning_rate / 2
        return optimizers

    def cleaned(self, images, training=False):
        y = self.coarse(images, training=training)
        return y + self.fine(images, training=training) if self.stage else y

    def error(self, images, training):
        noise = keras.random.normal(ops.shape(images), seed=self.random)
        return ops.mean(ops.square(self.cleaned(images + 0.1 * noise, training) - images))

    def update(self, images):
        type(self).traces += 1
        loss = self.minimize("coarse", self.error, images)
        if self.stage:
            loss = self.minimize("fine", self.error, images)
        self.average.update()
        return {"loss": loss, "size": float(images.shape[1])}

    def measure(self, images):
        return {"loss": self.error(images, training=False), "size": float(images.shape[1])}

    def call(self, inputs, training=False):
        return self.cleaned(inputs, training)

    def in_stage(self, images):
        return 0 * images + self.stage


def network(dtype=None):
    return keras.Sequential(
        [
            keras.Input((None, None, 1)),
            layers.Dense(4, dtype=dtype),
            layers.BatchNormalization(dtype=dtype),
            layers.Dropout(0.1, seed=1, dtype=dtype),
            layers.Dense(1, dtype="float32"),
        ]
    )


def growing(optimizer=None, table=STAGES, dtype=None, **options):
    """Compiled; the same each time, whatever was built before it in this process."""
    keras.utils.clear_session(free_memory=False)
    keras.utils.set_random_seed(3)
    model = Growing(table=table, dtype=dtype)
    model.compile(optimizer, **options)
    return model


@functools.cache
def images(n=40, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, 8, 8, 1), "uint8")
