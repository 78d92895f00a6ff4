"""Every test starts from the same seeds and the default dtype policy."""

import contextlib
import gc
import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("MPLBACKEND", "agg")  # no windows
if os.environ.get("KERAS_BACKEND") == "jax":  # where compiling takes longest, not what is compiled
    os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")
if "PYTEST_XDIST_WORKER" in os.environ:  # one process per core: threads that wait for each other
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # take PyTorch thirty times as long

import pytest

ON_TENSORFLOW = "benchmarks", "recipes"  # but for these:
EVERYWHERE = "recipes/test_vae.py", "recipes/test_gan.py"


@pytest.hookimpl(tryfirst=True)  # before marks decide what runs
def pytest_collection_modifyitems(items):
    """On JAX and torch most recipes and benchmarks wait for the full tier: models are the same."""
    import keras  # not above: the process that hands tests to others needs none

    if keras.backend.backend() == "tensorflow":
        return
    for item in items:
        folder, name = item.path.parts[-2:]
        if folder in ON_TENSORFLOW and f"{folder}/{name}" not in EVERYWHERE:
            item.add_marker(pytest.mark.full)


def pytest_collection_finish():
    """What is imported stays: collections of garbage need not look at it again and again.

    Nor at the models that are in use, as often as Python does by default.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(7000, 10, 10)


@pytest.fixture(autouse=True)
def fresh_state():
    import keras

    keras.utils.clear_session(free_memory=False)  # a collection takes longer than most tests
    keras.utils.set_random_seed(0)
    keras.config.set_dtype_policy("float32")
    yield
    keras.config.set_dtype_policy("float32")
    if pyplot := sys.modules.get("matplotlib.pyplot"):
        pyplot.close("all")


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
