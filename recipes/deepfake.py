r"""The deepfake of the lecture: one person's face, with the pose and expression of another.

    python -m recipes.deepfake
    python -m recipes.deepfake --epochs 40 --filters 32
    python -m recipes.deepfake --dataset FOLDER --image-size 128

One encoder sees two people, each has a decoder. By default they are drawn: who Alice and Bob are is
fixed; pose, expression and light vary, and no picture of her has its like among those of him.
Folders `trainA` and `trainB` of faces serve as they are. Writes held-out faces and their swaps,
beside the truth where it is known; Alice turning her head beside what becomes of it, also animated;
the scheme; losses, and the model.

What it means: such a picture proves no more that a person was there, smiled or spoke, and whoever
makes one needs the consent of the person whose face it shows. Detectors find traces of the methods
that they have seen, and miss others: the best of the Deepfake Detection Challenge (2020) was right
about 65 % of videos that were unlike its training data.
"""

from pathlib import Path

import keras
import numpy as np

import kgen
from kgen import plots
from kgen.data import faces
from recipes import _command, _run, _translation

DEFAULTS = {
    "output": Path("outputs/deepfake"),
    "dataset": "faces/alice2bob",
    "image_size": 64,
    "limit": {"default": 5_000},
    "epochs": 12,
    "batch_size": 16,
    "latent_dim": 64,
    "filters": {"default": 16, "help": "of the first layer"},
    "learning_rate": {"default": 2e-3, "help": "highest learning rate of Adam"},
    "kind": _translation.FLAGS["kind"],
}
FEATURES = ("face_width", "eye_size")  # numbers that do not vary: nothing to correlate with
FRAMES = 24  # of the animation
MOMENTS = np.array([0, 3, 6, 12, 18])  # of its still strip
ENDS = {"a": ("real", 0, 0, "Alice"), "b": ("real", 0, 2, "Bob")}
ENDS |= {"a'": ("generated", 4, 0, "Alice"), "b'": ("generated", 4, 2, "Bob")}
SHARED = {"E": ("network", 1, 1, "encoder"), "z": ("latent", 2, 1, "pose, expression, light")}
DECODERS = {"A": ("network", 3, 0, "her decoder"), "B": ("network", 3, 2, "his decoder")}
TRAINING = ["a -> E", "b -> E", "E -> z", "z -> A", "z -> B", "A -> a'", "B -> b'"]
SWAPPING = '"Alice" [encoder] (pose, expression, light) [his decoder] <Bob, as she looks>'


def in_motion(who):
    """Factors of a person who turns the head and smiles: so many moments of a round."""
    angle = 2 * np.pi * np.arange(FRAMES) / FRAMES
    moving = {"yaw": np.sin(angle), "tilt": 0.6 * np.sin(2 * angle), "smile": -np.cos(angle)}
    still = faces.sample_factors(1, light=-0.5, light_strength=0.7, brows=0.0, **who)
    return {name: np.repeat(value, FRAMES, axis=0) for name, value in still.items()} | moving


def draw_motion(run, model):
    """Write Alice in motion beside what becomes of her: as an animation, and five moments."""
    rows = [faces.draw(in_motion(who), run.image_size) for who in faces.DOMAINS["alice2bob"]]
    rows.insert(1, kgen.data.to_uint8(model.translate(rows[0])))
    rows, title = np.stack(rows), "She turns her head and smiles, and so does he"
    names = ["Alice", "Alice as Bob", "the truth"]
    still = plots.Images(rows[:, MOMENTS], names=names)
    _run.slide(run, "motion", still, title=title, model=model)
    frames = [plots.Images(rows[:2, i], 2, steps=names[:2], gap=40) for i in range(FRAMES)]
    _run.animate(run, "motion", [(title, frame) for frame in frames], 0.12)


def draw(run, model, history, test):
    """Write the figures of the lecture."""
    names = [plots.Said(name[0].upper() + name[1:]) for name in test.domain_names]
    rows, both = {}, test.pairs(8)
    for i, direction in enumerate(("a_to_b", "b_to_a")):
        pair = {"a": names[i], "b": names[1 - i]}
        rows[pair["a"]] = both[i]
        rows[plots.say("{a} as {b}", **pair)] = model.translate(both[i], direction)
        if test.aligned:
            rows[plots.say("the truth: {b}", **pair)] = both[1 - i]
    title = "The other decoder draws the other person, with this one's pose and light"
    _run.slide(run, "swap", plots.Images.named(rows), title=title, model=model)
    if run.dataset == DEFAULTS["dataset"]:
        draw_motion(run, model)
    training = plots.Scheme(ENDS | SHARED | DECODERS, TRAINING, "training: each by their own")
    swapping = plots.Scheme.of_rows(SWAPPING, heading="swapping: she by his", shape=0.15)
    title = "What one encoder tells of both, either decoder can draw"
    _run.slide(run, "scheme", training, swapping, columns=1, title=title)
    _run.draw_losses(run, history)


def measure(run, model, test):
    """Numbers of swaps beside those of faces as they were, and of the truth by its own decoder."""
    a, b = test.pairs(min(_translation.PICTURES, test.num_examples))
    made = {"swapped": model.translate(a), "unchanged": a}
    made["truth, decoded"] = model.reconstruct(b, "b")
    first, second = faces.domain_factors(run.dataset, "test", len(a))
    same = {name for name in faces.FACTORS if np.array_equal(first[name], second[name])}
    read = {name: second[name] for name in faces.FACTORS if name not in FEATURES}
    kinds = {
        "who it is": {name: value for name, value in read.items() if name not in same},
        "pose, expression, light": {name: read[name] for name in same if np.ptp(read[name])},
    }
    judge, results = kgen.metrics.judge("faces"), {"faces": len(a)}
    for name, images in made.items():
        results[f"{name}: error"] = kgen.metrics.translation(images, b).error
        for kind, factors in kinds.items():
            found = kgen.metrics.translation(images, b, judge, factors)
            results[f"{name}: {kind}"] = found.preservation
    return results


@_command.recipe(__doc__, **DEFAULTS)
def main(run):
    """Train, draw, measure; returns the model."""
    two, test = _translation.load(run)
    arguments = {"latent_dim": run.latent_dim, "filters": run.filters}
    rate = _run.rise_and_fall(run.learning_rate, run.epochs * len(two))
    optimizer, held_out = keras.optimizers.Adam(rate), test.take(min(500, test.num_examples))
    given = kgen.FaceSwap, arguments, two, held_out, "deepfake"
    model, history = _run.train(run, *given, optimizers=optimizer)
    results = measure(run, model, test) if run.dataset == DEFAULTS["dataset"] else {}
    draw(run, model, history, test)
    print(__doc__.split("\n\n")[-1].strip())
    what = f"Face swap, {run.dataset}: {run.latent_dim} latents, {run.epochs} epochs."
    _run.report(run, model, what, results, model.preview(6, inputs=test.pairs(6)))
    return model


if __name__ == "__main__":
    main()
