"""What the recipes share that train many models: results part by part, which survive a cut."""

import json


class Measured:
    """Results by part, kept in a file, so that a resumed run computes only what is missing."""

    def __init__(self, run, free=()):
        """Read what is there; `free` names flags that may change from run to run."""
        self.path = run.output / "run" / "parts.json"
        free = {"output", "resume", "publish", "started", *free}
        began = {name: value for name, value in sorted(vars(run).items()) if name not in free}
        exists = self.path.exists()
        self.kept = json.loads(self.path.read_text()) if exists else {"began": began, "parts": {}}
        other = [f"--{n} {v}" for n, v in self.kept["began"].items() if began.get(n) != v]
        if other or self.kept["began"].keys() != began.keys():
            raise SystemExit(
                f"{self.path} is of a run with other flags: resume it with {' '.join(other)}, or "
                f"delete {self.path.parent} to begin anew."
            )

    def part(self, name, measure, *args):
        """What `measure(*args)` returns, now or in the run that is resumed."""
        if name not in self.kept["parts"]:
            self.kept["parts"][name] = measure(*args)
            self.path.parent.mkdir(exist_ok=True)
            (written := self.path.with_suffix(".new")).write_text(json.dumps(self.kept, indent=1))
            written.replace(self.path)
            print(f"{name}: {self.kept['parts'][name]}")
        return self.kept["parts"][name]
