"""Two domains of faces: which faces are in them, and the truth of a translation."""

import numpy as np
import pytest

import kgen
from kgen.data import ImagePairs, faces, load, to_model_range
from kgen.data.faces import DOMAINS, FACTORS, domain_factors, sample_factors, segments
from kgen.data.faces.domains import OTHER_FACES
from kgen.data.memory import KeptImages
from kgen.data.pixels import with_channels

SMALL = {"num_examples": 12, "image_size": 16, "batch_size": 5}


def who(factors):
    """What no two faces share, for each face."""
    return [row.tobytes() for row in np.column_stack([factors["detail"], factors["smile"]])]


def differing(a, b):
    return {name for name in (*FACTORS, "detail") if not np.array_equal(a[name], b[name])}


@pytest.mark.parametrize("name", [*DOMAINS, "photo2sketch"])
def test_no_face_is_in_two_domains_for_training_or_in_the_test_split(name):
    a, b = domain_factors(name, "train", 3000, kind="domains")
    both = domain_factors(name, "test", 3000)
    assert who(both[0]) == who(both[1])
    assert len({*who(a), *who(b), *who(both[0])}) == 9000


@pytest.mark.parametrize(
    "name, made_by, classes",
    [
        ("day2night", "time", ({"day"}, {"night"})),
        ("plain2glasses", "glasses", ({"none"}, {"round", "square"})),
    ],
)
def test_one_factor_makes_the_domain(name, made_by, classes):
    for split, kind in (("test", None), ("test", "domains"), ("train", "pairs"), ("train", None)):
        two = domain_factors(name, split, 400, kind)
        for factors, own in zip(two, classes, strict=True):
            assert {FACTORS[made_by][i] for i in factors[made_by]} == own
        if split == "test" or kind == "pairs":
            assert differing(*two) == {made_by}
    for factors, start in zip(two, (0, OTHER_FACES), strict=True):  # all else is as it is drawn
        assert differing(factors, sample_factors(400, seed=0, start=start)) == {made_by}


def test_two_people_differ_in_who_they_are_and_agree_in_how_they_look():
    looks = {"smile", "yaw", "tilt", "light", "light_strength", "brows", "detail"}
    alice, bob = domain_factors("alice2bob", "test", 400)
    for factors in (alice, bob, *domain_factors("alice2bob", "train", 400)):
        varying = {name for name, values in factors.items() if len(np.unique(values, axis=0)) > 1}
        assert varying == looks
        assert all(np.ptp(factors[name]) > 0.6 for name in looks - {"detail"})
    assert not differing(alice, bob) & (looks | {"background", "time"})
    named = {name for name in differing(alice, bob) if isinstance(FACTORS[name][0], str)}
    assert named >= {"presentation", "skin", "hair", "hair_color", "eye_color", "outfit"}


def test_both_kinds_of_glasses_are_drawn_by_the_number_of_the_face():
    _, worn = domain_factors("plain2glasses", "test", 4000)
    assert abs((worn["glasses"] == 1).mean() - 0.5) < 0.03
    _, fewer = domain_factors("plain2glasses", "test", 7)
    np.testing.assert_array_equal(fewer["glasses"], worn["glasses"][:7])
    others = [worn[name] for name in FACTORS if name != "glasses"] + [*worn["detail"].T]
    assert max(abs(np.corrcoef(worn["glasses"], other)[0, 1]) for other in others) < 0.06


def test_day_and_night_have_the_same_shapes():
    day, night = domain_factors("day2night", "test", 60)
    np.testing.assert_array_equal(segments(day, 32), segments(night, 32))
    bright, dark = (faces.draw(factors, 16).mean((1, 2, 3)) for factors in (day, night))
    assert (bright > dark + 10).all()


@pytest.mark.parametrize("kind", [None, "pairs", "domains"])
@pytest.mark.parametrize("split", ["train", "test"])
@pytest.mark.parametrize("name", [*DOMAINS, "photo2sketch", "segmentation2edges"])
def test_what_is_loaded_is_what_is_said(name, split, kind):
    data = load(f"faces/{name}", split, kind=kind, **SMALL)
    factors = domain_factors(f"faces/{name}", split, 12, kind)
    renderings = name.split("2") if name not in DOMAINS else ("photo", "photo")
    assert isinstance(data, ImagePairs) and data.domain_names == tuple(name.split("2"))
    for images, of_side, rendering in zip(data.pairs(), factors, renderings, strict=True):
        expected = to_model_range(faces.draw(of_side, 16, rendering))
        np.testing.assert_array_equal(images, expected)
    usual = "domains" if name in DOMAINS else "pairs"
    assert data.aligned == (split == "test" or (kind or usual) == "pairs")
    assert data.aligned == (who(factors[0]) == who(factors[1]))


def test_pairs_of_two_renderings_are_the_faces_of_load():
    for kind in (None, "pairs"):
        for factors in domain_factors("photo2sketch", "train", 5, kind):
            assert not differing(factors, sample_factors(5, seed=0))


def test_the_first_faces_are_the_same_for_every_number():
    few, many = (load("faces/day2night", **{**SMALL, "num_examples": n}) for n in (4, 12))
    for a, b in zip(few.pairs(), many.pairs(4), strict=True):
        np.testing.assert_array_equal(a, b)
    assert few.fingerprint == many.take(4).fingerprint


def test_fingerprints_tell_domains_from_pairs():
    names = ("faces/day2night", "faces/plain2glasses", "faces/photo2sketch")
    found = [load(name, kind=kind, **SMALL) for name in names for kind in ("pairs", "domains")]
    found += [load(name, "test", shuffle=True, **SMALL) for name in names]
    assert len({data.fingerprint for data in found}) == len(found)


def test_size_channels_and_memory():
    data = load("faces/day2night", num_examples=6, image_size=16, channels=1, memory=8 * 256)
    assert data.image_shape == data.target_shape == (16, 16, 1)
    assert all(isinstance(images, KeptImages) for images in data.domains)
    assert [len(images._rows) for images in data.domains] == [4, 4]
    color = load("faces/day2night", num_examples=6, image_size=16)
    expected = with_channels(color.domains[1][:], 1)
    np.testing.assert_array_equal(data.domains[1][:], expected)
    assert load("faces/day2night").num_examples == 10_000


@pytest.mark.parametrize("memory", [None, 0])
def test_each_domain_is_mirrored_by_itself_and_pairs_are_mirrored_together(memory):
    options = {"num_examples": 60, "image_size": 8, "batch_size": 60, "memory": memory}
    for kind in ("domains", "pairs"):
        data = load("faces/day2night", kind=kind, **options, shuffle=False)
        flipped, found = data.with_options(augment={"flip": True}), []
        for images, plain in zip(flipped[0], data[0], strict=True):
            found.append((images != plain).any((1, 2, 3)))
            mirrored = np.where(found[-1][:, None, None, None], plain[:, :, ::-1], plain)
            np.testing.assert_array_equal(images, mirrored)
        neither, second, first, both = np.bincount(2 * found[0] + found[1], minlength=4)
        assert min(neither, both) > 5
        assert min(first, second) > 5 if kind == "domains" else first == second == 0


def test_names_that_follow_from_the_set():
    for name in (f"faces/{name}" for name in DOMAINS):
        assert kgen.data.splits(name) == ["train", "test"]
        assert kgen.data.license(name) == kgen.data.license("faces")
        assert kgen.metrics.judge_for(name) == "faces"


@pytest.mark.parametrize(
    "options, message",
    [
        (
            {"name": "faces/day2dusk"},
            r"'faces/edges2photo'.*'faces/day2night'.*got 'faces/day2dusk",
        ),
        ({"name": "faces/day2night2day"}, "got 'faces/day2night2day'"),
        ({"name": "faces/day2night", "kind": "flat"}, "'domains'.*'pairs'.*or None; got 'flat'"),
        ({"name": "faces/photo2edges", "kind": "idx"}, "'domains'.*'pairs'.*or None; got 'idx'"),
        ({"name": "faces/day2night", "split": "all"}, r"splits \['train', 'test'\]; got 'all'"),
        ({"name": "faces/day2night", "image_size": (8, 16)}, "Faces are squares"),
        ({"name": "faces", "kind": "pairs"}, "'faces/day2night'.*'faces' is .*leave kind out"),
        ({"name": "faces/glasses", "kind": "domains"}, "'faces/glasses' is .*leave kind out"),
        ({"name": "digits/8x8", "kind": "pairs"}, "'digits' is embedded.*leave kind out"),
        ({"name": "toy2d/ring", "kind": "pairs"}, "'toy2d' is embedded.*leave kind out"),
    ],
)
def test_what_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        load(**options)


@pytest.mark.parametrize(
    "arguments, message",
    [
        (("smile", "test", 3), "Two domains of faces are two of .*got 'faces/smile'"),
        (("day2night", "all", 3), r"split must be one of \['train', 'test'\]; got 'all'"),
        (("day2night", "test", 0), "n must be a positive integer; got 0"),
        (("day2night", "test", 3, "flat"), "kind of 'day2night' must be 'domains'.*got 'flat'"),
    ],
)
def test_wrong_arguments_say_what_is_right(arguments, message):
    with pytest.raises(ValueError, match=message):
        domain_factors(*arguments)
