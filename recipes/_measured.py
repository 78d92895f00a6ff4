"""What the recipes share that train many models: results part by part, which survive a cut."""

import json

from kgen.files import written_beside

FREE = {"output", "overwrite", "resume", "publish", "debug", "memory", "data_dir"}


class Measured:
    """Results by part, kept in a file, so that a resumed run computes only what is missing."""

    def __init__(self, run, images=None, free=()):
        """Read what is there; `free` names flags that may change from run to run.

        Raises:
            ValueError: if what is there is of other flags, or of other images.
        """
        self.path = run.output / "run" / "parts.json"
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
