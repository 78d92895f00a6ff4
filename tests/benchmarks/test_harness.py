import importlib
import json
import pathlib
import sys
import textwrap
from types import SimpleNamespace

import keras
import numpy as np
import pytest

import kgen
from benchmarks import harness, vae, vae_elbo


def contender(tmp_path, name="a", side="kgen", precision="float32", parameters=7, body=None):
    """A contender whose steps cost nothing and which notes what it is asked for."""
    script = tmp_path / f"{name}.py"
    body = (
        body
        or f"""
        def prepare():
            print("noise of a library")
            def run(steps):
                print("more noise")
                with open({str(tmp_path / "order")!r}, "a") as file:
                    file.write(f"{name}{{steps}} ")
            return {{"parameters": {parameters}, "device": "CPU"}}, run, lambda: None, lambda: 2**20
    """
    )
    script.write_text(
        f"import sys\nsys.path.insert(0, {str(harness.ROOT)!r})\n"
        "from benchmarks.harness import serve\n" + textwrap.dedent(body) + "\nserve(prepare)\n"
    )
    return harness.Contender(name, side, precision, [sys.executable, str(script)])


def start(contender):
    return harness.Worker(contender, harness.subprocess.DEVNULL)


def test_a_worker_answers(tmp_path):
    worker = start(contender(tmp_path))
    assert worker.about == {"parameters": 7, "device": "CPU"}
    assert 0 <= worker.ask("run", steps=3)["seconds"] < 10
    assert worker.ask("matmul")["flops"] > 0
    assert worker.ask("memory") == {"bytes": 2**20}
    worker.close()
    assert worker.process.returncode == 0
    assert (tmp_path / "order").read_text() == "a3 "


def test_a_contender_that_cannot_start_says_why(tmp_path):
    body = """
        def prepare():
            raise ImportError("no such library")
    """
    with pytest.raises(harness.Failed, match="ImportError: no such library"):
        start(contender(tmp_path, body=body))


def test_contenders_alternate_forwards_and_backwards(tmp_path):
    workers = {name: start(contender(tmp_path, name)) for name in "abc"}
    seconds, flops = harness.alternate(workers, rounds=3, steps=2)
    for worker in workers.values():
        worker.close()
    order = (tmp_path / "order").read_text().split()
    assert order == [f"{name}2" for name in "abccbaabc"]
    assert {name: len(s) for name, s in (seconds | flops).items()} == dict.fromkeys("abc", 3)


def test_measure_prints_a_table_and_names_what_is_missing(tmp_path, capsys):
    broken = "def prepare():\n    raise ImportError('torch')"
    rows = harness.measure(
        "tiny",
        [
            contender(tmp_path, "a"),
            contender(tmp_path, "b", side="torch"),
            contender(tmp_path, "c", side="pythae", body=broken),
        ],
        rounds=2,
        steps=1,
        images=4,
        flops=1e6,
    )
    assert [row["name"] for row in rows] == ["a", "b"]
    assert rows[0]["ratios"].keys() == {"torch"} and rows[1]["ratios"].keys() == {"kgen"}
    assert rows[0]["memory"] == 2**20 and rows[0]["device"] == "CPU"
    printed = capsys.readouterr().out
    assert "tiny: 2 rounds of 1 steps, 1.00 MFLOP" in printed
    assert "c: not measured, ImportError: torch" in printed


def test_different_networks_are_refused(tmp_path):
    pair = [contender(tmp_path, "a"), contender(tmp_path, "b", parameters=8)]
    with pytest.raises(ValueError, match=r"parameters \[7, 8\]"):
        harness.measure("tiny", pair, rounds=1, steps=1, images=1, flops=1)
    with pytest.raises(ValueError, match=r"parameters \[7, 8\]"):
        harness.measure("tiny", pair, rounds=1, steps=1, images=1, flops=1, apart=0.1)
    rows = harness.measure("tiny", pair, rounds=1, steps=1, images=1, flops=1, apart=0.15)
    assert [row["parameters"] for row in rows] == [7, 8]


def test_ratios_are_taken_round_by_round():
    # The machine slows down by half: the ratio does not see it.
    median, least, most = harness.ratio([1, 2, 4], [2, 4, 12])
    assert (median, least, most) == (2, 2, 3)


def test_the_table():
    contenders = [
        harness.Contender(name, side, precision, [])
        for name, side, precision in [
            ("ours", "kgen", "float32"),
            ("plain", "torch", "float32"),
            ("compiled", "torch", "float32"),
            ("half", "torch", "mixed_bfloat16"),
        ]
    ]
    seconds = {"ours": [2, 2, 4], "plain": [4, 4, 4], "compiled": [3, 3, 9], "half": [1, 1, 1]}
    rates = {"ours": [1e9] * 3, "plain": [2e9] * 3, "compiled": [1e9] * 3, "half": [8e9] * 3}
    ours, plain, _, half = harness.table(contenders, seconds, rates, 100, 1e7)
    assert ours["images_per_second"] == 50 and ours["range"] == [25, 50]
    assert ours["matmul_flops"] == 2e9 and half["matmul_flops"] == 8e9
    assert ours["share_of_matmul"] == pytest.approx(50 * 1e7 / 2e9)
    assert ours["ratios"] == {"torch": ["compiled", 1.5, 1.5, 2.25]}
    assert plain["ratios"]["kgen"][:2] == ["ours", 0.5]
    assert half["ratios"] == {}  # no other of its precision
    assert "1.50 (1.50-2.25) x compiled" in harness.line(ours | {"memory": 0})


def test_flops_of_the_layers():
    layers = [harness.dense(3, 5, is_first=True), harness.convolution(4, 6, 3, 2, 7)]
    assert layers[0].multiplications == 15
    assert layers[1].multiplications == 4 * 6 * 9 * 2 * 7
    assert harness.training_flops(layers) == 2 * (2 * 15 + 3 * 4 * 6 * 9 * 2 * 7)


@pytest.mark.parametrize("network", ["dense", "convolutional"])
def test_the_layers_counted_are_those_of_kgen(network):
    model = kgen.VAE((28, 28), vae.LATENT, network=network)
    found = []
    for layer in [*model.encoder.layers, *model.decoder.layers]:
        if not layer.weights:
            continue
        kernel = int(np.prod(layer.kernel.shape))
        transposed = isinstance(layer, keras.layers.Conv2DTranspose)
        shape = layer.input.shape if transposed else layer.output.shape
        found.append(kernel * int(np.prod(shape[1:-1])))
    assert sum(found) == sum(layer.multiplications for layer in vae.LAYERS[network])
    assert found[0] == vae.LAYERS[network][0].multiplications
    assert [layer.is_first for layer in vae.LAYERS[network]].index(True) == 0


def test_every_precision_has_every_side():
    found = vae.contenders("convolutional", ["float32", "mixed_bfloat16"], "peers/python", 8)
    assert len({c.name for c in found}) == len(found)
    of = {(c.side, c.precision) for c in found}
    assert {(s, p) for s in ("kgen", "torch") for p in ("float32", "mixed_bfloat16")} < of
    assert ("pythae", "float32") in of
    settings = [json.loads(c.command[-1]) for c in found]
    assert {s["network"] for s in settings} == {"convolutional"}
    assert {c.command[0] for c in found if c.side != "kgen"} == {"peers/python"}
    assert {c.side for c in vae.contenders("dense", ["float32"], None, 8)} == {"kgen"}


def test_kgens_contender_runs():
    settings = {"network": "dense", "precision": "float32", "most_steps": 4, "jit": "auto"}
    settings |= {"backend": keras.config.backend(), "at_once": 1}
    about, run, matmul, memory = vae.prepare(settings)
    assert about["parameters"] == sum(
        int(np.prod(s)) for s in [(785, 512), (513, 20), (11, 512), (513, 784)]
    )
    run(2)
    matmul()
    assert memory() > 2**20


def test_the_common_elbo_is_kgens():
    """Carried-over weights give the bound that the model computes by itself."""
    model = kgen.VAE((28, 28), vae_elbo.LATENT, reconstruction="bernoulli", network="dense")
    images = np.random.default_rng(0).integers(0, 256, (64, 28, 28), "uint8")
    for network in (model.encoder, model.decoder):  # no bias is zero
        network.set_weights([w + 0.05 * (w.ndim == 1) for w in network.get_weights()])
    weights = vae_elbo.weights_of(model)
    pixels = images.reshape(64, 784).astype("float32") / 255
    ours = vae_elbo.elbo(weights, pixels, samples=50)
    its = model.elbo(images, samples=50)
    assert ours.mean() == pytest.approx(float(its.mean()), rel=2e-3)
    assert np.corrcoef(ours, its)[0, 1] > 0.9


def test_the_peers_need_nothing_of_kgen():
    source = (harness.ROOT / "benchmarks" / "torch_vae.py").read_text()
    assert "import kgen" not in source and "import keras" not in source
    assert pathlib.Path(harness.__file__).read_text().count("import numpy") == 0


def test_a_command_ends_in_one_line(monkeypatch, capsys):
    main = SimpleNamespace(__spec__=SimpleNamespace(name="benchmarks.vae"))
    monkeypatch.setitem(sys.modules, "__main__", main)
    monkeypatch.setattr(sys, "argv", ["vae.py"])
    ends = {
        ValueError("No\n  such."): (2, "benchmarks.vae: error: No such.\n"),
        harness.Failed("ended with status 1"): (2, "benchmarks.vae: error: ended with status 1\n"),
        KeyboardInterrupt(): (130, "Interrupted.\n"),
    }

    def failing(error):
        raise error

    for error, (code, line) in ends.items():
        with pytest.raises(SystemExit) as ended:
            harness.command(lambda error=error: failing(error))
        assert (ended.value.code, capsys.readouterr().err) == (code, line)
    monkeypatch.setattr(sys, "argv", ["vae.py", "--serve", "{}"])  # whose log has all of it
    with pytest.raises(ValueError, match="No"):
        harness.command(lambda: failing(ValueError("No")))


@pytest.mark.parametrize(
    ("module", "argv", "said"),
    [
        ("vae", ["--rounds", "0"], "whole number above 0; got '0'"),
        ("gan", ["--image-size", "-3"], "whole number above 0; got '-3'"),
        ("vae", ["--output", "nowhere/out.json"], "cannot be written: 'nowhere/out.json'"),
        ("gan", ["--output", "."], "cannot be written: '.'"),
    ],
)
def test_bad_values_are_refused_before_anything_is_measured(module, argv, said, capsys):
    with pytest.raises(SystemExit) as ended:
        importlib.import_module(f"benchmarks.{module}").main(argv)
    assert ended.value.code == 2 and said in capsys.readouterr().err


def test_a_process_keeps_to_as_many_cores_as_it_is_told(monkeypatch):
    kept = []
    monkeypatch.setattr(harness.os, "sched_getaffinity", lambda _: {5, 3, 4}, raising=False)
    monkeypatch.setattr(
        harness.os, "sched_setaffinity", lambda *args: kept.append(args), raising=False
    )
    harness.on_cores(None)
    harness.on_cores(2)
    assert kept == [(0, [3, 4])]
    with pytest.raises(ValueError, match="3 cores; got 4"):
        harness.on_cores(4)
