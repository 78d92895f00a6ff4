import random

import keras
import numpy as np
import pytest

import kgen
from kgen.data import ImageDataset, ImagePairs, dataset, load
from kgen.metrics.inputs import chunks


def numbered(n=23, **options):
    """Image i is constant i."""
    images = np.broadcast_to(np.arange(n, dtype="uint8")[:, None, None], (n, 8, 8)).copy()
    return ImageDataset(images, np.arange(n), **{"batch_size": 5, **options})


def read(dataset):
    return [batch[0][:, 0, 0, 0].tolist() for batch in (dataset[i] for i in range(len(dataset)))]


def flat(batches):
    return [i for batch in batches for i in batch]


def test_an_epoch_is_a_permutation_and_a_function_of_seed_and_epoch():
    dataset = numbered()
    orders = []
    for epoch in range(3):
        dataset.set_position(epoch)
        orders.append(flat(read(dataset)))
        assert sorted(orders[-1]) == list(range(23))
    assert orders[0] != orders[1] != orders[2]
    again, other = numbered(), numbered(seed=1)
    again.set_position(2)
    other.set_position(2)
    assert flat(read(again)) == orders[2] != flat(read(other))
    assert flat(read(numbered(shuffle=False))) == list(range(23))


def test_a_position_continues_where_it_says():
    dataset = numbered()
    dataset.set_position(4)
    whole = read(dataset)
    for batch in range(5):
        dataset.set_position(4, batch)
        assert len(dataset) == 5 - batch and read(dataset) == whole[batch:]
    for epoch, batch in ((0, 6), (0, -1), (-1, 0)):
        with pytest.raises(ValueError, match="no batch"):
            dataset.set_position(epoch, batch)
    with pytest.raises(IndexError):
        dataset[99]


def test_incomplete_batches():
    assert [len(b) for b in read(numbered())] == [5, 5, 5, 5, 3]
    assert [len(b) for b in read(numbered(drop_last=True))] == [5, 5, 5, 5]


def test_labels_follow_their_images():
    for images, labels in (numbered()[i] for i in range(5)):
        np.testing.assert_array_equal(images[:, 0, 0, 0], labels)


def test_steps_per_epoch_continue_a_pass():
    plain, stretched = numbered(drop_last=True), numbered(drop_last=True)
    stretched = stretched.with_options(steps_per_epoch=3)
    passes = []
    for epoch in range(3):
        plain.set_position(epoch)
        passes += read(plain)
    parts = []
    for epoch in range(4):
        stretched.set_position(epoch)
        parts += read(stretched)
    assert parts == passes


def test_views_do_not_move_each_other():
    dataset = numbered()
    view = dataset.with_options(batch_size=7, shuffle=False)
    view.set_position(3, 1)
    assert len(dataset) == 5 and view.batch_size == 7
    with pytest.raises(TypeError, match="Unknown options"):
        dataset.with_options(color="red")


def test_take_and_images():
    dataset = numbered()
    few = dataset.take(4)
    assert few.num_examples == 4 and sorted(flat(read(few))) == [0, 1, 2, 3]
    assert dataset.take(99).num_examples == 23
    np.testing.assert_allclose(
        dataset.images(2)[:, 0, 0, 0], np.array([0, 1]) / 127.5 - 1, atol=1e-7
    )
    assert dataset.images().shape == (23, 8, 8, 1) and dataset.images().dtype == "float32"
    for n in (0, -1, 1.5):
        with pytest.raises(ValueError, match="positive integer"):
            dataset.take(n)


def test_resolution():
    dataset = numbered()
    for size, shape in ((16, (16, 16, 1)), ((4, 12), (4, 12, 1))):
        resized = dataset.at_resolution(size)
        assert resized.image_shape == shape
        np.testing.assert_array_equal(
            resized.fetch(np.arange(23)),
            np.broadcast_to(np.arange(23)[:, None, None, None], (23, *shape)),
        )
    np.testing.assert_array_equal(
        dataset.at_resolution(np.int64(8)).fetch(slice(None)), dataset.fetch(slice(None))
    )
    checkers = np.indices((16, 16)).sum(0) % 2 * 255
    half = ImageDataset(checkers[None].astype("uint8")).at_resolution(8).fetch(np.arange(1))
    assert abs(half.astype("int") - 127).max() <= 24  # antialiased: no pattern survives
    with pytest.raises(ValueError, match="no resolution"):
        ImageDataset(np.zeros((3, 2))).at_resolution(8)
    for size in (0, -8, 8.5, "8", True, (8,), (8, 0), None):
        with pytest.raises(
            ValueError, match=r"size must be a positive integer or \(height, width\)"
        ):
            dataset.at_resolution(size)


def test_fingerprints():
    base = numbered().fingerprint
    assert numbered().fingerprint == base
    changed = numbered()._images.copy()
    changed[3, 4, 5] += 1
    others = [
        ImageDataset(changed, np.arange(23), batch_size=5),
        ImageDataset(numbered()._images, np.zeros(23, int), batch_size=5),
        ImageDataset(numbered()._images, batch_size=5),
        numbered(seed=1),
        numbered(shuffle=False),
        numbered().take(22),
    ]
    assert len({base, *(o.fingerprint for o in others)}) == 1 + len(others)


@pytest.mark.parametrize("labels", [list("ab") * 4, [None, "a"] * 4, [0.5, 2] * 4], ids=str)
def test_fingerprints_of_unusual_arrays(labels):
    import ml_dtypes

    images = np.linspace(-1, 1, 8 * 4, dtype="float32").reshape(8, 2, 2).astype(ml_dtypes.bfloat16)
    one, two = (ImageDataset(images, np.array(y)) for y in (labels, labels[::-1]))
    assert one.fingerprint != two.fingerprint
    assert one.fingerprint == ImageDataset(images, np.array(labels)).fingerprint


def test_without_labels():
    dataset = numbered()
    plain = dataset.without_labels()
    assert plain.labels is None and len(plain[0]) == 1 and dataset.labels is not None
    assert flat(read(plain)) == flat(read(dataset))


def test_classes():
    assert numbered().num_classes == 23
    assert ImageDataset(np.zeros((3, 8, 8), "uint8")).num_classes is None
    named = ImageDataset(np.zeros((3, 8, 8), "uint8"), [0, 0, 1], class_names=["a", "b", "c"])
    assert named.num_classes == 3 and "3 classes" in repr(named)


def test_errors():
    with pytest.raises(ValueError, match="one label"):
        ImageDataset(np.zeros((3, 8, 8), "uint8"), [0, 1])
    with pytest.raises(ValueError, match="batch_size"):
        numbered(batch_size=0)
    late = np.zeros((2000, 2, 2), "float32") - 1
    late[1999, 0, 0] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        ImageDataset(late)


def test_channels_that_come_first():
    images = np.random.default_rng(0).integers(0, 256, (6, 3, 16, 16), "uint8")
    for make in (
        lambda: ImageDataset(images),
        lambda: ImagePairs(images, images),
        lambda: kgen.metrics.fid(images, images, features="pixels"),
        lambda: kgen.plots.grid(images),
    ):
        with pytest.raises(ValueError, match=r"\(N, 3, 16, 16\).*channels first.*moveaxis"):
            make()
    high = ImageDataset(images, image_shape=(3, 16, 16))  # as the message advises
    assert high.image_shape == high.take(2).image_shape == (3, 16, 16)
    assert len(np.concatenate(list(chunks(high)))) == 6
    assert ImageDataset(images[:, 0], image_shape=(16, 16)).image_shape == (16, 16, 1)
    with pytest.raises(ValueError, match=r"\(3, 16, 16\)|channels first"):
        ImageDataset(images, image_shape=(16, 16, 3))


def test_a_model_says_what_its_images_are():
    images = np.random.default_rng(0).integers(0, 256, (8, 2, 6, 5), "uint8")
    with pytest.warns(UserWarning, match=r"\(2, 6, 5\) looks channels first.*\(6, 5, 2\) if it is"):
        model = kgen.VAE((2, 6, 5), network="dense", latent_dim=2)
    model.compile()
    model.fit(images, batch_size=4, epochs=1, verbose=0, validation_data=(images,))
    assert model.predict(images, verbose=0).shape == (8, 2, 6, 5)


def test_any_keras_model_takes_it():
    """Epoch after epoch in another order, without kgen's `fit`."""
    dataset = numbered(drop_last=True)
    seen = []

    class Order(keras.utils.PyDataset):
        __len__ = lambda self: len(dataset)  # noqa: E731
        on_epoch_end = lambda self: dataset.on_epoch_end()  # noqa: E731

        def __getitem__(self, index):
            images, labels = dataset[index]
            seen.append((dataset._epoch, index, tuple(labels)))
            return images.astype("float32"), labels[:, None]

    model = keras.Sequential(
        [keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(1)]
    )
    model.compile("sgd", "mse")
    model.fit(Order(), epochs=3, shuffle=False, verbose=0)
    expected = numbered(drop_last=True)
    epochs = sorted({epoch for epoch, *_ in seen})
    assert epochs[:3] == [0, 1, 2]
    for epoch in epochs[:3]:
        expected.set_position(epoch)
        orders = {index: labels for e, index, labels in seen if e == epoch}
        assert [list(orders[i]) for i in range(4)] == read(expected)


@pytest.mark.parametrize("options", [{}, {"workers": 2}])
def test_an_ordinary_fit_sees_each_epoch(options):
    """Though it reads the batches of an epoch in any order."""
    dataset = numbered(drop_last=True, **options)
    dataset.set_position(0, 1)
    for index in (2, 0):
        dataset[index]
        dataset.on_epoch_end()
        assert dataset._epoch == 0
    dataset[1]
    dataset.on_epoch_end()
    assert dataset._epoch == 1 and len(dataset) == 4
    model = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    random.seed(3)
    model.fit(dataset, epochs=3, verbose=0)
    assert dataset._epoch >= 4  # with workers, Keras may read one more, which it does not use


def test_options_of_a_view_are_checked():
    view = numbered().with_options(seed=np.int64(3), shuffle=np.True_)
    assert view.fingerprint == numbered(seed=3).fingerprint
    for steps in (0, -1, 1.5):
        with pytest.raises(ValueError, match="steps_per_epoch must be a positive integer"):
            numbered().with_options(steps_per_epoch=steps)
    for seed in (None, -1, "a"):
        with pytest.raises(ValueError, match="seed must be an integer of at least 0"):
            numbered().with_options(seed=seed)
    with pytest.raises(ValueError, match="batch_size=64 is more than the 23 images of 'arrays'"):
        numbered().with_options(batch_size=64, drop_last=True, steps_per_epoch=2)


def test_points():
    points = ImageDataset(np.random.default_rng(0).normal(size=(10, 2)) * 50)
    assert points.image_shape == (2,) and points[0][0].shape == (10, 2)
    assert isinstance(kgen.data.load("digits/8x8").take(3), ImageDataset)


def test_arrays_are_checked_once(tmp_path, monkeypatch):
    checked, check = [], dataset.check_images
    monkeypatch.setattr(dataset, "check_images", lambda *a: checked.append(a) or check(*a))
    images = np.zeros((10, 8, 8), "uint8")
    np.save(tmp_path / "a.npy", images)
    for make, times in (
        (lambda: dataset.from_arrays(images, image_shape=(8, 8, 1)), 1),
        (lambda: ImagePairs(images, images), 2),
        (lambda: load(tmp_path / "a.npy", "train", 4, num_examples=3, channels=3), 1),
    ):
        checked.clear()
        make()
        assert len(checked) == times
    with pytest.raises(ValueError, match=r"^x has shape \(10, 8, 8\); this model expects"):
        dataset.from_arrays(images, image_shape=(8, 9, 1))


def test_a_class_is_found_by_name_or_number():
    images = np.zeros((4, 2, 2, 1), "uint8")
    data = ImageDataset(images, [0, 1, 2, 1], class_names=["none", "2", "square"])
    assert [data.class_index(name) for name in ("square", "2", 2, "0")] == [2, 1, 1, 0]
    assert ImageDataset(images, [0, 1, 2, 1]).class_index("2") == 2
    for unknown in ("ten", "3", "-1"):
        with pytest.raises(ValueError, match=r"no class '.*'; it has \['none', '2', 'square'\]"):
            data.class_index(unknown)
    with pytest.raises(ValueError, match="has no classes"):
        ImageDataset(images).class_index("0")


def test_examples_are_chosen_and_the_first_of_each_class():
    images = np.arange(12, dtype="uint8").repeat(4).reshape(12, 2, 2)
    labels = np.array([1, 0, 2, 1, 1, 0, 2, 0, 2, 2, 1, 0])
    data = ImageDataset(images, labels, batch_size=2, class_names=["a", "b", "c"])
    some = data.at([7, 0])
    assert some.images().shape == (2, 2, 2, 1) and list(some.labels) == [0, 1]
    np.testing.assert_array_equal(some.images(), data.images()[[7, 0]])
    assert some.class_names == ["a", "b", "c"] and some.batch_size == 2
    two = data.of_each_class(2)
    assert list(two.labels) == [0, 0, 1, 1, 2, 2]
    np.testing.assert_array_equal(two.images(), data.images()[[1, 5, 0, 3, 2, 6]])
    assert list(data.of_each_class().labels) == [0, 1, 2]
    drawn = [data.of_each_class(2, seed).images()[:, 0, 0, 0] for seed in (1, 1, 2)]
    assert list(labels[np.searchsorted(data.images()[:, 0, 0, 0], drawn[0])]) == [0, 0, 1, 1, 2, 2]
    assert (drawn[0] == drawn[1]).all() and (drawn[0] != drawn[2]).any()
    assert all(len(np.unique(pixels)) == 6 for pixels in drawn)
    for indices in ([], [12], [-1], [0.5], [[1]]):
        with pytest.raises(ValueError, match="indices must be"):
            data.at(indices)
    with pytest.raises(ValueError, match=r"fewer than 5 of these classes: \{0: 4, 1: 4, 2: 4\}"):
        data.of_each_class(5)
    with pytest.raises(ValueError, match="has no classes"):
        ImageDataset(images).of_each_class()
