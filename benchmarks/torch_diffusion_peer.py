"""The peer of `benchmarks.diffusion_peer`: denoising-diffusion-pytorch, by its own trainer.

Runs in the peers' Python environment and imports nothing of kgen. What it is to do is one JSON
object, the arguments of `train`:

    python -m benchmarks.torch_diffusion_peer '{"data": "DATA.npz", "output": "OUT.npz", ...}'
"""

import json
import pathlib
import sys
import tempfile
import time

import numpy as np
import torch
from PIL import Image

from benchmarks.harness import on_cores, timed
from benchmarks.torch_metrics import describe_torchvision

SIDE, RIM = 28, 2  # its U-Net halves images three times, so they get a rim: 32x32
SAMPLED = 100  # images that are sampled at once


def write_images(images, folder):
    """Write images `(N, 28, 28)` as files, which is what its trainer reads, with a black rim."""
    for number, image in enumerate(np.pad(images, ((0, 0), (RIM, RIM), (RIM, RIM)))):
        Image.fromarray(image).save(folder / f"{number:05}.png")


def make_trainer(images, seen, width, folder, **settings):
    """Its trainer, and in it its U-Net and its Gaussian diffusion, as they come.

    But for mirrored images, of which there are none here: shoes point to the left.

    Args:
        images: uint8 `(N, 28, 28)`, at least 100 of them.
        seen: how many it shall see; what makes no whole update is left out.
        width: `dim` of the U-Net.
        folder: that takes the images as files.
        **settings: of `Trainer`.
    """
    describe_torchvision()
    from denoising_diffusion_pytorch import GaussianDiffusion, Trainer, Unet

    (files := folder / "images").mkdir()
    write_images(images, files)
    unet = Unet(width, channels=1)
    diffusion = GaussianDiffusion(unet, image_size=SIDE + 2 * RIM, sampling_timesteps=50)
    settings = {"augment_horizontal_flip": False, "calculate_fid": False, **settings}
    trainer = Trainer(diffusion, files, results_folder=folder / "results", **settings)
    steps = seen // (trainer.batch_size * trainer.gradient_accumulate_every)
    trainer.train_num_steps, trainer.save_and_sample_every = steps, steps + 1  # that is never
    return trainer


def sample(diffusion, n, steps):
    """Images of its DDIM: uint8 `(n, 28, 28)`."""
    diffusion.eval()
    diffusion.sampling_timesteps = steps
    counts = [min(SAMPLED, n - first) for first in range(0, n, SAMPLED)]
    drawn = torch.cat([diffusion.sample(batch_size=count) for count in counts])
    inner = drawn[:, 0, RIM:-RIM, RIM:-RIM]
    return (255 * inner.clamp(0, 1)).round().byte().numpy()


def train(data, output, seed, images, samples, steps, width, threads, **settings):
    """Train on the images of a file; write samples of the averaged network, and seconds.

    Args:
        data: `.npz` with "train", uint8 `(N, 28, 28)`.
        output: `.npz` to write: for each number of steps S "samples_S", uint8 `(n, 28, 28)`, and
            "sampling_S", seconds that they took; "seconds" and "processor_seconds" of training;
            "images" that were seen, "parameters".
        seed: of weights, order and noise.
        images: how many to see.
        samples: how many to sample.
        steps: of DDIM, a list of numbers.
        width, settings: as in `make_trainer`.
        threads: of torch, on as many cores; None: as it comes.
    """
    torch.manual_seed(seed)
    if threads:
        on_cores(threads)
        torch.set_num_threads(threads)
    with np.load(data) as arrays, tempfile.TemporaryDirectory() as folder:
        trainer = make_trainer(arrays["train"], images, width, pathlib.Path(folder), **settings)
        began = time.process_time()
        found = {"seconds": timed(trainer.train)}
        found["processor_seconds"] = time.process_time() - began
    in_update = trainer.batch_size * trainer.gradient_accumulate_every
    found["images"] = trainer.step * in_update
    found["parameters"] = sum(p.numel() for p in trainer.model.parameters())
    for number in steps:
        began = time.perf_counter()
        found[f"samples_{number}"] = sample(trainer.ema.ema_model, samples, number)
        found[f"sampling_{number}"] = time.perf_counter() - began
    output = pathlib.Path(output)
    np.savez(beside := output.with_suffix(".new.npz"), **found)
    beside.replace(output)


if __name__ == "__main__":
    train(**json.loads(sys.argv[1]))
