"""What a model and its run hold, as arrays and descriptions."""

import keras
import pytest
from toy import ToyGAN

from kgen.engine import state


def test_the_state_of_another_model_is_refused():
    model, other = ToyGAN(), ToyGAN(batch_norm=False)
    model.compile(), other.compile()
    with pytest.raises(ValueError, match="another model"):
        state.restore(model, state.capture(other))


def test_descriptions_ignore_automatic_names():
    a = ToyGAN()
    keras.layers.Dense(3)  # moves Keras's counters of names
    b = ToyGAN()
    a.compile(), b.compile()
    assert state.differences(state.describe(a), state.describe(b)) == []
    b.compile({"generator": keras.optimizers.Adam(5e-4)})
    (line,) = [
        d for d in state.differences(state.describe(a), state.describe(b)) if "learning_rate" in d
    ]
    assert "generator" in line and "0.001" in line and "0.0005" in line
