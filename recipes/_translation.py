"""What the recipes of translation share: pairs and domains, folders, numbers beside the truth."""

import collections

import keras
import numpy as np
from PIL import Image

import kgen
from kgen import plots
from kgen.data import faces
from kgen.data.pixels import BrokenImage, decode, resize_one, suffixes
from kgen.files import written_beside
from kgen.progress import progress
from recipes import _run
from recipes._flags import IMAGES, folder, one_of, positive

PICTURES = 2_000  # of the truth that measures look at, at most
SHOWN = 500  # test pairs whose losses are validated
DECAY = 0.999  # of the moving average of what translates
FREE = ("compare", "translate", "shorter_side")  # flags that change no result
FLAGS = {
    "kind": one_of(["pairs", "domains"], "what the images are, where it cannot be seen"),
    "direction": one_of(["a_to_b", "b_to_a"], "from which to which", default="a_to_b"),
    "filters": {"default": 16, "help": "of the first layers; the papers have 64"},
    "translate": {
        "type": folder,
        "metavar": "FOLDER",
        "help": "translate the images of this folder by the trained model, or by the zoo's",
    },
    "shorter_side": {
        "type": positive,
        "metavar": "N",
        "help": "to which --translate resizes images; that of training if not given",
    },
}


def load(run, draw_from=None):
    """Training pairs of the run's dataset, and held-out ones; then the run begins.

    Args:
        run: the flags.
        draw_from: for a set of single images, a function that makes the first of each pair.

    Raises:
        ValueError: for single images where nothing draws from them.
    """
    options = {name: vars(run)[name] for name in (*IMAGES, "seed", "batch_size")}
    options |= {"num_examples": run.limit, "allow_fewer": True} if run.limit else {}
    sets = [kgen.data.load(run.dataset, split, **options) for split in ("train", "test")]
    if not isinstance(sets[0], kgen.data.ImagePairs):
        if draw_from is None:
            raise ValueError(
                f"--dataset {run.dataset} holds single images; this recipe learns from two "
                "domains: folders trainA and trainB, or --kind domains for two folders."
            )
        sets = [_drawn(images, draw_from, run.batch_size, run.seed) for images in sets]
    if vars(run).get("direction") == "b_to_a":
        sets = [pairs.swapped() for pairs in sets]
    _run.begin(run, sets[0])
    return sets


def _drawn(images, draw_from, batch_size, seed):
    pixels = kgen.data.to_uint8(images.images())
    names = {"domain_names": (draw_from.__name__, "photo"), "name": images.name}
    return kgen.data.ImagePairs(
        draw_from(pixels), pixels, batch_size=batch_size, seed=seed, **names
    )


def optimizers(run, model, pairs):
    """Adam 2e-4, 0.5 for each player: constant for half of the updates, then linear to zero.

    Zhu et al. (2017), section 4, and the authors' code of pix2pix.
    """
    steps = max(1, run.epochs * (pairs.num_examples // run.batch_size) // 2)
    rate = kgen.schedules.LinearDecay(run.learning_rate, steps, steps)
    return {player: keras.optimizers.Adam(rate, 0.5) for player in model.players}


def names_of(run, pairs):
    """Names of both domains for figures: of the embedded ones in their language."""
    if run.dataset.startswith("faces/"):
        return [plots.say(name) for name in pairs.domain_names]
    return ["A", "B"] if run.direction == "a_to_b" else ["B", "A"]


def sample_grid(run, inputs):
    """The callback that shows what becomes of the same inputs at every epoch."""
    return kgen.callbacks.SampleGrid(run.output / "samples", gif=False, inputs=inputs)


def animate(run):
    """Write what it showed as training.gif."""
    pictures = sorted((run.output / "samples").glob("epoch-*.png"))
    plots.animation(pictures, run.output / "training.gif", 0.5, max_bytes=300_000)


def of_the_truth(run, test, n=PICTURES):
    """Images to translate and what they should become; None for the second if nobody knows."""
    a, b = test.pairs(min(n, test.num_examples))
    return a, b if test.aligned else None


def factors_of(run, n):
    """Factors of the truth of the first `n` test images, and the one that must change, or None."""
    name = run.dataset.removeprefix("faces/")
    if not run.dataset.startswith("faces/") or "2" not in name:
        return None, None
    both = faces.domain_factors(name, "test", n, run.kind)
    truth = both[1 if run.direction == "a_to_b" else 0]
    changed = [factor for factor in faces.FACTORS if factor in faces.DOMAINS.get(name, ({},))[0]]
    return truth, changed[0] if changed else None


def measure(run, translated, truth, targets):
    """Numbers of translated images: beside the truth, and beside images of the target domain."""
    judge = kgen.metrics.judge_for(run.dataset)
    factors, changed = factors_of(run, len(translated))
    found = {}
    if truth is not None:
        reads = kgen.metrics.judge(judge) if factors else None
        seen = kgen.metrics.translation(translated, truth, reads, factors, changed)
        found["error"] = seen.error
        if changed:
            found["changed"] = seen.changed
        if seen.kept:
            found["kept"] = seen.preservation
    names = ["sliced_wasserstein"] + ["fid"] * (judge is not None)
    real = kgen.data.to_uint8(targets)
    values = kgen.metrics.evaluate(real, kgen.data.to_uint8(translated), judge, names).values
    names = {"fid": "Fréchet distance", "sliced_wasserstein": "sliced Wasserstein distance"}
    return found | {names[name]: value for name, value in values.items()}


def translate_folder(run, name, in_zoo):
    """Write `translated/NAME.png` for each image of the folder, in its own proportions.

    Of images that differ in their suffix alone the name keeps it: `a.jpg.png`, `a.webp.png`. By
    the model that the output folder holds, or else by one of the zoo.

    Raises:
        ValueError: for a folder without images.
    """
    path = run.output / f"{name}.keras"
    model = kgen.zoo.load_model(path if path.exists() else in_zoo)
    found = sorted(p for p in run.translate.glob("*") if p.suffix.lower() in suffixes())
    if not found:
        raise ValueError(f"--translate {run.translate} is no folder that holds images.")
    stems = collections.Counter(path.stem for path in found)
    out = run.output / "translated"
    out.mkdir(exist_ok=True)
    for path in progress(found, len(found), "Translating"):
        try:
            pixels = decode(path, path.name, channels=model.image_shape[-1])
        except BrokenImage:
            if not run.skip_broken:
                raise
            print(f"{path.name} cannot be read: left out.")
            continue
        image = translated(model, pixels, run.direction, run.shorter_side)
        image = np.repeat(image, 3, axis=-1) if image.shape[-1] == 1 else image
        name = path.stem if stems[path.stem] == 1 else path.name
        with written_beside(out / f"{name}.png") as temporary:
            Image.fromarray(image).save(temporary, "PNG")
    print(f"The images of {run.translate}, translated by {model.name}, are in {out}")
    return model


def translated(model, pixels, direction="a_to_b", shorter_side=None):
    """One image `(H, W, C)`, uint8, translated in its own proportions.

    Args:
        model: with `translate`.
        pixels: uint8.
        direction: as of the model.
        shorter_side: in pixels, to which the image is resized; by default that of training.
    """
    scale = (shorter_side or min(model.image_shape[:2])) / min(pixels.shape[:2])
    height, width = (max(1, round(side * scale)) for side in pixels.shape[:2])
    if hasattr(model, "divisor"):
        divisor = model.divisor(direction)
        height, width = (max(divisor, round(n / divisor) * divisor) for n in (height, width))
    pixels = resize_one(pixels, (height, width))
    return kgen.data.to_uint8(model.translate(pixels[None], direction))[0]
