"""Files that another backend wrote, in a process of its own, are used here."""

import functools
import os
import pathlib
import subprocess
import sys
from importlib import util

import keras
import numpy as np
import pytest
import zoo_models  # noqa: F401, whose class is in files
from cases import CASES
from save_elsewhere import progressive_outputs

import kgen

BACKENDS = {"tensorflow", "jax", "torch"} - {keras.backend.backend()}
each_other = pytest.mark.parametrize("other", sorted(b for b in BACKENDS if util.find_spec(b)))
ALL = {case.name: case for case in CASES}
HEADS = tuple(name for name, case in ALL.items() if case.head)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Function of a backend and names of cases: the folder with their files, written once."""

    @functools.cache
    def folder(other, names):
        path = tmp_path_factory.mktemp(other)
        script = pathlib.Path(__file__).with_name("save_elsewhere.py")
        environment = {**os.environ, "KERAS_BACKEND": other, "PYTHONPATH": str(script.parents[1])}
        environment["JAX_DISABLE_MOST_OPTIMIZATIONS"] = "1"  # compiling takes longest
        command = [sys.executable, str(script), str(path), *names]
        subprocess.run(command, env=environment, check=True)
        return path

    return folder


@pytest.mark.parametrize(
    "names", [HEADS, pytest.param(tuple(ALL), marks=pytest.mark.full)], ids=["heads", "all"]
)
@each_other
def test_files_from_another_backend(names, other, written):
    """Saved and generated there, loaded and generated here; then trained on."""
    folder = written(other, names)
    for name in names:
        case = ALL[name]
        keras.utils.clear_session(free_memory=False)
        loaded = keras.saving.load_model(folder / f"{name}.keras")
        there, same = np.load(folder / f"{name}.npz"), {"atol": 1e-4, "err_msg": name}
        np.testing.assert_allclose(case.images(loaded, 6, seed=2), there["generated"], **same)
        if hasattr(loaded, "encode"):
            np.testing.assert_allclose(loaded.encode(*case.first(20)), there["encoded"], **same)
        optimizers = getattr(getattr(loaded, "optimizer", None), "optimizers", [])
        iterations = [int(o.iterations) for o in optimizers]
        history = case.fit(loaded, epochs=1).history
        assert np.isfinite([history[loss] for loss in loaded.logs]).all(), name
        went_on = [int(o.iterations) > i > 0 for o, i in zip(optimizers, iterations, strict=True)]
        assert all(went_on), name


@each_other
def test_a_file_from_another_backend(other, written):
    """Of the zoo."""
    folder = written(other, HEADS) / "zoo"
    names = kgen.zoo.list(folder)
    assert names == ["gan_float16", "gan_float32", "vae_float16", "vae_float32"]
    for name in names:
        loaded = kgen.zoo.load(name, folder)
        there = np.load(folder / f"{name}.npy")
        np.testing.assert_allclose(loaded.generate(6, seed=2), there, atol=1e-4)
        assert other in kgen.zoo.card(name, folder)["device"]


@each_other
def test_progressive_networks_from_another_backend(other, written):
    """At every level, half faded in."""
    folder = written(other, HEADS)
    networks = [
        keras.saving.load_model(folder / f"progressive_{name}.keras")
        for name in ("generator", "discriminator")
    ]
    there = np.load(folder / "progressive.npz")
    for name, found in zip(there.files, progressive_outputs(networks), strict=True):
        np.testing.assert_allclose(found, there[name], atol=1e-4, err_msg=name)
