r"""Why GANs are hard to train: gradients that vanish, and learning rates that have to be right.

    python -m recipes.gan_instability
    python -m recipes.gan_instability --seeds 5 --updates 2000

After Arjovsky and Bottou (2017, figures 1 to 3): a GAN is trained briefly on images, then its
generator is kept and new discriminators learn alone. Writes the norm of the gradient that the
generator would get from them, by loss, over their steps and against how well they tell its images
from real ones; and, for GANs of the ring of eight Gaussians whose discriminators take five steps
for one of the generator, what comes of them at five learning rates. A rate below 1e-3 has more
updates in proportion. `--resume` trains what is missing, also for more `--seeds`.
"""

import itertools
from pathlib import Path

import keras
import numpy as np
from keras import ops

import kgen
from kgen import plots
from kgen.engine import backend, state
from kgen.losses import R1, GradientPenalty
from kgen.networks import mlp_discriminator, mlp_generator
from recipes import _run
from recipes._measured import Measured

DEFAULTS = {
    "output": Path("outputs/gan_instability"),
    "image_size": 28,
    "batch_size": 64,
    "epochs": {"default": 11, "help": "of the GAN of images, whose generator is kept"},
    "seeds": 3,
    "updates": {"default": 600, "help": "updates of the generators of the GANs of points"},
    "discriminator_steps": 5,
}
STEPS = 2 ** np.arange(10)  # of a discriminator that learns alone, when it is looked at
RATES = (3e-4, 1e-3, 3e-3, 1e-2, 3e-2)
OF_IMAGES = {
    "minimax": ("minimax", "none"),
    "non-saturating": ("non_saturating", "none"),
    "Wasserstein, gradient penalty": ("wasserstein", GradientPenalty(10)),
}
OF_POINTS = {  # the penalties' weights suit points that lie within [-1, 1]
    **OF_IMAGES,
    "Wasserstein, gradient penalty": ("wasserstein", GradientPenalty(1)),
    "non-saturating, R1": ("non_saturating", R1(0.1)),
}


class FrozenGenerator(kgen.GAN):
    """A discriminator that learns alone, and the gradient that the generator would get from it."""

    players = {"discriminator": ["discriminator"]}
    logs = ("discriminator_loss", "accuracy", "gradient_norm")

    def update(self, batch):
        """One step of the discriminator."""
        fake = self.sample(batch, training=False)
        loss, accuracy = self.discriminator_step(batch, fake)
        norm = self.gradient_norm(batch)
        return {"discriminator_loss": loss, **accuracy, "gradient_norm": norm}

    def score_logs(self, real_score, fake_score):
        """The share of pairs of a real and a generated image that are told apart."""
        return {"accuracy": ops.mean(ops.cast(real_score > ops.transpose(fake_score), "float32"))}

    def gradient_norm(self, batch):
        """L2 norm of the gradient of the generator's loss, over all of its weights."""

        def loss():
            return self.generator_loss(batch, training=False), ()

        _, gradients = backend.value_and_grad(loss, self.generator.trainable_variables)
        return ops.sqrt(sum(ops.sum(ops.square(g)) for g in gradients))


def begun(run, fresh, optimizer, compiled, name):
    """A model ready to train, compiled once for each name.

    Later models of a name give the first one their state instead: weights, seeds, optimizers.
    """
    fresh.compile(optimizer, jit_compile=_run.XLA[run.jit])
    model = compiled.setdefault(name, fresh)
    if model is not fresh:
        state.restore(model, state.capture(fresh))
    return model


def briefly_trained(run, images):
    """The generator of a GAN of images, trained now or in the run that is resumed."""
    path = run.output / "run" / "gan.keras"
    if not path.exists():
        gan = kgen.GAN(images.image_shape, 64, variant="gan", seed=run.seed)
        gan.compile(jit_compile=_run.XLA[run.jit])
        gan.fit(images, epochs=run.epochs, verbose=0)
        gan.save(path)
    return keras.saving.load_model(path).generator


def measure_gradients(run, images, generator, compiled, name, seed):
    """Norms of the generator's gradient, and accuracies, while a new discriminator learns."""
    keras.utils.set_random_seed(seed)
    loss, penalty = OF_IMAGES[name]
    arguments = {"loss": loss, "penalty": penalty, "generator": generator, "seed": seed}
    fresh = FrozenGenerator(images.image_shape, 64, variant="gan", **arguments)
    model = begun(run, fresh, keras.optimizers.Adam(2e-4, 0.5, 0.9), compiled, name)
    found = {"gradient_norm": [], "accuracy": []}
    # An epoch logs the mean over its steps: each step that counts is an epoch by itself.
    ends = np.unique([STEPS - 1, STEPS])
    for i, (begin, end) in enumerate(itertools.pairwise(ends)):
        epoch = {"initial_epoch": i, "epochs": i + 1, "steps_per_epoch": int(end - begin)}
        logs = model.fit(images, **epoch, verbose=0).history
        for of, values in found.items():
            values += logs[of] if end in STEPS else []
    return found


def measure_rate(run, points, compiled, name, rate, seed):
    """Modes that a GAN of the ring covers, and the distance of its points from real ones."""
    keras.utils.set_random_seed(seed)
    loss, penalty = OF_POINTS[name]
    fresh = kgen.GAN(
        (2,),
        latent_dim=2,
        loss=loss,
        penalty=penalty,
        discriminator_steps=run.discriminator_steps,
        generator=mlp_generator((2,), 2, hidden=(64, 64)),
        discriminator=mlp_discriminator((2,), hidden=(64, 64)),
        average_decay=0.99,
        seed=seed,
    )
    both = {player: keras.optimizers.Adam(rate, 0.5, 0.9) for player in fresh.players}
    gan = begun(run, fresh, both, compiled, name)
    updates = round(run.updates * max(1, 1e-3 / rate))
    gan.fit(points, batch_size=128, steps_per_epoch=updates, verbose=0)
    generated = gan.generate(2000, seed=seed)
    modes = kgen.metrics.mode_coverage(generated, "ring").covered
    return {"modes": modes, "distance": sliced_distance(generated, points[:2000])}


def sliced_distance(a, b, directions=16):
    """Mean Wasserstein distance of points `(N, 2)` and `(M, 2)` projected on lines."""
    angles = np.pi * np.arange(directions) / directions
    lines = np.stack([np.cos(angles), np.sin(angles)])
    pairs = zip((a @ lines).T, (b @ lines).T, strict=True)
    return float(np.mean([kgen.metrics.wasserstein_1d(*pair) for pair in pairs]))


def draw(gradients, rates, real, path):
    """Write gradients by steps and by accuracy, modes and distances by learning rate."""
    figure, axes = plots.chart(13, 8.8, 2, 2)
    norm, rate = "norm of the generator's gradient", "learning rate of both players"
    panels = (
        (axes[0, 0], STEPS, gradients, "gradient_norm", True, norm),
        (axes[0, 1], np.array(RATES), rates, "modes", False, "modes covered, of 8"),
        (axes[1, 1], np.array(RATES), rates, "distance", True, "Wasserstein distance, sliced"),
    )
    for panel, x, found, of, log, ylabel in panels:
        curves = [measured[of] for measured in found.values()]
        plots.Bands(x, curves, list(found), ylabel=ylabel, log=log).into(panel)
    by_accuracy(axes[1, 0], gradients)
    for panel in axes[:, 1]:
        panel.lines[-1].set(ls="--")  # R1 may hide the critic
    axes[1, 1].get_legend().legend_handles[-1].set(ls="--")
    axes[1, 1].axhline(real, color=plots.DARK, ls=":")
    axes[1, 1].text(RATES[0], 1.03 * real, "other real points", va="bottom", size=11)
    axes[0, 1].get_legend().remove()
    axes[0, 0].set(xlabel="steps of the discriminator alone", xticks=STEPS, xticklabels=STEPS)
    axes[1, 0].set(xlabel="accuracy: pairs of a real and a generated image told apart", ylabel=norm)
    axes[0, 0].set_title("The generator is kept, the discriminator goes on", size=14)
    axes[0, 1].set_title("Sensitivity to the learning rate, ring of Gaussians", size=14)
    axes[0, 1].set(ylim=(-0.3, 8.3))
    axes[1, 1].set(xlabel=rate)
    plots.save(figure, path)


def by_accuracy(panel, gradients):
    """Draw norms of the gradient against accuracies, both means, with the steps at some points."""
    for color, found in enumerate(gradients.values()):
        accuracy, norm = (np.mean(found[of], axis=0) for of in ("accuracy", "gradient_norm"))
        panel.plot(accuracy, norm, "o-", color=f"C{color}")
    lowest = min(gradients.values(), key=lambda found: np.mean(found["gradient_norm"], axis=0)[-1])
    accuracy, norm = (np.mean(lowest[of], axis=0) for of in ("accuracy", "gradient_norm"))
    for i in range(0, len(STEPS), 3):
        where = {"xytext": (-9, -3), "ha": "right"} if i else {"xytext": (-5, -20), "ha": "left"}
        where |= {"textcoords": "offset points", "size": 11}
        panel.annotate(f"step {STEPS[i]}", (accuracy[i], norm[i]), **where)
    panel.set_yscale("log")


@_run.recipe(__doc__, ("precision", "publish"), **DEFAULTS)
def main(run):
    """Train, measure, draw; returns what was measured, by loss and seed."""
    images, _ = _run.load(run)
    measured = Measured(run, images, {"seeds"})
    generator, compiled = briefly_trained(run, images), {}
    seeds, gradients, rates = range(run.seed, run.seed + run.seeds), {}, {}
    for name in OF_IMAGES:
        args = run, images, generator, compiled, name
        parts = [measured.part(f"{name}, seed {s}", measure_gradients, *args, s) for s in seeds]
        gradients[name] = {of: [part[of] for part in parts] for of in parts[0]}
    points, compiled = kgen.data.toy2d.draw("ring", 8192, seed=run.seed)[0], {}
    for name in OF_POINTS:
        args = run, points, compiled, name
        parts = [
            [
                measured.part(f"{name}, rate {r:g}, seed {s}", measure_rate, *args, r, s)
                for r in RATES
            ]
            for s in seeds
        ]
        rates[name] = {of: [[p[of] for p in row] for row in parts] for of in parts[0][0]}
    others, _ = kgen.data.toy2d.draw("ring", 2000, seed=run.seed + 1)
    real, results = sliced_distance(others, points[:2000]), {}
    draw(gradients, rates, real, run.output / "gan_instability.png")
    for name, found in gradients.items():
        for i in (0, -1):
            value = np.mean(found["gradient_norm"], axis=0)[i]
            results[f"gradient norm, {name}, after {STEPS[i]}"] = float(value)
    for name, found in rates.items():
        for rate, modes in zip(RATES, np.mean(found["modes"], axis=0), strict=True):
            results[f"modes covered, {name}, learning rate {rate:g}"] = float(modes)
    _run.report(run, None, "", results)
    return gradients, rates


if __name__ == "__main__":
    main()
