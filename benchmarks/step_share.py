"""How much of `fit`'s time is spent in the compiled step.

    KERAS_BACKEND=jax python -m benchmarks.step_share

Alternates, in one run, `fit` on arrays and the bare step on a batch that is already on the device,
for the same number of steps, and prints the median share and its range:

- the MLP VAE (784-512-10), batch 128;
- the convolutional VAE at 28x28, batch 128.
"""

import argparse
import itertools
import platform
import statistics
import time

import keras
import numpy as np

import kgen
from benchmarks import harness


def bare_steps(model, images, steps):
    """Seconds that `steps` calls of the compiled step take, one batch on the device."""
    backend = keras.backend.backend()
    start = time.perf_counter()
    if backend == "jax":
        import jax

        batch = (jax.device_put(images),)
        state = model._get_jax_state(
            trainable_variables=True,
            non_trainable_variables=True,
            optimizer_variables=True,
            metrics_variables=True,
        )
        state = jax.tree.map(lambda a: a.copy(), state)  # the step donates its state
        jax.block_until_ready(state)
        start = time.perf_counter()
        for _ in range(steps):
            logs, state = model.train_function(state, itertools.repeat(batch))
        jax.block_until_ready(state)
    elif backend == "tensorflow":
        import tensorflow as tf

        batches = itertools.repeat((tf.constant(images),))
        start = time.perf_counter()
        for _ in range(steps):
            logs = model.train_function(batches)
        float(logs["loss"])
    else:
        batch = [(keras.ops.convert_to_tensor(images),)]
        start = time.perf_counter()
        for _ in range(steps):
            model.train_function(batch)
    return time.perf_counter() - start


def measure(name, network, latent_dim, steps, rounds):
    """Print the share for one model."""
    images = np.random.default_rng(0).integers(0, 256, (steps * 128, 28, 28), "uint8")
    model = kgen.VAE((28, 28), latent_dim, reconstruction="bernoulli", network=network)
    model.compile()
    model.fit(images[: 128 * 4], batch_size=128, verbose=0)  # compiles
    bare_steps(model, images[:128, ..., None], 4)
    shares, speeds = [], []
    for _ in range(rounds):
        step = bare_steps(model, images[:128, ..., None], steps)
        start = time.perf_counter()
        model.fit(images, batch_size=128, verbose=0)
        whole = time.perf_counter() - start
        shares.append(step / whole)
        speeds.append(len(images) / whole)
    print(
        f"{name:<22} {keras.backend.backend():<10} share of the step: median "
        f"{statistics.median(shares):.1%} ({min(shares):.1%} to {max(shares):.1%}), fit "
        f"{statistics.median(speeds):,.0f} images/s, {rounds} rounds of {steps} steps"
    )


def main(argv=None):
    """Measure both models."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=harness.positive, default=5)
    parser.add_argument(
        "--steps", type=harness.positive, default=400, help="of the MLP; half for the other"
    )
    arguments = parser.parse_args(argv)
    print(f"{platform.machine()}, Python {platform.python_version()}, Keras {keras.__version__}")
    measure("MLP VAE 784-512-10", "dense", 10, arguments.steps, arguments.rounds)
    measure("convolutional VAE 28x28", "convolutional", 10, arguments.steps // 2, arguments.rounds)


if __name__ == "__main__":
    harness.command(main)
