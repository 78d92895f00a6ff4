"""Train and save on the backend of this process: `save_elsewhere.py FOLDER CASE ...`.

Cases of the conformance suite, `CASE.keras`, with what they generate and encode, `CASE.npz`; and
models of the zoo in the folder `zoo`, with what they generate; and the networks of progressive
growing, with what they make at each level.
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
        case.fit(model, epochs=1)
        outputs = {"generated": case.images(model, 6, seed=2)}
        if hasattr(model, "encode"):
            outputs["encoded"] = model.encode(*case.first(20))
        np.savez(folder / f"{case.name}.npz", **outputs)
        model.save(folder / f"{case.name}.keras")


def save_zoo(folder):
    keras.utils.set_random_seed(0)
    for name, model in (("vae", trained_vae()), ("gan", trained_gan())):
        for dtype in ("float32", "float16"):
            kgen.zoo.save(model, f"{name}_{dtype}", folder, dtype=dtype, **CARD)
    for name in kgen.zoo.list(folder):
        np.save(folder / f"{name}.npy", kgen.zoo.load(name, folder).generate(6, seed=2))


def progressive_outputs(networks):
    """What generator and discriminator make at each level, half faded in."""
    z, outputs = np.random.default_rng(0).normal(size=(5, 4)).astype("float32"), []
    for level in range(2):
        images = networks[0](z, level=level, alpha=0.5)
        outputs += [images, networks[1](images, level=level, alpha=0.5)]
    return [keras.ops.convert_to_numpy(output) for output in outputs]


def save_progressive(folder):
    narrow = {"filters_base": 16, "max_filters": 8}
    networks = [
        kgen.networks.progressive_generator((8, 8, 3), 4, **narrow),
        kgen.networks.progressive_discriminator((8, 8, 3), **narrow),
    ]
    for network in networks:
        network.save(folder / f"progressive_{network.name}.keras")
    np.savez(folder / "progressive.npz", *progressive_outputs(networks))


if __name__ == "__main__":
    folder = pathlib.Path(sys.argv[1])
    save_cases(folder, sys.argv[2:])
    save_zoo(folder / "zoo")
    save_progressive(folder)
