"""Train cases of the conformance suite and save them: `save_elsewhere.py FOLDER CASE ...`."""

import pathlib
import sys

import keras
import numpy as np
from cases import CASES

if __name__ == "__main__":
    folder, names = pathlib.Path(sys.argv[1]), sys.argv[2:]
    for case in [c for c in CASES if c.name in names]:
        keras.utils.clear_session()
        keras.utils.set_random_seed(0)
        model = case.make()
        model.compile()
        model.fit(*case.first(), batch_size=case.batch_size, epochs=1, verbose=0)
        outputs = {"generated": model.generate(6, seed=2)}
        if hasattr(model, "encode"):
            outputs["encoded"] = model.encode(case.data[:20])
        np.savez(folder / f"{case.name}.npz", **outputs)
        model.save(folder / f"{case.name}.keras")
