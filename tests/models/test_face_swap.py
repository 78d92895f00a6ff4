"""One encoder and two decoders: what is the face swap's own beside the conformance suite."""

import keras
import numpy as np
import pytest
from as_new import as_new
from keras import layers, ops

import kgen
from kgen.models.face_swap import relative_gap

A = np.random.default_rng(0).integers(0, 256, (24, 8, 8, 3), "uint8")
B = 255 - A[::-1]
SMALL = {"latent_dim": 4, "filters": 4}


def make(**options):
    return kgen.FaceSwap((8, 8, 3), **{**SMALL, **options})


def ready():
    def new():
        keras.utils.set_random_seed(0)
        model = make()
        model.compile()
        return model

    return as_new("face swap", new)


def by_hand(model, images, domain):
    """Images by the decoder of a domain, network by network."""
    codes = model.encoder(images.astype("float32") / 127.5 - 1, training=False)
    features = model.intermediate(codes, training=False)
    drawn = getattr(model, f"decoder_{domain}")(features, training=False)
    return ops.convert_to_numpy(drawn)


def test_each_direction_goes_through_the_decoder_of_the_other_domain():
    model = ready()
    for direction, domain, images in (("a_to_b", "b", A), ("b_to_a", "a", B)):
        translated = model.translate(images, direction)
        assert translated.shape == images.shape and translated.dtype == np.float32
        np.testing.assert_allclose(translated, by_hand(model, images, domain), atol=1e-5)
        np.testing.assert_allclose(
            model.translate(images, direction, batch_size=5), translated, atol=1e-5
        )
    np.testing.assert_allclose(model.translate(A), model.translate(A, "a_to_b"))
    x = A.astype("float32") / 127.5 - 1
    np.testing.assert_allclose(model.predict(x, verbose=0), model.translate(A), atol=1e-5)


def test_a_reconstruction_is_by_the_decoder_of_its_own_domain():
    model = ready()
    for domain, images in (("a", A), ("b", B)):
        again = model.reconstruct(images, domain)
        np.testing.assert_allclose(again, by_hand(model, images, domain), atol=1e-5)
    losses = model.evaluate(A, B, verbose=0)
    for domain, images in (("a", A), ("b", B)):
        x = images.astype("float32") / 127.5 - 1
        error = np.square(model.reconstruct(images, domain) - x).mean()
        assert losses[f"error_{domain}"] == pytest.approx(error, rel=1e-5)


def test_one_encoder_serves_both_domains():
    model = ready()
    codes = model.encode(np.concatenate([A, B]))
    assert codes.shape == (48, 4) and codes.dtype == np.float32
    expected = model.encoder(A.astype("float32") / 127.5 - 1, training=False)
    np.testing.assert_allclose(codes[:24], ops.convert_to_numpy(expected), atol=1e-5)


def test_a_domain_teaches_what_is_shared_and_its_own_decoder_alone():
    """A step on other images of B leads the decoder of A to the same place, the others not."""
    after = {}
    for number, others in enumerate((B, B // 2)):
        keras.utils.set_random_seed(0)
        model = make()
        model.compile(keras.optimizers.SGD(0.1))
        start = model.decoder_a.get_weights()
        model.fit(A, others, batch_size=24, verbose=0)
        assert int(model.step) == 1
        for name in ("encoder", "intermediate", "decoder_a", "decoder_b"):
            after[name, number] = np.concatenate(
                [w.ravel() for w in getattr(model, name).get_weights()]
            )
    same = {name for name, _ in after if np.allclose(after[name, 0], after[name, 1], atol=1e-7)}
    assert same == {"decoder_a"}
    assert not np.allclose(after["decoder_a", 0], np.concatenate([w.ravel() for w in start]))


def test_poses_pass_and_people_change():
    """Two 'people' are a dark and a brighter grey; their 'pose' is where a light spot is."""
    columns = np.arange(8, dtype="float32")[None, None, :, None]

    def person(tone, places):
        spot = np.exp(-np.square(columns - places[:, None, None, None]) / 2)
        return (tone + 0.6 * spot * np.ones((8, 1, 1))).astype("float32")

    random = np.random.default_rng(0)
    a, b = (person(tone, random.uniform(1, 6, 320)) for tone in (-0.8, -0.2))
    keras.utils.set_random_seed(0)
    model = kgen.FaceSwap((8, 8), latent_dim=4, filters=8, seed=0)
    model.compile(keras.optimizers.Adam(3e-3))
    model.fit(a, b, batch_size=32, epochs=15, verbose=0)
    places = np.linspace(1.5, 5.5, 20)
    of_a, truth = person(-0.8, places), person(-0.2, places)
    swapped = model.translate(of_a)
    seen = swapped.mean(axis=(1, 3)).argmax(axis=1)
    assert np.corrcoef(seen, places)[0, 1] > 0.9
    assert np.abs(swapped - truth).mean() < 0.3 * np.abs(of_a - truth).mean()


def test_the_gap_is_that_of_the_means_in_units_of_what_is_told():
    a = ops.convert_to_tensor([[[3.0, 1.0]], [[1.0, 1.0]]])
    b = ops.convert_to_tensor([[[0.0, 1.0]], [[0.0, 1.0]]])
    found = float(ops.convert_to_numpy(relative_gap(a, b)))
    assert found == pytest.approx((2**2 + 0) / 2 / ((10 + 2) / 4 + 2 / 4) * 2, rel=1e-5)
    same = float(ops.convert_to_numpy(relative_gap(a, ops.flip(a, 0))))
    assert same == pytest.approx(0, abs=1e-9)


def test_matching_brings_together_what_is_told_of_both():
    gaps = []
    for weight in (0.0, 1.0):
        keras.utils.set_random_seed(0)
        model = make(matching_weight=weight)
        model.compile(keras.optimizers.Adam(3e-3))
        model.fit(A, B // 4, batch_size=24, epochs=30, verbose=0)
        gaps.append(model.evaluate(A, B // 4, verbose=0)["gap"])
    assert gaps[1] < 0.3 * gaps[0]


def test_places_that_count_more():
    """The errors are weighted means, in which a box counts as often as it says."""
    focus = [(0.5, 0.0, 1.0, 0.25, 7), (0.0, 0.0, 1.0, 1.0, 1)]
    model = make(focus=focus)
    model.compile()
    weights = np.ones((8, 8, 1))
    weights[4:, :2] = 7
    losses = model.evaluate(A, B, verbose=0)
    for domain, images in (("a", A), ("b", B)):
        x = images.astype("float32") / 127.5 - 1
        squares = np.square(model.reconstruct(images, domain).astype("float64") - x).mean(0)
        expected = (weights * squares).sum() / (3 * weights.sum())
        assert losses[f"error_{domain}"] == pytest.approx(expected, rel=1e-4)
    again = kgen.FaceSwap.from_config(model.get_config())
    assert again.focus == [list(box) for box in focus]
    for wrong in (
        [(0, 0, 1, 1)],
        [(0.5, 0, 0.5, 1, 2)],
        [(0, 0, 2, 1, 2)],
        [(0, 0.5, 1, 0.2, 2)],
        "mouth",
        3,
    ):
        with pytest.raises(ValueError, match="focus must hold boxes"):
            make(focus=wrong)
    with pytest.raises(ValueError, match="weight of a box in focus"):
        make(focus=[(0, 0, 1, 1, -2)])


# Data.


def test_domains_need_not_belong_together_nor_be_as_many():
    model = ready()
    model.fit(kgen.data.ImagePairs(A, B[:7], aligned=False), batch_size=6, verbose=0)
    assert int(model.step) == 4
    model.fit(kgen.data.ImagePairs(A, B), batch_size=6, verbose=0)
    assert int(model.step) == 8
    with pytest.raises(ValueError, match="has no second images"):
        model.fit(A, verbose=0)
    with pytest.raises(ValueError, match=r"channels differ|expects"):
        model.fit(A, B[..., :1], verbose=0)


# What is refused.


def test_what_is_no_image_and_no_domain_is_refused():
    model = ready()
    for call in (model.translate, model.reconstruct, model.encode):
        with pytest.raises(ValueError, match="channels differ"):
            call(A[..., :1])
        with pytest.raises(TypeError, match="must be an array"):
            call(kgen.data.ImagePairs(A, B))
    with pytest.raises(ValueError, match=r"direction must be one of .*got 'b2a'"):
        model.translate(A, "b2a")
    with pytest.raises(ValueError, match=r"domain must be one of .*got 'c'"):
        model.reconstruct(A, "c")


def test_networks_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"translates images.*got \(2,\)"):
        kgen.FaceSwap((2,))
    with pytest.raises(ValueError, match="latent_dim must be"):
        make(latent_dim=0)
    with pytest.raises(ValueError, match="matching_weight must be"):
        make(matching_weight=-1)
    wide = kgen.networks.dense_encoder((8, 8, 3), 5)
    with pytest.raises(ValueError, match=r"encoder must return codes of shape \(None, 4\)"):
        make(encoder=wide)
    with pytest.raises(ValueError, match="intermediate does not take inputs of shape"):
        make(intermediate=kgen.networks.swap_intermediate((8, 8, 3), 5))
    two = keras.Input((4,))
    with pytest.raises(ValueError, match="intermediate must return one tensor of features"):
        make(intermediate=keras.Model(two, [two, two]))
    for name in ("decoder_a", "decoder_b"):
        large = kgen.networks.swap_decoder((16, 16, 3), (8, 8, 4), filters=4)
        with pytest.raises(ValueError, match=rf"{name} must return images of shape"):
            make(**{name: large})
        sigmoid = keras.Sequential(
            [keras.Input((8, 8, 4)), layers.Conv2D(3, 3, padding="same", activation="sigmoid")]
        )
        with pytest.raises(ValueError, match=rf"{name} ends in a sigmoid"):
            make(**{name: sigmoid})


# Files and pictures.


def test_a_file_of_the_zoo_translates_in_both_directions(tmp_path):
    model = ready()
    model.fit(A, B, batch_size=12, verbose=0)
    card = {"what": "-", "data": "digits", "seed": 0, "seconds": 1, "metrics": {"loss": 1.0}}
    samples = model.preview(2, inputs=(A, B))
    kgen.zoo.save(model, "swap", tmp_path, samples=samples, **card)
    loaded = kgen.zoo.load("swap", tmp_path)
    assert loaded.latent_dim == 4 and loaded.matching_weight == 0.1
    for direction, images in (("a_to_b", A), ("b_to_a", B)):
        found = loaded.translate(images, direction)
        np.testing.assert_allclose(found, model.translate(images, direction), atol=1e-6)
    np.testing.assert_allclose(loaded.reconstruct(B, "b"), model.reconstruct(B, "b"), atol=1e-6)
    np.testing.assert_allclose(loaded.encode(A), model.encode(A), atol=1e-5)


def test_previews_show_each_domain_and_what_becomes_of_it():
    model = ready()
    rows = model.preview(3, inputs=(A, B))
    assert [*rows] == ["a", "a to b", "b", "b to a"]
    np.testing.assert_allclose(rows["b to a"], model.translate(B[:3], "b_to_a"), atol=1e-6)
    np.testing.assert_allclose(rows["a"], A[:3].astype("float32") / 127.5 - 1, atol=1e-6)
    assert [*model.preview(2, inputs=A)] == ["a", "a to b"]
    with pytest.raises(ValueError, match="needs some"):
        model.preview(2)
