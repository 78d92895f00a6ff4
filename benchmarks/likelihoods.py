"""How likely are images that a model has not seen? Bits per dimension, of all families alike.

    python -m benchmarks.likelihoods --output FOLDER

Models learn the 4,000 training images of the digits, without labels; printed is how many bits each
dimension of 500 test images costs at most, mean and standard error over the images. That is by the
density of images with uniform noise of a grey level's width (Theis et al., 2016, section 3.1), or,
by diffusion's variational bound, the code length of the grey levels themselves (Ho et al., 2020,
equation 13): bounds on the same bits, so all are compared. Seconds are of the processor, so that
other work counts little. Another family is another row of `CONTENDERS`. `--output` keeps models and
results; what is there is not redone.
"""

import argparse
import dataclasses
import json
import math
import pathlib
import tempfile
import time

import keras

import kgen
from benchmarks import harness

TEST, BATCH_SIZE, RATE = 500, 64, 2e-3


@dataclasses.dataclass
class Contender:
    """A model, and how its bits are counted.

    Attributes:
        model: class of the model.
        counts: arguments of `bits_per_dim` by what they count.
        arguments: of the model.
        epochs: passes over the images; None for a model that takes no steps.
        clipnorm: of its gradients; None: as they are.
    """

    model: type
    counts: dict
    arguments: dict = dataclasses.field(default_factory=dict)
    epochs: int | None = None
    clipnorm: float | None = None


def flow(counts, **arguments):
    """A normalizing flow, Glow by default."""
    return Contender(kgen.NormalizingFlow, counts, arguments, epochs=40, clipnorm=1.0)


BOTH = {
    "bound": {"method": "bound", "evaluations": 200},
    "ODE": {"method": "ode", "batch_size": 50},
}
CONTENDERS = {
    "Gaussian": Contender(kgen.Gaussian, {"exact": {}}, {"min_variance": 1e-5}),
    "mixture of Gaussians": Contender(
        kgen.GaussianMixture, {"exact": {}}, {"clusters": 5, "components": 100}
    ),
    "VAE": Contender(
        kgen.VAE,
        {"bound": {"samples": 1}, "100 samples": {"samples": 100}},
        {"latent_dim": 16, "reconstruction": "gaussian"},
        epochs=60,
    ),
    "flow": flow({"exact": {}}),
    "flow, variational noise": flow({"bound": {}}, dequantization="variational"),
    "flow, Real NVP": flow({"exact": {}}, variant="realnvp"),
    "flow, TarFlow": flow({"exact": {}}, variant="tarflow"),
    "diffusion": Contender(kgen.Diffusion, BOTH, epochs=25),
    "diffusion, low noise": Contender(
        kgen.Diffusion, BOTH, {"noise": kgen.noise.EDM(mean=-3.0, std_of_log=2.0)}, epochs=25
    ),
}


def train(contender, images, seed):
    """A model that has learned the images, and the seconds it took."""
    keras.utils.clear_session()
    keras.utils.set_random_seed(seed)
    model = contender.model(images.shape[1:], seed=seed, **contender.arguments)
    began = time.process_time()
    if contender.epochs is None:
        model.fit(images, verbose=0)
    else:
        updates = contender.epochs * (len(images) // BATCH_SIZE)
        rate = kgen.schedules.warmup_cosine(RATE, updates)
        model.compile(keras.optimizers.Adam(rate, clipnorm=contender.clipnorm))
        model.fit(images, batch_size=BATCH_SIZE, epochs=contender.epochs, verbose=0)
    return model, time.process_time() - began


def parameters(model):
    """How many numbers a model has learned."""
    learned = model.trainable_variables or model.weights  # those of `Gaussian` take no steps
    return sum(math.prod(v.shape) for v in learned if "float" in str(v.dtype))


def main(argv=None):
    """Train and count what is not there yet, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", choices=[*CONTENDERS], default=[*CONTENDERS])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=pathlib.Path, help="folder of models and results")
    run = parser.parse_args(argv)
    images = kgen.data.load("digits").images()
    test = kgen.data.load("digits", "test").images()[:TEST]
    with tempfile.TemporaryDirectory() as temporary:
        folder = run.output or pathlib.Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        for name in run.only:
            print(line(name, measured(name, folder, images, test, run.seed)), flush=True)


def measured(name, folder, images, test, seed):
    """What is known of a contender, and what was missing."""
    contender, kept = CONTENDERS[name], folder / f"{name}-{seed}.json"
    file = kept.with_suffix(".keras")
    if not kept.exists():
        model, seconds = train(contender, images, seed)
        model.save(file)
        found = {"parameters": parameters(model), "seconds": seconds, "bits": {}}
        harness.keep(kept, json.dumps(found))
    found, model = json.loads(kept.read_text()), keras.saving.load_model(file)
    for what in [what for what in contender.counts if what not in found["bits"]]:
        bits = model.bits_per_dim(test, **contender.counts[what]).astype("float64")
        found["bits"][what] = [bits.mean(), bits.std(ddof=1) / math.sqrt(len(bits))]
        harness.keep(kept, json.dumps(found))
    return found


def line(name, found):
    """What was found of one contender."""
    bits = ", ".join(
        f"{what} {mean:.3f} +- {error:.3f}" for what, (mean, error) in found["bits"].items()
    )
    count, seconds = found["parameters"], found["seconds"]
    return f"{name:<26} {count:>9,} parameters {seconds:>5.0f} s  bits per dimension: {bits}"


if __name__ == "__main__":
    harness.command(main)
