"""The peer of `benchmarks.gan`: the same DCGAN in plain PyTorch, a bare loop.

Runs in the peers' Python environment, on CPUs and on CUDA, and imports nothing of kgen. What it is
to do is one JSON object, whose keys are the arguments of `train`, `speed` or `prepare`:

    python -m benchmarks.torch_dcgan '{"data": "DATA.npz", "output": "OUT.json", "epochs": 20}'
    python -m benchmarks.torch_dcgan '{"steps": 100, "device": "cuda", "compile": true}'
    python -m benchmarks.torch_dcgan '{"serve": {"device": "cpu"}}'

The first trains on images and writes seconds and samples, the second measures the speed on random
images, the third is a contender of `benchmarks.harness`.
"""

import contextlib
import copy
import json
import pathlib
import statistics
import sys

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from benchmarks.harness import MATMUL, peak_memory, serve, timed

BATCH, LATENT, FILTERS, MOST_FILTERS = 128, 100, 64, 512
PRECISIONS = {"float32": None, "bfloat16": torch.bfloat16, "float16": torch.float16}


def stages(side):
    """Sides and channels of the discriminator's stages: halved as long as a side is at least 8."""
    found = []
    while side >= 8:
        side //= 2
        found.append((side, min(FILTERS * 2 ** len(found), MOST_FILTERS)))
    return found


def discriminator_of(side, channels):
    """Images `(N, C, S, S)` in [-1, 1] to logits `(N, 1)` (Radford et al., 2016)."""
    layers, width = [], channels
    for index, (_, filters) in enumerate(stages(side)):
        layers.append(nn.Conv2d(width, filters, 4, 2, 1, bias=index == 0))
        if index > 0:
            layers.append(nn.BatchNorm2d(filters))
        layers.append(nn.LeakyReLU(0.2))
        width = filters
    smallest, top = stages(side)[-1]
    return initialized(nn.Sequential(*layers, nn.Flatten(), nn.Linear(smallest**2 * top, 1)))


def generator_of(side, channels):
    """Latents `(N, 100)` to images `(N, C, S, S)` in [-1, 1], the discriminator's mirror."""
    smallest, top = stages(side)[-1]
    layers = [nn.Linear(LATENT, smallest**2 * top, bias=False)]
    layers += [nn.Unflatten(1, (top, smallest, smallest)), nn.BatchNorm2d(top), nn.ReLU()]
    width = top
    for _, filters in stages(side)[-2::-1]:
        layers.append(nn.ConvTranspose2d(width, filters, 4, 2, 1, bias=False))
        layers += [nn.BatchNorm2d(filters), nn.ReLU()]
        width = filters
    return initialized(
        nn.Sequential(*layers, nn.ConvTranspose2d(width, channels, 4, 2, 1), nn.Tanh())
    )


def initialized(network):
    """Kernels from N(0, 0.02), biases zero; batch normalisation begins as the identity."""
    for layer in network:
        if isinstance(layer, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(layer.weight, std=0.02)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    return network


class DCGAN:
    """Both networks, their optimizers, the generator's moving average, and one update of them.

    Args:
        image_shape: `(S, S, C)`.
        device: "cpu" or "cuda".
        precision: "float32"; "bfloat16" or "float16" by autocast, the last layers included, the
            latter with scaled losses.
        channels_last: whether images and kernels lie in memory as NHWC.
        compile: whether `torch.compile` compiles the generator and both losses.
        learning_rate: of Adam, for both players.
    """

    def __init__(
        self,
        image_shape,
        device="cpu",
        precision="float32",
        channels_last=False,
        compile=False,
        learning_rate=2e-4,
    ):
        if device == "cuda":
            torch.set_float32_matmul_precision("high")  # TF32, as XLA takes it by default
            torch.backends.cudnn.benchmark = True
        self.device, self.dtype = device, PRECISIONS[precision]
        self.layout = torch.channels_last if channels_last else torch.contiguous_format
        side, _, channels = image_shape
        self.generator, self.discriminator = (
            make(side, channels).to(device, memory_format=self.layout)
            for make in (generator_of, discriminator_of)
        )
        self.average = copy.deepcopy(self.generator).requires_grad_(False)
        self.optimizers, self.scalers = {}, {}
        for network in (self.generator, self.discriminator):
            settings = {"lr": learning_rate, "betas": (0.5, 0.999), "eps": 1e-7, "fused": True}
            self.optimizers[network] = torch.optim.Adam(network.parameters(), **settings)
            scaled = self.dtype is torch.float16
            self.scalers[network] = torch.amp.GradScaler(device, enabled=scaled)
        compiled = torch.compile if compile else lambda function: function
        self.fakes = compiled(self.generator)
        self.discriminator_loss = compiled(self.discriminator_loss)
        self.generator_loss = compiled(self.generator_loss)
        self.updates = 0

    def discriminator_loss(self, real, fake):
        """Cross-entropy of logits, real and fake images in two passes."""
        real, fake = (self.discriminator(images).float() for images in (real, fake))
        return functional.softplus(-real).mean() + functional.softplus(fake).mean()

    def generator_loss(self, latents):
        """The non-saturating loss."""
        return functional.softplus(-self.discriminator(self.generator(latents)).float()).mean()

    def latents(self, n):
        """Draws from N(0, I)."""
        return torch.randn(n, LATENT, device=self.device)

    def autocast(self):
        """The context in which losses are computed."""
        return torch.autocast(self.device, self.dtype) if self.dtype else contextlib.nullcontext()

    def update(self, images):
        """One step of the discriminator, one of the generator; uint8 images `(N, C, S, S)`."""
        real = images.float().div_(127.5).sub_(1).contiguous(memory_format=self.layout)
        with self.autocast(), torch.no_grad():
            fake = self.fakes(self.latents(len(real)))
        with self.autocast():
            loss = self.discriminator_loss(real, fake)
        self.step(self.discriminator, loss)
        self.discriminator.requires_grad_(False)
        with self.autocast():
            loss = self.generator_loss(self.latents(len(real)))
        self.step(self.generator, loss)
        self.discriminator.requires_grad_(True)
        self.move_average()

    def step(self, network, loss):
        """Move one network down the gradient of its loss."""
        optimizer, scaler = self.optimizers[network], self.scalers[network]
        optimizer.zero_grad(set_to_none=True)
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()

    @torch.no_grad()
    def move_average(self):
        """Decay min(0.999, (1 + t) / (10 + t)) after update t = 0, 1, ...; statistics copied."""
        decay = min(0.999, (1 + self.updates) / (10 + self.updates))
        self.updates += 1
        average, generator = self.average, self.generator
        torch._foreach_lerp_(
            list(average.parameters()), [p.detach() for p in generator.parameters()], 1 - decay
        )
        torch._foreach_copy_(list(average.buffers()), list(generator.buffers()))

    @torch.no_grad()
    def generate(self, n):
        """Images of the average, a uint8 array `(n, S, S, C)`."""
        self.average.eval()
        parts = [self.average(self.latents(min(500, n - start))) for start in range(0, n, 500)]
        pixels = torch.cat(parts).add(1).mul(127.5).round().to(torch.uint8)
        return pixels.permute(0, 2, 3, 1).cpu().numpy()

    def images(self, array):
        """A uint8 array `(N, H, W)` or `(N, H, W, C)` as a tensor on the device, NCHW."""
        array = array if array.ndim == 4 else array[..., None]
        images = torch.from_numpy(array).to(self.device).permute(0, 3, 1, 2)
        return images.contiguous(memory_format=self.layout)

    def epoch(self, images, order, batch_size=BATCH):
        """Updates on full batches in an order; returns when the device has done them."""
        for start in range(0, len(order) - batch_size + 1, batch_size):
            self.update(images[order[start : start + batch_size]])
        if self.device == "cuda":
            torch.cuda.synchronize()

    def parameters(self):
        """Number of trained weights."""
        return sum(p.numel() for n in (self.generator, self.discriminator) for p in n.parameters())


def train(data, output, samples=None, seed=0, epochs=20, batch_size=BATCH, **settings):
    """Train on the images of a file; write seconds by epoch, and images of the average.

    Args:
        data: `.npz` with a uint8 array "train", `(N, H, W)` or `(N, H, W, C)`.
        output: JSON file for seconds, speed and number of weights.
        samples: `.npz` for the uint8 array "samples", 10,000 images in the shape of "train".
        seed, epochs, batch_size: of the training; the last incomplete batch is left out.
        **settings: as in `DCGAN`.
    """
    torch.manual_seed(seed)
    with np.load(data) as arrays:
        array = arrays["train"]
    model = DCGAN((*array.shape[1:], 1)[:3], **settings)
    images, seconds = model.images(array), []
    for epoch in range(epochs):
        seconds.append(
            timed(
                lambda: model.epoch(
                    images, torch.randperm(len(images), device=model.device), batch_size
                )
            )
        )
        print(f"torch, seed {seed}, epoch {epoch + 1}: {seconds[-1]:.1f} s", file=sys.stderr)
    per_epoch = len(images) // batch_size * batch_size
    result = {
        "seconds": seconds,
        "images_per_second": per_epoch / statistics.median(seconds[1:] or seconds),
        "parameters": model.parameters(),
        **about(model.device),
    }
    pathlib.Path(output).write_text(json.dumps(result))
    if samples:
        np.savez(samples, samples=model.generate(10_000).reshape(-1, *array.shape[1:]))


def speed(steps, rounds=1, **settings):
    """Print seconds and images a second of `steps` updates on random images, `rounds` times."""
    told, run, _, memory = prepare(**settings)
    seconds = [timed(lambda: run(steps)) for _ in range(rounds)]
    batch_size = settings.get("batch_size", BATCH)
    result = {
        **settings,
        **told,
        "steps": steps,
        "seconds": seconds,
        "images_per_second": steps * batch_size / statistics.median(seconds),
        "memory": memory(),
    }
    print(json.dumps(result))


def prepare(image_shape=(28, 28, 1), batch_size=BATCH, **settings):
    """A contender of `benchmarks.harness`, warm, on random images; settings as in `DCGAN`."""
    torch.manual_seed(0)
    model = DCGAN(image_shape, **settings)
    random = np.random.default_rng(0)
    images = model.images(random.integers(0, 256, (8 * batch_size, *image_shape), "uint8"))

    def run(steps):
        order = torch.randint(len(images), (steps * batch_size,), device=model.device)
        model.epoch(images, order, batch_size)

    run(5)
    a = torch.randn(MATMUL, MATMUL, device=model.device, dtype=model.dtype or torch.float32)

    def matmul():
        a @ a
        if model.device == "cuda":
            torch.cuda.synchronize()

    def memory():
        return torch.cuda.max_memory_allocated() if model.device == "cuda" else peak_memory()

    return {"parameters": model.parameters(), **about(model.device)}, run, matmul, memory


def about(device):
    """What a result was measured on."""
    name = torch.cuda.get_device_name() if device == "cuda" else "CPU"
    return {"device": name, "version": f"torch {torch.__version__}"}


if __name__ == "__main__":
    given = json.loads(sys.argv[1])
    if "serve" in given:
        serve(lambda: prepare(**given["serve"]))
    elif "steps" in given:
        speed(**given)
    else:
        train(**given)
