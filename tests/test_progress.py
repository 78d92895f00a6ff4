"""Long work on a few threads: in order, bounded, ended by an error."""

import pytest

from kgen.progress import for_all, in_order


def test_in_order_is_bounded_and_stops_at_an_error():
    asked = []

    def items():
        for i in range(1000):
            asked.append(i)
            yield i

    results = in_order(lambda i: -i, items())
    assert [next(results) for _ in range(5)] == [0, -1, -2, -3, -4]
    assert len(asked) < 50
    results.close()
    assert for_all(str, range(20), "Counting") == [str(i) for i in range(20)]
    with pytest.raises(ZeroDivisionError):
        for_all(lambda i: 1 / (i - 3), range(1000), "Dividing")
