import hashlib
import itertools

import numpy as np
import pytest
from keras import ops

from kgen.data import ImageDataset, memory
from kgen.data.faces import (
    FACTORS,
    RENDERINGS,
    SEGMENTS,
    DrawnFaces,
    captions,
    draw,
    draw_on_device,
    drawing,
    sample_factors,
    segments,
)
from kgen.data.faces.measures import HAIR
from kgen.data.pixels import resize

CLASSES = {name: kind for name, kind in FACTORS.items() if isinstance(kind[0], str)}
NUMBERS = {name: kind for name, kind in FACTORS.items() if name not in CLASSES}
INDEX = {name: i for i, name in enumerate(SEGMENTS)}


def rows(factors, chosen):
    return {name: value[chosen] for name, value in factors.items()}


def same(a, b):
    return all(np.array_equal(a[name], b[name]) for name in (*FACTORS, "detail"))


def apart(a, b):
    """Which pixels differ, as a map of the whole batch."""
    return (a != b).any(axis=(0, 3))


def test_a_face_depends_on_the_seed_and_its_number_alone():
    sixteen = sample_factors(16, seed=3)
    assert same(sample_factors(8, seed=3), rows(sixteen, slice(8)))
    assert same(sample_factors(8, seed=3, start=8), rows(sixteen, slice(8, 16)))
    assert not same(sample_factors(16, seed=4), sixteen)
    images = draw(sixteen, 40)
    np.testing.assert_array_equal(draw(sample_factors(16, seed=3), 40, threads=1), images)
    np.testing.assert_array_equal(draw(rows(sixteen, slice(8)), 40), images[:8])
    assert len(np.unique(images.reshape(16, -1), axis=0)) == 16


@pytest.mark.parametrize(
    "n, options, known",
    [
        (1, {}, "4e8526b873d6d6e4"),
        (70_000, {}, "c861e5223daa4860"),
        (200_001, {"seed": 3, "start": 10**6}, "48e4ec309455b633"),
        (70_000, {"seed": 2, "presentation": "man"}, "51319a8190bc8011"),
    ],
)
def test_factors_are_drawn_in_parts_and_stay_what_they_are(n, options, known):
    """Trained models and their cards depend on them."""
    found = hashlib.sha256()
    for name, values in sample_factors(n, **options).items():
        found.update(f"{name}{values.dtype}{values.shape}".encode() + values.tobytes())
    assert found.hexdigest()[:16] == known


def test_factors_have_their_types_and_ranges_and_every_class_occurs():
    factors = sample_factors(4000, seed=1)
    assert set(factors) == {*FACTORS, "detail"}
    for name, kinds in CLASSES.items():
        shares = np.bincount(factors[name], minlength=len(kinds)) / 4000
        assert factors[name].dtype == "int32" and len(shares) == len(kinds)
        assert shares.min() > 0.08, (name, shares)
    for name, (low, high) in NUMBERS.items():
        values = factors[name]
        assert values.dtype == "float32" and low <= values.min() and values.max() <= high
        assert abs(values.mean() - (low + high) / 2) < 0.04 * (high - low)
    assert factors["detail"].shape == (4000, 4) and factors["detail"].max() < 1


def test_factors_are_independent_but_for_the_presentation():
    factors = sample_factors(8000, seed=2)
    man = factors["presentation"] == FACTORS["presentation"].index("man")
    classes = lambda name, who: {CLASSES[name][i] for i in np.unique(factors[name][who])}  # noqa: E731
    assert classes("beard", ~man) == {"none"} and classes("beard", man) == set(FACTORS["beard"])
    assert classes("hair", ~man) == {"short", "curly", "bob", "long", "bun"}
    assert classes("hair", man) == {"bald", "short", "curly", "long"}
    free = [name for name in FACTORS if name not in ("presentation", "hair", "beard")]
    table = np.corrcoef([factors[name] for name in free])
    assert np.abs(table - np.eye(len(free))).max() < 0.05


def test_given_factors_change_nothing_that_does_not_depend_on_them():
    drawn = sample_factors(6, seed=5)
    given = sample_factors(6, seed=5, glasses="round", smile=[-1, -0.5, 0, 0.25, 0.5, 1])
    assert (given["glasses"] == 1).all() and given["smile"].dtype == "float32"
    np.testing.assert_array_equal(given["smile"], np.float32([-1, -0.5, 0, 0.25, 0.5, 1]))
    assert same({**given, "glasses": drawn["glasses"], "smile": drawn["smile"]}, drawn)
    women = sample_factors(50, seed=5, presentation=0)
    assert (women["beard"] == 0).all() and (women["hair"] > 0).all()
    bearded = sample_factors(2, seed=5, presentation="woman", beard=["full", "none"])
    assert bearded["beard"].tolist() == [2, 0]  # whoever asks for it gets it


def test_a_set_of_classes_is_one_of_them_for_each_face():
    drawn = sample_factors(3000, seed=5)
    given = sample_factors(3000, seed=5, glasses={"square", "round"}, hair={0, 4}, smile={-1, 0.5})
    for name, values in {"glasses": [1, 2], "hair": [0, 4], "smile": [-1, 0.5]}.items():
        found, counts = np.unique(given[name], return_counts=True)
        np.testing.assert_array_equal(found, values)
        assert given[name].dtype == drawn[name].dtype and abs(counts[0] / 3000 - 0.5) < 0.04
    assert same({**given, **{name: drawn[name] for name in ("glasses", "hair", "smile")}}, drawn)
    some = sample_factors(8, seed=5, start=100, glasses=frozenset({1, 2}))
    np.testing.assert_array_equal(some["glasses"], given["glasses"][100:108])


@pytest.mark.parametrize("rendering", RENDERINGS)
@pytest.mark.parametrize("size", [8, 33, 1024])
def test_renderings_at_any_size(rendering, size):
    images = draw(sample_factors(2 if size < 1024 else 1, seed=6), size, rendering)
    assert images.dtype == "uint8" and images.shape[1:] == (size, size, 3)
    assert images.std() > 20 and np.ptp(images) > 80
    if rendering == "edges":
        assert (images[..., 0] == images[..., 2]).all() and images.mean() < 128
    if rendering == "sketch":
        assert np.ptp(images.astype(int), axis=-1).max() < 16


@pytest.mark.parametrize("size", [32, 64])
def test_a_face_is_the_same_at_every_size(size):
    factors = sample_factors(32, seed=7)
    small = draw(factors, size).astype(float)
    large = draw(factors, 4 * size).astype(float)
    large = large.reshape(32, size, 4, size, 4, 3).mean((2, 4))
    assert np.abs(small - large).mean() < (3 if size == 64 else 5)
    other = np.roll(large, 1, axis=0)
    assert np.abs(small - other).mean() > 30


def test_one_factor_changes_one_part_of_the_picture():
    factors = sample_factors(40, seed=8, tilt=0, yaw=0, hair="bun", beard="none")
    image = draw({**factors, "glasses": factors["glasses"] * 0}, 64)
    for kind in (1, 2):
        rim = apart(image, draw({**factors, "glasses": factors["glasses"] * 0 + kind}, 64))
        assert rim[28:36].any() and not rim[:24].any() and not rim[38:].any()
    image = draw({**factors, "smile": factors["smile"] * 0}, 64)
    smile = apart(image, draw({**factors, "smile": factors["smile"] * 0 + 1}, 64))
    assert smile[36:46].any() and not smile[:26].any() and not smile[49:].any()
    image = draw({**factors, "outfit_color": factors["outfit_color"] * 0}, 64)
    cloth = apart(image, draw({**factors, "outfit_color": factors["outfit_color"] * 0 + 1}, 64))
    assert cloth[55:].any() and not cloth[:45].any()
    night, day = ({**factors, "time": factors["time"] * 0 + i} for i in (1, 0))
    np.testing.assert_array_equal(segments(day, 64), segments(night, 64))
    assert draw(day, 64).mean() > draw(night, 64).mean() + 30


def test_segments_lie_where_the_photo_has_their_colors():
    factors = sample_factors(200, seed=9, time="day")
    photo, places = draw(factors, 64).astype(float), segments(factors, 64)
    assert places.dtype == "uint8" and places.shape == (200, 64, 64)
    colors = np.array(list(SEGMENTS.values()), "uint8")
    np.testing.assert_array_equal(draw(factors, 64, "segmentation"), colors[places])
    known = np.array([HAIR[name] for name in FACTORS["hair_color"]], float)
    guesses = []
    for image, place, hair in zip(photo, places, factors["hair"], strict=True):
        present = set(np.unique(place).tolist())
        assert {INDEX[name] for name in ("background", "clothes", "skin", "eyes")} <= present
        assert (INDEX["hair"] in present) == (hair != 0)
        if hair:
            mean = image[place == INDEX["hair"]].mean(0)
            guesses.append(np.square(known - mean).sum(1).argmin())
    right = np.array(guesses) == factors["hair_color"][factors["hair"] != 0]
    assert right.mean() > 0.95
    for name in ("glasses", "beard"):
        seen = (places == INDEX[name]).any((1, 2))
        np.testing.assert_array_equal(seen, factors[name] > 0)


def test_edges_and_sketch_follow_the_segments():
    factors = sample_factors(20, seed=10, time="day")
    place, size = segments(factors, 128), 128
    lines = draw(factors, size, "edges")[..., 0]
    pen = draw(factors, size, "sketch")[..., 0]
    skin = (place == INDEX["skin"]) | (place == INDEX["hair"]) | (place == INDEX["clothes"])
    border = skin[:, :, 1:] & (place[:, :, :-1] == INDEX["background"])
    near = np.maximum(lines[:, :, 1:], lines[:, :, :-1])
    assert (near[border] > 100).mean() > 0.95
    assert (lines > 100).mean() < 0.25
    assert pen[lines > 200].mean() < 80 and np.median(pen[lines < 10]) > 240


def test_every_class_is_visible_at_32_pixels():
    factors = sample_factors(24, seed=11)
    for name, kinds in CLASSES.items():
        images = [
            draw({**factors, name: np.full(24, i, "int32")}, 32).astype(float)
            for i in range(len(kinds))
        ]
        for i in range(len(kinds)):
            for j in range(i):
                change = np.abs(images[i] - images[j]).max(-1)
                pixels = (change > 24).sum((1, 2))  # that anyone would see
                assert np.median(pixels) >= 3, (name, kinds[i], kinds[j], pixels)
    for name, (low, high) in NUMBERS.items():
        a, b = (draw({**factors, name: np.full(24, x, "float32")}, 32) for x in (low, high))
        change = np.abs(a.astype(float) - b).max(-1)
        pixels = (change > 16).sum((1, 2))
        assert np.median(pixels) >= 10 and np.quantile(pixels, 0.1) >= 2, (name, pixels)


def test_brows_and_beards_stand_out_on_every_skin():
    pairs = list(itertools.product(FACTORS["hair_color"], FACTORS["skin"]))
    hair, skin = ([pair[i] for pair in pairs] for i in (0, 1))
    factors = sample_factors(
        20, 14, presentation="man", beard="full", hair="bald", hair_color=hair, skin=skin, yaw=0
    )
    photo, places = draw(factors, 96).astype(float), segments(factors, 96)
    for pair, image, place in zip(pairs, photo, places, strict=True):
        skin, brows, beard = (
            np.median(image[place == INDEX[name]], axis=0) for name in ("skin", "brows", "beard")
        )
        assert np.abs(skin - brows).max() > 15, pair
        assert np.abs(skin - beard).max() > 15, pair


def test_stronger_light_is_brighter_on_the_face_and_nowhere_else():
    factors = sample_factors(20, seed=15)
    weak, strong = (
        draw({**factors, "light_strength": np.full(20, x, "float32")}, 64).astype(float)
        for x in (0.3, 1.0)
    )
    places = segments(factors, 64)
    for name in ("skin", "clothes"):
        here = places == INDEX[name]
        assert strong[here].mean() > weak[here].mean() + 8
    far = np.stack([places] + [np.roll(places, s, a) for a in (1, 2) for s in (-1, 1)])
    behind = (far == 0).all(0)
    assert np.abs(strong[behind] - weak[behind]).max() <= 3


def test_captions_say_what_is_there_in_varied_words():
    factors = sample_factors(300, seed=12)
    texts = captions(factors, seed=1)
    assert texts == captions(factors, seed=1) != captions(factors, seed=2)
    assert captions(rows(factors, slice(5)), seed=1) == texts[:5]
    assert len(set(texts)) > 290 and len({text.split()[0] for text in texts}) > 5
    for i, text in enumerate(texts):
        face = {name: kinds[factors[name][i]] for name, kinds in CLASSES.items()}
        words = text.lower().replace(",", "").replace(".", "").split()
        assert text[0].isupper() and text.endswith(".") and "  " not in text
        assert face["presentation"] in words
        assert ("glasses" in words) == (face["glasses"] != "none")
        assert ("moustache" in words) == (face["beard"] == "moustache")
        assert ("beard" in words) == (face["beard"] == "full")
        assert ("bald" in words) == (face["hair"] == "bald")
        assert face["hair_color"] in words or face["hair"] == "bald"
        assert ("night" in words) == (face["time"] == "night")
        happy = {"smiling", "happy", "cheerful"} & set(words)
        assert bool(happy) == (factors["smile"][i] > 1 / 3)
        for vowel, word in itertools.pairwise(words):
            if vowel in ("a", "an"):
                assert (vowel == "an") == (word[0] in "aeiou"), text


@pytest.mark.parametrize("rendering", RENDERINGS)
def test_the_device_draws_what_the_host_draws(rendering):
    factors = sample_factors(24, seed=13)
    for size in (8, 48):
        host = draw(factors, size, rendering).astype(float)
        device = draw_on_device(factors, size, rendering)
        assert ops.shape(device) == (24, size, size, 3)
        device = ops.convert_to_numpy(device)
        assert device.dtype == "float32" and np.abs(device).max() <= 1
        assert np.abs((device + 1) * 127.5 - host).max() <= 2


def test_wrong_arguments_say_what_is_right():
    factors = sample_factors(2)
    for arguments, message in (
        ({"n": 0}, "n must be a positive integer; got 0"),
        ({"seed": -1}, "seed must be an integer of at least 0"),
        ({"start": 0.5}, "start must be an integer of at least 0"),
        ({"hat": 1}, r"no factor \['hat'\]; the factors are \['presentation'"),
        ({"glasses": "oval"}, r"glasses must be among \('none', 'round', 'square'\)"),
        ({"glasses": 3}, "glasses must be among"),
        ({"smile": 2.0}, r"smile must be a number in \[-1.0, 1.0\]; got 2.0"),
        ({"smile": "much"}, "smile must be a number"),
        ({"smile": [0, 0]}, "smile must be one value or one for each of 3"),
        ({"glasses": set()}, r"glasses must be one of a set that is not empty; got set\(\)"),
        ({"glasses": {"oval"}}, r"glasses must be among .*; got \['oval'\]"),
        ({"smile": {0, 2}}, r"smile must be a number in \[-1.0, 1.0\]; got \[0, 2\]"),
    ):
        with pytest.raises(ValueError, match=message):
            sample_factors(**{"n": 3, **arguments})
    for size in (7, 1025, 64.0):
        with pytest.raises(ValueError, match="size must be an integer from 8 to 1024"):
            draw(factors, size)
    for function in (draw, draw_on_device):
        with pytest.raises(ValueError, match=r"rendering must be one of \('photo'"):
            function(factors, 16, "oil")
    with pytest.raises(ValueError, match=r"factors has no \['smile'\]; start from"):
        draw({name: value for name, value in factors.items() if name != "smile"}, 16)
    with pytest.raises(ValueError, match=r"factors\['smile'\] must have shape \(2,\)"):
        segments({**factors, "smile": factors["smile"][:1]}, 16)
    with pytest.raises(ValueError, match="hair must be among"):
        draw({**factors, "hair": np.array([0, 9])}, 16)


def test_large_faces_are_drawn_smaller_for_a_smaller_size(monkeypatch):
    """Nearly as what all pixels give; drawn once, as far as there is room."""
    factors, sizes = sample_factors(6), []
    whole = draw(factors, 512)
    pixels = drawing._pixels

    def watched(factors, size, *options):
        sizes.append((len(factors["detail"]), size))
        return pixels(factors, size, *options)

    monkeypatch.setattr(drawing, "_pixels", watched)
    large = memory.KeptImages(DrawnFaces(factors, 512), 2**20)  # one of them
    data = ImageDataset(large, batch_size=6, shuffle=False)
    for size, drawn in ((4, 64), (32, 128), (200, 512)):
        small = data.at_resolution(size)
        sizes.clear()  # what a dataset looks at when it is made
        for _ in range(2):
            found = (small.images() + 1) * 127.5
            expected = resize(whole, (size, size)).astype("float64")
            assert np.abs(found - expected).mean() < 1.5
        assert {drawn_at for _, drawn_at in sizes} == {drawn}
        assert sum(count for count, _ in sizes) <= 6
    one = data.take(1).at_resolution(4)
    assert one.num_examples == 1
    np.testing.assert_array_equal(one.images(), data.at_resolution(4).images(1))
