"""The networks and settings of two published Keras examples, for 28x28 images in [-1, 1].

`dcgan`: "DCGAN to generate face images" (fchollet),
https://keras.io/examples/generative/dcgan_overriding_train_step. At 28x28 its generator begins with
7x7 pixels instead of 8x8 and lacks the third transposed convolution, of 512 channels; the range
needs tanh where it had a sigmoid, and a logit is left as it is. What the example does beside its
networks and is not in the table: the labels of both kinds of images are raised by noise from
[0, 0.05], and the loss is the mean, not the sum, over real and generated images.

`settings`: those of the same example for the networks of Radford et al. (2016), kgen's.

`wgan_gp`: "WGAN-GP overriding Model.train_step" (A_K_Nain),
https://keras.io/examples/generative/wgan_gp. It sees 28x28 as 32x32. Its steps of the discriminator
all see the same real images, and the penalty's points lie at weights drawn from a normal
distribution, where the paper has a uniform one.
"""

import functools
import math

import keras
from keras import layers

from kgen import networks


def dcgan_generator(image_shape=(28, 28, 1), latent_dim=128):
    """Latents `(N, latent_dim)` to images in [-1, 1]: the published network with tanh.

    Sides are doubled from at most 8 pixels up; at 64x64x3 all layers are the published ones.
    """
    height, width, channels = image_shape
    stages = math.ceil(math.log2(max(height, width) / 8))
    smallest = (height >> stages, width >> stages, 128)
    inputs = keras.Input((latent_dim,))
    x = layers.Reshape(smallest)(layers.Dense(math.prod(smallest))(inputs))
    for stage in range(stages):
        x = layers.Conv2DTranspose(128 * 2**stage, 4, 2, "same")(x)
        x = layers.LeakyReLU(negative_slope=0.2)(x)
    x = layers.Conv2D(channels, 5, padding="same", activation="tanh")(x)
    return keras.Model(inputs, x, name="generator")


def dcgan_discriminator(image_shape=(28, 28, 1)):
    """Images to logits `(N, 1)`: the published network without its sigmoid."""
    inputs = x = keras.Input(image_shape)
    for channels in (64, 128, 128):
        x = layers.Conv2D(channels, 4, 2, "same")(x)
        x = layers.LeakyReLU(negative_slope=0.2)(x)
    x = layers.Dropout(0.2)(layers.Flatten()(x))
    return keras.Model(inputs, layers.Dense(1)(x), name="discriminator")


def wgan_gp_generator(image_shape=(28, 28, 1), latent_dim=128):
    """Latents `(N, latent_dim)` to images `(N, 28, 28, C)` in [-1, 1]: the published network."""
    inputs = keras.Input((latent_dim,))
    x = layers.Dense(4 * 4 * 256, use_bias=False)(inputs)
    x = layers.LeakyReLU(negative_slope=0.2)(layers.BatchNormalization()(x))
    x = layers.Reshape((4, 4, 256))(x)
    for channels, activation in (
        (128, layers.LeakyReLU(negative_slope=0.2)),
        (64, layers.LeakyReLU(negative_slope=0.2)),
        (image_shape[-1], layers.Activation("tanh")),
    ):
        x = layers.Conv2D(channels, 3, padding="same", use_bias=False)(layers.UpSampling2D()(x))
        x = activation(layers.BatchNormalization()(x))
    return keras.Model(inputs, layers.Cropping2D(2)(x), name="generator")


def wgan_gp_discriminator(image_shape=(28, 28, 1)):
    """Images `(N, 28, 28, C)` to scores `(N, 1)`: the published network."""
    inputs = keras.Input(image_shape)
    x = layers.ZeroPadding2D(2)(inputs)
    for channels, dropped in ((64, 0), (128, 0.3), (256, 0.3), (512, 0)):
        x = layers.Conv2D(channels, 5, 2, "same")(x)
        x = layers.LeakyReLU(negative_slope=0.2)(x)
        x = layers.Dropout(dropped)(x) if dropped else x
    x = layers.Dropout(0.2)(layers.Flatten()(x))
    return keras.Model(inputs, layers.Dense(1)(x), name="discriminator")


_OF_DCGAN = {
    "loss": "non_saturating",
    "penalty": "none",
    "optimizer": functools.partial(keras.optimizers.Adam, 1e-4),
    "batch_size": 32,
    "discriminator_steps": 1,
    "latent_dim": 128,
}

SETTINGS = {
    "dcgan": {
        "generator": dcgan_generator,
        "discriminator": dcgan_discriminator,
        **_OF_DCGAN,
    },
    "settings": {
        "generator": networks.dcgan_generator,
        "discriminator": networks.dcgan_discriminator,
        **_OF_DCGAN,
    },
    "wgan_gp": {
        "generator": wgan_gp_generator,
        "discriminator": wgan_gp_discriminator,
        "loss": "wasserstein",
        "penalty": "gradient_penalty",  # of weight 10
        "optimizer": functools.partial(keras.optimizers.Adam, 2e-4, beta_1=0.5, beta_2=0.9),
        "batch_size": 512,
        "discriminator_steps": 3,
        "latent_dim": 128,
    },
}
"""By example: functions that make the networks, `loss` and `penalty` by their names in kgen, a
function that makes the optimizer of each player, images in a batch, steps of the discriminator for
one of the generator, and the width of the latent."""
