r"""pix2pix of the lecture: from pairs, a picture of what only its edges are given of.

    python -m recipes.pix2pix
    python -m recipes.pix2pix --dataset faces/segmentation2photo
    python -m recipes.pix2pix --dataset fashion_mnist --image-size 32 --channels 1 --epochs 3
    python -m recipes.pix2pix --dataset facades --direction b_to_a --image-size 256 --filters 64 \
        --depth 8 --receptive-field 70 --batch-size 1 --epochs 200 --learning-rate 2e-4
    python -m recipes.pix2pix --translate FOLDER

Trains a U-Net and a discriminator of patches on pairs: by default edges and portraits of the
embedded faces; of single images the edges are drawn; a folder of side-by-side pairs serves as it
is. Writes held-out pairs with what the model makes of them, the scheme, the same inputs at every
epoch as an animation, losses, and the model. `--compare` also trains the L1 loss and the
adversarial loss by themselves, each with `--seeds`, and writes the table. `--translate` writes what
becomes of the images of a folder.
"""

from pathlib import Path

import kgen
from kgen import plots
from recipes import _command, _run, _translation
from recipes._flags import from_zero
from recipes._measured import Measured, dots, means

DEFAULTS = {
    "output": Path("outputs/pix2pix"),
    "dataset": "faces/edges2photo",
    "image_size": 64,
    "limit": {"default": 3_000},
    "epochs": 12,
    "batch_size": 8,
    "learning_rate": 4e-4,  # narrower networks take more than the paper's 2e-4
    "depth": {"default": 4, "help": "how often the U-Net halves images"},
    "l1_weight": {"default": 100.0, "type": from_zero, "help": "of the mean absolute error"},
    "receptive_field": {"default": 34, "help": "of the discriminator, in pixels"},
    "compare": {"action": "store_true", "help": "train each loss by itself, too"},
    "seeds": 3,
    **_translation.FLAGS,
    "filters": {"default": 32, "help": "of the first layers; the paper has 64"},
}
NOISY = 200  # images that are also translated with dropout, each by itself
LOSSES = {"L1 alone": (1, 0), "L1 + cGAN": (1, 1), "cGAN alone": (0, 1)}  # weights


def arguments(run, pairs, l1=1, adversarial=1):
    """What the model is made with."""
    return {
        "target_shape": pairs.target_shape,
        "filters": run.filters,
        "depth": run.depth,
        "receptive_field": run.receptive_field,
        "average_decay": _translation.DECAY,
        "l1_weight": l1 * run.l1_weight,
        "adversarial_weight": float(adversarial),
    }


def measure(run, pairs, test, loss, seed):
    """Train with one of the losses and a seed; returns numbers of what it makes."""
    settings = type(run)(**vars(run) | {"seed": seed})
    given = arguments(run, pairs, *LOSSES[loss])
    rates, name = _translation.optimizers(run, kgen.Pix2Pix, pairs), f"{loss}, {seed}"
    model, _ = _run.train(settings, kgen.Pix2Pix, given, pairs, None, name, (), rates)
    x, y = _translation.of_the_truth(run, test)
    return _translation.measure(run, model.translate(x), y, pairs.pairs(len(x))[1])


def draw(run, model, history, test):
    """Write the figures of the lecture."""
    x, y = test.pairs(8)
    panel = plots.Images.named({"input": x, "output": model.translate(x), "truth": y})
    title = "What the input leaves open, the model decides: likely, and not always true"
    _run.slide(run, "translated", panel, title=title, model=model)
    scheme = plots.Scheme.of_rows(
        '"x" [U-Net G] <G(x)> {D(x, G(x)):\nreal?}', '"x" [the truth] "y" {D(x, y):\nreal?}'
    )
    title = "The discriminator sees the answer beside the question, patch by patch"
    _run.slide(run, "scheme", scheme, title=title)
    _run.draw_losses(run, history)


@_command.recipe(__doc__, **DEFAULTS)
def main(run):
    """Train, draw, measure; returns the model."""
    if run.translate:
        return _translation.translate_folder(run, "pix2pix", "pix2pix_faces")
    pairs, test = _translation.load(run, draw_from=kgen.data.edges)
    grid = _translation.sample_grid(run, test.pairs(6))
    rates = _translation.optimizers(run, kgen.Pix2Pix, pairs)
    held_out = test.take(min(_translation.SHOWN, test.num_examples))
    given = kgen.Pix2Pix, arguments(run, pairs), pairs, held_out, "pix2pix", [grid], rates
    model, history = _run.train(run, *given)
    draw(run, model, history, test)
    _translation.animate(run)
    x, y = _translation.of_the_truth(run, test)
    targets = pairs.pairs(len(x))[1]
    results = _translation.measure(run, model.translate(x), y, targets)
    for name, noise in {
        "as in inference": {},
        "as in training": {"noise": True, "seed": 0},
    }.items():
        error = abs(model.translate(x[:NOISY], **noise) - y[:NOISY]).mean()
        results[f"error of {len(x[:NOISY])}, {name}"] = float(error)
    if run.compare:
        measured = Measured(run, free=_translation.FREE)
        found = measured.each("{}", LOSSES, measured.seeds, measure, run, pairs, test)
        results |= means(found, "{}")
        numbers = {"error": "{:.3f}", "Fréchet distance": "{:.1f}"}
        best = {n: min(LOSSES, key=lambda loss, n=n: results[f"{n}, {loss}"]) for n in numbers}
        names = [*map(plots.say, best.values())]
        title = "Nearest to the truth: {first}; most like real images: {second}"
        fields = dict(zip(("first", "second"), names, strict=True))
        _run.slide(run, "measures", *dots(found, "{}", numbers), title=title, **fields)
    what = f"pix2pix, {run.dataset}: U-Net, {run.filters} filters first, {run.epochs} epochs."
    _run.report(run, model, what, results, model.preview(8, inputs=test.pairs(8)))
    return model


if __name__ == "__main__":
    main()
