"""pix2pix, CycleGAN and CUT: what is theirs beside the conformance suite."""

import collections
import warnings

import keras
import numpy as np
import pytest
from as_new import as_new
from cases import cut_by_hand, digits
from keras import layers, ops

import kgen
from kgen.engine import state
from kgen.models import translator
from kgen.models.network_checks import sees_images_alone

EAGERLY = keras.backend.backend() != "jax"  # a step or two: quicker than to compile
SMALL = {"filters": 4, "receptive_field": 16}
A = np.random.default_rng(0).integers(0, 256, (12, 16, 16, 3), "uint8")
B = 255 - A


def make(kind, **options):
    options = {"filters": 4, "receptive_field": 16 if kind is kgen.Pix2Pix else 1} | options
    if kind is not kgen.Pix2Pix:
        options = {"blocks": 1, **options}
    return kind((16, 16, 3), **options)


def ready(kind):
    """One compiled model of each kind for all tests, with a small history."""

    def new():
        keras.utils.set_random_seed(0)
        history = {"history_size": 8} if kind is kgen.CycleGAN else {}
        model = make(kind, **history)
        model.compile()
        return model

    return as_new(("translation", kind.__name__), new)


each_kind = pytest.mark.parametrize("kind", [kgen.Pix2Pix, kgen.CycleGAN, kgen.CUT])


def counted(model, names):
    """How often each network is run on the images of a batch in one update."""
    counts = collections.Counter()
    model.compile(run_eagerly=True)
    for name in names:
        network = getattr(model, name)

        def call(inputs, *args, name=name, run=network.call, **kwargs):
            counts[name] += keras.tree.flatten(inputs)[0].shape[0] / 2
            return run(inputs, *args, **kwargs)

        network.call = call
    model.fit(A[:2], B[:2], batch_size=2, verbose=0)
    return dict(counts)


def test_networks_run_no_more_often_than_the_algorithms_need():
    model = make(kgen.Pix2Pix)  # the discriminator: fooled; real and generated images
    assert counted(model, ["generator", "discriminator"]) == {"generator": 1, "discriminator": 3}
    model, of_domains = make(kgen.CycleGAN), ["discriminator_a", "discriminator_b"]
    found = counted(model, ["a_to_b", "b_to_a", *of_domains])  # there, back, identity
    assert found == {"a_to_b": 3, "b_to_a": 3, "discriminator_a": 3, "discriminator_b": 3}
    model = make(kgen.CycleGAN, identity_weight=0)
    assert counted(model, ["a_to_b", "b_to_a"]) == {"a_to_b": 2, "b_to_a": 2}
    model = make(kgen.Pix2Pix, adversarial_weight=0)
    assert counted(model, ["generator", "discriminator"]) == {"generator": 1}


def test_a_cut_update_runs_the_generator_once_for_each_domain():
    """Whole, and its first half again on what it made."""
    model, counts = make(kgen.CUT), collections.Counter()
    model.compile(run_eagerly=True)
    first, last = model.generator.layers[1], model.generator.layers[-1]
    for layer in (first, last):

        def call(*args, layer=layer, run=layer.call, **kwargs):
            counts[layer.name] += 1
            return run(*args, **kwargs)

        layer.call = call
    model.fit(A[:2], B[:2], batch_size=2, verbose=0)
    assert counts == {first.name: 4, last.name: 2}


def test_batches_are_joined_where_networks_see_images_alone():
    """What they return is the same, and each sees one batch at a time where it is not."""
    x, y = (images.astype("float32") / 127.5 - 1 for images in (A[:2], B[:2]))
    for kind, normalization, calls in (
        (kgen.CycleGAN, "instance", 1),
        (kgen.CycleGAN, "batch", 2),
        (kgen.Pix2Pix, "batch", 2),
        (kgen.Pix2Pix, "instance", 1),
    ):
        model, name = make(kind, normalization=normalization), kind.translators["a_to_b"]
        network, seen = getattr(model, name), []

        def call(*args, run=network.call, seen=seen, **options):
            seen.append(1)
            return run(*args, **options)

        network.call = call
        found = model.run(name, [x], [y], training=False)
        assert len(seen) == calls, (kind, normalization)
        for images, made in zip((x, y), found, strict=True):
            expected = ops.convert_to_numpy(network(images, training=False))
            np.testing.assert_allclose(ops.convert_to_numpy(made), expected, atol=1e-6)


def test_what_may_see_images_together_is_known():
    images = keras.Input((8, 8, 3))
    alone = layers.Conv2D(3, 3)(images)
    assert sees_images_alone(keras.Model(images, alone))
    nested = keras.Sequential([layers.BatchNormalization()])

    class Own(layers.Layer):
        def call(self, inputs):
            return inputs

    for outputs in (
        nested(alone),
        alone - ops.mean(alone, axis=0, keepdims=True),
        layers.Lambda(lambda x: x, output_shape=(8, 8, 3))(images),
        kgen.layers.SpectralNormalization(layers.Conv2D(3, 3))(images),
        Own()(images),
    ):
        assert not sees_images_alone(keras.Model(images, outputs))


@each_kind
def test_each_player_moves_its_networks_alone(kind):
    """One that steps by 0 stays, the other one does not."""
    model = make(kind)
    for still in model.players:
        optimizers = {p: keras.optimizers.SGD(0.1 * (p != still)) for p in model.players}
        model.compile(optimizers, run_eagerly=EAGERLY)
        before = {p: [*map(ops.convert_to_numpy, model.variables_of(p))] for p in model.players}
        model.fit(A[:4], B[:4], batch_size=2, verbose=0)
        for player, old in before.items():
            new = [*map(ops.convert_to_numpy, model.variables_of(player))]
            moved = [not np.array_equal(x, y) for x, y in zip(old, new, strict=True)]
            assert not any(moved) if player == still else any(moved)


# Sizes.


@each_kind
def test_translates_other_sizes_than_it_learnt(kind):
    model = ready(kind)
    for height, width in ((16, 16), (32, 16), (48, 64)):
        images = np.zeros((2, height, width, 3), "uint8")
        assert model.translate(images).shape == (2, height, width, 3)
    divisor = 16 if kind is kgen.Pix2Pix else 4
    near = {16: "16x32", 4: "16x36"}[divisor]
    with pytest.raises(ValueError, match=rf"18x35.*divisible by {divisor}.*to {near}"):
        model.translate(np.zeros((1, 18, 35, 3), "uint8"))


def test_what_memory_does_not_hold_is_refused_with_the_size_that_it_does(monkeypatch):
    model = ready(kgen.CycleGAN)
    image = np.zeros((1, 256, 256, 3), "uint8")
    monkeypatch.setattr(translator, "free_bytes", lambda: 10 * 2**20)
    monkeypatch.setattr("kgen.arguments.free_bytes", lambda: 5 * 2**20)
    with pytest.raises(ValueError, match=r"256x256 pixels take .* at most (\d+)x\1"):
        model.translate(image)


@each_kind
def test_what_is_no_image_of_the_domain_is_refused(kind):
    model = ready(kind)
    for wrong, words in (
        (A[..., :1], "channels differ"),
        (A[0], r"expects \(N, 16, 16, 3\)"),
        (A / 255.0, "\\[0, 1\\]|divided by 255"),
        (A.astype("int64"), "astype"),
        (kgen.data.ImagePairs(A, B), r"pairs\(\)\[0\]"),
        ("faces", "must be"),
    ):
        with warnings.catch_warnings(), pytest.raises((TypeError, ValueError), match=words):
            warnings.simplefilter("error")
            try:
                model.translate(wrong)
            except UserWarning as warning:
                raise ValueError(str(warning)) from warning
    with pytest.raises(ValueError, match="direction must be one of"):
        model.translate(A, "b2a")
    if kind is kgen.CycleGAN:
        assert model.translate(A, "b_to_a").shape == A.shape
    else:
        with pytest.raises(ValueError, match=r"one direction.*pairs\.swapped\(\)"):
            model.translate(A, "b_to_a")


def test_domains_that_differ_in_channels():
    grey = A[..., :1]
    model = kgen.Pix2Pix((16, 16, 1), (16, 16, 3), **SMALL)
    model.compile(run_eagerly=EAGERLY)
    model.fit(grey[:4], A[:4], batch_size=4, verbose=0)
    assert model.translate(grey).shape == A.shape
    with pytest.raises(ValueError, match="identity_weight=0"):
        kgen.CycleGAN((16, 16, 1), (16, 16, 3), blocks=1, **SMALL)
    model = kgen.CycleGAN((16, 16, 1), (16, 16, 3), blocks=1, identity_weight=0, **SMALL)
    model.compile(run_eagerly=EAGERLY)
    model.fit(grey[:4], A[:4], batch_size=4, verbose=0)
    assert model.translate(A, "b_to_a").shape == grey.shape
    with pytest.raises(ValueError, match="identity_nce=False"):
        kgen.CUT((16, 16, 1), (16, 16, 3), blocks=1, **SMALL)


# Data.


def test_pairs_that_do_not_belong_together_are_refused_by_pix2pix_alone():
    apart = kgen.data.ImagePairs(A, B[:5], aligned=False)
    with pytest.raises(ValueError, match="do not belong together"):
        ready(kgen.Pix2Pix).fit(apart, verbose=0)
    for kind in (kgen.CycleGAN, kgen.CUT):
        model = ready(kind)
        model.fit(apart, batch_size=4, verbose=0)
        assert int(model.step) == 3
        model.fit(kgen.data.ImagePairs(A, B), batch_size=4, verbose=0)
        with pytest.raises(ValueError, match="has no second images"):
            model.fit(A, verbose=0)
    vae = kgen.VAE((16, 16, 3), network="dense")
    vae.compile()
    with pytest.raises(TypeError, match="learns from images"):
        vae.fit(apart, verbose=0)


# Noise.


def test_noise_of_pix2pix_is_that_of_its_seed_and_of_each_image_alone():
    model = ready(kgen.Pix2Pix)
    model.fit(A, B, batch_size=4, verbose=0)
    before = state.capture(model)
    noisy = model.translate(A[:4], noise=True, seed=1)
    np.testing.assert_allclose(model.translate(A[2:4], noise=True, seed=1), noisy[2:], atol=1e-5)
    assert np.abs(model.translate(A[:4], noise=True, seed=2) - noisy).max() > 1e-3
    assert np.abs(model.translate(A[:4]) - noisy).max() > 1e-3
    after = state.capture(model)
    assert all(np.array_equal(before[name], after[name]) for name in before)
    with pytest.raises(ValueError, match="noise=True"):
        model.translate(A, seed=1)


# The history.


def test_the_history_is_in_checkpoints_and_files_and_not_in_the_zoo(tmp_path):
    model = ready(kgen.CycleGAN)
    model.fit(A, B, batch_size=4, verbose=0)
    assert int(model.history_a.count) == 8
    assert any("history" in v.path for v in state._variables(model).values())
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    kept, again = (ops.convert_to_numpy(m.history_b.images) for m in (model, loaded))
    np.testing.assert_array_equal(kept, again)
    card = {"what": "-", "data": "digits", "seed": 0, "seconds": 1, "metrics": {"l1": 1.0}}
    samples = model.preview(2, inputs=(A, B))
    kgen.zoo.save(model, "cycle", tmp_path / "zoo", samples=samples, **card)
    kept = kgen.zoo.load("cycle", tmp_path / "zoo")
    assert kept.history_a is None and kept.history_b is None
    for direction in ("a_to_b", "b_to_a"):
        both = (m.translate(A, direction) for m in (kept, model))
        np.testing.assert_allclose(*both, atol=1e-6)
    with pytest.raises(ValueError, match="saved for inference"):
        kept.compile()
        kept.fit(A, B, verbose=0)


def test_a_run_is_resumed_with_its_history(tmp_path):
    """Steps are eager: what a compiled one resumes, the conformance suite shows of every family."""

    def fit(epochs, callbacks=()):
        keras.utils.clear_session(free_memory=False)
        keras.utils.set_random_seed(0)
        model = make(kgen.CycleGAN, history_size=2, average_decay=0.9)
        model.compile(run_eagerly=True)
        losses = model.fit(
            A[:2], B[:2], batch_size=2, epochs=epochs, verbose=0, callbacks=callbacks
        )
        return losses.history, state.capture(model)

    history, whole = fit(2)
    for epochs in (1, 2):
        checkpoint = kgen.callbacks.TrainingCheckpoint(tmp_path)
        again, parts = fit(epochs, [checkpoint])
    assert again == history
    assert whole.keys() == parts.keys()
    assert all(np.array_equal(whole[name], parts[name]) for name in whole)


def test_discriminators_see_the_history_and_generators_do_not():
    model = make(kgen.CycleGAN, history_size=2)
    model.compile(run_eagerly=True)
    seen, loss = [], model.discriminator_loss

    def watched(a, b, fake_a, fake_b, training):
        seen.append([ops.convert_to_numpy(x) for x in (fake_a, fake_b)])
        return loss(a, b, fake_a, fake_b, training)

    model.discriminator_loss = watched
    made, update = [], model.generator_loss

    def making(a, b, training):
        result = update(a, b, training)
        made.append([ops.convert_to_numpy(ops.stop_gradient(x)) for x in result[1][1:]])
        return result

    if keras.backend.backend() == "jax":
        pytest.skip("JAX traces gradients: their values cannot be looked at")
    model.generator_loss = making
    model.fit(A[:8], B[:8], batch_size=1, verbose=0)
    new = [np.array_equal(s, m) for s, m in zip(seen, made, strict=True)]
    assert new[:2] == [True, True] and not all(new)
    for old, step in zip(seen, range(8), strict=True):
        before = [m[0] for m in made[: step + 1]]
        assert any(np.allclose(old[0], fake) for fake in before)


@each_kind
def test_what_translates_is_the_moving_average(kind, tmp_path):
    model = make(kind, average_decay=0.9)
    fast = {player: keras.optimizers.Adam(0.01) for player in model.players}
    model.compile(fast, run_eagerly=EAGERLY)
    model.fit(A[:4], B[:4], batch_size=4, epochs=2, verbose=0)
    name = model.translators["a_to_b"]
    trained, average = getattr(model, name), getattr(model, f"{name}_average").model
    x = A.astype("float32") / 127.5 - 1
    expected, other = (ops.convert_to_numpy(n(x, training=False)) for n in (average, trained))
    np.testing.assert_allclose(model.translate(A), expected, atol=1e-5)
    np.testing.assert_allclose(model.predict(x, verbose=0), expected, atol=1e-5)
    assert np.abs(expected - other).max() > 1e-4
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(loaded.translate(A), expected, atol=1e-5)
    with pytest.raises(ValueError, match="average_decay"):
        make(kind, average_decay=1)


# CUT.


def test_features_are_layers_of_the_generator():
    with pytest.raises(ValueError, match=r"it has no \['feature_9'\].*feature_0"):
        make(kgen.CUT, features=("feature_0", "feature_9"))
    first = layers.Conv2D(4, 3, padding="same", name="first")
    last = layers.Conv2D(3, 3, padding="same", activation="tanh", name="last")
    own = keras.Sequential([keras.Input((16, 16, 3)), first, last])
    model = make(kgen.CUT, generator=own, features=("first",))
    model.compile(run_eagerly=EAGERLY)
    model.fit(A[:4], B[:4], batch_size=4, verbose=0)


def test_mirrored_inputs_have_the_features_of_inputs_mirrored_back():
    """Where the generator knows no sides, FastCUT's loss is the same with and without a flip."""
    first = layers.Conv2D(4, 1, name="first", activation="relu")
    last = layers.Conv2D(3, 1, name="last", activation="tanh")
    pixelwise = keras.Sequential([keras.Input((16, 16, 3)), first, last])
    model = make(kgen.CUT, variant="fastcut", generator=pixelwise, features=("first",))
    x = ops.convert_to_tensor(A.astype("float32") / 127.5 - 1)
    for mirrored in (True, False):
        _, fake = model._translated(x, ops.convert_to_tensor(mirrored), training=False)
        seen = ops.flip(x, 2) if mirrored else x
        np.testing.assert_allclose(
            ops.convert_to_numpy(fake), ops.convert_to_numpy(pixelwise(seen)), atol=1e-6
        )
        (found,) = model._features(fake, ops.convert_to_tensor(mirrored), training=False)
        (expected,) = model._features(pixelwise(x), None, training=False)
        np.testing.assert_allclose(*map(ops.convert_to_numpy, (found, expected)), atol=1e-5)


def test_losses_of_fastcut_equal_a_computation_by_hand():
    settings = {"filters": 4, "blocks": 1, "receptive_field": 1, "projection_dim": 8}
    model = kgen.CUT((8, 8), variant="fastcut", **settings)
    model.compile(run_eagerly=EAGERLY)
    images, others = digits(8), 255 - digits(8)[::-1]
    model.fit(images, others, batch_size=8, verbose=0)  # mirrored or not
    measured = model.evaluate(images, others, batch_size=8, verbose=0)
    expected = cut_by_hand(model, images, others)
    assert measured.keys() == expected.keys()
    for name, value in expected.items():
        assert measured[name] == pytest.approx(value, rel=2e-4, abs=2e-5), name


def test_variants_are_the_papers_and_arguments_win():
    cut, fast = make(kgen.CUT), make(kgen.CUT, variant="fastcut")
    assert (cut.nce_weight, cut.identity_nce, cut.flip) == (1, True, False)
    assert (fast.nce_weight, fast.identity_nce, fast.flip) == (10, False, True)
    assert make(kgen.CUT, variant="fastcut", nce_weight=3).nce_weight == 3
    with pytest.raises(ValueError, match="variant must be one of"):
        make(kgen.CUT, variant="slowcut")


# Files for others.


@each_kind
def test_a_generator_exported_to_onnx_translates_the_same(kind, tmp_path):
    if keras.backend.backend() == "jax":
        pytest.skip("Keras exports by jax2onnx there, which brings flax along")
    import onnxruntime

    model = ready(kind)
    model.fit(A, B, batch_size=4, verbose=0)
    model.export(tmp_path / "model.onnx", format="onnx", verbose=False)
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    (taken,) = session.get_inputs()
    (translated,) = session.run(None, {taken.name: A[:1].astype("float32") / 127.5 - 1})
    np.testing.assert_allclose(translated, model.translate(A[:1]), atol=1e-4)


# Pictures.


def test_callbacks_show_and_measure_what_is_translated(tmp_path):
    """Of a linear generator, which learns to invert images."""
    images = keras.Input((16, 16, 3))
    inverting = keras.Model(images, layers.Conv2D(3, 1, activation="tanh")(images))
    beside = [images, keras.Input((16, 16, 3))]
    judge = layers.Conv2D(1, 4, 2)(layers.Concatenate()(beside))
    own = {"generator": inverting, "discriminator": keras.Model(beside, judge)}
    model = kgen.Pix2Pix((16, 16, 3), **own)
    model.compile({player: keras.optimizers.Adam(0.1) for player in model.players})
    pairs = kgen.data.ImagePairs(A, B, batch_size=4)
    shown = kgen.callbacks.SampleGrid(tmp_path / "shown", n=3, every=4)
    measured = kgen.callbacks.Evaluator({"mean": lambda _, fake: fake.mean()}, A, inputs=A[:5])
    history = model.fit(
        pairs, epochs=8, verbose=0, validation_data=pairs, callbacks=[shown, measured]
    ).history
    assert history["l1"][-1] < 0.5 * history["l1"][0]
    assert len(history["val_mean"]) == 8
    assert (tmp_path / "shown" / "samples.gif").exists()
    with pytest.raises(ValueError, match=r"SampleGrid\(inputs=images\), or validation_data"):
        model.fit(pairs, verbose=0, callbacks=[kgen.callbacks.SampleGrid(tmp_path)])
    with pytest.raises(TypeError, match="needs a model with generate, or inputs="):
        model.fit(pairs, verbose=0, callbacks=[kgen.callbacks.CollapseMonitor(np.repeat(A, 5, 0))])


def test_previews_show_inputs_outputs_and_the_truth():
    rows = ready(kgen.Pix2Pix).preview(3, inputs=(A, B))
    assert [*rows] == ["input", "output", "truth"] and {len(r) for r in rows.values()} == {3}
    rows = ready(kgen.CycleGAN).preview(2, inputs=(A, B))
    assert [*rows] == ["a", "a to b", "a to b to a", "b", "b to a", "b to a to b"]
    assert [*ready(kgen.CUT).preview(2, inputs=A)] == ["a", "a to b"]
    for kind in (kgen.Pix2Pix, kgen.CycleGAN, kgen.CUT):
        with pytest.raises(ValueError, match="needs some"):
            ready(kind).preview(2)
