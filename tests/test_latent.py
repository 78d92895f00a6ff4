"""Paths, vectors, priors and measures of a latent space against closed forms."""

import dataclasses
import itertools

import keras
import numpy as np
import pytest

import kgen
from kgen import latent


def normal(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape, dtype="float32")


# Images.


class Square:
    """Latents `(N, 4)` are the pixels."""

    def decode(self, latents):
        assert latents.ndim == 2
        return latents.reshape(-1, 2, 2, 1)


def test_decoded_keeps_the_axes_of_latents():
    paths = normal(3, 5, 4)
    images = latent.decoded(Square(), paths)
    assert images.shape == (3, 5, 2, 2, 1)
    np.testing.assert_array_equal(images.reshape(3, 5, 4), paths)
    np.testing.assert_array_equal(latent.decoded(Square(), paths[0]), images[0])
    assert latent.decoded(Square(), normal(2, 3, 5, 4)).shape == (2, 3, 5, 2, 2, 1)


@pytest.mark.parametrize("shape", [(4,), (0, 4), (3, 0)])
def test_what_cannot_be_decoded(shape):
    with pytest.raises(ValueError, match=r"latents must have shape \(\.\.\., D\), not empty"):
        latent.decoded(Square(), np.zeros(shape))


# Paths.


def test_linear_is_the_straight_line():
    a, b = normal(2, 5, 3)
    line = latent.linear(a, b, steps=4)
    assert line.shape == (5, 4, 3) and line.dtype == np.float32
    np.testing.assert_allclose(line[:, 1], (2 * a + b) / 3, atol=1e-6)
    np.testing.assert_allclose(np.diff(line, axis=1), (b - a)[:, None].repeat(3, 1) / 3, atol=1e-6)


def test_ends_are_exact():
    a, b = normal(2, 50, 7)
    for path, steps in itertools.product((latent.linear, latent.spherical), (2, 9)):
        points = path(a, b, steps)
        np.testing.assert_array_equal(points[:, 0], a)
        np.testing.assert_array_equal(points[:, -1], b)


def test_spherical_turns_at_constant_speed():
    """Between orthogonal unit vectors it is cos(t pi/2) a + sin(t pi/2) b."""
    arc = latent.spherical([[1, 0, 0]], [[0, 0, 1]], steps=7)[0]
    angle = np.linspace(0, np.pi / 2, 7)
    expected = np.stack([np.cos(angle), 0 * angle, np.sin(angle)], axis=1)
    np.testing.assert_allclose(arc, expected, atol=1e-6)


def test_spherical_is_slerp_where_norms_are_equal():
    a, b = normal(2, 20, 5).astype("float64")
    a, b = (3 * x / np.linalg.norm(x, axis=1, keepdims=True) for x in (a, b))
    theta = np.arccos((a * b).sum(1, keepdims=True) / 9)
    t = np.linspace(0, 1, 6)[:, None, None]
    slerp = (np.sin((1 - t) * theta) * a + np.sin(t * theta) * b) / np.sin(theta)
    np.testing.assert_allclose(latent.spherical(a, b, 6), slerp.swapaxes(0, 1), atol=1e-5)


def test_norms_along_paths():
    a, b = normal(2, 200, 64)
    a *= 2
    ends = np.linalg.norm(a, axis=1), np.linalg.norm(b, axis=1)
    norms = np.linalg.norm(latent.spherical(a, b, 5), axis=2)
    np.testing.assert_allclose(norms, np.linspace(*ends, 5, axis=1), rtol=1e-5)
    middle = np.linalg.norm(latent.linear(a, b, 3)[:, 1], axis=1)
    assert (middle < 0.9 * norms[:, 2]).all()  # straight lines leave the shell


def test_spherical_of_parallel_and_zero_vectors_is_straight():
    a = np.array([[1, 2], [0, 0], [3, 4], [0, 0], [1e-30, 0], [1, 2]])
    b = np.array([[3, 6], [3, 4], [0, 0], [0, 0], [0, 5], [1, 2 + 1e-7]])
    arc, line = latent.spherical(a, b, 5), latent.linear(a, b, 5)
    np.testing.assert_allclose(np.delete(arc, 4, 0), np.delete(line, 4, 0), atol=1e-6)
    assert np.isfinite(arc).all()


def test_opposite_directions_have_no_shortest_arc():
    a = normal(4, 6)
    b = np.concatenate([normal(2, 6, seed=1), -3 * a[2:]])
    with pytest.raises(ValueError, match=r"a\[2\] and b\[2\] point in opposite.*2 of 4 pairs"):
        latent.spherical(a, b)
    b[2:] += 1e-3  # nearly opposite: bounded all the same
    norms = np.linalg.norm(latent.spherical(a, b, 9), axis=2)
    assert (norms <= 1.0001 * np.maximum(norms[:, :1], norms[:, -1:])).all()


def test_paths_say_what_they_take():
    z = normal(3, 4)
    for path in (latent.linear, latent.spherical):
        with pytest.raises(ValueError, match="steps counts both ends, so at least 2; got 1"):
            path(z, z, steps=1)
        with pytest.raises(ValueError, match="steps must be a positive integer"):
            path(z, z, steps=2.5)
        with pytest.raises(ValueError, match=r"pair up.*\(3, 4\) and \(2, 4\)"):
            path(z, z[:2])
        with pytest.raises(ValueError, match=r"a must have shape \(N, D\).*\(4,\).*a\[None\]"):
            path(z[0], z)
        with pytest.raises(ValueError, match="b must be finite; 1 of 12"):
            path(z, np.where(np.arange(12).reshape(3, 4) == 5, np.nan, z))
        with pytest.raises(TypeError, match="a must be an array of real numbers; got list"):
            path([["x"]], z)


def test_tensors_are_taken():
    a, b = normal(2, 3, 4)
    tensors = [keras.ops.convert_to_tensor(x) for x in (a, b)]
    np.testing.assert_array_equal(latent.linear(*tensors, 3), latent.linear(a, b, 3))
    half = [keras.ops.cast(x, "bfloat16") for x in tensors]
    np.testing.assert_allclose(latent.add(*half), a + b, atol=0.05)


# Arithmetic.


def test_arithmetic():
    z1, z2, z3 = normal(3, 5, 4)
    np.testing.assert_allclose(latent.add(z1, z2), z1 + z2, atol=1e-6)
    np.testing.assert_allclose(latent.analogy(z1, z2, z3), z1 - z2 + z3, atol=1e-6)
    for single in (z2[0], z2[:1]):
        np.testing.assert_allclose(latent.add(z1, single), z1 + z2[0], atol=1e-6)
        np.testing.assert_allclose(latent.analogy(single, z2[1], z3), z2[0] - z2[1] + z3, atol=1e-6)
    assert latent.add(z1[0], z2[0]).shape == (4,) and latent.add(z1, z2).dtype == np.float32
    with pytest.raises(ValueError, match=r"z1, z2 must have shape.*got \(5, 4\), \(3, 4\)"):
        latent.add(z1, z2[:3])
    for wrong in (z2[:, :3], z2[0, :3], z2[:0], z2[None], 1.0):
        with pytest.raises(ValueError, match="z1, z2, z3 must have shape"):
            latent.analogy(z1, wrong, z3)


def test_attribute_vector_by_hand():
    z = np.array([[1, 2], [3, 4], [0, 0], [2, 0], [1, 3]])
    vector = latent.attribute_vector(z, np.array([True, True, False, False, False]))
    np.testing.assert_allclose(vector, [2 - 1, 3 - 1])
    assert vector.dtype == np.float32 and latent.add(z, vector).shape == (5, 2)
    with pytest.raises(TypeError, match=r"has must be boolean.*labels == 1"):
        latent.attribute_vector(z, np.array([1, 1, 0, 0, 0]))
    for has, count in ((np.zeros(5, bool), 0), (np.ones(5, bool), 5)):
        with pytest.raises(ValueError, match=f"{count} of 5 latents have the attribute"):
            latent.attribute_vector(z, has)
    with pytest.raises(ValueError, match=r"has must have shape \(5,\)"):
        latent.attribute_vector(z, np.ones((5, 1), bool))


def test_attribute_vector_of_some_latents():
    z = np.array([[1, 2], [3, 4], [0, 0], [2, 0], [1, 3]])
    has, lacks = np.arange(5) < 2, np.arange(5) == 3
    np.testing.assert_allclose(latent.attribute_vector(z, has, lacks), [0, 3])
    some = has | lacks
    expected = latent.attribute_vector(z[some], has[some])
    np.testing.assert_array_equal(latent.attribute_vector(z, has, lacks), expected)
    with pytest.raises(ValueError, match="2 of 5 latents have the attribute, 0 have not"):
        latent.attribute_vector(z, has, np.zeros(5, bool))
    with pytest.raises(ValueError, match="2 of 5 latents have the attribute and lack it"):
        latent.attribute_vector(z, has, np.ones(5, bool))
    with pytest.raises(TypeError, match="lacks must be boolean"):
        latent.attribute_vector(z, has, np.zeros(5))


# Continuity.


class Toy:
    """Images (4, 4, 1) whose first two pixels are the latent."""

    def encode(self, images):
        return images.reshape(len(images), -1)[:, :2].astype("float32")

    def decode(self, latents):
        assert latents.dtype == np.float32 and latents.shape[1] == 2
        images = np.zeros((len(latents), 16), "float32")
        images[:, :2] = self.pixels(latents)
        return images.reshape(-1, 4, 4, 1)

    def __init__(self, pixels):
        self.pixels = pixels


IMAGES = np.random.default_rng(0).uniform(-1, 1, (30, 4, 4, 1)).astype("float32")


def test_a_linear_decoder_is_perfectly_even():
    result = latent.continuity(Toy(lambda z: 0.5 * z - 0.1), IMAGES, steps=16, pairs=50)
    assert (result.steps, result.pairs) == (16, 50)
    assert result.max_step == pytest.approx(1, abs=1e-4)
    assert result.path_ratio == pytest.approx(1, abs=1e-5)
    assert result.mean_step == pytest.approx(1 / 15, abs=1e-6)
    with pytest.raises(dataclasses.FrozenInstanceError):
        result.max_step = 0


def test_a_step_is_a_jump():
    """Images that jump once make their whole way in one step; the way is straight."""
    result = latent.continuity(Toy(lambda z: np.sign(z[:, :1]) * [1, 0]), IMAGES, steps=11)
    assert result.max_step == pytest.approx(10) and result.path_ratio == pytest.approx(1)


def test_a_bend_is_long_but_even():
    """The latent is an angle: the path is an arc, 2 sin(angle / 2) from end to end."""
    images = np.zeros((2, 4, 4, 1), "float32")
    images[1, 0, 0] = 1
    circle = Toy(lambda z: np.stack([np.cos(2 * z[:, 0]), np.sin(2 * z[:, 0])], axis=1))
    result = latent.continuity(circle, images, steps=200, pairs=5)
    assert result.path_ratio == pytest.approx(1 / np.sin(1), abs=1e-4)
    assert result.max_step == pytest.approx(1, abs=1e-3)


def test_continuity_has_no_scale():
    def wavy(factor):
        return Toy(lambda z: factor * np.tanh(4 * z))

    results = [latent.continuity(wavy(f), IMAGES, pairs=40) for f in (1, 0.01)]
    assert results[0].max_step == pytest.approx(results[1].max_step, rel=1e-4)
    assert results[0].path_ratio == pytest.approx(results[1].path_ratio, rel=1e-4)
    assert 1.1 < results[0].max_step < 8
    assert latent.continuity(wavy(1), IMAGES, pairs=40) == results[0]
    assert latent.continuity(wavy(1), IMAGES, pairs=40, seed=1) != results[0]


def test_lines_join_different_images():
    seen = []

    def pixels(z):
        seen.append(z.reshape(-1, 5, 2))
        return z

    latent.continuity(Toy(pixels), IMAGES[:3], steps=5, pairs=60)
    lines = np.concatenate(seen)
    assert len(lines) == 60 and np.abs(lines[:, 0] - lines[:, -1]).max(axis=1).min() > 1e-3
    assert len(np.unique(lines[:, [0, -1]].reshape(60, -1), axis=0)) == 6  # every ordered pair


def test_continuity_of_a_model():
    model = kgen.Autoencoder((8, 8, 1), latent_dim=2, network="dense")
    x = np.random.default_rng(0).integers(0, 256, (12, 8, 8, 1), "uint8")
    result = latent.continuity(model, x, steps=4, pairs=10)
    assert 1 <= result.max_step < 3 and 0.999 < result.path_ratio < 10


def test_continuity_says_what_it_takes():
    toy = Toy(lambda z: z)
    with pytest.raises(ValueError, match="at least 2 images; got 1"):
        latent.continuity(toy, IMAGES[:1])
    with pytest.raises(ValueError, match="so at least 3; got 2"):
        latent.continuity(toy, IMAGES, steps=2)
    with pytest.raises(ValueError, match="pairs must be a positive integer"):
        latent.continuity(toy, IMAGES, pairs=0)
    with pytest.raises(ValueError, match="finite"):
        latent.continuity(toy, np.where(IMAGES > 0.9, np.nan, IMAGES))
    with pytest.raises(TypeError, match=r"got ImageDataset.*dataset.images\(\)"):
        latent.continuity(toy, kgen.data.ImageDataset(IMAGES))
    with pytest.raises(ValueError, match="do not move along any of the 200 lines"):
        latent.continuity(Toy(lambda z: 0.3), IMAGES)
    with pytest.raises(ValueError, match="what decode returns must be finite"):
        latent.continuity(Toy(lambda z: np.nan), IMAGES)
    toy.decode = lambda latents: IMAGES
    with pytest.raises(ValueError, match=r"what decode returns must be images of shape \(3200, "):
        latent.continuity(toy, IMAGES)
    toy.encode = lambda images: IMAGES
    with pytest.raises(ValueError, match="what encode returns must have shape"):
        latent.continuity(toy, IMAGES)


# Completeness.


class Pixels:
    """A judge: the first two pixels are the features, the third the confidence."""

    def features(self, images):
        return np.asarray(images, "float32").reshape(len(images), -1)[:, :2]

    def probabilities(self, images):
        p = np.abs(np.asarray(images, "float32").reshape(len(images), -1)[:, 2:3]) / 2 + 0.5
        return np.concatenate([1 - p, p], axis=1)


def pictures(features, confidence):
    """Images (2, 2, 1) that `Pixels` judges so."""
    images = np.zeros((len(features), 4), "float32")
    images[:, :2], images[:, 2] = features, 2 * np.asarray(confidence) - 1
    return images.reshape(-1, 2, 2, 1)


def known():
    """Test image i of 101 is (i + 1) / 1000 from the one reference image, 0.8 + i / 1000 sure."""
    i = np.arange(101)
    test = pictures(np.stack([0.5 + (i + 1) / 1000, 0.5 + 0 * i], axis=1), 0.8 + i / 1000)
    return pictures([[0.5, 0.5]], [1.0]), test


def test_completeness_where_it_is_known():
    reference, test = known()
    accepted_by = latent.AcceptedBy(Pixels(), reference, test)
    assert accepted_by.distance == pytest.approx(0.096, abs=1e-6)
    assert accepted_by.confidence == pytest.approx(0.805, abs=1e-6)
    assert accepted_by.ceiling == pytest.approx(91 / 101)  # from 5 to 95
    features = [[0.5, 0.45], [0.5, 0.45], [0.5, 0.7], [0.5, 0.7], [0.45, 0.5]]
    samples = pictures(features, [0.9, 0.7, 0.9, 0.7, 0.81])
    np.testing.assert_array_equal(accepted_by.accepts(samples), [True, False, False, False, True])
    result = accepted_by(samples)
    assert result == latent.Completeness(
        share=2 / 5, ceiling=91 / 101, floor=accepted_by.floor, confident=3 / 5, near=3 / 5, n=5
    )
    assert latent.completeness(samples, Pixels(), reference, test) == result
    assert "0.805" in repr(accepted_by)
    within = np.sqrt(0.096**2 - 0.05**2)  # of the first sample; of the last one it is 0.046
    assert accepted_by.coverage(samples, test) == pytest.approx(int(1000 * within) / 101)
    assert accepted_by.coverage(samples[1:4], test) == 0  # none of them is accepted


def test_floor_is_of_seeded_noise():
    reference, test = known()
    reached = np.pi * 0.096**2 / 4 * (1 - 0.61)  # the disc's part of the square, |pixel| > 0.61
    wide = np.tile(test, (20, 1, 1, 1))
    accepted_by = latent.AcceptedBy(Pixels(), reference, wide)
    assert 0 <= accepted_by.floor < reached + 0.01
    everything = latent.AcceptedBy(Pixels(), reference, wide, confidence=0.805)
    everything.distance = 10.0
    noise = 2 * np.random.default_rng(0).random((1000, 2, 2, 1), dtype="float32") - 1
    np.testing.assert_allclose(everything.accepts(noise).mean(), 0.39, atol=0.05)

    class Recorder(Pixels):
        def features(self, images):
            self.seen = images
            return super().features(images)

        def probabilities(self, images):
            return np.ones((len(images), 1))

    recorder = Recorder()
    latent.AcceptedBy(recorder, reference, wide)
    np.testing.assert_array_equal(recorder.seen, noise)
    latent.AcceptedBy(recorder, reference.astype("uint8"), (wide * 100).astype("uint8"), seed=1)
    assert recorder.seen.dtype == np.uint8 and recorder.seen.shape == (1000, 2, 2, 1)
    assert recorder.seen.min() == 0 and recorder.seen.max() == 255


def test_thresholds_can_be_chosen():
    reference, test = known()
    chosen = latent.AcceptedBy(Pixels(), reference, test, confidence=0.85, quantile=0.5)
    assert chosen.confidence == 0.85 and chosen.distance == pytest.approx(0.051, abs=1e-6)
    assert chosen.ceiling == pytest.approx(1 / 101)  # i of 50 is both
    assert latent.AcceptedBy(Pixels(), reference, test, quantile=0.5).confidence == pytest.approx(
        0.85
    )


def test_factors_must_all_be_confident():
    class Factors(Pixels):
        def probabilities(self, images):
            p = super().probabilities(images)
            return {"colour": p, "sure": np.ones((len(p), 1), "float32")}

    reference, test = known()
    both = [latent.AcceptedBy(j(), reference, test) for j in (Pixels, Factors)]
    assert both[0].confidence == both[1].confidence and both[0].ceiling == both[1].ceiling


def test_completeness_says_what_it_takes():
    reference, test = known()
    accepted_by = latent.AcceptedBy(Pixels(), reference, test)
    with pytest.raises(ValueError, match="test must be at least 20 images; got 19"):
        latent.AcceptedBy(Pixels(), reference, test[:19])
    with pytest.raises(ValueError, match="Pass other images as test than as reference"):
        latent.AcceptedBy(Pixels(), test, test)
    with pytest.raises(ValueError, match="samples must be at least 1 images; got 0"):
        accepted_by(test[:0])
    with pytest.raises(ValueError, match="samples must be finite"):
        accepted_by(np.full((3, 2, 2, 1), np.nan))
    with pytest.raises(ValueError, match="samples must be images of shape"):
        accepted_by(np.zeros(4))
    for arguments in ({"confidence": 0}, {"confidence": 1.1}, {"quantile": "a"}, {"quantile": 0}):
        with pytest.raises(ValueError, match=f"{next(iter(arguments))} must be a number from 0 to"):
            latent.AcceptedBy(Pixels(), reference, test, **arguments)
    with pytest.raises(ValueError, match="quantile must be less than 1"):
        latent.AcceptedBy(Pixels(), reference, test, quantile=1)

    judge = Pixels()
    judge.probabilities = lambda images: 3 * np.ones((len(images), 2))
    with pytest.raises(ValueError, match=r"in \[0, 1\]; got \[3, 3\].*softmax"):
        latent.AcceptedBy(judge, reference, test)
    judge.features = lambda images: np.zeros((len(images), 2, 2))
    with pytest.raises(ValueError, match="what the judge's features returns must have shape"):
        latent.AcceptedBy(judge, reference, test)
