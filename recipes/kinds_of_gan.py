r"""The kinds of GAN: conditional, AC-GAN, InfoGAN, BiGAN, semi-supervised; one figure each.

    python -m recipes.kinds_of_gan
    python -m recipes.kinds_of_gan --kinds infogan,semi_supervised --seeds 5
    python -m recipes.kinds_of_gan --dataset fashion_mnist --image-size 28 --variant dcgan \
        --learning-rate 2e-4 --augment "" --epochs 20

Trains each kind on the same images. Writes for the conditional GAN and the AC-GAN a row of samples
for each class, for InfoGAN a row for each category of its code and what its continuous codes
change, for BiGAN test images beside their reconstructions, for the semi-supervised GAN its errors
beside those of the same classifier after as many steps on the labelled images alone, augmented in
the same way, and all kinds in one figure. Networks are fully connected but for two kinds, which
gain much from convolutions; variants, rates and epochs that are not given are those that served the
kind best (`BEST`, `OWN`). With `--resume` the same command goes on where it was interrupted.
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
from recipes import _run
from recipes._flags import above_zero
from recipes._measured import Measured


def kinds_in(text):
    """Names of kinds, with commas between them."""
    if unknown := sorted(set(text.split(",")) - set(KINDS)):
        raise ArgumentTypeError(f"must be of {', '.join(KINDS)}; got {', '.join(unknown)!r}")
    return text.split(",")


DEFAULTS = {
    "output": Path("outputs/kinds_of_gan"),
    "image_size": 16,
    "epochs": {"help": "passes over the images; what serves the kind best if not given"},
    "batch_size": 64,
    "variant": {
        "choices": list(VARIANTS),
        "help": "setting after a paper; what serves the kind best if not given",
    },
    "learning_rate": {
        "type": above_zero,
        "help": "of all players; what serves the kind best if not given",
    },
    "augment": "translation",  # 4,000 images are few
    "kinds": {
        "default": "conditional,ac_gan,infogan,bigan,semi_supervised",
        "type": kinds_in,
        "metavar": "NAMES",
        "help": "what to train, with commas between",
    },
    "seeds": 1,
    "labels": {"default": 100, "help": "labelled images of the semi-supervised GAN"},
}
INFORMATION = 3.0  # lambda of InfoGAN; the paper's 1 does as well within the spread of seeds
BEST = {"variant": "gan", "learning_rate": 5e-4, "epochs": 70}  # fully connected
OWN = {  # of kinds that learn better so
    "conditional": {"variant": "dcgan", "epochs": 18},
    "infogan": {"learning_rate": 1e-3},
    "semi_supervised": {"variant": "dcgan", "learning_rate": 2e-4, "epochs": 18},
}


def settings_for(run, kind):
    """The flags for a kind: those that are given, and the best for it in the place of others."""
    given = {name: vars(run)[name] for name in BEST if vars(run)[name] is not None}
    own = OWN.get(kind, {}) if "variant" not in given else {}  # they belong to its variant
    return type(run)(**{**vars(run), **BEST, **own, **given})


def train(run, model, arguments, images, name, seed):
    """Train a kind of GAN with a seed; returns it."""
    settings = type(run)(**vars(run) | {"seed": seed})
    keras.utils.set_random_seed(seed)
    common = {"seed": seed, "variant": run.variant, "augment": run.augment or None}
    optimizers = {p: keras.optimizers.Adam(run.learning_rate, 0.5) for p in model.players}
    settings = (settings, model, common | arguments, images, None, f"{name}-{seed}", (), optimizers)
    return _run.train(*settings)[0]


def trained(run, name, seed=None):
    """The model of a kind and a seed, from its file."""
    seed = run.seed if seed is None else seed
    return keras.saving.load_model(run.output / f"{name}-{seed}.keras")


def conditional(run, images, test, seed, model=kgen.ConditionalGAN, name="conditional"):
    """Samples by class; how often the judge sees the class that was asked for."""
    gan = train(run, model, {"num_classes": images.num_classes}, images, name, seed)
    if seed == run.seed:
        names = images.class_names or range(images.num_classes)
        draw_labels(gan, names, seed, run.output / f"{name}.png")
    asked = np.tile(np.arange(images.num_classes), 100)
    name, _, factor = (kgen.metrics.judge_for(run.dataset) or "").partition("/")
    if not name:
        return {}
    seen = kgen.metrics.judge(name).labels(gan.generate(len(asked), asked, seed=seed))
    return {"right labels": float(np.mean((seen[factor] if factor else seen) == asked))}


def draw_labels(gan, names, seed, path, columns=12):
    """A row for each label, a column for each latent."""
    latents = np.tile(gan.latents(columns, gan.latent_dim, seed), (len(names), 1))
    drawn = gan.decode(latents, np.repeat(np.arange(len(names)), columns))
    rows = drawn.reshape(len(names), columns, *gan.image_shape)
    title = f"{type(gan).__name__}: a row for each label, a column for each latent"
    plots.strips(rows, [str(name) for name in names], title=title, path=path)


def ac_gan(run, images, test, seed):
    """The same of the AC-GAN, and how well its discriminator classifies test images."""
    found = conditional(run, images, test, seed, kgen.ACGAN, "ac_gan")
    gan = trained(run, "ac_gan", seed)
    right = gan.classify(test.images()).argmax(axis=1) == test.labels
    return {**found, "test accuracy of the discriminator": float(right.mean())}


def infogan(run, images, test, seed):
    """Samples by code; how much the categories say of the labels, beside k-means."""
    classes = images.num_classes
    arguments = {"categories": classes, "codes": 2, "information_weight": INFORMATION}
    gan = train(run, kgen.InfoGAN, arguments, images, "infogan", seed)
    if seed == run.seed:
        draw_codes(gan, seed, run.output / "infogan.png")
    seen, labels = test.images(), test.labels
    category = gan.code(seen)[0].argmax(axis=1)
    flat = images.images().reshape(images.num_examples, -1)
    clusters = KMeans(classes, n_init=4, random_state=seed).fit(flat)
    by_pixels = clusters.predict(seen.reshape(len(seen), -1))
    return {
        "NMI of code and label": float(normalized_mutual_info_score(labels, category)),
        "NMI of k-means and label": float(normalized_mutual_info_score(labels, by_pixels)),
    }


def draw_codes(gan, seed, path):
    """A row for each category; along each continuous code in turn, the others at 0."""
    steps, first = np.linspace(-1, 1, 5), gan.noise_dim + gan.categories
    latents = np.zeros((gan.categories, gan.codes, len(steps), gan.latent_dim), "float32")
    latents[..., : gan.noise_dim] = gan.latents(1, gan.noise_dim, seed)
    for category in range(gan.categories):
        latents[category, ..., gan.noise_dim + category] = 1
    for code in range(gan.codes):
        latents[:, code, :, first + code] = steps
    drawn = gan.decode(latents.reshape(-1, gan.latent_dim))
    drawn = drawn.reshape(gan.categories, -1, *gan.image_shape)
    title = "InfoGAN: a row for each category; each continuous code from −1 to 1"
    names = [f"category {c}" for c in range(gan.categories)]
    columns = [f"code {c + 1}: {s:g}".replace("-", "−") for c in range(gan.codes) for s in steps]
    plots.strips(drawn, names, columns, title=title, path=path)


def bigan(run, images, test, seed):
    """Test images, encoded and generated again."""
    gan = train(run, kgen.BiGAN, {"latent_dim": 16}, images, "bigan", seed)
    seen = test.images()
    again = gan.reconstruct(seen)
    if seed == run.seed:
        title = "BiGAN: test images, and what the generator makes of their codes"
        plots.reconstructions(seen[:10], again[:10], title=title, path=run.output / "bigan.png")
    error = np.square(again - seen).mean()
    return {"squared error / that of the mean image": float(error / seen.var(axis=0).mean())}


def semi_supervised(run, images, test, seed):
    """Test errors with few labels: of the GAN, and of its classifier without the GAN."""
    x, y = images.images(), np.asarray(images.labels)
    few = labeled(y, run.labels, seed)
    hidden = np.full(len(y), -1)
    hidden[few] = y[few]
    # In each batch about as many images with labels as without, from twice as many in an epoch.
    again = np.resize(few, len(y))
    mixed = kgen.data.ImageDataset(
        np.concatenate([x, x[again]]),
        np.concatenate([hidden, y[again]]),
        batch_size=run.batch_size,
        seed=seed,
    )
    arguments = {"num_classes": images.num_classes}
    gan = train(run, kgen.SemiSupervisedGAN, arguments, mixed, "semi_supervised", seed)
    steps = run.epochs * (mixed.num_examples // run.batch_size)
    alone = alone_on(gan, x[few], y[few], run, steps, seed)
    seen, labels = test.images(), test.labels
    return {
        "test error, semi-supervised": float(np.mean(gan.classify(seen).argmax(1) != labels)),
        f"test error, {len(few)} labels alone": float(np.mean(alone(seen) != labels)),
    }


def labeled(labels, count, seed):
    """Where the images are that keep their labels: as many of each class."""
    random, classes = np.random.default_rng(seed), np.unique(labels)
    each = max(1, count // len(classes))
    return np.concatenate([random.permutation(np.flatnonzero(labels == c))[:each] for c in classes])


def alone_on(gan, x, y, run, steps, seed):
    """The discriminator's network, trained anew on the labelled images alone; returns labels.

    It sees them augmented, as the discriminator does.
    """
    keras.utils.set_random_seed(seed)
    kind = {"variant": gan.variant, "seed": seed, "dtype": run.precision}
    fresh = kgen.SemiSupervisedGAN(gan.image_shape, gan.num_classes, **kind).discriminator
    classifier = keras.Model(fresh.input, fresh.output[0])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    classifier.compile(keras.optimizers.Adam(run.learning_rate, 0.5), loss)
    random, moves = np.random.default_rng(seed), keras.random.SeedGenerator(seed)
    drawn = (random.integers(len(x), size=min(run.batch_size, len(x))) for _ in range(steps))

    def seen(images):
        if gan.augment is None:
            return images
        return keras.ops.convert_to_numpy(gan.augment(images, seed=moves))

    batches = ((seen(x[at]), y[at]) for at in drawn)
    classifier.fit(batches, steps_per_epoch=steps, shuffle=False, verbose=0)
    return lambda images: classifier.predict(images, verbose=0).argmax(axis=1)


KINDS = {f.__name__: f for f in (conditional, ac_gan, infogan, bigan, semi_supervised)}


def draw_kinds(run, images, test, path):
    """All kinds in one figure: what each makes of labels, categories, test images or latents."""
    n, z, names, rows = images.num_classes, 2, [], []

    def add(name, drawn):
        drawn = np.reshape(drawn, (-1, n, *images.image_shape))
        names.extend([name] + [""] * (len(drawn) - 1))
        rows.extend(drawn)

    labels = np.tile(np.arange(n), z)
    for kind, name in {"conditional": "conditional GAN", "ac_gan": "AC-GAN"}.items():
        gan = trained(run, kind)
        latents = np.repeat(gan.latents(z, gan.latent_dim, run.seed), n, axis=0)
        add(f"{name}: labels 0 to {n - 1}", gan.decode(latents, labels))
    gan = trained(run, "infogan")
    category = gan.code(test.images())[0].argmax(axis=1)
    by_label = [np.bincount(test.labels[category == c], minlength=n).argmax() for c in range(n)]
    add(f"InfoGAN: its {n} categories", gan.generate(z * n, np.tile(np.argsort(by_label), z), 0))
    at = [np.flatnonzero(test.labels == c)[0] for c in range(n)]
    seen = test.images()[at]
    add("BiGAN: test images", seen)
    add("BiGAN: encoded, generated", trained(run, "bigan").reconstruct(seen))
    add("semi-supervised: samples", trained(run, "semi_supervised").generate(n, seed=run.seed))
    plots.strips(np.stack(rows), names, title="Kinds of GAN", path=path)


def draw_errors(found, path):
    """Test errors of the semi-supervised GAN beside its classifier alone, a pair for each seed."""
    figure, axes = plots.chart(6, 4, xlabels=["seed"])
    for offset, (name, values) in zip((-0.2, 0.2), found.items(), strict=True):
        axes.bar(np.arange(len(values)) + offset, np.array(values) * 100, 0.38, label=name)
    axes.set_xticks(range(len(values)))
    axes.set_ylim(0, 135 * max(map(max, found.values())))  # room for the legend
    axes.set_ylabel("test error [%]")
    axes.set_title("A classifier with few labels, with and without a generator's help")
    axes.legend(frameon=False)
    plots.save(figure, path)


@_run.recipe(__doc__, ("publish",), **DEFAULTS)
def main(run):
    """Train each kind with each seed, measure, draw; returns what was found."""
    images, test = _run.load(run, labeled=True)
    _run.settle(run, kgen.GAN, {"image_shape": images.image_shape}, images)
    measured, results = Measured(run, images, {"kinds", "seeds"}), {}
    for kind in run.kinds:
        seeds = range(run.seed, run.seed + run.seeds)
        given = settings_for(run, kind), images, test
        parts = [measured.part(f"{kind}-{s}", KINDS[kind], *given, s) for s in seeds]
        for name in parts[0]:
            values = [part[name] for part in parts]
            results |= {f"{kind}, {name}, seed {s}": v for s, v in zip(seeds, values, strict=True)}
        if kind == "semi_supervised":
            errors = {name: [part[name] for part in parts] for name in parts[0]}
            draw_errors(errors, run.output / "semi_supervised.png")
    if set(run.kinds) == set(KINDS):
        draw_kinds(run, images, test, run.output / "kinds_of_gan.png")
    _run.report(run, None, "", results)
    return results


if __name__ == "__main__":
    main()
