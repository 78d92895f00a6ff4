import json

import keras
import numpy as np
import pytest

from benchmarks import diffusion, harness
from kgen.layers.attention import SelfAttention2D
from kgen.networks import denoising_mlp

TINY = {"filters": 8, "batch_size": 4}


def settings(task, **changed):
    backend = {"backend": keras.config.backend(), "jit": "auto"}
    return {"task": task, "precision": "float32", "most_steps": 2, **TINY, **backend, **changed}


def options(**changed):
    """What `main` makes of a command line."""
    run = {"gpu": False, "python_peers": "peers/python", "backend": [*diffusion.BACKENDS]}
    run |= {"precision": ["float32", "mixed_bfloat16"], "names": ""}
    return type("Options", (), {**run, **changed})


@pytest.fixture(scope="module")
def model():
    """With the network that is measured, but narrow."""
    return diffusion.build({"filters": 8, "precision": "float32"})


def test_the_layers_counted_are_those_of_kgen(model):
    network = model.denoiser
    found, products = [], 0
    for layer in network.layers:
        pixels = int(np.prod(layer.output.shape[1:-1]))
        for variable in layer.trainable_variables:
            if len(variable.shape) > 1:
                told = variable.path.split("/")[-2] == "told"
                found.append(int(np.prod(variable.shape)) * (1 if told else pixels))
        if isinstance(layer, SelfAttention2D):
            products += 2 * pixels**2 * layer.output.shape[-1]
    counted = diffusion.layers(8)
    assert sorted(layer.multiplications for layer in counted[:-10]) == sorted(found)
    assert sum(layer.multiplications for layer in counted[-10:]) == products
    given = [layer.multiplications for layer in counted if layer.is_first]
    assert given == [64 * 32, 10 * 32, 14 * 14 * 9 * 4 * 8]  # times, labels, patches


def test_flops_of_an_image():
    found = diffusion.layers(8)
    forward = sum(layer.multiplications for layer in found)
    given = sum(layer.multiplications for layer in found if layer.is_first)
    assert diffusion.flops_of("training", 8) == 2 * (3 * forward - given)
    assert diffusion.flops_of("sampling", 8) == 10 * 2 * forward


@pytest.mark.parametrize("task", ["training", "sampling"])
def test_a_contender_takes_the_steps_of_its_task(task, monkeypatch):
    made, drawn, build = [], [], diffusion.build

    def tiny(image_shape, filters, **options):  # compiled in no time
        return denoising_mlp(image_shape, hidden=(filters,), **options)

    def remembered(given):
        made.append(build(given))
        generate = made[0].generate
        made[0].generate = lambda n, **how: drawn.append((n, how)) or generate(n, **how)
        return made[0]

    monkeypatch.setattr("kgen.models.diffusion.denoising_unet", tiny)
    monkeypatch.setattr(diffusion, "build", remembered)
    about, run, matmul, memory = diffusion.prepare(settings(task))
    (model,) = made
    trained = model.variables_of("denoiser")
    assert about["parameters"] == sum(int(np.prod(v.shape)) for v in trained)
    before = [keras.ops.convert_to_numpy(v) for v in trained]
    drawn.clear()
    run(2)
    pairs = zip(trained, before, strict=True)
    moved = any((keras.ops.convert_to_numpy(v) != old).any() for v, old in pairs)
    assert moved == (task == "training")
    how = {"sampler": "ddim", "num_steps": 10, "batch_size": 4}
    assert drawn == ([] if moved else [(8, how)])
    matmul()
    assert memory() > 2**20


def test_what_the_peer_checks(model, tmp_path, monkeypatch):
    file, asked = tmp_path / "network.npz", []
    monkeypatch.setattr(diffusion, "build", lambda given: asked.append(given) or model)
    diffusion.prepare(settings("check", file=str(file)))
    assert asked == [{"filters": 8, "precision": "float32"}]
    with np.load(file) as arrays:
        found = dict(arrays)
    weights = [found.pop(f"weight_{n}") for n in range(len(found) - 6)]
    assert found.keys() == {"noisy", "times", "labels", "noise", "velocities", "images"}
    assert sum(w.size for w in weights) == model.denoiser.count_params()
    # Nothing is left out of what is compared: no layer is silent, and all images differ.
    assert all(w.std() > 0.03 for w in weights)
    assert 0.3 < found["velocities"].std() < 30
    assert found["labels"].min() == -1 and len({*found["labels"]}) == diffusion.CHECKED
    assert found["images"].std() > 0.1 and np.abs(found["images"]).max() <= 1


def test_every_precision_has_every_side():
    for task in diffusion.TASKS:
        found = diffusion.contenders(options(), 3, task=task, **TINY)
        assert len({c.name for c in found}) == len(found)
        of = {(c.side, c.precision) for c in found}
        assert of == {(s, p) for s in ("kgen", "torch") for p in ("float32", "mixed_bfloat16")}
        peers = [json.loads(c.command[-1])["serve"] for c in found if c.side == "torch"]
        kgens = [json.loads(c.command[-1]) for c in found if c.side == "kgen"]
        assert {p["precision"] for p in peers} == {"float32", "bfloat16"}
        assert {p["device"] for p in peers} == {"cpu"}
        assert {s["most_steps"] for s in kgens} == {3}
        for key, value in {"task": task, **TINY}.items():
            assert {s[key] for s in [*peers, *kgens]} == {value}


def test_names_choose_contenders():
    found = diffusion.contenders(options(names="^(?!.*compiled)"), 3, task="training", **TINY)
    assert {c.side for c in found} == {"kgen", "torch"}
    assert not any("compiled" in c.name for c in found)


@pytest.mark.parametrize("given", [["--filters", "12"], ["--steps", "0"], ["--backend"]])
def test_what_cannot_be_measured_is_refused(given, capsys):
    with pytest.raises(SystemExit):
        diffusion.main(given)
    assert given[0] in capsys.readouterr().err


def test_another_network_is_an_error(monkeypatch):
    class Worker:
        def __init__(self, contender, log):
            started.append(contender)
            if contender.side == "torch":
                raise harness.Failed("ValueError: The contenders differ")

        def close(self):
            pass

    started = []
    monkeypatch.setattr(harness, "Worker", Worker)
    with pytest.raises(RuntimeError, match="The contenders differ"):
        diffusion.main(["--python-peers", "python", "--backend", "jax"])
    kgen, torch = started
    assert kgen.environment["JAX_PLATFORMS"] == "cpu"
    given = json.loads(torch.command[-1])["check"]
    assert given["filters"] == 32 and json.loads(kgen.command[-1])["file"] == given["file"]


def test_the_peers_need_nothing_of_kgen():
    source = (harness.ROOT / "benchmarks" / "torch_diffusion.py").read_text()
    assert "import kgen" not in source and "import keras" not in source


@pytest.mark.skipif(keras.config.backend() != "torch", reason="needs torch, which runs the peers")
class TestPeers:
    @pytest.fixture
    def peers(self):
        from benchmarks import torch_diffusion

        return torch_diffusion

    @pytest.fixture(scope="class")
    def file(self, tmp_path_factory):
        file = tmp_path_factory.mktemp("network") / "network.npz"
        diffusion.write_network(file, filters=8)
        return file

    @pytest.mark.parametrize("channels_last", [False, True])
    def test_with_kgens_weights_they_give_kgens_outputs(self, peers, file, channels_last):
        found = peers.check(file=file, filters=8, channels_last=channels_last)[0]["difference"]
        assert found.keys() == {"velocities", "images"} and max(found.values()) <= 1e-4

    @pytest.mark.parametrize("part", ["velocities", "images"])
    def test_another_network_or_sampler_is_refused(self, peers, file, part, tmp_path):
        with np.load(file) as arrays:
            found = dict(arrays)
        found[part] = found[part] + 2e-4
        np.savez(tmp_path / "other.npz", **found)
        with pytest.raises(ValueError, match=f"differ.*{part}"):
            peers.check(file=tmp_path / "other.npz", filters=8)
        with pytest.raises(ValueError, match="other weights"):
            peers.check(file=file, filters=16)

    def test_noise_is_that_of_kgen(self, peers):
        import kgen

        np.testing.assert_allclose(peers.alpha_bars(), kgen.noise.Cosine().alpha_bars)

    def test_the_loss_is_that_of_kgen(self, peers, monkeypatch):
        import torch

        model = diffusion.build({"filters": 8, "precision": "float32"})
        peer, draw = peers.Diffusion(8), np.random.default_rng(0)
        images = draw.integers(0, 256, (256, 28, 28, 1), "uint8")
        scaled = torch.from_numpy(images / np.float32(127.5) - 1)
        labels = torch.from_numpy(draw.integers(0, 10, 256))
        # Both networks say 0 as they are made: the mean square of the velocity is left.
        with torch.no_grad():
            ours = float(model.objective((scaled, labels), True))
            theirs = float(peer.loss(torch.from_numpy(images).permute(0, 3, 1, 2), labels))
        assert theirs == pytest.approx(ours, rel=0.01)

    def test_an_update_moves_network_and_average(self, peers, file):
        import torch

        torch.manual_seed(0)
        peer = peers.Diffusion(8)
        peers.take_weights(peer, file)
        images = torch.randint(0, 256, (16, 1, 28, 28), dtype=torch.uint8)
        for weight in (0.9, 9 / 11):
            before = [[p.detach().clone() for p in parameters] for parameters in peer.moved]
            peer.update(images, torch.arange(16) % 10)
            average, network = ([p.detach() for p in parameters] for parameters in peer.moved)
            assert not any(map(torch.equal, network, before[1]))
            followed = torch._foreach_lerp(before[0], network, weight)
            assert all(map(torch.allclose, average, followed))
