"""Networks: plain functions that return a `keras.Model`; of flows, a `kgen.layers.Chain`."""

from kgen.networks.autoencoders import (
    convolutional_decoder,
    convolutional_encoder,
    dense_decoder,
    dense_encoder,
)
from kgen.networks.dcgan import dcgan_discriminator, dcgan_encoder, dcgan_generator
from kgen.networks.denoisers import denoising_mlp, denoising_unet
from kgen.networks.face_swap import swap_decoder, swap_encoder, swap_intermediate
from kgen.networks.flows import (
    DEQUANTIZATIONS,
    FLOWS,
    glow,
    realnvp,
    tarflow,
    uniform_dequantization,
    variational_dequantization,
)
from kgen.networks.mlp import mlp_discriminator, mlp_encoder, mlp_generator
from kgen.networks.patchgan import patchgan
from kgen.networks.progressive import progressive_discriminator, progressive_generator
from kgen.networks.resnet import resnet_discriminator, resnet_encoder, resnet_generator
from kgen.networks.resnet_translator import resnet_translator
from kgen.networks.unet import unet

__all__ = [
    "ADVERSARIAL_NETWORKS",
    "DEQUANTIZATIONS",
    "FLOWS",
    "convolutional_decoder",
    "convolutional_encoder",
    "dcgan_discriminator",
    "dcgan_encoder",
    "dcgan_generator",
    "denoising_mlp",
    "denoising_unet",
    "dense_decoder",
    "dense_encoder",
    "glow",
    "mlp_discriminator",
    "mlp_encoder",
    "mlp_generator",
    "patchgan",
    "progressive_discriminator",
    "progressive_generator",
    "realnvp",
    "resnet_discriminator",
    "resnet_encoder",
    "resnet_generator",
    "resnet_translator",
    "swap_decoder",
    "swap_encoder",
    "swap_intermediate",
    "tarflow",
    "unet",
    "uniform_dequantization",
    "variational_dequantization",
]

ADVERSARIAL_NETWORKS = {
    "dcgan": (dcgan_generator, dcgan_discriminator, dcgan_encoder),
    "mlp": (mlp_generator, mlp_discriminator, mlp_encoder),
    "resnet": (resnet_generator, resnet_discriminator, resnet_encoder),
}
