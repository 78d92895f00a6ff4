import ast
import inspect
import json

import numpy as np
import pytest

import kgen
from benchmarks import diffusion_peer, harness

IMAGES = np.random.default_rng(0).integers(0, 256, (40, 28, 28), "uint8")
TINY = {"seed": 0, "images": 24, "samples": 8, "filters": 8, "batch_size": 8, "every": 8}


@pytest.fixture
def files(tmp_path):
    """What both sides read and write, by the names of `train`."""
    np.savez(tmp_path / "data.npz", train=IMAGES[:30], test=IMAGES[30:])
    names = {"data": "data.npz", "peer": "peer.npz", "output": "kgen.json"}
    return {name: tmp_path / file for name, file in names.items()}


@pytest.fixture(autouse=True)
def tiny_network(monkeypatch):
    """One that is compiled in no time."""

    def tiny(image_shape, filters, **options):
        return kgen.networks.denoising_mlp(image_shape, hidden=(filters,), **options)

    monkeypatch.setattr("kgen.models.diffusion.denoising_unet", tiny)


def peers_results(path, near, far, **changed):
    """What the peer writes."""
    found = {"seconds": 60.0, "processor_seconds": 50.0, "images": 24, "parameters": 1234}
    found |= {"samples_20": far, "samples_5": near, "sampling_20": 4.0, "sampling_5": 0.4}
    np.savez(path, **{**found, **changed})


def test_kgen_trains_until_it_is_as_near(files, monkeypatch):
    monkeypatch.setattr(diffusion_peer, "STEPS", 2)
    near, far = IMAGES[:8], np.full_like(IMAGES[:8], 255)
    peers_results(files["peer"], near, far)
    fid, now, drawn = kgen.metrics.fid, np.zeros(2), []
    distances = {
        name: float(fid(IMAGES[:30], x, "fashion")) for name, x in (("5", near), ("20", far))
    }
    assert distances["5"] < distances["20"]

    def clocks():
        now[:] += 1, 0.5
        return now.copy()

    def measured(real, images, features, test):
        now[:] += 100  # which is no part of training
        found = fid(real, images, features, test=test)
        if any(np.array_equal(images, x) for x in (near, far)):
            return found
        drawn.append(images)
        return distances["5"] + 1.5 - len(drawn)  # as near at the second of three

    monkeypatch.setattr(diffusion_peer, "clocks", clocks)
    monkeypatch.setattr(kgen.metrics, "fid", measured)
    diffusion_peer.train(**files, **TINY)
    found = json.loads(files["output"].read_text())
    assert found["distances"] == pytest.approx(distances)
    assert found["target"] == pytest.approx(distances["5"])
    assert found["floor"] == pytest.approx(float(fid(IMAGES[:30], IMAGES[30:], "fashion")))
    first, second = found["curve"]
    assert (first["images"], first["seconds"], first["processor_seconds"]) == (8, 1, 0.5)
    assert (second["images"], second["seconds"], second["processor_seconds"]) == (16, 2, 1)
    assert first["distance"] == pytest.approx(distances["5"] + 0.5)
    assert second["distance"] == pytest.approx(distances["5"] - 0.5)
    assert all(x.shape == (8, 28, 28) and x.dtype == "uint8" for x in drawn)
    network = kgen.Diffusion((28, 28), filters=8).denoiser
    assert found["parameters"] == network.count_params() and found["sampling"] > 0


def test_the_rate_rises_and_falls_within_all_images(files, monkeypatch):
    peers_results(files["peer"], IMAGES[:8], IMAGES[:8])

    class Compiled(Exception):
        """Enough is seen."""

    def compile(self, optimizer):
        rates = [float(optimizer._learning_rate(step)) for step in (0, 1, 2, 11, 20)]
        assert rates == pytest.approx([0, 5e-4, 1e-3, 5e-4, 0], abs=1e-9)
        raise Compiled

    monkeypatch.setattr(kgen.Diffusion, "compile", compile)
    with pytest.raises(Compiled):
        diffusion_peer.train(**files, **{**TINY, "images": 160})


@pytest.fixture
def started(monkeypatch):
    """Commands that were run; each writes what it is asked for."""
    commands = []

    def run(command, **_):
        commands.append(command)
        job = json.loads(command[-1])
        if "torch_diffusion_peer" in command[2]:
            peers_results(job["output"], IMAGES[:8], IMAGES[:8])
        else:
            found = {"target": 9.0, "floor": 1.0, "distances": {"20": 11.0, "5": 9.0}}
            curve = {"images": 12, "seconds": 20.0, "processor_seconds": 10.0, "distance": 8.5}
            found |= {"curve": [curve], "parameters": 567, "sampling": 0.08}
            harness.keep(diffusion_peer.pathlib.Path(job["output"]), json.dumps(found))
        return type("Done", (), {"returncode": 0})

    monkeypatch.setattr(diffusion_peer.subprocess, "run", run)
    return commands


def test_both_sides_are_run_once_and_compared(tmp_path, started, capsys):
    np.savez(tmp_path / "fashion_mnist.npz", train=IMAGES, test=IMAGES)
    given = ["--python-peers", "PEERS", "--output", str(tmp_path), "--threads", "1"]
    given += ["--peer-settings", '{"train_lr": 1e-3}', "--peer-steps", "5", "20"]
    for _ in range(2):
        diffusion_peer.main(given)
    assert [command[0] for command in started] == ["PEERS", diffusion_peer.sys.executable]
    of_peer, of_kgen = (json.loads(command[-1]) for command in started)
    inspect.signature(diffusion_peer.train).bind(**of_kgen)
    source = (harness.ROOT / "benchmarks" / "torch_diffusion_peer.py").read_text()
    (train,) = (n for n in ast.parse(source).body if getattr(n, "name", "") == "train")
    assert of_peer.keys() - {a.arg for a in train.args.args} == {"train_lr"}
    assert of_peer["steps"] == [5, 20] and of_peer["train_lr"] == 1e-3
    for job in (of_peer, of_kgen):
        seen = 100_000 if "width" in job else 300_000
        assert (job["images"], job["samples"], job["threads"]) == (seen, 2_000, 1)
    said = capsys.readouterr().out.splitlines()
    assert "9.00 in 5 steps" in "".join(said)
    (theirs,) = {line for line in said if line.startswith(diffusion_peer.PEER)}
    assert "1,234 parameters" in theirs and "60.0 s (50.0 s" in theirs
    assert "5 evaluations, 50.0 ms an image" in theirs
    (kgens,) = {line for line in said if line.startswith("kgen ") and "parameters" in line}
    assert "12 images" in kgens and "20.0 s (10.0 s" in kgens
    assert "10 evaluations, 10.0 ms an image" in kgens
    assert "1/3.00 of the time (1/5.00 of the processor's) and 1/2.00 of the images" in said[-1]


def test_a_distance_that_was_not_reached_has_no_ratio(tmp_path, started, capsys):
    np.savez(tmp_path / "fashion_mnist.npz", train=IMAGES, test=IMAGES)
    given = ["--python-peers", "PEERS", "--output", str(tmp_path)]
    diffusion_peer.main(given)
    found = json.loads((tmp_path / "kgen.json").read_text())
    found["curve"][-1]["distance"] = 9.5
    (tmp_path / "kgen.json").write_text(json.dumps(found))
    capsys.readouterr()
    diffusion_peer.main(given)
    assert capsys.readouterr().out.splitlines()[-1] == "kgen has not reached 9.00"


@pytest.mark.parametrize(
    "given, words",
    [
        ([], "--python-peers is needed"),
        (["--filters", "12"], "multiple of 8"),
        (["--peer-settings", "[1]"], "JSON object"),
        (["--images", "0"], "--images"),
    ],
)
def test_what_cannot_be_measured_is_refused(given, words, tmp_path, capsys):
    with pytest.raises(SystemExit):
        diffusion_peer.main(["--output", str(tmp_path), *given])
    assert words in capsys.readouterr().err
    assert [*tmp_path.iterdir()] == []


def test_a_folder_of_other_settings_is_refused(tmp_path, capsys):
    (tmp_path / "settings.json").write_text('{"images": 20}')
    with pytest.raises(SystemExit):
        diffusion_peer.main(["--output", str(tmp_path), "--python-peers", "PEERS"])
    assert "choose another --output" in capsys.readouterr().err


def test_the_peer_needs_nothing_of_kgen():
    source = (harness.ROOT / "benchmarks" / "torch_diffusion_peer.py").read_text()
    assert "import kgen" not in source and "import keras" not in source


def test_the_rim_comes_and_goes(tmp_path, monkeypatch):
    torch = pytest.importorskip("torch", reason="it runs the peer")
    from PIL import Image

    from benchmarks import torch_diffusion_peer

    torch_diffusion_peer.write_images(IMAGES[:3], tmp_path)
    files = sorted(tmp_path.iterdir())
    padded = np.stack([np.asarray(Image.open(file)) for file in files])
    assert padded.shape == (3, 32, 32) and padded.sum() == IMAGES[:3].sum()

    class Peer(torch.nn.Module):  # "samples" what was written, in [0, 1]
        def sample(self, batch_size):
            counts.append((batch_size, self.sampling_timesteps))
            return torch.from_numpy(padded[:batch_size] / np.float32(255))[:, None]

    counts = []
    monkeypatch.setattr(torch_diffusion_peer, "SAMPLED", 2)
    drawn = torch_diffusion_peer.sample(Peer(), 5, 7)
    assert counts == [(2, 7), (2, 7), (1, 7)]
    np.testing.assert_array_equal(drawn, IMAGES[[0, 1, 0, 1, 0]])
