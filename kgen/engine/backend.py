"""The primitives that differ between backends, under the same names for each.

`Steps` (a mixin: `train_step`, `test_step`), `batches`, `value_and_grad`, `input_gradient`,
`jvp`, `apply_gradients`, `compiled`, `move_averages`, `making_variables`, `fold_replica`,
`keeping_values`, `synchronize`, `seed_step`, `unseed_step` and `accelerators`.
"""

import keras

match keras.backend.backend():
    case "tensorflow":
        from kgen.engine.on_tensorflow import (
            Steps,
            accelerators,
            apply_gradients,
            batches,
            compiled,
            fold_replica,
            input_gradient,
            jvp,
            keeping_values,
            making_variables,
            move_averages,
            seed_step,
            synchronize,
            unseed_step,
            value_and_grad,
        )
    case "jax":
        from kgen.engine.on_jax import (
            Steps,
            accelerators,
            apply_gradients,
            batches,
            compiled,
            fold_replica,
            input_gradient,
            jvp,
            keeping_values,
            making_variables,
            move_averages,
            seed_step,
            synchronize,
            unseed_step,
            value_and_grad,
        )
    case "torch":
        from kgen.engine.on_torch import (
            Steps,
            accelerators,
            apply_gradients,
            batches,
            compiled,
            fold_replica,
            input_gradient,
            jvp,
            keeping_values,
            making_variables,
            move_averages,
            seed_step,
            synchronize,
            unseed_step,
            value_and_grad,
        )
    case other:
        raise ImportError(
            f"kgen runs on the Keras backends tensorflow, jax and torch; this one is {other!r}. "
            "Set the environment variable KERAS_BACKEND before Keras is imported."
        )

__all__ = [
    "Steps",
    "accelerators",
    "apply_gradients",
    "batches",
    "compiled",
    "fold_replica",
    "input_gradient",
    "jvp",
    "keeping_values",
    "making_variables",
    "move_averages",
    "seed_step",
    "synchronize",
    "unseed_step",
    "value_and_grad",
]
