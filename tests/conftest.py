"""Every test starts from the same seeds and the default dtype policy."""

import contextlib
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
if "PYTEST_XDIST_WORKER" in os.environ:  # one process per core: threads that wait for each other
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # take PyTorch thirty times as long

import keras
import pytest


@pytest.fixture(autouse=True)
def fresh_state():
    keras.utils.clear_session()
    keras.utils.set_random_seed(0)
    keras.config.set_dtype_policy("float32")
    yield
    keras.config.set_dtype_policy("float32")


@pytest.fixture
def full_disk():
    """Context in which no file can grow beyond 8 KiB, as on a disk that is full."""
    resource = pytest.importorskip("resource", reason="limits of POSIX systems")

    @contextlib.contextmanager
    def limited():
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (8192, before[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)

    return limited
