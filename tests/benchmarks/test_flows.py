import json

import keras
import numpy as np
import pytest

from benchmarks import flow_bits, flows, harness

TINY = {"steps": 1, "filters": 8, "batch_size": 8}
IMAGES = np.random.default_rng(0).integers(0, 256, (24, 28, 28), "uint8")


def test_the_layers_counted_are_those_of_kgen():
    import kgen

    model, found = kgen.NormalizingFlow((28, 28), levels=2, steps=2, filters=8), []
    side = 28
    for bijection in model.flow.bijections:
        side //= 2 if isinstance(bijection, kgen.layers.Squeeze) else 1
        kernels = [v for v in bijection.trainable_variables if len(v.shape) == 4]
        found += [side**2 * int(np.prod(kernel.shape)) for kernel in kernels]
        if isinstance(bijection, kgen.layers.InvertibleConv1x1):
            found.append(side**2 * bijection.lower.shape[0] ** 2)
    assert sorted(layer.multiplications for layer in flows.layers(2, 8)) == sorted(found)


def test_a_contender_trains():
    settings = {**TINY, "backend": keras.config.backend(), "jit": False, "most_steps": 2}
    about, run, matmul, memory = flows.prepare({**settings, "precision": "float32"})
    assert about["parameters"] > 1_000
    run(1)
    matmul()
    assert memory() > 2**20


def test_both_sides_are_contenders():
    run = {"python_peers": "PEERS", "backend": [*flows.BACKENDS], "names": "^(?!.*XLA)"}
    run |= {"flow_steps": 1, "filters": 8, "batch_size": 8}
    found = flows.contenders(type("Options", (), run), 3)
    assert [c.side for c in found] == ["kgen"] * 3 + ["normflows"] * 2
    theirs = [json.loads(c.command[-1])["serve"] for c in found[3:]]
    assert [given["compile"] for given in theirs] == [False, True]
    for given in [*theirs, *(json.loads(c.command[-1]) for c in found[:3])]:
        assert {name: given[name] for name in TINY} == TINY


def test_kgen_trains_and_both_are_compared(tmp_path, monkeypatch, capsys):
    np.savez(tmp_path / "fashion_mnist.npz", train=IMAGES, test=IMAGES[:4])
    started = []

    def run(command, **_):
        started.append(command)
        if command[2] == "benchmarks.flow_bits":
            flow_bits.train(**json.loads(command[-1]))
        else:
            job = json.loads(command[-1])["train"]
            assert job["learning_rate"] == 0.1 and job["epochs"] == 1
            found = {"bits": [8.0, 9.0], "seconds": 2.0, "processor_seconds": 1.0, "parameters": 7}
            harness.keep(flow_bits.pathlib.Path(job["output"]), json.dumps(found))
        return type("Done", (), {"returncode": 0})

    monkeypatch.setattr(flow_bits.subprocess, "run", run)
    monkeypatch.setattr(flow_bits.harness, "on_cores", lambda count: None)
    given = ["--python-peers", "PEERS", "--output", str(tmp_path), "--epochs", "1"]
    given += ["--steps", "1", "--filters", "8", "--batch-size", "8"]
    given += ["--peer-settings", '{"learning_rate": 0.1}']
    for _ in range(2):  # what is there is not redone
        flow_bits.main(given)
    assert [command[2] for command in started] == ["benchmarks.torch_flows", "benchmarks.flow_bits"]
    numbers = json.loads((tmp_path / "kgen.json").read_text())
    assert len(numbers["bits"]) == 4 and np.isfinite(numbers["bits"]).all()
    printed = capsys.readouterr().out
    share = np.mean(numbers["bits"]) / 8.5 - 1
    assert f"kgen costs {share:+.2%} of normflows' bits" in printed
    with pytest.raises(SystemExit):
        flow_bits.main([*given, "--seed", "1"])
    assert "choose another --output" in capsys.readouterr().err


def test_the_peers_need_nothing_of_kgen():
    source = (harness.ROOT / "benchmarks" / "torch_flows.py").read_text()
    assert "import kgen" not in source and "import keras" not in source


def test_bits_of_the_peer_are_of_grey_levels():
    torch = pytest.importorskip("torch", reason="which runs the peers")

    from benchmarks import torch_flows

    noisy = torch_flows.noisy(torch.from_numpy(IMAGES))
    above = (256 * noisy).numpy() - IMAGES
    assert above.min() >= 0 and above.max() <= 1  # 1 where float32 rounds up
    assert above.mean() == pytest.approx(0.5, abs=0.02)
    assert float(torch_flows.bits(torch.zeros(1))) == 8  # a uniform density on [0, 1)
