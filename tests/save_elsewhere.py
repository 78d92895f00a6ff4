"""Train a case of the conformance suite and save it: `python save_elsewhere.py CASE FOLDER`."""

import pathlib
import sys

import keras
import numpy as np
from cases import CASES

if __name__ == "__main__":
    (case,) = [c for c in CASES if c.name == sys.argv[1]]
    folder = pathlib.Path(sys.argv[2])
    keras.utils.set_random_seed(0)
    model = case.make()
    model.compile()
    model.fit(*case.first(), batch_size=case.batch_size, epochs=1, verbose=0)
    outputs = {"generated": model.generate(6, seed=2)}
    if hasattr(model, "encode"):
        outputs["encoded"] = model.encode(case.data[:20])
    np.savez(folder / "outputs.npz", **outputs)
    model.save(folder / "model.keras")
