"""What long calls of linear algebra return, and that they can be stopped."""

import functools
import signal
import subprocess

import numpy as np
import pytest

from kgen import linear_algebra
from kgen.distributions import Gaussian
from kgen.linear_algebra import orthonormal, product, stoppable
from kgen.metrics import frechet
from kgen.models.principal_axes import principal_axes
from kgen.progress import progress


@pytest.fixture
def long(monkeypatch):
    """Whatever is computed counts as long; returns the processes that were started."""
    started, start = [], subprocess.Popen

    def popen(*args, **options):
        started.append(start(*args, **options))
        return started[-1]

    monkeypatch.setattr(subprocess, "Popen", popen)
    monkeypatch.setattr(linear_algebra, "LONG_MULTIPLICATIONS", 0)
    monkeypatch.setattr(linear_algebra, "STEP_MULTIPLICATIONS", 64)
    return started


def matrix(rows, columns, seed=0):
    return np.random.default_rng(seed).standard_normal((rows, columns))


def test_what_is_short_is_called_here(monkeypatch):
    monkeypatch.setattr(subprocess, "Popen", None)
    values, vectors = stoppable(np.linalg.eigh, np.diag([2.0, 3.0]), what="")
    assert values.tolist() == [2, 3] and abs(vectors).tolist() == np.eye(2).tolist()


def test_what_is_long_comes_out_the_same(long):
    for function, a in (
        (np.linalg.eigh, np.cov(matrix(9, 6).T)),
        (functools.partial(np.linalg.svd, compute_uv=False), matrix(7, 5)),
        (np.negative, matrix(400, 500)),
    ):
        for found, expected in zip(stoppable(function, a, what=""), function(a), strict=True):
            np.testing.assert_array_equal(found, expected)
    a, b = matrix(5, 5), matrix(5, 3, 1)
    np.testing.assert_array_equal(stoppable(np.linalg.solve, a, b, what=""), np.linalg.solve(a, b))
    assert [child.returncode for child in long] == [0] * 4


def test_errors_are_the_functions(long):
    with pytest.raises(np.linalg.LinAlgError, match="not positive definite"):
        stoppable(np.linalg.cholesky, -np.eye(3), what="")


FOR_EVER = signal.sigwait, np.array([signal.SIGUSR1])


def watched(monkeypatch, look):
    def items(items, *args):
        for item in progress(items, *args):
            look()
            yield item

    monkeypatch.setattr(linear_algebra, "progress", items)


def test_ctrl_c_ends_it_at_once(long, monkeypatch):
    watched(monkeypatch, lambda: signal.raise_signal(signal.SIGINT))
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may have it ignored
    try:
        with pytest.raises(KeyboardInterrupt):
            stoppable(*FOR_EVER, what="Roots")
    finally:
        signal.signal(signal.SIGINT, before)
    assert [child.returncode for child in long] == [-signal.SIGKILL]


def test_a_process_that_is_ended_from_outside(long, monkeypatch):
    watched(monkeypatch, lambda: long[0].kill())
    with pytest.raises(RuntimeError, match=r"Roots: the process at work on it was ended \(-9\)"):
        stoppable(*FOR_EVER, what="Roots")


@pytest.mark.parametrize("shapes", [((7, 40), (40, 5)), ((0, 3), (3, 2)), ((1, 100), (100, 100))])
def test_products_in_steps(long, shapes):
    a, b = (matrix(*shape) for shape in shapes)
    np.testing.assert_allclose(product(a, b, ""), a @ b, rtol=1e-12, atol=1e-12)
    assert product(a.astype("float32"), b.astype("float32"), "").dtype == "float32"


@pytest.mark.parametrize("shape", [(28, 3), (19, 4), (8, 4), (3, 5)])
def test_orthonormal_columns_of_the_same_space(long, shape):
    columns = matrix(*shape)
    columns[:, 2:] = columns[:, :1]
    q = orthonormal(columns, "")
    np.testing.assert_allclose(q.T @ q, np.eye(q.shape[1]), atol=1e-14)
    np.testing.assert_allclose(q @ (q.T @ columns), columns, atol=1e-13)
    assert len(long) > 2 or len(columns) < 4 * len(columns.T)


def results():
    examples, latents = matrix(14, 40).astype("float32"), matrix(30, 3)
    axes = principal_axes(lambda: iter([examples]))
    prior = Gaussian.fit(latents)
    sides = matrix(60, 4), np.repeat(matrix(60, 3, 1), [1, 2, 1], axis=1)
    return (
        frechet.frechet_distance(*sides),
        frechet.frechet_distance(matrix(9, 50), matrix(8, 50, 1)),
        axes.eigenvalues,
        axes.axes,
        prior.log_density(latents),
    )


def test_nothing_changes_where_it_is_used(request):
    expected = results()
    started = request.getfixturevalue("long")
    for found, same in zip(results(), expected, strict=True):
        np.testing.assert_allclose(found, same, rtol=1e-9, atol=1e-9)
    assert len(started) >= 8
