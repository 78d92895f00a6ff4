"""Fit a small adversarial model on simulated devices: `python on_devices.py NUMBER [NUMBER ...]`.

Prints losses, weights and noise as JSON, a line for each number: devices are made when a backend
starts, so each number has a process that is forked before. The model's latents are computed from
its batch, so that runs on one and on several devices see the same numbers; SGD, no batch
normalisation, no dropout, k = 2 steps with a gradient penalty, a moving average.
"""

import contextlib
import json
import os
import sys

import keras
import numpy as np
from keras import layers, ops
from toy import ToyGAN, points

import kgen


@keras.saving.register_keras_serializable("kgen_tests")
class Quiet(ToyGAN):
    """The toy with latents and interpolation weights that are functions of the batch."""

    def noise(self, real):
        return ops.tile(ops.sin(7 * real), (1, 4))

    def critic_inputs(self, real, training):
        fake = ops.stop_gradient(self.generator(self.noise(real), training=training))
        return real, fake, 0.5 + 0.5 * ops.cos(5 * real[:, :1])


@keras.saving.register_keras_serializable("kgen_tests")
class Noise(kgen.GenerativeModel):
    """Writes the noise that each image of a batch gets into a variable, by the image's number."""

    players = {"model": ["network"]}

    def __init__(self, n, **kwargs):
        super().__init__((1,), **kwargs)
        self.drawn = self.add_weight(
            shape=(n, 4), initializer="zeros", trainable=False, aggregation="sum", name="drawn"
        )

    def objective(self, batch, training):
        n = self.drawn.shape[0]
        noise = keras.random.normal((ops.shape(batch)[0], 4), seed=self.random)
        place = ops.one_hot(ops.cast(batch[:, 0], "int32"), n)
        self.drawn.assign(ops.matmul(ops.transpose(place), noise))
        return 0 * ops.sum(self.network(batch, training=training))


def strategy(devices):
    """Context in which models are made, and the number of replicas."""
    if keras.backend.backend() == "jax":
        import jax

        assert len(jax.devices()) == devices
        if devices > 1:
            keras.distribution.set_distribution(keras.distribution.DataParallel())
        return contextlib.nullcontext, devices
    import tensorflow as tf

    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(
        cpu, [tf.config.LogicalDeviceConfiguration() for _ in range(devices)]
    )
    if devices == 1:
        return contextlib.nullcontext, 1
    mirrored = tf.distribute.MirroredStrategy([f"CPU:{i}" for i in range(devices)])
    return mirrored.scope, mirrored.num_replicas_in_sync


def main(devices):
    scope, replicas = strategy(devices)
    keras.utils.set_random_seed(0)
    with scope():
        model = Quiet(k=2, batch_norm=False, dropout=0)
        model.compile(
            {player: keras.optimizers.SGD(0.02) for player in model.players}, jit_compile="auto"
        )
    history = model.fit(
        points(256), batch_size=32, epochs=3, verbose=0, validation_data=points(64, 1)
    ).history
    with scope():
        network = keras.Sequential([keras.Input((1,)), layers.Dense(1)])
        noisy = Noise(16, network=network)
        noisy.compile("sgd", jit_compile="auto")
    noisy.fit(np.arange(16, dtype="float32")[:, None], batch_size=16, verbose=0, shuffle=False)
    flat = lambda network: np.concatenate(  # noqa: E731
        [ops.convert_to_numpy(w).ravel() for w in network.weights]
    ).tolist()
    print(
        json.dumps(
            {
                "replicas": replicas,
                "losses": history,
                "weights": flat(model.generator) + flat(model.discriminator),
                "average": flat(model.generator_average.model),
                "step": int(ops.convert_to_numpy(model.step)),
                "iterations": int(ops.convert_to_numpy(model.optimizer["generator"].iterations)),
                "noise": ops.convert_to_numpy(noisy.drawn).tolist(),
            }
        )
    )


if __name__ == "__main__":
    for devices in map(int, sys.argv[1:]):
        if child := os.fork():
            _, status = os.waitpid(child, 0)
            assert status == 0
        else:
            os.environ["XLA_FLAGS"] = f"--xla_force_host_platform_device_count={devices}"
            main(devices)
            sys.stdout.flush()
            os._exit(0)
