import json

import keras
import numpy as np
import pytest

import kgen
from benchmarks import gan, harness, keras_dcgan
from kgen.layers import convolutions

SMALL = {"precision": "float32", "jit": "auto", "most_steps": 2, "batch_size": 16}
SMALL["image_shape"] = (8, 8, 1)


def settings(**changed):
    backend = {"backend": keras.config.backend()}
    return {**SMALL, **backend, "part": "update", "k": 1, "convolutions": "kgen", **changed}


def options(**changed):
    """What `main` makes of a command line."""
    defaults = {
        "image_shape": (28, 28, 1),
        "batch_size": 128,
        "steps": 2,
        "gpu": False,
        "python_peers": "peers/python",
    }
    run = {**defaults, "precision": ["float32", "mixed_bfloat16"], **changed}
    return type("Options", (), run)


@pytest.mark.parametrize(("side", "channels"), [(28, 1), (64, 3)])
def test_the_layers_counted_are_those_of_kgen(side, channels):
    model = kgen.GAN((side, side, channels), gan.LATENT, variant="dcgan")
    networks = (model.generator, model.discriminator)
    for network, counted in zip(networks, gan.layers(side, channels), strict=True):
        found = []
        for layer in network.layers:
            if hasattr(layer, "kernel"):
                transposed = isinstance(layer, keras.layers.Conv2DTranspose)
                shape = layer.input.shape if transposed else layer.output.shape
                found.append(int(np.prod(layer.kernel.shape)) * int(np.prod(shape[1:-1])))
        assert found == [layer.multiplications for layer in counted]
        assert [layer.is_first for layer in counted] == [True] + [False] * (len(counted) - 1)


def test_flops_of_an_update():
    generator = np.array([100 * 6272, 6422528, 200704])
    discriminator = np.array([200704, 6422528, 6272])
    # By hand: forward, gradients by weights, gradients by inputs.
    made = generator.sum()
    judged = 2 * (3 * discriminator.sum() - discriminator[0])  # the images' gradient is not needed
    fooled = 3 * generator.sum() - generator[0] + 2 * discriminator.sum()
    assert gan.update_flops(28, 1) == 2 * (made + judged + fooled)


@pytest.mark.parametrize("part", ["update", "discriminator", "generator"])
def test_a_contender_takes_the_steps_of_its_part(part, monkeypatch):
    made, cls = [], gan.model_of(part)

    def make(*args, **kwargs):
        made.append(cls(*args, **kwargs))
        return made[0]

    monkeypatch.setattr(gan, "model_of", lambda part: make)
    about, run, matmul, memory = gan.prepare(settings(part=part))
    (model,) = made
    players = ["discriminator", "generator"]
    assert about["parameters"] == sum(
        int(np.prod(v.shape)) for player in players for v in model.variables_of(player)
    )
    before = {p: [np.array(v) for v in model.variables_of(p)] for p in players}
    run(2)
    for player in players:
        moved = any(
            (np.array(v) != old).any()
            for v, old in zip(model.variables_of(player), before[player], strict=True)
        )
        assert moved == (part in ("update", player))
    matmul()
    assert memory() > 2**20


def test_kerass_layers_are_taken(monkeypatch):
    monkeypatch.setattr(convolutions, "_is_written_out", lambda layer, inputs: True)
    gan.prepare(settings(convolutions="keras"))
    assert not convolutions._is_written_out(None, None)


def test_convolutions_are_written_out_wherever_they_can_be(monkeypatch):
    monkeypatch.setattr(convolutions, "_is_traced_for_xla", lambda: False)
    gan.prepare(settings(convolutions="written out"))
    assert convolutions._is_traced_for_xla()


def test_every_precision_has_every_side():
    run = options()
    found = [gan.ours(name, run, p) for p in run.precision for name in gan.BACKENDS]
    found += gan.peers(run)
    assert len({c.name for c in found}) == len(found)
    of = {(c.side, c.precision) for c in found}
    assert of == {(s, p) for s in ("kgen", "torch") for p in ("float32", "mixed_bfloat16")}
    peers = [json.loads(c.command[-1])["serve"] for c in found if c.side == "torch"]
    assert {p["precision"] for p in peers} == {"float32", "bfloat16"}
    assert {p["device"] for p in peers} == {"cpu"}
    kgens = [json.loads(c.command[-1]) for c in found if c.side == "kgen"]
    assert {tuple(s["image_shape"]) for s in [*peers, *kgens]} == {(28, 28, 1)}


def test_an_update_is_compared_with_its_parts(monkeypatch):
    cost = {"update": 12.0, "discriminator": 10.0, "generator": 5.0}

    class Worker:
        def __init__(self, contender, log):
            self.settings = json.loads(contender.command[-1])

        def ask(self, do, **arguments):
            return {"seconds": cost[self.settings["part"]], "flops": 1}

        def close(self):
            closed.append(self.settings["k"])

    closed = []
    monkeypatch.setattr(harness, "Worker", Worker)
    row = gan.steps_of("jax", options(rounds=3, log=None))
    assert row["ratio"] == pytest.approx((12 / 15,) * 3)
    assert row["update"] == 6 and row["generator"] == 2.5  # of one of the two steps of a round
    assert sorted(closed) == [1, gan.STEPS, gan.STEPS]


def test_the_published_networks_of_keras():
    # The numbers of weights are those of the summaries that the examples print.
    assert keras_dcgan.dcgan_generator((64, 64, 3)).count_params() == 3_979_651
    assert keras_dcgan.dcgan_discriminator((64, 64, 3)).count_params() == 404_801
    assert keras_dcgan.wgan_gp_generator().count_params() == 910_660
    assert keras_dcgan.wgan_gp_discriminator().count_params() == 4_305_409


@pytest.mark.parametrize("name", keras_dcgan.SETTINGS)
def test_the_published_settings_are_those_of_a_gan(name):
    row, shape = keras_dcgan.SETTINGS[name], (28, 28, 1)
    model = kgen.GAN(
        shape,
        row["latent_dim"],
        loss=row["loss"],
        penalty=row["penalty"],
        discriminator_steps=row["discriminator_steps"],
        generator=row["generator"](shape, row["latent_dim"]),
        discriminator=row["discriminator"](shape),
    )
    model.compile({player: row["optimizer"]() for player in model.players})
    assert getattr(model.penalty, "weight", 10) == 10
    assert model.generate(2, seed=0).shape == (2, *shape)


def test_the_peers_need_nothing_of_kgen():
    source = (harness.ROOT / "benchmarks" / "torch_dcgan.py").read_text()
    assert "import kgen" not in source and "keras" not in source
