"""Linear algebra on the host that may take long: it shows progress, and Ctrl-C ends it."""

import contextlib
import pickle
import subprocess
import sys
import tempfile

import numpy as np

from kgen.progress import progress

LONG_MULTIPLICATIONS = (
    2**31
)  # rows * columns * the smaller of the two: from here on some calls take a second
STEP_MULTIPLICATIONS = 2**34  # multiplications at once
POLL_SECONDS = 0.1  # seconds
CHILD = """
import sys
sys.path[:] = sys.argv[1:]
import pickle
function, arrays = pickle.load(sys.stdin.buffer)
try:
    answer = function(*arrays), None
except Exception as error:
    answer = None, error
pickle.dump(answer, sys.stdout.buffer, 5)
"""


def stoppable(function, *arrays, what):
    """`function(*arrays)`, in a process of its own where that may take long.

    A call of LAPACK cannot be interrupted. On a thread it could be left alone, but then OpenBLAS
    waits for it when Python ends, at times for ever; a process can be ended.

    Args:
        function: one of NumPy's, or a `functools.partial` of it.
        arrays: matrices, or stacks of them; how long it takes is told by the first.
        what: what the progress bar says that is going on.

    Raises:
        Exception: what the function raises.
        RuntimeError: if its process is ended from outside.
    """
    if arrays[0].size * min(arrays[0].shape[-2:]) < LONG_MULTIPLICATIONS or not sys.executable:
        return function(*arrays)
    with tempfile.TemporaryFile() as question, tempfile.TemporaryFile() as answer:
        pickle.dump((function, arrays), question, 5)
        question.seek(0)
        child = subprocess.Popen(
            [sys.executable, "-c", CHILD, *sys.path],
            stdin=question,
            stdout=answer,
            start_new_session=True,  # where a terminal's Ctrl-C is ours alone
        )
        try:
            for _ in progress(iter(lambda: _ended(child), True), None, what, "{desc}: {elapsed}"):
                pass
        finally:
            child.kill()
            child.wait()
        if child.returncode:
            raise RuntimeError(
                f"{what}: the process at work on it was ended ({child.returncode}), as happens "
                "where memory runs out."
            )
        answer.seek(0)
        found, error = pickle.load(answer)
    if error is not None:
        raise error
    return found


def _ended(child):
    """Whether it has, after a moment at most."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        child.wait(POLL_SECONDS)
    return child.returncode is not None


def product(a, b, what):
    """`a @ b` of matrices, in steps of some rows."""
    rows = max(1, STEP_MULTIPLICATIONS // max(1, b.size))
    found = np.empty((len(a), b.shape[1]), np.result_type(a, b))
    starts = range(0, len(a), rows)
    for start in progress(starts, len(starts), what):
        np.matmul(a[start : start + rows], b, out=found[start : start + rows])
    return found


def orthonormal(columns, what):
    """Q of the QR factorization of `(m, n)`; of a tall matrix by parts (Demmel et al., 2012)."""
    tall, wide = columns.shape
    count = tall // max(1, 2 * wide)
    if count < 2 or columns.size * wide < LONG_MULTIPLICATIONS:
        return stoppable(np.linalg.qr, columns, what=what)[0]
    found, corners = np.empty_like(columns), []
    parts = np.array_split(found, count)  # views
    for i, part in enumerate(progress(np.array_split(columns, count), count, what)):
        parts[i][:], corner = stoppable(np.linalg.qr, part, what=what)
        corners.append(corner)
    turns = np.split(orthonormal(np.concatenate(corners), what), count)
    for part, turn in zip(parts, progress(turns, count, what), strict=True):
        part[:] = part @ turn
    return found
