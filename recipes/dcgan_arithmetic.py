r"""The arithmetic of faces (Radford et al., 2016, figure 7): does adding glasses add glasses?

    python -m recipes.dcgan_arithmetic
    python -m recipes.dcgan_arithmetic --model outputs/dcgan/dcgan.keras

Nothing is trained. A judge finds men with glasses, men and women among the samples of a model of
the drawn faces. The mean latent of three men with glasses, minus that of three men, plus that of
three women: how often is it a woman with glasses? Writes the clearest of the sums by daylight.
"""

from pathlib import Path

import numpy as np

import kgen
from kgen import latent, plots
from recipes import _command, _run

DEFAULTS = {
    "output": Path("outputs/dcgan_arithmetic"),
    "model": {"default": "dcgan_faces", "help": "of faces: a name of the zoo, or a .keras file"},
}
WITHOUT = ("dataset", "image_size", "limit", "epochs", "batch_size", "precision", "jit", "resume")
WITHOUT += ("publish",)
GLASSES = kgen.data.faces.FACTORS["glasses"][1:]
KINDS = {
    "man with glasses": {"presentation": "man", "glasses": GLASSES, "beard": "none"},
    "− man": {"presentation": "man", "glasses": "none", "beard": "none"},
    "+ woman": {"presentation": "woman", "glasses": "none", "beard": "none"},
    "= woman with glasses": {"presentation": "woman", "glasses": GLASSES, "beard": "none"},
}
TERMS = list(KINDS)[:3]
AVERAGED = 3  # samples of each kind in a sum
TRIALS = 500  # sums
ENOUGH = 30  # samples of each kind, found


def load(name):
    """A model that decodes latents, of the zoo or of a file."""
    model = kgen.zoo.load_model(name)
    for needed in ("latents", "latent_dim", "decode"):
        if not hasattr(model, needed):
            raise ValueError(f"--model {name} is a {type(model).__name__}, without {needed}.")
    return model


def find(model, judge, seed, n=8000, sure=0.6):
    """Latents of which the judge is sure that they are of each of the terms: `(N, D)` by name."""
    z = model.latents(n, model.latent_dim, seed)
    images = model.decode(z)
    found = {name: z[judge.probability(images, **KINDS[name]) > sure] for name in TERMS}
    counts = {name: len(some) for name, some in found.items()}
    if min(counts.values()) < ENOUGH:
        raise ValueError(f"Too few samples for arithmetic, {ENOUGH} of each are needed: {counts}.")
    return found


def sums(found, seed):
    """Means of some latents of each kind, and the first minus the second plus the third."""
    random = np.random.default_rng(seed)
    terms = []
    for z in found.values():
        at = np.stack([random.permutation(len(z))[:AVERAGED] for _ in range(TRIALS)])
        terms.append(z[at].mean(axis=1))
    return np.stack([*terms, latent.analogy(*terms)])  # (4, trials, D)


def arithmetic(run, model, judge, found):
    """Write the clearest sum by daylight; returns how often sums are as they should be."""
    images = latent.decoded(model, sums(found, run.seed))
    kinds = zip(images, KINDS.values(), strict=True)
    sure = np.stack([judge.probability(some, **kind) for some, kind in kinds])
    seen = [judge.labels(some) for some in images]
    wears = [float(np.mean(labels["glasses"] > 0)) for labels in seen]
    right = float(np.mean(sure[3] > 0.5))
    by_day = np.all([labels["time"] == 0 for labels in seen], axis=0)
    at = np.argmax(sure.min(axis=0) * by_day)
    notes = [plots.say("judge: {p:.0%}", p=p) for p in sure[:, at]]
    row = plots.Images(images[:, at], 4, steps=list(KINDS), notes=notes, gap=40)
    title = "Glasses add as vectors do: {wear:.0%} of {n} sums wear them, {right:.0%} as women"
    fields = {"wear": wears[3], "right": right, "n": TRIALS}
    _run.slide(run, "dcgan_arithmetic", row, title=title, model=model, **fields)
    return {
        "glasses before": wears[2],
        "glasses of the sums": wears[3],
        "women with glasses among the sums": right,
    }


@_command.recipe(__doc__, WITHOUT, **DEFAULTS)
def main(run):
    """Find, add, draw, measure; returns the numbers."""
    run.dataset = "faces"  # of the caption
    model = load(run.model)
    judge = kgen.metrics.judge("faces")
    found = find(model, judge, run.seed)
    _run.begin(run)
    results = arithmetic(run, model, judge, found)
    _run.report(run, None, "", results)
    return results


if __name__ == "__main__":
    main()
