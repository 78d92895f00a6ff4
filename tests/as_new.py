"""Models that tests share, because compiling takes longest: each test finds them as new.

A model is put back to what it was when it was made: weights, optimizers, seeds, counters. One test
has one at a time; what it compares is kept by `state.capture`.
"""

from kgen.engine import state

_MADE = {}


def as_new(name, make):
    """The compiled model that `make` returned when this name was asked for first, put back."""
    if name not in _MADE:
        model = make()
        _MADE[name] = model, state.capture(model)
    model, new = _MADE[name]
    state.capture(model)  # which lets a `fit` that was cut give its variables back
    state.restore(model, new)
    return model
