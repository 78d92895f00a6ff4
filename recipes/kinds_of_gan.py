r"""The kinds of GAN: conditional, AC-GAN, InfoGAN, BiGAN; what each is given, and makes of it.

    python -m recipes.kinds_of_gan
    python -m recipes.kinds_of_gan --kinds infogan,bigan --seeds 5
    python -m recipes.kinds_of_gan --dataset fashion_mnist --image-size 28 --variant dcgan \
        --learning-rate 2e-4 --augment "" --epochs 20

Trains each kind on the same images. Writes one figure: what goes into which network, an image of
each class, and the kind's number, which a judge finds. Variants, rates and epochs that are not
given are those that served the kind best. With `--resume` the same command goes on where it was
interrupted. (`recipes.semi_supervised_gan` has one kind more.)
"""

from argparse import ArgumentTypeError
from pathlib import Path

import keras
import numpy as np
from sklearn.cluster import KMeans
from sklearn.metrics import normalized_mutual_info_score

import kgen
from kgen import plots
from kgen.models.gan import VARIANTS
from recipes import _command, _run
from recipes._flags import above_zero
from recipes._measured import Measured, by_seed

BEST = {"variant": "gan", "learning_rate": 5e-4, "epochs": 70}  # fully connected
KINDS = {  # the model, and its own best where that is another
    "conditional": (kgen.ConditionalGAN, {"variant": "dcgan", "epochs": 18}),
    "ac_gan": (kgen.ACGAN, {}),
    "infogan": (kgen.InfoGAN, {"learning_rate": 1e-3}),
    "bigan": (kgen.BiGAN, {}),
}
ROWS = {  # of images: what they are, with the kind's number, and what goes where
    "conditional": {"conditional GAN: {n:.0%} as asked": "(z, y) [G] <x> {D(x, y):\nreal?}"},
    "ac_gan": {"AC-GAN: {n:.0%} as asked": "(z, y) [G] <x> {D(x):\nreal? y?}"},
    "infogan": {"InfoGAN: c tells {n:.0%} of y": "(z, c) [G] <x> {D(x):\nreal? c?}"},
    "bigan": {
        "BiGAN: test images": '"x" [E] "x, z" {D(x, z):\nE or G?}',
        "E, then G: {n:.0%} stay the same": "(z) [G] <x, z> {D(x, z):\nE or G?}",
    },
}


def kinds_in(text):
    """Names of kinds, with commas between them."""
    if unknown := sorted(set(text.split(",")) - set(KINDS)):
        raise ArgumentTypeError(f"must be of {', '.join(KINDS)}; got {', '.join(unknown)!r}")
    return text.split(",")


NAMES = {"default": ",".join(KINDS), "type": kinds_in, "metavar": "NAMES"}
DEFAULTS = {
    "output": Path("outputs/kinds_of_gan"),
    "image_size": 16,
    "epochs": {"help": "passes over the images; what serves the kind best if not given"},
    "batch_size": 64,
    "variant": {"choices": [*VARIANTS], "help": "setting after a paper; as --epochs"},
    "learning_rate": {"type": above_zero, "help": "of all players; as --epochs"},
    "augment": "translation",  # 4,000 images are few
    "kinds": NAMES | {"help": "what to train, with commas between"},
    "seeds": 1,
}


def settings_for(run, kind):
    """The flags for a kind: those that are given, and the best for it in the place of others."""
    given = {name: vars(run)[name] for name in BEST if vars(run)[name] is not None}
    own = KINDS[kind][1] if "variant" not in given else {}  # they belong to its variant
    return type(run)(**{**vars(run), **BEST, **own, **given})


def train(run, kind, images, seed, **arguments):
    """Train a kind of GAN with a seed; returns it."""
    model, _ = KINDS[kind]
    settings = type(run)(**vars(run) | {"seed": seed})
    arguments |= {"variant": run.variant, "augment": run.augment or None}
    optimizers = {p: keras.optimizers.Adam(run.learning_rate, 0.5) for p in model.players}
    name = f"{kind}-{seed}"
    return _run.train(settings, model, arguments, images, None, name, (), optimizers)[0]


def read(run, images):
    """The classes that a judge reads in images; -1 where there is no judge of these."""
    name = kgen.metrics.judge_for(run.dataset)
    if name is None:
        return np.full(len(images), -1)
    seen = kgen.metrics.judge(name).labels(images)
    _, _, factor = run.dataset.partition("/")
    return seen[factor] if factor else seen


def measure(run, kind, images, test, seed):
    """Train a kind with a seed; returns what was found of it, its number first."""
    n = images.num_classes
    seen, labels = test.images(), test.labels
    if kind == "infogan":
        options = {"categories": n, "codes": 2, "information_weight": 3.0}  # 1 does as well
        code = train(run, kind, images, seed, **options).code(seen)[0].argmax(axis=1)
        clusters = KMeans(n, n_init=4, random_state=seed).fit(flat(images.images()))
        found = {"code": code, "k-means": clusters.predict(flat(seen))}
        agree = normalized_mutual_info_score
        return {f"NMI of {k} and label": float(agree(labels, x)) for k, x in found.items()}
    if kind == "bigan":
        again = train(run, kind, images, seed, latent_dim=16).reconstruct(seen)
        found = {"labels that stay": float(np.mean(read(run, again) == labels))}
        error = np.square(again - seen).mean() / seen.var(axis=0).mean()
        return found | {"squared error / that of the mean image": float(error)}
    gan = train(run, kind, images, seed, num_classes=n)
    asked = np.tile(np.arange(n), 100)
    made = read(run, gan.generate(len(asked), asked, seed=seed))
    found = {"right labels": float(np.mean(made == asked))}
    if kind == "ac_gan":
        answers = gan.classify(seen).argmax(axis=1)
        found["test accuracy of the discriminator"] = float(np.mean(answers == labels))
    return found


def flat(images):
    """Images as rows of pixels."""
    return images.reshape(len(images), -1)


def made_by(gan, kind, test, seed):
    """Rows of images of a trained kind, one of each class."""
    n = test.num_classes
    if kind == "bigan":
        seen = test.of_each_class().images()
        return [seen, gan.reconstruct(seen)]
    if kind == "infogan":  # categories in the order of the classes that they hold most of
        codes = gan.code(test.images())[0].argmax(axis=1)
        of = [np.bincount(test.labels[codes == c], minlength=n).argmax() for c in range(n)]
        return [gan.generate(n, np.argsort(of), seed=seed)]
    return [gan.generate(n, np.arange(n), seed=seed)]


def draw(run, found, test):
    """Write what goes where beside the images of each kind; framed are those of another class."""
    rows, frames, names, chains = [], [], [], []
    for kind, parts in found.items():
        gan = keras.saving.load_model(run.output / f"{kind}-{run.seed}.keras")
        for row in made_by(gan, kind, test, run.seed):
            seen = read(run, row) if kind != "infogan" else np.full(len(row), -1)
            frames += [plots.WRONG if 0 <= c != asked else None for asked, c in enumerate(seen)]
            rows.append(row)
        chains += ROWS[kind].values()
        names += [plots.say(name, n=next(iter(parts[0].values()))) for name in ROWS[kind]]
    scheme = plots.Scheme.of_rows(*chains, share=0.4)
    pictures = plots.Images(np.stack(rows), names=names, frames=frames, gap=12)
    title = "What its networks are given decides what a GAN can do; framed: not the class asked for"
    _run.slide(run, "kinds_of_gan", scheme, pictures, title=title)


@_command.recipe(__doc__, ("publish",), **DEFAULTS)
def main(run):
    """Train each kind with each seed, measure, draw; returns what was found."""
    images, test = _run.load(run, labeled=True)
    _run.settle(run, kgen.GAN, {"image_shape": images.image_shape}, images)
    measured = Measured(run, images, {"kinds", "seeds"})
    found, results = {}, {}
    for kind in run.kinds:
        given = settings_for(run, kind), kind, images, test
        found[kind] = [measured.part(f"{kind}-{s}", measure, *given, s) for s in measured.seeds]
        results |= by_seed(found[kind], measured.seeds, f"{kind}, {{}}")
    draw(run, found, test)
    _run.report(run, None, "", results)
    return results


if __name__ == "__main__":
    main()
