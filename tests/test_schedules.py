import json
import math

import keras
import numpy as np
import pytest
from keras import ops

from kgen import schedules
from kgen.schedules import GrowingSchedule


def test_linear_warmup():
    warmup = schedules.LinearWarmup(2.0, steps=4, start=1.0)
    values = [float(ops.convert_to_numpy(warmup(step))) for step in (0, 1, 2, 4, 5, 10**6)]
    assert values == [1.0, 1.25, 1.5, 2.0, 2.0, 2.0]
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(warmup))
    assert again.get_config() == warmup.get_config()
    with pytest.raises(ValueError, match="steps"):
        schedules.LinearWarmup(1.0, 0)


def test_warmup_and_cosine():
    rate = schedules.warmup_cosine(2.0, 100)
    steps = np.array([0, 5, 10, 55, 100, 1000])
    expected = [0, 1, 2, 1, 0, 0]  # half way down at half of the way
    found = [float(ops.convert_to_numpy(rate(int(step)))) for step in steps]
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert schedules.warmup_cosine(2.0, 100, longest=4).warmup_steps == 4
    assert float(ops.convert_to_numpy(schedules.warmup_cosine(2.0, 1)(0))) == 2.0
    with pytest.raises(ValueError, match="updates must be a positive integer; got 0"):
        schedules.warmup_cosine(2.0, 0)


def test_linear_decay():
    decay = schedules.LinearDecay(2.0, constant_steps=3, decay_steps=4, end=1.0)
    values = [float(ops.convert_to_numpy(decay(step))) for step in (0, 3, 4, 5, 7, 8, 10**6)]
    assert values == [2.0, 2.0, 1.75, 1.5, 1.0, 1.0, 1.0]
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(decay))
    assert again.get_config() == decay.get_config()
    from_the_start = schedules.LinearDecay(4.0, 0, 2)
    assert [float(ops.convert_to_numpy(from_the_start(step))) for step in range(4)] == [4, 2, 0, 0]


@pytest.mark.parametrize(("constant", "decay"), [(-1, 4), (1.5, 4), (3, 0), (3, None)])
def test_steps_of_a_linear_decay_are_whole(constant, decay):
    with pytest.raises(ValueError, match="_steps must be a"):
        schedules.LinearDecay(1.0, constant, decay)


def test_a_warmup_serves_as_a_learning_rate():
    network = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    network.compile(keras.optimizers.SGD(schedules.LinearWarmup(0.5, 10)), "mse")
    network.fit(np.ones((40, 1)), np.ones((40, 1)), batch_size=8, verbose=0)
    assert float(network.optimizer.learning_rate) == pytest.approx(0.25)


def test_numbers_schedules_and_nothing_else():
    assert schedules.get(3) == 3.0
    keras_schedule = keras.optimizers.schedules.CosineDecay(1.0, 10)
    assert schedules.get(keras_schedule) is keras_schedule
    from_file = schedules.get(schedules.serialize(keras_schedule))
    assert from_file.get_config() == keras_schedule.get_config()
    assert schedules.value(0.5, step=7) == 0.5
    for wrong in ("fast", None, [1.0, 2.0], lambda step: step):
        with pytest.raises(TypeError, match="kl_weight must be a number or a schedule"):
            schedules.get(wrong, "kl_weight")


# Progressive growing.


def authors_schedule(size, images, fade, stable):
    """Level of detail after so many images, as in the code of Karras et al. (2018).

    0 is the largest resolution, whole numbers are the others, what is between them is faded in.
    """
    phase, within = divmod(images, stable + fade)
    lod = math.log2(size) - 2 - phase - max(within - stable, 0) / fade
    return max(lod, 0)


@pytest.mark.parametrize("size", [8, 64, 1024])
def test_growing_is_that_of_the_authors(size):
    schedule = GrowingSchedule(size, 6000, 4000, batch_size=100, learning_rate=0.002)
    largest = len(schedule.levels) - 1
    for images in range(50, 12_000 * largest, 700):
        lod = authors_schedule(size, images, 6000, 4000)
        level, alpha, batch_size, learning_rate = schedule.at(images)
        assert level - 1 + alpha == pytest.approx(largest - lod)
        assert (level, batch_size, learning_rate) == (math.ceil(largest - lod), 100, 0.002)
        compiled = schedule.alpha(ops.convert_to_tensor(images, "int32"), level)
        assert float(ops.convert_to_numpy(compiled)) == pytest.approx(alpha)


def test_lengths_are_rounded_up_to_whole_batches():
    schedule = GrowingSchedule(16, 100, [40, 50, 70], batch_size={4: 30, 16: 7})
    rows = [(row.level, row.size, row.start, *row[3:6], row.steps) for row in schedule.levels]
    assert rows == [
        (0, 4, 0, 0, 60, 30, 2),
        (1, 8, 60, 120, 60, 30, 6),
        (2, 16, 240, 105, 70, 7, 25),
    ]
    assert schedule.images == 415
    seen = [0, 59, 60, 90, 179, 180, 239, 240, 261, 345, 415, 10**9]
    levels = [(schedule.at(n).level, schedule.at(n).alpha) for n in seen]
    assert levels[:4] == [(0, 1), (0, 1), (1, 0), (1, 0.25)]
    assert levels[4] == (1, pytest.approx(119 / 120)) and levels[5:7] == [(1, 1), (1, 1)]
    assert levels[7:] == [(2, 0), (2, 0.2), (2, 1), (2, 1), (2, 1)]


def test_steps_from_one_level_to_the_next():
    """A run that takes whole batches meets every end of a level."""
    schedule = GrowingSchedule(32, 50, 30, batch_size={4: 16, 16: 12, 32: 5})
    seen, taken = 0, []
    while seen < schedule.images:
        state = schedule.at(seen)
        taken.append(state.level)
        seen += state.batch_size
    assert seen == schedule.images
    assert [taken.count(row.level) for row in schedule.levels] == [
        row.steps for row in schedule.levels
    ]


def test_the_papers_growing_on_one_gpu():
    schedule = GrowingSchedule(1024, total_images=12_000_000)
    assert [row.size for row in schedule.levels] == [4 * 2**level for level in range(9)]
    batches = [row.batch_size for row in schedule.levels]
    assert batches == [128, 128, 128, 64, 32, 16, 8, 4, 4]
    assert [row.learning_rate for row in schedule.levels] == [0.001] * 8 + [0.0015]
    assert [row.fade_images for row in schedule.levels] == [0, *[600_064] * 2, *[600_000] * 6]
    assert schedule.images == 12_000_000
    assert schedule.levels[-1].stable_images == 12_000_000 - 9_000_320 - 600_000
    assert GrowingSchedule(32).levels[:4] == schedule.levels[:4]


def test_a_growing_schedule_is_a_table():
    rates = {4: 0.001, 16: 2e-4}
    schedule = GrowingSchedule(16, 1000, [100, 200, 300], 2995, {8: 48, 16: 32}, rates)
    assert str(schedule).splitlines() == [
        "pixels  batch    rate      fade-in     stable  steps  epochs  until image",
        "   4x4     48   0.001            0  144 (+44)      3       3          144",
        "   8x8     48   0.001   1,008 (+8)  240 (+40)     26       2        1,392",
        " 16x16     32  0.0002  1,024 (+24)  608 (+29)     51       3        3,024",
        "3,024 images in 80 steps",
    ]


def test_what_is_given_by_size_holds_upward():
    def batches(given):
        return [row.batch_size for row in GrowingSchedule(64, batch_size=given).levels]

    assert batches(7) == [7] * 5
    assert batches([5, 4, 3, 2, 1]) == [5, 4, 3, 2, 1]
    assert batches({4: 9, 32: 3}) == [9, 9, 9, 3, 3]
    assert batches({16: 9, 32: 3, 512: 1}) == [9, 9, 9, 3, 3]
    fade = GrowingSchedule(16, {8: 10, 16: 20}, 10, batch_size=10).levels
    assert [row.fade_images for row in fade] == [0, 10, 20]


def test_growing_without_fading():
    schedule = GrowingSchedule(8, 0, 20, batch_size=10)
    assert [schedule.at(n)[:2] for n in (0, 19, 20, 40)] == [(0, 1), (0, 1), (1, 1), (1, 1)]
    assert float(ops.convert_to_numpy(schedule.alpha(20, 1))) == 1


def test_a_growing_schedule_comes_back():
    schedule = GrowingSchedule(16, 100, {4: 50, 16: 70}, 1000, {4: 30, 16: 7}, 0.002)
    config = json.loads(json.dumps(keras.saving.serialize_keras_object(schedule)))
    again = keras.saving.deserialize_keras_object(config)
    assert type(again) is GrowingSchedule and again.levels == schedule.levels
    assert again == schedule and hash(again) == hash(schedule) and str(again) == str(schedule)
    assert eval(repr(schedule), {"GrowingSchedule": GrowingSchedule}) == schedule
    same = GrowingSchedule(16, [0, 100, 100], [50, 50, 70], 1000, [30, 30, 7], [0.002] * 3)
    assert same == schedule
    others = [
        GrowingSchedule(16, 100, {4: 50, 16: 70}, 1000, {4: 30, 16: 7}, 0.001),
        GrowingSchedule(16, 100, {4: 50, 16: 70}, None, {4: 30, 16: 7}, 0.002),
        GrowingSchedule(8),
        "schedule",
    ]
    assert all(schedule != other for other in others)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"size": 48}, "size must be one of 8, 16, .*, 1024; got 48"),
        ({"size": 4}, "size must be one of 8, 16, .*, 1024; got 4"),
        ({"stable_images": [1, 2]}, r"list of 3, one for each of 4x4, 8x8, 16x16.*got 2: \[1, 2\]"),
        ({"batch_size": [4, 4, 4, 4]}, "batch_size must be one number.*got 4"),
        ({"fade_images": [3, 3, 3]}, r"fade_images begins with 0.*got \[3, 3, 3\]"),
        ({"fade_images": -1}, "fade_images must be an integer of at least 0; got -1"),
        ({"stable_images": {4: 0, 8: 5}}, "stable_images of 4x4 pixels must be a positive.*got 0"),
        ({"batch_size": 0}, "batch_size must be a positive integer; got 0"),
        ({"batch_size": {4: 8, 16: -2}}, "batch_size of 16x16 pixels must be a positive.*got -2"),
        ({"batch_size": {6: 8}}, "size in batch_size=.* must be one of 4, 8, .*; got 6"),
        ({"batch_size": {"4": 8}}, "must be one of 4, 8, .*; got '4'"),
        ({"batch_size": {}}, "batch_size has to name a size"),
        ({"learning_rate": 0}, "learning_rate must be a number above 0; got 0"),
        ({"learning_rate": {4: "fast"}}, "learning_rate of 4x4 pixels must be.*got 'fast'"),
        (
            {"fade_images": 10, "stable_images": 10, "batch_size": 10, "total_images": 49},
            "total_images must be at least 50, .* to 16x16 pixels.*; got 49. Lower fade_images",
        ),
    ],
)
def test_what_is_no_growing_schedule(arguments, message):
    with pytest.raises(ValueError, match=message):
        GrowingSchedule(**{"size": 16, **arguments})


def test_images_seen_and_levels_are_counted():
    schedule = GrowingSchedule(16)
    for wrong in (-1, 0.5, None):
        with pytest.raises(ValueError, match="images_seen must be an integer of at least 0"):
            schedule.at(wrong)
    for wrong in (3, -1, 1.0):
        with pytest.raises(ValueError, match=r"level must be one of \[0, 1, 2\]"):
            schedule.alpha(0, wrong)
