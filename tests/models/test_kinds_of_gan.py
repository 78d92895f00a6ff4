"""Kinds of GANs: what labels, codes, an encoder and classes add, on models computed by hand."""

import by_hand
import keras
import numpy as np
import pytest
from keras import layers, ops
from scipy import special, stats

import kgen

BACKEND = keras.backend.backend()
GRAY = (8, 8, 1)


def images(n, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, *GRAY), "uint8")


def labels(n, classes=3, seed=0):
    return np.random.default_rng(seed).integers(0, classes, n)


def latents(n, width, seed=0):
    return np.random.default_rng(seed).standard_normal((n, width), dtype="float32")


def in_range(x):
    return kgen.data.to_model_range(x)


def values(variables):
    return [ops.convert_to_numpy(v) for v in variables]


def make(kind, **arguments):
    settings = {} if kind in (kgen.InfoGAN, kgen.BiGAN) else {"num_classes": 3}
    return kind(GRAY, **{"latent_dim": 6, "network": "mlp", **settings, **arguments})


LABELED = [kgen.ConditionalGAN, kgen.ACGAN, kgen.SemiSupervisedGAN]
of_every_labeled_kind = pytest.mark.parametrize("kind", LABELED, ids=lambda k: k.__name__)


# Labels.


@pytest.mark.parametrize("kind", LABELED[:2], ids=lambda k: k.__name__)
def test_labels_choose_the_images(kind):
    model = make(kind)
    z = np.repeat(latents(1, 6), 3, axis=0)
    made = model.decode(z, [0, 1, 2])
    expected = by_hand.numpy(model.generator_average.model, z, np.arange(3, dtype="int32"))
    np.testing.assert_allclose(made, expected, atol=1e-5)
    assert min(np.abs(made[i] - made[(i + 1) % 3]).max() for i in range(3)) > 1e-2
    of_two = model.generate(4, labels=2, seed=1)
    np.testing.assert_allclose(of_two, model.generate(4, labels=[2] * 4, seed=1), atol=1e-6)
    in_turn = model.generate(5, seed=1)
    np.testing.assert_allclose(in_turn, model.generate(5, [0, 1, 2, 0, 1], seed=1), atol=1e-6)
    np.testing.assert_allclose(in_turn[2:3], of_two[2:3], atol=1e-6)
    np.testing.assert_allclose(
        model.generate(2, np.array([[1], [0]]), seed=1), model.generate(2, [1, 0], seed=1)
    )
    rows = model.preview(9, seed=1)
    assert [*rows] == ["0", "1", "2"]
    np.testing.assert_allclose(rows["2"], model.generate(3, 2, seed=1), atol=1e-6)


@pytest.mark.parametrize(
    "bad", [3, -1, [0, 1, 3], 0.5, [0.0, 1.0], "1", [[0, 1]], [[0], [-1]], [0, [1], 2]]
)
def test_labels_that_there_are_not_are_refused(bad):
    model = make(kgen.ConditionalGAN)
    with pytest.raises(ValueError, match="labels must be integers from 0 to 2"):
        model.generate(3, labels=bad)
    with pytest.raises(ValueError, match="labels must be integers from 0 to 2"):
        model.scores(images(3), bad)


@of_every_labeled_kind
def test_what_a_labeled_kind_does_not_learn_from(kind):
    model = make(kind)
    model.compile()
    x, least = images(16), -1 if kind is kgen.SemiSupervisedGAN else 0
    name = "This model learns from images and labels"
    for call in (
        lambda: model.fit(x, verbose=0),
        lambda: model.fit(kgen.data.ImageDataset(x), verbose=0),
        lambda: model.fit(((x,) for _ in range(2)), verbose=0),
        lambda: model.evaluate(x, verbose=0),
    ):
        with pytest.raises(ValueError, match=name):
            call()
    good = np.zeros(16, int)
    for bad in (np.full(16, 3), np.full(16, least - 1), np.zeros(16), np.zeros((16, 2), int)):
        for call in (
            lambda: model.fit(x, bad, verbose=0),  # noqa: B023
            lambda: model.fit(x, good, validation_data=(x, bad), verbose=0),  # noqa: B023
            lambda: model.fit(((x, bad) for _ in range(2)), verbose=0),  # noqa: B023
            lambda: model.evaluate(x, bad, verbose=0),  # noqa: B023
        ):
            with pytest.raises(ValueError, match=f"labels must be integers from {least} to 2"):
                call()
        if bad.ndim == 1:
            with pytest.raises(ValueError, match=f"labels must be integers from {least} to 2"):
                model.fit(kgen.data.ImageDataset(x, bad), verbose=0)
    assert int(model.step) == 0
    for classes in (0, 2.5):
        with pytest.raises(ValueError, match="num_classes must be a positive integer"):
            kind(GRAY, num_classes=classes)


def test_labels_come_with_arrays_datasets_and_batches():
    x, y = images(32), labels(32)
    model = make(kgen.ConditionalGAN)
    model.compile({player: keras.optimizers.SGD(0.0) for player in model.players})
    expected = model.evaluate(x, y, batch_size=32, verbose=0)
    column = model.evaluate(x, y[:, None], batch_size=32, verbose=0)
    assert column == pytest.approx(expected, rel=1e-5)
    model.fit(x, y, batch_size=16, verbose=0, validation_data=(x, y))
    model.fit(kgen.data.ImageDataset(x, y, batch_size=16), verbose=0)
    batches = ((x[i : i + 16], y[i : i + 16]) for i in (0, 16))
    model.fit(batches, steps_per_epoch=2, verbose=0)
    assert int(model.step) == 6


def test_the_discriminator_judges_images_with_their_labels():
    model, x, y = make(kgen.ConditionalGAN), images(5), labels(5)
    expected = by_hand.numpy(model.discriminator, in_range(x), y.astype("int32"))[:, 0]
    np.testing.assert_allclose(model.scores(x, y), expected, atol=1e-5)
    np.testing.assert_allclose(model.discriminate(x, y), special.expit(expected), atol=1e-6)
    np.testing.assert_allclose(model.scores(x, 1)[y == 1], expected[y == 1], atol=1e-5)
    assert np.abs(model.scores(x, (y + 1) % 3) - expected).max() > 1e-3
    silent = make(kgen.ConditionalGAN, loss="hinge")
    with pytest.raises(NotImplementedError, match="hinge"):
        silent.discriminate(x, y)


def test_collapse_of_a_conditional_gan_is_watched_without_probabilities():
    x, y = images(64), labels(64)
    model = make(kgen.ConditionalGAN)
    model.compile()
    monitor = kgen.callbacks.CollapseMonitor(x, n=50)
    history = model.fit(x, y, batch_size=32, verbose=0, callbacks=[monitor]).history
    assert "collapse_coverage" in history and "collapse_saturation" not in history


def test_networks_without_labels_do_not_fit():
    plain = kgen.networks.mlp_generator(GRAY, 6, hidden=(4,))
    judge = kgen.networks.mlp_discriminator(GRAY, hidden=(4,))
    with pytest.raises(ValueError, match=r"generator does not take.*latents and labels"):
        make(kgen.ConditionalGAN, generator=plain)
    with pytest.raises(ValueError, match=r"discriminator does not take.*images and labels"):
        make(kgen.ConditionalGAN, discriminator=judge)
    with pytest.raises(ValueError, match=r"class logits of shape \(None, 3\)"):
        make(kgen.ACGAN, discriminator=judge)
    with pytest.raises(ValueError, match=r"logits of shape \(None, 3\) and features"):
        make(kgen.SemiSupervisedGAN, discriminator=judge)
    with pytest.raises(ValueError, match=r"category logits of shape \(None, 3\)"):
        make(kgen.InfoGAN, categories=3, codes=0, discriminator=judge)
    with pytest.raises(ValueError, match=r"discriminator does not take.*images and latents"):
        make(kgen.BiGAN, discriminator=judge)
    encoder = kgen.networks.mlp_encoder(GRAY, 5, hidden=(4,))
    with pytest.raises(ValueError, match=r"encoder must return latents of shape \(None, 6\)"):
        make(kgen.BiGAN, encoder=encoder)


# AC-GAN.


def test_acgan_names_classes():
    model, x = make(kgen.ACGAN), images(5)
    found = model.classify(x)
    score, logits = by_hand.numpy(model.discriminator, in_range(x))
    assert found.shape == (5, 3) and found.dtype == "float32"
    np.testing.assert_allclose(found.sum(axis=1), np.ones(5), atol=1e-6)
    np.testing.assert_allclose(found, special.softmax(logits, axis=1), atol=1e-6)
    np.testing.assert_allclose(model.scores(x), score[:, 0], atol=1e-5)
    np.testing.assert_allclose(model.discriminate(x), special.expit(score[:, 0]), atol=1e-6)


# InfoGAN.


def test_the_latent_of_infogan_is_noise_category_and_codes():
    """Chen et al. (2016), section 7: a category drawn evenly, codes uniform on [-1, 1]."""
    model = make(kgen.InfoGAN, latent_dim=9, categories=4, codes=2)
    z = ops.convert_to_numpy(model.noise(np.zeros((4000, 1), "float32")))
    assert z.shape == (4000, 9) and z.dtype == "float32"
    noise, category, codes = z[:, :3], z[:, 3:7], z[:, 7:]
    np.testing.assert_array_equal(np.sort(category, axis=1), np.tile([0, 0, 0, 1], (4000, 1)))
    assert stats.chisquare(category.sum(axis=0)).pvalue > 1e-3
    uniform = stats.uniform(-1, 2)
    for code in codes.T:
        assert stats.kstest(code, uniform.cdf).pvalue > 1e-3
    for column in noise.T:
        assert stats.kstest(column, "norm").pvalue > 1e-3
    correlations = np.corrcoef(np.delete(z, 3, axis=1).T) - np.eye(8)
    correlations[3:6, 3:6] = 0  # those within the category
    assert np.abs(correlations[np.ix_([0, 1, 2, 6, 7], range(8))]).max() < 0.07


@pytest.mark.parametrize(("variant", "rate"), [("dcgan", 1e-3), ("lsgan", 2e-4)])
def test_the_generator_of_infogan_learns_faster(variant, rate):
    """Chen et al. (2016), appendix C.1: rates of 2e-4 and 1e-3 with the networks of a DCGAN."""
    optimizers = make(kgen.InfoGAN, categories=3, variant=variant).default_optimizers()
    rates = {player: float(o.learning_rate) for player, o in optimizers.items()}
    assert rates == pytest.approx({"discriminator": 2e-4, "generator": rate})


def test_infogan_generates_categories(monkeypatch):
    model = make(kgen.InfoGAN, latent_dim=9, categories=4, codes=2)
    made = model.generate(3, labels=3, seed=0)
    monkeypatch.setattr(model, "decode", lambda z, batch_size: z, raising=False)
    z = model.generate(3, labels=3, seed=0)
    np.testing.assert_array_equal(z[:, 3:7], np.tile([0, 0, 0, 1], (3, 1)))
    np.testing.assert_array_equal(
        model.generate(3, [2, 0, 1], seed=0)[:, 3:7], np.eye(4)[[2, 0, 1]]
    )
    drawn = model.generate(4000, seed=0)
    assert stats.chisquare(drawn[:, 3:7].sum(axis=0)).pvalue > 1e-3
    assert stats.kstest(drawn[:, 8], stats.uniform(-1, 2).cdf).pvalue > 1e-3
    np.testing.assert_array_equal(drawn[:3, 7:], z[:, 7:])  # the codes of this seed
    for bad in (4, -1, [0, 1, 4], 0.5):
        with pytest.raises(ValueError, match="labels must be integers from 0 to 3"):
            model.generate(3, labels=bad)
    with pytest.raises(ValueError, match="got 2 for 3 images"):
        model.generate(3, labels=[0, 1])
    monkeypatch.undo()
    np.testing.assert_allclose(model.decode(z), made, atol=1e-6)


def test_the_penalty_of_pairs_is_of_the_gradient_by_both():
    """Of a linear critic of image and latent, with slopes a and c, R1 is (|a|^2 + |c|^2) / 2."""
    image, latent = keras.Input((2,)), keras.Input((3,))
    score = layers.Dense(1)(layers.Concatenate()([image, latent]))
    critic = keras.Model([image, latent], score)
    for penalty, expected in (
        (kgen.losses.R1(1.0), 7.5),
        (kgen.losses.GradientPenalty(1.0), (np.sqrt(15) - 1) ** 2),
    ):
        critic.layers[-1].kernel.assign([[1.0], [2.0], [3.0], [0.0], [-1.0]])
        model = kgen.BiGAN((2,), 3, penalty=penalty, loss="wasserstein", discriminator=critic)
        model.compile()
        x = np.random.default_rng(0).normal(size=(8, 2)).astype("float32")
        logs = model.evaluate(x, verbose=0)
        found = logs["discriminator_loss"] + logs["real_score"] - logs["fake_score"]
        assert found == pytest.approx(expected, rel=1e-4)
        assert np.isfinite(
            model.fit(x, batch_size=8, verbose=0).history["discriminator_loss"]
        ).all()


def test_the_penalty_of_a_classifier_is_that_of_its_score():
    """Of log Z, whose gradient is that of the logits, weighted by the softmax."""
    x = inputs = keras.Input((2,))
    x = layers.Dense(3, use_bias=False)(x)
    classifier = keras.Model(inputs, [x, inputs])
    kernel = np.array([[1.0, -2.0, 1.0], [0.5, -1.0, 0.5]], "float32")
    classifier.layers[-1].kernel.assign(kernel)
    points, logs = np.random.default_rng(0).normal(size=(16, 2)).astype("float32"), []
    settings = {"discriminator": classifier, "seed": 0}
    settings["generator"] = kgen.GAN((2,)).generator
    for weight in (0.0, 2.0):
        penalty = kgen.losses.R1(weight)
        model = kgen.SemiSupervisedGAN((2,), 3, penalty=penalty, **settings)
        model.compile()
        logs.append(model.evaluate(points, np.full(16, -1), verbose=0)["discriminator_loss"])
    slopes = special.softmax(points @ kernel, axis=1) @ kernel.T
    assert logs[1] - logs[0] == pytest.approx(np.square(slopes).sum(axis=1).mean(), rel=1e-4)
    with pytest.raises(ValueError, match="by the loss 'non_saturating'; got 'wasserstein'"):
        make(kgen.SemiSupervisedGAN, loss="wasserstein")


def test_information_is_the_log_probability_of_the_code():
    """Equation 5 without H(c), and without the constant of the normal density."""
    model, random = (
        make(kgen.InfoGAN, latent_dim=9, categories=4, codes=2),
        np.random.default_rng(0),
    )
    category, codes = random.integers(0, 4, 7), random.uniform(-1, 1, (7, 2))
    z = np.concatenate([random.normal(size=(7, 3)), np.eye(4)[category], codes], axis=1)
    logits, means = 2 * random.normal(size=(7, 4)), random.normal(size=(7, 2))
    of_category = special.log_softmax(logits, axis=1)[np.arange(7), category].mean()
    of_codes = (stats.norm.logpdf(codes, means) + np.log(2 * np.pi) / 2).sum(axis=1).mean()
    z, logits, means = (ops.convert_to_tensor(a.astype("float32")) for a in (z, logits, means))
    found = float(ops.convert_to_numpy(model.information(z, logits, means)))
    assert found == pytest.approx(of_category + of_codes, rel=1e-5)
    found = float(ops.convert_to_numpy(model.information(z, logits)))
    assert found == pytest.approx(of_category, rel=1e-5)


def test_infogan_reads_the_code():
    model, x = make(kgen.InfoGAN, categories=3, codes=1), images(5)
    categories, codes = model.code(x)
    _, logits, means = by_hand.numpy(model.discriminator, in_range(x))
    np.testing.assert_allclose(categories, special.softmax(logits, axis=1), atol=1e-6)
    np.testing.assert_allclose(codes, means, atol=1e-5)
    without = make(kgen.InfoGAN, categories=3, codes=0)
    assert [a.shape for a in without.code(x)] == [(5, 3), (5, 0)]
    without.compile()
    assert np.isfinite([*without.evaluate(x, verbose=0).values()]).all()
    for arguments in ({"latent_dim": 12}, {"categories": 1}, {"latent_dim": 5, "categories": 3}):
        with pytest.raises(ValueError, match=r"at least 2 categories.*some noise"):
            make(kgen.InfoGAN, **{"categories": 10, **arguments})
    with pytest.raises(ValueError, match="codes must be an integer of at least 0"):
        make(kgen.InfoGAN, categories=2, codes=1.5)


# BiGAN.


def test_bigan_encodes():
    model, x = make(kgen.BiGAN), images(5)
    z = model.encode(x)
    assert z.shape == (5, 6) and z.dtype == "float32"
    np.testing.assert_allclose(z, by_hand.numpy(model.encoder, in_range(x)), atol=1e-5)
    again = model.reconstruct(x)
    assert again.shape == (5, *GRAY) and again.dtype == "float32"
    np.testing.assert_allclose(again, model.decode(z), atol=1e-6)
    strips = model.interpolate(x[:2], x[2:4], steps=5)
    assert strips.shape == (2, 5, *GRAY)
    np.testing.assert_allclose(strips[:, 0], again[:2], atol=1e-5)
    np.testing.assert_allclose(strips[:, -1], again[2:4], atol=1e-5)
    expected = by_hand.numpy(model.discriminator, in_range(x), z)[:, 0]
    np.testing.assert_allclose(model.scores(x), expected, atol=1e-5)
    np.testing.assert_allclose(model.discriminate(x), special.expit(expected), atol=1e-6)


def linear(*weights, name=None):
    """A network without biases: of one input, or of the sum of several, one weight each."""
    inputs = [keras.Input((1,)) for _ in weights]
    x = layers.Concatenate()(inputs) if len(weights) > 1 else inputs[0]
    kernel = keras.initializers.Constant(np.array(weights, "float32")[:, None])
    x = layers.Dense(1, use_bias=False, kernel_initializer=kernel)(x)
    return keras.Model(inputs if len(inputs) > 1 else inputs[0], x, name=name)


@keras.saving.register_keras_serializable("kgen_tests")
class QuietBiGAN(kgen.BiGAN):
    """Its latents are a function of the batch."""

    def noise(self, real):
        return 1 - 2 * real


@pytest.mark.parametrize("loss", ["non_saturating", "minimax"])
def test_bigan_tells_pairs_apart(loss):
    """Donahue et al. (2017), algorithm of section 3.4: (x, E(x)) is real, (G(z), z) is not."""
    x = np.random.default_rng(0).normal(1, 1, (8, 1)).astype("float32")
    model = QuietBiGAN(
        (1,),
        1,
        loss=loss,
        penalty="none",
        discriminator_steps=2,
        generator=linear(0.7),
        encoder=linear(-0.5),
        discriminator=linear(0.4, 0.9),
    )
    model.compile(
        {"discriminator": keras.optimizers.SGD(0.2), "generator": keras.optimizers.SGD(0.3)}
    )
    logs = model.fit(x, batch_size=4, shuffle=False, verbose=0).history

    def told_apart(judge, g, e, real):
        z = 1 - 2 * real
        scores = judge[0] * real + judge[1] * e * real, judge[0] * g * z + judge[1] * z
        return by_hand.told_apart(*scores, 1), by_hand.told_apart(*scores[::-1], 1)

    def slope(loss, at):
        steps = 1e-6 * np.eye(len(at))
        return np.array([(loss(at + s) - loss(at - s)) / 2e-6 for s in steps])

    judge, makers = np.array([0.4, 0.9]), np.array([0.7, -0.5])
    for j in range(2):
        real = x[j::2].astype("float64")
        d_loss = told_apart(judge, *makers, real)[0]
        judge = judge - 0.2 * slope(lambda at, r=real: told_apart(at, *makers, r)[0], judge)
    fooled = lambda at: (  # noqa: E731
        -told_apart(judge, *at, real)[0] if loss == "minimax" else told_apart(judge, *at, real)[1]
    )
    g_loss, makers = fooled(makers), makers - 0.3 * slope(fooled, makers)
    found = [
        ops.convert_to_numpy(network.weights[0]).ravel()
        for network in (model.discriminator, model.generator, model.encoder)
    ]
    np.testing.assert_allclose(np.concatenate(found), [*judge, *makers], rtol=1e-4)
    assert logs["discriminator_loss"] == [pytest.approx(d_loss, rel=1e-4)]
    assert logs["generator_loss"] == [pytest.approx(g_loss, rel=1e-4)]


def test_bigan_pairs_beyond_the_hinge_still_teach():
    x = np.random.default_rng(0).normal(1, 1, (8, 1)).astype("float32")
    judge, makers = {"discriminator": linear(4.0, 9.0)}, {"encoder": linear(-0.5)}
    model = QuietBiGAN((1,), 1, loss="hinge", generator=linear(0.7), **judge, **makers)
    model.compile()
    found = model.evaluate(x, batch_size=8, verbose=0)
    real, z = x.astype("float64"), 1 - 2 * x.astype("float64")
    real, fake = 4.0 * real + 9.0 * -0.5 * real, 4.0 * 0.7 * z + 9.0 * z
    assert found["generator_loss"] == pytest.approx(real.mean() - fake.mean(), rel=1e-4)


@pytest.mark.parametrize("moving", ["discriminator", "generator"])
def test_the_encoder_moves_with_the_generator(moving):
    model = make(kgen.BiGAN)
    rates = {player: 0.1 * (player == moving) for player in model.players}
    model.compile({player: keras.optimizers.SGD(rate) for player, rate in rates.items()})
    networks = ("discriminator", "generator", "encoder")
    before = {name: values(getattr(model, name).trainable_variables) for name in networks}
    model.fit(images(16), batch_size=16, verbose=0)
    for name, old in before.items():
        new = values(getattr(model, name).trainable_variables)
        moved = [(a != b).any() for a, b in zip(old, new, strict=True)]
        assert set(moved) == {(name == "discriminator") == (moving == "discriminator")}


# Semi-supervised.


def test_probabilities_of_the_semi_supervised_gan():
    """Salimans et al. (2016), section 5: D(x) = Z / (Z + 1), Z the sum of the exponentials."""
    model, x = make(kgen.SemiSupervisedGAN), images(5)
    logits, _ = by_hand.numpy(model.discriminator, in_range(x))
    total = np.exp(logits.astype("float64")).sum(axis=1)
    np.testing.assert_allclose(model.discriminate(x), total / (total + 1), rtol=1e-5)
    np.testing.assert_allclose(model.scores(x), np.log(total), atol=1e-5)
    found = model.classify(x)
    np.testing.assert_allclose(found, special.softmax(logits, axis=1), atol=1e-6)
    np.testing.assert_allclose(found.sum(axis=1), np.ones(5), atol=1e-6)


def test_images_without_labels_add_no_error_of_classes():
    model, x, y = make(kgen.SemiSupervisedGAN), images(12), labels(12)
    model.compile()
    alone = model.evaluate(x, np.full(12, -1), batch_size=12, verbose=0)
    logits, _ = by_hand.numpy(model.discriminator, in_range(x))
    for known in (12, 5, 1):
        some = np.where(np.arange(12) < known, y, -1)
        found = model.evaluate(x, some, batch_size=12, verbose=0)
        error = by_hand.class_error(logits[:known].astype("float64"), y[:known])
        added = found.pop("discriminator_loss") - alone["discriminator_loss"]
        assert added == pytest.approx(error, rel=1e-4)
        assert found == {name: alone[name] for name in found}


def test_the_semi_supervised_generator_matches_features():
    model, x = make(kgen.SemiSupervisedGAN), images(12)
    z = latents(12, 6)
    model.noise = lambda real: ops.convert_to_tensor(z)
    model.compile()
    found = model.evaluate(x, np.full(12, -1), batch_size=12, verbose=0)
    fake = by_hand.numpy(model.generator, z)
    means = [by_hand.numpy(model.discriminator, a)[1].mean(axis=0) for a in (in_range(x), fake)]
    expected = ((means[0] - means[1]) ** 2).sum()
    assert found["generator_loss"] == pytest.approx(expected, rel=1e-4)


def halves(n, seed=0):
    """Images that are bright above or below, under noise; and which they are."""
    random = np.random.default_rng(seed)
    which = np.arange(n) % 2
    bright = (np.arange(8) < 4)[None, :, None, None] == (which == 0)[:, None, None, None]
    x = 128 + 60 * (2.0 * bright - 1) + 40 * random.standard_normal((n, *GRAY))
    return x.clip(0, 255).astype("uint8"), which


def test_classes_are_learned_from_few_labels():
    x, y = halves(512)
    test, truth = halves(200, seed=1)
    some = np.where(np.arange(512) < 16, y, -1)
    model = make(kgen.SemiSupervisedGAN, num_classes=2)
    model.compile({p: keras.optimizers.Adam(1e-3, 0.5) for p in model.players})
    model.fit(x, some, batch_size=64, epochs=8, verbose=0)
    assert (model.classify(test).argmax(axis=1) == truth).mean() > 0.95


@pytest.mark.parametrize("kind", LABELED[:2], ids=lambda k: k.__name__)
def test_images_follow_their_labels(kind):
    x, y = halves(512)
    model = make(kind, num_classes=2, average_decay=0.9, normalization="none")
    model.compile({p: keras.optimizers.Adam(1e-3, 0.5) for p in model.players})
    model.fit(x, y, batch_size=64, epochs=8, verbose=0)
    for label, sign in ((0, 1), (1, -1)):
        made = model.generate(50, labels=label, seed=0)
        assert sign * (made[:, :4].mean() - made[:, 4:].mean()) > 0.5
    if kind is kgen.ACGAN:
        test, truth = halves(200, seed=1)
        assert (model.classify(test).argmax(axis=1) == truth).mean() > 0.95


@pytest.mark.parametrize("kind, asked", [(kgen.ACGAN, "classify"), (kgen.InfoGAN, "code")])
def test_what_a_discriminator_tells_is_in_a_file_for_inference(kind, asked, tmp_path):
    model = make(kind, **({"categories": 3, "codes": 2} if kind is kgen.InfoGAN else {}))
    x = images(5)
    card = {"what": "A test.", "command": "python", "data": "digits", "license": "none", "seed": 0}
    kgen.zoo.save(model, "model", tmp_path, seconds=1.0, metrics={}, **card)
    loaded = kgen.zoo.load("model", tmp_path)
    for found, expected in zip(getattr(loaded, asked)(x), getattr(model, asked)(x), strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-6)
    drawn = loaded.generate(3, labels=1, seed=0)
    np.testing.assert_allclose(drawn, model.generate(3, labels=1, seed=0), atol=1e-5)
