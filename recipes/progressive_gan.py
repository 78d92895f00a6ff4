r"""Progressive growing of the lecture: from 4x4 pixels, step by step, up to 1024x1024.

    python -m recipes.progressive_gan
    python -m recipes.progressive_gan --image-size 1024 --paper
    python -m recipes.progressive_gan --dataset FOLDER --image-size 256 --paper --fade-images 100000

Prints the schedule, then trains it to its end under one `fit`: each resolution fades in, then
trains as it is. Writes the same latents at the end of each resolution and, animated, after each
epoch; samples; a walk through latent space, animated; losses, and the model. `--paper` takes
networks, batches and learning rates of Karras et al. (2018) in the place of small ones.
"""

from pathlib import Path

import numpy as np

import kgen
from kgen import latent, plots
from kgen.callbacks import Snapshots
from recipes import _command, _run
from recipes._flags import from_zero

DEFAULTS = {
    "output": Path("outputs/progressive_gan"),
    "dataset": "faces",
    "image_size": 64,
    "drawn": {"default": 10_000, "help": "faces that are drawn to learn from"},
    "latent_dim": 64,
    "fade_images": {"default": 6_000, "help": "while a resolution fades in; the paper: 600000"},
    "stable_images": {"default": 14_000, "help": "after that; the paper: 600000"},
    "batch_size": 16,
    "learning_rate": 8e-3,  # the paper has less, for hundreds of times as many images
    "filters": {"default": 16, "help": "of 32x32 pixels; twice as many at half the size"},
    "max_filters": {"default": 64, "help": "the most of any size"},
    "drift": {"default": 1e-3, "type": from_zero, "help": "weight of the scores' squares"},
    "paper": {"action": "store_true", "help": "networks, batches and rates of the paper"},
    "samples": 2000,
}
SHOWN = 5  # latents that are seen to grow
WALKS, WALK, FRAMES = 3, 4, 24  # walks, latents that each goes through and back, and its frames


def arguments(run):
    """What the model is made with: the paper's settings, or small ones."""
    lengths = {"fade_images": run.fade_images, "stable_images": run.stable_images}
    if run.paper:
        return {"schedule": kgen.schedules.GrowingSchedule(run.image_size, **lengths)}
    lengths |= {"batch_size": run.batch_size, "learning_rate": run.learning_rate}
    widths = {"filters_base": 16 * run.filters, "max_filters": run.max_filters}
    schedule = kgen.schedules.GrowingSchedule(run.image_size, **lengths)
    return {"schedule": schedule, "latent_dim": run.latent_dim, "drift": run.drift, **widths}


def enlarged(images, size):
    """Images in whole pixels of a larger size."""
    times = size // images.shape[1]
    return images.repeat(times, axis=1).repeat(times, axis=2)


def draw(run, model, history, seen):
    """Write the figures of the lecture."""
    levels = model.schedule.levels
    last = np.cumsum([level.epochs for level in levels])
    grown = [enlarged(seen[str(epoch)], run.image_size) for epoch in last]
    sizes = [f"{level.size}x{level.size}" for level in levels]
    title = "The same latents as the networks grow: first the whole, then the details"
    strip = plots.Images(np.stack(grown, axis=1), steps=sizes)
    _run.slide(run, "growing", strip, title=title, model=model)
    slides = []
    for epoch in range(last[-1] + 1):
        images = seen[str(epoch)]
        size = plots.say("{size} x {size} pixels", size=images.shape[1])
        slides.append((size, plots.Images(enlarged(images, run.image_size), SHOWN)))
    _run.animate(run, "growing", slides, 0.3)
    title = "Images that nobody drew: z from N(0, I), through the generator"
    samples = plots.Images(model.generate(40, seed=run.seed), 10)
    _run.slide(run, "samples", samples, title=title, model=model)
    corners = model.latents(WALK * WALKS, model.latent_dim, run.seed)
    others = np.roll(corners, -WALKS, axis=0)
    ways = latent.spherical(corners, others, FRAMES // WALK + 1)[:, :-1]
    ways = ways.reshape(WALK, WALKS, FRAMES // WALK, -1).swapaxes(1, 2)
    walks = model.decode(ways.reshape(FRAMES * WALKS, -1))
    walks = walks.reshape(FRAMES, WALKS, *walks.shape[1:])
    title = "From one sample to another along an arc: what lies between is an image, too"
    slides = [(title, plots.Images(images, WALKS)) for images in walks]
    _run.animate(run, "interpolation", slides, 0.2)
    _run.slide(run, "losses", *plots.adversarial(history), title="Each resolution begins anew")


def measure(run, model, images, test):
    """How good and varied samples are."""
    judge = kgen.metrics.judge_for(run.dataset) or "pixels"
    names = ["fid", "precision", "recall", "sliced_wasserstein"]
    made = model.generate(run.samples, seed=run.seed)
    found = kgen.metrics.evaluate(images, made, judge, names, test, run.seed)
    results = {found.label(name): value for name, value in found.values.items()}
    if run.image_size < 16:  # which have no room for its windows
        return results
    pairs = {"MS-SSIM": made, "MS-SSIM of real images": test.images(min(1000, test.num_examples))}
    return results | {
        name: float(kgen.metrics.ms_ssim(x, pairs=2_000)) for name, x in pairs.items()
    }


@_command.recipe(__doc__, without=("epochs",), **DEFAULTS)
def main(run):
    """Train, draw, measure; returns the model."""
    given = arguments(run)
    print(given["schedule"])
    images, test = _run.load(run)
    few = test.take(min(500, test.num_examples))
    seen = Snapshots(lambda gan: kgen.data.to_uint8(gan.generate(SHOWN, seed=run.seed)))
    model, history = _run.train(
        run, kgen.ProgressiveGAN, given, images, few, "progressive_gan", [seen]
    )
    draw(run, model, history, seen.kept)
    results = measure(run, model, images, test)
    what = f"Progressive GAN, {run.dataset}: {model.schedule.images:,} images seen."
    _run.report(run, model, what, results)
    return model


if __name__ == "__main__":
    main()
