"""Contenders that alternate in one run, each a process of its own, and their ratios.

Speeds of a machine drift, so that only ratios within one run mean anything. A contender is a
command that speaks this protocol on stdin and stdout, one JSON object a line: it says what it is
when it is ready (`{"device": ..., ...}`), then answers `{"do": "run", "steps": n}` with
`{"seconds": s}`, `{"do": "matmul"}` with the rate of a 2048 matrix product in its own precision,
`{"flops": f}` a second, and `{"do": "memory"}` with `{"bytes": b}`, its peak. It ends with its
input. Contenders of other Python environments, such as the peers', import this file alone: it
needs nothing but the standard library.
"""

import argparse
import contextlib
import dataclasses
import json
import os
import pathlib
import resource
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).parents[1]
MATMUL = 2048


@dataclasses.dataclass
class Contender:
    """A command to measure.

    Attributes:
        name: of the row in the table.
        side: what it is compared as, for example "kgen" or "torch".
        precision: only contenders of the same precision are compared.
        command: argument vector of the process.
        environment: variables to set for it.
    """

    name: str
    side: str
    precision: str
    command: list
    environment: dict = dataclasses.field(default_factory=dict)


class Failed(RuntimeError):
    """A contender ended or never became ready."""


class Worker:
    """The process of a contender, seen from the harness; ready when it is made."""

    def __init__(self, contender, log):
        self.process = subprocess.Popen(
            contender.command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            cwd=ROOT,
            env={**os.environ, **contender.environment},
        )
        self.about = self._answer()

    def _answer(self):
        line = self.process.stdout.readline()
        if not line:
            raise Failed(f"ended with status {self.process.wait()}")
        answer = json.loads(line)
        if "error" in answer:
            raise Failed(answer["error"])
        return answer

    def ask(self, do, **arguments):
        """Send one request, return the answer."""
        self.process.stdin.write(json.dumps({"do": do, **arguments}) + "\n")
        self.process.stdin.flush()
        return self._answer()

    def close(self):
        """End the process."""
        with contextlib.suppress(OSError):
            self.process.stdin.close()
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()


def serve(prepare):
    """Be a contender: the other end of `Worker`.

    Args:
        prepare: function that makes everything ready, compiled and warm, and returns
            `(about, run, matmul, memory)`: a dictionary; `run(steps)`, which returns when the
            steps are done; `matmul()`, one 2048 product; and `memory()`, the peak in bytes.
    """
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print does not disturb the protocol

    def say(answer):
        out.write(json.dumps(answer) + "\n")
        out.flush()

    try:
        about, run, matmul, memory = prepare()
    except Exception as error:
        say({"error": f"{type(error).__name__}: {error}"})
        raise
    say(about)
    for line in sys.stdin:
        request = json.loads(line)
        match request["do"]:
            case "run":
                say({"seconds": timed(lambda n=request["steps"]: run(n))})
            case "matmul":
                say({"flops": 2 * MATMUL**3 / min(timed(matmul) for _ in range(5))})
            case "memory":
                say({"bytes": memory()})


def keep(path, text):
    """Write a file beside and rename it, so that a cut leaves the one before."""
    (written := path.with_suffix(".new")).write_text(text)
    written.replace(path)


def command(main):
    """Run `main()` as a command: mistakes and Ctrl-C end in one line, with exit codes 2 and 130.

    Processes that a benchmark starts show theirs whole, since that goes to a log.
    """
    try:
        main()
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        sys.exit(130)
    except (ValueError, TypeError, OSError, RuntimeError, subprocess.SubprocessError) as error:
        if {"--serve", "--train", "--measure", "--only-draw"} & {*sys.argv}:
            raise
        name = sys.modules["__main__"].__spec__.name
        print(f"{name}: error: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(2)


def positive(text):
    """A whole number above 0, of a command line."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number above 0; got {text!r}")
    return int(text)


def file(text):
    """A file to be written in the end, of a command line: that it can be is found out now."""
    path = pathlib.Path(text)
    if path.is_dir() or not os.access(path.parent, os.W_OK):
        raise argparse.ArgumentTypeError(f"cannot be written: {text!r}")
    return path


def timed(fn):
    """Seconds that a call takes."""
    start = time.perf_counter()
    fn()
    return time.perf_counter() - start


def on_cores(count):
    """Keep this process, and those that it starts, to so many cores (Linux); None: to all it has.

    Libraries that are imported later take as many threads.

    Raises:
        ValueError: if it has fewer.
    """
    if count is None:
        return
    cores = sorted(os.sched_getaffinity(0))
    if count > len(cores):
        raise ValueError(f"There are {len(cores)} cores; got {count}.")
    os.sched_setaffinity(0, cores[:count])


def peak_memory():
    """The most memory on the host that this process has held, in bytes (Linux counts KiB)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def alternate(workers, rounds, steps, report=lambda *_: None):
    """Let every worker run in turn, forwards and backwards by turns.

    Returns:
        Dictionary from name to the seconds of each round, and the same for matrix products.
    """
    seconds, flops = ({name: [] for name in workers} for _ in range(2))
    for number in range(rounds):
        names = list(workers)[:: -1 if number % 2 else 1]
        for name in names:
            seconds[name].append(workers[name].ask("run", steps=steps)["seconds"])
            flops[name].append(workers[name].ask("matmul")["flops"])
        report(number, seconds)
    return seconds, flops


def ratio(ours, theirs):
    """How many times faster `ours` is: `(median, least, greatest)` over rounds of seconds."""
    ratios = [b / a for a, b in zip(ours, theirs, strict=True)]
    return statistics.median(ratios), min(ratios), max(ratios)


def best(names, seconds):
    """The fastest of some contenders by its median, or None."""
    return min(names, key=lambda name: statistics.median(seconds[name]), default=None)


@dataclasses.dataclass
class Layer:
    """What one layer multiplies: `multiplications` an image, and whether its input is given."""

    multiplications: int
    is_first: bool = False


def dense(inputs, outputs, **kwargs):
    """A fully connected layer."""
    return Layer(inputs * outputs, **kwargs)


def convolution(height, width, kernel, inputs, outputs, **kwargs):
    """A convolution with an output, or a transposed one with an input, of this size."""
    return Layer(height * width * kernel**2 * inputs * outputs, **kwargs)


def training_flops(layers):
    """Operations of one image's training step: forward, by weights and by inputs.

    The gradient by the given images is not needed. A multiplication and its addition are two.
    Activations, losses and the optimizer, a few per cent, are left out.
    """
    return 2 * sum(layer.multiplications * (2 if layer.is_first else 3) for layer in layers)


def measure(title, contenders, *, rounds, steps, images, flops, log=None, apart=0.0):
    """Run all contenders by turns and print the table.

    Args:
        title: what is measured.
        contenders: list of `Contender`; those that cannot start are named and left out.
        rounds, steps: how often each one runs, and for how many steps.
        images: in one step.
        flops: of one image.
        log: file that takes what the contenders print; by default nothing does.
        apart: by how much the networks' parameters may differ, as a share of the fewest.

    Returns:
        The rows of the table, a list of dictionaries.

    Raises:
        ValueError: if they differ by more.
    """
    workers, left_out = {}, {}
    log = log or subprocess.DEVNULL
    try:
        for contender in contenders:
            try:
                workers[contender.name] = Worker(contender, log)
            except (Failed, OSError) as reason:
                left_out[contender.name] = str(reason)
        counts = {w.about["parameters"] for w in workers.values() if "parameters" in w.about}
        if counts and max(counts) > (1 + apart) * min(counts):
            raise ValueError(f"The contenders' networks differ: parameters {sorted(counts)}.")
        seconds, rates = alternate(workers, rounds, steps)
        rows = table(
            [c for c in contenders if c.name in workers], seconds, rates, steps * images, flops
        )
        for row in rows:
            worker = workers[row["name"]]
            row |= {"memory": worker.ask("memory")["bytes"], **worker.about}
    finally:
        for worker in workers.values():
            worker.close()
    print(f"\n{title}: {rounds} rounds of {steps} steps, {flops / 1e6:.2f} MFLOP an image")
    for row in rows:
        print(line(row))
    for name, reason in left_out.items():
        print(f"{name}: not measured, {reason}")
    return rows


def table(contenders, seconds, rates, images, flops):
    """Speeds, shares and ratios, from the seconds and matrix products of every round.

    The rate of the machine in a precision is the highest median among its contenders; the ratio is
    to the fastest of each other side in the same precision.
    """
    rows = []
    for contender in contenders:
        name, own = contender.name, seconds[contender.name]
        same = [c for c in contenders if c.precision == contender.precision]
        peak = max(statistics.median(rates[c.name]) for c in same)
        speed = images / statistics.median(own)
        rows.append(
            {
                "name": name,
                "side": contender.side,
                "precision": contender.precision,
                "images_per_second": speed,
                "range": [images / max(own), images / min(own)],
                "share_of_matmul": speed * flops / peak,
                "matmul_flops": peak,
                "ratios": {},
            }
        )
        for side in sorted({c.side for c in same} - {contender.side}):
            peer = best([c.name for c in same if c.side == side], seconds)
            rows[-1]["ratios"][side] = [peer, *ratio(own, seconds[peer])]
    return rows


def line(row):
    """One row as text."""
    low, high = row["range"]
    ratios = "; ".join(
        f"{median:.2f} ({least:.2f}-{most:.2f}) x {peer}"
        for peer, median, least, most in row["ratios"].values()
    )
    return (
        f"{row['name']:<44} {row['images_per_second']:>9,.0f} images/s ({low:,.0f}-{high:,.0f})  "
        f"{row['share_of_matmul']:>4.0%} of {row['matmul_flops'] / 1e9:,.0f} GFLOP/s  "
        f"{row['memory'] / 2**20:>6,.0f} MiB  {ratios}"
    )
