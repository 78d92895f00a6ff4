r"""Why GANs are hard to train: gradients that vanish, and learning rates that have to be right.

    python -m recipes.gan_instability
    python -m recipes.gan_instability --seeds 5 --updates 2000

After Arjovsky and Bottou (2017): a GAN is trained briefly on images, then its generator is frozen,
and new discriminators learn alone. Writes the norm of the gradient that a generated image gets from
them, by loss, over their steps; and how many modes GANs of the ring of eight Gaussians cover at
five learning rates; one below 1e-3 has more updates in proportion. `--resume` trains what is
missing, also for more `--seeds`.
"""

from functools import partial
from pathlib import Path

import keras
import numpy as np
from keras import ops

import kgen
from kgen import plots
from recipes import _command, _run
from recipes._measured import Measured, begun

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
    "Wasserstein, gradient penalty": ("wasserstein", kgen.losses.GradientPenalty(10)),
}
OF_POINTS = OF_IMAGES | {  # penalties that suit points within [-1, 1]
    "Wasserstein, gradient penalty": ("wasserstein", kgen.losses.GradientPenalty(1)),
    "non-saturating, R1": ("non_saturating", kgen.losses.R1(0.1)),
}


def gradient(model, real):
    """The mean norm of what generated images get, and how many pairs are told apart."""
    judge = partial(model.run_discriminator, training=False)
    fake = model.generate(len(real), seed=0)

    def loss(images):
        return model.adversarial_objective.generator_loss(judge, [], [images], None)[0] * len(real)

    slopes = model.input_gradient(loss, ops.convert_to_tensor(fake))
    norms = np.linalg.norm(ops.convert_to_numpy(slopes).reshape(len(real), -1), axis=1)
    right = model.scores(fake) < model.scores(real)[:, None]
    return {"gradient_norm": float(norms.mean()), "accuracy": float(right.mean())}


def measure_gradients(run, images, generator, compiled, name, seed):
    """Gradients and accuracies while a new discriminator learns alone."""
    keras.utils.set_random_seed(seed)
    loss, penalty = OF_IMAGES[name]
    options = {"loss": loss, "penalty": penalty, "generator": generator, "seed": seed}
    fresh = kgen.GAN(images.image_shape, 64, variant="gan", average_decay=0.0, **options)
    optimizer = {"discriminator": keras.optimizers.Adam(2e-4, 0.5, 0.9)}
    model = begun(fresh, compiled, name, optimizer, _run.XLA[run.jit])
    found = []
    for steps in np.diff(STEPS, prepend=0).tolist():
        model.fit(images, steps_per_epoch=steps, verbose=0)
        found.append(gradient(model, images.images(500)))
    return {of: [each[of] for each in found] for of in found[0]}


def measure_rate(run, points, compiled, name, rate, seed):
    """Modes that a GAN of the ring covers."""
    keras.utils.set_random_seed(seed)
    loss, penalty = OF_POINTS[name]
    networks = {
        "generator": kgen.networks.mlp_generator((2,), 2, hidden=(64, 64)),
        "discriminator": kgen.networks.mlp_discriminator((2,), hidden=(64, 64)),
    }
    options = {"loss": loss, "penalty": penalty, "average_decay": 0.99, "seed": seed}
    fresh = kgen.GAN((2,), 2, discriminator_steps=run.discriminator_steps, **networks, **options)
    both = {player: keras.optimizers.Adam(rate, 0.5, 0.9) for player in fresh.players}
    gan = begun(fresh, compiled, name, both, _run.XLA[run.jit])
    updates = round(run.updates * max(1, 1e-3 / rate))
    gan.fit(points, batch_size=128, steps_per_epoch=updates, verbose=0)
    return kgen.metrics.mode_coverage(gan.generate(2000, seed=seed), "ring").covered


def draw(run, gradients, rates):
    """Write gradients by steps of the discriminator, and modes by learning rate."""
    x, y = "steps of the discriminator alone", "gradient at a generated image"
    left = plots.Bands(STEPS, gradients, xlabel=x, ylabel=y, legend=None)
    x, y = "learning rate of both players", "modes covered, of 8"
    right = plots.Bands(RATES, rates, log=False, xlabel=x, ylabel=y, legend="lower left")
    first, *_, last = np.mean(gradients["minimax"], axis=0)
    fields = {"first": first, "last": last, "few": rates["minimax"][:, -2].mean()}
    title = "As D learns, minimax's gradient falls from {first:.2g} to {last:.0e}; at a rate of "
    title += "{rate:g} it finds {few:.1f} of 8 modes"
    _run.slide(run, "gan_instability", left, right, title=title, rate=RATES[-2], **fields)


@_command.recipe(__doc__, ("precision", "publish"), **DEFAULTS)
def main(run):
    """Train, measure, draw; returns what was measured, by loss: gradients and modes by seed."""
    images, _ = _run.load(run)
    measured = Measured(run, images, {"seeds"})
    gan, _ = _run.train(run, kgen.GAN, {"latent_dim": 64, "variant": "gan"}, images, None, "gan")
    gan.generator.trainable = False
    args = measure_gradients, run, images, gan.generator, {}
    found = measured.each("{}", OF_IMAGES, measured.seeds, *args)
    gradients = {name: [part["gradient_norm"] for part in parts] for name, parts in found.items()}
    results = {
        f"{what}, {name}, after {STEPS[i]}": float(np.mean([part[of][i] for part in parts]))
        for name, parts in found.items()
        for i in (0, -1)
        for what, of in {"gradient norm": "gradient_norm", "pairs told apart": "accuracy"}.items()
    }
    points, _ = kgen.data.toy2d.draw("ring", 8192, seed=run.seed)
    rates, compiled = {}, {}
    for name in OF_POINTS:
        args = measure_rate, run, points, compiled, name
        by_rate = measured.each(name + ", rate {:g}", RATES, measured.seeds, *args)
        rates[name] = np.transpose([*by_rate.values()])
        for rate, modes in by_rate.items():
            results[f"modes covered, {name}, learning rate {rate:g}"] = float(np.mean(modes))
    draw(run, gradients, rates)
    _run.report(run, None, "", results)
    return gradients, rates


if __name__ == "__main__":
    main()
