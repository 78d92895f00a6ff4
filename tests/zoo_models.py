"""Small trained models and what the zoo wants to know of them."""

import keras
import numpy as np
from toy import ToyGAN, points

import kgen

CARD = {
    "what": "A model of a test.",
    "command": "python -m recipes.vae --seed 3",
    "data": "digits",
    "license": kgen.data.license("digits"),
    "seed": 3,
    "seconds": 12.5,
    "metrics": {"loss": np.float32(0.5)},
}


@keras.saving.register_keras_serializable("kgen_tests")
class AveragedGAN(ToyGAN):
    """Generates by its average: the discriminator and the raw generator are for training only."""

    def inference_networks(self):
        return {"generator": self.generator_average.model}


def images(n=64):
    return np.random.default_rng(0).integers(0, 256, (n, 8, 8), "uint8")


def trained_vae(dtype="float32", **options):
    vae = kgen.VAE((8, 8), dtype=dtype, **options)
    vae.compile()
    vae.fit(images(), batch_size=32, verbose=0)
    return vae


def trained_gan(cls=AveragedGAN):
    gan = cls(k=1)
    gan.compile()
    gan.fit(points(256), batch_size=32, verbose=0)
    return gan
