"""One encoder and two decoders: what is the face swap's own beside the conformance suite."""

import keras
import numpy as np
import pytest
from as_new import as_new
from keras import layers, ops

import kgen

A = np.random.default_rng(0).integers(0, 256, (24, 8, 8, 3), "uint8")
B = 255 - A[::-1]
SMALL = {"latent_dim": 4, "network": "dense"}


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
    drawn = getattr(model, f"decoder_{domain}")(codes, training=False)
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
        error = np.abs(model.reconstruct(images, domain) - x).mean()
        assert losses[f"error_{domain}"] == pytest.approx(error, rel=1e-5)


def test_one_encoder_serves_both_domains():
    model = ready()
    codes = model.encode(np.concatenate([A, B]))
    assert codes.shape == (48, 4) and codes.dtype == np.float32
    expected = model.encoder(A.astype("float32") / 127.5 - 1, training=False)
    np.testing.assert_allclose(codes[:24], ops.convert_to_numpy(expected), atol=1e-5)


def test_a_domain_teaches_the_encoder_and_its_own_decoder_alone():
    """A step on other images of B leads the decoder of A to the same place, the others not."""
    after = {}
    for number, others in enumerate((B, B // 2)):
        keras.utils.set_random_seed(0)
        model = make()
        model.compile(keras.optimizers.SGD(0.1))
        start = model.decoder_a.get_weights()
        model.fit(A, others, batch_size=24, verbose=0)
        assert int(model.step) == 1
        for name in ("encoder", "decoder_a", "decoder_b"):
            after[name, number] = np.concatenate(
                [w.ravel() for w in getattr(model, name).get_weights()]
            )
    same = {name: np.allclose(after[name, 0], after[name, 1], atol=1e-7) for name, _ in after}
    assert same == {"encoder": False, "decoder_a": True, "decoder_b": False}
    assert not np.allclose(after["decoder_a", 0], np.concatenate([w.ravel() for w in start]))


def test_poses_pass_and_people_change():
    """Two 'people' are a dark and a bright grey; their 'pose' is a slope from left to right."""
    ramp = np.linspace(-1, 1, 8, dtype="float32")[None, :, None]

    def person(tone, poses):
        slopes = poses[:, None, None, None] * np.ones((8, 1, 1)) * ramp
        return (tone + 0.6 * slopes).astype("float32")

    random = np.random.default_rng(0)
    a, b = (person(tone, random.uniform(-1, 1, 320)) for tone in (-0.4, 0.4))
    keras.utils.set_random_seed(0)
    model = kgen.FaceSwap((8, 8), latent_dim=4, network="dense", seed=0)
    model.compile(keras.optimizers.Adam(3e-3))
    model.fit(a, b, batch_size=32, epochs=15, verbose=0)
    poses = np.linspace(-0.9, 0.9, 20)
    of_a, truth = person(-0.4, poses), person(0.4, poses)
    swapped = model.translate(of_a)
    slopes = (swapped * ramp).mean(axis=(1, 2, 3))
    assert abs(swapped.mean() - 0.4) < 0.1 and np.corrcoef(slopes, poses)[0, 1] > 0.9
    assert np.abs(swapped - truth).mean() < 0.5 * np.abs(of_a - truth).mean()


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
    wide = kgen.networks.dense_encoder((8, 8, 3), 5)
    with pytest.raises(ValueError, match=r"encoder must return latents of shape \(None, 4\)"):
        make(encoder=wide)
    for name in ("decoder_a", "decoder_b"):
        large = kgen.networks.dense_decoder((16, 16, 3), 4)
        with pytest.raises(ValueError, match=rf"{name} must return images of shape"):
            make(**{name: large})
        sigmoid = keras.Sequential(
            [keras.Input((4,)), layers.Dense(192, "sigmoid"), layers.Reshape((8, 8, 3))]
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
    assert loaded.latent_dim == 4 and loaded.network == "dense"
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
