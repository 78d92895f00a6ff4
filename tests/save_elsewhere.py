"""Train and save on the backend of this process: `save_elsewhere.py FOLDER CASE ...`.

Cases of the conformance suite, `CASE.keras`, with what they generate and encode, `CASE.npz`; and
models of the zoo in the folder `zoo`, with what they generate.
"""

import pathlib
import sys

import keras
import numpy as np
from cases import CASES
from zoo_models import CARD, trained_gan, trained_vae

import kgen


def save_cases(folder, names):
    for case in [c for c in CASES if c.name in names]:
        keras.utils.clear_session(free_memory=False)
        keras.utils.set_random_seed(0)
        model = case.make()
        model.compile()
        model.fit(*case.first(), batch_size=case.batch_size, epochs=1, verbose=0)
        outputs = {"generated": case.images(model, 6, seed=2)}
        if hasattr(model, "encode"):
            outputs["encoded"] = model.encode(case.data[:20])
        np.savez(folder / f"{case.name}.npz", **outputs)
        model.save(folder / f"{case.name}.keras")


def save_zoo(folder):
    keras.utils.set_random_seed(0)
    for name, model in (("vae", trained_vae()), ("gan", trained_gan())):
        for dtype in ("float32", "float16"):
            kgen.zoo.save(model, f"{name}_{dtype}", folder, dtype=dtype, **CARD)
    for name in kgen.zoo.list(folder):
        np.save(folder / f"{name}.npy", kgen.zoo.load(name, folder).generate(6, seed=2))


if __name__ == "__main__":
    folder = pathlib.Path(sys.argv[1])
    save_cases(folder, sys.argv[2:])
    save_zoo(folder / "zoo")
