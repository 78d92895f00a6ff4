r"""CycleGAN of the lecture: from day to night and back, without a single pair.

    python -m recipes.cyclegan
    python -m recipes.cyclegan --dataset faces/plain2glasses
    python -m recipes.cyclegan --model cut
    python -m recipes.cyclegan --dataset cycle_gan/horse2zebra --image-size 256 --filters 64 \
        --blocks 9 --receptive-field 70 --batch-size 1 --epochs 200 --limit 2000
    python -m recipes.cyclegan --translate FOLDER

Trains on two sets of images that show the same kind of thing, by default portraits by day and
others at night; folders `trainA` and `trainB` of your own serve as they are. Writes held-out images
with what they become, what that becomes again, and the truth, where it is known (of the embedded
faces it is: the same face with that one factor changed); how one arrives at the model from a GAN;
the same images at every epoch as an animation; losses, and the model. `--model cut` and `fastcut`
learn one direction, without going back. `--translate` writes what becomes of the images of a
folder.
"""

from pathlib import Path

import numpy as np

import kgen
from kgen import plots
from recipes import _command, _run, _translation
from recipes._flags import from_zero, one_of
from recipes._measured import Measured, dots, means

MODELS = {  # and what they are made with
    "cyclegan": (kgen.CycleGAN, {}),
    "cut": (kgen.CUT, {"variant": "cut"}),
    "fastcut": (kgen.CUT, {"variant": "fastcut"}),
    "pix2pix": (kgen.Pix2Pix, {}),  # of pairs, to compare with
}
COMPARED = {
    "CycleGAN": ("cyclegan", {}),
    "without cycle loss": ("cyclegan", {"cycle_weight": 0.0}),
    "CUT": ("cut", {}),
    "pix2pix, of pairs": ("pix2pix", {}),
}
SCHEMES = {  # title, names of rows, rows
    "cyclegan": (
        "A GAN whose noise is an image, and a way back that keeps it to the image",
        ["GAN", "of an image", "and back", "both ways"],
        "(z) [generator] <b'> {D: like b?}",
        '"a" [G] <b\'> {D: like b?}',
        '"a" [G] <b\'> [F] <a again>',
        '"b" [F] <a\'> [G] <b again>',
    ),
    "cut": (
        "No way back: each patch has to be known by the patch of the image at its place",
        ["GAN", "of an image", "patches of both"],
        "(z) [generator] <b'> {D: like b?}",
        '"a" [G] <b\'> {D: like b?}',
        "<b'> [G, first half,\nand heads] (features) {nearest: those\nof a, same place?}",
    ),
}
NUMBERS = {"error": "{:.2f}", "changed": "{:.0%}", "kept": "{:.0%}"}
DEFAULTS = {
    "output": Path("outputs/cyclegan"),
    "dataset": "faces/day2night",
    "image_size": 64,
    "limit": {"default": 1_000},
    "epochs": 8,
    "batch_size": 4,
    "learning_rate": 2e-4,
    "model": one_of(["cyclegan", "cut", "fastcut"], "what to train", default="cyclegan", type=str),
    "blocks": {"default": 4, "help": "residual blocks of the generators"},
    "receptive_field": {"default": 34, "help": "of the discriminators, in pixels"},
    "cycle_weight": {"default": 10.0, "type": from_zero, "help": "lambda of CycleGAN"},
    "compare": {"action": "store_true", "help": "train the other models with each seed, too"},
    "seeds": 3,
    **_translation.FLAGS,
}


def arguments(run, domains):
    """What the model is made with."""
    kind, given = MODELS[run.model]
    given = {**given, "target_shape": domains.target_shape, "filters": run.filters}
    given |= {"receptive_field": run.receptive_field, "average_decay": _translation.DECAY}
    given |= {"blocks": run.blocks} if kind is not kgen.Pix2Pix else {}
    return given | {"cycle_weight": run.cycle_weight} if kind is kgen.CycleGAN else given


def measure(run, domains, test, name, seed):
    """Train one of the compared models with a seed; returns numbers of what it makes."""
    model, changes = COMPARED[name]
    settings = type(run)(**vars(run) | changes | {"model": model, "seed": seed})
    kind, _ = MODELS[model]
    if kind is kgen.Pix2Pix:
        pairs = {"kind": "pairs", "image_size": run.image_size, "num_examples": run.limit}
        domains = kgen.data.load(run.dataset, "train", batch_size=run.batch_size, **pairs)
    rates, given = _translation.optimizers(run, kind, domains), arguments(settings, domains)
    made, _ = _run.train(settings, kind, given, domains, None, f"{name}, {seed}", (), rates)
    a, b = _translation.of_the_truth(run, test)
    return _translation.measure(run, made.translate(a), b, domains.pairs(len(a))[1])


def said(rows):
    """Rows whose names are as they are to be written."""
    return {plots.Said(name): images for name, images in rows.items()}


def draw(run, model, history, test):
    """Write the figures of the lecture."""
    a, b = test.pairs(6)
    first, second = _translation.names_of(run, test)
    rows, both = {first: a, f"{first} → {second}": model.translate(a)}, hasattr(model, "b_to_a")
    if both:
        again = model.translate([*rows.values()][1], "b_to_a")
        rows[f"{first} → {second} → {first}"] = again
    if test.aligned:
        rows[plots.say("the truth")] = b
    title = "Nobody showed it a pair: it learned what is different, and keeps the rest"
    _run.slide(run, "translated", plots.Images.named(said(rows)), title=title, model=model)
    if both:
        rows = {second: b, f"{second} → {first}": model.translate(b, "b_to_a")}
        rows |= {plots.say("the truth"): a} if test.aligned else {}
        title = "The other direction comes with it"
        _run.slide(run, "back", plots.Images.named(said(rows)), title=title, model=model)
    title, names, *rows = SCHEMES["cyclegan" if both else "cut"]
    _run.slide(run, "scheme", plots.Scheme.of_rows(*rows, names=names), title=title)
    _run.draw_losses(run, history)


@_command.recipe(__doc__, **DEFAULTS)
def main(run):
    """Train, draw, measure; returns the model."""
    if run.translate:
        return _translation.translate_folder(run, run.model, f"{run.model}_faces")
    domains, test = _translation.load(run)
    if run.compare and not test.aligned:
        raise ValueError(
            f"--compare is for sets whose truth is known; that of {run.dataset} is not."
        )
    kind, _ = MODELS[run.model]
    grid = _translation.sample_grid(run, test.pairs(6))
    rates = _translation.optimizers(run, kind, domains)
    held_out = test.take(min(_translation.SHOWN, test.num_examples))
    given = kind, arguments(run, domains), domains, held_out, run.model, [grid], rates
    model, history = _run.train(run, *given)
    draw(run, model, history, test)
    _translation.animate(run)
    a, b = _translation.of_the_truth(run, test)
    targets = domains.pairs(len(a))[1]
    made = {"translated": model.translate(a), "unchanged": a}
    made |= {} if b is None else {"the truth": b}
    found = {name: _translation.measure(run, x, b, targets) for name, x in made.items()}
    if run.compare:
        measured = Measured(run, free=(*_translation.FREE, "model"))
        compared = measured.each("{}", COMPARED, measured.seeds, measure, run, domains, test)
        rows = {"unchanged": [found["unchanged"]], **compared, "the truth": [found["the truth"]]}
        kept = {name: np.mean([part["kept"] for part in rows[name]]) for name in COMPARED}
        title = (
            "Of what must not change, CycleGAN keeps {cycle:.0%}, without its way back {none:.0%}"
        )
        fields = {"cycle": kept["CycleGAN"], "none": kept["without cycle loss"]}
        _run.slide(run, "measures", *dots(rows, "{}", NUMBERS), title=title, **fields)
        found |= {name: means({name: parts}, "") for name, parts in compared.items()}
        models = {name: _run.saved(run, f"{name}, {run.seed}") for name in COMPARED}
        rows = {name: each.translate(a[:8]) for name, each in models.items()}
        first, _ = _translation.names_of(run, test)
        rows = {plots.Said(first): a[:8], **rows, "the truth": b[:8]}
        title = "Who need not find the way back need not look at where it began"
        _run.slide(run, "compared", plots.Images.named(rows), title=title)
    results = {
        f"{name}, {n}".rstrip(", "): v for name, row in found.items() for n, v in row.items()
    }
    what = f"{kind.__name__}, {run.dataset}: {run.blocks} blocks of {4 * run.filters} channels, "
    what += f"{run.epochs} epochs."
    _run.report(run, model, what, results, model.preview(6, inputs=test.pairs(6)))
    return model


if __name__ == "__main__":
    main()
