"""What the running step knows: its phase and, on JAX, the scope that holds the variables' values.

Kept per thread and never on the model, where Keras would track it: tracers would leak and files
break. (Under `tf.distribute` each replica traces in a thread of its own.)
"""

import contextlib
import threading

TRAINING, EVALUATION = "training", "evaluation"


class _Context(threading.local):
    phase = None  # outside of any step
    scope = None
    variables = ()


CONTEXT = _Context()


@contextlib.contextmanager
def running(**changes):
    """Set fields of the context for the length of a block."""
    before = {name: getattr(CONTEXT, name) for name in changes}
    try:
        for name, value in changes.items():
            setattr(CONTEXT, name, value)
        yield CONTEXT
    finally:
        for name, value in before.items():
            setattr(CONTEXT, name, value)
