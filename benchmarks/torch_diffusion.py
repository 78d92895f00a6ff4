"""The peer of `benchmarks.diffusion`: the same diffusion model in plain PyTorch, a bare loop.

Runs in the peers' Python environment, on CPUs and on CUDA, and imports nothing of kgen. What it is
to do is one JSON object; "serve" holds the arguments of `prepare`, "check" those of `check`, whose
results are contenders of `benchmarks.harness`:

    python -m benchmarks.torch_diffusion '{"serve": {"task": "training", "channels_last": true}}'

Network, noise, objective and sampler are those that `kgen.Diffusion` takes by default for 28x28
images with labels: a U-Net on patches, cosine noise, the velocity, DDIM.
"""

import contextlib
import copy
import itertools
import json
import sys

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from benchmarks.harness import MATMUL, peak_memory, serve

PRECISIONS = {"float32": None, "bfloat16": torch.bfloat16, "float16": torch.float16}
IMAGE_SHAPE, CLASSES, PATCH = (28, 28, 1), 10, 2
GROUPS, HEADS, WAVES = 8, 4, 64
NOISE_STEPS, SAMPLING_STEPS = 1000, 10
DROPPED, DECAY = 0.1, 0.9995  # labels that are not told; of the moving average
TOLERANCE = 1e-4
KERNELS = {1: (0,), 2: (1, 0), 4: (3, 2, 0, 1)}  # axes of Keras's weights as PyTorch has them


def widened(function, x):
    """A function's result, on CPUs in float32: in bfloat16 these are several times as slow."""
    if x.is_cuda or x.dtype is torch.float32:
        return function(x)
    with torch.autocast("cpu", enabled=False):
        return function(x.float()).to(x.dtype)


class GroupNorm(nn.GroupNorm):
    """Group normalisation, `widened`."""

    def __init__(self, channels):
        super().__init__(GROUPS, channels)

    def forward(self, x):
        """See the class."""
        return widened(super().forward, x)


class Denoiser(nn.Module):
    """Noisy images `(N, 1, 28, 28)`, times and labels to velocities, shaped as the images.

    Parameters come in the order in which `copy_weights` is given kgen's.
    """

    def __init__(self, filters):
        super().__init__()
        f, told = filters, 4 * filters
        self.time, self.label = nn.Linear(WAVES, told), nn.Linear(CLASSES, told, bias=False)
        self.told = nn.Linear(told, told)
        self.first = nn.Conv2d(PATCH**2, f, 3, padding=1)
        self.down = nn.ModuleList(ResidualBlock(f, f, told) for _ in range(2))
        self.smaller = nn.Conv2d(f, 2 * f, 3, 2)
        self.small_down = nn.ModuleList(ResidualBlock(2 * f, 2 * f, told, True) for _ in range(2))
        self.middle = nn.ModuleList(ResidualBlock(2 * f, 2 * f, told, a) for a in (True, False))
        self.small_up = nn.ModuleList(ResidualBlock(4 * f, 2 * f, told, True) for _ in range(2))
        self.larger = nn.Conv2d(2 * f, f, 3, padding=1)
        self.up = nn.ModuleList(ResidualBlock(2 * f, f, told) for _ in range(2))
        self.normalization = GroupNorm(f)
        self.last = zeros(nn.Conv2d(f, PATCH**2, 3, padding=1))
        half = WAVES // 2
        frequencies = NOISE_STEPS * torch.exp(-np.log(10_000) * torch.arange(half) / half)
        self.register_buffer("frequencies", frequencies)
        self.register_buffer("classes", torch.arange(CLASSES))

    def embedding(self, times, labels):
        """What every block is told: time and label, `(N, told)`; -1 is no label."""
        angles = times[:, None] * self.frequencies
        label = (labels[:, None] == self.classes).to(self.label.weight.dtype)
        told = self.time(torch.cat([angles.sin(), angles.cos()], 1)) + self.label(label)
        return functional.silu(self.told(functional.silu(told)))

    def forward(self, x, times, labels):
        """See the class."""
        told, skipped = self.embedding(times, labels), []
        x = self.first(functional.pixel_unshuffle(x, PATCH))
        for block in self.down:
            x = block(x, told)
            skipped.append(x)
        x = self.smaller(functional.pad(x, (0, 1, 0, 1)))
        for block in self.small_down:
            x = block(x, told)
            skipped.append(x)
        for block in self.middle:
            x = block(x, told)
        for block in self.small_up:
            x = block(torch.cat([x, skipped.pop()], 1), told)
        x = self.larger(functional.interpolate(x, scale_factor=2))
        for block in self.up:
            x = block(torch.cat([x, skipped.pop()], 1), told)
        x = self.last(functional.silu(self.normalization(x)))
        return functional.pixel_shuffle(x, PATCH)


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions, the second of which is told time and label; then self-attention."""

    def __init__(self, inputs, outputs, told, attends=False):
        super().__init__()
        self.normalization = GroupNorm(inputs)
        self.first = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.adaptive = AdaptiveGroupNorm(outputs, told)
        self.shortcut = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else nn.Identity()
        self.second = zeros(nn.Conv2d(outputs, outputs, 3, padding=1))
        self.attention = SelfAttention(outputs) if attends else nn.Identity()

    def forward(self, x, told):
        """See the class."""
        y = self.first(functional.silu(self.normalization(x)))
        y = self.second(functional.silu(self.adaptive(y, told)))
        return self.attention(self.shortcut(x) + y)


class AdaptiveGroupNorm(nn.Module):
    """Group normalisation whose scale and shift are linear in the embedding, zero at first."""

    def __init__(self, channels, told):
        super().__init__()
        self.normalization = GroupNorm(channels)
        self.told = zeros(nn.Linear(told, 2 * channels))

    def forward(self, x, told):
        """See the class."""
        scale, shift = self.told(told)[:, :, None, None].chunk(2, 1)
        return torch.addcmul(shift, self.normalization(x), 1 + scale)


class SelfAttention(nn.Module):
    """Residual attention between all pixels, with several heads."""

    def __init__(self, channels):
        super().__init__()
        self.normalization = GroupNorm(channels)
        self.asked = nn.Linear(channels, 3 * channels)
        self.projection = zeros(nn.Linear(channels, channels))

    def forward(self, x):
        """See the class."""
        pixels = self.normalization(x).flatten(2).transpose(1, 2)
        asked = self.asked(pixels).unflatten(-1, (3, HEADS, -1)).permute(2, 0, 3, 1, 4)
        seen = widened(lambda qkv: functional.scaled_dot_product_attention(*qkv), asked)
        seen = self.projection(seen.transpose(1, 2).flatten(2))
        return x + seen.transpose(1, 2).unflatten(2, x.shape[2:])


def zeros(layer):
    """A layer whose weights are zero at first."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer


@torch.no_grad()
def copy_weights(network, arrays):
    """Give a network kgen's weights, arrays in the order of its parameters.

    Raises:
        ValueError: for weights of another network.
    """
    parameters = [*network.parameters()]
    arrays = [array.transpose(KERNELS[array.ndim]) for array in arrays]
    if [tuple(p.shape) for p in parameters] != [array.shape for array in arrays]:
        raise ValueError("The contenders' networks differ: other weights, or in another order.")
    for parameter, array in zip(parameters, arrays, strict=True):
        parameter.copy_(torch.from_numpy(array.copy()))


def alpha_bars():
    """The cosine of Nichol and Dhariwal (2021), equation 17, at steps 0 to 1,000: float64."""
    t = np.linspace(0, 1, NOISE_STEPS + 1)
    f = np.cos((t + 0.008) / 1.008 * np.pi / 2) ** 2
    return np.concatenate([[1.0], np.cumprod(np.maximum(f[1:] / f[:-1], 0.001))])


class Diffusion:
    """The denoiser, its average, its optimizer, one update, and DDIM.

    Args:
        filters: of the network.
        device: "cpu" or "cuda".
        precision: "float32"; "bfloat16" or "float16" by autocast, the last layer included, but for
            what is `widened`, the latter with scaled losses.
        channels_last: whether images and kernels lie in memory as NHWC.
        compile: whether `torch.compile` compiles the loss, and the network that samples.
    """

    def __init__(
        self, filters=32, device="cpu", precision="float32", channels_last=False, compile=False
    ):
        if device == "cuda":
            torch.set_float32_matmul_precision("high")  # TF32, as XLA takes it by default
            torch.backends.cudnn.benchmark = True
        self.device, self.dtype = device, PRECISIONS[precision]
        self.layout = torch.channels_last if channels_last else torch.contiguous_format
        self.denoiser = Denoiser(filters).to(device, memory_format=self.layout)
        self.average = copy.deepcopy(self.denoiser).requires_grad_(False)
        self.moved = [[*n.parameters()] for n in (self.average, self.denoiser)]
        self.optimizer = torch.optim.Adam(self.moved[1], 1e-3, eps=1e-7, fused=True)
        self.scaler = torch.amp.GradScaler(device, enabled=self.dtype is torch.float16)
        compiled = torch.compile if compile else lambda function: function
        self.loss, self.sampling = compiled(self.loss), compiled(self.average)
        self.levels = np.sqrt([alpha_bars(), 1 - alpha_bars()])  # alpha and sigma
        self.alpha, self.sigma = torch.tensor(self.levels, dtype=torch.float32, device=device)
        self.updates = 0

    def loss(self, images, labels):
        """Error of the velocity at a time of each image, the n-th of N from the n-th part of all.

        Args:
            images: uint8 `(N, 1, 28, 28)`.
            labels: int64 `(N,)`.
        """
        n, device = len(images), images.device
        x = images.float().div(127.5).sub(1)
        places = (torch.arange(n, device=device) + torch.rand(n, device=device)) / n
        steps = places.mul(NOISE_STEPS).long().add(1).clamp(max=NOISE_STEPS)
        alpha, sigma = (level[steps][:, None, None, None] for level in (self.alpha, self.sigma))
        noise = torch.randn_like(x)
        told = torch.where(torch.rand(n, device=device) < DROPPED, -1, labels)
        predicted = self.denoiser(alpha * x + sigma * noise, steps / NOISE_STEPS, told)
        return functional.mse_loss(predicted.float(), alpha * noise - sigma * x)

    def autocast(self):
        """The context in which networks compute."""
        return torch.autocast(self.device, self.dtype) if self.dtype else contextlib.nullcontext()

    def update(self, images, labels):
        """One step down the objective; the average follows."""
        with self.autocast():
            loss = self.loss(images, labels)
        self.optimizer.zero_grad(set_to_none=True)
        self.scaler.scale(loss).backward()
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.move_average()

    @torch.no_grad()
    def move_average(self):
        """Decay min(0.9995, (1 + t) / (10 + t)) after update t = 0, 1, ..."""
        weight = max(1 - DECAY, 9 / (10 + self.updates))
        self.updates += 1
        torch._foreach_lerp_(*self.moved, weight)

    @torch.inference_mode()
    def generate(self, noise, labels):
        """Images of noise `(N, 1, 28, 28)` by DDIM, the average asked at 10 times.

        Song et al. (2021), equation 12 without noise; images are kept in [-1, 1] on the way.
        """
        steps = np.linspace(NOISE_STEPS, 0, SAMPLING_STEPS + 1).round().astype(int)
        x = float(self.levels[1, NOISE_STEPS]) * noise
        for before, after in itertools.pairwise(steps):
            (alpha, sigma), (next_alpha, next_sigma) = self.levels[:, [before, after]].T.tolist()
            times = torch.full((len(x),), before / NOISE_STEPS, device=self.device)
            with self.autocast():
                velocity = self.sampling(x, times, labels)
            images = (alpha * x - sigma * velocity.float()).clamp_(-1, 1)
            kept = next_sigma / sigma
            x = kept * x + (next_alpha - alpha * kept) * images
        return x

    def parameters(self):
        """Number of trained weights."""
        return sum(p.numel() for p in self.moved[1])


def training(model, batch_size):
    """A function that takes so many steps on random images."""
    draw = np.random.default_rng(0).integers
    shape = (8 * batch_size, *IMAGE_SHAPE[-1:], *IMAGE_SHAPE[:2])
    images = torch.from_numpy(draw(0, 256, shape, "uint8")).to(model.device)
    labels = torch.from_numpy(draw(0, CLASSES, len(images))).to(model.device)

    def run(steps):
        for rows in torch.randint(len(images), (steps, batch_size), device=model.device):
            model.update(images[rows], labels[rows])

    return run


def sampling(model, batch_size):
    """A function that draws so many batches of images, which stay on the device."""
    shape = (batch_size, *IMAGE_SHAPE[-1:], *IMAGE_SHAPE[:2])
    labels = torch.arange(batch_size, device=model.device) % CLASSES

    def run(steps):
        for _ in range(steps):
            model.generate(torch.randn(shape, device=model.device), labels)

    return run


TASKS = {"training": training, "sampling": sampling}


def prepare(task="training", batch_size=128, **settings):
    """A contender of `benchmarks.harness`, warm; settings as in `Diffusion`."""
    torch.manual_seed(0)
    model = Diffusion(**settings)
    take, device = TASKS[task](model, batch_size), model.device

    def synchronize():
        if device == "cuda":
            torch.cuda.synchronize()

    def run(steps):
        take(steps)
        synchronize()

    run(2)
    matrix = torch.randn(MATMUL, MATMUL, device=device, dtype=model.dtype or torch.float32)

    def matmul():
        matrix @ matrix
        synchronize()

    def memory():
        return torch.cuda.max_memory_allocated() if device == "cuda" else peak_memory()

    name = torch.cuda.get_device_name() if device == "cuda" else "CPU"
    about = {"device": name, "version": f"torch {torch.__version__}"}
    return {"parameters": model.parameters(), **about}, run, matmul, memory


def take_weights(model, file):
    """Give network and average kgen's weights, from a file that `benchmarks.diffusion` wrote.

    Returns:
        What else is in it, a dictionary of arrays.
    """
    with np.load(file) as arrays:
        found = dict(arrays)
    count = sum(name.startswith("weight_") for name in found)
    weights = [found.pop(f"weight_{n}") for n in range(count)]
    for network in (model.denoiser, model.average):
        copy_weights(network, weights)
    return found


def difference(file, filters=32, **settings):
    """How far outputs are from kgen's with its weights, at most: the network's, the sampler's."""
    model = Diffusion(filters, **settings)
    found = take_weights(model, file)
    noisy, noise = (torch.from_numpy(found[k]).permute(0, 3, 1, 2) for k in ("noisy", "noise"))
    times, labels = torch.from_numpy(found["times"]), torch.from_numpy(found["labels"]).long()
    with torch.no_grad():
        velocities = model.denoiser(noisy, times, labels)
    outputs = {"velocities": velocities, "images": model.generate(noise, labels % CLASSES)}
    return {
        name: float(np.abs(output.permute(0, 2, 3, 1).numpy() - found[name]).max())
        for name, output in outputs.items()
    }


def check(**settings):
    """A contender that only says how far it is from kgen, as `difference`.

    Raises:
        ValueError: if that is farther than float32 explains.
    """
    found = difference(**settings)
    if not max(found.values()) <= TOLERANCE:  # nor NaN
        raise ValueError(f"The contenders differ where they have the same weights: {found}.")
    return {"difference": found}, None, None, None


if __name__ == "__main__":
    given = json.loads(sys.argv[1])
    serve(lambda: check(**given["check"]) if "check" in given else prepare(**given["serve"]))
