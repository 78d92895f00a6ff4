"""How good are a diffusion model's images, by sampler and by evaluations of the network?

    python -m benchmarks.diffusion_quality
    python -m benchmarks.diffusion_quality --samplers dpmpp_2m ddim --output FOLDER

Generates 10,000 images of the full Fashion-MNIST, all classes in turn, by each sampler with 1, 5,
10, 20 and 50 evaluations (the most steps that ask the network so often), and measures them as
`benchmarks.gan_quality` does: the Fréchet distance from the 60,000 training images on the features
of kgen's classifier of Fashion-MNIST, beside that of the 10,000 test images, its floor; precision,
recall, density and coverage among these; for how many the classifier names the label that they were
generated for; and the milliseconds that each took. The model's card (`kgen.zoo.card`) says how it
was trained. `--output` keeps what is measured; what is there is not redone.
"""

import argparse
import json
import pathlib
import tempfile
import time

import numpy as np

import kgen
from benchmarks import harness
from benchmarks.gan_quality import MEASURED

SAMPLERS = ("dpmpp_2m", "ddim", "heun", "ddpm", "euler")
EVALUATIONS = (1, 5, 10, 20, 50)
COLUMNS = (*MEASURED, "label accuracy", "milliseconds")


def steps_of(sampler, evaluations):
    """The most steps in which a sampler asks its network at most so often."""
    steps = range(1, evaluations + 1)
    return max(n for n in steps if sampler.evaluations(n) <= evaluations)


def measure(model, sampler, evaluations, images, test, samples, seed, guidance_scale=None):
    """Generate by one sampler; returns numbers by name."""
    of = kgen.samplers.get(sampler)
    n = steps_of(of, evaluations)
    options = {"sampler": of, "num_steps": n, "guidance_scale": guidance_scale, "seed": seed}
    model.generate(128, batch_size=128, **options)  # compiles
    began = time.perf_counter()
    made = model.generate(samples, batch_size=128, **options)
    seconds = time.perf_counter() - began
    made = kgen.data.to_uint8(made)
    found = kgen.metrics.evaluate(images, made, "fashion", ["fid"], test=test)
    values = found.values | {"floor": found.results["fid"].floor}
    values |= kgen.metrics.evaluate(test, made, "fashion", list(MEASURED[1:]), precision_k=5).values
    asked = np.arange(samples) % 10
    if isinstance(model.condition, kgen.conditions.ClassLabels):
        labels = kgen.metrics.judge("fashion").labels(made)
        values["label accuracy"] = np.mean(labels == asked)
    values |= {"evaluations": of.evaluations(n), "milliseconds": 1e3 * seconds / samples}
    return {name: float(value) for name, value in values.items()}


def main(argv=None):
    """Measure what is not there yet, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--model", default="diffusion_fashion_mnist", help="name in the zoo, or a .keras file")
    add("--samplers", nargs="*", choices=SAMPLERS, default=list(SAMPLERS))
    add("--evaluations", nargs="*", type=harness.positive, default=list(EVALUATIONS))
    add("--guidance-scale", type=float)
    add("--samples", type=harness.positive, default=10_000)
    add("--seed", type=int, default=0)
    add("--output", type=pathlib.Path, help="folder of results")
    run = parser.parse_args(argv)
    model = kgen.zoo.load_model(run.model)
    images, test = (kgen.data.load("fashion_mnist", split).images() for split in ("train", "test"))
    with tempfile.TemporaryDirectory() as temporary:
        folder = run.output or pathlib.Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        kept = folder / "measured.json"
        found = json.loads(kept.read_text()) if kept.exists() else {}
        for evaluations in run.evaluations:
            for sampler in run.samplers:
                settings = (run.model, sampler, evaluations, run.guidance_scale)
                name = " ".join(map(str, (*settings, run.samples, run.seed)))
                if name not in found:
                    of = (images, test, run.samples, run.seed, run.guidance_scale)
                    found[name] = measure(model, sampler, evaluations, *of)
                    harness.keep(kept, json.dumps(found, indent=1))
                report(sampler, found[name], first=name == next(iter(found)))


def report(sampler, values, first):
    """Print a row, and a heading above the first."""
    if first:
        print(f"Fréchet distance of the test images: {values['floor']:.4f}")
        print(f"{'':<14}" + "".join(f"{name:>15}" for name in COLUMNS))
    shown = "".join(f"{values.get(name, np.nan):>15.3f}" for name in COLUMNS)
    print(f"{sampler:<9} {values['evaluations']:>4.0f}{shown}", flush=True)


if __name__ == "__main__":
    harness.command(main)
