"""How a recipe becomes a command: its flags, how it ends, and what is kept where it is cut."""

import argparse
import functools
import json
import shlex
import signal
import sys
import tempfile
import time
from pathlib import Path

import keras

import kgen
import recipes
from kgen import plots
from kgen.command_line import in_flags
from kgen.engine import backend
from recipes._flags import Parser

ERRORS = (ValueError, TypeError, OSError, ImportError, MemoryError, kgen.NonFiniteLoss)
TERMINATED = 128 + signal.SIGTERM


def recipe(description, without=(), **own):
    """Make `main(run)` a command, `main(argv=None)`, with the flags that `Parser` describes.

    At the command line errors and interruptions end in one line: exit code 2 for what the user can
    mend, 130 for Ctrl-C, 143 for SIGTERM.
    """

    def decorate(main):
        name = f"recipes.{Path(main.__code__.co_filename).stem}"

        def parser():
            return Parser(name, description, without, **own)

        def flags(argv=None):
            return parse(parser(), argv)

        def in_its_language(run):
            with plots.language(run.language), plots.made_by(run.command):
                return main(run)

        @functools.wraps(main)
        def command(argv=None):
            run = flags(argv)
            run.command = _command(name, sys.argv[1:] if argv is None else argv)
            if argv is None:
                return _to_the_end(in_its_language, run, name)
            return in_its_language(run)

        command.parser, command.flags = parser, flags
        return command

    return decorate


def _command(name, argv):
    """The command that makes the same, wherever it is written."""
    flags = argparse.ArgumentParser(add_help=False)
    for flag in ("--output", "--publish"):
        flags.add_argument(flag)
    for flag in ("--overwrite", "--resume", "--debug"):
        flags.add_argument(flag, action="store_true")
    _, others = flags.parse_known_args(argv)
    return shlex.join(["python", "-m", name, *others])


def _to_the_end(main, run, name):
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(TERMINATED))
    if signal.getsignal(signal.SIGINT) is recipes.interrupted_before_the_run:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return main(run)
    except ERRORS as error:
        if run.debug:
            raise
        said, code = f"{name}: error: {in_flags(str(error) or repr(error), run.offered)}", 2
    except KeyboardInterrupt:
        said, code = _what_is_kept(run), 130
    except SystemExit as end:
        if end.code != TERMINATED:
            raise
        said, code = _what_is_kept(run), TERMINATED
    finally:
        signal.signal(signal.SIGTERM, before)
    print(said, file=sys.stderr)
    sys.exit(code)


def _what_is_kept(run):
    if not run.begun:
        return "Interrupted before the run began; nothing has changed."
    if finished(run.output):
        return f"Interrupted; the results are in {run.output}."
    if "resume" not in run.offered:
        return "Interrupted; this recipe saves nothing on the way, and begins anew next time."
    if not unfinished(run.output):
        return "Interrupted before anything was saved; the same command begins anew."
    how = "" if run.resume else " with --resume"
    how += " in the place of --overwrite" if run.overwrite else ""
    return f"Interrupted; saved in {run.output / 'run'}; the same command{how} goes on."


def finished(output):
    """Whether a folder holds results, or models of a recipe that saves nothing else."""
    found = (output / "results.json").exists()
    return found or (any(output.glob("*.keras")) and not unfinished(output))


def unfinished(output):
    """Whether a folder holds something that can be resumed."""
    return any((output / "run").rglob("*.*")) and not (output / "results.json").exists()


def parse(parser, argv=None):
    """Read the flags, refuse what would be lost or cannot be written, seed everything.

    Returns a namespace: the flags; `offered`, their names; `begun`, whether the run has begun.
    """
    run = parser.parse_args(argv)
    run.offered, run.begun, run.started = parser.offered, False, time.monotonic()
    if run.resume and run.overwrite:
        parser.error("--resume continues a run, --overwrite replaces it: one of both.")
    applied = vars(run).get("translate") is not None  # what was trained is applied to a folder
    if not (run.resume or run.overwrite or applied):
        if finished(run.output):
            ways = "--overwrite replaces it, another --output keeps it."
            parser.error(f"{run.output} holds a finished run: {ways}")
        if unfinished(run.output):
            ways = "--resume continues it, " * ("resume" in run.offered)
            ways += "--overwrite replaces it, another --output keeps it."
            parser.error(f"{run.output} holds an unfinished run: {ways}")
    settings = run.output / "settings.json"
    began = json.loads(settings.read_text()) if run.resume and settings.exists() else {}
    for name, value in began.items():  # a run keeps what was chosen when it began
        if getattr(run, name) not in ("auto", "fastest", value):
            parser.error(f"this run began with --{name} {value}: resume it with the same.")
        setattr(run, name, value)
    if run.precision == "auto":
        low = backend.accelerators() and "precision" in run.offered
        run.precision = "mixed_bfloat16" if low else "float32"
    try:
        run.output.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=run.output).close()
    except OSError as error:
        parser.error(f"--output cannot be written: {error}")
    if run.publish:
        try:
            kgen.zoo.check_name(run.publish.name)
            run.publish.parent.mkdir(parents=True, exist_ok=True)
        except (ValueError, OSError) as error:
            parser.error(f"--publish: {error}")
    keras.utils.set_random_seed(run.seed)
    return run
