"""The peer of `benchmarks.flows` and `benchmarks.flow_bits`: Glow as normflows has it.

Runs in the peers' Python environment and imports nothing of kgen. What it is to do is one JSON
object; "serve" holds the arguments of `prepare`, a contender of `benchmarks.harness`, "train" those
of `train`:

    python -m benchmarks.torch_flows '{"serve": {"steps": 8, "filters": 64}}'

Network, priors and preprocessing are those of normflows' own example of Glow: for each level a
Gaussian for each channel, images with uniform noise in [0, 1), the logit with a margin of 0.05.
"""

import json
import math
import pathlib
import sys
import time

import numpy as np
import torch

from benchmarks.harness import MATMUL, on_cores, peak_memory, serve

SIDE, LEVELS, MARGIN = 28, 2, 0.05


def glow(steps, filters):
    """Normflows' Glow for images `(1, 28, 28)` of two levels."""
    import normflows

    flows, bases = [], []
    for level in range(LEVELS):  # from the coarsest
        channels = 2 ** (LEVELS + 1 - level)
        blocks = [
            normflows.flows.GlowBlock(channels, filters, split_mode="channel", scale=True)
            for _ in range(steps)
        ]
        flows.append([*blocks, normflows.flows.Squeeze()])
        side, left = SIDE // 2 ** (LEVELS - level), channels if level == 0 else channels // 2
        bases.append(normflows.distributions.GlowBase((left, side, side)))
    merges = [normflows.flows.Merge() for _ in range(LEVELS - 1)]
    transform = normflows.transforms.Logit(MARGIN)
    return normflows.MultiscaleFlow(bases, flows, merges, transform, class_cond=False)


def noisy(images):
    """uint8 images as floats in [0, 1) with noise of a level's width."""
    return (images.float() + torch.rand(images.shape, device=images.device)) / 256


def bits(nats):
    """Bits per dimension of log-densities on [0, 1)."""
    return -nats / (SIDE**2 * math.log(2)) + 8


class Trainer:
    """The model and its optimizer, by default that of the example."""

    def __init__(self, steps, filters, optimizer="Adamax", learning_rate=1e-3, compile=False):
        self.model = glow(steps, filters)
        options = {"weight_decay": 1e-5} if optimizer == "Adamax" else {}
        kind = getattr(torch.optim, optimizer)
        self.optimizer = kind(self.model.parameters(), learning_rate, **options)
        self.loss = torch.compile(self.model.forward_kld) if compile else self.model.forward_kld

    def update(self, images):
        """One step down the loss, as in the example, which passes over one that is not finite."""
        self.optimizer.zero_grad(set_to_none=True)
        loss = self.loss(noisy(images))
        if torch.isfinite(loss):
            loss.backward()
            self.optimizer.step()
        return loss.detach()

    def parameters(self):
        """Number of trained weights."""
        return sum(p.numel() for p in self.model.parameters() if p.requires_grad)


def prepare(batch_size=128, **settings):
    """A contender of `benchmarks.harness`, warm; settings as in `Trainer`."""
    torch.manual_seed(0)
    trainer = Trainer(**settings)
    draw = np.random.default_rng(0).integers
    images = torch.from_numpy(draw(0, 256, (8 * batch_size, 1, SIDE, SIDE), "uint8"))

    def run(steps):
        for rows in torch.randint(len(images), (steps, batch_size)):
            trainer.update(images[rows])

    run(2)
    matrix = torch.randn(MATMUL, MATMUL)
    about = {"parameters": trainer.parameters(), "device": "CPU"}
    about["version"] = f"torch {torch.__version__}"
    return about, run, lambda: matrix @ matrix, peak_memory


def train(data, output, seed, epochs, batch_size, threads=None, **settings):
    """Train on the images of a file; write what the test images cost, and seconds.

    Args:
        data: `.npz` with "train" and "test", uint8 `(N, 28, 28)`.
        output: JSON file to write: "bits" of each test image, "seconds" and "processor_seconds" of
            training, "parameters".
        seed, epochs, batch_size: of training.
        threads: of torch, on as many cores; None: as it comes.
        settings: as in `Trainer`.
    """
    torch.manual_seed(seed)
    if threads:
        on_cores(threads)
        torch.set_num_threads(threads)
    with np.load(data) as arrays:
        images, test = (torch.from_numpy(arrays[k])[:, None] for k in ("train", "test"))
    trainer, began = Trainer(**settings), (time.perf_counter(), time.process_time())
    for epoch in range(epochs):
        order = torch.randperm(len(images))
        batches = order[: len(order) // batch_size * batch_size].view(-1, batch_size)
        losses = [trainer.update(images[rows]) for rows in batches]
        print(f"epoch {epoch + 1}: {float(bits(-torch.stack(losses).mean())):.4f}", flush=True)
    seconds, processor = time.perf_counter() - began[0], time.process_time() - began[1]
    with torch.no_grad():
        found = torch.cat([bits(trainer.model.log_prob(noisy(x), None)) for x in test.split(500)])
    numbers = {"seconds": seconds, "processor_seconds": processor, "bits": found.tolist()}
    numbers["parameters"] = trainer.parameters()
    beside = (output := pathlib.Path(output)).with_suffix(".new")
    beside.write_text(json.dumps(numbers))
    beside.replace(output)


if __name__ == "__main__":
    given = json.loads(sys.argv[1])
    if "train" in given:
        train(**given["train"])
    else:
        serve(lambda: prepare(**given["serve"]))
