"""The peer of `benchmarks.autoencoder`: the same autoencoders in plain PyTorch, a bare loop.

Runs in the peers' Python environment and imports nothing of kgen.
"""

import json
import pathlib
import sys
import time

import numpy as np
import torch
from torch import nn


def network_of(network):
    """Encoder and decoder, NCHW, from Glorot's uniform distribution with zero biases."""
    if network == "dense":
        layers = [nn.Flatten(), nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 32)]
        layers += [nn.Linear(32, 512), nn.ReLU(), nn.Linear(512, 784), nn.Tanh()]
        layers += [nn.Unflatten(1, (1, 28, 28))]
    else:
        layers = [nn.Conv2d(1, 32, 4, 2, 1), nn.ReLU(), nn.Conv2d(32, 64, 4, 2, 1), nn.ReLU()]
        layers += [nn.Flatten(), nn.Linear(64 * 49, 32)]
        layers += [nn.Linear(32, 64 * 49), nn.ReLU(), nn.Unflatten(1, (64, 7, 7))]
        layers += [nn.ConvTranspose2d(64, 32, 4, 2, 1), nn.ReLU()]
        layers += [nn.ConvTranspose2d(32, 1, 4, 2, 1), nn.Tanh()]
    model = nn.Sequential(*layers)
    for layer in model:
        if hasattr(layer, "weight"):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)
    return model


def train(data, output, network, loss, masked, seed, epochs):
    """Train on the images of a file; write test error and seconds by epoch."""
    torch.manual_seed(seed)
    arrays = np.load(data)

    def tensor(name):
        images = torch.from_numpy(arrays[name]).float().div_(127.5).sub_(1)[:, None]
        convolutional = network == "convolutional"
        return images.to(memory_format=torch.channels_last) if convolutional else images

    images, model, seconds = tensor("train"), network_of(network), []
    if network == "convolutional":
        model = model.to(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(model.parameters(), 1e-3, (0.9, 0.999), 1e-8, fused=True)
    distance = torch.abs if loss == "l1" else torch.square
    for _ in range(epochs):
        began = time.perf_counter()
        order = torch.randperm(len(images))
        for step in range(len(images) // 128):
            batch = images[order[128 * step : 128 * step + 128]]
            seen = torch.where(torch.rand_like(batch) < masked, -1.0, batch) if masked else batch
            loss_value = distance(model(seen) - batch).sum() / len(batch)
            optimizer.zero_grad(set_to_none=True)
            loss_value.backward()
            optimizer.step()
        seconds.append(time.perf_counter() - began)
    clean = tensor("test")
    hidden = torch.from_numpy(arrays["mask"])[:, None]
    seen = torch.where(hidden, -1.0, clean) if masked else clean
    with torch.no_grad():
        error = distance((model(seen) - clean).double()).sum() / len(clean)
    parameters = sum(p.numel() for p in model.parameters())
    result = {"error": float(error), "seconds": seconds, "parameters": parameters}
    pathlib.Path(output).write_text(json.dumps(result))


if __name__ == "__main__":
    train(**json.loads(sys.argv[1]))
