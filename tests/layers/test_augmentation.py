import itertools

import keras
import numpy as np
import pytest
from keras import ops

import kgen
from kgen.layers import DifferentiableAugmentation

SIZES = [(28, 28, 1), (12, 20, 3), (5, 7, 2)]
every_size = pytest.mark.parametrize("size", SIZES, ids=str)


def images(size, n=16, seed=0):
    return np.random.default_rng(seed).uniform(-1, 1, (n, *size)).astype("float32")


def augmented(policy, x, seed=3):
    return ops.convert_to_numpy(DifferentiableAugmentation(policy, seed)(x))


def part(side, divisor):
    return int(side / divisor + 0.5)


class Draws:
    """The numbers that a layer of this seed draws, one after the other."""

    def __init__(self, seed=3):
        self.generator = keras.random.SeedGenerator(seed)

    def uniform(self, n, low, high):
        shape = (n, 1, 1, 1)
        return ops.convert_to_numpy(keras.random.uniform(shape, low, high, seed=self.generator))

    def integers(self, n, low, high):
        drawn = keras.random.randint((n, 1), low, high + 1, seed=self.generator)
        return ops.convert_to_numpy(drawn)[:, 0]


def colored(x, draws):
    x = x.astype("float64")
    x = x + draws.uniform(len(x), -0.5, 0.5)
    mean = x.mean(-1, keepdims=True)
    x = mean + (x - mean) * draws.uniform(len(x), 0, 2)
    mean = x.mean((1, 2, 3), keepdims=True)
    return mean + (x - mean) * draws.uniform(len(x), 0.5, 1.5)


def translated(x, draws):
    (n, height, width, _), moved = x.shape, []
    top, left = part(height, 8), part(width, 8)
    up, back = draws.integers(n, 0, 2 * top), draws.integers(n, 0, 2 * left)
    for image, i, j in zip(x, up, back, strict=True):
        frame = np.pad(image, ((top, top), (left, left), (0, 0)))
        moved.append(np.roll(frame, (-i, -j), (0, 1))[:height, :width])
    return np.stack(moved)


def cut_out(x, draws):
    (n, height, width, _), x = x.shape, x.copy()
    h, w = part(height, 2), part(width, 2)
    tops = draws.integers(n, 0, height - h % 2) - h // 2
    lefts = draws.integers(n, 0, width - w % 2) - w // 2
    for image, top, left in zip(x, tops, lefts, strict=True):
        image[max(top, 0) : top + h, max(left, 0) : left + w] = 0
    return x


BY_HAND = {"color": colored, "translation": translated, "cutout": cut_out}


@every_size
@pytest.mark.parametrize("policy", BY_HAND)
def test_each_does_what_it_says(policy, size):
    x = images(size)
    expected = BY_HAND[policy](x, Draws())
    assert np.abs(expected - x).max() > 0.1
    found = augmented(policy, x)
    assert found.dtype == "float32"
    if policy == "color":
        np.testing.assert_allclose(found, expected, atol=1e-6)
    else:
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("policy", ["cutout, color", ["cutout", "color"], ("cutout", "color")])
def test_names_are_applied_in_their_order(policy):
    x, draws = images((12, 12, 3)), Draws()
    expected = colored(cut_out(x, draws), draws)
    np.testing.assert_allclose(augmented(policy, x), expected, atol=1e-6)
    assert np.abs(augmented("color,cutout", x) - expected).max() > 0.1


def test_color_stays_in_its_ranges_and_fills_them():
    n = 4000
    one = images((2, 2, 3), 1).astype("float64")
    changed = augmented("color", np.tile(one, (n, 1, 1, 1)).astype("float32")).astype("float64")
    # Saturation leaves the mean of each pixel, and contrast that of the image.
    image, pixels = (lambda x: x.mean((1, 2, 3))), (lambda x: x.mean(-1)[:, 0, 0])
    shift = image(changed) - image(one)
    contrast = (pixels(changed) - image(changed)) / (pixels(one) - image(one))
    in_pixel = lambda x: x[:, 0, 0, 0] - pixels(x)  # noqa: E731
    saturation = in_pixel(changed) / in_pixel(one) / contrast
    drawn = {(-0.5, 0.5): shift, (0, 2): saturation, (0.5, 1.5): contrast}
    for (low, high), values in drawn.items():
        assert low - 1e-4 < values.min() < low + 0.01 and high - 0.01 < values.max() < high + 1e-4
        error = (high - low) / np.sqrt(12 * n)
        assert values.mean() == pytest.approx((low + high) / 2, abs=4 * error)
    np.testing.assert_allclose(np.corrcoef([*drawn.values()]), np.eye(3), atol=4 / np.sqrt(n))


@every_size
def test_a_translation_keeps_what_stays_inside(size):
    height, width, _ = size
    top, left = part(height, 8), part(width, 8)
    x, seen = images(size, n=600), set()
    for image, moved in zip(x, augmented("translation", x), strict=True):
        inside = np.any(moved != 0, axis=-1)
        (rows,), (columns,) = np.nonzero(inside.any(1)), np.nonzero(inside.any(0))
        down = rows[0] if rows[0] else rows[-1] + 1 - height
        right = columns[0] if columns[0] else columns[-1] + 1 - width
        seen.add((down, right))
        back = np.roll(moved, (-down, -right), (0, 1))
        kept = np.roll(inside, (-down, -right), (0, 1))
        assert kept.sum() == (height - abs(down)) * (width - abs(right))
        np.testing.assert_array_equal(back[kept], image[kept])
    assert {down for down, _ in seen} == set(range(-top, top + 1))
    assert {right for _, right in seen} == set(range(-left, left + 1))


@every_size
def test_a_cutout_is_half_of_each_side_or_leaves_the_image(size):
    height, width, _ = size
    x = images(size, n=600)
    hidden = np.all(augmented("cutout", x) == 0, axis=-1)
    np.testing.assert_array_equal(augmented("cutout", x)[~hidden], x[~hidden])
    rows, columns = hidden.any(2), hidden.any(1)
    np.testing.assert_array_equal(hidden, rows[:, :, None] & columns[:, None, :])
    for stretches, side in ((rows, height), (columns, width)):
        size = part(side, 2)
        lengths = stretches.sum(1)
        assert lengths.max() == size and lengths.min() == size - size // 2
        edges = np.abs(np.diff(np.pad(stretches, ((0, 0), (1, 1))).astype(int), axis=1)).sum(1)
        assert set(edges) == {2}  # in one piece
        whole = lengths == size
        assert (stretches[~whole, 0] | stretches[~whole, -1]).all()  # cut by the border
        assert len(set(stretches[whole].argmax(1))) == side - size + 1


def test_draws_follow_the_seed_and_differ_between_images_and_calls():
    x = np.tile(images((12, 12, 3), 1), (8, 1, 1, 1))
    layer = DifferentiableAugmentation(seed=3)
    first, second = (ops.convert_to_numpy(layer(x)) for _ in range(2))
    np.testing.assert_array_equal(first, augmented("color,translation,cutout", x))
    assert np.abs(first - second).max() > 0.1
    assert min(np.abs(a - b).max() for a, b in itertools.pairwise(first)) > 0.1
    given = DifferentiableAugmentation(seed=7)(x, seed=keras.random.SeedGenerator(3))
    np.testing.assert_array_equal(ops.convert_to_numpy(given), first)


def test_no_names_change_nothing():
    x = images((5, 5, 1))
    for policy in ("", []):
        np.testing.assert_array_equal(augmented(policy, x), x)


@pytest.mark.parametrize(
    "policy", ["colour", "color,,cutout", ["color", "flip"], [["color"]], True, 3]
)
def test_unknown_names_are_refused(policy):
    with pytest.raises(ValueError, match="'color', 'translation', 'cutout'"):
        DifferentiableAugmentation(policy)


@pytest.mark.parametrize("x", [np.zeros((2, 4, 4), "float32"), np.zeros((2, 4, 4, 1), "uint8")])
def test_what_are_no_images_is_refused(x):
    with pytest.raises(ValueError, match="takes images"):
        DifferentiableAugmentation()(x)


@keras.saving.register_keras_serializable("kgen_tests")
class Augmented(kgen.GenerativeModel):
    """Mean square of a network's images, augmented."""

    players = {"model": ["network"]}

    def __init__(self, policy="color,translation,cutout", **kwargs):
        super().__init__(**kwargs)
        self.augment = DifferentiableAugmentation(policy, seed=3)

    def objective(self, batch, training):
        changed = self.augment(self.network(batch, training=training), seed=self.random)
        return ops.mean(ops.sum(ops.square(changed), axis=(1, 2, 3)))


@pytest.mark.parametrize("policy", BY_HAND)
def test_the_gradient_passes(policy):
    model = Augmented(
        policy, image_shape=(8, 8, 3), network=keras.Sequential([keras.Input((8, 8, 3))])
    )
    x = images((8, 8, 3), n=4)
    weight = ops.convert_to_tensor(images((8, 8, 3), n=4, seed=1))

    def changed(x):
        return model.augment(x, seed=keras.random.SeedGenerator(5)) * weight

    gradient = model.input_gradient(changed, ops.convert_to_tensor(x))
    found = ops.convert_to_numpy(ops.stop_gradient(gradient))
    # Every op is linear in the images, up to a constant: two differences tell the gradient.
    direction = images((8, 8, 3), n=4, seed=2)
    at = lambda x: ops.convert_to_numpy(changed(ops.convert_to_tensor(x))).astype("float64")  # noqa: E731
    slope = (at(x + direction) - at(x - direction)).sum((1, 2, 3)) / 2
    np.testing.assert_allclose((found * direction).sum((1, 2, 3)), slope, atol=1e-4)
    assert np.abs(slope).min() > 0.01


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16", "mixed_float16"])
def test_in_a_compiled_fit(policy):
    keras.config.set_dtype_policy(policy)
    x = images((12, 16, 3), n=64)
    network = keras.Sequential(
        [keras.Input(x.shape[1:]), keras.layers.Conv2D(3, 3, padding="same", activation="tanh")]
    )
    model = Augmented(image_shape=x.shape[1:], network=network)
    assert keras.backend.standardize_dtype(model.augment(network(x)).dtype) == "float32"
    model.compile(keras.optimizers.SGD(1e-4), jit_compile=keras.config.backend() != "torch")
    before = network.get_weights()
    history = model.fit(x, batch_size=16, epochs=2, verbose=0).history
    assert np.isfinite(history["loss"]).all()
    assert all(np.abs(a - b).max() > 0 for a, b in zip(before, network.get_weights(), strict=True))


def test_in_a_file(tmp_path):
    inputs = keras.Input((8, 10, 3))
    layer = DifferentiableAugmentation("translation,color", seed=3)
    model = keras.Model(inputs, layer(inputs))
    assert model.output_shape == (None, 8, 10, 3)
    model.save(tmp_path / "a.keras")
    loaded = keras.saving.load_model(tmp_path / "a.keras").layers[-1]
    assert (loaded.policy, loaded.seed) == (["translation", "color"], 3)
    x = images((8, 10, 3))
    np.testing.assert_array_equal(
        ops.convert_to_numpy(loaded(x)), augmented("translation,color", x)
    )
