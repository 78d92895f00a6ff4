import json

import keras
import numpy as np
import pytest

from benchmarks import harness, translation

TINY = {"image_size": 24, "filters": 2, "blocks": 2, "batch_size": 1}
NETWORKS = {  # attributes of the model
    "pix2pix": ("generator", "discriminator"),
    "cyclegan": ("a_to_b", "discriminator_b"),
    "cut": ("generator", "discriminator"),
}


def settings(model, **changed):
    backend = {"backend": keras.config.backend(), "jit": "auto"}
    return {"model": model, "precision": "float32", "most_steps": 2, **TINY, **backend, **changed}


def options(**changed):
    """What `main` makes of a command line."""
    run = {"gpu": False, "python_peers": "peers/python", "backend": [*translation.BACKENDS]}
    run |= {"precision": ["float32", "mixed_bfloat16"], "names": ""}
    return type("Options", (), {**run, **changed})


def multiplications(network, side):
    """Of each layer of a network with a kernel, for an image of this side."""
    layers = [layer for layer in network.layers if hasattr(layer, "kernel")]
    transposed = [isinstance(layer, keras.layers.Conv2DTranspose) for layer in layers]
    looked_at = [
        layer.input if is_input else layer.output
        for layer, is_input in zip(layers, transposed, strict=True)
    ]
    images = [np.zeros((1, side, side, tensor.shape[-1]), "float32") for tensor in network.inputs]
    found = keras.Model(network.inputs, looked_at)(images if len(images) > 1 else images[0])
    return [
        int(np.prod(layer.kernel.shape) * np.prod(tensor.shape[1:3]))
        for layer, tensor in zip(layers, found, strict=True)
    ]


@pytest.mark.parametrize(("side", "blocks"), [(24, 2), (32, 7)])
@pytest.mark.parametrize("name", translation.MODELS)
def test_the_layers_counted_are_those_of_kgen(name, side, blocks):
    model = translation.build(settings(name, image_size=side, blocks=blocks))
    if name == "pix2pix":
        counted = translation.unet(side, 2), translation.patchgan(side, 2, 6)
    else:
        compared, rest = translation.resnet(side, 2, blocks)
        counted = compared + rest, translation.patchgan(side, 2)
    for attribute, layers in zip(NETWORKS[name], counted, strict=True):
        network = getattr(model, attribute)
        assert multiplications(network, side) == [layer.multiplications for layer in layers]
        assert [layer.is_first for layer in layers] == [True] + [False] * (len(layers) - 1)


def test_flops_of_an_update():
    # By hand: forward, gradients by weights, gradients by inputs.
    generator = np.array([layer.multiplications for layer in translation.unet(64, 4)])
    discriminator = np.array([n.multiplications for n in translation.patchgan(64, 4, 6)])
    first = 3 * generator.sum() - generator[0] + 2 * discriminator.sum() - discriminator[0] / 2
    second = 2 * (3 * discriminator.sum() - discriminator[0])
    assert translation.pix2pix_flops(64, 4) == 2 * (first + second)

    begin, end = translation.resnet(64, 4, 6)
    compared, rest = (np.array([layer.multiplications for layer in n]) for n in (begin, end))
    discriminator = np.array([layer.multiplications for layer in translation.patchgan(64, 4)])
    generator = np.concatenate([compared, rest])
    of_given = 3 * generator.sum() - generator[0]
    judged = 2 * (3 * discriminator.sum() - discriminator[0])
    each = 2 * of_given + 3 * generator.sum() + 2 * discriminator.sum() + judged
    assert translation.cyclegan_flops(64, 4, 6) == 2 * 2 * each

    heads = 4 * 256 * sum((channels + 256) * 256 for channels in (3, 8, 16, 16, 16))
    products = 5 * 2 * 256 * 256 * 256
    each = of_given + 3 * compared.sum() + heads + products
    total = 2 * each + 2 * discriminator.sum() + judged
    assert translation.cut_flops(64, 4, 6) == 2 * total


@pytest.mark.parametrize("name", translation.MODELS)
def test_a_contender_takes_steps(name, monkeypatch):
    made, build = [], translation.build

    def remembered(given):
        made.append(build(given))
        return made[0]

    monkeypatch.setattr(translation, "build", remembered)
    about, run, matmul, memory = translation.prepare(settings(name))
    (model,) = made
    trained = {player: model.variables_of(player) for player in model.players}
    weights = [int(np.prod(v.shape)) for found in trained.values() for v in found]
    assert about["parameters"] == sum(weights)
    before = {player: [np.array(v) for v in found] for player, found in trained.items()}
    run(1)
    for player, found in trained.items():
        pairs = zip(found, before[player], strict=True)
        assert any((np.array(v) != old).any() for v, old in pairs)
    matmul()
    assert memory() > 2**20


def test_every_precision_has_every_side():
    for name, model in translation.MODELS.items():
        found = translation.contenders(options(), 3, model=name, **TINY)
        assert len({c.name for c in found}) == len(found)
        of = {(c.side, c.precision) for c in found}
        assert of == {(s, p) for s in ("kgen", "torch") for p in ("float32", "mixed_bfloat16")}
        peers = [json.loads(c.command[-1])["serve"] for c in found if c.side == "torch"]
        kgens = [json.loads(c.command[-1]) for c in found if c.side == "kgen"]
        assert {p["precision"] for p in peers} == {"float32", "bfloat16"}
        assert {p["joined"] for p in peers} == ({False, True} if model.has_blocks else {False})
        assert {tuple(p["image_shape"]) for p in peers} == {(24, 24, 3)}
        assert {(s["model"], s["image_size"], s["most_steps"]) for s in kgens} == {(name, 24, 3)}
        for key in ("filters", "blocks", "batch_size"):
            assert {s[key] for s in [*peers, *kgens]} == {TINY[key]}


@pytest.mark.parametrize(
    "given", [["--image-size", "20"], ["--image-size", "16"], ["--steps", "0"]]
)
def test_what_cannot_be_measured_is_refused(given, capsys):
    with pytest.raises(SystemExit):
        translation.main(given)
    assert given[0] in capsys.readouterr().err


def answer(monkeypatch, peak):
    """Contenders that take 2 s for 20 steps, and this much memory."""

    class Worker:
        def __init__(self, contender, log):
            self.about = {"parameters": 1}
            started.append(contender)

        def ask(self, do, **arguments):
            return {"seconds": 2.0, "bytes": peak} if do == "memory" else {"seconds": 2.0}

        def close(self):
            pass

    started = []
    monkeypatch.setattr(harness, "Worker", Worker)
    return started


def test_memory_is_that_of_the_published_networks(monkeypatch, tmp_path, capsys):
    started, output = answer(monkeypatch, 3 * 2**30), tmp_path / "rows.json"
    translation.main(["--memory", "--python-peers", "python", "--output", str(output)])
    rows = json.loads(output.read_text())
    assert [*rows] == [*translation.MODELS]
    assert [row["seconds"] for found in rows.values() for row in found] == [0.1] * 6
    kgens = [json.loads(c.command[-1]) for c in started if c.side == "kgen"]
    peers = [json.loads(c.command[-1])["serve"] for c in started if c.side == "torch"]
    assert {s["backend"] for s in kgens} == {keras.config.backend()}
    assert {(s["filters"], s["blocks"], s["batch_size"]) for s in [*kgens, *peers]} == {(64, 9, 1)}
    assert {s["image_size"] for s in kgens} == {256}
    assert {tuple(s["image_shape"]) for s in peers} == {(256, 256, 3)}
    assert "3,072 MiB" in capsys.readouterr().out


def test_too_much_memory_is_an_error(monkeypatch):
    answer(monkeypatch, 13 * 2**30)
    with pytest.raises(RuntimeError, match=r"More than 12 GiB: .*\(cut, 13.0 GiB\)"):
        translation.main(["--memory", "--model", "cut"])


def test_the_peers_need_nothing_of_kgen():
    source = (harness.ROOT / "benchmarks" / "torch_translation.py").read_text()
    assert "import kgen" not in source and "import keras" not in source


@pytest.mark.skipif(keras.config.backend() != "torch", reason="needs torch, which runs the peers")
class TestPeers:
    @pytest.fixture
    def peers(self):
        from benchmarks import torch_translation

        return torch_translation

    def test_the_published_networks(self, peers):
        import torch

        with torch.device("meta"):
            networks = (
                peers.UNet(256, 3, 64),
                peers.ResNet(3, 64, 9),
                peers.patchgan(6, 64, torch.nn.BatchNorm2d),
            )
        counts = [sum(p.numel() for p in network.parameters()) for network in networks]
        assert counts == [54_413_955, 11_378_179, 2_768_705]

    @pytest.mark.parametrize("name", translation.MODELS)
    def test_they_have_the_weights_of_kgen(self, peers, name):
        model = translation.build(settings(name))
        trained = [variable for p in model.players for variable in model.variables_of(p)]
        peer = peers.MODELS[name]((24, 24, 3), filters=2, blocks=2)
        assert peer.parameters() == sum(int(np.prod(v.shape)) for v in trained)

    @pytest.mark.parametrize("name", ["cyclegan", "cut"])
    def test_joined_they_have_the_same_losses(self, peers, name, monkeypatch):
        import torch

        # All places: which ones are drawn does not matter.
        monkeypatch.setattr(peers, "PATCHES", 10_000)
        a, b = torch.rand(2, 1, 3, 24, 24) * 2 - 1
        torch.manual_seed(0)
        peer, losses = peers.MODELS[name]((24, 24, 3), filters=2, blocks=2), []
        for peer.joined in (False, True):
            loss, fakes = peer.generator_loss(a, b)
            losses.append([loss.item(), peer.discriminator_loss(a, b, *fakes).item()])
        np.testing.assert_allclose(*losses, rtol=1e-5)

    @pytest.mark.parametrize("name", translation.MODELS)
    def test_an_update_moves_both_players(self, peers, name):
        import torch

        peer = peers.MODELS[name]((24, 24, 3), filters=2, blocks=2)
        draw = np.random.default_rng(0).integers
        a, b = (peer.images(draw(0, 256, (2, 24, 24, 3), "uint8")) for _ in range(2))
        before = {player: [*n.state_dict().values()] for player, n in peer.players.items()}
        before = {player: [v.clone() for v in values] for player, values in before.items()}
        peer.update(a, b)
        for player, network in peer.players.items():
            pairs = zip(network.state_dict().values(), before[player], strict=True)
            assert any(not torch.equal(new, old) for new, old in pairs)

    def test_the_history_gives_older_images_back(self, peers):
        import torch

        history = peers.ImageHistory(3)
        first = torch.arange(3.0)[:, None, None, None]
        assert torch.equal(history(first), first)
        shown = history(torch.arange(3.0, 103.0)[:, None, None, None]).flatten().tolist()
        held = torch.stack(history.images).flatten().tolist()
        assert sorted(shown + held) == list(range(103))  # none twice, none lost
        assert 30 < sum(a != b for a, b in zip(shown, range(3, 103), strict=True)) < 70
