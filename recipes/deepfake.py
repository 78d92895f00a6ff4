r"""The deepfake of the lecture: one person's face, with the pose and expression of another.

    python -m recipes.deepfake
    python -m recipes.deepfake --dataset FOLDER --image-size 128

One encoder sees two people, each has a decoder. By default they are drawn: who Alice and Bob are is
fixed; pose, expression and light vary, and no picture of her has its like among those of him. What
is swapped is the head, cut out of the picture and put back; brows and mouth, which are few pixels,
count more in the error. Folders `trainA` and `trainB` of faces serve as they are. Writes held-out
faces and their swaps, beside the truth where it is known; Alice turning her head beside what
becomes of it, also animated; the scheme; losses, and the model.

With seed 0 the judge reads 100 % of who Bob is in the swaps, and pose, light and expression as well
as in the pictures of Alice (0.98 of 1 or more).

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
from recipes import _command, _portraits, _run, _translation

DEFAULTS = {
    "output": Path("outputs/deepfake"),
    "dataset": "faces/alice2bob",
    "image_size": 64,
    "limit": {"default": 5_000},
    "epochs": 24,
    "batch_size": 16,
    "latent_dim": 64,
    "filters": {"default": 16, "help": "of the first layer"},
    "learning_rate": {"default": 2e-3, "help": "highest learning rate of Adam"},
    "kind": _translation.FLAGS["kind"],
}
READ = {  # by the judge
    "who it is": ["skin", "hair", "hair_color", "eye_color"],
    "pose and light": ["yaw", "tilt", "light", "light_strength"],
    "expression": ["smile", "brows"],
}
FOCUS = [(0.35, 0.15, 0.57, 0.85, 10), (0.65, 0.25, 0.93, 0.75, 60)]  # brows and eyes; the mouth
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


def draw_motion(run, model, portraits):
    """Write Alice in motion beside what becomes of her: as an animation, and five moments."""
    alice, bob = (in_motion(who) for who in faces.DOMAINS["alice2bob"])
    pictures = portraits.draw(alice)
    rows = [pictures, portraits.swapping(model)(pictures), portraits.draw(bob, alice)]
    rows, title = np.stack(rows), "She turns her head and smiles, and so does he"
    names = ["Alice", "Alice as Bob", "the truth"]
    _run.slide(run, "motion", plots.Images(rows[:, MOMENTS], names=names), title=title, model=model)
    frames = [plots.Images(rows[:2, i], 2, steps=names[:2], gap=40) for i in range(FRAMES)]
    _run.animate(run, "motion", [(title, frame) for frame in frames], 0.12)


def draw_swaps(run, model, test, portraits, n=8):
    """Write held-out pictures of both, their swaps, and the truth where it is known."""
    names = [plots.Said(name[0].upper() + name[1:]) for name in test.domain_names]
    both, swap, truths = test.pairs(n), model.translate, ()
    if portraits:
        factors, swap = faces.domain_factors(run.dataset, "test", n), portraits.swapping(model)
        both = [portraits.draw(person) for person in factors]
        truths = [portraits.draw(a, b) for a, b in (factors[::-1], factors)]
    rows = {}
    for i, direction in enumerate(("a_to_b", "b_to_a")):
        rows[names[i]] = both[i]
        pair = {"a": names[i], "b": names[1 - i]}
        rows[plots.say("{a} as {b}", **pair)] = swap(both[i], direction)
        rows |= {plots.say("the truth: {b}", **pair): truths[i]} if truths else {}
    title = "The other decoder draws the other person, with this one's pose and expression"
    _run.slide(run, "swap", plots.Images.named(rows), title=title, model=model)


def draw(run, model, history, test, portraits):
    """Write the figures of the lecture."""
    draw_swaps(run, model, test, portraits)
    if portraits:
        draw_motion(run, model, portraits)
    training = plots.Scheme(NODES, TRAINING, "training: by one's own decoder")
    headed = {"heading": "swapping: by the other's decoder", "shape": 0.15}
    swapping = plots.Scheme.of_rows(SWAPPING, **headed)
    title = "What one encoder tells of both, either decoder can draw"
    _run.slide(run, "scheme", training, swapping, columns=1, title=title)
    _run.draw_losses(run, history)


def measure(model, portraits, n):
    """Numbers of swaps beside those of pictures as they were, and of his heads decoded."""
    alice, bob = faces.domain_factors("alice2bob", "test", n)
    pictures, truth = portraits.draw(alice), portraits.draw(bob, alice)
    again = model.reconstruct(portraits.heads(portraits.draw(bob)), "b")
    made = {"swapped": portraits.swapping(model)(pictures), "unchanged": pictures}
    made["truth, decoded"] = portraits.with_heads(pictures, again)
    judge, results = kgen.metrics.judge("faces"), {"faces": n}
    for name, images in made.items():
        results[f"{name}: error"] = kgen.metrics.translation(images, truth).error
        for kind, names in READ.items():
            factors = {factor: bob[factor] for factor in names}
            found = kgen.metrics.translation(images, truth, judge, factors)
            results[f"{name}: {kind}"] = found.preservation
    return results


@_command.recipe(__doc__, **DEFAULTS)
def main(run):
    """Train, draw, measure; returns the model."""
    portraits = _portraits.Portraits(run.image_size) if run.dataset == DEFAULTS["dataset"] else None
    two, test = portraits.load(run) if portraits else _translation.load(run)
    given = {"latent_dim": run.latent_dim, "filters": run.filters}
    given |= {"focus": FOCUS} if portraits else {}
    rate = kgen.schedules.warmup_cosine(run.learning_rate, run.epochs * len(two))
    some, adam = test.take(min(500, test.num_examples)), keras.optimizers.Adam(rate)
    model, history = _run.train(run, kgen.FaceSwap, given, two, some, "deepfake", optimizers=adam)
    n = min(_translation.PICTURES, test.num_examples)
    results = measure(model, portraits, n) if portraits else {}
    draw(run, model, history, test, portraits)
    print(__doc__.split("\n\n")[-1].strip())
    what = f"Face swap, {run.dataset}: {run.latent_dim} latents, {run.epochs} epochs."
    _run.report(run, model, what, results, model.preview(6, inputs=test.pairs(6)))
    return model


if __name__ == "__main__":
    main()
