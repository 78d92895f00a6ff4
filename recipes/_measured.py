"""What the recipes share that train many models: results part by part, which survive a cut."""

import json

import numpy as np

from kgen import plots
from kgen.engine import state
from kgen.files import written_beside

FREE = {"output", "overwrite", "resume", "publish", "debug", "memory", "data_dir"}
FREE |= {"format", "language"}


class Measured:
    """Results by part, kept in a file, so that a resumed run computes only what is missing."""

    def __init__(self, run, images=None, free=()):
        """Read what is there; `free` names flags that may change from run to run.

        Raises:
            ValueError: if what is there is of other flags, or of other images.
        """
        self.path = run.output / "run" / "parts.json"
        self.path.parent.mkdir(exist_ok=True)
        self.seeds = range(run.seed, run.seed + vars(run).get("seeds", 1))
        began = {name: vars(run)[name] for name in sorted(run.offered - FREE - {*free})}
        began |= {"images": images.fingerprint} if images is not None else {}
        exists = self.path.exists()
        self.kept = json.loads(self.path.read_text()) if exists else {"began": began, "parts": {}}
        kept = self.kept["began"]
        other = {n: kept.get(n) for n in began | kept if kept.get(n) != began.get(n)}
        if other:
            images = other.pop("images", None) and "other images; "
            flags = [f"--{name.replace('_', '-')} {value}" for name, value in other.items()]
            raise ValueError(
                f"{self.path.parent} holds a run of {images or ''}{' '.join(flags)}: resume it "
                "with the same, or replace it by --overwrite."
            )

    def part(self, name, measure, *args):
        """What `measure(*args)` returns, now or in the run that is resumed."""
        if name not in self.kept["parts"]:
            self.kept["parts"][name] = measure(*args)
            with written_beside(self.path) as temporary:
                temporary.write_text(json.dumps(self.kept, indent=1))
            print(f"{name}: {self.kept['parts'][name]}")
        return self.kept["parts"][name]

    def each(self, form, settings, seeds, measure, *args):
        """What `measure(*args, setting, seed)` returns: for each setting a list over the seeds."""
        found = {setting: [] for setting in settings}
        for seed in seeds:
            for setting, parts in found.items():
                name = f"{form.format(setting)}, seed {seed}"
                parts.append(self.part(name, measure, *args, setting, seed))
        return found


def means(found, form):
    """The means over seeds of what `Measured.each` found, by name and setting."""
    names = next(iter(found.values()))[0]
    return {
        f"{name}, {form.format(setting)}": float(np.mean([part[name] for part in parts]))
        for name in names
        for setting, parts in found.items()
    }


def by_seed(found, seeds, form="{}"):
    """What parts hold, one for each seed, by name and seed."""
    return {
        f"{form.format(name)}, seed {seed}": value
        for seed, part in zip(seeds, found, strict=True)
        for name, value in part.items()
    }


def table(found, what):
    """Numbers by name as Markdown: a row for each of what they are of, a column for each name."""
    names = list(dict.fromkeys(name for values in found.values() for name in values))
    lines = [[what, *names], ["---"] * (len(names) + 1)]
    for of, values in found.items():
        lines.append([of, *(f"{values[n]:.4g}" if n in values else "" for n in names)])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def dots(found, form, measures, real=(), turned=False, **options):
    """A panel for each measure of what `Measured.each` found: a row for each setting.

    What a part holds under "NAME, SERIES" is a series; `turned`, settings are series, and these
    rows. `measures` is a dictionary from names to how numbers are written, `real` one to numbers of
    real images.
    """
    for i, (name, number) in enumerate(measures.items()):
        keys = [key for key in next(iter(found.values()))[0] if key.startswith(name)]
        values = {}
        for setting, parts in found.items():
            for key in keys:
                row, column = form.format(setting), key.removeprefix(name).strip(", ") or None
                row, column = (column, row) if turned else (row, column)
                values.setdefault(row, {})[column] = [part[key] for part in parts]
        levels = {"real images": real[name]} if name in real else {}
        legend = None if i else "below"
        yield plots.Dots(values, (), levels, number, xlabel=name, legend=legend, **options)


def begun(fresh, compiled, name, optimizer=None, jit="auto"):
    """A model ready to train, compiled once for each name of a dictionary.

    Later models of a name give the first one their state instead: weights, seeds, optimizers.
    """
    fresh.compile(optimizer, jit_compile=jit)
    model = compiled.setdefault(name, fresh)
    if model is not fresh:
        state.restore(model, state.capture(fresh))
    return model
