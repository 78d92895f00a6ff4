"""The peers: the same variational autoencoder in plain PyTorch and in pythae.

Runs in the peers' Python environment and imports nothing of kgen: a contender of `benchmarks.vae`
(`python -m benchmarks.torch_vae '{"library": "torch", ...}'`), and pythae's training for
`benchmarks.vae_elbo` (`... '{"elbo": ...}'`).
"""

import contextlib
import json
import sys
import tempfile

import torch
from torch import nn
from torch.nn import functional

from benchmarks.harness import MATMUL, peak_memory, serve

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
BATCH = 128


class Encoder(nn.Module):
    """Images in [0, 1], NCHW, to mean and log-variance."""

    def __init__(self, network, latent):
        super().__init__()
        if network == "dense":
            layers, width = [nn.Flatten(), nn.Linear(784, 512), nn.ReLU()], 512
        else:
            layers = [nn.Conv2d(1, 32, 4, 2, 1), nn.ReLU(), nn.Conv2d(32, 64, 4, 2, 1), nn.ReLU()]
            layers, width = [*layers, nn.Flatten()], 64 * 49
        self.body = nn.Sequential(*layers)
        self.mean, self.log_variance = nn.Linear(width, latent), nn.Linear(width, latent)

    def forward(self, x):
        """See the class."""
        x = self.body(x)
        return self.mean(x), self.log_variance(x)


class Decoder(nn.Module):
    """Latents to logits of pixels, NCHW."""

    def __init__(self, network, latent):
        super().__init__()
        if network == "dense":
            layers = [nn.Linear(latent, 512), nn.ReLU(), nn.Linear(512, 784)]
            layers += [nn.Unflatten(1, (1, 28, 28))]
        else:
            layers = [nn.Linear(latent, 64 * 49), nn.ReLU(), nn.Unflatten(1, (64, 7, 7))]
            layers += [nn.ConvTranspose2d(64, 32, 4, 2, 1), nn.ReLU()]
            layers += [nn.ConvTranspose2d(32, 1, 4, 2, 1)]
        self.body = nn.Sequential(*layers)

    def forward(self, z):
        """See the class."""
        return self.body(z)


class VAE(nn.Module):
    """Negative evidence lower bound of images in [0, 1] under a Bernoulli decoder."""

    def __init__(self, network, latent):
        super().__init__()
        self.encoder, self.decoder = Encoder(network, latent), Decoder(network, latent)

    def forward(self, x):
        """See the class."""
        mean, log_variance = (t.float() for t in self.encoder(x))
        z = mean + torch.exp(0.5 * log_variance) * torch.randn_like(mean)
        logits = self.decoder(z).float()
        cross_entropy = functional.binary_cross_entropy_with_logits
        reconstruction = cross_entropy(logits, x, reduction="sum") / len(x)
        kl = 0.5 * (mean.square() + log_variance.exp() - log_variance - 1).sum() / len(x)
        return reconstruction + kl


def pythae_model(network, latent):
    """Pythae's VAE: its own default networks, or the same convolutions as the others."""
    # Beside a torch without CUDA, torchvision (a dependency that the VAE does not use) fails where
    # it wants to describe an operator of its own.
    with contextlib.suppress(RuntimeError):
        library = torch.library.Library("torchvision", "DEF")
        library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        pythae_model.library = library  # lives as long as the process
    from pythae.models import VAE as PythaeVAE
    from pythae.models import VAEConfig
    from pythae.models.base.base_utils import ModelOutput
    from pythae.models.nn import BaseDecoder, BaseEncoder

    config = VAEConfig(input_dim=(1, 28, 28), latent_dim=latent, reconstruction_loss="bce")
    if network == "dense":
        return PythaeVAE(config)

    class ConvolutionalEncoder(BaseEncoder):
        def __init__(self):
            super().__init__()
            self.network = Encoder(network, latent)

        def forward(self, x):
            mean, log_variance = self.network(x)
            return ModelOutput(embedding=mean, log_covariance=log_variance)

    class ConvolutionalDecoder(BaseDecoder):
        def __init__(self):
            super().__init__()
            self.network = Decoder(network, latent)

        def forward(self, z):
            return ModelOutput(reconstruction=self.network(z).sigmoid())

    return PythaeVAE(config, encoder=ConvolutionalEncoder(), decoder=ConvolutionalDecoder())


def pythae_trainer(model, images, batch_size):
    """Pythae's own trainer with its own settings, Adam at 1e-3 as everywhere."""
    from pythae.data.datasets import BaseDataset
    from pythae.trainers import BaseTrainer, BaseTrainerConfig

    folder = tempfile.TemporaryDirectory()
    config = BaseTrainerConfig(
        output_dir=folder.name,
        per_device_train_batch_size=batch_size,
        learning_rate=1e-3,
        num_epochs=1,
    )
    data = BaseDataset(images, torch.zeros(len(images)))
    trainer = BaseTrainer(model, train_dataset=data, training_config=config)
    trainer.prepare_training()
    trainer.folder = folder
    return trainer


def prepare(settings):
    """The contender that the settings describe."""
    torch.manual_seed(0)
    if DEVICE == "cuda":
        torch.set_float32_matmul_precision("high")  # TF32, as XLA takes it by default
        torch.backends.cudnn.benchmark = True
    dtype = {"float32": None, "mixed_bfloat16": torch.bfloat16, "mixed_float16": torch.float16}[
        settings["precision"]
    ]
    images = torch.rand(settings["most_steps"] * BATCH, 1, 28, 28)
    if settings["library"] == "torch":
        model, run = plain(settings, images, dtype)
    else:
        model, run = of_pythae(settings, images)
    run(4)  # warm, compiled
    a = torch.randn(MATMUL, MATMUL, device=DEVICE, dtype=dtype or torch.float32)

    def matmul():
        a @ a
        synchronize()

    def memory():
        return torch.cuda.max_memory_allocated() if DEVICE == "cuda" else peak_memory()

    about = {
        "parameters": sum(p.numel() for p in model.parameters()),
        "device": torch.cuda.get_device_name() if DEVICE == "cuda" else "CPU",
        "version": f"torch {torch.__version__}",
    }
    return about, run, matmul, memory


def synchronize():
    """Wait for the device."""
    if DEVICE == "cuda":
        torch.cuda.synchronize()


def plain(settings, images, dtype):
    """A plain training loop, at its best.

    Images as float tensors on the device, a random permutation per epoch, no DataLoader, no value
    fetched in any step; Adam as it is by default, or (`fused`) as one kernel.
    """
    model = VAE(settings["network"], 10).to(DEVICE)
    images = images.to(DEVICE)
    if settings["channels_last"]:
        model = model.to(memory_format=torch.channels_last)
        images = images.to(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(model.parameters(), 1e-3, fused=settings["fused"])
    scaler = torch.amp.GradScaler(DEVICE, enabled=dtype is torch.float16)
    loss_of = torch.compile(model) if settings["compile"] else model

    def run(steps):
        order = torch.randperm(steps * BATCH, device=DEVICE)
        for step in range(steps):
            batch = images[order[step * BATCH : (step + 1) * BATCH]]
            with torch.autocast(DEVICE, dtype) if dtype else contextlib.nullcontext():
                loss = loss_of(batch)
            optimizer.zero_grad(set_to_none=True)
            scaler.scale(loss).backward()
            scaler.step(optimizer)
            scaler.update()
        synchronize()

    return model, run


def of_pythae(settings, images):
    """Pythae's model under its own trainer, or (`bare`) under a plain loop with fused Adam."""
    from pythae.data.datasets import DatasetOutput

    model = pythae_model(settings["network"], 10)
    if not settings["bare"]:
        trainer = pythae_trainer(model, images, BATCH)

        def run(steps):
            data = trainer.train_dataset
            subset = type(data)(data.data[: steps * BATCH], data.labels[: steps * BATCH])
            trainer.train_loader = trainer.get_train_dataloader(subset)
            trainer.train_step(1)

        return model, run
    model, images = model.to(DEVICE), images.to(DEVICE)
    optimizer = torch.optim.Adam(model.parameters(), 1e-3, fused=True)

    def run(steps):
        order = torch.randperm(steps * BATCH, device=DEVICE)
        for step in range(steps):
            batch = DatasetOutput(data=images[order[step * BATCH : (step + 1) * BATCH]])
            optimizer.zero_grad()
            model(batch).loss.backward()
            optimizer.step()
        synchronize()

    return model, run


def train_for_elbo(data, output, seed, epochs, batch_size):
    """Train pythae's VAE on the images of a file; write its weights, inputs first, as an array."""
    import numpy as np

    torch.manual_seed(seed)
    images = torch.from_numpy(np.load(data)["train"]).float().div_(255)
    model = pythae_model("dense", 10)
    for layer in model.modules():
        if isinstance(layer, nn.Linear):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)
    trainer = pythae_trainer(model, images.reshape(-1, 1, 28, 28), batch_size)
    torch.manual_seed(seed)  # the trainer has set its own
    for epoch in range(1, epochs + 1):
        loss = trainer.train_step(epoch)
        print(f"pythae, seed {seed}, epoch {epoch}: loss {loss:.3f}", file=sys.stderr, flush=True)
    layers = {
        "hidden": model.encoder.layers[0][0],
        "mean": model.encoder.embedding,
        "log_variance": model.encoder.log_var,
        "decoder_hidden": model.decoder.layers[0][0],
        "decoded": model.decoder.layers[1][0],
    }
    arrays = {}
    for name, layer in layers.items():
        arrays[name] = layer.weight.detach().numpy().T
        arrays[f"{name}_bias"] = layer.bias.detach().numpy()
    np.savez(output, **arrays)


if __name__ == "__main__":
    settings = json.loads(sys.argv[1])
    if "elbo" in settings:
        train_for_elbo(**settings["elbo"])
    else:
        serve(lambda: prepare(settings))
