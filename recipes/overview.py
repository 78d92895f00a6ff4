r"""All families side by side, after the lecture's closing slide: the same data, the same budget.

    python -m recipes.overview
    python -m recipes.overview --dataset fashion_mnist --epochs 20 --samples 10000

Trains one model of each family on the same images, for as many epochs where it learns by steps, and
measures what it generates: quality and diversity on the features of a judge, likelihood where there
is one, seconds to train and to sample. Writes one figure, one table (`overview.md`), and the
models. With `--resume` the same command measures only what is missing.
"""

import dataclasses
import itertools
import time
from pathlib import Path

import keras
import numpy as np

import kgen
from kgen import distributions, plots
from recipes import _run
from recipes._measured import Measured

DEFAULTS = {
    "output": Path("outputs/overview"),
    "image_size": 28,
    "epochs": 22,
    "batch_size": 64,
    "samples": {"default": 2000, "help": "samples of each family that are measured"},
    "latent_dim": 16,
    "network": "convolutional",
    "components": {"default": 64, "help": "principal axes of the Gaussians"},
    "learning_rate": 2e-3,
}
METRICS = ["fid", "precision", "recall", "density", "coverage", "sliced_wasserstein"]


def generate(model, images, n, seed):
    """Sample as the model itself does."""
    return model.generate(n, seed=seed)


def from_fitted_gaussian(model, images, n, seed):
    """Sample the latents of an autoencoder from a Gaussian, fitted afterwards."""
    prior = distributions.Gaussian.fit(model.encode(images.images()))
    return model.decode(prior.sample(n, seed))


@dataclasses.dataclass(frozen=True)
class Family:
    """A family: its model, what it is made with, and its picture, boxes in brackets."""

    model: type
    flags: tuple  # of the recipe, that are arguments of the model
    scheme: tuple
    arguments: dict = dataclasses.field(default_factory=dict)
    sample: object = generate
    bound: bool = False  # whether the likelihood is a lower bound


NETWORKS = ("latent_dim", "network")
FAMILIES = {
    "Gaussian": Family(
        kgen.Gaussian, ("components",), ("$z$", r"[$\mu + U z + \varepsilon$]", "$x'$")
    ),
    "mixture of Gaussians": Family(
        kgen.GaussianMixture, ("components",), ("$k, z$", r"[$\mu_k + U_k z$]", "$x'$")
    ),
    "autoencoder": Family(
        kgen.Autoencoder,
        NETWORKS,
        ("$x$", "[encoder]", "$z$", "[decoder]", "$x'$"),
        {"reconstruction": "mse"},
        from_fitted_gaussian,
    ),
    "VAE": Family(
        kgen.VAE,
        NETWORKS,
        ("$x$", "[encoder]", r"$\mu, \sigma$", "$z$", "[decoder]", "$x'$"),
        {"reconstruction": "gaussian"},
        bound=True,
    ),
    "GAN": Family(
        kgen.GAN,
        (),
        ("$z$", "[generator]", "$x', x$", "[discriminator]", "real?"),
        {"augment": "translation"},
    ),
}


class Clock(keras.callbacks.Callback):
    """Seconds of training, those before an interruption included."""

    def __init__(self):
        super().__init__()
        self.seconds = 0.0

    def on_epoch_begin(self, epoch, logs=None):
        """Start."""
        self._began = time.monotonic()

    def on_epoch_end(self, epoch, logs=None):
        """Add the epoch."""
        self.seconds += time.monotonic() - self._began


def path_of(run, name):
    """Where a family's model is saved."""
    return run.output / f"{name.lower().replace(' ', '_')}.keras"


def arguments_of(run, family):
    """What the model of a family is made with."""
    return {flag: vars(run)[flag] for flag in family.flags} | family.arguments


def fit(run, name, images, test):
    """Train the model of a family; returns it and the seconds that took."""
    family, path, clock = FAMILIES[name], path_of(run, name), Clock()
    arguments = arguments_of(run, family)
    if issubclass(family.model, kgen.Gaussian):  # takes no steps
        model = family.model(images.image_shape, **arguments, seed=run.seed)
        began = time.monotonic()
        model.fit(images, verbose=0)
        model.save(path)
        return model, time.monotonic() - began
    settings = (run, family.model, arguments, images, test, path.stem, [clock])
    return _run.train(*settings)[0], clock.seconds


def measure(run, name, images, test):
    """Train a family, and measure what it generates."""
    family, (model, seconds) = FAMILIES[name], fit(run, name, images, test)
    family.sample(model, images, 64, run.seed)  # compiles
    began = time.monotonic()
    drawn = family.sample(model, images, run.samples, run.seed)
    sampling = (time.monotonic() - began) * 1000 / run.samples
    judge = kgen.metrics.judge_for(run.dataset) or "pixels"
    found = kgen.metrics.evaluate(images, drawn, judge, METRICS, test, run.seed)
    results = dict(found.values, floor=found.results["fid"].floor)
    if hasattr(model, "log_likelihood"):
        results["log p(x) [nats]"] = float(np.mean(model.log_likelihood(test.images())))
    results["seconds of training"] = seconds
    results["seconds for 1,000 samples"] = sampling
    return results


def draw_scheme(axes, scheme):
    """Draw variables and boxes from left to right, with arrows between them."""
    texts = []
    for x, text in zip(np.linspace(0.06, 0.94, len(scheme)), scheme, strict=True):
        alpha = 1 if text.startswith("[") else 0  # variables have no frame
        box = {"boxstyle": "round,pad=0.4", "fc": "#dbe7f5", "ec": plots.DARK, "alpha": alpha}
        place = {"ha": "center", "va": "center", "size": 13, "bbox": box}
        texts.append(axes.text(x, 0.5, text.strip("[]"), **place))
    for left, right in itertools.pairwise(texts):
        patches = {"patchA": left.get_bbox_patch(), "patchB": right.get_bbox_patch()}
        arrow = {"arrowstyle": "-|>", "color": plots.DARK, "lw": 1.5, **patches}
        axes.annotate("", right.get_position(), left.get_position(), arrowprops=arrow)


def draw(run, found, images, test, path):
    """Write each family's picture, samples and numbers, and real images below."""
    figure, axes = plots.chart(17, 1.55 * (len(found) + 1), len(found) + 1, 3)
    rows = dict.fromkeys(found) | {"test images": test.images(20)}
    for (name, drawn), (left, middle, right) in zip(rows.items(), axes, strict=True):
        for each in (left, middle, right):
            each.set_axis_off()
        left.set(xlim=(0, 1), ylim=(0, 1))
        left.set_title(name, loc="left", size=15, weight="bold")
        if name in FAMILIES:
            family, values = FAMILIES[name], found[name]
            draw_scheme(left, family.scheme)
            model = keras.saving.load_model(path_of(run, name))
            drawn = family.sample(model, images, 20, run.seed)
            right.text(0, 0.5, said(values, family), va="center", size=12, linespacing=1.5)
        tiles = kgen.data.to_uint8(drawn).reshape(2, 10, *images.image_shape)
        tiles = np.pad(tiles, [(0, 0), (0, 0), (1, 1), (1, 1), (0, 0)], constant_values=255)
        picture = np.concatenate(np.concatenate(tiles.swapaxes(0, 1), axis=2), axis=0)
        middle.imshow(picture, cmap="gray", vmin=0, vmax=255)
    title = f"Families of generative models on the same {images.num_examples:,} images of "
    figure.suptitle(
        title + f"{run.dataset}, {run.epochs} epochs where they learn by steps", size=17
    )
    plots.save(figure, path)


def said(values, family):
    """A family's numbers, in four lines."""
    likelihood = "no likelihood"
    if "log p(x) [nats]" in values:
        sign = r"\geq" if family.bound else "="
        likelihood = rf"$\log p(x) {sign} {values['log p(x) [nats]']:,.0f}$ nats"
    return (
        f"FID {values['fid']:.2f} (floor {values['floor']:.2f})\n"
        f"precision {values['precision']:.2f}, recall {values['recall']:.2f} (k = 3)\n"
        f"{likelihood}\n"
        f"{values['seconds of training']:.3g} s of training, "
        f"{values['seconds for 1,000 samples']:.2g} s for 1,000 samples"
    )


def table(found):
    """The numbers as Markdown, a row for each family."""
    names = list(dict.fromkeys(name for values in found.values() for name in values))
    lines = [["family", *names], ["---"] * (len(names) + 1)]
    for family, values in found.items():
        lines.append([family, *(f"{values[n]:.4g}" if n in values else "" for n in names)])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


@_run.recipe(__doc__, ("publish",), **DEFAULTS)
def main(run):
    """Train and measure what is missing, draw; returns what was found by family."""
    images, test = _run.load(run)
    arguments = {"image_shape": images.image_shape, "network": run.network}
    _run.settle(run, kgen.VAE, arguments, images)
    for family in FAMILIES.values():  # what cannot be made is refused before any is trained
        family.model(images.image_shape, **arguments_of(run, family))
    measured = Measured(run, images)
    found = {name: measured.part(name, measure, run, name, images, test) for name in FAMILIES}
    draw(run, found, images, test, run.output / "overview.png")
    (run.output / "overview.md").write_text(table(found))
    results = {f"{what}, {name}": v for name, values in found.items() for what, v in values.items()}
    _run.report(run, None, "", results)
    return found


if __name__ == "__main__":
    main()
