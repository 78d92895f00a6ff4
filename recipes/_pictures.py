"""The pictures of the documents: which recipe draws each, and how all are drawn again."""

import importlib
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from kgen.files import written_beside

IMAGES = Path(__file__).parents[1] / "docs" / "images"
SMALL = 400  # pixels: the width of what README's table shows
PICTURES = {  # figures by recipe; in `IMAGES` each is called RECIPE_FIGURE
    "anomaly_detection": ("roc.png", "scene.png"),
    "autoencoder": ("reconstructions.png", "latent.png"),
    "bottleneck": ("bottleneck.png",),
    "autoencoder_limits": ("samples_16.png", "walk.png", "measures.png"),
    "convolutional_autoencoder": ("reconstructions.png",),
    "cyclegan": ("translated.png", "scheme.png", "training.gif"),
    "data_augmentation": ("data_augmentation.png",),
    "dcgan": ("samples.png", "interpolation.png"),
    "dcgan_arithmetic": ("dcgan_arithmetic.png",),
    "deepfake": ("swap.png", "motion.png", "scheme.png", "motion.gif"),
    "denoising_autoencoder": ("denoised.png",),
    "diffusion": (
        "evaluations.png",
        "noising.png",
        "denoising.png",
        "guidance.png",
        "inpainting.png",
        "denoising.gif",
    ),
    "diffusion_intuition": ("score.png", "noising.png", "paths.png", "denoising.gif"),
    "discriminative_generative": ("points.png", "samples.png", "strange.png"),
    "faces": ("faces.png",),
    "gan": ("training.png", "algorithm.png", "losses.png"),
    "gan_instability": ("gan_instability.png",),
    "gan_intuition": ("line.png", "plane.png", "line.gif", "plane.gif"),
    "gaussian": ("gaussian.png",),
    "kinds_of_gan": ("kinds_of_gan.png",),
    "latent_space": ("attribute.png", "interpolation.png", "arithmetic.png"),
    "metrics": ("metrics.png",),
    "mode_collapse": ("ring.png", "grid.png", "ring_training.png", "ring.gif"),
    "normalizing_flow": ("likelihoods.png", "temperature.png", "interpolation.png"),
    "normalizing_flow_intuition": ("layers.png", "density.png", "latents.png", "layers.gif"),
    "optimal_transport": ("optimal_transport.png",),
    "overview": ("overview.png", "schemes.png", "measures.png"),
    "pix2pix": ("translated.png", "scheme.png", "training.gif"),
    "progressive_gan": ("growing.png", "growing.gif"),
    "reparameterization": ("graphs.png", "variance.png"),
    "semi_supervised_gan": ("semi_supervised_gan.png",),
    "two_players": ("saddle.png", "losses.png", "saddle.gif"),
    "vae": ("latent.png", "divergence.png", "reconstructions.png", "interpolation.png"),
    "vae_regularization": (
        "clouds.png",
        "points_and_clouds.png",
        "divergence.png",
        "regularity.png",
        "measures.png",
    ),
    "wgan": ("critics.png",),
}


def picture(recipe, figure):
    """Where a figure of a recipe is among the documents."""
    return IMAGES / (figure if figure.startswith(recipe) else f"{recipe}_{figure}")


def small(path):
    """Where a picture is as small as README's table shows it."""
    return path.parent / "small" / path.name


def draw(recipe, outputs=Path("outputs")):
    """Draw a recipe's pictures again; what is trained already in `outputs` is not trained again.

    Raises:
        subprocess.CalledProcessError: if the recipe fails.
    """
    offered = importlib.import_module(f"recipes.{recipe}").main.parser().offered
    again = "--resume" if "resume" in offered else "--overwrite"
    command = [sys.executable, "-m", f"recipes.{recipe}", again]
    began, output = time.monotonic(), outputs / recipe
    subprocess.run([*command, "--output", os.fspath(output)], check=True)
    take(recipe, output)
    print(f"{recipe}: {time.monotonic() - began:.0f} s")


def take(recipe, output):
    """Copy a recipe's pictures from where it has drawn them to the documents."""
    for figure in PICTURES[recipe]:
        path = picture(recipe, figure)
        if path.suffix == ".png":
            make_lean(output / figure, path)
            make_small(path)
            continue
        with written_beside(path) as temporary:  # an animation is linked to
            shutil.copyfile(output / figure, temporary)


def make_lean(source, path):
    """Write a picture in few bytes, and what it says of itself.

    In 256 colours, if that changes no more than half a grey level in the mean: charts, not photos.
    """
    with Image.open(source) as image:
        page, said = image.convert("RGB"), PngInfo()
        for name in ("Software", "Comment"):
            said.add_text(name, image.info.get(name, ""))
        colors = page.getcolors(256)
        few = page.quantize(len(colors) if colors else 256, dither=Image.Dither.NONE)
        if np.abs(np.subtract(few.convert("RGB"), page, dtype="float32")).mean() < 0.5:
            page = few
        with written_beside(path) as temporary:
            page.save(temporary, "PNG", optimize=True, pnginfo=said, dpi=image.info.get("dpi"))


def make_small(path):
    """Write a picture as README's table shows it."""
    with Image.open(path) as image:
        page = image.convert("RGB")
    page.thumbnail((SMALL, SMALL), Image.Resampling.BOX)
    with written_beside(small(path)) as temporary:
        page.quantize(128).save(temporary, "PNG", optimize=True)
