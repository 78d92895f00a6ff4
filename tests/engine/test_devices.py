"""One device against several simulated ones: the same losses, other noise on each replica.

Devices are made when a backend starts, so each run is a process of its own: `on_devices.py`.
"""

import json
import os
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest

SCRIPT = pathlib.Path(__file__).parents[1] / "on_devices.py"
BACKEND = keras.backend.backend()


def run(*devices):
    """What a run on each number of devices left."""
    environment = {**os.environ, "PYTHONPATH": str(SCRIPT.parents[1])}
    command = [sys.executable, SCRIPT, *map(str, devices)]
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


DEVICES = [2, pytest.param(4, marks=pytest.mark.full)]


@pytest.mark.parametrize("devices", DEVICES if BACKEND != "torch" else [])
def test_losses_do_not_depend_on_the_number_of_devices(devices):
    one, several = run(1, devices)
    assert one["replicas"] == 1 and several["replicas"] == devices
    assert one["losses"].keys() == several["losses"].keys()
    for name, losses in one["losses"].items():
        np.testing.assert_allclose(several["losses"][name], losses, atol=1e-4, rtol=1e-4)
    for name in ("weights", "average"):
        np.testing.assert_allclose(several[name], one[name], atol=1e-4, rtol=1e-4)
    assert several["step"] == one["step"] == several["iterations"]
    # Each replica draws noise of its own.
    rows = np.array(several["noise"])
    assert len(np.unique(rows.round(6), axis=0)) == len(rows) == len(one["noise"])


def test_the_engine_sees_one_replica_here():
    """torch runs on one device; its steps and seeds are those of one replica."""
    from kgen.engine import backend

    seed = keras.ops.convert_to_tensor(np.array([5, 6]))
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(backend.fold_replica(seed)), [5, 6])
