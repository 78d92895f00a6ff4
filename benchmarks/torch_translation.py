"""The peers of `benchmarks.translation`: pix2pix, CycleGAN and CUT in plain PyTorch, a bare loop.

Runs in the peers' Python environment, on CPUs and on CUDA, and imports nothing of kgen. What it is
to do is one JSON object; "serve" holds the arguments of `prepare`, whose result is a contender of
`benchmarks.harness`:

    python -m benchmarks.torch_translation '{"serve": {"model": "cyclegan", "batch_size": 1}}'

Networks and losses are those of Isola et al. (2017), Zhu et al. (2017) and Park et al. (2020) as
kgen has them, and so is the order: the generators step first, then the discriminators, on the same
generated images.
"""

import contextlib
import json
import random
import sys

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from benchmarks.harness import MATMUL, peak_memory, serve

PRECISIONS = {"float32": None, "bfloat16": torch.bfloat16, "float16": torch.float16}
MOST_HALVINGS, MOST_WIDENING = 8, 8  # of the U-Net; of filters in U-Net and PatchGAN
COMPARED_BLOCKS = 5  # the last of the residual blocks that CUT compares
L1_WEIGHT, CYCLE_WEIGHT, IDENTITY_WEIGHT = 100.0, 10.0, 0.5
PATCHES, PROJECTED, TEMPERATURE = 256, 256, 0.07


class UNet(nn.Module):
    """Images `(N, C, S, S)` to images in [-1, 1] of the same size (Isola et al., 2017).

    Halved as often as the side allows, at most 8 times; dropout in those of the decoder's first
    three stages that have all channels.
    """

    def __init__(self, side, channels, filters):
        super().__init__()
        widths = []
        while side % 2 == 0 and len(widths) < MOST_HALVINGS:
            side //= 2
            widths.append(filters * min(2 ** len(widths), MOST_WIDENING))
        self.encoder, self.decoder = nn.ModuleList(), nn.ModuleList()
        for index, (inputs, outputs) in enumerate(zip([channels, *widths], widths, strict=False)):
            stage = [nn.Conv2d(inputs, outputs, 4, 2, 1, bias=False)]
            if index > 0:
                stage.insert(0, nn.LeakyReLU(0.2))
            if 0 < index < len(widths) - 1:
                stage.append(nn.BatchNorm2d(outputs))
            self.encoder.append(nn.Sequential(*stage))
        inputs = widths[-1]
        for index, outputs in enumerate(widths[-2::-1]):
            stage = [nn.ReLU(), nn.ConvTranspose2d(inputs, outputs, 4, 2, 1, bias=False)]
            stage.append(nn.BatchNorm2d(outputs))
            if index < 3 and outputs == filters * MOST_WIDENING:
                stage.append(nn.Dropout(0.5))
            self.decoder.append(nn.Sequential(*stage))
            inputs = 2 * outputs  # its own, and those of the encoder
        self.last = nn.Sequential(nn.ReLU(), nn.ConvTranspose2d(inputs, channels, 4, 2, 1))

    def forward(self, x):
        """See the class."""
        skipped = []
        for stage in self.encoder:
            x = stage(x)
            skipped.append(x)
        x = skipped.pop()
        for stage in self.decoder:
            x = torch.cat([stage(x), skipped.pop()], 1)
        return torch.tanh(self.last(x))


class ResNet(nn.Module):
    """Images `(N, C, S, S)` to images in [-1, 1] of the same size (Zhu et al., 2017).

    In two parts: `features`, up to the last layer that CUT compares, and `rest`.
    """

    def __init__(self, channels, filters, blocks):
        super().__init__()

        def normalized(layer, outputs):
            return [layer, nn.InstanceNorm2d(outputs), nn.ReLU()]

        f = filters
        kept = [ResidualBlock(4 * f) for _ in range(blocks)]
        self.compared = nn.ModuleList(
            [
                nn.ReflectionPad2d(3),
                nn.Sequential(
                    *normalized(nn.Conv2d(channels, f, 7), f), nn.Conv2d(f, 2 * f, 3, 2, 1)
                ),
                nn.Sequential(
                    nn.InstanceNorm2d(2 * f), nn.ReLU(), nn.Conv2d(2 * f, 4 * f, 3, 2, 1)
                ),
                nn.Sequential(nn.InstanceNorm2d(4 * f), nn.ReLU(), kept[0]),
                nn.Sequential(*kept[1:COMPARED_BLOCKS]),
            ]
        )
        self.rest = nn.Sequential(
            *kept[COMPARED_BLOCKS:],
            *normalized(nn.ConvTranspose2d(4 * f, 2 * f, 3, 2, 1, 1), 2 * f),
            *normalized(nn.ConvTranspose2d(2 * f, f, 3, 2, 1, 1), f),
            nn.ReflectionPad2d(3),
            nn.Conv2d(f, channels, 7),
            nn.Tanh(),
        )

    def features(self, x):
        """What CUT compares: padded pixels, both strided convolutions, first and fifth block."""
        found = []
        for part in self.compared:
            x = part(x)
            found.append(x)
        return found

    def forward(self, x):
        """See the class."""
        return self.rest(self.features(x)[-1])


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions that add to what comes in."""

    def __init__(self, channels):
        super().__init__()
        self.residual = nn.Sequential(
            nn.ReflectionPad2d(1),
            nn.Conv2d(channels, channels, 3),
            nn.InstanceNorm2d(channels),
            nn.ReLU(),
            nn.ReflectionPad2d(1),
            nn.Conv2d(channels, channels, 3),
            nn.InstanceNorm2d(channels),
        )

    def forward(self, x):
        """See the class."""
        return x + self.residual(x)


def patchgan(channels, filters, normalization):
    """Images `(N, C, S, S)` to logits `(N, 1, s, s)`, each of 70x70 pixels (Isola et al., 2017)."""
    layers, inputs = [], channels
    for index, stride in enumerate((2, 2, 2, 1)):
        outputs = filters * min(2**index, MOST_WIDENING)
        biased = index == 0 or normalization is not nn.BatchNorm2d
        layers.append(nn.Conv2d(inputs, outputs, 4, stride, 1, bias=biased))
        if index > 0:
            layers.append(normalization(outputs))
        layers.append(nn.LeakyReLU(0.2))
        inputs = outputs
    return nn.Sequential(*layers, nn.Conv2d(inputs, 1, 4, 1, 1))


def heads(channels, filters):
    """The heads of CUT, one for each layer of `ResNet.features`."""
    f = filters
    return nn.ModuleList(
        nn.Sequential(nn.Linear(count, PROJECTED), nn.ReLU(), nn.Linear(PROJECTED, PROJECTED))
        for count in (channels, 2 * f, 4 * f, 4 * f, 4 * f)
    )


def initialized(network):
    """Kernels from N(0, 0.02), scales from N(1, 0.02), biases zero."""
    for layer in network.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(layer.weight, std=0.02)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
        elif isinstance(layer, nn.BatchNorm2d):
            nn.init.normal_(layer.weight, 1.0, 0.02)
    return network


class ImageHistory:
    """Give half of the images older ones in their place (Shrivastava et al., 2017).

    Image by image, by numbers that the host draws: so a device is never waited for.
    """

    def __init__(self, size):
        self.size, self.images = size, []

    def __call__(self, images):
        """Images `(N, C, S, S)` or older ones."""
        shown = []
        for image in images:
            if len(self.images) < self.size:
                self.images.append(image.clone())
            elif random.random() < 0.5:
                place = random.randrange(self.size)
                image, self.images[place] = self.images[place], image.clone()
            shown.append(image)
        return torch.stack(shown)


class Translator:
    """Two players, their optimizers, and one update of both.

    Args:
        image_shape: `(S, S, C)`, of both domains.
        filters, blocks: of the networks.
        device: "cpu" or "cuda".
        precision: "float32"; "bfloat16" or "float16" by autocast, the last layers included, the
            latter with scaled losses.
        channels_last: whether images and kernels lie in memory as NHWC.
        compile: whether `torch.compile` compiles both losses.
        joined: whether a network that sees images of both domains, or real and generated ones, gets
            them in one call, where that gives the same (never pix2pix, with batch normalisation).
    """

    def __init__(
        self,
        image_shape,
        filters=32,
        blocks=6,
        device="cpu",
        precision="float32",
        channels_last=False,
        compile=False,
        joined=False,
    ):
        if device == "cuda":
            torch.set_float32_matmul_precision("high")  # TF32, as XLA takes it by default
            torch.backends.cudnn.benchmark = True
        self.device, self.dtype, self.joined = device, PRECISIONS[precision], joined
        self.layout = torch.channels_last if channels_last else torch.contiguous_format
        self.players = {
            player: initialized(networks).to(device, memory_format=self.layout)
            for player, networks in self.networks(image_shape, filters, blocks).items()
        }
        self.optimizers, self.scalers = {}, {}
        for player, networks in self.players.items():
            settings = {"lr": 2e-4, "betas": (0.5, 0.999), "eps": 1e-7, "fused": True}
            self.optimizers[player] = torch.optim.Adam(networks.parameters(), **settings)
            scaled = self.dtype is torch.float16
            self.scalers[player] = torch.amp.GradScaler(device, enabled=scaled)
        compiled = torch.compile if compile else lambda function: function
        self.losses = {
            "generator": compiled(self.generator_loss),
            "discriminator": compiled(self.discriminator_loss),
        }

    def networks(self, image_shape, filters, blocks):
        """The networks of "generator" and "discriminator", an `nn.ModuleDict` each."""
        raise NotImplementedError

    def generator_loss(self, a, b):
        """The generators' loss, and the images that they made, a list."""
        raise NotImplementedError

    def discriminator_loss(self, a, b, *fakes):
        """The discriminators' loss on the images that were made."""
        raise NotImplementedError

    def shown(self, fakes):
        """Which generated images the discriminators see."""
        return fakes

    def scores(self, discriminator, real, fake):
        """What a discriminator says of real and of generated images."""
        if self.joined:
            return discriminator(torch.cat([real, fake])).float().chunk(2)
        return discriminator(real).float(), discriminator(fake).float()

    def autocast(self):
        """The context in which losses are computed."""
        return torch.autocast(self.device, self.dtype) if self.dtype else contextlib.nullcontext()

    def update(self, a, b):
        """A step of the generators, one of the discriminators; uint8 images `(N, C, S, S)`."""
        a, b = (
            images.float().div_(127.5).sub_(1).contiguous(memory_format=self.layout)
            for images in (a, b)
        )
        self.players["discriminator"].requires_grad_(False)
        with self.autocast():
            loss, fakes = self.losses["generator"](a, b)
        self.step("generator", loss)
        self.players["discriminator"].requires_grad_(True)
        fakes = self.shown([fake.detach() for fake in fakes])
        with self.autocast():
            loss = self.losses["discriminator"](a, b, *fakes)
        self.step("discriminator", loss)

    def step(self, player, loss):
        """Move a player's networks down the gradient of its loss."""
        optimizer, scaler = self.optimizers[player], self.scalers[player]
        optimizer.zero_grad(set_to_none=True)
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()

    def images(self, array):
        """A uint8 array `(N, H, W, C)` as a tensor on the device, NCHW."""
        images = torch.from_numpy(array).to(self.device).permute(0, 3, 1, 2)
        return images.contiguous(memory_format=self.layout)

    def parameters(self):
        """Number of trained weights."""
        return sum(p.numel() for networks in self.players.values() for p in networks.parameters())


class Pix2Pix(Translator):
    """Equation 4 of Isola et al. (2017)."""

    def networks(self, image_shape, filters, blocks):
        """A U-Net, and a PatchGAN that sees the input beside the answer."""
        side, _, channels = image_shape
        return {
            "generator": nn.ModuleDict({"a_to_b": UNet(side, channels, filters)}),
            "discriminator": nn.ModuleDict({"b": patchgan(2 * channels, filters, nn.BatchNorm2d)}),
        }

    def generator_loss(self, a, b):
        """See `Translator`."""
        fake = self.players["generator"]["a_to_b"](a)
        score = self.players["discriminator"]["b"](torch.cat([fake, a], 1)).float()
        l1 = (fake.float() - b).abs().mean()
        return functional.softplus(-score).mean() + L1_WEIGHT * l1, [fake]

    def discriminator_loss(self, a, b, fake):
        """See `Translator`."""
        discriminator = self.players["discriminator"]["b"]
        real, fake = torch.cat([b, a], 1), torch.cat([fake, a], 1)
        of_real, of_fake = self.scores(discriminator, real, fake)
        return (functional.softplus(-of_real).mean() + functional.softplus(of_fake).mean()) / 2


class CycleGAN(Translator):
    """Equation 3 of Zhu et al. (2017), with identity and a history of 50 images of each domain."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.histories = [ImageHistory(50), ImageHistory(50)]

    def networks(self, image_shape, filters, blocks):
        """Two ResNets and two PatchGANs."""
        channels = image_shape[-1]
        return {
            "generator": nn.ModuleDict(
                {way: ResNet(channels, filters, blocks) for way in ("a_to_b", "b_to_a")}
            ),
            "discriminator": nn.ModuleDict(
                {domain: patchgan(channels, filters, nn.InstanceNorm2d) for domain in "ab"}
            ),
        }

    def translated(self, way, images, others):
        """Images as the other domain, and those of that domain, which shall stay as they are."""
        generator = self.players["generator"][way]
        if self.joined:
            return generator(torch.cat([images, others])).chunk(2)
        return generator(images), generator(others)

    def generator_loss(self, a, b):
        """See `Translator`."""
        generators, discriminators = self.players["generator"], self.players["discriminator"]
        fake_b, same_b = self.translated("a_to_b", a, b)
        fake_a, same_a = self.translated("b_to_a", b, a)
        back_a, back_b = generators["b_to_a"](fake_b), generators["a_to_b"](fake_a)
        cycle = distance(back_a, a) + distance(back_b, b)
        identity = distance(same_a, a) + distance(same_b, b)
        loss = CYCLE_WEIGHT * (cycle + IDENTITY_WEIGHT * identity)
        for domain, fake in (("a", fake_a), ("b", fake_b)):
            loss = loss + (discriminators[domain](fake).float() - 1).square().mean()
        return loss, [fake_a, fake_b]

    def discriminator_loss(self, a, b, fake_a, fake_b):
        """See `Translator`."""
        discriminators = self.players["discriminator"]
        return least_squares(*self.scores(discriminators["a"], a, fake_a)) + least_squares(
            *self.scores(discriminators["b"], b, fake_b)
        )

    def shown(self, fakes):
        """Some of them older ones."""
        return [history(fake) for history, fake in zip(self.histories, fakes, strict=True)]


class CUT(Translator):
    """Equation 6 of Park et al. (2020), both terms halved as in its code."""

    def networks(self, image_shape, filters, blocks):
        """A ResNet with its heads, and a PatchGAN."""
        channels = image_shape[-1]
        return {
            "generator": nn.ModuleDict(
                {"a_to_b": ResNet(channels, filters, blocks), "heads": heads(channels, filters)}
            ),
            "discriminator": nn.ModuleDict({"b": patchgan(channels, filters, nn.InstanceNorm2d)}),
        }

    def generator_loss(self, a, b):
        """See `Translator`."""
        if self.joined:
            images, nce = self.translated(torch.cat([a, b]))
            fake, _ = images.chunk(2)
        else:
            fake, nce = self.translated(a)
            _, nce_of_b = self.translated(b)
            nce = (nce + nce_of_b) / 2
        score = self.players["discriminator"]["b"](fake).float()
        return (score - 1).square().mean() + nce, [fake]

    def translated(self, images):
        """Images as the other domain, and their PatchNCE loss."""
        generator = self.players["generator"]["a_to_b"]
        source = generator.features(images)
        made = generator.rest(source[-1])
        return made, self.nce(source, generator.features(made))

    def nce(self, source, translated):
        """Mean over layers of PatchNCE (equation 3), at 256 places of each."""
        loss = 0.0
        for head, key, query in zip(
            self.players["generator"]["heads"], source, translated, strict=True
        ):
            places = torch.randperm(key[0, 0].numel(), device=key.device)[:PATCHES]
            key, query = (t.flatten(2)[..., places].transpose(1, 2) for t in (key, query))
            with torch.no_grad():
                key = functional.normalize(head(key).float(), dim=-1)
            query = functional.normalize(head(query).float(), dim=-1)
            logits = (query @ key.transpose(1, 2)).float() / TEMPERATURE
            own = torch.arange(logits.shape[1], device=logits.device).repeat(len(logits))
            loss = loss + functional.cross_entropy(logits.flatten(0, 1), own)
        return loss / len(source)

    def discriminator_loss(self, a, b, fake):
        """See `Translator`."""
        return least_squares(*self.scores(self.players["discriminator"]["b"], b, fake))


def distance(images, others):
    """Mean over pixels and channels of the absolute difference."""
    return (images.float() - others).abs().mean()


def least_squares(of_real, of_fake):
    """Half of a discriminator's objective (Zhu et al., 2017, section 4)."""
    return ((of_real - 1).square().mean() + of_fake.square().mean()) / 2


MODELS = {"pix2pix": Pix2Pix, "cyclegan": CycleGAN, "cut": CUT}


def prepare(model="pix2pix", image_shape=(64, 64, 3), batch_size=1, **settings):
    """A contender of `benchmarks.harness`, warm, on random images; settings as in `Translator`."""
    torch.manual_seed(0)
    translator = MODELS[model](image_shape, **settings)
    draw = np.random.default_rng(0).integers
    a, b = (
        translator.images(draw(0, 256, (8 * batch_size, *image_shape), "uint8")) for _ in range(2)
    )
    device = translator.device

    def synchronize():
        if device == "cuda":
            torch.cuda.synchronize()

    def run(steps):
        for rows in torch.randint(len(a), (steps, batch_size), device=device):
            translator.update(a[rows], b[rows])
        synchronize()

    run(2)
    matrix = torch.randn(MATMUL, MATMUL, device=device, dtype=translator.dtype or torch.float32)

    def matmul():
        matrix @ matrix
        synchronize()

    def memory():
        return torch.cuda.max_memory_allocated() if device == "cuda" else peak_memory()

    name = torch.cuda.get_device_name() if device == "cuda" else "CPU"
    about = {"device": name, "version": f"torch {torch.__version__}"}
    return {"parameters": translator.parameters(), **about}, run, matmul, memory


if __name__ == "__main__":
    given = json.loads(sys.argv[1])
    serve(lambda: prepare(**given["serve"]))
