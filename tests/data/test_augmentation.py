import numpy as np
import pytest

import kgen
from kgen.data import ImageDataset, ImagePairs
from kgen.data.augmentation import CHANCES, augment, chances

IMAGES = np.random.default_rng(0).integers(0, 256, (40, 9, 7, 3), "uint8")


def test_nothing_asked_nothing_changed():
    np.testing.assert_array_equal(augment(IMAGES, chances(0, 0, 40)), IMAGES)


def test_half_are_mirrored():
    drawn = chances(0, 0, 40)
    flipped = augment(IMAGES, drawn, flip=True)
    mirrored = drawn[:, 0] < 0.5
    np.testing.assert_array_equal(flipped[mirrored], IMAGES[mirrored][:, :, ::-1])
    np.testing.assert_array_equal(flipped[~mirrored], IMAGES[~mirrored])
    assert 0.48 < (chances(0, 0, 20_000)[:, 0] < 0.5).mean() < 0.52


def test_shift_moves_by_whole_pixels_and_repeats_the_border():
    drawn = np.zeros((5, CHANCES), "float32")
    drawn[:, 1:3] = [[0, 0], [0.5, 0.5], [0.999, 0.999], [0.5, 0.999], [0.1, 0.5]]
    for image, moved, (down, right) in zip(
        IMAGES[:5],
        augment(IMAGES[:5], drawn, shift=2),
        [(-2, -2), (0, 0), (2, 2), (0, 2), (-2, 0)],
        strict=True,
    ):
        padded = np.pad(image, ((2, 2), (2, 2), (0, 0)), mode="edge")
        expected = padded[2 + down : 2 + down + 9, 2 + right : 2 + right + 7]
        np.testing.assert_array_equal(moved, expected)
    by = np.floor(chances(3, 1, 50_000)[:, 1] * 5) - 2
    np.testing.assert_allclose(np.bincount((by + 2).astype(int)) / 50_000, 0.2, atol=0.01)


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_crop_enlarges_a_part(dtype):
    ramp = np.linspace(0, 200, 64)[None, None, :, None] * np.ones((200, 64, 1, 1))
    images = ramp.astype("uint8") if dtype == "uint8" else (ramp / 100 - 1).astype("float32")
    drawn = chances(0, 0, 200)
    cropped = augment(images, drawn, crop=0.5)
    assert cropped.shape == images.shape and cropped.dtype == dtype
    scale = 1.0 if dtype == "uint8" else 1 / 100
    span = cropped[:, 32, -2, 0].astype(float) - cropped[:, 32, 1, 0]
    share = 0.5 + 0.5 * drawn[:, 3]  # of the side that stays is the share of the ramp
    np.testing.assert_allclose(span, share * 200 * 61 / 64 * scale, atol=4 * scale)


def test_epochs_differ_and_repeat():
    data = ImageDataset(IMAGES, batch_size=10, seed=5, augment={"flip": True, "shift": 2})

    def epoch(number, data=data):
        data.set_position(number)
        return np.concatenate([data[i][0] for i in range(len(data))])

    first, second = epoch(0), epoch(1)
    np.testing.assert_array_equal(first, epoch(0))
    in_order = lambda images, e: images[np.argsort(data.order(e))]  # noqa: E731
    assert (in_order(first, 0) != in_order(second, 1)).any((1, 2, 3)).mean() > 0.8
    bigger = data.with_options(batch_size=20)
    np.testing.assert_array_equal(epoch(1), epoch(1, bigger))  # no matter how it is batched
    assert (epoch(0) != epoch(0, data.with_options(seed=6))).any()


def test_evaluation_and_images_do_without():
    data = ImageDataset(IMAGES, batch_size=10, augment={"flip": True, "shift": 3})
    np.testing.assert_array_equal(data.images(), kgen.data.to_model_range(IMAGES))
    model = kgen.VAE((9, 7, 3), network="dense", seed=0)
    model.compile()
    augmented = model.evaluate(data, verbose=0)["loss"]
    assert augmented == model.evaluate(ImageDataset(IMAGES, batch_size=10), verbose=0)["loss"]
    np.testing.assert_allclose(
        model.predict(data, verbose=0), model.predict(IMAGES, verbose=0), atol=1e-5
    )


def test_both_of_a_pair_are_augmented_alike():
    settings = {"flip": True, "shift": 2, "crop": 0.8}
    pairs = ImagePairs(IMAGES, IMAGES[..., ::-1], augment=settings, batch_size=10)
    for a, b in pairs:
        np.testing.assert_array_equal(a, b[..., ::-1])
    apart = ImagePairs(IMAGES, IMAGES, aligned=False, shuffle=False, augment=settings)
    assert (apart[0][0] != apart[0][1]).any((1, 2, 3)).mean() > 0.8


def test_it_belongs_to_the_fingerprint():
    plain, flipped = ImageDataset(IMAGES), ImageDataset(IMAGES, augment={"flip": True})
    assert plain.fingerprint != flipped.fingerprint
    assert flipped.with_options(augment=None).fingerprint == plain.fingerprint


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"rotate": 3}, "'crop', 'flip' and 'shift'; got .*'rotate'"),
        ({"flip": 0.5}, "flip must be True or False; got 0.5"),
        ({"crop": 0}, "crop is the smallest share.*got 0"),
        ({"crop": 1.5}, "got 1.5"),
        ({"shift": 7}, "from 0 to 6; got 7"),
        ({"shift": 0.1}, "got 0.1"),
        (["flip"], "must be a dictionary"),
    ],
)
def test_settings_that_are_refused(settings, message):
    with pytest.raises((TypeError, ValueError), match=message):
        ImageDataset(IMAGES, augment=settings)


def test_points_are_refused():
    with pytest.raises(ValueError, match="Points"):
        ImageDataset(np.zeros((5, 2), "float32"), augment={"flip": True})


@pytest.mark.parametrize("dtype", ["float16", "float64"])
def test_any_floats_keep_their_dtype(dtype):
    images = np.random.default_rng(0).uniform(-1, 1, (4, 8, 8, 1))
    settings = {"flip": True, "crop": 0.8, "shift": 1}
    (augmented,) = ImageDataset(images.astype(dtype), augment=settings)[0]
    (expected,) = ImageDataset(images.astype("float32"), augment=settings)[0]
    assert augmented.dtype == dtype
    np.testing.assert_allclose(augmented, expected, atol=2e-3)
