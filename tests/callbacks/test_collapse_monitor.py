"""Collapse is named early, once, by its kind; health is left in peace, and training to itself."""

import keras
import numpy as np
import pytest
from ring_gan import GAN, WassersteinGAN, fit
from sklearn.datasets import load_sample_images
from toy import compiled, points, toy

from kgen.callbacks import CollapseMonitor, TrainingCheckpoint
from kgen.data import ImageDataset, load, toy2d
from kgen.data.pixels import resize
from kgen.engine import state
from kgen.metrics import Features

RING, MODES = toy2d.draw("ring", 500, seed=1)
PLACES = toy2d.RING.astype("float32")


class Scripted:
    """Generates what a script says for each check; the first is before training."""

    stop_training = False

    def __init__(self, *script):
        self.script = list(script)

    def generate(self, n, seed):
        samples = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        return np.asarray(samples, "float32")[:n]


def ring(modes=range(8), n=500, seed=2):
    random = np.random.default_rng(seed)
    chosen = PLACES[random.choice(list(modes), n)]
    return chosen + toy2d.SIGMA * random.standard_normal((n, 2))


def scattered(scale, n=500, at=0.0):
    return at + scale * np.random.default_rng(3).standard_normal((n, 2))


def run(script, real=RING, epochs=None, model=None, **options):
    """What a monitor of a scripted run found, and its logs by epoch."""
    model = Scripted(script[0], *script) if model is None else model
    monitor, epochs = CollapseMonitor(real, **options), epochs or len(script)
    monitor.set_model(model)
    monitor.set_params({"epochs": epochs})
    monitor.on_train_begin()
    rows = []
    for epoch in range(epochs):
        logs = {"loss": 1.0}
        monitor.on_epoch_end(epoch, logs)
        rows.append(logs)
        if model.stop_training:
            break
    return monitor, rows


def kinds(monitor):
    return [(epoch, kind) for epoch, kind, _ in monitor.findings]


def test_samples_of_the_data_are_no_finding():
    monitor, (first, *_) = run([ring(seed=seed) for seed in range(5)])
    assert monitor.findings == [] and not monitor.model.stop_training
    assert list(first) == ["loss", "collapse_spread", "collapse_precision", "collapse_coverage"]
    assert abs(first["collapse_spread"] - 1) < 0.02
    assert first["collapse_precision"] > 0.95 and first["collapse_coverage"] > 0.99


def test_spread_is_the_ratio_of_total_standard_deviations():
    data = scattered(1.0)
    _, (logs,) = run([0.25 * data + 7], real=data)
    assert abs(logs["collapse_spread"] - 0.25) < 1e-6


def test_coverage_is_the_share_of_the_modes():
    _, (logs,) = run([ring([0, 1, 2])])
    share = np.isin(MODES, [0, 1, 2]).mean()
    assert abs(logs["collapse_coverage"] - share) < 0.01 and logs["collapse_precision"] > 0.95


def test_constant_samples_are_named_once(capsys):
    monitor, _ = run([ring(), *[scattered(0.01)] * 9])
    assert kinds(monitor) == [(4, "constant")]
    sentences = monitor.findings[0][2]
    assert sentences.startswith("All generated points are nearly the same: their standard dev")
    assert "1.8% of the data's" in sentences and "Goodfellow et al., 2014" in sentences
    assert capsys.readouterr().out.count(f"CollapseMonitor, epoch 4: {sentences}") == 1


def test_a_generator_that_has_yet_to_learn_is_no_finding():
    growing = [scattered(scale) for scale in (0.001, 0.002, 0.004, 0.01, 0.02, 0.05, 0.3)]
    assert run([*growing, ring()])[0].findings == []
    more_and_more = [ring(range(n)) for n in (1, 2, 4, 6, 8)]
    assert run([scattered(0.4), scattered(0.5), *more_and_more])[0].findings == []
    assert run([scattered(0.5)] * 8)[0].findings == []  # nothing looks real, all is wide


def test_dropped_modes_are_named():
    monitor, _ = run([scattered(0.5), *[ring([2, 5])] * 4])
    assert kinds(monitor) == [(4, "dropped_modes")]
    covered = round(100 * np.isin(MODES, [2, 5]).mean())
    assert monitor.findings[0][2].startswith(f"The generated points cover {covered}% of the data")
    assert "Arjovsky et al., 2017" in monitor.findings[0][2]


def test_a_fall_of_coverage_is_named_whatever_the_samples_look_like():
    monitor, _ = run([ring(), ring(), *[scattered(0.3, at=3.0)] * 4])
    assert kinds(monitor) == [(5, "dropped_modes")]
    assert "cover 0% of the data, after 100% at best" in monitor.findings[0][2]


def test_what_does_not_last_is_no_finding():
    two = [ring([2, 5])] * 2
    assert run([*two, ring(), *two, ring(), *two])[0].findings == []
    assert kinds(run([*two, ring(), *two], patience=2)[0]) == [(2, "dropped_modes")]


class Discriminated(Scripted):
    """Its discriminator is as sure as `real` and `fake` say, for each check."""

    def __init__(self, real, fake, shape=(-1, 1)):
        super().__init__(ring())
        self.answers = [answer for pair in zip(real, fake, strict=True) for answer in pair]
        self.answers = [*self.answers[:2], *self.answers]
        self.shape = shape

    def discriminate(self, x):
        return np.full(len(x), self.answers.pop(0), "float32").reshape(self.shape)


@pytest.mark.parametrize("shape", [(-1,), (-1, 1)])
def test_a_saturated_discriminator_is_named(shape):
    model = Discriminated([0.6, *[0.999] * 4], [0.4, *[0.001] * 4], shape)
    monitor, rows = run([], epochs=5, model=model)
    assert kinds(monitor) == [(4, "saturated_discriminator")]
    assert "gradient" in monitor.findings[0][2] and "100% of the real" in monitor.findings[0][2]
    assert [row["collapse_saturation"] for row in rows] == [0, 1, 1, 1, 1]


def test_sure_of_one_side_is_not_saturated():
    for real, fake in ((0.999, 0.02), (0.98, 0.001)):
        monitor, rows = run([], epochs=5, model=Discriminated([real] * 5, [fake] * 5))
        assert monitor.findings == [] and rows[0]["collapse_saturation"] == 0


def test_a_critics_scores_are_no_probabilities():
    _, rows = run([], epochs=2, model=Discriminated([7.0] * 2, [-3.0] * 2))
    assert "collapse_saturation" not in rows[0]


def test_stop_ends_training():
    monitor, rows = run([ring(), *[ring([1])] * 9], stop=True, n=200)
    assert kinds(monitor) == [(4, "constant")]  # one mode is nearly a point
    assert len(rows) == 4 and monitor.ended_run


def test_checks_every_few_epochs():
    monitor, rows = run([ring()] * 2 + [ring([2, 5])] * 3, epochs=8, every=2)
    looked = [not np.isnan(row["collapse_coverage"]) for row in rows]
    assert looked == [True, True, False, True, False, True, False, True]
    assert kinds(monitor) == [(8, "dropped_modes")] and len({tuple(row) for row in rows}) == 1


def pictures(n=60, seed=0, low=0, size=16):
    return np.random.default_rng(seed).integers(low, 256, (n, size, size, 1), "uint8")


def floats(images):
    return images / 127.5 - 1


def test_images_and_their_similarity():
    monitor, rows = run([floats(pictures(seed=1))] * 4, real=pictures())
    assert monitor.findings == [] and abs(rows[0]["collapse_spread"] - 1) < 0.02
    same = np.repeat(pictures(1), 60, axis=0) * np.linspace(0.6, 1, 60)[:, None, None, None]
    monitor, rows = run([floats(same)] * 4, real=pictures())
    assert kinds(monitor) == [(3, "constant")] and rows[0]["collapse_spread"] > 0.1
    assert "have an MS-SSIM of 0.9" in monitor.findings[0][2]
    assert "All generated images" in monitor.findings[0][2]
    assert "collapse_ms_ssim" not in run([floats(pictures(size=8))], real=pictures(size=8))[1][0]


def test_all_bright_images_are_constant_in_every_feature():
    bright = np.full((60, 16, 16, 1), 1.01)
    levels = Features("levels", 1, lambda images: images.mean(axis=(1, 2)))
    monitor, rows = run([bright] * 3, real=pictures(), features=levels)
    assert kinds(monitor) == [(3, "constant")] and rows[0]["collapse_spread"] == 0


@pytest.mark.parametrize(("reach", "found"), [(1.0, []), (0.3, [(3, "dropped_modes")])])
def test_holes_within_a_mode_of_images_are_no_lost_mode(reach, found):
    def levels(shares):
        return np.repeat(np.asarray(shares)[:, None, None, None] * 1.8 - 0.9, 16, axis=1)

    real, clumps = np.linspace(0, 1, 200), np.arange(0.05, 1, 0.1)
    generated = np.resize(clumps[clumps < reach], 200)
    level = Features("levels", 1, lambda images: images.mean(axis=(1, 2)))
    monitor, rows = run([levels(generated)] * 3, real=levels(real), features=level)
    assert kinds(monitor) == found and abs(rows[0]["collapse_coverage"] - reach) < 0.08


def photos(n=100, seed=0, size=32, sources=(0, 1)):
    """Crops of scikit-learn's two photographs."""
    taken, random = load_sample_images().images, np.random.default_rng(seed)
    found = np.empty((n, size, size, 3), "uint8")
    for image in found:
        source, side = taken[random.choice(sources)], int(random.integers(64, 400))
        y, x = (int(random.integers(length - side)) for length in source.shape[:2])
        image[...] = resize(source[None, y : y + side, x : x + side], (size, size))[0]
    return found


def normal(mean, deviation, shape=(100, 32, 32, 3)):
    noise = np.random.default_rng(3).standard_normal(shape)
    return np.clip(mean + deviation * noise, 0, 255).astype("uint8")


def means(images, of):
    random = np.random.default_rng(4)
    return np.stack([images[random.integers(len(images), size=of)].mean(0) for _ in images])


PHOTOS = photos()
UNLEARNED = {
    "faint noise": normal(128, 4),
    "grey noise": normal(128, 10),
    "stronger noise": normal(PHOTOS.mean(), 30),
    "noise as strong as the images": normal(PHOTOS.mean(), 60),
    "smooth noise": resize(resize(normal(128, 60), (8, 8)), (32, 32)),
    "the mean and noise": normal(PHOTOS.mean(axis=0), 5),
    "greys and noise": normal(normal(128, 40, (100, 1, 1, 1)), 5),
    "blurred means": means(PHOTOS, 20).astype("uint8"),
    "blurred images": resize(resize(photos(seed=1), (2, 2)), (32, 32)),
}


@pytest.mark.parametrize("name", UNLEARNED)
def test_images_that_show_nothing_yet_are_no_dropped_modes(name):
    """Nor is their coverage one to fall from."""
    images, noise = floats(UNLEARNED[name]), floats(UNLEARNED["grey noise"])
    monitor, rows = run([images, noise], real=PHOTOS, patience=1)
    assert "dropped_modes" not in [kind for _, kind in kinds(monitor)]
    assert "noise" not in name.split() or name == "the mean and noise" or monitor.findings == []
    assert max(row["collapse_precision"] for row in rows) > 0.5  # in pixels


def test_noise_is_no_dropped_mode_of_rough_data():
    real = normal(photos(size=8), 20, (100, 8, 8, 3))
    noise = floats(normal(real.mean(), 0.6 * real.std(axis=(1, 2)).mean(), real.shape))
    monitor, (row, *_) = run([noise] * 4, real=real)
    assert monitor.findings == [] and row["collapse_precision"] > 0.5
    assert row["collapse_contrast"] > 0.4 and row["collapse_roughness"] > 8


def test_real_photographs_are_left_in_peace():
    script = [floats(photos(seed=seed)) for seed in range(1, 4)]
    monitor, (row, *_) = run(script, real=PHOTOS)
    assert monitor.findings == []
    assert abs(row["collapse_contrast"] - 1) < 0.15 and abs(row["collapse_roughness"] - 1) < 0.3


def test_modes_dropped_in_the_end_are_named_though_it_began_as_noise():
    start = [floats(normal(128, 10)), floats(normal(128, 60))]
    few = floats(np.repeat(photos(3, seed=1), 34, axis=0)[:100])
    monitor, _ = run([*start, few], real=PHOTOS, patience=1)
    assert kinds(monitor) == [(3, "dropped_modes")]


@pytest.mark.parametrize("digit", [0, 7])
@pytest.mark.parametrize(
    "name, features", [("digits/8x8", "pixels"), ("digits", "digits")], ids=["pixels", "digits"]
)
def test_one_class_of_digits_is_a_dropped_mode(name, features, digit):
    data = load(name, image_size=28)
    images, labels = data.fetch(np.arange(1400)), np.asarray(data.labels)[:1400]
    one = floats(images[labels == digit])
    one = one[np.resize(np.arange(len(one)), 300)]
    monitor, _ = run([one], real=images[:300], features=features, n=300, patience=1)
    assert kinds(monitor) == [(1, "dropped_modes")]
    other = [floats(images[300 * i : 300 * i + 300]) for i in (1, 2, 3)]
    assert run(other, real=images[:300], features=features, n=300)[0].findings == []


@pytest.mark.parametrize("size", [1, 2, 3])
def test_images_of_any_size_have_a_texture_or_none(size):
    images = np.random.default_rng(0).integers(0, 256, (60, size, 4, 1), "uint8")
    _, (row,) = run([floats(images)], real=images)
    assert ("collapse_contrast" in row) == (size > 1)
    assert size == 1 or (row["collapse_contrast"], row["collapse_roughness"]) == (1, 1)


def test_real_samples_come_from_anywhere():
    images = pictures(80)
    sources = images, ImageDataset(images), [images[:30], images[30:]], iter([images])
    rows = [run([floats(images)], real=real, n=60)[1][0] for real in sources]
    assert rows[0] == rows[1] == rows[2] == rows[3]
    assert run([ring()], real=ImageDataset(RING))[1] == run([ring()], real=RING)[1]


def test_what_cannot_be_watched_is_refused():
    for real, words in (
        (RING[:49], r"at least 50 samples; got 49"),
        (np.repeat(RING[:1], 60, axis=0), "different"),
        (np.full((60, 2), np.nan), "NaN"),
        (pictures(60) / 255.0, "divided by 255"),
    ):
        with pytest.raises(ValueError, match=words):
            CollapseMonitor(real)
    for options in ({"n": 0}, {"every": 0}, {"patience": 0}, {"batch_size": 0}):
        with pytest.raises(ValueError, match="positive integer"):
            CollapseMonitor(RING, **options)
    with pytest.raises(ValueError, match="features must be one of"):
        CollapseMonitor(pictures(), features="portraits")
    with pytest.raises(ValueError, match=r"got \(16, 16, 1\) and \(2,\)"):
        run([ring()], real=pictures())
    with pytest.raises(TypeError, match="needs a model with generate"):
        run([], epochs=1, model=object())
    with pytest.raises(ValueError, match="not finite"):
        run([np.full((500, 2), np.nan)])


def test_samples_that_are_not_finite_are_a_warning():
    monitor = CollapseMonitor(RING)
    monitor.set_model(Scripted(ring(), np.full((500, 2), np.inf)))
    monitor.set_params({"epochs": 1})
    monitor.on_train_begin()
    logs = {}
    with pytest.warns(UserWarning, match="not finite"):
        monitor.on_epoch_end(0, logs)
    assert np.isnan(logs["collapse_spread"])


# Real training.


def train(model, *callbacks, epochs=4):
    x = points(256)
    return model.fit(x, batch_size=32, epochs=epochs, verbose=0, callbacks=[*callbacks]).history


def same(a, b):
    return a.keys() == b.keys() and all(np.array_equal(a[n], b[n]) for n in a)


def test_training_is_left_alone_and_resumed(tmp_path):
    train(model := toy())
    alone = state.capture(model)
    whole = CollapseMonitor(points(), n=100, patience=2)
    history = train(watched := toy(), whole)
    assert same(state.capture(watched), alone)
    for make, epochs in ((toy, 2), (compiled, 4)):
        resumed = make()
        monitor = CollapseMonitor(points(), n=100, patience=2)
        again = train(resumed, monitor, TrainingCheckpoint(tmp_path), epochs=epochs)
    assert again == history and same(state.capture(resumed), alone)
    assert monitor.findings == whole.findings and monitor._rows == whole._rows


KINDS = {
    "constant": {"rates": (1e-3, 1.0), "model": {"activation": "tanh"}},
    "dropped_modes": {"rates": (2e-2, 2e-2), "model": {}},
    "saturated_discriminator": {"rates": (1e-2, 1e-5), "model": {"minimax": True, "k": 2}},
}


def test_saturation_of_a_real_discriminator():
    setting = KINDS["saturated_discriminator"]
    monitor = CollapseMonitor(RING, n=300, patience=2)
    fit(GAN(**setting["model"]), setting["rates"], [monitor], epochs=4, steps=50)
    assert "saturated_discriminator" in [kind for _, kind in kinds(monitor)]


@pytest.mark.full
@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("kind", KINDS)
def test_collapse_is_named_before_half_of_the_run(kind, seed):
    keras.utils.set_random_seed(seed)
    monitor, epochs = CollapseMonitor(toy2d.draw("ring", 1000, seed=1)[0]), 24
    model = GAN(seed=seed, **KINDS[kind]["model"])
    fit(model, KINDS[kind]["rates"], [monitor], epochs=epochs, steps=200, seed=seed)
    assert [epoch for epoch, found in kinds(monitor) if found == kind and 2 * epoch < epochs]


@pytest.mark.full
def test_healthy_runs_are_left_in_peace():
    alarms = []
    for seed in range(10):
        keras.utils.clear_session()
        keras.utils.set_random_seed(seed)
        monitor = CollapseMonitor(toy2d.draw("ring", 1000, seed=1)[0])
        model = WassersteinGAN(seed=seed, k=3)
        history = fit(model, (1e-3, 1e-3), [monitor], epochs=15, steps=200, seed=seed).history
        assert np.median(history["collapse_coverage"][-5:]) > 0.6
        assert np.median(history["collapse_precision"][-5:]) > 0.5
        alarms += [(seed, *found) for found in kinds(monitor)]
    assert len(alarms) <= 1, alarms
