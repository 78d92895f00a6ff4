import numpy as np
import pytest

import kgen
from kgen.data import faces

DAY, NIGHT = faces.domain_factors("day2night", "test", 40)
A, B = (faces.draw(factors, 32) for factors in (DAY, NIGHT))


def measure(images, **options):
    options = {"judge": kgen.metrics.judge("faces"), "factors": NIGHT, "changed": "time"} | options
    return kgen.metrics.translation(images, B, **options)


def test_the_truth_has_no_error_and_changes_everything_that_must():
    found = measure(B)
    assert found.error == 0 and found.changed > 0.9 and found.n == 40
    assert "time" not in found.kept and {"glasses", "yaw", "background"} <= found.kept.keys()
    assert found.preservation == pytest.approx(np.mean([*found.kept.values()])) and (
        found.preservation > 0.8
    )


def test_what_is_left_as_it_was_is_kept_and_has_not_changed():
    found = measure(A)
    assert found.changed < 0.2 and found.preservation > 0.8
    x, y = (2 * (images / 255.0) - 1 for images in (A, B))
    assert found.error == pytest.approx(np.abs(x - y).mean(), rel=1e-5)
    assert float(found) == found.error


def test_other_faces_keep_as_much_as_chance():
    others = B[np.roll(np.arange(40), 1)]
    found = measure(others)
    assert found.changed > 0.9 and found.preservation < 0.6
    judge = kgen.metrics.judge("faces")
    read = judge.labels(others)["hair"]
    assert found.kept["hair"] == pytest.approx((read == NIGHT["hair"]).mean())
    yaw = np.corrcoef(judge.values(others)["yaw"], NIGHT["yaw"])[0, 1]
    assert found.kept["yaw"] == pytest.approx(yaw, abs=1e-6)


def test_a_number_that_does_not_vary_agrees_with_nothing():
    constant = NIGHT | {"smile": np.full(40, 0.6, "float32")}
    assert measure(B, factors=constant).kept["smile"] == 0


def test_a_grey_image_has_a_share_of_nothing():
    found = measure(np.full_like(B, 128))
    assert all(0 <= value <= 1 for value in found.kept.values())


def test_without_a_judge_there_is_the_error_alone():
    found = kgen.metrics.translation(A, B)
    assert found.changed is None and found.kept == {} and np.isnan(found.preservation)
    assert "kept" not in str(found)


def test_what_does_not_fit_is_refused():
    judge = kgen.metrics.judge("faces")
    for options, words in (
        ({"judge": None}, "pass both"),
        ({"judge": None, "factors": None}, "read by a judge"),
        ({"judge": kgen.metrics.judge("digits")}, "reads factors"),
        ({"changed": "mood"}, "none of the factors"),
        ({"factors": {"time": NIGHT["time"][:3]}}, "one value for each of 40"),
    ):
        with pytest.raises(ValueError, match=words):
            measure(B, **options)
    with pytest.raises(ValueError, match="image by image"):
        kgen.metrics.translation(A[:3], B, judge, NIGHT)
    with pytest.raises(TypeError, match="uint8"):
        kgen.metrics.translation(B.astype("int64"), B)
