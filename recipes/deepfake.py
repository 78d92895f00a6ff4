r"""The deepfake of the lecture: one person's face, with the pose and expression of another.

    python -m recipes.deepfake
    python -m recipes.deepfake --dataset FOLDER --image-size 128

One encoder sees two people, each has a decoder. By default they are drawn: who Alice and Bob are is
fixed; pose, expression and light vary, and no picture of her has its like among those of him.
Folders `trainA` and `trainB` of faces serve as they are. Writes held-out faces and their swaps,
beside the truth where it is known; Alice turning her head beside what becomes of it, also animated;
the scheme; losses, and the model.

With seed 0 the judge reads 100 % of who Bob is, and pose and light as well as in his own pictures
decoded (0.99 of 1); smiles and brows, a few pixels, come back in neither.

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
READ = {  # by the judge
    "who it is": ["presentation", "skin", "hair", "hair_color", "eye_color", "outfit"],
    "pose and light": ["yaw", "tilt", "light", "light_strength"],
    "expression": ["smile", "brows"],
}
FRAMES = 24  # of the animation
MOMENTS = np.array([0, 3, 6, 12, 18])  # of its still strip
NODES = {"a": ("real", 0, 0, "Alice"), "b": ("real", 0, 2, "Bob")}
NODES |= {"E": ("network", 1, 1, "encoder"), "z": ("latent", 2, 1, "pose, expression, light")}
NODES |= {"A": ("network", 3, 0, "her decoder"), "B": ("network", 3, 2, "his decoder")}
NODES |= {"a'": ("generated", 4, 0, "Alice"), "b'": ("generated", 4, 2, "Bob")}
TRAINING = ["a -> E", "b -> E", "E -> z", "z -> A", "z -> B", "A -> a'", "B -> b'"]
SWAPPING = '"Alice" [encoder] (pose, expression, light) [his decoder] <Bob, as she looks>'


def in_motion(who):
    """Factors of a person who turns the head and smiles: so many moments of a round."""
    angle = 2 * np.pi * np.arange(FRAMES) / FRAMES
    moving = {"yaw": np.sin(angle), "tilt": 0.6 * np.sin(2 * angle), "smile": -np.cos(angle)}
    still = faces.sample_factors(1, light=-0.5, light_strength=0.7, brows=0.0, **who)
    return {name: np.repeat(value, FRAMES, axis=0) for name, value in still.items()} | moving


def draw_motion(run, model, smiles):
    """Write Alice in motion beside what becomes of her: as an animation, and five moments."""
    rows = [faces.draw(in_motion(who), run.image_size) for who in faces.DOMAINS["alice2bob"]]
    rows.insert(1, kgen.data.to_uint8(model.translate(rows[0])))
    rows, title = np.stack(rows), "She turns her head and smiles, and so does he"
    if not smiles:
        title = "She turns her head, and so does he; her smile, of few pixels, is not told"
    names = ["Alice", "Alice as Bob", "the truth"]
    _run.slide(run, "motion", plots.Images(rows[:, MOMENTS], names=names), title=title, model=model)
    frames = [plots.Images(rows[:2, i], 2, steps=names[:2], gap=40) for i in range(FRAMES)]
    _run.animate(run, "motion", [(title, frame) for frame in frames], 0.12)


def draw(run, model, history, test, results):
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
        draw_motion(run, model, results["swapped: expression"] > 0.5)
    training = plots.Scheme(NODES, TRAINING, "training: by one's own decoder")
    headed = {"heading": "swapping: by the other's decoder", "shape": 0.15}
    swapping = plots.Scheme.of_rows(SWAPPING, **headed)
    title = "What one encoder tells of both, either decoder can draw"
    _run.slide(run, "scheme", training, swapping, columns=1, title=title)
    _run.draw_losses(run, history)


def measure(run, model, test):
    """Numbers of swaps beside those of faces as they were, and of the truth by its own decoder."""
    a, b = test.pairs(min(_translation.PICTURES, test.num_examples))
    made = {"swapped": model.translate(a), "unchanged": a}
    made["truth, decoded"] = model.reconstruct(b, "b")
    _, truth = faces.domain_factors(run.dataset, "test", len(a))
    judge, results = kgen.metrics.judge("faces"), {"faces": len(a)}
    for name, images in made.items():
        results[f"{name}: error"] = kgen.metrics.translation(images, b).error
        for kind, names in READ.items():
            found = kgen.metrics.translation(images, b, judge, {n: truth[n] for n in names})
            results[f"{name}: {kind}"] = found.preservation
    return results


@_command.recipe(__doc__, **DEFAULTS)
def main(run):
    """Train, draw, measure; returns the model."""
    two, test = _translation.load(run)
    given = {"latent_dim": run.latent_dim, "filters": run.filters}
    rate = _run.rise_and_fall(run.learning_rate, run.epochs * len(two))
    some, adam = test.take(min(500, test.num_examples)), keras.optimizers.Adam(rate)
    model, history = _run.train(run, kgen.FaceSwap, given, two, some, "deepfake", optimizers=adam)
    results = measure(run, model, test) if run.dataset == DEFAULTS["dataset"] else {}
    draw(run, model, history, test, results)
    print(__doc__.split("\n\n")[-1].strip())
    what = f"Face swap, {run.dataset}: {run.latent_dim} latents, {run.epochs} epochs."
    _run.report(run, model, what, results, model.preview(6, inputs=test.pairs(6)))
    return model


if __name__ == "__main__":
    main()
